// Attention of the query heads that share a KV head, of up to ROWS rows that follow each other in one
// sequence, over one group of up to four pieces of 64 positions. Each piece is summed alone from a
// fresh softmax state, then merged in order, so that the result depends on absolute positions only
// and is the same for every number of rows. With ROW, one row from its products to what attention makes of it.
#version 450
#extension GL_EXT_control_flow_attributes : require
#extension GL_GOOGLE_include_directive : require
#ifdef SHUFFLE
#extension GL_KHR_shader_subgroup_shuffle : require
#endif
#include "args.h"
#include "words.glsl"
#include "cache.glsl"
#include "softmax.glsl"
#ifdef INT
#include "int.glsl"
#endif
#ifdef INT8
#include "int8.glsl"
#endif

layout(local_size_x_id = 0) in;               // divides 64; with SHUFFLE, 8 lanes of one subgroup
layout(constant_id = 1) const int HEADS = 1;  // query heads of a row at a time
layout(constant_id = 2) const int HEAD_DIM = 64;  // of K
layout(constant_id = 3) const int KV = 0;
layout(constant_id = 4) const int PARTS = 1;  // turns of a workgroup, HEADS queries of a row each
layout(constant_id = 6) const bool CAPPED = false;
layout(constant_id = 8) const int V_DIM = 64;
layout(constant_id = 10) const int SPLIT = 1;     // workgroups that a KV head's queries are shared out to
#ifdef ROW
layout(constant_id = 5) const uint TERMS = 0;
const int ROWS = 1;
const bool LATENT = false, ALONE = false;
#else
layout(constant_id = 5) const bool ALONE = false;  // one group is all there is: out, not partial, is written
layout(constant_id = 7) const int ROWS = 1;
layout(constant_id = 9) const bool LATENT = false; // V is the beginning of K
#endif
#include "kv.glsl"

WORDS(0, qkv);
layout(std430, binding = 1) readonly buffer Rows { uvec4 rows[]; }; // struct step_row
layout(std430, binding = 2) readonly buffer Pages { uint pages[]; };
WORDS(3, k_pages);
WORDS(4, v_pages);
#ifdef ROW
layout(std430, binding = 5) coherent buffer Partial { vec4 result[]; }; // see merge.comp
layout(push_constant) uniform Push { attention_args a; rope_args h; };
#else
layout(std430, binding = 5) writeonly buffer Out { vec4 result[]; }; // out or partial, see merge.comp
layout(std430, binding = 6) readonly buffer Groups { uint groups[]; }; // of rows: the first, and their number << 16
layout(push_constant) uniform Push { attention_args a; };
#endif

const int QUERIES = ROWS * HEADS;                 // row after row
const int LANES = int(gl_WorkGroupSize.x);
const int MINE = int(PIECE) / LANES;              // positions of a lane
const int WORDS = HEAD_DIM / WIDE;                // of a position of K
const int SPANS = (WORDS + LANES - 1) / LANES;
// Of values a lane takes up to 8 of a position, a part of a word where that has more.
const int PART_FOURS = FOURS < 2 ? FOURS : 2;
const int IN_WORD = FOURS / PART_FOURS;
const int V_WORDS = V_DIM / WIDE;
const int SHARES = V_WORDS * IN_WORD;             // of a position
const int TURNS = (SHARES + LANES - 1) / LANES;   // in which all lanes take them,
const int BLOCK = TURNS <= 4 ? TURNS : 2;         // so many together; all of them make too large a kernel
const int BLOCKS = (TURNS + BLOCK - 1) / BLOCK;

#ifdef SHUFFLE
const int TOGETHER = 8; // positions whose values are read before they are used
#else
const int TOGETHER = 1;
#endif

// What the workgroup has: a group of positions, of those that the rows see, and a part of the heads.
uint own_group, column;

// The rows, and the first and the last position that each sees.
uint first_row, n_rows, table;
uvec2 seen[ROWS];

// Weights of the piece's positions; sums and maxima over lanes.
float weights[QUERIES * MINE];
#ifdef SHUFFLE // loops count by one: Mesa unrolls no others, nor what is round them
void most_of_lanes(inout float v[QUERIES])
{
    [[unroll]] for (int n = 0; n < QUERIES; n++) {
        [[unroll]] for (int i = 0; i < 3; i++) v[n] = max(v[n], subgroupShuffleXor(v[n], 1u << i));
    }
}
void sum_of_lanes(inout float v[QUERIES])
{
    [[unroll]] for (int n = 0; n < QUERIES; n++) {
        [[unroll]] for (int i = 0; i < 3; i++) v[n] += subgroupShuffleXor(v[n], 1u << i);
    }
}
void share_weights() {}
float taken[QUERIES];
void take_weights(int i)
{
    [[unroll]] for (int n = 0; n < QUERIES; n++) {
        [[unroll]] for (int k = 0; k < MINE; k++) taken[n] = k == i ? weights[n * MINE + k] : taken[n];
    }
}
float weight(int n, int i, uint l) { return subgroupShuffle(taken[n], l); }
#else
shared float shared_weights[QUERIES * int(PIECE)];
shared float lane_values[QUERIES * LANES];
void give(float v[QUERIES])
{
    barrier();
    [[unroll]] for (int n = 0; n < QUERIES; n++) lane_values[n * LANES + int(gl_LocalInvocationID.x)] = v[n];
    barrier();
}
void most_of_lanes(inout float v[QUERIES])
{
    give(v);
    [[unroll]] for (int n = 0; n < QUERIES; n++) {
        for (int i = 0; i < LANES; i++) v[n] = max(v[n], lane_values[n * LANES + i]);
    }
}
void sum_of_lanes(inout float v[QUERIES])
{
    give(v);
    [[unroll]] for (int n = 0; n < QUERIES; n++) {
        v[n] = 0.0;
        for (int i = 0; i < LANES; i++) v[n] += lane_values[n * LANES + i];
    }
}
void share_weights()
{
    [[unroll]] for (int i = 0; i < QUERIES * MINE; i++) shared_weights[i * LANES + int(gl_LocalInvocationID.x)] = weights[i];
    barrier();
}
void take_weights(int i) {}
float weight(int n, int i, uint l) { return shared_weights[uint((n * MINE + i) * LANES) + l]; }
#endif

// The queries, as fours of a word d = span * LANES + lane.
#ifdef SHUFFLE
const bool KEPT = SPANS <= 4; // else read anew each time
vec4 own_q[KEPT ? QUERIES * SPANS * FOURS : 1];
#else
const bool KEPT = true;
#endif
#ifdef ROW
#include "fresh.glsl"
#include "finish.glsl"
#else
uint q_at;
// The last row stands for those that are not there.
vec4 read_q(int n, uint four)
{
    uint row = min(uint(n / HEADS), n_rows - 1);
    return uintBitsToFloat(WORD(qkv, q_at + row * (a.stride / 4) + uint(n % HEADS * (HEAD_DIM / 4)) + four));
}
void load_q(uint head)
{
    q_at = (first_row * a.stride + a.q) / 4 + head * uint(HEAD_DIM / 4);
#ifdef SHUFFLE
    if (!KEPT) return;
    [[unroll]] for (int n = 0; n < QUERIES; n++) {
        [[unroll]] for (int s = 0; s < SPANS; s++) {
            uint d = min(uint(s * LANES) + gl_LocalInvocationID.x, uint(WORDS - 1));
            [[unroll]] for (int f = 0; f < FOURS; f++) own_q[(n * SPANS + s) * FOURS + f] = read_q(n, d * uint(FOURS) + uint(f));
        }
    }
#endif
}
#endif
vec4 q_of(int n, int s, int l, int f)
{
#if defined(SHUFFLE)
#ifndef ROW
    if (!KEPT) return read_q(n, uint((s * LANES + l) * FOURS + f));
#endif
    return subgroupShuffle(own_q[(n * SPANS + s) * FOURS + f], uint(l));
#elif defined(ROW)
    return turned_q[(n * WORDS + s * LANES + l) * FOURS + f];
#else
    return read_q(n, uint((s * LANES + l) * FOURS + f));
#endif
}

vec4 total[BLOCKS * QUERIES * BLOCK * PART_FOURS];
vec4 sums[QUERIES * BLOCK * PART_FOURS];

float add_dot(float sum, vec4 q, vec4 k) { return fma(q.w, k.w, fma(q.z, k.z, fma(q.y, k.y, fma(q.x, k.x, sum)))); }

// Scales of a position, of the two blocks that dimension d lies in: see kv.glsl.
#define SCALES(pages, at, words, d, position) \
    WORD(pages, at + uint(words) * PIECE + (d) / 64 * (PIECE / 4) + (position) / 4)[(position) % 4]
uint own_scales[QUANT ? MINE : 1];

// Scores of the piece's positions with word d: lanes over positions.
void add_scores(uint at, int s, int l)
{
    uint d = uint(s * LANES + l);
    uvec4 words[MINE];
#ifdef ROW
    const uvec4 own_word = own_k_word(s, l);
#endif
    [[unroll]] for (int i = 0; i < MINE; i++) {
        uint position = uint(i * LANES) + gl_LocalInvocationID.x;
        words[i] = WORD(k_pages, at + d * PIECE + position);
#ifdef ROW
        words[i] = mix(words[i], own_word, bvec4(position == own_at));
#endif
        if (QUANT && l * WIDE % 64 == 0) own_scales[i] = SCALES(k_pages, at, WORDS, d * uint(WIDE), position);
    }
    [[unroll]] for (int f = 0; f < FOURS; f++) {
        vec4 k[MINE];
        [[unroll]] for (int i = 0; i < MINE; i++) {
            k[i] = four_of(words[i], f);
            if (QUANT) k[i] *= scale_of(own_scales[i], d * uint(WIDE) / 32 % 2);
        }
        [[unroll]] for (int n = 0; n < QUERIES; n++) {
            vec4 q = q_of(n, s, l, f);
            [[unroll]] for (int i = 0; i < MINE; i++) weights[n * MINE + i] = add_dot(weights[n * MINE + i], q, k[i]);
        }
    }
}

uint v_word(uint d, uint position) { return LATENT ? d * PIECE + position : position * uint(V_WORDS) + d; }

// Values of TOGETHER positions of turn i from the one with weight l on, none of them behind `last`: lanes
// over dimensions, of a block of them.
void add_values(uint at, int block, uint position, uint last, int i, uint l)
{
    [[unroll]] for (int t = 0; t < BLOCK; t++) {
        uint share = uint((block * BLOCK + t) * LANES) + gl_LocalInvocationID.x;
        if (SHARES != BLOCKS * BLOCK * LANES) share = min(share, uint(SHARES - 1));
        uint d = share * uint(4 * PART_FOURS);
        vec4 v[TOGETHER * PART_FOURS];
        [[unroll]] for (int k = 0; k < TOGETHER; k++) {
            uint from = min(position + uint(k), last);
            uvec4 word = WORD(v_pages, at + v_word(share / uint(IN_WORD), from));
#ifdef ROW
            word = mix(word, own_v[block * BLOCK + t], bvec4(from == own_at));
#endif
            float scale = QUANT ? scale_of(SCALES(v_pages, at, LATENT ? WORDS : V_WORDS, d, from), d / 32 % 2) : 1.0;
            [[unroll]] for (int f = 0; f < PART_FOURS; f++) {
                vec4 four = four_of(word, int(share) % IN_WORD * PART_FOURS + f);
                v[k * PART_FOURS + f] = QUANT ? four * scale : four;
            }
        }
        [[unroll]] for (int n = 0; n < QUERIES; n++) {
            [[unroll]] for (int k = 0; k < TOGETHER; k++) {
                float w = weight(n, i, l + uint(k));
                [[unroll]] for (int f = 0; f < PART_FOURS; f++) {
                    int to = (n * BLOCK + t) * PART_FOURS + f;
                    sums[to] = fma(vec4(w), v[k * PART_FOURS + f], sums[to]);
                }
            }
        }
    }
}

float score_of(float dot) { return CAPPED ? capped(dot * a.scale, a.softcap) : dot * a.scale; }

// What a row sees of the piece from position `from` on.
bool is_seen(int row, uint position) { return position >= seen[row].x && position <= seen[row].y; }
bool is_any_seen(int row, uint from) { return from + PIECE > seen[row].x && from <= seen[row].y; }

// The scores of a piece, by spans of words.
void add_span(uint at, int s)
{
    [[dont_unroll]] for (int l = 0; l < min(LANES, WORDS - s * LANES); l++) add_scores(at, s, l);
}

// How a piece changes the totals: what those before and those of the piece are multiplied with.
float before[QUERIES], after[QUERIES];

// The values of positions [skip, count) of a piece, in a block of dimensions.
void take_block(uint at, uint skip, uint count, int block)
{
    [[unroll]] for (int i = 0; i < QUERIES * BLOCK * PART_FOURS; i++) sums[i] = vec4(0.0);
    [[dont_unroll]] for (int i = int(skip) / LANES; uint(i * LANES) < count; i++) {
        take_weights(i);
#ifdef SHUFFLE // what is not seen has weight 0; beyond count, a position that is there is read once more
        add_values(at, block, uint(i * LANES), count - 1, i, 0);
#else
        for (uint l = max(skip, uint(i * LANES)); l < min(count, uint((i + 1) * LANES)); l++) {
            add_values(at, block, l, count - 1, i, l - uint(i * LANES));
        }
#endif
    }
    [[unroll]] for (int n = 0; n < QUERIES; n++) {
        [[unroll]] for (int i = 0; i < BLOCK * PART_FOURS; i++) {
            int from = n * BLOCK * PART_FOURS + i, to = block * QUERIES * BLOCK * PART_FOURS + from;
            total[to] = before[n] == 0.0 ? sums[from] : after[n] == 0.0 ? total[to] : sum_of(total[to], before[n], sums[from], after[n]);
        }
    }
}

// Of query n: part i of the dimensions that a lane has.
vec4 total_of(int n, int i)
{
    int t = i / PART_FOURS;
    return total[((t / BLOCK * QUERIES + n) * BLOCK + t % BLOCK) * PART_FOURS + i % PART_FOURS];
}

// Writes what a group has come to.
void leave(uint begin, uint head, state whole[QUERIES])
{
    const uint lane = gl_LocalInvocationID.x;
    [[unroll]] for (int n = 0; n < QUERIES; n++) {
        uint row = uint(n / HEADS), group = begin / (GROUP / PIECE) - seen[n / HEADS].x / GROUP;
        if (row >= n_rows || whole[n].sum == 0.0) continue;
        uint place = (first_row + row) * (a.n_kv_heads * uint(SPLIT * PARTS * HEADS)) + head + uint(n % HEADS);
        uint at = ALONE ? (first_row + row) * (a.out_stride / 4) + (head + uint(n % HEADS)) * uint(V_DIM / 4)
                        : (place * a.max_groups + group) * uint(V_DIM / 4 + 1);
        if (!ALONE && lane == 0) result[at + uint(V_DIM / 4)] = vec4(whole[n].most, whole[n].sum, 0.0, 0.0);
        [[unroll]] for (int t = 0; t < TURNS; t++) {
            uint share = uint(t * LANES) + lane;
            if (share >= uint(SHARES)) continue;
            [[unroll]] for (int f = 0; f < PART_FOURS; f++) {
                vec4 v = total_of(n, t * PART_FOURS + f);
                result[at + share * uint(PART_FOURS) + uint(f)] = ALONE ? v / whole[n].sum : v;
            }
        }
    }
}

// Of heads `head` and following, over the group of positions that begins with piece `begin`.
void attend(uint begin, uint head)
{
    uint lane = gl_LocalInvocationID.x, kv_head = column / uint(SPLIT);
    load_q(head);

    state whole[QUERIES];
    uvec2 all = seen[0];
    [[unroll]] for (int r = 1; r < ROWS; r++) all = uvec2(min(all.x, seen[r].x), max(all.y, seen[r].y));
    uint first = max(begin, all.x / PIECE), end = min(begin + GROUP / PIECE, all.y / PIECE + 1);
    [[unroll]] for (int n = 0; n < QUERIES; n++) whole[n] = state(LOWEST, 0.0);
    for (uint p = first; p < end; p++) {
        uint from = p * PIECE, skip = max(all.x, from) - from, count = min(all.y + 1 - from, PIECE);
        uint page = pages[table + p] * a.n_kv_heads + kv_head, at = page * head_words(uint(HEAD_DIM));
        uint v_at = page * head_words(uint(LATENT ? HEAD_DIM : V_DIM));
#ifdef ROW
        own_at = rows[0].y - from;
#endif

        [[unroll]] for (int i = 0; i < QUERIES * MINE; i++) weights[i] = 0.0;
        if (KEPT) {
            [[unroll]] for (int s = 0; s < SPANS; s++) add_span(at, s);
        } else {
            [[dont_unroll]] for (int s = 0; s < SPANS; s++) add_span(at, s);
        }
        float most[QUERIES], sum[QUERIES];
        [[unroll]] for (int n = 0; n < QUERIES; n++) {
            most[n] = LOWEST;
            [[unroll]] for (int i = 0; i < MINE; i++) {
                float score = is_seen(n / HEADS, from + uint(i * LANES) + lane) ? score_of(weights[n * MINE + i]) : LOWEST;
                weights[n * MINE + i] = score;
                most[n] = max(most[n], score);
            }
        }
        most_of_lanes(most);

        // Weights, and their sum.
        [[unroll]] for (int n = 0; n < QUERIES; n++) {
            sum[n] = 0.0;
            [[unroll]] for (int i = 0; i < MINE; i++) {
                float w = is_seen(n / HEADS, from + uint(i * LANES) + lane) ? weight_of(weights[n * MINE + i], most[n]) : 0.0;
                weights[n * MINE + i] = w;
                sum[n] += w;
            }
        }
        sum_of_lanes(sum);
        share_weights();

        [[unroll]] for (int n = 0; n < QUERIES; n++) {
            state now = state(most[n], sum[n]), both = merge(whole[n], now, before[n], after[n]);
            bool fresh = whole[n].sum == 0.0, any = ROWS == 1 || is_any_seen(n / HEADS, from);
            if (fresh || !any) {
                before[n] = fresh ? 0.0 : 1.0;
                after[n] = fresh ? 1.0 : 0.0;
            }
            whole[n] = fresh ? now : any ? both : whole[n];
        }
        if (BLOCKS == 1) take_block(v_at, skip, count, 0);
        else {
            [[dont_unroll]] for (int b = 0; b < BLOCKS; b++) take_block(v_at, skip, count, b);
        }
    }

#ifdef ROW
    if (groups_of_row() == 1) {
        [[unroll]] for (int n = 0; n < QUERIES; n++) {
            [[unroll]] for (int i = 0; i < TURNS * PART_FOURS; i++) ready[i] = total_of(n, i);
            finish(head + uint(n), gl_LocalInvocationID.x / uint(SHARES), 1, whole[n]);
        }
        return;
    }
#endif
    leave(begin, head, whole);
}

// For the rows from first_row on.
void attend_rows()
{
    uint least = 0xffffffffu, most = 0;
    [[unroll]] for (int r = 0; r < ROWS; r++) {
        seen[r] = seen_by(rows[first_row + min(uint(r), n_rows - 1)], a.window);
        least = min(least, seen[r].x);
        most = max(most, seen[r].y);
    }
    uint group = least / GROUP + own_group;
    if (group > most / GROUP) return;
#ifdef ROW
    turn_own_of(group);
#endif
    for (int part = 0; part < PARTS; part++)
        attend(group * (GROUP / PIECE), (column * uint(PARTS) + uint(part)) * uint(HEADS));
#ifdef ROW
    const uint n_groups = groups_of_row();
    if (n_groups > 1 && is_last(n_groups)) merge_all(n_groups);
#endif
}

void main()
{
    own_group = gl_WorkGroupID.x;
    column = gl_WorkGroupID.y;
#if defined(ROW) && defined(TEXELS)
    draw();
#endif
    if (column >= a.n_kv_heads * uint(SPLIT)) return; // other layers have more
#ifdef ROW
    first_row = 0;
    uint end = 1;
#else
    uint group_of_rows = groups[a.first_group + gl_WorkGroupID.z], end = (group_of_rows & 0xffffu) + (group_of_rows >> 16);
    first_row = group_of_rows & 0xffffu;
#endif
    table = rows[first_row].z;
    if (ROWS == 1) {
        n_rows = 1;
        attend_rows();
        return;
    }
    for (; first_row < end; first_row += uint(ROWS)) {
        n_rows = min(end - first_row, uint(ROWS));
        attend_rows();
    }
}

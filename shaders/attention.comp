// Attention of one row's query heads that share a KV head, over one group of up to four pieces of
// 64 positions. Each piece is summed alone from a fresh softmax state, then merged in order, so
// that the result depends on absolute positions only.
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

layout(local_size_x_id = 0) in;               // divides 64; with SHUFFLE, 8 lanes of one subgroup
layout(constant_id = 1) const int HEADS = 1;  // query heads at a time
layout(constant_id = 2) const int HEAD_DIM = 64;
layout(constant_id = 3) const int KV = 0;
layout(constant_id = 4) const int PARTS = 1;  // turns that take a KV head's queries, HEADS each
layout(constant_id = 5) const bool ALONE = false; // one group is all there is: out, not partial, is written
layout(constant_id = 6) const bool CAPPED = false;
#include "kv.glsl"

WORDS(0, qkv);
layout(std430, binding = 1) readonly buffer Rows { uvec4 rows[]; }; // struct step_row
layout(std430, binding = 2) readonly buffer Pages { uint pages[]; };
WORDS(3, k_pages);
WORDS(4, v_pages);
layout(std430, binding = 5) writeonly buffer Out { vec4 result[]; }; // out or partial, see merge.comp
layout(push_constant) uniform Push { attention_args a; };

const int LANES = int(gl_WorkGroupSize.x);
const int MINE = int(PIECE) / LANES;              // positions of a lane
const int WORDS = HEAD_DIM / WIDE;                // of a position
const int SPANS = (WORDS + LANES - 1) / LANES;
// Of values a lane takes up to 8 of a position, a part of a word where that has more.
const int PART_FOURS = FOURS < 2 ? FOURS : 2;
const int IN_WORD = FOURS / PART_FOURS;
const int SHARES = WORDS * IN_WORD;               // of a position
const int TURNS = (SHARES + LANES - 1) / LANES;   // in which all lanes take them

// Weights of the piece's positions; sums and maxima over lanes.
float weights[HEADS * MINE];
#ifdef SHUFFLE // loops count by one: Mesa unrolls no others, nor what is round them
void most_of_lanes(inout float v[HEADS])
{
    [[unroll]] for (int h = 0; h < HEADS; h++) {
        [[unroll]] for (int i = 0; i < 3; i++) v[h] = max(v[h], subgroupShuffleXor(v[h], 1u << i));
    }
}
void sum_of_lanes(inout float v[HEADS])
{
    [[unroll]] for (int h = 0; h < HEADS; h++) {
        [[unroll]] for (int i = 0; i < 3; i++) v[h] += subgroupShuffleXor(v[h], 1u << i);
    }
}
void share_weights() {}
float taken[HEADS];
void take_weights(int i)
{
    [[unroll]] for (int h = 0; h < HEADS; h++) {
        [[unroll]] for (int k = 0; k < MINE; k++) taken[h] = k == i ? weights[h * MINE + k] : taken[h];
    }
}
float weight(int h, int i, uint l) { return subgroupShuffle(taken[h], l); }
#else
shared float shared_weights[HEADS * int(PIECE)];
shared float lane_values[HEADS * LANES];
void give(float v[HEADS])
{
    barrier();
    [[unroll]] for (int h = 0; h < HEADS; h++) lane_values[h * LANES + int(gl_LocalInvocationID.x)] = v[h];
    barrier();
}
void most_of_lanes(inout float v[HEADS])
{
    give(v);
    [[unroll]] for (int h = 0; h < HEADS; h++) {
        for (int i = 0; i < LANES; i++) v[h] = max(v[h], lane_values[h * LANES + i]);
    }
}
void sum_of_lanes(inout float v[HEADS])
{
    give(v);
    [[unroll]] for (int h = 0; h < HEADS; h++) {
        v[h] = 0.0;
        for (int i = 0; i < LANES; i++) v[h] += lane_values[h * LANES + i];
    }
}
void share_weights()
{
    [[unroll]] for (int i = 0; i < HEADS * MINE; i++) shared_weights[i * LANES + int(gl_LocalInvocationID.x)] = weights[i];
    barrier();
}
void take_weights(int i) {}
float weight(int h, int i, uint l) { return shared_weights[uint((h * MINE + i) * LANES) + l]; }
#endif

// The queries, as fours of a word d = span * LANES + lane.
#ifdef SHUFFLE
vec4 own_q[HEADS * SPANS * FOURS];
void load_q(uint at)
{
    [[unroll]] for (int h = 0; h < HEADS; h++) {
        [[unroll]] for (int s = 0; s < SPANS; s++) {
            uint d = min(uint(s * LANES) + gl_LocalInvocationID.x, uint(WORDS - 1));
            uint q = at + uint(h * (HEAD_DIM / 4)) + d * uint(FOURS);
            [[unroll]] for (int f = 0; f < FOURS; f++) own_q[(h * SPANS + s) * FOURS + f] = uintBitsToFloat(WORD(qkv, q + uint(f)));
        }
    }
}
vec4 q_of(int h, int s, int l, int four)
{
    vec4 v = own_q[(h * SPANS + s) * FOURS + four];
    uint from = uint(l);
    return vec4(subgroupShuffle(v.x, from), subgroupShuffle(v.y, from), subgroupShuffle(v.z, from), subgroupShuffle(v.w, from));
}
#else
uint q_at;
void load_q(uint at) { q_at = at; }
vec4 q_of(int h, int s, int l, int four)
{
    return uintBitsToFloat(WORD(qkv, q_at + uint(h * (HEAD_DIM / 4) + (s * LANES + l) * FOURS + four)));
}
#endif

vec4 total[HEADS * TURNS * PART_FOURS];
vec4 sums[HEADS * TURNS * PART_FOURS];

float add_dot(float sum, vec4 q, vec4 k) { return fma(q.w, k.w, fma(q.z, k.z, fma(q.y, k.y, fma(q.x, k.x, sum)))); }

// Scales of a position, of the two blocks that dimension d lies in: see kv.glsl.
#define SCALES(pages, at, d, position) \
    WORD(pages, at + uint(WORDS) * PIECE + (d) / 64 * (PIECE / 4) + (position) / 4)[(position) % 4]
uint own_scales[QUANT ? MINE : 1];

// Scores of the piece's positions with word d: lanes over positions.
void add_scores(uint at, int s, int l)
{
    uint d = uint(s * LANES + l);
    uvec4 words[MINE];
    [[unroll]] for (int i = 0; i < MINE; i++) {
        uint position = uint(i * LANES) + gl_LocalInvocationID.x;
        words[i] = WORD(k_pages, at + d * PIECE + position);
        if (QUANT && l * WIDE % 64 == 0) own_scales[i] = SCALES(k_pages, at, d * uint(WIDE), position);
    }
    [[unroll]] for (int f = 0; f < FOURS; f++) {
        vec4 q[HEADS];
        [[unroll]] for (int h = 0; h < HEADS; h++) q[h] = q_of(h, s, l, f);
        [[unroll]] for (int i = 0; i < MINE; i++) {
            vec4 k = four_of(words[i], f);
            if (QUANT) k *= scale_of(own_scales[i], d * uint(WIDE) / 32 % 2);
            [[unroll]] for (int h = 0; h < HEADS; h++) weights[h * MINE + i] = add_dot(weights[h * MINE + i], q[h], k);
        }
    }
}

// Values of one position of turn i, which has weight l: lanes over dimensions.
void add_values(uint at, uint position, int i, uint l)
{
    float w[HEADS];
    [[unroll]] for (int h = 0; h < HEADS; h++) w[h] = weight(h, i, l);
    [[unroll]] for (int t = 0; t < TURNS; t++) {
        uint share = uint(t * LANES) + gl_LocalInvocationID.x;
        if (SHARES % LANES != 0) share = min(share, uint(SHARES - 1));
        uint d = share * uint(4 * PART_FOURS);
        uvec4 word = WORD(v_pages, at + position * uint(WORDS) + share / uint(IN_WORD));
        float scale = QUANT ? scale_of(SCALES(v_pages, at, d, position), d / 32 % 2) : 1.0;
        [[unroll]] for (int f = 0; f < PART_FOURS; f++) {
            vec4 v = four_of(word, int(share) % IN_WORD * PART_FOURS + f);
            if (QUANT) v *= scale;
            [[unroll]] for (int h = 0; h < HEADS; h++) {
                int to = (h * TURNS + t) * PART_FOURS + f;
                sums[to] = fma(vec4(w[h]), v, sums[to]);
            }
        }
    }
}

float score_of(float dot) { return CAPPED ? capped(dot * a.scale, a.softcap) : dot * a.scale; }

// The row at index r.z of pages sees the positions from seen.x to seen.y; group counts from that of the first.
void attend(uvec4 r, uvec2 seen, uint head)
{
    uint lane = gl_LocalInvocationID.x, group = gl_WorkGroupID.x, kv_head = gl_WorkGroupID.y, row = gl_WorkGroupID.z;
    load_q((row * a.stride + a.q) / 4 + head * uint(HEAD_DIM / 4));

    state whole[HEADS];
    uint begin = (seen.x / GROUP + group) * (GROUP / PIECE);
    uint first = max(begin, seen.x / PIECE), last = min(begin + GROUP / PIECE, seen.y / PIECE + 1);
    for (uint p = first; p < last; p++) {
        uint skip = max(seen.x, p * PIECE) - p * PIECE, count = min(seen.y + 1 - p * PIECE, PIECE);
        uint at = (pages[r.z + p] * a.n_kv_heads + kv_head) * head_words(uint(HEAD_DIM));

        [[unroll]] for (int i = 0; i < HEADS * MINE; i++) weights[i] = 0.0;
        [[unroll]] for (int s = 0; s < SPANS; s++) {
            [[dont_unroll]] for (int l = 0; l < min(LANES, WORDS - s * LANES); l++) add_scores(at, s, l);
        }
        float most[HEADS], sum[HEADS];
        [[unroll]] for (int h = 0; h < HEADS; h++) {
            most[h] = LOWEST;
            [[unroll]] for (int i = 0; i < MINE; i++) {
                uint at = uint(i * LANES) + lane;
                float score = at >= skip && at < count ? score_of(weights[h * MINE + i]) : LOWEST;
                weights[h * MINE + i] = score;
                most[h] = max(most[h], score);
            }
        }
        most_of_lanes(most);

        // Weights, and their sum.
        state now[HEADS];
        [[unroll]] for (int h = 0; h < HEADS; h++) {
            sum[h] = 0.0;
            [[unroll]] for (int i = 0; i < MINE; i++) {
                uint at = uint(i * LANES) + lane;
                float w = at >= skip && at < count ? weight_of(weights[h * MINE + i], most[h]) : 0.0;
                weights[h * MINE + i] = w;
                sum[h] += w;
            }
        }
        sum_of_lanes(sum);
        share_weights();
        [[unroll]] for (int h = 0; h < HEADS; h++) now[h] = state(most[h], sum[h]);

        [[unroll]] for (int i = 0; i < HEADS * TURNS * PART_FOURS; i++) sums[i] = vec4(0.0);
        [[dont_unroll]] for (int i = int(skip) / LANES; uint(i * LANES) < count; i++) {
            take_weights(i);
#ifdef SHUFFLE // what is not seen has weight 0; beyond count, a position that is there is read once more
            [[unroll]] for (uint l = 0; l < 8; l++) {
                add_values(at, min(uint(i * LANES) + l, count - 1), i, l);
            }
#else
            for (uint l = max(skip, uint(i * LANES)); l < min(count, uint((i + 1) * LANES)); l++) {
                add_values(at, l, i, l - uint(i * LANES));
            }
#endif
        }
        [[unroll]] for (int h = 0; h < HEADS; h++) {
            float before, after;
            whole[h] = p == first ? now[h] : merge(whole[h], now[h], before, after);
            [[unroll]] for (int i = 0; i < TURNS * PART_FOURS; i++) {
                int to = h * TURNS * PART_FOURS + i;
                total[to] = p == first ? sums[to] : total[to] * before + sums[to] * after;
            }
        }
    }

    [[unroll]] for (int h = 0; h < HEADS; h++) {
        uint at = ALONE ? row * (a.out_stride / 4) + (head + uint(h)) * uint(HEAD_DIM / 4)
                        : ((row * (a.n_kv_heads * uint(PARTS * HEADS)) + head + uint(h)) * a.max_groups + group) * uint(HEAD_DIM / 4 + 1);
        if (!ALONE && lane == 0) result[at + uint(HEAD_DIM / 4)] = vec4(whole[h].most, whole[h].sum, 0.0, 0.0);
        [[unroll]] for (int t = 0; t < TURNS; t++) {
            uint share = uint(t * LANES) + lane;
            if (share >= uint(SHARES)) continue;
            [[unroll]] for (int f = 0; f < PART_FOURS; f++) {
                vec4 v = total[(h * TURNS + t) * PART_FOURS + f];
                result[at + share * uint(PART_FOURS) + uint(f)] = ALONE ? v / whole[h].sum : v;
            }
        }
    }
}

void main()
{
    uvec4 r = rows[gl_WorkGroupID.z];
    if (r.y == NO_ROW) return;
    uvec2 seen = seen_by(r, a.window);
    if (seen.x / GROUP + gl_WorkGroupID.x > seen.y / GROUP) return;
    for (int part = 0; part < PARTS; part++) attend(r, seen, (gl_WorkGroupID.y * uint(PARTS) + uint(part)) * uint(HEADS));
}

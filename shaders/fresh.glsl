// With ROW, attention.comp takes one row as its products have left it: this turns q, k and v as rope_store.comp
// does, k and v of the row's own position for the workgroup itself as well as into the cache, where they could
// not be seen yet.
layout(std430, binding = 6) writeonly buffer K { uvec4 k_out[]; };
layout(std430, binding = 7) writeonly buffer V { uvec4 v_out[]; };
WORDS(8, rope);
WORDS(9, terms);

const bool BIAS = (TERMS & 1u) != 0, NORM = (TERMS & 2u) != 0, LATE = (TERMS & 4u) != 0, SCALED = (TERMS & 8u) != 0,
           V_NORM = (TERMS & 16u) != 0, SINKS = (TERMS & 32u) != 0;
#include "half.glsl"
#include "heads.glsl"

uint own_at = NO_ROW; // of the piece at hand, the place of the row's own position, or beyond all
uvec4 own_v[TURNS];   // the words that hold a lane's shares
#ifdef SHUFFLE
uvec4 own_k[SPANS];
uvec4 own_k_word(int s, int l) { return subgroupShuffle(own_k[s], uint(l)); }
#else
shared uvec4 own_k[WORDS];
shared vec4 turned_q[QUERIES * WORDS * FOURS];
uvec4 own_k_word(int s, int l) { return own_k[s * LANES + l]; }
#endif

// Pairs that are half of rope_dim apart: rope_dim is a multiple of 8.
vec4 turned_far(uint at, uint d, float scale, bool is_q, vec4 v)
{
    uint turn = d - h.rope_at, apart = h.rope_dim / 2, word = turn % apart / 2;
    bool is_first = turn < apart;
    vec4 other = normed_four(0, at, is_first ? d + apart : d - apart, scale, is_q, false), x = is_first ? v : other, y = is_first ? other : v;
    vec4 low = uintBitsToFloat(WORD(rope, word)), high = uintBitsToFloat(WORD(rope, word + 1));
    vec2 a = rotate(vec2(x.x, y.x), low.xy), b = rotate(vec2(x.y, y.y), low.zw), c = rotate(vec2(x.z, y.z), high.xy),
         e = rotate(vec2(x.w, y.w), high.zw);
    return is_first ? vec4(a.x, b.x, c.x, e.x) : vec4(a.y, b.y, c.y, e.y);
}

// Dimensions d to d + 3 of a head of q or k.
vec4 turned_four(uint at, uint d, float scale, bool is_q)
{
    vec4 v = normed_four(0, at, d, scale, is_q, false);
    uint turn = d - h.rope_at; // below rope_at: beyond all
    if (turn < h.rope_dim) {
        if (h.neox != 0) v = turned_far(at, d, scale, is_q, v);
        else {
            vec4 turns = uintBitsToFloat(WORD(rope, turn / 4));
            v = vec4(rotate(v.xy, turns.xy), rotate(v.zw, turns.zw));
        }
    }
    if (NORM && LATE) v *= gain_four(is_q, d);
    if (SCALED && is_q) v *= q_factor(0);
    return v;
}

float scale_of_head(bool normed, uint at, uint dim) { return NORM && normed ? norm_scale(0, at, dim) : 1.0; }

#ifdef SHUFFLE
void load_q(uint head)
{
    [[unroll]] for (int n = 0; n < QUERIES; n++) {
        uint at = h.q + (head + uint(n)) * uint(HEAD_DIM);
        float scale = scale_of_head(true, at, HEAD_DIM);
        [[unroll]] for (int s = 0; s < SPANS; s++) {
            uint word = min(uint(s * LANES) + gl_LocalInvocationID.x, uint(WORDS - 1));
            [[unroll]] for (int f = 0; f < FOURS; f++)
                own_q[(n * SPANS + s) * FOURS + f] = turned_four(at, word * uint(WIDE) + uint(4 * f), scale, true);
        }
    }
}
#else
shared float q_scales[QUERIES];
void load_q(uint head)
{
    const uint at = h.q + head * uint(HEAD_DIM);
    [[dont_unroll]] for (int n = 0; n < (NORM ? QUERIES : 0); n++) {
        float scale = norm_scale(0, at + uint(n * HEAD_DIM), HEAD_DIM);
        if (gl_LocalInvocationID.x == 0) q_scales[n] = scale;
    }
    if (NORM) barrier();
    [[dont_unroll]] for (uint i = gl_LocalInvocationID.x; i < uint(QUERIES * HEAD_DIM / 4); i += uint(LANES)) {
        uint n = i / uint(HEAD_DIM / 4), d = i % uint(HEAD_DIM / 4) * 4;
        turned_q[i] = turned_four(at + n * uint(HEAD_DIM), d, NORM ? q_scales[n] : 1.0, true);
    }
    barrier();
}
#endif

uvec4 word_of(vec4 a, vec4 b)
{
    return KV == 0 ? uvec4(half_pair(a.xy), half_pair(a.zw), half_pair(b.xy), half_pair(b.zw)) : floatBitsToUint(a);
}

vec4 value_four(uint at, uint d, float scale) { return normed_four(0, at, d, scale, false, true); }

// K and V of the workgroup's head at the row's own position, if the group holds that. One workgroup of each
// head writes them to the cache.
void turn_own_of(uint group)
{
    const uint own = rows[0].y, position = own % PIECE, kv_head = column / uint(SPLIT);
    if (own / GROUP != group) return;
    const bool stores = column % uint(SPLIT) == 0;
    const uint page = pages[table + own / PIECE] * a.n_kv_heads + kv_head;
    const uint at = h.k + kv_head * uint(HEAD_DIM), v_at = h.v + kv_head * uint(V_DIM), second = KV == 0 ? 4 : 0;
    float scale = scale_of_head(true, at, HEAD_DIM), v_scale = scale_of_head(V_NORM, v_at, V_DIM);
    [[unroll]] for (int s = 0; s < SPANS; s++) {
        uint word = uint(s * LANES) + gl_LocalInvocationID.x, d = min(word, uint(WORDS - 1)) * uint(WIDE);
        uvec4 k = word_of(turned_four(at, d, scale, false), turned_four(at, d + second, scale, false));
#ifdef SHUFFLE
        own_k[s] = k;
#else
        if (word < uint(WORDS)) own_k[word] = k;
#endif
        if (stores && word < uint(WORDS)) k_out[page * head_words(uint(HEAD_DIM)) + word * PIECE + position] = k;
    }
    [[unroll]] for (int t = 0; t < TURNS; t++) {
        uint share = uint(t * LANES) + gl_LocalInvocationID.x, word = min(share, uint(SHARES - 1)), d = word * uint(WIDE);
        own_v[t] = word_of(value_four(v_at, d, v_scale), value_four(v_at, d + second, v_scale));
        if (stores && share < uint(SHARES)) v_out[page * head_words(uint(V_DIM)) + position * uint(V_WORDS) + word] = own_v[t];
    }
#ifndef SHUFFLE
    barrier();
#endif
}

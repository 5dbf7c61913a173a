// Rotates q and k by the row's position, q in place, and writes k and v to the cache. An invocation
// takes four values of a head at a time. Before that, biases are added and q and k normalised.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "args.h"
#include "words.glsl"
#include "half.glsl"
#include "cache.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const int KV = 0;
layout(constant_id = 2) const bool BIAS = false;
layout(constant_id = 3) const bool NORM = false; // each head of q and k
layout(constant_id = 4) const bool LATE = false; // its gains multiply what was rotated
layout(constant_id = 5) const bool SCALED = false; // q by the last word of the row's cos and sin
layout(constant_id = 6) const bool V_NORM = false; // with NORM: each head of v, without gains
#include "kv.glsl"
WORDS(0, qkv);
WORDS(1, rows); // struct step_row
WORDS(2, rope); // cos, sin (rows, rope_pairs)
WORDS(3, pages);
layout(std430, binding = 4) writeonly buffer K { uint k_pages[]; };
layout(std430, binding = 5) writeonly buffer V { uint v_pages[]; };
layout(std430, binding = 6) writeonly buffer Q { vec2 turned_q[]; }; // qkv
WORDS(7, terms); // a row of biases as one of qkv, the gains of q, the gains of k
layout(push_constant) uniform Push { rope_args h; };
#include "heads.glsl"

shared float head_values[QUANT ? ATTENTION_MAX_K : 1];      // of a head of k or v
shared uint block_scales[QUANT ? ATTENTION_MAX_K / 32 : 1]; // f16

uint dim_of(bool is_v) { return is_v ? h.v_dim : h.head_dim; }

// Where the uint of dimension d of a head's K or V lies.
uint place(bool is_v, uint d, uint position)
{
    uint wide = uint(WIDE), word = is_v ? position * (h.v_dim / wide) + d / wide : d / wide * PIECE + position;
    return word * 4 + d % wide / (wide / 4);
}

void put(bool is_v, uint at, uint value)
{
    if (is_v) v_pages[at] = value;
    else k_pages[at] = value;
}

// Dimensions d and d + 1, d even, of the head at `at`.
void store(bool is_v, uint at, uint d, uint position, vec2 v)
{
    if (QUANT) {
        head_values[d] = v.x;
        head_values[d + 1] = v.y;
        return;
    }
    at += place(is_v, d, position);
    put(is_v, at, KV == 0 ? half_pair(v) : floatBitsToUint(v.x));
    if (KV == 1) put(is_v, at + 1, floatBitsToUint(v.y));
}

// The f16 scale of a block of head_values: 8 bits reach from -127 to 127, 4 bits from -8, which the
// largest value becomes whatever its sign, to 7.
uint block_scale(uint block, uint dim)
{
    float most = 0.0;
    for (uint i = 32 * block; i < min(32 * block + 32, dim); i++)
        most = abs(head_values[i]) > abs(most) ? head_values[i] : most;
    return half_bits(clamp(KV == 2 ? abs(most) / 127.0 : most / -8.0, -65504.0, 65504.0));
}

// By the whole workgroup: rounds head_values, a uint of them a turn, and writes them.
void store_blocks(bool is_v, uint at, uint position)
{
    uint dim = dim_of(is_v);
    for (uint block = gl_LocalInvocationID.x; block * 32 < dim; block += gl_WorkGroupSize.x)
        block_scales[block] = block_scale(block, dim);
    barrier();
    uint many = uint(FOURS), bits = 32 / many;
    for (uint d = gl_LocalInvocationID.x * many; d < dim; d += gl_WorkGroupSize.x * many) {
        float scale = scale_of(block_scales[d / 32], 0), inverse = scale == 0.0 ? 0.0 : 1.0 / scale;
        uint word = 0;
        for (uint i = 0; i < many; i++) {
            int q = int(roundEven(head_values[d + i] * inverse));
            q = KV == 2 ? clamp(q, -127, 127) : clamp(q, -8, 7) + 8;
            word |= (uint(q) & (KV == 2 ? 255u : 15u)) << i * bits;
        }
        put(is_v, at + place(is_v, d, position), word);
    }
    uint scales = at + 4 * quant_words(dim) + position;
    for (uint two = gl_LocalInvocationID.x; two * 64 < dim; two += gl_WorkGroupSize.x) {
        uint second = 64 * two + 32 < dim ? block_scales[2 * two + 1] : 0;
        put(is_v, scales + two * PIECE, block_scales[2 * two] | second << 16);
    }
}

// Where a head of q, k or v begins in its row.
uint head_at(uint head)
{
    if (head < h.n_heads) return h.q + head * h.head_dim;
    head -= h.n_heads;
    return head < h.n_kv_heads ? h.k + head * h.head_dim : h.v + (head - h.n_kv_heads) * h.v_dim;
}

vec2 couple_of(vec4 v, uint d) { return (d & 2u) == 0u ? v.xy : v.zw; }

// Dimensions d and d + 1, d even, of a head at `at`.
vec2 read_two(uint row, uint at, uint d, float scale, bool is_q, bool is_v)
{
    return couple_of(normed_four(row, at, d, scale, is_q, is_v), d);
}

// Where a KV head's part of a page begins.
uint cache_place(bool is_v, uint page, uint head) { return (page * h.n_kv_heads + head) * head_words(dim_of(is_v)) * 4; }

void serve(uint row, uvec4 r, uint page, uint head, uint t, float scale)
{
    uint at_head = head_at(head), from = row * h.stride + at_head;
    bool is_q = head < h.n_heads, is_v = head >= h.n_heads + h.n_kv_heads;
    if (!is_q) head -= is_v ? h.n_heads + h.n_kv_heads : h.n_heads;

    // The two couples of dimensions that this invocation turns.
    uint turn = 4 * t - h.rope_at; // below rope_at: beyond all
    bool turned = !is_v && turn < h.rope_dim;
    bool neox = turned && h.neox != 0;
    uint first = neox ? h.rope_at + turn / 2 : 4 * t, second = neox ? first + h.rope_dim / 2 : first + 2;
    uint in_head = at_head;
    if (is_q && h.turned_each != 0) {
        if (!turned && !SCALED) return;
        if (turned) in_head = h.turned + head * h.turned_each - h.rope_at;
    }
    vec2 u = read_two(row, in_head, first, scale, is_q, is_v), w = read_two(row, in_head, second, scale, is_q, is_v);
    if (turned) {
        vec4 turns = uintBitsToFloat(WORD(rope, row * (h.rope_pairs / 2) + turn / 4));
        vec2 p = rotate(neox ? vec2(u.x, w.x) : u, turns.xy), q = rotate(neox ? vec2(u.y, w.y) : w, turns.zw);
        u = neox ? vec2(p.x, q.x) : p;
        w = neox ? vec2(p.y, q.y) : q;
    }
    if (NORM && LATE && !is_v) {
        u *= couple_of(gain_four(is_q, first), first);
        w *= couple_of(gain_four(is_q, second), second);
    }
    if (is_q) {
        if (SCALED) {
            float by = q_factor(row);
            u *= by;
            w *= by;
        }
        turned_q[(from + first) / 2] = u;
        turned_q[(from + second) / 2] = w;
        return;
    }
    uint position = r.y % PIECE, at = cache_place(is_v, page, head);
    store(is_v, at, first, position, u);
    store(is_v, at, second, position, w);
}

void main()
{
    uint row = gl_WorkGroupID.y;
    uvec4 r = WORD(rows, row);
    if (r.y == NO_ROW) return;
    uint entry = r.z + r.y / PIECE, page = WORD(pages, entry / 4)[entry % 4];
    uint n_turned = h.n_heads + h.n_kv_heads, fours = h.head_dim / 4, v_fours = h.v_dim / 4;
    if (NORM || QUANT) { // a workgroup takes whole heads
        for (uint head = gl_WorkGroupID.x; head < n_turned + h.n_v_heads; head += gl_NumWorkGroups.x) {
            bool is_v = head >= n_turned;
            float scale = NORM && (V_NORM || !is_v) ? norm_scale(row, head_at(head), dim_of(is_v)) : 1.0;
            for (uint t = gl_LocalInvocationID.x; t < (is_v ? v_fours : fours); t += gl_WorkGroupSize.x) serve(row, r, page, head, t, scale);
            if (!QUANT || head < h.n_heads) continue;
            barrier();
            store_blocks(is_v, cache_place(is_v, page, (head - h.n_heads) % h.n_kv_heads), r.y % PIECE);
            barrier();
        }
        return;
    }
    for (uint item = gl_GlobalInvocationID.x; item < h.items; item += gl_NumWorkGroups.x * gl_WorkGroupSize.x)
        if (item < n_turned * fours) serve(row, r, page, item / fours, item % fours, 1.0);
        else serve(row, r, page, n_turned + (item - n_turned * fours) / v_fours, (item - n_turned * fours) % v_fours, 1.0);
}

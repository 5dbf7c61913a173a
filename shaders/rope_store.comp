// Rotates q and k by the row's position, q in place, and writes k and v to the cache. An invocation
// takes four values of a head at a time. Before that, biases are added and q and k normalised.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "args.h"
#include "words.glsl"
#include "half.glsl"
#include "cache.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const bool F16 = false;
layout(constant_id = 2) const bool BIAS = false;
layout(constant_id = 3) const bool NORM = false; // each head of q and k
layout(constant_id = 4) const bool LATE = false; // its gains multiply what was rotated
layout(constant_id = 5) const bool SCALED = false; // q by the last word of the row's cos and sin
WORDS(0, qkv);
WORDS(1, rows); // struct step_row
WORDS(2, rope); // cos, sin (rows, rope_pairs)
WORDS(3, pages);
layout(std430, binding = 4) writeonly buffer K { uint k_pages[]; };
layout(std430, binding = 5) writeonly buffer V { uint v_pages[]; };
layout(std430, binding = 6) writeonly buffer Q { vec2 turned_q[]; }; // qkv
WORDS(7, terms); // a row of biases as one of qkv, the gains of q, the gains of k
layout(push_constant) uniform Push { rope_args a; };

shared float squares[gl_WorkGroupSize.x];

const uint WIDE = F16 ? 8 : 4;

vec2 rotate(vec2 v, vec2 turn) { return vec2(v.x * turn.x - v.y * turn.y, v.x * turn.y + v.y * turn.x); }

// Where dimension d (even) of a head's K or V begins, in uints.
uint k_place(uint d, uint position) { return (d / WIDE * PIECE + position) * 4 + (F16 ? d % WIDE / 2 : d % WIDE); }
uint v_place(uint d, uint position) { return (position * (a.head_dim / WIDE) + d / WIDE) * 4 + (F16 ? d % WIDE / 2 : d % WIDE); }

void store_k(uint at, vec2 v)
{
    if (F16)
        k_pages[at] = half_pair(v);
    else {
        k_pages[at] = floatBitsToUint(v.x);
        k_pages[at + 1] = floatBitsToUint(v.y);
    }
}

void store_v(uint at, vec2 v)
{
    if (F16)
        v_pages[at] = half_pair(v);
    else {
        v_pages[at] = floatBitsToUint(v.x);
        v_pages[at + 1] = floatBitsToUint(v.y);
    }
}

// Where a head of q, k or v begins in its row.
uint head_at(uint head)
{
    if (head < a.n_heads) return a.q + head * a.head_dim;
    head -= a.n_heads;
    return head < a.n_kv_heads ? a.k + head * a.head_dim : a.v + (head - a.n_kv_heads) * a.head_dim;
}

vec4 read_four(uint row, uint at)
{
    vec4 v = uintBitsToFloat(WORD(qkv, (row * a.stride + at) / 4));
    if (BIAS) v += uintBitsToFloat(WORD(terms, at / 4));
    return v;
}

// Dimensions d and d + 1, d even, of a head at `at`, whose gains lie at `gain`; scale 0: no norm.
vec2 read_two(uint row, uint at, uint d, float scale, uint gain)
{
    vec4 v = read_four(row, at + d);
    if (NORM && scale != 0.0) {
        v *= scale;
        if (!LATE) v *= uintBitsToFloat(WORD(terms, (gain + d) / 4));
    }
    return (d & 2u) == 0u ? v.xy : v.zw;
}

vec2 gains_of(uint gain, uint d)
{
    vec4 v = uintBitsToFloat(WORD(terms, (gain + d) / 4));
    return (d & 2u) == 0u ? v.xy : v.zw;
}

// By the whole workgroup: what the norm multiplies a head of q or k by.
float norm_scale(uint row, uint head)
{
    vec4 sums = vec4(0.0);
    for (uint d = 4 * gl_LocalInvocationID.x; d < a.head_dim; d += 4 * gl_WorkGroupSize.x) {
        vec4 v = read_four(row, head_at(head) + d);
        sums = fma(v, v, sums);
    }
    barrier();
    squares[gl_LocalInvocationID.x] = (sums.x + sums.y) + (sums.z + sums.w);
    barrier();
    float sum = 0.0;
    for (uint i = 0; i < gl_WorkGroupSize.x; i++) sum += squares[i];
    return 1.0 / sqrt(sum / float(a.head_dim) + a.eps);
}

void serve(uint row, uvec4 r, uint page, uint head, uint t, float scale)
{
    uint at_head = head_at(head), from = row * a.stride + at_head;
    bool is_q = head < a.n_heads, is_v = head >= a.n_heads + a.n_kv_heads;
    if (!is_q) head -= is_v ? a.n_heads + a.n_kv_heads : a.n_heads;

    // The two couples of dimensions that this invocation turns.
    bool turned = !is_v && 4 * t < a.rope_dim;
    bool neox = turned && a.neox != 0;
    uint first = neox ? 2 * t : 4 * t, second = neox ? first + a.rope_dim / 2 : first + 2;
    uint gain = a.stride + (is_q ? 0 : a.head_dim);
    vec2 u = read_two(row, at_head, first, scale, gain), w = read_two(row, at_head, second, scale, gain);
    if (turned) {
        vec4 turns = uintBitsToFloat(WORD(rope, row * (a.rope_pairs / 2) + t));
        vec2 p = rotate(neox ? vec2(u.x, w.x) : u, turns.xy), q = rotate(neox ? vec2(u.y, w.y) : w, turns.zw);
        u = neox ? vec2(p.x, q.x) : p;
        w = neox ? vec2(p.y, q.y) : q;
    }
    if (NORM && LATE && !is_v) {
        u *= gains_of(gain, first);
        w *= gains_of(gain, second);
    }
    if (is_q) {
        if (SCALED) {
            float by = uintBitsToFloat(WORD(rope, row * (a.rope_pairs / 2) + a.rope_pairs / 2 - 1).x);
            u *= by;
            w *= by;
        }
        turned_q[(from + first) / 2] = u;
        turned_q[(from + second) / 2] = w;
        return;
    }
    uint position = r.y % PIECE, at = (page * a.n_kv_heads + head) * (a.head_dim / WIDE * PIECE * 4);
    if (is_v) {
        store_v(at + v_place(first, position), u);
        store_v(at + v_place(second, position), w);
    } else {
        store_k(at + k_place(first, position), u);
        store_k(at + k_place(second, position), w);
    }
}

void main()
{
    uint row = gl_WorkGroupID.y;
    uvec4 r = WORD(rows, row);
    if (r.y == NO_ROW) return;
    uint entry = r.z + r.y / PIECE, page = WORD(pages, entry / 4)[entry % 4];
    uint fours = a.head_dim / 4;
    if (NORM) { // a workgroup takes whole heads
        for (uint head = gl_WorkGroupID.x; head < a.items / fours; head += gl_NumWorkGroups.x) {
            float scale = head < a.n_heads + a.n_kv_heads ? norm_scale(row, head) : 0.0;
            for (uint t = gl_LocalInvocationID.x; t < fours; t += gl_WorkGroupSize.x) serve(row, r, page, head, t, scale);
        }
        return;
    }
    for (uint item = gl_GlobalInvocationID.x; item < a.items; item += gl_NumWorkGroups.x * gl_WorkGroupSize.x)
        serve(row, r, page, item / fours, item % fours, 1.0);
}

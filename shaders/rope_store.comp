// Rotates q and k by the row's position, q in place, and writes k and v to the cache. An invocation
// takes four values of a head at a time.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "args.h"
#include "words.glsl"
#include "half.glsl"
#include "cache.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const bool F16 = false;
WORDS(0, qkv);
WORDS(1, rows); // struct step_row
WORDS(2, rope); // cos, sin (rows, rope_pairs)
WORDS(3, pages);
layout(std430, binding = 4) writeonly buffer K { uint k_pages[]; };
layout(std430, binding = 5) writeonly buffer V { uint v_pages[]; };
layout(std430, binding = 6) writeonly buffer Q { vec2 turned_q[]; }; // qkv
layout(push_constant) uniform Push { rope_args a; };

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

// Dimensions d and d + 1, d even, of the floats that begin at from.
vec2 read_two(uint from, uint d)
{
    vec4 v = uintBitsToFloat(WORD(qkv, (from + d) / 4));
    return (d & 2u) == 0u ? v.xy : v.zw;
}

void serve(uint row, uvec4 r, uint page, uint item)
{
    uint fours = a.head_dim / 4, head = item / fours, t = item % fours;
    bool is_q = head < a.n_heads, is_v = head >= a.n_heads + a.n_kv_heads;
    if (!is_q) head -= is_v ? a.n_heads + a.n_kv_heads : a.n_heads;

    // The two couples of dimensions that this invocation turns.
    bool turned = !is_v && 4 * t < a.rope_dim;
    bool neox = turned && a.neox != 0;
    uint first = neox ? 2 * t : 4 * t, second = neox ? first + a.rope_dim / 2 : first + 2;
    uint from = row * a.stride + (is_v ? a.v : is_q ? a.q : a.k) + head * a.head_dim;
    vec2 u = read_two(from, first), w = read_two(from, second);
    if (turned) {
        vec4 turns = uintBitsToFloat(WORD(rope, row * (a.rope_pairs / 2) + t));
        vec2 p = rotate(neox ? vec2(u.x, w.x) : u, turns.xy), q = rotate(neox ? vec2(u.y, w.y) : w, turns.zw);
        u = neox ? vec2(p.x, q.x) : p;
        w = neox ? vec2(p.y, q.y) : q;
    }
    if (is_q) {
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
    for (uint item = gl_GlobalInvocationID.x; item < a.items; item += gl_NumWorkGroups.x * gl_WorkGroupSize.x) serve(row, r, page, item);
}

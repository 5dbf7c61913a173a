// y = W x as in mat.comp, for weights of 4 bits and x rounded to integers. Two rows share each 32-bit
// multiplication: the sum of 16 products of (-8..7) and (-255..255) fits 16 bits. Lanes are 8.
// With NORM, the workgroup that finishes last makes the norm of y.
#version 450
#extension GL_EXT_control_flow_attributes : require
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "args.h"
#include "words.glsl"
#include "int.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const int COLUMNS = 1;
layout(constant_id = 2) const int MATRICES = 1;   // 2: y = activate(first) * second
layout(constant_id = 3) const int INTO = 0;       // what y holds: 1: added; 2: y = activate(it) * y
layout(constant_id = 4) const bool ROUND = false; // y, or its norm, to integers, too
layout(constant_id = 5) const int ACTIVATION = 0;
layout(constant_id = 6) const bool BIAS = false;  // without NORM

WORDS(0, first);
WORDS(1, second);
WORDS(2, x);
#ifdef NORM
layout(std430, binding = 3) coherent buffer Y { vec4 y[]; };
WORDS(4, gain);
layout(std430, binding = 5) writeonly buffer Normed { vec4 normed[]; };
layout(std430, binding = 6) coherent buffer Finished { uint finished; }; // workgroups; 0 before and after
layout(push_constant) uniform Push { mat_norm_args a; };
const bool ROUND_Y = false;
#define NORM_IN(i) y[i]
#define NORM_GAIN(i) uintBitsToFloat(WORD(gain, i))
#include "norm.glsl"
#else
const bool ROUND_Y = ROUND;
layout(std430, binding = 3) buffer Y { vec4 y[]; };
layout(std430, binding = 4) readonly buffer Bias { vec4 bias[]; };
layout(push_constant) uniform Push { mat_args a; };
#endif
#define ACT(i) a.act[i]
#include "activation.glsl"

#define X_AT(n) uint(n) * a.x_stride
#include "mat_int.glsl"

#ifdef NORM
bool is_last()
{
    uint n = 0;
    memoryBarrierBuffer();
    if (lane == 0) n = atomicAdd(finished, 1u);
    return subgroupShuffle(n, 0u) + 1u == gl_NumWorkGroups.x * gl_NumWorkGroups.y * gl_NumWorkGroups.z;
}

void make_norms()
{
    memoryBarrierBuffer();
    if (lane == 0) finished = 0u;
    for (uint row = 0; row < a.all_rows; row++) {
        uint at = row * a.y_stride, chunks = uint(a.n) / 4;
        float scale = norm_scale(at, chunks, a.n, a.eps, 0.0);
        for (uint i = lane; i < chunks; i += 8) {
            vec4 v = norm_four(at, i, scale);
            normed[at + i] = ROUND ? uintBitsToFloat(round_block(v)) : v;
        }
    }
}
#endif

void main()
{
    lane = gl_LocalInvocationID.x;
    uint tile = gl_WorkGroupID.z * gl_NumWorkGroups.y + gl_WorkGroupID.y, column = gl_WorkGroupID.x * uint(COLUMNS);
    if (tile * 32 >= a.rows) return;
    uint at = tile * tile_words(a.blocks), x_at = column * a.x_stride;
    add_matrix(0, x_at, at, a.blocks);
    vec4 gates[COLUMNS];
    [[unroll]] for (int n = 0; n < COLUMNS; n++) gates[n] = sums[n];
    if (MATRICES == 2) add_matrix(1, x_at, at, a.blocks);

    uint row = tile * 32 + lane * 4, y_at = column * a.y_stride + a.y_at + row / 4;
    [[unroll]] for (int n = 0; n < COLUMNS; n++) {
        vec4 v = gates[n];
#ifndef NORM
        if (BIAS && row < a.rows) v += bias[row / 4];
#endif
        if (INTO == 2 && row < a.rows) v *= activate(y[y_at]);
        if (INTO != 2) v = activate(v);
        if (MATRICES == 2) v *= sums[n];
        if (ROUND_Y) v = uintBitsToFloat(round_block(v));
        if (row < a.rows || ROUND_Y) {
            if (INTO == 1) v += y[y_at];
            y[y_at] = v;
        }
        y_at += a.y_stride;
    }
#ifdef NORM
    if (is_last()) make_norms();
#endif
}

// y = W x for COLUMNS rows of x at a time.
#version 450
#extension GL_EXT_control_flow_attributes : require
#extension GL_GOOGLE_include_directive : require
#ifdef SHUFFLE
#extension GL_KHR_shader_subgroup_shuffle : require
#endif
#include "args.h"
#include "words.glsl"

#ifdef FLAT // for SwiftShader: no loop left to unroll, no fused multiplication, which it computes in software
layout(local_size_x = 8) in;
const int COLUMNS = 1, MATRICES = 1;
#define fma(a, b, c) ((a) * (b) + (c))
#else
layout(local_size_x_id = 0, local_size_y_id = 1) in; // 8 lanes a tile; pieces of K
layout(constant_id = 2) const int COLUMNS = 1;
layout(constant_id = 3) const int MATRICES = 1;      // 2: y = activate(first) * second
#endif
layout(constant_id = 4) const int INTO = 0;          // what y holds: 1: added; 2: y = activate(it) * y
layout(constant_id = 5) const int ACTIVATION = 0;
layout(constant_id = 6) const bool BIAS = false;

WORDS(0, first);
WORDS(1, second);
WORDS(2, x);
layout(std430, binding = 3) buffer Y { vec4 y[]; };
layout(std430, binding = 4) readonly buffer Bias { vec4 bias[]; };
layout(push_constant) uniform Push { mat_args a; };
#define ACT(i) a.act[i]
#include "activation.glsl"

#define X_AT(n) uint(n) * a.x_stride
#include "mat.glsl"

void main()
{
    lane = gl_LocalInvocationID.x & 7u;
    uint tile = (gl_WorkGroupID.z * gl_NumWorkGroups.y + gl_WorkGroupID.y) * (gl_WorkGroupSize.x / 8) + gl_LocalInvocationID.x / 8;
    uint row = tile * 32 + lane * 4, column = gl_WorkGroupID.x * uint(COLUMNS);
    if (!multiply(column * a.x_stride, tile * tile_words(a.blocks), tile * 32 < a.rows) || row >= a.rows) return;

    uint y_at = column * a.y_stride + a.y_at + row / 4;
    [[unroll]] for (int n = 0; n < COLUMNS; n++) {
        vec4 v = BIAS ? sums[n] + bias[row / 4] : sums[n];
        v = INTO == 2 ? v * activate(y[y_at]) : activate(v);
        if (MATRICES == 2) v *= sums[SUMS - COLUMNS + n];
        if (INTO == 1) v += y[y_at];
        y[y_at] = v;
        y_at += a.y_stride;
    }
}

// y = W x for COLUMNS rows of x at a time. With DOT, x is rounded to bytes, and y too if ROUND says so.
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
layout(local_size_x_id = 0, local_size_y_id = 1) in; // 8 lanes a tile of 32 rows; pieces of K
layout(constant_id = 2) const int COLUMNS = 1;
layout(constant_id = 3) const int MATRICES = 1;      // 2: y = activate(first) * second
#endif
layout(constant_id = 4) const int INTO = 0;          // what y holds: 1: added; 2: y = activate(it) * y
layout(constant_id = 5) const int ACTIVATION = 0;
layout(constant_id = 6) const bool BIAS = false;
#ifdef DOT
layout(constant_id = 7) const bool ROUND = false;    // with INTO 0 and 8 lanes
#endif

WORDS(0, first);
WORDS(1, second);
WORDS(2, x);
layout(std430, binding = 3) buffer Y { vec4 y[]; };
layout(std430, binding = 4) readonly buffer Bias { vec4 bias[]; };
layout(push_constant) uniform Push { mat_args a; };
#define ACT(i) a.act[i]
#include "activation.glsl"

#define GRID 5
#define X_AT(n) uint(n) * a.x_stride
#include "mat.glsl"

// What becomes of the sums of row n of x.
vec4 made_of(int n, uint row, uint y_at)
{
    vec4 v = BIAS ? sums[n] + bias[row / 4] : sums[n];
    v = INTO == 2 ? v * activate(y[y_at]) : activate(v);
    if (MATRICES == 2) v *= sums[SUMS - COLUMNS + n];
    if (INTO == 1) v += y[y_at];
    return v;
}

#ifdef DOT
// Once the first 8 lanes, those that are whole, hold the sums: COLUMNS invocations round a block each.
void round_tile(bool whole, uint tile, uint column)
{
    uint id = gl_LocalInvocationIndex, row = tile * 32 + lane * 4;
    barrier();
    [[unroll]] for (int n = 0; n < COLUMNS; n++) {
        if (whole) pieces[n * 8 + int(lane)] = row < a.rows ? made_of(n, row, 0) : vec4(0.0);
    }
    barrier();
    if (id >= uint(COLUMNS) || tile * 32 >= a.rows) return;
    vec4 v[8];
    uvec4 words[3];
    [[unroll]] for (int k = 0; k < 8; k++) v[k] = pieces[id * 8 + uint(k)];
    round_block(v, words);
    uint at = (column + id) * a.y_stride + (a.y_at / 8 + tile) * 3;
    [[unroll]] for (int k = 0; k < 3; k++) y[at + uint(k)] = uintBitsToFloat(words[k]);
}
#endif

void main()
{
    uint lanes = (gl_WorkGroupID.z * gl_NumWorkGroups.y + gl_WorkGroupID.y) * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    uint tile = lanes / 8, row = lanes * 4, column = gl_WorkGroupID.x * uint(COLUMNS);
    lane = lanes % 8;
    bool whole = multiply(column * a.x_stride, tile * tile_words(a.blocks), tile * 32 < a.rows ? a.blocks : 0);
#ifdef DOT
    if (ROUND) {
        round_tile(whole, tile, column);
        return;
    }
#endif
    if (!whole || row >= a.rows) return;
    uint y_at = column * a.y_stride + a.y_at + row / 4;
    [[unroll]] for (int n = 0; n < COLUMNS; n++) {
        y[y_at] = made_of(n, row, y_at);
        y_at += a.y_stride;
    }
}

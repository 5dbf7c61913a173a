// y = W x for COLUMNS rows of x at a time. A lane owns 4 rows of weights and walks K in order: nothing is reduced over lanes, and
// the sum of a row is the same whatever COLUMNS is.
#version 450
#extension GL_EXT_control_flow_attributes : require
#extension GL_GOOGLE_include_directive : require
#ifdef SHUFFLE
#extension GL_KHR_shader_subgroup_shuffle : require
#endif
#include "args.h"
#include "words.glsl"

layout(local_size_x_id = 0, local_size_y_id = 1) in; // 8 lanes a tile; pieces of K
layout(constant_id = 2) const int COLUMNS = 1;
layout(constant_id = 3) const int MATRICES = 1;      // 2: y = silu(first) * second
layout(constant_id = 4) const bool ADD = false;      // to what y holds

WORDS(0, first);
WORDS(1, second);
WORDS(2, x);
layout(std430, binding = 3) buffer Y { vec4 y[]; };
layout(push_constant) uniform Push { mat_args a; };

int matrix;
uvec4 W4(uint i)
{
    if (matrix == 0) return WORD(first, i);
    return WORD(second, i);
}
#include "format.glsl"

const int SUMS = MATRICES * COLUMNS;
const int PIECES = int(gl_WorkGroupSize.y);
shared vec4 pieces[(PIECES - 1) * int(gl_WorkGroupSize.x) * SUMS + 1];

vec4 sums[SUMS];              // of the lane's four rows
#ifdef SHUFFLE
// Each of the 8 lanes holds four of the block's columns.
vec4 own[COLUMNS];
vec4 x_of(int n, int g)
{
    return vec4(subgroupShuffle(own[n].x, g), subgroupShuffle(own[n].y, g), subgroupShuffle(own[n].z, g),
                subgroupShuffle(own[n].w, g));
}
#else
vec4 block[COLUMNS * 8];
vec4 x_of(int n, int g) { return block[n * 8 + g]; }
#endif
float x_sum[COLUMNS * 2];

void load_x(uint at, uint lane)
{
    [[unroll]] for (int n = 0; n < COLUMNS; n++) {
        uint row = at + uint(n) * a.x_stride;
#ifdef SHUFFLE
        own[n] = uintBitsToFloat(WORD(x, row + lane));
        if (OFFSET == 0) continue;
        float s = (own[n].x + own[n].y) + (own[n].z + own[n].w);
        s += subgroupShuffleXor(s, 1);
        s += subgroupShuffleXor(s, 2);
        if (SCALES == 2) {
            x_sum[2 * n] = subgroupShuffle(s, 0);
            x_sum[2 * n + 1] = subgroupShuffle(s, 4);
        } else
            x_sum[2 * n] = s + subgroupShuffleXor(s, 4);
#else
        [[unroll]] for (int g = 0; g < 8; g++) block[n * 8 + g] = uintBitsToFloat(WORD(x, row + uint(g)));
        if (OFFSET == 0) continue;
        [[unroll]] for (int h = 0; h < 2; h++) {
            vec4 s = (block[n * 8 + 4 * h] + block[n * 8 + 4 * h + 1]) + (block[n * 8 + 4 * h + 2] + block[n * 8 + 4 * h + 3]);
            x_sum[2 * n + h] = (s.x + s.y) + (s.z + s.w);
        }
        if (SCALES == 1) x_sum[2 * n] += x_sum[2 * n + 1];
#endif
    }
}

void add_block(int m)
{
    [[unroll]] for (int j = 0; j < 4; j++) {
        vec4 s[COLUMNS];
        [[unroll]] for (int g = 0; g < 8; g++) {
            vec4 w = weights(j, g);
            bool begins = g == 0 || (SCALES == 2 && g == 4), ends = g == 7 || (SCALES == 2 && g == 3);
            int h = SCALES == 2 ? g >> 2 : 0;
            [[unroll]] for (int n = 0; n < COLUMNS; n++) {
                s[n] = begins ? w * x_of(n, g) : fma(w, x_of(n, g), s[n]);
                if (!ends) continue;
                vec4 f = s[n] * fold(j);
                float t = (f.x + f.y) + (f.z + f.w), sum = sums[m * COLUMNS + n][j];
                sum = SCALES == 0 ? sum + t : fma(scale(j, h), t, sum);
                if (OFFSET == 1) sum = fma(offset(j, h), x_sum[2 * n + h], sum);
                sums[m * COLUMNS + n][j] = sum;
            }
        }
    }
}

vec4 silu(vec4 v) { return v / (1.0 + exp(-max(v, vec4(-80.0)))); }

void main()
{
    uint lane = gl_LocalInvocationID.x & 7u;
    uint tile = (gl_WorkGroupID.z * gl_NumWorkGroups.x + gl_WorkGroupID.x) * (gl_WorkGroupSize.x / 8) + gl_LocalInvocationID.x / 8;
    uint row = tile * 32 + lane * 4;
    bool inside = tile * 32 < a.rows;
    uint column = gl_WorkGroupID.y * uint(COLUMNS);

    uint units = a.blocks / SUBS, pieces_of = gl_WorkGroupSize.y;
    uint piece = gl_LocalInvocationID.y;
    uint from_unit = units * piece / pieces_of, to_unit = units * (piece + 1) / pieces_of;
    if (!inside) to_unit = from_unit;

    [[unroll]] for (int i = 0; i < SUMS; i++) sums[i] = vec4(0.0);
    uint at = tile * tile_words(a.blocks) + from_unit * uint(HEAD + SUBS * BLOCK);
    uint x_at = column * a.x_stride + from_unit * uint(SUBS * 8);
    for (uint u = from_unit; u < to_unit; u++) {
        for (int sub = 0; sub < SUBS; sub++) {
            load_x(x_at, lane);
            [[unroll]] for (matrix = 0; matrix < MATRICES; matrix++) {
                if (SUBS > 1) load_head(at, lane);
                load_block(at + uint(HEAD) + uint(sub * BLOCK), lane);
                add_block(matrix);
            }
            x_at += 8;
        }
        at += uint(HEAD + SUBS * BLOCK);
    }

    if (PIECES > 1) {
        uint slot = (piece - 1) * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
        if (piece > 0) {
            [[unroll]] for (int i = 0; i < SUMS; i++) pieces[slot * uint(SUMS) + uint(i)] = sums[i];
        }
        barrier();
        if (piece > 0) return;
        for (uint p = 0; p + 1 < pieces_of; p++) {
            uint from = (p * gl_WorkGroupSize.x + gl_LocalInvocationID.x) * uint(SUMS);
            [[unroll]] for (int i = 0; i < SUMS; i++) sums[i] += pieces[from + uint(i)];
        }
    }
    if (row >= a.rows) return;

    uint y_at = column * a.y_stride + a.y_at + row / 4;
    [[unroll]] for (int n = 0; n < COLUMNS; n++) {
        vec4 v = MATRICES == 2 ? silu(sums[n]) * sums[SUMS - COLUMNS + n] : sums[n];
        if (ADD) v += y[y_at];
        y[y_at] = v;
        y_at += a.y_stride;
    }
}

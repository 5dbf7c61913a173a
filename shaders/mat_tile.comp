// y = W x for many rows of x: 128 invocations make ROWS rows of y in COLUMNS rows of x. Half a block
// of the weights and of x at a time goes through shared memory, where each weight is decoded once.
// Every sum is made in the order of mat.comp, so that both give the same bits.
#version 450
#extension GL_EXT_control_flow_attributes : require
#extension GL_GOOGLE_include_directive : require
#include "args.h"
#include "words.glsl"

layout(local_size_x = 128) in;
layout(constant_id = 0) const int ROWS = 64;     // 64 or 128
layout(constant_id = 1) const int COLUMNS = 32;  // a multiple of 32, 16 where ROWS is 128
layout(constant_id = 2) const int PIECES = 1;    // of K, each summed alone
layout(constant_id = 3) const int MATRICES = 1;  // 2: y = activate(first) * second
layout(constant_id = 4) const int INTO = 0;      // what y holds: 1: added; 2: y = activate(it) * y
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
#define GRID 5

int matrix;
uvec4 W4(uint i)
{
    if (matrix == 0) return WORD(first, i);
    return WORD(second, i);
}
#include "format.glsl"

// An invocation makes four rows of y in FOURS * 4 columns, and decodes 4 rows x 4 columns of the half.
const int ROW_FOURS = ROWS / 4;
const int SIDE = 128 / ROW_FOURS;
const int FOURS = COLUMNS / 4 / SIDE;
const int MINE = FOURS * 4;

shared vec4 w_part[16 * ROW_FOURS]; // (columns of the half, rows)
shared vec4 x_part[4 * COLUMNS];    // (columns of the half, rows of x)
shared vec4 w_scale[ROW_FOURS], w_offset[ROW_FOURS];
shared vec4 x_sums[COLUMNS / 4];

vec4 sums[MINE]; // of the piece, of the invocation's four rows
vec4 total[MINE];

uint id, row_four, side;

// The invocation's share of W, once load_half was called.
void give_weights(int h)
{
    int g = int(id) / ROW_FOURS;
    vec4 w[4];
    [[unroll]] for (int j = 0; j < 4; j++) {
#ifdef IN_ORDER
        w[j] = weights(j, g & 2);
        if ((g & 1) == 1) w[j] = weights(j, (g & 2) + 1);
#else
        w[j] = weights(j, g);
#endif
    }
    [[unroll]] for (int k = 0; k < 4; k++)
        w_part[(4 * g + k) * ROW_FOURS + int(row_four)] = vec4(w[0][k], w[1][k], w[2][k], w[3][k]);
    if (g > 0) return;
    if (SCALES > 0) w_scale[row_four] = vec4(scale(0, h), scale(1, h), scale(2, h), scale(3, h));
    if (OFFSET == 1) w_offset[row_four] = vec4(offset(0, h), offset(1, h), offset(2, h), offset(3, h));
}

// The half of one row of x.
void give_x(uint at, uint column)
{
    float sum = 0.0;
    [[unroll]] for (int g = 0; g < 4; g++) {
        vec4 v = uintBitsToFloat(WORD(x, at + uint(g)));
        if (OFFSET == 1) sum += (v.x + v.y) + (v.z + v.w);
        v *= X_SCALE;
        [[unroll]] for (int k = 0; k < 4; k++)
            x_part[(4 * g + k) * (COLUMNS / 4) + int(column / 4)][column % 4] = v[k];
    }
    if (OFFSET == 1) x_sums[column / 4][column % 4] = sum;
}

void add_half()
{
    vec4 s[MINE];
    [[unroll]] for (int i = 0; i < MINE; i++) s[i] = vec4(0.0);
    [[unroll]] for (int k = 0; k < 16; k++) {
        vec4 w = w_part[k * ROW_FOURS + int(row_four)];
        [[unroll]] for (int f = 0; f < FOURS; f++) {
            vec4 v = x_part[k * (COLUMNS / 4) + f * SIDE + int(side)];
            [[unroll]] for (int c = 0; c < 4; c++) s[f * 4 + c] = fma(w, vec4(v[c]), s[f * 4 + c]);
        }
    }
    vec4 scales, offsets, folds = vec4(fold(0), fold(1), fold(2), fold(3));
    if (SCALES > 0) scales = w_scale[row_four];
    if (OFFSET == 1) offsets = w_offset[row_four];
    [[unroll]] for (int f = 0; f < FOURS; f++) {
        vec4 x_sum;
        if (OFFSET == 1) x_sum = x_sums[f * SIDE + int(side)];
        [[unroll]] for (int c = 0; c < 4; c++) {
            int i = f * 4 + c;
            vec4 t = s[i] * folds;
            sums[i] = SCALES == 0 ? sums[i] + t : fma(scales, t, sums[i]);
            if (OFFSET == 1) sums[i] = fma(offsets, vec4(x_sum[c]), sums[i]);
        }
    }
}

void add_matrix(int m, uint at, uint x_at, bool decodes, bool loads)
{
    const uint unit = uint(HEAD + SUBS * BLOCK);
    uint blocks = a.blocks;
    matrix = m;
    for (int p = 0; p < PIECES; p++) {
        uint to = blocks * uint(p + 1) / uint(PIECES);
        [[unroll]] for (int i = 0; i < MINE; i++) sums[i] = vec4(0.0);
        for (uint b = blocks * uint(p) / uint(PIECES); b < to; b++) {
            uint head = at + b / SUBS * unit, block = head + uint(HEAD) + b % SUBS * uint(BLOCK);
            [[dont_unroll]] for (int h = 0; h < 2; h++) {
                if (decodes) {
                    if (h == 0) {
                        load_head(head);
                        load_block(block);
                    }
                    load_half(block, h);
                    give_weights(h);
                }
                if (loads) give_x(x_at + b * 8 + uint(4 * h), id + uint(COLUMNS) - 128);
                barrier();
                add_half();
                barrier();
            }
        }
        [[unroll]] for (int i = 0; i < MINE; i++) total[i] = p == 0 ? sums[i] : total[i] + sums[i];
    }
}

void main()
{
    id = gl_LocalInvocationID.x;
    row_four = id % uint(ROW_FOURS);
    side = id / uint(ROW_FOURS);
    lane = row_four % 8;
    uint group = gl_WorkGroupID.z * gl_NumWorkGroups.y + gl_WorkGroupID.y;
    uint row = group * uint(ROWS) + row_four * 4, first_column = gl_WorkGroupID.x * uint(COLUMNS);
    bool decodes = id < uint(4 * ROW_FOURS) && row / 32 * 32 < a.rows, loads = id >= uint(128 - COLUMNS);
    uint at = row / 32 * tile_words(a.blocks), x_at = (first_column + id + uint(COLUMNS) - 128) * a.x_stride;

    add_matrix(0, at, x_at, decodes, loads);
    vec4 gates[MINE];
    if (MATRICES == 2) {
        [[unroll]] for (int i = 0; i < MINE; i++) gates[i] = total[i];
        add_matrix(1, at, x_at, decodes, loads);
    }
    if (row >= a.rows) return;
    [[unroll]] for (int i = 0; i < MINE; i++) {
        uint column = first_column + (uint(i / 4 * SIDE) + side) * 4 + uint(i % 4);
        uint y_at = column * a.y_stride + a.y_at + row / 4;
        vec4 v = MATRICES == 2 ? gates[i] : total[i];
        if (BIAS) v += bias[row / 4];
        v = INTO == 2 ? v * activate(y[y_at]) : activate(v);
        if (MATRICES == 2) v *= total[i];
        if (INTO == 1) v += y[y_at];
        y[y_at] = v;
    }
}

// y = W x for many rows of x rounded to bytes: as mat_tile.comp, by packed dot products. A block of the
// weights and of x at a time goes through shared memory. Every sum is made in the order of mat_dot.glsl,
// so that both give the same bits.
#version 450
#extension GL_EXT_control_flow_attributes : require
#extension GL_GOOGLE_include_directive : require
#include "args.h"
#include "words.glsl"

layout(local_size_x = 128) in;
layout(constant_id = 0) const int ROWS = 64;     // 64 or 128
layout(constant_id = 1) const int COLUMNS = 32;  // a multiple of 32, at most 64; 16 where ROWS is 128
layout(constant_id = 2) const int PIECES = 1;    // of K, each summed alone
layout(constant_id = 3) const int MATRICES = 1;  // 2: y = activate(first) * second
layout(constant_id = 4) const int INTO = 0;      // what y holds: 1: added; 2: y = activate(it) * y
layout(constant_id = 5) const int ACTIVATION = 0;
layout(constant_id = 6) const bool BIAS = false;
layout(constant_id = 7) const bool ROUND = false; // y to bytes, too; with INTO 0

WORDS(0, first);
WORDS(1, second);
WORDS(2, x);
layout(std430, binding = 3) buffer Y { vec4 y[]; };
layout(std430, binding = 4) readonly buffer Bias { vec4 bias[]; };
layout(push_constant) uniform Push { mat_args a; };
#define ACT(i) a.act[i]
#include "activation.glsl"
#include "dot.glsl"
#include "int8.glsl"

int matrix;
uvec4 W4(uint i)
{
    if (matrix == 0) return WORD(first, i);
    return WORD(second, i);
}
#include "format.glsl"

// An invocation makes four rows of y in FOURS * 4 columns. A word is four columns of K.
const int ROW_FOURS = ROWS / 4;
const int SIDE = 128 / ROW_FOURS;
const int FOURS = COLUMNS / 4 / SIDE;
const int MINE = FOURS * 4;

shared ivec4 w_part[8 * ROW_FOURS];   // (words, rows)
shared ivec4 x_part[2 * COLUMNS];     // (words, rows of x)
shared vec4 w_scale[SCALES * ROW_FOURS], w_offset[SCALES * ROW_FOURS];
shared vec4 x_scale[COLUMNS / 4], x_sums[SCALES * COLUMNS / 4];
shared vec4 made[128];

vec4 sums[MINE]; // of the piece, of the invocation's four rows
vec4 total[MINE];

uint id, row_four, side;

// The invocation's share of W.
void give_weights(uint head, uint block)
{
    load_head(head);
    load_block(block);
    for (int i = int(side); i < 8; i += SIDE) {
        int h = i / 4, g = i % 4;
        load_half(block, h);
        w_part[i * ROW_FOURS + int(row_four)] = ivec4(bytes(0, g), bytes(1, g), bytes(2, g), bytes(3, g));
        if (g > 0 || h >= SCALES) continue;
        int at = h * ROW_FOURS + int(row_four);
        w_scale[at] = vec4(scale(0, h), scale(1, h), scale(2, h), scale(3, h));
        if (OFFSET == 1) w_offset[at] = vec4(offset(0, h), offset(1, h), offset(2, h), offset(3, h));
    }
}

// Half a block of one row of x.
void give_x(uint at, int h, uint column)
{
    int four = int(column / 4), c = int(column % 4);
    ivec4 v = ivec4(WORD(x, at + uint(h)));
    [[unroll]] for (int g = 0; g < 4; g++) x_part[(4 * h + g) * (COLUMNS / 4) + four][c] = v[g];
    if (h > 0) return;
    vec4 about = uintBitsToFloat(WORD(x, at + 2));
    x_scale[four][c] = about.x;
    if (OFFSET == 0) return;
    if (SCALES == 1) {
        x_sums[four][c] = about.w;
    } else {
        x_sums[four][c] = about.y;
        x_sums[COLUMNS / 4 + four][c] = about.z;
    }
}

void add_block()
{
    [[unroll]] for (int h = 0; h < SCALES; h++) {
        ivec4 s[MINE];
        [[unroll]] for (int i = 0; i < MINE; i++) s[i] = ivec4(0);
        [[unroll]] for (int k = h * 4; k < (h + 1) * 8 / SCALES; k++) {
            ivec4 w = w_part[k * ROW_FOURS + int(row_four)];
            [[unroll]] for (int f = 0; f < FOURS; f++) {
                ivec4 v = x_part[k * (COLUMNS / 4) + f * SIDE + int(side)];
                [[unroll]] for (int c = 0; c < 4; c++) {
                    [[unroll]] for (int j = 0; j < 4; j++) s[f * 4 + c][j] += dot4(w[j], v[c]);
                }
            }
        }
        vec4 scales = w_scale[h * ROW_FOURS + int(row_four)], offsets;
        if (OFFSET == 1) offsets = w_offset[h * ROW_FOURS + int(row_four)];
        [[unroll]] for (int f = 0; f < FOURS; f++) {
            vec4 by = x_scale[f * SIDE + int(side)], x_sum;
            if (OFFSET == 1) x_sum = x_sums[h * (COLUMNS / 4) + f * SIDE + int(side)];
            [[unroll]] for (int c = 0; c < 4; c++) {
                int i = f * 4 + c;
                sums[i] = fma(scales, vec4(s[i]) * by[c], sums[i]);
                if (OFFSET == 1) sums[i] = fma(offsets, vec4(x_sum[c]), sums[i]);
            }
        }
    }
}

void add_matrix(int m, uint at, uint x_at, bool decodes)
{
    const uint unit = uint(HEAD + SUBS * BLOCK);
    uint blocks = a.blocks;
    matrix = m;
    for (int p = 0; p < PIECES; p++) {
        uint to = blocks * uint(p + 1) / uint(PIECES);
        [[unroll]] for (int i = 0; i < MINE; i++) sums[i] = vec4(0.0);
        for (uint b = blocks * uint(p) / uint(PIECES); b < to; b++) {
            uint head = at + b / SUBS * unit, block = head + uint(HEAD) + b % SUBS * uint(BLOCK);
            if (decodes) give_weights(head, block);
            if (id < uint(2 * COLUMNS)) give_x(x_at + b * 3, int(id / uint(COLUMNS)), id % uint(COLUMNS));
            barrier();
            add_block();
            barrier();
        }
        [[unroll]] for (int i = 0; i < MINE; i++) total[i] = p == 0 ? sums[i] : total[i] + sums[i];
    }
}

// Of one column each: eight neighbours hold a block, and the first of them rounds it.
void round_made(vec4 v, uint at, bool inside)
{
    barrier();
    made[id] = v;
    barrier();
    if (id % 8 > 0 || !inside) return;
    vec4 fours[8];
    uvec4 words[3];
    [[unroll]] for (int k = 0; k < 8; k++) fours[k] = made[id + uint(k)];
    round_block(fours, words);
    [[unroll]] for (int k = 0; k < 3; k++) y[at + uint(k)] = uintBitsToFloat(words[k]);
}

void main()
{
    id = gl_LocalInvocationID.x;
    row_four = id % uint(ROW_FOURS);
    side = id / uint(ROW_FOURS);
    lane = row_four % 8;
    uint group = gl_WorkGroupID.z * gl_NumWorkGroups.y + gl_WorkGroupID.y;
    uint row = group * uint(ROWS) + row_four * 4, first_column = gl_WorkGroupID.x * uint(COLUMNS);
    bool inside = row / 32 * 32 < a.rows;
    uint at = row / 32 * tile_words(a.blocks), x_at = (first_column + id % uint(COLUMNS)) * a.x_stride;

    add_matrix(0, at, x_at, inside);
    vec4 gates[MINE];
    if (MATRICES == 2) {
        [[unroll]] for (int i = 0; i < MINE; i++) gates[i] = total[i];
        add_matrix(1, at, x_at, inside);
    }
    [[unroll]] for (int i = 0; i < MINE; i++) {
        uint column = first_column + (uint(i / 4 * SIDE) + side) * 4 + uint(i % 4);
        uint y_at = column * a.y_stride + a.y_at + row / 4;
        vec4 v = MATRICES == 2 ? gates[i] : total[i];
        if (BIAS && row < a.rows) v += bias[row / 4];
        if (INTO == 2 && row < a.rows) v *= activate(y[y_at]);
        if (INTO != 2) v = activate(v);
        if (MATRICES == 2) v *= total[i];
        if (INTO == 1 && row < a.rows) v += y[y_at];
        if (ROUND) round_made(row < a.rows ? v : vec4(0.0), column * a.y_stride + (a.y_at + row / 4) / 8 * 3, inside);
        else if (row < a.rows) y[y_at] = v;
    }
}

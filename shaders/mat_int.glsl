// The sums of a product W x for COLUMNS rows of x rounded to integers, of weights of 4 bits. The including
// shader has the buffers first, second and x, the constant COLUMNS, and X_AT(n), where row n of x begins after
// x_at.
#include "matrix.glsl"
#include "format.glsl"

vec4 sums[COLUMNS]; // of the lane's four rows
ivec4 own[COLUMNS];  // four of the block's columns
ivec2 x_sums[COLUMNS]; // of its halves
int all[COLUMNS * 2];          // of each pair of rows: the sum of both halves of the block,
int high[COLUMNS * 2];         // and of it what the second row has

const int HALF = 0x8000; // added before the rows are taken apart, so that the first one never borrows
const int BOTH = 0x10001; // times a number, adds it to both rows

void add_half(uint block_at, int h)
{
    load_half(block_at, h);
    [[unroll]] for (int p = 0; p < 2; p++) {
        int w[16];
        [[unroll]] for (int i = 0; i < 16; i++) w[i] = int(nibbles[p][i / 4] >> (i % 4 * 4) & 0xf000fu);
        [[unroll]] for (int n = 0; n < COLUMNS; n++) {
            int s = HALF - 8 * BOTH * x_sums[n][h];
            [[unroll]] for (int i = 0; i < 16; i++) s += w[i] * subgroupShuffle(own[n][i % 4], uint(4 * h + i / 4));
            all[n * 2 + p] += s;
            high[n * 2 + p] += s >> 16;
        }
    }
}

void add_block(uint x_at, uint block_at)
{
    float scales[COLUMNS];
    [[unroll]] for (int n = 0; n < COLUMNS; n++) {
        uvec4 word = WORD(x, x_at + X_AT(n) + lane);
        own[n] = ivec4(two_of(word.x), two_of(word.y));
        scales[n] = uintBitsToFloat(word.z);
        x_sums[n] = two_of(word.w);
        [[unroll]] for (int p = 0; p < 2; p++) all[n * 2 + p] = high[n * 2 + p] = 0;
    }
    load_block(block_at);
    [[unroll]] for (int h = 0; h < 2; h++) add_half(block_at, h);
    [[unroll]] for (int n = 0; n < COLUMNS; n++) {
        int x_sum = x_sums[n].x + x_sums[n].y;
        float offset_by = float(x_sum) * scales[n];
        [[unroll]] for (int j = 0; j < 4; j++) {
            int second = high[n * 2 + j / 2];
            int sum = j % 2 == 1 ? second : all[n * 2 + j / 2] - 2 * HALF - (second << 16);
            sums[n][j] = fma(scale(j, 0), float(sum + 8 * x_sum) * scales[n], sums[n][j]);
            sums[n][j] = fma(offset(j, 0), offset_by, sums[n][j]);
        }
    }
}

// Of all blocks of the lane's tile at `at` in matrix m.
void add_matrix(int m, uint x_at, uint at, uint blocks)
{
    matrix = m;
    [[unroll]] for (int n = 0; n < COLUMNS; n++) sums[n] = vec4(0.0);
    for (uint u = 0; u < blocks / SUBS; u++) {
        load_head(at);
        for (int sub = 0; sub < SUBS; sub++) {
            add_block(x_at, at + uint(HEAD) + uint(sub * BLOCK));
            x_at += 8;
        }
        at += uint(HEAD + SUBS * BLOCK);
    }
}

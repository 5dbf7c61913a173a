// The sums of a product W x for COLUMNS rows of x at a time. A lane owns 4 rows of weights and walks K
// in order: nothing is reduced over lanes, and the sum of a row is the same whatever COLUMNS is. The
// including shader has the buffers first, second and x, the constants COLUMNS and MATRICES, and
// X_AT(n), where row n of x begins after x_at.
#include "matrix.glsl"
#include "format.glsl"

const int SUMS = MATRICES * COLUMNS;
const int PIECES = int(gl_WorkGroupSize.y);
shared vec4 pieces[(PIECES - 1) * int(gl_WorkGroupSize.x) * SUMS + 1];

vec4 sums[SUMS]; // of the lane's four rows

#ifdef DOT
#include "mat_dot.glsl"
#else
const uint X_BLOCK = 8;

#ifdef SHUFFLE
// Each of the 8 lanes holds four of the block's columns.
vec4 own[COLUMNS];
float own_sum[COLUMNS];
#else
float own_sum[COLUMNS]; // of the half so far
#endif

void load_x(uint at)
{
#ifdef SHUFFLE
    [[unroll]] for (int n = 0; n < COLUMNS; n++) {
        vec4 v = uintBitsToFloat(WORD(x, at + X_AT(n) + lane));
        own[n] = v * X_SCALE;
        if (OFFSET == 1) {
            float s = (v.x + v.y) + (v.z + v.w);
            s += subgroupShuffleXor(s, 1);
            own_sum[n] = s + subgroupShuffleXor(s, 2); // of each half
        }
    }
#endif
}

vec4 x_of(uint x_at, int n, int h, int g)
{
#ifdef SHUFFLE
    return subgroupShuffle(own[n], uint(4 * h + g));
#else
    vec4 v = uintBitsToFloat(WORD(x, x_at + X_AT(n) + uint(4 * h + g)));
    if (OFFSET == 1) own_sum[n] = (g == 0 ? 0.0 : own_sum[n]) + ((v.x + v.y) + (v.z + v.w));
    return v * X_SCALE;
#endif
}

float x_sum(int n, int h)
{
#ifdef SHUFFLE
    return subgroupShuffle(own_sum[n], uint(4 * h));
#else
    return own_sum[n];
#endif
}

// Half a block: 16 columns.
void add_half(uint x_at, uint block_at, int h)
{
    load_half(block_at, h);
    float s[COLUMNS * 4];
    [[unroll]] for (int i = 0; i < COLUMNS * 4; i++) s[i] = 0.0;
    [[unroll]] for (int g = 0; g < 4; g++) {
        vec4 w[4];
        [[unroll]] for (int j = 0; j < 4; j++) w[j] = weights(j, g);
        [[unroll]] for (int n = 0; n < COLUMNS; n++) {
            vec4 v = x_of(x_at, n, h, g);
            [[unroll]] for (int k = 0; k < 4; k++) {
                [[unroll]] for (int j = 0; j < 4; j++) s[n * 4 + j] = fma(w[j][k], v[k], s[n * 4 + j]);
            }
        }
    }
    [[unroll]] for (int n = 0; n < COLUMNS; n++) {
        [[unroll]] for (int j = 0; j < 4; j++) {
            float t = s[n * 4 + j] * fold(j), sum = sums[matrix * COLUMNS + n][j];
            sum = SCALES == 0 ? sum + t : fma(scale(j, h), t, sum);
            if (OFFSET == 1) sum = fma(offset(j, h), x_sum(n, h), sum);
            sums[matrix * COLUMNS + n][j] = sum;
        }
    }
}

void add_block(uint x_at, uint block_at)
{
    load_x(x_at);
    load_block(block_at);
    if (COLUMNS == 1) {
        [[unroll]] for (int h = 0; h < 2; h++) add_half(x_at, block_at, h);
    } else { // else the loop outgrows the instruction cache
        [[dont_unroll]] for (int h = 0; h < 2; h++) add_half(x_at, block_at, h);
    }
}
#endif

// Blocks [from, to) of the lane's tile in matrix m.
void add_blocks(int m, uint x_at, uint at, uint from, uint to)
{
    const uint unit = uint(HEAD + SUBS * BLOCK);
    matrix = m;
    x_at += from * X_BLOCK;
    for (uint b = from; b < to;) {
        uint head = at + b / SUBS * unit, block = head + uint(HEAD) + b % SUBS * uint(BLOCK);
        uint end = min(to, (b / SUBS + 1) * SUBS);
        load_head(head);
        for (; b < end; b++) {
            add_block(x_at, block);
            x_at += X_BLOCK;
            block += uint(BLOCK);
        }
    }
}

// Adds the pieces of K, in order; whether this invocation has the whole sums.
bool join_pieces()
{
    if (PIECES == 1) return true;
    uint piece = gl_LocalInvocationID.y, slot = (piece - 1) * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (piece > 0) {
        [[unroll]] for (int i = 0; i < SUMS; i++) pieces[slot * uint(SUMS) + uint(i)] = sums[i];
    }
    barrier();
    if (piece > 0) return false;
    for (uint p = 0; p + 1 < uint(PIECES); p++) {
        uint from = (p * gl_WorkGroupSize.x + gl_LocalInvocationID.x) * uint(SUMS);
        [[unroll]] for (int i = 0; i < SUMS; i++) sums[i] += pieces[from + uint(i)];
    }
    return true;
}

// All blocks of the lane's tile at `at`: sums, complete where the answer is true. All invocations
// of a workgroup come here or none.
bool multiply(uint x_at, uint at, uint blocks)
{
    uint piece = gl_LocalInvocationID.y;
    uint from = blocks * piece / uint(PIECES), to = blocks * (piece + 1) / uint(PIECES);
    [[unroll]] for (int i = 0; i < SUMS; i++) sums[i] = vec4(0.0);
    add_blocks(0, x_at, at, from, to);
    if (MATRICES == 2) add_blocks(1, x_at, at, from, to);
    return join_pieces();
}

// The sums of mat.glsl for x rounded to bytes: exact integers over what shares a scale, then floats as in
// mat_int.comp.
#include "dot.glsl"
#include "int8.glsl"

const uint X_BLOCK = 3;

int dots[COLUMNS * 4]; // of each row of x and the lane's four rows

void add_dots(uint x_at, int h)
{
    [[unroll]] for (int n = 0; n < COLUMNS; n++) {
        vec4 about = uintBitsToFloat(WORD(x, x_at + X_AT(n) + 2));
        [[unroll]] for (int j = 0; j < 4; j++) {
            float sum = sums[matrix * COLUMNS + n][j];
            sum = fma(scale(j, h), float(dots[n * 4 + j]) * about.x, sum);
            if (OFFSET == 1) sum = fma(offset(j, h), SCALES == 1 ? about.w : about[1 + h], sum);
            sums[matrix * COLUMNS + n][j] = sum;
        }
    }
}

void add_block(uint x_at, uint block_at)
{
    load_block(block_at);
    [[unroll]] for (int h = 0; h < 2; h++) {
        int w[16];
        load_half(block_at, h);
        [[unroll]] for (int i = 0; i < 16; i++) w[i] = int(bytes(i / 4, i % 4));
        [[unroll]] for (int n = 0; n < COLUMNS; n++) {
            ivec4 v = ivec4(WORD(x, x_at + X_AT(n) + uint(h)));
            [[unroll]] for (int j = 0; j < 4; j++) {
                int s = SCALES == 1 && h == 1 ? dots[n * 4 + j] : 0;
                [[unroll]] for (int g = 0; g < 4; g++) s += dot4(w[j * 4 + g], v[g]);
                dots[n * 4 + j] = s;
            }
        }
        if (SCALES == 2 || h == 1) add_dots(x_at, SCALES == 2 ? h : 0);
    }
}

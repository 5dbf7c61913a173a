// IQ3_XXS, w = d * (2 * sc + 1) / 4 * level. Head: 1 uvec2 a lane: d of its four rows. A block: 3 uvec4 a
// lane, a row in each word: four entries of a half, a byte each, twice; four times seven signs, and sc.
#define SUBS 8
#define HEAD 4
#define BLOCK 24
#define SCALES 1
#define X_SCALE vec4(1.0)
#define OFFSET 0
#include "codebook.glsl"

uvec2 d;
uvec4 signs_sc;

void load_head(uint at) { d = L2(at); }
void load_block(uint at) { signs_sc = L4(at + 16); }

void load_half(uint at, int h)
{
    uvec4 q = L4(at + uint(8 * h));
    [[unroll]] for (int j = 0; j < 4; j++) {
        [[unroll]] for (int e = 0; e < 4; e++) entries[j][e] = entry(q[j] >> (8 * e) & 255u);
        signs[j] = sixteen_signs(signs_sc[j] >> (14 * h));
    }
}

// 4, 12, 20 ... 52, and 62.
vec4 weights(int j, int g)
{
    uvec4 q = three_bit_values(j, g);
    return with_signs(4u + 8u * q + ((q + 1u) >> 3) * 2u, j, g);
}
float fold(int j) { return 1.0; }
float scale(int j, int h) { return half_of(d, j) * float(int(2u * (signs_sc[j] >> 28) + 1u)) * 0.25; }
float offset(int j, int h) { return 0.0; }

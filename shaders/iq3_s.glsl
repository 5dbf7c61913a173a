// IQ3_S, w = d * (2 * sc + 1) * level, the levels being odd numbers. Head: 1 uvec2 a lane: d of its four
// rows. A block: 3 uvec4 a lane, a row in each word: the low bytes of four entries of a half, twice;
// signs; 1 uvec2 a lane: two bytes a row, the entries' ninth bits, and sc.
#define SUBS 8
#define HEAD 4
#define BLOCK 28
#define SCALES 1
#define X_SCALE vec4(1.0)
#define OFFSET 0
#include "codebook.glsl"

uvec2 d, high_sc;
uvec4 all_signs;

void load_head(uint at) { d = L2(at); }

void load_block(uint at)
{
    all_signs = L4(at + 16);
    high_sc = L2(at + 24);
}

void load_half(uint at, int h)
{
    uvec4 q = L4(at + uint(8 * h));
    [[unroll]] for (int j = 0; j < 4; j++) {
        uint high = byte_of(high_sc, j, 0) >> (4 * h);
        [[unroll]] for (int e = 0; e < 4; e++) entries[j][e] = entry((q[j] >> (8 * e) & 255u) | (high >> e & 1u) << 8);
        signs[j] = all_signs[j] >> (16 * h);
    }
}

vec4 weights(int j, int g) { return with_signs(1u + 2u * three_bit_values(j, g), j, g); }
float fold(int j) { return 1.0; }
float scale(int j, int h) { return half_of(d, j) * float(int(2u * byte_of(high_sc, j, 1) + 1u)); }
float offset(int j, int h) { return 0.0; }

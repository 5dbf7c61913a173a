// IQ2_S, w = d * (2 * sc + 1) / 8 * level. Head: 1 uvec2 a lane: d of its four rows. A block: 2 uvec4 a
// lane, a row in each word: the low bytes of four entries; signs; 1 uvec2 a lane: two bytes a row, the
// entries' high bits, and two sc, one a half.
#define SUBS 8
#define HEAD 4
#define BLOCK 20
#define SCALES 2
#define X_SCALE vec4(1.0)
#define OFFSET 0
#include "codebook.glsl"

uvec2 d, high_sc;
uvec4 q, all_signs;

void load_head(uint at) { d = L2(at); }

void load_block(uint at)
{
    q = L4(at);
    all_signs = L4(at + 8);
    high_sc = L2(at + 16);
}

void load_half(uint at, int h)
{
    [[unroll]] for (int j = 0; j < 4; j++) {
        uint low = q[j] >> (16 * h), high = byte_of(high_sc, j, 0) >> (4 * h);
        entries[j].xy = uvec2(entry((low & 255u) | (high & 3u) << 8), entry((low >> 8 & 255u) | (high & 12u) << 6));
        signs[j] = all_signs[j] >> (16 * h);
    }
}

vec4 weights(int j, int g) { return with_signs(iq2_sizes(two_bit_values(j, g)), j, g); }
float fold(int j) { return 1.0; }
float scale(int j, int h) { return half_of(d, j) * float(int(2u * (byte_of(high_sc, j, 1) >> (4 * h) & 15u) + 1u)) * 0.125; }
float offset(int j, int h) { return 0.0; }

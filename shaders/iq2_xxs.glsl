// IQ2_XXS, w = d * (2 * sc + 1) / 8 * level. Head: 1 uvec2 a lane: d of its four rows. A block: 2 uvec4 a
// lane, a row in each word: four entries, a byte each; four times seven signs, and sc.
#define SUBS 8
#define HEAD 4
#define BLOCK 16
#define SCALES 1
#define X_SCALE vec4(1.0)
#define OFFSET 0
#include "codebook.glsl"

uvec2 d;
uvec4 q, signs_sc;

void load_head(uint at) { d = L2(at); }

void load_block(uint at)
{
    q = L4(at);
    signs_sc = L4(at + 8);
}

void load_half(uint at, int h)
{
    [[unroll]] for (int j = 0; j < 4; j++) {
        uint v = q[j] >> (16 * h);
        entries[j].xy = uvec2(entry(v & 255u), entry(v >> 8 & 255u));
        signs[j] = sixteen_signs(signs_sc[j] >> (14 * h));
    }
}

vec4 weights(int j, int g) { return with_signs(iq2_sizes(two_bit_values(j, g)), j, g); }
float fold(int j) { return 1.0; }
float scale(int j, int h) { return half_of(d, j) * float(int(2u * (signs_sc[j] >> 28) + 1u)) * 0.125; }
float offset(int j, int h) { return 0.0; }

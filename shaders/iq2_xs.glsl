// IQ2_XS, w = d * (2 * sc + 1) / 8 * level. Head: 1 uvec2 a lane: d of its four rows. A block: 2 uvec4 a
// lane, number h, a row in each word: two times an entry of nine bits and seven signs; 1 uint a lane: two
// sc a row, one a half.
#define SUBS 8
#define HEAD 4
#define BLOCK 18
#define SCALES 2
#define X_SCALE vec4(1.0)
#define OFFSET 0
#include "codebook.glsl"

uvec2 d;
uint sc;

void load_head(uint at) { d = L2(at); }
void load_block(uint at) { sc = L1(at + 16); }

void load_half(uint at, int h)
{
    uvec4 q = L4(at + uint(8 * h));
    [[unroll]] for (int j = 0; j < 4; j++) {
        entries[j].xy = uvec2(entry(q[j] & 511u), entry(q[j] >> 16 & 511u));
        signs[j] = eight_signs(q[j] >> 9 & 127u) | eight_signs(q[j] >> 25) << 8;
    }
}

vec4 weights(int j, int g) { return with_signs(iq2_sizes(two_bit_values(j, g)), j, g); }
float fold(int j) { return 1.0; }
float scale(int j, int h) { return half_of(d, j) * float(int(2u * (sc >> (8 * j + 4 * h) & 15u) + 1u)) * 0.125; }
float offset(int j, int h) { return 0.0; }

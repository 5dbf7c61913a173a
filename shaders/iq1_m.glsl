// IQ1_M, w = d * (2 * sc + 1) * level. Head: 1 uvec2 a lane: d of its four rows. A block: 1 uvec4 a lane, a
// row in each word: the low bytes of four entries; 1 uvec2 a lane: two bytes a row, one a half: twice
// three high bits and whether the levels are moved down; 1 uint a lane: two sc of three bits a row.
#define SUBS 8
#define HEAD 4
#define BLOCK 14
#define SCALES 2
#define X_SCALE vec4(1.0)
#define OFFSET 0
#include "iq1.glsl"

uvec2 d, high;
uvec4 q;
uint sc;

void load_head(uint at) { d = L2(at); }

void load_block(uint at)
{
    q = L4(at);
    high = L2(at + 8);
    sc = L1(at + 12);
}

void load_half(uint at, int h)
{
    [[unroll]] for (int j = 0; j < 4; j++) {
        uint low = q[j] >> (16 * h), v = byte_of(high, j, h);
        load_entry(j, 0, (low & 255u) | (v & 7u) << 8, (v & 8u) != 0u);
        load_entry(j, 1, (low >> 8 & 255u) | (v >> 4 & 7u) << 8, (v & 128u) != 0u);
    }
}

float fold(int j) { return 1.0; }
float scale(int j, int h) { return half_of(d, j) * float(int(2u * (sc >> (8 * j + 3 * h) & 7u) + 1u)) * 0.125; }
float offset(int j, int h) { return 0.0; }

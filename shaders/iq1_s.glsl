// IQ1_S, w = d * (2 * sc + 1) * level. Head: 1 uvec2 a lane: d of its four rows. A block: 1 uvec4 a lane, a
// row in each word: the low bytes of four entries; 1 uvec2 a lane, 16 bits a row: four times three high
// bits, sc, whether the levels are moved down.
#define SUBS 8
#define HEAD 4
#define BLOCK 12
#define SCALES 1
#define X_SCALE vec4(1.0)
#define OFFSET 0
#include "iq1.glsl"

uvec2 d, high_sc;
uvec4 q;

uint high_of(int j) { return high_sc[j >> 1] >> (16 * (j & 1)); }

void load_head(uint at) { d = L2(at); }

void load_block(uint at)
{
    q = L4(at);
    high_sc = L2(at + 8);
}

void load_half(uint at, int h)
{
    [[unroll]] for (int j = 0; j < 4; j++) {
        uint low = q[j] >> (16 * h), high = high_of(j) >> (6 * h);
        bool down = (high_of(j) & 0x8000u) != 0u;
        load_entry(j, 0, (low & 255u) | (high & 7u) << 8, down);
        load_entry(j, 1, (low >> 8 & 255u) | (high >> 3 & 7u) << 8, down);
    }
}

float fold(int j) { return 1.0; }
float scale(int j, int h) { return half_of(d, j) * float(int(2u * (high_of(j) >> 12 & 7u) + 1u)) * 0.125; }
float offset(int j, int h) { return 0.0; }

// IQ4_XS, w = d * (sc - 32) * level(q). Head: 1 uvec2 a lane: d of its four rows. A block: nibbles;
// 1 uint a lane: sc of its four rows, a byte each.
#define SUBS 8
#define HEAD 4
#define BLOCK 34
#define SCALES 1
#define X_SCALE vec4(1.0)
#define OFFSET 0
#include "iq4.glsl"

uvec2 d;
uint sc;

void load_head(uint at)
{
    d = L2(at);
    load_levels();
}
void load_block(uint at) { sc = L1(at + 32); }
void load_half(uint at, int h) { load_nibbles(at, h); }
vec4 weights(int j, int g) { return levels(nibble_values(j, g)); }
uint bytes(int j, int g) { return level_bytes(nibble_values(j, g)); }
float fold(int j) { return 1.0; }
float scale(int j, int h) { return half_of(d, j) * float(int(sc >> (8 * j) & 255u) - 32); }
float offset(int j, int h) { return 0.0; }

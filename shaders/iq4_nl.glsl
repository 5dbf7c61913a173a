// IQ4_NL, w = d * level(q). A block: nibbles; 1 uvec2 a lane: d of its four rows.
#define SUBS 1
#define HEAD 0
#define BLOCK 36
#define SCALES 1
#define X_SCALE vec4(1.0)
#define OFFSET 0
#include "iq4.glsl"

uvec2 d;

void load_head(uint at) {}
void load_block(uint at)
{
    d = L2(at + 32);
    load_levels();
}
void load_half(uint at, int h) { load_nibbles(at, h); }
vec4 weights(int j, int g) { return levels(nibble_values(j, g)); }
uint bytes(int j, int g) { return level_bytes(nibble_values(j, g)); }
float fold(int j) { return 1.0; }
float scale(int j, int h) { return half_of(d, j); }
float offset(int j, int h) { return 0.0; }

// Q5_0, w = d * (q - 16). A block: nibbles; bits, the fifth ones; 1 uvec2 a lane: d of its four
// rows.
#define SUBS 1
#define HEAD 0
#define BLOCK 44
#define SCALES 1
#define X_SCALE vec4(1.0)
#define OFFSET 1

uvec2 d;

void load_head(uint at) {}
void load_block(uint at) { d = L2(at + 40); }
void load_half(uint at, int h)
{
    load_nibbles(at, h);
    load_bits(at + 32, h);
}

vec4 weights(int j, int g) { return vec4(ivec4(nibble_values(j, g) | bit_values(j, g) << 4)); }
uint bytes(int j, int g) { return nibble_bytes(j, g) | bit_bytes(j, g) << 4; }
float fold(int j) { return 1.0; }
float scale(int j, int h) { return half_of(d, j); }
float offset(int j, int h) { return -16.0 * half_of(d, j); }

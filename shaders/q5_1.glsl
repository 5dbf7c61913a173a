// Q5_1, w = d * q + m. A block: nibbles; bits, the fifth ones; 1 uvec4 a lane: d and m of its four
// rows.
#define SUBS 1
#define HEAD 0
#define BLOCK 48
#define SCALES 1
#define X_SCALE vec4(1.0)
#define OFFSET 1

uvec4 dm;

void load_head(uint at) {}
void load_block(uint at) { dm = L4(at + 40); }
void load_half(uint at, int h)
{
    load_nibbles(at, h);
    load_bits(at + 32, h);
}

vec4 weights(int j, int g) { return vec4(ivec4(nibble_values(j, g) | bit_values(j, g) << 4)); }
uint bytes(int j, int g) { return nibble_bytes(j, g) | bit_bytes(j, g) << 4; }
float fold(int j) { return 1.0; }
float scale(int j, int h) { return unpackHalf2x16(dm[j]).x; }
float offset(int j, int h) { return unpackHalf2x16(dm[j]).y; }

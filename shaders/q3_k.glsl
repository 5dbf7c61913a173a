// Q3_K, w = d * (sc - 32) * (q - 4). Head: 1 uvec2 a lane: d of its four rows. A block: crumbs;
// bits, the third ones; 1 uvec2 a lane: two bytes a row, sc of each half.
#define SUBS 8
#define HEAD 4
#define BLOCK 28
#define SCALES 2
#define X_SCALE vec4(1.0)
#define OFFSET 1

uvec2 d, sc;

void load_head(uint at) { d = L2(at); }
void load_block(uint at) { sc = L2(at + 24); }
void load_half(uint at, int h)
{
    load_crumbs(at, h);
    load_bits(at + 16, h);
}

vec4 weights(int j, int g) { return vec4(ivec4(crumb_values(j, g) | bit_values(j, g) << 2)); }
uint bytes(int j, int g) { return crumb_bytes(j, g) | bit_bytes(j, g) << 2; }
float fold(int j) { return 1.0; }
float scale(int j, int h) { return half_of(d, j) * float(int(byte_of(sc, j, h)) - 32); }
float offset(int j, int h) { return -4.0 * scale(j, h); }

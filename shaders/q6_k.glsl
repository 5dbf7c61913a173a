// Q6_K, w = d * sc * (q - 32). Head: 1 uvec2 a lane: d of its four rows. A block: nibbles; crumbs,
// the high bits; 1 uvec2 a lane: two signed bytes a row, sc of each half.
#define SUBS 8
#define HEAD 4
#define BLOCK 52
#define SCALES 2
#define X_SCALE vec4(1.0)
#define OFFSET 1

uvec2 d, sc;

void load_head(uint at) { d = L2(at); }
void load_block(uint at) { sc = L2(at + 48); }
void load_half(uint at, int h)
{
    load_nibbles(at, h);
    load_crumbs(at + 32, h);
}

vec4 weights(int j, int g) { return vec4(ivec4(nibble_values(j, g) | crumb_values(j, g) << 4)); }
uint bytes(int j, int g) { return nibble_bytes(j, g) | crumb_bytes(j, g) << 4; }
float fold(int j) { return 1.0; }
float scale(int j, int h) { return half_of(d, j) * float(int(byte_of(sc, j, h) << 24) >> 24); }
float offset(int j, int h) { return -32.0 * scale(j, h); }

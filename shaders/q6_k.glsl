// Q6_K, w = d * sc * (q - 32). Head: 1 uvec2 a lane: d of its four rows. A block: nibbles; crumbs, the high bits; 1 uvec2 a lane:
// two signed bytes a row, sc of each half.
#define SUBS 8
#define HEAD 4
#define BLOCK 52
#define SCALES 2
#define OFFSET 1

uvec2 d, sc;

void load_head(uint at, uint lane) { d = W2(at * 2 + lane); }
void load_block(uint at, uint lane)
{
    for (int i = 0; i < 4; i++) nibbles[i] = W4(at + uint(8 * i) + lane);
    for (int i = 0; i < 2; i++) crumbs[i] = W4(at + uint(32 + 8 * i) + lane);
    sc = W2((at + 48) * 2 + lane);
}
vec4 weights(int j, int g) { return vec4(ivec4(nibble_values(j, g) | crumb_values(j, g) << 4)); }
vec4 fold(int j) { return vec4(1.0); }
float scale(int j, int h) { return half_of(d, j) * float(int(byte_of(sc, j, h) << 24) >> 24); }
float offset(int j, int h) { return -32.0 * scale(j, h); }

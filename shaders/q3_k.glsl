// Q3_K, w = d * (sc - 32) * (q - 4). Head: 1 uvec2 a lane: d of its four rows. A block: crumbs; bits, the third ones; 1 uvec2 a
// lane: two bytes a row, sc of each half.
#define SUBS 8
#define HEAD 4
#define BLOCK 28
#define SCALES 2
#define OFFSET 1

uvec2 d, sc;

void load_head(uint at, uint lane) { d = W2(at * 2 + lane); }
void load_block(uint at, uint lane)
{
    for (int i = 0; i < 2; i++) crumbs[i] = W4(at + uint(8 * i) + lane);
    bits = W4(at + 16 + lane);
    sc = W2((at + 24) * 2 + lane);
}
vec4 weights(int j, int g) { return vec4(ivec4(crumb_values(j, g) | bit_values(j, g) << 2)); }
vec4 fold(int j) { return vec4(1.0); }
float scale(int j, int h) { return half_of(d, j) * float(int(byte_of(sc, j, h)) - 32); }
float offset(int j, int h) { return -4.0 * scale(j, h); }

// Q2_K, w = d * sc * q - dmin * m. Head: 1 uvec4 a lane: d and dmin of its four rows. A block: crumbs; 1 uvec2 a lane: two bytes
// a row, one a half: sc in the low four bits, m in the high four.
#define SUBS 8
#define HEAD 8
#define BLOCK 20
#define SCALES 2
#define OFFSET 1

uvec4 dm;
uvec2 sm;

void load_head(uint at, uint lane) { dm = W4(at + lane); }
void load_block(uint at, uint lane)
{
    for (int i = 0; i < 2; i++) crumbs[i] = W4(at + uint(8 * i) + lane);
    sm = W2((at + 16) * 2 + lane);
}
vec4 weights(int j, int g) { return vec4(ivec4(crumb_values(j, g))); }
vec4 fold(int j) { return vec4(1.0); }
float scale(int j, int h) { return unpackHalf2x16(dm[j]).x * float(int(byte_of(sm, j, h) & 15u)); }
float offset(int j, int h) { return -unpackHalf2x16(dm[j]).y * float(int(byte_of(sm, j, h) >> 4)); }

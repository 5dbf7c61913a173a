// Q2_K, w = d * sc * q - dmin * m. Head: 1 uvec4 a lane: d and dmin of its four rows. A block:
// crumbs; 1 uvec2 a lane: two bytes a row, one a half: sc in the low four bits, m in the high four.
#define SUBS 8
#define HEAD 8
#define BLOCK 20
#define SCALES 2
#define X_SCALE vec4(1.0)
#define OFFSET 1

uvec4 dm;
uvec2 sm;

void load_head(uint at) { dm = L4(at); }
void load_block(uint at) { sm = L2(at + 16); }
void load_half(uint at, int h)
{
    load_crumbs(at, h);
}

vec4 weights(int j, int g) { return vec4(ivec4(crumb_values(j, g))); }
uint bytes(int j, int g) { return crumb_bytes(j, g); }
float fold(int j) { return 1.0; }
float scale(int j, int h) { return unpackHalf2x16(dm[j]).x * float(int(byte_of(sm, j, h) & 15u)); }
float offset(int j, int h) { return -unpackHalf2x16(dm[j]).y * float(int(byte_of(sm, j, h) >> 4)); }

// Q4_K, w = d * sc * q - dmin * m. Head: 1 uvec4 a lane: d and dmin of its four rows. A block:
// nibbles; 1 uvec2 a lane: sc and m of its four rows, a byte each.
#define SUBS 8
#define HEAD 8
#define BLOCK 36
#define SCALES 1
#define X_SCALE NIBBLE_SCALE
#define OFFSET 1

uvec4 dm;
uvec2 sm;

void load_head(uint at) { dm = L4(at); }
void load_block(uint at) { sm = L2(at + 32); }
void load_half(uint at, int h)
{
    load_nibbles(at, h);
}

vec4 weights(int j, int g) { return nibbles_in_place(j, g); }
uint bytes(int j, int g) { return nibble_bytes(j, g); }
float fold(int j) { return nibble_fold(j); }
float scale(int j, int h) { return unpackHalf2x16(dm[j]).x * float(int(byte_of(sm, j, 0))); }
float offset(int j, int h) { return -unpackHalf2x16(dm[j]).y * float(int(byte_of(sm, j, 1))); }

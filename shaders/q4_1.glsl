// Q4_1, w = d * q + m. A block: nibbles; 1 uvec4 a lane: d and m of its four rows.
#define SUBS 1
#define HEAD 0
#define BLOCK 40
#define SCALES 1
#define X_SCALE NIBBLE_SCALE
#define OFFSET 1

uvec4 dm;

void load_head(uint at) {}
void load_block(uint at) { dm = L4(at + 32); }
void load_half(uint at, int h)
{
    load_nibbles(at, h);
}

vec4 weights(int j, int g) { return nibbles_in_place(j, g); }
uint bytes(int j, int g) { return nibble_bytes(j, g); }
float fold(int j) { return nibble_fold(j); }
float scale(int j, int h) { return unpackHalf2x16(dm[j]).x; }
float offset(int j, int h) { return unpackHalf2x16(dm[j]).y; }

// Q4_0, w = d * (q - 8). A block: nibbles; 1 uvec2 a lane: d of its four rows.
#define SUBS 1
#define HEAD 0
#define BLOCK 36
#define SCALES 1
#define X_SCALE NIBBLE_SCALE
#define OFFSET 1

uvec2 d;

void load_head(uint at) {}
void load_block(uint at) { d = L2(at + 32); }
void load_half(uint at, int h)
{
    load_nibbles(at, h);
}

vec4 weights(int j, int g) { return nibbles_in_place(j, g); }
uint bytes(int j, int g) { return nibble_bytes(j, g); }
float fold(int j) { return nibble_fold(j); }
float scale(int j, int h) { return half_of(d, j); }
float offset(int j, int h) { return -8.0 * half_of(d, j); }

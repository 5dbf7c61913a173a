// Q4_1, w = d * q + m. A block: nibbles; 1 uvec4 a lane: d and m of its four rows.
#define SUBS 1
#define HEAD 0
#define BLOCK 40
#define SCALES 1
#define OFFSET 1

uvec4 dm;

void load_head(uint at, uint lane) {}
void load_block(uint at, uint lane)
{
    for (int i = 0; i < 4; i++) nibbles[i] = W4(at + uint(8 * i) + lane);
    dm = W4(at + 32 + lane);
}
vec4 weights(int j, int g) { return nibbles_in_place(j, g); }
vec4 fold(int j) { return nibble_fold(j); }
float scale(int j, int h) { return unpackHalf2x16(dm[j]).x; }
float offset(int j, int h) { return unpackHalf2x16(dm[j]).y; }

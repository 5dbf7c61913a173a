// Q4_0, w = d * (q - 8). A block: nibbles; 1 uvec2 a lane: d of its four rows.
#define SUBS 1
#define HEAD 0
#define BLOCK 36
#define SCALES 1
#define OFFSET 1

uvec2 d;

void load_head(uint at, uint lane) {}
void load_block(uint at, uint lane)
{
    for (int i = 0; i < 4; i++) nibbles[i] = W4(at + uint(8 * i) + lane);
    d = W2((at + 32) * 2 + lane);
}
vec4 weights(int j, int g) { return nibbles_in_place(j, g); }
vec4 fold(int j) { return nibble_fold(j); }
float scale(int j, int h) { return half_of(d, j); }
float offset(int j, int h) { return -8.0 * half_of(d, j); }

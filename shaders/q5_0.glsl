// Q5_0, w = d * (q - 16). A block: nibbles; bits, the fifth ones; 1 uvec2 a lane: d of its four rows.
#define SUBS 1
#define HEAD 0
#define BLOCK 44
#define SCALES 1
#define OFFSET 1

uvec2 d;

void load_head(uint at, uint lane) {}
void load_block(uint at, uint lane)
{
    for (int i = 0; i < 4; i++) nibbles[i] = W4(at + uint(8 * i) + lane);
    bits = W4(at + 32 + lane);
    d = W2((at + 40) * 2 + lane);
}
vec4 weights(int j, int g) { return vec4(ivec4(nibble_values(j, g) | bit_values(j, g) << 4)); }
vec4 fold(int j) { return vec4(1.0); }
float scale(int j, int h) { return half_of(d, j); }
float offset(int j, int h) { return -16.0 * half_of(d, j); }

// Q8_0, w = d * q. A block: 8 uvec4 a lane, number 2 * j + h: 16 columns of row j; 1 uvec2 a lane:
// d of its four rows.
#define SUBS 1
#define HEAD 0
#define BLOCK 68
#define SCALES 1
#define X_SCALE vec4(1.0)
#define OFFSET 0

uvec4 q[4];
uvec2 d;

void load_head(uint at) {}
void load_block(uint at) { d = L2(at + 64); }
void load_half(uint at, int h)
{
    for (int j = 0; j < 4; j++) q[j] = L4(at + uint(16 * j + 8 * h));
}

vec4 weights(int j, int g)
{
    int v = int(q[j][g]);
    return vec4(ivec4(v << 24, v << 16, v << 8, v) >> 24);
}
uint bytes(int j, int g) { return q[j][g]; }
float fold(int j) { return 1.0; }
float scale(int j, int h) { return half_of(d, j); }
float offset(int j, int h) { return 0.0; }

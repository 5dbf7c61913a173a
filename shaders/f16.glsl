// F16. A block: 16 uvec4 a lane, number 4 * j + 2 * h + g / 2: eight columns of row j.
#define SUBS 1
#define HEAD 0
#define BLOCK 128
#define SCALES 0
#define X_SCALE vec4(1.0)
#define OFFSET 0
#define IN_ORDER

uint half_at;
uvec4 eights[4]; // of each row

void load_head(uint at) {}
void load_block(uint at) {}
void load_half(uint at, int h) { half_at = at + uint(16 * h); }
vec4 weights(int j, int g)
{
    if ((g & 1) == 0) eights[j] = L4(half_at + uint(4 * j + (g >> 1)) * 8u);
    uvec2 v = (g & 1) == 0 ? eights[j].xy : eights[j].zw;
    return vec4(unpackHalf2x16(v.x), unpackHalf2x16(v.y));
}
float fold(int j) { return 1.0; }
float scale(int j, int h) { return 1.0; }
float offset(int j, int h) { return 0.0; }

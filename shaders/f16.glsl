// F16. A block: 16 uvec4 a lane, number 4 * j + g / 2: 8 columns of row j.
#define SUBS 1
#define HEAD 0
#define BLOCK 128
#define SCALES 0
#define OFFSET 0

uint block_at;
uvec4 eight;

void load_head(uint at, uint lane) {}
void load_block(uint at, uint lane) { block_at = at + lane; }
vec4 weights(int j, int g)
{
    if ((g & 1) == 0) eight = W4(block_at + uint(4 * j + (g >> 1)) * 8u);
    uvec2 v = (g & 1) == 0 ? eight.xy : eight.zw;
    return vec4(unpackHalf2x16(v.x), unpackHalf2x16(v.y));
}
vec4 fold(int j) { return vec4(1.0); }
float scale(int j, int h) { return 1.0; }
float offset(int j, int h) { return 0.0; }

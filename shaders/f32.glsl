// F32. A block: 32 uvec4 a lane, number 8 * j + g: columns 4g..4g+3 of row j.
#define SUBS 1
#define HEAD 0
#define BLOCK 256
#define SCALES 0
#define OFFSET 0

uint block_at;

void load_head(uint at, uint lane) {}
void load_block(uint at, uint lane) { block_at = at + lane; }
vec4 weights(int j, int g) { return uintBitsToFloat(W4(block_at + uint(8 * j + g) * 8u)); }
vec4 fold(int j) { return vec4(1.0); }
float scale(int j, int h) { return 1.0; }
float offset(int j, int h) { return 0.0; }

// F32. A block: 32 uvec4 a lane, number 8 * j + 4 * h + g: four columns of row j.
#define SUBS 1
#define HEAD 0
#define BLOCK 256
#define SCALES 0
#define X_SCALE vec4(1.0)
#define OFFSET 0

uint half_at;

void load_head(uint at) {}
void load_block(uint at) {}
void load_half(uint at, int h) { half_at = at + uint(32 * h); }
vec4 weights(int j, int g) { return uintBitsToFloat(L4(half_at + uint(8 * j + g) * 8u)); }
float fold(int j) { return 1.0; }
float scale(int j, int h) { return 1.0; }
float offset(int j, int h) { return 0.0; }

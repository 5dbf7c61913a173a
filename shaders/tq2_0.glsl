// TQ2_0, w = d * (q - 1). Head: 1 uvec2 a lane: d of its four rows. A block: crumbs.
#define SUBS 8
#define HEAD 4
#define BLOCK 16
#define SCALES 1
#define X_SCALE vec4(1.0)
#define OFFSET 1

uvec2 d;

void load_head(uint at) { d = L2(at); }
void load_block(uint at) {}
void load_half(uint at, int h) { load_crumbs(at, h); }
vec4 weights(int j, int g) { return vec4(ivec4(crumb_values(j, g))); }
float fold(int j) { return 1.0; }
float scale(int j, int h) { return half_of(d, j); }
float offset(int j, int h) { return -half_of(d, j); }

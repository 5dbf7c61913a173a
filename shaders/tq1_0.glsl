// TQ1_0, w = d * (q - 1). Head: 1 uvec2 a lane: d of its four rows. A block: seven bytes a row, in 1 uvec4,
// 1 uvec2 and 1 uint a lane: byte k has four columns from 4 * k on and column 28 + k, if there is one, as
// digits of base three: a fraction in 256ths, from which times three brings out a digit.
#define SUBS 8
#define HEAD 4
#define BLOCK 14
#define SCALES 1
#define X_SCALE vec4(1.0)
#define OFFSET 1

uvec2 d, middle;
uvec4 low;
uint top;
int half_now;

void load_head(uint at) { d = L2(at); }

void load_block(uint at)
{
    low = L4(at);
    middle = L2(at + 8);
    top = L1(at + 12);
}

void load_half(uint at, int h) { half_now = h; }

// What times three has the four digits above it.
uvec4 fractions(int j, int g)
{
    if (half_now == 0) return (low[j] >> (8 * g) & 255u) * uvec4(1u, 3u, 9u, 27u);
    if (g == 3) return (uvec4(low[j], low[j] >> 8, low[j] >> 16, low[j] >> 24) & 255u) * 81u;
    return (g == 2 ? top >> (8 * j) & 255u : byte_of(middle, j, g)) * uvec4(1u, 3u, 9u, 27u);
}

vec4 weights(int j, int g) { return vec4(ivec4((fractions(j, g) & 255u) * 3u >> 8)); }
float fold(int j) { return 1.0; }
float scale(int j, int h) { return half_of(d, j); }
float offset(int j, int h) { return -half_of(d, j); }

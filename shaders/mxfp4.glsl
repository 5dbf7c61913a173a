// MXFP4, w = 2^(e - 128) * level(q), the levels being twice those of E2M1. A block: nibbles; 1 uint a
// lane: e of its four rows, a byte each.
#define SUBS 1
#define HEAD 0
#define BLOCK 34
#define SCALES 1
#define X_SCALE vec4(1.0)
#define OFFSET 0

uint e;

void load_head(uint at) {}
void load_block(uint at) { e = L1(at + 32); }
void load_half(uint at, int h) { load_nibbles(at, h); }

// 0, 1, 2, 3, 4, 6, 8 and 12; the fourth bit is the sign.
vec4 weights(int j, int g)
{
    uvec4 q = nibble_values(j, g);
    vec4 size = vec4(ivec4(uvec4(0xc8643210u) >> (4u * (q & 7u)) & 15u));
    return uintBitsToFloat(floatBitsToUint(size) | (q & 8u) << 28);
}

float fold(int j) { return 1.0; }

// The two smallest are subnormal.
float scale(int j, int h)
{
    uint v = e >> (8 * j) & 255u;
    return uintBitsToFloat(v < 2u ? 0x200000u << v : (v - 1u) << 23);
}
float offset(int j, int h) { return 0.0; }

// Planes: how the bits of 4 rows x 32 columns lie, a lane's share after its neighbour's. Shared by
// the formats, written by repack.c. Shaders work on half a block at a time: its columns are 16 * h
// + 4 * g + k, g and k from 0 to 3. What is called bytes has the four k of row j and g, the first lowest.

// Nibbles, 4 uvec4 a lane, number 2 * (j / 2) + h: word g holds columns k of row j (even) in its
// low half, of row j + 1 in its high half, so that one 32-bit multiplication can serve both rows.
uvec4 nibbles[2];

void load_nibbles(uint at, int h)
{
    nibbles[0] = L4(at + uint(8 * h));
    nibbles[1] = L4(at + uint(16 + 8 * h));
}

// Left where they are but for the last: and, convert, no shift. X_SCALE and fold owe the powers of
// two.
vec4 nibbles_in_place(int j, int g)
{
    uint v = nibbles[j >> 1][g];
    if ((j & 1) == 0) return vec4(ivec4(int(v & 0xfu), int(v & 0xf0u), int(v & 0xf00u), int(v >> 4 & 0xf00u)));
    return vec4(ivec4(int(v & 0xf0000u), int(v & 0xf00000u), int(v & 0xf000000u), int(v >> 4 & 0xf000000u)));
}
#define NIBBLE_SCALE vec4(1.0, 0.0625, 0.00390625, 0.00390625)
float nibble_fold(int j) { return (j & 1) == 0 ? 1.0 : 1.52587890625e-05; }

uvec4 nibble_values(int j, int g)
{
    uint v = nibbles[j >> 1][g];
    int s = (j & 1) * 16;
    return uvec4(v >> s, v >> (s + 4), v >> (s + 8), v >> (s + 12)) & 15u;
}

uint nibble_bytes(int j, int g)
{
    uint v = nibbles[j >> 1][g] >> ((j & 1) * 16) & 0xffffu;
    v = (v | v << 8) & 0xff00ffu;
    return (v | v << 4) & 0xf0f0f0fu;
}

// Pairs of bits, 2 uvec4 a lane: word 2 * j + h holds 16 columns of row j, the first lowest.
uvec4 crumbs;

void load_crumbs(uint at, int h)
{
    uvec4 a = L4(at), b = L4(at + 8);
    crumbs = h == 0 ? uvec4(a.xz, b.xz) : uvec4(a.yw, b.yw);
}

uvec4 crumb_values(int j, int g)
{
    uint v = crumbs[j];
    int s = g * 8;
    return uvec4(v >> s, v >> (s + 2), v >> (s + 4), v >> (s + 6)) & 3u;
}

uint crumb_bytes(int j, int g)
{
    uint v = crumbs[j] >> (g * 8) & 0xffu;
    v = (v | v << 12) & 0xf000fu;
    return (v | v << 6) & 0x3030303u;
}

// Single bits, 1 uvec4 a lane: word j holds the 32 columns of row j, the first lowest.
uvec4 bits;

void load_bits(uint at, int h) { bits = L4(at) >> (16 * h); }

uvec4 bit_values(int j, int g)
{
    uint v = bits[j];
    return uvec4(v >> (4 * g), v >> (4 * g + 1), v >> (4 * g + 2), v >> (4 * g + 3)) & 1u;
}

// Bit i of the four comes to 8 * i: no sum of two carries.
uint bit_bytes(int j, int g) { return (bits[j] >> (4 * g) & 15u) * 0x204081u & 0x1010101u; }

// Four f16, one a row, in a uvec2.
float half_of(uvec2 halves, int j) { return unpackHalf2x16(halves[j >> 1])[j & 1]; }

// Byte i of the two that row j has in a uvec2.
uint byte_of(uvec2 bytes, int j, int i) { return (bytes[j >> 1] >> (16 * (j & 1) + 8 * i)) & 255u; }

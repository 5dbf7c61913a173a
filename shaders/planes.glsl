// Planes: how the bits of 4 rows x 32 columns lie in one lane's registers. Shared by the formats, written by repack.c.
// A column is 4 * g + k.

// Nibbles, 4 uvec4: word 4 * (j / 2) + g of eight a pair of rows holds columns 4g..4g+3 of row j in its low half, of row j + 1
// in its high half, so that one 32-bit multiplication can serve both rows.
uvec4 nibbles[4];

uint nibble_word(int j, int g) { return nibbles[(j >> 1) * 2 + (g >> 2)][g & 3]; }

// Left where they are: and, convert, no shift. nibble_fold holds the powers of two that are owed.
vec4 nibbles_in_place(int j, int g)
{
    uint v = nibble_word(j, g);
    if ((j & 1) == 0) return vec4(ivec4(int(v & 0xfu), int(v & 0xf0u), int(v & 0xf00u), int(v & 0xf000u)));
    return vec4(ivec4(int(v & 0xf0000u), int(v & 0xf00000u), int(v & 0xf000000u), int(v >> 28)));
}

vec4 nibble_fold(int j)
{
    return (j & 1) == 0 ? vec4(1.0, 0.0625, 0.00390625, 0.000244140625)
                        : vec4(1.52587890625e-05, 9.5367431640625e-07, 5.9604644775390625e-08, 1.0);
}

uvec4 nibble_values(int j, int g)
{
    uint v = nibble_word(j, g);
    int s = (j & 1) * 16;
    return uvec4(v >> s, v >> (s + 4), v >> (s + 8), v >> (s + 12)) & 15u;
}

// Pairs of bits, 2 uvec4: word 2 * j + g / 4 holds 16 columns of row j, the first lowest.
uvec4 crumbs[2];

uvec4 crumb_values(int j, int g)
{
    uint v = crumbs[j >> 1][(j & 1) * 2 + (g >> 2)];
    int s = (g & 3) * 8;
    return uvec4(v >> s, v >> (s + 2), v >> (s + 4), v >> (s + 6)) & 3u;
}

// Single bits, 1 uvec4: word j holds the 32 columns of row j, the first lowest.
uvec4 bits;

uvec4 bit_values(int j, int g)
{
    uint v = bits[j];
    return uvec4(v >> (4 * g), v >> (4 * g + 1), v >> (4 * g + 2), v >> (4 * g + 3)) & 1u;
}

// Four f16, one a row, in a uvec2.
float half_of(uvec2 halves, int j) { return unpackHalf2x16(halves[j >> 1])[j & 1]; }

// Byte i of the two that row j has in a uvec2.
uint byte_of(uvec2 bytes, int j, int i) { return (bytes[j >> 1] >> (16 * (j & 1) + 8 * i)) & 255u; }

// Formats with codebooks: entries of 16 bits, eight a word of the buffer at binding GRID, which the including
// shader gives: eight columns of two bits or four of four, the first lowest, each the number of a level.
WORDS(GRID, grid);
uint entry(uint i) { return WORD(grid, i >> 3)[i >> 1 & 3u] >> (16u * (i & 1u)); }

uvec4 entries[4]; // of each row's half: two of eight columns or four of four
uint signs[4];    // of each row's half, a bit a column

uvec4 two_bit_values(int j, int g)
{
    uint v = entries[j][g >> 1] >> (8 * (g & 1));
    return uvec4(v, v >> 2, v >> 4, v >> 6) & 3u;
}

uvec4 three_bit_values(int j, int g)
{
    uint v = entries[j][g];
    return uvec4(v, v >> 4, v >> 8, v >> 12) & 7u;
}

// The eighth sign of seven makes the number of those set even.
uint eight_signs(uint seven) { return seven | uint(bitCount(seven) & 1) << 7; }
uint sixteen_signs(uint twice_seven) { return eight_signs(twice_seven & 127u) | eight_signs(twice_seven >> 7 & 127u) << 8; }

vec4 with_signs(uvec4 sizes, int j, int g)
{
    uint s = signs[j] >> (4 * g);
    return uintBitsToFloat(floatBitsToUint(vec4(ivec4(sizes))) | (uvec4(s << 31, s << 30, s << 29, s << 28) & 0x80000000u));
}

// Levels of IQ2: 8, 25 and 43.
uvec4 iq2_sizes(uvec4 q) { return 8u + 17u * q + (q >> 1); }

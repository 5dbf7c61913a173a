// IQ1_S and IQ1_M: levels of -1, 0 and 1, eight of them moved by an eighth together: in eighths.
#include "codebook.glsl"

void load_entry(int j, int e, uint i, bool down) { entries[j][e] = (entry(i) & 0xffffu) | (down ? 0x10000u : 0u); }

vec4 weights(int j, int g)
{
    int shift = -7 - int(entries[j][g >> 1] >> 16) * 2;
    return vec4(ivec4(two_bit_values(j, g) << 3) + shift);
}

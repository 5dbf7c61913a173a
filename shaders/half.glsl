// Round to f16 in integers, to nearest even: packHalf2x16's rounding is not specified. Overflow
// gives infinity, NaN stays NaN.
uint half_bits(float value)
{
    uint v = floatBitsToUint(value), sign = v >> 16 & 0x8000u, magnitude = v & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return sign | 0x7e00u;
    if (magnitude >= 0x477ff000u) return sign | 0x7c00u;
    if (magnitude < 0x33000000u) return sign;
    if (magnitude >= 0x38800000u) return sign | (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
    // Subnormal: the significand shifted to units of 2^-24.
    uint significand = (magnitude & 0x7fffffu) | 0x800000u, shift = 126u - (magnitude >> 23);
    uint kept = significand >> shift, rest = significand & ((1u << shift) - 1u), half_way = 1u << (shift - 1u);
    return sign | (kept + uint(rest > half_way || (rest == half_way && (kept & 1u) != 0u)));
}

uint half_pair(vec2 v) { return half_bits(v.x) | half_bits(v.y) << 16; }

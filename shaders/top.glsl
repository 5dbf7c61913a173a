// What the two kernels of ops_top share. Logits are compared as integers of the same order: zeros are
// equal, infinity counts as the largest number, and NaN as nothing at all.
const uint NONE = 0u;

uvec4 order_of(uvec4 bits)
{
    uvec4 magnitude = bits & 0x7fffffffu;
    ivec4 order = mix(ivec4(magnitude), -ivec4(magnitude), notEqual(bits, magnitude));
    uvec4 result = uvec4(min(order, ivec4(0x7f7fffff))) ^ 0x80000000u;
    return mix(result, uvec4(NONE), greaterThan(magnitude, uvec4(0x7f800000u)));
}

// Of four number i of a row; what lies behind the row is nothing.
uvec4 order_at(uvec4 bits, uint i, uint n)
{
    return mix(uvec4(NONE), order_of(bits), lessThan(i * 4 + uvec4(0, 1, 2, 3), uvec4(n)));
}

float logit_of(uint order)
{
    int value = int(order ^ 0x80000000u);
    return value < 0 ? -uintBitsToFloat(uint(-value)) : uintBitsToFloat(uint(value));
}

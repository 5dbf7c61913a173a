// Activations rounded to integers of -255 to 255. A block of 32 columns is 8 words, one a lane: its
// four columns in 16 bits each, the block's scale, the sums of the block's halves in 16 bits each. As
// large as 32 f32, so that strides stay the same.

// What a lane holds of a block, v, becomes its word. Blocks of next to nothing become zero: no
// denormals.
uvec4 round_block(vec4 v)
{
    vec4 size = abs(v);
    float most = max(max(size.x, size.y), max(size.z, size.w));
    [[unroll]] for (int i = 0; i < 3; i++) most = max(most, subgroupShuffleXor(most, 1u << i));
    bool none = most < 1e-30;
    ivec4 q = ivec4(roundEven(v * (none ? 0.0 : 255.0 / most)));
    int sum = (q.x + q.y) + (q.z + q.w);
    [[unroll]] for (int i = 0; i < 2; i++) sum += subgroupShuffleXor(sum, 1u << i);
    uint own = (gl_LocalInvocationID.x & 4u) == 0u ? uint(sum & 0xffff) : uint(sum) << 16;
    uint sums = own | subgroupShuffleXor(own, 4u);
    uvec2 four = uvec2(uint(q.x & 0xffff) | uint(q.y) << 16, uint(q.z & 0xffff) | uint(q.w) << 16);
    return uvec4(four, floatBitsToUint(none ? 0.0 : most / 255.0), sums);
}

// Both halves of a word of 16 bits each, the first in the low ones.
ivec2 two_of(uint word) { return ivec2(int(word) << 16, int(word)) >> 16; }

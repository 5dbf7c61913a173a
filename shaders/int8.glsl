// Activations rounded to signed bytes. A block of 32 columns is three words: two of its columns' bytes, in
// order, and one of floats: its scale, and that times the sum of its first half, its second, and both. The
// blocks of a row follow each other; the strides stay those of f32.
void round_block(const vec4 v[8], out uvec4 words[3])
{
    vec4 sizes = vec4(0.0);
    [[unroll]] for (int k = 0; k < 8; k++) sizes = max(sizes, abs(v[k]));
    float most = max(max(sizes.x, sizes.y), max(sizes.z, sizes.w));
    bool none = most < 1e-30;
    float by = none ? 0.0 : 127.0 / most, scale = none ? 0.0 : most / 127.0;
    ivec2 sums = ivec2(0);
    [[unroll]] for (int k = 0; k < 8; k++) {
        ivec4 q = ivec4(roundEven(v[k] * by));
        uvec4 bytes = uvec4(q) & 255u;
        sums[k / 4] += (q.x + q.y) + (q.z + q.w);
        words[k / 4][k % 4] = bytes.x | bytes.y << 8 | bytes.z << 16 | bytes.w << 24;
    }
    words[2] = floatBitsToUint(scale * vec4(1.0, ivec3(sums, sums.x + sums.y)));
}

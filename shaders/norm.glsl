// out = in / sqrt(mean(in^2) + eps) * gain of one row, by one workgroup. The including shader gives
// NORM_IN(i), a row's four number i, and NORM_GAIN(i). The order of the sum is the same in all.
#ifdef SHUFFLE
float sum_of_workgroup(float v)
{
    float sum = 0.0;
    [[unroll]] for (uint i = 0; i < 8; i++) sum += subgroupShuffle(v, i);
    return sum;
}
#else
shared float lane_sums[gl_WorkGroupSize.x];
float sum_of_workgroup(float v)
{
    barrier(); // an earlier sum has been read
    lane_sums[gl_LocalInvocationID.x] = v;
    barrier();
    float sum = 0.0;
    for (uint i = 0; i < gl_WorkGroupSize.x; i++) sum += lane_sums[i];
    return sum;
}
#endif

float norm_mean(uint from, uint chunks, float n)
{
    vec4 sums = vec4(0.0);
    for (uint i = gl_LocalInvocationID.x; i < chunks; i += gl_WorkGroupSize.x) sums += NORM_IN(from + i);
    return sum_of_workgroup((sums.x + sums.y) + (sums.z + sums.w)) / n;
}

// What the row, less its mean or 0, is multiplied with.
float norm_scale(uint from, uint chunks, float n, float eps, float mean)
{
    vec4 squares = vec4(0.0);
    for (uint i = gl_LocalInvocationID.x; i < chunks; i += gl_WorkGroupSize.x) {
        vec4 v = NORM_IN(from + i) - mean;
        squares = fma(v, v, squares);
    }
    float sum = sum_of_workgroup((squares.x + squares.y) + (squares.z + squares.w));
    return 1.0 / sqrt(sum / n + eps);
}

vec4 norm_four(uint from, uint i, float scale) { return NORM_IN(from + i) * scale * NORM_GAIN(i); }

// What a row's q, k and v go through before attention, for rope_store.comp and attention.comp alike, bit for
// bit: nothing here may be contracted in one of them only. The including shader has the buffers qkv, rope and
// terms, the constants BIAS, NORM and LATE, and h, struct rope_args.
vec2 rotate(vec2 v, vec2 turn)
{
    precise vec2 turned = vec2(v.x * turn.x - v.y * turn.y, v.x * turn.y + v.y * turn.x);
    return turned;
}

// Four numbers of a row, with their biases.
vec4 read_four(uint row, uint at)
{
    vec4 v = uintBitsToFloat(WORD(qkv, (row * h.stride + at) / 4));
    if (BIAS) v += uintBitsToFloat(WORD(terms, at / 4));
    return v;
}

// Gains of q or k.
vec4 gain_four(bool is_q, uint d) { return uintBitsToFloat(WORD(terms, (h.stride + (is_q ? 0 : h.head_dim) + d) / 4)); }

// Dimensions d to d + 3 of a head, as they are before they turn; those of v have no gains.
vec4 normed_four(uint row, uint at, uint d, float scale, bool is_q, bool is_v)
{
    vec4 v = read_four(row, at + d);
    if (NORM) {
        v *= scale;
        if (!LATE && !is_v) v *= gain_four(is_q, d);
    }
    return v;
}

// What q is multiplied by, with SCALED.
float q_factor(uint row)
{
    return uintBitsToFloat(WORD(rope, row * (h.rope_pairs / 2) + h.rope_pairs / 2 - 1).x);
}

#ifndef SHUFFLE
shared float squares[8];
#endif

// By the whole workgroup: what the norm multiplies the head at `at` by. 8 lanes sum it, one after the other.
float norm_scale(uint row, uint at, uint dim)
{
    const uint lane = gl_LocalInvocationID.x;
    vec4 sums = vec4(0.0);
    for (uint d = 4 * lane; lane < 8 && d < dim; d += 32) {
        vec4 v = read_four(row, at + d);
        sums = fma(v, v, sums);
    }
    float own = (sums.x + sums.y) + (sums.z + sums.w), sum = 0.0;
#ifdef SHUFFLE
    for (uint i = 0; i < 8; i++) sum += subgroupShuffle(own, i);
#else
    barrier();
    if (lane < 8) squares[lane] = own;
    barrier();
    for (uint i = 0; i < 8; i++) sum += squares[i];
#endif
    precise float scale = 1.0 / sqrt(sum / float(dim) + h.eps);
    return scale;
}

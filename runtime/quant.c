#include "quant.h"

#include <math.h>
#include <string.h>

/* Products of a scale and a quant are exact in f32 in all these formats, so a compiler that
 * contracts d * q + m to one fused operation changes nothing. */

enum { SMALL = 32, SUPER = 256 }; /* weights of a block and of a K format's block */

static const struct quant_info infos[] = {
#define QUANT_INFO(constant, id, name, weights, bytes) [id] = {constant, name, weights, bytes},
    QUANT_LIST(QUANT_INFO)
#undef QUANT_INFO
};

const struct quant_info *quant_info(uint32_t id)
{
    return id < sizeof infos / sizeof *infos && infos[id].name ? &infos[id] : NULL;
}

/* ---- small floats ---- */

static uint32_t float_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float bits_float(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

float quant_f16(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000) << 16, exponent = bits >> 10 & 31,
             mantissa = bits & 0x3ff;
    if (exponent == 31) return bits_float(sign | 0x7f800000 | mantissa << 13);
    if (exponent == 0) return bits_float(sign | float_bits((float)mantissa * 0x1p-24f));
    return bits_float(sign | (exponent + 112) << 23 | mantissa << 13);
}

uint16_t quant_to_f16(float value)
{
    uint32_t bits = float_bits(value), sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
    uint32_t half;
    if (size > 0x7f800000) half = 0x7e00;
    else if (size >= 0x477ff000) half = 0x7c00; /* from 65520 on */
    else if (size < 0x38800000)
        half = float_bits(bits_float(size) + 0.5f) - 0x3f000000; /* 0.5 has steps of 2^-24 */
    else half = (size - 0x38000000 + 0xfff + (size >> 13 & 1)) >> 13;
    return (uint16_t)(sign | half);
}

static uint16_t load16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static void store16(uint8_t *p, uint16_t x)
{
    p[0] = (uint8_t)x;
    p[1] = (uint8_t)(x >> 8);
}

static float load_f16(const uint8_t *p)
{
    return quant_f16(load16(p));
}

/* Stores x and returns what was stored. */
static float store_f16(uint8_t *p, float x)
{
    store16(p, quant_to_f16(x));
    return load_f16(p);
}

static void decode_f32(const uint8_t *block, float *out)
{
    *out = bits_float(load16(block) | (uint32_t)load16(block + 2) << 16);
}

static void encode_f32(const float *in, uint8_t *block)
{
    store16(block, (uint16_t)float_bits(*in));
    store16(block + 2, (uint16_t)(float_bits(*in) >> 16));
}

static void decode_f16(const uint8_t *block, float *out)
{
    *out = load_f16(block);
}

static void encode_f16(const float *in, uint8_t *block)
{
    store16(block, quant_to_f16(*in));
}

static void decode_bf16(const uint8_t *block, float *out)
{
    *out = bits_float((uint32_t)load16(block) << 16);
}

static void encode_bf16(const float *in, uint8_t *block)
{
    uint32_t bits = float_bits(*in);
    if (isnan(*in)) bits |= 0x400000; /* a quiet one, lest it be cut to infinity */
    else bits += 0x7fff + (bits >> 16 & 1);
    store16(block, (uint16_t)(bits >> 16));
}

/* ---- searching scales for the encoders ---- */

/* Truncated, within [low, high]; NaN gives low. */
static int clamp_int(float x, int low, int high)
{
    if (!(x > (float)low)) return low;
    return x >= (float)high ? high : (int)x;
}

static int round_int(float x, int low, int high)
{
    return clamp_int(roundf(x), low, high);
}

static float inverse(float x)
{
    return x != 0 ? 1 / x : 0;
}

/* The value that is farthest from zero. */
static float extreme(const float *x, size_t n)
{
    float best = 0;
    for (size_t i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(best)) best = x[i];
    return best;
}

static void range(const float *x, size_t n, float *low, float *high)
{
    *low = *high = x[0];
    for (size_t i = 1; i < n; i++) {
        if (x[i] < *low) *low = x[i];
        if (x[i] > *high) *high = x[i];
    }
}

/* ---- blocks of 32: weight i is nibble i / 16 of byte i % 16, and bit i of the high bits ---- */

static unsigned small_get(const uint8_t *nibbles, const uint8_t *high, unsigned i)
{
    unsigned q = (unsigned)nibbles[i % 16] >> 4 * (i / 16) & 15;
    return high ? q | ((unsigned)high[i / 8] >> i % 8 & 1) << 4 : q;
}

static void small_set(uint8_t *nibbles, uint8_t *high, unsigned i, unsigned q)
{
    nibbles[i % 16] = (uint8_t)(nibbles[i % 16] | (q & 15) << 4 * (i / 16));
    if (high) high[i / 8] = (uint8_t)(high[i / 8] | q >> 4 << i % 8);
}

/* Scale, high bits if any, nibbles: w = d * (q - middle) */
static void decode_symmetric(const uint8_t *block, size_t n_high, float *out)
{
    const uint8_t *high = n_high ? block + 2 : NULL;
    int middle = n_high ? 16 : 8;
    float d = load_f16(block);
    for (unsigned i = 0; i < SMALL; i++)
        out[i] = d * (float)((int)small_get(block + 2 + n_high, high, i) - middle);
}

static void encode_symmetric(const float *in, size_t n_high, uint8_t *block)
{
    uint8_t *high = n_high ? block + 2 : NULL;
    int middle = n_high ? 16 : 8;
    float d = extreme(in, SMALL) / (float)-middle, id = inverse(d);
    store_f16(block, d);
    for (unsigned i = 0; i < SMALL; i++) {
        int q = clamp_int(in[i] * id + (float)middle + 0.5f, 0, 2 * middle - 1);
        small_set(block + 2 + n_high, high, i, (unsigned)q);
    }
}

/* Scale, minimum, high bits if any, nibbles: w = d * q + m */
static void decode_affine(const uint8_t *block, size_t n_high, float *out)
{
    const uint8_t *high = n_high ? block + 4 : NULL;
    float d = load_f16(block), m = load_f16(block + 2);
    for (unsigned i = 0; i < SMALL; i++)
        out[i] = d * (float)small_get(block + 4 + n_high, high, i) + m;
}

static void encode_affine(const float *in, size_t n_high, uint8_t *block)
{
    uint8_t *high = n_high ? block + 4 : NULL;
    int most = n_high ? 31 : 15;
    float low, top;
    range(in, SMALL, &low, &top);
    float d = (top - low) / (float)most, id = inverse(d);
    store_f16(block, d);
    store_f16(block + 2, low);
    for (unsigned i = 0; i < SMALL; i++)
        small_set(block + 4 + n_high, high, i,
                  (unsigned)clamp_int((in[i] - low) * id + 0.5f, 0, most));
}

static void decode_q4_0(const uint8_t *block, float *out)
{
    decode_symmetric(block, 0, out);
}
static void encode_q4_0(const float *in, uint8_t *block)
{
    encode_symmetric(in, 0, block);
}
static void decode_q5_0(const uint8_t *block, float *out)
{
    decode_symmetric(block, 4, out);
}
static void encode_q5_0(const float *in, uint8_t *block)
{
    encode_symmetric(in, 4, block);
}
static void decode_q4_1(const uint8_t *block, float *out)
{
    decode_affine(block, 0, out);
}
static void encode_q4_1(const float *in, uint8_t *block)
{
    encode_affine(in, 0, block);
}
static void decode_q5_1(const uint8_t *block, float *out)
{
    decode_affine(block, 4, out);
}
static void encode_q5_1(const float *in, uint8_t *block)
{
    encode_affine(in, 4, block);
}

static void decode_q8_0(const uint8_t *block, float *out)
{
    float d = load_f16(block);
    for (size_t i = 0; i < SMALL; i++) out[i] = d * (float)(int8_t)block[2 + i];
}

static void encode_q8_0(const float *in, uint8_t *block)
{
    float d = fabsf(extreme(in, SMALL)) / 127, id = inverse(d);
    store_f16(block, d);
    for (size_t i = 0; i < SMALL; i++) block[2 + i] = (uint8_t)round_int(in[i] * id, -127, 127);
}

/* ---- K formats: 256 weights in groups of 16 or 32, whose scales are small integers ---- */

/* Weights are packed in planes of 32 bytes. Of weight i,
 * one bit lies in byte i % 32 at bit i / 32,
 * two bits lie in byte i / 128 * 32 + i % 32 at bit 2 * (i / 32 % 4),
 * four bits lie in byte i / 64 * 32 + i % 32 at bit 4 * (i / 32 % 2). */
static unsigned plane_get(const uint8_t *plane, unsigned bits, unsigned i)
{
    unsigned each = 8 / bits, row = i / 32;
    return (unsigned)plane[row / each * 32 + i % 32] >> bits * (row % each) & ((1u << bits) - 1);
}

static void plane_set(uint8_t *plane, unsigned bits, unsigned i, unsigned q)
{
    unsigned each = 8 / bits, row = i / 32;
    uint8_t *p = &plane[row / each * 32 + i % 32];
    *p = (uint8_t)(*p | (q & ((1u << bits) - 1)) << bits * (row % each));
}

/* The formats with a minimum: w = (d * scale) * q - (dmin * minimum) */
struct minimum_format {
    unsigned group, bits;             /* weights a group; bits of a weight */
    unsigned most;                    /* largest scale and minimum */
    unsigned d, scales, quants, high; /* where they lie; high is 0 where there is no fifth bit */
};

static const struct minimum_format q2_k = {16, 2, 15, 80, 0, 16, 0};
static const struct minimum_format q4_k = {32, 4, 63, 0, 4, 16, 0};
static const struct minimum_format q5_k = {32, 5, 63, 0, 4, 48, 16};

/* Eight scales and eight minimums of six bits in twelve bytes: the first four of each are the low
 * bits of bytes 0 to 3 and 4 to 7, whose two high bits are those of the last four; their low bits
 * are the nibbles of bytes 8 to 11. */
static void scales_6bit_get(const uint8_t *p, unsigned j, unsigned *scale, unsigned *minimum)
{
    *scale = j < 4 ? p[j] & 63u : (p[j + 4] & 15u) | (unsigned)p[j - 4] >> 6 << 4;
    *minimum = j < 4 ? p[j + 4] & 63u : (unsigned)p[j + 4] >> 4 | (unsigned)p[j] >> 6 << 4;
}

static void scales_6bit_set(uint8_t *p, unsigned j, unsigned scale, unsigned minimum)
{
    if (j < 4) {
        p[j] = (uint8_t)(p[j] | scale);
        p[j + 4] = (uint8_t)(p[j + 4] | minimum);
        return;
    }
    p[j + 4] = (uint8_t)((scale & 15) | (minimum & 15) << 4);
    p[j - 4] = (uint8_t)(p[j - 4] | scale >> 4 << 6);
    p[j] = (uint8_t)(p[j] | minimum >> 4 << 6);
}

static void minimum_scales(const struct minimum_format *f, const uint8_t *block, unsigned j,
                           unsigned *scale, unsigned *minimum)
{
    if (f->most == 63) {
        scales_6bit_get(block + f->scales, j, scale, minimum);
        return;
    }
    *scale = block[f->scales + j] & 15;
    *minimum = block[f->scales + j] >> 4;
}

static void decode_minimum(const struct minimum_format *f, const uint8_t *block, float *out)
{
    float d = load_f16(block + f->d), dmin = load_f16(block + f->d + 2);
    unsigned low_bits = f->high ? 4 : f->bits;
    for (unsigned j = 0; j < SUPER / f->group; j++) {
        unsigned scale, minimum;
        minimum_scales(f, block, j, &scale, &minimum);
        float ds = d * (float)scale, dm = dmin * (float)minimum;
        for (unsigned i = j * f->group; i < (j + 1) * f->group; i++) {
            unsigned q = plane_get(block + f->quants, low_bits, i);
            if (f->high) q |= plane_get(block + f->high, 1, i) << 4;
            out[i] = ds * (float)q - dm;
        }
    }
}

static void encode_minimum(const struct minimum_format *f, const float *in, uint8_t *block)
{
    unsigned n_groups = SUPER / f->group, low_bits = f->high ? 4 : f->bits;
    int most_q = (1 << f->bits) - 1;
    float scales[16], minimums[16];
    for (unsigned j = 0; j < n_groups; j++) {
        float low, top;
        range(in + j * f->group, f->group, &low, &top);
        minimums[j] = low < 0 ? -low : 0;
        scales[j] = (top > -minimums[j] ? top + minimums[j] : 0) / (float)most_q;
    }
    float d = store_f16(block + f->d, extreme(scales, n_groups) / (float)f->most);
    float dmin = store_f16(block + f->d + 2, extreme(minimums, n_groups) / (float)f->most);
    for (unsigned j = 0; j < n_groups; j++) {
        unsigned scale = (unsigned)round_int(scales[j] * inverse(d), 0, (int)f->most);
        unsigned minimum = (unsigned)round_int(minimums[j] * inverse(dmin), 0, (int)f->most);
        if (f->most == 63) scales_6bit_set(block + f->scales, j, scale, minimum);
        else block[f->scales + j] = (uint8_t)(scale | minimum << 4);
        float id = inverse(d * (float)scale), dm = dmin * (float)minimum;
        for (unsigned i = j * f->group; i < (j + 1) * f->group; i++) {
            unsigned q = (unsigned)round_int((in[i] + dm) * id, 0, most_q);
            plane_set(block + f->quants, low_bits, i, q);
            if (f->high) plane_set(block + f->high, 1, i, q >> 4);
        }
    }
}

static void decode_q2_k(const uint8_t *block, float *out)
{
    decode_minimum(&q2_k, block, out);
}
static void encode_q2_k(const float *in, uint8_t *block)
{
    encode_minimum(&q2_k, in, block);
}
static void decode_q4_k(const uint8_t *block, float *out)
{
    decode_minimum(&q4_k, block, out);
}
static void encode_q4_k(const float *in, uint8_t *block)
{
    encode_minimum(&q4_k, in, block);
}
static void decode_q5_k(const uint8_t *block, float *out)
{
    decode_minimum(&q5_k, block, out);
}
static void encode_q5_k(const float *in, uint8_t *block)
{
    encode_minimum(&q5_k, in, block);
}

/* Scales of the symmetric K formats: each group's extreme is the lowest quant. Returns d; the
 * scales are in units of it. */
static float signed_scales(const float *in, int lowest, int most, uint8_t *d_at, int scales[16])
{
    float wanted[16];
    for (unsigned j = 0; j < 16; j++) wanted[j] = extreme(in + 16 * j, 16) / (float)lowest;
    float d = store_f16(d_at, fabsf(extreme(wanted, 16)) / (float)most), id = inverse(d);
    for (unsigned j = 0; j < 16; j++) scales[j] = round_int(wanted[j] * id, -most - 1, most);
    return d;
}

/* Q3_K: high bits (32), low two bits (64), sixteen scales of six bits (12), d.
 * w = (d * (scale - 32)) * (q - 4); the low four bits of the scales are nibbles of the first eight
 * bytes, the high two are bit pairs of the last four. */
enum { Q3_LOW = 32, Q3_SCALES = 96, Q3_D = 108 };

static void decode_q3_k(const uint8_t *block, float *out)
{
    const uint8_t *scales = block + Q3_SCALES;
    float d = load_f16(block + Q3_D);
    for (unsigned j = 0; j < 16; j++) {
        int low = scales[j % 8] >> 4 * (j / 8) & 15, high = scales[8 + j % 4] >> 2 * (j / 4) & 3;
        float ds = d * (float)((low | high << 4) - 32);
        for (unsigned i = 16 * j; i < 16 * (j + 1); i++) {
            unsigned q = plane_get(block + Q3_LOW, 2, i) | plane_get(block, 1, i) << 2;
            out[i] = ds * (float)((int)q - 4);
        }
    }
}

static void encode_q3_k(const float *in, uint8_t *block)
{
    uint8_t *scales = block + Q3_SCALES;
    int signed_scale[16];
    float d = signed_scales(in, -4, 31, block + Q3_D, signed_scale);
    for (unsigned j = 0; j < 16; j++) {
        unsigned scale = (unsigned)(signed_scale[j] + 32);
        scales[j % 8] = (uint8_t)(scales[j % 8] | (scale & 15) << 4 * (j / 8));
        scales[8 + j % 4] = (uint8_t)(scales[8 + j % 4] | scale >> 4 << 2 * (j / 4));
        float id = inverse(d * (float)signed_scale[j]);
        for (unsigned i = 16 * j; i < 16 * (j + 1); i++) {
            unsigned q = (unsigned)(round_int(in[i] * id, -4, 3) + 4);
            plane_set(block + Q3_LOW, 2, i, q);
            plane_set(block, 1, i, q >> 2);
        }
    }
}

/* Q6_K: low four bits (128), high two bits (64), sixteen signed bytes of scales, d.
 * w = (d * scale) * (q - 32). The low bits of a half of 128 weights are nibbles of its 64 bytes,
 * first all the low ones. */
enum { Q6_HIGH = 128, Q6_SCALES = 192, Q6_D = 208 };

static unsigned q6_byte(unsigned i)
{
    return i / 128 * 64 + i % 64;
}

static void decode_q6_k(const uint8_t *block, float *out)
{
    float d = load_f16(block + Q6_D);
    for (unsigned i = 0; i < SUPER; i++) {
        float ds = d * (float)(int8_t)block[Q6_SCALES + i / 16];
        unsigned q = ((unsigned)block[q6_byte(i)] >> 4 * (i / 64 % 2) & 15) |
                     plane_get(block + Q6_HIGH, 2, i) << 4;
        out[i] = ds * (float)((int)q - 32);
    }
}

static void encode_q6_k(const float *in, uint8_t *block)
{
    int scales[16];
    float d = signed_scales(in, -32, 127, block + Q6_D, scales);
    for (unsigned j = 0; j < 16; j++) block[Q6_SCALES + j] = (uint8_t)scales[j];
    for (unsigned i = 0; i < SUPER; i++) {
        float id = inverse(d * (float)scales[i / 16]);
        unsigned q = (unsigned)(round_int(in[i] * id, -32, 31) + 32);
        uint8_t *low = &block[q6_byte(i)];
        *low = (uint8_t)(*low | (q & 15) << 4 * (i / 64 % 2));
        plane_set(block + Q6_HIGH, 2, i, q >> 4);
    }
}

/* ---- all formats ---- */

static const struct {
    void (*decode)(const uint8_t *block, float *out);
    void (*encode)(const float *in, uint8_t *block); /* into zeroed bytes */
} codecs[] = {
    [QUANT_F32] = {decode_f32, encode_f32},    [QUANT_F16] = {decode_f16, encode_f16},
    [QUANT_BF16] = {decode_bf16, encode_bf16}, [QUANT_Q8_0] = {decode_q8_0, encode_q8_0},
    [QUANT_Q4_0] = {decode_q4_0, encode_q4_0}, [QUANT_Q4_1] = {decode_q4_1, encode_q4_1},
    [QUANT_Q5_0] = {decode_q5_0, encode_q5_0}, [QUANT_Q5_1] = {decode_q5_1, encode_q5_1},
    [QUANT_Q2_K] = {decode_q2_k, encode_q2_k}, [QUANT_Q3_K] = {decode_q3_k, encode_q3_k},
    [QUANT_Q4_K] = {decode_q4_k, encode_q4_k}, [QUANT_Q5_K] = {decode_q5_k, encode_q5_k},
    [QUANT_Q6_K] = {decode_q6_k, encode_q6_k},
};

void quant_decode(enum quant_type type, const void *blocks, float *out, size_t n)
{
    const uint8_t *block = blocks;
    for (size_t i = 0; i < n; i += infos[type].block, block += infos[type].block_size)
        codecs[type].decode(block, out + i);
}

void quant_encode(enum quant_type type, const float *in, void *blocks, size_t n)
{
    uint8_t *block = blocks;
    memset(blocks, 0, n / infos[type].block * infos[type].block_size);
    for (size_t i = 0; i < n; i += infos[type].block, block += infos[type].block_size)
        codecs[type].encode(in + i, block);
}

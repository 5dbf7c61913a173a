/* Super-blocks of 256 weights with scales in groups, and without. */
#include "quant_impl.h"

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

static void decode_minimum(const void *format, const uint8_t *block, float *out)
{
    const struct minimum_format *f = format;
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

static void encode_minimum(const void *format, const float *in, uint8_t *block)
{
    const struct minimum_format *f = format;
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

static void decode_q3_k(const void *format, const uint8_t *block, float *out)
{
    (void)format;
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

static void encode_q3_k(const void *format, const float *in, uint8_t *block)
{
    (void)format;
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

static void decode_q6_k(const void *format, const uint8_t *block, float *out)
{
    (void)format;
    float d = load_f16(block + Q6_D);
    for (unsigned i = 0; i < SUPER; i++) {
        float ds = d * (float)(int8_t)block[Q6_SCALES + i / 16];
        unsigned q = ((unsigned)block[q6_byte(i)] >> 4 * (i / 64 % 2) & 15) |
                     plane_get(block + Q6_HIGH, 2, i) << 4;
        out[i] = ds * (float)((int)q - 32);
    }
}

static void encode_q6_k(const void *format, const float *in, uint8_t *block)
{
    (void)format;
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

/* ---- ternary formats: w = d * (q - 1) ---- */

static void encode_ternary(const float *in, uint8_t *d_at, unsigned q[SUPER])
{
    float d = store_f16(d_at, fabsf(extreme(in, SUPER))), id = inverse(d);
    for (unsigned i = 0; i < SUPER; i++) q[i] = (unsigned)(round_int(in[i] * id, -1, 1) + 1);
}

/* TQ2_0: planes of two bits (64), d. */
static void decode_tq2_0(const void *format, const uint8_t *block, float *out)
{
    (void)format;
    float d = load_f16(block + 64);
    for (unsigned i = 0; i < SUPER; i++) out[i] = d * (float)((int)plane_get(block, 2, i) - 1);
}

static void encode_tq2_0(const void *format, const float *in, uint8_t *block)
{
    (void)format;
    unsigned q[SUPER];
    encode_ternary(in, block + 64, q);
    for (unsigned i = 0; i < SUPER; i++) plane_set(block, 2, i, q[i]);
}

/* TQ1_0: five digits of base three a byte, in 32 bytes whose first digits are the first 32 weights
 * and so on, and in 16 more; then four bytes of four digits; d. A byte is its digits as a fraction,
 * in 256ths and rounded up: times three, a digit appears above it. */
struct digits {
    unsigned byte, place;
};

static struct digits tq1_place(unsigned i)
{
    if (i < 160) return (struct digits){i % 32, i / 32};
    i -= 160;
    if (i < 80) return (struct digits){32 + i % 16, i / 16};
    i -= 80;
    return (struct digits){48 + i % 4, i / 4};
}

static const unsigned powers_of_3[] = {1, 3, 9, 27, 81};

static void decode_tq1_0(const void *format, const uint8_t *block, float *out)
{
    (void)format;
    float d = load_f16(block + 52);
    for (unsigned i = 0; i < SUPER; i++) {
        struct digits at = tq1_place(i);
        unsigned rest = block[at.byte] * powers_of_3[at.place] & 255;
        out[i] = d * (float)((int)(rest * 3 >> 8) - 1);
    }
}

static void encode_tq1_0(const void *format, const float *in, uint8_t *block)
{
    (void)format;
    unsigned q[SUPER], sums[52] = {0};
    encode_ternary(in, block + 52, q);
    for (unsigned i = 0; i < SUPER; i++) {
        struct digits at = tq1_place(i);
        sums[at.byte] += q[i] * powers_of_3[4 - at.place];
    }
    for (unsigned i = 0; i < 52; i++) block[i] = (uint8_t)((sums[i] * 256 + 242) / 243);
}

const struct quant_codec quant_q2_k = {decode_minimum, encode_minimum, &q2_k};
const struct quant_codec quant_q3_k = {decode_q3_k, encode_q3_k, NULL};
const struct quant_codec quant_q4_k = {decode_minimum, encode_minimum, &q4_k};
const struct quant_codec quant_q5_k = {decode_minimum, encode_minimum, &q5_k};
const struct quant_codec quant_q6_k = {decode_q6_k, encode_q6_k, NULL};
const struct quant_codec quant_tq1_0 = {decode_tq1_0, encode_tq1_0, NULL};
const struct quant_codec quant_tq2_0 = {decode_tq2_0, encode_tq2_0, NULL};

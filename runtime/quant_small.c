/* Blocks of 32 weights, and the super-blocks that are eight of them. */
#include "quant_impl.h"

/* ---- weight i is nibble i / 16 of byte i % 16, and bit i of the high bits ---- */

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

/* Bytes of high bits that these formats have. */
static const unsigned no_high = 0, four_high = 4;

/* Scale, high bits if any, nibbles: w = d * (q - middle) */
static void decode_symmetric(const void *format, const uint8_t *block, float *out)
{
    unsigned n_high = *(const unsigned *)format;
    const uint8_t *high = n_high ? block + 2 : NULL;
    int middle = n_high ? 16 : 8;
    float d = load_f16(block);
    for (unsigned i = 0; i < SMALL; i++)
        out[i] = d * (float)((int)small_get(block + 2 + n_high, high, i) - middle);
}

static void encode_symmetric(const void *format, const float *in, uint8_t *block)
{
    unsigned n_high = *(const unsigned *)format;
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
static void decode_affine(const void *format, const uint8_t *block, float *out)
{
    unsigned n_high = *(const unsigned *)format;
    const uint8_t *high = n_high ? block + 4 : NULL;
    float d = load_f16(block), m = load_f16(block + 2);
    for (unsigned i = 0; i < SMALL; i++)
        out[i] = d * (float)small_get(block + 4 + n_high, high, i) + m;
}

static void encode_affine(const void *format, const float *in, uint8_t *block)
{
    unsigned n_high = *(const unsigned *)format;
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

static void decode_q8_0(const void *format, const uint8_t *block, float *out)
{
    (void)format;
    float d = load_f16(block);
    for (size_t i = 0; i < SMALL; i++) out[i] = d * (float)(int8_t)block[2 + i];
}

static void encode_q8_0(const void *format, const float *in, uint8_t *block)
{
    (void)format;
    float d = fabsf(extreme(in, SMALL)) / 127, id = inverse(d);
    store_f16(block, d);
    for (size_t i = 0; i < SMALL; i++) block[2 + i] = (uint8_t)round_int(in[i] * id, -127, 127);
}

/* ---- formats whose nibbles stand for sixteen levels, with uneven steps ---- */

/* ggml's kvalues_iq4nl and kvalues_mxfp4. The latter are twice the values of E2M1 (OCP
 * Microscaling Formats 1.0), which the scale makes good. */
static const int8_t iq4_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113};
static const int8_t e2m1_levels[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

static unsigned nearest(const int8_t *levels, float x)
{
    unsigned best = 0;
    for (unsigned q = 1; q < 16; q++)
        if (fabsf(x - (float)levels[q]) < fabsf(x - (float)levels[best])) best = q;
    return best;
}

static void decode_levels(const int8_t *levels, float d, const uint8_t *nibbles, float *out)
{
    for (unsigned i = 0; i < SMALL; i++) out[i] = d * (float)levels[small_get(nibbles, NULL, i)];
}

static void encode_levels(const int8_t *levels, float d, const float *in, uint8_t *nibbles)
{
    float id = inverse(d);
    for (unsigned i = 0; i < SMALL; i++) small_set(nibbles, NULL, i, nearest(levels, in[i] * id));
}

static void decode_iq4_nl(const void *format, const uint8_t *block, float *out)
{
    (void)format;
    decode_levels(iq4_levels, load_f16(block), block + 2, out);
}

static void encode_iq4_nl(const void *format, const float *in, uint8_t *block)
{
    (void)format;
    float d = store_f16(block, extreme(in, SMALL) / (float)iq4_levels[0]);
    encode_levels(iq4_levels, d, in, block + 2);
}

/* MXFP4: the scale is a power of two, of which the byte is the exponent; half of it where the
 * levels are doubled. */
static float half_of_e8m0(unsigned e)
{
    return ldexpf(1, (int)e - 128);
}

static void decode_mxfp4(const void *format, const uint8_t *block, float *out)
{
    (void)format;
    decode_levels(e2m1_levels, half_of_e8m0(block[0]), block + 1, out);
}

static void encode_mxfp4(const void *format, const float *in, uint8_t *block)
{
    (void)format;
    int exponent = 0;
    float most = fabsf(extreme(in, SMALL));
    if (most > 0 && most < INFINITY) frexpf(most, &exponent);
    block[0] = (uint8_t)clamp_int((float)(exponent + 124), 0, 254); /* 4 to 6 are in reach */
    encode_levels(e2m1_levels, half_of_e8m0(block[0]), in, block + 1);
}

/* IQ4_XS: d, the high two bits of eight scales (16 bits), their low four (4 bytes), nibbles (128).
 * w = (d * (scale - 32)) * level */
enum { XS_HIGH = 2, XS_LOW = 4, XS_QUANTS = 8 };

static void decode_iq4_xs(const void *format, const uint8_t *block, float *out)
{
    (void)format;
    float d = load_f16(block);
    for (unsigned j = 0; j < SUPER / SMALL; j++) {
        unsigned low = (unsigned)block[XS_LOW + j / 2] >> 4 * (j % 2) & 15,
                 high = (unsigned)load16(block + XS_HIGH) >> 2 * j & 3;
        float ds = d * (float)((int)(low | high << 4) - 32);
        decode_levels(iq4_levels, ds, block + XS_QUANTS + 16 * j, out + SMALL * j);
    }
}

static void encode_iq4_xs(const void *format, const float *in, uint8_t *block)
{
    (void)format;
    float wanted[SUPER / SMALL];
    for (unsigned j = 0; j < SUPER / SMALL; j++)
        wanted[j] = extreme(in + SMALL * j, SMALL) / (float)iq4_levels[0];
    float d = store_f16(block, fabsf(extreme(wanted, SUPER / SMALL)) / 31), id = inverse(d);
    for (unsigned j = 0; j < SUPER / SMALL; j++) {
        int signed_scale = round_int(wanted[j] * id, -32, 31);
        unsigned scale = (unsigned)(signed_scale + 32);
        uint8_t *low = &block[XS_LOW + j / 2];
        *low = (uint8_t)(*low | (scale & 15) << 4 * (j % 2));
        store16(block + XS_HIGH, (uint16_t)(load16(block + XS_HIGH) | scale >> 4 << 2 * j));
        encode_levels(iq4_levels, d * (float)signed_scale, in + SMALL * j,
                      block + XS_QUANTS + 16 * j);
    }
}

const struct quant_codec quant_q4_0 = {decode_symmetric, encode_symmetric, &no_high};
const struct quant_codec quant_q4_1 = {decode_affine, encode_affine, &no_high};
const struct quant_codec quant_q5_0 = {decode_symmetric, encode_symmetric, &four_high};
const struct quant_codec quant_q5_1 = {decode_affine, encode_affine, &four_high};
const struct quant_codec quant_q8_0 = {decode_q8_0, encode_q8_0, NULL};
const struct quant_codec quant_iq4_nl = {decode_iq4_nl, encode_iq4_nl, NULL};
const struct quant_codec quant_iq4_xs = {decode_iq4_xs, encode_iq4_xs, NULL};
const struct quant_codec quant_mxfp4 = {decode_mxfp4, encode_mxfp4, NULL};

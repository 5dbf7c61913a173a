#include <string.h>

#include "quant_impl.h"

static const struct quant_info infos[] = {
#define QUANT_INFO(constant, id, name, weights, bytes) [id] = {constant, name, weights, bytes},
    QUANT_LIST(QUANT_INFO)
#undef QUANT_INFO
};

const struct quant_info *quant_info(uint32_t id)
{
    return id < sizeof infos / sizeof *infos && infos[id].name ? &infos[id] : NULL;
}

static const char no_weights[] = "of numbers that no weights have",
                  activations[] = "of activations, not of weights",
                  removed[] = "that was removed from GGUF", unsupported[] = "that is not supported";

/* ids: ggml.h, the removed ones of its history */
static const struct quant_foreign foreign[] = {
    {4, "Q4_2", removed},         {5, "Q4_3", removed},         {9, "Q8_1", activations},
    {15, "Q8_K", activations},    {16, "IQ2_XXS", unsupported}, {17, "IQ2_XS", unsupported},
    {18, "IQ3_XXS", unsupported}, {19, "IQ1_S", unsupported},   {21, "IQ3_S", unsupported},
    {22, "IQ2_S", unsupported},   {24, "I8", no_weights},       {25, "I16", no_weights},
    {26, "I32", no_weights},      {27, "I64", no_weights},      {28, "F64", no_weights},
    {29, "IQ1_M", unsupported},   {31, "Q4_0_4_4", removed},    {32, "Q4_0_4_8", removed},
    {33, "Q4_0_8_8", removed},    {34, "TQ1_0", unsupported},   {35, "TQ2_0", unsupported},
    {36, "IQ4_NL_4_4", removed},  {37, "IQ4_NL_4_8", removed},  {38, "IQ4_NL_8_8", removed},
    {40, "NVFP4", unsupported},   {41, "Q1_0", unsupported},
};

const struct quant_foreign *quant_foreign(uint32_t id)
{
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (foreign[i].id == id) return &foreign[i];
    return NULL;
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

/* ---- formats of one weight ---- */

static void decode_f32(const void *format, const uint8_t *block, float *out)
{
    (void)format;
    *out = bits_float(load32(block));
}

static void encode_f32(const void *format, const float *in, uint8_t *block)
{
    (void)format;
    store32(block, float_bits(*in));
}

static void decode_f16(const void *format, const uint8_t *block, float *out)
{
    (void)format;
    *out = load_f16(block);
}

static void encode_f16(const void *format, const float *in, uint8_t *block)
{
    (void)format;
    store16(block, quant_to_f16(*in));
}

static void decode_bf16(const void *format, const uint8_t *block, float *out)
{
    (void)format;
    *out = bits_float((uint32_t)load16(block) << 16);
}

static void encode_bf16(const void *format, const float *in, uint8_t *block)
{
    (void)format;
    uint32_t bits = float_bits(*in);
    if (isnan(*in)) bits |= 0x400000; /* a quiet one, lest it be cut to infinity */
    else bits += 0x7fff + (bits >> 16 & 1);
    store16(block, (uint16_t)(bits >> 16));
}

static const struct quant_codec f32 = {decode_f32, encode_f32, NULL},
                                f16 = {decode_f16, encode_f16, NULL},
                                bf16 = {decode_bf16, encode_bf16, NULL};

/* ---- all formats ---- */

static const struct quant_codec *const codecs[] = {
    [QUANT_F32] = &f32,
    [QUANT_F16] = &f16,
    [QUANT_BF16] = &bf16,
    [QUANT_Q4_0] = &quant_q4_0,
    [QUANT_Q4_1] = &quant_q4_1,
    [QUANT_Q5_0] = &quant_q5_0,
    [QUANT_Q5_1] = &quant_q5_1,
    [QUANT_Q8_0] = &quant_q8_0,
    [QUANT_Q2_K] = &quant_q2_k,
    [QUANT_Q3_K] = &quant_q3_k,
    [QUANT_Q4_K] = &quant_q4_k,
    [QUANT_Q5_K] = &quant_q5_k,
    [QUANT_Q6_K] = &quant_q6_k,
    [QUANT_IQ4_NL] = &quant_iq4_nl,
    [QUANT_IQ4_XS] = &quant_iq4_xs,
    [QUANT_MXFP4] = &quant_mxfp4,
    [QUANT_IQ3_S] = &quant_iq3_s,
    [QUANT_IQ3_XXS] = &quant_iq3_xxs,
    [QUANT_IQ2_S] = &quant_iq2_s,
    [QUANT_IQ2_XS] = &quant_iq2_xs,
    [QUANT_IQ2_XXS] = &quant_iq2_xxs,
    [QUANT_IQ1_S] = &quant_iq1_s,
    [QUANT_IQ1_M] = &quant_iq1_m,
    [QUANT_TQ1_0] = &quant_tq1_0,
    [QUANT_TQ2_0] = &quant_tq2_0,
};

void quant_decode(enum quant_type type, const void *blocks, float *out, size_t n)
{
    const struct quant_codec *codec = codecs[type];
    const uint8_t *block = blocks;
    for (size_t i = 0; i < n; i += infos[type].block, block += infos[type].block_size)
        codec->decode(codec->format, block, out + i);
}

void quant_encode(enum quant_type type, const float *in, void *blocks, size_t n)
{
    const struct quant_codec *codec = codecs[type];
    uint8_t *block = blocks;
    memset(blocks, 0, n / infos[type].block * infos[type].block_size);
    for (size_t i = 0; i < n; i += infos[type].block, block += infos[type].block_size)
        codec->encode(codec->format, in + i, block);
}

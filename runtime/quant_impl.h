/* quant_impl.h - what the files of the weight formats (quant*.c) share. */
#ifndef QUANT_IMPL_H
#define QUANT_IMPL_H

#include <math.h>

#include "quant.h"

enum { SMALL = 32, SUPER = 256 }; /* weights of a block, and of a super-block */

/* Products of a scale and a quant are exact in f32 in all these formats, so a compiler that
 * contracts d * q + m to one fused operation changes nothing. */
struct quant_codec {
    void (*decode)(const void *format, const uint8_t *block, float *out);
    void (*encode)(const void *format, const float *in, uint8_t *block); /* into zeroed bytes */
    const void *format; /* what these are told, or NULL */
};

/* quant_small.c */
extern const struct quant_codec quant_q4_0, quant_q4_1, quant_q5_0, quant_q5_1, quant_q8_0,
    quant_iq4_nl, quant_iq4_xs, quant_mxfp4;
/* quant_k.c */
extern const struct quant_codec quant_q2_k, quant_q3_k, quant_q4_k, quant_q5_k, quant_q6_k,
    quant_tq1_0, quant_tq2_0;
/* quant_codebook.c */
extern const struct quant_codec quant_iq2_xxs, quant_iq2_xs, quant_iq2_s, quant_iq3_xxs,
    quant_iq3_s, quant_iq1_s, quant_iq1_m;

/* ---- little-endian numbers ---- */

static inline uint16_t load16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t load32(const uint8_t *p)
{
    return load16(p) | (uint32_t)load16(p + 2) << 16;
}

static inline void store16(uint8_t *p, uint16_t x)
{
    p[0] = (uint8_t)x;
    p[1] = (uint8_t)(x >> 8);
}

static inline void store32(uint8_t *p, uint32_t x)
{
    store16(p, (uint16_t)x);
    store16(p + 2, (uint16_t)(x >> 16));
}

static inline float load_f16(const uint8_t *p)
{
    return quant_f16(load16(p));
}

/* Stores x and returns what was stored. */
static inline float store_f16(uint8_t *p, float x)
{
    store16(p, quant_to_f16(x));
    return load_f16(p);
}

/* ---- searching scales for the encoders ---- */

/* Truncated, within [low, high]; NaN gives low. */
static inline int clamp_int(float x, int low, int high)
{
    if (!(x > (float)low)) return low;
    return x >= (float)high ? high : (int)x;
}

static inline int round_int(float x, int low, int high)
{
    return clamp_int(roundf(x), low, high);
}

static inline float inverse(float x)
{
    return x != 0 ? 1 / x : 0;
}

/* The value that is farthest from zero. */
static inline float extreme(const float *x, size_t n)
{
    float best = 0;
    for (size_t i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(best)) best = x[i];
    return best;
}

static inline void range(const float *x, size_t n, float *low, float *high)
{
    *low = *high = x[0];
    for (size_t i = 1; i < n; i++) {
        if (x[i] < *low) *low = x[i];
        if (x[i] > *high) *high = x[i];
    }
}

#endif

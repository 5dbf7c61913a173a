/* Blocks taken apart, as each format has them in the file. */
#include <string.h>

#include "repack_impl.h"

static uint16_t u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t u32(const uint8_t *p)
{
    return u16(p) | (uint32_t)u16(p + 2) << 16;
}

static void take_halves(const uint8_t *nibbles, const uint8_t *high, struct block *out)
{
    for (uint32_t i = 0; i < 16; i++) {
        out->q[i] = nibbles[i] & 15;
        out->q[i + 16] = nibbles[i] >> 4;
    }
    for (uint32_t i = 0; high && i < 32; i++)
        out->q[i] |= (uint8_t)((high[i / 8] >> i % 8 & 1) << 4);
}

static void take_q4_0(const uint8_t *unit, uint32_t sub, struct block *out)
{
    (void)sub;
    out->halves[0] = u16(unit);
    take_halves(unit + 2, NULL, out);
}

static void take_q4_1(const uint8_t *unit, uint32_t sub, struct block *out)
{
    (void)sub;
    out->halves[0] = u16(unit);
    out->halves[1] = u16(unit + 2);
    take_halves(unit + 4, NULL, out);
}

static void take_q5_0(const uint8_t *unit, uint32_t sub, struct block *out)
{
    (void)sub;
    out->halves[0] = u16(unit);
    take_halves(unit + 6, unit + 2, out);
}

static void take_q5_1(const uint8_t *unit, uint32_t sub, struct block *out)
{
    (void)sub;
    out->halves[0] = u16(unit);
    out->halves[1] = u16(unit + 2);
    take_halves(unit + 8, unit + 4, out);
}

static void take_q8_0(const uint8_t *unit, uint32_t sub, struct block *out)
{
    (void)sub;
    out->halves[0] = u16(unit);
    memcpy(out->q, unit + 2, 32);
}

/* scales 16 bytes, qs 64, d, dmin. */
static void take_q2_k(const uint8_t *unit, uint32_t sub, struct block *out)
{
    out->halves[0] = u16(unit + 80);
    out->halves[1] = u16(unit + 82);
    memcpy(out->pair, unit + 2 * sub, 2);
    const uint8_t *q = unit + 16 + sub / 4 * 32;
    for (uint32_t i = 0; i < 32; i++) out->q[i] = q[i] >> 2 * (sub % 4) & 3;
}

/* hmask 32 bytes, qs 64, scales 12, d. Scale s: low four bits in nibbles of bytes 0..7, high two in
 * bytes 8..11. */
static void take_q3_k(const uint8_t *unit, uint32_t sub, struct block *out)
{
    out->halves[0] = u16(unit + 108);
    const uint8_t *scales = unit + 96, *q = unit + 32 + sub / 4 * 32;
    for (uint32_t h = 0; h < 2; h++) {
        uint32_t s = 2 * sub + h;
        out->pair[h] = (uint8_t)((scales[s % 8] >> 4 * (s / 8) & 15) |
                                 (scales[8 + s % 4] >> 2 * (s / 4) & 3) << 4);
    }
    for (uint32_t i = 0; i < 32; i++) {
        out->q[i] = (uint8_t)((q[i] >> 2 * (sub % 4) & 3) | (unit[i] >> sub & 1) << 2);
    }
}

/* Scale and minimum of block s of Q4_K and Q5_K, six bits each in 12 bytes. */
static void take_k_scales(const uint8_t *p, uint32_t s, uint8_t out[2])
{
    if (s < 4) {
        out[0] = p[s] & 63;
        out[1] = p[s + 4] & 63;
    } else {
        out[0] = (uint8_t)((p[s + 4] & 15) | (p[s - 4] >> 6) << 4);
        out[1] = (uint8_t)(p[s + 4] >> 4 | (p[s] >> 6) << 4);
    }
}

/* d, dmin, scales 12 bytes, (Q5_K: qh 32,) qs 128. */
static void take_k(const uint8_t *unit, const uint8_t *qs, uint32_t sub, struct block *out)
{
    out->halves[0] = u16(unit);
    out->halves[1] = u16(unit + 2);
    take_k_scales(unit + 4, sub, out->pair);
    for (uint32_t i = 0; i < 32; i++) out->q[i] = qs[sub / 2 * 32 + i] >> 4 * (sub % 2) & 15;
}

static void take_q4_k(const uint8_t *unit, uint32_t sub, struct block *out)
{
    take_k(unit, unit + 16, sub, out);
}

static void take_q5_k(const uint8_t *unit, uint32_t sub, struct block *out)
{
    take_k(unit, unit + 48, sub, out);
    for (uint32_t i = 0; i < 32; i++) out->q[i] |= (uint8_t)((unit[16 + i] >> sub & 1) << 4);
}

/* ql 128 bytes, qh 64, scales 16, d. */
static void take_q6_k(const uint8_t *unit, uint32_t sub, struct block *out)
{
    out->halves[0] = u16(unit + 208);
    memcpy(out->pair, unit + 192 + 2 * sub, 2);
    const uint8_t *low = unit + sub / 4 * 64 + sub % 2 * 32, *high = unit + 128 + sub / 4 * 32;
    for (uint32_t i = 0; i < 32; i++) {
        out->q[i] =
            (uint8_t)((low[i] >> 4 * (sub / 2 % 2) & 15) | (high[i] >> 2 * (sub % 4) & 3) << 4);
    }
}

/* d, high two bits of the scales 2 bytes, their low four 4, quants 128. */
static void take_iq4_xs(const uint8_t *unit, uint32_t sub, struct block *out)
{
    out->halves[0] = u16(unit);
    out->single =
        (uint8_t)((unit[4 + sub / 2] >> 4 * (sub % 2) & 15) | (u16(unit + 2) >> 2 * sub & 3) << 4);
    take_halves(unit + 8 + 16 * sub, NULL, out);
}

static void take_mxfp4(const uint8_t *unit, uint32_t sub, struct block *out)
{
    (void)sub;
    out->single = unit[0];
    take_halves(unit + 1, NULL, out);
}

/* ---- formats with codebooks: a block's entries, signs and scales, see quant_codebook.c ---- */

static uint8_t nibble(const uint8_t *p, uint32_t i)
{
    return p[i / 2] >> 4 * (i % 2) & 15;
}

/* d, of each block 8 bytes. */
static void take_iq2_xxs(const uint8_t *unit, uint32_t sub, struct block *out)
{
    out->halves[0] = u16(unit);
    for (uint32_t i = 0; i < 2; i++) out->words[i] = u32(unit + 2 + 8 * sub + 4 * i);
}

/* d, of each block 8 bytes, scales 8. */
static void take_iq2_xs(const uint8_t *unit, uint32_t sub, struct block *out)
{
    take_iq2_xxs(unit, sub, out);
    out->single = unit[66 + sub];
}

/* d, entries 32 bytes, signs 32, high bits 8, scales 8. */
static void take_iq2_s(const uint8_t *unit, uint32_t sub, struct block *out)
{
    out->halves[0] = u16(unit);
    for (uint32_t i = 0; i < 2; i++) out->words[i] = u32(unit + 2 + 32 * i + 4 * sub);
    for (uint32_t i = 0; i < 2; i++) out->pair[i] = unit[66 + 8 * i + sub];
}

/* d, entries 64 bytes, signs and scales 32. */
static void take_iq3_xxs(const uint8_t *unit, uint32_t sub, struct block *out)
{
    out->halves[0] = u16(unit);
    for (uint32_t i = 0; i < 2; i++) out->words[i] = u32(unit + 2 + 8 * sub + 4 * i);
    out->words[2] = u32(unit + 66 + 4 * sub);
}

/* d, entries 64 bytes, high bits 8, signs 32, scales 4. */
static void take_iq3_s(const uint8_t *unit, uint32_t sub, struct block *out)
{
    out->halves[0] = u16(unit);
    for (uint32_t i = 0; i < 2; i++) out->words[i] = u32(unit + 2 + 8 * sub + 4 * i);
    out->words[2] = u32(unit + 74 + 4 * sub);
    out->pair[0] = unit[66 + sub];
    out->pair[1] = nibble(unit + 106, sub);
}

/* d, entries 32 bytes, high bits, scales and shifts 16. */
static void take_iq1_s(const uint8_t *unit, uint32_t sub, struct block *out)
{
    out->halves[0] = u16(unit);
    out->words[0] = u32(unit + 2 + 4 * sub);
    memcpy(out->pair, unit + 34 + 2 * sub, 2);
}

/* Entries 32 bytes, high bits and shifts 16, scales 8 with d in their highest nibbles. */
static void take_iq1_m(const uint8_t *unit, uint32_t sub, struct block *out)
{
    const uint8_t *scales = unit + 48;
    for (uint32_t i = 0; i < 4; i++) out->halves[0] |= (uint16_t)(scales[2 * i + 1] >> 4 << 4 * i);
    out->words[0] = u32(unit + 4 * sub);
    memcpy(out->pair, unit + 32 + 2 * sub, 2);
    out->single = u16(scales + sub / 2 * 2) >> 6 * (sub % 2) & 63;
}

/* ---- ternary formats ---- */

/* Quants 64 bytes, d. */
static void take_tq2_0(const uint8_t *unit, uint32_t sub, struct block *out)
{
    out->halves[0] = u16(unit + 64);
    for (uint32_t i = 0; i < 32; i++) out->q[i] = unit[sub / 4 * 32 + i] >> 2 * (sub % 4) & 3;
}

static uint32_t digit(uint8_t byte, uint32_t place)
{
    static const uint32_t powers[] = {1, 3, 9, 27, 81};
    return (byte * powers[place] & 255) * 3 >> 8;
}

/* Digit of weight i, see quant_k.c. */
static uint32_t tq1_digit(const uint8_t *unit, uint32_t i)
{
    if (i < 160) return digit(unit[i % 32], i / 32);
    if (i < 240) return digit(unit[32 + i % 16], (i - 160) / 16);
    return digit(unit[48 + i % 4], (i - 240) / 4);
}

/* Seven bytes of five digits, as fractions like the file's: byte k holds the columns from 4 * k on
 * and column 28 + k, where there is one. */
static void take_tq1_0(const uint8_t *unit, uint32_t sub, struct block *out)
{
    uint8_t bytes[7];
    for (uint32_t k = 0; k < 7; k++) {
        uint32_t sum = 0;
        for (uint32_t i = 0; i < 4; i++) sum = 3 * sum + tq1_digit(unit, 32 * sub + 4 * k + i);
        sum = 3 * sum + (k < 4 ? tq1_digit(unit, 32 * sub + 28 + k) : 0);
        bytes[k] = (uint8_t)((sum * 256 + 242) / 243);
    }
    out->halves[0] = u16(unit + 52);
    out->words[0] = u32(bytes);
    memcpy(out->pair, bytes + 4, 2);
    out->single = bytes[6];
}

static const struct repack_format formats[] = {
    {QUANT_Q4_0, 1, .nibbles = 64, .halves = 8, .take = take_q4_0},
    {QUANT_Q4_1, 1, .nibbles = 64, .halves = 16, .take = take_q4_1},
    {QUANT_Q5_0, 1, .nibbles = 64, .bits = 16, .bit_shift = 4, .halves = 8, .take = take_q5_0},
    {QUANT_Q5_1, 1, .nibbles = 64, .bits = 16, .bit_shift = 4, .halves = 16, .take = take_q5_1},
    {QUANT_Q8_0, 1, .octets = 128, .halves = 8, .take = take_q8_0},
    {QUANT_Q2_K, 8, 16, .crumbs = 32, .pairs = 8, .take = take_q2_k},
    {QUANT_Q3_K, 8, 8, .crumbs = 32, .bits = 16, .bit_shift = 2, .pairs = 8, .take = take_q3_k},
    {QUANT_Q4_K, 8, 16, .nibbles = 64, .pairs = 8, .take = take_q4_k},
    {QUANT_Q5_K, 8, 16, .nibbles = 64, .bits = 16, .bit_shift = 4, .pairs = 8, .take = take_q5_k},
    {QUANT_Q6_K, 8, 8, .nibbles = 64, .crumbs = 32, .crumb_shift = 4, .pairs = 8,
     .take = take_q6_k},
    {QUANT_IQ4_NL, 1, .nibbles = 64, .halves = 8, .take = take_q4_0},
    {QUANT_IQ4_XS, 8, 8, .nibbles = 64, .singles = 4, .take = take_iq4_xs},
    {QUANT_MXFP4, 1, .nibbles = 64, .singles = 4, .take = take_mxfp4},
    {QUANT_IQ3_S, 8, 8, .words = 48, .pairs = 8, .take = take_iq3_s},
    {QUANT_IQ3_XXS, 8, 8, .words = 48, .take = take_iq3_xxs},
    {QUANT_IQ2_S, 8, 8, .words = 32, .pairs = 8, .take = take_iq2_s},
    {QUANT_IQ2_XS, 8, 8, .words = 32, .singles = 4, .take = take_iq2_xs},
    {QUANT_IQ2_XXS, 8, 8, .words = 32, .take = take_iq2_xxs},
    {QUANT_IQ1_S, 8, 8, .words = 16, .pairs = 8, .take = take_iq1_s},
    {QUANT_IQ1_M, 8, 8, .words = 16, .pairs = 8, .singles = 4, .take = take_iq1_m},
    {QUANT_TQ1_0, 8, 8, .words = 16, .pairs = 8, .singles = 4, .take = take_tq1_0},
    {QUANT_TQ2_0, 8, 8, .crumbs = 32, .take = take_tq2_0},
};

const struct repack_format *repack_format(enum quant_type type)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (formats[i].type == type) return &formats[i];
    }
    return NULL;
}

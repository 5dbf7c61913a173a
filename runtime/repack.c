#include "repack.h"

#include <stdbool.h>
#include <string.h>

/* A block of 32 columns of one row, taken apart: what every format below fills, and what the planes
 * are made of. */
struct block {
    uint8_t q[32];      /* unsigned quants; of Q8_0 the bytes as they are */
    uint8_t pair[2];    /* bytes: scales, one a half, or a scale and a minimum */
    uint8_t single;     /* a byte: a scale */
    uint16_t halves[2]; /* f16 scales of the block, or of the super-block in head */
};

struct format {
    enum quant_type type;
    uint32_t subs; /* blocks of 32 a unit */
    /* bytes of 4 rows: of the unit, and of each plane of a block, in the order in which they lie */
    uint32_t head, nibbles, octets, crumbs, bits, halves, pairs, singles;
    uint32_t crumb_shift, bit_shift; /* where in q these planes begin */
    void (*take)(const uint8_t *unit, uint32_t sub, struct block *out);
};

static uint16_t u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
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

static const struct format formats[] = {
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
};

static const struct format *format_of(enum quant_type type)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (formats[i].type == type) return &formats[i];
    }
    return NULL;
}

/* Bytes that one lane (4 rows) has in a block. */
static uint32_t lane_size(const struct format *f)
{
    return f->nibbles + f->octets + f->crumbs + f->bits + f->halves + f->pairs + f->singles;
}

uint64_t repack_tile_size(enum quant_type type, uint64_t cols)
{
    const struct format *f = format_of(type);
    if (!f) return (cols + 31) / 32 * 32 * REPACK_TILE * (type == QUANT_F32 ? 4 : 2);
    uint64_t columns = f->subs * 32;
    return (cols + columns - 1) / columns * 8 * (f->head + f->subs * lane_size(f));
}

uint64_t repack_size(enum quant_type type, uint64_t rows, uint64_t cols)
{
    return (rows + REPACK_TILE - 1) / REPACK_TILE * repack_tile_size(type, cols);
}

/* ---- writing, in rising order ---- */

struct writer {
    uint8_t *at;
};

static void put(struct writer *w, const uint32_t *words, uint32_t n)
{
    memcpy(w->at, words, n * sizeof *words);
    w->at += n * sizeof *words;
}

/* A plane is written lane after lane in pieces of 16 bytes (8 or 4 for scales), so that what 8
 * lanes load together lies together; rows points at the 32 blocks of the tile. */
static void put_nibbles(struct writer *w, const struct block *rows)
{
    for (uint32_t part = 0; part < 4; part++) {
        for (uint32_t lane = 0; lane < 8; lane++) {
            const uint8_t *low = rows[lane * 4 + part / 2 * 2].q + part % 2 * 16;
            const uint8_t *high = rows[lane * 4 + part / 2 * 2 + 1].q + part % 2 * 16;
            uint32_t words[4] = {0};
            for (uint32_t i = 0; i < 16; i++) {
                words[i / 4] |= (uint32_t)(low[i] & 15) << i % 4 * 4 | (uint32_t)(high[i] & 15)
                                                                           << (16 + i % 4 * 4);
            }
            put(w, words, 4);
        }
    }
}

static void put_crumbs(struct writer *w, const struct block *rows, uint32_t shift)
{
    for (uint32_t part = 0; part < 2; part++) {
        for (uint32_t lane = 0; lane < 8; lane++) {
            uint32_t words[4] = {0};
            for (uint32_t i = 0; i < 64; i++) {
                uint32_t q = rows[lane * 4 + part * 2 + i / 32].q[i % 32];
                words[i / 16] |= (q >> shift & 3) << i % 16 * 2;
            }
            put(w, words, 4);
        }
    }
}

static void put_bits(struct writer *w, const struct block *rows, uint32_t shift)
{
    for (uint32_t lane = 0; lane < 8; lane++) {
        uint32_t words[4] = {0};
        for (uint32_t i = 0; i < 128; i++) {
            uint32_t q = rows[lane * 4 + i / 32].q[i % 32];
            words[i / 32] |= (q >> shift & 1) << i % 32;
        }
        put(w, words, 4);
    }
}

static void put_octets(struct writer *w, const struct block *rows)
{
    for (uint32_t part = 0; part < 8; part++) {
        for (uint32_t lane = 0; lane < 8; lane++) {
            const uint8_t *q = rows[lane * 4 + part / 2].q + part % 2 * 16;
            uint32_t words[4] = {0};
            for (uint32_t i = 0; i < 16; i++) words[i / 4] |= (uint32_t)q[i] << i % 4 * 8;
            put(w, words, 4);
        }
    }
}

/* size 16: both halves of each row; 8: the first one. */
static void put_halves(struct writer *w, const struct block *rows, uint32_t size)
{
    for (uint32_t lane = 0; lane < 8; lane++) {
        uint32_t words[4] = {0};
        const struct block *r = rows + lane * 4;
        for (uint32_t j = 0; j < 4; j++) {
            if (size == 16) words[j] = r[j].halves[0] | (uint32_t)r[j].halves[1] << 16;
            else words[j / 2] |= (uint32_t)r[j].halves[0] << j % 2 * 16;
        }
        put(w, words, size / 4);
    }
}

static void put_pairs(struct writer *w, const struct block *rows)
{
    for (uint32_t lane = 0; lane < 8; lane++) {
        uint32_t words[2] = {0};
        for (uint32_t j = 0; j < 4; j++) {
            const uint8_t *b = rows[lane * 4 + j].pair;
            words[j / 2] |= (b[0] | (uint32_t)b[1] << 8) << j % 2 * 16;
        }
        put(w, words, 2);
    }
}

static void put_singles(struct writer *w, const struct block *rows)
{
    for (uint32_t lane = 0; lane < 8; lane++) {
        uint32_t word = 0;
        for (uint32_t j = 0; j < 4; j++) word |= (uint32_t)rows[lane * 4 + j].single << 8 * j;
        put(w, &word, 1);
    }
}

static void put_block(struct writer *w, const struct format *f, const struct block *rows)
{
    if (f->nibbles) put_nibbles(w, rows);
    if (f->octets) put_octets(w, rows);
    if (f->crumbs) put_crumbs(w, rows, f->crumb_shift);
    if (f->bits) put_bits(w, rows, f->bit_shift);
    if (f->halves) put_halves(w, rows, f->halves);
    if (f->pairs) put_pairs(w, rows);
    if (f->singles) put_singles(w, rows);
}

static void put_quants(struct writer *w, const struct format *f, uint64_t cols, const uint8_t *rows,
                       uint64_t n_rows)
{
    const struct quant_info *info = quant_info(f->type);
    uint64_t units = cols / info->block;
    size_t unit_size = info->block_size, row_size = (size_t)units * unit_size;
    for (uint64_t u = 0; u < units; u++) {
        for (uint32_t sub = 0; sub < f->subs; sub++) {
            struct block blocks[REPACK_TILE];
            memset(blocks, 0, sizeof blocks);
            for (uint32_t r = 0; r < n_rows; r++)
                f->take(rows + r * row_size + u * unit_size, sub, &blocks[r]);
            if (sub == 0 && f->head) put_halves(w, blocks, f->head);
            put_block(w, f, blocks);
        }
    }
}

/* F32, F16 and BF16: 16 bytes of one row at a time. */
static void put_plain(struct writer *w, uint32_t size, uint64_t cols, const uint8_t *rows,
                      uint64_t n_rows)
{
    uint64_t row_size = cols * size;
    for (uint64_t b = 0; b < (cols + 31) / 32; b++) {
        for (uint32_t part = 0; part < 8 * size; part++) {
            for (uint32_t lane = 0; lane < 8; lane++) {
                uint32_t row = lane * 4 + part / (2 * size);
                uint64_t at = b * 32 * size + part % (2 * size) * 16;
                uint32_t words[4] = {0};
                if (row < n_rows && at < row_size) {
                    uint64_t left = row_size - at;
                    memcpy(words, rows + row * row_size + at, left < 16 ? (size_t)left : 16);
                }
                put(w, words, 4);
            }
        }
    }
}

void repack_tiles(enum quant_type type, uint64_t cols, const void *rows, uint64_t n_rows, void *out)
{
    const struct format *f = format_of(type);
    const struct quant_info *info = quant_info(type);
    uint64_t row_size = cols / info->block * info->block_size;
    struct writer w = {out};
    for (uint64_t first = 0; first < n_rows; first += REPACK_TILE) {
        uint64_t n = n_rows - first < REPACK_TILE ? n_rows - first : REPACK_TILE;
        const uint8_t *from = (const uint8_t *)rows + first * row_size;
        if (f) put_quants(&w, f, cols, from, n);
        else put_plain(&w, info->block_size, cols, from, n);
    }
}

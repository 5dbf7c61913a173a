/* Planes: what the blocks of 32 rows become on the device. */
#include <string.h>

#include "repack_impl.h"

/* Bytes that one lane (4 rows) has in a block. */
static uint32_t lane_size(const struct repack_format *f)
{
    return f->nibbles + f->octets + f->crumbs + f->bits + f->words + f->halves + f->pairs +
           f->singles;
}

uint64_t repack_tile_size(enum quant_type type, uint64_t cols)
{
    const struct repack_format *f = repack_format(type);
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

static void put_words(struct writer *w, const struct block *rows, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        for (uint32_t lane = 0; lane < 8; lane++) {
            uint32_t words[4];
            for (uint32_t j = 0; j < 4; j++) words[j] = rows[lane * 4 + j].words[k];
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

static void put_block(struct writer *w, const struct repack_format *f, const struct block *rows)
{
    if (f->nibbles) put_nibbles(w, rows);
    if (f->octets) put_octets(w, rows);
    if (f->crumbs) put_crumbs(w, rows, f->crumb_shift);
    if (f->bits) put_bits(w, rows, f->bit_shift);
    if (f->words) put_words(w, rows, f->words / 16);
    if (f->halves) put_halves(w, rows, f->halves);
    if (f->pairs) put_pairs(w, rows);
    if (f->singles) put_singles(w, rows);
}

static void put_quants(struct writer *w, const struct repack_format *f, uint64_t cols,
                       const uint8_t *rows, uint64_t n_rows)
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
    const struct repack_format *f = repack_format(type);
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

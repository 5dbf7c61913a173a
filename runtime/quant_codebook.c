/* Formats whose weights come from codebooks: eight at a time, as one entry of eight columns or two
 * of four. w = d * (2 * scale + 1) * unit * level, where an entry's column is the number of a
 * level. */
#include <stdbool.h>

#include "quant_impl.h"

const uint16_t quant_grids[QUANT_GRIDS] = {
#include "quant_grids.h"
};

enum { CELL = 8, CELLS = SUPER / CELL };

struct cell {
    unsigned entry[2]; /* the second where entries have four columns */
    unsigned signs;    /* a bit a weight */
    unsigned scale;
};

struct book {
    enum quant_type type;
    struct quant_grid grid;
    unsigned bits; /* of a column */
    int8_t levels[16];
    unsigned shared; /* 0: a sign negates a level. Else it moves a level by an eighth, down where it
                        is set, and so many weights share one */
    float unit;
    unsigned group, most; /* weights that share a scale; the largest scale */
    bool even;            /* the number of signs set is: seven of them are stored */
    struct cell (*get)(const uint8_t *block, unsigned c);
    void (*set)(uint8_t *block, unsigned c, const struct cell *cell); /* into zeroed bytes */
};

static unsigned nibble(const uint8_t *p, unsigned i)
{
    return (unsigned)p[i / 2] >> 4 * (i % 2) & 15;
}

static void set_nibble(uint8_t *p, unsigned i, unsigned value)
{
    p[i / 2] = (uint8_t)((p[i / 2] & ~(15u << 4 * (i % 2))) | value << 4 * (i % 2));
}

/* The eighth sign makes the number of those set even. */
static unsigned eight_signs(unsigned seven)
{
    unsigned ones = 0;
    for (unsigned i = 0; i < 7; i++) ones += seven >> i & 1;
    return seven | (ones & 1) << 7;
}

/* ---- cell c of a block: get and set ---- */

/* Of each 32 weights: four entries; 32 bits of four times seven signs, and the scale. */
static struct cell get_iq2_xxs(const uint8_t *block, unsigned c)
{
    const uint8_t *part = block + 2 + 8 * (c / 4);
    uint32_t word = load32(part + 4);
    return (struct cell){{part[c % 4]}, eight_signs(word >> 7 * (c % 4) & 127), word >> 28};
}

static void set_iq2_xxs(uint8_t *block, unsigned c, const struct cell *cell)
{
    uint8_t *part = block + 2 + 8 * (c / 4);
    part[c % 4] = (uint8_t)cell->entry[0];
    store32(part + 4,
            load32(part + 4) | (cell->signs & 127) << 7 * (c % 4) | (uint32_t)cell->scale << 28);
}

/* 32 times nine bits of an entry and seven signs; a nibble of scale each 16. */
static struct cell get_iq2_xs(const uint8_t *block, unsigned c)
{
    unsigned q = load16(block + 2 + 2 * c);
    return (struct cell){{q & 511}, eight_signs(q >> 9), nibble(block + 66, c / 2)};
}

static void set_iq2_xs(uint8_t *block, unsigned c, const struct cell *cell)
{
    store16(block + 2 + 2 * c, (uint16_t)(cell->entry[0] | (cell->signs & 127) << 9));
    set_nibble(block + 66, c / 2, cell->scale);
}

/* Low bytes of the entries (32), signs (32), high bits of four entries a byte (8), scales (8). */
static struct cell get_iq2_s(const uint8_t *block, unsigned c)
{
    unsigned high = (unsigned)block[66 + c / 4] >> 2 * (c % 4) & 3;
    return (struct cell){{block[2 + c] | high << 8}, block[34 + c], nibble(block + 74, c / 2)};
}

static void set_iq2_s(uint8_t *block, unsigned c, const struct cell *cell)
{
    block[2 + c] = (uint8_t)cell->entry[0];
    block[34 + c] = (uint8_t)cell->signs;
    block[66 + c / 4] = (uint8_t)(block[66 + c / 4] | cell->entry[0] >> 8 << 2 * (c % 4));
    set_nibble(block + 74, c / 2, cell->scale);
}

/* Entries (64); of each 32 weights 32 bits of signs and scale, as in IQ2_XXS. */
static struct cell get_iq3_xxs(const uint8_t *block, unsigned c)
{
    const uint8_t *entry = block + 2 + 2 * c;
    uint32_t word = load32(block + 66 + 4 * (c / 4));
    return (struct cell){{entry[0], entry[1]}, eight_signs(word >> 7 * (c % 4) & 127), word >> 28};
}

static void set_iq3_xxs(uint8_t *block, unsigned c, const struct cell *cell)
{
    uint8_t *word = block + 66 + 4 * (c / 4);
    for (unsigned i = 0; i < 2; i++) block[2 + 2 * c + i] = (uint8_t)cell->entry[i];
    store32(word, load32(word) | (cell->signs & 127) << 7 * (c % 4) | (uint32_t)cell->scale << 28);
}

/* Low bytes of the entries (64), their ninth bits (8), signs (32), scales (4). */
static struct cell get_iq3_s(const uint8_t *block, unsigned c)
{
    const uint8_t *low = block + 2 + 2 * c;
    unsigned high = (unsigned)block[66 + c / 4] >> 2 * (c % 4);
    return (struct cell){{low[0] | (high & 1) << 8, low[1] | (high & 2) << 7},
                         block[74 + c],
                         nibble(block + 106, c / 4)};
}

static void set_iq3_s(uint8_t *block, unsigned c, const struct cell *cell)
{
    unsigned high = cell->entry[0] >> 8 | cell->entry[1] >> 8 << 1;
    for (unsigned i = 0; i < 2; i++) block[2 + 2 * c + i] = (uint8_t)cell->entry[i];
    block[66 + c / 4] = (uint8_t)(block[66 + c / 4] | high << 2 * (c % 4));
    block[74 + c] = (uint8_t)cell->signs;
    set_nibble(block + 106, c / 4, cell->scale);
}

/* Low bytes of the entries (32); of each 32 weights 16 bits: four times three high bits, the scale
 * (3), the shift. */
static struct cell get_iq1_s(const uint8_t *block, unsigned c)
{
    unsigned high = load16(block + 34 + 2 * (c / 4));
    return (struct cell){
        {block[2 + c] | (high >> 3 * (c % 4) & 7) << 8}, high & 0x8000 ? 255 : 0, high >> 12 & 7};
}

static void set_iq1_s(uint8_t *block, unsigned c, const struct cell *cell)
{
    uint8_t *high = block + 34 + 2 * (c / 4);
    block[2 + c] = (uint8_t)cell->entry[0];
    store16(high, (uint16_t)(load16(high) | cell->entry[0] >> 8 << 3 * (c % 4) | cell->scale << 12 |
                             (cell->signs & 1) << 15));
}

/* Low bytes of the entries (32), nibbles of three high bits and the shift (16), four times 16 bits:
 * four scales of three bits and a quarter of d. */
enum { IQ1_M_SCALES = 48 };

static struct cell get_iq1_m(const uint8_t *block, unsigned c)
{
    unsigned high = nibble(block + 32, c), scales = load16(block + IQ1_M_SCALES + 2 * (c / 8));
    return (struct cell){
        {block[c] | (high & 7) << 8}, high & 8 ? 255 : 0, scales >> 3 * (c / 2 % 4) & 7};
}

static void set_iq1_m(uint8_t *block, unsigned c, const struct cell *cell)
{
    uint8_t *scales = block + IQ1_M_SCALES + 2 * (c / 8);
    block[c] = (uint8_t)cell->entry[0];
    set_nibble(block + 32, c, cell->entry[0] >> 8 | (cell->signs & 8));
    store16(scales, (uint16_t)(load16(scales) | cell->scale << 3 * (c / 2 % 4)));
}

/* ---- the formats; grids lie as in quant_grids.h ---- */

enum { IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS, IQ3_S, IQ1_S, IQ1_M };

static const struct book books[] = {
    [IQ2_XXS] = {.type = QUANT_IQ2_XXS,
                 .grid = {0, 256},
                 .bits = 2,
                 .levels = {8, 25, 43},
                 .unit = 0.125f,
                 .group = 32,
                 .most = 15,
                 .even = true,
                 .get = get_iq2_xxs,
                 .set = set_iq2_xxs},
    [IQ2_XS] = {.type = QUANT_IQ2_XS,
                .grid = {256, 512},
                .bits = 2,
                .levels = {8, 25, 43},
                .unit = 0.125f,
                .group = 16,
                .most = 15,
                .even = true,
                .get = get_iq2_xs,
                .set = set_iq2_xs},
    [IQ2_S] = {.type = QUANT_IQ2_S,
               .grid = {768, 1024},
               .bits = 2,
               .levels = {8, 25, 43},
               .unit = 0.125f,
               .group = 16,
               .most = 15,
               .get = get_iq2_s,
               .set = set_iq2_s},
    [IQ3_XXS] = {.type = QUANT_IQ3_XXS,
                 .grid = {1792, 256},
                 .bits = 4,
                 .levels = {4, 12, 20, 28, 36, 44, 52, 62},
                 .unit = 0.25f,
                 .group = 32,
                 .most = 15,
                 .even = true,
                 .get = get_iq3_xxs,
                 .set = set_iq3_xxs},
    [IQ3_S] = {.type = QUANT_IQ3_S,
               .grid = {2048, 512},
               .bits = 4,
               .levels = {1, 3, 5, 7, 9, 11, 13, 15},
               .unit = 1,
               .group = 32,
               .most = 15,
               .get = get_iq3_s,
               .set = set_iq3_s},
    [IQ1_S] = {.type = QUANT_IQ1_S,
               .grid = {2560, 2048},
               .bits = 2,
               .levels = {-8, 0, 8},
               .shared = 32,
               .unit = 0.125f,
               .group = 32,
               .most = 7,
               .get = get_iq1_s,
               .set = set_iq1_s},
    [IQ1_M] = {.type = QUANT_IQ1_M,
               .grid = {2560, 2048},
               .bits = 2,
               .levels = {-8, 0, 8},
               .shared = 8,
               .unit = 0.125f,
               .group = 16,
               .most = 7,
               .get = get_iq1_m,
               .set = set_iq1_m},
};

struct quant_grid quant_grid(enum quant_type type)
{
    for (size_t i = 0; i < sizeof books / sizeof *books; i++)
        if (books[i].type == type) return books[i].grid;
    return (struct quant_grid){0, 0};
}

/* IQ1_M has d's nibbles on top of its scales; the others begin with it. */
static float get_d(const struct book *b, const uint8_t *block)
{
    if (b->type != QUANT_IQ1_M) return load_f16(block);
    unsigned bits = 0;
    for (unsigned i = 0; i < 4; i++)
        bits |= (unsigned)load16(block + IQ1_M_SCALES + 2 * i) >> 12 << 4 * i;
    return quant_f16((uint16_t)bits);
}

static void set_d(const struct book *b, uint8_t *block, float d)
{
    unsigned bits = quant_to_f16(d);
    if (b->type != QUANT_IQ1_M) store16(block, (uint16_t)bits);
    for (unsigned i = 0; b->type == QUANT_IQ1_M && i < 4; i++)
        store16(block + IQ1_M_SCALES + 2 * i, (uint16_t)((bits >> 4 * i & 15) << 12));
}

static float level_of(const struct book *b, unsigned q, bool sign)
{
    if (b->shared) return (float)(b->levels[q] + (sign ? -1 : 1));
    return (float)(sign ? -b->levels[q] : b->levels[q]);
}

static void decode_codebook(const void *format, const uint8_t *block, float *out)
{
    const struct book *b = format;
    const unsigned columns = 16 / b->bits, mask = (1u << b->bits) - 1;
    float d = get_d(b, block) * b->unit;
    for (unsigned c = 0; c < CELLS; c++) {
        struct cell cell = b->get(block, c);
        float scale = d * (float)(2 * cell.scale + 1);
        for (unsigned i = 0; i < CELL; i++) {
            unsigned entry = quant_grids[b->grid.at + cell.entry[i / columns]];
            unsigned q = entry >> b->bits * (i % columns) & mask;
            out[CELL * c + i] = scale * level_of(b, q, cell.signs >> i & 1);
        }
    }
}

/* ---- encoding: the nearest entry to x, which is in units of a level ---- */

static float square(float x)
{
    return x * x;
}

/* Of what an entry's columns cost, a byte of them is looked up at once. */
static unsigned nearest_entry(const struct book *b, const float *x, bool sign, float *cost)
{
    const unsigned columns = 8 / b->bits, mask = (1u << b->bits) - 1;
    float costs[2][256];
    for (unsigned byte = 0; byte < 2; byte++) {
        for (unsigned v = 0; v < 256; v++) {
            costs[byte][v] = 0;
            for (unsigned i = 0; i < columns; i++)
                costs[byte][v] +=
                    square(x[byte * columns + i] - level_of(b, v >> b->bits * i & mask, sign));
        }
    }
    unsigned best = 0;
    float least = INFINITY;
    for (unsigned i = 0; i < b->grid.n; i++) {
        unsigned entry = quant_grids[b->grid.at + i];
        float sum = costs[0][entry & 255] + costs[1][entry >> 8];
        if (sum < least) {
            least = sum;
            best = i;
        }
    }
    *cost += least;
    return best;
}

static float fit_entries(const struct book *b, const float *x, bool sign, struct cell *cell)
{
    const unsigned columns = 16 / b->bits;
    float cost = 0;
    for (unsigned i = 0; i < CELL / columns; i++)
        cell->entry[i] = nearest_entry(b, x + i * columns, sign, &cost);
    return cost;
}

/* Signs of their own: where their number must be even, the smallest weight gives way. */
static void fit_signs(const struct book *b, float *x, struct cell *cell)
{
    unsigned smallest = 0;
    bool odd = false;
    cell->signs = 0;
    for (unsigned i = 0; i < CELL; i++) {
        bool minus = x[i] < 0;
        cell->signs |= (unsigned)minus << i;
        odd ^= minus;
        x[i] = fabsf(x[i]);
        if (x[i] < x[smallest]) smallest = i;
    }
    if (b->even && odd) {
        cell->signs ^= 1u << smallest;
        x[smallest] = -x[smallest];
    }
    fit_entries(b, x, false, cell);
}

/* One sign for n cells, tried both ways. */
static void fit_shift(const struct book *b, const float *x, unsigned n, struct cell *cells)
{
    struct cell tried[2][4];
    float costs[2] = {0, 0};
    for (unsigned s = 0; s < 2; s++) {
        for (unsigned i = 0; i < n; i++) {
            tried[s][i] = (struct cell){.signs = s ? 255 : 0};
            costs[s] += fit_entries(b, x + CELL * i, s, &tried[s][i]);
        }
    }
    for (unsigned i = 0; i < n; i++) cells[i] = tried[costs[1] < costs[0]][i];
}

static void encode_group(const struct book *b, const float *in, float id, unsigned scale,
                         unsigned first, uint8_t *block)
{
    const unsigned n = b->group / CELL, shared = b->shared ? b->shared / CELL : 1;
    float x[32];
    struct cell cells[4];
    for (unsigned i = 0; i < b->group; i++) x[i] = in[i] * id;
    for (unsigned i = 0; i < n; i += shared) {
        if (b->shared) fit_shift(b, x + CELL * i, shared, cells + i);
        else fit_signs(b, x + CELL * i, cells + i);
    }
    for (unsigned i = 0; i < n; i++) {
        cells[i].scale = scale;
        b->set(block, first + i, &cells[i]);
    }
}

static void encode_codebook(const void *format, const float *in, uint8_t *block)
{
    const struct book *b = format;
    float top = 0, wanted[SUPER / 16];
    unsigned n = SUPER / b->group;
    for (unsigned i = 0; i < 16; i++) top = fmaxf(top, (float)b->levels[i]);
    for (unsigned j = 0; j < n; j++)
        wanted[j] = fabsf(extreme(in + b->group * j, b->group)) / (top * b->unit);
    set_d(b, block, extreme(wanted, n) / (float)(2 * b->most + 1));
    float d = get_d(b, block);
    for (unsigned j = 0; j < n; j++) {
        unsigned scale = (unsigned)round_int((wanted[j] * inverse(d) - 1) / 2, 0, (int)b->most);
        float step = d * (float)(2 * scale + 1) * b->unit;
        encode_group(b, in + b->group * j, inverse(step), scale, b->group / CELL * j, block);
    }
}

const struct quant_codec quant_iq2_xxs = {decode_codebook, encode_codebook, &books[IQ2_XXS]};
const struct quant_codec quant_iq2_xs = {decode_codebook, encode_codebook, &books[IQ2_XS]};
const struct quant_codec quant_iq2_s = {decode_codebook, encode_codebook, &books[IQ2_S]};
const struct quant_codec quant_iq3_xxs = {decode_codebook, encode_codebook, &books[IQ3_XXS]};
const struct quant_codec quant_iq3_s = {decode_codebook, encode_codebook, &books[IQ3_S]};
const struct quant_codec quant_iq1_s = {decode_codebook, encode_codebook, &books[IQ1_S]};
const struct quant_codec quant_iq1_m = {decode_codebook, encode_codebook, &books[IQ1_M]};

#include "inflate.h"

#include <string.h>

enum { MOST_BITS = 15, FAST_BITS = 9, MOST_SYMBOLS = 288, N_LENGTHS = 29, N_DISTANCES = 30 };
enum { END = 256 };

struct stream {
    const uint8_t *in;
    size_t n, at;
    uint64_t held; /* bits of in[..at) that nobody has taken yet, the next one lowest */
    unsigned n_held;
    bool broken; /* it ended early or makes no sense; from then on zeros are read */
    uint8_t *out;
    size_t size, made;
};

/* Prefix codes in the order of RFC 1951, 3.2.2: the codes of a length follow each other. */
struct code {
    uint32_t first[MOST_BITS + 1], n[MOST_BITS + 1]; /* by length: its first code; how many */
    uint32_t at[MOST_BITS + 1];                      /* where their symbols begin */
    uint16_t symbols[MOST_SYMBOLS];
    uint16_t fast[1 << FAST_BITS]; /* by what follows: symbol << 4 | length; 0: it is longer */
};

/* Holds enough for any one code or number. */
static void fill(struct stream *s)
{
    for (; s->n_held <= 56 && s->at < s->n; s->n_held += 8)
        s->held |= (uint64_t)s->in[s->at++] << s->n_held;
}

static void drop(struct stream *s, unsigned n)
{
    if (n > s->n_held) {
        s->broken = true;
        n = s->n_held;
    }
    s->held >>= n;
    s->n_held -= n;
}

/* n is 16 at most. */
static uint32_t take(struct stream *s, unsigned n)
{
    fill(s);
    const uint32_t value = (uint32_t)(s->held & ((1u << n) - 1));
    drop(s, n);
    return value;
}

static uint32_t reversed(uint32_t code, uint32_t bits)
{
    uint32_t out = 0;
    for (uint32_t i = 0; i < bits; i++) out |= (code >> i & 1) << (bits - 1 - i);
    return out;
}

static void make_code(struct code *c, const uint8_t *lengths, uint32_t n)
{
    uint32_t code = 0, at = 0;
    memset(c->n, 0, sizeof c->n);
    memset(c->fast, 0, sizeof c->fast);
    for (uint32_t i = 0; i < n; i++) c->n[lengths[i]]++;
    c->n[0] = 0; /* symbols without a code */
    for (uint32_t bits = 1; bits <= MOST_BITS; bits++) {
        code = (code + c->n[bits - 1]) << 1;
        c->first[bits] = code;
        c->at[bits] = at;
        for (uint32_t i = 0; i < n; i++) {
            if (lengths[i] != bits) continue;
            const uint32_t next = reversed(code + at - c->at[bits], bits);
            c->symbols[at++] = (uint16_t)i;
            for (uint32_t k = next; bits <= FAST_BITS && k < 1 << FAST_BITS; k += 1u << bits)
                c->fast[k] = (uint16_t)(i << 4 | bits);
        }
    }
}

static uint32_t take_symbol(struct stream *s, const struct code *c)
{
    fill(s);
    const uint32_t entry = c->fast[s->held & ((1 << FAST_BITS) - 1)];
    if (entry) {
        drop(s, entry & 15);
        return entry >> 4;
    }
    uint32_t code = 0;
    for (uint32_t bits = 1; bits <= MOST_BITS; bits++) {
        code = code << 1 | (uint32_t)(s->held >> (bits - 1) & 1);
        if (code - c->first[bits] >= c->n[bits]) continue;
        drop(s, bits);
        return c->symbols[c->at[bits] + code - c->first[bits]];
    }
    s->broken = true;
    return 0;
}

static void put(struct stream *s, uint8_t byte)
{
    if (s->made < s->size) s->out[s->made++] = byte;
    else s->broken = true;
}

static void take_stored(struct stream *s)
{
    take(s, s->n_held % 8);
    const uint32_t n = take(s, 16);
    if (take(s, 16) != (n ^ 0xffff)) s->broken = true;
    for (uint32_t i = 0; i < n && !s->broken; i++) put(s, (uint8_t)take(s, 8));
}

/* What came `distance` bytes before, which may reach into what is being written. */
static void repeat(struct stream *s, uint32_t length, uint32_t distance)
{
    if (distance > s->made || length > s->size - s->made) {
        s->broken = true;
        return;
    }
    uint8_t *to = s->out + s->made;
    for (uint32_t i = 0; i < length; i++) to[i] = to[(ptrdiff_t)i - (ptrdiff_t)distance];
    s->made += length;
}

static void take_coded(struct stream *s, const struct code *symbols, const struct code *distances)
{
    static const uint8_t length_bits[N_LENGTHS] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                                   2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
    static const uint16_t lengths[N_LENGTHS] = {3,  4,  5,  6,   7,   8,   9,   10,  11, 13,
                                                15, 17, 19, 23,  27,  31,  35,  43,  51, 59,
                                                67, 83, 99, 115, 131, 163, 195, 227, 258};
    while (!s->broken) {
        const uint32_t symbol = take_symbol(s, symbols);
        if (symbol == END) return;
        if (symbol < END) {
            put(s, (uint8_t)symbol);
            continue;
        }
        const uint32_t i = symbol - END - 1;
        if (i >= N_LENGTHS) break;
        const uint32_t length = lengths[i] + take(s, length_bits[i]);
        const uint32_t d = take_symbol(s, distances), bits = d < 4 ? 0 : d / 2 - 1;
        if (d >= N_DISTANCES) break;
        repeat(s, length, (d < 4 ? d : (2 + d % 2) << bits) + 1 + take(s, bits));
    }
    s->broken = true;
}

static void take_fixed(struct stream *s)
{
    struct code symbols, distances;
    uint8_t bits[MOST_SYMBOLS];
    memset(bits, 8, sizeof bits);
    memset(bits + 144, 9, 256 - 144);
    memset(bits + 256, 7, 280 - 256);
    make_code(&symbols, bits, MOST_SYMBOLS);
    memset(bits, 5, N_DISTANCES);
    make_code(&distances, bits, N_DISTANCES);
    take_coded(s, &symbols, &distances);
}

/* The lengths of both codes follow each other, coded by a third. */
static void take_lengths(struct stream *s, const struct code *c, uint8_t *out, uint32_t n)
{
    for (uint32_t i = 0; i < n && !s->broken;) {
        const uint32_t symbol = take_symbol(s, c);
        uint8_t value = 0;
        uint32_t times = 1;
        if (symbol < 16) value = (uint8_t)symbol;
        else if (symbol == 16) times = 3 + take(s, 2);
        else if (symbol == 17) times = 3 + take(s, 3);
        else times = 11 + take(s, 7);
        if (symbol == 16 && i > 0) value = out[i - 1];
        if ((symbol == 16 && i == 0) || times > n - i) s->broken = true;
        for (; times > 0 && i < n; times--) out[i++] = value;
    }
}

static void take_dynamic(struct stream *s)
{
    static const uint8_t order[19] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                      11, 4,  12, 3, 13, 2, 14, 1, 15};
    const uint32_t n_symbols = 257 + take(s, 5), n_distances = 1 + take(s, 5), n = 4 + take(s, 4);
    struct code symbols, distances;
    uint8_t bits[MOST_SYMBOLS + 32] = {0}, small[19] = {0};
    for (uint32_t i = 0; i < n; i++) small[order[i]] = (uint8_t)take(s, 3);
    make_code(&symbols, small, 19);
    take_lengths(s, &symbols, bits, n_symbols + n_distances);
    if (s->broken) return;
    make_code(&symbols, bits, n_symbols);
    make_code(&distances, bits + n_symbols, n_distances);
    take_coded(s, &symbols, &distances);
}

bool inflate_bytes(const uint8_t *in, size_t n, uint8_t *out, size_t size)
{
    struct stream s = {.in = in, .n = n, .out = out, .size = size};
    for (bool last = false; !last && !s.broken;) {
        last = take(&s, 1);
        switch (take(&s, 2)) {
        case 0: take_stored(&s); break;
        case 1: take_fixed(&s); break;
        case 2: take_dynamic(&s); break;
        default: s.broken = true;
        }
    }
    return !s.broken && s.made == size;
}

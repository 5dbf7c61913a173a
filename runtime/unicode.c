#include "unicode.h"

/* A run of the table in one word: first code point above, class below. */
#define L(code) (code) << 8 | UNICODE_LETTER,
#define N(code) (code) << 8 | UNICODE_NUMBER,
#define P(code) (code) << 8 | UNICODE_PUNCTUATION,
#define S(code) (code) << 8 | UNICODE_SYMBOL,
#define M(code) (code) << 8 | UNICODE_MARK,
#define Z(code) (code) << 8 | UNICODE_SPACE,
#define C(code) (code) << 8 | UNICODE_OTHER,
#define U(code) (code) << 8 | UNICODE_UNASSIGNED,
static const uint32_t runs[] = {
#include "unicode_table.h"
};
#undef L
#undef N
#undef P
#undef S
#undef M
#undef Z
#undef C
#undef U

enum unicode_class unicode_class(uint32_t code)
{
    if (code > 0x10ffff) return UNICODE_UNASSIGNED;
    size_t low = 0,
           high = sizeof runs /
                  sizeof *runs; /* runs[low] begins at or before code, runs[high] after it */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (runs[middle] >> 8 <= code) low = middle;
        else high = middle;
    }
    return (enum unicode_class)(runs[low] & 0xff);
}

/* Code point first + i * step, i < n, becomes image + i * image_step. */
struct mapping {
    uint32_t first;
    uint16_t n;
    uint8_t step;
    uint32_t image;
    uint8_t image_step;
};
#include "unicode_maps.h"

static uint32_t map(const struct mapping *runs_of, size_t n_runs, uint32_t code)
{
    size_t low = 0, high = n_runs; /* the last run that begins at or before code is below high */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (runs_of[middle].first <= code) low = middle + 1;
        else high = middle;
    }
    if (low == 0) return code;
    const struct mapping *m = &runs_of[low - 1];
    uint32_t i = (code - m->first) / m->step;
    return i < m->n && m->first + i * m->step == code ? m->image + i * m->image_step : code;
}

uint32_t unicode_lower(uint32_t code)
{
    return map(lower_runs, sizeof lower_runs / sizeof *lower_runs, code);
}

uint32_t unicode_base(uint32_t code)
{
    /* 588 syllables begin with each consonant (Unicode, section 3.12). */
    if (code >= 0xac00 && code <= 0xd7a3) return 0x1100 + (code - 0xac00) / 588;
    return map(base_runs, sizeof base_runs / sizeof *base_runs, code);
}

size_t unicode_decode(const char *s, size_t n, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *u = (const unsigned char *)s;
    *code = u[0];
    if (u[0] < 0x80) return 1;
    *code = UNICODE_REPLACEMENT;
    size_t length = u[0] < 0xc2 ? 0 : u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : u[0] < 0xf5 ? 4 : 0;
    if (length == 0 || length > n) return 1;
    uint32_t value = u[0] & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((u[i] & 0xc0) != 0x80) return 1;
        value = value << 6 | (u[i] & 0x3fu);
    }
    if (value < least[length] || value > 0x10ffff || (value & 0xfff800) == 0xd800) return 1;
    *code = value;
    return length;
}

size_t unicode_encode(uint32_t code, char out[4])
{
    if (code > 0x10ffff || (code & 0xfff800) == 0xd800) code = UNICODE_REPLACEMENT;
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--, code >>= 6) out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)((0xf00u >> length & 0xff) | code);
    return length;
}

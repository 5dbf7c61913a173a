#include "unicode.h"

/* A run of the table in one word: first code point above, class below. */
#define L(code) (code) << 8 | UNICODE_LETTER,
#define N(code) (code) << 8 | UNICODE_NUMBER,
#define P(code) (code) << 8 | UNICODE_PUNCTUATION,
#define S(code) (code) << 8 | UNICODE_SYMBOL,
#define M(code) (code) << 8 | UNICODE_MARK,
#define Z(code) (code) << 8 | UNICODE_SPACE,
#define C(code) (code) << 8 | UNICODE_OTHER,
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

enum unicode_class unicode_class(uint32_t code)
{
    if (code > 0x10ffff) return UNICODE_OTHER;
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

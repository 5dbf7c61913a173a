/* The characters of the sets that rules speak of. */
#include <string.h>

#include "pretokenize_impl.h"

struct range {
    uint32_t first, last;
};

static const struct range kanji[] = {{0x3040, 0x30ff}, {0x4e00, 0x9fa5}};
static const struct range han[] = {{0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xf900, 0xfaff},
                                   {0x20000, 0x2a6df}, {0x2a700, 0x2b73f}, {0x2b740, 0x2ebef},
                                   {0x2f800, 0x2fa1f}};
static const struct range hangul[] = {{0x3131, 0x318e}, {0xac00, 0xd7a3}};
static const struct range full[] = {{0x2014, 0x2014}, {0x2018, 0x2019}, {0x201c, 0x201d},
                                    {0x2026, 0x2026}, {0x3001, 0x303f}, {0xfe30, 0xfe4f},
                                    {0xff01, 0xff01}, {0xff0c, 0xff0c}, {0xff1a, 0xff1b}};
static const struct range bopomofo[] = {{0x3105, 0x312f}};
/* The last but one is llama.cpp's, whose list begins at U+8C48 where U+F900, which looks the same,
 * was meant. */
static const struct range asian[] = {
    {0xe40, 0xe7f},   {0xe80, 0xeff},   {0x1000, 0x109f}, {0x1100, 0x11ff}, {0x1780, 0x17ff},
    {0x2f00, 0x2fdf}, {0x3040, 0x30ff}, {0x3400, 0x4dbf}, {0x4e00, 0xfaff}, {0xff65, 0xff9f}};
static const struct range dots[] = {
    {0x2018, 0x201f}, {0x3001, 0x3002}, {0xff01, 0xff0f}, {0xff1a, 0xff5e}};
static const struct range eastern[] = {{0x800, 0x9fa5}, {0xac00, 0xd7ff}};
static const struct range stops[] = {{0x60c, 0x60c},   {0x6d4, 0x6d4},   {0x964, 0x964},
                                     {0x2026, 0x2026}, {0x3001, 0x3002}, {0xff0c, 0xff0c}};
static const struct range cased[] = {
    {0xb5, 0xb5},       {0xc0, 0xd6},       {0xd8, 0xf6},       {0xf8, 0x1ba},
    {0x1bc, 0x1bf},     {0x1c4, 0x293},     {0x295, 0x2af},     {0x370, 0x373},
    {0x376, 0x377},     {0x37b, 0x37d},     {0x37f, 0x37f},     {0x386, 0x386},
    {0x388, 0x38a},     {0x38c, 0x38c},     {0x38e, 0x3a1},     {0x3a3, 0x3f5},
    {0x3f7, 0x481},     {0x48a, 0x52f},     {0x531, 0x556},     {0x10a0, 0x10c5},
    {0x13a0, 0x13f5},   {0x13f8, 0x13fd},   {0x1c90, 0x1cba},   {0x1cbd, 0x1cbf},
    {0x1d00, 0x1d2b},   {0x1d6b, 0x1d77},   {0x1d79, 0x1d9a},   {0x1e00, 0x1f15},
    {0x1f18, 0x1f1d},   {0x1f20, 0x1f45},   {0x1f48, 0x1f4d},   {0x1f50, 0x1f57},
    {0x1f59, 0x1f59},   {0x1f5b, 0x1f5b},   {0x1f5d, 0x1f5d},   {0x1f5f, 0x1f7d},
    {0x1f80, 0x1fb4},   {0x1fb6, 0x1fbc},   {0x1fbe, 0x1fbe},   {0x1fc2, 0x1fc4},
    {0x1fc6, 0x1fcc},   {0x1fd0, 0x1fd3},   {0x1fd6, 0x1fdb},   {0x1fe0, 0x1fec},
    {0x1ff2, 0x1ff4},   {0x1ff6, 0x1ffc},   {0x2102, 0x2102},   {0x2107, 0x2107},
    {0x210a, 0x2113},   {0x2115, 0x2115},   {0x2119, 0x211d},   {0x2124, 0x2124},
    {0x2126, 0x2126},   {0x2128, 0x2128},   {0x212a, 0x212d},   {0x212f, 0x2134},
    {0x2139, 0x2139},   {0x213c, 0x213f},   {0x2145, 0x2149},   {0x214e, 0x214e},
    {0x2183, 0x2184},   {0x2c00, 0x2c7b},   {0x2c7e, 0x2ce4},   {0x2ceb, 0x2cee},
    {0x2cf2, 0x2cf3},   {0xa640, 0xa66d},   {0xa680, 0xa69b},   {0xa722, 0xa76f},
    {0xa771, 0xa787},   {0xa78b, 0xa78e},   {0xab70, 0xabbf},   {0xfb00, 0xfb06},
    {0xfb13, 0xfb17},   {0xff21, 0xff3a},   {0xff41, 0xff5a},   {0x10400, 0x1044f},
    {0x104b0, 0x104d3}, {0x104d8, 0x104fb}, {0x10c80, 0x10cb2}, {0x10cc0, 0x10cf2},
    {0x118a0, 0x118df}, {0x1e900, 0x1e943},
};

static const struct {
    uint32_t bit;
    const struct range *ranges;
    size_t n;
} wide_sets[] = {
#define WIDE_SET(bit, ranges)                                                                      \
    {                                                                                              \
        bit, ranges, sizeof ranges / sizeof *ranges                                                \
    }
    WIDE_SET(KANJI, kanji),     WIDE_SET(CASED, cased), WIDE_SET(DOTS, dots),
    WIDE_SET(EASTERN, eastern), WIDE_SET(STOP, stops),  WIDE_SET(HAN, han),
    WIDE_SET(HANGUL, hangul),   WIDE_SET(FULL, full),   WIDE_SET(BOPOMOFO, bopomofo),
    WIDE_SET(ASIAN, asian),
};

static const struct {
    uint32_t bits;
    const char *members;
} narrow_sets[] = {
    {NEWLINE, "\r\n"},
    {LINE_FEED, "\n"},
    {IMAGE, "ABCDEFGHI"},
    {BLANK, " "},
    {LOWER | CASED | DOTS, "abcdefghijklmnopqrstuvwxyz"},
    {UPPER | CASED | DOTS, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"},
    {DIGIT, "0123456789"},
    {PRINT | DOTS, "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"},
    {MATH, "$+<=>^|~"},
    {TICK, "`"},
    {SLASH, "/"},
    {STOP, "(|.,!?)"},
};

static bool in_ranges(const struct range *ranges, size_t n, uint32_t code)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (code > ranges[middle].last) low = middle + 1;
        else high = middle;
    }
    return low < n && code >= ranges[low].first;
}

uint32_t pretokenize_bits(uint32_t code)
{
    uint32_t bits = (uint32_t)unicode_class(code);
    if (code >= 128) {
        if (bits & SPACE)
            return bits; /* space is nothing else: llama.cpp replaces it before matching */
        for (size_t i = 0; i < sizeof wide_sets / sizeof *wide_sets; i++)
            if (in_ranges(wide_sets[i].ranges, wide_sets[i].n, code)) bits |= wide_sets[i].bit;
        return bits;
    }
    for (size_t i = 0; code && i < sizeof narrow_sets / sizeof *narrow_sets; i++)
        if (strchr(narrow_sets[i].members, (int)code)) bits |= narrow_sets[i].bits;
    return bits;
}

#include "pretokenize.h"

#include <stdint.h>
#include <string.h>

#include "unicode.h"

/* ---- sets of characters: every character is a word of bits, a set is a test of bits ---- */

enum {
    LETTER = UNICODE_LETTER,
    NUMBER = UNICODE_NUMBER,
    PUNCT = UNICODE_PUNCTUATION,
    SYMBOL = UNICODE_SYMBOL,
    MARK = UNICODE_MARK,
    SPACE = UNICODE_SPACE,
    ANY = 0x7f,        /* every class */
    NEWLINE = 1 << 7,  /* \r \n */
    BLANK = 1 << 8,    /* ' ' */
    LOWER = 1 << 9,    /* a-z */
    UPPER = 1 << 10,   /* A-Z */
    DIGIT = 1 << 11,   /* 0-9 */
    PRINT = 1 << 12,   /* the punctuation and symbols of ASCII */
    MATH = 1 << 13,    /* $+<=>^|~ */
    TICK = 1 << 14,    /* ` */
    SLASH = 1 << 15,   /* / */
    KANJI = 1 << 16,   /* ideographs, hiragana, katakana */
    CASED = 1 << 17,   /* DeepSeek's letters: the scripts that have cases */
    DOTS = 1 << 18,    /* DeepSeek's punctuation */
    EASTERN = 1 << 19, /* DeepSeek's ideographs, which take in all from U+0800, and Hangul */
    STOP = 1 << 20,    /* what ends a word of BLOOM */
};

struct range {
    uint32_t first, last;
};

static const struct range kanji[] = {{0x3040, 0x30ff}, {0x4e00, 0x9fa5}};
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
    WIDE_SET(EASTERN, eastern), WIDE_SET(STOP, stops),
};

static const struct {
    uint32_t bits;
    const char *members;
} narrow_sets[] = {
    {NEWLINE, "\r\n"},
    {BLANK, " "},
    {LOWER | CASED, "abcdefghijklmnopqrstuvwxyz"},
    {UPPER | CASED, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"},
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

static uint32_t bits_of(uint32_t code)
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

/* ---- the language of rules ---- */

#define MANY 0xffffffffu

enum kind {
    END,         /* of the expression */
    SET,         /* min to max characters, as many as can be, with a bit of any and none of none */
    ENGLISH,     /* 's 't 're 've 'm 'll 'd */
    ENGLISH_ANY, /* the same in any case */
    SUFFIX,      /* ENGLISH_ANY or nothing */
    NO_WORD,     /* (?!\S) */
};

struct step {
    enum kind kind;
    uint32_t any, none, min, max;
};

struct expression {
    struct step steps[5];
};

struct pass {
    /* The first that matches is taken. NULL: white space at the end, \s+$. */
    const struct expression *alternatives;
    size_t n;
};

struct pretokenizer {
    const char *names;
    struct pass passes[6]; /* up to the first with n = 0 */
    bool ignores_merges, adds_bos;
};

/* clang-format off */
#define ONE(set)        {SET, set, 1, 1}
#define ONES(set)       {SET, set, 1, MANY}
#define ANYS(set)       {SET, set, 0, MANY}
#define MAYBE(set)      {SET, set, 0, 1}
#define UP_TO(n, set)   {SET, set, 1, n}
#define EXACTLY(n, set) {SET, set, n, n}
#define ALL(bits)       (uint32_t)(bits), 0u
#define BUT(none)       (uint32_t)ANY, (uint32_t)(none)
#define LESS(bits, none) (uint32_t)(bits), (uint32_t)(none)

#define WORD_OF_ANY   {{MAYBE(BUT(NEWLINE | LETTER | NUMBER)), ONES(ALL(LETTER))}}
#define PRINT_LINES   {{MAYBE(ALL(BLANK)), ONES(BUT(SPACE | LETTER | NUMBER)), ANYS(ALL(NEWLINE))}}
#define LINES         {{ANYS(ALL(SPACE)), ONES(ALL(NEWLINE))}}
#define SPACES_BEFORE {{ONES(ALL(SPACE)), {NO_WORD, 0, 0, 0, 0}}}
#define SPACES        {{ONES(ALL(SPACE))}}
#define CONTRACTIONS(kind) {{{kind, 0, 0, 0, 0}}}

static const struct expression digit[] = {{{ONE(ALL(NUMBER))}}};
static const struct expression digits[] = {{{ONES(ALL(NUMBER))}}};
static const struct expression three_digits[] = {{{UP_TO(3, ALL(NUMBER))}}};
static const struct expression three_ascii_digits[] = {{{EXACTLY(3, ALL(DIGIT))}}};
static const struct expression newline[] = {{{ONE(ALL(NEWLINE))}}};

static const struct expression gpt2[] = {
    CONTRACTIONS(ENGLISH),
    {{MAYBE(ALL(BLANK)), ONES(ALL(LETTER))}},
    {{MAYBE(ALL(BLANK)), ONES(ALL(NUMBER))}},
    {{MAYBE(ALL(BLANK)), ONES(BUT(SPACE | LETTER | NUMBER))}},
    SPACES_BEFORE, SPACES,
};
static const struct expression default_marks[] = {{{ONES(ALL(PUNCT | MATH))}}};
static const struct expression falcon_marks[] = {{{ONES(ALL(PUNCT | MATH | TICK))}}};

#define LLAMA3_LIKE(number) { \
    CONTRACTIONS(ENGLISH_ANY), WORD_OF_ANY, {{number}}, PRINT_LINES, LINES, SPACES_BEFORE, SPACES, }
static const struct expression llama3[] = LLAMA3_LIKE(UP_TO(3, ALL(NUMBER)));
static const struct expression qwen2[] = LLAMA3_LIKE(ONE(ALL(NUMBER)));
static const struct expression minicpm5[] = LLAMA3_LIKE(ONES(ALL(NUMBER)));
static const struct expression ufakzeka[] = {
    WORD_OF_ANY, {{ONE(ALL(NUMBER))}}, PRINT_LINES, LINES, SPACES_BEFORE, SPACES,
};
static const struct expression qwen35[] = {
    CONTRACTIONS(ENGLISH_ANY),
    {{MAYBE(BUT(NEWLINE | LETTER | NUMBER)), ONES(ALL(LETTER | MARK))}},
    {{ONE(ALL(NUMBER))}},
    {{MAYBE(ALL(BLANK)), ONES(BUT(SPACE | LETTER | MARK | NUMBER)), ANYS(ALL(NEWLINE))}},
    LINES, SPACES_BEFORE, SPACES,
};
static const struct expression seed_coder[] = {
    CONTRACTIONS(ENGLISH_ANY), WORD_OF_ANY,
    {{ONE(ALL(NUMBER))}},
    {{MAYBE(ALL(BLANK)), ONES(BUT(SPACE | LETTER | NUMBER))}},
    LINES, SPACES_BEFORE, SPACES,
};
static const struct expression bailing[] = {
    CONTRACTIONS(ENGLISH_ANY), WORD_OF_ANY, {{ONE(ALL(NUMBER))}}, PRINT_LINES,
    {{ANYS(ALL(SPACE)), ONE(ALL(NEWLINE))}},
    SPACES_BEFORE, SPACES,
};

/* Letters in llama.cpp's reading of the classes Lu, Lt, ... : only ASCII has cases. */
#define CAPITALS  LESS(LETTER, LOWER)
#define SMALLS    LESS(LETTER, UPPER)
#define CASES(number, suffix) { \
    {{MAYBE(BUT(NEWLINE | LETTER | NUMBER)), ANYS(CAPITALS), ONES(SMALLS), suffix}}, \
    {{MAYBE(BUT(NEWLINE | LETTER | NUMBER)), ONES(CAPITALS), ANYS(SMALLS), suffix}}, \
    {{number}}, \
    {{MAYBE(ALL(BLANK)), ONES(BUT(SPACE | LETTER | NUMBER)), ANYS(ALL(NEWLINE | SLASH))}}, \
    LINES, SPACES_BEFORE, SPACES, }
static const struct expression tekken[] = CASES(ONE(ALL(NUMBER)), {0});
static const struct expression gpt4o[] = CASES(UP_TO(3, ALL(NUMBER)), {.kind = SUFFIX});

static const struct expression deepseek_words[] = {{{MAYBE(ALL(SPACE)), ONES(ALL(CASED))}}};
static const struct expression deepseek_marks[] = {{{MAYBE(ALL(SPACE)), ONES(ALL(DOTS))}}};
static const struct expression deepseek_eastern[] = {{{ONES(ALL(EASTERN))}}};
static const struct expression coder_words[] = {{{MAYBE(ALL(SPACE)), ONES(ALL(LETTER))}}};
static const struct expression coder_marks[] = {{{MAYBE(ALL(SPACE)), ONES(ALL(PUNCT))}}};
static const struct expression kanjis[] = {{{ONES(ALL(KANJI))}}};
static const struct expression deepseek3[] = {
    {{ONE(ALL(PRINT)), ONES(ALL(LOWER | UPPER))}},
    {{MAYBE(BUT(NEWLINE | LETTER | PUNCT | SYMBOL)), ONES(ALL(LETTER | MARK))}},
    {{MAYBE(ALL(BLANK)), ONES(ALL(PUNCT | SYMBOL)), ANYS(ALL(NEWLINE))}},
    LINES, SPACES_BEFORE, SPACES,
};
static const struct expression bloom[] = {{{MAYBE(ALL(BLANK)), ONES(BUT(SPACE | STOP))}}};

#define PASS(expressions) {expressions, sizeof expressions / sizeof *expressions}
#define TRAILING_SPACES {NULL, 1}

/* The first row is the default. */
static const struct pretokenizer rules[] = {
    {"default", {PASS(default_marks), PASS(gpt2), PASS(digits), PASS(three_ascii_digits)}, 0, 0},
    {"gpt-2 phi-2 mpt olmo jais trillion granite-docling exaone4 mellum modern-bert gigachat a.x-4.0 "
     "jina-es jina-de jina-v1-en jina-v2-es jina-v2-de jina-v2-code roberta-bpe",
     {PASS(gpt2)}, 0, 0},
    {"smollm starcoder refact command-r codeshell exaone minerva-7b mellum2",
     {PASS(digit), PASS(gpt2)}, 0, 0},
    {"llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano",
     {PASS(llama3)}, 1, 1},
    {"dbrx smaug-bpe glm4 chatglm-bpe", {PASS(llama3)}, 0, 0},
    {"qwen2 deepseek-r1-qwen kormo f2llmv2 stablelm2 hunyuan solar-open megrez grok-2",
     {PASS(qwen2)}, 0, 0},
    {"qwen35", {PASS(qwen35)}, 0, 0},
    {"minicpm5", {PASS(three_digits), PASS(minicpm5)}, 1, 0},
    {"ufakzeka", {PASS(ufakzeka)}, 0, 0},
    {"seed-coder", {PASS(seed_coder)}, 0, 0},
    {"bailingmoe bailingmoe2 llada-moe", {PASS(bailing)}, 0, 0},
    {"tekken", {PASS(tekken)}, 1, 1},
    {"gpt-4o llama4 kanana2 talkie minimax-m2", {PASS(gpt4o)}, 0, 0},
    {"falcon", {PASS(falcon_marks), PASS(gpt2), PASS(three_ascii_digits)}, 0, 0},
    {"deepseek-llm",
     {PASS(newline), PASS(deepseek_words), PASS(deepseek_marks), TRAILING_SPACES,
      PASS(deepseek_eastern), PASS(digits)}, 0, 0},
    {"deepseek-coder",
     {PASS(newline), PASS(coder_words), PASS(coder_marks), PASS(deepseek_eastern), PASS(digit)}, 0, 0},
    {"deepseek-v3 hunyuan-dense joyai-llm hy_v4",
     {PASS(three_digits), PASS(kanjis), PASS(deepseek3)}, 0, 0},
    {"bloom poro-chat gpt3-finnish", {PASS(bloom)}, 0, 0},
    {"viking", {PASS(bloom), PASS(digit)}, 0, 0},
};
/* clang-format on */

const struct pretokenizer *pretokenize_find(const char *name, size_t size)
{
    if (size == 0) return &rules[0];
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        for (const char *at = rules[i].names; *at; at += strspn(at, " ")) {
            size_t n = strcspn(at, " ");
            if (n == size && memcmp(at, name, n) == 0) return &rules[i];
            at += n;
        }
    }
    return NULL;
}

bool pretokenize_ignores_merges(const struct pretokenizer *rule)
{
    return rule->ignores_merges;
}

bool pretokenize_adds_bos(const struct pretokenizer *rule)
{
    return rule->adds_bos;
}

/* ---- matching ---- */

/* Characters [.., end) of a text; character i is bits[i] and begins at byte starts[i]. */
struct view {
    const char *text;
    const uint32_t *bits, *starts;
    size_t end;
};

#define NO_MATCH SIZE_MAX

/* Characters of the contraction at, or 0. */
static size_t contraction(const struct view *v, size_t at, bool any_case)
{
    static const char endings[][3] = {"s", "t", "m", "d", "re", "ve", "ll"};
    const char *s = v->text + v->starts[at];
    if (at == v->end || *s != '\'') return 0;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t n = strlen(endings[i]), same = 0;
        if (n >= v->end - at) continue;
        while (same < n && (any_case ? s[1 + same] | 0x20 : s[1 + same]) == endings[i][same])
            same++;
        if (same == n) return 1 + n;
    }
    return 0;
}

/* Where the match of the steps from at ends. A greedy loop gives back until the rest matches; in
 * our rules the rest then fails or succeeds at its first character. */
static size_t match(const struct step *s, const struct view *v, size_t at)
{
    switch (s->kind) {
    case END: return at;
    case NO_WORD: return at == v->end || v->bits[at] & SPACE ? match(s + 1, v, at) : NO_MATCH;
    case ENGLISH:
    case ENGLISH_ANY:
    case SUFFIX: {
        size_t n = contraction(v, at, s->kind != ENGLISH);
        return n || s->kind == SUFFIX ? match(s + 1, v, at + n) : NO_MATCH;
    }
    case SET: break;
    }
    size_t n = 0, most = s->max < v->end - at ? s->max : v->end - at;
    while (n < most && v->bits[at + n] & s->any && !(v->bits[at + n] & s->none)) n++;
    for (;; n--) {
        if (n < s->min) return NO_MATCH;
        size_t end = match(s + 1, v, at + n);
        if (end != NO_MATCH) return end;
        if (n == 0) return NO_MATCH;
    }
}

/* Where the match at a character ends. */
static size_t match_any(const struct pass *pass, const struct view *v, size_t at)
{
    for (size_t i = 0; i < pass->n; i++) {
        size_t end = match(pass->alternatives[i].steps, v, at);
        if (end != NO_MATCH) return end;
    }
    return NO_MATCH;
}

/* Cuts the characters [at, v->end) and appends the ends of words. No word is empty,
 * so there is room. */
static size_t cut(const struct pass *pass, const struct view *v, size_t at, uint32_t *ends)
{
    size_t n = 0, begin = at;
    if (!pass->alternatives) {
        size_t word = v->end;
        while (word > at && v->bits[word - 1] & SPACE) word--;
        if (word > at && word < v->end) ends[n++] = (uint32_t)word;
        ends[n++] = (uint32_t)v->end;
        return n;
    }
    while (at < v->end) {
        size_t end = match_any(pass, v, at);
        if (end == NO_MATCH) {
            at++;
            continue;
        }
        if (at > begin) ends[n++] = (uint32_t)at;
        ends[n++] = (uint32_t)end;
        at = begin = end;
    }
    if (at > begin) ends[n++] = (uint32_t)at;
    return n;
}

/* Fills bits and starts; returns the number of characters. starts has one more, the size. */
static size_t classify(const char *text, size_t size, uint32_t *bits, uint32_t *starts)
{
    uint32_t ascii[128] = {0};
    size_t n = 0;
    for (size_t at = 0; at < size; n++) {
        uint32_t code;
        starts[n] = (uint32_t)at;
        at += unicode_decode(text + at, size - at, &code);
        if (code >= 128) bits[n] = bits_of(code);
        else bits[n] = ascii[code] ? ascii[code] : (ascii[code] = bits_of(code));
    }
    starts[n] = (uint32_t)size;
    return n;
}

static bool grow(uint32_t **items, size_t *capacity, size_t n, const struct alloc *alloc)
{
    uint32_t *grown = alloc_grow(alloc, *items, capacity, n, sizeof **items);
    if (grown) *items = grown;
    return grown;
}

llm_status pretokenize(const struct pretokenizer *rule, const char *text, size_t size,
                       struct words *out, const struct alloc *alloc, struct llm_error *error)
{
    out->n = 0;
    if (size == 0) return LLM_OK;
    if (size >= UINT32_MAX)
        return error_set(error, LLM_BAD_ARGUMENT, "a text of 4 GiB or more cannot be tokenized");
    if (!grow(&out->ends, &out->ends_capacity, size, alloc) ||
        !grow(&out->other, &out->other_capacity, size, alloc) ||
        !grow(&out->bits, &out->bits_capacity, size, alloc) ||
        !grow(&out->starts, &out->starts_capacity, size + 1, alloc))
        return error_memory(error, "the words of a text", (uint64_t)size * 4 * sizeof *out->ends);
    struct view v = {text, out->bits, out->starts, 0};
    size_t n_characters = classify(text, size, out->bits, out->starts);
    uint32_t *from = out->other, *to = out->ends;
    size_t n = 1;
    to[0] = (uint32_t)n_characters;
    for (const struct pass *pass = rule->passes; pass < rule->passes + 6 && pass->n; pass++) {
        uint32_t *swap = from;
        from = to;
        to = swap;
        size_t n_cut = 0, at = 0;
        for (size_t i = 0; i < n; i++) {
            v.end = from[i];
            n_cut += cut(pass, &v, at, to + n_cut);
            at = v.end;
        }
        n = n_cut;
    }
    for (size_t i = 0; i < n; i++) out->ends[i] = out->starts[to[i]];
    out->n = n;
    return LLM_OK;
}

void pretokenize_free(struct words *words, const struct alloc *alloc)
{
    alloc_free(alloc, words->ends, words->ends_capacity * sizeof *words->ends);
    alloc_free(alloc, words->other, words->other_capacity * sizeof *words->other);
    alloc_free(alloc, words->bits, words->bits_capacity * sizeof *words->bits);
    alloc_free(alloc, words->starts, words->starts_capacity * sizeof *words->starts);
    memset(words, 0, sizeof *words);
}

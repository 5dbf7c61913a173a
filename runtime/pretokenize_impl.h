/* pretokenize_impl.h - the language in which rules are written: sets of characters, expressions,
 * passes. */
#ifndef PRETOKENIZE_IMPL_H
#define PRETOKENIZE_IMPL_H

#include <stdbool.h>
#include <stdint.h>

#include "pretokenize.h"
#include "unicode.h"

/* ---- sets: every character is a word of bits, a set is a test of bits ---- */

enum {
    LETTER = UNICODE_LETTER,
    NUMBER = UNICODE_NUMBER,
    PUNCT = UNICODE_PUNCTUATION,
    SYMBOL = UNICODE_SYMBOL,
    MARK = UNICODE_MARK,
    SPACE = UNICODE_SPACE,
    ANY = 0xff,           /* every class */
    NEWLINE = 1 << 8,     /* \r \n */
    LINE_FEED = 1 << 9,   /* \n */
    BLANK = 1 << 10,      /* ' ' */
    LOWER = 1 << 11,      /* a-z */
    UPPER = 1 << 12,      /* A-Z */
    DIGIT = 1 << 13,      /* 0-9 */
    PRINT = 1 << 14,      /* the punctuation and symbols of ASCII */
    MATH = 1 << 15,       /* $+<=>^|~ */
    TICK = 1 << 16,       /* ` */
    SLASH = 1 << 17,      /* / */
    IMAGE = 1 << 18,      /* A-I, Chameleon's digits of images */
    KANJI = 1 << 19,      /* ideographs, hiragana, katakana */
    CASED = 1 << 20,      /* DeepSeek's letters: the scripts that have cases */
    DOTS = 1 << 21,       /* DeepSeek's punctuation, letters of ASCII and wide ones, too */
    EASTERN = 1 << 22,    /* DeepSeek's ideographs, which take in all from U+0800, and Hangul */
    STOP = 1 << 23,       /* what ends a word of BLOOM */
    HAN = 1 << 24,        /* Kimi's ideographs, unassigned ones too */
    HANGUL = 1 << 25,     /* Youtu's Hangul, */
    FULL = 1 << 26,       /* its wide punctuation */
    BOPOMOFO = 1 << 27,   /* and its Bopomofo */
    ASIAN = 1 << 28,      /* the scripts that AFMoE sets apart */
    LINE_AHEAD = 1 << 29, /* white space with a newline in it or after it: \s*[\r\n]+ */
};

/* All bits of a character but LINE_AHEAD. */
uint32_t pretokenize_bits(uint32_t code);

/* ---- expressions ---- */

#define MANY 0xffffffffu

enum step_kind {
    END,         /* of the expression */
    SET,         /* min to max characters, as many as can be, with a bit of any and none of none */
    TEXT,        /* this text, of ASCII */
    ENGLISH,     /* 's 't 're 've 'm 'll 'd */
    ENGLISH_ANY, /* the same in any case */
    SUFFIX,      /* ENGLISH_ANY or nothing */
    PHRASE,      /* letters with their marks, and single blanks between them */
    NO_WORD,     /* (?!\S) */
};

struct step {
    enum step_kind kind;
    uint32_t any, none, min, max;
    const char *text;
};

struct expression {
    struct step steps[5];
};

/* Characters [.., end) of a text; character i is bits[i] and begins at byte starts[i]. */
struct view {
    const char *text;
    const uint32_t *bits, *starts;
    size_t end;
};

/* One of the two. */
struct pass {
    /* The first that matches is taken. */
    const struct expression *alternatives;
    size_t n;
    /* Cuts the characters [at, v->end) and writes the ends of words, none of them empty; returns
     * how many. */
    size_t (*cut)(const struct view *v, size_t at, uint32_t *ends);
};

enum { MAX_PASSES = 6 };

struct pretokenizer {
    const char *names;
    struct pass passes[MAX_PASSES]; /* up to the first empty one */
    uint32_t flags;
};

size_t cut_trailing(const struct view *v, size_t at, uint32_t *ends);  /* \s+$ */
size_t cut_groups(const struct view *v, size_t at, uint32_t *ends);    /* see there */
size_t cut_thousands(const struct view *v, size_t at, uint32_t *ends); /* (?=(\d{3})+(?!\d)) */

#endif

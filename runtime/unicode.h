/* unicode.h - UTF-8, general categories, small letters and letters without accents. Pure. */
#ifndef UNICODE_H
#define UNICODE_H

#include <stddef.h>
#include <stdint.h>

/* The first letter of the general category; each is a bit, and every code point has exactly one.
 * White space that Unicode files under control characters (tab, newline, ...) is UNICODE_SPACE. */
enum unicode_class {
    UNICODE_LETTER = 1,
    UNICODE_NUMBER = 2,
    UNICODE_PUNCTUATION = 4,
    UNICODE_SYMBOL = 8,
    UNICODE_MARK = 16,
    UNICODE_SPACE = 32,
    UNICODE_OTHER = 64, /* control, format, private use, surrogates */
    UNICODE_UNASSIGNED = 128,
};

/* U+FFFD stands for each byte that is no UTF-8. */
#define UNICODE_REPLACEMENT 0xfffdu

enum unicode_class unicode_class(uint32_t code);
/* The small letter of a capital (one for one), or the code point itself. */
uint32_t unicode_lower(uint32_t code);
/* The first of the canonical decomposition: a letter without its accents. */
uint32_t unicode_base(uint32_t code);

/* Decodes the character at s, n > 0: returns its length. A byte that begins none (overlong forms,
 * surrogates and what is past U+10FFFF included) has length 1 and gives UNICODE_REPLACEMENT. */
size_t unicode_decode(const char *s, size_t n, uint32_t *code);
/* Writes at most 4 bytes; returns how many. What is no code point is written as
 * UNICODE_REPLACEMENT. */
size_t unicode_encode(uint32_t code, char out[4]);

#endif

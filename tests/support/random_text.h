/* random_text.h - texts of all that tokenizers tell apart, the same on every machine. */
#ifndef RANDOM_TEXT_H
#define RANDOM_TEXT_H

#include <stddef.h>
#include <stdint.h>

enum { RANDOM_TEXT_SIZE = 1024 };

/* Text number i of the series: valid UTF-8, some of any assigned or unassigned code points, some
 * near to real texts. Returns its size; it may hold NULs. */
#define RANDOM_TEXT_IS_SPECIAL(i) ((i) % 4 == 3) /* its special tokens are tokens */
size_t random_text(uint64_t i, char out[RANDOM_TEXT_SIZE]);
/* The next number of a series (Steele et al. 2014, SplitMix). */
uint64_t random_next(uint64_t *state);

#endif

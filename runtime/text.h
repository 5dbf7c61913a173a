/* text.h - from the bytes of tokens to pieces that can be given out: whole UTF-8, nothing of a stop
 * string. Pure. */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>

#include "alloc.h"
#include "llm.h"

/* Holds the bytes of one generation. Bytes [0, given) were given out; [given, ready) may be; the
 * rest might still become a stop string or is an unfinished character. */
struct text {
    char *bytes;
    size_t n, capacity, given, ready;
    struct llm_text *stops; /* copies, in the same allocation order as given */
    size_t n_stops;
    size_t *partial, *fallback;     /* private: how much of each stop ends the bytes, and their
                                       Knuth-Morris-Pratt tables in a row */
    const struct llm_text *matched; /* the stop string that ended it, or NULL */
    const struct alloc *alloc;
};

/* Empty stop strings are LLM_BAD_ARGUMENT. */
llm_status text_open(struct text *t, const struct llm_text *stops, size_t n_stops,
                     const struct alloc *alloc, struct llm_error *error);
/* Appends the bytes of one token. When a stop string is complete: the earliest match ends the text
 * (it and what follows is cut off), matched is set, all before it is ready. Earliest is the one
 * that is complete first, the longest of those that are complete together, so that the text does
 * not depend on how it is cut into tokens. After a match nothing is appended. */
llm_status text_add(struct text *t, const char *bytes, size_t n, struct llm_error *error);
/* The end: everything that is left is ready, whole characters or not. */
void text_finish(struct text *t);
void text_free(struct text *t);

/* Bytes at the end of s that begin a UTF-8 character and do not finish it (0 to 3); bytes that
 * cannot are not counted. */
size_t text_unfinished(const char *s, size_t n);

#endif

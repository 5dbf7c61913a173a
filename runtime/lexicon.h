/* lexicon.h - texts with ids, sorted, to find those that another text begins with. Pure. */
#ifndef LEXICON_H
#define LEXICON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc.h"

/* Longer entries are never looked for, so that a search at each place stays linear in the text. */
#define LEXICON_LONGEST 256u

struct lexicon_entry {
    const char *text; /* not copied */
    uint32_t size;
    int32_t id;
};

/* Zeroed to begin with. */
struct lexicon {
    struct lexicon_entry *entries; /* sorted; [first[b], first[b + 1]) begin with byte b */
    size_t n, capacity, first[257];
};

/* False: out of memory. Empty and too long texts are left out. */
bool lexicon_add(struct lexicon *l, const char *text, size_t size, int32_t id,
                 const struct alloc *alloc);
void lexicon_sort(struct lexicon *l); /* after the last was added, before any search */
void lexicon_free(struct lexicon *l, const struct alloc *alloc);

/* The entries that begin with the bytes taken so far. Zeroed to begin with. */
struct lexicon_walk {
    size_t low, high, depth;
};

/* Takes one more byte: false when no entry begins so. *id is the entry that ends here (of equal
 * texts the lowest), or -1. */
bool lexicon_step(const struct lexicon *l, struct lexicon_walk *w, char byte, int32_t *id);
/* The longest entry that the text begins with, or -1. */
int32_t lexicon_longest(const struct lexicon *l, const char *text, size_t size);

#endif

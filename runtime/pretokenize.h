/* pretokenize.h - cut text into the words inside which byte-pair merges may happen. Pure.
 * A rule is one or more passes, each a regular expression that cuts what the pass before left; what
 * lies between two matches is a word, too. Rules are those of tokenizer.ggml.pre, as llama.cpp
 * reads them (src/llama-vocab.cpp). */
#ifndef PRETOKENIZE_H
#define PRETOKENIZE_H

#include <stdint.h>

#include "alloc.h"
#include "error.h"

struct pretokenizer;

/* The rule of that name; an empty name has the default rule, an unknown one gives NULL. */
const struct pretokenizer *pretokenize_find(const char *name, size_t size);

/* What the name also says. */
enum {
    PRETOKENIZE_IGNORES_MERGES = 1,  /* whole words of the vocabulary need no merges */
    PRETOKENIZE_ADDS_BOS = 2,        /* texts begin with the beginning token, */
    PRETOKENIZE_ALWAYS_BOS = 4,      /* even where the file says that they do not */
    PRETOKENIZE_CHARACTERS = 8,      /* merges are of characters, not of bytes, */
    PRETOKENIZE_ESCAPES = 16,        /* and U+2581 stands for a space */
    PRETOKENIZE_WHOLE_NEWLINES = 32, /* a word of newlines needs no merges */
    PRETOKENIZE_MAY_LACK_MERGES = 64,
};
uint32_t pretokenize_flags(const struct pretokenizer *rule);

/* Scratch of pretokenize, kept from text to text. Zeroed to begin with. */
struct words {
    uint32_t *ends; /* n ends of words, in bytes, rising; the last is the size of the text */
    size_t n;
    uint32_t *other, *bits, *starts; /* private */
    size_t ends_capacity, other_capacity, bits_capacity, starts_capacity;
};

/* size is below 4 GiB. Linear in it. */
llm_status pretokenize(const struct pretokenizer *rule, const char *text, size_t size,
                       struct words *out, const struct alloc *alloc, struct llm_error *error);
void pretokenize_free(struct words *words, const struct alloc *alloc);

#endif

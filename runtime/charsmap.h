/* charsmap.h - the normalising of SentencePiece's Unigram models: a trie of byte strings, each with
 * what is written in its place. In the file, tokenizer.ggml.precompiled_charsmap, it is a
 * double-array trie as the Darts-clone library packs it, then the replacements, each ended by a
 * NUL (format: sentencepiece's normalizer.cc and darts.h). Pure. */
#ifndef CHARSMAP_H
#define CHARSMAP_H

#include "error.h"
#include "gguf.h"

struct charsmap {
    const uint8_t *units; /* n_units of 4 bytes, little-endian, unaligned: views into the file */
    size_t n_units;
    const char *replacements;
    size_t replacements_size;
};

/* A missing key is an empty map. Damaged ones are LLM_BAD_MODEL. */
llm_status charsmap_read(struct charsmap *c, const struct gguf *gguf, struct llm_error *error);
/* The longest key that the text begins with: its length and its replacement, which is at most
 * CHARSMAP_LONGEST bytes. 0: none. */
size_t charsmap_find(const struct charsmap *c, const char *text, size_t size,
                     struct gguf_string *replacement);

/* Of keys and replacements: a file cannot make a text grow without bounds. In Unicode's NFKC they
 * have at most 54 bytes. */
#define CHARSMAP_LONGEST 255

#endif

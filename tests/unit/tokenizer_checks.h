/* tokenizer_checks.h - open vocabularies and check what their tokenizers say. */
#ifndef TOKENIZER_CHECKS_H
#define TOKENIZER_CHECKS_H

#include "tokenizer.h"
#include "vocabulary.h"

/* The small vocabulary that a test writes. */
extern struct vocabulary file;

struct line {
    const char *text;
    int32_t type;
    float score;
};
void put_tokens(const struct line *lines, size_t n, bool scores);
/* Begins a file with no more than tokenizer.ggml.model. */
void begin(const char *model);

struct opened {
    struct gguf gguf;
    struct tokenizer *t;
};
llm_status open_bytes(struct opened *o, const void *bytes, size_t size, struct llm_error *error);
/* Ends the small vocabulary and opens it. */
void open_file(struct opened *o);
void close_opened(struct opened *o);
/* Opening the small vocabulary fails so, with that word in the message. */
void refuse(llm_status want, const char *word);

/* Checks the ids of a text, written in decimal with spaces between. flags: of tokenizer_encode. */
void check_ids(const struct tokenizer *t, const char *text, size_t size, uint32_t flags,
               const char *want);
void check(const struct tokenizer *t, const char *text, uint32_t flags, const char *want);
void check_decode(const struct tokenizer *t, int32_t id, bool special, const char *want);
/* The text of a text's ids: to be freed with free(). */
struct bytes there_and_back(const struct tokenizer *t, const char *text, size_t size);
/* Whether the text of its ids is the text, but for a leading space that was put there. */
bool comes_back(const struct tokenizer *t, const char *text, size_t size);

/* Opens the small vocabulary and uses it with the n-th allocation failing, for every n, until all
 * succeeds; nothing is left then. */
void check_memory(const char *text);

/* A file of tests/data/vocab, with a NUL after it, to be freed with free(). */
char *read_file(const char *name, size_t *size);

#endif

/* tokenizer_impl.h - what the two kinds of tokenizer share. */
#ifndef TOKENIZER_IMPL_H
#define TOKENIZER_IMPL_H

#include "error.h"
#include "pretokenize.h"
#include "tokenizer.h"

/* Values of tokenizer.ggml.token_type (ggml's docs/gguf.md). */
enum token_type {
    TOKEN_UNDEFINED,
    TOKEN_NORMAL,
    TOKEN_UNKNOWN,
    TOKEN_CONTROL,
    TOKEN_USER_DEFINED,
    TOKEN_UNUSED,
    TOKEN_BYTE,
    TOKEN_N_TYPES
};

struct token {
    const char *text; /* byte-pair: the bytes it stands for; SentencePiece, special tokens: as in
                         the file */
    uint32_t size;
    float score;
    uint8_t type;    /* enum token_type */
    uint8_t strips;  /* white space after this special token is dropped */
    uint8_t indexed; /* may come out of plain text */
};

struct special { /* a token that is cut out of the text before anything else */
    const char *text;
    uint32_t size;
    int32_t id;
};

struct merge {
    uint32_t left, right, rank;
    int32_t id;
}; /* id < 0: a free slot */

struct tokenizer {
    const struct alloc *alloc;
    struct tokenizer_info info;
    int32_t *ends;

    struct token *tokens; /* info.n_tokens */
    uint32_t longest;     /* bytes of the longest token */
    char *bytes;          /* the texts of byte-pair tokens */
    size_t bytes_size;
    uint64_t seed;
    int32_t *index;                 /* hash table of tokens by text, -1: free */
    size_t index_mask, merges_mask; /* slots - 1, a power of two - 1 */
    int32_t byte_ids[256];          /* token of a byte, or -1 */

    struct special *specials; /* sorted by text; [first[b], first[b + 1]) begin with byte b */
    size_t n_specials, specials_capacity, first[257];

    bool byte_pair;
    const struct pretokenizer *rule; /* byte-pair */
    struct merge *merges;            /* hash table by (left, right) */
};

/* The token that plain text of these bytes is, or -1. */
int32_t tokenizer_find(const struct tokenizer *t, const char *text, size_t size);

/* Appends one id. */
llm_status tokenizer_push(struct ids *out, int32_t id, const struct alloc *alloc,
                          struct llm_error *error);

/* Neighbouring symbols of a text; what is merged goes into the left one. */
struct symbol {
    uint32_t at, size;       /* bytes of the text; size 0: merged away */
    int32_t id;              /* -1: no token */
    uint32_t previous, next; /* NO_SYMBOL at the ends */
};
#define NO_SYMBOL UINT32_MAX

struct pair {                   /* a merge that was possible when it was found */
    uint32_t left, right, size; /* symbols; bytes of both */
    float order; /* the least is merged first, then the leftmost: rank, or minus the score */
    int32_t id;  /* of the merged token */
};

/* Scratch of one call. Zeroed to begin with. */
struct merger {
    const struct alloc *alloc;
    struct symbol *symbols;
    size_t n, capacity;
    struct pair *heap;
    size_t n_heap, heap_capacity;
    struct words words;   /* byte-pair */
    struct bytes escaped; /* SentencePiece */
};

bool merger_symbol(struct merger *m, uint32_t at, uint32_t size, int32_t id);
/* Merges in order until nothing can be; find tells whether two symbols make a token (id and order).
 */
typedef bool (*merger_find)(const struct tokenizer *t, const char *text, const struct symbol *left,
                            const struct symbol *right, struct pair *out);
bool merger_run(struct merger *m, const struct tokenizer *t, const char *text, merger_find find);
void merger_free(struct merger *m);

/* Loading and encoding by kind. fragment has no special token in it; begins: it is first or follows
 * one. */
llm_status bpe_texts(struct tokenizer *t, struct llm_error *error);
llm_status bpe_merges(struct tokenizer *t, const struct gguf *gguf, struct llm_error *error);
llm_status bpe_encode(const struct tokenizer *t, struct merger *m, const char *text, size_t size,
                      struct ids *out, struct llm_error *error);
llm_status spm_encode(const struct tokenizer *t, struct merger *m, const char *text, size_t size,
                      bool begins, struct ids *out, struct llm_error *error);

#endif

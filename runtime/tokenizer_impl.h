/* tokenizer_impl.h - what the kinds of tokenizer share. */
#ifndef TOKENIZER_IMPL_H
#define TOKENIZER_IMPL_H

#include "charsmap.h"
#include "error.h"
#include "lexicon.h"
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
    const char *text; /* as in the file, or the bytes it stands for */
    uint32_t size;
    float score;
    uint8_t type;         /* enum token_type */
    uint8_t strips_left;  /* white space before this special token is dropped */
    uint8_t strips_right; /* and after it */
    uint8_t indexed;      /* may come out of plain text */
};

/* How the text of a token reads. */
enum token_texts {
    TEXTS_ESCAPED, /* U+2581 stands for a space */
    TEXTS_AS_IS,
    TEXTS_BYTES, /* as is, and it was written otherwise in the file */
};

struct merge {
    uint32_t left, right, rank;
    int32_t id;
}; /* id < 0: a free slot */

struct merger;
struct tokenizer;

/* A value of tokenizer.ggml.model. */
struct tokenizer_kind {
    const char *name;
    const char *rule; /* of byte pairs: the pre-tokenizer, "" the one of tokenizer.ggml.pre */
    struct tokenizer_info info; /* where the file does not say */
    enum token_texts texts;
    /* Turns texts of tokens into bytes, before they are indexed. May be NULL. */
    llm_status (*read_texts)(struct tokenizer *t, struct llm_error *error);
    /* What else the file holds. May be NULL. */
    llm_status (*open)(struct tokenizer *t, const struct gguf *gguf, struct llm_error *error);
    /* Appends the ids of text with no special token in it; size is not 0. begins: it is first or
     * follows a special token. */
    llm_status (*encode)(const struct tokenizer *t, struct merger *m, const char *text, size_t size,
                         bool begins, struct ids *out, struct llm_error *error);
};

struct tokenizer {
    const struct alloc *alloc;
    const struct tokenizer_kind *kind;
    struct tokenizer_info info;
    int32_t *ends;
    enum token_texts texts;

    struct token *tokens; /* info.n_tokens */
    uint32_t longest;     /* bytes of the longest token */
    char *bytes;          /* the texts of tokens that are not as in the file */
    size_t bytes_size;
    uint64_t seed;
    int32_t *index;                 /* hash table of tokens by text, -1: free */
    size_t index_mask, merges_mask; /* slots - 1, a power of two - 1 */
    int32_t byte_ids[256];          /* token of a byte, or -1 */

    struct lexicon specials; /* tokens that are cut out of the text before anything else */
    struct lexicon defined;  /* those of them that always are */

    const struct pretokenizer *rule; /* byte-pair */
    struct merge *merges;            /* hash table by (left, right) */
    bool lowercases, strips_accents; /* WordPiece; byte-pair of kind whitespace */
    struct lexicon pieces;           /* WordPiece, Unigram, RWKV, PLaMo: tokens of plain text */
    struct charsmap charsmap;        /* Unigram, and the next two */
    float unknown_score;
    bool merges_spaces;
};

/* ---- the vocabulary: tokenizer_vocab.c ---- */

bool tokenizer_is_integer(enum gguf_type type);
/* Fills tokens. */
llm_status vocab_read(struct tokenizer *t, const struct gguf *gguf, struct llm_error *error);
/* Fills index and byte_ids, when the texts are what they are to be. */
llm_status vocab_index(struct tokenizer *t, struct llm_error *error);
/* Fills pieces with the tokens that may come out of plain text. */
llm_status vocab_pieces(struct tokenizer *t, struct llm_error *error);
/* The token that plain text of these bytes is, or -1. */
int32_t vocab_find(const struct tokenizer *t, const char *text, size_t size);
/* The byte of a name like <0x0A>, or -1. */
int vocab_byte(const struct token *token);

/* ---- special tokens: tokenizer_special.c ---- */

/* Reads which tokens begin, end, separate, ..., and collects those that are cut out of texts. */
llm_status special_read(struct tokenizer *t, const struct gguf *gguf, struct llm_error *error);
void special_free(struct tokenizer *t);

/* ---- encoding ---- */

/* Appends one id; -1, no token, is left out. */
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

/* The best way to a place in a text: the token that ends there and where it begins. */
struct step_back {
    double score;
    uint32_t from;
    int32_t id;
};

/* Scratch of one call. Zeroed to begin with. */
struct merger {
    const struct alloc *alloc;
    struct symbol *symbols;
    size_t n, capacity;
    struct pair *heap;
    size_t n_heap, heap_capacity;
    struct words words;     /* byte-pair */
    struct bytes text;      /* as it is after normalising and escaping */
    struct step_back *best; /* Unigram, PLaMo */
    size_t best_capacity;
};

bool merger_symbol(struct merger *m, uint32_t at, uint32_t size, int32_t id);
/* Merges in order until nothing can be; find tells whether two symbols make a token (id and order).
 */
typedef bool (*merger_find)(const struct tokenizer *t, const char *text, const struct symbol *left,
                            const struct symbol *right, struct pair *out);
bool merger_run(struct merger *m, const struct tokenizer *t, const char *text, merger_find find);
/* The bytes of m->text grow by these; false: out of memory. */
bool merger_append(struct merger *m, const char *bytes, size_t n);
/* Sets m->text to the text with its spaces written as U+2581, one put before where there is to be
 * one. */
bool merger_escape(struct merger *m, const char *text, size_t size, bool prefix);
void merger_free(struct merger *m);

#define ESCAPED_SPACE "\xe2\x96\x81"

llm_status bpe_texts(struct tokenizer *t, struct llm_error *error);
llm_status bpe_open(struct tokenizer *t, const struct gguf *gguf, struct llm_error *error);
llm_status bpe_encode(const struct tokenizer *t, struct merger *m, const char *text, size_t size,
                      bool begins, struct ids *out, struct llm_error *error);
llm_status whitespace_open(struct tokenizer *t, const struct gguf *gguf, struct llm_error *error);
llm_status whitespace_encode(const struct tokenizer *t, struct merger *m, const char *text,
                             size_t size, bool begins, struct ids *out, struct llm_error *error);
llm_status spm_encode(const struct tokenizer *t, struct merger *m, const char *text, size_t size,
                      bool begins, struct ids *out, struct llm_error *error);
llm_status wpm_open(struct tokenizer *t, const struct gguf *gguf, struct llm_error *error);
llm_status wpm_encode(const struct tokenizer *t, struct merger *m, const char *text, size_t size,
                      bool begins, struct ids *out, struct llm_error *error);
llm_status ugm_open(struct tokenizer *t, const struct gguf *gguf, struct llm_error *error);
llm_status ugm_encode(const struct tokenizer *t, struct merger *m, const char *text, size_t size,
                      bool begins, struct ids *out, struct llm_error *error);
llm_status plamo_open(struct tokenizer *t, const struct gguf *gguf, struct llm_error *error);
llm_status plamo_encode(const struct tokenizer *t, struct merger *m, const char *text, size_t size,
                        bool begins, struct ids *out, struct llm_error *error);
llm_status rwkv_texts(struct tokenizer *t, struct llm_error *error);
llm_status rwkv_open(struct tokenizer *t, const struct gguf *gguf, struct llm_error *error);
llm_status rwkv_encode(const struct tokenizer *t, struct merger *m, const char *text, size_t size,
                       bool begins, struct ids *out, struct llm_error *error);

#endif

/* tokenizer.h - text to token ids and back, from the vocabulary in a GGUF header. Pure. Linear in
 * the text (times a log). Models (tokenizer.ggml.model): "gpt2" byte-pair with the pre-tokenizer
 * named by tokenizer.ggml.pre, "gemma4" and "whitespace" byte-pair with one of their own, "llama"
 * SentencePiece byte-pair with scores, "bert" WordPiece, "t5" Unigram, "plamo2" PLaMo's, "rwkv"
 * the longest first. Others are refused with LLM_UNSUPPORTED, naming them. */
#ifndef TOKENIZER_H
#define TOKENIZER_H

#include <stdbool.h>

#include "alloc.h"
#include "gguf.h"

struct tokenizer;

struct ids {
    int32_t *items;
    size_t n, capacity;
}; /* grown with the allocator of the call */
struct bytes {
    char *items;
    size_t n, capacity;
};

/* gguf and the bytes it views must outlive it. A vocabulary with impossible sizes, ids or merges is
 * LLM_BAD_MODEL. */
llm_status tokenizer_create(struct tokenizer **out, const struct gguf *gguf,
                            const struct alloc *alloc, struct llm_error *error);
void tokenizer_free(struct tokenizer *t);

struct tokenizer_info {
    uint32_t n_tokens;
    int32_t bos, eos, eot, unk, sep, pad; /* -1: none; BERT's [CLS] is bos, its [SEP] sep */
    bool add_bos, add_eos, add_sep, add_space_prefix;
    const int32_t *ends; /* every end-of-generation token: eos, eot, eom and the customary names
                            (<|im_end|>, <|eot_id|>, ...) */
    uint32_t n_ends;
};
const struct tokenizer_info *tokenizer_info(const struct tokenizer *t);
bool tokenizer_is_end(const struct tokenizer *t, int32_t id);

enum {
    TOKENIZER_SPECIAL =
        1, /* special tokens written in the text are tokens; user-defined ones always are */
    TOKENIZER_CONTINUES = 2, /* the text goes on from other text: no space is put before it */
    TOKENIZER_WHOLE = 4 /* the tokens that the model wants at the ends of a text are added: what
                           add_bos, add_eos and add_sep say */
};
/* Appends the ids of text; flags as above. Text is any bytes; what is not UTF-8 is encoded byte by
 * byte where the vocabulary has bytes, else as unknown. */
llm_status tokenizer_encode(const struct tokenizer *t, const char *text, size_t size,
                            uint32_t flags, struct ids *out, const struct alloc *alloc,
                            struct llm_error *error);
/* Appends the bytes of a token as it reads in running text (a leading space is kept); control
 * tokens give their name with special, else nothing. An id out of range is LLM_BAD_ARGUMENT. */
llm_status tokenizer_decode(const struct tokenizer *t, int32_t id, bool special, struct bytes *out,
                            const struct alloc *alloc, struct llm_error *error);

#endif

/* arch.h - model architectures as data: a row of hyperparameter keys and flags, and a list of tensor rules with symbolic
 * shapes. A new model is a row; at most a flag and its branch in forward.c. Pure. */
#ifndef ARCH_H
#define ARCH_H

#include <stdbool.h>

#include "gguf.h"
#include "rope.h"

struct hparams {
    uint32_t n_layers, dim, hidden, n_heads, n_kv_heads, head_dim, vocab, context;
    float norm_eps, attention_scale;
    bool rope_neox; /* rotated pairs are (i, i + dims / 2); else (2i, 2i + 1) */
    struct rope rope;
};

/* Slots of tensors: those of the model, then those of each layer. */
enum arch_slot {
    SLOT_TOKEN_EMBD,
    SLOT_OUTPUT_NORM,
    SLOT_OUTPUT,     /* absent: the token embedding serves */
    SLOT_ROPE_FREQS, /* divisors of the rope frequencies, read on the host */
    N_MODEL_SLOTS,
    SLOT_ATTN_NORM = 0,
    SLOT_Q,
    SLOT_K,
    SLOT_V,
    SLOT_O,
    SLOT_FFN_NORM,
    SLOT_GATE,
    SLOT_UP,
    SLOT_DOWN,
    N_LAYER_SLOTS
};

struct arch {
    const char *name;
    bool rope_neox;
};

/* What a model is made of, found and checked in a GGUF header. Tensors are views into it; NULL: an absent optional one. */
struct blueprint {
    const struct arch *arch;
    struct hparams h;
    const struct gguf_tensor *tensors[N_MODEL_SLOTS];
    const struct gguf_tensor *(*layers)[N_LAYER_SLOTS]; /* (n_layers) */
    uint64_t parameters;
    const struct alloc *alloc;
};

/* LLM_UNSUPPORTED: an architecture or tensor that we do not know, by name. LLM_BAD_MODEL: a tensor or key is missing or
 * misshapen, with names and shapes. h.rope.factors stays NULL: the tensor's data is not in the header. */
llm_status arch_read(struct blueprint *b, const struct gguf *g, uint32_t n_vocab, const struct alloc *alloc,
                     struct llm_error *error);
void arch_free(struct blueprint *b);

#endif

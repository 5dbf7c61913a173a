/* arch.h - model architectures as data: a row of hyperparameter keys and flags, and a list of
 * tensor rules with symbolic shapes. A new model is a row; at most a flag and its branch in
 * forward.c. Pure. */
#ifndef ARCH_H
#define ARCH_H

#include <stdbool.h>

#include "gguf.h"
#include "rope.h"

struct hparams {
    uint32_t n_layers, dim, hidden, n_heads, n_kv_heads, head_dim, vocab, context;
    float norm_eps, attention_scale;
    float head_eps;        /* of the norm of each head of q and k */
    float embedding_scale; /* of what the first layer is given */
    float logit_scale;     /* of the logits; the gain of the output norm carries it */
    bool rope_neox;        /* rotated pairs are (i, i + dims / 2); else (2i, 2i + 1) */
    uint32_t plain_every;  /* every so many layers one does not rotate; 0: all do */
    struct rope rope;
};

/* Slots of tensors: those of the model, then those of each layer. */
enum arch_slot {
    SLOT_TOKEN_EMBD,
    SLOT_OUTPUT_NORM,
    SLOT_OUTPUT,     /* absent: the token embedding serves */
    SLOT_ROPE_FREQS, /* divisors of the rope frequencies, read on the host */
    SLOT_ROPE_LONG,  /* the same for contexts longer than the trained one, and for others: see
                        arch_choose_rope */
    SLOT_ROPE_SHORT,
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
    SLOT_Q_BIAS,
    SLOT_K_BIAS,
    SLOT_V_BIAS,
    SLOT_Q_NORM,
    SLOT_K_NORM,
    N_LAYER_SLOTS,
    /* Tensors of several matrices, whose rows become views in the slots above. */
    SLOT_QKV = SLOT_Q,
    SLOT_GATE_UP = SLOT_GATE
};

enum arch_feature {
    ARCH_NEOX = 1,
    ARCH_BIAS = 2,     /* q, k and v have biases */
    ARCH_MAY_BIAS = 4, /* or any of them has */
    ARCH_QK_NORM = 8,  /* each head of q and k is normalised */
    ARCH_FUSED = 16,   /* q, k and v are one tensor, and so are gate and up */
    ARCH_LONG_ROPE = 32,
    ARCH_SCALES = 64,         /* keys scale the embedding, what layers add, attention and logits */
    ARCH_ALL_SCALES = 128,    /* and all but attention's must be there */
    ARCH_FFN_NORM_NAMED = 256 /* the norm before the ffn is named after the attention */
};

struct arch {
    const char *name;
    uint32_t features, plain_every;
};

enum { ARCH_VIEWS = 5 };

/* What a model is made of, found and checked in a GGUF header. Tensors are views into it; NULL: an
 * absent optional one. */
struct blueprint {
    const struct arch *arch;
    struct hparams h;
    const struct gguf_tensor *tensors[N_MODEL_SLOTS];
    const struct gguf_tensor *(*layers)[N_LAYER_SLOTS]; /* (n_layers) */
    struct gguf_tensor *views; /* (n_layers, ARCH_VIEWS) of fused tensors, or NULL */
    uint64_t parameters;
    const struct alloc *alloc;
};

/* LLM_UNSUPPORTED: an architecture or tensor that we do not know, by name. LLM_BAD_MODEL: a tensor
 * or key is missing or misshapen, with names and shapes. h.rope.factors stays NULL: the tensor's
 * data is not in the header. */
llm_status arch_read(struct blueprint *b, const struct gguf *g, uint32_t n_vocab,
                     const struct alloc *alloc, struct llm_error *error);
void arch_free(struct blueprint *b);
/* Takes the rope factors for a context of so many tokens, where the model has two sets. */
void arch_choose_rope(struct blueprint *b, uint32_t context);
bool arch_long_rope(
    const struct blueprint *b); /* those for more than the trained context were taken */

#endif

/* arch.h - model architectures as data: what a model is made of, found and checked in a GGUF
 * header. The architectures are rows of arch_table.c; a new model is a row, at most a trait and its
 * branch in layer.c. Pure. */
#ifndef ARCH_H
#define ARCH_H

#include <stdbool.h>

#include "activation.h"
#include "gguf.h"
#include "rope.h"
#include "router.h"

enum { ARCH_ROPES = 2 };

/* What sets a layer apart from the others of its model. */
struct layer_kind {
    uint32_t window; /* positions that attention sees, its own the last; 0: all */
    int rope;        /* index of hparams.ropes, or NO_ROPE */
    struct activation activation;
    bool experts; /* its ffn is a choice of them */
};
enum { NO_ROPE = -1 };

/* Heads of attention in a layer, which has hparams.n_heads of q. */
struct head_sizes {
    uint32_t n_kv_heads, head_dim, v_dim;
};

/* Latent attention: the sizes of what its products make (arch_latent.c). */
struct ranks {
    uint32_t q;          /* numbers that q is made of, 0: it is one product */
    uint32_t key, value; /* of a head, before k_b is absorbed into q and after v_b */
    bool fused; /* k_b, transposed, and v_b lie head after head in one tensor of the file */
};

struct hparams {
    uint32_t n_layers, dim, hidden, n_heads, n_kv_heads, vocab, context;
    uint32_t head_dim, v_dim;       /* of a head of q and k, and of v */
    struct head_sizes window_heads; /* of layers with a window; all 0: those of the others */
    bool latent;        /* v is the first v_dim numbers of k: see struct attention_shape */
    uint32_t rope_at;   /* the first dimension of a head that turns */
    struct ranks ranks; /* where latent */
    float norm_eps, attention_scale;
    float head_eps;           /* of the norm of each head of q and k */
    float attention_softcap;  /* of q * k; 0: none */
    float embedding_scale;    /* of what the first layer is given */
    float logit_scale;        /* of the logits; the gain of the output norm carries it */
    struct activation logits; /* then a soft cap, or nothing */
    uint32_t n_types;         /* of tokens */
    bool encoder;             /* each token sees the whole text; there are no logits */
    bool norms_after;         /* x becomes the norm of its sum with what a layer adds */
    bool centered;       /* norms take the mean away: layer norm; else by the root mean square */
    bool post_norms;     /* what layers add to x is normalised before */
    bool parallel;       /* attention and ffn of a layer are given the same x */
    bool rope_neox;      /* rotated pairs are (i, i + dims / 2); else (2i, 2i + 1) */
    bool row_norm;       /* q and k are normalised by themselves, whole */
    bool own_gains;      /* or head by head, each with gains of its own; else by rope_store, */
    bool late_head_norm; /* with gains that multiply what was rotated */
    bool value_norm;     /* each head of v, too, without gains */
    bool dense_too;      /* layers with experts have a dense ffn beside them, and norms of both */
    float temperature;   /* q of position p times 1 + this ln(1 + floor(p / length)); 0: not */
    uint32_t temperature_length;
    uint32_t n_next_layers; /* that the file has beyond n_layers, left out */
    uint32_t n_ropes;
    struct rope ropes[ARCH_ROPES];
    struct layer_kind *kinds; /* (n_layers) */
    struct router router;     /* of the layers with experts */
    uint32_t expert_hidden, shared_hidden;
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
    SLOT_OUTPUT_NORM_BIAS,
    SLOT_OUTPUT_BIAS,
    SLOT_POSITION_EMBD, /* added to the token's, as is the first of: */
    SLOT_TYPE_EMBD,
    SLOT_EMBD_NORM,
    SLOT_EMBD_NORM_BIAS,
    N_MODEL_SLOTS,
    /* A layer's matrices, then its stacks of them, then its vectors. A norm that is absent is not
       made. */
    SLOT_Q = 0,
    SLOT_K,
    SLOT_V,
    SLOT_O,
    SLOT_GATE,
    SLOT_UP,
    SLOT_DOWN,
    SLOT_ROUTER,
    SLOT_SHARED_LOGIT,
    SLOT_SHARED_GATE,
    SLOT_SHARED_UP,
    SLOT_SHARED_DOWN,
    SLOT_Q_A,
    SLOT_Q_B,
    N_LAYER_MATRICES,
    SLOT_EXPERT_GATE = N_LAYER_MATRICES, /* a matrix for each expert */
    SLOT_EXPERT_UP,
    SLOT_EXPERT_DOWN,
    SLOT_K_B, /* a matrix for each head */
    SLOT_V_B,
    END_LAYER_STACKS,
    SLOT_ATTN_NORM = END_LAYER_STACKS,
    SLOT_FFN_NORM,
    SLOT_ATTN_POST, /* norms of what attention and ffn add to x, or of the sums */
    SLOT_FFN_POST,
    SLOT_ATTN_POST_BIAS,
    SLOT_FFN_POST_BIAS,
    SLOT_ATTN_NORM_BIAS,
    SLOT_FFN_NORM_BIAS,
    SLOT_O_BIAS,
    SLOT_UP_BIAS,
    SLOT_DOWN_BIAS,
    SLOT_ROUTER_BIAS,
    SLOT_CHOICE_BIAS,
    SLOT_EXPERT_GATE_BIAS,
    SLOT_EXPERT_UP_BIAS,
    SLOT_EXPERT_DOWN_BIAS,
    SLOT_SINKS,
    SLOT_ROUTER_GAIN, /* of the norm that the router has of its own */
    SLOT_EXPERT_SCALE,
    SLOT_EXPERT_NORM, /* before the experts that have a dense ffn beside them */
    SLOT_DENSE_POST,  /* of what it makes, and of what they make */
    SLOT_EXPERT_POST,
    SLOT_LAYER_SCALE, /* of x when the layer has added to it: read on the host */
    SLOT_Q_A_NORM,
    SLOT_KV_A_NORM,
    SLOT_KV_B,   /* of all heads, until it is split */
    SLOT_Q_BIAS, /* from here on parts of struct head_terms */
    SLOT_K_BIAS,
    SLOT_V_BIAS,
    SLOT_Q_NORM,
    SLOT_K_NORM,
    N_LAYER_SLOTS,
    /* Tensors of several matrices, whose rows become views in the slots above. */
    SLOT_QKV = SLOT_Q,
    SLOT_GATE_UP = SLOT_GATE,
    SLOT_EXPERT_GATE_UP = SLOT_EXPERT_GATE,
    SLOT_QKV_BIAS = SLOT_Q_BIAS,
    SLOT_KV_A = SLOT_K /* keys and values of all heads as few numbers, and the rotated key */
};

enum { ARCH_VIEWS = 10 };

struct arch; /* arch_table.h */

/* Tensors are views into the header; NULL: an absent optional one. */
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
 * or key is missing or misshapen, with names and shapes. The factors of ropes stay NULL: the
 * tensor's data is not in the header. */
llm_status arch_read(struct blueprint *b, const struct gguf *g, uint32_t n_vocab,
                     const struct alloc *alloc, struct llm_error *error);
void arch_free(struct blueprint *b);
struct head_sizes arch_heads(const struct hparams *h, uint32_t l);
/* Takes the rope factors for a context of so many tokens, where the model has two sets. */
void arch_choose_rope(struct blueprint *b, uint32_t context);
bool arch_long_rope(
    const struct blueprint *b); /* those for more than the trained context were taken */

#endif

/* model_make.h - a random model of any shape, as the bytes of a GGUF file. The same shape
 * gives the same bytes. */
#ifndef MODEL_MAKE_H
#define MODEL_MAKE_H

#include "gguf_write.h"

enum model_rope {
    MODEL_ROPE_NONE,
    MODEL_ROPE_LINEAR,
    MODEL_ROPE_YARN,
    MODEL_ROPE_LLAMA3,
    MODEL_ROPE_LONG,
    MODEL_ROPE_PART /* divisors so large that all but the first quarter of pairs stand still */
};

/* A key of the architecture. GGUF_ARRAY: a number for each layer, which grows by an eighth. */
struct model_key {
    const char *name;
    enum gguf_type type;
    double value;
};

/* The first `dense` layers have none. */
struct model_experts {
    uint32_t n, used, hidden, shared; /* shared: its hidden size, 0: there is none */
    uint32_t dense, groups, groups_used;
    uint32_t gating; /* the key's number; with it norm and scale are written, too */
    bool norm;
    float scale;
};

/* Latent attention: head_dim is that of q (rope_dims of them are rotated), n_kv_heads counts for
 * nothing. */
struct model_latent {
    uint32_t rank, q_rank; /* q_rank 0: q comes in one product */
    bool fused;            /* k_b and v_b are one tensor, as in old files */
};

struct model_shape {
    uint32_t dim, n_layers, n_heads, n_kv_heads, head_dim, hidden, vocab, context;
    uint32_t v_dim; /* of a head of v; 0: head_dim */
    /* Of layers with a window, which all but the last of each period then are: Gemma 4. */
    uint32_t window_period, window_head_dim, window_kv_heads;
    /* Formats. A matrix whose width is no multiple of a block gets one of blocks of 32 that
     * llama.cpp's quantizer takes then: Q4_0, Q5_0, Q5_1 or Q8_0. */
    enum quant_type embedding, attention, ffn, output;
    bool tied; /* no output.weight */
    bool gpt2; /* a byte-pair vocabulary instead of SentencePiece; vocab of 260 and more */
    enum model_rope rope;
    float rope_base, rope_factor;
    uint32_t rope_dims, rope_original_context; /* rope_dims 0: head_dim */
    uint64_t seed;
    const char *arch;          /* NULL: llama */
    bool bias, qk_norm, fused; /* of q, k, v; of their heads; attn_qkv and ffn_up of both */
    bool scales;               /* of embedding, residual, attention, logits */
    const char *name;          /* general.name; NULL: "random" */
    const char *layer;         /* the tensors of a layer, by the names of model_make.c; NULL: those
                                  of the architecture */
    struct model_key keys[8];  /* the last one nameless */
    struct model_experts experts;
    struct model_latent latent; /* rank 0: none */
    uint32_t next_layers;       /* that predict further tokens, after n_layers */
};

/* A small F32 model: dim 64, 2 layers, 4 heads, 2 KV heads, hidden 96, vocab 320, context 512. */
extern const struct model_shape model_shape_small;

/* splitmix64: the next of a sequence that starts with any *state. */
uint64_t model_random(uint64_t *state);
float model_uniform(uint64_t *state); /* [-1, 1) */

/* To be freed with free(). */
uint8_t *model_make(const struct model_shape *shape, size_t *size);

/* Weights are uniform in [mean - spread, mean + spread]. */
struct model_tensor {
    char name[64];
    enum quant_type type;
    uint64_t size; /* bytes */
    float mean, spread;
};

/* The same file's header alone, and its tensors in order: for files that are too large
 * for memory. Data follow at the next multiples of 32. Both to be freed with free(). Not with
 * MODEL_ROPE_LLAMA3, whose factors are no random data. */
uint8_t *model_make_header(const struct model_shape *shape, size_t *size,
                           struct model_tensor **tensors, size_t *n);

#endif

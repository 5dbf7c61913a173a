/* model_make.h - a random model of any shape, as the bytes of a GGUF file. The same shape
 * gives the same bytes. */
#ifndef MODEL_MAKE_H
#define MODEL_MAKE_H

#include "gguf.h"

enum model_rope {
    MODEL_ROPE_NONE,
    MODEL_ROPE_LINEAR,
    MODEL_ROPE_YARN,
    MODEL_ROPE_LLAMA3,
    MODEL_ROPE_LONG
};

struct model_shape {
    uint32_t dim, n_layers, n_heads, n_kv_heads, head_dim, hidden, vocab, context;
    /* Formats; the widths of the matrices must be multiples of their blocks. */
    enum quant_type embedding, attention, ffn, output;
    bool tied;          /* no output.weight */
    bool gpt2;          /* a byte-pair vocabulary instead of SentencePiece; vocab of 260 and more */
    enum model_rope rope;
    float rope_base, rope_factor;
    uint32_t rope_dims, rope_original_context; /* rope_dims 0: head_dim */
    uint64_t seed;
    const char *arch; /* NULL: llama */
    bool bias, qk_norm, fused; /* of q, k, v; of their heads; attn_qkv and ffn_up of both */
    bool scales;               /* of embedding, residual, attention, logits */
};

/* A small F32 model: dim 64, 2 layers, 4 heads, 2 KV heads, hidden 96, vocab 320, context 512. */
extern const struct model_shape model_shape_small;

/* To be freed with free(). */
uint8_t *model_make(const struct model_shape *shape, size_t *size);

#endif

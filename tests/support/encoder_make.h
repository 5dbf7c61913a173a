/* encoder_make.h - random encoders, as the bytes of GGUF files: those whose embeddings llama.cpp
 * has computed (tests/peer/make.sh). Changing one means making that data anew. */
#ifndef ENCODER_MAKE_H
#define ENCODER_MAKE_H

#include "model_make.h"

struct encoder_shape {
    const char *name, *arch;
    uint32_t n_layers, dim, n_heads, hidden;
    uint32_t pooling;  /* the key: 1 mean, 2 the first token; 0: none */
    uint32_t n_types;  /* of tokens */
    bool bias;         /* of every matrix */
    bool positions;    /* learned; else there are turns */
    bool fused;        /* q, k and v are one tensor */
    bool before;       /* norms before attention and ffn, and at the end; else after them */
    bool gated, joint; /* ffn: with a gate; in one tensor with up */
    uint32_t window;
    uint32_t experts; /* of every second layer, of which two are taken */
    float rope_base;
    uint64_t seed;
    enum quant_type type; /* of matrices */
};

enum { ENCODER_VOCAB = 300, ENCODER_CONTEXT = 256 };
extern const struct encoder_shape encoder_shapes[];
extern const uint32_t n_encoder_shapes;

/* Gemma's layers in an encoder, made by model_make. */
extern const struct model_shape encoder_gemma;

/* To be freed with free(). */
uint8_t *encoder_make(const struct encoder_shape *shape, size_t *size);

/* The ids that llama.cpp was given: so many, the first being the beginning token. */
static const uint32_t encoder_lengths[] = {1, 40, 150};
enum { ENCODER_N_TEXTS = 3 };
static inline int32_t encoder_id(uint32_t i)
{
    return i == 0 ? 1 : (int32_t)((i * 37 + 5) % ENCODER_VOCAB);
}

#endif

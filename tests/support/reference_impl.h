/* reference_impl.h - what reading a model (reference_file.c) and computing it (reference.c) share.
 */
#ifndef REFERENCE_IMPL_H
#define REFERENCE_IMPL_H

#include "reference.h"

struct layer {
    float *attn_norm, *attn_norm_bias; /* (dim); norms, biases and gate may be NULL */
    float *q, *k, *v; /* (heads * head_dim, dim), (kv_heads * head_dim, dim) twice */
    float *q_bias, *k_bias, *v_bias;
    float *q_norm, *k_norm;                /* (head_dim) each */
    float *q_row, *k_row;                  /* or of all heads together */
    float *attn_output, *attn_output_bias; /* (dim, heads * head_dim) */
    float *attn_post;                      /* (dim), of what is added to x */
    float *ffn_norm, *ffn_norm_bias;       /* (dim) */
    float *gate, *up, *down;               /* (hidden, dim) twice, (dim, hidden) */
    float *up_bias, *down_bias;
    float *ffn_post;
    float xielu[4];        /* alpha of what is below 0, alpha of what is above, beta, epsilon */
    uint32_t window;       /* 0: none */
    double *keys, *values; /* (capacity, kv_heads * head_dim) */
};

struct rope {
    uint32_t dims;
    float base, factor, attn_factor, beta_fast, beta_slow, log_multiplier;
    bool yarn;
    uint32_t original_context;
    float *divisors; /* (dims / 2), or NULL */
    float *long_divisors, *short_divisors;
    bool neox; /* pairs are half the dimensions apart */
};

enum reference_activation { SILU, GELU, RELU_SQUARED, XIELU };

/* What the architectures differ in, as their papers and published configurations have it. */
struct kin {
    const char *name;
    bool neox;
    uint32_t plain_every;
    enum reference_activation activation;
    bool centered;           /* layer norm */
    bool parallel;           /* attention and ffn of the same x */
    bool root_embedding;     /* times the root of its dimension */
    bool late_norm;          /* heads are normalised after they are rotated */
    bool logits_times;       /* the scale of logits multiplies, else it divides */
    uint32_t window, period; /* every period-th layer sees all; 0: none does */
    uint32_t window_layers;  /* windows only in models of so many layers; 0: in all */
    float window_base;       /* of the rope of layers with windows; 0: the same */
    bool window_unscaled, others_plain;
};

struct reference {
    const struct kin *kin;
    double embedding_scale, residual_scale, attention_scale, logit_scale;
    double attention_cap, logit_cap, temperature; /* 0: none */
    uint32_t dim, n_layers, n_heads, n_kv_heads, head_dim, hidden, vocab, context, window;
    float epsilon;
    bool parallel;
    struct rope rope, window_rope;
    float *embedding, *positions; /* (vocab, dim), (context, dim) or NULL */
    float *output_norm, *output_norm_bias;
    float *output, *output_bias; /* (vocab, dim), may be the embedding */
    struct layer *layers;
    uint32_t length, capacity;
    double *x, *normed, *normed2, *added, *q, *attended, *scores, *gate, *up; /* of one token */
};

void *reference_must(void *p);

#endif

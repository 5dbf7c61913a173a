/* reference_impl.h - what reading a model (reference_file.c) and computing it (reference.c) share.
 */
#ifndef REFERENCE_IMPL_H
#define REFERENCE_IMPL_H

#include "reference.h"

/* What a layer has instead of gate, up and down; NULL where it has not. */
struct reference_experts {
    float *router, *router_bias, *choice_bias;    /* (n, dim), (n) twice */
    float *gates, *ups, *downs;                   /* (n, hidden, dim) twice, (n, dim, hidden) */
    float *gates_bias, *ups_bias, *downs_bias;    /* (n, hidden) twice, (n, dim) */
    float *shared_logit;                          /* (dim) */
    float *scales;                                /* (n), of what each makes */
    float *shared_gate, *shared_up, *shared_down; /* (shared, dim) twice, (dim, shared) */
    uint32_t shared;
};

/* Latent attention (DeepSeek-V2, section 2.1); NULL where the layer has other tensors. */
struct reference_latent {
    float *q_a, *q_a_norm, *q_b; /* (q_rank, dim), (q_rank), (heads * head_dim, q_rank) */
    float *kv_a, *kv_a_norm;     /* (rank + rope dims, dim), (rank) */
    float *k_b, *v_b;            /* (heads, rank, plain dims of a head), (heads, v_dim, rank), */
    float *kv_b;                 /* or (heads, plain dims + v_dim, rank) */
};

struct layer {
    struct reference_experts experts;
    struct reference_latent latent;
    float *sinks;                      /* (heads) or NULL */
    float *attn_norm, *attn_norm_bias; /* (dim); norms, biases and gate may be NULL */
    float *q, *k,
        *v; /* (heads * head_dim, dim), (kv_heads * head_dim, dim), (kv_heads * v_dim, dim) */
    float *q_bias, *k_bias, *v_bias;
    float *q_norm, *k_norm;                /* (head_dim) each */
    float *q_row, *k_row;                  /* or of all heads together */
    float *q_heads, *k_heads;              /* or of each head its own, (heads, head_dim) */
    float *attn_output, *attn_output_bias; /* (dim, heads * v_dim) */
    float *attn_post;                      /* (dim), of what is added to x */
    float *ffn_norm, *ffn_norm_bias;       /* (dim) */
    float *gate, *up, *down;               /* (hidden, dim) twice, (dim, hidden) */
    float *up_bias, *down_bias;
    float *ffn_post;
    float xielu[4];  /* alpha of what is below 0, alpha of what is above, beta, epsilon */
    uint32_t window; /* 0: none */
    uint32_t n_kv_heads, head_dim, v_dim;
    float scale;                                                 /* of x behind the layer */
    float *expert_norm, *dense_post, *expert_post, *router_gain; /* (dim) each, Gemma 4 */
    double *keys, *values; /* (capacity, kv_heads * head_dim), (capacity, kv_heads * v_dim) */
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
    enum { GATE_SOFTMAX = 1, GATE_SIGMOID, GATE_CHOSEN } gating; /* the router's, by its key */
    bool normed_weights, clamped;
    bool named_norm; /* the norm before the ffn is named after the attention */
    bool gemma4;     /* scores are not scaled, v has a norm, ... */
    bool latent;     /* k and v are made of few numbers that all heads share */
};

struct reference {
    const struct kin *kin;
    double embedding_scale, residual_scale, attention_scale, logit_scale;
    double attention_cap, logit_cap, temperature; /* 0: none */
    uint32_t dim, n_layers, n_heads, n_kv_heads, hidden, vocab, context, window, period;
    uint32_t head_dim, v_dim; /* the most of any layer */
    uint32_t rank, q_rank;    /* of latent attention, else 0 */
    float epsilon;
    bool parallel;
    struct rope rope, window_rope;
    uint32_t n_experts, n_used, expert_hidden, n_groups, groups_used, gating;
    bool normed_weights;
    double weights_scale;
    float *embedding, *positions; /* (vocab, dim), (context, dim) or NULL */
    float *output_norm, *output_norm_bias;
    float *output, *output_bias; /* (vocab, dim), may be the embedding */
    struct layer *layers;
    uint32_t length, capacity;
    double *x, *normed, *normed2, *added, *q, *attended, *scores, *gate, *up; /* of one token */
};

void *reference_must(void *p);
const char *reference_key(const struct reference *r, char out[128], const char *name);
/* Rows of all further dimensions; NULL where it is missing or of another shape. */
float *reference_weights(const struct gguf *g, const uint8_t *data, const char *name, uint64_t cols,
                         uint64_t rows);
void reference_multiply(const float *w, const double *x, double *out, size_t rows, size_t cols);
void reference_add(double *x, const float *addend, size_t n);
void reference_softmax(double *x, size_t n);
/* By the root mean square, or centered by the standard deviation. */
void reference_norm(const struct reference *r, const double *x, const float *weight,
                    const float *bias, double *out, size_t n);
/* Turns the first dimensions of each head. */
void reference_rotate(const struct rope *p, double *x, uint32_t n_heads, uint32_t head_dim,
                      uint32_t position);

/* reference_latent.c */
llm_status reference_read_latent(struct reference *r, const struct gguf *g,
                                 struct llm_error *error);
/* The scale of attention, and what of the rope's size is left. */
void reference_scale_latent(struct reference *r);
llm_status reference_read_latent_layer(const struct reference *r, struct reference_latent *a,
                                       const struct gguf *g, const uint8_t *data, uint32_t l,
                                       struct llm_error *error);
void reference_free_latent(struct reference_latent *a);
/* r->q, and the position's key and value, of all heads. */
void reference_make_latent(struct reference *r, const struct layer *y, const double *in,
                           uint32_t position, double *key, double *value);

/* reference_experts.c */
llm_status reference_read_router(struct reference *r, const struct gguf *g,
                                 struct llm_error *error);
void reference_read_experts(const struct reference *r, struct reference_experts *e,
                            const struct gguf *g, const uint8_t *data, uint32_t l);
void reference_free_experts(struct reference_experts *e);
/* r->added = the sum of what the chosen ones make of in; the router is given `by` */
void reference_choose_experts(struct reference *r, const struct reference_experts *e,
                              const double *by, const double *in);

#endif

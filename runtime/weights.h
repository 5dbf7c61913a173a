/* weights.h - the tensors of a model on the device: sizes first, then streamed from the source and
 * repacked on the way. */
#ifndef WEIGHTS_H
#define WEIGHTS_H

#include "arch.h"
#include "ops.h"
#include "ops_experts.h"
#include "source.h"

/* In layers that have a router; the shared ones may be without a buffer. */
struct expert_weights {
    struct weight router, shared_logit; /* (n_experts, dim), (1, dim) */
    struct router_terms terms;
    struct experts gate, up, down;
    struct gpu_range gain, norm, post, dense_post; /* with a dense ffn beside them: experts.c */
    struct weight shared_gate, shared_up, shared_down;
};

/* Of latent attention, beside qkv, which has the compressed k and v, and q unless q_a has a buffer.
 */
struct latent_weights {
    struct weight q_a, q_b;          /* (q_rank, dim), (heads * key, q_rank) */
    struct gpu_range q_norm, k_norm; /* of what q_a makes, and of the compressed k and v */
    struct experts k_b, v_b;         /* of each head: (rank, key - rotated), (value, rank) */
};

/* Q, K and V lie in one matrix where their types agree, so that one dispatch computes them: n_qkv
 * of 1 to 3 matrices. */
struct layer_weights {
    /* Norms before attention and ffn, and of what they add; without a buffer where there is none.
     */
    struct gpu_range attn_norm, attn_norm_bias, attn_post, attn_post_bias;
    struct gpu_range ffn_norm, ffn_norm_bias, ffn_post, ffn_post_bias;
    struct gpu_range q_norm, k_norm; /* of whole rows */
    struct head_terms terms;         /* where bias or norm is set */
    struct weight qkv[3];
    uint32_t qkv_at[3]; /* float offset of their results in a row of the qkv buffer */
    uint32_t n_qkv;
    struct weight o, gate, up, down; /* gate may be without a buffer, too */
    struct expert_weights experts;   /* instead of these three (or besides: hparams.dense_too)
                                        where the router has a buffer */
    struct gpu_range sinks;
    struct latent_weights latent;
    float scale; /* of x when all has been added to it */
};

struct weights {
    struct weight embed, output;    /* output may be embed itself */
    struct weight positions, types; /* learned ones, or without a buffer */
    struct gpu_range embed_norm, embed_norm_bias, output_norm, output_norm_bias;
    struct layer_weights *layers;
    struct gpu_buffer *buffers;
    uint32_t n_layers, n_buffers, max_buffers;
    struct gpu_buffer vectors; /* all norm gains and biases */
    uint64_t vectors_used;
    float *rope_factors; /* (dims / 2) of the first rope, or NULL */
    uint32_t n_rope_factors;
    struct gpu_device *gpu;
    const struct alloc *alloc;
};

/* Bytes that all will take, n_host of the layers excluded. */
uint64_t weights_size(const struct blueprint *b, const struct gpu_device *gpu,
                      uint32_t n_host_layers);

/* progress answers LLM_OK or what to end with. The last n_host_layers layers live in host memory.
 */
typedef llm_status (*weights_progress)(void *user, double fraction, struct llm_error *error);
llm_status weights_load(struct weights *w, const struct blueprint *b, const struct source *source,
                        struct gpu_device *gpu, uint32_t n_host_layers, weights_progress progress,
                        void *user, const struct alloc *alloc, struct llm_error *error);
void weights_free(struct weights *w);

/* Floats of a row of the qkv buffer in layer l, and where k and v begin (q begins at 0). With
 * latent attention v is where q lies before k_b is absorbed: heads of h.ranks.key dimensions. */
void weights_qkv_layout(const struct hparams *h, uint32_t l, uint32_t *stride, uint32_t *k,
                        uint32_t *v);

#endif

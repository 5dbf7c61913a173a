/* Latent attention as DeepSeek-V2 (arXiv:2405.04434, section 2.1) has it before anything is
 * absorbed: each head has a key and a value of its own. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "reference_impl.h"

llm_status reference_read_latent(struct reference *r, const struct gguf *g, struct llm_error *error)
{
    char full[128];
    const struct {
        const char *key;
        uint32_t *out;
    } numbers[] = {
        {"attention.kv_lora_rank", &r->rank},      {"attention.q_lora_rank", &r->q_rank},
        {"attention.value_length", &r->v_dim},     {"attention.key_length_mla", &r->head_dim},
        {"attention.value_length_mla", &r->v_dim},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        TRY(gguf_get_u32(g, reference_key(r, full, numbers[i].key), numbers[i].out, error));
    r->n_kv_heads = r->n_heads;
    return r->rank ? LLM_OK : error_set(error, LLM_BAD_MODEL, "kv_lora_rank is missing");
}

/* With mscale_all_dim, of which the file has a tenth, scores grow instead of cos and sin:
 * DeepSeek's published modeling_deepseek.py. Without it llama.cpp lets both grow. */
void reference_scale_latent(struct reference *r)
{
    struct rope *p = &r->rope;
    const double grown = log((double)p->factor), all = (double)p->log_multiplier * grown;
    double size = (double)p->attn_factor * (1 + all);
    if (all == 0 || !p->yarn) size *= 1 + 0.1 * grown;
    r->attention_scale *= size * size;
    if (p->log_multiplier > 0) p->log_multiplier = 1;
}

llm_status reference_read_latent_layer(const struct reference *r, struct reference_latent *a,
                                       const struct gguf *g, const uint8_t *data, uint32_t l,
                                       struct llm_error *error)
{
    const uint64_t heads = r->n_heads, plain = r->head_dim - r->rope.dims, rank = r->rank;
    const struct {
        const char *name;
        float **out;
        uint64_t cols, rows;
    } tensors[] = {
        {"attn_q_a", &a->q_a, r->dim, r->q_rank},
        {"attn_q_a_norm", &a->q_a_norm, r->q_rank, 1},
        {"attn_q_b", &a->q_b, r->q_rank, heads * r->head_dim},
        {"attn_kv_a_mqa", &a->kv_a, r->dim, rank + r->rope.dims},
        {"attn_kv_a_norm", &a->kv_a_norm, rank, 1},
        {"attn_k_b", &a->k_b, plain, heads * rank},
        {"attn_v_b", &a->v_b, rank, heads * r->v_dim},
        {"attn_kv_b", &a->kv_b, rank, heads * (plain + r->v_dim)},
    };
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%u.%s.weight", l, tensors[i].name);
        *tensors[i].out = reference_weights(g, data, name, tensors[i].cols, tensors[i].rows);
    }
    if (!a->kv_a || !a->kv_a_norm || (!a->kv_b && (!a->k_b || !a->v_b)) ||
        (r->q_rank && (!a->q_a || !a->q_a_norm || !a->q_b)))
        return error_set(error, LLM_BAD_MODEL, "a matrix of attention is missing in layer %u", l);
    return LLM_OK;
}

void reference_free_latent(struct reference_latent *a)
{
    void *all[] = {a->q_a, a->q_a_norm, a->q_b, a->kv_a, a->kv_a_norm, a->k_b, a->v_b, a->kv_b};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static void make_q(struct reference *r, const struct layer *y, const double *in)
{
    const uint32_t heads = r->n_heads * r->head_dim;
    if (!r->q_rank) {
        reference_multiply(y->q, in, r->q, heads, r->dim);
        return;
    }
    double *low = reference_must(calloc(r->q_rank, sizeof *low));
    reference_multiply(y->latent.q_a, in, low, r->q_rank, r->dim);
    reference_norm(r, low, y->latent.q_a_norm, NULL, low, r->q_rank);
    reference_multiply(y->latent.q_b, low, r->q, heads, r->q_rank);
    free(low);
}

/* What of head h's key does not turn, and its value. */
static void make_head(const struct reference *r, const struct reference_latent *a, uint32_t h,
                      const double *latent, double *key, double *value)
{
    const size_t plain = r->head_dim - r->rope.dims, rank = r->rank, v = r->v_dim;
    if (a->kv_b) {
        const float *both = a->kv_b + h * (plain + v) * rank;
        reference_multiply(both, latent, key, plain, rank);
        reference_multiply(both + plain * rank, latent, value, v, rank);
        return;
    }
    const float *k_b = a->k_b + h * rank * plain;
    memset(key, 0, plain * sizeof *key);
    for (size_t i = 0; i < rank; i++)
        for (size_t d = 0; d < plain; d++) key[d] += (double)k_b[i * plain + d] * latent[i];
    reference_multiply(a->v_b + h * v * rank, latent, value, v, rank);
}

void reference_make_latent(struct reference *r, const struct layer *y, const double *in,
                           uint32_t position, double *key, double *value)
{
    const uint32_t turned = r->rope.dims, plain = r->head_dim - turned;
    double *latent = reference_must(calloc(r->rank + turned, sizeof *latent));
    make_q(r, y, in);
    reference_rotate(&r->rope, r->q + plain, r->n_heads, r->head_dim, position);
    reference_multiply(y->latent.kv_a, in, latent, r->rank + turned, r->dim);
    reference_norm(r, latent, y->latent.kv_a_norm, NULL, latent, r->rank);
    reference_rotate(&r->rope, latent + r->rank, 1, turned, position);
    for (uint32_t h = 0; h < r->n_heads; h++) {
        make_head(r, &y->latent, h, latent, key + h * r->head_dim, value + h * r->v_dim);
        memcpy(key + h * r->head_dim + plain, latent + r->rank, turned * sizeof *key);
    }
    free(latent);
}

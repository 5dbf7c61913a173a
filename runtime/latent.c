#include "latent.h"

#include "forward.h"
#include "gpu_error.h"

struct sizes {
    uint64_t low, values;
};

static struct sizes sizes_of(const struct hparams *h, uint32_t n_rows)
{
    const uint64_t row = n_rows * sizeof(float);
    if (!h->latent) return (struct sizes){0};
    return (struct sizes){row * ops_stride(h->ranks.q),
                          row * ops_stride(h->n_heads * h->ranks.value)};
}

uint64_t latent_scratch_size(const struct hparams *h, uint32_t n_rows)
{
    const struct sizes n = sizes_of(h, n_rows);
    return n.low + n.values;
}

llm_status latent_open(struct latent_scratch *s, struct gpu_device *gpu, const struct hparams *h,
                       uint32_t n_rows, struct llm_error *error)
{
    const struct sizes n = sizes_of(h, n_rows);
    if (n.low)
        TRY_GPU(gpu_buffer_create(gpu, &s->low, n.low, GPU_MEMORY_DEVICE, &gpu_error_), error);
    if (n.values)
        TRY_GPU(gpu_buffer_create(gpu, &s->values, n.values, GPU_MEMORY_DEVICE, &gpu_error_),
                error);
    return LLM_OK;
}

void latent_clear(const struct latent_scratch *s, struct gpu_commands *c)
{
    if (s->low.size) gpu_commands_fill(c, &s->low, 0, s->low.size, 0);
    if (s->values.size) gpu_commands_fill(c, &s->values, 0, s->values.size, 0);
}

void latent_free(struct latent_scratch *s, struct gpu_device *gpu)
{
    gpu_buffer_free(gpu, &s->low);
    gpu_buffer_free(gpu, &s->values);
}

/* ---- recording ---- */

/* q of the heads, before anything is absorbed. */
static llm_status record_q(struct forward *f, struct gpu_commands *c,
                           const struct latent_weights *w, const struct attention_shape *s,
                           uint32_t n, struct llm_error *error)
{
    const struct gpu_buffer *low = &f->latent.low;
    enum values values = ops_values(f->ops, &w->q_b);
    if (values == VALUES_INT8) values = VALUES_F32; /* bytes would overwrite what is read */
    const struct norm norm = {
        .gain = &w->q_norm, .out = low, .values = values, .eps = f->h.norm_eps};
    TRY(ops_norm(f->ops, c, low, &norm, w->q_a.rows, &f->step, false, n, error));
    gpu_commands_barrier(c);
    return ops_matrix(f->ops, c, &w->q_b, low, values, &f->qkv, s->stride, s->v, false, n, error);
}

llm_status latent_record_qk(struct forward *f, struct gpu_commands *c, uint32_t l,
                            const struct gpu_buffer *rows, enum values values, uint32_t n,
                            struct llm_error *error)
{
    const struct latent_weights *w = &f->weights->layers[l].latent;
    const struct attention_shape shape = forward_shape(f, l), *s = &shape;
    const struct norm norm = {
        .gain = &w->k_norm, .out = &f->qkv, .eps = f->h.norm_eps, .stride = s->stride, .at = s->k};
    const struct parts q = {&f->qkv, s->stride, s->v, f->h.ranks.key},
                       absorbed = {&f->qkv, s->stride, s->q, s->head_dim};
    if (w->q_a.buffer)
        TRY(ops_matrix(f->ops, c, &w->q_a, rows, values, &f->latent.low, ops_stride(w->q_a.rows), 0,
                       false, n, error));
    gpu_commands_barrier(c);
    TRY(ops_norm(f->ops, c, &f->qkv, &norm, s->v_dim, &f->step, false, n, error));
    if (w->q_a.buffer) TRY(record_q(f, c, w, s, n, error));
    gpu_commands_barrier(c);
    return ops_experts_all(f->ops, c, &w->k_b, &q, &absorbed, n, error);
}

llm_status latent_record_values(struct forward *f, struct gpu_commands *c, uint32_t l, uint32_t n,
                                struct llm_error *error)
{
    const uint32_t heads = f->h.n_heads, rank = f->h.v_dim, value = f->h.ranks.value;
    const struct parts attended = {&f->attended, ops_stride(heads * rank), 0, rank},
                       values = {&f->latent.values, ops_stride(heads * value), 0, value};
    return ops_experts_all(f->ops, c, &f->weights->layers[l].latent.v_b, &attended, &values, n,
                           error);
}

#include "experts.h"

#include "forward.h"
#include "gpu_error.h"

struct sizes {
    uint64_t logits, chosen, order, hidden, made;
};

static struct sizes sizes_of(const struct hparams *h, uint32_t n_rows)
{
    const struct router *r = &h->router;
    const uint64_t rows = n_rows * sizeof(float), slots = ops_router_slots(r);
    if (r->n_experts == 0) return (struct sizes){0};
    return (struct sizes){
        .logits = rows * ops_router_stride(r),
        .chosen = ops_chosen_size(r, n_rows),
        .order = ops_order_size(r, n_rows),
        .hidden = rows * slots * ops_stride(h->expert_hidden),
        .made = rows * slots * ops_stride(h->dim),
    };
}

uint64_t experts_scratch_size(const struct hparams *h, uint32_t n_rows)
{
    const struct sizes n = sizes_of(h, n_rows);
    return n.logits + n.chosen + n.order + n.hidden + n.made;
}

llm_status experts_open(struct expert_scratch *s, struct gpu_device *gpu, const struct hparams *h,
                        uint32_t n_rows, struct llm_error *error)
{
    const struct sizes n = sizes_of(h, n_rows);
    const struct {
        struct gpu_buffer *buffer;
        uint64_t size;
    } wanted[] = {
        {&s->logits, n.logits}, {&s->chosen, n.chosen}, {&s->order, n.order},
        {&s->hidden, n.hidden}, {&s->made, n.made},
    };
    if (h->router.n_experts == 0) return LLM_OK;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        TRY_GPU(gpu_buffer_create(gpu, wanted[i].buffer, wanted[i].size, GPU_MEMORY_DEVICE,
                                  &gpu_error_),
                error);
    return LLM_OK;
}

void experts_clear(const struct expert_scratch *s, struct gpu_commands *c)
{
    const struct gpu_buffer *const all[] = {&s->hidden, &s->made};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (all[i]->size) gpu_commands_fill(c, all[i], 0, all[i]->size, 0);
    }
}

void experts_free(struct expert_scratch *s, struct gpu_device *gpu)
{
    struct gpu_buffer *const all[] = {&s->logits, &s->chosen, &s->order, &s->hidden, &s->made};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) gpu_buffer_free(gpu, all[i]);
}

/* ---- recording ---- */

/* Which experts the rows take. */
static llm_status record_choice(struct forward *f, struct gpu_commands *c,
                                const struct expert_weights *w, const struct pairs *p,
                                const struct gpu_buffer *rows, struct llm_error *error)
{
    const struct router *r = &f->h.router;
    const struct gpu_buffer *logits = &f->experts.logits;
    const uint32_t stride = ops_router_stride(r);
    TRY(ops_matrix(f->ops, c, &w->router, rows, VALUES_F32, logits, stride, 0, false, p->n_rows,
                   error));
    gpu_commands_barrier(c);
    if (r->shared == SHARED_GATED) {
        TRY(ops_matrix(f->ops, c, &w->shared_logit, rows, VALUES_F32, logits, stride,
                       ops_stride(r->n_experts), false, p->n_rows, error));
        gpu_commands_barrier(c);
    }
    TRY(ops_route(f->ops, c, r, &w->terms, &f->step, logits, p, error));
    return ops_order(f->ops, c, p, error);
}

/* The shared expert is an ordinary ffn, whose result takes the last slot of each row. */
static llm_status record_shared_up(struct forward *f, struct gpu_commands *c,
                                   const struct expert_weights *w, const struct activation *a,
                                   const struct gpu_buffer *rows, uint32_t n,
                                   struct llm_error *error)
{
    if (f->h.router.shared == SHARED_NONE) return LLM_OK;
    return ops_gate_up(f->ops, c, &w->shared_gate, &w->shared_up, a, rows, VALUES_F32, &f->hidden,
                       VALUES_F32, n, error);
}

static llm_status record_shared_down(struct forward *f, struct gpu_commands *c,
                                     const struct expert_weights *w, const struct pairs *p,
                                     struct llm_error *error)
{
    const uint32_t stride = ops_stride(f->h.dim);
    if (f->h.router.shared == SHARED_NONE) return LLM_OK;
    gpu_commands_barrier(c); /* into the buffer that the experts write to */
    return ops_matrix(f->ops, c, &w->shared_down, &f->hidden, VALUES_F32, &f->experts.made,
                      p->slots * stride, p->n_used * stride, false, p->n_rows, error);
}

static struct pairs pairs_of(const struct forward *f, uint32_t n_rows)
{
    const struct router *r = &f->h.router;
    return (struct pairs){
        .chosen = &f->experts.chosen,
        .order = &f->experts.order,
        .n_rows = n_rows,
        .n_experts = r->n_experts,
        .n_used = r->n_used,
        .slots = ops_router_slots(r),
    };
}

llm_status experts_record_choice(struct forward *f, struct gpu_commands *c, uint32_t l,
                                 const struct gpu_buffer *rows, uint32_t n_rows,
                                 struct llm_error *error)
{
    const struct pairs p = pairs_of(f, n_rows);
    return record_choice(f, c, &f->weights->layers[l].experts, &p, rows, error);
}

llm_status experts_record_sum(struct forward *f, struct gpu_commands *c, uint32_t l,
                              const struct gpu_buffer *rows, const struct gpu_buffer *sum,
                              uint32_t n_rows, struct llm_error *error)
{
    const struct expert_weights *w = &f->weights->layers[l].experts;
    const struct activation *a = &f->h.kinds[l].activation;
    const struct pairs p = pairs_of(f, n_rows);
    TRY(record_shared_up(f, c, w, a, rows, n_rows, error));
    if (w->gate.one.buffer)
        TRY(ops_experts_gate_up(f->ops, c, &w->gate, &w->up, a, &p, rows, &f->experts.hidden,
                                error));
    else TRY(ops_experts_up(f->ops, c, &w->up, a, &p, rows, &f->experts.hidden, error));
    gpu_commands_barrier(c);
    TRY(ops_experts_down(f->ops, c, &w->down, &p, &f->experts.hidden, &f->experts.made, error));
    TRY(record_shared_down(f, c, w, &p, error));
    gpu_commands_barrier(c);
    return ops_combine(f->ops, c, &p, &f->experts.made, sum, f->h.dim, error);
}

#include "forward.h"

#include <stddef.h>
#include <string.h>

#include "forward_impl.h"
#include "gpu_error.h"
#include "kernels.h"

/* ---- sizes ---- */

static struct attention_shape shape_of(const struct hparams *h, uint32_t l, uint32_t kv)
{
    const struct head_sizes heads = arch_heads(h, l);
    const int rope = h->kinds[l].rope;
    struct attention_shape s = {
        .n_heads = h->n_heads,
        .n_kv_heads = heads.n_kv_heads,
        .head_dim = heads.head_dim,
        .v_dim = heads.v_dim,
        .latent = h->latent,
        .rope_at = h->rope_at,
        .rope_dim = rope == NO_ROPE ? 0 : h->ropes[rope].dims,
        .rope = rope == NO_ROPE ? 0 : (uint32_t)rope,
        .rope_neox = h->rope_neox,
        .kv = kv,
        .scale = h->attention_scale,
        .window = h->kinds[l].window,
        .softcap = h->attention_softcap,
        .q_scaled = h->temperature != 0,
    };
    weights_qkv_layout(h, l, &s.stride, &s.k, &s.v);
    if (h->latent) {
        s.turned = s.v + h->ranks.key - s.rope_dim;
        s.turned_each = h->ranks.key;
    }
    return s;
}

struct attention_shape forward_shape(const struct forward *f, uint32_t l)
{
    return shape_of(&f->h, l, f->kv_type);
}

/* Of which every layer's buffers find room in those of the others. */
static struct attention_shape widest_shape(const struct hparams *h, uint32_t kv)
{
    struct attention_shape widest = shape_of(h, 0, kv);
    for (uint32_t l = 1; l < h->n_layers; l++) {
        const struct attention_shape s = shape_of(h, l, kv);
        if (s.stride > widest.stride) widest.stride = s.stride;
        if (s.v_dim > widest.v_dim) widest.v_dim = s.v_dim;
    }
    return widest;
}

/* A step of an encoder takes a whole text. One of a decoder takes as many rows as have their
 * partial results of attention in one binding. */
static uint32_t max_rows(const struct hparams *h, const struct attention_shape *s,
                         const struct forward_config *c)
{
    uint32_t n = FORWARD_MAX_ROWS;
    if (h->encoder) return ops_buckets[forward_output_bucket(c->context)];
    while (n > FORWARD_MAX_OUTPUTS && ops_partial_size(s, n, c->context) > c->binding_size) n /= 2;
    return n;
}

llm_status forward_check(const struct hparams *h, const struct forward_config *c,
                         struct llm_error *error)
{
    for (uint32_t l = 0; l < h->n_layers; l++) {
        struct attention_shape s = shape_of(h, l, c->kv);
        s.rope_dim = 0; /* rope_open says what is wrong with it */
        TRY(ops_check_attention(&s, error));
    }
    return LLM_OK;
}

static uint64_t aligned(uint64_t n)
{
    return (n + 255) / 256 * 256;
}

uint64_t forward_page_size(const struct hparams *h, uint32_t kv, uint64_t *largest)
{
    uint64_t sum = 0, most = 0;
    for (uint32_t l = 0; l < h->n_layers; l++) {
        const struct attention_shape s = shape_of(h, l, kv);
        const uint64_t k = ops_k_page_size(&s), v = ops_v_page_size(&s);
        sum += k + v;
        if (k > most) most = k;
        if (v > most) most = v;
    }
    if (largest) *largest = most;
    return sum;
}

struct scratch {
    uint64_t x, behind_x, added, beside, qkv, attended, hidden, partial, tail, logits, best, groups,
        top;
};

static struct scratch scratch_sizes(const struct hparams *h, const struct attention_shape *s,
                                    const struct forward_config *c)
{
    const uint32_t n_rows = max_rows(h, s, c);
    const uint64_t row = n_rows * sizeof(float), n_outputs = h->encoder ? 0 : FORWARD_MAX_OUTPUTS;
    return (struct scratch){
        .x = row * ops_stride(h->dim),
        .behind_x = FORWARD_ROWS_BEHIND * ops_stride(h->dim) * sizeof(float),
        .added = h->post_norms ? row * ops_stride(h->dim) : 0,
        .beside = h->dense_too && h->router.n_experts ? row * ops_stride(h->dim) : 0,
        .qkv = row * s->stride,
        .attended = row * ops_stride(h->n_heads * s->v_dim),
        .hidden = row * ops_stride(h->hidden > h->shared_hidden ? h->hidden : h->shared_hidden),
        .partial = ops_partial_size(s, n_rows, c->context),
        .tail = ops_tail_size(h->n_heads * s->v_dim, h->dim, h->hidden),
        .logits = n_outputs * ops_stride(h->vocab) * sizeof(float),
        .best = n_outputs * sizeof(uint32_t),
        .groups = n_outputs * ops_top_scratch(),
        .top = n_outputs * sizeof(struct top),
    };
}

uint64_t forward_scratch_size(const struct hparams *h, const struct forward_config *c)
{
    struct attention_shape s = widest_shape(h, c->kv);
    struct scratch n = scratch_sizes(h, &s, c);
    return 3 * n.x + n.behind_x + n.added + n.beside + n.qkv + n.attended + n.hidden + n.partial +
           n.tail + 2 * n.logits + (1 + FORWARD_SLOTS) * n.best + n.groups + 2 * n.top +
           experts_scratch_size(h, max_rows(h, &s, c)) + latent_scratch_size(h, max_rows(h, &s, c));
}

/* ---- opening ---- */

static void layout_step(struct step *step, const struct hparams *h, uint32_t n_rows,
                        uint32_t max_tables)
{
    step->max_rows = n_rows;
    step->max_outputs = FORWARD_MAX_OUTPUTS;
    step->max_pages = max_tables;
    step->rope_pairs = h->temperature != 0 ? 2 : 0;
    for (uint32_t i = 0, most = 0; i < h->n_ropes; i++) {
        if (h->ropes[i].dims / 2 <= most) continue;
        step->rope_pairs += h->ropes[i].dims / 2 - most;
        most = h->ropes[i].dims / 2;
    }
    step->rows = 0;
    step->rope = aligned(step->rows + n_rows * sizeof(struct step_row));
    step->rope_size = aligned((uint64_t)n_rows * step->rope_pairs * 2 * sizeof(float));
    step->pages = step->rope + h->n_ropes * step->rope_size;
    step->outputs = aligned(step->pages + (uint64_t)max_tables * sizeof(uint32_t));
    step->tops = aligned(step->outputs + FORWARD_MAX_OUTPUTS * sizeof(uint32_t));
    step->attention = aligned(step->tops + FORWARD_MAX_OUTPUTS * sizeof(struct step_top));
}

static llm_status take_buffers(struct forward *f, const struct forward_config *c,
                               struct llm_error *error)
{
    const struct attention_shape widest = widest_shape(&f->h, c->kv);
    struct scratch n = scratch_sizes(&f->h, &widest, c);
    /* A step's rows belong to at most FORWARD_MAX_OUTPUTS sequences. */
    layout_step(&f->step, &f->h, max_rows(&f->h, &widest, c),
                FORWARD_MAX_OUTPUTS * ((f->max_positions + KV_PAGE - 1) / KV_PAGE));
    const struct {
        struct gpu_buffer *buffer;
        uint64_t size;
        enum gpu_memory memory;
    } wanted[] = {
        {&f->x, n.x + n.behind_x, GPU_MEMORY_DEVICE},
        {&f->normed, n.x, GPU_MEMORY_DEVICE},
        {&f->added, n.added, GPU_MEMORY_DEVICE},
        {&f->beside, n.beside, GPU_MEMORY_DEVICE},
        {&f->qkv, n.qkv, GPU_MEMORY_DEVICE},
        {&f->attended, n.attended, GPU_MEMORY_DEVICE},
        {&f->hidden, n.hidden, GPU_MEMORY_DEVICE},
        {&f->partial, n.partial, GPU_MEMORY_DEVICE},
        {&f->tail, n.tail, GPU_MEMORY_DEVICE},
        {&f->logits, n.logits, GPU_MEMORY_DEVICE},
        {&f->best, n.best, GPU_MEMORY_DEVICE},
        {&f->groups, n.groups, GPU_MEMORY_DEVICE},
        {&f->top, n.top, GPU_MEMORY_DEVICE},
        {&f->logits_host, n.logits, GPU_MEMORY_READBACK},
        {&f->best_host, FORWARD_SLOTS * n.best, GPU_MEMORY_READBACK},
        {&f->top_host, n.top, GPU_MEMORY_READBACK},
        {&f->states_host, n.x, GPU_MEMORY_READBACK},
        {&f->step.buffer, f->step.attention + step_attention_size(f->step.max_rows),
         GPU_MEMORY_STEP},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        if (wanted[i].size == 0) continue;
        TRY_GPU(gpu_buffer_create(f->gpu, wanted[i].buffer, wanted[i].size, wanted[i].memory,
                                  &gpu_error_),
                error);
    }
    for (uint32_t i = 0; i + 1 < FORWARD_SLOTS && !f->h.encoder; i++)
        TRY_GPU(gpu_buffer_create(f->gpu, &f->slots[i], f->step.buffer.size, GPU_MEMORY_STEP,
                                  &gpu_error_),
                error);
    TRY(experts_open(&f->experts, f->gpu, &f->h, f->step.max_rows, error));
    TRY(latent_open(&f->latent, f->gpu, &f->h, f->step.max_rows, error));
    for (uint32_t l = 0; l < f->h.n_layers; l++) {
        struct kv_layer *kv = &f->kv[l];
        const struct attention_shape s = forward_shape(f, l);
        kv->k_size = ops_k_page_size(&s);
        kv->v_size = ops_v_page_size(&s);
        kv->v_at = aligned(kv->k_size * f->n_pages);
        TRY_GPU(gpu_buffer_create(f->gpu, &kv->buffer, kv->v_at + kv->v_size * f->n_pages,
                                  GPU_MEMORY_DEVICE, &gpu_error_),
                error);
    }
    return LLM_OK;
}

/* The ends of rows must be finite for good: nothing but zeros is ever added to them. */
static llm_status clear_buffers(struct forward *f, struct llm_error *error)
{
    struct gpu_commands *c;
    TRY_GPU(gpu_commands_create(f->gpu, &c, 0, &gpu_error_), error);
    struct gpu_buffer *const all[] = {&f->x,   &f->normed,   &f->added,  &f->beside,
                                      &f->qkv, &f->attended, &f->hidden, &f->tail};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (all[i]->size) gpu_commands_fill(c, all[i], 0, all[i]->size, 0);
    }
    experts_clear(&f->experts, c);
    latent_clear(&f->latent, c);
    llm_status status = ops_run(f->gpu, c, error);
    gpu_commands_free(f->gpu, c);
    return status;
}

llm_status forward_open(struct forward *f, struct kernels *kernels, const struct hparams *h,
                        const struct weights *weights, const struct forward_config *c,
                        const struct alloc *alloc, struct llm_error *error)
{
    *f = (struct forward){.gpu = kernels->device,
                          .h = *h,
                          .weights = weights,
                          .alloc = alloc,
                          .n_pages = c->n_pages,
                          .max_positions = c->context};
    f->profile = c->profile;
    f->kv_type = c->kv;
    f->page_size = forward_page_size(h, c->kv, NULL);
    f->kv = alloc_zero(alloc, h->n_layers, sizeof *f->kv);
    if (!f->kv) return error_memory(error, "the list of caches", h->n_layers * sizeof *f->kv);
    TRY(ops_create(&f->ops, kernels, c->high, c->deterministic, alloc, error));
    for (uint32_t l = 0; l < h->n_layers; l++) {
        const struct attention_shape s = forward_shape(f, l);
        const uint32_t columns = ops_attention_columns(f->ops, &s);
        if (columns > f->columns) f->columns = columns;
    }
    TRY(take_buffers(f, c, error));
    return clear_buffers(f, error);
}

void forward_free(struct forward *f)
{
    if (!f->gpu) return;
    forward_free_plans(f);
    ops_free(f->ops);
    struct gpu_buffer *const all[] = {
        &f->x,      &f->added,   &f->beside, &f->normed,   &f->qkv,         &f->attended,
        &f->hidden, &f->partial, &f->logits, &f->best,     &f->logits_host, &f->best_host,
        &f->tail,   &f->groups,  &f->top,    &f->top_host, &f->states_host, &f->step.buffer};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) gpu_buffer_free(f->gpu, all[i]);
    for (uint32_t i = 0; i + 1 < FORWARD_SLOTS; i++) gpu_buffer_free(f->gpu, &f->slots[i]);
    experts_free(&f->experts, f->gpu);
    latent_free(&f->latent, f->gpu);
    for (uint32_t l = 0; f->kv && l < f->h.n_layers; l++) gpu_buffer_free(f->gpu, &f->kv[l].buffer);
    if (f->kv) alloc_free(f->alloc, f->kv, f->h.n_layers * sizeof *f->kv);
    memset(f, 0, sizeof *f);
}

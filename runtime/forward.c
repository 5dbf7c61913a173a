#include "forward.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "gpu_error.h"
#include "kernels.h"
#include "layer.h"
#include "os.h"

static uint32_t bucket_rows(uint32_t bucket)
{
    return ops_buckets[bucket];
}

double forward_seconds(const struct forward *f, uint32_t bucket)
{
    uint32_t b = bucket;
    while (b > 0 && f->layers[b].segment_seconds == 0) b--;
    return f->layers[b].segment_seconds * bucket_rows(bucket) / bucket_rows(b);
}

/* A layer of a prompt takes no longer, so that other sessions wait for at most so many layers. More
 * than a few rows at once are no faster where this matters. */
static const double longest_segment = 0.033;
enum { FEW_ROWS = 3 }; /* the bucket of 8 */

uint32_t forward_take(const struct forward *f, uint32_t n, uint32_t *bucket)
{
    uint32_t b = 0;
    while (ops_buckets[b] < n && ops_buckets[b] < f->step.max_rows) b++;
    if (!f->h.encoder) { /* an encoder's rows must all be in one step */
        /* A plan that would run more than a quarter empty gives way to the next smaller one. */
        while (b > 0 && n < ops_buckets[b] - ops_buckets[b] / 4) b--;
        while (b > FEW_ROWS && forward_seconds(f, b) > longest_segment) b--;
    }
    *bucket = b;
    return n < ops_buckets[b] ? n : ops_buckets[b];
}

uint32_t forward_output_bucket(uint32_t n)
{
    uint32_t b = 0;
    while (ops_buckets[b] < n) b++;
    return b;
}

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
    if (h->encoder) return bucket_rows(forward_output_bucket(c->context));
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
    uint64_t x, added, beside, qkv, attended, hidden, partial, logits, best, groups, top;
};

static struct scratch scratch_sizes(const struct hparams *h, const struct attention_shape *s,
                                    const struct forward_config *c)
{
    const uint32_t n_rows = max_rows(h, s, c);
    const uint64_t row = n_rows * sizeof(float), n_outputs = h->encoder ? 0 : FORWARD_MAX_OUTPUTS;
    return (struct scratch){
        .x = row * ops_stride(h->dim),
        .added = h->post_norms ? row * ops_stride(h->dim) : 0,
        .beside = h->dense_too && h->router.n_experts ? row * ops_stride(h->dim) : 0,
        .qkv = row * s->stride,
        .attended = row * ops_stride(h->n_heads * s->v_dim),
        .hidden = row * ops_stride(h->hidden > h->shared_hidden ? h->hidden : h->shared_hidden),
        .partial = ops_partial_size(s, n_rows, c->context),
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
    return 3 * n.x + n.added + n.beside + n.qkv + n.attended + n.hidden + n.partial + 2 * n.logits +
           (1 + FORWARD_SLOTS) * n.best + n.groups + 2 * n.top +
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
        {&f->x, n.x, GPU_MEMORY_DEVICE},
        {&f->normed, n.x, GPU_MEMORY_DEVICE},
        {&f->added, n.added, GPU_MEMORY_DEVICE},
        {&f->beside, n.beside, GPU_MEMORY_DEVICE},
        {&f->qkv, n.qkv, GPU_MEMORY_DEVICE},
        {&f->attended, n.attended, GPU_MEMORY_DEVICE},
        {&f->hidden, n.hidden, GPU_MEMORY_DEVICE},
        {&f->partial, n.partial, GPU_MEMORY_DEVICE},
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

static llm_status run_now(struct forward *f, struct gpu_commands *c, struct llm_error *error)
{
    uint64_t ticket;
    TRY_GPU(gpu_commands_end(c, &gpu_error_), error);
    TRY_GPU(gpu_submit(f->gpu, &c, 1, &ticket, &gpu_error_), error);
    TRY_GPU(gpu_wait(f->gpu, ticket, UINT64_MAX, &gpu_error_), error);
    return LLM_OK;
}

/* The ends of rows must be finite for good: nothing but zeros is ever added to them. */
static llm_status clear_buffers(struct forward *f, struct llm_error *error)
{
    struct gpu_commands *c;
    TRY_GPU(gpu_commands_create(f->gpu, &c, 0, &gpu_error_), error);
    struct gpu_buffer *const all[] = {&f->x,   &f->normed,   &f->added, &f->beside,
                                      &f->qkv, &f->attended, &f->hidden};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (all[i]->size) gpu_commands_fill(c, all[i], 0, all[i]->size, 0);
    }
    experts_clear(&f->experts, c);
    latent_clear(&f->latent, c);
    llm_status status = run_now(f, c, error);
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

static void plan_free(struct forward *f, struct plan *p)
{
    for (uint32_t i = 0; i < p->n_segments; i++) gpu_commands_free(f->gpu, p->segments[i]);
    if (p->segments) alloc_free(f->alloc, p->segments, (f->h.n_layers + 1) * sizeof *p->segments);
    *p = (struct plan){0};
}

void forward_free(struct forward *f)
{
    if (!f->gpu) return;
    for (uint32_t i = 0; i < FORWARD_N_BUCKETS; i++) {
        plan_free(f, &f->layers[i]);
        plan_free(f, &f->heads[i]);
        gpu_commands_free(f->gpu, f->read_logits[i]);
        gpu_commands_free(f->gpu, f->read_top[i]);
        gpu_commands_free(f->gpu, f->read_states[i]);
        for (uint32_t slot = 0; slot < FORWARD_SLOTS; slot++) {
            gpu_commands_free(f->gpu, f->read_best[slot][i]);
            gpu_commands_free(f->gpu, f->follow[slot][i]);
        }
    }
    ops_free(f->ops);
    struct gpu_buffer *const all[] = {
        &f->x,      &f->added,   &f->beside,   &f->normed,      &f->qkv,         &f->attended,
        &f->hidden, &f->partial, &f->logits,   &f->best,        &f->logits_host, &f->best_host,
        &f->groups, &f->top,     &f->top_host, &f->states_host, &f->step.buffer};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) gpu_buffer_free(f->gpu, all[i]);
    for (uint32_t i = 0; i + 1 < FORWARD_SLOTS; i++) gpu_buffer_free(f->gpu, &f->slots[i]);
    experts_free(&f->experts, f->gpu);
    latent_free(&f->latent, f->gpu);
    for (uint32_t l = 0; f->kv && l < f->h.n_layers; l++) gpu_buffer_free(f->gpu, &f->kv[l].buffer);
    if (f->kv) alloc_free(f->alloc, f->kv, f->h.n_layers * sizeof *f->kv);
    memset(f, 0, sizeof *f);
}

/* ---- recording ---- */

/* Where a slot's best tokens lie. */
static uint32_t best_at(uint32_t slot, uint32_t output)
{
    return slot * FORWARD_MAX_OUTPUTS + output;
}

static llm_status new_segment(struct forward *f, struct plan *p, struct llm_error *error)
{
    if (!p->segments) p->segments = alloc_zero(f->alloc, f->h.n_layers + 1, sizeof *p->segments);
    if (!p->segments)
        return error_memory(error, "a plan", (f->h.n_layers + 1) * sizeof *p->segments);
    const uint32_t flags = GPU_COMMANDS_AGAIN | (f->profile ? GPU_COMMANDS_TIMED : 0u);
    TRY_GPU(gpu_commands_create(f->gpu, &p->segments[p->n_segments], flags, &gpu_error_), error);
    p->n_segments++;
    return LLM_OK;
}

static llm_status record_layers(struct forward *f, uint32_t bucket, struct llm_error *error)
{
    struct plan *p = &f->layers[bucket];
    for (uint32_t l = 0; l < f->h.n_layers; l++) {
        TRY(new_segment(f, p, error));
        TRY(layer_record(f, p->segments[l], l, bucket_rows(bucket), error));
        TRY_GPU(gpu_commands_end(p->segments[l], &gpu_error_), error);
    }
    return LLM_OK;
}

static llm_status record_head(struct forward *f, uint32_t bucket, struct llm_error *error)
{
    struct plan *p = &f->heads[bucket];
    uint32_t n = bucket_rows(bucket);
    TRY(new_segment(f, p, error));
    struct gpu_commands *c = p->segments[0];
    TRY(layer_record_head(f, c, n, error));
    TRY_GPU(gpu_commands_end(c, &gpu_error_), error);
    return LLM_OK;
}

static llm_status record_read_logits(struct forward *f, uint32_t bucket, struct llm_error *error)
{
    TRY_GPU(gpu_commands_create(f->gpu, &f->read_logits[bucket], 0, &gpu_error_), error);
    struct gpu_commands *c = f->read_logits[bucket];
    gpu_commands_barrier(c);
    gpu_commands_copy(c, &f->logits, 0, &f->logits_host, 0,
                      (uint64_t)bucket_rows(bucket) * ops_stride(f->h.vocab) * sizeof(float));
    TRY_GPU(gpu_commands_end(c, &gpu_error_), error);
    return LLM_OK;
}

static llm_status record_read_top(struct forward *f, uint32_t bucket, struct llm_error *error)
{
    const uint32_t n = bucket_rows(bucket);
    TRY_GPU(gpu_commands_create(f->gpu, &f->read_top[bucket], 0, &gpu_error_), error);
    struct gpu_commands *c = f->read_top[bucket];
    gpu_commands_barrier(c);
    TRY(ops_top(f->ops, c, &f->logits, f->h.vocab, &f->step, &f->groups, &f->top, n, error));
    gpu_commands_barrier(c);
    gpu_commands_copy(c, &f->top, 0, &f->top_host, 0, n * sizeof(struct top));
    TRY_GPU(gpu_commands_end(c, &gpu_error_), error);
    return LLM_OK;
}

static llm_status record_read_best(struct forward *f, uint32_t slot, uint32_t bucket,
                                   struct llm_error *error)
{
    TRY_GPU(gpu_commands_create(f->gpu, &f->read_best[slot][bucket], 0, &gpu_error_), error);
    struct gpu_commands *c = f->read_best[slot][bucket];
    const uint32_t n = bucket_rows(bucket);
    TRY(ops_argmax(f->ops, c, &f->logits, f->h.vocab, &f->best, n, error));
    gpu_commands_barrier(c);
    gpu_commands_copy(c, &f->best, 0, &f->best_host, best_at(slot, 0) * sizeof(uint32_t),
                      n * sizeof(uint32_t));
    TRY_GPU(gpu_commands_end(c, &gpu_error_), error);
    return LLM_OK;
}

/* A step that follows another one: what its slot says of its rows, and the best tokens of the other
 * one as theirs. */
static llm_status record_follow(struct forward *f, uint32_t slot, uint32_t bucket,
                                struct llm_error *error)
{
    const struct step *s = &f->step;
    const struct gpu_buffer *from = &f->slots[slot - 1];
    const uint64_t n = bucket_rows(bucket), pairs = 2 * sizeof(float);
    TRY_GPU(gpu_commands_create(f->gpu, &f->follow[slot][bucket], 0, &gpu_error_), error);
    struct gpu_commands *c = f->follow[slot][bucket];
    const struct {
        uint64_t at, size;
    } parts[] = {
        {s->rows, n * sizeof(struct step_row)},
        {s->pages, n * s->max_pages / s->max_outputs * sizeof(uint32_t)},
        {s->outputs, n * sizeof(uint32_t)},
        {s->attention, step_attention_size(s->max_rows)},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        gpu_commands_copy(c, from, parts[i].at, &s->buffer, parts[i].at, parts[i].size);
    for (uint32_t i = 0; i < f->h.n_ropes; i++) {
        const uint64_t at = s->rope + i * s->rope_size;
        gpu_commands_copy(c, from, at, &s->buffer, at, n * s->rope_pairs * pairs);
    }
    gpu_commands_barrier(c);
    for (uint32_t i = 0; i < n; i++)
        gpu_commands_copy(c, &f->best, i * sizeof(uint32_t), &s->buffer,
                          s->rows + i * sizeof(struct step_row) + offsetof(struct step_row, token),
                          sizeof(uint32_t));
    TRY_GPU(gpu_commands_end(c, &gpu_error_), error);
    return LLM_OK;
}

static llm_status record_slots(struct forward *f, uint32_t bucket, struct llm_error *error)
{
    for (uint32_t slot = 0; slot < FORWARD_SLOTS; slot++) {
        if (!f->read_best[slot][bucket]) TRY(record_read_best(f, slot, bucket, error));
        if (slot && !f->follow[slot][bucket]) TRY(record_follow(f, slot, bucket, error));
    }
    return LLM_OK;
}

static llm_status record_states(struct forward *f, uint32_t bucket, struct llm_error *error)
{
    uint32_t n = bucket_rows(bucket);
    TRY_GPU(gpu_commands_create(f->gpu, &f->read_states[bucket], 0, &gpu_error_), error);
    struct gpu_commands *c = f->read_states[bucket];
    const struct gpu_buffer *states;
    TRY(layer_record_states(f, c, n, &states, error));
    gpu_commands_copy(c, states, 0, &f->states_host, 0,
                      (uint64_t)n * ops_stride(f->h.dim) * sizeof(float));
    TRY_GPU(gpu_commands_end(c, &gpu_error_), error);
    return LLM_OK;
}

llm_status forward_record_plan(struct forward *f, uint32_t bucket, struct llm_error *error)
{
    if (!f->layers[bucket].n_segments) TRY(record_layers(f, bucket, error));
    if (!f->h.encoder && ops_buckets[bucket] <= FORWARD_MAX_OUTPUTS) {
        if (!f->heads[bucket].n_segments) TRY(record_head(f, bucket, error));
        if (!f->read_logits[bucket]) TRY(record_read_logits(f, bucket, error));
        if (!f->read_top[bucket]) TRY(record_read_top(f, bucket, error));
        TRY(record_slots(f, bucket, error));
    }
    if (!f->read_states[bucket]) TRY(record_states(f, bucket, error));
    return LLM_OK;
}

llm_status forward_record(struct forward *f, struct llm_error *error)
{
    for (uint32_t b = 0; ops_buckets[b] && ops_buckets[b] <= f->step.max_rows; b++)
        TRY(forward_record_plan(f, b, error));
    return LLM_OK;
}

/* ---- a step ---- */

static const struct gpu_buffer *slot_buffer(const struct forward *f, uint32_t slot)
{
    return slot ? &f->slots[slot - 1] : &f->step.buffer;
}

static void *step_at(const struct forward *f, uint64_t offset)
{
    return (char *)slot_buffer(f, f->slot)->map + offset;
}

void forward_begin(struct forward *f, uint32_t bucket, uint32_t slot)
{
    f->slot = slot;
    struct step_row *rows = step_at(f, f->step.rows);
    for (uint32_t i = 0; i < bucket_rows(bucket); i++)
        rows[i] = (struct step_row){0, STEP_NO_ROW, 0, 0};
}

static float temperature_at(const struct hparams *h, uint32_t position)
{
    return (float)(1 + (double)h->temperature * log1p(position / h->temperature_length));
}

void forward_set_row(struct forward *f, uint32_t row, uint32_t token, uint32_t position,
                     uint32_t table, uint32_t last)
{
    struct step_row *rows = step_at(f, f->step.rows);
    rows[row] = (struct step_row){token, position, table, last};
    for (uint32_t i = 0; i < f->h.n_ropes; i++) {
        float *cos_sin = step_at(f, f->step.rope + i * f->step.rope_size);
        cos_sin += (size_t)row * f->step.rope_pairs * 2;
        rope_angles(&f->h.ropes[i], position, cos_sin);
        if (f->h.temperature != 0)
            cos_sin[2 * (f->step.rope_pairs - 2)] = temperature_at(&f->h, position);
    }
}

void forward_set_table(struct forward *f, uint32_t table, const struct kv_sequence *s)
{
    uint32_t *pages = step_at(f, f->step.pages);
    memcpy(pages + table, s->pages, s->n_pages * sizeof *pages);
}

uint32_t forward_max_tables(const struct forward *f)
{
    return f->step.max_pages;
}

void forward_set_outputs(struct forward *f, const uint32_t *rows, uint32_t n,
                         uint32_t output_bucket)
{
    uint32_t *outputs = step_at(f, f->step.outputs);
    for (uint32_t i = 0; i < bucket_rows(output_bucket); i++) {
        outputs[i] = rows[i < n ? i : 0];
        forward_wanted(f, i)->k = 0;
    }
}

struct step_top *forward_wanted(const struct forward *f, uint32_t output)
{
    return (struct step_top *)step_at(f, f->step.tops) + output;
}

void forward_end(struct forward *f, uint32_t bucket)
{
    struct step step = f->step;
    step.buffer = *slot_buffer(f, f->slot);
    ops_step_end(f->ops, &step, f->columns, bucket_rows(bucket));
}

uint32_t forward_best(const struct forward *f, uint32_t slot, uint32_t output)
{
    return ((const uint32_t *)f->best_host.map)[best_at(slot, output)];
}

const struct top *forward_top(const struct forward *f, uint32_t output)
{
    return (const struct top *)f->top_host.map + output;
}

const float *forward_logits(const struct forward *f, uint32_t output)
{
    return (const float *)f->logits_host.map + (size_t)output * ops_stride(f->h.vocab);
}

const float *forward_states(const struct forward *f, uint32_t row)
{
    return (const float *)f->states_host.map + (size_t)row * ops_stride(f->h.dim);
}

llm_status forward_warm(struct forward *f, struct llm_error *error)
{
    const uint32_t row = 0;
    uint64_t ticket;
    forward_begin(f, 0, 0);
    forward_set_outputs(f, &row, 1, 0);
    forward_end(f, 0);
    TRY_GPU(
        gpu_submit(f->gpu, f->layers[0].segments, f->layers[0].n_segments, &ticket, &gpu_error_),
        error);
    if (!f->h.encoder) {
        struct gpu_commands *const rest[] = {f->heads[0].segments[0], f->read_best[0][0],
                                             f->read_top[0]};
        TRY_GPU(gpu_submit(f->gpu, rest, 3, &ticket, &gpu_error_), error);
    }
    TRY_GPU(gpu_wait(f->gpu, ticket, UINT64_MAX, &gpu_error_), error);
    const double begun = os_clock();
    TRY_GPU(gpu_submit(f->gpu, f->layers[0].segments, 1, &ticket, &gpu_error_), error);
    TRY_GPU(gpu_wait(f->gpu, ticket, UINT64_MAX, &gpu_error_), error);
    f->layers[0].segment_seconds = os_clock() - begun;
    return LLM_OK;
}

/* ---- pages ---- */

/* What layer i / 2 has of a page: of K, or with i odd of V. */
struct page_part {
    struct gpu_buffer *buffer;
    uint64_t at, size;
};

static struct page_part page_part(struct forward *f, uint32_t page, uint32_t i)
{
    struct kv_layer *kv = &f->kv[i / 2];
    if (i % 2) return (struct page_part){&kv->buffer, kv->v_at + page * kv->v_size, kv->v_size};
    return (struct page_part){&kv->buffer, page * kv->k_size, kv->k_size};
}

llm_status forward_copy_pages(struct forward *f, const struct kv_copy *copies, uint32_t n,
                              struct gpu_commands **out, struct llm_error *error)
{
    TRY_GPU(gpu_commands_create(f->gpu, out, 0, &gpu_error_), error);
    gpu_commands_barrier(*out);
    for (uint32_t c = 0; c < n; c++) {
        for (uint32_t i = 0; i < 2 * f->h.n_layers; i++) {
            const struct page_part from = page_part(f, copies[c].from, i),
                                   to = page_part(f, copies[c].to, i);
            if (to.size) gpu_commands_copy(*out, from.buffer, from.at, to.buffer, to.at, to.size);
        }
    }
    TRY_GPU(gpu_commands_end(*out, &gpu_error_), error);
    return LLM_OK;
}

/* Where the host sees the cache, a page is a few copies; else it goes through a buffer of the same
 * layout. */
static void move_mapped(struct forward *f, uint32_t page, char *out, const char *in)
{
    uint64_t done = 0;
    for (uint32_t i = 0; i < 2 * f->h.n_layers; i++) {
        const struct page_part p = page_part(f, page, i);
        char *at = (char *)p.buffer->map + p.at;
        if (out) memcpy(out + done, at, p.size);
        else memcpy(at, in + done, p.size);
        done += p.size;
    }
}

llm_status forward_page_read(struct forward *f, uint32_t page, void *out, struct llm_error *error)
{
    if (f->kv[0].buffer.map) {
        move_mapped(f, page, out, NULL);
        return LLM_OK;
    }
    struct gpu_buffer host = {0};
    struct gpu_commands *c = NULL;
    TRY_GPU(gpu_buffer_create(f->gpu, &host, f->page_size, GPU_MEMORY_READBACK, &gpu_error_),
            error);
    struct gpu_error gpu_error = {{0}};
    llm_status status =
        gpu_failed(gpu_commands_create(f->gpu, &c, 0, &gpu_error), &gpu_error, error);
    if (status == LLM_OK) {
        uint64_t done = 0;
        for (uint32_t i = 0; i < 2 * f->h.n_layers; i++) {
            const struct page_part p = page_part(f, page, i);
            if (p.size) gpu_commands_copy(c, p.buffer, p.at, &host, done, p.size);
            done += p.size;
        }
        status = run_now(f, c, error);
    }
    if (status == LLM_OK) memcpy(out, host.map, f->page_size);
    gpu_commands_free(f->gpu, c);
    gpu_buffer_free(f->gpu, &host);
    return status;
}

static llm_status upload_page(struct forward *f, struct gpu_upload *u, uint32_t page,
                              const char *data, struct llm_error *error)
{
    for (uint32_t i = 0; i < 2 * f->h.n_layers; i++) {
        const struct page_part p = page_part(f, page, i);
        void *memory;
        if (p.size == 0) continue;
        TRY_GPU(gpu_upload_begin(u, p.buffer, p.at, p.size, &memory, &gpu_error_), error);
        memcpy(memory, data, p.size);
        data += p.size;
        TRY_GPU(gpu_upload_end(u, &gpu_error_), error);
    }
    TRY_GPU(gpu_upload_finish(u, &gpu_error_), error);
    return LLM_OK;
}

llm_status forward_page_write(struct forward *f, uint32_t page, const void *data,
                              struct llm_error *error)
{
    if (f->kv[0].buffer.map) {
        move_mapped(f, page, NULL, data);
        return LLM_OK;
    }
    struct gpu_upload *u = NULL;
    TRY_GPU(gpu_upload_create(f->gpu, &u, &gpu_error_), error);
    llm_status status = upload_page(f, u, page, data, error);
    gpu_upload_free(u);
    return status;
}

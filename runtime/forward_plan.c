/* The plans: recorded once, one for each number of rows, and which of them a step takes. */
#include <stddef.h>

#include "forward.h"
#include "forward_impl.h"
#include "gpu_error.h"
#include "layer.h"
#include "os.h"

double forward_seconds(const struct forward *f, uint32_t bucket)
{
    uint32_t b = bucket;
    while (b > 0 && f->layers[b].segment_seconds == 0) b--;
    return f->layers[b].segment_seconds * ops_buckets[bucket] / ops_buckets[b];
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
        TRY(layer_record(f, p->segments[l], l, ops_buckets[bucket], error));
        TRY_GPU(gpu_commands_end(p->segments[l], &gpu_error_), error);
    }
    return LLM_OK;
}

static llm_status record_head(struct forward *f, uint32_t bucket, struct llm_error *error)
{
    struct plan *p = &f->heads[bucket];
    uint32_t n = ops_buckets[bucket];
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
                      (uint64_t)ops_buckets[bucket] * ops_stride(f->h.vocab) * sizeof(float));
    TRY_GPU(gpu_commands_end(c, &gpu_error_), error);
    return LLM_OK;
}

static llm_status record_read_top(struct forward *f, uint32_t bucket, struct llm_error *error)
{
    const uint32_t n = ops_buckets[bucket];
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
    const uint32_t n = ops_buckets[bucket];
    TRY(ops_argmax(f->ops, c, &f->logits, f->h.vocab, &f->best, n, error));
    gpu_commands_barrier(c);
    gpu_commands_copy(c, &f->best, 0, &f->best_host, forward_best_at(slot, 0) * sizeof(uint32_t),
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
    const uint64_t n = ops_buckets[bucket], pairs = 2 * sizeof(float);
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
    uint32_t n = ops_buckets[bucket];
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

static void plan_free(struct forward *f, struct plan *p)
{
    for (uint32_t i = 0; i < p->n_segments; i++) gpu_commands_free(f->gpu, p->segments[i]);
    if (p->segments) alloc_free(f->alloc, p->segments, (f->h.n_layers + 1) * sizeof *p->segments);
    *p = (struct plan){0};
}

void forward_free_plans(struct forward *f)
{
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
}

/* What a step's rows are, written before it runs, and what it has computed, read afterwards. */
#include <math.h>
#include <string.h>

#include "forward.h"
#include "forward_impl.h"

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
    for (uint32_t i = 0; i < ops_buckets[bucket]; i++)
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
    for (uint32_t i = 0; i < ops_buckets[output_bucket]; i++) {
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
    ops_step_end(f->ops, &step, f->columns, ops_buckets[bucket]);
}

uint32_t forward_best(const struct forward *f, uint32_t slot, uint32_t output)
{
    return ((const uint32_t *)f->best_host.map)[forward_best_at(slot, output)];
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

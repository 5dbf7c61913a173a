/* forward.h - the transformer: computes a batch of rows in recorded plans. A row is (token,
 * sequence, position); one row decodes, eight rows are eight characters, many rows are a prompt:
 * the number of rows picks the plan, nothing else. */
#ifndef FORWARD_H
#define FORWARD_H

#include "experts.h"
#include "kv.h"
#include "latent.h"
#include "ops.h"
#include "weights.h"

/* MAX_ROWS: of a decoder. A step of an encoder has room for a whole text, of MAX_TEXT at most. */
enum {
    FORWARD_MAX_TEXT = 2048,
    FORWARD_MAX_ROWS = 128,
    FORWARD_MAX_OUTPUTS = 16,
    FORWARD_N_BUCKETS = 12,
    FORWARD_SLOTS = 5
};

/* The layers' commands for one number of rows, or the output matrix' for one number of outputs. */
struct plan {
    struct gpu_commands **segments;
    uint32_t n_segments;
    double segment_seconds; /* measured; 0 before the first run */
};

/* The cache of a layer: K pages, then from v_at on V pages, if it has any. Sizes are of one page.
 */
struct kv_layer {
    struct gpu_buffer buffer;
    uint64_t k_size, v_size, v_at;
};

struct forward {
    struct gpu_device *gpu;
    struct ops *ops;
    const struct weights *weights;
    struct hparams h;
    uint32_t kv_type; /* LLM_KV_... */
    uint32_t columns; /* the most that a layer's attention has */
    const struct alloc *alloc;

    /* The plans read `step`. Slot 0 is the very same, written by the host while nothing is in
     * flight; the others hold the data of steps that follow while one is: the device copies them.
     */
    struct step step;
    struct gpu_buffer slots[FORWARD_SLOTS - 1];
    uint32_t slot;                   /* that forward_set_... write to */
    struct gpu_buffer added, beside; /* what a layer adds to x, before its norm, and of that what
                                        experts make: (max rows, stride) f32 */
    struct gpu_buffer x, normed, qkv, attended, hidden, partial; /* (max rows, stride) f32; behind
                                                                    x: two rows for ops_tail */
    struct gpu_buffer tail;                                      /* ops_tail's */
    struct expert_scratch experts;
    struct latent_scratch latent;
    struct gpu_buffer logits, best; /* (max outputs, stride of vocab) f32; (max outputs) u32 */
    struct gpu_buffer groups, top;  /* ops_top's (max outputs) */
    struct gpu_buffer logits_host, best_host, top_host, states_host;
    struct kv_layer *kv; /* (n_layers) */
    uint32_t n_pages, max_positions;
    uint64_t page_size; /* of all layers */
    bool profile;

    struct plan layers[FORWARD_N_BUCKETS], heads[FORWARD_N_BUCKETS];
    struct gpu_commands
        *read_logits[FORWARD_N_BUCKETS], /* copies what a head has computed to logits_host */
        *read_top[FORWARD_N_BUCKETS],    /* or what is wanted of it to top_host */
        *read_best[FORWARD_SLOTS]
                  [FORWARD_N_BUCKETS],             /* or finds the best tokens of a slot's step */
        *follow[FORWARD_SLOTS][FORWARD_N_BUCKETS], /* before the layers of a slot's step: each row's
                                                      token is the best one of the last step's
                                                      output of the same number */
        *read_states[FORWARD_N_BUCKETS]; /* the norm of all rows that layers have computed, to
                                            states_host */
};

struct forward_config {
    uint32_t context, n_pages;
    uint32_t kv;           /* LLM_KV_... */
    uint64_t binding_size; /* the largest that the device can bind */
    bool high, deterministic;
    bool profile; /* timestamps round each dispatch of the plans: gpu_commands_time */
};

/* LLM_UNSUPPORTED where no kernel computes what h asks for. */
llm_status forward_check(const struct hparams *h, const struct forward_config *c,
                         struct llm_error *error);
/* Bytes on the device, computed before anything is taken. */
uint64_t forward_scratch_size(const struct hparams *h, const struct forward_config *c);
/* Of one page in all layers; largest, unless NULL: that of one layer's K or V. */
uint64_t forward_page_size(const struct hparams *h, uint32_t kv, uint64_t *largest);

llm_status forward_open(struct forward *f, struct kernels *kernels, const struct hparams *h,
                        const struct weights *weights, const struct forward_config *c,
                        const struct alloc *alloc, struct llm_error *error);
void forward_free(struct forward *f);
/* Records every plan (idempotent), so that no later call makes a pipeline. */
llm_status forward_record(struct forward *f, struct llm_error *error);
llm_status forward_record_plan(struct forward *f, uint32_t bucket,
                               struct llm_error *error); /* one of them */

/* Of a layer's attention, but for what the layer's weights say. */
struct attention_shape forward_shape(const struct forward *f, uint32_t l);

/* Runs the plans of one row: a driver that compiles at the first dispatch does so now. Waits, and
 * measures a first segment. */
llm_status forward_warm(struct forward *f, struct llm_error *error);

/* Seconds that a segment of this bucket takes: measured, or at most, from a smaller one. */
double forward_seconds(const struct forward *f, uint32_t bucket);
/* How many of n rows the next step should take, and the bucket (index) of its plan, which may have
 * more rows. */
uint32_t forward_take(const struct forward *f, uint32_t n, uint32_t *bucket);
uint32_t forward_output_bucket(uint32_t n);

/* The data of a slot's step, which is not in flight, with slot 0 nothing is. Rows that are not set
 * are padding. */
void forward_begin(struct forward *f, uint32_t bucket, uint32_t slot);
void forward_set_row(struct forward *f, uint32_t row, uint32_t token, uint32_t position,
                     uint32_t table, uint32_t last);
/* Copies a sequence's pages to the step's page tables from entry `table` on; the caller counts
 * entries. */
void forward_set_table(struct forward *f, uint32_t table, const struct kv_sequence *s);
uint32_t forward_max_tables(const struct forward *f);
void forward_set_outputs(struct forward *f, const uint32_t *rows, uint32_t n,
                         uint32_t output_bucket);
/* What read_top gives of an output, to be filled in; forward_set_outputs wants nothing of any. */
struct step_top *forward_wanted(const struct forward *f, uint32_t output);
void forward_end(struct forward *f, uint32_t bucket);

/* After read_best, read_top, or read_logits: */
uint32_t forward_best(const struct forward *f, uint32_t slot, uint32_t output);
const struct top *forward_top(const struct forward *f, uint32_t output);
const float *forward_logits(const struct forward *f, uint32_t output); /* (vocab) */
/* After read_states: what the head would be given for a row, before the scale of logits. (dim) */
const float *forward_states(const struct forward *f, uint32_t row);

/* Copies whole pages in all layers: recorded anew; the caller submits it and frees it when it has
 * run. */
llm_status forward_copy_pages(struct forward *f, const struct kv_copy *copies, uint32_t n,
                              struct gpu_commands **out, struct llm_error *error);
/* Reads page into memory (page size of all layers), or writes it. Waits; nothing may be in flight.
 */
llm_status forward_page_read(struct forward *f, uint32_t page, void *out, struct llm_error *error);
llm_status forward_page_write(struct forward *f, uint32_t page, const void *data,
                              struct llm_error *error);

#endif

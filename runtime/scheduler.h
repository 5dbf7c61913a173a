/* scheduler.h - which rows of which sessions make the next step, and the step's way through the
 * device in slices: submissions whose measured time stays under a bound, at most two of them in
 * flight, so that a poll never waits, a watchdog never fires and a cancel is honoured between
 * slices. */
#ifndef SCHEDULER_H
#define SCHEDULER_H

#include "forward.h"

/* What the computing of a session needs to know of it. */
struct rows {
    const int32_t *tokens;
    struct kv_sequence *kv; /* kv->length of the tokens are computed */
};

/* What a step has computed for a position. */
struct output {
    int32_t best;          /* the best token */
    const struct top *top; /* what the run wanted, or */
    const float *values;   /* logits, or the hidden state; neither with argmax */
};

/* Work in flight: compute the tokens of a session up to `upto`, giving outputs from position
 * `outputs_from` on. */
struct run {
    struct run *next;
    struct rows rows;
    uint32_t upto, outputs_from;
    bool argmax; /* the best token is enough: no logits */
    bool states; /* an output is a row's hidden state after the last norm, not logits */
    int32_t priority;
    /* Says what is wanted of the logits of an output, in the memory that the step will read; false:
     * all of them. NULL: all of each. */
    bool (*wants)(struct run *run, uint32_t position, struct step_top *wanted);
    /* Called by the pump for each output, in order. May raise upto, or cut the cache: outputs
     * behind the cut are not handed out. */
    void (*output)(struct run *run, uint32_t position, const struct output *output);
    /* Called once when all is computed, or with what went wrong. The run is off the queue by then.
     */
    void (*end)(struct run *run, llm_status status, const struct llm_error *error);
};

struct flight_entry {
    struct run *run; /* NULL: it was removed, nobody waits for these rows */
    uint32_t first, n, n_outputs;
    bool states; /* as its run's */
};

struct slice {
    uint64_t ticket;
    double submitted, expected;
    uint32_t n_segments;
};

struct flight {
    bool active, want_logits, want_top, want_states;
    struct flight_entry entries[FORWARD_MAX_OUTPUTS];
    bool tops[FORWARD_MAX_OUTPUTS]; /* of outputs: not all logits are wanted */
    uint32_t n_entries, n_outputs, bucket, output_bucket;
    uint32_t n_segments, next_segment;
    struct slice slices[2]; /* in flight, oldest first */
    uint32_t n_slices;
    double idle_since; /* when the device was last seen to have nothing of ours */
    struct gpu_commands *copies;
};

struct scheduler {
    struct forward *forward;
    struct kv_pool *pool;
    struct run *runs;
    struct flight flight;
    struct gpu_commands **segments; /* (n_layers + 5) of the step in flight */
    uint32_t max_segments;
    bool prompt_turn, waited;
    bool plan_was_new; /* a plan has run for the first time */
    bool all_logits;   /* for tests: no output is sampled from less */
    const struct alloc *alloc;
};

llm_status scheduler_open(struct scheduler *s, struct forward *forward, struct kv_pool *pool,
                          const struct alloc *alloc, struct llm_error *error);
void scheduler_free(struct scheduler *s); /* waits for what is in flight; runs are not ended */

void scheduler_add(struct scheduler *s, struct run *run);
bool scheduler_is_alone(const struct scheduler *s, const struct run *run);
/* Takes it off without calling end; what it has in flight is forgotten. */
void scheduler_remove(struct scheduler *s, struct run *run);

/* Never waits; true when something moved. */
bool scheduler_pump(struct scheduler *s);
bool scheduler_has_work(const struct scheduler *s);
/* Waits for the oldest slice in flight, if there is one. */
void scheduler_wait(struct scheduler *s, double seconds);
/* Until nothing is in flight; what is queued stays queued. */
void scheduler_drain(struct scheduler *s);

#endif

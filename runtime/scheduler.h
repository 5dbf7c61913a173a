/* scheduler.h - which rows of which sessions make the next step, and the steps' way through the
 * device in slices: submissions whose measured time stays under a bound, so many of them in flight
 * that a poll never waits, a watchdog never fires and a cancel is honoured between slices.
 *
 * Where all that is to be done goes on with the best tokens, steps follow each other without the
 * host: a step is submitted before the tokens of its rows are known, and the device takes them from
 * the step before. What it has computed for a session that ended in the meantime is forgotten. */
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
    int32_t best;          /* with argmax: the best token; else */
    const struct top *top; /* what the run wanted, or */
    const float *values;   /* logits, or the hidden state */
};

/* Work in flight: compute the tokens of a session up to `upto`, giving outputs from position
 * `outputs_from` on. */
struct run {
    struct run *next;
    struct rows rows;
    uint32_t upto, outputs_from;
    uint32_t
        ahead;   /* with argmax: positions below it may be computed before their tokens are known */
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

/* Who feeds the next token; BY_HOST: from all logits, whatever the options. */
enum feed { FEED_BY_SPEED, FEED_BY_HOST, FEED_BY_DEVICE };

enum { SCHEDULER_STEPS = 4, SCHEDULER_SLICES = 4 }; /* the most in flight */

/* A step on its way. */
struct flight {
    bool want_best, want_top, want_logits, want_states;
    struct flight_entry entries[FORWARD_MAX_OUTPUTS];
    bool tops[FORWARD_MAX_OUTPUTS]; /* of outputs: not all logits are wanted */
    uint32_t n_entries, n_outputs, bucket, output_bucket, slot;
    struct gpu_commands **segments; /* (max_segments) */
    uint32_t n_segments, next_segment, n_slices;
    struct gpu_commands *copies;
};

struct slice {
    struct flight *flight;
    uint64_t ticket;
    double submitted, expected;
    uint32_t n_segments;
};

struct scheduler {
    struct forward *forward;
    struct kv_pool *pool;
    struct run *runs;
    struct flight
        flights[SCHEDULER_STEPS]; /* a ring: n_flights from first_flight on, oldest first */
    uint32_t first_flight, n_flights;
    struct slice slices[SCHEDULER_SLICES]; /* in flight, oldest first */
    uint32_t n_slices;
    double idle_since;              /* when the device was last seen to have nothing of ours */
    struct gpu_commands **segments; /* of all flights */
    uint32_t max_segments;          /* of one: n_layers + 7 */
    bool prompt_turn, waited;
    bool stays_awake;    /* the device is not the host's own processors */
    bool plan_was_new;   /* a plan has run for the first time */
    enum feed feed;      /* for tests */
    uint64_t n_followed; /* steps that did not wait for the host */
    const struct alloc *alloc;
};

llm_status scheduler_open(struct scheduler *s, struct forward *forward, struct kv_pool *pool,
                          const struct alloc *alloc, struct llm_error *error);
void scheduler_free(struct scheduler *s); /* waits for what is in flight; runs are not ended */

void scheduler_add(struct scheduler *s, struct run *run);
bool scheduler_is_alone(const struct scheduler *s, const struct run *run);
/* Takes it off without calling end; what it has in flight is forgotten. */
void scheduler_remove(struct scheduler *s, struct run *run);

/* Never waits; true when something moved. Hands out the outputs of one step at most. */
bool scheduler_pump(struct scheduler *s);
/* Another step has been computed. */
bool scheduler_has_outputs(const struct scheduler *s);
bool scheduler_has_work(const struct scheduler *s);
/* Waits for the oldest slice in flight, if there is one. Not asleep if it is about to end. */
void scheduler_wait(struct scheduler *s, double seconds);
/* Until nothing is in flight; what is queued stays queued. */
void scheduler_drain(struct scheduler *s);

#endif

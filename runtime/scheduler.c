#include "scheduler.h"

#include <string.h>

#include "gpu_error.h"
#include "os.h"

/* A slice: half a frame of 60 Hz, so that two in flight fill one and a cancel is never far away. */
static const double slice_seconds = 0.008;

llm_status scheduler_open(struct scheduler *s, struct forward *forward, struct kv_pool *pool,
                          const struct alloc *alloc, struct llm_error *error)
{
    *s = (struct scheduler){
        .forward = forward, .pool = pool, .alloc = alloc, .max_segments = forward->h.n_layers + 5};
    s->segments = alloc_zero(alloc, s->max_segments, sizeof *s->segments);
    return s->segments ? LLM_OK
                       : error_memory(error, "a step", s->max_segments * sizeof *s->segments);
}

static void free_copies(struct scheduler *s)
{
    gpu_commands_free(s->forward->gpu, s->flight.copies);
    s->flight.copies = NULL;
}

void scheduler_free(struct scheduler *s)
{
    if (!s->segments) return;
    scheduler_drain(s);
    alloc_free(s->alloc, s->segments, s->max_segments * sizeof *s->segments);
    memset(s, 0, sizeof *s);
}

void scheduler_add(struct scheduler *s, struct run *run)
{
    struct run **link = &s->runs;
    while (*link) link = &(*link)->next;
    run->next = NULL;
    *link = run;
}

bool scheduler_is_alone(const struct scheduler *s, const struct run *run)
{
    return s->runs == run && !run->next;
}

static void unlink_run(struct scheduler *s, struct run *run)
{
    struct run **link = &s->runs;
    while (*link && *link != run) link = &(*link)->next;
    if (*link) *link = run->next;
}

static void forget(struct flight *f, const struct run *run)
{
    for (uint32_t i = 0; i < f->n_entries; i++) {
        if (f->entries[i].run == run) f->entries[i].run = NULL;
    }
}

void scheduler_remove(struct scheduler *s, struct run *run)
{
    unlink_run(s, run);
    forget(&s->flight, run);
}

static void end_run(struct scheduler *s, struct run *run, llm_status status,
                    const struct llm_error *error)
{
    scheduler_remove(s, run);
    run->end(run, status, error);
}

static void fail_all(struct scheduler *s, llm_status status, const struct llm_error *error)
{
    scheduler_drain(s);
    while (s->runs) end_run(s, s->runs, status, error);
}

bool scheduler_has_work(const struct scheduler *s)
{
    return s->runs != NULL || s->flight.active;
}

/* ---- choosing the rows of a step ---- */

static uint32_t remaining(const struct run *run)
{
    return run->upto - run->rows.kv->length;
}

/* The next run of the wanted kind: highest priority first, then the order of the queue. */
static struct run *best_run(const struct scheduler *s, bool prompt)
{
    struct run *best = NULL;
    for (struct run *run = s->runs; run; run = run->next) {
        bool taken = false;
        for (uint32_t i = 0; i < s->flight.n_entries; i++) taken |= s->flight.entries[i].run == run;
        if (taken || (remaining(run) > 1) != prompt) continue;
        if (!best || run->priority > best->priority) best = run;
    }
    return best;
}

static uint32_t outputs_in(const struct run *run, uint32_t first, uint32_t n)
{
    if (run->outputs_from >= first + n) return 0;
    return run->outputs_from > first ? first + n - run->outputs_from : n;
}

/* Rows of this run for a step with this many entries: one for a decoding run, a plan's fill for a
 * prompt. */
static uint32_t rows_of(const struct forward *f, const struct run *run, uint32_t *bucket)
{
    uint32_t first = run->rows.kv->length, n = forward_take(f, remaining(run), bucket);
    if (run->states || outputs_in(run, first, n) <= FORWARD_MAX_OUTPUTS) return n;
    uint32_t most =
        (run->outputs_from > first ? run->outputs_from - first : 0) + FORWARD_MAX_OUTPUTS;
    return forward_take(f, most < n ? most : n, bucket);
}

/* Takes pages for the rows; a run for which there are none ends. */
static bool add_entry(struct scheduler *s, struct run *run, uint32_t n, struct kv_copy *copies,
                      uint32_t *n_copies)
{
    struct llm_error error = {.size = sizeof error};
    struct kv_copy copy = {0};
    /* For the whole prompt at its first step: one that cannot fit takes no pages from the others.
     */
    const uint32_t all = remaining(run) > n ? remaining(run) : n;
    llm_status status = kv_prepare(s->pool, run->rows.kv, all, &copy, &error);
    if (status != LLM_OK) {
        end_run(s, run, status, &error);
        return false;
    }
    if (copy.from != copy.to) copies[(*n_copies)++] = copy;
    struct flight *f = &s->flight;
    uint32_t first = run->rows.kv->length;
    f->entries[f->n_entries++] =
        (struct flight_entry){run, first, n, outputs_in(run, first, n), run->states};
    return true;
}

static void choose(struct scheduler *s, struct kv_copy *copies, uint32_t *n_copies)
{
    struct flight *f = &s->flight;
    struct run *prompt = best_run(s, true), *decoding = best_run(s, false);
    s->prompt_turn = prompt && (!decoding || !s->prompt_turn);
    if (s->prompt_turn) {
        uint32_t n = rows_of(s->forward, prompt, &f->bucket);
        add_entry(s, prompt, n, copies, n_copies);
        return;
    }
    while (decoding && f->n_entries < FORWARD_MAX_OUTPUTS) {
        add_entry(s, decoding, 1, copies, n_copies);
        decoding = best_run(s, false);
    }
    if (f->n_entries) f->bucket = forward_output_bucket(f->n_entries);
}

/* ---- a step's way through the device ---- */

/* Of outputs from `output` on, which are there. */
static void want(struct scheduler *s, const struct flight_entry *e, uint32_t output)
{
    struct flight *f = &s->flight;
    struct run *run = e->run;
    if (run->states) f->want_states |= e->n_outputs > 0;
    if (run->states || run->argmax) return;
    for (uint32_t i = 0; i < e->n_outputs; i++) {
        const uint32_t position = e->first + e->n - e->n_outputs + i;
        const bool top = run->wants && !s->all_logits &&
                         run->wants(run, position, forward_wanted(s->forward, output + i));
        f->tops[output + i] = top;
        f->want_top |= top;
        f->want_logits |= !top;
    }
}

static void write_step(struct scheduler *s)
{
    struct flight *f = &s->flight;
    uint32_t outputs[FORWARD_MAX_OUTPUTS], row = 0, table = 0, output = 0;
    f->n_outputs = 0;
    forward_begin(s->forward, f->bucket);
    for (uint32_t i = 0; i < f->n_entries; i++) {
        const struct flight_entry *e = &f->entries[i];
        const struct rows *r = &e->run->rows;
        forward_set_table(s->forward, table, r->kv);
        for (uint32_t k = 0; k < e->n; k++, row++) {
            uint32_t position = e->first + k;
            forward_set_row(s->forward, row, (uint32_t)r->tokens[position], position, table,
                            s->forward->h.encoder ? e->first + e->n - 1 : position);
            if (position >= e->run->outputs_from && !e->run->states) outputs[f->n_outputs++] = row;
        }
        table += r->kv->n_pages;
    }
    forward_end(s->forward, f->bucket);
    if (f->n_outputs) {
        f->output_bucket = forward_output_bucket(f->n_outputs);
        forward_set_outputs(s->forward, outputs, f->n_outputs, f->output_bucket);
    }
    for (uint32_t i = 0; i < f->n_entries; i++) {
        want(s, &f->entries[i], output);
        output += f->entries[i].states ? 0 : f->entries[i].n_outputs;
    }
}

static llm_status list_segments(struct scheduler *s, const struct kv_copy *copies,
                                uint32_t n_copies, struct llm_error *error)
{
    struct flight *f = &s->flight;
    struct forward *fw = s->forward;
    uint32_t n = 0;
    if (n_copies) {
        TRY(forward_copy_pages(fw, copies, n_copies, &f->copies, error));
        s->segments[n++] = f->copies;
    }
    const struct plan *p = &fw->layers[f->bucket];
    for (uint32_t i = 0; i < p->n_segments; i++) s->segments[n++] = p->segments[i];
    if (f->n_outputs) s->segments[n++] = fw->heads[f->output_bucket].segments[0];
    if (f->n_outputs && f->want_top) s->segments[n++] = fw->read_top[f->output_bucket];
    if (f->n_outputs && f->want_logits) s->segments[n++] = fw->read_logits[f->output_bucket];
    if (f->want_states) s->segments[n++] = fw->read_states[f->bucket];
    f->n_segments = n;
    f->next_segment = 0;
    return LLM_OK;
}

static bool start_step(struct scheduler *s)
{
    struct flight *f = &s->flight;
    if (!s->runs) return false;
    struct kv_copy copies[FORWARD_MAX_OUTPUTS];
    uint32_t n_copies = 0;
    *f = (struct flight){0};
    choose(s, copies, &n_copies);
    if (!f->n_entries)
        return true; /* runs ended for want of pages: those behind them have their turn */
    write_step(s);
    struct llm_error error = {.size = sizeof error};
    llm_status status = list_segments(s, copies, n_copies, &error);
    if (status != LLM_OK) {
        /* Pages that were to be copied hold nothing: what lay in them is computed again. */
        for (uint32_t i = 0; i < f->n_entries; i++)
            kv_truncate(s->pool, f->entries[i].run->rows.kv,
                        f->entries[i].first / KV_PAGE * KV_PAGE);
        fail_all(s, status, &error);
        return true;
    }
    f->active = true;
    return true;
}

static bool is_abandoned(const struct flight *f)
{
    for (uint32_t i = 0; i < f->n_entries; i++) {
        if (f->entries[i].run) return false;
    }
    return true;
}

/* Segments of the next slice, by the time that this plan's segments have taken. */
static uint32_t slice_length(const struct scheduler *s, double *expected)
{
    const struct flight *f = &s->flight;
    double each = forward_seconds(s->forward, f->bucket);
    uint32_t left = f->n_segments - f->next_segment, n = left;
    if (slice_seconds < each * left) n = (uint32_t)(slice_seconds / each);
    if (n < 1) n = 1;
    *expected = each * n;
    return n;
}

static llm_status submit_slices(struct scheduler *s, struct llm_error *error)
{
    struct flight *f = &s->flight;
    while (f->n_slices < 2 && f->next_segment < f->n_segments && !is_abandoned(f)) {
        struct slice *slice = &f->slices[f->n_slices];
        slice->n_segments = slice_length(s, &slice->expected);
        slice->submitted = os_clock();
        TRY_GPU(gpu_submit(s->forward->gpu, s->segments + f->next_segment, slice->n_segments,
                           &slice->ticket, &gpu_error_),
                error);
        f->next_segment += slice->n_segments;
        f->n_slices++;
    }
    return LLM_OK;
}

/* A poll sees the end late, so it may only lower the measure; a wait sees it in time. */
static void measure(struct scheduler *s, const struct slice *slice)
{
    struct flight *f = &s->flight;
    double *each = &s->forward->layers[f->bucket].segment_seconds, now = os_clock();
    double begun = slice->submitted > f->idle_since ? slice->submitted : f->idle_since;
    double seen = (now - begun) / slice->n_segments;
    if (*each == 0) s->plan_was_new = true;
    if (s->waited) *each = *each > 0 ? 0.5 * (*each + seen) : seen;
    else if (*each == 0 || seen < *each) *each = seen;
    f->idle_since = now;
    s->waited = false;
}

static llm_status collect_slices(struct scheduler *s, bool *moved, struct llm_error *error)
{
    struct flight *f = &s->flight;
    while (f->n_slices) {
        enum gpu_status status = gpu_done(s->forward->gpu, f->slices[0].ticket);
        if (status == GPU_NOT_READY) break;
        if (status != GPU_OK) return error_set(error, LLM_DEVICE_LOST, "the device was lost");
        measure(s, &f->slices[0]);
        f->slices[0] = f->slices[1];
        f->n_slices--;
        *moved = true;
    }
    return LLM_OK;
}

/* Where the best are too many, for they are all alike, logits that were not read are. */
static bool read_all(struct scheduler *s)
{
    struct flight *f = &s->flight;
    bool fit = true;
    for (uint32_t i = 0; i < f->n_outputs && f->want_top; i++) {
        const bool fits = !f->tops[i] || forward_top(s->forward, i)->n <= TOP_ROOM;
        f->tops[i] = f->tops[i] && fits;
        fit = fit && fits;
    }
    if (fit || f->want_logits) return false;
    f->want_logits = true;
    s->segments[f->n_segments++] = s->forward->read_logits[f->output_bucket];
    return true;
}

/* Output k of an entry whose rows begin at `row` and whose logits begin at `output`. */
static void hand_out(const struct scheduler *s, const struct flight_entry *e, uint32_t row,
                     uint32_t output, uint32_t k)
{
    struct run *run = e->run;
    uint32_t at = e->n - e->n_outputs + k;
    struct output o = {0};
    if (run->states) {
        o.values = forward_states(s->forward, row + at);
        run->output(run, e->first + at, &o);
        return;
    }
    if (e->first + at >= run->rows.kv->length) return; /* cut by the output before it */
    o.best = (int32_t)forward_best(s->forward, output + k);
    if (s->flight.tops[output + k]) o.top = forward_top(s->forward, output + k);
    else if (!run->argmax) o.values = forward_logits(s->forward, output + k);
    run->output(run, e->first + at, &o);
}

/* Hands out what the step has computed. A callback may remove any run: the entries then say so. */
static void finish_step(struct scheduler *s)
{
    struct flight *f = &s->flight;
    uint32_t row = 0, output = 0;
    for (uint32_t i = 0; i < f->n_entries; i++) {
        struct flight_entry *e = &f->entries[i];
        if (e->run) kv_commit(e->run->rows.kv, e->n);
    }
    for (uint32_t i = 0; i < f->n_entries; i++) {
        struct flight_entry *e = &f->entries[i];
        for (uint32_t k = 0; k < e->n_outputs && e->run; k++) hand_out(s, e, row, output, k);
        row += e->n;
        output += e->states ? 0 : e->n_outputs;
        if (e->run && remaining(e->run) == 0) end_run(s, e->run, LLM_OK, NULL);
    }
    /* Who has had a turn goes to the end of the queue. */
    for (uint32_t i = 0; i < f->n_entries; i++) {
        struct run *run = f->entries[i].run;
        if (!run) continue;
        unlink_run(s, run);
        scheduler_add(s, run);
    }
    f->n_entries = 0;
}

static bool advance_step(struct scheduler *s)
{
    struct flight *f = &s->flight;
    struct llm_error error = {.size = sizeof error};
    bool moved = false;
    llm_status status = collect_slices(s, &moved, &error);
    if (status == LLM_OK) {
        uint32_t before = f->n_slices;
        status = submit_slices(s, &error);
        moved |= f->n_slices != before;
    }
    if (status != LLM_OK) {
        fail_all(s, status, &error);
        return true;
    }
    if (f->n_slices) return moved;
    bool whole = f->next_segment == f->n_segments;
    if (whole && !is_abandoned(f) && read_all(s)) return true;
    free_copies(s);
    f->active = false;
    if (whole) finish_step(s);
    f->n_entries = 0;
    return true;
}

bool scheduler_pump(struct scheduler *s)
{
    bool moved = false;
    if (s->flight.active) moved |= advance_step(s);
    if (!s->flight.active && start_step(s)) {
        moved = true;
        if (s->flight.active) advance_step(s);
    }
    return moved;
}

void scheduler_wait(struct scheduler *s, double seconds)
{
    if (!s->flight.n_slices) return;
    double limit = seconds < 3600 ? seconds : 3600;
    s->waited = gpu_wait(s->forward->gpu, s->flight.slices[0].ticket, (uint64_t)(limit * 1e9),
                         NULL) == GPU_OK;
}

void scheduler_drain(struct scheduler *s)
{
    struct flight *f = &s->flight;
    for (uint32_t i = 0; i < f->n_entries; i++) f->entries[i].run = NULL;
    for (uint32_t i = 0; i < f->n_slices; i++)
        gpu_wait(s->forward->gpu, f->slices[i].ticket, UINT64_MAX, NULL);
    free_copies(s);
    *f = (struct flight){0};
}

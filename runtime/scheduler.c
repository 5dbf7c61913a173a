#include "scheduler.h"

#include <math.h>
#include <string.h>

#include "gpu_error.h"
#include "os.h"

/* A slice: half a frame of 60 Hz, so that two in flight fill one and a cancel is never far away. */
static const double slice_seconds = 0.008;

static uint64_t segments_size(const struct scheduler *s)
{
    return (uint64_t)SCHEDULER_STEPS * s->max_segments * sizeof *s->segments;
}

llm_status scheduler_open(struct scheduler *s, struct forward *forward, struct kv_pool *pool,
                          const struct alloc *alloc, struct llm_error *error)
{
    *s = (struct scheduler){
        .forward = forward, .pool = pool, .alloc = alloc, .max_segments = forward->h.n_layers + 7};
    s->stays_awake = !gpu_device_info(forward->gpu)->software;
    s->segments = alloc_zero(alloc, SCHEDULER_STEPS * s->max_segments, sizeof *s->segments);
    return s->segments ? LLM_OK : error_memory(error, "the steps", segments_size(s));
}

/* Number i of those in flight; the one behind them is free where i is less than SCHEDULER_STEPS. */
static uint32_t flight_index(const struct scheduler *s, uint32_t i)
{
    return (s->first_flight + i) % SCHEDULER_STEPS;
}

static struct flight *flight_at(struct scheduler *s, uint32_t i)
{
    return &s->flights[flight_index(s, i)];
}

static struct flight *clear_flight(struct scheduler *s, uint32_t i)
{
    struct flight *f = flight_at(s, i);
    *f = (struct flight){.segments = s->segments + flight_index(s, i) * s->max_segments};
    return f;
}

static void free_copies(struct scheduler *s, struct flight *f)
{
    gpu_commands_free(s->forward->gpu, f->copies);
    f->copies = NULL;
}

void scheduler_free(struct scheduler *s)
{
    if (!s->segments) return;
    scheduler_drain(s);
    alloc_free(s->alloc, s->segments, segments_size(s));
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

void scheduler_remove(struct scheduler *s, struct run *run)
{
    unlink_run(s, run);
    for (uint32_t i = 0; i < s->n_flights; i++) {
        struct flight *f = flight_at(s, i);
        for (uint32_t k = 0; k < f->n_entries; k++)
            if (f->entries[k].run == run) f->entries[k].run = NULL;
    }
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
    return s->runs != NULL || s->n_flights > 0;
}

/* ---- choosing the rows of a step ---- */

static uint32_t remaining(const struct run *run)
{
    return run->upto - run->rows.kv->length;
}

/* The next run of the wanted kind: highest priority first, then the order of the queue. */
static struct run *best_run(const struct scheduler *s, const struct flight *f, bool prompt)
{
    struct run *best = NULL;
    for (struct run *run = s->runs; run; run = run->next) {
        bool taken = false;
        for (uint32_t i = 0; i < f->n_entries; i++) taken |= f->entries[i].run == run;
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
static bool add_entry(struct scheduler *s, struct flight *f, struct run *run, uint32_t n,
                      struct kv_copy *copies, uint32_t *n_copies)
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
    uint32_t first = run->rows.kv->length;
    f->entries[f->n_entries++] =
        (struct flight_entry){run, first, n, outputs_in(run, first, n), run->states};
    return true;
}

static void choose(struct scheduler *s, struct flight *f, struct kv_copy *copies,
                   uint32_t *n_copies)
{
    struct run *prompt = best_run(s, f, true), *decoding = best_run(s, f, false);
    s->prompt_turn = prompt && (!decoding || !s->prompt_turn);
    if (s->prompt_turn) {
        uint32_t n = rows_of(s->forward, prompt, &f->bucket);
        add_entry(s, f, prompt, n, copies, n_copies);
        return;
    }
    while (decoding && f->n_entries < FORWARD_MAX_OUTPUTS) {
        add_entry(s, f, decoding, 1, copies, n_copies);
        decoding = best_run(s, f, false);
    }
    if (f->n_entries) f->bucket = forward_output_bucket(f->n_entries);
}

/* ---- a step's way through the device ---- */

/* Of outputs from `output` on, which are there. */
static void want(struct scheduler *s, struct flight *f, const struct flight_entry *e,
                 uint32_t output)
{
    struct run *run = e->run;
    if (run->states) f->want_states |= e->n_outputs > 0;
    else if (run->argmax) f->want_best |= e->n_outputs > 0;
    if (run->states || run->argmax) return;
    for (uint32_t i = 0; i < e->n_outputs; i++) {
        const uint32_t position = e->first + e->n - e->n_outputs + i;
        const bool top = run->wants && s->feed != FEED_BY_HOST &&
                         run->wants(run, position, forward_wanted(s->forward, output + i));
        f->tops[output + i] = top;
        f->want_top |= top;
        f->want_logits |= !top;
    }
}

static void write_step(struct scheduler *s, struct flight *f)
{
    uint32_t outputs[FORWARD_MAX_OUTPUTS], row = 0, table = 0, output = 0;
    f->n_outputs = 0;
    forward_begin(s->forward, f->bucket, f->slot);
    for (uint32_t i = 0; i < f->n_entries; i++) {
        const struct flight_entry *e = &f->entries[i];
        const struct rows *r = &e->run->rows;
        forward_set_table(s->forward, table, r->kv);
        for (uint32_t k = 0; k < e->n; k++, row++) {
            uint32_t position = e->first + k;
            uint32_t token = f->slot ? 0 : (uint32_t)r->tokens[position]; /* else the device's */
            forward_set_row(s->forward, row, token, position, table,
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
        want(s, f, &f->entries[i], output);
        output += f->entries[i].states ? 0 : f->entries[i].n_outputs;
    }
}

static void list_segments(struct scheduler *s, struct flight *f)
{
    const struct forward *fw = s->forward;
    const struct plan *p = &fw->layers[f->bucket];
    uint32_t n = 0;
    if (f->copies) f->segments[n++] = f->copies;
    if (f->slot) f->segments[n++] = fw->follow[f->slot][f->bucket];
    for (uint32_t i = 0; i < p->n_segments; i++) f->segments[n++] = p->segments[i];
    if (f->n_outputs) {
        f->segments[n++] = fw->heads[f->output_bucket].segments[0];
        if (f->want_best) f->segments[n++] = fw->read_best[f->slot][f->output_bucket];
        if (f->want_top) f->segments[n++] = fw->read_top[f->output_bucket];
        if (f->want_logits) f->segments[n++] = fw->read_logits[f->output_bucket];
    }
    if (f->want_states) f->segments[n++] = fw->read_states[f->bucket];
    f->n_segments = n;
}

/* With nothing in flight. */
static bool start_step(struct scheduler *s)
{
    if (!s->runs) return false;
    struct flight *f = clear_flight(s, 0);
    struct kv_copy copies[FORWARD_MAX_OUTPUTS];
    uint32_t n_copies = 0;
    choose(s, f, copies, &n_copies);
    if (!f->n_entries)
        return true; /* runs ended for want of pages: those behind them have their turn */
    struct llm_error error = {.size = sizeof error};
    llm_status status =
        n_copies ? forward_copy_pages(s->forward, copies, n_copies, &f->copies, &error) : LLM_OK;
    if (status != LLM_OK) {
        /* Pages that were to be copied hold nothing: what lay in them is computed again. */
        for (uint32_t i = 0; i < f->n_entries; i++)
            kv_truncate(s->pool, f->entries[i].run->rows.kv,
                        f->entries[i].first / KV_PAGE * KV_PAGE);
        free_copies(s, f);
        fail_all(s, status, &error);
        return true;
    }
    write_step(s, f);
    list_segments(s, f);
    s->n_flights = 1;
    return true;
}

static uint32_t follows_at(const struct flight_entry *e)
{
    return e->first + e->n;
}

/* Whether all that there is to do is another token for each of this step's rows, and none of them
 * needs the host. The host is quick beside a step that takes more than a slice. */
static bool can_follow(const struct scheduler *s, const struct flight *last)
{
    uint32_t n = 0;
    for (const struct run *run = s->runs; run; run = run->next) n++;
    if (n != last->n_entries || s->feed == FEED_BY_HOST) return false;
    for (uint32_t i = 0; i < n; i++) {
        const struct flight_entry *e = &last->entries[i];
        if (!e->run || !e->run->argmax || e->n_outputs != 1 || follows_at(e) >= e->run->ahead)
            return false;
    }
    const uint32_t bucket = forward_output_bucket(n);
    return s->feed == FEED_BY_DEVICE ||
           forward_seconds(s->forward, bucket) * s->max_segments <= slice_seconds;
}

/* Pages are taken from what is left: those that wait for some come when nothing is in flight. */
static bool take_page(struct scheduler *s, const struct flight_entry *after)
{
    struct kv_sequence *kv = after->run->rows.kv;
    struct kv_copy copy;
    return kv_prepare(s->pool, kv, follows_at(after) + 1 - kv->length, &copy, NULL) == LLM_OK;
}

static bool follow_step(struct scheduler *s)
{
    if (s->n_flights == SCHEDULER_STEPS) return false;
    const struct flight *last = flight_at(s, s->n_flights - 1);
    if (!can_follow(s, last)) return false;
    for (uint32_t i = 0; i < last->n_entries; i++)
        if (!take_page(s, &last->entries[i])) return false;
    struct flight *f = clear_flight(s, s->n_flights);
    for (uint32_t i = 0; i < last->n_entries; i++) {
        const struct flight_entry *e = &last->entries[i];
        f->entries[f->n_entries++] = (struct flight_entry){e->run, follows_at(e), 1, 1, false};
    }
    f->bucket = forward_output_bucket(f->n_entries);
    f->slot = 1 + flight_index(s, s->n_flights);
    write_step(s, f);
    list_segments(s, f);
    s->n_flights++;
    s->n_followed++;
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
static uint32_t slice_length(const struct scheduler *s, const struct flight *f, double *expected)
{
    double each = forward_seconds(s->forward, f->bucket);
    uint32_t left = f->n_segments - f->next_segment, n = left;
    if (slice_seconds < each * left) n = (uint32_t)(slice_seconds / each);
    if (n < 1) n = 1;
    *expected = each * n;
    return n;
}

/* Two slices, or more that take no longer together. */
static bool has_room(const struct scheduler *s, double expected)
{
    for (uint32_t i = 0; i < s->n_slices; i++) expected += s->slices[i].expected;
    return s->n_slices < 2 || (s->n_slices < SCHEDULER_SLICES && expected <= 2 * slice_seconds);
}

/* All of a step, in order; false where there is no room for it. */
static bool submit_flight(struct scheduler *s, struct flight *f, llm_status *status,
                          struct llm_error *error)
{
    while (f->next_segment < f->n_segments && !is_abandoned(f)) {
        struct slice slice = {.flight = f, .submitted = os_clock()};
        slice.n_segments = slice_length(s, f, &slice.expected);
        if (!has_room(s, slice.expected)) return false;
        struct gpu_error gpu_error = {{0}};
        *status = gpu_failed(gpu_submit(s->forward->gpu, f->segments + f->next_segment,
                                        slice.n_segments, &slice.ticket, &gpu_error),
                             &gpu_error, error);
        if (*status != LLM_OK) return false;
        f->next_segment += slice.n_segments;
        f->n_slices++;
        s->slices[s->n_slices++] = slice;
    }
    return true;
}

static llm_status submit_slices(struct scheduler *s, bool *moved, struct llm_error *error)
{
    llm_status status = LLM_OK;
    const uint32_t before = s->n_slices;
    for (uint32_t i = 0; i < s->n_flights; i++)
        if (!submit_flight(s, flight_at(s, i), &status, error)) break;
    *moved |= s->n_slices != before;
    return status;
}

/* When the device came to the oldest slice in flight, by what the host knows. */
static double slice_begun(const struct scheduler *s)
{
    const double submitted = s->slices[0].submitted;
    return submitted > s->idle_since ? submitted : s->idle_since;
}

/* Of slices that were found done together, which only the last one tells. A poll sees the end late,
 * so it may only lower the measure; a wait sees it in time. */
static void measure(struct scheduler *s, uint32_t n)
{
    double now = os_clock(), begun = slice_begun(s);
    uint32_t bucket = s->slices[0].flight->bucket, n_segments = 0;
    for (uint32_t i = 0; i < n; i++)
        n_segments += s->slices[i].flight->bucket == bucket ? s->slices[i].n_segments : 0;
    double *each = &s->forward->layers[bucket].segment_seconds;
    double seen = (now - begun) / n_segments;
    if (*each == 0) s->plan_was_new = true;
    if (s->waited) *each = *each > 0 ? 0.5 * (*each + seen) : seen;
    else if (*each == 0 || seen < *each) *each = seen;
    s->idle_since = now;
    s->waited = false;
}

static llm_status collect_slices(struct scheduler *s, bool *moved, struct llm_error *error)
{
    uint32_t n = 0;
    while (n < s->n_slices) {
        enum gpu_status status = gpu_done(s->forward->gpu, s->slices[n].ticket);
        if (status == GPU_NOT_READY) break;
        if (status != GPU_OK) return error_set(error, LLM_DEVICE_LOST, "the device was lost");
        s->slices[n++].flight->n_slices--;
    }
    if (!n) return LLM_OK;
    measure(s, n);
    s->n_slices -= n;
    memmove(s->slices, s->slices + n, s->n_slices * sizeof *s->slices);
    *moved = true;
    return LLM_OK;
}

/* Where the best are too many, for they are all alike, logits that were not read are. */
static bool read_all(struct scheduler *s, struct flight *f)
{
    bool fit = true;
    for (uint32_t i = 0; i < f->n_outputs && f->want_top; i++) {
        const bool fits = !f->tops[i] || forward_top(s->forward, i)->n <= TOP_ROOM;
        f->tops[i] = f->tops[i] && fits;
        fit = fit && fits;
    }
    if (fit || f->want_logits) return false;
    f->want_logits = true;
    f->segments[f->n_segments++] = s->forward->read_logits[f->output_bucket];
    return true;
}

/* Output k of an entry whose rows begin at `row` and whose logits begin at `output`. */
static void hand_out(const struct scheduler *s, const struct flight *f,
                     const struct flight_entry *e, uint32_t row, uint32_t output, uint32_t k)
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
    if (run->argmax) o.best = (int32_t)forward_best(s->forward, f->slot, output + k);
    else if (f->tops[output + k]) o.top = forward_top(s->forward, output + k);
    else o.values = forward_logits(s->forward, output + k);
    run->output(run, e->first + at, &o);
}

/* Hands out what the step has computed. A callback may remove any run: the entries then say so. */
static void finish_step(struct scheduler *s, struct flight *f)
{
    uint32_t row = 0, output = 0;
    for (uint32_t i = 0; i < f->n_entries; i++) {
        struct flight_entry *e = &f->entries[i];
        if (e->run) kv_commit(e->run->rows.kv, e->n);
    }
    for (uint32_t i = 0; i < f->n_entries; i++) {
        struct flight_entry *e = &f->entries[i];
        for (uint32_t k = 0; k < e->n_outputs && e->run; k++) hand_out(s, f, e, row, output, k);
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
}

static bool is_computed(const struct flight *f)
{
    return !f->n_slices && (f->next_segment == f->n_segments || is_abandoned(f));
}

bool scheduler_has_outputs(const struct scheduler *s)
{
    return s->n_flights && is_computed(&s->flights[s->first_flight]);
}

/* The oldest step, where it is computed. */
static bool take_step(struct scheduler *s)
{
    struct flight *f = flight_at(s, 0);
    if (!scheduler_has_outputs(s)) return false;
    const bool abandoned = is_abandoned(f);
    if (!abandoned && read_all(s, f)) return false;
    free_copies(s, f);
    if (!abandoned) finish_step(s, f);
    s->first_flight = flight_index(s, 1);
    s->n_flights--;
    return true;
}

bool scheduler_pump(struct scheduler *s)
{
    struct llm_error error = {.size = sizeof error};
    bool moved = false;
    llm_status status = collect_slices(s, &moved, &error);
    if (status == LLM_OK) {
        moved |= take_step(s);
        if (!s->n_flights) moved |= start_step(s);
        while (s->n_flights && follow_step(s)) continue;
        status = submit_slices(s, &moved, &error);
    }
    if (status == LLM_OK) return moved;
    fail_all(s, status, &error);
    return true;
}

/* A host that sleeps wakes up late, by 50 microseconds on Windows: as long as a small step takes.
 */
static void stay_awake(const struct scheduler *s, double until)
{
    static const double longest = 0.001;
    const struct slice *slice = &s->slices[0];
    double now = os_clock(), end = slice_begun(s) + slice->expected;
    if (end > now + longest) return;
    if (until > end + longest) until = end + longest;
    while (now < until && gpu_done(s->forward->gpu, slice->ticket) == GPU_NOT_READY)
        now = os_clock();
}

void scheduler_wait(struct scheduler *s, double seconds)
{
    if (!s->n_slices) return;
    const double until = os_clock() + (seconds < 3600 ? seconds : 3600);
    if (s->stays_awake) stay_awake(s, until);
    const double left = fmax(0, until - os_clock());
    s->waited =
        gpu_wait(s->forward->gpu, s->slices[0].ticket, (uint64_t)(left * 1e9), NULL) == GPU_OK;
}

void scheduler_drain(struct scheduler *s)
{
    for (uint32_t i = 0; i < s->n_slices; i++)
        gpu_wait(s->forward->gpu, s->slices[i].ticket, UINT64_MAX, NULL);
    for (uint32_t i = 0; i < s->n_flights; i++) free_copies(s, flight_at(s, i));
    s->n_flights = s->n_slices = 0;
}

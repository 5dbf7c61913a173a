#include "generation.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "error.h"

void llm_generate_defaults(struct llm_generate_options *o, size_t size)
{
    memset(o, 0, size);
    struct llm_generate_options d = {.max_tokens = -1,
                                     .temperature = 0.8,
                                     .top_k = 40,
                                     .top_p = 0.95,
                                     .min_p = 0.05,
                                     .typical_p = 1,
                                     .repeat_penalty = 1,
                                     .penalty_last_n = 64,
                                     .dry_base = 1.75,
                                     .dry_length = 2,
                                     .xtc_threshold = 0.1,
                                     .mirostat_eta = 0.1};
    memcpy(o, &d, size < sizeof d ? size : sizeof d);
    o->size = (uint32_t)size;
}

static const struct alloc *alloc_of(const llm_generation *g)
{
    return &g->model->root->alloc;
}

static void generation_release(llm_generation *g)
{
    if (--g->references) return;
    const struct alloc *a = alloc_of(g);
    if (g->on_piece_release) g->on_piece_release(g->on_piece_user);
    if (g->on_full_release) g->on_full_release(g->on_full_user);
    sampler_free(g->sampler);
    text_free(&g->text);
    alloc_free(a, g->decoded.items, g->decoded.capacity);
    alloc_free(a, g->pieces, g->pieces_capacity * sizeof *g->pieces);
    alloc_free(a, g->ids, g->ids_capacity * sizeof *g->ids);
    alloc_free(a, g->token_logprobs, g->token_logprobs_capacity * sizeof *g->token_logprobs);
    alloc_free(a, g->logprobs, g->logprobs_capacity * sizeof *g->logprobs);
    llm_session *s = g->session;
    alloc_free(a, g, sizeof *g);
    llm_session_free(s);
}

/* ---- the end ---- */

static void finish(llm_generation *g, const char *how)
{
    g->finish = how;
    g->ended = os_clock();
    if (!g->running) return;
    g->running = false;
    g->session->current = NULL;
    generation_release(g);
}

static void finish_error(llm_generation *g, llm_status status, const char *message)
{
    g->status = error_set(&g->error, status, "%s", message);
    if (!g->generating) session_cut(g->session, g->n_before);
    finish(g, "error");
}

/* During the prompt the session goes back to where it was; later it keeps the tokens whose text was
 * given out. */
void generation_end_cancelled(llm_generation *g)
{
    if (!g->running) return;
    scheduler_remove(&g->model->scheduler, &g->run);
    session_cut(g->session, g->generating ? g->given_tokens : g->n_before);
    g->n_pieces = g->next_piece;
    g->text.n = g->text.ready = g->text.given;
    finish(g, "cancelled");
}

void generation_settle(llm_generation *g)
{
    if (g->running && atomic_load(&g->cancel)) generation_end_cancelled(g);
}

/* ---- a token ---- */

static llm_status keep_logprobs(llm_generation *g, const struct output *o, double logprob)
{
    const struct alloc *a = alloc_of(g);
    if (!g->n_logprobs) return LLM_OK;
    size_t n = g->n_tokens + 1;
    float *chosen =
        alloc_grow(a, g->token_logprobs, &g->token_logprobs_capacity, n, sizeof *chosen);
    if (!chosen) return error_memory(&g->error, "log-probabilities", n * sizeof *chosen);
    g->token_logprobs = chosen;
    chosen[n - 1] = (float)logprob;
    struct llm_logprob *all =
        alloc_grow(a, g->logprobs, &g->logprobs_capacity, n * g->n_logprobs, sizeof *all);
    if (!all) return error_memory(&g->error, "log-probabilities", n * g->n_logprobs * sizeof *all);
    g->logprobs = all;
    struct llm_logprob *best = all + (n - 1) * g->n_logprobs;
    if (o->top) sampler_best_top(o->top, best, g->n_logprobs);
    else
        sampler_best(o->values, tokenizer_info(g->model->tokenizer)->n_tokens, best, g->n_logprobs);
    return LLM_OK;
}

static llm_status give_piece(llm_generation *g, const struct piece *p)
{
    if (!g->on_piece) return LLM_OK;
    struct llm_piece shown = {.size = sizeof shown,
                              .id = p->id,
                              .index = p->index,
                              .logprob = p->logprob,
                              .text = g->text.bytes + g->text.given,
                              .text_size = p->end - g->text.given};
    g->text.given = p->end;
    g->given_tokens = p->n_tokens;
    g->next_piece++;
    return g->on_piece(g->on_piece_user, &shown);
}

/* What has become ready is a piece. A cancel that the callback wants waits for the pump; its error
 * ends the generation. */
static llm_status add_piece(llm_generation *g, int32_t id, double logprob)
{
    size_t end = g->n_pieces ? g->pieces[g->n_pieces - 1].end : 0;
    if (g->text.ready <= end) return LLM_OK;
    struct piece *pieces =
        alloc_grow(alloc_of(g), g->pieces, &g->pieces_capacity, g->n_pieces + 1, sizeof *pieces);
    if (!pieces) return error_memory(&g->error, "a piece", sizeof *pieces);
    g->pieces = pieces;
    pieces[g->n_pieces] =
        (struct piece){g->text.ready, id, g->n_tokens - 1, g->session->n_tokens, logprob};
    llm_status status = give_piece(g, &pieces[g->n_pieces++]);
    if (status == LLM_OK) return LLM_OK;
    if (status == LLM_CALLBACK)
        return error_set(&g->error, LLM_CALLBACK, "the on_piece function failed");
    atomic_store(&g->cancel, true);
    return LLM_OK;
}

static llm_status add_token(llm_generation *g, int32_t id, double logprob)
{
    llm_session *s = g->session;
    int32_t *ids = alloc_grow(alloc_of(g), g->ids, &g->ids_capacity, g->n_tokens + 1, sizeof *ids);
    if (!ids) return error_memory(&g->error, "the ids", sizeof *ids);
    g->ids = ids;
    ids[g->n_tokens++] = id;
    s->tokens[s->n_tokens++] = id;
    bool is_end = tokenizer_is_end(g->model->tokenizer, id);
    if (!is_end) {
        g->decoded.n = 0;
        TRY(tokenizer_decode(g->model->tokenizer, id, false, &g->decoded, alloc_of(g), &g->error));
        TRY(text_add(&g->text, g->decoded.items, g->decoded.n, &g->error));
    }
    if (is_end || g->text.matched) g->finish = "stop";
    else if ((g->max_tokens >= 0 && g->n_tokens >= g->max_tokens) ||
             (s->n_tokens == s->capacity && !g->on_full))
        g->finish = "length";
    if (g->finish) text_finish(&g->text);
    return add_piece(g, id, logprob);
}

/* As run->wants. Drafts lie behind the session's tokens, and count where they were right. */
static bool run_wants(struct run *run, uint32_t position, struct step_top *wanted)
{
    llm_generation *g = (llm_generation *)run;
    struct step_top w;
    w.k = sampler_wants(g->sampler, g->session->tokens, position + 1, g->n_logprobs, w.named,
                        &w.n_named);
    memcpy(wanted, &w, offsetof(struct step_top, named) + w.n_named * sizeof *w.named);
    return w.k > 0;
}

static llm_status pick(llm_generation *g, const struct output *o, int32_t *id, double *logprob)
{
    const int32_t *tokens = g->session->tokens;
    const uint32_t n = g->session->n_tokens;
    *id = o->best;
    *logprob = 0;
    if (g->run.argmax) return LLM_OK;
    if (o->top) TRY(sampler_pick_top(g->sampler, o->top, tokens, n, n, id, logprob, &g->error));
    else TRY(sampler_pick(g->sampler, o->values, tokens, n, n, id, logprob, &g->error));
    return keep_logprobs(g, o, *logprob);
}

/* ---- drafts: what followed the same tokens before ---- */

enum { DRAFT_MATCH = 3, DRAFT_MOST = 7 }; /* with the last token, rows of 2, 4 or 8 */

/* Where what followed the last occurrence of the last tokens begins, or n. */
static uint32_t find_repetition(const int32_t *tokens, uint32_t n)
{
    if (n <= DRAFT_MATCH) return n;
    const int32_t *end = tokens + n - DRAFT_MATCH;
    for (uint32_t at = n - DRAFT_MATCH; at-- > 0;)
        if (!memcmp(tokens + at, end, DRAFT_MATCH * sizeof *end)) return at + DRAFT_MATCH;
    return n;
}

/* Behind the session's tokens, for the next step to compute; returns how many. Others that wait are
 * not held up, and no page is taken. */
static uint32_t draft(llm_generation *g)
{
    llm_session *s = g->session;
    if (!g->speculative || !scheduler_is_alone(&g->model->scheduler, &g->run)) return 0;
    uint32_t room = s->kv.n_pages * KV_PAGE, from = find_repetition(s->tokens, s->n_tokens);
    room = room > s->capacity ? s->capacity : room;
    room = room > s->n_tokens ? room - s->n_tokens : 0;
    uint32_t n = s->n_tokens - from;
    if (n > g->draft_length) n = g->draft_length;
    if (n > room) n = room;
    if (g->max_tokens >= 0 && n > g->max_tokens - g->n_tokens)
        n = (uint32_t)(g->max_tokens - g->n_tokens);
    memcpy(s->tokens + s->n_tokens, s->tokens + from, n * sizeof *s->tokens);
    g->n_drafted += n;
    return n;
}

/* Whether the token at this place of the session was right; the next draft is longer, else short.
 */
static bool accept(llm_generation *g, uint32_t place, int32_t id)
{
    if (place >= g->run.upto) return false;
    const bool right = g->session->tokens[place] == id;
    g->n_accepted += right;
    if (!right) g->draft_length = 1;
    else if (place + 1 == g->run.upto) g->draft_length = 2 * g->draft_length + 1;
    if (g->draft_length > DRAFT_MOST) g->draft_length = DRAFT_MOST;
    return right;
}

/* The token that follows position. Where a draft had another one, what was computed for those
 * behind it is cut off. */
static void run_output(struct run *run, uint32_t position, const struct output *o)
{
    llm_generation *g = (llm_generation *)run;
    llm_session *s = g->session;
    if (!g->generating) {
        g->generating = true;
        g->first_token = os_clock();
        g->given_tokens = s->n_tokens;
    }
    int32_t id;
    double logprob;
    bool right = false;
    llm_status status = pick(g, o, &id, &logprob);
    if (status == LLM_OK) {
        right = accept(g, position + 1, id);
        status = add_token(g, id, logprob);
    }
    g->status = status;
    bool ends =
        status != LLM_OK || g->finish || llm_session_closed(s) || s->n_tokens == s->capacity;
    if (right && !ends) return; /* the next output is there, or on its way */
    /* Not what steps in flight have taken, unless they are for nothing. */
    if (ends || s->kv.length > position + 1) session_cut_cache(s, position + 1);
    g->run.upto = s->kv.length; /* nothing left: the run ends */
    if (ends) return;
    g->run.upto = s->n_tokens + draft(g);
    g->run.outputs_from = s->n_tokens - 1;
}

/* ---- the end of a run ---- */

/* A full session is given to the host, who may change it. Places that count its tokens move with
 * its end. */
static llm_status make_room(llm_generation *g, struct llm_error *error)
{
    llm_session *s = g->session;
    uint32_t had = s->n_tokens;
    s->makes_room = true;
    llm_status status = g->on_full(g->on_full_user);
    s->makes_room = false;
    uint32_t gone = had > s->n_tokens ? had - s->n_tokens : 0;
    for (size_t i = g->next_piece; i < g->n_pieces; i++) {
        struct piece *p = &g->pieces[i];
        p->n_tokens = p->n_tokens > gone ? p->n_tokens - gone : 0;
    }
    g->given_tokens = g->given_tokens > gone ? g->given_tokens - gone : 0;
    g->n_before = g->n_before > gone ? g->n_before - gone : 0;
    if (status != LLM_CALLBACK) return LLM_OK;
    return error_set(error, LLM_CALLBACK, "the function called for a full context failed");
}

/* It has not come to its end; the session is full, or the host left nothing of it. */
static bool wants_more(const llm_generation *g)
{
    return g->generating && g->on_full && !g->finish && g->status == LLM_OK &&
           !llm_session_closed(g->session);
}

/* The run computes what the session holds, for the token after it. The last token to write, by its
 * number or for want of room, needs no row. */
static void aim(llm_generation *g)
{
    llm_session *s = g->session;
    int64_t left = s->capacity - s->n_tokens;
    if (g->max_tokens >= 0 && g->max_tokens - g->n_tokens < left)
        left = g->max_tokens - g->n_tokens;
    g->run.upto = s->n_tokens;
    g->run.outputs_from = s->n_tokens - 1;
    g->run.ahead =
        g->run.argmax && !g->speculative && left > 0 ? s->n_tokens + (uint32_t)left - 1 : 0;
}

/* True where the run goes on. */
static bool goes_on(llm_generation *g)
{
    llm_session *s = g->session;
    if (!wants_more(g)) return false;
    g->status = make_room(g, &g->error);
    if (!wants_more(g) || s->n_tokens == s->capacity || s->n_tokens == 0) return false;
    if (s->kv.length > s->n_tokens - 1) session_cut_cache(s, s->n_tokens - 1);
    aim(g);
    scheduler_add(&g->model->scheduler, &g->run);
    return true;
}

/* No room was made: what is left of the text is the last piece. */
static void end_full(llm_generation *g)
{
    g->finish = "length";
    text_finish(&g->text);
    g->status = add_piece(g, g->ids[g->n_tokens - 1], 0);
}

static void run_end(struct run *run, llm_status status, const struct llm_error *error)
{
    llm_generation *g = (llm_generation *)run;
    if (status == LLM_OK && goes_on(g)) return;
    if (status == LLM_OK && wants_more(g)) end_full(g);
    if (status != LLM_OK) finish_error(g, status, error->message);
    else if (g->status != LLM_OK) finish(g, "error");
    else if (!g->finish && llm_session_closed(g->session))
        generation_end_cancelled(g); /* by a callback */
    else finish(g, g->finish ? g->finish : "length");
}

/* ---- the start ---- */

/* Where a repetition ends (sampler.h): llama.cpp's list of such texts. */
static bool breaks_repetition(void *user, int32_t id)
{
    llm_generation *g = user;
    g->decoded.n = 0;
    if (tokenizer_decode(g->model->tokenizer, id, false, &g->decoded, alloc_of(g), NULL) != LLM_OK)
        return true;
    for (size_t i = 0; i < g->decoded.n; i++) {
        if (memchr("\n:\"*", g->decoded.items[i], 4)) return true;
    }
    return g->decoded.n == 0;
}

static llm_status open_sampler(llm_generation *g, const struct llm_generate_options *o,
                               struct llm_error *error)
{
    struct llm_generate_options copy;
    llm_generate_defaults(&copy, sizeof copy);
    if (o) memcpy(&copy, o, o->size < sizeof copy ? o->size : sizeof copy);
    if (!copy.has_seed) copy.seed = os_random() & ((1ull << 53) - 1); /* exact in every Lua */
    copy.has_seed = 1;
    /* From here on they are released with the generation. */
    g->on_piece = copy.on_piece;
    g->on_piece_user = copy.on_piece_user;
    g->on_piece_release = copy.on_piece_release;
    g->on_full = copy.on_full;
    g->on_full_user = copy.on_full_user;
    g->on_full_release = copy.on_full_release;
    g->seed = copy.seed;
    g->max_tokens = copy.max_tokens;
    g->feed = copy.feed != 0;
    g->n_logprobs = copy.logprobs;
    g->speculative = copy.speculative != 0;
    g->draft_length = 1;
    g->run.priority = copy.priority;
    uint32_t n_vocab = tokenizer_info(g->model->tokenizer)->n_tokens;
    if (g->n_logprobs > n_vocab) g->n_logprobs = n_vocab;
    TRY(text_open(&g->text, copy.stop, copy.n_stop, alloc_of(g), error));
    TRY(sampler_create(&g->sampler, &copy, n_vocab, alloc_of(g), error));
    sampler_set_breaks(g->sampler, breaks_repetition, g);
    g->run.argmax = sampler_is_argmax(g->sampler) && g->n_logprobs == 0;
    return LLM_OK;
}

static llm_status append_prompt(llm_generation *g, const struct llm_prompt *prompt,
                                struct llm_error *error)
{
    llm_session *s = g->session;
    struct ids ids = {0};
    llm_status status = session_prompt(s, prompt, &ids, error);
    if (status == LLM_OK && ids.n == 0 && s->n_tokens == 0)
        status = error_set(
            error, LLM_BAD_ARGUMENT,
            "the prompt is empty, and so is the session, and the model has no beginning token");
    g->n_before = s->n_tokens;
    if (status == LLM_OK) status = session_append(s, &ids, &g->n_cached, error);
    g->n_prompt = (uint32_t)ids.n;
    alloc_free(alloc_of(g), ids.items, ids.capacity * sizeof *ids.items);
    return status;
}

/* Reading the prompt alone leaves its last token to what comes next, which needs its output. */
static void set_goal(llm_generation *g)
{
    llm_session *s = g->session;
    bool reads_only = g->feed || g->max_tokens == 0 || s->n_tokens == s->capacity;
    g->run.rows = (struct rows){s->tokens, &s->kv};
    aim(g);
    if (reads_only) {
        g->run.upto = s->n_tokens - 1;
        g->run.outputs_from = s->n_tokens;
    }
    g->run.wants = run_wants;
    g->run.output = run_output;
    g->run.end = run_end;
    if (s->kv.length > s->n_tokens - 1) session_cut_cache(s, s->n_tokens - 1);
}

/* A prompt that fills the session leaves no room for the first token. */
static llm_status room_to_write(llm_generation *g, struct llm_error *error)
{
    llm_session *s = g->session;
    if (g->feed || g->max_tokens == 0 || !g->on_full || s->n_tokens < s->capacity) return LLM_OK;
    llm_status status = make_room(g, error);
    if (status == LLM_OK && s->n_tokens == 0)
        status = error_set(error, LLM_CONTEXT_FULL,
                           "the function called for a full context left nothing of the prompt");
    if (status != LLM_OK) session_cut(s, g->n_before);
    return status;
}

static llm_status start(llm_generation *g, const struct llm_prompt *prompt,
                        const struct llm_generate_options *o, struct llm_error *error)
{
    TRY(open_sampler(g, o, error));
    TRY(session_check(g->session, error));
    TRY(append_prompt(g, prompt, error));
    TRY(room_to_write(g, error));
    set_goal(g);
    g->started = g->first_token = os_clock();
    g->running = true;
    g->references++;
    g->session->current = g;
    if (g->run.upto > g->session->kv.length) scheduler_add(&g->model->scheduler, &g->run);
    else finish(g, "length");
    return LLM_OK;
}

llm_status llm_generation_start(llm_session *session, const struct llm_prompt *prompt,
                                const struct llm_generate_options *options, llm_generation **out,
                                struct llm_error *error)
{
    *out = NULL;
    llm_generation *g = alloc_zero(&session->model->root->alloc, 1, sizeof *g);
    if (!g) {
        if (options && options->on_piece_release) options->on_piece_release(options->on_piece_user);
        if (options && options->on_full_release) options->on_full_release(options->on_full_user);
        return error_memory(error, "a generation", sizeof *g);
    }
    g->session = session;
    g->model = session->model;
    g->references = 1;
    g->error.size = sizeof g->error;
    session_retain(session);
    llm_status status = llm_session_closed(session)
                            ? error_set(error, LLM_CLOSED, "the session is closed")
                            : start(g, prompt, options, error);
    if (status != LLM_OK) generation_release(g);
    else *out = g;
    return status;
}

/* ---- what the host sees ---- */

static llm_status state(const llm_generation *g)
{
    return g->running ? LLM_RUNNING : LLM_OK;
}

llm_status llm_generation_wait(llm_generation *g, double seconds)
{
    double deadline = root_deadline(seconds);
    llm *root = g->model->root;
    while (g->running) {
        root_pump(root, deadline);
        if (root->pumping || os_clock() >= deadline) break;
    }
    return state(g);
}

llm_status llm_generation_wait_piece(llm_generation *g, double seconds)
{
    double deadline = root_deadline(seconds);
    llm *root = g->model->root;
    while (g->running && g->next_piece == g->n_pieces) {
        if (llm_generation_wait(g, 0) == LLM_OK || root->pumping || os_clock() >= deadline) break;
        if (g->next_piece == g->n_pieces) root_pump(root, deadline);
    }
    return state(g);
}

int32_t llm_generation_next(llm_generation *g, struct llm_piece *piece)
{
    if (g->next_piece == g->n_pieces) return 0;
    const struct piece *p = &g->pieces[g->next_piece++];
    *piece = (struct llm_piece){.size = piece->size,
                                .id = p->id,
                                .index = p->index,
                                .logprob = p->logprob,
                                .text = g->text.bytes + g->text.given,
                                .text_size = p->end - g->text.given};
    g->text.given = p->end;
    g->given_tokens = p->n_tokens;
    return 1;
}

llm_status llm_generation_poll(llm_generation *g, struct llm_piece *piece)
{
    llm_generation_wait(g, 0);
    size_t from = g->text.given;
    struct llm_piece last = {.size = piece->size};
    while (llm_generation_next(g, &last)) continue;
    *piece = last;
    piece->text = g->text.bytes ? g->text.bytes + from : "";
    piece->text_size = g->text.given - from;
    return state(g);
}

void llm_generation_cancel(llm_generation *g)
{
    atomic_store(&g->cancel, true);
}

void llm_generation_free(llm_generation *g)
{
    if (!g) return;
    llm_generation_cancel(g);
    if (!g->model->root->pumping) generation_settle(g);
    generation_release(g);
}

llm_status llm_generation_result(const llm_generation *g, struct llm_result *r)
{
    if (g->running) return LLM_RUNNING;
    uint32_t size = r->size;
    const struct llm_result full = {
        .size = size,
        .status = (int32_t)g->status,
        .finish = g->finish,
        .error = g->status == LLM_OK ? "" : g->error.message,
        .text = g->text.bytes ? g->text.bytes : "",
        .text_size = g->text.n,
        .stop = g->text.matched ? g->text.matched->text : NULL,
        .stop_size = g->text.matched ? g->text.matched->size : 0,
        .tokens = g->n_tokens,
        .prompt_tokens = g->n_prompt,
        .cached_tokens = g->n_cached,
        .seed = g->seed,
        .prompt_ms = ((g->generating ? g->first_token : g->ended) - g->started) * 1e3,
        .generate_ms = g->generating ? (g->ended - g->first_token) * 1e3 : 0,
        .n_logprobs = g->n_logprobs,
        .ids = g->ids,
        .token_logprobs = g->token_logprobs,
        .logprobs = g->logprobs,
        .drafted = g->n_drafted,
        .accepted = g->n_accepted,
    };
    memcpy(r, &full, size < sizeof full ? size : sizeof full);
    return LLM_OK;
}

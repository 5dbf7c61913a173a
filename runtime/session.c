#include "session.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "error.h"
#include "generation.h"
#include "task.h"

/* ---- life ---- */

llm_status llm_session_create(llm_model *m, uint32_t context, llm_session **out,
                              struct llm_error *error)
{
    *out = NULL;
    TRY(model_check_decoder(m, error));
    return session_open(m, context, out, error);
}

llm_status session_open(llm_model *m, uint32_t context, llm_session **out, struct llm_error *error)
{
    *out = NULL;
    TRY(model_check(m, error));
    if (context > m->context)
        return error_set(error, LLM_BAD_ARGUMENT,
                         "a session's context of %" PRIu32
                         " is more than the model was loaded for, %" PRIu32,
                         context, m->context);
    const struct alloc *a = &m->root->alloc;
    llm_session *s = alloc_zero(a, 1, sizeof *s);
    if (!s) return error_memory(error, "a session", sizeof *s);
    s->capacity = context ? context : m->context;
    s->tokens = alloc_new(a, s->capacity * sizeof *s->tokens);
    if (!s->tokens) {
        alloc_free(a, s, sizeof *s);
        return error_memory(error, "a session's tokens", s->capacity * sizeof *s->tokens);
    }
    s->references = 1;
    s->open = true;
    s->model = m;
    llm_model_retain(m);
    s->next = m->sessions;
    m->sessions = s;
    *out = s;
    return LLM_OK;
}

llm_status llm_session_fork(llm_session *s, llm_session **out, struct llm_error *error)
{
    *out = NULL;
    TRY(session_check(s, error));
    llm_session *f;
    TRY(llm_session_create(s->model, s->capacity, &f, error));
    llm_status status = kv_fork(&s->model->pool, &s->kv, s->kv.length, &f->kv, error);
    if (status != LLM_OK) {
        llm_session_free(f);
        return status;
    }
    memcpy(f->tokens, s->tokens, s->n_tokens * sizeof *s->tokens);
    f->n_tokens = s->n_tokens;
    *out = f;
    return LLM_OK;
}

void llm_session_close(llm_session *s)
{
    if (!s || !s->open) return;
    llm_model *m = s->model;
    if (m->root->pumping) {
        s->close_wanted = m->root->close_wanted = true;
        return;
    }
    if (s->current) generation_end_cancelled(s->current);
    if (s->evaluation) scheduler_remove(&m->scheduler, s->evaluation);
    struct task *task = s->task;
    if (task) scheduler_remove(&m->scheduler, &task->run);
    kv_sequence_free(&m->pool, &s->kv);
    llm_session **link = &m->sessions;
    while (*link != s) link = &(*link)->next;
    *link = s->next;
    s->open = false;
    s->n_tokens = 0;
    if (task) task_end(task, LLM_CLOSED, "the model was closed"); /* may free it, and us */
}

int32_t llm_session_closed(const llm_session *s)
{
    return !s->open || s->close_wanted;
}

void session_retain(llm_session *s)
{
    s->references++;
}

void llm_session_free(llm_session *s)
{
    if (!s) return;
    if (s->references == 1 && s->open) {
        llm_session_close(s);
        s->unowned = s->open;
        if (s->unowned) return;
    }
    if (--s->references) return;
    llm_model *m = s->model;
    const struct alloc *a = &m->root->alloc;
    alloc_free(a, s->tokens, s->capacity * sizeof *s->tokens);
    alloc_free(a, s, sizeof *s);
    llm_model_free(m);
}

llm_status session_check(llm_session *s, struct llm_error *error)
{
    if (llm_session_closed(s)) return error_set(error, LLM_CLOSED, "the session is closed");
    if (s->current && !s->model->root->pumping) generation_settle(s->current);
    if (s->current)
        return error_set(
            error, LLM_BUSY,
            "a generation is in flight on this session: wait for it or cancel it first");
    if (s->evaluation) return error_set(error, LLM_BUSY, "another call is at work on this session");
    return LLM_OK;
}

/* ---- what it holds ---- */

uint32_t llm_session_length(const llm_session *s)
{
    return s->n_tokens;
}

uint32_t llm_session_capacity(const llm_session *s)
{
    return s->capacity;
}

const int32_t *llm_session_tokens(const llm_session *s, size_t *n)
{
    *n = s->n_tokens;
    return s->tokens;
}

void session_cut_cache(llm_session *s, uint32_t n)
{
    kv_truncate(&s->model->pool, &s->kv, n < s->kv.length ? n : s->kv.length);
}

void session_cut(llm_session *s, uint32_t n)
{
    if (n < s->n_tokens) s->n_tokens = n;
    session_cut_cache(s, n);
}

static llm_status check_ids(const llm_session *s, const int32_t *ids, size_t n,
                            struct llm_error *error)
{
    uint32_t n_vocab = tokenizer_info(s->model->tokenizer)->n_tokens;
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || (uint32_t)ids[i] >= n_vocab)
            return error_set(error, LLM_BAD_ARGUMENT,
                             "token %zu of the prompt is %" PRId32 ", expected 0 to %" PRIu32,
                             i + 1, ids[i], n_vocab - 1);
    }
    return LLM_OK;
}

/* The host may shorten a session that a generation has filled, at its call. */
static llm_status check_change(llm_session *s, struct llm_error *error)
{
    return s->makes_room && !llm_session_closed(s) ? LLM_OK : session_check(s, error);
}

llm_status llm_session_replace(llm_session *s, uint32_t from, const int32_t *ids, size_t n,
                               struct llm_error *error)
{
    TRY(check_change(s, error));
    TRY(check_ids(s, ids, n, error));
    if (from > s->n_tokens)
        return error_set(error, LLM_BAD_ARGUMENT,
                         "cannot replace from token %" PRIu32 " on: the session holds %" PRIu32,
                         from, s->n_tokens);
    if (n > s->capacity - from)
        return error_set(error, LLM_CONTEXT_FULL,
                         "%zu tokens after %" PRIu32 " do not fit in %" PRIu32, n, from,
                         s->capacity);
    session_cut(s, from);
    if (n) memcpy(s->tokens + from, ids, n * sizeof *ids);
    s->n_tokens = from + (uint32_t)n;
    return LLM_OK;
}

llm_status llm_session_truncate(llm_session *s, uint32_t length, struct llm_error *error)
{
    TRY(check_change(s, error));
    if (length > s->n_tokens)
        return error_set(error, LLM_BAD_ARGUMENT,
                         "cannot truncate to %" PRIu32 " tokens: the session holds %" PRIu32,
                         length, s->n_tokens);
    session_cut(s, length);
    return LLM_OK;
}

void llm_session_cancel(llm_session *s)
{
    if (s->current) llm_generation_cancel(s->current);
}

llm_status session_prompt(const llm_session *s, const struct llm_prompt *prompt, struct ids *out,
                          struct llm_error *error)
{
    const struct alloc *a = &s->model->root->alloc;
    const struct tokenizer_info *info = tokenizer_info(s->model->tokenizer);
    if (!prompt || (!prompt->ids && !prompt->text && prompt->text_size))
        return error_set(error, LLM_BAD_ARGUMENT, "no prompt");
    if (!prompt->ids) {
        if (s->n_tokens == 0 && info->add_bos && info->bos >= 0) {
            int32_t *items = alloc_grow(a, out->items, &out->capacity, out->n + 1, sizeof *items);
            if (!items) return error_memory(error, "a prompt", sizeof *items);
            out->items = items;
            items[out->n++] = info->bos;
        }
        uint32_t flags =
            (prompt->special ? TOKENIZER_SPECIAL : 0u) | (s->n_tokens ? TOKENIZER_CONTINUES : 0u);
        return tokenizer_encode(s->model->tokenizer, prompt->text, prompt->text_size, flags, out, a,
                                error);
    }
    TRY(check_ids(s, prompt->ids, prompt->n_ids, error));
    if (prompt->n_ids == 0) return LLM_OK;
    int32_t *items =
        alloc_grow(a, out->items, &out->capacity, out->n + prompt->n_ids, sizeof *items);
    if (!items) return error_memory(error, "a prompt", prompt->n_ids * sizeof *items);
    out->items = items;
    memcpy(items + out->n, prompt->ids, prompt->n_ids * sizeof *items);
    out->n += prompt->n_ids;
    return LLM_OK;
}

static uint32_t common_prefix(const llm_session *s, const int32_t *ids, uint32_t n)
{
    uint32_t limit = s->kv.length < n ? s->kv.length : n, i = 0;
    while (i < limit && s->tokens[i] == ids[i]) i++;
    return i;
}

/* Whole pages alone are shared: a page in part would have to be copied at once. The last token
 * stays to be computed. */
static uint32_t share_prefix(llm_session *s, const struct ids *ids)
{
    uint32_t best = 0;
    llm_session *from = NULL;
    for (llm_session *other = s->model->sessions; other; other = other->next) {
        uint32_t n = other == s ? 0 : common_prefix(other, ids->items, (uint32_t)ids->n - 1);
        if (n <= best) continue;
        best = n;
        from = other;
    }
    best = best / KV_PAGE * KV_PAGE;
    if (best == 0 || kv_fork(&s->model->pool, &from->kv, best, &s->kv, NULL) != LLM_OK) return 0;
    return best;
}

llm_status session_append(llm_session *s, const struct ids *ids, uint32_t *n_cached,
                          struct llm_error *error)
{
    *n_cached = 0;
    if (ids->n > s->capacity - s->n_tokens)
        return error_set(error, LLM_CONTEXT_FULL,
                         "a prompt of %zu tokens does not fit: the session holds %" PRIu32
                         " of %" PRIu32,
                         ids->n, s->n_tokens, s->capacity);
    if (ids->n == 0) return LLM_OK;
    if (s->n_tokens == 0) *n_cached = share_prefix(s, ids);
    memcpy(s->tokens + s->n_tokens, ids->items, ids->n * sizeof *s->tokens);
    s->n_tokens += (uint32_t)ids->n;
    return LLM_OK;
}

/* ---- blocking evaluation ---- */

llm_status session_may_wait(const llm *root, const char *what, struct llm_error *error)
{
    if (!root->pumping) return LLM_OK;
    return error_set(error, LLM_BAD_ARGUMENT, "%s waits, which a callback must not", what);
}

struct evaluation {
    struct run run; /* first: the run is the evaluation */
    void (*output)(void *user, uint32_t position, const float *logits);
    void *user;
    bool done;
    llm_status status;
    struct llm_error *error;
};

static void evaluation_output(struct run *run, uint32_t position, const struct output *output)
{
    struct evaluation *e = (struct evaluation *)run;
    e->output(e->user, position, output->values);
}

static void evaluation_end(struct run *run, llm_status status, const struct llm_error *error)
{
    struct evaluation *e = (struct evaluation *)run;
    e->done = true;
    e->status = status == LLM_OK ? LLM_OK : error_set(e->error, status, "%s", error->message);
}

llm_status session_evaluate(llm_session *s, uint32_t upto, uint32_t outputs_from,
                            void (*output)(void *user, uint32_t position, const float *logits),
                            void *user, struct llm_error *error)
{
    if (outputs_from < s->kv.length) session_cut_cache(s, outputs_from);
    if (s->kv.length >= upto) return LLM_OK;
    struct evaluation e = {.run = {.rows = {s->tokens, &s->kv},
                                   .upto = upto,
                                   .outputs_from = outputs_from,
                                   .output = evaluation_output,
                                   .end = evaluation_end},
                           .output = output,
                           .user = user,
                           .error = error};
    llm *root = s->model->root;
    s->evaluation = &e.run;
    session_retain(s); /* a callback of others may close it */
    scheduler_add(&s->model->scheduler, &e.run);
    while (!e.done && s->open) root_pump(root, INFINITY);
    if (!e.done) e.status = error_set(error, LLM_CLOSED, "the session was closed by a callback");
    s->evaluation = NULL;
    llm_session_free(s);
    return e.status;
}

static void keep_logits(void *user, uint32_t position, const float *logits)
{
    (void)position;
    struct {
        float *to;
        size_t size;
    } const *k = user;
    memcpy(k->to, logits, k->size);
}

llm_status llm_session_logits(llm_session *s, float *logits, struct llm_error *error)
{
    TRY(session_check(s, error));
    TRY(session_may_wait(s->model->root, "logits", error));
    if (s->n_tokens == 0)
        return error_set(error, LLM_BAD_ARGUMENT, "an empty session has no logits");
    struct {
        float *to;
        size_t size;
    } k = {logits, tokenizer_info(s->model->tokenizer)->n_tokens * sizeof *logits};
    return session_evaluate(s, s->n_tokens, s->n_tokens - 1, keep_logits, &k, error);
}

llm_status llm_session_feed(llm_session *s, const struct llm_prompt *prompt,
                            struct llm_error *error)
{
    struct llm_generate_options o;
    llm_generate_defaults(&o, sizeof o);
    o.feed = 1;
    TRY(session_may_wait(s->model->root, "feed", error));
    llm_generation *g;
    TRY(llm_generation_start(s, prompt, &o, &g, error));
    llm_generation_wait(g, -1);
    struct llm_result r = {.size = sizeof r};
    llm_generation_result(g, &r);
    llm_status status = (llm_status)r.status;
    if (status != LLM_OK) error_set(error, status, "%s", r.error);
    else if (!strcmp(r.finish, "cancelled"))
        status = error_set(error, LLM_CANCELLED, "feed was cancelled");
    llm_generation_free(g);
    return status;
}

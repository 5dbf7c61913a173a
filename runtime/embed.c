/* Embeddings: the hidden states of a text's tokens after the last norm, pooled into one vector. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "arch_table.h"
#include "error.h"
#include "task.h"

struct embed {
    struct task task; /* first */
    enum pooling {
        MEAN = LLM_POOLING_MEAN,
        CLS = LLM_POOLING_CLS,
        LAST = LLM_POOLING_LAST
    } pooling;
    bool normalize;
    uint32_t dim;
    float *vectors; /* (n, dim) */
    double *sum;    /* (dim) of the text at work */
    size_t vectors_size;
};

void llm_embed_defaults(struct llm_embed_options *o, size_t size)
{
    memset(o, 0, size);
    struct llm_embed_options d = {.pooling = LLM_POOLING_DEFAULT, .normalize = 1};
    memcpy(o, &d, size < sizeof d ? size : sizeof d);
    o->size = (uint32_t)size;
}

/* ---- one text ---- */

/* With the tokens that the model wants round a text; ids are taken exactly. */
static llm_status ids_of(struct task *t, struct ids *ids, struct llm_error *error)
{
    const llm_session *s = t->session;
    const struct llm_prompt *prompt = &t->prompts[t->at];
    if (prompt->ids) TRY(session_prompt(s, prompt, ids, error));
    else
        TRY(tokenizer_encode(s->model->tokenizer, prompt->text, prompt->text_size,
                             TOKENIZER_WHOLE | (prompt->special ? TOKENIZER_SPECIAL : 0u), ids,
                             &s->model->root->alloc, error));
    if (ids->n > s->capacity)
        return error_set(error, LLM_CONTEXT_FULL,
                         "text %zu has %zu tokens, and the context holds %" PRIu32, t->at + 1,
                         ids->n, s->capacity);
    return LLM_OK;
}

static llm_status begin(struct task *t, struct llm_error *error)
{
    struct embed *e = (struct embed *)t;
    llm_session *s = t->session;
    struct ids ids = {0};
    uint32_t n_cached;
    session_cut(s, 0);
    llm_status status = ids_of(t, &ids, error);
    if (status == LLM_OK) status = session_append(s, &ids, &n_cached, error);
    alloc_free(&s->model->root->alloc, ids.items, ids.capacity * sizeof *ids.items);
    t->run.upto = s->n_tokens;
    /* An encoder's tokens depend on all others: nothing that was computed before serves. */
    bool last_only = e->pooling == LAST && s->n_tokens && !s->model->blueprint.h.encoder;
    t->run.outputs_from = last_only ? s->n_tokens - 1 : 0;
    memset(e->sum, 0, e->dim * sizeof *e->sum);
    return status;
}

static void output(struct task *t, uint32_t position, const float *state)
{
    struct embed *e = (struct embed *)t;
    if (e->pooling == CLS && position > 0) return;
    if (e->pooling == LAST && position + 1 < t->run.upto) return;
    for (uint32_t i = 0; i < e->dim; i++) e->sum[i] += (double)state[i];
}

static void end(struct task *t)
{
    const struct embed *e = (struct embed *)t;
    const llm_session *s = t->session;
    double squares = 0, scale = 1 / (double)s->model->blueprint.h.logit_scale;
    if (e->pooling == MEAN) scale /= s->n_tokens;
    for (uint32_t i = 0; i < e->dim; i++) squares += e->sum[i] * e->sum[i];
    if (e->normalize) scale = squares > 0 ? 1 / sqrt(squares) : 0;
    for (uint32_t i = 0; i < e->dim; i++)
        e->vectors[t->at * e->dim + i] = (float)(e->sum[i] * scale);
}

static void free_embed(struct task *t)
{
    struct embed *e = (struct embed *)t;
    const struct alloc *a = &t->job.root->alloc;
    if (e->vectors) alloc_free(a, e->vectors, e->vectors_size);
    if (e->sum) alloc_free(a, e->sum, e->dim * sizeof *e->sum);
}

static const struct task_kind embed_kind = {"embed", begin, output, end, free_embed};

/* ---- the start ---- */

/* What would have no token at all. */
static llm_status refuse_empty(const llm_model *m, const struct llm_prompt *texts, size_t n,
                               struct llm_error *error)
{
    const struct tokenizer_info *info = tokenizer_info(m->tokenizer);
    const bool adds = info->add_bos || info->add_eos || info->add_sep;
    for (size_t i = 0; i < n; i++) {
        if (texts[i].ids ? texts[i].n_ids > 0 : texts[i].text_size > 0 || adds) continue;
        return error_set(error, LLM_BAD_ARGUMENT,
                         "text %zu is empty, and the model has no beginning token", i + 1);
    }
    return LLM_OK;
}

/* What the file says (llama.cpp's numbers: 0 nothing, 4 the rank of a pair). Else the mean of an
 * encoder's states, and a decoder's last one, which alone has seen the whole text. */
static llm_status default_pooling(const llm_model *m, enum pooling *out, struct llm_error *error)
{
    char key[128];
    uint32_t pooling = 0;
    snprintf(key, sizeof key, "%s.pooling_type", m->blueprint.arch->name);
    TRY(gguf_get_u32(&m->gguf, key, &pooling, error));
    if (pooling == 4)
        return error_set(error, LLM_UNSUPPORTED,
                         "%s ranks pairs of texts; name a pooling to embed with it all the same",
                         m->info.architecture);
    if (pooling > LLM_POOLING_LAST)
        return error_set(error, LLM_UNSUPPORTED, "%s is %" PRIu32 ", which is unknown", key,
                         pooling);
    *out = pooling ? (enum pooling)pooling : m->blueprint.h.encoder ? MEAN : LAST;
    return LLM_OK;
}

static llm_status take_options(struct embed *e, const llm_model *m,
                               const struct llm_embed_options *options, struct llm_error *error)
{
    struct llm_embed_options o;
    llm_embed_defaults(&o, sizeof o);
    if (options) memcpy(&o, options, options->size < sizeof o ? options->size : sizeof o);
    if (o.pooling > LLM_POOLING_LAST)
        return error_set(error, LLM_BAD_ARGUMENT, "pooling is %" PRIu32 ", expected 0 to %d",
                         o.pooling, LLM_POOLING_LAST);
    e->normalize = o.normalize != 0;
    e->pooling = (enum pooling)o.pooling;
    e->task.run.priority = o.priority;
    return o.pooling ? LLM_OK : default_pooling(m, &e->pooling, error);
}

static llm_status open_embed(struct embed *e, llm_model *m, size_t n,
                             const struct llm_embed_options *options, struct llm_error *error)
{
    const struct alloc *a = &m->root->alloc;
    TRY(take_options(e, m, options, error));
    e->task.run.states = true;
    e->dim = m->forward.h.dim;
    if (n > SIZE_MAX / sizeof *e->vectors / e->dim)
        return error_memory(error, "the embeddings", UINT64_MAX);
    e->vectors_size = n * e->dim * sizeof *e->vectors;
    e->vectors = alloc_new(a, e->vectors_size);
    e->sum = alloc_new(a, e->dim * sizeof *e->sum);
    if ((n && !e->vectors) || !e->sum)
        return error_memory(error, "the embeddings", e->vectors_size);
    return LLM_OK;
}

llm_status llm_model_embed_start(llm_model *m, const struct llm_prompt *texts, size_t n,
                                 const struct llm_embed_options *options, llm_job **out,
                                 struct llm_error *error)
{
    *out = NULL;
    TRY(model_check(m, error));
    struct embed *e = alloc_zero(&m->root->alloc, 1, sizeof *e);
    if (!e) return error_memory(error, "a list of texts", sizeof *e);
    task_open(&e->task, &embed_kind, sizeof *e, m->root);
    llm_status status = refuse_empty(m, texts, n, error);
    if (status == LLM_OK) status = open_embed(e, m, n, options, error);
    if (status == LLM_OK) status = task_start(&e->task, m, texts, n, error);
    if (status == LLM_OK) *out = &e->task.job;
    else llm_job_free(&e->task.job);
    return status;
}

const float *llm_job_embeddings(const llm_job *job, size_t *n, uint32_t *dim)
{
    const struct embed *e = (const struct embed *)task_of(job, &embed_kind);
    *n = e ? e->task.n : 0;
    *dim = e ? e->dim : 0;
    return e ? e->vectors : NULL;
}

llm_status llm_model_embed(llm_model *m, const struct llm_prompt *texts, size_t n,
                           const struct llm_embed_options *options, float *vectors,
                           struct llm_error *error)
{
    llm_job *job;
    TRY(model_check(m, error));
    TRY(session_may_wait(m->root, "embed", error));
    TRY(llm_model_embed_start(m, texts, n, options, &job, error));
    llm_status status = llm_job_wait(job, -1, NULL, error);
    if (status == LLM_OK && n)
        memcpy(vectors, ((struct embed *)job)->vectors, ((struct embed *)job)->vectors_size);
    llm_job_free(job);
    return status;
}

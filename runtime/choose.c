/* Scoring choices: the log-probability of each one's tokens after a prompt. */
#include <math.h>
#include <string.h>

#include "error.h"
#include "task.h"

struct choose {
    struct task task;  /* first; of the choices */
    struct ids prompt; /* stays in the session while they come and go */
    bool normalize;
    double *logs; /* (n_logs) */
    size_t n_logs, best;
    double sum; /* of the choice at work */
};

static llm_status begin(struct task *t, struct llm_error *error)
{
    struct choose *c = (struct choose *)t;
    llm_session *s = t->session;
    struct ids ids = {0};
    uint32_t n_cached;
    if (s->n_tokens == 0) TRY(session_append(s, &c->prompt, &n_cached, error));
    session_cut(s, (uint32_t)c->prompt.n);
    c->sum = 0;
    llm_status status = session_prompt(s, &t->prompts[t->at], &ids, error);
    if (status == LLM_OK && ids.n == 0)
        status = error_set(error, LLM_BAD_ARGUMENT, "choice %zu is empty", t->at + 1);
    if (status == LLM_OK) status = session_append(s, &ids, &n_cached, error);
    alloc_free(&s->model->root->alloc, ids.items, ids.capacity * sizeof *ids.items);
    t->run.upto = s->n_tokens - 1;
    t->run.outputs_from = (uint32_t)c->prompt.n - 1;
    return status;
}

/* The next token of the session is what the output at a position should have said. */
static void output(struct task *t, uint32_t position, const float *logits)
{
    struct choose *c = (struct choose *)t;
    const llm_session *s = t->session;
    uint32_t n = tokenizer_info(s->model->tokenizer)->n_tokens;
    double most = -INFINITY, total = 0;
    for (uint32_t i = 0; i < n; i++) most = logits[i] > most ? logits[i] : most;
    for (uint32_t i = 0; i < n; i++) total += exp(logits[i] - most);
    c->sum += logits[s->tokens[position + 1]] - most - log(total);
}

static void end(struct task *t)
{
    struct choose *c = (struct choose *)t;
    size_t n = t->session->n_tokens - c->prompt.n;
    c->logs[t->at] = c->normalize ? c->sum / (double)n : c->sum;
    if (c->logs[t->at] > c->logs[c->best]) c->best = t->at;
}

static void free_choose(struct task *t)
{
    struct choose *c = (struct choose *)t;
    const struct alloc *a = &t->job.root->alloc;
    alloc_free(a, c->prompt.items, c->prompt.capacity * sizeof *c->prompt.items);
    if (c->logs) alloc_free(a, c->logs, c->n_logs * sizeof *c->logs);
}

static const struct task_kind choose_kind = {"choose", begin, output, end, free_choose};

/* An empty session of the same model reads a prompt alike. */
static llm_status open_choose(struct choose *c, llm_model *m, const struct llm_prompt *prompt,
                              size_t n, struct llm_error *error)
{
    c->logs = alloc_zero(&m->root->alloc, n, sizeof *c->logs);
    if (!c->logs) return error_memory(error, "the choices", n * sizeof *c->logs);
    c->n_logs = n;
    const llm_session empty = {.model = m};
    TRY(session_prompt(&empty, prompt, &c->prompt, error));
    if (c->prompt.n > 0) return LLM_OK;
    return error_set(error, LLM_BAD_ARGUMENT,
                     "the prompt is empty, and the model has no beginning token");
}

llm_status llm_model_choose_start(llm_model *m, const struct llm_prompt *prompt,
                                  const struct llm_prompt *choices, size_t n_choices,
                                  uint32_t normalize, llm_job **out, struct llm_error *error)
{
    *out = NULL;
    TRY(model_check_decoder(m, error));
    if (n_choices == 0)
        return error_set(error, LLM_BAD_ARGUMENT, "there is nothing to choose from");
    struct choose *c = alloc_zero(&m->root->alloc, 1, sizeof *c);
    if (!c) return error_memory(error, "the choices", sizeof *c);
    task_open(&c->task, &choose_kind, sizeof *c, m->root);
    c->normalize = normalize != 0;
    llm_status status = open_choose(c, m, prompt, n_choices, error);
    if (status == LLM_OK) status = task_start(&c->task, m, choices, n_choices, error);
    if (status == LLM_OK) *out = &c->task.job;
    else llm_job_free(&c->task.job);
    return status;
}

const double *llm_job_choices(const llm_job *job, size_t *n, size_t *best)
{
    const struct choose *c = (const struct choose *)task_of(job, &choose_kind);
    *n = c ? c->task.n : 0;
    *best = c ? c->best : 0;
    return c ? c->logs : NULL;
}

llm_status llm_model_choose(llm_model *m, const struct llm_prompt *prompt,
                            const struct llm_prompt *choices, size_t n_choices, uint32_t normalize,
                            double *log_probabilities, size_t *best, struct llm_error *error)
{
    llm_job *job;
    TRY(model_check_decoder(m, error));
    TRY(session_may_wait(m->root, "choose", error));
    TRY(llm_model_choose_start(m, prompt, choices, n_choices, normalize, &job, error));
    llm_status status = llm_job_wait(job, -1, NULL, error);
    const struct choose *c = (struct choose *)job;
    if (status == LLM_OK) memcpy(log_probabilities, c->logs, n_choices * sizeof *c->logs);
    *best = c->best;
    llm_job_free(job);
    return status;
}

/* Scoring choices: the log-probability of each one's tokens after a prompt. */
#include <math.h>
#include <string.h>

#include "error.h"
#include "session.h"

struct score {
    const int32_t *tokens; /* of the session: token position + 1 is what the output at position
                              should have said */
    uint32_t n_vocab;
    double sum;
};

static void add_log_probability(void *user, uint32_t position, const float *logits)
{
    struct score *s = user;
    double most = -INFINITY, total = 0;
    for (uint32_t i = 0; i < s->n_vocab; i++) most = logits[i] > most ? logits[i] : most;
    for (uint32_t i = 0; i < s->n_vocab; i++) total += exp(logits[i] - most);
    s->sum += logits[s->tokens[position + 1]] - most - log(total);
}

static llm_status score_choice(llm_session *s, const struct llm_prompt *choice, uint32_t n_prompt,
                               uint32_t normalize, double *out, struct llm_error *error)
{
    const struct alloc *a = &s->model->root->alloc;
    struct ids ids = {0};
    uint32_t n_cached;
    session_cut(s, n_prompt);
    llm_status status = session_prompt(s, choice, &ids, error);
    if (status == LLM_OK && ids.n == 0)
        status = error_set(error, LLM_BAD_ARGUMENT, "choose: a choice is empty");
    if (status == LLM_OK) status = session_append(s, &ids, &n_cached, error);
    struct score score = {s->tokens, tokenizer_info(s->model->tokenizer)->n_tokens, 0};
    if (status == LLM_OK)
        status =
            session_evaluate(s, s->n_tokens - 1, n_prompt - 1, add_log_probability, &score, error);
    *out = normalize ? score.sum / (double)ids.n : score.sum;
    alloc_free(a, ids.items, ids.capacity * sizeof *ids.items);
    return status;
}

static llm_status score_all(llm_session *s, const struct llm_prompt *prompt,
                            const struct llm_prompt *choices, size_t n, uint32_t normalize,
                            double *out, size_t *best, struct llm_error *error)
{
    struct ids ids = {0};
    uint32_t n_cached;
    llm_status status = session_prompt(s, prompt, &ids, error);
    if (status == LLM_OK && ids.n == 0)
        status = error_set(error, LLM_BAD_ARGUMENT,
                           "choose: the prompt is empty, and the model has no beginning token");
    if (status == LLM_OK) status = session_append(s, &ids, &n_cached, error);
    alloc_free(&s->model->root->alloc, ids.items, ids.capacity * sizeof *ids.items);
    uint32_t n_prompt = s->n_tokens;
    *best = 0;
    for (size_t i = 0; i < n && status == LLM_OK; i++) {
        status = score_choice(s, &choices[i], n_prompt, normalize, &out[i], error);
        if (out[i] > out[*best]) *best = i;
    }
    return status;
}

llm_status llm_model_choose(llm_model *m, const struct llm_prompt *prompt,
                            const struct llm_prompt *choices, size_t n_choices, uint32_t normalize,
                            double *log_probabilities, size_t *best, struct llm_error *error)
{
    TRY(model_check(m, error));
    TRY(session_may_wait(m->root, "choose", error));
    if (n_choices == 0)
        return error_set(error, LLM_BAD_ARGUMENT, "choose: there is nothing to choose from");
    llm_session *s;
    TRY(llm_session_create(m, 0, &s, error));
    llm_status status =
        score_all(s, prompt, choices, n_choices, normalize, log_probabilities, best, error);
    llm_session_free(s);
    return status;
}

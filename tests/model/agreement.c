#include "agreement.h"

#include "reference.h"

static void compare(struct agreement *a, const struct reference *r, const double *expected,
                    const float *logits, uint32_t vocab)
{
    int32_t ours = best_of(logits, vocab), theirs = reference_best(r, expected);
    a->mean += (divergence(expected, logits, vocab) - a->mean) / ++a->n;
    a->other += ours != theirs && expected[theirs] - expected[ours] > 1e-3;
}

void agree_many(llm_model *const *models, size_t n_models, const struct memory_file *file,
                const int32_t *ids, size_t n_prompt, size_t n, struct agreement *out)
{
    struct reference *r = reference_open(file->data, file->size, &error);
    if (!r) fail_msg("reference: %s", error.message);
    reference_choose_rope(r, 128);
    uint32_t vocab = reference_vocab(r);
    double *expected = malloc(vocab * sizeof *expected);
    llm_session **sessions = malloc(n_models * sizeof *sessions);
    assert_non_null(expected);
    assert_non_null(sessions);
    for (size_t i = 0; i < n_models; i++) {
        sessions[i] = open_session(models[i]);
        out[i] = (struct agreement){0};
    }
    for (size_t done = 0, take = n_prompt; done < n; done += take, take = 1) {
        assert_true(reference_eval(r, ids + done, take, expected));
        for (size_t i = 0; i < n_models; i++) {
            feed(sessions[i], ids + done, take);
            float *logits = logits_of(sessions[i], vocab);
            compare(&out[i], r, expected, logits, vocab);
            free(logits);
        }
    }
    for (size_t i = 0; i < n_models; i++) llm_session_free(sessions[i]);
    free(sessions);
    free(expected);
    reference_free(r);
}

struct agreement agree(llm_model *model, const struct memory_file *file, const int32_t *ids,
                       size_t n_prompt, size_t n)
{
    struct agreement a;
    agree_many(&model, 1, file, ids, n_prompt, n, &a);
    return a;
}

void tell_story(llm_model *model, int32_t *ids, size_t n)
{
    static const char text[] = "Once upon a time, there was a little girl named";
    llm_session *s = open_session(model);
    struct llm_prompt prompt = {.size = sizeof prompt, .text = text, .text_size = sizeof text - 1};
    struct llm_generate_options o;
    llm_generate_defaults(&o, sizeof o);
    o.temperature = 0;
    o.max_tokens = (int64_t)n - 20;
    llm_generation *g;
    OK(llm_generation_start(s, &prompt, &o, &g, &error));
    llm_generation_wait(g, -1);
    struct llm_result result = {.size = sizeof result};
    assert_int_equal(llm_generation_result(g, &result), LLM_OK);
    assert_int_equal(result.status, LLM_OK);
    size_t n_tokens;
    const int32_t *tokens = llm_session_tokens(s, &n_tokens);
    assert_true(n_tokens + 20 >= n);
    for (size_t i = 0; i < n; i++) ids[i] = tokens[i % n_tokens];
    llm_generation_free(g);
    llm_session_free(s);
}

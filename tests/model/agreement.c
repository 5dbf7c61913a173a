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

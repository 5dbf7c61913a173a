/* Drafts from a session's own tokens: the same tokens come out, in fewer steps. */
#include <stdio.h>

#include "fixture.h"

enum { VOCAB = 320, PROMPT = 40, MOST = 180 };

static llm_model *model;
static struct memory_file file;

static int open_model(void **state)
{
    fixture_open(state);
    struct llm_load_options o;
    load_defaults(&o);
    o.context = PROMPT + MOST + 20;
    model = load_shape(&model_shape_small, &o, &file);
    return 0;
}

static int close_model(void **state)
{
    llm_model_free(model);
    free(file.data);
    return fixture_close(state);
}

struct text {
    int32_t ids[PROMPT + MOST];
    size_t n;
    float logprobs[MOST];
    uint32_t drafted, accepted;
    char finish[16];
};

/* A prompt that repeats itself, so that there is something to draft from its end on. */
static void generate(const struct llm_generate_options *given, uint32_t speculative,
                     struct text *out)
{
    int32_t ids[PROMPT];
    random_ids(ids, PROMPT / 2, VOCAB, 5);
    memcpy(ids + PROMPT / 2, ids, sizeof ids / 2);
    struct llm_generate_options o = *given;
    o.speculative = speculative;
    llm_session *s = open_session(model);
    const struct llm_prompt prompt = ids_prompt(ids, PROMPT);
    llm_generation *g;
    OK(llm_generation_start(s, &prompt, &o, &g, &error));
    llm_generation_wait(g, -1);
    struct llm_result r = {.size = sizeof r};
    assert_int_equal(llm_generation_result(g, &r), LLM_OK);
    assert_int_equal(r.status, LLM_OK);
    const int32_t *tokens = llm_session_tokens(s, &out->n);
    assert_int_equal(out->n, PROMPT + r.tokens);
    memcpy(out->ids, tokens, out->n * sizeof *tokens);
    for (uint32_t i = 0; r.token_logprobs && i < r.tokens; i++)
        out->logprobs[i] = r.token_logprobs[i];
    out->drafted = r.drafted;
    out->accepted = r.accepted;
    snprintf(out->finish, sizeof out->finish, "%s", r.finish);
    llm_generation_free(g);
    assert_computed(model, s, VOCAB);
    llm_session_free(s);
}

static struct text compare(const struct llm_generate_options *o)
{
    static struct text plain, tried;
    generate(o, 0, &plain);
    generate(o, 1, &tried);
    assert_int_equal(plain.n, tried.n);
    assert_memory_equal(plain.ids, tried.ids, plain.n * sizeof *plain.ids);
    assert_string_equal(plain.finish, tried.finish);
    for (size_t i = 0; o->logprobs && i < plain.n - PROMPT; i++)
        assert_true(plain.logprobs[i] == tried.logprobs[i]);
    assert_int_equal(plain.drafted, 0);
    assert_true(tried.accepted <= tried.drafted);
    return tried;
}

static struct llm_generate_options options(double temperature)
{
    static const struct llm_bias no_end = {2, -1000};
    struct llm_generate_options o;
    llm_generate_defaults(&o, sizeof o);
    o.temperature = temperature;
    o.has_seed = 1;
    o.seed = 11;
    o.max_tokens = MOST;
    o.logit_bias = &no_end;
    o.n_logit_bias = 1;
    return o;
}

/* With a bias, the logits of each row are read; without, the device picks. */
static void greedy(void **state)
{
    (void)state;
    struct llm_generate_options o = options(0);
    const struct text t = compare(&o);
    if (t.accepted < 4) fail_msg("%u of %u drafts were right", t.accepted, t.drafted);
    o.n_logit_bias = 0;
    compare(&o);
}

static void sampled(void **state)
{
    (void)state;
    struct llm_generate_options o = options(0.05);
    o.logprobs = 3;
    o.repeat_penalty = 1.05;
    const struct text t = compare(&o);
    assert_true(t.drafted > 0);
    o = options(0.8);
    compare(&o);
}

/* Beside another session nobody tries. */
static void beside(void **state)
{
    (void)state;
    struct llm_generate_options o = options(0);
    o.speculative = 1;
    int32_t ids[2][PROMPT];
    llm_session *s[2];
    llm_generation *g[2];
    for (uint32_t i = 0; i < 2; i++) {
        random_ids(ids[i], PROMPT, VOCAB, 5 + i);
        s[i] = open_session(model);
        const struct llm_prompt prompt = ids_prompt(ids[i], PROMPT);
        OK(llm_generation_start(s[i], &prompt, &o, &g[i], &error));
    }
    for (uint32_t i = 0; i < 2; i++) {
        llm_generation_wait(g[i], -1);
        struct llm_result r = {.size = sizeof r};
        assert_int_equal(llm_generation_result(g[i], &r), LLM_OK);
        assert_int_equal(r.tokens, MOST);
        llm_generation_free(g[i]);
        llm_session_free(s[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(greedy), cmocka_unit_test(sampled),
                                       cmocka_unit_test(beside)};
    return cmocka_run_group_tests(tests, open_model, close_model);
}

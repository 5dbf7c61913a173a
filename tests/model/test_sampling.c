/* What is sampled from the best logits alone is what all of them would have given, alone and beside
 * other sessions. */
#include <math.h>
#include <stdio.h>

#include "edit.h"
#include "fixture.h"
#include "model.h"

enum { VOCAB = 2000, PROMPT = 20, MOST = 40, CASES = 10 };

static llm_model *model;
static struct memory_file file;

static llm_model *open_edited(const struct edit *edits)
{
    struct model_shape shape = model_shape_small;
    struct llm_load_options o;
    struct memory_file plain;
    llm_model *out;
    shape.vocab = VOCAB;
    plain.data = model_make(&shape, &plain.size);
    file.data = edit_gguf(plain.data, plain.size, edits, &file.size);
    free(plain.data);
    load_defaults(&o);
    o.context = PROMPT + MOST + 20;
    o.kv_tokens = CASES * 128;
    OK(load(&file, &o, &out));
    return out;
}

static int open_model(void **state)
{
    const struct edit none[] = {{0}};
    fixture_open(state);
    model = open_edited(none);
    return 0;
}

static int close_model(void **state)
{
    llm_model_free(model);
    free(file.data);
    return fixture_close(state);
}

static const struct llm_bias biases[] = {{7, 3}, {11, -INFINITY}, {900, 2}, {7, 1}};

static struct llm_generate_options options(uint32_t number)
{
    struct llm_generate_options o;
    llm_generate_defaults(&o, sizeof o);
    o.has_seed = 1;
    o.seed = 100 + number;
    o.max_tokens = MOST;
    o.temperature = 3; /* random logits are alike */
    switch (number) {
    case 0: break;
    case 1:
        o.logit_bias = biases;
        o.n_logit_bias = 4;
        break;
    case 2:
        o.repeat_penalty = 1.3;
        o.frequency_penalty = 0.4;
        break;
    case 3:
        o.repeat_penalty = 0.8;
        o.presence_penalty = -0.5;
        o.top_k = 100;
        break;
    case 4:
        o.temperature = 0;
        o.repeat_penalty = 1.2;
        break;
    case 5:
        o.temperature = 0;
        o.logprobs = 4;
        break;
    case 6:
        o.typical_p = 0.5;
        o.top_p = 0.7;
        o.min_p = 0;
        o.logprobs = 50;
        break;
    case 7: o.top_k = 0; break;       /* needs all */
    case 8: o.temperature = 0; break; /* the device's choice */
    case 9:
        o.speculative = 1;
        o.temperature = 0.1;
        o.repeat_penalty = 1.01;
        break;
    }
    return o;
}

struct text {
    int32_t ids[MOST];
    float logprobs[MOST];
    struct llm_logprob best[MOST * 50];
    uint32_t n;
};

static llm_generation *begin(uint32_t number, llm_session **s)
{
    int32_t ids[PROMPT];
    llm_generation *g;
    const struct llm_generate_options o = options(number);
    random_ids(ids, PROMPT, VOCAB, 3 + number);
    *s = open_session(model);
    const struct llm_prompt prompt = ids_prompt(ids, PROMPT);
    OK(llm_generation_start(*s, &prompt, &o, &g, &error));
    return g;
}

static void take(llm_generation *g, llm_session *s, struct text *out)
{
    struct llm_result r = {.size = sizeof r};
    llm_generation_wait(g, -1);
    assert_int_equal(llm_generation_result(g, &r), LLM_OK);
    if (r.status != LLM_OK) fail_msg("%s", r.error);
    memset(out, 0, sizeof *out);
    out->n = r.tokens;
    memcpy(out->ids, r.ids, r.tokens * sizeof *r.ids);
    for (uint32_t i = 0; r.n_logprobs && i < r.tokens; i++) out->logprobs[i] = r.token_logprobs[i];
    for (uint32_t i = 0; i < r.tokens * r.n_logprobs; i++) out->best[i] = r.logprobs[i];
    llm_generation_free(g);
    llm_session_free(s);
}

static void assert_same(const struct text *a, const struct text *b)
{
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->ids, b->ids, a->n * sizeof *a->ids);
    for (uint32_t i = 0; i < a->n; i++) assert_true(fabsf(a->logprobs[i] - b->logprobs[i]) < 1e-5f);
    for (uint32_t i = 0; i < MOST * 50; i++) {

        assert_int_equal(a->best[i].id, b->best[i].id);
        assert_true(fabsf(a->best[i].logprob - b->best[i].logprob) < 1e-5f);
    }
}

static void run_alone(bool all, struct text out[CASES])
{
    model->scheduler.feed = all ? FEED_BY_HOST : FEED_BY_SPEED;
    for (uint32_t i = 0; i < CASES; i++) {
        llm_session *s;
        llm_generation *g = begin(i, &s);
        take(g, s, &out[i]);
    }
    model->scheduler.feed = FEED_BY_SPEED;
}

static void run_together(struct text out[CASES])
{
    llm_session *s[CASES];
    llm_generation *g[CASES];
    for (uint32_t i = 0; i < CASES; i++) g[i] = begin(i, &s[i]);
    for (uint32_t i = 0; i < CASES; i++) take(g[i], s[i], &out[i]);
}

static struct text whole[CASES], alone[CASES], together[CASES];

static void both_ways(void **state)
{
    (void)state;
    run_alone(true, whole);
    run_alone(false, alone);
    run_together(together);
    for (uint32_t i = 0; i < CASES; i++) {
        assert_same(&whole[i], &alone[i]);
        assert_same(&alone[i], &together[i]);
        assert_true(alone[i].n > 0);
    }
    /* Also where the logits that are named come from others' rows, it is the row's own. */
    assert_true(memcmp(alone[0].ids, alone[3].ids, sizeof alone[0].ids) != 0);
}

/* All logits are 0: so many are the best that they do not fit. */
static void all_alike(void **state)
{
    (void)state;
    const struct edit zeros[] = {
        {.kind = TENSOR_SHAPE, .name = "output.weight", .dims = {64, VOCAB}}, {0}};
    llm_model *plain = model;
    struct memory_file old = file;
    model = open_edited(zeros);
    run_alone(true, whole);
    run_alone(false, alone);
    run_together(together);
    for (uint32_t i = 0; i < CASES; i++) {
        assert_same(&whole[i], &alone[i]);
        assert_same(&alone[i], &together[i]);
    }
    assert_int_equal(alone[8].ids[0], 0); /* ties: the lowest */
    for (uint32_t i = 0; i < alone[0].n; i++) assert_in_range(alone[0].ids[i], 0, 39);
    llm_model_free(model);
    free(file.data);
    model = plain;
    file = old;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(both_ways), cmocka_unit_test(all_alike)};
    return cmocka_run_group_tests(tests, open_model, close_model);
}

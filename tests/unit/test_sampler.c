#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "failing.h"
#include "sampler_options.h"

static uint32_t n_vocab; /* of the sampler that was created last */

static struct sampler *create(const struct llm_generate_options *o, uint32_t n)
{
    struct sampler *s;
    assert_int_equal(sampler_create(&s, o, n, &alloc_libc, NULL), LLM_OK);
    n_vocab = n;
    return s;
}

static int downward(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

/* What a device would find: the k best and a few more, in no order. False: they do not fit. */
static bool find_top(struct top *top, const float *logits, uint32_t n, uint32_t k)
{
    static uint32_t random = 1;
    float *sorted = calloc(n, sizeof *sorted);
    assert_non_null(sorted);
    uint32_t numbers = 0;
    *top = (struct top){.most = -INFINITY};
    for (uint32_t i = 0; i < n; i++)
        if (!isnan(logits[i])) sorted[numbers++] = fminf(logits[i], FLT_MAX);
    qsort(sorted, numbers, sizeof *sorted, downward);
    k += next(&random, 10);
    if (numbers) top->most = sorted[0];
    for (uint32_t i = 0, at = next(&random, n); i < n; i++, at = (at + 1) % n) {
        if (!(logits[at] >= -INFINITY)) continue;
        top->sums[at % TOP_PARTS] += expf(fminf(logits[at], FLT_MAX) - top->most);
        if (k <= numbers && fminf(logits[at], FLT_MAX) < sorted[k - 1]) continue;
        if (top->n < TOP_ROOM) top->items[top->n] = (struct top_item){at, logits[at]};
        top->n++;
    }
    free(sorted);
    return top->n <= TOP_ROOM;
}

static uint32_t n_tops; /* picks that were made both ways */

/* The same from the best alone, where the options allow. */
static void check_top(struct sampler *s, const float *logits, uint32_t n, const int32_t *history,
                      size_t n_history, uint64_t position, int32_t want)
{
    static struct top top;
    uint32_t named[TOP_NAMED], n_named;
    const uint32_t k = sampler_wants(s, history, n_history, 0, named, &n_named);
    if (!k || !find_top(&top, logits, n, k)) return;
    for (uint32_t i = 0; i < n_named; i++) top.named[i] = logits[named[i]];
    int32_t id = -1;
    double logprob, same;
    const llm_status status =
        sampler_pick_top(s, &top, history, n_history, position, &id, &logprob, NULL);
    assert_int_equal(status, want < 0 ? LLM_BAD_STATE : LLM_OK);
    n_tops++;
    if (want < 0) return;
    assert_int_equal(id, want);
    assert_int_equal(sampler_pick(s, logits, history, n_history, position, &id, &same, NULL),
                     LLM_OK);
    assert_true(fabs(same - logprob) < 1e-5);
}

static int32_t pick(struct sampler *s, const float *logits, const int32_t *history,
                    size_t n_history, uint64_t position)
{
    int32_t id = -1;
    assert_int_equal(sampler_pick(s, logits, history, n_history, position, &id, NULL, NULL),
                     LLM_OK);
    if (position % 8 == 0) check_top(s, logits, n_vocab, history, n_history, position, id);
    return id;
}

/* ---- an independent sampler: sorts everything, computes in probabilities
 * ------------------------------------------------ */

struct entry {
    int32_t id;
    double logit, p, score;
};

static int by_logit(const void *x, const void *y)
{
    const struct entry *a = x, *b = y;
    return a->logit != b->logit ? (a->logit < b->logit ? 1 : -1)
                                : (a->id > b->id) - (a->id < b->id);
}

static int by_score(const void *x, const void *y)
{
    const struct entry *a = x, *b = y;
    return a->score != b->score ? (a->score > b->score ? 1 : -1)
                                : (a->id > b->id) - (a->id < b->id);
}

static void softmax(struct entry *e, size_t n, double temperature)
{
    double most = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++) most = fmax(most, e[i].logit);
    for (size_t i = 0; i < n; i++) sum += e[i].p = exp((e[i].logit - most) / temperature);
    for (size_t i = 0; i < n; i++) e[i].p /= sum;
}

static size_t share(const struct entry *e, size_t n, double p, bool strictly)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += e[i].p;
        if (strictly ? sum > p : sum >= p) return i + 1;
    }
    return n;
}

/* Fills expected (n) with the probability of each token. */
static void reference(const struct llm_generate_options *o, const float *logits,
                      const int32_t *history, size_t n_history, size_t n, double *expected)
{
    struct entry *e = calloc(n, sizeof *e);
    size_t kept = 0;
    const size_t window = o->penalty_last_n < 0 || (size_t)o->penalty_last_n > n_history
                              ? n_history
                              : (size_t)o->penalty_last_n;
    for (size_t i = 0; i < n; i++) {
        double x = (double)logits[i];
        for (size_t j = 0; j < o->n_logit_bias; j++)
            x += o->logit_bias[j].id == (int32_t)i ? (double)o->logit_bias[j].bias : 0;
        uint32_t count = 0;
        for (size_t j = n_history - window; j < n_history; j++) count += history[j] == (int32_t)i;
        if (count) {
            x = x > 0 ? x / o->repeat_penalty : x * o->repeat_penalty;
            x -= o->presence_penalty + count * o->frequency_penalty;
        }
        if (!isnan(x) && x > -INFINITY)
            e[kept++] = (struct entry){(int32_t)i, (double)(float)x, 0, 0};
    }
    qsort(e, kept, sizeof *e, by_logit);
    if (o->top_k && (size_t)o->top_k < kept) kept = (size_t)o->top_k;
    softmax(e, kept, 1);
    if (o->typical_p < 1) {
        double entropy = 0;
        for (size_t i = 0; i < kept; i++) entropy -= e[i].p > 0 ? e[i].p * log(e[i].p) : 0;
        for (size_t i = 0; i < kept; i++)
            e[i].score = round(1e9 * fabs(-log(e[i].p) - entropy)); /* ties are ties */
        qsort(e, kept, sizeof *e, by_score);
        kept = share(e, kept, o->typical_p, true);
        qsort(e, kept, sizeof *e, by_logit);
        softmax(e, kept, 1);
    }
    if (o->top_p < 1) kept = share(e, kept, o->top_p, false);
    softmax(e, kept, 1);
    size_t m = 0;
    while (m < kept && e[m].p >= o->min_p * e[0].p) m++;
    softmax(e, m, o->temperature);
    for (size_t i = 0; i < n; i++) expected[i] = 0;
    for (size_t i = 0; i < m; i++) expected[e[i].id] = e[i].p;
    free(e);
}

/* Many draws of random settings: no token outside the expected set, all frequencies within five
 * standard deviations. */
static void draws_follow_the_reference(void **state)
{
    (void)state;
    enum { N = 40, DRAWS = 4000 };
    uint32_t random = 5;
    for (int round = 0; round < 40; round++) {
        float logits[N];
        int32_t history[100];
        struct llm_bias bias[3];
        for (int i = 0; i < N; i++)
            logits[i] = (float)next(&random, 4000) / 500 - 4 + (float)i * 1e-3f;
        for (int i = 0; i < 100; i++)
            history[i] = (int32_t)next(&random, N + 10) - 5; /* also out of range */
        for (int i = 0; i < 3; i++)
            bias[i] = (struct llm_bias){(int32_t)next(&random, N),
                                        i ? (float)next(&random, 9) - 4 : -INFINITY};
        if (round % 7 == 0) logits[next(&random, N)] = NAN;
        struct llm_generate_options o = plain();
        o.temperature = 0.3 + next(&random, 20) / 10.0;
        if (next(&random, 2)) o.top_k = 2 + (int32_t)next(&random, 50);
        if (next(&random, 2)) o.top_p = next(&random, 100) / 100.0;
        if (next(&random, 3) == 0) o.typical_p = 0.05 + next(&random, 90) / 100.0;
        if (next(&random, 2)) o.min_p = next(&random, 100) / 300.0;
        if (next(&random, 2)) o.repeat_penalty = 0.5 + next(&random, 20) / 10.0;
        if (next(&random, 2)) o.presence_penalty = next(&random, 20) / 10.0 - 1;
        if (next(&random, 2)) o.frequency_penalty = next(&random, 20) / 20.0 - 0.5;
        o.penalty_last_n = (int32_t)next(&random, 120) - 1;
        o.logit_bias = bias;
        o.n_logit_bias = next(&random, 4);
        double expected[N];
        uint32_t counts[N] = {0};
        reference(&o, logits, history, 100, N, expected);
        struct sampler *s = create(&o, N);
        for (uint32_t i = 0; i < DRAWS; i++) counts[pick(s, logits, history, 100, i)]++;
        for (int i = 0; i < N; i++) {
            const double p = expected[i], deviation = sqrt(DRAWS * p * (1 - p));
            if (fabs(counts[i] - DRAWS * p) > 5 * deviation + 1e-6 &&
                !(p < 1e-3 && counts[i] < 12 && p > 0))
                fail_msg("round %d: token %d came %u times of %d instead of %g", round, i,
                         counts[i], DRAWS, DRAWS * p);
        }
        sampler_free(s);
    }
}

static void top_k_is_exact(void **state)
{
    (void)state;
    enum { N = 3000 };
    static float logits[N];
    uint32_t random = 11;
    for (int round = 0; round < 24; round++) {
        struct llm_generate_options o = plain();
        o.top_k = 1 + (int32_t)next(&random, round % 2 ? 20 : 2000);
        o.temperature = 1e6;                            /* all that are left are equally likely */
        const uint32_t spread = 1 + next(&random, 100); /* many ties */
        for (int i = 0; i < N; i++)
            logits[i] = round % 3 ? (float)next(&random, spread) : (float)(round % 2 ? i : -i);
        double expected[N];
        reference(&o, logits, NULL, 0, N, expected);
        struct sampler *s = create(&o, N);
        for (uint32_t i = 0; i < 2000; i++) assert_true(expected[pick(s, logits, NULL, 0, i)] > 0);
        sampler_free(s);
    }
}

static void same_seed_same_draw(void **state)
{
    (void)state;
    enum { N = 500 };
    float logits[N];
    uint32_t random = 2, differ_by_seed = 0, differ_by_position = 0;
    for (int i = 0; i < N; i++) logits[i] = (float)next(&random, 1000) / 400;
    struct llm_generate_options o = plain(), p = plain();
    p.seed = 43;
    struct sampler *a = create(&o, N), *b = create(&o, N), *c = create(&p, N);
    int32_t forward[100];
    for (uint32_t i = 0; i < 100; i++) forward[i] = pick(a, logits, NULL, 0, i);
    for (uint32_t i = 100; i-- > 0;) assert_int_equal(pick(b, logits, NULL, 0, i), forward[i]);
    for (uint32_t i = 0; i < 100; i++) differ_by_seed += pick(c, logits, NULL, 0, i) != forward[i];
    for (uint32_t i = 1; i < 100; i++) differ_by_position += forward[i] != forward[i - 1];
    assert_true(differ_by_seed > 80 && differ_by_position > 80);
    sampler_free(a);
    sampler_free(b);
    sampler_free(c);
}

static void greedy(void **state)
{
    (void)state;
    const float logits[] = {1, 5, NAN, 5, -INFINITY, 2},
                none[] = {NAN, -INFINITY, NAN, NAN, -INFINITY, NAN};
    const float infinite[] = {1, INFINITY, NAN, INFINITY, -INFINITY, 2};
    const struct llm_bias bias[] = {{1, -INFINITY}, {3, -4.5f}};
    struct llm_generate_options o = plain();
    o.temperature = 0;
    struct sampler *s = create(&o, 6);
    assert_true(sampler_is_argmax(s));
    assert_int_equal(pick(s, logits, NULL, 0, 0), 1);
    assert_int_equal(pick(s, infinite, NULL, 0, 0), 1);
    int32_t id;
    double logprob;
    struct llm_error e;
    assert_int_equal(sampler_pick(s, none, NULL, 0, 0, &id, &logprob, &e), LLM_BAD_STATE);
    assert_int_equal(sampler_pick(s, infinite, NULL, 0, 0, &id, &logprob, &e), LLM_OK);
    assert_true(logprob <= 0 && logprob > -1);
    sampler_free(s);
    o.logit_bias = bias;
    o.n_logit_bias = 2;
    s = create(&o, 6);
    assert_false(sampler_is_argmax(s));
    assert_int_equal(pick(s, logits, NULL, 0, 0), 5);
    sampler_free(s);
    o = plain();
    o.temperature = 1e-300; /* all weight on the best, no NaN */
    s = create(&o, 6);
    assert_false(sampler_is_argmax(s));
    const float apart[] = {1, 4, NAN, 5, -INFINITY, 2};
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(pick(s, apart, NULL, 0, i), 3);
        assert_int_equal(pick(s, infinite, NULL, 0, i) & 1, 1);
    }
    assert_int_equal(sampler_pick(s, none, NULL, 0, 0, &id, NULL, &e), LLM_BAD_STATE);
    sampler_free(s);
}

static void log_probabilities(void **state)
{
    (void)state;
    for (uint32_t n = 1; n < 3000; n += n < 40 ? 1 : 397) {
        float *logits = calloc(n, sizeof *logits);
        uint32_t random = n;
        double sum = 0;
        for (uint32_t i = 0; i < n; i++)
            sum += exp((double)(logits[i] = (float)next(&random, 4000) / 100 - 20));
        struct llm_logprob best[7];
        sampler_best(logits, n, best, 7);
        for (uint32_t i = 0; i < 7; i++) {
            if (i >= n) {
                assert_int_equal(best[i].id, -1);
                continue;
            }
            assert_true(fabs((double)best[i].logprob - ((double)logits[best[i].id] - log(sum))) <
                        2e-6);
            uint32_t rank = 0;
            for (uint32_t j = 0; j < n; j++)
                rank += logits[j] > logits[best[i].id] ||
                        (logits[j] == logits[best[i].id] && j < (uint32_t)best[i].id);
            assert_int_equal(rank, i);
        }
        free(logits);
    }
    const float odd[] = {NAN, 0, -INFINITY, 0};
    struct llm_logprob best[4];
    sampler_best(odd, 4, best, 4);
    assert_int_equal(best[0].id, 1);
    assert_int_equal(best[1].id, 3);
    assert_int_equal(best[2].id, 2);
    assert_int_equal(best[3].id, -1);
    assert_true(fabs((double)best[0].logprob + log(2)) < 1e-6);
}

/* Logits with ties, infinities, NaN and bans; options of all kinds, a few draws of each. */
static void top_is_enough(void **state)
{
    (void)state;
    enum { N = 3000, ROUNDS = 400 };
    static float logits[N];
    uint32_t random = 77;
    n_tops = 0;
    for (int round = 0; round < ROUNDS; round++) {
        int32_t history[70];
        struct llm_bias bias[5];
        const uint32_t spread = 50 + next(&random, 4000);
        for (int i = 0; i < N; i++)
            logits[i] = (float)next(&random, spread) / 200 - 3 + (float)(next(&random, 9) == 0);
        if (round % 5 == 0)
            for (int i = 0; i < N; i += 3) logits[i] = i % 2 ? NAN : -INFINITY;
        if (round % 11 == 0) logits[next(&random, N)] = INFINITY;
        if (round % 13 == 0) logits[next(&random, N)] = FLT_MAX;
        for (int i = 0; i < 70; i++) history[i] = (int32_t)next(&random, N);
        for (int i = 0; i < 5; i++)
            bias[i] = (struct llm_bias){(int32_t)next(&random, N),
                                        i ? (float)next(&random, 9) - 3 : -INFINITY};
        bias[4].id = bias[3].id; /* both count */
        struct llm_generate_options o = plain();
        o.temperature = next(&random, 20) / 10.0;
        o.top_k = 1 + (int32_t)next(&random, 100);
        if (next(&random, 2)) o.top_p = next(&random, 100) / 100.0;
        if (next(&random, 3) == 0) o.typical_p = 0.05 + next(&random, 90) / 100.0;
        if (next(&random, 2)) o.min_p = next(&random, 100) / 300.0;
        if (next(&random, 2)) o.repeat_penalty = 0.5 + next(&random, 20) / 10.0;
        if (next(&random, 2)) o.frequency_penalty = next(&random, 20) / 20.0 - 0.5;
        o.logit_bias = bias;
        o.n_logit_bias = next(&random, 6);
        struct sampler *s = create(&o, N);
        for (uint32_t i = 0; i < 4; i++) pick(s, logits, history, 70, 8 * i);
        sampler_free(s);

        static struct top top;
        struct llm_logprob all[40], best[40];
        if (!find_top(&top, logits, N, 40)) continue;
        sampler_best(logits, N, all, 40);
        sampler_best_top(&top, best, 40);
        for (int i = 0; i < 40; i++) {
            assert_int_equal(best[i].id, all[i].id);
            assert_true(best[i].logprob == all[i].logprob ||
                        fabsf(best[i].logprob - all[i].logprob) < 1e-5f);
        }
    }
    assert_true(n_tops > 3 * ROUNDS);
}

/* What needs all logits says so. */
static void top_has_limits(void **state)
{
    (void)state;
    enum { N = 1000 };
    struct llm_bias bias[TOP_NAMED + 1];
    int32_t history[400];
    uint32_t named[TOP_NAMED], n;
    for (int i = 0; i <= TOP_NAMED; i++) bias[i] = (struct llm_bias){i, 1};
    for (int i = 0; i < 400; i++) history[i] = i % 200;
    const struct {
        int32_t top_k;
        double repeat;
        int32_t last_n;
        uint32_t n_bias, n_logprobs, wants, names;
    } cases[] = {
        {40, 1, 64, 0, 0, 40, 0},
        {0, 1, 64, 0, 0, 0, 0},
        {256, 1, 64, 0, 0, 256, 0},
        {257, 1, 64, 0, 0, 0, 0},
        {128, 1.1, 128, 0, 0, 256, 128},
        {129, 1.1, 128, 0, 0, 0, 128},
        {40, 1.1, 64, 0, 0, 104, 64},
        {40, 1.1, -1, 0, 0, 0, 0}, /* 200 tokens */
        {40, 1.1, 0, 0, 0, 40, 0},
        {40, 1, 64, TOP_NAMED, 0, 168, TOP_NAMED},
        {40, 1, 64, TOP_NAMED + 1, 0, 0, 0},
        {1, 1, 64, 0, 200, 200, 0},
        {40, 1.1, 64, 20, 60, 124, 84},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct llm_generate_options o = plain();
        o.top_k = cases[i].top_k;
        o.repeat_penalty = cases[i].repeat;
        o.penalty_last_n = cases[i].last_n;
        o.logit_bias = bias;
        o.n_logit_bias = cases[i].n_bias;
        struct sampler *s = create(&o, N);
        assert_int_equal(sampler_wants(s, history, 400, cases[i].n_logprobs, named, &n),
                         cases[i].wants);
        if (cases[i].wants) assert_int_equal(n, cases[i].names);
        for (uint32_t k = 0; k < n && cases[i].n_bias == 0; k++) assert_true(named[k] < 200);
        sampler_free(s);
    }
}

static void options_are_named(void **state)
{
    (void)state;
    struct llm_bias bias = {10, 1};
    struct llm_generate_options o[24];
    const char *names[24];
    size_t n = 0;
#define WRONG(field, value) (o[n] = plain(), o[n].field = (value), names[n++] = #field)
    WRONG(max_tokens, -2);
    WRONG(temperature, -1);
    WRONG(temperature, NAN);
    WRONG(temperature, INFINITY);
    WRONG(top_k, -1);
    WRONG(top_p, 1.01);
    WRONG(top_p, NAN);
    WRONG(min_p, -0.1);
    WRONG(typical_p, 2);
    WRONG(repeat_penalty, 0);
    WRONG(repeat_penalty, INFINITY);
    WRONG(presence_penalty, NAN);
    WRONG(frequency_penalty, -INFINITY);
    WRONG(penalty_last_n, -2);
    WRONG(logprobs, 257);
    WRONG(n_logit_bias, 1);
#undef WRONG
    o[n - 1].logit_bias = &bias;
    for (size_t i = 0; i < n; i++) {
        struct sampler *s = (struct sampler *)&bias;
        struct llm_error e;
        assert_int_equal(sampler_create(&s, &o[i], 10, &alloc_libc, &e), LLM_BAD_ARGUMENT);
        assert_null(s);
        const char *name = strncmp(names[i], "n_", 2) == 0 ? names[i] + 2 : names[i];
        if (strncmp(e.message, name, strlen(name)) != 0) fail_msg("%s: %s", name, e.message);
    }
    struct llm_error e;
    struct sampler *s;
    assert_int_equal(sampler_create(&s, &o[1], 10, &alloc_libc, &e), LLM_BAD_ARGUMENT);
    assert_string_equal(e.message, "temperature must be 0 or more, got -1");
}

static void every_allocation_fails(void **state)
{
    (void)state;
    const struct llm_bias bias = {3, 1};
    const float logits[10] = {0};
    struct llm_generate_options o = plain();
    o.logit_bias = &bias;
    o.n_logit_bias = 1;
    o.repeat_penalty = 1.1;
    for (size_t n = 1;; n++) {
        struct failing f = {.fail_at = n};
        const struct alloc a = FAILING(f);
        struct sampler *s;
        const llm_status status = sampler_create(&s, &o, 10, &a, NULL);
        if (status == LLM_OK) {
            const size_t calls = f.calls;
            pick(s, logits, NULL, 0, 0);
            assert_int_equal(calls, f.calls);
        }
        sampler_free(s);
        assert_int_equal(f.bytes, 0);
        if (status == LLM_OK) break;
        assert_int_equal(status, LLM_OUT_OF_MEMORY);
        assert_true(n < 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_follow_the_reference),
        cmocka_unit_test(top_k_is_exact),
        cmocka_unit_test(same_seed_same_draw),
        cmocka_unit_test(greedy),
        cmocka_unit_test(log_probabilities),
        cmocka_unit_test(options_are_named),
        cmocka_unit_test(every_allocation_fails),
        cmocka_unit_test(top_is_enough),
        cmocka_unit_test(top_has_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* DRY, XTC and Mirostat against their definitions, written down plainly. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "failing.h"
#include "sampler_impl.h"
#include "sampler_options.h"

static void numbers(void **state)
{
    (void)state;
    uint32_t random = 3;
    for (int i = 0; i < 100000; i++) {
        const double x = exp(((int)next(&random, 1u << 20) - (1 << 19)) * 1e-3);
        assert_true(fabs(log2_same(x) - log2(x)) <= 4e-15 * fmax(1, fabs(log2(x))));
    }
    for (int n = -1022; n < 1024; n++) assert_true(log2_same(ldexp(1, n)) == n);
}

/* ---- DRY ---- */

enum { SYMBOLS = 4, BREAKS = 3 };

static bool breaks(void *user, int32_t id)
{
    ++*(int *)user;
    return id == BREAKS;
}

/* Whether the n last tokens, none of which breaks, stand before the place at, too. */
static bool stands_before(const int32_t *history, size_t n_history, size_t n, size_t at)
{
    if (n > at || n > n_history) return false;
    for (size_t i = 1; i <= n; i++) {
        if (history[at - i] != history[n_history - i] || history[at - i] == BREAKS) return false;
    }
    return true;
}

static void dry_follows_its_definition(void **state)
{
    (void)state;
    uint32_t random = 17, lowered = 0, long_ones = 0;
    int asked = 0;
    for (int round = 0; round < 3000; round++) {
        int32_t history[120];
        const size_t n = next(&random, 120), period = 1 + next(&random, 40);
        for (size_t i = 0; i < n; i++) {
            const bool repeats = i >= period && round % 3 && next(&random, 50);
            history[i] = repeats ? history[i - period] : (int32_t)next(&random, SYMBOLS);
        }
        struct dry_token tokens[SYMBOLS] = {{0, 0}};
        struct dry d = {0.25 * next(&random, 8),
                        1 + 0.25 * next(&random, 5),
                        1 + (int32_t)next(&random, 5),
                        tokens,
                        breaks,
                        &asked};
        float logits[SYMBOLS];
        for (int i = 0; i < SYMBOLS; i++) logits[i] = (float)next(&random, 100) / 10;
        float expected[SYMBOLS];
        for (int32_t t = 0; t < SYMBOLS; t++) {
            size_t longest = 0;
            for (size_t at = 1; at < n && t != BREAKS; at++)
                for (size_t k = 1; k <= DRY_MOST && history[at] == t; k++)
                    if (k > longest && stands_before(history, n, k, at)) longest = k;
            double x = (double)logits[t];
            if (longest >= (size_t)d.length)
                x -= d.multiplier * pow(d.base, (double)longest - d.length);
            expected[t] = (float)x;
            lowered += longest >= (size_t)d.length;
            long_ones += longest == DRY_MOST;
        }
        dry_apply(&d, logits, SYMBOLS, history, n);
        for (int t = 0; t < SYMBOLS; t++) {
            if (fabsf(logits[t] - expected[t]) > 1e-5f * fmaxf(1, fabsf(expected[t])))
                fail_msg("round %d, token %d: %g instead of %g", round, t, (double)logits[t],
                         (double)expected[t]);
            assert_int_equal(tokens[t].longest, 0);
        }
    }
    assert_true(lowered > 1000 && long_ones > 20 && asked > 0 && asked <= 3000 * SYMBOLS);
}

static void dry_stays_finite(void **state)
{
    (void)state;
    int32_t history[200] = {0};
    struct llm_generate_options o = plain();
    o.temperature = 0;
    o.dry_multiplier = 1e300;
    o.dry_base = 1e30;
    o.dry_length = 1;
    struct sampler *s;
    assert_int_equal(sampler_create(&s, &o, 3, &alloc_libc, NULL), LLM_OK);
    assert_false(sampler_is_argmax(s));
    const float logits[] = {5, -INFINITY, 1};
    int32_t id;
    assert_int_equal(sampler_pick(s, logits, history, 200, 200, &id, NULL, NULL), LLM_OK);
    assert_int_equal(id, 2);
    const float only[] = {5, -INFINITY, NAN}; /* lowered, and still the only one */
    assert_int_equal(sampler_pick(s, only, history, 200, 200, &id, NULL, NULL), LLM_OK);
    assert_int_equal(id, 0);
    for (int i = 0; i < 200; i++) history[i] = i % 2 ? -1 : 7; /* none of the vocabulary */
    assert_int_equal(sampler_pick(s, logits, history, 200, 200, &id, NULL, NULL), LLM_OK);
    assert_int_equal(id, 0);
    assert_int_equal(sampler_pick(s, logits, NULL, 0, 0, &id, NULL, NULL), LLM_OK);
    sampler_free(s);
}

/* ---- XTC ---- */

static void xtc_draws_follow_its_definition(void **state)
{
    (void)state;
    enum { N = 8, DRAWS = 20000 };
    uint32_t random = 23;
    for (int round = 0; round < 30; round++) {
        float logits[N];
        double p[N], kept[N], total = 0, total_kept = 0;
        for (int i = 0; i < N; i++) logits[i] = (float)next(&random, 30) / 10;
        struct llm_generate_options o = plain();
        o.xtc_probability = round % 5 ? next(&random, 101) / 100.0 : round % 2;
        o.xtc_threshold = next(&random, 60) / 100.0;
        o.temperature = 0.5 + next(&random, 10) / 10.0;
        for (int i = 0; i < N; i++) total += p[i] = exp((double)logits[i]);
        int least = -1, reach = 0; /* of those that reach the threshold */
        for (int i = 0; i < N; i++) {
            if (p[i] / total < o.xtc_threshold) continue;
            reach++;
            if (least < 0 || logits[i] <= logits[least]) least = i;
        }
        total = 0;
        for (int i = 0; i < N; i++) {
            const bool out = reach > 1 && i != least && logits[i] >= logits[least];
            total += p[i] = exp((double)logits[i] / o.temperature);
            total_kept += kept[i] = out ? 0 : p[i];
        }
        struct sampler *s;
        assert_int_equal(sampler_create(&s, &o, N, &alloc_libc, NULL), LLM_OK);
        uint32_t counts[N] = {0};
        for (uint32_t i = 0; i < DRAWS; i++) {
            int32_t id;
            assert_int_equal(sampler_pick(s, logits, NULL, 0, i, &id, NULL, NULL), LLM_OK);
            counts[id]++;
        }
        for (int i = 0; i < N; i++) {
            const double x =
                o.xtc_probability * kept[i] / total_kept + (1 - o.xtc_probability) * p[i] / total;
            if (fabs(counts[i] - DRAWS * x) > 5 * sqrt(DRAWS * x * (1 - x)) + 1e-6)
                fail_msg("round %d: token %d came %u times instead of %g", round, i, counts[i],
                         DRAWS * x);
        }
        sampler_free(s);
    }
}

/* ---- Mirostat ---- */

/* Each pick is one that the definition allows, whose mu is told what was picked; and the surprise
 * comes to be tau. */
static void mirostat_follows_its_definition(void **state)
{
    (void)state;
    enum { N = 300, STEPS = 4000 };
    uint32_t random = 29;
    for (int round = 0; round < 4; round++) {
        struct llm_generate_options o = plain();
        o.mirostat_tau = 1.5 + round;
        o.mirostat_eta = 0.1;
        o.top_k = round; /* without effect */
        o.top_p = 0.1;
        struct sampler *s;
        assert_int_equal(sampler_create(&s, &o, N, &alloc_libc, NULL), LLM_OK);
        assert_false(sampler_is_argmax(s));
        double mu = 2 * o.mirostat_tau, surprise = 0;
        for (uint32_t step = 0; step < STEPS; step++) {
            float logits[N];
            double p[N], total = 0, kept = 0;
            for (int i = 0; i < N; i++) logits[i] = (float)next(&random, 1000) / 150;
            for (int i = 0; i < N; i++) total += p[i] = exp((double)logits[i]);
            int best = 0;
            for (int i = 0; i < N; i++) p[i] /= total;
            for (int i = 0; i < N; i++) best = p[i] > p[best] ? i : best;
            for (int i = 0; i < N; i++) kept += -log2(p[i]) <= mu || i == best ? p[i] : 0;
            int32_t id;
            assert_int_equal(sampler_pick(s, logits, NULL, 0, step, &id, NULL, NULL), LLM_OK);
            if (-log2(p[id]) > mu + 1e-9 && id != best) fail_msg("step %u: token %d", step, id);
            const double observed = -log2(p[id] / kept);
            mu -= o.mirostat_eta * (observed - o.mirostat_tau);
            if (step >= STEPS / 2) surprise += observed / (STEPS - STEPS / 2);
        }
        if (fabs(surprise - o.mirostat_tau) > 0.1)
            fail_msg("surprise of %g bits instead of %g", surprise, o.mirostat_tau);
        sampler_free(s);
    }
}

/* ---- options ---- */

static void options_are_named(void **state)
{
    (void)state;
    struct llm_generate_options o[16];
    const char *names[16];
    size_t n = 0;
#define WRONG(field, value)                                                                        \
    (o[n] = plain(), o[n].dry_multiplier = o[n].dry_base = o[n].dry_length = 1,                    \
     o[n].field = (value), names[n++] = #field)
    WRONG(dry_multiplier, -1);
    WRONG(dry_multiplier, NAN);
    WRONG(dry_base, 0.5);
    WRONG(dry_base, INFINITY);
    WRONG(dry_length, 0);
    WRONG(xtc_probability, 1.5);
    WRONG(xtc_threshold, -0.1);
    WRONG(xtc_threshold, NAN);
    WRONG(mirostat_tau, -1);
    WRONG(mirostat_tau, INFINITY);
    WRONG(mirostat_eta, 2);
#undef WRONG
    for (size_t i = 0; i < n; i++) {
        struct sampler *s = NULL;
        struct llm_error e;
        assert_int_equal(sampler_create(&s, &o[i], 10, &alloc_libc, &e), LLM_BAD_ARGUMENT);
        if (strncmp(e.message, names[i], strlen(names[i])) != 0)
            fail_msg("%s: %s", names[i], e.message);
    }
}

static void every_allocation_fails(void **state)
{
    (void)state;
    struct llm_generate_options o = plain();
    o.dry_multiplier = o.dry_base = o.dry_length = 1;
    o.mirostat_tau = 5;
    for (size_t n = 1;; n++) {
        struct failing f = {.fail_at = n};
        const struct alloc a = FAILING(f);
        struct sampler *s;
        const llm_status status = sampler_create(&s, &o, 10, &a, NULL);
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
        cmocka_unit_test(numbers),
        cmocka_unit_test(dry_follows_its_definition),
        cmocka_unit_test(dry_stays_finite),
        cmocka_unit_test(xtc_draws_follow_its_definition),
        cmocka_unit_test(mirostat_follows_its_definition),
        cmocka_unit_test(options_are_named),
        cmocka_unit_test(every_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

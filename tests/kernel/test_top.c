/* The best logits of rows, in any company and of any kind. */
#include "bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum kind { ANY, TIES, FEW, NOTHING, MASKED, INFINITE, LOW_IDS, SPREAD, N_KINDS };

static void fill(float *x, uint32_t n, enum kind kind)
{
    for (uint32_t k = 0; k < n; k++) {
        switch (kind) {
        case ANY: x[k] = 20 * bench_uniform() - 5; break;
        case TIES: x[k] = (float)(bench_random() % 2000) / 100; break;
        case FEW: x[k] = k % 97 == 5 ? bench_uniform() : NAN; break;
        case NOTHING: x[k] = k % 3 ? NAN : -INFINITY; break;
        case MASKED: x[k] = k % 50 ? -INFINITY : bench_uniform(); break;
        case INFINITE: x[k] = k % 1000 == 9 ? INFINITY : 1e30f * bench_uniform(); break;
        case LOW_IDS: x[k] = (k < 600 ? 5.0f : -5.0f) + bench_uniform(); break;
        case SPREAD:
            x[k] = (k % 2 ? -1.0f : 1.0f) *
                   ldexpf(1 + fabsf(bench_uniform()), (int)(bench_random() % 200) - 100);
            break;
        case N_KINDS: break;
        }
    }
    if (kind == ANY) x[n / 2] = -0.0f;
}

static bool is_number(float x)
{
    return !isnan(x);
}

static float capped(float x)
{
    return x > 3.40282347e38f ? 3.40282347e38f : x;
}

static int by_id(const void *a, const void *b)
{
    const struct top_item *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static int downward(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

/* All logits from some value on, each once; the k best, unless they are more than fit. */
static void check_items(const struct top *top, const float *x, uint32_t n, uint32_t k,
                        uint32_t kind)
{
    struct top_item items[TOP_ROOM];
    float *sorted = malloc(n * sizeof *sorted), least = INFINITY;
    assert_non_null(sorted);
    uint32_t numbers = 0, reach = 0;
    for (uint32_t i = 0; i < n; i++)
        if (is_number(x[i])) sorted[numbers++] = capped(x[i]);
    qsort(sorted, numbers, sizeof *sorted, downward);
    if (top->n > TOP_ROOM) assert_true(kind != ANY && kind != LOW_IDS);
    else {
        memcpy(items, top->items, top->n * sizeof *items);
        qsort(items, top->n, sizeof *items, by_id);
        for (uint32_t i = 0; i < top->n; i++) {
            assert_true(items[i].id < n && (i == 0 || items[i].id > items[i - 1].id));
            assert_memory_equal(&items[i].logit, &x[items[i].id], sizeof(float));
            assert_true(is_number(items[i].logit));
            least = fminf(least, capped(items[i].logit));
        }
        for (uint32_t i = 0; i < numbers; i++) reach += sorted[i] >= least;
        assert_int_equal(reach, top->n);
        assert_true(top->n >= (k < numbers ? k : numbers));
    }
    free(sorted);
}

static void check_sum(const struct top *top, const float *x, uint32_t n)
{
    float most = -INFINITY;
    double want = 0, got = 0;
    for (uint32_t i = 0; i < n; i++) most = x[i] > most ? capped(x[i]) : most;
    if (most == -INFINITY) {
        assert_true(!(top->most > -INFINITY));
        return;
    }
    assert_true(top->most == most);
    for (uint32_t i = 0; i < n; i++)
        if (is_number(x[i])) want += exp((double)capped(x[i]) - (double)most);
    for (uint32_t i = 0; i < TOP_PARTS; i++) got += (double)top->sums[i];
    assert_true(fabs(got - want) <= 1e-5 * want);
}

static void try_top(struct bench *b, uint32_t n, uint32_t k)
{
    enum { ROWS = 16 };
    struct llm_error error = {0};
    const uint32_t stride = ops_stride(n);
    struct gpu_buffer logits = bench_buffer(b, (uint64_t)ROWS * stride * 4),
                      groups = bench_buffer(b, ROWS * ops_top_scratch()),
                      out = bench_buffer(b, ROWS * sizeof(struct top));
    struct bench_step s = bench_step(b, 1, ROWS, 1, 2);
    for (uint32_t r = 0; r < ROWS; r++) {
        float *x = (float *)logits.map + r * stride;
        fill(x, n, (enum kind)(r % N_KINDS));
        for (uint32_t i = n; i < stride; i++) x[i] = 1000;
        s.tops[r] = (struct step_top){.k = r == 15 ? 0 : k, .n_named = r * 8};
        for (uint32_t i = 0; i < r * 8; i++) s.tops[r].named[i] = bench_random() % n;
    }
    struct gpu_commands *c = bench_begin(b);
    bench_ok(ops_top(b->ops, c, &logits, n, &s.step, &groups, &out, ROWS, &error), &error);
    bench_run(b, c);
    for (uint32_t r = 0; r < ROWS; r++) {
        const struct top *top = (const struct top *)out.map + r;
        const float *x = (const float *)logits.map + r * stride;
        if (r == 15) {
            assert_true(isnan(top->most));
            continue;
        }
        check_items(top, x, n, k, r % N_KINDS);
        check_sum(top, x, n);
        for (uint32_t i = 0; i < r * 8; i++)
            assert_memory_equal(&top->named[i], &x[s.tops[r].named[i]], sizeof(float));
        if (r % N_KINDS == ANY && n > 1000) assert_true(top->n <= k + k / 2 + 40);
    }
    struct gpu_buffer *const used[] = {&logits, &groups, &out, &s.step.buffer};
    for (size_t i = 0; i < sizeof used / sizeof *used; i++) bench_free(b, used[i]);
}

static void tops(void **state)
{
    const uint32_t sizes[] = {32, 33, 511, 513, 2050, 32003, 49152, 300000}, best[] = {1, 40, 256};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t k = 0; k < sizeof best / sizeof *best; k++) try_top(*state, sizes[i], best[k]);
}

/* A row's sums, and what is collected, are the same in any company. */
static void same_row(void **state)
{
    enum { N = 32000 };
    struct bench *b = *state;
    struct llm_error error = {0};
    struct gpu_buffer logits = bench_buffer(b, 4 * N * 4),
                      groups = bench_buffer(b, 4 * ops_top_scratch());
    struct bench_step s = bench_step(b, 1, 4, 1, 2);
    struct top first = {0};
    fill(logits.map, 4 * N, ANY);
    for (uint32_t rows = 1; rows <= 4; rows++) {
        struct gpu_buffer out = bench_buffer(b, rows * sizeof(struct top));
        for (uint32_t r = 0; r < rows; r++) s.tops[r] = (struct step_top){.k = 40};
        struct gpu_commands *c = bench_begin(b);
        bench_ok(ops_top(b->ops, c, &logits, N, &s.step, &groups, &out, rows, &error), &error);
        bench_run(b, c);
        struct top *top = out.map;
        qsort(top->items, top->n, sizeof *top->items, by_id);
        if (rows == 1) first = *top;
        assert_memory_equal(top, &first, offsetof(struct top, items) + top->n * sizeof *top->items);
        bench_free(b, &out);
    }
    bench_free(b, &logits);
    bench_free(b, &groups);
    bench_free(b, &s.step.buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tops), cmocka_unit_test(same_row)};
    return cmocka_run_group_tests(tests, bench_setup, bench_teardown);
}

/* What is done to products before they are stored: biases and activations. */
#include "bench.h"

#include <math.h>
#include <stdlib.h>

enum { ROWS = 172, COLS = 64, N = 8 };

static double expected(const struct activation *a, double v)
{
    const double alpha_n = (double)a->a[0], alpha_p = (double)a->a[1], beta = (double)a->a[2],
                 eps = (double)a->a[3];
    switch (a->kind) {
    case ACTIVATION_NONE: return v;
    case ACTIVATION_SILU: return v / (1 + exp(-v));
    case ACTIVATION_GELU:
        return v / 2 * (1 + tanh(0.79788456080286535588 * (v + 0.044715 * v * v * v)));
    case ACTIVATION_GELU_ERF: return v / 2 * (1 + erf(v / sqrt(2)));
    case ACTIVATION_RELU2: return v > 0 ? v * v : 0;
    case ACTIVATION_XIELU:
        if (v > 0) return alpha_p * v * v + beta * v;
        return alpha_n * (expm1(fmin(v, eps)) - v) + beta * v;
    case ACTIVATION_SOFTCAP: return alpha_n * tanh(v / alpha_n);
    case ACTIVATION_SILU_CLAMPED: break; /* of experts: test_experts.c */
    }
    return NAN;
}

/* Products from next to nothing to what overflows an exponential. */
static void try_activation(struct bench *b, const struct activation *a, bool bias)
{
    static const float sizes[N] = {1e-6f, 0.1f, 1, 2, 5, 30, 1000, 0};
    struct llm_error error = {0};
    float weights[ROWS * COLS];
    struct gpu_buffer buffer, x = bench_buffer(b, N * COLS * 4),
                              y = bench_buffer(b, (uint64_t)N * ops_stride(ROWS) * 4),
                              biases = bench_buffer(b, ROWS * 4);
    for (uint32_t i = 0; i < ROWS * COLS; i++) weights[i] = bench_uniform();
    struct weight w = bench_weight(b, QUANT_F32, ROWS, COLS, weights, &buffer);
    if (bias) w.bias = (struct gpu_range){&biases, 0, ROWS * 4};
    float *in = x.map, *added = biases.map;
    for (uint32_t i = 0; i < N * COLS; i++) in[i] = bench_uniform() * sizes[i / COLS];
    for (uint32_t i = 0; i < ROWS; i++) added[i] = bench_uniform();
    struct gpu_commands *c = bench_begin(b);
    bench_ok(ops_activated(b->ops, c, &w, a, &x, VALUES_F32, &y, VALUES_F32, N, &error), &error);
    bench_run(b, c);
    for (uint32_t i = 0; i < N; i++) {
        const float *got = (const float *)y.map + (size_t)i * ops_stride(ROWS);
        double off = 0, all = 1e-30;
        for (uint32_t r = 0; r < ROWS; r++) {
            double sum = bias ? (double)added[r] : 0;
            for (uint32_t k = 0; k < COLS; k++)
                sum += (double)weights[r * COLS + k] * (double)in[i * COLS + k];
            const double want = expected(a, sum), d = (double)got[r] - want;
            assert_true(isfinite(got[r]));
            off += d * d;
            all += want * want;
        }
        if (!(off <= 1e-10 * all))
            fail_msg("activation %d, row %u: NMSE %g", a->kind, i, off / all);
    }
    struct gpu_buffer *const used[] = {&buffer, &x, &y, &biases};
    for (size_t i = 0; i < sizeof used / sizeof *used; i++) bench_free(b, used[i]);
}

static void activations(void **state)
{
    static const struct activation all[] = {
        {ACTIVATION_NONE, {0}},     {ACTIVATION_SILU, {0}},
        {ACTIVATION_GELU, {0}},     {ACTIVATION_GELU_ERF, {0}},
        {ACTIVATION_RELU2, {0}},    {ACTIVATION_XIELU, {1.3f, 0.8f, 0.5f, -1e-6f}},
        {ACTIVATION_SOFTCAP, {30}},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        try_activation(*state, &all[i], false);
        try_activation(*state, &all[i], true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(activations)};
    return cmocka_run_group_tests(tests, bench_setup, bench_teardown);
}

/* The kernels that take a row at a time: norm and argmax. */
#include "bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void try_norm(struct bench *b, uint32_t dim, uint32_t n, bool gather)
{
    struct llm_error error = {0};
    const uint32_t stride = ops_stride(dim), n_in = 40;
    const float eps = 1e-5f;
    struct gpu_buffer in = bench_buffer(b, (uint64_t)n_in * stride * 4),
                      out = bench_buffer(b, (uint64_t)n * stride * 4);
    struct gpu_buffer gain = bench_buffer(b, dim * 4);
    struct bench_step s = bench_step(b, n, n, 1, 1);
    float *x = in.map, *g = gain.map, *y = out.map;
    for (uint32_t i = 0; i < n_in * stride; i++) x[i] = 3 * bench_uniform();
    for (uint32_t i = 0; i < dim; i++) g[i] = bench_uniform();
    for (uint32_t i = 0; i < n; i++) s.outputs[i] = i * 7 % n_in;

    struct gpu_commands *c = bench_begin(b);
    const struct gpu_range range = {&gain, 0, dim * 4};
    bench_ok(ops_norm(b->ops, c, &in, &range, &out, dim, eps, &s.step, gather, n, &error), &error);
    bench_run(b, c);
    double *want = malloc(dim * sizeof *want);
    assert_non_null(want);
    for (uint32_t i = 0; i < n; i++) {
        const float *row = x + (size_t)(gather ? s.outputs[i] : i) * stride;
        double sum = 0;
        for (uint32_t k = 0; k < dim; k++) sum += (double)row[k] * row[k];
        for (uint32_t k = 0; k < dim; k++) want[k] = row[k] / sqrt(sum / dim + (double)eps) * g[k];
        assert_true(bench_nmse(y + (size_t)i * stride, want, dim) <= 1e-12);
        for (uint32_t k = dim; k < stride; k++) assert_true(isnan(y[(size_t)i * stride + k]));
    }
    free(want);
    bench_free(b, &in);
    bench_free(b, &out);
    bench_free(b, &gain);
    bench_free(b, &s.step.buffer);
}

static void norm_rows(void **state)
{
    const uint32_t dims[] = {4, 64, 172, 576, 8192};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
        try_norm(*state, dims[i], 1, false);
        try_norm(*state, dims[i], 32, false);
        try_norm(*state, dims[i], 16, true);
    }
}

static uint32_t best_of(const float *x, uint32_t n)
{
    uint32_t best = n;
    for (uint32_t i = 0; i < n; i++) {
        if (!isnan(x[i]) && (best == n || x[i] > x[best])) best = i;
    }
    return best == n ? 0 : best;
}

static void argmax_rows(void **state)
{
    struct bench *b = *state;
    const uint32_t sizes[] = {1, 2, 31, 512, 32003, 49152}, rows = 8;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct llm_error error = {0};
        uint32_t n = sizes[i], stride = ops_stride(n);
        struct gpu_buffer logits = bench_buffer(b, (uint64_t)rows * stride * 4),
                          out = bench_buffer(b, rows * 4);
        float *x = logits.map;
        for (uint32_t r = 0; r < rows; r++) {
            float *row = x + (size_t)r * stride;
            for (uint32_t k = 0; k < stride; k++) row[k] = k < n ? bench_uniform() - 2 : 1000.0f;
            if (r == 1) row[0] = NAN;
            if (r == 2)
                for (uint32_t k = 0; k < n; k++) row[k] = NAN;
            if (r == 3) row[n / 3] = row[n / 2] = row[n - 1] = 5; /* a tie */
            if (r == 4)
                for (uint32_t k = 0; k < n; k++) row[k] = -INFINITY;
            if (r == 5) row[n - 1] = INFINITY;
            if (r == 6)
                for (uint32_t k = 0; k < n; k++) row[k] = k % 3 ? -1.0f : NAN;
        }
        struct gpu_commands *c = bench_begin(b);
        bench_ok(ops_argmax(b->ops, c, &logits, n, &out, rows, &error), &error);
        bench_run(b, c);
        for (uint32_t r = 0; r < rows; r++) {
            assert_int_equal(((uint32_t *)out.map)[r], best_of(x + (size_t)r * stride, n));
        }
        bench_free(b, &logits);
        bench_free(b, &out);
    }
}

static void gate_up(void **state)
{
    struct bench *b = *state;
    struct llm_error error = {0};
    const uint32_t rows = 172, cols = 64, n = 16, stride = ops_stride(rows);
    float *bytes[2];
    struct gpu_buffer buffers[2];
    struct weight w[2];
    for (int i = 0; i < 2; i++) {
        bytes[i] = malloc(rows * cols * sizeof(float));
        assert_non_null(bytes[i]);
        for (uint32_t k = 0; k < rows * cols; k++) bytes[i][k] = bench_uniform();
        w[i] = bench_weight(b, QUANT_F32, rows, cols, bytes[i], &buffers[i]);
    }
    struct gpu_buffer x = bench_buffer(b, n * cols * 4),
                      y = bench_buffer(b, (uint64_t)n * stride * 4);
    float *in = x.map;
    for (uint32_t i = 0; i < n * cols; i++) in[i] = bench_uniform() * (i / cols == 3 ? 1000 : 2);
    struct gpu_commands *c = bench_begin(b);
    bench_ok(ops_gate_up(b->ops, c, &w[0], &w[1], &x, &y, n, &error), &error);
    bench_run(b, c);
    for (uint32_t i = 0; i < n; i++) {
        double want[172];
        for (uint32_t r = 0; r < rows; r++) {
            double sums[2] = {0, 0};
            for (uint32_t k = 0; k < cols; k++) {
                for (int m = 0; m < 2; m++)
                    sums[m] += (double)bytes[m][r * cols + k] * in[i * cols + k];
            }
            want[r] = sums[0] / (1 + exp(-sums[0])) * sums[1];
        }
        assert_true(bench_nmse((const float *)y.map + (size_t)i * stride, want, rows) <= 1e-10);
    }
    for (int i = 0; i < 2; i++) {
        free(bytes[i]);
        bench_free(b, &buffers[i]);
    }
    bench_free(b, &x);
    bench_free(b, &y);
}

static void residual(void **state)
{
    struct bench *b = *state;
    struct llm_error error = {0};
    const uint32_t rows = 64, cols = 96, n = 8;
    float weights[64 * 96];
    struct gpu_buffer buffer, x = bench_buffer(b, n * cols * 4), y = bench_buffer(b, n * rows * 4);
    float *in = x.map, *out = y.map;
    double want[8 * 64];
    for (uint32_t k = 0; k < rows * cols; k++) weights[k] = bench_uniform();
    for (uint32_t k = 0; k < n * cols; k++) in[k] = bench_uniform();
    for (uint32_t i = 0; i < n * rows; i++) {
        out[i] = 10 * bench_uniform();
        want[i] = out[i];
        for (uint32_t k = 0; k < cols; k++)
            want[i] += (double)weights[i % rows * cols + k] * in[i / rows * cols + k];
    }
    struct weight w = bench_weight(b, QUANT_F32, rows, cols, weights, &buffer);
    struct gpu_commands *c = bench_begin(b);
    bench_ok(ops_matrix(b->ops, c, &w, &x, &y, rows, 0, true, n, &error), &error);
    bench_run(b, c);
    assert_true(bench_nmse(out, want, n * rows) <= 1e-10);
    bench_free(b, &buffer);
    bench_free(b, &x);
    bench_free(b, &y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norm_rows),
        cmocka_unit_test(argmax_rows),
        cmocka_unit_test(gate_up),
        cmocka_unit_test(residual),
    };
    return cmocka_run_group_tests(tests, bench_setup, bench_teardown);
}

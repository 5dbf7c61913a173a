/* The kernels that take a row at a time: norm and argmax. */
#include "bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Rounded values are within half a step; each word has its block's scale and sum. */
static void check_integers(const float *row, const double *want, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        double step = row[k / 4 * 4 + 2];
        assert_true(fabs(bench_value(row, VALUES_INT, k) - want[k]) <= step * 0.5001);
        if (k % 32) continue;
        double most = 0, sums[2] = {0, 0};
        for (uint32_t i = 0; i < 32; i++) {
            sums[i / 16] += bench_value(row, VALUES_INT, k + i) / step;
            most = fmax(most, fabs(want[k + i]));
        }
        assert_true(fabs(step * 255 - most) <= 1e-6 * most);
        for (uint32_t i = k; i < k + 32; i += 4) {
            const int16_t *got = (const int16_t *)(row + i + 3);
            assert_true(row[i + 2] == row[k + 2]);
            for (int h = 0; h < 2 && step > 0; h++) assert_true(fabs(got[h] - sums[h]) <= 1e-3);
        }
    }
}

static const struct activation silu = {ACTIVATION_SILU, {0}};

/* Whether this device takes integers at all. */
static bool has_integers(const struct bench *b)
{
    const struct weight w = {.type = QUANT_Q4_0, .rows = 32, .cols = 32};
    return ops_values(b->ops, &w) == VALUES_INT;
}

static void try_norm(struct bench *b, enum values values, uint32_t dim, uint32_t n, bool gather)
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
    for (uint32_t i = 0; i < 32 && i < dim; i++) x[7 * stride + i] = 0;
    for (uint32_t i = 0; i < dim; i++) g[i] = bench_uniform();
    for (uint32_t i = 0; i < n; i++) s.outputs[i] = i * 7 % n_in;

    struct gpu_commands *c = bench_begin(b);
    const struct gpu_range range = {&gain, 0, dim * 4};
    const struct norm norm = {.gain = &range, .out = &out, .values = values, .eps = eps};
    bench_ok(ops_norm(b->ops, c, &in, &norm, dim, &s.step, gather, n, &error), &error);
    bench_run(b, c);
    double *want = malloc(dim * sizeof *want);
    assert_non_null(want);
    for (uint32_t i = 0; i < n; i++) {
        const float *row = x + (size_t)(gather ? s.outputs[i] : i) * stride;
        double sum = 0;
        for (uint32_t k = 0; k < dim; k++) sum += (double)row[k] * row[k];
        for (uint32_t k = 0; k < dim; k++) want[k] = row[k] / sqrt(sum / dim + (double)eps) * g[k];
        if (values == VALUES_INT) check_integers(y + (size_t)i * stride, want, dim);
        else assert_true(bench_nmse(y + (size_t)i * stride, want, dim) <= 1e-12);
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
        for (enum values v = VALUES_F32; v <= VALUES_INT; v++) {
            if (v == VALUES_INT && (!has_integers(*state) || dims[i] % 32)) continue;
            try_norm(*state, v, dims[i], 1, false);
            try_norm(*state, v, dims[i], 32, false);
            try_norm(*state, v, dims[i], 16, true);
        }
    }
}

/* Centered, with a bias, added, in the middle of longer rows, in parts: all that layers ask for. */
static void try_norm_kind(struct bench *b, uint32_t dim, uint32_t parts, uint32_t kind)
{
    struct llm_error error = {0};
    enum { N = 4 };
    const bool centered = kind & 1, bias = kind & 2, add = kind & 4, inside = kind & 8;
    const uint32_t stride = ops_stride(dim * parts) + 64, at = inside ? 32 : 0;
    struct gpu_buffer in = bench_buffer(b, N * stride * 4), out = bench_buffer(b, N * stride * 4),
                      terms = bench_buffer(b, 2 * 8192 * 4);
    struct bench_step s = bench_step(b, N, N, 1, 1);
    float *x = in.map, *gain = terms.map, *y = out.map, *before = malloc(N * stride * 4);
    assert_non_null(before);
    for (uint32_t i = 0; i < N * stride; i++) x[i] = 2 + bench_uniform();
    for (uint32_t i = 0; i < N * stride; i++) before[i] = y[i] = bench_uniform();
    for (uint32_t i = 0; i < 2 * 8192; i++) gain[i] = bench_uniform();
    const struct gpu_range gains = {&terms, 0, 8192 * 4}, biases = {&terms, 8192 * 4, 8192 * 4};
    const struct norm norm = {.gain = &gains,
                              .bias = bias ? &biases : NULL,
                              .out = &out,
                              .eps = 1e-5f,
                              .centered = centered,
                              .add = add,
                              .stride = stride,
                              .at = at,
                              .parts = parts};
    struct gpu_commands *c = bench_begin(b);
    bench_ok(ops_norm(b->ops, c, &in, &norm, dim, &s.step, false, N, &error), &error);
    bench_run(b, c);
    double *want = malloc(dim * sizeof *want);
    assert_non_null(want);
    for (uint32_t i = 0; i < N * parts; i++) {
        const uint32_t term = i % parts * dim, from = i / parts * stride + at + term;
        const float *row = x + from, *old = before + from;
        double mean = 0, sum = 0;
        for (uint32_t k = 0; k < dim && centered; k++) mean += (double)row[k] / dim;
        for (uint32_t k = 0; k < dim; k++) sum += pow((double)row[k] - mean, 2);
        for (uint32_t k = 0; k < dim; k++)
            want[k] = ((double)row[k] - mean) / sqrt(sum / dim + 1e-5) * (double)gain[term + k] +
                      (bias ? (double)gain[8192 + term + k] : 0) + (add ? (double)old[k] : 0);
        assert_true(bench_nmse(y + from, want, dim) <= 1e-12);
        if (i % parts + 1 == parts) assert_true(y[from + dim] == old[dim]);
    }
    free(want);
    free(before);
    struct gpu_buffer *const used[] = {&in, &out, &terms, &s.step.buffer};
    for (size_t i = 0; i < sizeof used / sizeof *used; i++) bench_free(b, used[i]);
}

static void norm_kinds(void **state)
{
    const uint32_t dims[] = {4, 172, 576, 8192};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
        for (uint32_t kind = 0; kind < 16; kind++) try_norm_kind(*state, dims[i], 1, kind);
    for (uint32_t kind = 0; kind < 16; kind++) try_norm_kind(*state, 24, 5, kind);
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

static void try_gate_up(struct bench *b, enum quant_type up_type)
{
    struct llm_error error = {0};
    const enum quant_type types[] = {QUANT_F32, up_type};
    const uint32_t rows = 172, cols = 64, n = 16, stride = ops_stride(rows);
    float *weights[2];
    struct gpu_buffer buffers[2];
    struct weight w[2];
    for (int i = 0; i < 2; i++) {
        weights[i] = malloc(rows * cols * sizeof(float));
        assert_non_null(weights[i]);
        for (uint32_t k = 0; k < rows * cols; k++) weights[i][k] = bench_uniform();
        uint8_t *blocks = malloc(rows * cols * sizeof(float));
        assert_non_null(blocks);
        quant_encode(types[i], weights[i], blocks, rows * cols);
        quant_decode(types[i], blocks, weights[i], rows * cols);
        w[i] = bench_weight(b, types[i], rows, cols, blocks, &buffers[i]);
        free(blocks);
    }
    struct gpu_buffer x = bench_buffer(b, n * cols * 4),
                      y = bench_buffer(b, (uint64_t)n * stride * 4);
    float *in = x.map;
    for (uint32_t i = 0; i < n * cols; i++) in[i] = bench_uniform() * (i / cols == 3 ? 1000 : 2);
    struct gpu_commands *c = bench_begin(b);
    bench_ok(ops_gate_up(b->ops, c, &w[0], &w[1], &silu, &x, VALUES_F32, &y, VALUES_F32, n, &error),
             &error);
    bench_run(b, c);
    for (uint32_t i = 0; i < n; i++) {
        double want[172];
        for (uint32_t r = 0; r < rows; r++) {
            double sums[2] = {0, 0};
            for (uint32_t k = 0; k < cols; k++) {
                for (int m = 0; m < 2; m++)
                    sums[m] += (double)weights[m][r * cols + k] * in[i * cols + k];
            }
            want[r] = sums[0] / (1 + exp(-sums[0])) * sums[1];
        }
        assert_true(bench_nmse((const float *)y.map + (size_t)i * stride, want, rows) <= 1e-10);
    }
    for (int i = 0; i < 2; i++) {
        free(weights[i]);
        bench_free(b, &buffers[i]);
    }
    bench_free(b, &x);
    bench_free(b, &y);
}

static void gate_up(void **state)
{
    try_gate_up(*state, QUANT_F32);
    try_gate_up(*state, QUANT_Q5_1);
}

/* Integers in and out, against what f32 gives. */
static void try_gate_up_integers(struct bench *b, enum quant_type up_type)
{
    struct llm_error error = {0};
    const enum quant_type types[] = {QUANT_Q4_0, up_type};
    enum { ROWS = 96, COLS = 64, N = 4 };
    uint8_t bytes[2][ROWS * COLS / 32 * 20];
    float decoded[2][ROWS * COLS];
    struct gpu_buffer buffers[2], gain = bench_buffer(b, COLS * 4);
    struct gpu_buffer x = bench_buffer(b, N * COLS * 4), in = bench_buffer(b, N * COLS * 4),
                      y = bench_buffer(b, N * ROWS * 4);
    struct weight w[2];
    for (int i = 0; i < 2; i++) {
        bench_random_blocks(types[i], bytes[i], ROWS * COLS);
        quant_decode(types[i], bytes[i], decoded[i], ROWS * COLS);
        w[i] = bench_weight(b, types[i], ROWS, COLS, bytes[i], &buffers[i]);
    }
    float *from = in.map, *gains = gain.map;
    for (uint32_t i = 0; i < N * COLS; i++) from[i] = bench_uniform();
    for (uint32_t i = 0; i < COLS; i++) gains[i] = 1;
    struct bench_step s = bench_step(b, N, N, 1, 1);
    const struct gpu_range range = {&gain, 0, COLS * 4};
    struct gpu_commands *c = bench_begin(b);
    const struct norm norm = {.gain = &range, .out = &x, .values = VALUES_INT, .eps = 1e-5f};
    bench_ok(ops_norm(b->ops, c, &in, &norm, COLS, &s.step, false, N, &error), &error);
    gpu_commands_barrier(c);
    bench_ok(ops_gate_up(b->ops, c, &w[0], &w[1], &silu, &x, VALUES_INT, &y, VALUES_INT, N, &error),
             &error);
    bench_run(b, c);
    for (uint32_t i = 0; i < N; i++) {
        double want[ROWS];
        for (uint32_t r = 0; r < ROWS; r++) {
            double sums[2] = {0, 0};
            for (uint32_t k = 0; k < 2 * COLS; k++) {
                const float *row = (const float *)x.map + i * COLS;
                sums[k / COLS] +=
                    decoded[k / COLS][r * COLS + k % COLS] * bench_value(row, VALUES_INT, k % COLS);
            }
            want[r] = sums[0] / (1 + exp(-sums[0])) * sums[1];
        }
        check_integers((const float *)y.map + i * ROWS, want, ROWS);
    }
    struct gpu_buffer *const all[] = {&buffers[0], &buffers[1], &x, &in, &gain, &y, &s.step.buffer};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) bench_free(b, all[i]);
}

static void gate_up_integers(void **state)
{
    if (!has_integers(*state)) skip();
    try_gate_up_integers(*state, QUANT_Q4_0);
    try_gate_up_integers(*state, QUANT_Q4_1);
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
    bench_ok(ops_matrix(b->ops, c, &w, &x, VALUES_F32, &y, rows, 0, true, n, &error), &error);
    bench_run(b, c);
    assert_true(bench_nmse(out, want, n * rows) <= 1e-10);
    bench_free(b, &buffer);
    bench_free(b, &x);
    bench_free(b, &y);
}

/* A product and the norm of what it is added to, recorded as one, give the bits of both alone. */
static void try_matrix_norm(struct bench *b, enum quant_type type, enum values values, uint32_t n)
{
    struct llm_error error = {0};
    enum { ROWS = 576, COLS = 64 };
    const struct quant_info *info = quant_info(type);
    uint8_t *bytes = malloc(ROWS * COLS / info->block * info->block_size);
    assert_non_null(bytes);
    bench_random_blocks(type, bytes, ROWS * COLS);
    struct gpu_buffer buffer, gain = bench_buffer(b, ROWS * 4), in = bench_buffer(b, n * COLS * 4),
                              x = bench_buffer(b, n * COLS * 4), y[2], normed[2];
    struct weight w = bench_weight(b, type, ROWS, COLS, bytes, &buffer);
    const struct gpu_range range = {&gain, 0, ROWS * 4}, ones = {&gain, 0, COLS * 4};
    struct bench_step s = bench_step(b, n, n, 1, 1);
    for (uint32_t i = 0; i < n * COLS; i++) ((float *)in.map)[i] = bench_uniform();
    for (uint32_t i = 0; i < ROWS; i++) ((float *)gain.map)[i] = bench_uniform();
    for (int i = 0; i < 2; i++) {
        y[i] = bench_buffer(b, n * ROWS * 4);
        normed[i] = bench_buffer(b, n * ROWS * 4);
    }
    for (uint32_t i = 0; i < n * ROWS; i++)
        ((float *)y[0].map)[i] = ((float *)y[1].map)[i] = bench_uniform();

    struct gpu_commands *c = bench_begin(b);
    const struct norm norm = {.gain = &range, .out = &normed[0], .values = values, .eps = 1e-5f};
    struct norm first = norm, alone = norm;
    first.gain = &ones;
    first.out = &x;
    alone.out = &normed[1];
    bench_ok(ops_norm(b->ops, c, &in, &first, COLS, &s.step, false, n, &error), &error);
    gpu_commands_barrier(c);
    bench_ok(ops_matrix_norm(b->ops, c, &w, &x, values, &y[0], &norm, &s.step, n, &error), &error);
    bench_ok(ops_matrix(b->ops, c, &w, &x, values, &y[1], ROWS, 0, true, n, &error), &error);
    gpu_commands_barrier(c);
    bench_ok(ops_norm(b->ops, c, &y[1], &alone, ROWS, &s.step, false, n, &error), &error);
    bench_run(b, c);
    assert_memory_equal(y[0].map, y[1].map, n * ROWS * 4);
    assert_memory_equal(normed[0].map, normed[1].map, n * ROWS * 4);
    struct gpu_buffer *const all[] = {&buffer, &gain, &in,        &x,        &s.step.buffer,
                                      &y[0],   &y[1], &normed[0], &normed[1]};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) bench_free(b, all[i]);
    free(bytes);
}

static void matrix_norm(void **state)
{
    for (const uint32_t *n = ops_buckets; *n <= 8; n++) {
        try_matrix_norm(*state, QUANT_F32, VALUES_F32, *n);
        if (!has_integers(*state)) continue;
        try_matrix_norm(*state, QUANT_Q4_0, VALUES_INT, *n);
        try_matrix_norm(*state, QUANT_Q4_1, VALUES_INT, *n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norm_rows),        cmocka_unit_test(norm_kinds),
        cmocka_unit_test(argmax_rows),      cmocka_unit_test(gate_up),
        cmocka_unit_test(gate_up_integers), cmocka_unit_test(residual),
        cmocka_unit_test(matrix_norm),
    };
    return cmocka_run_group_tests(tests, bench_setup, bench_teardown);
}

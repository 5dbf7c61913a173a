/* Matrix products of every format, bucket and odd size against double precision: NMSE at most
 * 1e-10, and a row's bits are the same in every bucket. */
#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops_impl.h"
#include "problem.h"
#include "repack.h"

/* Bits outside of the rows' place must still be poison. */
static void check_outside(const uint32_t *y, uint32_t n, uint32_t stride, uint32_t at,
                          uint32_t rows)
{
    for (uint32_t c = 0; c < n; c++) {
        for (uint32_t i = 0; i < stride; i++) {
            bool inside = i >= at && i < at + (rows + 3) / 4 * 4;
            if (!inside) assert_int_equal(y[(size_t)c * stride + i], 0x7fc0dead);
        }
    }
}

static void try_values(struct bench *b, enum quant_type type, enum values values, uint32_t rows,
                       uint32_t cols, uint32_t most)
{
    struct llm_error error = {0};
    struct problem p = problem_make(b, type, values, rows, cols, most);
    const uint32_t at = 8, stride = ops_stride(rows) + 32;
    uint32_t *first = malloc((size_t)most * stride * sizeof *first);
    assert_non_null(first);
    p.w.buffer = &p.buffer;
    for (const uint32_t *n = ops_buckets; *n && *n <= most; n++) {
        struct gpu_buffer y = bench_buffer(b, (uint64_t)*n * stride * sizeof(float));
        struct gpu_commands *c = bench_begin(b);
        bench_ok(ops_matrix(b->ops, c, &p.w, &p.x, values, &y, stride, at, false, *n, &error),
                 &error);
        bench_run(b, c);
        check_outside(y.map, *n, stride, at, rows);
        const float *got = y.map;
        double err = 0, norm = 0;
        for (uint32_t i = 0; i < *n; i++) {
            for (uint32_t r = 0; r<rows; r += rows> 5000 ? 97 : 1) {
                double want = problem_exact(&p, r, i), have = got[(size_t)i * stride + at + r];
                err += (have - want) * (have - want);
                norm += want * want;
            }
        }
        if (!(err <= 1e-10 * norm)) {
            fail_msg("%s %u x %u, %u rows of x: NMSE %g", quant_info(type)->name, rows, cols, *n,
                     err / norm);
        }
        /* Row i is the same in all buckets that have it: compare with the smallest one that does.
         */
        for (uint32_t i = 0; i < *n; i++) {
            const uint32_t *now = (const uint32_t *)y.map + (size_t)i * stride + at;
            uint32_t *before = first + (size_t)i * stride;
            if (n > ops_buckets && i < n[-1]) {
                if (memcmp(now, before, rows * 4) != 0) {
                    fail_msg("%s %u x %u: row %u differs between %u and %u rows",
                             quant_info(type)->name, rows, cols, i, n[-1], *n);
                }
            }
            memcpy(before, now, rows * 4);
        }
        bench_free(b, &y);
    }
    free(first);
    problem_drop(b, &p);
}

static void try_matrix(struct bench *b, enum quant_type type, uint32_t rows, uint32_t cols,
                       uint32_t most)
{
    const struct weight w = {.type = type, .rows = rows, .cols = cols};
    try_values(b, type, VALUES_F32, rows, cols, most);
    if (ops_values(b->ops, &w) == VALUES_INT) try_values(b, type, VALUES_INT, rows, cols, most);
}

static const struct {
    uint32_t rows, cols, most;
} sizes[] = {
    {1, 256, 1}, {31, 256, 2}, {33, 512, 4}, {172, 768, 128}, {64, 1536, 16},
};

static const enum quant_type types[] = {
#define TYPE(constant, id, name, weights, bytes) constant,
    QUANT_LIST(TYPE)
#undef TYPE
};

static void matrix_formats(void **state)
{
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            try_matrix(*state, types[t], sizes[i].rows, sizes[i].cols, sizes[i].most);
        }
    }
}

static void matrix_odd_columns(void **state)
{
    try_matrix(*state, QUANT_F32, 64, 172, 8);
    try_matrix(*state, QUANT_F32, 172, 64, 8);
    try_matrix(*state, QUANT_F32, 5, 1, 2);
    try_matrix(*state, QUANT_F16, 7, 33, 2);
    try_matrix(*state, QUANT_BF16, 40, 31, 2);
    try_matrix(*state, QUANT_Q4_1, 576, 576, 4);
    try_matrix(*state, QUANT_Q8_0, 100, 32, 8);
    try_matrix(*state, QUANT_Q4_0, 100, 64, 1);
}

static void matrix_many_rows(void **state)
{
    try_matrix(*state, QUANT_Q8_0, 70000, 32, 2);
}

/* A matrix of more than 128 MiB is bound in pieces where the device allows no more. */
static void matrix_large(void **state)
{
    struct bench *b = *state;
    struct llm_error error = {0};
    const uint32_t rows = 1100000, cols = 32; /* F32: 134 MiB */
    struct gpu_buffer buffer = bench_buffer(b, repack_size(QUANT_F32, rows, cols));
    float *tile = calloc(REPACK_TILE * cols, sizeof *tile), *words = buffer.map;
    assert_non_null(tile);
    /* Row r has r % 1000 + 1 in its column r % 32: tiles are written one by one. */
    for (uint32_t t = 0; t < rows / REPACK_TILE; t++) {
        memset(tile, 0, REPACK_TILE * cols * sizeof *tile);
        for (uint32_t r = 0; r < REPACK_TILE; r++)
            tile[r * cols + r] = (float)((t * REPACK_TILE + r) % 1000 + 1);
        repack_tiles(QUANT_F32, cols, tile, REPACK_TILE, words + (size_t)t * REPACK_TILE * cols);
    }
    struct weight w = {.type = QUANT_F32, .rows = rows, .cols = cols, .buffer = &buffer};
    struct gpu_buffer x = bench_buffer(b, cols * 4), y = bench_buffer(b, (uint64_t)rows * 4);
    float *in = x.map, *out = y.map;
    for (uint32_t i = 0; i < cols; i++) in[i] = (float)(i + 1);
    struct gpu_commands *c = bench_begin(b);
    bench_ok(ops_matrix(b->ops, c, &w, &x, VALUES_F32, &y, rows, 0, false, 1, &error), &error);
    bench_run(b, c);
    for (uint32_t r = 0; r < rows; r++)
        assert_true(out[r] == (float)((r % 1000 + 1) * (r % 32 + 1)));

    struct bench_step s = bench_step(b, 2, 1, 1, 1);
    s.rows[0].token = rows - 1;
    s.rows[1].token = 5;
    struct gpu_buffer e = bench_buffer(b, 2 * cols * 4);
    c = bench_begin(b);
    bench_ok(ops_embed(b->ops, c, &w, 1, &s.step, &e, 2, &error), &error);
    bench_run(b, c);
    assert_true(((float *)e.map)[(rows - 1) % 32] == (float)((rows - 1) % 1000 + 1));
    assert_true(((float *)e.map)[cols + 5] == 6.0f);
    free(tile);
    bench_free(b, &buffer);
    bench_free(b, &x);
    bench_free(b, &y);
    bench_free(b, &e);
    bench_free(b, &s.step.buffer);
}

/* Shapes and numbers that no kernel can do are refused in words. */
static void matrix_refused(void **state)
{
    struct bench *b = *state;
    struct llm_error error = {0};
    float weights[32 * 32] = {0};
    struct gpu_buffer buffer, x = bench_buffer(b, 32 * 4), y = bench_buffer(b, 32 * 4);
    struct weight w = bench_weight(b, QUANT_F32, 32, 32, weights, &buffer), other = w;
    struct gpu_commands *c = bench_begin(b);
    assert_int_equal(ops_matrix(b->ops, c, &w, &x, VALUES_F32, &y, 32, 2, false, 1, &error),
                     LLM_BAD_ARGUMENT);
    for (uint32_t n = 0; n < 4; n += 3) {
        assert_int_equal(ops_matrix(b->ops, c, &w, &x, VALUES_F32, &y, 32, 0, false, n, &error),
                         LLM_BAD_ARGUMENT);
    }
    assert_int_equal(ops_matrix(b->ops, c, &w, &x, VALUES_INT, &y, 32, 0, false, 1, &error),
                     LLM_UNSUPPORTED); /* F32 weights take no integers */
    other.rows = 31;
    const struct activation silu = {ACTIVATION_SILU, {0}};
    assert_int_equal(
        ops_gate_up(b->ops, c, &w, &other, &silu, &x, VALUES_F32, &y, VALUES_F32, 1, &error),
        LLM_UNSUPPORTED);
    other.type = (enum quant_type)99;
    assert_int_equal(ops_matrix(b->ops, c, &other, &x, VALUES_F32, &y, 32, 0, false, 1, &error),
                     LLM_UNSUPPORTED);
    assert_true(error.message[0] != 0);
    bench_run(b, c);
    bench_free(b, &buffer);
    bench_free(b, &x);
    bench_free(b, &y);
}

/* ---- the ways in which a GPU makes a product, on whatever device this is ---- */

static const struct activation silu = {.kind = ACTIVATION_SILU};

struct gpu_ways {
    enum quant_type type;
    uint32_t rows, cols, n;
    bool gated, add;
};

/* Every way gives the bits of the first, which is right. */
static void try_ways(struct bench *b, const struct gpu_ways *t)
{
    struct llm_error error = {0};
    struct problem p = problem_make(b, t->type, VALUES_F32, t->rows, t->cols, t->n);
    const uint32_t stride = ops_stride(t->rows);
    const size_t size = (size_t)t->n * stride * sizeof(float);
    float *first = NULL;
    p.w.buffer = &p.buffer;
    struct product product = {.first = &p.w,
                              .second = t->gated ? &p.w : NULL,
                              .x = &p.x,
                              .y_stride = stride,
                              .into = t->add ? INTO_SUM : INTO_NOTHING,
                              .activation = t->gated ? &silu : NULL};
    struct way ways[OPS_WAYS];
    uint32_t n_ways = ops_ways(b->ops, &product, t->n, ways);
    assert_in_range(n_ways, 2, OPS_WAYS);
    for (uint32_t i = 0; i < n_ways; i++) {
        struct gpu_buffer y = bench_buffer(b, size);
        float *out = y.map;
        for (size_t k = 0; k < size / 4 && t->add; k++) out[k] = (float)(k % 7) - 3;
        product.y = &y;
        b->ops->forced = i + 1;
        struct gpu_commands *c = bench_begin(b);
        bench_ok(ops_multiply(b->ops, c, &product, t->n, &error), &error);
        bench_run(b, c);
        double err = 0, norm = 0;
        for (uint32_t k = 0; k < t->n * stride; k++) {
            if (k % stride >= t->rows) continue;
            double want = problem_exact(&p, k % stride, k / stride);
            if (t->gated) want *= want / (1 + exp(-want));
            if (t->add) want += (double)(k % 7) - 3;
            err += (out[k] - want) * (out[k] - want);
            norm += want * want;
        }
        if (!(err <= 1e-10 * norm))
            fail_msg("%s, way %u for %u rows of x: NMSE %g", quant_info(t->type)->name, i, t->n,
                     err / norm);
        if (!first) {
            first = malloc(size);
            assert_non_null(first);
            memcpy(first, out, size);
        }
        for (uint32_t r = 0; r < t->n; r++) {
            if (memcmp(first + r * stride, out + r * stride, t->rows * 4) != 0)
                fail_msg("%s, way %u for %u rows of x: row %u has other bits than way 0",
                         quant_info(t->type)->name, i, t->n, r);
        }
        bench_free(b, &y);
    }
    free(first);
    problem_drop(b, &p);
}

static void matrix_ways(void **state)
{
    struct bench *b = *state;
    const struct ops before = *b->ops;
    b->ops->profile = &ops_profiles[PROFILE_GPU];
    b->ops->texels = b->ops->flat = false;
    b->ops->integers = VALUES_F32;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const struct gpu_ways tries[] = {
            {types[i], 172, 768, 16, i % 2 == 0, i % 2 == 1},
            {types[i], 100, 512, 64, i % 2 == 1, i % 2 == 0},
        };
        for (size_t k = 0; k < sizeof tries / sizeof *tries; k++) try_ways(b, &tries[k]);
    }
    const struct gpu_ways many = {QUANT_Q4_K, 96, 2048, 128, false, false};
    try_ways(b, &many); /* 32 pieces */
    *b->ops = before;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matrix_formats),   cmocka_unit_test(matrix_odd_columns),
        cmocka_unit_test(matrix_many_rows), cmocka_unit_test(matrix_large),
        cmocka_unit_test(matrix_refused),   cmocka_unit_test(matrix_ways),
    };
    return cmocka_run_group_tests(tests, bench_setup, bench_teardown);
}

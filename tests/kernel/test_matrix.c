/* Matrix products of every format, bucket and odd size against double precision: NMSE at most 1e-10, and a row's bits are the
 * same in every bucket. */
#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repack.h"

struct problem {
    struct weight w;
    struct gpu_buffer buffer, x;
    float *weights; /* (rows, cols) */
    void *bytes;
    uint32_t stride;
};

static struct problem make(struct bench *b, enum quant_type type, uint32_t rows, uint32_t cols, uint32_t n)
{
    const struct quant_info *info = quant_info(type);
    struct problem p;
    size_t n_weights = (size_t)rows * cols;
    p.bytes = malloc(n_weights / info->block * info->block_size);
    p.weights = malloc(n_weights * sizeof(float));
    assert_non_null(p.bytes);
    assert_non_null(p.weights);
    bench_random_blocks(type, p.bytes, n_weights);
    quant_decode(type, p.bytes, p.weights, n_weights);
    p.w = bench_weight(b, type, rows, cols, p.bytes, &p.buffer);
    p.w.buffer = NULL; /* set by use: the struct moves */
    p.stride = ops_stride(cols);
    p.x = bench_buffer(b, (uint64_t)n * p.stride * sizeof(float));
    float *x = p.x.map;
    for (uint32_t i = 0; i < n * p.stride; i++) x[i] = bench_uniform();
    return p;
}

static void drop(struct bench *b, struct problem *p)
{
    bench_free(b, &p->buffer);
    bench_free(b, &p->x);
    free(p->weights);
    free(p->bytes);
}

static double exact(const struct problem *p, uint32_t row, uint32_t column)
{
    const float *w = p->weights + (size_t)row * p->w.cols, *x = (const float *)p->x.map + (size_t)column * p->stride;
    double sum = 0;
    for (uint32_t k = 0; k < p->w.cols; k++) sum += (double)w[k] * x[k];
    return sum;
}

/* Bits outside of the rows' place must still be poison. */
static void check_outside(const uint32_t *y, uint32_t n, uint32_t stride, uint32_t at, uint32_t rows)
{
    for (uint32_t c = 0; c < n; c++) {
        for (uint32_t i = 0; i < stride; i++) {
            bool inside = i >= at && i < at + (rows + 3) / 4 * 4;
            if (!inside) assert_int_equal(y[(size_t)c * stride + i], 0x7fc0dead);
        }
    }
}

static void try_matrix(struct bench *b, enum quant_type type, uint32_t rows, uint32_t cols, uint32_t most)
{
    struct llm_error error = {0};
    struct problem p = make(b, type, rows, cols, most);
    const uint32_t at = 8, stride = ops_stride(rows) + 32;
    uint32_t *first = malloc((size_t)most * stride * sizeof *first);
    assert_non_null(first);
    p.w.buffer = &p.buffer;
    for (const uint32_t *n = ops_buckets; *n && *n <= most; n++) {
        struct gpu_buffer y = bench_buffer(b, (uint64_t)*n * stride * sizeof(float));
        struct gpu_commands *c = bench_begin(b);
        bench_ok(ops_matrix(b->ops, c, &p.w, &p.x, &y, stride, at, false, *n, &error), &error);
        bench_run(b, c);
        check_outside(y.map, *n, stride, at, rows);
        const float *got = y.map;
        double err = 0, norm = 0;
        for (uint32_t i = 0; i < *n; i++) {
            for (uint32_t r = 0; r < rows; r += rows > 5000 ? 97 : 1) {
                double want = exact(&p, r, i), have = got[(size_t)i * stride + at + r];
                err += (have - want) * (have - want);
                norm += want * want;
            }
        }
        if (!(err <= 1e-10 * norm)) {
            fail_msg("%s %u x %u, %u rows of x: NMSE %g", quant_info(type)->name, rows, cols, *n, err / norm);
        }
        /* Row i is the same in all buckets that have it: compare with the smallest one that does. */
        for (uint32_t i = 0; i < *n; i++) {
            const uint32_t *now = (const uint32_t *)y.map + (size_t)i * stride + at;
            uint32_t *before = first + (size_t)i * stride;
            if (n > ops_buckets && i < n[-1]) {
                if (memcmp(now, before, rows * 4) != 0) {
                    fail_msg("%s %u x %u: row %u differs between %u and %u rows", quant_info(type)->name, rows, cols, i, n[-1], *n);
                }
            }
            memcpy(before, now, rows * 4);
        }
        bench_free(b, &y);
    }
    free(first);
    drop(b, &p);
}

static const struct { uint32_t rows, cols, most; } sizes[] = {
    {1, 256, 1}, {31, 256, 2}, {33, 512, 4}, {172, 768, 128}, {64, 1536, 16},
};

static void matrix_formats(void **state)
{
    static const enum quant_type types[] = {
#define TYPE(constant, id, name, weights, bytes) constant,
        QUANT_LIST(TYPE)
#undef TYPE
    };
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matrix_formats),
        cmocka_unit_test(matrix_odd_columns),
        cmocka_unit_test(matrix_many_rows),
    };
    return cmocka_run_group_tests(tests, bench_setup, bench_teardown);
}

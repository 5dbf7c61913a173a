/* Products of activations rounded to bytes: right, the same bits by every way and in every number
 * of rows, and those of the products of nine bits. And what writes such rows: norms, gated
 * products. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "problem.h"

static const enum quant_type types[] = {
#define TYPE(constant, id, name, weights, bytes) constant,
    QUANT_LIST(TYPE)
#undef TYPE
};

static const struct activation silu = {.kind = ACTIVATION_SILU};

struct dot_case {
    enum quant_type type;
    uint32_t rows, cols, most; /* rows of x */
    bool gated, add;
    enum values y;
};

/* What is kept of a row of y: all that its blocks take, or its floats. */
static uint32_t row_words(const struct dot_case *t)
{
    return t->y ? (t->rows + 31) / 32 * 12 : t->rows;
}

static double wanted(const struct problem *p, const struct dot_case *t, uint32_t row, uint32_t i)
{
    double want = problem_exact(p, row, i);
    if (t->gated) want *= want / (1 + exp(-want));
    return t->add ? want + (double)(row % 7) - 3 : want;
}

static void check_byte(const float *y, uint32_t k, double want)
{
    const double scale = (double)y[k / 32 * 12 + 8];
    assert_true(fabs(bench_value(y, VALUES_INT8, k) - want) <= scale * 0.5001);
}

/* Each block's sums are those of its halves. */
static void check_sums(const float *y, uint32_t n)
{
    for (uint32_t r = 0; r < n; r += 32) {
        const float *about = y + r / 32 * 12 + 8;
        const double most = 1e-3 * (double)about[0];
        double sums[2] = {0, 0};
        for (uint32_t k = 0; k < 32; k++) sums[k / 16] += bench_value(y, VALUES_INT8, r + k);
        assert_true(fabs((double)about[1] - sums[0]) <= most);
        assert_true(fabs((double)about[2] - sums[1]) <= most);
        assert_true(fabs((double)about[3] - sums[0] - sums[1]) <= most);
    }
}

static void check_dot(const struct problem *p, const struct dot_case *t, const float *y, uint32_t i)
{
    double err = 0, norm = 0;
    for (uint32_t r = 0; r < t->rows; r++) {
        const double want = wanted(p, t, r, i);
        if (t->y) check_byte(y, r, want);
        else err += ((double)y[r] - want) * ((double)y[r] - want);
        norm += want * want;
    }
    if (!(err <= 1e-10 * norm))
        fail_msg("%s, row %u: NMSE %g", quant_info(t->type)->name, i, err / norm);
    if (t->y) check_sums(y, t->rows);
}

static void try_dot_way(struct bench *b, const struct problem *p, const struct dot_case *t,
                        struct product *product, uint32_t n, uint32_t way, float *first,
                        uint32_t n_first)
{
    struct llm_error error = {0};
    const uint32_t stride = ops_stride(t->rows);
    struct gpu_buffer y = bench_buffer(b, (uint64_t)n * stride * sizeof(float));
    float *out = y.map;
    for (uint32_t k = 0; k < n * stride && t->add; k++) out[k] = (float)(k % stride % 7) - 3;
    product->y = &y;
    b->ops->forced = way + 1;
    struct gpu_commands *c = bench_begin(b);
    bench_ok(ops_multiply(b->ops, c, product, n, &error), &error);
    bench_run(b, c);
    b->ops->forced = 0;
    for (uint32_t i = 0; i < n; i++, out += stride) {
        float *before = first + (size_t)i * stride;
        if (i >= n_first) {
            check_dot(p, t, out, i);
            memcpy(before, out, row_words(t) * sizeof *out);
        } else if (memcmp(before, out, row_words(t) * sizeof *out) != 0) {
            fail_msg("%s, way %u for %u rows of x: row %u has other bits",
                     quant_info(t->type)->name, way, n, i);
        }
        if (t->y == VALUES_F32) continue; /* past the blocks nothing is written */
        for (uint32_t k = stride / 32 * 12; k < stride; k++)
            assert_int_equal(((const uint32_t *)out)[k], 0x7fc0dead);
    }
    bench_free(b, &y);
}

/* Every way for every number of rows gives a row the same bits, and they are right. */
static void try_dot(struct bench *b, const struct dot_case *t)
{
    struct problem p = problem_make(b, t->type, VALUES_INT8, t->rows, t->cols, t->most);
    float *first = calloc((size_t)t->most * ops_stride(t->rows), sizeof *first);
    uint32_t n_first = 0;
    assert_non_null(first);
    p.w.buffer = &p.buffer;
    struct product product = {.first = &p.w,
                              .second = t->gated ? &p.w : NULL,
                              .x = &p.x,
                              .x_values = VALUES_INT8,
                              .y_values = t->y,
                              .y_stride = ops_stride(t->rows),
                              .into = t->add ? INTO_SUM : INTO_NOTHING,
                              .activation = t->gated ? &silu : NULL};
    for (const uint32_t *n = ops_buckets; *n <= t->most; n++) {
        struct way ways[OPS_WAYS];
        const uint32_t n_ways = ops_ways(b->ops, &product, *n, ways);
        for (uint32_t i = 0; i < n_ways; i++) {
            try_dot_way(b, &p, t, &product, *n, i, first, n_first);
            n_first = *n;
        }
    }
    free(first);
    problem_drop(b, &p);
}

static void use_dots(struct bench *b, enum ops_profile profile)
{
    b->ops->profile = &ops_profiles[profile];
    b->ops->texels = b->ops->flat = false;
    b->ops->integers = VALUES_INT8;
}

static void matrix_dots(void **state)
{
    struct bench *b = *state;
    const struct ops before = *b->ops;
    if (!b->info->int_dot) skip();
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const struct weight w = {.type = types[i], .rows = 32, .cols = 256};
        const struct dot_case plain = {types[i], 172, 768, 64, false, i % 2 == 1, VALUES_F32};
        use_dots(b, i % 4 ? PROFILE_NARROW : PROFILE_GPU);
        if (ops_values(b->ops, &w) == VALUES_INT8) try_dot(b, &plain);
    }
    const struct dot_case others[] = {
        {QUANT_Q4_K, 140, 512, 16, false, false, VALUES_INT8},
        {QUANT_Q5_K, 100, 512, 64, true, false, VALUES_INT8},
        {QUANT_IQ4_NL, 33, 256, 32, true, false, VALUES_INT8},
        {QUANT_Q6_K, 140, 512, 16, true, false, VALUES_F32},
        {QUANT_Q8_0, 1, 256, 4, false, false, VALUES_F32},
        {QUANT_Q5_0, 96, 2048, 64, false, false, VALUES_F32}, /* K in 32 pieces */
    };
    use_dots(b, PROFILE_GPU);
    for (size_t k = 0; k < sizeof others / sizeof *others; k++) try_dot(b, &others[k]);
    *b->ops = before;
}

/* Of numbers that both can hold, the products of nine bits and of bytes make the same bits. */
static void dots_as_integers(void **state)
{
    struct bench *b = *state;
    const enum quant_type both[] = {QUANT_Q4_0, QUANT_Q4_1, QUANT_Q4_K};
    const uint32_t rows = 76, cols = 768, n = 8, stride = ops_stride(rows);
    const struct ops before = *b->ops;
    struct llm_error error = {0};
    if (!b->info->int_dot || b->ops->integers != VALUES_INT) skip();
    for (size_t i = 0; i < sizeof both / sizeof *both; i++) {
        struct problem p = problem_make(b, both[i], VALUES_INT, rows, cols, n);
        struct gpu_buffer bytes = bench_buffer(b, (uint64_t)n * p.stride * sizeof(float)),
                          y[2] = {bench_buffer(b, n * stride * sizeof(float)),
                                  bench_buffer(b, n * stride * sizeof(float))};
        p.w.buffer = &p.buffer;
        for (uint32_t k = 0; k < n; k++) {
            uint32_t *words = (uint32_t *)p.x.map + k * p.stride;
            problem_integers(words, p.stride / 32, 127);
            problem_bytes(words, (float *)bytes.map + k * p.stride, p.stride / 32);
        }
        struct gpu_commands *c = bench_begin(b);
        bench_ok(ops_matrix(b->ops, c, &p.w, &p.x, VALUES_INT, &y[0], stride, 0, false, n, &error),
                 &error);
        use_dots(b, PROFILE_SOFTWARE); /* K is not cut */
        bench_ok(
            ops_matrix(b->ops, c, &p.w, &bytes, VALUES_INT8, &y[1], stride, 0, false, n, &error),
            &error);
        *b->ops = before;
        bench_run(b, c);
        for (uint32_t k = 0; k < n; k++)
            assert_memory_equal((float *)y[0].map + k * stride, (float *)y[1].map + k * stride,
                                rows * sizeof(float));
        for (int k = 0; k < 2; k++) bench_free(b, &y[k]);
        bench_free(b, &bytes);
        problem_drop(b, &p);
    }
}

/* A norm of bytes is that of f32, rounded. */
static void norm_as_bytes(void **state)
{
    enum { N = 3, DIM = 576 };
    struct bench *b = *state;
    const struct ops before = *b->ops;
    const struct step step = {.max_rows = 1};
    struct llm_error error = {0};
    struct gpu_buffer in = bench_buffer(b, N * DIM * 4), gain = bench_buffer(b, DIM * 4),
                      out[2] = {bench_buffer(b, N * DIM * 4), bench_buffer(b, N * DIM * 4)};
    const struct gpu_range range = {&gain, 0, DIM * 4};
    for (uint32_t i = 0; i < N * DIM; i++)
        ((float *)in.map)[i] = i < 32 ? 0 : bench_uniform() * (float)(i % 90);
    for (uint32_t i = 0; i < DIM; i++) ((float *)gain.map)[i] = bench_uniform();
    use_dots(b, PROFILE_GPU);
    struct gpu_commands *c = bench_begin(b);
    for (uint32_t i = 0; i < 2; i++) {
        const struct norm norm = {.gain = &range,
                                  .bias = &range,
                                  .out = &out[i],
                                  .values = i ? VALUES_INT8 : VALUES_F32,
                                  .eps = 1e-5f};
        bench_ok(ops_norm(b->ops, c, &in, &norm, DIM, &step, false, N, &error), &error);
    }
    bench_run(b, c);
    for (uint32_t i = 0; i < N; i++) {
        const float *want = (const float *)out[0].map + i * DIM,
                    *y = (const float *)out[1].map + i * DIM;
        for (uint32_t k = 0; k < DIM; k++) check_byte(y, k, (double)want[k]);
        check_sums(y, DIM);
    }
    *b->ops = before;
    for (int i = 0; i < 2; i++) bench_free(b, &out[i]);
    bench_free(b, &in);
    bench_free(b, &gain);
}

/* The checks at load, of what a device that computes with bytes has. */
static void checks_of_bytes(void **state)
{
    struct bench *b = *state;
    const struct ops before = *b->ops;
    const struct activation gelu = {.kind = ACTIVATION_GELU};
    const struct attention_shape heads = {.n_heads = 6,
                                          .n_kv_heads = 2,
                                          .head_dim = 64,
                                          .v_dim = 64,
                                          .rope_dim = 64,
                                          .rope_neox = true,
                                          .kv = LLM_KV_F16,
                                          .scale = 0.125f};
    const enum values bytes = VALUES_INT8;
    const struct check checks[] = {
        {.kind = CHECK_NORM, .out = bytes},
        {.kind = CHECK_ATTENTION, .out = bytes, .shape = heads},
        {.kind = CHECK_PRODUCT, .type = QUANT_Q5_1, .in = bytes, .cols = 512, .n_rows = 1},
        {.kind = CHECK_PRODUCT, .type = QUANT_Q4_K, .in = bytes, .cols = 512, .n_rows = 64},
        {.kind = CHECK_GATED,
         .type = QUANT_Q6_K,
         .in = bytes,
         .out = bytes,
         .cols = 512,
         .n_rows = 2,
         .activation = silu},
        {.kind = CHECK_GATED,
         .type = QUANT_Q4_0,
         .in = bytes,
         .out = bytes,
         .cols = 512,
         .n_rows = 32,
         .activation = silu},
        {.kind = CHECK_PRODUCT,
         .type = QUANT_Q8_0,
         .in = bytes,
         .out = bytes,
         .cols = 512,
         .n_rows = 16,
         .activation = gelu},
    };
    if (!b->info->int_dot) skip();
    use_dots(b, PROFILE_GPU);
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        struct verdict v;
        struct llm_error error = {0};
        bench_ok(check_run(b->ops, &checks[i], &v, NULL, &error), &error);
        if (v.state != CHOICE_RIGHT)
            fail_msg("%s: error %g, bound %g", v.name, (double)v.error, (double)v.bound);
    }
    *b->ops = before;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dots_as_integers),
        cmocka_unit_test(norm_as_bytes),
        cmocka_unit_test(checks_of_bytes),
        cmocka_unit_test(matrix_dots),
    };
    return cmocka_run_group_tests(tests, bench_setup, bench_teardown);
}

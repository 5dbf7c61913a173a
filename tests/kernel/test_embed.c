/* Dequantization of every format on the device equals the CPU's, bit for bit but for the sign of
 * zero. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repack.h"

static void try_embed(struct bench *b, enum quant_type type, uint32_t rows, uint32_t cols,
                      const void *bytes)
{
    struct llm_error error = {0};
    struct gpu_buffer buffer;
    struct weight w = bench_weight(b, type, rows, cols, bytes, &buffer);
    const uint32_t stride = ops_stride(cols), n = 128;
    struct gpu_buffer out = bench_buffer(b, (uint64_t)n * stride * sizeof(float));
    struct bench_step s = bench_step(b, n, 1, 1, 1);
    float *want = malloc((size_t)rows * cols * sizeof *want);
    assert_non_null(want);
    quant_decode(type, bytes, want, (size_t)rows * cols);

    struct gpu_commands *c;
    for (uint32_t first = 0; first < rows; first += n) {
        for (uint32_t i = 0; i < n; i++)
            s.rows[i] = (struct step_row){(first + i) * 7 % rows, 0, 0, 0};
        c = bench_begin(b);
        bench_ok(ops_embed(b->ops, c, &w, 1, &s.step, &out, n, &error), &error);
        bench_run(b, c);
        for (uint32_t i = 0; i < n; i++) {
            const float *got = (const float *)out.map + (size_t)i * stride,
                        *row = want + (size_t)s.rows[i].token * cols;
            for (uint32_t k = 0; k < stride; k++) {
                float value = k < cols ? row[k] : 0.0f;
                if (got[k] != value) {
                    fail_msg("%s row %u column %u: %.9g, not %.9g", quant_info(type)->name,
                             s.rows[i].token, k, (double)got[k], (double)value);
                }
            }
        }
    }
    free(want);
    bench_free(b, &buffer);
    bench_free(b, &out);
    bench_free(b, &s.step.buffer);
}

static void embed_formats(void **state)
{
    static const enum quant_type types[] = {
#define TYPE(constant, id, name, weights, bytes) constant,
        QUANT_LIST(TYPE)
#undef TYPE
    };
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        const struct quant_info *info = quant_info(types[t]);
        /* Enough random blocks that every byte of a block takes all its values many times. */
        const uint32_t rows = 1101, cols = 1024;
        size_t n = (size_t)rows * cols;
        void *bytes = malloc(n / info->block * info->block_size);
        assert_non_null(bytes);
        bench_random_blocks(types[t], bytes, n);
        try_embed(*state, types[t], rows, cols, bytes);
        free(bytes);
    }
}

/* Every finite f16 as the scale of a block, subnormals too (of super-blocks every fifth). */
static void embed_scales(void **state)
{
    static const enum quant_type types[] = {
#define TYPE(constant, id, name, weights, bytes) constant,
        QUANT_LIST(TYPE)
#undef TYPE
    };
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        const struct quant_info *info = quant_info(types[t]);
        if (info->block == 1) continue;
        const uint32_t step = info->block == 256 ? 5 : 1, cols = 1024;
        uint32_t n_blocks = 65536 / step / (1024 / info->block) * (1024 / info->block),
                 rows = n_blocks * info->block / cols;
        uint8_t *bytes = malloc((size_t)n_blocks * info->block_size);
        assert_non_null(bytes);
        bench_random_blocks(types[t], bytes, (size_t)n_blocks * info->block);
        for (uint32_t i = 0; i < n_blocks; i++) {
            uint32_t half = i * step;
            if ((half & 0x7c00) != 0x7c00)
                bench_set_scales(types[t], bytes + (size_t)i * info->block_size, (uint16_t)half);
        }
        try_embed(*state, types[t], rows, cols, bytes);
        free(bytes);
    }
}

/* Every finite bit pattern of the 16-bit formats; of BF16 no subnormals, which a device may flush.
 */
static void embed_patterns(void **state)
{
    static uint16_t f16[65536], bf16[65536];
    for (uint32_t i = 0; i < 65536; i++) {
        f16[i] = (uint16_t)((i & 0x7c00) == 0x7c00 ? 0 : i);
        bf16[i] = (uint16_t)((i & 0x7f80) == 0x7f80 || (i & 0x7f80) == 0 ? 0 : i);
    }
    try_embed(*state, QUANT_F16, 256, 256, f16);
    try_embed(*state, QUANT_BF16, 256, 256, bf16);
}

/* Sums of the token's row, the position's and the first; padding has no position. */
static void embed_sums(void **state)
{
    enum { ROWS = 50, COLS = 96, N = 8 };
    struct bench *b = *state;
    static float table[ROWS * COLS];
    struct llm_error error = {0};
    struct gpu_buffer buffer;
    for (size_t i = 0; i < ROWS * COLS; i++) table[i] = bench_uniform();
    struct weight w = bench_weight(b, QUANT_F32, ROWS, COLS, table, &buffer);
    struct gpu_buffer out = bench_buffer(b, N * COLS * sizeof(float));
    struct bench_step s = bench_step(b, N, 1, 1, 1);
    for (uint32_t i = 0; i < N; i++) s.rows[i] = (struct step_row){i * 5, 3 + i, 0, 0};
    s.rows[N - 1].position = STEP_NO_ROW;
    struct gpu_commands *c = bench_begin(b);
    bench_ok(ops_embed(b->ops, c, &w, 2, &s.step, &out, N, &error), &error);
    gpu_commands_barrier(c);
    bench_ok(ops_embed_add(b->ops, c, &w, EMBED_BY_POSITION, &s.step, &out, N, &error), &error);
    gpu_commands_barrier(c);
    bench_ok(ops_embed_add(b->ops, c, &w, EMBED_FIRST, &s.step, &out, N, &error), &error);
    bench_run(b, c);
    for (uint32_t i = 0; i < N; i++) {
        for (uint32_t k = 0; k < COLS; k++) {
            float sum = table[i * 5 * COLS + k] * 2;
            if (i < N - 1) sum += table[(3 + i) * COLS + k];
            sum += table[k];
            assert_true(((const float *)out.map)[i * COLS + k] == sum);
        }
    }
    bench_free(b, &buffer);
    bench_free(b, &out);
    bench_free(b, &s.step.buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(embed_formats),
        cmocka_unit_test(embed_scales),
        cmocka_unit_test(embed_patterns),
        cmocka_unit_test(embed_sums),
    };
    return cmocka_run_group_tests(tests, bench_setup, bench_teardown);
}

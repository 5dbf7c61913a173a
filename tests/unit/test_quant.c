#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "repack.h"

enum { BLOCKS = 4096, BLOCK_SIZE = 210, WEIGHTS = BLOCKS * 256 };

/* Bytes that hold the highest bits of a format's f16 scales, or of its weights; -1: none. */
static const struct {
    enum quant_type type;
    int high[2];
} scales[] = {
    {QUANT_F32, {3, -1}},    {QUANT_F16, {1, -1}},     {QUANT_BF16, {1, -1}},
    {QUANT_Q4_0, {1, -1}},   {QUANT_Q4_1, {1, 3}},     {QUANT_Q5_0, {1, -1}},
    {QUANT_Q5_1, {1, 3}},    {QUANT_Q8_0, {1, -1}},    {QUANT_Q2_K, {81, 83}},
    {QUANT_Q3_K, {109, -1}}, {QUANT_Q4_K, {1, 3}},     {QUANT_Q5_K, {1, 3}},
    {QUANT_Q6_K, {209, -1}}, {QUANT_IQ4_NL, {1, -1}},  {QUANT_IQ4_XS, {1, -1}},
    {QUANT_IQ3_S, {1, -1}},  {QUANT_IQ3_XXS, {1, -1}}, {QUANT_IQ2_S, {1, -1}},
    {QUANT_IQ2_XS, {1, -1}}, {QUANT_IQ2_XXS, {1, -1}}, {QUANT_IQ1_S, {1, -1}},
    {QUANT_IQ1_M, {55, -1}}, {QUANT_TQ1_0, {53, -1}},  {QUANT_TQ2_0, {65, -1}},
};

/* The blocks that tests/data/quants/make.py describes. */
static void make_blocks(const struct quant_info *info, uint8_t *blocks)
{
    uint32_t random = 1;
    for (size_t i = 0; i < (size_t)BLOCKS * info->block_size; i++)
        blocks[i] = (uint8_t)((random = random * 1664525 + 1013904223) >> 24);
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++) {
        for (size_t k = 0; k < 2 && scales[i].type == info->type && scales[i].high[k] >= 0; k++) {
            for (size_t b = 0; b < BLOCKS; b++)
                blocks[b * info->block_size + (size_t)scales[i].high[k]] &= 0xbf;
        }
    }
}

static uint64_t hash(const float *x, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        sum += bits * (i * 0x9e3779b97f4a7c15 | 1);
    }
    return sum;
}

/* What the Python package gguf makes of the same blocks: tests/data/quants/hashes.txt. */
static uint64_t golden(const char *format)
{
    char name[16];
    unsigned long long value;
    FILE *f = fopen(TEST_DATA "/quants/hashes.txt", "r");
    assert_non_null(f);
    while (fscanf(f, "%15s %llx", name, &value) == 2) {
        if (strcmp(name, format) != 0) continue;
        fclose(f);
        return value;
    }
    fclose(f);
    fail_msg("no golden hash of %s", format);
    return 0;
}

static const enum quant_type types[] = {
#define TYPE(constant, id, name, weights, bytes) constant,
    QUANT_LIST(TYPE)
#undef TYPE
};
enum { N_TYPES = sizeof types / sizeof *types };

static void decodes_as_ggml(void **state)
{
    (void)state;
    uint8_t *blocks = malloc((size_t)BLOCKS * BLOCK_SIZE);
    float *out = malloc(WEIGHTS * sizeof *out);
    assert_true(blocks && out);
    for (size_t i = 0; i < N_TYPES; i++) {
        const struct quant_info *info = quant_info(types[i]);
        size_t n = (size_t)BLOCKS * info->block;
        make_blocks(info, blocks);
        quant_decode(types[i], blocks, out, n);
        if (hash(out, n) != golden(info->name))
            fail_msg("%s: not what gguf decodes, %g and so on", info->name, (double)out[0]);
    }
    free(blocks);
    free(out);
}

static void knows_its_formats(void **state)
{
    (void)state;
    size_t n = 0;
    for (uint32_t id = 0; id < 100; id++) {
        const struct quant_info *info = quant_info(id);
        if (!info) continue;
        assert_int_equal(info->type, id);
        n++;
    }
    assert_int_equal(n, N_TYPES);
    assert_null(quant_info(UINT32_MAX));
    assert_string_equal(quant_info(QUANT_Q4_K)->name, "Q4_K");
    assert_int_equal(quant_info(QUANT_Q4_K)->block_size, 144);
}

static void halves_are_exact(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float x = quant_f16((uint16_t)h);
        uint32_t exponent = h >> 10 & 31, mantissa = h & 1023;
        if (exponent == 31 && mantissa) {
            assert_true(isnan(x) && isnan(quant_f16(quant_to_f16(x))));
            continue;
        }
        double size = exponent == 31 ? (double)INFINITY
                      : exponent     ? ldexp(1024 + mantissa, (int)exponent - 25)
                                     : ldexp(mantissa, -24);
        assert_true((double)x == (h & 0x8000 ? -size : size));
        assert_int_equal(quant_to_f16(x), h);
    }
}

static void halves_round_to_even(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x7bff; h++) {
        float middle = (quant_f16((uint16_t)h) + quant_f16((uint16_t)(h + 1))) / 2;
        assert_int_equal(quant_to_f16(middle), h + (h & 1));
        assert_int_equal(quant_to_f16(nextafterf(middle, 0)), h);
        assert_int_equal(quant_to_f16(nextafterf(-middle, -1e9f)), 0x8000 | (h + 1));
    }
    assert_int_equal(quant_to_f16(65504), 0x7bff);
    assert_int_equal(quant_to_f16(nextafterf(65520, 0)), 0x7bff);
    assert_int_equal(quant_to_f16(65520), 0x7c00);
    assert_int_equal(quant_to_f16(-1e30f), 0xfc00);
}

/* Root of the mean squared error for uniform weights in [-1, 1), about the step of the format over
 * sqrt(12). */
static const struct {
    enum quant_type type;
    double most;
} errors[] = {
    {QUANT_F32, 0},        {QUANT_F16, 2e-4},     {QUANT_BF16, 2e-3},    {QUANT_Q4_0, 0.045},
    {QUANT_Q4_1, 0.04},    {QUANT_Q5_0, 0.023},   {QUANT_Q5_1, 0.02},    {QUANT_Q8_0, 0.0025},
    {QUANT_Q2_K, 0.21},    {QUANT_Q3_K, 0.09},    {QUANT_Q4_K, 0.042},   {QUANT_Q5_K, 0.022},
    {QUANT_Q6_K, 0.011},   {QUANT_IQ4_NL, 0.045}, {QUANT_IQ4_XS, 0.045}, {QUANT_MXFP4, 0.095},
    {QUANT_IQ3_S, 0.09},   {QUANT_IQ3_XXS, 0.12}, {QUANT_IQ2_S, 0.17},   {QUANT_IQ2_XS, 0.2},
    {QUANT_IQ2_XXS, 0.22}, {QUANT_IQ1_S, 0.33},   {QUANT_IQ1_M, 0.31},   {QUANT_TQ1_0, 0.33},
    {QUANT_TQ2_0, 0.33},
};

static void encodes_within_the_step(void **state)
{
    (void)state;
    enum { N = 256 * 64 };
    static float in[N], out[N];
    static uint8_t blocks[4 * N];
    uint32_t random = 1;
    for (size_t i = 0; i < N; i++)
        in[i] = (float)((random = random * 1664525 + 1013904223) >> 8) * 0x1p-23f - 1;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        quant_encode(errors[i].type, in, blocks, N);
        quant_decode(errors[i].type, blocks, out, N);
        double sum = 0;
        for (size_t k = 0; k < N; k++)
            sum += ((double)in[k] - (double)out[k]) * ((double)in[k] - (double)out[k]);
        if (!(sqrt(sum / N) <= errors[i].most))
            fail_msg("%s: %g", quant_info(errors[i].type)->name, sqrt(sum / N));
    }
}

static void encodes_anything(void **state)
{
    (void)state;
    const float values[] = {0,     -0.0f,  1e-42f,   -1e-42f,   1,  -1,
                            3e38f, -3e38f, INFINITY, -INFINITY, NAN};
    enum { N = sizeof values / sizeof *values };
    float in[256], out[256];
    uint8_t blocks[1024];
    for (size_t t = 0; t < sizeof errors / sizeof *errors; t++) {
        for (size_t i = 0; i < N; i++) {
            for (size_t k = 0; k < 256; k++) in[k] = values[k % 7 ? i : (i + k) % N];
            quant_encode(errors[t].type, in, blocks, 256);
            quant_decode(errors[t].type, blocks, out, 256);
        }
        memset(in, 0, sizeof in);
        quant_encode(errors[t].type, in, blocks, 256);
        quant_decode(errors[t].type, blocks, out, 256);
        for (size_t k = 0; k < 256; k++) assert_true(out[k] == 0);
    }
}

static void takes_little_more_on_the_device(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_TYPES; i++) {
        const struct quant_info *info = quant_info(types[i]);
        const uint64_t rows = 64, cols = 1024, size = rows * cols / info->block * info->block_size;
        if ((double)repack_size(types[i], rows, cols) > 1.15 * (double)size)
            fail_msg("%s: %g times its bytes", info->name,
                     (double)repack_size(types[i], rows, cols) / (double)size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_as_ggml),
        cmocka_unit_test(knows_its_formats),
        cmocka_unit_test(halves_are_exact),
        cmocka_unit_test(halves_round_to_even),
        cmocka_unit_test(encodes_within_the_step),
        cmocka_unit_test(encodes_anything),
        cmocka_unit_test(takes_little_more_on_the_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "quant.h"

/* Blocks of random bytes with sane scales, and what they decode to according to the Python package
 * gguf (llama.cpp, MIT): the first, the middle and the last weights, and an FNV-1a hash of the bits
 * of all. */
static const struct golden {
    enum quant_type type;
    uint8_t block[210];
    float first, middle, last;
    uint32_t hash;
} golden[] = {
    {QUANT_Q4_0,
     {9, 171, 229, 241, 169, 65, 6, 160, 149, 106, 38, 175, 188, 205, 175, 229, 98, 249},
     0x1.51b0000000000p-3f,
     -0x1.51b0000000000p-2f,
     -0x1.89f8000000000p-2f,
     0xcdf4b045},
    {QUANT_Q4_1,
     {85, 174, 29, 44, 69, 81, 55, 14, 153, 178, 215, 76, 52, 39, 250, 72, 215, 50, 161, 223},
     -0x1.b8c0000000000p-2f,
     -0x1.5370000000000p-2f,
     -0x1.38d0000000000p+0f,
     0x62bdfc45},
    {QUANT_Q5_0,
     {172, 169, 166, 33,  249, 189, 12,  204, 33,  57,  124,
      30,  199, 149, 202, 119, 72,  220, 3,   209, 122, 136},
     0x1.6b00000000000p-3f,
     -0x0.0p+0f,
     -0x1.6b00000000000p-2f,
     0x680bac45},
    {QUANT_Q5_1,
     {122, 33,  88,  46,  31, 34,  63,  65,  146, 197, 142, 253,
      81,  133, 240, 113, 30, 247, 103, 122, 31,  19,  42,  129},
     0x1.2aa8000000000p-2f,
     0x1.7754000000000p-2f,
     0x1.7a40000000000p-3f,
     0xb415b445},
    {QUANT_Q8_0,
     {195, 37, 195, 206, 59,  228, 235, 202, 183, 47, 69,  179, 82,  35, 71, 159, 110,
      121, 77, 87,  3,   126, 44,  253, 233, 225, 90, 119, 137, 120, 30, 55, 33,  165},
     -0x1.5f77000000000p+0f,
     0x1.bba7000000000p+0f,
     -0x1.0628800000000p+1f,
     0x94979d05},
    {QUANT_Q2_K,
     {229, 167, 3,   41,  27,  220, 93,  29,  143, 200, 63,  11,  11,  180, 219, 113, 190,
      87,  34,  9,   133, 29,  61,  36,  244, 192, 207, 131, 254, 67,  99,  248, 47,  71,
      89,  119, 137, 85,  246, 206, 214, 129, 203, 234, 113, 121, 206, 210, 200, 248, 20,
      161, 52,  114, 255, 112, 206, 54,  157, 131, 133, 69,  42,  68,  243, 24,  51,  127,
      8,   205, 30,  97,  79,  35,  93,  63,  131, 188, 69,  254, 224, 171, 235, 40},
     -0x1.2734000000000p+0f,
     -0x1.3ac0000000000p-2f,
     -0x1.d068000000000p-2f,
     0x969e03c5},
    {QUANT_Q3_K,
     {159, 126, 192, 225, 86,  246, 90,  51,  34,  231, 145, 184, 128, 238, 153, 94,  63,  13,  48,
      125, 47,  186, 244, 0,   105, 58,  23,  158, 13,  2,   126, 212, 229, 139, 231, 169, 235, 194,
      138, 39,  29,  67,  167, 136, 85,  99,  129, 68,  235, 102, 3,   247, 178, 114, 93,  225, 31,
      230, 172, 47,  136, 166, 129, 130, 134, 151, 147, 240, 170, 214, 222, 216, 17,  110, 58,  181,
      22,  129, 196, 163, 116, 254, 199, 10,  104, 179, 228, 189, 201, 43,  56,  121, 135, 65,  108,
      23,  236, 144, 150, 62,  199, 102, 136, 138, 180, 184, 14,  186, 193, 44},
     -0x1.7c50000000000p+0f,
     0x1.1d3c000000000p+2f,
     0x0.0p+0f,
     0xaf8205c5},
    {QUANT_Q4_K,
     {253, 45,  76,  171, 38,  205, 123, 92,  48, 200, 171, 164, 77,  151, 34,  153, 232, 199,
      180, 27,  154, 29,  43,  15,  24,  6,   0,  169, 116, 214, 59,  99,  50,  32,  44,  153,
      142, 130, 178, 82,  44,  73,  196, 57,  76, 125, 115, 38,  91,  106, 175, 97,  178, 136,
      251, 208, 174, 207, 167, 102, 97,  98,  35, 97,  30,  118, 76,  147, 170, 56,  143, 250,
      189, 10,  106, 100, 18,  178, 9,   151, 30, 45,  130, 112, 118, 247, 228, 154, 184, 250,
      25,  114, 113, 190, 83,  163, 68,  43,  18, 140, 218, 215, 43,  173, 15,  138, 238, 244,
      42,  11,  154, 38,  215, 79,  199, 143, 37, 98,  184, 112, 16,  151, 165, 91,  85,  16,
      84,  61,  39,  237, 96,  13,  227, 32,  10, 103, 73,  48,  127, 211, 120, 153, 193, 24},
     0x1.f2e4000000000p+4f,
     0x1.141d800000000p+4f,
     0x1.2b4b000000000p+2f,
     0x214ef2bd},
    {QUANT_Q5_K,
     {156, 158, 225, 32,  60,  205, 248, 171, 138, 180, 166, 3,   153, 84,  232, 76,  190, 59,
      63,  127, 17,  131, 195, 223, 131, 117, 197, 23,  180, 231, 134, 169, 170, 223, 116, 136,
      248, 146, 177, 33,  145, 56,  122, 216, 106, 202, 86,  216, 83,  28,  146, 123, 147, 31,
      232, 241, 110, 121, 91,  155, 51,  23,  103, 231, 18,  219, 232, 245, 51,  29,  217, 145,
      127, 1,   230, 71,  16,  221, 60,  37,  244, 210, 22,  144, 160, 73,  69,  49,  53,  85,
      14,  192, 25,  58,  139, 237, 23,  131, 213, 62,  201, 68,  101, 141, 29,  40,  150, 12,
      68,  176, 56,  46,  147, 67,  142, 96,  120, 141, 81,  226, 121, 161, 49,  248, 19,  11,
      62,  164, 189, 47,  93,  149, 229, 123, 215, 145, 67,  109, 132, 15,  78,  102, 84,  96,
      129, 53,  187, 251, 136, 93,  52,  105, 89,  164, 155, 54,  64,  42,  79,  61,  204, 72,
      159, 182, 81,  31,  190, 9,   229, 215, 43,  248, 52,  224, 79,  224},
     -0x1.41d1000000000p+0f,
     -0x1.7e91800000000p+0f,
     -0x1.11db400000000p+3f,
     0x91ea9575},
    {QUANT_Q6_K,
     {168, 184, 40,  122, 111, 75,  121, 82,  9,   87,  93,  114, 119, 212, 86,  192, 246, 232,
      26,  14,  88,  77,  115, 6,   96,  245, 107, 184, 181, 136, 71,  95,  112, 102, 193, 205,
      113, 9,   197, 7,   154, 147, 62,  232, 87,  219, 117, 31,  242, 35,  114, 106, 217, 6,
      151, 247, 73,  247, 198, 27,  216, 1,   99,  168, 201, 163, 86,  186, 145, 215, 159, 109,
      36,  238, 58,  20,  235, 212, 19,  134, 216, 250, 239, 110, 158, 108, 112, 223, 65,  219,
      169, 174, 181, 48,  30,  88,  36,  183, 219, 14,  80,  79,  29,  151, 6,   134, 147, 71,
      104, 240, 5,   175, 13,  90,  35,  221, 180, 101, 252, 90,  72,  155, 67,  231, 110, 163,
      227, 132, 150, 155, 228, 135, 164, 64,  231, 195, 234, 82,  4,   202, 187, 249, 191, 232,
      230, 72,  202, 255, 119, 4,   172, 38,  210, 39,  160, 105, 195, 146, 244, 238, 179, 97,
      194, 78,  243, 102, 83,  1,   120, 180, 121, 147, 56,  34,  195, 192, 207, 107, 60,  190,
      180, 175, 126, 207, 242, 28,  211, 164, 8,   248, 2,   35,  227, 147, 221, 216, 8,   69,
      61,  107, 173, 144, 239, 216, 171, 162, 180, 208, 148, 38},
     -0x1.7d88000000000p+2f,
     -0x1.aa8ce00000000p+5f,
     0x1.d9a0000000000p+4f,
     0xa51389d5},
};

static uint32_t hash(const float *x, size_t n)
{
    uint32_t h = 2166136261;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        h = (h ^ bits) * 16777619;
    }
    return h;
}

static void decodes_as_ggml(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
        const struct golden *g = &golden[i];
        uint32_t n = quant_info(g->type)->block;
        float out[256];
        quant_decode(g->type, g->block, out, n);
        assert_true(out[0] == g->first && out[n / 2] == g->middle && out[n - 1] == g->last);
        assert_int_equal(hash(out, n), g->hash);
    }
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
    assert_int_equal(n, 13);
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
    {QUANT_F32, 0},      {QUANT_F16, 2e-4},   {QUANT_BF16, 2e-3},  {QUANT_Q4_0, 0.045},
    {QUANT_Q4_1, 0.04},  {QUANT_Q5_0, 0.023}, {QUANT_Q5_1, 0.02},  {QUANT_Q8_0, 0.0025},
    {QUANT_Q2_K, 0.21},  {QUANT_Q3_K, 0.09},  {QUANT_Q4_K, 0.042}, {QUANT_Q5_K, 0.022},
    {QUANT_Q6_K, 0.011},
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
        assert_true(sqrt(sum / N) <= errors[i].most);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_as_ggml),         cmocka_unit_test(knows_its_formats),
        cmocka_unit_test(halves_are_exact),        cmocka_unit_test(halves_round_to_even),
        cmocka_unit_test(encodes_within_the_step), cmocka_unit_test(encodes_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

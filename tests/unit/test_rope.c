#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "failing.h"
#include "gguf.h"
#include "rope.h"

static const double pi = 3.14159265358979323846;

static void check_angle(const struct rope *r, uint32_t position, uint32_t pair, double angle,
                        double magnitude)
{
    float out[512];
    assert_true(r->dims <= 512);
    rope_angles(r, position, out);
    /* The angle is a product of doubles on both sides: only their rounding may differ. */
    const double slack = 2e-7 * magnitude + angle * 1e-14;
    if (fabs((double)out[2 * pair] - magnitude * cos(angle)) > slack ||
        fabs((double)out[2 * pair + 1] - magnitude * sin(angle)) > slack)
        fail_msg("pair %u at %u: %g %g instead of %g %g", pair, position, (double)out[2 * pair],
                 (double)out[2 * pair + 1], magnitude * cos(angle), magnitude * sin(angle));
}

static const uint32_t positions[] = {0, 1, 2, 63, 4095, 131071, 4000000000u};
enum { N_POSITIONS = sizeof positions / sizeof *positions };

static void plain_and_linear(void **state)
{
    (void)state;
    for (int linear = 0; linear < 2; linear++) {
        struct rope r;
        rope_defaults(&r, 64);
        r.base = 100000;
        r.scaling = linear ? ROPE_LINEAR : ROPE_NONE;
        r.factor = 8;
        assert_int_equal(rope_open(&r, &alloc_libc, NULL), LLM_OK);
        for (int p = 0; p < N_POSITIONS; p++) {
            double frequency = 1; /* by repeated multiplication, not by a power for each pair */
            for (uint32_t i = 0; i < 32; i++) {
                check_angle(&r, positions[p], i,
                            (linear ? positions[p] / 8.0 : positions[p]) * frequency, 1);
                frequency *= exp(-log(100000) / 32);
            }
        }
        rope_free(&r);
        rope_free(&r);
    }
}

/* The frequency of a pair from the paper's view: its wave length against the original context. */
static void yarn(void **state)
{
    (void)state;
    struct rope r;
    rope_defaults(&r, 128);
    r.base = 1e6;
    r.scaling = ROPE_YARN;
    r.factor = 4;
    r.original_context = 32768;
    r.attn_factor = 1.5;
    assert_int_equal(rope_open(&r, &alloc_libc, NULL), LLM_OK);
    /* Where a pair turns beta times: base^(2i/d) = context / (2 pi beta). 32: i = 64 ln(163.0) /
     * ln(1e6) = 23.6; 1: 39.7. */
    const double low = 23, high = 40;
    for (int p = 0; p < N_POSITIONS - 1; p++) {
        for (uint32_t i = 0; i < 64; i++) {
            const double trained = exp(-(i / 64.0) * log(1e6));
            const double t = i <= low ? 0 : i >= high ? 1 : (i - low) / (high - low);
            check_angle(&r, positions[p], i, positions[p] * (trained * (1 - t) + trained / 4 * t),
                        1.5 * (1 + 0.1 * log(4)));
        }
    }
    rope_free(&r);
    rope_defaults(&r, 128); /* without the ramp it is linear, at plain magnitude */
    r.scaling = ROPE_YARN;
    r.factor = 4;
    r.original_context = 32768;
    r.ext_factor = 0;
    assert_int_equal(rope_open(&r, &alloc_libc, NULL), LLM_OK);
    check_angle(&r, 1000, 0, 250, 1);
    rope_free(&r);
}

/* Llama 3.1's rule (wave lengths against 8192 positions, factor 8, 1 and 4) makes divisors; they
 * must give its frequencies. */
static void llama3_factors(void **state)
{
    (void)state;
    float factors[64];
    double wanted[64];
    for (int i = 0; i < 64; i++) {
        const double frequency = exp(-(i / 64.0) * log(500000)), wave = 2 * pi / frequency;
        double scaled = frequency;
        if (wave > 8192) scaled = frequency / 8;
        else if (wave > 8192 / 4.0) {
            const double smooth = (8192 / wave - 1) / 3;
            scaled = (1 - smooth) * frequency / 8 + smooth * frequency;
        }
        factors[i] = (float)(frequency / scaled);
        wanted[i] = frequency / (double)factors[i];
        assert_true(fabs(wanted[i] / scaled - 1) < 1e-6);
    }
    struct rope r;
    rope_defaults(&r, 128);
    r.base = 500000;
    r.factors = factors;
    assert_int_equal(rope_open(&r, &alloc_libc, NULL), LLM_OK);
    assert_null(r.factors);
    for (uint32_t i = 0; i < 64; i++) check_angle(&r, 100000, i, 100000 * wanted[i], 1);
    rope_free(&r);
}

static void wrong_values(void **state)
{
    (void)state;
    const float factors[32] = {0};
    struct rope o[12];
    size_t n = 0;
#define WRONG(field, value_)                                                                       \
    (rope_defaults(&o[n], 64), o[n].scaling = ROPE_YARN, o[n].original_context = 10,               \
     o[n++].field = (value_))
    WRONG(dims, 0);
    WRONG(dims, 63);
    WRONG(dims, UINT32_MAX - 1);
    WRONG(base, 0);
    WRONG(base, 1);
    WRONG(base, NAN);
    WRONG(factor, 0);
    WRONG(factor, INFINITY);
    WRONG(beta_fast, 0);
    WRONG(beta_slow, -1);
    WRONG(original_context, 0);
    WRONG(factors, factors);
#undef WRONG
    for (size_t i = 0; i < n; i++) {
        struct llm_error e;
        if (rope_open(&o[i], &alloc_libc, &e) != LLM_BAD_MODEL) fail_msg("row %zu", i);
        rope_free(&o[i]);
    }
    struct failing f = {.fail_at = 1};
    const struct alloc a = FAILING(f);
    struct rope r;
    rope_defaults(&r, 64);
    assert_int_equal(rope_open(&r, &a, NULL), LLM_OUT_OF_MEMORY);
    rope_free(&r);
    f.fail_at = 0;
    rope_defaults(&r, 64);
    assert_int_equal(rope_open(&r, &a, NULL), LLM_OK);
    rope_free(&r);
    assert_int_equal(f.bytes, 0);
}

/* ---- a GGUF header, made here
 * ------------------------------------------------------------------------------------------ */

struct file {
    uint8_t bytes[1024];
    size_t n;
    uint64_t n_values;
};

static void add(struct file *f, uint64_t x, size_t size)
{
    for (size_t i = 0; i < size; i++) f->bytes[f->n++] = (uint8_t)(x >> 8 * i);
}

static void add_text(struct file *f, const char *s)
{
    add(f, strlen(s), 8);
    memcpy(f->bytes + f->n, s, strlen(s));
    f->n += strlen(s);
}

static void add_key(struct file *f, const char *key, enum gguf_type type)
{
    add_text(f, key);
    add(f, type, 4);
    f->n_values++;
}

static void add_u32(struct file *f, const char *key, uint32_t value)
{
    add_key(f, key, GGUF_U32);
    add(f, value, 4);
}

static void add_f32(struct file *f, const char *key, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    add_key(f, key, GGUF_F32);
    add(f, bits, 4);
}

static void start(struct file *f)
{
    *f = (struct file){0};
    memcpy(f->bytes, "GGUF\3\0\0\0", 8);
    f->n = 24;
}

static llm_status read_rope(struct file *f, struct rope *r, uint32_t dims, struct llm_error *e)
{
    struct gguf g;
    f->bytes[16] = (uint8_t)f->n_values;
    assert_int_equal(gguf_parse(&g, f->bytes, sizeof f->bytes, sizeof f->bytes, &alloc_libc, NULL),
                     LLM_OK);
    const llm_status status = rope_from_gguf(r, &g, "llama", dims, e);
    gguf_free(&g);
    return status;
}

static void from_gguf(void **state)
{
    (void)state;
    struct file f;
    struct rope r;
    struct llm_error e;
    start(&f);
    assert_int_equal(read_rope(&f, &r, 64, &e), LLM_OK);
    assert_true(r.dims == 64 && r.base == 10000 && r.scaling == ROPE_NONE && r.factor == 1);

    start(&f);
    add_u32(&f, "llama.context_length", 131072);
    add_u32(&f, "llama.rope.dimension_count", 32);
    add_f32(&f, "llama.rope.freq_base", 1e6f);
    add_key(&f, "llama.rope.scaling.type", GGUF_STRING);
    add_text(&f, "yarn");
    add_f32(&f, "llama.rope.scaling.factor", 4);
    add_u32(&f, "llama.rope.scaling.original_context_length", 32768);
    add_f32(&f, "llama.rope.scaling.yarn_beta_fast", 16);
    assert_int_equal(read_rope(&f, &r, 64, &e), LLM_OK);
    assert_true(r.dims == 32 && r.base == 1e6 && r.scaling == ROPE_YARN && r.factor == 4 &&
                r.original_context == 32768);
    assert_true(r.beta_fast == 16 && r.beta_slow == 1 && r.ext_factor == 1 && r.attn_factor == 1);
    assert_int_equal(read_rope(&f, &r, 16, &e), LLM_BAD_MODEL);
    assert_non_null(strstr(e.message, "llama.rope.dimension_count"));

    start(&f);
    add_f32(&f, "llama.rope.scale_linear", 2);
    assert_int_equal(read_rope(&f, &r, 64, &e), LLM_OK);
    assert_true(r.scaling == ROPE_LINEAR && r.factor == 2);

    start(&f);
    add_key(&f, "llama.rope.scaling.type", GGUF_STRING);
    add_text(&f, "spiral\n");
    assert_int_equal(read_rope(&f, &r, 64, &e), LLM_UNSUPPORTED);
    assert_non_null(strstr(e.message, "spiral?"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_and_linear), cmocka_unit_test(yarn),
        cmocka_unit_test(llama3_factors),   cmocka_unit_test(wrong_values),
        cmocka_unit_test(from_gguf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

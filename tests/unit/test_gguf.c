#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "failing_alloc.h"
#include "gguf_write.h"
#include "model_make.h"
#include "reference.h"

struct bytes {
    uint8_t *data;
    size_t size;
};

static struct bytes stories(void)
{
    FILE *file = fopen(TEST_DATA "/stories260K.gguf", "rb");
    assert_non_null(file);
    struct bytes b = {malloc(2000000), 0};
    assert_non_null(b.data);
    b.size = fread(b.data, 1, 2000000, file);
    fclose(file);
    return b;
}

/* Every type of value and array, and two tensors. */
static struct bytes sample(uint32_t version, uint32_t alignment)
{
    struct gguf_write w = {.version = version, .alignment = alignment};
    gguf_write_number(&w, "u8", GGUF_U8, &(uint8_t){200});
    gguf_write_number(&w, "i8", GGUF_I8, &(int8_t){-128});
    gguf_write_number(&w, "u16", GGUF_U16, &(uint16_t){65535});
    gguf_write_number(&w, "i16", GGUF_I16, &(int16_t){-2});
    gguf_write_u32(&w, "u32", UINT32_MAX);
    gguf_write_number(&w, "i32", GGUF_I32, &(int32_t){INT32_MIN});
    gguf_write_f32(&w, "f32", 1.5f);
    gguf_write_bool(&w, "bool", true);
    gguf_write_string(&w, "string", "text");
    gguf_write_number(&w, "u64", GGUF_U64, &(uint64_t){UINT64_MAX});
    gguf_write_number(&w, "i64", GGUF_I64, &(int64_t){INT64_MIN});
    gguf_write_number(&w, "f64", GGUF_F64, &(double){1e300});
    gguf_write_array(&w, "numbers", GGUF_I16, (const int16_t[]){1, -2, 3}, 3);
    gguf_write_strings(&w, "strings", (const char *const[]){"a", "", "ccc"}, 3);
    gguf_write_strings(&w, "none", NULL, 0);
    const float weights[64] = {1, 2, 3};
    gguf_write_tensor(&w, "t.q8_0", QUANT_Q8_0, 2, (const uint64_t[]){32, 2}, weights);
    gguf_write_tensor(&w, "t.f32", QUANT_F32, 1, (const uint64_t[]){3}, weights);
    struct bytes b;
    b.data = gguf_write_finish(&w, &b.size);
    return b;
}

static llm_status parse(struct gguf *g, const void *data, size_t size, struct llm_error *error)
{
    return gguf_parse(g, data, size, size, &alloc_libc, error);
}

static void reads_values(void **state)
{
    (void)state;
    struct bytes b = sample(3, 0);
    struct gguf g;
    struct llm_error error = {0};
    assert_int_equal(parse(&g, b.data, b.size, &error), LLM_OK);
    const struct {
        const char *key;
        int64_t value;
    } ints[] = {
        {"u8", 200},         {"i8", -128},       {"u16", 65535},     {"i16", -2},
        {"u32", UINT32_MAX}, {"i32", INT32_MIN}, {"f32", 1},         {"bool", 1},
        {"string", 0},       {"u64", INT64_MAX}, {"i64", INT64_MIN}, {"f64", INT64_MAX},
    };
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++)
        assert_true(gguf_item_int(gguf_find(&g, ints[i].key), 0) == ints[i].value);
    assert_true(gguf_item_float(gguf_find(&g, "f64"), 0) == 1e300);
    assert_true(gguf_item_float(gguf_find(&g, "u64"), 0) == 0x1p64);
    const struct gguf_value *numbers = gguf_find(&g, "numbers"),
                            *strings = gguf_find(&g, "strings");
    assert_int_equal(numbers->n, 3);
    assert_int_equal(gguf_item_int(numbers, 1), -2);
    assert_int_equal(gguf_item_int(numbers, 3), 0);
    const uint8_t *at = strings->data;
    struct gguf_string text;
    for (size_t i = 0; i < 3; i++) {
        assert_true(gguf_next_string(strings, &at, &text));
        assert_int_equal(text.size, ((const size_t[]){1, 0, 3})[i]);
    }
    assert_false(gguf_next_string(strings, &at, &text));
    assert_null(gguf_find(&g, "missing"));
    gguf_free(&g);
    gguf_free(&g);
    free(b.data);
}

static void gets_by_key(void **state)
{
    (void)state;
    struct bytes b = sample(2, 0);
    struct gguf g;
    struct llm_error error = {0};
    uint32_t u32 = 7;
    float f32 = 7;
    bool truth = false;
    struct gguf_string text = {"", 0};
    assert_int_equal(parse(&g, b.data, b.size, &error), LLM_OK);
    assert_int_equal(g.version, 2);
    assert_int_equal(gguf_get_u32(&g, "missing", &u32, &error), LLM_OK);
    assert_int_equal(u32, 7);
    assert_int_equal(gguf_get_u32(&g, "u8", &u32, &error), LLM_OK);
    assert_int_equal(u32, 200);
    assert_int_equal(gguf_get_f32(&g, "f32", &f32, &error), LLM_OK);
    assert_true(f32 == 1.5f);
    assert_int_equal(gguf_get_bool(&g, "bool", &truth, &error), LLM_OK);
    assert_true(truth);
    assert_int_equal(gguf_get_string(&g, "string", &text, &error), LLM_OK);
    assert_memory_equal(text.text, "text", 4);
    const char *const no_u32[] = {"i8", "u64", "i64", "f32", "bool", "string", "numbers"};
    for (size_t i = 0; i < sizeof no_u32 / sizeof *no_u32; i++) {
        assert_int_equal(gguf_get_u32(&g, no_u32[i], &u32, &error), LLM_BAD_MODEL);
        assert_non_null(strstr(error.message, no_u32[i]));
    }
    assert_int_equal(gguf_get_f32(&g, "f64", &f32, &error), LLM_BAD_MODEL);
    assert_int_equal(gguf_get_f32(&g, "u32", &f32, &error), LLM_BAD_MODEL);
    assert_int_equal(gguf_get_bool(&g, "u8", &truth, &error), LLM_BAD_MODEL);
    assert_int_equal(gguf_get_string(&g, "strings", &text, &error), LLM_BAD_MODEL);
    gguf_free(&g);
    free(b.data);
}

static void places_tensors(void **state)
{
    (void)state;
    const uint32_t alignments[] = {0, 8, 64, 4096};
    for (size_t i = 0; i < 4; i++) {
        struct bytes b = sample(3, alignments[i]);
        struct gguf g;
        assert_int_equal(parse(&g, b.data, b.size, NULL), LLM_OK);
        const struct gguf_tensor *t = gguf_tensor(&g, "t.q8_0");
        assert_ptr_equal(t, &g.tensors[0]);
        assert_int_equal(t->type, QUANT_Q8_0);
        assert_int_equal(t->size, 68);
        assert_int_equal(t->dims[1], 2);
        assert_int_equal(t->dims[3], 1);
        t = gguf_tensor(&g, "t.f32");
        float x[3];
        memcpy(x, b.data + t->offset, sizeof x);
        assert_true(x[0] == 1 && x[2] == 3);
        assert_int_equal(t->offset % (alignments[i] ? alignments[i] : 32), 0);
        gguf_free(&g);
        free(b.data);
    }
}

static void says_what_a_file_looks_like(void **state)
{
    (void)state;
    const struct {
        const char *bytes;
        size_t size;
        const char *words;
    } files[] = {
        {"", 0, "empty"},
        {"GG", 2, "GG"},
        {"PK\3\4aaaaaaaaaaaaaaaa", 20, "zip"},
        {"tjgg\1\0\0\0aaaaaaaaaaaa", 20, "older than GGUF"},
        {"version https://aaaaaaaaa", 25, "Git LFS"},
        {"<!DOCTYPE html>aaaaaa", 20, "web page"},
        {"\x10\0\0\0\0\0\0\0{\"a\":1}aaaa", 20, "safetensors"},
        {"# Shared material\n\nmore", 22, "# Sh"},
        {"GGUF\1\0\0\0aaaaaaaaaaaaaaaa", 24, "version 1"},
        {"GGUF\4\0\0\0aaaaaaaaaaaaaaaa", 24, "version 4"},
        {"GGUF\0\0\0\3aaaaaaaaaaaaaaaa", 24, "big-endian"},
        {"GGUF\3\0\0\0\0\0\0\0\0\0\0\0\377\377\377\377\377\377\377\377", 24, "do not fit"},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct gguf g;
        struct llm_error error = {0};
        assert_int_equal(parse(&g, files[i].bytes, files[i].size, &error), LLM_BAD_MODEL);
        assert_non_null(strstr(error.message, files[i].words));
        gguf_free(&g);
    }
}

/* Files that are wrong in one thing, and a word of the message. */
enum fault {
    TWICE_KEY,
    TWICE_TENSOR,
    ALIGNMENT_24,
    ALIGNMENT_STRING,
    SHORT_ROW,
    BAD_NAME_LIST,
    N_FAULTS
};

static struct bytes faulty(enum fault fault)
{
    struct gguf_write w = {.version = 3, .alignment = fault == ALIGNMENT_24 ? 24 : 0};
    const float weights[64] = {0};
    gguf_write_u32(&w, "key", 1);
    if (fault == TWICE_KEY) gguf_write_u32(&w, "key", 2);
    if (fault == ALIGNMENT_STRING) gguf_write_string(&w, "general.alignment", "32");
    if (fault == BAD_NAME_LIST)
        gguf_write_array(&w, "nested", GGUF_ARRAY, (const uint64_t[]){0}, 1);
    gguf_write_tensor(&w, "tensor", QUANT_F32, 1, (const uint64_t[]){8}, weights);
    if (fault == TWICE_TENSOR)
        gguf_write_tensor(&w, "tensor", QUANT_F32, 1, (const uint64_t[]){8}, weights);
    if (fault == SHORT_ROW)
        gguf_write_tensor(&w, "short", QUANT_Q4_0, 2, (const uint64_t[]){16, 2}, weights);
    struct bytes b;
    b.data = gguf_write_finish(&w, &b.size);
    return b;
}

static void refuses_faults(void **state)
{
    (void)state;
    static const char *const words[N_FAULTS] = {"twice",          "twice",    "power of two",
                                                "not an integer", "multiple", "array of arrays"};
    for (int i = 0; i < N_FAULTS; i++) {
        struct bytes b = faulty((enum fault)i);
        struct gguf g;
        struct llm_error error = {0};
        assert_int_equal(parse(&g, b.data, b.size, &error), LLM_BAD_MODEL);
        assert_non_null(strstr(error.message, words[i]));
        free(b.data);
    }
}

/* By the tensor's name and the format's. */
static void refuses_foreign_formats(void **state)
{
    (void)state;
    static const struct {
        uint32_t id;
        const char *words;
    } formats[] = {
        {4, "tensor \"weights\" is Q4_2, a format that was removed"},
        {9, "tensor \"weights\" is Q8_1, a format of activations"},
        {15, "tensor \"weights\" is Q8_K, a format of activations"},
        {28, "tensor \"weights\" is F64, a format of numbers that no weights have"},
        {33, "tensor \"weights\" is Q4_0_8_8, a format that was removed"},
        {40, "tensor \"weights\" is NVFP4, a format that is not supported"},
        {99, "tensor \"weights\" is of type 99, which is unknown"},
    };
    const float weights[256] = {0};
    struct gguf_write w = {.version = 3};
    struct bytes b;
    gguf_write_tensor(&w, "weights", QUANT_F32, 1, (const uint64_t[]){256}, weights);
    b.data = gguf_write_finish(&w, &b.size);
    uint8_t *name = b.data;
    while (memcmp(name, "weights", 7) != 0) name++;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        struct gguf g;
        struct llm_error error = {0};
        memcpy(name + 7 + 4 + 8, &formats[i].id, 4); /* after its dimensions */
        llm_status wanted = formats[i].id == 99 ? LLM_BAD_MODEL : LLM_UNSUPPORTED;
        assert_int_equal(parse(&g, b.data, b.size, &error), wanted);
        if (!strstr(error.message, formats[i].words)) fail_msg("%s", error.message);
    }
    free(b.data);
}

static size_t header_size(const struct bytes *b)
{
    struct gguf g;
    assert_int_equal(parse(&g, b->data, b->size, NULL), LLM_OK);
    size_t size = (size_t)g.data_offset;
    gguf_free(&g);
    return size;
}

/* A header that came in part asks for more; a file that ends there is refused. Memory stays in
 * proportion. */
static void cuts_at_every_length(void **state)
{
    (void)state;
    struct bytes b = stories();
    size_t header = header_size(&b);
    for (size_t n = 0; n < header - 32; n += n < 256 ? 1 : 7) {
        uint8_t *part = malloc(n ? n : 1);
        assert_non_null(part);
        memcpy(part, b.data, n);
        struct failing_alloc f;
        struct gguf g;
        failing_alloc_init(&f, 0);
        assert_int_equal(gguf_parse(&g, part, n, b.size, &f.alloc, NULL), LLM_RUNNING);
        assert_int_equal(gguf_parse(&g, part, n, n, &f.alloc, NULL), LLM_BAD_MODEL);
        assert_true(f.n_live == 0 && f.n_wrong == 0 && f.peak_size <= 8 * n);
        free(part);
    }
    struct gguf g;
    assert_int_equal(gguf_parse(&g, b.data, header, b.size, &alloc_libc, NULL), LLM_OK);
    gguf_free(&g);
    assert_int_equal(gguf_parse(&g, b.data, b.size - 1, b.size - 1, &alloc_libc, NULL),
                     LLM_BAD_MODEL);
    free(b.data);
}

static void flips_every_byte(void **state)
{
    (void)state;
    struct bytes b = stories();
    size_t header = header_size(&b);
    uint8_t *part = malloc(header);
    assert_non_null(part);
    memcpy(part, b.data, header);
    for (size_t i = 0; i < header; i++) {
        part[i] ^= 0xff;
        struct failing_alloc f;
        struct gguf g;
        failing_alloc_init(&f, 0);
        llm_status status = gguf_parse(&g, part, header, b.size, &f.alloc, NULL);
        assert_true(status == LLM_OK || status == LLM_BAD_MODEL || status == LLM_RUNNING);
        gguf_free(&g);
        assert_true(f.n_live == 0 && f.n_wrong == 0 && f.peak_size <= 8 * header);
        part[i] ^= 0xff;
    }
    free(part);
    free(b.data);
}

static void fails_each_allocation(void **state)
{
    (void)state;
    struct bytes b = sample(3, 0);
    size_t fail_at = 1;
    for (;; fail_at++) {
        struct failing_alloc f;
        struct gguf g;
        struct llm_error error = {0};
        failing_alloc_init(&f, fail_at);
        llm_status status = gguf_parse(&g, b.data, b.size, b.size, &f.alloc, &error);
        gguf_free(&g);
        assert_true(f.n_live == 0 && f.live_size == 0 && f.n_wrong == 0);
        if (status == LLM_OK) break;
        assert_int_equal(status, LLM_OUT_OF_MEMORY);
        assert_non_null(strstr(error.message, "out of memory"));
    }
    assert_true(fail_at > 1);
    free(b.data);
}

/* Sorted, reversed and equal names in a number where quadratic time would be noticed. */
static void indexes_many_names(void **state)
{
    (void)state;
    enum { N = 100000 };
    struct gguf_write w = {.version = 3};
    char key[32];
    for (uint32_t i = 0; i < N; i++) {
        snprintf(key, sizeof key, "key%u", i * 7919u % N);
        gguf_write_u32(&w, key, i);
    }
    size_t size;
    uint8_t *data = gguf_write_finish(&w, &size);
    struct gguf g;
    assert_int_equal(parse(&g, data, size, NULL), LLM_OK);
    for (uint32_t i = 0; i < N; i++) {
        uint32_t value = 0;
        snprintf(key, sizeof key, "key%u", i * 7919u % N);
        assert_int_equal(gguf_get_u32(&g, key, &value, NULL), LLM_OK);
        assert_int_equal(value, i);
    }
    gguf_free(&g);
    free(data);
}

/* Ids of llama.cpp at temperature 0 for "Once upon a time". */
static void reference_continues_a_story(void **state)
{
    (void)state;
    const int32_t prompt[] = {1, 403, 407, 261, 378};
    const int32_t wanted[] = {432, 383, 286, 261, 376, 298, 315, 421, 395, 317, 426, 338,
                              401, 396, 267, 337, 410, 408, 419, 292, 411, 322, 265, 282,
                              295, 433, 426, 385, 328, 432, 358, 394, 261, 370, 432, 352,
                              266, 268, 388, 426, 338, 391, 266, 267, 337, 335, 312, 432};
    struct bytes b = stories();
    struct reference *r = reference_open(b.data, b.size, NULL);
    assert_non_null(r);
    free(b.data);
    assert_int_equal(reference_vocab(r), 512);
    double logits[512];
    assert_true(reference_eval(r, prompt, 5, logits));
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        int32_t best = reference_best(r, logits);
        assert_int_equal(best, wanted[i]);
        assert_true(reference_eval(r, &best, 1, logits));
    }
    assert_false(reference_eval(r, &(int32_t){512}, 1, logits));
    reference_free(r);
}

/* Scaling of rope shows in the logits, and each made model can be opened. */
static void makes_models(void **state)
{
    (void)state;
    double first[5] = {0};
    for (int i = 0; i < 5; i++) {
        struct model_shape shape = model_shape_small;
        shape.rope = i < 4 ? (enum model_rope)i : MODEL_ROPE_NONE;
        shape.gpt2 = i == 4;
        shape.tied = i == 4;
        if (i == 4) shape.embedding = shape.attention = shape.ffn = QUANT_Q8_0;
        struct bytes b;
        b.data = model_make(&shape, &b.size);
        struct llm_error error = {0};
        struct reference *r = reference_open(b.data, b.size, &error);
        assert_non_null(r);
        const int32_t ids[] = {1, 5, 300, 7};
        double *logits = calloc(4 * shape.vocab, sizeof *logits),
               *last = calloc(shape.vocab, sizeof *last);
        assert_non_null(logits);
        assert_non_null(last);
        assert_true(reference_eval_all(r, ids, 4, logits));
        reference_truncate(r, 0);
        assert_true(reference_eval(r, ids, 4, last));
        assert_memory_equal(logits + 3 * shape.vocab, last, shape.vocab * sizeof *last);
        first[i] = last[0];
        for (int k = 0; k < i; k++) assert_true(first[k] != first[i]);
        free(logits);
        free(last);
        reference_free(r);
        free(b.data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_values),
        cmocka_unit_test(gets_by_key),
        cmocka_unit_test(places_tensors),
        cmocka_unit_test(says_what_a_file_looks_like),
        cmocka_unit_test(refuses_faults),
        cmocka_unit_test(refuses_foreign_formats),
        cmocka_unit_test(cuts_at_every_length),
        cmocka_unit_test(flips_every_byte),
        cmocka_unit_test(fails_each_allocation),
        cmocka_unit_test(indexes_many_names),
        cmocka_unit_test(reference_continues_a_story),
        cmocka_unit_test(makes_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

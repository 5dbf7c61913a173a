/* The logits of whole models against a forward pass in double precision. */
#include "fixture.h"

#include "agreement.h"
#include "edit.h"

static void assert_agreement(const struct agreement *a, double limit, const char *name)
{
    if (a->mean <= limit && a->other == 0) return;
    fail_msg("%s: mean divergence %g of at most %g, %u of %u best tokens are others", name, a->mean,
             limit, a->other, a->n);
}

/* ---- a trained model ---- */

enum { STORY = 120 };

static void stories(uint32_t kv, uint32_t precision, double limit, const char *name)
{
    struct memory_file file = read_file(TEST_DATA "/stories260K.gguf");
    struct llm_load_options o;
    load_defaults(&o);
    o.kv = kv;
    o.precision = precision;
    llm_model *model;
    OK(load(&file, &o, &model));
    int32_t ids[STORY];
    tell_story(model, ids, STORY);
    struct agreement one_by_one = agree(model, &file, ids, 1, STORY);
    assert_agreement(&one_by_one, limit, name);
    for (size_t cut = 30; cut < STORY; cut += 29) {
        struct agreement a = agree(model, &file, ids, cut, cut + 2);
        assert_agreement(&a, limit, name);
    }
    llm_model_free(model);
    free(file.data);
}

static void stories_high(void **state)
{
    (void)state;
    stories(LLM_KV_F32, LLM_PRECISION_HIGH, 1e-6, "f32 cache, high precision");
}

static void stories_f16(void **state)
{
    (void)state;
    stories(LLM_KV_F16, LLM_PRECISION_HIGH, 1e-4, "f16 cache");
}

/* ---- random models ---- */

enum { PROMPT = 41, ALL = 46 };

static void agree_file(struct memory_file *file, uint32_t vocab, uint32_t kv, double limit,
                       const char *name)
{
    struct llm_load_options o;
    load_defaults(&o);
    o.kv = kv;
    o.precision = LLM_PRECISION_HIGH;
    o.context = 128;
    llm_model *model;
    if (load(file, &o, &model) != LLM_OK) fail_msg("%s: %s", name, error.message);
    int32_t ids[ALL];
    random_ids(ids, ALL, vocab, 7);
    struct agreement a = agree(model, file, ids, PROMPT, ALL);
    assert_agreement(&a, limit, name);
    llm_model_free(model);
}

/* Edits may be NULL. */
static void agree_shape(const struct model_shape *shape, const struct edit *edits, const char *name)
{
    struct memory_file file;
    file.data = model_make(shape, &file.size);
    if (edits) {
        uint8_t *edited = edit_gguf(file.data, file.size, edits, &file.size);
        free(file.data);
        file.data = edited;
    }
    agree_file(&file, shape->vocab, LLM_KV_F32, 1e-6, name);
    free(file.data);
}

static struct model_shape small_shape(void)
{
    struct model_shape s = model_shape_small;
    s.vocab = 300;
    return s;
}

static void every_type(void **state)
{
    (void)state;
    static const struct {
        enum quant_type type;
        const char *name;
        uint32_t block;
    } types[] = {
#define TYPE(constant, id, text, block, bytes) {constant, text, block},
        QUANT_LIST(TYPE)
#undef TYPE
    };
    for (size_t i = 0; i < LENGTH(types); i++) {
        struct model_shape s = small_shape();
        s.embedding = s.attention = s.ffn = s.output = types[i].type;
        s.dim = types[i].block == 256 ? 256 : types[i].block == 32 ? 96 : 64;
        s.head_dim = s.dim == 96 ? 24 : s.dim / s.n_heads;
        s.hidden = types[i].block == 256 ? 512 : types[i].block == 32 ? 160 : 100;
        s.tied = i % 2;
        agree_shape(&s, NULL, types[i].name);
    }
}

static void mixed_types(void **state)
{
    (void)state;
    struct model_shape s = small_shape();
    s.dim = s.hidden = 256;
    s.head_dim = 64;
    s.tied = true;
    const struct edit edits[] = {
        {.kind = TENSOR_TYPE, .name = "token_embd.weight", .u32 = QUANT_Q8_0},
        {.kind = TENSOR_TYPE, .name = "blk.0.attn_q.weight", .u32 = QUANT_Q4_0},
        {.kind = TENSOR_TYPE, .name = "blk.0.attn_k.weight", .u32 = QUANT_BF16},
        {.kind = TENSOR_TYPE, .name = "blk.0.attn_v.weight", .u32 = QUANT_Q6_K},
        {.kind = TENSOR_TYPE, .name = "blk.0.attn_output.weight", .u32 = QUANT_Q5_1},
        {.kind = TENSOR_TYPE, .name = "blk.0.ffn_gate.weight", .u32 = QUANT_Q4_1},
        {.kind = TENSOR_TYPE, .name = "blk.0.ffn_up.weight", .u32 = QUANT_Q4_0},
        {.kind = TENSOR_TYPE, .name = "blk.0.ffn_down.weight", .u32 = QUANT_F16},
        {.kind = TENSOR_TYPE, .name = "blk.1.attn_q.weight", .u32 = QUANT_Q4_K},
        {.kind = TENSOR_TYPE, .name = "blk.1.attn_k.weight", .u32 = QUANT_Q4_K},
        {.kind = TENSOR_TYPE, .name = "blk.1.attn_v.weight", .u32 = QUANT_Q5_K},
        {.kind = TENSOR_TYPE, .name = "blk.1.attn_output.weight", .u32 = QUANT_MXFP4},
        {.kind = TENSOR_TYPE, .name = "blk.1.ffn_gate.weight", .u32 = QUANT_Q2_K},
        {.kind = TENSOR_TYPE, .name = "blk.1.ffn_up.weight", .u32 = QUANT_IQ4_XS},
        {.kind = TENSOR_TYPE, .name = "blk.1.ffn_down.weight", .u32 = QUANT_IQ2_S},
        {.kind = EDIT_END},
    };
    agree_shape(&s, edits, "mixed types");
}

static void every_rope(void **state)
{
    (void)state;
    static const char *const names[] = {"no scaling", "linear", "yarn", "llama3"};
    for (uint32_t i = MODEL_ROPE_NONE; i <= MODEL_ROPE_LLAMA3; i++) {
        struct model_shape s = small_shape();
        s.rope = (enum model_rope)i;
        s.rope_original_context = 32;
        agree_shape(&s, NULL, names[i]);
    }
    struct model_shape s = small_shape();
    s.rope_dims = 8;
    s.rope_base = 500000;
    agree_shape(&s, NULL, "half of a head turned");
}

static void odd_shapes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t dim, n_heads, n_kv_heads, head_dim, hidden, vocab;
        bool tied;
        uint32_t v_dim;
    } shapes[] = {
        {"output of its own", 64, 4, 2, 16, 96, 300, false, 0},
        {"tied output", 64, 4, 2, 16, 96, 300, true, 0},
        {"key_length above dim / heads", 64, 4, 2, 32, 96, 300, false, 0},
        {"key_length below dim / heads", 128, 4, 1, 16, 96, 300, false, 0},
        {"heads of 40", 160, 4, 2, 40, 96, 300, false, 0},
        {"heads of 80", 160, 2, 1, 80, 96, 300, false, 0},
        {"heads of 100", 200, 2, 1, 100, 96, 300, false, 0},
        {"heads of 12", 36, 3, 3, 12, 96, 300, true, 0},
        {"heads of 8", 64, 8, 2, 8, 96, 300, false, 0},
        {"heads of 128", 128, 2, 1, 128, 96, 300, true, 0},
        {"heads of 256", 256, 2, 1, 256, 96, 300, true, 0},
        {"heads of 512", 256, 2, 1, 512, 96, 300, true, 0},
        {"keys of 192, values of 128", 64, 2, 1, 192, 96, 300, true, 128},
        {"keys of 16, values of 24", 64, 4, 2, 16, 96, 300, true, 24},
        {"one KV head a head", 64, 4, 4, 16, 96, 300, false, 0},
        {"three heads a KV head", 96, 6, 2, 16, 96, 300, false, 0},
        {"one head", 64, 1, 1, 64, 96, 300, false, 0},
        {"as small as can be", 8, 1, 1, 8, 1, 300, false, 0},
        {"nothing a multiple of 32", 72, 3, 1, 24, 101, 307, false, 0},
    };
    for (size_t i = 0; i < LENGTH(shapes); i++) {
        struct model_shape s = small_shape();
        s.dim = shapes[i].dim;
        s.n_heads = shapes[i].n_heads;
        s.n_kv_heads = shapes[i].n_kv_heads;
        s.head_dim = shapes[i].head_dim;
        s.v_dim = shapes[i].v_dim;
        s.hidden = shapes[i].hidden;
        s.vocab = shapes[i].vocab;
        s.tied = shapes[i].tied;
        agree_shape(&s, NULL, shapes[i].name);
    }
}

static void every_architecture(void **state)
{
    (void)state;
    const struct model_shape plain = small_shape();
    static const struct {
        const char *arch;
        bool bias, qk_norm, fused, scales;
        uint32_t n_layers, original_context;
    } rows[] = {
        {"llama", true, false, false, false, 2, 0},    {"qwen2", true, false, false, false, 2, 0},
        {"qwen3", false, true, false, false, 2, 0},    {"phi3", false, false, true, false, 2, 0},
        {"phi3", false, false, true, false, 2, 64},    {"phi3", false, false, true, false, 2, 128},
        {"smollm3", false, false, false, false, 5, 0}, {"granite", false, false, false, true, 3, 0},
        {"exaone", false, false, false, false, 2, 0},  {"minicpm", false, false, false, true, 2, 0},
        {"seed_oss", true, false, false, false, 2, 0},
    };
    for (size_t i = 0; i < LENGTH(rows); i++) {
        struct model_shape s = plain;
        s.arch = rows[i].arch;
        s.bias = rows[i].bias;
        s.qk_norm = rows[i].qk_norm;
        s.fused = rows[i].fused;
        s.scales = rows[i].scales;
        s.n_layers = rows[i].n_layers;
        if (rows[i].original_context) {
            s.rope = MODEL_ROPE_LONG;
            s.rope_original_context = rows[i].original_context;
        }
        agree_shape(&s, NULL, s.arch);
        s.attention = QUANT_Q8_0;
        agree_shape(&s, NULL, s.arch);
        s.head_dim = 40; /* no whole tiles of rows, more fours than lanes */
        s.hidden = 90;
        agree_shape(&s, NULL, s.arch);
    }
}

/* Limits of the mean divergence: four bits keep a number to a tenth. */
static void quantized_caches(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t kv;
        double limit;
    } caches[] = {{"q8_0 cache", LLM_KV_Q8_0, 1e-4}, {"q4_0 cache", LLM_KV_Q4_0, 3e-2}};
    struct model_shape shape = small_shape();
    shape.head_dim = 64;
    struct memory_file file;
    file.data = model_make(&shape, &file.size);
    for (size_t i = 0; i < LENGTH(caches); i++) {
        struct llm_load_options o;
        load_defaults(&o);
        o.kv = caches[i].kv;
        o.precision = LLM_PRECISION_HIGH;
        o.context = 128;
        llm_model *model;
        OK(load(&file, &o, &model));
        int32_t ids[ALL];
        random_ids(ids, ALL, shape.vocab, 7);
        struct agreement a = agree(model, &file, ids, PROMPT, ALL);
        if (!(a.mean <= caches[i].limit))
            fail_msg("%s: mean divergence %g", caches[i].name, a.mean);
        struct llm_model_info info = {.size = sizeof info};
        OK(llm_model_info_get(model, &info, &error));
        const uint32_t bytes = caches[i].kv == LLM_KV_Q8_0 ? 34 : 18;
        assert_int_equal(info.memory_kv_per_token,
                         2 * shape.n_layers * shape.n_kv_heads * shape.head_dim / 32 * bytes);
        llm_model_free(model);
    }
    free(file.data);
}

static void cache_of_odd_heads(void **state)
{
    (void)state;
    struct model_shape shape = small_shape();
    shape.head_dim = 40;
    struct memory_file file;
    file.data = model_make(&shape, &file.size);
    struct llm_load_options o;
    load_defaults(&o);
    o.kv = LLM_KV_Q8_0;
    llm_model *model;
    assert_int_equal(load(&file, &o, &model), LLM_UNSUPPORTED);
    assert_non_null(strstr(error.message, "keys of 40"));
    assert_non_null(strstr(error.message, "32"));
    free(file.data);
}

/* llama.cpp leaves Phi 3's window out, so that there is only the reference to tell. */
static void windows(void **state)
{
    (void)state;
    struct model_shape s = small_shape();
    s.arch = "phi3";
    s.fused = true;
    s.keys[0] = (struct model_key){"attention.sliding_window", GGUF_U32, 20};
    agree_shape(&s, NULL, "phi3 with a window");
    s.arch = "gemma2";
    s.keys[1] = (struct model_key){"attention.sliding_window_pattern", GGUF_U32, 3};
    s.n_layers = 4;
    agree_shape(&s, NULL, "a pattern of its own");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stories_high),       cmocka_unit_test(stories_f16),
        cmocka_unit_test(every_type),         cmocka_unit_test(mixed_types),
        cmocka_unit_test(every_rope),         cmocka_unit_test(odd_shapes),
        cmocka_unit_test(every_architecture), cmocka_unit_test(windows),
        cmocka_unit_test(quantized_caches),   cmocka_unit_test(cache_of_odd_heads),
    };
    return cmocka_run_group_tests(tests, fixture_open, fixture_close);
}

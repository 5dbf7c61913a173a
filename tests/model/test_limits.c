/* What is not there is said with names and numbers, before anything is taken, and harms nobody
 * else. */
#include "fixture.h"

#include <math.h>
#include <stdio.h>

#include "edit.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

enum { VOCAB = 320 };

static struct memory_file file;
static int32_t ids[600];

static llm_model *open_model(uint32_t context, uint64_t kv_tokens)
{
    struct llm_load_options o;
    load_defaults(&o);
    o.context = context;
    o.kv_tokens = kv_tokens;
    llm_model *model;
    OK(load(&file, &o, &model));
    return model;
}

static void assert_said(llm_status status, llm_status expected, const char *what, const char *a,
                        const char *b)
{
    if (status != expected)
        fail_msg("%s: %s, expected %s (%s)", what, llm_status_name(status),
                 llm_status_name(expected), error.message);
    if ((a && !strstr(error.message, a)) || (b && !strstr(error.message, b)))
        fail_msg("%s: \"%s\" does not say \"%s\" and \"%s\"", what, error.message, a ? a : "",
                 b ? b : "");
}

static llm_status try_prompt(llm_session *s, const int32_t *tokens, size_t n)
{
    const struct llm_prompt prompt = ids_prompt(tokens, n);
    return llm_session_feed(s, &prompt, &error);
}

static llm_status try_feed(llm_session *s, size_t n)
{
    return try_prompt(s, ids, n);
}

/* ---- the cache and the context ---- */

static llm_status try_logits(llm_session *s)
{
    float logits[VOCAB];
    return llm_session_logits(s, logits, &error);
}

/* Four pages of 64 tokens for all. */
static void cache_used_up(void **state)
{
    (void)state;
    llm_model *model = open_model(256, 256);
    llm_session *a = open_session(model), *b = open_session(model), *c = open_session(model);
    feed(a, ids, 129);
    float *a_before = logits_of(a, VOCAB);
    feed(b, ids + 200, 64);
    float *b_before = logits_of(b, VOCAB);
    assert_said(try_prompt(c, ids + 300, 200), LLM_OUT_OF_MEMORY, "a full cache", "0 of 4 are free",
                "pages of 64");
    assert_int_equal(llm_session_length(c), 0);
    feed(b, ids + 264, 1);
    for (int i = 0; i < 2; i++)
        assert_said(try_logits(b), LLM_OUT_OF_MEMORY, "one more page", "1 pages of 64",
                    "0 of 4 are free");
    assert_int_equal(llm_session_length(b), 65);

    /* The others did not notice; what ended with an error can be gone back from. */
    float *again = logits_of(a, VOCAB);
    assert_same_bits(again, a_before, VOCAB, "beside a full cache", 0);
    free(again);
    OK(llm_session_truncate(b, 64, &error));
    again = logits_of(b, VOCAB);
    assert_same_bits(again, b_before, VOCAB, "after a full cache", 0);
    free(again);

    /* One closes: there is room again. */
    llm_session_close(a);
    feed(c, ids, 129);
    again = logits_of(c, VOCAB);
    assert_same_bits(again, a_before, VOCAB, "when there is room again", 0);
    free(again);
    free(a_before);
    free(b_before);
    llm_session_free(a);
    llm_session_free(b);
    llm_session_free(c);
    llm_model_free(model);
}

/* Generates until something stops it: no end token. */
static llm_generation *start_endless(llm_session *s, const int32_t *tokens, size_t n)
{
    static const struct llm_bias no_end = {2, -1000};
    struct llm_generate_options o;
    llm_generate_defaults(&o, sizeof o);
    o.logit_bias = &no_end;
    o.n_logit_bias = 1;
    o.has_seed = 1;
    const struct llm_prompt prompt = ids_prompt(tokens, n);
    llm_generation *g;
    OK(llm_generation_start(s, &prompt, &o, &g, &error));
    return g;
}

static struct llm_result result_of(llm_generation *g)
{
    struct llm_result r = {.size = sizeof r};
    llm_generation_wait(g, -1);
    assert_int_equal(llm_generation_result(g, &r), LLM_OK);
    return r;
}

/* A prompt that finds no pages ends, and does not hold up those that run or wait beside it. */
static void cache_used_up_in_flight(void **state)
{
    (void)state;
    llm_model *model = open_model(128, 192);
    llm_session *idle = open_session(model), *a = open_session(model), *b = open_session(model);
    feed(idle, ids + 300, 128); /* two pages of three */
    llm_generation *refused = start_endless(a, ids + 100, 100), *going = start_endless(b, ids, 20);
    struct llm_result r = result_of(refused);
    assert_int_equal(r.status, LLM_OUT_OF_MEMORY);
    assert_string_equal(r.finish, "error");
    assert_non_null(strstr(r.error, "of 3 are free"));
    llm_generation_free(refused);

    /* Now beside one that generates. */
    refused = start_endless(a, ids + 100, 100);
    r = result_of(refused);
    assert_int_equal(r.status, LLM_OUT_OF_MEMORY);
    llm_generation_free(refused);
    assert_int_equal(llm_generation_wait_piece(going, -1), LLM_RUNNING);
    llm_generation_free(going);
    llm_session_free(idle);
    llm_session_free(b);
    llm_session_free(a);

    /* Six that outgrow it together: each ends, and each keeps what it gave out. */
    llm_session *all[6];
    llm_generation *running[6];
    for (size_t i = 0; i < LENGTH(all); i++) {
        all[i] = open_session(model);
        running[i] = start_endless(all[i], ids + 10 * i, 20 + 5 * i);
    }
    size_t n_errors = 0;
    for (size_t i = 0; i < LENGTH(all); i++) {
        r = result_of(running[i]);
        assert_true(r.status == LLM_OK || r.status == LLM_OUT_OF_MEMORY);
        n_errors += r.status != LLM_OK;
        assert_int_equal(llm_session_length(all[i]), r.status == LLM_OK ? 128
                                                     : r.tokens         ? 20 + 5 * i + r.tokens
                                                                        : 0);
    }
    assert_in_range(n_errors, 3, 6);
    for (size_t i = 0; i < LENGTH(all); i++) {
        llm_generation_free(running[i]);
        llm_session_free(all[i]);
    }
    a = open_session(model);
    assert_said(try_feed(a, 128), LLM_OK, "after all of them", NULL, NULL);
    llm_session_free(a);
    llm_model_free(model);
}

static void context_full(void **state)
{
    (void)state;
    llm_model *model = open_model(100, 0);
    llm_session *s = open_session(model), *narrow;
    feed(s, ids, 90);
    float *before = logits_of(s, VOCAB);
    assert_said(try_feed(s, 11), LLM_CONTEXT_FULL, "a prompt too long", "11 tokens", "90 of 100");
    assert_int_equal(llm_session_length(s), 90);
    float *after = logits_of(s, VOCAB);
    assert_same_bits(after, before, VOCAB, "after a refused prompt", 11);
    free(before);
    free(after);
    feed(s, ids, 10);
    free(logits_of(s, VOCAB));
    assert_said(try_feed(s, 1), LLM_CONTEXT_FULL, "a full context", "100 of 100", NULL);

    /* Generating stops where the context ends. */
    OK(llm_session_truncate(s, 95, &error));
    llm_generation *g = start_endless(s, ids, 1);
    struct llm_result r = result_of(g);
    assert_int_equal(r.status, LLM_OK);
    assert_string_equal(r.finish, "length");
    assert_int_equal(r.tokens, 4);
    assert_int_equal(llm_session_length(s), 100);
    llm_generation_free(g);

    assert_said(llm_session_create(model, 101, &narrow, &error), LLM_BAD_ARGUMENT,
                "a context too large", "101", "100");
    OK(llm_session_create(model, 5, &narrow, &error));
    assert_int_equal(llm_session_capacity(narrow), 5);
    assert_said(try_feed(narrow, 6), LLM_CONTEXT_FULL, "a narrow session", "6 tokens", "0 of 5");
    llm_session_free(narrow);
    llm_session_free(s);
    llm_model_free(model);
}

static void memory_limit(void **state)
{
    (void)state;
    static const struct {
        uint64_t memory;
        uint32_t context;
        uint64_t kv_tokens;
    } limits[] = {
        {1, 0, 0},
        {100000, 0, 0},
        {1000000, 512, 1000000},
        {0, 512, 1000000000000},
        {0, 1u << 28, 0},
        {UINT64_MAX, 512, UINT64_MAX},
        {1000000, 512, UINT64_MAX - 1},
    };
    for (size_t i = 0; i < LENGTH(limits); i++) {
        struct llm_load_options o;
        load_defaults(&o);
        o.memory = limits[i].memory;
        o.context = limits[i].context;
        o.kv_tokens = limits[i].kv_tokens;
        llm_model *model;
        llm_status status = load(&file, &o, &model);
        if (status != LLM_OUT_OF_MEMORY)
            fail_msg("limit %zu: %s, \"%s\"", i, llm_status_name(status), error.message);
        assert_said(status, LLM_OUT_OF_MEMORY, "a memory limit", i < 2 ? "0 MB are allowed" : NULL,
                    NULL);
        assert_true(strpbrk(error.message, "0123456789") != NULL);
        assert_null(model);
    }
    /* As little as the message of a model that fits says it takes is enough. */
    llm_model *model = open_model(128, 128);
    struct llm_model_info info = {.size = sizeof info};
    OK(llm_model_info_get(model, &info, &error));
    assert_int_equal(info.memory_kv, 2 * 64 * info.memory_kv_per_token);
    llm_model_free(model);
    struct llm_load_options o;
    load_defaults(&o);
    o.context = 128;
    o.kv_tokens = 128;
    o.memory = info.memory_weights + info.memory_kv + info.memory_scratch;
    OK(load(&file, &o, &model));
    llm_model_free(model);
    o.memory--;
    assert_int_equal(load(&file, &o, &model), LLM_OUT_OF_MEMORY);
}

/* ---- cancel ---- */

static void cancelled_prompt(void **state)
{
    (void)state;
    llm_model *model = open_model(600, 0);
    llm_session *s = open_session(model);
    feed(s, ids, 70);
    float *before = logits_of(s, VOCAB);
    const struct llm_prompt prompt = ids_prompt(ids, 500);
    for (int updates = 0; updates < 4; updates++) {
        llm_generation *g;
        OK(llm_generation_start(s, &prompt, NULL, &g, &error));
        for (int i = 0; i < updates; i++) assert_int_equal(llm_update(root, 0), 1);
        assert_said(try_feed(s, 1), LLM_BUSY, "a busy session", NULL, NULL);
        llm_generation_cancel(g);
        struct llm_result r = result_of(g);
        assert_string_equal(r.finish, "cancelled");
        assert_int_equal(r.tokens, 0);
        llm_generation_free(g);
        size_t n;
        const int32_t *tokens = llm_session_tokens(s, &n);
        assert_int_equal(n, 70);
        assert_memory_equal(tokens, ids, 70 * sizeof *ids);
        float *after = logits_of(s, VOCAB);
        assert_same_bits(after, before, VOCAB, "after a cancel and updates:", updates);
        free(after);
    }
    free(before);
    llm_session_free(s);
    llm_model_free(model);
}

/* ---- the end, with work in flight ---- */

enum end { END_GENERATIONS, END_SESSIONS, END_MODEL, END_ROOT, N_ENDS };

/* What is freed first differs; the handles that are left say that they are closed, and nothing is
 * lost. */
static void ends_in_flight(void **state)
{
    (void)state;
    llm *first = root;
    for (int how = 0; how < N_ENDS; how++) {
        long long taken = bytes_taken();
        assert_int_equal(fixture_open(NULL), 0);
        llm_model *model = open_model(128, 0);
        llm_session *s[3];
        llm_generation *g[3];
        for (size_t i = 0; i < LENGTH(s); i++) {
            s[i] = open_session(model);
            g[i] = start_endless(s[i], ids, 1 + 50 * i);
        }
        for (int i = 0; i < 3; i++) llm_update(root, 0);
        if (how == END_SESSIONS)
            for (size_t i = 0; i < LENGTH(s); i++) llm_session_close(s[i]);
        if (how == END_MODEL) llm_model_close(model);
        if (how == END_ROOT) llm_free(root);
        for (size_t i = 0; how != END_GENERATIONS && i < LENGTH(s); i++) {
            assert_true(llm_session_closed(s[i]));
            assert_said(try_feed(s[i], 1), LLM_CLOSED, "after the end", "closed", NULL);
            assert_string_equal(result_of(g[i]).finish, "cancelled");
        }
        for (size_t i = 0; i < LENGTH(s); i++) llm_generation_free(g[i]);
        if (how != END_ROOT) llm_free(root);
        for (size_t i = 0; i < LENGTH(s); i++) llm_session_free(s[i]);
        llm_model_free(model);
        assert_int_equal(bytes_taken(), taken);
        root = first;
    }
}

/* ---- many ---- */

/* Resident memory in kB; 0 where it cannot be told, or a sanitizer keeps what was freed. */
static long resident(void)
{
    long total = 0, pages = 0;
#if !defined __SANITIZE_ADDRESS__ && defined __linux__
    FILE *in = fopen("/proc/self/statm", "r");
    if (!in) return 0;
    if (fscanf(in, "%ld %ld", &total, &pages) != 2) pages = 0;
    fclose(in);
#endif
    return pages * 4 + 0 * total;
}

static void many_sessions(void **state)
{
    (void)state;
    enum { N = 10000 };
    llm_model *model = open_model(128, 0);
    long before = 0;
    long long taken = 0;
    for (int i = 0; i < N; i++) {
        llm_session *s = open_session(model);
        if (i % 500 == 0) {
            feed(s, ids, 3);
            free(logits_of(s, VOCAB));
        }
        llm_session_close(s);
        assert_int_equal(llm_session_closed(s), 1);
        llm_session_free(s);
        if (i == 1000) before = resident();
        if (i == 0) taken = bytes_taken();
    }
    assert_true(resident() - before < 2000);
    assert_int_equal(bytes_taken(), taken);

    /* All at once, freed from the middle out. */
    llm_session **all = calloc(N, sizeof *all);
    assert_non_null(all);
    for (int i = 0; i < N; i++) all[i] = open_session(model);
    for (int i = 0; i < N; i++) llm_session_free(all[(size_t)i * 7919 % N]);
    free(all);
    llm_session *s = open_session(model);
    feed(s, ids, 3);
    free(logits_of(s, VOCAB));
    llm_session_free(s);
    llm_model_free(model);
}

static void many_loads(void **state)
{
    (void)state;
    enum { WHOLE = 300, N = 100 };
    long before = 0;
    long long taken = 0;
    for (int i = 0; i < WHOLE; i++) {
        llm_model *model = open_model(128, 0);
        llm_session *s = open_session(model);
        feed(s, ids, 3);
        free(logits_of(s, VOCAB));
        llm_model_close(model);
        assert_said(try_feed(s, 1), LLM_CLOSED, "a session of a closed model", NULL, NULL);
        llm_session_free(s);
        llm_model_free(model);
        if (i == 0) taken = bytes_taken();
        assert_int_equal(bytes_taken(), taken);
        if (i == 10) before = resident();
    }
    for (int i = 0; i < N; i++) {
        struct llm_load_options o;
        load_defaults(&o);
        o.vocab_only = i % 2 == 1;
        o.memory = 1;
        llm_model *model;
        llm_status status = load(&file, &o, &model);
        llm_model_free(model);
        assert_int_equal(status, i % 2 ? LLM_OK : LLM_OUT_OF_MEMORY);
        assert_int_equal(bytes_taken(), taken);
    }
    if (resident() - before > 2000)
        fail_msg("%ld kB more in %d loads", resident() - before, WHOLE + N);
}

/* ---- hostile files ---- */

struct hostile {
    const char *what;
    struct edit edits[2];
    llm_status status;
    const char *said[2];
};

#define U32(name_, value)                                                                          \
    {                                                                                              \
        {                                                                                          \
            .kind = EDIT_U32, .name = "llama." name_, .u32 = value                                 \
        }                                                                                          \
    }
#define F32(name_, value)                                                                          \
    {                                                                                              \
        {                                                                                          \
            .kind = EDIT_F32, .name = "llama." name_, .f32 = value                                 \
        }                                                                                          \
    }
#define STRING(name_, value)                                                                       \
    {                                                                                              \
        {                                                                                          \
            .kind = EDIT_STRING, .name = name_, .text = value                                      \
        }                                                                                          \
    }
#define DROP(name_)                                                                                \
    {                                                                                              \
        {                                                                                          \
            .kind = EDIT_DROP, .name = name_                                                       \
        }                                                                                          \
    }
#define SHAPE(name_, ...)                                                                          \
    {                                                                                              \
        {                                                                                          \
            .kind = TENSOR_SHAPE, .name = name_, .dims = { __VA_ARGS__ }                           \
        }                                                                                          \
    }
#define TYPE(name_, type)                                                                          \
    {                                                                                              \
        {                                                                                          \
            .kind = TENSOR_TYPE, .name = name_, .u32 = type                                        \
        }                                                                                          \
    }

static const struct hostile hostile[] = {
    {"no architecture",
     DROP("general.architecture"),
     LLM_BAD_MODEL,
     {"general.architecture", "missing"}},
    {"unknown architecture",
     STRING("general.architecture", "mamba"),
     LLM_UNSUPPORTED,
     {"mamba", "llama"}},
    {"empty architecture", STRING("general.architecture", ""), LLM_UNSUPPORTED, {"''", "llama"}},
    {"numeric architecture",
     {{.kind = EDIT_U32, .name = "general.architecture", .u32 = 1}},
     LLM_BAD_MODEL,
     {"general.architecture", NULL}},

    {"no context",
     DROP("llama.context_length"),
     LLM_BAD_MODEL,
     {"llama.context_length", "missing"}},
    {"context 0", U32("context_length", 0), LLM_BAD_MODEL, {"llama.context_length", "0"}},
    {"context huge",
     U32("context_length", UINT32_MAX),
     LLM_BAD_MODEL,
     {"llama.context_length", "4294967295"}},
    {"context a fraction", F32("context_length", 5), LLM_BAD_MODEL, {"llama.context_length", NULL}},
    {"no width",
     DROP("llama.embedding_length"),
     LLM_BAD_MODEL,
     {"llama.embedding_length", "missing"}},
    {"width 0", U32("embedding_length", 0), LLM_BAD_MODEL, {"llama.embedding_length", "0"}},
    {"width 1", U32("embedding_length", 1), LLM_BAD_MODEL, {"token_embd.weight", "64 x 320"}},
    {"width 72", U32("embedding_length", 72), LLM_BAD_MODEL, {"token_embd.weight", "72 x 320"}},
    {"width huge",
     U32("embedding_length", UINT32_MAX),
     LLM_BAD_MODEL,
     {"llama.embedding_length", "4294967295"}},
    {"no layers", DROP("llama.block_count"), LLM_BAD_MODEL, {"llama.block_count", "missing"}},
    {"layers 0", U32("block_count", 0), LLM_BAD_MODEL, {"llama.block_count", "0"}},
    {"a layer too many", U32("block_count", 3), LLM_BAD_MODEL, {"blk.2.attn_norm.weight", "64"}},
    {"a layer too few", U32("block_count", 1), LLM_UNSUPPORTED, {"blk.1.", "llama"}},
    {"layers many", U32("block_count", 4096), LLM_BAD_MODEL, {"4096", NULL}},
    {"layers huge",
     U32("block_count", UINT32_MAX),
     LLM_BAD_MODEL,
     {"llama.block_count", "4294967295"}},
    {"no hidden", DROP("llama.feed_forward_length"), LLM_BAD_MODEL, {"feed_forward_length", NULL}},
    {"hidden 0", U32("feed_forward_length", 0), LLM_BAD_MODEL, {"feed_forward_length 0", NULL}},
    {"hidden 97",
     U32("feed_forward_length", 97),
     LLM_BAD_MODEL,
     {"blk.0.ffn_gate.weight", "64 x 97"}},
    {"hidden huge",
     U32("feed_forward_length", UINT32_MAX),
     LLM_BAD_MODEL,
     {"feed_forward_length 4294967295", NULL}},
    {"no heads", DROP("llama.attention.head_count"), LLM_BAD_MODEL, {"head_count", NULL}},
    {"heads 0", U32("attention.head_count", 0), LLM_BAD_MODEL, {"head_count 0", NULL}},
    {"heads 5", U32("attention.head_count", 5), LLM_BAD_MODEL, {"head_count 5", NULL}},
    {"heads 8", U32("attention.head_count", 8), LLM_BAD_MODEL, {"blk.0.attn_q.weight", "64 x 128"}},
    {"heads huge",
     U32("attention.head_count", UINT32_MAX),
     LLM_BAD_MODEL,
     {"head_count 4294967295", NULL}},
    {"KV heads 0", U32("attention.head_count_kv", 0), LLM_BAD_MODEL, {"head_count_kv 0", NULL}},
    {"KV heads 3", U32("attention.head_count_kv", 3), LLM_BAD_MODEL, {"head_count_kv 3", NULL}},
    {"KV heads 8", U32("attention.head_count_kv", 8), LLM_BAD_MODEL, {"head_count_kv 8", NULL}},
    {"KV heads huge",
     U32("attention.head_count_kv", UINT32_MAX),
     LLM_BAD_MODEL,
     {"head_count_kv 4294967295", NULL}},
    {"keys of 0", U32("attention.key_length", 0), LLM_UNSUPPORTED, {"0", NULL}},
    {"keys of 8", U32("attention.key_length", 8), LLM_BAD_MODEL, {"attn_q.weight", NULL}},
    {"keys huge", U32("attention.key_length", UINT32_MAX), LLM_UNSUPPORTED, {"4294967295", NULL}},
    {"values of 32", U32("attention.value_length", 32), LLM_BAD_MODEL, {"attn_v.weight", NULL}},
    {"values of 4", U32("attention.value_length", 4), LLM_UNSUPPORTED, {"16", "4"}},
    {"experts", U32("expert_count", 8), LLM_BAD_MODEL, {"llama.expert_used_count", "missing"}},
    {"epsilon 0",
     F32("attention.layer_norm_rms_epsilon", 0),
     LLM_BAD_MODEL,
     {"layer_norm_rms_epsilon", "0"}},
    {"epsilon below 0",
     F32("attention.layer_norm_rms_epsilon", -1),
     LLM_BAD_MODEL,
     {"layer_norm_rms_epsilon", "-1"}},
    {"epsilon infinite",
     F32("attention.layer_norm_rms_epsilon", HUGE_VALF),
     LLM_BAD_MODEL,
     {"layer_norm_rms_epsilon", "inf"}},
    {"epsilon a word",
     STRING("llama.attention.layer_norm_rms_epsilon", "small"),
     LLM_BAD_MODEL,
     {"layer_norm_rms_epsilon", NULL}},

    {"turned 0", U32("rope.dimension_count", 0), LLM_BAD_MODEL, {"rope", "0"}},
    {"turned 7", U32("rope.dimension_count", 7), LLM_BAD_MODEL, {"rope", "7"}},
    {"turned 18",
     U32("rope.dimension_count", 18),
     LLM_BAD_MODEL,
     {"llama.rope.dimension_count", "18"}},
    {"turned huge",
     U32("rope.dimension_count", UINT32_MAX),
     LLM_BAD_MODEL,
     {"llama.rope.dimension_count", "4294967295"}},
    {"base 0", F32("rope.freq_base", 0), LLM_BAD_MODEL, {"freq_base", "0"}},
    {"base below 0", F32("rope.freq_base", -5), LLM_BAD_MODEL, {"freq_base", "-5"}},
    {"base infinite", F32("rope.freq_base", HUGE_VALF), LLM_BAD_MODEL, {"freq_base", "inf"}},
    {"scaling below 0", F32("rope.scaling.factor", -2), LLM_BAD_MODEL, {"factor", "-2"}},
    {"unknown scaling",
     STRING("llama.rope.scaling.type", "spiral"),
     LLM_UNSUPPORTED,
     {"spiral", NULL}},

    {"unknown tokenizer",
     STRING("tokenizer.ggml.model", "runes"),
     LLM_UNSUPPORTED,
     {"runes", NULL}},
    {"no tokenizer", DROP("tokenizer.ggml.model"), LLM_BAD_MODEL, {"tokenizer.ggml.model", NULL}},
    {"no tokens", DROP("tokenizer.ggml.tokens"), LLM_BAD_MODEL, {"tokenizer.ggml.tokens", NULL}},
    {"tokens a word",
     STRING("tokenizer.ggml.tokens", "a"),
     LLM_BAD_MODEL,
     {"tokenizer.ggml.tokens", NULL}},

    {"no embedding",
     {{.kind = TENSOR_DROP, .name = "token_embd.weight"}},
     LLM_BAD_MODEL,
     {"token_embd.weight", "64 x 320"}},
    {"no last norm",
     {{.kind = TENSOR_DROP, .name = "output_norm.weight"}},
     LLM_BAD_MODEL,
     {"output_norm.weight", "64 x 1"}},
    {"no values",
     {{.kind = TENSOR_DROP, .name = "blk.1.attn_v.weight"}},
     LLM_BAD_MODEL,
     {"blk.1.attn_v.weight", "64 x 32"}},
    {"no down",
     {{.kind = TENSOR_DROP, .name = "blk.1.ffn_down.weight"}},
     LLM_BAD_MODEL,
     {"blk.1.ffn_down.weight", "96 x 64"}},
    {"another name",
     {{.kind = TENSOR_NAME, .name = "blk.0.attn_q.weight", .text = "blk.0.attn_qq.weight"}},
     LLM_BAD_MODEL,
     {"blk.0.attn_q.weight", "64 x 64"}},
    {"embedding of 321",
     SHAPE("token_embd.weight", 64, 321),
     LLM_BAD_MODEL,
     {"64 x 321", "64 x 320"}},
    {"embedding of 319",
     SHAPE("token_embd.weight", 64, 319),
     LLM_BAD_MODEL,
     {"64 x 319", "64 x 320"}},
    {"query turned round",
     SHAPE("blk.0.attn_k.weight", 32, 64),
     LLM_BAD_MODEL,
     {"blk.0.attn_k.weight", "32 x 64"}},
    {"a norm of 63",
     SHAPE("blk.0.attn_norm.weight", 63),
     LLM_BAD_MODEL,
     {"blk.0.attn_norm.weight", "63"}},
    {"a norm of 1", SHAPE("output_norm.weight", 1), LLM_BAD_MODEL, {"output_norm.weight", "1"}},
    {"three dimensions",
     SHAPE("blk.0.ffn_up.weight", 64, 96, 2),
     LLM_BAD_MODEL,
     {"blk.0.ffn_up.weight", "64 x 96 x 2"}},
    {"four dimensions",
     SHAPE("blk.0.ffn_up.weight", 64, 96, 1, 2),
     LLM_BAD_MODEL,
     {"blk.0.ffn_up.weight", "64 x 96 x 1 x 2"}},
    {"an output of 32",
     SHAPE("output.weight", 32, 320),
     LLM_BAD_MODEL,
     {"output.weight", "32 x 320"}},
    {"a norm in Q8_0",
     TYPE("blk.1.ffn_norm.weight", QUANT_Q8_0),
     LLM_UNSUPPORTED,
     {"blk.1.ffn_norm.weight", "Q8_0"}},
    {"a norm in F16",
     TYPE("output_norm.weight", QUANT_F16),
     LLM_UNSUPPORTED,
     {"output_norm.weight", "F16"}},
    {"an output bias",
     {{.kind = TENSOR_ADD, .name = "blk.0.attn_output.bias", .dims = {64}}},
     LLM_UNSUPPORTED,
     {"blk.0.attn_output.bias", "F32"}},
    {"a bias of 63",
     {{.kind = TENSOR_ADD, .name = "blk.0.attn_q.bias", .dims = {63}}},
     LLM_BAD_MODEL,
     {"blk.0.attn_q.bias", "63"}},
    {"a norm of heads",
     {{.kind = TENSOR_ADD, .name = "blk.0.attn_q_norm.weight", .dims = {16}}},
     LLM_UNSUPPORTED,
     {"blk.0.attn_q_norm.weight", "llama"}},
    {"a layer past the end",
     {{.kind = TENSOR_ADD, .name = "blk.2.attn_norm.weight", .dims = {64}}},
     LLM_UNSUPPORTED,
     {"blk.2.attn_norm.weight", NULL}},
    {"rope factors of 7",
     {{.kind = TENSOR_ADD, .name = "rope_freqs.weight", .dims = {7}}},
     LLM_BAD_MODEL,
     {"rope_freqs.weight", "7"}},
    {"rope factors of zero",
     {{.kind = TENSOR_ADD, .name = "rope_freqs.weight", .dims = {8}}},
     LLM_BAD_MODEL,
     {"rope", "0"}},
};

static bool said(const char *text)
{
    return !text || strstr(error.message, text);
}

/* 1 where the file with the edits is not refused as it should be. */
static unsigned try_hostile(const uint8_t *data, size_t size, const struct hostile *h)
{
    struct llm_load_options o;
    load_defaults(&o);
    o.context = 128;
    struct memory_file edited;
    edited.data = edit_gguf(data, size, h->edits, &edited.size);
    llm_model *model;
    llm_status status = load(&edited, &o, &model);
    bool wrong = status != h->status || !said(h->said[0]) || !said(h->said[1]);
    if (wrong)
        print_error("%s: %s, expected %s: \"%s\"\n", h->what, llm_status_name(status),
                    llm_status_name(h->status), status == LLM_OK ? "" : error.message);
    llm_model_free(model);
    free(edited.data);
    return wrong;
}

static void hostile_headers(void **state)
{
    (void)state;
    unsigned n_wrong = 0;
    for (size_t i = 0; i < LENGTH(hostile); i++)
        n_wrong += try_hostile(file.data, file.size, &hostile[i]);
    assert_int_equal(n_wrong, 0);
}

/* What other architectures have and llama has not. */
static void hostile_kin(void **state)
{
    (void)state;
    static const struct {
        const char *arch;
        struct hostile h;
    } rows[] = {
        {"qwen2",
         {"no bias",
          {{.kind = TENSOR_DROP, .name = "blk.1.attn_k.bias"}},
          LLM_BAD_MODEL,
          {"blk.1.attn_k.bias", "32 x 1"}}},
        {"qwen2",
         {"a bias of 31",
          SHAPE("blk.0.attn_v.bias", 31),
          LLM_BAD_MODEL,
          {"blk.0.attn_v.bias", "31"}}},
        {"qwen2",
         {"a bias in F16",
          TYPE("blk.0.attn_q.bias", QUANT_F16),
          LLM_UNSUPPORTED,
          {"blk.0.attn_q.bias", "F16"}}},
        {"qwen3",
         {"no norm",
          {{.kind = TENSOR_DROP, .name = "blk.1.attn_q_norm.weight"}},
          LLM_BAD_MODEL,
          {"blk.1.attn_q_norm.weight", "16 x 1"}}},
        {"qwen3",
         {"a norm of 15",
          SHAPE("blk.1.attn_k_norm.weight", 15),
          LLM_BAD_MODEL,
          {"blk.1.attn_k_norm.weight", "15"}}},
        {"phi3",
         {"no values",
          SHAPE("blk.0.attn_qkv.weight", 64, 96),
          LLM_BAD_MODEL,
          {"64 x 96", "64 x 128"}}},
        {"phi3",
         {"no gate", SHAPE("blk.0.ffn_up.weight", 64, 96), LLM_BAD_MODEL, {"64 x 96", "64 x 192"}}},
        {"phi3",
         {"no short factors",
          {{.kind = TENSOR_DROP, .name = "rope_factors_short.weight"}},
          LLM_BAD_MODEL,
          {"rope_factors_short.weight", NULL}}},
        {"granite",
         {"a residual of nothing at all",
          {{.kind = EDIT_F32, .name = "granite.residual_scale", .f32 = NAN}},
          LLM_BAD_MODEL,
          {"granite.residual_scale", "nan"}}},
        {"minicpm",
         {"no scale",
          {{.kind = EDIT_DROP, .name = "minicpm.residual_scale"}},
          LLM_BAD_MODEL,
          {"minicpm.residual_scale", "missing"}}},
        {"granite",
         {"logits below zero",
          {{.kind = EDIT_F32, .name = "granite.logit_scale", .f32 = -1}},
          LLM_BAD_MODEL,
          {"granite.logit_scale", "-1"}}},
        {"gemma3",
         {"no norm after attention",
          {{.kind = TENSOR_DROP, .name = "blk.1.post_attention_norm.weight"}},
          LLM_BAD_MODEL,
          {"blk.1.post_attention_norm.weight", "64 x 1"}}},
        {"gemma3",
         {"a window beyond everything",
          {{.kind = EDIT_U32, .name = "gemma3.attention.sliding_window", .u32 = UINT32_MAX}},
          LLM_BAD_MODEL,
          {"gemma3.attention.sliding_window", "4294967295"}}},
        {"gemma2",
         {"a cap below zero",
          {{.kind = EDIT_F32, .name = "gemma2.attn_logit_softcapping", .f32 = -5}},
          LLM_BAD_MODEL,
          {"gemma2.attn_logit_softcapping", "-5"}}},
        {"gemma2",
         {"a cap of nothing at all",
          {{.kind = EDIT_F32, .name = "gemma2.final_logit_softcapping", .f32 = NAN}},
          LLM_BAD_MODEL,
          {"gemma2.final_logit_softcapping", "nan"}}},
        {"gemma3",
         {"a pattern in words",
          {{.kind = EDIT_U32, .name = "gemma3.attention.sliding_window", .u32 = 16},
           {.kind = EDIT_STRING,
            .name = "gemma3.attention.sliding_window_pattern",
            .text = "often"}},
          LLM_BAD_MODEL,
          {"gemma3.attention.sliding_window_pattern", NULL}}},
        {"olmo2",
         {"a norm of one head",
          SHAPE("blk.0.attn_q_norm.weight", 16),
          LLM_BAD_MODEL,
          {"blk.0.attn_q_norm.weight", "64 x 1"}}},
        {"gpt2",
         {"no positions",
          {{.kind = TENSOR_DROP, .name = "position_embd.weight"}},
          LLM_BAD_MODEL,
          {"position_embd.weight", "64 x 512"}}},
        {"gpt2",
         {"a bias of 127",
          SHAPE("blk.1.attn_qkv.bias", 127),
          LLM_BAD_MODEL,
          {"blk.1.attn_qkv.bias", "128 x 1"}}},
        {"phi2",
         {"no bias of the output",
          {{.kind = TENSOR_DROP, .name = "output.bias"}},
          LLM_BAD_MODEL,
          {"output.bias", "320 x 1"}}},
        {"phi2",
         {"epsilon of nothing",
          {{.kind = EDIT_F32, .name = "phi2.attention.layer_norm_epsilon", .f32 = 0}},
          LLM_BAD_MODEL,
          {"phi2.attention.layer_norm_epsilon", "0"}}},
        {"stablelm",
         {"one norm less",
          {{.kind = TENSOR_DROP, .name = "blk.1.ffn_norm.weight"},
           {.kind = TENSOR_DROP, .name = "blk.1.ffn_norm.bias"}},
          LLM_BAD_MODEL,
          {"ffn_norm", "0 and 1"}}},
        {"arcee",
         {"a gate",
          {{.kind = TENSOR_ADD, .name = "blk.0.ffn_gate.weight", .dims = {64, 96}}},
          LLM_UNSUPPORTED,
          {"blk.0.ffn_gate.weight", "arcee"}}},
        {"apertus",
         {"no xielu", {{.kind = EDIT_END}}, LLM_BAD_MODEL, {"xielu.alpha_n", "missing"}}},
    };
    unsigned n_wrong = 0;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        struct model_shape s = model_shape_small;
        size_t size;
        s.arch = rows[i].arch;
        s.bias = strcmp(s.arch, "qwen2") == 0;
        s.qk_norm = strcmp(s.arch, "qwen3") == 0;
        s.fused = strcmp(s.arch, "phi3") == 0;
        s.scales = strcmp(s.arch, "granite") == 0 || strcmp(s.arch, "minicpm") == 0;
        if (s.fused) s.rope = MODEL_ROPE_LONG;
        uint8_t *data = model_make(&s, &size);
        n_wrong += try_hostile(data, size, &rows[i].h);
        free(data);
    }
    assert_int_equal(n_wrong, 0);
}

/* A status with words, and never a crash: refused before anything is taken, so that it is quick. */
static llm_status load_hostile(struct memory_file *f, const char *what)
{
    struct llm_load_options o;
    load_defaults(&o);
    o.context = 128;
    o.memory = 1;
    llm_model *model;
    llm_status status = load(f, &o, &model);
    bool known = status == LLM_BAD_MODEL || status == LLM_UNSUPPORTED ||
                 status == LLM_OUT_OF_MEMORY || status == LLM_IO;
    if (!known || !error.message[0] || model)
        fail_msg("%s: %s, \"%s\"", what, llm_status_name(status), error.message);
    return status;
}

static void try_edit(const struct edit *e)
{
    const struct edit edits[2] = {*e};
    struct memory_file edited;
    edited.data = edit_gguf(file.data, file.size, edits, &edited.size);
    llm_status status = load_hostile(&edited, e->name);
    bool named = strstr(error.message, e->name) != NULL;
    if (e->kind == TENSOR_DROP && strcmp(e->name, "output.weight") != 0 &&
        (status != LLM_BAD_MODEL || !named))
        fail_msg("%s dropped: %s, \"%s\"", e->name, llm_status_name(status), error.message);
    free(edited.data);
}

/* Each value becomes each of these, each tensor each of those. */
static void every_value_changed(void **state)
{
    (void)state;
    static const struct edit changes[] = {
        {.kind = EDIT_DROP},
        {.kind = EDIT_U32, .u32 = 0},
        {.kind = EDIT_U32, .u32 = 1},
        {.kind = EDIT_U32, .u32 = 24},
        {.kind = EDIT_U32, .u32 = INT32_MAX},
        {.kind = EDIT_U32, .u32 = UINT32_MAX},
        {.kind = EDIT_F32, .f32 = NAN},
        {.kind = EDIT_F32, .f32 = 1e-30f},
        {.kind = EDIT_F32, .f32 = -HUGE_VALF},
        {.kind = EDIT_STRING, .text = ""},
        {.kind = EDIT_STRING, .text = "%s%n"},
    };
    static const struct edit tensor_changes[] = {
        {.kind = TENSOR_DROP},
        {.kind = TENSOR_TYPE, .u32 = QUANT_BF16},
        {.kind = TENSOR_SHAPE, .dims = {1}},
        {.kind = TENSOR_SHAPE, .dims = {64, 64, 64}},
        {.kind = TENSOR_NAME, .text = ""},
        {.kind = TENSOR_NAME, .text = "blk.4294967296.attn_q.weight"},
    };
    struct gguf g;
    OK(gguf_parse(&g, file.data, file.size, file.size, &alloc_libc, &error));
    char name[128];
    for (uint64_t i = 0; i < g.n_values; i++) {
        snprintf(name, sizeof name, "%.*s", (int)g.values[i].key.size, g.values[i].key.text);
        for (size_t k = 0; k < LENGTH(changes); k++) {
            struct edit e = changes[k];
            e.name = name;
            try_edit(&e);
        }
    }
    for (uint64_t i = 0; i < g.n_tensors; i++) {
        snprintf(name, sizeof name, "%.*s", (int)g.tensors[i].name.size, g.tensors[i].name.text);
        for (size_t k = 0; k < LENGTH(tensor_changes); k++) {
            struct edit e = tensor_changes[k];
            e.name = name;
            try_edit(&e);
        }
    }
    gguf_free(&g);
}

/* Bytes of the header, most of them at its two ends, become 0 and 255. */
static void header_bytes_changed(void **state)
{
    (void)state;
    struct gguf g;
    OK(gguf_parse(&g, file.data, file.size, file.size, &alloc_libc, &error));
    size_t n = (size_t)g.data_offset;
    gguf_free(&g);
    struct memory_file changed = {malloc(file.size), file.size};
    assert_non_null(changed.data);
    memcpy(changed.data, file.data, file.size);
    for (size_t i = 0; i < n; i += i < 200 || i + 800 > n ? 3 : 41) {
        static const uint8_t values[] = {0, 255};
        for (size_t k = 0; k < LENGTH(values); k++) {
            changed.data[i] = values[k];
            load_hostile(&changed, "a changed byte");
        }
        changed.data[i] = file.data[i];
    }
    free(changed.data);
}

/* Every cut of the header's first bytes, then some thousand places. */
static void cut_files(void **state)
{
    (void)state;
    struct llm_load_options o;
    load_defaults(&o);
    o.context = 128;
    size_t step = file.size / 500;
    for (size_t n = 0; n < file.size; n += n < 300 ? 1 : step) {
        /* A copy, so that a sanitizer sees a read past the end. */
        struct memory_file cut = {malloc(n ? n : 1), n};
        assert_non_null(cut.data);
        memcpy(cut.data, file.data, n);
        llm_model *model;
        llm_status status = load(&cut, &o, &model);
        if (status != LLM_BAD_MODEL || !error.message[0])
            fail_msg("cut at %zu of %zu: %s, \"%s\"", n, file.size, llm_status_name(status),
                     error.message);
        free(cut.data);
    }
    /* The reader stops in the middle, though the size says more. */
    for (size_t n = 0; n < file.size; n += file.size / 50) {
        struct memory_file cut = {file.data, n};
        struct llm_load_options whole = o;
        llm_model *model;
        whole.read_size = file.size;
        llm_status status = load(&cut, &whole, &model);
        if (status != LLM_IO && status != LLM_BAD_MODEL)
            fail_msg("reading stops at %zu: %s, \"%s\"", n, llm_status_name(status), error.message);
    }
}

static int setup(void **state)
{
    file.data = model_make(&model_shape_small, &file.size);
    random_ids(ids, LENGTH(ids), VOCAB, 5);
    return fixture_open(state);
}

static int teardown(void **state)
{
    free(file.data);
    return fixture_close(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cache_used_up),       cmocka_unit_test(cache_used_up_in_flight),
        cmocka_unit_test(context_full),        cmocka_unit_test(memory_limit),
        cmocka_unit_test(cancelled_prompt),    cmocka_unit_test(ends_in_flight),
        cmocka_unit_test(many_sessions),       cmocka_unit_test(many_loads),
        cmocka_unit_test(hostile_headers),     cmocka_unit_test(hostile_kin),
        cmocka_unit_test(every_value_changed), cmocka_unit_test(header_bytes_changed),
        cmocka_unit_test(cut_files),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

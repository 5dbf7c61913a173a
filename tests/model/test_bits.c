/* The same tokens give the same bits, however they were cut, whatever ran beside them and wherever
 * their cache came from. Sums depend on a row and its position alone. */
#include "fixture.h"

enum { VOCAB = 320, CONTEXT = 640, LONG = 530 };

static llm_model *model;
static struct memory_file file;
static int32_t ids[LONG];
static float *expected; /* after all of ids, read in one piece */

static llm_session *session_with(const int32_t *tokens, size_t n)
{
    llm_session *s = open_session(model);
    feed(s, tokens, n);
    return s;
}

static float *logits_after(const int32_t *tokens, size_t n)
{
    llm_session *s = session_with(tokens, n);
    float *logits = logits_of(s, VOCAB);
    llm_session_free(s);
    return logits;
}

static void assert_expected(llm_session *s, const char *what, long number)
{
    float *logits = logits_of(s, VOCAB);
    assert_same_bits(logits, expected, VOCAB, what, number);
    free(logits);
}

static void cut_prompts(void **state)
{
    (void)state;
    static const size_t cuts[] = {1, 7, 63, 64, 65, 255, 256, 257, 513};
    for (size_t i = 0; i < LENGTH(cuts); i++) {
        llm_session *s = session_with(ids, cuts[i]);
        feed(s, ids + cuts[i], LONG - cuts[i]);
        assert_expected(s, "cut at", (long)cuts[i]);
        llm_session_free(s);
    }
    /* Computed up to the cut, that token's logits included. */
    for (size_t i = 0; i < LENGTH(cuts); i += 5) {
        llm_session *s = session_with(ids, cuts[i]);
        free(logits_of(s, VOCAB));
        feed(s, ids + cuts[i], LONG - cuts[i]);
        assert_expected(s, "cut and computed at", (long)cuts[i]);
        llm_session_free(s);
    }
}

static void pieces_of_every_size(void **state)
{
    (void)state;
    llm_session *s = open_session(model);
    for (size_t done = 0, take = 1; done < LONG; done += take, take++) {
        if (take > LONG - done) take = LONG - done;
        feed(s, ids + done, take);
        free(logits_of(s, VOCAB));
    }
    assert_expected(s, "pieces up to", LONG);
    llm_session_free(s);
}

/* ---- beside others ---- */

enum { START = 61, STEPS = 6, MOST = 15 };

/* No end token, and more tokens than the test waits for. */
static llm_generation *start_endless(llm_session *s, const int32_t *token, uint32_t logprobs)
{
    static const struct llm_bias no_end = {2, -1000};
    struct llm_generate_options o;
    llm_generate_defaults(&o, sizeof o);
    o.temperature = 0;
    o.logprobs = logprobs;
    o.logit_bias = &no_end;
    o.n_logit_bias = logprobs; /* without a bias the device picks the token */
    const struct llm_prompt prompt = ids_prompt(token, 1);
    llm_generation *g;
    OK(llm_generation_start(s, &prompt, &o, &g, &error));
    return g;
}

/* The logits of STEPS tokens, one by one, beside n sessions that generate at other positions. */
static void decode_beside(size_t n, float *logits)
{
    llm_session *others[MOST];
    llm_generation *running[MOST];
    for (size_t i = 0; i < n; i++) {
        int32_t noise[3 + 3 * MOST];
        random_ids(noise, LENGTH(noise), VOCAB, (uint32_t)(100 + i));
        others[i] = session_with(noise, 3 + 3 * i);
        running[i] = start_endless(others[i], noise + LENGTH(noise) - 1, (uint32_t)i % 2);
    }
    llm_session *s = session_with(ids, START);
    for (size_t i = 0; i < STEPS; i++) {
        OK(llm_session_logits(s, logits + i * VOCAB, &error));
        feed(s, ids + START + i, 1);
    }
    for (size_t i = 0; i < n; i++) {
        struct llm_result r = {.size = sizeof r};
        if (i % 2) assert_int_equal(llm_generation_result(running[i], &r), LLM_RUNNING);
        llm_generation_free(running[i]);
        llm_session_free(others[i]);
    }
    llm_session_free(s);
}

static void beside_others(void **state)
{
    (void)state;
    static const size_t numbers[] = {1, 2, 7, MOST};
    float *alone = malloc(STEPS * VOCAB * sizeof *alone);
    float *beside = malloc(STEPS * VOCAB * sizeof *beside);
    assert_true(alone && beside);
    decode_beside(0, alone);
    for (size_t i = 0; i < LENGTH(numbers); i++) {
        decode_beside(numbers[i], beside);
        assert_same_bits(beside, alone, STEPS * VOCAB, "beside others,", (long)numbers[i]);
    }
    free(alone);
    free(beside);
}

/* ---- other ways to come by a cache ---- */

static void forked(void **state)
{
    (void)state;
    static const size_t at[] = {64, 65};
    for (size_t i = 0; i < LENGTH(at); i++) {
        llm_session *s = session_with(ids, at[i]), *fork;
        free(logits_of(s, VOCAB));
        OK(llm_session_fork(s, &fork, &error));
        assert_int_equal(llm_session_length(fork), at[i]);
        /* Both write into what they shared, the fork other tokens than the first. */
        int32_t other[40];
        random_ids(other, LENGTH(other), VOCAB, 9);
        feed(fork, other, LENGTH(other));
        float *fork_logits = logits_of(fork, VOCAB);
        feed(s, ids + at[i], LONG - at[i]);
        assert_expected(s, "forked from at", (long)at[i]);
        llm_session_free(s);

        int32_t whole[LONG];
        memcpy(whole, ids, at[i] * sizeof *ids);
        memcpy(whole + at[i], other, sizeof other);
        llm_session_free(fork); /* nothing to share a beginning with */
        float *plain = logits_after(whole, at[i] + LENGTH(other));
        assert_same_bits(fork_logits, plain, VOCAB, "fork at", (long)at[i]);
        free(fork_logits);
        free(plain);
    }
}

static void truncated(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {64, 65, LONG - 1};
    llm_session *s = session_with(ids, LONG);
    for (size_t i = 0; i < LENGTH(lengths); i++) {
        OK(llm_session_truncate(s, lengths[i], &error));
        int32_t other[70];
        random_ids(other, LENGTH(other), VOCAB, 11);
        feed(s, other, LENGTH(other)); /* what was cut off is written over, then cut off, too */
        free(logits_of(s, VOCAB));
        OK(llm_session_truncate(s, lengths[i], &error));
        feed(s, ids + lengths[i], LONG - lengths[i]);
        assert_expected(s, "truncated to", (long)lengths[i]);
    }
    assert_int_equal(llm_session_truncate(s, LONG + 1, &error), LLM_BAD_ARGUMENT);
    assert_non_null(strstr(error.message, "531"));
    assert_expected(s, "not truncated to", LONG + 1);
    llm_session_free(s);
}

struct blob {
    uint8_t *data;
    size_t n;
};

static llm_status write_blob(void *user, const void *data, size_t n)
{
    struct blob *b = user;
    uint8_t *grown = realloc(b->data, b->n + n + 1);
    if (!grown) return LLM_OUT_OF_MEMORY;
    b->data = grown;
    if (n) memcpy(b->data + b->n, data, n);
    b->n += n;
    return LLM_OK;
}

static int64_t read_blob(void *user, uint64_t offset, void *dst, size_t n)
{
    const struct blob *b = user;
    if (offset > b->n || n > b->n - offset) return -1;
    if (n) memcpy(dst, b->data + offset, n);
    return (int64_t)n;
}

static void restored(void **state)
{
    (void)state;
    static const size_t at[] = {65, 200};
    for (size_t i = 0; i < LENGTH(at); i++) {
        for (uint32_t with_kv = 0; with_kv < 2; with_kv++) {
            struct blob blob = {NULL, 0};
            llm_session *s = session_with(ids, at[i]), *again;
            free(logits_of(s, VOCAB));
            OK(llm_session_save(s, with_kv, write_blob, &blob, &error));
            llm_session_free(s);
            OK(llm_session_restore(model, blob.n, read_blob, &blob, &again, &error));
            free(blob.data);
            assert_int_equal(llm_session_length(again), at[i]);
            feed(again, ids + at[i], LONG - at[i]);
            assert_expected(again, with_kv ? "restored, cached, at" : "restored from tokens at",
                            (long)at[i]);
            llm_session_free(again);
        }
    }
}

/* Keys turned for a short context are of no use in a long one. */
static void restored_in_long_context(void **state)
{
    (void)state;
    struct model_shape shape = model_shape_small;
    shape.arch = "phi3";
    shape.fused = true;
    shape.rope = MODEL_ROPE_LONG;
    struct memory_file phi[2];
    llm_model *models[2];
    struct llm_load_options o;
    load_defaults(&o);
    for (int i = 0; i < 2; i++) {
        o.context = i ? 256 : 128;
        models[i] = load_shape(&shape, &o, &phi[i]);
    }
    llm_session *s = open_session(models[0]), *fresh = open_session(models[1]), *again;
    feed(s, ids, 90);
    feed(fresh, ids, 90);
    free(logits_of(s, VOCAB));
    struct blob blob = {NULL, 0};
    OK(llm_session_save(s, 1, write_blob, &blob, &error));
    OK(llm_session_restore(models[1], blob.n, read_blob, &blob, &again, &error));
    float *ours = logits_of(again, VOCAB), *theirs = logits_of(fresh, VOCAB);
    assert_same_bits(ours, theirs, VOCAB, "restored in a context of", 256);
    free(ours);
    free(theirs);
    free(blob.data);
    llm_session_free(s);
    llm_session_free(again);
    llm_session_free(fresh);
    for (int i = 0; i < 2; i++) {
        llm_model_free(models[i]);
        free(phi[i].data);
    }
}

static void prefix_shared(void **state)
{
    (void)state;
    llm_session *first = session_with(ids, 300), *second = open_session(model);
    struct llm_generate_options o;
    llm_generate_defaults(&o, sizeof o);
    o.feed = 1;
    const struct llm_prompt prompt = ids_prompt(ids, LONG);
    llm_generation *g;
    OK(llm_generation_start(second, &prompt, &o, &g, &error));
    llm_generation_wait(g, -1);
    struct llm_result r = {.size = sizeof r};
    assert_int_equal(llm_generation_result(g, &r), LLM_OK);
    assert_int_equal(r.status, LLM_OK);
    assert_int_equal(r.prompt_tokens, LONG);
    assert_in_range(r.cached_tokens, 192, 300);
    llm_generation_free(g);
    llm_session_free(first);
    assert_expected(second, "shared beginning of", (long)r.cached_tokens);
    llm_session_free(second);
}

/* ---- models: sums of f32, the ways of a quantized one, wide rows, and norms of heads ---- */

static void open_model(const struct model_shape *shape, uint32_t kv, uint32_t precision,
                       uint32_t deterministic)
{
    struct llm_load_options o;
    load_defaults(&o);
    o.kv = kv;
    o.precision = precision;
    o.context = CONTEXT;
    o.deterministic = deterministic;
    model = load_shape(shape, &o, &file);
    random_ids(ids, LONG, VOCAB, 3);
}

static int open_f32(void **state)
{
    fixture_open(state);
    open_model(&model_shape_small, LLM_KV_F32, LLM_PRECISION_HIGH, 1);
    expected = logits_after(ids, LONG);
    return 0;
}

/* Without being asked for: every device says that it is deterministic. */
static int open_q4(void **state)
{
    fixture_open(state);
    struct model_shape shape = model_shape_small;
    shape.embedding = shape.attention = shape.ffn = shape.output = QUANT_Q4_0;
    open_model(&shape, LLM_KV_F16, LLM_PRECISION_FAST, 0);
    expected = logits_after(ids, LONG);
    return 0;
}

static int open_wide(void **state)
{
    fixture_open(state);
    struct model_shape shape = model_shape_small;
    shape.embedding = shape.output = QUANT_Q8_0;
    shape.attention = QUANT_Q4_K;
    shape.ffn = QUANT_Q6_K;
    shape.n_layers = 1;
    shape.dim = 256;
    shape.n_heads = 4;
    shape.head_dim = 64;
    shape.hidden = 768;
    open_model(&shape, LLM_KV_F16, LLM_PRECISION_FAST, 0);
    return 0;
}

static int open_heads(void **state)
{
    fixture_open(state);
    struct model_shape shape = model_shape_small;
    shape.arch = "qwen3";
    shape.qk_norm = true;
    shape.attention = shape.ffn = QUANT_Q4_0;
    open_model(&shape, LLM_KV_F16, LLM_PRECISION_FAST, 0);
    expected = logits_after(ids, LONG);
    return 0;
}

static int close_model(void **state)
{
    free(expected);
    expected = NULL;
    llm_model_free(model);
    free(file.data);
    return fixture_close(state);
}

int main(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(cut_prompts),   cmocka_unit_test(pieces_of_every_size),
        cmocka_unit_test(beside_others), cmocka_unit_test(forked),
        cmocka_unit_test(truncated),     cmocka_unit_test(restored),
        cmocka_unit_test(prefix_shared),
    };
    const struct CMUnitTest beside[] = {cmocka_unit_test(beside_others)};
    const struct CMUnitTest some[] = {cmocka_unit_test(cut_prompts),
                                      cmocka_unit_test(beside_others),
                                      cmocka_unit_test(restored_in_long_context)};
    int failed = cmocka_run_group_tests_name("f32", all, open_f32, close_model);
    failed += cmocka_run_group_tests_name("q4_0", all, open_q4, close_model);
    failed += cmocka_run_group_tests_name("heads", some, open_heads, close_model);
    return failed + cmocka_run_group_tests_name("wide", beside, open_wide, close_model);
}

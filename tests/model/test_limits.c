/* What is not there is said with names and numbers, before anything is taken, and harms nobody
 * else. */
#include "fixture.h"

#include <stdio.h>

enum { VOCAB = 320 };

static int32_t ids[600];

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
    llm_model *model = open_limited(&small_file, 256, 256);
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
    llm_model *model = open_limited(&small_file, 128, 192);
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
    llm_model *model = open_limited(&small_file, 100, 0);
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
        llm_status status = load(&small_file, &o, &model);
        if (status != LLM_OUT_OF_MEMORY)
            fail_msg("limit %zu: %s, \"%s\"", i, llm_status_name(status), error.message);
        assert_said(status, LLM_OUT_OF_MEMORY, "a memory limit", i < 2 ? "0 MB are allowed" : NULL,
                    NULL);
        assert_true(strpbrk(error.message, "0123456789") != NULL);
        assert_null(model);
    }
    /* As little as the message of a model that fits says it takes is enough. */
    llm_model *model = open_limited(&small_file, 128, 128);
    struct llm_model_info info = {.size = sizeof info};
    OK(llm_model_info_get(model, &info, &error));
    assert_int_equal(info.memory_kv, 2 * 64 * info.memory_kv_per_token);
    llm_model_free(model);
    struct llm_load_options o;
    load_defaults(&o);
    o.context = 128;
    o.kv_tokens = 128;
    o.memory = info.memory_weights + info.memory_kv + info.memory_scratch;
    OK(load(&small_file, &o, &model));
    llm_model_free(model);
    o.memory--;
    assert_int_equal(load(&small_file, &o, &model), LLM_OUT_OF_MEMORY);
}

/* ---- cancel ---- */

static void cancelled_prompt(void **state)
{
    (void)state;
    llm_model *model = open_limited(&small_file, 600, 0);
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
        llm_model *model = open_limited(&small_file, 128, 0);
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
    llm_model *model = open_limited(&small_file, 128, 0);
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
        llm_model *model = open_limited(&small_file, 128, 0);
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
        llm_status status = load(&small_file, &o, &model);
        llm_model_free(model);
        assert_int_equal(status, i % 2 ? LLM_OK : LLM_OUT_OF_MEMORY);
        assert_int_equal(bytes_taken(), taken);
    }
    if (resident() - before > 2000)
        fail_msg("%ld kB more in %d loads", resident() - before, WHOLE + N);
}

static int setup(void **state)
{
    random_ids(ids, LENGTH(ids), VOCAB, 5);
    return fixture_open_small(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cache_used_up),    cmocka_unit_test(cache_used_up_in_flight),
        cmocka_unit_test(context_full),     cmocka_unit_test(memory_limit),
        cmocka_unit_test(cancelled_prompt), cmocka_unit_test(ends_in_flight),
        cmocka_unit_test(many_sessions),    cmocka_unit_test(many_loads),
    };
    return cmocka_run_group_tests(tests, setup, fixture_close_small);
}

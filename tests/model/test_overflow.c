/* Sessions that are changed in the middle, and generations that outgrow them. */
#include "fixture.h"

#include <stdio.h>

static struct memory_file file;

static llm_model *open_model(uint32_t context)
{
    struct llm_load_options o;
    llm_model *m;
    load_defaults(&o);
    o.context = context;
    o.kv = LLM_KV_F32;
    o.precision = LLM_PRECISION_HIGH;
    OK(load(&file, &o, &m));
    return m;
}

enum { VOCAB = 512 };

static void replacing_is_starting_anew(void **state)
{
    (void)state;
    llm_model *m = open_model(128);
    llm_session *s = open_session(m), *fresh = open_session(m);
    int32_t ids[80], other[40];
    size_t n;
    random_ids(ids, 80, VOCAB, 1);
    random_ids(other, 40, VOCAB, 2);
    feed(s, ids, 80);
    free(logits_of(s, VOCAB));
    OK(llm_session_replace(s, 50, other, 40, &error));
    assert_int_equal(llm_session_length(s), 90);
    assert_memory_equal(llm_session_tokens(s, &n) + 50, other, sizeof other);
    feed(fresh, ids, 50);
    feed(fresh, other, 40);
    float *a = logits_of(s, VOCAB), *b = logits_of(fresh, VOCAB);
    assert_same_bits(a, b, VOCAB, "replaced", 50);
    free(a);
    free(b);
    OK(llm_session_replace(s, 0, NULL, 0, &error));
    assert_int_equal(llm_session_length(s), 0);
    assert_int_equal(llm_session_replace(s, 1, ids, 1, &error), LLM_BAD_ARGUMENT);
    assert_int_equal(llm_session_replace(s, 0, (const int32_t[]){VOCAB}, 1, &error),
                     LLM_BAD_ARGUMENT);
    OK(llm_session_replace(s, 0, ids, 80, &error));
    assert_int_equal(llm_session_replace(s, 80, ids, 49, &error), LLM_CONTEXT_FULL);
    assert_int_equal(llm_session_length(s), 80);
    llm_session_free(s);
    llm_session_free(fresh);
    llm_model_free(m);
}

struct host {
    llm_session *session;
    uint32_t keep, calls, released;
    llm_status answer;
};

static llm_status on_full(void *user)
{
    struct host *h = user;
    h->calls++;
    assert_int_equal(llm_session_length(h->session), llm_session_capacity(h->session));
    llm_session *fork;
    assert_int_equal(llm_session_fork(h->session, &fork, NULL), LLM_BUSY);
    OK(llm_session_truncate(h->session, h->keep, &error));
    return h->answer;
}

static void release(void *user)
{
    ((struct host *)user)->released++;
}

/* finish, how often it was full, and the tokens written */
static void check_run(llm_model *m, struct host h, int64_t max_tokens, const char *finish,
                      uint32_t calls, uint32_t tokens)
{
    const struct llm_bias no_end = {2, -100};
    const struct llm_prompt prompt = {.size = sizeof prompt, .text = "Once", .text_size = 4};
    struct llm_generate_options o;
    struct llm_result r = {.size = sizeof r};
    llm_generation *g;
    llm_generate_defaults(&o, sizeof o);
    h.session = open_session(m);
    o.temperature = 0;
    o.max_tokens = max_tokens;
    o.logit_bias = &no_end;
    o.n_logit_bias = 1;
    o.on_full = on_full;
    o.on_full_user = &h;
    o.on_full_release = release;
    OK(llm_generation_start(h.session, &prompt, &o, &g, &error));
    llm_generation_wait(g, -1);
    OK(llm_generation_result(g, &r));
    assert_string_equal(r.finish, finish);
    assert_int_equal(h.calls, calls);
    if (tokens) assert_int_equal(r.tokens, tokens);
    assert_true(llm_session_length(h.session) <= 64);
    llm_generation_free(g);
    assert_int_equal(h.released, 1);
    llm_session_free(h.session);
}

static void full_sessions(void **state)
{
    (void)state;
    llm_model *m = open_model(64);
    check_run(m, (struct host){.keep = 32}, 62 + 32 * 3, "length", 3, 62 + 32 * 3);
    check_run(m, (struct host){.keep = 64}, 200, "length", 1, 0);
    check_run(m, (struct host){.keep = 0}, 200, "length", 1, 0);
    check_run(m, (struct host){.keep = 63}, 80, "length", 18, 80);
    check_run(m, (struct host){.keep = 32, .answer = LLM_CALLBACK}, 200, "error", 1, 0);
    check_run(m, (struct host){.keep = 32}, 0, "length", 0, 0);
    llm_model_free(m);
}

static int open_file(void **state)
{
    file = read_file(TEST_DATA "/stories260K.gguf");
    return fixture_open(state);
}

static int close_file(void **state)
{
    free(file.data);
    return fixture_close(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replacing_is_starting_anew),
        cmocka_unit_test(full_sessions),
    };
    return cmocka_run_group_tests(tests, open_file, close_file);
}

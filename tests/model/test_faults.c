/* The N-th allocation fails, for every N, until a whole life of a model succeeds: each failure is a
 * status, nothing leaks and nothing is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "llm.h"

/* The load's worker allocates too: everything is atomic. */
struct failing {
    atomic_long calls, fail_at;
    atomic_llong bytes;
};

static void *failing_realloc(void *user, void *ptr, size_t old_size, size_t new_size)
{
    struct failing *f = user;
    if (new_size == 0) {
        f->bytes -= (long long)old_size;
        free(ptr);
        return NULL;
    }
    if (++f->calls == f->fail_at) return NULL;
    void *grown = realloc(ptr, new_size);
    if (grown) f->bytes += (long long)new_size - (long long)old_size;
    return grown;
}

struct blob {
    char bytes[1 << 20];
    size_t n;
};

static llm_status write_blob(void *user, const void *data, size_t n)
{
    struct blob *b = user;
    if (n > sizeof b->bytes - b->n) return LLM_IO;
    memcpy(b->bytes + b->n, data, n);
    b->n += n;
    return LLM_OK;
}

static int64_t read_blob(void *user, uint64_t offset, void *dst, size_t n)
{
    const struct blob *b = user;
    if (offset > b->n || n > b->n - offset) return -1;
    memcpy(dst, b->bytes + offset, n);
    return (int64_t)n;
}

#define STEP(call)                                                                                 \
    do {                                                                                           \
        status = (call);                                                                           \
        if (status != LLM_OK) goto end;                                                            \
    } while (0)

/* Load, generate, fork, save, restore, score, embed: LLM_OK when all of it went well. */
static llm_status live(struct failing *f, struct blob *blob)
{
    struct llm_options root_options;
    llm_options_defaults(&root_options, sizeof root_options);
    root_options.realloc = failing_realloc;
    root_options.realloc_user = f;
    struct llm_error error = {.size = sizeof error};
    llm *root = NULL;
    llm_model *model = NULL;
    llm_session *session = NULL, *fork = NULL, *restored = NULL;
    llm_generation *g = NULL;
    blob->n = 0;

    llm_status status = llm_create(&root, &root_options, &error);
    if (status != LLM_OK) return status;
    struct llm_load_options load;
    llm_load_defaults(&load, sizeof load);
    load.context = 128;
    load.cache = "";
    STEP(llm_load(root, TEST_DATA "/stories260K.gguf", &load, &model, &error));
    STEP(llm_session_create(model, 0, &session, &error));
    struct llm_prompt prompt = {.size = sizeof prompt, .text = "Once upon a time", .text_size = 16};
    struct llm_generate_options o;
    llm_generate_defaults(&o, sizeof o);
    struct llm_text stop = {"zebra", 5};
    o.max_tokens = 4;
    o.stop = &stop;
    o.n_stop = 1;
    o.logprobs = 2;
    o.has_seed = 1;
    STEP(llm_generation_start(session, &prompt, &o, &g, &error));
    llm_generation_wait(g, -1);
    struct llm_result result = {.size = sizeof result};
    assert_int_equal(llm_generation_result(g, &result), LLM_OK);
    STEP((llm_status)result.status);
    assert_int_equal(result.tokens, 4);
    STEP(llm_session_fork(session, &fork, &error));
    STEP(llm_session_feed(fork, &prompt, &error));
    STEP(llm_session_save(session, 1, write_blob, blob, &error));
    STEP(llm_session_restore(model, blob->n, read_blob, blob, &restored, &error));
    assert_int_equal(llm_session_length(restored), llm_session_length(session));
    double scores[2];
    size_t best;
    struct llm_prompt choices[2] = {{.size = sizeof prompt, .text = " a", .text_size = 2},
                                    {.size = sizeof prompt, .text = " b", .text_size = 2}};
    STEP(llm_model_choose(model, &prompt, choices, 2, 0, scores, &best, &error));
    float vectors[2][64];
    STEP(llm_model_embed(model, choices, 2, NULL, &vectors[0][0], &error));
end:
    if (status != LLM_OK) assert_true(error.message[0] || status == LLM_OUT_OF_MEMORY);
    llm_generation_free(g);
    llm_session_free(restored);
    llm_session_free(fork);
    llm_model_free(model);
    llm_free(root);
    llm_session_free(session); /* any order will do */
    return status;
}

/* Of a processor, for all tries; the tries of a fast driver. */
enum { SECONDS = 60, TRIES = 120 };

static void every_allocation_may_fail(void **state)
{
    (void)state;
    struct blob *blob = malloc(sizeof *blob);
    struct failing f = {0};
    assert_non_null(blob);
    const clock_t begun = clock();
    assert_int_equal(live(&f, blob), LLM_OK);
    const double life = (double)(clock() - begun) / CLOCKS_PER_SEC;
    const long tries = life * TRIES > SECONDS ? 1 + (long)(SECONDS / life) : TRIES;
    long n = f.calls;
    assert_int_equal(f.bytes, 0);
    /* Most are a kernel, or a buffer like the one before, and each try makes and checks all
     * pipelines anew: some of them each day, all within as many days as the step is long. */
    long step = 1 + n / tries, first = 1 + (long)(time(NULL) / 86400 % step);
    for (long i = first; i <= n; i += step) {
        f.calls = 0;
        f.fail_at = i;
        llm_status status = live(&f, blob);
        if (f.bytes != 0 || (status != LLM_OK && status != LLM_OUT_OF_MEMORY))
            fail_msg("allocation %ld of %ld: status %s, %lld bytes leaked", i, n,
                     llm_status_name(status), (long long)f.bytes);
    }
    free(blob);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Caches that are rounded: the same bits after cuts, fork, truncate and restore, as other caches
 * give (test_bits.c). */
#include "fixture.h"

enum { VOCAB = 320, ALL = 140 };

static llm_model *model;
static int32_t ids[ALL];
static float *expected; /* after all of ids, read in one piece */

/* Computes the rest of ids. */
static void assert_goes_on(llm_session *s, const char *what)
{
    const size_t n = llm_session_length(s);
    feed(s, ids + n, ALL - n);
    float *logits = logits_of(s, VOCAB);
    assert_same_bits(logits, expected, VOCAB, what, (long)n);
    free(logits);
    llm_session_free(s);
}

/* With the last token's logits computed. */
static llm_session *session_of(size_t n)
{
    llm_session *s = open_session(model);
    feed(s, ids, n);
    free(logits_of(s, VOCAB));
    return s;
}

struct blob {
    uint8_t bytes[1 << 20];
    size_t n;
};

static llm_status write_blob(void *user, const void *data, size_t n)
{
    struct blob *b = user;
    if (n > sizeof b->bytes - b->n) return LLM_OUT_OF_MEMORY;
    if (n) memcpy(b->bytes + b->n, data, n);
    b->n += n;
    return LLM_OK;
}

static int64_t read_blob(void *user, uint64_t offset, void *dst, size_t n)
{
    const struct blob *b = user;
    if (offset > b->n || n > b->n - offset) return -1;
    if (n) memcpy(dst, b->bytes + offset, n);
    return (int64_t)n;
}

/* latent: the cache has no values. */
static void try_cache(uint32_t kv, bool latent)
{
    static const size_t cuts[] = {1, 63, 65, 100};
    static struct blob blob;
    struct model_shape shape = model_shape_small;
    shape.head_dim = 32;
    if (latent) {
        shape.arch = "deepseek2";
        shape.head_dim = 48;
        shape.v_dim = 20;
        shape.rope_dims = 32;
        shape.latent = (struct model_latent){.rank = 64};
    }
    struct memory_file file;
    struct llm_load_options o;
    load_defaults(&o);
    o.kv = kv;
    o.context = 256;
    model = load_shape(&shape, &o, &file);
    random_ids(ids, ALL, VOCAB, 3);
    llm_session *whole = open_session(model), *other;
    feed(whole, ids, ALL);
    expected = logits_of(whole, VOCAB);
    OK(llm_session_truncate(whole, 70, &error));
    assert_goes_on(whole, "truncated to");
    for (size_t i = 0; i < LENGTH(cuts); i++) assert_goes_on(session_of(cuts[i]), "cut at");

    llm_session *s = session_of(100);
    OK(llm_session_fork(s, &other, &error));
    assert_goes_on(other, "forked at");
    blob.n = 0;
    OK(llm_session_save(s, 1, write_blob, &blob, &error));
    const size_t row = latent ? 3 * 18 : 2 * 2 * 18; /* blocks; or KV heads, K and V */
    assert_true(blob.n > 100 * 2 * row);             /* layers */
    if (latent) assert_true(blob.n < 2 * 64 * 2 * 96 * sizeof(float) + 4096);
    assert_goes_on(s, "saved at");
    OK(llm_session_restore(model, blob.n, read_blob, &blob, &other, &error));
    assert_goes_on(other, "restored at");
    free(expected);
    llm_model_free(model);
    free(file.data);
}

static void q8_0(void **state)
{
    (void)state;
    try_cache(LLM_KV_Q8_0, false);
    try_cache(LLM_KV_Q8_0, true);
}

static void q4_0(void **state)
{
    (void)state;
    try_cache(LLM_KV_Q4_0, false);
    try_cache(LLM_KV_Q4_0, true);
}

/* The other caches of latent attention: f16 and f32. */
static void latent_plain(void **state)
{
    (void)state;
    try_cache(LLM_KV_F16, true);
    try_cache(LLM_KV_F32, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(q8_0), cmocka_unit_test(q4_0),
                                       cmocka_unit_test(latent_plain)};
    return cmocka_run_group_tests(tests, fixture_open, fixture_close);
}

/* The logits of each architecture against llama.cpp's for the same random weights: tests/data/peer,
 * see peer_models.h. */
#include "fixture.h"

#include <math.h>
#include <stdio.h>

#include "peer_models.h"
#include "reference.h"

static double nmse(const float *ours, const float *theirs, const double *exact, uint32_t n)
{
    double off = 0, all = 0;
    for (uint32_t i = 0; i < n; i++) {
        const double want = theirs ? (double)theirs[i] : exact[i], d = (double)ours[i] - want;
        off += d * d;
        all += want * want;
    }
    return off / all;
}

static struct memory_file golden(const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, TEST_DATA "/peer/%s.logits", name);
    struct memory_file file = read_file(path);
    assert_int_equal(file.size, PEER_ROWS * PEER_VOCAB * sizeof(float));
    return file;
}

static uint32_t context_of(const struct peer_model *m)
{
    return peer_step(m) > 13 ? 512 : 256;
}

static llm_model *load_model(const struct peer_model *m, struct memory_file *file, uint32_t kv,
                             uint32_t precision)
{
    struct llm_load_options o;
    load_defaults(&o);
    o.kv = kv;
    o.precision = precision;
    o.context = context_of(m);
    llm_model *model;
    if (load(file, &o, &model) != LLM_OK) fail_msg("%s: %s", m->name, error.message);
    return model;
}

/* Feeds ids up to that of a row of logits; with `single` one by one. */
static void feed_to(llm_session *s, struct reference *r, const struct peer_model *m, uint32_t row,
                    bool single, double *exact)
{
    const uint32_t to = row * peer_step(m) + 1;
    for (uint32_t done = reference_length(r); done < to;) {
        int32_t ids[400];
        const uint32_t n = single ? 1 : to - done;
        for (uint32_t i = 0; i < n; i++) ids[i] = peer_id(done + i);
        feed(s, ids, n);
        done += n;
        assert_true(reference_eval(r, ids, n, done == to ? exact : NULL));
    }
}

/* In pieces that end where logits were kept; with `single`, the last piece id by id. Whether both
 * llama.cpp and double precision agree. */
static bool check_model(const struct peer_model *m, bool single)
{
    struct memory_file file, theirs = golden(m->name);
    double exact[PEER_VOCAB], worst[2] = {0, 0};
    file.data = model_make(&m->shape, &file.size);
    struct reference *r = reference_open(file.data, file.size, &error);
    if (!r) fail_msg("%s: %s", m->name, error.message);
    reference_choose_rope(r, context_of(m));
    llm_model *model = load_model(m, &file, LLM_KV_F32, LLM_PRECISION_HIGH);
    llm_session *s = open_session(model);
    for (uint32_t row = 0; row < PEER_ROWS; row++) {
        feed_to(s, r, m, row, single && row + 1 == PEER_ROWS, exact);
        float *ours = logits_of(s, PEER_VOCAB);
        const float *kept = (const float *)(const void *)theirs.data + row * PEER_VOCAB;
        worst[0] = fmax(worst[0], nmse(ours, kept, NULL, PEER_VOCAB));
        worst[1] = fmax(worst[1], nmse(ours, NULL, exact, PEER_VOCAB));
        free(ours);
    }
    const bool fine = worst[0] <= m->limit && worst[1] <= 1e-10;
    if (!fine)
        print_error("%s: NMSE %g to llama.cpp of at most %g, %g to double precision\n", m->name,
                    worst[0], m->limit, worst[1]);
    llm_session_free(s);
    llm_model_free(model);
    reference_free(r);
    free(file.data);
    free(theirs.data);
    return fine;
}

static void every_model(void **state)
{
    (void)state;
    unsigned n_wrong = 0;
    for (uint32_t i = 0; i < peer_n_models; i++) n_wrong += !check_model(&peer_models[i], i % 2);
    assert_int_equal(n_wrong, 0);
}

/* Weights of 4 and 8 bits, a cache of f16 and, where the device takes them, rounded activations. */
static bool check_rounded(const struct peer_model *m)
{
    struct peer_model rounded = *m;
    struct memory_file file;
    double exact[PEER_VOCAB], worst = 0;
    rounded.shape.attention = rounded.shape.ffn = QUANT_Q4_0;
    rounded.shape.embedding = rounded.shape.output = QUANT_Q8_0;
    file.data = model_make(&rounded.shape, &file.size);
    struct reference *r = reference_open(file.data, file.size, &error);
    if (!r) fail_msg("%s: %s", m->name, error.message);
    llm_model *model = load_model(m, &file, LLM_KV_F16, LLM_PRECISION_FAST);
    llm_session *s = open_session(model);
    for (uint32_t row = 0; row < 2; row++) {
        feed_to(s, r, m, row, false, exact);
        float *ours = logits_of(s, PEER_VOCAB);
        worst = fmax(worst, divergence(exact, ours, PEER_VOCAB));
        free(ours);
    }
    if (!(worst <= 1e-3)) print_error("%s: divergence %g\n", m->name, worst);
    llm_session_free(s);
    llm_model_free(model);
    reference_free(r);
    free(file.data);
    return worst <= 1e-3;
}

static void every_model_rounded(void **state)
{
    (void)state;
    unsigned n_wrong = 0;
    for (uint32_t i = 0; i < peer_n_models; i++) {
        const struct peer_model *m = &peer_models[i];
        const struct model_experts *e = &m->shape.experts;
        const struct model_latent *a = &m->shape.latent;
        if (e->hidden % 32 || e->shared % 32) continue;
        if (a->rank && (a->q_rank % 32 || (m->shape.head_dim - m->shape.rope_dims) % 32)) continue;
        if (m->shape.dim % 32 || m->shape.rope == MODEL_ROPE_LONG || peer_step(m) > 13) continue;
        n_wrong += !check_rounded(m);
    }
    assert_int_equal(n_wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_model),
                                       cmocka_unit_test(every_model_rounded)};
    return cmocka_run_group_tests(tests, fixture_open, fixture_close);
}

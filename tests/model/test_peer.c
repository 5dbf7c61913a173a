/* The logits of each architecture against llama.cpp's for the same random weights: tests/data/peer,
 * see peer_models.h. */
#include "fixture.h"

#include <stdio.h>

#include "peer_models.h"

static double nmse(const float *ours, const float *theirs, uint32_t n)
{
    double off = 0, all = 0;
    for (uint32_t i = 0; i < n; i++) {
        double d = (double)ours[i] - (double)theirs[i];
        off += d * d;
        all += (double)theirs[i] * (double)theirs[i];
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

/* In pieces that end where logits were kept; with `single`, the last piece id by id. The worst
 * NMSE.
 */
static double try_model(const struct peer_model *m, llm_model *model, const float *theirs,
                        bool single)
{
    const uint32_t step = peer_step(m);
    llm_session *s = open_session(model);
    uint32_t done = 0;
    double worst = 0;
    for (uint32_t row = 0; row < PEER_ROWS; row++) {
        while (done < row * step + 1) {
            int32_t ids[400];
            uint32_t n = single && row + 1 == PEER_ROWS ? 1 : row * step + 1 - done;
            for (uint32_t i = 0; i < n; i++) ids[i] = peer_id(done + i);
            feed(s, ids, n);
            done += n;
        }
        float *ours = logits_of(s, PEER_VOCAB);
        double e = nmse(ours, theirs + row * PEER_VOCAB, PEER_VOCAB);
        if (!(e <= worst)) worst = e;
        free(ours);
    }
    llm_session_free(s);
    return worst;
}

/* Whether it agrees. */
static bool check_model(const struct peer_model *m, bool single)
{
    struct memory_file file, theirs = golden(m->name);
    struct llm_load_options o;
    load_defaults(&o);
    o.kv = LLM_KV_F32;
    o.precision = LLM_PRECISION_HIGH;
    o.context = peer_step(m) > 13 ? 512 : 256;
    file.data = model_make(&m->shape, &file.size);
    llm_model *model;
    bool fine = load(&file, &o, &model) == LLM_OK;
    if (fine) {
        double e = try_model(m, model, (const float *)(const void *)theirs.data, single);
        fine = e <= m->limit;
        if (!fine) print_error("%s: NMSE %g of at most %g\n", m->name, e, m->limit);
    } else {
        print_error("%s: %s\n", m->name, error.message);
    }
    llm_model_free(model);
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_model)};
    return cmocka_run_group_tests(tests, fixture_open, fixture_close);
}

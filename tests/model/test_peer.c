/* The logits of each architecture against llama.cpp's for the same random weights: tests/data/peer,
 * see peer_models.h. */
#include "fixture.h"

#include <stdio.h>

#include "peer_models.h"

enum { ROWS = (PEER_IDS - 1) / PEER_STEP + 1 };

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
    assert_int_equal(file.size, ROWS * PEER_VOCAB * sizeof(float));
    return file;
}

/* In pieces that end where logits were kept; with `single`, the last piece id by id. */
static void try_model(const struct peer_model *m, bool single)
{
    struct memory_file file, theirs = golden(m->name);
    struct llm_load_options o;
    load_defaults(&o);
    o.kv = LLM_KV_F32;
    o.precision = LLM_PRECISION_HIGH;
    o.context = PEER_CONTEXT;
    llm_model *model = load_shape(&m->shape, &o, &file);
    llm_session *s = open_session(model);
    uint32_t done = 0;
    for (uint32_t row = 0; row < ROWS; row++) {
        while (done < row * PEER_STEP + 1) {
            int32_t ids[PEER_IDS];
            uint32_t n = single && row + 1 == ROWS ? 1 : row * PEER_STEP + 1 - done;
            for (uint32_t i = 0; i < n; i++) ids[i] = peer_id(done + i);
            feed(s, ids, n);
            done += n;
        }
        float *ours = logits_of(s, PEER_VOCAB);
        const float *kept = (const float *)(const void *)theirs.data + row * PEER_VOCAB;
        double e = nmse(ours, kept, PEER_VOCAB);
        if (!(e <= 1e-9)) fail_msg("%s: NMSE %g after id %u", m->name, e, done - 1);
        free(ours);
    }
    llm_session_free(s);
    llm_model_free(model);
    free(file.data);
    free(theirs.data);
}

static void every_model(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < peer_n_models; i++) try_model(&peer_models[i], i % 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_model)};
    return cmocka_run_group_tests(tests, fixture_open, fixture_close);
}

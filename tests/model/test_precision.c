/* Each precision and cache against double precision, along what a trained model goes on with:
 * stories260K, or the file that is named (SmolLM2 takes a minute). */
#include "agreement.h"

enum { POSITIONS = 120, PROMPT = 20 };

/* The bounds of the mean divergence in nats and of other best tokens in a hundred. */
static const struct {
    const char *name;
    uint32_t kv, precision;
    double divergence, others;
} tiers[] = {
    {"f32 cache, high", LLM_KV_F32, LLM_PRECISION_HIGH, 1e-6, 0.1},
    {"f16 cache, high", LLM_KV_F16, LLM_PRECISION_HIGH, 1e-4, 0.5},
    {"f16 cache, fast", LLM_KV_F16, LLM_PRECISION_FAST, 1e-3, 1},
};
enum { TIERS = sizeof tiers / sizeof *tiers };

static void compare_file(const char *path)
{
    struct memory_file file = read_file(path);
    llm_model *models[TIERS];
    for (size_t i = 0; i < TIERS; i++) {
        struct llm_load_options o;
        load_defaults(&o);
        o.kv = tiers[i].kv;
        o.precision = tiers[i].precision;
        o.context = 2 * POSITIONS;
        OK(load(&file, &o, &models[i]));
    }
    int32_t ids[POSITIONS];
    tell_story(models[0], ids, POSITIONS);
    struct agreement found[TIERS];
    agree_many(models, TIERS, &file, ids, PROMPT, POSITIONS, found);
    bool ok = true;
    for (size_t i = 0; i < TIERS; i++) {
        const struct agreement *a = &found[i];
        print_message("%s: divergence %.2g (at most %.2g), %u of %u best tokens are others\n",
                      tiers[i].name, a->mean, tiers[i].divergence, a->other, a->n);
        ok = ok && a->mean <= tiers[i].divergence && a->other * 100.0 <= tiers[i].others * a->n;
        llm_model_free(models[i]);
    }
    free(file.data);
    assert_true(ok);
}

static const char *path = TEST_DATA "/stories260K.gguf";

static void tiers_agree(void **state)
{
    (void)state;
    compare_file(path);
}

int main(int argc, char **argv)
{
    if (argc > 1) path = argv[1];
    const struct CMUnitTest tests[] = {cmocka_unit_test(tiers_agree)};
    return cmocka_run_group_tests(tests, fixture_open, fixture_close);
}

/* The same tokens give the same bits, cut or not, in architectures whose layers are not llama's:
 * windows that end inside of pages, two ropes, norms after, one block for two, learned positions,
 * latent attention. */
#include "fixture.h"

enum { VOCAB = 320, CONTEXT = 320, N_IDS = 290 };

#define WINDOW(size)                                                                               \
    {                                                                                              \
        "attention.sliding_window", GGUF_U32, size                                                 \
    }

static const struct kin {
    const char *arch;
    struct model_key keys[5];
    struct model_latent latent;
} kin[] = {
    {"gemma3",
     {WINDOW(100),
      {"attention.sliding_window_pattern", GGUF_U32, 2},
      {"final_logit_softcapping", GGUF_F32, 5}},
     {0}},
    {"olmo2", {WINDOW(33), {"attention.sliding_window_pattern", GGUF_U32, 2}}, {0}},
    {"cohere2", {WINDOW(65), {"attention.sliding_window_pattern", GGUF_U32, 2}}, {0}},
    {"gpt2", {{0}}, {0}},
    {"deepseek2", {{0}}, {.rank = 32, .q_rank = 32}},
};

static void same_bits(const struct kin *k)
{
    static const size_t cuts[] = {1, 64, 101, 257};
    struct model_shape shape = model_shape_small;
    struct memory_file file;
    struct llm_load_options o;
    int32_t ids[N_IDS];
    shape.arch = k->arch;
    shape.context = CONTEXT;
    shape.attention = shape.ffn = QUANT_Q4_0;
    memcpy(shape.keys, k->keys, sizeof k->keys);
    shape.latent = k->latent;
    if (k->latent.rank) {
        shape.head_dim = 48;
        shape.v_dim = 16;
        shape.rope_dims = 16;
        shape.experts = (struct model_experts){.n = 4, .used = 2, .hidden = 32, .dense = 1};
    }
    load_defaults(&o);
    o.context = CONTEXT;
    llm_model *model = load_shape(&shape, &o, &file);
    random_ids(ids, N_IDS, VOCAB, 3);
    llm_session *whole = open_session(model);
    feed(whole, ids, N_IDS);
    float *expected = logits_of(whole, VOCAB);
    for (size_t i = 0; i < LENGTH(cuts); i++) {
        llm_session *s = open_session(model);
        feed(s, ids, cuts[i]);
        free(logits_of(s, VOCAB));
        feed(s, ids + cuts[i], N_IDS - cuts[i]);
        float *logits = logits_of(s, VOCAB);
        assert_same_bits(logits, expected, VOCAB, k->arch, (long)cuts[i]);
        free(logits);
        llm_session_free(s);
    }
    /* Back by more than a page, then on, a token at a time at the end. */
    OK(llm_session_truncate(whole, 190, &error));
    feed(whole, ids + 190, N_IDS - 190 - 2);
    for (int i = 2; i > 0; i--) feed(whole, ids + N_IDS - i, 1);
    float *logits = logits_of(whole, VOCAB);
    assert_same_bits(logits, expected, VOCAB, k->arch, -1);
    free(logits);
    free(expected);
    llm_session_free(whole);
    llm_model_free(model);
    free(file.data);
}

static void every_kin(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(kin); i++) same_bits(&kin[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_kin)};
    return cmocka_run_group_tests(tests, fixture_open, fixture_close);
}

/* A whole model on a device that multiplies packed bytes. No software device says that it does so
 * fast; told so, it runs what a GPU would: the same bits however a prompt is cut, near to f32. */
#include "fixture.h"

#include "model.h"
#include "ops_impl.h"

enum { VOCAB = 320, LONG = 150 };

static struct memory_file file;
static int32_t ids[LONG];

static float *logits_cut(llm_model *model, size_t first)
{
    llm_session *s = open_session(model);
    feed(s, ids, first);
    if (first < LONG) {
        free(logits_of(s, VOCAB));
        feed(s, ids + first, LONG - first);
    }
    float *logits = logits_of(s, VOCAB);
    llm_session_free(s);
    return logits;
}

static llm_model *load_as(uint32_t precision)
{
    struct llm_load_options o;
    llm_model *model;
    load_defaults(&o);
    o.precision = precision;
    OK(load(&file, &o, &model));
    return model;
}

static void compare(struct model_shape shape)
{
    shape.dim = 256;
    shape.head_dim = 64;
    shape.hidden = 512;
    shape.context = 256;
    shape.attention = QUANT_Q4_K;
    shape.ffn = QUANT_Q6_K;
    shape.output = QUANT_Q8_0;
    file.data = model_make(&shape, &file.size);
    assert_non_null(file.data);
    random_ids(ids, LONG, VOCAB, 3);

    llm_model *high = load_as(LLM_PRECISION_HIGH);
    struct gpu_info *info = (struct gpu_info *)(uintptr_t)gpu_device_info(high->device->gpu);
    const struct gpu_info before = *info;
    if (!info->int_dot) {
        llm_model_free(high);
        free(file.data);
        skip();
    }
    float *wanted = logits_cut(high, LONG);
    info->int_dot_fast = true;
    info->software = info->texel_loads = info->no_unrolling = false;
    llm_model *fast = load_as(LLM_PRECISION_FAST);
    assert_int_equal(fast->forward.ops->integers, VALUES_INT8);
    float *whole = logits_cut(fast, LONG);
    double reference[VOCAB];
    for (uint32_t i = 0; i < VOCAB; i++) reference[i] = wanted[i];
    const double distance = divergence(reference, whole, VOCAB);
    if (!(distance <= 1e-3)) fail_msg("KL divergence %g", distance);
    assert_true(memcmp(whole, wanted, sizeof(float) * VOCAB) != 0);
    static const size_t cuts[] = {1, 63, 64, 149};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        float *logits = logits_cut(fast, cuts[i]);
        assert_same_bits(logits, whole, VOCAB, "cut at", (long)cuts[i]);
        free(logits);
    }
    llm_model_free(fast);
    *info = before;
    free(whole);
    free(wanted);
    llm_model_free(high);
    free(file.data);
}

static void whole_model(void **state)
{
    (void)state;
    compare(model_shape_small);
}

/* Its q is made of few numbers, whose norm is made in place. */
static void latent_model(void **state)
{
    (void)state;
    struct model_shape shape = model_shape_small;
    shape.arch = "deepseek2";
    shape.v_dim = 32;
    shape.rope_dims = 32;
    shape.latent = (struct model_latent){.rank = 64, .q_rank = 256};
    compare(shape);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(whole_model),
                                       cmocka_unit_test(latent_model)};
    return cmocka_run_group_tests(tests, fixture_open, fixture_close);
}

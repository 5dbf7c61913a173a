/* The public interface as a C host meets it: what is wrong is said, not crashed on; structs of
 * other sizes; any order of freeing. */
#include "fixture.h"

static void load_options(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct llm_load_options o;
    } wrong[] = {
        {"kv is 77", {.kv = 77, .device = -1, .gpu_layers = -1}},
        {"precision is 77", {.precision = 77, .device = -1, .gpu_layers = -1}},
        {"device is -5", {.device = -5, .gpu_layers = -1}},
        {"gpu_layers is -2", {.device = -1, .gpu_layers = -2}},
        {"context is", {.context = UINT32_MAX, .device = -1, .gpu_layers = -1}},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct llm_load_options o = wrong[i].o;
        o.size = sizeof o;
        llm_model *model = (llm_model *)&small_file;
        assert_said(llm_load(root, "x", &o, &model, &error), LLM_BAD_ARGUMENT, wrong[i].name,
                    wrong[i].name, NULL);
        assert_null(model);
        assert_int_equal(llm_load(root, "x", &o, &model, NULL), LLM_BAD_ARGUMENT);
    }
    llm_model *model;
    assert_said(llm_load(root, NULL, NULL, &model, &error), LLM_BAD_ARGUMENT, "NULL", "path", NULL);
    assert_said(llm_load(root, "", NULL, &model, &error), LLM_NOT_FOUND, "no name", "open", NULL);
}

/* A host that was built with an older header, whose struct ends sooner. */
static void shorter_structs(void **state)
{
    (void)state;
    struct {
        uint32_t size;
        int32_t device;
    } o = {sizeof o, 12345};
    llm_model *model;
    assert_said(llm_load(root, "/no/such/file", (struct llm_load_options *)&o, &model, &error),
                LLM_NOT_FOUND, "a short struct", "/no/such/file", NULL);
}

static void prompts_that_are_none(void **state)
{
    (void)state;
    llm_model *model = open_limited(&small_file, 128, 0);
    llm_session *s = open_session(model);
    llm_generation *g = (llm_generation *)&small_file;
    const struct llm_prompt none = {.size = sizeof none, .text_size = 5};
    assert_said(llm_session_feed(s, NULL, &error), LLM_BAD_ARGUMENT, "NULL", "no prompt", NULL);
    assert_said(llm_session_feed(s, &none, &error), LLM_BAD_ARGUMENT, "text", "no prompt", NULL);
    assert_int_equal(llm_generation_start(s, NULL, NULL, &g, NULL), LLM_BAD_ARGUMENT);
    assert_null(g);
    const int32_t ids[] = {5, 6};
    const struct llm_prompt prompt = ids_prompt(ids, 2);
    const struct llm_text stop = {NULL, 3};
    struct llm_generate_options o;
    llm_generate_defaults(&o, sizeof o);
    o.stop = &stop;
    o.n_stop = 1;
    assert_said(llm_generation_start(s, &prompt, &o, &g, &error), LLM_BAD_ARGUMENT, "stop", "stop",
                NULL);
    assert_null(g);
    assert_int_equal(llm_session_length(s), 0);
    llm_session_free(s);
    llm_model_free(model);
}

/* Parents first; what is left answers that it is closed. */
static void freed_in_any_order(void **state)
{
    (void)state;
    llm *own;
    OK(llm_create(&own, NULL, &error));
    llm_model_free(NULL);
    llm_session_free(NULL);
    llm_generation_free(NULL);
    llm_job_free(NULL);
    llm_free(NULL);
    llm_model *model = open_limited(&small_file, 128, 0);
    llm_session *s = open_session(model), *other;
    const int32_t ids[] = {5, 6};
    const struct llm_prompt prompt = ids_prompt(ids, 2);
    llm_generation *g;
    OK(llm_generation_start(s, &prompt, NULL, &g, &error));
    llm_model_close(model);
    assert_true(llm_model_closed(model) && llm_session_closed(s));
    assert_int_equal(llm_session_create(model, 0, &other, &error), LLM_CLOSED);
    assert_int_equal(llm_session_feed(s, &prompt, &error), LLM_CLOSED);
    llm_model_free(model);
    llm_session_free(s);
    struct llm_result r = {.size = sizeof r};
    assert_int_equal(llm_generation_result(g, &r), LLM_OK);
    assert_string_equal(r.finish, "cancelled");
    struct {
        uint32_t size;
        int32_t status;
        const char *finish;
        char guard[64];
    } shorter = {.size = 16, .guard = "untouched"};
    assert_int_equal(llm_generation_result(g, (struct llm_result *)&shorter), LLM_OK);
    assert_string_equal(shorter.finish, "cancelled");
    assert_string_equal(shorter.guard, "untouched");
    llm_generation_free(g);
    llm_free(own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(load_options),
        cmocka_unit_test(shorter_structs),
        cmocka_unit_test(prompts_that_are_none),
        cmocka_unit_test(freed_in_any_order),
    };
    return cmocka_run_group_tests(tests, fixture_open_small, fixture_close_small);
}

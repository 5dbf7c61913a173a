/* The self-test of the device: every kernel is right and each product has a way that is chosen;
 * what it found is kept for the next process. */
#include "fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check_impl.h"
#include "model.h"
#include "peer_models.h"
#include "root.h"
#include "selftest.h"

static llm *library;
static struct llm_error failure = {.size = sizeof failure};
static char folder[] = "/tmp/llm-selftest-XXXXXX";

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(folder) && llm_create(&library, NULL, &failure) == LLM_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    llm_free(library);
    DIR *dir = opendir(folder);
    for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir)) {
        char path[600];
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (e->d_name[0] != '.') unlink(path);
    }
    if (dir) closedir(dir);
    return rmdir(folder);
}

static struct llm_load_options options(void)
{
    struct llm_load_options o;
    llm_load_defaults(&o, sizeof o);
    o.cache = folder;
    return o;
}

static llm_status goes_on(void *user, double fraction, struct llm_error *e)
{
    double *last = user;
    (void)e;
    assert_true(fraction >= *last && fraction <= 1);
    *last = fraction;
    return LLM_OK;
}

static void show(const struct llm_kernel_info *k)
{
    print_message("%s, %u rows: %s: NMSE %.2g, %.1f us, %.1f GB/s, %.1f GFLOP/s%s%s\n",
                  k->operation, k->rows, k->kernel, k->error, k->seconds * 1e6,
                  k->bytes_per_second * 1e-9, k->operations_per_second * 1e-9,
                  k->ok ? "" : ", WRONG", k->chosen ? ", chosen" : "");
}

/* One format here: the tests of kernels try them all. */
static void every_kernel(void **state)
{
    (void)state;
    const struct llm_load_options o = options();
    struct selftest s = {.only = "Q4_K"};
    struct device *d;
    double fraction = 0;
    assert_int_equal(device_open(library, &o, &d, &failure), LLM_OK);
    if (selftest_run(&s, d, goes_on, &fraction, &failure) != LLM_OK)
        fail_msg("%s", failure.message);
    size_t n_chosen = 0, n_products = 0;
    for (size_t i = 0; i < s.result.n_kernels; i++) {
        const struct llm_kernel_info *k = &s.result.kernels[i];
        if (!k->ok) show(k);
        assert_true(k->error <= k->bound && (k->seconds > 0 || strstr(k->operation, "norm")));
        n_products += k->rows == 1;
        n_chosen += k->chosen && k->rows == 1;
    }
    assert_int_equal(s.result.ok, 1);
    assert_true(n_products >= 3);
    assert_int_equal(n_chosen, n_products); /* with one row there is one way */
    assert_true(s.result.device.name[0] != 0);
    selftest_free(&s);
    device_release(d);
}

/* A second library finds on disk what the first one knew. */
static void is_kept(void **state)
{
    (void)state;
    const struct llm_load_options o = options();
    llm *other;
    struct device *d;
    assert_int_equal(llm_create(&other, NULL, &failure), LLM_OK);
    assert_int_equal(device_open(other, &o, &d, &failure), LLM_OK);
    assert_int_equal(kernels_verdict(d->kernels, "argmax").state, CHOICE_RIGHT);
    assert_int_equal(kernels_verdict(d->kernels, "embed Q4_K").state, CHOICE_RIGHT);
    device_release(d);
    llm_free(other);
}

/* The job: it can be cancelled, is no load, and says so. */
static void as_a_job(void **state)
{
    (void)state;
    const struct llm_load_options o = options();
    struct llm_selftest report = {.size = sizeof report};
    llm_job *job;
    assert_int_equal(llm_selftest_start(library, &o, &job, &failure), LLM_OK);
    assert_int_equal(llm_job_selftest(job, &report, &failure), LLM_BAD_ARGUMENT);
    llm_job_cancel(job);
    assert_int_equal(llm_job_wait(job, -1, NULL, &failure), LLM_CANCELLED);
    assert_non_null(strstr(failure.message, "self-test was cancelled"));
    assert_int_equal(llm_job_selftest(job, &report, &failure), LLM_BAD_ARGUMENT);
    assert_null(llm_job_model(job));
    llm_job_free(job);
}

/* What is wrong is never used, and where nothing is left the load fails in words. */
static void wrong_kernels(void **state)
{
    (void)state;
    const struct llm_load_options o = options();
    struct device *d;
    struct ops *ops;
    struct check t = {.kind = CHECK_PRODUCT, .type = QUANT_Q6_K, .cols = 512, .n_rows = 8};
    struct verdict v = {.state = CHOICE_WRONG, .error = 0.5f, .bound = 1e-10f};
    assert_int_equal(device_open(library, &o, &d, &failure), LLM_OK);
    assert_int_equal(ops_create(&ops, d->kernels, false, false, &alloc_libc, &failure), LLM_OK);
    struct way ways[OPS_WAYS];
    const uint32_t n = check_ways(ops, &t, ways);
    assert_in_range(n, 1, OPS_WAYS);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(check_choose(ops, &t, &failure), LLM_OK);
        assert_int_equal(t.way, i);
        check_name(ops, &t, v.name);
        assert_int_equal(kernels_judge(d->kernels, &v, &failure), LLM_OK);
    }
    assert_int_equal(check_choose(ops, &t, &failure), LLM_UNSUPPORTED);
    check_name(ops,
               &(struct check){.kind = CHECK_PRODUCT, .type = QUANT_Q6_K, .cols = 512, .n_rows = 8},
               v.name);
    assert_non_null(strstr(failure.message, v.name));
    assert_non_null(strstr(failure.message, "0.5"));
    ops_free(ops);

    /* A whole load, whose argmax is wrong. */
    v = kernels_verdict(d->kernels, "argmax");
    v.state = CHOICE_WRONG;
    assert_int_equal(kernels_judge(d->kernels, &v, &failure), LLM_OK);
    llm_model *model;
    assert_int_equal(llm_load(library, TEST_DATA "/stories260K.gguf", &o, &model, &failure),
                     LLM_UNSUPPORTED);
    assert_non_null(strstr(failure.message, "the kernel argmax computes wrong results"));
    v.state = CHOICE_RIGHT;
    assert_int_equal(kernels_judge(d->kernels, &v, &failure), LLM_OK);
    assert_int_equal(llm_load(library, TEST_DATA "/stories260K.gguf", &o, &model, &failure),
                     LLM_OK);
    llm_model_free(model);
    device_release(d);
}

/* Of attention in one dispatch: where that is wrong, a row alone goes the way of others. */
static bool has_other_ways(const char *name)
{
    return !strncmp(name, "attention", 9) && name[strlen(name) - 1] == 'r';
}

/* Models that between them use every kind of kernel: whichever is wrong, the load says so. Products
 * have other ways. */
static const struct model_shape *peer_shape(const char *name)
{
    for (uint32_t i = 0; i < peer_n_models; i++)
        if (!strcmp(peer_models[i].name, name)) return &peer_models[i].shape;
    fail_msg("no model %s", name);
    return NULL;
}

static void each_is_refused(const char *name)
{
    struct llm_load_options o = options();
    size_t size;
    uint8_t *data = model_make(peer_shape(name), &size);
    char path[600];
    llm *other;
    llm_model *model;
    o.cache = ""; /* nothing is known but what this model calls for */
    snprintf(path, sizeof path, "%s/%s.gguf", folder, name);
    assert_int_equal(os_file_write(path, data, size, &failure), LLM_OK);
    assert_int_equal(llm_create(&other, NULL, &failure), LLM_OK);
    if (llm_load(other, path, &o, &model, &failure) != LLM_OK) fail_msg("%s", failure.message);
    struct kernels *k = model->device->kernels;
    llm_model_free(model);
    size_t n = 0;
    for (size_t i = 0; i < k->choices.n; i++) {
        struct verdict v = k->choices.items[i];
        if (!strncmp(v.name, "mat", 3)) continue;
        print_message("%s: %s\n", name, v.name);
        assert_int_equal(v.state, CHOICE_RIGHT);
        v.state = CHOICE_WRONG;
        assert_int_equal(kernels_judge(k, &v, &failure), LLM_OK);
        if (has_other_ways(v.name)) {
            assert_int_equal(llm_load(other, path, &o, &model, &failure), LLM_OK);
            assert_true(model->forward.ops->apart);
            llm_model_free(model);
        } else {
            assert_int_equal(llm_load(other, path, &o, &model, &failure), LLM_UNSUPPORTED);
            assert_non_null(strstr(failure.message, v.name));
        }
        v.state = CHOICE_RIGHT;
        assert_int_equal(kernels_judge(k, &v, &failure), LLM_OK);
        n++;
    }
    assert_true(n >= 4); /* embed, norm, attention, argmax */
    llm_free(other);
    free(data);
}

static void wrong_others(void **state)
{
    (void)state;
    each_is_refused("gpt-oss");
    each_is_refused("gemma2");
    each_is_refused("starcoder2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kernel),  cmocka_unit_test(is_kept),      cmocka_unit_test(as_a_job),
        cmocka_unit_test(wrong_kernels), cmocka_unit_test(wrong_others),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* The pipelines of a device: wanted, made by several threads at once, got once each; and each
 * allocation failing in turn. */
#include <stdatomic.h>
#include <stdlib.h>

#include "bench.h"
#include "os.h"

enum { N_WANTED = 6, N_THREADS = 4 };

/* Cheap to compile; the constant is the number of lanes. */
static llm_status want(struct kernels *k, uint32_t i, struct llm_error *error)
{
    const uint32_t lanes = 1u << i;
    return kernels_want(k, MODULE_argmax, &lanes, 1, error);
}

static llm_status get(struct kernels *k, uint32_t i, const struct gpu_kernel **out,
                      struct llm_error *error)
{
    const uint32_t lanes = 1u << i;
    return kernels_get(k, MODULE_argmax, &lanes, 1, out, error);
}

static void makes_each_once(void **state)
{
    struct bench *b = *state;
    struct llm_error error = {0};
    struct kernels *k;
    const struct gpu_kernel *got[N_WANTED], *again;
    bench_ok(kernels_create(&k, b->device, &alloc_libc, &error), &error);
    for (uint32_t i = 0; i < N_WANTED; i++) bench_ok(want(k, i, &error), &error);
    bench_ok(want(k, 0, &error), &error);
    assert_int_equal(kernels_count(k).made, 0);
    kernels_make_wanted(k);
    const struct kernel_counts counts = kernels_count(k);
    assert_int_equal(counts.made, N_WANTED);
    assert_true(counts.cached <= counts.reported && counts.reported <= counts.made);
    assert_true(counts.seconds > 0);
    for (uint32_t i = 0; i < N_WANTED; i++) {
        bench_ok(get(k, i, &got[i], &error), &error);
        assert_non_null(got[i]);
        for (uint32_t j = 0; j < i; j++) assert_ptr_not_equal(got[i], got[j]);
    }
    bench_ok(get(k, 0, &again, &error), &error);
    assert_ptr_equal(again, got[0]);
    kernels_make_wanted(k); /* nothing is left */
    assert_int_equal(kernels_count(k).made, N_WANTED);
    kernels_free(k);
}

struct crowd {
    struct kernels *kernels;
    const struct gpu_kernel *got[N_WANTED];
};

static void get_all(void *user)
{
    struct crowd *c = user;
    for (uint32_t i = 0; i < N_WANTED; i++) get(c->kernels, i, &c->got[i], NULL);
}

/* Whoever comes first makes it; the others wait for it. */
static void many_threads(void **state)
{
    struct bench *b = *state;
    struct llm_error error = {0};
    struct crowd crowd[N_THREADS] = {{NULL, {NULL}}};
    struct os_thread *threads[N_THREADS];
    struct kernels *k;
    bench_ok(kernels_create(&k, b->device, &alloc_libc, &error), &error);
    for (uint32_t i = 0; i < N_WANTED; i += 2) bench_ok(want(k, i, &error), &error);
    for (int i = 0; i < N_THREADS; i++) {
        crowd[i].kernels = k;
        threads[i] = os_thread_start(get_all, &crowd[i]);
        assert_non_null(threads[i]);
    }
    kernels_make_wanted(k);
    for (int i = 0; i < N_THREADS; i++) os_thread_join(threads[i]);
    assert_int_equal(kernels_count(k).made, N_WANTED);
    for (int i = 0; i < N_THREADS; i++) {
        for (int j = 0; j < N_WANTED; j++) {
            assert_non_null(crowd[i].got[j]);
            assert_ptr_equal(crowd[i].got[j], crowd[0].got[j]);
        }
    }
    kernels_free(k);
}

/* The makers allocate, too: all is atomic. */
struct failing {
    atomic_long calls, fail_at;
    atomic_llong bytes;
};

static void *failing_realloc(void *user, void *ptr, size_t old_size, size_t new_size)
{
    struct failing *f = user;
    if (new_size && ++f->calls == f->fail_at) return NULL;
    void *grown = new_size ? realloc(ptr, new_size) : NULL;
    if (!new_size) free(ptr);
    if (grown || !new_size) f->bytes += (long long)new_size - (long long)old_size;
    return grown;
}

static llm_status want_and_get(struct bench *b, const struct alloc *alloc, struct llm_error *error)
{
    struct kernels *k;
    const struct gpu_kernel *out;
    llm_status status = kernels_create(&k, b->device, alloc, error);
    for (uint32_t i = 0; i < 3 && status == LLM_OK; i++) status = want(k, i, error);
    if (status == LLM_OK) kernels_make_wanted(k);
    for (uint32_t i = 0; i < 3 && status == LLM_OK; i++) {
        status = get(k, i, &out, error);
        assert_true(status == LLM_OK ? out != NULL : out == NULL);
    }
    kernels_free(k);
    return status;
}

static void no_memory(void **state)
{
    struct failing f = {0};
    const struct alloc alloc = {failing_realloc, &f};
    struct llm_error error = {0};
    bench_ok(want_and_get(*state, &alloc, &error), &error);
    const long n = f.calls;
    for (long i = 1; i <= n; i++) {
        f.calls = 0;
        f.fail_at = i;
        const llm_status status = want_and_get(*state, &alloc, &error);
        assert_true(status == LLM_OK || status == LLM_OUT_OF_MEMORY);
        assert_int_equal(f.bytes, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_each_once),
        cmocka_unit_test(many_threads),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, bench_setup, bench_teardown);
}

/* The self-test of the device: every kernel is right and each product has a way that is chosen; what
 * it found is kept for the next process. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void every_kernel(void **state)
{
    (void)state;
    llm *root;
    llm_job *job;
    struct llm_error error = {.size = sizeof error};
    struct llm_load_options o;
    struct llm_selftest report = {.size = sizeof report};
    llm_load_defaults(&o, sizeof o);
    o.cache = "";
    assert_int_equal(llm_create(&root, NULL, &error), LLM_OK);
    if (llm_selftest_start(root, &o, &job, &error) != LLM_OK) fail_msg("%s", error.message);
    assert_int_equal(llm_job_selftest(job, &report, &error), LLM_BAD_ARGUMENT);
    if (llm_job_wait(job, -1, NULL, &error) != LLM_OK) fail_msg("%s", error.message);
    assert_int_equal(llm_job_selftest(job, &report, &error), LLM_OK);
    assert_null(llm_job_model(job));
    size_t n_chosen = 0, n_timed = 0;
    for (size_t i = 0; i < report.n_kernels; i++) {
        const struct llm_kernel_info *k = &report.kernels[i];
        if (getenv("SHOW"))
            printf("%-24s %3u %-36s %s %-9.2g %8.1f us %6.1f GB/s %7.1f GFLOP/s%s\n", k->operation, k->rows,
                   k->kernel, k->ok ? "ok   " : "WRONG", k->error, k->seconds * 1e6, k->bytes_per_second * 1e-9,
                   k->operations_per_second * 1e-9, k->chosen ? " *" : "");
        if (!k->ok) print_error("%s: %s: NMSE %g\n", k->operation, k->kernel, k->error);
        n_chosen += k->chosen;
        n_timed += k->seconds > 0;
    }
    assert_int_equal(report.ok, 1);
    printf("%zu %zu %zu %.1f s\n", report.n_kernels, n_chosen, n_timed, report.seconds);
    llm_job_free(job);
    llm_free(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_kernel)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* selftest.h - every kernel that a device would use: checked, timed, and the best of them chosen.
 */
#ifndef SELFTEST_H
#define SELFTEST_H

#include "alloc.h"
#include "llm.h"

struct device;

/* One kernel for one operation with one number of rows. */
struct selftest_row {
    char operation[24], kernel[48];
    struct llm_kernel_info info; /* its texts are not filled in */
};

struct selftest {
    const char *only; /* the format that is tried, NULL: all */
    const struct alloc *alloc;
    struct selftest_row *rows;
    size_t n, capacity;
    struct llm_kernel_info *infos; /* (n), once it is done */
    struct llm_selftest result;
};

/* progress answers LLM_OK or what to end with. Leaves what it found in the device's choices. */
typedef llm_status (*selftest_progress)(void *user, double fraction, struct llm_error *error);
llm_status selftest_run(struct selftest *s, struct device *d, selftest_progress progress,
                        void *user, struct llm_error *error);
void selftest_free(struct selftest *s); /* zeroed ones too */

#endif

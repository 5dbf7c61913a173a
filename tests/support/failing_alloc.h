/* failing_alloc.h - an allocator that counts, fails the N-th allocation, and checks the sizes it is
 * given back. */
#ifndef FAILING_ALLOC_H
#define FAILING_ALLOC_H

#include "alloc.h"

struct failing_alloc {
    struct alloc alloc; /* pass &f.alloc */
    size_t fail_at;     /* the allocation or growth to fail, from 1; 0: none. Later ones succeed */
    size_t n_calls;     /* allocations and growths so far */
    size_t n_live, live_size, peak_size;
    size_t n_wrong; /* blocks whose old size was not what they had */
};

void failing_alloc_init(struct failing_alloc *f, size_t fail_at);

#endif

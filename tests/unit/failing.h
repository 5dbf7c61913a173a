/* failing.h - an allocator that fails at one chosen call and checks sizes and leaks. */
#ifndef FAILING_H
#define FAILING_H

#include <stdlib.h>

#include "alloc.h"

struct failing {
    size_t calls, fail_at, bytes;
}; /* fail_at counts from 1; 0: never */

static inline void *failing_realloc(void *user, void *ptr, size_t old_size, size_t new_size)
{
    struct failing *f = user;
    if (new_size == 0) {
        f->bytes -= old_size;
        free(ptr);
        return NULL;
    }
    if (++f->calls == f->fail_at) return NULL;
    void *grown = realloc(ptr, new_size);
    if (grown) f->bytes += new_size - old_size;
    return grown;
}

#define FAILING(f) ((struct alloc){failing_realloc, &(f)})

#endif

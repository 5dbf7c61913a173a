/* alloc.h - host memory through the root's allocator, so that every allocation can be made to fail
 * in a test. */
#ifndef ALLOC_H
#define ALLOC_H

#include <stddef.h>

struct alloc {
    void *(*realloc)(void *user, void *ptr, size_t old_size,
                     size_t new_size); /* as llm_realloc_fn */
    void *user;
};

/* The C library's. */
extern const struct alloc alloc_libc;

void *alloc_new(const struct alloc *a,
                size_t size); /* NULL when there is none; contents undefined; size 0 gives NULL */
void *alloc_zero(const struct alloc *a, size_t n,
                 size_t size); /* n * size zeroed bytes, NULL also on overflow */
void alloc_free(const struct alloc *a, void *ptr, size_t size);
/* Grows an array of items so that it holds n: returns the new array or NULL (the old one is then
 * still there). */
void *alloc_grow(const struct alloc *a, void *items, size_t *capacity, size_t n, size_t item_size);

#endif

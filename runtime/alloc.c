#include "alloc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void *libc_realloc(void *user, void *ptr, size_t old_size, size_t new_size)
{
    (void)user;
    (void)old_size;
    if (new_size == 0) {
        free(ptr);
        return NULL;
    }
    return realloc(ptr, new_size);
}

const struct alloc alloc_libc = {libc_realloc, NULL};

void *alloc_new(const struct alloc *a, size_t size)
{
    return size ? a->realloc(a->user, NULL, 0, size) : NULL;
}

void *alloc_zero(const struct alloc *a, size_t n, size_t size)
{
    if (size && n > SIZE_MAX / size) return NULL;
    void *p = alloc_new(a, n * size);
    if (p) memset(p, 0, n * size);
    return p;
}

void alloc_free(const struct alloc *a, void *ptr, size_t size)
{
    if (ptr) a->realloc(a->user, ptr, size, 0);
}

void *alloc_grow(const struct alloc *a, void *items, size_t *capacity, size_t n, size_t item_size)
{
    if (n <= *capacity) return items;
    size_t wanted = *capacity + *capacity / 2;
    if (wanted < n) wanted = n;
    if (wanted < 16) wanted = 16;
    if (wanted > SIZE_MAX / item_size) return NULL;
    void *grown = a->realloc(a->user, items, *capacity * item_size, wanted * item_size);
    if (grown) *capacity = wanted;
    return grown;
}

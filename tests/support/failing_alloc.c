#include "failing_alloc.h"

#include <stdlib.h>
#include <string.h>

/* Before each block, keeping its alignment. */
union head {
    size_t size;
    max_align_t align;
};

static void *counted_realloc(void *user, void *ptr, size_t old_size, size_t new_size)
{
    struct failing_alloc *f = user;
    union head *head = ptr ? (union head *)ptr - 1 : NULL;
    if (head ? head->size != old_size : old_size != 0) f->n_wrong++;
    size_t had = head ? head->size : 0;
    if (new_size && ++f->n_calls == f->fail_at) return NULL;
    /* Always a new block, so that a stale pointer is found by the address sanitizer. */
    union head *fresh = NULL;
    if (new_size) {
        fresh = malloc(sizeof *fresh + new_size);
        if (!fresh) return NULL;
        fresh->size = new_size;
        memset(fresh + 1, 0xa5, new_size);
        if (head) memcpy(fresh + 1, head + 1, had < new_size ? had : new_size);
    }
    f->n_live += (fresh != NULL);
    f->n_live -= (head != NULL);
    f->live_size += new_size;
    if (f->live_size > f->peak_size) f->peak_size = f->live_size;
    f->live_size -= had;
    free(head);
    return fresh ? fresh + 1 : NULL;
}

void failing_alloc_init(struct failing_alloc *f, size_t fail_at)
{
    *f = (struct failing_alloc){.alloc = {counted_realloc, f}, .fail_at = fail_at};
}

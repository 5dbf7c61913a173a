/* kv.h - the page accounting of the KV cache. Pure: it says which page holds what; the device's
 * copies are done by others.
 *
 * A page holds KV_PAGE positions of one sequence in every layer. Pages are reference-counted: a
 * fork shares them; a page that is shared is copied before it is written (kv_prepare says which).
 * Positions are absolute. */
#ifndef KV_H
#define KV_H

#include <stdbool.h>

#include "alloc.h"
#include "llm.h"

enum { KV_PAGE = 64 };

struct kv_pool {
    uint32_t n_pages, n_free;
    uint32_t *references; /* (n_pages) */
    uint32_t *free;       /* stack of free pages */
    const struct alloc *alloc;
};

llm_status kv_pool_open(struct kv_pool *pool, uint32_t n_pages, const struct alloc *alloc,
                        struct llm_error *error);
void kv_pool_free(struct kv_pool *pool);

struct kv_sequence {
    uint32_t *pages; /* page i holds positions [i * KV_PAGE, (i + 1) * KV_PAGE) */
    uint32_t n_pages, capacity;
    uint32_t length; /* positions that are filled */
};

struct kv_copy {
    uint32_t from, to;
}; /* whole pages, all layers */

/* Makes positions [length, length + n) writable: takes pages and, where the last one is shared,
 * says in *copy that it must be copied on the device before writing (copy->from == copy->to:
 * nothing to copy). LLM_OUT_OF_MEMORY with the numbers when the pool is used up; then nothing
 * changed. length stays; kv_commit raises it. */
llm_status kv_prepare(struct kv_pool *pool, struct kv_sequence *s, uint32_t n, struct kv_copy *copy,
                      struct llm_error *error);
void kv_commit(struct kv_sequence *s, uint32_t n);
/* Frees what lies past length; also pages that were prepared and not committed. */
void kv_truncate(struct kv_pool *pool, struct kv_sequence *s, uint32_t length);
/* to is empty. Shares the pages that hold the first length positions of from. */
llm_status kv_fork(struct kv_pool *pool, const struct kv_sequence *from, uint32_t length,
                   struct kv_sequence *to, struct llm_error *error);
void kv_sequence_free(struct kv_pool *pool, struct kv_sequence *s);

#endif

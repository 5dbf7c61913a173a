#include "kv.h"

#include <assert.h>
#include <inttypes.h>

#include "error.h"

llm_status kv_pool_open(struct kv_pool *pool, uint32_t n_pages, const struct alloc *alloc,
                        struct llm_error *error)
{
    *pool = (struct kv_pool){.n_pages = n_pages, .n_free = n_pages, .alloc = alloc};
    if (n_pages == 0) return LLM_OK;
    pool->references = alloc_zero(alloc, n_pages, sizeof *pool->references);
    pool->free = alloc_zero(alloc, n_pages, sizeof *pool->free);
    if (!pool->references || !pool->free) {
        kv_pool_free(pool);
        return error_memory(error, "the table of KV pages",
                            (uint64_t)n_pages * 2 * sizeof *pool->free);
    }
    for (uint32_t i = 0; i < n_pages; i++)
        pool->free[i] = n_pages - 1 - i; /* page 0 is taken first */
    return LLM_OK;
}

void kv_pool_free(struct kv_pool *pool)
{
    alloc_free(pool->alloc, pool->references, pool->n_pages * sizeof *pool->references);
    alloc_free(pool->alloc, pool->free, pool->n_pages * sizeof *pool->free);
    *pool = (struct kv_pool){0};
}

static uint32_t page_take(struct kv_pool *pool)
{
    assert(pool->n_free > 0);
    const uint32_t page = pool->free[--pool->n_free];
    assert(pool->references[page] == 0);
    pool->references[page] = 1;
    return page;
}

static void page_drop(struct kv_pool *pool, uint32_t page)
{
    assert(pool->references[page] > 0);
    if (--pool->references[page] == 0) pool->free[pool->n_free++] = page;
}

/* Pages that hold the first length positions. */
static uint64_t pages_of(uint64_t length)
{
    return (length + KV_PAGE - 1) / KV_PAGE;
}

static llm_status table_grow(struct kv_pool *pool, struct kv_sequence *s, uint32_t n,
                             struct llm_error *error)
{
    size_t capacity = s->capacity;
    uint32_t *pages = alloc_grow(pool->alloc, s->pages, &capacity, n, sizeof *pages);
    if (!pages && n)
        return error_memory(error, "the page table of a sequence", (uint64_t)n * sizeof *pages);
    s->pages = pages;
    s->capacity = (uint32_t)capacity;
    return LLM_OK;
}

llm_status kv_prepare(struct kv_pool *pool, struct kv_sequence *s, uint32_t n, struct kv_copy *copy,
                      struct llm_error *error)
{
    *copy = (struct kv_copy){0, 0};
    if (n == 0) return LLM_OK;
    /* Only the page that length lies in can be shared: those before are not written, those after
     * were never forked. */
    const uint32_t first = s->length / KV_PAGE;
    const bool shared = first < s->n_pages && pool->references[s->pages[first]] > 1;
    const uint64_t wanted = pages_of((uint64_t)s->length + n);
    const uint64_t fresh = wanted > s->n_pages ? wanted - s->n_pages : 0;
    if (fresh + shared > pool->n_free)
        return error_set(error, LLM_OUT_OF_MEMORY,
                         "the KV cache is full: %" PRIu64 " pages of %d tokens are needed, %" PRIu32
                         " of %" PRIu32 " are free",
                         fresh + shared, KV_PAGE, pool->n_free, pool->n_pages);
    if (fresh) TRY(table_grow(pool, s, (uint32_t)wanted, error));
    if (shared) {
        *copy = (struct kv_copy){s->pages[first], page_take(pool)};
        page_drop(pool, copy->from);
        s->pages[first] = copy->to;
    }
    while (s->n_pages < wanted) s->pages[s->n_pages++] = page_take(pool);
    return LLM_OK;
}

void kv_commit(struct kv_sequence *s, uint32_t n)
{
    assert((uint64_t)s->length + n <= (uint64_t)s->n_pages * KV_PAGE);
    s->length += n;
}

void kv_truncate(struct kv_pool *pool, struct kv_sequence *s, uint32_t length)
{
    if (length < s->length) s->length = length;
    const uint32_t keep = (uint32_t)pages_of(s->length);
    while (s->n_pages > keep) page_drop(pool, s->pages[--s->n_pages]);
}

llm_status kv_fork(struct kv_pool *pool, const struct kv_sequence *from, uint32_t length,
                   struct kv_sequence *to, struct llm_error *error)
{
    assert(length <= from->length);
    *to = (struct kv_sequence){0};
    const uint32_t n = (uint32_t)pages_of(length);
    TRY(table_grow(pool, to, n, error));
    for (uint32_t i = 0; i < n; i++) {
        to->pages[i] = from->pages[i];
        pool->references[to->pages[i]]++;
    }
    to->n_pages = n;
    to->length = length;
    return LLM_OK;
}

void kv_sequence_free(struct kv_pool *pool, struct kv_sequence *s)
{
    kv_truncate(pool, s, 0);
    alloc_free(pool->alloc, s->pages, s->capacity * sizeof *s->pages);
    *s = (struct kv_sequence){0};
}

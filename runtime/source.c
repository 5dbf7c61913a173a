#include "source.h"

#include <inttypes.h>

#include "error.h"

llm_status source_add_file(struct source *s, const char *path, const struct alloc *alloc,
                           struct llm_error *error)
{
    struct os_map *maps =
        alloc_grow(alloc, s->maps, &s->maps_capacity, s->n_maps + 1, sizeof *maps);
    if (!maps) return error_memory(error, "the list of files", (s->n_maps + 1) * sizeof *maps);
    s->maps = maps;
    s->alloc = alloc;
    TRY(os_map_open(&maps[s->n_maps], path, error));
    s->size += maps[s->n_maps++].size;
    return LLM_OK;
}

static const void *mapped(const struct source *s, uint64_t offset, size_t n,
                          struct llm_error *error)
{
    const struct os_map *m = s->maps;
    while (offset > m->size || (offset == m->size && n)) offset -= m++->size;
    if (n > m->size - offset) {
        error_set(error, LLM_IO, "%zu bytes at %" PRIu64 " of a file lie outside its %" PRIu64, n,
                  offset, m->size);
        return NULL;
    }
    if (os_map_whole(m)) return m->data + offset;
    error_set(error, LLM_IO, "the model's file was changed while it was in use");
    return NULL;
}

const void *source_bytes(const struct source *s, uint64_t offset, size_t n, void *scratch,
                         struct llm_error *error)
{
    if (offset > s->size || n > s->size - offset) {
        error_set(error, LLM_IO, "%zu bytes at %" PRIu64 " lie outside the model's %" PRIu64, n,
                  offset, s->size);
        return NULL;
    }
    if (s->n_maps) return mapped(s, offset, n, error);
    if (n == 0) return scratch;
    if (!s->read) {
        error_set(error, LLM_IO, "the model's bytes are closed");
        return NULL;
    }
    const int64_t got = s->read(s->user, offset, scratch, n);
    if (got >= 0 && (uint64_t)got == n) return scratch;
    if (got < 0)
        error_set(error, LLM_IO,
                  "reading %zu bytes at %" PRIu64 " of the model failed (%" PRId64 ")", n, offset,
                  got);
    else
        error_set(error, LLM_IO, "reading the model gave %" PRId64 " of %zu bytes at %" PRIu64, got,
                  n, offset);
    return NULL;
}

void source_close(struct source *s)
{
    for (size_t i = 0; i < s->n_maps; i++) os_map_close(&s->maps[i]);
    if (s->maps) alloc_free(s->alloc, s->maps, s->maps_capacity * sizeof *s->maps);
    if (s->release) s->release(s->user);
    *s = (struct source){0};
}

#include "source.h"

#include <inttypes.h>

#include "error.h"

const void *source_bytes(const struct source *s, uint64_t offset, size_t n, void *scratch,
                         struct llm_error *error)
{
    if (offset > s->size || n > s->size - offset) {
        error_set(error, LLM_IO, "%zu bytes at %" PRIu64 " lie outside the model's %" PRIu64, n,
                  offset, s->size);
        return NULL;
    }
    if (s->map.data) {
        if (os_map_whole(&s->map)) return s->map.data + offset;
        error_set(error, LLM_IO, "the model's file was changed while it was in use");
        return NULL;
    }
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
    os_map_close(&s->map);
    if (s->release) s->release(s->user);
    *s = (struct source){0};
}

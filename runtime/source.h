/* source.h - the bytes of a model: a mapped file, or the host's read function. */
#ifndef SOURCE_H
#define SOURCE_H

#include "os.h"

struct source {
    uint64_t size;
    struct os_map map; /* data NULL where a read function serves */
    llm_read_fn read;
    void *user;
    llm_release_fn release;
};

/* Bytes [offset, offset + n): a view of the mapping, or read into scratch (n bytes). NULL on
 * failure, which is LLM_IO. */
const void *source_bytes(const struct source *s, uint64_t offset, size_t n, void *scratch,
                         struct llm_error *error);
void source_close(struct source *s); /* unmaps or releases; zeroed ones too */

#endif

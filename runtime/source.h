/* source.h - the bytes of a model: mapped files, one behind the other, or the host's read function.
 */
#ifndef SOURCE_H
#define SOURCE_H

#include "os.h"

struct source {
    uint64_t size;       /* of all files together */
    struct os_map *maps; /* (n_maps); NULL where a read function serves */
    size_t n_maps, maps_capacity;
    const struct alloc *alloc; /* of maps */
    llm_read_fn read;
    void *user;
    llm_release_fn release;
};

/* Maps a file behind what is there. LLM_NOT_FOUND, LLM_IO or LLM_OUT_OF_MEMORY. */
llm_status source_add_file(struct source *s, const char *path, const struct alloc *alloc,
                           struct llm_error *error);
/* Bytes [offset, offset + n): a view of one mapping, or read into scratch (n bytes). NULL on
 * failure, which is LLM_IO. */
const void *source_bytes(const struct source *s, uint64_t offset, size_t n, void *scratch,
                         struct llm_error *error);
void source_close(struct source *s); /* unmaps or releases; zeroed ones too */

#endif

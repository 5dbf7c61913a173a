#include "split.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "error.h"

enum { MAX_PARTS = 99999, SUFFIX_SIZE = sizeof "-00001-of-00003.gguf" };

llm_status split_read(const struct gguf *g, struct split *out, struct llm_error *error)
{
    struct split s = {0, 1, 0};
    TRY(gguf_get_u32(g, "split.count", &s.count, error));
    *out = (struct split){0, 1, (uint32_t)g->n_tensors};
    if (s.count <= 1) return LLM_OK;
    TRY(gguf_get_u32(g, "split.no", &s.no, error));
    TRY(gguf_get_u32(g, "split.tensors.count", &s.n_tensors, error));
    if (!gguf_find(g, "split.tensors.count"))
        return error_set(error, LLM_BAD_MODEL, "the key split.tensors.count is missing");
    if (s.count > MAX_PARTS || s.no >= s.count)
        return error_set(error, LLM_BAD_MODEL,
                         "split.no is %" PRIu32 " and split.count %" PRIu32
                         ": no such part of a split file",
                         s.no, s.count);
    *out = s;
    return LLM_OK;
}

static void suffix_of(uint32_t no, uint32_t count, char out[SUFFIX_SIZE])
{
    snprintf(out, SUFFIX_SIZE, "-%05u-of-%05u.gguf", (no + 1) % 100000, count % 100000);
}

bool split_path(const char *path, uint32_t from, uint32_t no, uint32_t count, char *out)
{
    char ours[SUFFIX_SIZE], wanted[SUFFIX_SIZE];
    size_t n = strlen(path), n_suffix = SUFFIX_SIZE - 1;
    suffix_of(from, count, ours);
    suffix_of(no, count, wanted);
    if (n < n_suffix || strcmp(path + n - n_suffix, ours) != 0) return false;
    memcpy(out, path, n - n_suffix);
    memcpy(out + n - n_suffix, wanted, SUFFIX_SIZE);
    return true;
}

static llm_status check_part(const struct split *part, const struct split *first, uint32_t no,
                             struct llm_error *error)
{
    if (part->no == no && part->count == first->count && part->n_tensors == first->n_tensors)
        return LLM_OK;
    if (part->count == 1)
        return error_set(error, LLM_BAD_MODEL, "it is a whole file, and no part of this model");
    return error_set(error, LLM_BAD_MODEL,
                     "it says that it is part %" PRIu32 " of %" PRIu32 " with %" PRIu32
                     " tensors together, and does not belong to this model of %" PRIu32 " tensors",
                     part->no + 1, part->count, part->n_tensors, first->n_tensors);
}

static llm_status add_part(struct source *source, struct gguf *g, const struct split *first,
                           uint32_t no, const char *path, const struct alloc *alloc,
                           struct llm_error *error)
{
    const uint64_t base = source->size;
    TRY(source_add_file(source, path, alloc, error));
    const struct os_map *map = &source->maps[source->n_maps - 1];
    struct gguf part;
    struct split split;
    TRY(gguf_parse(&part, map->data, (size_t)map->size, map->size, alloc, error));
    llm_status status = split_read(&part, &split, error);
    if (status == LLM_OK) status = check_part(&split, first, no, error);
    if (status == LLM_OK) status = gguf_join(g, &part, base, error);
    gguf_free(&part);
    return status;
}

/* The same failure, with the part's name in front. */
static llm_status in_part(llm_status status, const char *path, uint32_t no, uint32_t count,
                          struct llm_error *error)
{
    if (status == LLM_OK || !error) return status;
    char said[sizeof error->message];
    memcpy(said, error->message, sizeof said);
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    return error_set(error, status, "part %" PRIu32 " of %" PRIu32 " (%.100s): %s", no + 1, count,
                     name, said);
}

static llm_status add_parts(struct source *source, struct gguf *g, const struct split *first,
                            const char *path, char *part_path, const struct alloc *alloc,
                            struct llm_error *error)
{
    if (!split_path(path, 0, 0, first->count, part_path)) {
        char suffix[SUFFIX_SIZE];
        suffix_of(0, first->count, suffix);
        return error_set(error, LLM_NOT_FOUND,
                         "%.200s is part 1 of %" PRIu32
                         ", but its name does not end with %s, so that the others cannot be found",
                         path, first->count, suffix);
    }
    for (uint32_t no = 1; no < first->count; no++) {
        split_path(path, 0, no, first->count, part_path);
        TRY(in_part(add_part(source, g, first, no, part_path, alloc, error), part_path, no,
                    first->count, error));
    }
    if (g->n_tensors == first->n_tensors) return LLM_OK;
    return error_set(error, LLM_BAD_MODEL,
                     "the %" PRIu32 " parts have %" PRIu64 " tensors together, not %" PRIu32,
                     first->count, g->n_tensors, first->n_tensors);
}

llm_status split_open(struct source *source, struct gguf *g, const char *path,
                      const struct alloc *alloc, struct llm_error *error)
{
    struct split first;
    TRY(split_read(g, &first, error));
    if (first.count == 1) return LLM_OK;
    if (source->read)
        return error_set(error, LLM_UNSUPPORTED,
                         "this is part %" PRIu32 " of %" PRIu32
                         ", and a read function gives one file: load the parts by their path, or "
                         "join them",
                         first.no + 1, first.count);
    if (first.no != 0)
        return error_set(error, LLM_UNSUPPORTED,
                         "%.300s is part %" PRIu32 " of %" PRIu32
                         ": load the first one, whose name ends with -00001-of-%05" PRIu32 ".gguf",
                         path, first.no + 1, first.count, first.count);
    size_t size = strlen(path) + 1;
    char *part_path = alloc_new(alloc, size);
    if (!part_path) return error_memory(error, "a path", size);
    llm_status status = add_parts(source, g, &first, path, part_path, alloc, error);
    alloc_free(alloc, part_path, size);
    return status;
}

/* split.h - a model in several files, NAME-00001-of-00003.gguf and so on: each a GGUF file with its
 * own tensors, the first with all other values (written so by llama.cpp's gguf-split). */
#ifndef SPLIT_H
#define SPLIT_H

#include "gguf.h"
#include "source.h"

/* Maps the other parts of the file g was parsed from, the only one of source so far, and gives g
 * their tensors, offsets counting from the start of the source. LLM_OK for a model in one file.
 * LLM_NOT_FOUND and LLM_BAD_MODEL name the part that is missing or does not belong;
 * LLM_UNSUPPORTED: path is not the first one, or a read function serves. */
llm_status split_open(struct source *source, struct gguf *g, const char *path,
                      const struct alloc *alloc, struct llm_error *error);

/* What a header says of itself: part no (from 0) of count, which have n_tensors together. count 1:
 * a whole model. */
struct split {
    uint32_t no, count, n_tensors;
};
llm_status split_read(const struct gguf *g, struct split *out, struct llm_error *error);

/* Writes the path of part no in place of part from's, both of count, to out (strlen(path) + 1
 * bytes). False: path does not end as that part's name does. */
bool split_path(const char *path, uint32_t from, uint32_t no, uint32_t count, char *out);

#endif

/* gguf_write.h - build a GGUF file in memory. For tests: runs out of memory by aborting, assumes a
 * little-endian host. */
#ifndef GGUF_WRITE_H
#define GGUF_WRITE_H

#include "gguf.h"

struct gguf_write_bytes {
    uint8_t *data;
    size_t n, capacity;
};

/* Zeroed is ready: version 0 means 3, alignment 0 means 32 and no general.alignment. */
struct gguf_write {
    struct gguf_write_bytes values, tensors, data;
    uint64_t n_values, n_tensors, data_size; /* data_size: of what is declared */
    uint32_t version, alignment;
};

/* One number or bool of any type, its bytes as the host has them. */
void gguf_write_number(struct gguf_write *w, const char *key, enum gguf_type type,
                       const void *value);
void gguf_write_u32(struct gguf_write *w, const char *key, uint32_t value);
void gguf_write_f32(struct gguf_write *w, const char *key, float value);
void gguf_write_bool(struct gguf_write *w, const char *key, bool value);
void gguf_write_string(struct gguf_write *w, const char *key, const char *value);
void gguf_write_array(struct gguf_write *w, const char *key, enum gguf_type item_type,
                      const void *items, uint64_t n);
void gguf_write_strings(struct gguf_write *w, const char *key, const char *const *items,
                        uint64_t n);
/* A tensor whose data the caller writes himself, after the header, each at the next multiple of the
 * alignment: its bytes. Not to be mixed with gguf_write_tensor. */
uint64_t gguf_write_declare(struct gguf_write *w, const char *name, enum quant_type type,
                            uint32_t n_dims, const uint64_t *dims);
/* The product of dims in weights, rounded to the format. */
void gguf_write_tensor(struct gguf_write *w, const char *name, enum quant_type type,
                       uint32_t n_dims, const uint64_t *dims, const float *weights);
/* All values of a parsed file, and one of its tensors, whose bytes are data. */
void gguf_write_values_of(struct gguf_write *w, const struct gguf *g);
void gguf_write_tensor_of(struct gguf_write *w, const struct gguf_tensor *t, const void *data);
/* The whole file, or its header where tensors are only declared, to be freed with free(). w is
 * empty afterwards. */
uint8_t *gguf_write_finish(struct gguf_write *w, size_t *size);

/* Part no (from 0) of count of a whole file, as gguf-split of llama.cpp writes it: the first has
 * the values, each its share of the tensors, and with `bare` the first has none. To be freed with
 * free(). */
uint8_t *gguf_write_part(const uint8_t *file, size_t file_size, uint32_t no, uint32_t count,
                         bool bare, size_t *size);

#endif

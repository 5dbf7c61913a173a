/* gguf.h - read the header of a GGUF file, version 2 or 3 (format: ggml's docs/gguf.md). Pure:
 * bytes in, views out. Every length is subtracted from a remaining budget; nothing in a file makes
 * it allocate more than the header's own size. */
#ifndef GGUF_H
#define GGUF_H

#include <stdbool.h>

#include "alloc.h"
#include "llm.h"
#include "quant.h"

struct gguf_string {
    const char *text;
    size_t size;
}; /* a view, not terminated */

enum gguf_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_N_TYPES
};

struct gguf_value {
    struct gguf_string key;
    enum gguf_type type, item_type; /* item_type of an array */
    uint64_t n;                     /* items of an array, else 1 */
    const uint8_t *data;            /* first item, little-endian, unaligned */
    size_t size;                    /* bytes of all items */
};

struct gguf_tensor {
    struct gguf_string name;
    enum quant_type type;
    uint32_t n_dims;
    uint64_t dims[4]; /* dims[0] is contiguous (a row); unused ones are 1 */
    uint64_t offset;  /* from the start of the file */
    uint64_t size;    /* bytes */
    uint64_t step;    /* of views: bytes from one matrix to the next; 0: they touch */
};

struct gguf {
    uint32_t version;
    uint64_t n_values, n_tensors;
    struct gguf_value *values;   /* in file order; keys are unique */
    struct gguf_tensor *tensors; /* in file order; names are unique; each lies inside the file */
    uint64_t alignment, data_offset;
    const struct alloc *alloc;
    void *index; /* sorted or hashed keys and names, private */
};

/* data holds the first n bytes of a file of file_size bytes and must outlive g. When n is too few
 * to hold the header (and n < file_size) the answer is LLM_RUNNING: call again with more. Otherwise
 * LLM_OK, LLM_BAD_MODEL, LLM_UNSUPPORTED (a weight format of ggml that we lack, by name) or
 * LLM_OUT_OF_MEMORY. */
llm_status gguf_parse(struct gguf *g, const void *data, size_t n, uint64_t file_size,
                      const struct alloc *alloc, struct llm_error *error);
void gguf_free(struct gguf *g); /* zeroed and half-built ones too */
/* Gives g the tensors of part, whose file begins at byte base of what both are read from; part is
 * empty afterwards and its data must outlive g. LLM_BAD_MODEL: a tensor is there twice. */
llm_status gguf_join(struct gguf *g, struct gguf *part, uint64_t base, struct llm_error *error);

const struct gguf_value *gguf_find(const struct gguf *g,
                                   const char *key); /* NULL where there is none */
const struct gguf_tensor *gguf_tensor(const struct gguf *g, const char *name);

/* Values by key. Missing: LLM_OK and *out keeps what it holds (the default). Wrong type or range:
 * LLM_BAD_MODEL with key. */
llm_status gguf_get_u32(const struct gguf *g, const char *key, uint32_t *out,
                        struct llm_error *error); /* any integer type */
llm_status gguf_get_f32(const struct gguf *g, const char *key, float *out,
                        struct llm_error *error); /* f32, f64 */
llm_status gguf_get_bool(const struct gguf *g, const char *key, bool *out, struct llm_error *error);
llm_status gguf_get_string(const struct gguf *g, const char *key, struct gguf_string *out,
                           struct llm_error *error);

/* Walks an array of strings: *at starts at v->data; false at the end. Lengths were checked by
 * gguf_parse. */
bool gguf_next_string(const struct gguf_value *v, const uint8_t **at, struct gguf_string *out);
/* Item i of a numeric array or value (any integer type; floats are truncated / any numeric type).
 */
int64_t gguf_item_int(const struct gguf_value *v, uint64_t i);
double gguf_item_float(const struct gguf_value *v, uint64_t i);

#endif

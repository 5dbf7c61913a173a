/* edit.h - a GGUF file written again with changes: what a hostile or an unusual file would say. */
#ifndef EDIT_H
#define EDIT_H

#include "gguf.h"

enum edit_kind {
    EDIT_END, /* ends a list */
    EDIT_U32, /* a value becomes this, and is added where there is none */
    EDIT_F32,
    EDIT_STRING,
    EDIT_DROP,
    TENSOR_TYPE,  /* encoded anew; the block must divide the row */
    TENSOR_SHAPE, /* its bytes are zero */
    TENSOR_NAME,
    TENSOR_DROP,
    TENSOR_ADD, /* of zeros, F32 */
};

struct edit {
    enum edit_kind kind;
    const char *name; /* of the key or the tensor */
    uint32_t u32;     /* EDIT_U32; TENSOR_TYPE: the format */
    float f32;
    const char *text; /* EDIT_STRING, TENSOR_NAME */
    uint64_t dims[4]; /* TENSOR_SHAPE, TENSOR_ADD; 0: ends them */
};

/* edits ends with EDIT_END. The new file, to be freed; aborts where memory is out or the file is
 * not valid. */
uint8_t *edit_gguf(const uint8_t *data, size_t size, const struct edit *edits, size_t *out_size);

/* A list of one edit. */
/* clang-format off */
#define SET_U32(key, value) {{.kind = EDIT_U32, .name = key, .u32 = value}}
#define SET_F32(key, value) {{.kind = EDIT_F32, .name = key, .f32 = value}}
#define SET_STRING(key, value) {{.kind = EDIT_STRING, .name = key, .text = value}}
#define NO_VALUE(key) {{.kind = EDIT_DROP, .name = key}}
#define SET_SHAPE(tensor, ...) {{.kind = TENSOR_SHAPE, .name = tensor, .dims = {__VA_ARGS__}}}
#define SET_TYPE(tensor, type) {{.kind = TENSOR_TYPE, .name = tensor, .u32 = type}}
#define NO_TENSOR(tensor) {{.kind = TENSOR_DROP, .name = tensor}}
/* clang-format on */

#endif

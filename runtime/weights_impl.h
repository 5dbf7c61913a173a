/* weights_impl.h - one load of the weights: what brings a tensor to the device, and how far it is.
 */
#ifndef WEIGHTS_IMPL_H
#define WEIGHTS_IMPL_H

#include "crew.h"
#include "weights.h"

struct loader {
    struct weights *w;
    const struct blueprint *b;
    const struct source *source;
    struct gpu_upload *upload;
    struct crew *crew; /* that repacks; NULL: this thread alone */
    weights_progress progress;
    void *user;
    uint64_t done, total;   /* bytes in the file */
    uint32_t n_host_layers; /* the last ones */
    void *scratch;
    size_t scratch_size;
    struct gpu_buffer *shared; /* that matrices go to, as long as there is room; or NULL */
    uint64_t shared_used;
};

/* Bytes on the device: of a matrix, of its place in a buffer, and of a vector of dim f32. */
uint64_t loader_matrix_size(const struct gguf_tensor *t);
uint64_t loader_place_size(const struct gguf_tensor *t);
uint64_t loader_vector_size(uint64_t dim);

/* n bytes of the file at offset, there until the next call. */
llm_status loader_fetch(struct loader *ld, uint64_t offset, size_t n, const void **data,
                        struct llm_error *error);

/* Streams the tensor to its place at `at` in the buffer, a band of tiles at a time. */
llm_status loader_stream(struct loader *ld, const struct gguf_tensor *t, struct gpu_buffer *to,
                         uint64_t at, struct llm_error *error);
/* The same with rows as columns, decoded. values: twice the matrix in f32. */
llm_status loader_stream_turned(struct loader *ld, const struct gguf_tensor *t, float *values,
                                struct gpu_buffer *to, uint64_t at, struct llm_error *error);
/* Makes the buffer for matrices that lie together. */
llm_status loader_share(struct loader *ld, uint64_t size, enum gpu_memory memory,
                        struct llm_error *error);
/* One matrix, in the shared buffer or one of its own, made of the rows of n tensors of one type,
 * one below the other; all but the last are whole tiles. */
llm_status loader_matrix(struct loader *ld, const struct gguf_tensor *const *parts, uint32_t n,
                         enum gpu_memory memory, struct weight *out, struct llm_error *error);

/* n f32 of weights.vectors; where to write them until gpu_upload_end; and the tensor's values times
 * scale. */
struct gpu_range loader_take_vector(struct weights *w, uint64_t n);
llm_status loader_begin_vector(struct loader *ld, const struct gpu_range *to, float **out,
                               struct llm_error *error);
llm_status loader_copy_vector(struct loader *ld, const struct gguf_tensor *t, float scale,
                              float *out, struct llm_error *error);
/* All three, where there is a tensor. Zeros follow, as far as kernels read. */
llm_status loader_vector(struct loader *ld, const struct gguf_tensor *t, float scale,
                         struct gpu_range *out, struct llm_error *error);
/* The tensor's only value; 1 where there is none. */
llm_status loader_scale(struct loader *ld, const struct gguf_tensor *t, float *out,
                        struct llm_error *error);

#endif

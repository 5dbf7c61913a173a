/* Tensors from the source to the device, repacked on the way. */
#include <string.h>

#include "gpu_error.h"
#include "repack.h"
#include "weights_impl.h"

enum { ALIGNMENT = 256, BAND = 2 << 20, PIECE = 64 << 10 /* of a band, for one thread */ };

uint64_t loader_matrix_size(const struct gguf_tensor *t)
{
    return repack_size(t->type, t->dims[1], t->dims[0]);
}

static uint64_t aligned(uint64_t n)
{
    return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

uint64_t loader_place_size(const struct gguf_tensor *t)
{
    return aligned(loader_matrix_size(t));
}

uint64_t loader_vector_size(uint64_t dim)
{
    return aligned(dim * sizeof(float));
}

static llm_status advance(struct loader *ld, uint64_t bytes, struct llm_error *error)
{
    ld->done += bytes;
    return ld->progress ? ld->progress(ld->user, (double)ld->done / (double)ld->total, error)
                        : LLM_OK;
}

llm_status loader_fetch(struct loader *ld, uint64_t offset, size_t n, const void **data,
                        struct llm_error *error)
{
    if (ld->source->read && n > ld->scratch_size) {
        alloc_free(ld->w->alloc, ld->scratch, ld->scratch_size);
        ld->scratch_size = 0;
        ld->scratch = alloc_new(ld->w->alloc, n);
        if (!ld->scratch) return error_memory(error, "reading the weights", n);
        ld->scratch_size = n;
    }
    *data = source_bytes(ld->source, offset, n, ld->scratch, error);
    return *data ? LLM_OK : LLM_IO;
}

/* Whole tiles that are repacked at once: this many in each piece. */
struct band {
    enum quant_type type;
    uint64_t cols, row_size, n_rows, tile_size, tiles;
    const uint8_t *from;
    uint8_t *to;
};

static void repack_piece(void *user, uint32_t piece)
{
    const struct band *b = user;
    const uint64_t first = piece * b->tiles * REPACK_TILE, left = b->n_rows - first,
                   most = b->tiles * REPACK_TILE;
    repack_tiles(b->type, b->cols, b->from + first * b->row_size, left < most ? left : most,
                 b->to + piece * b->tiles * b->tile_size);
}

/* Rows that are uploaded at a time: whole tiles. */
static uint64_t band_rows(const struct loader *ld, enum quant_type type, uint64_t cols)
{
    size_t piece = gpu_upload_piece(ld->upload);
    uint64_t tiles = (piece < BAND ? piece : BAND) / repack_tile_size(type, cols);
    return (tiles ? tiles : 1) * REPACK_TILE;
}

/* A band of n rows to its place, which moves on. */
static llm_status put_rows(struct loader *ld, enum quant_type type, uint64_t cols, uint64_t n,
                           const void *data, struct gpu_buffer *to, uint64_t *at,
                           struct llm_error *error)
{
    const uint64_t tiles = (n + REPACK_TILE - 1) / REPACK_TILE;
    struct band band = {type,
                        cols,
                        cols / quant_info(type)->block * quant_info(type)->block_size,
                        n,
                        repack_tile_size(type, cols),
                        0,
                        data,
                        NULL};
    const size_t size = (size_t)(tiles * band.tile_size);
    void *memory;
    TRY_GPU(gpu_upload_begin(ld->upload, to, *at, size, &memory, &gpu_error_), error);
    band.to = memory;
    band.tiles = band.tile_size < PIECE ? PIECE / band.tile_size : 1;
    crew_run(ld->crew, repack_piece, &band, (uint32_t)((tiles + band.tiles - 1) / band.tiles));
    TRY_GPU(gpu_upload_end(ld->upload, &gpu_error_), error);
    *at += size;
    return LLM_OK;
}

static uint64_t minimum(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

llm_status loader_stream(struct loader *ld, const struct gguf_tensor *t, struct gpu_buffer *to,
                         uint64_t at, struct llm_error *error)
{
    const uint64_t row_size = t->size / t->dims[1], band = band_rows(ld, t->type, t->dims[0]);
    for (uint64_t row = 0; row < t->dims[1]; row += band) {
        const uint64_t n = minimum(t->dims[1] - row, band);
        const void *data = NULL;
        TRY(loader_fetch(ld, t->offset + row * row_size, (size_t)(n * row_size), &data, error));
        TRY(put_rows(ld, t->type, t->dims[0], n, data, to, &at, error));
        TRY(advance(ld, n * row_size, error));
    }
    return LLM_OK;
}

llm_status loader_stream_turned(struct loader *ld, const struct gguf_tensor *t, float *values,
                                struct gpu_buffer *to, uint64_t at, struct llm_error *error)
{
    const uint64_t cols = t->dims[1], rows = t->dims[0], band = band_rows(ld, QUANT_F32, cols);
    float *turned = values + rows * cols;
    const void *data = NULL;
    TRY(loader_fetch(ld, t->offset, (size_t)t->size, &data, error));
    quant_decode(t->type, data, values, (size_t)(rows * cols));
    for (uint64_t row = 0; row < rows; row++) {
        for (uint64_t col = 0; col < cols; col++)
            turned[row * cols + col] = values[col * rows + row];
    }
    for (uint64_t row = 0; row < rows; row += band) {
        const uint64_t n = minimum(rows - row, band);
        TRY(put_rows(ld, QUANT_F32, cols, n, turned + row * cols, to, &at, error));
    }
    return advance(ld, t->size, error);
}

static llm_status take_buffer(struct loader *ld, uint64_t size, enum gpu_memory memory,
                              struct gpu_buffer **out, struct llm_error *error)
{
    struct weights *w = ld->w;
    *out = &w->buffers[w->n_buffers];
    TRY_GPU(gpu_buffer_create(w->gpu, *out, size, memory, &gpu_error_), error);
    w->n_buffers++;
    return LLM_OK;
}

llm_status loader_share(struct loader *ld, uint64_t size, enum gpu_memory memory,
                        struct llm_error *error)
{
    ld->shared_used = 0;
    return take_buffer(ld, size, memory, &ld->shared, error);
}

/* In the shared buffer, if that has room. */
static llm_status take_place(struct loader *ld, uint64_t size, enum gpu_memory memory,
                             struct gpu_buffer **out, uint64_t *offset, struct llm_error *error)
{
    *out = ld->shared;
    *offset = 0;
    if (!*out || (*out)->memory != memory || size > (*out)->size - ld->shared_used)
        return take_buffer(ld, size, memory, out, error);
    *offset = ld->shared_used;
    ld->shared_used += aligned(size);
    return LLM_OK;
}

llm_status loader_matrix(struct loader *ld, const struct gguf_tensor *const *parts, uint32_t n,
                         enum gpu_memory memory, struct weight *out, struct llm_error *error)
{
    uint64_t size = 0;
    *out = (struct weight){
        .type = parts[0]->type, .cols = (uint32_t)parts[0]->dims[0], .bias = out->bias};
    for (uint32_t i = 0; i < n; i++) {
        size += loader_matrix_size(parts[i]);
        out->rows += (uint32_t)parts[i]->dims[1];
    }
    struct gpu_buffer *buffer;
    TRY(take_place(ld, size, memory, &buffer, &out->offset, error));
    out->buffer = buffer;
    uint64_t at = out->offset;
    for (uint32_t i = 0; i < n; i++) {
        TRY(loader_stream(ld, parts[i], buffer, at, error));
        at += loader_matrix_size(parts[i]);
    }
    return LLM_OK;
}

struct gpu_range loader_take_vector(struct weights *w, uint64_t n)
{
    const struct gpu_range range = {&w->vectors, w->vectors_used, loader_vector_size(n)};
    w->vectors_used += loader_vector_size(n);
    return range;
}

llm_status loader_begin_vector(struct loader *ld, const struct gpu_range *to, float **out,
                               struct llm_error *error)
{
    void *memory;
    TRY_GPU(gpu_upload_begin(ld->upload, &ld->w->vectors, to->offset, (size_t)to->size, &memory,
                             &gpu_error_),
            error);
    *out = memory;
    return LLM_OK;
}

llm_status loader_copy_vector(struct loader *ld, const struct gguf_tensor *t, float scale,
                              float *out, struct llm_error *error)
{
    const void *data = NULL;
    TRY(loader_fetch(ld, t->offset, (size_t)t->size, &data, error));
    for (size_t i = 0; i < t->size / sizeof(float); i++) {
        float value;
        memcpy(&value, (const char *)data + i * sizeof value, sizeof value);
        out[i] = value * scale;
    }
    return advance(ld, t->size, error);
}

llm_status loader_vector(struct loader *ld, const struct gguf_tensor *t, float scale,
                         struct gpu_range *out, struct llm_error *error)
{
    float *memory = NULL;
    if (!t) return LLM_OK;
    *out = loader_take_vector(ld->w, t->size / sizeof(float));
    TRY(loader_begin_vector(ld, out, &memory, error));
    memset(memory, 0, (size_t)out->size);
    TRY(loader_copy_vector(ld, t, scale, memory, error));
    TRY_GPU(gpu_upload_end(ld->upload, &gpu_error_), error);
    return LLM_OK;
}

llm_status loader_scale(struct loader *ld, const struct gguf_tensor *t, float *out,
                        struct llm_error *error)
{
    const void *data = NULL;
    *out = 1;
    if (!t) return LLM_OK;
    TRY(loader_fetch(ld, t->offset, sizeof *out, &data, error));
    memcpy(out, data, sizeof *out);
    return advance(ld, t->size, error);
}

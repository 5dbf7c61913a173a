/* The cache's pages: copied, read and written whole, all layers of them. */
#include <string.h>

#include "forward.h"
#include "forward_impl.h"
#include "gpu_error.h"

/* What layer i / 2 has of a page: of K, or with i odd of V. */
struct page_part {
    struct gpu_buffer *buffer;
    uint64_t at, size;
};

static struct page_part page_part(struct forward *f, uint32_t page, uint32_t i)
{
    struct kv_layer *kv = &f->kv[i / 2];
    if (i % 2) return (struct page_part){&kv->buffer, kv->v_at + page * kv->v_size, kv->v_size};
    return (struct page_part){&kv->buffer, page * kv->k_size, kv->k_size};
}

llm_status forward_copy_pages(struct forward *f, const struct kv_copy *copies, uint32_t n,
                              struct gpu_commands **out, struct llm_error *error)
{
    TRY_GPU(gpu_commands_create(f->gpu, out, 0, &gpu_error_), error);
    gpu_commands_barrier(*out);
    for (uint32_t c = 0; c < n; c++) {
        for (uint32_t i = 0; i < 2 * f->h.n_layers; i++) {
            const struct page_part from = page_part(f, copies[c].from, i),
                                   to = page_part(f, copies[c].to, i);
            if (to.size) gpu_commands_copy(*out, from.buffer, from.at, to.buffer, to.at, to.size);
        }
    }
    TRY_GPU(gpu_commands_end(*out, &gpu_error_), error);
    return LLM_OK;
}

/* Where the host sees the cache, a page is a few copies; else it goes through a buffer of the same
 * layout. */
static void move_mapped(struct forward *f, uint32_t page, char *out, const char *in)
{
    uint64_t done = 0;
    for (uint32_t i = 0; i < 2 * f->h.n_layers; i++) {
        const struct page_part p = page_part(f, page, i);
        char *at = (char *)p.buffer->map + p.at;
        if (out) memcpy(out + done, at, p.size);
        else memcpy(at, in + done, p.size);
        done += p.size;
    }
}

llm_status forward_page_read(struct forward *f, uint32_t page, void *out, struct llm_error *error)
{
    if (f->kv[0].buffer.map) {
        move_mapped(f, page, out, NULL);
        return LLM_OK;
    }
    struct gpu_buffer host = {0};
    struct gpu_commands *c = NULL;
    TRY_GPU(gpu_buffer_create(f->gpu, &host, f->page_size, GPU_MEMORY_READBACK, &gpu_error_),
            error);
    struct gpu_error gpu_error = {{0}};
    llm_status status =
        gpu_failed(gpu_commands_create(f->gpu, &c, 0, &gpu_error), &gpu_error, error);
    if (status == LLM_OK) {
        uint64_t done = 0;
        for (uint32_t i = 0; i < 2 * f->h.n_layers; i++) {
            const struct page_part p = page_part(f, page, i);
            if (p.size) gpu_commands_copy(c, p.buffer, p.at, &host, done, p.size);
            done += p.size;
        }
        status = ops_run(f->gpu, c, error);
    }
    if (status == LLM_OK) memcpy(out, host.map, f->page_size);
    gpu_commands_free(f->gpu, c);
    gpu_buffer_free(f->gpu, &host);
    return status;
}

static llm_status upload_page(struct forward *f, struct gpu_upload *u, uint32_t page,
                              const char *data, struct llm_error *error)
{
    for (uint32_t i = 0; i < 2 * f->h.n_layers; i++) {
        const struct page_part p = page_part(f, page, i);
        void *memory;
        if (p.size == 0) continue;
        TRY_GPU(gpu_upload_begin(u, p.buffer, p.at, p.size, &memory, &gpu_error_), error);
        memcpy(memory, data, p.size);
        data += p.size;
        TRY_GPU(gpu_upload_end(u, &gpu_error_), error);
    }
    TRY_GPU(gpu_upload_finish(u, &gpu_error_), error);
    return LLM_OK;
}

llm_status forward_page_write(struct forward *f, uint32_t page, const void *data,
                              struct llm_error *error)
{
    if (f->kv[0].buffer.map) {
        move_mapped(f, page, NULL, data);
        return LLM_OK;
    }
    struct gpu_upload *u = NULL;
    TRY_GPU(gpu_upload_create(f->gpu, &u, &gpu_error_), error);
    llm_status status = upload_page(f, u, page, data, error);
    gpu_upload_free(u);
    return status;
}

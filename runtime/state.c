/* Saving a session and bringing it back (format: blob.h). */
#include <string.h>

#include "blob.h"
#include "error.h"
#include "session.h"

static struct blob_layout layout_of(const llm_model *m)
{
    const struct attention_shape s = forward_shape(&m->forward, 0);
    return (struct blob_layout){
        .kv = s.kv | (arch_long_rope(&m->blueprint) ? BLOB_LONG_ROPE : 0),
        .layers = m->forward.h.n_layers,
        .floats = s.n_kv_heads * (s.head_dim + (s.latent ? 0 : s.v_dim)),
        .page_size = m->forward.page_size,
    };
}

static llm_status write_pages(const llm_session *s, struct blob_writer *w, uint32_t n_pages,
                              void *page, size_t size, struct llm_error *error)
{
    for (uint32_t i = 0; i < n_pages; i++) {
        TRY(forward_page_read(&s->model->forward, s->kv.pages[i], page, error));
        TRY(blob_write_pages(w, page, size, error));
    }
    return LLM_OK;
}

llm_status llm_session_save(llm_session *s, uint32_t with_kv, llm_write_fn write, void *user,
                            struct llm_error *error)
{
    TRY(session_check(s, error));
    TRY(session_may_wait(s->model->root, "save", error));
    const struct alloc *a = &s->model->root->alloc;
    struct blob_header h = {.fingerprint = s->model->fingerprint,
                            .n_tokens = s->n_tokens,
                            .n_cached = with_kv ? s->kv.length : 0,
                            .layout = layout_of(s->model)};
    struct blob_writer w;
    TRY(blob_write_start(&w, &h, s->tokens, write, user, error));
    uint32_t n_pages = blob_n_pages(&h);
    if (n_pages) {
        size_t size = (size_t)h.layout.page_size;
        void *page = alloc_new(a, size);
        if (!page) return error_memory(error, "a page", size);
        llm_status status = write_pages(s, &w, n_pages, page, size, error);
        alloc_free(a, page, size);
        if (status != LLM_OK) return status;
    }
    return blob_write_end(&w, error);
}

static llm_status read_pages(llm_session *s, struct blob_reader *r, struct llm_error *error)
{
    llm_model *m = s->model;
    const struct alloc *a = &m->root->alloc;
    struct kv_copy none;
    TRY(kv_prepare(&m->pool, &s->kv, r->header.n_cached, &none, error));
    size_t size = (size_t)r->header.layout.page_size;
    void *page = alloc_new(a, size);
    if (!page) return error_memory(error, "a page", size);
    llm_status status = LLM_OK;
    /* A step in flight may still write to pages that were given back in the meantime. */
    scheduler_drain(&m->scheduler);
    for (uint32_t i = 0; i < blob_n_pages(&r->header) && status == LLM_OK; i++) {
        status = blob_pages(r, page, size, error);
        if (status == LLM_OK) status = forward_page_write(&m->forward, s->kv.pages[i], page, error);
    }
    alloc_free(a, page, size);
    if (status == LLM_OK) status = blob_finish(r, error);
    if (status == LLM_OK) kv_commit(&s->kv, r->header.n_cached);
    return status;
}

static llm_status fill(llm_session *s, struct blob_reader *r, struct llm_error *error)
{
    const struct blob_layout ours = layout_of(s->model), *theirs = &r->header.layout;
    bool same = ours.kv == theirs->kv && ours.layers == theirs->layers &&
                ours.floats == theirs->floats && ours.page_size == theirs->page_size;
    if (r->header.n_tokens) memcpy(s->tokens, r->tokens, r->header.n_tokens * sizeof *s->tokens);
    s->n_tokens = r->header.n_tokens;
    return same && r->header.n_cached ? read_pages(s, r, error) : LLM_OK;
}

static llm_status restore(llm_model *m, struct blob_reader *r, llm_session **out,
                          struct llm_error *error)
{
    llm_status status;
    do {
        status = blob_verify(r, 1 << 20, error);
    } while (status == LLM_RUNNING);
    TRY(status);
    llm_session *s;
    TRY(llm_session_create(m, 0, &s, error));
    status = fill(s, r, error);
    if (status == LLM_OK) *out = s;
    else llm_session_free(s);
    return status;
}

llm_status llm_session_restore(llm_model *m, uint64_t size, llm_read_fn read, void *user,
                               llm_session **out, struct llm_error *error)
{
    *out = NULL;
    TRY(model_check_decoder(m, error));
    TRY(session_may_wait(m->root, "restore", error));
    const struct blob_limits limits = {m->fingerprint, tokenizer_info(m->tokenizer)->n_tokens,
                                       m->context};
    struct blob_reader r;
    memset(&r, 0, sizeof r);
    llm_status status = blob_open(&r, size, read, user, &limits, &m->root->alloc, error);
    if (status == LLM_OK) status = restore(m, &r, out, error);
    blob_close(&r);
    return status;
}

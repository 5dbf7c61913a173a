/* What a model tells of itself. */
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "model.h"

static const struct {
    const char *key;
    size_t field;
    bool optional; /* NULL, not "", where the file does not say */
} texts[] = {
    {"general.architecture", offsetof(struct llm_model_info, architecture), false},
    {"general.name", offsetof(struct llm_model_info, name), false},
    {"general.license", offsetof(struct llm_model_info, license), false},
    {"tokenizer.chat_template", offsetof(struct llm_model_info, chat_template), true},
};
enum { N_TEXTS = sizeof texts / sizeof *texts };

static llm_status copy_texts(llm_model *m, struct llm_error *error)
{
    struct gguf_string found[N_TEXTS] = {{NULL, 0}};
    size_t total = 1;
    for (int i = 0; i < N_TEXTS; i++) {
        TRY(gguf_get_string(&m->gguf, texts[i].key, &found[i], error));
        total += found[i].size + 1;
    }
    m->texts = alloc_zero(&m->root->alloc, total, 1);
    if (!m->texts) return error_memory(error, "the model's texts", total);
    m->texts_size = total;
    char *at = m->texts + 1; /* the first byte is "" */
    for (int i = 0; i < N_TEXTS; i++) {
        const char **field = (const char **)(void *)((char *)&m->info + texts[i].field);
        *field = texts[i].optional ? NULL : m->texts;
        if (!found[i].text) continue;
        memcpy(at, found[i].text, found[i].size);
        *field = at;
        at += found[i].size + 1;
    }
    return LLM_OK;
}

/* The weight format that most of the file's bytes have. */
static const char *main_format(const struct gguf *g)
{
    uint64_t best = 0;
    const char *name = "";
    for (uint32_t id = 0; id < 64; id++) {
        const struct quant_info *q = quant_info(id);
        uint64_t bytes = 0;
        for (uint64_t i = 0; q && i < g->n_tensors; i++)
            bytes += g->tensors[i].type == q->type ? g->tensors[i].size : 0;
        if (bytes <= best) continue;
        best = bytes;
        name = q->name;
    }
    return name;
}

/* A size that the header states, for a model without a blueprint; 0 where it does not. */
static uint32_t stated(const llm_model *m, const char *name)
{
    char key[128];
    uint32_t value = 0;
    snprintf(key, sizeof key, "%s.%s", m->info.architecture, name);
    return gguf_get_u32(&m->gguf, key, &value, NULL) == LLM_OK ? value : 0;
}

static uint64_t count_parameters(const struct gguf *g)
{
    uint64_t n = 0;
    for (uint64_t i = 0; i < g->n_tensors; i++) {
        const uint64_t *dims = g->tensors[i].dims;
        n += dims[0] * dims[1] * dims[2] * dims[3];
    }
    return n;
}

llm_status model_fill_info(llm_model *m, struct llm_error *error)
{
    struct llm_model_info *i = &m->info;
    const struct tokenizer_info *t = tokenizer_info(m->tokenizer);
    i->size = sizeof *i;
    TRY(copy_texts(m, error));
    i->quantization = main_format(&m->gguf);
    i->file_bytes = m->source.size;
    i->vocab_size = t->n_tokens;
    i->bos_token = t->bos;
    i->adds_bos = t->add_bos && t->bos >= 0;
    i->n_eos_tokens = t->n_ends;
    i->eos_tokens = t->ends;
    const struct blueprint *b = &m->blueprint; /* zeroed with vocab_only */
    i->parameters = b->arch ? b->parameters : count_parameters(&m->gguf);
    i->context = b->arch ? b->h.context : stated(m, "context_length");
    i->layers = b->arch ? b->h.n_layers : stated(m, "block_count");
    i->embedding = b->arch ? b->h.dim : stated(m, "embedding_length");
    return LLM_OK;
}

llm_status llm_model_info_get(const llm_model *m, struct llm_model_info *info,
                              struct llm_error *error)
{
    if (!m->open) return error_set(error, LLM_CLOSED, "the model is closed");
    uint32_t size = info->size;
    memcpy(info, &m->info, size < sizeof *info ? size : sizeof *info);
    info->size = size;
    return LLM_OK;
}

/* ---- text and tokens ---- */

llm_status llm_tokenize(llm_model *m, const char *text, size_t size, uint32_t flags, int32_t *ids,
                        size_t capacity, size_t *n, struct llm_error *error)
{
    *n = 0;
    if (!m->open) return error_set(error, LLM_CLOSED, "the model is closed");
    const struct alloc *a = &m->root->alloc;
    const struct tokenizer_info *info = tokenizer_info(m->tokenizer);
    struct ids found = {0};
    uint32_t how = flags & LLM_TOKENIZE_SPECIAL ? TOKENIZER_SPECIAL : 0;
    llm_status status = tokenizer_encode(m->tokenizer, text, size, how, &found, a, error);
    size_t bos = (flags & LLM_TOKENIZE_BOS) && info->bos >= 0;
    if (status == LLM_OK) {
        if (bos && capacity) ids[0] = info->bos;
        size_t room = capacity > bos ? capacity - bos : 0;
        if (room && found.n)
            memcpy(ids + bos, found.items, (found.n < room ? found.n : room) * sizeof *ids);
        *n = found.n + bos;
    }
    alloc_free(a, found.items, found.capacity * sizeof *found.items);
    return status;
}

llm_status llm_detokenize(llm_model *m, const int32_t *ids, size_t n_ids, uint32_t flags,
                          char *text, size_t capacity, size_t *n, struct llm_error *error)
{
    *n = 0;
    if (!m->open) return error_set(error, LLM_CLOSED, "the model is closed");
    const struct alloc *a = &m->root->alloc;
    struct bytes found = {0};
    llm_status status = LLM_OK;
    for (size_t i = 0; i < n_ids && status == LLM_OK; i++)
        status =
            tokenizer_decode(m->tokenizer, ids[i], flags & LLM_TOKENIZE_SPECIAL, &found, a, error);
    if (status == LLM_OK) {
        if (found.n && capacity) memcpy(text, found.items, found.n < capacity ? found.n : capacity);
        *n = found.n;
    }
    alloc_free(a, found.items, found.capacity);
    return status;
}

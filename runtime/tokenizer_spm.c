/* SentencePiece's byte-pair model: characters, merged to the neighbouring token of the highest
 * score, as llama.cpp does. */
#include <string.h>

#include "tokenizer_impl.h"
#include "unicode.h"

static bool find_token(const struct tokenizer *t, const char *text, const struct symbol *left,
                       const struct symbol *right, struct pair *out)
{
    out->id = vocab_find(t, text + left->at, left->size + right->size);
    if (out->id < 0) return false;
    out->order = -t->tokens[out->id].score;
    return true;
}

/* A character that is no token is written byte by byte; bytes without a token are unknown. */
static llm_status push_bytes(const struct tokenizer *t, const char *bytes, size_t n,
                             struct ids *out, const struct alloc *alloc, struct llm_error *error)
{
    for (size_t i = 0; i < n; i++) {
        int32_t id = t->byte_ids[(unsigned char)bytes[i]];
        if (id < 0) id = t->info.unk;
        TRY(tokenizer_push(out, id, alloc, error));
    }
    return LLM_OK;
}

llm_status spm_encode(const struct tokenizer *t, struct merger *m, const char *text, size_t size,
                      bool begins, struct ids *out, struct llm_error *error)
{
    if (!merger_escape(m, text, size, begins && t->info.add_space_prefix))
        return error_memory(error, "a text with its spaces escaped", (uint64_t)size * 3);
    const char *escaped = m->text.items;
    m->n = 0;
    for (size_t at = 0; at < m->text.n;) {
        uint32_t code;
        size_t length = unicode_decode(escaped + at, m->text.n - at, &code);
        if (!merger_symbol(m, (uint32_t)at, (uint32_t)length, vocab_find(t, escaped + at, length)))
            return error_memory(error, "the symbols of a text",
                                (uint64_t)m->text.n * sizeof *m->symbols);
        at += length;
    }
    if (!merger_run(m, t, escaped, find_token))
        return error_memory(error, "the merges of a text", (uint64_t)m->n * sizeof *m->heap);
    for (uint32_t i = 0; i != NO_SYMBOL; i = m->symbols[i].next) {
        const struct symbol *s = &m->symbols[i];
        if (s->id >= 0) TRY(tokenizer_push(out, s->id, m->alloc, error));
        else TRY(push_bytes(t, escaped + s->at, s->size, out, m->alloc, error));
    }
    return LLM_OK;
}

/* SentencePiece's byte-pair model: characters, merged to the neighbouring token of the highest
 * score, as llama.cpp does. */
#include <string.h>

#include "tokenizer_impl.h"
#include "unicode.h"

static const char space[3] = {'\xe2', '\x96', '\x81'}; /* U+2581 stands for a space */

/* The text with its spaces written as U+2581, one put before where there is to be one. */
static bool escape(struct merger *m, const char *text, size_t size, bool prefix)
{
    size_t n_spaces = prefix;
    for (size_t i = 0; i < size; i++) n_spaces += text[i] == ' ';
    size_t n = size + prefix + 2 * n_spaces;
    char *out = alloc_grow(m->alloc, m->escaped.items, &m->escaped.capacity, n, 1);
    if (!out) return false;
    m->escaped.items = out;
    m->escaped.n = n;
    if (prefix) {
        memcpy(out, space, 3);
        out += 3;
    }
    for (size_t i = 0; i < size; i++) {
        size_t length = text[i] == ' ' ? 3 : 1;
        memcpy(out, length == 3 ? space : text + i, length);
        out += length;
    }
    return true;
}

static bool find_token(const struct tokenizer *t, const char *text, const struct symbol *left,
                       const struct symbol *right, struct pair *out)
{
    out->id = tokenizer_find(t, text + left->at, left->size + right->size);
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
        if (id >= 0) TRY(tokenizer_push(out, id, alloc, error));
    }
    return LLM_OK;
}

llm_status spm_encode(const struct tokenizer *t, struct merger *m, const char *text, size_t size,
                      bool begins, struct ids *out, struct llm_error *error)
{
    if (!escape(m, text, size, begins && t->info.add_space_prefix))
        return error_memory(error, "a text with its spaces escaped", (uint64_t)size * 3);
    const char *escaped = m->escaped.items;
    m->n = 0;
    for (size_t at = 0; at < m->escaped.n;) {
        uint32_t code;
        size_t length = unicode_decode(escaped + at, m->escaped.n - at, &code);
        if (!merger_symbol(m, (uint32_t)at, (uint32_t)length,
                           tokenizer_find(t, escaped + at, length)))
            return error_memory(error, "the symbols of a text",
                                (uint64_t)m->escaped.n * sizeof *m->symbols);
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

/* Byte-pair encoding: words of bytes, as GPT-2 has it, or of characters are merged in the order of
 * the file's list. */
#include <inttypes.h>
#include <string.h>

#include "tokenizer_impl.h"
#include "unicode.h"

#define MAX_MERGES (1u << 24) /* ranks are exact in a float */

/* ---- the vocabulary ---- */

/* GPT-2 writes bytes as characters: those that print as they are, the others as U+0100 and up, in
 * order. -1: no such. */
static int byte_of_character(uint32_t code)
{
    if ((code >= 0x21 && code <= 0x7e) || (code >= 0xa1 && code <= 0xff && code != 0xad))
        return (int)code;
    if (code >= 0x100 && code <= 0x120) return (int)(code - 0x100);
    if (code >= 0x121 && code <= 0x142) return (int)(code - 0x121 + 0x7f);
    return code == 0x143 ? 0xad : -1;
}

/* Writes the bytes of a text, at most as many as it has. A character that stands for no byte is
 * copied, and *whole false. */
static size_t bytes_of_text(const char *text, size_t size, char *out, bool *whole)
{
    size_t n = 0;
    *whole = true;
    for (size_t at = 0; at < size;) {
        uint32_t code;
        size_t length = unicode_decode(text + at, size - at, &code);
        int byte = byte_of_character(code);
        if (byte >= 0) {
            out[n++] = (char)byte;
        } else {
            memcpy(out + n, text + at, length);
            n += length;
            *whole = false;
        }
        at += length;
    }
    return n;
}

static bool is_bytes(const struct token *token)
{
    return token->type != TOKEN_CONTROL && token->type != TOKEN_UNKNOWN &&
           token->type != TOKEN_USER_DEFINED && token->type != TOKEN_BYTE;
}

llm_status bpe_texts(struct tokenizer *t, struct llm_error *error)
{
    if (t->texts != TEXTS_BYTES) return LLM_OK;
    for (uint32_t id = 0; id < t->info.n_tokens; id++)
        if (is_bytes(&t->tokens[id])) t->bytes_size += t->tokens[id].size;
    if (t->bytes_size == 0) return LLM_OK;
    t->bytes = alloc_new(t->alloc, t->bytes_size);
    if (!t->bytes) return error_memory(error, "the vocabulary", t->bytes_size);
    char *out = t->bytes;
    for (uint32_t id = 0; id < t->info.n_tokens; id++) {
        struct token *token = &t->tokens[id];
        bool whole = true;
        if (!is_bytes(token)) {
            /* Taken literally, so it is a word of bytes only where both ways of writing agree. */
            for (uint32_t i = 0; i < token->size; i++)
                token->indexed &= token->text[i] > 0x20 && token->text[i] < 0x7f;
            continue;
        }
        token->size = (uint32_t)bytes_of_text(token->text, token->size, out, &whole);
        token->text = out;
        token->indexed &= whole;
        out += token->size;
    }
    return LLM_OK;
}

/* ---- merges ---- */

static struct merge *merge_slot(const struct tokenizer *t, uint32_t left, uint32_t right)
{
    uint64_t hash = (((uint64_t)left << 32 | right) ^ t->seed) * 0x9e3779b97f4a7c15u;
    hash = (hash ^ hash >> 29) * 0xbf58476d1ce4e5b9u;
    for (size_t i = (size_t)(hash ^ hash >> 32);; i++) {
        struct merge *slot = &t->merges[i & t->merges_mask];
        if (slot->id < 0 || (slot->left == left && slot->right == right)) return slot;
    }
}

/* Writes one side of a merge as tokens are; false where it is none. */
static bool put_side(const struct tokenizer *t, const char *text, size_t size, char *out, size_t *n)
{
    bool whole = true;
    *n = size;
    if (t->texts == TEXTS_BYTES) *n = bytes_of_text(text, size, out, &whole);
    else memcpy(out, text, size);
    return whole;
}

/* One line of the list, "left right". What names an unknown token can never be used. */
static void add_merge(struct tokenizer *t, struct gguf_string text, uint32_t rank, char *scratch)
{
    const char *space = text.size > 1 ? memchr(text.text + 1, ' ', text.size - 1) : NULL;
    if (!space) return;
    size_t left_size = (size_t)(space - text.text), right_size = text.size - left_size - 1;
    size_t n_left, n_right;
    if (!put_side(t, text.text, left_size, scratch, &n_left) ||
        !put_side(t, space + 1, right_size, scratch + n_left, &n_right))
        return;
    int32_t left = vocab_find(t, scratch, n_left), right = vocab_find(t, scratch + n_left, n_right);
    int32_t id = vocab_find(t, scratch, n_left + n_right);
    if (left < 0 || right < 0 || id < 0) return;
    struct merge *slot = merge_slot(t, (uint32_t)left, (uint32_t)right);
    if (slot->id < 0) *slot = (struct merge){(uint32_t)left, (uint32_t)right, rank, id};
}

llm_status bpe_open(struct tokenizer *t, const struct gguf *gguf, struct llm_error *error)
{
    static const char key[] = "tokenizer.ggml.merges";
    static const struct gguf_value none = {.type = GGUF_ARRAY, .item_type = GGUF_STRING};
    const struct gguf_value *list = gguf_find(gguf, key);
    if (!list && pretokenize_flags(t->rule) & PRETOKENIZE_MAY_LACK_MERGES) list = &none;
    if (!list) return error_set(error, LLM_BAD_MODEL, "the file has no %s", key);
    if (list->type != GGUF_ARRAY || (list->item_type != GGUF_STRING && list->n))
        return error_set(error, LLM_BAD_MODEL, "%s is not an array of strings", key);
    if (list->n > MAX_MERGES)
        return error_set(error, LLM_BAD_MODEL, "%s has %" PRIu64 " items, more than %u", key,
                         list->n, MAX_MERGES);
    size_t n_slots = 16, longest = 1;
    while (n_slots < 2 * list->n) n_slots *= 2;
    t->merges = alloc_new(t->alloc, n_slots * sizeof *t->merges);
    if (!t->merges) return error_memory(error, "the merges", n_slots * sizeof *t->merges);
    t->merges_mask = n_slots - 1;
    for (size_t i = 0; i < n_slots; i++) t->merges[i].id = -1;

    struct gguf_string text;
    for (const uint8_t *at = list->data; list->n && gguf_next_string(list, &at, &text);)
        if (text.size > longest) longest = text.size;
    char *scratch = alloc_new(t->alloc, longest);
    if (!scratch) return error_memory(error, "a merge", longest);
    const uint8_t *at = list->data;
    for (uint32_t rank = 0; rank < list->n && gguf_next_string(list, &at, &text); rank++)
        add_merge(t, text, rank, scratch);
    alloc_free(t->alloc, scratch, longest);
    return LLM_OK;
}

static bool find_merge(const struct tokenizer *t, const char *text, const struct symbol *left,
                       const struct symbol *right, struct pair *out)
{
    (void)text;
    if (left->id < 0 || right->id < 0) return false;
    const struct merge *merge = merge_slot(t, (uint32_t)left->id, (uint32_t)right->id);
    out->id = merge->id;
    out->order = (float)merge->rank;
    return merge->id >= 0;
}

/* ---- words ---- */

/* The token that a word is without any merge, or -1. */
static int32_t whole_word(const struct tokenizer *t, const char *text, size_t size)
{
    uint32_t flags = pretokenize_flags(t->rule);
    if (flags & PRETOKENIZE_IGNORES_MERGES) return vocab_find(t, text, size);
    /* Words of newlines hold nothing else: see the rule. */
    if (flags & PRETOKENIZE_WHOLE_NEWLINES && text[0] == '\n') return vocab_find(t, text, size);
    return -1;
}

/* Bytes, or characters. */
static bool put_symbols(const struct tokenizer *t, struct merger *m, const char *text, size_t size)
{
    m->n = 0;
    for (size_t at = 0, length; at < size; at += length) {
        uint32_t code;
        bool is_byte = t->texts == TEXTS_BYTES;
        length = is_byte ? 1 : unicode_decode(text + at, size - at, &code);
        int32_t id =
            is_byte ? t->byte_ids[(unsigned char)text[at]] : vocab_find(t, text + at, length);
        if (!merger_symbol(m, (uint32_t)at, (uint32_t)length, id)) return false;
    }
    return true;
}

static llm_status encode_word(const struct tokenizer *t, struct merger *m, const char *text,
                              size_t size, struct ids *out, struct llm_error *error)
{
    int32_t whole = whole_word(t, text, size);
    if (whole >= 0) return tokenizer_push(out, whole, m->alloc, error);
    if (!put_symbols(t, m, text, size) || !merger_run(m, t, text, find_merge))
        return error_memory(error, "the symbols of a word", (uint64_t)size * sizeof *m->symbols);
    for (uint32_t i = 0; i != NO_SYMBOL; i = m->symbols[i].next) {
        const struct symbol *s = &m->symbols[i];
        if (s->id >= 0) TRY(tokenizer_push(out, s->id, m->alloc, error));
        /* A byte that is no token is left out, as in llama.cpp. */
        for (uint32_t k = 0; s->id < 0 && k < s->size; k++)
            TRY(tokenizer_push(out, t->byte_ids[(unsigned char)text[s->at + k]], m->alloc, error));
    }
    return LLM_OK;
}

static llm_status encode_words(const struct tokenizer *t, struct merger *m, const char *text,
                               size_t size, struct ids *out, struct llm_error *error)
{
    TRY(pretokenize(t->rule, text, size, &m->words, m->alloc, error));
    size_t at = 0;
    for (size_t i = 0; i < m->words.n; i++) {
        TRY(encode_word(t, m, text + at, m->words.ends[i] - at, out, error));
        at = m->words.ends[i];
    }
    return LLM_OK;
}

llm_status bpe_encode(const struct tokenizer *t, struct merger *m, const char *text, size_t size,
                      bool begins, struct ids *out, struct llm_error *error)
{
    (void)begins;
    if (t->texts != TEXTS_ESCAPED) return encode_words(t, m, text, size, out, error);
    if (!merger_escape(m, text, size, false))
        return error_memory(error, "a text with its spaces escaped", (uint64_t)size * 3);
    return encode_words(t, m, m->text.items, m->text.n, out, error);
}

/* ---- words between white space alone ---- */

/* Sets m->text to the characters from *end to the next white space; *end moves there. */
static bool put_word(const struct tokenizer *t, struct merger *m, const char *text, size_t size,
                     size_t *end)
{
    m->text.n = 0;
    for (size_t at = *end, length; at < size; *end = at += length) {
        uint32_t code;
        char bytes[4];
        length = unicode_decode(text + at, size - at, &code);
        if (unicode_class(code) == UNICODE_SPACE) break;
        size_t n = unicode_encode(t->lowercases ? unicode_lower(code) : code, bytes);
        if (!merger_append(m, bytes, n)) return false;
    }
    return true;
}

llm_status whitespace_open(struct tokenizer *t, const struct gguf *gguf, struct llm_error *error)
{
    TRY(gguf_get_bool(gguf, "tokenizer.ggml.normalizer.lowercase", &t->lowercases, error));
    return bpe_open(t, gguf, error);
}

llm_status whitespace_encode(const struct tokenizer *t, struct merger *m, const char *text,
                             size_t size, bool begins, struct ids *out, struct llm_error *error)
{
    (void)begins;
    for (size_t at = 0; at < size;) {
        if (!put_word(t, m, text, size, &at))
            return error_memory(error, "a word in small letters", (uint64_t)size * 2);
        if (m->text.n) TRY(encode_word(t, m, m->text.items, m->text.n, out, error));
        uint32_t code;
        if (at < size) at += unicode_decode(text + at, size - at, &code); /* the white space */
    }
    return LLM_OK;
}

/* Byte-pair encoding: words of bytes, merged in the order of the file's list (Sennrich et al. 2016, GPT-2). */
#include <inttypes.h>
#include <string.h>

#include "tokenizer_impl.h"
#include "unicode.h"

#define MAX_MERGES (1u << 24) /* ranks are exact in a float */

/* GPT-2 writes bytes as characters: those that print as they are, the others as U+0100 and up, in order. -1: no such. */
static int byte_of_character(uint32_t code)
{
    if ((code >= 0x21 && code <= 0x7e) || (code >= 0xa1 && code <= 0xff && code != 0xad)) return (int)code;
    if (code >= 0x100 && code <= 0x120) return (int)(code - 0x100);
    if (code >= 0x121 && code <= 0x142) return (int)(code - 0x121 + 0x7f);
    return code == 0x143 ? 0xad : -1;
}

/* Writes the bytes of a text, at most as many as it has. A character that stands for no byte is copied, and *whole false. */
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
    return token->type != TOKEN_CONTROL && token->type != TOKEN_UNKNOWN && token->type != TOKEN_USER_DEFINED &&
           token->type != TOKEN_BYTE;
}

llm_status bpe_texts(struct tokenizer *t, struct llm_error *error)
{
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
            for (uint32_t i = 0; i < token->size; i++) token->indexed &= token->text[i] > 0x20 && token->text[i] < 0x7f;
            continue;
        }
        token->size = (uint32_t)bytes_of_text(token->text, token->size, out, &whole);
        token->text = out;
        token->indexed &= whole;
        out += token->size;
    }
    return LLM_OK;
}

/* ---- merges -------------------------------------------------------------------------------------------------------- */

static struct merge *merge_slot(const struct tokenizer *t, uint32_t left, uint32_t right)
{
    uint64_t hash = (((uint64_t)left << 32 | right) ^ t->seed) * 0x9e3779b97f4a7c15u;
    hash = (hash ^ hash >> 29) * 0xbf58476d1ce4e5b9u;
    for (size_t i = (size_t)(hash ^ hash >> 32);; i++) {
        struct merge *slot = &t->merges[i & t->merges_mask];
        if (slot->id < 0 || (slot->left == left && slot->right == right)) return slot;
    }
}

/* One line of the list, "left right". What names an unknown token can never be used. */
static void add_merge(struct tokenizer *t, struct gguf_string text, uint32_t rank, char *scratch)
{
    const char *space = text.size > 1 ? memchr(text.text + 1, ' ', text.size - 1) : NULL;
    if (!space) return;
    size_t left_size = (size_t)(space - text.text), right_size = text.size - left_size - 1;
    bool left_whole, right_whole;
    size_t n_left = bytes_of_text(text.text, left_size, scratch, &left_whole);
    size_t n_right = bytes_of_text(space + 1, right_size, scratch + n_left, &right_whole);
    if (!left_whole || !right_whole) return;
    int32_t left = tokenizer_find(t, scratch, n_left), right = tokenizer_find(t, scratch + n_left, n_right);
    int32_t id = tokenizer_find(t, scratch, n_left + n_right);
    if (left < 0 || right < 0 || id < 0) return;
    struct merge *slot = merge_slot(t, (uint32_t)left, (uint32_t)right);
    if (slot->id < 0) *slot = (struct merge){(uint32_t)left, (uint32_t)right, rank, id};
}

llm_status bpe_merges(struct tokenizer *t, const struct gguf *gguf, struct llm_error *error)
{
    static const char key[] = "tokenizer.ggml.merges";
    const struct gguf_value *list = gguf_find(gguf, key);
    if (!list) return error_set(error, LLM_BAD_MODEL, "the file has no %s", key);
    if (list->type != GGUF_ARRAY || (list->item_type != GGUF_STRING && list->n))
        return error_set(error, LLM_BAD_MODEL, "%s is not an array of strings", key);
    if (list->n > MAX_MERGES)
        return error_set(error, LLM_BAD_MODEL, "%s has %" PRIu64 " items, more than %u", key, list->n, MAX_MERGES);
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
    for (uint32_t rank = 0; rank < list->n && gguf_next_string(list, &at, &text); rank++) add_merge(t, text, rank, scratch);
    alloc_free(t->alloc, scratch, longest);
    return LLM_OK;
}

static bool find_merge(const struct tokenizer *t, const char *text, const struct symbol *left, const struct symbol *right,
                       struct pair *out)
{
    (void)text;
    if (left->id < 0 || right->id < 0) return false;
    const struct merge *merge = merge_slot(t, (uint32_t)left->id, (uint32_t)right->id);
    out->id = merge->id;
    out->order = (float)merge->rank;
    return merge->id >= 0;
}

/* ---- words --------------------------------------------------------------------------------------------------------- */

static llm_status encode_word(const struct tokenizer *t, struct merger *m, const char *text, size_t size, struct ids *out,
                              struct llm_error *error)
{
    int32_t whole = pretokenize_ignores_merges(t->rule) ? tokenizer_find(t, text, size) : -1;
    if (whole >= 0) return tokenizer_push(out, whole, m->alloc, error);
    m->n = 0;
    bool fits = true;
    for (size_t i = 0; i < size && fits; i++)
        fits = merger_symbol(m, (uint32_t)i, 1, t->byte_ids[(unsigned char)text[i]]);
    if (!fits || !merger_run(m, t, text, find_merge))
        return error_memory(error, "the symbols of a word", (uint64_t)size * sizeof *m->symbols);
    for (uint32_t i = 0; i != NO_SYMBOL; i = m->symbols[i].next) /* a byte that is no token is left out, as in llama.cpp */
        if (m->symbols[i].id >= 0) TRY(tokenizer_push(out, m->symbols[i].id, m->alloc, error));
    return LLM_OK;
}

llm_status bpe_encode(const struct tokenizer *t, struct merger *m, const char *text, size_t size, struct ids *out,
                      struct llm_error *error)
{
    TRY(pretokenize(t->rule, text, size, &m->words, m->alloc, error));
    size_t at = 0;
    for (size_t i = 0; i < m->words.n; i++) {
        TRY(encode_word(t, m, text + at, m->words.ends[i] - at, out, error));
        at = m->words.ends[i];
    }
    return LLM_OK;
}

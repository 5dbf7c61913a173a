/* The tokens of a vocabulary, and which token a text is. */
#include <inttypes.h>
#include <string.h>

#include "tokenizer_impl.h"

#define MAX_TOKENS (4u << 20)

/* ---- reading ---- */

bool tokenizer_is_integer(enum gguf_type type)
{
    return type <= GGUF_I32 || type == GGUF_U64 || type == GGUF_I64;
}

/* An array of numbers, one for each token at least. Missing: *out is NULL. */
static llm_status find_numbers(const struct tokenizer *t, const struct gguf *gguf, const char *key,
                               bool floats, const struct gguf_value **out, struct llm_error *error)
{
    const struct gguf_value *v = *out = gguf_find(gguf, key);
    if (!v) return LLM_OK;
    if (v->type != GGUF_ARRAY ||
        !(tokenizer_is_integer(v->item_type) || (floats && v->item_type == GGUF_F32)))
        return error_set(error, LLM_BAD_MODEL, "%s is not an array of numbers", key);
    if (v->n < t->info.n_tokens)
        return error_set(error, LLM_BAD_MODEL, "%s has %" PRIu64 " items for %" PRIu32 " tokens",
                         key, v->n, t->info.n_tokens);
    return LLM_OK;
}

llm_status vocab_read(struct tokenizer *t, const struct gguf *gguf, struct llm_error *error)
{
    static const char key[] = "tokenizer.ggml.tokens";
    const struct gguf_value *texts = gguf_find(gguf, key), *scores, *types;
    if (!texts) return error_set(error, LLM_BAD_MODEL, "the file has no %s", key);
    if (texts->type != GGUF_ARRAY || texts->item_type != GGUF_STRING)
        return error_set(error, LLM_BAD_MODEL, "%s is not an array of strings", key);
    if (texts->n == 0 || texts->n > MAX_TOKENS)
        return error_set(error, LLM_BAD_MODEL, "%s has %" PRIu64 " tokens, not 1 to %u", key,
                         texts->n, MAX_TOKENS);
    t->info.n_tokens = (uint32_t)texts->n;
    TRY(find_numbers(t, gguf, "tokenizer.ggml.scores", true, &scores, error));
    TRY(find_numbers(t, gguf, "tokenizer.ggml.token_type", false, &types, error));
    t->tokens = alloc_zero(t->alloc, t->info.n_tokens, sizeof *t->tokens);
    if (!t->tokens)
        return error_memory(error, "the vocabulary",
                            (uint64_t)t->info.n_tokens * sizeof *t->tokens);
    const uint8_t *at = texts->data;
    struct gguf_string text;
    for (uint32_t id = 0; id < t->info.n_tokens && gguf_next_string(texts, &at, &text); id++) {
        struct token *token = &t->tokens[id];
        int64_t type = types ? gguf_item_int(types, id) : TOKEN_NORMAL;
        if (text.size > INT32_MAX)
            return error_set(error, LLM_BAD_MODEL, "token %" PRIu32 " has %zu bytes", id,
                             text.size);
        token->text = text.text;
        token->size = (uint32_t)text.size;
        token->type = (uint8_t)(type >= 0 && type < TOKEN_N_TYPES ? type : TOKEN_UNDEFINED);
        token->score = scores ? (float)gguf_item_float(scores, id) : 0;
        if (!(token->score >= -1e30f && token->score <= 1e30f))
            token->score = -1e30f; /* not a number, infinite */
        /* Names of control tokens in plain text are text. */
        token->indexed = token->type != TOKEN_CONTROL && token->type != TOKEN_UNKNOWN &&
                         token->type != TOKEN_BYTE;
    }
    return LLM_OK;
}

/* ---- tokens by text ---- */

/* FNV-1a from a seed that a file cannot know, so that it cannot make all its tokens collide. */
static size_t hash_text(const struct tokenizer *t, const char *text, size_t size)
{
    uint64_t hash = t->seed;
    for (size_t i = 0; i < size; i++) hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3u;
    return (size_t)(hash ^ hash >> 32);
}

static int32_t *index_slot(const struct tokenizer *t, const char *text, size_t size)
{
    for (size_t i = hash_text(t, text, size);; i++) {
        int32_t *slot = &t->index[i & t->index_mask];
        if (*slot < 0) return slot;
        const struct token *token = &t->tokens[*slot];
        if (token->size == size && memcmp(token->text, text, size) == 0) return slot;
    }
}

int32_t vocab_find(const struct tokenizer *t, const char *text, size_t size)
{
    return size && size <= t->longest ? *index_slot(t, text, size) : -1;
}

int vocab_byte(const struct token *token)
{
    static const char digits[] = "0123456789ABCDEF0123456789abcdef";
    if (token->size != 6 || memcmp(token->text, "<0x", 3) != 0 || token->text[5] != '>') return -1;
    const char *high = memchr(digits, token->text[3], 32);
    const char *low = memchr(digits, token->text[4], 32);
    return high && low ? (int)((high - digits) % 16 * 16 + (low - digits) % 16) : -1;
}

/* Bytes that are tokens: by name where there are such, else by a text of one byte. */
static void find_bytes(struct tokenizer *t)
{
    for (int byte = 0; byte < 256; byte++) {
        char text = (char)byte;
        t->byte_ids[byte] = vocab_find(t, &text, 1);
    }
    if (t->texts == TEXTS_BYTES) return;
    for (uint32_t id = t->info.n_tokens; id-- > 0;) {
        int byte = vocab_byte(&t->tokens[id]);
        if (byte >= 0) t->byte_ids[byte] = (int32_t)id;
    }
}

llm_status vocab_index(struct tokenizer *t, struct llm_error *error)
{
    size_t n_slots = 16;
    while (n_slots < 2 * (size_t)t->info.n_tokens) n_slots *= 2;
    t->index = alloc_new(t->alloc, n_slots * sizeof *t->index);
    if (!t->index) return error_memory(error, "the vocabulary", n_slots * sizeof *t->index);
    memset(t->index, 0xff, n_slots * sizeof *t->index);
    t->index_mask = n_slots - 1;
    t->seed = 0xcbf29ce484222325u ^ ((uint64_t)(uintptr_t)t->index >> 4) * 0x9e3779b97f4a7c15u;
    for (uint32_t id = 0; id < t->info.n_tokens; id++) {
        const struct token *token = &t->tokens[id];
        if (!token->indexed || !token->size) continue;
        if (token->size > t->longest) t->longest = token->size;
        int32_t *slot = index_slot(t, token->text, token->size);
        if (*slot < 0) *slot = (int32_t)id; /* of duplicates the first counts */
    }
    find_bytes(t);
    return LLM_OK;
}

llm_status vocab_pieces(struct tokenizer *t, struct llm_error *error)
{
    for (uint32_t id = 0; id < t->info.n_tokens; id++) {
        const struct token *token = &t->tokens[id];
        if (token->indexed &&
            !lexicon_add(&t->pieces, token->text, token->size, (int32_t)id, t->alloc))
            return error_memory(error, "the vocabulary",
                                (t->pieces.n + 1) * sizeof *t->pieces.entries);
    }
    lexicon_sort(&t->pieces);
    return LLM_OK;
}

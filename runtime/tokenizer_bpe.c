/* Byte-pair encoding (Sennrich et al. 2016): neighbours are merged, best first, through a heap; in
 * GPT-2's way of it words of bytes, in the order of the file's list. */
#include <inttypes.h>
#include <string.h>

#include "tokenizer_impl.h"
#include "unicode.h"

#define MAX_MERGES (1u << 24) /* ranks are exact in a float */

/* ---- merging ---- */

bool merger_symbol(struct merger *m, uint32_t at, uint32_t size, int32_t id)
{
    struct symbol *grown = alloc_grow(m->alloc, m->symbols, &m->capacity, m->n + 1, sizeof *grown);
    if (!grown) return false;
    m->symbols = grown;
    uint32_t i = (uint32_t)m->n++;
    if (i) m->symbols[i - 1].next = i;
    m->symbols[i] = (struct symbol){at, size, id, i ? i - 1 : NO_SYMBOL, NO_SYMBOL};
    return true;
}

static bool comes_before(const struct pair *a, const struct pair *b)
{
    return a->order < b->order || (a->order == b->order && a->left < b->left);
}

static bool heap_push(struct merger *m, struct pair pair)
{
    struct pair *grown =
        alloc_grow(m->alloc, m->heap, &m->heap_capacity, m->n_heap + 1, sizeof *grown);
    if (!grown) return false;
    m->heap = grown;
    size_t i = m->n_heap++;
    for (; i && comes_before(&pair, &m->heap[(i - 1) / 2]); i = (i - 1) / 2)
        m->heap[i] = m->heap[(i - 1) / 2];
    m->heap[i] = pair;
    return true;
}

static struct pair heap_pop(struct merger *m)
{
    struct pair least = m->heap[0], last = m->heap[--m->n_heap];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < m->n_heap; i = child) {
        if (child + 1 < m->n_heap && comes_before(&m->heap[child + 1], &m->heap[child])) child++;
        if (!comes_before(&m->heap[child], &last)) break;
        m->heap[i] = m->heap[child];
    }
    m->heap[i] = last;
    return least;
}

static bool try_pair(struct merger *m, const struct tokenizer *t, const char *text, uint32_t left,
                     uint32_t right, merger_find find)
{
    struct pair pair = {left, right, 0, 0, -1};
    if (left == NO_SYMBOL || right == NO_SYMBOL) return true;
    const struct symbol *l = &m->symbols[left], *r = &m->symbols[right];
    pair.size = l->size + r->size;
    return !find(t, text, l, r, &pair) || heap_push(m, pair);
}

bool merger_run(struct merger *m, const struct tokenizer *t, const char *text, merger_find find)
{
    m->n_heap = 0;
    for (uint32_t i = 1; i < m->n; i++)
        if (!try_pair(m, t, text, i - 1, i, find)) return false;
    while (m->n_heap) {
        struct pair pair = heap_pop(m);
        struct symbol *left = &m->symbols[pair.left], *right = &m->symbols[pair.right];
        /* Symbols only grow until they vanish: the same sum means the same two. */
        if (!left->size || !right->size || left->size + right->size != pair.size) continue;
        left->size = pair.size;
        left->id = pair.id;
        left->next = right->next;
        right->size = 0;
        if (left->next != NO_SYMBOL) m->symbols[left->next].previous = pair.left;
        if (!try_pair(m, t, text, left->previous, pair.left, find)) return false;
        if (!try_pair(m, t, text, pair.left, left->next, find)) return false;
    }
    return true;
}

void merger_free(struct merger *m)
{
    alloc_free(m->alloc, m->symbols, m->capacity * sizeof *m->symbols);
    alloc_free(m->alloc, m->heap, m->heap_capacity * sizeof *m->heap);
    alloc_free(m->alloc, m->escaped.items, m->escaped.capacity);
    pretokenize_free(&m->words, m->alloc);
}

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
    int32_t left = tokenizer_find(t, scratch, n_left),
            right = tokenizer_find(t, scratch + n_left, n_right);
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

static llm_status encode_word(const struct tokenizer *t, struct merger *m, const char *text,
                              size_t size, struct ids *out, struct llm_error *error)
{
    int32_t whole = pretokenize_ignores_merges(t->rule) ? tokenizer_find(t, text, size) : -1;
    if (whole >= 0) return tokenizer_push(out, whole, m->alloc, error);
    m->n = 0;
    bool fits = true;
    for (size_t i = 0; i < size && fits; i++)
        fits = merger_symbol(m, (uint32_t)i, 1, t->byte_ids[(unsigned char)text[i]]);
    if (!fits || !merger_run(m, t, text, find_merge))
        return error_memory(error, "the symbols of a word", (uint64_t)size * sizeof *m->symbols);
    for (uint32_t i = 0; i != NO_SYMBOL;
         i = m->symbols[i].next) /* a byte that is no token is left out, as in llama.cpp */
        if (m->symbols[i].id >= 0) TRY(tokenizer_push(out, m->symbols[i].id, m->alloc, error));
    return LLM_OK;
}

llm_status bpe_encode(const struct tokenizer *t, struct merger *m, const char *text, size_t size,
                      struct ids *out, struct llm_error *error)
{
    TRY(pretokenize(t->rule, text, size, &m->words, m->alloc, error));
    size_t at = 0;
    for (size_t i = 0; i < m->words.n; i++) {
        TRY(encode_word(t, m, text + at, m->words.ends[i] - at, out, error));
        at = m->words.ends[i];
    }
    return LLM_OK;
}

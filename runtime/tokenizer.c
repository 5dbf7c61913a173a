#include "tokenizer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tokenizer_impl.h"

/* ---- kinds ---- */

/* clang-format off */
#define NO_IDS .bos = -1, .eos = -1, .eot = -1, .unk = -1, .sep = -1, .pad = -1

/* Ids that a file does not give are those of the first models of a kind, as in llama.cpp
 * (src/llama-vocab.cpp). */
static const struct tokenizer_kind kinds[] = {
    {"gpt2", "", {NO_IDS}, TEXTS_BYTES, bpe_texts, bpe_open, bpe_encode},
    {"llama", NULL,
     {.bos = 1, .eos = 2, .eot = -1, .unk = 0, .sep = -1, .pad = -1, .add_bos = true,
      .add_space_prefix = true},
     TEXTS_ESCAPED, NULL, NULL, spm_encode},
    {"bert", NULL,
     {.bos = 101, .eos = -1, .eot = -1, .unk = 100, .sep = 102, .pad = 0, .add_bos = true,
      .add_sep = true},
     TEXTS_ESCAPED, NULL, wpm_open, wpm_encode},
    {"t5", NULL,
     {.bos = -1, .eos = 1, .eot = -1, .unk = 2, .sep = -1, .pad = 0, .add_eos = true},
     TEXTS_ESCAPED, NULL, ugm_open, ugm_encode},
    {"gemma4", "gemma4", {NO_IDS}, TEXTS_BYTES, bpe_texts, bpe_open, bpe_encode},
    {"whitespace", "", {NO_IDS}, TEXTS_BYTES, bpe_texts, whitespace_open, whitespace_encode},
    {"plamo2", NULL,
     {.bos = 1, .eos = 2, .eot = -1, .unk = 0, .sep = -1, .pad = 3},
     TEXTS_AS_IS, NULL, plamo_open, plamo_encode},
    {"rwkv", NULL, {NO_IDS}, TEXTS_BYTES, rwkv_texts, rwkv_open, rwkv_encode},
};
/* clang-format on */
enum { N_KINDS = sizeof kinds / sizeof *kinds };

/* The names of all kinds, for a message. */
static void list_kinds(char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < N_KINDS && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, i ? ", %s" : "%s", kinds[i].name);
}

static llm_status read_kind(struct tokenizer *t, const struct gguf *gguf, struct llm_error *error)
{
    struct gguf_string model = {"", 0};
    char name[68], names[128];
    TRY(gguf_get_string(gguf, "tokenizer.ggml.model", &model, error));
    if (!model.size) return error_set(error, LLM_BAD_MODEL, "the file has no tokenizer.ggml.model");
    for (size_t i = 0; i < N_KINDS; i++)
        if (model.size == strlen(kinds[i].name) &&
            memcmp(model.text, kinds[i].name, model.size) == 0)
            t->kind = &kinds[i];
    if (t->kind) {
        t->info = t->kind->info;
        t->texts = t->kind->texts;
        return LLM_OK;
    }
    list_kinds(names, sizeof names);
    return error_set(error, LLM_UNSUPPORTED,
                     "tokenizer.ggml.model '%s' is not supported (supported: %s)",
                     error_name(name, model.text, model.size), names);
}

static llm_status read_rule(struct tokenizer *t, const struct gguf *gguf, struct llm_error *error)
{
    struct gguf_string pre = {"", 0};
    char name[68];
    if (!t->kind->rule) return LLM_OK;
    TRY(gguf_get_string(gguf, "tokenizer.ggml.pre", &pre, error));
    if (*t->kind->rule) pre = (struct gguf_string){t->kind->rule, strlen(t->kind->rule)};
    t->rule = pretokenize_find(pre.text, pre.size);
    if (!t->rule) /* another rule would give other ids, and worse answers, without a word */
        return error_set(error, LLM_UNSUPPORTED, "tokenizer.ggml.pre '%s' is not supported",
                         error_name(name, pre.text, pre.size));
    uint32_t flags = pretokenize_flags(t->rule);
    t->info.add_bos = (flags & PRETOKENIZE_ADDS_BOS) != 0;
    if (flags & PRETOKENIZE_CHARACTERS)
        t->texts = flags & PRETOKENIZE_ESCAPES ? TEXTS_ESCAPED : TEXTS_AS_IS;
    return LLM_OK;
}

static llm_status read_flags(struct tokenizer *t, const struct gguf *gguf, struct llm_error *error)
{
    struct tokenizer_info *info = &t->info;
    TRY(gguf_get_bool(gguf, "tokenizer.ggml.add_bos_token", &info->add_bos, error));
    TRY(gguf_get_bool(gguf, "tokenizer.ggml.add_eos_token", &info->add_eos, error));
    TRY(gguf_get_bool(gguf, "tokenizer.ggml.add_space_prefix", &info->add_space_prefix, error));
    /* WordPiece models were all trained with both; some files of Gemma 4 say otherwise, wrongly. */
    info->add_bos |= info->add_sep;
    if (t->rule) info->add_bos |= (pretokenize_flags(t->rule) & PRETOKENIZE_ALWAYS_BOS) != 0;
    return LLM_OK;
}

/* ---- open and close ---- */

static llm_status open_tokenizer(struct tokenizer *t, const struct gguf *gguf,
                                 struct llm_error *error)
{
    TRY(read_kind(t, gguf, error));
    TRY(read_rule(t, gguf, error));
    TRY(read_flags(t, gguf, error));
    TRY(vocab_read(t, gguf, error));
    if (t->kind->read_texts) TRY(t->kind->read_texts(t, error));
    TRY(vocab_index(t, error));
    if (t->kind->open) TRY(t->kind->open(t, gguf, error));
    return special_read(t, gguf, error);
}

llm_status tokenizer_create(struct tokenizer **out, const struct gguf *gguf,
                            const struct alloc *alloc, struct llm_error *error)
{
    *out = NULL;
    struct tokenizer *t = alloc_zero(alloc, 1, sizeof *t);
    if (!t) return error_memory(error, "a tokenizer", sizeof *t);
    t->alloc = alloc;
    llm_status status = open_tokenizer(t, gguf, error);
    if (status == LLM_OK) *out = t;
    else tokenizer_free(t);
    return status;
}

void tokenizer_free(struct tokenizer *t)
{
    if (!t) return;
    alloc_free(t->alloc, t->tokens, t->info.n_tokens * sizeof *t->tokens);
    alloc_free(t->alloc, t->bytes, t->bytes_size);
    alloc_free(t->alloc, t->index, (t->index_mask + 1) * sizeof *t->index);
    alloc_free(t->alloc, t->merges, (t->merges_mask + 1) * sizeof *t->merges);
    lexicon_free(&t->pieces, t->alloc);
    special_free(t);
    alloc_free(t->alloc, t, sizeof *t);
}

const struct tokenizer_info *tokenizer_info(const struct tokenizer *t)
{
    return &t->info;
}

bool tokenizer_is_end(const struct tokenizer *t, int32_t id)
{
    for (uint32_t i = 0; i < t->info.n_ends; i++)
        if (t->info.ends[i] == id) return true;
    return false;
}

/* ---- text to ids ---- */

llm_status tokenizer_push(struct ids *out, int32_t id, const struct alloc *alloc,
                          struct llm_error *error)
{
    if (id < 0) return LLM_OK;
    int32_t *grown = alloc_grow(alloc, out->items, &out->capacity, out->n + 1, sizeof *grown);
    if (!grown) return error_memory(error, "token ids", (uint64_t)(out->n + 1) * sizeof *grown);
    out->items = grown;
    out->items[out->n++] = id;
    return LLM_OK;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static llm_status encode_plain(const struct tokenizer *t, struct merger *m, const char *text,
                               size_t size, bool begins, struct ids *out, struct llm_error *error)
{
    return size ? t->kind->encode(t, m, text, size, begins, out, error) : LLM_OK;
}

static llm_status encode(const struct tokenizer *t, struct merger *m, const char *text, size_t size,
                         uint32_t flags, struct ids *out, struct llm_error *error)
{
    const struct lexicon *specials = flags & TOKENIZER_SPECIAL ? &t->specials : &t->defined;
    size_t begin = 0, at = 0;
    bool begins = !(flags & TOKENIZER_CONTINUES);
    while (at < size) {
        int32_t id = lexicon_longest(specials, text + at, size - at);
        if (id < 0) {
            at++;
            continue;
        }
        const struct token *token = &t->tokens[id];
        size_t end = at;
        while (token->strips_left && end > begin && is_space(text[end - 1])) end--;
        TRY(encode_plain(t, m, text + begin, end - begin, begins, out, error));
        TRY(tokenizer_push(out, id, m->alloc, error));
        begins = true;
        at += token->size;
        while (token->strips_right && at < size && is_space(text[at])) at++;
        begin = at;
    }
    return encode_plain(t, m, text + begin, size - begin, begins, out, error);
}

llm_status tokenizer_encode(const struct tokenizer *t, const char *text, size_t size,
                            uint32_t flags, struct ids *out, const struct alloc *alloc,
                            struct llm_error *error)
{
    if (size > UINT32_MAX / 4) /* spaces become three bytes */
        return error_set(error, LLM_BAD_ARGUMENT, "a text of %zu bytes is too long to be tokenized",
                         size);
    size_t n = out->n;
    bool whole = flags & TOKENIZER_WHOLE;
    struct merger m = {.alloc = alloc};
    llm_status status = LLM_OK;
    if (whole && t->info.add_bos) status = tokenizer_push(out, t->info.bos, alloc, error);
    if (status == LLM_OK) status = encode(t, &m, text, size, flags, out, error);
    if (status == LLM_OK && whole && t->info.add_sep)
        status = tokenizer_push(out, t->info.sep, alloc, error);
    if (status == LLM_OK && whole && t->info.add_eos)
        status = tokenizer_push(out, t->info.eos, alloc, error);
    if (status != LLM_OK) out->n = n;
    merger_free(&m);
    return status;
}

/* ---- ids to text ---- */

static llm_status append(struct bytes *out, const char *bytes, size_t n, const struct alloc *alloc,
                         struct llm_error *error)
{
    if (n == 0) return LLM_OK;
    char *grown = alloc_grow(alloc, out->items, &out->capacity, out->n + n, 1);
    if (!grown) return error_memory(error, "the text of a token", out->n + n);
    out->items = grown;
    memcpy(out->items + out->n, bytes, n);
    out->n += n;
    return LLM_OK;
}

llm_status tokenizer_decode(const struct tokenizer *t, int32_t id, bool special, struct bytes *out,
                            const struct alloc *alloc, struct llm_error *error)
{
    if (id < 0 || (uint32_t)id >= t->info.n_tokens)
        return error_set(error, LLM_BAD_ARGUMENT,
                         "token %" PRId32 " is not in the vocabulary of %" PRIu32, id,
                         t->info.n_tokens);
    const struct token *token = &t->tokens[id];
    switch ((enum token_type)token->type) {
    case TOKEN_CONTROL:
    case TOKEN_UNKNOWN:
        return special ? append(out, token->text, token->size, alloc, error) : LLM_OK;
    case TOKEN_USER_DEFINED: return append(out, token->text, token->size, alloc, error);
    case TOKEN_BYTE: {
        int value = vocab_byte(token);
        char byte = (char)value;
        return value < 0 ? LLM_OK : append(out, &byte, 1, alloc, error);
    }
    case TOKEN_NORMAL: break;
    default: return LLM_OK;
    }
    size_t n = out->n;
    TRY(append(out, token->text, token->size, alloc, error));
    if (t->texts != TEXTS_ESCAPED) return LLM_OK;
    size_t to = n;
    for (size_t at = n; at < out->n; to++) { /* U+2581 back to spaces, in place */
        bool space = out->n - at >= 3 && memcmp(out->items + at, ESCAPED_SPACE, 3) == 0;
        out->items[to] = space ? ' ' : out->items[at];
        at += space ? 3 : 1;
    }
    out->n = to;
    return LLM_OK;
}

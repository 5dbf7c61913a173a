#include "tokenizer_impl.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TOKENS (4u << 20)
/* Longer special tokens are never looked for: the search stays linear in the text. */
#define MAX_SPECIAL_SIZE 256u

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

int32_t tokenizer_find(const struct tokenizer *t, const char *text, size_t size)
{
    return size && size <= t->longest ? *index_slot(t, text, size) : -1;
}

static llm_status build_index(struct tokenizer *t, struct llm_error *error)
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
    return LLM_OK;
}

/* ---- reading the vocabulary ---- */

static bool is_integer(enum gguf_type type)
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
        !(is_integer(v->item_type) || (floats && v->item_type == GGUF_F32)))
        return error_set(error, LLM_BAD_MODEL, "%s is not an array of numbers", key);
    if (v->n < t->info.n_tokens)
        return error_set(error, LLM_BAD_MODEL, "%s has %" PRIu64 " items for %" PRIu32 " tokens",
                         key, v->n, t->info.n_tokens);
    return LLM_OK;
}

static llm_status read_tokens(struct tokenizer *t, const struct gguf *gguf, struct llm_error *error)
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

/* The byte of a name like <0x0A>, or -1. */
static int byte_of_name(const struct token *token)
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
        t->byte_ids[byte] = tokenizer_find(t, &text, 1);
    }
    if (t->byte_pair) return;
    for (uint32_t id = t->info.n_tokens; id-- > 0;) {
        int byte = byte_of_name(&t->tokens[id]);
        if (byte >= 0) t->byte_ids[byte] = (int32_t)id;
    }
}

/* ---- special tokens ---- */

/* clang-format off */
/* What names mean, as llama.cpp has it (src/llama-vocab.cpp); among ends of turns the first here is
 * preferred. */
enum { MEANS_CONTROL = 1, MEANS_END = 2, MEANS_EOT = 4, MEANS_EOM = 8, MEANS_TEXT = 16 };
static const struct meaning { const char *name; uint8_t means; } meanings[] = {
    {"<|eot_id|>", MEANS_END | MEANS_EOT},
    {"<|im_end|>", MEANS_END | MEANS_EOT},
    {"<|end|>", MEANS_END | MEANS_EOT},
    {"<end_of_turn>", MEANS_END | MEANS_EOT},
    {"<|endoftext|>", MEANS_END | MEANS_EOT},
    {"<|end_of_text|>", MEANS_END | MEANS_EOT},
    {"<EOT>", MEANS_END | MEANS_EOT},
    {"_<EOT>", MEANS_END | MEANS_EOT},
    {"[EOT]", MEANS_END | MEANS_EOT},
    {"<\xef\xbd\x9c" "end\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>", MEANS_END | MEANS_EOT},
    {"<end_of_utterance>", MEANS_END | MEANS_EOT},
    {"<|eom_id|>", MEANS_END | MEANS_EOM},
    {"</s>", MEANS_END},
    {"<eos>", MEANS_END},
    {"[EOS]", MEANS_END},
    {"<|return|>", MEANS_END},
    {"<|call|>", MEANS_END},
    {"<|calls|>", MEANS_END},
    {"<|flush|>", MEANS_END},
    {"<turn|>", MEANS_END},
    {"<|tool_response>", MEANS_END},
    {"[e~[", MEANS_END},
    {"<|fim_pad|>", MEANS_END},
    {"<fim-pad>", MEANS_END},
    {"<fim_pad>", MEANS_END},
    {"<PAD>", MEANS_END},
    {"[PAD]", MEANS_END},
    {"<|fim_repo|>", MEANS_END},
    {"<|repo_name|>", MEANS_END},
    {"<fim-repo>", MEANS_END},
    {"<REPO>", MEANS_END},
    {"<reponame>", MEANS_END},
    {"<|file_sep|>", MEANS_END},
    {"<|fim_prefix|>", MEANS_CONTROL},
    {"<fim-prefix>", MEANS_CONTROL},
    {"<fim_prefix>", MEANS_CONTROL},
    {"<|fim_suffix|>", MEANS_CONTROL},
    {"<fim-suffix>", MEANS_CONTROL},
    {"<fim_suffix>", MEANS_CONTROL},
    {"<|fim_middle|>", MEANS_CONTROL},
    {"<fim-middle>", MEANS_CONTROL},
    {"<fim_middle>", MEANS_CONTROL},
    {"<|channel|>", MEANS_TEXT},
    {"<|message|>", MEANS_TEXT},
    {"<|start|>", MEANS_TEXT},
    {"<|constrain|>", MEANS_TEXT},
};
/* clang-format on */
#define N_MEANINGS (sizeof meanings / sizeof *meanings)
#define MAX_ENDS (N_MEANINGS + 6)

/* The token that a key names. Missing: *id keeps what it holds, where that is a token. */
static llm_status read_id(const struct tokenizer *t, const struct gguf *gguf, const char *key,
                          int32_t *id, struct llm_error *error)
{
    if (*id >= 0 && (uint32_t)*id >= t->info.n_tokens) *id = -1;
    const struct gguf_value *v = gguf_find(gguf, key);
    if (!v) return LLM_OK;
    if (!is_integer(v->type)) return error_set(error, LLM_BAD_MODEL, "%s is not an integer", key);
    int64_t value = gguf_item_int(v, 0);
    if (value == -1 || value == UINT32_MAX) {
        *id = -1;
        return LLM_OK;
    }
    if (value < 0 || value >= t->info.n_tokens)
        return error_set(error, LLM_BAD_MODEL,
                         "%s is %" PRId64 ", but there are %" PRIu32 " tokens", key, value,
                         t->info.n_tokens);
    *id = (int32_t)value;
    return LLM_OK;
}

static void add_end(struct tokenizer *t, int32_t id)
{
    if (id >= 0 && !tokenizer_is_end(t, id)) t->ends[t->info.n_ends++] = id;
}

static void remove_end(struct tokenizer *t, int32_t id, enum token_type type)
{
    for (uint32_t i = 0; i < t->info.n_ends; i++) {
        if (t->ends[i] != id) continue;
        t->tokens[id].type = (uint8_t)type;
        memmove(t->ends + i, t->ends + i + 1, (--t->info.n_ends - i) * sizeof *t->ends);
        return;
    }
}

/* Which token has which of the names above. */
static void find_meanings(const struct tokenizer *t, int32_t found[N_MEANINGS])
{
    size_t sizes[N_MEANINGS];
    for (size_t i = 0; i < N_MEANINGS; i++) {
        found[i] = -1;
        sizes[i] = strlen(meanings[i].name);
    }
    for (uint32_t id = 0; id < t->info.n_tokens; id++) {
        const struct token *token = &t->tokens[id];
        if (!token->size || !strchr("<[_", token->text[0]) || !token->text[0]) continue;
        for (size_t i = 0; i < N_MEANINGS; i++)
            if (token->size == sizes[i] && found[i] < 0 &&
                memcmp(token->text, meanings[i].name, sizes[i]) == 0)
                found[i] = (int32_t)id;
    }
}

static int32_t found_name(const int32_t found[N_MEANINGS], const char *name)
{
    for (size_t i = 0; i < N_MEANINGS; i++)
        if (strcmp(meanings[i].name, name) == 0) return found[i];
    return -1;
}

static llm_status read_ends(struct tokenizer *t, const struct gguf *gguf, struct llm_error *error)
{
    struct tokenizer_info *info = &t->info;
    int32_t found[N_MEANINGS], eom = -1, fim[3] = {-1, -1, -1};
    TRY(read_id(t, gguf, "tokenizer.ggml.bos_token_id", &info->bos, error));
    TRY(read_id(t, gguf, "tokenizer.ggml.eos_token_id", &info->eos, error));
    TRY(read_id(t, gguf, "tokenizer.ggml.eot_token_id", &info->eot, error));
    TRY(read_id(t, gguf, "tokenizer.ggml.eom_token_id", &eom, error));
    TRY(read_id(t, gguf, "tokenizer.ggml.fim_pad_token_id", &fim[0], error));
    TRY(read_id(t, gguf, "tokenizer.ggml.fim_rep_token_id", &fim[1], error));
    TRY(read_id(t, gguf, "tokenizer.ggml.fim_sep_token_id", &fim[2], error));
    /* Many published files name one past the end here, since a padding token was added later:
     * nothing depends on these. */
    if (read_id(t, gguf, "tokenizer.ggml.unknown_token_id", &info->unk, NULL) != LLM_OK)
        info->unk = -1;
    if (read_id(t, gguf, "tokenizer.ggml.padding_token_id", &info->pad, NULL) != LLM_OK)
        info->pad = -1;

    t->ends = alloc_new(t->alloc, MAX_ENDS * sizeof *t->ends);
    if (!t->ends) return error_memory(error, "the end tokens", MAX_ENDS * sizeof *t->ends);
    info->ends = t->ends;
    add_end(t, info->eos);
    find_meanings(t, found);
    for (size_t i = 0; i < N_MEANINGS; i++) {
        if (found[i] < 0) continue;
        uint8_t means = meanings[i].means;
        t->tokens[found[i]].type = means == MEANS_TEXT ? TOKEN_USER_DEFINED : TOKEN_CONTROL;
        if (means & MEANS_EOT && info->eot < 0) info->eot = found[i];
        if (means & MEANS_END) add_end(t, found[i]);
    }
    add_end(t, info->eot);
    add_end(t, eom);
    for (int i = 0; i < 3; i++) add_end(t, fim[i]);

    /* Models whose turns are made of several ended messages, and one for which </s> is text. */
    bool calls = found_name(found, "<|call|>") >= 0 || found_name(found, "<|calls|>") >= 0;
    bool returns = found_name(found, "<|return|>") >= 0 || found_name(found, "<|flush|>") >= 0;
    if (calls && returns) remove_end(t, found_name(found, "<|end|>"), TOKEN_USER_DEFINED);
    if (found_name(found, "<|tool_response>") >= 0)
        remove_end(t, found_name(found, "</s>"), TOKEN_NORMAL);
    return LLM_OK;
}

static int compare_specials(const void *a, const void *b)
{
    const struct special *x = a, *y = b;
    int order = memcmp(x->text, y->text, x->size < y->size ? x->size : y->size);
    if (order) return order;
    if (x->size != y->size) return x->size < y->size ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static bool is_special(const struct token *token)
{
    return token->type == TOKEN_CONTROL || token->type == TOKEN_UNKNOWN ||
           token->type == TOKEN_USER_DEFINED;
}

static llm_status collect_specials(struct tokenizer *t, struct llm_error *error)
{
    for (uint32_t id = 0; id < t->info.n_tokens; id++) {
        const struct token *token = &t->tokens[id];
        if (!is_special(token) || !token->size || token->size > MAX_SPECIAL_SIZE) continue;
        struct special *grown = alloc_grow(t->alloc, t->specials, &t->specials_capacity,
                                           t->n_specials + 1, sizeof *grown);
        if (!grown)
            return error_memory(error, "the special tokens", (t->n_specials + 1) * sizeof *grown);
        t->specials = grown;
        t->specials[t->n_specials++] = (struct special){token->text, token->size, (int32_t)id};
    }
    if (t->n_specials) qsort(t->specials, t->n_specials, sizeof *t->specials, compare_specials);
    size_t i = 0;
    for (size_t byte = 0; byte <= 256; byte++) {
        while (i < t->n_specials && (unsigned char)t->specials[i].text[0] < byte) i++;
        t->first[byte] = i;
    }
    return LLM_OK;
}

/* Phi-3's special tokens swallow the white space after them; the file does not say so (llama.cpp
 * goes by the name, too). */
static llm_status mark_stripping(struct tokenizer *t, const struct gguf *gguf,
                                 struct llm_error *error)
{
    struct gguf_string name = {"", 0};
    bool is_phi3 = false;
    if (!gguf_find(gguf, "general.name")) return LLM_OK;
    TRY(gguf_get_string(gguf, "general.name", &name, error));
    for (size_t i = 0; i + 4 <= name.size && !is_phi3; i++) {
        const char *s = name.text + i;
        is_phi3 = (s[0] | 0x20) == 'p' && (s[1] | 0x20) == 'h' && (s[2] | 0x20) == 'i' &&
                  (s[3] == '3' || (i + 5 <= name.size && s[3] == '-' && s[4] == '3'));
    }
    if (!is_phi3) return LLM_OK;
    static const char *const keep[] = {"<unk>", "<s>", "<|endoftext|>"};
    for (size_t i = 0; i < t->n_specials; i++) {
        const struct special *s = &t->specials[i];
        bool strips = true;
        for (size_t k = 0; k < 3; k++)
            strips &= s->size != strlen(keep[k]) || memcmp(s->text, keep[k], s->size) != 0;
        t->tokens[s->id].strips = strips;
    }
    return LLM_OK;
}

/* ---- open and close ---- */

static llm_status read_model(struct tokenizer *t, const struct gguf *gguf, struct llm_error *error)
{
    struct gguf_string model = {"", 0}, pre = {"", 0};
    char name[68];
    TRY(gguf_get_string(gguf, "tokenizer.ggml.model", &model, error));
    TRY(gguf_get_string(gguf, "tokenizer.ggml.pre", &pre, error));
    if (!model.size) return error_set(error, LLM_BAD_MODEL, "the file has no tokenizer.ggml.model");
    t->byte_pair = model.size == 4 && memcmp(model.text, "gpt2", 4) == 0;
    if (!t->byte_pair && !(model.size == 5 && memcmp(model.text, "llama", 5) == 0))
        return error_set(error, LLM_UNSUPPORTED,
                         "tokenizer.ggml.model '%s' is not supported (gpt2 and llama are)",
                         error_name(name, model.text, model.size));
    t->rule = pretokenize_find(t->byte_pair ? pre.text : "", t->byte_pair ? pre.size : 0);
    if (!t->rule) /* another rule would give other ids, and worse answers, without a word */
        return error_set(error, LLM_UNSUPPORTED, "tokenizer.ggml.pre '%s' is not supported",
                         error_name(name, pre.text, pre.size));
    t->info.bos = t->byte_pair ? -1 : 1;
    t->info.eos = t->byte_pair ? -1 : 2;
    t->info.unk = t->byte_pair ? -1 : 0;
    t->info.eot = t->info.pad = -1;
    t->info.add_bos = t->byte_pair ? pretokenize_adds_bos(t->rule) : true;
    t->info.add_space_prefix = !t->byte_pair;
    return LLM_OK;
}

static llm_status open_tokenizer(struct tokenizer *t, const struct gguf *gguf,
                                 struct llm_error *error)
{
    TRY(read_model(t, gguf, error));
    TRY(gguf_get_bool(gguf, "tokenizer.ggml.add_bos_token", &t->info.add_bos, error));
    TRY(gguf_get_bool(gguf, "tokenizer.ggml.add_eos_token", &t->info.add_eos, error));
    TRY(gguf_get_bool(gguf, "tokenizer.ggml.add_space_prefix", &t->info.add_space_prefix, error));
    TRY(read_tokens(t, gguf, error));
    if (t->byte_pair) TRY(bpe_texts(t, error));
    TRY(build_index(t, error));
    find_bytes(t);
    if (t->byte_pair) TRY(bpe_merges(t, gguf, error));
    TRY(read_ends(t, gguf, error));
    TRY(collect_specials(t, error));
    TRY(mark_stripping(t, gguf, error));
    t->info.add_bos &= t->info.bos >= 0;
    t->info.add_eos &= t->info.eos >= 0;
    return LLM_OK;
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
    alloc_free(t->alloc, t->specials, t->specials_capacity * sizeof *t->specials);
    alloc_free(t->alloc, t->ends, MAX_ENDS * sizeof *t->ends);
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
    int32_t *grown = alloc_grow(alloc, out->items, &out->capacity, out->n + 1, sizeof *grown);
    if (!grown) return error_memory(error, "token ids", (uint64_t)(out->n + 1) * sizeof *grown);
    out->items = grown;
    out->items[out->n++] = id;
    return LLM_OK;
}

/* The first of specials [low, high), which agree in their first depth bytes, whose next byte is at
 * least byte. */
static size_t lower_bound(const struct special *specials, size_t low, size_t high, size_t depth,
                          int byte)
{
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct special *s = &specials[middle];
        int next = s->size > depth ? (unsigned char)s->text[depth] : -1;
        if (next < byte) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* The longest special token that text begins with, or -1. */
static int32_t special_at(const struct tokenizer *t, const char *text, size_t size, bool special)
{
    unsigned char byte = (unsigned char)text[0];
    size_t low = t->first[byte], high = t->first[byte + 1];
    int32_t found = -1;
    for (size_t depth = 1; low < high; depth++) {
        const struct special *s = &t->specials[low];
        if (s->size == depth && (special || t->tokens[s->id].type == TOKEN_USER_DEFINED))
            found = s->id;
        if (depth == size) break;
        byte = (unsigned char)text[depth];
        low = lower_bound(t->specials, low, high, depth, byte);
        high = lower_bound(t->specials, low, high, depth, byte + 1);
    }
    return found;
}

static llm_status encode_plain(const struct tokenizer *t, struct merger *m, const char *text,
                               size_t size, bool begins, struct ids *out, struct llm_error *error)
{
    if (size == 0) return LLM_OK;
    return t->byte_pair ? bpe_encode(t, m, text, size, out, error)
                        : spm_encode(t, m, text, size, begins, out, error);
}

static llm_status encode(const struct tokenizer *t, struct merger *m, const char *text, size_t size,
                         uint32_t flags, struct ids *out, struct llm_error *error)
{
    size_t begin = 0, at = 0;
    bool special = flags & TOKENIZER_SPECIAL, begins = !(flags & TOKENIZER_CONTINUES);
    while (at < size) {
        int32_t id = special_at(t, text + at, size - at, special);
        if (id < 0) {
            at++;
            continue;
        }
        TRY(encode_plain(t, m, text + begin, at - begin, begins, out, error));
        TRY(tokenizer_push(out, id, m->alloc, error));
        begins = true;
        at += t->tokens[id].size;
        while (t->tokens[id].strips && at < size && strchr(" \t\n\v\f\r", text[at]) && text[at])
            at++;
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
    if (size == 0) return LLM_OK;
    size_t n = out->n;
    struct merger m = {.alloc = alloc};
    llm_status status = encode(t, &m, text, size, flags, out, error);
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
        int value = byte_of_name(token);
        char byte = (char)value;
        return value < 0 ? LLM_OK : append(out, &byte, 1, alloc, error);
    }
    case TOKEN_NORMAL: break;
    default: return LLM_OK;
    }
    if (t->byte_pair) return append(out, token->text, token->size, alloc, error);
    size_t n = out->n;
    TRY(append(out, token->text, token->size, alloc, error));
    size_t to = n;
    for (size_t at = n; at < out->n; to++) { /* U+2581 back to spaces, in place */
        bool is_space = out->n - at >= 3 && memcmp(out->items + at, "\xe2\x96\x81", 3) == 0;
        out->items[to] = is_space ? ' ' : out->items[at];
        at += is_space ? 3 : 1;
    }
    out->n = to;
    return LLM_OK;
}

/* Tokens that are more than text: which begin and end, which are cut out of a text before it is
 * tokenized, and which swallow the white space beside them. */
#include <inttypes.h>
#include <string.h>

#include "tokenizer_impl.h"

/* ---- what names mean ---- */

enum role { EOT, EOM, FIM_PRE, FIM_SUF, FIM_MID, FIM_PAD, FIM_REP, FIM_SEP, N_ROLES, NO_ROLE };
enum { ENDS = 1, IS_TEXT = 2 };

/* clang-format off */
/* As llama.cpp has it (src/llama-vocab.cpp). A role that no key gives goes to the first name. */
static const struct meaning { const char *name; uint8_t role, what; } meanings[] = {
    {"<|eot_id|>", EOT, ENDS},
    {"<|im_end|>", EOT, ENDS},
    {"<|end|>", EOT, ENDS},
    {"<end_of_turn>", EOT, ENDS},
    {"<|endoftext|>", EOT, ENDS},
    {"<|end_of_text|>", EOT, ENDS},
    {"<EOT>", EOT, ENDS},
    {"_<EOT>", EOT, ENDS},
    {"[EOT]", EOT, ENDS},
    {"<\xef\xbd\x9c" "end\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>", EOT, ENDS},
    {"<end_of_utterance>", EOT, ENDS},
    {"<|eom_id|>", EOM, ENDS},
    {"</s>", NO_ROLE, ENDS},
    {"<eos>", NO_ROLE, ENDS},
    {"[EOS]", NO_ROLE, ENDS},
    {"<|return|>", NO_ROLE, ENDS},
    {"<|call|>", NO_ROLE, ENDS},
    {"<|calls|>", NO_ROLE, ENDS},
    {"<|flush|>", NO_ROLE, ENDS},
    {"<turn|>", NO_ROLE, ENDS},
    {"<|tool_response>", NO_ROLE, ENDS},
    {"[e~[", NO_ROLE, ENDS},
    {"<|fim_prefix|>", FIM_PRE, 0},
    {"<fim-prefix>", FIM_PRE, 0},
    {"<fim_prefix>", FIM_PRE, 0},
    {"<\xef\xbd\x9c" "fim\xe2\x96\x81" "begin\xef\xbd\x9c>", FIM_PRE, 0},
    {"<PRE>", FIM_PRE, 0},
    {"\xe2\x96\x81<PRE>", FIM_PRE, 0},
    {"<|code_prefix|>", FIM_PRE, 0},
    {"<|prefix|>", FIM_PRE, 0},
    {"<|fim_suffix|>", FIM_SUF, 0},
    {"<fim-suffix>", FIM_SUF, 0},
    {"<fim_suffix>", FIM_SUF, 0},
    {"<\xef\xbd\x9c" "fim\xe2\x96\x81hole\xef\xbd\x9c>", FIM_SUF, 0},
    {"<SUF>", FIM_SUF, 0},
    {"\xe2\x96\x81<SUF>", FIM_SUF, 0},
    {"<|code_suffix|>", FIM_SUF, 0},
    {"<|suffix|>", FIM_SUF, 0},
    {"<|fim_middle|>", FIM_MID, 0},
    {"<fim-middle>", FIM_MID, 0},
    {"<fim_middle>", FIM_MID, 0},
    {"<\xef\xbd\x9c" "fim\xe2\x96\x81" "end\xef\xbd\x9c>", FIM_MID, 0},
    {"<MID>", FIM_MID, 0},
    {"\xe2\x96\x81<MID>", FIM_MID, 0},
    {"<|code_middle|>", FIM_MID, 0},
    {"<|middle|>", FIM_MID, 0},
    {"<|fim_pad|>", FIM_PAD, 0},
    {"<fim-pad>", FIM_PAD, 0},
    {"<fim_pad>", FIM_PAD, 0},
    {"<PAD>", FIM_PAD, 0},
    {"[PAD]", FIM_PAD, 0},
    {"<|fim_repo|>", FIM_REP, 0},
    {"<|repo_name|>", FIM_REP, 0},
    {"<fim-repo>", FIM_REP, 0},
    {"<REPO>", FIM_REP, 0},
    {"<reponame>", FIM_REP, 0},
    {"<|file_sep|>", FIM_SEP, 0},
    {"<|channel|>", NO_ROLE, IS_TEXT},
    {"<|message|>", NO_ROLE, IS_TEXT},
    {"<|start|>", NO_ROLE, IS_TEXT},
    {"<|constrain|>", NO_ROLE, IS_TEXT},
};

/* Later keys are the newer names. */
static const struct { const char *key; enum role role; } role_keys[] = {
    {"tokenizer.ggml.eot_token_id", EOT},
    {"tokenizer.ggml.eom_token_id", EOM},
    {"tokenizer.ggml.prefix_token_id", FIM_PRE},
    {"tokenizer.ggml.suffix_token_id", FIM_SUF},
    {"tokenizer.ggml.middle_token_id", FIM_MID},
    {"tokenizer.ggml.fim_pre_token_id", FIM_PRE},
    {"tokenizer.ggml.fim_suf_token_id", FIM_SUF},
    {"tokenizer.ggml.fim_mid_token_id", FIM_MID},
    {"tokenizer.ggml.fim_pad_token_id", FIM_PAD},
    {"tokenizer.ggml.fim_rep_token_id", FIM_REP},
    {"tokenizer.ggml.fim_sep_token_id", FIM_SEP},
};
/* clang-format on */
enum { N_MEANINGS = sizeof meanings / sizeof *meanings, MAX_ENDS = N_MEANINGS + N_ROLES + 1 };

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
        if (!token->size || !token->text[0] || !strchr("<[_\xe2", token->text[0])) continue;
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

/* ---- ids ---- */

/* The token that a key names. Missing: *id keeps what it holds, where that is a token. */
static llm_status read_id(const struct tokenizer *t, const struct gguf *gguf, const char *key,
                          int32_t *id, struct llm_error *error)
{
    if (*id >= 0 && (uint32_t)*id >= t->info.n_tokens) *id = -1;
    const struct gguf_value *v = gguf_find(gguf, key);
    if (!v) return LLM_OK;
    if (!tokenizer_is_integer(v->type))
        return error_set(error, LLM_BAD_MODEL, "%s is not an integer", key);
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

static llm_status read_ids(struct tokenizer *t, const struct gguf *gguf, int32_t roles[N_ROLES],
                           struct llm_error *error)
{
    struct tokenizer_info *info = &t->info;
    TRY(read_id(t, gguf, "tokenizer.ggml.cls_token_id", &info->bos, error));
    TRY(read_id(t, gguf, "tokenizer.ggml.bos_token_id", &info->bos, error));
    TRY(read_id(t, gguf, "tokenizer.ggml.eos_token_id", &info->eos, error));
    TRY(read_id(t, gguf, "tokenizer.ggml.seperator_token_id", &info->sep, error)); /* sic */
    /* Many published files name one past the end here, since a padding token was added later:
     * nothing depends on these. */
    if (read_id(t, gguf, "tokenizer.ggml.unknown_token_id", &info->unk, NULL) != LLM_OK)
        info->unk = -1;
    if (read_id(t, gguf, "tokenizer.ggml.padding_token_id", &info->pad, NULL) != LLM_OK)
        info->pad = -1;
    for (int i = 0; i < N_ROLES; i++) roles[i] = -1;
    for (size_t i = 0; i < sizeof role_keys / sizeof *role_keys; i++)
        TRY(read_id(t, gguf, role_keys[i].key, &roles[role_keys[i].role], error));
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

static llm_status read_ends(struct tokenizer *t, const struct gguf *gguf, struct llm_error *error)
{
    int32_t found[N_MEANINGS], roles[N_ROLES];
    TRY(read_ids(t, gguf, roles, error));
    t->ends = alloc_new(t->alloc, MAX_ENDS * sizeof *t->ends);
    if (!t->ends) return error_memory(error, "the end tokens", MAX_ENDS * sizeof *t->ends);
    t->info.ends = t->ends;
    add_end(t, t->info.eos);
    find_meanings(t, found);
    for (size_t i = 0; i < N_MEANINGS; i++) {
        const struct meaning *m = &meanings[i];
        if (found[i] < 0) continue;
        bool takes_role = m->role < N_ROLES && roles[m->role] < 0;
        if (takes_role) roles[m->role] = found[i];
        if (takes_role || m->what & ENDS) t->tokens[found[i]].type = TOKEN_CONTROL;
        if (m->what & IS_TEXT) t->tokens[found[i]].type = TOKEN_USER_DEFINED;
        if (m->what & ENDS) add_end(t, found[i]);
    }
    t->info.eot = roles[EOT];
    static const enum role ending[] = {EOT, EOM, FIM_PAD, FIM_REP, FIM_SEP};
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++) add_end(t, roles[ending[i]]);

    /* Models whose turns are made of several ended messages, and one for which </s> is text. */
    bool calls = found_name(found, "<|call|>") >= 0 || found_name(found, "<|calls|>") >= 0;
    bool returns = found_name(found, "<|return|>") >= 0 || found_name(found, "<|flush|>") >= 0;
    if (calls && returns) remove_end(t, found_name(found, "<|end|>"), TOKEN_USER_DEFINED);
    if (found_name(found, "<|tool_response>") >= 0)
        remove_end(t, found_name(found, "</s>"), TOKEN_NORMAL);
    return LLM_OK;
}

/* ---- tokens that are cut out of texts ---- */

static llm_status collect_specials(struct tokenizer *t, struct llm_error *error)
{
    for (uint32_t id = 0; id < t->info.n_tokens; id++) {
        const struct token *token = &t->tokens[id];
        bool is_defined = token->type == TOKEN_USER_DEFINED;
        if (!is_defined && token->type != TOKEN_CONTROL && token->type != TOKEN_UNKNOWN) continue;
        if (!lexicon_add(&t->specials, token->text, token->size, (int32_t)id, t->alloc) ||
            (is_defined &&
             !lexicon_add(&t->defined, token->text, token->size, (int32_t)id, t->alloc)))
            return error_memory(error, "the special tokens",
                                (t->specials.n + 1) * sizeof *t->specials.entries);
    }
    lexicon_sort(&t->specials);
    lexicon_sort(&t->defined);
    return LLM_OK;
}

/* ---- white space beside them ---- */

/* Files do not say which special tokens swallow white space; llama.cpp goes by these names, too. */
static const struct {
    const char *key, *part; /* where the value has such a part, */
    const char *token;      /* the white space before this token is dropped */
} strips_left[] = {
    {"tokenizer.ggml.pre", "jina-v2-de", "<mask>"},
    {"tokenizer.ggml.pre", "jina-v2-es", "<mask>"},
    {"tokenizer.ggml.pre", "jina-v2-code", "<mask>"},
    {"general.architecture", "nomic-bert-moe", "<mask>"},
    {"general.architecture", "jina-bert-v3", "<mask>"},
    {"general.name", "modern-bert", "[MASK]"},
};

/* Whether a value, in small letters, contains part. */
static llm_status contains(const struct gguf *gguf, const char *key, const char *part, bool *out,
                           struct llm_error *error)
{
    struct gguf_string text = {"", 0};
    size_t n = strlen(part);
    *out = false;
    TRY(gguf_get_string(gguf, key, &text, error));
    for (size_t i = 0; i + n <= text.size && !*out; i++) {
        size_t same = 0;
        for (; same < n; same++) {
            char c = text.text[i + same];
            if (c >= 'A' && c <= 'Z') c = (char)(c + ('a' - 'A'));
            if (c != part[same]) break;
        }
        *out = same == n;
    }
    return LLM_OK;
}

static bool is_named(const struct lexicon_entry *e, const char *name)
{
    return e->size == strlen(name) && memcmp(e->text, name, e->size) == 0;
}

/* Phi-3's special tokens swallow the white space after them, but for these. */
static void strip_right(struct tokenizer *t)
{
    for (size_t i = 0; i < t->specials.n; i++) {
        const struct lexicon_entry *e = &t->specials.entries[i];
        t->tokens[e->id].strips_right =
            !is_named(e, "<unk>") && !is_named(e, "<s>") && !is_named(e, "<|endoftext|>");
    }
}

static llm_status mark_stripping(struct tokenizer *t, const struct gguf *gguf,
                                 struct llm_error *error)
{
    bool is_phi, is_phi3, applies;
    TRY(contains(gguf, "general.name", "phi-3", &is_phi, error));
    TRY(contains(gguf, "general.name", "phi3", &is_phi3, error));
    if (is_phi || is_phi3) strip_right(t);
    for (size_t k = 0; k < sizeof strips_left / sizeof *strips_left; k++) {
        TRY(contains(gguf, strips_left[k].key, strips_left[k].part, &applies, error));
        for (size_t i = 0; applies && i < t->specials.n; i++) {
            const struct lexicon_entry *e = &t->specials.entries[i];
            if (is_named(e, strips_left[k].token)) t->tokens[e->id].strips_left = true;
        }
    }
    return LLM_OK;
}

llm_status special_read(struct tokenizer *t, const struct gguf *gguf, struct llm_error *error)
{
    TRY(read_ends(t, gguf, error));
    TRY(collect_specials(t, error));
    TRY(mark_stripping(t, gguf, error));
    t->info.add_bos &= t->info.bos >= 0;
    t->info.add_eos &= t->info.eos >= 0;
    t->info.add_sep &= t->info.sep >= 0;
    return LLM_OK;
}

void special_free(struct tokenizer *t)
{
    alloc_free(t->alloc, t->ends, MAX_ENDS * sizeof *t->ends);
    lexicon_free(&t->specials, t->alloc);
    lexicon_free(&t->defined, t->alloc);
}

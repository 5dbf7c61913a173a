/* BERT's WordPiece: words between white space, punctuation and ideographs, each made of the longest
 * tokens from the left. In GGUF a token that begins a word begins with U+2581, and what BERT's own
 * list writes as ##ing is written without the signs. */
#include "tokenizer_impl.h"
#include "unicode.h"

/* The ideographs that BERT's tokenizer sets apart; it leaves a hole at U+2B820. */
static bool is_ideograph(uint32_t code)
{
    static const uint32_t ranges[][2] = {
        {0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xf900, 0xfaff},   {0x20000, 0x2a6df},
        {0x2a700, 0x2b73f}, {0x2b740, 0x2b81f}, {0x2b920, 0x2ceaf}, {0x2f800, 0x2fa1f},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (code >= ranges[i][0] && code <= ranges[i][1]) return true;
    return false;
}

llm_status wpm_open(struct tokenizer *t, const struct gguf *gguf, struct llm_error *error)
{
    t->lowercases = true;
    TRY(gguf_get_bool(gguf, "tokenizer.ggml.normalizer.lowercase", &t->lowercases, error));
    t->strips_accents = t->lowercases;
    TRY(gguf_get_bool(gguf, "tokenizer.ggml.normalizer.strip_accents", &t->strips_accents, error));
    return vocab_pieces(t, error);
}

/* The tokens of the word in m->text; one that cannot be made of tokens is unknown as a whole. */
static llm_status encode_word(const struct tokenizer *t, const struct merger *m, struct ids *out,
                              struct llm_error *error)
{
    size_t n = out->n;
    for (size_t at = 0; at < m->text.n;) {
        int32_t id = lexicon_longest(&t->pieces, m->text.items + at, m->text.n - at);
        if (id < 0) {
            out->n = n;
            return tokenizer_push(out, t->info.unk, m->alloc, error);
        }
        TRY(tokenizer_push(out, id, m->alloc, error));
        at += t->tokens[id].size;
    }
    return LLM_OK;
}

static llm_status put_character(struct merger *m, uint32_t code, struct llm_error *error)
{
    char bytes[4];
    size_t n = unicode_encode(code, bytes);
    if ((m->text.n || merger_append(m, ESCAPED_SPACE, 3)) && merger_append(m, bytes, n))
        return LLM_OK;
    return error_memory(error, "a word", m->text.n + n);
}

static llm_status end_word(const struct tokenizer *t, struct merger *m, struct ids *out,
                           struct llm_error *error)
{
    if (m->text.n) TRY(encode_word(t, m, out, error));
    m->text.n = 0;
    return LLM_OK;
}

llm_status wpm_encode(const struct tokenizer *t, struct merger *m, const char *text, size_t size,
                      bool begins, struct ids *out, struct llm_error *error)
{
    (void)begins;
    m->text.n = 0;
    for (size_t at = 0; at < size;) {
        uint32_t code;
        at += unicode_decode(text + at, size - at, &code);
        if (t->strips_accents) code = unicode_base(code);
        enum unicode_class class = unicode_class(code);
        bool is_alone = class == UNICODE_PUNCTUATION || (class == UNICODE_SYMBOL && code < 0x7f) ||
                        is_ideograph(code);
        if (class == UNICODE_SPACE || is_alone) TRY(end_word(t, m, out, error));
        if (class == UNICODE_SPACE || class == UNICODE_OTHER || code == UNICODE_REPLACEMENT ||
            (class == UNICODE_MARK && t->strips_accents))
            continue;
        TRY(put_character(m, t->lowercases ? unicode_lower(code) : code, error));
        if (is_alone) TRY(end_word(t, m, out, error));
    }
    return end_word(t, m, out, error);
}

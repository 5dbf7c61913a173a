/* RWKV's tokenizer: the longest token from the left, of bytes. */
#include "tokenizer_impl.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The character that a backslash and text stand for; returns how much of the text that takes. */
static uint32_t unescape(const char *text, uint32_t size, char *out)
{
    static const char names[] = "tnr", bytes[] = "\t\n\r";
    *out = text[0];
    for (size_t i = 0; i < 3; i++)
        if (text[0] == names[i]) *out = bytes[i];
    if (text[0] != 'x' || size < 3 || hex_digit(text[1]) < 0 || hex_digit(text[2]) < 0) return 1;
    *out = (char)(hex_digit(text[1]) << 4 | hex_digit(text[2]));
    return 3;
}

/* Files hold them as Python writes bytes: \n, \xff, \\. */
llm_status rwkv_texts(struct tokenizer *t, struct llm_error *error)
{
    for (uint32_t id = 0; id < t->info.n_tokens; id++) t->bytes_size += t->tokens[id].size;
    if (t->bytes_size == 0) return LLM_OK;
    t->bytes = alloc_new(t->alloc, t->bytes_size);
    if (!t->bytes) return error_memory(error, "the vocabulary", t->bytes_size);
    char *out = t->bytes;
    for (uint32_t id = 0; id < t->info.n_tokens; id++) {
        struct token *token = &t->tokens[id];
        uint32_t n = 0;
        for (uint32_t at = 0; at < token->size;) {
            char c = token->text[at++];
            if (c == '\\' && at < token->size)
                at += unescape(token->text + at, token->size - at, &c);
            out[n++] = c;
        }
        token->text = out;
        token->size = n;
        out += n;
    }
    return LLM_OK;
}

llm_status rwkv_open(struct tokenizer *t, const struct gguf *gguf, struct llm_error *error)
{
    (void)gguf;
    return vocab_pieces(t, error);
}

llm_status rwkv_encode(const struct tokenizer *t, struct merger *m, const char *text, size_t size,
                       bool begins, struct ids *out, struct llm_error *error)
{
    (void)begins;
    for (size_t at = 0; at < size;) {
        int32_t id = lexicon_longest(&t->pieces, text + at, size - at);
        TRY(tokenizer_push(out, id < 0 ? t->info.unk : id, m->alloc, error));
        at += id < 0 ? 1 : t->tokens[id].size;
    }
    return LLM_OK;
}

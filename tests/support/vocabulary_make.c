#include "vocabulary_make.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 16, TYPE_NORMAL = 1, TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_BYTE = 6 };

/* The i-th of a, b, ..., z, aa, ab, ... */
static void letters(uint32_t i, char out[PIECE])
{
    char reversed[PIECE];
    size_t n = 0;
    for (i++; i > 0; i = (i - 1) / 26) reversed[n++] = (char)('a' + (i - 1) % 26);
    for (size_t k = 0; k < n; k++) out[k] = reversed[n - 1 - k];
    out[n] = 0;
}

static void sentencepiece(struct gguf_write *w, uint32_t n, char (*text)[PIECE],
                          const char **tokens, int32_t *types)
{
    float *scores = calloc(n, sizeof *scores);
    if (!scores) abort();
    for (uint32_t i = 0; i < n; i++) {
        types[i] = i == 0 ? TYPE_UNKNOWN : i < 3 ? TYPE_CONTROL : i < 259 ? TYPE_BYTE : TYPE_NORMAL;
        if (i < 3) strcpy(text[i], ((const char *[]){"<unk>", "<s>", "</s>"})[i]);
        else if (i < 259) snprintf(text[i], PIECE, "<0x%02X>", i - 3);
        else if (i == 259) strcpy(text[i], "\xe2\x96\x81"); /* stands for the space */
        else letters(i - 260, text[i]);
        if (i >= 259) scores[i] = -(float)(i - 259);
    }
    gguf_write_string(w, "tokenizer.ggml.model", "llama");
    gguf_write_strings(w, "tokenizer.ggml.tokens", tokens, n);
    gguf_write_array(w, "tokenizer.ggml.scores", GGUF_F32, scores, n);
    gguf_write_u32(w, "tokenizer.ggml.bos_token_id", 1);
    gguf_write_u32(w, "tokenizer.ggml.eos_token_id", 2);
    gguf_write_u32(w, "tokenizer.ggml.unknown_token_id", 0);
    gguf_write_bool(w, "tokenizer.ggml.add_bos_token", true);
    free(scores);
}

/* GPT-2 writes a byte that is no visible Latin-1 character as the next free code point from 256. */
static uint32_t gpt2_char(uint32_t byte)
{
    uint32_t next = 256;
    for (uint32_t b = 0; b <= byte; b++) {
        bool visible = (b > 32 && b < 127) || (b > 160 && b != 173);
        if (b == byte) return visible ? b : next;
        if (!visible) next++;
    }
    return 0;
}

static void gpt2(struct gguf_write *w, uint32_t n, char (*text)[PIECE], const char **tokens,
                 int32_t *types)
{
    char(*merge)[2 * PIECE] = calloc(n, sizeof *merge);
    const char **merges = calloc(n, sizeof *merges);
    if (!merge || !merges) abort();
    uint32_t n_merges = 0;
    for (uint32_t i = 0; i < n; i++) {
        types[i] = i + 1 == n ? TYPE_CONTROL : TYPE_NORMAL;
        if (i + 1 == n) {
            strcpy(text[i], "<|endoftext|>");
        } else if (i < 256) {
            uint32_t c = gpt2_char(i);
            if (c < 128) snprintf(text[i], PIECE, "%c", (char)c);
            else snprintf(text[i], PIECE, "%c%c", (char)(0xc0 | c >> 6), (char)(0x80 | (c & 63)));
        } else {
            /* All before the last letter is a token that an earlier merge made. */
            letters(26 + i - 256, text[i]);
            size_t end = strlen(text[i]) - 1;
            snprintf(merge[n_merges], sizeof *merge, "%.*s %s", (int)end, text[i], text[i] + end);
            merges[n_merges] = merge[n_merges];
            n_merges++;
        }
    }
    gguf_write_string(w, "tokenizer.ggml.model", "gpt2");
    gguf_write_string(w, "tokenizer.ggml.pre", "gpt-2");
    gguf_write_strings(w, "tokenizer.ggml.tokens", tokens, n);
    gguf_write_strings(w, "tokenizer.ggml.merges", merges, n_merges);
    gguf_write_u32(w, "tokenizer.ggml.bos_token_id", n - 1);
    gguf_write_u32(w, "tokenizer.ggml.eos_token_id", n - 1);
    gguf_write_bool(w, "tokenizer.ggml.add_bos_token", false);
    free(merge);
    free(merges);
}

void model_write_vocabulary(struct gguf_write *w, uint32_t n, bool byte_pair)
{
    char(*text)[PIECE] = calloc(n, sizeof *text);
    const char **tokens = calloc(n, sizeof *tokens);
    int32_t *kinds = calloc(n, sizeof *kinds);
    if (!text || !tokens || !kinds) abort();
    for (uint32_t i = 0; i < n; i++) tokens[i] = text[i];
    (byte_pair ? gpt2 : sentencepiece)(w, n, text, tokens, kinds);
    gguf_write_array(w, "tokenizer.ggml.token_type", GGUF_I32, kinds, n);
    free(text);
    free(tokens);
    free(kinds);
}

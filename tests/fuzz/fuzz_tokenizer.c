/* Vocabularies and texts. An input is lines that describe a vocabulary, an empty line, and the
 * text: gpt2 llama-bpe         model and rule t1name                 a token of type 1; its score
 * is minus its id modulo 8 mleft right            a merge i2eos_token_id         a number, here 2
 *     badd_bos_token         a truth */
#include <stdlib.h>

#include "../support/vocabulary.h"
#include "tokenizer.h"

struct input {
    const char *text;
    size_t size, at;
};

static bool next_line(struct input *in, const char **line, size_t *n)
{
    if (in->at >= in->size) return false;
    *line = in->text + in->at;
    const char *end = memchr(*line, '\n', in->size - in->at);
    *n = end ? (size_t)(end - *line) : in->size - in->at;
    in->at += *n + (end != NULL);
    return *n > 0;
}

static void put_name(char name[64], const char *text, size_t n)
{
    if (n > 63) n = 63;
    if (n) memcpy(name, text, n);
    name[n] = 0;
}

enum array { TOKENS, TYPES, SCORES, MERGES };

static void put_array(struct vocabulary *v, struct input in, enum array array)
{
    static const char *const keys[] = {"tokens", "token_type", "scores", "merges"};
    static const enum gguf_type types[] = {GGUF_STRING, GGUF_I32, GGUF_F32, GGUF_STRING};
    const char *line;
    vocabulary_array(v, keys[array], types[array]);
    for (size_t n; next_line(&in, &line, &n);) {
        if (n < 2 || line[0] != (array == MERGES ? 'm' : 't')) continue;
        float score = -(float)(v->n_items % 8);
        switch (array) {
        case TOKENS: vocabulary_item(v, line + 2, n - 2); continue;
        case MERGES: vocabulary_item(v, line + 1, n - 1); continue;
        case TYPES: vocabulary_put_int(v, (uint64_t)(line[1] - '0'), 4); break;
        case SCORES: vocabulary_put(v, &score, 4); break;
        }
        v->n_items++;
    }
    vocabulary_array_end(v);
}

/* Writes the file and leaves in at the text. */
static void put_file(struct vocabulary *v, struct input *in)
{
    const char *line = "";
    char name[64];
    size_t n = 0;
    vocabulary_begin(v);
    next_line(in, &line, &n);
    size_t model = 0;
    while (model < n && line[model] != ' ') model++;
    put_name(name, line, model);
    vocabulary_string(v, "model", name);
    put_name(name, line + model, n - model);
    vocabulary_string(v, "pre", name + (name[0] == ' '));
    for (enum array array = TOKENS; array <= MERGES; array++) put_array(v, *in, array);
    while (next_line(in, &line, &n)) {
        put_name(name, line + 1 + (line[0] == 'i'), n > 2 ? n - 1 - (line[0] == 'i') : 0);
        if (n > 2 && line[0] == 'i') vocabulary_u32(v, name, (uint32_t)(line[1] - '0'));
        if (n > 2 && line[0] == 'b') vocabulary_bool(v, name, true);
    }
    vocabulary_end(v);
}

static void require(bool what)
{
    if (!what) abort();
}

/* What comes out of byte pairs is what went in, but for bytes that are no tokens and white space
 * after special ones. */
static bool is_part(const struct bytes *out, const char *text, size_t size)
{
    size_t n = 0;
    for (size_t at = 0; at < size && n < out->n; at++) n += text[at] == out->items[n];
    return n == out->n;
}

static void check(const struct tokenizer *t, const char *text, size_t size, bool special,
                  bool byte_pair)
{
    struct ids ids = {0};
    struct bytes bytes = {0};
    require(tokenizer_encode(t, text, size, special, &ids, &alloc_libc, NULL) == LLM_OK);
    for (size_t i = 0; i < ids.n; i++) {
        require(ids.items[i] >= 0 && (uint32_t)ids.items[i] < tokenizer_info(t)->n_tokens);
        require(tokenizer_decode(t, ids.items[i], special, &bytes, &alloc_libc, NULL) == LLM_OK);
    }
    if (byte_pair) require(is_part(&bytes, text, size));
    free(ids.items);
    free(bytes.items);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct vocabulary file;
    struct input in = {(const char *)data, size, 0};
    struct gguf gguf = {0};
    struct tokenizer *t = NULL;
    struct llm_error error = {.size = sizeof error};
    put_file(&file, &in);
    if (gguf_parse(&gguf, file.bytes, file.size, file.size, &alloc_libc, &error) == LLM_OK &&
        tokenizer_create(&t, &gguf, &alloc_libc, &error) == LLM_OK) {
        const struct tokenizer_info *info = tokenizer_info(t);
        for (uint32_t i = 0; i < info->n_ends; i++) require(tokenizer_is_end(t, info->ends[i]));
        bool byte_pair = size > 4 && memcmp(data, "gpt2", 4) == 0;
        check(t, in.text + in.at, size - in.at, true, byte_pair);
        check(t, in.text + in.at, size - in.at, false, byte_pair);
    }
    tokenizer_free(t);
    gguf_free(&gguf);
    return 0;
}

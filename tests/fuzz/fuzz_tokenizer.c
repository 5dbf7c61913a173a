/* Vocabularies and texts. An input is lines that describe a vocabulary, an empty line, and the
 * text: gpt2 llama-bpe         model and rule t1name                 a token of type 1; its score
 * is minus its id modulo 8 mleft right            a merge c...                   the bytes of a map
 * of characters i2eos_token_id         a number, here 2 badd_bos_token         a truth */
#include <stdlib.h>

#include "../support/vocabulary.h"
#include "pretokenize.h"
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

enum array { TOKENS, TYPES, SCORES, MERGES, CHARSMAP };

static void put_array(struct vocabulary *v, struct input in, enum array array)
{
    static const char *const keys[] = {"tokens", "token_type", "scores", "merges",
                                       "precompiled_charsmap"};
    static const enum gguf_type types[] = {GGUF_STRING, GGUF_I32, GGUF_F32, GGUF_STRING, GGUF_U8};
    static const char firsts[] = "tttmc";
    const char *line;
    vocabulary_array(v, keys[array], types[array]);
    for (size_t n; next_line(&in, &line, &n);) {
        if (n < 2 || line[0] != firsts[array]) continue;
        float score = -(float)(v->n_items % 8);
        switch (array) {
        case TOKENS: vocabulary_item(v, line + 2, n - 2); continue;
        case MERGES: vocabulary_item(v, line + 1, n - 1); continue;
        case TYPES: vocabulary_put_int(v, (uint64_t)(line[1] - '0'), 4); break;
        case SCORES: vocabulary_put(v, &score, 4); break;
        case CHARSMAP:
            vocabulary_put(v, line + 1, n - 1);
            v->n_items += n - 1;
            continue;
        }
        v->n_items++;
    }
    vocabulary_array_end(v);
}

/* Whether what comes out is a part of what goes in: tokens stand for bytes. */
static bool is_of_bytes(const char *model, const char *pre)
{
    const struct pretokenizer *rule = pretokenize_find(pre, strlen(pre));
    if (strcmp(model, "gpt2") != 0) return strcmp(model, "rwkv") == 0;
    return rule && !(pretokenize_flags(rule) & PRETOKENIZE_CHARACTERS);
}

/* Writes the file and leaves in at the text. Returns is_of_bytes. */
static bool put_file(struct vocabulary *v, struct input *in)
{
    const char *line = "";
    char name[64], pre[64];
    size_t n = 0;
    vocabulary_begin(v);
    next_line(in, &line, &n);
    size_t model = 0;
    while (model < n && line[model] != ' ') model++;
    put_name(name, line, model);
    vocabulary_string(v, "model", name);
    put_name(pre, line + model + (model < n), n - model - (model < n));
    vocabulary_string(v, "pre", pre);
    bool of_bytes = is_of_bytes(name, pre);
    for (enum array array = TOKENS; array <= CHARSMAP; array++) put_array(v, *in, array);
    while (next_line(in, &line, &n)) {
        put_name(name, line + 1 + (line[0] == 'i'), n > 2 ? n - 1 - (line[0] == 'i') : 0);
        if (n > 2 && line[0] == 'i') vocabulary_u32(v, name, (uint32_t)(line[1] - '0'));
        if (n > 2 && line[0] == 'b') vocabulary_bool(v, name, true);
    }
    vocabulary_end(v);
    return of_bytes;
}

static void require(bool what)
{
    if (!what) abort();
}

/* All but bytes that are no tokens and white space beside special ones. */
static bool is_part(const struct bytes *out, const char *text, size_t size)
{
    size_t n = 0;
    for (size_t at = 0; at < size && n < out->n; at++) n += text[at] == out->items[n];
    return n == out->n;
}

static void check(const struct tokenizer *t, const char *text, size_t size, uint32_t flags,
                  bool of_bytes)
{
    struct ids ids = {0};
    struct bytes bytes = {0};
    bool special = flags & TOKENIZER_SPECIAL;
    require(tokenizer_encode(t, text, size, flags, &ids, &alloc_libc, NULL) == LLM_OK);
    for (size_t i = 0; i < ids.n; i++) {
        require(ids.items[i] >= 0 && (uint32_t)ids.items[i] < tokenizer_info(t)->n_tokens);
        require(tokenizer_decode(t, ids.items[i], special, &bytes, &alloc_libc, NULL) == LLM_OK);
    }
    bool adds = flags & TOKENIZER_WHOLE || tokenizer_info(t)->unk >= 0;
    if (of_bytes && !adds) require(is_part(&bytes, text, size));
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
    bool of_bytes = put_file(&file, &in);
    if (gguf_parse(&gguf, file.bytes, file.size, file.size, &alloc_libc, &error) == LLM_OK &&
        tokenizer_create(&t, &gguf, &alloc_libc, &error) == LLM_OK) {
        const struct tokenizer_info *info = tokenizer_info(t);
        for (uint32_t i = 0; i < info->n_ends; i++) require(tokenizer_is_end(t, info->ends[i]));
        for (uint32_t flags = 0; flags < 8; flags++)
            check(t, in.text + in.at, size - in.at, flags, of_bytes);
    }
    tokenizer_free(t);
    gguf_free(&gguf);
    return 0;
}

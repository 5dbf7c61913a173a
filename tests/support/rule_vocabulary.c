#include "rule_vocabulary.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gguf_write.h"
#include "unicode.h"

/* One name of each row of runtime/pretokenize_rules.c, then other kinds. */
const char *const rule_vocabularies[] = {
    "default",        "gpt-2",       "smollm",
    "llama-bpe",      "dbrx",        "jais-2",
    "qwen2",          "laguna",      "qwen35",
    "minicpm5",       "ufakzeka",    "seed-coder",
    "bailingmoe",     "exaone-moe",  "kimi-k2",
    "tekken",         "gpt-4o",      "granite-embed-multi-97m",
    "tiny_aya",       "youtu",       "superbpe",
    "chameleon",      "falcon",      "deepseek-llm",
    "deepseek-coder", "deepseek-v3", "spark2_5",
    "afmoe",          "bloom",       "viking",
    "gemma4",         "sarvam-moe",  "whitespace",
    "rwkv",           "plamo2",      NULL,
};

enum { N_BYTES = 256, MAX_TOKENS = N_BYTES + N_BYTES * N_BYTES, TEXT_SIZE = 16 };

struct texts {
    char (*tokens)[TEXT_SIZE], (*merges)[TEXT_SIZE];
    int32_t *types;
    float *scores;
    size_t n_tokens, n_merges;
};

static void *take(size_t n, size_t size)
{
    void *block = calloc(n, size);
    if (!block) abort();
    return block;
}

static void put_token(struct texts *t, const char *text, int32_t type)
{
    snprintf(t->tokens[t->n_tokens], TEXT_SIZE, "%s", text);
    t->types[t->n_tokens++] = type;
}

/* A merge of any two of so many first tokens, in an order without system. */
static void put_pairs(struct texts *t, size_t n)
{
    for (size_t i = 0; i < n * n; i++) {
        size_t at = i * 40487 % (n * n); /* a prime: each comes once */
        char text[TEXT_SIZE];
        snprintf(text, sizeof text, "%.6s %.6s", t->tokens[at / n], t->tokens[at % n]);
        memcpy(t->merges[t->n_merges++], text, TEXT_SIZE);
        snprintf(text, sizeof text, "%.6s%.6s", t->tokens[at / n], t->tokens[at % n]);
        put_token(t, text, 1);
    }
}

/* Bytes as GPT-2 writes them. */
static void put_bytes(struct texts *t)
{
    uint32_t other = 0x100;
    for (uint32_t byte = 0; byte < N_BYTES; byte++) {
        bool prints = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad);
        char text[5] = "";
        unicode_encode(prints ? byte : other++, text);
        put_token(t, text, 1);
    }
    put_pairs(t, N_BYTES);
}

/* All bytes as in <0x0A>. */
static void put_names(struct texts *t)
{
    for (unsigned byte = 0; byte < N_BYTES; byte++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", byte);
        put_token(t, text, 6);
    }
}

/* Characters of many kinds, then all bytes by name. */
static void put_characters(struct texts *t)
{
    static const uint32_t ranges[][2] = {{0x2581, 0x2581}, {0x21, 0x7e},      {0xe0, 0xef},
                                         {0x430, 0x43f},   {0x4e2d, 0x4e2f},  {0x3042, 0x304f},
                                         {0xd55c, 0xd55c}, {0x1f600, 0x1f600}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        for (uint32_t code = ranges[i][0]; code <= ranges[i][1]; code++) {
            char text[5] = "";
            unicode_encode(code, text);
            put_token(t, text, 1);
        }
    }
    put_pairs(t, t->n_tokens);
    put_token(t, "\n", 1);
    put_token(t, "\n\n", 1);
    put_names(t);
}

/* Bytes as Python writes them, and words. */
static void put_escaped(struct texts *t)
{
    static const char *const words[] = {"the",        " the", "  ",    "\\n\\n", " \\n",
                                        "\\xe4\\xb8", "abc",  "12",    "123",    "ing",
                                        "Hell",       "Hel",  "world", "\\'s"};
    for (unsigned byte = 0; byte < N_BYTES; byte++) {
        char text[8];
        snprintf(text, sizeof text, "\\x%02x", byte);
        put_token(t, text, 1);
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) put_token(t, words[i], 1);
}

/* Words and letters with scores, and all bytes by name. What scores best is not what is longest. */
static void put_scored(struct texts *t)
{
    static const char *const words[] = {
        "the",
        "t",
        "h",
        "th",
        "he",
        "e",
        "o",
        "l",
        "ll",
        "lo",
        "Hello",
        "hel",
        "wo",
        "world",
        "w",
        "r",
        "d",
        " ",
        "  ",
        " w",
        "i",
        "ng",
        "ing",
        "in",
        "n",
        "1",
        "12",
        "23",
        "123",
        ".",
        ",",
        "!",
        "a",
        "A",
        "AB",
        "BC",
        "\xe4\xb8\xad",
        "\xe6\x96\x87",
        "\xe4\xb8\xad\xe6\x96\x87",
        "\xc3\xa9",
        "\n",
        "\n\n",
    };
    static const char *const controls[] = {"<|unk|>", "<|bos|>", "<|eos|>", "<|pad|>"};
    for (size_t i = 0; i < sizeof controls / sizeof *controls; i++) put_token(t, controls[i], 3);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        t->scores[t->n_tokens] = -(float)(i * 7 % 11) - (float)(i % 3) / 4;
        put_token(t, words[i], 1);
    }
    put_names(t);
}

static void write_list(struct gguf_write *w, const char *key, char (*texts)[TEXT_SIZE], size_t n)
{
    const char **list = take(n + 1, sizeof *list);
    for (size_t i = 0; i < n; i++) list[i] = texts[i];
    gguf_write_strings(w, key, list, n);
    free(list);
}

/* Those that are not of bytes; some are kinds of tokenizers with their own names. */
static const struct {
    const char *name;
    void (*put)(struct texts *t);
    bool is_kind;
} others[] = {
    {"gemma4", put_characters, true},     {"sarvam-moe", put_characters, false},
    {"whitespace", put_characters, true}, {"rwkv", put_escaped, true},
    {"plamo2", put_scored, true},
};

uint8_t *rule_vocabulary(const char *name, size_t *size)
{
    struct texts t = {.tokens = take(MAX_TOKENS, TEXT_SIZE),
                      .merges = take(MAX_TOKENS, TEXT_SIZE),
                      .types = take(MAX_TOKENS, sizeof *t.types),
                      .scores = take(MAX_TOKENS, sizeof *t.scores)};
    void (*put)(struct texts * t) = put_bytes;
    bool is_kind = false;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (strcmp(name, others[i].name) != 0) continue;
        put = others[i].put;
        is_kind = others[i].is_kind;
    }
    put(&t);

    struct gguf_write w = {0};
    gguf_write_string(&w, "general.architecture", "llama");
    gguf_write_string(&w, "tokenizer.ggml.model", is_kind ? name : "gpt2");
    gguf_write_string(&w, "tokenizer.ggml.pre", name);
    gguf_write_u32(&w, "tokenizer.ggml.bos_token_id", 0);
    gguf_write_u32(&w, "tokenizer.ggml.eos_token_id", 1);
    write_list(&w, "tokenizer.ggml.tokens", t.tokens, t.n_tokens);
    gguf_write_array(&w, "tokenizer.ggml.token_type", GGUF_I32, t.types, t.n_tokens);
    gguf_write_array(&w, "tokenizer.ggml.scores", GGUF_F32, t.scores, t.n_tokens);
    write_list(&w, "tokenizer.ggml.merges", t.merges, t.n_merges);
    free(t.tokens);
    free(t.merges);
    free(t.types);
    free(t.scores);
    return gguf_write_finish(&w, size);
}

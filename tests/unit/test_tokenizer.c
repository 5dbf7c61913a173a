#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../support/vocabulary.h"
#include "tokenizer.h"
#include "unicode.h"

static struct vocabulary file;

/* ---- helpers --------------------------------------------------------------------------------- */

/* Counts what is allocated; after so many allocations there is no more. */
struct budget {
    long left;
    size_t size;
};

static void *budget_realloc(void *user, void *ptr, size_t old_size, size_t new_size)
{
    struct budget *b = user;
    if (new_size && b->left-- <= 0) return NULL;
    void *p = alloc_libc.realloc(NULL, ptr, old_size, new_size);
    b->size += new_size - old_size;
    return p;
}

struct opened {
    struct gguf gguf;
    struct tokenizer *t;
};

static llm_status open_bytes(struct opened *o, const void *bytes, size_t size,
                             struct llm_error *error)
{
    memset(o, 0, sizeof *o);
    llm_status status = gguf_parse(&o->gguf, bytes, size, size, &alloc_libc, error);
    if (status != LLM_OK) return status;
    return tokenizer_create(&o->t, &o->gguf, &alloc_libc, error);
}

static void close_opened(struct opened *o)
{
    tokenizer_free(o->t);
    gguf_free(&o->gguf);
}

static void open_file(struct opened *o)
{
    struct llm_error error = {.size = sizeof error};
    vocabulary_end(&file);
    if (open_bytes(o, file.bytes, file.size, &error) != LLM_OK) fail_msg("%s", error.message);
}

/* Checks the ids of a text, written in decimal with spaces between. */
static void check_ids(const struct tokenizer *t, const char *text, size_t size, bool special,
                      const char *want)
{
    struct ids ids = {0};
    struct llm_error error = {.size = sizeof error};
    if (tokenizer_encode(t, text, size, special, &ids, &alloc_libc, &error) != LLM_OK)
        fail_msg("%s", error.message);
    char *got = malloc(12 * ids.n + 1), *at = got;
    assert_non_null(got);
    *got = 0;
    for (size_t i = 0; i < ids.n; i++) at += sprintf(at, i ? " %d" : "%d", (int)ids.items[i]);
    if (strcmp(got, want) != 0) fail_msg("'%.*s': ids %s, not %s", (int)size, text, got, want);
    free(got);
    free(ids.items);
}

static void check(const struct tokenizer *t, const char *text, bool special, const char *want)
{
    check_ids(t, text, strlen(text), special, want);
}

/* Whether the text of its ids is the text, but for a leading space that was put there. */
static bool comes_back(const struct tokenizer *t, const char *text, size_t size)
{
    struct ids ids = {0};
    struct bytes out = {0};
    struct llm_error error = {.size = sizeof error};
    if (tokenizer_encode(t, text, size, false, &ids, &alloc_libc, &error) != LLM_OK)
        fail_msg("%s", error.message);
    for (size_t i = 0; i < ids.n; i++)
        assert_int_equal(tokenizer_decode(t, ids.items[i], false, &out, &alloc_libc, &error),
                         LLM_OK);
    size_t skip = size && tokenizer_info(t)->add_space_prefix;
    bool same = out.n == size + skip && (size == 0 || memcmp(out.items + skip, text, size) == 0);
    free(ids.items);
    free(out.items);
    return same;
}

static void check_decode(const struct tokenizer *t, int32_t id, bool special, const char *want)
{
    struct bytes out = {0};
    assert_int_equal(tokenizer_decode(t, id, special, &out, &alloc_libc, NULL), LLM_OK);
    assert_int_equal(out.n, strlen(want));
    if (out.n) assert_memory_equal(out.items, want, out.n);
    free(out.items);
}

static char *read_file(const char *name, size_t *size)
{
    char path[512];
    snprintf(path, sizeof path, "%s/vocab/%s", TEST_DATA, name);
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s cannot be opened", path);
    fseek(f, 0, SEEK_END);
    *size = (size_t)ftell(f);
    rewind(f);
    char *bytes = malloc(*size + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *size, f), *size);
    bytes[*size] = 0;
    fclose(f);
    return bytes;
}

/* ---- published vocabularies ------------------------------------------------------------------ */

static void published(const char *name, const char *ends, bool add_bos, int32_t bos)
{
    char path[64];
    size_t size, n_texts = 0;
    struct opened o;
    struct llm_error error = {.size = sizeof error};
    snprintf(path, sizeof path, "%s.gguf", name);
    char *bytes = read_file(path, &size);
    if (open_bytes(&o, bytes, size, &error) != LLM_OK) fail_msg("%s", error.message);
    snprintf(path, sizeof path, "%s.gguf.inp", name);
    char *texts = read_file(path, &size);
    snprintf(path, sizeof path, "%s.gguf.out", name);
    char *ids = read_file(path, &size), *line = ids;
    static const char separator[] = "\n__ggml_vocab_test__\n";
    for (char *text = texts, *end; (end = strstr(text, separator));
         text = end + sizeof separator - 1) {
        char *next = strchr(line, '\n'), *last = next;
        assert_non_null(next);
        while (last > line && last[-1] == ' ') last--;
        *last = 0;
        check_ids(o.t, text, (size_t)(end - text), false, line + strspn(line, " "));
        line = next + 1;
        n_texts++;
    }
    assert_int_equal(n_texts, 46);
    assert_int_equal(*line, 0);

    const struct tokenizer_info *info = tokenizer_info(o.t);
    char got[128] = "";
    for (uint32_t i = 0; i < info->n_ends; i++) {
        snprintf(got + strlen(got), sizeof got - strlen(got), i ? " %d" : "%d", (int)info->ends[i]);
        assert_true(tokenizer_is_end(o.t, info->ends[i]));
    }
    assert_string_equal(got, ends);
    assert_int_equal(info->add_bos, add_bos);
    assert_int_equal(info->bos, bos);
    assert_false(info->add_eos);
    assert_false(tokenizer_is_end(o.t, 100));
    close_opened(&o);
    free(bytes);
    free(texts);
    free(ids);
}

static void published_gpt2(void **state)
{
    (void)state;
    published("gpt-2", "50256", false, 50256);
}

static void published_starcoder(void **state)
{
    (void)state;
    published("starcoder", "0 4", false, 0);
}

static void published_llama(void **state)
{
    (void)state;
    published("llama-spm", "2", true, 1);
}

/* Random characters of every length, bytes that are none among them. */
static size_t random_text(uint32_t *seed, char *out, size_t n_characters)
{
    size_t n = 0;
    for (size_t i = 0; i < n_characters; i++) {
        *seed = *seed * 1664525u + 1013904223u;
        uint32_t r = *seed >> 8, kind = r % 16;
        uint32_t code = kind < 7    ? 32 + r / 16 % 95
                        : kind < 10 ? r / 16 % 0x800
                        : kind < 13 ? r / 16 % 0x10000
                                    : r / 16 % 0x110000;
        if (kind == 0) code = 9 + r / 16 % 5;
        if (kind == 15) out[n++] = (char)(r / 16);
        else n += unicode_encode(code, out + n);
    }
    return n;
}

static void random_texts_come_back(void **state)
{
    (void)state;
    static const char *const names[] = {"gpt-2.gguf", "llama-spm.gguf"};
    for (int k = 0; k < 2; k++) {
        size_t size;
        struct opened o;
        char *bytes = read_file(names[k], &size), text[4 * 64];
        assert_int_equal(open_bytes(&o, bytes, size, NULL), LLM_OK);
        uint32_t seed = 7;
        for (int i = 0; i < 2000; i++) {
            uint32_t before = seed;
            size_t n = random_text(&seed, text, (size_t)i % 64);
            if (!comes_back(o.t, text, n)) fail_msg("%s: text of seed %u", names[k], before);
        }
        close_opened(&o);
        free(bytes);
    }
}

/* A quadratic merge of a megabyte takes hours. */
static void a_megabyte_is_quick(void **state)
{
    (void)state;
    static const char *const names[] = {"gpt-2.gguf", "llama-spm.gguf"};
    static const char *const units[] = {
        "a", " ", "The quick brown fox, 12 lazy dogs. ", "\xe6\xbc\xa2", "\xff", "a\n  ", "'"};
    enum { SIZE = 1 << 20 };
    char *text = malloc(SIZE);
    assert_non_null(text);
    for (int k = 0; k < 2; k++) {
        size_t size;
        struct opened o;
        char *bytes = read_file(names[k], &size);
        assert_int_equal(open_bytes(&o, bytes, size, NULL), LLM_OK);
        for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
            size_t length = strlen(units[u]);
            for (size_t i = 0; i < SIZE; i++) text[i] = units[u][i % length];
            clock_t begin = clock();
            assert_true(comes_back(o.t, text, SIZE));
            assert_true((clock() - begin) / CLOCKS_PER_SEC < 60);
        }
        close_opened(&o);
        free(bytes);
    }
    free(text);
}

/* ---- small vocabularies ---------------------------------------------------------------------- */

struct line {
    const char *text;
    int32_t type;
    float score;
};

static void put_tokens(const struct line *lines, size_t n, bool scores)
{
    vocabulary_array(&file, "tokens", GGUF_STRING);
    for (size_t i = 0; i < n; i++) vocabulary_item(&file, lines[i].text, strlen(lines[i].text));
    vocabulary_array_end(&file);
    vocabulary_array(&file, "token_type", GGUF_I32);
    for (size_t i = 0; i < n; i++, file.n_items++)
        vocabulary_put_int(&file, (uint64_t)lines[i].type, 4);
    vocabulary_array_end(&file);
    if (!scores) return;
    vocabulary_array(&file, "scores", GGUF_F32);
    for (size_t i = 0; i < n; i++, file.n_items++) vocabulary_put(&file, &lines[i].score, 4);
    vocabulary_array_end(&file);
}

static const struct line bpe_lines[] = {
    {"a", 1, 0},
    {"b", 1, 0},
    {"c", 1, 0},
    {"\xc4\xa0", 1, 0},
    {"ab", 1, 0},
    {"bc", 1, 0},
    {"abc", 1, 0},
    {"\xc4\xa0"
     "a",
     1, 0},
    {"<|im_end|>", 1, 0},
    {"<x>", 3, 0},
    {"<x><y>", 3, 0},
    {"ca", 4, 0},
    {"\xc3\x83", 1, 0},
    {"\xc2\xa9", 1, 0},
    {"\xc3\x83\xc2\xa9", 1, 0},
    {"aa", 1, 0},
    {"", 1, 0},
    {"ab", 1, 0},
    {"<", 1, 0},
    {"x", 1, 0},
    {"\xe4\xb8\xad", 1, 0},
};
static const char *const bpe_merges[] = {
    "b c", "a b", "ab c", "\xc4\xa0 a", "a bc", "\xc3\x83 \xc2\xa9", "a a", "a zz", "zz", "",
    " ",   "a ",  " a",   "c b",        "b c",
};

static void put_bpe(const char *pre)
{
    vocabulary_begin(&file);
    vocabulary_string(&file, "model", "gpt2");
    if (pre) vocabulary_string(&file, "pre", pre);
    put_tokens(bpe_lines, sizeof bpe_lines / sizeof *bpe_lines, false);
    vocabulary_array(&file, "merges", GGUF_STRING);
    for (size_t i = 0; i < sizeof bpe_merges / sizeof *bpe_merges; i++)
        vocabulary_item(&file, bpe_merges[i], strlen(bpe_merges[i]));
    vocabulary_array_end(&file);
}

static void byte_pairs(void **state)
{
    (void)state;
    struct opened o;
    put_bpe("gpt-2");
    open_file(&o);
    check(o.t, "", true, "");
    check(o.t, "abc", true, "6");         /* b c first, then a bc */
    check(o.t, "aab", true, "0 4");       /* a b ranks before a a */
    check(o.t, "aaaaa", true, "15 15 0"); /* leftmost first */
    check(o.t, "a a", true, "0 7");
    check(o.t, "\xc3\xa9", true, "14");
    check(o.t, "\xc3", true, "12"); /* a byte that is no character */
    check(o.t, "azb", true, "0 1"); /* no token has that byte */
    check(o.t, "a<x>b", true, "0 9 1");
    check(o.t, "a<x>b", false, "0 18 19 1");
    check(o.t, "<x><y><x>", true, "10 9"); /* the longest */
    check(o.t, "<x><y", true, "9 18");
    check(o.t, "bcab", false, "1 11 1"); /* user-defined ones always, before any merge */
    check(o.t, "<|im_end|>", true, "8"); /* a customary name, whatever its type */
    check(o.t, "<|im_end|>", false, "18");

    check_decode(o.t, 7, false, " a");
    check_decode(o.t, 14, false, "\xc3\xa9");
    check_decode(o.t, 12, false, "\xc3");
    check_decode(o.t, 9, false, "");
    check_decode(o.t, 9, true, "<x>");
    check_decode(o.t, 11, false, "ca");
    check_decode(o.t, 16, true, "");
    check_decode(o.t, 20, false, "\xe4\xb8\xad"); /* stands for no byte */
    struct llm_error error = {.size = sizeof error};
    assert_int_equal(tokenizer_decode(o.t, 21, false, &(struct bytes){0}, &alloc_libc, &error),
                     LLM_BAD_ARGUMENT);
    assert_non_null(strstr(error.message, "21"));
    assert_int_equal(tokenizer_decode(o.t, -1, false, &(struct bytes){0}, &alloc_libc, &error),
                     LLM_BAD_ARGUMENT);

    const struct tokenizer_info *info = tokenizer_info(o.t);
    assert_int_equal(info->n_tokens, 21);
    assert_int_equal(info->bos, -1);
    assert_int_equal(info->eot, 8);
    assert_int_equal(info->n_ends, 1);
    assert_false(info->add_bos || info->add_eos || info->add_space_prefix);
    assert_false(tokenizer_is_end(o.t, -1));
    close_opened(&o);
}

static void ids_are_appended(void **state)
{
    (void)state;
    struct opened o;
    put_bpe(NULL);
    open_file(&o);
    struct ids ids = {0};
    for (int i = 0; i < 3; i++)
        assert_int_equal(tokenizer_encode(o.t, "abc", 3, false, &ids, &alloc_libc, NULL), LLM_OK);
    assert_int_equal(ids.n, 3);
    assert_int_equal(ids.items[2], 6);
    free(ids.items);
    close_opened(&o);
}

static void whole_words_need_no_merges(void **state)
{
    (void)state;
    static const struct line lines[] = {{"a", 1, 0}, {"b", 1, 0}, {"ab", 1, 0}, {"aba", 3, 0}};
    static const char *const pres[] = {"gpt-2", "llama-bpe"};
    for (int i = 0; i < 2; i++) {
        struct opened o;
        vocabulary_begin(&file);
        vocabulary_string(&file, "model", "gpt2");
        vocabulary_string(&file, "pre", pres[i]);
        vocabulary_u32(&file, "bos_token_id", 3);
        put_tokens(lines, 4, false);
        vocabulary_array(&file, "merges", GGUF_STRING);
        vocabulary_array_end(&file);
        open_file(&o);
        check(o.t, "ab", false, i ? "2" : "0 1");
        check(o.t, "aba", false, "0 1 0"); /* but a control token is no word */
        assert_int_equal(tokenizer_info(o.t)->add_bos, i == 1);
        close_opened(&o);
    }
}

static const struct line spm_lines[] = {
    {"<unk>", 2, 0},
    {"<s>", 3, 0},
    {"</s>", 3, 0},
    {"<0x0A>", 6, 0},
    {"<0xE4>", 6, 0},
    {"a", 1, -10},
    {"b", 1, -10},
    {"\xe2\x96\x81", 1, -10},
    {"ab", 1, -2},
    {"ba", 1, -1},
    {"aba", 1, -3},
    {"\xe2\x96\x81"
     "a",
     1, -4},
    {"c", 1, -10},
    {"cc", 1, -5},
    {"  ", 4, 0},
    {"unused", 5, 0},
    {"<", 1, -10},
    {"s", 1, -10},
    {"<s", 1, -1},
    {">", 1, -10},
};

static void put_spm(void)
{
    vocabulary_begin(&file);
    vocabulary_string(&file, "model", "llama");
    put_tokens(spm_lines, sizeof spm_lines / sizeof *spm_lines, true);
}

static void sentence_pieces(void **state)
{
    (void)state;
    struct opened o;
    put_spm();
    open_file(&o);
    check(o.t, "", true, "");
    check(o.t, "a", true, "11");
    check(o.t, "bab", true, "7 9 6");      /* the highest score: ba */
    check(o.t, "ccc", true, "7 13 12");    /* leftmost first */
    check(o.t, "b aba", true, "7 6 7 10"); /* ba before ab, then a and ba */
    check(o.t, "\n", true, "7 3");
    check(o.t, "\xe4", true, "7 4");
    check(o.t, "\xe4\xb8\xad", true, "7 4 0 0"); /* bytes without a token are unknown */
    check(o.t, "<s>a</s>b", true, "1 11 2 7 6"); /* a space after each special token */
    check(o.t, "<s>", false, "7 18 19");         /* names in plain text are text */
    check(o.t, "a  a", true, "11 14 11");        /* two spaces are user-defined */
    check_decode(o.t, 11, false, " a");
    check_decode(o.t, 3, false, "\n");
    check_decode(o.t, 0, false, "");
    check_decode(o.t, 1, true, "<s>");
    check_decode(o.t, 14, false, "  ");
    const struct tokenizer_info *info = tokenizer_info(o.t);
    assert_true(info->add_bos && info->add_space_prefix && !info->add_eos);
    assert_int_equal(info->bos, 1);
    assert_int_equal(info->eos, 2);
    assert_int_equal(info->unk, 0);
    assert_int_equal(info->pad, -1);
    close_opened(&o);

    put_spm();
    vocabulary_bool(&file, "add_space_prefix", false);
    vocabulary_bool(&file, "add_bos_token", false);
    vocabulary_bool(&file, "add_eos_token", true);
    open_file(&o);
    check(o.t, "a a", true, "5 11");
    assert_true(!tokenizer_info(o.t)->add_bos && tokenizer_info(o.t)->add_eos);
    close_opened(&o);
}

static void ends_by_name(void **state)
{
    (void)state;
    static const struct line lines[] = {
        {"<|endoftext|>", 3, 0}, {"<|end|>", 3, 0}, {"<|eot_id|>", 3, 0},
        {"<|eom_id|>", 3, 0},    {"a", 1, 0},       {"<|return|>", 3, 0},
        {"<|call|>", 3, 0},      {"stop", 1, 0},    {"<|start|>", 3, 0},
    };
    struct opened o;
    vocabulary_begin(&file);
    vocabulary_string(&file, "model", "llama");
    vocabulary_u32(&file, "eos_token_id", 7);
    vocabulary_u32(&file, "padding_token_id", 4000); /* past the end, as in many files: none */
    vocabulary_u32(&file, "eot_token_id", 0xffffffff);
    put_tokens(lines, sizeof lines / sizeof *lines, false);
    open_file(&o);
    static const bool want[] = {true, false, true, true, false,
                                true, true,  true, false}; /* <|end|> ends no turn here */
    for (int32_t i = 0; i < 9; i++) assert_int_equal(tokenizer_is_end(o.t, i), want[i]);
    assert_int_equal(tokenizer_info(o.t)->n_ends, 6);
    assert_int_equal(tokenizer_info(o.t)->eot, 2);
    assert_int_equal(tokenizer_info(o.t)->pad, -1);
    check_decode(o.t, 8, false, "<|start|>");
    close_opened(&o);
}

/* ---- bad files ------------------------------------------------------------------------------- */

static void refuse(llm_status want, const char *word)
{
    struct opened o;
    struct llm_error error = {.size = sizeof error};
    vocabulary_end(&file);
    llm_status status = open_bytes(&o, file.bytes, file.size, &error);
    if (status != want) fail_msg("status %d, not %d", status, want);
    assert_null(o.t);
    if (!strstr(error.message, word)) fail_msg("'%s' lacks '%s'", error.message, word);
    close_opened(&o);
}

static void begin(const char *model)
{
    vocabulary_begin(&file);
    vocabulary_string(&file, "model", model);
}

static void bad_files(void **state)
{
    (void)state;
    static const struct line one[] = {{"a", 1, 0}, {"b", 1, 0}};
    vocabulary_begin(&file);
    put_tokens(one, 2, false);
    refuse(LLM_BAD_MODEL, "tokenizer.ggml.model");

    begin("bert");
    put_tokens(one, 2, false);
    refuse(LLM_UNSUPPORTED, "bert");

    begin("llama");
    refuse(LLM_BAD_MODEL, "tokenizer.ggml.tokens");

    begin("llama");
    vocabulary_array(&file, "tokens", GGUF_STRING);
    vocabulary_array_end(&file);
    refuse(LLM_BAD_MODEL, "0 tokens");

    begin("llama");
    vocabulary_array(&file, "tokens", GGUF_U32);
    file.n_items = 1;
    vocabulary_put_int(&file, 1, 4);
    vocabulary_array_end(&file);
    refuse(LLM_BAD_MODEL, "strings");

    begin("llama");
    vocabulary_string(&file, "tokens", "a");
    refuse(LLM_BAD_MODEL, "strings");

    begin("llama");
    put_tokens(one, 2, false);
    vocabulary_array(&file, "scores", GGUF_F32);
    file.n_items = 1;
    vocabulary_put_int(&file, 0, 4);
    vocabulary_array_end(&file);
    refuse(LLM_BAD_MODEL, "1 items for 2");

    begin("llama");
    put_tokens(one, 2, false);
    vocabulary_array(&file, "scores", GGUF_STRING);
    vocabulary_item(&file, "x", 1);
    vocabulary_item(&file, "y", 1);
    vocabulary_array_end(&file);
    refuse(LLM_BAD_MODEL, "scores");

    begin("llama");
    put_tokens(one, 2, false);
    vocabulary_u32(&file, "eos_token_id", 2);
    refuse(LLM_BAD_MODEL, "eos_token_id is 2");

    begin("llama");
    put_tokens(one, 2, false);
    vocabulary_string(&file, "bos_token_id", "a");
    refuse(LLM_BAD_MODEL, "bos_token_id");

    begin("llama");
    put_tokens(one, 2, false);
    vocabulary_string(&file, "add_bos_token", "a");
    refuse(LLM_BAD_MODEL, "add_bos_token");

    begin("gpt2");
    put_tokens(one, 2, false);
    refuse(LLM_BAD_MODEL, "merges");

    begin("gpt2");
    put_tokens(one, 2, false);
    vocabulary_u32(&file, "merges", 3);
    refuse(LLM_BAD_MODEL, "merges");
}

/* Nothing that can be tokenized, but nothing to refuse either. */
static void odd_vocabularies(void **state)
{
    (void)state;
    static const struct line empty[] = {{"", 1, 0}, {"", 3, 0},  {"", 4, 0},
                                        {"", 6, 0}, {"", -7, 0}, {"", 99, 0}};
    static const char *const models[] = {"llama", "gpt2"};
    for (int i = 0; i < 2; i++) {
        struct opened o;
        begin(models[i]);
        put_tokens(empty, 6, true);
        vocabulary_array(&file, "merges", GGUF_STRING);
        vocabulary_array_end(&file);
        vocabulary_u32(&file, "unknown_token_id", 0xffffffff);
        open_file(&o);
        check(o.t, "any text", true, "");
        for (int32_t id = 0; id < 6; id++) check_decode(o.t, id, true, "");
        close_opened(&o);
    }
    struct line nan[] = {{"a", 1, 0}, {"b", 1, 0}, {"ab", 1, 0}, {"c", 1, 0}};
    static const uint32_t bits = 0x7fc00000;
    memcpy(&nan[2].score, &bits, 4);
    struct opened o;
    begin("llama");
    put_tokens(nan, 4, true);
    vocabulary_bool(&file, "add_space_prefix", false);
    open_file(&o);
    check(o.t, "ab", true, "2");
    close_opened(&o);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* The n-th allocation fails, for every n, until the call succeeds; nothing is left then. */
static void every_allocation_may_fail(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        if (kind) put_spm();
        else put_bpe("default");
        vocabulary_end(&file);
        struct gguf gguf = {0};
        assert_int_equal(gguf_parse(&gguf, file.bytes, file.size, file.size, &alloc_libc, NULL),
                         LLM_OK);
        struct budget budget = {0, 0};
        const struct alloc alloc = {budget_realloc, &budget};
        struct llm_error error = {.size = sizeof error};
        llm_status status = LLM_OUT_OF_MEMORY;
        long n = 0;
        for (; status != LLM_OK; n++) {
            assert_int_equal(status, LLM_OUT_OF_MEMORY);
            struct tokenizer *t = NULL;
            struct ids ids = {0};
            struct bytes bytes = {0};
            budget.left = n;
            status = tokenizer_create(&t, &gguf, &alloc, &error);
            if (status == LLM_OK) {
                status =
                    tokenizer_encode(t, "<s>a b ab\nabcabca <x>", 20, true, &ids, &alloc, &error);
                if (status != LLM_OK) assert_int_equal(ids.n, 0);
            }
            for (size_t i = 0; status == LLM_OK && i < ids.n; i++)
                status = tokenizer_decode(t, ids.items[i], true, &bytes, &alloc, &error);
            alloc_free(&alloc, ids.items, ids.capacity * sizeof *ids.items);
            alloc_free(&alloc, bytes.items, bytes.capacity);
            tokenizer_free(t);
            assert_int_equal(budget.size, 0);
        }
        assert_true(n > 10);
        gguf_free(&gguf);
    }
    tokenizer_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_gpt2),
        cmocka_unit_test(published_starcoder),
        cmocka_unit_test(published_llama),
        cmocka_unit_test(random_texts_come_back),
        cmocka_unit_test(a_megabyte_is_quick),
        cmocka_unit_test(byte_pairs),
        cmocka_unit_test(ids_are_appended),
        cmocka_unit_test(whole_words_need_no_merges),
        cmocka_unit_test(sentence_pieces),
        cmocka_unit_test(ends_by_name),
        cmocka_unit_test(bad_files),
        cmocka_unit_test(odd_vocabularies),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

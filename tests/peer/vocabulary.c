/* What tests/peer/vocabulary.sh needs besides llama.cpp:
 *   vocabulary texts FILE N             writes texts: the size of each in 4 bytes, then its bytes
 *   vocabulary rules FOLDER             writes a vocabulary for each pre-tokenizer, prints their
 * names vocabulary ids FILE.gguf TEXTS OUT  writes our ids, a line a text vocabulary hashes IDS
 * prints hashes of such lines, one for every HASHED_TEXTS
 * and what made two files of tests/data/vocab smaller:
 *   vocabulary trim FILE.gguf OUT N     keeps the first N tokens
 *   vocabulary merges FILE.gguf TEXTS OUT  keeps the merges that the bytes of TEXTS can ask for */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gguf_write.h"
#include "hashed_ids.h"
#include "random_text.h"
#include "rule_vocabulary.h"
#include "tokenizer.h"

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    return 1;
}

static int write_texts(const char *path, uint64_t n)
{
    FILE *f = fopen(path, "wb");
    if (!f) return fail(path, "cannot be written");
    for (uint64_t i = 0; i < n; i++) {
        char text[RANDOM_TEXT_SIZE];
        size_t size = random_text(i, text);
        uint8_t head[4] = {(uint8_t)size, (uint8_t)(size >> 8), 0, 0};
        fwrite(head, 1, 4, f);
        fwrite(text, 1, size, f);
    }
    return fclose(f) ? fail(path, "cannot be written") : 0;
}

static int write_rules(const char *folder)
{
    for (size_t i = 0; rule_vocabularies[i]; i++) {
        char path[1024];
        size_t size;
        uint8_t *bytes = rule_vocabulary(rule_vocabularies[i], &size);
        snprintf(path, sizeof path, "%s/rule-%s.gguf", folder, rule_vocabularies[i]);
        FILE *f = fopen(path, "wb");
        if (!f || fwrite(bytes, 1, size, f) != size || fclose(f))
            return fail(path, "cannot be written");
        free(bytes);
        printf("rule-%s\n", rule_vocabularies[i]);
    }
    return 0;
}

static uint8_t *read_all(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    uint8_t *bytes = NULL;
    if (!f) return NULL;
    fseek(f, 0, SEEK_END);
    *size = (size_t)ftell(f);
    rewind(f);
    bytes = malloc(*size + 1);
    if (bytes && fread(bytes, 1, *size, f) != *size) {
        free(bytes);
        bytes = NULL;
    }
    fclose(f);
    return bytes;
}

static int write_ids(const char *vocabulary, const char *texts, const char *out)
{
    struct llm_error error = {.size = sizeof error};
    struct gguf gguf = {0};
    struct tokenizer *t = NULL;
    size_t size, n_texts;
    uint8_t *file = read_all(vocabulary, &size), *text = read_all(texts, &n_texts);
    FILE *f = fopen(out, "wb");
    if (!file || !text || !f) return fail(vocabulary, "a file cannot be opened");
    if (gguf_parse(&gguf, file, size, size, &alloc_libc, &error) != LLM_OK ||
        tokenizer_create(&t, &gguf, &alloc_libc, &error) != LLM_OK)
        return fail(vocabulary, error.message);
    for (size_t at = 0, i_text = 0; at + 4 <= n_texts; i_text++) {
        struct ids ids = {0};
        uint32_t flags = RANDOM_TEXT_IS_SPECIAL(i_text) ? TOKENIZER_SPECIAL : 0;
        size_t length = text[at] + 256u * text[at + 1];
        if (tokenizer_encode(t, (char *)text + at + 4, length, flags, &ids, &alloc_libc, &error) !=
            LLM_OK)
            return fail(vocabulary, error.message);
        for (size_t i = 0; i < ids.n; i++) fprintf(f, i ? " %d" : "%d", (int)ids.items[i]);
        fputc('\n', f);
        free(ids.items);
        at += 4 + length;
    }
    tokenizer_free(t);
    gguf_free(&gguf);
    free(file);
    free(text);
    return fclose(f) ? fail(out, "cannot be written") : 0;
}

static int print_hashes(const char *path, size_t most)
{
    size_t size, n_lines = 0;
    char *lines = (char *)read_all(path, &size);
    if (!lines) return fail(path, "cannot be opened");
    lines[size] = 0;
    uint64_t hash = HASHED_IDS_BEGIN;
    for (char *at = lines; *at && n_lines < most * HASHED_TEXTS; at++) {
        if (*at != '\n') {
            hash = hashed_ids_add(hash, (int32_t)strtol(at, &at, 10));
            at -= *at == '\n'; /* it is seen next */
            continue;
        }
        hash = hashed_ids_add(hash, HASHED_IDS_END);
        if (++n_lines % HASHED_TEXTS) continue;
        printf(" %016llx", (unsigned long long)hash);
        hash = HASHED_IDS_BEGIN;
    }
    putchar('\n');
    free(lines);
    return 0;
}

static void copy_strings(struct gguf_write *w, const char *key, const struct gguf_value *v,
                         size_t n)
{
    char **texts = calloc(n + 1, sizeof *texts);
    struct gguf_string text;
    const uint8_t *at = v->data;
    for (size_t i = 0; texts && i < n && gguf_next_string(v, &at, &text); i++) {
        texts[i] = calloc(text.size + 1, 1);
        if (texts[i]) memcpy(texts[i], text.text, text.size);
    }
    if (texts) gguf_write_strings(w, key, (const char *const *)texts, n);
    for (size_t i = 0; texts && i < n; i++) free(texts[i]);
    free(texts);
}

/* Arrays with an item for each token are cut; ids that no longer are any are left out. */
static void copy_value(struct gguf_write *w, const struct gguf_value *v, size_t n_tokens, size_t n)
{
    char key[256], text[4096];
    snprintf(key, sizeof key, "%.*s", (int)v->key.size, v->key.text);
    struct gguf_string string = {v->type == GGUF_STRING ? (const char *)v->data + 8 : "", 0};
    string.size = v->type == GGUF_STRING ? v->size - 8 : 0;
    snprintf(text, sizeof text, "%.*s", (int)string.size, string.text);
    size_t n_items = v->n == n_tokens ? n : (size_t)v->n;
    if (v->type == GGUF_STRING) gguf_write_string(w, key, text);
    else if (v->type == GGUF_ARRAY && v->item_type == GGUF_STRING) copy_strings(w, key, v, n_items);
    else if (v->type == GGUF_ARRAY) gguf_write_array(w, key, v->item_type, v->data, n_items);
    else if (!strstr(key, "token_id") || (size_t)gguf_item_int(v, 0) < n)
        gguf_write_number(w, key, v->type, v->data);
}

/* GPT-2 writes a byte that is no visible Latin-1 character as the next free code point from 256. */
static char *as_visible(const uint8_t *bytes, size_t size)
{
    char *text = malloc(2 * size + 1), *to = text;
    uint32_t chars[256], next = 256;
    if (!text) return NULL;
    for (uint32_t b = 0; b < 256; b++)
        chars[b] = (b > 32 && b < 127) || (b > 160 && b != 173) ? b : next++;
    for (size_t i = 0; i < size; i++) {
        const uint32_t c = chars[bytes[i]];
        if (c < 128) {
            *to++ = (char)c;
        } else {
            *to++ = (char)(0xc0 | c >> 6);
            *to++ = (char)(0x80 | (c & 63));
        }
    }
    *to = 0;
    return text;
}

/* No merge is asked for whose result is in none of the texts. */
static void copy_merges(struct gguf_write *w, const struct gguf_value *v, const char *visible)
{
    char **kept = calloc(v->n + 1, sizeof *kept);
    struct gguf_string pair;
    const uint8_t *at = v->data;
    size_t n = 0;
    while (kept && gguf_next_string(v, &at, &pair)) {
        char both[512], result[512];
        snprintf(both, sizeof both, "%.*s", (int)pair.size, pair.text);
        const char *space = strchr(both + 1, ' ');
        if (!space) continue;
        snprintf(result, sizeof result, "%.*s%s", (int)(space - both), both, space + 1);
        if (strstr(visible, result)) kept[n++] = strdup(both);
    }
    if (kept) gguf_write_strings(w, "tokenizer.ggml.merges", (const char *const *)kept, n);
    for (size_t i = 0; kept && i < n; i++) free(kept[i]);
    free(kept);
}

static int write_file(const char *path, const uint8_t *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");
    bool done = f && fwrite(bytes, 1, size, f) == size;
    done &= f && fclose(f) == 0;
    return done ? 0 : fail(path, "cannot be written");
}

static int merges(const char *vocabulary, const char *texts, const char *out)
{
    struct gguf gguf = {0};
    size_t size, texts_size;
    uint8_t *file = read_all(vocabulary, &size), *bytes = read_all(texts, &texts_size);
    if (!file || gguf_parse(&gguf, file, size, size, &alloc_libc, NULL) != LLM_OK)
        return fail(vocabulary, "cannot be read");
    char *visible = bytes ? as_visible(bytes, texts_size) : NULL;
    if (!visible) return fail(texts, "cannot be read");
    struct gguf_write w = {0};
    for (size_t i = 0; i < gguf.n_values; i++) {
        const struct gguf_value *v = &gguf.values[i];
        if (v == gguf_find(&gguf, "tokenizer.ggml.merges")) copy_merges(&w, v, visible);
        else copy_value(&w, v, 0, SIZE_MAX);
    }
    uint8_t *written = gguf_write_finish(&w, &size);
    const int status = write_file(out, written, size);
    free(written);
    free(visible);
    gguf_free(&gguf);
    free(bytes);
    free(file);
    return status;
}

static int trim(const char *vocabulary, const char *out, size_t n)
{
    struct gguf gguf = {0};
    size_t size;
    uint8_t *file = read_all(vocabulary, &size);
    if (!file || gguf_parse(&gguf, file, size, size, &alloc_libc, NULL) != LLM_OK)
        return fail(vocabulary, "cannot be read");
    const struct gguf_value *tokens = gguf_find(&gguf, "tokenizer.ggml.tokens");
    if (!tokens || n > tokens->n) return fail(vocabulary, "has fewer tokens");
    struct gguf_write w = {0};
    for (size_t i = 0; i < gguf.n_values; i++)
        copy_value(&w, &gguf.values[i], (size_t)tokens->n, n);
    uint8_t *bytes = gguf_write_finish(&w, &size);
    const int status = write_file(out, bytes, size);
    free(bytes);
    gguf_free(&gguf);
    free(file);
    return status;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "texts") == 0)
        return write_texts(argv[2], strtoull(argv[3], NULL, 10));
    if (argc == 3 && strcmp(argv[1], "rules") == 0) return write_rules(argv[2]);
    if (argc == 5 && strcmp(argv[1], "ids") == 0) return write_ids(argv[2], argv[3], argv[4]);
    if (argc == 4 && strcmp(argv[1], "hashes") == 0)
        return print_hashes(argv[2], strtoull(argv[3], NULL, 10));
    if (argc == 5 && strcmp(argv[1], "trim") == 0)
        return trim(argv[2], argv[3], strtoull(argv[4], NULL, 10));
    if (argc == 5 && strcmp(argv[1], "merges") == 0) return merges(argv[2], argv[3], argv[4]);
    return fail("vocabulary", "texts FILE N | rules FOLDER | ids FILE.gguf TEXTS OUT | "
                              "hashes IDS N | trim FILE.gguf OUT N | "
                              "merges FILE.gguf TEXTS OUT");
}

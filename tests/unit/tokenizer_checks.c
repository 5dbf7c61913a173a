#include "tokenizer_checks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failing_alloc.h"

struct vocabulary file;

/* ---- vocabularies ---- */

void put_tokens(const struct line *lines, size_t n, bool scores)
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

void begin(const char *model)
{
    vocabulary_begin(&file);
    vocabulary_string(&file, "model", model);
}

llm_status open_bytes(struct opened *o, const void *bytes, size_t size, struct llm_error *error)
{
    memset(o, 0, sizeof *o);
    llm_status status = gguf_parse(&o->gguf, bytes, size, size, &alloc_libc, error);
    if (status != LLM_OK) return status;
    return tokenizer_create(&o->t, &o->gguf, &alloc_libc, error);
}

void close_opened(struct opened *o)
{
    tokenizer_free(o->t);
    gguf_free(&o->gguf);
}

void open_file(struct opened *o)
{
    struct llm_error error = {.size = sizeof error};
    vocabulary_end(&file);
    if (open_bytes(o, file.bytes, file.size, &error) != LLM_OK) fail_msg("%s", error.message);
}

void refuse(llm_status want, const char *word)
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

/* ---- what they say ---- */

void check_ids(const struct tokenizer *t, const char *text, size_t size, uint32_t flags,
               const char *want)
{
    struct ids ids = {0};
    struct llm_error error = {.size = sizeof error};
    if (tokenizer_encode(t, text, size, flags, &ids, &alloc_libc, &error) != LLM_OK)
        fail_msg("%s", error.message);
    char *got = malloc(12 * ids.n + 1), *at = got;
    assert_non_null(got);
    *got = 0;
    for (size_t i = 0; i < ids.n; i++) at += sprintf(at, i ? " %d" : "%d", (int)ids.items[i]);
    if (strcmp(got, want) != 0) fail_msg("'%.*s': ids %s, not %s", (int)size, text, got, want);
    free(got);
    free(ids.items);
}

void check(const struct tokenizer *t, const char *text, uint32_t flags, const char *want)
{
    check_ids(t, text, strlen(text), flags, want);
}

struct bytes there_and_back(const struct tokenizer *t, const char *text, size_t size)
{
    struct ids ids = {0};
    struct bytes out = {0};
    struct llm_error error = {.size = sizeof error};
    if (tokenizer_encode(t, text, size, 0, &ids, &alloc_libc, &error) != LLM_OK)
        fail_msg("%s", error.message);
    for (size_t i = 0; i < ids.n; i++)
        assert_int_equal(tokenizer_decode(t, ids.items[i], false, &out, &alloc_libc, &error),
                         LLM_OK);
    free(ids.items);
    return out;
}

bool comes_back(const struct tokenizer *t, const char *text, size_t size)
{
    struct bytes out = there_and_back(t, text, size);
    size_t skip = size && tokenizer_info(t)->add_space_prefix;
    bool same = out.n == size + skip && (size == 0 || memcmp(out.items + skip, text, size) == 0);
    free(out.items);
    return same;
}

void check_decode(const struct tokenizer *t, int32_t id, bool special, const char *want)
{
    struct bytes out = {0};
    assert_int_equal(tokenizer_decode(t, id, special, &out, &alloc_libc, NULL), LLM_OK);
    assert_int_equal(out.n, strlen(want));
    if (out.n) assert_memory_equal(out.items, want, out.n);
    free(out.items);
}

void check_memory(const char *text)
{
    vocabulary_end(&file);
    struct gguf gguf = {0};
    assert_int_equal(gguf_parse(&gguf, file.bytes, file.size, file.size, &alloc_libc, NULL),
                     LLM_OK);
    struct llm_error error = {.size = sizeof error};
    llm_status status = LLM_OUT_OF_MEMORY;
    size_t n = 1;
    for (; status != LLM_OK; n++) {
        struct failing_alloc f;
        struct tokenizer *t = NULL;
        struct ids ids = {0};
        struct bytes bytes = {0};
        assert_int_equal(status, LLM_OUT_OF_MEMORY);
        failing_alloc_init(&f, n);
        status = tokenizer_create(&t, &gguf, &f.alloc, &error);
        for (uint32_t flags = 0; status == LLM_OK && flags < 8; flags++) {
            size_t before = ids.n;
            status = tokenizer_encode(t, text, strlen(text), flags, &ids, &f.alloc, &error);
            if (status != LLM_OK) assert_int_equal(ids.n, before);
        }
        for (size_t i = 0; status == LLM_OK && i < ids.n; i++)
            status = tokenizer_decode(t, ids.items[i], true, &bytes, &f.alloc, &error);
        alloc_free(&f.alloc, ids.items, ids.capacity * sizeof *ids.items);
        alloc_free(&f.alloc, bytes.items, bytes.capacity);
        tokenizer_free(t);
        assert_int_equal(f.n_live, 0);
        assert_int_equal(f.n_wrong, 0);
    }
    assert_true(n > 10);
    gguf_free(&gguf);
}

char *read_file(const char *name, size_t *size)
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

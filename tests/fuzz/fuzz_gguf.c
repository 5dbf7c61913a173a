/* Parses any bytes as a GGUF header and looks at all that it gives: views must lie inside the data,
 * names must be found. */
#include <stdlib.h>
#include <string.h>

#include "failing_alloc.h"
#include "gguf.h"
#include "split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int holds)
{
    if (!holds) abort();
}

static void check_view(const uint8_t *data, size_t size, const void *view, size_t n)
{
    const uint8_t *p = view;
    check(p >= data && p <= data + size && n <= (size_t)(data + size - p));
}

/* The name with a NUL, as callers have it; one with a NUL inside cannot be asked for. */
static char *terminated(const struct gguf_string *s)
{
    if (s->size && memchr(s->text, 0, s->size)) return NULL;
    char *text = malloc(s->size + 1);
    if (!text) return NULL;
    memcpy(text, s->text, s->size);
    text[s->size] = 0;
    return text;
}

static void walk_value(const struct gguf *g, const struct gguf_value *v, const uint8_t *data,
                       size_t size)
{
    check_view(data, size, v->key.text, v->key.size);
    check_view(data, size, v->data, v->size);
    const uint8_t *at = v->data;
    struct gguf_string text;
    uint64_t n = 0;
    for (; gguf_next_string(v, &at, &text); n++) check_view(data, size, text.text, text.size);
    check(v->item_type == GGUF_STRING ? n == v->n && at == v->data + v->size : n == 0);
    volatile double seen = 0; /* read and forget */
    for (uint64_t i = 0; i < v->n; i++) seen = gguf_item_float(v, i) + (double)gguf_item_int(v, i);
    (void)seen;
    check(gguf_item_int(v, v->n) == 0);
    char *key = terminated(&v->key);
    if (!key) return;
    struct llm_error error = {0};
    uint32_t u32;
    float f32;
    bool truth;
    check(gguf_find(g, key) == v);
    gguf_get_u32(g, key, &u32, &error);
    gguf_get_f32(g, key, &f32, &error);
    gguf_get_bool(g, key, &truth, &error);
    if (gguf_get_string(g, key, &text, &error) == LLM_OK)
        check_view(data, size, text.text, text.size);
    free(key);
}

static void walk_tensor(const struct gguf *g, const struct gguf_tensor *t, uint64_t file_size)
{
    check(t->offset <= file_size && t->size <= file_size - t->offset &&
          t->offset % g->alignment == 0);
    char *name = terminated(&t->name);
    if (!name) return;
    check(gguf_tensor(g, name) == t);
    free(name);
}

/* What a header says of itself as a part is in range, and no file is a part of itself. */
static void join(struct gguf *g, const uint8_t *data, size_t size, const struct alloc *alloc)
{
    struct gguf again;
    struct split split;
    struct llm_error error = {0};
    uint64_t had = g->n_tensors;
    llm_status status = split_read(g, &split, &error);
    check(status == LLM_OK ? split.no < split.count : status == LLM_BAD_MODEL && error.message[0]);
    if (gguf_parse(&again, data, size, size, alloc, &error) != LLM_OK) return;
    status = gguf_join(g, &again, size, &error);
    check(status == (had ? LLM_BAD_MODEL : LLM_OK) && g->n_tensors == 2 * had);
    for (uint64_t i = 0; i < had; i++)
        check(g->tensors[had + i].offset == g->tensors[i].offset + size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct failing_alloc f;
    struct gguf g;
    struct llm_error error = {0};
    failing_alloc_init(&f, 0);
    llm_status status = gguf_parse(&g, data, size, size, &f.alloc, &error);
    check(status == LLM_OK || status == LLM_BAD_MODEL || status == LLM_UNSUPPORTED);
    check(status == LLM_OK || error.message[0]);
    for (uint64_t i = 0; i < g.n_values; i++) walk_value(&g, &g.values[i], data, size);
    for (uint64_t i = 0; i < g.n_tensors; i++) walk_tensor(&g, &g.tensors[i], size);
    if (status == LLM_OK) join(&g, data, size, &f.alloc);
    gguf_free(&g);
    /* The first half alone never says more than the whole does. */
    llm_status half = gguf_parse(&g, data, size / 2, size, &f.alloc, &error);
    check(half == LLM_RUNNING || half == status);
    gguf_free(&g);
    check(f.n_live == 0 && f.n_wrong == 0 && f.peak_size <= 16 * size);
    return 0;
}

#include "edit.h"

#include <stdlib.h>
#include <string.h>

#include "gguf_write.h"

static void *must(void *p)
{
    if (!p) abort();
    return p;
}

static char *text_of(struct gguf_string s)
{
    char *text = must(malloc(s.size + 1));
    memcpy(text, s.text, s.size);
    text[s.size] = 0;
    return text;
}

static const struct edit *find(const struct edit *edits, struct gguf_string name,
                               enum edit_kind from, enum edit_kind to)
{
    for (; edits->kind != EDIT_END; edits++) {
        if (edits->kind < from || edits->kind > to) continue;
        if (strlen(edits->name) != name.size) continue;
        if (memcmp(edits->name, name.text, name.size) == 0) return edits;
    }
    return NULL;
}

/* ---- values ---- */

static void write_edit(struct gguf_write *w, const struct edit *e)
{
    if (e->kind == EDIT_U32) gguf_write_u32(w, e->name, e->u32);
    if (e->kind == EDIT_F32) gguf_write_f32(w, e->name, e->f32);
    if (e->kind == EDIT_STRING) gguf_write_string(w, e->name, e->text);
}

/* Takes one string off an array's bytes. */
static char *next_string(const uint8_t **at)
{
    uint64_t n;
    memcpy(&n, *at, sizeof n);
    char *text = text_of((struct gguf_string){(const char *)*at + sizeof n, (size_t)n});
    *at += sizeof n + n;
    return text;
}

static void copy_strings(struct gguf_write *w, const char *key, const struct gguf_value *v)
{
    char **items = must(calloc((size_t)v->n + 1, sizeof *items));
    const uint8_t *at = v->data;
    for (uint64_t i = 0; i < v->n; i++) items[i] = next_string(&at);
    gguf_write_strings(w, key, (const char *const *)items, v->n);
    for (uint64_t i = 0; i < v->n; i++) free(items[i]);
    free(items);
}

static void copy_value(struct gguf_write *w, const struct gguf *g, const struct gguf_value *v)
{
    char *key = text_of(v->key);
    struct gguf_string string;
    struct llm_error error = {.size = sizeof error};
    if (v->type == GGUF_STRING && gguf_get_string(g, key, &string, &error) == LLM_OK) {
        char *text = text_of(string);
        gguf_write_string(w, key, text);
        free(text);
    } else if (v->type != GGUF_ARRAY) {
        gguf_write_number(w, key, v->type, v->data);
    } else if (v->item_type == GGUF_STRING) {
        copy_strings(w, key, v);
    } else {
        gguf_write_array(w, key, v->item_type, v->data, v->n);
    }
    free(key);
}

static void write_values(struct gguf_write *w, const struct gguf *g, const struct edit *edits)
{
    for (uint64_t i = 0; i < g->n_values; i++) {
        const struct edit *e = find(edits, g->values[i].key, EDIT_U32, EDIT_DROP);
        if (e) write_edit(w, e);
        else copy_value(w, g, &g->values[i]);
    }
    for (const struct edit *e = edits; e->kind != EDIT_END; e++) {
        if (e->kind <= EDIT_DROP && !gguf_find(g, e->name)) write_edit(w, e);
    }
}

/* ---- tensors ---- */

static void write_tensor(struct gguf_write *w, const struct gguf_tensor *t, const uint8_t *data,
                         const struct edit *e)
{
    if (e && e->kind == TENSOR_DROP) return;
    uint64_t dims[4], n = 1, n_had = 1;
    uint32_t n_dims = 0;
    bool shaped = e && e->kind == TENSOR_SHAPE;
    for (uint32_t i = 0; i < 4; i++) {
        dims[i] = shaped ? e->dims[i] : i < t->n_dims ? t->dims[i] : 0;
        n_had *= t->dims[i];
        if (!dims[i]) break;
        n *= dims[i];
        n_dims++;
    }
    float *weights = must(calloc((size_t)n + 1, sizeof *weights));
    if (!shaped && data) quant_decode(t->type, data + t->offset, weights, (size_t)n_had);
    enum quant_type type = e && e->kind == TENSOR_TYPE ? (enum quant_type)e->u32 : t->type;
    char *name = text_of(t->name);
    gguf_write_tensor(w, e && e->kind == TENSOR_NAME ? e->text : name, type, n_dims, dims, weights);
    free(name);
    free(weights);
}

static void write_tensors(struct gguf_write *w, const struct gguf *g, const uint8_t *data,
                          const struct edit *edits)
{
    for (uint64_t i = 0; i < g->n_tensors; i++)
        write_tensor(w, &g->tensors[i], data,
                     find(edits, g->tensors[i].name, TENSOR_TYPE, TENSOR_DROP));
    for (const struct edit *e = edits; e->kind != EDIT_END; e++) {
        if (e->kind != TENSOR_ADD) continue;
        struct edit shape = *e;
        shape.kind = TENSOR_SHAPE;
        const struct gguf_tensor t = {.name = {e->name, strlen(e->name)}, .type = QUANT_F32};
        write_tensor(w, &t, NULL, &shape);
    }
}

uint8_t *edit_gguf(const uint8_t *data, size_t size, const struct edit *edits, size_t *out_size)
{
    struct gguf g;
    struct gguf_write w = {.version = 3};
    struct llm_error error = {.size = sizeof error};
    if (gguf_parse(&g, data, size, size, &alloc_libc, &error) != LLM_OK) abort();
    write_values(&w, &g, edits);
    write_tensors(&w, &g, data, edits);
    gguf_free(&g);
    return gguf_write_finish(&w, out_size);
}

#include "gguf_write.h"

#include <stdlib.h>
#include <string.h>

static void put(struct gguf_write_bytes *b, const void *data, size_t n)
{
    while (b->capacity - b->n < n) {
        b->capacity = b->capacity ? 2 * b->capacity : 1024;
        b->data = realloc(b->data, b->capacity);
        if (!b->data) abort();
    }
    if (n) memcpy(b->data + b->n, data, n);
    b->n += n;
}

static void put_u32(struct gguf_write_bytes *b, uint32_t x)
{
    put(b, &x, sizeof x);
}

static void put_u64(struct gguf_write_bytes *b, uint64_t x)
{
    put(b, &x, sizeof x);
}

static void put_string(struct gguf_write_bytes *b, const char *text)
{
    put_u64(b, strlen(text));
    put(b, text, strlen(text));
}

static void put_padding(struct gguf_write_bytes *b, uint32_t alignment)
{
    while (b->n % alignment) put(b, "", 1);
}

static size_t type_size(enum gguf_type type)
{
    switch (type) {
    case GGUF_U8:
    case GGUF_I8:
    case GGUF_BOOL: return 1;
    case GGUF_U16:
    case GGUF_I16: return 2;
    case GGUF_U32:
    case GGUF_I32:
    case GGUF_F32: return 4;
    default: return 8;
    }
}

static void put_key(struct gguf_write *w, const char *key, enum gguf_type type)
{
    put_string(&w->values, key);
    put_u32(&w->values, type);
    w->n_values++;
}

void gguf_write_number(struct gguf_write *w, const char *key, enum gguf_type type,
                       const void *value)
{
    put_key(w, key, type);
    put(&w->values, value, type_size(type));
}

void gguf_write_u32(struct gguf_write *w, const char *key, uint32_t value)
{
    gguf_write_number(w, key, GGUF_U32, &value);
}

void gguf_write_f32(struct gguf_write *w, const char *key, float value)
{
    gguf_write_number(w, key, GGUF_F32, &value);
}

void gguf_write_bool(struct gguf_write *w, const char *key, bool value)
{
    uint8_t byte = value;
    gguf_write_number(w, key, GGUF_BOOL, &byte);
}

void gguf_write_string(struct gguf_write *w, const char *key, const char *value)
{
    put_key(w, key, GGUF_STRING);
    put_string(&w->values, value);
}

void gguf_write_array(struct gguf_write *w, const char *key, enum gguf_type item_type,
                      const void *items, uint64_t n)
{
    put_key(w, key, GGUF_ARRAY);
    put_u32(&w->values, item_type);
    put_u64(&w->values, n);
    put(&w->values, items, (size_t)n * type_size(item_type));
}

void gguf_write_strings(struct gguf_write *w, const char *key, const char *const *items, uint64_t n)
{
    put_key(w, key, GGUF_ARRAY);
    put_u32(&w->values, GGUF_STRING);
    put_u64(&w->values, n);
    for (uint64_t i = 0; i < n; i++) put_string(&w->values, items[i]);
}

static uint32_t alignment(const struct gguf_write *w)
{
    return w->alignment ? w->alignment : 32;
}

uint64_t gguf_write_declare(struct gguf_write *w, const char *name, enum quant_type type,
                            uint32_t n_dims, const uint64_t *dims)
{
    const struct quant_info *info = quant_info(type);
    uint64_t n = 1;
    put_string(&w->tensors, name);
    put_u32(&w->tensors, n_dims);
    for (uint32_t i = 0; i < n_dims; i++) {
        put_u64(&w->tensors, dims[i]);
        n *= dims[i];
    }
    w->data_size = (w->data_size + alignment(w) - 1) / alignment(w) * alignment(w);
    put_u32(&w->tensors, type);
    put_u64(&w->tensors, w->data_size);
    w->n_tensors++;
    uint64_t size = n / info->block * info->block_size;
    w->data_size += size;
    return size;
}

void gguf_write_tensor(struct gguf_write *w, const char *name, enum quant_type type,
                       uint32_t n_dims, const uint64_t *dims, const float *weights)
{
    const struct quant_info *info = quant_info(type);
    size_t size = (size_t)gguf_write_declare(w, name, type, n_dims, dims);
    put_padding(&w->data, alignment(w));
    void *blocks = malloc(size ? size : 1);
    if (!blocks) abort();
    quant_encode(type, weights, blocks, size / info->block_size * info->block);
    put(&w->data, blocks, size);
    free(blocks);
}

void gguf_write_values_of(struct gguf_write *w, const struct gguf *g)
{
    if (g->n_values == 0) return;
    const struct gguf_value *last = &g->values[g->n_values - 1];
    const uint8_t *from = (const uint8_t *)g->values[0].key.text - sizeof(uint64_t);
    put(&w->values, from, (size_t)(last->data + last->size - from));
    w->n_values += g->n_values;
}

void gguf_write_tensor_of(struct gguf_write *w, const struct gguf_tensor *t, const void *data)
{
    char name[128] = {0};
    memcpy(name, t->name.text, t->name.size < sizeof name ? t->name.size : sizeof name - 1);
    gguf_write_declare(w, name, t->type, t->n_dims, t->dims);
    put_padding(&w->data, alignment(w));
    put(&w->data, data, (size_t)t->size);
}

uint8_t *gguf_write_part(const uint8_t *file, size_t file_size, uint32_t no, uint32_t count,
                         bool bare, size_t *size)
{
    struct gguf g;
    struct gguf_write w = {.version = 3};
    if (gguf_parse(&g, file, file_size, file_size, &alloc_libc, NULL) != LLM_OK) abort();
    if (no == 0) gguf_write_values_of(&w, &g);
    gguf_write_number(&w, "split.no", GGUF_U16, &(uint16_t){(uint16_t)no});
    gguf_write_number(&w, "split.count", GGUF_U16, &(uint16_t){(uint16_t)count});
    gguf_write_number(&w, "split.tensors.count", GGUF_I32, &(int32_t){(int32_t)g.n_tensors});
    uint32_t shares = bare ? count - 1 : count, share = bare ? no - 1 : no;
    for (uint64_t i = 0; i < g.n_tensors; i++) {
        if (i * shares / g.n_tensors != share) continue;
        gguf_write_tensor_of(&w, &g.tensors[i], file + g.tensors[i].offset);
    }
    gguf_free(&g);
    return gguf_write_finish(&w, size);
}

uint8_t *gguf_write_finish(struct gguf_write *w, size_t *size)
{
    struct gguf_write_bytes out = {NULL, 0, 0};
    if (w->alignment) gguf_write_u32(w, "general.alignment", w->alignment);
    put(&out, "GGUF", 4);
    put_u32(&out, w->version ? w->version : 3);
    put_u64(&out, w->n_tensors);
    put_u64(&out, w->n_values);
    put(&out, w->values.data, w->values.n);
    put(&out, w->tensors.data, w->tensors.n);
    put_padding(&out, alignment(w));
    put(&out, w->data.data, w->data.n);
    free(w->values.data);
    free(w->tensors.data);
    free(w->data.data);
    *w = (struct gguf_write){.version = 0};
    *size = out.n;
    return out.data;
}

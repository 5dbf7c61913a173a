/* vocabulary.h - write small GGUF files that hold a vocabulary. */
#ifndef VOCABULARY_H
#define VOCABULARY_H

#include <stdint.h>
#include <string.h>

#include "gguf.h"

struct vocabulary {
    uint8_t bytes[1 << 16];
    size_t size, at_count;
    uint64_t n_values, n_items;
};

static inline void vocabulary_put(struct vocabulary *v, const void *bytes, size_t n)
{
    if (n > sizeof v->bytes - v->size) n = sizeof v->bytes - v->size;
    if (n) memcpy(v->bytes + v->size, bytes, n);
    v->size += n;
}

static inline void vocabulary_put_int(struct vocabulary *v, uint64_t value, size_t size)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < 8; i++) bytes[i] = (uint8_t)(value >> 8 * i);
    vocabulary_put(v, bytes, size);
}

static inline void vocabulary_put_text(struct vocabulary *v, const char *text, size_t size)
{
    vocabulary_put_int(v, size, 8);
    vocabulary_put(v, text, size);
}

static inline void vocabulary_begin(struct vocabulary *v)
{
    v->size = 0;
    v->n_values = 0;
    vocabulary_put(v, "GGUF", 4);
    vocabulary_put_int(v, 3, 4);
    vocabulary_put_int(v, 0, 8);
    vocabulary_put_int(v, 0, 8); /* values, counted at the end */
}

static inline void vocabulary_key(struct vocabulary *v, const char *key, enum gguf_type type)
{
    char whole[128] = "tokenizer.ggml.";
    strncat(whole, key, sizeof whole - 16);
    vocabulary_put_text(v, whole, strlen(whole));
    vocabulary_put_int(v, (uint64_t)type, 4);
    v->n_values++;
}

/* A key that is not the tokenizer's. */
static inline void vocabulary_plain_string(struct vocabulary *v, const char *key, const char *text)
{
    vocabulary_put_text(v, key, strlen(key));
    vocabulary_put_int(v, GGUF_STRING, 4);
    vocabulary_put_text(v, text, strlen(text));
    v->n_values++;
}

static inline void vocabulary_string(struct vocabulary *v, const char *key, const char *text)
{
    vocabulary_key(v, key, GGUF_STRING);
    vocabulary_put_text(v, text, strlen(text));
}

static inline void vocabulary_u32(struct vocabulary *v, const char *key, uint32_t value)
{
    vocabulary_key(v, key, GGUF_U32);
    vocabulary_put_int(v, value, 4);
}

static inline void vocabulary_bool(struct vocabulary *v, const char *key, bool value)
{
    vocabulary_key(v, key, GGUF_BOOL);
    vocabulary_put_int(v, value, 1);
}

/* An array; its items are put by the caller, each counted in n_items. */
static inline void vocabulary_array(struct vocabulary *v, const char *key, enum gguf_type item_type)
{
    vocabulary_key(v, key, GGUF_ARRAY);
    vocabulary_put_int(v, (uint64_t)item_type, 4);
    v->at_count = v->size;
    v->n_items = 0;
    vocabulary_put_int(v, 0, 8);
}

static inline void vocabulary_array_end(struct vocabulary *v)
{
    size_t size = v->size;
    v->size = v->at_count;
    vocabulary_put_int(v, v->n_items, 8);
    v->size = size;
}

static inline void vocabulary_item(struct vocabulary *v, const char *text, size_t size)
{
    vocabulary_put_text(v, text, size);
    v->n_items++;
}

static inline void vocabulary_end(struct vocabulary *v)
{
    size_t size = v->size;
    v->size = 16;
    vocabulary_put_int(v, v->n_values, 8);
    v->size = size;
}

#endif

#include "charsmap.h"

#include <inttypes.h>
#include <string.h>

static uint32_t u32_at(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

static llm_status check_replacements(const struct charsmap *c, const char *key,
                                     struct llm_error *error)
{
    size_t begin = 0;
    for (size_t i = 0; i < c->replacements_size; i++) {
        if (c->replacements[i]) continue;
        if (i - begin > CHARSMAP_LONGEST)
            return error_set(error, LLM_BAD_MODEL, "%s has a replacement of %zu bytes", key,
                             i - begin);
        begin = i + 1;
    }
    if (begin == c->replacements_size) return LLM_OK;
    return error_set(error, LLM_BAD_MODEL, "the last replacement of %s has no end", key);
}

llm_status charsmap_read(struct charsmap *c, const struct gguf *gguf, struct llm_error *error)
{
    static const char key[] = "tokenizer.ggml.precompiled_charsmap";
    const struct gguf_value *v = gguf_find(gguf, key);
    if (!v) return LLM_OK;
    if (v->type != GGUF_ARRAY || (v->item_type != GGUF_I8 && v->item_type != GGUF_U8))
        return error_set(error, LLM_BAD_MODEL, "%s is not an array of bytes", key);
    if (v->n == 0) return LLM_OK;
    uint32_t size = v->n < 4 ? 0 : u32_at(v->data);
    if (v->n < 4 || size > v->n - 4)
        return error_set(error, LLM_BAD_MODEL,
                         "%s has %" PRIu64 " bytes, too few for a trie of %" PRIu32, key, v->n,
                         size);
    c->units = v->data + 4;
    c->n_units = size / 4;
    c->replacements = (const char *)v->data + 4 + size;
    c->replacements_size = (size_t)v->n - 4 - size;
    return check_replacements(c, key, error);
}

/* A unit holds the label of the edge that leads to it, whether a key ends there, and how far away
 * its children are; a unit with the highest bit set holds a value. */
static size_t children(uint32_t unit)
{
    return (size_t)(unit >> 10) << ((unit & 1u << 9) >> 6);
}

static uint32_t label(uint32_t unit)
{
    return unit & (1u << 31 | 0xff);
}

/* Beyond the end lies nothing that could be reached. */
static uint32_t unit_at(const struct charsmap *c, size_t i)
{
    return i < c->n_units ? u32_at(c->units + 4 * i) : 1u << 31;
}

size_t charsmap_find(const struct charsmap *c, const char *text, size_t size,
                     struct gguf_string *replacement)
{
    size_t found = 0, at = children(unit_at(c, 0));
    if (size > CHARSMAP_LONGEST) size = CHARSMAP_LONGEST;
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)text[i];
        uint32_t unit = unit_at(c, at ^ byte);
        if (byte == 0 || label(unit) != byte) break;
        at ^= byte ^ children(unit);
        if (!(unit >> 8 & 1)) continue;
        size_t value = unit_at(c, at) & ~(1u << 31);
        if (value >= c->replacements_size) continue;
        found = i + 1;
        replacement->text = c->replacements + value;
        replacement->size = strlen(replacement->text);
    }
    return found;
}

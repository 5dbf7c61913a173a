#include "text.h"

#include <string.h>

#include "error.h"

/* One block holds the stop strings, partial, fallback and the bytes of all strings, in this order.
 * 0 on overflow. */
static size_t block_size(const struct llm_text *stops, size_t n_stops)
{
    const size_t each = sizeof *stops + sizeof(size_t);
    if (n_stops > SIZE_MAX / each) return 0;
    size_t size = n_stops * each;
    for (size_t i = 0; i < n_stops; i++) {
        if (stops[i].size > (SIZE_MAX - size) / (sizeof(size_t) + 1)) return 0;
        size += stops[i].size * (sizeof(size_t) + 1);
    }
    return size;
}

/* fallback[i]: the length of the longest proper prefix of stop that ends at byte i. */
static void fallback_fill(const struct llm_text *stop, size_t *fallback)
{
    size_t k = 0;
    fallback[0] = 0;
    for (size_t i = 1; i < stop->size; i++) {
        while (k && stop->text[i] != stop->text[k]) k = fallback[k - 1];
        if (stop->text[i] == stop->text[k]) k++;
        fallback[i] = k;
    }
}

llm_status text_open(struct text *t, const struct llm_text *stops, size_t n_stops,
                     const struct alloc *alloc, struct llm_error *error)
{
    *t = (struct text){.alloc = alloc};
    if (n_stops == 0) return LLM_OK;
    for (size_t i = 0; i < n_stops; i++) {
        if (stops[i].size == 0 || !stops[i].text)
            return error_set(error, LLM_BAD_ARGUMENT, "stop string %zu is empty", i + 1);
    }
    const size_t size = block_size(stops, n_stops);
    t->stops = alloc_new(alloc, size);
    if (!t->stops) return error_memory(error, "the stop strings", size);
    t->n_stops = n_stops;
    t->partial = (size_t *)(void *)(t->stops + n_stops);
    t->fallback = t->partial + n_stops;
    size_t total = 0;
    for (size_t i = 0; i < n_stops; i++) total += stops[i].size;
    char *bytes = (char *)(t->fallback + total);
    size_t *fallback = t->fallback;
    for (size_t i = 0; i < n_stops; i++) {
        memcpy(bytes, stops[i].text, stops[i].size);
        t->stops[i] = (struct llm_text){bytes, stops[i].size};
        t->partial[i] = 0;
        fallback_fill(&t->stops[i], fallback);
        bytes += stops[i].size;
        fallback += stops[i].size;
    }
    return LLM_OK;
}

/* Feeds one byte to every stop string; returns the longest that it completes, or NULL. */
static const struct llm_text *stops_step(struct text *t, char byte)
{
    const struct llm_text *complete = NULL;
    const size_t *fallback = t->fallback;
    for (size_t i = 0; i < t->n_stops; i++) {
        const struct llm_text *stop = &t->stops[i];
        size_t k = t->partial[i];
        while (k && stop->text[k] != byte) k = fallback[k - 1];
        if (stop->text[k] == byte) k++;
        if (k == stop->size) {
            if (!complete || stop->size > complete->size) complete = stop;
            k = fallback[k - 1];
        }
        t->partial[i] = k;
        fallback += stop->size;
    }
    return complete;
}

llm_status text_add(struct text *t, const char *bytes, size_t n, struct llm_error *error)
{
    if (t->matched || n == 0) return LLM_OK;
    if (n > SIZE_MAX - t->n) return error_memory(error, "the text", SIZE_MAX);
    char *grown = alloc_grow(t->alloc, t->bytes, &t->capacity, t->n + n, 1);
    if (!grown) return error_memory(error, "the text", (uint64_t)t->n + n);
    t->bytes = grown;
    memcpy(t->bytes + t->n, bytes, n);
    const size_t end = t->n + n;
    while (t->n < end) {
        const struct llm_text *complete = stops_step(t, t->bytes[t->n++]);
        if (!complete) continue;
        t->matched = complete;
        t->n -= complete->size;
        t->ready = t->n;
        return LLM_OK;
    }
    size_t held = 0;
    for (size_t i = 0; i < t->n_stops; i++) {
        if (t->partial[i] > held) held = t->partial[i];
    }
    t->ready = t->n - held;
    t->ready -= text_unfinished(t->bytes, t->ready);
    return LLM_OK;
}

void text_finish(struct text *t)
{
    t->ready = t->n;
}

void text_free(struct text *t)
{
    if (t->stops) alloc_free(t->alloc, t->stops, block_size(t->stops, t->n_stops));
    alloc_free(t->alloc, t->bytes, t->capacity);
    *t = (struct text){0};
}

/* Bytes of the character that a leading byte begins, 0 where none may begin with it (RFC 3629). */
static size_t character_size(unsigned char lead)
{
    if (lead >= 0xC2 && lead <= 0xDF) return 2;
    if (lead >= 0xE0 && lead <= 0xEF) return 3;
    if (lead >= 0xF0 && lead <= 0xF4) return 4;
    return 0;
}

/* No overlong forms, no surrogates, nothing above U+10FFFF. */
static bool second_is_valid(unsigned char lead, unsigned char second)
{
    const unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    const unsigned char high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    return second >= low && second <= high;
}

size_t text_unfinished(const char *s, size_t n)
{
    for (size_t k = 1; k <= 3 && k <= n; k++) {
        const unsigned char *at = (const unsigned char *)s + n - k;
        if ((*at & 0xC0) == 0x80) continue; /* a continuation byte: the character began before */
        if (character_size(*at) <= k) return 0;
        return k == 1 || second_is_valid(at[0], at[1]) ? k : 0;
    }
    return 0;
}

#include "lexicon.h"

#include <stdlib.h>
#include <string.h>

bool lexicon_add(struct lexicon *l, const char *text, size_t size, int32_t id,
                 const struct alloc *alloc)
{
    if (size == 0 || size > LEXICON_LONGEST) return true;
    struct lexicon_entry *grown =
        alloc_grow(alloc, l->entries, &l->capacity, l->n + 1, sizeof *grown);
    if (!grown) return false;
    l->entries = grown;
    l->entries[l->n++] = (struct lexicon_entry){text, (uint32_t)size, id};
    return true;
}

static int compare_entries(const void *a, const void *b)
{
    const struct lexicon_entry *x = a, *y = b;
    int order = memcmp(x->text, y->text, x->size < y->size ? x->size : y->size);
    if (order) return order;
    if (x->size != y->size) return x->size < y->size ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

void lexicon_sort(struct lexicon *l)
{
    if (l->n) qsort(l->entries, l->n, sizeof *l->entries, compare_entries);
    size_t i = 0;
    for (size_t byte = 0; byte <= 256; byte++) {
        while (i < l->n && (unsigned char)l->entries[i].text[0] < byte) i++;
        l->first[byte] = i;
    }
}

void lexicon_free(struct lexicon *l, const struct alloc *alloc)
{
    alloc_free(alloc, l->entries, l->capacity * sizeof *l->entries);
}

/* The first of the entries [low, high), which agree in their first depth bytes, whose next byte is
 * at least byte. */
static size_t lower_bound(const struct lexicon_entry *entries, size_t low, size_t high,
                          size_t depth, int byte)
{
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct lexicon_entry *e = &entries[middle];
        int next = e->size > depth ? (unsigned char)e->text[depth] : -1;
        if (next < byte) low = middle + 1;
        else high = middle;
    }
    return low;
}

bool lexicon_step(const struct lexicon *l, struct lexicon_walk *w, char byte, int32_t *id)
{
    unsigned char b = (unsigned char)byte;
    *id = -1;
    if (w->depth == 0) {
        w->low = l->first[b];
        w->high = l->first[b + 1];
    } else {
        w->low = lower_bound(l->entries, w->low, w->high, w->depth, b);
        w->high = lower_bound(l->entries, w->low, w->high, w->depth, b + 1);
    }
    if (w->low == w->high) return false;
    w->depth++;
    if (l->entries[w->low].size == w->depth) *id = l->entries[w->low].id;
    return true;
}

int32_t lexicon_longest(const struct lexicon *l, const char *text, size_t size)
{
    struct lexicon_walk walk = {0};
    int32_t longest = -1, id;
    for (size_t i = 0; i < size && lexicon_step(l, &walk, text[i], &id); i++)
        if (id >= 0) longest = id;
    return longest;
}

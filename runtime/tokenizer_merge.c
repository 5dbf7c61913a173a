/* Neighbours are merged, best first, through a heap (byte-pair encoding, Sennrich et al. 2016). */
#include <string.h>

#include "tokenizer_impl.h"

bool merger_symbol(struct merger *m, uint32_t at, uint32_t size, int32_t id)
{
    struct symbol *grown = alloc_grow(m->alloc, m->symbols, &m->capacity, m->n + 1, sizeof *grown);
    if (!grown) return false;
    m->symbols = grown;
    uint32_t i = (uint32_t)m->n++;
    if (i) m->symbols[i - 1].next = i;
    m->symbols[i] = (struct symbol){at, size, id, i ? i - 1 : NO_SYMBOL, NO_SYMBOL};
    return true;
}

static bool comes_before(const struct pair *a, const struct pair *b)
{
    return a->order < b->order || (a->order == b->order && a->left < b->left);
}

static bool heap_push(struct merger *m, struct pair pair)
{
    struct pair *grown =
        alloc_grow(m->alloc, m->heap, &m->heap_capacity, m->n_heap + 1, sizeof *grown);
    if (!grown) return false;
    m->heap = grown;
    size_t i = m->n_heap++;
    for (; i && comes_before(&pair, &m->heap[(i - 1) / 2]); i = (i - 1) / 2)
        m->heap[i] = m->heap[(i - 1) / 2];
    m->heap[i] = pair;
    return true;
}

static struct pair heap_pop(struct merger *m)
{
    struct pair least = m->heap[0], last = m->heap[--m->n_heap];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < m->n_heap; i = child) {
        if (child + 1 < m->n_heap && comes_before(&m->heap[child + 1], &m->heap[child])) child++;
        if (!comes_before(&m->heap[child], &last)) break;
        m->heap[i] = m->heap[child];
    }
    m->heap[i] = last;
    return least;
}

static bool try_pair(struct merger *m, const struct tokenizer *t, const char *text, uint32_t left,
                     uint32_t right, merger_find find)
{
    struct pair pair = {left, right, 0, 0, -1};
    if (left == NO_SYMBOL || right == NO_SYMBOL) return true;
    const struct symbol *l = &m->symbols[left], *r = &m->symbols[right];
    pair.size = l->size + r->size;
    return !find(t, text, l, r, &pair) || heap_push(m, pair);
}

bool merger_run(struct merger *m, const struct tokenizer *t, const char *text, merger_find find)
{
    m->n_heap = 0;
    for (uint32_t i = 1; i < m->n; i++)
        if (!try_pair(m, t, text, i - 1, i, find)) return false;
    while (m->n_heap) {
        struct pair pair = heap_pop(m);
        struct symbol *left = &m->symbols[pair.left], *right = &m->symbols[pair.right];
        /* Symbols only grow until they vanish: the same sum means the same two. */
        if (!left->size || !right->size || left->size + right->size != pair.size) continue;
        left->size = pair.size;
        left->id = pair.id;
        left->next = right->next;
        right->size = 0;
        if (left->next != NO_SYMBOL) m->symbols[left->next].previous = pair.left;
        if (!try_pair(m, t, text, left->previous, pair.left, find)) return false;
        if (!try_pair(m, t, text, pair.left, left->next, find)) return false;
    }
    return true;
}

bool merger_append(struct merger *m, const char *bytes, size_t n)
{
    if (n == 0) return true;
    char *grown = alloc_grow(m->alloc, m->text.items, &m->text.capacity, m->text.n + n, 1);
    if (!grown) return false;
    m->text.items = grown;
    memcpy(grown + m->text.n, bytes, n);
    m->text.n += n;
    return true;
}

bool merger_escape(struct merger *m, const char *text, size_t size, bool prefix)
{
    m->text.n = 0;
    if (prefix && !merger_append(m, ESCAPED_SPACE, 3)) return false;
    for (size_t at = 0; at < size;) {
        const char *space = memchr(text + at, ' ', size - at);
        size_t end = space ? (size_t)(space - text) : size;
        if (!merger_append(m, text + at, end - at)) return false;
        if (space && !merger_append(m, ESCAPED_SPACE, 3)) return false;
        at = end + (space != NULL);
    }
    return true;
}

void merger_free(struct merger *m)
{
    alloc_free(m->alloc, m->symbols, m->capacity * sizeof *m->symbols);
    alloc_free(m->alloc, m->heap, m->heap_capacity * sizeof *m->heap);
    alloc_free(m->alloc, m->text.items, m->text.capacity);
    alloc_free(m->alloc, m->best, m->best_capacity * sizeof *m->best);
    pretokenize_free(&m->words, m->alloc);
}

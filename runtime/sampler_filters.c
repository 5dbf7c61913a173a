/* Candidates in order, and the filters, each from n of them to fewer. */
#include <math.h>

#include "sampler_impl.h"

static bool better(const struct candidate *a, const struct candidate *b)
{
    return a->key > b->key || (a->key == b->key && a->id < b->id);
}

static void swap(struct candidate *a, struct candidate *b)
{
    const struct candidate t = *a;
    *a = *b;
    *b = t;
}

/* Hoare's quickselect, the median of three as pivot. */
void select_best(struct candidate *c, size_t n, size_t k)
{
    size_t low = 0, high = n;
    while (high - low > 1 && k > low && k < high) {
        struct candidate *a = c + low, *b = c + low + (high - low) / 2, *z = c + high - 1;
        if (better(b, a)) swap(a, b);
        if (better(z, b)) swap(b, z);
        if (better(b, a)) swap(a, b);
        const struct candidate pivot = *b;
        size_t i = low, j = high - 1;
        for (;;) {
            while (better(&c[i], &pivot)) i++;
            while (better(&pivot, &c[j])) j--;
            if (i >= j) break;
            swap(&c[i++], &c[j--]);
        }
        const size_t middle =
            i == j ? i + 1 : i; /* [low, middle) is no worse than the pivot, the rest no better */
        if (k < middle && middle < high) high = middle;
        else if (k >= middle && middle > low) low = middle;
        else high--; /* all but the last is no worse than it */
    }
}

/* Best first. */
static void sort_few(struct candidate *c, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        const struct candidate moved = c[i];
        size_t at = i;
        for (; at > 0 && better(&moved, &c[at - 1]); at--) c[at] = c[at - 1];
        c[at] = moved;
    }
}

static void heap_sink(struct candidate *c, size_t n, size_t i)
{
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && better(&c[child + 1], &c[child])) child++;
        if (!better(&c[child], &c[i])) return;
        swap(&c[i], &c[child]);
    }
}

size_t keep_share(struct candidate *c, size_t n, double share, bool strictly)
{
    double total = 0, sum = 0;
    for (size_t i = 0; i < n; i++) total += c[i].weight;
    for (size_t i = n / 2; i-- > 0;) heap_sink(c, n, i);
    for (size_t left = n; left > 0;) {
        sum += c[0].weight;
        swap(&c[0], &c[--left]);
        if (sum > share * total || (!strictly && sum >= share * total)) return n - left;
        heap_sink(c, left, 0);
    }
    return n;
}

size_t keep_best(struct candidate *c, size_t n, size_t k)
{
    if (n > k) {
        select_best(c, n, k);
        n = k;
    }
    if (k <= TOP_MOST) sort_few(c, n);
    return n;
}

void weigh(struct candidate *c, size_t n, double temperature)
{
    double best = c[0].logit;
    for (size_t i = 1; i < n; i++) best = c[i].logit > best ? c[i].logit : best;
    for (size_t i = 0; i < n; i++)
        c[i].weight = exp_same(((double)c[i].logit - best) / temperature);
}

size_t filter_typical(struct candidate **c, size_t n, double p)
{
    struct candidate *const all = *c;
    double total = 0, expected = 0;
    for (size_t i = 0; i < n; i++) {
        total += all[i].weight;
        if (all[i].weight > 0) expected += all[i].weight * all[i].logit;
    }
    for (size_t i = 0; i < n; i++) all[i].key = -fabs(all[i].logit - expected / total);
    const size_t kept = keep_share(all, n, p, true);
    *c = all + (n - kept);
    for (size_t i = 0; i < kept; i++) (*c)[i].key = (*c)[i].logit;
    weigh(*c, kept, 1);
    return kept;
}

size_t filter_min_p(struct candidate *c, size_t n, double p)
{
    size_t kept = 0;
    double best = 0;
    for (size_t i = 0; i < n; i++) best = c[i].weight > best ? c[i].weight : best;
    for (size_t i = 0; i < n; i++) {
        if (c[i].weight >= p * best) c[kept++] = c[i];
    }
    return kept;
}

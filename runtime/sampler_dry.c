#include <float.h>
#include <math.h>

#include "sampler_impl.h"

static bool breaks(struct dry *d, int32_t id, uint32_t n_vocab)
{
    if (id < 0 || (uint32_t)id >= n_vocab) return true;
    if (!d->breaks) return false;
    struct dry_token *const t = &d->tokens[id];
    if (!t->breaks) t->breaks = d->breaks(d->user, id) ? 2 : 1;
    return t->breaks == 2;
}

/* How many tokens that end at history[at] are those that the history ends with. The last one is. */
static uint32_t match_length(struct dry *d, uint32_t n_vocab, const int32_t *history, size_t n,
                             size_t at)
{
    uint32_t length = 1;
    while (length < DRY_MOST && length <= at) {
        const int32_t id = history[n - 1 - length];
        if (history[at - length] != id || breaks(d, id, n_vocab)) break;
        length++;
    }
    return length;
}

static float lowered(const struct dry *d, float logit, uint32_t longest)
{
    double penalty = d->multiplier;
    for (uint32_t i = (uint32_t)d->length; i < longest; i++) penalty *= d->base;
    const double x = (double)logit - fmin(penalty, FLT_MAX);
    return logit == -INFINITY || x >= -FLT_MAX ? (float)x : -FLT_MAX;
}

void dry_apply(struct dry *d, float *logits, uint32_t n_vocab, const int32_t *history, size_t n)
{
    if (!n || breaks(d, history[n - 1], n_vocab)) return;
    for (size_t i = 0; i + 1 < n; i++) {
        if (history[i] != history[n - 1] || breaks(d, history[i + 1], n_vocab)) continue;
        const uint32_t length = match_length(d, n_vocab, history, n, i);
        struct dry_token *const next = &d->tokens[history[i + 1]];
        if (length > next->longest) next->longest = (uint8_t)length;
    }
    for (size_t i = 0; i + 1 < n; i++) {
        const int32_t id = history[i + 1];
        if (history[i] != history[n - 1] || id < 0 || (uint32_t)id >= n_vocab) continue;
        const uint32_t longest = d->tokens[id].longest;
        if (longest >= (uint32_t)d->length) logits[id] = lowered(d, logits[id], longest);
        d->tokens[id].longest = 0;
    }
}

#include "sampler_impl.h"

#define LN2 0.69314718055994531

size_t mirostat_cut(const struct mirostat *m, struct candidate *c, size_t n)
{
    size_t kept = 0, best = 0;
    double total = 0;
    for (size_t i = 0; i < n; i++) {
        total += c[i].weight;
        if (c[i].logit > c[best].logit || (c[i].logit == c[best].logit && c[i].id < c[best].id))
            best = i;
    }
    const struct candidate first = c[best];
    const double least = m->mu > 0 ? exp_same(-m->mu * LN2) * total : total;
    for (size_t i = 0; i < n; i++) {
        if (c[i].weight >= least) c[kept++] = c[i];
    }
    if (!kept) c[kept++] = first;
    return kept;
}

void mirostat_learn(struct mirostat *m, const struct candidate *c, size_t n, int32_t id)
{
    double total = 0, weight = 0;
    for (size_t i = 0; i < n; i++) {
        total += c[i].weight;
        if (c[i].id == id) weight = c[i].weight;
    }
    if (weight > 0) m->mu -= m->eta * (log2_same(total / weight) - m->tau);
}

#include "sampler_impl.h"

size_t xtc_filter(struct candidate *c, size_t n, double threshold)
{
    const struct candidate *least = NULL;
    double total = 0;
    size_t kept = 0, reach = 0;
    for (size_t i = 0; i < n; i++) total += c[i].weight;
    for (size_t i = 0; i < n; i++) {
        if (c[i].weight < threshold * total) continue;
        reach++;
        if (!least || c[i].logit < least->logit ||
            (c[i].logit == least->logit && c[i].id > least->id))
            least = &c[i];
    }
    if (reach < 2) return n;
    const int32_t stays = least->id;
    for (size_t i = 0; i < n; i++) {
        if (c[i].weight < threshold * total || c[i].id == stays) c[kept++] = c[i];
    }
    return kept;
}

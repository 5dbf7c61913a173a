/* Log probabilities: f32 is plenty, and four lanes wide. */
#include "sampler_impl.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* e^x for x <= 0 to seven digits: 2^n * 2^f, |f| <= 1/2. Without a branch, so that compilers
 * vectorize its loop. */
static float exp_quick(float x)
{
    const float magic = 12582912; /* 1.5 * 2^23: adding it rounds to whole numbers */
    float t = x * 1.44269504f;
    t = t > -126 ? t : -126; /* NaN, too */
    const float rounded = t + magic;
    const float f = t - (rounded - magic);
    const float y =
        1 + f * (0.693147181f +
                 f * (0.240226507f +
                      f * (0.0555041087f +
                           f * (0.00961812911f + f * (0.00133335581f + f * 0.000154035304f)))));
    uint32_t bits, scaled;
    memcpy(&bits, &rounded, sizeof bits);
    memcpy(&scaled, &y, sizeof scaled);
    scaled += bits << 23; /* the low bits of rounded are n */
    float result;
    memcpy(&result, &scaled, sizeof result);
    return result;
}

double log_sum(const float *logits, uint32_t n)
{
    enum { LANES = 8, BLOCK = 512 };
    float most[LANES], best = -INFINITY;
    double sum = 0;
    for (int j = 0; j < LANES; j++) most[j] = -INFINITY;
    for (uint32_t i = 0; i + LANES <= n; i += LANES) {
        for (uint32_t j = 0; j < LANES; j++)
            most[j] = logits[i + j] > most[j] ? logits[i + j] : most[j];
    }
    for (int j = 0; j < LANES; j++) best = most[j] > best ? most[j] : best;
    for (uint32_t i = n - n % LANES; i < n; i++) best = logits[i] > best ? logits[i] : best;
    if (best == -INFINITY) return best;
    best = to_logit((double)best);
    for (uint32_t at = 0; at < n; at += BLOCK) {
        const uint32_t size = n - at < BLOCK ? n - at : BLOCK;
        const float *const x = logits + at;
        float part[BLOCK];
        for (uint32_t i = 0; i < size; i++)
            part[i] = exp_quick((x[i] > FLT_MAX ? FLT_MAX : x[i]) - best);
        for (uint32_t i = size; i % LANES; i++) part[i] = 0;
        float lanes[LANES] = {0};
        for (uint32_t i = 0; i < size; i += LANES) {
            for (uint32_t j = 0; j < LANES; j++) lanes[j] += part[i + j];
        }
        for (int j = 0; j < LANES; j++) sum += (double)lanes[j];
    }
    return (double)best + log(sum);
}

double log_probability(float logit, double sum)
{
    return logit == -INFINITY ? -INFINITY : fmin(0, (double)to_logit((double)logit) - sum);
}

double top_log_sum(const struct top *top)
{
    double sum = 0;
    if (!(top->most > -INFINITY)) return -INFINITY;
    for (int i = 0; i < TOP_PARTS; i++) sum += (double)top->sums[i];
    return (double)top->most + log(sum);
}

/* One more for the best, which hold *found with their logits. */
static void insert(struct llm_logprob *best, uint32_t n, uint32_t *found, int32_t id, float x)
{
    if (!(x >= -INFINITY)) return;
    uint32_t at = *found;
    while (at > 0 &&
           (x > best[at - 1].logprob || (x == best[at - 1].logprob && id < best[at - 1].id)))
        at--;
    if (at == n) return;
    *found += *found < n;
    for (uint32_t i = *found - 1; i > at; i--) best[i] = best[i - 1];
    best[at] = (struct llm_logprob){id, x};
}

static void to_log_probabilities(struct llm_logprob *best, uint32_t n, uint32_t found, double sum)
{
    for (uint32_t i = 0; i < found; i++)
        best[i].logprob = (float)log_probability(best[i].logprob, sum);
    for (uint32_t i = found; i < n; i++) best[i] = (struct llm_logprob){-1, -INFINITY};
}

void sampler_best(const float *logits, uint32_t n_vocab, struct llm_logprob *best, uint32_t n)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < n_vocab; i++) insert(best, n, &found, (int32_t)i, logits[i]);
    to_log_probabilities(best, n, found, log_sum(logits, n_vocab));
}

void sampler_best_top(const struct top *top, struct llm_logprob *best, uint32_t n)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < top->n; i++)
        insert(best, n, &found, (int32_t)top->items[i].id, top->items[i].logit);
    to_log_probabilities(best, n, found, top_log_sum(top));
}

/* sampler_impl.h - what the files of the sampler share. Formulas: see each function. */
#ifndef SAMPLER_IMPL_H
#define SAMPLER_IMPL_H

#include "sampler.h"

/* What the filters order and the draw walks. Better: a larger key, among equals the lower id. */
struct candidate {
    double key;    /* the logit, or how typical the token is */
    double weight; /* its probability, not normalised */
    float logit;
    int32_t id;
};

/* e^x for x <= 0, and the logarithm to base 2 of x > 0, from additions, multiplications and
 * divisions alone: the C libraries' own differ in the last bit. */
double exp_same(double x);
double log2_same(double x);
/* In [0, 1), from seed and position alone. */
double random_at(uint64_t seed, uint64_t position);

/* Infinity would make NaN of every difference: it becomes the largest number. -inf stays and means
 * banned. */
float to_logit(double x);

/* ln of the sum of e^logit, NaN left out; -inf when there is nothing to sum. */
double log_sum(const float *logits, uint32_t n);
double top_log_sum(const struct top *top); /* the same of all logits */
double log_probability(float logit, double sum);

/* ---- order and filters ---- */

/* Moves the k best to the front, in no order. */
void select_best(struct candidate *c, size_t n, size_t k);
/* The same, and returns how many there are. Few of them in their order: so it does not matter what
 * else there was to select from. */
size_t keep_best(struct candidate *c, size_t n, size_t k);
/* Keeps the best whose weights sum up to share of the total (more than it, if strictly), at least
 * one. They end up at the end of c, the best one last; returns how many there are. Sorts no more
 * than it keeps. */
size_t keep_share(struct candidate *c, size_t n, double share, bool strictly);
/* weight = e^((logit - best) / temperature), so that the best has 1. */
void weigh(struct candidate *c, size_t n, double temperature);
/* Locally typical sampling (Meister et al. 2022): those whose surprise is nearest to the entropy.
 * The difference of both is that of a logit to the expected logit, without the normaliser. They end
 * up at the end of *c, which moves there. */
size_t filter_typical(struct candidate **c, size_t n, double p);
/* Those at least p times as likely as the best. */
size_t filter_min_p(struct candidate *c, size_t n, double p);

/* ---- DRY ("don't repeat yourself", p-e-w 2024: text-generation-webui, pull request 5677) ---- */

enum { DRY_MOST = 50 }; /* a match counts for so many tokens at most, as there */

struct dry_token {
    uint8_t longest; /* match that this token would prolong, zero between calls */
    uint8_t breaks;  /* 0: not asked yet, 1: no, 2: yes */
};

struct dry {
    double multiplier, base; /* multiplier 0: off */
    int32_t length;
    struct dry_token *tokens; /* (n_vocab) */
    sampler_breaks_fn breaks;
    void *user;
};

/* Lowers the logit of each token that would prolong a repetition: one that followed, earlier in the
 * history, the same n >= length tokens that the history ends with, by multiplier *
 * base^(n - length). No match goes over a token that breaks. */
void dry_apply(struct dry *d, float *logits, uint32_t n_vocab, const int32_t *history, size_t n);

/* ---- XTC ("exclude top choices", p-e-w 2024: text-generation-webui, pull request 6335) ---- */

/* Of the candidates whose probability reaches the threshold only the least likely stays; weights
 * are those of temperature 1. Returns how many stay. */
size_t xtc_filter(struct candidate *c, size_t n, double threshold);

/* ---- Mirostat 2 (Basu et al. 2020, as llama.cpp has it) ---- */

struct mirostat {
    double tau, eta; /* tau 0: off */
    double mu;       /* the most surprise, in bits, that a token may have; 2 tau at first */
};

/* Those that surprise by no more than mu, at least the best; weights are those of the temperature.
 */
size_t mirostat_cut(const struct mirostat *m, struct candidate *c, size_t n);
/* The token c[picked] has been drawn: moves mu towards the surprise that is wanted. */
void mirostat_learn(struct mirostat *m, const struct candidate *c, size_t n, int32_t id);

#endif

/* sampler.h - from logits to a token. Pure: the same logits, history, options and seed give the
 * same token on every machine that has IEEE doubles (with mirostat, after the same tokens). */
#ifndef SAMPLER_H
#define SAMPLER_H

#include <stdbool.h>

#include "alloc.h"
#include "llm.h"
#include "top.h"

struct sampler;

/* Checks the options (LLM_BAD_ARGUMENT names the one out of range) and copies what it needs. The
 * seed must be set. */
llm_status sampler_create(struct sampler **out, const struct llm_generate_options *o,
                          uint32_t n_vocab, const struct alloc *alloc, struct llm_error *error);
void sampler_free(struct sampler *s);
/* Whether repetitions, which dry counts, end at a token: ends of sentences, quotes, marks of a
 * chat. */
typedef bool (*sampler_breaks_fn)(void *user, int32_t id);
void sampler_set_breaks(struct sampler *s, sampler_breaks_fn breaks, void *user);
/* True when the choice is the plain best logit, so that the device's argmax will do. */
bool sampler_is_argmax(const struct sampler *s);

/* Picks a token for position (its index in the session, which the random number depends on besides
 * the seed). history: the session's tokens so far, for penalties. logits: n_vocab, not changed.
 * Order: bias, penalties, dry, top_k, typical_p, top_p, min_p, xtc, temperature. Mirostat takes the
 * place of all filters and remembers: pick once for each token, in their order. *logprob: natural
 * log of its probability under the plain logits (softmax, no options); logprob may be NULL, which
 * is quicker. Allocates nothing. LLM_BAD_STATE when every token is banned or all logits are NaN. */
llm_status sampler_pick(struct sampler *s, const float *logits, const int32_t *history,
                        size_t n_history, uint64_t position, int32_t *id, double *logprob,
                        struct llm_error *error);
/* What sampler_pick_top needs of the next logits: the best so many, and those of *n_named ids; 0:
 * all logits are needed. n_logprobs: what sampler_best_top will be asked for. */
uint32_t sampler_wants(struct sampler *s, const int32_t *history, size_t n_history,
                       uint32_t n_logprobs, uint32_t named[TOP_NAMED], uint32_t *n_named);
/* As sampler_pick, bit for bit but for the last digits of *logprob, from what sampler_wants has
 * said for the same history; at most TOP_ROOM items. */
llm_status sampler_pick_top(struct sampler *s, const struct top *top, const int32_t *history,
                            size_t n_history, uint64_t position, int32_t *id, double *logprob,
                            struct llm_error *error);
/* The n best by plain logit, best first, ties to the lowest id, with natural log probabilities.
 * Where there are fewer (NaN is none), the rest have id -1. */
void sampler_best(const float *logits, uint32_t n_vocab, struct llm_logprob *best, uint32_t n);
void sampler_best_top(const struct top *top, struct llm_logprob *best, uint32_t n);

#endif

/* agreement.h - how far a model's logits are from a forward pass in double precision. */
#ifndef AGREEMENT_H
#define AGREEMENT_H

#include "fixture.h"

struct agreement {
    double mean;       /* Kullback-Leibler divergence in nats */
    uint32_t n, other; /* positions; those where the best token is another one */
};

/* Feeds the first n_prompt ids in one piece and the rest one by one, and compares after each piece.
 * The best token is another where the reference sees more than a hair (1e-3) between the two. */
struct agreement agree(llm_model *model, const struct memory_file *file, const int32_t *ids,
                       size_t n_prompt, size_t n);

/* The same of several models of one file, with one pass of the reference. */
void agree_many(llm_model *const *models, size_t n_models, const struct memory_file *file,
                const int32_t *ids, size_t n_prompt, size_t n, struct agreement *out);

/* n ids of text as the model was trained on: a beginning, what it goes on with, and so again. */
void tell_story(llm_model *model, int32_t *ids, size_t n);

#endif

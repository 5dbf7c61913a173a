/* peer_models.h - the random models whose logits llama.cpp has computed (tests/peer/make.sh): the
 * golden data of tests/data/peer. Changing a shape, model_make or the ids means making that data
 * anew. */
#ifndef PEER_MODELS_H
#define PEER_MODELS_H

#include <string.h>

#include "model_make.h"

enum {
    PEER_VOCAB = 300,
    PEER_ROWS = 4 /* logits are kept after ids 0, step, 2 step and 3 step */
};

struct peer_model {
    const char *name; /* NAME-far: more ids, past pages and windows */
    struct model_shape shape;
    double limit; /* of the NMSE */
};

extern const struct peer_model peer_models[];
extern const uint32_t peer_n_models;

static inline uint32_t peer_step(const struct peer_model *m)
{
    const size_t n = strlen(m->name);
    return n > 4 && strcmp(m->name + n - 4, "-far") == 0 ? 113 : 13;
}

static inline int32_t peer_id(uint32_t i)
{
    return (int32_t)((i * 37 + 5) % PEER_VOCAB);
}

#endif

/* peer_models.h - the random models whose logits llama.cpp has computed (tests/peer/make.sh): the
 * golden data of tests/data/peer. Changing a shape, model_make or the ids means making that data
 * anew. */
#ifndef PEER_MODELS_H
#define PEER_MODELS_H

#include "model_make.h"

enum {
    PEER_VOCAB = 300,
    PEER_IDS = 40,
    PEER_CONTEXT = 256,
    PEER_STEP = 13 /* logits are kept after ids 0, 13, 26 and 39 */
};

struct peer_model {
    const char *name;
    struct model_shape shape;
};

extern const struct peer_model peer_models[];
extern const uint32_t peer_n_models;

static inline int32_t peer_id(uint32_t i)
{
    return (int32_t)((i * 37 + 5) % PEER_VOCAB);
}

#endif

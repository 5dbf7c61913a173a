/* router.h - how the rows of a feed-forward layer choose among experts (shaders/router.comp has the
 * arithmetic). Pure. */
#ifndef ROUTER_H
#define ROUTER_H

#include <stdbool.h>
#include <stdint.h>

enum {
    EXPERTS_MAX = 512, /* of a layer, as llama.cpp's LLAMA_MAX_EXPERTS */
    EXPERTS_USED_MAX = 32
};

/* What makes weights of logits: the softmax of all, the sigmoid of each, the softmax of the chosen.
 */
enum router_gate { ROUTER_SOFTMAX, ROUTER_SIGMOID, ROUTER_SOFTMAX_CHOSEN };
/* An expert that every row has: added as it is, or times the sigmoid of a logit of its own. */
enum shared_expert { SHARED_NONE, SHARED_PLAIN, SHARED_GATED };

struct router {
    uint32_t n_experts, n_used;     /* n_experts 0: there are none */
    uint32_t n_groups, groups_used; /* n_groups 0 or 1: experts are not in groups */
    enum router_gate gate;
    bool normalise; /* the weights of a row, to a sum of 1 */
    float scale;    /* of the weights */
    enum shared_expert shared;
};

#endif

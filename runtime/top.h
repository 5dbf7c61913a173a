/* top.h - the part of an output's logits that sampling looks at: what a device hands out (ops_top)
 * instead of all of them. The same words in C and in shaders. */
#ifndef TOP_H
#define TOP_H

#include <stdint.h>

enum {
    TOP_MOST = 256,
    TOP_ROOM = 512, /* for the best and what comes with them */
    TOP_NAMED = 128,
    TOP_PARTS = 16
};

/* What is wanted of an output. */
struct step_top {
    uint32_t k;                         /* the best so many, at most TOP_MOST; 0: nothing */
    uint32_t n_named, named[TOP_NAMED]; /* and the logits of these ids */
};

struct top_item {
    uint32_t id;
    float logit;
};

/* The items are all logits from some value on, in no order: the k best at least, or all there are.
 * NaN is none. */
struct top {
    uint32_t n; /* of items; more than TOP_ROOM: they did not fit, and say nothing */
    float most; /* the largest logit, at most FLT_MAX; -infinity, or NaN, when there is none */
    float sums[TOP_PARTS]; /* together the sum of e^(logit - most) of all logits, to 1e-5 of it */
    struct top_item items[TOP_ROOM];
    float named[TOP_NAMED];
};

#endif

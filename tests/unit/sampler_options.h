/* sampler_options.h - what the tests of the sampler start from. */
#ifndef SAMPLER_OPTIONS_H
#define SAMPLER_OPTIONS_H

#include "sampler.h"

/* Below n. */
static inline uint32_t next(uint32_t *state, uint32_t n)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 8) % n;
}

/* Everything off: softmax at temperature 1. */
static inline struct llm_generate_options plain(void)
{
    return (struct llm_generate_options){.size = sizeof(struct llm_generate_options),
                                         .max_tokens = -1,
                                         .temperature = 1,
                                         .top_p = 1,
                                         .typical_p = 1,
                                         .repeat_penalty = 1,
                                         .penalty_last_n = 64,
                                         .has_seed = 1,
                                         .seed = 42};
}

#endif

/* forward_impl.h - what the parts of forward share. */
#ifndef FORWARD_IMPL_H
#define FORWARD_IMPL_H

#include "forward.h"

void forward_free_plans(struct forward *f);

/* Behind x: every other one is used, so that they begin at multiples of 256 bytes. */
enum { FORWARD_ROWS_BEHIND = 4 };

/* Of a slot's best token in best_host. */
static inline uint32_t forward_best_at(uint32_t slot, uint32_t output)
{
    return slot * FORWARD_MAX_OUTPUTS + output;
}

#endif

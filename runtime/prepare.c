#include "prepare.h"

#include "error.h"
#include "kernels.h"
#include "layer.h"
#include "ops_impl.h"

/* Without commands to record into, operations say which kernels they want. */
llm_status prepare_kernels(struct forward *f, struct llm_error *error)
{
    const struct gpu_buffer *states;
    for (uint32_t b = 0; ops_buckets[b] && ops_buckets[b] <= f->step.max_rows; b++) {
        const uint32_t n = ops_buckets[b];
        for (uint32_t l = 0; l < f->h.n_layers; l++) TRY(layer_record(f, NULL, l, n, error));
        TRY(layer_record_states(f, NULL, n, &states, error));
        if (f->h.encoder || n > FORWARD_MAX_OUTPUTS) continue;
        TRY(layer_record_head(f, NULL, n, error));
        TRY(ops_argmax(f->ops, NULL, &f->logits, f->h.vocab, &f->best, n, error));
        TRY(ops_top(f->ops, NULL, &f->logits, f->h.vocab, &f->step, &f->groups, &f->top, n, error));
    }
    kernels_make_wanted(f->ops->kernels);
    return LLM_OK;
}

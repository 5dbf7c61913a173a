/* experts.h - the commands of a feed-forward layer whose rows choose among experts:
 *
 *   sum += sum over the chosen of weight * down(act(gate(rows)) * up(rows)), and the shared expert
 *
 * or without a gate act(up(rows)).
 * Only the weights of chosen experts are read. */
#ifndef EXPERTS_H
#define EXPERTS_H

#include "ops_experts.h"
#include "weights.h"

/* What lies between the operations, for all layers. */
struct expert_scratch {
    struct gpu_buffer logits, chosen, order;
    struct gpu_buffer hidden,
        made; /* (rows, slots, stride) f32: between the products, after them */
};

/* Bytes on the device for so many rows; 0 without experts. */
uint64_t experts_scratch_size(const struct hparams *h, uint32_t n_rows);
llm_status experts_open(struct expert_scratch *s, struct gpu_device *gpu, const struct hparams *h,
                        uint32_t n_rows, struct llm_error *error);
void experts_clear(const struct expert_scratch *s, struct gpu_commands *c); /* before first use */
void experts_free(struct expert_scratch *s, struct gpu_device *gpu);

struct forward;
/* Which experts rows take; a barrier follows. Rows: f32, as layer.c gives them. */
llm_status experts_record_choice(struct forward *f, struct gpu_commands *c, uint32_t l,
                                 const struct gpu_buffer *rows, uint32_t n_rows,
                                 struct llm_error *error);
/* What the chosen ones make of rows, added to sum (x of ops_combine). */
llm_status experts_record_sum(struct forward *f, struct gpu_commands *c, uint32_t l,
                              const struct gpu_buffer *rows, const struct gpu_buffer *sum,
                              uint32_t n_rows, struct llm_error *error);

#endif

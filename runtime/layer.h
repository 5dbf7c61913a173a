/* layer.h - the commands of one layer, by what its weights hold and its layer_kind says:
 *
 *   x += post(o(attention(norm(x))))      x += post(down(activation(up(norm(x)))))
 *
 * where each norm may be absent. In a parallel layer the ffn is given the x that attention was
 * given, or its norm where it has none of its own. With norms_after it is
 *
 *   y = post(x + o(attention(x)))         x = post(y + down(activation(up(y))))
 *
 * and y lies in the buffer `normed`. Each sublayer also makes the norm that comes after it, because
 * that may cost no dispatch (ops_matrix_norm). For a single row all from o to the next layer's q, k
 * and v may be one dispatch (ops_tail). */
#ifndef LAYER_H
#define LAYER_H

#include "forward.h"

/* From the embedding (layer 0) or the norm that the layer before made. */
llm_status layer_record(struct forward *f, struct gpu_commands *c, uint32_t l, uint32_t n_rows,
                        struct llm_error *error);
/* Whether all that follows the layer's attention is one dispatch. */
bool layer_has_tail(const struct forward *f, uint32_t l, uint32_t n_rows);
/* The logits of the step's outputs. */
llm_status layer_record_head(struct forward *f, struct gpu_commands *c, uint32_t n_outputs,
                             struct llm_error *error);
/* The hidden states of all rows after the last norm, if there is one. Returns where they lie. */
llm_status layer_record_states(struct forward *f, struct gpu_commands *c, uint32_t n_rows,
                               const struct gpu_buffer **out, struct llm_error *error);

#endif

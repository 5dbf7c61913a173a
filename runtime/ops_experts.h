/* ops_experts.h - operations of feed-forward layers whose rows choose among experts. As in ops.h:
 * each records its dispatches, the caller writes the barriers between them.
 *
 * A pair is a row and one of its slots, number row * slots + slot: first those of the experts that
 * the row chose, in the router's order, then the shared expert's where there is one. A row's
 * results are the same in any company. */
#ifndef OPS_EXPERTS_H
#define OPS_EXPERTS_H

#include "ops.h"
#include "router.h"

/* One matrix for each expert, all of one shape and format. */
struct experts {
    struct weight one; /* expert 0's; buffer is the first of as many as are needed */
    uint32_t n;
    uint32_t a_buffer;     /* experts in each buffer but the last */
    uint64_t stride;       /* bytes from one to the next, multiple of 256 */
    struct gpu_range bias; /* (n, ops_stride(rows)) floats; buffer NULL: none */
};

/* How n such matrices lie in buffers; no buffer yet. */
struct experts ops_experts_layout(const struct gpu_info *info, enum quant_type type, uint32_t rows,
                                  uint32_t cols, uint32_t n);
uint32_t ops_experts_buffers(const struct experts *e);
uint64_t ops_experts_buffer_size(const struct experts *e, uint32_t buffer);

/* Biases of the logits, and of the choice alone (DeepSeek-V3), and what multiplies the experts'
 * weights (Gemma 4): floats, those that are there, in this order. */
struct router_terms {
    bool logits, choice, scales;
    struct gpu_range data;
};

/* What a step's rows have chosen. */
struct pairs {
    const struct gpu_buffer *chosen; /* ops_chosen_size bytes: (rows, slots) expert, weight */
    const struct gpu_buffer *order;  /* ops_order_size bytes */
    uint32_t n_rows, n_experts, n_used, slots;
};

uint32_t ops_router_slots(const struct router *r);
/* Floats of a row of logits; the shared expert's is at ops_stride(n_experts). */
uint32_t ops_router_stride(const struct router *r);
uint64_t ops_chosen_size(const struct router *r, uint32_t n_rows);
uint64_t ops_order_size(const struct router *r, uint32_t n_rows);

/* Rows that are padding choose nothing. terms may be NULL. */
llm_status ops_route(struct ops *ops, struct gpu_commands *c, const struct router *r,
                     const struct router_terms *terms, const struct step *step,
                     const struct gpu_buffer *logits, const struct pairs *pairs,
                     struct llm_error *error);
/* Puts pairs of one expert together where they are many, after a barrier of its own: between
 * ops_route and the products. */
llm_status ops_order(struct ops *ops, struct gpu_commands *c, const struct pairs *pairs,
                     struct llm_error *error);
/* y(pair) = act(gate x(row)) * (up x(row)) of the pair's expert. y: ops_stride(gate rows) floats a
 * pair. up's biases lie after gate's in their buffer. */
llm_status ops_experts_gate_up(struct ops *ops, struct gpu_commands *c, const struct experts *gate,
                               const struct experts *up, const struct activation *a,
                               const struct pairs *pairs, const struct gpu_buffer *x,
                               const struct gpu_buffer *y, struct llm_error *error);
/* y(pair) = act(up x(row)), of experts without a gate */
llm_status ops_experts_up(struct ops *ops, struct gpu_commands *c, const struct experts *up,
                          const struct activation *a, const struct pairs *pairs,
                          const struct gpu_buffer *x, const struct gpu_buffer *y,
                          struct llm_error *error);
/* y(pair) = down x(pair) */
llm_status ops_experts_down(struct ops *ops, struct gpu_commands *c, const struct experts *down,
                            const struct pairs *pairs, const struct gpu_buffer *x,
                            const struct gpu_buffer *y, struct llm_error *error);
/* Rows of which every matrix has its part: floats, multiples of 4. */
struct parts {
    const struct gpu_buffer *buffer;
    uint32_t stride, at, each; /* of a row; where the first part begins; from one to the next */
};
/* y(row)'s part m = w_m x(row)'s part m, for each matrix m. What follows a part of x is read up to
 * a multiple of 32 columns and must be finite; zeros follow a part of y up to a multiple of 4 rows.
 */
llm_status ops_experts_all(struct ops *ops, struct gpu_commands *c, const struct experts *w,
                           const struct parts *x, const struct parts *y, uint32_t n_rows,
                           struct llm_error *error);
/* to(row) += sum over slots of weight * made(pair); rows of dim values. */
llm_status ops_combine(struct ops *ops, struct gpu_commands *c, const struct pairs *pairs,
                       const struct gpu_buffer *made, const struct gpu_buffer *to, uint32_t dim,
                       struct llm_error *error);

#endif

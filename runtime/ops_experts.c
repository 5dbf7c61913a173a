#include "ops_experts.h"

#include <inttypes.h>

#include "args.h"
#include "check.h"
#include "error.h"
#include "ops_impl.h"
#include "repack.h"

enum { ORDER_LANES = 128 };

/* ---- where experts lie ---- */

static uint64_t matrix_size(const struct experts *e)
{
    return repack_size(e->one.type, e->one.rows, e->one.cols);
}

struct experts ops_experts_layout(const struct gpu_info *info, enum quant_type type, uint32_t rows,
                                  uint32_t cols, uint32_t n)
{
    struct experts e = {.one = {.type = type, .rows = rows, .cols = cols}, .n = n};
    const uint64_t most =
        info->binding_size < info->allocation_size ? info->binding_size : info->allocation_size;
    e.stride = (matrix_size(&e) + 255) / 256 * 256;
    uint64_t fit = most / e.stride;
    e.a_buffer = fit == 0 ? 1 : fit < n ? (uint32_t)fit : n;
    return e;
}

uint32_t ops_experts_buffers(const struct experts *e)
{
    return divide_up(e->n, e->a_buffer);
}

static uint32_t experts_in(const struct experts *e, uint32_t buffer)
{
    return minimum(e->a_buffer, e->n - buffer * e->a_buffer);
}

uint64_t ops_experts_buffer_size(const struct experts *e, uint32_t buffer)
{
    return experts_in(e, buffer) * e->stride;
}

/* ---- the router ---- */

uint32_t ops_router_slots(const struct router *r)
{
    return r->n_used + (r->shared != SHARED_NONE);
}

uint32_t ops_router_stride(const struct router *r)
{
    return ops_stride(r->n_experts) + (r->shared == SHARED_GATED ? 32 : 0);
}

uint64_t ops_chosen_size(const struct router *r, uint32_t n_rows)
{
    return (uint64_t)n_rows * ops_router_slots(r) * 2 * sizeof(uint32_t);
}

uint32_t ops_experts_columns(const struct ops *ops, const struct pairs *p)
{
    uint32_t each = p->n_rows * p->n_used / p->n_experts, columns = 1;
    if (each < 2) return 0;
    while (columns * 2 <= minimum(each, ops->profile->mat_columns / 2)) columns *= 2;
    return columns;
}

/* Entries of order: every expert may leave all but one place of a group empty. */
static uint32_t order_entries(const struct pairs *p, uint32_t columns)
{
    uint32_t n = p->n_rows * p->n_used + p->n_experts * (columns - 1);
    return n / columns * columns;
}

uint64_t ops_order_size(const struct router *r, uint32_t n_rows)
{
    /* Most where columns are as many as pairs an expert: that many again. */
    return 2 * ((uint64_t)n_rows * r->n_used + r->n_experts) * sizeof(uint32_t);
}

llm_status ops_route(struct ops *ops, struct gpu_commands *c, const struct router *r,
                     const struct router_terms *t, const struct step *step,
                     const struct gpu_buffer *logits, const struct pairs *p,
                     struct llm_error *error)
{
    const struct gpu_kernel *kernel;
    const uint32_t groups = r->n_groups ? r->n_groups : 1;
    if (r->n_experts == 0 || r->n_experts > EXPERTS_MAX || r->n_used == 0 ||
        r->n_used > EXPERTS_USED_MAX || r->n_used > r->n_experts || r->n_experts % groups) {
        return error_set(error, LLM_UNSUPPORTED,
                         "%" PRIu32 " of %" PRIu32 " experts in %" PRIu32
                         " groups: at most %d of at most %d are supported, in equal groups",
                         r->n_used, r->n_experts, groups, EXPERTS_USED_MAX, EXPERTS_MAX);
    }
    const uint32_t terms =
        t ? (uint32_t)t->logits | (uint32_t)t->choice << 1 | (uint32_t)t->scales << 2 : 0;
    const struct check check = {.kind = CHECK_ROUTER,
                                .router = *r,
                                .logit_bias = t && t->logits,
                                .choice_bias = t && t->choice,
                                .expert_scales = t && t->scales,
                                .n_rows = p->n_rows,
                                .columns = ops_experts_columns(ops, p)};
    TRY(ops_required(ops, c, &check, error));
    const uint32_t spec[] = {ops->profile->norm_lanes,
                             r->n_experts,
                             r->n_used,
                             groups,
                             r->gate,
                             r->normalise,
                             terms,
                             r->shared};
    TRY(ops_kernel(ops, c, MODULE_router, spec, 8, &kernel, error));
    const struct router_args args = {
        .stride = ops_router_stride(r),
        .slots = p->slots,
        .groups_used = r->groups_used,
        .shared_at = ops_stride(r->n_experts),
        .no_row = STEP_NO_ROW,
        .scale = r->scale,
    };
    const struct gpu_range ranges[] = {
        all_of(logits),
        {&step->buffer, step->rows, p->n_rows * sizeof(struct step_row)},
        terms ? t->data : all_of(logits),
        all_of(p->chosen),
    };
    gpu_commands_dispatch(c, kernel, ranges, &args, p->n_rows, 1, 1);
    return LLM_OK;
}

llm_status ops_order(struct ops *ops, struct gpu_commands *c, const struct pairs *p,
                     struct llm_error *error)
{
    const uint32_t columns = ops_experts_columns(ops, p);
    if (columns == 0) return LLM_OK;
    const struct gpu_kernel *kernel;
    const uint32_t spec[] = {ORDER_LANES, p->n_experts, columns};
    TRY(ops_kernel(ops, c, MODULE_order, spec, 3, &kernel, error));
    const struct order_args args = {p->n_rows * p->slots, order_entries(p, columns)};
    const struct gpu_range ranges[] = {all_of(p->chosen), all_of(p->order)};
    gpu_commands_barrier(c);
    gpu_commands_dispatch(c, kernel, ranges, &args, 1, 1, 1);
    return LLM_OK;
}

/* ---- products ---- */

/* Which pairs a workgroup takes, as in mat_experts.comp. */
enum pairs_of { ITS_OWN, IN_ORDER_OF_EXPERTS, OF_ALL };

static struct experts_args args_of(const struct expert_product *p)
{
    const struct experts *e = p->first;
    const bool second_bias = e->bias.buffer && p->second;
    struct experts_args args = {
        .blocks = ops_stride(e->one.cols) / 32,
        .x_stride = ops_stride(e->one.cols) / 4,
        .y_stride = ops_stride(e->one.rows) / 4,
        .words = (uint32_t)(e->stride / 16),
        .x_slots = p->x_slots,
        .bias_stride = ops_stride(e->one.rows) / 4,
        .second_bias = second_bias ? (uint32_t)((p->second->bias.offset - e->bias.offset) / 16) : 0,
    };
    if (!p->x_parts) return args;
    args.x_stride = p->x_parts->each / 4;
    args.x_at = p->x_parts->at / 4;
    args.x_row = p->x_parts->stride / 4;
    args.y_stride = p->y_parts->each / 4;
    args.y_at = p->y_parts->at / 4;
    args.y_row = p->y_parts->stride / 4;
    return args;
}

static llm_status check_experts(const struct experts *e, const struct pairs *pairs,
                                struct llm_error *error)
{
    if (e->n == pairs->n_experts) return LLM_OK;
    return error_set(error, LLM_BAD_ARGUMENT,
                     "matrices of %" PRIu32 " experts; the router has %" PRIu32, e->n,
                     pairs->n_experts);
}

/* Tiles [tile, tile + n) of the experts in a buffer; n is all of them where there are several. */
static struct gpu_range range_of(const struct experts *e, uint32_t buffer, uint32_t tile,
                                 uint32_t n)
{
    uint64_t size = repack_tile_size(e->one.type, e->one.cols);
    return (struct gpu_range){e->one.buffer + buffer, e->one.offset + tile * size,
                              (experts_in(e, buffer) - 1) * e->stride + n * size};
}

/* The biases of both matrices are one range: the second's follow somewhere. */
static struct gpu_range both_biases(const struct expert_product *p)
{
    struct gpu_range range = p->first->bias;
    if (p->second) range.size = p->second->bias.offset + p->second->bias.size - range.offset;
    return range;
}

llm_status ops_experts_multiply(struct ops *ops, struct gpu_commands *c,
                                const struct expert_product *p, const struct pairs *pairs,
                                struct llm_error *error)
{
    const struct gpu_kernel *kernel;
    const struct experts *e = p->first;
    const struct format_modules *m = ops_format(e->one.type);
    const uint32_t columns = ops_experts_columns(ops, pairs),
                   tiles = divide_up(e->one.rows, REPACK_TILE);
    const bool bias = e->bias.buffer != NULL;
    struct gpu_range grid = {0};
    uint32_t cut = 0;
    if (bias && both_biases(p).size > ops->info->binding_size)
        return error_set(error, LLM_UNSUPPORTED,
                         "experts' biases of %" PRIu64
                         " bytes are too many for bindings of %" PRIu64,
                         both_biases(p).size, ops->info->binding_size);
    TRY(check_experts(e, pairs, error));
    if (!m)
        return error_set(error, LLM_UNSUPPORTED, "no kernel for weight format %d",
                         (int)e->one.type);
    TRY(kernels_grid(ops->kernels, e->one.type, &grid, error));
    TRY(ops_tiles_a_binding(ops, &e->one, &cut, error));
    struct check check = {.kind = CHECK_EXPERTS,
                          .type = e->one.type,
                          .gated = p->second != NULL,
                          .gate_waits = p->gate_waits,
                          .bias = bias,
                          .every = p->x_parts != NULL,
                          .columns = columns};
    if (p->activation) check.activation = *p->activation;
    TRY(ops_required(ops, c, &check, error));
    const uint32_t spec[] = {8,
                             minimum(ops_pieces(ops, &e->one), 16),
                             columns ? columns : 1,
                             p->second ? 2 : 1,
                             p->x_parts ? OF_ALL
                             : columns  ? IN_ORDER_OF_EXPERTS
                                        : ITS_OWN,
                             bias,
                             p->activation ? p->activation->kind : ACTIVATION_NONE,
                             p->gate_waits};
    TRY(ops_kernel(ops, c, ops_pick(ops, m->experts), spec, 8, &kernel, error));

    const bool ordered = columns && !p->x_parts;
    uint32_t x = pairs->n_rows * pairs->slots;
    if (ordered) x = order_entries(pairs, columns) / columns;
    else if (columns) x /= columns;
    if (x > OPS_AXIS)
        return error_set(error, LLM_UNSUPPORTED,
                         "%" PRIu32 " rows with %" PRIu32 " matrices each are too many at once",
                         pairs->n_rows, pairs->slots);
    struct experts_args args = args_of(p);
    const uint32_t y_at = args.y_at;
    for (uint32_t buffer = 0; buffer < ops_experts_buffers(e); buffer++) {
        for (uint32_t tile = 0; tile < tiles; tile += cut) {
            const uint32_t n = minimum(cut, tiles - tile), groups = n;
            args.rows = minimum(e->one.rows - tile * REPACK_TILE, n * REPACK_TILE);
            args.y_at = y_at + tile * REPACK_TILE / 4;
            args.first = buffer * e->a_buffer;
            args.n = experts_in(e, buffer);
            const struct gpu_range a = range_of(e, buffer, tile, n),
                                   ranges[] = {
                                       a,
                                       p->second ? range_of(p->second, buffer, tile, n) : a,
                                       all_of(p->x),
                                       all_of(p->y),
                                       all_of(pairs->chosen),
                                       all_of(ordered ? pairs->order : pairs->chosen),
                                       bias ? both_biases(p) : all_of(p->x),
                                       grid,
                                   };
            if (buffer > 0 || tile > 0) gpu_commands_barrier(c);
            gpu_commands_dispatch(c, kernel, ranges, &args, x, minimum(groups, OPS_AXIS),
                                  divide_up(groups, OPS_AXIS));
        }
    }
    return LLM_OK;
}

llm_status ops_experts_gate_up(struct ops *ops, struct gpu_commands *c, const struct experts *gate,
                               const struct experts *up, const struct activation *a,
                               const struct pairs *pairs, const struct gpu_buffer *x,
                               const struct gpu_buffer *y, struct llm_error *error)
{
    struct expert_product p = {gate, up, x, y, pairs->slots, a, false, NULL, NULL};
    if (gate->one.rows != up->one.rows || gate->one.cols != up->one.cols)
        return error_set(error, LLM_UNSUPPORTED,
                         "the experts' gate (%" PRIu32 " x %" PRIu32 ") and up (%" PRIu32
                         " x %" PRIu32 ") differ",
                         gate->one.rows, gate->one.cols, up->one.rows, up->one.cols);
    TRY(check_experts(up, pairs, error));
    if (gate->one.type == up->one.type) return ops_experts_multiply(ops, c, &p, pairs, error);
    /* Each format by its own kernel: what becomes of the gate waits in y. */
    p.second = NULL;
    TRY(ops_experts_multiply(ops, c, &p, pairs, error));
    gpu_commands_barrier(c);
    p.first = up;
    p.gate_waits = true;
    return ops_experts_multiply(ops, c, &p, pairs, error);
}

llm_status ops_experts_up(struct ops *ops, struct gpu_commands *c, const struct experts *up,
                          const struct activation *a, const struct pairs *pairs,
                          const struct gpu_buffer *x, const struct gpu_buffer *y,
                          struct llm_error *error)
{
    const struct expert_product p = {up, NULL, x, y, pairs->slots, a, false, NULL, NULL};
    return ops_experts_multiply(ops, c, &p, pairs, error);
}

llm_status ops_experts_down(struct ops *ops, struct gpu_commands *c, const struct experts *down,
                            const struct pairs *pairs, const struct gpu_buffer *x,
                            const struct gpu_buffer *y, struct llm_error *error)
{
    const struct expert_product p = {down, NULL, x, y, 1, NULL, false, NULL, NULL};
    return ops_experts_multiply(ops, c, &p, pairs, error);
}

llm_status ops_experts_all(struct ops *ops, struct gpu_commands *c, const struct experts *w,
                           const struct parts *x, const struct parts *y, uint32_t n_rows,
                           struct llm_error *error)
{
    const struct expert_product p = {w, NULL, x->buffer, y->buffer, w->n, NULL, false, x, y};
    const struct pairs all = {.chosen = x->buffer, /* not read */
                              .n_rows = n_rows,
                              .n_experts = w->n,
                              .n_used = w->n,
                              .slots = w->n};
    return ops_experts_multiply(ops, c, &p, &all, error);
}

llm_status ops_combine(struct ops *ops, struct gpu_commands *c, const struct pairs *p,
                       const struct gpu_buffer *made, const struct gpu_buffer *to, uint32_t dim,
                       struct llm_error *error)
{
    const struct gpu_kernel *kernel;
    const uint32_t lanes = ops->profile->lanes, chunks = divide_up(dim, 4);
    TRY(ops_required(ops, c, &(struct check){.kind = CHECK_COMBINE}, error));
    TRY(ops_kernel(ops, c, ops_pick(ops, MODULE_combine), &lanes, 1, &kernel, error));
    const struct combine_args args = {chunks, ops_stride(dim) / 4, p->slots};
    const struct gpu_range ranges[] = {all_of(p->chosen), all_of(made), all_of(to)};
    gpu_commands_dispatch(c, kernel, ranges, &args, divide_up(chunks, lanes), p->n_rows, 1);
    return LLM_OK;
}

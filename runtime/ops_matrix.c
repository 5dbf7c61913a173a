/* Products with the matrices of a model, and rows of one. */
#include <inttypes.h>
#include <string.h>

#include "args.h"
#include "error.h"
#include "ops_impl.h"
#include "repack.h"

/* More rows have their norm made by as many workgroups, in a dispatch of its own. */
enum { NORM_ROWS = 4 };

#define FORMAT_MODULES(constant, name, integers, columns)                                          \
    {                                                                                              \
        constant, MODULE_mat_##name, MODULE_mat_flat_##name, MODULE_embed_##name,                  \
            MODULE_mat_experts_##name, integers, columns                                           \
    }
static const struct format_modules format_modules[] = {
    FORMAT_MODULES(QUANT_F32, f32, 0, 0),
    FORMAT_MODULES(QUANT_F16, f16, 0, 0),
    FORMAT_MODULES(QUANT_BF16, bf16, 0, 0),
    FORMAT_MODULES(QUANT_Q4_0, q4_0, MODULE_mat_int_q4_0, 2),
    FORMAT_MODULES(QUANT_Q4_1, q4_1, MODULE_mat_int_q4_1, 2),
    FORMAT_MODULES(QUANT_Q5_0, q5_0, 0, 0),
    FORMAT_MODULES(QUANT_Q5_1, q5_1, 0, 0),
    FORMAT_MODULES(QUANT_Q8_0, q8_0, 0, 0),
    FORMAT_MODULES(QUANT_Q2_K, q2_k, 0, 0),
    FORMAT_MODULES(QUANT_Q3_K, q3_k, 0, 0),
    FORMAT_MODULES(QUANT_Q4_K, q4_k, MODULE_mat_int_q4_k, 4),
    FORMAT_MODULES(QUANT_Q5_K, q5_k, 0, 0),
    FORMAT_MODULES(QUANT_Q6_K, q6_k, 0, 0),
    FORMAT_MODULES(QUANT_IQ4_NL, iq4_nl, 0, 0),
    FORMAT_MODULES(QUANT_IQ4_XS, iq4_xs, 0, 0),
    FORMAT_MODULES(QUANT_MXFP4, mxfp4, 0, 0),
};

llm_status ops_format(const struct weight *w, const struct format_modules **out,
                      struct llm_error *error)
{
    for (size_t i = 0; i < sizeof format_modules / sizeof *format_modules; i++) {
        *out = &format_modules[i];
        if ((*out)->type == w->type) return LLM_OK;
    }
    return error_set(error, LLM_UNSUPPORTED, "no kernel for weight format %d", (int)w->type);
}

enum values ops_values(const struct ops *ops, const struct weight *w)
{
    const struct format_modules *m;
    struct llm_error error;
    if (!ops->integers || w->cols % 32 || ops_format(w, &m, &error) != LLM_OK) return VALUES_F32;
    return m->integers ? VALUES_INT : VALUES_F32;
}

llm_status ops_tiles_a_binding(const struct ops *ops, const struct weight *w, uint32_t *out,
                               struct llm_error *error)
{
    uint64_t size = repack_tile_size(w->type, w->cols), n = ops->info->binding_size / size / 4 * 4;
    uint32_t tiles = divide_up(w->rows, REPACK_TILE);
    if (n == 0 && tiles * size > ops->info->binding_size) {
        return error_set(error, LLM_UNSUPPORTED,
                         "rows of %" PRIu32 " weights are too long for bindings of %" PRIu64
                         " bytes",
                         w->cols, ops->info->binding_size);
    }
    *out = n == 0 || n > tiles ? tiles : (uint32_t)n;
    return LLM_OK;
}

struct gpu_range ops_tile_range(const struct weight *w, uint32_t tile, uint32_t n)
{
    uint64_t size = repack_tile_size(w->type, w->cols);
    return (struct gpu_range){w->buffer, w->offset + tile * size, n * size};
}

/* What becomes of what y holds, as in mat.comp. */
enum into { INTO_NOTHING, INTO_SUM, INTO_GATE };

/* One product, or with second the gated one; x, and y in integers if x is. */
struct product {
    const struct weight *first, *second;
    const struct gpu_buffer *x, *y;
    enum values x_values, y_values;
    uint32_t y_stride, y_at;
    enum into into;
    const struct activation *activation; /* or NULL */
    const struct norm *norm;             /* of y, or NULL */
};

static llm_status check_product(const struct ops *ops, const struct product *p, uint32_t n_rows,
                                struct llm_error *error)
{
    const struct weight *w = p->first;
    if (p->y_stride % 4 || p->y_at % 4 || n_rows == 0 || n_rows & (n_rows - 1) || w->rows == 0 ||
        w->cols == 0) {
        return error_set(error, LLM_BAD_ARGUMENT,
                         "a matrix of %" PRIu32 " x %" PRIu32 " for %" PRIu32
                         " rows, written at %" PRIu32 " of %" PRIu32
                         ": the first three must not be 0, the third be a power of two, the last"
                         " two be multiples of 4",
                         w->rows, w->cols, n_rows, p->y_at, p->y_stride);
    }
    if (p->x_values < p->y_values ||
        (p->x_values == VALUES_INT && ops_values(ops, w) != VALUES_INT)) {
        return error_set(error, LLM_UNSUPPORTED, "no kernel of integers for weight format %d",
                         (int)w->type);
    }
    return LLM_OK;
}

static llm_status product_kernel(struct ops *ops, const struct product *p, uint32_t n_rows,
                                 uint32_t *columns, const struct gpu_kernel **out,
                                 struct llm_error *error)
{
    const struct format_modules *m;
    const struct profile *f = ops->profile;
    uint32_t matrices = p->second ? 2 : 1;
    const uint32_t activation = p->activation ? p->activation->kind : ACTIVATION_NONE;
    const bool bias = p->first->bias.buffer != NULL;
    TRY(ops_format(p->first, &m, error));
    if (p->x_values == VALUES_INT) {
        bool round = (p->norm ? p->norm->values : p->y_values) == VALUES_INT;
        enum module module = p->norm ? m->integers + 1 : m->integers;
        *columns = minimum(n_rows, m->columns);
        const uint32_t spec[] = {8, *columns, matrices, p->into, round, activation, bias};
        return kernels_get(ops->kernels, module, spec, 7, out, error);
    }
    *columns = ops->flat ? 1 : minimum(n_rows, f->mat_columns / matrices);
    const uint32_t spec[] = {8 * f->mat_tiles, f->mat_pieces, *columns, matrices,
                             p->into,          activation,    bias};
    return kernels_get(ops->kernels, ops->flat ? m->flat : ops_pick(ops, m->mat), spec, 7, out,
                       error);
}

/* From a row on, or what stands for a bias that is not read. */
static struct gpu_range bias_range(const struct weight *w, uint32_t row)
{
    const struct gpu_range *b = &w->bias;
    const uint64_t skip = row * sizeof(float);
    if (!b->buffer) return ops_tile_range(w, 0, 1);
    return (struct gpu_range){b->buffer, b->offset + skip, b->size - skip};
}

static llm_status multiply(struct ops *ops, struct gpu_commands *c, const struct product *p,
                           uint32_t n_rows, struct llm_error *error)
{
    const struct weight *first = p->first;
    const struct gpu_kernel *kernel;
    uint32_t tiles_of = p->x_values == VALUES_INT ? 1 : ops->profile->mat_tiles, cut = 0, columns;
    TRY(check_product(ops, p, n_rows, error));
    TRY(ops_tiles_a_binding(ops, first, &cut, error));
    TRY(product_kernel(ops, p, n_rows, &columns, &kernel, error));

    uint32_t tiles = divide_up(first->rows, REPACK_TILE);
    for (uint32_t tile = 0; tile < tiles; tile += cut) {
        uint32_t n = minimum(cut, tiles - tile), row = tile * REPACK_TILE,
                 groups = divide_up(n, tiles_of);
        /* Without a norm, only the part that is struct mat_args is read. */
        struct mat_norm_args args = {
            .rows = minimum(first->rows - row, n * REPACK_TILE),
            .blocks = ops_stride(first->cols) / 32,
            .x_stride = ops_stride(first->cols) / 4,
            .y_stride = p->y_stride / 4,
            .y_at = (p->y_at + row) / 4,
            .n = (float)first->rows,
            .eps = p->norm ? p->norm->eps : 0,
            .all_rows = n_rows,
        };
        const struct gpu_range a = ops_tile_range(first, tile, n),
                               b = p->second ? ops_tile_range(p->second, tile, n) : a;
        struct gpu_range ranges[7] = {a, b, all_of(p->x), all_of(p->y), bias_range(first, row)};
        if (p->activation) memcpy(args.act, p->activation->a, sizeof args.act);
        if (p->norm) {
            ranges[4] = *p->norm->gain;
            ranges[5] = all_of(p->norm->out);
            ranges[6] = all_of(&ops->finished);
        }
        if (tile > 0) gpu_commands_barrier(c);
        /* Workgroups that share weights follow each other, so that these are in a cache. */
        gpu_commands_dispatch(c, kernel, ranges, &args, n_rows / columns, minimum(groups, OPS_AXIS),
                              divide_up(groups, OPS_AXIS));
    }
    return LLM_OK;
}

llm_status ops_matrix(struct ops *ops, struct gpu_commands *c, const struct weight *w,
                      const struct gpu_buffer *x, enum values x_values, const struct gpu_buffer *y,
                      uint32_t y_stride, uint32_t y_at, bool add, uint32_t n_rows,
                      struct llm_error *error)
{
    const struct product p = {
        .first = w,
        .x = x,
        .y = y,
        .x_values = x_values,
        .y_stride = y_stride,
        .y_at = y_at,
        .into = add ? INTO_SUM : INTO_NOTHING,
    };
    return multiply(ops, c, &p, n_rows, error);
}

/* Whether one dispatch of few rows can do both. */
static bool fits_norm(const struct ops *ops, const struct weight *w, enum values x_values,
                      const struct norm *norm, uint32_t n_rows)
{
    uint32_t tiles = divide_up(w->rows, REPACK_TILE);
    if (norm->centered || norm->bias || w->bias.buffer) return false;
    return x_values == VALUES_INT && n_rows <= NORM_ROWS && w->rows % 32 == 0 &&
           tiles <= OPS_AXIS &&
           tiles * repack_tile_size(w->type, w->cols) <= ops->info->binding_size;
}

llm_status ops_matrix_norm(struct ops *ops, struct gpu_commands *c, const struct weight *w,
                           const struct gpu_buffer *x, enum values x_values,
                           const struct gpu_buffer *y, const struct norm *norm,
                           const struct step *step, uint32_t n_rows, struct llm_error *error)
{
    bool together = fits_norm(ops, w, x_values, norm, n_rows);
    const struct product p = {
        .first = w,
        .x = x,
        .y = y,
        .x_values = x_values,
        .y_stride = ops_stride(w->rows),
        .into = INTO_SUM,
        .norm = together ? norm : NULL,
    };
    TRY(multiply(ops, c, &p, n_rows, error));
    if (together) return LLM_OK;
    gpu_commands_barrier(c);
    return ops_norm(ops, c, y, norm, w->rows, step, false, n_rows, error);
}

llm_status ops_gate_up(struct ops *ops, struct gpu_commands *c, const struct weight *gate,
                       const struct weight *up, const struct activation *a,
                       const struct gpu_buffer *x, enum values x_values, const struct gpu_buffer *y,
                       enum values y_values, uint32_t n_rows, struct llm_error *error)
{
    if (gate->rows != up->rows || gate->cols != up->cols) {
        return error_set(error, LLM_UNSUPPORTED,
                         "gate (%" PRIu32 " x %" PRIu32 ") and up (%" PRIu32 " x %" PRIu32
                         ") differ",
                         gate->rows, gate->cols, up->rows, up->cols);
    }
    struct product p = {
        .first = gate,
        .second = up,
        .x = x,
        .y = y,
        .x_values = x_values,
        .y_values = y_values,
        .y_stride = ops_stride(gate->rows),
        .activation = a,
    };
    if (gate->type == up->type && !ops->flat) return multiply(ops, c, &p, n_rows, error);
    /* Each format by its own kernel: the gate waits in y. */
    p.second = NULL;
    p.activation = NULL;
    p.y_values = VALUES_F32;
    TRY(multiply(ops, c, &p, n_rows, error));
    gpu_commands_barrier(c);
    p.first = up;
    p.activation = a;
    p.y_values = y_values;
    p.into = INTO_GATE;
    return multiply(ops, c, &p, n_rows, error);
}

llm_status ops_activated(struct ops *ops, struct gpu_commands *c, const struct weight *w,
                         const struct activation *a, const struct gpu_buffer *x,
                         enum values x_values, const struct gpu_buffer *y, enum values y_values,
                         uint32_t n_rows, struct llm_error *error)
{
    const struct product p = {
        .first = w,
        .x = x,
        .y = y,
        .x_values = x_values,
        .y_values = y_values,
        .y_stride = ops_stride(w->rows),
        .activation = a,
    };
    return multiply(ops, c, &p, n_rows, error);
}

static llm_status look_up(struct ops *ops, struct gpu_commands *c, const struct weight *w,
                          float scale, enum embed_by by, bool add, const struct step *step,
                          const struct gpu_buffer *out, uint32_t n_rows, struct llm_error *error)
{
    const struct format_modules *m;
    const struct gpu_kernel *kernel;
    uint32_t cut = 0, lanes = minimum(ops->profile->lanes, 32),
             tiles = divide_up(w->rows, REPACK_TILE);
    TRY(ops_format(w, &m, error));
    TRY(ops_tiles_a_binding(ops, w, &cut, error));
    TRY(kernels_get(ops->kernels, m->embed, &lanes, 1, &kernel, error));
    for (uint32_t tile = 0; tile < tiles; tile += cut) {
        uint32_t n = minimum(cut, tiles - tile), row = tile * REPACK_TILE,
                 blocks = ops_stride(w->cols) / 32;
        const struct embed_args args = {
            .first = row,
            .rows = minimum(w->rows - row, n * REPACK_TILE),
            .blocks = blocks,
            .stride = ops_stride(w->cols) / 4,
            .scale = scale,
            .word = (uint32_t)by,
            .add = add,
        };
        const struct gpu_range words = ops_tile_range(w, tile, n);
        const struct gpu_range rows = {&step->buffer, step->rows, n_rows * sizeof(struct step_row)};
        const struct gpu_range ranges[] = {words, rows, all_of(out)};
        if (tile > 0) gpu_commands_barrier(c);
        gpu_commands_dispatch(c, kernel, ranges, &args, divide_up(blocks, lanes), n_rows, 1);
    }
    return LLM_OK;
}

llm_status ops_embed(struct ops *ops, struct gpu_commands *c, const struct weight *w, float scale,
                     const struct step *step, const struct gpu_buffer *out, uint32_t n_rows,
                     struct llm_error *error)
{
    return look_up(ops, c, w, scale, EMBED_BY_TOKEN, false, step, out, n_rows, error);
}

llm_status ops_embed_add(struct ops *ops, struct gpu_commands *c, const struct weight *w,
                         enum embed_by by, const struct step *step, const struct gpu_buffer *out,
                         uint32_t n_rows, struct llm_error *error)
{
    return look_up(ops, c, w, 1, by, true, step, out, n_rows, error);
}

/* Products with the matrices of a model, and rows of one. */
#include <inttypes.h>
#include <string.h>

#include "args.h"
#include "check.h"
#include "error.h"
#include "ops_impl.h"
#include "repack.h"

#define FORMAT_MODULES(constant, name, ...)                                                        \
    {                                                                                              \
        constant, MODULE_mat_##name, MODULE_mat_tile_##name, MODULE_mat_flat_##name,               \
            MODULE_embed_##name, MODULE_mat_experts_##name, __VA_ARGS__                            \
    }
static const struct format_modules format_modules[] = {
    FORMAT_MODULES(QUANT_F32, f32, 0, 0, 0, 0, 0),
    FORMAT_MODULES(QUANT_F16, f16, 0, 0, 0, MODULE_tail_f16, 0),
    FORMAT_MODULES(QUANT_BF16, bf16, 0, 0, 0, 0, 0),
    FORMAT_MODULES(QUANT_Q4_0, q4_0, MODULE_mat_int_q4_0, 2, MODULE_mat_dot_q4_0, MODULE_tail_q4_0,
                   MODULE_tail_int_q4_0),
    FORMAT_MODULES(QUANT_Q4_1, q4_1, MODULE_mat_int_q4_1, 2, MODULE_mat_dot_q4_1, MODULE_tail_q4_1,
                   MODULE_tail_int_q4_1),
    FORMAT_MODULES(QUANT_Q5_0, q5_0, 0, 0, MODULE_mat_dot_q5_0, 0, 0),
    FORMAT_MODULES(QUANT_Q5_1, q5_1, 0, 0, MODULE_mat_dot_q5_1, 0, 0),
    FORMAT_MODULES(QUANT_Q8_0, q8_0, 0, 0, MODULE_mat_dot_q8_0, MODULE_tail_q8_0, 0),
    FORMAT_MODULES(QUANT_Q2_K, q2_k, 0, 0, MODULE_mat_dot_q2_k, 0, 0),
    FORMAT_MODULES(QUANT_Q3_K, q3_k, 0, 0, MODULE_mat_dot_q3_k, 0, 0),
    FORMAT_MODULES(QUANT_Q4_K, q4_k, MODULE_mat_int_q4_k, 4, MODULE_mat_dot_q4_k, MODULE_tail_q4_k,
                   MODULE_tail_int_q4_k),
    FORMAT_MODULES(QUANT_Q5_K, q5_k, 0, 0, MODULE_mat_dot_q5_k, 0, 0),
    FORMAT_MODULES(QUANT_Q6_K, q6_k, 0, 0, MODULE_mat_dot_q6_k, 0, 0),
    FORMAT_MODULES(QUANT_IQ4_NL, iq4_nl, 0, 0, MODULE_mat_dot_iq4_nl, 0, 0),
    FORMAT_MODULES(QUANT_IQ4_XS, iq4_xs, 0, 0, MODULE_mat_dot_iq4_xs, 0, 0),
    FORMAT_MODULES(QUANT_MXFP4, mxfp4, 0, 0, 0, 0, 0),
    FORMAT_MODULES(QUANT_IQ3_S, iq3_s, 0, 0, 0, 0, 0),
    FORMAT_MODULES(QUANT_IQ3_XXS, iq3_xxs, 0, 0, 0, 0, 0),
    FORMAT_MODULES(QUANT_IQ2_S, iq2_s, 0, 0, 0, 0, 0),
    FORMAT_MODULES(QUANT_IQ2_XS, iq2_xs, 0, 0, 0, 0, 0),
    FORMAT_MODULES(QUANT_IQ2_XXS, iq2_xxs, 0, 0, 0, 0, 0),
    FORMAT_MODULES(QUANT_IQ1_S, iq1_s, 0, 0, 0, 0, 0),
    FORMAT_MODULES(QUANT_IQ1_M, iq1_m, 0, 0, 0, 0, 0),
    FORMAT_MODULES(QUANT_TQ1_0, tq1_0, 0, 0, 0, 0, 0),
    FORMAT_MODULES(QUANT_TQ2_0, tq2_0, 0, 0, 0, 0, 0),
};

const struct format_modules *ops_format(enum quant_type type)
{
    for (size_t i = 0; i < sizeof format_modules / sizeof *format_modules; i++) {
        if (format_modules[i].type == type) return &format_modules[i];
    }
    return NULL;
}

enum values ops_values(const struct ops *ops, const struct weight *w)
{
    const struct format_modules *m = ops_format(w->type);
    if (!m || w->cols % 32) return VALUES_F32;
    const bool has = ops->integers == VALUES_INT ? m->integers : m->dot;
    return has ? ops->integers : VALUES_F32;
}

/* Of two dispatches, the second would write blocks of bytes where another's gates wait. */
enum values ops_gated_values(const struct ops *ops, const struct weight *gate,
                             const struct weight *up, const struct weight *down, enum values x)
{
    const enum values values = x ? ops_values(ops, down) : VALUES_F32;
    return values == VALUES_INT8 && gate->type != up->type ? VALUES_F32 : values;
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

static llm_status check_arguments(const struct ops *ops, const struct product *p, uint32_t n_rows,
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
    if (p->x_values < p->y_values || (p->x_values && ops_values(ops, w) != p->x_values) ||
        (p->into && p->y_values == VALUES_INT8)) {
        return error_set(error, LLM_UNSUPPORTED, "no kernel of integers for weight format %d",
                         (int)w->type);
    }
    return LLM_OK;
}

/* ---- ways ---- */

uint32_t ops_pieces(const struct ops *ops, const struct weight *w)
{
    if (ops->profile == &ops_profiles[PROFILE_SOFTWARE]) return 1;
    uint64_t lanes = divide_up(w->rows, REPACK_TILE) * 8ull,
             wanted = ops->info->type == GPU_DISCRETE ? 1 << 16 : 1 << 14;
    return lanes * 16 < wanted && w->cols >= 64 * 32 ? 32 : 16;
}

/* A way to make p by a kernel whose first constants are given; the last ones are the same in all.
 */
static struct way way_of(const struct product *p, enum module module, const uint32_t first[3],
                         uint32_t rows, uint32_t columns)
{
    const bool round = (p->norm ? p->norm->values : p->y_values) != VALUES_F32;
    const uint32_t matrices = p->second ? 2 : 1,
                   activation = p->activation ? p->activation->kind : ACTIVATION_NONE,
                   bias = p->first->bias.buffer != NULL;
    struct way way = {.module = module, .n_spec = 7, .rows = rows, .columns = columns};
    const uint32_t floats[] = {first[0], first[1],   first[2], matrices,
                               p->into,  activation, bias,     round};
    const uint32_t others[] = {first[0], first[1], matrices, p->into, round, activation, bias, 0};
    memcpy(way.spec, p->x_values == VALUES_INT ? others : floats, sizeof floats);
    if (p->x_values == VALUES_INT8) way.n_spec++;
    return way;
}

/* A block of bytes is made by one workgroup of 8 lanes, which leaves room for 16 pieces. */
static uint32_t pieces_of(const struct ops *ops, const struct product *p)
{
    const uint32_t pieces = ops_pieces(ops, p->first);
    return p->y_values == VALUES_INT8 ? minimum(pieces, 16) : pieces;
}

static struct way by_lanes(const struct ops *ops, const struct product *p, uint32_t columns)
{
    const uint32_t pieces = pieces_of(ops, p), lanes = pieces > 16 ? 4 : 8;
    const struct format_modules *m = ops_format(p->first->type);
    enum module module = ops->flat ? m->flat : ops_pick(ops, m->mat);
    if (p->x_values == VALUES_INT8) module = m->dot;
    return way_of(p, module, (const uint32_t[]){lanes, pieces, columns}, lanes * 4, columns);
}

static struct way by_tiles(const struct ops *ops, const struct product *p, uint32_t rows,
                           uint32_t columns)
{
    const struct format_modules *m = ops_format(p->first->type);
    return way_of(p, p->x_values == VALUES_INT8 ? m->dot + 1 : m->tile,
                  (const uint32_t[]){rows, columns, pieces_of(ops, p)}, rows, columns);
}

static struct way by_integers(const struct product *p, uint32_t columns)
{
    const enum module module = ops_format(p->first->type)->integers;
    return way_of(p, p->norm ? module + 1 : module, (const uint32_t[]){8, columns, 0}, REPACK_TILE,
                  columns);
}

/* Tiles of this many columns, for which n_rows are enough. */
static uint32_t add_tiles(const struct ops *ops, const struct product *p, uint32_t n_rows,
                          struct way *ways)
{
    uint32_t n = 0;
    if (n_rows >= 64 && ops->profile->mat_tile >= 64 && !p->second)
        ways[n++] = by_tiles(ops, p, 64, 64);
    if (n_rows >= 32) ways[n++] = by_tiles(ops, p, 64, 32);
    else if (n_rows == 16) ways[n++] = by_tiles(ops, p, 128, 16);
    return n;
}

uint32_t ops_ways(const struct ops *ops, const struct product *p, uint32_t n_rows,
                  struct way ways[OPS_WAYS])
{
    const struct format_modules *m = ops_format(p->first->type);
    uint32_t n = 0;
    if (!m) return 0;
    if (p->x_values == VALUES_INT) {
        uint32_t columns = minimum(n_rows, m->columns), other = m->columns == 2 ? 4 : 2;
        ways[n++] = by_integers(p, columns);
        if (n_rows >= 4) ways[n++] = by_integers(p, other);
        return n;
    }
    uint32_t columns = minimum(n_rows, ops->profile->mat_columns / (p->second ? 2 : 1));
    if (ops->flat && p->x_values == VALUES_F32) columns = 1;
    if (ops->profile->mat_tile && (!ops->texels || p->x_values))
        n = add_tiles(ops, p, n_rows, ways);
    ways[n++] = by_lanes(ops, p, columns);
    if (columns >= 4) ways[n++] = by_lanes(ops, p, columns / 2);
    return n;
}

llm_status ops_refuse(struct ops *ops, const char *name, struct llm_error *error)
{
    const struct verdict v = kernels_verdict(ops->kernels, name);
    return error_set(error, LLM_UNSUPPORTED,
                     "the kernel %s computes wrong results on %.100s (%.60s): its error is %g, at "
                     "most %g is right, and no other kernel does the same",
                     name, ops->info->name, ops->info->driver, (double)v.error, (double)v.bound);
}

llm_status ops_choose(struct ops *ops, const struct product *p, uint32_t n_rows, struct way *way,
                      uint32_t *number, struct llm_error *error)
{
    struct way ways[OPS_WAYS];
    char names[OPS_WAYS][CHOICE_NAME];
    const uint32_t n = ops_ways(ops, p, n_rows, ways);
    size_t best;
    if (n == 0)
        return error_set(error, LLM_UNSUPPORTED, "no kernel for weight format %d",
                         (int)p->first->type);
    for (uint32_t i = 0; i < n; i++)
        kernels_name(ways[i].module, ways[i].spec, ways[i].n_spec, names[i]);
    do {
        best = ops->forced
                   ? minimum(ops->forced, n) - 1
                   : kernels_pick(ops->kernels, (const char(*)[CHOICE_NAME])names, n, n_rows);
        if (best == n) return ops_refuse(ops, names[0], error);
        if (!ops->check || ops->forced ||
            kernels_verdict(ops->kernels, names[best]).state != CHOICE_UNKNOWN)
            break;
        TRY(ops->check(ops, p, n_rows, (uint32_t)best, error));
    } while (kernels_verdict(ops->kernels, names[best]).state == CHOICE_WRONG);
    *way = ways[best];
    *number = (uint32_t)best;
    return LLM_OK;
}

/* From a row on, or what stands for a bias that is not read. */
static struct gpu_range bias_range(const struct weight *w, uint32_t row)
{
    const struct gpu_range *b = &w->bias;
    const uint64_t skip = row * sizeof(float);
    if (!b->buffer) return ops_tile_range(w, 0, 1);
    return (struct gpu_range){b->buffer, b->offset + skip, b->size - skip};
}

llm_status ops_multiply(struct ops *ops, struct gpu_commands *c, const struct product *p,
                        uint32_t n_rows, struct llm_error *error)
{
    const struct weight *first = p->first;
    const struct gpu_kernel *kernel;
    struct gpu_range grid = {0};
    struct way way;
    uint32_t cut = 0, number;
    TRY(check_arguments(ops, p, n_rows, error));
    TRY(ops_tiles_a_binding(ops, first, &cut, error));
    TRY(ops_choose(ops, p, n_rows, &way, &number, error));
    TRY(ops_kernel(ops, c, way.module, way.spec, way.n_spec, &kernel, error));
    TRY(kernels_grid(ops->kernels, first->type, &grid, error));
    if (c && p->norm) TRY(ops_want_counters(ops, error));

    uint32_t tiles = divide_up(first->rows, REPACK_TILE);
    for (uint32_t tile = 0; tile < tiles; tile += cut) {
        uint32_t n = minimum(cut, tiles - tile), row = tile * REPACK_TILE,
                 groups = divide_up(n * REPACK_TILE, way.rows);
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
        struct gpu_range ranges[7] = {a,   b, all_of(p->x), all_of(p->y), bias_range(first, row),
                                      grid};
        if (p->activation) memcpy(args.act, p->activation->a, sizeof args.act);
        if (p->norm) {
            ranges[4] = *p->norm->gain;
            ranges[5] = all_of(p->norm->out);
            ranges[6] = all_of(&ops->counters);
        }
        if (tile > 0) gpu_commands_barrier(c);
        /* Workgroups that share weights follow each other, so that these are in a cache. */
        gpu_commands_dispatch(c, kernel, ranges, &args, n_rows / way.columns,
                              minimum(groups, OPS_AXIS), divide_up(groups, OPS_AXIS));
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
    return ops_multiply(ops, c, &p, n_rows, error);
}

/* Whether one dispatch of few rows can do both. */
static bool fits_norm(const struct ops *ops, const struct weight *w, enum values x_values,
                      const struct norm *norm, uint32_t n_rows)
{
    uint32_t tiles = divide_up(w->rows, REPACK_TILE);
    if (norm->centered || norm->bias || w->bias.buffer) return false;
    return x_values == VALUES_INT && n_rows <= OPS_NORM_ROWS && w->rows % 32 == 0 &&
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
    TRY(ops_multiply(ops, c, &p, n_rows, error));
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
    if (gate->type == up->type && !ops->flat) return ops_multiply(ops, c, &p, n_rows, error);
    /* Each format by its own kernel: the gate waits in y. */
    p.second = NULL;
    p.activation = NULL;
    p.y_values = VALUES_F32;
    TRY(ops_multiply(ops, c, &p, n_rows, error));
    gpu_commands_barrier(c);
    p.first = up;
    p.activation = a;
    p.y_values = y_values;
    p.into = INTO_GATE;
    return ops_multiply(ops, c, &p, n_rows, error);
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
    return ops_multiply(ops, c, &p, n_rows, error);
}

static llm_status look_up(struct ops *ops, struct gpu_commands *c, const struct weight *w,
                          float scale, enum embed_by by, bool add, const struct step *step,
                          const struct gpu_buffer *out, uint32_t n_rows, struct llm_error *error)
{
    const struct format_modules *m = ops_format(w->type);
    const struct gpu_kernel *kernel;
    struct gpu_range grid = {0};
    uint32_t cut = 0, lanes = minimum(ops->profile->lanes, 32),
             tiles = divide_up(w->rows, REPACK_TILE);
    if (!m)
        return error_set(error, LLM_UNSUPPORTED, "no kernel for weight format %d", (int)w->type);
    TRY(ops_tiles_a_binding(ops, w, &cut, error));
    const struct check check = {.kind = CHECK_EMBED, .type = w->type, .cols = 512};
    TRY(ops_required(ops, c, &check, error));
    TRY(ops_kernel(ops, c, m->embed, &lanes, 1, &kernel, error));
    TRY(kernels_grid(ops->kernels, w->type, &grid, error));
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
        const struct gpu_range ranges[] = {words, rows, all_of(out), grid};
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

#include "ops.h"

#include <inttypes.h>
#include <string.h>

#include "args.h"
#include "gpu_error.h"
#include "kernels.h"
#include "repack.h"

/* What suits a kind of device; nothing here changes with the number of rows, so that a row's bits
 * do not either. */
struct profile {
    uint32_t mat_tiles, mat_pieces,
        mat_columns;      /* a workgroup's tiles of rows, pieces of K, and the most rows of x */
    uint32_t rope_groups; /* workgroups a row */
    uint32_t lanes, norm_lanes, attention_lanes, attention_heads;
};

/* A software device runs a workgroup as a loop over subgroups and pays for each barrier. A GPU
 * wants many lanes that load at once, hence many pieces of K. Where subgroups may be narrow (Intel,
 * Arm) a lane has few registers, and more columns or heads spill; where they are wide (AMD,
 * Qualcomm) half of one would idle in attention. tests/compilers has the figures. */
static const struct profile software = {1, 1, 8, 2, 8, 8, 8, 4};
static const struct profile gpu_narrow = {1, 16, 2, 1024, 64, 128, 16, 2};
static const struct profile gpu = {1, 16, 8, 1024, 64, 128, 32, 4};
static const struct profile gpu_wide = {1, 16, 8, 1024, 64, 128, 64, 4};

static const struct profile *profile_of(const struct gpu_info *info)
{
    if (info->software) return &software;
    if (info->subgroup_min <= 16) return &gpu_narrow;
    return info->subgroup >= 64 ? &gpu_wide : &gpu;
}

struct ops {
    struct kernels *kernels; /* not owned */
    const struct gpu_info *info;
    const struct profile *profile;
    bool texels, integers;
    struct gpu_buffer finished; /* with integers: a count of workgroups, 0 between dispatches */
    const struct alloc *alloc;
};

const uint32_t ops_buckets[] = {1, 2, 4, 8, 16, 32, 64, 128, 0};

enum {
    AXIS = 65535, /* workgroups along one axis that every device allows */
    NORM_ROWS = 4 /* more have their norm made by as many workgroups, in a dispatch of its own */
};

/* The modules of each format, see pick. */
struct format_modules {
    enum quant_type type;
    enum module mat, embed;
    enum module integers; /* 0: there is none; the one that makes the norm, too, follows */
    uint32_t columns;     /* of that one at a time: measured, four are 1.6 times slower than two, or
                             1.2 times faster */
};

#define FORMAT_MODULES(constant, name, integers, columns)                                          \
    {                                                                                              \
        constant, MODULE_mat_##name, MODULE_embed_##name, integers, columns                        \
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
};

static llm_status modules_of(const struct weight *w, const struct format_modules **out,
                             struct llm_error *error)
{
    for (size_t i = 0; i < sizeof format_modules / sizeof *format_modules; i++) {
        *out = &format_modules[i];
        if ((*out)->type == w->type) return LLM_OK;
    }
    return error_set(error, LLM_UNSUPPORTED, "no kernel for weight format %d", (int)w->type);
}

static llm_status make_counter(struct ops *ops, struct llm_error *error)
{
    TRY_GPU(
        gpu_buffer_create(ops->kernels->device, &ops->finished, 256, GPU_MEMORY_DEVICE, &gpu_error_),
        error);
    memset(ops->finished.map, 0, (size_t)ops->finished.size);
    return LLM_OK;
}

llm_status ops_create(struct ops **out, struct kernels *kernels, bool high, bool deterministic,
                      const struct alloc *alloc, struct llm_error *error)
{
    (void)deterministic; /* every kernel so far gives a row the same bits in any company */
    *out = NULL;
    struct ops *ops = alloc_zero(alloc, 1, sizeof *ops);
    if (!ops) return error_memory(error, "the operations", sizeof *ops);
    ops->alloc = alloc;
    ops->kernels = kernels;
    ops->info = gpu_device_info(kernels->device);
    ops->profile = profile_of(ops->info);
    ops->texels = ops->info->texel_loads && ops->info->subgroup == 8 && ops->info->subgroup_shuffle;
    ops->integers = ops->texels && ops->info->software && ops->info->unified && !high;
    llm_status status = ops->integers ? make_counter(ops, error) : LLM_OK;
    if (status == LLM_OK) *out = ops;
    else ops_free(ops);
    return status;
}

void ops_free(struct ops *ops)
{
    if (!ops) return;
    gpu_buffer_free(ops->kernels->device, &ops->finished);
    alloc_free(ops->alloc, ops, sizeof *ops);
}

enum values ops_values(const struct ops *ops, const struct weight *w)
{
    const struct format_modules *m;
    struct llm_error error;
    if (!ops->integers || w->cols % 32 || modules_of(w, &m, &error) != LLM_OK) return VALUES_F32;
    return m->integers ? VALUES_INT : VALUES_F32;
}

/* The row of kernels.def for this device: one with texel buffers follows. */
static enum module pick(const struct ops *ops, enum module module)
{
    return ops->texels ? module + 1 : module;
}

/* Where the row with texel buffers is followed by one that writes integers. */
static enum module module_for(const struct ops *ops, enum module module, enum values out)
{
    return out == VALUES_INT ? module + 2 : pick(ops, module);
}

static uint32_t divide_up(uint32_t n, uint32_t by)
{
    return n / by + (n % by != 0);
}

static uint32_t minimum(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static struct gpu_range all_of(const struct gpu_buffer *buffer)
{
    return (struct gpu_range){buffer, 0, 0};
}

/* ---- matrices ---- */

/* Tiles of a matrix that one binding holds: whole groups of four, so that each cut is aligned to
 * 256 bytes. */
static llm_status tiles_a_binding(const struct ops *ops, const struct weight *w, uint32_t *out,
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

static struct gpu_range tile_range(const struct weight *w, uint32_t tile, uint32_t n)
{
    uint64_t size = repack_tile_size(w->type, w->cols);
    return (struct gpu_range){w->buffer, w->offset + tile * size, n * size};
}

/* One product, or with second the gated one; x, and y in integers if x is. */
struct product {
    const struct weight *first, *second;
    const struct gpu_buffer *x, *y;
    enum values x_values, y_values;
    uint32_t y_stride, y_at;
    bool add;
    const struct norm *norm; /* of y, or NULL */
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
    TRY(modules_of(p->first, &m, error));
    if (p->x_values == VALUES_INT) {
        bool round = (p->norm ? p->norm->values : p->y_values) == VALUES_INT;
        enum module module = p->norm ? m->integers + 1 : m->integers;
        *columns = minimum(n_rows, m->columns);
        const uint32_t spec[] = {8, *columns, matrices, p->add, round};
        return kernels_get(ops->kernels, module, spec, 5, out, error);
    }
    *columns = minimum(n_rows, f->mat_columns / matrices);
    const uint32_t spec[] = {8 * f->mat_tiles, f->mat_pieces, *columns, matrices, p->add};
    return kernels_get(ops->kernels, pick(ops, m->mat), spec, 5, out, error);
}

static llm_status multiply(struct ops *ops, struct gpu_commands *c, const struct product *p,
                           uint32_t n_rows, struct llm_error *error)
{
    const struct weight *first = p->first;
    const struct gpu_kernel *kernel;
    uint32_t tiles_of = p->x_values == VALUES_INT ? 1 : ops->profile->mat_tiles, cut = 0, columns;
    TRY(check_product(ops, p, n_rows, error));
    TRY(tiles_a_binding(ops, first, &cut, error));
    TRY(product_kernel(ops, p, n_rows, &columns, &kernel, error));

    uint32_t tiles = divide_up(first->rows, REPACK_TILE);
    for (uint32_t tile = 0; tile < tiles; tile += cut) {
        uint32_t n = minimum(cut, tiles - tile), row = tile * REPACK_TILE,
                 groups = divide_up(n, tiles_of);
        /* Without a norm, only the part that is struct mat_args is read. */
        const struct mat_norm_args args = {
            .rows = minimum(first->rows - row, n * REPACK_TILE),
            .blocks = ops_stride(first->cols) / 32,
            .x_stride = ops_stride(first->cols) / 4,
            .y_stride = p->y_stride / 4,
            .y_at = (p->y_at + row) / 4,
            .n = (float)first->rows,
            .eps = p->norm ? p->norm->eps : 0,
            .all_rows = n_rows,
        };
        const struct gpu_range a = tile_range(first, tile, n),
                               b = p->second ? tile_range(p->second, tile, n) : a;
        struct gpu_range ranges[7] = {a, b, all_of(p->x), all_of(p->y)};
        if (p->norm) {
            ranges[4] = *p->norm->gain;
            ranges[5] = all_of(p->norm->out);
            ranges[6] = all_of(&ops->finished);
        }
        if (tile > 0) gpu_commands_barrier(c);
        /* Workgroups that share weights follow each other, so that these are in a cache. */
        gpu_commands_dispatch(c, kernel, ranges, &args, n_rows / columns, minimum(groups, AXIS),
                              divide_up(groups, AXIS));
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
        .add = add,
    };
    return multiply(ops, c, &p, n_rows, error);
}

/* Whether one dispatch of few rows can do both. */
static bool fits_norm(const struct ops *ops, const struct weight *w, enum values x_values,
                      uint32_t n_rows)
{
    uint32_t tiles = divide_up(w->rows, REPACK_TILE);
    return x_values == VALUES_INT && n_rows <= NORM_ROWS && w->rows % 32 == 0 && tiles <= AXIS &&
           tiles * repack_tile_size(w->type, w->cols) <= ops->info->binding_size;
}

llm_status ops_matrix_norm(struct ops *ops, struct gpu_commands *c, const struct weight *w,
                           const struct gpu_buffer *x, enum values x_values,
                           const struct gpu_buffer *y, const struct norm *norm,
                           const struct step *step, uint32_t n_rows, struct llm_error *error)
{
    bool together = fits_norm(ops, w, x_values, n_rows);
    const struct product p = {
        .first = w,
        .x = x,
        .y = y,
        .x_values = x_values,
        .y_stride = ops_stride(w->rows),
        .add = true,
        .norm = together ? norm : NULL,
    };
    TRY(multiply(ops, c, &p, n_rows, error));
    if (together) return LLM_OK;
    gpu_commands_barrier(c);
    return ops_norm(ops, c, y, norm->gain, norm->out, norm->values, w->rows, norm->eps, step, false,
                    n_rows, error);
}

llm_status ops_gate_up(struct ops *ops, struct gpu_commands *c, const struct weight *gate,
                       const struct weight *up, const struct gpu_buffer *x, enum values x_values,
                       const struct gpu_buffer *y, enum values y_values, uint32_t n_rows,
                       struct llm_error *error)
{
    if (gate->type != up->type || gate->rows != up->rows || gate->cols != up->cols) {
        return error_set(error, LLM_UNSUPPORTED,
                         "gate (%" PRIu32 " x %" PRIu32 ", format %d) and up (%" PRIu32
                         " x %" PRIu32 ", format %d) differ",
                         gate->rows, gate->cols, (int)gate->type, up->rows, up->cols,
                         (int)up->type);
    }
    const struct product p = {
        .first = gate,
        .second = up,
        .x = x,
        .y = y,
        .x_values = x_values,
        .y_values = y_values,
        .y_stride = ops_stride(gate->rows),
    };
    return multiply(ops, c, &p, n_rows, error);
}

llm_status ops_embed(struct ops *ops, struct gpu_commands *c, const struct weight *w, float scale,
                     const struct step *step, const struct gpu_buffer *out, uint32_t n_rows,
                     struct llm_error *error)
{
    const struct format_modules *m;
    const struct gpu_kernel *kernel;
    uint32_t cut = 0, lanes = minimum(ops->profile->lanes, 32),
             tiles = divide_up(w->rows, REPACK_TILE);
    TRY(modules_of(w, &m, error));
    TRY(tiles_a_binding(ops, w, &cut, error));
    TRY(kernels_get(ops->kernels, m->embed, &lanes, 1, &kernel, error));
    for (uint32_t tile = 0; tile < tiles; tile += cut) {
        uint32_t n = minimum(cut, tiles - tile), row = tile * REPACK_TILE,
                 blocks = ops_stride(w->cols) / 32;
        const struct embed_args args = {row, minimum(w->rows - row, n * REPACK_TILE), blocks,
                                        ops_stride(w->cols) / 4, scale};
        const struct gpu_range words = tile_range(w, tile, n);
        const struct gpu_range rows = {&step->buffer, step->rows, n_rows * sizeof(struct step_row)};
        const struct gpu_range ranges[] = {words, rows, all_of(out)};
        if (tile > 0) gpu_commands_barrier(c);
        gpu_commands_dispatch(c, kernel, ranges, &args, divide_up(blocks, lanes), n_rows, 1);
    }
    return LLM_OK;
}

/* ---- norm and argmax ---- */

llm_status ops_norm(struct ops *ops, struct gpu_commands *c, const struct gpu_buffer *in,
                    const struct gpu_range *gain, const struct gpu_buffer *out,
                    enum values out_values, uint32_t dim, float eps, const struct step *step,
                    bool gather, uint32_t n_rows, struct llm_error *error)
{
    const struct gpu_kernel *kernel;
    const uint32_t many = out_values == VALUES_INT ? 32 : 4;
    if (dim == 0 || dim % many)
        return error_set(error, LLM_UNSUPPORTED,
                         "a norm of %" PRIu32 " values: not a multiple of %" PRIu32, dim, many);
    TRY(kernels_get(ops->kernels, module_for(ops, MODULE_norm, out_values),
                    &ops->profile->norm_lanes, 1, &kernel, error));
    const struct norm_args args = {dim / 4, ops_stride(dim) / 4, (float)dim, eps, gather};
    const struct gpu_range outputs = {gather ? &step->buffer : in, gather ? step->outputs : 0,
                                      n_rows * sizeof(uint32_t)};
    const struct gpu_range ranges[] = {all_of(in), *gain, outputs, all_of(out)};
    gpu_commands_dispatch(c, kernel, ranges, &args, n_rows, 1, 1);
    return LLM_OK;
}

llm_status ops_argmax(struct ops *ops, struct gpu_commands *c, const struct gpu_buffer *logits,
                      uint32_t n, const struct gpu_buffer *out, uint32_t n_rows,
                      struct llm_error *error)
{
    const struct gpu_kernel *kernel;
    TRY(kernels_get(ops->kernels, pick(ops, MODULE_argmax), &ops->profile->norm_lanes, 1, &kernel,
                    error));
    const struct argmax_args args = {n, ops_stride(n)};
    const struct gpu_range ranges[] = {all_of(logits), all_of(out)};
    gpu_commands_dispatch(c, kernel, ranges, &args, n_rows, 1, 1);
    return LLM_OK;
}

/* ---- attention ---- */

uint64_t ops_page_size(const struct attention_shape *s)
{
    return (uint64_t)s->n_kv_heads * s->head_dim * ATTENTION_PIECE * (s->kv_f16 ? 2 : 4);
}

uint64_t ops_partial_size(const struct attention_shape *s, uint32_t n_rows, uint32_t positions)
{
    uint64_t groups = positions / ATTENTION_GROUP + (positions % ATTENTION_GROUP != 0);
    return (uint64_t)n_rows * s->n_heads * (groups ? groups : 1) * (s->head_dim + 4) *
           sizeof(float);
}

static llm_status check_shape(const struct attention_shape *s, struct llm_error *error)
{
    uint32_t wide = s->kv_f16 ? 8 : 4;
    if (s->n_kv_heads && s->n_heads && s->n_heads % s->n_kv_heads == 0 && s->head_dim &&
        s->head_dim % wide == 0 && s->head_dim <= 256 && s->rope_dim % 4 == 0 &&
        s->rope_dim <= s->head_dim && s->stride % 4 == 0 && s->q % 4 == 0 && s->k % 4 == 0 &&
        s->v % 4 == 0) {
        return LLM_OK;
    }
    return error_set(
        error, LLM_UNSUPPORTED,
        "attention of %" PRIu32 " heads, %" PRIu32 " KV heads, dimension %" PRIu32 " (%" PRIu32
        " rotated): heads must be a multiple of KV heads, the dimension one of %" PRIu32
        " up to 256",
        s->n_heads, s->n_kv_heads, s->head_dim, s->rope_dim, wide);
}

llm_status ops_rope_store(struct ops *ops, struct gpu_commands *c, const struct attention_shape *s,
                          const struct head_terms *terms, const struct step *step,
                          const struct gpu_buffer *qkv, const struct gpu_range *k_pages,
                          const struct gpu_range *v_pages, uint32_t n_rows, struct llm_error *error)
{
    const struct gpu_kernel *kernel;
    TRY(check_shape(s, error));
    if (s->rope_dim / 2 > step->rope_pairs || (s->rope_dim && step->rope_pairs % 2)) {
        return error_set(error, LLM_BAD_ARGUMENT,
                         "%" PRIu32 " rotated pairs, the step holds %" PRIu32
                         ", which must be even",
                         s->rope_dim / 2, step->rope_pairs);
    }
    const bool bias = terms && terms->bias, norm = terms && terms->norm;
    const uint32_t lanes = ops->profile->lanes, spec[] = {lanes, s->kv_f16, bias, norm};
    TRY(kernels_get(ops->kernels, pick(ops, MODULE_rope_store), spec, 4, &kernel, error));
    const struct rope_args args = {
        .stride = s->stride,
        .q = s->q,
        .k = s->k,
        .v = s->v,
        .n_heads = s->n_heads,
        .n_kv_heads = s->n_kv_heads,
        .head_dim = s->head_dim,
        .rope_dim = s->rope_dim,
        .rope_pairs = step->rope_pairs,
        .neox = s->rope_neox,
        .items = (s->n_heads + 2 * s->n_kv_heads) * (s->head_dim / 4),
        .eps = norm ? terms->eps : 0,
    };
    const struct gpu_range turns = {&step->buffer, step->rope,
                                    (uint64_t)n_rows * step->rope_pairs * 2 * sizeof(float)};
    const struct gpu_range ranges[] = {
        all_of(qkv), {&step->buffer, step->rows, n_rows * sizeof(struct step_row)},
        turns,       {&step->buffer, step->pages, (step->max_pages + 3ull) / 4 * 16},
        *k_pages,    *v_pages,
        all_of(qkv), bias || norm ? terms->data : turns,
    };
    uint32_t groups = norm ? s->n_heads + 2 * s->n_kv_heads : divide_up(args.items, lanes);
    groups = minimum(groups, ops->profile->rope_groups);
    gpu_commands_dispatch(c, kernel, ranges, &args, groups, n_rows, 1);
    return LLM_OK;
}

llm_status ops_attention(struct ops *ops, struct gpu_commands *c, const struct attention_shape *s,
                         const struct step *step, const struct gpu_buffer *qkv,
                         const struct gpu_range *k_pages, const struct gpu_range *v_pages,
                         const struct gpu_buffer *partial, const struct gpu_buffer *out,
                         enum values out_values, uint32_t max_groups, uint32_t n_rows,
                         struct llm_error *error)
{
    const struct profile *p = ops->profile;
    const struct gpu_kernel *attention, *merge;
    TRY(check_shape(s, error));
    bool alone = max_groups == 1 && out_values == VALUES_F32;
    uint64_t needed = ops_partial_size(s, n_rows, max_groups * ATTENTION_GROUP);
    if (!alone && (needed > partial->size || needed > ops->info->binding_size)) {
        return error_set(error, LLM_BAD_ARGUMENT,
                         "%" PRIu32 " rows of %" PRIu32 " groups need %" PRIu64
                         " bytes of partial results; %" PRIu64 " are there",
                         n_rows, max_groups, needed, partial->size);
    }
    uint32_t shared = s->n_heads / s->n_kv_heads, heads = minimum(shared, p->attention_heads);
    while (shared % heads) heads--;
    const uint32_t spec[] = {p->attention_lanes, heads,          s->head_dim,
                             s->kv_f16,          shared / heads, alone};
    TRY(kernels_get(ops->kernels, pick(ops, MODULE_attention), spec, 6, &attention, error));
    const uint32_t merge_spec[] = {p->attention_lanes, s->head_dim};
    TRY(kernels_get(ops->kernels, module_for(ops, MODULE_merge, out_values), merge_spec, 2, &merge,
                    error));

    const struct attention_args args = {
        s->stride, s->q, s->n_kv_heads, max_groups, ops_stride(s->n_heads * s->head_dim), s->scale};
    const struct gpu_range rows = {&step->buffer, step->rows, n_rows * sizeof(struct step_row)};
    const struct gpu_range pages = {&step->buffer, step->pages,
                                    (uint64_t)step->max_pages * sizeof(uint32_t)};
    const struct gpu_range ranges[] = {
        all_of(qkv), rows,     pages,
        *k_pages,    *v_pages, alone ? all_of(out) : (struct gpu_range){partial, 0, needed}};
    gpu_commands_dispatch_indirect(c, attention, ranges, &args, &step->buffer, step->counts);
    if (alone) return LLM_OK;
    gpu_commands_barrier(c);
    const struct gpu_range merge_ranges[] = {rows, {partial, 0, needed}, all_of(out)};
    gpu_commands_dispatch(c, merge, merge_ranges, &args, s->n_heads, n_rows, 1);
    return LLM_OK;
}

/* Attention over the paged cache, and what writes it. */
#include <inttypes.h>

#include "args.h"
#include "error.h"
#include "ops_impl.h"

/* Values that the cache holds together, and their size. */
struct kv_unit {
    uint32_t values, size;
};
static const struct kv_unit kv_units[] = {
    [LLM_KV_F16] = {8, 16},
    [LLM_KV_F32] = {4, 16},
    [LLM_KV_Q8_0] = {32, 32},
    [LLM_KV_Q4_0] = {32, 16},
};

/* Of all KV heads; scales are stored for two blocks together. */
static uint64_t page_size(const struct attention_shape *s, uint32_t dim)
{
    const struct kv_unit *u = &kv_units[s->kv];
    uint32_t scales = s->kv >= LLM_KV_Q8_0 ? divide_up(dim, 64) * 4 : 0;
    return (uint64_t)s->n_kv_heads * (dim / u->values * u->size + scales) * ATTENTION_PIECE;
}

uint64_t ops_k_page_size(const struct attention_shape *s)
{
    return page_size(s, s->head_dim);
}

uint64_t ops_v_page_size(const struct attention_shape *s)
{
    return s->latent ? 0 : page_size(s, s->v_dim);
}

uint64_t ops_partial_size(const struct attention_shape *s, uint32_t n_rows, uint32_t positions)
{
    uint64_t groups = positions / ATTENTION_GROUP + (positions % ATTENTION_GROUP != 0);
    return (uint64_t)n_rows * s->n_heads * (groups ? groups : 1) * (s->v_dim + 4) * sizeof(float);
}

llm_status ops_check_attention(const struct attention_shape *s, struct llm_error *error)
{
    uint32_t wide = kv_units[s->kv].values;
    if (s->n_kv_heads && s->n_heads && s->n_heads % s->n_kv_heads == 0 && s->head_dim &&
        s->head_dim % wide == 0 && s->head_dim <= ATTENTION_MAX_K && s->v_dim &&
        s->v_dim % wide == 0 && s->v_dim <= ATTENTION_MAX_V &&
        (!s->latent || s->v_dim <= s->head_dim) && s->rope_dim % 4 == 0 && s->rope_at % 4 == 0 &&
        s->turned % 4 == 0 && s->turned_each % 4 == 0 && s->rope_at + s->rope_dim <= s->head_dim &&
        s->stride % 4 == 0 && s->q % 4 == 0 && s->k % 4 == 0 && s->v % 4 == 0 && s->softcap >= 0) {
        return LLM_OK;
    }
    return error_set(error, LLM_UNSUPPORTED,
                     "attention of %" PRIu32 " heads, %" PRIu32 " KV heads, keys of %" PRIu32
                     " dimensions (%" PRIu32 " rotated), values of %" PRIu32
                     ": heads must be a multiple of KV heads, dimensions a multiple of %" PRIu32
                     "%s, up to %d of keys and %d of values",
                     s->n_heads, s->n_kv_heads, s->head_dim, s->rope_dim, s->v_dim, wide,
                     s->kv >= LLM_KV_Q8_0 ? " (with kv = \"f16\", of 4)" : "", ATTENTION_MAX_K,
                     ATTENTION_MAX_V);
}

static llm_status check_rope(const struct attention_shape *s, const struct step *step,
                             struct llm_error *error)
{
    TRY(ops_check_attention(s, error));
    if (s->rope_dim / 2 <= step->rope_pairs && (!s->rope_dim || step->rope_pairs % 2 == 0))
        return LLM_OK;
    return error_set(error, LLM_BAD_ARGUMENT,
                     "%" PRIu32 " rotated pairs, the step holds %" PRIu32 ", which must be even",
                     s->rope_dim / 2, step->rope_pairs);
}

static struct rope_args rope_args(const struct attention_shape *s, const struct head_terms *terms,
                                  const struct step *step)
{
    const uint32_t n_v_heads = s->latent ? 0 : s->n_kv_heads;
    return (struct rope_args){
        .stride = s->stride,
        .q = s->q,
        .k = s->k,
        .v = s->v,
        .n_heads = s->n_heads,
        .n_kv_heads = s->n_kv_heads,
        .n_v_heads = n_v_heads,
        .head_dim = s->head_dim,
        .v_dim = s->v_dim,
        .rope_at = s->rope_at,
        .rope_dim = s->rope_dim,
        .turned = s->turned,
        .turned_each = s->turned_each,
        .rope_pairs = step->rope_pairs,
        .neox = s->rope_neox,
        .items = (s->n_heads + s->n_kv_heads) * (s->head_dim / 4) + n_v_heads * (s->v_dim / 4),
        .eps = terms && terms->norm ? terms->eps : 0,
    };
}

static struct gpu_range turns_of(const struct attention_shape *s, const struct step *step,
                                 uint32_t n_rows)
{
    return (struct gpu_range){&step->buffer, step->rope + s->rope * step->rope_size,
                              (uint64_t)n_rows * step->rope_pairs * 2 * sizeof(float)};
}

llm_status ops_rope_store(struct ops *ops, struct gpu_commands *c, const struct attention_shape *s,
                          const struct head_terms *terms, const struct step *step,
                          const struct gpu_buffer *qkv, const struct gpu_range *k_pages,
                          const struct gpu_range *v_pages, uint32_t n_rows, struct llm_error *error)
{
    const struct gpu_kernel *kernel;
    TRY(check_rope(s, step, error));
    const bool bias = terms && terms->bias, norm = terms && terms->norm;
    const uint32_t lanes = ops->profile->lanes, spec[] = {lanes,
                                                          s->kv,
                                                          bias,
                                                          norm,
                                                          norm && terms->late,
                                                          s->q_scaled,
                                                          norm && terms->value_norm};
    TRY(ops_kernel(ops, c, ops_pick(ops, MODULE_rope_store), spec, 7, &kernel, error));
    const struct rope_args args = rope_args(s, terms, step);
    const struct gpu_range turns = turns_of(s, step, n_rows);
    const struct gpu_range ranges[] = {
        all_of(qkv), {&step->buffer, step->rows, n_rows * sizeof(struct step_row)},
        turns,       {&step->buffer, step->pages, (step->max_pages + 3ull) / 4 * 16},
        *k_pages,    *v_pages,
        all_of(qkv), bias || norm ? terms->data : turns,
    };
    bool whole_heads = norm || s->kv >= LLM_KV_Q8_0;
    uint32_t groups =
        whole_heads ? s->n_heads + s->n_kv_heads + args.n_v_heads : divide_up(args.items, lanes);
    groups = minimum(groups, ops->profile->rope_groups);
    gpu_commands_dispatch(c, kernel, ranges, &args, groups, n_rows, 1);
    return LLM_OK;
}

/* ---- groups of rows ---- */

/* Whether the second of two rows sees what the first does, or begins and ends later. */
static bool follows(const struct step_row *first, const struct step_row *second)
{
    return second->position == first->position + 1 && second->table == first->table &&
           second->last >= first->last;
}

void ops_step_end(const struct ops *ops, const struct step *step, uint32_t columns, uint32_t n_rows)
{
    const struct step_row *rows = (const void *)((const char *)step->buffer.map + step->rows);
    struct step_attention *counts = (void *)((char *)step->buffer.map + step->attention);
    uint32_t *alone = (uint32_t *)(counts + 1), *together = alone + step->max_rows;
    const uint32_t most = minimum(ops->profile->attention_rows, n_rows);
    uint32_t n_alone = 0, n_together = 0, kv_groups = 1;
    for (uint32_t i = 0, n; i < n_rows; i += n) {
        n = 1;
        if (rows[i].position == STEP_NO_ROW) continue;
        while (n < most && i + n < n_rows && follows(&rows[i + n - 1], &rows[i + n])) n++;
        if (n == 1) alone[n_alone++] = i | 1u << 16;
        else together[n_together++] = i | n << 16;
        const uint32_t groups = rows[i + n - 1].last / ATTENTION_GROUP + 1;
        if (groups > kv_groups) kv_groups = groups;
    }
    *counts = (struct step_attention){{kv_groups, columns, n_alone, 0},
                                      {kv_groups, columns, n_together, 0}};
}

/* ---- attention ---- */

/* The most that a row sees positions of. */
static uint32_t groups_in_window(uint32_t window)
{
    uint64_t positions = 2ull * window - 1;
    return window ? (uint32_t)((positions + 2 * ATTENTION_GROUP - 2) / ATTENTION_GROUP)
                  : UINT32_MAX;
}

/* Queries of so many dimensions together make a kernel of some thousand instructions. */
enum { MOST_TOGETHER = 12 * 128, MOST_PARTS = 8 };

/* How a KV head's queries are shared out: `split` workgroups take `heads` of a row `parts` times.
 */
struct sharing {
    uint32_t lanes, heads, parts, split;
};

static struct sharing sharing_of(const struct ops *ops, const struct attention_shape *s)
{
    const struct profile *p = ops->profile;
    const uint32_t shared = s->n_heads / s->n_kv_heads;
    struct sharing h = {p->attention_lanes, minimum(shared, p->attention_heads), 1, 1};
    const bool software = ops->info->software;
    if (software && s->head_dim > 256) h.heads = 1;
    while (shared % h.heads) h.heads--;
    /* A lane keeps 8 values of a query, but where lanes must be those of one subgroup. */
    while (!software && h.lanes < ATTENTION_PIECE && h.lanes * 8 < s->v_dim) h.lanes *= 2;
    *(shared / h.heads > MOST_PARTS ? &h.split : &h.parts) = shared / h.heads;
    return h;
}

uint32_t ops_attention_columns(const struct ops *ops, const struct attention_shape *s)
{
    return s->n_kv_heads * sharing_of(ops, s).split;
}

static llm_status attention_kernel(struct ops *ops, const struct gpu_commands *c,
                                   const struct attention_shape *s, bool alone, uint32_t n_rows,
                                   const struct gpu_kernel **out, struct llm_error *error)
{
    const struct sharing h = sharing_of(ops, s);
    while (n_rows > 2 && n_rows * h.heads * s->head_dim > MOST_TOGETHER) n_rows /= 2;
    const uint32_t spec[] = {h.lanes,         h.heads, s->head_dim, s->kv,     h.parts, alone,
                             s->softcap != 0, n_rows,  s->v_dim,    s->latent, h.split};
    return ops_kernel(ops, c, ops_pick(ops, MODULE_attention), spec, sizeof spec / sizeof *spec,
                      out, error);
}

static struct attention_args attention_args(const struct attention_shape *s, uint32_t max_groups)
{
    return (struct attention_args){
        .stride = s->stride,
        .q = s->q,
        .n_kv_heads = s->n_kv_heads,
        .max_groups = max_groups,
        .out_stride = ops_stride(s->n_heads * s->v_dim),
        .scale = s->scale,
        .window = s->window,
        .softcap = s->softcap,
        .first_group = sizeof(struct step_attention) / sizeof(uint32_t),
    };
}

static llm_status check_partial(const struct ops *ops, const struct gpu_buffer *partial,
                                uint64_t needed, uint32_t n_rows, uint32_t max_groups,
                                struct llm_error *error)
{
    if (needed <= partial->size && needed <= ops->info->binding_size) return LLM_OK;
    return error_set(error, LLM_BAD_ARGUMENT,
                     "%" PRIu32 " rows of %" PRIu32 " groups need %" PRIu64
                     " bytes of partial results; %" PRIu64 " are there",
                     n_rows, max_groups, needed, partial->size);
}

llm_status ops_attention(struct ops *ops, struct gpu_commands *c, const struct attention_shape *s,
                         const struct step *step, const struct gpu_buffer *qkv,
                         const struct gpu_range *k_pages, const struct gpu_range *v_pages,
                         const struct gpu_buffer *partial, const struct gpu_buffer *out,
                         enum values out_values, uint32_t max_groups, uint32_t n_rows,
                         struct llm_error *error)
{
    const struct gpu_kernel *attention, *merge;
    const uint32_t together = ops->profile->attention_rows;
    TRY(ops_check_attention(s, error));
    max_groups = minimum(max_groups, groups_in_window(s->window));
    bool alone = max_groups == 1 && out_values == VALUES_F32 && !s->sinks;
    uint64_t needed = ops_partial_size(s, n_rows, max_groups * ATTENTION_GROUP);
    if (!alone) TRY(check_partial(ops, partial, needed, n_rows, max_groups, error));
    const uint32_t merge_spec[] = {ops->profile->attention_lanes, s->v_dim, s->sinks != NULL};
    TRY(ops_kernel(ops, c, ops_pick_for(ops, MODULE_merge, out_values), merge_spec, 3, &merge,
                   error));

    struct attention_args args = attention_args(s, max_groups);
    const struct gpu_range rows = {&step->buffer, step->rows, n_rows * sizeof(struct step_row)};
    const struct gpu_range pages = {&step->buffer, step->pages,
                                    (uint64_t)step->max_pages * sizeof(uint32_t)};
    const struct gpu_range ranges[] = {
        all_of(qkv),
        rows,
        pages,
        *k_pages,
        *v_pages,
        alone ? all_of(out) : (struct gpu_range){partial, 0, needed},
        {&step->buffer, step->attention, step_attention_size(step->max_rows)},
    };
    TRY(attention_kernel(ops, c, s, alone, 1, &attention, error));
    gpu_commands_dispatch_indirect(c, attention, ranges, &args, &step->buffer,
                                   step->attention + offsetof(struct step_attention, alone));
    if (together > 1 && n_rows > 1) {
        gpu_commands_barrier(c); /* other rows of the same result, which the check cannot tell */
        TRY(attention_kernel(ops, c, s, alone, together, &attention, error));
        args.first_group += step->max_rows;
        gpu_commands_dispatch_indirect(c, attention, ranges, &args, &step->buffer,
                                       step->attention + offsetof(struct step_attention, together));
    }
    if (alone) return LLM_OK;
    gpu_commands_barrier(c);
    const struct gpu_range merge_ranges[] = {
        rows, {partial, 0, needed}, all_of(out), s->sinks ? *s->sinks : rows};
    gpu_commands_dispatch(c, merge, merge_ranges, &args, s->n_heads, n_rows, 1);
    return LLM_OK;
}

/* ---- one row at once ---- */

/* Words of a query that a lane keeps, where lanes are those of a subgroup. */
enum { MOST_KEPT = 4, ATTEND_BUFFERS = 13 };

bool ops_attends_at_once(const struct ops *ops, const struct attention_shape *s, uint32_t n_rows)
{
    const struct sharing h = sharing_of(ops, s);
    const uint32_t words = divide_up(s->head_dim / kv_units[s->kv].values, h.lanes);
    return n_rows == 1 && !ops->apart && !s->latent && !s->turned_each && s->kv <= LLM_KV_F32 &&
           (!s->rope_neox || s->rope_dim % 8 == 0) && (!ops->texels || words <= MOST_KEPT) &&
           s->n_kv_heads * h.split < OPS_COUNTERS && ops->info->bindings >= ATTEND_BUFFERS;
}

/* The bits of TERMS in fresh.glsl. */
static uint32_t terms_of(const struct attention_shape *s, const struct head_terms *t)
{
    const bool norm = t && t->norm,
               bits[] = {t && t->bias,          norm,    norm && t->late, s->q_scaled,
                         norm && t->value_norm, s->sinks};
    uint32_t terms = 0;
    for (uint32_t i = 0; i < sizeof bits / sizeof *bits; i++) terms |= (uint32_t)bits[i] << i;
    return terms;
}

static llm_status attend_row(struct ops *ops, struct gpu_commands *c,
                             const struct attention_shape *s, const struct head_terms *terms,
                             const struct step *step, const struct gpu_buffer *qkv,
                             const struct gpu_range *k_pages, const struct gpu_range *v_pages,
                             const struct gpu_buffer *partial, const struct gpu_buffer *out,
                             enum values out_values, uint32_t max_groups, struct llm_error *error)
{
    const struct gpu_kernel *kernel;
    const struct sharing h = sharing_of(ops, s);
    const uint32_t flags = terms_of(s, terms),
                   spec[] = {h.lanes,         h.heads, s->head_dim, s->kv, h.parts, flags,
                             s->softcap != 0, 1,       s->v_dim,    false, h.split};
    TRY(check_rope(s, step, error));
    max_groups = minimum(max_groups, groups_in_window(s->window));
    const uint64_t needed = ops_partial_size(s, 1, max_groups * ATTENTION_GROUP);
    TRY(check_partial(ops, partial, needed, 1, max_groups, error));
    TRY(ops_kernel(ops, c, ops_pick_for(ops, MODULE_attend, out_values), spec,
                   sizeof spec / sizeof *spec, &kernel, error));
    if (c) TRY(ops_want_counters(ops, error));
    const struct attend_args args = {attention_args(s, max_groups), rope_args(s, terms, step)};
    const struct gpu_range turns = turns_of(s, step, 1);
    const struct gpu_range ranges[ATTEND_BUFFERS] = {
        all_of(qkv),
        {&step->buffer, step->rows, sizeof(struct step_row)},
        {&step->buffer, step->pages, (uint64_t)step->max_pages * sizeof(uint32_t)},
        *k_pages,
        *v_pages,
        {partial, 0, needed},
        *k_pages,
        *v_pages,
        turns,
        terms && (terms->bias || terms->norm) ? terms->data : turns,
        all_of(out),
        all_of(&ops->counters),
        s->sinks ? *s->sinks : turns,
    };
    gpu_commands_dispatch_indirect(c, kernel, ranges, &args, &step->buffer,
                                   step->attention + offsetof(struct step_attention, alone));
    return LLM_OK;
}

llm_status ops_attend(struct ops *ops, struct gpu_commands *c, const struct attention_shape *s,
                      const struct head_terms *terms, const struct step *step,
                      const struct gpu_buffer *qkv, const struct gpu_range *k_pages,
                      const struct gpu_range *v_pages, const struct gpu_buffer *partial,
                      const struct gpu_buffer *out, enum values out_values, uint32_t max_groups,
                      uint32_t n_rows, struct llm_error *error)
{
    TRY(ops_check_attention(s, error));
    if (ops_attends_at_once(ops, s, n_rows))
        return attend_row(ops, c, s, terms, step, qkv, k_pages, v_pages, partial, out, out_values,
                          max_groups, error);
    TRY(ops_rope_store(ops, c, s, terms, step, qkv, k_pages, v_pages, n_rows, error));
    gpu_commands_barrier(c);
    return ops_attention(ops, c, s, step, qkv, k_pages, v_pages, partial, out, out_values,
                         max_groups, n_rows, error);
}

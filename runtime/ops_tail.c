/* What follows attention in a layer, for a single row, in one dispatch: where the wakening of a
 * software device's threads costs more than what they do between two barriers. */
#include "args.h"
#include "error.h"
#include "ops_impl.h"
#include "repack.h"

enum {
    LANES = 8,
    MOST_BLOCKS = 4096, /* of a row of weights */
    /* Beyond those that all blocks want: threads take workgroups in equal shares, one may come
     * late, and norms are work, too. */
    SPARE_GROUPS = 8,
    COUNTERS = 8 /* and one for each task: tail.comp */
};

static enum module module_of(enum quant_type type, enum values values)
{
    const struct format_modules *m = ops_format(type);
    if (!m || values == VALUES_INT8) return 0;
    return values == VALUES_INT ? m->tail_integers : m->tail;
}

bool ops_has_tail(const struct ops *ops, enum quant_type type, enum values values)
{
    return !ops->tail_apart && ops->texels && ops->info->software && ops->info->unified &&
           module_of(type, values);
}

static uint32_t tiles_of(const struct weight *w)
{
    return w ? w->rows / REPACK_TILE : 0;
}

static uint32_t tasks_of(const struct tail *t)
{
    return 2 * tiles_of(t->o) + tiles_of(t->gate) + tiles_of(t->qkv) + 2;
}

/* The blocks that all tasks walk, the two matrices of the gate being one walk. */
static uint64_t blocks_of(const struct tail *t)
{
    const struct weight *const all[] = {t->o, t->gate, t->down, t->qkv};
    uint64_t n = 0;
    for (int i = 0; i < 4; i++) n += all[i] ? (uint64_t)tiles_of(all[i]) * all[i]->cols / 32 : 0;
    return n;
}

enum { N_MATRICES = 5 };
static void list_matrices(const struct tail *t, const struct weight *out[N_MATRICES])
{
    const struct weight *const all[] = {t->o, t->gate, t->up, t->down, t->qkv ? t->qkv : t->o};
    for (int i = 0; i < N_MATRICES; i++) out[i] = all[i];
}

/* All matrices, from the first one to the end of the last. */
static struct gpu_range range_of(const struct tail *t)
{
    const struct weight *all[N_MATRICES];
    uint64_t first = UINT64_MAX, end = 0;
    list_matrices(t, all);
    for (int i = 0; i < N_MATRICES; i++) {
        const uint64_t last =
            all[i]->offset + repack_size(all[i]->type, all[i]->rows, all[i]->cols);
        if (all[i]->offset < first) first = all[i]->offset;
        if (last > end) end = last;
    }
    return (struct gpu_range){t->o->buffer, first, end - first};
}

bool ops_tail_fits(const struct ops *ops, const struct tail *t)
{
    const struct weight *all[N_MATRICES];
    const enum values values = ops_values(ops, t->o);
    if (!ops_has_tail(ops, t->o->type, values)) return false;
    list_matrices(t, all);
    for (int i = 0; i < N_MATRICES; i++) {
        const struct weight *w = all[i];
        if (w->buffer != t->o->buffer || w->type != t->o->type || w->bias.buffer ||
            w->rows % REPACK_TILE || w->cols % REPACK_TILE || w->cols / 32 > MOST_BLOCKS ||
            ops_values(ops, w) != values)
            return false;
    }
    return range_of(t).size / 16 <= ops->info->texels && COUNTERS + tasks_of(t) <= OPS_COUNTERS;
}

/* As tail.comp lays them out. */
uint64_t ops_tail_size(uint32_t heads, uint32_t dim, uint32_t hidden)
{
    return (ops_stride(heads) + 5ull * ops_stride(dim) + ops_stride(hidden)) * sizeof(float);
}

llm_status ops_tail(struct ops *ops, struct gpu_commands *c, const struct tail *t,
                    struct llm_error *error)
{
    const struct gpu_kernel *kernel;
    const uint32_t spec[] = {LANES, t->activation->kind, ops->patience, ops->stamina};
    const enum module module = module_of(t->o->type, ops_values(ops, t->o));
    TRY(ops_kernel(ops, c, module, spec, sizeof spec / sizeof *spec, &kernel, error));
    if (!c) return LLM_OK;
    TRY(ops_want_counters(ops, error));
    const struct gpu_range matrices = range_of(t);
    const struct weight *all[N_MATRICES];
    uint32_t at[N_MATRICES];
    list_matrices(t, all);
    for (int i = 0; i < N_MATRICES; i++)
        at[i] = (uint32_t)((all[i]->offset - matrices.offset) / 16);
    struct tail_args args = {
        .o = at[0],
        .gate = at[1],
        .up = at[2],
        .down = at[3],
        .qkv = at[4],
        .heads = t->o->cols / 32,
        .dim = t->o->rows / 32,
        .hidden = t->down->cols / 32,
        .qkv_tiles = tiles_of(t->qkv),
        .n = (float)t->o->rows,
        .eps = t->eps,
    };
    for (int i = 0; i < 4; i++) args.act[i] = t->activation->a[i];
    const struct gpu_range ranges[] = {
        matrices,      all_of(t->made),    all_of(t->made),        t->x_in, t->x_out, *t->gain,
        *t->next_gain, all_of(t->qkv_out), all_of(&ops->counters),
    };
    const uint32_t groups = (uint32_t)(blocks_of(t) / ops->stamina) + SPARE_GROUPS;
    gpu_commands_dispatch(c, kernel, ranges, &args, groups, 1, 1);
    return LLM_OK;
}

/* ops_impl.h - what the files of the operations (ops*.c) share. */
#ifndef OPS_IMPL_H
#define OPS_IMPL_H

#include "kernels.h"
#include "ops.h"

/* What suits a kind of device. */
struct profile {
    uint32_t mat_columns; /* the most rows of x that a lane takes at a time */
    uint32_t mat_tile;    /* columns of the largest tile of a product of many rows, 0: none */
    uint32_t rope_groups; /* workgroups a row */
    uint32_t top_parts;   /* that a row of logits is collected in, at most TOP_PARTS */
    uint32_t lanes, norm_lanes, attention_lanes, attention_heads,
        attention_rows; /* that share what they read of the cache */
};
enum ops_profile { PROFILE_SOFTWARE, PROFILE_NARROW, PROFILE_GPU, PROFILE_WIDE, N_PROFILES };
extern const struct profile ops_profiles[N_PROFILES];

struct experts;
struct pairs;
struct product;
/* Leaves a verdict on a way of a product in the kernels' choices. */
typedef llm_status (*ops_check)(struct ops *ops, const struct product *p, uint32_t n_rows,
                                uint32_t way, struct llm_error *error);

struct check;
/* Checks what is done in one way only, unless that is known; LLM_UNSUPPORTED where it is wrong. */
typedef llm_status (*ops_require)(struct ops *ops, const struct check *t, struct llm_error *error);

struct ops {
    /* Before a kernel is recorded; NULL: nothing is checked. */
    ops_check check; /* of products, of which nothing is known */
    ops_require require;
    struct kernels *kernels; /* of the device, not owned */
    const struct gpu_info *info;
    const struct profile *profile;
    bool texels;
    bool apart;                 /* the kernel of a row alone is wrong */
    bool tail_apart;            /* that of a layer's tail is */
    uint32_t patience, stamina; /* of its workgroups: how often they look for what they wait for;
                                   blocks that they walk before they leave the rest to others */
    bool flat;                  /* the driver unrolls no loops */
    enum values integers;       /* that activations are rounded to where that is faster, or f32 */
    struct gpu_buffer counters; /* of what workgroups have finished, 0 between dispatches */
    uint32_t forced;            /* for tests and measurements: way number forced - 1 */
    const struct alloc *alloc;
};

/* One way to make a product: a kernel, and how many rows of weights and of x a workgroup takes. All
 * ways of a product give the same bits. */
struct way {
    enum module module;
    uint32_t spec[KERNELS_SPEC], n_spec;
    uint32_t rows, columns;
};
enum { OPS_WAYS = 4 };

/* What becomes of what y holds, as in mat.comp. */
enum into { INTO_NOTHING, INTO_SUM, INTO_GATE };

/* A product, or with second the gated one; x, and y in integers if x is. */
struct product {
    const struct weight *first, *second;
    const struct gpu_buffer *x, *y;
    enum values x_values, y_values;
    uint32_t y_stride, y_at;
    enum into into;
    const struct activation *activation; /* or NULL */
    const struct norm *norm;             /* of y, or NULL */
};
llm_status ops_multiply(struct ops *ops, struct gpu_commands *c, const struct product *p,
                        uint32_t n_rows, struct llm_error *error);
/* Fills in the ways to make it, the default first; returns how many, 0 for an unknown format. */
uint32_t ops_ways(const struct ops *ops, const struct product *p, uint32_t n_rows,
                  struct way ways[OPS_WAYS]);
/* A product of experts: gate and up, or one matrix. */
struct expert_product {
    const struct experts *first, *second; /* second: gated */
    const struct gpu_buffer *x, *y;
    uint32_t x_slots;
    const struct activation *activation;   /* of the gate, or NULL */
    bool gate_waits;                       /* in y: first is up */
    const struct parts *x_parts, *y_parts; /* or NULL */
};
llm_status ops_experts_multiply(struct ops *ops, struct gpu_commands *c,
                                const struct expert_product *p, const struct pairs *pairs,
                                struct llm_error *error);
/* Pairs of one expert that a workgroup takes, 0: they are too few to be put together. */
uint32_t ops_experts_columns(const struct ops *ops, const struct pairs *p);
/* The one to take, by what is known of them (choices_pick), and its number. */
llm_status ops_choose(struct ops *ops, const struct product *p, uint32_t n_rows, struct way *way,
                      uint32_t *number, struct llm_error *error);
/* The error that this kernel is wrong and nothing takes its place. */
llm_status ops_refuse(struct ops *ops, const char *name, struct llm_error *error);
/* Pieces that K is cut into, by shape and device alone, so that a row's bits are the same in any
 * batch: on a GPU enough of them that a matrix keeps every core busy. */
uint32_t ops_pieces(const struct ops *ops, const struct weight *w);

enum {
    OPS_COUNTERS = 4096,
    OPS_AXIS = 65535, /* workgroups along one axis that every device allows */
    OPS_NORM_ROWS =
        4 /* more have their norm made by as many workgroups, in a dispatch of its own */
};

/* The modules of each format, see ops_pick. */
struct format_modules {
    enum quant_type type;
    enum module mat, tile, flat, embed, experts;
    enum module integers; /* 0: there is none; the one that makes the norm, too, follows */
    uint32_t columns;     /* of that one at a time: measured, four are 1.6 times slower than two, or
                             1.2 times faster */
    enum module dot;      /* of packed bytes, 0: there is none; the one with tiles follows */
    enum module tail, tail_integers; /* of x in f32 and in integers, 0: there is none */
};

/* NULL where there are none. */
const struct format_modules *ops_format(enum quant_type type);

/* Tiles of a matrix that one binding holds: whole groups of four, so that each cut is aligned to
 * 256 bytes. */
llm_status ops_tiles_a_binding(const struct ops *ops, const struct weight *w, uint32_t *out,
                               struct llm_error *error);
struct gpu_range ops_tile_range(const struct weight *w, uint32_t tile, uint32_t n);

/* The row of kernels.def for this device: one with texel buffers follows. */
static inline enum module ops_pick(const struct ops *ops, enum module module)
{
    return ops->texels ? module + 1 : module;
}

/* Where the row with texel buffers is followed by those that write integers. */
static inline enum module ops_pick_for(const struct ops *ops, enum module module, enum values out)
{
    return out == VALUES_F32 ? ops_pick(ops, module) : module + 1 + out;
}

/* Makes ops->counters, unless they are there; before commands that use them are recorded. */
llm_status ops_want_counters(struct ops *ops, struct llm_error *error);
/* Whether ops_attend is one dispatch. */
bool ops_attends_at_once(const struct ops *ops, const struct attention_shape *s, uint32_t n_rows);
/* ops->require, if there are commands to be recorded. */
llm_status ops_required(struct ops *ops, const struct gpu_commands *c, const struct check *t,
                        struct llm_error *error);
/* kernels_get, for commands to be recorded; without them kernels_want. */
llm_status ops_kernel(const struct ops *ops, const struct gpu_commands *c, enum module module,
                      const uint32_t *spec, uint32_t n_spec, const struct gpu_kernel **out,
                      struct llm_error *error);

static inline uint32_t divide_up(uint32_t n, uint32_t by)
{
    return n / by + (n % by != 0);
}

static inline uint32_t minimum(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static inline struct gpu_range all_of(const struct gpu_buffer *buffer)
{
    return (struct gpu_range){buffer, 0, 0};
}

#endif

/* ops_impl.h - what the files of the operations (ops*.c) share. */
#ifndef OPS_IMPL_H
#define OPS_IMPL_H

#include "kernels.h"
#include "ops.h"

/* What suits a kind of device; nothing here changes with the number of rows, so that a row's bits
 * do not either. */
struct profile {
    uint32_t mat_tiles, mat_pieces,
        mat_columns;      /* a workgroup's tiles of rows, pieces of K, and the most rows of x */
    uint32_t rope_groups; /* workgroups a row */
    uint32_t lanes, norm_lanes, attention_lanes, attention_heads,
        attention_rows; /* that share what they read of the cache */
};

struct ops {
    struct kernels *kernels; /* of the device, not owned */
    const struct gpu_info *info;
    const struct profile *profile;
    bool texels, integers;
    bool flat; /* the driver unrolls no loops */
    struct gpu_buffer finished; /* with integers: a count of workgroups, 0 between dispatches */
    const struct alloc *alloc;
};

enum { OPS_AXIS = 65535 }; /* workgroups along one axis that every device allows */

/* The modules of each format, see ops_pick. */
struct format_modules {
    enum quant_type type;
    enum module mat, flat, embed, experts;
    enum module integers; /* 0: there is none; the one that makes the norm, too, follows */
    uint32_t columns;     /* of that one at a time: measured, four are 1.6 times slower than two, or
                             1.2 times faster */
};

llm_status ops_format(const struct weight *w, const struct format_modules **out,
                      struct llm_error *error);

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

/* Where the row with texel buffers is followed by one that writes integers. */
static inline enum module ops_pick_for(const struct ops *ops, enum module module, enum values out)
{
    return out == VALUES_INT ? module + 2 : ops_pick(ops, module);
}

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

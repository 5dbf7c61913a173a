#include "ops_impl.h"

#include <inttypes.h>
#include <stddef.h>

#include "args.h"
#include "check.h"
#include "gpu_error.h"

/* A software device runs a workgroup as a loop over subgroups and pays for each barrier. A GPU
 * wants many lanes that load at once, hence many pieces of K. Where subgroups may be narrow (Intel,
 * Arm) a lane has few registers, and more columns or heads spill; where they are wide (AMD,
 * Qualcomm) half of one would idle in attention, and the queries of two rows spill. tests/compilers
 * has the figures. */
const struct profile ops_profiles[N_PROFILES] = {
    [PROFILE_SOFTWARE] = {8, 0, 2, 2, 8, 8, 8, 4, 4},
    [PROFILE_NARROW] = {2, 32, 1024, 16, 64, 128, 16, 2, 1},
    [PROFILE_GPU] = {8, 64, 1024, 16, 64, 128, 32, 4, 2},
    [PROFILE_WIDE] = {8, 64, 1024, 16, 64, 128, 64, 4, 1},
};

static enum ops_profile profile_of(const struct gpu_info *info)
{
    if (info->software) return PROFILE_SOFTWARE;
    if (info->subgroup_min <= 16) return PROFILE_NARROW;
    return info->subgroup >= 64 ? PROFILE_WIDE : PROFILE_GPU;
}

const uint32_t ops_buckets[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 0};

llm_status ops_run(struct gpu_device *device, struct gpu_commands *c, struct llm_error *error)
{
    uint64_t ticket;
    TRY_GPU(gpu_commands_end(c, &gpu_error_), error);
    TRY_GPU(gpu_submit(device, &c, 1, &ticket, &gpu_error_), error);
    TRY_GPU(gpu_wait(device, ticket, UINT64_MAX, &gpu_error_), error);
    return LLM_OK;
}

static llm_status clear(struct gpu_device *device, const struct gpu_buffer *buffer,
                        struct llm_error *error)
{
    struct gpu_commands *c;
    TRY_GPU(gpu_commands_create(device, &c, 0, &gpu_error_), error);
    gpu_commands_fill(c, buffer, 0, buffer->size, 0);
    const llm_status status = ops_run(device, c, error);
    gpu_commands_free(device, c);
    return status;
}

llm_status ops_want_counters(struct ops *ops, struct llm_error *error)
{
    struct gpu_device *device = ops->kernels->device;
    if (ops->counters.size) return LLM_OK;
    TRY_GPU(gpu_buffer_create(device, &ops->counters, OPS_COUNTERS * sizeof(uint32_t),
                              GPU_MEMORY_DEVICE, &gpu_error_),
            error);
    const llm_status status = clear(device, &ops->counters, error);
    if (status != LLM_OK) gpu_buffer_free(device, &ops->counters);
    return status;
}

static enum values integers_of(const struct ops *ops)
{
    const struct gpu_info *info = ops->info;
    if (ops->texels && info->software && info->unified) return VALUES_INT;
    return info->int_dot_fast && !info->software ? VALUES_INT8 : VALUES_F32;
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
    ops->profile = &ops_profiles[profile_of(ops->info)];
    ops->texels = ops->info->texel_loads && ops->info->subgroup == 8 && ops->info->subgroup_shuffle;
    ops->flat = ops->info->no_unrolling;
    ops->patience = 16384; /* a millisecond, and a quarter of llvmpipe's limit of back-edges */
    ops->stamina = 4096;
    ops->integers = high ? VALUES_F32 : integers_of(ops);
    *out = ops;
    return LLM_OK;
}

void ops_free(struct ops *ops)
{
    if (!ops) return;
    gpu_buffer_free(ops->kernels->device, &ops->counters);
    alloc_free(ops->alloc, ops, sizeof *ops);
}

llm_status ops_required(struct ops *ops, const struct gpu_commands *c, const struct check *t,
                        struct llm_error *error)
{
    return c && ops->require ? ops->require(ops, t, error) : LLM_OK;
}

llm_status ops_kernel(const struct ops *ops, const struct gpu_commands *c, enum module module,
                      const uint32_t *spec, uint32_t n_spec, const struct gpu_kernel **out,
                      struct llm_error *error)
{
    *out = NULL;
    return c ? kernels_get(ops->kernels, module, spec, n_spec, out, error)
             : kernels_want(ops->kernels, module, spec, n_spec, error);
}

llm_status ops_norm(struct ops *ops, struct gpu_commands *c, const struct gpu_buffer *in,
                    const struct norm *norm, uint32_t dim, const struct step *step, bool gather,
                    uint32_t n_rows, struct llm_error *error)
{
    const struct gpu_kernel *kernel;
    const uint32_t many = norm->values ? 32 : 4;
    if (dim == 0 || dim % many || (norm->add && norm->values))
        return error_set(error, LLM_UNSUPPORTED,
                         "a norm of %" PRIu32 " values: not a multiple of %" PRIu32
                         ", or integers added",
                         dim, many);
    const struct check check = {.kind = CHECK_NORM,
                                .out = norm->values,
                                .centered = norm->centered,
                                .bias = norm->bias != NULL,
                                .added = norm->add};
    TRY(ops_required(ops, c, &check, error));
    const uint32_t spec[] = {ops->profile->norm_lanes, norm->centered, norm->bias != NULL,
                             norm->add};
    TRY(ops_kernel(ops, c, ops_pick_for(ops, MODULE_norm, norm->values), spec, 4, &kernel, error));
    const uint32_t stride = norm->stride ? norm->stride : ops_stride(dim);
    const struct norm_args args = {dim / 4,
                                   stride / 4,
                                   (float)dim,
                                   norm->eps,
                                   gather,
                                   norm->at / 4,
                                   norm->scale != 0 ? norm->scale : 1};
    const struct gpu_range outputs = {gather ? &step->buffer : in, gather ? step->outputs : 0,
                                      n_rows * sizeof(uint32_t)};
    const struct gpu_range ranges[] = {all_of(in), *norm->gain, outputs, all_of(norm->out),
                                       norm->bias ? *norm->bias : *norm->gain};
    gpu_commands_dispatch(c, kernel, ranges, &args, n_rows, norm->parts ? norm->parts : 1, 1);
    return LLM_OK;
}

llm_status ops_argmax(struct ops *ops, struct gpu_commands *c, const struct gpu_buffer *logits,
                      uint32_t n, const struct gpu_buffer *out, uint32_t n_rows,
                      struct llm_error *error)
{
    const struct gpu_kernel *kernel;
    TRY(ops_required(ops, c, &(struct check){.kind = CHECK_ARGMAX}, error));
    TRY(ops_kernel(ops, c, ops_pick(ops, MODULE_argmax), &ops->profile->norm_lanes, 1, &kernel,
                   error));
    const struct argmax_args args = {n, ops_stride(n)};
    const struct gpu_range ranges[] = {all_of(logits), all_of(out)};
    gpu_commands_dispatch(c, kernel, ranges, &args, n_rows, 1, 1);
    return LLM_OK;
}

/* Groups of a row's logits; their largest are sought in TOP_PARTS workgroups. */
enum { TOP_GROUPS = 512 };

uint64_t ops_top_scratch(void)
{
    return TOP_GROUPS * sizeof(uint32_t);
}

llm_status ops_top(struct ops *ops, struct gpu_commands *c, const struct gpu_buffer *logits,
                   uint32_t n, const struct step *step, const struct gpu_buffer *groups,
                   const struct gpu_buffer *out, uint32_t n_rows, struct llm_error *error)
{
    const struct gpu_kernel *find, *collect;
    const uint32_t lanes = ops->profile->norm_lanes, parts = ops->profile->top_parts;
    const uint32_t find_spec[] = {lanes, TOP_GROUPS, TOP_PARTS},
                   spec[] = {lanes, TOP_GROUPS, parts};
    TRY(ops_required(ops, c, &(struct check){.kind = CHECK_TOP}, error));
    TRY(ops_kernel(ops, c, ops_pick(ops, MODULE_top_groups), find_spec, 3, &find, error));
    TRY(ops_kernel(ops, c, ops_pick(ops, MODULE_top), spec, 3, &collect, error));
    const uint32_t word = sizeof(uint32_t);
    const struct top_args args = {.n = n,
                                  .stride = ops_stride(n),
                                  .wanted = sizeof(struct step_top) / word,
                                  .found = sizeof(struct top) / word,
                                  .items = offsetof(struct top, items) / word,
                                  .names = offsetof(struct top, named) / word,
                                  .room = TOP_ROOM};
    const struct gpu_range ranges[] = {
        all_of(logits),
        {&step->buffer, step->tops, n_rows * sizeof(struct step_top)},
        all_of(groups),
        all_of(out)};
    gpu_commands_dispatch(c, find, ranges, &args, TOP_PARTS, n_rows, 1);
    gpu_commands_barrier(c);
    gpu_commands_dispatch(c, collect, ranges, &args, parts, n_rows, 1);
    return LLM_OK;
}

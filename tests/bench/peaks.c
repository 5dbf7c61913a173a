#include "peaks.h"

#include <time.h>

#include "peak.h"
#include "read.h"
#include "read_texels.h"

#define TRY(call)                                                                                  \
    do {                                                                                           \
        enum gpu_status status_ = (call);                                                          \
        if (status_ != GPU_OK) return status_;                                                     \
    } while (0)

enum { RUNS = 6, MAX_READ = 512 << 20 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

enum gpu_status peaks_run(struct gpu_device *device, struct gpu_commands *const *list, uint32_t n,
                          double *seconds, struct gpu_error *error)
{
    uint64_t ticket;
    double start = now();
    TRY(gpu_submit(device, list, n, &ticket, error));
    TRY(gpu_wait(device, ticket, UINT64_MAX, error));
    *seconds = now() - start;
    return GPU_OK;
}

/* The shortest time of one dispatch: by timestamps, else by the host's clock. */
static enum gpu_status shortest(struct gpu_device *device, struct gpu_commands *c, double *best,
                                struct gpu_error *error)
{
    TRY(gpu_commands_end(c, error));
    for (int i = 0; i < RUNS; i++) {
        double seconds, nanoseconds;
        TRY(peaks_run(device, &c, 1, &seconds, error));
        gpu_commands_time(c, 0, &nanoseconds);
        if (nanoseconds > 0) seconds = nanoseconds * 1e-9;
        if (i == 0 || seconds < *best) *best = seconds; /* the first one compiles on some drivers */
    }
    return GPU_OK;
}

static enum gpu_status time_kernel(struct gpu_device *device, const struct gpu_kernel_desc *desc,
                                   const struct gpu_range *ranges, const void *push,
                                   uint32_t groups, double *best, struct gpu_error *error)
{
    struct gpu_kernel *kernel;
    struct gpu_commands *c;
    TRY(gpu_kernel_create(device, &kernel, desc, error));
    enum gpu_status status = gpu_commands_create(device, &c, GPU_COMMANDS_TIMED, error);
    if (status == GPU_OK) {
        gpu_commands_dispatch(c, kernel, ranges, push, groups, 1, 1);
        status = shortest(device, c, best, error);
        gpu_commands_free(device, c);
    }
    gpu_kernel_free(device, kernel);
    return status;
}

/* A software device runs a subgroup at a time; its loops have a budget. */
struct shape {
    uint32_t lanes, read_steps, peak_steps, peak_groups;
};

static const struct shape *shape_of(const struct gpu_info *info)
{
    static const struct shape software = {8, 256, 4096, 256}, hardware = {128, 16, 4096, 2048};
    return info->software ? &software : &hardware;
}

static enum gpu_status measure_read(struct gpu_device *device, const struct gpu_buffer *data,
                                    const struct gpu_buffer *out, struct peaks *peaks,
                                    struct gpu_error *error)
{
    const struct gpu_info *info = gpu_device_info(device);
    const struct shape *s = shape_of(info);
    uint64_t piece = 16ull * 8 * s->lanes * s->read_steps;
    uint32_t groups = (uint32_t)(data->size / piece);
    const struct gpu_range ranges[] = {{data, 0, groups * piece}, {out, 0, 0}};
    struct gpu_kernel_desc ways[] = {
        {.name = "read", .spirv = read_spirv, .spirv_size = sizeof read_spirv},
        {.name = "read_texels",
         .spirv = read_texels_spirv,
         .spirv_size = sizeof read_texels_spirv,
         .texels = 1},
    };
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        double seconds = 0;
        if (ways[i].texels && groups * piece / 16 > info->texels) continue;
        ways[i].n_buffers = 2;
        ways[i].written = 2;
        ways[i].push_size = sizeof s->read_steps;
        ways[i].n_spec = 1;
        ways[i].spec = &s->lanes;
        TRY(time_kernel(device, &ways[i], ranges, &s->read_steps, groups, &seconds, error));
        double speed = (double)(groups * piece) / seconds;
        if (speed > peaks->read) peaks->read = speed;
    }
    return GPU_OK;
}

static enum gpu_status measure_compute(struct gpu_device *device, const struct gpu_buffer *out,
                                       struct peaks *peaks, struct gpu_error *error)
{
    const struct shape *s = shape_of(gpu_device_info(device));
    const struct {
        uint32_t steps;
        float factor, addend;
    } push = {s->peak_steps, 0.5f, 0.5f};
    const struct gpu_kernel_desc desc = {
        .name = "peak",
        .spirv = peak_spirv,
        .spirv_size = sizeof peak_spirv,
        .n_buffers = 1,
        .written = 1,
        .push_size = sizeof push,
        .n_spec = 1,
        .spec = &s->lanes,
    };
    double seconds = 0;
    TRY(time_kernel(device, &desc, &(struct gpu_range){out, 0, 0}, &push, s->peak_groups, &seconds,
                    error));
    peaks->compute = 128.0 * s->peak_steps * s->lanes * s->peak_groups / seconds;
    return GPU_OK;
}

static enum gpu_status measure(struct gpu_device *device, struct gpu_buffer *data,
                               struct gpu_buffer *out, struct peaks *peaks, struct gpu_error *error)
{
    const struct gpu_info *info = gpu_device_info(device);
    uint64_t size = info->binding_size < MAX_READ ? info->binding_size : MAX_READ;
    struct gpu_commands *c;
    double seconds;
    TRY(gpu_buffer_create(device, data, size / 16 * 16, GPU_MEMORY_DEVICE, error));
    TRY(gpu_buffer_create(device, out, 16u << 20, GPU_MEMORY_DEVICE, error));
    TRY(gpu_commands_create(device, &c, 0, error));
    gpu_commands_fill(c, data, 0, data->size, 1); /* pages that are never written need not exist */
    enum gpu_status status = gpu_commands_end(c, error);
    if (status == GPU_OK) status = peaks_run(device, &c, 1, &seconds, error);
    gpu_commands_free(device, c);
    if (status == GPU_OK) status = measure_read(device, data, out, peaks, error);
    return status == GPU_OK ? measure_compute(device, out, peaks, error) : status;
}

enum gpu_status peaks_measure(struct gpu_device *device, struct peaks *out, struct gpu_error *error)
{
    struct gpu_buffer data = {0}, results = {0};
    *out = (struct peaks){0, 0};
    enum gpu_status status = measure(device, &data, &results, out, error);
    gpu_buffer_free(device, &results);
    gpu_buffer_free(device, &data);
    return status;
}

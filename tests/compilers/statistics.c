/* statistics.c - lets the runtime record every operation on the first Vulkan device and prints, a
 * line each, what the driver's compiler made of the kernels that it chose there.
 *   compilers CHIP [-a] [-s] [-c] [PART]   CHIP is what the first column says
 *   PART: only operations whose name has it, such as "Q4_K 8", or "bytes": given those
 *   -s: every statistic that the driver has; -a: assembly, too
 *   -c: instead, makes the kernels twice, the second time with the pipeline cache of the first, and
 *       prints how many of them the driver found there */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "error.h"
#include "kernels.h"
#include "ops_impl.h"
#include "repack.h"

/* ---- names ---- */

/* kernels.c hands these very arrays to Vulkan: the address tells the kernel. */
#define KERNEL(name, source, defines, buffers, written, texels, args)                              \
    extern const uint32_t name##_spirv[];
#include "kernels.def"
#undef KERNEL

static const struct {
    const char *name;
    const uint32_t *spirv;
} kernels[] = {
#define KERNEL(name, source, defines, buffers, written, texels, args) {#name, name##_spirv},
#include "kernels.def"
#undef KERNEL
};

static const char *name_of(const uint32_t *spirv)
{
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
        if (kernels[i].spirv == spirv) return kernels[i].name;
    }
    return "?";
}

/* Columns, and what RADV, ANV, Turnip, PanVK and NVK call them; those that a driver has are
 * added up. */
static const struct column {
    const char *title;
    const char *names[5];
} columns[] = {
    {"registers",
     {"VGPRs", "Max live registers", "Registers used", "Number of GPRs", "Register count"}},
    {"spills", {"Spilled VGPRs", "Spilled SGPRs", "Spill Count", "Spills to memory", "Spills"}},
    {"scratch", {"Scratch size", "Scratch Memory Size", "Size of thread local storage"}},
    {"shared", {"LDS size", "Workgroup Memory Size", "Shared memory"}},
    {"waves", {"Subgroups per SIMD", "Max Waves Per Core", "Max warps/SM", "Thread count"}},
    {"instructions", {"Instructions", "Instruction Count", "Instruction count"}},
    {"cycles", {"Latency", "Cycle Count", "Cycle count"}},
    {"throughput", {"Inverse Throughput"}},
};

enum { N_COLUMNS = sizeof columns / sizeof *columns };

static void print_column(const struct capture_program *program, const struct column *column)
{
    double sum = 0;
    bool known = false;
    for (size_t k = 0; k < sizeof column->names / sizeof *column->names; k++) {
        for (uint32_t i = 0; column->names[k] && i < program->n; i++) {
            if (strcmp(program->statistics[i].name, column->names[k]) != 0) continue;
            sum += program->statistics[i].value;
            known = true;
        }
    }
    if (known) printf("\t%.0f", sum);
    else printf("\t-");
}

struct run {
    const char *chip, *part;
    bool every;
    const char *shape; /* of the operation being recorded */
    struct kernels *kernels;
    struct ops *ops;
    struct gpu_device *device;
    struct kernel_counts counts;
    bool twice;
    void *cache; /* what the device before has left */
    size_t cache_size;
};

static void print_program(void *user, const struct capture_program *program)
{
    const struct run *run = user;
    printf("%s\t%s\t%s\t%" PRIu32, run->chip, name_of(program->spirv), run->shape,
           program->subgroup);
    for (size_t i = 0; i < N_COLUMNS; i++) print_column(program, &columns[i]);
    putchar('\n');
    for (uint32_t i = 0; run->every && i < program->n; i++)
        printf("# %s\t%.17g\n", program->statistics[i].name, program->statistics[i].value);
}

static void print_header(const struct gpu_info *info)
{
    printf("# %s\nchip\tkernel\tshape\tsubgroup", info->driver);
    for (size_t i = 0; i < N_COLUMNS; i++) printf("\t%s", columns[i].title);
    putchar('\n');
}

/* ---- what is recorded ---- */

static const enum quant_type formats[] = {
#define FORMAT(constant, id, name, weights, bytes) constant,
    QUANT_LIST(FORMAT)
#undef FORMAT
};

/* The sizes of a 7B model. Nothing is computed, so one buffer that is not there does for all. */
enum { DIM = 4096, CONTEXT = 4096, MAX_ROWS = 8 };
static const struct gpu_buffer memory = {.size = 1u << 30};
static const struct step step = {.buffer = {.size = 1u << 30},
                                 .max_rows = MAX_ROWS,
                                 .max_outputs = MAX_ROWS,
                                 .max_pages = 64,
                                 .rope_pairs = 64};

/* One operation of the runtime in one of its shapes. */
struct operation {
    enum { PLAIN, ADD, GATE_UP, EMBED, NORM, ROPE_STORE, ATTENTION, ATTEND, ARGMAX, TOP } kind;
    enum quant_type format;
    enum values values; /* given */
    uint32_t n_rows, head_dim, v_dim;
    uint32_t kv;
    bool one_group, latent;
};

static llm_status record_attention(struct run *r, struct gpu_commands *c, const struct operation *o,
                                   struct llm_error *error)
{
    const uint32_t heads = o->latent ? 16 : 8, kv_heads = o->latent ? 1 : 2,
                   v = (heads + kv_heads) * o->head_dim;
    const struct attention_shape s = {
        .n_heads = heads,
        .n_kv_heads = kv_heads,
        .head_dim = o->head_dim,
        .v_dim = o->v_dim,
        .latent = o->latent,
        .rope_at = o->latent ? o->v_dim : 0,
        .rope_dim = o->latent           ? o->head_dim - o->v_dim
                    : o->head_dim < 128 ? o->head_dim
                                        : 128,
        .kv = o->kv,
        .scale = 1,
        .stride = ops_stride(v + kv_heads * o->v_dim),
        .k = heads * o->head_dim,
        .v = v,
    };
    const uint64_t n = CONTEXT / ATTENTION_PIECE, size = ops_k_page_size(&s) * n;
    const struct gpu_range k = {&memory, 0, size},
                           values = {&memory, size, ops_v_page_size(&s) * n};
    if (o->kind == ROPE_STORE)
        return ops_rope_store(r->ops, c, &s, NULL, &step, &memory, &k, &values, o->n_rows, error);
    if (o->kind == ATTEND)
        return ops_attend(r->ops, c, &s, NULL, &step, &memory, &k, &values, &memory, &memory,
                          o->values, CONTEXT / ATTENTION_GROUP, 1, error);
    return ops_attention(r->ops, c, &s, &step, &memory, &k, &values, &memory, &memory, o->values,
                         o->one_group ? 1 : CONTEXT / ATTENTION_GROUP, o->n_rows, error);
}

static llm_status record(struct run *r, struct gpu_commands *c, const struct operation *o,
                         struct llm_error *error)
{
    const struct weight w = {o->format, DIM, DIM, &memory, 0, {0}};
    const struct activation silu = {ACTIVATION_SILU, {0}};
    const struct gpu_range gain = {&memory, 0, DIM * sizeof(float)};
    const struct norm norm = {.gain = &gain, .out = &memory, .values = o->values, .eps = 1e-5f};
    switch (o->kind) {
    case PLAIN:
    case ADD:
        return ops_matrix(r->ops, c, &w, &memory, o->values, &memory, DIM, 0, o->kind == ADD,
                          o->n_rows, error);
    case GATE_UP:
        return ops_gate_up(r->ops, c, &w, &w, &silu, &memory, o->values, &memory, o->values,
                           o->n_rows, error);
    case EMBED: return ops_embed(r->ops, c, &w, 1, &step, &memory, o->n_rows, error);
    case NORM: return ops_norm(r->ops, c, &memory, &norm, DIM, &step, false, o->n_rows, error);
    case ARGMAX: return ops_argmax(r->ops, c, &memory, DIM, &memory, o->n_rows, error);
    case TOP: return ops_top(r->ops, c, &memory, DIM, &step, &memory, &memory, o->n_rows, error);
    case ROPE_STORE:
    case ATTEND:
    case ATTENTION: return record_attention(r, c, o, error);
    }
    return LLM_UNSUPPORTED;
}

static bool run_operation(struct run *r, const struct operation *o, const char *name,
                          const char *shape)
{
    struct llm_error error = {0};
    char whole[64];
    snprintf(whole, sizeof whole, "%s %s%s", name, shape, o->values ? " bytes" : "");
    if (r->part && !strstr(whole, r->part)) return true;
    r->shape = shape;
    if (record(r, capture_commands(), o, &error) == LLM_OK) return true;
    fprintf(stderr, "%s: %s\n", whole, error.message);
    return false;
}

static bool run_matrices(struct run *r)
{
    static const struct {
        const char *shape;
        struct operation operation;
    } cases[] = {
        {"1", {.kind = PLAIN, .n_rows = 1}},          {"1 add", {.kind = ADD, .n_rows = 1}},
        {"1 gate", {.kind = GATE_UP, .n_rows = 1}},   {"4", {.kind = PLAIN, .n_rows = 4}},
        {"4 add", {.kind = ADD, .n_rows = 4}},        {"4 gate", {.kind = GATE_UP, .n_rows = 4}},
        {"8", {.kind = PLAIN, .n_rows = 8}},          {"8 add", {.kind = ADD, .n_rows = 8}},
        {"8 gate", {.kind = GATE_UP, .n_rows = 8}},   {"16", {.kind = PLAIN, .n_rows = 16}},
        {"32 gate", {.kind = GATE_UP, .n_rows = 32}}, {"64", {.kind = PLAIN, .n_rows = 64}},
        {"64 add", {.kind = ADD, .n_rows = 64}},      {"1", {.kind = EMBED, .n_rows = 1}},
    };
    const size_t n_cases = sizeof cases / sizeof *cases;
    for (size_t i = 0; i < sizeof formats / sizeof *formats * n_cases; i++) {
        struct operation o = cases[i % n_cases].operation;
        o.format = formats[i / n_cases];
        const struct weight w = {.type = o.format, .rows = DIM, .cols = DIM};
        const char *name = quant_info(o.format)->name, *shape = cases[i % n_cases].shape;
        if (!run_operation(r, &o, name, shape)) return false;
        o.values = ops_values(r->ops, &w);
        if (o.values && o.kind != EMBED && !run_operation(r, &o, name, shape)) return false;
    }
    return true;
}

static const char *const kv_names[] = {"f16", "f32", "q8_0", "q4_0"};

static bool run_attention(struct run *r, uint32_t head_dim, uint32_t v_dim, uint32_t kv)
{
    char shape[32], short_shape[40], rows_shape[40];
    const bool latent = head_dim > v_dim && v_dim == 512;
    int end = snprintf(shape, sizeof shape, "%s %" PRIu32, kv_names[kv], head_dim);
    if (v_dim != head_dim) snprintf(shape + end, sizeof shape - (size_t)end, "/%" PRIu32, v_dim);
    snprintf(short_shape, sizeof short_shape, "%s short", shape);
    snprintf(rows_shape, sizeof rows_shape, "%s rows", shape);
    struct operation o = {.kind = ROPE_STORE,
                          .n_rows = 1,
                          .head_dim = head_dim,
                          .v_dim = v_dim,
                          .kv = kv,
                          .latent = latent};
    if (!run_operation(r, &o, "rope_store", shape)) return false;
    o.kind = ATTENTION;
    if (!run_operation(r, &o, "attention", shape)) return false;
    o.values = r->ops->integers;
    if (o.values && !run_operation(r, &o, "attention", shape)) return false;
    o.values = VALUES_F32;
    o.n_rows = 2;
    if (!run_operation(r, &o, "attention", rows_shape)) return false;
    o.n_rows = 1;
    o.one_group = true;
    if (!run_operation(r, &o, "attention", short_shape)) return false;
    if (kv > LLM_KV_F32 || latent) return true; /* not at once */
    o.kind = ATTEND;
    if (!run_operation(r, &o, "attend", shape)) return false;
    o.values = r->ops->integers;
    return !o.values || run_operation(r, &o, "attend", shape);
}

static bool run_others(struct run *r)
{
    const struct operation norm = {.kind = NORM, .n_rows = 1};
    const struct operation argmax = {.kind = ARGMAX, .n_rows = 1};
    const struct operation top = {.kind = TOP, .n_rows = 1};
    const struct operation rounded = {.kind = NORM, .n_rows = 1, .values = VALUES_INT8};
    if (r->ops->integers == VALUES_INT8 && !run_operation(r, &rounded, "norm", "1")) return false;
    return run_operation(r, &norm, "norm", "1") && run_operation(r, &argmax, "argmax", "1") &&
           run_operation(r, &top, "top", "1") && run_attention(r, 64, 64, LLM_KV_F32) &&
           run_attention(r, 64, 64, LLM_KV_F16) && run_attention(r, 128, 128, LLM_KV_F32) &&
           run_attention(r, 128, 128, LLM_KV_F16) && run_attention(r, 128, 128, LLM_KV_Q8_0) &&
           run_attention(r, 128, 128, LLM_KV_Q4_0) && run_attention(r, 192, 128, LLM_KV_F16) &&
           run_attention(r, 256, 256, LLM_KV_F16) && run_attention(r, 512, 512, LLM_KV_F16) &&
           run_attention(r, 512, 512, LLM_KV_F32) && run_attention(r, 576, 512, LLM_KV_F16) &&
           run_attention(r, 576, 512, LLM_KV_F32) && run_attention(r, 576, 512, LLM_KV_Q8_0) &&
           run_attention(r, 576, 512, LLM_KV_Q4_0);
}

/* ---- the device ---- */

static bool run_device(struct run *r)
{
    struct llm_error error = {0};
    bool fine = kernels_create(&r->kernels, r->device, &alloc_libc, &error) == LLM_OK &&
                ops_create(&r->ops, r->kernels, false, false, &alloc_libc, &error) == LLM_OK;
    if (!fine) fprintf(stderr, "%s\n", error.message);
    if (fine) r->kernels->grids = r->ops->counters = memory; /* the device has none for them */
    fine = fine && run_matrices(r) && run_others(r);
    if (fine) r->counts = kernels_count(r->kernels);
    if (r->kernels) r->kernels->grids = (struct gpu_buffer){0};
    if (r->ops) r->ops->counters = (struct gpu_buffer){0};
    ops_free(r->ops);
    kernels_free(r->kernels);
    r->kernels = NULL;
    r->ops = NULL;
    return fine;
}

static bool run_all(struct run *r, struct gpu *gpu)
{
    struct gpu_error error = {{0}};
    enum gpu_status status = gpu_device_open(&r->device, gpu, 0, r->cache, r->cache_size, &error);
    free(r->cache);
    r->cache = NULL;
    if (status != GPU_OK) {
        fprintf(stderr, "%s\n", error.message);
        return false;
    }
    if (!r->twice) print_header(gpu_device_info(r->device));
    const bool fine = run_device(r);
    if (r->twice) status = gpu_device_cache(r->device, &r->cache, &r->cache_size, &error);
    if (status != GPU_OK) fprintf(stderr, "%s\n", error.message);
    gpu_device_close(r->device);
    return fine && status == GPU_OK;
}

static bool run_twice(struct run *r, struct gpu *gpu)
{
    const bool fine = run_all(r, gpu) && run_all(r, gpu);
    free(r->cache);
    if (!fine) return false;
    printf("%s\t%" PRIu32 " of %" PRIu32 " kernels found in a cache of %zu bytes\n", r->chip,
           r->counts.cached, r->counts.made, r->cache_size);
    return r->counts.cached == r->counts.made;
}

int main(int argc, char **argv)
{
    struct run run = {0};
    struct capture capture = {.seen = print_program, .user = &run};
    struct gpu_error error = {{0}};
    struct gpu *gpu;
    if (argc < 2) {
        fprintf(stderr, "usage: %s CHIP [-a] [-s] [-c] [PART]\n", argv[0]);
        return 2;
    }
    run.chip = argv[1];
    for (int i = 2; i < argc; i++) {
        if (!strcmp(argv[i], "-a")) capture.assembly = true;
        else if (!strcmp(argv[i], "-s")) run.every = true;
        else if (!strcmp(argv[i], "-c")) run.twice = true;
        else run.part = argv[i];
    }
    if (run.twice) capture.seen = NULL;
    if (capture_open(&gpu, &(struct gpu_host){0}, &capture, &error) != GPU_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    const bool fine = run.twice ? run_twice(&run, gpu) : run_all(&run, gpu);
    gpu_close(gpu);
    return fine ? 0 : 1;
}

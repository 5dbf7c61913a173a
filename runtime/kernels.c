#include "kernels.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "blob.h"
#include "crew.h"
#include "gpu_error.h"
#include "kernels_spirv.h"
#include "os.h"

struct module_info {
    const char *name;
    const uint32_t *spirv;
    size_t spirv_size;
    uint32_t n_buffers, written, texels, push_size;
};

static const struct module_info modules[N_MODULES] = {
#define KERNEL(name, source, defines, buffers, written, texels, args)                              \
    {#name, name##_spirv, sizeof name##_spirv, buffers, written, texels, sizeof(struct args)},
#include "kernels.def"
#undef KERNEL
};

llm_status kernels_create(struct kernels **out, struct gpu_device *device,
                          const struct alloc *alloc, struct llm_error *error)
{
    struct kernels *k = alloc_zero(alloc, 1, sizeof *k);
    *out = k;
    if (!k) return error_memory(error, "the kernels", sizeof *k);
    k->device = device;
    k->alloc = k->choices.alloc = alloc;
    k->lock = os_lock_create();
    if (k->lock) return LLM_OK;
    kernels_free(k);
    *out = NULL;
    return error_memory(error, "a lock", sizeof k->lock);
}

/* ---- pipelines ---- */

static llm_status compile(const struct kernels *k, const struct kernel *wanted,
                          struct gpu_kernel **out, struct llm_error *error)
{
    const struct module_info *m = &modules[wanted->module];
    const struct gpu_kernel_desc desc = {
        .name = m->name,
        .spirv = m->spirv,
        .spirv_size = m->spirv_size,
        .n_buffers = m->n_buffers,
        .written = m->written,
        .texels = m->texels,
        .push_size = m->push_size,
        .n_spec = wanted->n_spec,
        .spec = wanted->spec,
    };
    struct gpu_error gpu_error = {{0}};
    enum gpu_status status = gpu_kernel_create(k->device, out, &desc, &gpu_error);
    if (status == GPU_FAILED) /* the driver does not compile it; the device lives */
        return error_set(error, LLM_UNSUPPORTED, "%s", gpu_error.message);
    return gpu_failed(status, &gpu_error, error);
}

/* Its place in the list, where it is wanted if it is new. Under the lock. */
static llm_status find(struct kernels *k, enum module module, const uint32_t *spec, uint32_t n_spec,
                       size_t *at, struct llm_error *error)
{
    struct kernel wanted = {.module = module, .n_spec = n_spec};
    memcpy(wanted.spec, spec, n_spec * sizeof *spec);
    for (*at = 0; *at < k->n; ++*at) {
        const struct kernel *have = &k->items[*at];
        if (have->module == module && memcmp(have->spec, wanted.spec, sizeof wanted.spec) == 0)
            return LLM_OK;
    }
    struct kernel *grown = alloc_grow(k->alloc, k->items, &k->capacity, k->n + 1, sizeof *grown);
    if (!grown) return error_memory(error, "the list of kernels", (k->n + 1) * sizeof *grown);
    k->items = grown;
    k->items[k->n++] = wanted;
    return LLM_OK;
}

/* Under the lock, which others may have in the meantime. */
static llm_status make(struct kernels *k, size_t at, struct llm_error *error)
{
    const struct kernel wanted = k->items[at];
    struct gpu_kernel *gpu = NULL;
    k->items[at].state = KERNEL_IN_WORK;
    os_unlock(k->lock);
    const double begun = os_clock();
    const llm_status status = compile(k, &wanted, &gpu, error);
    const double seconds = os_clock() - begun;
    os_lock(k->lock);
    k->items[at].gpu = gpu;
    k->items[at].state = gpu ? KERNEL_MADE : KERNEL_WANTED;
    os_lock_wake(k->lock);
    if (!gpu) return status;
    k->counts.made++;
    k->counts.seconds += seconds;
    k->counts.reported += gpu_kernel_cached(gpu) != GPU_CACHED_UNKNOWN;
    k->counts.cached += gpu_kernel_cached(gpu) == GPU_CACHED_YES;
    return LLM_OK;
}

llm_status kernels_get(struct kernels *k, enum module module, const uint32_t *spec, uint32_t n_spec,
                       const struct gpu_kernel **out, struct llm_error *error)
{
    size_t at;
    *out = NULL;
    os_lock(k->lock);
    llm_status status = find(k, module, spec, n_spec, &at, error);
    while (status == LLM_OK && k->items[at].state == KERNEL_IN_WORK) os_lock_wait(k->lock, -1);
    if (status == LLM_OK && k->items[at].state == KERNEL_WANTED) status = make(k, at, error);
    if (status == LLM_OK) *out = k->items[at].gpu;
    os_unlock(k->lock);
    return status;
}

llm_status kernels_want(struct kernels *k, enum module module, const uint32_t *spec,
                        uint32_t n_spec, struct llm_error *error)
{
    size_t at;
    os_lock(k->lock);
    llm_status status = find(k, module, spec, n_spec, &at, error);
    os_unlock(k->lock);
    return status;
}

static void make_wanted(void *user, uint32_t at)
{
    struct kernels *k = user;
    os_lock(k->lock);
    if (k->items[at].state == KERNEL_WANTED) make(k, at, NULL);
    os_unlock(k->lock);
}

void kernels_make_wanted(struct kernels *k)
{
    uint32_t n_wanted = 0;
    os_lock(k->lock);
    const uint32_t n = (uint32_t)k->n;
    for (uint32_t i = 0; i < n; i++) n_wanted += k->items[i].state == KERNEL_WANTED;
    os_unlock(k->lock);
    if (n_wanted == 0) return;
    struct crew *crew = crew_open(k->alloc, n_wanted - 1);
    crew_run(crew, make_wanted, k, n);
    crew_free(crew);
}

struct kernel_counts kernels_count(struct kernels *k)
{
    os_lock(k->lock);
    const struct kernel_counts counts = k->counts;
    os_unlock(k->lock);
    return counts;
}

/* ---- names and verdicts ---- */

void kernels_name(enum module module, const uint32_t *spec, uint32_t n_spec, char out[CHOICE_NAME])
{
    memset(out, 0, CHOICE_NAME);
    int n = snprintf(out, CHOICE_NAME, "%s", modules[module].name);
    for (uint32_t i = 0; i < n_spec && n < CHOICE_NAME; i++)
        n += snprintf(out + n, (size_t)(CHOICE_NAME - n), " %" PRIu32, spec[i]);
}

uint64_t kernels_checksum(void)
{
    struct blob_sum sum;
    blob_sum_start(&sum);
    for (size_t i = 0; i < N_MODULES; i++)
        blob_sum_add(&sum, modules[i].spirv, modules[i].spirv_size);
    return blob_sum_end(&sum);
}

struct verdict kernels_verdict(struct kernels *k, const char *name)
{
    struct verdict out = {.state = CHOICE_UNKNOWN};
    os_lock(k->lock);
    const struct verdict *found = choices_find(&k->choices, name);
    if (found) out = *found;
    os_unlock(k->lock);
    return out;
}

llm_status kernels_judge(struct kernels *k, const struct verdict *v, struct llm_error *error)
{
    os_lock(k->lock);
    llm_status status = choices_set(&k->choices, v, error);
    os_unlock(k->lock);
    return status;
}

size_t kernels_pick(struct kernels *k, const char (*names)[CHOICE_NAME], size_t n, uint32_t rows)
{
    os_lock(k->lock);
    size_t best = choices_pick(&k->choices, names, n, rows);
    os_unlock(k->lock);
    return best;
}

/* ---- codebooks ---- */

static llm_status upload_grids(struct gpu_upload *upload, struct gpu_buffer *to,
                               struct llm_error *error)
{
    void *memory;
    TRY_GPU(gpu_upload_begin(upload, to, 0, (size_t)to->size, &memory, &gpu_error_), error);
    uint32_t *words = memory;
    for (size_t i = 0; i < QUANT_GRIDS / 2; i++)
        words[i] = quant_grids[2 * i] | (uint32_t)quant_grids[2 * i + 1] << 16;
    TRY_GPU(gpu_upload_end(upload, &gpu_error_), error);
    TRY_GPU(gpu_upload_finish(upload, &gpu_error_), error);
    return LLM_OK;
}

static llm_status make_grids(struct kernels *k, struct llm_error *error)
{
    struct gpu_upload *upload;
    TRY_GPU(gpu_upload_create(k->device, &upload, &gpu_error_), error);
    struct gpu_buffer grids = {0};
    struct gpu_error gpu_error = {{0}};
    llm_status status = gpu_failed(
        gpu_buffer_create(k->device, &grids, sizeof quant_grids, GPU_MEMORY_DEVICE, &gpu_error),
        &gpu_error, error);
    if (status == LLM_OK) status = upload_grids(upload, &grids, error);
    gpu_upload_free(upload);
    if (status == LLM_OK) k->grids = grids;
    else gpu_buffer_free(k->device, &grids);
    return status;
}

llm_status kernels_grid(struct kernels *k, enum quant_type type, struct gpu_range *out,
                        struct llm_error *error)
{
    const struct quant_grid grid = quant_grid(type);
    llm_status status = LLM_OK;
    if (grid.n == 0) return LLM_OK;
    os_lock(k->lock);
    if (k->grids.size == 0) status = make_grids(k, error);
    os_unlock(k->lock);
    const uint64_t each = sizeof quant_grids[0];
    *out = (struct gpu_range){&k->grids, grid.at * each, grid.n * each};
    return status;
}

void kernels_free(struct kernels *k)
{
    if (!k) return;
    choices_free(&k->choices);
    for (size_t i = 0; i < k->n; i++) gpu_kernel_free(k->device, k->items[i].gpu);
    gpu_buffer_free(k->device, &k->grids);
    alloc_free(k->alloc, k->items, k->capacity * sizeof *k->items);
    os_lock_free(k->lock);
    alloc_free(k->alloc, k, sizeof *k);
}

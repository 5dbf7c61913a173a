#include "kernels.h"

#include <string.h>

#include "args.h"
#include "error.h"
#include "kernels_spirv.h"

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

static llm_status status_of(enum gpu_status status)
{
    switch (status) {
    case GPU_OK: return LLM_OK;
    case GPU_OUT_OF_MEMORY: return LLM_OUT_OF_MEMORY;
    case GPU_LOST: return LLM_DEVICE_LOST;
    case GPU_NO_DEVICE: return LLM_NO_DEVICE;
    case GPU_NOT_READY:
    case GPU_UNSUPPORTED:
    case GPU_FAILED: break;
    }
    return LLM_UNSUPPORTED;
}

llm_status kernels_get(struct kernels *k, enum module module, const uint32_t *spec, uint32_t n_spec,
                       const struct gpu_kernel **out, struct llm_error *error)
{
    struct kernel wanted = {.module = module};
    memset(wanted.spec, 0xff, sizeof wanted.spec);
    memcpy(wanted.spec, spec, n_spec * sizeof *spec);
    for (size_t i = 0; i < k->n; i++) {
        const struct kernel *have = &k->items[i];
        if (have->module != module || memcmp(have->spec, wanted.spec, sizeof wanted.spec) != 0)
            continue;
        *out = have->gpu;
        return LLM_OK;
    }

    struct kernel *grown = alloc_grow(k->alloc, k->items, &k->capacity, k->n + 1, sizeof *grown);
    if (!grown) return error_memory(error, "the list of kernels", (k->n + 1) * sizeof *grown);
    k->items = grown;
    const struct module_info *m = &modules[module];
    const struct gpu_kernel_desc desc = {
        .name = m->name,
        .spirv = m->spirv,
        .spirv_size = m->spirv_size,
        .n_buffers = m->n_buffers,
        .written = m->written,
        .texels = m->texels,
        .push_size = m->push_size,
        .n_spec = n_spec,
        .spec = spec,
    };
    struct gpu_error gpu_error = {{0}};
    enum gpu_status status = gpu_kernel_create(k->device, &wanted.gpu, &desc, &gpu_error);
    if (status != GPU_OK)
        return error_set(error, status_of(status), "kernel %s: %s", m->name, gpu_error.message);
    k->items[k->n++] = wanted;
    *out = wanted.gpu;
    return LLM_OK;
}

void kernels_free(struct kernels *k)
{
    for (size_t i = 0; i < k->n; i++) gpu_kernel_free(k->device, k->items[i].gpu);
    alloc_free(k->alloc, k->items, k->capacity * sizeof *k->items);
    k->items = NULL;
    k->n = k->capacity = 0;
}

/* kernels.h - the rows of shaders/kernels.def, the pipelines made of them so far, and the codebooks
 * that some of them read. */
#ifndef KERNELS_H
#define KERNELS_H

#include "../vk/gpu.h"
#include "alloc.h"
#include "choices.h"
#include "llm.h"
#include "quant.h"

enum module {
#define KERNEL(name, source, defines, buffers, written, texels, args) MODULE_##name,
#include "kernels.def"
#undef KERNEL
    N_MODULES
};

enum { KERNELS_SPEC = 11 };

struct kernel {
    enum module module;
    uint32_t spec[KERNELS_SPEC]; /* all ones from the module's own count on */
    struct gpu_kernel *gpu;
};

/* Those of one device, shared by the models on it and kept for the next one: making them is most of
 * a load. */
struct kernels {
    struct gpu_device *device;
    const struct alloc *alloc;
    struct os_lock *lock; /* guards what follows */
    struct kernel *items;
    size_t n, capacity;
    struct choices choices;  /* what is known of them */
    struct gpu_buffer grids; /* quant_grids, once a format has asked for them */
};

llm_status kernels_create(struct kernels **out, struct gpu_device *device,
                          const struct alloc *alloc, struct llm_error *error);
/* The pipeline of a module with these specialization constants, made when first asked for. From any
 * thread. */
llm_status kernels_get(struct kernels *k, enum module module, const uint32_t *spec, uint32_t n_spec,
                       const struct gpu_kernel **out, struct llm_error *error);
/* Its name and constants. */
void kernels_name(enum module module, const uint32_t *spec, uint32_t n_spec, char out[CHOICE_NAME]);
uint64_t kernels_checksum(void); /* of the code of all modules */
/* As choices_find (unknown: state and all else 0), choices_set and choices_pick, from any thread.
 */
struct verdict kernels_verdict(struct kernels *k, const char *name);
llm_status kernels_judge(struct kernels *k, const struct verdict *v, struct llm_error *error);
size_t kernels_pick(struct kernels *k, const char (*names)[CHOICE_NAME], size_t n, uint32_t rows);
/* The codebook of a format, if it has one: uploaded when first asked for. From any thread. */
llm_status kernels_grid(struct kernels *k, enum quant_type type, struct gpu_range *out,
                        struct llm_error *error);
void kernels_free(struct kernels *k); /* before its device is closed */

#endif

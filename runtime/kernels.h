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

enum kernel_state { KERNEL_WANTED, KERNEL_IN_WORK, KERNEL_MADE };

struct kernel {
    enum module module;
    uint32_t n_spec, spec[KERNELS_SPEC]; /* zero from n_spec on */
    enum kernel_state state;
    struct gpu_kernel *gpu; /* once it is made */
};

/* Pipelines made, those of which the driver says whether its cache had them, and that it had; the
 * time that each took, added up. */
struct kernel_counts {
    uint32_t made, reported, cached;
    double seconds;
};

/* Those of one device, shared by the models on it and kept for the next one: making them is most of
 * a load. */
struct kernels {
    struct gpu_device *device;
    const struct alloc *alloc;
    struct os_lock *lock; /* guards what follows */
    struct kernel *items;
    size_t n, capacity;
    struct kernel_counts counts;
    struct choices choices;  /* what is known of them */
    struct gpu_buffer grids; /* quant_grids, once a format has asked for them */
};

llm_status kernels_create(struct kernels **out, struct gpu_device *device,
                          const struct alloc *alloc, struct llm_error *error);
/* The pipeline of a module with these specialization constants, made when first asked for. From any
 * thread. */
llm_status kernels_get(struct kernels *k, enum module module, const uint32_t *spec, uint32_t n_spec,
                       const struct gpu_kernel **out, struct llm_error *error);
/* Notes that it will be asked for. From any thread. */
llm_status kernels_want(struct kernels *k, enum module module, const uint32_t *spec,
                        uint32_t n_spec, struct llm_error *error);
/* Makes what is wanted, on as many threads as there are processors, a few at most; none outlives
 * the call. What fails stays wanted: kernels_get says why. */
void kernels_make_wanted(struct kernels *k);
struct kernel_counts kernels_count(struct kernels *k);
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

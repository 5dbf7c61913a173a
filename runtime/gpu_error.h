/* gpu_error.h - what the GPU answers, in this library's words. */
#ifndef GPU_ERROR_H
#define GPU_ERROR_H

#include "../vk/gpu.h"
#include "error.h"

/* LLM_OK for GPU_OK; else the status that fits, with the GPU's message. */
llm_status gpu_failed(enum gpu_status status, const struct gpu_error *from,
                      struct llm_error *error);

/* Forwards a failure; the call names &gpu_error_ as its error. */
#define TRY_GPU(call, error)                                                                       \
    do {                                                                                           \
        struct gpu_error gpu_error_ = {{0}};                                                       \
        enum gpu_status gpu_status_ = (call);                                                      \
        if (gpu_status_ != GPU_OK) return gpu_failed(gpu_status_, &gpu_error_, (error));           \
    } while (0)

#endif

/* capture.h - Vulkan as the runtime uses it, through a vkGetInstanceProcAddr that adds one thing:
 * of each pipeline the driver tells what its compiler made of it
 * (VK_KHR_pipeline_executable_properties). */
#ifndef CAPTURE_H
#define CAPTURE_H

#include "../../vk/gpu.h"

enum { CAPTURE_STATISTICS = 48 };

struct capture_statistic {
    char name[64];
    double value;
};

/* What one pipeline was compiled to. */
struct capture_program {
    const uint32_t *spirv; /* the very words that gpu_kernel_create was given */
    uint32_t subgroup;     /* lanes the code was compiled for */
    uint32_t n;
    struct capture_statistic statistics[CAPTURE_STATISTICS];
};

struct capture {
    /* NULL: pipelines are made as the runtime makes them, which drivers may keep in a cache. */
    void (*seen)(void *user, const struct capture_program *program);
    void *user;
    bool assembly; /* print what else the driver shows of each program */
};

/* As gpu_open. capture must outlive the devices; one at a time. */
enum gpu_status capture_open(struct gpu **out, const struct gpu_host *host,
                             const struct capture *capture, struct gpu_error *error);
/* A list that has failed already: it takes dispatches and records nothing. */
struct gpu_commands *capture_commands(void);

#endif

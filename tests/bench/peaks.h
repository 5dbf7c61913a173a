/* peaks.h - what a device can do at most: bytes it reads and f32 operations it computes a second,
 * measured. */
#ifndef PEAKS_H
#define PEAKS_H

#include "../../vk/gpu.h"

struct peaks {
    double read, compute;
}; /* bytes, floating-point operations a second */

enum gpu_status peaks_measure(struct gpu_device *device, struct peaks *out,
                              struct gpu_error *error);

/* Submits lists that are recorded and waits: seconds on the host's clock. */
enum gpu_status peaks_run(struct gpu_device *device, struct gpu_commands *const *list, uint32_t n,
                          double *seconds, struct gpu_error *error);

#endif

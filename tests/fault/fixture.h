/* fixture.h - devices that no test machine has, opened through fake_vulkan and checked when closed.
 */
#ifndef FIXTURE_H
#define FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake_vulkan.h"
#include "host_count.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define GIB (1024 * MIB)

enum {
    L = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT,
    M = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
    C = VK_MEMORY_PROPERTY_HOST_CACHED_BIT,
    AMD = VK_MEMORY_PROPERTY_DEVICE_COHERENT_BIT_AMD | VK_MEMORY_PROPERTY_DEVICE_UNCACHED_BIT_AMD
};

#define DISCRETE VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU
#define INTEGRATED VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU
#define VIRTUAL VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU
#define CPU VK_PHYSICAL_DEVICE_TYPE_CPU
#define OTHER VK_PHYSICAL_DEVICE_TYPE_OTHER

#define APART(bytes)                                                                               \
    .types = {{L, 0}, {M, 1}, {M | C, 1}}, .heaps = {bytes, bytes}, .local_heaps = 1
#define SHARED(bytes) .types = {{L | M, 0}, {L | M | C, 0}}, .heaps = {bytes}, .local_heaps = 1

/* A discrete one, of whose memory others have taken most; and one small enough that all of it may
 * be mapped, which the fake allocates. */
extern const struct fake_device card, small_card;

struct opened {
    struct host_count count;
    struct gpu *gpu;
    struct gpu_device *device;
    struct gpu_error error;
};

struct gpu *open_fake(struct host_count *count);
/* Nothing lives, nothing was freed twice. */
void assert_clean(const struct host_count *count);
void open_card(struct opened *o);
void close_card(struct opened *o);

#endif

/* fake_vulkan.h - a Vulkan loader and driver that compute nothing: devices are tables, any call can
 * be made to fail, and all objects are counted. */
#ifndef FAKE_VULKAN_H
#define FAKE_VULKAN_H

#include "vk.h"

/* Zero means a plain value: Vulkan 1.3, limits well above T0, one family of compute and graphics.
 */
struct fake_device {
    const char *name;
    VkPhysicalDeviceType type;
    uint32_t api, vendor_id, driver_version;
    VkDriverId driver_id;
    uint32_t bindings, invocations, shared_size;
    bool no_compute;
    struct {
        VkMemoryPropertyFlags flags;
        uint32_t heap;
    } types[8];
    uint64_t heaps[4];    /* bytes */
    uint32_t local_heaps; /* bit per heap */
    uint64_t budget[4];   /* bytes; 0: there is no VK_EXT_memory_budget */
};

struct fake {
    const struct fake_device *devices;
    uint32_t n_devices;
    uint32_t loader_api; /* 0: 1.3 */
    /* The call that fails: the n-th that can, or each one of this name. */
    uint64_t calls, fail_at;
    const char *fail_name;
    VkResult fail_with;
    uint64_t lookups, missing_at; /* the n-th function asked for does not exist */
    const char *failed;           /* the last that did, or that is missing */
    VkPipelineCreationFeedbackFlagsEXT feedback; /* on each pipeline */
    bool hold;                    /* submissions never end */
    unsigned objects;             /* that live */
    unsigned wrong;               /* destroyed twice or never made */
    unsigned dispatches, copies, submits;
};
extern struct fake fake;

/* Forgets counters and failures, with these devices from now on. */
void fake_reset(const struct fake_device *devices, uint32_t n);
PFN_vkVoidFunction VKAPI_CALL fake_get_instance_proc_addr(VkInstance instance, const char *name);

#endif

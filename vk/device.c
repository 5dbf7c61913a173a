/* device.c - one logical device with one compute queue, our own or a lent one. */
#include <inttypes.h>
#include <string.h>

#include "vk.h"

enum gpu_status device_lost(struct gpu_error *error)
{
    return host_error(error, GPU_LOST, "the device is lost");
}

enum gpu_status device_result(struct gpu_device *device, struct gpu_error *error, const char *call,
                              VkResult result)
{
    if (result == VK_ERROR_DEVICE_LOST) atomic_store(&device->lost, true);
    return host_result(error, call, result);
}

void device_lock(struct gpu_device *device)
{
    if (device->lock) device->host.lock(device->lock);
}

void device_unlock(struct gpu_device *device)
{
    if (device->lock) device->host.unlock(device->lock);
}

/* A device without anything in it. */
static enum gpu_status device_new(struct gpu_device **out, const struct gpu_host *host,
                                  struct gpu_error *error)
{
    *out = NULL;
    struct gpu_device *device = host_new(host, 1, sizeof *device);
    if (!device) return host_no_memory(error, "a device");
    device->host = *host;
    atomic_init(&device->lost, false);
    atomic_init(&device->submit.done, 0);
    if (host->lock_create && host->lock_free && host->lock && host->unlock) {
        device->lock = host->lock_create();
        if (!device->lock) {
            gpu_device_close(device);
            return host_no_memory(error, "a lock");
        }
    }
    *out = device;
    return GPU_OK;
}

static enum gpu_status device_create(struct gpu_device *device, struct gpu_error *error)
{
    const struct caps *caps = &device->caps;
    struct caps_features features;
    caps_enable(caps, &features);
    const float priority = 1.0f;
    const VkDeviceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
        .pNext = &features.base,
        .queueCreateInfoCount = 1,
        .pQueueCreateInfos =
            &(VkDeviceQueueCreateInfo){
                .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                .queueFamilyIndex = caps->family,
                .queueCount = 1,
                .pQueuePriorities = &priority,
            },
        .enabledExtensionCount = caps->n_extensions,
        .ppEnabledExtensionNames = caps->extensions,
    };
    TRY_VK(error, device->vki.CreateDevice(caps->physical, &info, NULL, &device->handle));
    TRY(loader_device(&device->vk, &device->vki, device->handle, error));
    device->vk.GetDeviceQueue(device->handle, caps->family, 0, &device->queue);
    return GPU_OK;
}

static enum gpu_status device_finish(struct gpu_device *device, enum gpu_status status,
                                     const void *cache, size_t cache_size, struct gpu_device **out,
                                     struct gpu_error *error)
{
    if (status == GPU_OK) status = memory_init(device, error);
    if (status != GPU_OK) {
        gpu_device_close(device);
        return status;
    }
    kernel_cache_open(device, cache, cache_size);
    *out = device;
    return GPU_OK;
}

enum gpu_status gpu_device_open(struct gpu_device **out, struct gpu *gpu, uint32_t index,
                                const void *cache, size_t cache_size, struct gpu_error *error)
{
    *out = NULL;
    if (index >= gpu_count(gpu)) {
        return host_error(error, GPU_NO_DEVICE, "no Vulkan device %" PRIu32 ", there are %" PRIu32,
                          index, gpu_count(gpu));
    }
    gpu_info(gpu, index);
    struct gpu_device *device;
    TRY(device_new(&device, &gpu->host, error));
    device->vki = gpu->vk;
    device->caps = gpu->devices[index];
    return device_finish(device, device_create(device, error), cache, cache_size, out, error);
}

static enum gpu_status device_adopt(struct gpu_device *device, const struct gpu_lent *lent,
                                    struct gpu_error *error)
{
    PFN_vkGetInstanceProcAddr get;
    memcpy(&get, &lent->get_instance_proc_addr, sizeof get);
    device->lent = true;
    device->lent_lock = lent->lock;
    device->lent_unlock = lent->unlock;
    device->lent_user = lent->user;
    device->queue = lent->queue;
    TRY(loader_instance(&device->vki, get, lent->instance, error));
    TRY(caps_read(&device->caps, &device->vki, lent->physical_device, lent->api_version,
                  &device->host, lent, error));
    TRY(loader_device(&device->vk, &device->vki, lent->device, error));
    device->handle = lent->device;
    return GPU_OK;
}

enum gpu_status gpu_device_borrow(struct gpu_device **out, const struct gpu_host *host,
                                  const struct gpu_lent *lent, struct gpu_error *error)
{
    *out = NULL;
    if (!lent->get_instance_proc_addr || !lent->instance || !lent->physical_device ||
        !lent->device || !lent->queue) {
        return host_error(error, GPU_FAILED,
                          "the lent device lacks a handle or its vkGetInstanceProcAddr");
    }
    if (lent->api_version < VK_API_VERSION_1_1) {
        return host_error(error, GPU_NO_DEVICE, "the lent device has Vulkan 1.0, 1.1 is needed");
    }
    struct gpu_host given;
    host_init(&given, host);
    struct gpu_device *device;
    TRY(device_new(&device, &given, error));
    return device_finish(device, device_adopt(device, lent, error), NULL, 0, out, error);
}

void gpu_device_close(struct gpu_device *device)
{
    if (!device) return;
    if (device->handle && device->vk.DestroyDevice) {
        submit_free(device);
        memory_free(device);
        if (device->cache) device->vk.DestroyPipelineCache(device->handle, device->cache, NULL);
        if (!device->lent) device->vk.DestroyDevice(device->handle, NULL);
    }
    if (device->lock) device->host.lock_free(device->lock);
    const struct gpu_host host = device->host;
    host_free(&host, device, sizeof *device);
}

const struct gpu_info *gpu_device_info(const struct gpu_device *device)
{
    return &device->caps.info;
}

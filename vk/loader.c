/* loader.c - find the Vulkan loader, make an instance, fill the tables of functions. volk opens the
 * library; its process-wide function pointers are not used, so that several instances and lent
 * devices live side by side. */
#if defined __GNUC__
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#endif
#define VOLK_IMPLEMENTATION
#include <volk.h>
#if defined __GNUC__
#pragma GCC diagnostic pop
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vk.h"

#ifndef VK_KHR_portability_enumeration /* headers before 1.3.208, as Ubuntu 22.04 has them */
#define VK_INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR 1
#endif

#define LAYER "VK_LAYER_KHRONOS_validation"

/* volkInitialize writes globals: one thread at a time, and only for as long as it takes to copy the
 * pointer. */
static PFN_vkGetInstanceProcAddr loader_find(void)
{
    static atomic_flag busy = ATOMIC_FLAG_INIT;
    while (atomic_flag_test_and_set(&busy)) {
    }
    PFN_vkGetInstanceProcAddr get = volkInitialize() == VK_SUCCESS ? vkGetInstanceProcAddr : NULL;
    atomic_flag_clear(&busy);
    return get;
}

enum gpu_status loader_instance(struct instance_functions *out, PFN_vkGetInstanceProcAddr get,
                                VkInstance instance, struct gpu_error *error)
{
#define LOAD_OPTIONAL(name) out->name = (PFN_vk##name)get(instance, "vk" #name);
#define LOAD(name)                                                                                 \
    LOAD_OPTIONAL(name)                                                                            \
    if (!out->name) return host_error(error, GPU_NO_DEVICE, "the Vulkan loader has no vk" #name);
    VK_INSTANCE(LOAD)
    VK_INSTANCE_OPTIONAL(LOAD_OPTIONAL)
#undef LOAD
#undef LOAD_OPTIONAL
    return GPU_OK;
}

enum gpu_status loader_device(struct device_functions *out, const struct instance_functions *vki,
                              VkDevice device, struct gpu_error *error)
{
#define LOAD(name)                                                                                 \
    out->name = (PFN_vk##name)vki->GetDeviceProcAddr(device, "vk" #name);                          \
    if (!out->name) return host_error(error, GPU_NO_DEVICE, "the Vulkan driver has no vk" #name);
    VK_DEVICE(LOAD)
#undef LOAD
    return GPU_OK;
}

static enum gpu_status loader_global(struct global_functions *out, PFN_vkGetInstanceProcAddr get,
                                     struct gpu_error *error)
{
    out->get = get;
#define LOAD(name)                                                                                 \
    out->name = (PFN_vk##name)get(NULL, "vk" #name);                                               \
    if (!out->name)                                                                                \
        return host_error(error, GPU_NO_DEVICE, "Vulkan 1.1 is needed: the loader has no vk" #name);
    VK_GLOBAL(LOAD)
#undef LOAD
    return GPU_OK;
}

static bool loader_extension(const VkExtensionProperties *list, uint32_t n, const char *name)
{
    for (uint32_t i = 0; i < n; i++) {
        if (!strcmp(list[i].extensionName, name)) return true;
    }
    return false;
}

/* What the loader (layer NULL) or one of its layers can: a new array of n, of which *capacity are
 * allocated. */
static enum gpu_status loader_extensions(const struct global_functions *vk,
                                         const struct gpu_host *host, const char *layer,
                                         VkExtensionProperties **list, uint32_t *n,
                                         uint32_t *capacity, struct gpu_error *error)
{
    *list = NULL;
    *n = *capacity = 0;
    TRY_VK(error, vk->EnumerateInstanceExtensionProperties(layer, n, NULL));
    if (*n == 0) return GPU_OK;
    *capacity = *n;
    *list = host_new(host, *n, sizeof **list);
    if (!*list) return host_no_memory(error, "the list of instance extensions");
    VkResult result = vk->EnumerateInstanceExtensionProperties(layer, n, *list);
    if (result >= 0) return GPU_OK;
    host_free(host, *list, *capacity * sizeof **list);
    *list = NULL;
    *n = 0;
    return host_result(error, ".EnumerateInstanceExtensionProperties(", result);
}

static enum gpu_status loader_has_layer(const struct global_functions *vk,
                                        const struct gpu_host *host, bool *has,
                                        struct gpu_error *error)
{
    *has = false;
    uint32_t n = 0;
    TRY_VK(error, vk->EnumerateInstanceLayerProperties(&n, NULL));
    if (n == 0) return GPU_OK;
    const size_t capacity = n;
    VkLayerProperties *list = host_new(host, n, sizeof *list);
    if (!list) return host_no_memory(error, "the list of layers");
    const VkResult result = vk->EnumerateInstanceLayerProperties(&n, list);
    for (uint32_t i = 0; result >= 0 && i < n; i++) *has |= !strcmp(list[i].layerName, LAYER);
    host_free(host, list, capacity * sizeof *list);
    TRY_VK(error, result);
    return GPU_OK;
}

static VKAPI_ATTR VkBool32 VKAPI_CALL loader_message(
    VkDebugUtilsMessageSeverityFlagBitsEXT severity, VkDebugUtilsMessageTypeFlagsEXT types,
    const VkDebugUtilsMessengerCallbackDataEXT *data, void *user)
{
    (void)types;
    host_log(user, severity >= VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT ? 1 : 2,
             data->pMessage);
    return VK_FALSE;
}

static VkDebugUtilsMessengerCreateInfoEXT loader_messenger(struct gpu *gpu)
{
    return (VkDebugUtilsMessengerCreateInfoEXT){
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
        .messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT |
                           VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT,
        .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT,
        .pfnUserCallback = loader_message,
        .pUserData = &gpu->host,
    };
}

/* What an instance is to be made with, beside its version. */
struct loader_wishes {
    bool layer, sync_validation, messenger, portability;
};

static enum gpu_status loader_wish(const struct global_functions *vk, const struct gpu_host *host,
                                   struct loader_wishes *out, struct gpu_error *error)
{
    *out = (struct loader_wishes){0};
    VkExtensionProperties *list;
    uint32_t n, capacity;
    TRY(loader_extensions(vk, host, NULL, &list, &n, &capacity, error));
    out->portability = loader_extension(list, n, "VK_KHR_portability_enumeration");
    out->messenger =
        host->validation && loader_extension(list, n, VK_EXT_DEBUG_UTILS_EXTENSION_NAME);
    host_free(host, list, capacity * sizeof *list);
    if (!host->validation) return GPU_OK;
    TRY(loader_has_layer(vk, host, &out->layer, error));
    if (!out->layer) {
        host_log(host, 2, "validation was asked for, but the layer " LAYER " is not installed");
        return GPU_OK;
    }
    TRY(loader_extensions(vk, host, LAYER, &list, &n, &capacity, error));
    out->sync_validation = loader_extension(list, n, VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME);
    out->messenger |= loader_extension(list, n, VK_EXT_DEBUG_UTILS_EXTENSION_NAME);
    host_free(host, list, capacity * sizeof *list);
    return GPU_OK;
}

static enum gpu_status loader_create(struct gpu *gpu, const struct global_functions *vk,
                                     struct gpu_error *error)
{
    struct loader_wishes wishes;
    TRY(loader_wish(vk, &gpu->host, &wishes, error));
    const char *extensions[3];
    uint32_t n = 0;
    if (wishes.portability) extensions[n++] = "VK_KHR_portability_enumeration";
    if (wishes.messenger) extensions[n++] = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
    if (wishes.sync_validation) extensions[n++] = VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME;

    const VkValidationFeatureEnableEXT enabled =
        VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT;
    const VkValidationFeaturesEXT validation = {
        .sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
        .enabledValidationFeatureCount = 1,
        .pEnabledValidationFeatures = &enabled,
    };
    const char *layer = LAYER;
    const VkInstanceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
        .pNext = wishes.sync_validation ? &validation : NULL,
        .flags = wishes.portability ? VK_INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR : 0,
        .pApplicationInfo =
            &(VkApplicationInfo){
                .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                .pEngineName = "llm",
                .apiVersion = gpu->api,
            },
        .enabledLayerCount = wishes.layer,
        .ppEnabledLayerNames = &layer,
        .enabledExtensionCount = n,
        .ppEnabledExtensionNames = extensions,
    };
    const VkResult result = vk->CreateInstance(&info, NULL, &gpu->instance);
    if (result == VK_ERROR_INCOMPATIBLE_DRIVER) {
        return host_error(error, GPU_NO_DEVICE,
                          "no Vulkan driver is installed (Debian: mesa-vulkan-drivers)");
    }
    TRY_VK(error, result);
    TRY(loader_instance(&gpu->vk, vk->get, gpu->instance, error));
    if (!wishes.messenger || !gpu->vk.CreateDebugUtilsMessengerEXT ||
        !gpu->vk.DestroyDebugUtilsMessengerEXT)
        return GPU_OK;
    const VkDebugUtilsMessengerCreateInfoEXT messenger = loader_messenger(gpu);
    TRY_VK(error,
           gpu->vk.CreateDebugUtilsMessengerEXT(gpu->instance, &messenger, NULL, &gpu->messenger));
    return GPU_OK;
}

/* Best first. Drivers for the same CPU have the same memory: then the one with wider subgroups. */
static bool loader_before(const struct gpu_info *a, const struct gpu_info *b)
{
    if (a->type != b->type) return a->type < b->type;
    if (a->memory != b->memory) return a->memory > b->memory;
    return a->subgroup > b->subgroup;
}

static enum gpu_status loader_list(struct gpu *gpu, const VkPhysicalDevice *physical, uint32_t n,
                                   struct gpu_error *error)
{
    gpu->devices = host_new(&gpu->host, n, sizeof *gpu->devices);
    if (!gpu->devices) return host_no_memory(error, "the list of devices");
    gpu->capacity = n;
    for (uint32_t i = 0; i < n; i++) {
        struct caps caps;
        struct gpu_error reason = {""};
        const enum gpu_status status =
            caps_read(&caps, &gpu->vk, physical[i], gpu->api, &gpu->host, NULL, &reason);
        if (status == GPU_OUT_OF_MEMORY) return host_error(error, status, "%s", reason.message);
        if (status != GPU_OK) {
            host_error(error, GPU_NO_DEVICE, "%s", reason.message);
            host_log(&gpu->host, 3, reason.message);
            continue;
        }
        uint32_t place = gpu->n++;
        for (; place > 0 && loader_before(&caps.info, &gpu->devices[place - 1].info); place--) {
            gpu->devices[place] = gpu->devices[place - 1];
        }
        gpu->devices[place] = caps;
    }
    return gpu->n ? GPU_OK : GPU_NO_DEVICE;
}

static enum gpu_status loader_enumerate(struct gpu *gpu, struct gpu_error *error)
{
    uint32_t n = 0;
    TRY_VK(error, gpu->vk.EnumeratePhysicalDevices(gpu->instance, &n, NULL));
    if (n == 0) {
        return host_error(error, GPU_NO_DEVICE,
                          "no Vulkan driver found a device (Debian: mesa-vulkan-drivers)");
    }
    const size_t capacity = n;
    VkPhysicalDevice *physical = host_new(&gpu->host, n, sizeof(VkPhysicalDevice));
    if (!physical) return host_no_memory(error, "the list of devices");
    const VkResult result = gpu->vk.EnumeratePhysicalDevices(gpu->instance, &n, physical);
    const enum gpu_status status = result < 0
                                       ? host_result(error, ".EnumeratePhysicalDevices(", result)
                                       : loader_list(gpu, physical, n, error);
    host_free(&gpu->host, physical, capacity * sizeof(VkPhysicalDevice));
    return status;
}

static enum gpu_status loader_fill(struct gpu *gpu, PFN_vkGetInstanceProcAddr get,
                                   struct gpu_error *error)
{
    struct global_functions vk;
    TRY(loader_global(&vk, get, error));
    TRY_VK(error, vk.EnumerateInstanceVersion(&gpu->api));
    if (gpu->api < VK_API_VERSION_1_1) {
        return host_error(error, GPU_NO_DEVICE, "Vulkan 1.1 is needed, the loader has 1.0");
    }
    if (gpu->api > VK_API_VERSION_1_3) gpu->api = VK_API_VERSION_1_3;
    TRY(loader_create(gpu, &vk, error));
    return loader_enumerate(gpu, error);
}

enum gpu_status loader_open(struct gpu **out, const struct gpu_host *host,
                            PFN_vkGetInstanceProcAddr get, struct gpu_error *error)
{
    *out = NULL;
    struct gpu_host given;
    host_init(&given, host);
    struct gpu *gpu = host_new(&given, 1, sizeof *gpu);
    if (!gpu) return host_no_memory(error, "the list of devices");
    gpu->host = given;
    const enum gpu_status status = loader_fill(gpu, get, error);
    if (status != GPU_OK) {
        gpu_close(gpu);
        return status;
    }
    *out = gpu;
    return GPU_OK;
}

enum gpu_status gpu_open(struct gpu **out, const struct gpu_host *host, struct gpu_error *error)
{
    *out = NULL;
    const PFN_vkGetInstanceProcAddr get = loader_find();
    if (!get) {
        return host_error(error, GPU_NO_DEVICE,
                          "no Vulkan loader: install libvulkan.so.1 and a driver "
                          "(Debian: libvulkan1 and mesa-vulkan-drivers)");
    }
    return loader_open(out, host, get, error);
}

void gpu_close(struct gpu *gpu)
{
    if (!gpu) return;
    if (gpu->messenger) gpu->vk.DestroyDebugUtilsMessengerEXT(gpu->instance, gpu->messenger, NULL);
    if (gpu->instance && gpu->vk.DestroyInstance) gpu->vk.DestroyInstance(gpu->instance, NULL);
    const struct gpu_host host = gpu->host;
    host_free(&host, gpu->devices, gpu->capacity * sizeof *gpu->devices);
    host_free(&host, gpu, sizeof *gpu);
}

uint32_t gpu_count(const struct gpu *gpu)
{
    return gpu ? gpu->n : 0;
}

const struct gpu_info *gpu_info(struct gpu *gpu, uint32_t index)
{
    if (index >= gpu_count(gpu)) return NULL;
    struct caps *caps = &gpu->devices[index];
    caps->info.available = caps_available(caps, &gpu->vk, caps->heap, 0);
    return &caps->info;
}

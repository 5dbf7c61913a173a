/* capture.c - stands between vk/ and the Vulkan loader: see capture.h. */
#include "capture.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vk.h"

#define EXTENSION VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME

enum { MAX_EXTENSIONS = CAPS_MAX_EXTENSIONS + 1, MAX_PROGRAMS = 8, MAX_TEXTS = 16 };

/* The functions behind ours; this program has one device. */
static struct {
    const struct capture *to;
    PFN_vkGetInstanceProcAddr instance;
    PFN_vkGetDeviceProcAddr device;
    PFN_vkCreateDevice create_device;
    PFN_vkGetPhysicalDeviceMemoryProperties2 memory;
    PFN_vkGetBufferMemoryRequirements requirements;
    PFN_vkCreateShaderModule create_module;
    PFN_vkCreateComputePipelines create_pipelines;
    PFN_vkGetPipelineExecutablePropertiesKHR properties;
    PFN_vkGetPipelineExecutableStatisticsKHR statistics;
    PFN_vkGetPipelineExecutableInternalRepresentationsKHR texts;
    const uint32_t *spirv; /* of the last module: vk/ makes a pipeline of it at once */
} next;

static double number(const VkPipelineExecutableStatisticKHR *s)
{
    switch (s->format) {
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_BOOL32_KHR: return s->value.b32;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_INT64_KHR: return (double)s->value.i64;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_UINT64_KHR: return (double)s->value.u64;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_FLOAT64_KHR: return s->value.f64;
    default: return 0;
    }
}

/* What drivers show beside numbers: intermediate forms and assembly. */
static void print_texts(VkDevice device, const VkPipelineExecutableInfoKHR *which)
{
    VkPipelineExecutableInternalRepresentationKHR texts[MAX_TEXTS];
    uint32_t n = MAX_TEXTS;
    memset(texts, 0, sizeof texts);
    for (uint32_t i = 0; i < n; i++)
        texts[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INTERNAL_REPRESENTATION_KHR;
    if (next.texts(device, which, &n, texts) < 0) return;
    for (uint32_t i = 0; i < n; i++) {
        if (texts[i].dataSize) texts[i].pData = calloc(1, texts[i].dataSize + 1);
    }
    if (next.texts(device, which, &n, texts) >= 0) {
        for (uint32_t i = 0; i < n; i++) {
            if (texts[i].isText && texts[i].pData)
                printf("---- %s\n%s\n", texts[i].name, (const char *)texts[i].pData);
        }
    }
    for (uint32_t i = 0; i < n; i++) free(texts[i].pData);
}

static void report_program(VkDevice device, VkPipeline pipeline, uint32_t index, uint32_t subgroup)
{
    const VkPipelineExecutableInfoKHR which = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR,
        .pipeline = pipeline,
        .executableIndex = index,
    };
    VkPipelineExecutableStatisticKHR list[CAPTURE_STATISTICS];
    struct capture_program program = {.spirv = next.spirv, .subgroup = subgroup};
    memset(list, 0, sizeof list);
    for (uint32_t i = 0; i < CAPTURE_STATISTICS; i++)
        list[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR;
    program.n = CAPTURE_STATISTICS;
    if (next.statistics(device, &which, &program.n, list) < 0) program.n = 0;
    for (uint32_t i = 0; i < program.n; i++) {
        struct capture_statistic *s = &program.statistics[i];
        snprintf(s->name, sizeof s->name, "%.*s", (int)sizeof s->name - 1, list[i].name);
        s->value = number(&list[i]);
    }
    next.to->seen(next.to->user, &program);
    if (next.to->assembly) print_texts(device, &which);
}

static void report(VkDevice device, VkPipeline pipeline)
{
    const VkPipelineInfoKHR info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR,
                                    .pipeline = pipeline};
    VkPipelineExecutablePropertiesKHR list[MAX_PROGRAMS];
    uint32_t n = MAX_PROGRAMS;
    memset(list, 0, sizeof list);
    for (uint32_t i = 0; i < n; i++)
        list[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_PROPERTIES_KHR;
    if (next.properties(device, &info, &n, list) < 0) return;
    for (uint32_t i = 0; i < n; i++) report_program(device, pipeline, i, list[i].subgroupSize);
}

/* ---- Vulkan functions that do more than the driver's ---- */

static VKAPI_ATTR VkResult VKAPI_CALL create_pipelines(VkDevice device, VkPipelineCache cache,
                                                       uint32_t n,
                                                       const VkComputePipelineCreateInfo *infos,
                                                       const VkAllocationCallbacks *allocator,
                                                       VkPipeline *out)
{
    if (!next.to->seen) return next.create_pipelines(device, cache, n, infos, allocator, out);
    for (uint32_t i = 0; i < n; i++) {
        VkComputePipelineCreateInfo info = infos[i];
        info.flags |= VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR;
        if (next.to->assembly)
            info.flags |= VK_PIPELINE_CREATE_CAPTURE_INTERNAL_REPRESENTATIONS_BIT_KHR;
        VkResult result = next.create_pipelines(device, cache, 1, &info, allocator, &out[i]);
        if (result < 0) return result;
        report(device, out[i]);
    }
    return VK_SUCCESS;
}

static VKAPI_ATTR VkResult VKAPI_CALL create_module(VkDevice device,
                                                    const VkShaderModuleCreateInfo *info,
                                                    const VkAllocationCallbacks *allocator,
                                                    VkShaderModule *out)
{
    next.spirv = info->pCode;
    return next.create_module(device, info, allocator, out);
}

/* RADV's null device has no memory, and falls over when it is asked how much of it is left: one
 * type of memory, for vk/ to open the device. */
static VKAPI_ATTR void VKAPI_CALL get_memory(VkPhysicalDevice physical,
                                             VkPhysicalDeviceMemoryProperties2 *out)
{
    VkPhysicalDeviceMemoryProperties2 alone = {.sType = out->sType};
    VkPhysicalDeviceMemoryProperties *m = &out->memoryProperties;
    next.memory(physical, &alone);
    if (alone.memoryProperties.memoryTypeCount > 0) {
        next.memory(physical, out);
        return;
    }
    m->memoryTypeCount = m->memoryHeapCount = 1;
    m->memoryTypes[0] =
        (VkMemoryType){VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT |
                           VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
                       0};
    m->memoryHeaps[0] = (VkMemoryHeap){8192 * MIB, VK_MEMORY_HEAP_DEVICE_LOCAL_BIT};
}

static VKAPI_ATTR void VKAPI_CALL get_requirements(VkDevice device, VkBuffer buffer,
                                                   VkMemoryRequirements *out)
{
    next.requirements(device, buffer, out);
    if (!out->memoryTypeBits) out->memoryTypeBits = 1;
}

static PFN_vkVoidFunction replace(const char *name, PFN_vkVoidFunction with)
{
    if (!strcmp(name, "vkCreateShaderModule")) {
        next.create_module = (PFN_vkCreateShaderModule)with;
        return (PFN_vkVoidFunction)create_module;
    }
    if (!strcmp(name, "vkCreateComputePipelines")) {
        next.create_pipelines = (PFN_vkCreateComputePipelines)with;
        return (PFN_vkVoidFunction)create_pipelines;
    }
    if (!strcmp(name, "vkGetBufferMemoryRequirements")) {
        next.requirements = (PFN_vkGetBufferMemoryRequirements)with;
        return (PFN_vkVoidFunction)get_requirements;
    }
    return with;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_device(VkDevice device, const char *name)
{
    return replace(name, next.device(device, name));
}

static void load(VkDevice device)
{
    next.properties = (PFN_vkGetPipelineExecutablePropertiesKHR)next.device(
        device, "vkGetPipelineExecutablePropertiesKHR");
    next.statistics = (PFN_vkGetPipelineExecutableStatisticsKHR)next.device(
        device, "vkGetPipelineExecutableStatisticsKHR");
    next.texts = (PFN_vkGetPipelineExecutableInternalRepresentationsKHR)next.device(
        device, "vkGetPipelineExecutableInternalRepresentationsKHR");
}

static VKAPI_ATTR VkResult VKAPI_CALL create_device(VkPhysicalDevice physical,
                                                    const VkDeviceCreateInfo *given,
                                                    const VkAllocationCallbacks *allocator,
                                                    VkDevice *out)
{
    const char *extensions[MAX_EXTENSIONS];
    VkDeviceCreateInfo info = *given;
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR feature = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR,
        .pNext = (void *)(uintptr_t)given->pNext,
        .pipelineExecutableInfo = VK_TRUE,
    };
    if (info.enabledExtensionCount >= MAX_EXTENSIONS) return VK_ERROR_INITIALIZATION_FAILED;
    for (uint32_t i = 0; i < info.enabledExtensionCount; i++)
        extensions[i] = info.ppEnabledExtensionNames[i];
    extensions[info.enabledExtensionCount++] = EXTENSION;
    info.ppEnabledExtensionNames = extensions;
    info.pNext = &feature;
    VkResult result = next.create_device(physical, &info, allocator, out);
    if (result >= 0) load(*out);
    return result;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_instance(VkInstance instance, const char *name)
{
    PFN_vkVoidFunction found = next.instance(instance, name);
    if (!strcmp(name, "vkCreateDevice")) {
        next.create_device = (PFN_vkCreateDevice)found;
        return (PFN_vkVoidFunction)create_device;
    }
    if (!strcmp(name, "vkGetPhysicalDeviceMemoryProperties2")) {
        next.memory = (PFN_vkGetPhysicalDeviceMemoryProperties2)found;
        return (PFN_vkVoidFunction)get_memory;
    }
    if (!strcmp(name, "vkGetDeviceProcAddr")) {
        next.device = (PFN_vkGetDeviceProcAddr)found;
        return (PFN_vkVoidFunction)get_device;
    }
    return found;
}

struct gpu_commands *capture_commands(void)
{
    static struct gpu_commands failed = {.status = GPU_FAILED};
    return &failed;
}

enum gpu_status capture_open(struct gpu **out, const struct gpu_host *host,
                             const struct capture *capture, struct gpu_error *error)
{
    void *library = dlopen("libvulkan.so.1", RTLD_NOW);
    void *symbol = library ? dlsym(library, "vkGetInstanceProcAddr") : NULL;
    *out = NULL;
    if (!symbol) return host_error(error, GPU_NO_DEVICE, "no libvulkan.so.1");
    next.to = capture;
    memcpy(&next.instance, &symbol, sizeof symbol);
    TRY(loader_open(out, host, get_instance, error));
    return GPU_OK;
}

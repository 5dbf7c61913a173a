/* caps.c - what a physical device is, can, and gets wrong. The only place that knows vendors and
 * drivers. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined _WIN32
#include <windows.h>
#else
#include <unistd.h>
#endif

#include "vk.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* Numbers of Vulkan's registry and of the PCI list. */
static const struct {
    uint32_t id;
    const char *name;
} vendors[] = {
    {0x1002, "AMD"},      {0x1010, "Imagination"}, {0x106B, "Apple"},           {0x10DE, "NVIDIA"},
    {0x13B5, "Arm"},      {0x144D, "Samsung"},     {0x14E4, "Broadcom"},        {0x1AE0, "Google"},
    {0x5143, "Qualcomm"}, {0x8086, "Intel"},       {VK_VENDOR_ID_MESA, "Mesa"},
};

/* 0 is any vendor or driver; below: the first version without the quirk, 0: none yet. */
struct quirk {
    uint32_t vendor_id, driver_id, below;
    size_t flag; /* offset of a bool in struct gpu_info */
};
static const struct quirk quirks[] = {
    {0, VK_DRIVER_ID_MESA_LLVMPIPE, VK_MAKE_API_VERSION(0, 25, 0, 0),
     offsetof(struct gpu_info, loop_limit)},
    {0, VK_DRIVER_ID_MESA_LLVMPIPE, 0, offsetof(struct gpu_info, texel_loads)},
    {0, VK_DRIVER_ID_GOOGLE_SWIFTSHADER, 0, offsetof(struct gpu_info, no_unrolling)},
};

static const struct feature {
    VkStructureType type;
    size_t offset; /* in struct caps_features */
    uint32_t core; /* the version that has it without an extension, 0: none */
    const char *extension;
} features[] = {
    {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES,
     offsetof(struct caps_features, storage16), VK_API_VERSION_1_1, "VK_KHR_16bit_storage"},
    {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_8BIT_STORAGE_FEATURES,
     offsetof(struct caps_features, storage8), VK_API_VERSION_1_2, "VK_KHR_8bit_storage"},
    {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES,
     offsetof(struct caps_features, small), VK_API_VERSION_1_2, "VK_KHR_shader_float16_int8"},
    {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES,
     offsetof(struct caps_features, dot), VK_API_VERSION_1_3, "VK_KHR_shader_integer_dot_product"},
    {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES,
     offsetof(struct caps_features, subgroup), VK_API_VERSION_1_3, "VK_EXT_subgroup_size_control"},
    {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES,
     offsetof(struct caps_features, model), VK_API_VERSION_1_2, "VK_KHR_vulkan_memory_model"},
    {(VkStructureType)1000506000, offsetof(struct caps_features, matrix), 0,
     "VK_KHR_cooperative_matrix"},
};

/* The extensions of a device, by its driver or by who lends it. */
struct caps_names {
    VkExtensionProperties *list;
    uint32_t n, capacity;
    const char *const *lent;
    uint32_t n_lent;
};

static bool caps_has(const struct caps_names *names, const char *name)
{
    for (uint32_t i = 0; i < names->n; i++) {
        if (!strcmp(names->list[i].extensionName, name)) return true;
    }
    for (uint32_t i = 0; i < names->n_lent; i++) {
        if (!strcmp(names->lent[i], name)) return true;
    }
    return false;
}

static enum gpu_status caps_names_read(struct caps_names *out, const struct instance_functions *vki,
                                       VkPhysicalDevice physical, const struct gpu_host *host,
                                       const struct gpu_lent *lent, struct gpu_error *error)
{
    *out = (struct caps_names){0};
    if (lent) {
        out->lent = lent->extensions;
        out->n_lent = lent->extensions ? lent->n_extensions : 0;
        return GPU_OK;
    }
    TRY_VK(error, vki->EnumerateDeviceExtensionProperties(physical, NULL, &out->n, NULL));
    if (out->n == 0) return GPU_OK;
    out->capacity = out->n;
    out->list = host_new(host, out->n, sizeof *out->list);
    if (!out->list) return host_no_memory(error, "the list of device extensions");
    const VkResult result =
        vki->EnumerateDeviceExtensionProperties(physical, NULL, &out->n, out->list);
    if (result >= 0) return GPU_OK;
    host_free(host, out->list, out->capacity * sizeof *out->list);
    return host_result(error, ".EnumerateDeviceExtensionProperties(", result);
}

static bool caps_has_feature(const struct caps_names *names, uint32_t api, const struct feature *f)
{
    return (f->core && api >= f->core) || caps_has(names, f->extension);
}

/* Chains the structs that the device knows, all of them zero. */
static void caps_chain(struct caps_features *out, const struct caps_names *names, uint32_t api)
{
    memset(out, 0, sizeof *out);
    out->base.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
    void **next = &out->base.pNext;
    for (size_t i = 0; i < COUNT(features); i++) {
        if (!caps_has_feature(names, api, &features[i])) continue;
        VkBaseOutStructure *item = (VkBaseOutStructure *)((char *)out + features[i].offset);
        item->sType = features[i].type;
        *next = item;
        next = (void **)&item->pNext;
    }
}

/* The features that the lender enabled, be they in structs of their own or in those of a whole
 * version. */
static void caps_lent_features(struct caps_features *out, const void *lent)
{
    memset(out, 0, sizeof *out);
    for (const VkBaseInStructure *in = lent; in; in = in->pNext) {
        switch ((int)in->sType) {
        case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2:
            out->base.features = ((const VkPhysicalDeviceFeatures2 *)in)->features;
            break;
        case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES:
            out->storage16.storageBuffer16BitAccess =
                ((const VkPhysicalDeviceVulkan11Features *)in)->storageBuffer16BitAccess;
            break;
        case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES: {
            const VkPhysicalDeviceVulkan12Features *f =
                (const VkPhysicalDeviceVulkan12Features *)in;
            out->storage8.storageBuffer8BitAccess = f->storageBuffer8BitAccess;
            out->small.shaderFloat16 = f->shaderFloat16;
            out->small.shaderInt8 = f->shaderInt8;
            out->model.vulkanMemoryModel = f->vulkanMemoryModel;
            break;
        }
        case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES: {
            const VkPhysicalDeviceVulkan13Features *f =
                (const VkPhysicalDeviceVulkan13Features *)in;
            out->subgroup.subgroupSizeControl = f->subgroupSizeControl;
            out->subgroup.computeFullSubgroups = f->computeFullSubgroups;
            out->dot.shaderIntegerDotProduct = f->shaderIntegerDotProduct;
            break;
        }
        case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES:
            out->storage16 = *(const VkPhysicalDevice16BitStorageFeatures *)in;
            break;
        case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_8BIT_STORAGE_FEATURES:
            out->storage8 = *(const VkPhysicalDevice8BitStorageFeatures *)in;
            break;
        case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES:
            out->small = *(const VkPhysicalDeviceShaderFloat16Int8Features *)in;
            break;
        case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES:
            out->dot = *(const VkPhysicalDeviceShaderIntegerDotProductFeatures *)in;
            break;
        case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES:
            out->subgroup = *(const VkPhysicalDeviceSubgroupSizeControlFeatures *)in;
            break;
        case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES:
            out->model = *(const VkPhysicalDeviceVulkanMemoryModelFeatures *)in;
            break;
        case 1000506000: out->matrix = *(const struct caps_matrix_features *)in; break;
        default: break;
        }
    }
}

/* The properties asked for, in one chain. */
struct caps_properties {
    VkPhysicalDeviceProperties2 base;
    VkPhysicalDeviceMaintenance3Properties maintenance;
    VkPhysicalDeviceSubgroupProperties subgroup;
    VkPhysicalDeviceIDProperties id;
    VkPhysicalDeviceDriverProperties driver;
    VkPhysicalDeviceSubgroupSizeControlProperties size;
    VkPhysicalDeviceMaintenance4Properties maintenance4;
    VkPhysicalDeviceShaderIntegerDotProductProperties dot;
};

static void caps_properties_read(struct caps_properties *out, const struct instance_functions *vki,
                                 VkPhysicalDevice physical, const struct caps_names *names,
                                 uint32_t api)
{
    memset(out, 0, sizeof *out);
    out->maintenance.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES;
    out->subgroup.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES;
    out->subgroup.pNext = &out->maintenance;
    out->id.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES;
    out->id.pNext = &out->subgroup;
    out->base.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
    out->base.pNext = &out->id;
    if (api >= VK_API_VERSION_1_2 || caps_has(names, "VK_KHR_driver_properties")) {
        out->driver.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES;
        out->driver.pNext = out->base.pNext;
        out->base.pNext = &out->driver;
    }
    if (api >= VK_API_VERSION_1_3 || caps_has(names, "VK_EXT_subgroup_size_control")) {
        out->size.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES;
        out->size.pNext = out->base.pNext;
        out->base.pNext = &out->size;
    }
    if (api >= VK_API_VERSION_1_3 || caps_has(names, "VK_KHR_maintenance4")) {
        out->maintenance4.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_PROPERTIES;
        out->maintenance4.pNext = out->base.pNext;
        out->base.pNext = &out->maintenance4;
    }
    if (api >= VK_API_VERSION_1_3 || caps_has(names, "VK_KHR_shader_integer_dot_product")) {
        out->dot.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_PROPERTIES;
        out->dot.pNext = out->base.pNext;
        out->base.pNext = &out->dot;
    }
    vki->GetPhysicalDeviceProperties2(physical, &out->base);
}

/* ---- who it is ---- */

static void caps_identity(struct gpu_info *info, const struct caps_properties *p)
{
    static const enum gpu_type types[] = {
        [VK_PHYSICAL_DEVICE_TYPE_OTHER] = GPU_OTHER,
        [VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU] = GPU_INTEGRATED,
        [VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU] = GPU_DISCRETE,
        [VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU] = GPU_VIRTUAL,
        [VK_PHYSICAL_DEVICE_TYPE_CPU] = GPU_CPU,
    };
    const VkPhysicalDeviceProperties *base = &p->base.properties;
    snprintf(info->name, sizeof info->name, "%.255s", base->deviceName);
    const char *space = p->driver.driverName[0] && p->driver.driverInfo[0] ? " " : "";
    snprintf(info->driver, sizeof info->driver, "%.127s%s%.127s", p->driver.driverName, space,
             p->driver.driverInfo);
    snprintf(info->vendor, sizeof info->vendor, "0x%04" PRIx32, base->vendorID);
    for (size_t i = 0; i < COUNT(vendors); i++) {
        if (vendors[i].id == base->vendorID)
            snprintf(info->vendor, sizeof info->vendor, "%s", vendors[i].name);
    }
    info->type = (size_t)base->deviceType < COUNT(types) ? types[base->deviceType] : GPU_OTHER;
    info->api_version = base->apiVersion;
    info->vendor_id = base->vendorID;
    info->device_id = base->deviceID;
    info->driver_id = (uint32_t)p->driver.driverID;
    info->driver_version = base->driverVersion;
    memcpy(info->device_uuid, p->id.deviceUUID, sizeof info->device_uuid);
    memcpy(info->driver_uuid, p->id.driverUUID, sizeof info->driver_uuid);
    info->software = info->type == GPU_CPU;
    for (size_t i = 0; i < COUNT(quirks); i++) {
        const struct quirk *q = &quirks[i];
        if (q->vendor_id && q->vendor_id != info->vendor_id) continue;
        if (q->driver_id && q->driver_id != info->driver_id) continue;
        if (!q->below || info->driver_version < q->below) *(bool *)((char *)info + q->flag) = true;
    }
}

/* ---- what it can ---- */

static void caps_limits(struct caps *caps, const struct caps_properties *p)
{
    const VkPhysicalDeviceLimits *limits = &p->base.properties.limits;
    struct gpu_info *info = &caps->info;
    caps->max_allocation = p->maintenance.maxMemoryAllocationSize
                               ? p->maintenance.maxMemoryAllocationSize
                               : 1024 * MIB;
    const uint64_t max_buffer = p->maintenance4.maxBufferSize;
    if (max_buffer && caps->max_allocation > max_buffer) caps->max_allocation = max_buffer;
    caps->alignment = limits->minStorageBufferOffsetAlignment;
    if (caps->alignment < limits->nonCoherentAtomSize)
        caps->alignment = limits->nonCoherentAtomSize;
    caps->timestamp_period = limits->timestampPeriod;
    memcpy(caps->max_groups, limits->maxComputeWorkGroupCount, sizeof caps->max_groups);
    memcpy(caps->cache_uuid, p->base.properties.pipelineCacheUUID, sizeof caps->cache_uuid);

    info->texels = limits->maxTexelBufferElements;
    info->binding_size = limits->maxStorageBufferRange;
    info->allocation_size = caps->max_allocation < 1024 * MIB ? caps->max_allocation : 1024 * MIB;
    info->offset_alignment = (uint32_t)limits->minStorageBufferOffsetAlignment;
    if (info->offset_alignment < 4) info->offset_alignment = 4;
    info->shared_size = limits->maxComputeSharedMemorySize;
    info->invocations = limits->maxComputeWorkGroupInvocations;
    if (info->invocations > limits->maxComputeWorkGroupSize[0])
        info->invocations = limits->maxComputeWorkGroupSize[0];
    info->bindings = limits->maxPerStageDescriptorStorageBuffers;
    if (info->bindings > limits->maxDescriptorSetStorageBuffers)
        info->bindings = limits->maxDescriptorSetStorageBuffers;
    if (info->bindings > limits->maxPerStageResources)
        info->bindings = limits->maxPerStageResources;
    info->push_size = limits->maxPushConstantsSize;
    info->subgroup = p->subgroup.subgroupSize;
    info->subgroup_min = p->size.minSubgroupSize ? p->size.minSubgroupSize : info->subgroup;
    info->subgroup_max = p->size.maxSubgroupSize ? p->size.maxSubgroupSize : info->subgroup;
}

static void caps_abilities(struct gpu_info *info, const struct caps_features *f,
                           const struct caps_properties *p)
{
    const bool compute = p->subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT;
    const VkSubgroupFeatureFlags operations = compute ? p->subgroup.supportedOperations : 0;
    info->storage16 = f->storage16.storageBuffer16BitAccess;
    info->storage8 = f->storage8.storageBuffer8BitAccess;
    info->float16 = f->small.shaderFloat16;
    info->int8 = f->small.shaderInt8;
    info->int16 = f->base.features.shaderInt16;
    info->int64 = f->base.features.shaderInt64;
    info->int_dot = f->dot.shaderIntegerDotProduct;
    info->int_dot_fast = info->int_dot && p->dot.integerDotProduct4x8BitPackedSignedAccelerated;
    info->subgroup_arithmetic = operations & VK_SUBGROUP_FEATURE_ARITHMETIC_BIT;
    info->subgroup_shuffle = operations & VK_SUBGROUP_FEATURE_SHUFFLE_BIT;
    info->subgroup_size_control =
        f->subgroup.subgroupSizeControl && f->subgroup.computeFullSubgroups &&
        (p->size.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT);
    info->cooperative_matrix = f->matrix.cooperativeMatrix && f->model.vulkanMemoryModel;
}

void caps_enable(const struct caps *caps, struct caps_features *out)
{
    const struct gpu_info *info = &caps->info;
    const struct caps_names names = {.lent = caps->extensions, .n_lent = caps->n_extensions};
    caps_chain(out, &names, info->api_version);
    out->storage16.storageBuffer16BitAccess = info->storage16;
    out->storage8.storageBuffer8BitAccess = info->storage8;
    out->small.shaderFloat16 = info->float16;
    out->small.shaderInt8 = info->int8;
    out->base.features.shaderInt16 = info->int16;
    out->base.features.shaderInt64 = info->int64;
    out->dot.shaderIntegerDotProduct = info->int_dot;
    out->subgroup.subgroupSizeControl = info->subgroup_size_control;
    out->subgroup.computeFullSubgroups = info->subgroup_size_control;
    out->model.vulkanMemoryModel = info->cooperative_matrix;
    out->matrix.cooperativeMatrix = info->cooperative_matrix;
}

static void caps_extensions(struct caps *caps, const struct caps_names *names)
{
    if (caps_has(names, "VK_KHR_portability_subset"))
        caps->extensions[caps->n_extensions++] = "VK_KHR_portability_subset";
    for (size_t i = 0; i < COUNT(features); i++) {
        const struct feature *f = &features[i];
        if (f->core && caps->info.api_version >= f->core) continue;
        if (caps_has(names, f->extension)) caps->extensions[caps->n_extensions++] = f->extension;
    }
    const char *feedback = VK_EXT_PIPELINE_CREATION_FEEDBACK_EXTENSION_NAME;
    caps->feedback = caps->info.api_version >= VK_API_VERSION_1_3 || caps_has(names, feedback);
    if (caps->info.api_version < VK_API_VERSION_1_3 && caps->feedback)
        caps->extensions[caps->n_extensions++] = feedback;
}

/* A family for compute alone where there is one, so that a game's drawing is not in the way. */
static bool caps_family(struct caps *caps, const VkQueueFamilyProperties *families, uint32_t n,
                        const struct gpu_lent *lent)
{
    bool found = false;
    for (uint32_t i = 0; i < n; i++) {
        if (!families[i].queueCount || !(families[i].queueFlags & VK_QUEUE_COMPUTE_BIT)) continue;
        if (lent && lent->queue_family != i) continue;
        if (found && (families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT)) continue;
        const bool alone = !(families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT);
        caps->family = i;
        caps->timestamp_bits = families[i].timestampValidBits;
        found = true;
        if (alone) break;
    }
    caps->info.timestamps = found && caps->timestamp_bits > 0 && caps->timestamp_period > 0;
    return found;
}

static enum gpu_status caps_check(const struct caps *caps, struct gpu_error *error)
{
    const struct gpu_info *info = &caps->info;
    const struct {
        const char *what;
        uint64_t has, needs;
    } floor[] = {
        {"storage buffers a stage", info->bindings, 8},
        {"invocations a workgroup", info->invocations, 128},
        {"bytes of shared memory", info->shared_size, 16384},
        {"bytes of push constants", info->push_size, 128},
        {"bytes a storage buffer", info->binding_size, 128 * MIB},
    };
    for (size_t i = 0; i < COUNT(floor); i++) {
        if (floor[i].has >= floor[i].needs) continue;
        return host_error(error, GPU_NO_DEVICE,
                          "%.100s has %" PRIu64 " %s, at least %" PRIu64 " are needed", info->name,
                          floor[i].has, floor[i].what, floor[i].needs);
    }
    return GPU_OK;
}

static enum gpu_status caps_fill(struct caps *out, const struct instance_functions *vki,
                                 uint32_t api, const struct caps_names *names,
                                 const struct gpu_lent *lent, struct gpu_error *error)
{
    struct caps_properties properties;
    caps_properties_read(&properties, vki, out->physical, names, api);
    caps_identity(&out->info, &properties);
    out->info.api_version = api;
    caps_limits(out, &properties);

    struct caps_features f;
    caps_chain(&f, names, api);
    if (lent) {
        caps_lent_features(&f, lent->features);
    } else {
        vki->GetPhysicalDeviceFeatures2(out->physical, &f.base);
    }
    caps_abilities(&out->info, &f, &properties);
    caps_extensions(out, names);
    out->budget = caps_has(names, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);

    VkQueueFamilyProperties families[32];
    uint32_t n = COUNT(families);
    vki->GetPhysicalDeviceQueueFamilyProperties(out->physical, &n, families);
    if (!caps_family(out, families, n, lent)) {
        return host_error(error, GPU_NO_DEVICE, "%.100s has no compute queue%s", out->info.name,
                          lent ? " in the family that is lent" : "");
    }
    VkPhysicalDeviceMemoryProperties2 memory = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2};
    vki->GetPhysicalDeviceMemoryProperties2(out->physical, &memory);
    out->memory = memory.memoryProperties;
    for (uint32_t i = 0; i < out->memory.memoryHeapCount; i++) {
        const VkMemoryHeap *heap = &out->memory.memoryHeaps[i];
        if (!(heap->flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) || heap->size <= out->info.memory)
            continue;
        out->info.memory = heap->size;
        out->heap = i;
    }
    out->info.unified = memory_unified(out);
    return caps_check(out, error);
}

/* ---- how much memory it has ---- */

/* The machine's memory in bytes and how much of it is free; 0 where that cannot be told. */
static void caps_machine_memory(uint64_t *total, uint64_t *available)
{
    *total = *available = 0;
#if defined _WIN32
    MEMORYSTATUSEX status = {.dwLength = sizeof status};
    if (GlobalMemoryStatusEx(&status)) {
        *total = status.ullTotalPhys;
        *available = status.ullAvailPhys;
    }
#else
    const long pages = sysconf(_SC_PHYS_PAGES), page_size = sysconf(_SC_PAGESIZE);
    if (pages > 0 && page_size > 0) *total = (uint64_t)pages * (uint64_t)page_size;
    *available = *total;
    FILE *file = fopen("/proc/meminfo", "r");
    if (!file) return;
    char line[128];
    uint64_t kib;
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "MemAvailable: %" SCNu64, &kib) == 1) *available = kib * 1024;
    }
    fclose(file);
#endif
}

uint64_t caps_available(const struct caps *caps, const struct instance_functions *vki,
                        uint32_t heap, uint64_t taken)
{
    if (caps->info.type == GPU_CPU) {
        uint64_t total, available;
        caps_machine_memory(&total, &available);
        if (total) return available;
    }
    const uint64_t size = caps->memory.memoryHeaps[heap].size;
    if (!caps->budget) return taken < size ? size - taken : 0;
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
    VkPhysicalDeviceMemoryProperties2 memory = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2,
        .pNext = &budget,
    };
    vki->GetPhysicalDeviceMemoryProperties2(caps->physical, &memory);
    const uint64_t limit = budget.heapBudget[heap], used = budget.heapUsage[heap];
    return used < limit ? limit - used : 0;
}

enum gpu_status caps_read(struct caps *out, const struct instance_functions *vki,
                          VkPhysicalDevice physical, uint32_t api, const struct gpu_host *host,
                          const struct gpu_lent *lent, struct gpu_error *error)
{
    *out = (struct caps){.physical = physical};
    VkPhysicalDeviceProperties base;
    vki->GetPhysicalDeviceProperties(physical, &base);
    if (base.apiVersion < VK_API_VERSION_1_1) {
        return host_error(error, GPU_NO_DEVICE, "%.100s has Vulkan 1.0, 1.1 is needed",
                          base.deviceName);
    }
    if (api > base.apiVersion) api = base.apiVersion;
    struct caps_names names;
    TRY(caps_names_read(&names, vki, physical, host, lent, error));
    const enum gpu_status status = caps_fill(out, vki, api, &names, lent, error);
    host_free(host, names.list, names.capacity * sizeof *names.list);
    TRY(status);
    if (out->info.type == GPU_CPU) {
        uint64_t total, available;
        caps_machine_memory(&total, &available);
        if (total) out->info.memory = total;
    }
    out->info.available = caps_available(out, vki, out->heap, 0);
    return GPU_OK;
}

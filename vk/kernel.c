/* kernel.c - compute pipelines, and the pipeline cache with a header of our own round it: drivers
 * trust its bytes. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "vk.h"

enum { KERNEL_MAX_BUFFERS = 32, KERNEL_MAX_SPEC = 64, SPIRV_MAGIC = 0x07230203 };

/* ---- the pipeline cache ---- */

/* Precedes the driver's bytes. */
struct kernel_cache_header {
    char magic[8];
    uint64_t size; /* of what follows */
    uint64_t checksum;
};
static const char kernel_cache_magic[8] = "llmpipe1";

static uint64_t kernel_checksum(const unsigned char *bytes, size_t size)
{
    uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */
    for (size_t i = 0; i < size; i++) hash = (hash ^ bytes[i]) * 0x100000001b3;
    return hash;
}

/* The driver's part of bytes that are whole and of this very device and driver, else NULL. */
static const void *kernel_cache_check(const struct caps *caps, const void *bytes, size_t size,
                                      size_t *data_size)
{
    struct kernel_cache_header header;
    VkPipelineCacheHeaderVersionOne driver;
    if (!bytes || size < sizeof header + sizeof driver) return NULL;
    const unsigned char *data = (const unsigned char *)bytes + sizeof header;
    memcpy(&header, bytes, sizeof header);
    memcpy(&driver, data, sizeof driver);
    *data_size = size - sizeof header;
    if (memcmp(header.magic, kernel_cache_magic, sizeof header.magic)) return NULL;
    if (header.size != *data_size || header.checksum != kernel_checksum(data, *data_size))
        return NULL;
    if (driver.headerSize < sizeof driver ||
        driver.headerVersion != VK_PIPELINE_CACHE_HEADER_VERSION_ONE)
        return NULL;
    if (driver.vendorID != caps->info.vendor_id || driver.deviceID != caps->info.device_id)
        return NULL;
    if (memcmp(driver.pipelineCacheUUID, caps->cache_uuid, VK_UUID_SIZE)) return NULL;
    return data;
}

/* A device without a cache works, too: what goes wrong here is only logged. */
void kernel_cache_open(struct gpu_device *device, const void *bytes, size_t size)
{
    size_t data_size = 0;
    const void *data = kernel_cache_check(&device->caps, bytes, size, &data_size);
    VkPipelineCacheCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO,
        .initialDataSize = data ? data_size : 0,
        .pInitialData = data,
    };
    VkResult result = device->vk.CreatePipelineCache(device->handle, &info, NULL, &device->cache);
    if (result < 0 && data) {
        info.initialDataSize = 0;
        info.pInitialData = NULL;
        result = device->vk.CreatePipelineCache(device->handle, &info, NULL, &device->cache);
    }
    if (result >= 0) return;
    device->cache = VK_NULL_HANDLE;
    struct gpu_error reason;
    device_result(device, &reason, ".CreatePipelineCache(", result);
    host_log(&device->host, 2, reason.message);
}

enum gpu_status gpu_device_cache(struct gpu_device *device, void **bytes, size_t *size,
                                 struct gpu_error *error)
{
    *bytes = NULL;
    *size = 0;
    size_t data_size = 0;
    if (!device->cache) return GPU_OK;
    TRY_DEVICE(device, error,
               device->vk.GetPipelineCacheData(device->handle, device->cache, &data_size, NULL));
    if (data_size == 0) return GPU_OK;
    const size_t capacity = sizeof(struct kernel_cache_header) + data_size;
    unsigned char *out = host_new(&device->host, capacity, 1);
    if (!out) return host_no_memory(error, "the pipeline cache");
    unsigned char *data = out + sizeof(struct kernel_cache_header);
    const VkResult result =
        device->vk.GetPipelineCacheData(device->handle, device->cache, &data_size, data);
    /* It may have grown or shrunk in between: then it is left for the next time. */
    if (result != VK_SUCCESS || data_size != capacity - sizeof(struct kernel_cache_header)) {
        host_free(&device->host, out, capacity);
        return result < 0 ? device_result(device, error, ".GetPipelineCacheData(", result) : GPU_OK;
    }
    struct kernel_cache_header header = {.size = data_size,
                                         .checksum = kernel_checksum(data, data_size)};
    memcpy(header.magic, kernel_cache_magic, sizeof header.magic);
    memcpy(out, &header, sizeof header);
    *bytes = out;
    *size = capacity;
    return GPU_OK;
}

void gpu_free_bytes(struct gpu_device *device, void *bytes, size_t size)
{
    host_free(&device->host, bytes, size);
}

/* ---- kernels ---- */

static enum gpu_status kernel_check(const struct gpu_info *info, const struct gpu_kernel_desc *desc,
                                    struct gpu_error *error)
{
    if (desc->n_buffers > info->bindings || desc->n_buffers > KERNEL_MAX_BUFFERS) {
        return host_error(error, GPU_UNSUPPORTED,
                          "kernel %s: %" PRIu32 " buffers, the device has room for %" PRIu32,
                          desc->name, desc->n_buffers, info->bindings);
    }
    if (desc->push_size > info->push_size || desc->push_size % 4) {
        return host_error(error, GPU_UNSUPPORTED,
                          "kernel %s: %" PRIu32 " bytes of push constants, the device has %" PRIu32,
                          desc->name, desc->push_size, info->push_size);
    }
    if (desc->n_spec > KERNEL_MAX_SPEC) {
        return host_error(error, GPU_FAILED,
                          "kernel %s: %" PRIu32 " specialization constants, at most %d", desc->name,
                          desc->n_spec, KERNEL_MAX_SPEC);
    }
    if (!desc->spirv || desc->spirv_size < 20 || desc->spirv_size % 4 ||
        desc->spirv[0] != SPIRV_MAGIC) {
        return host_error(error, GPU_FAILED, "kernel %s: its %zu bytes are no SPIR-V", desc->name,
                          desc->spirv_size);
    }
    if (desc->subgroup && desc->subgroup != info->subgroup &&
        (!info->subgroup_size_control || desc->subgroup < info->subgroup_min ||
         desc->subgroup > info->subgroup_max)) {
        return host_error(error, GPU_UNSUPPORTED,
                          "kernel %s: subgroups of %" PRIu32 ", the device has %" PRIu32
                          " to %" PRIu32,
                          desc->name, desc->subgroup, info->subgroup_min, info->subgroup_max);
    }
    return GPU_OK;
}

static enum gpu_status kernel_layout(struct gpu_device *device, struct gpu_kernel *kernel,
                                     struct gpu_error *error)
{
    VkDescriptorSetLayoutBinding bindings[KERNEL_MAX_BUFFERS];
    for (uint32_t i = 0; i < kernel->n_buffers; i++) {
        bindings[i] = (VkDescriptorSetLayoutBinding){
            .binding = i,
            .descriptorType = kernel->texels >> i & 1 ? VK_DESCRIPTOR_TYPE_STORAGE_TEXEL_BUFFER
                                                      : VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
            .descriptorCount = 1,
            .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
        };
    }
    const VkDescriptorSetLayoutCreateInfo set = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
        .bindingCount = kernel->n_buffers,
        .pBindings = bindings,
    };
    if (kernel->n_buffers) {
        TRY_DEVICE(
            device, error,
            device->vk.CreateDescriptorSetLayout(device->handle, &set, NULL, &kernel->set_layout));
    }
    const VkPipelineLayoutCreateInfo layout = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
        .setLayoutCount = kernel->n_buffers ? 1 : 0,
        .pSetLayouts = &kernel->set_layout,
        .pushConstantRangeCount = kernel->push_size ? 1 : 0,
        .pPushConstantRanges =
            &(VkPushConstantRange){VK_SHADER_STAGE_COMPUTE_BIT, 0, kernel->push_size},
    };
    TRY_DEVICE(device, error,
               device->vk.CreatePipelineLayout(device->handle, &layout, NULL, &kernel->layout));
    return GPU_OK;
}

static enum gpu_cached kernel_cached(const VkPipelineCreationFeedbackEXT *f)
{
    const VkPipelineCreationFeedbackFlagsEXT hit =
        VK_PIPELINE_CREATION_FEEDBACK_APPLICATION_PIPELINE_CACHE_HIT_BIT_EXT;
    if (!(f->flags & VK_PIPELINE_CREATION_FEEDBACK_VALID_BIT_EXT)) return GPU_CACHED_UNKNOWN;
    return f->flags & hit ? GPU_CACHED_YES : GPU_CACHED_NO;
}

static enum gpu_status kernel_pipeline(struct gpu_device *device, struct gpu_kernel *kernel,
                                       const struct gpu_kernel_desc *desc, struct gpu_error *error)
{
    VkSpecializationMapEntry entries[KERNEL_MAX_SPEC];
    for (uint32_t i = 0; i < desc->n_spec; i++)
        entries[i] = (VkSpecializationMapEntry){i, i * 4, 4};
    const VkSpecializationInfo spec = {desc->n_spec, entries, desc->n_spec * 4u, desc->spec};
    const VkPipelineShaderStageRequiredSubgroupSizeCreateInfo subgroup = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
        .requiredSubgroupSize = desc->subgroup,
    };
    const VkShaderModuleCreateInfo module_info = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
        .codeSize = desc->spirv_size,
        .pCode = desc->spirv,
    };
    VkPipelineCreationFeedbackEXT whole = {0}, stage = {0};
    const VkPipelineCreationFeedbackCreateInfoEXT feedback = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_CREATION_FEEDBACK_CREATE_INFO_EXT,
        .pPipelineCreationFeedback = &whole,
        .pipelineStageCreationFeedbackCount = 1,
        .pPipelineStageCreationFeedbacks = &stage,
    };
    VkShaderModule module;
    TRY_DEVICE(device, error,
               device->vk.CreateShaderModule(device->handle, &module_info, NULL, &module));
    const VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .pNext = device->caps.feedback ? &feedback : NULL,
        .stage =
            {
                .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                .pNext =
                    desc->subgroup && device->caps.info.subgroup_size_control ? &subgroup : NULL,
                .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                .module = module,
                .pName = "main",
                .pSpecializationInfo = desc->n_spec ? &spec : NULL,
            },
        .layout = kernel->layout,
    };
    const VkResult result = device->vk.CreateComputePipelines(device->handle, device->cache, 1,
                                                              &info, NULL, &kernel->pipeline);
    device->vk.DestroyShaderModule(device->handle, module, NULL);
    kernel->cached = kernel_cached(&whole);
    if (result == VK_SUCCESS) return GPU_OK;
    struct gpu_error reason;
    const enum gpu_status status =
        device_result(device, &reason, ".CreateComputePipelines(", result);
    return host_error(error, status, "kernel %s: %s", kernel->name, reason.message);
}

enum gpu_status gpu_kernel_create(struct gpu_device *device, struct gpu_kernel **out,
                                  const struct gpu_kernel_desc *desc, struct gpu_error *error)
{
    *out = NULL;
    if (atomic_load(&device->lost)) return device_lost(error);
    TRY(kernel_check(&device->caps.info, desc, error));
    struct gpu_kernel *kernel = host_new(&device->host, 1, sizeof *kernel);
    if (!kernel) return host_no_memory(error, "a kernel");
    snprintf(kernel->name, sizeof kernel->name, "%s", desc->name);
    kernel->n_buffers = desc->n_buffers;
    kernel->written = desc->written;
    kernel->texels = desc->texels;
    kernel->push_size = desc->push_size;
    enum gpu_status status = kernel_layout(device, kernel, error);
    if (status == GPU_OK) status = kernel_pipeline(device, kernel, desc, error);
    if (status != GPU_OK) {
        gpu_kernel_free(device, kernel);
        return status;
    }
    *out = kernel;
    return GPU_OK;
}

enum gpu_cached gpu_kernel_cached(const struct gpu_kernel *kernel)
{
    return kernel->cached;
}

void gpu_kernel_free(struct gpu_device *device, struct gpu_kernel *kernel)
{
    if (!kernel) return;
    if (kernel->pipeline) device->vk.DestroyPipeline(device->handle, kernel->pipeline, NULL);
    if (kernel->layout) device->vk.DestroyPipelineLayout(device->handle, kernel->layout, NULL);
    if (kernel->set_layout)
        device->vk.DestroyDescriptorSetLayout(device->handle, kernel->set_layout, NULL);
    host_free(&device->host, kernel, sizeof *kernel);
}

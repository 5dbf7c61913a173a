#include "fake_vulkan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fake fake;

/* ---- objects ---- */

struct object {
    const char *kind;
    void *data;
    VkDeviceSize size;
    bool signaled;
};

void fake_reset(const struct fake_device *devices, uint32_t n)
{
    fake =
        (struct fake){.devices = devices, .n_devices = n, .fail_with = VK_ERROR_OUT_OF_HOST_MEMORY};
}

static void *object_new(const char *kind)
{
    struct object *object = calloc(1, sizeof *object);
    if (!object) abort();
    object->kind = kind;
    fake.objects++;
    return object;
}

static void object_free(void *handle, const char *kind)
{
    struct object *object = handle;
    if (!object) return;
    if (strcmp(object->kind, kind)) {
        fake.wrong++;
        return;
    }
    free(object->data);
    free(object);
    fake.objects--;
}

static bool fake_fails(const char *name)
{
    const bool by_number = ++fake.calls == fake.fail_at;
    const bool by_name = fake.fail_name && !strcmp(fake.fail_name, name);
    if (by_number || by_name) fake.failed = name;
    return by_number || by_name;
}
#define MAY_FAIL(name)                                                                             \
    if (fake_fails("vk" #name)) return fake.fail_with

/* clang-format off */
/* vkCreateX and vkDestroyX that only count. */
#define OBJECT(X, create_name)                                                                                        \
    static VkResult VKAPI_CALL fake_##create_name(VkDevice device, const Vk##X##CreateInfo *info,                     \
                                                  const VkAllocationCallbacks *callbacks, Vk##X *out)                 \
    {                                                                                                                 \
        (void)device, (void)info, (void)callbacks;                                                                    \
        MAY_FAIL(create_name);                                                                                        \
        *out = (Vk##X)object_new(#X);                                                                                 \
        return VK_SUCCESS;                                                                                            \
    }                                                                                                                 \
    static void VKAPI_CALL fake_Destroy##X(VkDevice device, Vk##X handle, const VkAllocationCallbacks *callbacks)     \
    {                                                                                                                 \
        (void)device, (void)callbacks;                                                                                \
        object_free(handle, #X);                                                                                      \
    }
OBJECT(Fence, CreateFence)
OBJECT(PipelineCache, CreatePipelineCache)
OBJECT(ShaderModule, CreateShaderModule)
OBJECT(DescriptorSetLayout, CreateDescriptorSetLayout)
OBJECT(PipelineLayout, CreatePipelineLayout)
OBJECT(BufferView, CreateBufferView)
OBJECT(DescriptorPool, CreateDescriptorPool)
OBJECT(QueryPool, CreateQueryPool)
OBJECT(CommandPool, CreateCommandPool)
/* clang-format on */

/* ---- loader and instance ---- */

static VkResult VKAPI_CALL fake_EnumerateInstanceVersion(uint32_t *version)
{
    MAY_FAIL(EnumerateInstanceVersion);
    *version = fake.loader_api ? fake.loader_api : VK_API_VERSION_1_3;
    return VK_SUCCESS;
}

static VkResult fake_extensions(const char *const *names, uint32_t n, uint32_t *count,
                                VkExtensionProperties *out)
{
    for (uint32_t i = 0; out && i < n; i++) {
        memset(&out[i], 0, sizeof out[i]);
        snprintf(out[i].extensionName, sizeof out[i].extensionName, "%s", names[i]);
    }
    *count = n;
    return VK_SUCCESS;
}

static VkResult VKAPI_CALL fake_EnumerateInstanceExtensionProperties(const char *layer, uint32_t *n,
                                                                     VkExtensionProperties *out)
{
    static const char *const names[] = {"VK_KHR_portability_enumeration", "VK_EXT_debug_utils",
                                        "VK_EXT_validation_features"};
    (void)layer;
    MAY_FAIL(EnumerateInstanceExtensionProperties);
    return fake_extensions(names, 3, n, out);
}

static VkResult VKAPI_CALL fake_EnumerateInstanceLayerProperties(uint32_t *n,
                                                                 VkLayerProperties *out)
{
    MAY_FAIL(EnumerateInstanceLayerProperties);
    if (out) *out = (VkLayerProperties){.layerName = "VK_LAYER_KHRONOS_validation"};
    *n = 1;
    return VK_SUCCESS;
}

static VkResult VKAPI_CALL fake_CreateInstance(const VkInstanceCreateInfo *info,
                                               const VkAllocationCallbacks *callbacks,
                                               VkInstance *out)
{
    (void)info, (void)callbacks;
    MAY_FAIL(CreateInstance);
    *out = object_new("Instance");
    return VK_SUCCESS;
}

static void VKAPI_CALL fake_DestroyInstance(VkInstance instance,
                                            const VkAllocationCallbacks *callbacks)
{
    (void)callbacks;
    object_free(instance, "Instance");
}

static VkResult VKAPI_CALL fake_CreateDebugUtilsMessengerEXT(
    VkInstance instance, const VkDebugUtilsMessengerCreateInfoEXT *info,
    const VkAllocationCallbacks *callbacks, VkDebugUtilsMessengerEXT *out)
{
    (void)instance, (void)info, (void)callbacks;
    MAY_FAIL(CreateDebugUtilsMessengerEXT);
    *out = object_new("Messenger");
    return VK_SUCCESS;
}

static void VKAPI_CALL fake_DestroyDebugUtilsMessengerEXT(VkInstance instance,
                                                          VkDebugUtilsMessengerEXT messenger,
                                                          const VkAllocationCallbacks *callbacks)
{
    (void)instance, (void)callbacks;
    object_free(messenger, "Messenger");
}

/* ---- physical devices: a handle is the address of its row ---- */

static const struct fake_device *fake_row(VkPhysicalDevice physical)
{
    return (const struct fake_device *)(const void *)physical;
}

static VkResult VKAPI_CALL fake_EnumeratePhysicalDevices(VkInstance instance, uint32_t *n,
                                                         VkPhysicalDevice *out)
{
    (void)instance;
    MAY_FAIL(EnumeratePhysicalDevices);
    for (uint32_t i = 0; out && i < fake.n_devices; i++) {
        const struct fake_device *row = &fake.devices[i];
        memcpy(&out[i], &row, sizeof row);
    }
    *n = fake.n_devices;
    return VK_SUCCESS;
}

static VkResult VKAPI_CALL fake_EnumerateDeviceExtensionProperties(VkPhysicalDevice physical,
                                                                   const char *layer, uint32_t *n,
                                                                   VkExtensionProperties *out)
{
    static const char *const names[] = {"VK_KHR_cooperative_matrix", "VK_EXT_memory_budget"};
    (void)layer;
    MAY_FAIL(EnumerateDeviceExtensionProperties);
    return fake_extensions(names, fake_row(physical)->budget[0] ? 2 : 1, n, out);
}

static uint32_t or_else(uint32_t value, uint32_t otherwise)
{
    return value ? value : otherwise;
}

static void VKAPI_CALL fake_GetPhysicalDeviceProperties(VkPhysicalDevice physical,
                                                        VkPhysicalDeviceProperties *out)
{
    const struct fake_device *row = fake_row(physical);
    *out = (VkPhysicalDeviceProperties){
        .apiVersion = or_else(row->api, VK_API_VERSION_1_3),
        .driverVersion = row->driver_version,
        .vendorID = row->vendor_id,
        .deviceID = 7,
        .deviceType = row->type,
        .limits =
            {
                .maxStorageBufferRange = 1u << 30,
                .maxPushConstantsSize = 128,
                .maxPerStageDescriptorStorageBuffers = or_else(row->bindings, 16),
                .maxDescriptorSetStorageBuffers = 96,
                .maxPerStageResources = 128,
                .maxComputeSharedMemorySize = or_else(row->shared_size, 32768),
                .maxComputeWorkGroupCount = {65535, 65535, 65535},
                .maxComputeWorkGroupInvocations = or_else(row->invocations, 1024),
                .maxComputeWorkGroupSize = {1024, 1024, 64},
                .minStorageBufferOffsetAlignment = 64,
                .nonCoherentAtomSize = 64,
                .timestampPeriod = 1,
            },
    };
    snprintf(out->deviceName, sizeof out->deviceName, "%s", row->name);
}

static void VKAPI_CALL fake_GetPhysicalDeviceProperties2(VkPhysicalDevice physical,
                                                         VkPhysicalDeviceProperties2 *out)
{
    fake_GetPhysicalDeviceProperties(physical, &out->properties);
    for (VkBaseOutStructure *item = out->pNext; item; item = item->pNext) {
        if (item->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES) {
            ((VkPhysicalDeviceDriverProperties *)item)->driverID = fake_row(physical)->driver_id;
        }
    }
}

static void VKAPI_CALL fake_GetPhysicalDeviceFeatures2(VkPhysicalDevice physical,
                                                       VkPhysicalDeviceFeatures2 *out)
{
    (void)physical;
    out->features.shaderInt16 = VK_TRUE;
}

static void VKAPI_CALL fake_GetPhysicalDeviceQueueFamilyProperties(VkPhysicalDevice physical,
                                                                   uint32_t *n,
                                                                   VkQueueFamilyProperties *out)
{
    *n = 1;
    *out = (VkQueueFamilyProperties){
        .queueFlags =
            VK_QUEUE_GRAPHICS_BIT | (fake_row(physical)->no_compute ? 0 : VK_QUEUE_COMPUTE_BIT),
        .queueCount = 1,
        .timestampValidBits = 36,
    };
}

static void VKAPI_CALL fake_GetPhysicalDeviceMemoryProperties2(
    VkPhysicalDevice physical, VkPhysicalDeviceMemoryProperties2 *out)
{
    const struct fake_device *row = fake_row(physical);
    VkPhysicalDeviceMemoryProperties *memory = &out->memoryProperties;
    memset(memory, 0, sizeof *memory);
    for (; memory->memoryTypeCount < 8 && row->types[memory->memoryTypeCount].flags;
         memory->memoryTypeCount++) {
        const uint32_t i = memory->memoryTypeCount;
        memory->memoryTypes[i] = (VkMemoryType){row->types[i].flags, row->types[i].heap};
    }
    for (; memory->memoryHeapCount < 4 && row->heaps[memory->memoryHeapCount];
         memory->memoryHeapCount++) {
        const uint32_t i = memory->memoryHeapCount;
        memory->memoryHeaps[i] = (VkMemoryHeap){
            row->heaps[i], row->local_heaps >> i & 1 ? VK_MEMORY_HEAP_DEVICE_LOCAL_BIT : 0};
    }
    VkPhysicalDeviceMemoryBudgetPropertiesEXT *budget = out->pNext;
    if (budget) memcpy(budget->heapBudget, row->budget, sizeof row->budget);
}

/* ---- device ---- */

static VkResult VKAPI_CALL fake_CreateDevice(VkPhysicalDevice physical,
                                             const VkDeviceCreateInfo *info,
                                             const VkAllocationCallbacks *callbacks, VkDevice *out)
{
    (void)physical, (void)info, (void)callbacks;
    MAY_FAIL(CreateDevice);
    *out = object_new("Device");
    return VK_SUCCESS;
}

static void VKAPI_CALL fake_DestroyDevice(VkDevice device, const VkAllocationCallbacks *callbacks)
{
    (void)callbacks;
    object_free(device, "Device");
}

static void VKAPI_CALL fake_GetDeviceQueue(VkDevice device, uint32_t family, uint32_t index,
                                           VkQueue *out)
{
    (void)family, (void)index;
    memcpy(out, &device, sizeof *out);
}

static VkResult VKAPI_CALL fake_QueueSubmit(VkQueue queue, uint32_t n, const VkSubmitInfo *infos,
                                            VkFence fence)
{
    (void)queue, (void)n, (void)infos;
    MAY_FAIL(QueueSubmit);
    fake.submits++;
    ((struct object *)(void *)fence)->signaled = !fake.hold;
    return VK_SUCCESS;
}

static VkResult VKAPI_CALL fake_ResetFences(VkDevice device, uint32_t n, const VkFence *fences)
{
    (void)device;
    MAY_FAIL(ResetFences);
    for (uint32_t i = 0; i < n; i++) ((struct object *)(void *)fences[i])->signaled = false;
    return VK_SUCCESS;
}

static VkResult VKAPI_CALL fake_GetFenceStatus(VkDevice device, VkFence fence)
{
    (void)device;
    MAY_FAIL(GetFenceStatus);
    return ((struct object *)(void *)fence)->signaled ? VK_SUCCESS : VK_NOT_READY;
}

static VkResult VKAPI_CALL fake_WaitForFences(VkDevice device, uint32_t n, const VkFence *fences,
                                              VkBool32 all, uint64_t timeout)
{
    (void)device, (void)n, (void)all, (void)timeout;
    MAY_FAIL(WaitForFences);
    return ((struct object *)(void *)fences[0])->signaled ? VK_SUCCESS : VK_TIMEOUT;
}

/* ---- memory ---- */

static VkResult VKAPI_CALL fake_AllocateMemory(VkDevice device, const VkMemoryAllocateInfo *info,
                                               const VkAllocationCallbacks *callbacks,
                                               VkDeviceMemory *out)
{
    (void)device, (void)callbacks;
    MAY_FAIL(AllocateMemory);
    struct object *object = object_new("Memory");
    object->size = info->allocationSize;
    *out = (VkDeviceMemory)(void *)object;
    return VK_SUCCESS;
}

static void VKAPI_CALL fake_FreeMemory(VkDevice device, VkDeviceMemory memory,
                                       const VkAllocationCallbacks *callbacks)
{
    (void)device, (void)callbacks;
    object_free(memory, "Memory");
}

static VkResult VKAPI_CALL fake_MapMemory(VkDevice device, VkDeviceMemory memory,
                                          VkDeviceSize offset, VkDeviceSize size,
                                          VkMemoryMapFlags flags, void **out)
{
    (void)device, (void)offset, (void)size, (void)flags;
    MAY_FAIL(MapMemory);
    struct object *object = (void *)memory;
    object->data = malloc(object->size);
    if (!object->data) abort();
    *out = object->data;
    return VK_SUCCESS;
}

static VkResult VKAPI_CALL fake_CreateBuffer(VkDevice device, const VkBufferCreateInfo *info,
                                             const VkAllocationCallbacks *callbacks, VkBuffer *out)
{
    (void)device, (void)callbacks;
    MAY_FAIL(CreateBuffer);
    struct object *object = object_new("Buffer");
    object->size = info->size;
    *out = (VkBuffer)(void *)object;
    return VK_SUCCESS;
}

static void VKAPI_CALL fake_DestroyBuffer(VkDevice device, VkBuffer buffer,
                                          const VkAllocationCallbacks *callbacks)
{
    (void)device, (void)callbacks;
    object_free(buffer, "Buffer");
}

static void VKAPI_CALL fake_GetBufferMemoryRequirements(VkDevice device, VkBuffer buffer,
                                                        VkMemoryRequirements *out)
{
    (void)device;
    const struct object *object = (const void *)buffer;
    *out = (VkMemoryRequirements){.size = object->size, .alignment = 32, .memoryTypeBits = 0xFF};
}

static VkResult VKAPI_CALL fake_BindBufferMemory(VkDevice device, VkBuffer buffer,
                                                 VkDeviceMemory memory, VkDeviceSize offset)
{
    (void)device, (void)buffer, (void)memory, (void)offset;
    MAY_FAIL(BindBufferMemory);
    return VK_SUCCESS;
}

/* ---- pipelines and commands ---- */

static VkResult VKAPI_CALL fake_GetPipelineCacheData(VkDevice device, VkPipelineCache cache,
                                                     size_t *size, void *out)
{
    (void)device, (void)cache;
    MAY_FAIL(GetPipelineCacheData);
    if (out) memset(out, 1, 40);
    *size = 40;
    return VK_SUCCESS;
}

static VkResult VKAPI_CALL fake_CreateComputePipelines(VkDevice device, VkPipelineCache cache,
                                                       uint32_t n,
                                                       const VkComputePipelineCreateInfo *infos,
                                                       const VkAllocationCallbacks *callbacks,
                                                       VkPipeline *out)
{
    (void)device, (void)cache, (void)n, (void)callbacks;
    *out = VK_NULL_HANDLE;
    MAY_FAIL(CreateComputePipelines);
    const VkPipelineCreationFeedbackCreateInfoEXT *f = infos->pNext;
    if (f && f->sType == VK_STRUCTURE_TYPE_PIPELINE_CREATION_FEEDBACK_CREATE_INFO_EXT)
        f->pPipelineCreationFeedback->flags = fake.feedback;
    *out = object_new("Pipeline");
    return VK_SUCCESS;
}

static void VKAPI_CALL fake_DestroyPipeline(VkDevice device, VkPipeline pipeline,
                                            const VkAllocationCallbacks *callbacks)
{
    (void)device, (void)callbacks;
    object_free(pipeline, "Pipeline");
}

static VkResult VKAPI_CALL fake_AllocateDescriptorSets(VkDevice device,
                                                       const VkDescriptorSetAllocateInfo *info,
                                                       VkDescriptorSet *out)
{
    (void)device;
    MAY_FAIL(AllocateDescriptorSets);
    *out = (VkDescriptorSet)(void *)info->descriptorPool;
    return VK_SUCCESS;
}

static VkResult VKAPI_CALL fake_AllocateCommandBuffers(VkDevice device,
                                                       const VkCommandBufferAllocateInfo *info,
                                                       VkCommandBuffer *out)
{
    (void)device;
    MAY_FAIL(AllocateCommandBuffers);
    *out = (VkCommandBuffer)(void *)info->commandPool;
    return VK_SUCCESS;
}

static VkResult VKAPI_CALL fake_BeginCommandBuffer(VkCommandBuffer buffer,
                                                   const VkCommandBufferBeginInfo *info)
{
    (void)buffer, (void)info;
    MAY_FAIL(BeginCommandBuffer);
    return VK_SUCCESS;
}

static VkResult VKAPI_CALL fake_EndCommandBuffer(VkCommandBuffer buffer)
{
    (void)buffer;
    MAY_FAIL(EndCommandBuffer);
    return VK_SUCCESS;
}

static VkResult VKAPI_CALL fake_GetQueryPoolResults(VkDevice device, VkQueryPool pool,
                                                    uint32_t first, uint32_t n, size_t size,
                                                    void *out, VkDeviceSize stride,
                                                    VkQueryResultFlags flags)
{
    (void)device, (void)pool, (void)first, (void)n, (void)size, (void)stride, (void)flags;
    MAY_FAIL(GetQueryPoolResults);
    /* A counter of 36 bits that wraps round between the two. */
    memcpy(out, &(uint64_t[2]){(1ull << 36) - 100, 900}, 16);
    return VK_SUCCESS;
}

static void VKAPI_CALL fake_CmdDispatch(VkCommandBuffer buffer, uint32_t x, uint32_t y, uint32_t z)
{
    (void)buffer, (void)x, (void)y, (void)z;
    fake.dispatches++;
}

static void VKAPI_CALL fake_CmdCopyBuffer(VkCommandBuffer buffer, VkBuffer from, VkBuffer to,
                                          uint32_t n, const VkBufferCopy *regions)
{
    const struct object *source = (const void *)from, *target = (const void *)to;
    (void)buffer, (void)n, (void)regions;
    if (strcmp(source->kind, "Buffer") || strcmp(target->kind, "Buffer")) fake.wrong++;
    fake.copies++;
}

/* Called through a pointer of another type, with its arguments left where they are: fits the
 * calling conventions of the machines that tests run on. */
static void VKAPI_CALL fake_nothing(void)
{
}
/* clang-format off */
#define fake_UpdateDescriptorSets fake_nothing
#define fake_CmdBindPipeline fake_nothing
#define fake_CmdBindDescriptorSets fake_nothing
#define fake_CmdPushConstants fake_nothing
#define fake_CmdDispatchIndirect fake_nothing
#define fake_CmdFillBuffer fake_nothing
#define fake_CmdPipelineBarrier fake_nothing
#define fake_CmdResetQueryPool fake_nothing
#define fake_CmdWriteTimestamp fake_nothing
/* clang-format on */

static PFN_vkVoidFunction VKAPI_CALL fake_GetDeviceProcAddr(VkDevice device, const char *name)
{
    (void)device;
    return fake_get_instance_proc_addr(NULL, name);
}

PFN_vkVoidFunction VKAPI_CALL fake_get_instance_proc_addr(VkInstance instance, const char *name)
{
    (void)instance;
#define ROW(function) {"vk" #function, (PFN_vkVoidFunction)fake_##function},
    static const struct {
        const char *name;
        PFN_vkVoidFunction function;
    } rows[] = {VK_GLOBAL(ROW) VK_INSTANCE(ROW) VK_INSTANCE_OPTIONAL(ROW) VK_DEVICE(ROW)};
#undef ROW
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].name, name)) continue;
        const bool last_aid =
            !strcmp(name, "vkDestroyInstance") || !strcmp(name, "vkDestroyDevice");
        if (last_aid || ++fake.lookups != fake.missing_at) return rows[i].function;
        fake.failed = rows[i].name;
        return NULL;
    }
    return NULL;
}

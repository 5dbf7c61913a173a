/* vk.h - private to this folder: the Vulkan functions in use and the structs behind gpu.h. */
#ifndef VK_H
#define VK_H

#ifndef VK_NO_PROTOTYPES
#define VK_NO_PROTOTYPES
#endif
#include <stdatomic.h>
#include <vulkan/vulkan_core.h>

#include "gpu.h"

#define MIB (1024ull * 1024)

/* clang-format off */
/* Every Vulkan function that is called, without its vk. The tables are filled by loader.c. */
#define VK_GLOBAL(X)                                                                               \
    X(EnumerateInstanceVersion) X(EnumerateInstanceExtensionProperties)                            \
    X(EnumerateInstanceLayerProperties) X(CreateInstance)
#define VK_INSTANCE(X)                                                                             \
    X(DestroyInstance) X(EnumeratePhysicalDevices) X(EnumerateDeviceExtensionProperties)           \
    X(GetPhysicalDeviceProperties) X(GetPhysicalDeviceProperties2) X(GetPhysicalDeviceFeatures2)   \
    X(GetPhysicalDeviceQueueFamilyProperties) X(GetPhysicalDeviceMemoryProperties2)                \
    X(CreateDevice) X(GetDeviceProcAddr)
#define VK_INSTANCE_OPTIONAL(X) X(CreateDebugUtilsMessengerEXT) X(DestroyDebugUtilsMessengerEXT)
#define VK_DEVICE(X)                                                                               \
    X(DestroyDevice) X(GetDeviceQueue) X(QueueSubmit) X(AllocateMemory) X(FreeMemory)              \
    X(MapMemory) X(CreateBuffer) X(DestroyBuffer) X(GetBufferMemoryRequirements)                   \
    X(BindBufferMemory) X(CreateFence) X(DestroyFence) X(ResetFences) X(GetFenceStatus)            \
    X(WaitForFences) X(CreatePipelineCache) X(DestroyPipelineCache) X(GetPipelineCacheData)        \
    X(CreateShaderModule) X(DestroyShaderModule) X(CreateDescriptorSetLayout)                      \
    X(DestroyDescriptorSetLayout) X(CreatePipelineLayout) X(DestroyPipelineLayout)                 \
    X(CreateBufferView) X(DestroyBufferView) \
    X(CreateComputePipelines) X(DestroyPipeline) X(CreateDescriptorPool)                           \
    X(DestroyDescriptorPool) X(AllocateDescriptorSets) X(UpdateDescriptorSets)                     \
    X(CreateQueryPool) X(DestroyQueryPool) X(GetQueryPoolResults) X(CreateCommandPool)             \
    X(DestroyCommandPool) X(AllocateCommandBuffers) X(BeginCommandBuffer) X(EndCommandBuffer)      \
    X(CmdBindPipeline) X(CmdBindDescriptorSets) X(CmdPushConstants) X(CmdDispatch)                 \
    X(CmdDispatchIndirect) X(CmdCopyBuffer) X(CmdFillBuffer) X(CmdPipelineBarrier)                 \
    X(CmdResetQueryPool) X(CmdWriteTimestamp)

#define VK_MEMBER(name) PFN_vk##name name;
struct global_functions {
    PFN_vkGetInstanceProcAddr get;
    VK_GLOBAL(VK_MEMBER)
};
struct instance_functions {
    VK_INSTANCE(VK_MEMBER)
    VK_INSTANCE_OPTIONAL(VK_MEMBER)
};
struct device_functions {
    VK_DEVICE(VK_MEMBER)
};
#undef VK_MEMBER
/* clang-format on */

/* ---- host.c: memory, locks, log and errors ---- */

void host_init(struct gpu_host *out, const struct gpu_host *host);
void *host_new(const struct gpu_host *host, size_t n,
               size_t size); /* zeroed; NULL also on overflow */
void host_free(const struct gpu_host *host, void *ptr, size_t size);
/* As alloc_grow of the runtime: the old array stays when there is no memory. */
void *host_grow(const struct gpu_host *host, void *items, size_t *capacity, size_t n,
                size_t item_size);
void host_log(const struct gpu_host *host, int level, const char *text);

#if defined __GNUC__
__attribute__((format(printf, 3, 4)))
#endif
enum gpu_status
host_error(struct gpu_error *error, enum gpu_status status, const char *format, ...);
enum gpu_status host_no_memory(struct gpu_error *error, const char *what);
/* The status and the words for a failed call, whose text is #call. */
enum gpu_status host_result(struct gpu_error *error, const char *call, VkResult result);

#define TRY(call)                                                                                  \
    do {                                                                                           \
        enum gpu_status try_status_ = (call);                                                      \
        if (try_status_ != GPU_OK) return try_status_;                                             \
    } while (0)
#define TRY_VK(error, call)                                                                        \
    do {                                                                                           \
        VkResult result_ = (call);                                                                 \
        if (result_ < 0) return host_result(error, #call, result_);                                \
    } while (0)
/* The same for a call on a device, which remembers that it was lost. */
#define TRY_DEVICE(device, error, call)                                                            \
    do {                                                                                           \
        VkResult result_ = (call);                                                                 \
        if (result_ < 0) return device_result(device, error, #call, result_);                      \
    } while (0)

/* ---- loader.c ---- */

/* As gpu_open, through a vkGetInstanceProcAddr of the caller's. */
enum gpu_status loader_open(struct gpu **out, const struct gpu_host *host,
                            PFN_vkGetInstanceProcAddr get, struct gpu_error *error);
enum gpu_status loader_instance(struct instance_functions *out, PFN_vkGetInstanceProcAddr get,
                                VkInstance instance, struct gpu_error *error);
enum gpu_status loader_device(struct device_functions *out, const struct instance_functions *vki,
                              VkDevice device, struct gpu_error *error);

/* ---- caps.c ---- */

enum { CAPS_MAX_EXTENSIONS = 12 };

/* What a physical device is and can. */
struct caps {
    struct gpu_info info;
    VkPhysicalDevice physical;
    VkPhysicalDeviceMemoryProperties memory;
    uint32_t heap; /* the largest device-local one */
    uint32_t family, timestamp_bits;
    double timestamp_period; /* nanoseconds */
    uint64_t max_allocation; /* bytes of one buffer */
    uint64_t alignment;      /* of a buffer in its block */
    uint32_t max_groups[3];
    uint8_t cache_uuid[VK_UUID_SIZE];
    bool budget;           /* VK_EXT_memory_budget */
    bool feedback;         /* VK_EXT_pipeline_creation_feedback */
    uint32_t n_extensions; /* to enable */
    const char *extensions[CAPS_MAX_EXTENSIONS];
};

/* The structs of VK_KHR_cooperative_matrix, which headers before 1.3.255 lack. */
struct caps_matrix_features {
    VkStructureType sType;
    void *pNext;
    VkBool32 cooperativeMatrix, cooperativeMatrixRobustBufferAccess;
};

struct caps_features {
    VkPhysicalDeviceFeatures2 base;
    VkPhysicalDevice16BitStorageFeatures storage16;
    VkPhysicalDevice8BitStorageFeatures storage8;
    VkPhysicalDeviceShaderFloat16Int8Features small;
    VkPhysicalDeviceShaderIntegerDotProductFeatures dot;
    VkPhysicalDeviceSubgroupSizeControlFeatures subgroup;
    VkPhysicalDeviceVulkanMemoryModelFeatures model;
    struct caps_matrix_features matrix;
};

/* GPU_NO_DEVICE where it lacks what T0 needs. lent may be NULL; api is what the instance was made
 * for. */
enum gpu_status caps_read(struct caps *out, const struct instance_functions *vki,
                          VkPhysicalDevice physical, uint32_t api, const struct gpu_host *host,
                          const struct gpu_lent *lent, struct gpu_error *error);
/* The features to enable: the chain starts at &out->base. */
void caps_enable(const struct caps *caps, struct caps_features *out);
/* Bytes left in a heap, of which this device has taken so many itself. */
uint64_t caps_available(const struct caps *caps, const struct instance_functions *vki,
                        uint32_t heap, uint64_t taken);

/* ---- memory.c ---- */

#define MEMORY_KINDS (GPU_MEMORY_HOST + 1)

struct memory_range {
    uint64_t offset, size;
};

struct memory_block {
    VkDeviceMemory memory; /* null: the slot is free */
    uint64_t size;
    char *map;
    enum gpu_memory kind;
    uint32_t n_buffers;
    struct memory_range *free; /* by offset; capacity for n_buffers + 1 */
    size_t n_free, capacity;
};

struct memory {
    uint32_t type[MEMORY_KINDS];
    uint64_t block_size[MEMORY_KINDS];
    uint64_t alignment;
    uint64_t taken[VK_MAX_MEMORY_HEAPS];
    struct memory_block *blocks;
    size_t n_blocks, capacity;
};

/* The index of the best memory type of those in bits, UINT32_MAX if there is none. */
uint32_t memory_type(const struct caps *caps, uint32_t bits, enum gpu_memory kind);
bool memory_unified(const struct caps *caps);
enum gpu_status memory_init(struct gpu_device *device, struct gpu_error *error);
void memory_free(struct gpu_device *device);

/* ---- submit.c ---- */

struct submit_pending {
    VkFence fence;
    uint64_t ticket;
    uint32_t waiters; /* a fence is not used again while somebody waits for it */
};

struct submit {
    struct submit_pending *pending; /* by ticket */
    size_t n_pending, pending_capacity;
    VkFence *fences; /* free ones */
    size_t n_fences, fences_capacity;
    uint64_t last; /* ticket */
    _Atomic uint64_t done;
};

enum gpu_status submit_buffers(struct gpu_device *device, const VkCommandBuffer *buffers,
                               uint32_t n, uint64_t *ticket, struct gpu_error *error);
void submit_free(struct gpu_device *device); /* waits for all */

/* ---- device.c ---- */

struct gpu {
    struct gpu_host host;
    struct instance_functions vk;
    VkInstance instance;
    VkDebugUtilsMessengerEXT messenger;
    uint32_t api;
    uint32_t n, capacity;
    struct caps *devices;
};

struct gpu_device {
    struct gpu_host host;
    void *lock; /* memory, submission; may be NULL */
    struct instance_functions vki;
    struct device_functions vk;
    struct caps caps;
    VkDevice handle;
    VkQueue queue;
    bool lent;
    void (*lent_lock)(void *user);
    void (*lent_unlock)(void *user);
    void *lent_user;
    struct memory memory;
    struct submit submit;
    VkPipelineCache cache;
    atomic_bool lost;
};

enum gpu_status device_result(struct gpu_device *device, struct gpu_error *error, const char *call,
                              VkResult result);
enum gpu_status device_lost(struct gpu_error *error);
void device_lock(struct gpu_device *device);
void device_unlock(struct gpu_device *device);

/* ---- kernel.c ---- */

struct gpu_kernel {
    char name[64];
    uint32_t n_buffers, written, texels, push_size;
    enum gpu_cached cached;
    VkDescriptorSetLayout set_layout; /* null where there are no buffers */
    VkPipelineLayout layout;
    VkPipeline pipeline;
};

void kernel_cache_open(struct gpu_device *device, const void *bytes, size_t size);

/* ---- commands.c, profile.c ---- */

/* A range that was used since the last barrier, in a build that checks. */
struct commands_use {
    const char *name;
    uint64_t buffer, begin, end;
    bool write;
};

struct gpu_commands {
    struct gpu_device *device;
    VkCommandPool pool;
    VkCommandBuffer buffer;
    bool profile, again, ended;
    enum gpu_status status; /* of recording; the first error stays */
    struct gpu_error error;
    uint32_t n_dispatches;
    uint64_t ticket; /* of its last submission */

    VkDescriptorPool *set_pools; /* the last one has room */
    size_t n_set_pools, set_pools_capacity;
    uint32_t sets_left, descriptors_left;
    VkBufferView *views; /* of texel buffers */
    size_t n_views, views_capacity;

    const char **names; /* with profile: of each dispatch */
    size_t names_capacity;
    VkQueryPool *query_pools;
    size_t n_query_pools, query_pools_capacity;

    struct commands_use *uses;
    size_t n_uses, uses_capacity;
};

/* Called before and after a dispatch is recorded. */
enum gpu_status profile_before(struct gpu_commands *c, const char *name, struct gpu_error *error);
void profile_after(struct gpu_commands *c);
void profile_free(struct gpu_device *device, struct gpu_commands *c);

#endif

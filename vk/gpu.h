/* gpu.h - drive a GPU through Vulkan compute. The only header of this folder that others include;
 * knows nothing of language models. Vulkan itself is opened at run time (volk), 1.1 is enough.
 *
 * Threads: create and free of buffers, kernels and command lists, and submission, may run on
 * different threads at once (the host's lock is taken where Vulkan or our lists want it); one
 * object is used by one thread at a time.
 */
#ifndef GPU_H
#define GPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum gpu_status {
    GPU_OK,
    GPU_NOT_READY,     /* only of gpu_done and gpu_wait */
    GPU_NO_DEVICE,     /* no loader, no driver, no such index, or the device lacks what T0 needs */
    GPU_OUT_OF_MEMORY, /* host or device; the numbers are in the message */
    GPU_LOST,          /* the device is lost; everything of it fails from now on */
    GPU_UNSUPPORTED,
    GPU_FAILED /* any other VkResult, named in the message */
};

struct gpu_error {
    char message[400];
};

/* What the host gives: memory, and a recursive or plain lock of its own. All may be NULL. */
struct gpu_host {
    void *(*realloc)(void *user, void *ptr, size_t old_size, size_t new_size);
    void *realloc_user;
    void *(*lock_create)(void);
    void (*lock_free)(void *lock);
    void (*lock)(void *lock);
    void (*unlock)(void *lock);
    void (*log)(void *user, int level,
                const char *text); /* validation messages too; levels as in llm.h */
    void *log_user;
    bool validation; /* ask for the Khronos validation layer, synchronization validation included */
};

/* ---- devices ---- */

enum gpu_type { GPU_DISCRETE, GPU_INTEGRATED, GPU_VIRTUAL, GPU_CPU, GPU_OTHER };

struct gpu_info {
    char name[256], vendor[32], driver[256];
    enum gpu_type type;
    uint32_t api_version; /* VK_MAKE_API_VERSION */
    uint32_t vendor_id, device_id, driver_id, driver_version;
    uint8_t device_uuid[16], driver_uuid[16];
    uint64_t memory;    /* bytes: the device-local heap; of a CPU device the machine's memory */
    uint64_t available; /* of it, by VK_EXT_memory_budget or /proc/meminfo where they exist, else
                           memory */
    /* limits */
    uint64_t binding_size;     /* maxStorageBufferRange */
    uint64_t allocation_size;  /* the largest single allocation, at most 1 GiB */
    uint32_t offset_alignment; /* minStorageBufferOffsetAlignment */
    uint32_t shared_size;      /* bytes of shared memory */
    uint32_t invocations;      /* of one workgroup */
    uint32_t bindings;         /* storage buffers a stage */
    uint32_t push_size;
    uint32_t subgroup, subgroup_min, subgroup_max;
    bool unified; /* host and device share their memory: every buffer is mapped */
    bool timestamps;
    /* capabilities of tiers above T0, and quirks; data, never a vendor test elsewhere */
    bool storage16, storage8, float16, int8, int16, int64, int_dot, subgroup_arithmetic,
        subgroup_shuffle, subgroup_size_control, cooperative_matrix;
    bool int_dot_fast; /* packed signed bytes by an instruction of the device's own */
    bool software; /* compiled for a CPU: llvmpipe, SwiftShader; wants one subgroup a workgroup */
    bool texel_loads;  /* texel buffers are read far faster than storage buffers (llvmpipe: by whole
                          texels, not words) */
    uint32_t texels;   /* maxTexelBufferElements */
    bool no_unrolling; /* loops stay loops, and arrays that they index stay in memory (SwiftShader)
                        */
    bool loop_limit;   /* loops stop after 65,535 back-edges (llvmpipe before Mesa 25) */
};

struct gpu;
/* Opens the Vulkan loader and enumerates; GPU_NO_DEVICE without one, the message says what to
 * install. Devices are sorted best first: discrete, integrated, virtual, cpu, other; within a type
 * by memory. Portability drivers are listed, too. */
enum gpu_status gpu_open(struct gpu **out, const struct gpu_host *host, struct gpu_error *error);
void gpu_close(struct gpu *gpu);
uint32_t gpu_count(const struct gpu *gpu);
/* Refreshes .available. */
const struct gpu_info *gpu_info(struct gpu *gpu, uint32_t index);

struct gpu_device;
/* A device that the host lends; see struct llm_vulkan_device for the meaning of its fields. */
struct gpu_lent {
    uint32_t api_version;
    void *get_instance_proc_addr, *instance, *physical_device, *device, *queue;
    uint32_t queue_family, n_extensions;
    const char *const *extensions;
    const void *features;
    void (*lock)(void *user);
    void (*unlock)(void *user);
    void *user;
};
/* cache: bytes of an earlier gpu_device_cache, or NULL; foreign or damaged ones are ignored. */
enum gpu_status gpu_device_open(struct gpu_device **out, struct gpu *gpu, uint32_t index,
                                const void *cache, size_t cache_size, struct gpu_error *error);
/* gpu may be NULL; the host's memory and lock come from host. */
enum gpu_status gpu_device_borrow(struct gpu_device **out, const struct gpu_host *host,
                                  const struct gpu_lent *lent, struct gpu_error *error);
/* Waits for what is in flight. Everything made from it must be freed before. */
void gpu_device_close(struct gpu_device *device);
const struct gpu_info *gpu_device_info(const struct gpu_device *device);
/* The pipeline cache, allocated with the host's realloc (free with gpu_free_bytes); *size 0 where
 * there is nothing. */
enum gpu_status gpu_device_cache(struct gpu_device *device, void **bytes, size_t *size,
                                 struct gpu_error *error);
void gpu_free_bytes(struct gpu_device *device, void *bytes, size_t size);

/* ---- buffers ---- */

enum gpu_memory {
    GPU_MEMORY_DEVICE, /* weights, cache, scratch: device-local; on unified memory also mapped */
    GPU_MEMORY_STEP, /* written by the host for each step, read by shaders and indirect dispatches;
                        mapped, coherent */
    GPU_MEMORY_READBACK, /* written by the device, read by the host; mapped, cached where there is
                            such */
    GPU_MEMORY_HOST      /* as DEVICE, but in host memory: weights that do not fit */
};

/* A buffer has its own VkBuffer; its memory comes from blocks shared with others of its kind.
 * Contents start undefined. */
struct gpu_buffer {
    uint64_t size;
    void *map; /* NULL where the host cannot see it; stays mapped */
    enum gpu_memory memory;
    /* the rest is private to vk/ */
    uint64_t handle, allocation_offset;
    uint32_t block;
};

/* Bytes that a buffer of this size takes of the device. */
uint64_t gpu_buffer_cost(const struct gpu_device *device, uint64_t size, enum gpu_memory memory);
enum gpu_status gpu_buffer_create(struct gpu_device *device, struct gpu_buffer *out, uint64_t size,
                                  enum gpu_memory memory, struct gpu_error *error);
void gpu_buffer_free(struct gpu_device *device,
                     struct gpu_buffer *buffer); /* zeroed ones are ignored; zeroes it */

/* Streaming data to buffers: take a piece of writable memory, fill it, give it back; the copy (none
 * on mapped memory) is under way when the call returns and finished after gpu_upload_finish. One
 * thread per struct. */
struct gpu_upload;
enum gpu_status gpu_upload_create(struct gpu_device *device, struct gpu_upload **out,
                                  struct gpu_error *error);
/* size at most gpu_upload_piece(). The memory is written, never read. */
size_t gpu_upload_piece(const struct gpu_upload *upload);
enum gpu_status gpu_upload_begin(struct gpu_upload *upload, struct gpu_buffer *to, uint64_t offset,
                                 size_t size, void **memory, struct gpu_error *error);
enum gpu_status gpu_upload_end(struct gpu_upload *upload, struct gpu_error *error);
enum gpu_status gpu_upload_finish(struct gpu_upload *upload, struct gpu_error *error);
void gpu_upload_free(struct gpu_upload *upload); /* waits */

/* ---- kernels ---- */

/* A SPIR-V module with its specialization. Local sizes are specialization constants like others. */
struct gpu_kernel_desc {
    const char *name;
    const uint32_t *spirv;
    size_t spirv_size;  /* bytes */
    uint32_t n_buffers; /* storage buffers, set 0, bindings 0.. */
    uint32_t written;   /* bit per binding that it writes */
    uint32_t texels;    /* bit per binding that it reads as a storage texel buffer of
                           R32G32B32A32_UINT, not as storage */
    uint32_t push_size; /* bytes */
    uint32_t n_spec;    /* specialization constants, ids 0.. */
    const uint32_t *spec;
    uint32_t subgroup; /* required subgroup size, 0: the driver's choice */
};

struct gpu_kernel;
enum gpu_status gpu_kernel_create(struct gpu_device *device, struct gpu_kernel **out,
                                  const struct gpu_kernel_desc *desc, struct gpu_error *error);
void gpu_kernel_free(struct gpu_device *device, struct gpu_kernel *kernel);
/* What the driver says of how it was made (VK_EXT_pipeline_creation_feedback). */
enum gpu_cached { GPU_CACHED_UNKNOWN, GPU_CACHED_NO, GPU_CACHED_YES };
enum gpu_cached gpu_kernel_cached(const struct gpu_kernel *kernel);

/* ---- recording ---- */

struct gpu_range {
    const struct gpu_buffer *buffer;
    uint64_t offset; /* multiple of offset_alignment */
    uint64_t size;   /* at most binding_size; 0: to the end */
};

/* One primary command buffer with the descriptor sets and timestamps of what it holds: recorded
 * once, submitted again and again, while it is pending only where that was asked for. Errors in
 * recording are kept and reported by gpu_commands_end. */
struct gpu_commands;
enum gpu_commands_flags {
    GPU_COMMANDS_TIMED = 1, /* for gpu_commands_time */
    GPU_COMMANDS_AGAIN = 2  /* may be submitted while it is pending */
};
enum gpu_status gpu_commands_create(struct gpu_device *device, struct gpu_commands **out,
                                    uint32_t flags, struct gpu_error *error);
/* Of a list that is NULL, this and what follows up to gpu_commands_fill record nothing. */
void gpu_commands_dispatch(struct gpu_commands *c, const struct gpu_kernel *kernel,
                           const struct gpu_range *ranges, const void *push, uint32_t x, uint32_t y,
                           uint32_t z);
/* The three counts are read from the buffer, which is GPU_MEMORY_STEP or was written before the
 * last barrier. */
void gpu_commands_dispatch_indirect(struct gpu_commands *c, const struct gpu_kernel *kernel,
                                    const struct gpu_range *ranges, const void *push,
                                    const struct gpu_buffer *counts, uint64_t offset);
/* Whatever follows sees what came before, shader and transfer alike. A debug build (GPU_CHECK)
 * fails a recording in which something between two barriers reads or writes what something else
 * there writes. Each list ends with a barrier. */
void gpu_commands_barrier(struct gpu_commands *c);
void gpu_commands_copy(struct gpu_commands *c, const struct gpu_buffer *from, uint64_t from_offset,
                       const struct gpu_buffer *to, uint64_t to_offset, uint64_t size);
void gpu_commands_fill(struct gpu_commands *c, const struct gpu_buffer *to, uint64_t offset,
                       uint64_t size, uint32_t value);
/* Makes device writes visible to the host (before reading a READBACK buffer), and ends. */
enum gpu_status gpu_commands_end(struct gpu_commands *c, struct gpu_error *error);
void gpu_commands_free(struct gpu_device *device, struct gpu_commands *c); /* waits */
uint32_t gpu_commands_count(const struct gpu_commands *c);                 /* dispatches in it */
/* After it has run, with GPU_COMMANDS_TIMED: name and nanoseconds of dispatch i; 0 ns where there
 * are no timestamps. */
const char *gpu_commands_time(struct gpu_commands *c, uint32_t i, double *nanoseconds);

/* ---- submission ---- */

/* A ticket stands for one submission; tickets of a device are done in order. 0 is done from the
 * start. */
enum gpu_status gpu_submit(struct gpu_device *device, struct gpu_commands *const *list, uint32_t n,
                           uint64_t *ticket, struct gpu_error *error);
/* GPU_OK, GPU_NOT_READY, or GPU_LOST. Never waits. */
enum gpu_status gpu_done(struct gpu_device *device, uint64_t ticket);
/* Waits for at most so many nanoseconds. */
enum gpu_status gpu_wait(struct gpu_device *device, uint64_t ticket, uint64_t nanoseconds,
                         struct gpu_error *error);

#endif

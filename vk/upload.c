/* upload.c - stream data into buffers: straight into mapped memory, else through two staging
 * buffers in turn. */
#include <inttypes.h>
#include <string.h>

#include "vk.h"

enum { STAGES = 2 };

struct upload_stage {
    struct gpu_buffer buffer;
    VkCommandBuffer commands;
    uint64_t ticket; /* of the copy from it that is under way */
};

struct gpu_upload {
    struct gpu_device *device;
    VkCommandPool pool;
    struct upload_stage stages[STAGES];
    uint32_t next;
    /* between begin and end */
    struct gpu_buffer *to;
    uint64_t offset;
    size_t size;
};

static const uint64_t upload_piece = 8 * MIB;

/* What staging needs is made when the first buffer is met that is not mapped. */
static enum gpu_status upload_staging(struct gpu_upload *u, struct gpu_error *error)
{
    struct gpu_device *device = u->device;
    if (u->stages[STAGES - 1].commands) return GPU_OK;
    if (!u->pool) {
        const VkCommandPoolCreateInfo info = {
            .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
            .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT |
                     VK_COMMAND_POOL_CREATE_TRANSIENT_BIT,
            .queueFamilyIndex = device->caps.family,
        };
        TRY_DEVICE(device, error,
                   device->vk.CreateCommandPool(device->handle, &info, NULL, &u->pool));
    }
    for (uint32_t i = 0; i < STAGES; i++) {
        struct upload_stage *stage = &u->stages[i];
        if (!stage->buffer.handle) {
            TRY(gpu_buffer_create(device, &stage->buffer, upload_piece, GPU_MEMORY_HOST, error));
        }
        if (stage->commands) continue;
        const VkCommandBufferAllocateInfo info = {
            .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
            .commandPool = u->pool,
            .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
            .commandBufferCount = 1,
        };
        TRY_DEVICE(device, error,
                   device->vk.AllocateCommandBuffers(device->handle, &info, &stage->commands));
    }
    return GPU_OK;
}

enum gpu_status gpu_upload_create(struct gpu_device *device, struct gpu_upload **out,
                                  struct gpu_error *error)
{
    *out = NULL;
    if (atomic_load(&device->lost)) return device_lost(error);
    struct gpu_upload *u = host_new(&device->host, 1, sizeof *u);
    if (!u) return host_no_memory(error, "an upload");
    u->device = device;
    *out = u;
    return GPU_OK;
}

size_t gpu_upload_piece(const struct gpu_upload *upload)
{
    (void)upload;
    return upload_piece;
}

enum gpu_status gpu_upload_begin(struct gpu_upload *upload, struct gpu_buffer *to, uint64_t offset,
                                 size_t size, void **memory, struct gpu_error *error)
{
    *memory = NULL;
    if (atomic_load(&upload->device->lost)) return device_lost(error);
    if (upload->to)
        return host_error(error, GPU_FAILED, "an upload begins before the last one ends");
    if (size > upload_piece || offset > to->size || size > to->size - offset) {
        return host_error(error, GPU_FAILED,
                          "upload of %zu bytes (at most %" PRIu64 ") to %" PRIu64 " of %" PRIu64,
                          size, upload_piece, offset, to->size);
    }
    if (to->map) {
        *memory = (char *)to->map + offset;
    } else {
        TRY(upload_staging(upload, error));
        TRY(gpu_wait(upload->device, upload->stages[upload->next].ticket, UINT64_MAX, error));
        *memory = upload->stages[upload->next].buffer.map;
    }
    upload->to = to;
    upload->offset = offset;
    upload->size = size;
    return GPU_OK;
}

/* The copy, and a barrier for the submissions that follow. */
static enum gpu_status upload_record(struct gpu_upload *u, const struct upload_stage *stage,
                                     const struct gpu_buffer *to, struct gpu_error *error)
{
    struct gpu_device *device = u->device;
    const VkCommandBufferBeginInfo begin = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
        .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT,
    };
    const VkBufferCopy region = {0, u->offset, u->size};
    const VkMemoryBarrier barrier = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT |
                         VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT |
                         VK_ACCESS_INDIRECT_COMMAND_READ_BIT,
    };
    TRY_DEVICE(device, error, device->vk.BeginCommandBuffer(stage->commands, &begin));
    device->vk.CmdCopyBuffer(stage->commands, (VkBuffer)stage->buffer.handle, (VkBuffer)to->handle,
                             1, &region);
    device->vk.CmdPipelineBarrier(stage->commands, VK_PIPELINE_STAGE_TRANSFER_BIT,
                                  VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT |
                                      VK_PIPELINE_STAGE_TRANSFER_BIT |
                                      VK_PIPELINE_STAGE_DRAW_INDIRECT_BIT,
                                  0, 1, &barrier, 0, NULL, 0, NULL);
    TRY_DEVICE(device, error, device->vk.EndCommandBuffer(stage->commands));
    return GPU_OK;
}

enum gpu_status gpu_upload_end(struct gpu_upload *upload, struct gpu_error *error)
{
    const struct gpu_buffer *to = upload->to;
    upload->to = NULL;
    if (!to) return host_error(error, GPU_FAILED, "an upload ends that did not begin");
    if (to->map || upload->size == 0) return GPU_OK;
    struct upload_stage *stage = &upload->stages[upload->next];
    TRY(upload_record(upload, stage, to, error));
    TRY(submit_buffers(upload->device, &stage->commands, 1, &stage->ticket, error));
    upload->next = (upload->next + 1) % STAGES;
    return GPU_OK;
}

enum gpu_status gpu_upload_finish(struct gpu_upload *upload, struct gpu_error *error)
{
    for (uint32_t i = 0; i < STAGES; i++)
        TRY(gpu_wait(upload->device, upload->stages[i].ticket, UINT64_MAX, error));
    return GPU_OK;
}

void gpu_upload_free(struct gpu_upload *upload)
{
    if (!upload) return;
    struct gpu_device *device = upload->device;
    gpu_upload_finish(upload, NULL);
    for (uint32_t i = 0; i < STAGES; i++) gpu_buffer_free(device, &upload->stages[i].buffer);
    if (upload->pool) device->vk.DestroyCommandPool(device->handle, upload->pool, NULL);
    host_free(&device->host, upload, sizeof *upload);
}

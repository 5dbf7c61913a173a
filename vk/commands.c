/* commands.c - record dispatches, copies and barriers into one command buffer. */
#include <inttypes.h>
#include <string.h>

#include "vk.h"

enum { POOL_SETS = 64, POOL_DESCRIPTORS = 8 * POOL_SETS, MAX_BUFFERS = 32 };

enum gpu_status gpu_commands_create(struct gpu_device *device, struct gpu_commands **out,
                                    uint32_t flags, struct gpu_error *error)
{
    *out = NULL;
    if (atomic_load(&device->lost)) return device_lost(error);
    struct gpu_commands *c = host_new(&device->host, 1, sizeof *c);
    if (!c) return host_no_memory(error, "a command list");
    c->device = device;
    c->profile = flags & GPU_COMMANDS_TIMED;
    c->again = flags & GPU_COMMANDS_AGAIN;
    const VkCommandPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
        .queueFamilyIndex = device->caps.family,
    };
    const char *call = ".CreateCommandPool(";
    VkResult result = device->vk.CreateCommandPool(device->handle, &pool, NULL, &c->pool);
    if (result >= 0) {
        const VkCommandBufferAllocateInfo info = {
            .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
            .commandPool = c->pool,
            .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
            .commandBufferCount = 1,
        };
        call = ".AllocateCommandBuffers(";
        result = device->vk.AllocateCommandBuffers(device->handle, &info, &c->buffer);
    }
    if (result >= 0) {
        const VkCommandBufferBeginInfo info = {
            .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
            .flags = c->again ? VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT : 0u,
        };
        call = ".BeginCommandBuffer(";
        result = device->vk.BeginCommandBuffer(c->buffer, &info);
    }
    if (result < 0) {
        const enum gpu_status status = device_result(device, error, call, result);
        gpu_commands_free(device, c);
        return status;
    }
    *out = c;
    return GPU_OK;
}

void gpu_commands_free(struct gpu_device *device, struct gpu_commands *c)
{
    if (!c) return;
    gpu_wait(device, c->ticket, UINT64_MAX, NULL);
    profile_free(device, c);
    for (size_t i = 0; i < c->n_views; i++)
        device->vk.DestroyBufferView(device->handle, c->views[i], NULL);
    host_free(&device->host, c->views, c->views_capacity * sizeof *c->views);
    for (size_t i = 0; i < c->n_set_pools; i++)
        device->vk.DestroyDescriptorPool(device->handle, c->set_pools[i], NULL);
    host_free(&device->host, c->set_pools, c->set_pools_capacity * sizeof *c->set_pools);
    host_free(&device->host, c->uses, c->uses_capacity * sizeof *c->uses);
    if (c->pool) device->vk.DestroyCommandPool(device->handle, c->pool, NULL);
    host_free(&device->host, c, sizeof *c);
}

uint32_t gpu_commands_count(const struct gpu_commands *c)
{
    return c->n_dispatches;
}

static bool commands_open(struct gpu_commands *c, const char *what)
{
    if (c->status == GPU_OK && c->ended) {
        c->status = host_error(&c->error, GPU_FAILED,
                               "%s recorded after the end of the command list", what);
    }
    return c->status == GPU_OK;
}

/* ---- hazards: what is used between two barriers ---- */

#ifdef GPU_CHECK
static enum gpu_status commands_use(struct gpu_commands *c, const char *name,
                                    const struct gpu_buffer *buffer, uint64_t offset, uint64_t size,
                                    bool write, size_t own)
{
    const struct commands_use use = {name, buffer->handle, offset, offset + size, write};
    for (size_t i = 0; i < own; i++) {
        const struct commands_use *u = &c->uses[i];
        if (u->buffer != use.buffer || u->begin >= use.end || u->end <= use.begin ||
            !(u->write || write))
            continue;
        return host_error(&c->error, GPU_FAILED,
                          "no barrier between %s, which %s bytes %" PRIu64 " to %" PRIu64
                          " of a buffer, and %s, which %s bytes %" PRIu64 " to %" PRIu64,
                          u->name, u->write ? "writes" : "reads", u->begin, u->end, name,
                          write ? "writes" : "reads", use.begin, use.end);
    }
    struct commands_use *grown =
        host_grow(&c->device->host, c->uses, &c->uses_capacity, c->n_uses + 1, sizeof *grown);
    if (!grown) return host_no_memory(&c->error, "the check of barriers");
    c->uses = grown;
    c->uses[c->n_uses++] = use;
    return GPU_OK;
}
#else
static enum gpu_status commands_use(struct gpu_commands *c, const char *name,
                                    const struct gpu_buffer *buffer, uint64_t offset, uint64_t size,
                                    bool write, size_t own)
{
    (void)c, (void)name, (void)buffer, (void)offset, (void)size, (void)write, (void)own;
    return GPU_OK;
}
#endif

/* ---- dispatches ---- */

static enum gpu_status commands_range(const struct gpu_commands *c, const struct gpu_kernel *kernel,
                                      uint32_t binding, const struct gpu_range *range,
                                      VkDescriptorBufferInfo *out, struct gpu_error *error)
{
    const struct gpu_info *info = &c->device->caps.info;
    const struct gpu_buffer *buffer = range->buffer;
    if (!buffer || !buffer->handle) {
        return host_error(error, GPU_FAILED, "kernel %s, binding %" PRIu32 ": no buffer",
                          kernel->name, binding);
    }
    if (range->offset >= buffer->size || range->size > buffer->size - range->offset) {
        return host_error(error, GPU_FAILED,
                          "kernel %s, binding %" PRIu32 ": %" PRIu64 " bytes from %" PRIu64
                          " of a buffer of %" PRIu64,
                          kernel->name, binding, range->size, range->offset, buffer->size);
    }
    if (range->offset % info->offset_alignment) {
        return host_error(error, GPU_FAILED,
                          "kernel %s, binding %" PRIu32 ": offset %" PRIu64
                          " is no multiple of %" PRIu32,
                          kernel->name, binding, range->offset, info->offset_alignment);
    }
    /* Buffers are a multiple of 16 bytes: a shader may load the last of them whole. */
    const uint64_t rest = (buffer->size + 15) / 16 * 16 - range->offset;
    uint64_t size = range->size ? (range->size + 3) / 4 * 4 : rest;
    if (size > info->binding_size) {
        return host_error(error, GPU_FAILED,
                          "kernel %s, binding %" PRIu32 ": %" PRIu64 " bytes, at most %" PRIu64
                          " can be bound",
                          kernel->name, binding, size, info->binding_size);
    }
    *out = (VkDescriptorBufferInfo){(VkBuffer)buffer->handle, range->offset, size};
    return GPU_OK;
}

static enum gpu_status commands_set_pool(struct gpu_commands *c, struct gpu_error *error)
{
    struct gpu_device *device = c->device;
    VkDescriptorPool *pools = host_grow(&device->host, c->set_pools, &c->set_pools_capacity,
                                        c->n_set_pools + 1, sizeof *pools);
    if (!pools) return host_no_memory(error, "the list of descriptor pools");
    c->set_pools = pools;
    const VkDescriptorPoolCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
        .maxSets = POOL_SETS,
        .poolSizeCount = 2,
        .pPoolSizes =
            (VkDescriptorPoolSize[]){{VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, POOL_DESCRIPTORS},
                                     {VK_DESCRIPTOR_TYPE_STORAGE_TEXEL_BUFFER, POOL_DESCRIPTORS}},
    };
    TRY_DEVICE(device, error,
               device->vk.CreateDescriptorPool(device->handle, &info, NULL,
                                               &c->set_pools[c->n_set_pools]));
    c->n_set_pools++;
    c->sets_left = POOL_SETS;
    c->descriptors_left = POOL_DESCRIPTORS;
    return GPU_OK;
}

/* A view of a range as texels of 16 bytes; lives as long as the commands. */
static enum gpu_status commands_view(struct gpu_commands *c, const struct gpu_kernel *kernel,
                                     const VkDescriptorBufferInfo *range, VkBufferView *out,
                                     struct gpu_error *error)
{
    struct gpu_device *device = c->device;
    if (range->range / 16 > device->caps.info.texels) {
        return host_error(error, GPU_FAILED, "kernel %s: %" PRIu64 " texels, at most %" PRIu32,
                          kernel->name, (uint64_t)range->range / 16, device->caps.info.texels);
    }
    VkBufferView *grown =
        host_grow(&device->host, c->views, &c->views_capacity, c->n_views + 1, sizeof *grown);
    if (!grown) return host_no_memory(error, "the list of buffer views");
    c->views = grown;
    const VkBufferViewCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_VIEW_CREATE_INFO,
        .buffer = range->buffer,
        .format = VK_FORMAT_R32G32B32A32_UINT,
        .offset = range->offset,
        .range = range->range / 16 * 16,
    };
    TRY_DEVICE(device, error, device->vk.CreateBufferView(device->handle, &info, NULL, out));
    c->views[c->n_views++] = *out;
    return GPU_OK;
}

static enum gpu_status commands_set(struct gpu_commands *c, const struct gpu_kernel *kernel,
                                    const struct gpu_range *ranges, VkDescriptorSet *set,
                                    struct gpu_error *error)
{
    struct gpu_device *device = c->device;
    VkDescriptorBufferInfo buffers[MAX_BUFFERS];
    VkBufferView views[MAX_BUFFERS];
    VkWriteDescriptorSet writes[MAX_BUFFERS];
    for (uint32_t i = 0; i < kernel->n_buffers; i++) {
        TRY(commands_range(c, kernel, i, &ranges[i], &buffers[i], error));
    }
    if (!c->sets_left || c->descriptors_left < kernel->n_buffers) TRY(commands_set_pool(c, error));
    const VkDescriptorSetAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
        .descriptorPool = c->set_pools[c->n_set_pools - 1],
        .descriptorSetCount = 1,
        .pSetLayouts = &kernel->set_layout,
    };
    TRY_DEVICE(device, error, device->vk.AllocateDescriptorSets(device->handle, &info, set));
    c->sets_left--;
    c->descriptors_left -= kernel->n_buffers;
    for (uint32_t i = 0; i < kernel->n_buffers; i++) {
        writes[i] = (VkWriteDescriptorSet){
            .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
            .dstSet = *set,
            .dstBinding = i,
            .descriptorCount = 1,
            .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
            .pBufferInfo = &buffers[i],
        };
        if (!(kernel->texels >> i & 1)) continue;
        TRY(commands_view(c, kernel, &buffers[i], &views[i], error));
        writes[i].descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_TEXEL_BUFFER;
        writes[i].pTexelBufferView = &views[i];
    }
    device->vk.UpdateDescriptorSets(device->handle, kernel->n_buffers, writes, 0, NULL);
    return GPU_OK;
}

static enum gpu_status commands_uses(struct gpu_commands *c, const struct gpu_kernel *kernel,
                                     const struct gpu_range *ranges,
                                     const struct gpu_buffer *counts, uint64_t offset)
{
    const size_t own = c->n_uses; /* a dispatch may well read what it writes itself */
    for (uint32_t i = 0; i < kernel->n_buffers; i++) {
        const struct gpu_range *r = &ranges[i];
        const uint64_t size = r->size ? r->size : r->buffer->size - r->offset;
        TRY(commands_use(c, kernel->name, r->buffer, r->offset, size, kernel->written >> i & 1,
                         own));
    }
    return counts ? commands_use(c, kernel->name, counts, offset, 12, false, own) : GPU_OK;
}

/* Binds all that a dispatch needs, for one that is to follow. */
static enum gpu_status commands_bind(struct gpu_commands *c, const struct gpu_kernel *kernel,
                                     const struct gpu_range *ranges, const void *push,
                                     struct gpu_error *error)
{
    const struct device_functions *vk = &c->device->vk;
    VkDescriptorSet set;
    if (kernel->push_size && !push)
        return host_error(error, GPU_FAILED, "kernel %s: no push constants", kernel->name);
    if (kernel->n_buffers) {
        TRY(commands_set(c, kernel, ranges, &set, error));
        vk->CmdBindDescriptorSets(c->buffer, VK_PIPELINE_BIND_POINT_COMPUTE, kernel->layout, 0, 1,
                                  &set, 0, NULL);
    }
    vk->CmdBindPipeline(c->buffer, VK_PIPELINE_BIND_POINT_COMPUTE, kernel->pipeline);
    if (kernel->push_size) {
        vk->CmdPushConstants(c->buffer, kernel->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0,
                             kernel->push_size, push);
    }
    return profile_before(c, kernel->name, error);
}

void gpu_commands_dispatch(struct gpu_commands *c, const struct gpu_kernel *kernel,
                           const struct gpu_range *ranges, const void *push, uint32_t x, uint32_t y,
                           uint32_t z)
{
    if (!c || !commands_open(c, kernel->name)) return;
    const uint32_t *max = c->device->caps.max_groups;
    if (x > max[0] || y > max[1] || z > max[2]) {
        c->status = host_error(&c->error, GPU_FAILED,
                               "kernel %s: %" PRIu32 " x %" PRIu32 " x %" PRIu32
                               " workgroups, at most %" PRIu32 " x %" PRIu32 " x %" PRIu32,
                               kernel->name, x, y, z, max[0], max[1], max[2]);
        return;
    }
    c->status = commands_bind(c, kernel, ranges, push, &c->error);
    if (c->status == GPU_OK) c->status = commands_uses(c, kernel, ranges, NULL, 0);
    if (c->status != GPU_OK) return;
    c->device->vk.CmdDispatch(c->buffer, x, y, z);
    profile_after(c);
    c->n_dispatches++;
}

void gpu_commands_dispatch_indirect(struct gpu_commands *c, const struct gpu_kernel *kernel,
                                    const struct gpu_range *ranges, const void *push,
                                    const struct gpu_buffer *counts, uint64_t offset)
{
    if (!c || !commands_open(c, kernel->name)) return;
    if (!counts || !counts->handle || offset % 4 || counts->size < 12 ||
        offset > counts->size - 12) {
        c->status = host_error(&c->error, GPU_FAILED,
                               "kernel %s: counts at %" PRIu64 " of a buffer of %" PRIu64,
                               kernel->name, offset, counts ? counts->size : 0);
        return;
    }
    c->status = commands_bind(c, kernel, ranges, push, &c->error);
    if (c->status == GPU_OK) c->status = commands_uses(c, kernel, ranges, counts, offset);
    if (c->status != GPU_OK) return;
    c->device->vk.CmdDispatchIndirect(c->buffer, (VkBuffer)counts->handle, offset);
    profile_after(c);
    c->n_dispatches++;
}

/* ---- barriers, copies, end ---- */

static void commands_memory_barrier(struct gpu_commands *c, VkPipelineStageFlags more_stages,
                                    VkAccessFlags more_access)
{
    const VkMemoryBarrier barrier = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT |
                         VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT |
                         VK_ACCESS_INDIRECT_COMMAND_READ_BIT | more_access,
    };
    const VkPipelineStageFlags before = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT |
                                        VK_PIPELINE_STAGE_TRANSFER_BIT |
                                        VK_PIPELINE_STAGE_DRAW_INDIRECT_BIT;
    c->device->vk.CmdPipelineBarrier(c->buffer, before, before | more_stages, 0, 1, &barrier, 0,
                                     NULL, 0, NULL);
    c->n_uses = 0;
}

void gpu_commands_barrier(struct gpu_commands *c)
{
    if (c && commands_open(c, "a barrier")) commands_memory_barrier(c, 0, 0);
}

static bool commands_inside(const struct gpu_buffer *buffer, uint64_t offset, uint64_t size)
{
    return buffer && buffer->handle && offset <= buffer->size && size <= buffer->size - offset;
}

void gpu_commands_copy(struct gpu_commands *c, const struct gpu_buffer *from, uint64_t from_offset,
                       const struct gpu_buffer *to, uint64_t to_offset, uint64_t size)
{
    if (!c || !commands_open(c, "a copy") || size == 0) return;
    if (!commands_inside(from, from_offset, size) || !commands_inside(to, to_offset, size)) {
        c->status = host_error(
            &c->error, GPU_FAILED,
            "copy of %" PRIu64 " bytes from %" PRIu64 " of %" PRIu64 " to %" PRIu64 " of %" PRIu64,
            size, from_offset, from ? from->size : 0, to_offset, to ? to->size : 0);
        return;
    }
    const size_t own = c->n_uses;
    c->status = commands_use(c, "copy", from, from_offset, size, false, own);
    if (c->status == GPU_OK) c->status = commands_use(c, "copy", to, to_offset, size, true, own);
    if (c->status != GPU_OK) return;
    const VkBufferCopy region = {from_offset, to_offset, size};
    c->device->vk.CmdCopyBuffer(c->buffer, (VkBuffer)from->handle, (VkBuffer)to->handle, 1,
                                &region);
}

void gpu_commands_fill(struct gpu_commands *c, const struct gpu_buffer *to, uint64_t offset,
                       uint64_t size, uint32_t value)
{
    if (!c || !commands_open(c, "a fill") || size == 0) return;
    if (!commands_inside(to, offset, size) || offset % 4 || size % 4) {
        c->status = host_error(&c->error, GPU_FAILED,
                               "fill of %" PRIu64 " bytes from %" PRIu64 " of %" PRIu64
                               ", all multiples of 4",
                               size, offset, to ? to->size : 0);
        return;
    }
    c->status = commands_use(c, "fill", to, offset, size, true, c->n_uses);
    if (c->status != GPU_OK) return;
    c->device->vk.CmdFillBuffer(c->buffer, (VkBuffer)to->handle, offset, size, value);
}

/* The last barrier is for the host and for the command lists that follow. */
enum gpu_status gpu_commands_end(struct gpu_commands *c, struct gpu_error *error)
{
    if (commands_open(c, "an end")) {
        commands_memory_barrier(c, VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT);
        c->ended = true;
        const VkResult result = c->device->vk.EndCommandBuffer(c->buffer);
        if (result < 0)
            c->status = device_result(c->device, &c->error, ".EndCommandBuffer(", result);
    }
    if (c->status != GPU_OK && error) *error = c->error;
    return c->status;
}

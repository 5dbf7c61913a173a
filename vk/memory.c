/* memory.c - buffers, and the blocks of device memory that they share. */
#include <inttypes.h>
#include <string.h>

#include "vk.h"

enum {
    LOCAL = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT,
    MAPPED = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
    CACHED = VK_MEMORY_PROPERTY_HOST_CACHED_BIT,
    /* Lazily allocated or protected memory cannot hold buffers; AMD's two want a feature of their
       own. */
    STRANGE = ~(LOCAL | MAPPED | CACHED)
};

/* ---- memory types ---- */

/* Whether all of the device's own memory can be mapped. */
static bool memory_visible(const struct caps *caps)
{
    for (uint32_t i = 0; i < caps->memory.memoryTypeCount; i++) {
        const VkMemoryType *type = &caps->memory.memoryTypes[i];
        const VkMemoryPropertyFlags flags = type->propertyFlags;
        if (type->heapIndex == caps->heap && (flags & (LOCAL | MAPPED)) == (LOCAL | MAPPED) &&
            !(flags & (VkFlags)STRANGE)) {
            return true;
        }
    }
    return false;
}

bool memory_unified(const struct caps *caps)
{
    if (caps->info.type == GPU_DISCRETE || !memory_visible(caps)) return false;
    if (caps->info.type == GPU_INTEGRATED || caps->info.type == GPU_CPU) return true;
    for (uint32_t i = 0; i < caps->memory.memoryHeapCount; i++) {
        if (!(caps->memory.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT)) return false;
    }
    return true;
}

/* What a kind must have, would like and would rather not have, where host and device have memory
 * apart (with all of the device's visible, or a small window or none) and where they share it. */
struct memory_wish {
    VkMemoryPropertyFlags must, like, dislike;
};
enum { APART, VISIBLE, SHARED };
/* clang-format off */
static const struct memory_wish wishes[3][MEMORY_KINDS] = {
    [APART] = {
        [GPU_MEMORY_DEVICE] = {LOCAL, 0, MAPPED | CACHED},
        [GPU_MEMORY_STEP] = {MAPPED, 0, LOCAL | CACHED},
        [GPU_MEMORY_READBACK] = {MAPPED, CACHED, LOCAL},
        [GPU_MEMORY_HOST] = {MAPPED, 0, LOCAL | CACHED},
    },
    [VISIBLE] = {
        [GPU_MEMORY_DEVICE] = {LOCAL, 0, MAPPED | CACHED},
        [GPU_MEMORY_STEP] = {MAPPED, LOCAL, CACHED},
        [GPU_MEMORY_READBACK] = {MAPPED, CACHED, LOCAL},
        [GPU_MEMORY_HOST] = {MAPPED, 0, LOCAL | CACHED},
    },
    [SHARED] = {
        [GPU_MEMORY_DEVICE] = {MAPPED, LOCAL, 0},
        [GPU_MEMORY_STEP] = {MAPPED, LOCAL, 0},
        [GPU_MEMORY_READBACK] = {MAPPED, CACHED, 0},
        [GPU_MEMORY_HOST] = {MAPPED, 0, LOCAL},
    },
};
/* clang-format on */

static int memory_bits(VkMemoryPropertyFlags flags)
{
    int n = 0;
    for (; flags; flags &= flags - 1) n++;
    return n;
}

uint32_t memory_type(const struct caps *caps, uint32_t bits, enum gpu_memory kind)
{
    const int house = caps->info.unified ? SHARED : memory_visible(caps) ? VISIBLE : APART;
    const struct memory_wish *wish = &wishes[house][kind];
    uint32_t best = UINT32_MAX;
    int best_score = 0;
    uint64_t best_size = 0;
    for (uint32_t i = 0; i < caps->memory.memoryTypeCount; i++) {
        const VkMemoryType *type = &caps->memory.memoryTypes[i];
        const VkMemoryPropertyFlags flags = type->propertyFlags;
        if (!(bits >> i & 1) || (flags & wish->must) != wish->must || (flags & (VkFlags)STRANGE))
            continue;
        const int score = 4 * memory_bits(flags & wish->like) - memory_bits(flags & wish->dislike);
        const uint64_t size = caps->memory.memoryHeaps[type->heapIndex].size;
        /* Weights never go to a small window, however well its flags fit. */
        if ((wish->must & LOCAL) && size < caps->memory.memoryHeaps[caps->heap].size) continue;
        if (best != UINT32_MAX &&
            (score < best_score || (score == best_score && size <= best_size)))
            continue;
        best = i;
        best_score = score;
        best_size = size;
    }
    return best;
}

/* ---- blocks ---- */

static uint64_t memory_round(uint64_t size, uint64_t alignment)
{
    return (size + alignment - 1) / alignment * alignment;
}

static uint32_t memory_heap(const struct gpu_device *device, enum gpu_memory kind)
{
    return device->caps.memory.memoryTypes[device->memory.type[kind]].heapIndex;
}

static VkResult memory_buffer(struct gpu_device *device, uint64_t size, VkBuffer *out,
                              VkMemoryRequirements *needs)
{
    const VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = size,
        .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_STORAGE_TEXEL_BUFFER_BIT |
                 VK_BUFFER_USAGE_INDIRECT_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                 VK_BUFFER_USAGE_TRANSFER_DST_BIT,
        .sharingMode = VK_SHARING_MODE_EXCLUSIVE,
    };
    const VkResult result = device->vk.CreateBuffer(device->handle, &info, NULL, out);
    if (result >= 0) device->vk.GetBufferMemoryRequirements(device->handle, *out, needs);
    return result;
}

/* All our buffers have the same usage, so that one of them tells which memory types suit all. */
enum gpu_status memory_init(struct gpu_device *device, struct gpu_error *error)
{
    struct memory *m = &device->memory;
    VkBuffer probe;
    VkMemoryRequirements needs;
    TRY_DEVICE(device, error, memory_buffer(device, 65536, &probe, &needs));
    device->vk.DestroyBuffer(device->handle, probe, NULL);
    m->alignment =
        device->caps.alignment > needs.alignment ? device->caps.alignment : needs.alignment;
    if (m->alignment < 16) m->alignment = 16;
    for (enum gpu_memory kind = 0; kind < MEMORY_KINDS; kind++) {
        m->type[kind] = memory_type(&device->caps, needs.memoryTypeBits, kind);
        if (m->type[kind] == UINT32_MAX) {
            return host_error(
                error, GPU_NO_DEVICE, "%.100s has no memory type for %s", device->caps.info.name,
                kind == GPU_MEMORY_DEVICE ? "weights" : "buffers that the host writes or reads");
        }
        const bool large = kind == GPU_MEMORY_DEVICE || kind == GPU_MEMORY_HOST;
        const uint64_t heap = device->caps.memory.memoryHeaps[memory_heap(device, kind)].size;
        m->block_size[kind] = large ? 64 * MIB : 8 * MIB;
        while (m->block_size[kind] > heap / 16 && m->block_size[kind] > MIB)
            m->block_size[kind] /= 2;
    }
    return GPU_OK;
}

void memory_free(struct gpu_device *device)
{
    struct memory *m = &device->memory;
    for (size_t i = 0; i < m->n_blocks; i++) {
        if (m->blocks[i].memory) device->vk.FreeMemory(device->handle, m->blocks[i].memory, NULL);
        host_free(&device->host, m->blocks[i].free,
                  m->blocks[i].capacity * sizeof *m->blocks[i].free);
    }
    host_free(&device->host, m->blocks, m->capacity * sizeof *m->blocks);
    memset(m, 0, sizeof *m);
}

/* The bytes that a buffer takes of a block; a large one has a block of its own, so that no block
 * has a large rest. */
static bool memory_alone(const struct gpu_device *device, uint64_t size, enum gpu_memory kind)
{
    return size > device->memory.block_size[kind] / 4;
}

uint64_t gpu_buffer_cost(const struct gpu_device *device, uint64_t size, enum gpu_memory memory)
{
    (void)memory;
    return memory_round(size, device->memory.alignment);
}

static void memory_release(struct gpu_device *device, struct memory_block *block)
{
    if (block->memory) {
        device->vk.FreeMemory(device->handle, block->memory, NULL);
        device->memory.taken[memory_heap(device, block->kind)] -= block->size;
    }
    host_free(&device->host, block->free, block->capacity * sizeof *block->free);
    *block = (struct memory_block){0};
}

static enum gpu_status memory_allocate(struct gpu_device *device, struct memory_block *block,
                                       struct gpu_error *error)
{
    struct memory *m = &device->memory;
    const uint32_t type = m->type[block->kind], heap = memory_heap(device, block->kind);
    const uint64_t available = caps_available(&device->caps, &device->vki, heap, m->taken[heap]);
    if (block->size > available) {
        return host_error(error, GPU_OUT_OF_MEMORY,
                          "%" PRIu64 " bytes are needed and %" PRIu64 " are available on %.100s",
                          block->size, available, device->caps.info.name);
    }
    const VkMemoryAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
        .allocationSize = block->size,
        .memoryTypeIndex = type,
    };
    const VkResult result = device->vk.AllocateMemory(device->handle, &info, NULL, &block->memory);
    if (result == VK_ERROR_OUT_OF_DEVICE_MEMORY || result == VK_ERROR_OUT_OF_HOST_MEMORY) {
        return host_error(error, GPU_OUT_OF_MEMORY,
                          "the driver of %.100s has no %" PRIu64
                          " bytes though it tells of %" PRIu64,
                          device->caps.info.name, block->size, available);
    }
    if (result < 0) return device_result(device, error, ".AllocateMemory(", result);
    m->taken[heap] += block->size;
    if (!(device->caps.memory.memoryTypes[type].propertyFlags &
          VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT))
        return GPU_OK;
    if (block->kind == GPU_MEMORY_DEVICE && !device->caps.info.unified) return GPU_OK;
    void *map;
    TRY_DEVICE(device, error,
               device->vk.MapMemory(device->handle, block->memory, 0, VK_WHOLE_SIZE, 0, &map));
    block->map = map;
    return GPU_OK;
}

static enum gpu_status memory_block_new(struct gpu_device *device, uint64_t size,
                                        enum gpu_memory kind, uint32_t *index,
                                        struct gpu_error *error)
{
    struct memory *m = &device->memory;
    size_t i = 0;
    while (i < m->n_blocks && m->blocks[i].memory) i++;
    if (i == m->n_blocks) {
        struct memory_block *grown =
            host_grow(&device->host, m->blocks, &m->capacity, i + 1, sizeof *grown);
        if (!grown) return host_no_memory(error, "the list of memory blocks");
        m->blocks = grown;
        m->blocks[m->n_blocks++] = (struct memory_block){0};
    }
    struct memory_block *block = &m->blocks[i];
    *block = (struct memory_block){
        .kind = kind, .size = memory_alone(device, size, kind) ? size : m->block_size[kind]};
    block->free = host_grow(&device->host, NULL, &block->capacity, 2, sizeof *block->free);
    if (!block->free) return host_no_memory(error, "a memory block");
    block->free[block->n_free++] = (struct memory_range){0, block->size};
    const enum gpu_status status = memory_allocate(device, block, error);
    if (status != GPU_OK) memory_release(device, block);
    *index = (uint32_t)i;
    return status;
}

/* Takes the first range that is large enough. The list has room for one range more than there are
 * buffers, so that giving back never needs memory. */
static bool memory_take(struct gpu_device *device, struct memory_block *block, uint64_t size,
                        uint64_t *offset)
{
    size_t i = 0;
    while (i < block->n_free && block->free[i].size < size) i++;
    if (i == block->n_free) return false;
    struct memory_range *grown = host_grow(&device->host, block->free, &block->capacity,
                                           block->n_buffers + 2u, sizeof *grown);
    if (!grown) return false;
    block->free = grown;
    struct memory_range *range = &block->free[i];
    *offset = range->offset;
    range->offset += size;
    range->size -= size;
    if (range->size == 0) {
        memmove(range, range + 1, (--block->n_free - i) * sizeof *range);
    }
    block->n_buffers++;
    return true;
}

static void memory_give(struct memory_block *block, uint64_t offset, uint64_t size)
{
    size_t i = 0;
    while (i < block->n_free && block->free[i].offset < offset) i++;
    struct memory_range *next = i < block->n_free ? &block->free[i] : NULL;
    struct memory_range *before = i > 0 ? &block->free[i - 1] : NULL;
    const bool joins_before = before && before->offset + before->size == offset;
    const bool joins_next = next && offset + size == next->offset;
    if (joins_before && joins_next) {
        before->size += size + next->size;
        memmove(next, next + 1, (--block->n_free - i) * sizeof *next);
    } else if (joins_before) {
        before->size += size;
    } else if (joins_next) {
        next->offset = offset;
        next->size += size;
    } else {
        memmove(&block->free[i + 1], &block->free[i], (block->n_free++ - i) * sizeof *next);
        block->free[i] = (struct memory_range){offset, size};
    }
    block->n_buffers--;
}

static enum gpu_status memory_place(struct gpu_device *device, struct gpu_buffer *buffer,
                                    uint64_t size, struct gpu_error *error)
{
    struct memory *m = &device->memory;
    for (uint32_t i = 0; i < m->n_blocks && !memory_alone(device, size, buffer->memory); i++) {
        struct memory_block *block = &m->blocks[i];
        if (!block->memory || block->kind != buffer->memory ||
            block->size != m->block_size[buffer->memory])
            continue;
        buffer->block = i;
        if (memory_take(device, block, size, &buffer->allocation_offset)) return GPU_OK;
    }
    TRY(memory_block_new(device, size, buffer->memory, &buffer->block, error));
    if (memory_take(device, &m->blocks[buffer->block], size, &buffer->allocation_offset))
        return GPU_OK;
    memory_release(device, &m->blocks[buffer->block]);
    return host_no_memory(error, "a memory block");
}

/* ---- buffers ---- */

static enum gpu_status memory_fill(struct gpu_device *device, struct gpu_buffer *buffer,
                                   VkBuffer handle, uint64_t size, struct gpu_error *error)
{
    device_lock(device);
    const enum gpu_status status = memory_place(device, buffer, size, error);
    struct memory_block block = {0};
    if (status == GPU_OK) block = device->memory.blocks[buffer->block];
    device_unlock(device);
    TRY(status);
    buffer->handle = (uint64_t)handle;
    if (block.map) buffer->map = block.map + buffer->allocation_offset;
    TRY_DEVICE(device, error,
               device->vk.BindBufferMemory(device->handle, handle, block.memory,
                                           buffer->allocation_offset));
    return GPU_OK;
}

enum gpu_status gpu_buffer_create(struct gpu_device *device, struct gpu_buffer *out, uint64_t size,
                                  enum gpu_memory memory, struct gpu_error *error)
{
    *out = (struct gpu_buffer){0};
    if (atomic_load(&device->lost)) return device_lost(error);
    if (size == 0) return host_error(error, GPU_FAILED, "a buffer of 0 bytes");
    if (size > device->caps.max_allocation ||
        memory_round(size, device->memory.alignment) > device->caps.max_allocation) {
        return host_error(error, GPU_UNSUPPORTED,
                          "a buffer of %" PRIu64 " bytes, at most %" PRIu64
                          " are possible on %.100s",
                          size, device->caps.max_allocation, device->caps.info.name);
    }
    VkBuffer handle;
    VkMemoryRequirements needs;
    TRY_DEVICE(device, error, memory_buffer(device, memory_round(size, 16), &handle, &needs));
    struct gpu_buffer buffer = {.size = size, .memory = memory};
    const enum gpu_status status = memory_fill(
        device, &buffer, handle, memory_round(needs.size, device->memory.alignment), error);
    if (status == GPU_OK) {
        *out = buffer;
    } else if (buffer.handle) {
        gpu_buffer_free(device, &buffer);
    } else {
        device->vk.DestroyBuffer(device->handle, handle, NULL);
    }
    return status;
}

void gpu_buffer_free(struct gpu_device *device, struct gpu_buffer *buffer)
{
    if (!buffer || !buffer->handle) return;
    const VkBuffer handle = (VkBuffer)buffer->handle;
    VkMemoryRequirements needs;
    device->vk.GetBufferMemoryRequirements(device->handle, handle, &needs);
    device->vk.DestroyBuffer(device->handle, handle, NULL);
    device_lock(device);
    struct memory_block *block = &device->memory.blocks[buffer->block];
    memory_give(block, buffer->allocation_offset,
                memory_round(needs.size, device->memory.alignment));
    if (block->n_buffers == 0) memory_release(device, block);
    device_unlock(device);
    memset(buffer, 0, sizeof *buffer);
}

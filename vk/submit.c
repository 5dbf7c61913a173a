/* submit.c - submissions and their tickets, by fences from a pool. */
#include <inttypes.h>
#include <string.h>

#include "vk.h"

/* All but gpu_... functions are called with the device's lock held. */

static enum gpu_status submit_fence(struct gpu_device *device, VkFence *out,
                                    struct gpu_error *error)
{
    struct submit *s = &device->submit;
    if (s->n_fences) {
        TRY_DEVICE(device, error,
                   device->vk.ResetFences(device->handle, 1, &s->fences[s->n_fences - 1]));
        *out = s->fences[--s->n_fences];
        return GPU_OK;
    }
    const VkFenceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    TRY_DEVICE(device, error, device->vk.CreateFence(device->handle, &info, NULL, out));
    return GPU_OK;
}

/* Asks for what is done, oldest first; fences that nobody waits for go back to the pool, which has
 * room for all. */
static enum gpu_status submit_poll(struct gpu_device *device, struct gpu_error *error)
{
    struct submit *s = &device->submit;
    for (size_t i = 0; i < s->n_pending; i++) {
        if (s->pending[i].ticket <= atomic_load(&s->done)) continue;
        const VkResult result = device->vk.GetFenceStatus(device->handle, s->pending[i].fence);
        if (result < 0) return device_result(device, error, ".GetFenceStatus(", result);
        if (result == VK_NOT_READY) break;
        atomic_store(&s->done, s->pending[i].ticket);
    }
    size_t n = 0;
    for (size_t i = 0; i < s->n_pending; i++) {
        const struct submit_pending *p = &s->pending[i];
        if (p->ticket <= atomic_load(&s->done) && !p->waiters) {
            s->fences[s->n_fences++] = p->fence;
        } else {
            s->pending[n++] = *p;
        }
    }
    s->n_pending = n;
    return GPU_OK;
}

/* Room for one more pending submission, and for its fence in the pool when it is done. */
static enum gpu_status submit_reserve(struct gpu_device *device, struct gpu_error *error)
{
    struct submit *s = &device->submit;
    struct submit_pending *pending = host_grow(&device->host, s->pending, &s->pending_capacity,
                                               s->n_pending + 1, sizeof *pending);
    if (!pending) return host_no_memory(error, "the list of submissions");
    s->pending = pending;
    VkFence *fences = host_grow(&device->host, s->fences, &s->fences_capacity,
                                s->n_pending + s->n_fences + 1, sizeof *fences);
    if (!fences) return host_no_memory(error, "the list of fences");
    s->fences = fences;
    return GPU_OK;
}

static enum gpu_status submit_locked(struct gpu_device *device, const VkCommandBuffer *buffers,
                                     uint32_t n, uint64_t *ticket, struct gpu_error *error)
{
    struct submit *s = &device->submit;
    TRY(submit_poll(device, error));
    TRY(submit_reserve(device, error));
    VkFence fence;
    TRY(submit_fence(device, &fence, error));
    const VkSubmitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
        .commandBufferCount = n,
        .pCommandBuffers = buffers,
    };
    if (device->lent_lock) device->lent_lock(device->lent_user);
    const VkResult result = device->vk.QueueSubmit(device->queue, 1, &info, fence);
    if (device->lent_unlock) device->lent_unlock(device->lent_user);
    if (result < 0) {
        s->fences[s->n_fences++] = fence;
        return device_result(device, error, ".QueueSubmit(", result);
    }
    *ticket = ++s->last;
    s->pending[s->n_pending++] = (struct submit_pending){fence, *ticket, 0};
    return GPU_OK;
}

enum gpu_status submit_buffers(struct gpu_device *device, const VkCommandBuffer *buffers,
                               uint32_t n, uint64_t *ticket, struct gpu_error *error)
{
    *ticket = 0;
    if (atomic_load(&device->lost)) return device_lost(error);
    device_lock(device);
    const enum gpu_status status = submit_locked(device, buffers, n, ticket, error);
    device_unlock(device);
    return status;
}

void submit_free(struct gpu_device *device)
{
    struct submit *s = &device->submit;
    for (size_t i = 0; i < s->n_pending; i++) {
        const VkFence fence = s->pending[i].fence;
        if (!atomic_load(&device->lost))
            device->vk.WaitForFences(device->handle, 1, &fence, VK_TRUE, UINT64_MAX);
        device->vk.DestroyFence(device->handle, fence, NULL);
    }
    for (size_t i = 0; i < s->n_fences; i++)
        device->vk.DestroyFence(device->handle, s->fences[i], NULL);
    host_free(&device->host, s->pending, s->pending_capacity * sizeof *s->pending);
    host_free(&device->host, s->fences, s->fences_capacity * sizeof *s->fences);
}

enum gpu_status gpu_submit(struct gpu_device *device, struct gpu_commands *const *list, uint32_t n,
                           uint64_t *ticket, struct gpu_error *error)
{
    enum { FEW = 32 };
    *ticket = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!list[i]->ended || list[i]->status != GPU_OK) {
            return host_error(
                error, GPU_FAILED,
                "command list %" PRIu32 " of %" PRIu32 " was not ended without an error", i, n);
        }
        if (!list[i]->again && gpu_done(device, list[i]->ticket) == GPU_NOT_READY) {
            return host_error(error, GPU_FAILED,
                              "command list %" PRIu32 " of %" PRIu32 " is still running", i, n);
        }
    }
    VkCommandBuffer few[FEW] = {0}, *buffers = few;
    if (n > FEW) {
        buffers = host_new(&device->host, n, sizeof *buffers);
        if (!buffers) return host_no_memory(error, "a submission");
    }
    for (uint32_t i = 0; i < n; i++) buffers[i] = list[i]->buffer;
    const enum gpu_status status = submit_buffers(device, buffers, n, ticket, error);
    for (uint32_t i = 0; status == GPU_OK && i < n; i++) list[i]->ticket = *ticket;
    if (n > FEW) host_free(&device->host, buffers, n * sizeof *buffers);
    return status;
}

enum gpu_status gpu_done(struct gpu_device *device, uint64_t ticket)
{
    if (ticket <= atomic_load(&device->submit.done)) return GPU_OK;
    if (atomic_load(&device->lost)) return GPU_LOST;
    device_lock(device);
    submit_poll(device, NULL);
    device_unlock(device);
    if (ticket <= atomic_load(&device->submit.done)) return GPU_OK;
    return atomic_load(&device->lost) ? GPU_LOST : GPU_NOT_READY;
}

static struct submit_pending *submit_find(struct submit *s, uint64_t ticket)
{
    for (size_t i = 0; i < s->n_pending; i++) {
        if (s->pending[i].ticket == ticket) return &s->pending[i];
    }
    return NULL;
}

enum gpu_status gpu_wait(struct gpu_device *device, uint64_t ticket, uint64_t nanoseconds,
                         struct gpu_error *error)
{
    struct submit *s = &device->submit;
    const enum gpu_status now = gpu_done(device, ticket);
    if (now == GPU_LOST) return device_lost(error);
    if (now == GPU_OK) return GPU_OK;

    device_lock(device);
    struct submit_pending *pending = submit_find(s, ticket);
    const VkFence fence = pending ? pending->fence : VK_NULL_HANDLE;
    if (pending) pending->waiters++;
    device_unlock(device);
    if (!pending) {
        if (gpu_done(device, ticket) == GPU_OK) return GPU_OK;
        return host_error(error, GPU_FAILED, "ticket %" PRIu64 " was never given", ticket);
    }
    const VkResult result =
        device->vk.WaitForFences(device->handle, 1, &fence, VK_TRUE, nanoseconds);
    device_lock(device);
    submit_find(s, ticket)->waiters--;
    if (result == VK_SUCCESS && atomic_load(&s->done) < ticket) atomic_store(&s->done, ticket);
    device_unlock(device);
    if (result < 0) return device_result(device, error, ".WaitForFences(", result);
    return result == VK_TIMEOUT ? GPU_NOT_READY : GPU_OK;
}

/* profile.c - timestamps round each dispatch. */
#include "vk.h"

enum { POOL_DISPATCHES = 128 };

enum gpu_status profile_before(struct gpu_commands *c, const char *name, struct gpu_error *error)
{
    struct gpu_device *device = c->device;
    if (!c->profile) return GPU_OK;
    const char **names =
        host_grow(&device->host, c->names, &c->names_capacity, c->n_dispatches + 1u, sizeof *names);
    if (!names) return host_no_memory(error, "the names of dispatches");
    c->names = names;
    c->names[c->n_dispatches] = name;
    if (!device->caps.info.timestamps) return GPU_OK;

    if (c->n_dispatches == c->n_query_pools * POOL_DISPATCHES) {
        VkQueryPool *pools = host_grow(&device->host, c->query_pools, &c->query_pools_capacity,
                                       c->n_query_pools + 1, sizeof *pools);
        if (!pools) return host_no_memory(error, "the list of query pools");
        c->query_pools = pools;
        const VkQueryPoolCreateInfo info = {
            .sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
            .queryType = VK_QUERY_TYPE_TIMESTAMP,
            .queryCount = 2 * POOL_DISPATCHES,
        };
        VkQueryPool *pool = &c->query_pools[c->n_query_pools];
        TRY_DEVICE(device, error, device->vk.CreateQueryPool(device->handle, &info, NULL, pool));
        c->n_query_pools++;
        device->vk.CmdResetQueryPool(c->buffer, *pool, 0, 2 * POOL_DISPATCHES);
    }
    device->vk.CmdWriteTimestamp(c->buffer, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                                 c->query_pools[c->n_query_pools - 1],
                                 2 * (c->n_dispatches % POOL_DISPATCHES));
    return GPU_OK;
}

void profile_after(struct gpu_commands *c)
{
    if (!c->profile || !c->device->caps.info.timestamps) return;
    c->device->vk.CmdWriteTimestamp(c->buffer, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                                    c->query_pools[c->n_query_pools - 1],
                                    2 * (c->n_dispatches % POOL_DISPATCHES) + 1);
}

void profile_free(struct gpu_device *device, struct gpu_commands *c)
{
    for (size_t i = 0; i < c->n_query_pools; i++)
        device->vk.DestroyQueryPool(device->handle, c->query_pools[i], NULL);
    host_free(&device->host, c->query_pools, c->query_pools_capacity * sizeof *c->query_pools);
    host_free(&device->host, c->names, c->names_capacity * sizeof *c->names);
}

const char *gpu_commands_time(struct gpu_commands *c, uint32_t i, double *nanoseconds)
{
    *nanoseconds = 0;
    if (!c->profile || i >= c->n_dispatches) return NULL;
    if (i / POOL_DISPATCHES >= c->n_query_pools) return c->names[i];
    const struct caps *caps = &c->device->caps;
    uint64_t times[2];
    const VkResult result = c->device->vk.GetQueryPoolResults(
        c->device->handle, c->query_pools[i / POOL_DISPATCHES], 2 * (i % POOL_DISPATCHES), 2,
        sizeof times, times, sizeof times[0], VK_QUERY_RESULT_64_BIT);
    if (result == VK_ERROR_DEVICE_LOST) atomic_store(&c->device->lost, true);
    if (result != VK_SUCCESS) return c->names[i];
    const uint64_t mask =
        caps->timestamp_bits < 64 ? (1ull << caps->timestamp_bits) - 1 : UINT64_MAX;
    *nanoseconds = (double)((times[1] - times[0]) & mask) * caps->timestamp_period;
    return c->names[i];
}

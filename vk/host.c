/* host.c - what the host lends: memory and a log; and the words of errors. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vk.h"

static void *libc_realloc(void *user, void *ptr, size_t old_size, size_t new_size)
{
    (void)user;
    (void)old_size;
    if (new_size == 0) {
        free(ptr);
        return NULL;
    }
    return realloc(ptr, new_size);
}

void host_init(struct gpu_host *out, const struct gpu_host *host)
{
    *out = host ? *host : (struct gpu_host){0};
    if (!out->realloc) out->realloc = libc_realloc;
}

void *host_new(const struct gpu_host *host, size_t n, size_t size)
{
    if (!n || !size || n > SIZE_MAX / size) return NULL;
    void *p = host->realloc(host->realloc_user, NULL, 0, n * size);
    if (p) memset(p, 0, n * size);
    return p;
}

void host_free(const struct gpu_host *host, void *ptr, size_t size)
{
    if (ptr) host->realloc(host->realloc_user, ptr, size, 0);
}

void *host_grow(const struct gpu_host *host, void *items, size_t *capacity, size_t n,
                size_t item_size)
{
    if (n <= *capacity) return items;
    size_t wanted = *capacity + *capacity / 2;
    if (wanted < n) wanted = n;
    if (wanted < 8) wanted = 8;
    if (wanted > SIZE_MAX / item_size) return NULL;
    void *grown =
        host->realloc(host->realloc_user, items, *capacity * item_size, wanted * item_size);
    if (grown) *capacity = wanted;
    return grown;
}

void host_log(const struct gpu_host *host, int level, const char *text)
{
    if (host->log) host->log(host->log_user, level, text);
}

enum gpu_status host_error(struct gpu_error *error, enum gpu_status status, const char *format, ...)
{
    if (!error) return status;
    va_list args;
    va_start(args, format);
    vsnprintf(error->message, sizeof error->message, format, args);
    va_end(args);
    return status;
}

enum gpu_status host_no_memory(struct gpu_error *error, const char *what)
{
    return host_error(error, GPU_OUT_OF_MEMORY, "out of host memory for %s", what);
}

struct result_row {
    VkResult result;
    enum gpu_status status;
    const char *name;
};

#define ROW(result, status)                                                                        \
    {                                                                                              \
        result, status, #result                                                                    \
    }
static const struct result_row result_rows[] = {
    ROW(VK_ERROR_OUT_OF_HOST_MEMORY, GPU_OUT_OF_MEMORY),
    ROW(VK_ERROR_OUT_OF_DEVICE_MEMORY, GPU_OUT_OF_MEMORY),
    ROW(VK_ERROR_OUT_OF_POOL_MEMORY, GPU_OUT_OF_MEMORY),
    ROW(VK_ERROR_FRAGMENTED_POOL, GPU_OUT_OF_MEMORY),
    ROW(VK_ERROR_FRAGMENTATION, GPU_OUT_OF_MEMORY),
    ROW(VK_ERROR_MEMORY_MAP_FAILED, GPU_OUT_OF_MEMORY),
    ROW(VK_ERROR_TOO_MANY_OBJECTS, GPU_OUT_OF_MEMORY),
    ROW(VK_ERROR_DEVICE_LOST, GPU_LOST),
    ROW(VK_ERROR_INCOMPATIBLE_DRIVER, GPU_NO_DEVICE),
    ROW(VK_ERROR_INITIALIZATION_FAILED, GPU_FAILED),
    ROW(VK_ERROR_LAYER_NOT_PRESENT, GPU_FAILED),
    ROW(VK_ERROR_EXTENSION_NOT_PRESENT, GPU_FAILED),
    ROW(VK_ERROR_FEATURE_NOT_PRESENT, GPU_FAILED),
    ROW(VK_ERROR_FORMAT_NOT_SUPPORTED, GPU_FAILED),
    ROW(VK_ERROR_INVALID_SHADER_NV, GPU_FAILED),
    ROW(VK_ERROR_NOT_PERMITTED_KHR, GPU_FAILED),
    ROW(VK_ERROR_UNKNOWN, GPU_FAILED),
};
#undef ROW

enum gpu_status host_result(struct gpu_error *error, const char *call, VkResult result)
{
    /* "device->vk.CreateFence(device->handle, ..." becomes "CreateFence". */
    size_t end = strcspn(call, "(");
    size_t begin = end;
    while (begin > 0 && call[begin - 1] != '.' && call[begin - 1] != '>') begin--;
    for (size_t i = 0; i < sizeof result_rows / sizeof result_rows[0]; i++) {
        const struct result_row *row = &result_rows[i];
        if (row->result != result) continue;
        return host_error(error, row->status, "vk%.*s: %s", (int)(end - begin), call + begin,
                          row->name);
    }
    return host_error(error, GPU_FAILED, "vk%.*s: VkResult %d", (int)(end - begin), call + begin,
                      (int)result);
}

/* Devices of a root: enumeration, choice, opening, and the pipeline cache on disk. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "kernels.h"
#include "leave.h"

static const char *const type_names[] = {"discrete", "integrated", "virtual", "cpu", "other"};

static void *lock_create(void)
{
    return os_lock_create();
}

static void lock_free(void *lock)
{
    os_lock_free(lock);
}

static void lock_take(void *lock)
{
    os_lock(lock);
}

static void lock_give(void *lock)
{
    os_unlock(lock);
}

static void gpu_log(void *user, int level, const char *text)
{
    root_log(user, level, "%s", text);
}

static struct gpu_host host_of(llm *root)
{
    return (struct gpu_host){
        root->alloc.realloc, root->alloc.user, lock_create, lock_free, lock_take,
        lock_give,           gpu_log,          root,        false};
}

llm_status root_gpu(llm *root, struct gpu **out, struct llm_error *error)
{
    os_lock(root->lock);
    if (!root->gpu_tried) {
        struct gpu_host host = host_of(root);
        root->gpu_status = gpu_open(&root->gpu, &host, &root->gpu_error);
        root->gpu_tried = root->gpu_status != GPU_OUT_OF_MEMORY;
    }
    *out = root->gpu;
    llm_status status = gpu_failed(root->gpu_status, &root->gpu_error, error);
    os_unlock(root->lock);
    return status;
}

void device_info_fill(struct gpu *gpu, const struct gpu_info *info, uint32_t index,
                      struct llm_device_info *out)
{
    (void)gpu;
    uint32_t size = out->size;
    memset(out, 0, sizeof *out);
    out->size = size;
    out->index = index;
    snprintf(out->name, sizeof out->name, "%s", info->name);
    snprintf(out->type, sizeof out->type, "%s", type_names[info->type]);
    snprintf(out->vendor, sizeof out->vendor, "%s", info->vendor);
    snprintf(out->driver, sizeof out->driver, "%s", info->driver);
    snprintf(out->api, sizeof out->api, "%" PRIu32 ".%" PRIu32 ".%" PRIu32,
             info->api_version >> 22 & 0x7f, info->api_version >> 12 & 0x3ff,
             info->api_version & 0xfff);
    snprintf(out->tiers, sizeof out->tiers, "T0%s", info->int_dot_fast ? " T3" : "");
    out->memory = info->memory;
    out->available = info->available;
    out->deterministic = 1;
    out->subgroup = info->subgroup;
}

uint32_t llm_device_count(llm *root)
{
    struct gpu *gpu;
    return root_gpu(root, &gpu, NULL) == LLM_OK ? gpu_count(gpu) : 0;
}

llm_status llm_device_get(llm *root, uint32_t index, struct llm_device_info *info,
                          struct llm_error *error)
{
    struct gpu *gpu;
    TRY(root_gpu(root, &gpu, error));
    if (index >= gpu_count(gpu))
        return error_set(error, LLM_NO_DEVICE, "there is no device %" PRIu32 ", only %" PRIu32,
                         index, gpu_count(gpu));
    os_lock(root->lock);
    device_info_fill(gpu, gpu_info(gpu, index), index, info);
    os_unlock(root->lock);
    return LLM_OK;
}

/* Case-insensitive: does text contain part? */
static bool contains(const char *text, const char *part)
{
    for (; *text; text++) {
        size_t i = 0;
        while (part[i] && tolower((unsigned char)text[i]) == tolower((unsigned char)part[i])) i++;
        if (!part[i]) return true;
    }
    return !*part;
}

static llm_status choose_index(struct gpu *gpu, const struct llm_load_options *o, uint32_t *index,
                               struct llm_error *error)
{
    uint32_t n = gpu_count(gpu);
    if (!o->device_name) {
        *index = o->device < 0 ? 0 : (uint32_t)o->device;
        if (*index < n) return LLM_OK;
        if (n == 0)
            return error_set(
                error, LLM_NO_DEVICE,
                "no Vulkan device was found: install a driver (Debian: mesa-vulkan-drivers)");
        return error_set(error, LLM_NO_DEVICE, "there is no device %" PRIu32 ": %" PRIu32 " found",
                         *index + 1, n);
    }
    for (uint32_t i = 0; i < n; i++) {
        const struct gpu_info *info = gpu_info(gpu, i);
        *index = i;
        if (!strcmp(o->device_name, type_names[info->type])) return LLM_OK;
    }
    for (uint32_t i = 0; i < n; i++) {
        *index = i;
        if (contains(gpu_info(gpu, i)->name, o->device_name)) return LLM_OK;
    }
    return error_set(error, LLM_NO_DEVICE, "no device is called '%.64s': %" PRIu32 " found%s%s",
                     o->device_name, n, n ? ", the first is " : "",
                     n ? gpu_info(gpu, 0)->name : "");
}

/* The file of that name for this device and driver; false where there is no folder for it. */
static bool cache_path(char out[CACHE_PATH], const char *folder, const char *name,
                       const struct gpu_info *info)
{
    char platform[900], id[33];
    out[0] = 0;
    if (!folder) folder = os_cache_folder(platform, sizeof platform) ? platform : "";
    if (!*folder) return false;
    for (int i = 0; i < 16; i++)
        snprintf(id + 2 * i, 3, "%02x", info->device_uuid[i] ^ info->driver_uuid[i]);
    int n = snprintf(out, CACHE_PATH, "%s/%s-%s-%" PRIx32 ".bin", folder, name, id,
                     info->driver_version);
    if (n < 0 || n >= CACHE_PATH) out[0] = 0;
    return out[0] != 0;
}

static struct choice_owner owner_of(const struct gpu_info *info)
{
    struct choice_owner owner = {.driver_version = info->driver_version,
                                 .kernels = kernels_checksum()};
    memcpy(owner.device_uuid, info->device_uuid, sizeof owner.device_uuid);
    memcpy(owner.driver_uuid, info->driver_uuid, sizeof owner.driver_uuid);
    return owner;
}

static llm_status read_choices(struct device *d, struct llm_error *error)
{
    void *bytes = NULL;
    size_t size = 0;
    if (!d->choice_path[0]) return LLM_OK;
    if (os_file_read(d->choice_path, &d->root->alloc, &bytes, &size, NULL) != LLM_OK) return LLM_OK;
    const struct choice_owner owner = owner_of(gpu_device_info(d->gpu));
    llm_status status = choices_read(&d->kernels->choices, &owner, bytes, size, error);
    alloc_free(&d->root->alloc, bytes, size);
    return status;
}

static void save_choices(struct device *d)
{
    struct choices *c = &d->kernels->choices;
    const struct choice_owner owner = owner_of(gpu_device_info(d->gpu));
    void *bytes = NULL;
    size_t size = 0;
    os_lock(d->kernels->lock);
    llm_status status = LLM_CLOSED;
    if (d->choice_path[0] && c->changed) status = choices_write(c, &owner, &bytes, &size, NULL);
    if (status == LLM_OK) c->changed = false;
    os_unlock(d->kernels->lock);
    if (status != LLM_OK) return;
    os_file_write(d->choice_path, bytes, size, NULL);
    alloc_free(&d->root->alloc, bytes, size);
}

static llm_status open_index(struct device *d, struct gpu *gpu, const struct llm_load_options *o,
                             struct llm_error *error)
{
    void *cache = NULL;
    const struct gpu_info *info = gpu_info(gpu, d->index);
    cache_path(d->choice_path, o->cache, "kernels", info);
    if (cache_path(d->cache_path, o->cache, "pipelines", info))
        os_file_read(d->cache_path, &d->root->alloc, &cache, &d->cache_size, NULL);
    struct gpu_error gpu_error = {{0}};
    enum gpu_status status =
        gpu_device_open(&d->gpu, gpu, d->index, cache, cache ? d->cache_size : 0, &gpu_error);
    alloc_free(&d->root->alloc, cache, d->cache_size);
    return gpu_failed(status, &gpu_error, error);
}

static llm_status borrow(struct device *d, const struct llm_vulkan_device *v,
                         struct llm_error *error)
{
    struct gpu_lent lent = {v->api_version,  v->get_instance_proc_addr,
                            v->instance,     v->physical_device,
                            v->device,       v->queue,
                            v->queue_family, v->n_extensions,
                            v->extensions,   v->features,
                            v->lock,         v->unlock,
                            v->user};
    struct gpu_host host = host_of(d->root);
    TRY_GPU(gpu_device_borrow(&d->gpu, &host, &lent, &gpu_error_), error);
    return LLM_OK;
}

static void device_free(struct device *d)
{
    struct device **link = &d->root->devices;
    while (*link != d) link = &(*link)->next;
    *link = d->next;
    kernels_free(d->kernels);
    gpu_device_close(d->gpu);
    alloc_free(&d->root->alloc, d, sizeof *d);
}

static llm_status open_locked(llm *root, const struct llm_load_options *o, struct device **out,
                              struct llm_error *error)
{
    uint32_t index = UINT32_MAX;
    struct gpu *gpu = NULL;
    if (!o->vulkan_device) {
        TRY(root_gpu(root, &gpu, error));
        TRY(choose_index(gpu, o, &index, error));
        for (struct device *d = root->devices; d; d = d->next) {
            if (d->index != index || gpu_done(d->gpu, 0) != GPU_OK) continue;
            d->n_users++;
            *out = d;
            return LLM_OK;
        }
    }
    struct device *d = alloc_zero(&root->alloc, 1, sizeof *d);
    if (!d) return error_memory(error, "a device", sizeof *d);
    d->root = root;
    d->index = index;
    d->n_users = 1;
    d->next = root->devices;
    root->devices = d;
    llm_status status =
        o->vulkan_device ? borrow(d, o->vulkan_device, error) : open_index(d, gpu, o, error);
    if (status == LLM_OK) status = kernels_create(&d->kernels, d->gpu, &root->alloc, error);
    if (status == LLM_OK) status = read_choices(d, error);
    if (status != LLM_OK) {
        device_free(d);
        return status;
    }
    leave_watch(root);
    *out = d;
    return LLM_OK;
}

llm_status device_open(llm *root, const struct llm_load_options *o, struct device **out,
                       struct llm_error *error)
{
    *out = NULL;
    os_lock(root->lock);
    llm_status status = open_locked(root, o, out, error);
    os_unlock(root->lock);
    return status;
}

/* Our own device stays open for the next model, unless it is lost; a lent one is let go with its
 * last model. */
void device_release(struct device *d)
{
    if (!d) return;
    llm *root = d->root;
    os_lock(root->lock);
    if (--d->n_users == 0 && (d->index == UINT32_MAX || gpu_done(d->gpu, 0) != GPU_OK))
        device_free(d);
    os_unlock(root->lock);
}

void device_save_cache(struct device *d)
{
    save_choices(d);
    if (!d->cache_path[0]) return;
    void *bytes = NULL;
    size_t size = 0;
    if (gpu_device_cache(d->gpu, &bytes, &size, NULL) != GPU_OK) return;
    if (size > 0 && size != d->cache_size &&
        os_file_write(d->cache_path, bytes, size, NULL) == LLM_OK)
        d->cache_size = size;
    gpu_free_bytes(d->gpu, bytes, size);
}

void devices_close(llm *root)
{
    while (root->devices) device_free(root->devices);
}

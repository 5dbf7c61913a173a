/* Calls that never fail on the devices that test machines have. */
#include <stdint.h>

#include "double.h"
#include "fixture.h"

/* ---- the whole way, with each call failing once ---- */

static const struct gpu_kernel_desc desc = {
    .name = "double",
    .spirv = double_spirv,
    .spirv_size = sizeof double_spirv,
    .n_buffers = 2,
    .written = 2,
    .push_size = 8,
    .n_spec = 2,
    .spec = (const uint32_t[]){64, 3},
};

struct way {
    struct gpu *gpu;
    struct gpu_device *device;
    struct gpu_buffer x, y, step;
    struct gpu_upload *upload;
    struct gpu_kernel *kernel;
    struct gpu_commands *commands;
    void *cache;
    size_t cache_size;
};

static enum gpu_status way_upload(struct way *w, struct gpu_error *error)
{
    TRY(gpu_upload_create(w->device, &w->upload, error));
    for (int i = 0; i < 3; i++) {
        void *memory;
        TRY(gpu_upload_begin(w->upload, &w->x, 0, 1000, &memory, error));
        memset(memory, i, 1000);
        TRY(gpu_upload_end(w->upload, error));
    }
    return gpu_upload_finish(w->upload, error);
}

static enum gpu_status way_record(struct way *w, struct gpu_error *error)
{
    const struct gpu_range ranges[] = {{&w->x, 0, 0}, {&w->y, 64, 512}};
    const uint32_t push[2] = {100, 7};
    TRY(gpu_commands_create(w->device, &w->commands, GPU_COMMANDS_TIMED, error));
    for (int i = 0; i < 130; i++) { /* more than one descriptor pool and one query pool hold */
        gpu_commands_dispatch(w->commands, w->kernel, ranges, push, 2, 1, 1);
        gpu_commands_barrier(w->commands);
    }
    gpu_commands_dispatch_indirect(w->commands, w->kernel, ranges, push, &w->step, 4);
    gpu_commands_barrier(w->commands);
    gpu_commands_copy(w->commands, &w->x, 0, &w->y, 0, 100);
    gpu_commands_fill(w->commands, &w->y, 200, 100, 1);
    return gpu_commands_end(w->commands, error);
}

static enum gpu_status way_go(struct way *w, const struct gpu_host *host, struct gpu_error *error)
{
    TRY(loader_open(&w->gpu, host, fake_get_instance_proc_addr, error));
    TRY(gpu_device_open(&w->device, w->gpu, 0, NULL, 0, error));
    TRY(gpu_buffer_create(w->device, &w->x, 4000, GPU_MEMORY_DEVICE, error));
    TRY(gpu_buffer_create(w->device, &w->y, 4000, GPU_MEMORY_READBACK, error));
    TRY(gpu_buffer_create(w->device, &w->step, 100, GPU_MEMORY_STEP, error));
    TRY(way_upload(w, error));
    TRY(gpu_kernel_create(w->device, &w->kernel, &desc, error));
    TRY(way_record(w, error));
    for (int i = 0; i < 3; i++) {
        uint64_t ticket;
        TRY(gpu_submit(w->device, &w->commands, 1, &ticket, error));
        TRY(gpu_wait(w->device, ticket, 1000, error));
    }
    return gpu_device_cache(w->device, &w->cache, &w->cache_size, error);
}

static void way_free(struct way *w)
{
    if (w->device) {
        gpu_free_bytes(w->device, w->cache, w->cache_size);
        gpu_upload_free(w->upload);
        gpu_commands_free(w->device, w->commands);
        gpu_kernel_free(w->device, w->kernel);
        gpu_buffer_free(w->device, &w->x);
        gpu_buffer_free(w->device, &w->y);
        gpu_buffer_free(w->device, &w->step);
    }
    gpu_device_close(w->device);
    gpu_close(w->gpu);
    memset(w, 0, sizeof *w);
}

/* Failures that are survived: without a cache, and a poll that is followed by a wait. */
static bool survived(const char *name)
{
    return !strcmp(name, "vkCreatePipelineCache") || !strcmp(name, "vkGetFenceStatus") ||
           !strcmp(name, "vkWaitForFences");
}

static void test_each_call_fails(void **state)
{
    (void)state;
    static const struct {
        VkResult result;
        enum gpu_status status;
    } rows[] = {
        {VK_ERROR_OUT_OF_DEVICE_MEMORY, GPU_OUT_OF_MEMORY},
        {VK_ERROR_DEVICE_LOST, GPU_LOST},
        {VK_ERROR_UNKNOWN, GPU_FAILED},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t n = 0;
        do {
            fake_reset(&small_card, 1);
            fake.fail_at = ++n;
            fake.fail_with = rows[i].result;
            struct host_count count = {0};
            struct gpu_host host = host_count(&count);
            host.validation = true;
            struct way way = {0};
            struct gpu_error error = {""};
            const enum gpu_status status = way_go(&way, &host, &error);
            const bool skipped =
                fake.failed && !strcmp(fake.failed, "vkEnumerateDeviceExtensionProperties") &&
                status == GPU_NO_DEVICE; /* a broken driver does not hide the others */
            if (fake.failed && status != rows[i].status && !skipped &&
                !(status == GPU_OK && survived(fake.failed))) {
                fail_msg("call %llu, %s fails with %d: status %d, %s", (unsigned long long)n,
                         fake.failed, rows[i].result, (int)status, error.message);
            }
            if (fake.failed && status != GPU_OK) assert_true(error.message[0] != 0);
            way_free(&way);
            assert_clean(&count);
            if (!fake.failed) assert_int_equal(status, GPU_OK);
        } while (fake.failed);
        assert_true(n > 60);
    }
}

static void test_no_host_memory(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        fake_reset(&small_card, 1);
        struct host_count count = {.fail_at = n};
        struct gpu_host host = host_count(&count);
        host.validation = true;
        struct way way = {0};
        struct gpu_error error = {""};
        const enum gpu_status status = way_go(&way, &host, &error);
        const bool failed = count.calls >= n;
        assert_int_equal(status, failed ? GPU_OUT_OF_MEMORY : GPU_OK);
        way_free(&way);
        assert_clean(&count);
        if (!failed) break;
    }
}

static void test_each_function_missing(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        fake_reset(&small_card, 1);
        fake.missing_at = n;
        struct host_count count = {0};
        struct gpu_host host = host_count(&count);
        host.validation = true;
        struct way way = {0};
        struct gpu_error error = {""};
        const enum gpu_status status = way_go(&way, &host, &error);
        const bool optional = fake.failed && strstr(fake.failed, "DebugUtilsMessengerEXT");
        assert_int_equal(status, !fake.failed || optional ? GPU_OK : GPU_NO_DEVICE);
        if (status != GPU_OK) assert_non_null(strstr(error.message, fake.failed));
        way_free(&way);
        assert_clean(&count);
        if (!fake.failed) break;
    }
}

/* ---- lost, held, lent ---- */

static void test_lost(void **state)
{
    (void)state;
    struct opened o;
    open_card(&o);
    struct gpu_commands *commands, *more;
    uint64_t first, second;
    assert_int_equal(gpu_commands_create(o.device, &commands, 0, &o.error), GPU_OK);
    assert_int_equal(gpu_commands_end(commands, &o.error), GPU_OK);
    assert_int_equal(gpu_submit(o.device, &commands, 1, &first, &o.error), GPU_OK);
    assert_int_equal(gpu_wait(o.device, first, 0, &o.error), GPU_OK);
    fake.hold = true;
    assert_int_equal(gpu_submit(o.device, &commands, 1, &second, &o.error), GPU_OK);
    assert_int_equal(second, first + 1);
    assert_int_equal(gpu_done(o.device, second), GPU_NOT_READY);
    assert_int_equal(gpu_wait(o.device, second, 1000, &o.error), GPU_NOT_READY);
    uint64_t third;
    assert_int_equal(gpu_submit(o.device, &commands, 1, &third, &o.error), GPU_FAILED);
    assert_non_null(strstr(o.error.message, "still running"));
    assert_int_equal(gpu_wait(o.device, second + 1, 0, &o.error), GPU_FAILED);

    fake.fail_name = "vkWaitForFences";
    fake.fail_with = VK_ERROR_DEVICE_LOST;
    assert_int_equal(gpu_wait(o.device, second, 1000, &o.error), GPU_LOST);
    fake.fail_name = NULL;
    assert_int_equal(gpu_done(o.device, second), GPU_LOST);
    assert_int_equal(gpu_done(o.device, first), GPU_OK);
    assert_int_equal(gpu_wait(o.device, second, 1000, &o.error), GPU_LOST);
    assert_int_equal(gpu_submit(o.device, &commands, 1, &second, &o.error), GPU_LOST);
    struct gpu_buffer buffer;
    struct gpu_kernel *kernel;
    struct gpu_upload *upload;
    assert_int_equal(gpu_buffer_create(o.device, &buffer, 10, GPU_MEMORY_STEP, &o.error), GPU_LOST);
    assert_int_equal(gpu_kernel_create(o.device, &kernel, &desc, &o.error), GPU_LOST);
    assert_int_equal(gpu_upload_create(o.device, &upload, &o.error), GPU_LOST);
    assert_int_equal(gpu_commands_create(o.device, &more, 0, &o.error), GPU_LOST);
    gpu_commands_free(o.device, commands);
    close_card(&o);
}

/* Fences go round: as many as are in flight at once, not as many as there are submissions. */
static void test_fences_are_reused(void **state)
{
    (void)state;
    struct opened o;
    open_card(&o);
    struct gpu_commands *commands;
    assert_int_equal(gpu_commands_create(o.device, &commands, 0, &o.error), GPU_OK);
    assert_int_equal(gpu_commands_end(commands, &o.error), GPU_OK);
    const unsigned before = fake.objects;
    for (uint64_t i = 1; i <= 100; i++) {
        uint64_t ticket;
        assert_int_equal(gpu_submit(o.device, &commands, 1, &ticket, &o.error), GPU_OK);
        assert_int_equal(ticket, i);
        assert_int_equal(gpu_done(o.device, ticket), GPU_OK);
    }
    assert_int_equal(fake.submits, 100);
    assert_int_equal(fake.objects, before + 1);
    gpu_commands_free(o.device, commands);
    close_card(&o);
}

static void test_time(void **state)
{
    (void)state;
    struct host_count count = {0};
    const struct gpu_host host = host_count(&count);
    struct way way = {0};
    struct gpu_error error;
    fake_reset(&small_card, 1);
    assert_int_equal(way_go(&way, &host, &error), GPU_OK);
    assert_int_equal(gpu_commands_count(way.commands), 131);
    double ns;
    assert_string_equal(gpu_commands_time(way.commands, 130, &ns), "double");
    assert_true(ns == 1000.0);
    assert_null(gpu_commands_time(way.commands, 131, &ns));
    assert_int_equal(fake.copies, 4);
    way_free(&way);
    assert_clean(&count);
}

struct lender {
    int locked, times;
    unsigned submits;
};

static void lender_lock(void *user)
{
    struct lender *lender = user;
    assert_int_equal(lender->locked++, 0);
    lender->submits = fake.submits;
}

static void lender_unlock(void *user)
{
    struct lender *lender = user;
    assert_int_equal(--lender->locked, 0);
    assert_int_equal(fake.submits, lender->submits + 1);
    lender->times++;
}

static void test_lent(void **state)
{
    (void)state;
    struct opened o;
    open_card(&o);
    const unsigned before = fake.objects;
    struct lender lender = {0};
    PFN_vkGetInstanceProcAddr get = fake_get_instance_proc_addr;
    VkPhysicalDevice8BitStorageFeatures storage8 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_8BIT_STORAGE_FEATURES,
        .storageBuffer8BitAccess = VK_TRUE,
    };
    VkPhysicalDeviceVulkan11Features features = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES,
        .pNext = &storage8,
        .storageBuffer16BitAccess = VK_TRUE,
    };
    struct gpu_lent lent = {
        .api_version = VK_API_VERSION_1_2,
        .instance = o.gpu->instance,
        .physical_device = o.device->caps.physical,
        .device = o.device->handle,
        .queue = o.device->queue,
        .features = &features,
        .lock = lender_lock,
        .unlock = lender_unlock,
        .user = &lender,
    };
    const struct gpu_host host = host_count(&o.count);
    struct gpu_device *device;
    assert_int_equal(gpu_device_borrow(&device, &host, &lent, &o.error), GPU_FAILED);
    memcpy(&lent.get_instance_proc_addr, &get, sizeof get);
    assert_int_equal(gpu_device_borrow(&device, &host, &lent, &o.error), GPU_OK);
    const struct gpu_info *info = gpu_device_info(device);
    assert_true(info->storage16);
    assert_true(info->storage8);
    assert_false(info->int16); /* the device can, the lender did not enable it */
    struct gpu_commands *commands;
    assert_int_equal(gpu_commands_create(device, &commands, 0, &o.error), GPU_OK);
    assert_int_equal(gpu_commands_end(commands, &o.error), GPU_OK);
    uint64_t ticket;
    assert_int_equal(gpu_submit(device, &commands, 1, &ticket, &o.error), GPU_OK);
    assert_int_equal(gpu_wait(device, ticket, 0, &o.error), GPU_OK);
    assert_int_equal(lender.times, 1);
    gpu_commands_free(device, commands);
    gpu_device_close(device);
    assert_int_equal(fake.objects, before);
    lent.queue_family = 3;
    assert_int_equal(gpu_device_borrow(&device, &host, &lent, &o.error), GPU_NO_DEVICE);
    close_card(&o);
}

/* What the driver says of its cache, if it has the extension for it or Vulkan 1.3. */
static void test_cached(void **state)
{
    (void)state;
    static const struct {
        uint32_t api;
        VkPipelineCreationFeedbackFlagsEXT said;
        enum gpu_cached cached;
    } rows[] = {
        {VK_API_VERSION_1_3, 0, GPU_CACHED_UNKNOWN},
        {VK_API_VERSION_1_3, VK_PIPELINE_CREATION_FEEDBACK_VALID_BIT_EXT, GPU_CACHED_NO},
        {VK_API_VERSION_1_3,
         VK_PIPELINE_CREATION_FEEDBACK_VALID_BIT_EXT |
             VK_PIPELINE_CREATION_FEEDBACK_APPLICATION_PIPELINE_CACHE_HIT_BIT_EXT,
         GPU_CACHED_YES},
        {VK_API_VERSION_1_1, VK_PIPELINE_CREATION_FEEDBACK_VALID_BIT_EXT, GPU_CACHED_UNKNOWN},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fake_device made = small_card;
        struct gpu_error error;
        struct gpu *gpu;
        struct gpu_device *device;
        struct gpu_kernel *kernel;
        made.api = rows[i].api;
        fake_reset(&made, 1);
        fake.feedback = rows[i].said;
        assert_int_equal(loader_open(&gpu, NULL, fake_get_instance_proc_addr, &error), GPU_OK);
        assert_int_equal(gpu_device_open(&device, gpu, 0, NULL, 0, &error), GPU_OK);
        assert_int_equal(gpu_kernel_create(device, &kernel, &desc, &error), GPU_OK);
        assert_int_equal(gpu_kernel_cached(kernel), rows[i].cached);
        gpu_kernel_free(device, kernel);
        gpu_device_close(device);
        gpu_close(gpu);
        assert_int_equal(fake.objects, 0);
    }
}

static void test_null(void **state)
{
    (void)state;
    struct opened o;
    open_card(&o);
    gpu_close(NULL);
    gpu_device_close(NULL);
    gpu_buffer_free(o.device, NULL);
    gpu_upload_free(NULL);
    gpu_kernel_free(o.device, NULL);
    gpu_commands_free(o.device, NULL);
    gpu_free_bytes(o.device, NULL, 0);
    assert_int_equal(gpu_done(o.device, 0), GPU_OK);
    assert_int_equal(gpu_wait(o.device, 0, 0, NULL), GPU_OK);
    close_card(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_call_fails),
        cmocka_unit_test(test_no_host_memory),
        cmocka_unit_test(test_each_function_missing),
        cmocka_unit_test(test_lost),
        cmocka_unit_test(test_fences_are_reused),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_lent),
        cmocka_unit_test(test_cached),
        cmocka_unit_test(test_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

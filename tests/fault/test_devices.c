/* Which devices are taken, in which order, and which of their memory. */
#include "fixture.h"

/* ---- which device ---- */

static void test_order(void **state)
{
    (void)state;
    static const struct fake_device devices[] = {
        {.name = "cpu", .type = CPU, SHARED(64 * GIB)},
        {.name = "other", .type = OTHER, SHARED(64 * GIB)},
        {.name = "old", .type = DISCRETE, .api = VK_API_VERSION_1_0, APART(64 * GIB)},
        {.name = "small", .type = DISCRETE, APART(4 * GIB)},
        {.name = "four buffers", .type = DISCRETE, .bindings = 4, APART(64 * GIB)},
        {.name = "few invocations", .type = DISCRETE, .invocations = 64, APART(64 * GIB)},
        {.name = "little shared", .type = DISCRETE, .shared_size = 8192, APART(64 * GIB)},
        {.name = "no compute", .type = DISCRETE, .no_compute = true, APART(64 * GIB)},
        {.name = "virtual", .type = VIRTUAL, APART(16 * GIB)},
        {.name = "large", .type = DISCRETE, APART(24 * GIB)},
        {.name = "integrated", .type = INTEGRATED, SHARED(32 * GIB)},
    };
    static const char *const order[] = {"large", "small", "integrated", "virtual", "cpu", "other"};
    fake_reset(devices, COUNT(devices));
    struct host_count count = {0};
    struct gpu *gpu = open_fake(&count);
    assert_int_equal(gpu_count(gpu), COUNT(order));
    for (uint32_t i = 0; i < COUNT(order); i++)
        assert_string_equal(gpu_info(gpu, i)->name, order[i]);
    assert_null(gpu_info(gpu, COUNT(order)));
    struct gpu_device *device;
    struct gpu_error error;
    assert_int_equal(gpu_device_open(&device, gpu, 6, NULL, 0, &error), GPU_NO_DEVICE);
    assert_non_null(strstr(error.message, "no Vulkan device 6"));
    gpu_close(gpu);
    assert_clean(&count);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        struct fake_device device;
        const char *words;
    } rows[] = {
        {{.name = "Tiny", .type = DISCRETE, .bindings = 4, APART(GIB)},
         "Tiny has 4 storage buffers a stage, at least 8"},
        {{.name = "Tiny", .type = DISCRETE, .invocations = 64, APART(GIB)},
         "Tiny has 64 invocations a workgroup"},
        {{.name = "Tiny", .type = DISCRETE, .shared_size = 8192, APART(GIB)},
         "Tiny has 8192 bytes of shared memory"},
        {{.name = "Tiny", .type = DISCRETE, .no_compute = true, APART(GIB)},
         "Tiny has no compute queue"},
        {{.name = "Tiny", .type = DISCRETE, .api = VK_API_VERSION_1_0, APART(GIB)},
         "Tiny has Vulkan 1.0"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        fake_reset(&rows[i].device, 1);
        struct host_count count = {0};
        const struct gpu_host host = host_count(&count);
        struct gpu *gpu;
        struct gpu_error error = {""};
        assert_int_equal(loader_open(&gpu, &host, fake_get_instance_proc_addr, &error),
                         GPU_NO_DEVICE);
        if (!strstr(error.message, rows[i].words))
            fail_msg("\"%s\" lacks \"%s\"", error.message, rows[i].words);
        assert_null(gpu);
        assert_clean(&count);
    }
}

static void test_loader(void **state)
{
    (void)state;
    struct host_count count = {0};
    const struct gpu_host host = host_count(&count);
    struct gpu *gpu;
    struct gpu_error error;
    fake_reset(NULL, 0);
    assert_int_equal(loader_open(&gpu, &host, fake_get_instance_proc_addr, &error), GPU_NO_DEVICE);
    fake.loader_api = VK_API_VERSION_1_0;
    assert_int_equal(loader_open(&gpu, &host, fake_get_instance_proc_addr, &error), GPU_NO_DEVICE);
    assert_non_null(strstr(error.message, "1.1"));
    fake.loader_api = 0;
    fake.fail_name = "vkCreateInstance";
    fake.fail_with = VK_ERROR_INCOMPATIBLE_DRIVER;
    assert_int_equal(loader_open(&gpu, &host, fake_get_instance_proc_addr, &error), GPU_NO_DEVICE);
    assert_non_null(strstr(error.message, "driver"));
    assert_clean(&count);
}

static void test_quirks(void **state)
{
    (void)state;
    static const struct {
        struct fake_device device;
        bool software, loop_limit;
        const char *vendor;
    } rows[] = {
        {{.name = "a",
          .type = CPU,
          .vendor_id = 0x10005,
          .driver_id = VK_DRIVER_ID_MESA_LLVMPIPE,
          .driver_version = 1,
          SHARED(GIB)},
         true,
         true,
         "Mesa"},
        {{.name = "b",
          .type = CPU,
          .vendor_id = 0x10005,
          .driver_id = VK_DRIVER_ID_MESA_LLVMPIPE,
          .driver_version = VK_MAKE_API_VERSION(0, 24, 3, 9),
          SHARED(GIB)},
         true,
         true,
         "Mesa"},
        {{.name = "c",
          .type = CPU,
          .vendor_id = 0x10005,
          .driver_id = VK_DRIVER_ID_MESA_LLVMPIPE,
          .driver_version = VK_MAKE_API_VERSION(0, 25, 0, 0),
          SHARED(GIB)},
         true,
         false,
         "Mesa"},
        {{.name = "d",
          .type = CPU,
          .vendor_id = 0x1AE0,
          .driver_id = VK_DRIVER_ID_GOOGLE_SWIFTSHADER,
          .driver_version = 1,
          SHARED(GIB)},
         true,
         false,
         "Google"},
        {{.name = "e", .type = DISCRETE, .vendor_id = 0x10DE, APART(GIB)}, false, false, "NVIDIA"},
        {{.name = "f", .type = DISCRETE, .vendor_id = 0xABCD, APART(GIB)}, false, false, "0xabcd"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        fake_reset(&rows[i].device, 1);
        struct host_count count = {0};
        struct gpu *gpu = open_fake(&count);
        const struct gpu_info *info = gpu_info(gpu, 0);
        assert_int_equal(info->software, rows[i].software);
        assert_int_equal(info->loop_limit, rows[i].loop_limit);
        assert_string_equal(info->vendor, rows[i].vendor);
        gpu_close(gpu);
        assert_clean(&count);
    }
}

/* ---- which memory ---- */

static void test_memory_types(void **state)
{
    (void)state;
    static const struct {
        struct fake_device device;
        bool unified;
        uint32_t types[MEMORY_KINDS]; /* device, step, readback, host */
    } rows[] = {
        {{.name = "small window",
          .type = DISCRETE,
          .types = {{L | M, 2}, {L, 0}, {M, 1}, {M | C, 1}},
          .heaps = {8 * GIB, 16 * GIB, 256 * MIB},
          .local_heaps = 5},
         false,
         {1, 2, 3, 2}},
        {{.name = "small window, larger host",
          .type = DISCRETE,
          .types = {{M, 1}, {M | C, 1}, {L | M | AMD, 2}, {L, 0}, {L | M, 2}},
          .heaps = {8 * GIB, 64 * GIB, 256 * MIB},
          .local_heaps = 5},
         false,
         {3, 0, 1, 0}},
        {{.name = "all visible",
          .type = DISCRETE,
          .types = {{L, 0}, {M, 1}, {L | M, 0}, {M | C, 1}},
          .heaps = {8 * GIB, 16 * GIB},
          .local_heaps = 1},
         false,
         {0, 2, 3, 1}},
        {{.name = "all visible, strange types first",
          .type = DISCRETE,
          .types = {{L | AMD, 0}, {L | M | AMD, 0}, {L, 0}, {M, 1}, {L | M, 0}, {M | C, 1}},
          .heaps = {8 * GIB, 16 * GIB},
          .local_heaps = 1},
         false,
         {2, 4, 5, 3}},
        {{.name = "all visible, no cached",
          .type = DISCRETE,
          .types = {{L | M, 0}, {M, 1}},
          .heaps = {8 * GIB, 4 * GIB},
          .local_heaps = 1},
         false,
         {0, 0, 1, 1}},
        {{.name = "the plain type has a small heap",
          .type = DISCRETE,
          .types = {{L, 1}, {L | M, 0}, {M, 2}, {M | C, 2}},
          .heaps = {8 * GIB, 256 * MIB, 16 * GIB},
          .local_heaps = 3},
         false,
         {1, 1, 3, 2}},
        {{.name = "one heap",
          .type = INTEGRATED,
          .types = {{L, 0}, {L | M, 0}, {L | M | C, 0}},
          .heaps = {8 * GIB},
          .local_heaps = 1},
         true,
         {1, 1, 2, 1}},
        {{.name = "two heaps",
          .type = INTEGRATED,
          .types = {{L, 1}, {M, 0}, {L | M, 1}, {M | C, 0}},
          .heaps = {5 * GIB, 10 * GIB},
          .local_heaps = 2},
         true,
         {2, 2, 3, 1}},
        {{.name = "one type",
          .type = CPU,
          .types = {{L | M | C, 0}},
          .heaps = {2 * GIB},
          .local_heaps = 1},
         true,
         {0, 0, 0, 0}},
        {{.name = "a card behind a machine",
          .type = VIRTUAL,
          .types = {{L, 0}, {M, 1}, {L | M, 0}},
          .heaps = {8 * GIB, 8 * GIB},
          .local_heaps = 1},
         false,
         {0, 2, 1, 1}},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        fake_reset(&rows[i].device, 1);
        struct host_count count = {0};
        struct gpu *gpu = open_fake(&count);
        struct gpu_device *device;
        struct gpu_error error = {""};
        assert_int_equal(gpu_device_open(&device, gpu, 0, NULL, 0, &error), GPU_OK);
        assert_int_equal(gpu_device_info(device)->unified, rows[i].unified);
        for (enum gpu_memory kind = 0; kind < MEMORY_KINDS; kind++) {
            if (device->memory.type[kind] != rows[i].types[kind]) {
                fail_msg("%s, kind %d: type %u, wanted %u", rows[i].device.name, (int)kind,
                         device->memory.type[kind], rows[i].types[kind]);
            }
            struct gpu_buffer buffer;
            assert_int_equal(gpu_buffer_create(device, &buffer, 1000, kind, &error), GPU_OK);
            assert_int_equal(buffer.map != NULL, kind != GPU_MEMORY_DEVICE || rows[i].unified);
            gpu_buffer_free(device, &buffer);
        }
        gpu_device_close(device);
        gpu_close(gpu);
        assert_clean(&count);
    }
}

static void test_budget(void **state)
{
    (void)state;
    struct opened o;
    open_card(&o);
    assert_int_equal(gpu_info(o.gpu, 0)->available, GIB);
    struct gpu_buffer buffer;
    assert_int_equal(
        gpu_buffer_create(o.device, &buffer, GIB - 64 * MIB, GPU_MEMORY_DEVICE, &o.error), GPU_OK);
    gpu_buffer_free(o.device, &buffer);
    const uint64_t calls = fake.calls;
    assert_int_equal(gpu_buffer_create(o.device, &buffer, GIB - 64, GPU_MEMORY_DEVICE, &o.error),
                     GPU_OK);
    gpu_buffer_free(o.device, &buffer);
    assert_true(fake.calls > calls);
    fake.fail_name = "vkAllocateMemory"; /* must not even be asked for */
    assert_int_equal(gpu_buffer_create(o.device, &buffer, 2 * GIB, GPU_MEMORY_DEVICE, &o.error),
                     GPU_UNSUPPORTED);
    assert_non_null(strstr(o.error.message, "2147483648"));
    assert_null(fake.failed);
    assert_int_equal(gpu_buffer_create(o.device, &buffer, 0, GPU_MEMORY_DEVICE, &o.error),
                     GPU_FAILED);
    close_card(&o);

    static const struct fake_device small = {
        .name = "Small", .type = DISCRETE, APART(8 * GIB), .budget = {100 * MIB, GIB}};
    struct host_count count = {0};
    fake_reset(&small, 1);
    struct gpu *gpu = open_fake(&count);
    struct gpu_device *device;
    struct gpu_error error;
    assert_int_equal(gpu_device_open(&device, gpu, 0, NULL, 0, &error), GPU_OK);
    assert_int_equal(gpu_buffer_create(device, &buffer, 200 * MIB, GPU_MEMORY_DEVICE, &error),
                     GPU_OUT_OF_MEMORY);
    assert_non_null(strstr(error.message, "209715200"));
    assert_non_null(strstr(error.message, "104857600"));
    assert_null(buffer.map);
    gpu_buffer_free(device, &buffer);
    gpu_device_close(device);
    gpu_close(gpu);
    assert_clean(&count);
}

/* Random creates and frees: no two buffers overlap, and at the end no block is left. */
static void test_blocks(void **state)
{
    (void)state;
    enum { N = 60, STEPS = 5000 };
    struct opened o;
    open_card(&o);
    const unsigned before = fake.objects;
    struct gpu_buffer buffers[N];
    memset(buffers, 0, sizeof buffers);
    uint32_t random = 1;
    for (int step = 0; step < STEPS; step++) {
        random = random * 1664525u + 1013904223u;
        struct gpu_buffer *b = &buffers[(random >> 8) % N];
        if (b->handle) {
            gpu_buffer_free(o.device, b);
            assert_int_equal(b->size, 0);
            continue;
        }
        const uint64_t size = 1 + (random >> 12) % (random >> 31 ? 4 * MIB : 3000ull);
        const enum gpu_memory kind = (enum gpu_memory)((random >> 16) % (uint32_t)MEMORY_KINDS);
        assert_int_equal(gpu_buffer_create(o.device, b, size, kind, &o.error), GPU_OK);
        assert_int_equal(b->allocation_offset % 64, 0);
        assert_true(gpu_buffer_cost(o.device, size, kind) >= size);
        for (int i = 0; i < N; i++) {
            const struct gpu_buffer *c = &buffers[i];
            if (c == b || !c->handle || c->block != b->block) continue;
            assert_true(c->allocation_offset + c->size <= b->allocation_offset ||
                        b->allocation_offset + b->size <= c->allocation_offset);
        }
    }
    for (int i = 0; i < N; i++) gpu_buffer_free(o.device, &buffers[i]);
    assert_int_equal(fake.objects, before);
    for (size_t i = 0; i < VK_MAX_MEMORY_HEAPS; i++) assert_int_equal(o.device->memory.taken[i], 0);
    close_card(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_loader),       cmocka_unit_test(test_quirks),
        cmocka_unit_test(test_memory_types), cmocka_unit_test(test_budget),
        cmocka_unit_test(test_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

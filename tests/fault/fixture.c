#include "fixture.h"

const struct fake_device card = {
    .name = "Card", .type = DISCRETE, APART(8 * GIB), .budget = {GIB, 16 * GIB}};

const struct fake_device small_card = {
    .name = "Small card", .type = DISCRETE, APART(256 * MIB), .budget = {GIB, GIB}};

struct gpu *open_fake(struct host_count *count)
{
    struct gpu *gpu;
    struct gpu_error error = {""};
    const struct gpu_host host = host_count(count);
    if (loader_open(&gpu, &host, fake_get_instance_proc_addr, &error) != GPU_OK)
        fail_msg("%s", error.message);
    return gpu;
}

void assert_clean(const struct host_count *count)
{
    assert_int_equal(fake.objects, 0);
    assert_int_equal(fake.wrong, 0);
    assert_int_equal(count->bytes, 0);
    assert_int_equal(count->wrong_sizes, 0);
}

void open_card(struct opened *o)
{
    *o = (struct opened){0};
    fake_reset(&card, 1);
    o->gpu = open_fake(&o->count);
    assert_int_equal(gpu_device_open(&o->device, o->gpu, 0, NULL, 0, &o->error), GPU_OK);
}

void close_card(struct opened *o)
{
    gpu_device_close(o->device);
    gpu_close(o->gpu);
    assert_clean(&o->count);
}

/* vk/ on the driver of this machine, under the validation layer where it is installed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <pthread.h>

#include "double.h"
#include "host_count.h"
#include "vk.h"

/* For AddressSanitizer: drivers and layers leak; what we take is counted. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

enum { N = 1000 };

static struct host_count count;
static struct gpu *gpu;
static struct gpu_device *device;
static struct gpu_error error;

#define OK(call)                                                                                   \
    do {                                                                                           \
        if ((call) != GPU_OK) fail_msg("%s: %s", #call, error.message);                            \
    } while (0)

static int setup(void **state)
{
    (void)state;
    struct gpu_host host = host_count(&count);
    host.validation = true;
    if (gpu_open(&gpu, &host, &error) != GPU_OK ||
        gpu_device_open(&device, gpu, 0, NULL, 0, &error) != GPU_OK) {
        print_message("no test: %s\n", error.message);
        gpu_close(gpu);
        gpu = NULL;
    }
    return 0;
}

/* The layer's messages fail the tests, too. */
static int teardown(void **state)
{
    (void)state;
    gpu_device_close(device);
    gpu_close(gpu);
    if (count.bytes || count.wrong_sizes)
        print_error("%zu bytes not freed, %u wrong sizes\n", count.bytes, count.wrong_sizes);
    return count.bytes || count.wrong_sizes ? -1 : 0;
}

static void need_device(void)
{
    if (!device) skip();
}

static void assert_silent(void)
{
    if (count.logs && !strstr(count.log, "not installed")) fail_msg("%s", count.log);
}

static const uint32_t spec[] = {64, 3};
static const struct gpu_kernel_desc desc = {
    .name = "double",
    .spirv = double_spirv,
    .spirv_size = sizeof double_spirv,
    .n_buffers = 2,
    .written = 2,
    .push_size = 8,
    .n_spec = 2,
    .spec = spec,
};

/* Two buffers, a kernel and a list to record into. */
struct bench {
    struct gpu_buffer x, y, counts;
    struct gpu_kernel *kernel;
    struct gpu_commands *commands;
};

static void bench_open(struct bench *b)
{
    memset(b, 0, sizeof *b);
    OK(gpu_buffer_create(device, &b->x, 4 * N, GPU_MEMORY_STEP, &error));
    OK(gpu_buffer_create(device, &b->y, 4 * N, GPU_MEMORY_READBACK, &error));
    OK(gpu_buffer_create(device, &b->counts, 64, GPU_MEMORY_STEP, &error));
    OK(gpu_kernel_create(device, &b->kernel, &desc, &error));
    OK(gpu_commands_create(device, &b->commands, GPU_COMMANDS_TIMED, &error));
    uint32_t *x = b->x.map, *y = b->y.map;
    for (uint32_t i = 0; i < N; i++) x[i] = i;
    memset(y, 0xEE, 4 * N);
}

static void bench_dispatch(struct bench *b, uint32_t n, uint32_t a)
{
    const struct gpu_range ranges[] = {{&b->x, 0, 0}, {&b->y, 0, 0}};
    const uint32_t push[] = {n, a};
    gpu_commands_dispatch(b->commands, b->kernel, ranges, push, (n + 63) / 64, 1, 1);
}

static void bench_run(struct bench *b)
{
    uint64_t ticket;
    OK(gpu_submit(device, &b->commands, 1, &ticket, &error));
    OK(gpu_wait(device, ticket, UINT64_MAX, &error));
    assert_int_equal(gpu_done(device, ticket), GPU_OK);
}

static void bench_close(struct bench *b)
{
    gpu_commands_free(device, b->commands);
    gpu_kernel_free(device, b->kernel);
    gpu_buffer_free(device, &b->x);
    gpu_buffer_free(device, &b->y);
    gpu_buffer_free(device, &b->counts);
    assert_silent();
}

static void test_info(void **state)
{
    (void)state;
    need_device();
    const struct gpu_info *info = gpu_info(gpu, 0);
    assert_true(info->name[0] && info->vendor[0]);
    assert_true(info->memory > 0 && info->available > 0);
    assert_true(info->bindings >= 8 && info->invocations >= 128 && info->shared_size >= 16384);
    assert_true(info->binding_size >= 1u << 27 && info->allocation_size <= 1u << 30);
    assert_true(info->subgroup_min <= info->subgroup && info->subgroup <= info->subgroup_max);
    if (info->type == GPU_CPU) assert_true(info->unified && info->software);
    assert_silent();
}

static void test_dispatch(void **state)
{
    (void)state;
    need_device();
    struct bench b;
    bench_open(&b);
    bench_dispatch(&b, N - 1, 7);
    OK(gpu_commands_end(b.commands, &error));
    uint32_t *x = b.x.map, *y = b.y.map;
    for (uint32_t round = 0; round < 3; round++) { /* recorded once, run again with other numbers */
        x[5] = round;
        bench_run(&b);
        for (uint32_t i = 0; i < N - 1; i++) assert_int_equal(y[i], 3 * x[i] + 7);
        assert_int_equal(y[N - 1], 0xEEEEEEEE);
    }
    assert_int_equal(gpu_commands_count(b.commands), 1);
    double ns = -1;
    assert_string_equal(gpu_commands_time(b.commands, 0, &ns), "double");
    assert_true(gpu_device_info(device)->timestamps ? ns > 0 && ns < 60e9 : ns == 0);
    bench_close(&b);
}

static void test_offsets(void **state)
{
    (void)state;
    need_device();
    struct bench b;
    bench_open(&b);
    const uint32_t align = gpu_device_info(device)->offset_alignment, first = align / 4;
    const struct gpu_range ranges[] = {{&b.x, align, 80}, {&b.y, 2 * align, 80}};
    gpu_commands_dispatch(b.commands, b.kernel, ranges, (const uint32_t[]){20, 0}, 1, 1, 1);
    OK(gpu_commands_end(b.commands, &error));
    bench_run(&b);
    const uint32_t *y = b.y.map;
    for (uint32_t i = 0; i < 20; i++) assert_int_equal(y[2 * first + i], 3 * (first + i));
    assert_int_equal(y[2 * first + 20], 0xEEEEEEEE);
    bench_close(&b);
}

static void test_indirect(void **state)
{
    (void)state;
    need_device();
    struct bench b;
    bench_open(&b);
    const struct gpu_range ranges[] = {{&b.x, 0, 0}, {&b.y, 0, 0}};
    gpu_commands_dispatch_indirect(b.commands, b.kernel, ranges, (const uint32_t[]){N, 1},
                                   &b.counts, 4);
    OK(gpu_commands_end(b.commands, &error));
    const uint32_t *y = b.y.map;
    for (uint32_t groups = 0; groups < 4; groups++) {
        memset(b.y.map, 0, 4 * N);
        memcpy((char *)b.counts.map + 4, &(uint32_t[]){groups, 1, 1}, 12);
        bench_run(&b);
        for (uint32_t i = 0; i < N; i++) assert_int_equal(y[i], i < 64 * groups ? 3 * i + 1 : 0);
    }
    bench_close(&b);
}

/* fill, then copy a part, then compute from it, with and through barriers. */
static void test_transfer(void **state)
{
    (void)state;
    need_device();
    struct bench b;
    bench_open(&b);
    struct gpu_buffer far;
    OK(gpu_buffer_create(device, &far, 4 * N, GPU_MEMORY_DEVICE, &error));
    gpu_commands_fill(b.commands, &far, 0, 4 * N, 11);
    gpu_commands_barrier(b.commands);
    gpu_commands_copy(b.commands, &b.x, 40, &far, 400, 400);
    gpu_commands_barrier(b.commands);
    const struct gpu_range ranges[] = {{&far, 0, 0}, {&b.y, 0, 0}};
    gpu_commands_dispatch(b.commands, b.kernel, ranges, (const uint32_t[]){N, 0}, 16, 1, 1);
    OK(gpu_commands_end(b.commands, &error));
    bench_run(&b);
    const uint32_t *y = b.y.map;
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(y[i], 3 * (i >= 100 && i < 200 ? i - 90 : 11));
    gpu_buffer_free(device, &far);
    bench_close(&b);
}

/* More dispatches than one pool of descriptors or queries holds, several lists in one submission.
 */
static void test_many(void **state)
{
    (void)state;
    need_device();
    struct bench b;
    bench_open(&b);
    struct gpu_commands *list[40];
    for (uint32_t i = 0; i < 40; i++) {
        struct gpu_commands *c;
        OK(gpu_commands_create(device, &c, i == 39 ? GPU_COMMANDS_TIMED : 0, &error));
        const struct gpu_range there[] = {{&b.x, 0, 0}, {&b.y, 0, 0}},
                               back[] = {{&b.y, 0, 0}, {&b.x, 0, 0}};
        for (uint32_t k = 0; k < (i == 39 ? 150u : 1u); k++) {
            const uint32_t push[] = {10, 1};
            if (k) gpu_commands_barrier(c);
            gpu_commands_dispatch(c, b.kernel, there, push, 1, 1, 1);
            gpu_commands_barrier(c);
            gpu_commands_dispatch(c, b.kernel, back, push, 1, 1, 1);
        }
        OK(gpu_commands_end(c, &error));
        list[i] = c;
    }
    uint64_t ticket, later;
    OK(gpu_submit(device, list, 40, &ticket, &error));
    OK(gpu_submit(device, NULL, 0, &later, &error));
    assert_int_equal(later, ticket + 1);
    OK(gpu_wait(device, later, UINT64_MAX, &error));
    assert_int_equal(gpu_done(device, ticket), GPU_OK);
    const uint32_t *x = b.x.map;
    for (uint32_t i = 0; i < 10; i++) {
        uint32_t wanted = i;
        for (uint32_t k = 0; k < 2 * (39 + 150); k++) wanted = 3 * wanted + 1;
        assert_int_equal(x[i], wanted);
    }
    double ns = 0;
    for (uint32_t i = 0; i < 300; i++) assert_non_null(gpu_commands_time(list[39], i, &ns));
    for (uint32_t i = 0; i < 40; i++) gpu_commands_free(device, list[i]);
    bench_close(&b);
}

static void test_upload(void **state)
{
    (void)state;
    need_device();
    struct gpu_upload *upload;
    OK(gpu_upload_create(device, &upload, &error));
    const size_t piece = gpu_upload_piece(upload), total = 2 * piece + piece / 2 + 4;
    struct gpu_buffer to, back;
    OK(gpu_buffer_create(device, &to, total, GPU_MEMORY_DEVICE, &error));
    OK(gpu_buffer_create(device, &back, total, GPU_MEMORY_READBACK, &error));
    for (size_t done = 0; done < total;) {
        const size_t n = total - done < piece ? total - done : piece;
        void *memory;
        OK(gpu_upload_begin(upload, &to, done, n, &memory, &error));
        for (size_t i = 0; i < n; i++)
            ((unsigned char *)memory)[i] = (unsigned char)((done + i) * 7 >> 3);
        OK(gpu_upload_end(upload, &error));
        done += n;
    }
    OK(gpu_upload_finish(upload, &error));
    struct gpu_commands *c;
    OK(gpu_commands_create(device, &c, 0, &error));
    gpu_commands_copy(c, &to, 0, &back, 0, total);
    OK(gpu_commands_end(c, &error));
    uint64_t ticket;
    OK(gpu_submit(device, &c, 1, &ticket, &error));
    OK(gpu_wait(device, ticket, UINT64_MAX, &error));
    size_t wrong = 0;
    for (size_t i = 0; i < total; i++)
        wrong += ((unsigned char *)back.map)[i] != (unsigned char)(i * 7 >> 3);
    assert_int_equal(wrong, 0);
    void *memory;
    assert_int_equal(gpu_upload_begin(upload, &to, 0, piece + 1, &memory, &error), GPU_FAILED);
    assert_int_equal(gpu_upload_begin(upload, &to, total, 1, &memory, &error), GPU_FAILED);
    assert_int_equal(gpu_upload_end(upload, &error), GPU_FAILED);
    gpu_commands_free(device, c);
    gpu_upload_free(upload);
    gpu_buffer_free(device, &to);
    gpu_buffer_free(device, &back);
    assert_silent();
}

/* ---- mistakes in recording ---- */

enum mistake {
    NO_BUFFER,
    OFFSET,
    PAST_END,
    ALIGNMENT,
    GROUPS,
    NO_PUSH,
    COUNTS,
    COPY,
    FILL,
    AFTER_END,
    N_MISTAKES
};

static void make_mistake(struct bench *b, enum mistake mistake)
{
    struct gpu_range r[] = {{&b->x, 0, 0}, {&b->y, 0, 0}};
    const uint32_t push[] = {N, 0};
    const struct gpu_buffer none = {0};
    uint32_t x = 1;
    switch (mistake) {
    case NO_BUFFER: r[1].buffer = &none; break;
    case OFFSET: r[0].offset = 4 * N; break;
    case PAST_END: r[0].size = 4 * N + 4; break;
    case ALIGNMENT: r[0].offset = 2; break;
    case GROUPS: x = UINT32_MAX; break;
    case COUNTS:
        gpu_commands_dispatch_indirect(b->commands, b->kernel, r, push, &b->counts, 56);
        return;
    case COPY: gpu_commands_copy(b->commands, &b->x, 8, &b->y, 0, 4 * N); return;
    case FILL: gpu_commands_fill(b->commands, &b->x, 2, 4, 0); return;
    case AFTER_END: assert_int_equal(gpu_commands_end(b->commands, &error), GPU_OK); break;
    case NO_PUSH:
    case N_MISTAKES: break;
    }
    gpu_commands_dispatch(b->commands, b->kernel, r, mistake == NO_PUSH ? NULL : push, x, 1, 1);
}

static void test_mistakes(void **state)
{
    (void)state;
    need_device();
    static const char *const words[N_MISTAKES] = {
        [NO_BUFFER] = "kernel double, binding 1: no buffer",
        [OFFSET] = "binding 0: 0 bytes from 4000 of a buffer of 4000",
        [PAST_END] = "4004 bytes from 0 of a buffer of 4000",
        [ALIGNMENT] = "offset 2 is no multiple of",
        [GROUPS] = "4294967295 x 1 x 1 workgroups",
        [NO_PUSH] = "kernel double: no push constants",
        [COUNTS] = "counts at 56 of a buffer of 64",
        [COPY] = "copy of 4000 bytes from 8 of 4000",
        [FILL] = "fill of 4 bytes from 2",
        [AFTER_END] = "double recorded after the end",
    };
    for (enum mistake m = 0; m < N_MISTAKES; m++) {
        struct bench b;
        bench_open(&b);
        make_mistake(&b, m);
        bench_dispatch(&b, N, 0); /* what follows an error changes nothing */
        assert_int_equal(gpu_commands_end(b.commands, &error), GPU_FAILED);
        if (!strstr(error.message, words[m]))
            fail_msg("\"%s\" lacks \"%s\"", error.message, words[m]);
        uint64_t ticket;
        assert_int_equal(gpu_submit(device, &b.commands, 1, &ticket, &error), GPU_FAILED);
        assert_int_equal(ticket, 0);
        bench_close(&b);
    }
}

static void test_bad_kernels(void **state)
{
    (void)state;
    need_device();
    struct gpu_kernel_desc bad[5];
    for (size_t i = 0; i < 5; i++) bad[i] = desc;
    static const uint32_t noise[8] = {1, 2, 3};
    bad[0].n_buffers = 33;
    bad[1].push_size = 1 << 20;
    bad[2].spirv = noise;
    bad[2].spirv_size = sizeof noise;
    bad[3].spirv_size -= 3;
    bad[4].subgroup = 3;
    for (size_t i = 0; i < 5; i++) {
        struct gpu_kernel *kernel;
        const enum gpu_status status = gpu_kernel_create(device, &kernel, &bad[i], &error);
        assert_int_equal(status, i == 2 || i == 3 ? GPU_FAILED : GPU_UNSUPPORTED);
        assert_non_null(strstr(error.message, "kernel double"));
        assert_null(kernel);
    }
    assert_silent();
}

#ifdef GPU_CHECK
static void test_hazards(void **state)
{
    (void)state;
    need_device();
    struct bench b;
    bench_open(&b);
    bench_dispatch(&b, N, 0);
    gpu_commands_barrier(b.commands);
    bench_dispatch(&b, N, 0);
    bench_dispatch(&b, N, 0);
    assert_int_equal(gpu_commands_end(b.commands, &error), GPU_FAILED);
    assert_non_null(
        strstr(error.message, "no barrier between double, which writes bytes 0 to 4000"));
    bench_close(&b);

    bench_open(&b); /* parts that do not touch, and two readers, are no hazard */
    gpu_commands_fill(b.commands, &b.y, 0, 64, 0);
    gpu_commands_fill(b.commands, &b.y, 64, 64, 0);
    gpu_commands_copy(b.commands, &b.x, 0, &b.y, 128, 64);
    gpu_commands_copy(b.commands, &b.x, 0, &b.y, 192, 64);
    OK(gpu_commands_end(b.commands, &error));
    bench_close(&b);

    bench_open(&b);
    gpu_commands_copy(b.commands, &b.x, 0, &b.y, 0, 64);
    gpu_commands_fill(b.commands, &b.x, 60, 4, 0);
    assert_int_equal(gpu_commands_end(b.commands, &error), GPU_FAILED);
    assert_non_null(strstr(error.message, "copy, which reads bytes 0 to 64"));
    bench_close(&b);
}
#else
/* Without our own check it is the layer that finds the hazard: its messages arrive. */
static void test_hazards(void **state)
{
    (void)state;
    need_device();
    struct bench b;
    bench_open(&b);
    gpu_commands_fill(b.commands, &b.y, 0, 64, 1);
    gpu_commands_fill(b.commands, &b.y, 60, 64, 2);
    OK(gpu_commands_end(b.commands, &error));
    if (!strstr(count.log, "not installed")) assert_non_null(strstr(count.log, "SYNC-HAZARD"));
    count.logs = 0;
    count.log[0] = 0;
    bench_close(&b);
}
#endif

/* ---- the pipeline cache ---- */

static enum gpu_cached use_cache(const void *bytes, size_t size)
{
    struct gpu_device *other;
    OK(gpu_device_open(&other, gpu, 0, bytes, size, &error));
    struct gpu_kernel *kernel;
    OK(gpu_kernel_create(other, &kernel, &desc, &error));
    const enum gpu_cached cached = gpu_kernel_cached(kernel);
    gpu_kernel_free(other, kernel);
    gpu_device_close(other);
    return cached;
}

static void test_cache(void **state)
{
    (void)state;
    need_device();
    struct gpu_kernel *kernel;
    OK(gpu_kernel_create(device, &kernel, &desc, &error));
    void *bytes;
    size_t size;
    OK(gpu_device_cache(device, &bytes, &size, &error));
    if (size == 0) skip();
    /* llvmpipe and SwiftShader keep nothing but the headers, theirs and ours. */
    const enum gpu_cached cached = use_cache(bytes, size);
    if (size > 64 && cached != GPU_CACHED_UNKNOWN) assert_int_equal(cached, GPU_CACHED_YES);
    unsigned char *damaged = malloc(size + 8);
    assert_non_null(damaged);
    for (size_t n = 0; n < size && n < 64; n += 3) use_cache(bytes, n);
    for (size_t i = 0; i < size && i < 64; i += 5) {
        memcpy(damaged, bytes, size);
        damaged[i] ^= 0x40;
        use_cache(damaged, size);
    }
    memset(damaged, 0xFF, size + 8);
    use_cache(damaged, size + 8);
    free(damaged);
    gpu_free_bytes(device, bytes, size);
    gpu_kernel_free(device, kernel);
    assert_silent();
}

/* ---- a device that somebody else made ---- */

static void test_borrow(void **state)
{
    (void)state;
    need_device();
    void *library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) skip();
    struct gpu_device *const lender = device;
    const struct gpu_lent lent = {
        .api_version = gpu->api,
        .get_instance_proc_addr = dlsym(library, "vkGetInstanceProcAddr"),
        .instance = gpu->instance,
        .physical_device = lender->caps.physical,
        .device = lender->handle,
        .queue = lender->queue,
        .queue_family = lender->caps.family,
    };
    const struct gpu_host host = host_count(&count);
    OK(gpu_device_borrow(&device, &host, &lent, &error));
    assert_false(gpu_device_info(device)->storage16); /* no features were told of */
    struct bench b;
    bench_open(&b);
    bench_dispatch(&b, N, 5);
    OK(gpu_commands_end(b.commands, &error));
    bench_run(&b);
    const uint32_t *y = b.y.map;
    for (uint32_t i = 0; i < N; i++) assert_int_equal(y[i], 3 * i + 5);
    bench_close(&b);
    gpu_device_close(device);
    device = lender;
    dlclose(library);
    test_dispatch(state); /* the lender's own work goes on */
}

/* ---- threads: all that may run at once, under the host's lock ---- */

static void *mutex_create(void)
{
    pthread_mutex_t *mutex = malloc(sizeof *mutex);
    if (mutex) pthread_mutex_init(mutex, NULL);
    return mutex;
}

static void mutex_free(void *mutex)
{
    pthread_mutex_destroy(mutex);
    free(mutex);
}

static void mutex_lock(void *mutex)
{
    pthread_mutex_lock(mutex);
}

static void mutex_unlock(void *mutex)
{
    pthread_mutex_unlock(mutex);
}

struct worker {
    struct gpu_device *device;
    uint32_t seed;
    struct gpu_error error;
    const char *failed;
};

#define WORK(call)                                                                                 \
    do {                                                                                           \
        if ((call) != GPU_OK) {                                                                    \
            w->failed = #call;                                                                     \
            return;                                                                                \
        }                                                                                          \
    } while (0)

static void worker_step(struct worker *w, struct bench *b, uint32_t a)
{
    uint64_t ticket;
    WORK(gpu_buffer_create(w->device, &b->x, 40000 + 4 * a, GPU_MEMORY_STEP, &w->error));
    WORK(gpu_buffer_create(w->device, &b->y, 4 * N, GPU_MEMORY_READBACK, &w->error));
    WORK(gpu_kernel_create(w->device, &b->kernel, &desc, &w->error));
    WORK(gpu_commands_create(w->device, &b->commands, 0, &w->error));
    uint32_t *x = b->x.map, *y = b->y.map;
    for (uint32_t i = 0; i < N; i++) x[i] = i * a;
    bench_dispatch(b, N, a);
    WORK(gpu_commands_end(b->commands, &w->error));
    WORK(gpu_submit(w->device, &b->commands, 1, &ticket, &w->error));
    while (gpu_done(w->device, ticket) == GPU_NOT_READY &&
           gpu_wait(w->device, ticket, 10000, NULL) == GPU_NOT_READY) {
    }
    WORK(gpu_wait(w->device, ticket, UINT64_MAX, &w->error));
    for (uint32_t i = 0; i < N; i++) {
        if (y[i] != 3 * x[i] + a) w->failed = "the result";
    }
}

static void *worker_run(void *user)
{
    struct worker *w = user;
    for (uint32_t i = 0; i < 30 && !w->failed; i++) {
        struct bench b = {0};
        worker_step(w, &b, w->seed + i);
        gpu_commands_free(w->device, b.commands);
        gpu_kernel_free(w->device, b.kernel);
        gpu_buffer_free(w->device, &b.x);
        gpu_buffer_free(w->device, &b.y);
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    need_device();
    enum { THREADS = 3 };
    const struct gpu_host host = {.lock_create = mutex_create,
                                  .lock_free = mutex_free,
                                  .lock = mutex_lock,
                                  .unlock = mutex_unlock};
    struct gpu *own;
    struct gpu_device *shared;
    OK(gpu_open(&own, &host, &error));
    OK(gpu_device_open(&shared, own, 0, NULL, 0, &error));
    struct worker workers[THREADS] = {{0}};
    pthread_t threads[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        workers[i].device = shared;
        workers[i].seed = 1000 * i;
        assert_int_equal(pthread_create(&threads[i], NULL, worker_run, &workers[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    for (uint32_t i = 0; i < THREADS; i++) {
        if (workers[i].failed) fail_msg("%s: %s", workers[i].failed, workers[i].error.message);
    }
    gpu_device_close(shared);
    gpu_close(own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_info),        cmocka_unit_test(test_dispatch),
        cmocka_unit_test(test_offsets),     cmocka_unit_test(test_indirect),
        cmocka_unit_test(test_transfer),    cmocka_unit_test(test_many),
        cmocka_unit_test(test_upload),      cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_bad_kernels), cmocka_unit_test(test_hazards),
        cmocka_unit_test(test_cache),       cmocka_unit_test(test_borrow),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

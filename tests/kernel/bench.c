#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repack.h"

enum { GUARD = 256 };
static const uint32_t poison = 0x7fc0dead; /* a NaN */

static void on_log(void *user, int level, const char *text)
{
    struct bench *b = user;
    (void)level;
    fprintf(stderr, "%s\n", text);
    b->complaints++;
}

static uint32_t choose(struct bench *b)
{
    const char *wanted = getenv("LLM_TEST_DEVICE");
    if (!wanted) return 0;
    char *end;
    unsigned long index = strtoul(wanted, &end, 10);
    if (*wanted && !*end) return (uint32_t)index;
    for (uint32_t i = 0; i < gpu_count(b->gpu); i++) {
        if (strstr(gpu_info(b->gpu, i)->name, wanted)) return i;
    }
    return gpu_count(b->gpu);
}

int bench_setup(void **state)
{
    struct bench *b = calloc(1, sizeof *b);
    struct gpu_error gpu_error = {{0}};
    struct llm_error error = {0};
    const char *validation = getenv("LLM_TEST_VALIDATION");
    if (!b) return -1;
    *state = b;
    const struct gpu_host host = {
        .log = validation ? on_log : NULL, .log_user = b, .validation = validation != NULL};
    if (gpu_open(&b->gpu, &host, &gpu_error) != GPU_OK ||
        gpu_device_open(&b->device, b->gpu, choose(b), NULL, 0, &gpu_error) != GPU_OK) {
        fprintf(stderr, "no device to test on: %s\n", gpu_error.message);
        return -1;
    }
    b->complaints = 0; /* what the loader says of the machine's drivers */
    b->info = gpu_device_info(b->device);
    if (kernels_create(&b->kernels, b->device, &alloc_libc, &error) != LLM_OK) return -1;
    return ops_create(&b->ops, b->kernels, false, false, &alloc_libc, &error) == LLM_OK ? 0 : -1;
}

int bench_teardown(void **state)
{
    struct bench *b = *state;
    ops_free(b->ops);
    kernels_free(b->kernels);
    gpu_device_close(b->device);
    gpu_close(b->gpu);
    int complaints = (int)b->complaints;
    free(b);
    return complaints;
}

void bench_ok(llm_status status, const struct llm_error *error)
{
    if (status != LLM_OK) fail_msg("%s: %s", llm_status_name(status), error->message);
}

static void gpu_ok(enum gpu_status status, const struct gpu_error *error)
{
    if (status != GPU_OK) fail_msg("gpu status %d: %s", (int)status, error->message);
}

void bench_poison(void *memory, uint64_t size)
{
    uint32_t *words = memory;
    for (uint64_t i = 0; i < size / 4; i++) words[i] = poison;
}

struct gpu_buffer bench_buffer_of(struct bench *b, uint64_t size, enum gpu_memory memory)
{
    struct gpu_buffer buffer;
    struct gpu_error error = {{0}};
    gpu_ok(gpu_buffer_create(b->device, &buffer, (size + 15) / 16 * 16 + GUARD, memory, &error),
           &error);
    assert_non_null(buffer.map);
    bench_poison(buffer.map, buffer.size);
    return buffer;
}

/* READBACK: memory of the device that every host can see. */
struct gpu_buffer bench_buffer(struct bench *b, uint64_t size)
{
    return bench_buffer_of(b, size, GPU_MEMORY_READBACK);
}

void bench_free(struct bench *b, struct gpu_buffer *buffer)
{
    const uint32_t *guard = (const uint32_t *)buffer->map + (buffer->size - GUARD) / 4;
    for (int i = 0; i < GUARD / 4; i++) assert_int_equal(guard[i], poison);
    gpu_buffer_free(b->device, buffer);
}

struct gpu_commands *bench_begin(struct bench *b)
{
    struct gpu_commands *c;
    struct gpu_error error = {{0}};
    gpu_ok(gpu_commands_create(b->device, &c, 0, &error), &error);
    return c;
}

void bench_run(struct bench *b, struct gpu_commands *c)
{
    struct gpu_error error = {{0}};
    uint64_t ticket;
    gpu_ok(gpu_commands_end(c, &error), &error);
    gpu_ok(gpu_submit(b->device, &c, 1, &ticket, &error), &error);
    gpu_ok(gpu_wait(b->device, ticket, 600000000000u, &error), &error);
    gpu_commands_free(b->device, c);
}

struct weight bench_weight(struct bench *b, enum quant_type type, uint32_t rows, uint32_t cols,
                           const void *bytes, struct gpu_buffer *buffer)
{
    *buffer = bench_buffer(b, repack_size(type, rows, cols));
    repack_tiles(type, cols, bytes, rows, buffer->map);
    return (struct weight){.type = type, .rows = rows, .cols = cols, .buffer = buffer};
}

static uint64_t take(uint64_t *at, uint64_t size)
{
    uint64_t start = *at;
    *at += (size + 255) / 256 * 256;
    return start;
}

struct bench_step bench_step(struct bench *b, uint32_t rows, uint32_t outputs, uint32_t pages,
                             uint32_t rope_pairs)
{
    struct bench_step s = {.step = {.max_rows = rows,
                                    .max_outputs = outputs,
                                    .max_pages = pages,
                                    .rope_pairs = rope_pairs}};
    uint64_t size = 0;
    s.step.rows = take(&size, rows * sizeof(struct step_row));
    s.step.rope = take(&size, (uint64_t)rows * rope_pairs * 2 * sizeof(float));
    s.step.pages = take(&size, pages * sizeof(uint32_t));
    s.step.outputs = take(&size, outputs * sizeof(uint32_t));
    s.step.tops = take(&size, outputs * sizeof(struct step_top));
    s.step.attention = take(&size, step_attention_size(rows));
    s.step.buffer = bench_buffer_of(b, size, GPU_MEMORY_STEP);
    char *map = s.step.buffer.map;
    s.rows = (void *)(map + s.step.rows);
    s.rope = (void *)(map + s.step.rope);
    s.pages = (void *)(map + s.step.pages);
    s.outputs = (void *)(map + s.step.outputs);
    s.tops = (void *)(map + s.step.tops);
    return s;
}

uint32_t bench_random(void)
{
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32);
}

float bench_uniform(void)
{
    return (float)((int32_t)bench_random() / 2147483648.0);
}

/* Where the f16 scales of a block begin, and how many; random bits are fine for everything else. */
struct scales {
    enum quant_type type;
    uint32_t at, n;
};
static const struct scales scales[] = {
    {QUANT_Q4_0, 0, 1},    {QUANT_Q4_1, 0, 2},    {QUANT_Q5_0, 0, 1},   {QUANT_Q5_1, 0, 2},
    {QUANT_Q8_0, 0, 1},    {QUANT_Q2_K, 80, 2},   {QUANT_Q3_K, 108, 1}, {QUANT_Q4_K, 0, 2},
    {QUANT_Q5_K, 0, 2},    {QUANT_Q6_K, 208, 1},  {QUANT_IQ4_NL, 0, 1}, {QUANT_IQ4_XS, 0, 1},
    {QUANT_IQ3_S, 0, 1},   {QUANT_IQ3_XXS, 0, 1}, {QUANT_IQ2_S, 0, 1},  {QUANT_IQ2_XS, 0, 1},
    {QUANT_IQ2_XXS, 0, 1}, {QUANT_IQ1_S, 0, 1},   {QUANT_TQ1_0, 52, 1}, {QUANT_TQ2_0, 64, 1},
};

/* MXFP4's scale is a power of two, here that of the half. No subnormals, which a device may flush.
 */
static uint8_t exponent_of(uint16_t half)
{
    int exponent = 0;
    frexpf(quant_f16(half), &exponent);
    return (uint8_t)(exponent + 127);
}

void bench_set_scales(enum quant_type type, void *block, uint16_t half)
{
    uint8_t *bytes = block;
    if (type == QUANT_MXFP4) bytes[0] = exponent_of(half);
    for (uint32_t i = 0; type == QUANT_IQ1_M && i < 4; i++) { /* a nibble above each four scales */
        uint8_t *p = &bytes[49 + 2 * i];
        *p = (uint8_t)((*p & 15) | (half >> 4 * i & 15) << 4);
    }
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++) {
        for (uint32_t k = 0; scales[i].type == type && k < scales[i].n; k++)
            memcpy(bytes + scales[i].at + 2 * k, &half, 2);
    }
}

void bench_random_blocks(enum quant_type type, void *blocks, size_t n_weights)
{
    const struct quant_info *info = quant_info(type);
    uint8_t *p = blocks;
    for (size_t u = 0; u < n_weights / info->block; u++, p += info->block_size) {
        if (info->block == 1) {
            float v = bench_uniform();
            quant_encode(type, &v, p, 1);
            continue;
        }
        for (uint32_t i = 0; i < info->block_size; i++) p[i] = (uint8_t)bench_random();
        bench_set_scales(type, p, quant_to_f16(bench_uniform() / 64));
    }
}

double bench_value(const float *row, enum values values, uint32_t k)
{
    if (values == VALUES_F32) return row[k];
    if (values == VALUES_INT8) {
        const float *block = row + k / 32 * 12;
        return ((const int8_t *)block)[k % 32] * (double)block[8];
    }
    const int16_t *q = (const int16_t *)(row + k / 4 * 4);
    return (double)q[k % 4] * row[k / 4 * 4 + 2];
}

double bench_nmse(const float *a, const double *b, size_t n)
{
    double error = 0, norm = 0;
    for (size_t i = 0; i < n; i++) {
        error += (a[i] - b[i]) * (a[i] - b[i]);
        norm += b[i] * b[i];
    }
    return norm > 0 ? error / norm : error;
}

/* bench.h - what every kernel test needs: a device, buffers with guard bytes and poison, and a run
 * of recorded commands. */
#ifndef BENCH_H
#define BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels.h"
#include "ops.h"

/* The device that LLM_TEST_DEVICE names (index or part of the name; the first one without it), with
 * validation where LLM_TEST_VALIDATION is set: any of its messages fails the test. */
struct bench {
    struct gpu *gpu;
    struct gpu_device *device;
    const struct gpu_info *info;
    struct kernels *kernels;
    struct ops *ops;
    uint32_t complaints;
};

int bench_setup(void **state); /* cmocka group fixtures; *state is a struct bench */
int bench_teardown(void **state);

/* A mapped buffer of size bytes and 256 bytes of guard, all poisoned with NaN. The step buffer is
 * one of MEMORY_STEP. */
struct gpu_buffer bench_buffer(struct bench *b, uint64_t size);
struct gpu_buffer bench_buffer_of(struct bench *b, uint64_t size, enum gpu_memory memory);
void bench_poison(void *memory, uint64_t size);
void bench_free(struct bench *b, struct gpu_buffer *buffer); /* checks the guard */

struct gpu_commands *bench_begin(struct bench *b);
void bench_run(struct bench *b, struct gpu_commands *c); /* ends, submits, waits, frees */
void bench_ok(llm_status status, const struct llm_error *error);

/* A matrix on the device, repacked from its file bytes. */
struct weight bench_weight(struct bench *b, enum quant_type type, uint32_t rows, uint32_t cols,
                           const void *bytes, struct gpu_buffer *buffer);

/* A step with room for rows and outputs; the host's pointers into it. */
struct bench_step {
    struct step step;
    struct step_row *rows;
    float *rope;
    uint32_t *pages, *outputs;
    struct step_top *tops;
};
struct bench_step bench_step(struct bench *b, uint32_t rows, uint32_t outputs, uint32_t pages,
                             uint32_t rope_pairs);

/* Random numbers: the same ones in every run. */
uint32_t bench_random(void);
float bench_uniform(void); /* (-1, 1) */
/* Quant blocks with random quants and scales of sensible size. */
void bench_random_blocks(enum quant_type type, void *blocks, size_t n_weights);
/* Gives all f16 scales of a block this value. */
void bench_set_scales(enum quant_type type, void *block, uint16_t half);
/* Column k of a row of activations. */
double bench_value(const float *row, enum values values, uint32_t k);
double bench_nmse(const float *a, const double *b, size_t n);

#endif

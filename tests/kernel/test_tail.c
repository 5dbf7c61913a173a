/* What follows a layer's attention in one dispatch beside the separate ones: the same bits, however
 * long a workgroup waits for the others and however much it does. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

#include "ops_impl.h"
#include "repack.h"

enum { HEADS = 256, DIM = 512, HIDDEN = 768, QKV_ROWS = 320, N_MATRICES = 5, RUNS = 20 };

struct layer {
    struct weight w[N_MATRICES]; /* o, gate, up, down, qkv */
    struct gpu_buffer matrices, gains, x, made, qkv;
    struct gpu_range gain, next_gain;
    struct activation activation;
    enum values values;
    float x_before[DIM], attended[HEADS];
    float x_want[DIM], qkv_want[QKV_ROWS];
};

static void make_matrices(struct bench *b, struct layer *l, enum quant_type type)
{
    const uint32_t sizes[N_MATRICES][2] = {
        {DIM, HEADS}, {HIDDEN, DIM}, {HIDDEN, DIM}, {DIM, HIDDEN}, {QKV_ROWS, DIM}};
    const struct quant_info *info = quant_info(type);
    uint64_t at[N_MATRICES], size = 0;
    for (int i = 0; i < N_MATRICES; i++) {
        at[i] = size;
        size += (repack_size(type, sizes[i][0], sizes[i][1]) + 255) / 256 * 256;
    }
    l->matrices = bench_buffer(b, size);
    for (int i = 0; i < N_MATRICES; i++) {
        const uint32_t rows = sizes[i][0], cols = sizes[i][1];
        const size_t n = (size_t)rows * cols;
        void *blocks = malloc(n / info->block * info->block_size);
        assert_non_null(blocks);
        bench_random_blocks(type, blocks, n);
        repack_tiles(type, cols, blocks, rows, (char *)l->matrices.map + at[i]);
        free(blocks);
        l->w[i] = (struct weight){
            .type = type, .rows = rows, .cols = cols, .buffer = &l->matrices, .offset = at[i]};
    }
}

static void make(struct bench *b, struct layer *l, enum quant_type type)
{
    *l = (struct layer){.activation = {.kind = ACTIVATION_SILU}};
    make_matrices(b, l, type);
    l->values = ops_values(b->ops, l->w);
    l->gains = bench_buffer(b, 2 * DIM * sizeof(float));
    l->x = bench_buffer(b, 2 * DIM * sizeof(float));
    l->made = bench_buffer(b, ops_tail_size(HEADS, DIM, HIDDEN));
    l->qkv = bench_buffer(b, QKV_ROWS * sizeof(float));
    l->gain = (struct gpu_range){&l->gains, 0, DIM * sizeof(float)};
    l->next_gain = (struct gpu_range){&l->gains, DIM * sizeof(float), DIM * sizeof(float)};
    for (uint32_t i = 0; i < 2 * DIM; i++) ((float *)l->gains.map)[i] = bench_uniform();
    for (uint32_t i = 0; i < DIM; i++) l->x_before[i] = bench_uniform();
}

static void drop(struct bench *b, struct layer *l)
{
    struct gpu_buffer *const all[] = {&l->matrices, &l->gains, &l->x, &l->made, &l->qkv};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) bench_free(b, all[i]);
}

/* A row as attention leaves it, made by a norm. */
static void attend(struct bench *b, struct layer *l, float *out)
{
    struct llm_error error = {0};
    struct gpu_buffer in = bench_buffer(b, HEADS * sizeof(float)),
                      row = bench_buffer(b, HEADS * sizeof(float));
    const struct step step = {.max_rows = 1};
    const struct norm norm = {.gain = &l->gain, .out = &row, .values = l->values, .eps = 1e-5f};
    for (uint32_t i = 0; i < HEADS; i++) ((float *)in.map)[i] = bench_uniform();
    struct gpu_commands *c = bench_begin(b);
    bench_ok(ops_norm(b->ops, c, &in, &norm, HEADS, &step, false, 1, &error), &error);
    bench_run(b, c);
    memcpy(out, row.map, HEADS * sizeof *out);
    bench_free(b, &in);
    bench_free(b, &row);
}

static void compute_apart(struct bench *b, struct layer *l)
{
    struct llm_error error = {0};
    const struct step step = {.max_rows = 1};
    struct gpu_buffer row = bench_buffer(b, HEADS * sizeof(float)),
                      x = bench_buffer(b, DIM * sizeof(float)),
                      normed = bench_buffer(b, DIM * sizeof(float)),
                      hidden = bench_buffer(b, HIDDEN * sizeof(float));
    struct norm norm = {.gain = &l->gain, .out = &normed, .values = l->values, .eps = 1e-5f};
    memcpy(row.map, l->attended, sizeof l->attended);
    memcpy(x.map, l->x_before, sizeof l->x_before);
    struct gpu_commands *c = bench_begin(b);
    bench_ok(ops_matrix_norm(b->ops, c, &l->w[0], &row, l->values, &x, &norm, &step, 1, &error),
             &error);
    gpu_commands_barrier(c);
    bench_ok(ops_gate_up(b->ops, c, &l->w[1], &l->w[2], &l->activation, &normed, l->values, &hidden,
                         l->values, 1, &error),
             &error);
    gpu_commands_barrier(c);
    norm.gain = &l->next_gain;
    bench_ok(ops_matrix_norm(b->ops, c, &l->w[3], &hidden, l->values, &x, &norm, &step, 1, &error),
             &error);
    gpu_commands_barrier(c);
    bench_ok(
        ops_matrix(b->ops, c, &l->w[4], &normed, l->values, &l->qkv, QKV_ROWS, 0, false, 1, &error),
        &error);
    bench_run(b, c);
    memcpy(l->x_want, x.map, sizeof l->x_want);
    memcpy(l->qkv_want, l->qkv.map, sizeof l->qkv_want);
    struct gpu_buffer *const all[] = {&row, &x, &normed, &hidden};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) bench_free(b, all[i]);
}

static struct tail tail_of(const struct layer *l, bool is_last)
{
    return (struct tail){
        .o = &l->w[0],
        .gate = &l->w[1],
        .up = &l->w[2],
        .down = &l->w[3],
        .qkv = is_last ? NULL : &l->w[4],
        .activation = &l->activation,
        .gain = &l->gain,
        .next_gain = &l->next_gain,
        .eps = 1e-5f,
        .made = &l->made,
        .qkv_out = &l->qkv,
        .x_in = {&l->x, 0, DIM * sizeof(float)},
        .x_out = {&l->x, DIM * sizeof(float), DIM * sizeof(float)},
    };
}

static void compute_together(struct bench *b, struct layer *l, const struct tail *t)
{
    struct llm_error error = {0};
    bench_poison(l->made.map, l->made.size);
    bench_poison(l->x.map, l->x.size);
    bench_poison(l->qkv.map, l->qkv.size);
    memcpy(l->made.map, l->attended, sizeof l->attended);
    memcpy(l->x.map, l->x_before, sizeof l->x_before);
    struct gpu_commands *c = bench_begin(b);
    bench_ok(ops_tail(b->ops, c, t, &error), &error);
    bench_run(b, c);
    assert_memory_equal((float *)l->x.map + DIM, l->x_want, sizeof l->x_want);
    if (t->qkv) assert_memory_equal(l->qkv.map, l->qkv_want, sizeof l->qkv_want);
}

static void try_type(struct bench *b, enum quant_type type)
{
    const struct {
        uint32_t patience, stamina;
    } ways[] = {{b->ops->patience, b->ops->stamina}, {0, b->ops->stamina}, {3, 16}};
    struct layer l;
    make(b, &l, type);
    const struct tail whole = tail_of(&l, false), last = tail_of(&l, true);
    if (ops_tail_fits(b->ops, &whole)) {
        attend(b, &l, l.attended);
        compute_apart(b, &l);
        for (int i = 0; i < 3; i++) {
            b->ops->patience = ways[i].patience;
            b->ops->stamina = ways[i].stamina;
            for (int run = 0; run < RUNS; run++) {
                compute_together(b, &l, &whole);
                compute_together(b, &l, &last);
            }
        }
        b->ops->patience = ways[0].patience;
        b->ops->stamina = ways[0].stamina;
    }
    drop(b, &l);
}

static void together(void **state)
{
    struct bench *b = *state;
    const enum quant_type types[] = {QUANT_F16, QUANT_Q4_0, QUANT_Q4_1, QUANT_Q8_0, QUANT_Q4_K};
    const enum values before = b->ops->integers;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        try_type(b, types[i]);
        b->ops->integers = VALUES_F32;
        if (before) try_type(b, types[i]);
        b->ops->integers = before;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(together)};
    return cmocka_run_group_tests(tests, bench_setup, bench_teardown);
}

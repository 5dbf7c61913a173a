/* Check of what follows a layer's attention in one dispatch. */
#include <math.h>
#include <string.h>

#include "check_impl.h"
#include "repack.h"

enum { HEADS = 256, DIM = 256, HIDDEN = 512, QKV_ROWS = 64 };
enum { O, GATE, UP, DOWN, QKV, N_MATRICES };
static const uint32_t sizes[N_MATRICES][2] = {
    [O] = {DIM, HEADS},     [GATE] = {HIDDEN, DIM},  [UP] = {HIDDEN, DIM},
    [DOWN] = {DIM, HIDDEN}, [QKV] = {QKV_ROWS, DIM},
};

struct problem {
    struct weight w[N_MATRICES];
    float *values[N_MATRICES];
    struct gpu_buffer *attended, *x, *gains, *made, *qkv;
};

/* One behind the other in one buffer, as a model's lie. */
static llm_status make_matrices(struct trial *b, enum quant_type type, struct problem *p,
                                struct llm_error *error)
{
    struct gpu_buffer *buffer;
    uint64_t size = 0;
    for (int i = 0; i < N_MATRICES; i++) {
        p->w[i] =
            (struct weight){.type = type, .rows = sizes[i][0], .cols = sizes[i][1], .offset = size};
        size += (repack_size(type, sizes[i][0], sizes[i][1]) + 255) / 256 * 256;
    }
    TRY(check_buffer(b, size, GPU_MEMORY_READBACK, &buffer, error));
    for (int i = 0; i < N_MATRICES; i++) {
        p->w[i].buffer = buffer;
        TRY(check_weight_in(b, &p->w[i], &p->values[i], error));
    }
    return LLM_OK;
}

static llm_status make(struct trial *b, const struct check *t, struct problem *p,
                       struct llm_error *error)
{
    TRY(make_matrices(b, t->type, p, error));
    TRY(check_floats(b, HEADS, &p->attended, error));
    if (t->in) check_round(p->attended->map, HEADS, t->in);
    TRY(check_floats(b, 2 * DIM, &p->x, error));
    TRY(check_floats(b, 2 * DIM, &p->gains, error));
    for (uint32_t i = 0; i < 2 * DIM;
         i++) /* as small as a model's gates are, or few numbers count */
        ((float *)p->gains->map)[i] /= 8;
    TRY(check_buffer(b, ops_tail_size(HEADS, DIM, HIDDEN), GPU_MEMORY_READBACK, &p->made, error));
    return check_buffer(b, QKV_ROWS * sizeof(float), GPU_MEMORY_READBACK, &p->qkv, error);
}

static void multiply(const struct problem *p, int matrix, const double *x, double *y)
{
    const uint32_t rows = sizes[matrix][0], cols = sizes[matrix][1];
    for (uint32_t r = 0; r < rows; r++) {
        y[r] = 0;
        for (uint32_t k = 0; k < cols; k++)
            y[r] += (double)p->values[matrix][(size_t)r * cols + k] * x[k];
    }
}

static void norm_of(const double *x, const float *gain, double eps, double *out)
{
    double squares = 0;
    for (uint32_t i = 0; i < DIM; i++) squares += x[i] * x[i];
    for (uint32_t i = 0; i < DIM; i++) out[i] = x[i] / sqrt(squares / DIM + eps) * (double)gain[i];
}

static void compare(struct trial *b, const struct check *t, const struct problem *p, double eps)
{
    const float *x = p->x->map, *gains = p->gains->map;
    double attended[HEADS], now[DIM], added[DIM], normed[DIM], gate[HIDDEN], up[HIDDEN],
        qkv[QKV_ROWS];
    for (uint32_t i = 0; i < HEADS; i++) attended[i] = check_value(p->attended->map, t->in, i);
    multiply(p, O, attended, now);
    for (uint32_t i = 0; i < DIM; i++) now[i] += (double)x[i];
    norm_of(now, gains, eps, normed);
    multiply(p, GATE, normed, gate);
    multiply(p, UP, normed, up);
    for (uint32_t i = 0; i < HIDDEN; i++) gate[i] = check_activate(&t->activation, gate[i]) * up[i];
    multiply(p, DOWN, gate, added);
    for (uint32_t i = 0; i < DIM; i++) now[i] += added[i];
    norm_of(now, gains + DIM, eps, normed);
    multiply(p, QKV, normed, qkv);
    for (uint32_t i = 0; i < DIM; i++) check_compare(b, (double)x[DIM + i], now[i]);
    for (uint32_t i = 0; i < QKV_ROWS; i++)
        check_compare(b, (double)((const float *)p->qkv->map)[i], qkv[i]);
}

llm_status check_tail(struct trial *b, const struct check *t, struct verdict *v,
                      struct llm_error *error)
{
    struct problem p = {.x = NULL};
    const uint64_t row = DIM * sizeof(float);
    TRY(make(b, t, &p, error));
    const struct gpu_range gain = {p.gains, 0, row}, next_gain = {p.gains, row, row};
    const struct tail tail = {
        .o = &p.w[O],
        .gate = &p.w[GATE],
        .up = &p.w[UP],
        .down = &p.w[DOWN],
        .qkv = &p.w[QKV],
        .activation = &t->activation,
        .gain = &gain,
        .next_gain = &next_gain,
        .eps = 1e-5f,
        .made = p.made,
        .qkv_out = p.qkv,
        .x_in = {p.x, 0, row},
        .x_out = {p.x, row, row},
    };
    memcpy(p.made->map, p.attended->map, HEADS * sizeof(float));
    TRY(ops_tail(b->ops, b->c, &tail, error));
    TRY(check_submit(b, error));
    v->bound = t->in ? 1e-4f : 1e-10f;
    compare(b, t, &p, (double)tail.eps);
    return LLM_OK;
}

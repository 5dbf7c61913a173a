/* Checks of the products with a matrix, and of rows of one. */
#include <math.h>
#include <string.h>

#include "check_impl.h"

enum { ROWS = CHECK_ROWS };

struct problem {
    struct weight w[2];
    float *values[2];
    struct gpu_buffer *x, *y, *gain, *normed, *bias;
    float *before; /* y */
};

static llm_status make(struct trial *b, const struct check *t, struct problem *p,
                       struct llm_error *error)
{
    const uint32_t n_x = t->n_rows * t->cols, n_y = t->n_rows * ROWS;
    TRY(check_weight(b, t->type, ROWS, t->cols, &p->w[0], &p->values[0], error));
    if (t->kind == CHECK_GATED)
        TRY(check_weight(b, t->type, ROWS, t->cols, &p->w[1], &p->values[1], error));
    if (t->bias) {
        TRY(check_floats(b, ROWS, &p->bias, error));
        p->w[0].bias = (struct gpu_range){p->bias, 0, ROWS * sizeof(float)};
    }
    TRY(check_floats(b, n_x, &p->x, error));
    for (uint32_t i = 0; t->in && i < t->n_rows; i++)
        check_round((float *)p->x->map + i * t->cols, t->cols, t->in);
    TRY(check_memory(b, n_y * sizeof(float), &p->before, error));
    if (t->into) {
        TRY(check_floats(b, n_y, &p->y, error));
        memcpy(p->before, p->y->map, n_y * sizeof(float));
    } else {
        TRY(check_buffer(b, n_y * sizeof(float), GPU_MEMORY_READBACK, &p->y, error));
    }
    if (t->kind != CHECK_PRODUCT_NORM) return LLM_OK;
    TRY(check_floats(b, ROWS, &p->gain, error));
    return check_buffer(b, n_y * sizeof(float), GPU_MEMORY_READBACK, &p->normed, error);
}

static double dot(const struct problem *p, const struct check *t, uint32_t matrix, uint32_t row,
                  uint32_t r)
{
    const float *w = p->values[matrix] + (size_t)r * t->cols,
                *x = (const float *)p->x->map + (size_t)row * t->cols;
    double sum = 0;
    for (uint32_t k = 0; k < t->cols; k++) sum += (double)w[k] * check_value(x, t->in, k);
    return sum;
}

double check_activate(const struct activation *a, double v)
{
    const double p = (double)a->a[0], q = (double)a->a[1], beta = (double)a->a[2];
    switch (a->kind) {
    case ACTIVATION_NONE: return v;
    case ACTIVATION_SILU_CLAMPED: /* of experts alone */
    case ACTIVATION_SILU: return v / (1 + exp(-v));
    case ACTIVATION_GELU: return v / (1 + exp(-1.5957691216057308 * (v + 0.044715 * v * v * v)));
    case ACTIVATION_GELU_ERF: return v / 2 * erfc(-v * 0.70710678118654752);
    case ACTIVATION_RELU2: return v > 0 ? v * v : 0;
    case ACTIVATION_XIELU:
        if (v > 0) return q * v * v + beta * v;
        return (expm1(fmin(v, (double)a->a[3])) - v) * p + beta * v;
    case ACTIVATION_SOFTCAP: return p * tanh(v / p);
    }
    return v;
}

/* What row r of the weights makes of a row of x, all that follows included. */
static double made_of(const struct problem *p, const struct check *t, uint32_t row, uint32_t r)
{
    const struct activation *a = &t->activation;
    const double before = (double)p->before[row * ROWS + r];
    double v = dot(p, t, 0, row, r);
    if (t->bias) v += (double)((const float *)p->bias->map)[r];
    v = t->into == INTO_GATE ? v * check_activate(a, before) : check_activate(a, v);
    if (t->kind == CHECK_GATED) v *= dot(p, t, 1, row, r);
    return t->into == INTO_SUM ? v + before : v;
}

static void compare(struct trial *b, const struct check *t, const struct problem *p, float eps)
{
    const enum values y_values = check_y_values(t);
    const uint32_t by = t->n_rows > 16 ? 7 : 1;
    for (uint32_t row = 0; row < t->n_rows; row += by) {
        const float *y = (const float *)p->y->map + row * ROWS;
        double want[ROWS], squares = 0;
        for (uint32_t r = 0; r < ROWS; r++) {
            want[r] = made_of(p, t, row, r);
            squares += want[r] * want[r];
            check_compare(b, check_value(y, y_values, r), want[r]);
        }
        if (!p->normed) continue;
        const float *normed = (const float *)p->normed->map + row * ROWS, *gain = p->gain->map;
        const double scale = 1 / sqrt(squares / ROWS + (double)eps);
        for (uint32_t r = 0; r < ROWS; r++)
            check_compare(b, check_value(normed, t->out, r), want[r] * scale * (double)gain[r]);
    }
}

llm_status check_product(struct trial *b, const struct check *t, struct verdict *v,
                         struct llm_error *error)
{
    struct problem p = {.x = NULL};
    TRY(make(b, t, &p, error));
    const struct gpu_range gain = {p.gain, 0, ROWS * sizeof(float)};
    const struct norm norm = {.gain = &gain, .out = p.normed, .values = t->out, .eps = 1e-5f};
    const struct product product = {.first = &p.w[0],
                                    .second = t->kind == CHECK_GATED ? &p.w[1] : NULL,
                                    .x = p.x,
                                    .y = p.y,
                                    .x_values = t->in,
                                    .y_values = check_y_values(t),
                                    .y_stride = ROWS,
                                    .into = t->into,
                                    .activation = &t->activation,
                                    .norm = p.normed ? &norm : NULL};
    v->bound = t->out ? 1e-4f : 1e-10f;
    b->ops->forced = t->way + 1;
    llm_status status = ops_multiply(b->ops, b->c, &product, t->n_rows, error);
    b->ops->forced = 0;
    TRY(status);
    TRY(check_submit(b, error));
    compare(b, t, &p, norm.eps);
    return LLM_OK;
}

llm_status check_embed(struct trial *b, const struct check *t, struct verdict *v,
                       struct llm_error *error)
{
    const uint32_t n = 8;
    const float scale = 1.5f;
    struct weight w;
    struct step step = {.max_rows = n, .max_outputs = 1, .max_pages = 1, .rope_pairs = 2};
    struct gpu_buffer *out;
    float *values;
    TRY(check_weight(b, t->type, ROWS, t->cols, &w, &values, error));
    TRY(check_step(b, &step, error));
    TRY(check_buffer(b, n * t->cols * sizeof(float), GPU_MEMORY_READBACK, &out, error));
    for (uint32_t i = 0; i < n; i++)
        ((struct step_row *)((char *)step.buffer.map + step.rows))[i].token = (i * 37 + 5) % ROWS;
    for (uint32_t i = 0; i < n; i++)
        ((struct step_row *)((char *)step.buffer.map + step.rows))[i].position = i;
    TRY(ops_embed(b->ops, b->c, &w, scale, &step, out, n, error));
    gpu_commands_barrier(b->c);
    TRY(ops_embed_add(b->ops, b->c, &w, EMBED_BY_POSITION, &step, out, n, error));
    TRY(check_submit(b, error));
    v->bound = 1e-12f;
    const float *got = out->map;
    for (uint32_t i = 0; i < n * t->cols; i++) {
        const uint32_t token = (i / t->cols * 37 + 5) % ROWS;
        check_compare(b, (double)got[i],
                      (double)values[token * t->cols + i % t->cols] * (double)scale +
                          (double)values[i]);
    }
    return LLM_OK;
}

static const float sum_scale = 0.75f; /* of a norm's sum */
enum { NORM_DIM = 320, NORM_PARTS = 2, NORM_ROW = NORM_DIM * NORM_PARTS, NORM_ROWS = 3 };

/* A part of a row; gain and bias are its own. */
static void compare_norm(struct trial *b, const struct check *t, double eps, const float *x,
                         const float *gain, const float *bias, const float *before,
                         const float *out)
{
    double mean = 0, squares = 0;
    for (uint32_t k = 0; k < NORM_DIM && t->centered; k++) mean += (double)x[k] / NORM_DIM;
    for (uint32_t k = 0; k < NORM_DIM; k++)
        squares += ((double)x[k] - mean) * ((double)x[k] - mean);
    const double scale = 1 / sqrt(squares / NORM_DIM + eps);
    for (uint32_t k = 0; k < NORM_DIM; k++) {
        double want = ((double)x[k] - mean) * scale * (double)gain[k];
        if (t->bias) want += (double)bias[k];
        if (t->added) want = (want + (double)before[k]) * (double)sum_scale;
        check_compare(b, check_value(out, t->out, k), want);
    }
}

llm_status check_norm(struct trial *b, const struct check *t, struct verdict *v,
                      struct llm_error *error)
{
    const uint32_t n = NORM_ROWS * NORM_ROW;
    const struct step step = {.max_rows = 1};
    struct gpu_buffer *in, *gain, *bias, *out;
    float *before;
    TRY(check_floats(b, n, &in, error));
    TRY(check_floats(b, NORM_ROW, &gain, error));
    TRY(check_floats(b, NORM_ROW, &bias, error));
    TRY(check_floats(b, n, &out, error));
    TRY(check_memory(b, n * sizeof(float), &before, error));
    memcpy(before, out->map, n * sizeof(float));
    for (uint32_t k = 0; k < n; k++) ((float *)in->map)[k] += 0.5f; /* a mean to be taken away */
    const struct gpu_range gains = {gain, 0, NORM_ROW * sizeof(float)},
                           biases = {bias, 0, NORM_ROW * sizeof(float)};
    const struct norm norm = {.gain = &gains,
                              .bias = t->bias ? &biases : NULL,
                              .out = out,
                              .values = t->out,
                              .eps = 1e-5f,
                              .centered = t->centered,
                              .add = t->added,
                              .stride = NORM_ROW,
                              .scale = sum_scale,
                              .parts = NORM_PARTS};
    TRY(ops_norm(b->ops, b->c, in, &norm, NORM_DIM, &step, false, NORM_ROWS, error));
    TRY(check_submit(b, error));
    v->bound = t->out ? 1e-4f : 1e-12f;
    for (uint32_t i = 0; i < NORM_ROWS * NORM_PARTS; i++) {
        const uint32_t own = i % NORM_PARTS * NORM_DIM, at = i * NORM_DIM,
                       to = t->out == VALUES_INT8 ? at - own + own / 32 * 12 : at;
        compare_norm(b, t, (double)norm.eps, (const float *)in->map + at,
                     (const float *)gain->map + own, (const float *)bias->map + own, before + at,
                     (const float *)out->map + to);
    }
    return LLM_OK;
}

llm_status check_argmax(struct trial *b, const struct check *t, struct verdict *v,
                        struct llm_error *error)
{
    enum { N = 5000, ROWS_OF = 3 };
    const uint32_t stride = ops_stride(N);
    struct gpu_buffer *logits, *out;
    (void)t;
    TRY(check_floats(b, ROWS_OF * stride, &logits, error));
    TRY(check_buffer(b, ROWS_OF * sizeof(uint32_t), GPU_MEMORY_READBACK, &out, error));
    for (uint32_t row = 0; row < ROWS_OF; row++) { /* a tie: the lower one wins */
        float *x = (float *)logits->map + row * stride;
        x[row * 1700 + 40] = x[row * 1700 + 900] = 2;
    }
    TRY(ops_argmax(b->ops, b->c, logits, N, out, ROWS_OF, error));
    TRY(check_submit(b, error));
    v->bound = 0;
    for (uint32_t row = 0; row < ROWS_OF; row++)
        check_compare(b, ((const uint32_t *)out->map)[row], row * 1700 + 40);
    return LLM_OK;
}

/* Whether the items are logits, the best of them among them. */
static bool has_best(const struct top *top, const float *x, uint32_t n_logits, uint32_t best)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < top->n && i < TOP_ROOM; i++) {
        const struct top_item *item = &top->items[i];
        uint32_t better = 0;
        if (item->id >= n_logits || item->logit != x[item->id]) return false;
        for (uint32_t k = 0; k < n_logits; k++) better += x[k] > item->logit;
        found += better < best;
    }
    return found >= best;
}

llm_status check_top(struct trial *b, const struct check *t, struct verdict *v,
                     struct llm_error *error)
{
    enum { N = 5000, ROWS_OF = 2, BEST = 50 };
    const uint32_t stride = ops_stride(N);
    struct step step = {.max_rows = 1, .max_outputs = ROWS_OF, .max_pages = 1, .rope_pairs = 2};
    struct gpu_buffer *logits, *groups, *out;
    (void)t;
    TRY(check_step(b, &step, error));
    TRY(check_floats(b, ROWS_OF * stride, &logits, error));
    TRY(check_buffer(b, ROWS_OF * ops_top_scratch(), GPU_MEMORY_READBACK, &groups, error));
    TRY(check_buffer(b, ROWS_OF * sizeof(struct top), GPU_MEMORY_READBACK, &out, error));
    struct step_top *wanted = (void *)((char *)step.buffer.map + step.tops);
    for (uint32_t row = 0; row < ROWS_OF; row++)
        wanted[row] = (struct step_top){.k = BEST, .n_named = 1, .named = {row + 70}};
    TRY(ops_top(b->ops, b->c, logits, N, &step, groups, out, ROWS_OF, error));
    TRY(check_submit(b, error));
    v->bound = 1e-10f;
    for (uint32_t row = 0; row < ROWS_OF; row++) {
        const float *x = (const float *)logits->map + row * stride;
        const struct top *top = (const struct top *)out->map + row;
        double want = 0, got = 0;
        float most = x[0];
        for (uint32_t i = 0; i < N; i++) most = fmaxf(most, x[i]);
        for (uint32_t i = 0; i < N; i++) want += exp((double)x[i] - (double)most);
        for (uint32_t i = 0; i < TOP_PARTS; i++) got += (double)top->sums[i];
        check_compare(b, got, want);
        check_compare(b, (double)top->most, (double)most);
        check_compare(b, (double)top->named[0], (double)x[row + 70]);
        check_compare(b, has_best(top, x, N, BEST), 1);
    }
    return LLM_OK;
}

/* Layers of experts: the router of every kind, products of every format and the weighted sum,
 * against double precision; a row's bits are the same in any company. */
#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops_experts.h"
#include "repack.h"

enum { NO_EXPERT = -1 };

struct choice {
    uint32_t expert;
    float weight;
};

/* Rows of a step, some of them padding. */
static struct bench_step step_of(struct bench *b, uint32_t n)
{
    struct bench_step s = bench_step(b, n, 1, 1, 1);
    for (uint32_t i = 0; i < n; i++)
        s.rows[i] = (struct step_row){0, i % 7 == 5 ? STEP_NO_ROW : i, 0, 0};
    return s;
}

static bool is_padding(uint32_t row)
{
    return row % 7 == 5;
}

static struct pairs pairs_of(struct bench *b, const struct router *r, uint32_t n,
                             struct gpu_buffer *chosen, struct gpu_buffer *order)
{
    *chosen = bench_buffer(b, ops_chosen_size(r, n));
    *order = bench_buffer(b, ops_order_size(r, n));
    return (struct pairs){chosen, order, n, r->n_experts, r->n_used, ops_router_slots(r)};
}

/* ---- the router ---- */

static double sigmoid(double v)
{
    return 1 / (1 + exp(-v));
}

static void softmax(double *v, uint32_t n)
{
    double most = v[0], sum = 0;
    for (uint32_t i = 1; i < n; i++) most = fmax(most, v[i]);
    for (uint32_t i = 0; i < n; i++) sum += v[i] = exp(v[i] - most);
    for (uint32_t i = 0; i < n; i++) v[i] /= sum;
}

static void drop_groups(const struct router *r, double *scores)
{
    uint32_t each = r->n_experts / r->n_groups;
    double worth[EXPERTS_MAX];
    for (uint32_t g = 0; g < r->n_groups; g++) {
        double best = -1e30, second = -1e30;
        for (uint32_t i = 0; i < each; i++) {
            double s = scores[g * each + i];
            if (s > best) {
                second = best;
                best = s;
            } else if (s > second) {
                second = s;
            }
        }
        worth[g] = each > 1 ? best + second : best;
    }
    for (uint32_t g = 0; g < r->n_groups; g++) {
        uint32_t better = 0;
        for (uint32_t i = 0; i < r->n_groups; i++)
            better += worth[i] > worth[g] || (worth[i] == worth[g] && i < g);
        for (uint32_t i = 0; i < each && better >= r->groups_used; i++)
            scores[g * each + i] = -INFINITY;
    }
}

/* Expert and weight of every slot of a row, as the papers have it. */
static void route(const struct router *r, const struct router_terms *t, const float *logits,
                  const float *terms, int64_t *experts, double *weights)
{
    double p[EXPERTS_MAX], scores[EXPERTS_MAX], sum = 0;
    const uint32_t n = r->n_experts;
    const float *choice_bias = terms + (t->logits ? n : 0);
    for (uint32_t e = 0; e < n; e++) {
        p[e] = (double)logits[e] + (t->logits ? (double)terms[e] : 0);
        if (r->gate == ROUTER_SIGMOID) p[e] = sigmoid(p[e]);
    }
    if (r->gate == ROUTER_SOFTMAX) softmax(p, n);
    for (uint32_t e = 0; e < n; e++) scores[e] = p[e] + (t->choice ? (double)choice_bias[e] : 0);
    if (r->n_groups > 1) drop_groups(r, scores);
    for (uint32_t i = 0; i < r->n_used; i++) {
        uint32_t best = 0;
        for (uint32_t e = 1; e < n; e++)
            if (scores[e] > scores[best]) best = e;
        experts[i] = best;
        weights[i] = p[best];
        scores[best] = -INFINITY;
    }
    if (r->gate == ROUTER_SOFTMAX_CHOSEN) softmax(weights, r->n_used);
    for (uint32_t i = 0; i < r->n_used; i++) sum += weights[i];
    for (uint32_t i = 0; i < r->n_used; i++)
        weights[i] *= (double)r->scale / (r->normalise ? sum : 1);
    if (r->shared == SHARED_NONE) return;
    experts[r->n_used] = NO_EXPERT;
    weights[r->n_used] = r->shared == SHARED_GATED ? sigmoid((double)logits[ops_stride(n)]) : 1;
}

static void check_route(const struct router *r, const struct router_terms *t,
                        const struct choice *got, const float *logits, const float *terms,
                        uint32_t row)
{
    int64_t experts[EXPERTS_USED_MAX + 1];
    double weights[EXPERTS_USED_MAX + 1];
    const uint32_t slots = ops_router_slots(r);
    route(r, t, logits + (size_t)row * ops_router_stride(r), terms, experts, weights);
    for (uint32_t i = 0; i < slots; i++) {
        const struct choice *c = &got[row * slots + i];
        if (is_padding(row)) {
            assert_int_equal(c->expert, (uint32_t)NO_EXPERT);
            assert_true(c->weight == 0);
            continue;
        }
        if (c->expert != (uint32_t)experts[i] ||
            !(fabs((double)c->weight - weights[i]) <= 1e-6 * fabs(weights[i])))
            fail_msg("%u of %u experts, gate %d, row %u, slot %u: %u by %g, expected %d by %g",
                     r->n_used, r->n_experts, (int)r->gate, row, i, c->expert, (double)c->weight,
                     (int)experts[i], weights[i]);
    }
}

static void try_router(struct bench *b, const struct router *r, struct router_terms biases,
                       uint32_t n)
{
    struct llm_error error = {0};
    const uint32_t stride = ops_router_stride(r);
    struct gpu_buffer chosen, order, logits = bench_buffer(b, (uint64_t)n * stride * 4),
                                     terms = bench_buffer(b, 2 * r->n_experts * 4);
    struct bench_step s = step_of(b, n);
    struct pairs p = pairs_of(b, r, n, &chosen, &order);
    float *x = logits.map, *t = terms.map;
    for (uint32_t i = 0; i < n * stride; i++) x[i] = 4 * bench_uniform();
    for (uint32_t i = 0; i < 2 * r->n_experts; i++) t[i] = bench_uniform() / 4;
    /* Ties go to the lower index: all are equal but for the biases. */
    for (uint32_t e = 0; n > 1 && e < r->n_experts; e++) x[stride + e] = 1;
    biases.data = (struct gpu_range){&terms, 0, 0};
    struct gpu_commands *c = bench_begin(b);
    bench_ok(ops_route(b->ops, c, r, &biases, &s.step, &logits, &p, &error), &error);
    bench_run(b, c);
    for (uint32_t row = 0; row < n; row++) check_route(r, &biases, chosen.map, x, t, row);
    bench_free(b, &chosen);
    bench_free(b, &order);
    bench_free(b, &logits);
    bench_free(b, &terms);
    bench_free(b, &s.step.buffer);
}

static void router_kinds(void **state)
{
    static const struct {
        struct router r;
        struct router_terms biases;
    } kinds[] = {
        {{.n_experts = 8, .n_used = 2, .normalise = true}, {0}},
        {{.n_experts = 60, .n_used = 4, .shared = SHARED_GATED}, {0}},
        {{.n_experts = 128, .n_used = 8, .normalise = true}, {0}},
        {{.n_experts = 32, .n_used = 4, .gate = ROUTER_SOFTMAX_CHOSEN}, {.logits = true}},
        {{.n_experts = 64, .n_used = 6, .scale = 2.5f, .shared = SHARED_PLAIN}, {0}},
        {{.n_experts = 160,
          .n_used = 8,
          .gate = ROUTER_SIGMOID,
          .normalise = true,
          .scale = 2.5f,
          .shared = SHARED_PLAIN},
         {.choice = true}},
        {{.n_experts = 256,
          .n_used = 8,
          .n_groups = 8,
          .groups_used = 4,
          .gate = ROUTER_SIGMOID,
          .normalise = true},
         {.choice = true}},
        {{.n_experts = 24, .n_used = 6, .n_groups = 24, .groups_used = 7}, {0}},
        {{.n_experts = 5, .n_used = 5}, {.logits = true, .choice = true}},
        {{.n_experts = 1, .n_used = 1}, {0}},
        {{.n_experts = EXPERTS_MAX, .n_used = EXPERTS_USED_MAX, .gate = ROUTER_SIGMOID}, {0}},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct router r = kinds[i].r;
        if (r.scale == 0) r.scale = 1;
        try_router(*state, &r, kinds[i].biases, 1);
        try_router(*state, &r, kinds[i].biases, 16);
    }
}

/* Whatever the logits are, the slots get experts that exist, each once. */
static void router_poisoned(void **state)
{
    struct bench *b = *state;
    struct llm_error error = {0};
    const uint32_t values[] = {0x7fc00000, 0xffc00000, 0x7f800000, 0xff800000, 0x7f7fffff, 1, 0};
    const uint32_t n = 128;
    for (int gate = ROUTER_SOFTMAX; gate <= ROUTER_SOFTMAX_CHOSEN; gate++) {
        const struct router r = {.n_experts = 40,
                                 .n_used = 10,
                                 .gate = (enum router_gate)gate,
                                 .n_groups = 4,
                                 .groups_used = 2,
                                 .scale = 1};
        struct gpu_buffer chosen, order,
            logits = bench_buffer(b, (uint64_t)n * ops_router_stride(&r) * 4);
        struct bench_step s = step_of(b, n);
        struct pairs p = pairs_of(b, &r, n, &chosen, &order);
        uint32_t *x = logits.map;
        for (uint32_t i = 0; i < n * ops_router_stride(&r); i++)
            x[i] = values[bench_random() % (sizeof values / sizeof *values)];
        struct gpu_commands *c = bench_begin(b);
        bench_ok(ops_route(b->ops, c, &r, NULL, &s.step, &logits, &p, &error), &error);
        bench_run(b, c);
        const struct choice *got = chosen.map;
        for (uint32_t row = 0; row < n; row++) {
            uint64_t seen = 0;
            for (uint32_t i = 0; i < r.n_used && !is_padding(row); i++) {
                uint32_t e = got[row * r.n_used + i].expert;
                assert_true(e < r.n_experts && !(seen >> e & 1));
                seen |= UINT64_C(1) << e;
            }
        }
        bench_free(b, &chosen);
        bench_free(b, &order);
        bench_free(b, &logits);
        bench_free(b, &s.step.buffer);
    }
}

/* ---- products ---- */

struct stack {
    struct experts e;
    struct gpu_buffer *buffers;
    float *weights; /* (n, rows, cols) */
};

/* a_buffer 0: as many in a buffer as bindings allow. */
static struct stack make_stack(struct bench *b, enum quant_type type, uint32_t rows, uint32_t cols,
                               uint32_t n, uint32_t a_buffer)
{
    const struct quant_info *info = quant_info(type);
    const size_t each = (size_t)rows * cols, bytes = each / info->block * info->block_size;
    struct stack s = {.e = ops_experts_layout(b->info, type, rows, cols, n)};
    if (a_buffer) s.e.a_buffer = a_buffer;
    s.weights = malloc(n * each * sizeof *s.weights);
    s.buffers = calloc(ops_experts_buffers(&s.e), sizeof *s.buffers);
    uint8_t *file = malloc(n * bytes);
    assert_true(s.weights && s.buffers && file);
    bench_random_blocks(type, file, n * each);
    quant_decode(type, file, s.weights, n * each);
    for (uint32_t i = 0; i < ops_experts_buffers(&s.e); i++)
        s.buffers[i] = bench_buffer(b, ops_experts_buffer_size(&s.e, i));
    for (uint32_t i = 0; i < n; i++)
        repack_tiles(type, cols, file + i * bytes, rows,
                     (char *)s.buffers[i / s.e.a_buffer].map + i % s.e.a_buffer * s.e.stride);
    free(file);
    s.e.one.buffer = s.buffers;
    return s;
}

static void drop_stack(struct bench *b, struct stack *s)
{
    for (uint32_t i = 0; i < ops_experts_buffers(&s->e); i++) bench_free(b, &s->buffers[i]);
    free(s->buffers);
    free(s->weights);
}

static double exact(const struct stack *s, const float *bias, uint32_t expert, uint32_t row,
                    const float *x)
{
    const struct weight *w = &s->e.one;
    const float *weights = s->weights + ((size_t)expert * w->rows + row) * w->cols;
    double sum = bias ? (double)bias[expert * ops_stride(w->rows) + row] : 0;
    for (uint32_t k = 0; k < w->cols; k++) sum += (double)weights[k] * (double)x[k];
    return sum;
}

static double gated(double gate, double up, bool clamped)
{
    if (!clamped) return gate * sigmoid(gate) * up;
    gate = fmin(gate, 7);
    up = fmax(-7, fmin(up, 7));
    return gate * sigmoid(1.702 * gate) * (up + 1);
}

struct layer {
    struct bench *b;
    struct stack gate, up, down;
    struct gpu_buffer bias; /* of gate, up and down, one after the other; NULL map: none */
    const float *biases[3];
    struct router r;
    uint32_t dim, hidden;
    bool clamped;
};

static void give_biases(struct layer *y)
{
    const uint32_t hidden = y->r.n_experts * ops_stride(y->hidden),
                   dim = y->r.n_experts * ops_stride(y->dim);
    y->bias = bench_buffer(y->b, (2 * (uint64_t)hidden + dim) * 4);
    float *bias = y->bias.map;
    for (uint32_t i = 0; i < 2 * hidden + dim; i++) bias[i] = 4 * bench_uniform();
    y->gate.e.bias = (struct gpu_range){&y->bias, 0, hidden * 4};
    y->up.e.bias = (struct gpu_range){&y->bias, hidden * 4, hidden * 4};
    y->down.e.bias = (struct gpu_range){&y->bias, 2 * hidden * 4, dim * 4};
    for (uint32_t i = 0; i < 3; i++) y->biases[i] = bias + (size_t)i * hidden;
}

static void zero(struct gpu_buffer *buffer, uint64_t size)
{
    memset(buffer->map, 0, size);
}

/* Gated values of a pair in double, rounded where the device rounds. */
static double check_hidden(const struct layer *y, uint32_t expert, const float *x, const float *got,
                           double *norm)
{
    double off = 0;
    for (uint32_t r = 0; r < y->hidden; r++) {
        double want = gated(exact(&y->gate, y->biases[0], expert, r, x),
                            exact(&y->up, y->biases[1], expert, r, x), y->clamped);
        off += (want - got[r]) * (want - got[r]);
        *norm += want * want;
    }
    return off;
}

/* Runs n rows through router, products and sum; out: (n, dim). Same x for the same row. */
static void run_layer(const struct layer *y, uint32_t n, const float *x_rows,
                      const float *logits_rows, float *out)
{
    struct bench *b = y->b;
    struct llm_error error = {0};
    const uint32_t slots = ops_router_slots(&y->r), dim_stride = ops_stride(y->dim),
                   hidden_stride = ops_stride(y->hidden), logits_stride = ops_router_stride(&y->r);
    struct gpu_buffer chosen, order,
        x = bench_buffer(b, (uint64_t)n * dim_stride * 4),
        logits = bench_buffer(b, (uint64_t)n * logits_stride * 4),
        hidden = bench_buffer(b, (uint64_t)n * slots * hidden_stride * 4),
        made = bench_buffer(b, (uint64_t)n * slots * dim_stride * 4),
        sum = bench_buffer(b, (uint64_t)n * dim_stride * 4);
    struct bench_step s = step_of(b, n);
    struct pairs p = pairs_of(b, &y->r, n, &chosen, &order);
    memcpy(x.map, x_rows, (size_t)n * dim_stride * 4);
    memcpy(logits.map, logits_rows, (size_t)n * logits_stride * 4);
    zero(&hidden, (uint64_t)n * slots * hidden_stride * 4);
    zero(&sum, (uint64_t)n * dim_stride * 4);
    zero(&made, (uint64_t)n * slots * dim_stride * 4);
    const struct activation act = {y->clamped ? ACTIVATION_SILU_CLAMPED : ACTIVATION_SILU, {0}};
    struct gpu_commands *c = bench_begin(b);
    bench_ok(ops_route(b->ops, c, &y->r, NULL, &s.step, &logits, &p, &error), &error);
    bench_ok(ops_order(b->ops, c, &p, &error), &error);
    gpu_commands_barrier(c);
    bench_ok(ops_experts_gate_up(b->ops, c, &y->gate.e, &y->up.e, &act, &p, &x, &hidden, &error),
             &error);
    gpu_commands_barrier(c);
    bench_ok(ops_experts_down(b->ops, c, &y->down.e, &p, &hidden, &made, &error), &error);
    gpu_commands_barrier(c);
    bench_ok(ops_combine(b->ops, c, &p, &made, &sum, y->dim, &error), &error);
    bench_run(b, c);

    const struct choice *choices = chosen.map;
    double off[3] = {0}, norm[3] = {0};
    for (uint32_t row = 0; row < n; row++) {
        double *want = calloc(y->dim, sizeof *want);
        assert_non_null(want);
        for (uint32_t i = 0; i < y->r.n_used && !is_padding(row); i++) {
            const uint32_t pair = row * slots + i, e = choices[pair].expert;
            const float *h = (float *)hidden.map + (size_t)pair * hidden_stride,
                        *m = (float *)made.map + (size_t)pair * dim_stride;
            if (row < 3 || row + 2 > n)
                off[0] += check_hidden(y, e, x_rows + (size_t)row * dim_stride, h, &norm[0]);
            for (uint32_t r = 0; r < y->dim; r++) {
                double d = row < 3 || row + 2 > n ? exact(&y->down, y->biases[2], e, r, h) : m[r];
                off[1] += (d - m[r]) * (d - m[r]);
                norm[1] += d * d;
                want[r] += (double)choices[pair].weight * m[r];
            }
        }
        const float *got = (float *)sum.map + (size_t)row * dim_stride;
        for (uint32_t r = 0; r < y->dim; r++) {
            off[2] += (want[r] - got[r]) * (want[r] - got[r]);
            norm[2] += want[r] * want[r];
        }
        memcpy(out + (size_t)row * y->dim, got, y->dim * 4);
        free(want);
    }
    for (int i = 0; i < 3; i++)
        if (!(off[i] <= (i == 2 ? 1e-12 : 1e-10) * norm[i]))
            fail_msg("%s, %u of %u experts of %u x %u, %u rows, stage %d: NMSE %g",
                     quant_info(y->gate.e.one.type)->name, y->r.n_used, y->r.n_experts, y->hidden,
                     y->dim, n, i, off[i] / norm[i]);
    struct gpu_buffer *all[] = {&chosen, &order, &x, &logits, &hidden, &made, &sum, &s.step.buffer};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) bench_free(b, all[i]);
}

/* In every bucket up to `most`: right, and the same bits. */
static void try_layer(struct bench *b, enum quant_type type, enum quant_type up_type,
                      struct router r, uint32_t dim, uint32_t hidden, uint32_t a_buffer,
                      bool clamped, uint32_t most)
{
    struct layer y = {.b = b, .r = r, .dim = dim, .hidden = hidden, .clamped = clamped};
    const uint32_t n = r.n_experts, dim_stride = ops_stride(dim),
                   logits_stride = ops_router_stride(&r);
    y.gate = make_stack(b, type, hidden, dim, n, a_buffer);
    y.up = make_stack(b, up_type, hidden, dim, n, a_buffer);
    y.down = make_stack(b, type, dim, hidden, n, a_buffer ? a_buffer + 1 : 0);
    if (clamped) give_biases(&y);
    float *x = calloc((size_t)most * dim_stride, sizeof *x),
          *logits = calloc((size_t)most * logits_stride, sizeof *logits),
          *first = calloc((size_t)most * dim, sizeof *first),
          *now = calloc((size_t)most * dim, sizeof *now);
    assert_true(x && logits && first && now);
    for (uint32_t i = 0; i < most * dim_stride; i++)
        x[i] = i % dim_stride < dim ? bench_uniform() : 0;
    for (uint32_t i = 0; i < most * logits_stride; i++) logits[i] = 2 * bench_uniform();
    for (uint32_t i = 0; ops_buckets[i] && ops_buckets[i] <= most; i++) {
        const uint32_t rows = ops_buckets[i], before = i ? ops_buckets[i - 1] : 0;
        run_layer(&y, rows, x, logits, now);
        if (memcmp(first, now, (size_t)before * dim * 4) != 0)
            fail_msg("%s: rows differ between %u and %u of them", quant_info(type)->name, before,
                     rows);
        memcpy(first, now, (size_t)rows * dim * 4);
    }
    free(x);
    free(logits);
    free(first);
    free(now);
    drop_stack(b, &y.gate);
    drop_stack(b, &y.up);
    drop_stack(b, &y.down);
    if (clamped) bench_free(b, &y.bias);
}

static void expert_formats(void **state)
{
    static const enum quant_type types[] = {
#define TYPE(constant, id, name, weights, bytes) constant,
        QUANT_LIST(TYPE)
#undef TYPE
    };
    const struct router r = {.n_experts = 4, .n_used = 2, .normalise = true, .scale = 1};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        try_layer(*state, types[t], types[t], r, 256, 256, 0, false, 4);
}

static void expert_shapes(void **state)
{
    const struct router few = {.n_experts = 5, .n_used = 2, .normalise = true, .scale = 1},
                        many = {.n_experts = 40,
                                .n_used = 6,
                                .gate = ROUTER_SIGMOID,
                                .scale = 1.5f},
                        shared = {.n_experts = 8, .n_used = 3, .scale = 1, .shared = SHARED_PLAIN},
                        one = {.n_experts = 1, .n_used = 1, .scale = 1},
                        oss = {
                            .n_experts = 6, .n_used = 4, .gate = ROUTER_SOFTMAX_CHOSEN, .scale = 1};
    try_layer(*state, QUANT_F32, QUANT_F32, few, 64, 100, 2, false, 64);
    try_layer(*state, QUANT_F32, QUANT_F32, many, 36, 44, 7, false, 64);
    try_layer(*state, QUANT_F32, QUANT_F32, shared, 64, 32, 0, false, 32);
    try_layer(*state, QUANT_F16, QUANT_F16, one, 40, 72, 0, false, 8);
    try_layer(*state, QUANT_Q8_0, QUANT_Q8_0, oss, 96, 64, 4, true, 32);
    try_layer(*state, QUANT_F32, QUANT_F32, oss, 60, 52, 1, true, 16);
    /* Gate and up of different formats. */
    try_layer(*state, QUANT_Q4_1, QUANT_F16, few, 64, 96, 3, false, 32);
    try_layer(*state, QUANT_F32, QUANT_Q8_0, oss, 96, 64, 0, true, 16);
}

/* ---- all matrices of every row ---- */

/* In place: part m of a row of x lies behind that of y, whose every eighth value is not written. */
struct all_case {
    enum quant_type type;
    uint32_t rows, cols, n, a_buffer;
};

static void run_all(struct bench *b, const struct all_case *t, const struct stack *s, uint32_t n,
                    const float *before, float *after)
{
    struct llm_error error = {0};
    const uint32_t y_each = t->rows + 8, x_each = t->cols + 4, x_at = 12 + t->n * y_each,
                   stride = x_at + t->n * x_each + 32;
    struct gpu_buffer buffer = bench_buffer(b, (uint64_t)n * stride * 4);
    const struct parts x = {&buffer, stride, x_at, x_each}, y = {&buffer, stride, 12, y_each};
    double off = 0, norm = 0;
    for (uint32_t i = 0; i < n; i++)
        memcpy((float *)buffer.map + (size_t)i * stride, before + (size_t)i * stride, stride * 4);
    struct gpu_commands *c = bench_begin(b);
    bench_ok(ops_experts_all(b->ops, c, &s->e, &x, &y, n, &error), &error);
    bench_run(b, c);
    memcpy(after, buffer.map, (size_t)n * stride * 4);
    for (uint32_t i = 0; i < n; i++) {
        const float *in = before + (size_t)i * stride, *out = after + (size_t)i * stride;
        for (uint32_t k = 0; k < stride; k++) {
            const uint32_t m = k < 12 ? t->n : (k - 12) / y_each,
                           r = k < 12 ? 0 : (k - 12) % y_each;
            if (m >= t->n || r >= (t->rows + 3) / 4 * 4) {
                if (memcmp(&out[k], &in[k], 4) != 0) fail_msg("row %u: %u was written", i, k);
            } else if (r < t->rows && (i < 2 || i + 1 == n)) {
                const double want = exact(s, NULL, m, r, in + x_at + m * x_each);
                off += (want - (double)out[k]) * (want - (double)out[k]);
                norm += want * want;
            }
        }
    }
    if (!(off <= 1e-10 * norm))
        fail_msg("%s, %u matrices of %u x %u, %u rows: NMSE %g", quant_info(t->type)->name, t->n,
                 t->rows, t->cols, n, off / norm);
    bench_free(b, &buffer);
}

static void all_matrices(void **state)
{
    static const struct all_case cases[] = {
        {QUANT_F32, 32, 16, 4, 0},    {QUANT_F32, 512, 128, 3, 2}, {QUANT_F16, 24, 64, 16, 0},
        {QUANT_Q8_0, 128, 512, 2, 0}, {QUANT_Q4_0, 64, 96, 5, 3},  {QUANT_Q4_K, 36, 256, 7, 0},
        {QUANT_BF16, 40, 20, 1, 0},
    };
    enum { MOST = 64 };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct all_case *t = &cases[i];
        struct stack s = make_stack(*state, t->type, t->rows, t->cols, t->n, t->a_buffer);
        const size_t stride = 12 + t->n * (t->rows + 8 + t->cols + 4) + 32;
        float *before = malloc(MOST * stride * 4), *first = malloc(MOST * stride * 4),
              *now = malloc(MOST * stride * 4);
        assert_true(before && first && now);
        for (size_t k = 0; k < MOST * stride; k++) before[k] = bench_uniform();
        for (uint32_t n = 1; n <= MOST; n *= 2) {
            run_all(*state, t, &s, n, before, now);
            if (n > 1 && memcmp(first, now, n / 2 * stride * 4) != 0)
                fail_msg("%s: rows differ between %u and %u of them", quant_info(t->type)->name,
                         n / 2, n);
            memcpy(first, now, n * stride * 4);
        }
        free(before);
        free(first);
        free(now);
        drop_stack(*state, &s);
    }
}

/* An expert of more than 128 MiB is bound in pieces where the device allows no more. */
static void expert_large(void **state)
{
    struct bench *b = *state;
    struct llm_error error = {0};
    const uint32_t rows = 1100000, cols = 32; /* F32: 134 MiB */
    struct experts e = ops_experts_layout(b->info, QUANT_F32, rows, cols, 1);
    const struct router r = {.n_experts = 1, .n_used = 1, .scale = 1};
    struct gpu_buffer chosen, order, buffer = bench_buffer(b, ops_experts_buffer_size(&e, 0)),
                                     x = bench_buffer(b, cols * 4),
                                     y = bench_buffer(b, (uint64_t)rows * 4);
    struct pairs p = pairs_of(b, &r, 1, &chosen, &order);
    float *words = buffer.map, *in = x.map, *out = y.map;
    /* F32 in tiles (f32.glsl): row 4 * lane + j, columns 16 * h + 4 * g + k. All columns of row r
     * are r % 1000 + 1. */
    for (uint32_t t = 0; t < rows / REPACK_TILE; t++)
        for (uint32_t i = 0; i < REPACK_TILE * cols; i++) {
            uint32_t word = i / 4, lane = word % 8, j = word / 8 / 8;
            words[(size_t)t * REPACK_TILE * cols + i] =
                (float)((t * REPACK_TILE + lane * 4 + j) % 1000 + 1);
        }
    for (uint32_t i = 0; i < cols; i++) in[i] = 1;
    *(struct choice *)chosen.map = (struct choice){0, 1};
    e.one.buffer = &buffer;
    struct gpu_commands *c = bench_begin(b);
    bench_ok(ops_experts_down(b->ops, c, &e, &p, &x, &y, &error), &error);
    bench_run(b, c);
    for (uint32_t i = 0; i < rows; i++) assert_true(out[i] == (float)(i % 1000 + 1) * 32);
    struct gpu_buffer *all[] = {&chosen, &order, &buffer, &x, &y};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) bench_free(b, all[i]);
}

static void experts_refused(void **state)
{
    struct bench *b = *state;
    struct llm_error error = {0};
    static const struct router bad[] = {
        {.n_experts = 0, .n_used = 1},
        {.n_experts = EXPERTS_MAX + 1, .n_used = 1},
        {.n_experts = 8, .n_used = 0},
        {.n_experts = 8, .n_used = 9},
        {.n_experts = 64, .n_used = EXPERTS_USED_MAX + 1},
        {.n_experts = 8, .n_used = 2, .n_groups = 3},
    };
    const struct activation act = {ACTIVATION_SILU, {0}};
    struct bench_step s = bench_step(b, 1, 1, 1, 1);
    struct gpu_buffer buffer = bench_buffer(b, 4096);
    struct pairs p = {&buffer, &buffer, 1, 8, 2, 2};
    struct gpu_commands *c = bench_begin(b);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(ops_route(b->ops, c, &bad[i], NULL, &s.step, &buffer, &p, &error),
                         LLM_UNSUPPORTED);
    struct experts gate = ops_experts_layout(b->info, QUANT_F32, 32, 32, 8), up = gate, few = gate;
    up.one.rows = 31;
    few.n = 7;
    assert_int_equal(ops_experts_gate_up(b->ops, c, &gate, &up, &act, &p, &buffer, &buffer, &error),
                     LLM_UNSUPPORTED);
    assert_int_equal(ops_experts_down(b->ops, c, &few, &p, &buffer, &buffer, &error),
                     LLM_BAD_ARGUMENT);
    assert_non_null(strstr(error.message, "7"));
    few.n = 4096;
    const struct parts parts = {&buffer, 32, 0, 32};
    assert_int_equal(ops_experts_all(b->ops, c, &few, &parts, &parts, 128, &error),
                     LLM_UNSUPPORTED);
    bench_run(b, c);
    bench_free(b, &buffer);
    bench_free(b, &s.step.buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(router_kinds),    cmocka_unit_test(router_poisoned),
        cmocka_unit_test(expert_formats),  cmocka_unit_test(expert_shapes),
        cmocka_unit_test(expert_large),    cmocka_unit_test(all_matrices),
        cmocka_unit_test(experts_refused),
    };
    return cmocka_run_group_tests(tests, bench_setup, bench_teardown);
}

/* Checks of what rows do that choose among experts. */
#include <math.h>
#include <string.h>

#include "check_impl.h"
#include "repack.h"

enum { NONE = -1 }; /* as shaders/experts.glsl has it */

struct choice {
    uint32_t expert;
    float weight;
};

static double sigmoid(double v)
{
    return 1 / (1 + exp(-v));
}

/* ---- the router ---- */

struct routes {
    const struct router *r;
    const float *logits, *terms; /* of the row; of all */
    bool logit_bias, choice_bias, expert_scales;
    double probabilities[EXPERTS_MAX], scores[EXPERTS_MAX];
};

static void make_softmax(double *values, uint32_t n)
{
    double most = -INFINITY, sum = 0;
    for (uint32_t i = 0; i < n; i++) most = fmax(most, values[i]);
    for (uint32_t i = 0; i < n; i++) sum += values[i] = exp(values[i] - most);
    for (uint32_t i = 0; i < n; i++) values[i] /= sum;
}

/* Groups whose two best are less than those of as many others are out. */
static void drop_groups(struct routes *s)
{
    const uint32_t n = s->r->n_groups > 1 ? s->r->n_groups : 1, each = s->r->n_experts / n;
    double sums[EXPERTS_MAX];
    for (uint32_t g = 0; g < n; g++) {
        double best = -INFINITY, second = -INFINITY;
        for (uint32_t i = 0; i < each; i++) {
            const double v = s->scores[g * each + i];
            second = fmax(second, fmin(best, v));
            best = fmax(best, v);
        }
        sums[g] = each > 1 ? best + second : best;
    }
    for (uint32_t g = 0; n > 1 && g < n; g++) {
        uint32_t before = 0;
        for (uint32_t i = 0; i < n; i++)
            before += sums[i] > sums[g] || (sums[i] == sums[g] && i < g);
        for (uint32_t i = 0; i < each && before >= s->r->groups_used; i++)
            s->scores[g * each + i] = -INFINITY;
    }
}

static void make_scores(struct routes *s)
{
    const uint32_t n = s->r->n_experts;
    const float *choice = s->terms + (s->logit_bias ? n : 0);
    for (uint32_t e = 0; e < n; e++) {
        const double logit = (double)s->logits[e] + (s->logit_bias ? (double)s->terms[e] : 0);
        s->probabilities[e] = s->r->gate == ROUTER_SIGMOID ? sigmoid(logit) : logit;
    }
    if (s->r->gate == ROUTER_SOFTMAX) make_softmax(s->probabilities, n);
    for (uint32_t e = 0; e < n; e++)
        s->scores[e] = s->probabilities[e] + (s->choice_bias ? (double)choice[e] : 0);
    drop_groups(s);
}

/* The score at a place of the order, from the best on: experts whose scores are all but the same
 * may well change places. */
static double score_at(const struct routes *s, uint32_t place)
{
    for (uint32_t e = 0; e < s->r->n_experts; e++) {
        uint32_t before = 0;
        for (uint32_t i = 0; i < s->r->n_experts; i++)
            before += s->scores[i] > s->scores[e] || (s->scores[i] == s->scores[e] && i < e);
        if (before == place) return s->scores[e];
    }
    return NAN;
}

static void compare_route(struct trial *b, struct routes *s, const struct choice *got)
{
    const struct router *r = s->r;
    const float *scales = s->terms + (s->logit_bias + s->choice_bias) * r->n_experts;
    double weights[EXPERTS_USED_MAX] = {0}, sum = 0, scale = (double)r->scale;
    make_scores(s);
    for (uint32_t i = 0; i < r->n_used; i++) {
        bool again = got[i].expert >= r->n_experts;
        for (uint32_t k = 0; k < i; k++) again |= got[k].expert == got[i].expert;
        if (again) b->error = INFINITY;
        if (again) return;
        check_compare(b, s->scores[got[i].expert], score_at(s, i));
        weights[i] = s->probabilities[got[i].expert];
    }
    if (r->gate == ROUTER_SOFTMAX_CHOSEN) make_softmax(weights, r->n_used);
    for (uint32_t i = 0; i < r->n_used; i++) sum += weights[i];
    if (r->normalise && r->gate != ROUTER_SOFTMAX_CHOSEN) scale /= fmax(sum, 6.103515625e-5);
    for (uint32_t i = 0; i < r->n_used; i++) {
        const double own = s->expert_scales ? (double)scales[got[i].expert] : 1;
        check_compare(b, (double)got[i].weight, weights[i] * scale * own);
    }
    if (r->shared == SHARED_NONE) return;
    const double shared =
        r->shared == SHARED_GATED ? sigmoid((double)s->logits[ops_stride(r->n_experts)]) : 1;
    if (got[r->n_used].expert != (uint32_t)NONE) b->error = INFINITY;
    check_compare(b, (double)got[r->n_used].weight, shared);
}

/* Each pair is there once, beside others of its expert alone, in groups that begin with one. */
static llm_status compare_order(struct trial *b, const struct pairs *p, uint32_t columns,
                                struct llm_error *error)
{
    const struct choice *chosen = p->chosen->map;
    const uint32_t *order = p->order->map, n_pairs = p->n_rows * p->slots;
    const uint32_t n = (p->n_rows * p->n_used + p->n_experts * (columns - 1)) / columns * columns;
    uint8_t *seen;
    TRY(check_memory(b, n_pairs, &seen, error));
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t first = order[i / columns * columns];
        if (order[i] == (uint32_t)NONE) continue;
        if (order[i] >= n_pairs || first >= n_pairs) b->error = INFINITY;
        else if (chosen[order[i]].expert != chosen[first].expert) b->error = INFINITY;
        else seen[order[i]]++;
    }
    for (uint32_t i = 0; i < n_pairs; i++)
        check_compare(b, seen[i], chosen[i].expert < p->n_experts);
    return LLM_OK;
}

static struct step_row *rows_of(const struct step *step)
{
    return (struct step_row *)((char *)step->buffer.map + step->rows);
}

llm_status check_router(struct trial *b, const struct check *t, struct verdict *v,
                        struct llm_error *error)
{
    const struct router *r = &t->router;
    const uint32_t n = t->n_rows, by = n > 16 ? 7 : 1, stride = ops_router_stride(r),
                   slots = ops_router_slots(r);
    struct step step = {.max_rows = n, .max_outputs = 1, .max_pages = 1, .rope_pairs = 2};
    struct gpu_buffer *logits, *terms, *chosen, *order;
    TRY(check_floats(b, n * stride, &logits, error));
    TRY(check_floats(b, 3 * r->n_experts, &terms, error));
    TRY(check_buffer(b, ops_chosen_size(r, n), GPU_MEMORY_READBACK, &chosen, error));
    TRY(check_buffer(b, ops_order_size(r, n), GPU_MEMORY_READBACK, &order, error));
    TRY(check_step(b, &step, error));
    if (n > 1) rows_of(&step)[1].position = STEP_NO_ROW;
    for (uint32_t i = 0; i < n * stride; i++) ((float *)logits->map)[i] *= 4;
    const struct router_terms biases = {
        t->logit_bias, t->choice_bias, t->expert_scales, {terms, 0, 0}};
    const struct pairs p = {chosen, order, n, r->n_experts, r->n_used, slots};
    TRY(ops_route(b->ops, b->c, r, &biases, &step, logits, &p, error));
    TRY(ops_order(b->ops, b->c, &p, error));
    TRY(check_submit(b, error));
    v->bound = 1e-10f;
    for (uint32_t row = 0; row < n; row++) {
        const struct choice *got = (const struct choice *)chosen->map + row * slots;
        struct routes s = {.r = r,
                           .logits = (const float *)logits->map + row * stride,
                           .terms = terms->map,
                           .logit_bias = t->logit_bias,
                           .choice_bias = t->choice_bias,
                           .expert_scales = t->expert_scales};
        if (row != 1 && row % by == 0) compare_route(b, &s, got);
        for (uint32_t i = 0; row == 1 && i < slots; i++)
            if (got[i].expert != (uint32_t)NONE) b->error = INFINITY;
    }
    return t->columns ? compare_order(b, &p, t->columns, error) : LLM_OK;
}

/* ---- products ---- */

enum { N_EXPERTS = 3, N_USED = 2, ROWS = 64, COLS = 256 };

/* Matrices of all experts, and their values one after the other. */
static llm_status make_experts(struct trial *b, enum quant_type type, struct experts *e,
                               float **values, struct llm_error *error)
{
    const struct quant_info *info = quant_info((uint32_t)type);
    const size_t each = (size_t)ROWS * COLS, size = each / info->block * info->block_size;
    struct gpu_buffer *buffer;
    uint8_t *blocks;
    *e = ops_experts_layout(b->ops->info, type, ROWS, COLS, N_EXPERTS);
    TRY(check_memory(b, N_EXPERTS * each * sizeof(float), values, error));
    TRY(check_memory(b, size, &blocks, error));
    TRY(check_buffer(b, ops_experts_buffer_size(e, 0), GPU_MEMORY_READBACK, &buffer, error));
    for (uint32_t i = 0; i < N_EXPERTS; i++) {
        float *own = *values + i * each;
        for (size_t k = 0; k < each; k++) own[k] = check_random(b);
        quant_encode(type, own, blocks, each);
        quant_decode(type, blocks, own, each);
        repack_tiles(type, COLS, blocks, ROWS, (char *)buffer->map + i * e->stride);
    }
    e->one.buffer = buffer;
    return LLM_OK;
}

/* n_used of N_EXPERTS for each row; all of them in their order. */
static llm_status make_choices(struct trial *b, struct pairs *p, uint32_t n_used,
                               struct llm_error *error)
{
    const struct router r = {.n_experts = N_EXPERTS, .n_used = n_used};
    struct gpu_buffer *chosen, *order;
    TRY(check_buffer(b, ops_chosen_size(&r, p->n_rows), GPU_MEMORY_READBACK, &chosen, error));
    TRY(check_buffer(b, ops_order_size(&r, p->n_rows), GPU_MEMORY_READBACK, &order, error));
    for (uint32_t row = 0; row < p->n_rows; row++) {
        struct choice *at = (struct choice *)chosen->map + row * n_used;
        const uint32_t first = n_used < N_EXPERTS ? row : 0,
                       step = n_used < N_EXPERTS ? 1 + row % 2 : 1;
        for (uint32_t i = 0; i < n_used; i++)
            at[i] = (struct choice){(first + i * step) % N_EXPERTS, check_random(b)};
    }
    p->chosen = chosen;
    p->order = order;
    p->n_experts = N_EXPERTS;
    p->n_used = p->slots = n_used;
    return LLM_OK;
}

struct product_of_experts {
    const struct check *t;
    struct experts e[2];
    float *values[2], *before; /* before: y */
    struct gpu_buffer *x, *y, *biases;
    struct pairs p;
    uint32_t x_slots;
};

static double dot(const struct product_of_experts *m, uint32_t matrix, uint32_t pair, uint32_t row)
{
    const uint32_t expert = ((const struct choice *)m->p.chosen->map)[pair].expert;
    const float *w = m->values[matrix] + ((size_t)expert * ROWS + row) * COLS,
                *x = (const float *)m->x->map + (size_t)pair / m->x_slots * COLS,
                *bias = (const float *)m->biases->map + (matrix * N_EXPERTS + expert) * ROWS;
    double sum = m->t->bias ? (double)bias[row] : 0;
    for (uint32_t k = 0; k < COLS; k++) sum += (double)w[k] * (double)x[k];
    return sum;
}

/* alpha 1.702, limit 7: transformers, modeling_gpt_oss.py */
static double of_gate(const struct activation *a, double v)
{
    if (a->kind != ACTIVATION_SILU_CLAMPED) return check_activate(a, v);
    v = fmin(v, 7);
    return v * sigmoid(1.702 * v);
}

static double of_up(const struct activation *a, double v)
{
    return a->kind == ACTIVATION_SILU_CLAMPED ? fmin(fmax(v, -7), 7) + 1 : v;
}

static void compare_product(struct trial *b, const struct product_of_experts *m)
{
    const struct activation *a = &m->t->activation;
    for (uint32_t i = 0; i < m->p.n_rows * m->p.n_used * ROWS; i++) {
        const double v = dot(m, 0, i / ROWS, i % ROWS);
        double want = m->t->gate_waits ? (double)m->before[i] * of_up(a, v) : of_gate(a, v);
        if (m->t->gated) want *= of_up(a, dot(m, 1, i / ROWS, i % ROWS));
        check_compare(b, (double)((const float *)m->y->map)[i], want);
    }
}

llm_status check_experts(struct trial *b, const struct check *t, struct verdict *v,
                         struct llm_error *error)
{
    /* As many rows as have the kernel take so many pairs. */
    const uint32_t n = t->columns == 0   ? 1
                       : t->columns == 1 ? 4
                                         : 2 * t->columns,
                   n_used = t->every ? N_EXPERTS : N_USED, n_y = n * n_used * ROWS,
                   side = N_EXPERTS * ROWS * sizeof(float);
    struct product_of_experts m = {.t = t, .p.n_rows = n, .x_slots = t->gated ? N_USED : 1};
    TRY(make_experts(b, t->type, &m.e[0], &m.values[0], error));
    if (t->gated) TRY(make_experts(b, t->type, &m.e[1], &m.values[1], error));
    TRY(make_choices(b, &m.p, n_used, error));
    TRY(check_floats(b, n * n_used * COLS, &m.x, error));
    TRY(check_floats(b, n_y, &m.y, error));
    TRY(check_memory(b, n_y * sizeof(float), &m.before, error));
    memcpy(m.before, m.y->map, n_y * sizeof(float));
    TRY(check_floats(b, 2 * N_EXPERTS * ROWS, &m.biases, error));
    for (uint32_t i = 0; i < 2 && t->bias; i++)
        m.e[i].bias = (struct gpu_range){m.biases, i * side, side};
    const struct parts x = {m.x, n_used * COLS, 0, COLS}, y = {m.y, n_used * ROWS, 0, ROWS};
    const struct expert_product p = {.first = &m.e[0],
                                     .second = t->gated ? &m.e[1] : NULL,
                                     .x = m.x,
                                     .y = m.y,
                                     .x_slots = t->every ? n_used : m.x_slots,
                                     .activation = &t->activation,
                                     .gate_waits = t->gate_waits,
                                     .x_parts = t->every ? &x : NULL,
                                     .y_parts = t->every ? &y : NULL};
    TRY(ops_order(b->ops, b->c, &m.p, error));
    gpu_commands_barrier(b->c);
    TRY(ops_experts_multiply(b->ops, b->c, &p, &m.p, error));
    TRY(check_submit(b, error));
    v->bound = 1e-10f;
    compare_product(b, &m);
    return LLM_OK;
}

llm_status check_combine(struct trial *b, const struct check *t, struct verdict *v,
                         struct llm_error *error)
{
    enum { N = 4, DIM = 96 };
    struct pairs p = {.n_rows = N};
    struct gpu_buffer *made, *x;
    float *before;
    (void)t;
    TRY(make_choices(b, &p, N_USED, error));
    TRY(check_floats(b, N * N_USED * DIM, &made, error));
    TRY(check_floats(b, N * DIM, &x, error));
    TRY(check_memory(b, N * DIM * sizeof(float), &before, error));
    memcpy(before, x->map, N * DIM * sizeof(float));
    struct choice *chosen = p.chosen->map;
    for (uint32_t i = 0; i < N_USED; i++)
        chosen[i].expert = (uint32_t)NONE; /* the first is padding */
    TRY(ops_combine(b->ops, b->c, &p, made, x, DIM, error));
    TRY(check_submit(b, error));
    v->bound = 1e-12f;
    for (uint32_t i = 0; i < N * DIM; i++) {
        const uint32_t row = i / DIM;
        double want = (double)before[i];
        for (uint32_t s = 0; row > 0 && s < N_USED; s++)
            want += (double)chosen[row * N_USED + s].weight *
                    (double)((const float *)made->map)[(row * N_USED + s) * DIM + i % DIM];
        check_compare(b, (double)((const float *)x->map)[i], want);
    }
    return LLM_OK;
}

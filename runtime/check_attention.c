/* The check of rotation, cache and attention: all rows of one sequence are stored, and some
 * attended to, in one go, so that the layout of the cache does not matter here. */
#include <math.h>
#include <string.h>

#include "check_impl.h"

enum { MOST_DIMS = 1024, LONG = 300, SHORT = 200 };

/* Positions of the rows that are attended to; they come first in the batch, a row alone is the last
 * one of them. */
static const uint32_t asked_long[] = {0, 63, 64, 199, 255, 256, LONG - 1},
                      asked_short[] = {0, 63, 64, SHORT - 1};

struct scene {
    struct attention_shape s; /* with few KV heads, stride and places filled in */
    struct head_terms terms;
    struct step step;
    struct gpu_buffer *qkv, *k, *v, *partial, *out, *data, *sinks, *first_row;
    struct gpu_range all_sinks;
    float *before; /* qkv */
    const uint32_t *asked;
    uint32_t n_asked, n_rows, n_pages, max_groups;
    uint32_t row_of[LONG]; /* by position */
};

static llm_status make(struct trial *b, const struct check *t, struct scene *e,
                       struct llm_error *error)
{
    struct attention_shape *s = &e->s;
    const uint32_t v_dims = s->latent ? 0 : s->n_kv_heads * s->v_dim;
    s->q = 0;
    s->k = s->n_heads * s->head_dim;
    s->v = s->latent ? s->k : s->k + s->n_kv_heads * s->head_dim;
    s->stride = ops_stride(s->k + s->n_kv_heads * s->head_dim + v_dims);
    e->n_pages = (e->n_rows + ATTENTION_PIECE - 1) / ATTENTION_PIECE;
    e->max_groups = (e->n_rows + ATTENTION_GROUP - 1) / ATTENTION_GROUP;
    e->step.max_rows = e->n_rows;
    e->step.max_outputs = 1;
    e->step.max_pages = e->n_pages;
    e->step.rope_pairs = s->rope_dim / 2 + s->rope_dim / 2 % 2 + 2;
    const size_t size = (size_t)e->n_rows * s->stride * sizeof(float);
    TRY(check_floats(b, e->n_rows * s->stride, &e->qkv, error));
    TRY(check_memory(b, size, &e->before, error));
    memcpy(e->before, e->qkv->map, size);
    TRY(check_floats(b, s->stride + 2 * s->head_dim, &e->data, error));
    e->terms = (struct head_terms){.data = {e->data, 0, 0},
                                   .bias = t->bias,
                                   .norm = t->head_norm,
                                   .eps = 0.01f,
                                   .late = t->late,
                                   .value_norm = t->value_norm};
    TRY(check_floats(b, s->n_heads, &e->sinks, error));
    e->all_sinks = (struct gpu_range){e->sinks, 0, s->n_heads * sizeof(float)};
    if (s->sinks) s->sinks = &e->all_sinks;
    TRY(check_buffer(b, e->n_pages * ops_k_page_size(s), GPU_MEMORY_READBACK, &e->k, error));
    e->v = e->k;
    if (!s->latent)
        TRY(check_buffer(b, e->n_pages * ops_v_page_size(s), GPU_MEMORY_READBACK, &e->v, error));
    TRY(check_buffer(b, ops_partial_size(s, e->n_asked, e->max_groups * ATTENTION_GROUP),
                     GPU_MEMORY_READBACK, &e->partial, error));
    TRY(check_buffer(b, (uint64_t)e->n_asked * ops_stride(s->n_heads * s->v_dim) * sizeof(float),
                     GPU_MEMORY_READBACK, &e->out, error));
    return check_step(b, &e->step, error);
}

static float *turns_of(const struct scene *e, uint32_t row)
{
    return (float *)((char *)e->step.buffer.map + e->step.rope) + row * e->step.rope_pairs * 2;
}

/* What q is scaled by: ops.h, q_scaled. */
static float *factor_of(const struct scene *e, uint32_t row)
{
    return turns_of(e, row) + (e->step.rope_pairs - 2) * 2;
}

/* The rows that are asked for, then the others. */
static void order_rows(struct scene *e)
{
    uint32_t next = e->n_asked;
    for (uint32_t i = 0; i < e->n_rows; i++) {
        uint32_t k = 0;
        while (k < e->n_asked && e->asked[k] != i) k++;
        e->row_of[i] = k < e->n_asked ? k : next++;
    }
}

static void fill_step(struct trial *b, struct scene *e)
{
    char *map = e->step.buffer.map;
    struct step_row *rows = (struct step_row *)(map + e->step.rows);
    uint32_t *pages = (uint32_t *)(map + e->step.pages);
    for (uint32_t i = 0; i < e->n_pages; i++) pages[i] = e->n_pages - 1 - i;
    for (uint32_t i = 0; i < e->n_rows; i++) {
        const uint32_t row = e->row_of[i];
        rows[row].position = rows[row].last = i;
        for (uint32_t p = 0; p < e->s.rope_dim / 2; p++) {
            const double angle = i * pow(10000, -2.0 * p / e->s.rope_dim);
            turns_of(e, row)[2 * p] = (float)cos(angle);
            turns_of(e, row)[2 * p + 1] = (float)sin(angle);
        }
        *factor_of(e, row) = 1 + 0.5f * (float)(i % 3);
    }
    ops_step_end(b->ops, &e->step, ops_attention_columns(b->ops, &e->s), e->n_asked);
}

/* What becomes of the head at place `at` of a row: bias, norm, gain (NULL: none), rotation. */
static void head_of(const struct scene *e, uint32_t row, uint32_t at, uint32_t dim, bool norm,
                    const float *gain, bool turn, double out[MOST_DIMS])
{
    const struct attention_shape *s = &e->s;
    const float *x = e->before + (size_t)row * s->stride + at, *bias = e->data->map;
    double in[MOST_DIMS], squares = 0;
    for (uint32_t d = 0; d < dim; d++) {
        in[d] = (double)x[d] + (e->terms.bias ? (double)bias[at + d] : 0);
        squares += in[d] * in[d];
    }
    const double scale = 1 / sqrt(squares / dim + (double)e->terms.eps);
    for (uint32_t d = 0; d < dim; d++)
        out[d] = in[d] *= (norm ? scale : 1) * (gain && !e->terms.late ? (double)gain[d] : 1);
    const float *turns = turns_of(e, row);
    for (uint32_t p = 0; turn && p < s->rope_dim / 2; p++) {
        const uint32_t u = s->rope_at + (s->rope_neox ? p : 2 * p),
                       w = u + (s->rope_neox ? s->rope_dim / 2 : 1);
        const double c = (double)turns[2 * p], i = (double)turns[2 * p + 1];
        out[u] = in[u] * c - in[w] * i;
        out[w] = in[u] * i + in[w] * c;
    }
    for (uint32_t d = 0; gain && e->terms.late && d < dim; d++) out[d] *= (double)gain[d];
}

/* Softmax summed as it comes, with the largest score so far (Milakov and Gimelshein 2018); v NULL:
 * a score that has no value. */
struct sum {
    double most, weights, values[MOST_DIMS];
};

static void add_score(struct sum *sum, double score, const double *v, uint32_t n)
{
    const double top = score > sum->most ? score : sum->most, before = exp(sum->most - top),
                 weight = exp(score - top);
    for (uint32_t d = 0; d < n; d++)
        sum->values[d] = sum->values[d] * before + (v ? weight * v[d] : 0);
    sum->weights = sum->weights * before + weight;
    sum->most = top;
}

static void attend(const struct scene *e, uint32_t position, uint32_t head, double out[MOST_DIMS])
{
    const struct attention_shape *s = &e->s;
    const uint32_t kv = head / (s->n_heads / s->n_kv_heads), n = s->head_dim;
    const float *gains = (const float *)e->data->map + s->stride;
    const bool norm = e->terms.norm;
    const float *q_gain = norm ? gains : NULL, *k_gain = norm ? gains + n : NULL;
    const double factor = s->q_scaled ? (double)*factor_of(e, e->row_of[position]) : 1,
                 cap = (double)s->softcap;
    const uint32_t first = s->window && position >= s->window ? position - s->window + 1 : 0;
    double q[MOST_DIMS], k[MOST_DIMS], v[MOST_DIMS];
    struct sum sum = {.most = -INFINITY};
    head_of(e, e->row_of[position], s->q + head * n, n, norm, q_gain, true, q);
    for (uint32_t p = first; p <= position; p++) {
        double score = 0;
        head_of(e, e->row_of[p], s->k + kv * n, n, norm, k_gain, true, k);
        if (s->latent) memcpy(v, k, sizeof v);
        else
            head_of(e, e->row_of[p], s->v + kv * s->v_dim, s->v_dim, e->terms.value_norm, NULL,
                    false, v);
        for (uint32_t d = 0; d < n; d++) score += q[d] * k[d];
        score *= (double)s->scale * factor;
        add_score(&sum, cap != 0 ? cap * tanh(score / cap) : score, v, s->v_dim);
    }
    if (s->sinks) add_score(&sum, (double)((const float *)e->sinks->map)[head], NULL, s->v_dim);
    for (uint32_t d = 0; d < s->v_dim; d++) out[d] = sum.values[d] / sum.weights;
}

static void compare(struct trial *b, const struct check *t, const struct scene *e)
{
    const struct attention_shape *s = &e->s;
    double want[MOST_DIMS];
    for (uint32_t i = 0; i < e->n_asked; i++) {
        const float *row =
            (const float *)e->out->map + (size_t)i * ops_stride(s->n_heads * s->v_dim);
        for (uint32_t h = 0; h < s->n_heads; h++) {
            attend(e, e->asked[i], h, want);
            for (uint32_t d = 0; d < s->v_dim; d++)
                check_compare(b, check_value(row, t->out, h * s->v_dim + d), want[d]);
        }
    }
}

/* Against a cache that rounds nothing. */
static const float bounds[] = {
    [LLM_KV_F16] = 1e-6f, [LLM_KV_F32] = 1e-9f, [LLM_KV_Q8_0] = 1e-4f, [LLM_KV_Q4_0] = 0.03f};

static void ask(const struct check *t, bool is_short, struct scene *e)
{
    e->n_rows = is_short ? SHORT : LONG;
    e->asked = is_short ? asked_short : asked_long;
    e->n_asked = is_short ? sizeof asked_short / sizeof *asked_short
                          : sizeof asked_long / sizeof *asked_long;
    if (!t->at_once) return;
    e->asked += e->n_asked - 1;
    e->n_asked = 1;
}

/* What the cache holds of a row alone before its turn is of another one. */
static llm_status mislead(struct trial *b, struct scene *e, struct llm_error *error)
{
    const uint64_t size = e->s.stride * sizeof(float);
    TRY(check_buffer(b, size, GPU_MEMORY_READBACK, &e->first_row, error));
    memcpy(e->first_row->map, e->before, size);
    memcpy(e->qkv->map, e->before + e->s.stride, size);
    return LLM_OK;
}

static llm_status record(struct trial *b, const struct check *t, struct scene *e,
                         struct llm_error *error)
{
    order_rows(e);
    TRY(make(b, t, e, error));
    if (t->at_once) TRY(mislead(b, e, error));
    fill_step(b, e);
    const struct gpu_range k = {e->k, 0, 0}, v = {e->v, 0, 0};
    TRY(ops_rope_store(b->ops, b->c, &e->s, &e->terms, &e->step, e->qkv, &k, &v, e->n_rows, error));
    gpu_commands_barrier(b->c);
    if (!t->at_once)
        return ops_attention(b->ops, b->c, &e->s, &e->step, e->qkv, &k, &v, e->partial, e->out,
                             t->out, e->max_groups, e->n_asked, error);
    gpu_commands_copy(b->c, e->first_row, 0, e->qkv, 0, e->first_row->size);
    gpu_commands_barrier(b->c);
    return ops_attend(b->ops, b->c, &e->s, &e->terms, &e->step, e->qkv, &k, &v, e->partial, e->out,
                      t->out, e->max_groups, 1, error);
}

/* A row alone is asked over one group of positions, too, where there can be several: the same
 * kernel finishes it another way. */
llm_status check_attention(struct trial *b, const struct check *t, struct verdict *v,
                           struct llm_error *error)
{
    struct scene scenes[] = {{.s = t->shape}, {.s = t->shape}};
    const int n = t->at_once && !t->short_context ? 2 : 1;
    for (int i = 0; i < n; i++) {
        ask(t, t->short_context || i, &scenes[i]);
        if (i) gpu_commands_barrier(b->c);
        TRY(record(b, t, &scenes[i], error));
    }
    TRY(check_submit(b, error));
    v->bound = bounds[t->shape.kv];
    if (t->out) v->bound = fmaxf(v->bound, 1e-4f);
    for (int i = 0; i < n; i++) compare(b, t, &scenes[i]);
    return LLM_OK;
}

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "reference_impl.h"

void reference_multiply(const float *w, const double *x, double *out, size_t rows, size_t cols)
{
    for (size_t i = 0; i < rows; i++, w += cols) {
        double sums[4] = {0, 0, 0, 0};
        size_t j = 0;
        for (; j + 4 <= cols; j += 4)
            for (size_t k = 0; k < 4; k++) sums[k] += (double)w[j + k] * x[j + k];
        for (; j < cols; j++) sums[0] += (double)w[j] * x[j];
        out[i] = sums[0] + sums[1] + sums[2] + sums[3];
    }
}

void reference_norm(const struct reference *r, const double *x, const float *weight,
                    const float *bias, double *out, size_t n)
{
    double mean = 0, squares = 0;
    for (size_t i = 0; i < n && r->kin->centered; i++) mean += x[i] / (double)n;
    for (size_t i = 0; i < n; i++) squares += (x[i] - mean) * (x[i] - mean);
    const double scale = 1 / sqrt(squares / (double)n + (double)r->epsilon);
    for (size_t i = 0; i < n; i++)
        out[i] =
            (x[i] - mean) * scale * (weight ? (double)weight[i] : 1) + (bias ? (double)bias[i] : 0);
}

/* The dimension that turns so many times within the original context (YaRN, Peng et al. 2023,
 * section 3.2). */
static double yarn_dimension(const struct rope *p, double turns)
{
    return p->dims * log(p->original_context / (turns * 2 * 3.14159265358979323846)) /
           (2 * log((double)p->base));
}

/* The angle of pair i at a position and the size by which cos and sin are multiplied. */
static double rope_angle(const struct rope *p, uint32_t i, uint32_t position, double *size)
{
    double plain = position * pow((double)p->base, -2.0 * i / p->dims);
    if (p->divisors) plain /= (double)p->divisors[i];
    double scaled = plain / (double)p->factor;
    *size = (double)p->attn_factor;
    if (!p->yarn) return scaled;
    double low = fmax(0, floor(yarn_dimension(p, (double)p->beta_fast)));
    double high = fmin(p->dims - 1, ceil(yarn_dimension(p, (double)p->beta_slow)));
    double ramp = fmin(1, fmax(0, (i - low) / fmax(0.001, high - low)));
    *size *= (1 + 0.1 * log((double)p->factor)) /
             (1 + 0.1 * (double)p->log_multiplier * log((double)p->factor));
    return plain * (1 - ramp) + scaled * ramp;
}

void reference_rotate(const struct rope *p, double *x, uint32_t n_heads, uint32_t head_dim,
                      uint32_t position)
{
    for (uint32_t i = 0; i < p->dims / 2; i++) {
        double size, angle = rope_angle(p, i, position, &size);
        double c = cos(angle) * size, s = sin(angle) * size;
        for (uint32_t h = 0; h < n_heads; h++) {
            double *head = x + h * head_dim;
            double *one = head + (p->neox ? i : 2 * i), *other = one + (p->neox ? p->dims / 2 : 1);
            double a = *one, b = *other;
            *one = a * c - b * s;
            *other = a * s + b * c;
        }
    }
}

void reference_softmax(double *x, size_t n)
{
    double most = x[0], sum = 0;
    for (size_t i = 1; i < n; i++) most = fmax(most, x[i]);
    for (size_t i = 0; i < n; i++) sum += x[i] = exp(x[i] - most);
    for (size_t i = 0; i < n; i++) x[i] /= sum;
}

static double cap(double x, double most)
{
    return most > 0 ? most * tanh(x / most) : x;
}

static void attend_head(struct reference *r, const struct layer *y, uint32_t h, uint32_t position)
{
    const uint32_t kv = h / (r->n_heads / y->n_kv_heads);
    const double *q = r->q + h * y->head_dim;
    double *out = r->attended + h * y->v_dim;
    const uint32_t first = y->window && position >= y->window ? position - y->window + 1 : 0;
    for (uint32_t t = first; t <= position; t++) {
        const double *key = y->keys + ((size_t)t * y->n_kv_heads + kv) * y->head_dim;
        double sum = 0;
        for (uint32_t i = 0; i < y->head_dim; i++) sum += q[i] * key[i];
        r->scores[t] = cap(sum * r->attention_scale, r->attention_cap);
    }
    if (y->sinks) r->scores[position + 1] = (double)y->sinks[h]; /* takes its share of weight */
    reference_softmax(r->scores + first, (size_t)position - first + 1 + (y->sinks != NULL));
    memset(out, 0, y->v_dim * sizeof *out);
    for (uint32_t t = first; t <= position; t++) {
        const double *value = y->values + ((size_t)t * y->n_kv_heads + kv) * y->v_dim;
        for (uint32_t i = 0; i < y->v_dim; i++) out[i] += r->scores[t] * value[i];
    }
}

void reference_add(double *x, const float *addend, size_t n)
{
    for (size_t i = 0; addend && i < n; i++) x[i] += (double)addend[i];
}

/* Gains: `each` for every head, `row` for all together, `own` for each its own; or NULL. */
static void norm_heads(const struct reference *r, const struct layer *y, double *x,
                       const float *each, const float *row, const float *own, uint32_t n_heads)
{
    for (uint32_t h = 0; own && h < n_heads; h++)
        reference_norm(r, x + h * y->head_dim, own + h * y->head_dim, NULL, x + h * y->head_dim,
                       y->head_dim);
    if (row) reference_norm(r, x, row, NULL, x, n_heads * y->head_dim);
    for (uint32_t h = 0; each && h < n_heads; h++)
        reference_norm(r, x + h * y->head_dim, each, NULL, x + h * y->head_dim, y->head_dim);
}

static void turn_and_norm(const struct reference *r, const struct layer *y, double *x,
                          const float *each, const float *row, const float *own, uint32_t n_heads,
                          uint32_t position)
{
    const uint32_t l = (uint32_t)(y - r->layers);
    const bool plain = (r->kin->plain_every && (l + 1) % r->kin->plain_every == 0) ||
                       (r->kin->others_plain && r->window && !y->window);
    if (!r->kin->late_norm) norm_heads(r, y, x, each, row, own, n_heads);
    if (!plain)
        reference_rotate(y->window ? &r->window_rope : &r->rope, x, n_heads, y->head_dim, position);
    if (r->kin->late_norm) norm_heads(r, y, x, each, row, own, n_heads);
}

/* r->q, and the position's key and value. */
static void make_qkv(struct reference *r, const struct layer *y, const double *in,
                     uint32_t position, double *key, double *value)
{
    const uint32_t heads = r->n_heads * y->head_dim, width = y->n_kv_heads * y->head_dim,
                   v_width = y->n_kv_heads * y->v_dim;
    reference_multiply(y->q, in, r->q, heads, r->dim);
    reference_multiply(y->k, in, key, width, r->dim);
    reference_multiply(y->v, in, value, v_width, r->dim);
    reference_add(r->q, y->q_bias, heads);
    reference_add(key, y->k_bias, width);
    reference_add(value, y->v_bias, v_width);
    for (uint32_t h = 0; r->kin->gemma4 && h < y->n_kv_heads; h++)
        reference_norm(r, value + h * y->v_dim, NULL, NULL, value + h * y->v_dim, y->v_dim);
    turn_and_norm(r, y, r->q, y->q_norm, y->q_row, y->q_heads, r->n_heads, position);
    turn_and_norm(r, y, key, y->k_norm, y->k_row, y->k_heads, y->n_kv_heads, position);
}

/* added = o(attention(in)) */
static void attention(struct reference *r, struct layer *y, const double *in, uint32_t position)
{
    const uint32_t heads = r->n_heads * y->head_dim, width = y->n_kv_heads * y->head_dim,
                   v_width = y->n_kv_heads * y->v_dim;
    double *key = y->keys + (size_t)position * width,
           *value = y->values + (size_t)position * v_width;
    (r->kin->latent ? reference_make_latent : make_qkv)(r, y, in, position, key, value);
    const double heat =
        1 + r->temperature * log(1 + floor((double)position / r->rope.original_context));
    for (uint32_t i = 0; i < heads && r->temperature > 0; i++) r->q[i] *= heat;
    for (uint32_t h = 0; h < r->n_heads; h++) attend_head(r, y, h, position);
    reference_multiply(y->attn_output, r->attended, r->added, r->dim, r->n_heads * y->v_dim);
    reference_add(r->added, y->attn_output_bias, r->dim);
}

static double softplus(double x)
{
    return log1p(exp(x));
}

static double activate(const struct reference *r, const struct layer *y, double x)
{
    const double alpha_n = (double)y->xielu[0], alpha_p = (double)y->xielu[1],
                 beta = (double)y->xielu[2], eps = (double)y->xielu[3];
    switch (r->kin->activation) {
    case SILU: return x / (1 + exp(-x));
    case GELU: return x / 2 * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    case RELU_SQUARED: return x > 0 ? x * x : 0;
    case XIELU:
        if (x > 0) return softplus(alpha_p) * x * x + beta * x;
        return (beta + softplus(alpha_n)) * (expm1(fmin(x, eps)) - x) + beta * x;
    }
    return x;
}

/* added = down(activation(in)) */
static void feed_forward(struct reference *r, const struct layer *y, const double *in)
{
    if (y->experts.router && !y->expert_norm) {
        reference_choose_experts(r, &y->experts, in, in);
        return;
    }
    reference_multiply(y->up, in, r->up, r->hidden, r->dim);
    reference_add(r->up, y->up_bias, r->hidden);
    if (y->gate) reference_multiply(y->gate, in, r->gate, r->hidden, r->dim);
    for (uint32_t i = 0; i < r->hidden; i++)
        r->up[i] = y->gate ? activate(r, y, r->gate[i]) * r->up[i] : activate(r, y, r->up[i]);
    reference_multiply(y->down, r->up, r->added, r->dim, r->hidden);
    reference_add(r->added, y->down_bias, r->dim);
}

static const double *normed(const struct reference *r, const float *weight, const float *bias,
                            double *out)
{
    if (!weight) return r->x;
    reference_norm(r, r->x, weight, bias, out, r->dim);
    return out;
}

static void add_to_x(struct reference *r, const float *post)
{
    if (post) reference_norm(r, r->added, post, NULL, r->added, r->dim);
    for (uint32_t i = 0; i < r->dim; i++) r->x[i] += r->residual_scale * r->added[i];
}

/* added = dense_post(ffn(in)) + expert_post(experts(expert_norm(x))), Gemma 4's. */
static void feed_both(struct reference *r, const struct layer *y, const double *in)
{
    double *dense = reference_must(malloc(3 * r->dim * sizeof *dense)), *by = dense + r->dim,
           *normed = by + r->dim;
    feed_forward(r, y, in);
    reference_norm(r, r->added, y->dense_post, NULL, dense, r->dim);
    reference_norm(r, r->x, y->router_gain, NULL, by, r->dim);
    for (uint32_t i = 0; i < r->dim; i++) by[i] /= sqrt(r->dim);
    reference_norm(r, r->x, y->expert_norm, NULL, normed, r->dim);
    reference_choose_experts(r, &y->experts, by, normed);
    reference_norm(r, r->added, y->expert_post, NULL, r->added, r->dim);
    for (uint32_t i = 0; i < r->dim; i++) r->added[i] += dense[i];
    free(dense);
}

static void forward_layer(struct reference *r, struct layer *y, uint32_t position)
{
    const double *first = normed(r, y->attn_norm, y->attn_norm_bias, r->normed), *second = first;
    if (r->parallel && y->ffn_norm) second = normed(r, y->ffn_norm, y->ffn_norm_bias, r->normed2);
    attention(r, y, first, position);
    add_to_x(r, y->attn_post);
    if (!r->parallel) second = normed(r, y->ffn_norm, y->ffn_norm_bias, r->normed2);
    if (y->expert_norm) feed_both(r, y, second);
    else feed_forward(r, y, second);
    add_to_x(r, y->ffn_post);
    for (uint32_t i = 0; i < r->dim; i++) r->x[i] *= (double)y->scale;
}

static void forward(struct reference *r, int32_t id, double *logits)
{
    for (uint32_t i = 0; i < r->dim; i++)
        r->x[i] = r->embedding_scale * (double)r->embedding[(size_t)id * r->dim + i];
    if (r->positions) reference_add(r->x, r->positions + (size_t)r->length * r->dim, r->dim);
    for (uint32_t l = 0; l < r->n_layers; l++) forward_layer(r, &r->layers[l], r->length);
    r->length++;
    if (!logits) return;
    reference_norm(r, r->x, r->output_norm, r->output_norm_bias, r->normed, r->dim);
    reference_multiply(r->output, r->normed, logits, r->vocab, r->dim);
    reference_add(logits, r->output_bias, r->vocab);
    for (uint32_t i = 0; i < r->vocab; i++)
        logits[i] = cap(logits[i] / r->logit_scale, r->logit_cap);
}

/* ---- the context ---- */

static void grow(struct reference *r, size_t n)
{
    if (r->length + n <= r->capacity) return;
    r->capacity = 2 * (r->length + (uint32_t)n);
    for (uint32_t l = 0; l < r->n_layers; l++) {
        struct layer *y = &r->layers[l];
        const size_t n_heads = (size_t)r->capacity * y->n_kv_heads * sizeof(double);
        y->keys = reference_must(realloc(y->keys, n_heads * y->head_dim));
        y->values = reference_must(realloc(y->values, n_heads * y->v_dim));
    }
    r->scores = reference_must(realloc(r->scores, (r->capacity + 1) * sizeof(double)));
}

static bool eval(struct reference *r, const int32_t *ids, size_t n, double *logits, bool all)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || (uint32_t)ids[i] >= r->vocab) return false;
    grow(r, n);
    for (size_t i = 0; i < n; i++) {
        bool wanted = logits && (all || i + 1 == n);
        forward(r, ids[i], wanted ? logits + (all ? i * r->vocab : 0) : NULL);
    }
    return true;
}

bool reference_eval(struct reference *r, const int32_t *ids, size_t n, double *logits)
{
    return eval(r, ids, n, logits, false);
}

bool reference_eval_all(struct reference *r, const int32_t *ids, size_t n, double *logits)
{
    return eval(r, ids, n, logits, true);
}

void reference_choose_rope(struct reference *r, uint32_t context)
{
    if (r->rope.long_divisors)
        r->rope.divisors =
            context > r->rope.original_context ? r->rope.long_divisors : r->rope.short_divisors;
}

uint32_t reference_vocab(const struct reference *r)
{
    return r->vocab;
}

uint32_t reference_length(const struct reference *r)
{
    return r->length;
}

void reference_truncate(struct reference *r, uint32_t length)
{
    if (length < r->length) r->length = length;
}

const double *reference_state(const struct reference *r)
{
    return r->normed;
}

int32_t reference_best(const struct reference *r, const double *logits)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < r->vocab; i++)
        if (logits[i] > logits[best]) best = i;
    return (int32_t)best;
}

#include "reference.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"

struct layer {
    float *attn_norm;        /* (dim) */
    float *q, *k, *v;        /* (heads * head_dim, dim), (kv_heads * head_dim, dim) twice */
    float *attn_output;      /* (dim, heads * head_dim) */
    float *ffn_norm;         /* (dim) */
    float *gate, *up, *down; /* (hidden, dim) twice, (dim, hidden) */
    float *q_bias, *k_bias, *v_bias, *q_norm, *k_norm; /* or NULL; the norms: (head_dim) */
    double *keys, *values;                             /* (capacity, kv_heads * head_dim) */
};

struct rope {
    uint32_t dims;
    float base, factor, attn_factor, beta_fast, beta_slow;
    bool yarn;
    uint32_t original_context;
    float *divisors; /* (dims / 2), or NULL */
    float *long_divisors, *short_divisors;
    bool neox; /* pairs are half the dimensions apart */
};

/* What the architectures differ in, as their papers and published configurations have it. */
static const struct kin {
    const char *name;
    bool neox;
    uint32_t plain_every;
} kin[] = {
    {"llama", false, 0},    {"qwen2", true, 0},    {"qwen3", true, 0},    {"phi3", true, 0},
    {"smollm3", false, 4},  {"granite", false, 0}, {"exaone", true, 0},   {"internlm2", false, 0},
    {"ernie4_5", false, 0}, {"minicpm", false, 0}, {"seed_oss", true, 0},
};

struct reference {
    const struct kin *kin;
    double embedding_scale, residual_scale, attention_scale, logit_scale;
    uint32_t dim, n_layers, n_heads, n_kv_heads, head_dim, hidden, vocab, context;
    float epsilon;
    struct rope rope;
    float *embedding, *output_norm; /* (vocab, dim), (dim) */
    float *output;                  /* (vocab, dim), may be the embedding */
    struct layer *layers;
    uint32_t length, capacity;
    double *x, *normed, *q, *attended, *scores, *gate, *up; /* of one token */
};

/* ---- opening ---- */

static void *must(void *p)
{
    if (!p) abort();
    return p;
}

static llm_status find_kin(struct reference *r, const struct gguf *g, struct llm_error *error)
{
    struct gguf_string name = {"", 0};
    TRY(gguf_get_string(g, "general.architecture", &name, error));
    for (size_t i = 0; i < sizeof kin / sizeof *kin; i++) {
        if (strlen(kin[i].name) == name.size && !memcmp(kin[i].name, name.text, name.size))
            r->kin = &kin[i];
    }
    if (r->kin) return LLM_OK;
    return error_set(error, LLM_UNSUPPORTED, "no reference for %.*s", (int)name.size, name.text);
}

static const char *key(const struct reference *r, char out[128], const char *name)
{
    snprintf(out, 128, "%s.%s", r->kin->name, name);
    return out;
}

static llm_status number(const struct reference *r, const struct gguf *g, const char *name,
                         double *out, struct llm_error *error)
{
    char full[128];
    float value = (float)*out;
    TRY(gguf_get_f32(g, key(r, full, name), &value, error));
    *out = (double)value;
    return LLM_OK;
}

static llm_status read_scales(struct reference *r, const struct gguf *g, struct llm_error *error)
{
    r->embedding_scale = r->residual_scale = r->logit_scale = 1;
    r->attention_scale = 1 / sqrt(r->head_dim);
    TRY(number(r, g, "embedding_scale", &r->embedding_scale, error));
    TRY(number(r, g, "residual_scale", &r->residual_scale, error));
    TRY(number(r, g, "attention.scale", &r->attention_scale, error));
    return number(r, g, "logit_scale", &r->logit_scale, error);
}

static llm_status read_shape(struct reference *r, const struct gguf *g, struct llm_error *error)
{
    char full[128];
    TRY(find_kin(r, g, error));
    const struct {
        const char *key;
        uint32_t *out;
    } numbers[] = {
        {"embedding_length", &r->dim},         {"block_count", &r->n_layers},
        {"attention.head_count", &r->n_heads}, {"feed_forward_length", &r->hidden},
        {"context_length", &r->context},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        TRY(gguf_get_u32(g, key(r, full, numbers[i].key), numbers[i].out, error));
        if (*numbers[i].out == 0)
            return error_set(error, LLM_BAD_MODEL, "%s is missing", numbers[i].key);
    }
    r->n_kv_heads = r->n_heads;
    TRY(gguf_get_u32(g, key(r, full, "attention.head_count_kv"), &r->n_kv_heads, error));
    r->head_dim = r->dim / r->n_heads;
    TRY(gguf_get_u32(g, key(r, full, "attention.key_length"), &r->head_dim, error));
    if (r->n_kv_heads == 0 || r->n_heads % r->n_kv_heads || r->head_dim == 0)
        return error_set(error, LLM_BAD_MODEL, "%u heads of %u for %u KV heads", r->n_heads,
                         r->head_dim, r->n_kv_heads);
    return gguf_get_f32(g, key(r, full, "attention.layer_norm_rms_epsilon"), &r->epsilon, error);
}

static llm_status read_rope(struct reference *r, const struct gguf *g, struct llm_error *error)
{
    struct rope *p = &r->rope;
    char full[128];
    *p = (struct rope){.dims = r->head_dim,
                       .base = 10000,
                       .factor = 1,
                       .attn_factor = 1,
                       .beta_fast = 32,
                       .beta_slow = 1,
                       .original_context = r->context,
                       .neox = r->kin->neox};
    struct gguf_string type = {"linear", 6};
    TRY(gguf_get_u32(g, key(r, full, "rope.dimension_count"), &p->dims, error));
    TRY(gguf_get_f32(g, key(r, full, "rope.freq_base"), &p->base, error));
    TRY(gguf_get_string(g, key(r, full, "rope.scaling.type"), &type, error));
    TRY(gguf_get_f32(g, key(r, full, "rope.scaling.factor"), &p->factor, error));
    TRY(gguf_get_f32(g, key(r, full, "rope.scaling.attn_factor"), &p->attn_factor, error));
    TRY(gguf_get_f32(g, key(r, full, "rope.scaling.yarn_beta_fast"), &p->beta_fast, error));
    TRY(gguf_get_f32(g, key(r, full, "rope.scaling.yarn_beta_slow"), &p->beta_slow, error));
    TRY(gguf_get_u32(g, key(r, full, "rope.scaling.original_context_length"), &p->original_context,
                     error));
    if (p->dims > r->head_dim)
        return error_set(error, LLM_BAD_MODEL, "rope over %u of %u", p->dims, r->head_dim);
    p->yarn = type.size == 4 && memcmp(type.text, "yarn", 4) == 0;
    if ((type.size == 4 && memcmp(type.text, "none", 4) == 0) || p->factor == 0) p->factor = 1;
    return LLM_OK;
}

/* NULL where it is missing or of another shape. */
static float *weights(const struct gguf *g, const uint8_t *data, const char *name, uint64_t cols,
                      uint64_t rows)
{
    const struct gguf_tensor *t = gguf_tensor(g, name);
    if (!t || t->dims[0] != cols || t->dims[1] != rows || t->dims[2] != 1 || t->dims[3] != 1)
        return NULL;
    size_t n = (size_t)(cols * rows);
    float *out = must(malloc(n * sizeof *out));
    quant_decode(t->type, data + t->offset, out, n);
    return out;
}

/* What may be missing. */
static void read_optional(const struct reference *r, struct layer *y, const struct gguf *g,
                          const uint8_t *data, uint32_t l)
{
    uint32_t q = r->n_heads * r->head_dim, kv = r->n_kv_heads * r->head_dim;
    const struct {
        const char *name;
        float **out;
        uint32_t n;
    } vectors[] = {
        {"attn_q.bias", &y->q_bias, q},
        {"attn_k.bias", &y->k_bias, kv},
        {"attn_v.bias", &y->v_bias, kv},
        {"attn_q_norm.weight", &y->q_norm, r->head_dim},
        {"attn_k_norm.weight", &y->k_norm, r->head_dim},
    };
    char name[64];
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        snprintf(name, sizeof name, "blk.%u.%s", l, vectors[i].name);
        *vectors[i].out = weights(g, data, name, vectors[i].n, 1);
    }
}

/* Rows [from, from + n) of the tensor that has `rows` in all. */
static float *some_rows(const struct gguf *g, const uint8_t *data, const char *name, uint64_t cols,
                        uint64_t rows, uint64_t from, uint64_t n)
{
    float *all = weights(g, data, name, cols, rows);
    if (!all) return NULL;
    float *out = must(malloc((size_t)(n * cols) * sizeof *out));
    memcpy(out, all + from * cols, (size_t)(n * cols) * sizeof *out);
    free(all);
    return out;
}

/* The matrices that one tensor may hold together. */
static void read_fused(const struct reference *r, struct layer *y, const struct gguf *g,
                       const uint8_t *data, uint32_t l)
{
    uint32_t q = r->n_heads * r->head_dim, kv = r->n_kv_heads * r->head_dim;
    char name[64];
    snprintf(name, sizeof name, "blk.%u.attn_qkv.weight", l);
    y->q = some_rows(g, data, name, r->dim, q + 2 * kv, 0, q);
    y->k = some_rows(g, data, name, r->dim, q + 2 * kv, q, kv);
    y->v = some_rows(g, data, name, r->dim, q + 2 * kv, q + kv, kv);
    snprintf(name, sizeof name, "blk.%u.ffn_up.weight", l);
    y->gate = some_rows(g, data, name, r->dim, 2 * r->hidden, 0, r->hidden);
    y->up = some_rows(g, data, name, r->dim, 2 * r->hidden, r->hidden, r->hidden);
}

static llm_status read_layer(struct reference *r, const struct gguf *g, const uint8_t *data,
                             uint32_t l, struct llm_error *error)
{
    struct layer *y = &r->layers[l];
    const char *ffn_norm = strcmp(r->kin->name, "seed_oss") ? "ffn_norm" : "post_attention_norm";
    uint32_t q = r->n_heads * r->head_dim, kv = r->n_kv_heads * r->head_dim;
    const struct {
        const char *name;
        float **out;
        uint32_t cols, rows;
    } tensors[] = {
        {"attn_norm", &y->attn_norm, r->dim, 1},
        {ffn_norm, &y->ffn_norm, r->dim, 1},
        {"attn_q", &y->q, r->dim, q},
        {"attn_k", &y->k, r->dim, kv},
        {"attn_v", &y->v, r->dim, kv},
        {"attn_output", &y->attn_output, q, r->dim},
        {"ffn_gate", &y->gate, r->dim, r->hidden},
        {"ffn_up", &y->up, r->dim, r->hidden},
        {"ffn_down", &y->down, r->hidden, r->dim},
    };
    read_optional(r, y, g, data, l);
    read_fused(r, y, g, data, l);
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        char name[64];
        if (*tensors[i].out) continue;
        snprintf(name, sizeof name, "blk.%u.%s.weight", l, tensors[i].name);
        *tensors[i].out = weights(g, data, name, tensors[i].cols, tensors[i].rows);
        if (!*tensors[i].out)
            return error_set(error, LLM_BAD_MODEL, "%s is missing or of another shape", name);
    }
    return LLM_OK;
}

static llm_status read_model(struct reference *r, const struct gguf *g, const uint8_t *data,
                             struct llm_error *error)
{
    TRY(read_shape(r, g, error));
    TRY(read_rope(r, g, error));
    TRY(read_scales(r, g, error));
    const struct gguf_tensor *embedding = gguf_tensor(g, "token_embd.weight");
    if (!embedding) return error_set(error, LLM_BAD_MODEL, "token_embd.weight is missing");
    r->vocab = (uint32_t)embedding->dims[1];
    r->embedding = weights(g, data, "token_embd.weight", r->dim, r->vocab);
    r->output_norm = weights(g, data, "output_norm.weight", r->dim, 1);
    r->output = gguf_tensor(g, "output.weight")
                    ? weights(g, data, "output.weight", r->dim, r->vocab)
                    : r->embedding;
    r->rope.divisors = weights(g, data, "rope_freqs.weight", r->rope.dims / 2, 1);
    r->rope.long_divisors = weights(g, data, "rope_factors_long.weight", r->rope.dims / 2, 1);
    r->rope.short_divisors = weights(g, data, "rope_factors_short.weight", r->rope.dims / 2, 1);
    if (!r->embedding || !r->output_norm || !r->output)
        return error_set(error, LLM_BAD_MODEL,
                         "embedding, output_norm or output is missing or of another shape");
    r->layers = must(calloc(r->n_layers, sizeof *r->layers));
    for (uint32_t l = 0; l < r->n_layers; l++) TRY(read_layer(r, g, data, l, error));
    size_t heads = r->n_heads * r->head_dim;
    r->x = must(calloc(r->dim, sizeof(double)));
    r->normed = must(calloc(r->dim, sizeof(double)));
    r->q = must(calloc(heads, sizeof(double)));
    r->attended = must(calloc(heads, sizeof(double)));
    r->gate = must(calloc(r->hidden, sizeof(double)));
    r->up = must(calloc(r->hidden, sizeof(double)));
    return LLM_OK;
}

struct reference *reference_open(const void *data, size_t size, struct llm_error *error)
{
    struct gguf g;
    if (gguf_parse(&g, data, size, size, &alloc_libc, error) != LLM_OK) return NULL;
    struct reference *r = must(calloc(1, sizeof *r));
    llm_status status = read_model(r, &g, data, error);
    gguf_free(&g);
    if (status == LLM_OK) return r;
    reference_free(r);
    return NULL;
}

void reference_free(struct reference *r)
{
    if (!r) return;
    for (uint32_t l = 0; r->layers && l < r->n_layers; l++) {
        struct layer *y = &r->layers[l];
        void *all[] = {y->attn_norm, y->ffn_norm, y->q,      y->k,     y->v,      y->attn_output,
                       y->gate,      y->up,       y->down,   y->keys,  y->values, y->q_bias,
                       y->k_bias,    y->v_bias,   y->q_norm, y->k_norm};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    }
    if (r->output != r->embedding) free(r->output);
    if (!r->rope.long_divisors) free(r->rope.divisors); /* else it is one of the two */
    void *all[] = {
        r->layers, r->embedding, r->output_norm, r->rope.long_divisors, r->rope.short_divisors,
        r->x,      r->normed,    r->q,           r->attended,           r->scores,
        r->gate,   r->up};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(r);
}

/* ---- the mathematics ---- */

static void multiply(const float *w, const double *x, double *out, size_t rows, size_t cols)
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

static void rms_norm(const double *x, const float *weight, double *out, size_t n, double epsilon)
{
    double squares = 0;
    for (size_t i = 0; i < n; i++) squares += x[i] * x[i];
    double scale = 1 / sqrt(squares / (double)n + epsilon);
    for (size_t i = 0; i < n; i++) out[i] = x[i] * scale * (double)weight[i];
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
    *size *= 1 + 0.1 * log((double)p->factor);
    return plain * (1 - ramp) + scaled * ramp;
}

/* Turns the pairs of each head. */
static void rotate(const struct rope *p, double *x, uint32_t n_heads, uint32_t head_dim,
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

static void softmax(double *x, size_t n)
{
    double most = x[0], sum = 0;
    for (size_t i = 1; i < n; i++) most = fmax(most, x[i]);
    for (size_t i = 0; i < n; i++) sum += x[i] = exp(x[i] - most);
    for (size_t i = 0; i < n; i++) x[i] /= sum;
}

static void attend_head(struct reference *r, const struct layer *y, uint32_t h, uint32_t position)
{
    uint32_t width = r->n_kv_heads * r->head_dim,
             at = h / (r->n_heads / r->n_kv_heads) * r->head_dim;
    const double *q = r->q + h * r->head_dim;
    double *out = r->attended + h * r->head_dim;
    for (uint32_t t = 0; t <= position; t++) {
        const double *key = y->keys + (size_t)t * width + at;
        double sum = 0;
        for (uint32_t i = 0; i < r->head_dim; i++) sum += q[i] * key[i];
        r->scores[t] = sum * r->attention_scale;
    }
    softmax(r->scores, (size_t)position + 1);
    memset(out, 0, r->head_dim * sizeof *out);
    for (uint32_t t = 0; t <= position; t++) {
        const double *value = y->values + (size_t)t * width + at;
        for (uint32_t i = 0; i < r->head_dim; i++) out[i] += r->scores[t] * value[i];
    }
}

static void add(double *x, const float *addend, size_t n)
{
    for (size_t i = 0; addend && i < n; i++) x[i] += (double)addend[i];
}

static void norm_heads(const struct reference *r, double *x, const float *weight, uint32_t n_heads)
{
    for (uint32_t h = 0; weight && h < n_heads; h++)
        rms_norm(x + h * r->head_dim, weight, x + h * r->head_dim, r->head_dim, (double)r->epsilon);
}

static void forward_layer(struct reference *r, struct layer *y, uint32_t position)
{
    bool plain = r->kin->plain_every && (uint32_t)(y - r->layers + 1) % r->kin->plain_every == 0;
    uint32_t heads = r->n_heads * r->head_dim, width = r->n_kv_heads * r->head_dim;
    double *key = y->keys + (size_t)position * width, *value = y->values + (size_t)position * width;
    rms_norm(r->x, y->attn_norm, r->normed, r->dim, (double)r->epsilon);
    multiply(y->q, r->normed, r->q, heads, r->dim);
    multiply(y->k, r->normed, key, width, r->dim);
    multiply(y->v, r->normed, value, width, r->dim);
    add(r->q, y->q_bias, heads);
    add(key, y->k_bias, width);
    add(value, y->v_bias, width);
    norm_heads(r, r->q, y->q_norm, r->n_heads);
    norm_heads(r, key, y->k_norm, r->n_kv_heads);
    if (!plain) {
        rotate(&r->rope, r->q, r->n_heads, r->head_dim, position);
        rotate(&r->rope, key, r->n_kv_heads, r->head_dim, position);
    }
    for (uint32_t h = 0; h < r->n_heads; h++) attend_head(r, y, h, position);
    multiply(y->attn_output, r->attended, r->normed, r->dim, heads);
    for (uint32_t i = 0; i < r->dim; i++) r->x[i] += r->residual_scale * r->normed[i];

    rms_norm(r->x, y->ffn_norm, r->normed, r->dim, (double)r->epsilon);
    multiply(y->gate, r->normed, r->gate, r->hidden, r->dim);
    multiply(y->up, r->normed, r->up, r->hidden, r->dim);
    for (uint32_t i = 0; i < r->hidden; i++) r->gate[i] *= r->up[i] / (1 + exp(-r->gate[i]));
    multiply(y->down, r->gate, r->normed, r->dim, r->hidden);
    for (uint32_t i = 0; i < r->dim; i++) r->x[i] += r->residual_scale * r->normed[i];
}

static void forward(struct reference *r, int32_t id, double *logits)
{
    for (uint32_t i = 0; i < r->dim; i++)
        r->x[i] = r->embedding_scale * (double)r->embedding[(size_t)id * r->dim + i];
    for (uint32_t l = 0; l < r->n_layers; l++) forward_layer(r, &r->layers[l], r->length);
    r->length++;
    if (!logits) return;
    rms_norm(r->x, r->output_norm, r->normed, r->dim, (double)r->epsilon);
    multiply(r->output, r->normed, logits, r->vocab, r->dim);
    for (uint32_t i = 0; i < r->vocab; i++) logits[i] /= r->logit_scale;
}

/* ---- the context ---- */

static void grow(struct reference *r, size_t n)
{
    if (r->length + n <= r->capacity) return;
    r->capacity = 2 * (r->length + (uint32_t)n);
    size_t size = (size_t)r->capacity * r->n_kv_heads * r->head_dim * sizeof(double);
    for (uint32_t l = 0; l < r->n_layers; l++) {
        r->layers[l].keys = must(realloc(r->layers[l].keys, size));
        r->layers[l].values = must(realloc(r->layers[l].values, size));
    }
    r->scores = must(realloc(r->scores, r->capacity * sizeof(double)));
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

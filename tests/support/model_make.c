#include "model_make.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gguf_write.h"
#include "model_parts.h"
#include "vocabulary_make.h"

const struct model_shape model_shape_small = {
    .dim = 64,
    .n_layers = 2,
    .n_heads = 4,
    .n_kv_heads = 2,
    .head_dim = 16,
    .hidden = 96,
    .vocab = 320,
    .context = 512,
    .rope_base = 10000,
    .rope_factor = 4,
    .rope_original_context = 128,
    .seed = 1,
};

/* Steele, Lea, Flood 2014 */
uint64_t model_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

float model_uniform(uint64_t *state)
{
    return (float)(model_random(state) >> 40) * 0x1p-23f - 1;
}

/* ---- tensors ---- */

struct maker {
    const struct model_shape *shape;
    struct gguf_write out;
    uint64_t random;
    bool declare; /* lists the tensors instead of making their data */
    struct model_tensor *tensors;
    size_t n_tensors;
};

static void list(struct maker *m, const struct model_tensor *tensor)
{
    m->tensors = realloc(m->tensors, (m->n_tensors + 1) * sizeof *m->tensors);
    if (!m->tensors) abort();
    m->tensors[m->n_tensors++] = *tensor;
}

/* Weights of mean `mean` that keep the size of what they multiply. */
static void stack(struct maker *m, const char *name, enum quant_type type, uint64_t cols,
                  uint64_t rows, uint64_t depth, float mean, float spread)
{
    const uint64_t dims[] = {cols, rows, depth};
    const uint32_t n_dims = depth > 1 ? 3 : rows > 1 ? 2 : 1;
    if (m->declare) {
        struct model_tensor declared = {.type = type, .mean = mean, .spread = spread};
        snprintf(declared.name, sizeof declared.name, "%s", name);
        declared.size = gguf_write_declare(&m->out, name, type, n_dims, dims);
        list(m, &declared);
        return;
    }
    size_t n = (size_t)(cols * rows * depth);
    float *weights = malloc(n * sizeof *weights);
    if (!weights) abort();
    for (size_t i = 0; i < n; i++) weights[i] = mean + spread * model_uniform(&m->random);
    gguf_write_tensor(&m->out, name, type, n_dims, dims, weights);
    free(weights);
}

static void tensor(struct maker *m, const char *name, enum quant_type type, uint64_t cols,
                   uint64_t rows, float mean, float spread)
{
    stack(m, name, type, cols, rows, 1, mean, spread);
}

/* Blocks of 256 that do not fit a row give way to these (llama.cpp's llama-quant.cpp). */
static enum quant_type fitting(enum quant_type type, uint64_t cols)
{
    static const struct {
        enum quant_type from, to;
    } narrower[] = {
        {QUANT_Q2_K, QUANT_Q4_0},     {QUANT_Q3_K, QUANT_Q4_0},      {QUANT_Q4_K, QUANT_Q5_0},
        {QUANT_Q5_K, QUANT_Q5_1},     {QUANT_Q6_K, QUANT_Q8_0},      {QUANT_IQ4_XS, QUANT_IQ4_NL},
        {QUANT_IQ3_S, QUANT_IQ4_NL},  {QUANT_IQ3_XXS, QUANT_IQ4_NL}, {QUANT_IQ2_S, QUANT_IQ4_NL},
        {QUANT_IQ2_XS, QUANT_IQ4_NL}, {QUANT_IQ2_XXS, QUANT_IQ4_NL}, {QUANT_IQ1_S, QUANT_IQ4_NL},
        {QUANT_IQ1_M, QUANT_IQ4_NL},  {QUANT_TQ1_0, QUANT_Q4_0},     {QUANT_TQ2_0, QUANT_Q4_0},
    };
    if (cols % quant_info(type)->block == 0) return type;
    for (size_t i = 0; i < sizeof narrower / sizeof *narrower; i++)
        if (narrower[i].from == type) return narrower[i].to;
    return type;
}

static void matrix(struct maker *m, const char *name, enum quant_type type, uint64_t cols,
                   uint64_t rows)
{
    tensor(m, name, fitting(type, cols), cols, rows, 0, sqrtf(3 / (float)cols));
}

static void norm(struct maker *m, const char *name)
{
    tensor(m, name, QUANT_F32, m->shape->dim, 1, 1, 0.5f);
}

static bool has_experts(const struct model_shape *s, uint32_t l)
{
    return s->experts.n && l >= s->experts.dense;
}

static void layer_part(struct maker *m, const struct part *p, uint32_t l, const char *name)
{
    const struct model_shape own = model_shape_in(m->shape, l), *s = &own;
    const uint32_t cols = model_extent(s, p->cols), rows = model_extent(s, p->rows);
    const float spread = sqrtf(3 / (float)cols);
    switch (p->kind) {
    case ATTENTION: matrix(m, name, s->attention, cols, rows); break;
    case FFN:
    case DENSE:
    case SHARED: matrix(m, name, s->ffn, cols, rows); break;
    case PLAIN: matrix(m, name, QUANT_F32, cols, rows); break;
    case STACK:
    case SPLIT_STACK:
    case FUSED_STACK:
        stack(m, name, fitting(s->ffn, cols), cols, rows, s->experts.n, 0, spread);
        break;
    case HEAD_STACK:
        stack(m, name, fitting(s->attention, cols), cols, rows, s->n_heads, 0, spread);
        break;
    case NORM: tensor(m, name, QUANT_F32, cols, rows, 1, 0.5f); break;
    case LOW_NORM: tensor(m, name, QUANT_F32, cols, rows, 0.35f, 0.15f); break;
    case BIAS: tensor(m, name, QUANT_F32, cols, rows, 0, 0.5f); break;
    case LARGE_BIAS: tensor(m, name, QUANT_F32, cols, rows, 0, 9); break;
    }
}

static void layer_parts(struct maker *m, uint32_t l, const char *list)
{
    const struct model_shape *s = m->shape;
    for (size_t n; *list; list += n + (list[n] == ' ')) {
        char name[64];
        n = strcspn(list, " ");
        const struct part *p = model_part(list, n);
        if (p->kind == FFN && has_experts(s, l)) continue;
        if (p->kind == SHARED && s->experts.shared == 0) continue;
        if (p->kind == (s->fused ? SPLIT_STACK : FUSED_STACK)) continue;
        if (strcmp(p->name, "v") == 0 && s->window_period && !model_has_window(s, l)) continue;
        snprintf(name, sizeof name, "blk.%u.%s", l, p->full);
        layer_part(m, p, l, name);
    }
}

static void attention_and_ffn(struct maker *m, uint32_t l, const struct kin *k)
{
    const struct model_shape *s = m->shape;
    if (k || s->layer) {
        layer_parts(m, l, s->layer ? s->layer : k->layer);
        return;
    }
    layer_parts(m, l, s->arch && strcmp(s->arch, "seed_oss") == 0 ? "norm1 post1" : "norm1 norm2");
    layer_parts(m, l, s->fused ? "qkv o gateup down" : "q k v o gate up down");
    if (s->bias) layer_parts(m, l, "qb kb vb");
    if (s->qk_norm) layer_parts(m, l, "qn kn");
}

static void layer(struct maker *m, uint32_t l)
{
    const struct kin *k = model_kin(m->shape);
    attention_and_ffn(m, l, k);
    if (m->shape->latent.rank) {
        layer_parts(m, l, m->shape->latent.q_rank ? "qa qan q-b" : "q");
        layer_parts(m, l, m->shape->latent.fused ? "kv-b" : "k-b v-b");
    }
    if (!has_experts(m->shape, l)) return;
    layer_parts(m, l, k && k->experts ? k->experts : PLAIN_EXPERTS);
}

/* What the layers that are left out have besides. */
static void next_layer(struct maker *m, uint32_t l)
{
    const struct model_shape *s = m->shape;
    char name[64];
    snprintf(name, sizeof name, "blk.%u.nextn.eh_proj.weight", l);
    matrix(m, name, QUANT_F32, 2 * s->dim, s->dim);
    snprintf(name, sizeof name, "blk.%u.nextn.enorm.weight", l);
    norm(m, name);
    snprintf(name, sizeof name, "blk.%u.nextn.hnorm.weight", l);
    norm(m, name);
}

/* Llama 3.1's divisors of the frequencies: 1 for short waves, factor for long ones, a ramp between
 * (its published config: low_freq_factor 1, high_freq_factor 4). */
static void llama3_factors(struct maker *m)
{
    const struct model_shape *s = m->shape;
    uint64_t n = model_rope_dims(s) / 2;
    float *factors = malloc((size_t)n * sizeof *factors);
    if (!factors) abort();
    for (uint64_t i = 0; i < n; i++) {
        double wave = 2 * 3.14159265358979323846 *
                      pow((double)s->rope_base, 2.0 * (double)i / (double)model_rope_dims(s));
        double turns = s->rope_original_context / wave, smooth = (turns - 1) / (4 - 1);
        smooth = smooth < 0 ? 0 : smooth > 1 ? 1 : smooth;
        factors[i] = (float)(1 / ((1 - smooth) / (double)s->rope_factor + smooth));
    }
    gguf_write_tensor(&m->out, "rope_freqs.weight", QUANT_F32, 1, &n, factors);
    free(factors);
}

static void part_factors(struct maker *m)
{
    uint64_t n = model_rope_dims(m->shape) / 2;
    float *factors = malloc((size_t)n * sizeof *factors);
    if (!factors) abort();
    for (uint64_t i = 0; i < n; i++) factors[i] = i < n / 4 ? 1 : 1e30f;
    gguf_write_tensor(&m->out, "rope_freqs.weight", QUANT_F32, 1, &n, factors);
    free(factors);
}

/* Divisors that grow along the pairs, those for long contexts the more. */
static void long_factors(struct maker *m)
{
    uint64_t n = model_rope_dims(m->shape) / 2;
    float *factors = malloc((size_t)n * sizeof *factors);
    if (!factors) abort();
    for (uint64_t i = 0; i < n; i++) factors[i] = 1 + 0.1f * (float)i;
    gguf_write_tensor(&m->out, "rope_factors_short.weight", QUANT_F32, 1, &n, factors);
    for (uint64_t i = 0; i < n; i++) factors[i] = 1 + 2 * (float)i;
    gguf_write_tensor(&m->out, "rope_factors_long.weight", QUANT_F32, 1, &n, factors);
    free(factors);
}

static void tensors(struct maker *m)
{
    const struct model_shape *s = m->shape;
    matrix(m, "token_embd.weight", s->embedding, s->dim, s->vocab);
    if (s->rope == MODEL_ROPE_LLAMA3) llama3_factors(m);
    if (s->rope == MODEL_ROPE_LONG) long_factors(m);
    if (s->rope == MODEL_ROPE_PART) part_factors(m);
    for (uint32_t l = 0; l < s->n_layers + s->next_layers; l++) {
        layer(m, l);
        if (l >= s->n_layers) next_layer(m, l);
    }
    norm(m, "output_norm.weight");
    if (!s->tied) matrix(m, "output.weight", s->output, s->dim, s->vocab);
    const struct kin *k = model_kin(s);
    if (k && strchr(k->model, 'n')) tensor(m, "output_norm.bias", QUANT_F32, s->dim, 1, 0, 0.5f);
    if (k && strchr(k->model, 'b')) tensor(m, "output.bias", QUANT_F32, s->vocab, 1, 0, 0.5f);
    if (k && strchr(k->model, 'p'))
        matrix(m, "position_embd.weight", s->embedding, s->dim, s->context);
}

/* ---- metadata ---- */

/* ARCH.name */
static const char *key(const struct maker *m, char out[128], const char *name)
{
    snprintf(out, 128, "%s.%s", m->shape->arch ? m->shape->arch : "llama", name);
    return out;
}

/* The other heads' rope has no factors. */
static void write_window_heads(struct maker *m)
{
    const struct model_shape *s = m->shape;
    uint32_t heads[64];
    uint8_t windows[64];
    char name[128];
    if (s->n_layers > 64) abort();
    for (uint32_t l = 0; l < s->n_layers; l++) {
        windows[l] = model_has_window(s, l);
        heads[l] = windows[l] ? s->window_kv_heads : s->n_kv_heads;
    }
    gguf_write_array(&m->out, key(m, name, "attention.head_count_kv"), GGUF_U32, heads,
                     s->n_layers);
    gguf_write_array(&m->out, key(m, name, "attention.sliding_window_pattern"), GGUF_BOOL, windows,
                     s->n_layers);
    gguf_write_u32(&m->out, key(m, name, "attention.key_length_swa"), s->window_head_dim);
    gguf_write_u32(&m->out, key(m, name, "attention.value_length_swa"), s->window_head_dim);
    gguf_write_u32(&m->out, key(m, name, "rope.dimension_count_swa"), s->window_head_dim);
    gguf_write_u32(&m->out, key(m, name, "embedding_length_per_layer_input"), 0);
}

static void write_numbers(struct maker *m)
{
    const struct model_shape *s = m->shape;
    const struct model_latent *a = &s->latent;
    const bool absorbed = a->rank && !a->fused;
    const struct {
        const char *key;
        uint32_t value;
    } numbers[] = {
        {"context_length", s->context},
        {"embedding_length", s->dim},
        {"block_count", s->n_layers + s->next_layers},
        {"feed_forward_length", s->hidden},
        {"attention.head_count", s->n_heads},
        {"attention.head_count_kv", s->window_period ? 0 /* one for each layer */
                                    : absorbed       ? 1
                                    : a->fused       ? s->n_heads
                                                     : s->n_kv_heads},
        {"attention.key_length", absorbed ? a->rank + model_rope_dims(s) : s->head_dim},
        {"attention.value_length", absorbed ? a->rank : model_v_dim(s)},
        {"attention.key_length_mla", absorbed ? s->head_dim : 0},
        {"attention.value_length_mla", absorbed ? model_v_dim(s) : 0},
        {"attention.kv_lora_rank", a->rank},
        {"attention.q_lora_rank", a->q_rank},
        {"rope.dimension_count", model_rope_dims(s)},
        {"vocab_size", s->vocab},
    };
    char name[128];
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (numbers[i].value)
            gguf_write_u32(&m->out, key(m, name, numbers[i].key), numbers[i].value);
    if (s->window_period) write_window_heads(m);
    if (s->next_layers)
        gguf_write_u32(&m->out, key(m, name, "nextn_predict_layers"), s->next_layers);
}

static void write_experts(struct maker *m)
{
    const struct model_shape *s = m->shape;
    const struct model_experts *e = &s->experts;
    const struct {
        const char *key;
        uint32_t value;
        bool wanted;
    } numbers[] = {
        {"expert_count", e->n, true},
        {"expert_used_count", e->used, true},
        {"expert_feed_forward_length", e->hidden, true},
        {"expert_shared_feed_forward_length", e->shared, e->shared && !e->gating},
        {"expert_shared_count", e->hidden ? e->shared / e->hidden : 0, e->shared && e->gating},
        {"leading_dense_block_count", e->dense, true},
        {"interleave_moe_layer_step", 1, true},
        {"expert_group_count", e->groups, e->groups},
        {"expert_group_used_count", e->groups_used, e->groups},
        {"expert_gating_func", e->gating, e->gating},
    };
    char name[128];
    if (e->n == 0) return;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (numbers[i].wanted)
            gguf_write_u32(&m->out, key(m, name, numbers[i].key), numbers[i].value);
    if (e->gating == 0) return;
    gguf_write_bool(&m->out, key(m, name, "expert_weights_norm"), e->norm);
    gguf_write_f32(&m->out, key(m, name, "expert_weights_scale"), e->scale);
}

static void write_keys(struct maker *m)
{
    for (const struct model_key *k = m->shape->keys; k->name; k++) {
        char full[128];
        float values[64];
        const char *name = strncmp(k->name, "xielu", 5) == 0 ? k->name : key(m, full, k->name);
        for (uint32_t l = 0; l < m->shape->n_layers && l < 64; l++)
            values[l] = (float)k->value * (1 + 0.125f * (float)l);
        switch (k->type) {
        case GGUF_U32: gguf_write_u32(&m->out, name, (uint32_t)k->value); break;
        case GGUF_BOOL: gguf_write_bool(&m->out, name, k->value != 0); break;
        case GGUF_ARRAY:
            gguf_write_array(&m->out, name, GGUF_F32, values, m->shape->n_layers);
            break;
        default: gguf_write_f32(&m->out, name, (float)k->value);
        }
    }
}

static void metadata(struct maker *m)
{
    const struct model_shape *s = m->shape;
    struct gguf_write *w = &m->out;
    char name[128];
    gguf_write_string(w, "general.architecture", s->arch ? s->arch : "llama");
    gguf_write_string(w, "general.name", s->name ? s->name : "random");
    write_numbers(m);
    write_experts(m);
    const struct kin *k = model_kin(s);
    gguf_write_f32(
        w,
        key(m, name,
            k && k->centered ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon"),
        1e-5f);
    write_keys(m);
    gguf_write_f32(w, key(m, name, "rope.freq_base"), s->rope_base);
    if (s->scales) {
        gguf_write_f32(w, key(m, name, "embedding_scale"), 6);
        gguf_write_f32(w, key(m, name, "residual_scale"), 0.25f);
        if (strcmp(s->arch, "minicpm") != 0)
            gguf_write_f32(w, key(m, name, "attention.scale"), 0.125f);
        gguf_write_f32(w, key(m, name, "logit_scale"), 2.5f);
    }
    if (s->rope == MODEL_ROPE_LONG) {
        gguf_write_u32(w, key(m, name, "rope.scaling.original_context_length"),
                       s->rope_original_context);
        gguf_write_f32(w, key(m, name, "rope.scaling.attn_factor"), 1.125f);
    }
    if (s->rope != MODEL_ROPE_LINEAR && s->rope != MODEL_ROPE_YARN) return;
    gguf_write_string(w, key(m, name, "rope.scaling.type"),
                      s->rope == MODEL_ROPE_YARN ? "yarn" : "linear");
    gguf_write_f32(w, key(m, name, "rope.scaling.factor"), s->rope_factor);
    gguf_write_u32(w, key(m, name, "rope.scaling.original_context_length"),
                   s->rope_original_context);
}

uint8_t *model_make(const struct model_shape *shape, size_t *size)
{
    struct maker m = {.shape = shape, .random = shape->seed};
    metadata(&m);
    model_write_vocabulary(&m.out, shape->vocab, shape->gpt2);
    tensors(&m);
    return gguf_write_finish(&m.out, size);
}

uint8_t *model_make_header(const struct model_shape *shape, size_t *size,
                           struct model_tensor **tensors_out, size_t *n)
{
    struct maker m = {.shape = shape, .declare = true};
    metadata(&m);
    model_write_vocabulary(&m.out, shape->vocab, shape->gpt2);
    tensors(&m);
    *tensors_out = m.tensors;
    *n = m.n_tensors;
    return gguf_write_finish(&m.out, size);
}

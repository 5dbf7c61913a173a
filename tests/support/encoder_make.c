#include "encoder_make.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "vocabulary_make.h"

#define SIZES(layers, dim_, heads)                                                                 \
    .n_layers = layers, .dim = dim_, .n_heads = heads, .hidden = 96, .seed = 11

const struct encoder_shape encoder_shapes[] = {
    {SIZES(2, 64, 4), .name = "bert", .arch = "bert", .pooling = 2, .n_types = 2, .bias = true,
     .positions = true},
    {SIZES(2, 96, 2), .name = "bert-mean", .arch = "bert", .pooling = 1, .n_types = 1, .bias = true,
     .positions = true},
    {SIZES(2, 64, 4), .name = "nomic-bert", .arch = "nomic-bert", .pooling = 1, .n_types = 2,
     .fused = true, .gated = true, .rope_base = 1000},
    {SIZES(4, 64, 4), .name = "nomic-bert-moe", .arch = "nomic-bert-moe", .pooling = 1,
     .n_types = 1, .fused = true, .bias = true, .rope_base = 10000, .experts = 6},
    {SIZES(4, 64, 4), .name = "modern-bert", .arch = "modern-bert", .pooling = 1, .fused = true,
     .before = true, .gated = true, .joint = true, .window = 16, .rope_base = 160000},
};
const uint32_t n_encoder_shapes = sizeof encoder_shapes / sizeof *encoder_shapes;

const struct model_shape encoder_gemma = {
    .dim = 64,
    .n_layers = 7,
    .n_heads = 4,
    .n_kv_heads = 2,
    .head_dim = 16,
    .hidden = 96,
    .vocab = ENCODER_VOCAB,
    .context = ENCODER_CONTEXT,
    .rope_base = 1e6f,
    .rope_factor = 1,
    .seed = 12,
    .arch = "gemma-embedding",
    .tied = true,
    .keys = {{"attention.sliding_window", GGUF_U32, 16}, {"pooling_type", GGUF_U32, 1}},
};

struct maker {
    const struct encoder_shape *shape;
    struct gguf_write out;
    uint64_t random;
    uint32_t layer;
};

static void tensor(struct maker *m, const char *name, enum quant_type type, uint64_t cols,
                   uint64_t rows, float mean, float spread)
{
    size_t n = (size_t)(cols * rows);
    float *weights = malloc(n * sizeof *weights);
    if (!weights) abort();
    for (size_t i = 0; i < n; i++) weights[i] = mean + spread * model_uniform(&m->random);
    gguf_write_tensor(&m->out, name, type, rows > 1 ? 2 : 1, (const uint64_t[]){cols, rows},
                      weights);
    free(weights);
}

static void vector(struct maker *m, const char *name, uint64_t n, float mean)
{
    tensor(m, name, QUANT_F32, n, 1, mean, 0.5f);
}

static const char *in_layer(const struct maker *m, char out[64], const char *name, const char *end)
{
    snprintf(out, 64, "blk.%u.%s.%s", m->layer, name, end);
    return out;
}

static void matrix(struct maker *m, const char *name, uint64_t cols, uint64_t rows)
{
    char full[64];
    tensor(m, in_layer(m, full, name, "weight"), m->shape->type, cols, rows, 0,
           sqrtf(3 / (float)cols));
    if (m->shape->bias) vector(m, in_layer(m, full, name, "bias"), rows, 0);
}

static void norm(struct maker *m, const char *name)
{
    char full[64];
    vector(m, in_layer(m, full, name, "weight"), m->shape->dim, 1);
    if (!m->shape->before) vector(m, in_layer(m, full, name, "bias"), m->shape->dim, 0);
}

static void stack(struct maker *m, const char *name, uint64_t cols, uint64_t rows)
{
    const uint64_t dims[] = {cols, rows, m->shape->experts}, n = cols * rows * dims[2];
    float *weights = malloc(n * sizeof *weights);
    char full[64];
    if (!weights) abort();
    for (size_t i = 0; i < n; i++) weights[i] = sqrtf(3 / (float)cols) * model_uniform(&m->random);
    gguf_write_tensor(&m->out, in_layer(m, full, name, "weight"), m->shape->type, 3, dims, weights);
    free(weights);
}

static void experts(struct maker *m)
{
    const struct encoder_shape *s = m->shape;
    char full[64];
    tensor(m, in_layer(m, full, "ffn_gate_inp", "weight"), QUANT_F32, s->dim, s->experts, 0,
           sqrtf(3 / (float)s->dim));
    stack(m, "ffn_up_exps", s->dim, s->hidden);
    stack(m, "ffn_down_exps", s->hidden, s->dim);
}

static void feed_forward(struct maker *m)
{
    const struct encoder_shape *s = m->shape;
    if (s->gated && !s->joint) matrix(m, "ffn_gate", s->dim, s->hidden);
    matrix(m, "ffn_up", s->dim, s->joint ? 2 * s->hidden : s->hidden);
    matrix(m, "ffn_down", s->hidden, s->dim);
}

static void layer(struct maker *m, uint32_t l)
{
    const struct encoder_shape *s = m->shape;
    m->layer = l;
    if (s->before && l > 0) norm(m, "attn_norm");
    if (s->fused) {
        matrix(m, "attn_qkv", s->dim, 3 * s->dim);
    } else {
        matrix(m, "attn_q", s->dim, s->dim);
        matrix(m, "attn_k", s->dim, s->dim);
        matrix(m, "attn_v", s->dim, s->dim);
    }
    matrix(m, "attn_output", s->dim, s->dim);
    norm(m, s->before ? "ffn_norm" : "attn_output_norm");
    (s->experts && l % 2 ? experts : feed_forward)(m);
    if (!s->before) norm(m, "layer_output_norm");
}

static void tensors(struct maker *m)
{
    const struct encoder_shape *s = m->shape;
    tensor(m, "token_embd.weight", s->type, s->dim, ENCODER_VOCAB, 0, 1);
    if (s->n_types) tensor(m, "token_types.weight", QUANT_F32, s->dim, s->n_types, 0, 1);
    if (s->positions) tensor(m, "position_embd.weight", QUANT_F32, s->dim, ENCODER_CONTEXT, 0, 1);
    vector(m, "token_embd_norm.weight", s->dim, 1);
    if (!s->before) vector(m, "token_embd_norm.bias", s->dim, 0);
    for (uint32_t l = 0; l < s->n_layers; l++) layer(m, l);
    if (s->before) vector(m, "output_norm.weight", s->dim, 1);
}

static const char *key(const struct maker *m, char out[128], const char *name)
{
    snprintf(out, 128, "%s.%s", m->shape->arch, name);
    return out;
}

static void metadata(struct maker *m)
{
    const struct encoder_shape *s = m->shape;
    struct gguf_write *w = &m->out;
    char name[128];
    const struct {
        const char *key;
        uint32_t value;
    } numbers[] = {
        {"context_length", ENCODER_CONTEXT},  {"embedding_length", s->dim},
        {"block_count", s->n_layers},         {"feed_forward_length", s->hidden},
        {"attention.head_count", s->n_heads},
    };
    gguf_write_string(w, "general.architecture", s->arch);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        gguf_write_u32(w, key(m, name, numbers[i].key), numbers[i].value);
    gguf_write_f32(w, key(m, name, "attention.layer_norm_epsilon"), 1e-6f);
    gguf_write_bool(w, key(m, name, "attention.causal"), false);
    if (s->pooling) gguf_write_u32(w, key(m, name, "pooling_type"), s->pooling);
    if (s->rope_base > 0) gguf_write_f32(w, key(m, name, "rope.freq_base"), s->rope_base);
    if (s->window) {
        gguf_write_u32(w, key(m, name, "attention.sliding_window"), s->window);
        gguf_write_f32(w, key(m, name, "rope.freq_base_swa"), 10000);
    }
    if (s->experts) {
        gguf_write_u32(w, key(m, name, "expert_count"), s->experts);
        gguf_write_u32(w, key(m, name, "expert_used_count"), 2);
        gguf_write_u32(w, key(m, name, "moe_every_n_layers"), 2);
    }
    gguf_write_u32(w, "tokenizer.ggml.token_type_count", s->n_types);
}

uint8_t *encoder_make(const struct encoder_shape *shape, size_t *size)
{
    struct maker m = {.shape = shape, .random = shape->seed};
    metadata(&m);
    model_write_vocabulary(&m.out, ENCODER_VOCAB, false);
    tensors(&m);
    return gguf_write_finish(&m.out, size);
}

#include "model_make.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gguf_write.h"

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

/* What a tensor of a layer looks like. Biases are large enough to show. */
enum extent {
    ONE,
    DIM,
    HEAD,
    HEADS,
    KV_HEADS,
    Q,
    K,
    V,
    ATTENDED,
    QKV,
    HIDDEN,
    TWO_HIDDEN,
    EXPERTS,
    EXPERT_HIDDEN,
    TWO_EXPERT_HIDDEN,
    SHARED_HIDDEN,
    RANK,
    Q_RANK,
    RANK_ROPE,
    PLAIN_HEAD, /* what of a head of q is not rotated */
    VALUE,
    PLAIN_VALUES
};
/* FFN: in layers without experts; DENSE: in all; SHARED: where the shape has one; PLAIN: F32
 * always; STACK: a matrix for each expert; HEAD_STACK: for each head. */
enum part_kind {
    ATTENTION,
    FFN,
    DENSE,
    SHARED,
    PLAIN,
    STACK,
    HEAD_STACK,
    NORM,
    LOW_NORM,
    BIAS,
    LARGE_BIAS
};

static uint32_t rope_dims(const struct model_shape *s)
{
    return s->rope_dims ? s->rope_dims : s->head_dim;
}

static uint32_t v_dim(const struct model_shape *s)
{
    return s->v_dim ? s->v_dim : s->head_dim;
}

static bool has_window(const struct model_shape *s, uint32_t l)
{
    return s->window_period && (l + 1) % s->window_period != 0;
}

/* As layer l has it. */
static struct model_shape shape_in(const struct model_shape *s, uint32_t l)
{
    struct model_shape own = *s;
    if (!has_window(s, l)) return own;
    own.head_dim = s->window_head_dim;
    own.n_kv_heads = s->window_kv_heads;
    return own;
}

static uint32_t extent_of(const struct model_shape *s, enum extent e)
{
    const struct model_latent *a = &s->latent;
    const uint32_t q = s->n_heads * s->head_dim, k = s->n_kv_heads * s->head_dim,
                   v = s->n_kv_heads * v_dim(s), plain = s->head_dim - rope_dims(s),
                   extents[] = {1,
                                s->dim,
                                s->head_dim,
                                s->n_heads,
                                s->n_kv_heads,
                                q,
                                k,
                                v,
                                s->n_heads * v_dim(s),
                                q + k + v,
                                s->hidden,
                                2 * s->hidden,
                                s->experts.n,
                                s->experts.hidden,
                                2 * s->experts.hidden,
                                s->experts.shared,
                                a->rank,
                                a->q_rank,
                                a->rank + rope_dims(s),
                                plain,
                                v_dim(s),
                                s->n_heads * (plain + v_dim(s))};
    return extents[e];
}

static const struct part {
    const char *name; /* in the lists */
    const char *full; /* in the file, after blk.0. */
    enum part_kind kind;
    enum extent cols, rows;
} parts[] = {
    {"norm1", "attn_norm.weight", NORM, DIM, ONE},
    {"norm1b", "attn_norm.bias", BIAS, DIM, ONE},
    {"norm1-2", "attn_norm_2.weight", NORM, DIM, ONE},
    {"norm1-2b", "attn_norm_2.bias", BIAS, DIM, ONE},
    {"norm2", "ffn_norm.weight", NORM, DIM, ONE},
    {"norm2b", "ffn_norm.bias", BIAS, DIM, ONE},
    {"post1", "post_attention_norm.weight", NORM, DIM, ONE},
    {"post2", "post_ffw_norm.weight", NORM, DIM, ONE},
    {"q", "attn_q.weight", ATTENTION, DIM, Q},
    {"k", "attn_k.weight", ATTENTION, DIM, K},
    {"v", "attn_v.weight", ATTENTION, DIM, V},
    {"qkv", "attn_qkv.weight", ATTENTION, DIM, QKV},
    {"o", "attn_output.weight", ATTENTION, ATTENDED, DIM},
    {"gate", "ffn_gate.weight", FFN, DIM, HIDDEN},
    {"up", "ffn_up.weight", FFN, DIM, HIDDEN},
    {"gateup", "ffn_up.weight", FFN, DIM, TWO_HIDDEN},
    {"down", "ffn_down.weight", FFN, HIDDEN, DIM},
    {"qb", "attn_q.bias", BIAS, Q, ONE},
    {"kb", "attn_k.bias", BIAS, K, ONE},
    {"vb", "attn_v.bias", BIAS, V, ONE},
    {"qkvb", "attn_qkv.bias", BIAS, QKV, ONE},
    {"ob", "attn_output.bias", BIAS, DIM, ONE},
    {"upb", "ffn_up.bias", BIAS, HIDDEN, ONE},
    {"downb", "ffn_down.bias", BIAS, DIM, ONE},
    {"qn", "attn_q_norm.weight", NORM, HEAD, ONE},
    {"kn", "attn_k_norm.weight", NORM, HEAD, ONE},
    {"qnlow", "attn_q_norm.weight", LOW_NORM, HEAD,
     ONE}, /* where scores have no scale of their own */
    {"knlow", "attn_k_norm.weight", LOW_NORM, HEAD, ONE},
    {"qrow", "attn_q_norm.weight", NORM, Q, ONE},
    {"krow", "attn_k_norm.weight", NORM, K, ONE},
    {"qheads", "attn_q_norm.weight", NORM, HEAD, HEADS},
    {"kheads", "attn_k_norm.weight", NORM, HEAD, KV_HEADS},
    {"qa", "attn_q_a.weight", ATTENTION, DIM, Q_RANK},
    {"qan", "attn_q_a_norm.weight", NORM, Q_RANK, ONE},
    {"q-b", "attn_q_b.weight", ATTENTION, Q_RANK, Q},
    {"kva", "attn_kv_a_mqa.weight", ATTENTION, DIM, RANK_ROPE},
    {"kvan", "attn_kv_a_norm.weight", NORM, RANK, ONE},
    {"k-b", "attn_k_b.weight", HEAD_STACK, PLAIN_HEAD, RANK},
    {"v-b", "attn_v_b.weight", HEAD_STACK, RANK, VALUE},
    {"kv-b", "attn_kv_b.weight", ATTENTION, RANK, PLAIN_VALUES},
    {"sinks", "attn_sinks.weight", BIAS, HEADS, ONE},
    {"router", "ffn_gate_inp.weight", PLAIN, DIM, EXPERTS},
    {"routerb", "ffn_gate_inp.bias", BIAS, EXPERTS, ONE},
    {"choiceb", "exp_probs_b.bias", BIAS, EXPERTS, ONE},
    {"gates", "ffn_gate_exps.weight", STACK, DIM, EXPERT_HIDDEN},
    {"ups", "ffn_up_exps.weight", STACK, DIM, EXPERT_HIDDEN},
    {"downs", "ffn_down_exps.weight", STACK, EXPERT_HIDDEN, DIM},
    {"gatesb", "ffn_gate_exps.bias", LARGE_BIAS, EXPERT_HIDDEN, EXPERTS},
    {"upsb", "ffn_up_exps.bias", LARGE_BIAS, EXPERT_HIDDEN, EXPERTS},
    {"downsb", "ffn_down_exps.bias", BIAS, DIM, EXPERTS},
    {"gateups", "ffn_gate_up_exps.weight", STACK, DIM, TWO_EXPERT_HIDDEN},
    {"scale", "layer_output_scale.weight", NORM, ONE, ONE},
    {"routern", "ffn_gate_inp.scale", NORM, DIM, ONE},
    {"downss", "ffn_down_exps.scale", NORM, EXPERTS, ONE},
    {"norm3", "pre_ffw_norm_2.weight", NORM, DIM, ONE},
    {"post3", "post_ffw_norm_1.weight", NORM, DIM, ONE},
    {"post4", "post_ffw_norm_2.weight", NORM, DIM, ONE},
    {"dgate", "ffn_gate.weight", DENSE, DIM, HIDDEN},
    {"dup", "ffn_up.weight", DENSE, DIM, HIDDEN},
    {"ddown", "ffn_down.weight", DENSE, HIDDEN, DIM},
    {"sharedl", "ffn_gate_inp_shexp.weight", PLAIN, DIM, ONE},
    {"sgate", "ffn_gate_shexp.weight", SHARED, DIM, SHARED_HIDDEN},
    {"sup", "ffn_up_shexp.weight", SHARED, DIM, SHARED_HIDDEN},
    {"sdown", "ffn_down_shexp.weight", SHARED, SHARED_HIDDEN, DIM},
};

static const struct part *part_of(const char *name, size_t n)
{
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strlen(parts[i].name) == n && memcmp(parts[i].name, name, n) == 0) return &parts[i];
    abort();
}

#define PLAIN_EXPERTS "router gates ups downs"
#define SHARED_EXPERT " sgate sup sdown"

/* Layers as lists of parts; what is not here is llama with what the shape says. */
static const struct kin {
    const char *arch, *layer;
    bool centered;       /* the epsilon is that of layer norm */
    const char *model;   /* more tensors of the model: b: bias of output, n: of its norm,
                            p: positions */
    const char *experts; /* of layers that have some; NULL: PLAIN_EXPERTS */
} kin[] = {
    {"gemma2", "norm1 q k v o post1 norm2 gate up down post2", false, "", NULL},
    {"gemma3", "norm1 q k v qn kn o post1 norm2 gate up down post2", false, "", NULL},
    {"gemma4", "norm1 q k v qnlow knlow o post1 norm2 dgate dup ddown post2 scale", false, "",
     PLAIN_EXPERTS " routern downss norm3 post3 post4"},
    {"gemma-embedding", "norm1 q k v qn kn o post1 norm2 gate up down post2", false, "", NULL},
    {"olmo2", "q k v qrow krow o post1 gate up down post2", false, "", NULL},
    {"exaone4", "q k v qn kn o post1 gate up down post2", false, "", NULL},
    {"glm4", "norm1 q qb k kb v vb o post1 norm2 gateup down post2", false, "", NULL},
    {"hunyuan-dense", "norm1 q k v qn kn o norm2 gate up down", false, "", NULL},
    {"arcee", "norm1 q k v o norm2 up down", false, "", NULL},
    {"command-r", "norm1 q k v o gate up down", true, "", NULL},
    {"cohere2", "norm1 q k v o gate up down", true, "", NULL},
    {"phi2", "norm1 norm1b q qb k kb v vb o ob up upb down downb", true, "nb", NULL},
    {"starcoder2", "norm1 norm1b q qb k kb v vb o ob norm2 norm2b up upb down downb", true, "n",
     NULL},
    {"stablelm", "norm1 norm1b q qb k kb v vb o norm2 norm2b gate up down", true, "n", NULL},
    {"nemotron", "norm1 norm1b q k v o norm2 norm2b up down", true, "n", NULL},
    {"apertus", "norm1 q k v qn kn o norm2 up down", false, "", NULL},
    {"gpt2", "norm1 norm1b qkv qkvb o ob norm2 norm2b up upb down downb", true, "np", NULL},
    {"gptneox", "norm1 norm1b qkv qkvb o ob norm2 norm2b up upb down downb", true, "n", NULL},
    {"falcon", "norm1 norm1b qkv o up down", true, "n", NULL},
    {"qwen2moe", "norm1 q qb k kb v vb o norm2", false, "", PLAIN_EXPERTS " sharedl" SHARED_EXPERT},
    {"granitemoe", "norm1 q k v o norm2", false, "", PLAIN_EXPERTS SHARED_EXPERT},
    {"olmoe", "norm1 q k v qrow krow o norm2", false, "", NULL},
    {"gpt-oss", "norm1 q qb k kb v vb o ob sinks post1", false, "",
     PLAIN_EXPERTS " routerb gatesb upsb downsb"},
    {"glm4moe", "norm1 q qb k kb v vb qn kn o post1 gate up down", false, "",
     PLAIN_EXPERTS " choiceb" SHARED_EXPERT},
    {"dots1", "norm1 q k v qn kn o norm2 gate up down", false, "",
     PLAIN_EXPERTS " choiceb" SHARED_EXPERT},
    {"ernie4_5-moe", "norm1 q k v o norm2 gate up down", false, "",
     PLAIN_EXPERTS " choiceb" SHARED_EXPERT},
    {"bailingmoe", "norm1 q k v o norm2", false, "", PLAIN_EXPERTS SHARED_EXPERT},
    {"bailingmoe2", "norm1 qkv qn kn o norm2 gate up down", false, "",
     PLAIN_EXPERTS " choiceb" SHARED_EXPERT},
    {"deepseek", "norm1 q k v o norm2 gate up down", false, "", PLAIN_EXPERTS SHARED_EXPERT},
    {"deepseek2", "norm1 kvan kva o norm2 gate up down", false, "",
     PLAIN_EXPERTS " choiceb" SHARED_EXPERT},
    {"minimax-m2", "norm1 q k v qrow krow o norm2", false, "", PLAIN_EXPERTS " choiceb"},
    {"hunyuan-moe", "norm1 q k v qn kn o norm2", false, "", PLAIN_EXPERTS SHARED_EXPERT},
};

static const struct kin *kin_of(const struct model_shape *s)
{
    for (size_t i = 0; i < sizeof kin / sizeof *kin; i++)
        if (s->arch && strcmp(kin[i].arch, s->arch) == 0) return &kin[i];
    return NULL;
}

static bool has_experts(const struct model_shape *s, uint32_t l)
{
    return s->experts.n && l >= s->experts.dense;
}

static void layer_part(struct maker *m, const struct part *p, uint32_t l, const char *name)
{
    const struct model_shape own = shape_in(m->shape, l), *s = &own;
    const uint32_t cols = extent_of(s, p->cols), rows = extent_of(s, p->rows);
    const float spread = sqrtf(3 / (float)cols);
    switch (p->kind) {
    case ATTENTION: matrix(m, name, s->attention, cols, rows); break;
    case FFN:
    case DENSE:
    case SHARED: matrix(m, name, s->ffn, cols, rows); break;
    case PLAIN: matrix(m, name, QUANT_F32, cols, rows); break;
    case STACK: stack(m, name, fitting(s->ffn, cols), cols, rows, s->experts.n, 0, spread); break;
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
        const struct part *p = part_of(list, n);
        if (p->kind == FFN && has_experts(s, l)) continue;
        if (p->kind == SHARED && s->experts.shared == 0) continue;
        if (strcmp(p->name, "v") == 0 && s->window_period && !has_window(s, l)) continue;
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
    const struct kin *k = kin_of(m->shape);
    attention_and_ffn(m, l, k);
    if (m->shape->latent.rank) {
        layer_parts(m, l, m->shape->latent.q_rank ? "qa qan q-b" : "q");
        layer_parts(m, l, m->shape->latent.fused ? "kv-b" : "k-b v-b");
    }
    if (!has_experts(m->shape, l)) return;
    if (k && m->shape->fused && strcmp(k->arch, "gemma4") == 0)
        layer_parts(m, l, "router gateups downs routern downss norm3 post3 post4");
    else layer_parts(m, l, k && k->experts ? k->experts : PLAIN_EXPERTS);
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
    uint64_t n = rope_dims(s) / 2;
    float *factors = malloc((size_t)n * sizeof *factors);
    if (!factors) abort();
    for (uint64_t i = 0; i < n; i++) {
        double wave = 2 * 3.14159265358979323846 *
                      pow((double)s->rope_base, 2.0 * (double)i / (double)rope_dims(s));
        double turns = s->rope_original_context / wave, smooth = (turns - 1) / (4 - 1);
        smooth = smooth < 0 ? 0 : smooth > 1 ? 1 : smooth;
        factors[i] = (float)(1 / ((1 - smooth) / (double)s->rope_factor + smooth));
    }
    gguf_write_tensor(&m->out, "rope_freqs.weight", QUANT_F32, 1, &n, factors);
    free(factors);
}

static void part_factors(struct maker *m)
{
    uint64_t n = rope_dims(m->shape) / 2;
    float *factors = malloc((size_t)n * sizeof *factors);
    if (!factors) abort();
    for (uint64_t i = 0; i < n; i++) factors[i] = i < n / 4 ? 1 : 1e30f;
    gguf_write_tensor(&m->out, "rope_freqs.weight", QUANT_F32, 1, &n, factors);
    free(factors);
}

/* Divisors that grow along the pairs, those for long contexts the more. */
static void long_factors(struct maker *m)
{
    uint64_t n = rope_dims(m->shape) / 2;
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
    const struct kin *k = kin_of(s);
    if (k && strchr(k->model, 'n')) tensor(m, "output_norm.bias", QUANT_F32, s->dim, 1, 0, 0.5f);
    if (k && strchr(k->model, 'b')) tensor(m, "output.bias", QUANT_F32, s->vocab, 1, 0, 0.5f);
    if (k && strchr(k->model, 'p'))
        matrix(m, "position_embd.weight", s->embedding, s->dim, s->context);
}

/* ---- vocabulary ---- */

enum { PIECE = 16, TYPE_NORMAL = 1, TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_BYTE = 6 };

/* The i-th of a, b, ..., z, aa, ab, ... */
static void letters(uint32_t i, char out[PIECE])
{
    char reversed[PIECE];
    size_t n = 0;
    for (i++; i > 0; i = (i - 1) / 26) reversed[n++] = (char)('a' + (i - 1) % 26);
    for (size_t k = 0; k < n; k++) out[k] = reversed[n - 1 - k];
    out[n] = 0;
}

static void sentencepiece(struct gguf_write *w, uint32_t n, char (*text)[PIECE],
                          const char **tokens, int32_t *types)
{
    float *scores = calloc(n, sizeof *scores);
    if (!scores) abort();
    for (uint32_t i = 0; i < n; i++) {
        types[i] = i == 0 ? TYPE_UNKNOWN : i < 3 ? TYPE_CONTROL : i < 259 ? TYPE_BYTE : TYPE_NORMAL;
        if (i < 3) strcpy(text[i], ((const char *[]){"<unk>", "<s>", "</s>"})[i]);
        else if (i < 259) snprintf(text[i], PIECE, "<0x%02X>", i - 3);
        else if (i == 259) strcpy(text[i], "\xe2\x96\x81"); /* stands for the space */
        else letters(i - 260, text[i]);
        if (i >= 259) scores[i] = -(float)(i - 259);
    }
    gguf_write_string(w, "tokenizer.ggml.model", "llama");
    gguf_write_strings(w, "tokenizer.ggml.tokens", tokens, n);
    gguf_write_array(w, "tokenizer.ggml.scores", GGUF_F32, scores, n);
    gguf_write_u32(w, "tokenizer.ggml.bos_token_id", 1);
    gguf_write_u32(w, "tokenizer.ggml.eos_token_id", 2);
    gguf_write_u32(w, "tokenizer.ggml.unknown_token_id", 0);
    gguf_write_bool(w, "tokenizer.ggml.add_bos_token", true);
    free(scores);
}

/* GPT-2 writes a byte that is no visible Latin-1 character as the next free code point from 256. */
static uint32_t gpt2_char(uint32_t byte)
{
    uint32_t next = 256;
    for (uint32_t b = 0; b <= byte; b++) {
        bool visible = (b > 32 && b < 127) || (b > 160 && b != 173);
        if (b == byte) return visible ? b : next;
        if (!visible) next++;
    }
    return 0;
}

static void gpt2(struct gguf_write *w, uint32_t n, char (*text)[PIECE], const char **tokens,
                 int32_t *types)
{
    char(*merge)[2 * PIECE] = calloc(n, sizeof *merge);
    const char **merges = calloc(n, sizeof *merges);
    if (!merge || !merges) abort();
    uint32_t n_merges = 0;
    for (uint32_t i = 0; i < n; i++) {
        types[i] = i + 1 == n ? TYPE_CONTROL : TYPE_NORMAL;
        if (i + 1 == n) {
            strcpy(text[i], "<|endoftext|>");
        } else if (i < 256) {
            uint32_t c = gpt2_char(i);
            if (c < 128) snprintf(text[i], PIECE, "%c", (char)c);
            else snprintf(text[i], PIECE, "%c%c", (char)(0xc0 | c >> 6), (char)(0x80 | (c & 63)));
        } else {
            /* All before the last letter is a token that an earlier merge made. */
            letters(26 + i - 256, text[i]);
            size_t end = strlen(text[i]) - 1;
            snprintf(merge[n_merges], sizeof *merge, "%.*s %s", (int)end, text[i], text[i] + end);
            merges[n_merges] = merge[n_merges];
            n_merges++;
        }
    }
    gguf_write_string(w, "tokenizer.ggml.model", "gpt2");
    gguf_write_string(w, "tokenizer.ggml.pre", "gpt-2");
    gguf_write_strings(w, "tokenizer.ggml.tokens", tokens, n);
    gguf_write_strings(w, "tokenizer.ggml.merges", merges, n_merges);
    gguf_write_u32(w, "tokenizer.ggml.bos_token_id", n - 1);
    gguf_write_u32(w, "tokenizer.ggml.eos_token_id", n - 1);
    gguf_write_bool(w, "tokenizer.ggml.add_bos_token", false);
    free(merge);
    free(merges);
}

void model_write_vocabulary(struct gguf_write *w, uint32_t n, bool byte_pair)
{
    char(*text)[PIECE] = calloc(n, sizeof *text);
    const char **tokens = calloc(n, sizeof *tokens);
    int32_t *kinds = calloc(n, sizeof *kinds);
    if (!text || !tokens || !kinds) abort();
    for (uint32_t i = 0; i < n; i++) tokens[i] = text[i];
    (byte_pair ? gpt2 : sentencepiece)(w, n, text, tokens, kinds);
    gguf_write_array(w, "tokenizer.ggml.token_type", GGUF_I32, kinds, n);
    free(text);
    free(tokens);
    free(kinds);
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
        windows[l] = has_window(s, l);
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
        {"attention.key_length", absorbed ? a->rank + rope_dims(s) : s->head_dim},
        {"attention.value_length", absorbed ? a->rank : v_dim(s)},
        {"attention.key_length_mla", absorbed ? s->head_dim : 0},
        {"attention.value_length_mla", absorbed ? v_dim(s) : 0},
        {"attention.kv_lora_rank", a->rank},
        {"attention.q_lora_rank", a->q_rank},
        {"rope.dimension_count", rope_dims(s)},
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
    const struct kin *k = kin_of(s);
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

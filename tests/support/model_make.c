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
static void tensor(struct maker *m, const char *name, enum quant_type type, uint64_t cols,
                   uint64_t rows, float mean, float spread)
{
    const uint64_t dims[] = {cols, rows};
    const uint32_t n_dims = rows > 1 ? 2 : 1;
    if (m->declare) {
        struct model_tensor declared = {.type = type, .mean = mean, .spread = spread};
        snprintf(declared.name, sizeof declared.name, "%s", name);
        declared.size = gguf_write_declare(&m->out, name, type, n_dims, dims);
        list(m, &declared);
        return;
    }
    size_t n = (size_t)(cols * rows);
    float *weights = malloc(n * sizeof *weights);
    if (!weights) abort();
    for (size_t i = 0; i < n; i++) weights[i] = mean + spread * model_uniform(&m->random);
    gguf_write_tensor(&m->out, name, type, n_dims, dims, weights);
    free(weights);
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

/* Biases large enough to show. */
static void heads(struct maker *m, uint32_t l)
{
    const struct model_shape *s = m->shape;
    uint32_t q = s->n_heads * s->head_dim, kv = s->n_kv_heads * s->head_dim;
    const struct {
        const char *name;
        uint32_t n;
        bool wanted;
        float mean;
    } vectors[] = {
        {"attn_q.bias", q, s->bias, 0},
        {"attn_k.bias", kv, s->bias, 0},
        {"attn_v.bias", kv, s->bias, 0},
        {"attn_q_norm.weight", s->head_dim, s->qk_norm, 1},
        {"attn_k_norm.weight", s->head_dim, s->qk_norm, 1},
    };
    char name[64];
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        if (!vectors[i].wanted) continue;
        snprintf(name, sizeof name, "blk.%u.%s", l, vectors[i].name);
        tensor(m, name, QUANT_F32, vectors[i].n, 1, vectors[i].mean, 0.5f);
    }
}

static const char *ffn_norm_name(const struct model_shape *s)
{
    return s->arch && strcmp(s->arch, "seed_oss") == 0 ? "post_attention_norm" : "ffn_norm";
}

static void layer(struct maker *m, uint32_t l)
{
    const struct model_shape *s = m->shape;
    uint32_t q = s->n_heads * s->head_dim, kv = s->n_kv_heads * s->head_dim;
    const struct part {
        const char *name;
        enum quant_type type;
        uint32_t cols, rows;
    } apart[] =
        {
            {"attn_q", s->attention, s->dim, q},     {"attn_k", s->attention, s->dim, kv},
            {"attn_v", s->attention, s->dim, kv},    {"attn_output", s->attention, q, s->dim},
            {"ffn_gate", s->ffn, s->dim, s->hidden}, {"ffn_up", s->ffn, s->dim, s->hidden},
            {"ffn_down", s->ffn, s->hidden, s->dim},
        },
      fused[] =
          {
              {"attn_qkv", s->attention, s->dim, q + 2 * kv},
              {"attn_output", s->attention, q, s->dim},
              {"ffn_up", s->ffn, s->dim, 2 * s->hidden},
              {"ffn_down", s->ffn, s->hidden, s->dim},
          },
      *matrices = s->fused ? fused : apart;
    size_t n = s->fused ? sizeof fused / sizeof *fused : sizeof apart / sizeof *apart;
    char name[64];
    snprintf(name, sizeof name, "blk.%u.attn_norm.weight", l);
    norm(m, name);
    snprintf(name, sizeof name, "blk.%u.%s.weight", l, ffn_norm_name(s));
    norm(m, name);
    for (size_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "blk.%u.%s.weight", l, matrices[i].name);
        matrix(m, name, matrices[i].type, matrices[i].cols, matrices[i].rows);
    }
    heads(m, l);
}

static uint32_t rope_dims(const struct model_shape *s)
{
    return s->rope_dims ? s->rope_dims : s->head_dim;
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
    for (uint32_t l = 0; l < s->n_layers; l++) layer(m, l);
    norm(m, "output_norm.weight");
    if (!s->tied) matrix(m, "output.weight", s->output, s->dim, s->vocab);
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

static void vocabulary(struct maker *m)
{
    uint32_t n = m->shape->vocab;
    char(*text)[PIECE] = calloc(n, sizeof *text);
    const char **tokens = calloc(n, sizeof *tokens);
    int32_t *kinds = calloc(n, sizeof *kinds);
    if (!text || !tokens || !kinds) abort();
    for (uint32_t i = 0; i < n; i++) tokens[i] = text[i];
    (m->shape->gpt2 ? gpt2 : sentencepiece)(&m->out, n, text, tokens, kinds);
    gguf_write_array(&m->out, "tokenizer.ggml.token_type", GGUF_I32, kinds, n);
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

static void write_numbers(struct maker *m)
{
    const struct model_shape *s = m->shape;
    const struct {
        const char *key;
        uint32_t value;
    } numbers[] = {
        {"context_length", s->context},         {"embedding_length", s->dim},
        {"block_count", s->n_layers},           {"feed_forward_length", s->hidden},
        {"attention.head_count", s->n_heads},   {"attention.head_count_kv", s->n_kv_heads},
        {"attention.key_length", s->head_dim},  {"attention.value_length", s->head_dim},
        {"rope.dimension_count", rope_dims(s)}, {"vocab_size", s->vocab},
    };
    char name[128];
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        gguf_write_u32(&m->out, key(m, name, numbers[i].key), numbers[i].value);
}

static void metadata(struct maker *m)
{
    const struct model_shape *s = m->shape;
    struct gguf_write *w = &m->out;
    char name[128];
    gguf_write_string(w, "general.architecture", s->arch ? s->arch : "llama");
    gguf_write_string(w, "general.name", s->name ? s->name : "random");
    write_numbers(m);
    gguf_write_f32(w, key(m, name, "attention.layer_norm_rms_epsilon"), 1e-5f);
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
    vocabulary(&m);
    tensors(&m);
    return gguf_write_finish(&m.out, size);
}

uint8_t *model_make_header(const struct model_shape *shape, size_t *size,
                           struct model_tensor **tensors_out, size_t *n)
{
    struct maker m = {.shape = shape, .declare = true};
    metadata(&m);
    vocabulary(&m);
    tensors(&m);
    *tensors_out = m.tensors;
    *n = m.n_tensors;
    return gguf_write_finish(&m.out, size);
}

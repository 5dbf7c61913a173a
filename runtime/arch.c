#include "arch.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "error.h"

static const struct arch archs[] = {
    {"llama", ARCH_MAY_BIAS, 0},
    {"qwen2", ARCH_NEOX | ARCH_BIAS, 0},
    {"qwen3", ARCH_NEOX | ARCH_QK_NORM, 0},
    {"phi3", ARCH_NEOX | ARCH_FUSED | ARCH_LONG_ROPE, 0},
    {"smollm3", 0, 4},
    {"granite", ARCH_SCALES, 0},
    {"internlm2", 0, 0},
    {"exaone", ARCH_NEOX, 0},
    {"ernie4_5", 0, 0},
    {"minicpm", ARCH_SCALES | ARCH_ALL_SCALES | ARCH_LONG_ROPE, 0},
    {"seed_oss", ARCH_NEOX | ARCH_MAY_BIAS | ARCH_FFN_NORM_NAMED, 0},
};
enum { N_ARCHS = sizeof archs / sizeof *archs };

enum extent { ONE, DIM, HEAD, Q_ROWS, KV_ROWS, QKV_ROWS, HIDDEN, TWO_HIDDEN, VOCAB, ROPE_PAIRS };
enum { EACH_LAYER = 1, OPTIONAL = 2, F32 = 4 };

/* A vector has rows ONE. Names with %u belong to each layer. The rule holds for architectures with
 * a feature of `when` (0: any) and none of `unless`. */
struct tensor_rule {
    const char *name;
    int slot;
    enum extent rows, cols;
    uint32_t flags, when, unless;
};

static const struct tensor_rule rules[] = {
    {"token_embd.weight", SLOT_TOKEN_EMBD, VOCAB, DIM, 0, 0, 0},
    {"output_norm.weight", SLOT_OUTPUT_NORM, ONE, DIM, F32, 0, 0},
    {"output.weight", SLOT_OUTPUT, VOCAB, DIM, OPTIONAL, 0, 0},
    {"rope_freqs.weight", SLOT_ROPE_FREQS, ONE, ROPE_PAIRS, OPTIONAL | F32, 0, ARCH_LONG_ROPE},
    {"rope_factors_long.weight", SLOT_ROPE_LONG, ONE, ROPE_PAIRS, OPTIONAL | F32, ARCH_LONG_ROPE,
     0},
    {"rope_factors_short.weight", SLOT_ROPE_SHORT, ONE, ROPE_PAIRS, OPTIONAL | F32, ARCH_LONG_ROPE,
     0},
    {"blk.%u.attn_norm.weight", SLOT_ATTN_NORM, ONE, DIM, EACH_LAYER | F32, 0, 0},
    {"blk.%u.attn_qkv.weight", SLOT_QKV, QKV_ROWS, DIM, EACH_LAYER, ARCH_FUSED, 0},
    {"blk.%u.attn_q.weight", SLOT_Q, Q_ROWS, DIM, EACH_LAYER, 0, ARCH_FUSED},
    {"blk.%u.attn_k.weight", SLOT_K, KV_ROWS, DIM, EACH_LAYER, 0, ARCH_FUSED},
    {"blk.%u.attn_v.weight", SLOT_V, KV_ROWS, DIM, EACH_LAYER, 0, ARCH_FUSED},
    {"blk.%u.attn_q.bias", SLOT_Q_BIAS, ONE, Q_ROWS, EACH_LAYER | F32, ARCH_BIAS, 0},
    {"blk.%u.attn_k.bias", SLOT_K_BIAS, ONE, KV_ROWS, EACH_LAYER | F32, ARCH_BIAS, 0},
    {"blk.%u.attn_v.bias", SLOT_V_BIAS, ONE, KV_ROWS, EACH_LAYER | F32, ARCH_BIAS, 0},
    {"blk.%u.attn_q.bias", SLOT_Q_BIAS, ONE, Q_ROWS, EACH_LAYER | OPTIONAL | F32, ARCH_MAY_BIAS, 0},
    {"blk.%u.attn_k.bias", SLOT_K_BIAS, ONE, KV_ROWS, EACH_LAYER | OPTIONAL | F32, ARCH_MAY_BIAS,
     0},
    {"blk.%u.attn_v.bias", SLOT_V_BIAS, ONE, KV_ROWS, EACH_LAYER | OPTIONAL | F32, ARCH_MAY_BIAS,
     0},
    {"blk.%u.attn_q_norm.weight", SLOT_Q_NORM, ONE, HEAD, EACH_LAYER | F32, ARCH_QK_NORM, 0},
    {"blk.%u.attn_k_norm.weight", SLOT_K_NORM, ONE, HEAD, EACH_LAYER | F32, ARCH_QK_NORM, 0},
    {"blk.%u.attn_output.weight", SLOT_O, DIM, Q_ROWS, EACH_LAYER, 0, 0},
    {"blk.%u.ffn_norm.weight", SLOT_FFN_NORM, ONE, DIM, EACH_LAYER | F32, 0, ARCH_FFN_NORM_NAMED},
    {"blk.%u.post_attention_norm.weight", SLOT_FFN_NORM, ONE, DIM, EACH_LAYER | F32,
     ARCH_FFN_NORM_NAMED, 0},
    {"blk.%u.ffn_up.weight", SLOT_GATE_UP, TWO_HIDDEN, DIM, EACH_LAYER, ARCH_FUSED, 0},
    {"blk.%u.ffn_gate.weight", SLOT_GATE, HIDDEN, DIM, EACH_LAYER, 0, ARCH_FUSED},
    {"blk.%u.ffn_up.weight", SLOT_UP, HIDDEN, DIM, EACH_LAYER, 0, ARCH_FUSED},
    {"blk.%u.ffn_down.weight", SLOT_DOWN, DIM, HIDDEN, EACH_LAYER, 0, 0},
};
enum { N_RULES = sizeof rules / sizeof *rules };

static uint64_t extent_of(const struct hparams *h, enum extent e)
{
    switch (e) {
    case ONE: return 1;
    case DIM: return h->dim;
    case Q_ROWS: return (uint64_t)h->n_heads * h->head_dim;
    case KV_ROWS: return (uint64_t)h->n_kv_heads * h->head_dim;
    case QKV_ROWS: return ((uint64_t)h->n_heads + 2 * (uint64_t)h->n_kv_heads) * h->head_dim;
    case HEAD: return h->head_dim;
    case HIDDEN: return h->hidden;
    case TWO_HIDDEN: return 2 * (uint64_t)h->hidden;
    case VOCAB: return h->vocab;
    case ROPE_PAIRS: return h->rope.dims / 2;
    }
    return 0;
}

/* A required integer key ARCH.NAME between 1 and limit. */
static llm_status required(const struct gguf *g, const char *arch, const char *name, uint32_t limit,
                           uint32_t *out, struct llm_error *error)
{
    char key[128];
    snprintf(key, sizeof key, "%s.%s", arch, name);
    *out = 0;
    TRY(gguf_get_u32(g, key, out, error));
    if (!gguf_find(g, key)) return error_set(error, LLM_BAD_MODEL, "the key %s is missing", key);
    if (*out == 0 || *out > limit)
        return error_set(error, LLM_BAD_MODEL, "%s is %" PRIu32 ", expected 1 to %" PRIu32, key,
                         *out, limit);
    return LLM_OK;
}

/* An integer key that some models give as an array with an entry a layer: all must agree. */
static llm_status same_in_layers(const struct gguf *g, const char *key, uint32_t *out,
                                 struct llm_error *error)
{
    const struct gguf_value *v = gguf_find(g, key);
    if (!v || v->type != GGUF_ARRAY) return gguf_get_u32(g, key, out, error);
    if (v->item_type == GGUF_STRING || v->item_type == GGUF_F32 || v->item_type == GGUF_F64 ||
        v->n == 0)
        return error_set(error, LLM_BAD_MODEL, "%s is not an array of integers", key);
    int64_t first = gguf_item_int(v, 0);
    for (uint64_t i = 1; i < v->n; i++) {
        if (gguf_item_int(v, i) != first)
            return error_set(error, LLM_UNSUPPORTED,
                             "%s differs between layers, which is not supported", key);
    }
    if (first < 0 || first > UINT32_MAX)
        return error_set(error, LLM_BAD_MODEL, "%s is out of range", key);
    *out = (uint32_t)first;
    return LLM_OK;
}

static llm_status read_scale(const struct gguf *g, const char *arch, const char *name, bool needed,
                             float *out, struct llm_error *error)
{
    char key[128];
    float value = 0;
    snprintf(key, sizeof key, "%s.%s", arch, name);
    TRY(gguf_get_f32(g, key, &value, error));
    if (needed && !gguf_find(g, key))
        return error_set(error, LLM_BAD_MODEL, "the key %s is missing", key);
    if (value == 0) return LLM_OK; /* as good as none */
    if (!(value >= 1e-9f && value <= 1e9f))
        return error_set(error, LLM_BAD_MODEL, "%s is %g", key, (double)value);
    *out = value;
    return LLM_OK;
}

/* Layers that add r times what they compute to x are layers that add all of it to x / r: norms do
 * not see the factor, once their epsilon is divided by its square. */
static llm_status read_scales(struct blueprint *b, const struct gguf *g, struct llm_error *error)
{
    const char *arch = b->arch->name;
    struct hparams *h = &b->h;
    const bool needed = (b->arch->features & ARCH_ALL_SCALES) != 0;
    float residual = 1, logits = 1;
    char key[128];
    TRY(read_scale(g, arch, "embedding_scale", needed, &h->embedding_scale, error));
    TRY(read_scale(g, arch, "residual_scale", needed, &residual, error));
    TRY(read_scale(g, arch, "attention.scale", false, &h->attention_scale, error));
    TRY(read_scale(g, arch, "logit_scale", needed, &logits, error));
    h->embedding_scale /= residual;
    h->norm_eps /= residual * residual;
    h->logit_scale = 1 / logits;
    snprintf(key, sizeof key, "%s.rope.scaling.finetuned", arch);
    bool rotates = true;
    TRY(gguf_get_bool(g, key, &rotates, error));
    if (!rotates) h->plain_every = 1;
    return LLM_OK;
}

static llm_status read_hparams(struct blueprint *b, const struct gguf *g, uint32_t n_vocab,
                               struct llm_error *error)
{
    const char *arch = b->arch->name;
    struct hparams *h = &b->h;
    char key[128];
    TRY(required(g, arch, "context_length", 1u << 30, &h->context, error));
    TRY(required(g, arch, "embedding_length", 1u << 18, &h->dim, error));
    TRY(required(g, arch, "block_count", 1u << 12, &h->n_layers, error));

    snprintf(key, sizeof key, "%s.feed_forward_length", arch);
    TRY(same_in_layers(g, key, &h->hidden, error));
    snprintf(key, sizeof key, "%s.attention.head_count", arch);
    TRY(same_in_layers(g, key, &h->n_heads, error));
    h->n_kv_heads = h->n_heads;
    snprintf(key, sizeof key, "%s.attention.head_count_kv", arch);
    TRY(same_in_layers(g, key, &h->n_kv_heads, error));
    if (h->hidden == 0 || h->hidden > 1u << 20 || h->n_heads == 0 || h->n_heads > 1u << 12 ||
        h->n_kv_heads == 0 || h->n_heads % h->n_kv_heads)
        return error_set(error, LLM_BAD_MODEL,
                         "impossible sizes: feed_forward_length %" PRIu32 ", head_count %" PRIu32
                         ", head_count_kv %" PRIu32,
                         h->hidden, h->n_heads, h->n_kv_heads);

    h->head_dim = h->dim / h->n_heads;
    snprintf(key, sizeof key, "%s.attention.key_length", arch);
    TRY(gguf_get_u32(g, key, &h->head_dim, error));
    uint32_t value_dim = h->head_dim;
    snprintf(key, sizeof key, "%s.attention.value_length", arch);
    TRY(gguf_get_u32(g, key, &value_dim, error));
    if (value_dim != h->head_dim)
        return error_set(error, LLM_UNSUPPORTED,
                         "keys of %" PRIu32 " and values of %" PRIu32
                         " dimensions are not supported",
                         h->head_dim, value_dim);
    if (h->head_dim == 0 || h->head_dim > 256 || h->head_dim % 8)
        return error_set(error, LLM_UNSUPPORTED,
                         "heads of %" PRIu32
                         " dimensions are not supported (a multiple of 8 up to 256 is)",
                         h->head_dim);

    snprintf(key, sizeof key, "%s.expert_count", arch);
    uint32_t n_experts = 0;
    TRY(gguf_get_u32(g, key, &n_experts, error));
    if (n_experts)
        return error_set(error, LLM_UNSUPPORTED,
                         "%s has %" PRIu32 " experts; only dense models are supported", key,
                         n_experts);

    h->norm_eps = 1e-5f;
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", arch);
    TRY(gguf_get_f32(g, key, &h->norm_eps, error));
    if (!(h->norm_eps > 0 && h->norm_eps < 1))
        return error_set(error, LLM_BAD_MODEL, "%s is %g", key, (double)h->norm_eps);

    h->vocab = n_vocab;
    h->rope_neox = (b->arch->features & ARCH_NEOX) != 0;
    h->plain_every = b->arch->plain_every;
    h->head_eps = h->norm_eps;
    h->embedding_scale = h->logit_scale = 1;
    h->attention_scale = 1 / sqrtf((float)h->head_dim);
    if (b->arch->features & ARCH_SCALES) TRY(read_scales(b, g, error));
    return rope_from_gguf(&h->rope, g, arch, h->head_dim, error);
}

static llm_status find_arch(struct blueprint *b, const struct gguf *g, struct llm_error *error)
{
    struct gguf_string name = {NULL, 0};
    TRY(gguf_get_string(g, "general.architecture", &name, error));
    if (!name.text)
        return error_set(error, LLM_BAD_MODEL, "the key general.architecture is missing");
    for (size_t i = 0; i < N_ARCHS; i++) {
        if (strlen(archs[i].name) == name.size && !memcmp(archs[i].name, name.text, name.size)) {
            b->arch = &archs[i];
            return LLM_OK;
        }
    }
    char shown[68], known[16 * N_ARCHS];
    size_t n = 0;
    for (size_t i = 0; i < N_ARCHS; i++)
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", i ? ", " : "", archs[i].name);
    return error_set(error, LLM_UNSUPPORTED,
                     "the architecture '%s' is not supported (supported: %s)",
                     error_name(shown, name.text, name.size), known);
}

static llm_status check_shape(const struct blueprint *b, const struct tensor_rule *rule,
                              const struct gguf_tensor *t, const char *name,
                              struct llm_error *error)
{
    uint64_t rows = extent_of(&b->h, rule->rows), cols = extent_of(&b->h, rule->cols);
    if (t->dims[0] != cols || t->dims[1] != rows || t->dims[2] != 1 || t->dims[3] != 1)
        return error_set(error, LLM_BAD_MODEL,
                         "the tensor %s is %" PRIu64 " x %" PRIu64 " x %" PRIu64 " x %" PRIu64
                         ", expected %" PRIu64 " x %" PRIu64,
                         name, t->dims[0], t->dims[1], t->dims[2], t->dims[3], cols, rows);
    if (rule->flags & F32 && t->type != QUANT_F32)
        return error_set(error, LLM_UNSUPPORTED,
                         "the tensor %s is %s; only F32 is supported for it", name,
                         quant_info(t->type)->name);
    return LLM_OK;
}

static llm_status find_tensor(struct blueprint *b, const struct gguf *g,
                              const struct tensor_rule *rule, uint32_t l, uint64_t *n_taken,
                              struct llm_error *error)
{
    char name[64];
    if (rule->flags & EACH_LAYER) {
        const char *rest = strstr(rule->name, "%u") + 2;
        snprintf(name, sizeof name, "blk.%" PRIu32 "%s", l, rest);
    } else {
        snprintf(name, sizeof name, "%s", rule->name);
    }
    const struct gguf_tensor *t = gguf_tensor(g, name);
    if (rule->flags & EACH_LAYER) b->layers[l][rule->slot] = t;
    else b->tensors[rule->slot] = t;
    if (!t) {
        if (rule->flags & OPTIONAL) return LLM_OK;
        return error_set(error, LLM_BAD_MODEL,
                         "the tensor %s is missing (expected %" PRIu64 " x %" PRIu64 ")", name,
                         extent_of(&b->h, rule->cols), extent_of(&b->h, rule->rows));
    }
    ++*n_taken;
    b->parameters += t->dims[0] * t->dims[1];
    return check_shape(b, rule, t, name, error);
}

static bool is_taken(const struct blueprint *b, const struct gguf_tensor *t)
{
    for (int i = 0; i < N_MODEL_SLOTS; i++) {
        if (b->tensors[i] == t) return true;
    }
    for (uint32_t l = 0; l < b->h.n_layers; l++) {
        for (int i = 0; i < N_LAYER_SLOTS; i++) {
            if (b->layers[l][i] == t) return true;
        }
    }
    return false;
}

/* n rows of t from row `from` on, as a tensor. */
static const struct gguf_tensor *rows_of(struct gguf_tensor *view, const struct gguf_tensor *t,
                                         uint64_t from, uint64_t n)
{
    uint64_t row_size = t->size / t->dims[1];
    *view = *t;
    view->dims[1] = n;
    view->offset = t->offset + from * row_size;
    view->size = n * row_size;
    return view;
}

static llm_status split_fused(struct blueprint *b, struct llm_error *error)
{
    if (!(b->arch->features & ARCH_FUSED)) return LLM_OK;
    const uint64_t q = extent_of(&b->h, Q_ROWS), kv = extent_of(&b->h, KV_ROWS),
                   hidden = b->h.hidden;
    b->views = alloc_zero(b->alloc, b->h.n_layers, ARCH_VIEWS * sizeof *b->views);
    if (!b->views)
        return error_memory(error, "the list of matrices",
                            b->h.n_layers * ARCH_VIEWS * sizeof *b->views);
    for (uint32_t l = 0; l < b->h.n_layers; l++) {
        struct gguf_tensor *v = b->views + (size_t)l * ARCH_VIEWS;
        const struct gguf_tensor **slots = b->layers[l], *qkv = slots[SLOT_QKV],
                                 *gate_up = slots[SLOT_GATE_UP];
        slots[SLOT_Q] = rows_of(&v[0], qkv, 0, q);
        slots[SLOT_K] = rows_of(&v[1], qkv, q, kv);
        slots[SLOT_V] = rows_of(&v[2], qkv, q + kv, kv);
        slots[SLOT_GATE] = rows_of(&v[3], gate_up, 0, hidden);
        slots[SLOT_UP] = rows_of(&v[4], gate_up, hidden, hidden);
    }
    return LLM_OK;
}

static bool applies(const struct tensor_rule *rule, const struct arch *arch)
{
    return (rule->when == 0 || rule->when & arch->features) && !(rule->unless & arch->features);
}

/* A tensor that no rule takes would change the model's answers: refuse it by name. Rotation tables
 * that old files carry for each layer are the exception: they can be computed. */
static llm_status refuse_others(const struct blueprint *b, const struct gguf *g,
                                struct llm_error *error)
{
    static const char suffix[] = ".attn_rot_embd", freqs[] = ".rope_freqs.weight";
    for (uint64_t i = 0; i < g->n_tensors; i++) {
        const struct gguf_tensor *t = &g->tensors[i];
        if (is_taken(b, t)) continue;
        size_t n = t->name.size;
        if (n > sizeof suffix &&
            !memcmp(t->name.text + n - sizeof suffix + 1, suffix, sizeof suffix - 1))
            continue;
        if (n > sizeof freqs &&
            !memcmp(t->name.text + n - sizeof freqs + 1, freqs, sizeof freqs - 1))
            continue;
        char shown[68];
        return error_set(
            error, LLM_UNSUPPORTED,
            "the tensor %s (%s) is not part of what is supported of the architecture %s",
            error_name(shown, t->name.text, n), quant_info(t->type)->name, b->arch->name);
    }
    return LLM_OK;
}

llm_status arch_read(struct blueprint *b, const struct gguf *g, uint32_t n_vocab,
                     const struct alloc *alloc, struct llm_error *error)
{
    memset(b, 0, sizeof *b);
    b->alloc = alloc;
    TRY(find_arch(b, g, error));
    TRY(read_hparams(b, g, n_vocab, error));
    if (b->h.n_layers > g->n_tensors)
        return error_set(error, LLM_BAD_MODEL, "%" PRIu32 " layers, but only %" PRIu64 " tensors",
                         b->h.n_layers, g->n_tensors);
    b->layers = alloc_zero(alloc, b->h.n_layers, sizeof *b->layers);
    if (!b->layers)
        return error_memory(error, "the list of layers", b->h.n_layers * sizeof *b->layers);
    uint64_t n_taken = 0;
    for (size_t i = 0; i < N_RULES; i++) {
        uint32_t n = rules[i].flags & EACH_LAYER ? b->h.n_layers : 1;
        if (!applies(&rules[i], b->arch)) continue;
        for (uint32_t l = 0; l < n; l++) TRY(find_tensor(b, g, &rules[i], l, &n_taken, error));
    }
    if (n_taken != g->n_tensors) TRY(refuse_others(b, g, error));
    if (!b->tensors[SLOT_ROPE_LONG] != !b->tensors[SLOT_ROPE_SHORT])
        return error_set(
            error, LLM_BAD_MODEL,
            "of the tensors rope_factors_long.weight and rope_factors_short.weight one is missing");
    return split_fused(b, error);
}

void arch_choose_rope(struct blueprint *b, uint32_t context)
{
    if (!b->tensors[SLOT_ROPE_LONG]) return;
    b->tensors[SLOT_ROPE_FREQS] =
        b->tensors[context > b->h.rope.original_context ? SLOT_ROPE_LONG : SLOT_ROPE_SHORT];
}

bool arch_long_rope(const struct blueprint *b)
{
    return b->tensors[SLOT_ROPE_LONG] && b->tensors[SLOT_ROPE_FREQS] == b->tensors[SLOT_ROPE_LONG];
}

void arch_free(struct blueprint *b)
{
    if (b->views) alloc_free(b->alloc, b->views, b->h.n_layers * ARCH_VIEWS * sizeof *b->views);
    if (b->layers) alloc_free(b->alloc, b->layers, b->h.n_layers * sizeof *b->layers);
    memset(b, 0, sizeof *b);
}

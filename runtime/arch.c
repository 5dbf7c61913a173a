#include "arch.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "error.h"

static const struct arch archs[] = {
    {"llama", false},
};

enum extent { ONE, DIM, Q_ROWS, KV_ROWS, HIDDEN, VOCAB, ROPE_PAIRS };

/* A vector has rows ONE. Names with %u belong to each layer. */
struct tensor_rule {
    const char *name;
    int slot;
    enum extent rows, cols;
    bool layer, optional, f32;
};

static const struct tensor_rule rules[] = {
    {"token_embd.weight", SLOT_TOKEN_EMBD, VOCAB, DIM, false, false, false},
    {"output_norm.weight", SLOT_OUTPUT_NORM, ONE, DIM, false, false, true},
    {"output.weight", SLOT_OUTPUT, VOCAB, DIM, false, true, false},
    {"rope_freqs.weight", SLOT_ROPE_FREQS, ONE, ROPE_PAIRS, false, true, true},
    {"blk.%u.attn_norm.weight", SLOT_ATTN_NORM, ONE, DIM, true, false, true},
    {"blk.%u.attn_q.weight", SLOT_Q, Q_ROWS, DIM, true, false, false},
    {"blk.%u.attn_k.weight", SLOT_K, KV_ROWS, DIM, true, false, false},
    {"blk.%u.attn_v.weight", SLOT_V, KV_ROWS, DIM, true, false, false},
    {"blk.%u.attn_output.weight", SLOT_O, DIM, Q_ROWS, true, false, false},
    {"blk.%u.ffn_norm.weight", SLOT_FFN_NORM, ONE, DIM, true, false, true},
    {"blk.%u.ffn_gate.weight", SLOT_GATE, HIDDEN, DIM, true, false, false},
    {"blk.%u.ffn_up.weight", SLOT_UP, HIDDEN, DIM, true, false, false},
    {"blk.%u.ffn_down.weight", SLOT_DOWN, DIM, HIDDEN, true, false, false},
};
enum { N_RULES = sizeof rules / sizeof *rules };

static uint64_t extent_of(const struct hparams *h, enum extent e)
{
    switch (e) {
    case ONE: return 1;
    case DIM: return h->dim;
    case Q_ROWS: return (uint64_t)h->n_heads * h->head_dim;
    case KV_ROWS: return (uint64_t)h->n_kv_heads * h->head_dim;
    case HIDDEN: return h->hidden;
    case VOCAB: return h->vocab;
    case ROPE_PAIRS: return h->rope.dims / 2;
    }
    return 0;
}

/* A required integer key ARCH.NAME between 1 and limit. */
static llm_status required(const struct gguf *g, const char *arch, const char *name, uint32_t limit, uint32_t *out,
                           struct llm_error *error)
{
    char key[128];
    snprintf(key, sizeof key, "%s.%s", arch, name);
    *out = 0;
    TRY(gguf_get_u32(g, key, out, error));
    if (!gguf_find(g, key)) return error_set(error, LLM_BAD_MODEL, "the key %s is missing", key);
    if (*out == 0 || *out > limit)
        return error_set(error, LLM_BAD_MODEL, "%s is %" PRIu32 ", expected 1 to %" PRIu32, key, *out, limit);
    return LLM_OK;
}

/* An integer key that some models give as an array with an entry a layer: all must agree. */
static llm_status same_in_layers(const struct gguf *g, const char *key, uint32_t *out, struct llm_error *error)
{
    const struct gguf_value *v = gguf_find(g, key);
    if (!v || v->type != GGUF_ARRAY) return gguf_get_u32(g, key, out, error);
    if (v->item_type == GGUF_STRING || v->item_type == GGUF_F32 || v->item_type == GGUF_F64 || v->n == 0)
        return error_set(error, LLM_BAD_MODEL, "%s is not an array of integers", key);
    int64_t first = gguf_item_int(v, 0);
    for (uint64_t i = 1; i < v->n; i++) {
        if (gguf_item_int(v, i) != first)
            return error_set(error, LLM_UNSUPPORTED, "%s differs between layers, which is not supported", key);
    }
    if (first < 0 || first > UINT32_MAX) return error_set(error, LLM_BAD_MODEL, "%s is out of range", key);
    *out = (uint32_t)first;
    return LLM_OK;
}

static llm_status read_hparams(struct blueprint *b, const struct gguf *g, uint32_t n_vocab, struct llm_error *error)
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
    if (h->hidden == 0 || h->hidden > 1u << 20 || h->n_heads == 0 || h->n_heads > 1u << 12 || h->n_kv_heads == 0 ||
        h->n_heads % h->n_kv_heads)
        return error_set(error, LLM_BAD_MODEL,
                         "impossible sizes: feed_forward_length %" PRIu32 ", head_count %" PRIu32 ", head_count_kv %" PRIu32,
                         h->hidden, h->n_heads, h->n_kv_heads);

    h->head_dim = h->dim / h->n_heads;
    snprintf(key, sizeof key, "%s.attention.key_length", arch);
    TRY(gguf_get_u32(g, key, &h->head_dim, error));
    uint32_t value_dim = h->head_dim;
    snprintf(key, sizeof key, "%s.attention.value_length", arch);
    TRY(gguf_get_u32(g, key, &value_dim, error));
    if (value_dim != h->head_dim)
        return error_set(error, LLM_UNSUPPORTED, "keys of %" PRIu32 " and values of %" PRIu32 " dimensions are not supported",
                         h->head_dim, value_dim);
    if (h->head_dim == 0 || h->head_dim > 256 || h->head_dim % 8)
        return error_set(error, LLM_UNSUPPORTED, "heads of %" PRIu32 " dimensions are not supported (a multiple of 8 up to 256 is)",
                         h->head_dim);

    snprintf(key, sizeof key, "%s.expert_count", arch);
    uint32_t n_experts = 0;
    TRY(gguf_get_u32(g, key, &n_experts, error));
    if (n_experts) return error_set(error, LLM_UNSUPPORTED, "%s has %" PRIu32 " experts; only dense models are supported", key, n_experts);

    h->norm_eps = 1e-5f;
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", arch);
    TRY(gguf_get_f32(g, key, &h->norm_eps, error));
    if (!(h->norm_eps > 0 && h->norm_eps < 1)) return error_set(error, LLM_BAD_MODEL, "%s is %g", key, (double)h->norm_eps);

    h->vocab = n_vocab;
    h->rope_neox = b->arch->rope_neox;
    h->attention_scale = 1 / sqrtf((float)h->head_dim);
    return rope_from_gguf(&h->rope, g, arch, h->head_dim, error);
}

static llm_status find_arch(struct blueprint *b, const struct gguf *g, struct llm_error *error)
{
    struct gguf_string name = {NULL, 0};
    TRY(gguf_get_string(g, "general.architecture", &name, error));
    if (!name.text) return error_set(error, LLM_BAD_MODEL, "the key general.architecture is missing");
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++) {
        if (strlen(archs[i].name) == name.size && !memcmp(archs[i].name, name.text, name.size)) {
            b->arch = &archs[i];
            return LLM_OK;
        }
    }
    char shown[68];
    return error_set(error, LLM_UNSUPPORTED, "the architecture '%s' is not supported (supported: llama)",
                     error_name(shown, name.text, name.size));
}

static llm_status check_shape(const struct blueprint *b, const struct tensor_rule *rule, const struct gguf_tensor *t,
                              const char *name, struct llm_error *error)
{
    uint64_t rows = extent_of(&b->h, rule->rows), cols = extent_of(&b->h, rule->cols);
    if (t->dims[0] != cols || t->dims[1] != rows || t->dims[2] != 1 || t->dims[3] != 1)
        return error_set(error, LLM_BAD_MODEL,
                         "the tensor %s is %" PRIu64 " x %" PRIu64 " x %" PRIu64 " x %" PRIu64 ", expected %" PRIu64 " x %" PRIu64, name,
                         t->dims[0], t->dims[1], t->dims[2], t->dims[3], cols, rows);
    if (rule->f32 && t->type != QUANT_F32)
        return error_set(error, LLM_UNSUPPORTED, "the tensor %s is %s; only F32 is supported for it", name, quant_info(t->type)->name);
    return LLM_OK;
}

static llm_status find_tensor(struct blueprint *b, const struct gguf *g, const struct tensor_rule *rule, uint32_t l,
                              uint64_t *n_taken, struct llm_error *error)
{
    char name[64];
    if (rule->layer) {
        const char *rest = strstr(rule->name, "%u") + 2;
        snprintf(name, sizeof name, "blk.%" PRIu32 "%s", l, rest);
    } else {
        snprintf(name, sizeof name, "%s", rule->name);
    }
    const struct gguf_tensor *t = gguf_tensor(g, name);
    if (rule->layer) b->layers[l][rule->slot] = t;
    else b->tensors[rule->slot] = t;
    if (!t) {
        if (rule->optional) return LLM_OK;
        return error_set(error, LLM_BAD_MODEL, "the tensor %s is missing (expected %" PRIu64 " x %" PRIu64 ")", name,
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

/* A tensor that no rule takes would change the model's answers: refuse it by name. Rotation tables that old files carry for
 * each layer are the exception: they can be computed. */
static llm_status refuse_others(const struct blueprint *b, const struct gguf *g, struct llm_error *error)
{
    static const char suffix[] = ".attn_rot_embd", freqs[] = ".rope_freqs.weight";
    for (uint64_t i = 0; i < g->n_tensors; i++) {
        const struct gguf_tensor *t = &g->tensors[i];
        if (is_taken(b, t)) continue;
        size_t n = t->name.size;
        if (n > sizeof suffix && !memcmp(t->name.text + n - sizeof suffix + 1, suffix, sizeof suffix - 1)) continue;
        if (n > sizeof freqs && !memcmp(t->name.text + n - sizeof freqs + 1, freqs, sizeof freqs - 1)) continue;
        char shown[68];
        return error_set(error, LLM_UNSUPPORTED, "the tensor %s (%s) is not part of what is supported of the architecture %s",
                         error_name(shown, t->name.text, n), quant_info(t->type)->name, b->arch->name);
    }
    return LLM_OK;
}

llm_status arch_read(struct blueprint *b, const struct gguf *g, uint32_t n_vocab, const struct alloc *alloc, struct llm_error *error)
{
    memset(b, 0, sizeof *b);
    b->alloc = alloc;
    TRY(find_arch(b, g, error));
    TRY(read_hparams(b, g, n_vocab, error));
    if (b->h.n_layers > g->n_tensors)
        return error_set(error, LLM_BAD_MODEL, "%" PRIu32 " layers, but only %" PRIu64 " tensors", b->h.n_layers, g->n_tensors);
    b->layers = alloc_zero(alloc, b->h.n_layers, sizeof *b->layers);
    if (!b->layers) return error_memory(error, "the list of layers", b->h.n_layers * sizeof *b->layers);
    uint64_t n_taken = 0;
    for (size_t i = 0; i < N_RULES; i++) {
        uint32_t n = rules[i].layer ? b->h.n_layers : 1;
        for (uint32_t l = 0; l < n; l++) TRY(find_tensor(b, g, &rules[i], l, &n_taken, error));
    }
    return n_taken == g->n_tensors ? LLM_OK : refuse_others(b, g, error);
}

void arch_free(struct blueprint *b)
{
    if (b->layers) alloc_free(b->alloc, b->layers, b->h.n_layers * sizeof *b->layers);
    memset(b, 0, sizeof *b);
}

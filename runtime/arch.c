#include "arch_table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "error.h"

struct head_sizes arch_heads(const struct hparams *h, uint32_t l)
{
    if (h->window_heads.head_dim && h->kinds[l].window) return h->window_heads;
    return (struct head_sizes){h->n_kv_heads, h->head_dim, h->v_dim};
}

/* In layer l, or of the model. */
static uint64_t extent_of(const struct hparams *h, uint32_t l, enum arch_extent e)
{
    const struct head_sizes heads = arch_heads(h, l);
    switch (e) {
    case ONE: return 1;
    case DIM: return h->dim;
    case Q_ROWS: return (uint64_t)h->n_heads * heads.head_dim;
    case K_ROWS: return (uint64_t)heads.n_kv_heads * heads.head_dim;
    case V_ROWS: return (uint64_t)heads.n_kv_heads * heads.v_dim;
    case ATTENDED: return (uint64_t)h->n_heads * (h->latent ? h->ranks.value : heads.v_dim);
    case QUERIES: return (uint64_t)h->n_heads * h->ranks.key;
    case PLAIN_KEY: return h->ranks.key - h->ropes[0].dims;
    case Q_RANK: return h->ranks.q;
    case RANK: return h->v_dim;
    case VALUE: return h->ranks.value;
    case PLAIN_VALUES: return h->n_heads * (extent_of(h, l, PLAIN_KEY) + h->ranks.value);
    case QKV_ROWS:
        return extent_of(h, l, Q_ROWS) + extent_of(h, l, K_ROWS) + extent_of(h, l, V_ROWS);
    case HEAD: return heads.head_dim;
    case HIDDEN: return h->hidden;
    case TWO_HIDDEN: return 2 * (uint64_t)h->hidden;
    case VOCAB: return h->vocab;
    case CONTEXT: return h->context;
    case N_TYPES: return h->n_types;
    case ROPE_PAIRS: return h->ropes[0].dims / 2;
    case N_HEADS: return h->n_heads;
    case N_KV_HEADS: return heads.n_kv_heads;
    case N_EXPERTS: return h->router.n_experts;
    case EXPERT_HIDDEN: return h->expert_hidden;
    case TWO_EXPERT_HIDDEN: return 2 * (uint64_t)h->expert_hidden;
    case SHARED_HIDDEN: return h->shared_hidden;
    }
    return 0;
}

static llm_status find_arch(struct blueprint *b, const struct gguf *g, struct llm_error *error)
{
    struct gguf_string name = {NULL, 0};
    TRY(gguf_get_string(g, "general.architecture", &name, error));
    if (!name.text)
        return error_set(error, LLM_BAD_MODEL, "the key general.architecture is missing");
    for (size_t i = 0; i < arch_n; i++) {
        if (strlen(arch_table[i].name) == name.size &&
            !memcmp(arch_table[i].name, name.text, name.size)) {
            b->arch = &arch_table[i];
            return LLM_OK;
        }
    }
    char shown[68], known[512];
    size_t n = 0;
    for (size_t i = 0; i < arch_n && n < sizeof known; i++)
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", i ? ", " : "",
                              arch_table[i].name);
    return error_set(error, LLM_UNSUPPORTED,
                     "the architecture '%s' is not supported (supported: %s)",
                     error_name(shown, name.text, name.size), known);
}

static llm_status check_shape(const struct blueprint *b, const struct tensor_rule *rule, uint32_t l,
                              const struct gguf_tensor *t, const char *name,
                              struct llm_error *error)
{
    uint64_t rows = extent_of(&b->h, l, rule->rows), cols = extent_of(&b->h, l, rule->cols), n = 1;
    if (rule->flags & STACKED) n = b->h.router.n_experts;
    if (rule->flags & STACKED_HEADS) n = b->h.n_heads;
    if (t->dims[0] != cols || t->dims[1] != rows || t->dims[2] != n || t->dims[3] != 1)
        return error_set(error, LLM_BAD_MODEL,
                         "the tensor %s is %" PRIu64 " x %" PRIu64 " x %" PRIu64 " x %" PRIu64
                         ", expected %" PRIu64 " x %" PRIu64 " x %" PRIu64 " x 1",
                         name, t->dims[0], t->dims[1], t->dims[2], t->dims[3], cols, rows, n);
    if (rule->flags & F32 && t->type != QUANT_F32)
        return error_set(error, LLM_UNSUPPORTED,
                         "the tensor %s is %s; only F32 is supported for it", name,
                         quant_info(t->type)->name);
    return LLM_OK;
}

static llm_status find_tensor(struct blueprint *b, const struct gguf *g,
                              const struct tensor_rule *rule, uint32_t l, bool optional,
                              uint64_t *n_taken, struct llm_error *error)
{
    char name[64];
    if (rule->flags & EACH_LAYER) {
        const char *rest = strstr(rule->name, "%u") + 2;
        snprintf(name, sizeof name, "blk.%" PRIu32 "%s", l, rest);
    } else {
        snprintf(name, sizeof name, "%s", rule->name);
    }
    const struct gguf_tensor *t = gguf_tensor(g, name);
    if (t && rule->flags & EACH_LAYER) b->layers[l][rule->slot] = t;
    else if (t) b->tensors[rule->slot] = t;
    if (!t) {
        if (optional) return LLM_OK;
        return error_set(error, LLM_BAD_MODEL,
                         "the tensor %s is missing (expected %" PRIu64 " x %" PRIu64 ")", name,
                         extent_of(&b->h, l, rule->cols), extent_of(&b->h, l, rule->rows));
    }
    ++*n_taken;
    b->parameters += t->dims[0] * t->dims[1] * t->dims[2];
    return check_shape(b, rule, l, t, name, error);
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

/* n values of a vector from `from` on, as a tensor. */
static const struct gguf_tensor *part_of(struct gguf_tensor *view, const struct gguf_tensor *t,
                                         uint64_t from, uint64_t n)
{
    if (!t) return NULL;
    *view = *t;
    view->dims[0] = n;
    view->offset = t->offset + from * sizeof(float);
    view->size = n * sizeof(float);
    return view;
}

/* The rows of each matrix of a stack, from row `from` on n of them. */
static const struct gguf_tensor *
rows_of_stack(struct gguf_tensor *view, const struct gguf_tensor *t, uint64_t from, uint64_t n)
{
    const uint64_t row_size = t->size / t->dims[2] / t->dims[1];
    *view = *t;
    view->dims[1] = n;
    view->offset = t->offset + from * row_size;
    view->step = t->size / t->dims[2];
    view->size = n * row_size * t->dims[2];
    return view;
}

static llm_status split_fused(struct blueprint *b, uint64_t groups, struct llm_error *error)
{
    if (!(groups & (FUSED_QKV | FUSED_UP | GEMMA4_PARTS))) return LLM_OK;
    b->views = alloc_zero(b->alloc, b->h.n_layers, ARCH_VIEWS * sizeof *b->views);
    if (!b->views)
        return error_memory(error, "the list of matrices",
                            b->h.n_layers * ARCH_VIEWS * sizeof *b->views);
    for (uint32_t l = 0; l < b->h.n_layers; l++) {
        struct gguf_tensor *v = b->views + (size_t)l * ARCH_VIEWS;
        const struct gguf_tensor **slots = b->layers[l], *qkv = slots[SLOT_QKV],
                                 *bias = slots[SLOT_QKV_BIAS], *gate_up = slots[SLOT_GATE_UP],
                                 *experts = slots[SLOT_EXPERT_GATE_UP];
        const uint64_t q = extent_of(&b->h, l, Q_ROWS), k = extent_of(&b->h, l, K_ROWS),
                       value = extent_of(&b->h, l, V_ROWS), hidden = b->h.hidden;
        if (groups & FUSED_QKV) {
            slots[SLOT_Q] = rows_of(&v[0], qkv, 0, q);
            slots[SLOT_K] = rows_of(&v[1], qkv, q, k);
            slots[SLOT_V] = rows_of(&v[2], qkv, q + k, value);
            slots[SLOT_Q_BIAS] = part_of(&v[3], bias, 0, q);
            slots[SLOT_K_BIAS] = part_of(&v[4], bias, q, k);
            slots[SLOT_V_BIAS] = part_of(&v[5], bias, q + k, value);
        }
        if (groups & FUSED_UP) {
            slots[SLOT_GATE] = rows_of(&v[6], gate_up, 0, hidden);
            slots[SLOT_UP] = rows_of(&v[7], gate_up, hidden, hidden);
        }
        if (experts && !slots[SLOT_EXPERT_UP]) {
            slots[SLOT_EXPERT_GATE] = rows_of_stack(&v[8], experts, 0, b->h.expert_hidden);
            slots[SLOT_EXPERT_UP] =
                rows_of_stack(&v[9], experts, b->h.expert_hidden, b->h.expert_hidden);
        }
    }
    return LLM_OK;
}

/* The groups that take others' places where the first layer has their tensor: so must all. */
static uint64_t as_in_file(const struct arch *arch, const struct gguf *g, uint64_t groups)
{
    if (gguf_tensor(g, "blk.0.attn_qkv.weight")) {
        if (groups & QKV) groups ^= QKV | FUSED_QKV;
        if (groups & QKV_BIAS) groups ^= QKV_BIAS | FUSED_BIAS;
    }
    if (groups & ATTN_NORM && arch->may & SECOND_NORM && gguf_tensor(g, "blk.0.attn_norm_2.weight"))
        groups ^= ATTN_NORM | SECOND_NORM;
    return groups;
}

/* Of a layer that is left out. */
static bool is_left_out(const struct blueprint *b, const struct gguf_tensor *t)
{
    static const char start[] = "blk.";
    uint64_t layer = 0;
    size_t i = sizeof start - 1;
    if (t->name.size < sizeof start || memcmp(t->name.text, start, i) != 0) return false;
    for (; i < t->name.size && t->name.text[i] >= '0' && t->name.text[i] <= '9' && layer < 1u << 16;
         i++)
        layer = layer * 10 + (uint64_t)(t->name.text[i] - '0');
    return layer >= b->h.n_layers && layer - b->h.n_layers < b->h.n_next_layers;
}

/* A tensor that no rule takes would change the model's answers: refuse it by name. Rotation tables
 * that old files carry for each layer are the exception: they can be computed. */
static llm_status refuse_others(const struct blueprint *b, const struct gguf *g,
                                struct llm_error *error)
{
    static const char suffix[] = ".attn_rot_embd", freqs[] = ".rope_freqs.weight";
    for (uint64_t i = 0; i < g->n_tensors; i++) {
        const struct gguf_tensor *t = &g->tensors[i];
        if (is_taken(b, t) || is_left_out(b, t)) continue;
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

static llm_status find_tensors(struct blueprint *b, const struct gguf *g, uint64_t *groups,
                               struct llm_error *error)
{
    const uint64_t may =
        as_in_file(b->arch, g, b->arch->may) & ~(SECOND_NORM | EXPERTS | SHARED | OWN_GAINS);
    uint64_t n_taken = 0;
    *groups = as_in_file(b->arch, g, b->arch->tensors);
    if (b->h.router.n_experts) *groups |= EXPERTS;
    if (b->h.router.shared) *groups |= SHARED;
    if (b->h.own_gains) *groups |= OWN_GAINS;
    for (size_t i = 0; i < arch_n_rules; i++) {
        const struct tensor_rule *rule = &arch_rules[i];
        const bool all = rule->groups == 0 || rule->groups & *groups;
        if ((!all && !(rule->groups & may)) || rule->also & ~(*groups | may)) continue;
        const bool optional = !all || rule->flags & OPTIONAL || rule->also & ~*groups;
        uint32_t n = rule->flags & EACH_LAYER ? b->h.n_layers : 1;
        for (uint32_t l = 0; l < n; l++) {
            const uint32_t others = !b->h.kinds[l].experts ? WITH_EXPERTS
                                    : b->h.dense_too       ? 0
                                                           : WITHOUT_EXPERTS;
            const bool elsewhere =
                (rule->flags & UNLESS_FUSED && b->layers[l][SLOT_EXPERT_GATE_UP]) ||
                (rule->flags & OR_K && b->arch->traits & GEMMA4_HEADS);
            if (rule->flags & others) continue;
            TRY(find_tensor(b, g, rule, l, optional || elsewhere, &n_taken, error));
        }
    }
    return n_taken == g->n_tensors ? LLM_OK : refuse_others(b, g, error);
}

/* The ffn of layers with one norm is given what attention is given. */
static llm_status find_parallel(struct blueprint *b, uint64_t groups, struct llm_error *error)
{
    const struct gguf_tensor **first = b->layers[0];
    if (first[SLOT_ATTN_NORM] && (!first[SLOT_FFN_NORM] || groups & SECOND_NORM))
        b->h.parallel = true;
    for (uint32_t l = 1; l < b->h.n_layers; l++) {
        if (!b->layers[l][SLOT_FFN_NORM] != !first[SLOT_FFN_NORM])
            return error_set(error, LLM_BAD_MODEL,
                             "of the layers 0 and %" PRIu32 " only one has the tensor ffn_norm", l);
    }
    return LLM_OK;
}

/* Norms of their own gains are made before biases are added. */
static llm_status refuse_biases(const struct blueprint *b, struct llm_error *error)
{
    for (uint32_t l = 0; b->h.own_gains && l < b->h.n_layers; l++) {
        if (b->layers[l][SLOT_Q_BIAS] || b->layers[l][SLOT_K_BIAS])
            return error_set(error, LLM_UNSUPPORTED,
                             "layer %" PRIu32 " has biases of q or k and norms of each head", l);
    }
    return LLM_OK;
}

/* Where a layer may do without v. */
static llm_status take_k_as_v(struct blueprint *b, struct llm_error *error)
{
    if (!(b->arch->traits & GEMMA4_HEADS)) return LLM_OK;
    for (uint32_t l = 0; l < b->h.n_layers; l++) {
        const struct gguf_tensor **slots = b->layers[l];
        if (slots[SLOT_V]) continue;
        if (slots[SLOT_K]->dims[1] != extent_of(&b->h, l, V_ROWS))
            return error_set(error, LLM_BAD_MODEL,
                             "the tensor blk.%" PRIu32 ".attn_v.weight is missing", l);
        slots[SLOT_V] = slots[SLOT_K];
    }
    return LLM_OK;
}

llm_status arch_read(struct blueprint *b, const struct gguf *g, uint32_t n_vocab,
                     const struct alloc *alloc, struct llm_error *error)
{
    memset(b, 0, sizeof *b);
    b->alloc = alloc;
    TRY(find_arch(b, g, error));
    TRY(arch_read_keys(b, g, n_vocab, error));
    b->layers = alloc_zero(alloc, b->h.n_layers, sizeof *b->layers);
    if (!b->layers)
        return error_memory(error, "the list of layers", b->h.n_layers * sizeof *b->layers);
    uint64_t groups = 0;
    TRY(find_tensors(b, g, &groups, error));
    if (!b->tensors[SLOT_ROPE_LONG] != !b->tensors[SLOT_ROPE_SHORT])
        return error_set(
            error, LLM_BAD_MODEL,
            "of the tensors rope_factors_long.weight and rope_factors_short.weight one is missing");
    TRY(find_parallel(b, groups, error));
    TRY(arch_split_latent(b, error));
    TRY(split_fused(b, groups, error));
    TRY(take_k_as_v(b, error));
    return refuse_biases(b, error);
}

void arch_choose_rope(struct blueprint *b, uint32_t context)
{
    if (!b->tensors[SLOT_ROPE_LONG]) return;
    b->tensors[SLOT_ROPE_FREQS] =
        b->tensors[context > b->h.ropes[0].original_context ? SLOT_ROPE_LONG : SLOT_ROPE_SHORT];
}

bool arch_long_rope(const struct blueprint *b)
{
    return b->tensors[SLOT_ROPE_LONG] && b->tensors[SLOT_ROPE_FREQS] == b->tensors[SLOT_ROPE_LONG];
}

void arch_free(struct blueprint *b)
{
    if (b->views) alloc_free(b->alloc, b->views, b->h.n_layers * ARCH_VIEWS * sizeof *b->views);
    if (b->h.kinds) alloc_free(b->alloc, b->h.kinds, b->h.n_layers * sizeof *b->h.kinds);
    if (b->layers) alloc_free(b->alloc, b->layers, b->h.n_layers * sizeof *b->layers);
    memset(b, 0, sizeof *b);
}

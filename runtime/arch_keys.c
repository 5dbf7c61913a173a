#include "arch_table.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "error.h"

llm_status arch_required(const struct gguf *g, const char *arch, const char *name, uint32_t limit,
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
    const bool needed = (b->arch->traits & ALL_SCALES) != 0;
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
    for (uint32_t l = 0; l < h->n_layers && !rotates; l++) h->kinds[l].rope = NO_ROPE;
    return LLM_OK;
}

static llm_status read_softcaps(struct blueprint *b, const struct gguf *g, struct llm_error *error)
{
    const char *arch = b->arch->name;
    struct activation logits = {ACTIVATION_SOFTCAP, {b->arch->softcaps[1]}};
    b->h.attention_softcap = b->arch->softcaps[0];
    TRY(read_scale(g, arch, "attn_logit_softcapping", false, &b->h.attention_softcap, error));
    TRY(read_scale(g, arch, "final_logit_softcapping", false, &logits.a[0], error));
    if (logits.a[0] != 0) b->h.logits = logits;
    return LLM_OK;
}

/* The length is the trained context, as the rope has it, unless a key has another. */
static llm_status read_temperature(struct blueprint *b, const struct gguf *g,
                                   struct llm_error *error)
{
    struct hparams *h = &b->h;
    char key[128];
    TRY(read_scale(g, b->arch->name, "attention.temperature_scale", false, &h->temperature, error));
    h->temperature_length = h->ropes[0].original_context;
    snprintf(key, sizeof key, "%s.attention.temperature_length", b->arch->name);
    TRY(gguf_get_u32(g, key, &h->temperature_length, error));
    if (h->temperature != 0 && h->temperature_length == 0)
        return error_set(error, LLM_BAD_MODEL,
                         "q has a temperature, but %s and "
                         "%s.rope.scaling.original_context_length are 0",
                         key, b->arch->name);
    return LLM_OK;
}

/* A key with a number for all layers, or one for each. */
static llm_status number_of_layer(const struct gguf *g, const char *key, uint32_t l, float *out,
                                  struct llm_error *error)
{
    const struct gguf_value *v = gguf_find(g, key);
    if (!v) return error_set(error, LLM_BAD_MODEL, "the key %s is missing", key);
    if (v->type != GGUF_ARRAY) return gguf_get_f32(g, key, out, error);
    if (v->item_type == GGUF_STRING || l >= v->n)
        return error_set(error, LLM_BAD_MODEL, "%s is not an array of a number for each layer",
                         key);
    *out = (float)gguf_item_float(v, l);
    if (!(fabsf(*out) <= 1e9f))
        return error_set(error, LLM_BAD_MODEL, "%s has %g for layer %" PRIu32, key, (double)*out,
                         l);
    return LLM_OK;
}

/* Alphas are kept as what softplus makes positive, that of what is below 0 without beta. */
static llm_status read_xielu(struct blueprint *b, const struct gguf *g, struct llm_error *error)
{
    static const char *const keys[] = {"xielu.alpha_n", "xielu.alpha_p", "xielu.beta", "xielu.eps"};
    for (uint32_t l = 0; l < b->h.n_layers; l++) {
        float *a = b->h.kinds[l].activation.a;
        for (int i = 0; i < 4; i++) TRY(number_of_layer(g, keys[i], l, &a[i], error));
        a[0] = a[2] + (a[0] > 20 ? a[0] : log1pf(expf(a[0])));
        a[1] = a[1] > 20 ? a[1] : log1pf(expf(a[1]));
    }
    return LLM_OK;
}

/* Whether each layer has a window: the key is a period, or a list of yes and no. */
static llm_status read_pattern(struct blueprint *b, const struct gguf *g, uint32_t size,
                               struct llm_error *error)
{
    struct hparams *h = &b->h;
    uint32_t period = b->arch->window.period;
    char key[128];
    snprintf(key, sizeof key, "%s.attention.sliding_window_pattern", b->arch->name);
    const struct gguf_value *v = gguf_find(g, key);
    if (v && v->type == GGUF_ARRAY) {
        if (v->item_type != GGUF_BOOL || v->n < h->n_layers)
            return error_set(error, LLM_BAD_MODEL,
                             "%s is not an array of a boolean for each of %" PRIu32 " layers", key,
                             h->n_layers);
        for (uint32_t l = 0; l < h->n_layers; l++)
            h->kinds[l].window = gguf_item_int(v, l) ? size : 0;
        return LLM_OK;
    }
    TRY(gguf_get_u32(g, key, &period, error));
    for (uint32_t l = 0; l < h->n_layers; l++)
        h->kinds[l].window =
            period == 0 || l % period != (b->arch->window.full_first ? 0 : period - 1) ? size : 0;
    return LLM_OK;
}

/* The rope of layers with a window, where it is another one. */
static llm_status read_window_rope(struct blueprint *b, const struct gguf *g,
                                   struct llm_error *error)
{
    const struct window_rule *w = &b->arch->window;
    struct hparams *h = &b->h;
    struct rope *r = &h->ropes[1];
    float base = w->rope_base != 0 ? w->rope_base : (float)h->ropes[0].base;
    char key[128];
    snprintf(key, sizeof key, "%s.rope.freq_base_swa", b->arch->name);
    if (w->rope_key) TRY(gguf_get_f32(g, key, &base, error));
    *r = h->ropes[0];
    r->base = (double)base;
    const bool own = b->arch->traits & GEMMA4_HEADS; /* dimensions, and no factors */
    if (own) {
        snprintf(key, sizeof key, "%s.attention.key_length_swa", b->arch->name);
        TRY(gguf_get_u32(g, key, &r->dims, error));
        const uint32_t most = r->dims;
        snprintf(key, sizeof key, "%s.rope.dimension_count_swa", b->arch->name);
        TRY(gguf_get_u32(g, key, &r->dims, error));
        if (r->dims > most)
            return error_set(error, LLM_BAD_MODEL,
                             "%s is %" PRIu32 ", but a head has %" PRIu32 " dimensions", key,
                             r->dims, most);
    }
    if (w->rope_unscaled) {
        r->scaling = ROPE_NONE;
        r->factor = r->attn_factor = 1;
    }
    if (!own && r->base == h->ropes[0].base && r->scaling == h->ropes[0].scaling &&
        r->attn_factor == h->ropes[0].attn_factor)
        return LLM_OK;
    h->n_ropes = 2;
    for (uint32_t l = 0; l < h->n_layers; l++) h->kinds[l].rope = h->kinds[l].window ? 1 : 0;
    return LLM_OK;
}

static llm_status read_windows(struct blueprint *b, const struct gguf *g, struct llm_error *error)
{
    const struct window_rule *w = &b->arch->window;
    struct hparams *h = &b->h;
    uint32_t size = w->size;
    char key[128];
    if (!w->read || (w->n_layers && w->n_layers != h->n_layers)) return LLM_OK;
    snprintf(key, sizeof key, "%s.attention.sliding_window", b->arch->name);
    TRY(gguf_get_u32(g, key, &size, error));
    if (size == 0) return LLM_OK;
    if (size > 1u << 30) return error_set(error, LLM_BAD_MODEL, "%s is %" PRIu32, key, size);
    if (h->encoder) size = size / 2 + 1; /* half to either side, and its own */
    TRY(read_pattern(b, g, size, error));
    TRY(read_window_rope(b, g, error));
    for (uint32_t l = 0; l < h->n_layers && w->others_plain; l++) {
        if (!h->kinds[l].window) h->kinds[l].rope = NO_ROPE;
    }
    return LLM_OK;
}

static llm_status check_heads(uint32_t head_dim, uint32_t v_dim, struct llm_error *error)
{
    /* How many of them there are kernels for, forward_check says. */
    const uint32_t most = 1 << 12;
    if (head_dim && head_dim <= most && head_dim % 4 == 0 && v_dim && v_dim <= most &&
        v_dim % 4 == 0)
        return LLM_OK;
    return error_set(error, LLM_UNSUPPORTED,
                     "heads of %" PRIu32 " dimensions for keys and %" PRIu32
                     " for values are not supported (multiples of 4 are)",
                     head_dim, v_dim);
}

/* KV heads of a layer, where layers with a window may have others. */
static llm_status kv_heads_of(const struct gguf *g, const char *key, uint32_t l, uint32_t *out,
                              struct llm_error *error)
{
    const struct gguf_value *v = gguf_find(g, key);
    if (!v || v->type != GGUF_ARRAY) return gguf_get_u32(g, key, out, error);
    if (v->item_type == GGUF_STRING || v->item_type == GGUF_F32 || v->item_type == GGUF_F64 ||
        l >= v->n)
        return error_set(error, LLM_BAD_MODEL, "%s is not an array of an integer for each layer",
                         key);
    const int64_t n = gguf_item_int(v, l);
    *out = n < 0 || n > UINT32_MAX ? 0 : (uint32_t)n;
    return LLM_OK;
}

/* Of layers with a window and of the others: Gemma 4. */
static llm_status read_window_heads(struct blueprint *b, const struct gguf *g,
                                    struct llm_error *error)
{
    struct hparams *h = &b->h;
    const char *arch = b->arch->name;
    struct head_sizes *w = &h->window_heads;
    char key[128], shared[128];
    uint32_t n_shared = 0;
    snprintf(shared, sizeof shared, "%s.attention.shared_kv_layers", arch);
    TRY(gguf_get_u32(g, shared, &n_shared, error));
    if (n_shared)
        return error_set(error, LLM_UNSUPPORTED,
                         "%s is %" PRIu32 "; layers that share K and V are not supported", shared,
                         n_shared);
    *w = (struct head_sizes){h->n_kv_heads, h->head_dim, h->v_dim};
    snprintf(key, sizeof key, "%s.attention.key_length_swa", arch);
    TRY(gguf_get_u32(g, key, &w->head_dim, error));
    snprintf(key, sizeof key, "%s.attention.value_length_swa", arch);
    TRY(gguf_get_u32(g, key, &w->v_dim, error));
    TRY(check_heads(w->head_dim, w->v_dim, error));
    snprintf(key, sizeof key, "%s.attention.head_count_kv", arch);
    uint32_t seen[2] = {0, 0};
    for (uint32_t l = 0; l < h->n_layers; l++) {
        uint32_t n = h->n_heads, *first = &seen[h->kinds[l].window != 0];
        TRY(kv_heads_of(g, key, l, &n, error));
        if (n == 0 || h->n_heads % n)
            return error_set(error, LLM_BAD_MODEL,
                             "%s is %" PRIu32 " in layer %" PRIu32 ", which has %" PRIu32 " heads",
                             key, n, l, h->n_heads);
        if (*first && *first != n)
            return error_set(error, LLM_UNSUPPORTED,
                             "%s differs between layers of one kind, which is not supported", key);
        *first = n;
    }
    if (seen[0]) h->n_kv_heads = seen[0];
    if (seen[1]) w->n_kv_heads = seen[1];
    return LLM_OK;
}

static llm_status read_sizes(struct blueprint *b, const struct gguf *g, struct llm_error *error)
{
    const char *arch = b->arch->name;
    struct hparams *h = &b->h;
    char key[128];
    TRY(arch_required(g, arch, "context_length", 1u << 30, &h->context, error));
    TRY(arch_required(g, arch, "embedding_length", 1u << 18, &h->dim, error));
    TRY(arch_required(g, arch, "block_count", 1u << 12, &h->n_layers, error));
    if (b->arch->traits & NEXT_LAYERS) {
        snprintf(key, sizeof key, "%s.nextn_predict_layers", arch);
        TRY(gguf_get_u32(g, key, &h->n_next_layers, error));
        if (h->n_next_layers >= h->n_layers)
            return error_set(error, LLM_BAD_MODEL,
                             "%s is %" PRIu32 ", but there are only %" PRIu32 " layers", key,
                             h->n_next_layers, h->n_layers);
        h->n_layers -= h->n_next_layers;
    }

    snprintf(key, sizeof key, "%s.feed_forward_length", arch);
    TRY(same_in_layers(g, key, &h->hidden, error));
    snprintf(key, sizeof key, "%s.attention.head_count", arch);
    TRY(same_in_layers(g, key, &h->n_heads, error));
    h->n_kv_heads = h->n_heads;
    snprintf(key, sizeof key, "%s.attention.head_count_kv", arch);
    if (!(b->arch->traits & GEMMA4_HEADS)) TRY(same_in_layers(g, key, &h->n_kv_heads, error));
    if (h->hidden == 0 || h->hidden > 1u << 20 || h->n_heads == 0 || h->n_heads > 1u << 12 ||
        h->n_kv_heads == 0 || h->n_heads % h->n_kv_heads)
        return error_set(error, LLM_BAD_MODEL,
                         "impossible sizes: feed_forward_length %" PRIu32 ", head_count %" PRIu32
                         ", head_count_kv %" PRIu32,
                         h->hidden, h->n_heads, h->n_kv_heads);

    h->head_dim = h->dim / h->n_heads;
    snprintf(key, sizeof key, "%s.attention.key_length", arch);
    TRY(gguf_get_u32(g, key, &h->head_dim, error));
    h->v_dim = h->head_dim;
    snprintf(key, sizeof key, "%s.attention.value_length", arch);
    TRY(gguf_get_u32(g, key, &h->v_dim, error));
    if (b->arch->tensors & LATENT) return arch_read_latent(b, g, error);
    return check_heads(h->head_dim, h->v_dim, error);
}

static llm_status read_epsilon(struct blueprint *b, const struct gguf *g, struct llm_error *error)
{
    char key[128];
    float *eps = &b->h.norm_eps;
    *eps = 1e-5f;
    snprintf(key, sizeof key, "%s.attention.%s", b->arch->name,
             b->h.centered ? "layer_norm_epsilon" : "layer_norm_rms_epsilon");
    TRY(gguf_get_f32(g, key, eps, error));
    if (!(*eps > 0 && *eps < 1))
        return error_set(error, LLM_BAD_MODEL, "%s is %g", key, (double)*eps);
    b->h.head_eps = *eps;
    return LLM_OK;
}

static llm_status make_kinds(struct blueprint *b, struct llm_error *error)
{
    const struct arch *a = b->arch;
    struct hparams *h = &b->h;
    h->kinds = alloc_zero(b->alloc, h->n_layers, sizeof *h->kinds);
    if (!h->kinds) return error_memory(error, "the list of layers", h->n_layers * sizeof *h->kinds);
    for (uint32_t l = 0; l < h->n_layers; l++) {
        if (a->plain_every && (l + 1) % a->plain_every == 0) h->kinds[l].rope = NO_ROPE;
        h->kinds[l].activation.kind = a->activation ? a->activation : ACTIVATION_SILU;
    }
    return LLM_OK;
}

llm_status arch_read_keys(struct blueprint *b, const struct gguf *g, uint32_t n_vocab,
                          struct llm_error *error)
{
    const struct arch *a = b->arch;
    struct hparams *h = &b->h;
    h->vocab = n_vocab;
    h->rope_neox = (a->traits & NEOX) != 0;
    h->centered = (a->traits & CENTERED) != 0;
    h->post_norms = (a->tensors & POST_NORMS) != 0;
    h->encoder = (a->traits & ENCODER) != 0;
    h->norms_after = (a->tensors & NORMS_AFTER) != 0;
    h->n_types = 1;
    TRY(gguf_get_u32(g, "tokenizer.ggml.token_type_count", &h->n_types, error));
    h->own_gains = a->may & OWN_GAINS && gguf_tensor(g, "blk.0.attn_q_norm.weight");
    h->row_norm = h->own_gains || a->tensors & ROW_NORM;
    h->dense_too = (a->tensors & GEMMA4_PARTS) != 0;
    h->late_head_norm = (a->traits & LATE_HEAD_NORM) != 0;
    TRY(read_sizes(b, g, error));
    if (h->n_layers > g->n_tensors)
        return error_set(error, LLM_BAD_MODEL, "%" PRIu32 " layers, but only %" PRIu64 " tensors",
                         h->n_layers, g->n_tensors);
    TRY(read_epsilon(b, g, error));
    TRY(make_kinds(b, error));
    TRY(arch_read_experts(b, g, error));
    h->embedding_scale = a->traits & ROOT_EMBEDDING ? sqrtf((float)h->dim) : 1;
    h->logit_scale = 1;
    h->attention_scale = 1 / sqrtf((float)h->head_dim);
    if (a->wide_heads && a->wide_heads == h->n_layers)
        h->attention_scale = 1 / sqrtf((float)(h->dim / h->n_heads));
    if (a->traits & SCALES) TRY(read_scales(b, g, error));
    if (a->traits & LOGIT_SCALE)
        TRY(read_scale(g, a->name, "logit_scale", false, &h->logit_scale, error));
    if (a->traits & SOFTCAPS) TRY(read_softcaps(b, g, error));
    h->n_ropes = 1;
    TRY(rope_from_gguf(&h->ropes[0], g, a->name, h->head_dim, error));
    if (h->latent) arch_scale_latent(h);
    if (a->traits & TEMPERATURE) TRY(read_temperature(b, g, error));
    if (a->activation == ACTIVATION_XIELU) TRY(read_xielu(b, g, error));
    if (a->traits & PARALLEL_KEY) {
        char key[128];
        snprintf(key, sizeof key, "%s.use_parallel_residual", a->name);
        h->parallel = true;
        TRY(gguf_get_bool(g, key, &h->parallel, error));
    }
    TRY(read_windows(b, g, error));
    if (!(a->traits & GEMMA4_HEADS)) return LLM_OK;
    h->attention_scale = 1;
    h->value_norm = true;
    return read_window_heads(b, g, error);
}

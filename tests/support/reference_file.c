#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "reference_impl.h"

static const struct kin kin[] = {
    {.name = "llama", .normed_weights = true},
    {.name = "qwen2", .neox = true},
    {.name = "qwen3", .neox = true},
    {.name = "phi3", .neox = true, .window = UINT32_MAX, .period = 0},
    {.name = "smollm3", .plain_every = 4},
    {.name = "granite"},
    {.name = "exaone", .neox = true},
    {.name = "internlm2"},
    {.name = "ernie4_5"},
    {.name = "minicpm"},
    {.name = "seed_oss", .neox = true, .named_norm = true},
    {.name = "gemma", .neox = true, .activation = GELU, .root_embedding = true},
    {.name = "gemma2",
     .neox = true,
     .activation = GELU,
     .root_embedding = true,
     .window = 4096,
     .period = 2},
    {.name = "gemma3",
     .neox = true,
     .activation = GELU,
     .root_embedding = true,
     .window = UINT32_MAX,
     .period = 6,
     .window_base = 10000,
     .window_unscaled = true},
    {.name = "gemma4",
     .neox = true,
     .activation = GELU,
     .root_embedding = true,
     .window = UINT32_MAX,
     .normed_weights = true,
     .gemma4 = true},
    {.name = "olmo2", .neox = true, .window = UINT32_MAX, .period = 4, .window_unscaled = true},
    {.name = "exaone4",
     .neox = true,
     .window = 4096,
     .period = 4,
     .window_layers = 64,
     .others_plain = true},
    {.name = "mistral3"},
    {.name = "glm4"},
    {.name = "hunyuan-dense", .neox = true, .late_norm = true},
    {.name = "arcee", .activation = RELU_SQUARED},
    {.name = "command-r", .centered = true, .parallel = true, .logits_times = true},
    {.name = "cohere2",
     .centered = true,
     .parallel = true,
     .logits_times = true,
     .window = UINT32_MAX,
     .period = 4,
     .others_plain = true},
    {.name = "phi2", .neox = true, .centered = true, .parallel = true, .activation = GELU},
    {.name = "starcoder2", .neox = true, .centered = true, .activation = GELU},
    {.name = "stablelm", .neox = true, .centered = true},
    {.name = "nemotron", .neox = true, .centered = true, .activation = RELU_SQUARED},
    {.name = "apertus", .neox = true, .activation = XIELU},
    {.name = "gpt2", .centered = true, .activation = GELU, .plain_every = 1},
    {.name = "gptneox", .neox = true, .centered = true, .parallel = true, .activation = GELU},
    {.name = "falcon", .neox = true, .centered = true, .parallel = true, .activation = GELU},
    {.name = "qwen2moe", .neox = true},
    {.name = "qwen3moe", .neox = true, .normed_weights = true},
    {.name = "olmoe", .neox = true},
    {.name = "granitemoe", .normed_weights = true},
    {.name = "gpt-oss",
     .neox = true,
     .window = UINT32_MAX,
     .period = 2,
     .gating = GATE_CHOSEN,
     .clamped = true,
     .named_norm = true},
    {.name = "glm4moe", .neox = true, .gating = GATE_SIGMOID, .named_norm = true},
    {.name = "dots1", .neox = true},
    {.name = "ernie4_5-moe", .normed_weights = true},
    {.name = "bailingmoe"},
    {.name = "bailingmoe2", .neox = true},
    {.name = "deepseek"},
    {.name = "deepseek2", .latent = true},
    {.name = "minimax-m2", .neox = true, .gating = GATE_SIGMOID, .normed_weights = true},
    {.name = "hunyuan-moe", .neox = true, .late_norm = true, .normed_weights = true},
};

void *reference_must(void *p)
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

const char *reference_key(const struct reference *r, char out[128], const char *name)
{
    snprintf(out, 128, "%s.%s", r->kin->name, name);
    return out;
}

static llm_status number(const struct reference *r, const struct gguf *g, const char *name,
                         double *out, struct llm_error *error)
{
    char full[128];
    float value = (float)*out;
    TRY(gguf_get_f32(g, reference_key(r, full, name), &value, error));
    *out = (double)value;
    return LLM_OK;
}

static llm_status read_scales(struct reference *r, const struct gguf *g, struct llm_error *error)
{
    r->embedding_scale = r->kin->root_embedding ? sqrt(r->dim) : 1;
    r->residual_scale = r->logit_scale = 1;
    r->attention_scale = r->kin->gemma4 ? 1 : 1 / sqrt(r->head_dim);
    const struct {
        const char *key;
        double *out;
    } numbers[] = {
        {"embedding_scale", &r->embedding_scale},
        {"residual_scale", &r->residual_scale},
        {"attention.scale", &r->attention_scale},
        {"logit_scale", &r->logit_scale},
        {"attn_logit_softcapping", &r->attention_cap},
        {"final_logit_softcapping", &r->logit_cap},
        {"attention.temperature_scale", &r->temperature},
    };
    if (strcmp(r->kin->name, "gemma2") == 0) {
        r->attention_cap = 50;
        r->logit_cap = 30;
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        TRY(number(r, g, numbers[i].key, numbers[i].out, error));
    if (r->kin->logits_times) r->logit_scale = 1 / r->logit_scale;
    return LLM_OK;
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
        TRY(gguf_get_u32(g, reference_key(r, full, numbers[i].key), numbers[i].out, error));
        if (*numbers[i].out == 0)
            return error_set(error, LLM_BAD_MODEL, "%s is missing", numbers[i].key);
    }
    TRY(reference_read_router(r, g, error));
    r->n_kv_heads = r->n_heads;
    if (!r->kin->gemma4)
        TRY(gguf_get_u32(g, reference_key(r, full, "attention.head_count_kv"), &r->n_kv_heads,
                         error));
    r->head_dim = r->dim / r->n_heads;
    TRY(gguf_get_u32(g, reference_key(r, full, "attention.key_length"), &r->head_dim, error));
    r->v_dim = r->head_dim;
    TRY(gguf_get_u32(g, reference_key(r, full, "attention.value_length"), &r->v_dim, error));
    if (r->n_kv_heads == 0 || r->n_heads % r->n_kv_heads || r->head_dim == 0 || r->v_dim == 0)
        return error_set(error, LLM_BAD_MODEL, "%u heads of %u for %u KV heads", r->n_heads,
                         r->head_dim, r->n_kv_heads);
    if (r->kin->latent) TRY(reference_read_latent(r, g, error));
    r->parallel = r->kin->parallel;
    r->period = r->kin->period;
    if (!r->kin->gemma4)
        TRY(gguf_get_u32(g, reference_key(r, full, "attention.sliding_window_pattern"), &r->period,
                         error));
    TRY(gguf_get_bool(g, reference_key(r, full, "use_parallel_residual"), &r->parallel, error));
    if (!r->kin->window_layers || r->kin->window_layers == r->n_layers) {
        r->window = r->kin->window == UINT32_MAX ? 0 : r->kin->window;
        if (r->kin->window)
            TRY(gguf_get_u32(g, reference_key(r, full, "attention.sliding_window"), &r->window,
                             error));
    }
    return gguf_get_f32(g,
                        reference_key(r, full,
                                      r->kin->centered ? "attention.layer_norm_epsilon"
                                                       : "attention.layer_norm_rms_epsilon"),
                        &r->epsilon, error);
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
    TRY(gguf_get_u32(g, reference_key(r, full, "rope.dimension_count"), &p->dims, error));
    TRY(gguf_get_f32(g, reference_key(r, full, "rope.freq_base"), &p->base, error));
    TRY(gguf_get_string(g, reference_key(r, full, "rope.scaling.type"), &type, error));
    TRY(gguf_get_f32(g, reference_key(r, full, "rope.scaling.factor"), &p->factor, error));
    TRY(gguf_get_f32(g, reference_key(r, full, "rope.scaling.attn_factor"), &p->attn_factor,
                     error));
    TRY(gguf_get_f32(g, reference_key(r, full, "rope.scaling.yarn_beta_fast"), &p->beta_fast,
                     error));
    TRY(gguf_get_f32(g, reference_key(r, full, "rope.scaling.yarn_beta_slow"), &p->beta_slow,
                     error));
    TRY(gguf_get_f32(g, reference_key(r, full, "rope.scaling.yarn_log_multiplier"),
                     &p->log_multiplier, error));
    TRY(gguf_get_u32(g, reference_key(r, full, "rope.scaling.original_context_length"),
                     &p->original_context, error));
    if (p->dims > r->head_dim)
        return error_set(error, LLM_BAD_MODEL, "rope over %u of %u", p->dims, r->head_dim);
    p->yarn = type.size == 4 && memcmp(type.text, "yarn", 4) == 0;
    if ((type.size == 4 && memcmp(type.text, "none", 4) == 0) || p->factor == 0) p->factor = 1;
    return LLM_OK;
}

float *reference_weights(const struct gguf *g, const uint8_t *data, const char *name, uint64_t cols,
                         uint64_t rows)
{
    const struct gguf_tensor *t = gguf_tensor(g, name);
    if (!t || t->dims[0] != cols || t->dims[1] * t->dims[2] * t->dims[3] != rows) return NULL;
    size_t n = (size_t)(cols * rows);
    float *out = reference_must(malloc(n * sizeof *out));
    quant_decode(t->type, data + t->offset, out, n);
    return out;
}

/* Rows [from, from + n) of the tensor that has `rows` in all. */
static float *some_rows(const struct gguf *g, const uint8_t *data, const char *name, uint64_t cols,
                        uint64_t rows, uint64_t from, uint64_t n)
{
    float *all = reference_weights(g, data, name, cols, rows);
    if (!all) return NULL;
    float *out = reference_must(malloc((size_t)(n * cols) * sizeof *out));
    memcpy(out, all + from * cols, (size_t)(n * cols) * sizeof *out);
    free(all);
    return out;
}

/* Rows or, of a bias, values. */
static void split_qkv(const struct reference *r, struct layer *y, const struct gguf *g,
                      const uint8_t *data, uint32_t l)
{
    const uint32_t q = r->n_heads * r->head_dim, k = r->n_kv_heads * r->head_dim,
                   v = r->n_kv_heads * r->v_dim, all = q + k + v;
    char name[64];
    snprintf(name, sizeof name, "blk.%u.attn_qkv.weight", l);
    y->q = some_rows(g, data, name, r->dim, all, 0, q);
    y->k = some_rows(g, data, name, r->dim, all, q, k);
    y->v = some_rows(g, data, name, r->dim, all, q + k, v);
    snprintf(name, sizeof name, "blk.%u.attn_qkv.bias", l);
    float *bias = reference_weights(g, data, name, all, 1);
    if (!bias) return;
    const struct {
        float **out;
        uint32_t from, n;
    } parts[] = {{&y->q_bias, 0, q}, {&y->k_bias, q, k}, {&y->v_bias, q + k, v}};
    for (int i = 0; i < 3; i++) {
        *parts[i].out = reference_must(malloc(parts[i].n * sizeof(float)));
        memcpy(*parts[i].out, bias + parts[i].from, parts[i].n * sizeof(float));
    }
    free(bias);
}

static void split_gate_up(const struct reference *r, struct layer *y, const struct gguf *g,
                          const uint8_t *data, uint32_t l)
{
    char name[64];
    snprintf(name, sizeof name, "blk.%u.ffn_up.weight", l);
    y->gate = some_rows(g, data, name, r->dim, 2 * r->hidden, 0, r->hidden);
    y->up = some_rows(g, data, name, r->dim, 2 * r->hidden, r->hidden, r->hidden);
}

static llm_status read_xielu(const struct reference *r, struct layer *y, const struct gguf *g,
                             uint32_t l, struct llm_error *error)
{
    static const char *const keys[] = {"xielu.alpha_n", "xielu.alpha_p", "xielu.beta", "xielu.eps"};
    for (int i = 0; i < 4 && r->kin->activation == XIELU; i++) {
        const struct gguf_value *v = gguf_find(g, keys[i]);
        if (!v) return error_set(error, LLM_BAD_MODEL, "%s is missing", keys[i]);
        y->xielu[i] = (float)gguf_item_float(v, v->type == GGUF_ARRAY ? l : 0);
    }
    return LLM_OK;
}

static llm_status read_heads(struct reference *r, struct layer *y, const struct gguf *g, uint32_t l,
                             struct llm_error *error)
{
    char full[128];
    y->n_kv_heads = r->n_kv_heads;
    y->head_dim = r->head_dim;
    y->v_dim = r->v_dim;
    y->window = r->period == 0 || (l + 1) % r->period != 0 ? r->window : 0;
    if (!r->kin->gemma4) return LLM_OK;
    const struct gguf_value *heads =
                                gguf_find(g, reference_key(r, full, "attention.head_count_kv")),
                            *windows = gguf_find(
                                g, reference_key(r, full, "attention.sliding_window_pattern"));
    if (!heads || !windows || heads->n <= l || windows->n <= l)
        return error_set(error, LLM_BAD_MODEL, "no heads or windows of layer %u", l);
    y->n_kv_heads = (uint32_t)gguf_item_int(heads, l);
    y->window = gguf_item_int(windows, l) ? r->window : 0;
    if (y->window == 0) return LLM_OK;
    TRY(gguf_get_u32(g, reference_key(r, full, "attention.key_length_swa"), &y->head_dim, error));
    return gguf_get_u32(g, reference_key(r, full, "attention.value_length_swa"), &y->v_dim, error);
}

static llm_status read_layer(struct reference *r, const struct gguf *g, const uint8_t *data,
                             uint32_t l, struct llm_error *error)
{
    struct layer *y = &r->layers[l];
    const bool named = r->kin->named_norm;
    char second[64];
    snprintf(second, sizeof second, "blk.%u.attn_norm_2.weight", l);
    const bool two = gguf_tensor(g, second) != NULL;
    TRY(read_heads(r, y, g, l, error));
    const uint32_t q = r->n_heads * y->head_dim, k = y->n_kv_heads * y->head_dim,
                   v = y->n_kv_heads * y->v_dim, dim = r->dim, hidden = r->hidden;
    reference_read_experts(r, &y->experts, g, data, l);
    const bool dense = y->experts.router == NULL;
    float *scale = NULL;
    const struct {
        const char *name;
        float **out;
        uint32_t cols, rows;
        bool needed;
    } tensors[] = {
        {two ? "attn_norm_2.weight" : "attn_norm.weight", &y->attn_norm, dim, 1, false},
        {two ? "attn_norm_2.bias" : "attn_norm.bias", &y->attn_norm_bias, dim, 1, false},
        {two     ? "attn_norm.weight"
         : named ? "post_attention_norm.weight"
                 : "ffn_norm.weight",
         &y->ffn_norm, dim, 1, false},
        {two ? "attn_norm.bias" : "ffn_norm.bias", &y->ffn_norm_bias, dim, 1, false},
        {named ? "-" : "post_attention_norm.weight", &y->attn_post, dim, 1, false},
        {"post_ffw_norm.weight", &y->ffn_post, dim, 1, false},
        {"pre_ffw_norm_2.weight", &y->expert_norm, dim, 1, false},
        {"post_ffw_norm_1.weight", &y->dense_post, dim, 1, false},
        {"post_ffw_norm_2.weight", &y->expert_post, dim, 1, false},
        {"ffn_gate_inp.scale", &y->router_gain, dim, 1, false},
        {"layer_output_scale.weight", &scale, 1, 1, false},
        {"attn_q.bias", &y->q_bias, q, 1, false},
        {"attn_k.bias", &y->k_bias, k, 1, false},
        {"attn_v.bias", &y->v_bias, v, 1, false},
        {"attn_q_norm.weight", &y->q_norm, y->head_dim, 1, false},
        {"attn_k_norm.weight", &y->k_norm, y->head_dim, 1, false},
        {"attn_q_norm.weight", &y->q_row, q, 1, false},
        {"attn_k_norm.weight", &y->k_row, k, 1, false},
        {"attn_q_norm.weight", &y->q_heads, y->head_dim, r->n_heads, false},
        {"attn_k_norm.weight", &y->k_heads, y->head_dim, y->n_kv_heads, false},
        {"attn_output.bias", &y->attn_output_bias, dim, 1, false},
        {"attn_sinks.weight", &y->sinks, r->n_heads, 1, false},
        {"ffn_up.bias", &y->up_bias, hidden, 1, false},
        {"ffn_down.bias", &y->down_bias, dim, 1, false},
        {"ffn_gate.weight", &y->gate, dim, hidden, false},
        {"attn_q.weight", &y->q, dim, q, !r->q_rank},
        {"attn_k.weight", &y->k, dim, k, !r->rank},
        {"attn_v.weight", &y->v, dim, v, !r->rank && !r->kin->gemma4},
        {"attn_output.weight", &y->attn_output, r->n_heads * y->v_dim, dim, true},
        {"ffn_up.weight", &y->up, dim, hidden, dense},
        {"ffn_down.weight", &y->down, hidden, dim, dense},
    };
    if (r->rank) TRY(reference_read_latent_layer(r, &y->latent, g, data, l, error));
    split_qkv(r, y, g, data, l);
    split_gate_up(r, y, g, data, l);
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        char name[64];
        if (*tensors[i].out) continue;
        snprintf(name, sizeof name, "blk.%u.%s", l, tensors[i].name);
        *tensors[i].out = reference_weights(g, data, name, tensors[i].cols, tensors[i].rows);
        if (!*tensors[i].out && tensors[i].needed)
            return error_set(error, LLM_BAD_MODEL, "%s is missing or of another shape", name);
    }
    if (y->q_norm) { /* one head's rows are also of its length */
        free(y->q_row);
        free(y->k_row);
        free(y->q_heads);
        free(y->k_heads);
        y->q_row = y->k_row = y->q_heads = y->k_heads = NULL;
    }
    if (!y->ffn_norm && y->attn_norm) r->parallel = true;
    y->scale = scale ? *scale : 1;
    free(scale);
    if (!y->v && r->kin->gemma4) {
        y->v = reference_must(malloc((size_t)dim * k * sizeof(float)));
        memcpy(y->v, y->k, (size_t)dim * k * sizeof(float));
    }
    return read_xielu(r, y, g, l, error);
}

static llm_status read_model(struct reference *r, const struct gguf *g, const uint8_t *data,
                             struct llm_error *error)
{
    TRY(read_shape(r, g, error));
    TRY(read_rope(r, g, error));
    TRY(read_scales(r, g, error));
    if (r->rank) reference_scale_latent(r);
    r->window_rope = r->rope;
    if (r->kin->window_base != 0) r->window_rope.base = r->kin->window_base;
    char full[128];
    TRY(gguf_get_f32(g, reference_key(r, full, "rope.freq_base_swa"), &r->window_rope.base, error));
    TRY(gguf_get_u32(g, reference_key(r, full, "rope.dimension_count_swa"), &r->window_rope.dims,
                     error));
    if (r->kin->window_unscaled) {
        r->window_rope.factor = r->window_rope.attn_factor = 1;
        r->window_rope.yarn = false;
    }
    const struct gguf_tensor *embedding = gguf_tensor(g, "token_embd.weight");
    if (!embedding) return error_set(error, LLM_BAD_MODEL, "token_embd.weight is missing");
    r->vocab = (uint32_t)embedding->dims[1];
    r->embedding = reference_weights(g, data, "token_embd.weight", r->dim, r->vocab);
    r->positions = reference_weights(g, data, "position_embd.weight", r->dim, r->context);
    r->output_norm = reference_weights(g, data, "output_norm.weight", r->dim, 1);
    r->output_norm_bias = reference_weights(g, data, "output_norm.bias", r->dim, 1);
    r->output = gguf_tensor(g, "output.weight")
                    ? reference_weights(g, data, "output.weight", r->dim, r->vocab)
                    : r->embedding;
    r->output_bias = reference_weights(g, data, "output.bias", r->vocab, 1);
    r->rope.divisors = reference_weights(g, data, "rope_freqs.weight", r->rope.dims / 2, 1);
    r->rope.long_divisors =
        reference_weights(g, data, "rope_factors_long.weight", r->rope.dims / 2, 1);
    r->rope.short_divisors =
        reference_weights(g, data, "rope_factors_short.weight", r->rope.dims / 2, 1);
    if (!r->embedding || !r->output_norm || !r->output)
        return error_set(error, LLM_BAD_MODEL,
                         "embedding, output_norm or output is missing or of another shape");
    r->layers = reference_must(calloc(r->n_layers, sizeof *r->layers));
    for (uint32_t l = 0; l < r->n_layers; l++) TRY(read_layer(r, g, data, l, error));
    for (uint32_t l = 0; l < r->n_layers; l++) {
        if (r->layers[l].head_dim > r->head_dim) r->head_dim = r->layers[l].head_dim;
        if (r->layers[l].v_dim > r->v_dim) r->v_dim = r->layers[l].v_dim;
    }
    const size_t heads = r->n_heads * r->head_dim, attended = r->n_heads * r->v_dim;
    const struct {
        double **out;
        size_t n;
    } rows[] = {
        {&r->x, r->dim}, {&r->normed, r->dim},     {&r->normed2, r->dim}, {&r->added, r->dim},
        {&r->q, heads},  {&r->attended, attended}, {&r->gate, r->hidden}, {&r->up, r->hidden},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        *rows[i].out = reference_must(calloc(rows[i].n, sizeof(double)));
    return LLM_OK;
}

struct reference *reference_open(const void *data, size_t size, struct llm_error *error)
{
    struct gguf g;
    if (gguf_parse(&g, data, size, size, &alloc_libc, error) != LLM_OK) return NULL;
    struct reference *r = reference_must(calloc(1, sizeof *r));
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
        void *all[] = {y->attn_norm,
                       y->attn_norm_bias,
                       y->q,
                       y->k,
                       y->v,
                       y->q_bias,
                       y->k_bias,
                       y->v_bias,
                       y->q_norm,
                       y->k_norm,
                       y->q_row,
                       y->k_row,
                       y->q_heads,
                       y->k_heads,
                       y->attn_output,
                       y->attn_output_bias,
                       y->attn_post,
                       y->ffn_norm,
                       y->ffn_norm_bias,
                       y->gate,
                       y->up,
                       y->down,
                       y->up_bias,
                       y->down_bias,
                       y->expert_norm,
                       y->dense_post,
                       y->expert_post,
                       y->router_gain,
                       y->ffn_post,
                       y->sinks,
                       y->keys,
                       y->values};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
        reference_free_experts(&y->experts);
        reference_free_latent(&y->latent);
    }
    if (r->output != r->embedding) free(r->output);
    if (!r->rope.long_divisors) free(r->rope.divisors); /* else it is one of the two */
    void *all[] = {r->layers,
                   r->embedding,
                   r->positions,
                   r->output_norm,
                   r->output_norm_bias,
                   r->output_bias,
                   r->rope.long_divisors,
                   r->rope.short_divisors,
                   r->x,
                   r->normed,
                   r->normed2,
                   r->added,
                   r->q,
                   r->attended,
                   r->scores,
                   r->gate,
                   r->up};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(r);
}

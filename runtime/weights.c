#include "weights.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "gpu_error.h"
#include "repack.h"
#include "weights_impl.h"

void weights_qkv_layout(const struct hparams *h, uint32_t l, uint32_t *stride, uint32_t *k,
                        uint32_t *v)
{
    const struct head_sizes s = arch_heads(h, l);
    *k = ops_stride(h->n_heads * s.head_dim);
    if (h->latent) {
        *v = *k;
        *k = *v + ops_stride(h->n_heads * h->ranks.key);
        *stride = *k + ops_stride(s.head_dim);
        return;
    }
    *v = *k + ops_stride(s.n_kv_heads * s.head_dim);
    *stride = *v + ops_stride(s.n_kv_heads * s.v_dim);
}

/* Floats of struct head_terms' data, 0 where the layer has none. */
static uint64_t terms_size(const struct blueprint *b, uint32_t l)
{
    uint32_t stride, k, v;
    weights_qkv_layout(&b->h, l, &stride, &k, &v);
    for (int i = SLOT_Q_BIAS; i < N_LAYER_SLOTS; i++) {
        if (i >= SLOT_Q_NORM && b->h.row_norm) break;
        if (b->layers[l][i]) return stride + 2 * (uint64_t)arch_heads(&b->h, l).head_dim;
    }
    return 0;
}

/* The vectors that lie alone; the others are parts of the terms. */
static const struct {
    int slot;
    size_t at; /* a gpu_range of struct layer_weights */
} layer_vectors[] = {
#define AT(field) offsetof(struct layer_weights, field)
    {SLOT_ATTN_NORM, AT(attn_norm)},
    {SLOT_ATTN_NORM_BIAS, AT(attn_norm_bias)},
    {SLOT_ATTN_POST, AT(attn_post)},
    {SLOT_ATTN_POST_BIAS, AT(attn_post_bias)},
    {SLOT_FFN_NORM, AT(ffn_norm)},
    {SLOT_FFN_NORM_BIAS, AT(ffn_norm_bias)},
    {SLOT_FFN_POST, AT(ffn_post)},
    {SLOT_FFN_POST_BIAS, AT(ffn_post_bias)},
    {SLOT_O_BIAS, AT(o.bias)},
    {SLOT_UP_BIAS, AT(up.bias)},
    {SLOT_DOWN_BIAS, AT(down.bias)},
    {SLOT_SINKS, AT(sinks)},
    {SLOT_ROUTER_GAIN, AT(experts.gain)},
    {SLOT_EXPERT_NORM, AT(experts.norm)},
    {SLOT_EXPERT_POST, AT(experts.post)},
    {SLOT_DENSE_POST, AT(experts.dense_post)},
    {SLOT_Q_A_NORM, AT(latent.q_norm)},
    {SLOT_KV_A_NORM, AT(latent.k_norm)},
    {SLOT_Q_NORM, AT(q_norm)},
    {SLOT_K_NORM, AT(k_norm)}, /* the last two: of whole rows only */
#undef AT
};
enum { N_LAYER_VECTORS = sizeof layer_vectors / sizeof *layer_vectors };

static int n_layer_vectors(const struct hparams *h)
{
    return h->row_norm ? N_LAYER_VECTORS : N_LAYER_VECTORS - 2;
}

/* The stacks of a layer, a matrix for each expert or head, and their biases. */
enum { NO_SLOT = -1 };
static const struct {
    int slot, bias;
    size_t at; /* a struct experts of struct layer_weights */
} layer_stacks[] = {
    {SLOT_EXPERT_GATE, SLOT_EXPERT_GATE_BIAS, offsetof(struct layer_weights, experts.gate)},
    {SLOT_EXPERT_UP, SLOT_EXPERT_UP_BIAS, offsetof(struct layer_weights, experts.up)},
    {SLOT_EXPERT_DOWN, SLOT_EXPERT_DOWN_BIAS, offsetof(struct layer_weights, experts.down)},
    {SLOT_K_B, NO_SLOT, offsetof(struct layer_weights, latent.k_b)},
    {SLOT_V_B, NO_SLOT, offsetof(struct layer_weights, latent.v_b)},
};
enum { N_LAYER_STACKS = sizeof layer_stacks / sizeof *layer_stacks };

static uint64_t router_terms(const struct gguf_tensor *const *t)
{
    return (t[SLOT_ROUTER_BIAS] ? t[SLOT_ROUTER_BIAS]->dims[0] : 0) +
           (t[SLOT_CHOICE_BIAS] ? t[SLOT_CHOICE_BIAS]->dims[0] : 0) +
           (t[SLOT_EXPERT_SCALE] ? t[SLOT_EXPERT_SCALE]->dims[0] : 0);
}

static const struct gguf_tensor *stack_bias(const struct blueprint *b, uint32_t l, int i)
{
    const int slot = layer_stacks[i].bias;
    return slot == NO_SLOT ? NULL : b->layers[l][slot];
}

/* Floats of them: each expert's are a row, as long as the kernels want them. */
static uint64_t bias_floats(const struct gguf_tensor *t)
{
    return t ? t->dims[1] * ops_stride((uint32_t)t->dims[0]) : 0;
}

/* Whether the file has rows as columns. What it has of a format in blocks cannot be turned but as
 * F32. */
static bool is_turned(const struct blueprint *b, int i)
{
    return layer_stacks[i].slot == SLOT_K_B && b->h.ranks.fused;
}

/* No buffers where there is no stack. */
static struct experts stack_layout(const struct blueprint *b, uint32_t l, int i,
                                   const struct gpu_device *gpu)
{
    const struct gguf_tensor *t = b->layers[l][layer_stacks[i].slot];
    if (!t) return (struct experts){.n = 0, .a_buffer = 1};
    const bool turned = is_turned(b, i);
    return ops_experts_layout(gpu_device_info(gpu), turned ? QUANT_F32 : t->type,
                              (uint32_t)t->dims[!turned], (uint32_t)t->dims[turned],
                              (uint32_t)t->dims[2]);
}

static uint64_t stack_cost(const struct blueprint *b, uint32_t l, int i,
                           const struct gpu_device *gpu)
{
    const struct experts e = stack_layout(b, l, i, gpu);
    const uint32_t n = ops_experts_buffers(&e);
    if (n == 0) return 0;
    return gpu_buffer_cost(gpu, ops_experts_buffer_size(&e, 0), GPU_MEMORY_DEVICE) * (n - 1) +
           gpu_buffer_cost(gpu, ops_experts_buffer_size(&e, n - 1), GPU_MEMORY_DEVICE);
}

static uint64_t tensor_vector_size(const struct gguf_tensor *t)
{
    return t ? loader_vector_size(t->size / sizeof(float)) : 0;
}

static uint64_t vectors_size(const struct blueprint *b)
{
    uint64_t size = tensor_vector_size(b->tensors[SLOT_EMBD_NORM]) +
                    tensor_vector_size(b->tensors[SLOT_EMBD_NORM_BIAS]) +
                    tensor_vector_size(b->tensors[SLOT_OUTPUT_NORM]) +
                    tensor_vector_size(b->tensors[SLOT_OUTPUT_NORM_BIAS]) +
                    tensor_vector_size(b->tensors[SLOT_OUTPUT_BIAS]);
    for (uint32_t l = 0; l < b->h.n_layers; l++) {
        size += loader_vector_size(terms_size(b, l));
        for (int i = 0; i < n_layer_vectors(&b->h); i++)
            size += tensor_vector_size(b->layers[l][layer_vectors[i].slot]);
        size += loader_vector_size(router_terms(b->layers[l]));
        for (int i = 0; i < N_LAYER_STACKS; i++)
            size += loader_vector_size(bias_floats(stack_bias(b, l, i)));
    }
    return size;
}

uint64_t weights_size(const struct blueprint *b, const struct gpu_device *gpu,
                      uint32_t n_host_layers)
{
    const struct gguf_tensor *const whole[] = {b->tensors[SLOT_TOKEN_EMBD],
                                               b->tensors[SLOT_POSITION_EMBD],
                                               b->tensors[SLOT_TYPE_EMBD], b->tensors[SLOT_OUTPUT]};
    uint64_t size = vectors_size(b);
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        if (whole[i]) size += gpu_buffer_cost(gpu, loader_matrix_size(whole[i]), GPU_MEMORY_DEVICE);
    }
    for (uint32_t l = 0; l + n_host_layers < b->h.n_layers; l++) {
        for (int slot = 0; slot < N_LAYER_MATRICES; slot++) {
            const struct gguf_tensor *t = b->layers[l][slot];
            if (t) size += gpu_buffer_cost(gpu, loader_place_size(t), GPU_MEMORY_DEVICE);
        }
        for (int i = 0; i < N_LAYER_STACKS; i++) size += stack_cost(b, l, i, gpu);
    }
    return size;
}

static llm_status load_terms(struct loader *ld, uint32_t l, struct head_terms *out,
                             struct llm_error *error)
{
    const struct hparams *h = &ld->b->h;
    const struct gguf_tensor **t = ld->b->layers[l];
    uint64_t n = terms_size(ld->b, l);
    uint32_t stride, k, v;
    float *memory = NULL;
    if (n == 0) return LLM_OK;
    weights_qkv_layout(h, l, &stride, &k, &v);
    *out = (struct head_terms){
        .data = loader_take_vector(ld->w, n),
        .bias = t[SLOT_Q_BIAS] || t[SLOT_K_BIAS] || t[SLOT_V_BIAS],
        .norm = t[SLOT_Q_NORM] && !h->row_norm,
        .eps = h->head_eps,
        .late = h->late_head_norm,
        .value_norm = h->value_norm,
    };
    const struct {
        const struct gguf_tensor *tensor;
        uint32_t at;
    } parts[] = {
        {t[SLOT_Q_BIAS], 0},
        {t[SLOT_K_BIAS], k},
        {t[SLOT_V_BIAS], v},
        {t[SLOT_Q_NORM], stride},
        {t[SLOT_K_NORM], stride + arch_heads(h, l).head_dim},
    };
    TRY(loader_begin_vector(ld, &out->data, &memory, error));
    memset(memory, 0, (size_t)out->data.size);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (parts[i].at >= stride && h->row_norm) break;
        if (parts[i].tensor)
            TRY(loader_copy_vector(ld, parts[i].tensor, 1, memory + parts[i].at, error));
    }
    TRY_GPU(gpu_upload_end(ld->upload, &gpu_error_), error);
    return LLM_OK;
}

static llm_status load_qkv(struct loader *ld, uint32_t l, enum gpu_memory memory,
                           struct layer_weights *lw, struct llm_error *error)
{
    const struct gguf_tensor *const *parts = ld->b->layers[l] + SLOT_Q;
    uint32_t at[3] = {0}, stride;
    weights_qkv_layout(&ld->b->h, l, &stride, &at[1], &at[2]);
    if (ld->b->h.latent) at[0] = at[2];
    for (uint32_t i = 0; i < 3;) {
        uint32_t n = 1;
        if (!parts[i]) {
            i++;
            continue;
        }
        while (i + n < 3 && parts[i + n] && parts[i + n]->type == parts[i]->type &&
               parts[i + n - 1]->dims[1] % REPACK_TILE == 0)
            n++;
        lw->qkv_at[lw->n_qkv] = at[i];
        TRY(loader_matrix(ld, parts + i, n, memory, &lw->qkv[lw->n_qkv++], error));
        i += n;
    }
    return LLM_OK;
}

static llm_status load_router_terms(struct loader *ld, const struct gguf_tensor *const *t,
                                    struct router_terms *out, struct llm_error *error)
{
    const struct gguf_tensor *const parts[] = {t[SLOT_ROUTER_BIAS], t[SLOT_CHOICE_BIAS],
                                               t[SLOT_EXPERT_SCALE]};
    const uint64_t n = router_terms(t);
    float *memory = NULL;
    *out = (struct router_terms){
        .logits = parts[0] != NULL, .choice = parts[1] != NULL, .scales = parts[2] != NULL};
    if (n == 0) return LLM_OK;
    out->data = loader_take_vector(ld->w, n);
    TRY(loader_begin_vector(ld, &out->data, &memory, error));
    for (int i = 0; i < 3; i++) {
        if (!parts[i]) continue;
        TRY(loader_copy_vector(ld, parts[i], 1, memory, error));
        memory += parts[i]->dims[0];
    }
    TRY_GPU(gpu_upload_end(ld->upload, &gpu_error_), error);
    return LLM_OK;
}

static llm_status load_stack_biases(struct loader *ld, const struct gguf_tensor *t,
                                    struct gpu_range *out, struct llm_error *error)
{
    float *memory = NULL;
    if (!t) return LLM_OK;
    const struct gguf_tensor row = {.type = t->type, .dims = {t->dims[0], 1, 1, 1}};
    const uint32_t stride = ops_stride((uint32_t)t->dims[0]);
    *out = loader_take_vector(ld->w, bias_floats(t));
    TRY(loader_begin_vector(ld, out, &memory, error));
    memset(memory, 0, (size_t)out->size);
    for (uint64_t e = 0; e < t->dims[1]; e++) {
        struct gguf_tensor one = row;
        one.size = t->dims[0] * sizeof(float);
        one.offset = t->offset + e * one.size;
        TRY(loader_copy_vector(ld, &one, 1, memory + e * stride, error));
    }
    TRY_GPU(gpu_upload_end(ld->upload, &gpu_error_), error);
    return LLM_OK;
}

/* The matrices of stack i, in as many buffers as they want. values: for those that are turned. */
static llm_status load_matrices(struct loader *ld, uint32_t l, int i, enum gpu_memory memory,
                                float *values, struct experts *out, struct llm_error *error)
{
    struct weights *w = ld->w;
    const struct gpu_range bias = out->bias;
    struct gguf_tensor one = *ld->b->layers[l][layer_stacks[i].slot];
    *out = stack_layout(ld->b, l, i, w->gpu);
    out->bias = bias;
    out->one.buffer = &w->buffers[w->n_buffers];
    one.dims[2] = 1;
    one.size /= out->n;
    for (uint32_t e = 0; e < out->n; e++) {
        const uint32_t buffer = e / out->a_buffer, place = e % out->a_buffer;
        if (place == 0) {
            TRY_GPU(gpu_buffer_create(w->gpu, &w->buffers[w->n_buffers],
                                      ops_experts_buffer_size(out, buffer), memory, &gpu_error_),
                    error);
            w->n_buffers++;
        }
        struct gpu_buffer *to = &w->buffers[w->n_buffers - 1];
        const uint64_t at = place * out->stride;
        if (values) TRY(loader_stream_turned(ld, &one, values, to, at, error));
        else TRY(loader_stream(ld, &one, to, at, error));
        one.offset += one.step ? one.step : one.size;
    }
    return LLM_OK;
}

static llm_status load_stack(struct loader *ld, uint32_t l, int i, enum gpu_memory memory,
                             struct llm_error *error)
{
    const struct gguf_tensor *t = ld->b->layers[l][layer_stacks[i].slot];
    struct experts *out = (void *)((char *)&ld->w->layers[l] + layer_stacks[i].at);
    if (!t) return LLM_OK;
    TRY(load_stack_biases(ld, stack_bias(ld->b, l, i), &out->bias, error));
    if (!is_turned(ld->b, i)) return load_matrices(ld, l, i, memory, NULL, out, error);
    const size_t size = (size_t)(2 * t->dims[0] * t->dims[1] * sizeof(float));
    float *values = alloc_new(ld->w->alloc, size);
    if (!values) return error_memory(error, "turning a matrix", size);
    const llm_status status = load_matrices(ld, l, i, memory, values, out, error);
    alloc_free(ld->w->alloc, values, size);
    return status;
}

static llm_status load_experts(struct loader *ld, uint32_t l, enum gpu_memory memory,
                               struct llm_error *error)
{
    const struct gguf_tensor **t = ld->b->layers[l];
    struct expert_weights *e = &ld->w->layers[l].experts;
    const struct {
        int slot;
        struct weight *out;
    } matrices[] = {
        {SLOT_ROUTER, &e->router},           {SLOT_SHARED_LOGIT, &e->shared_logit},
        {SLOT_SHARED_GATE, &e->shared_gate}, {SLOT_SHARED_UP, &e->shared_up},
        {SLOT_SHARED_DOWN, &e->shared_down},
    };
    TRY(load_router_terms(ld, t, &e->terms, error));
    for (size_t i = 0; i < sizeof matrices / sizeof *matrices; i++) {
        if (t[matrices[i].slot])
            TRY(loader_matrix(ld, &t[matrices[i].slot], 1, memory, matrices[i].out, error));
    }
    return LLM_OK;
}

/* The norm that the router of Gemma 4 has of its own makes rows of length 1. */
static float gain_scale(const struct loader *ld, int slot)
{
    return slot == SLOT_ROUTER_GAIN ? 1 / sqrtf((float)ld->b->h.dim) : 1;
}

static enum gpu_memory memory_of(const struct loader *ld, uint32_t l)
{
    return l + ld->n_host_layers < ld->w->n_layers ? GPU_MEMORY_DEVICE : GPU_MEMORY_HOST;
}

/* One buffer for what is computed between the attention of this layer and that of the next one, so
 * that one dispatch can do it all (ops_tail): o, gate, up, down, and the next layer's q, k and v.
 */
static llm_status share_buffer(struct loader *ld, uint32_t l, struct llm_error *error)
{
    const bool has_next = l + 1 < ld->w->n_layers && memory_of(ld, l + 1) == memory_of(ld, l);
    const struct gguf_tensor *const *t = ld->b->layers[l], *const *next = has_next
                                                                              ? ld->b->layers[l + 1]
                                                                              : NULL;
    uint64_t size = 0;
    if (t[SLOT_ROUTER] || !t[SLOT_UP]) return LLM_OK;
    for (int i = SLOT_O; i <= SLOT_DOWN; i++) size += t[i] ? loader_place_size(t[i]) : 0;
    for (int i = SLOT_Q; i <= SLOT_V && next; i++) size += next[i] ? loader_place_size(next[i]) : 0;
    if (size > gpu_device_info(ld->w->gpu)->allocation_size) return LLM_OK;
    return loader_share(ld, size, memory_of(ld, l), error);
}

static llm_status load_layer(struct loader *ld, uint32_t l, struct llm_error *error)
{
    const enum gpu_memory memory = memory_of(ld, l);
    const struct gguf_tensor **t = ld->b->layers[l];
    struct layer_weights *lw = &ld->w->layers[l];
    for (int i = 0; i < n_layer_vectors(&ld->b->h); i++) {
        struct gpu_range *range = (void *)((char *)lw + layer_vectors[i].at);
        TRY(loader_vector(ld, t[layer_vectors[i].slot], gain_scale(ld, layer_vectors[i].slot),
                          range, error));
    }
    TRY(load_terms(ld, l, &lw->terms, error));
    TRY(load_qkv(ld, l, memory, lw, error));
    ld->shared = NULL;
    if (t[SLOT_Q_A]) {
        TRY(loader_matrix(ld, &t[SLOT_Q_A], 1, memory, &lw->latent.q_a, error));
        TRY(loader_matrix(ld, &t[SLOT_Q_B], 1, memory, &lw->latent.q_b, error));
    }
    TRY(share_buffer(ld, l, error));
    TRY(loader_matrix(ld, &t[SLOT_O], 1, memory, &lw->o, error));
    TRY(loader_scale(ld, t[SLOT_LAYER_SCALE], &lw->scale, error));
    for (int i = 0; i < N_LAYER_STACKS; i++) TRY(load_stack(ld, l, i, memory, error));
    if (t[SLOT_ROUTER]) TRY(load_experts(ld, l, memory, error));
    if (!t[SLOT_UP]) return LLM_OK;
    if (t[SLOT_GATE]) TRY(loader_matrix(ld, &t[SLOT_GATE], 1, memory, &lw->gate, error));
    TRY(loader_matrix(ld, &t[SLOT_UP], 1, memory, &lw->up, error));
    return loader_matrix(ld, &t[SLOT_DOWN], 1, memory, &lw->down, error);
}

static llm_status load_rope_factors(struct loader *ld, struct llm_error *error)
{
    const struct gguf_tensor *t = ld->b->tensors[SLOT_ROPE_FREQS];
    if (!t) return LLM_OK;
    struct weights *w = ld->w;
    const void *data = NULL;
    TRY(loader_fetch(ld, t->offset, (size_t)t->size, &data, error));
    w->rope_factors = alloc_new(w->alloc, (size_t)t->size);
    if (!w->rope_factors) return error_memory(error, "the rope factors", t->size);
    memcpy(w->rope_factors, data, (size_t)t->size);
    w->n_rope_factors = (uint32_t)t->dims[0];
    return LLM_OK;
}

static llm_status load_all(struct loader *ld, struct llm_error *error)
{
    struct weights *w = ld->w;
    const struct blueprint *b = ld->b;
    TRY_GPU(gpu_upload_create(w->gpu, &ld->upload, &gpu_error_), error);
    TRY_GPU(gpu_buffer_create(w->gpu, &w->vectors, vectors_size(b), GPU_MEMORY_DEVICE, &gpu_error_),
            error);
    TRY(load_rope_factors(ld, error));
    TRY(loader_matrix(ld, &b->tensors[SLOT_TOKEN_EMBD], 1, GPU_MEMORY_DEVICE, &w->embed, error));
    if (b->tensors[SLOT_POSITION_EMBD])
        TRY(loader_matrix(ld, &b->tensors[SLOT_POSITION_EMBD], 1, GPU_MEMORY_DEVICE, &w->positions,
                          error));
    if (b->tensors[SLOT_TYPE_EMBD])
        TRY(loader_matrix(ld, &b->tensors[SLOT_TYPE_EMBD], 1, GPU_MEMORY_DEVICE, &w->types, error));
    TRY(loader_vector(ld, b->tensors[SLOT_EMBD_NORM], 1, &w->embed_norm, error));
    TRY(loader_vector(ld, b->tensors[SLOT_EMBD_NORM_BIAS], 1, &w->embed_norm_bias, error));
    w->output = w->embed;
    if (b->tensors[SLOT_OUTPUT])
        TRY(loader_matrix(ld, &b->tensors[SLOT_OUTPUT], 1, GPU_MEMORY_DEVICE, &w->output, error));
    TRY(loader_vector(ld, b->tensors[SLOT_OUTPUT_BIAS], b->h.logit_scale, &w->output.bias, error));
    TRY(loader_vector(ld, b->tensors[SLOT_OUTPUT_NORM], b->h.logit_scale, &w->output_norm, error));
    TRY(loader_vector(ld, b->tensors[SLOT_OUTPUT_NORM_BIAS], b->h.logit_scale, &w->output_norm_bias,
                      error));
    for (uint32_t l = 0; l < w->n_layers; l++) TRY(load_layer(ld, l, error));
    TRY_GPU(gpu_upload_finish(ld->upload, &gpu_error_), error);
    return LLM_OK;
}

static uint64_t file_bytes(const struct blueprint *b)
{
    uint64_t n = 0;
    for (int i = 0; i < N_MODEL_SLOTS; i++) n += b->tensors[i] ? b->tensors[i]->size : 0;
    for (uint32_t l = 0; l < b->h.n_layers; l++) {
        for (int i = 0; i < N_LAYER_SLOTS; i++) n += b->layers[l][i] ? b->layers[l][i]->size : 0;
    }
    return n;
}

/* At most so many. */
static uint32_t count_buffers(const struct blueprint *b, const struct gpu_device *gpu)
{
    uint32_t n = 4 + N_LAYER_MATRICES * b->h.n_layers;
    for (uint32_t l = 0; l < b->h.n_layers; l++) {
        for (int i = 0; i < N_LAYER_STACKS; i++) {
            const struct experts e = stack_layout(b, l, i, gpu);
            n += ops_experts_buffers(&e);
        }
    }
    return n;
}

llm_status weights_load(struct weights *w, const struct blueprint *b, const struct source *source,
                        struct gpu_device *gpu, uint32_t n_host_layers, weights_progress progress,
                        void *user, const struct alloc *alloc, struct llm_error *error)
{
    *w = (struct weights){.gpu = gpu,
                          .alloc = alloc,
                          .n_layers = b->h.n_layers,
                          .max_buffers = count_buffers(b, gpu)};
    w->layers = alloc_zero(alloc, w->n_layers, sizeof *w->layers);
    w->buffers = alloc_zero(alloc, w->max_buffers, sizeof *w->buffers);
    if (!w->layers || !w->buffers)
        return error_memory(error, "the list of weights", w->max_buffers * sizeof *w->buffers);
    struct loader ld = {.w = w,
                        .b = b,
                        .source = source,
                        .progress = progress,
                        .user = user,
                        .total = file_bytes(b),
                        .n_host_layers = n_host_layers};
    ld.crew = crew_open(alloc, UINT32_MAX);
    llm_status status = load_all(&ld, error);
    gpu_upload_free(ld.upload);
    crew_free(ld.crew);
    alloc_free(alloc, ld.scratch, ld.scratch_size);
    return status;
}

void weights_free(struct weights *w)
{
    for (uint32_t i = 0; i < w->n_buffers; i++) gpu_buffer_free(w->gpu, &w->buffers[i]);
    if (w->gpu) gpu_buffer_free(w->gpu, &w->vectors);
    if (w->buffers) alloc_free(w->alloc, w->buffers, w->max_buffers * sizeof *w->buffers);
    if (w->layers) alloc_free(w->alloc, w->layers, w->n_layers * sizeof *w->layers);
    if (w->rope_factors) alloc_free(w->alloc, w->rope_factors, w->n_rope_factors * sizeof(float));
    memset(w, 0, sizeof *w);
}

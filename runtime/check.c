#include "check_impl.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "os.h"
#include "repack.h"

static const uint32_t poison = 0x7fc0dead; /* a NaN */

llm_status check_buffer(struct trial *b, uint64_t size, enum gpu_memory memory,
                        struct gpu_buffer **out, struct llm_error *error)
{
    *out = &b->buffers[b->n_buffers];
    TRY_GPU(gpu_buffer_create(b->device, *out, (size + 15) / 16 * 16, memory, &gpu_error_), error);
    b->n_buffers++;
    uint32_t *words = (*out)->map;
    for (uint64_t i = 0; i < (*out)->size / 4; i++) words[i] = poison;
    return LLM_OK;
}

llm_status check_memory(struct trial *b, size_t size, void *out, struct llm_error *error)
{
    void *at = alloc_zero(b->alloc, size, 1);
    if (!at) return error_memory(error, "the check of a kernel", size);
    b->memory[b->n_memory].at = at;
    b->memory[b->n_memory++].size = size;
    memcpy(out, &at, sizeof at);
    return LLM_OK;
}

float check_random(struct trial *b)
{
    b->random ^= b->random << 13; /* xorshift64: Marsaglia 2003 */
    b->random ^= b->random >> 7;
    b->random ^= b->random << 17;
    return (float)((int32_t)(b->random >> 32) / 2147483648.0);
}

llm_status check_floats(struct trial *b, uint32_t n, struct gpu_buffer **out,
                        struct llm_error *error)
{
    TRY(check_buffer(b, n * sizeof(float), GPU_MEMORY_READBACK, out, error));
    float *values = (*out)->map;
    for (uint32_t i = 0; i < n; i++) values[i] = check_random(b);
    return LLM_OK;
}

llm_status check_weight_in(struct trial *b, const struct weight *w, float **values,
                           struct llm_error *error)
{
    const struct quant_info *info = quant_info((uint32_t)w->type);
    const size_t n = (size_t)w->rows * w->cols;
    void *blocks = NULL;
    TRY(check_memory(b, n * sizeof(float), values, error));
    TRY(check_memory(b, n / info->block * info->block_size, &blocks, error));
    for (size_t i = 0; i < n; i++) (*values)[i] = check_random(b);
    quant_encode(w->type, *values, blocks, n);
    quant_decode(w->type, blocks, *values, n);
    repack_tiles(w->type, w->cols, blocks, w->rows, (char *)w->buffer->map + w->offset);
    return LLM_OK;
}

llm_status check_weight(struct trial *b, enum quant_type type, uint32_t rows, uint32_t cols,
                        struct weight *w, float **values, struct llm_error *error)
{
    struct gpu_buffer *buffer;
    TRY(check_buffer(b, repack_size(type, rows, cols), GPU_MEMORY_READBACK, &buffer, error));
    *w = (struct weight){.type = type, .rows = rows, .cols = cols, .buffer = buffer};
    return check_weight_in(b, w, values, error);
}

/* The layouts: shaders/int.glsl, shaders/int8.glsl. */
static void put_block(float *block, const int16_t q[32], const int16_t sums[2], float scale)
{
    for (uint32_t lane = 0; lane < 8; lane++) {
        memcpy(block + lane * 4, q + lane * 4, 8);
        memcpy(block + lane * 4 + 2, &scale, 4);
        memcpy(block + lane * 4 + 3, sums, 4);
    }
}

static void put_block8(float *block, const int16_t q[32], const int16_t sums[2], float scale)
{
    int8_t bytes[32];
    const float first = sums[0], second = sums[1],
                about[] = {scale, scale * first, scale * second, scale * (first + second)};
    for (uint32_t k = 0; k < 32; k++) bytes[k] = (int8_t)q[k];
    memcpy(block, bytes, sizeof bytes);
    memcpy(block + 8, about, sizeof about);
}

void check_round(float *values, uint32_t n, enum values as)
{
    const float largest = as == VALUES_INT8 ? 127 : 255;
    for (uint32_t at = 0; at < n; at += 32) {
        float most = 0, block[32];
        int16_t q[32], sums[2] = {0, 0};
        memcpy(block, values + at, sizeof block);
        for (uint32_t k = 0; k < 32; k++) most = fmaxf(most, fabsf(block[k]));
        for (uint32_t k = 0; k < 32; k++) {
            q[k] = (int16_t)(most > 0 ? lrintf(block[k] * largest / most) : 0);
            sums[k / 16] = (int16_t)(sums[k / 16] + q[k]);
        }
        if (as == VALUES_INT8) put_block8(values + at / 32 * 12, q, sums, most / largest);
        else put_block(values + at, q, sums, most / largest);
    }
}

double check_value(const float *row, enum values values, uint32_t k)
{
    int16_t q[4];
    int8_t bytes[32];
    if (values == VALUES_F32) return (double)row[k];
    if (values == VALUES_INT8) {
        const float *block = row + k / 32 * 12;
        memcpy(bytes, block, sizeof bytes);
        return (double)bytes[k % 32] * (double)block[8];
    }
    memcpy(q, row + k / 4 * 4, sizeof q);
    return (double)q[k % 4] * (double)row[k / 4 * 4 + 2];
}

static uint64_t take(uint64_t *at, uint64_t size)
{
    const uint64_t start = *at;
    *at += (size + 255) / 256 * 256;
    return start;
}

llm_status check_step(struct trial *b, struct step *step, struct llm_error *error)
{
    struct gpu_buffer *buffer;
    uint64_t size = 0;
    step->rows = take(&size, step->max_rows * sizeof(struct step_row));
    step->rope = take(&size, (uint64_t)step->max_rows * step->rope_pairs * 2 * sizeof(float));
    step->pages = take(&size, step->max_pages * sizeof(uint32_t));
    step->outputs = take(&size, step->max_outputs * sizeof(uint32_t));
    step->tops = take(&size, step->max_outputs * sizeof(struct step_top));
    step->attention = take(&size, step_attention_size(step->max_rows));
    TRY(check_buffer(b, size, GPU_MEMORY_STEP, &buffer, error));
    memset(buffer->map, 0, (size_t)buffer->size);
    step->buffer = *buffer;
    return LLM_OK;
}

llm_status check_submit(struct trial *b, struct llm_error *error)
{
    return ops_run(b->device, b->c, error);
}

llm_status check_time(struct trial *b, double *seconds, struct llm_error *error)
{
    uint64_t ticket;
    *seconds = INFINITY;
    for (int i = 0; i < 3; i++) {
        double start = os_clock(), sum = 0, nanoseconds;
        TRY_GPU(gpu_submit(b->device, &b->c, 1, &ticket, &gpu_error_), error);
        TRY_GPU(gpu_wait(b->device, ticket, UINT64_MAX, &gpu_error_), error);
        const double wall = os_clock() - start;
        for (uint32_t k = 0; k < gpu_commands_count(b->c); k++) {
            gpu_commands_time(b->c, k, &nanoseconds);
            sum += nanoseconds * 1e-9;
        }
        *seconds = fmin(*seconds, sum > 0 ? sum : wall);
    }
    return LLM_OK;
}

void check_compare(struct trial *b, double got, double want)
{
    b->error += (got - want) * (got - want);
    b->norm += want * want;
}

llm_status check_open(struct trial *b, struct ops *ops, bool timed, struct llm_error *error)
{
    *b = (struct trial){.ops = ops,
                        .device = ops->kernels->device,
                        .alloc = ops->alloc,
                        .random = 88172645463325252u};
    TRY_GPU(gpu_commands_create(b->device, &b->c, timed ? GPU_COMMANDS_TIMED : 0, &gpu_error_),
            error);
    return LLM_OK;
}

void check_close(struct trial *b)
{
    gpu_commands_free(b->device, b->c);
    for (uint32_t i = 0; i < b->n_buffers; i++) gpu_buffer_free(b->device, &b->buffers[i]);
    for (uint32_t i = 0; i < b->n_memory; i++)
        alloc_free(b->alloc, b->memory[i].at, b->memory[i].size);
}

/* ---- names ---- */

static const char *const kv_names[] = {
    [LLM_KV_F16] = "f16", [LLM_KV_F32] = "f32", [LLM_KV_Q8_0] = "q8_0", [LLM_KV_Q4_0] = "q4_0"};
static const char *const value_names[] = {
    [VALUES_F32] = "f32", [VALUES_INT] = "int", [VALUES_INT8] = "int8"};

enum values check_y_values(const struct check *t)
{
    return t->kind == CHECK_PRODUCT_NORM ? VALUES_F32 : t->out;
}

/* A product as t wants it, of no matrix in particular. */
struct shape {
    struct weight w;
    struct norm norm;
    struct product p;
};

static const struct gpu_buffer some_buffer;

static void shape_of(const struct check *t, struct shape *s)
{
    s->w = (struct weight){.type = t->type, .rows = CHECK_ROWS, .cols = t->cols};
    if (t->bias) s->w.bias.buffer = &some_buffer;
    s->norm = (struct norm){.values = t->out};
    s->p = (struct product){.first = &s->w,
                            .second = t->kind == CHECK_GATED ? &s->w : NULL,
                            .x_values = t->in,
                            .y_values = check_y_values(t),
                            .into = t->into,
                            .activation = &t->activation,
                            .norm = t->kind == CHECK_PRODUCT_NORM ? &s->norm : NULL};
}

uint32_t check_ways(const struct ops *ops, const struct check *t, struct way ways[OPS_WAYS])
{
    struct shape s;
    shape_of(t, &s);
    return ops_ways(ops, &s.p, t->n_rows, ways);
}

llm_status check_choose(struct ops *ops, struct check *t, struct llm_error *error)
{
    struct shape s;
    struct way way;
    shape_of(t, &s);
    return ops_choose(ops, &s.p, t->n_rows, &way, &t->way, error);
}

uint32_t check_cols(const struct ops *ops, const struct weight *w)
{
    const struct weight few = {.type = w->type, .rows = CHECK_ROWS, .cols = 512};
    return ops_pieces(ops, w) == ops_pieces(ops, &few) ? 512 : 2048;
}

static void name_product(const struct ops *ops, const struct check *t, char out[CHOICE_NAME])
{
    struct way ways[OPS_WAYS];
    if (check_ways(ops, t, ways) > t->way)
        kernels_name(ways[t->way].module, ways[t->way].spec, ways[t->way].n_spec, out);
}

/* What it has beyond heads and cache is a letter each. */
static void name_attention(const struct check *t, char out[CHOICE_NAME])
{
    const struct attention_shape *s = &t->shape;
    const struct {
        bool has;
        char letter;
    } extras[] = {
        {t->bias, 'b'},          {t->head_norm, 'n'},   {t->late, 'l'},
        {t->value_norm, 'v'},    {s->window != 0, 'w'}, {s->softcap != 0, 'c'},
        {s->sinks != NULL, 's'}, {s->q_scaled, 't'},    {t->short_context, '1'},
        {t->at_once, 'r'},
    };
    enum { N = sizeof extras / sizeof *extras };
    char letters[N + 1];
    int n = 0;
    for (int i = 0; i < N; i++)
        if (extras[i].has) letters[n++] = extras[i].letter;
    letters[n] = 0;
    char value[16] = "";
    if (s->v_dim != s->head_dim)
        snprintf(value, sizeof value, "%c%" PRIu32, s->latent ? ':' : '/', s->v_dim);
    snprintf(out, CHOICE_NAME, "attention %s %" PRIu32 "%s %" PRIu32 "/%" PRIu32 "%s%s%s",
             kv_names[s->kv], s->head_dim, value, s->n_heads, s->n_kv_heads, t->out ? " int" : "",
             n ? " " : "", letters);
}

void check_name(const struct ops *ops, const struct check *t, char out[CHOICE_NAME])
{
    memset(out, 0, CHOICE_NAME);
    switch (t->kind) {
    case CHECK_PRODUCT:
    case CHECK_GATED:
    case CHECK_PRODUCT_NORM: name_product(ops, t, out); break;
    case CHECK_EMBED:
        snprintf(out, CHOICE_NAME, "embed %s", quant_info((uint32_t)t->type)->name);
        break;
    case CHECK_NORM:
        snprintf(out, CHOICE_NAME, "norm %s%s%s%s", value_names[t->out],
                 t->centered ? " centered" : "", t->bias ? " bias" : "", t->added ? " added" : "");
        break;
    case CHECK_ARGMAX: snprintf(out, CHOICE_NAME, "argmax"); break;
    case CHECK_TOP: snprintf(out, CHOICE_NAME, "top"); break;
    case CHECK_ATTENTION: name_attention(t, out); break;
    case CHECK_ROUTER:
        snprintf(out, CHOICE_NAME,
                 "router %" PRIu32 "/%" PRIu32 " %" PRIu32 " %d %d %d %d x%" PRIu32,
                 t->router.n_used, t->router.n_experts, t->router.n_groups, (int)t->router.gate,
                 t->router.normalise, t->logit_bias + 2 * t->choice_bias + 4 * t->expert_scales,
                 (int)t->router.shared, t->columns);
        break;
    case CHECK_EXPERTS:
        snprintf(out, CHOICE_NAME, "experts %s%s%s %d x%" PRIu32,
                 quant_info((uint32_t)t->type)->name,
                 t->gated        ? " gated"
                 : t->gate_waits ? " up"
                 : t->every      ? " every"
                                 : "",
                 t->bias ? " bias" : "", (int)t->activation.kind, t->columns);
        break;
    case CHECK_COMBINE: snprintf(out, CHOICE_NAME, "combine"); break;
    case CHECK_TAIL:
        snprintf(out, CHOICE_NAME, "tail %s %s %d", quant_info((uint32_t)t->type)->name,
                 value_names[t->in], (int)t->activation.kind);
        break;
    }
}

/* ---- a check ---- */

llm_status check_run(struct ops *ops, const struct check *t, struct verdict *v, double *seconds,
                     struct llm_error *error)
{
    static llm_status (*const checks[])(struct trial *, const struct check *, struct verdict *,
                                        struct llm_error *) = {
        [CHECK_PRODUCT] = check_product,
        [CHECK_GATED] = check_product,
        [CHECK_PRODUCT_NORM] = check_product,
        [CHECK_EMBED] = check_embed,
        [CHECK_NORM] = check_norm,
        [CHECK_ARGMAX] = check_argmax,
        [CHECK_TOP] = check_top,
        [CHECK_ATTENTION] = check_attention,
        [CHECK_ROUTER] = check_router,
        [CHECK_EXPERTS] = check_experts,
        [CHECK_COMBINE] = check_combine,
        [CHECK_TAIL] = check_tail,
    };
    struct trial b;
    struct ops apart = *ops;
    apart.counters = (struct gpu_buffer){0};
    apart.check = NULL;
    apart.require = NULL;
    *v = (struct verdict){.state = CHOICE_UNKNOWN};
    check_name(ops, t, v->name);
    /* With pipelines of its own: llvmpipe finds on disk only what a pipeline compiles first, and
     * the buffers here are of other sizes than a model's, for which it compiles again. */
    TRY(kernels_create(&apart.kernels, ops->kernels->device, ops->alloc, error));
    llm_status status = check_open(&b, &apart, seconds != NULL, error);
    if (status == LLM_OK) status = checks[t->kind](&b, t, v, error);
    if (status == LLM_OK && seconds) status = check_time(&b, seconds, error);
    check_close(&b);
    gpu_buffer_free(ops->kernels->device, &apart.counters);
    kernels_free(apart.kernels);
    TRY(status);
    const double nmse = b.norm > 0 ? b.error / b.norm : b.error;
    v->error = (float)nmse;
    v->state = nmse <= (double)v->bound ? CHOICE_RIGHT : CHOICE_WRONG; /* NaN is wrong */
    return LLM_OK;
}

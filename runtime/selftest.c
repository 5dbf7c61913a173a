#include "selftest.h"

#include <stdio.h>
#include <string.h>

#include "check_impl.h"
#include "os.h"
#include "repack.h"
#include "root.h"

/* What products are timed on: matrices of a model of some billion weights, so many of them that no
 * cache holds them; on a software device as much as it computes in a moment. */
struct sizes {
    uint32_t rows, cols;
    uint64_t memory; /* bytes that the matrices fill at least, where the device has them */
};
static const struct sizes sizes_gpu = {4096, 4096, 256ull << 20};
static const struct sizes sizes_software = {128, 512, 0};
enum { MOST_MATRICES = 32, PATTERN = 0x2c002c00 /* small as any number */ };

struct run {
    struct selftest *s;
    struct ops *ops;
    const struct sizes *sizes;
    struct trial memory; /* of the products that are timed */
    struct gpu_buffer *weights, *x, *y;
    selftest_progress progress;
    void *user;
    double done, total;
};

/* ---- the report ---- */

static llm_status add_row(struct run *r, const char *operation, const struct verdict *v,
                          uint32_t n_rows, struct selftest_row **out, struct llm_error *error)
{
    struct selftest *s = r->s;
    struct selftest_row *grown =
        alloc_grow(s->alloc, s->rows, &s->capacity, s->n + 1, sizeof *grown);
    if (!grown) return error_memory(error, "the report of the self-test", sizeof *grown);
    s->rows = grown;
    *out = &s->rows[s->n++];
    **out = (struct selftest_row){.info = {.size = sizeof(struct llm_kernel_info)}};
    snprintf((*out)->operation, sizeof(*out)->operation, "%s", operation);
    memcpy((*out)->kernel, v->name, sizeof v->name);
    (*out)->info.ok = v->state == CHOICE_RIGHT;
    (*out)->info.rows = n_rows;
    (*out)->info.error = (double)v->error;
    (*out)->info.bound = (double)v->bound;
    if (v->state != CHOICE_RIGHT) s->result.ok = 0;
    return LLM_OK;
}

static void add_time(struct selftest_row *row, double seconds, double bytes, double operations)
{
    row->info.seconds = seconds;
    if (!(seconds > 0)) return;
    row->info.bytes_per_second = bytes / seconds;
    row->info.operations_per_second = operations / seconds;
}

/* ---- products ---- */

static llm_status take_memory(struct run *r, struct llm_error *error)
{
    struct trial *b = &r->memory;
    const struct sizes *z = r->sizes;
    const struct gpu_info *info = r->ops->info;
    uint64_t size = 0;
#define LARGEST(constant, id, name, weights, bytes)                                                \
    if (repack_size(constant, z->rows, z->cols) > size)                                            \
        size = repack_size(constant, z->rows, z->cols);
    QUANT_LIST(LARGEST)
#undef LARGEST
    size += 256;
    if (z->memory > size && z->memory < info->available / 4 && z->memory <= info->allocation_size)
        size = z->memory;
    const struct {
        struct gpu_buffer **buffer;
        uint64_t size;
    } needed[] = {{&r->weights, size},
                  {&r->x, (uint64_t)choices_rows[CHOICE_TIMES - 1] * z->cols * sizeof(float)},
                  {&r->y, (uint64_t)choices_rows[CHOICE_TIMES - 1] * z->rows * sizeof(float)}};
    TRY(check_open(b, r->ops, false, error));
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        *needed[i].buffer = &b->buffers[b->n_buffers];
        TRY_GPU(gpu_buffer_create(b->device, *needed[i].buffer, needed[i].size, GPU_MEMORY_DEVICE,
                                  &gpu_error_),
                error);
        b->n_buffers++;
        gpu_commands_fill(b->c, *needed[i].buffer, 0, needed[i].size, PATTERN);
    }
    return check_submit(b, error);
}

/* One product after the other, each with a matrix of its own as long as there are some. */
static llm_status record_products(struct run *r, struct trial *b, const struct check *t,
                                  uint32_t *n, double *bytes, struct llm_error *error)
{
    const struct sizes *z = r->sizes;
    const uint64_t size = (repack_size(t->type, z->rows, z->cols) + 255) / 256 * 256;
    const uint32_t matrices = t->kind == CHECK_GATED ? 2 : 1;
    uint64_t fit = r->weights->size / size / matrices;
    *n = fit < 1 ? 1 : fit < MOST_MATRICES ? (uint32_t)fit : MOST_MATRICES;
    *bytes = (double)size * matrices;
    for (uint32_t i = 0; i < *n; i++) {
        const uint64_t at = i * matrices * size,
                       other = at + 2 * size > r->weights->size ? 0 : size;
        const struct weight w = {
            .type = t->type, .rows = z->rows, .cols = z->cols, .buffer = r->weights, .offset = at};
        struct weight up = w;
        up.offset += other;
        const struct product p = {.first = &w,
                                  .second = matrices == 2 ? &up : NULL,
                                  .x = r->x,
                                  .y = r->y,
                                  .x_values = t->in,
                                  .y_values = t->out,
                                  .y_stride = z->rows,
                                  .into = t->into,
                                  .activation = &t->activation};
        if (i) gpu_commands_barrier(b->c);
        b->ops->forced = t->way + 1;
        llm_status status = ops_multiply(b->ops, b->c, &p, t->n_rows, error);
        b->ops->forced = 0;
        TRY(status);
    }
    return check_submit(b, error);
}

static llm_status time_way(struct run *r, const struct check *t, struct selftest_row *row,
                           struct verdict *v, uint32_t time, struct llm_error *error)
{
    struct trial b;
    uint32_t n = 1;
    double bytes = 0, seconds = 0;
    llm_status status = check_open(&b, r->ops, true, error);
    if (status == LLM_OK) status = record_products(r, &b, t, &n, &bytes, error);
    if (status == LLM_OK) status = check_time(&b, &seconds, error);
    check_close(&b);
    TRY(status);
    const double matrices = t->kind == CHECK_GATED ? 2 : 1,
                 weights = r->sizes->rows * (double)r->sizes->cols;
    seconds /= n;
    v->seconds[time] = (float)seconds;
    add_time(row, seconds, bytes + 4.0 * t->n_rows * (r->sizes->cols + (double)r->sizes->rows),
             2 * weights * matrices * t->n_rows);
    return LLM_OK;
}

/* What is known of a kernel that this run has met before, else a check. */
static llm_status check_once(struct run *r, const struct check *t, struct verdict *v,
                             struct llm_error *error)
{
    char name[CHOICE_NAME];
    check_name(r->ops, t, name);
    for (size_t i = 0; i < r->s->n; i++) {
        if (strcmp(r->s->rows[i].kernel, name) != 0) continue;
        *v = kernels_verdict(r->ops->kernels, name);
        return LLM_OK;
    }
    return check_run(r->ops, t, v, NULL, error);
}

/* All ways of one product with one number of rows. */
static llm_status try_ways(struct run *r, struct check *t, const char *operation, uint32_t time,
                           struct llm_error *error)
{
    struct way ways[OPS_WAYS];
    const struct weight w = {.type = t->type, .rows = r->sizes->rows, .cols = r->sizes->cols};
    t->cols = check_cols(r->ops, &w);
    const size_t first = r->s->n;
    const uint32_t n = check_ways(r->ops, t, ways);
    for (t->way = 0; t->way < n; t->way++) {
        struct selftest_row *row;
        struct verdict v;
        TRY(check_once(r, t, &v, error));
        TRY(add_row(r, operation, &v, t->n_rows, &row, error));
        if (v.state == CHOICE_RIGHT && t->kind != CHECK_PRODUCT_NORM)
            TRY(time_way(r, t, row, &v, time, error));
        TRY(kernels_judge(r->ops->kernels, &v, error));
    }
    if (check_choose(r->ops, t, NULL) == LLM_OK) r->s->rows[first + t->way].info.chosen = 1;
    return LLM_OK;
}

static llm_status try_product(struct run *r, struct check *t, const char *what,
                              struct llm_error *error)
{
    char operation[24];
    snprintf(operation, sizeof operation, "%s %s%s", quant_info((uint32_t)t->type)->name, what,
             t->in ? " int" : "");
    for (uint32_t time = 0; time < CHOICE_TIMES; time++) {
        t->n_rows = choices_rows[time];
        if (t->kind == CHECK_PRODUCT_NORM && t->n_rows > OPS_NORM_ROWS) break;
        TRY(try_ways(r, t, operation, time, error));
    }
    r->done++;
    return r->progress(r->user, r->done / r->total, error);
}

static const struct {
    const char *what;
    struct check t;
} product_kinds[] = {
    {"product", {.kind = CHECK_PRODUCT}},
    {"product, added", {.kind = CHECK_PRODUCT, .into = INTO_SUM}},
    {"gate, up", {.kind = CHECK_GATED, .activation = {.kind = ACTIVATION_SILU}}},
    {"product, norm", {.kind = CHECK_PRODUCT_NORM, .into = INTO_SUM}}, /* of VALUES_INT alone */
};

/* How many of the kinds there are for x of these values. */
static size_t kinds_of(enum values in)
{
    return sizeof product_kinds / sizeof *product_kinds - (in != VALUES_INT);
}

static enum values rounded_for(const struct run *r, enum quant_type type)
{
    const struct weight w = {.type = type, .rows = r->sizes->rows, .cols = r->sizes->cols};
    return ops_values(r->ops, &w);
}

static llm_status try_products(struct run *r, enum quant_type type, enum values in,
                               struct llm_error *error)
{
    for (size_t i = 0; i < kinds_of(in); i++) {
        struct check t = product_kinds[i].t;
        t.type = type;
        t.in = in;
        t.out = t.kind == CHECK_PRODUCT ? VALUES_F32 : in;
        if (t.kind == CHECK_GATED && r->ops->flat) { /* there the gate waits in y */
            t.kind = CHECK_PRODUCT;
            t.into = INTO_GATE;
        }
        TRY(try_product(r, &t, product_kinds[i].what, error));
    }
    return LLM_OK;
}

/* ---- the others ---- */

static llm_status try_other(struct run *r, const struct check *t, const char *operation,
                            struct llm_error *error)
{
    struct selftest_row *row;
    struct verdict v;
    double seconds;
    TRY(check_run(r->ops, t, &v, &seconds, error));
    TRY(kernels_judge(r->ops->kernels, &v, error));
    TRY(add_row(r, operation, &v, 0, &row, error));
    add_time(row, seconds, 0, 0);
    row->info.chosen = row->info.ok;
    return r->progress(r->user, r->done / r->total, error);
}

static llm_status try_norms(struct run *r, struct llm_error *error)
{
    const struct check norms[] = {
        {.kind = CHECK_NORM},
        {.kind = CHECK_NORM, .added = true},
        {.kind = CHECK_NORM, .centered = true, .bias = true},
        {.kind = CHECK_NORM, .out = r->ops->integers},
        {.kind = CHECK_NORM, .out = r->ops->integers, .centered = true, .bias = true},
    };
    const size_t n = sizeof norms / sizeof *norms - (r->ops->integers ? 0 : 2);
    for (size_t i = 0; i < n; i++) TRY(try_other(r, &norms[i], "norm", error));
    return LLM_OK;
}

/* What some models' attention has beyond the plain one. */
static llm_status try_extras(struct run *r, struct llm_error *error)
{
    static const struct gpu_range some_sinks;
    const struct attention_shape plain = {.n_heads = 6,
                                          .n_kv_heads = 2,
                                          .head_dim = 64,
                                          .v_dim = 64,
                                          .rope_dim = 64,
                                          .rope_neox = true,
                                          .scale = 0.125f};
    struct check t = {.kind = CHECK_ATTENTION, .shape = plain};
    t.shape.window = 100;
    TRY(try_other(r, &t, "attention, window", error));
    t.shape.softcap = 0.25f;
    TRY(try_other(r, &t, "attention, soft cap", error));
    t.shape.softcap = 0;
    t.shape.sinks = &some_sinks;
    TRY(try_other(r, &t, "attention, sinks", error));
    t.shape = plain;
    t.shape.q_scaled = t.head_norm = t.late = true;
    TRY(try_other(r, &t, "attention, late gains", error));
    t.shape.q_scaled = t.late = false;
    t.value_norm = true;
    TRY(try_other(r, &t, "attention, norms", error));
    t = (struct check){.kind = CHECK_ATTENTION,
                       .shape = {.n_heads = 16,
                                 .n_kv_heads = 1,
                                 .head_dim = 576,
                                 .v_dim = 512,
                                 .latent = true,
                                 .rope_at = 512,
                                 .rope_dim = 64,
                                 .scale = 0.125f}};
    return try_other(r, &t, "attention, latent", error);
}

static llm_status try_routers(struct run *r, struct llm_error *error)
{
    const struct check routers[] = {
        {.router = {.n_experts = 8, .n_used = 2, .normalise = true, .scale = 1}},
        {.router = {.n_experts = 60, .n_used = 4, .scale = 1, .shared = SHARED_GATED}},
        {.router = {32, 4, 0, 0, ROUTER_SOFTMAX_CHOSEN, false, 1, SHARED_NONE}, .logit_bias = true},
        {.router = {256, 8, 8, 4, ROUTER_SIGMOID, true, 2.5f, SHARED_PLAIN}, .choice_bias = true},
        {.router = {.n_experts = 128, .n_used = 8, .normalise = true, .scale = 1},
         .expert_scales = true},
    };
    for (size_t i = 0; i < sizeof routers / sizeof *routers; i++) {
        struct check t = routers[i];
        t.kind = CHECK_ROUTER;
        for (t.n_rows = 1; t.n_rows <= 64; t.n_rows *= 64) {
            const struct pairs p = {
                .n_rows = t.n_rows, .n_experts = t.router.n_experts, .n_used = t.router.n_used};
            t.columns = ops_experts_columns(r->ops, &p);
            TRY(try_other(r, &t, "router", error));
        }
    }
    return try_other(r, &(struct check){.kind = CHECK_COMBINE}, "combine", error);
}

/* What follows attention, where one dispatch does it all; rounded as `in` says, or as precision
 * "high" has it. */
static llm_status try_tail(struct run *r, enum quant_type type, enum values in,
                           struct llm_error *error)
{
    const enum values integers = r->ops->integers;
    const struct check t = {
        .kind = CHECK_TAIL, .type = type, .in = in, .activation = {.kind = ACTIVATION_SILU}};
    if (!ops_has_tail(r->ops, type, in)) return LLM_OK;
    r->ops->integers = in;
    const llm_status status = try_other(r, &t, "tail of a layer", error);
    r->ops->integers = integers;
    return status;
}

static llm_status try_format(struct run *r, enum quant_type type, struct llm_error *error)
{
    const enum values rounded = rounded_for(r, type);
    TRY(try_products(r, type, VALUES_F32, error));
    TRY(try_tail(r, type, VALUES_F32, error));
    if (!rounded) return LLM_OK;
    TRY(try_products(r, type, rounded, error));
    return try_tail(r, type, rounded, error);
}

/* Alone, and as many pairs as are taken together. */
static llm_status try_experts(struct run *r, enum quant_type type, struct llm_error *error)
{
    const uint32_t most = r->ops->profile->mat_columns / 2;
    char operation[24];
    snprintf(operation, sizeof operation, "%s experts", quant_info((uint32_t)type)->name);
    for (uint32_t columns = 0; columns <= most; columns += most) {
        struct check t = {.kind = CHECK_EXPERTS, .type = type, .columns = columns};
        TRY(try_other(r, &t, operation, error));
        t.every = true;
        TRY(try_other(r, &t, operation, error));
        t.every = false;
        t.gated = true;
        t.activation.kind = ACTIVATION_SILU;
        TRY(try_other(r, &t, operation, error));
    }
    return LLM_OK;
}

static llm_status try_at_once(struct run *r, struct check t, struct llm_error *error)
{
    if (!ops_attends_at_once(r->ops, &t.shape, 1)) return LLM_OK;
    t.at_once = true;
    t.short_context = false;
    return try_other(r, &t, "attention, a row", error);
}

static llm_status try_attention(struct run *r, uint32_t head_dim, uint32_t kv,
                                struct llm_error *error)
{
    struct check t = {.kind = CHECK_ATTENTION,
                      .shape = {.n_heads = 6,
                                .n_kv_heads = 2,
                                .head_dim = head_dim,
                                .v_dim = head_dim,
                                .rope_dim = head_dim,
                                .rope_neox = kv == LLM_KV_F16,
                                .kv = kv,
                                .scale = 0.125f}};
    for (int rounded = 0; rounded < 1 + (r->ops->integers != VALUES_F32); rounded++) {
        t.out = rounded ? r->ops->integers : VALUES_F32;
        /* Others write no result of a single group. */
        const bool both = t.out == VALUES_F32 && kv <= LLM_KV_F32;
        for (int i = 0; i < 1 + both; i++) {
            t.short_context = i;
            t.bias = t.head_norm = kv == LLM_KV_F16 && i;
            TRY(try_other(r, &t, "attention", error));
        }
        TRY(try_at_once(r, t, error));
    }
    return LLM_OK;
}

static llm_status try_all(struct run *r, struct llm_error *error)
{
    static const enum quant_type types[] = {
#define TYPE(constant, id, name, weights, bytes) constant,
        QUANT_LIST(TYPE)
#undef TYPE
    };
    const size_t n_types = sizeof types / sizeof *types;
    for (size_t i = 0; i < n_types; i++) {
        const enum values rounded = rounded_for(r, types[i]);
        r->total += (double)(kinds_of(VALUES_F32) + (rounded ? kinds_of(rounded) : 0));
    }
    TRY(try_norms(r, error));
    TRY(try_other(r, &(struct check){.kind = CHECK_ARGMAX}, "argmax", error));
    TRY(try_other(r, &(struct check){.kind = CHECK_TOP}, "top", error));
    for (uint32_t head_dim = 64; head_dim <= 128; head_dim *= 2) {
        for (uint32_t kv = LLM_KV_F16; kv <= (head_dim == 64 ? LLM_KV_Q4_0 : LLM_KV_F32); kv++)
            TRY(try_attention(r, head_dim, kv, error));
    }
    TRY(try_extras(r, error));
    TRY(try_routers(r, error));
    for (size_t i = 0; i < n_types; i++) {
        if (r->s->only && strcmp(r->s->only, quant_info((uint32_t)types[i])->name) != 0) continue;
        const struct check embed = {.kind = CHECK_EMBED, .type = types[i], .cols = 512};
        TRY(try_other(r, &embed, "embed", error));
        TRY(try_experts(r, types[i], error));
        TRY(try_format(r, types[i], error));
    }
    return LLM_OK;
}

/* ---- the whole ---- */

static llm_status finish(struct selftest *s, const struct device *d, double start,
                         struct llm_error *error)
{
    s->infos = alloc_zero(s->alloc, s->n, sizeof *s->infos);
    if (!s->infos) return error_memory(error, "the report of the self-test", s->n);
    for (size_t i = 0; i < s->n; i++) {
        s->infos[i] = s->rows[i].info;
        s->infos[i].operation = s->rows[i].operation;
        s->infos[i].kernel = s->rows[i].kernel;
    }
    s->result.device.size = sizeof s->result.device;
    device_info_fill(NULL, gpu_device_info(d->gpu), d->index, &s->result.device);
    s->result.seconds = os_clock() - start;
    s->result.n_kernels = s->n;
    s->result.kernels = s->infos;
    return LLM_OK;
}

llm_status selftest_run(struct selftest *s, struct device *d, selftest_progress progress,
                        void *user, struct llm_error *error)
{
    const double start = os_clock();
    struct run r = {.s = s, .progress = progress, .user = user};
    s->alloc = d->kernels->alloc;
    s->result.size = sizeof s->result;
    s->result.ok = 1;
    TRY(ops_create(&r.ops, d->kernels, false, false, s->alloc, error));
    r.sizes = r.ops->info->software ? &sizes_software : &sizes_gpu;
    llm_status status = take_memory(&r, error);
    if (status == LLM_OK) status = try_all(&r, error);
    check_close(&r.memory);
    ops_free(r.ops);
    TRY(status);
    device_save_cache(d);
    return finish(s, d, start, error);
}

void selftest_free(struct selftest *s)
{
    alloc_free(s->alloc, s->rows, s->capacity * sizeof *s->rows);
    alloc_free(s->alloc, s->infos, s->n * sizeof *s->infos);
    *s = (struct selftest){0};
}

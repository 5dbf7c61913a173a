#include "scene.h"

#include <math.h>
#include <stdlib.h>

const double scene_bounds[] = {1e-6, 1e-9, 1e-4, 2e-2};

static uint32_t dim_of(const struct attention_shape *s, bool is_v)
{
    return is_v ? s->v_dim : s->head_dim;
}

/* A number as the cache is to hold it, for each page, KV head, position and dimension. */
float *scene_exact_at(const struct attention_shape *s, const float *exact, bool is_v, uint32_t page,
                      uint32_t head, uint32_t position)
{
    size_t i = ((size_t)page * s->n_kv_heads + head) * 64 + position % 64;
    return (float *)exact + i * dim_of(s, is_v);
}

/* Where a KV head's part of a page begins. */
static char *head_of(const struct attention_shape *s, const void *pages, bool is_v, uint32_t page,
                     uint32_t head)
{
    const uint64_t size = is_v ? ops_v_page_size(s) : ops_k_page_size(s);
    return (char *)pages + (page * s->n_kv_heads + head) * size / s->n_kv_heads;
}

static size_t word_of(const struct attention_shape *s, bool is_v, uint32_t position, uint32_t d,
                      uint32_t wide)
{
    return is_v ? position % 64 * (s->v_dim / wide) + d / wide : d / wide * 64 + position % 64;
}

static uint16_t *scale_at(const struct attention_shape *s, bool is_v, char *at, uint32_t position,
                          uint32_t d)
{
    uint32_t values = s->kv == LLM_KV_Q8_0 ? 1 : 2;
    uint16_t *scales = (uint16_t *)(at + dim_of(s, is_v) / values * 64);
    return scales + (d / 64 * 64 + position % 64) * 2 + d / 32 % 2;
}

float scene_get(const struct attention_shape *s, const void *pages, bool is_v, uint32_t page,
                uint32_t head, uint32_t position, uint32_t d)
{
    static const uint32_t wides[] = {8, 4, 16, 32};
    is_v = is_v && !s->latent;
    char *at = head_of(s, pages, is_v, page, head);
    const uint32_t wide = wides[s->kv];
    const size_t word = word_of(s, is_v, position, d, wide);
    if (s->kv == LLM_KV_F32) return ((const float *)at)[word * 4 + d % 4];
    if (s->kv == LLM_KV_F16) return quant_f16(((const uint16_t *)at)[word * 8 + d % 8]);
    const float scale = quant_f16(*scale_at(s, is_v, at, position, d));
    if (s->kv == LLM_KV_Q8_0) return scale * (float)((const int8_t *)at)[word * 16 + d % 16];
    const int byte = ((const uint8_t *)at)[word * 16 + d % 32 / 2];
    return scale * (float)((d % 2 ? byte >> 4 : byte & 15) - 8);
}

/* A head's vector, rounded as the cache's type has it. */
void scene_put(const struct attention_shape *s, void *pages, bool is_v, uint32_t page,
               uint32_t head, uint32_t position, const float *x)
{
    char *at = head_of(s, pages, is_v, page, head);
    for (uint32_t d = 0; d < dim_of(s, is_v); d++) {
        if (s->kv == LLM_KV_F32) {
            ((float *)at)[word_of(s, is_v, position, d, 4) * 4 + d % 4] = x[d];
            continue;
        }
        if (s->kv == LLM_KV_F16) {
            ((uint16_t *)at)[word_of(s, is_v, position, d, 8) * 8 + d % 8] = quant_to_f16(x[d]);
            continue;
        }
        float most = 0;
        for (uint32_t i = d / 32 * 32; i < d / 32 * 32 + 32; i++)
            most = fabsf(x[i]) > fabsf(most) ? x[i] : most;
        const bool bytes = s->kv == LLM_KV_Q8_0;
        const uint16_t half = quant_to_f16(bytes ? fabsf(most) / 127 : most / -8);
        *scale_at(s, is_v, at, position, d) = half;
        const float scale = quant_f16(half);
        const long low = bytes ? -127 : -8, high = bytes ? 127 : 7;
        long q = scale == 0 ? 0 : lrintf(x[d] / scale);
        q = q < low ? low : q > high ? high : q;
        if (bytes) {
            ((int8_t *)at)[word_of(s, is_v, position, d, 16) * 16 + d % 16] = (int8_t)q;
            continue;
        }
        uint8_t *byte = (uint8_t *)at + word_of(s, is_v, position, d, 32) * 16 + d % 32 / 2;
        *byte = (uint8_t)(d % 2 ? (*byte & 15) | (q + 8) << 4 : (*byte & 240) | (q + 8));
    }
}

struct scene scene_make(struct bench *b, const struct setting *t)
{
    const struct attention_shape *s = &t->s;
    struct scene a = {.pages = 0};
    uint32_t most = 0, tables = 0;
    for (uint32_t i = 0; i < t->rows_used; i++)
        most = t->positions[i] > most ? t->positions[i] : most;
    most += t->ahead;
    uint32_t n_pages = most / 64 + 1;
    tables = t->one_sequence ? 1 : t->rows_used;
    a.pages = n_pages * tables;
    a.max_groups = most / ATTENTION_GROUP + 1;
    a.qkv = bench_buffer(b, (uint64_t)t->n_rows * s->stride * 4);
    a.k = bench_buffer(b, a.pages * ops_k_page_size(s));
    if (!s->latent) a.v = bench_buffer(b, a.pages * ops_v_page_size(s));
    size_t values = (size_t)a.pages * s->n_kv_heads * 64;
    a.exact_k = calloc(values * s->head_dim, sizeof *a.exact_k);
    a.exact_v = calloc(values * s->v_dim, sizeof *a.exact_v);
    assert_true(a.exact_k && a.exact_v);
    a.partial =
        bench_buffer(b, ops_partial_size(s, t->n_rows, (a.max_groups + 1) * ATTENTION_GROUP));
    a.out = bench_buffer(b, (uint64_t)t->n_rows * ops_stride(s->n_heads * s->v_dim) * 4);
    a.step = bench_step(b, t->n_rows, 1, a.pages, s->rope_dim / 2 + 2);
    float *x = a.qkv.map;
    for (uint32_t i = 0; i < t->n_rows * s->stride; i++) x[i] = t->size * bench_uniform();
    for (uint32_t i = 0; i < a.pages; i++)
        a.step.pages[i] = (i * 5 + 3) % a.pages; /* replaced unless 5 and pages are coprime */
    if (a.pages % 5 == 0)
        for (uint32_t i = 0; i < a.pages; i++) a.step.pages[i] = a.pages - 1 - i;
    for (uint32_t i = 0; i < t->n_rows; i++) {
        bool used = i < t->rows_used;
        a.step.rows[i] = (struct step_row){0, used ? t->positions[i] : STEP_NO_ROW,
                                           used && !t->one_sequence ? i * n_pages : 0,
                                           t->positions[used ? i : 0] + t->ahead};
        for (uint32_t p = 0; p < s->rope_dim / 2 && used; p++) {
            double angle = t->positions[i] * pow(10000.0, -2.0 * p / s->rope_dim);
            float *turn = a.step.rope + 2 * ((size_t)i * (s->rope_dim / 2 + 2) + p);
            turn[0] = (float)cos(angle);
            turn[1] = (float)sin(angle);
        }
    }
    a.sinks = bench_buffer(b, s->n_heads * sizeof(float));
    float *sinks = a.sinks.map;
    for (uint32_t h = 0; h < s->n_heads; h++) sinks[h] = h ? 3 * bench_uniform() : -1e30f;
    return a;
}

void scene_drop(struct bench *b, struct scene *a)
{
    bench_free(b, &a->qkv);
    bench_free(b, &a->k);
    if (a->v.size) bench_free(b, &a->v);
    bench_free(b, &a->partial);
    bench_free(b, &a->out);
    bench_free(b, &a->sinks);
    free(a->exact_k);
    free(a->exact_v);
    bench_free(b, &a->step.step.buffer);
}

void scene_turn(const struct attention_shape *s, uint32_t position, const float *in, double *out)
{
    for (uint32_t d = 0; d < s->head_dim; d++) out[d] = in[d];
    for (uint32_t p = 0; p < s->rope_dim / 2; p++) {
        double angle = position * pow(10000.0, -2.0 * p / s->rope_dim);
        uint32_t x = s->rope_at + (s->rope_neox ? p : 2 * p),
                 y = x + (s->rope_neox ? s->rope_dim / 2 : 1);
        out[x] = in[x] * cos(angle) - in[y] * sin(angle);
        out[y] = in[x] * sin(angle) + in[y] * cos(angle);
    }
}

uint32_t scene_first_seen(const struct setting *t, uint32_t position)
{
    uint32_t window = t->s.window;
    return window && position >= window ? position - window + 1 : 0;
}

uint32_t scene_last_seen(const struct setting *t, uint32_t position)
{
    uint32_t window = t->s.window;
    return position + (window && t->ahead >= window ? window - 1 : t->ahead);
}

void scene_fill(const struct setting *t, struct scene *a)
{
    const struct attention_shape *s = &t->s;
    for (uint32_t i = 0; i < (t->one_sequence ? 1 : t->rows_used); i++) {
        uint32_t own = t->positions[i];
        for (uint32_t p = scene_first_seen(t, own) / 64 * 64; p <= scene_last_seen(t, own); p++) {
            if (p == own) continue;
            uint32_t page = a->step.pages[a->step.rows[i].table + p / 64];
            for (uint32_t h = 0; h < s->n_kv_heads; h++) {
                float *k = scene_exact_at(s, a->exact_k, false, page, h, p),
                      *v = scene_exact_at(s, a->exact_v, true, page, h, p);
                for (uint32_t d = 0; d < s->head_dim; d++) k[d] = t->size * bench_uniform();
                for (uint32_t d = 0; d < s->v_dim; d++) v[d] = s->latent ? k[d] : bench_uniform();
                scene_put(s, a->k.map, false, page, h, p, k);
                if (!s->latent) scene_put(s, a->v.map, true, page, h, p, v);
            }
        }
    }
}

struct gpu_range scene_k_range(const struct attention_shape *s, const struct scene *a)
{
    return (struct gpu_range){&a->k, 0, a->pages * ops_k_page_size(s)};
}

struct gpu_range scene_v_range(const struct attention_shape *s, const struct scene *a)
{
    if (s->latent) return scene_k_range(s, a);
    return (struct gpu_range){&a->v, 0, a->pages * ops_v_page_size(s)};
}

struct attention_shape scene_shape(uint32_t heads, uint32_t kv_heads, uint32_t dim, uint32_t rope,
                                   bool neox, uint32_t kv)
{
    uint32_t q = 4, k = q + heads * dim + 8, v = k + kv_heads * dim;
    return (struct attention_shape){
        .n_heads = heads,
        .n_kv_heads = kv_heads,
        .head_dim = dim,
        .v_dim = dim,
        .rope_dim = rope,
        .rope_neox = neox,
        .kv = kv,
        .scale = (float)(1 / sqrt(dim)),
        .stride = (v + kv_heads * dim + 31) / 32 * 32,
        .q = q,
        .k = k,
        .v = v,
    };
}

struct attention_shape scene_uneven(uint32_t heads, uint32_t kv_heads, uint32_t dim, uint32_t v_dim,
                                    bool latent, uint32_t rope, uint32_t kv)
{
    struct attention_shape s = scene_shape(heads, kv_heads, dim, rope, true, kv);
    s.v_dim = v_dim;
    s.latent = latent;
    s.rope_at = (dim - rope) / 4 * 4;
    s.stride = ops_stride(s.v + (latent ? 0 : kv_heads * v_dim));
    return s;
}

struct attention_shape scene_apart(struct attention_shape s)
{
    s.turned = s.stride + 12;
    s.turned_each = s.rope_dim + 20;
    s.stride = ops_stride(s.turned + s.n_heads * s.turned_each);
    return s;
}

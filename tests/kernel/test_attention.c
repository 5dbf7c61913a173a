/* Rotation, cache and attention against double precision. Every row is a sequence of its own, or
 * all rows are one. */
#include "bench.h"
#include "ops_impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 576 }; /* dimensions of a head */

struct setting {
    struct attention_shape s;
    uint32_t n_rows, rows_used;
    uint32_t positions[8]; /* of the rows used */
    bool one_sequence;     /* all rows share one table */
    float size;            /* of q and k: 1, or what makes logits large */
    double bound;          /* of the NMSE, 0: the usual one */
    uint32_t ahead;        /* rows see so many positions behind their own, too */
    bool sinks;
};

struct attention {
    struct gpu_buffer qkv, k, v, partial, out, sinks;
    struct gpu_range sinks_range;
    struct bench_step step;
    float *exact_k, *exact_v; /* what the cache was given */
    uint32_t pages, max_groups;
};

/* The NMSE of what a cache holds, by LLM_KV_..., and of the attention over it. */
static const double kv_bounds[] = {1e-6, 1e-9, 1e-4, 2e-2};

static uint32_t dim_of(const struct attention_shape *s, bool is_v)
{
    return is_v ? s->v_dim : s->head_dim;
}

/* A number as the cache is to hold it, for each page, KV head, position and dimension. */
static float *exact_at(const struct attention_shape *s, const float *exact, bool is_v,
                       uint32_t page, uint32_t head, uint32_t position)
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

static float get(const struct attention_shape *s, const void *pages, bool is_v, uint32_t page,
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
static void put(const struct attention_shape *s, void *pages, bool is_v, uint32_t page,
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

static struct attention make(struct bench *b, const struct setting *t)
{
    const struct attention_shape *s = &t->s;
    struct attention a = {.pages = 0};
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

static void drop(struct bench *b, struct attention *a)
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

/* A head's vector turned in double. */
static void turn(const struct attention_shape *s, uint32_t position, const float *in, double *out)
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

static uint32_t first_seen(const struct setting *t, uint32_t position)
{
    uint32_t window = t->s.window;
    return window && position >= window ? position - window + 1 : 0;
}

static uint32_t last_seen(const struct setting *t, uint32_t position)
{
    uint32_t window = t->s.window;
    return position + (window && t->ahead >= window ? window - 1 : t->ahead);
}

/* Fills the cache with what each row sees, but for its own place, and all else of the first piece.
 * The rest is left poisoned. */
static void fill(const struct setting *t, struct attention *a)
{
    const struct attention_shape *s = &t->s;
    for (uint32_t i = 0; i < (t->one_sequence ? 1 : t->rows_used); i++) {
        uint32_t own = t->positions[i];
        for (uint32_t p = first_seen(t, own) / 64 * 64; p <= last_seen(t, own); p++) {
            if (p == own) continue;
            uint32_t page = a->step.pages[a->step.rows[i].table + p / 64];
            for (uint32_t h = 0; h < s->n_kv_heads; h++) {
                float *k = exact_at(s, a->exact_k, false, page, h, p),
                      *v = exact_at(s, a->exact_v, true, page, h, p);
                for (uint32_t d = 0; d < s->head_dim; d++) k[d] = t->size * bench_uniform();
                for (uint32_t d = 0; d < s->v_dim; d++) v[d] = s->latent ? k[d] : bench_uniform();
                put(s, a->k.map, false, page, h, p, k);
                if (!s->latent) put(s, a->v.map, true, page, h, p, v);
            }
        }
    }
}

/* Where the device holds K or V. */
static const void *held(const struct attention *a, bool is_v)
{
    return is_v && a->v.size ? a->v.map : a->k.map;
}

/* Attention of one head of one row in double, over the cache as the device holds it, or over what
 * it was given. */
static void exact(const struct setting *t, const struct attention *a, bool given, uint32_t row,
                  uint32_t head, double *out)
{
    const struct attention_shape *s = &t->s;
    uint32_t from = first_seen(t, t->positions[row]), n = last_seen(t, t->positions[row]) + 1,
             kv = head / (s->n_heads / s->n_kv_heads);
    const uint32_t *table = a->step.pages + a->step.rows[row].table;
    const float *q =
        (const float *)a->qkv.map + (size_t)row * s->stride + s->q + head * s->head_dim;
    double *scores = malloc(n * sizeof *scores), most = -HUGE_VAL, sum = 0;
    assert_non_null(scores);
    for (uint32_t p = from; p < n; p++) {
        scores[p] = 0;
        for (uint32_t d = 0; d < s->head_dim; d++)
            scores[p] +=
                (double)q[d] * (given ? exact_at(s, a->exact_k, false, table[p / 64], kv, p)[d]
                                      : get(s, a->k.map, false, table[p / 64], kv, p, d));
        scores[p] *= s->scale;
        if (s->softcap > 0) scores[p] = s->softcap * tanh(scores[p] / s->softcap);
        if (scores[p] > most) most = scores[p];
    }
    if (t->sinks) {
        const double sink = ((const float *)a->sinks.map)[head];
        if (sink > most) most = sink;
        sum = exp(sink - most);
    }
    for (uint32_t d = 0; d < s->v_dim; d++) out[d] = 0;
    for (uint32_t p = from; p < n; p++) {
        double w = exp(scores[p] - most);
        sum += w;
        for (uint32_t d = 0; d < s->v_dim; d++)
            out[d] += w * (given ? exact_at(s, a->exact_v, true, table[p / 64], kv, p)[d]
                                 : get(s, held(a, true), true, table[p / 64], kv, p, d));
    }
    for (uint32_t d = 0; d < s->v_dim; d++) out[d] /= sum;
    free(scores);
}

/* A head of q before anything turns. */
static const float *q_before(const struct attention_shape *s, const float *row, uint32_t h,
                             float whole[MOST])
{
    memcpy(whole, row + s->q + h * s->head_dim, s->head_dim * sizeof *whole);
    if (s->turned_each)
        memcpy(whole + s->rope_at, row + s->turned + h * s->turned_each,
               s->rope_dim * sizeof *whole);
    return whole;
}

/* q, k and v of every row as they must be after rope_store. */
static void check_stored(const struct setting *t, const struct attention *a, const float *before)
{
    const struct attention_shape *s = &t->s;
    double want[MOST], bound = s->kv == LLM_KV_F32 ? 1e-12 : kv_bounds[s->kv];
    float got[MOST];
    for (uint32_t i = 0; i < t->rows_used; i++) {
        const float *was = before + (size_t)i * s->stride,
                    *now = (const float *)a->qkv.map + (size_t)i * s->stride;
        uint32_t p = t->positions[i], page = a->step.pages[a->step.rows[i].table + p / 64];
        for (uint32_t h = 0; h < s->n_heads; h++) {
            turn(s, p, q_before(s, was, h, got), want);
            assert_true(bench_nmse(now + s->q + h * s->head_dim, want, s->head_dim) <= 1e-12);
        }
        for (uint32_t h = 0; h < s->n_kv_heads; h++) {
            turn(s, p, was + s->k + h * s->head_dim, want);
            float *k = exact_at(s, a->exact_k, false, page, h, p),
                  *v = exact_at(s, a->exact_v, true, page, h, p);
            for (uint32_t d = 0; d < s->head_dim; d++) {
                got[d] = get(s, a->k.map, false, page, h, p, d);
                k[d] = (float)want[d];
            }
            assert_true(bench_nmse(got, want, s->head_dim) <= bound);
            if (s->latent) {
                memcpy(v, k, s->v_dim * sizeof *v);
                continue;
            }
            /* V is not turned: exactly what is made of it here. */
            for (uint32_t d = 0; d < s->v_dim; d++) got[d] = get(s, a->v.map, true, page, h, p, d);
            memcpy(v, was + s->v + h * s->v_dim, s->v_dim * sizeof *v);
            put(s, a->v.map, true, page, h, p, v);
            for (uint32_t d = 0; d < s->v_dim; d++)
                assert_true(got[d] == get(s, a->v.map, true, page, h, p, d));
        }
    }
}

static struct gpu_range k_range(const struct attention_shape *s, const struct attention *a)
{
    return (struct gpu_range){&a->k, 0, a->pages * ops_k_page_size(s)};
}

static struct gpu_range v_range(const struct attention_shape *s, const struct attention *a)
{
    if (s->latent) return k_range(s, a);
    return (struct gpu_range){&a->v, 0, a->pages * ops_v_page_size(s)};
}

/* n_rows of t's rows, with room for so many groups. */
static void record(struct bench *b, const struct setting *t, struct attention *a,
                   uint32_t max_groups, uint32_t n_rows)
{
    struct llm_error error = {0};
    ops_step_end(b->ops, &a->step.step, ops_attention_columns(b->ops, &t->s), n_rows);
    struct attention_shape s = t->s;
    a->sinks_range = (struct gpu_range){&a->sinks, 0, s.n_heads * sizeof(float)};
    s.sinks = t->sinks ? &a->sinks_range : NULL;
    struct gpu_commands *c = bench_begin(b);
    const struct gpu_range k = k_range(&t->s, a), v = v_range(&t->s, a);
    bench_ok(ops_attention(b->ops, c, &s, &a->step.step, &a->qkv, &k, &v, &a->partial, &a->out,
                           VALUES_F32, max_groups, n_rows, &error),
             &error);
    bench_run(b, c);
}

/* Each row gives the bits that it gives together with those that follow it. */
static void check_alone(struct bench *b, const struct setting *t, struct attention *a,
                        const float *together)
{
    const size_t stride = ops_stride(t->s.n_heads * t->s.v_dim);
    struct step_row all[8];
    memcpy(all, a->step.rows, t->n_rows * sizeof *all);
    for (uint32_t i = 0; i < t->rows_used; i++) {
        for (uint32_t k = 0; k < t->n_rows; k++)
            if (k != i) a->step.rows[k].position = STEP_NO_ROW;
        bench_poison((float *)a->out.map + i * stride, stride * sizeof(float));
        record(b, t, a, a->max_groups, t->n_rows);
        assert_memory_equal((const float *)a->out.map + i * stride, together + i * stride,
                            t->s.n_heads * t->s.v_dim * sizeof(float));
        memcpy(a->step.rows, all, t->n_rows * sizeof *all);
    }
}

/* ---- one row at once ---- */

/* Row i becomes the first one. */
static void take_row(const struct setting *t, struct attention *a, uint32_t i)
{
    const size_t turns = 2 * ((size_t)t->s.rope_dim / 2 + 2);
    memmove(a->step.rope, a->step.rope + i * turns, turns * sizeof(float));
    a->step.rows[0] = a->step.rows[i];
}

/* As its products leave it: q, k and v as they were, and nothing of its own in the cache yet. */
static void reset_row(const struct setting *t, struct attention *a, const float *qkv)
{
    const struct attention_shape *s = &t->s;
    const uint32_t position = a->step.rows[0].position,
                   page = a->step.pages[a->step.rows[0].table + position / 64];
    float nothing[MOST];
    for (uint32_t d = 0; d < MOST; d++) nothing[d] = NAN;
    memcpy(a->qkv.map, qkv, s->stride * sizeof *qkv);
    for (uint32_t h = 0; h < s->n_kv_heads; h++) {
        put(s, a->k.map, false, page, h, position, nothing);
        if (!s->latent) put(s, a->v.map, true, page, h, position, nothing);
    }
    bench_poison(a->out.map, ops_stride(s->n_heads * s->v_dim) * sizeof(float));
}

/* ops_attend gives the bits that rope_store and attention give, in the cache, too; how many
 * dispatches it took. */
static uint32_t check_at_once(struct bench *b, const struct setting *t, struct attention *a,
                              const struct head_terms *terms, enum values values, const float *qkv)
{
    struct attention_shape s = t->s;
    struct llm_error error = {0};
    const struct gpu_range k = k_range(&s, a), v = v_range(&s, a);
    a->sinks_range = (struct gpu_range){&a->sinks, 0, s.n_heads * sizeof(float)};
    s.sinks = t->sinks ? &a->sinks_range : NULL;
    const struct step *step = &a->step.step;
    struct gpu_buffer *const written[] = {&a->k, s.latent ? &a->k : &a->v, &a->out};
    void *want[3];
    reset_row(t, a, qkv);
    ops_step_end(b->ops, step, ops_attention_columns(b->ops, &s), 1);
    struct gpu_commands *c = bench_begin(b);
    bench_ok(ops_rope_store(b->ops, c, &s, terms, step, &a->qkv, &k, &v, 1, &error), &error);
    gpu_commands_barrier(c);
    bench_ok(ops_attention(b->ops, c, &s, step, &a->qkv, &k, &v, &a->partial, &a->out, values,
                           a->max_groups, 1, &error),
             &error);
    bench_run(b, c);
    for (int w = 0; w < 3; w++) {
        assert_non_null(want[w] = malloc(written[w]->size));
        memcpy(want[w], written[w]->map, written[w]->size);
    }
    reset_row(t, a, qkv);
    c = bench_begin(b);
    bench_ok(ops_attend(b->ops, c, &s, terms, step, &a->qkv, &k, &v, &a->partial, &a->out, values,
                        a->max_groups, 1, &error),
             &error);
    const uint32_t n = gpu_commands_count(c);
    bench_run(b, c);
    for (int w = 0; w < 3; w++) {
        assert_memory_equal(written[w]->map, want[w], written[w]->size);
        free(want[w]);
    }
    return n;
}

static void try_attention(struct bench *b, const struct setting *t)
{
    const struct attention_shape *s = &t->s;
    struct llm_error error = {0};
    struct attention a = make(b, t);
    size_t qkv_size = (size_t)t->n_rows * s->stride * 4,
           out_size = (size_t)t->n_rows * ops_stride(s->n_heads * s->v_dim) * 4;
    float *before = malloc(qkv_size), *first = malloc(out_size);
    assert_non_null(before);
    assert_non_null(first);
    memcpy(before, a.qkv.map, qkv_size);
    fill(t, &a);
    struct gpu_commands *c = bench_begin(b);
    const struct gpu_range k = k_range(s, &a), v = v_range(s, &a);
    bench_ok(ops_rope_store(b->ops, c, s, NULL, &a.step.step, &a.qkv, &k, &v, t->n_rows, &error),
             &error);
    bench_run(b, c);
    check_stored(t, &a, before);

    record(b, t, &a, a.max_groups, t->n_rows);
    double want[MOST], bound = t->bound > 0 ? t->bound : 1e-9;
    for (uint32_t i = 0; i < t->n_rows; i++) {
        const float *row = (const float *)a.out.map + (size_t)i * ops_stride(s->n_heads * s->v_dim);
        for (uint32_t h = 0; h < s->n_heads; h++) {
            if (i >= t->rows_used) {
                assert_true(isnan(row[h * s->v_dim])); /* padding is left alone */
                continue;
            }
            exact(t, &a, false, i, h, want);
            double e = bench_nmse(row + h * s->v_dim, want, s->v_dim);
            if (!(e <= bound))
                fail_msg("row %u head %u position %u: NMSE %g", i, h, t->positions[i], e);
            if (t->size > 1) continue; /* what is rounded off such scores decides */
            exact(t, &a, true, i, h, want);
            e = bench_nmse(row + h * s->v_dim, want, s->v_dim);
            if (!(e <= kv_bounds[s->kv]))
                fail_msg("row %u head %u position %u: NMSE %g of what was stored", i, h,
                         t->positions[i], e);
        }
    }
    /* The same bits with more room, where a merge follows even a single group, and in a smaller
     * batch. */
    memcpy(first, a.out.map, out_size);
    bench_poison(a.out.map, out_size / t->n_rows * t->rows_used);
    record(b, t, &a, a.max_groups + 1, t->n_rows);
    assert_memory_equal(first, a.out.map, out_size);
    bench_poison(a.out.map, out_size / t->n_rows);
    record(b, t, &a, a.max_groups, 1);
    assert_memory_equal(first, a.out.map, out_size);
    if (t->one_sequence) check_alone(b, t, &a, first);
    for (uint32_t i = 0; i < t->rows_used; i++) {
        take_row(t, &a, i);
        check_at_once(b, t, &a, NULL, VALUES_F32, before + (size_t)i * s->stride);
    }
    drop(b, &a);
    free(before);
    free(first);
}

static struct attention_shape shape(uint32_t heads, uint32_t kv_heads, uint32_t dim, uint32_t rope,
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

/* V of another size, or the beginning of K, of which then the end is turned, as DeepSeek's latent
 * attention has it. */
static struct attention_shape uneven(uint32_t heads, uint32_t kv_heads, uint32_t dim,
                                     uint32_t v_dim, bool latent, uint32_t rope, uint32_t kv)
{
    struct attention_shape s = shape(heads, kv_heads, dim, rope, true, kv);
    s.v_dim = v_dim;
    s.latent = latent;
    s.rope_at = (dim - rope) / 4 * 4;
    s.stride = ops_stride(s.v + (latent ? 0 : kv_heads * v_dim));
    return s;
}

/* The dimensions of q that turn come from elsewhere. */
static struct attention_shape apart(struct attention_shape s)
{
    s.turned = s.stride + 12;
    s.turned_each = s.rope_dim + 20;
    s.stride = ops_stride(s.turned + s.n_heads * s.turned_each);
    return s;
}

static void attention_shapes(void **state)
{
    for (uint32_t kv = 0; kv <= LLM_KV_Q4_0; kv++) {
        const struct attention_shape shapes[] = {
            shape(9, 3, 64, 64, true, kv),   shape(8, 1, 32, 16, true, kv),
            shape(2, 2, 128, 32, true, kv),  shape(4, 2, 256, 0, false, kv),
            shape(14, 2, 64, 64, false, kv), shape(2, 1, 96, 96, true, kv),
            shape(4, 4, 8, 8, false, kv),    shape(2, 1, 80, 80, true, kv),
        };
        /* Kernels take long to compile: all shapes for one kind, some for the others. */
        uint32_t n = kv == LLM_KV_F16 ? sizeof shapes / sizeof *shapes : 3;
        for (uint32_t i = 0; i < n; i++) {
            const struct setting t = {shapes[i], 8, 6,    {0, 63, 64, 255, 256, 299}, false, 1,
                                      0,         0, false};
            try_attention(*state, &t);
        }
    }
}

/* One row alone, a few in one sequence, and queries enough for several workgroups. */
static void wide_heads(void **state)
{
    for (uint32_t kv = 0; kv <= LLM_KV_Q4_0; kv++) {
        const struct attention_shape shapes[] = {
            apart(uneven(6, 1, 576, 512, true, 64, kv)), uneven(4, 2, 512, 512, false, 512, kv),
            uneven(3, 3, 192, 128, false, 64, kv),       uneven(2, 1, 64, 96, false, 32, kv),
            apart(uneven(2, 1, 320, 256, true, 64, kv)), uneven(18, 1, 512, 448, true, 64, kv),
        };
        /* As above. */
        uint32_t n = kv == LLM_KV_F16 ? sizeof shapes / sizeof *shapes : 3;
        for (uint32_t i = 0; i < n; i++) {
            struct setting t = {
                .s = shapes[i], .n_rows = 4, .rows_used = 3, .positions = {0, 64, 299}, .size = 1};
            try_attention(*state, &t);
            if (i % 2) continue;
            t.one_sequence = true;
            t.sinks = i == 4;
            for (uint32_t r = 0; r < 3; r++) t.positions[r] = 254 + r;
            try_attention(*state, &t);
        }
    }
}

/* Rows that share what they read, over the ends of pieces and groups, all of a batch or not. */
static void attention_one_sequence(void **state)
{
    static const uint32_t firsts[] = {0, 58, 250};
    for (uint32_t kv = 0; kv <= LLM_KV_Q4_0; kv++) {
        for (uint32_t i = 0; i < 3; i++) {
            struct setting t = {.s = shape(9, 3, 64, 64, true, kv),
                                .n_rows = 8,
                                .rows_used = 6 + i,
                                .one_sequence = true,
                                .size = 1,
                                .sinks = i == 1};
            for (uint32_t r = 0; r < t.rows_used; r++) t.positions[r] = firsts[i] + r;
            try_attention(*state, &t);
            t.s.window = 4 + 64 * i;
            try_attention(*state, &t);
        }
    }
}

/* Logits of some +-1e4, where one key takes all. f32 rounds them by 1e-3. */
static void attention_large(void **state)
{
    const struct setting t = {
        shape(4, 2, 32, 32, true, LLM_KV_F32), 4, 3, {5, 130, 700}, false, 150, 1e-4, 0, false};
    try_attention(*state, &t);
}

static void attention_long(void **state)
{
    for (uint32_t kv = 0; kv < 2; kv++) {
        const struct setting t = {
            shape(2, 1, 8, 8, true, kv), 2, 1, {65535}, false, 1, 0, 0, false};
        try_attention(*state, &t);
    }
}

/* Windows from one position to more than all, at and round the edges of pieces and groups, alone
 * and with what else changes scores. */
static void windows(void **state)
{
    static const uint32_t sizes[] = {1, 2, 7, 63, 64, 65, 128, 200, 256, 257, 1000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct setting t = {shape(6, 2, 32, 32, true, i % 2),
                            8,
                            8,
                            {0, 1, 63, 64, 65, 127, 300, 520},
                            false,
                            1,
                            0,
                            i % 3 == 2 ? 70 : 0,
                            i % 4 == 1};
        t.s.window = sizes[i];
        try_attention(*state, &t);
        t.s.softcap = i % 2 ? 0 : 20;
        t.sinks = !t.sinks;
        try_attention(*state, &t);
    }
}

/* Scores from next to nothing to many times the cap. */
static void softcap(void **state)
{
    static const float sizes[] = {0.01f, 1, 12, 150};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct setting t = {shape(4, 2, 32, 32, true, LLM_KV_F32),
                            4,
                            4,
                            {0, 64, 130, 299},
                            false,
                            sizes[i],
                            0,
                            0,
                            i > 1};
        t.s.softcap = i % 2 ? 50 : 3;
        try_attention(*state, &t);
    }
}

/* Rows that see all of a text, as encoders have them. */
static void both_ways(void **state)
{
    static const uint32_t ahead[] = {1, 63, 64, 300};
    for (size_t i = 0; i < sizeof ahead / sizeof *ahead; i++) {
        const struct setting t = {
            shape(4, 4, 32, 0, false, i % 2), 4, 4, {0, 5, 63, 250}, false, 1, 0, ahead[i], i % 2};
        try_attention(*state, &t);
    }
}

static void rope_far(void **state)
{
    struct bench *b = *state;
    struct llm_error error = {0};
    /* A position near a million: the table needs that many pages, but only one is touched. */
    struct setting t = {shape(2, 1, 64, 64, true, LLM_KV_F32), 1, 1, {63}, false, 1, 0, 0, false};
    struct attention a = make(b, &t);
    double angle[32], want[64];
    float before[64];
    memcpy(before, (const float *)a.qkv.map + t.s.q, sizeof before);
    for (uint32_t p = 0; p < 32; p++) {
        angle[p] = 1000063.0 * pow(10000.0, -2.0 * p / 64);
        a.step.rope[2 * p] = (float)cos(angle[p]);
        a.step.rope[2 * p + 1] = (float)sin(angle[p]);
        want[p] = before[p] * cos(angle[p]) - before[p + 32] * sin(angle[p]);
        want[p + 32] = before[p] * sin(angle[p]) + before[p + 32] * cos(angle[p]);
    }
    struct gpu_commands *c = bench_begin(b);
    const struct gpu_range k = {&a.k, 0, 0}, v = {&a.v, 0, 0};
    bench_ok(ops_rope_store(b->ops, c, &t.s, NULL, &a.step.step, &a.qkv, &k, &v, 1, &error),
             &error);
    bench_run(b, c);
    assert_true(bench_nmse((const float *)a.qkv.map + t.s.q, want, 64) <= 1e-12);
    drop(b, &a);
}

/* Biases, the norm of each head, and both, with more heads than workgroups and fours than lanes. */
static void try_terms(struct bench *b, const struct setting *t, bool bias, bool norm)
{
    const struct attention_shape *s = &t->s;
    const double eps = 0.01;
    struct llm_error error = {0};
    struct attention a = make(b, t);
    uint32_t n_terms = s->stride + 2 * s->head_dim, heads = s->n_heads + 2 * s->n_kv_heads;
    struct gpu_buffer data = bench_buffer(b, n_terms * sizeof(float));
    float *terms = data.map;
    for (uint32_t i = 0; i < n_terms; i++) terms[i] = bench_uniform();
    size_t size = (size_t)t->n_rows * s->stride * sizeof(float);
    float *before = malloc(size), got[256];
    assert_non_null(before);
    memcpy(before, a.qkv.map, size);
    const struct head_terms given = {
        .data = {&data, 0, 0}, .bias = bias, .norm = norm, .eps = (float)eps};
    const struct gpu_range k = {&a.k, 0, 0}, v = {&a.v, 0, 0};
    struct gpu_commands *c = bench_begin(b);
    bench_ok(ops_rope_store(b->ops, c, s, &given, &a.step.step, &a.qkv, &k, &v, t->n_rows, &error),
             &error);
    bench_run(b, c);
    for (uint32_t i = 0; i < t->n_rows * heads; i++) {
        uint32_t row = i / heads, h = i % heads, position = t->positions[row];
        bool is_q = h < s->n_heads, is_v = h >= s->n_heads + s->n_kv_heads;
        uint32_t kv = is_q ? 0 : (h - s->n_heads) % s->n_kv_heads;
        uint32_t at = is_q ? s->q + h * s->head_dim : (is_v ? s->v : s->k) + kv * s->head_dim;
        const float *gain = terms + s->stride + (is_q ? 0 : s->head_dim);
        double squares = 0, want[256];
        float x[256];
        for (uint32_t d = 0; d < s->head_dim; d++) {
            x[d] = before[row * s->stride + at + d] + (bias ? terms[at + d] : 0);
            squares += (double)x[d] * (double)x[d];
        }
        double scale = 1 / sqrt(squares / s->head_dim + eps);
        for (uint32_t d = 0; d < s->head_dim && norm && !is_v; d++)
            x[d] = (float)((double)x[d] * scale * (double)gain[d]);
        struct attention_shape whole = *s;
        if (is_v) whole.rope_dim = 0;
        turn(&whole, position, x, want);
        uint32_t page = a.step.pages[a.step.rows[row].table + position / 64];
        for (uint32_t d = 0; d < s->head_dim; d++)
            got[d] = is_q ? ((const float *)a.qkv.map)[row * s->stride + at + d]
                          : get(s, is_v ? a.v.map : a.k.map, is_v, page, kv, position, d);
        assert_true(bench_nmse(got, want, s->head_dim) <=
                    (s->kv == LLM_KV_F32 ? 1e-12 : kv_bounds[s->kv]));
    }
    bench_free(b, &data);
    drop(b, &a);
    free(before);
}

static void terms_of_heads(void **state)
{
    const struct attention_shape shapes[] = {
        shape(9, 3, 64, 64, true, LLM_KV_F32),
        shape(4, 2, 16, 16, false, LLM_KV_F16),
        shape(2, 1, 256, 64, true, LLM_KV_F32),
        shape(3, 3, 40, 40, false, LLM_KV_F32),
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const struct setting t = {shapes[i], 4, 4, {0, 63, 64, 255}, false, 1, 0, 0, false};
        for (int way = 1; way < 4; way++) try_terms(*state, &t, way & 1, way & 2);
    }
}

/* Everything that heads go through, over one group or several. */
static void try_at_once(struct bench *b, uint32_t i, uint32_t position)
{
    const struct attention_shape shapes[] = {
        shape(9, 3, 64, 64, true, LLM_KV_F16),
        shape(4, 2, 32, 16, false, LLM_KV_F32),
        uneven(20, 2, 128, 64, false, 32, LLM_KV_F16),
        shape(2, 1, 96, 96, true, LLM_KV_F32),
    };
    const struct head_terms terms[] = {
        {.bias = true, .eps = 0.01f},
        {.norm = true, .eps = 0.01f},
        {.bias = true, .norm = true, .eps = 0.01f, .value_norm = true},
        {.norm = true, .eps = 0.01f, .late = true},
    };
    struct setting t = {shapes[i], 1, 1, {position}, false, 1, 0, 0, i > 1};
    t.s.q_scaled = i == 2;
    struct attention a = make(b, &t);
    a.step.rope[t.s.rope_dim] = 0.75f; /* what q is scaled by */
    const uint32_t n = t.s.stride + 2 * t.s.head_dim;
    struct gpu_buffer data = bench_buffer(b, n * sizeof(float));
    for (uint32_t k = 0; k < n; k++) ((float *)data.map)[k] = bench_uniform();
    float *qkv = malloc(t.s.stride * sizeof *qkv);
    assert_non_null(qkv);
    memcpy(qkv, a.qkv.map, t.s.stride * sizeof *qkv);
    fill(&t, &a);
    struct head_terms given = terms[i];
    given.data = (struct gpu_range){&data, 0, 0};
    assert_int_equal(check_at_once(b, &t, &a, &given, b->ops->integers, qkv), 1);
    assert_int_equal(check_at_once(b, &t, &a, &given, VALUES_F32, qkv), 1);
    const float *out = a.out.map;
    assert_true(isfinite(*out));
    bench_free(b, &data);
    drop(b, &a);
    free(qkv);
}

/* The device's own way, then those of other devices. */
static void at_once(void **state)
{
    struct bench *b = *state;
    const struct ops before = *b->ops;
    for (uint32_t i = 0; i < 4; i++) try_at_once(b, i, i % 2 ? 700 : 200);
    b->ops->texels = b->ops->flat = false;
    b->ops->integers = VALUES_INT8;
    for (uint32_t p = PROFILE_NARROW; p < N_PROFILES; p++) {
        b->ops->profile = &ops_profiles[p];
        try_at_once(b, p % 2 ? 0 : 2, 700);
        try_at_once(b, p % 2 ? 2 : 1, 200);
    }
    b->ops->texels = before.texels;
    b->ops->flat = before.flat;
    b->ops->integers = before.integers;
    b->ops->profile = before.profile;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_shapes), cmocka_unit_test(attention_one_sequence),
        cmocka_unit_test(wide_heads),       cmocka_unit_test(attention_large),
        cmocka_unit_test(attention_long),   cmocka_unit_test(windows),
        cmocka_unit_test(softcap),          cmocka_unit_test(both_ways),
        cmocka_unit_test(rope_far),         cmocka_unit_test(terms_of_heads),
        cmocka_unit_test(at_once),
    };
    return cmocka_run_group_tests(tests, bench_setup, bench_teardown);
}

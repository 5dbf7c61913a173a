/* Rotation, cache and attention against double precision. Every row is a sequence of its own, or
 * all rows are one. */
#include "scene.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where the device holds K or V. */
static const void *held(const struct scene *a, bool is_v)
{
    return is_v && a->v.size ? a->v.map : a->k.map;
}

/* Attention of one head of one row in double, over the cache as the device holds it, or over what
 * it was given. */
static void exact(const struct setting *t, const struct scene *a, bool given, uint32_t row,
                  uint32_t head, double *out)
{
    const struct attention_shape *s = &t->s;
    uint32_t from = scene_first_seen(t, t->positions[row]),
             n = scene_last_seen(t, t->positions[row]) + 1,
             kv = head / (s->n_heads / s->n_kv_heads);
    const uint32_t *table = a->step.pages + a->step.rows[row].table;
    const float *q =
        (const float *)a->qkv.map + (size_t)row * s->stride + s->q + head * s->head_dim;
    double *scores = malloc(n * sizeof *scores), most = -HUGE_VAL, sum = 0;
    assert_non_null(scores);
    for (uint32_t p = from; p < n; p++) {
        scores[p] = 0;
        for (uint32_t d = 0; d < s->head_dim; d++)
            scores[p] += (double)q[d] *
                         (given ? scene_exact_at(s, a->exact_k, false, table[p / 64], kv, p)[d]
                                : scene_get(s, a->k.map, false, table[p / 64], kv, p, d));
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
            out[d] += w * (given ? scene_exact_at(s, a->exact_v, true, table[p / 64], kv, p)[d]
                                 : scene_get(s, held(a, true), true, table[p / 64], kv, p, d));
    }
    for (uint32_t d = 0; d < s->v_dim; d++) out[d] /= sum;
    free(scores);
}

/* A head of q before anything turns. */
static const float *q_before(const struct attention_shape *s, const float *row, uint32_t h,
                             float whole[SCENE_MOST])
{
    memcpy(whole, row + s->q + h * s->head_dim, s->head_dim * sizeof *whole);
    if (s->turned_each)
        memcpy(whole + s->rope_at, row + s->turned + h * s->turned_each,
               s->rope_dim * sizeof *whole);
    return whole;
}

/* q, k and v of every row as they must be after rope_store. */
static void check_stored(const struct setting *t, const struct scene *a, const float *before)
{
    const struct attention_shape *s = &t->s;
    double want[SCENE_MOST], bound = s->kv == LLM_KV_F32 ? 1e-12 : scene_bounds[s->kv];
    float got[SCENE_MOST];
    for (uint32_t i = 0; i < t->rows_used; i++) {
        const float *was = before + (size_t)i * s->stride,
                    *now = (const float *)a->qkv.map + (size_t)i * s->stride;
        uint32_t p = t->positions[i], page = a->step.pages[a->step.rows[i].table + p / 64];
        for (uint32_t h = 0; h < s->n_heads; h++) {
            scene_turn(s, p, q_before(s, was, h, got), want);
            assert_true(bench_nmse(now + s->q + h * s->head_dim, want, s->head_dim) <= 1e-12);
        }
        for (uint32_t h = 0; h < s->n_kv_heads; h++) {
            scene_turn(s, p, was + s->k + h * s->head_dim, want);
            float *k = scene_exact_at(s, a->exact_k, false, page, h, p),
                  *v = scene_exact_at(s, a->exact_v, true, page, h, p);
            for (uint32_t d = 0; d < s->head_dim; d++) {
                got[d] = scene_get(s, a->k.map, false, page, h, p, d);
                k[d] = (float)want[d];
            }
            assert_true(bench_nmse(got, want, s->head_dim) <= bound);
            if (s->latent) {
                memcpy(v, k, s->v_dim * sizeof *v);
                continue;
            }
            /* V is not turned: exactly what is made of it here. */
            for (uint32_t d = 0; d < s->v_dim; d++)
                got[d] = scene_get(s, a->v.map, true, page, h, p, d);
            memcpy(v, was + s->v + h * s->v_dim, s->v_dim * sizeof *v);
            scene_put(s, a->v.map, true, page, h, p, v);
            for (uint32_t d = 0; d < s->v_dim; d++)
                assert_true(got[d] == scene_get(s, a->v.map, true, page, h, p, d));
        }
    }
}

/* n_rows of t's rows, with room for so many groups. */
static void record(struct bench *b, const struct setting *t, struct scene *a, uint32_t max_groups,
                   uint32_t n_rows)
{
    struct llm_error error = {0};
    ops_step_end(b->ops, &a->step.step, ops_attention_columns(b->ops, &t->s), n_rows);
    struct attention_shape s = t->s;
    a->sinks_range = (struct gpu_range){&a->sinks, 0, s.n_heads * sizeof(float)};
    s.sinks = t->sinks ? &a->sinks_range : NULL;
    struct gpu_commands *c = bench_begin(b);
    const struct gpu_range k = scene_k_range(&t->s, a), v = scene_v_range(&t->s, a);
    bench_ok(ops_attention(b->ops, c, &s, &a->step.step, &a->qkv, &k, &v, &a->partial, &a->out,
                           VALUES_F32, max_groups, n_rows, &error),
             &error);
    bench_run(b, c);
}

/* Each row gives the bits that it gives together with those that follow it. */
static void check_alone(struct bench *b, const struct setting *t, struct scene *a,
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

static void try_attention(struct bench *b, const struct setting *t)
{
    const struct attention_shape *s = &t->s;
    struct llm_error error = {0};
    struct scene a = scene_make(b, t);
    size_t qkv_size = (size_t)t->n_rows * s->stride * 4,
           out_size = (size_t)t->n_rows * ops_stride(s->n_heads * s->v_dim) * 4;
    float *before = malloc(qkv_size), *first = malloc(out_size);
    assert_non_null(before);
    assert_non_null(first);
    memcpy(before, a.qkv.map, qkv_size);
    scene_fill(t, &a);
    struct gpu_commands *c = bench_begin(b);
    const struct gpu_range k = scene_k_range(s, &a), v = scene_v_range(s, &a);
    bench_ok(ops_rope_store(b->ops, c, s, NULL, &a.step.step, &a.qkv, &k, &v, t->n_rows, &error),
             &error);
    bench_run(b, c);
    check_stored(t, &a, before);

    record(b, t, &a, a.max_groups, t->n_rows);
    double want[SCENE_MOST], bound = t->bound > 0 ? t->bound : 1e-9;
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
            if (!(e <= scene_bounds[s->kv]))
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
        scene_take_row(t, &a, i);
        scene_at_once(b, t, &a, NULL, VALUES_F32, before + (size_t)i * s->stride);
    }
    scene_drop(b, &a);
    free(before);
    free(first);
}

static void attention_shapes(void **state)
{
    for (uint32_t kv = 0; kv <= LLM_KV_Q4_0; kv++) {
        const struct attention_shape shapes[] = {
            scene_shape(9, 3, 64, 64, true, kv),   scene_shape(8, 1, 32, 16, true, kv),
            scene_shape(2, 2, 128, 32, true, kv),  scene_shape(4, 2, 256, 0, false, kv),
            scene_shape(14, 2, 64, 64, false, kv), scene_shape(2, 1, 96, 96, true, kv),
            scene_shape(4, 4, 8, 8, false, kv),    scene_shape(2, 1, 80, 80, true, kv),
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
            scene_apart(scene_uneven(6, 1, 576, 512, true, 64, kv)),
            scene_uneven(4, 2, 512, 512, false, 512, kv),
            scene_uneven(3, 3, 192, 128, false, 64, kv),
            scene_uneven(2, 1, 64, 96, false, 32, kv),
            scene_apart(scene_uneven(2, 1, 320, 256, true, 64, kv)),
            scene_uneven(18, 1, 512, 448, true, 64, kv),
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
            struct setting t = {.s = scene_shape(9, 3, 64, 64, true, kv),
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
    const struct setting t = {scene_shape(4, 2, 32, 32, true, LLM_KV_F32),
                              4,
                              3,
                              {5, 130, 700},
                              false,
                              150,
                              1e-4,
                              0,
                              false};
    try_attention(*state, &t);
}

static void attention_long(void **state)
{
    for (uint32_t kv = 0; kv < 2; kv++) {
        const struct setting t = {
            scene_shape(2, 1, 8, 8, true, kv), 2, 1, {65535}, false, 1, 0, 0, false};
        try_attention(*state, &t);
    }
}

/* Windows from one position to more than all, at and round the edges of pieces and groups, alone
 * and with what else changes scores. */
static void windows(void **state)
{
    static const uint32_t sizes[] = {1, 2, 7, 63, 64, 65, 128, 200, 256, 257, 1000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct setting t = {scene_shape(6, 2, 32, 32, true, i % 2),
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
        struct setting t = {scene_shape(4, 2, 32, 32, true, LLM_KV_F32),
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
        const struct setting t = {scene_shape(4, 4, 32, 0, false, i % 2),
                                  4,
                                  4,
                                  {0, 5, 63, 250},
                                  false,
                                  1,
                                  0,
                                  ahead[i],
                                  i % 2};
        try_attention(*state, &t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_shapes), cmocka_unit_test(attention_one_sequence),
        cmocka_unit_test(wide_heads),       cmocka_unit_test(attention_large),
        cmocka_unit_test(attention_long),   cmocka_unit_test(windows),
        cmocka_unit_test(softcap),          cmocka_unit_test(both_ways),
    };
    return cmocka_run_group_tests(tests, bench_setup, bench_teardown);
}

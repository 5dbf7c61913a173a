/* What heads go through before attention: biases, norms and rotation, against double precision. */
#include "scene.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void rope_far(void **state)
{
    struct bench *b = *state;
    struct llm_error error = {0};
    /* A position near a million: the table needs that many pages, but only one is touched. */
    struct setting t = {
        scene_shape(2, 1, 64, 64, true, LLM_KV_F32), 1, 1, {63}, false, 1, 0, 0, false};
    struct scene a = scene_make(b, &t);
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
    scene_drop(b, &a);
}

/* Biases, the norm of each head, and both, with more heads than workgroups and fours than lanes. */
static void try_terms(struct bench *b, const struct setting *t, bool bias, bool norm)
{
    const struct attention_shape *s = &t->s;
    const double eps = 0.01;
    struct llm_error error = {0};
    struct scene a = scene_make(b, t);
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
        scene_turn(&whole, position, x, want);
        uint32_t page = a.step.pages[a.step.rows[row].table + position / 64];
        for (uint32_t d = 0; d < s->head_dim; d++)
            got[d] = is_q ? ((const float *)a.qkv.map)[row * s->stride + at + d]
                          : scene_get(s, is_v ? a.v.map : a.k.map, is_v, page, kv, position, d);
        assert_true(bench_nmse(got, want, s->head_dim) <=
                    (s->kv == LLM_KV_F32 ? 1e-12 : scene_bounds[s->kv]));
    }
    bench_free(b, &data);
    scene_drop(b, &a);
    free(before);
}

static void terms_of_heads(void **state)
{
    const struct attention_shape shapes[] = {
        scene_shape(9, 3, 64, 64, true, LLM_KV_F32),
        scene_shape(4, 2, 16, 16, false, LLM_KV_F16),
        scene_shape(2, 1, 256, 64, true, LLM_KV_F32),
        scene_shape(3, 3, 40, 40, false, LLM_KV_F32),
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const struct setting t = {shapes[i], 4, 4, {0, 63, 64, 255}, false, 1, 0, 0, false};
        for (int way = 1; way < 4; way++) try_terms(*state, &t, way & 1, way & 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rope_far),
        cmocka_unit_test(terms_of_heads),
    };
    return cmocka_run_group_tests(tests, bench_setup, bench_teardown);
}

/* A row alone from its products to its attention, with all that heads go through, as each kind of
 * device does it. */
#include "scene.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Everything that heads go through, over one group or several. */
static void try_at_once(struct bench *b, uint32_t i, uint32_t position)
{
    const struct attention_shape shapes[] = {
        scene_shape(9, 3, 64, 64, true, LLM_KV_F16),
        scene_shape(4, 2, 32, 16, false, LLM_KV_F32),
        scene_uneven(20, 2, 128, 64, false, 32, LLM_KV_F16),
        scene_shape(2, 1, 96, 96, true, LLM_KV_F32),
    };
    const struct head_terms terms[] = {
        {.bias = true, .eps = 0.01f},
        {.norm = true, .eps = 0.01f},
        {.bias = true, .norm = true, .eps = 0.01f, .value_norm = true},
        {.norm = true, .eps = 0.01f, .late = true},
    };
    struct setting t = {shapes[i], 1, 1, {position}, false, 1, 0, 0, i > 1};
    t.s.q_scaled = i == 2;
    struct scene a = scene_make(b, &t);
    a.step.rope[t.s.rope_dim] = 0.75f; /* what q is scaled by */
    const uint32_t n = t.s.stride + 2 * t.s.head_dim;
    struct gpu_buffer data = bench_buffer(b, n * sizeof(float));
    for (uint32_t k = 0; k < n; k++) ((float *)data.map)[k] = bench_uniform();
    float *qkv = malloc(t.s.stride * sizeof *qkv);
    assert_non_null(qkv);
    memcpy(qkv, a.qkv.map, t.s.stride * sizeof *qkv);
    scene_fill(&t, &a);
    struct head_terms given = terms[i];
    given.data = (struct gpu_range){&data, 0, 0};
    assert_int_equal(scene_at_once(b, &t, &a, &given, b->ops->integers, qkv), 1);
    assert_int_equal(scene_at_once(b, &t, &a, &given, VALUES_F32, qkv), 1);
    const float *out = a.out.map;
    assert_true(isfinite(*out));
    bench_free(b, &data);
    scene_drop(b, &a);
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
        cmocka_unit_test(at_once),
    };
    return cmocka_run_group_tests(tests, bench_setup, bench_teardown);
}

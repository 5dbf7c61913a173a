/* A row of a scene alone, in one dispatch beside the separate ones. */
#include "scene.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void scene_take_row(const struct setting *t, struct scene *a, uint32_t i)
{
    const size_t turns = 2 * ((size_t)t->s.rope_dim / 2 + 2);
    memmove(a->step.rope, a->step.rope + i * turns, turns * sizeof(float));
    a->step.rows[0] = a->step.rows[i];
}

/* As its products leave it: q, k and v as they were, and nothing of its own in the cache yet. */
static void reset_row(const struct setting *t, struct scene *a, const float *qkv)
{
    const struct attention_shape *s = &t->s;
    const uint32_t position = a->step.rows[0].position,
                   page = a->step.pages[a->step.rows[0].table + position / 64];
    float nothing[SCENE_MOST];
    for (uint32_t d = 0; d < SCENE_MOST; d++) nothing[d] = NAN;
    memcpy(a->qkv.map, qkv, s->stride * sizeof *qkv);
    for (uint32_t h = 0; h < s->n_kv_heads; h++) {
        scene_put(s, a->k.map, false, page, h, position, nothing);
        if (!s->latent) scene_put(s, a->v.map, true, page, h, position, nothing);
    }
    bench_poison(a->out.map, ops_stride(s->n_heads * s->v_dim) * sizeof(float));
}

uint32_t scene_at_once(struct bench *b, const struct setting *t, struct scene *a,
                       const struct head_terms *terms, enum values values, const float *qkv)
{
    struct attention_shape s = t->s;
    struct llm_error error = {0};
    const struct gpu_range k = scene_k_range(&s, a), v = scene_v_range(&s, a);
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

/* scene.h - rows with their q, k and v, the cache that they see, and what both hold in double
 * precision: what the tests of rotation and attention share. */
#ifndef SCENE_H
#define SCENE_H

#include "bench.h"
#include "ops_impl.h"

enum { SCENE_MOST = 576 }; /* dimensions of a head */

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

struct scene {
    struct gpu_buffer qkv, k, v, partial, out, sinks;
    struct gpu_range sinks_range;
    struct bench_step step;
    float *exact_k, *exact_v; /* what the cache was given */
    uint32_t pages, max_groups;
};

/* The NMSE of what a cache holds, by LLM_KV_..., and of the attention over it. */
extern const double scene_bounds[];

/* Where the exact vector of a position lies; what the device's cache holds of it, and putting it
 * there as the cache's type rounds it. */
float *scene_exact_at(const struct attention_shape *s, const float *exact, bool is_v, uint32_t page,
                      uint32_t head, uint32_t position);
float scene_get(const struct attention_shape *s, const void *pages, bool is_v, uint32_t page,
                uint32_t head, uint32_t position, uint32_t d);
void scene_put(const struct attention_shape *s, void *pages, bool is_v, uint32_t page,
               uint32_t head, uint32_t position, const float *x);

/* Random q, k and v, and an empty cache; the settings' positions have their pages. */
struct scene scene_make(struct bench *b, const struct setting *t);
void scene_drop(struct bench *b, struct scene *a);
/* Fills the cache with what each row sees, but for its own place, and all else of the first piece.
 * The rest is left poisoned. */
void scene_fill(const struct setting *t, struct scene *a);
struct gpu_range scene_k_range(const struct attention_shape *s, const struct scene *a);
struct gpu_range scene_v_range(const struct attention_shape *s, const struct scene *a);
/* A head's vector turned in double. */
void scene_turn(const struct attention_shape *s, uint32_t position, const float *in, double *out);
/* The positions that a row at `position` sees. */
uint32_t scene_first_seen(const struct setting *t, uint32_t position);
uint32_t scene_last_seen(const struct setting *t, uint32_t position);

struct attention_shape scene_shape(uint32_t heads, uint32_t kv_heads, uint32_t dim, uint32_t rope,
                                   bool neox, uint32_t kv);
/* V of another size, or the beginning of K, of which then the end is turned, as DeepSeek's latent
 * attention has it. */
struct attention_shape scene_uneven(uint32_t heads, uint32_t kv_heads, uint32_t dim, uint32_t v_dim,
                                    bool latent, uint32_t rope, uint32_t kv);
/* The dimensions of q that turn come from elsewhere. */
struct attention_shape scene_apart(struct attention_shape s);

/* ops_attend gives the bits that rope_store and attention give for the first row, in the cache,
 * too; how many dispatches it took. qkv: of that row, before anything turned. */
uint32_t scene_at_once(struct bench *b, const struct setting *t, struct scene *a,
                       const struct head_terms *terms, enum values values, const float *qkv);
/* Row i becomes the first one. */
void scene_take_row(const struct setting *t, struct scene *a, uint32_t i);

#endif

/* Models of random shapes, formats and architectures against the reference: what nobody thought of.
 *   model_shapes [FIRST [N]]   the seeds to try */
#include <stdio.h>

#include "agreement.h"
#include "peer_models.h"

enum { PROMPT = 37, ALL = 42, CONTEXT = 128, MOST_LAYERS = 8 };

static uint64_t random_state;
static uint32_t first_seed = 1, n_seeds = 3;

static uint32_t below(uint32_t n)
{
    return (uint32_t)(model_random(&random_state) % n);
}

/* Of rows whose lengths these are, or have been ored. */
static enum quant_type any_format(uint32_t cols)
{
    static const enum quant_type formats[] = {
#define TYPE(constant, id, text, block, bytes) constant,
        QUANT_LIST(TYPE)
#undef TYPE
    };
    for (;;) {
        const enum quant_type type = formats[below(LENGTH(formats))];
        if (quant_info(type)->block == 1 || cols % 32 == 0) return type;
    }
}

/* Where the architecture leaves them free. */
static void change_heads(struct model_shape *s)
{
    static const uint32_t sizes[] = {8,  16, 20, 24,  32,  40,  48,  64,
                                     72, 80, 96, 100, 112, 128, 160, 256};
    const uint32_t group = 1 + below(6);
    if (s->latent.rank || s->window_period) return;
    if (s->n_kv_heads == s->n_heads) s->n_kv_heads = s->n_heads = group;
    else if (s->n_kv_heads == 1) s->n_heads = group;
    else s->n_heads = group * (s->n_kv_heads = 1 + below(3));
    s->head_dim = sizes[below(LENGTH(sizes))];
    if (s->rope_dims) s->rope_dims = 4 * (1 + below(s->head_dim / 4));
}

/* Of up to `most`, often one that blocks of weights divide. */
static uint32_t any_size(uint32_t most)
{
    return below(2) ? 32 * (1 + below(most / 32)) : 1 + below(most);
}

static void change_experts(struct model_experts *e)
{
    if (e->n == 0) return;
    e->n = e->groups ? e->groups * (2 + below(4)) : 2 + below(20);
    e->used = 1 + below(e->groups ? e->n / e->groups : e->n < 8 ? e->n : 8);
    e->hidden = any_size(128);
    if (e->shared) e->shared = e->gating ? e->hidden * (1 + below(3)) : any_size(200);
}

static struct model_shape any_shape(const char **name)
{
    const struct peer_model *base;
    do base = &peer_models[below(peer_n_models)];
    while (base->shape.n_layers > MOST_LAYERS);
    struct model_shape s = base->shape;
    *name = base->name;
    s.seed = random_state;
    s.dim = below(4) ? 8 * any_size(32) : 256;
    s.hidden = any_size(320);
    s.vocab = 262 + below(800);
    change_heads(&s);
    change_experts(&s.experts);
    const uint32_t attended = s.n_heads * (s.v_dim ? s.v_dim : s.head_dim);
    s.embedding = any_format(s.dim);
    s.output = any_format(s.dim);
    s.attention = any_format(s.latent.rank ? 1 : s.dim | attended);
    s.ffn = any_format(s.dim | s.hidden | s.experts.hidden | s.experts.shared);
    return s;
}

static llm_model *load_precise(struct memory_file *file, uint32_t precision, const char *name)
{
    struct llm_load_options o;
    llm_model *model;
    load_defaults(&o);
    o.kv = precision == LLM_PRECISION_HIGH ? LLM_KV_F32 : LLM_KV_F16;
    o.precision = precision;
    o.context = CONTEXT;
    if (load(file, &o, &model) != LLM_OK) fail_msg("%s: %s", name, error.message);
    return model;
}

static void try_seed(uint32_t seed)
{
    random_state = seed;
    const char *base;
    char name[256];
    const struct model_shape s = any_shape(&base);
    snprintf(name, sizeof name,
             "seed %u, %s, dim %u, %u/%u heads of %u, rope %u, hidden %u, vocab %u, %u of %u "
             "experts of %u beside %u, %s %s %s %s",
             seed, base, s.dim, s.n_heads, s.n_kv_heads, s.head_dim, s.rope_dims, s.hidden, s.vocab,
             s.experts.used, s.experts.n, s.experts.hidden, s.experts.shared,
             quant_info(s.embedding)->name, quant_info(s.attention)->name, quant_info(s.ffn)->name,
             quant_info(s.output)->name);
    struct memory_file file;
    file.data = model_make(&s, &file.size);
    llm_model *models[] = {load_precise(&file, LLM_PRECISION_HIGH, name),
                           load_precise(&file, LLM_PRECISION_FAST, name)};
    int32_t ids[ALL];
    struct agreement a[2];
    random_ids(ids, ALL, s.vocab, seed);
    agree_many(models, 2, &file, ids, PROMPT, ALL, a);
    print_message("%s: %.1e, fast %.1e\n", name, a[0].mean, a[1].mean);
    if (!(a[0].mean <= 1e-6) || a[0].other || !(a[1].mean <= 0.05))
        fail_msg("%s: mean divergence %g, %u other tokens; fast %g", name, a[0].mean, a[0].other,
                 a[1].mean);
    for (size_t i = 0; i < 2; i++) llm_model_free(models[i]);
    free(file.data);
}

static void any_model(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < n_seeds; i++) try_seed(first_seed + i);
}

int main(int argc, char **argv)
{
    if (argc > 1) first_seed = (uint32_t)strtoul(argv[1], NULL, 10);
    if (argc > 2) n_seeds = (uint32_t)strtoul(argv[2], NULL, 10);
    const struct CMUnitTest tests[] = {cmocka_unit_test(any_model)};
    return cmocka_run_group_tests(tests, fixture_open, fixture_close);
}

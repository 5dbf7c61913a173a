/* Which checks the kernels of one model call for. */
#include <string.h>

#include "check_impl.h"
#include "forward.h"

/* A verdict on t, from memory or by running it now. */
static llm_status judge(struct ops *ops, const struct check *t, struct verdict *v,
                        struct llm_error *error)
{
    char name[CHOICE_NAME];
    check_name(ops, t, name);
    *v = kernels_verdict(ops->kernels, name);
    if (v->state != CHOICE_UNKNOWN) return LLM_OK;
    TRY(check_run(ops, t, v, NULL, error));
    return kernels_judge(ops->kernels, v, error);
}

static llm_status require(struct ops *ops, const struct check *t, struct llm_error *error)
{
    struct verdict v;
    TRY(judge(ops, t, &v, error));
    return v.state == CHOICE_WRONG ? ops_refuse(ops, v.name, error) : LLM_OK;
}

/* One way that is right for each number of rows: the one that ops_multiply takes. */
static llm_status require_product(struct ops *ops, enum check_kind kind, const struct weight *w,
                                  enum values in, enum values out, enum into into,
                                  struct llm_error *error)
{
    for (const uint32_t *n = ops_buckets; *n && *n <= FORWARD_MAX_ROWS; n++) {
        if (kind == CHECK_PRODUCT_NORM && (in != VALUES_INT || *n > OPS_NORM_ROWS)) continue;
        struct check t = {.kind = kind,
                          .type = w->type,
                          .in = in,
                          .out = out,
                          .into = into,
                          .cols = check_cols(ops, w),
                          .n_rows = *n};
        struct verdict v;
        do {
            TRY(check_choose(ops, &t, error));
            TRY(judge(ops, &t, &v, error));
        } while (v.state == CHOICE_WRONG); /* then it is not picked again */
    }
    return LLM_OK;
}

static struct attention_shape few_heads(const struct attention_shape *s)
{
    const uint32_t kv_heads = s->n_kv_heads < 2 ? s->n_kv_heads : 2;
    return (struct attention_shape){.n_heads = s->n_heads / s->n_kv_heads * kv_heads,
                                    .n_kv_heads = kv_heads,
                                    .head_dim = s->head_dim,
                                    .rope_dim = s->rope_dim,
                                    .rope_neox = s->rope_neox,
                                    .kv_f16 = s->kv_f16,
                                    .scale = s->scale};
}

static llm_status require_layer(struct forward *f, const struct layer_weights *w,
                                struct llm_error *error)
{
    struct ops *ops = f->ops;
    const enum values o = f->h.head_dim % 32 ? VALUES_F32 : ops_values(ops, &w->o),
                      gate = ops_values(ops, &w->gate) ? ops_values(ops, &w->up) : VALUES_F32,
                      down = gate ? ops_values(ops, &w->down) : VALUES_F32;
    const bool alike = w->gate.type == w->up.type;
    enum values qkv = VALUES_INT;
    for (uint32_t i = 0; i < w->n_qkv; i++)
        if (ops_values(ops, &w->qkv[i]) == VALUES_F32) qkv = VALUES_F32;
    const struct {
        enum check_kind kind;
        const struct weight *w;
        enum values in, out;
        enum into into;
    } uses[] = {
        {CHECK_PRODUCT, &w->o, o, VALUES_F32, INTO_SUM},
        {CHECK_PRODUCT_NORM, &w->o, o, gate, INTO_SUM},
        {alike ? CHECK_GATED : CHECK_PRODUCT, &w->gate, gate, alike ? down : VALUES_F32,
         INTO_NOTHING},
        {CHECK_PRODUCT, &w->up, gate, down, alike ? INTO_NOTHING : INTO_GATE},
        {CHECK_PRODUCT, &w->down, down, VALUES_F32, INTO_SUM},
        {CHECK_PRODUCT_NORM, &w->down, down, qkv, INTO_SUM},
    };
    for (uint32_t i = 0; i < w->n_qkv; i++)
        TRY(require_product(ops, CHECK_PRODUCT, &w->qkv[i], qkv, VALUES_F32, INTO_NOTHING, error));
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++) {
        if (alike && uses[i].w == &w->up) continue;
        TRY(require_product(ops, uses[i].kind, uses[i].w, uses[i].in, uses[i].out, uses[i].into,
                            error));
    }
    const struct check norm = {.kind = CHECK_NORM, .out = qkv};
    TRY(require(ops, &norm, error));
    const struct check attention = {.kind = CHECK_ATTENTION,
                                    .out = o,
                                    .shape = few_heads(&f->shape),
                                    .bias = w->terms.bias,
                                    .head_norm = w->terms.norm,
                                    .short_context = f->max_positions <= ATTENTION_GROUP};
    return require(ops, &attention, error);
}

static bool same_types(const struct layer_weights *a, const struct layer_weights *b)
{
    bool same = a->n_qkv == b->n_qkv && a->o.type == b->o.type && a->gate.type == b->gate.type &&
                a->up.type == b->up.type && a->down.type == b->down.type;
    for (uint32_t i = 0; i < a->n_qkv && same; i++) same = a->qkv[i].type == b->qkv[i].type;
    return same;
}

llm_status check_forward(struct forward *f, struct llm_error *error)
{
    const struct weights *w = f->weights;
    const enum values normed = ops_values(f->ops, &w->output);
    const struct check embed = {.kind = CHECK_EMBED, .type = w->embed.type, .cols = 512},
                       norm = {.kind = CHECK_NORM, .out = normed}, argmax = {.kind = CHECK_ARGMAX};
    TRY(require(f->ops, &embed, error));
    TRY(require(f->ops, &norm, error));
    TRY(require(f->ops, &argmax, error));
    TRY(require_product(f->ops, CHECK_PRODUCT, &w->output, normed, VALUES_F32, INTO_NOTHING,
                        error));
    for (uint32_t l = 0; l < w->n_layers; l++) {
        if (l == 0 || !same_types(&w->layers[l], &w->layers[l - 1]))
            TRY(require_layer(f, &w->layers[l], error));
    }
    return LLM_OK;
}

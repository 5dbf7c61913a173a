/* Which checks the kernels of one model call for. */
#include <math.h>
#include <string.h>

#include "check_impl.h"
#include "forward.h"
#include "layer.h"

static llm_status judge(struct ops *ops, const struct check *t, struct llm_error *error)
{
    struct verdict v;
    TRY(check_run(ops, t, &v, NULL, error));
    return kernels_judge(ops->kernels, &v, error);
}

/* As ops_check. */
static llm_status judge_product(struct ops *ops, const struct product *p, uint32_t n_rows,
                                uint32_t way, struct llm_error *error)
{
    struct check t = {.kind = p->norm     ? CHECK_PRODUCT_NORM
                              : p->second ? CHECK_GATED
                                          : CHECK_PRODUCT,
                      .type = p->first->type,
                      .in = p->x_values,
                      .out = p->norm ? p->norm->values : p->y_values,
                      .into = p->into,
                      .bias = p->first->bias.buffer != NULL,
                      .cols = check_cols(ops, p->first),
                      .n_rows = n_rows,
                      .way = way};
    if (p->activation) t.activation = *p->activation;
    return judge(ops, &t, error);
}

static llm_status know(struct ops *ops, const struct check *t, bool *right, struct llm_error *error)
{
    char name[CHOICE_NAME];
    check_name(ops, t, name);
    if (kernels_verdict(ops->kernels, name).state == CHOICE_UNKNOWN) TRY(judge(ops, t, error));
    *right = kernels_verdict(ops->kernels, name).state == CHOICE_RIGHT;
    return LLM_OK;
}

/* Of what is done in one way only. */
static llm_status require(struct ops *ops, const struct check *t, struct llm_error *error)
{
    char name[CHOICE_NAME];
    bool right;
    TRY(know(ops, t, &right, error));
    if (right) return LLM_OK;
    check_name(ops, t, name);
    return ops_refuse(ops, name, error);
}

/* A layer's attention with few heads; its scale, window, cap and sinks are the check's own. */
static struct check attention_of(const struct forward *f, uint32_t l)
{
    static const struct gpu_range some_sinks;
    const struct attention_shape s = forward_shape(f, l);
    const struct layer_weights *w = &f->weights->layers[l];
    const uint32_t kv_heads = s.n_kv_heads < 2 ? s.n_kv_heads : 2;
    return (struct check){
        .kind = CHECK_ATTENTION,
        .out = s.latent || s.v_dim % 32 ? VALUES_F32 : ops_values(f->ops, &w->o),
        .shape = {.n_heads = s.n_heads / s.n_kv_heads * kv_heads,
                  .n_kv_heads = kv_heads,
                  .head_dim = s.head_dim,
                  .v_dim = s.v_dim,
                  .latent = s.latent,
                  .rope_at = s.rope_at,
                  .rope_dim = s.rope_dim,
                  .rope_neox = s.rope_neox,
                  .kv = s.kv,
                  .scale = 1 / sqrtf((float)s.head_dim),
                  .window = s.window ? 100 : 0,
                  .softcap = s.softcap != 0 ? 0.25f : 0,
                  .sinks = w->sinks.buffer ? &some_sinks : NULL,
                  .q_scaled = s.q_scaled},
        .bias = w->terms.bias,
        .head_norm = w->terms.norm,
        .late = w->terms.norm && w->terms.late,
        .value_norm = w->terms.norm && w->terms.value_norm,
        .short_context = f->max_positions <= ATTENTION_GROUP,
    };
}

/* Rows alone go the way of others where the kernel for them is wrong. */
static llm_status check_at_once(struct forward *f, struct check t, struct llm_error *error)
{
    bool right;
    if (!ops_attends_at_once(f->ops, &t.shape, 1)) return LLM_OK;
    t.at_once = true;
    TRY(know(f->ops, &t, &right, error));
    if (!right) f->ops->apart = true;
    return LLM_OK;
}

/* The same for what follows attention. */
static llm_status check_tail_of(struct forward *f, uint32_t l, struct llm_error *error)
{
    const struct weight *o = &f->weights->layers[l].o;
    const struct check t = {.kind = CHECK_TAIL,
                            .type = o->type,
                            .in = ops_values(f->ops, o),
                            .activation = f->h.kinds[l].activation};
    bool right;
    if (!layer_has_tail(f, l, 1)) return LLM_OK;
    TRY(know(f->ops, &t, &right, error));
    if (!right) f->ops->tail_apart = true;
    return LLM_OK;
}

llm_status check_forward(struct forward *f, struct llm_error *error)
{
    for (uint32_t l = 0; l < f->h.n_layers; l++) {
        const struct check t = attention_of(f, l);
        TRY(require(f->ops, &t, error));
        TRY(check_at_once(f, t, error));
        TRY(check_tail_of(f, l, error));
    }
    f->ops->check = judge_product;
    f->ops->require = require;
    return LLM_OK;
}

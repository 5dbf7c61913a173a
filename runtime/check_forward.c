/* Which checks the kernels of one model call for. */
#include <string.h>

#include "check_impl.h"
#include "forward.h"

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

/* Of what is done in one way only. */
static llm_status require(struct ops *ops, const struct check *t, struct llm_error *error)
{
    char name[CHOICE_NAME];
    check_name(ops, t, name);
    if (kernels_verdict(ops->kernels, name).state == CHOICE_UNKNOWN) TRY(judge(ops, t, error));
    if (kernels_verdict(ops->kernels, name).state == CHOICE_RIGHT) return LLM_OK;
    return ops_refuse(ops, name, error);
}

static struct attention_shape few_heads(const struct attention_shape *s)
{
    const uint32_t kv_heads = s->n_kv_heads < 2 ? s->n_kv_heads : 2;
    return (struct attention_shape){.n_heads = s->n_heads / s->n_kv_heads * kv_heads,
                                    .n_kv_heads = kv_heads,
                                    .head_dim = s->head_dim,
                                    .v_dim = s->v_dim,
                                    .latent = s->latent,
                                    .rope_at = s->rope_at,
                                    .rope_dim = s->rope_dim,
                                    .rope_neox = s->rope_neox,
                                    .kv = s->kv,
                                    .scale = s->scale};
}

/* Most layers are like one before them. */
static llm_status require_attention(const struct forward *f, uint32_t l, struct llm_error *error)
{
    const struct layer_weights *w = &f->weights->layers[l];
    const struct attention_shape s = forward_shape(f, l);
    const struct check t = {.kind = CHECK_ATTENTION,
                            .out = s.v_dim % 32 ? VALUES_F32 : ops_values(f->ops, &w->o),
                            .shape = few_heads(&s),
                            .bias = w->terms.bias,
                            .head_norm = w->terms.norm,
                            .value_norm = w->terms.value_norm,
                            .short_context = f->max_positions <= ATTENTION_GROUP};
    return require(f->ops, &t, error);
}

llm_status check_forward(struct forward *f, struct llm_error *error)
{
    const struct weights *w = f->weights;
    const struct layer_weights *layer = &w->layers[0];
    const struct check checks[] = {
        {.kind = CHECK_EMBED, .type = w->embed.type, .cols = 512},
        {.kind = CHECK_NORM, .out = ops_values(f->ops, &w->output)},
        {.kind = CHECK_NORM, .out = ops_values(f->ops, &layer->qkv[0])},
        {.kind = CHECK_ARGMAX},
    };
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        TRY(require(f->ops, &checks[i], error));
    for (uint32_t l = 0; l < f->h.n_layers; l++) TRY(require_attention(f, l, error));
    f->ops->check = judge_product;
    return LLM_OK;
}

#include "layer.h"

#include "error.h"
#include "forward_impl.h"

/* Rows that a product is given. */
struct rows {
    const struct gpu_buffer *buffer;
    enum values values;
};

static enum values all_values(const struct forward *f, const struct weight *w, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (ops_values(f->ops, &w[i]) == VALUES_F32) return VALUES_F32;
    }
    return ops_values(f->ops, w);
}

/* What the ffn wants to be given. */
static enum values ffn_values(const struct forward *f, const struct layer_weights *w)
{
    if (w->experts.router.buffer) return VALUES_F32;
    if (w->gate.buffer && ops_values(f->ops, &w->gate) == VALUES_F32) return VALUES_F32;
    return ops_values(f->ops, &w->up);
}

static bool shares_norm(const struct forward *f, const struct layer_weights *w)
{
    return f->h.parallel && !w->ffn_norm.buffer;
}

/* Without a norm before them products are given x. */
static struct rows attention_rows(const struct forward *f, const struct layer_weights *w)
{
    if (!w->attn_norm.buffer) return (struct rows){&f->x, VALUES_F32};
    const struct weight *q_a = &w->latent.q_a;
    enum values values = all_values(f, w->qkv, w->n_qkv);
    if (q_a->buffer && ops_values(f->ops, q_a) == VALUES_F32) values = VALUES_F32;
    if (shares_norm(f, w) && ffn_values(f, w) == VALUES_F32) values = VALUES_F32;
    return (struct rows){&f->normed, values};
}

static struct rows ffn_rows(const struct forward *f, const struct layer_weights *w)
{
    if (f->h.norms_after) return (struct rows){&f->normed, VALUES_F32};
    if (shares_norm(f, w)) return attention_rows(f, w);
    if (!w->ffn_norm.buffer) return (struct rows){&f->x, VALUES_F32};
    return (struct rows){&f->normed, ffn_values(f, w)};
}

static struct norm norm_of(const struct forward *f, const struct gpu_range *gain,
                           const struct gpu_range *bias, const struct rows *out)
{
    return (struct norm){
        .gain = gain,
        .bias = bias->buffer ? bias : NULL,
        .out = out->buffer,
        .values = out->values,
        .eps = f->h.norm_eps,
        .centered = f->h.centered,
    };
}

static struct norm attention_norm(const struct forward *f, const struct layer_weights *w)
{
    const struct rows out = attention_rows(f, w);
    return norm_of(f, &w->attn_norm, &w->attn_norm_bias, &out);
}

static struct norm ffn_norm(const struct forward *f, const struct layer_weights *w)
{
    const struct rows out = ffn_rows(f, w);
    return norm_of(f, &w->ffn_norm, &w->ffn_norm_bias, &out);
}

static llm_status record_norm(struct forward *f, struct gpu_commands *c,
                              const struct gpu_buffer *in, const struct norm *norm, uint32_t n,
                              struct llm_error *error)
{
    return ops_norm(f->ops, c, in, norm, f->h.dim, &f->step, false, n, error);
}

/* x = (x + post(what is added)) scale, then the norm `next`, if any. */
static llm_status record_added(struct forward *f, struct gpu_commands *c,
                               const struct gpu_range *post, float scale, const struct norm *next,
                               uint32_t n, struct llm_error *error)
{
    const struct norm add = {.gain = post,
                             .out = &f->x,
                             .eps = f->h.norm_eps,
                             .centered = f->h.centered,
                             .add = true,
                             .scale = scale};
    TRY(record_norm(f, c, &f->added, &add, n, error));
    if (!next->gain || !next->gain->buffer) return LLM_OK;
    gpu_commands_barrier(c);
    return record_norm(f, c, &f->x, next, n, error);
}

/* x = (x + post(w rows)) scale, without norm and scale where post has no buffer; then the norm
 * `next`, if any. */
static llm_status record_sum(struct forward *f, struct gpu_commands *c, const struct weight *w,
                             const struct rows *rows, const struct gpu_range *post, float scale,
                             const struct norm *next, uint32_t n, struct llm_error *error)
{
    const bool normed = post->buffer != NULL, follows = next->gain && next->gain->buffer;
    if (!normed && follows)
        return ops_matrix_norm(f->ops, c, w, rows->buffer, rows->values, &f->x, next, &f->step, n,
                               error);
    TRY(ops_matrix(f->ops, c, w, rows->buffer, rows->values, normed ? &f->added : &f->x,
                   ops_stride(f->h.dim), 0, !normed, n, error));
    if (!normed) return LLM_OK;
    gpu_commands_barrier(c);
    return record_added(f, c, post, scale, next, n, error);
}

/* to = post(from + w rows) */
static llm_status record_normed_sum(struct forward *f, struct gpu_commands *c,
                                    const struct weight *w, const struct rows *rows,
                                    const struct gpu_buffer *from, const struct gpu_buffer *to,
                                    const struct gpu_range *post, const struct gpu_range *bias,
                                    uint32_t n, struct llm_error *error)
{
    const struct rows out = {to, VALUES_F32};
    const struct norm norm = norm_of(f, post, bias, &out);
    return ops_matrix_norm(f->ops, c, w, rows->buffer, rows->values, from, &norm, &f->step, n,
                           error);
}

static struct gpu_range k_pages(const struct forward *f, uint32_t l)
{
    const struct kv_layer *kv = &f->kv[l];
    return (struct gpu_range){&kv->buffer, 0, kv->k_size * f->n_pages};
}

static struct gpu_range v_pages(const struct forward *f, uint32_t l)
{
    const struct kv_layer *kv = &f->kv[l];
    if (kv->v_size == 0) return k_pages(f, l);
    return (struct gpu_range){&kv->buffer, kv->v_at, kv->v_size * f->n_pages};
}

/* ---- the tail of a layer ---- */

/* Row 0 of x; or, for what one tail leaves to the next, one of the two behind all rows. */
static struct gpu_range row_of_x(const struct forward *f, bool is_behind, uint32_t l)
{
    const uint64_t row = ops_stride(f->h.dim) * sizeof(float);
    const uint32_t n = is_behind ? f->step.max_rows + l % 2 * FORWARD_ROWS_BEHIND / 2 : 0;
    return (struct gpu_range){&f->x, n * row, row};
}

/* Layer l as ops_tail has it, if it is of that kind. */
static bool is_plain(const struct forward *f, uint32_t l)
{
    const struct layer_weights *w = &f->weights->layers[l];
    const struct attention_shape s = forward_shape(f, l);
    return !f->h.parallel && !f->h.norms_after && !f->h.centered && !s.latent &&
           s.v_dim % 32 == 0 && !w->experts.router.buffer && w->gate.buffer &&
           w->attn_norm.buffer && w->ffn_norm.buffer && !w->attn_norm_bias.buffer &&
           !w->ffn_norm_bias.buffer && !w->attn_post.buffer && !w->ffn_post.buffer && w->n_qkv == 1;
}

/* All of it but where x lies. */
static struct tail tail_of(const struct forward *f, uint32_t l)
{
    const struct layer_weights *w = &f->weights->layers[l];
    const bool is_last = l + 1 == f->h.n_layers;
    return (struct tail){
        .o = &w->o,
        .gate = &w->gate,
        .up = &w->up,
        .down = &w->down,
        .qkv = is_last ? NULL : w[1].qkv,
        .activation = &f->h.kinds[l].activation,
        .gain = &w->ffn_norm,
        .next_gain = is_last ? &w->ffn_norm : &w[1].attn_norm,
        .eps = f->h.norm_eps,
        .made = &f->tail,
        .qkv_out = &f->qkv,
    };
}

static bool fits_tail(const struct forward *f, uint32_t l)
{
    const struct tail t = tail_of(f, l);
    return is_plain(f, l) && (!t.qkv || is_plain(f, l + 1)) && ops_tail_fits(f->ops, &t);
}

/* A tail does not write the x that it reads: there is one only where another one is before or after
 * it. */
bool layer_has_tail(const struct forward *f, uint32_t l, uint32_t n_rows)
{
    return n_rows == 1 && fits_tail(f, l) &&
           ((l > 0 && fits_tail(f, l - 1)) || (l + 1 < f->h.n_layers && fits_tail(f, l + 1)));
}

static llm_status record_tail(struct forward *f, struct gpu_commands *c, uint32_t l,
                              struct llm_error *error)
{
    struct tail t = tail_of(f, l);
    t.x_in = row_of_x(f, l > 0 && layer_has_tail(f, l - 1, 1), l);
    t.x_out = row_of_x(f, t.qkv && layer_has_tail(f, l + 1, 1), l + 1);
    return ops_tail(f->ops, c, &t, error);
}

/* ---- attention ---- */

static llm_status record_qkv(struct forward *f, struct gpu_commands *c, uint32_t l, uint32_t stride,
                             uint32_t n, struct llm_error *error)
{
    const struct layer_weights *w = &f->weights->layers[l];
    const struct rows rows = attention_rows(f, w);
    for (uint32_t i = 0; i < w->n_qkv; i++) {
        if (i)
            gpu_commands_barrier(
                c); /* they write to columns of the same rows, which the check cannot tell apart */
        TRY(ops_matrix(f->ops, c, &w->qkv[i], rows.buffer, rows.values, &f->qkv, stride,
                       w->qkv_at[i], false, n, error));
    }
    if (f->h.latent) return latent_record_qk(f, c, l, rows.buffer, rows.values, n, error);
    return LLM_OK;
}

/* Of all heads together, or of each with its own gains, in place. */
static llm_status record_row_norms(struct forward *f, struct gpu_commands *c,
                                   const struct attention_shape *s, const struct layer_weights *w,
                                   uint32_t n, struct llm_error *error)
{
    const struct {
        const struct gpu_range *gain;
        uint32_t at, n_heads;
    } parts[] = {{&w->q_norm, s->q, s->n_heads}, {&w->k_norm, s->k, s->n_kv_heads}};
    for (int i = 0; i < 2; i++) {
        const uint32_t n_parts = f->h.own_gains ? parts[i].n_heads : 1;
        const struct norm norm = {.gain = parts[i].gain,
                                  .out = &f->qkv,
                                  .eps = f->h.head_eps,
                                  .centered = f->h.centered,
                                  .stride = s->stride,
                                  .at = parts[i].at,
                                  .parts = n_parts};
        TRY(ops_norm(f->ops, c, &f->qkv, &norm, parts[i].n_heads * s->head_dim / n_parts, &f->step,
                     false, n, error));
        gpu_commands_barrier(c);
    }
    return LLM_OK;
}

/* From the normed rows to the attended ones. */
static llm_status record_heads(struct forward *f, struct gpu_commands *c, uint32_t l,
                               const struct attention_shape *shape, const struct rows *attended,
                               uint32_t n, struct llm_error *error)
{
    const struct layer_weights *w = &f->weights->layers[l];
    const struct gpu_range k = k_pages(f, l), v = v_pages(f, l);
    uint32_t max_groups = (f->max_positions + ATTENTION_GROUP - 1) / ATTENTION_GROUP;
    if (f->h.row_norm) TRY(record_row_norms(f, c, shape, w, n, error));
    return ops_attend(f->ops, c, shape, &w->terms, &f->step, &f->qkv, &k, &v, &f->partial,
                      shape->latent ? &f->attended : attended->buffer, attended->values, max_groups,
                      n, error);
}

static llm_status record_attention(struct forward *f, struct gpu_commands *c, uint32_t l,
                                   uint32_t n, struct llm_error *error)
{
    const struct layer_weights *w = &f->weights->layers[l];
    struct attention_shape shape = forward_shape(f, l);
    const bool rounds = !shape.latent && shape.v_dim % 32 == 0;
    const bool tail = layer_has_tail(f, l, n);
    const struct rows attended = {tail           ? &f->tail
                                  : shape.latent ? &f->latent.values
                                                 : &f->attended,
                                  rounds ? ops_values(f->ops, &w->o) : VALUES_F32};
    struct norm next = ffn_norm(f, w);
    if (w->sinks.buffer) shape.sinks = &w->sinks;
    if (l == 0 || !layer_has_tail(f, l - 1, n)) {
        TRY(record_qkv(f, c, l, shape.stride, n, error));
        gpu_commands_barrier(c);
    }
    if (f->h.parallel && next.gain->buffer) /* before x changes */
        TRY(record_norm(f, c, &f->x, &next, n, error));
    TRY(record_heads(f, c, l, &shape, &attended, n, error));
    gpu_commands_barrier(c);
    if (tail) return record_tail(f, c, l, error);
    if (f->h.latent) {
        TRY(latent_record_values(f, c, l, n, error));
        gpu_commands_barrier(c);
    }
    if (f->h.norms_after)
        return record_normed_sum(f, c, &w->o, &attended, &f->x, &f->normed, &w->attn_post,
                                 &w->attn_post_bias, n, error);
    if (f->h.parallel) next.gain = NULL;
    return record_sum(f, c, &w->o, &attended, &w->attn_post, 1, &next, n, error);
}

static llm_status record_dense(struct forward *f, struct gpu_commands *c, uint32_t l,
                               const struct rows *in, const struct norm *next, uint32_t n,
                               struct llm_error *error)
{
    const struct layer_weights *w = &f->weights->layers[l];
    const struct activation *a = &f->h.kinds[l].activation;
    const struct rows hidden = {
        &f->hidden,
        ops_gated_values(f->ops, w->gate.buffer ? &w->gate : &w->up, &w->up, &w->down, in->values)};
    if (w->gate.buffer)
        TRY(ops_gate_up(f->ops, c, &w->gate, &w->up, a, in->buffer, in->values, hidden.buffer,
                        hidden.values, n, error));
    else
        TRY(ops_activated(f->ops, c, &w->up, a, in->buffer, in->values, hidden.buffer,
                          hidden.values, n, error));
    gpu_commands_barrier(c);
    if (f->h.norms_after)
        return record_normed_sum(f, c, &w->down, &hidden, &f->normed, &f->x, &w->ffn_post,
                                 &w->ffn_post_bias, n, error);
    return record_sum(f, c, &w->down, &hidden, &w->ffn_post, w->scale, next, n, error);
}

/* added = dense_post(down(act(gate(rows)) up(rows))) + post(what experts make of x): each norms
 * what it is given and what it gives (Gemma 4). */
static llm_status record_both(struct forward *f, struct gpu_commands *c, uint32_t l,
                              const struct rows *in, uint32_t n, struct llm_error *error)
{
    const struct layer_weights *w = &f->weights->layers[l];
    const struct expert_weights *e = &w->experts;
    const struct rows hidden = {&f->hidden, VALUES_F32};
    const struct norm before = {.gain = &e->norm, .out = &f->normed, .eps = f->h.norm_eps},
                      own = {.gain = &e->gain, .out = &f->normed, .eps = f->h.norm_eps},
                      dense = {.gain = &e->dense_post, .out = &f->added, .eps = f->h.norm_eps},
                      after = {
                          .gain = &e->post, .out = &f->added, .eps = f->h.norm_eps, .add = true};
    TRY(ops_gate_up(f->ops, c, &w->gate, &w->up, &f->h.kinds[l].activation, in->buffer, in->values,
                    hidden.buffer, hidden.values, n, error));
    gpu_commands_barrier(c);
    TRY(ops_matrix(f->ops, c, &w->down, hidden.buffer, hidden.values, &f->added,
                   ops_stride(f->h.dim), 0, false, n, error));
    TRY(record_norm(f, c, &f->x, &own, n, error));
    gpu_commands_barrier(c);
    TRY(record_norm(f, c, &f->added, &dense, n, error));
    TRY(experts_record_choice(f, c, l, &f->normed, n, error));
    gpu_commands_barrier(c);
    TRY(record_norm(f, c, &f->x, &before, n, error));
    gpu_commands_fill(c, &f->beside, 0, f->beside.size, 0);
    gpu_commands_barrier(c);
    TRY(experts_record_sum(f, c, l, &f->normed, &f->beside, n, error));
    gpu_commands_barrier(c);
    return record_norm(f, c, &f->beside, &after, n, error);
}

/* Norms after: of what the experts are given and add to. */
static llm_status record_experts(struct forward *f, struct gpu_commands *c, uint32_t l,
                                 const struct rows *in, const struct norm *next, uint32_t n,
                                 struct llm_error *error)
{
    const struct layer_weights *w = &f->weights->layers[l];
    const struct rows x = {&f->x, VALUES_F32};
    const struct norm after = norm_of(f, &w->ffn_post, &w->ffn_post_bias, &x);
    const struct gpu_buffer *to = f->h.norms_after ? &f->normed : &f->x;
    if (f->h.norms_after) next = &after;
    TRY(experts_record_choice(f, c, l, in->buffer, n, error));
    gpu_commands_barrier(c);
    TRY(experts_record_sum(f, c, l, in->buffer, to, n, error));
    if (!next->gain || !next->gain->buffer) return LLM_OK;
    gpu_commands_barrier(c);
    return record_norm(f, c, to, next, n, error);
}

static llm_status record_ffn(struct forward *f, struct gpu_commands *c, uint32_t l, uint32_t n,
                             struct llm_error *error)
{
    const struct layer_weights *w = &f->weights->layers[l];
    const struct rows in = ffn_rows(f, w);
    struct norm next = {0}; /* the head makes the last one, of the rows that it takes */
    if (l + 1 < f->h.n_layers) next = attention_norm(f, &w[1]);
    if (!w->experts.router.buffer) return record_dense(f, c, l, &in, &next, n, error);
    if (!f->h.dense_too) return record_experts(f, c, l, &in, &next, n, error);
    TRY(record_both(f, c, l, &in, n, error));
    gpu_commands_barrier(c);
    return record_added(f, c, &w->ffn_post, w->scale, &next, n, error);
}

/* The sum of embeddings, then its norm, if there is one. */
static llm_status record_embedding(struct forward *f, struct gpu_commands *c, uint32_t n,
                                   struct llm_error *error)
{
    const struct weights *w = f->weights;
    const struct rows x = {&f->x, VALUES_F32};
    const struct norm norm = norm_of(f, &w->embed_norm, &w->embed_norm_bias, &x);
    const bool normed = w->embed_norm.buffer != NULL;
    const struct gpu_buffer *out = normed ? &f->normed : &f->x;
    const struct {
        const struct weight *weight;
        enum embed_by by;
    } more[] = {{&w->positions, EMBED_BY_POSITION}, {&w->types, EMBED_FIRST}};
    TRY(ops_embed(f->ops, c, &w->embed, f->h.embedding_scale, &f->step, out, n, error));
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        if (!more[i].weight->buffer) continue;
        gpu_commands_barrier(c);
        TRY(ops_embed_add(f->ops, c, more[i].weight, more[i].by, &f->step, out, n, error));
    }
    if (!normed) return LLM_OK;
    gpu_commands_barrier(c);
    return record_norm(f, c, out, &norm, n, error);
}

static llm_status record_beginning(struct forward *f, struct gpu_commands *c, uint32_t n,
                                   struct llm_error *error)
{
    const struct norm first = attention_norm(f, f->weights->layers);
    TRY(record_embedding(f, c, n, error));
    if (!first.gain->buffer) return LLM_OK;
    gpu_commands_barrier(c);
    return record_norm(f, c, &f->x, &first, n, error);
}

llm_status layer_record(struct forward *f, struct gpu_commands *c, uint32_t l, uint32_t n_rows,
                        struct llm_error *error)
{
    if (l == 0) TRY(record_beginning(f, c, n_rows, error));
    gpu_commands_barrier(c);
    TRY(record_attention(f, c, l, n_rows, error));
    if (layer_has_tail(f, l, n_rows)) return LLM_OK;
    gpu_commands_barrier(c);
    return record_ffn(f, c, l, n_rows, error);
}

llm_status layer_record_head(struct forward *f, struct gpu_commands *c, uint32_t n_outputs,
                             struct llm_error *error)
{
    const struct weights *w = f->weights;
    const struct rows out = {&f->normed, ops_values(f->ops, &w->output)};
    const struct norm norm = norm_of(f, &w->output_norm, &w->output_norm_bias, &out);
    gpu_commands_barrier(c);
    TRY(ops_norm(f->ops, c, &f->x, &norm, f->h.dim, &f->step, true, n_outputs, error));
    gpu_commands_barrier(c);
    return ops_activated(f->ops, c, &w->output, &f->h.logits, out.buffer, out.values, &f->logits,
                         VALUES_F32, n_outputs, error);
}

llm_status layer_record_states(struct forward *f, struct gpu_commands *c, uint32_t n_rows,
                               const struct gpu_buffer **out, struct llm_error *error)
{
    const struct rows rows = {&f->normed, VALUES_F32};
    const struct norm norm =
        norm_of(f, &f->weights->output_norm, &f->weights->output_norm_bias, &rows);
    *out = norm.gain->buffer ? rows.buffer : &f->x;
    gpu_commands_barrier(c);
    if (!norm.gain->buffer) return LLM_OK;
    TRY(record_norm(f, c, &f->x, &norm, n_rows, error));
    gpu_commands_barrier(c);
    return LLM_OK;
}

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "reference_impl.h"

llm_status reference_read_router(struct reference *r, const struct gguf *g, struct llm_error *error)
{
    char full[128];
    uint32_t left_out = 0;
    float scale = 1;
    const struct {
        const char *key;
        uint32_t *out;
    } numbers[] = {
        {"expert_count", &r->n_experts},
        {"expert_used_count", &r->n_used},
        {"expert_feed_forward_length", &r->expert_hidden},
        {"expert_group_count", &r->n_groups},
        {"expert_group_used_count", &r->groups_used},
        {"expert_gating_func", &r->gating},
        {"nextn_predict_layers", &left_out},
    };
    r->normed_weights = r->kin->normed_weights;
    r->gating = r->kin->gating;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        TRY(gguf_get_u32(g, reference_key(r, full, numbers[i].key), numbers[i].out, error));
    TRY(gguf_get_bool(g, reference_key(r, full, "expert_weights_norm"), &r->normed_weights, error));
    TRY(gguf_get_f32(g, reference_key(r, full, "expert_weights_scale"), &scale, error));
    r->weights_scale = (double)scale;
    r->n_layers -= left_out;
    return LLM_OK;
}

/* Gates and ups of a stack whose matrices are both, gates first. */
static void split_gate_up(const struct reference *r, struct reference_experts *e,
                          const struct gguf *g, const uint8_t *data, uint32_t l)
{
    const size_t n = r->n_experts, one = (size_t)r->expert_hidden * r->dim;
    char name[64];
    snprintf(name, sizeof name, "blk.%u.ffn_gate_up_exps.weight", l);
    float *both = reference_weights(g, data, name, r->dim, 2 * (uint64_t)r->expert_hidden * n);
    if (!both) return;
    e->gates = reference_must(malloc(n * one * sizeof(float)));
    e->ups = reference_must(malloc(n * one * sizeof(float)));
    for (size_t i = 0; i < n; i++) {
        memcpy(e->gates + i * one, both + 2 * i * one, one * sizeof(float));
        memcpy(e->ups + i * one, both + (2 * i + 1) * one, one * sizeof(float));
    }
    free(both);
}

void reference_read_experts(const struct reference *r, struct reference_experts *e,
                            const struct gguf *g, const uint8_t *data, uint32_t l)
{
    char name[64];
    snprintf(name, sizeof name, "blk.%u.ffn_up_shexp.weight", l);
    const struct gguf_tensor *up = gguf_tensor(g, name);
    const uint64_t dim = r->dim, n = r->n_experts, hidden = r->expert_hidden,
                   shared = up ? up->dims[1] : 0;
    const struct {
        const char *name;
        float **out;
        uint64_t cols, rows;
    } tensors[] = {
        {"ffn_gate_inp.weight", &e->router, dim, n},
        {"ffn_gate_inp.bias", &e->router_bias, n, 1},
        {"exp_probs_b.bias", &e->choice_bias, n, 1},
        {"ffn_gate_exps.weight", &e->gates, dim, n * hidden},
        {"ffn_up_exps.weight", &e->ups, dim, n * hidden},
        {"ffn_down_exps.weight", &e->downs, hidden, n * dim},
        {"ffn_gate_exps.bias", &e->gates_bias, hidden, n},
        {"ffn_up_exps.bias", &e->ups_bias, hidden, n},
        {"ffn_down_exps.bias", &e->downs_bias, dim, n},
        {"ffn_gate_inp_shexp.weight", &e->shared_logit, dim, 1},
        {"ffn_gate_shexp.weight", &e->shared_gate, dim, shared},
        {"ffn_up_shexp.weight", &e->shared_up, dim, shared},
        {"ffn_down_exps.scale", &e->scales, n, 1},
        {"ffn_down_shexp.weight", &e->shared_down, shared, dim},
    };
    for (size_t i = 0; n && i < sizeof tensors / sizeof *tensors; i++) {
        snprintf(name, sizeof name, "blk.%u.%s", l, tensors[i].name);
        *tensors[i].out = reference_weights(g, data, name, tensors[i].cols, tensors[i].rows);
    }
    e->shared = (uint32_t)shared;
    if (n && !e->gates) split_gate_up(r, e, g, data, l);
}

void reference_free_experts(struct reference_experts *e)
{
    void *all[] = {e->router,      e->router_bias, e->choice_bias, e->gates,      e->ups,
                   e->downs,       e->gates_bias,  e->ups_bias,    e->downs_bias, e->shared_logit,
                   e->shared_gate, e->shared_up,   e->shared_down, e->scales};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

/* ---- the mathematics ---- */

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static uint32_t best_of(const double *scores, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        if (scores[i] > scores[best]) best = i;
    return best;
}

/* All but the groups whose two best experts have the largest sums (DeepSeek-V3, section 2.1.2). */
static void drop_groups(const struct reference *r, double *scores)
{
    const uint32_t each = r->n_experts / r->n_groups;
    double *sums = reference_must(calloc(r->n_groups, sizeof *sums));
    for (uint32_t g = 0; g < r->n_groups; g++) {
        double *group = scores + g * each, most = -INFINITY, second = -INFINITY;
        for (uint32_t i = 0; i < each; i++) {
            second = fmax(second, fmin(most, group[i]));
            most = fmax(most, group[i]);
        }
        sums[g] = most + second;
    }
    for (uint32_t i = 0; i < r->groups_used; i++) sums[best_of(sums, r->n_groups)] = -INFINITY;
    for (uint32_t g = 0; g < r->n_groups; g++)
        for (uint32_t i = 0; i < each && sums[g] > -INFINITY; i++) scores[g * each + i] = -INFINITY;
    free(sums);
}

/* added += weight * down(act(gate in) * up in); weights of one expert. */
struct expert {
    const float *gate, *up, *down, *gate_bias, *up_bias, *down_bias;
    uint32_t hidden;
    double weight;
};

static void add_expert(struct reference *r, const struct expert *e, const double *in)
{
    const size_t hidden = e->hidden;
    double *gate = reference_must(calloc(2 * hidden + r->dim, sizeof *gate)), *up = gate + hidden,
           *made = up + hidden;
    reference_multiply(e->gate, in, gate, hidden, r->dim);
    reference_multiply(e->up, in, up, hidden, r->dim);
    reference_add(gate, e->gate_bias, hidden);
    reference_add(up, e->up_bias, hidden);
    for (size_t i = 0; i < hidden; i++) {
        /* gpt-oss: limit 7, alpha 1.702 */
        const double g = r->kin->clamped ? fmin(gate[i], 7) : gate[i];
        const double u = r->kin->clamped ? fmax(-7, fmin(up[i], 7)) + 1 : up[i];
        if (r->kin->gemma4)
            up[i] = g / 2 * (1 + tanh(0.79788456080286535588 * (g + 0.044715 * g * g * g))) * u;
        else up[i] = g * sigmoid(r->kin->clamped ? 1.702 * g : g) * u;
    }
    reference_multiply(e->down, up, made, r->dim, hidden);
    reference_add(made, e->down_bias, r->dim);
    for (uint32_t i = 0; i < r->dim; i++) r->added[i] += e->weight * made[i];
    free(gate);
}

static const float *part(const float *all, uint64_t i, uint64_t n)
{
    return all ? all + i * n : NULL;
}

static struct expert expert_of(const struct reference *r, const struct reference_experts *e,
                               uint32_t i, double weight)
{
    const uint64_t hidden = r->expert_hidden, matrix = hidden * r->dim;
    return (struct expert){part(e->gates, i, matrix),
                           part(e->ups, i, matrix),
                           part(e->downs, i, matrix),
                           part(e->gates_bias, i, hidden),
                           part(e->ups_bias, i, hidden),
                           part(e->downs_bias, i, r->dim),
                           r->expert_hidden,
                           weight};
}

void reference_choose_experts(struct reference *r, const struct reference_experts *e,
                              const double *by, const double *in)
{
    const uint32_t n = r->n_experts;
    double *p = reference_must(calloc(2 * n + r->n_used, sizeof *p)), *scores = p + n,
           *weights = scores + n, sum = 0;
    uint32_t *chosen = reference_must(calloc(r->n_used, sizeof *chosen));
    reference_multiply(e->router, by, p, n, r->dim);
    reference_add(p, e->router_bias, n);
    for (uint32_t i = 0; i < n && r->gating == GATE_SIGMOID; i++) p[i] = sigmoid(p[i]);
    if (r->gating <= GATE_SOFTMAX) reference_softmax(p, n);
    for (uint32_t i = 0; i < n; i++) scores[i] = p[i];
    reference_add(scores, e->choice_bias, n);
    if (r->n_groups > 1) drop_groups(r, scores);
    for (uint32_t i = 0; i < r->n_used; i++) {
        chosen[i] = best_of(scores, n);
        scores[chosen[i]] = -INFINITY;
        weights[i] = p[chosen[i]];
    }
    if (r->gating == GATE_CHOSEN) reference_softmax(weights, r->n_used);
    for (uint32_t i = 0; i < r->n_used; i++) sum += weights[i];
    for (uint32_t i = 0; i < r->dim; i++) r->added[i] = 0;
    for (uint32_t i = 0; i < r->n_used; i++) {
        const double weight = weights[i] * r->weights_scale / (r->normed_weights ? sum : 1) *
                              (e->scales ? (double)e->scales[chosen[i]] : 1);
        const struct expert one = expert_of(r, e, chosen[i], weight);
        add_expert(r, &one, in);
    }
    if (e->shared_up) {
        struct expert one = {.gate = e->shared_gate,
                             .up = e->shared_up,
                             .down = e->shared_down,
                             .hidden = e->shared,
                             .weight = 1};
        double logit = 0;
        if (e->shared_logit) reference_multiply(e->shared_logit, in, &logit, 1, r->dim);
        if (e->shared_logit) one.weight = sigmoid(logit);
        add_expert(r, &one, in);
    }
    free(p);
    free(chosen);
}

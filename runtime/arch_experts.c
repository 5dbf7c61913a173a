#include <inttypes.h>
#include <stdio.h>

#include "arch_table.h"
#include "error.h"

static const struct gguf_tensor *tensor_of(const struct gguf *g, uint32_t l, const char *name)
{
    char full[64];
    snprintf(full, sizeof full, "blk.%" PRIu32 ".%s.weight", l, name);
    return gguf_tensor(g, full);
}

static llm_status read_number(const struct gguf *g, const char *arch, const char *name,
                              uint32_t *out, struct llm_error *error)
{
    char key[128];
    snprintf(key, sizeof key, "%s.%s", arch, name);
    return gguf_get_u32(g, key, out, error);
}

static llm_status read_groups(struct router *r, const struct gguf *g, const char *arch,
                              struct llm_error *error)
{
    TRY(read_number(g, arch, "expert_group_count", &r->n_groups, error));
    TRY(read_number(g, arch, "expert_group_used_count", &r->groups_used, error));
    if (r->n_groups <= 1) return LLM_OK;
    if (r->n_experts % r->n_groups || r->groups_used == 0 || r->groups_used > r->n_groups ||
        r->n_used > r->n_experts / r->n_groups * r->groups_used)
        return error_set(error, LLM_BAD_MODEL,
                         "impossible groups: %s.expert_group_count %" PRIu32
                         ", expert_group_used_count %" PRIu32 ", expert_count %" PRIu32
                         ", expert_used_count %" PRIu32,
                         arch, r->n_groups, r->groups_used, r->n_experts, r->n_used);
    return LLM_OK;
}

/* Files of GLM 4.7 Flash made before the key was are told by their sizes, as in llama.cpp. */
static bool is_early_glm(const struct hparams *h)
{
    return h->latent && (h->n_layers == 47 || h->n_layers == 48) && h->vocab == 154880;
}

static llm_status read_gate(struct blueprint *b, const struct gguf *g, struct llm_error *error)
{
    /* By the number that the key has. */
    static const enum router_gate gates[] = {ROUTER_SOFTMAX, ROUTER_SOFTMAX, ROUTER_SIGMOID,
                                             ROUTER_SOFTMAX_CHOSEN};
    const struct router_rule *rule = &b->arch->router;
    struct router *r = &b->h.router;
    const char *arch = b->arch->name;
    uint32_t gate = 0;
    char key[128];
    r->gate = rule->gate;
    r->normalise = rule->normalise;
    r->scale = 1;
    if (!rule->keys) return LLM_OK;
    TRY(read_number(g, arch, "expert_gating_func", &gate, error));
    if (gate >= sizeof gates / sizeof *gates)
        return error_set(error, LLM_UNSUPPORTED,
                         "%s.expert_gating_func is %" PRIu32 " (1 to 3 are supported)", arch, gate);
    if (gate) r->gate = gates[gate];
    else if (is_early_glm(&b->h)) r->gate = ROUTER_SIGMOID;
    snprintf(key, sizeof key, "%s.expert_weights_norm", arch);
    TRY(gguf_get_bool(g, key, &r->normalise, error));
    snprintf(key, sizeof key, "%s.expert_weights_scale", arch);
    TRY(gguf_get_f32(g, key, &r->scale, error));
    if (r->scale == 0) r->scale = 1; /* as good as none */
    if (!(r->scale >= 1e-9f && r->scale <= 1e9f))
        return error_set(error, LLM_BAD_MODEL, "%s is %g", key, (double)r->scale);
    return LLM_OK;
}

/* Layers that have a router have experts; the first of them tells the sizes. */
static llm_status read_layers(struct blueprint *b, const struct gguf *g, struct llm_error *error)
{
    struct hparams *h = &b->h;
    uint32_t first = h->n_layers;
    for (uint32_t l = h->n_layers; l-- > 0;) {
        h->kinds[l].experts = tensor_of(g, l, "ffn_gate_inp") != NULL;
        if (h->kinds[l].experts) first = l;
    }
    if (first == h->n_layers)
        return error_set(error, LLM_BAD_MODEL,
                         "%s.expert_count is %" PRIu32
                         ", but no layer has a tensor ffn_gate_inp.weight",
                         b->arch->name, h->router.n_experts);
    const struct gguf_tensor *up = tensor_of(g, first, "ffn_up_exps"),
                             *shared = tensor_of(g, first, "ffn_up_shexp");
    const uint64_t groups = b->arch->tensors | b->arch->may;
    if (up && up->dims[1] <= UINT32_MAX) h->expert_hidden = (uint32_t)up->dims[1];
    TRY(read_number(g, b->arch->name, "expert_feed_forward_length", &h->expert_hidden, error));
    if (shared && groups & SHARED) {
        h->shared_hidden = shared->dims[1] <= UINT32_MAX ? (uint32_t)shared->dims[1] : UINT32_MAX;
        h->router.shared = groups & SHARED_GATE ? SHARED_GATED : SHARED_PLAIN;
    }
    if (h->expert_hidden == 0 || h->expert_hidden > 1u << 20 || h->shared_hidden > 1u << 20)
        return error_set(error, LLM_BAD_MODEL,
                         "impossible sizes: experts of %" PRIu32 ", shared ones of %" PRIu32
                         " values",
                         h->expert_hidden, h->shared_hidden);
    return LLM_OK;
}

llm_status arch_read_experts(struct blueprint *b, const struct gguf *g, struct llm_error *error)
{
    const char *arch = b->arch->name;
    struct router *r = &b->h.router;
    const uint64_t all = b->arch->tensors & EXPERTS, may = b->arch->may & EXPERTS;
    uint32_t n = 0;
    TRY(read_number(g, arch, "expert_count", &n, error));
    if (n == 0 && !all) return LLM_OK;
    if (!all && !may)
        return error_set(error, LLM_UNSUPPORTED,
                         "%s.expert_count is %" PRIu32
                         "; this architecture is supported without experts",
                         arch, n);
    TRY(arch_required(g, arch, "expert_count", EXPERTS_MAX, &r->n_experts, error));
    TRY(arch_required(g, arch, "expert_used_count",
                      r->n_experts < EXPERTS_USED_MAX ? r->n_experts : EXPERTS_USED_MAX, &r->n_used,
                      error));
    TRY(read_groups(r, g, arch, error));
    TRY(read_gate(b, g, error));
    return read_layers(b, g, error);
}

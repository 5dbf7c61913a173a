/* Latent attention (DeepSeek-V2, arXiv:2405.04434, section 2.1): the cache holds one row a
 * position, the compressed keys and values of all heads and a key that they share, rotated. What
 * made keys and values of it, k_b and v_b, is absorbed into queries and outputs (appendix C has the
 * products), so that attention sees one KV head whose values are the first numbers of its keys. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "arch_table.h"
#include "error.h"

enum { WIDEST = 1 << 12 };

llm_status arch_read_latent(struct blueprint *b, const struct gguf *g, struct llm_error *error)
{
    struct hparams *h = &b->h;
    struct ranks *r = &h->ranks;
    uint32_t rank, turned;
    char key[128];
    TRY(arch_required(g, b->arch->name, "attention.kv_lora_rank", WIDEST, &rank, error));
    TRY(arch_required(g, b->arch->name, "rope.dimension_count", WIDEST, &turned, error));
    const struct {
        const char *name;
        uint32_t *out;
    } numbers[] = {{"attention.q_lora_rank", &r->q},
                   {"attention.key_length_mla", &r->key},
                   {"attention.value_length_mla", &r->value}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        snprintf(key, sizeof key, "%s.%s", b->arch->name, numbers[i].name);
        TRY(gguf_get_u32(g, key, numbers[i].out, error));
    }
    r->fused = r->key == 0 && r->value == 0; /* old files */
    if (r->fused) {
        r->key = h->head_dim;
        r->value = h->v_dim;
    }
    if (rank % 32 || turned % 4 || r->key <= turned || r->key > WIDEST || r->key % 4 ||
        r->value == 0 || r->value > WIDEST || r->value % 4 || r->q > 1u << 18 || r->q % 4)
        return error_set(error, LLM_UNSUPPORTED,
                         "latent attention of %" PRIu32 " numbers, heads of %" PRIu32
                         " dimensions (%" PRIu32 " rotated), values of %" PRIu32
                         " and queries from %" PRIu32
                         " is not supported (a multiple of 32 numbers and multiples of 4 of the"
                         " others are)",
                         rank, r->key, turned, r->value, r->q);
    h->latent = true;
    h->n_kv_heads = 1;
    h->head_dim = rank + turned;
    h->v_dim = h->rope_at = rank;
    return LLM_OK;
}

/* The key of the multiplier holds a tenth of mscale_all_dim: with it, DeepSeek scales scores where
 * others let cos and sin grow (its published modeling_deepseek.py). Without it llama.cpp does both.
 */
void arch_scale_latent(struct hparams *h)
{
    struct rope *r = &h->ropes[0];
    const double log_factor = r->factor > 1 ? log(r->factor) : 0, grown = 1 + 0.1 * log_factor,
                 all = r->log_multiplier * log_factor;
    const bool yarn = r->scaling == ROPE_YARN && all > 0;
    const double plain = yarn ? r->attn_factor * (1 + 0.1 * all) : r->attn_factor;
    const bool instead = yarn && r->ext_factor != 0;
    const double size = plain * (1 + all) * (instead ? 1 : grown);
    r->attn_factor = instead ? plain / grown : plain;
    h->attention_scale = (float)(size * size / sqrt((double)h->ranks.key));
}

static llm_status check_layer(const struct blueprint *b, uint32_t l, struct llm_error *error)
{
    const struct ranks *r = &b->h.ranks;
    const struct {
        const char *name;
        int slot;
        bool wanted;
    } tensors[] = {
        {"attn_q", SLOT_Q, !r->q},          {"attn_q_a", SLOT_Q_A, r->q},
        {"attn_q_b", SLOT_Q_B, r->q},       {"attn_q_a_norm", SLOT_Q_A_NORM, r->q},
        {"attn_k_b", SLOT_K_B, !r->fused},  {"attn_v_b", SLOT_V_B, !r->fused},
        {"attn_kv_b", SLOT_KV_B, r->fused},
    };
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        if (!b->layers[l][tensors[i].slot] == !tensors[i].wanted) continue;
        return error_set(
            error, LLM_BAD_MODEL, "the tensor blk.%" PRIu32 ".%s.weight %s its keys of attention",
            l, tensors[i].name,
            tensors[i].wanted ? "is missing, which the model needs by" : "does not go with");
    }
    return LLM_OK;
}

/* Every head has its rows of k_b, then those of v_b. */
static void split_layer(struct blueprint *b, uint32_t l)
{
    const struct gguf_tensor **slots = b->layers[l], *both = slots[SLOT_KV_B];
    struct gguf_tensor *k = b->views + (size_t)l * ARCH_VIEWS, *v = k + 1;
    const uint64_t row_size = both->size / both->dims[1],
                   plain = b->h.ranks.key - b->h.ropes[0].dims, value = b->h.ranks.value;
    *k = *v = *both;
    k->dims[1] = plain;
    v->dims[1] = value;
    k->dims[2] = v->dims[2] = b->h.n_heads;
    k->size = b->h.n_heads * plain * row_size;
    v->size = b->h.n_heads * value * row_size;
    v->offset += plain * row_size;
    k->step = v->step = (plain + value) * row_size;
    slots[SLOT_K_B] = k;
    slots[SLOT_V_B] = v;
    slots[SLOT_KV_B] = NULL;
}

llm_status arch_split_latent(struct blueprint *b, struct llm_error *error)
{
    if (!b->h.latent) return LLM_OK;
    for (uint32_t l = 0; l < b->h.n_layers; l++) TRY(check_layer(b, l, error));
    if (!b->h.ranks.fused) return LLM_OK;
    b->views = alloc_zero(b->alloc, b->h.n_layers, ARCH_VIEWS * sizeof *b->views);
    if (!b->views)
        return error_memory(error, "the list of matrices",
                            b->h.n_layers * ARCH_VIEWS * sizeof *b->views);
    for (uint32_t l = 0; l < b->h.n_layers; l++) split_layer(b, l);
    return LLM_OK;
}

#include "model_parts.h"

#include <stdlib.h>
#include <string.h>

uint32_t model_rope_dims(const struct model_shape *s)
{
    return s->rope_dims ? s->rope_dims : s->head_dim;
}

uint32_t model_v_dim(const struct model_shape *s)
{
    return s->v_dim ? s->v_dim : s->head_dim;
}

bool model_has_window(const struct model_shape *s, uint32_t l)
{
    return s->window_period && (l + 1) % s->window_period != 0;
}

struct model_shape model_shape_in(const struct model_shape *s, uint32_t l)
{
    struct model_shape own = *s;
    if (!model_has_window(s, l)) return own;
    own.head_dim = s->window_head_dim;
    own.n_kv_heads = s->window_kv_heads;
    return own;
}

uint32_t model_extent(const struct model_shape *s, enum extent e)
{
    const struct model_latent *a = &s->latent;
    const uint32_t q = s->n_heads * s->head_dim, k = s->n_kv_heads * s->head_dim,
                   v = s->n_kv_heads * model_v_dim(s), plain = s->head_dim - model_rope_dims(s),
                   extents[] = {1,
                                s->dim,
                                s->head_dim,
                                s->n_heads,
                                s->n_kv_heads,
                                q,
                                k,
                                v,
                                s->n_heads * model_v_dim(s),
                                q + k + v,
                                s->hidden,
                                2 * s->hidden,
                                s->experts.n,
                                s->experts.hidden,
                                2 * s->experts.hidden,
                                s->experts.shared,
                                a->rank,
                                a->q_rank,
                                a->rank + model_rope_dims(s),
                                plain,
                                model_v_dim(s),
                                s->n_heads * (plain + model_v_dim(s))};
    return extents[e];
}

static const struct part parts[] = {
    {"norm1", "attn_norm.weight", NORM, DIM, ONE},
    {"norm1b", "attn_norm.bias", BIAS, DIM, ONE},
    {"norm1-2", "attn_norm_2.weight", NORM, DIM, ONE},
    {"norm1-2b", "attn_norm_2.bias", BIAS, DIM, ONE},
    {"norm2", "ffn_norm.weight", NORM, DIM, ONE},
    {"norm2b", "ffn_norm.bias", BIAS, DIM, ONE},
    {"post1", "post_attention_norm.weight", NORM, DIM, ONE},
    {"post2", "post_ffw_norm.weight", NORM, DIM, ONE},
    {"q", "attn_q.weight", ATTENTION, DIM, Q},
    {"k", "attn_k.weight", ATTENTION, DIM, K},
    {"v", "attn_v.weight", ATTENTION, DIM, V},
    {"qkv", "attn_qkv.weight", ATTENTION, DIM, QKV},
    {"o", "attn_output.weight", ATTENTION, ATTENDED, DIM},
    {"gate", "ffn_gate.weight", FFN, DIM, HIDDEN},
    {"up", "ffn_up.weight", FFN, DIM, HIDDEN},
    {"gateup", "ffn_up.weight", FFN, DIM, TWO_HIDDEN},
    {"down", "ffn_down.weight", FFN, HIDDEN, DIM},
    {"qb", "attn_q.bias", BIAS, Q, ONE},
    {"kb", "attn_k.bias", BIAS, K, ONE},
    {"vb", "attn_v.bias", BIAS, V, ONE},
    {"qkvb", "attn_qkv.bias", BIAS, QKV, ONE},
    {"ob", "attn_output.bias", BIAS, DIM, ONE},
    {"upb", "ffn_up.bias", BIAS, HIDDEN, ONE},
    {"downb", "ffn_down.bias", BIAS, DIM, ONE},
    {"qn", "attn_q_norm.weight", NORM, HEAD, ONE},
    {"kn", "attn_k_norm.weight", NORM, HEAD, ONE},
    {"qnlow", "attn_q_norm.weight", LOW_NORM, HEAD,
     ONE}, /* where scores have no scale of their own */
    {"knlow", "attn_k_norm.weight", LOW_NORM, HEAD, ONE},
    {"qrow", "attn_q_norm.weight", NORM, Q, ONE},
    {"krow", "attn_k_norm.weight", NORM, K, ONE},
    {"qheads", "attn_q_norm.weight", NORM, HEAD, HEADS},
    {"kheads", "attn_k_norm.weight", NORM, HEAD, KV_HEADS},
    {"qa", "attn_q_a.weight", ATTENTION, DIM, Q_RANK},
    {"qan", "attn_q_a_norm.weight", NORM, Q_RANK, ONE},
    {"q-b", "attn_q_b.weight", ATTENTION, Q_RANK, Q},
    {"kva", "attn_kv_a_mqa.weight", ATTENTION, DIM, RANK_ROPE},
    {"kvan", "attn_kv_a_norm.weight", NORM, RANK, ONE},
    {"k-b", "attn_k_b.weight", HEAD_STACK, PLAIN_HEAD, RANK},
    {"v-b", "attn_v_b.weight", HEAD_STACK, RANK, VALUE},
    {"kv-b", "attn_kv_b.weight", ATTENTION, RANK, PLAIN_VALUES},
    {"sinks", "attn_sinks.weight", BIAS, HEADS, ONE},
    {"router", "ffn_gate_inp.weight", PLAIN, DIM, EXPERTS},
    {"routerb", "ffn_gate_inp.bias", BIAS, EXPERTS, ONE},
    {"choiceb", "exp_probs_b.bias", BIAS, EXPERTS, ONE},
    {"gates", "ffn_gate_exps.weight", SPLIT_STACK, DIM, EXPERT_HIDDEN},
    {"ups", "ffn_up_exps.weight", SPLIT_STACK, DIM, EXPERT_HIDDEN},
    {"downs", "ffn_down_exps.weight", STACK, EXPERT_HIDDEN, DIM},
    {"gatesb", "ffn_gate_exps.bias", LARGE_BIAS, EXPERT_HIDDEN, EXPERTS},
    {"upsb", "ffn_up_exps.bias", LARGE_BIAS, EXPERT_HIDDEN, EXPERTS},
    {"downsb", "ffn_down_exps.bias", BIAS, DIM, EXPERTS},
    {"gateups", "ffn_gate_up_exps.weight", FUSED_STACK, DIM, TWO_EXPERT_HIDDEN},
    {"scale", "layer_output_scale.weight", NORM, ONE, ONE},
    {"routern", "ffn_gate_inp.scale", NORM, DIM, ONE},
    {"downss", "ffn_down_exps.scale", NORM, EXPERTS, ONE},
    {"norm3", "pre_ffw_norm_2.weight", NORM, DIM, ONE},
    {"post3", "post_ffw_norm_1.weight", NORM, DIM, ONE},
    {"post4", "post_ffw_norm_2.weight", NORM, DIM, ONE},
    {"dgate", "ffn_gate.weight", DENSE, DIM, HIDDEN},
    {"dup", "ffn_up.weight", DENSE, DIM, HIDDEN},
    {"ddown", "ffn_down.weight", DENSE, HIDDEN, DIM},
    {"sharedl", "ffn_gate_inp_shexp.weight", PLAIN, DIM, ONE},
    {"sgate", "ffn_gate_shexp.weight", SHARED, DIM, SHARED_HIDDEN},
    {"sup", "ffn_up_shexp.weight", SHARED, DIM, SHARED_HIDDEN},
    {"sdown", "ffn_down_shexp.weight", SHARED, SHARED_HIDDEN, DIM},
};

const struct part *model_part(const char *name, size_t n)
{
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strlen(parts[i].name) == n && memcmp(parts[i].name, name, n) == 0) return &parts[i];
    abort();
}

#define SHARED_EXPERT " sgate sup sdown"

static const struct kin kin[] = {
    {"gemma2", "norm1 q k v o post1 norm2 gate up down post2", false, "", NULL},
    {"gemma3", "norm1 q k v qn kn o post1 norm2 gate up down post2", false, "", NULL},
    {"gemma4", "norm1 q k v qnlow knlow o post1 norm2 dgate dup ddown post2 scale", false, "",
     PLAIN_EXPERTS " routern downss norm3 post3 post4"},
    {"gemma-embedding", "norm1 q k v qn kn o post1 norm2 gate up down post2", false, "", NULL},
    {"olmo2", "q k v qrow krow o post1 gate up down post2", false, "", NULL},
    {"exaone4", "q k v qn kn o post1 gate up down post2", false, "", NULL},
    {"glm4", "norm1 q qb k kb v vb o post1 norm2 gateup down post2", false, "", NULL},
    {"hunyuan-dense", "norm1 q k v qn kn o norm2 gate up down", false, "", NULL},
    {"arcee", "norm1 q k v o norm2 up down", false, "", NULL},
    {"command-r", "norm1 q k v o gate up down", true, "", NULL},
    {"cohere2", "norm1 q k v o gate up down", true, "", NULL},
    {"phi2", "norm1 norm1b q qb k kb v vb o ob up upb down downb", true, "nb", NULL},
    {"starcoder2", "norm1 norm1b q qb k kb v vb o ob norm2 norm2b up upb down downb", true, "n",
     NULL},
    {"stablelm", "norm1 norm1b q qb k kb v vb o norm2 norm2b gate up down", true, "n", NULL},
    {"nemotron", "norm1 norm1b q k v o norm2 norm2b up down", true, "n", NULL},
    {"apertus", "norm1 q k v qn kn o norm2 up down", false, "", NULL},
    {"gpt2", "norm1 norm1b qkv qkvb o ob norm2 norm2b up upb down downb", true, "np", NULL},
    {"gptneox", "norm1 norm1b qkv qkvb o ob norm2 norm2b up upb down downb", true, "n", NULL},
    {"falcon", "norm1 norm1b qkv o up down", true, "n", NULL},
    {"qwen2moe", "norm1 q qb k kb v vb o norm2", false, "", PLAIN_EXPERTS " sharedl" SHARED_EXPERT},
    {"granitemoe", "norm1 q k v o norm2", false, "", PLAIN_EXPERTS SHARED_EXPERT},
    {"olmoe", "norm1 q k v qrow krow o norm2", false, "", NULL},
    {"gpt-oss", "norm1 q qb k kb v vb o ob sinks post1", false, "",
     PLAIN_EXPERTS " routerb gatesb upsb downsb"},
    {"glm4moe", "norm1 q qb k kb v vb qn kn o post1 gate up down", false, "",
     PLAIN_EXPERTS " choiceb" SHARED_EXPERT},
    {"dots1", "norm1 q k v qn kn o norm2 gate up down", false, "",
     PLAIN_EXPERTS " choiceb" SHARED_EXPERT},
    {"ernie4_5-moe", "norm1 q k v o norm2 gate up down", false, "",
     PLAIN_EXPERTS " choiceb" SHARED_EXPERT},
    {"bailingmoe", "norm1 q k v o norm2", false, "", PLAIN_EXPERTS SHARED_EXPERT},
    {"bailingmoe2", "norm1 qkv qn kn o norm2 gate up down", false, "",
     PLAIN_EXPERTS " choiceb" SHARED_EXPERT},
    {"deepseek", "norm1 q k v o norm2 gate up down", false, "", PLAIN_EXPERTS SHARED_EXPERT},
    {"deepseek2", "norm1 kvan kva o norm2 gate up down", false, "",
     PLAIN_EXPERTS " choiceb" SHARED_EXPERT},
    {"minimax-m2", "norm1 q k v qrow krow o norm2", false, "", PLAIN_EXPERTS " choiceb"},
    {"hunyuan-moe", "norm1 q k v qn kn o norm2", false, "", PLAIN_EXPERTS SHARED_EXPERT},
};

const struct kin *model_kin(const struct model_shape *s)
{
    for (size_t i = 0; i < sizeof kin / sizeof *kin; i++)
        if (s->arch && strcmp(kin[i].arch, s->arch) == 0) return &kin[i];
    return NULL;
}

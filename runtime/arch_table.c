#include "arch_table.h"

#define LLAMA QKV | PRE_NORMS | GATED
#define BIASES QKV_BIAS | O_BIAS | FFN_BIAS

const struct arch arch_table[] = {
    {"llama", LLAMA, .may = QKV_BIAS | ROPE_FREQS | EXPERTS, .router = {.normalise = true}},
    {"qwen2", LLAMA | QKV_BIAS, .may = ROPE_FREQS, .traits = NEOX},
    {"qwen3", LLAMA | HEAD_NORM, .may = ROPE_FREQS, .traits = NEOX},
    {"phi3", QKV | PRE_NORMS | FUSED_UP, .may = LONG_ROPE, .traits = NEOX,
     .window = {.read = true}},
    {"smollm3", LLAMA, .may = ROPE_FREQS, .plain_every = 4},
    {"granite", LLAMA, .may = ROPE_FREQS, .traits = SCALES},
    {"internlm2", LLAMA, .may = ROPE_FREQS},
    {"exaone", LLAMA, .may = ROPE_FREQS, .traits = NEOX},
    {"ernie4_5", LLAMA, .may = ROPE_FREQS},
    {"minicpm", LLAMA, .may = LONG_ROPE, .traits = SCALES | ALL_SCALES},
    {"seed_oss", QKV | ATTN_NORM | FFN_NORM_NAMED | GATED, .may = QKV_BIAS | ROPE_FREQS,
     .traits = NEOX},
    {"gemma", LLAMA, .traits = NEOX | ROOT_EMBEDDING, .activation = ACTIVATION_GELU},
    {"gemma2", LLAMA | POST_NORMS, .traits = NEOX | ROOT_EMBEDDING | SOFTCAPS,
     .activation = ACTIVATION_GELU, .wide_heads = 46, .softcaps = {50, 30},
     .window = {.read = true, .size = 4096, .period = 2, .rope_key = true}},
    {"gemma3", LLAMA | POST_NORMS | HEAD_NORM, .traits = NEOX | ROOT_EMBEDDING | SOFTCAPS,
     .activation = ACTIVATION_GELU, .wide_heads = 62,
     .window =
         {.read = true, .period = 6, .rope_key = true, .rope_base = 10000, .rope_unscaled = true}},
    {"gemma-embedding", LLAMA | POST_NORMS | HEAD_NORM, .traits = NEOX | ROOT_EMBEDDING | ENCODER,
     .activation = ACTIVATION_GELU,
     .window =
         {.read = true, .period = 6, .rope_key = true, .rope_base = 10000, .rope_unscaled = true}},
    {"olmo2", QKV | POST_NORMS | GATED | ROW_NORM, .traits = NEOX,
     .window = {.read = true, .period = 4, .rope_unscaled = true}},
    {"exaone4", QKV | POST_NORMS | GATED | HEAD_NORM, .may = ROPE_FREQS,
     .traits = NEOX | NEXT_LAYERS,
     .window = {.read = true, .size = 4096, .period = 4, .n_layers = 64, .others_plain = true}},
    {"mistral3", LLAMA, .may = QKV_BIAS | ROPE_FREQS, .traits = TEMPERATURE},
    {"glm4", QKV | PRE_NORMS | FUSED_UP | POST_NORMS, .may = QKV_BIAS, .traits = NEXT_LAYERS},
    {"hunyuan-dense", LLAMA | HEAD_NORM, .may = QKV_BIAS, .traits = NEOX | LATE_HEAD_NORM},
    {"arcee", QKV | PRE_NORMS | UNGATED, .may = QKV_BIAS | ROPE_FREQS,
     .activation = ACTIVATION_RELU2},
    {"command-r", QKV | ATTN_NORM | GATED, .may = OWN_GAINS, .traits = CENTERED | LOGIT_SCALE},
    {"cohere2", QKV | ATTN_NORM | GATED, .may = QKV_BIAS | ROPE_FREQS,
     .traits = CENTERED | LOGIT_SCALE, .window = {.read = true, .period = 4, .others_plain = true}},
    {"phi2", QKV | BIASES | ATTN_NORM | NORM_BIAS | UNGATED | OUTPUT_BIAS,
     .traits = NEOX | CENTERED, .activation = ACTIVATION_GELU},
    {"starcoder2", QKV | PRE_NORMS | NORM_BIAS | UNGATED | O_BIAS | FFN_BIAS, .may = QKV_BIAS,
     .traits = NEOX | CENTERED, .activation = ACTIVATION_GELU},
    {"stablelm", QKV | ATTN_NORM | NORM_BIAS | GATED, .may = FFN_NORM | QKV_BIAS | OWN_GAINS,
     .traits = NEOX | CENTERED},
    {"nemotron", QKV | PRE_NORMS | NORM_BIAS | UNGATED, .may = BIASES, .traits = NEOX | CENTERED,
     .activation = ACTIVATION_RELU2},
    {"apertus", QKV | PRE_NORMS | UNGATED | HEAD_NORM, .may = ROPE_FREQS, .traits = NEOX,
     .activation = ACTIVATION_XIELU},
    {"gpt2", QKV | BIASES | PRE_NORMS | NORM_BIAS | UNGATED | POSITIONS, .traits = CENTERED,
     .activation = ACTIVATION_GELU, .plain_every = 1},
    {"gptneox", QKV | BIASES | PRE_NORMS | NORM_BIAS | UNGATED,
     .traits = NEOX | CENTERED | PARALLEL_KEY, .activation = ACTIVATION_GELU},
    {"falcon", QKV | ATTN_NORM | NORM_BIAS | UNGATED, .may = SECOND_NORM, .traits = NEOX | CENTERED,
     .activation = ACTIVATION_GELU},
    {"qwen2moe", LLAMA | EXPERTS | SHARED | SHARED_GATE, .may = QKV_BIAS | ROPE_FREQS,
     .traits = NEOX},
    {"qwen3moe", LLAMA | HEAD_NORM | EXPERTS, .may = ROPE_FREQS, .traits = NEOX,
     .router = {.normalise = true}},
    {"olmoe", LLAMA | ROW_NORM | EXPERTS, .may = ROPE_FREQS, .traits = NEOX},
    {"granitemoe", LLAMA | EXPERTS, .may = SHARED | ROPE_FREQS, .traits = SCALES,
     .router = {.normalise = true}},
    {"gpt-oss",
     QKV | QKV_BIAS | O_BIAS | SINKS | ATTN_NORM | FFN_NORM_NAMED | GATED | EXPERTS | EXPERT_BIAS,
     .traits = NEOX, .activation = ACTIVATION_SILU_CLAMPED, .window = {.read = true, .period = 2},
     .router = {.gate = ROUTER_SOFTMAX_CHOSEN}},
    {"glm4moe", QKV | ATTN_NORM | FFN_NORM_NAMED | GATED | EXPERTS | CHOICE_BIAS,
     .may = QKV_BIAS | HEAD_NORM | SHARED, .traits = NEOX | NEXT_LAYERS,
     .router = {.gate = ROUTER_SIGMOID, .keys = true}},
    {"dots1", LLAMA | HEAD_NORM | EXPERTS, .may = SHARED | CHOICE_BIAS, .traits = NEOX,
     .router = {.keys = true}},
    {"ernie4_5-moe", LLAMA | EXPERTS, .may = QKV_BIAS | SHARED | CHOICE_BIAS,
     .router = {.normalise = true}},
    {"bailingmoe", LLAMA | EXPERTS, .may = SHARED | ROPE_FREQS, .router = {.keys = true}},
    {"bailingmoe2", FUSED_QKV | PRE_NORMS | GATED | HEAD_NORM | EXPERTS,
     .may = SHARED | CHOICE_BIAS, .traits = NEOX | NEXT_LAYERS, .router = {.keys = true}},
    {"deepseek", LLAMA | EXPERTS, .may = SHARED | ROPE_FREQS, .router = {.keys = true}},
    {"deepseek2", LATENT | PRE_NORMS | GATED, .may = EXPERTS | SHARED | CHOICE_BIAS,
     .traits = TEMPERATURE, .router = {.keys = true}},
    {"minimax-m2", LLAMA | ROW_NORM | EXPERTS | CHOICE_BIAS, .traits = NEOX,
     .router = {.gate = ROUTER_SIGMOID, .normalise = true, .keys = true}},
    {"hunyuan-moe", LLAMA | HEAD_NORM | EXPERTS, .may = SHARED, .traits = NEOX | LATE_HEAD_NORM,
     .router = {.normalise = true}},
    {"bert", QKV | QKV_BIAS | O_BIAS | UNGATED | FFN_BIAS | EMBD_NORM | NORMS_AFTER | POSITIONS,
     .may = TYPES | NORM_BIAS, .traits = CENTERED | ENCODER, .activation = ACTIVATION_GELU,
     .plain_every = 1},
    {"nomic-bert", QKV | GATED | EMBD_NORM | NORMS_AFTER,
     .may = TYPES | NORM_BIAS | QKV_BIAS | O_BIAS, .traits = NEOX | CENTERED | ENCODER},
    {"nomic-bert-moe", QKV | UNGATED | EMBD_NORM | NORMS_AFTER | EXPERTS,
     .may = TYPES | NORM_BIAS | QKV_BIAS | O_BIAS | FFN_BIAS, .traits = NEOX | CENTERED | ENCODER,
     .activation = ACTIVATION_GELU},
    {"modern-bert", QKV | FFN_NORM | FUSED_UP | EMBD_NORM, .may = ATTN_NORM | NORM_BIAS,
     .traits = NEOX | CENTERED | ENCODER, .activation = ACTIVATION_GELU,
     .window = {.read = true, .period = 3, .full_first = true, .rope_key = true}},
};
const uint32_t arch_n = sizeof arch_table / sizeof *arch_table;

#define LAYER(name, slot, rows, cols, group)                                                       \
    {                                                                                              \
        "blk.%u." name, slot, rows, cols, EACH_LAYER, group, 0                                     \
    }
#define LAYER_VECTOR(name, slot, dim, group)                                                       \
    {                                                                                              \
        "blk.%u." name, slot, ONE, dim, EACH_LAYER | F32, group, 0                                 \
    }
/* Which of them there must be, arch_latent.c knows. */
#define LATENT_PART(name, slot, rows, cols, flags)                                                 \
    {                                                                                              \
        "blk.%u." name, slot, rows, cols, EACH_LAYER | OPTIONAL | (flags), LATENT, 0               \
    }
/* In layers without experts, and in those with some. */
#define DENSE(name, slot, rows, cols, flags, group)                                                \
    {                                                                                              \
        "blk.%u." name, slot, rows, cols, EACH_LAYER | WITHOUT_EXPERTS | (flags), group, 0         \
    }
#define EXPERT(name, slot, rows, cols, flags, group)                                               \
    {                                                                                              \
        "blk.%u." name, slot, rows, cols, EACH_LAYER | WITH_EXPERTS | (flags), group, 0            \
    }
#define VECTOR(name, slot, dim, group)                                                             \
    {                                                                                              \
        name, slot, ONE, dim, F32, group, 0                                                        \
    }

const struct tensor_rule arch_rules[] = {
    {"token_embd.weight", SLOT_TOKEN_EMBD, VOCAB, DIM, 0, 0, 0},
    {"token_types.weight", SLOT_TYPE_EMBD, N_TYPES, DIM, 0, TYPES, 0},
    VECTOR("token_embd_norm.weight", SLOT_EMBD_NORM, DIM, EMBD_NORM),
    {"token_embd_norm.bias", SLOT_EMBD_NORM_BIAS, ONE, DIM, F32, NORM_BIAS, EMBD_NORM},
    {"position_embd.weight", SLOT_POSITION_EMBD, CONTEXT, DIM, 0, POSITIONS, 0},
    VECTOR("output_norm.weight", SLOT_OUTPUT_NORM, DIM, PRE_NORMS | SECOND_NORM | POST_NORMS),
    VECTOR("output_norm.bias", SLOT_OUTPUT_NORM_BIAS, DIM, NORM_BIAS),
    {"output.weight", SLOT_OUTPUT, VOCAB, DIM, OPTIONAL, 0, 0},
    VECTOR("output.bias", SLOT_OUTPUT_BIAS, VOCAB, OUTPUT_BIAS),
    VECTOR("rope_freqs.weight", SLOT_ROPE_FREQS, ROPE_PAIRS, ROPE_FREQS),
    VECTOR("rope_factors_long.weight", SLOT_ROPE_LONG, ROPE_PAIRS, LONG_ROPE),
    VECTOR("rope_factors_short.weight", SLOT_ROPE_SHORT, ROPE_PAIRS, LONG_ROPE),
    LAYER_VECTOR("attn_norm.weight", SLOT_ATTN_NORM, DIM, ATTN_NORM),
    {"blk.%u.attn_norm.bias", SLOT_ATTN_NORM_BIAS, ONE, DIM, EACH_LAYER | F32, NORM_BIAS,
     ATTN_NORM},
    LAYER_VECTOR("attn_norm.weight", SLOT_FFN_NORM, DIM, SECOND_NORM),
    {"blk.%u.attn_norm.bias", SLOT_FFN_NORM_BIAS, ONE, DIM, EACH_LAYER | F32, NORM_BIAS,
     SECOND_NORM},
    LAYER_VECTOR("attn_norm_2.weight", SLOT_ATTN_NORM, DIM, SECOND_NORM),
    {"blk.%u.attn_norm_2.bias", SLOT_ATTN_NORM_BIAS, ONE, DIM, EACH_LAYER | F32, NORM_BIAS,
     SECOND_NORM},
    LAYER("attn_qkv.weight", SLOT_QKV, QKV_ROWS, DIM, FUSED_QKV),
    LAYER_VECTOR("attn_qkv.bias", SLOT_QKV_BIAS, QKV_ROWS, FUSED_BIAS),
    LAYER("attn_q.weight", SLOT_Q, Q_ROWS, DIM, QKV),
    LAYER("attn_k.weight", SLOT_K, K_ROWS, DIM, QKV),
    LAYER("attn_v.weight", SLOT_V, V_ROWS, DIM, QKV),
    LATENT_PART("attn_q.weight", SLOT_Q, QUERIES, DIM, 0),
    LATENT_PART("attn_q_a.weight", SLOT_Q_A, Q_RANK, DIM, 0),
    LATENT_PART("attn_q_a_norm.weight", SLOT_Q_A_NORM, ONE, Q_RANK, F32),
    LATENT_PART("attn_q_b.weight", SLOT_Q_B, QUERIES, Q_RANK, 0),
    LAYER("attn_kv_a_mqa.weight", SLOT_KV_A, K_ROWS, DIM, LATENT),
    LAYER_VECTOR("attn_kv_a_norm.weight", SLOT_KV_A_NORM, RANK, LATENT),
    LATENT_PART("attn_k_b.weight", SLOT_K_B, RANK, PLAIN_KEY, STACKED_HEADS),
    LATENT_PART("attn_v_b.weight", SLOT_V_B, VALUE, RANK, STACKED_HEADS),
    LATENT_PART("attn_kv_b.weight", SLOT_KV_B, PLAIN_VALUES, RANK, 0),
    LAYER_VECTOR("attn_q.bias", SLOT_Q_BIAS, Q_ROWS, QKV_BIAS),
    LAYER_VECTOR("attn_k.bias", SLOT_K_BIAS, K_ROWS, QKV_BIAS),
    LAYER_VECTOR("attn_v.bias", SLOT_V_BIAS, V_ROWS, QKV_BIAS),
    LAYER_VECTOR("attn_q_norm.weight", SLOT_Q_NORM, HEAD, HEAD_NORM),
    LAYER_VECTOR("attn_k_norm.weight", SLOT_K_NORM, HEAD, HEAD_NORM),
    LAYER_VECTOR("attn_q_norm.weight", SLOT_Q_NORM, Q_ROWS, ROW_NORM),
    LAYER_VECTOR("attn_k_norm.weight", SLOT_K_NORM, K_ROWS, ROW_NORM),
    {"blk.%u.attn_q_norm.weight", SLOT_Q_NORM, N_HEADS, HEAD, EACH_LAYER | F32, OWN_GAINS, 0},
    {"blk.%u.attn_k_norm.weight", SLOT_K_NORM, N_KV_HEADS, HEAD, EACH_LAYER | F32, OWN_GAINS, 0},
    LAYER("attn_output.weight", SLOT_O, DIM, ATTENDED, 0),
    LAYER_VECTOR("attn_output.bias", SLOT_O_BIAS, DIM, O_BIAS),
    LAYER_VECTOR("post_attention_norm.weight", SLOT_ATTN_POST, DIM, POST_NORMS),
    LAYER_VECTOR("attn_output_norm.weight", SLOT_ATTN_POST, DIM, NORMS_AFTER),
    LAYER_VECTOR("attn_output_norm.bias", SLOT_ATTN_POST_BIAS, DIM, NORMS_AFTER),
    LAYER_VECTOR("layer_output_norm.weight", SLOT_FFN_POST, DIM, NORMS_AFTER),
    LAYER_VECTOR("layer_output_norm.bias", SLOT_FFN_POST_BIAS, DIM, NORMS_AFTER),
    LAYER_VECTOR("ffn_norm.weight", SLOT_FFN_NORM, DIM, FFN_NORM),
    {"blk.%u.ffn_norm.bias", SLOT_FFN_NORM_BIAS, ONE, DIM, EACH_LAYER | F32, NORM_BIAS, FFN_NORM},
    LAYER_VECTOR("post_attention_norm.weight", SLOT_FFN_NORM, DIM, FFN_NORM_NAMED),
    DENSE("ffn_gate.weight", SLOT_GATE, HIDDEN, DIM, 0, GATED),
    DENSE("ffn_up.weight", SLOT_UP, HIDDEN, DIM, 0, GATED | UNGATED),
    DENSE("ffn_up.weight", SLOT_GATE_UP, TWO_HIDDEN, DIM, 0, FUSED_UP),
    DENSE("ffn_up.bias", SLOT_UP_BIAS, ONE, HIDDEN, F32, FFN_BIAS),
    DENSE("ffn_down.weight", SLOT_DOWN, DIM, HIDDEN, 0, 0),
    DENSE("ffn_down.bias", SLOT_DOWN_BIAS, ONE, DIM, F32, FFN_BIAS),
    EXPERT("ffn_gate_inp.weight", SLOT_ROUTER, N_EXPERTS, DIM, 0, EXPERTS),
    {"blk.%u.ffn_gate_exps.weight", SLOT_EXPERT_GATE, EXPERT_HIDDEN, DIM,
     EACH_LAYER | WITH_EXPERTS | STACKED, EXPERTS, GATED},
    EXPERT("ffn_up_exps.weight", SLOT_EXPERT_UP, EXPERT_HIDDEN, DIM, STACKED, EXPERTS),
    EXPERT("ffn_down_exps.weight", SLOT_EXPERT_DOWN, DIM, EXPERT_HIDDEN, STACKED, EXPERTS),
    EXPERT("ffn_gate_inp.bias", SLOT_ROUTER_BIAS, ONE, N_EXPERTS, F32, EXPERT_BIAS),
    EXPERT("ffn_gate_exps.bias", SLOT_EXPERT_GATE_BIAS, N_EXPERTS, EXPERT_HIDDEN, F32, EXPERT_BIAS),
    EXPERT("ffn_up_exps.bias", SLOT_EXPERT_UP_BIAS, N_EXPERTS, EXPERT_HIDDEN, F32, EXPERT_BIAS),
    EXPERT("ffn_down_exps.bias", SLOT_EXPERT_DOWN_BIAS, N_EXPERTS, DIM, F32, EXPERT_BIAS),
    EXPERT("exp_probs_b.bias", SLOT_CHOICE_BIAS, ONE, N_EXPERTS, F32, CHOICE_BIAS),
    EXPERT("ffn_gate_inp_shexp.weight", SLOT_SHARED_LOGIT, ONE, DIM, 0, SHARED_GATE),
    EXPERT("ffn_gate_shexp.weight", SLOT_SHARED_GATE, SHARED_HIDDEN, DIM, 0, SHARED),
    EXPERT("ffn_up_shexp.weight", SLOT_SHARED_UP, SHARED_HIDDEN, DIM, 0, SHARED),
    EXPERT("ffn_down_shexp.weight", SLOT_SHARED_DOWN, DIM, SHARED_HIDDEN, 0, SHARED),
    LAYER_VECTOR("attn_sinks.weight", SLOT_SINKS, N_HEADS, SINKS),
    LAYER_VECTOR("post_ffw_norm.weight", SLOT_FFN_POST, DIM, POST_NORMS),
};
const uint32_t arch_n_rules = sizeof arch_rules / sizeof *arch_rules;

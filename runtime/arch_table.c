#include "arch_table.h"

#define LLAMA QKV | PRE_NORMS | GATED

const struct arch arch_table[] = {
    {"llama", LLAMA, .may = QKV_BIAS | ROPE_FREQS},
    {"qwen2", LLAMA | QKV_BIAS, .may = ROPE_FREQS, .traits = NEOX},
    {"qwen3", LLAMA | HEAD_NORM, .may = ROPE_FREQS, .traits = NEOX},
    {"phi3", FUSED_QKV | PRE_NORMS | FUSED_UP, .may = LONG_ROPE, .traits = NEOX},
    {"smollm3", LLAMA, .may = ROPE_FREQS, .plain_every = 4},
    {"granite", LLAMA, .may = ROPE_FREQS, .traits = SCALES},
    {"internlm2", LLAMA, .may = ROPE_FREQS},
    {"exaone", LLAMA, .may = ROPE_FREQS, .traits = NEOX},
    {"ernie4_5", LLAMA, .may = ROPE_FREQS},
    {"minicpm", LLAMA, .may = LONG_ROPE, .traits = SCALES | ALL_SCALES},
    {"seed_oss", QKV | ATTN_NORM | FFN_NORM_NAMED | GATED, .may = QKV_BIAS | ROPE_FREQS,
     .traits = NEOX},
    {"bert", QKV | QKV_BIAS | O_BIAS | UNGATED | FFN_BIAS | EMBD_NORM | NORMS_AFTER | POSITIONS,
     .may = TYPES | NORM_BIAS, .traits = CENTERED | ENCODER, .activation = ACTIVATION_GELU},
    {"nomic-bert", QKV | GATED | EMBD_NORM | NORMS_AFTER,
     .may = TYPES | NORM_BIAS | QKV_BIAS | O_BIAS, .traits = NEOX | CENTERED | ENCODER},
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
    VECTOR("output_norm.weight", SLOT_OUTPUT_NORM, DIM, PRE_NORMS | POST_NORMS),
    VECTOR("output_norm.bias", SLOT_OUTPUT_NORM_BIAS, DIM, NORM_BIAS),
    {"output.weight", SLOT_OUTPUT, VOCAB, DIM, OPTIONAL, 0, 0},
    VECTOR("output.bias", SLOT_OUTPUT_BIAS, VOCAB, OUTPUT_BIAS),
    VECTOR("rope_freqs.weight", SLOT_ROPE_FREQS, ROPE_PAIRS, ROPE_FREQS),
    VECTOR("rope_factors_long.weight", SLOT_ROPE_LONG, ROPE_PAIRS, LONG_ROPE),
    VECTOR("rope_factors_short.weight", SLOT_ROPE_SHORT, ROPE_PAIRS, LONG_ROPE),
    LAYER_VECTOR("attn_norm.weight", SLOT_ATTN_NORM, DIM, ATTN_NORM),
    LAYER_VECTOR("attn_norm.bias", SLOT_ATTN_NORM_BIAS, DIM, NORM_BIAS),
    LAYER("attn_qkv.weight", SLOT_QKV, QKV_ROWS, DIM, FUSED_QKV),
    LAYER_VECTOR("attn_qkv.bias", SLOT_QKV_BIAS, QKV_ROWS, FUSED_BIAS),
    LAYER("attn_q.weight", SLOT_Q, Q_ROWS, DIM, QKV),
    LAYER("attn_k.weight", SLOT_K, KV_ROWS, DIM, QKV),
    LAYER("attn_v.weight", SLOT_V, KV_ROWS, DIM, QKV),
    LAYER_VECTOR("attn_q.bias", SLOT_Q_BIAS, Q_ROWS, QKV_BIAS),
    LAYER_VECTOR("attn_k.bias", SLOT_K_BIAS, KV_ROWS, QKV_BIAS),
    LAYER_VECTOR("attn_v.bias", SLOT_V_BIAS, KV_ROWS, QKV_BIAS),
    LAYER_VECTOR("attn_q_norm.weight", SLOT_Q_NORM, HEAD, HEAD_NORM),
    LAYER_VECTOR("attn_k_norm.weight", SLOT_K_NORM, HEAD, HEAD_NORM),
    LAYER_VECTOR("attn_q_norm.weight", SLOT_Q_NORM, Q_ROWS, ROW_NORM),
    LAYER_VECTOR("attn_k_norm.weight", SLOT_K_NORM, KV_ROWS, ROW_NORM),
    LAYER("attn_output.weight", SLOT_O, DIM, Q_ROWS, 0),
    LAYER_VECTOR("attn_output.bias", SLOT_O_BIAS, DIM, O_BIAS),
    LAYER_VECTOR("post_attention_norm.weight", SLOT_ATTN_POST, DIM, POST_NORMS),
    LAYER_VECTOR("attn_output_norm.weight", SLOT_ATTN_POST, DIM, NORMS_AFTER),
    LAYER_VECTOR("attn_output_norm.bias", SLOT_ATTN_POST_BIAS, DIM, NORMS_AFTER),
    LAYER_VECTOR("layer_output_norm.weight", SLOT_FFN_POST, DIM, NORMS_AFTER),
    LAYER_VECTOR("layer_output_norm.bias", SLOT_FFN_POST_BIAS, DIM, NORMS_AFTER),
    LAYER_VECTOR("ffn_norm.weight", SLOT_FFN_NORM, DIM, FFN_NORM),
    {"blk.%u.ffn_norm.bias", SLOT_FFN_NORM_BIAS, ONE, DIM, EACH_LAYER | F32, NORM_BIAS, FFN_NORM},
    LAYER_VECTOR("post_attention_norm.weight", SLOT_FFN_NORM, DIM, FFN_NORM_NAMED),
    LAYER("ffn_gate.weight", SLOT_GATE, HIDDEN, DIM, GATED),
    LAYER("ffn_up.weight", SLOT_UP, HIDDEN, DIM, GATED | UNGATED),
    LAYER("ffn_up.weight", SLOT_GATE_UP, TWO_HIDDEN, DIM, FUSED_UP),
    LAYER_VECTOR("ffn_up.bias", SLOT_UP_BIAS, HIDDEN, FFN_BIAS),
    LAYER("ffn_down.weight", SLOT_DOWN, DIM, HIDDEN, 0),
    LAYER_VECTOR("ffn_down.bias", SLOT_DOWN_BIAS, DIM, FFN_BIAS),
    LAYER_VECTOR("post_ffw_norm.weight", SLOT_FFN_POST, DIM, POST_NORMS),
};
const uint32_t arch_n_rules = sizeof arch_rules / sizeof *arch_rules;

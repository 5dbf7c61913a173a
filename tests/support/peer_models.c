#include "peer_models.h"

#define FIELDS(...)                                                                                \
    {                                                                                              \
        .dim = 64, .n_layers = 2, .n_heads = 4, .n_kv_heads = 2, .head_dim = 16, .hidden = 96,     \
        .vocab = PEER_VOCAB, .context = 2048, .rope_base = 10000, .rope_factor = 4, .seed = 5,     \
        __VA_ARGS__                                                                                \
    }
/* A shape and its limit. */
#define SHAPE(...) FIELDS(__VA_ARGS__), 1e-9
#define GELU_SHAPE(...) FIELDS(__VA_ARGS__), 1e-6 /* llama.cpp takes GELU from a table of f16 */
/* Four formats in one model. llama.cpp rounds what it multiplies with them; of the embedding it
 * takes rows as they are. */
#define FORMATS(embedding_, attention_, ffn_, output_)                                             \
    FIELDS(.dim = 256, .head_dim = 64, .hidden = 256, .embedding = QUANT_##embedding_,             \
           .attention = QUANT_##attention_, .ffn = QUANT_##ffn_, .output = QUANT_##output_),       \
        3e-3
#define F32(key, number)                                                                           \
    {                                                                                              \
        key, GGUF_F32, number                                                                      \
    }
#define GEMMA4(...)                                                                                \
    GELU_SHAPE(.arch = "gemma4", .n_layers = 6, .tied = true, .n_kv_heads = 1, .head_dim = 64,     \
               .window_period = 3, .window_head_dim = 32, .window_kv_heads = 2,                    \
               .rope = MODEL_ROPE_PART, .rope_base = 1e6f,                                         \
               .keys = {WINDOW(17), F32("rope.freq_base_swa", 10000),                              \
                        F32("final_logit_softcapping", 3)},                                        \
               __VA_ARGS__)
#define WINDOW(size)                                                                               \
    {                                                                                              \
        "attention.sliding_window", GGUF_U32, size                                                 \
    }

/* Of q's head `plain` dimensions and `turned` ones. */
#define LATENT(rank_, q_rank_, plain, turned, value_)                                              \
    .head_dim = (plain) + (turned), .rope_dims = (turned), .latent.rank = (rank_),                 \
    .latent.q_rank = (q_rank_), .v_dim = (value_)
#define SIGMOID_EXPERTS                                                                            \
    .experts = {.n = 8,                                                                            \
                .used = 3,                                                                         \
                .hidden = 32,                                                                      \
                .shared = 32,                                                                      \
                .dense = 1,                                                                        \
                .groups = 4,                                                                       \
                .groups_used = 2,                                                                  \
                .gating = 2,                                                                       \
                .norm = true,                                                                      \
                .scale = 2.5f}
#define SOFTMAX_EXPERTS                                                                            \
    .experts = {.n = 6, .used = 2, .hidden = 32, .shared = 64, .dense = 1, .gating = 1, .scale = 1}

/* A field named again counts the last time. */
#if defined __clang__
#pragma clang diagnostic ignored "-Winitializer-overrides"
#elif defined __GNUC__
#pragma GCC diagnostic ignored "-Woverride-init"
#endif

const struct peer_model peer_models[] = {
    {"llama", SHAPE(.arch = "llama")},
    {"llama-tied", SHAPE(.arch = "llama", .tied = true)},
    {"llama-bias", SHAPE(.arch = "llama", .bias = true)},
    {"llama-linear", SHAPE(.rope = MODEL_ROPE_LINEAR, .rope_original_context = 128)},
    {"llama-yarn", SHAPE(.rope = MODEL_ROPE_YARN, .rope_original_context = 32)},
    {"llama-3", SHAPE(.rope = MODEL_ROPE_LLAMA3, .rope_original_context = 32)},
    {"qwen2", SHAPE(.arch = "qwen2", .bias = true)},
    {"qwen2-odd", SHAPE(.arch = "qwen2", .bias = true, .dim = 80, .n_heads = 2, .n_kv_heads = 1,
                        .head_dim = 40)},
    {"qwen3", SHAPE(.arch = "qwen3", .qk_norm = true, .head_dim = 32)},
    {"qwen3-odd", SHAPE(.arch = "qwen3", .qk_norm = true, .head_dim = 24, .tied = true)},
    {"phi3", SHAPE(.arch = "phi3", .fused = true)},
    {"phi3-odd", SHAPE(.arch = "phi3", .fused = true, .dim = 72, .n_heads = 3, .n_kv_heads = 1,
                       .head_dim = 24, .hidden = 100)},
    {"phi3-short",
     SHAPE(.arch = "phi3", .fused = true, .rope = MODEL_ROPE_LONG, .rope_original_context = 1024)},
    {"phi3-long",
     SHAPE(.arch = "phi3", .fused = true, .rope = MODEL_ROPE_LONG, .rope_original_context = 64)},
    {"smollm3", SHAPE(.arch = "smollm3", .n_layers = 5)},
    {"granite", SHAPE(.arch = "granite", .n_layers = 3, .scales = true)},
    {"internlm2", SHAPE(.arch = "internlm2")},
    {"exaone", SHAPE(.arch = "exaone")},
    {"ernie4_5", SHAPE(.arch = "ernie4_5")},
    {"minicpm", SHAPE(.arch = "minicpm", .scales = true)},
    {"seed_oss", SHAPE(.arch = "seed_oss", .bias = true)},
    {"gemma", GELU_SHAPE(.arch = "gemma", .tied = true, .head_dim = 32)},
    {"gemma2", GELU_SHAPE(.arch = "gemma2", .n_layers = 3, .tied = true, .head_dim = 32,
                          .keys = {WINDOW(17), F32("attn_logit_softcapping", 5),
                                   F32("final_logit_softcapping", 3)})},
    {"gemma2-far",
     GELU_SHAPE(.arch = "gemma2", .n_layers = 3, .tied = true, .keys = {WINDOW(100)})},
    {"gemma3", GELU_SHAPE(.arch = "gemma3", .n_layers = 7, .tied = true, .rope_base = 1e6f,
                          .keys = {WINDOW(17)})},
    {"gemma3-linear",
     GELU_SHAPE(.arch = "gemma3", .n_layers = 6, .tied = true, .rope_base = 1e6f,
                .rope = MODEL_ROPE_LINEAR, .rope_original_context = 128, .keys = {WINDOW(17)})},
    {"gemma3-far", GELU_SHAPE(.arch = "gemma3", .n_layers = 7, .tied = true, .rope_base = 1e6f,
                              .keys = {WINDOW(70)})},
    {"gemma4", GEMMA4(.hidden = 96)},
    {"gemma4-far", GEMMA4(.n_layers = 3, .window_period = 2, .window_kv_heads = 1)},
    {"gemma4-experts", GEMMA4(.experts = {.n = 5, .used = 2, .hidden = 32})},
    {"gemma4-experts-fused", GEMMA4(.experts = {.n = 4, .used = 3, .hidden = 32}, .fused = true)},
    {"olmo2", SHAPE(.arch = "olmo2")},
    {"olmo2-far", SHAPE(.arch = "olmo2", .n_layers = 5, .rope = MODEL_ROPE_YARN,
                        .rope_original_context = 128, .keys = {WINDOW(65)})},
    {"exaone4", SHAPE(.arch = "exaone4")},
    {"exaone4-far", SHAPE(.arch = "exaone4", .n_layers = 64, .dim = 32, .n_heads = 2,
                          .n_kv_heads = 1, .hidden = 32, .keys = {WINDOW(40)})},
    {"exaone4-next", SHAPE(.arch = "exaone4", .next_layers = 1)},
    {"mistral3", SHAPE(.arch = "mistral3", .rope = MODEL_ROPE_YARN, .rope_original_context = 32)},
    {"mistral3-far", SHAPE(.arch = "mistral3", .rope = MODEL_ROPE_YARN, .rope_original_context = 32,
                           .keys = {F32("attention.temperature_scale", 0.5),
                                    F32("rope.scaling.yarn_log_multiplier", 1)})},
    {"glm4", SHAPE(.arch = "glm4", .rope_dims = 8)},
    {"glm4-next", SHAPE(.arch = "glm4", .rope_dims = 8, .next_layers = 2)},
    {"hunyuan-dense", SHAPE(.arch = "hunyuan-dense")},
    {"arcee", SHAPE(.arch = "arcee")},
    {"command-r", SHAPE(.arch = "command-r", .tied = true, .keys = {F32("logit_scale", 0.25)})},
    {"command-r-heads", SHAPE(.arch = "command-r", .n_layers = 64, .hidden = 32, .tied = true,
                              .layer = "norm1 q k v qheads kheads o gate up down",
                              .keys = {F32("logit_scale", 0.25)})},
    {"cohere2", SHAPE(.arch = "cohere2", .n_layers = 5, .tied = true,
                      .keys = {WINDOW(17), F32("logit_scale", 0.25)})},
    {"phi2", GELU_SHAPE(.arch = "phi2", .rope_dims = 8)},
    {"starcoder2", GELU_SHAPE(.arch = "starcoder2", .tied = true)},
    {"stablelm", SHAPE(.arch = "stablelm", .rope_dims = 4)},
    {"stablelm-parallel",
     SHAPE(.arch = "stablelm", .rope_dims = 4, .layer = "norm1 norm1b q k v o gate up down")},
    {"stablelm-heads", SHAPE(.arch = "stablelm", .rope_dims = 4,
                             .layer = "norm1 norm1b q k v qheads kheads o gate up down")},
    {"nemotron", SHAPE(.arch = "nemotron", .rope_dims = 8)},
    {"apertus", SHAPE(.arch = "apertus", .keys = {{"xielu.alpha_n", GGUF_ARRAY, 0.5},
                                                  {"xielu.alpha_p", GGUF_ARRAY, 0.75},
                                                  {"xielu.beta", GGUF_ARRAY, 0.5},
                                                  {"xielu.eps", GGUF_ARRAY, -1e-6}})},
    {"gpt2", GELU_SHAPE(.arch = "gpt2", .tied = true, .context = 256)},
    {"gptneox", GELU_SHAPE(.arch = "gptneox", .rope_dims = 4,
                           .keys = {{"use_parallel_residual", GGUF_BOOL, 1}})},
    {"gptneox-serial", GELU_SHAPE(.arch = "gptneox", .rope_dims = 4,
                                  .keys = {{"use_parallel_residual", GGUF_BOOL, 0}})},
    {"falcon", GELU_SHAPE(.arch = "falcon", .n_kv_heads = 1)},
    {"falcon-two",
     GELU_SHAPE(.arch = "falcon", .layer = "norm1 norm1b norm1-2 norm1-2b qkv o up down")},
    {"mixtral", SHAPE(.arch = "llama", .experts = {.n = 5, .used = 2, .hidden = 96})},
    {"qwen2moe",
     SHAPE(.arch = "qwen2moe", .experts = {.n = 6, .used = 3, .hidden = 32, .shared = 96})},
    {"qwen3moe", SHAPE(.arch = "qwen3moe", .qk_norm = true, .head_dim = 32,
                       .experts = {.n = 10, .used = 4, .hidden = 64})},
    {"granitemoe",
     SHAPE(.arch = "granitemoe", .scales = true, .experts = {.n = 8, .used = 3, .hidden = 96})},
    {"granitemoe-shared", SHAPE(.arch = "granitemoe", .scales = true, .tied = true,
                                .experts = {.n = 8, .used = 3, .hidden = 96, .shared = 64})},
    {"gpt-oss",
     SHAPE(.arch = "gpt-oss", .n_layers = 3, .keys = {WINDOW(17)}, .rope = MODEL_ROPE_YARN,
           .rope_original_context = 32, .experts = {.n = 8, .used = 4, .hidden = 64})},
    {"glm4moe", SHAPE(.arch = "glm4moe", .n_layers = 3, .rope_dims = 8, .next_layers = 1,
                      .experts = {.n = 9,
                                  .used = 4,
                                  .hidden = 32,
                                  .shared = 32,
                                  .dense = 1,
                                  .gating = 2,
                                  .norm = true,
                                  .scale = 1.5f})},
    {"dots1", SHAPE(.arch = "dots1", .n_layers = 3, .n_kv_heads = 4, .qk_norm = true,
                    .experts = {.n = 12,
                                .used = 3,
                                .hidden = 24,
                                .shared = 48,
                                .dense = 1,
                                .gating = 2,
                                .norm = true,
                                .scale = 2.5f})},
    {"ernie4_5-moe", SHAPE(.arch = "ernie4_5-moe", .n_layers = 3,
                           .experts = {.n = 8, .used = 3, .hidden = 32, .shared = 64, .dense = 1})},
    {"bailingmoe", SHAPE(.arch = "bailingmoe", .experts = {.n = 8,
                                                           .used = 3,
                                                           .hidden = 40,
                                                           .shared = 80,
                                                           .gating = 1,
                                                           .norm = false,
                                                           .scale = 1})},
    {"bailingmoe2", SHAPE(.arch = "bailingmoe2", .n_layers = 3,
                          .experts = {.n = 16,
                                      .used = 4,
                                      .hidden = 32,
                                      .shared = 32,
                                      .groups = 4,
                                      .groups_used = 2,
                                      .gating = 2,
                                      .norm = true,
                                      .scale = 2.5f})},
    {"olmoe",
     SHAPE(.arch = "olmoe", .n_kv_heads = 4, .experts = {.n = 16, .used = 5, .hidden = 96})},
    {"deepseek", SHAPE(.arch = "deepseek", .n_layers = 3,
                       .experts = {.n = 8,
                                   .used = 3,
                                   .hidden = 32,
                                   .shared = 64,
                                   .dense = 1,
                                   .gating = 1,
                                   .norm = false,
                                   .scale = 1})},
    {"minimax-m2",
     SHAPE(.arch = "minimax-m2", .rope_dims = 8,
           .experts = {.n = 12, .used = 4, .hidden = 96, .gating = 2, .norm = true, .scale = 1})},
    {"hunyuan-moe",
     SHAPE(.arch = "hunyuan-moe", .experts = {.n = 6, .used = 2, .hidden = 96, .shared = 64})},
    {"deepseek2", SHAPE(.arch = "deepseek2", LATENT(32, 64, 32, 16, 24), SIGMOID_EXPERTS)},
    {"deepseek2-far", SHAPE(.arch = "deepseek2", LATENT(32, 24, 16, 16, 24), SIGMOID_EXPERTS,
                            .rope = MODEL_ROPE_YARN, .rope_original_context = 32,
                            .keys = {F32("rope.scaling.yarn_log_multiplier", 0.0707)})},
    {"deepseek2-lite",
     SHAPE(.arch = "deepseek2", .n_layers = 26, .n_heads = 3, LATENT(64, 0, 24, 8, 16),
           SOFTMAX_EXPERTS, .rope = MODEL_ROPE_YARN, .rope_original_context = 32,
           .keys = {F32("rope.scaling.yarn_log_multiplier", 0.1)})},
    {"deepseek2-full", SHAPE(.arch = "deepseek2", LATENT(512, 96, 128, 64, 128), SIGMOID_EXPERTS,
                             .rope = MODEL_ROPE_YARN, .rope_original_context = 32)},
    {"deepseek2-heat-far", SHAPE(.arch = "deepseek2", LATENT(32, 24, 16, 16, 24), SOFTMAX_EXPERTS,
                                 .rope = MODEL_ROPE_YARN, .rope_original_context = 32,
                                 .keys = {F32("rope.scaling.yarn_log_multiplier", 0.1),
                                          F32("attention.temperature_scale", 0.5),
                                          {"attention.temperature_length", GGUF_U32, 32}})},
    {"deepseek2-fused",
     SHAPE(.arch = "deepseek2", LATENT(32, 32, 32, 16, 24), .latent.fused = true, SIGMOID_EXPERTS)},
    {"formats-1", FORMATS(Q4_0, Q4_1, Q5_0, Q5_1)},
    {"formats-2", FORMATS(Q8_0, Q2_K, Q3_K, Q4_K)},
    {"formats-3", FORMATS(Q5_K, Q6_K, F16, BF16)},
    {"formats-4", FORMATS(IQ4_NL, IQ4_XS, MXFP4, IQ3_S)},
    {"formats-5", FORMATS(IQ3_XXS, IQ2_S, IQ2_XS, IQ2_XXS)},
    {"formats-6", FORMATS(IQ1_S, IQ1_M, TQ1_0, TQ2_0)},
};
const uint32_t peer_n_models = sizeof peer_models / sizeof *peer_models;

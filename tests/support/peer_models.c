#include "peer_models.h"

#define SHAPE(...)                                                                                 \
    {                                                                                              \
        .dim = 64, .n_layers = 2, .n_heads = 4, .n_kv_heads = 2, .head_dim = 16, .hidden = 96,     \
        .vocab = PEER_VOCAB, .context = 2048, .rope_base = 10000, .rope_factor = 4, .seed = 5,     \
        __VA_ARGS__                                                                                \
    }

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
    {"mixtral", SHAPE(.arch = "llama", .experts = {.n = 5, .used = 2, .hidden = 96})},
    {"qwen2moe",
     SHAPE(.arch = "qwen2moe", .bias = true,
           .experts = {.n = 6, .used = 3, .hidden = 40, .shared = 72, .shared_gate = true})},
    {"qwen3moe", SHAPE(.arch = "qwen3moe", .qk_norm = true, .head_dim = 32,
                       .experts = {.n = 10, .used = 4, .hidden = 48})},
    {"granitemoe",
     SHAPE(.arch = "granitemoe", .scales = true, .experts = {.n = 8, .used = 3, .hidden = 96})},
    {"granitemoe-shared", SHAPE(.arch = "granitemoe", .scales = true, .tied = true,
                                .experts = {.n = 8, .used = 3, .hidden = 96, .shared = 64})},
    {"gpt-oss", SHAPE(.arch = "gpt-oss", .n_layers = 3, .bias = true, .sinks = true, .window = 16,
                      .rope = MODEL_ROPE_YARN, .rope_original_context = 32,
                      .experts = {.n = 8, .used = 4, .hidden = 52, .bias = true})},
    {"glm4moe", SHAPE(.arch = "glm4moe", .n_layers = 3, .bias = true, .qk_norm = true,
                      .rope_dims = 8, .next_layers = 1,
                      .experts = {.n = 9,
                                  .used = 4,
                                  .hidden = 32,
                                  .shared = 32,
                                  .dense = 1,
                                  .gating = 2,
                                  .norm = true,
                                  .scale = 1.5f,
                                  .choice_bias = true})},
    {"dots1", SHAPE(.arch = "dots1", .n_layers = 3, .n_kv_heads = 4, .qk_norm = true,
                    .experts = {.n = 12,
                                .used = 3,
                                .hidden = 24,
                                .shared = 48,
                                .dense = 1,
                                .gating = 2,
                                .norm = true,
                                .scale = 2.5f,
                                .choice_bias = true})},
    {"ernie4_5-moe",
     SHAPE(.arch = "ernie4_5-moe", .n_layers = 3,
           .experts =
               {.n = 8, .used = 3, .hidden = 40, .shared = 80, .dense = 1, .choice_bias = true})},
    {"bailingmoe", SHAPE(.arch = "bailingmoe", .experts = {.n = 8,
                                                           .used = 3,
                                                           .hidden = 40,
                                                           .shared = 80,
                                                           .gating = 1,
                                                           .norm = false,
                                                           .scale = 1})},
    {"bailingmoe2", SHAPE(.arch = "bailingmoe2", .n_layers = 3, .qk_norm = true, .fused = true,
                          .experts = {.n = 16,
                                      .used = 4,
                                      .hidden = 40,
                                      .shared = 40,
                                      .groups = 4,
                                      .groups_used = 2,
                                      .gating = 2,
                                      .norm = true,
                                      .scale = 2.5f,
                                      .choice_bias = true})},
};
const uint32_t peer_n_models = sizeof peer_models / sizeof *peer_models;

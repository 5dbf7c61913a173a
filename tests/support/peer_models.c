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
};
const uint32_t peer_n_models = sizeof peer_models / sizeof *peer_models;

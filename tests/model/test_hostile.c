/* Damaged and impossible files are refused with words, before anything is taken, and harm nobody.
 */
#include "fixture.h"

#include <math.h>
#include <stdio.h>

#include "edit.h"

struct hostile {
    const char *what;
    struct edit edits[2];
    llm_status status;
    const char *said[2];
};

static const struct hostile hostile[] = {
    {"no architecture",
     NO_VALUE("general.architecture"),
     LLM_BAD_MODEL,
     {"general.architecture", "missing"}},
    {"unknown architecture",
     SET_STRING("general.architecture", "mamba"),
     LLM_UNSUPPORTED,
     {"mamba", "llama"}},
    {"empty architecture",
     SET_STRING("general.architecture", ""),
     LLM_UNSUPPORTED,
     {"''", "llama"}},
    {"numeric architecture",
     {{.kind = EDIT_U32, .name = "general.architecture", .u32 = 1}},
     LLM_BAD_MODEL,
     {"general.architecture", NULL}},

    {"no context",
     NO_VALUE("llama.context_length"),
     LLM_BAD_MODEL,
     {"llama.context_length", "missing"}},
    {"context 0", SET_U32("llama.context_length", 0), LLM_BAD_MODEL, {"llama.context_length", "0"}},
    {"context huge",
     SET_U32("llama.context_length", UINT32_MAX),
     LLM_BAD_MODEL,
     {"llama.context_length", "4294967295"}},
    {"context a fraction",
     SET_F32("llama.context_length", 5),
     LLM_BAD_MODEL,
     {"llama.context_length", NULL}},
    {"no width",
     NO_VALUE("llama.embedding_length"),
     LLM_BAD_MODEL,
     {"llama.embedding_length", "missing"}},
    {"width 0",
     SET_U32("llama.embedding_length", 0),
     LLM_BAD_MODEL,
     {"llama.embedding_length", "0"}},
    {"width 1",
     SET_U32("llama.embedding_length", 1),
     LLM_BAD_MODEL,
     {"token_embd.weight", "64 x 320"}},
    {"width 72",
     SET_U32("llama.embedding_length", 72),
     LLM_BAD_MODEL,
     {"token_embd.weight", "72 x 320"}},
    {"width huge",
     SET_U32("llama.embedding_length", UINT32_MAX),
     LLM_BAD_MODEL,
     {"llama.embedding_length", "4294967295"}},
    {"no layers", NO_VALUE("llama.block_count"), LLM_BAD_MODEL, {"llama.block_count", "missing"}},
    {"layers 0", SET_U32("llama.block_count", 0), LLM_BAD_MODEL, {"llama.block_count", "0"}},
    {"a layer too many",
     SET_U32("llama.block_count", 3),
     LLM_BAD_MODEL,
     {"blk.2.attn_norm.weight", "64"}},
    {"a layer too few", SET_U32("llama.block_count", 1), LLM_UNSUPPORTED, {"blk.1.", "llama"}},
    {"layers many", SET_U32("llama.block_count", 4096), LLM_BAD_MODEL, {"4096", NULL}},
    {"layers huge",
     SET_U32("llama.block_count", UINT32_MAX),
     LLM_BAD_MODEL,
     {"llama.block_count", "4294967295"}},
    {"no hidden",
     NO_VALUE("llama.feed_forward_length"),
     LLM_BAD_MODEL,
     {"feed_forward_length", NULL}},
    {"hidden 0",
     SET_U32("llama.feed_forward_length", 0),
     LLM_BAD_MODEL,
     {"feed_forward_length 0", NULL}},
    {"hidden 97",
     SET_U32("llama.feed_forward_length", 97),
     LLM_BAD_MODEL,
     {"blk.0.ffn_gate.weight", "64 x 97"}},
    {"hidden huge",
     SET_U32("llama.feed_forward_length", UINT32_MAX),
     LLM_BAD_MODEL,
     {"feed_forward_length 4294967295", NULL}},
    {"no heads", NO_VALUE("llama.attention.head_count"), LLM_BAD_MODEL, {"head_count", NULL}},
    {"heads 0", SET_U32("llama.attention.head_count", 0), LLM_BAD_MODEL, {"head_count 0", NULL}},
    {"heads 5", SET_U32("llama.attention.head_count", 5), LLM_BAD_MODEL, {"head_count 5", NULL}},
    {"heads 8",
     SET_U32("llama.attention.head_count", 8),
     LLM_BAD_MODEL,
     {"blk.0.attn_q.weight", "64 x 128"}},
    {"heads huge",
     SET_U32("llama.attention.head_count", UINT32_MAX),
     LLM_BAD_MODEL,
     {"head_count 4294967295", NULL}},
    {"KV heads 0",
     SET_U32("llama.attention.head_count_kv", 0),
     LLM_BAD_MODEL,
     {"head_count_kv 0", NULL}},
    {"KV heads 3",
     SET_U32("llama.attention.head_count_kv", 3),
     LLM_BAD_MODEL,
     {"head_count_kv 3", NULL}},
    {"KV heads 8",
     SET_U32("llama.attention.head_count_kv", 8),
     LLM_BAD_MODEL,
     {"head_count_kv 8", NULL}},
    {"KV heads huge",
     SET_U32("llama.attention.head_count_kv", UINT32_MAX),
     LLM_BAD_MODEL,
     {"head_count_kv 4294967295", NULL}},
    {"keys of 0", SET_U32("llama.attention.key_length", 0), LLM_UNSUPPORTED, {"0", NULL}},
    {"keys of 8", SET_U32("llama.attention.key_length", 8), LLM_BAD_MODEL, {"8 dimensions", NULL}},
    {"keys huge",
     SET_U32("llama.attention.key_length", UINT32_MAX),
     LLM_UNSUPPORTED,
     {"4294967295", NULL}},
    {"values of 32",
     SET_U32("llama.attention.value_length", 32),
     LLM_BAD_MODEL,
     {"attn_v.weight", NULL}},
    {"values of 6", SET_U32("llama.attention.value_length", 6), LLM_UNSUPPORTED, {"16", "6"}},
    {"experts",
     SET_U32("llama.expert_count", 8),
     LLM_BAD_MODEL,
     {"llama.expert_used_count", "missing"}},
    {"epsilon 0",
     SET_F32("llama.attention.layer_norm_rms_epsilon", 0),
     LLM_BAD_MODEL,
     {"layer_norm_rms_epsilon", "0"}},
    {"epsilon below 0",
     SET_F32("llama.attention.layer_norm_rms_epsilon", -1),
     LLM_BAD_MODEL,
     {"layer_norm_rms_epsilon", "-1"}},
    {"epsilon infinite",
     SET_F32("llama.attention.layer_norm_rms_epsilon", HUGE_VALF),
     LLM_BAD_MODEL,
     {"layer_norm_rms_epsilon", "inf"}},
    {"epsilon a word",
     SET_STRING("llama.attention.layer_norm_rms_epsilon", "small"),
     LLM_BAD_MODEL,
     {"layer_norm_rms_epsilon", NULL}},

    {"turned 0", SET_U32("llama.rope.dimension_count", 0), LLM_BAD_MODEL, {"rope", "0"}},
    {"turned 7", SET_U32("llama.rope.dimension_count", 7), LLM_BAD_MODEL, {"rope", "7"}},
    {"turned 18",
     SET_U32("llama.rope.dimension_count", 18),
     LLM_BAD_MODEL,
     {"llama.rope.dimension_count", "18"}},
    {"turned huge",
     SET_U32("llama.rope.dimension_count", UINT32_MAX),
     LLM_BAD_MODEL,
     {"llama.rope.dimension_count", "4294967295"}},
    {"base 0", SET_F32("llama.rope.freq_base", 0), LLM_BAD_MODEL, {"freq_base", "0"}},
    {"base below 0", SET_F32("llama.rope.freq_base", -5), LLM_BAD_MODEL, {"freq_base", "-5"}},
    {"base infinite",
     SET_F32("llama.rope.freq_base", HUGE_VALF),
     LLM_BAD_MODEL,
     {"freq_base", "inf"}},
    {"scaling below 0", SET_F32("llama.rope.scaling.factor", -2), LLM_BAD_MODEL, {"factor", "-2"}},
    {"unknown scaling",
     SET_STRING("llama.rope.scaling.type", "spiral"),
     LLM_UNSUPPORTED,
     {"spiral", NULL}},

    {"unknown tokenizer",
     SET_STRING("tokenizer.ggml.model", "runes"),
     LLM_UNSUPPORTED,
     {"runes", NULL}},
    {"no tokenizer",
     NO_VALUE("tokenizer.ggml.model"),
     LLM_BAD_MODEL,
     {"tokenizer.ggml.model", NULL}},
    {"no tokens",
     NO_VALUE("tokenizer.ggml.tokens"),
     LLM_BAD_MODEL,
     {"tokenizer.ggml.tokens", NULL}},
    {"tokens a word",
     SET_STRING("tokenizer.ggml.tokens", "a"),
     LLM_BAD_MODEL,
     {"tokenizer.ggml.tokens", NULL}},

    {"no embedding",
     {{.kind = TENSOR_DROP, .name = "token_embd.weight"}},
     LLM_BAD_MODEL,
     {"token_embd.weight", "64 x 320"}},
    {"no last norm",
     {{.kind = TENSOR_DROP, .name = "output_norm.weight"}},
     LLM_BAD_MODEL,
     {"output_norm.weight", "64 x 1"}},
    {"no values",
     {{.kind = TENSOR_DROP, .name = "blk.1.attn_v.weight"}},
     LLM_BAD_MODEL,
     {"blk.1.attn_v.weight", "64 x 32"}},
    {"no down",
     {{.kind = TENSOR_DROP, .name = "blk.1.ffn_down.weight"}},
     LLM_BAD_MODEL,
     {"blk.1.ffn_down.weight", "96 x 64"}},
    {"another name",
     {{.kind = TENSOR_NAME, .name = "blk.0.attn_q.weight", .text = "blk.0.attn_qq.weight"}},
     LLM_BAD_MODEL,
     {"blk.0.attn_q.weight", "64 x 64"}},
    {"embedding of 321",
     SET_SHAPE("token_embd.weight", 64, 321),
     LLM_BAD_MODEL,
     {"64 x 321", "64 x 320"}},
    {"embedding of 319",
     SET_SHAPE("token_embd.weight", 64, 319),
     LLM_BAD_MODEL,
     {"64 x 319", "64 x 320"}},
    {"query turned round",
     SET_SHAPE("blk.0.attn_k.weight", 32, 64),
     LLM_BAD_MODEL,
     {"blk.0.attn_k.weight", "32 x 64"}},
    {"a norm of 63",
     SET_SHAPE("blk.0.attn_norm.weight", 63),
     LLM_BAD_MODEL,
     {"blk.0.attn_norm.weight", "63"}},
    {"a norm of 1", SET_SHAPE("output_norm.weight", 1), LLM_BAD_MODEL, {"output_norm.weight", "1"}},
    {"three dimensions",
     SET_SHAPE("blk.0.ffn_up.weight", 64, 96, 2),
     LLM_BAD_MODEL,
     {"blk.0.ffn_up.weight", "64 x 96 x 2"}},
    {"four dimensions",
     SET_SHAPE("blk.0.ffn_up.weight", 64, 96, 1, 2),
     LLM_BAD_MODEL,
     {"blk.0.ffn_up.weight", "64 x 96 x 1 x 2"}},
    {"an output of 32",
     SET_SHAPE("output.weight", 32, 320),
     LLM_BAD_MODEL,
     {"output.weight", "32 x 320"}},
    {"a norm in Q8_0",
     SET_TYPE("blk.1.ffn_norm.weight", QUANT_Q8_0),
     LLM_UNSUPPORTED,
     {"blk.1.ffn_norm.weight", "Q8_0"}},
    {"a norm in F16",
     SET_TYPE("output_norm.weight", QUANT_F16),
     LLM_UNSUPPORTED,
     {"output_norm.weight", "F16"}},
    {"an output bias",
     {{.kind = TENSOR_ADD, .name = "blk.0.attn_output.bias", .dims = {64}}},
     LLM_UNSUPPORTED,
     {"blk.0.attn_output.bias", "F32"}},
    {"a bias of 63",
     {{.kind = TENSOR_ADD, .name = "blk.0.attn_q.bias", .dims = {63}}},
     LLM_BAD_MODEL,
     {"blk.0.attn_q.bias", "63"}},
    {"a norm of heads",
     {{.kind = TENSOR_ADD, .name = "blk.0.attn_q_norm.weight", .dims = {16}}},
     LLM_UNSUPPORTED,
     {"blk.0.attn_q_norm.weight", "llama"}},
    {"a layer past the end",
     {{.kind = TENSOR_ADD, .name = "blk.2.attn_norm.weight", .dims = {64}}},
     LLM_UNSUPPORTED,
     {"blk.2.attn_norm.weight", NULL}},
    {"rope factors of 7",
     {{.kind = TENSOR_ADD, .name = "rope_freqs.weight", .dims = {7}}},
     LLM_BAD_MODEL,
     {"rope_freqs.weight", "7"}},
    {"rope factors of zero",
     {{.kind = TENSOR_ADD, .name = "rope_freqs.weight", .dims = {8}}},
     LLM_BAD_MODEL,
     {"rope", "0"}},
};

static bool said(const char *text)
{
    return !text || strstr(error.message, text);
}

/* 1 where the file with the edits is not refused as it should be. */
static unsigned try_hostile(const uint8_t *data, size_t size, const struct hostile *h)
{
    struct llm_load_options o;
    load_defaults(&o);
    o.context = 128;
    struct memory_file edited;
    edited.data = edit_gguf(data, size, h->edits, &edited.size);
    llm_model *model;
    llm_status status = load(&edited, &o, &model);
    bool wrong = status != h->status || !said(h->said[0]) || !said(h->said[1]);
    if (wrong)
        print_error("%s: %s, expected %s: \"%s\"\n", h->what, llm_status_name(status),
                    llm_status_name(h->status), status == LLM_OK ? "" : error.message);
    llm_model_free(model);
    free(edited.data);
    return wrong;
}

static void hostile_headers(void **state)
{
    (void)state;
    unsigned n_wrong = 0;
    for (size_t i = 0; i < LENGTH(hostile); i++)
        n_wrong += try_hostile(small_file.data, small_file.size, &hostile[i]);
    assert_int_equal(n_wrong, 0);
}

/* What other architectures have and llama has not. */
static void hostile_kin(void **state)
{
    (void)state;
    static const struct {
        const char *arch;
        struct hostile h;
    } rows[] = {
        {"qwen2",
         {"no bias",
          {{.kind = TENSOR_DROP, .name = "blk.1.attn_k.bias"}},
          LLM_BAD_MODEL,
          {"blk.1.attn_k.bias", "32 x 1"}}},
        {"qwen2",
         {"a bias of 31",
          SET_SHAPE("blk.0.attn_v.bias", 31),
          LLM_BAD_MODEL,
          {"blk.0.attn_v.bias", "31"}}},
        {"qwen2",
         {"a bias in F16",
          SET_TYPE("blk.0.attn_q.bias", QUANT_F16),
          LLM_UNSUPPORTED,
          {"blk.0.attn_q.bias", "F16"}}},
        {"qwen3",
         {"no norm",
          {{.kind = TENSOR_DROP, .name = "blk.1.attn_q_norm.weight"}},
          LLM_BAD_MODEL,
          {"blk.1.attn_q_norm.weight", "16 x 1"}}},
        {"qwen3",
         {"a norm of 15",
          SET_SHAPE("blk.1.attn_k_norm.weight", 15),
          LLM_BAD_MODEL,
          {"blk.1.attn_k_norm.weight", "15"}}},
        {"phi3",
         {"no values",
          SET_SHAPE("blk.0.attn_qkv.weight", 64, 96),
          LLM_BAD_MODEL,
          {"64 x 96", "64 x 128"}}},
        {"phi3",
         {"no gate",
          SET_SHAPE("blk.0.ffn_up.weight", 64, 96),
          LLM_BAD_MODEL,
          {"64 x 96", "64 x 192"}}},
        {"phi3",
         {"no short factors",
          {{.kind = TENSOR_DROP, .name = "rope_factors_short.weight"}},
          LLM_BAD_MODEL,
          {"rope_factors_short.weight", NULL}}},
        {"granite",
         {"a residual of nothing at all",
          {{.kind = EDIT_F32, .name = "granite.residual_scale", .f32 = NAN}},
          LLM_BAD_MODEL,
          {"granite.residual_scale", "nan"}}},
        {"minicpm",
         {"no scale",
          {{.kind = EDIT_DROP, .name = "minicpm.residual_scale"}},
          LLM_BAD_MODEL,
          {"minicpm.residual_scale", "missing"}}},
        {"granite",
         {"logits below zero",
          {{.kind = EDIT_F32, .name = "granite.logit_scale", .f32 = -1}},
          LLM_BAD_MODEL,
          {"granite.logit_scale", "-1"}}},
        {"gemma3",
         {"no norm after attention",
          {{.kind = TENSOR_DROP, .name = "blk.1.post_attention_norm.weight"}},
          LLM_BAD_MODEL,
          {"blk.1.post_attention_norm.weight", "64 x 1"}}},
        {"gemma3",
         {"a window beyond everything",
          {{.kind = EDIT_U32, .name = "gemma3.attention.sliding_window", .u32 = UINT32_MAX}},
          LLM_BAD_MODEL,
          {"gemma3.attention.sliding_window", "4294967295"}}},
        {"gemma2",
         {"a cap below zero",
          {{.kind = EDIT_F32, .name = "gemma2.attn_logit_softcapping", .f32 = -5}},
          LLM_BAD_MODEL,
          {"gemma2.attn_logit_softcapping", "-5"}}},
        {"gemma2",
         {"a cap of nothing at all",
          {{.kind = EDIT_F32, .name = "gemma2.final_logit_softcapping", .f32 = NAN}},
          LLM_BAD_MODEL,
          {"gemma2.final_logit_softcapping", "nan"}}},
        {"gemma3",
         {"a pattern in words",
          {{.kind = EDIT_U32, .name = "gemma3.attention.sliding_window", .u32 = 16},
           {.kind = EDIT_STRING,
            .name = "gemma3.attention.sliding_window_pattern",
            .text = "often"}},
          LLM_BAD_MODEL,
          {"gemma3.attention.sliding_window_pattern", NULL}}},
        {"olmo2",
         {"a norm of one head",
          SET_SHAPE("blk.0.attn_q_norm.weight", 16),
          LLM_BAD_MODEL,
          {"blk.0.attn_q_norm.weight", "64 x 1"}}},
        {"gpt2",
         {"no positions",
          {{.kind = TENSOR_DROP, .name = "position_embd.weight"}},
          LLM_BAD_MODEL,
          {"position_embd.weight", "64 x 512"}}},
        {"gpt2",
         {"a bias of 127",
          SET_SHAPE("blk.1.attn_qkv.bias", 127),
          LLM_BAD_MODEL,
          {"blk.1.attn_qkv.bias", "128 x 1"}}},
        {"phi2",
         {"no bias of the output",
          {{.kind = TENSOR_DROP, .name = "output.bias"}},
          LLM_BAD_MODEL,
          {"output.bias", "320 x 1"}}},
        {"phi2",
         {"epsilon of nothing",
          {{.kind = EDIT_F32, .name = "phi2.attention.layer_norm_epsilon", .f32 = 0}},
          LLM_BAD_MODEL,
          {"phi2.attention.layer_norm_epsilon", "0"}}},
        {"stablelm",
         {"one norm less",
          {{.kind = TENSOR_DROP, .name = "blk.1.ffn_norm.weight"},
           {.kind = TENSOR_DROP, .name = "blk.1.ffn_norm.bias"}},
          LLM_BAD_MODEL,
          {"ffn_norm", "0 and 1"}}},
        {"arcee",
         {"a gate",
          {{.kind = TENSOR_ADD, .name = "blk.0.ffn_gate.weight", .dims = {64, 96}}},
          LLM_UNSUPPORTED,
          {"blk.0.ffn_gate.weight", "arcee"}}},
        {"apertus",
         {"no xielu", {{.kind = EDIT_END}}, LLM_BAD_MODEL, {"xielu.alpha_n", "missing"}}},
    };
    unsigned n_wrong = 0;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        struct model_shape s = model_shape_small;
        size_t size;
        s.arch = rows[i].arch;
        s.bias = strcmp(s.arch, "qwen2") == 0;
        s.qk_norm = strcmp(s.arch, "qwen3") == 0;
        s.fused = strcmp(s.arch, "phi3") == 0;
        s.scales = strcmp(s.arch, "granite") == 0 || strcmp(s.arch, "minicpm") == 0;
        if (s.fused) s.rope = MODEL_ROPE_LONG;
        uint8_t *data = model_make(&s, &size);
        n_wrong += try_hostile(data, size, &rows[i].h);
        free(data);
    }
    assert_int_equal(n_wrong, 0);
}

/* A status with words, and never a crash: refused before anything is taken, so that it is quick. */
static llm_status load_hostile(struct memory_file *f, const char *what)
{
    struct llm_load_options o;
    load_defaults(&o);
    o.context = 128;
    o.memory = 1;
    llm_model *model;
    llm_status status = load(f, &o, &model);
    bool known = status == LLM_BAD_MODEL || status == LLM_UNSUPPORTED ||
                 status == LLM_OUT_OF_MEMORY || status == LLM_IO;
    if (!known || !error.message[0] || model)
        fail_msg("%s: %s, \"%s\"", what, llm_status_name(status), error.message);
    return status;
}

static void try_edit(const struct edit *e)
{
    const struct edit edits[2] = {*e};
    struct memory_file edited;
    edited.data = edit_gguf(small_file.data, small_file.size, edits, &edited.size);
    llm_status status = load_hostile(&edited, e->name);
    bool named = strstr(error.message, e->name) != NULL;
    if (e->kind == TENSOR_DROP && strcmp(e->name, "output.weight") != 0 &&
        (status != LLM_BAD_MODEL || !named))
        fail_msg("%s dropped: %s, \"%s\"", e->name, llm_status_name(status), error.message);
    free(edited.data);
}

/* Each value becomes each of these, each tensor each of those. */
static void every_value_changed(void **state)
{
    (void)state;
    static const struct edit changes[] = {
        {.kind = EDIT_DROP},
        {.kind = EDIT_U32, .u32 = 0},
        {.kind = EDIT_U32, .u32 = 1},
        {.kind = EDIT_U32, .u32 = 24},
        {.kind = EDIT_U32, .u32 = INT32_MAX},
        {.kind = EDIT_U32, .u32 = UINT32_MAX},
        {.kind = EDIT_F32, .f32 = NAN},
        {.kind = EDIT_F32, .f32 = 1e-30f},
        {.kind = EDIT_F32, .f32 = -HUGE_VALF},
        {.kind = EDIT_STRING, .text = ""},
        {.kind = EDIT_STRING, .text = "%s%n"},
    };
    static const struct edit tensor_changes[] = {
        {.kind = TENSOR_DROP},
        {.kind = TENSOR_TYPE, .u32 = QUANT_BF16},
        {.kind = TENSOR_SHAPE, .dims = {1}},
        {.kind = TENSOR_SHAPE, .dims = {64, 64, 64}},
        {.kind = TENSOR_NAME, .text = ""},
        {.kind = TENSOR_NAME, .text = "blk.4294967296.attn_q.weight"},
    };
    struct gguf g;
    OK(gguf_parse(&g, small_file.data, small_file.size, small_file.size, &alloc_libc, &error));
    char name[128];
    for (uint64_t i = 0; i < g.n_values; i++) {
        snprintf(name, sizeof name, "%.*s", (int)g.values[i].key.size, g.values[i].key.text);
        for (size_t k = 0; k < LENGTH(changes); k++) {
            struct edit e = changes[k];
            e.name = name;
            try_edit(&e);
        }
    }
    for (uint64_t i = 0; i < g.n_tensors; i++) {
        snprintf(name, sizeof name, "%.*s", (int)g.tensors[i].name.size, g.tensors[i].name.text);
        for (size_t k = 0; k < LENGTH(tensor_changes); k++) {
            struct edit e = tensor_changes[k];
            e.name = name;
            try_edit(&e);
        }
    }
    gguf_free(&g);
}

/* Bytes of the header, most of them at its two ends, become 0 and 255. */
static void header_bytes_changed(void **state)
{
    (void)state;
    struct gguf g;
    OK(gguf_parse(&g, small_file.data, small_file.size, small_file.size, &alloc_libc, &error));
    size_t n = (size_t)g.data_offset;
    gguf_free(&g);
    struct memory_file changed = {malloc(small_file.size), small_file.size};
    assert_non_null(changed.data);
    memcpy(changed.data, small_file.data, small_file.size);
    for (size_t i = 0; i < n; i += i < 200 || i + 800 > n ? 3 : 41) {
        static const uint8_t values[] = {0, 255};
        for (size_t k = 0; k < LENGTH(values); k++) {
            changed.data[i] = values[k];
            load_hostile(&changed, "a changed byte");
        }
        changed.data[i] = small_file.data[i];
    }
    free(changed.data);
}

/* Every cut of the header's first bytes, then some thousand places. */
static void cut_files(void **state)
{
    (void)state;
    struct llm_load_options o;
    load_defaults(&o);
    o.context = 128;
    size_t step = small_file.size / 500;
    for (size_t n = 0; n < small_file.size; n += n < 300 ? 1 : step) {
        /* A copy, so that a sanitizer sees a read past the end. */
        struct memory_file cut = {malloc(n ? n : 1), n};
        assert_non_null(cut.data);
        memcpy(cut.data, small_file.data, n);
        llm_model *model;
        llm_status status = load(&cut, &o, &model);
        if (status != LLM_BAD_MODEL || !error.message[0])
            fail_msg("cut at %zu of %zu: %s, \"%s\"", n, small_file.size, llm_status_name(status),
                     error.message);
        free(cut.data);
    }
    /* The reader stops in the middle, though the size says more. */
    for (size_t n = 0; n < small_file.size; n += small_file.size / 50) {
        struct memory_file cut = {small_file.data, n};
        struct llm_load_options whole = o;
        llm_model *model;
        whole.read_size = small_file.size;
        llm_status status = load(&cut, &whole, &model);
        if (status != LLM_IO && status != LLM_BAD_MODEL)
            fail_msg("reading stops at %zu: %s, \"%s\"", n, llm_status_name(status), error.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_headers),     cmocka_unit_test(hostile_kin),
        cmocka_unit_test(every_value_changed), cmocka_unit_test(header_bytes_changed),
        cmocka_unit_test(cut_files),
    };
    return cmocka_run_group_tests(tests, fixture_open_small, fixture_close_small);
}

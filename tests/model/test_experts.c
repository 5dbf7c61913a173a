/* Models whose layers choose among experts: hostile files are refused with names and numbers before
 * a device is touched, and a row's bits do not depend on its company. */
#include "fixture.h"

#include <stdio.h>

#include "arch.h"
#include "edit.h"

enum { VOCAB = 320, LONG = 180 };

static struct model_shape shape_of(const char *arch)
{
    struct model_shape s = model_shape_small;
    s.arch = arch;
    s.qk_norm = strcmp(arch, "qwen3moe") == 0;
    s.experts = (struct model_experts){.n = 6, .used = 2, .hidden = 32, .shared = 64};
    if (strcmp(arch, "bailingmoe2") == 0) {
        s.experts.groups = 3;
        s.experts.groups_used = 2;
        s.experts.gating = 2;
        s.experts.scale = 1;
        s.next_layers = 1;
    }
    return s;
}

/* ---- hostile files ---- */

struct hostile {
    const char *arch, *what;
    struct edit edits[2];
    llm_status status;
    const char *said[2];
};

static const struct hostile hostile[] = {
    {"qwen3moe",
     "none",
     SET_U32("qwen3moe.expert_count", 0),
     LLM_BAD_MODEL,
     {"qwen3moe.expert_count is 0", "512"}},
    {"qwen3moe",
     "too many",
     SET_U32("qwen3moe.expert_count", UINT32_MAX),
     LLM_BAD_MODEL,
     {"qwen3moe.expert_count is 4294967295", "512"}},
    {"qwen3moe",
     "one more",
     SET_U32("qwen3moe.expert_count", 7),
     LLM_BAD_MODEL,
     {"blk.0.ffn_gate_inp.weight is 64 x 6", "64 x 7"}},
    {"qwen3moe",
     "a count in words",
     {{.kind = EDIT_STRING, .name = "qwen3moe.expert_count", .text = "six"}},
     LLM_BAD_MODEL,
     {"qwen3moe.expert_count", NULL}},
    {"qwen3moe",
     "none used",
     SET_U32("qwen3moe.expert_used_count", 0),
     LLM_BAD_MODEL,
     {"qwen3moe.expert_used_count is 0", "1 to 6"}},
    {"qwen3moe",
     "more used than there are",
     SET_U32("qwen3moe.expert_used_count", 7),
     LLM_BAD_MODEL,
     {"qwen3moe.expert_used_count is 7", "1 to 6"}},
    {"qwen3moe",
     "no word of those used",
     {{.kind = EDIT_DROP, .name = "qwen3moe.expert_used_count"}},
     LLM_BAD_MODEL,
     {"qwen3moe.expert_used_count is missing", NULL}},
    {"qwen3moe",
     "another width",
     SET_U32("qwen3moe.expert_feed_forward_length", 48),
     LLM_BAD_MODEL,
     {"blk.0.ffn_gate_exps.weight is 64 x 32 x 6", "64 x 48 x 6"}},
    {"qwen3moe",
     "a width of 0",
     SET_U32("qwen3moe.expert_feed_forward_length", 0),
     LLM_BAD_MODEL,
     {"experts of 0", NULL}},
    {"qwen3moe",
     "a width beyond all",
     SET_U32("qwen3moe.expert_feed_forward_length", UINT32_MAX),
     LLM_BAD_MODEL,
     {"experts of 4294967295", NULL}},
    {"qwen3moe",
     "five matrices",
     SET_SHAPE("blk.1.ffn_up_exps.weight", 64, 32, 5),
     LLM_BAD_MODEL,
     {"blk.1.ffn_up_exps.weight is 64 x 32 x 5", "64 x 32 x 6"}},
    {"qwen3moe",
     "a flat stack",
     SET_SHAPE("blk.0.ffn_down_exps.weight", 32, 384),
     LLM_BAD_MODEL,
     {"blk.0.ffn_down_exps.weight is 32 x 384 x 1", "32 x 64 x 6"}},
    {"qwen3moe",
     "a router turned round",
     SET_SHAPE("blk.0.ffn_gate_inp.weight", 6, 64),
     LLM_BAD_MODEL,
     {"blk.0.ffn_gate_inp.weight is 6 x 64", "64 x 6"}},
    {"qwen3moe",
     "no down",
     NO_TENSOR("blk.1.ffn_down_exps.weight"),
     LLM_BAD_MODEL,
     {"blk.1.ffn_down_exps.weight is missing", NULL}},
    {"qwen3moe",
     "a layer without a router",
     NO_TENSOR("blk.1.ffn_gate_inp.weight"),
     LLM_BAD_MODEL,
     {"blk.1.ffn_gate.weight is missing", NULL}},
    {"qwen3moe",
     "a shared expert that it has not",
     {{.kind = TENSOR_ADD, .name = "blk.0.ffn_up_shexp.weight", .dims = {64, 64}}},
     LLM_UNSUPPORTED,
     {"blk.0.ffn_up_shexp.weight", "qwen3moe"}},
    {"qwen3moe",
     "a bias of the choice that it has not",
     {{.kind = TENSOR_ADD, .name = "blk.0.exp_probs_b.bias", .dims = {6}}},
     LLM_UNSUPPORTED,
     {"blk.0.exp_probs_b.bias", "qwen3moe"}},
    {"llama",
     "a dense layer's tensor besides",
     {{.kind = TENSOR_ADD, .name = "blk.0.ffn_up.weight", .dims = {64, 96}}},
     LLM_UNSUPPORTED,
     {"blk.0.ffn_up.weight", "llama"}},
    {"llama",
     "experts without a count",
     {{.kind = EDIT_DROP, .name = "llama.expert_count"}},
     LLM_BAD_MODEL,
     {"blk.0.ffn_gate.weight is missing", NULL}},
    {"qwen2moe",
     "no shared expert",
     NO_TENSOR("blk.1.ffn_up_shexp.weight"),
     LLM_BAD_MODEL,
     {"blk.1.ffn_up_shexp.weight is missing", "64 x 64"}},
    {"qwen2moe",
     "a shared one that disagrees",
     SET_SHAPE("blk.0.ffn_down_shexp.weight", 96, 64),
     LLM_BAD_MODEL,
     {"blk.0.ffn_down_shexp.weight is 96 x 64", "64 x 64"}},
    {"qwen2moe",
     "a gate of two rows",
     SET_SHAPE("blk.0.ffn_gate_inp_shexp.weight", 64, 2),
     LLM_BAD_MODEL,
     {"blk.0.ffn_gate_inp_shexp.weight is 64 x 2", "64 x 1"}},
    {"granitemoe",
     "half a shared expert",
     NO_TENSOR("blk.1.ffn_gate_shexp.weight"),
     LLM_BAD_MODEL,
     {"blk.1.ffn_gate_shexp.weight is missing", NULL}},
    {"gpt-oss",
     "biases of five",
     SET_SHAPE("blk.1.ffn_up_exps.bias", 32, 5),
     LLM_BAD_MODEL,
     {"blk.1.ffn_up_exps.bias is 32 x 5", "32 x 6"}},
    {"gpt-oss",
     "no sinks",
     NO_TENSOR("blk.0.attn_sinks.weight"),
     LLM_BAD_MODEL,
     {"blk.0.attn_sinks.weight is missing", NULL}},
    {"gpt-oss",
     "biases in F16",
     {{.kind = TENSOR_TYPE, .name = "blk.0.ffn_down_exps.bias", .u32 = QUANT_F16}},
     LLM_UNSUPPORTED,
     {"blk.0.ffn_down_exps.bias", "F16"}},
    {"bailingmoe2",
     "groups that do not divide",
     SET_U32("bailingmoe2.expert_group_count", 4),
     LLM_BAD_MODEL,
     {"expert_group_count 4", "expert_count 6"}},
    {"bailingmoe2",
     "no group used",
     SET_U32("bailingmoe2.expert_group_used_count", 0),
     LLM_BAD_MODEL,
     {"expert_group_used_count 0", NULL}},
    {"bailingmoe2", "groups too small", SET_U32("bailingmoe2.expert_group_count", 6), LLM_OK, {0}},
    {"bailingmoe2",
     "more used than groups have",
     SET_U32("bailingmoe2.expert_used_count", 5),
     LLM_BAD_MODEL,
     {"expert_used_count 5", "expert_group_used_count 2"}},
    {"bailingmoe2",
     "a gate unheard of",
     SET_U32("bailingmoe2.expert_gating_func", 9),
     LLM_UNSUPPORTED,
     {"bailingmoe2.expert_gating_func is 9", NULL}},
    {"bailingmoe2",
     "a scale below nothing",
     {{.kind = EDIT_F32, .name = "bailingmoe2.expert_weights_scale", .f32 = -1}},
     LLM_BAD_MODEL,
     {"bailingmoe2.expert_weights_scale is -1", NULL}},
    {"bailingmoe2",
     "next layers alone",
     SET_U32("bailingmoe2.nextn_predict_layers", 3),
     LLM_BAD_MODEL,
     {"bailingmoe2.nextn_predict_layers is 3", "3 layers"}},
    {"bailingmoe2",
     "a next layer too few",
     SET_U32("bailingmoe2.nextn_predict_layers", 0),
     LLM_UNSUPPORTED,
     {"blk.2.nextn", "bailingmoe2"}},
};

static bool said(const char *text)
{
    return !text || strstr(error.message, text);
}

/* 1 where the file is not refused as it should be, by its header alone. */
static unsigned try_hostile(const struct hostile *h)
{
    const struct model_shape s = shape_of(h->arch);
    size_t size;
    uint8_t *data = model_make(&s, &size);
    struct memory_file edited;
    edited.data = edit_gguf(data, size, h->edits, &edited.size);
    struct gguf g;
    struct blueprint b = {0};
    llm_status status = gguf_parse(&g, edited.data, edited.size, edited.size, &alloc_libc, &error);
    if (status == LLM_OK) status = arch_read(&b, &g, VOCAB, &alloc_libc, &error);
    const bool wrong = status != h->status || !said(h->said[0]) || !said(h->said[1]);
    if (wrong)
        print_error("%s, %s: %s, expected %s: \"%s\"\n", h->arch, h->what, llm_status_name(status),
                    llm_status_name(h->status), status == LLM_OK ? "" : error.message);
    arch_free(&b);
    gguf_free(&g);
    free(edited.data);
    free(data);
    return wrong;
}

static void hostile_headers(void **state)
{
    (void)state;
    unsigned n_wrong = 0;
    for (size_t i = 0; i < LENGTH(hostile); i++) n_wrong += try_hostile(&hostile[i]);
    assert_int_equal(n_wrong, 0);
}

/* ---- the same bits ---- */

static float *logits_after(llm_model *model, const int32_t *ids, size_t n, size_t cut)
{
    llm_session *s = open_session(model);
    for (size_t done = 0; done < n; done += cut)
        feed(s, ids + done, n - done < cut ? n - done : cut);
    float *logits = logits_of(s, VOCAB);
    llm_session_free(s);
    return logits;
}

/* Prompts cut anywhere, where rows of one expert come together in other numbers. */
static void try_cuts(const char *arch, enum quant_type ffn)
{
    static const size_t cuts[] = {1, 5, 67, 128};
    struct model_shape shape = shape_of(arch);
    struct memory_file file;
    struct llm_load_options o;
    int32_t ids[LONG];
    shape.ffn = ffn;
    load_defaults(&o);
    o.context = 512;
    llm_model *model = load_shape(&shape, &o, &file);
    random_ids(ids, LONG, VOCAB, 3);
    float *whole = logits_after(model, ids, LONG, LONG);
    for (size_t i = 0; i < LENGTH(cuts); i++) {
        float *logits = logits_after(model, ids, LONG, cuts[i]);
        assert_same_bits(logits, whole, VOCAB, arch, (long)cuts[i]);
        free(logits);
    }
    free(whole);
    llm_model_free(model);
    free(file.data);
}

static void cut_prompts(void **state)
{
    (void)state;
    try_cuts("llama", QUANT_F32);
    try_cuts("qwen2moe", QUANT_Q4_0);
    try_cuts("gpt-oss", QUANT_MXFP4);
}

/* Sessions that decode side by side say what each says alone. */
static void in_company(void **state)
{
    (void)state;
    enum { N = 5, TOKENS = 12 };
    const struct model_shape shape = shape_of("granitemoe");
    struct memory_file file;
    struct llm_load_options load_options;
    struct llm_generate_options o;
    llm_session *sessions[N];
    llm_generation *running[N];
    int32_t ids[N][8], alone[N][TOKENS];
    load_defaults(&load_options);
    load_options.context = 128;
    llm_model *model = load_shape(&shape, &load_options, &file);
    llm_generate_defaults(&o, sizeof o);
    o.temperature = 0;
    o.max_tokens = TOKENS;
    for (int together = 0; together < 2; together++) {
        for (uint32_t i = 0; i < N; i++) {
            random_ids(ids[i], 8, VOCAB, 20 + i);
            const struct llm_prompt prompt = ids_prompt(ids[i], 8);
            sessions[i] = open_session(model);
            OK(llm_generation_start(sessions[i], &prompt, &o, &running[i], &error));
            if (!together) llm_generation_wait(running[i], -1);
        }
        for (uint32_t i = 0; i < N; i++) {
            size_t n;
            llm_generation_wait(running[i], -1);
            const int32_t *tokens = llm_session_tokens(sessions[i], &n);
            assert_true(n >= 8 + TOKENS - 1);
            if (together) assert_memory_equal(tokens + 8, alone[i], (TOKENS - 1) * sizeof *tokens);
            else memcpy(alone[i], tokens + 8, (TOKENS - 1) * sizeof *tokens);
            llm_generation_free(running[i]);
            llm_session_free(sessions[i]);
        }
    }
    llm_model_free(model);
    free(file.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(hostile_headers),
                                       cmocka_unit_test(cut_prompts), cmocka_unit_test(in_company)};
    return cmocka_run_group_tests(tests, fixture_open, fixture_close);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer_checks.h"

static void ends_by_name(void **state)
{
    (void)state;
    static const struct line lines[] = {
        {"<|endoftext|>", 3, 0}, {"<|end|>", 3, 0}, {"<|eot_id|>", 3, 0},
        {"<|eom_id|>", 3, 0},    {"a", 1, 0},       {"<|return|>", 3, 0},
        {"<|call|>", 3, 0},      {"stop", 1, 0},    {"<|start|>", 3, 0},
    };
    struct opened o;
    vocabulary_begin(&file);
    vocabulary_string(&file, "model", "llama");
    vocabulary_u32(&file, "eos_token_id", 7);
    vocabulary_u32(&file, "padding_token_id", 4000); /* past the end, as in many files: none */
    vocabulary_u32(&file, "eot_token_id", 0xffffffff);
    put_tokens(lines, sizeof lines / sizeof *lines, false);
    open_file(&o);
    static const bool want[] = {true, false, true, true, false,
                                true, true,  true, false}; /* <|end|> ends no turn here */
    for (int32_t i = 0; i < 9; i++) assert_int_equal(tokenizer_is_end(o.t, i), want[i]);
    assert_int_equal(tokenizer_info(o.t)->n_ends, 6);
    assert_int_equal(tokenizer_info(o.t)->eot, 2);
    assert_int_equal(tokenizer_info(o.t)->pad, -1);
    check_decode(o.t, 8, false, "<|start|>");
    close_opened(&o);
}

/* Which special tokens swallow the white space beside them goes by names: the files do not say. */
static void white_space_beside_special_tokens(void **state)
{
    (void)state;
    static const struct line lines[] = {
        {"<mask>", 3, 0}, {"[MASK]", 3, 0}, {"<s>", 3, 0}, {"a", 1, 0}, {"\xe2\x96\x81", 1, 0},
    };
    static const struct {
        const char *key, *value, *mask, *other_mask, *start;
    } cases[] = {
        {"general.name", "none of them", "3 4 0 4 3", "3 4 1 4 3", "3 4 2 4 3"},
        {"general.name", "Modern-BERT base", "3 4 0 4 3", "3 1 4 3", "3 4 2 4 3"},
        {"general.name", "phi-3-MINI", "3 4 0 3", "3 4 1 3", "3 4 2 4 3"},
        {"general.name", "Phi3", "3 4 0 3", "3 4 1 3", "3 4 2 4 3"},
        {"general.architecture", "nomic-bert-moe", "3 0 4 3", "3 4 1 4 3", "3 4 2 4 3"},
        {"tokenizer.ggml.pre", "jina-v2-code", "3 0 4 3", "3 4 1 4 3", "3 4 2 4 3"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct opened o;
        begin("llama");
        put_tokens(lines, sizeof lines / sizeof *lines, false);
        vocabulary_bool(&file, "add_space_prefix", false);
        vocabulary_plain_string(&file, cases[i].key, cases[i].value);
        open_file(&o);
        check(o.t, "a <mask> a", TOKENIZER_SPECIAL, cases[i].mask);
        check(o.t, "a [MASK] a", TOKENIZER_SPECIAL, cases[i].other_mask);
        check(o.t, "a <s> a", TOKENIZER_SPECIAL, cases[i].start);
        close_opened(&o);
    }
}

static void ends_of_texts(void **state)
{
    (void)state;
    static const struct line lines[] = {{"<s>", 3, 0}, {"</s>", 3, 0}, {"a", 1, 0}};
    struct opened o;
    begin("llama");
    put_tokens(lines, 3, false);
    vocabulary_u32(&file, "bos_token_id", 0);
    vocabulary_u32(&file, "eos_token_id", 1);
    vocabulary_bool(&file, "add_eos_token", true);
    vocabulary_bool(&file, "add_space_prefix", false);
    open_file(&o);
    check(o.t, "a", 0, "2");
    check(o.t, "a", TOKENIZER_WHOLE, "0 2 1");
    check(o.t, "", TOKENIZER_WHOLE, "0 1");
    check(o.t, "<s>a", TOKENIZER_WHOLE | TOKENIZER_SPECIAL, "0 0 2 1");
    close_opened(&o);
}

/* ---- bad files ---- */

static void bad_files(void **state)
{
    (void)state;
    static const struct line one[] = {{"a", 1, 0}, {"b", 1, 0}};
    vocabulary_begin(&file);
    put_tokens(one, 2, false);
    refuse(LLM_BAD_MODEL, "tokenizer.ggml.model");

    begin("hybriddna");
    put_tokens(one, 2, false);
    refuse(LLM_UNSUPPORTED, "'hybriddna' is not supported (supported: gpt2, llama, bert, t5");

    begin("gpt2");
    vocabulary_string(&file, "pre", "no-such-rule");
    refuse(LLM_UNSUPPORTED, "'no-such-rule'");

    begin("llama");
    refuse(LLM_BAD_MODEL, "tokenizer.ggml.tokens");

    begin("llama");
    vocabulary_array(&file, "tokens", GGUF_STRING);
    vocabulary_array_end(&file);
    refuse(LLM_BAD_MODEL, "0 tokens");

    begin("llama");
    vocabulary_array(&file, "tokens", GGUF_U32);
    file.n_items = 1;
    vocabulary_put_int(&file, 1, 4);
    vocabulary_array_end(&file);
    refuse(LLM_BAD_MODEL, "strings");

    begin("llama");
    vocabulary_string(&file, "tokens", "a");
    refuse(LLM_BAD_MODEL, "strings");

    begin("llama");
    put_tokens(one, 2, false);
    vocabulary_array(&file, "scores", GGUF_F32);
    file.n_items = 1;
    vocabulary_put_int(&file, 0, 4);
    vocabulary_array_end(&file);
    refuse(LLM_BAD_MODEL, "1 items for 2");

    begin("llama");
    put_tokens(one, 2, false);
    vocabulary_array(&file, "scores", GGUF_STRING);
    vocabulary_item(&file, "x", 1);
    vocabulary_item(&file, "y", 1);
    vocabulary_array_end(&file);
    refuse(LLM_BAD_MODEL, "scores");

    begin("llama");
    put_tokens(one, 2, false);
    vocabulary_u32(&file, "eos_token_id", 2);
    refuse(LLM_BAD_MODEL, "eos_token_id is 2");

    begin("llama");
    put_tokens(one, 2, false);
    vocabulary_string(&file, "bos_token_id", "a");
    refuse(LLM_BAD_MODEL, "bos_token_id");

    begin("llama");
    put_tokens(one, 2, false);
    vocabulary_string(&file, "add_bos_token", "a");
    refuse(LLM_BAD_MODEL, "add_bos_token");

    begin("gpt2");
    put_tokens(one, 2, false);
    refuse(LLM_BAD_MODEL, "merges");

    begin("gpt2");
    put_tokens(one, 2, false);
    vocabulary_u32(&file, "merges", 3);
    refuse(LLM_BAD_MODEL, "merges");
}

/* Nothing that can be tokenized, but nothing to refuse either. */
static void odd_vocabularies(void **state)
{
    (void)state;
    static const struct line empty[] = {{"", 1, 0}, {"", 3, 0},  {"", 4, 0},
                                        {"", 6, 0}, {"", -7, 0}, {"", 99, 0}};
    static const char *const models[] = {"llama", "gpt2"};
    for (int i = 0; i < 2; i++) {
        struct opened o;
        begin(models[i]);
        put_tokens(empty, 6, true);
        vocabulary_array(&file, "merges", GGUF_STRING);
        vocabulary_array_end(&file);
        vocabulary_u32(&file, "unknown_token_id", 0xffffffff);
        open_file(&o);
        check(o.t, "any text", true, "");
        for (int32_t id = 0; id < 6; id++) check_decode(o.t, id, true, "");
        close_opened(&o);
    }
    struct line nan[] = {{"a", 1, 0}, {"b", 1, 0}, {"ab", 1, 0}, {"c", 1, 0}};
    static const uint32_t bits = 0x7fc00000;
    memcpy(&nan[2].score, &bits, 4);
    struct opened o;
    begin("llama");
    put_tokens(nan, 4, true);
    vocabulary_bool(&file, "add_space_prefix", false);
    open_file(&o);
    check(o.t, "ab", true, "2");
    close_opened(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_by_name),     cmocka_unit_test(white_space_beside_special_tokens),
        cmocka_unit_test(ends_of_texts),    cmocka_unit_test(bad_files),
        cmocka_unit_test(odd_vocabularies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer_checks.h"

static const struct line bpe_lines[] = {
    {"a", 1, 0},
    {"b", 1, 0},
    {"c", 1, 0},
    {"\xc4\xa0", 1, 0},
    {"ab", 1, 0},
    {"bc", 1, 0},
    {"abc", 1, 0},
    {"\xc4\xa0"
     "a",
     1, 0},
    {"<|im_end|>", 1, 0},
    {"<x>", 3, 0},
    {"<x><y>", 3, 0},
    {"ca", 4, 0},
    {"\xc3\x83", 1, 0},
    {"\xc2\xa9", 1, 0},
    {"\xc3\x83\xc2\xa9", 1, 0},
    {"aa", 1, 0},
    {"", 1, 0},
    {"ab", 1, 0},
    {"<", 1, 0},
    {"x", 1, 0},
    {"\xe4\xb8\xad", 1, 0},
};
static const char *const bpe_merges[] = {
    "b c", "a b", "ab c", "\xc4\xa0 a", "a bc", "\xc3\x83 \xc2\xa9", "a a", "a zz", "zz", "",
    " ",   "a ",  " a",   "c b",        "b c",
};

static void put_bpe(const char *pre)
{
    vocabulary_begin(&file);
    vocabulary_string(&file, "model", "gpt2");
    if (pre) vocabulary_string(&file, "pre", pre);
    put_tokens(bpe_lines, sizeof bpe_lines / sizeof *bpe_lines, false);
    vocabulary_array(&file, "merges", GGUF_STRING);
    for (size_t i = 0; i < sizeof bpe_merges / sizeof *bpe_merges; i++)
        vocabulary_item(&file, bpe_merges[i], strlen(bpe_merges[i]));
    vocabulary_array_end(&file);
}

static void byte_pairs(void **state)
{
    (void)state;
    struct opened o;
    put_bpe("gpt-2");
    open_file(&o);
    check(o.t, "", true, "");
    check(o.t, "abc", true, "6");         /* b c first, then a bc */
    check(o.t, "aab", true, "0 4");       /* a b ranks before a a */
    check(o.t, "aaaaa", true, "15 15 0"); /* leftmost first */
    check(o.t, "a a", true, "0 7");
    check(o.t, "\xc3\xa9", true, "14");
    check(o.t, "\xc3", true, "12"); /* a byte that is no character */
    check(o.t, "azb", true, "0 1"); /* no token has that byte */
    check(o.t, "a<x>b", true, "0 9 1");
    check(o.t, "a<x>b", false, "0 18 19 1");
    check(o.t, "<x><y><x>", true, "10 9"); /* the longest */
    check(o.t, "<x><y", true, "9 18");
    check(o.t, "bcab", false, "1 11 1"); /* user-defined ones always, before any merge */
    check(o.t, "<|im_end|>", true, "8"); /* a customary name, whatever its type */
    check(o.t, "<|im_end|>", false, "18");

    check_decode(o.t, 7, false, " a");
    check_decode(o.t, 14, false, "\xc3\xa9");
    check_decode(o.t, 12, false, "\xc3");
    check_decode(o.t, 9, false, "");
    check_decode(o.t, 9, true, "<x>");
    check_decode(o.t, 11, false, "ca");
    check_decode(o.t, 16, true, "");
    check_decode(o.t, 20, false, "\xe4\xb8\xad"); /* stands for no byte */
    struct llm_error error = {.size = sizeof error};
    assert_int_equal(tokenizer_decode(o.t, 21, false, &(struct bytes){0}, &alloc_libc, &error),
                     LLM_BAD_ARGUMENT);
    assert_non_null(strstr(error.message, "21"));
    assert_int_equal(tokenizer_decode(o.t, -1, false, &(struct bytes){0}, &alloc_libc, &error),
                     LLM_BAD_ARGUMENT);

    const struct tokenizer_info *info = tokenizer_info(o.t);
    assert_int_equal(info->n_tokens, 21);
    assert_int_equal(info->bos, -1);
    assert_int_equal(info->eot, 8);
    assert_int_equal(info->n_ends, 1);
    assert_false(info->add_bos || info->add_eos || info->add_space_prefix);
    assert_false(tokenizer_is_end(o.t, -1));
    close_opened(&o);
}

static void ids_are_appended(void **state)
{
    (void)state;
    struct opened o;
    put_bpe(NULL);
    open_file(&o);
    struct ids ids = {0};
    for (int i = 0; i < 3; i++)
        assert_int_equal(tokenizer_encode(o.t, "abc", 3, false, &ids, &alloc_libc, NULL), LLM_OK);
    assert_int_equal(ids.n, 3);
    assert_int_equal(ids.items[2], 6);
    free(ids.items);
    close_opened(&o);
}

static void whole_words_need_no_merges(void **state)
{
    (void)state;
    static const struct line lines[] = {{"a", 1, 0}, {"b", 1, 0}, {"ab", 1, 0}, {"aba", 3, 0}};
    static const char *const pres[] = {"gpt-2", "llama-bpe"};
    for (int i = 0; i < 2; i++) {
        struct opened o;
        vocabulary_begin(&file);
        vocabulary_string(&file, "model", "gpt2");
        vocabulary_string(&file, "pre", pres[i]);
        vocabulary_u32(&file, "bos_token_id", 3);
        put_tokens(lines, 4, false);
        vocabulary_array(&file, "merges", GGUF_STRING);
        vocabulary_array_end(&file);
        open_file(&o);
        check(o.t, "ab", false, i ? "2" : "0 1");
        check(o.t, "aba", false, "0 1 0"); /* but a control token is no word */
        assert_int_equal(tokenizer_info(o.t)->add_bos, i == 1);
        close_opened(&o);
    }
}

/* ---- merges of characters ---- */

#define SPACE "\xe2\x96\x81"

static const struct line raw_lines[] = {
    {SPACE, 1, 0},       {"a", 1, 0},        {"b", 1, 0},       {"\xe4\xb8\xad", 1, 0},
    {"\n", 1, 0},        {"\n\n", 1, 0},     {SPACE "a", 1, 0}, {"ab", 1, 0},
    {"<0x0A>", 6, 0},    {"<0xE4>", 6, 0},   {"<0xb8>", 6, 0},  {"<x>", 3, 0},
    {SPACE SPACE, 1, 0}, {"\xc3\xa9", 1, 0},
};
static const char *const raw_merges[] = {"a b", SPACE " a", SPACE " " SPACE};

static void put_raw(const char *model, const char *pre)
{
    begin(model);
    vocabulary_string(&file, "pre", pre);
    vocabulary_u32(&file, "bos_token_id", 11);
    vocabulary_bool(&file, "add_bos_token", false);
    put_tokens(raw_lines, sizeof raw_lines / sizeof *raw_lines, false);
    vocabulary_array(&file, "merges", GGUF_STRING);
    for (size_t i = 0; i < sizeof raw_merges / sizeof *raw_merges; i++)
        vocabulary_item(&file, raw_merges[i], strlen(raw_merges[i]));
    vocabulary_array_end(&file);
}

static void pairs_of_characters(void **state)
{
    (void)state;
    static const char *const models[][2] = {
        {"gemma4", "any"}, {"gpt2", "granite-embed-multi-311m"}, {"gpt2", "sarvam-moe"}};
    for (int i = 0; i < 3; i++) {
        struct opened o;
        bool is_sarvam = i == 2;
        put_raw(models[i][0], models[i][1]);
        open_file(&o);
        check(o.t, "ab", 0, "7");
        check(o.t, "a b a", 0, "1 0 2 6");
        check(o.t, "   ab", 0, "12 0 7"); /* a b first */
        check(o.t, "\xe4\xb8\xad\xc3\xa9", 0, "3 13");
        check(o.t, "\xe4\xb8\xae", 0, "9 10"); /* bytes by name; one is no token */
        check(o.t, "\xe4 ", 0, "9 0");
        check(o.t, "a\n\nb", 0, is_sarvam ? "1 4 4 2" : "1 5 2");
        check(o.t, "\n\n\n", 0, "4 4 4");
        check_decode(o.t, 6, false, " a");
        check_decode(o.t, 9, false, "\xe4");
        assert_int_equal(tokenizer_info(o.t)->add_bos, !is_sarvam); /* whatever the file says */
        close_opened(&o);
    }
}

static void words_between_white_space(void **state)
{
    (void)state;
    struct opened o;
    put_raw("whitespace", "whitespace");
    open_file(&o);
    check(o.t, " ab\n\xe3\x80\x80 ba\xc3\xa9 ", 0, "7 2 1 13");
    check(o.t, "AB", 0, "");
    check_decode(o.t, 13, false, "\xc3\xa9");
    close_opened(&o);
    put_raw("whitespace", "whitespace");
    vocabulary_bool(&file, "normalizer.lowercase", true);
    open_file(&o);
    check(o.t, "AB \xc3\x89", 0, "7 13");
    close_opened(&o);
}

static void merges_may_lack(void **state)
{
    (void)state;
    static const struct line lines[] = {{"a", 1, 0}, {"b", 1, 0}, {"ab", 1, 0}};
    struct opened o;
    begin("gpt2");
    vocabulary_string(&file, "pre", "kimi-k2");
    put_tokens(lines, 3, false);
    open_file(&o);
    check(o.t, "ab", 0, "0 1");
    close_opened(&o);
}

static void memory(void **state)
{
    (void)state;
    put_bpe("default");
    check_memory("<s>a b ab\nabcabca <x>");
    put_raw("gemma4", "");
    check_memory("a b ab\n\xe4");
    put_raw("whitespace", "whitespace");
    check_memory("a b ab\n\xe4");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(byte_pairs),
        cmocka_unit_test(ids_are_appended),
        cmocka_unit_test(whole_words_need_no_merges),
        cmocka_unit_test(pairs_of_characters),
        cmocka_unit_test(words_between_white_space),
        cmocka_unit_test(merges_may_lack),
        cmocka_unit_test(memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer_checks.h"

static const struct line spm_lines[] = {
    {"<unk>", 2, 0},
    {"<s>", 3, 0},
    {"</s>", 3, 0},
    {"<0x0A>", 6, 0},
    {"<0xE4>", 6, 0},
    {"a", 1, -10},
    {"b", 1, -10},
    {"\xe2\x96\x81", 1, -10},
    {"ab", 1, -2},
    {"ba", 1, -1},
    {"aba", 1, -3},
    {"\xe2\x96\x81"
     "a",
     1, -4},
    {"c", 1, -10},
    {"cc", 1, -5},
    {"  ", 4, 0},
    {"unused", 5, 0},
    {"<", 1, -10},
    {"s", 1, -10},
    {"<s", 1, -1},
    {">", 1, -10},
};

static void put_spm(void)
{
    vocabulary_begin(&file);
    vocabulary_string(&file, "model", "llama");
    put_tokens(spm_lines, sizeof spm_lines / sizeof *spm_lines, true);
}

static void sentence_pieces(void **state)
{
    (void)state;
    struct opened o;
    put_spm();
    open_file(&o);
    check(o.t, "", true, "");
    check(o.t, "a", true, "11");
    check(o.t, "bab", true, "7 9 6");      /* the highest score: ba */
    check(o.t, "ccc", true, "7 13 12");    /* leftmost first */
    check(o.t, "b aba", true, "7 6 7 10"); /* ba before ab, then a and ba */
    check(o.t, "\n", true, "7 3");
    check(o.t, "\xe4", true, "7 4");
    check(o.t, "\xe4\xb8\xad", true, "7 4 0 0"); /* bytes without a token are unknown */
    check(o.t, "<s>a</s>b", true, "1 11 2 7 6"); /* a space after each special token */
    check(o.t, "<s>", false, "7 18 19");         /* names in plain text are text */
    check(o.t, "a  a", true, "11 14 11");        /* two spaces are user-defined */
    check_decode(o.t, 11, false, " a");
    check_decode(o.t, 3, false, "\n");
    check_decode(o.t, 0, false, "");
    check_decode(o.t, 1, true, "<s>");
    check_decode(o.t, 14, false, "  ");
    const struct tokenizer_info *info = tokenizer_info(o.t);
    assert_true(info->add_bos && info->add_space_prefix && !info->add_eos);
    assert_int_equal(info->bos, 1);
    assert_int_equal(info->eos, 2);
    assert_int_equal(info->unk, 0);
    assert_int_equal(info->pad, -1);
    close_opened(&o);

    put_spm();
    vocabulary_bool(&file, "add_space_prefix", false);
    vocabulary_bool(&file, "add_bos_token", false);
    vocabulary_bool(&file, "add_eos_token", true);
    open_file(&o);
    check(o.t, "a a", true, "5 11");
    assert_true(!tokenizer_info(o.t)->add_bos && tokenizer_info(o.t)->add_eos);
    close_opened(&o);
}

static void memory(void **state)
{
    (void)state;
    put_spm();
    check_memory("<s>a b ab\nabcabca <x>");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentence_pieces),
        cmocka_unit_test(memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tokenizer_checks.h"

#define WORD "\xe2\x96\x81"

static const struct line lines[] = {
    {"[PAD]", 3, 0},
    {"[UNK]", 3, 0},
    {"[CLS]", 3, 0},
    {"[SEP]", 3, 0},
    {"[MASK]", 3, 0},
    {WORD "hello", 1, 0},
    {WORD "he", 1, 0},
    {"llo", 1, 0},
    {"ll", 1, 0},
    {WORD "!", 1, 0},
    {WORD "e", 1, 0},
    {"o", 1, 0},
    {WORD "\xe4\xb8\xad", 1, 0},
    {WORD "\xc3\xa9", 1, 0},
    {WORD "H", 1, 0},
    {WORD "[", 1, 0},
    {WORD "]", 1, 0},
    {WORD "cls", 1, 0},
    {WORD, 1, 0},
    {"$", 1, 0},
    {"\xe2\x80\xa6", 1, 0},
};

static void put_wpm(void)
{
    begin("bert");
    vocabulary_u32(&file, "cls_token_id", 2);
    vocabulary_u32(&file, "seperator_token_id", 3);
    vocabulary_u32(&file, "unknown_token_id", 1);
    put_tokens(lines, sizeof lines / sizeof *lines, false);
}

static void words_are_made_of_the_longest(void **state)
{
    (void)state;
    struct opened o;
    put_wpm();
    open_file(&o);
    check(o.t, "", 0, "");
    check(o.t, "hello", 0, "5");
    check(o.t, "hello  hello\thello\n", 0, "5 5 5");
    check(o.t, "heo", 0, "6 11");
    check(o.t, "hellollo", 0, "5 7");
    check(o.t, "hellox hello", 0, "1 5"); /* unknown as a whole */
    check(o.t, "hello!!", 0, "5 9 9");    /* punctuation stands alone, */
    check(o.t,
          "\xe4\xb8\xad\xe4\xb8\xad"
          "e",
          0, "12 12 10");        /* and ideographs */
    check(o.t, "$", 0, "18 19"); /* and symbols of ASCII */
    check(o.t, "\xe2\x80\xa6", 0, "18 20");
    check(o.t, "[cls]", 0, "15 17 16");
    check(o.t, "[CLS]", 0, "15 17 16");
    check(o.t, "hello[CLS]hello", TOKENIZER_SPECIAL, "5 2 5");
    check(o.t, "hello", TOKENIZER_WHOLE, "2 5 3");
    check(o.t, "", TOKENIZER_WHOLE, "2 3");
    check_decode(o.t, 5, false, " hello");
    check_decode(o.t, 7, false, "llo");
    check_decode(o.t, 2, false, "");
    check_decode(o.t, 2, true, "[CLS]");
    const struct tokenizer_info *info = tokenizer_info(o.t);
    assert_true(info->add_bos && info->add_sep && !info->add_eos && !info->add_space_prefix);
    assert_int_equal(info->bos, 2);
    assert_int_equal(info->sep, 3);
    assert_int_equal(info->unk, 1);
    assert_int_equal(info->eos, -1);
    close_opened(&o);
}

static void letters_are_small_and_plain(void **state)
{
    (void)state;
    struct opened o;
    put_wpm();
    open_file(&o);
    check(o.t, "HeLLO", 0, "5");
    check(o.t, "\xc3\x89 \xc3\xa9 e\xcc\x81", 0, "10 10 10"); /* E and e with an accent */
    check(o.t, "he\xc2\xadllo he\x01llo", 0, "5 5");          /* format and control characters */
    check(o.t, "he\xffllo", 0, "5");                          /* what is not UTF-8 */
    check(o.t, "\xf0\x9f\x98\x80", 0, "1");
    close_opened(&o);

    put_wpm();
    vocabulary_bool(&file, "normalizer.lowercase", false);
    open_file(&o);
    check(o.t, "H hello HELLO", 0, "14 5 1");
    check(o.t, "\xc3\xa9", 0, "13"); /* accents go with capitals where the file does not say */
    close_opened(&o);

    put_wpm();
    vocabulary_bool(&file, "normalizer.strip_accents", false);
    open_file(&o);
    check(o.t, "\xc3\x89", 0, "13");
    close_opened(&o);
}

/* Where the file names no token as the beginning one, it is that of the first BERT. */
static void small_files(void **state)
{
    (void)state;
    struct opened o;
    begin("bert");
    put_tokens(lines, 2, false);
    vocabulary_bool(&file, "add_bos_token", false);
    open_file(&o);
    assert_false(tokenizer_info(o.t)->add_bos || tokenizer_info(o.t)->add_sep);
    check(o.t, "hello", TOKENIZER_WHOLE, "");
    close_opened(&o);
}

static void memory(void **state)
{
    (void)state;
    put_wpm();
    check_memory("hello Hello! [CLS] \xc3\xa9");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_made_of_the_longest),
        cmocka_unit_test(letters_are_small_and_plain),
        cmocka_unit_test(small_files),
        cmocka_unit_test(memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

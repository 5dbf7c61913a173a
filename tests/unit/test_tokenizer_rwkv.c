#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tokenizer_checks.h"

static const struct line lines[] = {
    {"<s>", 3, 0}, {"a", 1, 0},     {"ab", 1, 0},   {"abcd", 1, 0},  {"\\n", 1, 0},
    {"c", 1, 0},   {"\\xe4", 1, 0}, {"\\\\", 1, 0}, {"x", 1, 0},     {"\\t\\r", 1, 0},
    {"\\'", 1, 0}, {"\\xZ", 1, 0},  {"\\x1", 1, 0}, {"end\\", 1, 0}, {"\\xE4\\xb8", 1, 0},
};

static void put_rwkv(void)
{
    begin("rwkv");
    put_tokens(lines, sizeof lines / sizeof *lines, false);
}

static void the_longest_from_the_left(void **state)
{
    (void)state;
    struct opened o;
    put_rwkv();
    open_file(&o);
    check(o.t, "aababcd", 0, "1 2 3");
    check(o.t, "abc", 0, "2 5");
    check(o.t, "ab?c", 0, "2 5"); /* a byte that is no token is left out */
    check(o.t, "\n\\\t\r'", 0, "4 7 9 10");
    check(o.t, "\xe4\xb8\xe4", 0, "14 6");
    check(o.t, "x1xZend\\", 0, "12 11 13"); /* escapes of no byte are letters */
    check(o.t, "a<s>a", TOKENIZER_SPECIAL, "1 0 1");
    check_decode(o.t, 14, false, "\xe4\xb8");
    check_decode(o.t, 9, false, "\t\r");
    assert_false(tokenizer_info(o.t)->add_bos || tokenizer_info(o.t)->add_space_prefix);
    close_opened(&o);

    put_rwkv();
    vocabulary_u32(&file, "unknown_token_id", 8);
    open_file(&o);
    check(o.t, "a??", 0, "1 8 8");
    close_opened(&o);
}

static void memory(void **state)
{
    (void)state;
    put_rwkv();
    check_memory("aab<s>\n?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_from_the_left),
        cmocka_unit_test(memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

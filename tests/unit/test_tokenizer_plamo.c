#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tokenizer_checks.h"

static const struct line lines[] = {
    {"<|unk|>", 3, 0}, {"<|bos|>", 3, 0}, {"<|eos|>", 3, 0}, {"<|pad|>", 3, 0}, {"a", 1, -3},
    {"b", 1, -3},      {"ab", 1, -7},     {"ba", 1, -4},     {"bab", 1, -7},    {"c", 1, -3000},
    {"<0xE4>", 6, 0},  {"<0xb8>", 6, 0},  {"<0x63>", 6, 0},  {"<0xEF>", 6, 0},
};

static void put_plamo(void)
{
    begin("plamo2");
    put_tokens(lines, sizeof lines / sizeof *lines, true);
}

static void the_best_sum_wins(void **state)
{
    (void)state;
    struct opened o;
    put_plamo();
    open_file(&o);
    check(o.t, "", 0, "");
    check(o.t, "ab", 0, "4 5"); /* -6, not -7 */
    check(o.t, "bab", 0, "8");  /* of two with -7 the one that is longer at the beginning */
    check(o.t, "aba", 0, "4 7");
    check(o.t, "c", 0, "12"); /* scores so low are no tokens: bytes */
    check(o.t, "\xe4\xb8\xad", 0, "10 11");
    check(o.t,
          "\xef\xbb\xbf"
          "a",
          0, "4"); /* a byte order mark is no text at the beginning */
    check(o.t, "a\xef\xbb\xbf", 0, "4 13");
    check(o.t, "\xef", 0, "13");
    check(o.t, "a<|eos|>b", TOKENIZER_SPECIAL, "4 2 5");
    check_decode(o.t, 8, false, "bab");
    check_decode(o.t, 10, false, "\xe4");
    check_decode(o.t, 2, false, "");
    close_opened(&o);
}

static void memory(void **state)
{
    (void)state;
    put_plamo();
    check_memory("ab<|eos|>bab\xe4\xb8\xad");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_sum_wins),
        cmocka_unit_test(memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

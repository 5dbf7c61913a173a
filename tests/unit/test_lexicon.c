#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "failing_alloc.h"
#include "lexicon.h"

static void the_longest_is_found(void **state)
{
    (void)state;
    static const char *const texts[] = {"abc",      "a", "ab", "abcde", "b",
                                        "\xff\xfe", "",  "a",  "a\0c"};
    static const size_t sizes[] = {3, 1, 2, 5, 1, 2, 0, 1, 3};
    static const struct {
        const char *text;
        size_t size;
        int32_t want;
    } cases[] = {
        {"abcd", 4, 0},      {"abcde", 5, 3}, {"abcdef", 6, 3}, {"ax", 2, 1},  {"a", 1, 1},
        {"bbbb", 4, 4},      {"c", 1, -1},    {"", 0, -1},      {"abc", 2, 2}, {"\xff\xfe", 2, 5},
        {"\xff\xfd", 2, -1}, {"\xff", 1, -1}, {"a\0c", 3, 8},
    };
    struct lexicon l = {0};
    for (int32_t i = 0; i < 9; i++)
        assert_true(lexicon_add(&l, texts[i], sizes[i], i, &alloc_libc));
    lexicon_sort(&l);
    assert_int_equal(l.n, 8);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(lexicon_longest(&l, cases[i].text, cases[i].size), cases[i].want);
    lexicon_free(&l, &alloc_libc);
}

static void every_prefix_is_found(void **state)
{
    (void)state;
    struct lexicon l = {0};
    struct lexicon_walk walk = {0};
    int32_t id;
    assert_true(lexicon_add(&l, "ab", 2, 7, &alloc_libc));
    assert_true(lexicon_add(&l, "abab", 4, 8, &alloc_libc));
    lexicon_sort(&l);
    static const int32_t want[] = {-1, 7, -1, 8};
    for (int i = 0; i < 4; i++) {
        assert_true(lexicon_step(&l, &walk, "abab"[i], &id));
        assert_int_equal(id, want[i]);
    }
    assert_false(lexicon_step(&l, &walk, 'a', &id));
    assert_int_equal(id, -1);
    lexicon_free(&l, &alloc_libc);
}

static void odd_lexicons(void **state)
{
    (void)state;
    struct lexicon l = {0};
    static char text[LEXICON_LONGEST + 1];
    lexicon_sort(&l);
    assert_int_equal(lexicon_longest(&l, "a", 1), -1);
    memset(text, 'a', sizeof text);
    assert_true(lexicon_add(&l, text, sizeof text, 0, &alloc_libc)); /* too long: left out */
    assert_true(lexicon_add(&l, text, sizeof text - 1, 1, &alloc_libc));
    lexicon_sort(&l);
    assert_int_equal(l.n, 1);
    assert_int_equal(lexicon_longest(&l, text, sizeof text), 1);
    lexicon_free(&l, &alloc_libc);

    struct failing_alloc f;
    failing_alloc_init(&f, 1);
    l = (struct lexicon){0};
    assert_false(lexicon_add(&l, "a", 1, 0, &f.alloc));
    lexicon_free(&l, &f.alloc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_is_found),
        cmocka_unit_test(every_prefix_is_found),
        cmocka_unit_test(odd_lexicons),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

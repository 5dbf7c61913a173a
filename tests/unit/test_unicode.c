#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "unicode.h"

static void every_code_point_comes_back(void **state)
{
    (void)state;
    for (uint32_t code = 0; code <= 0x10ffff; code++) {
        if (code >= 0xd800 && code < 0xe000) continue;
        char bytes[4];
        uint32_t back = 0;
        size_t n = unicode_encode(code, bytes);
        assert_int_equal(n, code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4);
        assert_int_equal(unicode_decode(bytes, n, &back), n);
        assert_int_equal(back, code);
        for (size_t cut = 1; cut < n; cut++) {
            assert_int_equal(unicode_decode(bytes, cut, &back), 1);
            assert_int_equal(back, UNICODE_REPLACEMENT);
        }
    }
}

static void what_is_no_utf8_is_one_byte(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xc3(",
        "\xe0\x80\x80",
        "\xe0\x9f\xbf",
        "\xe2\x82(",
        "\xe2(\xa1",
        "\xed\xa0\x80",
        "\xed\xbf\xbf",
        "\xf0\x80\x80\x80",
        "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xff",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint32_t code = 0;
        assert_int_equal(unicode_decode(bad[i], strlen(bad[i]), &code), 1);
        assert_int_equal(code, UNICODE_REPLACEMENT);
    }
    char bytes[4];
    assert_int_equal(unicode_encode(0xd800, bytes), 3);
    assert_memory_equal(bytes, "\xef\xbf\xbd", 3);
    assert_int_equal(unicode_encode(0x110000, bytes), 3);
    assert_memory_equal(bytes, "\xef\xbf\xbd", 3);
}

static void classes(void **state)
{
    (void)state;
    static const struct {
        uint32_t code;
        enum unicode_class want;
    } cases[] = {
        {0, UNICODE_OTHER},
        {'\t', UNICODE_SPACE},
        {0x0d, UNICODE_SPACE},
        {0x0e, UNICODE_OTHER},
        {0x1f, UNICODE_OTHER},
        {' ', UNICODE_SPACE},
        {'!', UNICODE_PUNCTUATION},
        {'$', UNICODE_SYMBOL},
        {'0', UNICODE_NUMBER},
        {'9', UNICODE_NUMBER},
        {'A', UNICODE_LETTER},
        {'_', UNICODE_PUNCTUATION},
        {'`', UNICODE_SYMBOL},
        {'z', UNICODE_LETTER},
        {'~', UNICODE_SYMBOL},
        {0x7f, UNICODE_OTHER},
        {0x85, UNICODE_SPACE},
        {0xa0, UNICODE_SPACE},
        {0xad, UNICODE_OTHER},
        {0xb2, UNICODE_NUMBER},
        {0xe9, UNICODE_LETTER},
        {0x301, UNICODE_MARK},
        {0x378, UNICODE_UNASSIGNED},
        {0x663, UNICODE_NUMBER},
        {0x1680, UNICODE_SPACE},
        {0x2019, UNICODE_PUNCTUATION},
        {0x200b, UNICODE_OTHER},
        {0x2028, UNICODE_SPACE},
        {0x2167, UNICODE_NUMBER},
        {0x2581, UNICODE_SYMBOL},
        {0x3000, UNICODE_SPACE},
        {0x3002, UNICODE_PUNCTUATION},
        {0x31ef, UNICODE_SYMBOL},
        {0x4e2d, UNICODE_LETTER},
        {0x9fff, UNICODE_LETTER},
        {0xac00, UNICODE_LETTER},
        {0xd800, UNICODE_OTHER},
        {0xe000, UNICODE_OTHER},
        {0xfffd, UNICODE_SYMBOL},
        {0x1f600, UNICODE_SYMBOL},
        {0x2ebf0, UNICODE_LETTER},
        {0x10ffff, UNICODE_UNASSIGNED},
        {0x110000, UNICODE_UNASSIGNED},
        {0xffffffff, UNICODE_UNASSIGNED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(unicode_class(cases[i].code), cases[i].want);
}

static void small_letters_and_bases(void **state)
{
    (void)state;
    static const struct {
        uint32_t code, lower, base;
    } cases[] = {
        {'A', 'a', 'A'},
        {'Z', 'z', 'Z'},
        {'[', '[', '['},
        {'a', 'a', 'a'},
        {0xc9, 0xe9, 'E'},
        {0xd7, 0xd7, 0xd7},
        {0x101, 0x101, 'a'},
        {0x102, 0x103, 'A'},
        {0x130, 'i', 'I'},
        {0x1c5, 0x1c6, 0x1c5},
        {0x3a9, 0x3c9, 0x3a9},
        {0x1ea8, 0x1ea9, 'A'}, /* two accents */
        {0x212b, 0xe5, 'A'},
        {0x2581, 0x2581, 0x2581},
        {0xac00, 0xac00, 0x1100},
        {0xd7a3, 0xd7a3, 0x1112},
        {0xd7a4, 0xd7a4, 0xd7a4},
        {0xf900, 0xf900, 0x8c48},
        {0x10400, 0x10428, 0x10400},
        {0x2fa1d, 0x2fa1d, 0x2a600},
        {0, 0, 0},
        {0x10ffff, 0x10ffff, 0x10ffff},
        {0xffffffff, 0xffffffff, 0xffffffff},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(unicode_lower(cases[i].code), cases[i].lower);
        assert_int_equal(unicode_base(cases[i].code), cases[i].base);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_comes_back),
        cmocka_unit_test(what_is_no_utf8_is_one_byte),
        cmocka_unit_test(classes),
        cmocka_unit_test(small_letters_and_bases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "charsmap.h"
#include "tokenizer_checks.h"

#define SPACE "\xe2\x96\x81"

static const struct line lines[] = {
    {"<pad>", 3, 0}, {"</s>", 3, 0},      {"<unk>", 2, 0}, {SPACE, 1, -2},     {"a", 1, -3},
    {"b", 1, -3},    {"ab", 1, -7},       {"ba", 1, -4},   {SPACE "a", 1, -4}, {"bab", 1, -9},
    {"<x>", 4, 0},   {"\xc3\xa9", 1, -5}, {"ee", 5, -1},   {"<x", 1, -1},
};

static void put_ugm(void)
{
    begin("t5");
    put_tokens(lines, sizeof lines / sizeof *lines, true);
}

static void the_best_sum_wins(void **state)
{
    (void)state;
    struct opened o;
    put_ugm();
    open_file(&o);
    check(o.t, "", 0, "");
    check(o.t, "a", 0, "4");
    check(o.t, "ab", 0, "4 5");  /* -6, not -7 */
    check(o.t, "bab", 0, "7 5"); /* -7, not -9 */
    check(o.t, "aba", 0, "4 7");
    check(o.t, " a", 0, "8"); /* -4, not -5 */
    check(o.t, "a  a", 0, "4 3 8");
    check(o.t, "eea", 0, "12 4");   /* an unused token may be used */
    check(o.t, "azzb", 0, "4 2 5"); /* unknown ones in a row are one */
    check(o.t, "az bz", 0, "4 2 3 5 2");
    check(o.t,
          "\xff"
          "a\xc3\xa9",
          0, "2 4 11");               /* what is not UTF-8 is unknown */
    check(o.t, "a<x>b", 0, "4 10 5"); /* a user-defined one is cut out first */
    check(o.t, "<x", 0, "13");
    check(o.t, "a</s>", 0, "4 2");
    check(o.t, "a</s>", TOKENIZER_SPECIAL, "4 1");
    check(o.t, "a", TOKENIZER_WHOLE, "4 1");
    check_decode(o.t, 8, false, " a");
    check_decode(o.t, 10, false, "<x>");
    check_decode(o.t, 2, false, "");
    const struct tokenizer_info *info = tokenizer_info(o.t);
    assert_true(info->add_eos && !info->add_bos && !info->add_space_prefix && !info->add_sep);
    assert_int_equal(info->eos, 1);
    assert_int_equal(info->unk, 2);
    assert_int_equal(info->pad, 0);
    close_opened(&o);
}

static void spaces(void **state)
{
    (void)state;
    struct opened o;
    put_ugm();
    vocabulary_bool(&file, "add_space_prefix", true);
    open_file(&o);
    check(o.t, "a a", 0, "8 8");
    check(o.t, "a a", TOKENIZER_CONTINUES, "4 8");
    check(o.t, " a", 0, "3 8"); /* one more */
    check(o.t, "b<x>b", 0, "3 5 10 3 5");
    close_opened(&o);

    put_ugm();
    vocabulary_bool(&file, "remove_extra_whitespaces", true);
    open_file(&o);
    check(o.t, "   a   b  ", 0, "8 3 5");
    check(o.t, "a", 0, "8");
    check(o.t, "a", TOKENIZER_CONTINUES, "4");
    check(o.t, "  a", TOKENIZER_CONTINUES, "8");
    check(o.t, "   ", 0, "");
    close_opened(&o);
}

/* ---- the map of characters ---- */

/* A trie with the keys "A" (written "a") and "AB" (written "ab "), by hand: unit 0 has its children
 * at 256, so 'A' is at 256 ^ 'A'; its own are 512 from there, its value at the first of them. */
static void put_charsmap(uint32_t value, const char *replacements, size_t size)
{
    enum {
        N_UNITS = 2048,
        ROOT = 256,
        A = ROOT ^ 'A',
        OF_A = A ^ 512,
        B = OF_A ^ 'B',
        OF_B = B ^ 1
    };
    static uint32_t units[N_UNITS];
    memset(units, 0, sizeof units);
    units[0] = ROOT << 10;
    units[A] = 512 << 10 | 1 << 8 | 'A';
    units[OF_A] = 1u << 31 | value;
    units[B] = 1 << 10 | 1 << 8 | 'B';
    units[OF_B] = 1u << 31 | 2;
    vocabulary_array(&file, "precompiled_charsmap", GGUF_U8);
    vocabulary_put_int(&file, sizeof units, 4);
    for (size_t i = 0; i < N_UNITS; i++) vocabulary_put_int(&file, units[i], 4);
    vocabulary_put(&file, replacements, size);
    file.n_items = 4 + sizeof units + size;
    vocabulary_array_end(&file);
}

static void texts_are_normalised(void **state)
{
    (void)state;
    struct opened o;
    put_ugm();
    put_charsmap(0, "a\0ab ", 6);
    open_file(&o);
    check(o.t, "A", 0, "4");
    check(o.t, "AB", 0, "4 5 3"); /* the longest key */
    check(o.t, "AAb", 0, "4 4 5");
    check(o.t, "ABA", 0, "4 5 8");
    check(o.t, "B", 0, "2");
    close_opened(&o);

    put_ugm();
    put_charsmap(1000, "a\0ab ", 6); /* a value past the end: no key */
    open_file(&o);
    check(o.t, "A", 0, "2");
    close_opened(&o);
}

static void put_bytes(enum gguf_type type, const void *bytes, size_t n)
{
    put_ugm();
    vocabulary_array(&file, "precompiled_charsmap", type);
    vocabulary_put(&file, bytes, n);
    file.n_items = type == GGUF_U32 ? n / 4 : n;
    vocabulary_array_end(&file);
}

static void damaged_maps(void **state)
{
    (void)state;
    char long_replacement[4 + CHARSMAP_LONGEST + 2] = {0};
    memset(long_replacement + 4, 'a', CHARSMAP_LONGEST + 1);
    put_bytes(GGUF_U32, "\0\0\0\0", 4);
    refuse(LLM_BAD_MODEL, "not an array of bytes");
    put_bytes(GGUF_U8, "\0\0", 2);
    refuse(LLM_BAD_MODEL, "too few");
    put_bytes(GGUF_I8, "\5\0\0\0abcd", 8);
    refuse(LLM_BAD_MODEL, "too few for a trie of 5");
    put_bytes(GGUF_I8, "\0\0\0\0abcd", 8);
    refuse(LLM_BAD_MODEL, "no end");
    put_bytes(GGUF_U8, long_replacement, sizeof long_replacement);
    refuse(LLM_BAD_MODEL, "a replacement of 256 bytes");

    struct opened o;
    put_bytes(GGUF_U8, "", 0);
    open_file(&o);
    check(o.t, "a", 0, "4");
    close_opened(&o);
    put_bytes(GGUF_U8, "\4\0\0\0\xff\xff\xff\xff", 8); /* a trie of one unit that leads outside */
    open_file(&o);
    check(o.t, "ab", 0, "4 5");
    close_opened(&o);
}

static void memory(void **state)
{
    (void)state;
    put_ugm();
    put_charsmap(0, "a\0ab ", 6);
    check_memory("aab AB  z<x></s>");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_sum_wins),
        cmocka_unit_test(spaces),
        cmocka_unit_test(texts_are_normalised),
        cmocka_unit_test(damaged_maps),
        cmocka_unit_test(memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

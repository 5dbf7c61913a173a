#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "pretokenize.h"
#include "rule_vocabulary.h"

static void rules_cut_words(void **state)
{
    (void)state;
#define SAMPLE "I'm  12345\tIT'S \n\n x!?\n~a"
    static const struct {
        const char *rule, *text, *want;
    } cases[] = {
        {"gpt-2", SAMPLE, "I|'m| | 12345|\t|IT|'|S| \n\n| x|!?|\n|~|a"},
        {"phi-2", "a1 b2", "a|1| b|2"},
        {"smollm", SAMPLE, "I|'m|  |1|2|3|4|5|\t|IT|'|S| \n\n| x|!?|\n|~|a"},
        {"starcoder", "a 1", "a| |1"},
        {"llama-bpe", SAMPLE, "I|'m| | |123|45|\tIT|'S| \n\n| x|!?\n|~a"},
        {"qwen2", SAMPLE, "I|'m| | |1|2|3|4|5|\tIT|'S| \n\n| x|!?\n|~a"},
        {"qwen2", "e\xcc\x81 x", "e|\xcc\x81| x"},
        {"qwen35", "e\xcc\x81 x", "e\xcc\x81| x"},
        {"minicpm5", SAMPLE, "I|'m|  |123|45|\tIT|'S| \n\n| x|!?\n|~a"},
        {"ufakzeka", "I'm", "I|'m"},
        {"ufakzeka", "Ali'nin 's", "Ali|'nin| '|s"},
        {"seed-coder", "!?\n", "!?|\n"},
        {"bailingmoe", "a\n\n b", "a|\n\n| b"},
        {"tekken", "camelCase HTTPServer ABC 12", "camel|Case| HTTPServer| ABC| |1|2"},
        {"gpt-4o", "camelCase DON'T 1234/\n", "camel|Case| DON'T| |123|4|/\n"},
        {"falcon", "a=b+c 12345!", "a|=|b|+|c| |123|45|!"},
        {"default", "a=b `c` 12345!", "a|=|b| `|c|`| |123|45|!"},
        {"", "1234", "123|4"},
        {"deepseek-llm", "Hi, w\xc3\xb6rld\xe4\xb8\xad\xe6\x96\x87 12  ",
         "Hi|,| w|\xc3\xb6|rld|\xe4\xb8\xad\xe6\x96\x87| |12|  "},
        {"deepseek-llm", "a\n\nb", "a|\n|\n|b"},
        {"deepseek-coder", "ab, 12\n", "ab|,| |1|2|\n"},
        {"deepseek-v3", "a.b_c ~ 1234\xe4\xb8\xad x", "a|.b|_c| ~| |123|4|\xe4\xb8\xad| x"},
        {"bloom", "Hi there, you!", "Hi| there|,| you|!"},
        {"viking", "a12", "a|1|2"},
        {"laguna", "a \n\n b", "a| |\n\n| b"},
        {"jais-2", "a       b\n   c", "a|    |  | b|\n|  | c"},
        {"jais-2", "  \n  x", "  \n| | x"},
        {"exaone-moe", "to be  or 'not' it's 12", "to be| | or| '|not|'| it|'s| |1|2"},
        {"exaone-moe", "e\xcc\x81 e\xcc\x81\n\n/x", "e\xcc\x81 e\xcc\x81|\n\n|/x"},
        {"kimi-k2",
         "\xe4\xb8\xad\xe6\x96\x87"
         "abc'S DEF's 1234 \xe4\xb8\xad",
         "\xe4\xb8\xad\xe6\x96\x87|abc'S| DEF's| |123|4| |\xe4\xb8\xad"},
        {"granite-embed-multi-97m", "camelCase e\xcc\x81t\xc3\xa9 1234",
         "camel|Case| e\xcc\x81t\xc3\xa9| |123|4"},
        {"tiny_aya", "a1234 camelCase'S", "a|1|234| camelCase'S"},
        {"tiny_aya", "  1", " | |1"}, /* no cut before the number */
        {"youtu", "\xed\x95\x9c\xe4\xb8\xad\xe3\x80\x82\xe3\x84\x85 12",
         "\xed\x95\x9c|\xe4\xb8\xad|\xe3\x80\x82|\xe3\x84\x85| |1|2"},
        {"superbpe", "by the way 1234567, 123", "by the way |1|234|567|, |123"},
        {"superbpe",
         "12\xc2\xb2"
         "4567",
         "12\xc2\xb2"
         "4|567"},
        {"chameleon", "<sentinel:12>IMGIMGABCZ    x  .a1",
         "<|sentinel|:|1|2|>|IMGIMGABCZ|    |x|  |.|a|1"},
        {"chameleon", "IMGIMGABCDEZ", "IMGIMGABCDEZ"},
        {"spark2_5", "a!\n\n1234", "a|!|\n|\n|1|2|3|4"},
        {"afmoe", "a1234 \xe0\xb9\x80!\nb", "a|1|234| |\xe0\xb9\x80|!\n|b"},
        {"gemma4", "a b\n\nc", "a b|\n\n|c"},
        {"sarvam-moe", "\r\n", "\r|\n"},
        {"whitespace", "ab, c  d", "ab,| |c|  |d"},
        {"gpt-2", "\xff\xfe x", "\xff\xfe| x"},
        {"gpt-2", "   ", "   "},
        {"gpt-2", "'", "'"},
        {"gpt-2", "'l", "'|l"},
        {"llama-bpe", "'Ll'r", "'Ll|'r"},
    };
    struct words words = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct pretokenizer *rule = pretokenize_find(cases[i].rule, strlen(cases[i].rule));
        assert_int_equal(
            pretokenize(rule, cases[i].text, strlen(cases[i].text), &words, &alloc_libc, NULL),
            LLM_OK);
        char got[256];
        size_t n = 0, at = 0;
        for (size_t w = 0; w < words.n; w++) {
            if (w) got[n++] = '|';
            assert_true(words.ends[w] > at);
            for (; at < words.ends[w]; at++) got[n++] = cases[i].text[at];
        }
        got[n] = 0;
        if (strcmp(got, cases[i].want) != 0)
            fail_msg("%s: '%s', not '%s'", cases[i].rule, got, cases[i].want);
    }
    pretokenize_free(&words, &alloc_libc);
}

static void rules_say_more(void **state)
{
    (void)state;
    assert_int_equal(pretokenize_flags(pretokenize_find("llama3", 6)),
                     PRETOKENIZE_IGNORES_MERGES | PRETOKENIZE_ADDS_BOS);
    assert_int_equal(pretokenize_flags(pretokenize_find("dbrx", 4)), 0);
    assert_null(pretokenize_find("no-such-rule", 12));
    assert_null(pretokenize_find("llama", 5)); /* no part of a name is a name */
    assert_ptr_equal(pretokenize_find("command-r", 9), pretokenize_find("smollm", 6));
}

/* Every rule takes a long run of anything in its stride: what is not linear takes minutes. */
static void long_texts_are_quick(void **state)
{
    (void)state;
    static const char *const units[] = {
        " ",        "a",
        "A",        "1",
        "'",        "\n",
        " \n",      "  a",
        "a ",       "<",
        "!",        "\xe4\xb8\xad",
        "\xc3\xa9", "\xc3\xa9\x41",
        "\xff",     "\xcc\x81",
    };
    enum { SIZE = 1 << 18 };
    char *text = malloc(SIZE);
    struct words words = {0};
    assert_non_null(text);
    for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
        size_t length = strlen(units[u]);
        for (size_t i = 0; i < SIZE; i++) text[i] = units[u][i % length];
        text[SIZE - 1] = 'x';
        for (size_t r = 0; rule_vocabularies[r]; r++) {
            const char *name = rule_vocabularies[r];
            const struct pretokenizer *rule = pretokenize_find(name, strlen(name));
            if (!rule) continue; /* a kind of tokenizer without one */
            assert_int_equal(pretokenize(rule, text, SIZE, &words, &alloc_libc, NULL), LLM_OK);
            assert_true(words.n > 0);
            assert_int_equal(words.ends[words.n - 1], SIZE);
        }
    }
    pretokenize_free(&words, &alloc_libc);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_cut_words),
        cmocka_unit_test(rules_say_more),
        cmocka_unit_test(long_texts_are_quick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

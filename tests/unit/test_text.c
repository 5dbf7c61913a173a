#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "failing.h"
#include "text.h"

#define STOP(s)                                                                                    \
    {                                                                                              \
        s, sizeof(s) - 1                                                                           \
    }

static uint32_t next(uint32_t *state, uint32_t n)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 8) % n;
}

static void stops_end_it(void **state)
{
    (void)state;
    const struct {
        struct llm_text stops[3];
        size_t n_stops;
        const char *in, *out;
        int matched;
    } rows[] = {
        {{{0}}, 0, "abc", "abc", -1},
        {{STOP("b")}, 1, "abc", "a", 0},
        {{STOP("aab")}, 1, "aaaabx", "aa", 0}, /* falls back within itself */
        {{STOP("abcd"), STOP("bc")}, 2, "xabcd", "xa", 1},
        {{STOP("bc"), STOP("abc"), STOP("c")}, 3, "xabc", "x", 1}, /* together: the longest */
        {{STOP("User:"), STOP("\n\n")}, 2, "Hi\nUse", "Hi\nUse", -1},
        {{STOP("\xC3\xA9")}, 1, "caf\xC3\xA8 \xC3\xA9t", "caf\xC3\xA8 ", 0},
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        const size_t size = strlen(rows[r].in);
        for (size_t cut = 1; cut <= size; cut++) { /* tokens of so many bytes */
            struct text t;
            assert_int_equal(text_open(&t, rows[r].stops, rows[r].n_stops, &alloc_libc, NULL),
                             LLM_OK);
            for (size_t at = 0; at < size; at += cut)
                assert_int_equal(
                    text_add(&t, rows[r].in + at, size - at < cut ? size - at : cut, NULL), LLM_OK);
            text_finish(&t);
            assert_int_equal(t.ready, strlen(rows[r].out));
            assert_memory_equal(t.bytes, rows[r].out, t.ready);
            assert_int_equal(t.matched ? t.matched - t.stops : -1, rows[r].matched);
            text_free(&t);
        }
    }
}

/* The plain definition: the smallest end at which a stop string ends, the longest of them there. */
static const struct llm_text *plain_match(const char *s, size_t n, const struct llm_text *stops,
                                          size_t n_stops, size_t *start)
{
    for (size_t end = 1; end <= n; end++) {
        const struct llm_text *found = NULL;
        for (size_t i = 0; i < n_stops; i++) {
            if (stops[i].size > end ||
                memcmp(s + end - stops[i].size, stops[i].text, stops[i].size) != 0)
                continue;
            if (!found || stops[i].size > found->size) found = &stops[i];
        }
        if (!found) continue;
        *start = end - found->size;
        return found;
    }
    *start = n;
    return NULL;
}

/* Random text over few letters, so that partial matches abound. After every byte: what is ready
 * never shrinks, is never taken back, and holds back no more than the longest proper prefix of a
 * stop string at the end. */
static void random_stops(void **state)
{
    (void)state;
    uint32_t random = 3, matches = 0;
    for (int round = 0; round < 20000; round++) {
        char words[3][6], text[40];
        struct llm_text stops[3];
        const size_t n_stops = 1 + next(&random, 3), size = 1 + next(&random, 40);
        for (size_t i = 0; i < n_stops; i++) {
            stops[i] = (struct llm_text){words[i], 1 + next(&random, 6)};
            for (size_t j = 0; j < stops[i].size; j++) words[i][j] = (char)('a' + next(&random, 2));
        }
        for (size_t i = 0; i < size; i++) text[i] = (char)('a' + next(&random, 2));
        size_t start, fed = 0;
        const struct llm_text *wanted = plain_match(text, size, stops, n_stops, &start);
        struct text t;
        assert_int_equal(text_open(&t, stops, n_stops, &alloc_libc, NULL), LLM_OK);
        while (fed < size && !t.matched) {
            const size_t most = size - fed < 4 ? size - fed : 4,
                         n = 1 + next(&random, (uint32_t)most), before = t.ready;
            assert_int_equal(text_add(&t, text + fed, n, NULL), LLM_OK);
            fed += n;
            assert_true(t.ready >= before && t.ready <= start);
            if (t.matched) break;
            size_t held = 0;
            for (size_t i = 0; i < n_stops; i++) {
                for (size_t k = 1; k < stops[i].size && k <= fed; k++)
                    if (memcmp(text + fed - k, stops[i].text, k) == 0 && k > held) held = k;
            }
            assert_int_equal(t.ready, fed - held);
        }
        text_finish(&t);
        assert_int_equal(t.matched != NULL, wanted != NULL);
        if (wanted) assert_int_equal(t.matched->size, wanted->size);
        assert_int_equal(t.ready, start);
        assert_memory_equal(t.bytes, text, t.ready);
        matches += wanted != NULL;
        text_free(&t);
    }
    assert_true(matches > 1000 && matches < 20000);
}

static void utf8_is_whole(void **state)
{
    (void)state;
    const struct {
        const char *in;
        size_t unfinished;
    } rows[] = {
        {"", 0},
        {"a", 0},
        {"\xC3", 1},
        {"\xC3\xA9", 0},
        {"a\xE2\x82", 2},
        {"\xE2\x82\xAC", 0},
        {"\xF0\x9F\x98", 3},
        {"\xF0\x9F", 2},
        {"\xF0", 1},
        {"\xF0\x9F\x98\x80", 0},
        {"\x82", 0},
        {"\x82\x82\x82", 0},
        {"\xC0", 0},
        {"\xC1", 0},
        {"\xF5", 0},
        {"\xFF", 0},
        {"\xE0\x9F", 0},
        {"\xE0\xA0", 2},
        {"\xED\xA0", 0},
        {"\xED\x9F", 2},
        {"\xF4\x90", 0},
        {"\xF4\x8F\xBF", 3},
        {"\xF0\x8F", 0},
        {"\xC3\xA9\xA9", 0},
        {"\xE2"
         "a",
         0},
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        if (text_unfinished(rows[r].in, strlen(rows[r].in)) != rows[r].unfinished)
            fail_msg("row %zu", r);
    }
    struct text t;
    assert_int_equal(text_open(&t, NULL, 0, &alloc_libc, NULL), LLM_OK);
    assert_int_equal(text_add(&t, "x\xF0\x9F", 3, NULL), LLM_OK);
    assert_int_equal(t.ready, 1);
    assert_int_equal(text_add(&t, "\x98\x80\xE2", 3, NULL), LLM_OK);
    assert_int_equal(t.ready, 5);
    assert_int_equal(text_add(&t, "!\0z", 3, NULL),
                     LLM_OK); /* E2 was no character: it comes out as it is */
    assert_int_equal(t.ready, 9);
    assert_int_equal(text_add(&t, "\xE2\x82", 2, NULL), LLM_OK);
    assert_int_equal(t.ready, 9);
    text_finish(&t);
    assert_int_equal(t.ready, 11);
    assert_memory_equal(t.bytes, "x\xF0\x9F\x98\x80\xE2!\0z\xE2\x82", 11);
    text_free(&t);
}

static void arguments_and_memory(void **state)
{
    (void)state;
    const struct llm_text stops[] = {STOP("abc"), STOP("")}, good[] = {STOP("abc"), STOP("zzzz")};
    struct text t;
    struct llm_error e;
    assert_int_equal(text_open(&t, stops, 2, &alloc_libc, &e), LLM_BAD_ARGUMENT);
    assert_non_null(strstr(e.message, "stop string 2"));
    text_free(&t);
    for (size_t n = 1;; n++) {
        struct failing f = {.fail_at = n};
        const struct alloc a = FAILING(f);
        llm_status status = text_open(&t, good, 2, &a, NULL);
        for (int i = 0; i < 100 && status == LLM_OK; i++) {
            const size_t before = t.n;
            status = text_add(&t, "hello ", 6, NULL);
            assert_int_equal(t.n, before + (status == LLM_OK ? 6 : 0));
        }
        text_free(&t);
        assert_int_equal(f.bytes, 0);
        if (status == LLM_OK) break;
        assert_int_equal(status, LLM_OUT_OF_MEMORY);
        assert_true(n < 40);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stops_end_it),
        cmocka_unit_test(random_stops),
        cmocka_unit_test(utf8_is_whole),
        cmocka_unit_test(arguments_and_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

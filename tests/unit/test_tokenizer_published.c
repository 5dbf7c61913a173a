#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hashed_ids.h"
#include "random_text.h"
#include "rule_vocabulary.h"
#include "tokenizer_checks.h"

/* A vocabulary of tests/data/vocab or, where the name begins with "rule-", one that is made up. */
static char *open_named(struct opened *o, const char *name)
{
    struct llm_error error = {.size = sizeof error};
    char path[64], *bytes;
    size_t size;
    snprintf(path, sizeof path, "%s.gguf", name);
    if (strncmp(name, "rule-", 5) == 0) bytes = (char *)rule_vocabulary(name + 5, &size);
    else bytes = read_file(path, &size);
    if (open_bytes(o, bytes, size, &error) != LLM_OK) fail_msg("%s: %s", name, error.message);
    return bytes;
}

static void close_named(struct opened *o, char *bytes)
{
    close_opened(o);
    free(bytes);
}

/* The texts and ids that are published with a vocabulary, and what is known of it. */
static void check_published(const char *name, const char *ends, bool add_bos, int32_t bos)
{
    char path[64];
    size_t size, n_texts = 0;
    struct opened o;
    char *bytes = open_named(&o, name);
    snprintf(path, sizeof path, "%s.gguf.inp", name);
    char *texts = read_file(path, &size);
    snprintf(path, sizeof path, "%s.gguf.out", name);
    char *ids = read_file(path, &size), *line = ids;
    static const char separator[] = "\n__ggml_vocab_test__\n";
    for (char *text = texts, *end; (end = strstr(text, separator));
         text = end + sizeof separator - 1) {
        char *next = strchr(line, '\n'), *last = next;
        assert_non_null(next);
        while (last > line && last[-1] == ' ') last--;
        *last = 0;
        check_ids(o.t, text, (size_t)(end - text), 0, line + strspn(line, " "));
        line = next + 1;
        n_texts++;
    }
    assert_int_equal(n_texts, 46);
    assert_int_equal(*line, 0);

    const struct tokenizer_info *info = tokenizer_info(o.t);
    char got[128] = "";
    for (uint32_t i = 0; i < info->n_ends; i++) {
        snprintf(got + strlen(got), sizeof got - strlen(got), i ? " %d" : "%d", (int)info->ends[i]);
        assert_true(tokenizer_is_end(o.t, info->ends[i]));
    }
    assert_string_equal(got, ends);
    assert_int_equal(info->add_bos, add_bos);
    assert_int_equal(info->bos, bos);
    assert_false(info->add_eos);
    assert_false(tokenizer_is_end(o.t, 100));
    close_named(&o, bytes);
    free(texts);
    free(ids);
}

static void published(void **state)
{
    (void)state;
    check_published("deepseek-llm", "100001", true, 100000);
    check_published("gpt-2", "50256", false, 50256);
    check_published("starcoder", "0 4", false, 0);
    check_published("llama-spm", "2", true, 1);
    check_published("bert-bge", "0", true, 101);
}

/* ---- llama.cpp's ids of random texts: see tests/peer/vocabulary.sh ---- */

static uint64_t hash_texts(const struct tokenizer *t, uint64_t first)
{
    uint64_t hash = HASHED_IDS_BEGIN;
    struct ids ids = {0};
    for (uint64_t i = first; i < first + HASHED_TEXTS; i++) {
        char text[RANDOM_TEXT_SIZE];
        size_t size = random_text(i, text);
        uint32_t flags = RANDOM_TEXT_IS_SPECIAL(i) ? TOKENIZER_SPECIAL : 0;
        ids.n = 0;
        assert_int_equal(tokenizer_encode(t, text, size, flags, &ids, &alloc_libc, NULL), LLM_OK);
        for (size_t k = 0; k < ids.n; k++) hash = hashed_ids_add(hash, ids.items[k]);
        hash = hashed_ids_add(hash, HASHED_IDS_END);
    }
    free(ids.items);
    return hash;
}

static void random_texts_as_in_llama_cpp(void **state)
{
    (void)state;
    size_t size, n_vocabularies = 0;
    char *lines = read_file("peer.txt", &size);
    for (char *line = lines, *end; (end = strchr(line, '\n')); line = end + 1) {
        struct opened o;
        *end = 0;
        char *hashes = strchr(line, ' ');
        assert_non_null(hashes);
        *hashes++ = 0;
        char *bytes = open_named(&o, line);
        for (uint64_t first = 0; *hashes; first += HASHED_TEXTS) {
            uint64_t want = strtoull(hashes, &hashes, 16);
            if (hash_texts(o.t, first) != want)
                fail_msg("%s: texts %u to %u", line, (unsigned)first,
                         (unsigned)first + HASHED_TEXTS - 1);
        }
        close_named(&o, bytes);
        n_vocabularies++;
    }
    size_t n_rules = 0;
    while (rule_vocabularies[n_rules]) n_rules++;
    assert_int_equal(n_vocabularies, n_rules + 6);
    free(lines);
}

/* ---- there and back ---- */

/* Any bytes come back from byte pairs of bytes, and from SentencePiece, which has all bytes, too.
 */
static void random_bytes_come_back(void **state)
{
    (void)state;
    static const char *const names[] = {"gpt-2",       "llama-spm",     "rule-llama-bpe",
                                        "rule-tekken", "rule-superbpe", "rule-rwkv"};
    uint64_t seed = 7;
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        struct opened o;
        char *bytes = open_named(&o, names[k]);
        for (uint64_t i = 0; i < 1000; i++) {
            char text[RANDOM_TEXT_SIZE];
            size_t n = random_text(i, text);
            for (uint64_t changes = random_next(&seed) % 8; n && changes; changes--)
                text[random_next(&seed) % n] = (char)random_next(&seed);
            if (strstr(names[k], "spm")) /* where this reads as a space */
                for (size_t c = 0; c + 2 < n; c++)
                    if (memcmp(text + c, "\xe2\x96\x81", 3) == 0) text[c] = 'x';
            if (!comes_back(o.t, text, n)) fail_msg("%s: text %u", names[k], (unsigned)i);
        }
        close_named(&o, bytes);
    }
}

/* ---- speed ---- */

#ifdef __SANITIZE_ADDRESS__
enum { MEGABYTE = 1 << 17 }; /* of such slow programs this is enough */
#else
enum { MEGABYTE = 1 << 20 };
#endif
enum { LIMIT = 20 }; /* seconds of a processor; a tenth of one is usual */

static double seconds(const struct tokenizer *t, const char *text)
{
    struct ids ids = {0};
    clock_t begin = clock();
    assert_int_equal(tokenizer_encode(t, text, MEGABYTE, 0, &ids, &alloc_libc, NULL), LLM_OK);
    free(ids.items);
    return (double)(clock() - begin) / CLOCKS_PER_SEC;
}

/* What is not linear in a megabyte takes hours. */
static void a_megabyte_is_quick(void **state)
{
    (void)state;
    static const char *const names[] = {
        "gpt-2",       "starcoder",     "llama-spm",       "bert-bge",  "unigram",    "rule-jais-2",
        "rule-gemma4", "rule-superbpe", "rule-exaone-moe", "rule-rwkv", "rule-plamo2"};
    static const char *const units[] = {"The quick brown fox, 12 lazy dogs. ",
                                        "a",
                                        " ",
                                        "\n",
                                        "\xf0\x9f\x98\x80",
                                        "\xe6\xbc\xa2",
                                        "\xff",
                                        "a\n  ",
                                        "'",
                                        "1",
                                        "\xcc\x81"};
    char *text = malloc(MEGABYTE);
    assert_non_null(text);
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        struct opened o;
        char *bytes = open_named(&o, names[k]);
        for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
            size_t length = strlen(units[u]);
            for (size_t i = 0; i < MEGABYTE; i++) text[i] = units[u][i % length];
            double taken = seconds(o.t, text);
            if (taken > LIMIT) fail_msg("%s: %g s for '%s'", names[k], taken, units[u]);
            if (getenv("LLM_TEST_TIMES"))
                print_message("%-16s %.3f s %s\n", names[k], taken, units[u]);
        }
        close_named(&o, bytes);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published),
        cmocka_unit_test(random_texts_as_in_llama_cpp),
        cmocka_unit_test(random_bytes_come_back),
        cmocka_unit_test(a_megabyte_is_quick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

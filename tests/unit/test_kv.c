#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "failing.h"
#include "kv.h"

enum { SEQUENCES = 6 };

static uint32_t next(uint32_t *state, uint32_t n)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 8) % n;
}

static void check_invariants(const struct kv_pool *pool, const struct kv_sequence *s)
{
    uint32_t seen[64] = {0}, used = 0;
    for (int i = 0; i < SEQUENCES; i++) {
        assert_true((uint64_t)s[i].length <= (uint64_t)s[i].n_pages * KV_PAGE);
        for (uint32_t j = 0; j < s[i].n_pages; j++) {
            assert_true(s[i].pages[j] < pool->n_pages);
            seen[s[i].pages[j]]++;
        }
    }
    for (uint32_t p = 0; p < pool->n_pages; p++) {
        assert_int_equal(pool->references[p], seen[p]);
        used += seen[p] > 0;
    }
    assert_int_equal(used + pool->n_free, pool->n_pages);
    for (uint32_t i = 0; i < pool->n_free; i++) {
        assert_int_equal(seen[pool->free[i]], 0);
        seen[pool->free[i]] = 1; /* none twice */
    }
}

/* Each position of a page belongs to who wrote it: a model of the contents finds every page that is
 * written while shared. */
static void random_operations(void **state)
{
    (void)state;
    struct failing f = {0};
    const struct alloc a = FAILING(f);
    struct kv_pool pool;
    struct kv_sequence s[SEQUENCES] = {0};
    static uint32_t cells[10][KV_PAGE], expected[SEQUENCES][12 * KV_PAGE];
    uint32_t random = 7, stamp = 0, full = 0, copies = 0;
    assert_int_equal(kv_pool_open(&pool, 10, &a, NULL), LLM_OK);
    for (int round = 0; round < 20000; round++) {
        const uint32_t i = next(&random, SEQUENCES), j = next(&random, SEQUENCES);
        switch (next(&random, 8)) {
        case 0:
            if (next(&random, 3) == 0) kv_sequence_free(&pool, &s[i]);
            break;
        case 1: kv_truncate(&pool, &s[i], next(&random, s[i].length + 2)); break;
        case 2:
            if (i == j) break;
            kv_sequence_free(&pool, &s[j]);
            assert_int_equal(kv_fork(&pool, &s[i], next(&random, s[i].length + 1), &s[j], NULL),
                             LLM_OK);
            memcpy(expected[j], expected[i], s[j].length * sizeof **expected);
            break;
        default: {
            struct kv_copy copy;
            const uint32_t n = next(&random, 100), before = s[i].n_pages, free_before = pool.n_free;
            const llm_status status = kv_prepare(&pool, &s[i], n, &copy, NULL);
            if (status != LLM_OK) {
                assert_int_equal(status, LLM_OUT_OF_MEMORY);
                assert_int_equal(before, s[i].n_pages);
                assert_int_equal(free_before, pool.n_free);
                full++;
                break;
            }
            if (copy.from != copy.to) {
                memcpy(cells[copy.to], cells[copy.from], sizeof cells[0]);
                copies++;
            }
            const uint32_t commit = next(&random, 4) ? n : n / 2;
            for (uint32_t p = s[i].length; p < s[i].length + n; p++) {
                const uint32_t page = s[i].pages[p / KV_PAGE];
                assert_int_equal(pool.references[page], 1);
                cells[page][p % KV_PAGE] = expected[i][p] = ++stamp;
            }
            kv_commit(&s[i], commit);
        }
        }
        check_invariants(&pool, s);
        for (int k = 0; k < SEQUENCES; k++) {
            for (uint32_t p = 0; p < s[k].length; p++)
                if (cells[s[k].pages[p / KV_PAGE]][p % KV_PAGE] != expected[k][p])
                    fail_msg("round %d: sequence %d, position %u", round, k, p);
        }
    }
    assert_true(full > 100 && copies > 100);
    for (int k = 0; k < SEQUENCES; k++) kv_sequence_free(&pool, &s[k]);
    assert_int_equal(pool.n_free, 10);
    kv_pool_free(&pool);
    kv_pool_free(&pool);
    assert_int_equal(f.bytes, 0);
}

static void full_says_numbers(void **state)
{
    (void)state;
    struct kv_pool pool;
    struct kv_sequence s = {0};
    struct kv_copy copy;
    struct llm_error e;
    assert_int_equal(kv_pool_open(&pool, 2, &alloc_libc, NULL), LLM_OK);
    assert_int_equal(kv_prepare(&pool, &s, 129, &copy, &e), LLM_OUT_OF_MEMORY);
    assert_non_null(strstr(e.message, "3 pages"));
    assert_non_null(strstr(e.message, "2 of 2"));
    assert_int_equal(kv_prepare(&pool, &s, UINT32_MAX, &copy, &e), LLM_OUT_OF_MEMORY);
    assert_int_equal(kv_prepare(&pool, &s, 128, &copy, &e), LLM_OK);
    assert_int_equal(copy.from, copy.to);
    kv_commit(&s, 10);
    kv_truncate(&pool, &s, 10); /* gives back what was prepared and not committed */
    assert_int_equal(pool.n_free, 1);
    kv_sequence_free(&pool, &s);
    kv_pool_free(&pool);
}

static void every_allocation_fails(void **state)
{
    (void)state;
    for (size_t n = 1;; n++) {
        struct failing f = {.fail_at = n};
        const struct alloc a = FAILING(f);
        struct kv_pool pool = {0};
        struct kv_sequence s = {0}, t = {0};
        struct kv_copy copy;
        llm_status status = kv_pool_open(&pool, 40, &a, NULL);
        if (status == LLM_OK) status = kv_prepare(&pool, &s, 100, &copy, NULL);
        if (status == LLM_OK) kv_commit(&s, 100);
        if (status == LLM_OK) status = kv_prepare(&pool, &s, 30 * KV_PAGE, &copy, NULL);
        if (status == LLM_OK) status = kv_fork(&pool, &s, 100, &t, NULL);
        kv_sequence_free(&pool, &s);
        kv_sequence_free(&pool, &t);
        assert_int_equal(pool.n_free, pool.n_pages);
        kv_pool_free(&pool);
        assert_int_equal(f.bytes, 0);
        if (status == LLM_OK) break;
        assert_int_equal(status, LLM_OUT_OF_MEMORY);
        assert_true(n < 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations),
        cmocka_unit_test(full_says_numbers),
        cmocka_unit_test(every_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

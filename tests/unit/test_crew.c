/* Threads that share work: each piece is done once, whoever does it, again and again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "crew.h"
#include "failing_alloc.h"

enum { MOST = 1000 };

struct work {
    atomic_int times[MOST];
};

static void do_piece(void *user, uint32_t piece)
{
    struct work *w = user;
    atomic_fetch_add(&w->times[piece], 1);
}

static void run_all(struct crew *c)
{
    static const uint32_t counts[] = {0, 1, 2, 3, 7, MOST, 5, 0, 64};
    for (size_t i = 0; i < 50 * (sizeof counts / sizeof *counts); i++) {
        const uint32_t n = counts[i % (sizeof counts / sizeof *counts)];
        static struct work w;
        memset(&w, 0, sizeof w);
        crew_run(c, do_piece, &w, n);
        for (uint32_t k = 0; k < MOST; k++) assert_int_equal(atomic_load(&w.times[k]), k < n);
    }
}

static void each_piece_once(void **state)
{
    (void)state;
    for (uint32_t most = 0; most < 5; most++) {
        struct crew *c = crew_open(&alloc_libc, most);
        if (most == 0) assert_null(c);
        run_all(c);
        crew_free(c);
    }
}

static void idle(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) crew_free(crew_open(&alloc_libc, UINT32_MAX));
    crew_free(NULL);
}

static void no_memory(void **state)
{
    (void)state;
    struct failing_alloc f;
    failing_alloc_init(&f, 1);
    assert_null(crew_open(&f.alloc, UINT32_MAX));
    failing_alloc_init(&f, 0);
    crew_free(crew_open(&f.alloc, UINT32_MAX));
    assert_int_equal(f.n_live, 0);
    assert_int_equal(f.n_wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_piece_once),
        cmocka_unit_test(idle),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

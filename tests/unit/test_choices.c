/* What is kept of kernels: the choice among them, and the file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "choices.h"

static struct verdict of(const char *name, enum choice_state state, float at_8)
{
    struct verdict v = {.state = (uint32_t)state, .bound = 1e-10f};
    snprintf(v.name, sizeof v.name, "%s", name);
    v.seconds[3] = at_8;
    return v;
}

static void put(struct choices *c, const char *name, enum choice_state state, float at_8)
{
    const struct verdict v = of(name, state, at_8);
    assert_int_equal(choices_set(c, &v, NULL), LLM_OK);
}

static void picks(void **state)
{
    (void)state;
    static const char names[3][CHOICE_NAME] = {"first", "second", "third"};
    struct choices c = {.alloc = &alloc_libc};
    assert_int_equal(choices_pick(&c, names, 3, 8), 0); /* nothing is known: the default */
    put(&c, "second", CHOICE_RIGHT, 1);
    assert_int_equal(choices_pick(&c, names, 3, 8), 0); /* the default was not timed */
    put(&c, "first", CHOICE_RIGHT, 2);
    assert_int_equal(choices_pick(&c, names, 3, 8), 1);
    assert_int_equal(choices_pick(&c, names, 3, 5), 1);  /* as for 8 */
    assert_int_equal(choices_pick(&c, names, 3, 16), 0); /* not timed there */
    put(&c, "third", CHOICE_RIGHT, 0.98f);
    assert_int_equal(choices_pick(&c, names, 3, 8), 1); /* by chance */
    put(&c, "third", CHOICE_WRONG, 0.1f);
    assert_int_equal(choices_pick(&c, names, 3, 8), 1); /* however fast */
    put(&c, "first", CHOICE_WRONG, 0.1f);
    assert_int_equal(choices_pick(&c, names, 3, 16), 1);
    put(&c, "second", CHOICE_WRONG, 0.1f);
    assert_int_equal(choices_pick(&c, names, 3, 8), 3);
    assert_int_equal(c.n, 3);
    choices_free(&c);
}

static void kept(void **state)
{
    (void)state;
    struct choices c = {.alloc = &alloc_libc}, d = {.alloc = &alloc_libc};
    struct choice_owner owner = {.driver_uuid = {1}, .kernels = 7},
                        other = {.driver_uuid = {2}, .kernels = 7};
    uint8_t *bytes;
    void *data;
    size_t size;
    put(&c, "first", CHOICE_RIGHT, 2);
    put(&c, "second", CHOICE_WRONG, 0);
    assert_int_equal(choices_write(&c, &owner, &data, &size, NULL), LLM_OK);
    bytes = data;
    assert_int_equal(choices_read(&d, &owner, bytes, size, NULL), LLM_OK);
    assert_int_equal(d.n, 2);
    assert_false(d.changed);
    assert_memory_equal(c.items, d.items, 2 * sizeof *c.items);
    choices_free(&d);

    /* Of others, cut, or with any byte changed, it says nothing. */
    assert_int_equal(choices_read(&d, &other, bytes, size, NULL), LLM_OK);
    other = (struct choice_owner){.driver_uuid = {1}, .kernels = 8};
    assert_int_equal(choices_read(&d, &other, bytes, size, NULL), LLM_OK);
    for (size_t n = 0; n < size; n++)
        assert_int_equal(choices_read(&d, &owner, bytes, n, NULL), LLM_OK);
    for (size_t i = 0; i < size; i++) {
        bytes[i] ^= 0x20;
        assert_int_equal(choices_read(&d, &owner, bytes, size, NULL), LLM_OK);
        bytes[i] ^= 0x20;
    }
    assert_int_equal(d.n, 0);
    alloc_free(&alloc_libc, data, size);
    choices_free(&c);
    choices_free(&d);
}

/* A file that is whole and nonsense. */
static void nonsense(void **state)
{
    (void)state;
    struct choices c = {.alloc = &alloc_libc}, d = {.alloc = &alloc_libc};
    const struct choice_owner owner = {.kernels = 7};
    struct verdict bad[4] = {of("", CHOICE_RIGHT, 1), of("state", CHOICE_RIGHT, 1),
                             of("time", CHOICE_RIGHT, -1), of("nan", CHOICE_RIGHT, NAN)};
    bad[1].state = 9;
    void *data;
    size_t size;
    for (int i = 0; i < 4; i++) assert_int_equal(choices_set(&c, &bad[i], NULL), LLM_OK);
    memset(c.items[0].name, 'x', sizeof c.items[0].name); /* no end */
    assert_int_equal(choices_write(&c, &owner, &data, &size, NULL), LLM_OK);
    assert_int_equal(choices_read(&d, &owner, data, size, NULL), LLM_OK);
    assert_int_equal(d.n, 0);
    alloc_free(&alloc_libc, data, size);
    choices_free(&c);
    choices_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(picks), cmocka_unit_test(kept),
                                       cmocka_unit_test(nonsense)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

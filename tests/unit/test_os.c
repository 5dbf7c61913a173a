#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "failing.h"
#include "os.h"
#include "source.h"

static char folder[64], path[128], deep[160];

static int folder_make(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/test_os.XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path,
             "%s/m\xC3\xB6"
             "del.bin",
             folder);
    snprintf(deep, sizeof deep, "%s/a/b/c.bin", folder);
    return 0;
}

static int folder_remove(void **state)
{
    (void)state;
    char name[200];
    unlink(path);
    unlink(deep);
    snprintf(name, sizeof name, "%s/a/b", folder);
    rmdir(name);
    snprintf(name, sizeof name, "%s/a", folder);
    rmdir(name);
    return rmdir(folder); /* fails when a temporary file was left */
}

static void files(void **state)
{
    (void)state;
    void *data;
    size_t size;
    struct llm_error e;
    assert_int_equal(os_file_read(path, &alloc_libc, &data, &size, &e), LLM_NOT_FOUND);
    assert_non_null(strstr(e.message, path));
    assert_int_equal(os_file_read(folder, &alloc_libc, &data, &size, &e), LLM_IO);
    assert_non_null(strstr(e.message, "folder"));
    assert_int_equal(os_file_read("/dev/null", &alloc_libc, &data, &size, &e), LLM_IO);
    assert_int_equal(os_file_write(folder, "x", 1, &e), LLM_IO);
    assert_int_equal(os_file_write("/proc/none/x", "x", 1, &e), LLM_IO);
    assert_int_equal(e.status, LLM_IO);
    assert_int_equal(os_file_write(deep, "first", 5, &e), LLM_OK);
    assert_int_equal(os_file_write(deep, "sec\0nd!", 7, &e), LLM_OK);
    assert_int_equal(os_file_read(deep, &alloc_libc, &data, &size, &e), LLM_OK);
    assert_int_equal(size, 7);
    assert_memory_equal(data, "sec\0nd!", 7);
    alloc_free(&alloc_libc, data, size);
    assert_int_equal(os_file_write(deep, NULL, 0, &e), LLM_OK);
    assert_int_equal(os_file_read(deep, &alloc_libc, &data, &size, &e), LLM_OK);
    assert_null(data);
    assert_int_equal(os_file_write(deep, "x", 1, &e), LLM_OK);
    struct failing f = {.fail_at = 1};
    const struct alloc a = FAILING(f);
    assert_int_equal(os_file_read(deep, &a, &data, &size, &e), LLM_OUT_OF_MEMORY);
}

static void maps(void **state)
{
    (void)state;
    struct os_map m;
    struct llm_error e;
    assert_int_equal(os_map_open(&m, folder, &e), LLM_IO);
    assert_non_null(strstr(e.message, "folder"));
    assert_int_equal(os_map_open(&m, "/nowhere/at/all", &e), LLM_NOT_FOUND);
    os_map_close(&m);
    assert_int_equal(os_file_write(path, "", 0, &e), LLM_OK);
    assert_int_equal(os_map_open(&m, path, &e), LLM_OK);
    assert_int_equal(m.size, 0);
    assert_true(os_map_whole(&m));
    os_map_close(&m);
    assert_false(os_map_whole(&m));
    assert_int_equal(os_file_write(path, "abcdef", 6, &e), LLM_OK);
    assert_int_equal(os_map_open(&m, path, &e), LLM_OK);
    assert_int_equal(m.size, 6);
    assert_memory_equal(m.data, "abcdef", 6);
    assert_true(os_map_whole(&m));
    assert_int_equal(truncate(path, 3), 0);
    assert_false(os_map_whole(&m));
    os_map_close(&m);
    os_map_close(&m);
    char pipe_path[100];
    snprintf(pipe_path, sizeof pipe_path, "%s/pipe", folder);
    assert_int_equal(mkfifo(pipe_path, 0600), 0);
    assert_int_equal(os_map_open(&m, pipe_path, &e), LLM_IO); /* and does not wait */
    unlink(pipe_path);
}

static int released;

static void release(void *user)
{
    (void)user;
    released++;
}

static int64_t read_some(void *user, uint64_t offset, void *out, size_t n)
{
    const int64_t *left = user;
    memset(out, (int)offset, n);
    return *left < (int64_t)n ? *left : (int64_t)n;
}

static void sources(void **state)
{
    (void)state;
    struct llm_error e;
    struct source s = {0};
    int64_t left = 100;
    uint8_t scratch[16];
    source_close(&s);
    s = (struct source){.size = 100, .read = read_some, .user = &left, .release = release};
    assert_ptr_equal(source_bytes(&s, 84, 16, scratch, &e), scratch);
    assert_int_equal(scratch[15], 84);
    assert_null(source_bytes(&s, 85, 16, scratch, &e));
    assert_null(source_bytes(&s, UINT64_MAX, 2, scratch, &e));
    assert_int_equal(e.status, LLM_IO);
    left = 3;
    assert_null(source_bytes(&s, 0, 16, scratch, &e));
    assert_non_null(strstr(e.message, "3 of 16"));
    left = -1;
    assert_null(source_bytes(&s, 0, 16, scratch, &e));
    source_close(&s);
    source_close(&s);
    assert_int_equal(released, 1);
    assert_int_equal(os_file_write(path, "abcdef", 6, &e), LLM_OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(source_add_file(&s, path, &alloc_libc, &e), LLM_OK);
    assert_int_equal(source_add_file(&s, "/no/such/file", &alloc_libc, &e), LLM_NOT_FOUND);
    assert_int_equal(s.size, 12);
    assert_memory_equal(source_bytes(&s, 2, 4, NULL, &e), "cdef", 4);
    assert_memory_equal(source_bytes(&s, 6, 6, NULL, &e), "abcdef", 6);
    assert_non_null(source_bytes(&s, 12, 0, NULL, &e));
    assert_null(source_bytes(&s, 2, 5, NULL, &e)); /* no view goes over from file to file */
    assert_null(source_bytes(&s, 8, 5, NULL, &e));
    assert_int_equal(truncate(path, 3), 0);
    assert_null(source_bytes(&s, 2, 4, NULL, &e)); /* instead of a bus error */
    source_close(&s);
}

static void cache_folder(void **state)
{
    (void)state;
    char out[64];
    setenv("XDG_CACHE_HOME", "/x", 1);
    assert_true(os_cache_folder(out, sizeof out));
    assert_string_equal(out, "/x/llm");
    assert_false(os_cache_folder(out, 6));
    setenv("XDG_CACHE_HOME", "relative", 1);
    setenv("HOME", "/home/me", 1);
    assert_true(os_cache_folder(out, sizeof out));
    assert_string_equal(out, "/home/me/.cache/llm");
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    assert_false(os_cache_folder(out, sizeof out));
}

static void clocks(void **state)
{
    (void)state;
    const double start = llm_clock();
    llm_sleep(0.02);
    const double slept = llm_clock() - start;
    assert_true(slept >= 0.0199 && slept < 5);
    llm_sleep(-1);
    llm_sleep(0);
    assert_true(os_random() != os_random());
}

struct shared {
    struct os_lock *lock;
    int n;
    bool ready;
};

static void count(void *user)
{
    struct shared *s = user;
    for (int i = 0; i < 1000; i++) {
        os_lock(s->lock);
        os_lock(s->lock);
        s->n++;
        os_unlock(s->lock);
        os_unlock(s->lock);
    }
    os_lock(s->lock);
    while (!s->ready) os_lock_wait(s->lock, -1);
    s->n++;
    os_unlock(s->lock);
}

static void threads(void **state)
{
    (void)state;
    struct shared s = {.lock = os_lock_create()};
    struct os_thread *t[4];
    assert_non_null(s.lock);
    for (int i = 0; i < 4; i++) assert_non_null(t[i] = os_thread_start(count, &s));
    os_sleep(0.01);
    os_lock(s.lock);
    const double start = os_clock();
    os_lock_wait(s.lock, 0.02); /* nobody wakes */
    assert_true(os_clock() - start >= 0.0199);
    os_lock_wait(s.lock, 0);
    s.ready = true;
    os_lock_wake(s.lock);
    os_unlock(s.lock);
    for (int i = 0; i < 4; i++) os_thread_join(t[i]);
    assert_int_equal(s.n, 4004);
    os_lock_free(s.lock);
    os_lock_free(NULL);
    os_thread_join(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files),        cmocka_unit_test(maps),   cmocka_unit_test(sources),
        cmocka_unit_test(cache_folder), cmocka_unit_test(clocks), cmocka_unit_test(threads),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}

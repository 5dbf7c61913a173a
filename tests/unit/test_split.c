/* Models in several files: stories260K, cut into parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "failing_alloc.h"
#include "gguf_write.h"
#include "split.h"

enum { N_PARTS = 3 };

static char folder[64], paths[N_PARTS][128];
static uint8_t *whole;
static size_t whole_size;

static void write_part(uint32_t no, const uint8_t *data, size_t size)
{
    struct llm_error e;
    assert_int_equal(os_file_write(paths[no], data, size, &e), LLM_OK);
}

static void write_parts(bool bare)
{
    for (uint32_t no = 0; no < N_PARTS; no++) {
        size_t size;
        uint8_t *data = gguf_write_part(whole, whole_size, no, N_PARTS, bare, &size);
        write_part(no, data, size);
        free(data);
    }
}

static int setup(void **state)
{
    (void)state;
    void *data;
    struct llm_error e;
    strcpy(folder, "/tmp/llm-split-XXXXXX");
    if (!mkdtemp(folder)) return 1;
    for (int no = 0; no < N_PARTS; no++)
        snprintf(paths[no], sizeof paths[no], "%s/m-%05d-of-%05d.gguf", folder, no + 1, N_PARTS);
    if (os_file_read(TEST_DATA "/stories260K.gguf", &alloc_libc, &data, &whole_size, &e)) return 1;
    whole = data;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int no = 0; no < N_PARTS; no++) unlink(paths[no]);
    rmdir(folder);
    free(whole);
    return 0;
}

struct opened {
    struct source source;
    struct gguf gguf;
    struct llm_error error;
};

static llm_status open_split(struct opened *o, const char *path, const struct alloc *a)
{
    *o = (struct opened){.error = {.size = sizeof o->error}};
    llm_status status = source_add_file(&o->source, path, a, &o->error);
    const struct os_map *map = o->source.maps;
    if (status == LLM_OK)
        status = gguf_parse(&o->gguf, map->data, (size_t)map->size, map->size, a, &o->error);
    if (status == LLM_OK) status = split_open(&o->source, &o->gguf, path, a, &o->error);
    return status;
}

static void close_split(struct opened *o)
{
    gguf_free(&o->gguf);
    source_close(&o->source);
}

static void check_tensors(struct opened *o)
{
    struct gguf g;
    assert_int_equal(gguf_parse(&g, whole, whole_size, whole_size, &alloc_libc, NULL), LLM_OK);
    assert_int_equal(o->gguf.n_tensors, g.n_tensors);
    for (uint64_t i = 0; i < g.n_tensors; i++) {
        char name[128] = {0};
        const struct gguf_tensor *t = &g.tensors[i];
        memcpy(name, t->name.text, t->name.size);
        const struct gguf_tensor *found = gguf_tensor(&o->gguf, name);
        assert_non_null(found);
        assert_int_equal(found->size, t->size);
        const void *data =
            source_bytes(&o->source, found->offset, (size_t)found->size, NULL, &o->error);
        assert_non_null(data);
        assert_memory_equal(data, whole + t->offset, (size_t)t->size);
    }
    gguf_free(&g);
}

static void parts_are_one(void **state)
{
    (void)state;
    for (int bare = 0; bare < 2; bare++) {
        struct opened o;
        write_parts(bare);
        if (open_split(&o, paths[0], &alloc_libc) != LLM_OK) fail_msg("%s", o.error.message);
        assert_int_equal(o.source.n_maps, N_PARTS);
        assert_non_null(gguf_find(&o.gguf, "general.architecture"));
        check_tensors(&o);
        close_split(&o);
    }
}

static void fails(const char *path, llm_status status, const char *words)
{
    struct opened o;
    assert_int_equal(open_split(&o, path, &alloc_libc), status);
    if (!strstr(o.error.message, words)) fail_msg("%s", o.error.message);
    close_split(&o);
}

static void wrong_parts(void **state)
{
    (void)state;
    size_t size;
    write_parts(false);
    fails(paths[1], LLM_UNSUPPORTED, "is part 2 of 3: load the first");

    unlink(paths[2]);
    fails(paths[0], LLM_NOT_FOUND, "part 3 of 3 (m-00003-of-00003.gguf): cannot open");
    write_part(2, whole, whole_size);
    fails(paths[0], LLM_BAD_MODEL, "part 3 of 3 (m-00003-of-00003.gguf): it is a whole file");
    uint8_t *data = gguf_write_part(whole, whole_size, 1, N_PARTS, false, &size);
    write_part(2, data, size);
    fails(paths[0], LLM_BAD_MODEL, "it says that it is part 2 of 3");
    data[size - size / 2] ^= 1; /* in the data: no matter. And cut: */
    write_part(2, data, size / 2);
    fails(paths[0], LLM_BAD_MODEL, "part 3 of 3 (m-00003-of-00003.gguf): the file is cut");
    free(data);
    data = gguf_write_part(whole, whole_size, 2, N_PARTS, true, &size); /* others of its tensors */
    write_part(2, data, size);
    fails(paths[0], LLM_BAD_MODEL, "there twice");
    free(data);
    struct gguf_write none = {.version = 3};
    gguf_write_u32(&none, "split.no", 2);
    gguf_write_u32(&none, "split.count", N_PARTS);
    gguf_write_u32(&none, "split.tensors.count", 48);
    data = gguf_write_finish(&none, &size);
    write_part(2, data, size);
    fails(paths[0], LLM_BAD_MODEL, "tensors together, not 48");
    free(data);

    char renamed[128];
    write_parts(false);
    snprintf(renamed, sizeof renamed, "%s/model.gguf", folder);
    assert_int_equal(rename(paths[0], renamed), 0);
    fails(renamed, LLM_NOT_FOUND, "does not end with -00001-of-00003.gguf");
    unlink(renamed);
}

static int64_t read_whole(void *user, uint64_t offset, void *out, size_t n)
{
    (void)user;
    memcpy(out, whole + offset, n);
    return (int64_t)n;
}

static void one_stream_only(void **state)
{
    (void)state;
    size_t size;
    struct gguf g;
    struct llm_error e;
    struct source s = {.read = read_whole};
    uint8_t *data = gguf_write_part(whole, whole_size, 0, N_PARTS, false, &size);
    assert_int_equal(gguf_parse(&g, data, size, size, &alloc_libc, &e), LLM_OK);
    assert_int_equal(split_open(&s, &g, "x", &alloc_libc, &e), LLM_UNSUPPORTED);
    assert_non_null(strstr(e.message, "part 1 of 3"));
    gguf_free(&g);
    free(data);
    assert_int_equal(gguf_parse(&g, whole, whole_size, whole_size, &alloc_libc, &e), LLM_OK);
    assert_int_equal(split_open(&s, &g, "x", &alloc_libc, &e), LLM_OK);
    gguf_free(&g);
}

static void headers(void **state)
{
    (void)state;
    static const struct {
        uint32_t no, count, tensors;
        llm_status status;
    } cases[] = {
        {0, 0, 0, LLM_OK},         {5, 1, 0, LLM_OK},
        {0, 2, 1, LLM_OK},         {1, 2, 1, LLM_OK},
        {2, 2, 1, LLM_BAD_MODEL},  {0, 100000, 1, LLM_BAD_MODEL},
        {99998, 99999, 0, LLM_OK}, {UINT32_MAX, UINT32_MAX, 0, LLM_BAD_MODEL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct gguf_write w = {.version = 3};
        gguf_write_u32(&w, "split.no", cases[i].no);
        gguf_write_u32(&w, "split.count", cases[i].count);
        gguf_write_u32(&w, "split.tensors.count", cases[i].tensors);
        size_t size;
        uint8_t *data = gguf_write_finish(&w, &size);
        struct gguf g;
        struct split split;
        struct llm_error e;
        assert_int_equal(gguf_parse(&g, data, size, size, &alloc_libc, &e), LLM_OK);
        assert_int_equal(split_read(&g, &split, &e), cases[i].status);
        if (cases[i].count <= 1) assert_int_equal(split.count, 1);
        gguf_free(&g);
        free(data);
    }
    char out[64];
    assert_true(split_path("/a/b-00001-of-00012.gguf", 0, 11, 12, out));
    assert_string_equal(out, "/a/b-00012-of-00012.gguf");
    assert_false(split_path("b-00001-of-00011.gguf", 0, 11, 12, out));
    assert_false(split_path("", 0, 0, 2, out));
}

static void no_memory(void **state)
{
    (void)state;
    struct failing_alloc f;
    llm_status status;
    size_t at = 1;
    write_parts(false);
    do {
        struct opened o;
        failing_alloc_init(&f, at++);
        status = open_split(&o, paths[0], &f.alloc);
        assert_true(status == LLM_OK || status == LLM_OUT_OF_MEMORY);
        close_split(&o);
        assert_int_equal(f.n_live, 0);
        assert_int_equal(f.n_wrong, 0);
    } while (status != LLM_OK);
    assert_true(at > 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_one),   cmocka_unit_test(wrong_parts),
        cmocka_unit_test(one_stream_only), cmocka_unit_test(headers),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

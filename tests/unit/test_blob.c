#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "blob.h"
#include "error.h"
#include "failing.h"

enum { MAX = 1 << 18 };
struct memory {
    uint8_t bytes[MAX];
    size_t n, stop_at;
    int calls, change_at;
};

static llm_status write_memory(void *user, const void *data, size_t n)
{
    struct memory *m = user;
    if (m->stop_at && m->n + n > m->stop_at) return LLM_CALLBACK;
    assert_true(m->n + n <= MAX);
    memcpy(m->bytes + m->n, data, n);
    m->n += n;
    return LLM_OK;
}

static int64_t read_memory(void *user, uint64_t offset, void *out, size_t n)
{
    struct memory *m = user;
    if (++m->calls == m->change_at) m->bytes[m->n - 20] ^= 1;
    if (offset >= m->n) return -1;
    if (n > m->n - offset) n = m->n - (size_t)offset;
    memcpy(out, m->bytes + offset, n);
    return (int64_t)n;
}

static const struct blob_limits limits = {77, 50000, 4096};

static llm_status save(struct memory *m, uint32_t n_tokens, uint32_t n_cached, uint64_t page_size,
                       struct llm_error *error)
{
    static int32_t tokens[5000];
    static uint8_t page[65536];
    for (int i = 0; i < 5000; i++) tokens[i] = i * 9;
    for (size_t i = 0; i < sizeof page; i++) page[i] = (uint8_t)(i * 7 + i / 256);
    const struct blob_header h = {.fingerprint = 77,
                                  .n_tokens = n_tokens,
                                  .n_cached = n_cached,
                                  .layout = {0, 4, 128, page_size}};
    struct blob_writer w;
    m->n = 0;
    TRY(blob_write_start(&w, &h, tokens, write_memory, m, error));
    for (uint32_t i = 0; i < blob_n_pages(&h); i++)
        TRY(blob_write_pages(&w, page, page_size, error));
    return blob_write_end(&w, error);
}

/* All of a restore; the pages' bytes are compared, too. */
static llm_status load(struct memory *m, uint64_t size, const struct alloc *a, uint64_t part,
                       struct llm_error *error)
{
    struct blob_reader r;
    uint8_t page[65536];
    m->calls = 0;
    llm_status status = blob_open(&r, size, read_memory, m, &limits, a, error);
    if (status == LLM_OK) {
        while ((status = blob_verify(&r, part, error)) == LLM_RUNNING) {
        }
    }
    for (uint32_t i = 0; status == LLM_OK && i < r.header.n_tokens; i++)
        assert_int_equal(r.tokens[i], i * 9);
    for (uint32_t i = 0; status == LLM_OK && i < blob_n_pages(&r.header); i++)
        status = blob_pages(&r, page, (size_t)r.header.layout.page_size, error);
    if (status == LLM_OK) status = blob_finish(&r, error);
    for (size_t i = 0; status == LLM_OK && r.header.n_cached && i < r.header.layout.page_size; i++)
        if (page[i] != (uint8_t)(i * 7 + i / 256)) fail_msg("page byte %zu", i);
    blob_close(&r);
    blob_close(&r);
    return status;
}

static void round_trips(void **state)
{
    (void)state;
    static struct memory m;
    const struct {
        uint32_t n_tokens, n_cached;
        uint64_t page_size;
    } rows[] = {
        {0, 0, 0},         {1, 0, 0},   {60, 0, 0},   {60, 59, 1000}, {4096, 4096, 1024},
        {130, 129, 65536}, {64, 64, 1}, {65, 65, 31}, {4000, 0, 7},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(save(&m, rows[i].n_tokens, rows[i].n_cached, rows[i].page_size, NULL),
                         LLM_OK);
        assert_int_equal(load(&m, m.n, &alloc_libc, 1, NULL), LLM_OK);
        assert_int_equal(load(&m, m.n, &alloc_libc, UINT64_MAX, NULL), LLM_OK);
    }
    assert_int_equal(save(&m, 60, 0, 0, NULL), LLM_OK);
    assert_true(m.n < 300);
}

static void every_change_is_found(void **state)
{
    (void)state;
    static struct memory m;
    struct llm_error e;
    assert_int_equal(save(&m, 70, 66, 333, NULL), LLM_OK);
    for (size_t i = 0; i < m.n; i++) {
        for (int bit = 0; bit < 8; bit++) {
            m.bytes[i] ^= (uint8_t)(1 << bit);
            if (load(&m, m.n, &alloc_libc, 100, &e) != LLM_BAD_STATE)
                fail_msg("byte %zu, bit %d", i, bit);
            m.bytes[i] ^= (uint8_t)(1 << bit);
        }
    }
    const size_t whole = m.n;
    for (size_t n = 0; n < whole; n++)
        assert_int_equal(load(&m, n, &alloc_libc, 100, &e), LLM_BAD_STATE);
    assert_int_equal(load(&m, whole + 1, &alloc_libc, 100, &e), LLM_BAD_STATE);
    m.n = whole - 1; /* the size is said to be right, but the last byte cannot be read */
    assert_int_equal(load(&m, whole, &alloc_libc, 100, &e), LLM_IO);
    m.n = whole;
    assert_int_equal(load(&m, whole, &alloc_libc, 100, &e), LLM_OK);
    const int calls = m.calls;
    m.change_at = calls; /* changes between the two readings */
    assert_int_equal(load(&m, whole, &alloc_libc, 100, &e), LLM_BAD_STATE);
}

/* Headers that are hostile on purpose: their checksums are right. */
static void forged_headers(void **state)
{
    (void)state;
    static struct memory m;
    const struct {
        size_t at;
        uint64_t value;
        size_t size;
        llm_status status;
    } rows[] = {
        {8, 2, 4, LLM_BAD_STATE}, /* version */
        {8, 0, 4, LLM_BAD_STATE},
        {12, 1, 4, LLM_BAD_STATE},          /* flags */
        {16, 0xFFFFFFFF, 4, LLM_BAD_STATE}, /* n_tokens */
        {16, 69, 4, LLM_BAD_STATE},         /* one fewer than the varints hold */
        {20, 71, 4, LLM_BAD_STATE},         /* n_cached */
        {20, 129, 4, LLM_BAD_STATE},
        {40, 78, 8, LLM_BAD_STATE},                        /* fingerprint */
        {48, UINT64_MAX / 2, 8, LLM_BAD_STATE},            /* page_size */
        {48, (UINT64_C(1) << 63) + 333, 8, LLM_BAD_STATE}, /* wraps round to the right product */
        {56, UINT64_MAX, 8, LLM_BAD_STATE},                /* tokens_size */
        {64, UINT64_MAX, 8, LLM_BAD_STATE},                /* total_size */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(save(&m, 70, 66, 333, NULL), LLM_OK);
        for (size_t j = 0; j < rows[i].size; j++)
            m.bytes[rows[i].at + j] = (uint8_t)(rows[i].value >> 8 * j);
        for (int part = 0; part < 2; part++) { /* the header's checksum, then the whole's */
            const size_t end = part ? m.n - 8 : BLOB_HEADER - 8;
            struct blob_sum s;
            blob_sum_start(&s);
            blob_sum_add(&s, m.bytes, end);
            const uint64_t sum = blob_sum_end(&s);
            for (int j = 0; j < 8; j++) m.bytes[end + (size_t)j] = (uint8_t)(sum >> 8 * j);
        }
        if (load(&m, m.n, &alloc_libc, 100, NULL) != rows[i].status) fail_msg("row %zu", i);
    }
    assert_int_equal(save(&m, 4097, 0, 0, NULL), LLM_OK);
    assert_int_equal(load(&m, m.n, &alloc_libc, 100, NULL), LLM_CONTEXT_FULL);
}

static void sums_do_not_depend_on_cuts(void **state)
{
    (void)state;
    uint8_t bytes[200];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * i);
    for (size_t n = 0; n <= sizeof bytes; n++) {
        struct blob_sum whole, cut;
        blob_sum_start(&whole);
        blob_sum_add(&whole, bytes, n);
        for (size_t part = 1; part < 70; part++) {
            blob_sum_start(&cut);
            for (size_t at = 0; at < n; at += part)
                blob_sum_add(&cut, bytes + at, n - at < part ? n - at : part);
            assert_true(blob_sum_end(&whole) == blob_sum_end(&cut));
        }
    }
}

static void misuse_and_failures(void **state)
{
    (void)state;
    static struct memory m;
    const int32_t tokens[2] = {1, 2};
    const struct blob_header h = {.n_tokens = 2, .n_cached = 2, .layout.page_size = 10},
                             bad = {.n_tokens = 1, .n_cached = 2};
    struct blob_writer w;
    struct llm_error e;
    assert_int_equal(blob_write_start(&w, &bad, tokens, write_memory, &m, &e), LLM_BAD_ARGUMENT);
    assert_int_equal(blob_write_start(&w, &h, tokens, write_memory, &m, &e), LLM_OK);
    assert_int_equal(blob_write_end(&w, &e), LLM_BAD_ARGUMENT);
    assert_int_equal(blob_write_pages(&w, tokens, 11, &e), LLM_BAD_ARGUMENT);
    for (size_t stop = 1; stop < 700; stop += 50) {
        m.stop_at = stop;
        assert_int_equal(save(&m, 70, 66, 333, &e), LLM_CALLBACK);
    }
    m.stop_at = 0;
    assert_int_equal(save(&m, 70, 66, 333, &e), LLM_OK);
    for (size_t n = 1;; n++) {
        struct failing f = {.fail_at = n};
        const struct alloc a = FAILING(f);
        const llm_status status = load(&m, m.n, &a, 100, &e);
        assert_int_equal(f.bytes, 0);
        if (status == LLM_OK) break;
        assert_int_equal(status, LLM_OUT_OF_MEMORY);
        assert_true(n < 5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),         cmocka_unit_test(every_change_is_found),
        cmocka_unit_test(forged_headers),      cmocka_unit_test(sums_do_not_depend_on_cuts),
        cmocka_unit_test(misuse_and_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

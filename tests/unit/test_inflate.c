/* Deflate streams of each kind of block, damaged ones, and too little room. The streams are zlib's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "inflate.h"

static const uint8_t stored[] = {0x01, 0x06, 0x00, 0xf9, 0xff, 0x73, 0x74, 0x6f, 0x72, 0x65, 0x64};
static const uint8_t fixed[] = {0x4b, 0x4c, 0x4a, 0x4e, 0xc4, 0x40, 0x0a, 0x19, 0xa9,
                                0x39, 0x39, 0xf9, 0x3a, 0x28, 0x94, 0x22, 0x00};
static const uint8_t dynamic[] = {
    0x25, 0x8e, 0x89, 0x0d, 0x00, 0x31, 0x0c, 0xc2, 0x66, 0x85, 0x98, 0xfd, 0x57, 0x38, 0xe8, 0x55,
    0x95, 0xf2, 0x11, 0x13, 0xd9, 0x79, 0xdf, 0x96, 0x74, 0xb9, 0x3e, 0xdf, 0x72, 0x27, 0x7f, 0x07,
    0x87, 0x78, 0x7d, 0xeb, 0x50, 0x33, 0x74, 0xa6, 0xd3, 0x5b, 0xb7, 0xe1, 0x1c, 0x59, 0x55, 0xc6,
    0x40, 0xb0, 0x4f, 0x74, 0xef, 0xb2, 0x81, 0xab, 0xed, 0x4e, 0x87, 0x29, 0x02, 0xe6, 0x56, 0x0c,
    0x2b, 0xaf, 0xfc, 0x46, 0xcd, 0x37, 0xd3, 0xbf, 0x5d, 0xa9, 0xf0, 0xdc, 0xae, 0x42, 0x4c, 0xa9,
    0x71, 0x94, 0xb9, 0x72, 0x0f, 0x9e, 0xb9, 0x62, 0x95, 0xd4, 0x93, 0xf8, 0x00};
enum { DYNAMIC = 200 };

/* What `dynamic` was made of. */
static void make_text(uint8_t out[DYNAMIC])
{
    for (uint32_t i = 0; i < DYNAMIC; i++) {
        uint32_t bits = 0;
        for (uint32_t v = i * i * i % 1021; v; v &= v - 1) bits++;
        out[i] = (uint8_t)(97 + bits % 5);
    }
}

static const struct stream {
    const uint8_t *in;
    size_t n;
    const char *text; /* NULL: make_text's */
} streams[] = {
    {stored, sizeof stored, "stored"},
    {fixed, sizeof fixed, "abcabcabcabcabcabcabc hello, hello, hello!"},
    {dynamic, sizeof dynamic, NULL},
};
enum { N_STREAMS = sizeof streams / sizeof *streams };

static size_t text_of(const struct stream *s, uint8_t out[DYNAMIC])
{
    if (!s->text) make_text(out);
    else memcpy(out, s->text, strlen(s->text));
    return s->text ? strlen(s->text) : DYNAMIC;
}

static void blocks(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_STREAMS; i++) {
        const struct stream *s = &streams[i];
        uint8_t want[DYNAMIC], *out = malloc(DYNAMIC + 1);
        const size_t size = text_of(s, want);
        assert_true(inflate_bytes(s->in, s->n, out, size));
        assert_memory_equal(out, want, size);
        assert_false(inflate_bytes(s->in, s->n, out, size - 1));
        assert_false(inflate_bytes(s->in, s->n, out, size + 1));
        free(out);
    }
}

static void cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_STREAMS; i++) {
        for (size_t n = 0; n < streams[i].n; n++) {
            uint8_t want[DYNAMIC], out[DYNAMIC], *in = malloc(n + 1);
            memcpy(in, streams[i].in, n);
            assert_false(inflate_bytes(in, n, out, text_of(&streams[i], want)));
            free(in);
        }
    }
}

/* Whatever becomes of it: no byte outside is touched (sanitizers watch), and it ends. */
static void damaged(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_STREAMS; i++) {
        uint8_t want[DYNAMIC], *in = malloc(streams[i].n);
        const size_t size = text_of(&streams[i], want);
        uint8_t *out = malloc(size);
        memcpy(in, streams[i].in, streams[i].n);
        for (size_t bit = 0; bit < 8 * streams[i].n; bit++) {
            in[bit / 8] ^= (uint8_t)(1 << bit % 8);
            inflate_bytes(in, streams[i].n, out, size);
            in[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        free(out);
        free(in);
    }
}

static void kinds(void **state)
{
    (void)state;
    static const uint8_t reserved[] = {0x07}, wrong_length[] = {0x01, 0x01, 0x00, 0xff, 0xff, 0x61};
    uint8_t out[8];
    assert_false(inflate_bytes(reserved, sizeof reserved, out, 0));
    assert_false(inflate_bytes(wrong_length, sizeof wrong_length, out, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks),
        cmocka_unit_test(cut),
        cmocka_unit_test(damaged),
        cmocka_unit_test(kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

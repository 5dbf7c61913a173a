/* What every architecture makes of headers that are not as they should be: a reason, and nothing
 * that is left. */
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "arch.h"
#include "error.h"
#include "failing.h"
#include "peer_models.h"

static struct failing failing;
static const struct alloc alloc = {failing_realloc, &failing};

struct header {
    uint8_t *data;
    struct gguf g;
};

static struct header open_header(const struct peer_model *m)
{
    struct header h;
    struct llm_error error = {.size = sizeof error};
    size_t size;
    h.data = model_make(&m->shape, &size);
    if (gguf_parse(&h.g, h.data, size, size, &alloc_libc, &error) != LLM_OK)
        fail_msg("%s: %s", m->name, error.message);
    return h;
}

static void close_header(struct header *h)
{
    gguf_free(&h->g);
    free(h->data);
}

/* Whether it was taken; a refusal has words and leaves nothing. */
static bool read_header(const struct peer_model *m, const struct gguf *g, const char *what)
{
    struct llm_error error = {.size = sizeof error};
    struct blueprint b;
    llm_status status = arch_read(&b, g, PEER_VOCAB, &alloc, &error);
    arch_free(&b);
    if (failing.bytes) fail_msg("%s, %s: %zu bytes are left", m->name, what, failing.bytes);
    if (status == LLM_OK) return true;
    if (!error.message[0] || (status != LLM_BAD_MODEL && status != LLM_UNSUPPORTED))
        fail_msg("%s, %s: %s, \"%s\"", m->name, what, llm_status_name(status), error.message);
    return false;
}

/* Each key becomes a number, a word or a list that it should not be. */
static void values_changed(void **state)
{
    (void)state;
    static const uint32_t numbers[] = {0, 1, 7, 0x7fffffff, UINT32_MAX};
    static const float floats[] = {0, -1, NAN, HUGE_VALF, 1e-30f, 1e30f};
    static const bool bools[80] = {true};
    struct gguf_value changes[16];
    size_t n = 0;
    for (size_t i = 0; i < 5; i++)
        changes[n++] = (struct gguf_value){
            .type = GGUF_U32, .n = 1, .data = (const uint8_t *)&numbers[i], .size = 4};
    for (size_t i = 0; i < 6; i++)
        changes[n++] = (struct gguf_value){
            .type = GGUF_F32, .n = 1, .data = (const uint8_t *)&floats[i], .size = 4};
    const struct {
        enum gguf_type type;
        uint64_t n;
        const void *data;
        size_t size;
    } lists[] = {{GGUF_F32, 1, floats, 4}, {GGUF_BOOL, 80, bools, 80}, {GGUF_U32, 0, numbers, 0}};
    for (size_t i = 0; i < 3; i++)
        changes[n++] = (struct gguf_value){.type = GGUF_ARRAY,
                                           .item_type = lists[i].type,
                                           .n = lists[i].n,
                                           .data = lists[i].data,
                                           .size = lists[i].size};
    for (uint32_t k = 0; k < peer_n_models; k++) {
        const struct peer_model *m = &peer_models[k];
        struct header h = open_header(m);
        assert_true(read_header(m, &h.g, "as it is"));
        for (uint64_t i = 0; i < h.g.n_values; i++) {
            struct gguf_value *v = &h.g.values[i], before = *v;
            for (size_t c = 0; c < n; c++) {
                *v = changes[c];
                v->key = before.key;
                read_header(m, &h.g, "a changed value");
            }
            *v = before;
        }
        close_header(&h);
    }
}

static void shapes_changed(void **state)
{
    (void)state;
    for (uint32_t k = 0; k < peer_n_models; k++) {
        const struct peer_model *m = &peer_models[k];
        struct header h = open_header(m);
        for (uint64_t i = 0; i < h.g.n_tensors; i++) {
            struct gguf_tensor *t = &h.g.tensors[i], before = *t;
            uint32_t l = 0;
            sscanf(t->name.text, "blk.%" SCNu32 ".", &l);
            if (l >= m->shape.n_layers) continue; /* of a layer that is not run */
            for (int d = 0; d < 4; d++) {
                t->dims[d]++;
                if (read_header(m, &h.g, "a changed shape"))
                    fail_msg("%s: %.*s may be of any shape", m->name, (int)t->name.size,
                             t->name.text);
                *t = before;
            }
        }
        close_header(&h);
    }
}

/* Biases come before norms, and norms of each head's own gains before what adds biases. */
static void biases_of_normed_heads(void **state)
{
    (void)state;
    struct peer_model m = {.name = "stablelm", .shape = model_shape_small};
    struct llm_error error = {.size = sizeof error};
    struct blueprint b;
    m.shape.arch = "stablelm";
    m.shape.vocab = PEER_VOCAB;
    m.shape.layer = "norm1 norm1b q k kb v qheads kheads o gate up down";
    struct header h = open_header(&m);
    assert_int_equal(arch_read(&b, &h.g, PEER_VOCAB, &alloc, &error), LLM_UNSUPPORTED);
    assert_non_null(strstr(error.message, "layer 0 has biases"));
    arch_free(&b);
    close_header(&h);
}

static void memory_out(void **state)
{
    (void)state;
    for (uint32_t k = 0; k < peer_n_models; k++) {
        struct header h = open_header(&peer_models[k]);
        for (size_t at = 1;; at++) {
            struct llm_error error = {.size = sizeof error};
            struct blueprint b;
            failing = (struct failing){.fail_at = at};
            llm_status status = arch_read(&b, &h.g, PEER_VOCAB, &alloc, &error);
            arch_free(&b);
            assert_int_equal(failing.bytes, 0);
            if (status == LLM_OK) break;
            assert_int_equal(status, LLM_OUT_OF_MEMORY);
        }
        close_header(&h);
    }
    failing = (struct failing){0};
}

/* GLM 4.7 Flash's gate is a sigmoid where no key says so; other models' of its kind is not. */
static void gate_by_sizes(void **state)
{
    (void)state;
    static const uint32_t vocabs[] = {154880, PEER_VOCAB};
    struct peer_model m = {.name = "early GLM"};
    for (uint32_t k = 0; k < peer_n_models; k++)
        if (strcmp(peer_models[k].name, "deepseek2") == 0) m.shape = peer_models[k].shape;
    m.shape.n_layers = 47;
    m.shape.experts.gating = 0;
    struct header h = open_header(&m);
    for (int i = 0; i < 2; i++) {
        struct llm_error error = {.size = sizeof error};
        struct blueprint b;
        for (uint64_t t = 0; t < h.g.n_tensors; t++)
            if (strncmp(h.g.tensors[t].name.text, "token_embd", 10) == 0 ||
                strncmp(h.g.tensors[t].name.text, "output.", 7) == 0)
                h.g.tensors[t].dims[1] = vocabs[i];
        if (arch_read(&b, &h.g, vocabs[i], &alloc, &error) != LLM_OK) fail_msg("%s", error.message);
        assert_int_equal(b.h.router.gate, i == 0 ? ROUTER_SIGMOID : ROUTER_SOFTMAX);
        arch_free(&b);
    }
    close_header(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_changed),         cmocka_unit_test(shapes_changed),
        cmocka_unit_test(biases_of_normed_heads), cmocka_unit_test(memory_out),
        cmocka_unit_test(gate_by_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Embeddings against the reference's states and llama.cpp's vectors; choosing and embedding as
 * jobs. */
#include "fixture.h"

#include <math.h>
#include <stdio.h>

#include "encoder_make.h"
#include "peer_models.h"
#include "reference.h"

enum { MAX_IDS = 300, MAX_DIM = 128 };

static const uint32_t poolings[] = {LLM_POOLING_MEAN, LLM_POOLING_CLS, LLM_POOLING_LAST};

static llm_model *open_exact(const struct model_shape *shape, struct memory_file *file)
{
    struct llm_load_options o;
    load_defaults(&o);
    o.kv = LLM_KV_F32;
    o.precision = LLM_PRECISION_HIGH;
    o.context = 512;
    return load_shape(shape, &o, file);
}

static uint32_t dim_of(const llm_model *m)
{
    struct llm_model_info info = {.size = sizeof info};
    OK(llm_model_info_get(m, &info, &error));
    return info.embedding;
}

static double nmse(const double *theirs, const float *ours, uint32_t n)
{
    double off = 0, all = 0;
    for (uint32_t i = 0; i < n; i++) {
        off += ((double)ours[i] - theirs[i]) * ((double)ours[i] - theirs[i]);
        all += theirs[i] * theirs[i];
    }
    return off / all;
}

/* Pooled, not normalized. */
static void expect(struct reference *r, const int32_t *ids, size_t n, uint32_t pooling, double *out,
                   uint32_t dim)
{
    double *logits = malloc(reference_vocab(r) * sizeof *logits);
    reference_truncate(r, 0);
    memset(out, 0, dim * sizeof *out);
    for (size_t i = 0; i < n; i++) {
        assert_true(reference_eval(r, ids + i, 1, logits));
        bool taken = pooling == LLM_POOLING_MEAN || (pooling == LLM_POOLING_CLS && i == 0) ||
                     (pooling == LLM_POOLING_LAST && i + 1 == n);
        double share = pooling == LLM_POOLING_MEAN ? 1 / (double)n : 1;
        for (uint32_t k = 0; taken && k < dim; k++) out[k] += share * reference_state(r)[k];
    }
    free(logits);
}

static void check_shape(const struct model_shape *shape)
{
    static const size_t sizes[] = {1, 40, MAX_IDS, 17};
    int32_t ids[4][MAX_IDS];
    struct llm_prompt texts[4];
    float vectors[4][MAX_DIM], unit[4][MAX_DIM];
    double expected[MAX_DIM];
    struct memory_file file;
    llm_model *m = open_exact(shape, &file);
    struct reference *r = reference_open(file.data, file.size, &error);
    uint32_t dim = dim_of(m);
    assert_int_equal(dim, shape->dim);
    for (uint32_t i = 0; i < 4; i++) {
        random_ids(ids[i], sizes[i], shape->vocab, i + 1);
        texts[i] = ids_prompt(ids[i], sizes[i]);
    }
    for (size_t p = 0; p < 3; p++) {
        struct llm_embed_options o;
        llm_embed_defaults(&o, sizeof o);
        assert_int_equal(o.normalize, 1);
        o.pooling = poolings[p];
        float *unit_rows = malloc(4 * dim * sizeof(float)), *rows = malloc(4 * dim * sizeof(float));
        OK(llm_model_embed(m, texts, 4, &o, unit_rows, &error));
        o.normalize = 0;
        OK(llm_model_embed(m, texts, 4, &o, rows, &error));
        for (uint32_t i = 0; i < 4; i++) {
            memcpy(vectors[i], rows + i * dim, dim * sizeof(float));
            memcpy(unit[i], unit_rows + i * dim, dim * sizeof(float));
            double squares = 0, length = 0;
            expect(r, ids[i], sizes[i], o.pooling, expected, dim);
            double e = nmse(expected, vectors[i], dim);
            if (!(e <= 1e-9)) fail_msg("pooling %u of text %u: NMSE %g", o.pooling, i, e);
            for (uint32_t k = 0; k < dim; k++) squares += expected[k] * expected[k];
            for (uint32_t k = 0; k < dim; k++) {
                expected[k] /= sqrt(squares);
                length += (double)unit[i][k] * (double)unit[i][k];
            }
            assert_true(nmse(expected, unit[i], dim) <= 1e-9);
            assert_true(fabs(length - 1) < 1e-5);
        }
        free(rows);
        free(unit_rows);
    }
    reference_free(r);
    llm_model_free(m);
    free(file.data);
}

static void states_are_the_reference(void **state)
{
    (void)state;
    struct model_shape granite = model_shape_small;
    granite.arch = "granite";
    granite.scales = true;
    check_shape(&model_shape_small);
    check_shape(&granite); /* its logits are scaled, its embeddings are not */
}

/* ---- llama.cpp ---- */

static llm_model *open_bytes(struct memory_file *file)
{
    struct llm_load_options o;
    llm_model *m;
    load_defaults(&o);
    o.kv = LLM_KV_F32;
    o.precision = LLM_PRECISION_HIGH;
    OK(load(file, &o, &m));
    return m;
}

static void check_peer(const char *name, struct memory_file *file, double most)
{
    char path[4096];
    snprintf(path, sizeof path, TEST_DATA "/peer/%s.embeddings", name);
    struct memory_file theirs = read_file(path);
    llm_model *m = open_bytes(file);
    uint32_t dim = dim_of(m);
    int32_t ids[ENCODER_CONTEXT];
    struct llm_prompt texts[ENCODER_N_TEXTS];
    float vectors[ENCODER_N_TEXTS * MAX_DIM];
    struct llm_embed_options o;
    assert_int_equal(theirs.size, ENCODER_N_TEXTS * dim * sizeof(float));
    for (uint32_t i = 0; i < ENCODER_CONTEXT; i++) ids[i] = encoder_id(i);
    for (uint32_t i = 0; i < ENCODER_N_TEXTS; i++) texts[i] = ids_prompt(ids, encoder_lengths[i]);
    llm_embed_defaults(&o, sizeof o);
    o.normalize = 0;
    OK(llm_model_embed(m, texts, ENCODER_N_TEXTS, &o, vectors, &error));
    for (uint32_t i = 0; i < ENCODER_N_TEXTS; i++) {
        double expected[MAX_DIM];
        const float *row = (const float *)(const void *)theirs.data + i * dim;
        for (uint32_t k = 0; k < dim; k++) expected[k] = (double)row[k];
        double e = nmse(expected, vectors + i * dim, dim);
        if (!(e <= most)) fail_msg("%s: NMSE %g of text %u", name, e, i);
    }
    llm_model_free(m);
    free(theirs.data);
    free(file->data);
}

static void peers(void **state)
{
    (void)state;
    static const char *const decoders[] = {"llama", "qwen3", "granite"};
    struct memory_file file;
    for (uint32_t i = 0; i < 3; i++) {
        for (uint32_t k = 0; k < peer_n_models; k++) {
            if (strcmp(peer_models[k].name, decoders[i]) != 0) continue;
            file.data = model_make(&peer_models[k].shape, &file.size);
            check_peer(decoders[i], &file, 1e-5); /* their cache is f16 */
        }
    }
    for (uint32_t i = 0; i < n_encoder_shapes; i++) {
        file.data = encoder_make(&encoder_shapes[i], &file.size);
        check_peer(encoder_shapes[i].name, &file, 1e-6);
    }
    file.data = model_make(&encoder_gemma, &file.size);
    check_peer(encoder_gemma.arch, &file, 1e-6);
}

/* ---- encoders ---- */

/* The embedding of the longest text, as loaded. */
static void embed_long(const struct encoder_shape *shape, bool exact, uint32_t n, float *out)
{
    struct memory_file file;
    struct llm_load_options o;
    llm_model *m;
    int32_t ids[ENCODER_CONTEXT];
    file.data = encoder_make(shape, &file.size);
    load_defaults(&o);
    if (exact) {
        o.kv = LLM_KV_F32;
        o.precision = LLM_PRECISION_HIGH;
    }
    OK(load(&file, &o, &m));
    for (uint32_t i = 0; i < n; i++) ids[i] = encoder_id(i);
    const struct llm_prompt text = ids_prompt(ids, n);
    OK(llm_model_embed(m, &text, 1, NULL, out, &error));
    llm_model_free(m);
    free(file.data);
}

static void formats(void **state)
{
    (void)state;
    static const enum quant_type types[] = {QUANT_F16, QUANT_Q8_0, QUANT_Q4_0};
    for (uint32_t i = 0; i < n_encoder_shapes; i++) {
        for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
            struct encoder_shape shape = encoder_shapes[i];
            float exact[MAX_DIM], fast[MAX_DIM];
            double expected[MAX_DIM];
            shape.type = types[t];
            embed_long(&shape, true, ENCODER_CONTEXT, exact);
            embed_long(&shape, false, ENCODER_CONTEXT, fast);
            for (uint32_t k = 0; k < shape.dim; k++) expected[k] = (double)exact[k];
            double e = nmse(expected, fast, shape.dim);
            if (!(e <= 1e-3)) fail_msg("%s, format %d: NMSE %g", shape.name, types[t], e);
        }
    }
}

static void assert_refused(llm_status status, llm_status expected, const char *words)
{
    assert_int_equal(status, expected);
    if (!strstr(error.message, words)) fail_msg("%s", error.message);
}

static void encoders_write_nothing(void **state)
{
    (void)state;
    struct memory_file file;
    struct llm_load_options o;
    llm_model *m;
    llm_session *s;
    int32_t ids[ENCODER_CONTEXT + 1] = {0};
    double logs[1];
    size_t best;
    float vector[MAX_DIM];
    const struct llm_prompt text = ids_prompt(ids, 3), long_text = ids_prompt(ids, 257);
    file.data = encoder_make(&encoder_shapes[0], &file.size);
    m = open_bytes(&file);
    assert_refused(llm_session_create(m, 0, &s, &error), LLM_UNSUPPORTED, "use embed");
    assert_refused(llm_model_choose(m, &text, &text, 1, 0, logs, &best, &error), LLM_UNSUPPORTED,
                   "use embed");
    assert_refused(llm_model_embed(m, &long_text, 1, NULL, vector, &error), LLM_CONTEXT_FULL,
                   "257 tokens");
    llm_model_free(m);
    load_defaults(&o);
    o.context = ENCODER_CONTEXT + 1;
    assert_refused(load(&file, &o, &m), LLM_BAD_ARGUMENT, "learned 256");
    free(file.data);
    file.data = encoder_make(&encoder_shapes[2], &file.size);
    o.context = 2049;
    assert_refused(load(&file, &o, &m), LLM_BAD_ARGUMENT, "2048");
    free(file.data);
}

/* ---- jobs ---- */

static llm_model *stories(struct memory_file *file)
{
    struct llm_load_options o;
    llm_model *m;
    load_defaults(&o);
    o.context = 128;
    *file = read_file(TEST_DATA "/stories260K.gguf");
    OK(load(file, &o, &m));
    return m;
}

static struct llm_prompt text(const char *s)
{
    return (struct llm_prompt){
        .size = sizeof(struct llm_prompt), .text = s, .text_size = strlen(s)};
}

static void jobs(void **state)
{
    (void)state;
    struct memory_file file;
    llm_model *m = stories(&file);
    char changed[] = "Once upon a time";
    const struct llm_prompt texts[] = {text(changed), text("a cat"), text("")};
    float alone[3][64];
    OK(llm_model_embed(m, texts, 3, NULL, &alone[0][0], &error));

    llm_job *job;
    size_t n, best;
    uint32_t dim;
    double fraction = 0;
    OK(llm_model_embed_start(m, texts, 3, NULL, &job, &error));
    memset(changed, 'x', sizeof changed - 1); /* it has copies */
    assert_null(llm_job_embeddings(job, &n, &dim));
    assert_null(llm_job_choices(job, &n, &best));
    assert_null(llm_job_model(job));
    /* Beside a generation. */
    llm_session *s = open_session(m);
    llm_generation *g;
    struct llm_generate_options o;
    llm_generate_defaults(&o, sizeof o);
    o.max_tokens = 20;
    const struct llm_prompt prompt = text("The dog");
    OK(llm_generation_start(s, &prompt, &o, &g, &error));
    llm_status status;
    double last = 0;
    while ((status = llm_job_poll(job, &fraction, &error)) == LLM_RUNNING) {
        assert_true(fraction >= last && fraction < 1);
        last = fraction;
    }
    assert_int_equal(status, LLM_OK);
    assert_true(fraction == 1);
    const float *vectors = llm_job_embeddings(job, &n, &dim);
    assert_non_null(vectors);
    assert_int_equal(n, 3);
    assert_int_equal(dim, 64);
    for (int i = 0; i < 3; i++) assert_same_bits(vectors + 64 * i, alone[i], 64, "text", i);
    llm_job_free(job);
    llm_generation_free(g);
    llm_session_free(s);

    OK(llm_model_embed_start(m, texts, 3, NULL, &job, &error));
    llm_job_cancel(job);
    assert_int_equal(llm_job_wait(job, -1, NULL, &error), LLM_CANCELLED);
    llm_job_free(job);
    OK(llm_model_embed_start(m, texts, 3, NULL, &job, &error));
    llm_job_free(job); /* at work */
    OK(llm_model_embed_start(m, texts, 0, NULL, &job, &error));
    assert_int_equal(llm_job_poll(job, NULL, &error), LLM_OK);
    llm_job_free(job);

    double logs[2];
    const struct llm_prompt choices[] = {text(" there was"), text(" zebra")};
    OK(llm_model_choose(m, texts, choices, 2, 0, logs, &best, &error));
    OK(llm_model_choose_start(m, texts, choices, 2, 0, &job, &error));
    OK(llm_job_wait(job, -1, NULL, &error));
    size_t found;
    assert_memory_equal(llm_job_choices(job, &n, &found), logs, sizeof logs);
    assert_int_equal(found, best);
    llm_job_free(job);

    llm_job *other;
    OK(llm_model_embed_start(m, texts, 3, NULL, &job, &error));
    OK(llm_model_choose_start(m, texts, choices, 2, 0, &other, &error));
    llm_update(root, 0);
    llm_model_close(m);
    assert_int_equal(llm_job_wait(job, -1, NULL, &error), LLM_CLOSED);
    assert_int_equal(llm_job_wait(other, -1, NULL, &error), LLM_CLOSED);
    assert_int_equal(llm_model_embed(m, texts, 3, NULL, &alone[0][0], &error), LLM_CLOSED);
    llm_model_free(m);
    llm_job_free(other);
    llm_job_free(job);
    free(file.data);
}

static void refusals(void **state)
{
    (void)state;
    struct memory_file file;
    llm_model *m = stories(&file);
    static int32_t many[129];
    const struct llm_prompt texts[] = {text("a"), ids_prompt(many, 129)},
                            none = ids_prompt(many, 0);
    float vectors[2][64];
    assert_int_equal(llm_model_embed(m, texts, 2, NULL, &vectors[0][0], &error), LLM_CONTEXT_FULL);
    assert_non_null(strstr(error.message, "text 2 has 129 tokens"));
    assert_non_null(strstr(error.message, "128"));
    assert_int_equal(llm_model_embed(m, &none, 1, NULL, &vectors[0][0], &error), LLM_BAD_ARGUMENT);
    struct llm_embed_options o;
    llm_embed_defaults(&o, sizeof o);
    o.pooling = 4;
    assert_int_equal(llm_model_embed(m, texts, 1, &o, &vectors[0][0], &error), LLM_BAD_ARGUMENT);
    OK(llm_model_embed(m, texts, 1, NULL, &vectors[0][0], &error)); /* and it goes on */
    OK(llm_model_embed(m, texts, 0, NULL, NULL, &error));
    llm_model_free(m);
    free(file.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states_are_the_reference),
        cmocka_unit_test(peers),
        cmocka_unit_test(formats),
        cmocka_unit_test(encoders_write_nothing),
        cmocka_unit_test(jobs),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, fixture_open, fixture_close);
}

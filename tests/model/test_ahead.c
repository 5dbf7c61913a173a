/* Steps that are submitted before the tokens of their rows are known: the same texts, and no trace
 * of what was computed for nothing. */
#include <stdio.h>

#include "fixture.h"
#include "generation.h"
#include "model.h"

enum { VOCAB = 320, PROMPT = 20, MOST = 150, SESSIONS = 5 };

static llm_model *model;
static struct memory_file file;

static int open_model(void **state)
{
    fixture_open(state);
    struct llm_load_options o;
    load_defaults(&o);
    o.context = PROMPT + MOST + 20;
    o.kv_tokens = SESSIONS * 256;
    model = load_shape(&model_shape_small, &o, &file);
    model->scheduler.feed = FEED_BY_DEVICE;
    return 0;
}

static int close_model(void **state)
{
    llm_model_free(model);
    free(file.data);
    return fixture_close(state);
}

static struct llm_generate_options greedy(int64_t most)
{
    struct llm_generate_options o;
    llm_generate_defaults(&o, sizeof o);
    o.temperature = 0;
    o.max_tokens = most;
    return o;
}

struct written {
    int32_t ids[PROMPT + MOST + 20];
    size_t n;
    uint32_t tokens, n_free; /* pages of the pool, at the end of the generation */
    char finish[16], bytes[2048];
    size_t n_bytes;
};

static llm_generation *begin(uint32_t seed, uint32_t n_prompt, const struct llm_generate_options *o,
                             llm_session **s)
{
    int32_t ids[PROMPT + MOST];
    llm_generation *g;
    random_ids(ids, n_prompt, VOCAB, seed);
    *s = open_session(model);
    const struct llm_prompt prompt = ids_prompt(ids, n_prompt);
    OK(llm_generation_start(*s, &prompt, o, &g, &error));
    return g;
}

static void take(llm_generation *g, llm_session *s, struct written *out)
{
    struct llm_result r = {.size = sizeof r};
    llm_generation_wait(g, -1);
    assert_int_equal(llm_generation_result(g, &r), LLM_OK);
    if (r.status != LLM_OK) fail_msg("%s", r.error);
    memset(out, 0, sizeof *out);
    const int32_t *tokens = llm_session_tokens(s, &out->n);
    memcpy(out->ids, tokens, out->n * sizeof *tokens);
    out->tokens = r.tokens;
    out->n_free = model->pool.n_free;
    out->n_bytes = r.text_size;
    memcpy(out->bytes, r.text, r.text_size);
    snprintf(out->finish, sizeof out->finish, "%s", r.finish);
    llm_generation_free(g);
    assert_computed(model, s, VOCAB);
    llm_session_free(s);
}

static void assert_same(const struct written *a, const struct written *b)
{
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->ids, b->ids, a->n * sizeof *a->ids);
    assert_int_equal(a->tokens, b->tokens);
    assert_int_equal(a->n_free, b->n_free);
    assert_int_equal(a->n_bytes, b->n_bytes);
    assert_memory_equal(a->bytes, b->bytes, a->n_bytes);
    assert_string_equal(a->finish, b->finish);
}

static struct written by_host, by_device;

/* Fed by the host, then by the device; returns how many steps did not wait. */
static uint64_t both(uint32_t seed, uint32_t n_prompt, const struct llm_generate_options *o)
{
    llm_session *s;
    model->scheduler.feed = FEED_BY_HOST;
    llm_generation *g = begin(seed, n_prompt, o, &s);
    take(g, s, &by_host);
    model->scheduler.feed = FEED_BY_DEVICE;
    const uint64_t before = model->scheduler.n_followed;
    g = begin(seed, n_prompt, o, &s);
    llm_generation_wait(g, -1);
    const uint64_t n = model->scheduler.n_followed - before;
    take(g, s, &by_device);
    assert_same(&by_host, &by_device);
    return n;
}

/* Prompts of every length round a page's end, and every number of tokens. */
static void alone(void **state)
{
    (void)state;
    uint64_t followed = 0, tokens = 0;
    for (uint32_t i = 0; i < 12; i++) {
        const struct llm_generate_options o = greedy(i < 6 ? i : MOST);
        const uint64_t n = both(i, 57 + i, &o);
        if (!strcmp(by_device.finish, "length")) assert_true(n == 0 || n < (uint64_t)o.max_tokens);
        followed += n;
        tokens += by_device.tokens;
    }
    if (followed < tokens / 2) fail_msg("%d of %d steps", (int)followed, (int)tokens);
}

/* Until the session is full. */
static void full(void **state)
{
    (void)state;
    const struct llm_generate_options o = greedy(-1);
    for (uint32_t i = 0; i < 3; i++) both(40 + i, PROMPT, &o);
}

static void stops(void **state)
{
    (void)state;
    struct llm_generate_options o = greedy(MOST);
    uint32_t n_stopped = 0;
    for (uint32_t i = 0; i < 8; i++) {
        o.n_stop = 0;
        both(20 + i, PROMPT, &o);
        if (by_host.n_bytes < 30) continue;
        static struct written whole;
        whole = by_host;
        const struct llm_text stop = {whole.bytes + 9 + i, 3};
        o.stop = &stop;
        o.n_stop = 1;
        both(20 + i, PROMPT, &o);
        n_stopped += by_device.n < whole.n;
        assert_string_equal(by_device.finish, "stop");
    }
    assert_true(n_stopped > 3);
}

static llm_status stop_at(void *user, const struct llm_piece *piece)
{
    (void)piece;
    return --*(int *)user > 0 ? LLM_OK : LLM_CANCELLED;
}

/* From a callback, in the middle of what was computed together. */
static void cancels(void **state)
{
    (void)state;
    for (int i = 1; i < 9; i++) {
        struct llm_generate_options o = greedy(MOST);
        int left[2] = {i, i};
        static struct written texts[2];
        for (int way = 0; way < 2; way++) {
            llm_session *s;
            o.on_piece = stop_at;
            o.on_piece_user = &left[way];
            model->scheduler.feed = way ? FEED_BY_DEVICE : FEED_BY_HOST;
            llm_generation *g = begin(60, PROMPT, &o, &s);
            take(g, s, &texts[way]);
        }
        model->scheduler.feed = FEED_BY_DEVICE;
        assert_same(&texts[0], &texts[1]);
        assert_string_equal(texts[0].finish, "cancelled");
    }
}

/* Together they say what each says alone; one that is sampled makes all wait for the host. */
static void together(void **state)
{
    (void)state;
    static struct written expected[SESSIONS], got;
    for (uint32_t sampled = 0; sampled <= SESSIONS; sampled += SESSIONS - 1) {
        llm_session *s[SESSIONS];
        llm_generation *g[SESSIONS];
        struct llm_generate_options o[SESSIONS];
        for (uint32_t i = 0; i < SESSIONS; i++) {
            o[i] = greedy(30 + 25 * i);
            if (i + 1 == sampled) o[i].temperature = o[i].has_seed = 1;
            model->scheduler.feed = FEED_BY_HOST;
            llm_generation *one = begin(80 + i, PROMPT, &o[i], &s[i]);
            take(one, s[i], &expected[i]);
            model->scheduler.feed = FEED_BY_DEVICE;
        }
        const uint64_t before = model->scheduler.n_followed;
        for (uint32_t i = 0; i < SESSIONS; i++) g[i] = begin(80 + i, PROMPT, &o[i], &s[i]);
        for (uint32_t i = 0; i < SESSIONS; i++) {
            take(g[i], s[i], &got);
            assert_int_equal(got.n, expected[i].n);
            assert_memory_equal(got.ids, expected[i].ids, got.n * sizeof *got.ids);
        }
        if (!sampled) assert_true(model->scheduler.n_followed > before + 20);
    }
}

/* A host that stays awake till the end of a slice, as it does beside a GPU. */
static void awake(void **state)
{
    (void)state;
    struct llm_generate_options o = greedy(60);
    model->scheduler.stays_awake = true;
    both(90, PROMPT, &o);
    o.temperature = o.has_seed = 1;
    both(91, PROMPT, &o);
    model->scheduler.stays_awake = false;
}

/* A frame of a game finds several tokens, where the device is as fast as is made believe here. */
static void frames(void **state)
{
    (void)state;
    const struct llm_generate_options o = greedy(MOST);
    llm_session *s;
    llm_generation *g = begin(1, PROMPT, &o, &s);
    uint32_t most = 0;
    model->scheduler.feed = FEED_BY_SPEED;
    model->forward.layers[0].segment_seconds = 1e-5;
    for (uint32_t before = 0; g->running; before = g->n_tokens) {
        llm_update(root, 0);
        if (g->n_tokens - before > most) most = g->n_tokens - before;
        model_wait_idle(model);
    }
    model->scheduler.feed = FEED_BY_DEVICE;
    assert_in_range(most, 2, SCHEDULER_STEPS);
    static struct written text;
    take(g, s, &text);
}

/* A session that is closed, or the model with all, while steps are in flight. */
static void leaves(void **state)
{
    (void)state;
    const struct llm_generate_options o = greedy(MOST);
    for (uint32_t i = 0; i < 10; i++) {
        llm_session *s;
        llm_generation *g = begin(i, PROMPT, &o, &s);
        while (g->running && g->n_tokens < i) llm_update(root, 0);
        llm_session_close(s);
        llm_generation_free(g);
        llm_session_free(s);
    }
    assert_int_equal(model->pool.n_free, model->pool.n_pages);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(alone),    cmocka_unit_test(full),
                                       cmocka_unit_test(stops),    cmocka_unit_test(cancels),
                                       cmocka_unit_test(together), cmocka_unit_test(frames),
                                       cmocka_unit_test(leaves),   cmocka_unit_test(awake)};
    return cmocka_run_group_tests(tests, open_model, close_model);
}

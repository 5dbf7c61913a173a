#include "fixture.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>

llm *root;
struct llm_error error = {.size = sizeof error};

/* For AddressSanitizer: drivers leak; what we take is counted below. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

static atomic_llong bytes;

static void *counting_realloc(void *user, void *ptr, size_t old_size, size_t new_size)
{
    (void)user;
    if (new_size == 0) {
        bytes -= (long long)old_size;
        free(ptr);
        return NULL;
    }
    void *grown = realloc(ptr, new_size);
    if (grown) bytes += (long long)new_size - (long long)old_size;
    return grown;
}

long long bytes_taken(void)
{
    return bytes;
}

int fixture_open(void **state)
{
    (void)state;
    struct llm_options o;
    llm_options_defaults(&o, sizeof o);
    o.realloc = counting_realloc;
    return llm_create(&root, &o, &error) == LLM_OK ? 0 : -1;
}

int fixture_close(void **state)
{
    (void)state;
    llm_free(root);
    root = NULL;
    if (bytes) print_error("%lld bytes not given back\n", bytes_taken());
    return bytes ? -1 : 0;
}

struct memory_file small_file;

int fixture_open_small(void **state)
{
    small_file.data = model_make(&model_shape_small, &small_file.size);
    return fixture_open(state);
}

int fixture_close_small(void **state)
{
    free(small_file.data);
    return fixture_close(state);
}

static int64_t read_memory(void *user, uint64_t offset, void *dst, size_t n)
{
    const struct memory_file *f = user;
    if (offset > f->size) return -1;
    if (n > f->size - offset) n = (size_t)(f->size - offset);
    if (n) memcpy(dst, f->data + offset, n);
    return (int64_t)n;
}

void load_defaults(struct llm_load_options *o)
{
    llm_load_defaults(o, sizeof *o);
    o->cache = "";
    const char *device = getenv("LLM_TEST_DEVICE");
    if (!device || !*device) return;
    char *end;
    long index = strtol(device, &end, 10);
    if (*end == 0) o->device = (int32_t)index;
    else o->device_name = device;
}

llm_status load(struct memory_file *file, const struct llm_load_options *o, llm_model **out)
{
    struct llm_load_options copy = *o;
    copy.read = read_memory;
    copy.read_user = file;
    if (!copy.read_size) copy.read_size = file->size;
    copy.read_any_thread = 1;
    error.message[0] = 0;
    return llm_load(root, "memory", &copy, out, &error);
}

llm_model *load_shape(const struct model_shape *shape, const struct llm_load_options *o,
                      struct memory_file *file)
{
    file->data = model_make(shape, &file->size);
    llm_model *model;
    OK(load(file, o, &model));
    return model;
}

llm_model *open_limited(struct memory_file *file, uint32_t context, uint64_t kv_tokens)
{
    struct llm_load_options o;
    load_defaults(&o);
    o.context = context;
    o.kv_tokens = kv_tokens;
    llm_model *model;
    OK(load(file, &o, &model));
    return model;
}

void assert_said(llm_status status, llm_status expected, const char *what, const char *a,
                 const char *b)
{
    if (status != expected)
        fail_msg("%s: %s, expected %s (%s)", what, llm_status_name(status),
                 llm_status_name(expected), error.message);
    if ((a && !strstr(error.message, a)) || (b && !strstr(error.message, b)))
        fail_msg("%s: \"%s\" does not say \"%s\" and \"%s\"", what, error.message, a ? a : "",
                 b ? b : "");
}

struct memory_file read_file(const char *path)
{
    struct memory_file f = {NULL, 0};
    FILE *in = fopen(path, "rb");
    if (!in) fail_msg("cannot open %s", path);
    fseek(in, 0, SEEK_END);
    f.size = (size_t)ftell(in);
    rewind(in);
    f.data = malloc(f.size);
    assert_non_null(f.data);
    assert_int_equal(fread(f.data, 1, f.size, in), f.size);
    fclose(in);
    return f;
}

/* xorshift32 (Marsaglia 2003) */
void random_ids(int32_t *ids, size_t n, uint32_t vocab, uint32_t seed)
{
    uint32_t x = seed * 2654435761u | 1;
    for (size_t i = 0; i < n; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        ids[i] = (int32_t)(x % vocab);
    }
}

llm_session *open_session(llm_model *model)
{
    llm_session *s;
    OK(llm_session_create(model, 0, &s, &error));
    return s;
}

struct llm_prompt ids_prompt(const int32_t *ids, size_t n)
{
    return (struct llm_prompt){.size = sizeof(struct llm_prompt), .ids = ids, .n_ids = n};
}

void feed(llm_session *s, const int32_t *ids, size_t n)
{
    const struct llm_prompt prompt = ids_prompt(ids, n);
    OK(llm_session_feed(s, &prompt, &error));
}

float *logits_of(llm_session *s, uint32_t vocab)
{
    float *logits = malloc(vocab * sizeof *logits);
    assert_non_null(logits);
    OK(llm_session_logits(s, logits, &error));
    return logits;
}

void assert_same_bits(const float *a, const float *b, uint32_t n, const char *what, long number)
{
    for (uint32_t i = 0; i < n; i++) {
        if (memcmp(a + i, b + i, sizeof *a) == 0) continue;
        fail_msg("%s %ld: logit %u is %.9g, expected %.9g", what, number, i, (double)a[i],
                 (double)b[i]);
    }
}

void assert_computed(llm_model *model, llm_session *s, uint32_t vocab)
{
    size_t n;
    const int32_t *ids = llm_session_tokens(s, &n);
    llm_session *again = open_session(model);
    feed(again, ids, n);
    float *logits = logits_of(s, vocab), *expected = logits_of(again, vocab);
    assert_same_bits(logits, expected, vocab, "after", (long)n);
    free(logits);
    free(expected);
    llm_session_free(again);
}

double divergence(const double *reference, const float *logits, uint32_t n)
{
    double most = reference[0], most_ours = (double)logits[0], sum = 0, sum_ours = 0, total = 0;
    for (uint32_t i = 1; i < n; i++) {
        most = fmax(most, reference[i]);
        most_ours = fmax(most_ours, (double)logits[i]);
    }
    for (uint32_t i = 0; i < n; i++) {
        sum += exp(reference[i] - most);
        sum_ours += exp((double)logits[i] - most_ours);
    }
    for (uint32_t i = 0; i < n; i++) {
        double log_p = reference[i] - most - log(sum);
        double log_q = (double)logits[i] - most_ours - log(sum_ours);
        total += exp(log_p) * (log_p - log_q);
    }
    return total;
}

int32_t best_of(const float *logits, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++) {
        if (logits[i] > logits[best]) best = i;
    }
    return (int32_t)best;
}

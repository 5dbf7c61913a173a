/* kernel_profile - what each kernel of a step takes, by timestamps, against what the device can do.
 * Prints one JSON object; report.lua makes a table of it.
 *
 *   kernel_profile FILE.gguf [--rows 1] [--depth 0] [--precision fast|high] [--kv
 * f16|f32|q8_0|q4_0]
 *                  [--device INDEX or NAME]
 *
 * Up to 16 rows are sequences of their own, at the given depth; more are a prompt of one sequence
 * from there on. The cache holds constants, so that a depth costs nothing to reach. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "gpu_error.h"
#include "layer.h"
#include "model.h"
#include "peaks.h"
#include "repack.h"

enum { WARMUPS = 2, MOST_RUNS = 9, MOST_GROUPS = 32, MOST_MATRICES = 8 };
static const double enough_seconds = 10;

struct work {
    const char *what;
    double bytes, flops;
};

/* Dispatches of one kernel for one purpose in all layers. */
struct group {
    const char *what, *kernel;
    uint32_t calls; /* in one step */
    double bytes, flops, seconds[MOST_RUNS];
};

struct profile {
    struct forward f;
    uint32_t rows, sequences, depth, bucket, output_bucket, n_runs, n_groups;
    double steps[MOST_RUNS]; /* seconds */
    struct group groups[MOST_GROUPS];
    struct peaks peaks;
};

/* ---- what a dispatch has to do, at least ---- */

static struct work matrix_work(const char *what, const struct weight *w, uint32_t n_matrices,
                               uint32_t rows)
{
    double weights = (double)w->rows * w->cols * n_matrices;
    return (struct work){
        .what = what,
        .bytes = (double)repack_size(w->type, w->rows, w->cols) * n_matrices +
                 4.0 * rows * ((double)w->cols + w->rows),
        .flops = 2 * weights * rows,
    };
}

static uint32_t matrices_after(const struct layer_weights *w, uint32_t rows, struct work *out)
{
    out[0] = matrix_work("o", &w->o, 1, rows);
    out[1] = matrix_work("gate, up", &w->gate, 2, rows);
    out[2] = matrix_work("down", &w->down, 1, rows);
    return 3;
}

static uint32_t matrices_before(const struct layer_weights *w, uint32_t rows, struct work *out)
{
    for (uint32_t i = 0; i < w->n_qkv; i++) out[i] = matrix_work("q, k, v", &w->qkv[i], 1, rows);
    return w->n_qkv;
}

/* Of the products that a segment has a dispatch for. With a tail, which has those after attention
 * and those before the next one, this is only what no tail has before the layer's attention. */
static uint32_t matrices_of_layer(const struct forward *f, uint32_t l, uint32_t rows,
                                  struct work *out)
{
    const struct layer_weights *w = &f->weights->layers[l];
    const bool before = l == 0 || !layer_has_tail(f, l - 1, rows);
    const uint32_t n = before ? matrices_before(w, rows, out) : 0;
    return layer_has_tail(f, l, rows) ? n : n + matrices_after(w, rows, out + n);
}

static struct work tail_work(const struct forward *f, uint32_t l)
{
    const struct layer_weights *w = &f->weights->layers[l];
    struct work parts[MOST_MATRICES], all = {"o to q, k, v", 0, 0};
    uint32_t n = matrices_after(w, 1, parts);
    if (l + 1 < f->h.n_layers) n += matrices_before(w + 1, 1, parts + n);
    for (uint32_t i = 0; i < n; i++) {
        all.bytes += parts[i].bytes;
        all.flops += parts[i].flops;
    }
    return all;
}

/* K and V of a sequence are read once, whatever the number of its rows. */
static struct work attention_work(const struct profile *p)
{
    const struct attention_shape shape = forward_shape(&p->f, 0), *s = &shape;
    double per_sequence = (double)p->rows / p->sequences;
    double positions = p->depth + per_sequence, mean = p->depth + (per_sequence + 1) / 2;
    double q = (double)s->n_heads * s->head_dim, out = (double)s->n_heads * s->v_dim;
    double page = (double)(ops_k_page_size(s) + ops_v_page_size(s));
    return (struct work){
        .what = "attention",
        .bytes = p->sequences * page / KV_PAGE * positions + 4 * (q + out) * p->rows,
        .flops = 2 * (q + out) * mean * p->rows,
    };
}

static struct work small_work(const struct profile *p, const char *kernel)
{
    const struct attention_shape shape = forward_shape(&p->f, 0), *s = &shape;
    const struct hparams *h = &p->f.h;
    double rows = p->rows, dim = h->dim, heads = (double)s->n_heads * s->v_dim;
    const struct {
        const char *kernel;
        struct work work;
    } known[] = {
        {"embed", {"embed", 4 * dim * rows, 0}},
        {"norm", {"norm", 8 * dim * rows, 4 * dim * rows}},
        {"rope_store", {"rope, store", 8.0 * s->stride * rows, 3.0 * s->stride * rows}},
        {"merge", {"merge", 4 * heads * rows * (2 + p->depth / ATTENTION_GROUP), 0}},
        {"attention", attention_work(p)},
        {"attend", attention_work(p)},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strncmp(kernel, known[i].kernel, strlen(known[i].kernel)) == 0) return known[i].work;
    return (struct work){kernel, 0, 0};
}

/* ---- times ---- */

static bool is_matrix(const char *kernel)
{
    return strncmp(kernel, "mat", 3) == 0;
}

static struct group *group_of(struct profile *p, const char *what, const char *kernel)
{
    for (uint32_t i = 0; i < p->n_groups; i++)
        if (strcmp(p->groups[i].what, what) == 0 && strcmp(p->groups[i].kernel, kernel) == 0)
            return &p->groups[i];
    if (p->n_groups == MOST_GROUPS) return &p->groups[MOST_GROUPS - 1];
    p->groups[p->n_groups] = (struct group){.what = what, .kernel = kernel};
    return &p->groups[p->n_groups++];
}

/* The segment's matrices come in the order of the list. Where there are more dispatches (one for
 * each binding) or fewer (fused ones), the work is shared out among them under one name. */
static void read_times(struct profile *p, struct gpu_commands *c, const struct work *matrices,
                       uint32_t n_matrices, const struct work *tail)
{
    uint32_t n = gpu_commands_count(c), n_dispatches = 0, next = 0;
    struct work all = {n_matrices == 1 ? matrices[0].what : "matrices", 0, 0};
    double nanoseconds;
    for (uint32_t i = 0; i < n; i++)
        n_dispatches += is_matrix(gpu_commands_time(c, i, &nanoseconds));
    for (uint32_t i = 0; i < n_matrices && n_dispatches; i++) {
        all.bytes += matrices[i].bytes / n_dispatches;
        all.flops += matrices[i].flops / n_dispatches;
    }
    for (uint32_t i = 0; i < n; i++) {
        const char *kernel = gpu_commands_time(c, i, &nanoseconds);
        struct work work = strncmp(kernel, "tail", 4) == 0 ? *tail
                           : !is_matrix(kernel)            ? small_work(p, kernel)
                           : n_dispatches == n_matrices    ? matrices[next++]
                                                           : all;
        struct group *g = group_of(p, work.what, kernel);
        g->seconds[p->n_runs] += nanoseconds * 1e-9;
        if (p->n_runs) continue;
        g->calls++;
        g->bytes += work.bytes;
        g->flops += work.flops;
    }
}

static void read_step(struct profile *p)
{
    const struct plan *layers = &p->f.layers[p->bucket], *head = &p->f.heads[p->output_bucket];
    struct work matrices[MOST_MATRICES];
    for (uint32_t l = 0; l < layers->n_segments; l++) {
        const uint32_t n = matrices_of_layer(&p->f, l, p->rows, matrices);
        const struct work tail = tail_work(&p->f, l);
        read_times(p, layers->segments[l], matrices, n, &tail);
    }
    matrices[0] = matrix_work("output", &p->f.weights->output, 1, p->sequences);
    for (uint32_t i = 0; i < head->n_segments; i++)
        read_times(p, head->segments[i], matrices, 1, NULL);
}

/* ---- steps ---- */

static llm_status fill_cache(struct profile *p, struct llm_error *error)
{
    const uint32_t ones = 0x3c003c00; /* in f16; small numbers in f32 */
    struct gpu_commands *c;
    double seconds;
    TRY_GPU(gpu_commands_create(p->f.gpu, &c, 0, &gpu_error_), error);
    for (uint32_t l = 0; l < p->f.h.n_layers; l++)
        gpu_commands_fill(c, &p->f.kv[l].buffer, 0, p->f.kv[l].buffer.size / 4 * 4, ones);
    struct gpu_error gpu_error = {{0}};
    enum gpu_status status = gpu_commands_end(c, &gpu_error);
    if (status == GPU_OK) status = peaks_run(p->f.gpu, &c, 1, &seconds, &gpu_error);
    gpu_commands_free(p->f.gpu, c);
    return gpu_failed(status, &gpu_error, error);
}

static uint32_t pages_of(uint32_t positions)
{
    return (positions + KV_PAGE - 1) / KV_PAGE;
}

static void write_step(struct profile *p)
{
    uint32_t of_sequence = p->rows / p->sequences, n_pages = pages_of(p->depth + of_sequence);
    uint32_t outputs[FORWARD_MAX_OUTPUTS], pages[4096];
    forward_begin(&p->f, p->bucket, 0);
    for (uint32_t s = 0; s < p->sequences; s++) {
        for (uint32_t i = 0; i < n_pages; i++) pages[i] = s * n_pages + i;
        forward_set_table(&p->f, s * n_pages,
                          &(struct kv_sequence){.pages = pages, .n_pages = n_pages});
        for (uint32_t i = 0; i < of_sequence; i++)
            forward_set_row(&p->f, s * of_sequence + i, (s * 7919 + i * 31) % p->f.h.vocab,
                            p->depth + i, s * n_pages, p->depth + i);
        outputs[s] = (s + 1) * of_sequence - 1;
    }
    forward_set_outputs(&p->f, outputs, p->sequences, p->output_bucket);
    forward_end(&p->f, p->bucket);
}

static llm_status run_steps(struct profile *p, struct llm_error *error)
{
    const struct plan *layers = &p->f.layers[p->bucket], *head = &p->f.heads[p->output_bucket];
    uint32_t n = layers->n_segments;
    struct gpu_commands **list = calloc(n + 1, sizeof *list);
    if (!list) return error_memory(error, "a step", (n + 1) * sizeof *list);
    memcpy(list, layers->segments, n * sizeof *list);
    list[n++] = head->segments[0];
    struct gpu_error gpu_error = {{0}};
    enum gpu_status status = GPU_OK;
    double spent = 0;
    for (int i = 0; i < WARMUPS + MOST_RUNS && status == GPU_OK; i++) {
        if (p->n_runs && spent > enough_seconds) break;
        double seconds = 0;
        status = peaks_run(p->f.gpu, list, n, &seconds, &gpu_error);
        spent += seconds;
        if (i < WARMUPS || status != GPU_OK) continue;
        read_step(p);
        p->steps[p->n_runs++] = seconds;
    }
    free(list);
    return gpu_failed(status, &gpu_error, error);
}

static llm_status profile_model(struct profile *p, llm_model *m, const struct llm_load_options *o,
                                struct llm_error *error)
{
    struct gpu_device *gpu = m->device->gpu;
    TRY_GPU(peaks_measure(gpu, &p->peaks, &gpu_error_), error);
    if (forward_take(&m->forward, p->rows, &p->bucket) != p->rows)
        return error_set(error, LLM_BAD_ARGUMENT, "no plan has %" PRIu32 " rows", p->rows);
    p->sequences = p->rows <= FORWARD_MAX_OUTPUTS ? p->rows : 1;
    uint32_t n_pages = p->sequences * pages_of(p->depth + p->rows / p->sequences);
    uint32_t usual = m->blueprint.h.context < 4096 ? m->blueprint.h.context : 4096;
    struct forward_config c = {
        .context = p->depth + p->rows > usual ? p->depth + p->rows : usual,
        .n_pages = n_pages,
        .kv = o->kv,
        .binding_size = gpu_device_info(gpu)->binding_size,
        .high = o->precision == LLM_PRECISION_HIGH,
        .profile = true,
    };
    TRY(forward_open(&p->f, m->device->kernels, &m->blueprint.h, &m->weights, &c, &alloc_libc,
                     error));
    p->output_bucket = forward_output_bucket(p->sequences);
    TRY(forward_record_plan(&p->f, p->bucket, error));
    TRY(forward_record_plan(&p->f, p->output_bucket, error));
    TRY(fill_cache(p, error));
    write_step(p);
    return run_steps(p, error);
}

/* ---- the report ---- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const double *values, uint32_t n)
{
    double sorted[MOST_RUNS];
    memcpy(sorted, values, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_value);
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

static void print_json(const struct profile *p)
{
    double total = 0;
    for (uint32_t i = 0; i < p->n_groups; i++) total += median(p->groups[i].seconds, p->n_runs);
    printf("{\"rows\":%" PRIu32 ",\"depth\":%" PRIu32 ",\"steps\":%" PRIu32
           ",\"step_ms\":%.4f,\"kernels_ms\":%.4f,"
           "\"read_gbs\":%.3f,\"peak_gflops\":%.3f,\"kernels\":[",
           p->rows, p->depth, p->n_runs, median(p->steps, p->n_runs) * 1e3, total * 1e3,
           p->peaks.read * 1e-9, p->peaks.compute * 1e-9);
    for (uint32_t i = 0; i < p->n_groups; i++) {
        const struct group *g = &p->groups[i];
        double seconds = median(g->seconds, p->n_runs), each = seconds > 0 ? 1e-9 / seconds : 0;
        printf("%s{\"what\":\"%s\",\"kernel\":\"%s\",\"calls\":%" PRIu32
               ",\"us\":%.3f,\"share\":%.4f,\"bytes\":%.0f,"
               "\"flops\":%.0f,\"gbs\":%.3f,\"gflops\":%.3f}",
               i ? "," : "", g->what, g->kernel, g->calls, seconds * 1e6 / g->calls,
               total > 0 ? seconds / total : 0, g->bytes, g->flops, g->bytes * each,
               g->flops * each);
    }
    printf("]}\n");
}

static void read_device(const char *value, struct llm_load_options *o)
{
    char *end;
    long index = strtol(value, &end, 10);
    if (*value && !*end) o->device = (int32_t)index - 1; /* as in Lua, from 1 */
    else if (*value) o->device_name = value;
}

static bool read_kv(const char *value, uint32_t *kv)
{
    static const char *const names[] = {"f16", "f32", "q8_0",
                                        "q4_0"}; /* in the order of LLM_KV_... */
    *kv = 0;
    while (*kv <= LLM_KV_Q4_0 && strcmp(value, names[*kv]) != 0) ++*kv;
    return *kv <= LLM_KV_Q4_0;
}

static bool read_option(const char *name, const char *value, struct profile *p,
                        struct llm_load_options *o)
{
    bool known = true;
    if (strcmp(name, "--rows") == 0) p->rows = (uint32_t)strtoul(value, NULL, 10);
    else if (strcmp(name, "--depth") == 0) p->depth = (uint32_t)strtoul(value, NULL, 10);
    else if (strcmp(name, "--precision") == 0) o->precision = strcmp(value, "high") == 0;
    else if (strcmp(name, "--kv") == 0) known = read_kv(value, &o->kv);
    else if (strcmp(name, "--device") == 0) read_device(value, o);
    else known = false;
    return known;
}

int main(int argc, char **argv)
{
    struct llm_error error = {.size = sizeof error};
    struct llm_load_options options;
    static struct profile profile = {.rows = 1};
    llm *root = NULL;
    llm_model *model = NULL;
    bool ok = argc >= 2 && argc % 2 == 0;
    llm_load_defaults(&options, sizeof options);
    options.context = 256; /* the plans that are measured have a cache of their own */
    options.kv_tokens = 256;
    for (int i = 2; i + 1 < argc && ok; i += 2)
        ok = read_option(argv[i], argv[i + 1], &profile, &options);
    if (!ok || profile.rows == 0 || profile.depth > 100000) {
        fputs("usage: kernel_profile FILE.gguf [--rows N] [--depth N] [--precision fast|high]\n"
              "                      [--kv f16|f32|q8_0|q4_0] [--device INDEX or NAME]\n",
              stderr);
        return 2;
    }
    llm_status status = llm_create(&root, NULL, &error);
    if (status == LLM_OK) status = llm_load(root, argv[1], &options, &model, &error);
    if (status == LLM_OK) status = profile_model(&profile, model, &options, &error);
    if (status == LLM_OK) print_json(&profile);
    else fprintf(stderr, "%s: %s\n", argv[1], error.message);
    forward_free(&profile.f);
    llm_model_free(model);
    llm_free(root);
    return status != LLM_OK;
}

#include "model.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "blob.h"
#include "check.h"
#include "error.h"
#include "generation.h"
#include "kernels.h"
#include "leave.h"
#include "prepare.h"
#include "split.h"
#include "task.h"

/* ---- loading, on the worker ---- */

/* A mapped header is a view; one behind a read function is read in growing pieces until it is
 * whole. */
static llm_status read_header(llm_model *m, struct llm_error *error)
{
    const struct alloc *a = &m->root->alloc;
    const struct source *s = &m->source;
    if (!s->read) {
        const struct os_map *map = &s->maps[0];
        return gguf_parse(&m->gguf, map->data, (size_t)map->size, map->size, a, error);
    }
    size_t n = 1 << 18;
    for (;;) {
        if (n > s->size) n = (size_t)s->size;
        uint8_t *grown = a->realloc(a->user, m->header, m->header_size, n);
        if (!grown && n) return error_memory(error, "the header", n);
        m->header = grown;
        size_t had = m->header_size;
        m->header_size = n;
        if (n > had && !source_bytes(s, had, n - had, m->header + had, error)) return LLM_IO;
        llm_status status = gguf_parse(&m->gguf, m->header, n, s->size, a, error);
        if (status != LLM_RUNNING) return status;
        gguf_free(&m->gguf);
        n *= 2;
    }
}

/* Of everything but the weights' values. */
static void take_fingerprint(llm_model *m)
{
    struct blob_sum sum;
    const struct os_map *map = m->source.maps;
    uint64_t known = map ? map->size : m->header_size, n = m->gguf.data_offset;
    blob_sum_start(&sum);
    blob_sum_add(&sum, map ? map->data : m->header, (size_t)(n < known ? n : known));
    blob_sum_add(&sum, &m->source.size, sizeof m->source.size);
    m->fingerprint = blob_sum_end(&sum);
}

struct plan_of_memory {
    uint64_t weights, scratch, page, available;
    uint32_t n_host_layers, n_pages;
};

static uint64_t pages_of(uint64_t tokens)
{
    return tokens / KV_PAGE + (tokens % KV_PAGE != 0);
}

/* Sizes before anything is taken, so that failing comes with the numbers. */
static llm_status plan_memory(llm_model *m, const struct llm_load_options *o,
                              const struct forward_config *c, struct plan_of_memory *p,
                              struct llm_error *error)
{
    const struct hparams *h = &m->blueprint.h;
    const struct gpu_device *gpu = m->device->gpu;
    const struct gpu_info *info = gpu_device_info(gpu);
    const double MB = 1e6;
    uint64_t largest;
    p->n_host_layers = 0;
    if (o->gpu_layers >= 0 && (uint32_t)o->gpu_layers < h->n_layers)
        p->n_host_layers = h->n_layers - (uint32_t)o->gpu_layers;
    p->weights = weights_size(&m->blueprint, gpu, p->n_host_layers);
    p->scratch = forward_scratch_size(h, c);
    p->page = forward_page_size(h, c->kv, &largest);
    p->available = o->memory ? o->memory : info->available;
    uint64_t least = p->page * pages_of(c->context), taken = p->weights + p->scratch;
    while (!info->unified && o->gpu_layers < 0 && p->n_host_layers < h->n_layers &&
           taken + least > p->available) {
        p->weights = weights_size(&m->blueprint, gpu, ++p->n_host_layers);
        taken = p->weights + p->scratch;
    }
    uint64_t room = taken < p->available ? (p->available - taken) / p->page : 0;
    uint64_t wanted = o->kv_tokens ? pages_of(o->kv_tokens) : 4 * pages_of(c->context);
    uint64_t binding = info->binding_size / largest; /* a layer's K pages are one binding */
    uint64_t floor = o->kv_tokens ? wanted : pages_of(c->context);
    if (floor > binding)
        return error_set(
            error, LLM_OUT_OF_MEMORY,
            "%s of %" PRIu64 " tokens needs a larger cache than the device can bind (%" PRIu64
            " tokens, %" PRIu64 " bytes a layer); use a smaller one or kv = \"f16\"",
            o->kv_tokens ? "kv_tokens" : "a context", o->kv_tokens ? o->kv_tokens : c->context,
            binding * KV_PAGE, info->binding_size);
    if (wanted > binding) wanted = binding;
    if (floor > room)
        return error_set(error, LLM_OUT_OF_MEMORY,
                         "the model needs %.0f MB on the device (weights %.0f, KV cache %.0f, "
                         "scratch %.0f), but %.0f MB are %s; a smaller "
                         "context, kv_tokens or model would fit",
                         (double)(taken + floor * p->page) / MB, (double)p->weights / MB,
                         (double)(floor * p->page) / MB, (double)p->scratch / MB,
                         (double)p->available / MB, o->memory ? "allowed" : "available");
    p->n_pages = (uint32_t)(wanted < room ? wanted : room);
    return LLM_OK;
}

struct weights_progress {
    struct load *ld;
    double from, to;
};

static llm_status weights_advanced(void *user, double fraction, struct llm_error *error)
{
    const struct weights_progress *p = user;
    return load_progress(p->ld, p->from + (p->to - p->from) * fraction, error);
}

/* A step of an encoder computes a whole text at once. */
static llm_status choose_context(llm_model *m, const struct llm_load_options *o,
                                 struct llm_error *error)
{
    const struct hparams *h = &m->blueprint.h;
    uint32_t most = h->encoder ? FORWARD_MAX_TEXT : 4096;
    m->context = o->context ? o->context : h->context < most ? h->context : most;
    if (m->blueprint.tensors[SLOT_POSITION_EMBD] && m->context > h->context)
        return error_set(error, LLM_BAD_ARGUMENT,
                         "a context of %" PRIu32 " tokens, but the model has learned %" PRIu32
                         " positions",
                         m->context, h->context);
    if (h->encoder && m->context > FORWARD_MAX_TEXT)
        return error_set(error, LLM_BAD_ARGUMENT,
                         "a context of %" PRIu32
                         " tokens, but an encoder takes texts of %d tokens at most",
                         m->context, FORWARD_MAX_TEXT);
    return LLM_OK;
}

static void note_kernels(llm_model *m, const struct kernel_counts *before)
{
    struct llm_model_info *i = &m->info;
    const struct kernel_counts now = kernels_count(m->device->kernels);
    i->pipelines_made = now.made - before->made;
    i->pipelines_reported = now.reported - before->reported;
    i->pipelines_cached = now.cached - before->cached;
    i->pipelines_seconds = now.seconds - before->seconds;
    root_log(
        m->root, LLM_LOG_DEBUG,
        "%" PRIu32 " pipelines made in %.0f ms, all threads' together; the driver found %" PRIu32
        " of %" PRIu32 " in its cache",
        i->pipelines_made, i->pipelines_seconds * 1e3, i->pipelines_cached, i->pipelines_reported);
}

/* The kernels that the plans want, made, checked and recorded. */
static llm_status make_plans(llm_model *m, struct load *ld, struct llm_error *error)
{
    const struct kernel_counts before = kernels_count(m->device->kernels);
    TRY(prepare_kernels(&m->forward, error));
    TRY(load_progress(ld, 0.93, error));
    TRY(check_forward(&m->forward, error));
    TRY(forward_record(&m->forward, error));
    note_kernels(m, &before);
    return load_progress(ld, 0.96, error);
}

/* Of f16 the cache holds eight together; heads that these do not divide (OpenLLaMA 3B has 100
 * dimensions) are kept in f32. */
static uint32_t choose_kv(const struct hparams *h, uint32_t kv)
{
    for (uint32_t l = 0; l < h->n_layers && kv == LLM_KV_F16; l++) {
        const struct head_sizes s = arch_heads(h, l);
        if (s.head_dim % 8 || s.v_dim % 8) kv = LLM_KV_F32;
    }
    return kv;
}

static llm_status load_onto_device(llm_model *m, struct load *ld, struct llm_error *error)
{
    const struct llm_load_options *o = &ld->options;
    const struct alloc *a = &m->root->alloc;
    struct hparams *h = &m->blueprint.h;
    TRY(device_open(m->root, o, &m->device, error));
    TRY(choose_context(m, o, error));
    arch_choose_rope(&m->blueprint, m->context);
    struct forward_config c = {.context = m->context,
                               .kv = choose_kv(h, o->kv),
                               .binding_size = gpu_device_info(m->device->gpu)->binding_size,
                               .high = o->precision == LLM_PRECISION_HIGH,
                               .deterministic = o->deterministic != 0};
    struct plan_of_memory p = {0};
    TRY(forward_check(h, &c, error));
    TRY(plan_memory(m, o, &c, &p, error));
    c.n_pages = p.n_pages;
    TRY(kv_pool_open(&m->pool, c.n_pages, a, error));

    struct weights_progress progress = {ld, 0.02, 0.9};
    TRY(weights_load(&m->weights, &m->blueprint, &m->source, m->device->gpu, p.n_host_layers,
                     weights_advanced, &progress, a, error));
    h->ropes[0].factors = m->weights.rope_factors;
    for (uint32_t i = 0; i < h->n_ropes; i++) TRY(rope_open(&h->ropes[i], a, error));
    TRY(forward_open(&m->forward, m->device->kernels, h, &m->weights, &c, a, error));
    TRY(load_progress(ld, 0.92, error));
    TRY(make_plans(m, ld, error));
    TRY(forward_warm(&m->forward, error));
    leave_watch(m->root);
    TRY(load_progress(ld, 0.98, error));
    TRY(scheduler_open(&m->scheduler, &m->forward, &m->pool, a, error));
    device_save_cache(m->device);

    m->info.has_device = 1;
    m->info.memory_weights = p.weights;
    m->info.memory_kv = p.page * p.n_pages;
    m->info.memory_kv_per_token = p.page / KV_PAGE;
    m->info.memory_scratch = p.scratch;
    m->info.device.size = sizeof m->info.device;
    device_info_fill(NULL, gpu_device_info(m->device->gpu), m->device->index, &m->info.device);
    return LLM_OK;
}

static llm_status load_parts(llm_model *m, struct load *ld, struct llm_error *error)
{
    TRY(read_header(m, error));
    TRY(split_open(&m->source, &m->gguf, ld->path, &m->root->alloc, error));
    take_fingerprint(m);
    TRY(load_progress(ld, 0.01, error));
    TRY(tokenizer_create(&m->tokenizer, &m->gguf, &m->root->alloc, error));
    if (!ld->options.vocab_only)
        TRY(arch_read(&m->blueprint, &m->gguf, tokenizer_info(m->tokenizer)->n_tokens,
                      &m->root->alloc, error));
    TRY(model_fill_info(m, error));
    return ld->options.vocab_only ? LLM_OK : load_onto_device(m, ld, error);
}

llm_status model_load(struct load *ld, struct source *source, llm_model **out,
                      struct llm_error *error)
{
    llm *root = ld->job.root;
    llm_model *m = alloc_zero(&root->alloc, 1, sizeof *m);
    if (!m) {
        source_close(source);
        return error_memory(error, "a model", sizeof *m);
    }
    m->root = root;
    m->references = 1;
    m->source = *source;
    *out = m; /* the pump frees it where loading fails: it owns the root's lists */
    return load_parts(m, ld, error);
}

void model_open(llm_model *m, struct load *ld)
{
    llm *root = m->root;
    struct llm_load_options *o = &ld->options;
    if (m->source.read) {
        /* From now on the pump's thread reads. */
        m->source.read = o->read;
        m->source.user = o->read_user;
        m->source.release = o->read_release;
        o->read_release = NULL;
    }
    root_retain(root);
    m->open = m->was_open = true;
    m->next = root->models;
    root->models = m;
}

/* ---- closing ---- */

/* Gives everything back but the handle. Also for a model that was never opened. */
static void give_back(llm_model *m)
{
    const struct alloc *a = &m->root->alloc;
    scheduler_free(&m->scheduler);
    forward_free(&m->forward);
    weights_free(&m->weights);
    kv_pool_free(&m->pool);
    device_release(m->device);
    m->device = NULL;
    tokenizer_free(m->tokenizer);
    m->tokenizer = NULL;
    for (int i = 0; i < ARCH_ROPES; i++) rope_free(&m->blueprint.h.ropes[i]);
    arch_free(&m->blueprint);
    gguf_free(&m->gguf);
    alloc_free(a, m->header, m->header_size);
    m->header = NULL;
    source_close(&m->source);
    m->source = (struct source){0};
}

void llm_model_close(llm_model *m)
{
    if (!m || !m->open) return;
    if (m->root->pumping) {
        m->close_wanted = m->root->close_wanted = true;
        return;
    }
    while (m->sessions) llm_session_close(m->sessions);
    m->open = false;
    llm_model **link = &m->root->models;
    while (*link != m) link = &(*link)->next;
    *link = m->next;
    give_back(m);
}

void model_close_sessions(llm_model *m)
{
    for (llm_session *s = m->sessions, *next; s; s = next) {
        next = s->next;
        if (!s->close_wanted) continue;
        bool unowned = s->unowned;
        llm_session_close(s);
        if (unowned) llm_session_free(s);
    }
}

int32_t llm_model_closed(const llm_model *m)
{
    return !m->open || m->close_wanted;
}

void llm_model_retain(llm_model *m)
{
    m->references++;
}

void llm_model_free(llm_model *m)
{
    if (!m) return;
    if (m->references == 1 && m->open && m->root->pumping) {
        m->unowned = true;
        llm_model_close(m);
        return;
    }
    if (--m->references) return;
    llm *root = m->root;
    bool opened = m->was_open;
    if (m->open) llm_model_close(m);
    else give_back(m);
    alloc_free(&root->alloc, m->texts, m->texts_size);
    alloc_free(&root->alloc, m, sizeof *m);
    if (opened) root_release(root);
}

/* ---- the pump ---- */

static void settle_all(llm_model *m)
{
    for (llm_session *s = m->sessions, *next; s; s = next) {
        next = s->next;
        if (s->current) generation_settle(s->current);
        if (s->task) task_settle(s->task);
    }
}

/* All steps that were in flight, at most. Between them a cancel counts, as it does between pumps.
 */
bool model_pump(llm_model *m)
{
    bool moved = false;
    if (!m->device) return false;
    for (int i = 0; i < SCHEDULER_STEPS; i++) {
        settle_all(m);
        moved |= scheduler_pump(&m->scheduler);
        if (!scheduler_has_outputs(&m->scheduler)) break;
    }
    if (m->scheduler.plan_was_new) leave_watch(m->root);
    m->scheduler.plan_was_new = false;
    return moved;
}

bool model_has_work(const llm_model *m)
{
    return m->device && scheduler_has_work(&m->scheduler);
}

double model_in_flight_since(const llm_model *m)
{
    const struct scheduler *s = &m->scheduler;
    return m->device && s->n_slices ? s->slices[0].submitted : (double)INFINITY;
}

void model_wait(llm_model *m, double seconds)
{
    scheduler_wait(&m->scheduler, seconds);
}

void model_wait_idle(const llm_model *m)
{
    const struct scheduler *s = &m->scheduler;
    for (uint32_t i = 0; m->device && i < s->n_slices; i++)
        gpu_wait(m->device->gpu, s->slices[i].ticket, 10000000000u, NULL);
}

llm_status model_check(const llm_model *m, struct llm_error *error)
{
    if (llm_model_closed(m)) return error_set(error, LLM_CLOSED, "the model is closed");
    if (m->device) return LLM_OK;
    return error_set(error, LLM_UNSUPPORTED,
                     "the model was loaded with vocab_only: it has no weights to run");
}

llm_status model_check_decoder(const llm_model *m, struct llm_error *error)
{
    TRY(model_check(m, error));
    if (!m->blueprint.h.encoder) return LLM_OK;
    return error_set(error, LLM_UNSUPPORTED, "%s is an encoder and writes no text: use embed",
                     m->info.architecture);
}

#include "load.h"

#include <string.h>

#include "model.h"

void llm_load_defaults(struct llm_load_options *o, size_t size)
{
    memset(o, 0, size);
    struct llm_load_options d = {.device = -1, .gpu_layers = -1};
    memcpy(o, &d, size < sizeof d ? size : sizeof d);
    o->size = (uint32_t)size;
}

static void load_free(llm_job *job)
{
    struct load *ld = (struct load *)job;
    const struct alloc *a = &job->root->alloc;
    if (ld->model) llm_model_free(ld->model);
    selftest_free(&ld->selftest);
    struct llm_load_options *o = &ld->options;
    if (o->progress_release) o->progress_release(o->progress_user);
    if (o->read_release) o->read_release(o->read_user); /* still ours: the model never took it */
    if (ld->path) alloc_free(a, ld->path, strlen(ld->path) + 1);
    if (ld->device_name) alloc_free(a, ld->device_name, strlen(ld->device_name) + 1);
    if (ld->cache) alloc_free(a, ld->cache, strlen(ld->cache) + 1);
    alloc_free(a, ld, sizeof *ld);
}

static void wake_worker(llm_job *job)
{
    os_lock(job->root->lock);
    os_lock_wake(job->root->lock);
    os_unlock(job->root->lock);
}

static void stop_load(llm_job *job)
{
    load_close((struct load *)job);
}

static const struct job_kind load_kind = {wake_worker, stop_load, load_free};

/* ---- the worker's side ---- */

llm_status load_progress(struct load *ld, double fraction, struct llm_error *error)
{
    atomic_store(&ld->job.fraction, (unsigned)(fraction * JOB_WHOLE));
    if (ld->options.progress) {
        os_lock(ld->job.root->lock);
        os_lock_wake(ld->job.root->lock);
        os_unlock(ld->job.root->lock);
    }
    if (!atomic_load(&ld->job.cancel)) return LLM_OK;
    return error_set(error, LLM_CANCELLED, "%s%s was cancelled",
                     ld->is_selftest ? "the self-test" : "the load of ",
                     ld->is_selftest ? "" : ld->path);
}

/* The host's read function may only run in the pump: post the wish, wait for the answer. */
static int64_t read_through_pump(void *user, uint64_t offset, void *dst, size_t n)
{
    struct load *ld = user;
    struct os_lock *lock = ld->job.root->lock;
    os_lock(lock);
    ld->read_offset = offset;
    ld->read_to = dst;
    ld->read_size = n;
    ld->read_done = false;
    ld->read_wanted = true;
    os_lock_wake(lock);
    while (!ld->read_done && !atomic_load(&ld->job.cancel)) os_lock_wait(lock, -1);
    ld->read_wanted = false;
    int64_t result = ld->read_done ? ld->read_result : -1;
    os_unlock(lock);
    return result;
}

static llm_status open_source(struct load *ld, struct source *s, struct llm_error *error)
{
    memset(s, 0, sizeof *s);
    const struct llm_load_options *o = &ld->options;
    if (!o->read) return source_add_file(s, ld->path, &ld->job.root->alloc, error);
    s->size = o->read_size;
    s->read = o->read_any_thread ? o->read : read_through_pump;
    s->user = o->read_any_thread ? o->read_user : ld;
    return LLM_OK;
}

static llm_status make_model(struct load *ld, struct llm_error *error)
{
    struct source source;
    llm_status status = open_source(ld, &source, error);
    if (status == LLM_OK) return model_load(ld, &source, &ld->model, error);
    source_close(&source);
    return status;
}

static llm_status selftest_advanced(void *user, double fraction, struct llm_error *error)
{
    return load_progress(user, fraction, error);
}

static llm_status make_selftest(struct load *ld, struct llm_error *error)
{
    struct device *device;
    TRY(device_open(ld->job.root, &ld->options, &device, error));
    llm_status status = selftest_run(&ld->selftest, device, selftest_advanced, ld, error);
    device_release(device);
    return status;
}

static void run(void *user)
{
    struct load *ld = user;
    llm_status status =
        ld->is_selftest ? make_selftest(ld, &ld->job.error) : make_model(ld, &ld->job.error);
    os_lock(ld->job.root->lock);
    ld->job.status = status;
    ld->finished = true;
    os_lock_wake(ld->job.root->lock);
    os_unlock(ld->job.root->lock);
}

/* ---- the pump's side ---- */

static bool serve_read(struct load *ld)
{
    struct os_lock *lock = ld->job.root->lock;
    os_lock(lock);
    bool wanted = ld->read_wanted && !ld->read_done;
    uint64_t offset = ld->read_offset;
    void *to = ld->read_to;
    size_t size = ld->read_size;
    os_unlock(lock);
    if (!wanted) return false;
    int64_t result = ld->options.read(ld->options.read_user, offset, to, size);
    os_lock(lock);
    ld->read_result = result;
    ld->read_done = true;
    os_lock_wake(lock);
    os_unlock(lock);
    return true;
}

static bool show_progress(struct load *ld, double fraction)
{
    if (!ld->options.progress || ld->callback_status != LLM_OK || fraction <= ld->shown)
        return false;
    ld->shown = fraction;
    ld->callback_status = ld->options.progress(ld->options.progress_user, fraction);
    if (ld->callback_status != LLM_OK) llm_job_cancel(&ld->job);
    return true;
}

static void unlink_load(struct load *ld)
{
    struct load **link = &ld->job.root->loads;
    while (*link && *link != ld) link = &(*link)->next;
    if (*link) *link = ld->next;
}

static void collect(struct load *ld)
{
    os_thread_join(ld->thread);
    ld->thread = NULL;
    unlink_load(ld);
    if (ld->job.status == LLM_OK) show_progress(ld, 1);
    if (ld->callback_status == LLM_CALLBACK)
        ld->job.status = error_set(&ld->job.error, LLM_CALLBACK,
                                   "the progress function failed while %s was loaded", ld->path);
    else if (ld->callback_status != LLM_OK)
        ld->job.status =
            error_set(&ld->job.error, LLM_CANCELLED,
                      "the load of %s was cancelled by its progress function", ld->path);
    if (ld->model && ld->job.status != LLM_OK) {
        llm_model_free(ld->model);
        ld->model = NULL;
    }
    if (ld->model) model_open(ld->model, ld);
    ld->job.done = true;
    job_release(&ld->job);
}

bool loads_have_news(llm *root)
{
    for (struct load *ld = root->loads; ld; ld = ld->next) {
        if (ld->finished || (ld->read_wanted && !ld->read_done)) return true;
        if (ld->options.progress && atomic_load(&ld->job.fraction) > ld->shown * JOB_WHOLE)
            return true;
    }
    return false;
}

bool loads_pump(llm *root)
{
    bool moved = false;
    for (struct load *ld = root->loads, *next; ld; ld = next) {
        next = ld->next;
        moved |= serve_read(ld);
        os_lock(root->lock);
        bool finished = ld->finished;
        os_unlock(root->lock);
        double fraction = atomic_load(&ld->job.fraction) / (double)JOB_WHOLE;
        if (finished) collect(ld);
        else show_progress(ld, fraction < 1 ? fraction : 0);
        moved |= finished;
    }
    return moved;
}

void load_close(struct load *ld)
{
    if (!ld->thread) return;
    llm_job_cancel(&ld->job);
    collect(ld);
}

/* ---- the public side ---- */

static char *copy_text(const struct alloc *a, const char *text)
{
    size_t n = strlen(text) + 1;
    char *copy = alloc_new(a, n);
    if (copy) memcpy(copy, text, n);
    return copy;
}

/* From here on the load releases what the host gave, whatever happens. */
static llm_status copy_options(struct load *ld, const char *path,
                               const struct llm_load_options *options, struct llm_error *error)
{
    const struct alloc *a = &ld->job.root->alloc;
    llm_load_defaults(&ld->options, sizeof ld->options);
    if (options)
        memcpy(&ld->options, options,
               options->size < sizeof ld->options ? options->size : sizeof ld->options);
    struct llm_load_options *o = &ld->options;
    const char *const device_name = o->device_name, *const cache = o->cache;
    if (!path && !o->read) return error_set(error, LLM_BAD_ARGUMENT, "no path");
    if (!path) path = "model";
    ld->path = copy_text(a, path);
    if (device_name) o->device_name = ld->device_name = copy_text(a, device_name);
    if (cache) o->cache = ld->cache = copy_text(a, cache);
    const bool whole = ld->path && (!device_name || o->device_name) && (!cache || o->cache);
    return whole ? LLM_OK : error_memory(error, "the options of a load", strlen(path));
}

static llm_status check_options(const struct llm_load_options *o, struct llm_error *error)
{
    if (o->kv > LLM_KV_Q4_0)
        return error_set(error, LLM_BAD_ARGUMENT, "kv is %u, expected 0 to %d", o->kv, LLM_KV_Q4_0);
    if (o->precision > LLM_PRECISION_HIGH)
        return error_set(error, LLM_BAD_ARGUMENT, "precision is %u, expected 0 to %d", o->precision,
                         LLM_PRECISION_HIGH);
    if (o->device < -1)
        return error_set(error, LLM_BAD_ARGUMENT, "device is %d, expected -1 or more", o->device);
    if (o->gpu_layers < -1)
        return error_set(error, LLM_BAD_ARGUMENT, "gpu_layers is %d, expected -1 or more",
                         o->gpu_layers);
    if (o->context > 1u << 28)
        return error_set(error, LLM_BAD_ARGUMENT, "context is %u, expected at most %u", o->context,
                         1u << 28);
    return LLM_OK;
}

static llm_status start(llm *root, const char *path, const struct llm_load_options *options,
                        bool is_selftest, llm_job **out, struct llm_error *error)
{
    if (root->closed) return error_set(error, LLM_CLOSED, "the library was closed");
    struct load *ld = alloc_zero(&root->alloc, 1, sizeof *ld);
    if (!ld) return error_memory(error, "a load", sizeof *ld);
    job_open(&ld->job, &load_kind, root);
    ld->is_selftest = is_selftest;
    llm_status status = copy_options(ld, path, options, error);
    if (status == LLM_OK) status = check_options(&ld->options, error);
    if (status == LLM_OK) {
        ld->thread = os_thread_start(run, ld);
        if (!ld->thread)
            status = error_set(error, LLM_OUT_OF_MEMORY, "no thread could be started for the load");
    }
    if (status != LLM_OK) {
        job_release(&ld->job);
        return status;
    }
    ld->job.references++;
    ld->next = root->loads;
    root->loads = ld;
    *out = &ld->job;
    return LLM_OK;
}

llm_status llm_load_start(llm *root, const char *path, const struct llm_load_options *options,
                          llm_job **out, struct llm_error *error)
{
    *out = NULL;
    return start(root, path, options, false, out, error);
}

llm_status llm_selftest_start(llm *root, const struct llm_load_options *options, llm_job **out,
                              struct llm_error *error)
{
    *out = NULL;
    return start(root, "(self-test)", options, true, out, error);
}

llm_status llm_job_selftest(const llm_job *job, struct llm_selftest *out, struct llm_error *error)
{
    const struct load *ld = (const struct load *)job;
    if (job->kind != &load_kind || !ld->is_selftest || !job->done || job->status != LLM_OK)
        return error_set(error, LLM_BAD_ARGUMENT, "the job is no self-test that is done");
    const uint32_t size = out->size;
    memcpy(out, &ld->selftest.result, size < sizeof *out ? size : sizeof *out);
    out->size = size;
    return LLM_OK;
}

llm_model *llm_job_model(llm_job *job)
{
    if (job->kind != &load_kind || !job->done) return NULL;
    llm_model *model = ((struct load *)job)->model;
    if (model) llm_model_retain(model);
    return model;
}

llm_status llm_load(llm *root, const char *path, const struct llm_load_options *options,
                    llm_model **out, struct llm_error *error)
{
    *out = NULL;
    llm_job *job;
    TRY(llm_load_start(root, path, options, &job, error));
    llm_status status = llm_job_wait(job, -1, NULL, error);
    if (status == LLM_RUNNING)
        status = error_set(error, LLM_BAD_ARGUMENT, "load waits, which a callback must not");
    if (status == LLM_OK) *out = llm_job_model(job);
    llm_job_free(job);
    return status;
}

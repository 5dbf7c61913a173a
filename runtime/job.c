#include "job.h"

#include <string.h>

#include "model.h"

void llm_load_defaults(struct llm_load_options *o, size_t size)
{
    memset(o, 0, size);
    struct llm_load_options d = {.device = -1, .gpu_layers = -1};
    memcpy(o, &d, size < sizeof d ? size : sizeof d);
    o->size = (uint32_t)size;
}

static void job_release(llm_job *job)
{
    if (--job->references) return;
    llm *root = job->root;
    const struct alloc *a = &root->alloc;
    if (job->model) llm_model_free(job->model);
    struct llm_load_options *o = &job->options;
    if (o->progress_release) o->progress_release(o->progress_user);
    if (o->read_release) o->read_release(o->read_user); /* still ours: the model never took it */
    if (job->path) alloc_free(a, job->path, strlen(job->path) + 1);
    if (job->device_name) alloc_free(a, job->device_name, strlen(job->device_name) + 1);
    if (job->cache) alloc_free(a, job->cache, strlen(job->cache) + 1);
    alloc_free(a, job, sizeof *job);
    root_release(root);
}

/* ---- the worker's side ---- */

llm_status job_progress(llm_job *job, double fraction, struct llm_error *error)
{
    atomic_store(&job->fraction, (unsigned)(fraction * JOB_WHOLE));
    if (job->options.progress) {
        os_lock(job->root->lock);
        os_lock_wake(job->root->lock);
        os_unlock(job->root->lock);
    }
    if (!atomic_load(&job->cancel)) return LLM_OK;
    return error_set(error, LLM_CANCELLED, "the load of %s was cancelled", job->path);
}

/* The host's read function may only run in the pump: post the wish, wait for the answer. */
static int64_t read_through_pump(void *user, uint64_t offset, void *dst, size_t n)
{
    llm_job *job = user;
    struct os_lock *lock = job->root->lock;
    os_lock(lock);
    job->read_offset = offset;
    job->read_to = dst;
    job->read_size = n;
    job->read_done = false;
    job->read_wanted = true;
    os_lock_wake(lock);
    while (!job->read_done && !atomic_load(&job->cancel)) os_lock_wait(lock, -1);
    job->read_wanted = false;
    int64_t result = job->read_done ? job->read_result : -1;
    os_unlock(lock);
    return result;
}

static llm_status open_source(llm_job *job, struct source *s, struct llm_error *error)
{
    memset(s, 0, sizeof *s);
    const struct llm_load_options *o = &job->options;
    if (!o->read) {
        TRY(os_map_open(&s->map, job->path, error));
        s->size = s->map.size;
        return LLM_OK;
    }
    s->size = o->read_size;
    s->read = o->read_any_thread ? o->read : read_through_pump;
    s->user = o->read_any_thread ? o->read_user : job;
    return LLM_OK;
}

static void run(void *user)
{
    llm_job *job = user;
    struct source source;
    llm_status status = open_source(job, &source, &job->error);
    if (status == LLM_OK) status = model_load(job, &source, &job->model, &job->error);
    os_lock(job->root->lock);
    job->status = status;
    job->finished = true;
    os_lock_wake(job->root->lock);
    os_unlock(job->root->lock);
}

/* ---- the pump's side ---- */

static bool serve_read(llm_job *job)
{
    struct os_lock *lock = job->root->lock;
    os_lock(lock);
    bool wanted = job->read_wanted && !job->read_done;
    uint64_t offset = job->read_offset;
    void *to = job->read_to;
    size_t size = job->read_size;
    os_unlock(lock);
    if (!wanted) return false;
    int64_t result = job->options.read(job->options.read_user, offset, to, size);
    os_lock(lock);
    job->read_result = result;
    job->read_done = true;
    os_lock_wake(lock);
    os_unlock(lock);
    return true;
}

static bool show_progress(llm_job *job, double fraction)
{
    if (!job->options.progress || job->callback_status != LLM_OK || fraction <= job->shown)
        return false;
    job->shown = fraction;
    job->callback_status = job->options.progress(job->options.progress_user, fraction);
    if (job->callback_status != LLM_OK) llm_job_cancel(job);
    return true;
}

static void unlink_job(llm_job *job)
{
    llm_job **link = &job->root->jobs;
    while (*link && *link != job) link = &(*link)->next;
    if (*link) *link = job->next;
}

static void collect(llm_job *job)
{
    os_thread_join(job->thread);
    job->thread = NULL;
    unlink_job(job);
    if (job->status == LLM_OK) show_progress(job, 1);
    if (job->callback_status == LLM_CALLBACK)
        job->status = error_set(&job->error, LLM_CALLBACK,
                                "the progress function failed while %s was loaded", job->path);
    else if (job->callback_status != LLM_OK)
        job->status = error_set(&job->error, LLM_CANCELLED,
                                "the load of %s was cancelled by its progress function", job->path);
    if (job->model && job->status != LLM_OK) {
        llm_model_free(job->model);
        job->model = NULL;
    }
    if (job->model) model_open(job->model, job);
    job->collected = true;
    job_release(job);
}

bool jobs_have_news(llm *root)
{
    for (llm_job *job = root->jobs; job; job = job->next) {
        if (job->finished || (job->read_wanted && !job->read_done)) return true;
        if (job->options.progress && atomic_load(&job->fraction) > job->shown * JOB_WHOLE)
            return true;
    }
    return false;
}

bool jobs_pump(llm *root)
{
    bool moved = false;
    for (llm_job *job = root->jobs, *next; job; job = next) {
        next = job->next;
        moved |= serve_read(job);
        os_lock(root->lock);
        bool finished = job->finished;
        os_unlock(root->lock);
        double fraction = atomic_load(&job->fraction) / (double)JOB_WHOLE;
        if (finished) collect(job);
        else show_progress(job, fraction < 1 ? fraction : 0);
        moved |= finished;
    }
    return moved;
}

void job_close(llm_job *job)
{
    if (!job->thread) return;
    llm_job_cancel(job);
    collect(job);
}

/* ---- the public side ---- */

static char *copy_text(const struct alloc *a, const char *text)
{
    size_t n = strlen(text) + 1;
    char *copy = alloc_new(a, n);
    if (copy) memcpy(copy, text, n);
    return copy;
}

/* From here on the job releases what the host gave, whatever happens. */
static llm_status copy_options(llm_job *job, const char *path,
                               const struct llm_load_options *options, struct llm_error *error)
{
    const struct alloc *a = &job->root->alloc;
    llm_load_defaults(&job->options, sizeof job->options);
    if (options)
        memcpy(&job->options, options,
               options->size < sizeof job->options ? options->size : sizeof job->options);
    struct llm_load_options *o = &job->options;
    job->path = copy_text(a, path);
    if (o->device_name) o->device_name = job->device_name = copy_text(a, o->device_name);
    if (o->cache) o->cache = job->cache = copy_text(a, o->cache);
    bool whole =
        job->path &&
        !(options && ((options->device_name && !o->device_name) || (options->cache && !o->cache)));
    return whole ? LLM_OK : error_memory(error, "the options of a load", strlen(path));
}

static llm_status check_options(const struct llm_load_options *o, struct llm_error *error)
{
    if (o->kv > LLM_KV_Q4_0)
        return error_set(error, LLM_BAD_ARGUMENT, "kv is %u, expected 0 to %d", o->kv, LLM_KV_Q4_0);
    if (o->context > 1u << 28)
        return error_set(error, LLM_BAD_ARGUMENT, "context is %u, expected at most %u", o->context,
                         1u << 28);
    return LLM_OK;
}

static llm_status start(llm *root, const char *path, const struct llm_load_options *options,
                        llm_job **out, struct llm_error *error)
{
    if (root->closed) return error_set(error, LLM_CLOSED, "the library was closed");
    llm_job *job = alloc_zero(&root->alloc, 1, sizeof *job);
    if (!job) return error_memory(error, "a load", sizeof *job);
    root_retain(root);
    job->root = root;
    job->references = 1;
    job->error.size = sizeof job->error;
    llm_status status = copy_options(job, path, options, error);
    if (status == LLM_OK) status = check_options(&job->options, error);
    if (status == LLM_OK) {
        job->thread = os_thread_start(run, job);
        if (!job->thread)
            status = error_set(error, LLM_OUT_OF_MEMORY, "no thread could be started for the load");
    }
    if (status != LLM_OK) {
        job_release(job);
        return status;
    }
    job->references++;
    job->next = root->jobs;
    root->jobs = job;
    *out = job;
    return LLM_OK;
}

llm_status llm_load_start(llm *root, const char *path, const struct llm_load_options *options,
                          llm_job **out, struct llm_error *error)
{
    *out = NULL;
    return start(root, path, options, out, error);
}

static llm_status answer(llm_job *job, double *fraction, struct llm_error *error)
{
    if (fraction) *fraction = atomic_load(&job->fraction) / (double)JOB_WHOLE;
    if (!job->collected) return LLM_RUNNING;
    if (fraction && job->status == LLM_OK) *fraction = 1;
    return job->status == LLM_OK ? LLM_OK : error_set(error, job->status, "%s", job->error.message);
}

llm_status llm_job_wait(llm_job *job, double seconds, double *fraction, struct llm_error *error)
{
    double deadline = root_deadline(seconds);
    do {
        root_pump(job->root, deadline);
    } while (!job->collected && !job->root->pumping && os_clock() < deadline);
    return answer(job, fraction, error);
}

llm_status llm_job_poll(llm_job *job, double *fraction, struct llm_error *error)
{
    return llm_job_wait(job, 0, fraction, error);
}

llm_model *llm_job_model(llm_job *job)
{
    if (job->collected && job->model) llm_model_retain(job->model);
    return job->collected ? job->model : NULL;
}

void llm_job_cancel(llm_job *job)
{
    atomic_store(&job->cancel, true);
    os_lock(job->root->lock);
    os_lock_wake(job->root->lock);
    os_unlock(job->root->lock);
}

void llm_job_free(llm_job *job)
{
    if (!job) return;
    job_close(job);
    job_release(job);
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

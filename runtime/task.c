#include "task.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "error.h"

static struct task *of_run(struct run *run)
{
    return (struct task *)(void *)((char *)run - offsetof(struct task, run));
}

/* ---- prompts of our own: the list, then all ids, then all texts ---- */

static llm_status copy_prompts(struct task *t, const struct llm_prompt *prompts, size_t n,
                               struct llm_error *error)
{
    size_t n_ids = 0, n_bytes = 0, limit = SIZE_MAX / 32;
    for (size_t i = 0; i < n; i++) {
        const struct llm_prompt *p = &prompts[i];
        size_t *sum = p->ids ? &n_ids : &n_bytes, more = p->ids ? p->n_ids : p->text_size;
        if (more > limit - *sum) return error_memory(error, "a list of prompts", SIZE_MAX);
        *sum += more;
    }
    if (n > limit / sizeof *prompts) return error_memory(error, "a list of prompts", SIZE_MAX);
    size_t size = n * sizeof *prompts + n_ids * sizeof(int32_t) + n_bytes;
    t->n = n;
    if (n == 0) return LLM_OK;
    t->prompts = alloc_new(&t->job.root->alloc, size);
    if (!t->prompts) return error_memory(error, "a list of prompts", size);
    t->prompts_size = size;
    int32_t *ids = (int32_t *)(void *)(t->prompts + n);
    char *text = (char *)(ids + n_ids);
    for (size_t i = 0; i < n; i++) {
        struct llm_prompt *p = &t->prompts[i];
        *p = prompts[i];
        if (p->ids) {
            if (p->n_ids) memcpy(ids, p->ids, p->n_ids * sizeof *ids);
            p->ids = ids;
            ids += p->n_ids;
        } else {
            if (p->text_size) memcpy(text, p->text, p->text_size);
            p->text = text;
            text += p->text_size;
        }
    }
    return LLM_OK;
}

/* ---- life ---- */

static void job_cancelled(llm_job *job)
{
    (void)job; /* the next pass sees it */
}

static void job_close(llm_job *job)
{
    llm_job_cancel(job);
    if (!job->root->pumping) task_settle((struct task *)job);
}

static void job_free(llm_job *job)
{
    struct task *t = (struct task *)job;
    const struct alloc *a = &job->root->alloc;
    t->kind->free(t);
    if (t->prompts) alloc_free(a, t->prompts, t->prompts_size);
    llm_session *s = t->session;
    alloc_free(a, t, t->task_size);
    if (!s) return;
    s->task = NULL;
    llm_session_free(s);
}

static const struct job_kind task_job = {job_cancelled, job_close, job_free};

void task_end(struct task *t, llm_status status, const char *message)
{
    if (t->job.done) return;
    scheduler_remove(&t->session->model->scheduler, &t->run);
    session_cut(t->session, 0);
    t->job.status = status == LLM_OK ? LLM_OK : error_set(&t->job.error, status, "%s", message);
    t->job.done = true;
    job_release(&t->job);
}

void task_settle(struct task *t)
{
    char message[64];
    if (!t->session || t->job.done || !atomic_load(&t->job.cancel)) return;
    snprintf(message, sizeof message, "%s was cancelled", t->kind->name);
    task_end(t, LLM_CANCELLED, message);
}

/* ---- the work ---- */

static llm_status begin(struct task *t, struct llm_error *error)
{
    llm_session *s = t->session;
    t->run.rows = (struct rows){s->tokens, &s->kv};
    TRY(t->kind->begin(t, error));
    if (t->run.outputs_from < s->kv.length) session_cut_cache(s, t->run.outputs_from);
    scheduler_add(&s->model->scheduler, &t->run);
    return LLM_OK;
}

static void run_output(struct run *run, uint32_t position, const struct output *output)
{
    struct task *t = of_run(run);
    t->kind->output(t, position, output->values);
}

static void run_end(struct run *run, llm_status status, const struct llm_error *error)
{
    struct task *t = of_run(run);
    struct llm_error failed = {.size = sizeof failed};
    if (status != LLM_OK) {
        task_end(t, status, error->message);
        return;
    }
    t->kind->end(t);
    t->at++;
    atomic_store(&t->job.fraction, (unsigned)((double)t->at / (double)t->n * JOB_WHOLE));
    if (t->at < t->n) status = begin(t, &failed);
    if (t->at == t->n || status != LLM_OK) task_end(t, status, failed.message);
}

void task_open(struct task *t, const struct task_kind *kind, size_t task_size, llm *root)
{
    job_open(&t->job, &task_job, root);
    t->kind = kind;
    t->task_size = task_size;
}

llm_status task_start(struct task *t, llm_model *m, const struct llm_prompt *prompts, size_t n,
                      struct llm_error *error)
{
    TRY(copy_prompts(t, prompts, n, error));
    TRY(session_open(m, 0, &t->session, error));
    t->session->task = t;
    t->run.output = run_output;
    t->run.end = run_end;
    t->job.references++; /* it runs */
    llm_status status = n ? begin(t, error) : LLM_OK;
    if (n == 0 || status != LLM_OK) task_end(t, status, "");
    return status;
}

const struct task *task_of(const llm_job *job, const struct task_kind *kind)
{
    const struct task *t = (const struct task *)job;
    return job->kind == &task_job && t->kind == kind && job->done && job->status == LLM_OK ? t
                                                                                           : NULL;
}

#include "job.h"

void job_open(llm_job *job, const struct job_kind *kind, llm *root)
{
    root_retain(root);
    job->kind = kind;
    job->root = root;
    job->references = 1;
    job->error.size = sizeof job->error;
}

void job_release(llm_job *job)
{
    if (--job->references) return;
    llm *root = job->root;
    job->kind->free(job);
    root_release(root);
}

static llm_status answer(llm_job *job, double *fraction, struct llm_error *error)
{
    if (fraction) *fraction = atomic_load(&job->fraction) / (double)JOB_WHOLE;
    if (!job->done) return LLM_RUNNING;
    if (fraction && job->status == LLM_OK) *fraction = 1;
    return job->status == LLM_OK ? LLM_OK : error_set(error, job->status, "%s", job->error.message);
}

llm_status llm_job_wait(llm_job *job, double seconds, double *fraction, struct llm_error *error)
{
    double deadline = root_deadline(seconds);
    do {
        root_pump(job->root, deadline);
    } while (!job->done && !job->root->pumping && os_clock() < deadline);
    return answer(job, fraction, error);
}

llm_status llm_job_poll(llm_job *job, double *fraction, struct llm_error *error)
{
    return llm_job_wait(job, 0, fraction, error);
}

void llm_job_cancel(llm_job *job)
{
    atomic_store(&job->cancel, true);
    job->kind->cancelled(job);
}

void llm_job_free(llm_job *job)
{
    if (!job) return;
    job->kind->close(job);
    job_release(job);
}

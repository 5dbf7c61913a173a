/* job.h - work in flight other than generation, as the host sees it: loads (load.h) and tasks
 * (task.h). */
#ifndef JOB_H
#define JOB_H

#include "root.h"

struct job_kind {
    void (*cancelled)(llm_job *job); /* from any thread: job->cancel was set */
    void (*close)(llm_job *job);     /* ends it: now or, inside a callback, at the next pass */
    void (*free)(llm_job *job);      /* the last reference is gone */
};

struct llm_job {
    const struct job_kind *kind;
    llm *root;
    uint32_t references; /* one of the host, one while it runs */
    atomic_bool cancel;
    atomic_uint fraction; /* of JOB_WHOLE */
    bool done;            /* status, error and what it made are final */
    llm_status status;
    struct llm_error error;
};
enum { JOB_WHOLE = 1000000 };

void job_open(llm_job *job, const struct job_kind *kind, llm *root); /* with the host's reference */
void job_release(llm_job *job);

#endif

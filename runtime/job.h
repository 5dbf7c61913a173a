/* job.h - loading on a worker thread. The worker never calls the host: reads and progress go
 * through a mailbox that the pump empties. */
#ifndef JOB_H
#define JOB_H

#include "root.h"
#include "source.h"

struct llm_job {
    llm_job *next; /* in root->jobs while it runs */
    llm *root;
    uint32_t references; /* one of the host, one while it runs */

    char *path;
    struct llm_load_options options; /* with copies of the texts */
    char *device_name, *cache;

    struct os_thread *thread;
    atomic_bool cancel;
    atomic_uint fraction; /* of JOB_WHOLE */
    bool finished;        /* by the worker; under the lock */
    bool collected;       /* by the pump: status, error and model are final */
    double shown;         /* the fraction that progress was last called with */
    llm_status callback_status;

    /* the mailbox, under the lock */
    bool read_wanted, read_done;
    uint64_t read_offset;
    void *read_to;
    size_t read_size;
    int64_t read_result;

    llm_model *model;
    llm_status status;
    struct llm_error error;
};
enum { JOB_WHOLE = 1000000 };

/* Runs what has come in; true when something moved. */
bool jobs_pump(llm *root);
/* Under the lock: is there a read to serve, a fraction to show or an end to collect? */
bool jobs_have_news(llm *root);
/* Cancels, waits for the worker, takes it off the root. */
void job_close(llm_job *job);

/* For the worker: LLM_CANCELLED when the job is to stop. */
llm_status job_progress(llm_job *job, double fraction, struct llm_error *error);

#endif

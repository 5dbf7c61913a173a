/* load.h - loading on a worker thread. The worker never calls the host: reads and progress go
 * through a mailbox that the pump empties. */
#ifndef LOAD_H
#define LOAD_H

#include "job.h"
#include "source.h"

struct load {
    llm_job job;       /* first: the load is the job */
    struct load *next; /* in root->loads while it runs */

    char *path;
    struct llm_load_options options; /* with copies of the texts */
    char *device_name, *cache;

    struct os_thread *thread;
    bool finished; /* by the worker; under the lock */
    double shown;  /* the fraction that progress was last called with */
    llm_status callback_status;

    /* the mailbox, under the lock */
    bool read_wanted, read_done;
    uint64_t read_offset;
    void *read_to;
    size_t read_size;
    int64_t read_result;

    llm_model *model;
};

/* Runs what has come in; true when something moved. */
bool loads_pump(llm *root);
/* Under the lock: is there a read to serve, a fraction to show or an end to collect? */
bool loads_have_news(llm *root);
/* Cancels, waits for the worker, takes it off the root. */
void load_close(struct load *ld);

/* For the worker: LLM_CANCELLED when the load is to stop. */
llm_status load_progress(struct load *ld, double fraction, struct llm_error *error);

#endif

/* task.h - a job that the scheduler computes: a list of prompts, one after the other, on a session
 * of its own. */
#ifndef TASK_H
#define TASK_H

#include "job.h"
#include "session.h"

struct task;
struct task_kind {
    const char *name; /* of the call, for messages */
    /* Puts prompt `at` into the session and says in the run what to compute. */
    llm_status (*begin)(struct task *t, struct llm_error *error);
    /* The run's outputs, then its end. */
    void (*output)(struct task *t, uint32_t position, const float *values);
    void (*end)(struct task *t);
    void (*free)(struct task *t);
};

struct task {
    llm_job job; /* first: the task is the job */
    const struct task_kind *kind;
    llm_session *session;
    struct run run;
    struct llm_prompt *prompts; /* (n), with copies of what they point at behind them */
    size_t n, at, prompts_size, task_size;
};

/* Makes a job of a zeroed task, whose task_size bytes are the root's allocator's: from now on
 * llm_job_free gives back everything. */
void task_open(struct task *t, const struct task_kind *kind, size_t task_size, llm *root);
/* Copies the prompts and begins the first one. */
llm_status task_start(struct task *t, llm_model *m, const struct llm_prompt *prompts, size_t n,
                      struct llm_error *error);
/* The task of a job that is done and of this kind, or NULL. */
const struct task *task_of(const llm_job *job, const struct task_kind *kind);

/* Carries out a cancel that was asked for. Not inside the pump's callbacks. */
void task_settle(struct task *t);
/* Ends it now, for its session's sake. */
void task_end(struct task *t, llm_status status, const char *message);

#endif

#include "leave.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "load.h"
#include "model.h"

/* The only changing globals of the library: exit handlers have no other way to find what to stop.
 */
static atomic_flag taken = ATOMIC_FLAG_INIT;
static llm *roots;

static void take(void)
{
    while (atomic_flag_test_and_set(&taken)) os_sleep(0.0001);
}

static void give(void)
{
    atomic_flag_clear(&taken);
}

/* Nothing is freed: other exit handlers may still look at it. */
static void stop(llm *root)
{
    for (struct load *ld = root->loads; ld; ld = ld->next) {
        llm_job_cancel(&ld->job);
        os_thread_join(ld->thread);
    }
    for (llm_model *m = root->models; m; m = m->next) model_wait_idle(m);
}

static void stop_all(void)
{
    take();
    for (llm *root = roots; root; root = root->next_watched) stop(root);
    roots = NULL;
    give();
}

void leave_watch(llm *root)
{
    take();
    atexit(stop_all);
    if (!root->watched) {
        root->watched = true;
        root->next_watched = roots;
        roots = root;
    }
    give();
}

void leave_forget(llm *root)
{
    if (!root->watched) return;
    take();
    llm **link = &roots;
    while (*link && *link != root) link = &(*link)->next_watched;
    if (*link) *link = root->next_watched;
    give();
}

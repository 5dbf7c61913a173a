#include "root.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "leave.h"
#include "load.h"
#include "model.h"

struct log_line {
    struct log_line *next;
    int32_t level;
    char text[600];
};

void llm_options_defaults(struct llm_options *o, size_t size)
{
    memset(o, 0, size);
    o->size = (uint32_t)size;
}

llm_status llm_create(llm **out, const struct llm_options *options, struct llm_error *error)
{
    *out = NULL;
    struct alloc alloc = alloc_libc;
    if (options && options->realloc)
        alloc = (struct alloc){options->realloc, options->realloc_user};
    llm *root = alloc_zero(&alloc, 1, sizeof *root);
    if (!root) return error_memory(error, "the root", sizeof *root);
    root->alloc = alloc;
    root->references = 1;
    root->log_end = &root->log_first;
    root->lock = os_lock_create();
    if (!root->lock) {
        root_release(root);
        return error_set(error, LLM_OUT_OF_MEMORY, "out of memory: no lock");
    }
    *out = root;
    return LLM_OK;
}

void root_retain(llm *root)
{
    root->references++;
}

void root_release(llm *root)
{
    if (--root->references) return;
    for (struct log_line *line = root->log_first, *next; line; line = next) {
        next = line->next;
        alloc_free(&root->alloc, line, sizeof *line);
    }
    os_lock_free(root->lock);
    struct alloc alloc = root->alloc;
    alloc_free(&alloc, root, sizeof *root);
}

void llm_free(llm *root)
{
    if (!root) return;
    if (!root->closed) {
        root->closed = true;
        root->pumping = false; /* a callback may end the program */
        leave_forget(root);
        while (root->loads) load_close(root->loads);
        while (root->models) llm_model_close(root->models);
        devices_close(root);
        gpu_close(root->gpu);
        root->gpu = NULL;
    }
    root_release(root);
}

void llm_log(llm *root, int32_t level, llm_log_fn function, void *user)
{
    os_lock(root->lock);
    root->log = function;
    root->log_level = level;
    root->log_user = user;
    os_unlock(root->lock);
}

void root_log(llm *root, int32_t level, const char *format, ...)
{
    os_lock(root->lock);
    struct log_line *line =
        root->log && level <= root->log_level ? alloc_new(&root->alloc, sizeof *line) : NULL;
    if (line) {
        va_list args;
        va_start(args, format);
        vsnprintf(line->text, sizeof line->text, format, args);
        va_end(args);
        line->level = level;
        line->next = NULL;
        *root->log_end = line;
        root->log_end = &line->next;
    }
    os_unlock(root->lock);
}

static void flush_log(llm *root)
{
    for (;;) {
        os_lock(root->lock);
        struct log_line *line = root->log_first;
        if (line) {
            root->log_first = line->next;
            if (!root->log_first) root->log_end = &root->log_first;
        }
        llm_log_fn log = root->log;
        os_unlock(root->lock);
        if (!line) return;
        if (log) log(root->log_user, line->level, line->text);
        alloc_free(&root->alloc, line, sizeof *line);
    }
}

double root_deadline(double seconds)
{
    return seconds < 0 ? (double)INFINITY : os_clock() + seconds;
}

/* Waits until something may have moved: what was submitted first is done first. A worker's news and
 * the device's cannot be waited for at once: with both, take turns. */
static void wait_for_work(llm *root, double deadline)
{
    double seconds = deadline - os_clock();
    if (seconds <= 0) return;
    struct llm_model *busy = NULL;
    double first = INFINITY;
    for (llm_model *m = root->models; m; m = m->next) {
        const double since = model_in_flight_since(m);
        if (since >= first) continue;
        busy = m;
        first = since;
    }
    if (busy) {
        model_wait(busy, root->loads && seconds > 0.002 ? 0.002 : seconds);
        return;
    }
    os_lock(root->lock);
    if (!loads_have_news(root))
        os_lock_wait(root->lock, seconds == (double)INFINITY ? -1 : seconds);
    os_unlock(root->lock);
}

/* What callbacks have closed. */
static void close_wanted(llm *root)
{
    root->close_wanted = false;
    for (llm_model *m = root->models, *next; m; m = next) {
        next = m->next;
        model_close_sessions(m);
        if (!m->close_wanted) continue;
        bool unowned = m->unowned;
        llm_model_close(m);
        if (unowned) llm_model_free(m);
    }
}

bool root_pump(llm *root, double deadline)
{
    if (root->pumping) return true;
    root->pumping = true;
    bool moved = loads_pump(root);
    bool work = root->loads != NULL;
    for (llm_model *m = root->models, *next; m; m = next) {
        next = m->next;
        moved |= model_pump(m);
        work |= model_has_work(m);
    }
    flush_log(root);
    if (work && !moved) wait_for_work(root, deadline);
    root->pumping = false;
    if (root->close_wanted) close_wanted(root);
    return work;
}

int32_t llm_update(llm *root, double milliseconds)
{
    double deadline = root_deadline(milliseconds > 0 ? milliseconds / 1000 : 0);
    bool work;
    do {
        work = root_pump(root, deadline);
    } while (work && !root->pumping && os_clock() < deadline);
    return work;
}

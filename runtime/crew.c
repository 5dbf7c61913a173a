#include "crew.h"

enum { MOST_THREADS = 3 };

struct crew {
    const struct alloc *alloc;
    struct os_lock *lock; /* guards what follows */
    void (*work)(void *user, uint32_t piece);
    void *user;
    uint32_t next, n, at_work; /* the piece to be taken next, pieces, those being worked on */
    bool closed;
    struct os_thread *threads[MOST_THREADS];
};

/* Under the lock, which is open while a piece is worked on. */
static void take_pieces(struct crew *c)
{
    while (c->next < c->n) {
        const uint32_t piece = c->next++;
        c->at_work++;
        os_unlock(c->lock);
        c->work(c->user, piece);
        os_lock(c->lock);
        if (--c->at_work == 0 && c->next == c->n) os_lock_wake(c->lock); /* crew_run */
    }
}

static void serve(void *user)
{
    struct crew *c = user;
    os_lock(c->lock);
    while (!c->closed) {
        take_pieces(c);
        os_lock_wait(c->lock, -1);
    }
    os_unlock(c->lock);
}

struct crew *crew_open(const struct alloc *alloc, uint32_t most)
{
    uint32_t n = os_processors() - 1;
    if (n > MOST_THREADS) n = MOST_THREADS;
    if (n > most) n = most;
    struct crew *c = n > 0 ? alloc_zero(alloc, 1, sizeof *c) : NULL;
    if (!c) return NULL;
    c->alloc = alloc;
    c->lock = os_lock_create();
    for (uint32_t i = 0; i < n && c->lock; i++) c->threads[i] = os_thread_start(serve, c);
    if (c->lock) return c;
    alloc_free(alloc, c, sizeof *c);
    return NULL;
}

void crew_run(struct crew *c, void (*work)(void *user, uint32_t piece), void *user, uint32_t n)
{
    if (!c) {
        for (uint32_t i = 0; i < n; i++) work(user, i);
        return;
    }
    os_lock(c->lock);
    c->work = work;
    c->user = user;
    c->next = 0;
    c->n = n;
    if (n > 1) os_lock_wake(c->lock);
    take_pieces(c);
    while (c->at_work > 0) os_lock_wait(c->lock, -1);
    os_unlock(c->lock);
}

void crew_free(struct crew *c)
{
    if (!c) return;
    os_lock(c->lock);
    c->closed = true;
    os_lock_wake(c->lock);
    os_unlock(c->lock);
    for (uint32_t i = 0; i < MOST_THREADS; i++) os_thread_join(c->threads[i]);
    os_lock_free(c->lock);
    alloc_free(c->alloc, c, sizeof *c);
}

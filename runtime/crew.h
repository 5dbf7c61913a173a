/* crew.h - a few threads that share the pieces of one piece of work after the other. */
#ifndef CREW_H
#define CREW_H

#include "alloc.h"
#include "os.h"

struct crew;

/* As many threads as there are other processors, a few at most and no more than `most`; fewer, or
 * NULL, where there is nothing to start them with. */
struct crew *crew_open(const struct alloc *alloc, uint32_t most);
/* Calls work once for each piece in [0, n), the caller working, too; returns when all are done.
 * With NULL the caller does all of it. One call at a time. */
void crew_run(struct crew *c, void (*work)(void *user, uint32_t piece), void *user, uint32_t n);
void crew_free(struct crew *c); /* joins its threads; NULL is ignored */

#endif

/* leave.h - a process may end with work in flight: then the drivers' exit handlers take away what
 * our worker threads and submissions still use. So the roots that have opened a device are known to
 * an exit handler, which stops them first. */
#ifndef LEAVE_H
#define LEAVE_H

#include "root.h"

/* After whatever may have made the driver register exit handlers of its own: ours, registered
 * later, run earlier. A software driver does so when it opens a device and when it first compiles
 * code of a kind. */
void leave_watch(llm *root);
void leave_forget(llm *root);

#endif

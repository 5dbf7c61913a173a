/* os.h - all that differs between operating systems: files, mapping, threads, clocks, folders.
 * Paths are UTF-8. */
#ifndef OS_H
#define OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc.h"
#include "llm.h"

/* A file mapped for reading. A missing file is LLM_NOT_FOUND, a folder or one that cannot be read
 * LLM_IO. */
struct os_map {
    const uint8_t *data;
    uint64_t size;
    void *handle;
};
llm_status os_map_open(struct os_map *m, const char *path, struct llm_error *error);
void os_map_close(struct os_map *m);
/* True while the file still has its size and time of change: a mapped file that was cut kills its
 * reader. */
bool os_map_whole(const struct os_map *m);

/* Whole small files. Writing goes beside the file and is renamed over it; missing folders are made.
 */
llm_status os_file_read(const char *path, const struct alloc *alloc, void **data, size_t *size,
                        struct llm_error *error);
llm_status os_file_write(const char *path, const void *data, size_t size, struct llm_error *error);
/* The user's cache folder for this library ("~/.cache/llm"), without a slash at the end. False
 * where there is none. */
bool os_cache_folder(char *out, size_t size);

double os_clock(void); /* monotonic seconds */
void os_sleep(double seconds);
uint64_t os_random(void); /* for seeds */

struct os_lock;
struct os_lock *os_lock_create(void); /* recursive; NULL when there is no memory */
void os_lock_free(struct os_lock *l);
void os_lock(struct os_lock *l);
void os_unlock(struct os_lock *l);
/* Waits for a wake, for at most so many seconds (negative: no limit). The lock is held, once, by
 * the caller. */
void os_lock_wait(struct os_lock *l, double seconds);
void os_lock_wake(struct os_lock *l); /* all that wait on it */

uint32_t os_processors(void); /* at least 1 */
struct os_thread;
struct os_thread *os_thread_start(void (*run)(void *user), void *user); /* NULL when it cannot */
void os_thread_join(struct os_thread *t);                               /* NULL is ignored */

#endif

#include "host_count.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A block is preceded by its size. */
enum { HEADER = 16 };

static void *count_realloc(void *user, void *ptr, size_t old_size, size_t new_size)
{
    struct host_count *count = user;
    char *old = ptr ? (char *)ptr - HEADER : NULL;
    size_t size = 0;
    if (old) memcpy(&size, old, sizeof size);
    if (size != old_size) count->wrong_sizes++;
    if (new_size == 0) {
        count->bytes -= size;
        free(old);
        return NULL;
    }
    if (++count->calls == count->fail_at) return NULL;
    char *block = malloc(HEADER + new_size);
    if (!block) return NULL;
    memcpy(block, &new_size, sizeof new_size);
    memset(block + HEADER, 0xA5, new_size);
    if (old) memcpy(block + HEADER, ptr, size < new_size ? size : new_size);
    free(old);
    count->bytes += new_size - size;
    return block + HEADER;
}

static void count_log(void *user, int level, const char *text)
{
    struct host_count *count = user;
    const size_t used = strlen(count->log);
    if (level <= 2) count->logs++;
    snprintf(count->log + used, sizeof count->log - used, "%d: %s\n", level, text);
}

/* A lock that only knows whether it is held: the tests that use it have one thread. */
static void *count_lock_create(void)
{
    return calloc(1, sizeof(int));
}

static void count_lock(void *lock)
{
    if ((*(int *)lock)++) abort();
}

static void count_unlock(void *lock)
{
    if (--*(int *)lock) abort();
}

struct gpu_host host_count(struct host_count *count)
{
    return (struct gpu_host){
        .realloc = count_realloc,
        .realloc_user = count,
        .lock_create = count_lock_create,
        .lock_free = free,
        .lock = count_lock,
        .unlock = count_unlock,
        .log = count_log,
        .log_user = count,
    };
}

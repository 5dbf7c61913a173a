/* os.h for POSIX. */
#define _FILE_OFFSET_BITS 64

#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#if defined __APPLE__
#include <sys/random.h>
#define CHANGED(s) (s).st_mtimespec
#else
#define CHANGED(s) (s).st_mtim
#endif

#include "error.h"

static llm_status no_memory(const char *path, struct llm_error *error)
{
    return error_set(error, LLM_OUT_OF_MEMORY, "out of memory while opening %.300s", path);
}

static llm_status system_error(int code, const char *what, const char *path,
                               struct llm_error *error)
{
    char reason[128];
    if (strerror_r(code, reason, sizeof reason) != 0)
        snprintf(reason, sizeof reason, "error %d", code);
    const bool missing = code == ENOENT || code == ENOTDIR || code == ENAMETOOLONG;
    return error_set(error, missing ? LLM_NOT_FOUND : LLM_IO, "cannot %s %.300s: %s", what, path,
                     reason);
}

/* Opens for reading; refuses what is no regular file. O_NONBLOCK: opening a pipe must not wait for
 * its writer. */
static llm_status file_open(const char *path, int *fd, struct stat *info, struct llm_error *error)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0) return system_error(errno, "open", path, error);
    const char *wrong = NULL;
    if (fstat(*fd, info) != 0) wrong = "its size is unknown";
    else if (S_ISDIR(info->st_mode)) wrong = "it is a folder";
    else if (!S_ISREG(info->st_mode)) wrong = "it is not a regular file";
    if (!wrong) return LLM_OK;
    close(*fd);
    return error_set(error, LLM_IO, "cannot read %.300s: %s", path, wrong);
}

struct map_handle {
    int fd;
    off_t size;
    struct timespec changed;
};

llm_status os_map_open(struct os_map *m, const char *path, struct llm_error *error)
{
    *m = (struct os_map){0};
    int fd;
    struct stat info;
    TRY(file_open(path, &fd, &info, error));
    const uint64_t size = (uint64_t)info.st_size;
    struct map_handle *h = size <= SIZE_MAX ? malloc(sizeof *h) : NULL;
    if (!h) {
        close(fd);
        return no_memory(path, error);
    }
    void *data = size ? mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, fd, 0) : NULL;
    if (data == MAP_FAILED) {
        const int code = errno;
        close(fd);
        free(h);
        return system_error(code, "map", path, error);
    }
    *h = (struct map_handle){fd, info.st_size, CHANGED(info)};
    *m = (struct os_map){data, size, h};
    return LLM_OK;
}

void os_map_close(struct os_map *m)
{
    struct map_handle *h = m->handle;
    if (m->data && h) munmap((void *)(uintptr_t)m->data, (size_t)m->size);
    if (h) close(h->fd);
    free(h);
    *m = (struct os_map){0};
}

bool os_map_whole(const struct os_map *m)
{
    const struct map_handle *h = m->handle;
    struct stat info;
    if (!h || fstat(h->fd, &info) != 0) return false;
    const struct timespec changed = CHANGED(info);
    return info.st_size == h->size && changed.tv_sec == h->changed.tv_sec &&
           changed.tv_nsec == h->changed.tv_nsec;
}

static llm_status read_all(int fd, uint8_t *out, size_t n, const char *path,
                           struct llm_error *error)
{
    for (size_t at = 0; at < n;) {
        const ssize_t got = read(fd, out + at, n - at);
        if (got > 0) at += (size_t)got;
        else if (got == 0)
            return error_set(error, LLM_IO, "cannot read %.300s: it was cut while it was read",
                             path);
        else if (errno != EINTR) return system_error(errno, "read", path, error);
    }
    return LLM_OK;
}

llm_status os_file_read(const char *path, const struct alloc *alloc, void **data, size_t *size,
                        struct llm_error *error)
{
    *data = NULL;
    *size = 0;
    int fd;
    struct stat info;
    TRY(file_open(path, &fd, &info, error));
    const uint64_t n = (uint64_t)info.st_size;
    void *out = n && n <= SIZE_MAX ? alloc_new(alloc, (size_t)n) : NULL;
    llm_status status =
        n && !out ? error_memory(error, "a file", n) : read_all(fd, out, (size_t)n, path, error);
    close(fd);
    if (status != LLM_OK) {
        alloc_free(alloc, out, (size_t)n);
        return status;
    }
    *data = out;
    *size = (size_t)n;
    return LLM_OK;
}

/* Makes the folders that path lies in. What fails here fails again, and is reported, when the file
 * is made. */
static void folders_make(char *path)
{
    for (char *at = path; *at; at++) {
        if (*at != '/' || at == path) continue;
        *at = 0;
        mkdir(path, 0777);
        *at = '/';
    }
}

static int write_all(int fd, const uint8_t *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        const ssize_t put = write(fd, data + at, size - at);
        if (put > 0) at += (size_t)put;
        else if (put == 0) return ENOSPC;
        else if (errno != EINTR) return errno;
    }
    return 0;
}

static int write_beside(const char *path, char *temporary, const void *data, size_t size)
{
    folders_make(temporary);
    const int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) return errno;
    int code = write_all(fd, data, size);
    if (close(fd) != 0 && code == 0) code = errno;
    if (code == 0 && rename(temporary, path) != 0) code = errno;
    if (code) unlink(temporary);
    return code;
}

llm_status os_file_write(const char *path, const void *data, size_t size, struct llm_error *error)
{
    const size_t n = strlen(path) + 32;
    char *temporary = malloc(n);
    if (!temporary) return no_memory(path, error);
    snprintf(temporary, n, "%s.%016" PRIx64 ".tmp", path, os_random());
    const int code = write_beside(path, temporary, data, size);
    free(temporary);
    if (code == 0) return LLM_OK;
    system_error(code, "write", path, error);
    if (error) error->status = LLM_IO; /* a missing folder is no missing file here */
    return LLM_IO;
}

bool os_cache_folder(char *out, size_t size)
{
    const char *home = getenv("HOME");
    int n = -1;
#if defined __APPLE__
    if (home && home[0] == '/') n = snprintf(out, size, "%s/Library/Caches/llm", home);
#else
    const char *cache = getenv("XDG_CACHE_HOME");
    if (cache && cache[0] == '/')
        n = snprintf(out, size, "%s/llm", cache); /* a relative one is to be ignored */
    else if (home && home[0] == '/') n = snprintf(out, size, "%s/.cache/llm", home);
#endif
    return n > 0 && (size_t)n < size;
}

double os_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* The longest sleep or wait in seconds; more would overflow a 32-bit time_t. */
static const double longest = 1e8;

static struct timespec duration(double seconds)
{
    const double s = seconds < longest ? seconds : longest;
    struct timespec t = {.tv_sec = (time_t)s};
    t.tv_nsec = (long)((s - (double)t.tv_sec) * 1e9);
    return t;
}

void os_sleep(double seconds)
{
    if (!(seconds > 0)) return;
    struct timespec left = duration(seconds);
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

uint64_t os_random(void)
{
    uint64_t value = 0;
    if (getentropy(&value, sizeof value) == 0) return value;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    value = (uint64_t)now.tv_sec << 30 ^ (uint64_t)now.tv_nsec ^ (uint64_t)getpid() << 44 ^
            (uintptr_t)&value;
    return value * 0x9E3779B97F4A7C15u;
}

struct os_lock {
    pthread_mutex_t mutex;
    pthread_cond_t condition;
    uint64_t wakes;
};

static bool mutex_open(pthread_mutex_t *mutex)
{
    pthread_mutexattr_t attributes;
    if (pthread_mutexattr_init(&attributes) != 0) return false;
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    const bool done = pthread_mutex_init(mutex, &attributes) == 0;
    pthread_mutexattr_destroy(&attributes);
    return done;
}

static bool condition_open(pthread_cond_t *condition)
{
#if defined __APPLE__
    return pthread_cond_init(condition, NULL) == 0; /* waits by duration instead */
#else
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0) return false;
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    const bool done = pthread_cond_init(condition, &attributes) == 0;
    pthread_condattr_destroy(&attributes);
    return done;
#endif
}

struct os_lock *os_lock_create(void)
{
    struct os_lock *l = calloc(1, sizeof *l);
    if (!l) return NULL;
    if (mutex_open(&l->mutex)) {
        if (condition_open(&l->condition)) return l;
        pthread_mutex_destroy(&l->mutex);
    }
    free(l);
    return NULL;
}

void os_lock_free(struct os_lock *l)
{
    if (!l) return;
    pthread_cond_destroy(&l->condition);
    pthread_mutex_destroy(&l->mutex);
    free(l);
}

void os_lock(struct os_lock *l)
{
    pthread_mutex_lock(&l->mutex);
}

void os_unlock(struct os_lock *l)
{
    pthread_mutex_unlock(&l->mutex);
}

static int wait_until(struct os_lock *l, double end)
{
#if defined __APPLE__
    const double left = end - os_clock();
    const struct timespec wait = duration(left > 0 ? left : 0);
    return pthread_cond_timedwait_relative_np(&l->condition, &l->mutex, &wait);
#else
    struct timespec until = {.tv_sec = (time_t)end};
    until.tv_nsec = (long)((end - (double)until.tv_sec) * 1e9);
    return pthread_cond_timedwait(&l->condition, &l->mutex, &until);
#endif
}

void os_lock_wait(struct os_lock *l, double seconds)
{
    const uint64_t before = l->wakes;
    const double end = os_clock() + (seconds < longest ? seconds : longest);
    while (l->wakes == before) {
        const int code =
            seconds < 0 ? pthread_cond_wait(&l->condition, &l->mutex) : wait_until(l, end);
        if (code != 0) return;
    }
}

void os_lock_wake(struct os_lock *l)
{
    os_lock(l); /* so that a wake between the check and the wait is not lost */
    l->wakes++;
    pthread_cond_broadcast(&l->condition);
    os_unlock(l);
}

uint32_t os_processors(void)
{
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (uint32_t)n : 1;
}

struct os_thread {
    pthread_t id;
    void (*run)(void *user);
    void *user;
};

static void *thread_main(void *thread)
{
    const struct os_thread *t = thread;
    t->run(t->user);
    return NULL;
}

struct os_thread *os_thread_start(void (*run)(void *user), void *user)
{
    struct os_thread *t = malloc(sizeof *t);
    if (!t) return NULL;
    *t = (struct os_thread){.run = run, .user = user};
    /* The host's signals are for the host's threads. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int code = pthread_create(&t->id, NULL, thread_main, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code == 0) return t;
    free(t);
    return NULL;
}

void os_thread_join(struct os_thread *t)
{
    if (!t) return;
    pthread_join(t->id, NULL);
    free(t);
}

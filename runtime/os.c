#if defined _WIN32
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#ifndef _WIN32_WINNT
#define _WIN32_WINNT 0x0601
#endif
#else
#define _FILE_OFFSET_BITS 64
#endif

#include "os.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"

double llm_clock(void)
{
    return os_clock();
}

void llm_sleep(double seconds)
{
    os_sleep(seconds);
}

static llm_status no_memory(const char *path, struct llm_error *error)
{
    return error_set(error, LLM_OUT_OF_MEMORY, "out of memory while opening %.300s", path);
}

#if defined _WIN32

#include <process.h>
#include <windows.h>

/* The caller frees. NULL for a path that is no UTF-8 or when there is no memory. */
static wchar_t *wide(const char *path)
{
    const int n = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, NULL, 0);
    if (n <= 0) return NULL;
    wchar_t *out = malloc((size_t)n * sizeof *out);
    if (out) MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, out, n);
    return out;
}

static llm_status system_error(DWORD code, const char *what, const char *path,
                               struct llm_error *error)
{
    wchar_t text[200];
    char reason[400];
    const DWORD n = FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL,
                                   code, 0, text, 200, NULL);
    const int size =
        WideCharToMultiByte(CP_UTF8, 0, text, (int)n, reason, (int)sizeof reason - 1, NULL, NULL);
    size_t end = size > 0 ? (size_t)size : 0;
    while (end && (unsigned char)reason[end - 1] <= ' ') end--;
    reason[end] = 0;
    const bool missing =
        code == ERROR_FILE_NOT_FOUND || code == ERROR_PATH_NOT_FOUND || code == ERROR_INVALID_NAME;
    return error_set(error, missing ? LLM_NOT_FOUND : LLM_IO, "cannot %s %.300s: %s (%lu)", what,
                     path, reason, code);
}

/* Opens for reading and refuses folders. */
static llm_status file_open(const char *path, HANDLE *file, uint64_t *size, FILETIME *changed,
                            struct llm_error *error)
{
    wchar_t *name = wide(path);
    if (!name)
        return error_set(error, LLM_NOT_FOUND, "cannot open %.300s: the path is not UTF-8", path);
    const DWORD attributes = GetFileAttributesW(name);
    if (attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY)) {
        free(name);
        return error_set(error, LLM_IO, "cannot read %.300s: it is a folder", path);
    }
    *file = CreateFileW(name, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_DELETE, NULL,
                        OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);
    const DWORD code = GetLastError();
    free(name);
    if (*file == INVALID_HANDLE_VALUE) return system_error(code, "open", path, error);
    BY_HANDLE_FILE_INFORMATION info;
    if (GetFileType(*file) != FILE_TYPE_DISK || !GetFileInformationByHandle(*file, &info)) {
        CloseHandle(*file);
        return error_set(error, LLM_IO, "cannot read %.300s: it is not a regular file", path);
    }
    *size = (uint64_t)info.nFileSizeHigh << 32 | info.nFileSizeLow;
    *changed = info.ftLastWriteTime;
    return LLM_OK;
}

struct map_handle {
    HANDLE file, mapping;
    uint64_t size;
    FILETIME changed;
};

llm_status os_map_open(struct os_map *m, const char *path, struct llm_error *error)
{
    *m = (struct os_map){0};
    struct map_handle h = {0};
    TRY(file_open(path, &h.file, &h.size, &h.changed, error));
    m->size = h.size;
    m->handle = malloc(sizeof h);
    if (!m->handle || h.size > SIZE_MAX) {
        free(m->handle);
        *m = (struct os_map){0};
        CloseHandle(h.file);
        return no_memory(path, error);
    }
    if (h.size) {
        h.mapping = CreateFileMappingW(h.file, NULL, PAGE_READONLY, 0, 0, NULL);
        if (h.mapping) m->data = MapViewOfFile(h.mapping, FILE_MAP_READ, 0, 0, 0);
    }
    const DWORD code = GetLastError();
    *(struct map_handle *)m->handle = h;
    if (m->data || h.size == 0) return LLM_OK;
    os_map_close(m);
    return system_error(code, "map", path, error);
}

void os_map_close(struct os_map *m)
{
    struct map_handle *h = m->handle;
    if (m->data && h) UnmapViewOfFile(m->data);
    if (h) {
        if (h->mapping) CloseHandle(h->mapping);
        CloseHandle(h->file);
        free(h);
    }
    *m = (struct os_map){0};
}

bool os_map_whole(const struct os_map *m)
{
    const struct map_handle *h = m->handle;
    BY_HANDLE_FILE_INFORMATION info;
    if (!h || !GetFileInformationByHandle(h->file, &info)) return false;
    return ((uint64_t)info.nFileSizeHigh << 32 | info.nFileSizeLow) == h->size &&
           CompareFileTime(&info.ftLastWriteTime, &h->changed) == 0;
}

llm_status os_file_read(const char *path, const struct alloc *alloc, void **data, size_t *size,
                        struct llm_error *error)
{
    HANDLE file;
    uint64_t n;
    FILETIME changed;
    *data = NULL;
    *size = 0;
    TRY(file_open(path, &file, &n, &changed, error));
    uint8_t *out = n && n <= SIZE_MAX ? alloc_new(alloc, (size_t)n) : NULL;
    llm_status status = n && !out ? error_memory(error, "a file", n) : LLM_OK;
    for (uint64_t at = 0; status == LLM_OK && at < n;) {
        DWORD got = 0;
        const DWORD part = n - at < 1u << 30 ? (DWORD)(n - at) : 1u << 30;
        if (!ReadFile(file, out + at, part, &got, NULL))
            status = system_error(GetLastError(), "read", path, error);
        else if (got == 0)
            status =
                error_set(error, LLM_IO, "cannot read %.300s: it was cut while it was read", path);
        at += got;
    }
    CloseHandle(file);
    if (status != LLM_OK) {
        alloc_free(alloc, out, (size_t)n);
        return status;
    }
    *data = out;
    *size = (size_t)n;
    return LLM_OK;
}

static void folders_make(wchar_t *path)
{
    for (wchar_t *at = path + 1; *path && *at; at++) {
        if (*at != L'/' && *at != L'\\') continue;
        const wchar_t slash = *at;
        *at = 0;
        CreateDirectoryW(
            path,
            NULL); /* fails where there is one; what matters is whether the file can be made */
        *at = slash;
    }
}

static DWORD write_beside(wchar_t *target, const wchar_t *temporary, const void *data, size_t size)
{
    folders_make(target);
    HANDLE file =
        CreateFileW(temporary, GENERIC_WRITE, 0, NULL, CREATE_NEW, FILE_ATTRIBUTE_NORMAL, NULL);
    if (file == INVALID_HANDLE_VALUE) return GetLastError();
    DWORD code = 0;
    for (size_t at = 0; code == 0 && at < size;) {
        DWORD put = 0;
        const DWORD part = size - at < 1u << 30 ? (DWORD)(size - at) : 1u << 30;
        if (!WriteFile(file, (const uint8_t *)data + at, part, &put, NULL)) code = GetLastError();
        else if (put == 0) code = ERROR_DISK_FULL;
        at += put;
    }
    CloseHandle(file);
    if (code == 0 && !MoveFileExW(temporary, target, MOVEFILE_REPLACE_EXISTING))
        code = GetLastError();
    if (code) DeleteFileW(temporary);
    return code;
}

llm_status os_file_write(const char *path, const void *data, size_t size, struct llm_error *error)
{
    wchar_t *target = wide(path);
    if (!target)
        return error_set(error, LLM_IO, "cannot write %.300s: the path is not UTF-8", path);
    const size_t n = wcslen(target) + 32;
    wchar_t *temporary = malloc(n * sizeof *temporary);
    DWORD code = ERROR_NOT_ENOUGH_MEMORY;
    if (temporary) {
        swprintf(temporary, n, L"%ls.%016llx.tmp", target, (unsigned long long)os_random());
        code = write_beside(target, temporary, data, size);
    }
    free(temporary);
    free(target);
    if (code == 0) return LLM_OK;
    system_error(code, "write", path, error);
    return error ? (llm_status)(error->status = LLM_IO) : LLM_IO;
}

bool os_cache_folder(char *out, size_t size)
{
    wchar_t base[MAX_PATH];
    char text[3 * MAX_PATH];
    const DWORD n = GetEnvironmentVariableW(L"LOCALAPPDATA", base, MAX_PATH);
    if (n == 0 || n >= MAX_PATH) return false;
    if (WideCharToMultiByte(CP_UTF8, 0, base, -1, text, (int)sizeof text, NULL, NULL) <= 0)
        return false;
    const int length = snprintf(out, size, "%s\\llm", text);
    return length > 0 && (size_t)length < size;
}

double os_clock(void)
{
    LARGE_INTEGER now, frequency;
    QueryPerformanceCounter(&now);
    QueryPerformanceFrequency(&frequency);
    return (double)now.QuadPart / (double)frequency.QuadPart;
}

static DWORD milliseconds(double seconds)
{
    if (!(seconds > 0)) return 0;
    return (DWORD)((seconds < 4e6 ? seconds : 4e6) * 1000 + 0.999);
}

void os_sleep(double seconds)
{
    if (seconds > 0) Sleep(milliseconds(seconds));
}

uint64_t os_random(void)
{
    /* SystemFunction036 is RtlGenRandom, in every Windows since XP. */
    typedef BOOLEAN(WINAPI * random_fn)(void *, ULONG);
    uint64_t value = 0;
    HMODULE library = LoadLibraryW(L"advapi32.dll");
    random_fn random =
        library ? (random_fn)(void *)GetProcAddress(library, "SystemFunction036") : NULL;
    if (!random || !random(&value, sizeof value)) {
        LARGE_INTEGER now;
        QueryPerformanceCounter(&now);
        value = (uint64_t)now.QuadPart * 0x9E3779B97F4A7C15u ^
                (uint64_t)GetCurrentThreadId() << 40 ^ (uintptr_t)&value;
    }
    if (library) FreeLibrary(library);
    return value;
}

struct os_lock {
    CRITICAL_SECTION section;
    CONDITION_VARIABLE condition;
    uint64_t wakes;
};

struct os_lock *os_lock_create(void)
{
    struct os_lock *l = calloc(1, sizeof *l);
    if (!l) return NULL;
    InitializeCriticalSection(&l->section);
    InitializeConditionVariable(&l->condition);
    return l;
}

void os_lock_free(struct os_lock *l)
{
    if (!l) return;
    DeleteCriticalSection(&l->section);
    free(l);
}

void os_lock(struct os_lock *l)
{
    EnterCriticalSection(&l->section);
}

void os_unlock(struct os_lock *l)
{
    LeaveCriticalSection(&l->section);
}

void os_lock_wait(struct os_lock *l, double seconds)
{
    const uint64_t before = l->wakes;
    const double end = os_clock() + seconds;
    while (l->wakes == before) {
        const DWORD wait = seconds < 0 ? INFINITE : milliseconds(end - os_clock());
        if (!SleepConditionVariableCS(&l->condition, &l->section, wait) && os_clock() >= end &&
            seconds >= 0)
            return;
    }
}

void os_lock_wake(struct os_lock *l)
{
    os_lock(l);
    l->wakes++;
    os_unlock(l);
    WakeAllConditionVariable(&l->condition);
}

uint32_t os_processors(void)
{
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    return info.dwNumberOfProcessors > 0 ? info.dwNumberOfProcessors : 1;
}

struct os_thread {
    HANDLE handle;
    void (*run)(void *user);
    void *user;
};

static unsigned __stdcall thread_main(void *thread)
{
    const struct os_thread *t = thread;
    t->run(t->user);
    return 0;
}

struct os_thread *os_thread_start(void (*run)(void *user), void *user)
{
    struct os_thread *t = malloc(sizeof *t);
    if (!t) return NULL;
    *t = (struct os_thread){NULL, run, user};
    t->handle = (HANDLE)_beginthreadex(NULL, 0, thread_main, t, 0, NULL);
    if (t->handle) return t;
    free(t);
    return NULL;
}

void os_thread_join(struct os_thread *t)
{
    if (!t) return;
    WaitForSingleObject(t->handle, INFINITE);
    CloseHandle(t->handle);
    free(t);
}

#else /* POSIX */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
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

#endif

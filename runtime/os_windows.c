/* os.h for Windows: wide calls, so that paths are any Unicode. */
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#ifndef _WIN32_WINNT
#define _WIN32_WINNT 0x0601
#endif

#include "os.h"

#include <inttypes.h>
#include <process.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include "error.h"

static llm_status no_memory(const char *path, struct llm_error *error)
{
    return error_set(error, LLM_OUT_OF_MEMORY, "out of memory while opening %.300s", path);
}

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

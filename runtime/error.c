#include "error.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

llm_status error_set(struct llm_error *error, llm_status status, const char *format, ...)
{
    if (!error) return status;
    va_list args;
    va_start(args, format);
    error->status = (int32_t)status;
    vsnprintf(error->message, sizeof error->message, format, args);
    va_end(args);
    return status;
}

llm_status error_memory(struct llm_error *error, const char *what, uint64_t size)
{
    return error_set(error, LLM_OUT_OF_MEMORY, "out of memory: no %" PRIu64 " bytes for %s", size,
                     what);
}

const char *error_name(char out[68], const char *name, size_t size)
{
    size_t n = size < 64 ? size : 64;
    for (size_t i = 0; i < n; i++) out[i] = (unsigned char)name[i] < 32 ? '?' : name[i];
    size_t end = n;
    if (size > n) {
        for (int i = 0; i < 3; i++) out[end++] = '.';
    }
    out[end] = 0;
    return out;
}

const char *llm_status_name(llm_status status)
{
    switch (status) {
#define STATUS_NAME(constant, value, name)                                                         \
    case constant: return name;
        LLM_STATUS_LIST(STATUS_NAME)
#undef STATUS_NAME
    }
    return "unknown";
}

uint32_t llm_version(void)
{
    return 10000 * LLM_VERSION_MAJOR + 100 * LLM_VERSION_MINOR + LLM_VERSION_PATCH;
}

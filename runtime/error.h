/* error.h - a status per call, the words in a caller-owned struct passed last. */
#ifndef ERROR_H
#define ERROR_H

#include "llm.h"

#if defined __GNUC__
__attribute__((format(printf, 3, 4)))
#endif
/* Writes the message when error is not NULL; returns status, so that failing is one line. */
llm_status
error_set(struct llm_error *error, llm_status status, const char *format, ...);
llm_status error_memory(struct llm_error *error, const char *what, uint64_t size);
/* printf's %.*s of a name from a file: at most 64 bytes, control characters replaced. Returns out.
 */
const char *error_name(char out[68], const char *name, size_t size);

/* Forwards a failure. */
#define TRY(call)                                                                                  \
    do {                                                                                           \
        llm_status try_status_ = (call);                                                           \
        if (try_status_ != LLM_OK) return try_status_;                                             \
    } while (0)

#endif

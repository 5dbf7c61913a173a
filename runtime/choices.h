/* choices.h - what is known of the kernels on one device and driver: which are right, and how fast
 * they are. Pure; kept in a file beside the pipeline cache. */
#ifndef CHOICES_H
#define CHOICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc.h"
#include "llm.h"

enum { CHOICE_NAME = 48, CHOICE_TIMES = 6 };
enum choice_state { CHOICE_UNKNOWN, CHOICE_RIGHT, CHOICE_WRONG };

struct verdict {
    char name[CHOICE_NAME];      /* of the kernel and its constants; ends with NUL */
    uint32_t state;              /* enum choice_state */
    float error, bound;          /* NMSE against double precision, and the most that is right */
    float seconds[CHOICE_TIMES]; /* with so many rows as choices_rows says; 0: not timed */
};

struct choices {
    const struct alloc *alloc;
    struct verdict *items;
    size_t n, capacity;
    bool changed; /* since it was read or written */
};

/* Verdicts hold for one device, driver and set of kernels. */
struct choice_owner {
    uint8_t device_uuid[16], driver_uuid[16];
    uint32_t driver_version, pad;
    uint64_t kernels; /* checksum of their code */
};

/* NULL where nothing is known. */
const struct verdict *choices_find(const struct choices *c, const char *name);
/* Replaces what was known. */
llm_status choices_set(struct choices *c, const struct verdict *v, struct llm_error *error);
/* Rows of activations that a kernel is timed with, rising. */
extern const uint32_t choices_rows[CHOICE_TIMES];
/* Of n ways to do the same thing for so many rows, the default first: another one where both were
 * timed and it is faster by more than chance, never one that is known to be wrong. n where all
 * are. */
size_t choices_pick(const struct choices *c, const char (*names)[CHOICE_NAME], size_t n,
                    uint32_t rows);
void choices_free(struct choices *c);

/* The file's bytes, from the allocator. */
llm_status choices_write(const struct choices *c, const struct choice_owner *owner, void **bytes,
                         size_t *size, struct llm_error *error);
/* Adds what the bytes say; those that are damaged, of another version or of another owner say
 * nothing. */
llm_status choices_read(struct choices *c, const struct choice_owner *owner, const void *bytes,
                        size_t size, struct llm_error *error);

#endif

/* host_count.h - a host whose memory is counted and may run out. */
#ifndef HOST_COUNT_H
#define HOST_COUNT_H

#include "gpu.h"

struct host_count {
    uint64_t calls, fail_at; /* the call that finds no memory, from 1; 0: none */
    size_t bytes;            /* in use */
    unsigned wrong_sizes;    /* frees and resizes that told ananother size than the block has */
    unsigned logs;
    char log[2048]; /* the first messages, for the words of a failed test */
};

struct gpu_host host_count(struct host_count *count);

#endif

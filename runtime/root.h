/* root.h - the root of everything a host makes: allocator, log, lock, devices, and the pump. */
#ifndef ROOT_H
#define ROOT_H

#include <stdatomic.h>

#include "error.h"
#include "gpu_error.h"
#include "os.h"

struct device; /* an opened device, shared by the models on it */
struct load;
struct log_line;

struct llm {
    struct alloc alloc;
    uint32_t references; /* one of the host, one of each job and model */
    bool closed;
    bool pumping;      /* inside update, poll or wait: callbacks must not pump */
    bool close_wanted; /* a callback closed a session or a model: done at the end of the pass */

    struct os_lock *lock; /* guards what the workers share: log, mailboxes, devices; recursive */
    struct log_line *log_first, **log_end;
    int32_t log_level;
    llm_log_fn log;
    void *log_user;

    struct gpu *gpu; /* opened at first use; NULL with gpu_error when there is none */
    bool gpu_tried;
    enum gpu_status gpu_status;
    struct gpu_error gpu_error;
    struct device *devices;

    bool watched; /* see leave.h */
    llm *next_watched;

    struct load *loads; /* those that run */
    llm_model *models;  /* those that are open */
};

void root_retain(llm *root);
void root_release(llm *root);
/* From any thread; shown by the next pump. */
void root_log(llm *root, int32_t level, const char *format, ...)
#if defined __GNUC__
    __attribute__((format(printf, 3, 4)))
#endif
    ;

/* One pass over all loads and models. When nothing moved and work remains: waits for the device or
 * a worker, but not past the clock's deadline. Returns false when no work remains. Inside a
 * callback: does nothing and returns true. */
bool root_pump(llm *root, double deadline);
/* The clock's deadline that is so many seconds ahead; negative: none. */
double root_deadline(double seconds);

/* Opens the loader at first use; LLM_NO_DEVICE when there is none. Under the lock, as are all
 * below. */
llm_status root_gpu(llm *root, struct gpu **out, struct llm_error *error);

struct device {
    struct device *next;
    llm *root;
    struct gpu_device *gpu;
    struct kernels *kernels;
    uint32_t index; /* UINT32_MAX: lent */
    uint32_t n_users;
    char cache_path[1024]; /* "" : none */
    size_t cache_size;     /* of the file as it is */
};

/* Finds an open device or opens it; index, name and lent device as in struct llm_load_options.
 * cache: folder, NULL for the platform's, "" for none. */
llm_status device_open(llm *root, const struct llm_load_options *o, struct device **out,
                       struct llm_error *error);
void device_release(struct device *d);
/* Writes the pipeline cache beside and renames, if it has grown. Failing is no error: the next
 * start is slower. */
void device_save_cache(struct device *d);
void device_info_fill(struct gpu *gpu, const struct gpu_info *info, uint32_t index,
                      struct llm_device_info *out);
void devices_close(llm *root);

#endif

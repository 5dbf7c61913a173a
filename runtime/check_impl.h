/* check_impl.h - what the files of the checks (check*.c) share: a trial with buffers that both
 * sides see, random numbers, and a comparison. */
#ifndef CHECK_IMPL_H
#define CHECK_IMPL_H

#include "check.h"
#include "error.h"
#include "gpu_error.h"
#include "kernels.h"
#include "ops_impl.h"

enum { CHECK_BUFFERS = 20, CHECK_MEMORY = 12, CHECK_ROWS = 96 /* of weights */ };

struct trial {
    struct ops *ops;
    struct gpu_device *device;
    const struct alloc *alloc;
    struct gpu_commands *c;
    struct gpu_buffer buffers[CHECK_BUFFERS]; /* poisoned with NaN */
    struct {
        void *at;
        size_t size;
    } memory[CHECK_MEMORY];
    uint32_t n_buffers, n_memory;
    uint64_t random;
    double error, norm; /* sums of squares of what was compared */
};

llm_status check_open(struct trial *b, struct ops *ops, bool timed, struct llm_error *error);
void check_close(struct trial *b); /* half-built ones too */
/* Freed with the trial. */
llm_status check_buffer(struct trial *b, uint64_t size, enum gpu_memory memory,
                        struct gpu_buffer **out, struct llm_error *error);
llm_status check_memory(struct trial *b, size_t size, void *out, struct llm_error *error);
float check_random(struct trial *b); /* (-1, 1) */
/* Floats of the shape (rows, stride) that both sides see. */
llm_status check_floats(struct trial *b, uint32_t n, struct gpu_buffer **out,
                        struct llm_error *error);
/* Random weights on the device, and as the format has them in f32 (rows, cols). */
llm_status check_weight(struct trial *b, enum quant_type type, uint32_t rows, uint32_t cols,
                        struct weight *w, float **values, struct llm_error *error);
/* The same at w's place in its buffer, which the host sees, of w's type and shape. */
llm_status check_weight_in(struct trial *b, const struct weight *w, float **values,
                           struct llm_error *error);
/* Rounds rows of floats to integers as the shaders do, in place. */
void check_round(float *values, uint32_t n, enum values as);
double check_value(const float *row, enum values values, uint32_t k);
/* A step with its rows; offsets are filled in. */
llm_status check_step(struct trial *b, struct step *step, struct llm_error *error);
/* Ends b->c, submits it and waits. */
llm_status check_submit(struct trial *b, struct llm_error *error);
/* The least time that its dispatches take in a few more runs. */
llm_status check_time(struct trial *b, double *seconds, struct llm_error *error);
void check_compare(struct trial *b, double got, double want);

llm_status check_product(struct trial *b, const struct check *t, struct verdict *v,
                         struct llm_error *error);
llm_status check_embed(struct trial *b, const struct check *t, struct verdict *v,
                       struct llm_error *error);
llm_status check_norm(struct trial *b, const struct check *t, struct verdict *v,
                      struct llm_error *error);
llm_status check_argmax(struct trial *b, const struct check *t, struct verdict *v,
                        struct llm_error *error);
llm_status check_top(struct trial *b, const struct check *t, struct verdict *v,
                     struct llm_error *error);
llm_status check_attention(struct trial *b, const struct check *t, struct verdict *v,
                           struct llm_error *error);

llm_status check_tail(struct trial *b, const struct check *t, struct verdict *v,
                      struct llm_error *error);
llm_status check_router(struct trial *b, const struct check *t, struct verdict *v,
                        struct llm_error *error);
llm_status check_experts(struct trial *b, const struct check *t, struct verdict *v,
                         struct llm_error *error);
llm_status check_combine(struct trial *b, const struct check *t, struct verdict *v,
                         struct llm_error *error);

double check_activate(const struct activation *a, double v);
enum values check_y_values(const struct check *t); /* else it is the norm's that t->out says */
uint32_t check_ways(const struct ops *ops, const struct check *t, struct way ways[OPS_WAYS]);
/* Sets t->way to the one that ops_multiply takes now. */
llm_status check_choose(struct ops *ops, struct check *t, struct llm_error *error);
/* Columns of weights that are cut as w is. */
uint32_t check_cols(const struct ops *ops, const struct weight *w);
/* The name under which the verdict on t is kept. */
void check_name(const struct ops *ops, const struct check *t, char out[CHOICE_NAME]);

#endif

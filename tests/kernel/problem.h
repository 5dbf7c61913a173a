/* problem.h - a matrix and rows of x for it, and what their product is in double precision. */
#ifndef PROBLEM_H
#define PROBLEM_H

#include "bench.h"
#include "ops_impl.h"

struct problem {
    struct weight w;
    struct gpu_buffer buffer, x;
    enum values values;
    float *weights; /* (rows, cols) */
    void *bytes;
    uint32_t stride;
};

/* Blocks of random integers of at most `most`, every third one of the largest there are. */
void problem_integers(uint32_t *words, uint32_t n_blocks, int32_t most);
/* The same numbers as bytes, where `words` has none beyond them. */
void problem_bytes(const uint32_t *words, float *out, uint32_t n_blocks);
/* Random weights and n rows of x. w.buffer is left to the caller, &buffer: the struct moves. */
struct problem problem_make(struct bench *b, enum quant_type type, enum values values,
                            uint32_t rows, uint32_t cols, uint32_t n);
void problem_drop(struct bench *b, struct problem *p);
/* Row `row` of the weights times row `column` of x. */
double problem_exact(const struct problem *p, uint32_t row, uint32_t column);

#endif

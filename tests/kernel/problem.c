#include "problem.h"

#include <stdlib.h>
#include <string.h>

#include "repack.h"

void problem_integers(uint32_t *words, uint32_t n_blocks, int32_t most)
{
    for (uint32_t i = 0; i < n_blocks; i++) {
        float scale = i % 3 ? 0.01f : (float)(i % 7);
        int16_t q[32], sums[2] = {0, 0};
        for (uint32_t k = 0; k < 32; k++) {
            const int32_t any = (int32_t)(bench_random() % (uint32_t)(2 * most + 1)) - most;
            q[k] = (int16_t)(i % 3 ? any : i % 2 ? most : -most);
            sums[k / 16] = (int16_t)(sums[k / 16] + q[k]);
        }
        for (uint32_t lane = 0; lane < 8; lane++) {
            uint32_t *word = words + i * 32 + lane * 4;
            memcpy(word, q + lane * 4, 8);
            memcpy(word + 2, &scale, 4);
            memcpy(word + 3, sums, 4);
        }
    }
}

void problem_bytes(const uint32_t *words, float *out, uint32_t n_blocks)
{
    for (uint32_t i = 0; i < n_blocks; i++, words += 32, out += 12) {
        int16_t q[4], sums[2];
        int8_t bytes[32];
        float scale;
        for (uint32_t k = 0; k < 32; k++) {
            memcpy(q, words + k / 4 * 4, sizeof q);
            bytes[k] = (int8_t)q[k % 4];
        }
        memcpy(&scale, words + 2, sizeof scale);
        memcpy(sums, words + 3, sizeof sums);
        const float first = sums[0], second = sums[1],
                    about[] = {scale, scale * first, scale * second, scale * (first + second)};
        memcpy(out, bytes, sizeof bytes);
        memcpy(out + 8, about, sizeof about);
    }
}

struct problem problem_make(struct bench *b, enum quant_type type, enum values values,
                            uint32_t rows, uint32_t cols, uint32_t n)
{
    const struct quant_info *info = quant_info(type);
    struct problem p;
    size_t n_weights = (size_t)rows * cols;
    p.bytes = malloc(n_weights / info->block * info->block_size);
    p.weights = malloc(n_weights * sizeof(float));
    assert_non_null(p.bytes);
    assert_non_null(p.weights);
    bench_random_blocks(type, p.bytes, n_weights);
    quant_decode(type, p.bytes, p.weights, n_weights);
    p.w = bench_weight(b, type, rows, cols, p.bytes, &p.buffer);
    p.w.buffer = NULL; /* set by use: the struct moves */
    p.stride = ops_stride(cols);
    p.x = bench_buffer(b, (uint64_t)n * p.stride * sizeof(float));
    float *x = p.x.map;
    for (uint32_t i = 0; i < n * p.stride; i++) x[i] = bench_uniform();
    p.values = values;
    if (values == VALUES_INT) problem_integers(p.x.map, n * p.stride / 32, 255);
    if (values == VALUES_INT8) {
        uint32_t *words = malloc(p.stride * sizeof *words);
        assert_non_null(words);
        for (uint32_t i = 0; i < n; i++, x += p.stride) {
            problem_integers(words, p.stride / 32, 127);
            problem_bytes(words, x, p.stride / 32);
        }
        free(words);
    }
    return p;
}

void problem_drop(struct bench *b, struct problem *p)
{
    bench_free(b, &p->buffer);
    bench_free(b, &p->x);
    free(p->weights);
    free(p->bytes);
}

double problem_exact(const struct problem *p, uint32_t row, uint32_t column)
{
    const float *w = p->weights + (size_t)row * p->w.cols,
                *x = (const float *)p->x.map + (size_t)column * p->stride;
    double sum = 0;
    for (uint32_t k = 0; k < p->w.cols; k++) sum += w[k] * bench_value(x, p->values, k);
    return sum;
}

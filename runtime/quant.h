/* quant.h - weight formats of ggml: sizes, and dequantization on the CPU in the order of operations
 * that ggml documents (block layouts: ggml's ggml-common.h). Pure. */
#ifndef QUANT_H
#define QUANT_H

#include <stddef.h>
#include <stdint.h>

/* X(constant, ggml's id, name, weights a block, bytes a block). Supported formats first in use; ids
 * are the file's. */
#define QUANT_LIST(X)                                                                              \
    X(QUANT_F32, 0, "F32", 1, 4)                                                                   \
    X(QUANT_F16, 1, "F16", 1, 2)                                                                   \
    X(QUANT_Q4_0, 2, "Q4_0", 32, 18)                                                               \
    X(QUANT_Q4_1, 3, "Q4_1", 32, 20)                                                               \
    X(QUANT_Q5_0, 6, "Q5_0", 32, 22)                                                               \
    X(QUANT_Q5_1, 7, "Q5_1", 32, 24)                                                               \
    X(QUANT_Q8_0, 8, "Q8_0", 32, 34)                                                               \
    X(QUANT_Q2_K, 10, "Q2_K", 256, 84)                                                             \
    X(QUANT_Q3_K, 11, "Q3_K", 256, 110)                                                            \
    X(QUANT_Q4_K, 12, "Q4_K", 256, 144)                                                            \
    X(QUANT_Q5_K, 13, "Q5_K", 256, 176)                                                            \
    X(QUANT_Q6_K, 14, "Q6_K", 256, 210)                                                            \
    X(QUANT_IQ2_XXS, 16, "IQ2_XXS", 256, 66)                                                       \
    X(QUANT_IQ2_XS, 17, "IQ2_XS", 256, 74)                                                         \
    X(QUANT_IQ3_XXS, 18, "IQ3_XXS", 256, 98)                                                       \
    X(QUANT_IQ1_S, 19, "IQ1_S", 256, 50)                                                           \
    X(QUANT_IQ4_NL, 20, "IQ4_NL", 32, 18)                                                          \
    X(QUANT_IQ3_S, 21, "IQ3_S", 256, 110)                                                          \
    X(QUANT_IQ2_S, 22, "IQ2_S", 256, 82)                                                           \
    X(QUANT_IQ4_XS, 23, "IQ4_XS", 256, 136)                                                        \
    X(QUANT_IQ1_M, 29, "IQ1_M", 256, 56)                                                           \
    X(QUANT_BF16, 30, "BF16", 1, 2)                                                                \
    X(QUANT_TQ1_0, 34, "TQ1_0", 256, 54)                                                           \
    X(QUANT_TQ2_0, 35, "TQ2_0", 256, 66)                                                           \
    X(QUANT_MXFP4, 39, "MXFP4", 32, 17)

enum quant_type {
#define QUANT_ENUM(constant, id, name, weights, bytes) constant = id,
    QUANT_LIST(QUANT_ENUM)
#undef QUANT_ENUM
};

struct quant_info {
    enum quant_type type;
    const char *name;
    uint32_t block, block_size; /* weights a block, bytes a block */
};

/* NULL for an id that we do not know. */
const struct quant_info *quant_info(uint32_t id);

/* Formats that ggml knows, or once knew, and we do not: "tensor t is NAME, a format WHY". NULL for
 * others. */
struct quant_foreign {
    uint32_t id;
    const char *name, *why;
};
const struct quant_foreign *quant_foreign(uint32_t id);

/* The codebooks of the formats that have one: entries of eight columns of two bits or four of four,
 * the first lowest, each the number of a level. n is 0 where there is none. */
enum { QUANT_GRIDS = 4608 };
extern const uint16_t quant_grids[QUANT_GRIDS];
struct quant_grid {
    uint32_t at, n;
};
struct quant_grid quant_grid(enum quant_type type);

float quant_f16(uint16_t bits);     /* exact */
uint16_t quant_to_f16(float value); /* nearest even; overflow to infinity */

/* n weights (a multiple of the block) from blocks to out, as ggml's reference computes them in f32.
 */
void quant_decode(enum quant_type type, const void *blocks, float *out, size_t n);
/* For tests and for making models: round to the format, simply (no search for better scales). n a
 * multiple of the block. */
void quant_encode(enum quant_type type, const float *in, void *blocks, size_t n);

#endif

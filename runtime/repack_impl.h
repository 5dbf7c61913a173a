/* repack_impl.h - what the files of the layout on the device (repack*.c) share. */
#ifndef REPACK_IMPL_H
#define REPACK_IMPL_H

#include "repack.h"

/* A block of 32 columns of one row, taken apart: what every format below fills, and what the planes
 * are made of. */
struct block {
    uint8_t q[32];      /* unsigned quants; of Q8_0 the bytes as they are */
    uint32_t words[3];  /* bits as the file has them: entries of codebooks, signs */
    uint8_t pair[2];    /* bytes: scales, one a half, or a scale and a minimum */
    uint8_t single;     /* a byte: a scale */
    uint16_t halves[2]; /* f16 scales of the block, or of the super-block in head */
};

struct repack_format {
    enum quant_type type;
    uint32_t subs; /* blocks of 32 a unit */
    /* bytes of 4 rows: of the unit, and of each plane of a block, in the order in which they lie */
    uint32_t head, nibbles, octets, crumbs, bits, words, halves, pairs, singles;
    uint32_t crumb_shift, bit_shift; /* where in q these planes begin */
    void (*take)(const uint8_t *unit, uint32_t sub, struct block *out);
};

/* NULL for the formats of one weight. */
const struct repack_format *repack_format(enum quant_type type);

#endif

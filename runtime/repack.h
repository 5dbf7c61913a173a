/* repack.h - the layout of weights on the device. Pure.
 *
 * A matrix (rows x cols, a row contiguous in the file) becomes tiles of REPACK_TILE rows, one after
 * the other; a tile holds its rows completely, so that a matrix can be cut between any two tiles.
 * In a tile, 8 lanes own 4 consecutive rows each (row = tile * 32 + lane * 4 + j), quants are
 * 16-byte aligned and apart from scales, and what the 8 lanes load together lies together. Rows
 * past the end and columns past the end (to the format's block, at least 32) are zero weights. The
 * layout of each format is described beside its shader, shaders/FORMAT.glsl. */
#ifndef REPACK_H
#define REPACK_H

#include "quant.h"

enum { REPACK_TILE = 32 };

/* Bytes of one tile on the device, a multiple of 16. At most 1.15 times the bytes in the file,
 * padding aside. */
uint64_t repack_tile_size(enum quant_type type, uint64_t cols);
/* Bytes of the whole matrix. */
uint64_t repack_size(enum quant_type type, uint64_t rows, uint64_t cols);
/* rows holds n_rows consecutive rows as in the file, beginning at a tile; n_rows is a multiple of
 * 32 except at the end of the matrix. Writes ceil(n_rows / 32) tiles to out. Only ever writes to
 * out (it may be uncached memory), in rising order. */
void repack_tiles(enum quant_type type, uint64_t cols, const void *rows, uint64_t n_rows,
                  void *out);

#endif

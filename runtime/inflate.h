/* inflate.h - unpack what was deflated at build time. Pure. */
#ifndef INFLATE_H
#define INFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A raw deflate stream (RFC 1951) of n bytes to exactly `size` bytes; false where it is damaged,
 * ends early or makes more or fewer. */
bool inflate_bytes(const uint8_t *in, size_t n, uint8_t *out, size_t size);

#endif

/* blob.h - the framing of a saved session. Pure: tokens and pages in, bytes out, and back.
 *
 * Layout, little-endian: a header of BLOB_HEADER bytes that ends with its own checksum; the token
 * ids as base-128 varints; the pages as they are; a checksum of all before it. A checksum is 64
 * bits wide and finds every change within one aligned word of 8 bytes for certain, others but for
 * one in 2^64. It guards against damage, not against forgery: sizes and ids are checked too.
 *
 * Restoring reads the blob twice and uses nothing before it is known to be whole:
 *   blob_open    reads the header: foreign, newer and cut blobs, and sizes beyond the limits, end
 * here. Allocates the tokens only, and a buffer of BLOB_PART bytes. blob_verify  reads all the rest
 * in bounded steps, decodes the tokens and compares the checksum. The tokens may then be used.
 *   blob_pages   reads the pages again, in order, into the caller's memory.
 *   blob_finish  compares the checksum of the second reading: the bytes did not change in between.
 * The pages may then be used. */
#ifndef BLOB_H
#define BLOB_H

#include <stdbool.h>

#include "alloc.h"
#include "kv.h"
#include "llm.h"

enum { BLOB_VERSION = 1, BLOB_HEADER = 80, BLOB_PART = 65536, BLOB_LONG_ROPE = 256 };

/* How the pages are laid out. Where it differs from the model's, the tokens still serve: their
 * cache is computed again. */
struct blob_layout {
    uint32_t kv; /* LLM_KV_..., and BLOB_LONG_ROPE where keys were turned for a longer context */
    uint32_t layers;
    uint32_t floats;    /* values that a position holds in one layer, keys and values together */
    uint64_t page_size; /* bytes of a page of KV_PAGE positions, all layers */
};

struct blob_header {
    uint32_t version, flags; /* no flag is known to version 1 */
    uint64_t fingerprint;    /* of the model */
    uint32_t n_tokens;
    uint32_t n_cached; /* positions that the pages hold, at most n_tokens; 0: tokens only */
    struct blob_layout layout;
    uint64_t tokens_size, total_size; /* bytes; filled by the writer */
};

/* Pages that hold n_cached positions. */
uint32_t blob_n_pages(const struct blob_header *h);

struct blob_sum {
    uint64_t lanes[4], size;
    uint8_t tail[32];
};
void blob_sum_start(struct blob_sum *s);
void blob_sum_add(struct blob_sum *s, const void *data, size_t n);
uint64_t blob_sum_end(const struct blob_sum *s);

struct blob_writer {
    struct blob_sum sum;
    llm_write_fn write;
    void *user;
    uint64_t left;
};
/* Writes header and tokens. h gives fingerprint, n_tokens, n_cached and layout. A status of write's
 * ends it with that status. */
llm_status blob_write_start(struct blob_writer *w, const struct blob_header *h,
                            const int32_t *tokens, llm_write_fn write, void *user,
                            struct llm_error *error);
/* The bytes of the pages in order, cut as is convenient. */
llm_status blob_write_pages(struct blob_writer *w, const void *data, size_t n,
                            struct llm_error *error);
/* LLM_BAD_ARGUMENT unless just the pages' bytes were written. */
llm_status blob_write_end(struct blob_writer *w, struct llm_error *error);

struct blob_limits {
    uint64_t fingerprint; /* of the model that is to go on */
    uint32_t n_vocab;
    uint32_t max_tokens; /* of the session: more are LLM_CONTEXT_FULL */
};
struct blob_reader {
    struct blob_header header;
    int32_t *tokens; /* (header.n_tokens) valid after blob_verify */
    uint8_t *part;   /* BLOB_PART bytes that verifying reads into */
    struct blob_limits limits;
    llm_read_fn read;
    void *user;
    uint64_t at;                 /* next byte of the reading under way */
    struct blob_sum sum, before; /* before: of header and tokens */
    uint64_t verified;           /* the checksum, once it was found right */
    bool is_verified;
    struct {
        uint32_t value, shift, n;
    } varint;
    const struct alloc *alloc;
};
/* A blob that is none, damaged, cut, of another model or of a newer version is LLM_BAD_STATE, a
 * read that fails LLM_IO. */
llm_status blob_open(struct blob_reader *r, uint64_t size, llm_read_fn read, void *user,
                     const struct blob_limits *limits, const struct alloc *alloc,
                     struct llm_error *error);
/* Reads at most about max_bytes: LLM_RUNNING until all was read, then LLM_OK or why not. */
llm_status blob_verify(struct blob_reader *r, uint64_t max_bytes, struct llm_error *error);
/* The next n bytes of the pages. */
llm_status blob_pages(struct blob_reader *r, void *out, size_t n, struct llm_error *error);
llm_status blob_finish(struct blob_reader *r, struct llm_error *error);
void blob_close(struct blob_reader *r); /* zeroed and half-built ones too */

#endif

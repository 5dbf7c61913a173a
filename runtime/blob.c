#include "blob.h"

#include <inttypes.h>
#include <string.h>

#include "error.h"

static const uint8_t magic[8] = {'L', 'L', 'M', 'S', 'A', 'V', 'E', 0x1A};

/* ---- little-endian numbers
 * -------------------------------------------------------------------------------------------- */

static uint64_t get(const uint8_t *p, size_t size)
{
    uint64_t x = 0;
    for (size_t i = 0; i < size; i++) x |= (uint64_t)p[i] << 8 * i;
    return x;
}

static void put(uint8_t *p, uint64_t x, size_t size)
{
    for (size_t i = 0; i < size; i++) p[i] = (uint8_t)(x >> 8 * i);
}

/* ---- the checksum
 * -----------------------------------------------------------------------------------------------------
 */

static uint64_t rotate(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

/* Odd constants and rotations: for a fixed word a step is a bijection of the lane, for a fixed lane
 * one of the word, so that a single changed word always changes the end. */
static uint64_t step(uint64_t lane, uint64_t word)
{
    return rotate(lane ^ word * 0x9E3779B97F4A7C15u, 29) * 0xD6E8FEB86659FD93u;
}

static void stripe(uint64_t lanes[4], const uint8_t *p)
{
    for (int i = 0; i < 4; i++) lanes[i] = step(lanes[i], get(p + 8 * i, 8));
}

void blob_sum_start(struct blob_sum *s)
{
    *s = (struct blob_sum){.lanes = {1, 2, 3, 4}};
}

void blob_sum_add(struct blob_sum *s, const void *data, size_t n)
{
    const uint8_t *p = data;
    const size_t held = s->size % 32;
    s->size += n;
    if (held) {
        const size_t part = n < 32 - held ? n : 32 - held;
        memcpy(s->tail + held, p, part);
        if (held + part < 32) return;
        stripe(s->lanes, s->tail);
        p += part;
        n -= part;
    }
    for (; n >= 32; n -= 32, p += 32) stripe(s->lanes, p);
    if (n) memcpy(s->tail, p, n);
}

uint64_t blob_sum_end(const struct blob_sum *s)
{
    uint64_t lanes[4];
    uint8_t last[32] = {0};
    memcpy(lanes, s->lanes, sizeof lanes);
    memcpy(last, s->tail, s->size % 32);
    stripe(lanes, last);
    uint64_t sum = s->size;
    for (int i = 0; i < 4; i++) sum = step(sum, lanes[i]);
    return sum ^ sum >> 32;
}

static uint64_t sum_of(const void *data, size_t n)
{
    struct blob_sum s;
    blob_sum_start(&s);
    blob_sum_add(&s, data, n);
    return blob_sum_end(&s);
}

/* ---- the header
 * -------------------------------------------------------------------------------------------------------
 */

uint32_t blob_n_pages(const struct blob_header *h)
{
    return h->n_cached / KV_PAGE + (h->n_cached % KV_PAGE != 0);
}

/* One walk for both directions: each field's place is written once. */
static void header_walk(struct blob_header *h, uint8_t *bytes, bool store)
{
    uint32_t *const words[] = {&h->version,   &h->flags,         &h->n_tokens,     &h->n_cached,
                               &h->layout.kv, &h->layout.layers, &h->layout.floats};
    uint64_t *const longs[] = {&h->fingerprint, &h->layout.page_size, &h->tokens_size,
                               &h->total_size};
    uint8_t *p = bytes + sizeof magic;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++, p += 4) {
        if (store) put(p, *words[i], 4);
        else *words[i] = (uint32_t)get(p, 4);
    }
    p += 4; /* kept zero */
    for (size_t i = 0; i < sizeof longs / sizeof *longs; i++, p += 8) {
        if (store) put(p, *longs[i], 8);
        else *longs[i] = get(p, 8);
    }
}

/* The sizes add up to the whole, without overflow. */
static bool sizes_fit(const struct blob_header *h)
{
    uint64_t left = h->total_size;
    if (left < BLOB_HEADER + 8) return false;
    left -= BLOB_HEADER + 8;
    if (h->n_cached > h->n_tokens || h->tokens_size > left) return false;
    if (h->tokens_size < h->n_tokens || h->tokens_size > (uint64_t)h->n_tokens * 5) return false;
    left -= h->tokens_size;
    const uint64_t n_pages = blob_n_pages(h);
    if (n_pages == 0) return left == 0;
    return left / n_pages == h->layout.page_size && left % n_pages == 0;
}

/* ---- writing
 * ----------------------------------------------------------------------------------------------------------
 */

static size_t varint_put(uint8_t *p, uint32_t x)
{
    size_t n = 0;
    for (; x >= 128; x >>= 7) p[n++] = (uint8_t)(x | 128);
    p[n++] = (uint8_t)x;
    return n;
}

static llm_status emit(struct blob_writer *w, const void *data, size_t n, struct llm_error *error)
{
    blob_sum_add(&w->sum, data, n);
    const llm_status status = n ? w->write(w->user, data, n) : LLM_OK;
    return status == LLM_OK ? LLM_OK
                            : error_set(error, status, "saving was ended by the write function");
}

llm_status blob_write_start(struct blob_writer *w, const struct blob_header *h,
                            const int32_t *tokens, llm_write_fn write, void *user,
                            struct llm_error *error)
{
    uint8_t bytes[BLOB_HEADER] = {0}, varints[1000];
    struct blob_header out = *h;
    out.version = BLOB_VERSION;
    out.flags = 0;
    out.tokens_size = 0;
    for (uint32_t i = 0; i < h->n_tokens; i++)
        out.tokens_size += varint_put(varints, (uint32_t)tokens[i]);
    const uint64_t n_pages = blob_n_pages(h);
    const uint64_t around = BLOB_HEADER + 8 + out.tokens_size;
    if (h->n_cached > h->n_tokens ||
        (n_pages && h->layout.page_size > (UINT64_MAX - around) / n_pages))
        return error_set(error, LLM_BAD_ARGUMENT,
                         "%" PRIu32 " cached of %" PRIu32 " tokens, %" PRIu64 " bytes a page",
                         h->n_cached, h->n_tokens, h->layout.page_size);
    *w = (struct blob_writer){.write = write, .user = user, .left = n_pages * h->layout.page_size};
    blob_sum_start(&w->sum);
    out.total_size = around + w->left;
    memcpy(bytes, magic, sizeof magic);
    header_walk(&out, bytes, true);
    put(bytes + BLOB_HEADER - 8, sum_of(bytes, BLOB_HEADER - 8), 8);
    TRY(emit(w, bytes, sizeof bytes, error));
    size_t n = 0;
    for (uint32_t i = 0; i < h->n_tokens; i++) {
        n += varint_put(varints + n, (uint32_t)tokens[i]);
        if (n <= sizeof varints - 5) continue;
        TRY(emit(w, varints, n, error));
        n = 0;
    }
    return emit(w, varints, n, error);
}

llm_status blob_write_pages(struct blob_writer *w, const void *data, size_t n,
                            struct llm_error *error)
{
    if (n > w->left)
        return error_set(error, LLM_BAD_ARGUMENT, "%zu bytes of pages, but %" PRIu64 " are left", n,
                         w->left);
    w->left -= n;
    return emit(w, data, n, error);
}

llm_status blob_write_end(struct blob_writer *w, struct llm_error *error)
{
    if (w->left)
        return error_set(error, LLM_BAD_ARGUMENT, "%" PRIu64 " bytes of pages were not written",
                         w->left);
    uint8_t sum[8];
    put(sum, blob_sum_end(&w->sum), 8);
    return emit(w, sum, sizeof sum, error);
}

/* ---- reading
 * ----------------------------------------------------------------------------------------------------------
 */

static llm_status refuse(struct llm_error *error, const char *why)
{
    return error_set(error, LLM_BAD_STATE, "cannot restore the saved session: %s", why);
}

static llm_status fetch(struct blob_reader *r, void *out, size_t n, struct llm_error *error)
{
    const int64_t got = n ? r->read(r->user, r->at, out, n) : 0;
    if (got < 0 || (uint64_t)got != n)
        return error_set(error, LLM_IO,
                         "reading the saved session gave %" PRId64 " of %zu bytes at %" PRIu64, got,
                         n, r->at);
    r->at += n;
    return LLM_OK;
}

static llm_status header_check(const struct blob_reader *r, uint64_t size, const uint8_t *bytes,
                               struct llm_error *error)
{
    const struct blob_header *h = &r->header;
    if (memcmp(bytes, magic, sizeof magic) != 0) return refuse(error, "it is none");
    /* First: a newer version may have changed all that follows. */
    if (h->version > BLOB_VERSION) return refuse(error, "a newer version of this library saved it");
    if (get(bytes + BLOB_HEADER - 8, 8) != sum_of(bytes, BLOB_HEADER - 8))
        return refuse(error, "its header is damaged");
    if (h->version != BLOB_VERSION || h->flags != 0)
        return refuse(error, "its version or flags are unknown");
    if (h->total_size != size)
        return error_set(error, LLM_BAD_STATE,
                         "cannot restore the saved session: it has %" PRIu64
                         " bytes instead of %" PRIu64,
                         size, h->total_size);
    if (h->fingerprint != r->limits.fingerprint) return refuse(error, "another model saved it");
    if (!sizes_fit(h)) return refuse(error, "its sizes contradict each other");
    if (h->n_tokens > r->limits.max_tokens)
        return error_set(error, LLM_CONTEXT_FULL,
                         "the saved session has %" PRIu32 " tokens, the context %" PRIu32,
                         h->n_tokens, r->limits.max_tokens);
    return LLM_OK;
}

llm_status blob_open(struct blob_reader *r, uint64_t size, llm_read_fn read, void *user,
                     const struct blob_limits *limits, const struct alloc *alloc,
                     struct llm_error *error)
{
    uint8_t bytes[BLOB_HEADER];
    *r = (struct blob_reader){.limits = *limits, .read = read, .user = user, .alloc = alloc};
    TRY(fetch(r, bytes, size < sizeof bytes ? (size_t)size : sizeof bytes, error));
    if (size < BLOB_HEADER + 8) return refuse(error, "it is too short to be one");
    header_walk(&r->header, bytes, false);
    TRY(header_check(r, size, bytes, error));
    blob_sum_start(&r->sum);
    blob_sum_add(&r->sum, bytes, sizeof bytes);
    r->part = alloc_new(alloc, BLOB_PART);
    if (!r->part) return error_memory(error, "reading a saved session", BLOB_PART);
    if (r->header.n_tokens == 0) return LLM_OK;
    r->tokens = alloc_zero(alloc, r->header.n_tokens, sizeof *r->tokens);
    return r->tokens ? LLM_OK
                     : error_memory(error, "the saved tokens",
                                    (uint64_t)r->header.n_tokens * sizeof *r->tokens);
}

static llm_status tokens_decode(struct blob_reader *r, const uint8_t *p, size_t n,
                                struct llm_error *error)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = p[i] & 127;
        const bool wide = r->varint.shift > 28 || (r->varint.shift == 28 && bits > 15);
        if (wide || r->varint.n == r->header.n_tokens)
            return refuse(error, "its tokens are damaged");
        r->varint.value |= bits << r->varint.shift;
        r->varint.shift += 7;
        if (p[i] & 128) continue;
        if (r->varint.value >= r->limits.n_vocab)
            return refuse(error, "it holds a token that the model does not know");
        r->tokens[r->varint.n++] = (int32_t)r->varint.value;
        r->varint.value = r->varint.shift = 0;
    }
    return LLM_OK;
}

static llm_status verify_end(struct blob_reader *r, struct llm_error *error)
{
    uint8_t sum[8];
    TRY(fetch(r, sum, sizeof sum, error));
    r->verified = get(sum, 8);
    if (r->verified != blob_sum_end(&r->sum)) return refuse(error, "it is damaged");
    if (r->varint.n != r->header.n_tokens || r->varint.shift != 0)
        return refuse(error, "its tokens are damaged");
    r->is_verified = true;
    r->at = BLOB_HEADER + r->header.tokens_size; /* the second reading begins with the pages */
    r->sum = r->before;
    return LLM_OK;
}

llm_status blob_verify(struct blob_reader *r, uint64_t max_bytes, struct llm_error *error)
{
    const uint64_t tokens_end = BLOB_HEADER + r->header.tokens_size, end = r->header.total_size - 8;
    if (r->is_verified) return LLM_OK;
    for (uint64_t done = 0; r->at < end;) {
        if (done >= max_bytes && done) return LLM_RUNNING;
        const bool is_tokens = r->at < tokens_end;
        const uint64_t left = (is_tokens ? tokens_end : end) - r->at;
        const size_t n = left < BLOB_PART ? (size_t)left : BLOB_PART;
        if (r->at == tokens_end) r->before = r->sum;
        TRY(fetch(r, r->part, n, error));
        blob_sum_add(&r->sum, r->part, n);
        if (is_tokens) TRY(tokens_decode(r, r->part, n, error));
        done += n;
    }
    if (r->at == tokens_end) r->before = r->sum; /* no pages */
    return verify_end(r, error);
}

llm_status blob_pages(struct blob_reader *r, void *out, size_t n, struct llm_error *error)
{
    if (!r->is_verified || n > r->header.total_size - 8 - r->at)
        return error_set(error, LLM_BAD_ARGUMENT,
                         "%zu bytes of pages were asked for that there are not", n);
    TRY(fetch(r, out, n, error));
    blob_sum_add(&r->sum, out, n);
    return LLM_OK;
}

llm_status blob_finish(struct blob_reader *r, struct llm_error *error)
{
    if (!r->is_verified) return refuse(error, "it was not verified");
    if (r->at == r->header.total_size - 8 && blob_sum_end(&r->sum) == r->verified) return LLM_OK;
    return refuse(error, "its pages were not read to the end, or changed while they were read");
}

void blob_close(struct blob_reader *r)
{
    alloc_free(r->alloc, r->part, BLOB_PART);
    alloc_free(r->alloc, r->tokens, (size_t)r->header.n_tokens * sizeof *r->tokens);
    *r = (struct blob_reader){0};
}

#include "gguf.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "error.h"

enum {
    MIN_VALUE_SIZE = 8 + 4 + 1,          /* empty key, type, one byte */
    MIN_TENSOR_SIZE = 8 + 4 + 8 + 4 + 8, /* empty name, n_dims, one dimension, type, offset */
    DEFAULT_ALIGNMENT = 32,
    MIN_ALIGNMENT = 8,
    MAX_ALIGNMENT = 1 << 20,
};

static const struct {
    const char *name;
    size_t size;
} types[GGUF_N_TYPES] = {
    [GGUF_U8] = {"u8", 1},       [GGUF_I8] = {"i8", 1},
    [GGUF_U16] = {"u16", 2},     [GGUF_I16] = {"i16", 2},
    [GGUF_U32] = {"u32", 4},     [GGUF_I32] = {"i32", 4},
    [GGUF_F32] = {"f32", 4},     [GGUF_BOOL] = {"bool", 1},
    [GGUF_U64] = {"u64", 8},     [GGUF_I64] = {"i64", 8},
    [GGUF_F64] = {"f64", 8},     [GGUF_STRING] = {"string", 8}, /* at least: its length */
    [GGUF_ARRAY] = {"array", 0},
};

static uint64_t load_uint(const uint8_t *p, size_t size)
{
    uint64_t x = 0;
    for (size_t i = size; i > 0; i--) x = x << 8 | p[i - 1];
    return x;
}

/* ---- what a file that is no GGUF looks like ---- */

static const struct {
    size_t at;
    const char *bytes;
    size_t size;
    const char *looks;
} magics[] = {
    {0, "FUGG", 4, "GGUF of a big-endian machine; convert it for little-endian ones"},
    {0, "tjgg", 4, "ggjt, a format older than GGUF; convert the original model again"},
    {0, "fmgg", 4, "ggmf, a format older than GGUF; convert the original model again"},
    {0, "lmgg", 4, "ggml, a format older than GGUF; convert the original model again"},
    {0, "algg", 4, "a LoRA adapter in a format older than GGUF"},
    {8, "{\"", 2, "safetensors; convert it to GGUF"},
    {0, "PK\3\4", 4, "a zip archive or a PyTorch checkpoint"},
    {0, "\x80\2", 2, "a Python pickle"},
    {0, "\x1f\x8b", 2, "a gzip archive; unpack it first"},
    {0, "\x28\xb5\x2f\xfd", 4, "a zstd archive; unpack it first"},
    {0, "7z\xbc\xaf", 4, "a 7z archive; unpack it first"},
    {0, "version http", 12, "a Git LFS pointer; the model itself was not downloaded"},
    {0, "<!", 2, "a web page; the download went wrong"},
    {0, "<h", 2, "a web page; the download went wrong"},
    {0, "{", 1, "JSON"},
    {0, "\0\0\0\0", 4, "zeros; the download did not finish"},
};

static llm_status bad_magic(const uint8_t *data, size_t n, struct llm_error *error)
{
    for (size_t i = 0; i < sizeof magics / sizeof *magics; i++) {
        if (magics[i].at > n || magics[i].size > n - magics[i].at) continue;
        if (memcmp(data + magics[i].at, magics[i].bytes, magics[i].size) != 0) continue;
        return error_set(error, LLM_BAD_MODEL, "not a GGUF file: it looks like %s",
                         magics[i].looks);
    }
    if (n == 0) return error_set(error, LLM_BAD_MODEL, "not a GGUF file: it is empty");
    char name[68];
    return error_set(error, LLM_BAD_MODEL, "not a GGUF file: it begins with \"%s\"",
                     error_name(name, (const char *)data, n < 4 ? n : 4));
}

/* ---- reading: each length is subtracted from what is left ---- */

struct reader {
    const uint8_t *at;
    size_t left;      /* bytes at hand */
    uint64_t beyond;  /* bytes of the file that are not at hand */
    const char *part; /* for messages: what is being read, and the last name met */
    struct gguf_string name;
    struct llm_error *error;
};

/* Is there room for n items of at least size bytes each? */
static llm_status reader_need(const struct reader *r, uint64_t n, size_t size)
{
    if (n <= r->left / size) return LLM_OK;
    uint64_t rest = r->left + r->beyond;
    if (n <= rest / size) return LLM_RUNNING;
    char name[68];
    return error_set(r->error, LLM_BAD_MODEL,
                     "the file is cut or damaged: in the %s at \"%s\", %" PRIu64
                     " items of %zu bytes or more do not fit in the "
                     "last %" PRIu64 " bytes",
                     r->part, error_name(name, r->name.text, r->name.size), n, size, rest);
}

static llm_status reader_take(struct reader *r, uint64_t n, size_t size, const uint8_t **out)
{
    TRY(reader_need(r, n, size));
    *out = r->at;
    r->at += (size_t)n * size;
    r->left -= (size_t)n * size;
    return LLM_OK;
}

static llm_status reader_u32(struct reader *r, uint32_t *out)
{
    const uint8_t *p;
    TRY(reader_take(r, 1, 4, &p));
    *out = (uint32_t)load_uint(p, 4);
    return LLM_OK;
}

static llm_status reader_u64(struct reader *r, uint64_t *out)
{
    const uint8_t *p;
    TRY(reader_take(r, 1, 8, &p));
    *out = load_uint(p, 8);
    return LLM_OK;
}

static llm_status reader_string(struct reader *r, struct gguf_string *out)
{
    uint64_t size;
    const uint8_t *p;
    TRY(reader_u64(r, &size));
    TRY(reader_take(r, size, 1, &p));
    *out = (struct gguf_string){(const char *)p, (size_t)size};
    return LLM_OK;
}

/* ---- header and metadata ---- */

struct counts {
    uint64_t values, tensors;
}; /* as the file has them: not to be believed yet */

static llm_status read_header(struct reader *r, struct gguf *g, struct counts *counts)
{
    enum { ENOUGH = 16 }; /* to tell what it is */
    if (r->left < ENOUGH && r->beyond) return LLM_RUNNING;
    if (r->left < 4 || memcmp(r->at, "GGUF", 4) != 0) return bad_magic(r->at, r->left, r->error);
    const uint8_t *magic;
    TRY(reader_take(r, 4, 1, &magic));
    r->name = (struct gguf_string){(const char *)magic, 4};
    TRY(reader_u32(r, &g->version));
    if (g->version == 2u << 24 || g->version == 3u << 24)
        return error_set(r->error, LLM_BAD_MODEL,
                         "this is a big-endian GGUF file; convert it for little-endian machines");
    if (g->version < 2 || g->version > 3)
        return error_set(r->error, LLM_BAD_MODEL,
                         "GGUF version %" PRIu32 " is too %s: versions 2 and 3 are read",
                         g->version, g->version < 2 ? "old" : "new");
    TRY(reader_u64(r, &counts->tensors));
    return reader_u64(r, &counts->values);
}

static llm_status read_type(struct reader *r, enum gguf_type *out)
{
    uint32_t type;
    TRY(reader_u32(r, &type));
    if (type < GGUF_N_TYPES) {
        *out = (enum gguf_type)type;
        return LLM_OK;
    }
    char name[68];
    return error_set(r->error, LLM_BAD_MODEL, "the value of \"%s\" is of the unknown type %" PRIu32,
                     error_name(name, r->name.text, r->name.size), type);
}

static llm_status read_value(struct reader *r, struct gguf_value *v)
{
    TRY(reader_string(r, &v->key));
    r->name = v->key;
    TRY(read_type(r, &v->type));
    v->item_type = v->type;
    v->n = 1;
    if (v->type == GGUF_ARRAY) {
        TRY(read_type(r, &v->item_type));
        TRY(reader_u64(r, &v->n));
    }
    if (v->item_type == GGUF_ARRAY) {
        char name[68];
        return error_set(r->error, LLM_BAD_MODEL, "the value of \"%s\" is an array of arrays",
                         error_name(name, v->key.text, v->key.size));
    }
    v->data = r->at;
    TRY(reader_need(r, v->n, types[v->item_type].size));
    if (v->item_type == GGUF_STRING) {
        struct gguf_string text;
        for (uint64_t i = 0; i < v->n; i++) TRY(reader_string(r, &text));
    } else {
        const uint8_t *items;
        TRY(reader_take(r, v->n, types[v->item_type].size, &items));
    }
    v->size = (size_t)(r->at - v->data);
    return LLM_OK;
}

static llm_status read_values(struct reader *r, struct gguf *g, uint64_t n)
{
    r->part = "metadata";
    TRY(reader_need(r, n, MIN_VALUE_SIZE));
    if (n == 0) return LLM_OK;
    g->values = alloc_zero(g->alloc, (size_t)n, sizeof *g->values);
    if (!g->values) return error_memory(r->error, "the metadata of a model", n * sizeof *g->values);
    g->n_values = n;
    for (uint64_t i = 0; i < n; i++) TRY(read_value(r, &g->values[i]));
    return LLM_OK;
}

/* ---- tensors ---- */

static llm_status bad_type(uint32_t type, const char *name, struct llm_error *error)
{
    const struct quant_foreign *foreign = quant_foreign(type);
    if (foreign)
        return error_set(error, LLM_UNSUPPORTED, "tensor \"%s\" is %s, a format %s", name,
                         foreign->name, foreign->why);
    return error_set(error, LLM_BAD_MODEL, "tensor \"%s\" is of type %" PRIu32 ", which is unknown",
                     name, type);
}

static llm_status check_shape(const struct reader *r, struct gguf_tensor *t, uint32_t type)
{
    char name[68];
    error_name(name, t->name.text, t->name.size);
    const struct quant_info *info = quant_info(type);
    if (!info) return bad_type(type, name, r->error);
    uint64_t weights = 1;
    for (uint32_t i = 0; i < t->n_dims; i++) {
        if (t->dims[i] == 0)
            return error_set(r->error, LLM_BAD_MODEL, "tensor \"%s\" has a dimension of 0", name);
        if (weights > INT64_MAX / t->dims[i])
            return error_set(r->error, LLM_BAD_MODEL, "tensor \"%s\" has impossible dimensions",
                             name);
        weights *= t->dims[i];
    }
    if (t->dims[0] % info->block)
        return error_set(r->error, LLM_BAD_MODEL,
                         "tensor \"%s\" has rows of %" PRIu64
                         " weights, not a multiple of %s's block of %" PRIu32,
                         name, t->dims[0], info->name, info->block);
    uint64_t n_blocks = weights / info->block;
    if (n_blocks > UINT64_MAX / info->block_size)
        return error_set(r->error, LLM_BAD_MODEL, "tensor \"%s\" has impossible dimensions", name);
    t->type = info->type;
    t->size = n_blocks * info->block_size;
    return LLM_OK;
}

static llm_status read_tensor(struct reader *r, struct gguf_tensor *t)
{
    TRY(reader_string(r, &t->name));
    r->name = t->name;
    TRY(reader_u32(r, &t->n_dims));
    if (t->n_dims < 1 || t->n_dims > 4) {
        char name[68];
        return error_set(r->error, LLM_BAD_MODEL,
                         "tensor \"%s\" has %" PRIu32 " dimensions, not 1 to 4",
                         error_name(name, t->name.text, t->name.size), t->n_dims);
    }
    for (uint32_t i = 0; i < 4; i++) t->dims[i] = 1;
    for (uint32_t i = 0; i < t->n_dims; i++) TRY(reader_u64(r, &t->dims[i]));
    uint32_t type;
    TRY(reader_u32(r, &type));
    TRY(reader_u64(r, &t->offset));
    return check_shape(r, t, type);
}

static llm_status read_tensors(struct reader *r, struct gguf *g, uint64_t n)
{
    r->part = "list of tensors";
    TRY(reader_need(r, n, MIN_TENSOR_SIZE));
    if (n == 0) return LLM_OK;
    g->tensors = alloc_zero(g->alloc, (size_t)n, sizeof *g->tensors);
    if (!g->tensors)
        return error_memory(r->error, "the list of tensors of a model", n * sizeof *g->tensors);
    g->n_tensors = n;
    for (uint64_t i = 0; i < n; i++) TRY(read_tensor(r, &g->tensors[i]));
    return LLM_OK;
}

static llm_status read_alignment(struct gguf *g, struct llm_error *error)
{
    uint32_t alignment = DEFAULT_ALIGNMENT;
    TRY(gguf_get_u32(g, "general.alignment", &alignment, error));
    if (alignment < MIN_ALIGNMENT || alignment > MAX_ALIGNMENT || (alignment & (alignment - 1)))
        return error_set(error, LLM_BAD_MODEL,
                         "general.alignment is %" PRIu32 ", not a power of two from %d to %d",
                         alignment, MIN_ALIGNMENT, MAX_ALIGNMENT);
    g->alignment = alignment;
    return LLM_OK;
}

/* Turns offsets into the data into offsets into the file. */
static llm_status place_tensors(struct gguf *g, uint64_t file_size, struct llm_error *error)
{
    uint64_t room = file_size > g->data_offset ? file_size - g->data_offset : 0;
    for (uint64_t i = 0; i < g->n_tensors; i++) {
        struct gguf_tensor *t = &g->tensors[i];
        char name[68];
        error_name(name, t->name.text, t->name.size);
        if (t->offset % g->alignment)
            return error_set(error, LLM_BAD_MODEL,
                             "tensor \"%s\" lies at %" PRIu64 ", which is not aligned to %" PRIu64,
                             name, t->offset, g->alignment);
        if (t->offset > room || t->size > room - t->offset)
            return error_set(error, LLM_BAD_MODEL,
                             "the file is cut: tensor \"%s\" of %" PRIu64 " bytes at %" PRIu64
                             " of the data does not fit in the %" PRIu64 " bytes there are",
                             name, t->size, t->offset, room);
        t->offset += g->data_offset;
    }
    return LLM_OK;
}

/* ---- index: pointers to the keys, sorted, then to the names of the tensors, sorted ---- */

static int compare(const struct gguf_string *a, const struct gguf_string *b)
{
    size_t n = a->size < b->size ? a->size : b->size;
    int order = n ? memcmp(a->text, b->text, n) : 0;
    return order ? order : (a->size > b->size) - (a->size < b->size);
}

static void sift(const struct gguf_string **heap, size_t i, size_t n)
{
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && compare(heap[child], heap[child + 1]) < 0) child++;
        if (compare(heap[i], heap[child]) >= 0) return;
        const struct gguf_string *top = heap[i];
        heap[i] = heap[child];
        heap[child] = top;
    }
}

/* Heapsort: no file makes it quadratic, and unlike qsort it never allocates. */
static void sort(const struct gguf_string **names, size_t n)
{
    for (size_t i = n / 2; i > 0; i--) sift(names, i - 1, n);
    for (size_t end = n; end > 1; end--) {
        const struct gguf_string *last = names[0];
        names[0] = names[end - 1];
        names[end - 1] = last;
        sift(names, 0, end - 1);
    }
}

static llm_status sort_unique(const struct gguf_string **names, size_t n, const char *what,
                              struct llm_error *error)
{
    sort(names, n);
    for (size_t i = 1; i < n; i++) {
        if (compare(names[i - 1], names[i]) != 0) continue;
        char name[68];
        return error_set(error, LLM_BAD_MODEL, "%s \"%s\" is there twice", what,
                         error_name(name, names[i]->text, names[i]->size));
    }
    return LLM_OK;
}

static llm_status build_index(struct gguf *g, struct llm_error *error)
{
    size_t n_values = (size_t)g->n_values, n_tensors = (size_t)g->n_tensors;
    if (n_values + n_tensors == 0) return LLM_OK;
    const struct gguf_string **names = alloc_zero(g->alloc, n_values + n_tensors, sizeof *names);
    if (!names)
        return error_memory(error, "the names in a model",
                            (g->n_values + g->n_tensors) * sizeof *names);
    g->index = names;
    for (size_t i = 0; i < n_values; i++) names[i] = &g->values[i].key;
    for (size_t i = 0; i < n_tensors; i++) names[n_values + i] = &g->tensors[i].name;
    TRY(sort_unique(names, n_values, "key", error));
    return sort_unique(names + n_values, n_tensors, "tensor", error);
}

static size_t search(const struct gguf_string *const *names, size_t n, const char *text)
{
    const struct gguf_string wanted = {text, strlen(text)};
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare(names[middle], &wanted);
        if (order == 0) return middle;
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return n;
}

/* key and name are the first members of their structs: a pointer to one is a pointer to the other.
 */
const struct gguf_value *gguf_find(const struct gguf *g, const char *key)
{
    const struct gguf_string *const *names = g->index;
    size_t n = (size_t)g->n_values, i = names ? search(names, n, key) : n;
    return i < n ? (const struct gguf_value *)(const void *)names[i] : NULL;
}

const struct gguf_tensor *gguf_tensor(const struct gguf *g, const char *name)
{
    const struct gguf_string *const *names = g->index;
    size_t n = (size_t)g->n_tensors, i = names ? search(names + g->n_values, n, name) : n;
    return i < n ? (const struct gguf_tensor *)(const void *)names[g->n_values + i] : NULL;
}

/* ---- open and free ---- */

static llm_status parse(struct gguf *g, struct reader *r, const uint8_t *data, uint64_t file_size)
{
    struct counts counts;
    TRY(read_header(r, g, &counts));
    TRY(read_values(r, g, counts.values));
    TRY(read_tensors(r, g, counts.tensors));
    uint64_t end = (uint64_t)(r->at - data);
    TRY(build_index(g, r->error));
    TRY(read_alignment(g, r->error));
    g->data_offset = (end + g->alignment - 1) / g->alignment * g->alignment;
    return place_tensors(g, file_size, r->error);
}

llm_status gguf_parse(struct gguf *g, const void *data, size_t n, uint64_t file_size,
                      const struct alloc *alloc, struct llm_error *error)
{
    *g = (struct gguf){.alloc = alloc};
    if (n > file_size) n = (size_t)file_size;
    struct reader r = {
        .at = data, .left = n, .beyond = file_size - n, .part = "header", .error = error};
    llm_status status = parse(g, &r, data, file_size);
    if (status != LLM_OK) gguf_free(g);
    return status;
}

static void free_index(struct gguf *g)
{
    size_t n = (size_t)(g->n_values + g->n_tensors);
    alloc_free(g->alloc, g->index, n * sizeof(const struct gguf_string *));
    g->index = NULL;
}

void gguf_free(struct gguf *g)
{
    const struct alloc *alloc = g->alloc;
    if (alloc) {
        free_index(g);
        alloc_free(alloc, g->values, (size_t)g->n_values * sizeof *g->values);
        alloc_free(alloc, g->tensors, (size_t)g->n_tensors * sizeof *g->tensors);
    }
    *g = (struct gguf){.alloc = alloc};
}

llm_status gguf_join(struct gguf *g, struct gguf *part, uint64_t base, struct llm_error *error)
{
    size_t had = (size_t)g->n_tensors, added = (size_t)part->n_tensors;
    size_t size = (had + added) * sizeof *g->tensors;
    if (added) {
        struct gguf_tensor *tensors =
            g->alloc->realloc(g->alloc->user, g->tensors, had * sizeof *tensors, size);
        if (!tensors) return error_memory(error, "the list of tensors of a model", size);
        free_index(g);
        g->tensors = tensors;
        g->n_tensors += added;
        memcpy(tensors + had, part->tensors, added * sizeof *tensors);
        for (size_t i = had; i < had + added; i++) tensors[i].offset += base;
    }
    gguf_free(part);
    return added ? build_index(g, error) : LLM_OK;
}

/* ---- values ---- */

bool gguf_next_string(const struct gguf_value *v, const uint8_t **at, struct gguf_string *out)
{
    const uint8_t *end = v->data + v->size;
    if (v->item_type != GGUF_STRING || *at >= end) return false;
    size_t size = (size_t)load_uint(*at, 8);
    *out = (struct gguf_string){(const char *)*at + 8, size};
    *at += 8 + size;
    return true;
}

static bool is_int(enum gguf_type type)
{
    return type != GGUF_F32 && type != GGUF_F64 && type != GGUF_STRING && type != GGUF_ARRAY;
}

static bool is_signed(enum gguf_type type)
{
    return type == GGUF_I8 || type == GGUF_I16 || type == GGUF_I32 || type == GGUF_I64;
}

static double load_float(const uint8_t *p, enum gguf_type type)
{
    uint64_t bits64 = load_uint(p, types[type].size);
    uint32_t bits32 = (uint32_t)bits64;
    double f64;
    float f32;
    memcpy(&f64, &bits64, sizeof f64);
    memcpy(&f32, &bits32, sizeof f32);
    return type == GGUF_F64 ? f64 : (double)f32;
}

static const uint8_t *item(const struct gguf_value *v, uint64_t i)
{
    return i < v->n && v->item_type != GGUF_STRING ? v->data + (size_t)i * types[v->item_type].size
                                                   : NULL;
}

int64_t gguf_item_int(const struct gguf_value *v, uint64_t i)
{
    const uint8_t *p = item(v, i);
    if (!p) return 0;
    if (!is_int(v->item_type)) {
        double x = load_float(p, v->item_type);
        if (isnan(x)) return 0;
        return x >= 0x1p63 ? INT64_MAX : x <= -0x1p63 ? INT64_MIN : (int64_t)x;
    }
    size_t size = types[v->item_type].size;
    uint64_t x = load_uint(p, size);
    if (!is_signed(v->item_type)) return x > INT64_MAX ? INT64_MAX : (int64_t)x;
    uint64_t sign = 1ull << (8 * size - 1);
    return x & sign ? (int64_t)(x & (sign - 1)) - (int64_t)(sign - 1) - 1 : (int64_t)x;
}

double gguf_item_float(const struct gguf_value *v, uint64_t i)
{
    const uint8_t *p = item(v, i);
    if (!p) return 0;
    if (!is_int(v->item_type)) return load_float(p, v->item_type);
    if (v->item_type == GGUF_U64) return (double)load_uint(p, 8);
    return (double)gguf_item_int(v, i);
}

static llm_status wrong_type(const struct gguf_value *v, const char *key, const char *wanted,
                             struct llm_error *error)
{
    return error_set(error, LLM_BAD_MODEL, "%s is of type %s, not %s", key, types[v->type].name,
                     wanted);
}

llm_status gguf_get_u32(const struct gguf *g, const char *key, uint32_t *out,
                        struct llm_error *error)
{
    const struct gguf_value *v = gguf_find(g, key);
    if (!v) return LLM_OK;
    if (!is_int(v->type) || v->type == GGUF_BOOL) return wrong_type(v, key, "an integer", error);
    int64_t x = gguf_item_int(v, 0);
    if (x < 0 || x > UINT32_MAX)
        return error_set(error, LLM_BAD_MODEL, "%s is %" PRId64 ", not 0 to %" PRIu32, key, x,
                         UINT32_MAX);
    *out = (uint32_t)x;
    return LLM_OK;
}

llm_status gguf_get_f32(const struct gguf *g, const char *key, float *out, struct llm_error *error)
{
    const struct gguf_value *v = gguf_find(g, key);
    if (!v) return LLM_OK;
    if (v->type != GGUF_F32 && v->type != GGUF_F64) return wrong_type(v, key, "a float", error);
    double x = gguf_item_float(v, 0);
    if (!(fabs(x) <= (double)FLT_MAX))
        return error_set(error, LLM_BAD_MODEL, "%s is %g, not a finite float", key, x);
    *out = (float)x;
    return LLM_OK;
}

llm_status gguf_get_bool(const struct gguf *g, const char *key, bool *out, struct llm_error *error)
{
    const struct gguf_value *v = gguf_find(g, key);
    if (!v) return LLM_OK;
    if (v->type != GGUF_BOOL) return wrong_type(v, key, "a bool", error);
    *out = v->data[0] != 0;
    return LLM_OK;
}

llm_status gguf_get_string(const struct gguf *g, const char *key, struct gguf_string *out,
                           struct llm_error *error)
{
    const struct gguf_value *v = gguf_find(g, key);
    if (!v) return LLM_OK;
    if (v->type != GGUF_STRING) return wrong_type(v, key, "a string", error);
    const uint8_t *at = v->data;
    gguf_next_string(v, &at, out);
    return LLM_OK;
}

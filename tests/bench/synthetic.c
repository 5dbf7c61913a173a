/* synthetic - writes a llama model of any shape and weight format with random weights: for
 * measuring speed without a download. Each block is drawn from a pool of encoded ones, so that
 * writing is as fast as the disk.
 *
 *   synthetic OUT.gguf 135M|1B|7B Q4_0 [name=value ...]
 *
 * Names are those of the table `fields` below, and embedding (the format of the embedding and the
 * output matrix). */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model_make.h"

/* SmolLM2-135M, Llama 3.2 1B and Llama 2 7B, by their published configurations: dim, layers, heads,
 * KV heads, head dim, hidden, vocab, context. */
static const struct model_shape presets[] = {
    {576, 30, 9, 3, 64, 1536, 49152, 8192, .rope_base = 100000, .tied = true, .name = "135M"},
    {2048, 16, 32, 8, 64, 8192, 128256, 131072, .rope_base = 500000, .tied = true, .name = "1B"},
    {4096, 32, 32, 32, 128, 11008, 32000, 8192, .rope_base = 10000, .name = "7B"},
};

static const struct {
    const char *name;
    size_t at;
} fields[] = {
    {"dim", offsetof(struct model_shape, dim)},
    {"layers", offsetof(struct model_shape, n_layers)},
    {"heads", offsetof(struct model_shape, n_heads)},
    {"kv_heads", offsetof(struct model_shape, n_kv_heads)},
    {"head_dim", offsetof(struct model_shape, head_dim)},
    {"hidden", offsetof(struct model_shape, hidden)},
    {"vocab", offsetof(struct model_shape, vocab)},
    {"context", offsetof(struct model_shape, context)},
    {"experts", offsetof(struct model_shape, experts.n)},
    {"used", offsetof(struct model_shape, experts.used)},
    {"expert_hidden", offsetof(struct model_shape, experts.hidden)},
};

static _Noreturn void fail(const char *what, const char *name)
{
    fprintf(stderr, "%s: %s\n", name, what);
    exit(1);
}

static enum quant_type type_of(const char *name)
{
#define SAME(constant, id, text, weights, bytes)                                                   \
    if (strcmp(name, text) == 0) return constant;
    QUANT_LIST(SAME)
#undef SAME
    fail("no such format", name);
}

/* ---- pools ---- */

enum { POOL_WEIGHTS = 1 << 20, UNIT = 32, BUFFER = 1 << 20, MAX_POOLS = 16 };

/* Encoded units of weights, each a block or 32 weights. */
struct pool {
    enum quant_type type;
    float mean, spread;
    uint8_t *units;
    size_t unit_size, n;
};

static uint64_t random_state = 1;

static void *memory(size_t size)
{
    void *p = malloc(size);
    if (!p) fail("out of memory", "synthetic");
    return p;
}

static struct pool pool_make(const struct model_tensor *t)
{
    const struct quant_info *info = quant_info(t->type);
    size_t unit = info->block > UNIT ? info->block : UNIT;
    struct pool p = {.type = t->type,
                     .mean = t->mean,
                     .spread = t->spread,
                     .unit_size = unit / info->block * info->block_size,
                     .n = POOL_WEIGHTS / unit};
    float *weights = memory(POOL_WEIGHTS * sizeof *weights);
    for (size_t i = 0; i < POOL_WEIGHTS; i++)
        weights[i] = t->mean + t->spread * model_uniform(&random_state);
    p.units = memory(p.n * p.unit_size);
    quant_encode(t->type, weights, p.units, POOL_WEIGHTS);
    free(weights);
    return p;
}

static const struct pool *pool_of(const struct model_tensor *t)
{
    static struct pool pools[MAX_POOLS];
    static size_t n_pools;
    for (size_t i = 0; i < n_pools; i++)
        if (pools[i].type == t->type && pools[i].mean == t->mean && pools[i].spread == t->spread)
            return &pools[i];
    if (n_pools == MAX_POOLS) free(pools[--n_pools].units);
    pools[n_pools] = pool_make(t);
    return &pools[n_pools++];
}

/* ---- the file ---- */

static void put(FILE *file, const void *data, size_t size, const char *path)
{
    if (fwrite(data, 1, size, file) != size) fail("cannot write", path);
}

static void put_tensor(FILE *file, const struct model_tensor *t, const char *path)
{
    static uint8_t buffer[BUFFER];
    const struct pool *p = pool_of(t);
    for (uint64_t left = t->size; left > 0;) {
        size_t n = 0;
        while (n < left && n + p->unit_size <= sizeof buffer) {
            size_t unit = (size_t)(((model_random(&random_state) >> 32) * p->n) >> 32);
            memcpy(buffer + n, p->units + unit * p->unit_size, p->unit_size);
            n += p->unit_size;
        }
        if (n > left) n = (size_t)left;
        put(file, buffer, n, path);
        left -= n;
    }
    static const uint8_t zeros[32];
    put(file, zeros, (size_t)(-t->size % 32), path);
}

static void write_model(const struct model_shape *shape, const char *path)
{
    struct model_tensor *tensors;
    size_t size, n;
    uint8_t *header = model_make_header(shape, &size, &tensors, &n);
    FILE *file = fopen(path, "wb");
    if (!file) fail("cannot create", path);
    put(file, header, size, path);
    for (size_t i = 0; i < n; i++) put_tensor(file, &tensors[i], path);
    if (fclose(file)) fail("cannot write", path);
    free(header);
    free(tensors);
}

/* ---- arguments ---- */

/* As llama.cpp's quantizer: the output matrix, or the embedding that stands for it, is kept finer.
 */
static enum quant_type output_type(enum quant_type type)
{
    return quant_info(type)->block == 1 || type == QUANT_Q8_0 ? type : QUANT_Q6_K;
}

static void set_field(struct model_shape *shape, const char *argument)
{
    const char *value = strchr(argument, '=');
    if (!value) fail("name=value is wanted", argument);
    size_t n = (size_t)(value - argument);
    if (n == strlen("embedding") && strncmp(argument, "embedding", n) == 0) {
        shape->embedding = shape->output = type_of(value + 1);
        return;
    }
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (strlen(fields[i].name) != n || strncmp(fields[i].name, argument, n)) continue;
        uint32_t number = (uint32_t)strtoul(value + 1, NULL, 10);
        if (!number) fail("a number above 0 is wanted", argument);
        memcpy((char *)shape + fields[i].at, &number, sizeof number);
        return;
    }
    fail("no such name", argument);
}

static const struct model_shape *preset(const char *name)
{
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++)
        if (strcmp(presets[i].name, name) == 0) return &presets[i];
    fail("no such preset (135M, 1B, 7B)", name);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: synthetic OUT.gguf 135M|1B|7B TYPE [name=value ...]\n");
        return 2;
    }
    struct model_shape shape = *preset(argv[2]);
    char name[64];
    snprintf(name, sizeof name, "synthetic %.40s", argv[2]);
    shape.name = name;
    shape.attention = shape.ffn = type_of(argv[3]);
    shape.output = output_type(shape.ffn);
    shape.embedding = shape.tied ? shape.output : shape.ffn;
    for (int i = 4; i < argc; i++) set_field(&shape, argv[i]);
    if (shape.vocab < 260) fail("at least 260 are needed", "vocab");
    shape.gpt2 = true;
    write_model(&shape, argv[1]);
    return 0;
}

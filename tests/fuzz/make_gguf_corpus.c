/* Writes the corpus of fuzz_gguf into a folder: small files that are right, and ones that are wrong
 * in one place. From the root:
 *   cc -Iruntime -Itests/support tests/fuzz/make_gguf_corpus.c tests/support/gguf_write.c \
 *      runtime/gguf.c runtime/error.c runtime/quant*.c runtime/alloc.c -lm -o make_corpus &&
 * ./make_corpus tests/fuzz/gguf */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gguf_write.h"

static const char *folder;

static void save(const char *name, const uint8_t *data, size_t size)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 1, size, file) != size || fclose(file)) exit(1);
}

static void finish(struct gguf_write *w, const char *name)
{
    size_t size;
    uint8_t *data = gguf_write_finish(w, &size);
    save(name, data, size);
    free(data);
}

static void everything(struct gguf_write *w)
{
    static const float weights[256] = {1, 2, 3};
    const uint64_t eight = 8;
    for (int type = 0; type < GGUF_N_TYPES; type++) {
        char key[16];
        snprintf(key, sizeof key, "value.%d", type);
        if (type == GGUF_STRING) gguf_write_string(w, key, "text");
        else if (type != GGUF_ARRAY) gguf_write_number(w, key, (enum gguf_type)type, &eight);
    }
    gguf_write_array(w, "numbers", GGUF_I16, (const int16_t[]){1, -2, 3}, 3);
    gguf_write_strings(w, "strings", (const char *const[]){"a", "", "ccc"}, 3);
    gguf_write_tensor(w, "one", QUANT_F32, 1, (const uint64_t[]){5}, weights);
    gguf_write_tensor(w, "four", QUANT_Q4_0, 4, (const uint64_t[]){32, 2, 2, 2}, weights);
}

static void right(void)
{
    static const float weights[256] = {1, -1};
    static const uint32_t alignments[] = {0, 8, 64, 1024};
    char name[64];
    struct gguf_write w = {.version = 3};
    finish(&w, "empty_v3");
    w.version = 2;
    finish(&w, "empty_v2");
    for (size_t i = 0; i < 4; i++) {
        w.alignment = alignments[i];
        everything(&w);
        snprintf(name, sizeof name, "all_aligned_%u", alignments[i]);
        finish(&w, name);
    }
#define QUANT_FILE(constant, id, text, n, size)                                                    \
    gguf_write_tensor(&w, "t", constant, 1, (const uint64_t[]){n}, weights);                       \
    finish(&w, "tensor_" text);
    QUANT_LIST(QUANT_FILE)
#undef QUANT_FILE
}

/* One patch of the file with everything. */
static void wrong(void)
{
    static const struct {
        const char *name;
        const char *after;
        size_t skip;
        uint8_t byte;
    } patches[] = {
        {"no_magic", "GGUF", 0, 'X'},
        {"version_1", "GGUF", 4, 1},
        {"version_new", "GGUF", 4, 4},
        {"many_tensors", "GGUF", 15, 0x7f},
        {"many_values", "GGUF", 23, 0xff},
        {"long_key", "value.0", 0, 0xff},
        {"bad_type", "value.0", 7, 99},
        {"nested", "numbers", 11, 9},
        {"long_array", "numbers", 22, 0x10},
        {"long_string", "strings", 26, 0xff},
        {"no_dims", "one", 3, 0},
        {"five_dims", "four", 4, 5},
        {"huge_dims", "four", 15, 0x40},
        {"short_row", "four", 8, 31},
        {"bad_quant", "four", 40, 9},
        {"off_alignment", "four", 44, 1},
        {"outside", "four", 50, 1},
        {"twice", "value.1", 6, '2'},
    };
    struct gguf_write w = {.version = 3};
    everything(&w);
    size_t size;
    uint8_t *data = gguf_write_finish(&w, &size);
    for (size_t i = 0; i < sizeof patches / sizeof *patches; i++) {
        size_t at = 0, n = strlen(patches[i].after);
        while (memcmp(data + at, patches[i].after, n) != 0) at++;
        at += strcmp(patches[i].name, "long_key") ? patches[i].skip : (size_t)-4;
        uint8_t was = data[at];
        data[at] = patches[i].byte;
        save(patches[i].name, data, size);
        data[at] = was;
    }
    save("cut_data", data, size - 1);
    save("cut_tensors", data, size / 2);
    save("cut_header", data, 20);
    free(data);
}

/* Parts of a split file: right, and beside what there can be. */
static void parts(void)
{
    static const struct {
        const char *name;
        uint32_t no, count, tensors;
    } headers[] = {
        {"part_none", 1, 2, 48},
        {"part_whole", 0, 1, 0},
        {"part_beyond", 7, 3, 48},
        {"part_many", 0, UINT32_MAX, UINT32_MAX},
    };
    struct gguf_write w = {.version = 3};
    everything(&w);
    size_t size, part_size;
    uint8_t *data = gguf_write_finish(&w, &size);
    for (uint32_t no = 0; no < 2; no++) {
        uint8_t *part = gguf_write_part(data, size, no, 2, false, &part_size);
        save(no ? "part_second" : "part_first", part, part_size);
        free(part);
    }
    free(data);
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        gguf_write_u32(&w, "split.no", headers[i].no);
        gguf_write_u32(&w, "split.count", headers[i].count);
        gguf_write_u32(&w, "split.tensors.count", headers[i].tensors);
        finish(&w, headers[i].name);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) return 1;
    folder = argv[1];
    right();
    wrong();
    parts();
    return 0;
}

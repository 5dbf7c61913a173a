/* Runs a fuzz target over each file of the folders given as arguments, where there is no libFuzzer.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) return 0;
    uint8_t *data = NULL;
    size_t n = 0, capacity = 0, got;
    do {
        if (n == capacity) {
            uint8_t *grown = realloc(data, capacity = capacity ? 2 * capacity : 4096);
            if (!grown) break;
            data = grown;
        }
        n += got = fread(data + n, 1, capacity - n, file);
    } while (got);
    int failed = ferror(file);
    fclose(file);
    /* A block of exactly n bytes, so that the address sanitizer sees each step beyond it. */
    uint8_t *exact = malloc(n ? n : 1);
    if (exact && !failed) {
        if (n) memcpy(exact, data, n);
        LLVMFuzzerTestOneInput(exact, n);
    }
    free(exact);
    free(data);
    return exact && !failed;
}

int main(int argc, char **argv)
{
    size_t n = 0;
    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        if (!folder) {
            fprintf(stderr, "no folder %s\n", argv[i]);
            return 1;
        }
        for (const struct dirent *entry; (entry = readdir(folder));) {
            char path[4096];
            if (entry->d_name[0] == '.') continue;
            int size = snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
            if (size < 0 || (size_t)size >= sizeof path || !replay_file(path)) {
                fprintf(stderr, "cannot read %s/%s\n", argv[i], entry->d_name);
                return 1;
            }
            n++;
        }
        closedir(folder);
    }
    printf("%zu inputs\n", n);
    return n == 0;
}

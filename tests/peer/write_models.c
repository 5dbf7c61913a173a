/* Writes every model of peer_models.h, or every one of encoder_make.h, to FOLDER/NAME.gguf and
 * prints the names.
 *   write_models FOLDER [encoders] */
#include <stdio.h>
#include <stdlib.h>

#include "encoder_make.h"
#include "peer_models.h"

static int save(const char *folder, const char *name, uint8_t *data, size_t size)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.gguf", folder, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f)) return 1;
    free(data);
    puts(name);
    return 0;
}

int main(int argc, char **argv)
{
    size_t size;
    if (argc < 2) return 2;
    for (uint32_t i = 0; argc == 2 && i < peer_n_models; i++) {
        uint8_t *data = model_make(&peer_models[i].shape, &size);
        if (save(argv[1], peer_models[i].name, data, size)) return 1;
    }
    for (uint32_t i = 0; argc > 2 && i < n_encoder_shapes; i++) {
        uint8_t *data = encoder_make(&encoder_shapes[i], &size);
        if (save(argv[1], encoder_shapes[i].name, data, size)) return 1;
    }
    if (argc == 2) return 0;
    uint8_t *gemma = model_make(&encoder_gemma, &size);
    return save(argv[1], encoder_gemma.arch, gemma, size);
}

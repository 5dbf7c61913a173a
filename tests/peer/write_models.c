/* Writes every model of peer_models.h to FOLDER/NAME.gguf and prints the names. */
#include <stdio.h>
#include <stdlib.h>

#include "peer_models.h"

int main(int argc, char **argv)
{
    if (argc != 2) return 2;
    for (uint32_t i = 0; i < peer_n_models; i++) {
        char path[4096];
        size_t size;
        uint8_t *data = model_make(&peer_models[i].shape, &size);
        snprintf(path, sizeof path, "%s/%s.gguf", argv[1], peer_models[i].name);
        FILE *f = fopen(path, "wb");
        if (!f || fwrite(data, 1, size, f) != size || fclose(f)) return 1;
        free(data);
        puts(peer_models[i].name);
    }
    return 0;
}

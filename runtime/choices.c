#include "choices.h"

#include <math.h>
#include <string.h>

#include "blob.h"
#include "error.h"

/* The file: this header, then the verdicts, all in this machine's byte order. */
struct header {
    char magic[8];     /* the version is its last digit */
    uint64_t checksum; /* of what follows it */
    struct choice_owner owner;
    uint64_t n;
};
static const char magic[8] = "llmkern1";

static uint64_t checksum(const struct header *header, const void *verdicts)
{
    struct blob_sum sum;
    blob_sum_start(&sum);
    blob_sum_add(&sum, &header->owner, sizeof header->owner);
    blob_sum_add(&sum, &header->n, sizeof header->n);
    blob_sum_add(&sum, verdicts, (size_t)header->n * sizeof(struct verdict));
    return blob_sum_end(&sum);
}

const struct verdict *choices_find(const struct choices *c, const char *name)
{
    for (size_t i = 0; i < c->n; i++) {
        if (strcmp(c->items[i].name, name) == 0) return &c->items[i];
    }
    return NULL;
}

llm_status choices_set(struct choices *c, const struct verdict *v, struct llm_error *error)
{
    size_t i = 0;
    while (i < c->n && strcmp(c->items[i].name, v->name) != 0) i++;
    struct verdict *grown = alloc_grow(c->alloc, c->items, &c->capacity, i + 1, sizeof *grown);
    if (!grown) return error_memory(error, "the verdicts on kernels", (i + 1) * sizeof *grown);
    c->items = grown;
    c->items[i] = *v;
    if (i == c->n) c->n++;
    c->changed = true;
    return LLM_OK;
}

const uint32_t choices_rows[CHOICE_TIMES] = {1, 2, 4, 8, 16, 64};

size_t choices_pick(const struct choices *c, const char (*names)[CHOICE_NAME], size_t n,
                    uint32_t rows)
{
    size_t best = n, time = 0;
    float best_seconds = 0;
    while (time + 1 < CHOICE_TIMES && choices_rows[time] < rows) time++;
    for (size_t i = 0; i < n; i++) {
        const struct verdict *v = choices_find(c, names[i]);
        float seconds = v ? v->seconds[time] : 0;
        if (v && v->state == CHOICE_WRONG) continue;
        if (best < n && !(seconds > 0 && seconds < best_seconds * 0.95f)) continue;
        best = i;
        best_seconds = seconds;
    }
    return best;
}

void choices_free(struct choices *c)
{
    alloc_free(c->alloc, c->items, c->capacity * sizeof *c->items);
    c->items = NULL;
    c->n = c->capacity = 0;
}

llm_status choices_write(const struct choices *c, const struct choice_owner *owner, void **bytes,
                         size_t *size, struct llm_error *error)
{
    struct header header = {.owner = *owner, .n = c->n};
    memcpy(header.magic, magic, sizeof magic);
    header.checksum = checksum(&header, c->items);
    *size = sizeof header + c->n * sizeof *c->items;
    *bytes = alloc_new(c->alloc, *size);
    if (!*bytes) return error_memory(error, "the verdicts on kernels", *size);
    memcpy(*bytes, &header, sizeof header);
    if (c->n) memcpy((char *)*bytes + sizeof header, c->items, c->n * sizeof *c->items);
    return LLM_OK;
}

/* A file may be right by its checksum and still be made by hand. */
static bool is_sound(const struct verdict *v)
{
    bool sound = v->name[0] && memchr(v->name, 0, sizeof v->name) && v->state <= CHOICE_WRONG;
    for (int i = 0; i < CHOICE_TIMES; i++) sound &= isfinite(v->seconds[i]) && v->seconds[i] >= 0;
    return sound;
}

llm_status choices_read(struct choices *c, const struct choice_owner *owner, const void *bytes,
                        size_t size, struct llm_error *error)
{
    struct header header;
    if (!bytes || size < sizeof header) return LLM_OK;
    memcpy(&header, bytes, sizeof header);
    const char *items = (const char *)bytes + sizeof header;
    size_t rest = size - sizeof header;
    if (memcmp(header.magic, magic, sizeof magic) != 0 ||
        memcmp(&header.owner, owner, sizeof *owner) != 0 || rest % sizeof(struct verdict) != 0 ||
        header.n != rest / sizeof(struct verdict) || header.checksum != checksum(&header, items))
        return LLM_OK;
    for (size_t i = 0; i < header.n; i++) {
        struct verdict v;
        memcpy(&v, items + i * sizeof v, sizeof v);
        if (is_sound(&v)) TRY(choices_set(c, &v, error));
    }
    c->changed = false;
    return LLM_OK;
}

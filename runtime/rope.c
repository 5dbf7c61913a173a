#include "rope.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "gguf.h"

static const double two_pi = 6.28318530717958647693;

void rope_defaults(struct rope *r, uint32_t dims)
{
    *r = (struct rope){.dims = dims,
                       .base = 10000,
                       .factor = 1,
                       .ext_factor = 1,
                       .attn_factor = 1,
                       .beta_fast = 32,
                       .beta_slow = 1};
}

static llm_status check(const struct rope *r, struct llm_error *error)
{
    if (r->dims == 0 || r->dims % 2 || r->dims > 65536)
        return error_set(error, LLM_BAD_MODEL,
                         "rope dimensions must be even and from 2 to 65536, got %u", r->dims);
    const struct {
        const char *name;
        double value, low;
    } checks[] = {
        {"freq_base", r->base, r->scaling == ROPE_YARN ? 1.0001 : 1e-6},
        {"scaling.factor", r->factor, 1e-6},
        {"scaling.attn_factor", r->attn_factor, 1e-6},
        {"scaling.yarn_ext_factor", r->ext_factor, 0},
        {"scaling.yarn_beta_fast", r->beta_fast, 1e-6},
        {"scaling.yarn_beta_slow", r->beta_slow, 1e-6},
    };
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        if (checks[i].value >= checks[i].low && checks[i].value <= FLT_MAX) continue;
        return error_set(error, LLM_BAD_MODEL, "rope.%s must be %g or more, got %g", checks[i].name,
                         checks[i].low, checks[i].value);
    }
    if (r->scaling == ROPE_YARN && r->original_context == 0)
        return error_set(error, LLM_BAD_MODEL, "rope.scaling.original_context_length is missing");
    for (uint32_t i = 0; r->factors && i < r->dims / 2; i++) {
        if (r->factors[i] >= 1e-6f && r->factors[i] <= FLT_MAX) continue;
        return error_set(error, LLM_BAD_MODEL, "rope factor %u must be more than 0, got %g", i,
                         (double)r->factors[i]);
    }
    return LLM_OK;
}

/* The pair that turns so many times in the original context; it need not be whole. */
static double pair_of_turns(const struct rope *r, double turns)
{
    return r->dims * log(r->original_context / (turns * two_pi)) / (2 * log(r->base));
}

/* How much of pair i keeps its trained frequency: 1 for fast pairs, 0 for slow ones. */
static double yarn_share(const struct rope *r, uint32_t i)
{
    const double low = fmax(0, floor(pair_of_turns(r, r->beta_fast)));
    const double high = fmin(r->dims - 1, ceil(pair_of_turns(r, r->beta_slow)));
    const double ramp = (i - low) / fmax(0.001, high - low);
    return (1 - fmin(1, fmax(0, ramp))) * r->ext_factor;
}

llm_status rope_open(struct rope *r, const struct alloc *alloc, struct llm_error *error)
{
    TRY(check(r, error));
    r->alloc = alloc;
    r->frequencies = alloc_zero(alloc, r->dims / 2, sizeof *r->frequencies);
    if (!r->frequencies)
        return error_memory(error, "the rope frequencies", r->dims / 2 * sizeof *r->frequencies);
    const bool yarn = r->scaling == ROPE_YARN && r->ext_factor != 0;
    const double scale = r->scaling == ROPE_NONE ? 1 : 1 / r->factor;
    for (uint32_t i = 0; i < r->dims / 2; i++) {
        const double trained =
            pow(r->base, -2.0 * i / r->dims) / (r->factors ? (double)r->factors[i] : 1);
        const double share = yarn ? yarn_share(r, i) : 0;
        r->frequencies[i] = trained * (scale * (1 - share) + share);
    }
    r->magnitude = r->attn_factor * (yarn && r->factor > 1 ? 1 + 0.1 * log(r->factor) : 1);
    r->factors = NULL;
    return LLM_OK;
}

void rope_free(struct rope *r)
{
    if (r->frequencies) alloc_free(r->alloc, r->frequencies, r->dims / 2 * sizeof *r->frequencies);
    *r = (struct rope){0};
}

void rope_angles(const struct rope *r, uint32_t position, float *cos_sin)
{
    for (uint32_t i = 0; i < r->dims / 2; i++) {
        const double angle = position * r->frequencies[i];
        cos_sin[2 * i] = (float)(cos(angle) * r->magnitude);
        cos_sin[2 * i + 1] = (float)(sin(angle) * r->magnitude);
    }
}

static const char *key(char out[128], const char *prefix, const char *name)
{
    snprintf(out, 128, "%s.%s", prefix, name);
    return out;
}

static llm_status read_numbers(struct rope *r, const struct gguf *g, const char *prefix,
                               double *factor, struct llm_error *error)
{
    const struct {
        const char *name;
        double *value;
    } numbers[] = {
        {"rope.scaling.yarn_log_multiplier", &r->log_multiplier},
        {"rope.freq_base", &r->base},
        {"rope.scale_linear", factor}, /* before scaling.factor, which counts more */
        {"rope.scaling.factor", factor},
        {"rope.scaling.attn_factor", &r->attn_factor},
        {"rope.scaling.yarn_attn_factor", &r->attn_factor},
        {"rope.scaling.yarn_ext_factor", &r->ext_factor},
        {"rope.scaling.yarn_beta_fast", &r->beta_fast},
        {"rope.scaling.yarn_beta_slow", &r->beta_slow},
    };
    char name[128];
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        float value = (float)*numbers[i].value;
        TRY(gguf_get_f32(g, key(name, prefix, numbers[i].name), &value, error));
        *numbers[i].value = (double)value;
    }
    return LLM_OK;
}

static llm_status read_scaling(struct rope *r, const struct gguf *g, const char *prefix,
                               double factor, struct llm_error *error)
{
    static const struct {
        const char *name;
        enum rope_scaling scaling;
    } types[] = {
        {"none", ROPE_NONE},
        {"linear", ROPE_LINEAR},
        {"yarn", ROPE_YARN},
        {"longrope", ROPE_NONE}, /* all of it lies in the factors and attn_factor */
    };
    char name[128], shown[68];
    struct gguf_string type = {"linear", 6};
    TRY(gguf_get_string(g, key(name, prefix, "rope.scaling.type"), &type, error));
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strlen(types[i].name) != type.size || memcmp(types[i].name, type.text, type.size) != 0)
            continue;
        /* Factor 0 is how some files say that there is none. */
        r->scaling = factor == 0 || factor == 1 ? ROPE_NONE : types[i].scaling;
        r->factor = r->scaling == ROPE_NONE ? 1 : factor;
        return LLM_OK;
    }
    return error_set(error, LLM_UNSUPPORTED, "rope scaling type \"%s\" is not supported",
                     error_name(shown, type.text, type.size));
}

llm_status rope_from_gguf(struct rope *r, const struct gguf *g, const char *prefix, uint32_t dims,
                          struct llm_error *error)
{
    char name[128];
    rope_defaults(r, dims);
    TRY(gguf_get_u32(g, key(name, prefix, "rope.dimension_count"), &r->dims, error));
    if (r->dims > dims)
        return error_set(error, LLM_BAD_MODEL, "%s is %u, but a head has %u dimensions", name,
                         r->dims, dims);
    TRY(gguf_get_u32(g, key(name, prefix, "context_length"), &r->original_context, error));
    TRY(gguf_get_u32(g, key(name, prefix, "rope.scaling.original_context_length"),
                     &r->original_context, error));
    double factor = 1;
    TRY(read_numbers(r, g, prefix, &factor, error));
    TRY(read_scaling(r, g, prefix, factor, error));
    if (r->scaling == ROPE_YARN && r->factor > 1 && r->log_multiplier > 0)
        r->attn_factor /= 1 + 0.1 * r->log_multiplier * log(r->factor);
    return LLM_OK;
}

/* rope.h - the angles of rotary position embedding, in double on the CPU. Pure.
 *
 * Pair i of dims / 2 turns by position * base^(-2i / dims) / factors[i], scaled for contexts longer
 * than the trained one: linear  the position is divided by factor; yarn    fast pairs turn as
 * trained, slow ones as in linear, with a ramp between the pairs that turn beta_fast and beta_slow
 * times in the original context; cos and sin grow by 1 + 0.1 ln(factor) (Peng et al. 2023,
 * arXiv:2309.00071, with the bounds of the ramp rounded outward as llama.cpp does). Llama 3 and
 * long rope come as factors, from a tensor of the file. cos and sin are multiplied by attn_factor
 * always, which a yarn_log_multiplier m divides by 1 + 0.1 m ln(factor) at reading (for latent
 * attention arch_latent.c has more to say). */
#ifndef ROPE_H
#define ROPE_H

#include "alloc.h"
#include "llm.h"

struct gguf;

enum rope_scaling { ROPE_NONE, ROPE_LINEAR, ROPE_YARN };

struct rope {
    uint32_t dims; /* rotated dimensions of a head, even */
    double base;
    enum rope_scaling scaling;
    double factor;             /* of the context */
    uint32_t original_context; /* yarn: the trained one */
    double ext_factor, attn_factor, beta_fast, beta_slow;
    double log_multiplier; /* as the key has it; 0: none */
    const float *factors;  /* (dims / 2) divisors or NULL; read by rope_open only */
    /* Filled by rope_open. */
    double *frequencies; /* (dims / 2) radians a position */
    double magnitude;    /* of cos and sin */
    const struct alloc *alloc;
};

/* What holds where nothing else is said: base 10000, no scaling, yarn's 1, 1, 32 and 1. */
void rope_defaults(struct rope *r, uint32_t dims);
/* Defaults, then the keys PREFIX.rope.*: dimension_count (default: dims, and no more than it),
 * freq_base, scaling.type, .factor, .original_context_length (default: PREFIX.context_length),
 * .attn_factor, .yarn_* and the older scale_linear. A type we do not know is LLM_UNSUPPORTED with
 * its name. rope_open comes after. */
llm_status rope_from_gguf(struct rope *r, const struct gguf *g, const char *prefix, uint32_t dims,
                          struct llm_error *error);
/* Checks all values (LLM_BAD_MODEL names the one that is wrong) and computes the frequencies. */
llm_status rope_open(struct rope *r, const struct alloc *alloc, struct llm_error *error);
void rope_free(struct rope *r); /* zeroed ones and those not opened, too */

/* Writes cos, sin of each pair: dims floats. */
void rope_angles(const struct rope *r, uint32_t position, float *cos_sin);

#endif

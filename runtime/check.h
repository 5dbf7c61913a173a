/* check.h - small problems for the kernels of a device, solved by them and in double precision. */
#ifndef CHECK_H
#define CHECK_H

#include "choices.h"
#include "ops_experts.h"
#include "ops_impl.h"

enum check_kind {
    CHECK_PRODUCT,
    CHECK_GATED,
    CHECK_PRODUCT_NORM,
    CHECK_EMBED,
    CHECK_NORM,
    CHECK_ATTENTION, /* with the rotation before it and the cache between them */
    CHECK_ARGMAX,
    CHECK_TOP,
    CHECK_ROUTER,  /* with the order of its pairs */
    CHECK_EXPERTS, /* a product of theirs */
    CHECK_COMBINE,
    CHECK_TAIL
};

/* What to check; fields that do not concern the kind are 0. */
struct check {
    enum check_kind kind;
    enum quant_type type; /* of the weights */
    enum values in, out;
    enum into into;
    struct activation activation; /* of a product */
    bool gated, gate_waits;       /* of experts */
    bool every;                   /* row times every matrix of a stack, as heads do it */
    uint32_t columns;             /* pairs of an expert that are taken together, 0: any alone */
    struct router router;
    bool logit_bias, choice_bias, expert_scales; /* of a router */
    bool centered, added;                        /* of a norm */
    uint32_t cols;                               /* of the weights, a multiple of 256 */
    uint32_t n_rows, way;                        /* rows of x; number in the list of ops_ways */
    struct attention_shape shape;
    bool bias; /* of products, norms, or of heads */
    bool head_norm, value_norm, short_context;
    bool at_once; /* of attention: a row alone, in one dispatch */
    bool late;    /* the gains of heads, after the rotation */
};

/* A check that cannot be run is an error; one that comes out wrong is a verdict. seconds, unless
 * NULL: what the device takes for this small problem. */
llm_status check_run(struct ops *ops, const struct check *t, struct verdict *v, double *seconds,
                     struct llm_error *error);

struct forward;
/* Checks what a model uses and nothing is known of yet: attention now, the rest when it is first
 * recorded. LLM_UNSUPPORTED where something has nothing but wrong kernels. */
llm_status check_forward(struct forward *f, struct llm_error *error);

#endif

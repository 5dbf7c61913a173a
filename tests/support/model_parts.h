/* model_parts.h - the tensors that a made model's layers have, in each architecture. */
#ifndef MODEL_PARTS_H
#define MODEL_PARTS_H

#include "model_make.h"

/* What a tensor of a layer looks like. Biases are large enough to show. */
enum extent {
    ONE,
    DIM,
    HEAD,
    HEADS,
    KV_HEADS,
    Q,
    K,
    V,
    ATTENDED,
    QKV,
    HIDDEN,
    TWO_HIDDEN,
    EXPERTS,
    EXPERT_HIDDEN,
    TWO_EXPERT_HIDDEN,
    SHARED_HIDDEN,
    RANK,
    Q_RANK,
    RANK_ROPE,
    PLAIN_HEAD, /* what of a head of q is not rotated */
    VALUE,
    PLAIN_VALUES
};

/* FFN: in layers without experts; DENSE: in all; SHARED: where the shape has one; PLAIN: F32
 * always; STACK: a matrix for each expert, SPLIT_ and FUSED_: where the shape is not or is fused;
 * HEAD_STACK: for each head. */
enum part_kind {
    ATTENTION,
    FFN,
    DENSE,
    SHARED,
    PLAIN,
    STACK,
    SPLIT_STACK,
    FUSED_STACK,
    HEAD_STACK,
    NORM,
    LOW_NORM,
    BIAS,
    LARGE_BIAS
};

struct part {
    const char *name; /* in the lists */
    const char *full; /* in the file, after blk.0. */
    enum part_kind kind;
    enum extent cols, rows;
};

/* The n bytes of name are in the list. */
const struct part *model_part(const char *name, size_t n);

#define PLAIN_EXPERTS "router gates ups gateups downs"

/* Layers as lists of parts; what is not here is llama with what the shape says. */
struct kin {
    const char *arch, *layer;
    bool centered;       /* the epsilon is that of layer norm */
    const char *model;   /* more tensors of the model: b: bias of output, n: of its norm,
                            p: positions */
    const char *experts; /* of layers that have some; NULL: PLAIN_EXPERTS */
};

/* NULL: llama. */
const struct kin *model_kin(const struct model_shape *s);

uint32_t model_rope_dims(const struct model_shape *s);
uint32_t model_v_dim(const struct model_shape *s);
bool model_has_window(const struct model_shape *s, uint32_t l);
/* The shape as layer l has it. */
struct model_shape model_shape_in(const struct model_shape *s, uint32_t l);
uint32_t model_extent(const struct model_shape *s, enum extent e);

#endif

/* arch_table.h - the rows behind arch.h: architectures, and the tensors that they are made of. */
#ifndef ARCH_TABLE_H
#define ARCH_TABLE_H

#include "arch.h"

/* Groups of tensors that architectures have or may have. Where a file has q, k and v in one tensor,
 * FUSED_QKV and FUSED_BIAS take the places of QKV and QKV_BIAS. */
enum arch_tensors {
    QKV = 1,
    QKV_BIAS = 2,
    FUSED_QKV = 4,
    FUSED_BIAS = 8,
    ATTN_NORM = 0x10,
    SECOND_NORM = 0x20, /* attention has attn_norm_2 and the ffn attn_norm: like FUSED_QKV, where
                           the file has it */
    FFN_NORM = 0x40,
    FFN_NORM_NAMED = 0x80, /* the norm before the ffn, named after the attention */
    POST_NORMS = 0x100,
    NORM_BIAS = 0x200, /* of the norms before attention, ffn and output */
    GATED = 0x400,     /* ffn: gate and up are two matrices, */
    FUSED_UP = 0x800,  /* one of both, */
    UNGATED = 0x1000,  /* or there is no gate */
    O_BIAS = 0x2000,
    FFN_BIAS = 0x4000,  /* of up and down */
    HEAD_NORM = 0x8000, /* each head of q and k is normalised, */
    ROW_NORM = 0x10000, /* or all heads together */
    ROPE_FREQS = 0x20000,
    LONG_ROPE = 0x40000,
    OUTPUT_BIAS = 0x80000,
    POSITIONS = 0x100000, /* learned ones */
    TYPES = 0x200000,     /* an embedding of each type of token; texts are of the first */
    EMBD_NORM = 0x400000,
    NORMS_AFTER = 0x800000, /* x becomes the norm of its sum with what a layer adds */
    /* In the layers that have a router: */
    EXPERTS = 0x1000000,
    EXPERT_BIAS = 0x2000000, /* of the router and of the experts */
    CHOICE_BIAS = 0x4000000,
    SHARED = 0x8000000, /* a file has it in each of them or in none */
    SHARED_GATE = 0x10000000,
    SINKS = 0x20000000,
    OWN_GAINS = 0x40000000, /* each head of q and k is normalised, with gains of its own */
    PRE_NORMS = ATTN_NORM | FFN_NORM
};

/* A scale of each layer; norms and scales of experts. No int has room for it. */
#define GEMMA4_PARTS 0x80000000u

enum arch_traits {
    NEOX = 1,
    CENTERED = 2,
    PARALLEL_KEY = 4,       /* a key says whether attention and ffn are given the same x */
    SCALES = 8,             /* keys scale the embedding, what layers add, attention and logits, */
    ALL_SCALES = 0x10,      /* and all but attention's must be there */
    ROOT_EMBEDDING = 0x20,  /* scaled by the root of its dimension */
    LOGIT_SCALE = 0x40,     /* a key multiplies the logits */
    SOFTCAPS = 0x80,        /* keys cap attention and logits */
    TEMPERATURE = 0x100,    /* a key scales q by its position */
    LATE_HEAD_NORM = 0x200, /* the gains of heads multiply what was rotated */
    NEXT_LAYERS = 0x400,    /* the last layers predict further tokens: they are left out */
    GEMMA4_HEADS = 0x1000,  /* keys have other heads for layers with a window; v, which may be k
                               before its norm, has a norm; scores are not scaled */
    ENCODER = 0x800         /* each token sees the whole text, and half a window to either side */
};

/* Layers of which all but every `period`-th (0: all) see a window. The key sliding_window counts
 * more than `size`; where both say nothing, there is none. */
struct window_rule {
    bool read;
    uint32_t size, period;
    bool full_first;    /* the first of each period sees all, not the last */
    uint32_t n_layers;  /* in models of so many layers alone; 0: in any */
    bool rope_key;      /* a key has the rope's base of layers with a window, */
    float rope_base;    /* which is this, or 0: that of the others */
    bool rope_unscaled; /* they turn as trained whatever the others do */
    bool others_plain;  /* the others do not turn */
};

/* What the weights of chosen experts are, where no key says otherwise. */
struct router_rule {
    enum router_gate gate;
    bool normalise;
    bool keys; /* they are read */
};

struct arch {
    const char *name;
    uint32_t tensors, may, traits;
    enum activation_kind activation; /* 0: SiLU */
    uint32_t plain_every;            /* every so many layers one does not turn; 0: all do */
    uint32_t
        wide_heads;    /* attention's scale is 1 / sqrt(dim / heads) in models of so many layers */
    float softcaps[2]; /* of attention and logits, where keys say nothing */
    struct window_rule window;
    struct router_rule router;
};

extern const struct arch arch_table[];
extern const uint32_t arch_n;

enum arch_extent {
    ONE,
    DIM,
    HEAD,
    Q_ROWS,
    K_ROWS,
    V_ROWS,
    ATTENDED,
    QKV_ROWS,
    HIDDEN,
    TWO_HIDDEN,
    VOCAB,
    CONTEXT,
    N_TYPES,
    ROPE_PAIRS,
    N_HEADS,
    N_KV_HEADS,
    N_EXPERTS,
    EXPERT_HIDDEN,
    TWO_EXPERT_HIDDEN,
    SHARED_HIDDEN
};

/* A vector has rows ONE. Names with %u belong to each layer. The rule holds for architectures that
 * have one of the groups (0: for all), and all of those in `also`. */
enum {
    EACH_LAYER = 1,
    OPTIONAL = 2,
    F32 = 4,
    WITHOUT_EXPERTS = 8, /* in layers that have none, */
    WITH_EXPERTS = 16,   /* or in those that have some */
    STACKED = 32,        /* a matrix for each expert */
    UNLESS_FUSED = 64,   /* gate and up of experts may be one stack, */
    OR_K = 128           /* and v may be k: GEMMA4_HEADS */
};
struct tensor_rule {
    const char *name;
    int slot;
    enum arch_extent rows, cols;
    uint32_t flags, groups, also;
};

extern const struct tensor_rule arch_rules[];
extern const uint32_t arch_n_rules;

/* A required integer key ARCH.NAME between 1 and limit. */
llm_status arch_required(const struct gguf *g, const char *arch, const char *name, uint32_t limit,
                         uint32_t *out, struct llm_error *error);
/* What h.router and its kin are, and which layers have experts. */
llm_status arch_read_experts(struct blueprint *b, const struct gguf *g, struct llm_error *error);
/* Reads the keys of b->arch; h.kinds is taken from b->alloc. */
llm_status arch_read_keys(struct blueprint *b, const struct gguf *g, uint32_t n_vocab,
                          struct llm_error *error);

#endif

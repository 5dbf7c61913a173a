/* arch_table.h - the rows behind arch.h: architectures, and the tensors that they are made of. */
#ifndef ARCH_TABLE_H
#define ARCH_TABLE_H

#include "arch.h"

/* Groups of tensors that architectures have or may have: bits of a uint64_t, for which constants of
 * an enum have no room. Where a file has q, k and v in one tensor, FUSED_QKV and FUSED_BIAS take
 * the places of QKV and QKV_BIAS. */
#define GROUP(bit) (UINT64_C(1) << (bit))
#define QKV GROUP(0)
#define QKV_BIAS GROUP(1)
#define FUSED_QKV GROUP(2)
#define FUSED_BIAS GROUP(3)
#define ATTN_NORM GROUP(4)
/* Attention has attn_norm_2 and the ffn attn_norm: like FUSED_QKV, where the file has it. */
#define SECOND_NORM GROUP(5)
#define FFN_NORM GROUP(6)
#define FFN_NORM_NAMED GROUP(7) /* the norm before the ffn, named after the attention */
#define POST_NORMS GROUP(8)
#define NORM_BIAS GROUP(9) /* of the norms before attention, ffn and output */
#define GATED GROUP(10)    /* ffn: gate and up are two matrices, */
#define FUSED_UP GROUP(11) /* one of both, */
#define UNGATED GROUP(12)  /* or there is no gate */
#define O_BIAS GROUP(13)
#define FFN_BIAS GROUP(14)  /* of up and down */
#define HEAD_NORM GROUP(15) /* each head of q and k is normalised, */
#define OWN_GAINS GROUP(16) /* with gains of its own, */
#define ROW_NORM GROUP(17)  /* or all heads together */
#define ROPE_FREQS GROUP(18)
#define LONG_ROPE GROUP(19)
#define OUTPUT_BIAS GROUP(20)
#define POSITIONS GROUP(21) /* learned ones */
#define TYPES GROUP(22)     /* an embedding of each type of token; texts are of the first */
#define EMBD_NORM GROUP(23)
#define NORMS_AFTER GROUP(24) /* x becomes the norm of its sum with what a layer adds */
#define SINKS GROUP(25)
#define LATENT GROUP(26)       /* attention of struct ranks */
#define GEMMA4_PARTS GROUP(27) /* a scale of each layer; norms and scales of experts */
/* In the layers that have a router: */
#define EXPERTS GROUP(28)
#define EXPERT_BIAS GROUP(29) /* of the router and of the experts */
#define CHOICE_BIAS GROUP(30)
#define SHARED GROUP(31) /* a file has it in each of them or in none */
#define SHARED_GATE GROUP(32)
#define PRE_NORMS (ATTN_NORM | FFN_NORM)

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
    ENCODER = 0x800,        /* each token sees the whole text, and half a window to either side */
    GEMMA4_HEADS = 0x1000   /* keys have other heads for layers with a window; v, which may be k
                               before its norm, has a norm; scores are not scaled */
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
    uint64_t tensors, may; /* groups */
    uint32_t traits;
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
    ATTENDED,  /* what o is given */
    QUERIES,   /* latent attention's q before anything is absorbed, */
    PLAIN_KEY, /* what of a head is not rotated, */
    Q_RANK,
    RANK,
    VALUE,
    PLAIN_VALUES, /* and both of all heads */
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
    STACKED = 32,        /* a matrix for each expert, */
    STACKED_HEADS = 64,  /* or for each head */
    UNLESS_FUSED = 128,  /* gate and up of experts may be one stack, */
    OR_K = 256           /* and v may be k: GEMMA4_HEADS */
};
struct tensor_rule {
    const char *name;
    int slot;
    enum arch_extent rows, cols;
    uint32_t flags;
    uint64_t groups, also;
};

extern const struct tensor_rule arch_rules[];
extern const uint32_t arch_n_rules;

/* A required integer key ARCH.NAME between 1 and limit. */
llm_status arch_required(const struct gguf *g, const char *arch, const char *name, uint32_t limit,
                         uint32_t *out, struct llm_error *error);
/* What h.router and its kin are, and which layers have experts. */
llm_status arch_read_experts(struct blueprint *b, const struct gguf *g, struct llm_error *error);
/* h.ranks and what follows from them; h.head_dim and h.v_dim are what the keys say. */
llm_status arch_read_latent(struct blueprint *b, const struct gguf *g, struct llm_error *error);
/* How much scores and rotated dimensions grow, by h.ropes[0]. */
void arch_scale_latent(struct hparams *h);
/* Whether each layer has what its q, k and v need; then splits what is fused. */
llm_status arch_split_latent(struct blueprint *b, struct llm_error *error);
/* Reads the keys of b->arch; h.kinds is taken from b->alloc. */
llm_status arch_read_keys(struct blueprint *b, const struct gguf *g, uint32_t n_vocab,
                          struct llm_error *error);

#endif

/* args.h - push constants, the same words in C and in GLSL. */
#ifndef ARGS_H
#define ARGS_H

#ifndef VULKAN
#include <stdint.h>
#define uint uint32_t
#endif

/* The widest heads of attention: of q and k, and of v. */
#define ATTENTION_MAX_K 576
#define ATTENTION_MAX_V 512

/* Counts of vec4 where not said otherwise. */
struct mat_args {
    uint rows;              /* of the matrix, from this dispatch's first tile on */
    uint blocks;            /* of 32 columns */
    uint x_stride;          /* of a row of x */
    uint y_stride, y_at;    /* of a row of y; where the first row of weights goes */
    float act[4];           /* struct activation */
};

struct experts_args {
    uint rows, blocks, x_stride, y_stride, y_at; /* as above */
    uint first, n;          /* experts that this dispatch has */
    uint words;             /* from one expert to the next */
    uint x_slots;           /* pairs that share a row of x; or matrices, where rows have all */
    uint x_at, x_row, y_row; /* then a row's begin there; x_stride and y_stride go from one to the next */
    uint bias_stride, second_bias; /* of an expert; where those of the second matrix begin */
};

struct mat_norm_args {
    uint rows, blocks, x_stride, y_stride, y_at; /* as above */
    float act[4];
    float n, eps;           /* floats in a row */
    uint all_rows;          /* of y */
};

/* uvec4 of the matrices where not said otherwise. */
struct tail_args {
    uint o, gate, up, down, qkv; /* where they begin */
    uint heads, dim, hidden;     /* blocks of 32 numbers that are rows: what o takes, x, what down takes */
    uint qkv_tiles;              /* 0: the layer is the last one */
    float n, eps;                /* floats of x */
    float act[4];
};

struct embed_args {
    uint first, rows;       /* tokens that this dispatch serves: [first, first + rows) */
    uint blocks;            /* of 32 columns */
    uint stride;            /* of a row of out */
    float scale;
    uint word;              /* of the row's struct step_row: what it is looked up by; 4: 0 serves all */
    uint add;               /* to what out holds */
};

struct norm_args {
    uint chunks, stride;    /* of a row's values; from row to row */
    float n, eps;           /* floats in a row */
    uint gather;            /* row i is row outputs[i] */
    uint at;                /* where the values of a row begin */
    float scale;            /* of the sum */
};

/* Floats; strides and offsets are multiples of 4. */
struct rope_args {
    uint stride, q, k, v;   /* of a row of qkv; where its parts begin */
    uint n_heads, n_kv_heads, n_v_heads, head_dim, v_dim;
    uint rope_at, rope_dim; /* of a head of q or k: the dimensions that turn */
    uint turned, turned_each; /* where these lie of the first head of q, and from there to the next; each 0: there */
    uint rope_pairs;        /* of a row of cos and sin */
    uint neox;
    uint items;             /* fours of a row's q, k and v */
    float eps;              /* of the norm of heads */
};

struct attention_args {
    uint stride, q;         /* floats */
    uint n_kv_heads;
    uint max_groups;
    uint out_stride;        /* floats */
    float scale;
    uint window;            /* a row sees positions less than this far from its own; 0: all */
    float softcap;
    uint first_group;       /* of rows, in the table of groups */
};

struct router_args {
    uint stride;            /* floats of a row of logits */
    uint slots;             /* of a row */
    uint groups_used;
    uint shared_at;         /* the shared expert's logit */
    uint no_row;            /* the position of padding */
    float scale;            /* of the weights */
};

struct order_args {
    uint n_pairs, n_order;
};

struct combine_args {
    uint chunks, stride;    /* of a row of x, and of what a slot has made */
    uint slots;
};

struct argmax_args {
    uint n, stride;         /* logits a row; floats from row to row */
};

/* In words where not said otherwise. */
struct top_args {
    uint n, stride;         /* as above */
    uint wanted;            /* of a struct step_top */
    uint found, items, names; /* of a struct top; where its items and named logits begin */
    uint room;              /* items that it holds */
};

#ifndef VULKAN
/* In GLSL one after the other. */
struct attend_args {
    struct attention_args attention;
    struct rope_args rope;
};
#undef uint
#endif
#endif

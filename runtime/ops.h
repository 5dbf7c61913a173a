/* ops.h - the operations of a forward pass: each records the dispatches of one mathematical step,
 * choosing the kernel and its grid. The caller writes barriers between operations that depend on
 * each other.
 *
 * Activations are f32, one row after the other, a row's stride is ops_stride(dim) floats; what lies
 * past dim is zero or finite (buffers are zero-filled once, and zero weights keep them so). */
#ifndef OPS_H
#define OPS_H

#include <stdbool.h>

#include "../vk/gpu.h"
#include "activation.h"
#include "alloc.h"
#include "llm.h"
#include "quant.h"
#include "top.h"

/* A matrix on the device, repacked (repack.h). */
struct weight {
    enum quant_type type;
    uint32_t rows, cols;
    const struct gpu_buffer *buffer; /* not owned */
    uint64_t offset;                 /* of its first tile, multiple of 256 */
    struct gpu_range bias;           /* (rows, up to a multiple of 4) f32, added to products; or
                                        without a buffer */
};

static inline uint32_t ops_stride(uint32_t dim)
{
    return (dim + 31) / 32 * 32;
}

/* What changes from step to step lies in one GPU_MEMORY_STEP buffer, written by the host before a
 * submission. Offsets in bytes, multiples of 256. */
struct step {
    struct gpu_buffer buffer;
    uint32_t max_rows, max_outputs, max_pages, rope_pairs;
    uint64_t rows; /* struct step_row (max_rows) */
    uint64_t rope; /* float cos, sin (max_rows, rope_pairs, which is even) of each row's position,
                      in double on the host */
    uint64_t rope_size; /* bytes from there to the same of another rope */
    uint64_t
        pages; /* uint32_t (max_pages): the page tables of the sequences, one after the other */
    uint64_t outputs;   /* uint32_t (max_outputs): the row that each output belongs to; unused ones
                           repeat a valid row */
    uint64_t tops;      /* struct step_top (max_outputs) */
    uint64_t attention; /* struct step_attention and what follows it: ops_step_end */
};
struct step_row {
    uint32_t token;
    uint32_t position; /* STEP_NO_ROW: this row is padding: reads and writes no cache */
    uint32_t table;    /* its sequence's first entry in pages */
    uint32_t last; /* the last position that it sees: its own one, or in an encoder a later one */
};
/* The attention's indirect dispatches: most KV groups of any row, columns, groups of rows. Then
 * two tables of max_rows groups of rows each (the first row, and their number << 16): rows alone,
 * and those that follow each other in one sequence and share what they read. */
struct step_attention {
    uint32_t alone[4], together[4];
};
static inline uint64_t step_attention_size(uint32_t max_rows)
{
    return sizeof(struct step_attention) + 2 * (uint64_t)max_rows * sizeof(uint32_t);
}
enum {
    STEP_NO_ROW = 0x7fffffff,
    ATTENTION_PIECE = 64,
    ATTENTION_GROUP = 256
}; /* positions; pieces are summed alone, in order */

/* What a buffer of activations holds: f32, or blocks of 32 rounded to integers, of nine bits (as
 * large: shaders/int.glsl) or of eight (smaller, with the strides of f32: shaders/int8.glsl). */
enum values { VALUES_F32, VALUES_INT, VALUES_INT8 };

struct ops;
struct kernels;
/* What one model does with a device's kernels; pipelines are made when first recorded. high: never
 * round activations to integers. */
llm_status ops_create(struct ops **out, struct kernels *kernels, bool high, bool deterministic,
                      const struct alloc *alloc, struct llm_error *error);
void ops_free(struct ops *ops);
/* Ends what c records, runs it and waits. */
llm_status ops_run(struct gpu_device *device, struct gpu_commands *c, struct llm_error *error);
/* What products with w should be given: integers where the device, the precision and the format of
 * w make it faster. */
enum values ops_values(const struct ops *ops, const struct weight *w);
/* What their gated product should write for products with `down`, being given integers or not. */
enum values ops_gated_values(const struct ops *ops, const struct weight *gate,
                             const struct weight *up, const struct weight *down, enum values x);

/* Rows that one submission of the matrix kernels handles at full width: a plan is recorded for each
 * of these numbers of rows, rising, 0-terminated: {1, 2, 4, 8, 16, ...}. */
extern const uint32_t ops_buckets[];

struct attention_shape {
    uint32_t n_heads, n_kv_heads;
    uint32_t head_dim, v_dim; /* of q and k, and of v: multiples of 4 (f32), 8 (f16) or 32 */
    bool latent; /* v is the first v_dim numbers of k: the qkv buffer and the cache have no v */
    uint32_t rope_at, rope_dim; /* dimensions of a head that are rotated; the rest is copied */
    bool rope_neox;             /* pairs (i, i + rope_dim / 2) of these; else (2i, 2i + 1) */
    uint32_t turned,
        turned_each; /* of q they come from another place of the row, where these of the
                        first head lie, and from there to the next one's; each 0: not */
    uint32_t kv;     /* LLM_KV_...: what the cache holds */
    float scale;     /* of q * k, 1 / sqrt(head_dim) */
    uint32_t stride, q, k,
        v;           /* floats: of a row of the qkv buffer, and where q, k and v begin in it */
    uint32_t window; /* a row sees the positions less than this far from its own; 0: all */
    float softcap;   /* scores become softcap * tanh(score / softcap); 0: they stay */
    const struct gpu_range *sinks; /* float (n_heads): a score of each head's that joins its softmax
                                      and has no value; NULL: none */
    uint32_t rope;                 /* which of the step's */
    bool
        q_scaled; /* q by a factor of the row, the first of the last two pairs of its cos and sin */
};

/* What q, k and v go through before they are rotated. */
struct head_terms {
    struct gpu_range data; /* floats: biases as a row of the qkv buffer, then gains of q and of k
                              (head_dim each) */
    bool bias, norm;       /* norm: each head of q and k by its root mean square */
    float eps;
    bool late;       /* the gains multiply what was rotated */
    bool value_norm; /* with norm: each head of v, too, without gains */
};

/* LLM_UNSUPPORTED where there is no kernel for the shape. */
llm_status ops_check_attention(const struct attention_shape *s, struct llm_error *error);
/* Bytes of one page (64 positions) of one layer. K pages lie one after the other, and so do V
 * pages, if there are any. */
uint64_t ops_k_page_size(const struct attention_shape *s);
uint64_t ops_v_page_size(const struct attention_shape *s);
/* Bytes of the partial results for so many rows and positions. */
uint64_t ops_partial_size(const struct attention_shape *s, uint32_t n_rows, uint32_t positions);

/* All functions below return LLM_OK or what went wrong in making a kernel; recording errors surface
 * in gpu_commands_end. n_rows is an entry of ops_buckets. */

/* out(row) = weight(token of row) * scale as f32; or, added to it, weight(position of row) */
llm_status ops_embed(struct ops *ops, struct gpu_commands *c, const struct weight *w, float scale,
                     const struct step *step, const struct gpu_buffer *out, uint32_t n_rows,
                     struct llm_error *error);
/* out(row) += weight(position of row), or the same row for all. */
enum embed_by { EMBED_BY_TOKEN, EMBED_BY_POSITION, EMBED_FIRST = 4 };
llm_status ops_embed_add(struct ops *ops, struct gpu_commands *c, const struct weight *w,
                         enum embed_by by, const struct step *step, const struct gpu_buffer *out,
                         uint32_t n_rows, struct llm_error *error);
/* out(i) = (in(i) - m) / sqrt(mean((in(i) - m)^2) + eps) * gain + bias, where m is the mean if
 * centered, else 0; added to what out holds with `add`, and then f32. */
struct norm {
    const struct gpu_range *gain, *bias; /* dim floats of each part; no bias: NULL */
    const struct gpu_buffer *out;
    enum values values;
    float eps;
    bool centered, add;
    uint32_t stride, at; /* floats, of a row in and out and where it begins; 0: those of dim */
    float scale;         /* of the sum, with `add`; 0: 1 */
    uint32_t parts;      /* of a row, dim each, one after the other: each has its norm; 0: one */
};
/* With gather, row i is in(outputs[i]) and n_rows counts outputs. */
llm_status ops_norm(struct ops *ops, struct gpu_commands *c, const struct gpu_buffer *in,
                    const struct norm *norm, uint32_t dim, const struct step *step, bool gather,
                    uint32_t n_rows, struct llm_error *error);
/* y(row)[y_at + r] = sum over k of w(r, k) * x(row)[k] for the w->rows rows; y_stride floats a row.
 * y_at and y_stride are multiples of 4, and zeros are written up to the next multiple of 4 rows.
 * add: added to what y holds (the residual). */
llm_status ops_matrix(struct ops *ops, struct gpu_commands *c, const struct weight *w,
                      const struct gpu_buffer *x, enum values x_values, const struct gpu_buffer *y,
                      uint32_t y_stride, uint32_t y_at, bool add, uint32_t n_rows,
                      struct llm_error *error);
/* y(row) += w x(row), then the norm of y(row), w->rows long: what ops_matrix and ops_norm do, bit
 * for bit. One dispatch where that is faster, else two and the barrier between them. */
llm_status ops_matrix_norm(struct ops *ops, struct gpu_commands *c, const struct weight *w,
                           const struct gpu_buffer *x, enum values x_values,
                           const struct gpu_buffer *y, const struct norm *norm,
                           const struct step *step, uint32_t n_rows, struct llm_error *error);
/* y(row) = a(gate x(row)) * (up x(row)); gate and up have the same shape. Of f32 x comes f32 y. One
 * dispatch where their types agree, else two and the barrier between them (ops_gated_values). */
llm_status ops_gate_up(struct ops *ops, struct gpu_commands *c, const struct weight *gate,
                       const struct weight *up, const struct activation *a,
                       const struct gpu_buffer *x, enum values x_values, const struct gpu_buffer *y,
                       enum values y_values, uint32_t n_rows, struct llm_error *error);
/* y(row) = a(w x(row)) */
llm_status ops_activated(struct ops *ops, struct gpu_commands *c, const struct weight *w,
                         const struct activation *a, const struct gpu_buffer *x,
                         enum values x_values, const struct gpu_buffer *y, enum values y_values,
                         uint32_t n_rows, struct llm_error *error);
/* Adds biases and normalises as terms say (NULL: nothing), rotates q and k of every row by its
 * position, q in place, and writes k and v to the cache page of the position. */
llm_status ops_rope_store(struct ops *ops, struct gpu_commands *c, const struct attention_shape *s,
                          const struct head_terms *terms, const struct step *step,
                          const struct gpu_buffer *qkv, const struct gpu_range *k_pages,
                          const struct gpu_range *v_pages, uint32_t n_rows,
                          struct llm_error *error);
/* Workgroups of attention side by side. */
uint32_t ops_attention_columns(const struct ops *ops, const struct attention_shape *s);
/* Writes struct step_attention for the step's first n_rows rows, which must be there; columns: the
 * most that a shape of the model has. */
void ops_step_end(const struct ops *ops, const struct step *step, uint32_t columns,
                  uint32_t n_rows);
/* out(row)[head * v_dim + d] = attention over positions 0..last of the row's sequence, or those
 * of them that lie in its window.
 * Records up to three dispatches and the barrier between them. partial: ops_partial_size bytes.
 * Integers: v_dim is a multiple of 32. Latent: v_pages are k_pages. */
llm_status ops_attention(struct ops *ops, struct gpu_commands *c, const struct attention_shape *s,
                         const struct step *step, const struct gpu_buffer *qkv,
                         const struct gpu_range *k_pages, const struct gpu_range *v_pages,
                         const struct gpu_buffer *partial, const struct gpu_buffer *out,
                         enum values out_values, uint32_t max_groups, uint32_t n_rows,
                         struct llm_error *error);
/* What ops_rope_store and ops_attention do, bit for bit, but that q may stay as it is: one dispatch
 * for a single row where a kernel does it all, else up to four and the barriers between them. */
llm_status ops_attend(struct ops *ops, struct gpu_commands *c, const struct attention_shape *s,
                      const struct head_terms *terms, const struct step *step,
                      const struct gpu_buffer *qkv, const struct gpu_range *k_pages,
                      const struct gpu_range *v_pages, const struct gpu_buffer *partial,
                      const struct gpu_buffer *out, enum values out_values, uint32_t max_groups,
                      uint32_t n_rows, struct llm_error *error);
/* What follows a layer's attention, for a single row: x_out = x_in + o attended, which has its norm
 * (gain) and goes through gate, up and down, and is added; then its norm (next_gain) and of that
 * qkv, unless the layer is the last one (NULL). Everything in one dispatch; the same bits as apart.
 * made: of ops_tail_size bytes, begins with the attended row; integers where ops_values says so of
 * o. */
struct tail {
    const struct weight *o, *gate, *up, *down, *qkv;
    const struct activation *activation;
    const struct gpu_range *gain, *next_gain;
    float eps;
    const struct gpu_buffer *made, *qkv_out;
    struct gpu_range x_in, x_out; /* a row each, not the same */
};
/* Whether there is a kernel for it; matrices are all of one type, and lie in one buffer, whole
 * tiles without biases. */
bool ops_tail_fits(const struct ops *ops, const struct tail *t);
/* Whether there is one for this type of weights and x so rounded. */
bool ops_has_tail(const struct ops *ops, enum quant_type type, enum values values);
uint64_t ops_tail_size(uint32_t heads, uint32_t dim, uint32_t hidden); /* floats of each */
llm_status ops_tail(struct ops *ops, struct gpu_commands *c, const struct tail *t,
                    struct llm_error *error);
/* out[i] = index of the largest of logits(i)[0..n), ties to the lowest; NaN never wins unless all
 * are. */
llm_status ops_argmax(struct ops *ops, struct gpu_commands *c, const struct gpu_buffer *logits,
                      uint32_t n, const struct gpu_buffer *out, uint32_t n_rows,
                      struct llm_error *error);
/* out[i], a struct top, = what the step's tops[i] wants of logits(i)[0..n); nothing is written
 * where it wants nothing. groups: ops_top_scratch bytes for each row. Two dispatches and the
 * barrier between them. */
uint64_t ops_top_scratch(void);
llm_status ops_top(struct ops *ops, struct gpu_commands *c, const struct gpu_buffer *logits,
                   uint32_t n, const struct step *step, const struct gpu_buffer *groups,
                   const struct gpu_buffer *out, uint32_t n_rows, struct llm_error *error);

#endif

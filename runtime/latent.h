/* latent.h - what latent attention (arch_latent.c) has besides: the products before it, which make
 * q and k of few numbers, and the one after it. */
#ifndef LATENT_H
#define LATENT_H

#include "weights.h"

/* What lies between the operations, for all layers. */
struct latent_scratch {
    struct gpu_buffer low;    /* (rows, stride of the q rank) f32, where q has one */
    struct gpu_buffer values; /* (rows, stride of heads * value) f32 */
};

/* Bytes on the device for so many rows; 0 without latent attention. */
uint64_t latent_scratch_size(const struct hparams *h, uint32_t n_rows);
llm_status latent_open(struct latent_scratch *s, struct gpu_device *gpu, const struct hparams *h,
                       uint32_t n_rows, struct llm_error *error);
void latent_clear(const struct latent_scratch *s, struct gpu_commands *c); /* before first use */
void latent_free(struct latent_scratch *s, struct gpu_device *gpu);

struct forward;
/* Once the products w->qkv are made of the same rows: q and k as ops_rope_store takes them. */
llm_status latent_record_qk(struct forward *f, struct gpu_commands *c, uint32_t l,
                            const struct gpu_buffer *rows, enum values values, uint32_t n,
                            struct llm_error *error);
/* Of what attention has left in f->attended: what o is given, f->latent.values. */
llm_status latent_record_values(struct forward *f, struct gpu_commands *c, uint32_t l, uint32_t n,
                                struct llm_error *error);

#endif

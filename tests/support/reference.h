/* reference.h - a plain forward pass of llama and its kin in double precision, straight from a
 * GGUF file. */
#ifndef REFERENCE_H
#define REFERENCE_H

#include "gguf.h"

struct reference;

/* Decodes all weights; data may go away afterwards. NULL with the reason in error. */
struct reference *reference_open(const void *data, size_t size, struct llm_error *error);
void reference_free(struct reference *r);

/* Takes the rope factors for a context of so many tokens where the model has two sets; before any
 * evaluation. */
void reference_choose_rope(struct reference *r, uint32_t context);

uint32_t reference_vocab(const struct reference *r);
uint32_t reference_length(const struct reference *r);
void reference_truncate(struct reference *r, uint32_t length);

/* Appends n ids to the context. logits: (vocab) of the last token, or (n, vocab) of every one;
 * NULL: none. False when an id is out of the vocabulary; then nothing happened. */
bool reference_eval(struct reference *r, const int32_t *ids, size_t n, double *logits);
bool reference_eval_all(struct reference *r, const int32_t *ids, size_t n, double *logits);

/* (dim) The last token's state after the last norm, from which its logits were computed. */
const double *reference_state(const struct reference *r);

/* The best id, ties to the lowest. */
int32_t reference_best(const struct reference *r, const double *logits);

#endif

/* vocabulary_make.h - the tokenizer of a made model: single bytes and characters, and words of
 * letters. */
#ifndef VOCABULARY_MAKE_H
#define VOCABULARY_MAKE_H

#include "gguf_write.h"

/* A vocabulary of n tokens, SentencePiece or byte-pair. */
void model_write_vocabulary(struct gguf_write *w, uint32_t n, bool byte_pair);

#endif

/* rule_vocabulary.h - vocabularies whose ids show where a pre-tokenizer cuts: of any two neighbours
 * that no cut divides, one merge or another joins at least one. */
#ifndef RULE_VOCABULARY_H
#define RULE_VOCABULARY_H

#include <stddef.h>
#include <stdint.h>

/* Every rule and every kind of tokenizer that can be made up, one name each; NULL at the end. */
extern const char *const rule_vocabularies[];

/* The GGUF file, to be freed with free(). */
uint8_t *rule_vocabulary(const char *name, size_t *size);

#endif

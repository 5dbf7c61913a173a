/* fixture.h - what the tests of whole models share: a root, models loaded from memory on the device
 * that LLM_TEST_DEVICE names (an index or part of a name), prompts of ids, logits, and the distance
 * of two distributions. */
#ifndef FIXTURE_H
#define FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "llm.h"
#include "model_make.h"

extern llm *root;
extern struct llm_error error; /* of the last call through OK */

#define LENGTH(array) (sizeof(array) / sizeof *(array))

#define OK(call)                                                                                   \
    do {                                                                                           \
        if ((call) != LLM_OK) fail_msg("%s: %s", #call, error.message);                            \
    } while (0)

/* Group setup and teardown: the root, and that nothing it took is left. */
int fixture_open(void **state);
int fixture_close(void **state);
long long bytes_taken(void); /* by the root and all that is made from it, now */

/* A file in memory; must outlive its models. */
struct memory_file {
    uint8_t *data;
    size_t size;
};

void load_defaults(struct llm_load_options *o);
/* read_size 0: the size of file. */
llm_status load(struct memory_file *file, const struct llm_load_options *o, llm_model **out);
/* From a shape; file is filled, free(file->data) after the model. */
llm_model *load_shape(const struct model_shape *shape, const struct llm_load_options *o,
                      struct memory_file *file);
struct memory_file read_file(const char *path);
/* Group setup and teardown, as above, with a file of model_shape_small. */
extern struct memory_file small_file;
int fixture_open_small(void **state);
int fixture_close_small(void **state);
/* With these limits, or it fails. */
llm_model *open_limited(struct memory_file *file, uint32_t context, uint64_t kv_tokens);
/* The status is the expected one, and the error says a and b, either of which may be NULL. */
void assert_said(llm_status status, llm_status expected, const char *what, const char *a,
                 const char *b);

/* The same ids for the same seed. */
void random_ids(int32_t *ids, size_t n, uint32_t vocab, uint32_t seed);
llm_session *open_session(llm_model *model);
struct llm_prompt ids_prompt(const int32_t *ids, size_t n);
void feed(llm_session *s, const int32_t *ids, size_t n);
/* Logits after the last token, to be freed. */
float *logits_of(llm_session *s, uint32_t vocab);
void assert_same_bits(const float *a, const float *b, uint32_t n, const char *what, long number);
/* What the cache holds for the session is what its tokens say. */
void assert_computed(llm_model *model, llm_session *s, uint32_t vocab);

/* Kullback-Leibler divergence of what we compute from the reference, in nats; NaN never compares
 * as small. */
double divergence(const double *reference, const float *logits, uint32_t n);
int32_t best_of(const float *logits, uint32_t n);

#endif

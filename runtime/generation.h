/* generation.h - a generation in flight: computed by the scheduler, sampled here, given out in
 * pieces. */
#ifndef GENERATION_H
#define GENERATION_H

#include "sampler.h"
#include "session.h"
#include "text.h"

struct piece {
    size_t end; /* of its text in text.bytes */
    int32_t id;
    uint32_t index, n_tokens; /* n_tokens: what the session held after it */
    double logprob;
};

struct llm_generation {
    struct run run; /* first: the run is the generation */
    llm_session *session;
    llm_model *model;
    uint32_t references; /* the host's, and one while it runs */
    atomic_bool cancel;
    bool running, generating; /* generating: the prompt is computed */
    const char *finish;       /* NULL while it runs */
    llm_status status;
    struct llm_error error;

    struct sampler *sampler;
    uint64_t seed;
    int64_t max_tokens;
    bool feed;
    uint32_t n_logprobs;
    llm_piece_fn on_piece;
    void *on_piece_user;
    llm_release_fn on_piece_release;
    llm_full_fn on_full;
    void *on_full_user;
    llm_release_fn on_full_release;

    uint32_t n_before, n_prompt, n_cached, n_tokens;
    uint32_t given_tokens; /* what the session held after the last piece that was given out */
    struct text text;
    struct bytes decoded; /* scratch: the bytes of one token */
    struct piece *pieces;
    size_t n_pieces, pieces_capacity, next_piece;
    int32_t *ids;
    size_t ids_capacity;
    float *token_logprobs;
    size_t token_logprobs_capacity;
    struct llm_logprob *logprobs;
    size_t logprobs_capacity;

    double started, first_token, ended;
};

/* Carries out a cancel that was asked for. Not inside the pump's callbacks. */
void generation_settle(llm_generation *g);
void generation_end_cancelled(llm_generation *g);

#endif

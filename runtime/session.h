/* session.h - one conversation: the tokens it holds and the pages that their keys and values lie
 * in. */
#ifndef SESSION_H
#define SESSION_H

#include "model.h"

struct task; /* see task.h */

/* tokens[0, n_tokens) is what it holds; the first kv.length of them are computed. The last one of a
 * generation is not, and what comes next computes it. */
struct llm_session {
    llm_session *next; /* in model->sessions while it is open */
    llm_model *model;
    uint32_t references;
    bool open;
    bool close_wanted, unowned; /* closed, and freed, inside a callback: done when the pump has
                                   finished its pass */
    int32_t *tokens;            /* (capacity) */
    uint32_t n_tokens, capacity;
    struct kv_sequence kv;
    llm_generation *current; /* in flight */
    bool makes_room;         /* which has called its host to shorten the session */
    struct run *evaluation;  /* of a blocking call that is at work on it */
    struct task *task;       /* whose own it is */
};

/* Also for an encoder, which llm_session_create refuses. */
llm_status session_open(llm_model *m, uint32_t context, llm_session **out, struct llm_error *error);
void session_retain(llm_session *s);
/* LLM_CLOSED or LLM_BUSY. A cancel that waits for the pump is carried out first. */
llm_status session_check(llm_session *s, struct llm_error *error);
/* The ids of a prompt for this session, appended to out; ids out of range are LLM_BAD_ARGUMENT. */
llm_status session_prompt(const llm_session *s, const struct llm_prompt *prompt, struct ids *out,
                          struct llm_error *error);
/* Appends whole or not at all: LLM_CONTEXT_FULL. An empty session shares the pages of one that
 * begins alike; *n_cached tells. */
llm_status session_append(llm_session *s, const struct ids *ids, uint32_t *n_cached,
                          struct llm_error *error);
/* Cuts tokens and cache to n tokens. */
void session_cut(llm_session *s, uint32_t n);
/* The cache alone: tokens from n on will be computed again. */
void session_cut_cache(llm_session *s, uint32_t n);
/* Computes tokens up to upto and hands out outputs from outputs_from on; waits. */
llm_status session_evaluate(llm_session *s, uint32_t upto, uint32_t outputs_from,
                            void (*output)(void *user, uint32_t position, const float *logits),
                            void *user, struct llm_error *error);
/* LLM_BAD_ARGUMENT inside a callback. */
llm_status session_may_wait(const llm *root, const char *what, struct llm_error *error);

#endif

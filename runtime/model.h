/* model.h - a loaded model: its file, vocabulary, weights, cache and the sessions on it. */
#ifndef MODEL_H
#define MODEL_H

#include "forward.h"
#include "load.h"
#include "root.h"
#include "scheduler.h"
#include "source.h"
#include "tokenizer.h"

struct llm_model {
    llm_model *next; /* in root->models while it is open */
    llm *root;
    uint32_t references; /* the host's, its jobs' and one of each session */
    bool open, was_open;
    bool close_wanted, unowned; /* closed, and freed, inside a callback */

    struct source source;
    uint8_t *header; /* the file's beginning where it was read, not mapped */
    size_t header_size;
    struct gguf gguf;
    struct tokenizer *tokenizer;
    struct blueprint blueprint;
    char *texts; /* architecture, name, ... of the info, each ending with NUL */
    size_t texts_size;
    struct llm_model_info info;
    uint64_t fingerprint; /* of the header: what a saved session must agree with */

    struct device *device; /* NULL with vocab_only, as is all below */
    struct weights weights;
    struct forward forward;
    struct kv_pool pool;
    struct scheduler scheduler;
    uint32_t context;
    llm_session *sessions; /* those that are open */
};

/* On the worker: everything that loading takes. */
llm_status model_load(struct load *ld, struct source *source, llm_model **out,
                      struct llm_error *error);
/* On the pump: links it to the root; from now on it may be closed. */
void model_open(llm_model *m, struct load *ld);

bool model_pump(llm_model *m);
bool model_has_work(const llm_model *m);
/* When what is in flight was submitted, the first of it; infinity: nothing is. */
double model_in_flight_since(const llm_model *m);
void model_wait(llm_model *m, double seconds);
/* Until nothing of it is in flight, for ten seconds at most; nothing else changes. */
void model_wait_idle(const llm_model *m);

/* Closes the sessions that callbacks have closed. */
void model_close_sessions(llm_model *m);

/* LLM_CLOSED, or LLM_UNSUPPORTED for a vocabulary alone. */
llm_status model_check(const llm_model *m, struct llm_error *error);
/* The same, or LLM_UNSUPPORTED for an encoder, which writes nothing. */
llm_status model_check_decoder(const llm_model *m, struct llm_error *error);
/* Fills m->info from header and plan; frees nothing on failure. */
llm_status model_fill_info(llm_model *m, struct llm_error *error);

#endif

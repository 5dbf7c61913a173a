/* llm.h - run GGUF language models on any Vulkan device. The only public header; C11, usable from
 * C++.
 *
 * Rules that hold everywhere:
 *  - Every handle is reference-counted: the order of freeing does not matter, and NULL may be
 * freed.
 *  - Calls on one root (an llm and all that was made from it) are serialized by the host, from any
 * thread. Only llm_job_cancel and llm_generation_cancel may be called at any time from any thread.
 *  - Every struct starts with its size. Fill option structs with llm_..._defaults(&o, sizeof o),
 * then change them.
 *  - Text is (pointer, length) in UTF-8 and may hold NUL. Token ids are the model's own, from 0.
 *  - A call that can fail returns an llm_status and, when error is not NULL, puts the words there.
 *  - The library never prints, exits, aborts or raises signals.
 */
#ifndef LLM_H
#define LLM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined _WIN32
#define LLM_API __declspec(dllexport)
#elif defined __GNUC__
#define LLM_API __attribute__((visibility("default")))
#else
#define LLM_API
#endif

#define LLM_VERSION_MAJOR 0
#define LLM_VERSION_MINOR 1
#define LLM_VERSION_PATCH 0

/* X(constant, value, name): the name is what the Lua module gives as its third result. Values are
 * never renumbered. */
#define LLM_STATUS_LIST(X)                                                                         \
    X(LLM_OK, 0, "ok")                                                                             \
    X(LLM_RUNNING, 1, "running")                                                                   \
    X(LLM_NO_DEVICE, 2, "no_device")                                                               \
    X(LLM_NOT_FOUND, 3, "not_found")                                                               \
    X(LLM_IO, 4, "io")                                                                             \
    X(LLM_BAD_MODEL, 5, "bad_model")                                                               \
    X(LLM_UNSUPPORTED, 6, "unsupported")                                                           \
    X(LLM_OUT_OF_MEMORY, 7, "out_of_memory")                                                       \
    X(LLM_CONTEXT_FULL, 8, "context_full")                                                         \
    X(LLM_CANCELLED, 9, "cancelled")                                                               \
    X(LLM_DEVICE_LOST, 10, "device_lost")                                                          \
    X(LLM_CLOSED, 11, "closed")                                                                    \
    X(LLM_BUSY, 12, "busy")                                                                        \
    X(LLM_BAD_STATE, 13, "bad_state")                                                              \
    X(LLM_BAD_GRAMMAR, 14, "bad_grammar")                                                          \
    X(LLM_BAD_TEMPLATE, 15, "bad_template")                                                        \
    X(LLM_BAD_JSON, 16, "bad_json")                                                                \
    X(LLM_CALLBACK, 17, "callback")                                                                \
    X(LLM_BAD_ARGUMENT, 18, "bad_argument") /* misuse; the Lua module raises it */

typedef enum llm_status {
#define LLM_STATUS_ENUM(constant, value, name) constant = value,
    LLM_STATUS_LIST(LLM_STATUS_ENUM)
#undef LLM_STATUS_ENUM
} llm_status;

struct llm_error {
    uint32_t size;
    int32_t status; /* llm_status */
    char message[512];
};

typedef struct llm llm;
typedef struct llm_job llm_job;
typedef struct llm_model llm_model;
typedef struct llm_session llm_session;
typedef struct llm_generation llm_generation;

LLM_API const char *llm_status_name(llm_status status);
/* Version as 10000 * major + 100 * minor + patch. */
LLM_API uint32_t llm_version(void);
/* Monotonic wall time in seconds; sleep for so many seconds. */
LLM_API double llm_clock(void);
LLM_API void llm_sleep(double seconds);

/* ---- the root ---- */

/* One reallocating allocator: ptr NULL allocates, new_size 0 frees, otherwise resizes. May be
 * called from any thread. */
typedef void *(*llm_realloc_fn)(void *user, void *ptr, size_t old_size, size_t new_size);

enum { LLM_LOG_ERROR = 1, LLM_LOG_WARNING, LLM_LOG_INFO, LLM_LOG_DEBUG };
typedef void (*llm_log_fn)(void *user, int32_t level, const char *text);

struct llm_options {
    uint32_t size;
    llm_realloc_fn realloc; /* NULL: the C library's */
    void *realloc_user;
};

LLM_API void llm_options_defaults(struct llm_options *o, size_t size);
/* Touches no device and starts no thread. options may be NULL. */
LLM_API llm_status llm_create(llm **out, const struct llm_options *options,
                              struct llm_error *error);
/* Cancels and closes all that was made from it, joins every worker. */
LLM_API void llm_free(llm *root);
/* Called on the thread that pumps, inside update, poll and wait. NULL silences. */
LLM_API void llm_log(llm *root, int32_t level, llm_log_fn function, void *user);
/* Pumps every load and generation for at most so many milliseconds; 0 never waits: it collects what
 * is ready and submits what is next. Returns 1 while work remains, else 0. Inside a callback it
 * does nothing. */
LLM_API int32_t llm_update(llm *root, double milliseconds);

/* ---- devices ---- */

struct llm_device_info {
    uint32_t size;
    uint32_t index; /* from 0, best first: discrete, integrated, virtual, cpu, other */
    char name[256];
    char type[16]; /* "discrete" "integrated" "virtual" "cpu" "other" */
    char vendor[32];
    char driver[256];
    char api[16];       /* "1.3.230" */
    char tiers[64];     /* of kernels that it has, space separated: "T0", "T3" (products of packed
                           bytes) */
    uint64_t memory;    /* bytes of the memory that weights would live in */
    uint64_t available; /* bytes of it that are free now, as far as can be told */
    uint32_t deterministic;
    uint32_t subgroup; /* invocations of one subgroup */
};

/* 0 where there is no Vulkan loader or no device. */
LLM_API uint32_t llm_device_count(llm *root);
LLM_API llm_status llm_device_get(llm *root, uint32_t index, struct llm_device_info *info,
                                  struct llm_error *error);

/* A device that the host owns and lends. Handles as in vulkan.h, without needing it. lock and
 * unlock surround each queue submission, never a wait. */
struct llm_vulkan_device {
    uint32_t size;
    uint32_t api_version;
    void *get_instance_proc_addr;
    void *instance, *physical_device, *device, *queue;
    uint32_t queue_family;
    uint32_t n_extensions;
    const char *const *extensions; /* device extensions that are enabled */
    const void *features;          /* VkPhysicalDeviceFeatures2 chain that was enabled, or NULL */
    void (*lock)(void *user);
    void (*unlock)(void *user);
    void *user;
};

/* ---- loading ---- */

enum { LLM_KV_F16 = 0, LLM_KV_F32 = 1, LLM_KV_Q8_0 = 2, LLM_KV_Q4_0 = 3 };
enum { LLM_PRECISION_FAST = 0, LLM_PRECISION_HIGH = 1 };

/* Copies n bytes from offset to dst and returns how many were copied; fewer than n or a negative
 * number is an error. */
typedef int64_t (*llm_read_fn)(void *user, uint64_t offset, void *dst, size_t n);
/* fraction rises from 0 to 1, the last is 1. Anything but LLM_OK cancels; LLM_CALLBACK fails the
 * load with that code. */
typedef llm_status (*llm_progress_fn)(void *user, double fraction);
typedef void (*llm_release_fn)(void *user);

struct llm_load_options {
    uint32_t size;
    int32_t device;          /* index, -1 the best one */
    const char *device_name; /* part of a name, or a type such as "cpu"; NULL: by index */
    const struct llm_vulkan_device *vulkan_device; /* NULL: our own */
    uint32_t context;   /* tokens a session, 0: the smaller of 4096 and the trained context */
    uint32_t kv;        /* LLM_KV_...; F16 is F32 where heads are no multiple of 8 dimensions */
    uint64_t kv_tokens; /* positions of all sessions, 0: four contexts, or what fits */
    uint64_t memory;    /* limit in bytes for this model on the device, 0: what the device has */
    int32_t gpu_layers; /* -1: as many as fit */
    uint32_t precision; /* LLM_PRECISION_... */
    uint32_t deterministic;
    uint32_t vocab_only;
    const char
        *cache; /* folder for pipelines and verdicts on kernels; NULL: the platform's, "": none */
    /* The release functions are called once, whatever the outcome: when the job, or the model that
     * reads, is gone. */
    llm_progress_fn progress; /* called by the pump */
    void *progress_user;
    llm_release_fn progress_release;
    llm_read_fn read; /* NULL: path is a file. Stays in use until the model is closed */
    void *read_user;
    llm_release_fn read_release;
    uint64_t read_size;       /* bytes of the whole file */
    uint32_t read_any_thread; /* 0: read is called by the pump only */
};

LLM_API void llm_load_defaults(struct llm_load_options *o, size_t size);
/* Blocking: a loop over the job below. path is UTF-8; of a model in parts
 * (NAME-00001-of-00003.gguf) that of the first. */
LLM_API llm_status llm_load(llm *root, const char *path, const struct llm_load_options *options,
                            llm_model **out, struct llm_error *error);
LLM_API llm_status llm_load_start(llm *root, const char *path,
                                  const struct llm_load_options *options, llm_job **out,
                                  struct llm_error *error);

/* ---- jobs: work in flight other than generation ---- */

/* Pumps once, without waiting. LLM_RUNNING and fraction, then LLM_OK or the error, again and again.
 */
LLM_API llm_status llm_job_poll(llm_job *job, double *fraction, struct llm_error *error);
/* Pumps for at most so many seconds (negative: until the end), then answers as poll does. */
LLM_API llm_status llm_job_wait(llm_job *job, double seconds, double *fraction,
                                struct llm_error *error);
/* The model of a load that is done, a new reference; NULL before that. */
LLM_API llm_model *llm_job_model(llm_job *job);
LLM_API void llm_job_cancel(llm_job *job);
LLM_API void llm_job_free(llm_job *job); /* cancels first */

/* ---- the self-test of a device ---- */

/* One kernel for one operation. */
struct llm_kernel_info {
    uint32_t size;
    const char *operation; /* such as "Q4_K product" */
    const char *kernel;    /* its name and constants */
    uint32_t rows;         /* of activations; 0: does not depend on it */
    uint32_t ok, chosen;   /* computes what it should; is the one that is used */
    double error, bound;   /* NMSE against double precision; the most that is ok */
    double seconds;        /* of one call, 0: not timed */
    double bytes_per_second, operations_per_second; /* where that is known, else 0 */
};

struct llm_selftest {
    uint32_t size;
    uint32_t ok; /* all of them */
    struct llm_device_info device;
    double seconds; /* that it took */
    size_t n_kernels;
    const struct llm_kernel_info *kernels; /* live as long as the job */
};

/* Checks every kernel that the device would use, and times those among which there is a choice:
 * models that are loaded from then on use the fastest, also in other processes if there is a cache.
 * Of the options, device, device_name, vulkan_device and cache are read; they may be NULL. */
LLM_API llm_status llm_selftest_start(llm *root, const struct llm_load_options *options,
                                      llm_job **out, struct llm_error *error);
/* What it found, once the job is done; LLM_BAD_ARGUMENT for another job. */
LLM_API llm_status llm_job_selftest(const llm_job *job, struct llm_selftest *out,
                                    struct llm_error *error);

/* ---- models ---- */

struct llm_model_info {
    uint32_t size;
    const char *architecture, *name, *quantization,
        *license;              /* "" where the file does not say; live as the model does */
    const char *chat_template; /* NULL where there is none */
    uint64_t parameters, file_bytes;
    uint32_t vocab_size, context, layers, embedding;
    int32_t bos_token; /* -1: none */
    uint32_t adds_bos; /* 1: text in an empty session begins with it */
    uint32_t n_eos_tokens;
    const int32_t *eos_tokens;
    uint32_t has_device; /* 0 with vocab_only */
    struct llm_device_info device;
    uint64_t memory_weights, memory_kv_per_token, memory_kv,
        memory_scratch; /* bytes on the device */
    /* Made while it was loaded; those of which the driver says whether its cache had them; that it
     * had; seconds that each took, added up. */
    uint32_t pipelines_made, pipelines_reported, pipelines_cached;
    double pipelines_seconds;
};

LLM_API llm_status llm_model_info_get(const llm_model *model, struct llm_model_info *info,
                                      struct llm_error *error);
/* Closing cancels and closes the sessions; handles stay valid and answer LLM_CLOSED. Idempotent. */
LLM_API void llm_model_close(llm_model *model);
LLM_API int32_t llm_model_closed(const llm_model *model);
LLM_API void llm_model_retain(llm_model *model);
LLM_API void llm_model_free(llm_model *model);

enum { LLM_TOKENIZE_BOS = 1, LLM_TOKENIZE_SPECIAL = 2 };
/* Writes up to capacity ids and always the number there are to *n. Without BOS nothing is added;
 * without SPECIAL the names of special tokens are plain text. */
LLM_API llm_status llm_tokenize(llm_model *model, const char *text, size_t size, uint32_t flags,
                                int32_t *ids, size_t capacity, size_t *n, struct llm_error *error);
/* Writes up to capacity bytes, no NUL, and always the number there are to *n. Special tokens are
 * written only with SPECIAL. */
LLM_API llm_status llm_detokenize(llm_model *model, const int32_t *ids, size_t n_ids,
                                  uint32_t flags, char *text, size_t capacity, size_t *n,
                                  struct llm_error *error);

/* ---- sessions ---- */

/* What to read: ids when not NULL (taken exactly), else text (after the beginning token where the
 * model wants one and the session is empty). special: special tokens written in the text are
 * tokens, as in a rendered template. */
struct llm_prompt {
    uint32_t size;
    const char *text;
    size_t text_size;
    const int32_t *ids;
    size_t n_ids;
    uint32_t special;
};

/* context 0: the model's. */
LLM_API llm_status llm_session_create(llm_model *model, uint32_t context, llm_session **out,
                                      struct llm_error *error);
LLM_API llm_status llm_session_fork(llm_session *session, llm_session **out,
                                    struct llm_error *error);
LLM_API void llm_session_close(llm_session *session);
LLM_API int32_t llm_session_closed(const llm_session *session);
LLM_API void llm_session_free(llm_session *session);

LLM_API uint32_t llm_session_length(const llm_session *session);
LLM_API uint32_t llm_session_capacity(const llm_session *session);
/* The ids it holds, valid until the next call on the session. */
LLM_API const int32_t *llm_session_tokens(const llm_session *session, size_t *n);
/* Puts n ids in the place of all tokens from `from` on; what is not computed of them is when it is
 * needed. */
LLM_API llm_status llm_session_replace(llm_session *session, uint32_t from, const int32_t *ids,
                                       size_t n, struct llm_error *error);
LLM_API llm_status llm_session_truncate(llm_session *session, uint32_t length,
                                        struct llm_error *error);
/* Appends without generating: a generation with feed = 1 that runs to its end. */
LLM_API llm_status llm_session_feed(llm_session *session, const struct llm_prompt *prompt,
                                    struct llm_error *error);
/* All logits after the last token, f32, vocab_size of them. */
LLM_API llm_status llm_session_logits(llm_session *session, float *logits, struct llm_error *error);
/* Stops the generation in flight, if there is one. */
LLM_API void llm_session_cancel(llm_session *session);

/* Returns LLM_OK, or a status that ends the saving or restoring with it. */
typedef llm_status (*llm_write_fn)(void *user, const void *data, size_t n);
/* with_kv 0: tokens only. Versioned and checksummed. */
LLM_API llm_status llm_session_save(llm_session *session, uint32_t with_kv, llm_write_fn write,
                                    void *user, struct llm_error *error);
/* read as in loading. A damaged, cut, foreign or newer blob is LLM_BAD_STATE. */
LLM_API llm_status llm_session_restore(llm_model *model, uint64_t size, llm_read_fn read,
                                       void *user, llm_session **out, struct llm_error *error);

/* Natural logs of the probability of each choice after the prompt, summed over its tokens;
 * normalize: over their number. */
LLM_API llm_status llm_model_choose(llm_model *model, const struct llm_prompt *prompt,
                                    const struct llm_prompt *choices, size_t n_choices,
                                    uint32_t normalize, double *log_probabilities, size_t *best,
                                    struct llm_error *error);

LLM_API llm_status llm_model_choose_start(llm_model *model, const struct llm_prompt *prompt,
                                          const struct llm_prompt *choices, size_t n_choices,
                                          uint32_t normalize, llm_job **out,
                                          struct llm_error *error);
/* The log-probabilities of a job of choosing that is done, n of them, which live as the job does;
 * NULL before that. */
LLM_API const double *llm_job_choices(const llm_job *job, size_t *n, size_t *best);

/* How the hidden states of a text's tokens become one vector. DEFAULT: as the file says, else LAST
 * for a decoder, MEAN for an encoder. */
enum { LLM_POOLING_DEFAULT = 0, LLM_POOLING_MEAN = 1, LLM_POOLING_CLS = 2, LLM_POOLING_LAST = 3 };

struct llm_embed_options {
    uint32_t size;
    uint32_t pooling;   /* LLM_POOLING_...; CLS: the first token's state */
    uint32_t normalize; /* 1, the default: to the length 1 */
    int32_t priority;   /* higher goes first */
};

LLM_API void llm_embed_defaults(struct llm_embed_options *o, size_t size);
/* One vector of info.embedding floats a text, to vectors (n, embedding). A text gets the beginning
 * and end tokens that the model wants; ids are taken exactly. options may be NULL. LLM_CONTEXT_FULL
 * names the text that is longer than the context. */
LLM_API llm_status llm_model_embed(llm_model *model, const struct llm_prompt *texts, size_t n,
                                   const struct llm_embed_options *options, float *vectors,
                                   struct llm_error *error);
/* Copies the texts. */
LLM_API llm_status llm_model_embed_start(llm_model *model, const struct llm_prompt *texts, size_t n,
                                         const struct llm_embed_options *options, llm_job **out,
                                         struct llm_error *error);
/* The vectors (n, dim) of a job of embedding that is done, which live as the job does; NULL before
 * that. */
LLM_API const float *llm_job_embeddings(const llm_job *job, size_t *n, uint32_t *dim);

/* ---- generation ---- */

struct llm_piece {
    uint32_t size;
    int32_t id;       /* of the token that completed the text */
    uint32_t index;   /* from 0, tokens since the start */
    double logprob;   /* natural log; only where logprobs were asked for */
    const char *text; /* whole UTF-8 */
    size_t text_size;
};
/* Called by the pump for each piece; anything but LLM_OK cancels; LLM_CALLBACK ends it as an error
 * with that code. */
typedef llm_status (*llm_piece_fn)(void *user, const struct llm_piece *piece);

/* Called by the pump, or by the start, when the session is full and more is to be generated: it may
 * truncate or replace what the session holds, the generated tokens staying the last ones.
 * LLM_CALLBACK ends the generation as an error with that code; where no room was made, it ends with
 * "length". */
typedef llm_status (*llm_full_fn)(void *user);

struct llm_bias {
    int32_t id;
    float bias;
};
struct llm_text {
    const char *text;
    size_t size;
};

struct llm_generate_options {
    uint32_t size;
    int64_t max_tokens;             /* -1: as many as fit */
    double temperature;             /* 0: the best token, ties to the lowest id */
    int32_t top_k;                  /* 0: off */
    double top_p, min_p, typical_p; /* off: 1, 0, 1 */
    double repeat_penalty, presence_penalty, frequency_penalty; /* off: 1, 0, 0 */
    int32_t penalty_last_n; /* tokens that penalties look back on, -1: all */
    uint32_t has_seed;      /* 0: a random one, which the result tells */
    uint64_t seed;
    const struct llm_text *stop;
    size_t n_stop;
    const struct llm_bias *logit_bias;
    size_t n_logit_bias;
    uint32_t logprobs; /* alternatives to report at each token, 0: none */
    int32_t priority;  /* higher goes first */
    uint32_t feed;     /* 1: read the prompt only, generate nothing and compute no logits */
    llm_piece_fn on_piece;
    void *on_piece_user;
    llm_release_fn on_piece_release;
    llm_full_fn on_full; /* NULL: a full session ends the generation */
    void *on_full_user;
    llm_release_fn on_full_release;
    uint32_t speculative; /* 1: tokens that followed the same words before are tried several at a
                             time; the text stays the same */
    /* DRY: a token that would prolong a repetition of n >= dry_length tokens loses dry_multiplier *
     * dry_base^(n - dry_length) of its logit. multiplier 0: off. Repetitions end at control tokens
     * and at those with a line break, a colon, a quotation mark or a star. */
    double dry_multiplier, dry_base;
    int32_t dry_length;
    /* XTC: with this probability all tokens of at least the threshold but the least likely of them
     * are left out. 0: off. */
    double xtc_probability, xtc_threshold;
    /* Mirostat 2: keeps the surprise of the tokens near tau bits, in the place of top_k, top_p,
     * min_p, typical_p and xtc. tau 0: off. */
    double mirostat_tau, mirostat_eta;
};

LLM_API void llm_generate_defaults(struct llm_generate_options *o, size_t size);
/* Copies all that it needs of options and prompt. options may be NULL. LLM_BAD_ARGUMENT names the
 * option out of range. */
LLM_API llm_status llm_generation_start(llm_session *session, const struct llm_prompt *prompt,
                                        const struct llm_generate_options *options,
                                        llm_generation **out, struct llm_error *error);
/* Pumps once without waiting, then gives all pieces since the last call joined in piece->text
 * (empty if none; id, index and logprob are the last one's), valid until the next call on it.
 * LLM_RUNNING, or LLM_OK after the end, errors included. */
LLM_API llm_status llm_generation_poll(llm_generation *generation, struct llm_piece *piece);
/* Takes the next single piece that is ready, without pumping. 1: there was one; 0: none now. */
LLM_API int32_t llm_generation_next(llm_generation *generation, struct llm_piece *piece);
/* Pumps for at most so many seconds (negative: until the end; 0 does not wait). LLM_RUNNING or
 * LLM_OK as poll does. */
LLM_API llm_status llm_generation_wait(llm_generation *generation, double seconds);
/* Pumps until a piece is ready to be taken or it has ended, for at most so many seconds (negative:
 * no limit). */
LLM_API llm_status llm_generation_wait_piece(llm_generation *generation, double seconds);
LLM_API void llm_generation_cancel(llm_generation *generation);
LLM_API void llm_generation_free(llm_generation *generation); /* cancels first if it still runs */

struct llm_logprob {
    int32_t id;
    float logprob;
};

struct llm_result {
    uint32_t size;
    int32_t status;     /* LLM_OK, or why finish is "error" */
    const char *finish; /* "stop" "length" "cancelled" "error" */
    const char *error;  /* "" unless finish is "error" */
    const char *text;
    size_t text_size;
    const char *stop; /* the string that matched, NULL if none did */
    size_t stop_size;
    uint32_t tokens, prompt_tokens, cached_tokens;
    uint64_t seed;
    double prompt_ms, generate_ms;
    uint32_t n_logprobs;         /* alternatives a token in logprobs */
    const int32_t *ids;          /* tokens of them, every generated one */
    const float *token_logprobs; /* tokens of them, where logprobs were asked for, else NULL */
    const struct llm_logprob *logprobs; /* tokens * n_logprobs, best first, else NULL */
    uint32_t drafted, accepted;         /* tokens that were tried, and that were right */
};
/* LLM_RUNNING before the end. What it points at lives as long as the generation. */
LLM_API llm_status llm_generation_result(const llm_generation *generation,
                                         struct llm_result *result);

/* ---- Lua ---- */

struct lua_State;
/* Exported by the Lua module and by the static library that carries it. */
LLM_API int luaopen_llm(struct lua_State *L);

#ifdef __cplusplus
}
#endif
#endif

/* The binding's own parts. What is comfortable in Lua is in parts.lua, which gets these functions
 * in one table. */
#ifndef LUA_BINDING_H
#define LUA_BINDING_H

#include "compat.h"
#include "llm.h"

/* ---- errors: misuse raises, the world returns nil, message, code (errors.c) ---- */

/* Name of the chunk of the Lua parts; positions in error messages skip it. */
#define PARTS_NAME "=[llm]"

int raise(lua_State *L, const char *format, ...);
int raise_argument(lua_State *L, int argument, const char *function, const char *expected);
/* Type of a value in words: the metatable's __name, or the plain type. */
const char *type_name(lua_State *L, int index);
/* Pushes nil, message, code; LLM_BAD_ARGUMENT is raised. */
int failure(lua_State *L, const char *function, llm_status status, const char *message);
int unsupported(lua_State *L, const char *what);
/* Pushes a number as people write it: 5, 0.8, 1000000000, in every Lua. */
const char *number_text(lua_State *L, double number);
double check_number(lua_State *L, int argument, const char *function, double otherwise);

/* ---- the root: one llm a Lua state (root.c) ---- */

struct kind {
    const char *name;
    void (*close)(void *handle); /* ends its work now; may be NULL */
    void (*free)(void *handle);
    int (*closed)(const void *handle); /* by its parent, say; may be NULL */
};

struct dead {
    const struct kind *kind;
    void *handle;
    int close;
};

struct root {
    llm *llm;       /* made at first use */
    lua_State *L;   /* of the call that runs now; callbacks run on it */
    int callbacks;  /* how many are running */
    int closed;     /* the state is closing */
    int trampoline; /* registry reference of the function that runs callbacks */
    struct hooks *log;
    struct hooks *released; /* hooks that the library has let go of */
    struct dead *dead;      /* handles closed inside a callback; room for all that live */
    size_t n_dead, dead_capacity, n_objects;
    uint64_t n_seeds;
};

void root_open(lua_State *L);
struct root *root_get(lua_State *L);
/* The library's root, made now if it was not. */
llm *root_llm(lua_State *L, struct root *root);
/* Surround every call into the library that can run a callback or free something. Nothing in
 * between may raise. */
lua_State *root_enter(struct root *root, lua_State *L);
void root_leave(struct root *root, lua_State *L, lua_State *before);
/* Raises inside a callback. */
void root_blocks(lua_State *L, const struct root *root, const char *function);
/* A random seed that every Lua's number holds exactly: 53 bits. */
uint64_t root_seed(struct root *root);

/* ---- objects: full userdata round a handle (object.c) ---- */

struct object {
    const struct kind *kind;
    struct root *root;
    void *handle;        /* NULL once closed */
    int counted;         /* in root's n_objects: its place among the dead is kept */
    struct hooks *hooks; /* its callbacks; kept by its slots */
    uint32_t vocab_size; /* of a model and its sessions */
    int with_logprobs;   /* of a generation: they were asked for */
};

extern const struct kind kind_job, kind_model, kind_session, kind_generation;

/* Makes the metatable and leaves on the stack: the table of methods, the table of fields. */
void object_type(lua_State *L, const struct kind *kind, const luaL_Reg *methods,
                 const luaL_Reg *fields);
/* Pushes a closed object, to be filled. Its slots, a table, keep what it needs alive. */
struct object *object_new(lua_State *L, struct root *root, const struct kind *kind);
struct object *object_check(lua_State *L, int index, const struct kind *kind, const char *function);
/* slots[name] of the object at object = the value at value. */
void object_keep(lua_State *L, int object, const char *name, int value);
extern const luaL_Reg object_functions[];

/* ---- options: one table, checked against rows (options.c) ---- */

enum option_type {
    OPTION_FLAG,   /* boolean -> uint32_t */
    OPTION_NUMBER, /* -> double */
    OPTION_INT32,
    OPTION_UINT32,
    OPTION_INT64,
    OPTION_UINT64,
    OPTION_NAME,     /* one of names -> its place, uint32_t */
    OPTION_TEXT,     /* string without zero bytes -> const char * */
    OPTION_FUNCTION, /* kept in the anchor under slot */
    OPTION_READ,     /* by read() */
    OPTION_LATER     /* known, and not there yet */
};

struct options {
    const char *function; /* whose options they are */
    int anchor;           /* stack index of a table that keeps alive what the options point at */
    uint32_t functions;   /* bit of each slot that was given */
    const char *later;    /* an option that is not there yet, or NULL */
    void *out;            /* NULL: check only */
};

struct option {
    const char *name;
    enum option_type type;
    size_t offset; /* in out */
    double min, max;
    const char *const *names;
    int slot;
    void (*read)(lua_State *L, int value, struct options *o, const struct option *row);
};

#define FLAG(NAME, AT)                                                                             \
    {                                                                                              \
        .name = NAME, .type = OPTION_FLAG, .offset = AT                                            \
    }
#define RANGE(NAME, TYPE, AT, MIN, MAX)                                                            \
    {                                                                                              \
        .name = NAME, .type = OPTION_##TYPE, .offset = AT, .min = MIN, .max = MAX                  \
    }
#define LATER(NAME)                                                                                \
    {                                                                                              \
        .name = NAME, .type = OPTION_LATER                                                         \
    }

/* Reads the table (or nothing) at index. */
void options_read(lua_State *L, int index, struct options *o, const struct option *rows,
                  size_t n_rows);
int options_raise(lua_State *L, int value, const struct options *o, const char *name,
                  const char *expected);
/* Memory that lives as long as the anchor. */
void *options_scratch(lua_State *L, const struct options *o, size_t size);
extern const luaL_Reg options_functions[];

/* ---- callbacks (callbacks.c) ---- */

enum {
    HOOK_PROGRESS = 1,
    HOOK_READ,
    HOOK_PIECE,
    HOOK_FULL,
    HOOK_WRITE,
    HOOK_LOG,
    HOOK_ERROR,
    HOOK_SCRATCH
};

/* Functions that the library may call, in the table that options_read kept them in. */
struct hooks {
    struct root *root;
    int ref;        /* registry reference while the library holds it */
    uint32_t count; /* how often the library holds it */
    int failed;     /* a function raised; its error is kept */
    struct hooks *next;
};

/* Pushes hooks over the table at anchor, held count times, or NULL (and nil) for count 0. */
struct hooks *hooks_new(lua_State *L, struct root *root, int anchor, uint32_t count);
/* The call that was to take them failed. */
void hooks_abandon(struct hooks *hooks);
void hooks_release(void *hooks);
/* Status and words of a failure of the object at object, where a callback's error is behind it.
 * Pushes that error, or nil. */
llm_status hooks_status(lua_State *L, const struct object *o, int object, llm_status status,
                        const char **message);
int callback_trampoline(lua_State *L);
llm_status callback_progress(void *hooks, double fraction);
int64_t callback_read(void *hooks, uint64_t offset, void *dst, size_t n);
llm_status callback_write(void *hooks, const void *data, size_t n);
llm_status callback_full(void *hooks);
llm_status callback_piece(void *hooks, const struct llm_piece *piece);
void callback_log(void *hooks, int32_t level, const char *text);
void push_piece_info(lua_State *L, const struct llm_piece *piece, int with_logprob);

/* ---- prompts (prompt.c) ---- */

/* Reads a string or a list of ids; 0 for a list of messages. */
int prompt_read(lua_State *L, int index, const struct options *o, struct llm_prompt *out);

/* ---- a growing buffer that survives errors (buffer.c) ---- */

struct buffer {
    char *data;
    size_t size, capacity;
};

struct buffer *buffer_new(lua_State *L);
int buffer_append(struct buffer *b, const void *data, size_t size); /* 0: out of memory */

/* ---- fields of the table on top of the stack (fields.c) ---- */

void set_number(lua_State *L, const char *name, double value);
void set_count(lua_State *L, const char *name, uint64_t value);
void set_text(lua_State *L, const char *name, const char *text); /* nothing for NULL and "" */

/* ---- the functions of each file, for the Lua parts ---- */

extern const luaL_Reg module_functions[], model_functions[], session_functions[],
    generation_functions[], job_functions[];
extern const luaL_Reg job_methods[], model_methods[], model_fields[], session_methods[],
    session_fields[], generation_methods[];
void push_device(lua_State *L, const struct llm_device_info *info);
void json_open(lua_State *L); /* leaves the table that remembers arrays and the order of keys */

#endif

/* Work in flight other than generation: loads, choices, embeddings. */
#include "binding.h"

#include <stddef.h>
#include <string.h>

static void job_free(void *h)
{
    llm_job_free(h);
}
const struct kind kind_job = {"llm.job", NULL, job_free, NULL};

/* ---- what a job that is done has made ---- */

static int push_model(lua_State *L, const struct object *job)
{
    lua_getuservalue(L, 1);
    lua_getfield(L, -1, "model");
    if (!lua_isnil(L, -1)) return 1;
    struct object *m = object_new(L, job->root, &kind_model);
    m->handle = llm_job_model(job->handle);
    if (!m->handle) return 1;
    struct llm_model_info info = {.size = sizeof info};
    struct llm_error error = {.size = sizeof error};
    if (llm_model_info_get(m->handle, &info, &error) == LLM_OK) m->vocab_size = info.vocab_size;
    object_keep(L, 1, "model", -1);
    return 1;
}

static void push_list(lua_State *L, const double *values, size_t n)
{
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        lua_pushnumber(L, values[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
}

static int push_choices(lua_State *L, const double *logs, size_t n, size_t best)
{
    lua_pushinteger(L, (lua_Integer)best + 1);
    push_list(L, logs, n);
    return 2;
}

static int push_embeddings(lua_State *L, const float *vectors, size_t n, uint32_t dim)
{
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        lua_createtable(L, (int)dim, 0);
        for (uint32_t k = 0; k < dim; k++) {
            lua_pushnumber(L, (lua_Number)vectors[i * dim + k]);
            lua_rawseti(L, -2, (int)k + 1);
        }
        lua_rawseti(L, -2, (int)i + 1);
    }
    return 1;
}

static int push_made(lua_State *L, const struct object *job)
{
    size_t n, best;
    uint32_t dim;
    const double *logs = llm_job_choices(job->handle, &n, &best);
    if (logs) return push_choices(L, logs, n, best);
    const float *vectors = llm_job_embeddings(job->handle, &n, &dim);
    if (dim) return push_embeddings(L, vectors, n, dim);
    return push_model(L, job);
}

/* step(job, seconds, function) -> "running", fraction | "done", what it made | nil, message, code.
 * seconds: 0 does not wait */
static int job_step(lua_State *L)
{
    const char *function = luaL_checkstring(L, 3);
    struct object *job = object_check(L, 1, &kind_job, function);
    double seconds = check_number(L, 2, function, -1), fraction = 0;
    if (seconds != 0) root_blocks(L, job->root, function);
    struct llm_error error = {.size = sizeof error};
    lua_State *before = root_enter(job->root, L);
    llm_status status = seconds == 0 ? llm_job_poll(job->handle, &fraction, &error)
                                     : llm_job_wait(job->handle, seconds, &fraction, &error);
    root_leave(job->root, L, before);
    if (!job->handle)
        return failure(L, function, LLM_CANCELLED, "the job was closed by its own callback");
    if (status == LLM_RUNNING) {
        lua_pushliteral(L, "running");
        lua_pushnumber(L, fraction);
        return 2;
    }
    if (status != LLM_OK) {
        const char *message = error.message;
        status = hooks_status(L, job, 1, status, &message);
        return failure(L, function, status, message);
    }
    lua_settop(L, 1);
    int n = push_made(L, job);
    lua_pushliteral(L, "done");
    lua_insert(L, -n - 1);
    return n + 1;
}

static int job_cancel(lua_State *L)
{
    llm_job_cancel(object_check(L, 1, &kind_job, "cancel")->handle);
    return 0;
}

/* ---- lists of prompts ---- */

/* The list at index, whose strings it keeps alive. NULL: a list of messages is among them. */
static struct llm_prompt *read_prompts(lua_State *L, int index, const struct options *o, size_t n)
{
    struct llm_prompt *prompts = options_scratch(L, o, n * sizeof *prompts);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, index, (int)i + 1);
        if (!prompt_read(L, lua_gettop(L), o, &prompts[i])) return NULL;
        lua_pop(L, 1);
    }
    return prompts;
}

/* The job of a model, made and not yet open, is on the top. */
static int started(lua_State *L, struct object *job, const char *function, llm_status status,
                   llm_job *handle, const struct llm_error *error)
{
    if (status != LLM_OK) return failure(L, function, status, error->message);
    job->handle = handle;
    object_keep(L, -1, "model", 1);
    return 1;
}

/* choose_start(model, prompt, choices, normalize) -> job */
static int choose_start(lua_State *L)
{
    struct object *m = object_check(L, 1, &kind_model, "choose");
    lua_settop(L, 4);
    lua_newtable(L);
    struct options o = {.function = "model:choose", .anchor = 5};
    struct llm_prompt prompt;
    if (!prompt_read(L, 2, &o, &prompt)) return unsupported(L, "a list of messages");
    if (!lua_istable(L, 3)) raise_argument(L, 3, "choose", "list of choices");
    size_t n = lua_rawlen(L, 3);
    if (!n) raise(L, "bad argument #3 to 'choose' (no choices)");
    if (n > 65536) raise(L, "bad argument #3 to 'choose' (%d choices are too many)", (int)n);
    const struct llm_prompt *choices = read_prompts(L, 3, &o, n);
    if (!choices) return unsupported(L, "a list of messages");
    struct object *job = object_new(L, m->root, &kind_job);
    struct llm_error error = {.size = sizeof error};
    llm_job *handle = NULL;
    lua_State *before = root_enter(m->root, L);
    llm_status status = llm_model_choose_start(m->handle, &prompt, choices, n,
                                               (uint32_t)lua_toboolean(L, 4), &handle, &error);
    root_leave(m->root, L, before);
    return started(L, job, "choose", status, handle, &error);
}

struct embed {
    struct llm_embed_options o;
    uint32_t async, yield;
};
static const char *const pooling_names[] = {"mean", "cls", "last", NULL}; /* from 1 on */

static void read_pooling(lua_State *L, int value, struct options *o, const struct option *row)
{
    const char *text = lua_type(L, value) == LUA_TSTRING ? lua_tostring(L, value) : "";
    struct embed *e = o->out;
    for (uint32_t i = 0; pooling_names[i]; i++) {
        if (strcmp(text, pooling_names[i]) == 0) e->o.pooling = LLM_POOLING_MEAN + i;
    }
    if (!e->o.pooling) options_raise(L, value, o, row->name, "\"mean\", \"cls\" or \"last\"");
}

#define AT(field) offsetof(struct embed, field)
static const struct option embed_rows[] = {
    {.name = "pooling", .type = OPTION_READ, .read = read_pooling},
    FLAG("normalize", AT(o.normalize)),
    RANGE("priority", INT32, AT(o.priority), INT32_MIN, INT32_MAX),
    FLAG("async", AT(async)),
    FLAG("yield", AT(yield)),
};
#undef AT

/* embed_start(model, texts, options) -> job */
static int embed_start(lua_State *L)
{
    struct object *m = object_check(L, 1, &kind_model, "embed");
    lua_settop(L, 3);
    lua_newtable(L);
    struct embed e = {.async = 0};
    struct options o = {.function = "model:embed", .anchor = 4, .out = &e};
    llm_embed_defaults(&e.o, sizeof e.o);
    options_read(L, 3, &o, embed_rows, sizeof embed_rows / sizeof *embed_rows);
    size_t n = lua_rawlen(L, 2);
    if (n > INT32_MAX / 2) raise(L, "bad argument #2 to 'embed' (too many texts)");
    const struct llm_prompt *texts = read_prompts(L, 2, &o, n);
    if (!texts) return unsupported(L, "a list of messages");
    struct object *job = object_new(L, m->root, &kind_job);
    struct llm_error error = {.size = sizeof error};
    llm_job *handle = NULL;
    lua_State *before = root_enter(m->root, L);
    llm_status status = llm_model_embed_start(m->handle, texts, n, &e.o, &handle, &error);
    root_leave(m->root, L, before);
    return started(L, job, "embed", status, handle, &error);
}

const luaL_Reg job_functions[] = {
    {"step", job_step},
    {"choose_start", choose_start},
    {"embed_start", embed_start},
    {NULL, NULL},
};
const luaL_Reg job_methods[] = {{"cancel", job_cancel}, {NULL, NULL}};

/* Work in flight: start, poll, pieces, result. */
#include "binding.h"

#include <float.h>
#include <stddef.h>
#include <string.h>

static void generation_free(void *h)
{
    llm_generation_free(h);
}
const struct kind kind_generation = {"llm.generation", NULL, generation_free, NULL};

/* ---- options ---- */

struct start {
    struct llm_generate_options o;
    uint32_t context, async, yield;
};

static void read_seed(lua_State *L, int value, struct options *o, const struct option *row)
{
    int64_t n = 0;
    if (!compat_toint64(L, value, &n)) options_raise(L, value, o, row->name, "integer");
    struct start *s = o->out;
    s->o.has_seed = 1;
    s->o.seed = (uint64_t)n;
}

static void read_stop(lua_State *L, int value, struct options *o, const struct option *row)
{
    struct start *s = o->out;
    int single = lua_type(L, value) == LUA_TSTRING;
    if (!single && !lua_istable(L, value))
        options_raise(L, value, o, row->name, "string or list of strings");
    size_t n = single ? 1 : lua_rawlen(L, value);
    if (n > 4096)
        raise(L, "bad option 'stop' of %s (%d strings are too many)", o->function, (int)n);
    struct llm_text *stop = options_scratch(L, o, n * sizeof *stop);
    for (size_t i = 0; i < n; i++) {
        if (single) lua_pushvalue(L, value);
        else lua_rawgeti(L, value, (int)(i + 1));
        if (lua_type(L, -1) != LUA_TSTRING)
            options_raise(L, -1, o, row->name, "string or list of strings");
        stop[i].text = lua_tolstring(L, -1, &stop[i].size);
        if (!stop[i].size) raise(L, "bad option 'stop' of %s (an empty string)", o->function);
        lua_pop(L, 1); /* the table of options keeps it */
    }
    s->o.stop = stop;
    s->o.n_stop = n;
}

static void read_bias(lua_State *L, int value, struct options *o, const struct option *row)
{
    struct start *s = o->out;
    if (!lua_istable(L, value))
        options_raise(L, value, o, row->name, "table from token id to number");
    size_t n = 0;
    for (lua_pushnil(L); lua_next(L, value); lua_pop(L, 1)) n++;
    struct llm_bias *bias = options_scratch(L, o, n * sizeof *bias);
    n = 0;
    for (lua_pushnil(L); lua_next(L, value); lua_pop(L, 1), n++) {
        int64_t id = 0;
        if (lua_type(L, -2) != LUA_TNUMBER) options_raise(L, -2, o, row->name, "token id");
        if (!compat_toint64(L, -2, &id) || id < 0 || id > INT32_MAX)
            raise(L, "bad option 'logit_bias' of %s (token %s is out of range)", o->function,
                  number_text(L, lua_tonumber(L, -2)));
        if (lua_type(L, -1) != LUA_TNUMBER)
            options_raise(L, -1, o, row->name, "number for each token id");
        double b = lua_tonumber(L, -1);
        if (b != b) options_raise(L, -1, o, row->name, "number");
        bias[n].id = (int32_t)id;
        bias[n].bias = (float)b;
    }
    s->o.logit_bias = bias;
    s->o.n_logit_bias = n;
}

/* Rows of a table that is an option: dry, xtc, mirostat. One that is given is on: its first number
 * has, where the table is silent, the value that its authors recommend. */
#define AT(field) offsetof(struct llm_generate_options, field)
static const struct option dry_rows[] = {
    RANGE("multiplier", NUMBER, AT(dry_multiplier), 0, FLT_MAX),
    RANGE("base", NUMBER, AT(dry_base), 1, FLT_MAX),
    RANGE("length", INT32, AT(dry_length), 1, INT32_MAX),
};
static const struct option xtc_rows[] = {
    RANGE("probability", NUMBER, AT(xtc_probability), 0, 1),
    RANGE("threshold", NUMBER, AT(xtc_threshold), 0, 1),
};
static const struct option mirostat_rows[] = {
    RANGE("tau", NUMBER, AT(mirostat_tau), 0, FLT_MAX),
    RANGE("eta", NUMBER, AT(mirostat_eta), 0, 1),
};
#undef AT

static void read_group(lua_State *L, int value, struct options *o, const struct option *row,
                       const struct option *rows, size_t n_rows)
{
    if (!lua_istable(L, value)) options_raise(L, value, o, row->name, "table");
    struct start *s = o->out;
    struct options inner = {.anchor = o->anchor, .out = &s->o};
    inner.function = lua_pushfstring(L, "%s of %s", row->name, o->function);
    options_read(L, value, &inner, rows, n_rows);
}

static void read_dry(lua_State *L, int value, struct options *o, const struct option *row)
{
    ((struct start *)o->out)->o.dry_multiplier = 0.8;
    read_group(L, value, o, row, dry_rows, sizeof dry_rows / sizeof *dry_rows);
}

static void read_xtc(lua_State *L, int value, struct options *o, const struct option *row)
{
    ((struct start *)o->out)->o.xtc_probability = 0.5;
    read_group(L, value, o, row, xtc_rows, sizeof xtc_rows / sizeof *xtc_rows);
}

static void read_mirostat(lua_State *L, int value, struct options *o, const struct option *row)
{
    ((struct start *)o->out)->o.mirostat_tau = 5;
    read_group(L, value, o, row, mirostat_rows, sizeof mirostat_rows / sizeof *mirostat_rows);
}

/* The Lua parts have made a function of "drop". */
static void read_overflow(lua_State *L, int value, struct options *o, const struct option *row)
{
    const char *text = lua_type(L, value) == LUA_TSTRING ? lua_tostring(L, value) : "";
    if (strcmp(text, "stop") == 0 || strcmp(text, "drop") == 0) return;
    if (!lua_isfunction(L, value))
        options_raise(L, value, o, row->name, "\"stop\", \"drop\" or a function");
    lua_pushvalue(L, value);
    lua_rawseti(L, o->anchor, HOOK_FULL);
    o->functions |= 1u << HOOK_FULL;
}

#define AT(field) offsetof(struct start, field)
static const struct option rows[] = {
    RANGE("context", UINT32, AT(context), 1, INT32_MAX), /* the first ones are a session's only */
    LATER("system"),
    RANGE("max_tokens", INT64, AT(o.max_tokens), 0, 9e15),
    RANGE("temperature", NUMBER, AT(o.temperature), 0, FLT_MAX),
    RANGE("top_k", INT32, AT(o.top_k), 0, INT32_MAX),
    RANGE("top_p", NUMBER, AT(o.top_p), 0, 1),
    RANGE("min_p", NUMBER, AT(o.min_p), 0, 1),
    RANGE("typical_p", NUMBER, AT(o.typical_p), 0, 1),
    RANGE("repeat_penalty", NUMBER, AT(o.repeat_penalty), FLT_MIN, FLT_MAX),
    RANGE("presence_penalty", NUMBER, AT(o.presence_penalty), -FLT_MAX, FLT_MAX),
    RANGE("frequency_penalty", NUMBER, AT(o.frequency_penalty), -FLT_MAX, FLT_MAX),
    RANGE("penalty_last_n", INT32, AT(o.penalty_last_n), -1, INT32_MAX),
    {.name = "seed", .type = OPTION_READ, .read = read_seed},
    {.name = "stop", .type = OPTION_READ, .read = read_stop},
    {.name = "logit_bias", .type = OPTION_READ, .read = read_bias},
    RANGE("logprobs", UINT32, AT(o.logprobs), 0, 256),
    RANGE("priority", INT32, AT(o.priority), INT32_MIN, INT32_MAX),
    {.name = "on_piece", .type = OPTION_FUNCTION, .slot = HOOK_PIECE},
    {.name = "overflow", .type = OPTION_READ, .read = read_overflow},
    FLAG("speculative", AT(o.speculative)),
    FLAG("yield", AT(yield)),
    {.name = "dry", .type = OPTION_READ, .read = read_dry},
    {.name = "xtc", .type = OPTION_READ, .read = read_xtc},
    {.name = "mirostat", .type = OPTION_READ, .read = read_mirostat},
    LATER("grammar"),
    LATER("schema"),
    LATER("tools"),
    LATER("sampler"),
};
static const struct option feed_rows[] = {FLAG("async", AT(async)), FLAG("yield", AT(yield))};
enum { SESSION_ROWS = 2, N_ROWS = sizeof rows / sizeof *rows };

/* options(function, options) -> context, or nil, message, code. Checks a session's defaults. */
static int generation_options(lua_State *L)
{
    struct start s = {.context = 0};
    lua_settop(L, 2);
    lua_newtable(L);
    struct options o = {.function = luaL_checkstring(L, 1), .anchor = 3, .out = &s};
    options_read(L, 2, &o, rows, N_ROWS);
    if (o.later) return unsupported(L, o.later);
    lua_pushinteger(L, (lua_Integer)s.context);
    return 1;
}

/* start(session, function, prompt, options, feed) -> generation */
static int generation_start(lua_State *L)
{
    const char *function = luaL_checkstring(L, 2);
    struct object *session = object_check(L, 1, &kind_session, function);
    struct root *root = session->root;
    lua_settop(L, 5);
    lua_newtable(L);
    struct start s = {.context = 0};
    struct options o = {.function = function, .anchor = 6, .out = &s};
    llm_generate_defaults(&s.o, sizeof s.o);
    s.o.feed = (uint32_t)lua_toboolean(L, 5);
    if (s.o.feed) options_read(L, 4, &o, feed_rows, sizeof feed_rows / sizeof *feed_rows);
    else options_read(L, 4, &o, rows + SESSION_ROWS, N_ROWS - SESSION_ROWS);
    struct llm_prompt prompt;
    int plain = prompt_read(L, 3, &o, &prompt);
    if (o.later) return unsupported(L, o.later);
    if (!plain) return unsupported(L, "a list of messages");
    if (!s.o.has_seed) s.o.seed = root_seed(root);
    s.o.has_seed = 1;

    struct object *g = object_new(L, root, &kind_generation);
    object_keep(L, 7, "session", 1);
    const uint32_t on_piece = o.functions >> HOOK_PIECE & 1, on_full = o.functions >> HOOK_FULL & 1;
    g->hooks = hooks_new(L, root, 6, on_piece + on_full);
    object_keep(L, 7, "hooks", 8);
    if (on_piece) {
        s.o.on_piece = callback_piece;
        s.o.on_piece_user = g->hooks;
        s.o.on_piece_release = hooks_release;
    }
    if (on_full) {
        s.o.on_full = callback_full;
        s.o.on_full_user = g->hooks;
        s.o.on_full_release = hooks_release;
    }
    struct llm_error error = {.size = sizeof error};
    llm_generation *handle = NULL;
    lua_State *before = root_enter(root, L);
    llm_status status = llm_generation_start(session->handle, &prompt, &s.o, &handle, &error);
    if (status != LLM_OK) hooks_abandon(g->hooks);
    root_leave(root, L, before);
    if (status != LLM_OK) return failure(L, function, status, error.message);
    g->handle = handle;
    g->with_logprobs = s.o.logprobs > 0;
    lua_settop(L, 7);
    return 1;
}

/* ---- methods ---- */

static int generation_ended(const struct object *g)
{
    struct llm_result r = {.size = sizeof r};
    return llm_generation_result(g->handle, &r) != LLM_RUNNING;
}

static int generation_poll(lua_State *L)
{
    struct object *g = object_check(L, 1, &kind_generation, "poll");
    struct llm_piece piece = {.size = sizeof piece};
    lua_State *before = root_enter(g->root, L);
    llm_status status = llm_generation_poll(g->handle, &piece);
    root_leave(g->root, L, before);
    if (!g->handle) piece.text_size = 0; /* its own callback closed it, and the text is gone */
    lua_pushlstring(L, piece.text_size ? piece.text : "", piece.text_size);
    lua_pushboolean(L, !g->handle || status != LLM_RUNNING);
    return 2;
}

/* wait_for(generation, seconds, function) -> done */
static int generation_wait_for(lua_State *L)
{
    const char *function = luaL_checkstring(L, 3);
    struct object *g = object_check(L, 1, &kind_generation, function);
    double seconds = check_number(L, 2, function, -1);
    if (seconds == 0 && g->root->callbacks) {
        lua_pushboolean(L, generation_ended(g));
        return 1;
    }
    root_blocks(L, g->root, function);
    lua_State *before = root_enter(g->root, L);
    llm_status status = llm_generation_wait(g->handle, seconds);
    root_leave(g->root, L, before);
    lua_pushboolean(L, status != LLM_RUNNING);
    return 1;
}

/* next(generation, seconds) -> piece, info; false: none yet; nil: no more */
static int generation_next(lua_State *L)
{
    struct object *g = object_check(L, 1, &kind_generation, "the iterator");
    double seconds = luaL_checknumber(L, 2);
    root_blocks(L, g->root, "the iterator");
    struct llm_piece piece = {.size = sizeof piece};
    lua_State *before = root_enter(g->root, L);
    llm_generation *handle = g->handle;
    int got = llm_generation_next(handle, &piece);
    if (!got) {
        llm_generation_wait_piece(handle, seconds);
        got = llm_generation_next(handle, &piece);
    }
    root_leave(g->root, L, before);
    if (!g->handle) return 0; /* by its own callback: the text is gone */
    if (got) {
        lua_pushlstring(L, piece.text_size ? piece.text : "", piece.text_size);
        push_piece_info(L, &piece, g->with_logprobs);
        return 2;
    }
    if (generation_ended(g)) lua_pushnil(L);
    else lua_pushboolean(L, 0);
    return 1;
}

static int generation_cancel(lua_State *L)
{
    struct object *g = object_check(L, 1, &kind_generation, "cancel");
    llm_generation_cancel(g->handle);
    return 0;
}

/* ---- result ---- */

static void push_timings(lua_State *L, const struct llm_result *r)
{
    uint32_t read = r->prompt_tokens > r->cached_tokens ? r->prompt_tokens - r->cached_tokens : 0;
    lua_createtable(L, 0, 4);
    set_number(L, "prompt_ms", r->prompt_ms);
    set_number(L, "generate_ms", r->generate_ms);
    set_number(L, "prompt_per_second", r->prompt_ms > 0 ? 1000 * read / r->prompt_ms : 0);
    set_number(L, "generate_per_second",
               r->generate_ms > 0 ? 1000 * (r->tokens - 1) / r->generate_ms : 0);
}

/* A list, one a token: { id, logprob, top = { {id, logprob}, ... } } */
static void push_logprobs(lua_State *L, const struct llm_result *r)
{
    lua_createtable(L, (int)r->tokens, 0);
    for (uint32_t i = 0; i < r->tokens; i++) {
        lua_createtable(L, 0, 3);
        lua_pushinteger(L, r->ids[i]);
        lua_setfield(L, -2, "id");
        set_number(L, "logprob", (double)r->token_logprobs[i]);
        lua_createtable(L, (int)r->n_logprobs, 0);
        for (uint32_t k = 0; r->logprobs && k < r->n_logprobs; k++) {
            const struct llm_logprob *p = &r->logprobs[(size_t)i * r->n_logprobs + k];
            lua_createtable(L, 2, 0);
            lua_pushinteger(L, p->id);
            lua_rawseti(L, -2, 1);
            lua_pushnumber(L, (lua_Number)p->logprob);
            lua_rawseti(L, -2, 2);
            lua_rawseti(L, -2, (int)k + 1);
        }
        lua_setfield(L, -2, "top");
        lua_rawseti(L, -2, (int)i + 1);
    }
}

static void push_result(lua_State *L, const struct object *g, const struct llm_result *r)
{
    lua_createtable(L, 0, 10);
    lua_pushlstring(L, r->text_size ? r->text : "", r->text_size);
    lua_setfield(L, -2, "text");
    lua_pushstring(L, r->finish);
    lua_setfield(L, -2, "finish");
    set_count(L, "tokens", r->tokens);
    set_count(L, "prompt_tokens", r->prompt_tokens);
    set_count(L, "cached_tokens", r->cached_tokens);
    compat_pushint64(L, (int64_t)r->seed); /* as it was given: Lua's integers have a sign */
    lua_setfield(L, -2, "seed");
    if (r->stop) {
        lua_pushlstring(L, r->stop, r->stop_size);
        lua_setfield(L, -2, "stop");
    }
    if (r->token_logprobs && r->ids) {
        push_logprobs(L, r);
        lua_setfield(L, -2, "logprobs");
    }
    push_timings(L, r);
    lua_setfield(L, -2, "timings");
    if (r->status == LLM_OK) return;
    const char *message = r->error && *r->error ? r->error : llm_status_name((llm_status)r->status);
    llm_status status = hooks_status(L, g, 1, (llm_status)r->status, &message);
    lua_pushstring(L, message);
    lua_setfield(L, -3, "error");
    lua_pushstring(L, llm_status_name(status));
    lua_setfield(L, -3, "code");
    lua_pop(L, 1);
}

/* Made once, so that it is the same table each time. */
static int generation_result(lua_State *L)
{
    struct object *g = object_check(L, 1, &kind_generation, "result");
    lua_settop(L, 1);
    lua_getuservalue(L, 1);
    lua_getfield(L, 2, "result");
    if (!lua_isnil(L, 3)) return 1;
    struct llm_result r = {.size = sizeof r};
    if (llm_generation_result(g->handle, &r) == LLM_RUNNING) return 1;
    push_result(L, g, &r);
    lua_pushvalue(L, -1);
    lua_setfield(L, 2, "result");
    return 1;
}

/* failed(generation or job) -> whether a callback raised, its error value */
static int generation_failed(lua_State *L)
{
    const struct object *o = lua_touserdata(L, 1);
    lua_settop(L, 1);
    const char *message = NULL;
    lua_pushboolean(L, o->hooks && o->hooks->failed);
    hooks_status(L, o, 1, LLM_CALLBACK, &message);
    return 2;
}

const luaL_Reg generation_functions[] = {
    {"options", generation_options},   {"start", generation_start},
    {"wait_for", generation_wait_for}, {"next", generation_next},
    {"failed", generation_failed},     {NULL, NULL},
};
const luaL_Reg generation_methods[] = {
    {"poll", generation_poll},
    {"cancel", generation_cancel},
    {"result", generation_result},
    {NULL, NULL},
};

/* Functions of the script that the library calls. They run inside the call that the script made, on
 * its coroutine, through one protected call, so that neither an error nor a lack of memory jumps
 * through the library. */
#include "binding.h"

#include <string.h>

struct call {
    struct hooks *hooks;
    int slot;
    int (*push)(lua_State *L, const struct call *call); /* arguments; how many */
    void (*take)(lua_State *L, struct call *call);      /* the result, on the top */
    double fraction;
    uint64_t offset;
    void *dst;
    const void *data;
    size_t size;
    int32_t level;
    const struct llm_piece *piece;
    int64_t answer;
};

struct hooks *hooks_new(lua_State *L, struct root *root, int anchor, uint32_t count)
{
    if (!count) {
        lua_pushnil(L);
        return NULL;
    }
    struct hooks *hooks = lua_newuserdata(L, sizeof *hooks);
    *hooks = (struct hooks){.root = root, .count = count};
    lua_pushboolean(L, 0); /* a place for an error, so that keeping one needs no memory */
    lua_rawseti(L, anchor, HOOK_ERROR);
    lua_pushvalue(L, anchor);
    lua_setuservalue(L, -2);
    lua_pushvalue(L, -1);
    hooks->ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return hooks;
}

void hooks_release(void *p)
{
    struct hooks *hooks = p;
    if (!hooks->count || --hooks->count) return;
    hooks->next = hooks->root->released;
    hooks->root->released = hooks;
}

void hooks_abandon(struct hooks *hooks)
{
    if (!hooks || !hooks->count) return;
    hooks->count = 1;
    hooks_release(hooks);
}

static void push_slot(lua_State *L, const struct hooks *hooks, int slot)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, hooks->ref);
    lua_getuservalue(L, -1);
    lua_rawgeti(L, -1, slot);
    lua_replace(L, -3);
    lua_pop(L, 1);
}

int callback_trampoline(lua_State *L)
{
    struct call *call = lua_touserdata(L, 1);
    push_slot(L, call->hooks, call->slot);
    lua_call(L, call->push(L, call), 1);
    if (call->take) call->take(L, call);
    return 0;
}

static void keep_error(lua_State *L, struct hooks *hooks)
{
    if (hooks->failed) { /* the first one counts */
        lua_pop(L, 1);
        return;
    }
    hooks->failed = 1;
    lua_rawgeti(L, LUA_REGISTRYINDEX, hooks->ref);
    lua_getuservalue(L, -1);
    lua_pushvalue(L, -3);
    lua_rawseti(L, -2, HOOK_ERROR);
    lua_pop(L, 3);
}

static llm_status callback_run(struct call *call)
{
    struct root *root = call->hooks->root;
    lua_State *L = root->L;
    if (!L || root->closed || !lua_checkstack(L, 8)) return LLM_CANCELLED;
    lua_rawgeti(L, LUA_REGISTRYINDEX, root->trampoline);
    lua_pushlightuserdata(L, call);
    root->callbacks++;
    int failed = lua_pcall(L, 1, 0, 0);
    root->callbacks--;
    root->L = L;
    if (!failed) return LLM_OK;
    keep_error(L, call->hooks);
    return LLM_CALLBACK;
}

llm_status hooks_status(lua_State *L, const struct object *o, int object, llm_status status,
                        const char **message)
{
    if (!o->hooks || !o->hooks->failed || status == LLM_OK || status == LLM_RUNNING) {
        lua_pushnil(L);
        return status;
    }
    lua_getuservalue(L, object); /* its slots keep the hooks when the library has let go of them */
    lua_getfield(L, -1, "hooks");
    lua_getuservalue(L, -1);
    lua_rawgeti(L, -1, HOOK_ERROR);
    lua_replace(L, -4);
    lua_pop(L, 2);
    *message = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "a callback raised an error";
    return LLM_CALLBACK;
}

/* ---- progress ---- */

static int push_fraction(lua_State *L, const struct call *call)
{
    lua_pushnumber(L, call->fraction);
    return 1;
}

/* false, and nothing else, says stop */
static void take_consent(lua_State *L, struct call *call)
{
    call->answer = !(lua_isboolean(L, -1) && !lua_toboolean(L, -1));
}

llm_status callback_progress(void *hooks, double fraction)
{
    struct call call = {hooks, HOOK_PROGRESS, push_fraction, take_consent, .fraction = fraction};
    llm_status status = callback_run(&call);
    return status == LLM_OK && !call.answer ? LLM_CANCELLED : status;
}

/* ---- read and write ---- */

static int push_range(lua_State *L, const struct call *call)
{
    compat_pushint64(L, call->offset);
    compat_pushint64(L, call->size);
    return 2;
}

static void take_bytes(lua_State *L, struct call *call)
{
    call->answer = -1;
    if (lua_type(L, -1) != LUA_TSTRING) return;
    size_t n;
    const char *bytes = lua_tolstring(L, -1, &n);
    if (n > call->size) n = call->size;
    if (n) memcpy(call->dst, bytes, n);
    call->answer = (int64_t)n;
}

int64_t callback_read(void *hooks, uint64_t offset, void *dst, size_t n)
{
    struct call call = {hooks,      HOOK_READ, push_range, take_bytes, .offset = offset,
                        .dst = dst, .size = n};
    return callback_run(&call) == LLM_OK ? call.answer : -1;
}

static int push_bytes(lua_State *L, const struct call *call)
{
    lua_pushlstring(L, call->data, call->size);
    return 1;
}

llm_status callback_write(void *hooks, const void *data, size_t n)
{
    struct call call = {hooks, HOOK_WRITE, push_bytes, take_consent, .data = data, .size = n};
    llm_status status = callback_run(&call);
    return status == LLM_OK && !call.answer ? LLM_IO : status;
}

/* ---- pieces ---- */

void push_piece_info(lua_State *L, const struct llm_piece *piece, int with_logprob)
{
    lua_createtable(L, 0, 3);
    lua_pushinteger(L, (lua_Integer)piece->index + 1);
    lua_setfield(L, -2, "index");
    lua_pushinteger(L, piece->id);
    lua_setfield(L, -2, "id");
    if (!with_logprob) return;
    lua_pushnumber(L, piece->logprob);
    lua_setfield(L, -2, "logprob");
}

static int push_piece(lua_State *L, const struct call *call)
{
    lua_pushlstring(L, call->piece->text, call->piece->text_size);
    push_piece_info(L, call->piece, call->piece->logprob != 0);
    return 2;
}

llm_status callback_piece(void *hooks, const struct llm_piece *piece)
{
    struct call call = {hooks, HOOK_PIECE, push_piece, take_consent, .piece = piece};
    llm_status status = callback_run(&call);
    return status == LLM_OK && !call.answer ? LLM_CANCELLED : status;
}

/* ---- a full session ---- */

static int push_nothing(lua_State *L, const struct call *call)
{
    (void)L;
    (void)call;
    return 0;
}

llm_status callback_full(void *hooks)
{
    struct call call = {.hooks = hooks, .slot = HOOK_FULL, .push = push_nothing};
    return callback_run(&call);
}

/* ---- log ---- */

static int push_log(lua_State *L, const struct call *call)
{
    static const char *const levels[] = {"error", "error", "warning", "info", "debug"};
    lua_pushstring(L, levels[call->level < 0 || call->level > LLM_LOG_DEBUG ? 0 : call->level]);
    lua_pushstring(L, call->data);
    return 2;
}

void callback_log(void *hooks, int32_t level, const char *text)
{
    struct call call = {hooks, HOOK_LOG, push_log, NULL, .level = level, .data = text};
    callback_run(&call); /* nothing can be told of an error here */
}

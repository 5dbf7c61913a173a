/* One conversation with its own context. */
#include "binding.h"

#include <stdlib.h>
#include <string.h>

static void session_close(void *h)
{
    llm_session_close(h);
}
static void session_free(void *h)
{
    llm_session_free(h);
}
static int session_closed(const void *h)
{
    return llm_session_closed(h);
}
const struct kind kind_session = {"llm.session", session_close, session_free, session_closed};

static int session_length(lua_State *L)
{
    struct object *s = object_check(L, 1, &kind_session, "length");
    lua_pushinteger(L, (lua_Integer)llm_session_length(s->handle));
    return 1;
}

static int session_capacity(lua_State *L)
{
    struct object *s = object_check(L, 1, &kind_session, "capacity");
    lua_pushinteger(L, (lua_Integer)llm_session_capacity(s->handle));
    return 1;
}

static int session_tokens(lua_State *L)
{
    struct object *s = object_check(L, 1, &kind_session, "tokens");
    lua_createtable(L, (int)llm_session_length(s->handle), 0);
    size_t n = 0;
    const int32_t *ids = llm_session_tokens(s->handle, &n);
    for (size_t i = 0; i < n; i++) {
        lua_pushinteger(L, ids[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
    return 1;
}

static int truncate_to(lua_State *L, struct object *s, const char *function, uint32_t length)
{
    struct llm_error error = {.size = sizeof error};
    lua_State *before = root_enter(s->root, L);
    llm_status status = llm_session_truncate(s->handle, length, &error);
    root_leave(s->root, L, before);
    if (status != LLM_OK) return failure(L, function, status, error.message);
    lua_pushinteger(L, (lua_Integer)length);
    return 1;
}

static int session_truncate(lua_State *L)
{
    struct object *s = object_check(L, 1, &kind_session, "truncate");
    int64_t n = 0, length = llm_session_length(s->handle);
    if (!compat_toint64(L, 2, &n)) raise_argument(L, 2, "truncate", "integer");
    if (n < 0 || n > length)
        raise(L, "bad argument #2 to 'truncate' (%s is not from 0 to the length, %d)",
              number_text(L, (double)n), (int)length);
    return truncate_to(L, s, "truncate", (uint32_t)n);
}

/* replace(session, from, ids) -> length: from counts the tokens that stay */
static int session_replace(lua_State *L)
{
    struct object *s = object_check(L, 1, &kind_session, "replace");
    uint32_t from = (uint32_t)luaL_checkinteger(L, 2);
    lua_settop(L, 3);
    lua_newtable(L);
    struct options o = {.function = "replace", .anchor = 4};
    struct llm_prompt ids = {.size = sizeof ids};
    if (!lua_istable(L, 3) || !prompt_read(L, 3, &o, &ids)) raise_argument(L, 3, "replace", "ids");
    struct llm_error error = {.size = sizeof error};
    lua_State *before = root_enter(s->root, L);
    llm_status status = llm_session_replace(s->handle, from, ids.ids, ids.n_ids, &error);
    root_leave(s->root, L, before);
    if (status != LLM_OK) return failure(L, "replace", status, error.message);
    lua_pushinteger(L, (lua_Integer)llm_session_length(s->handle));
    return 1;
}

static int session_reset(lua_State *L)
{
    return truncate_to(L, object_check(L, 1, &kind_session, "reset"), "reset", 0);
}

static int session_fork(lua_State *L)
{
    struct object *s = object_check(L, 1, &kind_session, "fork");
    lua_settop(L, 1);
    struct object *f = object_new(L, s->root, &kind_session);
    lua_getuservalue(L, 1);
    lua_getfield(L, 3, "model");
    object_keep(L, 2, "model", 4);
    lua_getfield(L, 3, "defaults");
    object_keep(L, 2, "defaults", 5);
    struct llm_error error = {.size = sizeof error};
    llm_session *handle = NULL;
    lua_State *before = root_enter(s->root, L);
    llm_status status = llm_session_fork(s->handle, &handle, &error);
    root_leave(s->root, L, before);
    if (status != LLM_OK) return failure(L, "fork", status, error.message);
    f->handle = handle;
    f->vocab_size = s->vocab_size;
    lua_settop(L, 2);
    return 1;
}

static int session_cancel(lua_State *L)
{
    llm_session_cancel(object_check(L, 1, &kind_session, "cancel")->handle);
    return 0;
}

/* ---- logits ---- */

struct candidate {
    int32_t id;
    float logit;
};

/* Whether a goes after b: best first, ties to the lowest id. */
static int worse(const struct candidate *a, const struct candidate *b)
{
    return a->logit != b->logit ? a->logit < b->logit : a->id > b->id;
}

static int by_rank(const void *a, const void *b)
{
    return worse(a, b) ? 1 : -1;
}

/* A heap of n with the worst on top: puts c in its place. */
static void sift(struct candidate *heap, size_t n, size_t at, struct candidate c)
{
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && worse(&heap[child + 1], &heap[child])) child++;
        if (!worse(&heap[child], &c)) break;
        heap[at] = heap[child];
    }
    heap[at] = c;
}

static void select_best(const float *logits, size_t n_logits, struct candidate *best, size_t n)
{
    for (size_t i = 0; i < n; i++) best[i] = (struct candidate){(int32_t)i, logits[i]};
    for (size_t i = n / 2; i-- > 0;) sift(best, n, i, best[i]);
    for (size_t i = n; i < n_logits; i++) {
        struct candidate c = {(int32_t)i, logits[i]};
        if (worse(&best[0], &c)) sift(best, n, 0, c);
    }
    qsort(best, n, sizeof *best, by_rank);
}

static int push_best(lua_State *L, const float *logits, size_t n_logits, size_t n)
{
    struct candidate *best = lua_newuserdata(L, n * sizeof *best);
    select_best(logits, n_logits, best, n);
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        lua_createtable(L, 2, 0);
        lua_pushinteger(L, best[i].id);
        lua_rawseti(L, -2, 1);
        lua_pushnumber(L, (lua_Number)best[i].logit);
        lua_rawseti(L, -2, 2);
        lua_rawseti(L, -2, (int)i + 1);
    }
    return 1;
}

static int push_raw(lua_State *L, float *logits, size_t n)
{
    unsigned char *bytes = (unsigned char *)logits;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &logits[i], sizeof bits);
        for (int k = 0; k < 4; k++) bytes[4 * i + (size_t)k] = (unsigned char)(bits >> 8 * k);
    }
    lua_pushlstring(L, (const char *)bytes, 4 * n);
    return 1;
}

static int session_logits(lua_State *L)
{
    struct object *s = object_check(L, 1, &kind_session, "logits");
    int64_t n = 0;
    int raw = lua_type(L, 2) == LUA_TSTRING && strcmp(lua_tostring(L, 2), "raw") == 0;
    if (!raw && (!compat_toint64(L, 2, &n) || n < 1))
        raise_argument(L, 2, "logits", "integer from 1 up, or \"raw\"");
    root_blocks(L, s->root, "logits");
    size_t vocab_size = s->vocab_size;
    float *logits = lua_newuserdata(L, (vocab_size + 1) * sizeof *logits);
    struct llm_error error = {.size = sizeof error};
    lua_State *before = root_enter(s->root, L);
    llm_status status = llm_session_logits(s->handle, logits, &error);
    root_leave(s->root, L, before);
    if (status != LLM_OK) return failure(L, "logits", status, error.message);
    if (raw) return push_raw(L, logits, vocab_size);
    return push_best(L, logits, vocab_size, (uint64_t)n < vocab_size ? (size_t)n : vocab_size);
}

/* ---- saving ---- */

static llm_status write_buffer(void *user, const void *data, size_t n)
{
    return buffer_append(user, data, n) ? LLM_OK : LLM_OUT_OF_MEMORY;
}

/* save(session, with_kv, write or nil) -> blob or true */
static int session_save(lua_State *L)
{
    struct object *s = object_check(L, 1, &kind_session, "save");
    root_blocks(L, s->root, "save");
    lua_settop(L, 3);
    uint32_t with_kv = (uint32_t)lua_toboolean(L, 2);
    int to_function = lua_isfunction(L, 3);
    lua_newtable(L);
    lua_pushvalue(L, 3);
    lua_rawseti(L, 4, HOOK_WRITE);
    struct buffer *buffer = buffer_new(L);
    struct hooks *hooks = hooks_new(L, s->root, 4, to_function ? 1 : 0);
    struct llm_error error = {.size = sizeof error};
    lua_State *before = root_enter(s->root, L);
    llm_status status = hooks ? llm_session_save(s->handle, with_kv, callback_write, hooks, &error)
                              : llm_session_save(s->handle, with_kv, write_buffer, buffer, &error);
    int failed = hooks && hooks->failed;
    hooks_abandon(hooks);
    root_leave(s->root, L, before);
    if (failed) {
        lua_rawgeti(L, 4, HOOK_ERROR);
        return lua_error(L);
    }
    if (status != LLM_OK) return failure(L, "save", status, error.message);
    if (hooks) lua_pushboolean(L, 1);
    else lua_pushlstring(L, buffer->size ? buffer->data : "", buffer->size);
    return 1;
}

const luaL_Reg session_functions[] = {
    {"save", session_save}, {"replace", session_replace}, {NULL, NULL}};
const luaL_Reg session_methods[] = {
    {"tokens", session_tokens},
    {"truncate", session_truncate},
    {"reset", session_reset},
    {"fork", session_fork},
    {"logits", session_logits},
    {"cancel", session_cancel},
    {NULL, NULL},
};
const luaL_Reg session_fields[] = {
    {"length", session_length}, {"capacity", session_capacity}, {NULL, NULL}};

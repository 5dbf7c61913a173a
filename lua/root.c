/* One root a Lua state, in the registry. It is made when the module is opened, before every object,
 * so that its finalizer runs last when the state closes; the library's own root is made at first
 * use. */
#include "binding.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROOT_NAME "llm.root"

static void root_drain(struct root *root)
{
    for (size_t i = 0; i < root->n_dead; i++) {
        const struct dead *d = &root->dead[i];
        if (d->close && d->kind->close) d->kind->close(d->handle);
        d->kind->free(d->handle);
    }
    root->n_dead = 0;
}

static int root_gc(lua_State *L)
{
    struct root *root = lua_touserdata(L, 1);
    root->closed = 1;
    root->L = NULL;
    if (!root->callbacks)
        root_drain(root); /* else os.exit inside a callback: what is below will not go on */
    llm_free(root->llm);
    root->llm = NULL;
    free(root->dead);
    root->dead = NULL;
    root->dead_capacity = 0;
    return 0;
}

void root_open(lua_State *L)
{
    struct root *root = lua_newuserdata(L, sizeof *root);
    memset(root, 0, sizeof *root);
    lua_newtable(L);
    lua_pushcfunction(L, root_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_pushcfunction(L, callback_trampoline);
    root->trampoline = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_setfield(L, LUA_REGISTRYINDEX, ROOT_NAME);
}

struct root *root_get(lua_State *L)
{
    lua_getfield(L, LUA_REGISTRYINDEX, ROOT_NAME);
    struct root *root = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return root;
}

llm *root_llm(lua_State *L, struct root *root)
{
    if (root->closed) raise(L, "llm: the Lua state is closing");
    if (root->llm) return root->llm;
    struct llm_error error = {.size = sizeof error};
    if (llm_create(&root->llm, NULL, &error) != LLM_OK) raise(L, "llm: %s", error.message);
    return root->llm;
}

lua_State *root_enter(struct root *root, lua_State *L)
{
    lua_State *before = root->L;
    root->L = L;
    return before;
}

void root_leave(struct root *root, lua_State *L, lua_State *before)
{
    if (!root->callbacks && root->n_dead) {
        root->L = NULL; /* what is closed calls nobody back */
        root_drain(root);
    }
    while (root->released && !root->callbacks && !root->closed && lua_checkstack(L, 4)) {
        struct hooks *hooks = root->released;
        root->released = hooks->next;
        luaL_unref(L, LUA_REGISTRYINDEX, hooks->ref);
    }
    root->L = before;
}

void root_blocks(lua_State *L, const struct root *root, const char *function)
{
    if (root->callbacks) raise(L, "%s cannot wait inside a callback", function);
}

uint64_t root_seed(struct root *root)
{
    double clock = llm_clock();
    uint64_t x;
    memcpy(&x, &clock, sizeof x);
    x ^= (uint64_t)(uintptr_t)root << 16 ^ (uint64_t)time(NULL) << 32;
    x += ++root->n_seeds * 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) *
        0xbf58476d1ce4e5b9u; /* the finalizer of SplitMix64 (Steele, Lea, Flood 2014) */
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (x ^ x >> 31) >> 11;
}

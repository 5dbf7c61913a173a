/* Full userdata round the library's handles: closing, collection, names, fields and methods. */
#include "binding.h"

#include <stdlib.h>
#include <string.h>

/* Gives the handle up: at once, or when the callback that runs now has returned. */
static void object_drop(lua_State *L, struct object *o, int close)
{
    struct root *root = o->root;
    if (o->counted) root->n_objects--;
    o->counted = 0;
    if (!o->handle) return;
    struct dead d = {o->kind, o->handle, close};
    o->handle = NULL;
    if (root->closed) { /* only after the state's last finalizer but ours */
        d.kind->free(d.handle);
        return;
    }
    if (close && root->callbacks && d.kind->close)
        d.kind->close(d.handle); /* the library does it on return */
    if (root->n_dead < root->dead_capacity) root->dead[root->n_dead++] = d;
    lua_State *before = root_enter(root, L);
    root_leave(root, L, before);
}

static struct object *object_self(lua_State *L)
{
    return lua_touserdata(L, 1);
}

static int object_gc(lua_State *L)
{
    object_drop(L, object_self(L), 0);
    return 0;
}

static int object_is(lua_State *L, int index, const struct kind *kind)
{
    if (lua_type(L, index) != LUA_TUSERDATA || !lua_getmetatable(L, index)) return 0;
    luaL_getmetatable(L, kind->name);
    int same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

/* The kind is an upvalue, so that close of one type does not take another's object. */
static int object_close(lua_State *L)
{
    const struct kind *kind = lua_touserdata(L, lua_upvalueindex(1));
    if (!object_is(L, 1, kind)) raise_argument(L, 1, "close", kind->name);
    object_drop(L, object_self(L), 1);
    return 0;
}

/* Leaving a scope is calling close, which the Lua parts may have extended. */
static int object_leave(lua_State *L)
{
    lua_settop(L, 1);
    lua_getfield(L, 1, "close");
    lua_insert(L, 1);
    lua_call(L, 1, 0);
    return 0;
}

static int object_open(const struct object *o)
{
    return o->handle && !(o->kind->closed && o->kind->closed(o->handle));
}

static int object_tostring(lua_State *L)
{
    const struct kind *kind = lua_touserdata(L, lua_upvalueindex(1));
    if (!object_is(L, 1, kind)) raise_argument(L, 1, "tostring", kind->name);
    if (object_open(object_self(L))) lua_pushfstring(L, "%s: %p", kind->name, lua_touserdata(L, 1));
    else lua_pushfstring(L, "%s (closed)", kind->name);
    return 1;
}

/* Upvalues: methods, fields. A field is a function of the object; a method is only looked up. */
static int object_index(lua_State *L)
{
    lua_settop(L, 2);
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(1));
    if (!lua_isnil(L, -1)) return 1;
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(2));
    if (lua_isnil(L, -1)) return 1;
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

static void set_closure(lua_State *L, lua_CFunction f, const struct kind *kind, const char *name)
{
    lua_pushlightuserdata(L, (void *)(uintptr_t)kind);
    lua_pushcclosure(L, f, 1);
    lua_setfield(L, -2, name);
}

void object_type(lua_State *L, const struct kind *kind, const luaL_Reg *methods,
                 const luaL_Reg *fields)
{
    lua_newtable(L);
    if (methods) compat_setfuncs(L, methods);
    set_closure(L, object_close, kind, "close");
    lua_newtable(L);
    if (fields) compat_setfuncs(L, fields);

    luaL_newmetatable(L, kind->name);
    lua_pushvalue(L, -3);
    lua_pushvalue(L, -3);
    lua_pushcclosure(L, object_index, 2);
    lua_setfield(L, -2, "__index");
    lua_pushstring(L, kind->name);
    lua_setfield(L, -2, "__name");
    lua_pushliteral(L, "locked"); /* a script must not get at __gc */
    lua_setfield(L, -2, "__metatable");
    lua_pushcfunction(L, object_gc);
    lua_setfield(L, -2, "__gc");
    lua_pushcfunction(L, object_leave);
    lua_setfield(L, -2, "__close");
    set_closure(L, object_tostring, kind, "__tostring");
    lua_pop(L, 1);
}

struct object *object_new(lua_State *L, struct root *root, const struct kind *kind)
{
    luaL_checkstack(L, 6, NULL);
    if (root->closed) raise(L, "llm: the Lua state is closing");
    if (root->n_objects + root->n_dead >= root->dead_capacity) {
        size_t capacity = root->dead_capacity * 2 + 16;
        struct dead *dead = realloc(root->dead, capacity * sizeof *dead);
        if (!dead) raise(L, "not enough memory");
        root->dead = dead;
        root->dead_capacity = capacity;
    }
    struct object *o = lua_newuserdata(L, sizeof *o);
    *o = (struct object){.kind = kind, .root = root};
    luaL_getmetatable(L, kind->name);
    lua_setmetatable(L, -2);
    o->counted = 1; /* its finalizer will run */
    root->n_objects++;
    lua_newtable(L);
    lua_setuservalue(L, -2);
    return o;
}

struct object *object_check(lua_State *L, int index, const struct kind *kind, const char *function)
{
    if (!object_is(L, index, kind)) raise_argument(L, index, function, kind->name);
    struct object *o = lua_touserdata(L, index);
    if (!object_open(o)) raise(L, "attempt to use a closed %s", kind->name);
    return o;
}

void object_keep(lua_State *L, int object, const char *name, int value)
{
    value = lua_absindex(L, value);
    lua_getuservalue(L, object);
    lua_pushvalue(L, value);
    lua_setfield(L, -2, name);
    lua_pop(L, 1);
}

static const struct kind *const kinds[] = {&kind_job, &kind_model, &kind_session, &kind_generation};

/* slots(object, kind's name, function) -> its slots; raises as a method would. */
static int object_slots(lua_State *L)
{
    const char *name = luaL_checkstring(L, 2);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(name, kinds[i]->name) != 0) continue;
        object_check(L, 1, kinds[i], luaL_checkstring(L, 3));
        lua_getuservalue(L, 1);
        return 1;
    }
    return 0;
}

const luaL_Reg object_functions[] = {{"slots", object_slots}, {NULL, NULL}};

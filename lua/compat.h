/* What Lua 5.1, LuaJIT and 5.2 lack of the C interface of 5.3 to 5.5, which the binding is written
 * in. */
#ifndef LUA_COMPAT_H
#define LUA_COMPAT_H

#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stdint.h>

#if LUA_VERSION_NUM < 502
#define lua_rawlen(L, i) lua_objlen(L, i)
#define lua_getuservalue(L, i) lua_getfenv(L, i)
#define lua_setuservalue(L, i) lua_setfenv(L, i)
#define lua_absindex(L, i) ((i) > 0 || (i) <= LUA_REGISTRYINDEX ? (i) : lua_gettop(L) + (i) + 1)
#endif

/* 64-bit integers are numbers before 5.3: exact up to 2^53. */
#if LUA_VERSION_NUM < 503
#define compat_pushint64(L, n) lua_pushnumber(L, (lua_Number)(n))
#else
#define compat_pushint64(L, n) lua_pushinteger(L, (lua_Integer)(n))
#endif

/* The number at i as an integer; 0 where it is none or has a fraction. */
static inline int compat_toint64(lua_State *L, int i, int64_t *out)
{
    if (lua_type(L, i) != LUA_TNUMBER) return 0;
#if LUA_VERSION_NUM >= 503
    int ok = 0;
    *out = (int64_t)lua_tointegerx(L, i, &ok);
    return ok;
#else
    lua_Number n = lua_tonumber(L, i);
    if (!(n >= -9223372036854775808.0 && n < 9223372036854775808.0) || floor(n) != n) return 0;
    *out = (int64_t)n;
    return 1;
#endif
}

/* Whether the number at i is written without a fraction. */
static inline int compat_isinteger(lua_State *L, int i)
{
#if LUA_VERSION_NUM >= 503
    return lua_isinteger(L, i);
#else
    lua_Number n = lua_tonumber(L, i);
    return lua_type(L, i) == LUA_TNUMBER && floor(n) == n && fabs(n) <= 9007199254740992.0;
#endif
}

static inline void compat_setfuncs(lua_State *L, const luaL_Reg *functions)
{
    for (; functions->name; functions++) {
        lua_pushcfunction(L, functions->func);
        lua_setfield(L, -2, functions->name);
    }
}

#endif

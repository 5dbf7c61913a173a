#include "binding.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The innermost line of a script, not of our Lua parts. */
static void push_position(lua_State *L)
{
    lua_Debug ar;
    for (int level = 1; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        if (ar.currentline > 0 && strcmp(ar.source, PARTS_NAME) != 0) {
            lua_pushfstring(L, "%s:%d: ", ar.short_src, ar.currentline);
            return;
        }
    }
    lua_pushliteral(L, "");
}

int raise(lua_State *L, const char *format, ...)
{
    va_list args;
    luaL_checkstack(L, 4, NULL);
    push_position(L);
    va_start(args, format);
    lua_pushvfstring(L, format, args);
    va_end(args);
    lua_concat(L, 2);
    return lua_error(L);
}

const char *type_name(lua_State *L, int index)
{
    if (luaL_getmetafield(L, index, "__name")) {
        if (lua_type(L, -1) == LUA_TSTRING) return lua_tostring(L, -1); /* stays on the stack */
        lua_pop(L, 1);
    }
    return lua_isnone(L, index) ? "no value" : luaL_typename(L, index);
}

int raise_argument(lua_State *L, int argument, const char *function, const char *expected)
{
    return raise(L, "bad argument #%d to '%s' (%s expected, got %s)", argument, function, expected,
                 type_name(L, argument));
}

int failure(lua_State *L, const char *function, llm_status status, const char *message)
{
    if (status == LLM_BAD_ARGUMENT) return raise(L, "%s: %s", function, message);
    lua_pushnil(L);
    lua_pushstring(L, *message ? message : llm_status_name(status));
    lua_pushstring(L, llm_status_name(status));
    return 3;
}

int unsupported(lua_State *L, const char *what)
{
    lua_pushnil(L);
    lua_pushfstring(L, "%s: this version does not have it yet", what);
    lua_pushstring(L, llm_status_name(LLM_UNSUPPORTED));
    return 3;
}

const char *number_text(lua_State *L, double number)
{
    char text[32];
    snprintf(text, sizeof text, fabs(number) < 1e15 && floor(number) == number ? "%.0f" : "%.14g",
             number);
    lua_pushstring(L, text);
    return lua_tostring(L, -1);
}

double check_number(lua_State *L, int argument, const char *function, double otherwise)
{
    if (lua_isnoneornil(L, argument)) return otherwise;
    if (lua_type(L, argument) != LUA_TNUMBER) raise_argument(L, argument, function, "number");
    double n = lua_tonumber(L, argument);
    if (!(n >= 0))
        raise(L, "bad argument #%d to '%s' (number from 0 up expected, got %s)", argument, function,
              number_text(L, n));
    return n;
}

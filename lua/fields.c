/* Fields of the table on top of the stack. */
#include "binding.h"

void set_number(lua_State *L, const char *name, double value)
{
    lua_pushnumber(L, value);
    lua_setfield(L, -2, name);
}

void set_count(lua_State *L, const char *name, uint64_t value)
{
    compat_pushint64(L, value);
    lua_setfield(L, -2, name);
}

void set_text(lua_State *L, const char *name, const char *text)
{
    if (!text || !*text) return;
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}

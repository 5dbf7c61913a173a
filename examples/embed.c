/* A C program that hosts Lua and gives it the module, linked in: nothing is looked for at run time.
 *   embed FILE.gguf [script.lua]                                the script gets the file as its
 * argument */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llm.h"

static const char greeting[] =
    "local llm, path = require 'llm', ...\n"
    "local model = assert(llm.load(path))\n"
    "for piece in model:stream('Once upon a time', { temperature = 0, max_tokens = 32 }) do\n"
    "    io.write(piece) io.flush()\n"
    "end\n"
    "print()\n"
    "model:close()\n";

/* require "llm" will call luaopen_llm. */
static void preload(lua_State *L)
{
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "preload");
    lua_pushcfunction(L, luaopen_llm);
    lua_setfield(L, -2, "llm");
    lua_pop(L, 2);
}

int main(int argc, char **argv)
{
    const int help = argc > 1 && strcmp(argv[1], "--help") == 0;
    if (argc < 2 || help) {
        fprintf(help ? stdout : stderr, "usage: %s FILE.gguf [script.lua]\n", argv[0]);
        return help ? 0 : 2;
    }
    lua_State *L = luaL_newstate();
    if (!L) return EXIT_FAILURE;
    luaL_openlibs(L);
    preload(L);

    int failed = argc > 2 ? luaL_loadfile(L, argv[2])
                          : luaL_loadbuffer(L, greeting, sizeof greeting - 1, "=greeting");
    if (!failed) {
        lua_pushstring(L, argv[1]);
        failed = lua_pcall(L, 1, 0, 0);
    }
    if (failed) fprintf(stderr, "%s\n", lua_tostring(L, -1));
    lua_close(L); /* closes every model and joins every worker */
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#include "binding.h"

#include <stdlib.h>
#include <string.h>

static int buffer_gc(lua_State *L)
{
    struct buffer *b = lua_touserdata(L, 1);
    free(b->data);
    *b = (struct buffer){0};
    return 0;
}

struct buffer *buffer_new(lua_State *L)
{
    struct buffer *b = lua_newuserdata(L, sizeof *b);
    *b = (struct buffer){0};
    if (luaL_newmetatable(L, "llm.buffer")) {
        lua_pushcfunction(L, buffer_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return b;
}

int buffer_append(struct buffer *b, const void *data, size_t size)
{
    if (size > b->capacity - b->size) {
        if (size > SIZE_MAX / 2 - b->size) return 0;
        size_t capacity = b->capacity + b->capacity / 2 + 256;
        if (capacity < b->size + size) capacity = b->size + size;
        char *grown = realloc(b->data, capacity);
        if (!grown) return 0;
        b->data = grown;
        b->capacity = capacity;
    }
    if (size) memcpy(b->data + b->size, data, size);
    b->size += size;
    return 1;
}

#include "binding.h"

#include <string.h>

int prompt_read(lua_State *L, int index, const struct options *o, struct llm_prompt *out)
{
    memset(out, 0, sizeof *out);
    out->size = sizeof *out;
    if (lua_type(L, index) == LUA_TSTRING) {
        out->text = lua_tolstring(L, index, &out->text_size);
        return 1;
    }
    if (!lua_istable(L, index))
        raise(L,
              "bad prompt of %s (string, list of token ids or list of messages expected, got %s)",
              o->function, type_name(L, index));
    size_t n = lua_rawlen(L, index);
    lua_rawgeti(L, index, 1);
    int messages = lua_istable(L, -1);
    lua_pop(L, 1);
    if (messages) return 0;

    if (n > INT32_MAX)
        raise(L, "bad prompt of %s (a list of %s tokens)", o->function, number_text(L, (double)n));
    int32_t *ids = options_scratch(L, o, n * sizeof *ids);
    for (size_t i = 0; i < n; i++) {
        int64_t id = 0;
        lua_rawgeti(L, index, (int)(i + 1));
        if (lua_type(L, -1) != LUA_TNUMBER)
            raise(L, "bad prompt of %s (token id expected at %d, got %s)", o->function,
                  (int)(i + 1), type_name(L, -1));
        if (!compat_toint64(L, -1, &id) || id < 0 || id > INT32_MAX)
            raise(L, "bad prompt of %s (token %s at %d is out of range)", o->function,
                  number_text(L, lua_tonumber(L, -1)), (int)(i + 1));
        ids[i] = (int32_t)id;
        lua_pop(L, 1);
    }
    out->ids = ids;
    out->n_ids = n;
    return 1;
}

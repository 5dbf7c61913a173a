#include "binding.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_NAME = 32 };

/* Levenshtein distance of two short names. */
static size_t distance(const char *a, const char *b)
{
    size_t row[LONGEST_NAME + 1], n = strlen(b);
    for (size_t j = 0; j <= n; j++) row[j] = j;
    for (size_t i = 1; *a; a++, i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = diagonal + (*a != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

/* The row whose name is most like it: one begins as the other, or few letters differ. */
static const struct option *nearest_row(const char *name, const struct option *rows, size_t n_rows)
{
    const struct option *nearest = NULL;
    const size_t length = strlen(name);
    size_t best = length / 2 + 1;
    for (size_t i = 0; i < n_rows && length <= LONGEST_NAME; i++) {
        const size_t known = strlen(rows[i].name), shared = known < length ? known : length;
        size_t d = distance(name, rows[i].name);
        if (shared > 2 && strncmp(name, rows[i].name, shared) == 0) d = 1;
        if (d >= best) continue;
        best = d;
        nearest = &rows[i];
    }
    return nearest;
}

static const char *cut(lua_State *L, const char *name)
{
    lua_pushlstring(L, name, LONGEST_NAME);
    return lua_pushfstring(L, "%s...", lua_tostring(L, -1));
}

static int raise_unknown(lua_State *L, const char *name, const char *function,
                         const struct option *rows, size_t n_rows)
{
    const struct option *nearest = nearest_row(name, rows, n_rows);
    if (strlen(name) > 2 * LONGEST_NAME) name = cut(L, name);
    if (nearest)
        return raise(L, "unknown option '%s' for %s (did you mean '%s'?)", name, function,
                     nearest->name);
    luaL_Buffer known;
    luaL_buffinit(L, &known);
    for (size_t i = 0; i < n_rows; i++) {
        if (i) luaL_addchar(&known, ' ');
        luaL_addstring(&known, rows[i].name);
    }
    luaL_pushresult(&known);
    return raise(L, "unknown option '%s' for %s (known: %s)", name, function, lua_tostring(L, -1));
}

int options_raise(lua_State *L, int value, const struct options *o, const char *name,
                  const char *expected)
{
    const char *got = type_name(L, value);
    if (lua_type(L, value) == LUA_TNUMBER) got = number_text(L, lua_tonumber(L, value));
    if (lua_type(L, value) == LUA_TSTRING) got = lua_pushfstring(L, "'%s'", lua_tostring(L, value));
    return raise(L, "bad option '%s' of %s (%s expected, got %s)", name, o->function, expected,
                 got);
}

void *options_scratch(lua_State *L, const struct options *o, size_t size)
{
    void *p = lua_newuserdata(L, size ? size : 1);
    int n = HOOK_SCRATCH;
    for (;; n++) { /* a handful at most */
        lua_rawgeti(L, o->anchor, n);
        int taken = !lua_isnil(L, -1);
        lua_pop(L, 1);
        if (!taken) break;
    }
    lua_rawseti(L, o->anchor, n);
    return p;
}

static int raise_range(lua_State *L, int value, const struct options *o, const struct option *row)
{
    const char *type = row->type == OPTION_NUMBER ? "number" : "integer";
    const char *min = number_text(L, row->min), *max = number_text(L, row->max);
    const char *expected = row->max < 9e15 ? lua_pushfstring(L, "%s from %s to %s", type, min, max)
                           : row->min > -9e15 ? lua_pushfstring(L, "%s from %s up", type, min)
                                              : lua_pushfstring(L, "finite %s", type);
    return options_raise(L, value, o, row->name, expected);
}

static void read_number(lua_State *L, int value, struct options *o, const struct option *row)
{
    double d = lua_tonumber(L, value);
    int64_t n = 0;
    int whole = row->type == OPTION_NUMBER || compat_toint64(L, value, &n);
    if (lua_type(L, value) != LUA_TNUMBER || !whole || !(d >= row->min && d <= row->max))
        raise_range(L, value, o, row);
    if (!o->out) return;
    void *to = (char *)o->out + row->offset;
    if (row->type == OPTION_NUMBER) memcpy(to, &d, sizeof d);
    else if (row->type == OPTION_INT32 || row->type == OPTION_UINT32) {
        uint32_t n32 = (uint32_t)n;
        memcpy(to, &n32, sizeof n32);
    } else memcpy(to, &n, sizeof n);
}

static void read_name(lua_State *L, int value, struct options *o, const struct option *row)
{
    const char *text = lua_type(L, value) == LUA_TSTRING ? lua_tostring(L, value) : NULL;
    for (uint32_t i = 0; text && row->names[i]; i++) {
        if (strcmp(text, row->names[i]) != 0) continue;
        if (o->out) memcpy((char *)o->out + row->offset, &i, sizeof i);
        return;
    }
    lua_pushliteral(L, "one of");
    int n = 1;
    for (const char *const *name = row->names; *name; name++, n++)
        lua_pushfstring(L, " '%s'", *name);
    lua_concat(L, n);
    options_raise(L, value, o, row->name, lua_tostring(L, -1));
}

static void read_text(lua_State *L, int value, struct options *o, const struct option *row)
{
    if (lua_type(L, value) != LUA_TSTRING) options_raise(L, value, o, row->name, "string");
    const char *text = lua_tostring(L, value);
    if (strlen(text) != lua_rawlen(L, value))
        options_raise(L, value, o, row->name, "string without zero bytes");
    if (o->out) memcpy((char *)o->out + row->offset, &text, sizeof text);
}

static void read_option(lua_State *L, int value, struct options *o, const struct option *row)
{
    switch (row->type) {
    case OPTION_FLAG:
        if (!lua_isboolean(L, value)) options_raise(L, value, o, row->name, "boolean");
        uint32_t flag = lua_toboolean(L, value) != 0;
        if (o->out) memcpy((char *)o->out + row->offset, &flag, sizeof flag);
        break;
    case OPTION_NUMBER:
    case OPTION_INT32:
    case OPTION_UINT32:
    case OPTION_INT64:
    case OPTION_UINT64: read_number(L, value, o, row); break;
    case OPTION_NAME: read_name(L, value, o, row); break;
    case OPTION_TEXT: read_text(L, value, o, row); break;
    case OPTION_FUNCTION:
        if (!lua_isfunction(L, value)) options_raise(L, value, o, row->name, "function");
        if (!o->out) break;
        lua_pushvalue(L, value);
        lua_rawseti(L, o->anchor, row->slot);
        o->functions |= 1u << row->slot;
        break;
    case OPTION_READ: row->read(L, value, o, row); break;
    case OPTION_LATER: o->later = row->name; break;
    }
}

void options_read(lua_State *L, int index, struct options *o, const struct option *rows,
                  size_t n_rows)
{
    if (lua_isnoneornil(L, index)) return;
    if (!lua_istable(L, index))
        raise(L, "bad options of %s (table expected, got %s)", o->function, type_name(L, index));
    luaL_checkstack(L, LONGEST_NAME, NULL);
    lua_pushnil(L);
    while (lua_next(L, index)) {
        int value = lua_gettop(L);
        if (lua_type(L, -2) != LUA_TSTRING)
            raise(L, "the options of %s have names; got a key of type %s", o->function,
                  luaL_typename(L, -2));
        const char *name = lua_tostring(L, -2);
        size_t i = 0;
        while (i < n_rows && strcmp(name, rows[i].name) != 0) i++;
        if (i == n_rows) raise_unknown(L, name, o->function, rows, n_rows);
        read_option(L, value, o, &rows[i]);
        lua_settop(L, value - 1);
    }
}

/* ---- options that the Lua parts read themselves ---- */

static void read_string(lua_State *L, int value, struct options *o, const struct option *row)
{
    if (lua_type(L, value) != LUA_TSTRING) options_raise(L, value, o, row->name, "string");
}

static void read_table(lua_State *L, int value, struct options *o, const struct option *row)
{
    if (!lua_istable(L, value)) options_raise(L, value, o, row->name, "table");
}

static const struct option template_rows[] = {
    {.name = "system", .type = OPTION_READ, .read = read_string},
    {.name = "tools", .type = OPTION_READ, .read = read_table},
    {.name = "documents", .type = OPTION_READ, .read = read_table},
    {.name = "template", .type = OPTION_READ, .read = read_table},
    FLAG("add_generation_prompt", 0),
    RANGE("now", NUMBER, 0, 0, 1e12),
};
static const struct option feed_rows[] = {FLAG("async", 0), FLAG("yield", 0)};
static const struct option choose_rows[] = {FLAG("normalize", 0), FLAG("async", 0),
                                            FLAG("yield", 0)};
static const struct option save_rows[] = {
    FLAG("kv", 0),
    {.name = "path", .type = OPTION_TEXT},
    {.name = "write", .type = OPTION_FUNCTION, .slot = HOOK_WRITE},
    FLAG("async", 0),
    FLAG("yield", 0),
};
static const struct option restore_rows[] = {
    {.name = "path", .type = OPTION_TEXT},
    {.name = "read", .type = OPTION_FUNCTION, .slot = HOOK_READ},
    {.name = "size", .type = OPTION_UINT64, .min = 0, .max = 9e15},
    FLAG("async", 0),
    FLAG("yield", 0),
};

static const struct {
    const char *name;
    const struct option *rows;
    size_t n;
} sets[] = {
#define SET(name)                                                                                  \
    {                                                                                              \
#name, name##_rows, sizeof name##_rows / sizeof *name##_rows                               \
    }
    SET(template), SET(feed), SET(choose), SET(save), SET(restore),
#undef SET
};

/* check(set, function, options) -> options, an empty table for nil */
static int options_check(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    struct options o = {.function = luaL_checkstring(L, 2)};
    lua_settop(L, 3);
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        if (strcmp(name, sets[i].name) == 0) options_read(L, 3, &o, sets[i].rows, sets[i].n);
    }
    if (lua_isnil(L, 3)) lua_newtable(L);
    return 1;
}

const luaL_Reg options_functions[] = {{"check", options_check}, {NULL, NULL}};

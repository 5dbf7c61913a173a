/* The module table: what needs no model, and the Lua parts. */
#include "binding.h"

#include <string.h>

#include "parts.h"

static void push_words(lua_State *L, const char *words)
{
    lua_newtable(L);
    for (int n = 1; *words; n++) {
        size_t size = strcspn(words, " ");
        lua_pushlstring(L, words, size);
        lua_rawseti(L, -2, n);
        words += size + (words[size] == ' ');
    }
}

void push_device(lua_State *L, const struct llm_device_info *d)
{
    const struct {
        const char *name, *text;
    } texts[] = {
        {"name", d->name},     {"type", d->type}, {"vendor", d->vendor},
        {"driver", d->driver}, {"api", d->api},
    };
    lua_createtable(L, 0, 11);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        lua_pushstring(L, texts[i].text);
        lua_setfield(L, -2, texts[i].name);
    }
    set_count(L, "index", (uint64_t)d->index + 1);
    set_count(L, "memory", d->memory);
    set_count(L, "available", d->available);
    set_count(L, "subgroup", d->subgroup);
    lua_pushboolean(L, d->deterministic != 0);
    lua_setfield(L, -2, "deterministic");
    push_words(L, d->tiers);
    lua_setfield(L, -2, "tiers");
}

static int module_devices(lua_State *L)
{
    llm *library = root_llm(L, root_get(L));
    uint32_t n = llm_device_count(library);
    struct llm_device_info info = {.size = sizeof info};
    struct llm_error error = {.size = sizeof error};
    lua_createtable(L, (int)n, 0);
    int listed = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (llm_device_get(library, i, &info, &error) != LLM_OK) continue;
        push_device(L, &info);
        lua_rawseti(L, -2, ++listed);
    }
    return 1;
}

static int module_update(lua_State *L)
{
    struct root *root = root_get(L);
    double milliseconds = check_number(L, 1, "update", 0);
    int32_t work = 0;
    if (root->llm && !root->callbacks) {
        lua_State *before = root_enter(root, L);
        work = llm_update(root->llm, milliseconds);
        root_leave(root, L, before);
    }
    lua_pushboolean(L, work || root->callbacks);
    return 1;
}

static int module_log(lua_State *L)
{
    static const char *const names[] = {"error", "warning", "info",
                                        "debug"}; /* from LLM_LOG_ERROR on */
    struct root *root = root_get(L);
    int32_t level = 0;
    lua_settop(L, 2);
    for (int32_t i = 0; lua_type(L, 1) == LUA_TSTRING && i < 4; i++) {
        if (strcmp(lua_tostring(L, 1), names[i]) == 0) level = LLM_LOG_ERROR + i;
    }
    if (!level && !lua_isnil(L, 1))
        raise_argument(L, 1, "log", "\"error\", \"warning\", \"info\", \"debug\" or nil");
    if (!lua_isnil(L, 2) && !lua_isfunction(L, 2)) raise_argument(L, 2, "log", "function");
    llm *library = root_llm(L, root);
    lua_newtable(L);
    lua_pushvalue(L, 2);
    lua_rawseti(L, 3, HOOK_LOG);
    struct hooks *hooks = hooks_new(L, root, 3, level && lua_isfunction(L, 2) ? 1 : 0);
    lua_State *before = root_enter(root, L);
    llm_log(library, level, hooks ? callback_log : NULL, hooks);
    hooks_abandon(root->log);
    root->log = hooks;
    root_leave(root, L, before);
    return 0;
}

static int module_clock(lua_State *L)
{
    lua_pushnumber(L, llm_clock());
    return 1;
}

static int module_sleep(lua_State *L)
{
    if (lua_type(L, 1) != LUA_TNUMBER) raise_argument(L, 1, "sleep", "number");
    llm_sleep(check_number(L, 1, "sleep", 0));
    return 0;
}

/* ---- what the Lua parts ask of us ---- */

/* blocks(function): raises inside a callback */
static int module_blocks(lua_State *L)
{
    root_blocks(L, root_get(L), luaL_checkstring(L, 1));
    return 0;
}

static int module_in_callback(lua_State *L)
{
    lua_pushboolean(L, root_get(L)->callbacks > 0);
    return 1;
}

static int module_raise(lua_State *L)
{
    return raise(L, "%s", luaL_checkstring(L, 1));
}

/* raise_argument(argument, function, expected, value) */
static int module_raise_argument(lua_State *L)
{
    return raise(L, "bad argument #%d to '%s' (%s expected, got %s)", (int)luaL_checkinteger(L, 1),
                 luaL_checkstring(L, 2), luaL_checkstring(L, 3), type_name(L, 4));
}

static const luaL_Reg core_functions[] = {
    {"blocks", module_blocks},
    {"in_callback", module_in_callback},
    {"raise", module_raise},
    {"raise_argument", module_raise_argument},
    {NULL, NULL},
};

const luaL_Reg module_functions[] = {
    {"devices", module_devices}, {"update", module_update}, {"log", module_log},
    {"clock", module_clock},     {"sleep", module_sleep},   {NULL, NULL},
};

static void set_version(lua_State *L)
{
    const int version[] = {LLM_VERSION_MAJOR, LLM_VERSION_MINOR, LLM_VERSION_PATCH};
    lua_pushliteral(L, "llm");
    lua_setfield(L, -2, "_NAME");
    lua_pushfstring(L, "llm %d.%d.%d", version[0], version[1], version[2]);
    lua_setfield(L, -2, "_VERSION");
    lua_createtable(L, 3, 0);
    for (int i = 0; i < 3; i++) {
        lua_pushinteger(L, version[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "version");
}

/* core[name] = methods, core[name .. "_fields"] = fields */
static void add_type(lua_State *L, const struct kind *kind, const luaL_Reg *methods,
                     const luaL_Reg *fields)
{
    object_type(L, kind, methods, fields);
    lua_pushfstring(L, "%s_fields", kind->name);
    lua_insert(L, -2);
    lua_rawset(L, -4);
    lua_setfield(L, -2, kind->name);
}

int luaopen_llm(lua_State *L)
{
    static const luaL_Reg *const functions[] = {
        core_functions,    object_functions,     options_functions, model_functions,
        session_functions, generation_functions, job_functions,
    };
    luaL_checkstack(L, 16, NULL);
    lua_getfield(L, LUA_REGISTRYINDEX, "llm.module"); /* a second opening gives the first module */
    if (lua_istable(L, -1)) return 1;
    root_open(L);
    lua_newtable(L);
    int module = lua_gettop(L);
    compat_setfuncs(L, module_functions);
    set_version(L);
    json_open(L);

    lua_newtable(L);
    int core = lua_gettop(L);
    lua_pushvalue(L, -2);
    lua_setfield(L, core, "marks");
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        compat_setfuncs(L, functions[i]);
    add_type(L, &kind_job, job_methods, NULL);
    add_type(L, &kind_model, model_methods, model_fields);
    add_type(L, &kind_session, session_methods, session_fields);
    add_type(L, &kind_generation, generation_methods, NULL);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (luaL_loadbuffer(L, (const char *)parts[i].text, parts[i].size, PARTS_NAME) != 0)
            return lua_error(L);
        lua_pushvalue(L, module);
        lua_pushvalue(L, core);
        lua_call(L, 2, 0);
    }
    lua_settop(L, module);
    lua_pushvalue(L, module);
    lua_setfield(L, LUA_REGISTRYINDEX, "llm.module");
    return 1;
}

/* The self-test of a device as a job, and its report as a table. */
#include "binding.h"

static const struct option rows[] = {FLAG("async", 0), FLAG("yield", sizeof(uint32_t))};

/* selftest_start(device, options, function) -> job */
static int selftest_start(lua_State *L)
{
    const char *function = luaL_checkstring(L, 3);
    struct root *root = root_get(L);
    uint32_t flags[2]; /* the Lua parts look at them */
    lua_settop(L, 3);
    lua_newtable(L);
    options_read(L, 2, &(struct options){.function = function, .anchor = 4, .out = flags}, rows, 2);
    struct llm_load_options o;
    llm_load_defaults(&o, sizeof o);
    int64_t index = 0;
    if (lua_type(L, 1) == LUA_TSTRING) {
        o.device_name = lua_tostring(L, 1);
    } else if (!lua_isnil(L, 1)) {
        if (lua_type(L, 1) != LUA_TNUMBER || !compat_toint64(L, 1, &index) || index < 1 ||
            index > INT32_MAX)
            raise_argument(L, 1, function, "index from 1, or part of a name");
        o.device = (int32_t)(index - 1);
    }
    llm *library = root_llm(L, root);
    struct object *job = object_new(L, root, &kind_job);
    struct llm_error error = {.size = sizeof error};
    llm_job *handle = NULL;
    lua_State *before = root_enter(root, L);
    llm_status status = llm_selftest_start(library, &o, &handle, &error);
    root_leave(root, L, before);
    if (status != LLM_OK) return failure(L, function, status, error.message);
    job->handle = handle;
    return 1;
}

static void push_kernel(lua_State *L, const struct llm_kernel_info *k)
{
    lua_createtable(L, 0, 10);
    set_text(L, "operation", k->operation);
    set_text(L, "name", k->kernel);
    if (k->rows) set_count(L, "rows", k->rows);
    lua_pushboolean(L, k->ok != 0);
    lua_setfield(L, -2, "ok");
    lua_pushboolean(L, k->chosen != 0);
    lua_setfield(L, -2, "chosen");
    set_number(L, "error", k->error);
    set_number(L, "bound", k->bound);
    if (!(k->seconds > 0)) return;
    set_number(L, "microseconds", k->seconds * 1e6);
    if (!(k->bytes_per_second > 0)) return;
    set_number(L, "gb_per_second", k->bytes_per_second * 1e-9);
    set_number(L, "gflop_per_second", k->operations_per_second * 1e-9);
}

void push_selftest(lua_State *L, const struct llm_selftest *s)
{
    lua_createtable(L, 0, 4);
    push_device(L, &s->device);
    lua_setfield(L, -2, "device");
    lua_pushboolean(L, s->ok != 0);
    lua_setfield(L, -2, "ok");
    set_number(L, "seconds", s->seconds);
    lua_createtable(L, (int)s->n_kernels, 0);
    for (size_t i = 0; i < s->n_kernels; i++) {
        push_kernel(L, &s->kernels[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
    lua_setfield(L, -2, "kernels");
}

const luaL_Reg selftest_functions[] = {{"selftest_start", selftest_start}, {NULL, NULL}};

/* Loading and models. */
#include "binding.h"

#include <stddef.h>
#include <string.h>

static void model_close(void *h)
{
    llm_model_close(h);
}
static void model_free(void *h)
{
    llm_model_free(h);
}
static int model_closed(const void *h)
{
    return llm_model_closed(h);
}
const struct kind kind_model = {"llm.model", model_close, model_free, model_closed};

/* ---- loading ---- */

static void read_device(lua_State *L, int value, struct options *o, const struct option *row)
{
    struct llm_load_options *l = o->out;
    int64_t n = 0;
    switch (lua_type(L, value)) {
    case LUA_TNUMBER:
        if (!compat_toint64(L, value, &n) || n < 1 || n > INT32_MAX) break;
        l->device = (int32_t)(n - 1);
        return;
    case LUA_TSTRING:
        l->device_name = lua_tostring(L, value);
        if (strlen(l->device_name) != lua_rawlen(L, value)) break;
        return;
    case LUA_TLIGHTUSERDATA:
        l->vulkan_device = lua_touserdata(L, value);
        if (!l->vulkan_device) break;
        return;
    default: break;
    }
    options_raise(L, value, o, row->name, "index from 1, part of a name, or light userdata");
}

static void read_cache(lua_State *L, int value, struct options *o, const struct option *row)
{
    struct llm_load_options *l = o->out;
    if (lua_isboolean(L, value)) l->cache = lua_toboolean(L, value) ? NULL : "";
    else if (lua_type(L, value) == LUA_TSTRING &&
             strlen(lua_tostring(L, value)) == lua_rawlen(L, value))
        l->cache = lua_tostring(L, value);
    else options_raise(L, value, o, row->name, "name of a folder, or false");
}

static const char *const kv_names[] = {"f16", "f32", "q8_0", "q4_0",
                                       NULL}; /* in the order of LLM_KV_... */
static const char *const precision_names[] = {"fast", "high", NULL}; /* and of LLM_PRECISION_... */

#define AT(field) offsetof(struct llm_load_options, field)
static const struct option load_rows[] = {
    {.name = "device", .type = OPTION_READ, .read = read_device},
    RANGE("context", UINT32, AT(context), 1, INT32_MAX),
    {.name = "kv", .type = OPTION_NAME, .offset = AT(kv), .names = kv_names},
    RANGE("kv_tokens", UINT64, AT(kv_tokens), 1, 9e15),
    RANGE("memory", UINT64, AT(memory), 1, 9e15),
    RANGE("gpu_layers", INT32, AT(gpu_layers), 0, INT32_MAX),
    {.name = "precision", .type = OPTION_NAME, .offset = AT(precision), .names = precision_names},
    FLAG("deterministic", AT(deterministic)),
    FLAG("vocab_only", AT(vocab_only)),
    {.name = "cache", .type = OPTION_READ, .read = read_cache},
    {.name = "progress", .type = OPTION_FUNCTION, .slot = HOOK_PROGRESS},
    {.name = "read", .type = OPTION_FUNCTION, .slot = HOOK_READ},
    RANGE("size", UINT64, AT(read_size), 0, 9e15),
    FLAG("yield", sizeof(struct llm_load_options)), /* read by the Lua parts; see struct load */
};
#undef AT

struct load {
    struct llm_load_options o;
    uint32_t yield;
};
_Static_assert(offsetof(struct load, yield) == sizeof(struct llm_load_options),
               "yield follows the options");

static void load_hooks(struct llm_load_options *l, struct hooks *hooks, uint32_t functions)
{
    if (functions & 1u << HOOK_PROGRESS) {
        l->progress = callback_progress;
        l->progress_user = hooks;
        l->progress_release = hooks_release;
    }
    if (functions & 1u << HOOK_READ) {
        l->read = callback_read;
        l->read_user = hooks;
        l->read_release = hooks_release;
    }
}

static uint32_t count_bits(uint32_t x)
{
    uint32_t n = 0;
    for (; x; x &= x - 1) n++;
    return n;
}

/* load_start(path, options, function) -> job */
static int load_start(lua_State *L)
{
    const char *function = luaL_checkstring(L, 3);
    struct root *root = root_get(L);
    lua_settop(L, 3);
    if (lua_type(L, 1) != LUA_TSTRING) raise_argument(L, 1, function, "path");
    const char *path = lua_tostring(L, 1);
    if (strlen(path) != lua_rawlen(L, 1))
        raise(L, "bad argument #1 to '%s' (the path holds a zero byte)", function);
    lua_newtable(L);
    struct load s = {.yield = 0};
    llm_load_defaults(&s.o, sizeof s.o);
    struct options o = {.function = function, .anchor = 4, .out = &s};
    options_read(L, 2, &o, load_rows, sizeof load_rows / sizeof *load_rows);
    int has_read = (o.functions & 1u << HOOK_READ) != 0, has_size = 0;
    if (lua_istable(L, 2)) {
        lua_getfield(L, 2, "size");
        has_size = !lua_isnil(L, -1);
    }
    if (has_read && !has_size)
        raise(L, "bad option 'read' of %s (it needs the option 'size', in bytes)", function);
    if (has_size && !has_read)
        raise(L, "bad option 'size' of %s (it needs the option 'read')", function);

    llm *library = root_llm(L, root);
    lua_settop(L, 4);
    struct object *job = object_new(L, root, &kind_job);
    job->hooks = hooks_new(L, root, 4, count_bits(o.functions));
    object_keep(L, 5, "hooks", 6);
    object_keep(L, 5, "options", 2);
    load_hooks(&s.o, job->hooks, o.functions);
    struct llm_error error = {.size = sizeof error};
    llm_job *handle = NULL;
    lua_State *before = root_enter(root, L);
    llm_status status = llm_load_start(library, path, &s.o, &handle, &error);
    if (status != LLM_OK) hooks_abandon(job->hooks);
    root_leave(root, L, before);
    if (status != LLM_OK) {
        const char *message = error.message;
        status = hooks_status(L, job, 5, status, &message);
        return failure(L, function, status, message);
    }
    job->handle = handle;
    lua_settop(L, 5);
    return 1;
}

/* ---- info ---- */

static void push_memory(lua_State *L, const struct llm_model_info *info)
{
    lua_createtable(L, 0, 4);
    set_count(L, "weights", info->memory_weights);
    set_count(L, "kv_per_token", info->memory_kv_per_token);
    set_count(L, "kv", info->memory_kv);
    set_count(L, "scratch", info->memory_scratch);
}

static void push_pipelines(lua_State *L, const struct llm_model_info *info)
{
    lua_createtable(L, 0, 4);
    set_count(L, "made", info->pipelines_made);
    set_count(L, "reported", info->pipelines_reported);
    set_count(L, "cached", info->pipelines_cached);
    set_number(L, "ms", info->pipelines_seconds * 1e3);
}

static void push_info(lua_State *L, const struct llm_model_info *info)
{
    lua_createtable(L, 0, 16);
    set_text(L, "architecture", info->architecture);
    set_text(L, "name", info->name);
    set_text(L, "quantization", info->quantization);
    set_text(L, "license", info->license);
    set_text(L, "chat_template", info->chat_template);
    set_count(L, "parameters", info->parameters);
    set_count(L, "file_bytes", info->file_bytes);
    set_count(L, "vocab_size", info->vocab_size);
    set_count(L, "context", info->context);
    set_count(L, "layers", info->layers);
    set_count(L, "embedding", info->embedding);
    if (info->bos_token >= 0) set_count(L, "bos_token", (uint64_t)info->bos_token);
    lua_pushboolean(L, info->adds_bos != 0);
    lua_setfield(L, -2, "adds_bos");
    lua_createtable(L, (int)info->n_eos_tokens, 0);
    for (uint32_t i = 0; i < info->n_eos_tokens; i++) {
        lua_pushinteger(L, info->eos_tokens[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
    lua_setfield(L, -2, "eos_tokens");
    push_memory(L, info);
    lua_setfield(L, -2, "memory");
    if (!info->has_device) return;
    push_device(L, &info->device);
    lua_setfield(L, -2, "device");
    push_pipelines(L, info);
    lua_setfield(L, -2, "pipelines");
}

static int model_info(lua_State *L)
{
    struct object *m = object_check(L, 1, &kind_model, "info");
    lua_getuservalue(L, 1);
    lua_getfield(L, -1, "info");
    if (!lua_isnil(L, -1)) return 1;
    struct llm_model_info info = {.size = sizeof info};
    struct llm_error error = {.size = sizeof error};
    llm_status status = llm_model_info_get(m->handle, &info, &error);
    if (status != LLM_OK) return raise(L, "info: %s", error.message);
    push_info(L, &info);
    object_keep(L, 1, "info", -1);
    return 1;
}

/* ---- text ---- */

struct text_flags {
    uint32_t bos, special, skip;
};
static const struct option text_rows[] = {
    FLAG("special", offsetof(struct text_flags, special)),
    FLAG("bos", offsetof(struct text_flags, bos)),
};

static uint32_t text_flags(lua_State *L, int index, const char *function, size_t n_rows)
{
    struct text_flags f = {0, 0, 0};
    struct options o = {.function = function, .out = &f};
    options_read(L, index, &o, text_rows, n_rows);
    return (f.bos ? LLM_TOKENIZE_BOS : 0u) | (f.special ? LLM_TOKENIZE_SPECIAL : 0u);
}

static int model_tokenize(lua_State *L)
{
    struct object *m = object_check(L, 1, &kind_model, "tokenize");
    lua_settop(L, 3);
    if (lua_type(L, 2) != LUA_TSTRING) raise_argument(L, 2, "tokenize", "string");
    size_t size, n = 0;
    const char *text = lua_tolstring(L, 2, &size);
    uint32_t flags = text_flags(L, 3, "model:tokenize", 2);
    struct llm_error error = {.size = sizeof error};
    for (size_t capacity = size + 8;; capacity = n) {
        int32_t *ids = lua_newuserdata(L, capacity * sizeof *ids);
        llm_status status = llm_tokenize(m->handle, text, size, flags, ids, capacity, &n, &error);
        if (status != LLM_OK) return failure(L, "tokenize", status, error.message);
        if (n > capacity) continue;
        lua_createtable(L, (int)n, 0);
        for (size_t i = 0; i < n; i++) {
            lua_pushinteger(L, ids[i]);
            lua_rawseti(L, -2, (int)i + 1);
        }
        return 1;
    }
}

static int model_detokenize(lua_State *L)
{
    struct object *m = object_check(L, 1, &kind_model, "detokenize");
    lua_settop(L, 3);
    lua_newtable(L);
    struct options o = {.function = "model:detokenize", .anchor = 4};
    struct llm_prompt ids;
    if (!lua_istable(L, 2)) raise_argument(L, 2, "detokenize", "list of token ids");
    if (!prompt_read(L, 2, &o, &ids)) raise_argument(L, 2, "detokenize", "list of token ids");
    uint32_t flags = text_flags(L, 3, o.function, 1);
    struct llm_error error = {.size = sizeof error};
    size_t n = 0;
    for (size_t capacity = ids.n_ids * 16 + 64;; capacity = n) {
        char *text = lua_newuserdata(L, capacity);
        llm_status status =
            llm_detokenize(m->handle, ids.ids, ids.n_ids, flags, text, capacity, &n, &error);
        if (status != LLM_OK) return failure(L, "detokenize", status, error.message);
        if (n > capacity) continue;
        lua_pushlstring(L, text, n);
        return 1;
    }
}

/* count_ids(model, ids) -> n: as a prompt is read, and each one of the vocabulary */
static int model_count_ids(lua_State *L)
{
    struct object *m = object_check(L, 1, &kind_model, "count");
    lua_settop(L, 2);
    lua_newtable(L);
    struct options o = {.function = "model:count", .anchor = 3};
    struct llm_prompt ids;
    if (!prompt_read(L, 2, &o, &ids)) return unsupported(L, "a list of messages");
    for (size_t i = 0; i < ids.n_ids; i++) {
        if ((uint32_t)ids.ids[i] >= m->vocab_size)
            raise(L, "bad prompt of model:count (token %d at %d is out of range)", (int)ids.ids[i],
                  (int)(i + 1));
    }
    lua_pushinteger(L, (lua_Integer)ids.n_ids);
    return 1;
}

/* ---- sessions ---- */

static void fill_session(lua_State *L, struct object *s, llm_session *handle, uint32_t vocab_size)
{
    s->handle = handle;
    s->vocab_size = vocab_size;
    object_keep(L, -1, "model", 1);
}

/* session(model, context) */
static int model_session(lua_State *L)
{
    struct object *m = object_check(L, 1, &kind_model, "session");
    uint32_t context = (uint32_t)luaL_checkinteger(L, 2);
    struct object *s = object_new(L, m->root, &kind_session);
    struct llm_error error = {.size = sizeof error};
    llm_session *handle = NULL;
    llm_status status = llm_session_create(m->handle, context, &handle, &error);
    if (status != LLM_OK) return failure(L, "session", status, error.message);
    fill_session(L, s, handle, m->vocab_size);
    return 1;
}

struct memory {
    const char *data;
    size_t size;
};

static int64_t memory_read(void *user, uint64_t offset, void *dst, size_t n)
{
    const struct memory *m = user;
    if (offset > m->size) return -1;
    if (n > m->size - offset) n = (size_t)(m->size - offset);
    if (n) memcpy(dst, m->data + offset, n);
    return (int64_t)n;
}

/* restore(model, blob) or restore(model, read, size) -> session */
static int model_restore(lua_State *L)
{
    struct object *m = object_check(L, 1, &kind_model, "restore");
    root_blocks(L, m->root, "restore");
    lua_settop(L, 3);
    lua_newtable(L);
    struct memory memory = {NULL, 0};
    struct object *s = object_new(L, m->root, &kind_session);
    uint64_t size = 0;
    if (lua_isfunction(L, 2)) {
        size = (uint64_t)lua_tonumber(L, 3);
        lua_pushvalue(L, 2);
        lua_rawseti(L, 4, HOOK_READ);
        s->hooks = hooks_new(L, m->root, 4, 1);
    } else {
        memory.data = lua_tolstring(L, 2, &memory.size);
        size = memory.size;
        lua_pushnil(L);
    }
    object_keep(L, 5, "hooks", 6);
    struct llm_error error = {.size = sizeof error};
    llm_session *handle = NULL;
    lua_State *before = root_enter(m->root, L);
    llm_status status =
        s->hooks ? llm_session_restore(m->handle, size, callback_read, s->hooks, &handle, &error)
                 : llm_session_restore(m->handle, size, memory_read, &memory, &handle, &error);
    hooks_abandon(s->hooks); /* it was read to its end, or not */
    root_leave(m->root, L, before);
    if (status != LLM_OK) {
        const char *message = error.message;
        status = hooks_status(L, s, 5, status, &message);
        if (status == LLM_CALLBACK) return lua_error(L);
        return failure(L, "restore", status, message);
    }
    lua_settop(L, 5);
    fill_session(L, s, handle, m->vocab_size);
    return 1;
}

const luaL_Reg model_functions[] = {
    {"load_start", load_start},
    {"session", model_session},
    {"restore", model_restore},
    {"count_ids", model_count_ids},
    {NULL, NULL},
};
const luaL_Reg model_methods[] = {
    {"tokenize", model_tokenize}, {"detokenize", model_detokenize}, {NULL, NULL}};
const luaL_Reg model_fields[] = {{"info", model_info}, {NULL, NULL}};

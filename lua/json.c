/* JSON. A weak table remembers which tables are arrays (true) and the order of an object's keys
 * (key -> place). */
#include "binding.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { JSON_DEPTH = 512 };

/* ---- decoding ---- */

struct reader {
    lua_State *L;
    const char *start, *at, *end;
    const char *wrong; /* what is wrong at at */
    struct buffer *text;
    int marks; /* stack index of the weak table */
};

static int read_value(struct reader *r, int depth);

static int wrong(struct reader *r, const char *what)
{
    if (!r->wrong) r->wrong = what;
    return 0;
}

static void skip_space(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
        r->at++;
}

static int peek(const struct reader *r)
{
    return r->at < r->end ? (unsigned char)*r->at : -1;
}

static int read_hex4(struct reader *r, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        int c = peek(r), digit = c >= '0' && c <= '9'                 ? c - '0'
                                 : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                                      : -1;
        if (c < 0 || digit < 0) return wrong(r, "four hexadecimal digits expected");
        *out = *out << 4 | (uint32_t)digit;
    }
    return 1;
}

static size_t encode_utf8(char out[4], uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(lead[n] | c);
    return n;
}

static int read_unicode(struct reader *r)
{
    uint32_t c, low;
    char utf8[4];
    if (!read_hex4(r, &c)) return 0;
    if (c >= 0xdc00 && c < 0xe000)
        return wrong(r, "second half of a surrogate pair without the first");
    if (c >= 0xd800 && c < 0xdc00) {
        if (r->end - r->at < 6 || r->at[0] != '\\' || r->at[1] != 'u')
            return wrong(r, "half a surrogate pair");
        r->at += 2;
        if (!read_hex4(r, &low)) return 0;
        if (low < 0xdc00 || low >= 0xe000) return wrong(r, "half a surrogate pair");
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    return buffer_append(r->text, utf8, encode_utf8(utf8, c)) || wrong(r, "out of memory");
}

static int read_escape(struct reader *r)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    int c = peek(r);
    if (c >= 0) r->at++;
    if (c == 'u') return read_unicode(r);
    const char *place = c > 0 ? strchr(from, c) : NULL;
    if (!place) return wrong(r, "unknown escape");
    return buffer_append(r->text, to + (place - from), 1) || wrong(r, "out of memory");
}

/* Pushes the string after the opening quote. */
static int read_string(struct reader *r)
{
    r->text->size = 0;
    for (;;) {
        const char *run = r->at;
        while (r->at < r->end && (unsigned char)*r->at >= 32 && *r->at != '"' && *r->at != '\\')
            r->at++;
        size_t n = (size_t)(r->at - run);
        int c = peek(r);
        if (c == '"' && !r->text->size) {
            lua_pushlstring(r->L, run, n);
            break;
        }
        if (!buffer_append(r->text, run, n)) return wrong(r, "out of memory");
        if (c < 0) return wrong(r, "the string does not end");
        if (c < 32) return wrong(r, "control character in a string");
        if (c == '"') {
            lua_pushlstring(r->L, r->text->data, r->text->size);
            break;
        }
        r->at++;
        if (!read_escape(r)) return 0;
    }
    r->at++;
    return 1;
}

static int skip_digits(struct reader *r)
{
    const char *first = r->at;
    while (peek(r) >= '0' && peek(r) <= '9') r->at++;
    return r->at > first;
}

static int read_number(struct reader *r)
{
    const char *first = r->at;
    int negative = peek(r) == '-', whole = 1;
    r->at += negative;
    if (peek(r) == '0') r->at++;
    else if (!skip_digits(r)) return wrong(r, "a value expected");
    const char *digits = first + negative, *digits_end = r->at;
    if (peek(r) == '.') {
        whole = 0;
        r->at++;
        if (!skip_digits(r)) return wrong(r, "digits expected");
    }
    if (peek(r) == 'e' || peek(r) == 'E') {
        whole = 0;
        r->at++;
        if (peek(r) == '+' || peek(r) == '-') r->at++;
        if (!skip_digits(r)) return wrong(r, "digits expected");
    }
    if (whole && digits_end - digits <= 18) {
        int64_t n = 0;
        for (; digits < digits_end; digits++) n = n * 10 + (*digits - '0');
        compat_pushint64(r->L, negative ? -n : n);
        return 1;
    }
    lua_pushlstring(r->L, first,
                    (size_t)(r->at - first)); /* Lua knows its own numbers, whatever the locale */
#if LUA_VERSION_NUM >= 503
    int ok = (int)lua_stringtonumber(r->L, lua_tostring(r->L, -1));
    if (ok) lua_remove(r->L, -2);
    else {
        lua_pop(r->L, 1);
        return wrong(r, "a number that cannot be read");
    }
#else
    lua_Number n = lua_tonumber(r->L, -1);
    lua_pop(r->L, 1);
    lua_pushnumber(r->L, n);
#endif
    return 1;
}

static int read_array(struct reader *r, int depth)
{
    lua_State *L = r->L;
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_pushboolean(L, 1);
    lua_rawset(L, r->marks);
    skip_space(r);
    if (peek(r) == ']') {
        r->at++;
        return 1;
    }
    for (int n = 1;; n++) {
        if (!read_value(r, depth)) return 0;
        lua_rawseti(L, -2, n);
        skip_space(r);
        int c = peek(r);
        if (c != ',' && c != ']') return wrong(r, "',' or ']' expected");
        r->at++;
        if (c == ']') return 1;
    }
}

static int read_object(struct reader *r, int depth)
{
    lua_State *L = r->L;
    lua_newtable(L);
    lua_newtable(L); /* the order of its keys */
    lua_pushvalue(L, -2);
    lua_pushvalue(L, -2);
    lua_rawset(L, r->marks);
    skip_space(r);
    if (peek(r) == '}') {
        r->at++;
        lua_pop(L, 1);
        return 1;
    }
    for (int n = 1;; n++) {
        skip_space(r);
        if (peek(r) != '"') return wrong(r, "a key in quotes expected");
        r->at++;
        if (!read_string(r)) return 0;
        lua_pushvalue(L, -1);
        lua_pushinteger(L, n);
        lua_rawset(L, -4);
        skip_space(r);
        if (peek(r) != ':') return wrong(r, "':' expected");
        r->at++;
        if (!read_value(r, depth)) return 0;
        lua_rawset(L, -4);
        skip_space(r);
        int c = peek(r);
        if (c != ',' && c != '}') return wrong(r, "',' or '}' expected");
        r->at++;
        if (c == ',') continue;
        lua_pop(L, 1);
        return 1;
    }
}

static int read_word(struct reader *r, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(r->end - r->at) < n || memcmp(r->at, word, n) != 0)
        return wrong(r, "a value expected");
    r->at += n;
    return 1;
}

/* Pushes a value; 0 when something is wrong. */
static int read_value(struct reader *r, int depth)
{
    if (depth == JSON_DEPTH) return wrong(r, "nested too deep");
    luaL_checkstack(r->L, 8, NULL);
    skip_space(r);
    switch (peek(r)) {
    case '{': r->at++; return read_object(r, depth + 1);
    case '[': r->at++; return read_array(r, depth + 1);
    case '"': r->at++; return read_string(r);
    case 't': lua_pushboolean(r->L, 1); return read_word(r, "true");
    case 'f': lua_pushboolean(r->L, 0); return read_word(r, "false");
    case 'n': lua_pushlightuserdata(r->L, NULL); return read_word(r, "null");
    case -1: return wrong(r, "the text ends too early");
    default: return read_number(r);
    }
}

static int bad_json(lua_State *L, const struct reader *r)
{
    int line = 1;
    const char *line_start = r->start;
    for (const char *p = r->start; p < r->at; p++) {
        if (*p != '\n') continue;
        line++;
        line_start = p + 1;
    }
    lua_settop(L, 0);
    lua_pushnil(L);
    lua_pushfstring(L, "json: line %d, column %d: %s", line, (int)(r->at - line_start) + 1,
                    r->wrong);
    lua_pushliteral(L, "bad_json");
    return 3;
}

static int json_decode(lua_State *L)
{
    size_t size;
    if (lua_type(L, 1) != LUA_TSTRING) raise_argument(L, 1, "decode", "string");
    lua_settop(L, 1);
    const char *text = lua_tolstring(L, 1, &size);
    lua_pushvalue(L, lua_upvalueindex(1));
    struct reader r = {L, text, text, text + size, NULL, buffer_new(L), 2};
    if (!read_value(&r, 0)) return bad_json(L, &r);
    skip_space(&r);
    if (r.at < r.end) {
        wrong(&r, "the end of the text expected");
        return bad_json(L, &r);
    }
    return 1;
}

/* ---- encoding ---- */

struct writer {
    lua_State *L;
    struct buffer *out;
    int marks;
};

static void write_value(struct writer *w, int index, int depth);

static void put(struct writer *w, const char *text, size_t size)
{
    if (!buffer_append(w->out, text, size)) raise(w->L, "json: not enough memory");
}

static void write_string(struct writer *w, const char *s, size_t size)
{
    const char *end = s + size;
    put(w, "\"", 1);
    while (s < end) {
        const char *run = s;
        while (s < end && (unsigned char)*s >= 32 && *s != '"' && *s != '\\') s++;
        put(w, run, (size_t)(s - run));
        if (s == end) break;
        static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
        char escape[8];
        const char *place = *s ? strchr(from, *s) : NULL;
        int n = place ? snprintf(escape, sizeof escape, "\\%c", to[place - from])
                      : snprintf(escape, sizeof escape, "\\u%04x", (unsigned)(unsigned char)*s);
        put(w, escape, (size_t)n);
        s++;
    }
    put(w, "\"", 1);
}

static void write_number(struct writer *w, int index)
{
    char text[40];
    int n;
    if (compat_isinteger(w->L, index)) {
        int64_t i = 0;
        compat_toint64(w->L, index, &i);
        n = snprintf(text, sizeof text, "%lld", (long long)i);
    } else {
        double d = lua_tonumber(w->L, index);
        if (!isfinite(d)) raise(w->L, "json: %s is no JSON number", number_text(w->L, d));
        n = snprintf(text, sizeof text, "%.15g", d);
        if (strtod(text, NULL) != d) n = snprintf(text, sizeof text, "%.16g", d);
        if (strtod(text, NULL) != d) n = snprintf(text, sizeof text, "%.17g", d);
        if (!strpbrk(text, ".,eE")) n += snprintf(text + n, sizeof text - (size_t)n, ".0");
        char *comma = strchr(text, ','); /* some locales */
        if (comma) *comma = '.';
    }
    put(w, text, (size_t)n);
}

/* The order that models were trained on; the other keys follow, sorted. */
static const char *const customary[] = {
    "type", "function", "name", "description", "parameters", "properties", "required",
};
enum { N_CUSTOMARY = sizeof customary / sizeof *customary };

struct key {
    const char *text; /* NULL: an integer key */
    size_t size, rank;
    int64_t n;
};

static int compare_keys(const void *pa, const void *pb)
{
    const struct key *a = pa, *b = pb;
    if (a->rank != b->rank) return a->rank < b->rank ? -1 : 1;
    if (!a->text || !b->text) return a->text ? 1 : b->text ? -1 : (a->n > b->n) - (a->n < b->n);
    int order = memcmp(a->text, b->text, a->size < b->size ? a->size : b->size);
    return order ? order : (a->size > b->size) - (a->size < b->size);
}

/* Remembered places come first, then the customary names, then the rest. order: stack index of
 * places, or 0 */
static size_t key_rank(lua_State *L, const char *text, int order)
{
    if (order) {
        lua_pushstring(L, text);
        lua_rawget(L, order);
        lua_Number place = lua_tonumber(L, -1);
        lua_pop(L, 1);
        if (place > 0) return (size_t)place;
    }
    size_t i = 0;
    while (i < N_CUSTOMARY && strcmp(text, customary[i]) != 0) i++;
    return SIZE_MAX - N_CUSTOMARY + i;
}

static struct key *sorted_keys(struct writer *w, int index, int order, size_t *count)
{
    lua_State *L = w->L;
    size_t n = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) n++;
    struct key *keys = lua_newuserdata(L, (n + 1) * sizeof *keys);
    n = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        struct key *k = &keys[n++];
        *k = (struct key){NULL, 0, SIZE_MAX, 0};
        if (lua_type(L, -2) == LUA_TSTRING) {
            k->text = lua_tolstring(L, -2, &k->size);
            k->rank = key_rank(L, k->text, order);
        } else if (!compat_isinteger(L, -2) || !compat_toint64(L, -2, &k->n)) {
            raise(L, "json: a key of type %s", type_name(L, -2));
        }
    }
    qsort(keys, n, sizeof *keys, compare_keys);
    *count = n;
    return keys;
}

static void write_object(struct writer *w, int index, int order, int depth)
{
    lua_State *L = w->L;
    size_t n;
    const struct key *keys = sorted_keys(w, index, order, &n);
    put(w, "{", 1);
    for (size_t i = 0; i < n; i++) {
        const struct key *k = &keys[i];
        if (i) put(w, ",", 1);
        if (k->text) {
            write_string(w, k->text, k->size);
            lua_pushlstring(L, k->text, k->size);
        } else {
            char text[24];
            write_string(w, text, (size_t)snprintf(text, sizeof text, "%lld", (long long)k->n));
            compat_pushint64(L, k->n);
        }
        put(w, ":", 1);
        lua_rawget(L, index);
        write_value(w, lua_gettop(L), depth);
        lua_pop(L, 1);
    }
    put(w, "}", 1);
}

/* Whether every key is one of 1 to n. */
static int is_sequence(lua_State *L, int index, size_t n)
{
    size_t count = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        int64_t k = 0;
        if (!compat_toint64(L, -2, &k) || k < 1 || (uint64_t)k > n) {
            lua_pop(L, 2);
            return 0;
        }
        count++;
    }
    return count == n;
}

static void write_table(struct writer *w, int index, int depth)
{
    lua_State *L = w->L;
    size_t n = lua_rawlen(L, index);
    lua_pushvalue(L, index);
    lua_rawget(L, w->marks);
    int order = lua_istable(L, -1) ? lua_gettop(L) : 0;
    int marked = lua_isboolean(L, -1);
    if (marked || (n > 0 && is_sequence(L, index, n))) {
        put(w, "[", 1);
        for (size_t i = 1; i <= n; i++) {
            if (i > 1) put(w, ",", 1);
            lua_rawgeti(L, index, (int)i);
            write_value(w, lua_gettop(L), depth);
            lua_pop(L, 1);
        }
        put(w, "]", 1);
    } else {
        write_object(w, index, order, depth);
    }
}

static void write_value(struct writer *w, int index, int depth)
{
    lua_State *L = w->L;
    size_t size;
    if (depth == JSON_DEPTH)
        raise(L, "json: nested more than %d deep; is it a cycle?", (int)JSON_DEPTH);
    luaL_checkstack(L, 12, NULL);
    switch (lua_type(L, index)) {
    case LUA_TSTRING: {
        const char *text = lua_tolstring(L, index, &size);
        write_string(w, text, size);
        break;
    }
    case LUA_TNUMBER: write_number(w, index); break;
    case LUA_TBOOLEAN: lua_toboolean(L, index) ? put(w, "true", 4) : put(w, "false", 5); break;
    case LUA_TTABLE: {
        int top = lua_gettop(L);
        write_table(w, index, depth + 1);
        lua_settop(L, top);
        break;
    }
    case LUA_TNIL: put(w, "null", 4); break;
    default:
        if (lua_islightuserdata(L, index) && !lua_touserdata(L, index)) put(w, "null", 4);
        else raise(L, "json: a value of type %s", type_name(L, index));
    }
}

static int json_encode(lua_State *L)
{
    if (lua_isnone(L, 1)) raise_argument(L, 1, "encode", "value");
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    struct writer w = {L, buffer_new(L), 2};
    write_value(&w, 1, 0);
    lua_pushlstring(L, w.out->size ? w.out->data : "", w.out->size);
    return 1;
}

/* ---- the module's null, array and json ---- */

static int json_array(lua_State *L)
{
    if (lua_isnone(L, 1)) lua_newtable(L);
    if (!lua_istable(L, 1)) raise_argument(L, 1, "array", "table");
    lua_settop(L, 1);
    lua_pushvalue(L, 1);
    lua_pushboolean(L, 1);
    lua_rawset(L, lua_upvalueindex(1));
    return 1;
}

/* With the module on top. Leaves the weak table of marks on it. */
void json_open(lua_State *L)
{
    lua_newtable(L); /* marks */
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "k");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_createtable(L, 0, 2);
    lua_pushvalue(L, -2);
    lua_pushcclosure(L, json_decode, 1);
    lua_setfield(L, -2, "decode");
    lua_pushvalue(L, -2);
    lua_pushcclosure(L, json_encode, 1);
    lua_setfield(L, -2, "encode");
    lua_setfield(L, -3, "json");
    lua_pushvalue(L, -1);
    lua_pushcclosure(L, json_array, 1);
    lua_setfield(L, -3, "array");
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -3, "null");
}

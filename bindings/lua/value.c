/* Values between Lua and the core. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weir_lua.h"

#define EXACT 9007199254740992LL /* 2^53: up to here a double has every integer */
#define TYPE_CDATA 10            /* LuaJIT's, in no header */

void weir__lua_push_integer(lua_State *L, int64_t value) {
#if LUA_VERSION_NUM >= 503
    lua_pushinteger(L, (lua_Integer)value);
#else
    char text[24];
    if (value >= -EXACT && value <= EXACT)
        lua_pushnumber(L, (lua_Number)value);
    else
        lua_pushlstring(L, text, (size_t)snprintf(text, sizeof text, "%lld", (long long)value));
#endif
}

/* The double as an integer; where the language has integers of its own, only theirs count as parameters of
 * that type. */
static bool whole(double number, double limit, int64_t *out) {
    if (!(fabs(number) <= limit) || floor(number) != number) return false;
    *out = (int64_t)number;
    return true;
}

bool weir__lua_to_integer(lua_State *L, int index, int64_t *out) {
    if (lua_type(L, index) != LUA_TNUMBER) return false;
#if LUA_VERSION_NUM >= 503
    if (lua_isinteger(L, index)) {
        *out = lua_tointeger(L, index);
        return true;
    }
#endif
    return whole(lua_tonumber(L, index), EXACT, out);
}

int64_t weir__lua_check_integer(lua_State *L, int index, const char *what, int64_t most) {
    int64_t value = 0;
    if (!weir__lua_to_integer(L, index, &value))
        weir__lua_misuse(L, "%s: an integer is wanted, not a %s", what, luaL_typename(L, index));
    else if (value > most || value < -most)
        weir__lua_misuse(L, "%s: the number is out of range", what);
    return value;
}

bool weir__lua_is_null(lua_State *L, int index) {
    return lua_islightuserdata(L, index) && !lua_touserdata(L, index);
}

int weir__lua_null(lua_State *L) {
    lua_pushlightuserdata(L, NULL);
    return 1;
}

void weir__lua_push_value(lua_State *L, const weir_value *value) {
    char text[WEIR_VALUE_TEXT];
    switch (value->type) {
    case WEIR_TYPE_NULL:
        lua_pushlightuserdata(L, NULL);
        break;
    case WEIR_TYPE_BOOL:
        lua_pushboolean(L, value->as.boolean);
        break;
    case WEIR_TYPE_INT:
        weir__lua_push_integer(L, value->as.integer);
        break;
    case WEIR_TYPE_FLOAT:
        lua_pushnumber(L, value->as.real);
        break;
    case WEIR_TYPE_NUMERIC:
    case WEIR_TYPE_TEXT:
    case WEIR_TYPE_BYTES:
    case WEIR_TYPE_INET:
    case WEIR_TYPE_CIDR:
    case WEIR_TYPE_JSON:
        lua_pushlstring(L, value->as.bytes.data, value->as.bytes.length);
        break;
    case WEIR_TYPE_DATE:
    case WEIR_TYPE_TIME:
    case WEIR_TYPE_TIMETZ:
    case WEIR_TYPE_TIMESTAMP:
    case WEIR_TYPE_TIMESTAMPTZ:
    case WEIR_TYPE_INTERVAL:
    case WEIR_TYPE_UUID:
        lua_pushlstring(L, text, weir_value_text(value, text));
        break;
    case WEIR_TYPE_RAW:
        weir__lua_decode(L, value);
        break;
    case WEIR_TYPE_ARRAY:
    case WEIR_TYPE_RANGE:
    case WEIR_TYPE_MULTIRANGE:
    case WEIR_TYPE_RECORD:
    case WEIR_TYPE_MAP:
        weir__lua_push_nested(L, value);
        break;
    }
}

static weir_value number_value(lua_State *L, int index) {
    weir_value value = {.type = WEIR_TYPE_INT};
#if LUA_VERSION_NUM >= 503
    if (lua_isinteger(L, index)) {
        value.as.integer = lua_tointeger(L, index);
        return value;
    }
#else
    if (whole(lua_tonumber(L, index), EXACT, &value.as.integer)) return value;
#endif
    value.type = WEIR_TYPE_FLOAT;
    value.as.real = lua_tonumber(L, index);
    return value;
}

static weir_value text_value(lua_State *L, int index, weir_type type) {
    weir_value value = {.type = type};
    value.as.bytes.data = lua_tolstring(L, index, &value.as.bytes.length);
    return value;
}

/* Digits as an integer where they are one that fits, since not every database takes a decimal for an integer.
 */
static weir_value decimal_value(const char *text, size_t length) {
    weir_value value = {.type = WEIR_TYPE_INT};
    char *end;
    errno = 0;
    value.as.integer = strtoll(text, &end, 10);
    if (errno || end != text + length) {
        value.type = WEIR_TYPE_NUMERIC;
        value.as.bytes.data = text;
        value.as.bytes.length = length;
    }
    return value;
}

/* LuaJIT's 64-bit integers, which the C interface shows only as their text: "-1LL", "1ULL". Leaves that on
 * the stack. */
static bool cdata_value(lua_State *L, int index, weir_value *value) {
    if (!luaL_callmeta(L, index, "__tostring") || lua_type(L, -1) != LUA_TSTRING) return false;
    const char *text = lua_tostring(L, -1);
    size_t digits = strspn(text, "-0123456789");
    if (!digits || (strcmp(text + digits, "LL") != 0 && strcmp(text + digits, "ULL") != 0)) return false;
    lua_pushlstring(L, text, digits);
    *value = decimal_value(lua_tostring(L, -1), digits);
    return true;
}

bool weir__lua_has_metatable(lua_State *L, int index, const char *name) {
    if (!lua_getmetatable(L, index)) return false;
    weir__lua_push_metatable(L, name);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

/* weirpool.bytes(text), weirpool.numeric(text): leaves the text on the stack. */
static bool wrapped_value(lua_State *L, int index, weir_value *value) {
    bool bytes = weir__lua_has_metatable(L, index, "bytes");
    if (!bytes && !weir__lua_has_metatable(L, index, "numeric")) return false;
    lua_rawgeti(L, index, 1);
    if (lua_type(L, -1) != LUA_TSTRING) return false;
    *value = text_value(L, -1, WEIR_TYPE_BYTES);
    if (!bytes) *value = decimal_value(value->as.bytes.data, value->as.bytes.length);
    return true;
}

bool weir__lua_to_value(lua_State *L, int index, int number, weir_value *value) {
    *value = (weir_value){.type = WEIR_TYPE_NULL};
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        return true;
    case LUA_TBOOLEAN:
        value->type = WEIR_TYPE_BOOL;
        value->as.boolean = lua_toboolean(L, index);
        return true;
    case LUA_TNUMBER:
        *value = number_value(L, index);
        return true;
    case LUA_TSTRING:
        *value = text_value(L, index, WEIR_TYPE_TEXT);
        return true;
    case LUA_TLIGHTUSERDATA:
        return weir__lua_is_null(L, index);
    case LUA_TTABLE:
        return wrapped_value(L, index, value) || weir__lua_to_nested(L, index, number, value) ||
               weir__lua_encode(L, index, number, value);
    case TYPE_CDATA:
        return cdata_value(L, index, value);
    default:
        return false;
    }
}

void weir__lua_add(lua_State *L, int index, weir_statement *statement, int number) {
    weir_value value;
    int top = lua_gettop(L);
    if (!weir__lua_to_value(L, index, number, &value))
        weir__lua_misuse(
            L, "parameter %d: a %s cannot be the value of a parameter%s", number, luaL_typename(L, index),
            lua_istable(L, index) ? ": an array is weirpool.array{...}, JSON a string; options stand "
                                    "in the statement's table, {\"select ...\", timeout = 1}"
                                  : "");
    weir_statement_add(statement, &value);
    lua_settop(L, top);
}

int64_t weir__lua_to_timeout(lua_State *L, int index, const char *what, bool zero) {
    if (lua_isnil(L, index) || lua_isnone(L, index)) return WEIR_TIMEOUT_DEFAULT;
    if (weir__lua_is_null(L, index) || (lua_isboolean(L, index) && !lua_toboolean(L, index))) return -1;
    double seconds = lua_type(L, index) == LUA_TNUMBER ? lua_tonumber(L, index) : -1;
    if (zero && seconds == 0) return 0;
    if (!(seconds > 0) || seconds > 1e9)
        weir__lua_misuse(L, "%s: a number of seconds above 0 is wanted, or false for no limit", what);
    int64_t ms = llround(seconds * 1000);
    return ms > 0 ? ms : 1;
}

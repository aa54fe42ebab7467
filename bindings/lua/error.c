/* Failures as values, misuse as errors. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "weir_lua.h"

#define OWN                                                                                                  \
    "weirpool.own" /* in the registry: the folder of this package's Lua code, as debug information names it  \
                    */
#define MAIN "weirpool.main" /* … and the thread that Lua itself runs */

void weir__lua_push_metatable(lua_State *L, const char *name) {
    lua_pushfstring(L, "weirpool.%s", name);
    lua_pushvalue(L, -1);
    lua_rawget(L, LUA_REGISTRYINDEX);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -2);
        lua_pushvalue(L, -2);
        lua_rawset(L, LUA_REGISTRYINDEX);
    }
    lua_remove(L, -2);
}

int weir__lua_metatable(lua_State *L) {
    weir__lua_push_metatable(L, luaL_checkstring(L, 1));
    return 1;
}

int weir__lua_own(lua_State *L) {
    lua_Debug frame;
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    lua_getinfo(L, ">S", &frame);
    const char *slash = strrchr(frame.source, '/');
    lua_pushlstring(L, frame.source, slash ? (size_t)(slash - frame.source) + 1 : strlen(frame.source));
    lua_setfield(L, LUA_REGISTRYINDEX, OWN);
    if (lua_pushthread(L)) lua_setfield(L, LUA_REGISTRYINDEX, MAIN);
    return 0;
}

/* The innermost frame of a line of code outside of the folder. */
static bool find_frame(lua_State *L, int level, const char *own, lua_Debug *out) {
    for (; lua_getstack(L, level, out); level++) {
        lua_getinfo(L, "Sl", out);
        if (out->currentline <= 0 || (own && strncmp(out->source, own, strlen(own)) == 0)) continue;
        lua_getinfo(L, "n", out);
        return true;
    }
    return false;
}

bool weir__lua_caller(lua_State *L, lua_Debug *out) {
    lua_getfield(L, LUA_REGISTRYINDEX, OWN);
    lua_getfield(L, LUA_REGISTRYINDEX, MAIN);
    const char *own = lua_tostring(L, -2);
    lua_State *main = lua_tothread(L, -1);
    /* A coroutine may be a function of ours itself: then who has resumed it. */
    bool found = find_frame(L, 1, own, out) || (main && main != L && find_frame(main, 0, own, out));
    lua_pop(L, 2);
    return found;
}

int weir__lua_misuse(lua_State *L, const char *format, ...) {
    char message[512];
    va_list values;
    va_start(values, format);
    vsnprintf(message, sizeof message, format, values);
    va_end(values);
    lua_Debug frame;
    if (weir__lua_caller(L, &frame))
        lua_pushfstring(L, "%s:%d: %s", frame.short_src, frame.currentline, message);
    else
        lua_pushstring(L, message);
    return lua_error(L);
}

int weir__lua_raise(lua_State *L) { return weir__lua_misuse(L, "%s", luaL_checkstring(L, 1)); }

static void set_text(lua_State *L, const char *name, const char *text) {
    if (text && *text) weir__lua_set_text(L, name, text);
}

int weir__lua_push_failure(lua_State *L, const weir_error *error) {
    lua_pushnil(L);
    lua_createtable(L, 0, 8);
    set_text(L, "class",
             error->code == WEIR_ESERVER ? weir_sqlstate_class(error->sqlstate)
                                         : weir_error_class(error->code));
    set_text(L, "name", weir_error_name(error->code));
    set_text(L, "message", error->message ? error->message : weir_error_text(error->code));
    lua_pushinteger(L, error->code);
    lua_setfield(L, -2, "code");
    lua_pushboolean(L, error->retryable);
    lua_setfield(L, -2, "retryable");
    set_text(L, "sqlstate", error->sqlstate);
    set_text(L, "severity", error->severity);
    set_text(L, "detail", error->detail);
    set_text(L, "hint", error->hint);
    set_text(L, "schema", error->schema);
    set_text(L, "table", error->table);
    set_text(L, "column", error->column);
    set_text(L, "constraint", error->constraint);
    set_text(L, "context", error->context);
    if (error->position > 0) {
        lua_pushinteger(L, error->position);
        lua_setfield(L, -2, "position");
    }
    if (error->retry_after_ms >= 0) {
        lua_pushnumber(L, (lua_Number)error->retry_after_ms / 1000);
        lua_setfield(L, -2, "retry_after");
    }
    if (error->xid) {
        lua_pushinteger(L, (lua_Integer)error->xid);
        lua_setfield(L, -2, "xid");
    }
    weir__lua_push_metatable(L, "error");
    lua_setmetatable(L, -2);
    lua_getfield(L, -1, "sqlstate");
#if LUA_VERSION_NUM < 502
    lua_pushvalue(L, -2); /* LuaJIT's assert raises its last argument, unless the second one is a string */
    return 4;
#else
    return 3;
#endif
}

static int fail(lua_State *L) {
    const weir_error *error = lua_touserdata(L, 1);
    if (error->code == WEIR_EINVAL || error->code == WEIR_EOPTION)
        return weir__lua_misuse(L, "%s", error->message ? error->message : weir_error_text(error->code));
    return weir__lua_push_failure(L, error);
}

int weir__lua_fail(lua_State *L, weir_error *error) {
    int before = lua_gettop(L);
    lua_pushcfunction(L, fail);
    lua_pushlightuserdata(L, error);
    int code = lua_pcall(L, 1, LUA_MULTRET, 0);
    weir_error_clear(error);
    return code ? lua_error(L) : lua_gettop(L) - before;
}

/* What pool:run asks the core: may the transaction be repeated, after which pause, and until when? */
#include <string.h>

#include "weir_lua.h"

static weir_retry *to_retry(lua_State *L, int index) {
    weir_retry *retry = lua_type(L, index) == LUA_TUSERDATA ? lua_touserdata(L, index) : NULL;
    if (!retry || lua_rawlen(L, index) != sizeof *retry || retry->size != sizeof *retry)
        weir__lua_misuse(L, "a retry is wanted here, not a %s", luaL_typename(L, index));
    return retry;
}

int weir__lua_retry_new(lua_State *L) {
    lua_settop(L, 2);
    weir_retry *retry = lua_newuserdata(L, sizeof *retry);
    weir_error error = WEIR_ERROR_INIT;
    weir_retry_init(retry);
    if (!lua_isnil(L, 1)) retry->retries = weir__lua_check_integer(L, 1, "retries", INT64_MAX);
    int64_t timeout = weir__lua_to_timeout(L, 2, "timeout", false);
    retry->timeout_ms = timeout < 0 ? -1 : timeout;
    if (weir_retry_begin(retry, weir_now_ns(), &error) != WEIR_OK) return weir__lua_fail(L, &error);
    return 1;
}

int weir__lua_retry_left(lua_State *L) {
    int64_t left = weir_retry_left(to_retry(L, 1), weir_now_ns());
    if (left < 0)
        lua_pushnil(L);
    else
        lua_pushnumber(L, (lua_Number)left / 1000);
    return 1;
}

void weir__lua_retry_cut(lua_State *L, int index, int64_t *timeout_ms) {
    if (!lua_isnoneornil(L, index))
        *timeout_ms = weir_retry_cut(to_retry(L, index), *timeout_ms, weir_now_ns());
}

void weir__lua_read_error(lua_State *L, int index, weir_error *out) {
    lua_getfield(L, index, "code");
    lua_getfield(L, index, "retryable");
    lua_getfield(L, index, "retry_after");
    lua_getfield(L, index, "sqlstate");
    out->code = (int)lua_tointeger(L, -4);
    out->retryable = lua_toboolean(L, -3);
    double after = lua_type(L, -2) == LUA_TNUMBER ? lua_tonumber(L, -2) : -1;
    if (after >= 0 && after < 1e9) out->retry_after_ms = (int64_t)(after * 1000);
    if (lua_type(L, -1) == LUA_TSTRING) strncpy(out->sqlstate, lua_tostring(L, -1), sizeof out->sqlstate - 1);
    lua_pop(L, 4);
}

int weir__lua_retry_next(lua_State *L) {
    weir_error error = WEIR_ERROR_INIT;
    weir_retry *retry = to_retry(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    weir__lua_read_error(L, 2, &error);
    int64_t pause = weir_retry_next(retry, &error, weir_now_ns());
    if (pause < 0)
        lua_pushnil(L);
    else
        lua_pushnumber(L, (lua_Number)pause / 1000);
    return 1;
}

int weir__lua_retry_note(lua_State *L) {
    char text[120];
    weir_retry_note(to_retry(L, 1), text, sizeof text);
    lua_pushstring(L, text);
    return 1;
}

int weir__lua_retry_admit(lua_State *L) {
    int64_t left = weir_retry_left(to_retry(L, 1), weir_now_ns());
    weir_lua_session *session = weir__lua_to_session(L, 2);
    weir_error error = WEIR_ERROR_INIT;
    if (left > 0 && weir_session_limit(session->session, left, &error) != WEIR_OK)
        return weir__lua_fail(L, &error);
    lua_pushboolean(L, 1);
    return 1;
}

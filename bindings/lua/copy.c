/* COPY FROM STDIN: the steps that weirpool/copy.lua makes copy_in and copy_records of. */
#include "weir_lua.h"

#define ROWS "copy_rows"
#define PIECE                                                                                                \
    ((size_t)65536) /* bytes given to the core at a time: so much is copied when the server is slow */
enum { FIRST = WEIR_LUA_FIRST };

static int in_body(lua_State *L) {
    weir_lua_session *session = weir__lua_begin_session(L);
    weir_lua_call *call = weir__lua_call(L);
    if (!weir__lua_build(L, call, FIRST, WEIR_LUA_EXECUTE, 0)) return weir__lua_call_fail(L, call);
    weir_run run = weir__lua_run(call, WEIR_LUA_EXECUTE);
    int code = weir_session_copy_in(session->session, call->statement, &run, NULL, &call->op, &call->error);
    return weir__lua_done(L, call, weir__lua_outcome(L, call, code));
}

int weir__lua_copy_in(lua_State *L) { return weir__lua_guard(L, in_body); }

static int put_body(lua_State *L) {
    weir_lua_session *session = weir__lua_begin_session(L);
    weir_lua_call *call = weir__lua_call(L);
    size_t length;
    const char *data = luaL_checklstring(L, FIRST, &length);
    int code = WEIR_OK;
    for (size_t at = 0; code == WEIR_OK && at < length; at += PIECE) {
        size_t size = length - at < PIECE ? length - at : PIECE;
        code = weir_session_copy_put(session->session, data + at, size, NULL, &call->op, &call->error);
        code = weir__lua_outcome(L, call, code);
    }
    return weir__lua_done(L, call, code);
}

int weir__lua_copy_put(lua_State *L) { return weir__lua_guard(L, put_body); }

static int end_body(lua_State *L) {
    weir_lua_session *session = weir__lua_begin_session(L);
    weir_lua_call *call = weir__lua_call(L);
    int code = weir_session_copy_end(session->session, NULL, &call->op, &call->error);
    return weir__lua_rows(L, call, code, WEIR_LUA_EXECUTE);
}

int weir__lua_copy_end(lua_State *L) { return weir__lua_guard(L, end_body); }

int weir__lua_copy_abort(lua_State *L) {
    weir_lua_session *session = weir__lua_test(L, 1, WEIR_LUA_SESSION);
    if (session && session->out && session->home->pool) weir_session_copy_abort(session->session, NULL);
    return 0;
}

/* ---- rows of values */

static int rows_gc(lua_State *L) {
    weir_copy_rows **rows = lua_touserdata(L, 1);
    weir_copy_rows_free(*rows);
    *rows = NULL;
    return 0;
}

static int rows_body(lua_State *L) {
    weir_lua_session *session = weir__lua_begin_session(L);
    weir_lua_call *call = weir__lua_call(L);
    if (!weir__lua_build(L, call, FIRST, WEIR_LUA_FETCH, 0)) return weir__lua_call_fail(L, call);
    weir_copy_rows **rows = lua_newuserdata(L, sizeof(weir_copy_rows *));
    int handle = lua_gettop(L);
    *rows = NULL;
    weir__lua_set_metatable(L, ROWS, rows_gc);
    weir_run run = weir__lua_run(call, WEIR_LUA_FETCH);
    int code = weir_session_execute(session->session, call->statement, &run, NULL, &call->op, &call->error);
    code = weir__lua_outcome(L, call, code);
    if (code == WEIR_OK) {
        *rows = weir_copy_rows_new(call->done.result, &call->error);
        if (!*rows) code = call->error.code;
    }
    if (code != WEIR_OK) return weir__lua_done(L, call, code);
    weir__lua_settle(L, call);
    lua_pushvalue(L, handle);
    return 1;
}

int weir__lua_copy_rows(lua_State *L) { return weir__lua_guard(L, rows_body); }

static int encode_body(lua_State *L) {
    weir_lua_call *call = weir__lua_begin(L);
    weir_copy_rows **rows = weir__lua_test(L, FIRST, ROWS);
    const void *data;
    size_t length;
    if (!rows || !*rows)
        return weir__lua_misuse(L, "an encoder is wanted, not a %s", luaL_typename(L, FIRST));
    call->statement = weir_statement_new("copy", 4, &call->error);
    if (!call->statement) return weir__lua_call_fail(L, call);
    weir__lua_add_sets(L, FIRST + 1, "copy_records", call->statement);
    if (weir_copy_rows_encode(*rows, call->statement, &data, &length, &call->error) != WEIR_OK)
        return weir__lua_call_fail(L, call);
    lua_pushlstring(L, data, length);
    lua_pushstring(L, weir_copy_rows_format(*rows));
    return 2;
}

int weir__lua_copy_encode(lua_State *L) { return weir__lua_guard(L, encode_body); }

/*
 * What is read piece by piece: the batches of a stream, and the chunks of a COPY TO STDOUT. A flow is made of
 * its statement alone, and begins on the session that it is first read with.
 */
#include <string.h>

#include "weir_lua.h"

#define FLOW "flow"
enum { HANDLE = WEIR_LUA_HANDLE, FIRST = WEIR_LUA_FIRST };

typedef struct flow {
    weir_statement *statement; /* owned; NULL: begun, or over */
    weir_lua_session *session; /* kept by the userdata's user value; NULL: not begun, or over */
    weir_lua_how how;
    weir_stream stream;
    bool copies;
} flow;

/* Without waiting; also by the collector, who may have finalised the session before. */
static void end(flow *flow) {
    weir_lua_session *session = flow->session;
    weir_statement_unref(flow->statement);
    flow->statement = NULL;
    flow->session = NULL;
    if (!session || !session->out || !session->home->pool) return;
    if (flow->copies)
        weir_session_copy_abort(session->session, NULL);
    else
        weir_stream_close(flow->stream);
}

static flow *to_flow(lua_State *L, int index) {
    flow *flow = weir__lua_test(L, index, FLOW);
    if (!flow) weir__lua_misuse(L, "a stream is wanted here, not a %s", luaL_typename(L, index));
    return flow;
}

static int flow_gc(lua_State *L) {
    end(lua_touserdata(L, 1));
    return 0;
}

int weir__lua_flow_close(lua_State *L) {
    end(to_flow(L, 1));
    return 0;
}

static int new_body(lua_State *L) {
    weir_lua_call *call = weir__lua_begin(L);
    bool copies = lua_toboolean(L, FIRST);
    if (weir__lua_test(L, HANDLE, WEIR_LUA_SESSION)) weir__lua_to_session(L, HANDLE); /* not a returned one */
    if (!weir__lua_build(L, call, FIRST + 1, WEIR_LUA_FETCH, copies ? 0 : WEIR_LUA_PREFETCH))
        return weir__lua_call_fail(L, call);
    flow *flow = lua_newuserdata(L, sizeof *flow);
    memset(flow, 0, sizeof *flow);
    weir__lua_set_metatable(L, FLOW, flow_gc);
    flow->copies = copies;
    flow->how = call->how;
    flow->statement = call->statement;
    call->statement = NULL;
    return 1;
}

int weir__lua_flow_new(lua_State *L) { return weir__lua_guard(L, new_body); }

static int begin(lua_State *L, weir_lua_call *call, flow *flow, weir_lua_session *session) {
    call->how = flow->how;
    weir_run run = weir__lua_run(call, WEIR_LUA_FETCH);
    lua_pushvalue(L, FIRST);
    weir__lua_keep(L, HANDLE);
    lua_pop(L, 1);
    int code;
    if (flow->copies)
        code = weir_session_copy_out(session->session, flow->statement, &run, NULL, &call->op, &call->error);
    else
        code = weir_session_stream(session->session, flow->statement, flow->how.prefetch, &run, &flow->stream,
                                   &call->error);
    code = weir__lua_outcome(L, call, code);
    if (code != WEIR_OK) return code;
    flow->session = session; /* from here on there is something to be ended */
    weir_statement_unref(flow->statement);
    flow->statement = NULL;
    return WEIR_OK;
}

static int take(lua_State *L, weir_lua_call *call, flow *flow) {
    int code;
    if (flow->copies)
        code = weir_session_copy_take(flow->session->session, NULL, &call->op, &call->error);
    else
        code = weir_stream_next(flow->stream, NULL, &call->done.result, &call->op, &call->error);
    return weir__lua_outcome(L, call, code);
}

static int push_piece(lua_State *L, weir_result *result, bool copies) {
    if (!result || !weir_result_rows(result)) {
        lua_pushboolean(L, false);
        if (result)
            weir__lua_push_result(L, result, WEIR_LUA_EXECUTE, 0);
        else
            lua_pushnil(L);
        return 2;
    }
    if (!copies) return weir__lua_push_result(L, result, WEIR_LUA_FETCH, 0);
    lua_createtable(L, 1, 0);
    int list = lua_gettop(L), values = weir__lua_push_result(L, result, WEIR_LUA_FETCHVAL, 0);
    if (values > 1) return values;
    lua_rawseti(L, list, 1);
    return 1;
}

static int next_body(lua_State *L) {
    weir_lua_session *session = weir__lua_begin_session(L);
    weir_lua_call *call = weir__lua_call(L);
    flow *flow = to_flow(L, FIRST);
    int code = WEIR_OK;
    if (!flow->session) code = flow->statement ? begin(L, call, flow, session) : WEIR_ESTALE;
    if (code == WEIR_OK) code = take(L, call, flow);
    if (code != WEIR_OK) return weir__lua_done(L, call, code);
    int values = push_piece(L, call->done.result, flow->copies);
    weir__lua_settle(L, call);
    return values;
}

int weir__lua_flow_next(lua_State *L) { return weir__lua_guard(L, next_body); }

/* One call into the core: what it holds, how it waits, and what it leaves to the host function. */
#include "weir_lua.h"

static void clear(weir_lua_call *call) {
    if (call->op) weir_reactor_cancel(call->home->reactor, call->op);
    weir_completion_discard(&call->done);
    weir_error_clear(&call->error);
    weir_statement_unref(call->statement);
    weir_batch_free(call->batch);
    weir_notification_free(call->notification);
    weir_notice_free(call->notice);
    weir_holders_free(call->holders);
    weir_metrics_free(call->text);
    weir_alerts_free(call->alerts);
    weir_slow_statements_free(call->slow);
    weir_history_free(call->points);
    if (call->opening.pool) weir_listener_close(call->opening);
}

int weir__lua_guard(lua_State *L, lua_CFunction body) {
    weir_lua_call call = {.error = WEIR_ERROR_INIT};
    /* what these three need is allocated before the call holds anything */
    luaL_checkstack(L, LUA_MINSTACK, NULL);
    lua_pushcfunction(L, body);
    lua_insert(L, 1);
    lua_pushlightuserdata(L, &call);
    lua_insert(L, 2);
    int code = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
    clear(&call);
    return code ? lua_error(L) : lua_gettop(L);
}

weir_lua_call *weir__lua_call(lua_State *L) { return lua_touserdata(L, 1); }

/* A new connection that wants its init. The handle is made first: nothing may fail between the taking and the
 * owning. */
static bool take_event(lua_State *L, weir_lua_call *call) {
    lua_pushvalue(L, call->host);
    lua_pushliteral(L, "init");
    weir_lua_session *handle = weir__lua_push_session(L, call->handle);
    weir_completion done;
    if (!weir_reactor_next(call->home->reactor, &done)) {
        lua_pop(L, 3);
        return false;
    }
    if (done.kind != WEIR_EVENT_INIT) {
        weir_completion_discard(&done);
        lua_pop(L, 3);
        return true;
    }
    handle->session = done.session;
    handle->out = true;
    bool before = call->home->at_init;
    call->home->at_init = true;
    int code = lua_pcall(L, 2, 0, 0);
    call->home->at_init = before;
    return code ? lua_error(L) : true;
}

/* A signal that comes just before the core falls asleep does not wake it: so its hook is looked for now and
 * then. */
#define SIGNALS_MS 100

/* `lua` sets its hook for Ctrl-C on the state that it made, and Lua 5.4 keeps hooks by coroutine. */
static lua_State *hooked_state(lua_State *L) {
#if LUA_VERSION_NUM >= 502
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
    lua_State *main = lua_tothread(L, -1);
    lua_pop(L, 1);
    return main;
#else
    return L;
#endif
}

/* A function of Lua is run, so that the debug hook gets its turn that a signal handler has set (Ctrl-C in
 * `lua`); `before` is the one that was there. */
static void interrupted(lua_State *L, weir_lua_call *call, lua_State *main, lua_Hook before) {
    lua_Hook hook = lua_gethook(main);
    if (hook != before && main != L) { /* into the coroutine that waits, and not a second time afterwards */
        lua_sethook(L, hook, lua_gethookmask(main), lua_gethookcount(main));
        lua_sethook(main, NULL, 0, 0);
    }
    lua_pushvalue(L, call->host);
    lua_pushliteral(L, "interrupt");
    lua_call(L, 1, 0);
}

int weir__lua_wait(lua_State *L, weir_lua_call *call) {
    lua_State *main = hooked_state(L);
    lua_Hook before = lua_gethook(main);
    for (;;) {
        int code = weir_reactor_wait(call->home->reactor, call->op, SIGNALS_MS, &call->done);
        switch (code) {
        case WEIR_OK:
            call->op = 0;
            return call->done.code;
        case WEIR_EVENT:
            take_event(L, call);
            break;
        case WEIR_INTERRUPTED:
        case WEIR_ETIMEOUT:
            interrupted(L, call, main, before);
            break;
        default:
            if (code == WEIR_ESTALE) call->op = 0;
            call->error.code = code;
            return code;
        }
    }
}

int weir__lua_call_fail(lua_State *L, weir_lua_call *call) {
    const weir_error *error = call->done.error ? call->done.error : &call->error;
    if (error->code == WEIR_EINVAL || error->code == WEIR_EOPTION)
        return weir__lua_misuse(L, "%s", error->message ? error->message : weir_error_text(error->code));
    int place = lua_gettop(L) + 2, values = weir__lua_push_failure(L, error);
    weir__lua_judge(L, call, &call->done, place);
    return values;
}

void weir__lua_judge(lua_State *L, weir_lua_call *call, weir_completion *done, int index) {
    if (!done->failure.pool) return;
    luaL_checkstack(L, 4, NULL);
    lua_pushvalue(L, call->host);
    lua_pushliteral(L, "judge");
    lua_pushvalue(L, index);
    lua_call(L, 2, 1);
    weir_completion_judge(done, weir__lua_verdict(L, -1));
    lua_pop(L, 1);
}

static void report(lua_State *L, weir_lua_call *call, int level, const char *line) {
    luaL_checkstack(L, 4, NULL);
    lua_pushvalue(L, call->host);
    lua_pushliteral(L, "log");
    lua_pushinteger(L, level);
    lua_pushstring(L, line);
    lua_call(L, 3, 0);
}

static bool take_notice(lua_State *L, weir_lua_call *call) {
    if (!weir_reactor_next_notice(call->home->reactor, &call->notice)) return false;
    luaL_checkstack(L, LUA_MINSTACK, NULL);
    lua_pushvalue(L, call->host);
    lua_pushliteral(L, "notice");
    lua_createtable(L, 0, 6);
    weir__lua_set_text(L, "severity", call->notice->severity);
    weir__lua_set_text(L, "sqlstate", call->notice->sqlstate);
    weir__lua_set_text(L, "message", call->notice->message);
    weir__lua_set_text(L, "detail", call->notice->detail);
    weir__lua_set_text(L, "hint", call->notice->hint);
    weir__lua_set_text(L, "where", call->notice->where);
    weir_notice_free(call->notice);
    call->notice = NULL;
    lua_call(L, 2, 0);
    return true;
}

static bool take_alert(lua_State *L, weir_lua_call *call) {
    weir_lua_pool *home = call->home;
    weir_alert alert;
    if (weir_pool_last_alert(home->pool) == home->alert) return false;
    if (!weir_pool_next_alert(home->pool, &home->alert, &alert)) return false;
    luaL_checkstack(L, LUA_MINSTACK, NULL);
    lua_pushvalue(L, call->host);
    lua_pushliteral(L, "alert");
    weir__lua_push_alert(L, &alert);
    lua_call(L, 2, 0);
    return true;
}

void weir__lua_settle(lua_State *L, weir_lua_call *call) {
    weir_lua_pool *home = call->home;
    while (home->hooked && !home->at_init && take_event(L, call)) {
    }
    while (home->noticed && take_notice(L, call)) {
    }
    while (take_alert(L, call)) {
    }
    weir_log_record record;
    while (weir_reactor_next_log(home->reactor, &record)) report(L, call, record.level, record.line);
    if (home->collected) {
        unsigned count = home->collected;
        home->collected = 0;
        lua_pushfstring(L, "pool %s: %d not returned before the collector found it; the last was taken at %s",
                        weir_pool_name(home->pool), (int)count, home->collected_at);
        report(L, call, WEIR_LOG_WARNING, lua_tostring(L, -1));
        lua_pop(L, 1);
    }
}

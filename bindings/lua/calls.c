/* The functions that may wait. Each runs in a guard: the call's own things are at index 1, its arguments from
 * 2 on. */
#include <stdio.h>
#include <string.h>

#include "weir_lua.h"

enum { HANDLE = WEIR_LUA_HANDLE, HOST = WEIR_LUA_HOST, FIRST = WEIR_LUA_FIRST }; /* of all but open */

static weir_lua_call *begin(lua_State *L, weir_lua_pool *home, int handle) {
    weir_lua_call *call = weir__lua_call(L);
    call->home = home;
    call->handle = handle;
    call->host = HOST;
    return call;
}

static weir_lua_call *begin_pool(lua_State *L) { return begin(L, weir__lua_to_pool(L, HANDLE), HANDLE); }

weir_lua_call *weir__lua_begin(lua_State *L) { return begin(L, weir__lua_to_home(L, HANDLE), HANDLE); }

weir_lua_session *weir__lua_begin_session(lua_State *L) {
    weir_lua_session *session = weir__lua_to_session(L, HANDLE);
    begin(L, session->home, HANDLE);
    return session;
}

int weir__lua_outcome(lua_State *L, weir_lua_call *call, int code) {
    if (code == WEIR_PENDING) return weir__lua_wait(L, call);
    /* A pool whose callers are refused would not find out that its server is back: nobody else drives it. */
    if (WEIR_IS_CIRCUIT_OPEN(code)) weir_reactor_dispatch(call->home->reactor);
    call->op = 0;
    if (code != WEIR_OK && call->error.code == WEIR_OK) call->error.code = code;
    return code;
}

int weir__lua_done(lua_State *L, weir_lua_call *call, int code) {
    int values = 1;
    if (code == WEIR_OK)
        lua_pushboolean(L, 1);
    else
        values = weir__lua_call_fail(L, call);
    weir__lua_settle(L, call);
    return values;
}

static int open_body(lua_State *L) {
    weir_lua_call *call = weir__lua_call(L);
    weir_options options;
    weir__lua_read_options(L, 2, &options);
    options.init_hook = lua_toboolean(L, 4);
    options.notice_hook = lua_toboolean(L, 5);
    options.circuit_hook = lua_toboolean(L, 6);
    weir_lua_pool *home = weir__lua_push_pool(L);
    int handle = lua_gettop(L);
    call = begin(L, home, handle);
    home->hooked = options.init_hook;
    home->noticed = options.notice_hook;
    home->codecs = options.codec_count > 0;
    int code = weir_reactor_new(&home->reactor, &call->error);
    if (code == WEIR_OK) {
        weir_reactor_attach(home->reactor);
        code = weir_pool_open(home->reactor, &options, NULL, &home->pool, &call->op, &call->error);
        code = weir__lua_outcome(L, call, code);
        weir__lua_settle(L, call);
    }
    if (code == WEIR_OK) {
        lua_pushvalue(L, handle);
        return 1;
    }
    int values = weir__lua_push_failure(L, call->done.error ? call->done.error : &call->error);
    weir__lua_pool_free(home);
    return values;
}

int weir__lua_open(lua_State *L) { return weir__lua_guard(L, open_body); }

static int pool_end(lua_State *L, bool drain) {
    weir_lua_call *call = begin_pool(L);
    int64_t grace = weir__lua_to_timeout(L, FIRST, "grace", true);
    int code =
        (drain ? weir_pool_drain : weir_pool_close)(call->home->pool, grace, NULL, &call->op, &call->error);
    return weir__lua_done(L, call, weir__lua_outcome(L, call, code));
}

static int close_body(lua_State *L) { return pool_end(L, false); }
static int drain_body(lua_State *L) { return pool_end(L, true); }

int weir__lua_pool_close(lua_State *L) { return weir__lua_guard(L, close_body); }
int weir__lua_pool_drain(lua_State *L) { return weir__lua_guard(L, drain_body); }

static int holders_body(lua_State *L) {
    weir_lua_call *call = begin_pool(L);
    size_t count;
    double age = lua_isnoneornil(L, FIRST)           ? 0
                 : lua_type(L, FIRST) == LUA_TNUMBER ? lua_tonumber(L, FIRST)
                                                     : -1;
    if (!(age >= 0 && age < 1e9)) weir__lua_misuse(L, "min_age must be seconds, 0 or more");
    int code =
        weir_pool_holders(call->home->pool, (int64_t)(age * 1000), &call->holders, &count, &call->error);
    if (code != WEIR_OK) return weir__lua_done(L, call, code);
    lua_createtable(L, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        weir__lua_push_holder(L, &call->holders[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
    weir__lua_settle(L, call);
    return 1;
}

int weir__lua_pool_holders(lua_State *L) { return weir__lua_guard(L, holders_body); }

static int health_body(lua_State *L) {
    weir_lua_call *call = begin_pool(L);
    weir_health health = {.struct_size = sizeof health};
    weir_pool *pool = call->home->pool;
    int code = WEIR_OK;
    if (lua_toboolean(L, FIRST)) {
        int64_t timeout = weir__lua_to_timeout(L, FIRST + 1, "timeout", false);
        code = weir_pool_check_health(pool, timeout, NULL, &call->op, &call->error);
        code = weir__lua_outcome(L, call, code);
    }
    if (code == WEIR_OK) code = weir_pool_health(pool, &health, &call->error);
    if (code != WEIR_OK) return weir__lua_done(L, call, code);
    weir__lua_push_health(L, &health);
    weir__lua_settle(L, call);
    return 1;
}

int weir__lua_pool_health(lua_State *L) { return weir__lua_guard(L, health_body); }

static int history_body(lua_State *L) {
    weir_lua_call *call = begin_pool(L);
    uint64_t after = 0;
    if (!lua_isnoneornil(L, FIRST)) after = (uint64_t)weir__lua_check_integer(L, FIRST, "after", INT64_MAX);
    weir_health_event event;
    lua_newtable(L);
    for (int n = 1; weir_pool_next_health_event(call->home->pool, &after, &event); n++) {
        weir__lua_push_health_event(L, &event);
        lua_rawseti(L, -2, n);
    }
    weir__lua_settle(L, call);
    return 1;
}

int weir__lua_health_history(lua_State *L) { return weir__lua_guard(L, history_body); }

static int sleep_body(lua_State *L) {
    weir_lua_call *call = begin_pool(L);
    int64_t ms = weir__lua_to_timeout(L, FIRST, "seconds", false);
    int code = weir_reactor_sleep(call->home->reactor, ms, NULL, &call->op, &call->error);
    return weir__lua_done(L, call, weir__lua_outcome(L, call, code));
}

int weir__lua_pool_sleep(lua_State *L) { return weir__lua_guard(L, sleep_body); }

/* Who asks: whoever waits keeps all coroutines waiting, so that none of them can give him what it has. */
static uint64_t owner_of(const weir_lua_pool *home) { return (uint64_t)(uintptr_t)home; }

/* … and where. */
static void set_where(lua_State *L, lua_Debug *frame, weir_checkout *checkout, weir_lua_session *session) {
    if (!weir__lua_caller(L, frame)) {
        snprintf(session->where, sizeof session->where, "an unknown place");
        return;
    }
    checkout->file = frame->short_src;
    bool main = strcmp(frame->what, "main") == 0;
    checkout->function = frame->name ? frame->name : main ? "main chunk" : "function";
    checkout->line = frame->currentline;
    snprintf(session->where, sizeof session->where, "%s:%d", frame->short_src, frame->currentline);
}

/* His whole stack, now and then: kept on Lua's. */
static void set_stack(lua_State *L, weir_pool *pool, weir_checkout *checkout) {
    if (!weir_pool_wants_stack(pool)) return;
    luaL_traceback(L, L, NULL, 0);
    checkout->stack = lua_tostring(L, -1);
}

static int acquire_body(lua_State *L) {
    weir_lua_call *call = begin_pool(L);
    weir_checkout checkout;
    weir_checkout_init(&checkout);
    checkout.transaction = lua_toboolean(L, FIRST);
    weir__lua_read_checkout(L, FIRST + 1, &checkout, checkout.transaction ? &checkout.begin : NULL,
                            !lua_isnoneornil(L, FIRST + 4));
    checkout.setup = lua_toboolean(L, FIRST + 2);
    checkout.call = lua_toboolean(L, FIRST + 3);
    weir__lua_retry_cut(L, FIRST + 4, &checkout.checkout_timeout_ms);
    /* made before the asking: nothing may fail between the grant and the owning */
    weir_lua_session *session = weir__lua_push_session(L, HANDLE);
    int handle = lua_gettop(L);
    lua_Debug frame;
    set_where(L, &frame, &checkout, session);
    set_stack(L, call->home->pool, &checkout);
    checkout.owner = owner_of(call->home);
    int code =
        weir_pool_acquire(call->home->pool, &checkout, NULL, &session->session, &call->op, &call->error);
    bool waits = code == WEIR_PENDING;
    code = weir__lua_outcome(L, call, code);
    if (code == WEIR_OK) {
        if (waits) session->session = call->done.session;
        call->done.session = (weir_session){0};
        session->out = true;
        weir__lua_settle(L, call);
        lua_pushvalue(L, handle);
        return 1;
    }
    return weir__lua_done(L, call, code);
}

int weir__lua_acquire(lua_State *L) { return weir__lua_guard(L, acquire_body); }

int weir__lua_rows(lua_State *L, weir_lua_call *call, int code, enum weir_lua_shape shape) {
    code = weir__lua_outcome(L, call, code);
    if (code != WEIR_OK) return weir__lua_done(L, call, code);
    int values = 1;
    if (call->done.result)
        values = weir__lua_push_result(L, call->done.result, shape, call->how.column);
    else
        lua_pushnil(L);
    weir__lua_settle(L, call);
    return values;
}

weir_run weir__lua_run(const weir_lua_call *call, enum weir_lua_shape shape) {
    weir_run run;
    weir_run_init(&run);
    run.timeout_ms = call->how.timeout_ms;
    run.readonly = call->how.readonly;
    run.owner = owner_of(call->home);
    run.script = shape == WEIR_LUA_SCRIPT;
    return run;
}

static unsigned known_by(enum weir_lua_shape shape, bool pool) {
    bool one = shape != WEIR_LUA_EXECUTEMANY && shape != WEIR_LUA_SCRIPT;
    return (shape == WEIR_LUA_FETCHVAL ? WEIR_LUA_COLUMN : 0) | (pool && one ? WEIR_LUA_READONLY : 0);
}

static int pool_execute_body(lua_State *L) {
    weir_lua_call *call = begin_pool(L);
    enum weir_lua_shape shape = (enum weir_lua_shape)lua_tointeger(L, FIRST);
    if (!weir__lua_build(L, call, FIRST + 1, shape, known_by(shape, true)))
        return weir__lua_call_fail(L, call);
    weir_run run = weir__lua_run(call, shape);
    int code = weir_pool_execute(call->home->pool, call->statement, &run, NULL, &call->op, &call->error);
    return weir__lua_rows(L, call, code, shape);
}

int weir__lua_pool_execute(lua_State *L) { return weir__lua_guard(L, pool_execute_body); }

static int pool_transaction_body(lua_State *L) {
    weir_lua_call *call = begin_pool(L);
    weir_transaction begin = {0};
    weir_run run;
    weir_run_init(&run);
    run.owner = owner_of(call->home);
    run.timeout_ms = weir__lua_read_transaction(L, FIRST + 1, &begin);
    if (!weir__lua_build_batch(L, call, FIRST)) return weir__lua_call_fail(L, call);
    int code =
        weir_pool_transaction(call->home->pool, call->batch, &begin, &run, NULL, &call->op, &call->error);
    code = weir__lua_outcome(L, call, code);
    if (code != WEIR_OK) return weir__lua_done(L, call, code);
    size_t count = weir_batch_size(call->batch);
    lua_createtable(L, (int)count, 0);
    int list = lua_gettop(L);
    for (size_t i = 0; i < count; i++) {
        int values = weir__lua_push_result(L, weir_batch_result(call->batch, i), WEIR_LUA_EITHER, 0);
        if (values > 1) return values; /* a failure, in reading it */
        lua_rawseti(L, list, (int)i + 1);
        lua_settop(L, list);
    }
    weir__lua_settle(L, call);
    lua_settop(L, list);
    return 1;
}

int weir__lua_pool_transaction(lua_State *L) { return weir__lua_guard(L, pool_transaction_body); }

static int session_execute_body(lua_State *L) {
    weir_lua_session *session = weir__lua_begin_session(L);
    weir_lua_call *call = weir__lua_call(L);
    enum weir_lua_shape shape = (enum weir_lua_shape)lua_tointeger(L, FIRST);
    if (!weir__lua_build(L, call, FIRST + 1, shape, known_by(shape, false)))
        return weir__lua_call_fail(L, call);
    weir_run run = weir__lua_run(call, shape);
    int code = weir_session_execute(session->session, call->statement, &run, NULL, &call->op, &call->error);
    return weir__lua_rows(L, call, code, shape);
}

int weir__lua_session_execute(lua_State *L) { return weir__lua_guard(L, session_execute_body); }

static int end_body(lua_State *L) {
    weir_lua_session *session = weir__lua_begin_session(L);
    weir_lua_call *call = weir__lua_call(L);
    int depth = (int)lua_tointeger(L, FIRST + 1);
    int code = lua_toboolean(L, FIRST)
                   ? weir_session_commit(session->session, depth, NULL, &call->op, &call->error)
                   : weir_session_rollback(session->session, depth, NULL, &call->op, &call->error);
    return weir__lua_done(L, call, weir__lua_outcome(L, call, code));
}

int weir__lua_session_end(lua_State *L) { return weir__lua_guard(L, end_body); }

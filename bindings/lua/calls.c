/* The functions that may wait. Each runs in a guard: the call's own things are at index 1, its arguments from
 * 2 on. */
#include <stdio.h>
#include <string.h>

#include "weir_lua.h"

enum { HANDLE = 2, HOST, FIRST }; /* of all but open */

static weir_lua_call *begin(lua_State *L, weir_lua_pool *home, int handle) {
    weir_lua_call *call = weir__lua_call(L);
    call->home = home;
    call->handle = handle;
    call->host = HOST;
    return call;
}

static weir_lua_call *begin_pool(lua_State *L) { return begin(L, weir__lua_to_pool(L, HANDLE), HANDLE); }

/* What a submission has returned; when it is under way, what became of it. */
static int outcome(lua_State *L, weir_lua_call *call, int code) {
    if (code == WEIR_PENDING) return weir__lua_wait(L, call);
    call->op = 0;
    if (code != WEIR_OK && call->error.code == WEIR_OK) call->error.code = code;
    return code;
}

/* The end of calls that have nothing to tell but success. */
static int done(lua_State *L, weir_lua_call *call, int code) {
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
    weir_lua_pool *home = weir__lua_push_pool(L);
    int handle = lua_gettop(L);
    call = begin(L, home, handle);
    home->hooked = options.init_hook;
    home->noticed = options.notice_hook;
    int code = weir_reactor_new(&home->reactor, &call->error);
    if (code == WEIR_OK) {
        weir_reactor_attach(home->reactor);
        code = weir_pool_open(home->reactor, &options, NULL, &home->pool, &call->op, &call->error);
        code = outcome(L, call, code);
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

static int close_body(lua_State *L) {
    weir_lua_call *call = begin_pool(L);
    int64_t grace = weir__lua_to_timeout(L, FIRST, "grace", true);
    int code = weir_pool_close(call->home->pool, grace, NULL, &call->op, &call->error);
    return done(L, call, outcome(L, call, code));
}

int weir__lua_pool_close(lua_State *L) { return weir__lua_guard(L, close_body); }

static int sleep_body(lua_State *L) {
    weir_lua_call *call = begin_pool(L);
    int64_t ms = weir__lua_to_timeout(L, FIRST, "seconds", false);
    int code = weir_reactor_sleep(call->home->reactor, ms, NULL, &call->op, &call->error);
    return done(L, call, outcome(L, call, code));
}

int weir__lua_pool_sleep(lua_State *L) { return weir__lua_guard(L, sleep_body); }

/* Who asks. */
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

static int acquire_body(lua_State *L) {
    weir_lua_call *call = begin_pool(L);
    weir_checkout checkout;
    weir_checkout_init(&checkout);
    checkout.transaction = lua_toboolean(L, FIRST);
    weir__lua_read_checkout(L, FIRST + 1, &checkout, checkout.transaction ? &checkout.begin : NULL);
    /* made before the asking: nothing may fail between the grant and the owning */
    weir_lua_session *session = weir__lua_push_session(L, HANDLE);
    int handle = lua_gettop(L);
    lua_Debug frame;
    set_where(L, &frame, &checkout, session);
    int code =
        weir_pool_acquire(call->home->pool, &checkout, NULL, &session->session, &call->op, &call->error);
    bool waits = code == WEIR_PENDING;
    code = outcome(L, call, code);
    if (code == WEIR_OK) {
        if (waits) session->session = call->done.session;
        call->done.session = (weir_session){0};
        session->out = true;
        weir__lua_settle(L, call);
        lua_pushvalue(L, handle);
        return 1;
    }
    return done(L, call, code);
}

int weir__lua_acquire(lua_State *L) { return weir__lua_guard(L, acquire_body); }

/* {text, timeout = seconds}, or {text = text, timeout = seconds}: leaves the text in the table's place. */
static int64_t read_statement(lua_State *L, int index) {
    int64_t timeout = WEIR_TIMEOUT_DEFAULT;
    int texts = 0;
    lua_pushnil(L);
    lua_pushnil(L);
    int text = lua_gettop(L) - 1;
    while (lua_next(L, index)) {
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
        bool first = lua_type(L, -2) == LUA_TNUMBER && lua_tonumber(L, -2) == 1;
        if (strcmp(name, "timeout") == 0)
            timeout = weir__lua_to_timeout(L, lua_gettop(L), name, false);
        else if ((!first && strcmp(name, "text") != 0) || texts++)
            weir__lua_misuse(L, "a statement with options is written {\"select …\", timeout = seconds}");
        else {
            lua_pushvalue(L, -1);
            lua_replace(L, text);
        }
        lua_pop(L, 1);
    }
    lua_replace(L, index);
    return timeout;
}

/* executemany's sets: a list of lists, which have a field n when they end with nil (table.pack makes such).
 */
static void add_sets(lua_State *L, int index, weir_statement *statement) {
    if (!lua_istable(L, index))
        weir__lua_misuse(L, "executemany: a list of lists of values is wanted, not a %s",
                         luaL_typename(L, index));
    weir_statement_no_sets(statement);
    int sets = (int)lua_rawlen(L, index);
    for (int set = 1; set <= sets; set++) {
        lua_rawgeti(L, index, set);
        if (!lua_istable(L, -1))
            weir__lua_misuse(L, "executemany: set %d is a %s, not a list of values", set,
                             luaL_typename(L, -1));
        int list = lua_gettop(L);
        int64_t count = 0;
        lua_getfield(L, list, "n");
        if (!weir__lua_to_integer(L, -1, &count)) count = (int64_t)lua_rawlen(L, list);
        weir_statement_add_set(statement);
        for (int n = 1; n <= count; n++) {
            lua_rawgeti(L, list, n);
            weir__lua_add(L, lua_gettop(L), statement, n);
            lua_pop(L, 1);
        }
        lua_settop(L, list - 1);
    }
}

/* The statement and its parameters, into the call. Returns its time-out. */
static int64_t build(lua_State *L, weir_lua_call *call, int index, enum weir_lua_shape shape) {
    int64_t timeout = lua_istable(L, index) ? read_statement(L, index) : WEIR_TIMEOUT_DEFAULT;
    if (lua_type(L, index) != LUA_TSTRING)
        weir__lua_misuse(L, "a statement's text is wanted, not a %s",
                         lua_isnone(L, index) ? "nil" : luaL_typename(L, index));
    size_t length;
    const char *text = lua_tolstring(L, index, &length);
    int top = lua_gettop(L);
    call->statement = weir_statement_new(text, length, &call->error);
    if (!call->statement) return timeout;
    luaL_checkstack(L, LUA_MINSTACK, NULL);
    if (shape == WEIR_LUA_EXECUTEMANY) {
        if (top != index + 1)
            weir__lua_misuse(L, "executemany takes a statement and a list of lists of values");
        add_sets(L, index + 1, call->statement);
    } else {
        for (int n = index + 1; n <= top; n++) weir__lua_add(L, n, call->statement, n - index);
    }
    return timeout;
}

/* After the submission. */
static int rows(lua_State *L, weir_lua_call *call, int code, enum weir_lua_shape shape) {
    if (outcome(L, call, code) != WEIR_OK)
        return done(L, call, call->done.error ? call->done.error->code : call->error.code);
    int values = 1;
    if (call->done.result)
        values = weir__lua_push_result(L, call->done.result, shape);
    else
        lua_pushnil(L);
    weir__lua_settle(L, call);
    return values;
}

static int pool_execute_body(lua_State *L) {
    weir_lua_call *call = begin_pool(L);
    enum weir_lua_shape shape = (enum weir_lua_shape)lua_tointeger(L, FIRST);
    weir_run run;
    weir_run_init(&run);
    run.timeout_ms = build(L, call, FIRST + 1, shape);
    if (!call->statement) return weir__lua_call_fail(L, call);
    int code = weir_pool_execute(call->home->pool, call->statement, &run, NULL, &call->op, &call->error);
    return rows(L, call, code, shape);
}

int weir__lua_pool_execute(lua_State *L) { return weir__lua_guard(L, pool_execute_body); }

/* The statements, each a text or a list of a text and its parameters, into the call's batch. */
static bool build_batch(lua_State *L, weir_lua_call *call, int index) {
    if (!lua_istable(L, index))
        weir__lua_misuse(L, "transaction: a list of statements is wanted, not a %s", luaL_typename(L, index));
    int count = (int)lua_rawlen(L, index), top = lua_gettop(L);
    call->batch = weir_batch_new();
    bool well = call->batch;
    if (!well) call->error.code = WEIR_ENOMEM;
    for (int i = 1; well && i <= count; i++, lua_settop(L, top)) {
        lua_rawgeti(L, index, i);
        int64_t parts = 1, n;
        if (lua_istable(L, -1)) {
            int list = lua_gettop(L);
            lua_getfield(L, list, "n");
            parts = weir__lua_to_integer(L, -1, &n) ? n : (int64_t)lua_rawlen(L, list);
            lua_pop(L, 1);
            luaL_checkstack(L, (int)(parts < 70000 ? parts : 70000) + LUA_MINSTACK, "too many parameters");
            for (int part = 1; part <= parts && part < 70000; part++) lua_rawgeti(L, list, part);
            lua_remove(L, list);
        }
        if (parts < 1 || lua_type(L, top + 1) != LUA_TSTRING)
            weir__lua_misuse(
                L, "transaction: statement %d is no text, nor a list of a text and its parameters", i);
        build(L, call, top + 1, WEIR_LUA_EITHER);
        well = call->statement && weir_batch_add(call->batch, call->statement, &call->error) == WEIR_OK;
        weir_statement_unref(call->statement);
        call->statement = NULL;
    }
    return well;
}

static int pool_transaction_body(lua_State *L) {
    weir_lua_call *call = begin_pool(L);
    weir_transaction begin = {0};
    weir_run run;
    weir_run_init(&run);
    run.timeout_ms = weir__lua_read_transaction(L, FIRST + 1, &begin);
    if (!build_batch(L, call, FIRST)) return weir__lua_call_fail(L, call);
    int code =
        weir_pool_transaction(call->home->pool, call->batch, &begin, &run, NULL, &call->op, &call->error);
    code = outcome(L, call, code);
    if (code != WEIR_OK) return done(L, call, code);
    size_t count = weir_batch_size(call->batch);
    lua_createtable(L, (int)count, 0);
    int list = lua_gettop(L);
    for (size_t i = 0; i < count; i++) {
        int values = weir__lua_push_result(L, weir_batch_result(call->batch, i), WEIR_LUA_EITHER);
        if (values > 1) return values; /* a failure, in reading it */
        lua_rawseti(L, list, (int)i + 1);
        lua_settop(L, list);
    }
    weir__lua_settle(L, call);
    lua_settop(L, list);
    return 1;
}

int weir__lua_pool_transaction(lua_State *L) { return weir__lua_guard(L, pool_transaction_body); }

static weir_lua_session *begin_session(lua_State *L) {
    weir_lua_session *session = weir__lua_to_session(L, HANDLE);
    begin(L, session->home, HANDLE);
    return session;
}

static int session_execute_body(lua_State *L) {
    weir_lua_session *session = begin_session(L);
    weir_lua_call *call = weir__lua_call(L);
    enum weir_lua_shape shape = (enum weir_lua_shape)lua_tointeger(L, FIRST);
    weir_run run;
    weir_run_init(&run);
    run.timeout_ms = build(L, call, FIRST + 1, shape);
    if (!call->statement) return weir__lua_call_fail(L, call);
    int code = weir_session_execute(session->session, call->statement, &run, NULL, &call->op, &call->error);
    return rows(L, call, code, shape);
}

int weir__lua_session_execute(lua_State *L) { return weir__lua_guard(L, session_execute_body); }

static int end_body(lua_State *L) {
    weir_lua_session *session = begin_session(L);
    weir_lua_call *call = weir__lua_call(L);
    int depth = (int)lua_tointeger(L, FIRST + 1);
    int code = lua_toboolean(L, FIRST)
                   ? weir_session_commit(session->session, depth, NULL, &call->op, &call->error)
                   : weir_session_rollback(session->session, depth, NULL, &call->op, &call->error);
    return done(L, call, outcome(L, call, code));
}

int weir__lua_session_end(lua_State *L) { return weir__lua_guard(L, end_body); }

/* ---- listeners */

static const char *channel_name(lua_State *L, int index) {
    if (lua_type(L, index) != LUA_TSTRING)
        weir__lua_misuse(L, "a channel's name must be a string, not a %s", luaL_typename(L, index));
    const char *name = lua_tostring(L, index);
    if (strlen(name) != lua_rawlen(L, index)) weir__lua_misuse(L, "a NUL is not allowed in a channel's name");
    return name;
}

/* A string, or a list of strings, as a vector in a userdata, which is left on the stack. */
static const char *const *read_channels(lua_State *L, int index, size_t *count) {
    bool list = lua_istable(L, index);
    *count = list ? lua_rawlen(L, index) : 1;
    const char **names = lua_newuserdata(L, (*count + 1) * sizeof *names);
    if (!list) names[0] = channel_name(L, index);
    for (size_t i = 0; list && i < *count; i++) {
        lua_rawgeti(L, index, (int)i + 1);
        names[i] = channel_name(L, lua_gettop(L)); /* which the table keeps */
        lua_pop(L, 1);
    }
    return names;
}

/* What a call on a listener has come to, once the server has confirmed what was asked for. */
static int confirmed(lua_State *L, weir_lua_call *call, weir_listener listener) {
    return outcome(L, call, weir_listener_confirm(listener, NULL, &call->op, &call->error));
}

static int listen_body(lua_State *L) {
    weir_lua_call *call = begin_pool(L);
    weir_listen how;
    size_t count;
    weir__lua_read_listen(L, FIRST + 1, &how);
    const char *const *names = read_channels(L, FIRST, &count);
    weir_lua_listener *listener = weir__lua_push_listener(L, HANDLE);
    int handle = lua_gettop(L);
    int code = weir_pool_listen(call->home->pool, names, count, &how, &call->opening, &call->error);
    if (code == WEIR_OK) code = confirmed(L, call, call->opening);
    if (code != WEIR_OK) return done(L, call, code);
    listener->listener = call->opening;
    listener->open = true;
    call->opening = (weir_listener){0};
    weir__lua_settle(L, call);
    lua_pushvalue(L, handle);
    return 1;
}

int weir__lua_listen(lua_State *L) { return weir__lua_guard(L, listen_body); }

static weir_listener begin_listener(lua_State *L) {
    weir_lua_listener *listener = weir__lua_to_listener(L, HANDLE);
    begin(L, listener->home, HANDLE);
    return listener->listener;
}

static int change_body(lua_State *L) {
    weir_listener listener = begin_listener(L);
    weir_lua_call *call = weir__lua_call(L);
    const char *name = channel_name(L, FIRST);
    int code = lua_toboolean(L, FIRST + 1) ? weir_listener_add(listener, name, &call->error)
                                           : weir_listener_remove(listener, name, &call->error);
    return done(L, call, code == WEIR_OK ? confirmed(L, call, listener) : code);
}

int weir__lua_listener_change(lua_State *L) { return weir__lua_guard(L, change_body); }

static int push_notification(lua_State *L, const weir_notification *n) {
    lua_createtable(L, 0, 3);
    if (n->channel) {
        weir__lua_set_text(L, "channel", n->channel);
        weir__lua_set_text(L, "payload", n->payload);
        lua_pushinteger(L, n->backend);
        lua_setfield(L, -2, "pid");
        return 1;
    }
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, "gap");
    weir__lua_push_integer(L, (int64_t)n->reconnected);
    lua_setfield(L, -2, "reconnected");
    weir__lua_push_integer(L, (int64_t)n->dropped);
    lua_setfield(L, -2, "dropped");
    return 1;
}

static int get_body(lua_State *L) {
    weir_listener listener = begin_listener(L);
    weir_lua_call *call = weir__lua_call(L);
    int64_t timeout = weir__lua_to_timeout(L, FIRST, "timeout", false);
    while (!call->notification) { /* the host function may take one, too */
        int code = weir_listener_wait(listener, timeout, NULL, &call->op, &call->error);
        code = outcome(L, call, code);
        weir__lua_settle(L, call);
        if (code == WEIR_ETIMEOUT) {
            lua_pushnil(L);
            lua_pushliteral(L, "timeout");
            return 2;
        }
        if (code == WEIR_OK) code = weir_listener_take(listener, &call->notification, &call->error);
        if (code != WEIR_OK) return weir__lua_call_fail(L, call);
    }
    return push_notification(L, call->notification);
}

int weir__lua_listener_get(lua_State *L) { return weir__lua_guard(L, get_body); }

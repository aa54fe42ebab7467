/* Listeners. */
#include <string.h>

#include "weir_lua.h"

#define LISTENER "listener"
enum { FIRST = WEIR_LUA_FIRST };

typedef struct listener {
    weir_listener listener;
    weir_lua_pool *home; /* kept in memory by the userdata's user value */
    bool open;           /* not yet closed */
} listener;

/* ---- handles */

static void end(listener *handle) {
    if (handle->open && handle->home->pool) weir_listener_close(handle->listener);
    handle->open = false;
}

static int listener_gc(lua_State *L) {
    end(lua_touserdata(L, 1));
    return 0;
}

static listener *to_listener(lua_State *L, int index) {
    listener *handle = weir__lua_test(L, index, LISTENER);
    if (!handle)
        weir__lua_misuse(
            L, "a listener is wanted here; its methods are called with a colon, as in listener:get(…)");
    return handle;
}

int weir__lua_listener_close(lua_State *L) {
    end(to_listener(L, 1));
    return 0;
}

static weir_listener begin_listener(lua_State *L) {
    weir_lua_call *call = weir__lua_call(L);
    listener *handle = to_listener(L, WEIR_LUA_HANDLE);
    if (!handle->open || !handle->home->pool) weir__lua_misuse(L, "the listener has been closed");
    call->home = handle->home;
    call->handle = WEIR_LUA_HANDLE;
    call->host = WEIR_LUA_HOST;
    return handle->listener;
}

/* ---- channels */

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
    return weir__lua_outcome(L, call, weir_listener_confirm(listener, NULL, &call->op, &call->error));
}

static int listen_body(lua_State *L) {
    weir_lua_call *call = weir__lua_begin(L);
    weir_listen how;
    size_t count;
    weir__lua_read_listen(L, FIRST + 1, &how);
    const char *const *names = read_channels(L, FIRST, &count);
    listener *handle = lua_newuserdata(L, sizeof *handle);
    int index = lua_gettop(L);
    memset(handle, 0, sizeof *handle);
    handle->home = call->home;
    weir__lua_set_metatable(L, LISTENER, listener_gc);
    weir__lua_keep(L, WEIR_LUA_HANDLE);
    int code = weir_pool_listen(call->home->pool, names, count, &how, &call->opening, &call->error);
    if (code == WEIR_OK) code = confirmed(L, call, call->opening);
    if (code != WEIR_OK) return weir__lua_done(L, call, code);
    handle->listener = call->opening;
    handle->open = true;
    call->opening = (weir_listener){0};
    weir__lua_settle(L, call);
    lua_pushvalue(L, index);
    return 1;
}

int weir__lua_listen(lua_State *L) { return weir__lua_guard(L, listen_body); }

static int change_body(lua_State *L) {
    weir_listener listener = begin_listener(L);
    weir_lua_call *call = weir__lua_call(L);
    const char *name = channel_name(L, FIRST);
    int code = lua_toboolean(L, FIRST + 1) ? weir_listener_add(listener, name, &call->error)
                                           : weir_listener_remove(listener, name, &call->error);
    return weir__lua_done(L, call, code == WEIR_OK ? confirmed(L, call, listener) : code);
}

int weir__lua_listener_change(lua_State *L) { return weir__lua_guard(L, change_body); }

/* ---- notifications */

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
        code = weir__lua_outcome(L, call, code);
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

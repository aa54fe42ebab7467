/* Metrics as text. */
#include "weir_lua.h"

static int render_body(lua_State *L) {
    weir_lua_call *call = weir__lua_call(L);
    weir_pool *pool = NULL;
    const char *format, *names;
    size_t length;
    lua_settop(L, 3);
    if (!lua_isnil(L, 2)) pool = weir__lua_to_pool(L, 2)->pool;
    weir__lua_read_metrics(L, 3, &format, &names);
    if (pool) weir_reactor_dispatch(weir__lua_to_pool(L, 2)->reactor);
    int code = weir_metrics_render(pool ? &pool : NULL, pool != NULL, format, names, &call->text, &length,
                                   &call->error);
    if (code != WEIR_OK) return weir__lua_call_fail(L, call);
    lua_pushlstring(L, call->text, length);
    return 1;
}

int weir__lua_metrics_render(lua_State *L) { return weir__lua_guard(L, render_body); }

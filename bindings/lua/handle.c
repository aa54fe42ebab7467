/* Handles: of a pool with its reactor, of a session; and what all userdata of this module have alike. */
#include <string.h>

#include "weir_lua.h"

#define POOL "pool"

void *weir__lua_test(lua_State *L, int index, const char *name) {
    if (lua_type(L, index) != LUA_TUSERDATA || !lua_getmetatable(L, index)) return NULL;
    weir__lua_push_metatable(L, name);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same ? lua_touserdata(L, index) : NULL;
}

weir_lua_pool *weir__lua_to_pool(lua_State *L, int index) {
    weir_lua_pool *home = weir__lua_test(L, index, POOL);
    if (!home || !home->pool)
        weir__lua_misuse(L,
                         "a pool is wanted here; its methods are called with a colon, as in pool:fetch(…)");
    return home;
}

weir_lua_session *weir__lua_to_session(lua_State *L, int index) {
    weir_lua_session *session = weir__lua_test(L, index, WEIR_LUA_SESSION);
    if (!session)
        weir__lua_misuse(
            L, "a session is wanted here; its methods are called with a colon, as in session:fetch(…)");
    else if (!session->out || !session->home->pool)
        weir__lua_misuse(L, "the session has been returned to its pool");
    return session;
}

weir_lua_pool *weir__lua_to_home(lua_State *L, int index) {
    weir_lua_session *session = weir__lua_test(L, index, WEIR_LUA_SESSION);
    return session ? session->home : weir__lua_to_pool(L, index);
}

void weir__lua_pool_free(weir_lua_pool *home) {
    weir_pool_free(home->pool);
    weir_reactor_free(home->reactor);
    home->pool = NULL;
    home->reactor = NULL;
}

static int pool_gc(lua_State *L) {
    weir_lua_pool *home = lua_touserdata(L, 1);
    if (home) weir__lua_pool_free(home);
    return 0;
}

/* Collected without having been returned. The pool's handle is still in memory, but may have been finalised
 * before. */
static int session_gc(lua_State *L) {
    weir_lua_session *session = lua_touserdata(L, 1);
    if (!session || !session->out) return 0;
    session->out = false;
    if (session->home->pool && weir_session_release(session->session) == WEIR_OK) {
        session->home->collected++;
        memcpy(session->home->collected_at, session->where, sizeof session->where);
    }
    return 0;
}

void weir__lua_set_metatable(lua_State *L, const char *name, lua_CFunction gc) {
    weir__lua_push_metatable(L, name);
    lua_getfield(L, -1, "__gc");
    if (lua_isnil(L, -1)) {
        lua_pushcfunction(L, gc);
        lua_setfield(L, -3, "__gc");
        lua_pushfstring(L, "weirpool.%s", name);
        lua_setfield(L, -3, "__metatable");
    }
    lua_pop(L, 1);
    lua_setmetatable(L, -2);
}

void weir__lua_keep(lua_State *L, int index) {
#if LUA_VERSION_NUM >= 503
    lua_pushvalue(L, index);
#else
    lua_createtable(L, 1, 0);
    lua_pushvalue(L, index);
    lua_rawseti(L, -2, 1);
#endif
#if LUA_VERSION_NUM >= 504
    lua_setiuservalue(L, -2, 1);
#elif LUA_VERSION_NUM >= 502
    lua_setuservalue(L, -2);
#else
    lua_setfenv(L, -2);
#endif
}

weir_lua_pool *weir__lua_push_pool(lua_State *L) {
    weir_lua_pool *home = lua_newuserdata(L, sizeof *home);
    memset(home, 0, sizeof *home);
    weir__lua_set_metatable(L, POOL, pool_gc);
    return home;
}

weir_lua_session *weir__lua_push_session(lua_State *L, int pool) {
    weir_lua_session *other = weir__lua_test(L, pool, WEIR_LUA_SESSION);
    weir_lua_session *session = lua_newuserdata(L, sizeof *session);
    memset(session, 0, sizeof *session);
    session->home = other ? other->home : lua_touserdata(L, pool);
    weir__lua_set_metatable(L, WEIR_LUA_SESSION, session_gc);
    weir__lua_keep(L, pool); /* a session keeps its pool */
    return session;
}

int weir__lua_session_return(lua_State *L) {
    weir_lua_session *session = weir__lua_test(L, 1, WEIR_LUA_SESSION);
    if (!session)
        return weir__lua_misuse(
            L, "a session is wanted here; its methods are called with a colon, as in s:close()");
    bool out = session->out;
    session->out = false;
    if (out && session->home->pool) {
        if (lua_type(L, 3) == LUA_TSTRING)
            weir_session_init_failed(session->session, lua_tostring(L, 3));
        else if (lua_toboolean(L, 2))
            weir_session_discard(session->session);
        else
            weir_session_release(session->session);
    }
    lua_pushboolean(L, out);
    return 1;
}

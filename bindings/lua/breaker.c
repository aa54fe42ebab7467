/* Circuit breakers: one that stands alone, or, without memory of its own, one of a pool's. */
#include <string.h>

#include "weir_lua.h"

#define BREAKER "breaker"
#define PERMIT "permit"

typedef struct weir_lua_breaker {
    weir_breaker *own;   /* NULL: it is the pool's */
    weir_lua_pool *home; /* kept in memory by the userdata's user value */
    weir_breaker_role role;
} weir_lua_breaker;

/* NULL: it is finalised, or its pool is. */
static weir_breaker *handle_of(const weir_lua_breaker *breaker) {
    bool of_pool = !breaker->own && breaker->home && breaker->home->pool;
    return of_pool ? weir_pool_breaker(breaker->home->pool, 0, breaker->role) : breaker->own;
}

weir_breaker *weir__lua_to_breaker(lua_State *L, int index) {
    weir_lua_breaker *breaker = weir__lua_test(L, index, BREAKER);
    weir_breaker *handle = breaker ? handle_of(breaker) : NULL;
    if (!handle)
        weir__lua_misuse(
            L, "a breaker is wanted here; its methods are called with a colon, as in breaker:call(fn)");
    return handle;
}

static int breaker_gc(lua_State *L) {
    weir_lua_breaker *breaker = lua_touserdata(L, 1);
    if (!breaker) return 0;
    weir_breaker_free(breaker->own);
    breaker->own = NULL;
    return 0;
}

typedef struct weir_lua_permit {
    weir_permit permit;
    weir_lua_breaker
        *breaker; /* kept in memory by the userdata's user value, but it may be finalised before */
} weir_lua_permit;

/* What is to be recorded by a coroutine that nobody resumes any more is so never. */
static int permit_gc(lua_State *L) {
    weir_lua_permit *held = lua_touserdata(L, 1);
    if (!held || !held->breaker) return 0;
    weir_breaker *breaker = handle_of(held->breaker);
    if (breaker) weir_breaker_cancel(breaker, &held->permit);
    return 0;
}

static weir_lua_breaker *push(lua_State *L) {
    weir_lua_breaker *breaker = lua_newuserdata(L, sizeof *breaker);
    memset(breaker, 0, sizeof *breaker);
    weir__lua_set_metatable(L, BREAKER, breaker_gc);
    return breaker;
}

int weir__lua_breaker_new(lua_State *L) {
    weir_breaker_options options;
    weir_error error = WEIR_ERROR_INIT;
    lua_settop(L, 1);
    weir__lua_read_breaker_options(L, 1, &options);
    weir_lua_breaker *breaker = push(L);
    if (weir_breaker_new(&options, &breaker->own, &error) != WEIR_OK) return weir__lua_fail(L, &error);
    return 1;
}

int weir__lua_pool_breaker(lua_State *L) {
    weir_lua_pool *home = weir__lua_to_pool(L, 1);
    bool queries = lua_toboolean(L, 2);
    weir_lua_breaker *breaker = push(L);
    breaker->home = home;
    breaker->role = queries ? WEIR_BREAKER_QUERIES : WEIR_BREAKER_CONNECTS;
    weir__lua_keep(L, 1);
    return 1;
}

/* ---- calls */

int weir__lua_breaker_acquire(lua_State *L) {
    weir_breaker *breaker = weir__lua_to_breaker(L, 1);
    weir_error error = WEIR_ERROR_INIT;
    weir_lua_permit *held = lua_newuserdata(L, sizeof *held);
    memset(held, 0, sizeof *held);
    weir__lua_set_metatable(L, PERMIT, permit_gc);
    weir__lua_keep(L, 1);
    held->breaker = lua_touserdata(L, 1);
    if (weir_breaker_acquire(breaker, &held->permit, &error) != WEIR_OK) return weir__lua_fail(L, &error);
    return 1;
}

static weir_permit *to_permit(lua_State *L, int index) {
    weir_lua_permit *held = weir__lua_test(L, index, PERMIT);
    if (!held) weir__lua_misuse(L, "a permit is wanted here, as breaker:acquire() gives it");
    return &held->permit;
}

/* The error of an error object of this module, or of anything else, whose type stands for it. Its message
 * stays on the stack. */
static void read_failure(lua_State *L, int index, weir_error *error) {
    if (lua_istable(L, index) && weir__lua_has_metatable(L, index, "error")) {
        weir__lua_read_error(L, index, error);
        lua_getfield(L, index, "message");
    } else {
        lua_pushfstring(L, "a Lua error (%s)", luaL_typename(L, index));
    }
    error->message = lua_tostring(L, -1);
}

weir_verdict weir__lua_verdict(lua_State *L, int index) {
    if (!lua_isboolean(L, index)) return WEIR_VERDICT_NONE;
    return lua_toboolean(L, index) ? WEIR_VERDICT_RECORD : WEIR_VERDICT_IGNORE;
}

int weir__lua_breaker_record(lua_State *L) {
    weir_breaker *breaker = weir__lua_to_breaker(L, 1);
    weir_permit *permit = to_permit(L, 2);
    weir_error error = WEIR_ERROR_INIT;
    lua_settop(L, 4);
    const weir_error *why = lua_isnil(L, 3) ? NULL : &error;
    if (why) read_failure(L, 3, &error);
    weir_outcome outcome = weir_breaker_classify(breaker, why, weir__lua_verdict(L, 4));
    weir_breaker_record(breaker, permit, outcome, -1, why);
    return 0;
}

int weir__lua_breaker_cancel(lua_State *L) {
    weir_breaker *breaker = weir__lua_to_breaker(L, 1);
    weir_breaker_cancel(breaker, to_permit(L, 2));
    return 0;
}

/* ---- events */

static void push_event(lua_State *L, const weir_breaker_event *event) {
    lua_createtable(L, 0, 7);
    weir__lua_push_integer(L, (int64_t)event->number);
    lua_setfield(L, -2, "number");
    weir__lua_set_text(L, "kind", weir_breaker_event_name(event->kind));
    weir__lua_set_text(L, "before", weir_breaker_state_name(event->before));
    weir__lua_set_text(L, "state", weir_breaker_state_name(event->state));
    weir__lua_set_text(L, "reason", weir_breaker_reason_name(event->reason));
    lua_pushnumber(L, (lua_Number)(weir_now_ns() - event->at_ns) / 1e9);
    lua_setfield(L, -2, "age");
    if (event->duration_ns < 0) return;
    lua_pushnumber(L, (lua_Number)event->duration_ns / 1e9);
    lua_setfield(L, -2, "duration");
}

int weir__lua_breaker_events(lua_State *L) {
    weir_breaker *breaker = weir__lua_to_breaker(L, 1);
    uint64_t after = 0;
    if (!lua_isnoneornil(L, 2)) after = (uint64_t)weir__lua_check_integer(L, 2, "after", INT64_MAX);
    weir_breaker_event event;
    lua_settop(L, 2);
    lua_newtable(L);
    for (int n = 1; weir_breaker_next_event(breaker, &after, &event); n++) {
        push_event(L, &event);
        lua_rawseti(L, 3, n);
    }
    return 1;
}

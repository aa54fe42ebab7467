/*
 * Lua's side of the interface: flat functions, out of which lua/weirpool makes the methods. What may wait is
 * hand-written (calls.c); the rest of C's functions come through the typemaps here. SWIG's own are wrong for
 * integers (each goes through a double) and take nil for any pointer.
 */
%runtime %{
#undef SWIG_LUA_MODULE_GLOBAL /* leave no global behind */
%}
%{
#include <limits.h>

#include "weir_lua.h"
%}

/* ---- what Lua has other shapes for, or no use */
%rename(value_type) weir_type; /* `type` and `function` are Lua's own */
%rename(caller) weir_checkout::function;
%rename("$ignore", %$isclass) "";
%ignore weir_error_clear;
%ignore weir_error_free;
%ignore weir_options_init;
%ignore weir_options_set;
%ignore weir_options_set_text;
%ignore weir_options_check;
%rename("$ignore", regextarget=1) "^weir_(statement_(new|add|place|no_sets|ref|unref)|result_)"; /* statement.c, rows.c */
%rename(fingerprint) weir_statement_fingerprint;
%ignore weir_completion_discard;
%ignore weir_reactor_new;
%ignore weir_reactor_free;
%ignore weir_reactor_attach;
%ignore weir_reactor_next;
%ignore weir_reactor_next_log;
%ignore weir_reactor_wait;
%ignore weir_reactor_cancel;
%ignore weir_reactor_sleep;
%ignore weir_pool_open;
%ignore weir_pool_close;
%ignore weir_pool_drain;
%ignore weir_pool_free;
%ignore weir_pool_reactor;
%ignore weir_checkout_init;
%ignore weir_pool_acquire;
%ignore weir_pool_execute;
%rename("$ignore", regextarget=1) "^weir_breaker_(new|free|acquire|probe|record|cancel|classify|options_|next_event|last_event)";
%rename("$ignore", regextarget=1) "^weir_breaker_(state|event|reason)_name$";
%ignore weir_pool_breaker;
%ignore weir_pool_holders;
%ignore weir_holders_free;
%rename("$ignore", regextarget=1) "^weir_(pool_(alerts|next_alert|last_alert|slow_statements|history)|alerts_free|slow_statements_free|history_free)$";
%ignore weir_pool_wants_stack;
%ignore weir_metrics_render;
%ignore weir_metrics_free;
%ignore weir_session_release_unused;
%ignore weir_session_release;
%ignore weir_session_discard;
%ignore weir_session_init_failed;
%ignore weir_session_execute;
%ignore weir_session_limit;
%ignore weir_session_watch;
%ignore weir_session_commit;
%ignore weir_session_rollback;

/* ---- the hand-written functions */
%native(open) int weir__lua_open(lua_State *L);
%native(pool_close) int weir__lua_pool_close(lua_State *L);
%native(pool_drain) int weir__lua_pool_drain(lua_State *L);
%native(pool_acquire) int weir__lua_acquire(lua_State *L);
%native(pool_execute) int weir__lua_pool_execute(lua_State *L);
%native(session_execute) int weir__lua_session_execute(lua_State *L);
%native(session_end) int weir__lua_session_end(lua_State *L);
%native(session_return) int weir__lua_session_return(lua_State *L);
%native(pool_transaction) int weir__lua_pool_transaction(lua_State *L);
%native(flow_new) int weir__lua_flow_new(lua_State *L);
%native(flow_next) int weir__lua_flow_next(lua_State *L);
%native(flow_close) int weir__lua_flow_close(lua_State *L);
%native(copy_in) int weir__lua_copy_in(lua_State *L);
%native(copy_put) int weir__lua_copy_put(lua_State *L);
%native(copy_end) int weir__lua_copy_end(lua_State *L);
%native(copy_abort) int weir__lua_copy_abort(lua_State *L);
%native(copy_rows) int weir__lua_copy_rows(lua_State *L);
%native(copy_encode) int weir__lua_copy_encode(lua_State *L);
%native(answer_new) int weir__lua_answer_new(lua_State *L);
%native(answer_wait) int weir__lua_answer_wait(lua_State *L);
%native(answer_take) int weir__lua_answer_take(lua_State *L);
%native(answer_cut) int weir__lua_answer_cut(lua_State *L);
%native(metrics_render) int weir__lua_metrics_render(lua_State *L);
%native(pool_holders) int weir__lua_pool_holders(lua_State *L);
%native(pool_health) int weir__lua_pool_health(lua_State *L);
%native(health_history) int weir__lua_health_history(lua_State *L);
%native(pool_alerts) int weir__lua_pool_alerts(lua_State *L);
%native(pool_slow_queries) int weir__lua_pool_slow_queries(lua_State *L);
%native(pool_history) int weir__lua_pool_history(lua_State *L);
%native(pool_sleep) int weir__lua_pool_sleep(lua_State *L);
%native(listen) int weir__lua_listen(lua_State *L);
%native(listener_change) int weir__lua_listener_change(lua_State *L);
%native(listener_get) int weir__lua_listener_get(lua_State *L);
%native(listener_close) int weir__lua_listener_close(lua_State *L);
%native(breaker_new) int weir__lua_breaker_new(lua_State *L);
%native(pool_breaker) int weir__lua_pool_breaker(lua_State *L);
%native(breaker_acquire) int weir__lua_breaker_acquire(lua_State *L);
%native(breaker_record) int weir__lua_breaker_record(lua_State *L);
%native(breaker_cancel) int weir__lua_breaker_cancel(lua_State *L);
%native(breaker_events) int weir__lua_breaker_events(lua_State *L);
%native(retry_new) int weir__lua_retry_new(lua_State *L);
%native(retry_left) int weir__lua_retry_left(lua_State *L);
%native(retry_admit) int weir__lua_retry_admit(lua_State *L);
%native(retry_next) int weir__lua_retry_next(lua_State *L);
%native(retry_note) int weir__lua_retry_note(lua_State *L);
%native(null) int weir__lua_null(lua_State *L);
%native(metatable) int weir__lua_metatable(lua_State *L);
%native(misuse) int weir__lua_raise(lua_State *L);
%native(own) int weir__lua_own(lua_State *L);

/* ---- integers keep their 64 bits */
%typemap(in) int, enum SWIGTYPE "$1 = ($1_ltype)weir__lua_check_integer(L, $input, \"$1_name\", INT_MAX);"
%typemap(in) int min_size, int max_size
    "$1 = lua_isnil(L, $input) ? WEIR_SIZE_KEEP : (int)weir__lua_check_integer(L, $input, \"$1_name\", INT_MAX);"
%typemap(in) unsigned, long, int64_t, uint64_t, size_t
    "$1 = ($1_ltype)weir__lua_check_integer(L, $input, \"$1_name\", INT64_MAX);"
%typemap(out) int, unsigned, long, int64_t, uint64_t, size_t, enum SWIGTYPE
    "weir__lua_push_integer(L, (int64_t)$1); SWIG_arg++;"
%typemap(in, checkfn="lua_isstring") const char * "$1 = ($1_ltype)lua_tostring(L, $input);" /* no nil */

/* ---- SQL, and what is written of it */
%typemap(in) (const char *sql, size_t length) {
    if (lua_type(L, $input) != LUA_TSTRING)
        weir__lua_misuse(L, "$symname: a string of SQL is wanted, not a %s", luaL_typename(L, $input));
    $1 = ($1_ltype)lua_tolstring(L, $input, &$2);
}
%typemap(in, numinputs=0) (char *out, size_t size) (char text[WEIR_FINGERPRINT_SIZE]) {
    $1 = text;
    $2 = sizeof text;
}
%typemap(out) size_t weir_statement_fingerprint "lua_pushlstring(L, arg3, $1); SWIG_arg++;"

/* ---- handles: a pool stands for its reactor too */
%typemap(in) weir_pool *, const weir_pool * "$1 = weir__lua_to_pool(L, $input)->pool;"
%typemap(in) weir_reactor *, const weir_reactor * "$1 = weir__lua_to_pool(L, $input)->reactor;"
%typemap(in) weir_breaker *, const weir_breaker * "$1 = weir__lua_to_breaker(L, $input);"
%typemap(in, numinputs=0) size_t endpoint "$1 = 0;"
%typemap(out) weir_breaker_state "lua_pushstring(L, weir_breaker_state_name($1)); SWIG_arg++;"
%typemap(in) weir_session "$1 = weir__lua_to_session(L, $input)->session;"
%typemap(check) SWIGTYPE * {
    if (!$1)
        weir__lua_misuse(L, "argument $argnum of $symname: nothing where $1_type is wanted");
}

/* ---- errors: nil, err, sqlstate. The parameter is the last one, so this comes after the other results. */
%typemap(in, numinputs=0) weir_error *error (weir_error error = WEIR_ERROR_INIT) "$1 = &error;"
%typemap(argout) weir_error *error {
    if (result != WEIR_OK) {
        $1->code = result;
        lua_pop(L, SWIG_arg);
        SWIG_arg = weir__lua_fail(L, $1);
    }
}
%typemap(out) int weir_pool_resize, int weir_pool_expire, int weir_reactor_dispatch, int weir_session_pipeline,
    int weir_session_ready
    "lua_pushboolean(L, $1 == WEIR_OK); SWIG_arg++;"

/* ---- structs that are filled in: a table each, or nothing past the end of a table of the core */
%typemap(out) int weir_pool_snapshot, int weir_session_begin, int weir_session_inspect, bool weir_error_table,
    bool weir_option_table, bool weir_metric_table, bool weir_breaker_option_table, bool weir_breaker_metric_table,
    int weir_breaker_take_snapshot, int weir_pool_option ""
%typemap(in, numinputs=0) weir_breaker_snapshot *out (weir_breaker_snapshot snapshot) {
    snapshot.struct_size = sizeof snapshot;
    $1 = &snapshot;
}
%typemap(argout) weir_breaker_snapshot *out {
    if (result == WEIR_OK) {
        weir__lua_push_breaker_snapshot(L, $1);
        SWIG_arg++;
    }
}
%typemap(in, numinputs=0) weir_snapshot *out (weir_snapshot snapshot) {
    snapshot.struct_size = sizeof snapshot;
    $1 = &snapshot;
}
%typemap(argout) weir_snapshot *out {
    if (result == WEIR_OK) {
        weir__lua_push_snapshot(L, $1);
        SWIG_arg++;
    }
}
%typemap(in, numinputs=0) weir_value *out (weir_value value) "$1 = &value;"
%typemap(argout) weir_value *out {
    if (result == WEIR_OK) {
        weir__lua_push_value(L, $1);
        SWIG_arg++;
    }
}
%typemap(in, numinputs=0) int *depth (int depth) "$1 = &depth;"
%typemap(argout) int *depth {
    if (result == WEIR_OK) {
        lua_pushinteger(L, *$1);
        SWIG_arg++;
    }
}
%typemap(in) const weir_transaction *begin (weir_transaction begin = {NULL, false, false}) {
    weir__lua_read_checkout(L, $input, NULL, &begin, false);
    $1 = &begin;
}
%typemap(in, numinputs=0) weir_session_info *out (weir_session_info info) "$1 = &info;"
%typemap(argout) weir_session_info *out {
    if (result == WEIR_OK) {
        weir__lua_push_session_info(L, $1);
        SWIG_arg++;
    }
}
%typemap(in, numinputs=0) weir_error_info *out (weir_error_info info) "$1 = &info;"
%typemap(argout) weir_error_info *out {
    if (result) {
        weir__lua_push_error_info(L, $1);
        SWIG_arg++;
    }
}
%typemap(in, numinputs=0) weir_option_info *out (weir_option_info info) "$1 = &info;"
%typemap(argout) weir_option_info *out {
    if (result) {
        weir__lua_push_option_info(L, $1);
        SWIG_arg++;
    }
}
%typemap(in, numinputs=0) weir_metric_info *out (weir_metric_info info) "$1 = &info;"
%typemap(argout) weir_metric_info *out {
    if (result) {
        weir__lua_push_metric_info(L, $1);
        SWIG_arg++;
    }
}

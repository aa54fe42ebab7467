/*
 * Between the generated wrapper and the hand-written part of the Lua module.
 *
 * Lua holds handles, full userdata: of a pool with its reactor, of a session, of a listener, and of what
 * lives on a session (flow.c, copy.c, pipeline.c), whose finalizers may run after the session's own. All that
 * may be left over when a Lua error leaves a function half-way hangs on a weir_lua_call, which
 * weir__lua_guard clears in every case. A handle belongs to one lua_State (with its coroutines) and so to one
 * thread at a time.
 */
#ifndef WEIR_LUA_H
#define WEIR_LUA_H

#include <lauxlib.h>
#include <lua.h>
#include <weirpool/weirpool.h>

#if LUA_VERSION_NUM < 502
#define lua_rawlen lua_objlen
#endif

#define WEIR_LUA_WHERE_MAX 120 /* bytes of "file:line" kept with a session, the NUL included */

typedef struct weir_lua_pool {
    weir_reactor *reactor;                 /* one a pool */
    weir_pool *pool;                       /* NULL before it is open, and once it has been collected */
    bool hooked;                           /* has an init hook: events are to be looked for … */
    bool at_init;                          /* … but not while one is at it: inits do not nest */
    bool noticed;                          /* has a hook for notices */
    uint64_t alert;                        /* the number of the last event of alerts that was taken */
    bool codecs;                           /* has some: tables may be what they write */
    unsigned collected;                    /* sessions that the collector returned, not yet reported */
    char collected_at[WEIR_LUA_WHERE_MAX]; /* … where the last of them was taken */
} weir_lua_pool;

typedef struct weir_lua_session {
    weir_session session;
    weir_lua_pool *home; /* kept in memory by the userdata's user value */
    bool out;            /* not yet returned */
    char where[WEIR_LUA_WHERE_MAX];
} weir_lua_session;

/* What rows are to be made of a result. */
enum weir_lua_shape {
    WEIR_LUA_EXECUTE,
    WEIR_LUA_FETCH,
    WEIR_LUA_FETCHROW,
    WEIR_LUA_FETCHVAL,
    WEIR_LUA_EXECUTEMANY,
    WEIR_LUA_EITHER, /* rows where the statement has columns, else as EXECUTE */
    WEIR_LUA_SCRIPT  /* the tag */
};

/* The options of a statement: {"select …", timeout = 1}. */
typedef struct weir_lua_how {
    int64_t timeout_ms;
    bool readonly;
    int column;      /* from 1, or from -1 backwards; 0: not given */
    size_t prefetch; /* 0: not given */
} weir_lua_how;
/* Those that a call knows beside the time-out. */
enum { WEIR_LUA_READONLY = 1, WEIR_LUA_COLUMN = 2, WEIR_LUA_PREFETCH = 4 };

/* What one call into the core holds until it ends. */
typedef struct weir_lua_call {
    weir_lua_pool *home;
    int handle; /* where the handle stands on the stack, and the host function */
    int host;
    weir_op op;
    weir_statement *statement;
    weir_lua_how how; /* the statement's */
    weir_batch *batch;
    weir_listener opening; /* nobody has it yet */
    weir_notification *notification;
    weir_notice *notice;
    weir_holder *holders;
    char *text; /* of metrics */
    weir_alert *alerts;
    weir_slow_statement *slow;
    weir_history_point *points;
    weir_completion done;
    weir_error error;
} weir_lua_call;

/* ---- guard.c */
/* Runs the body with a weir_lua_call before its arguments, then clears that, also when the body raised an
 * error. */
int weir__lua_guard(lua_State *L, lua_CFunction body);
weir_lua_call *weir__lua_call(lua_State *L); /* in a body; the arguments begin at index 2 */
/* Waits for the operation of the call and keeps its completion there. Calls the host function for events, so
   it may raise. Returns the completion's code; the error is then in call->done.error or call->error. */
int weir__lua_wait(lua_State *L, weir_lua_call *call);
/* nil, err, sqlstate for what a call has failed with; raises an error instead when that was misuse. */
int weir__lua_call_fail(lua_State *L, weir_lua_call *call);
/* Asks the host function, when the pool's predicates have not been asked of the failure yet; its error object
 * is at the index. */
void weir__lua_judge(lua_State *L, weir_lua_call *call, weir_completion *done, int index);
/* Hands events, notices and log lines that have come up to the host function. */
void weir__lua_settle(lua_State *L, weir_lua_call *call);

/* ---- error.c */
/* Pushes nil, an error object and its sqlstate (or nil); returns how many values these are. */
int weir__lua_push_failure(lua_State *L, const weir_error *error);
/* The same for an error of the caller's, which is cleared. Raises an error when it was misuse. */
int weir__lua_fail(lua_State *L, weir_error *error);
/* Raises an error, blamed on the line outside this package that made the call. Does not return. */
int weir__lua_misuse(lua_State *L, const char *format, ...) WEIR_PRINTF(2, 3);
/* The frame outside this package that made the call; false when there is none. "nSl" are filled in. */
bool weir__lua_caller(lua_State *L, lua_Debug *out);
/* The metatable of that name, made when it is wanted first: "error", "bytes", "numeric", "array",
 * "range". */
void weir__lua_push_metatable(lua_State *L, const char *name);
int weir__lua_metatable(lua_State *L);
int weir__lua_raise(lua_State *L); /* (message): a misuse that was found in Lua */
int weir__lua_own(lua_State *L);   /* (function): code beside it is not the caller's */

/* ---- value.c */
/* A Lua integer; LuaJIT: a number up to 2^53, a decimal string above. */
void weir__lua_push_integer(lua_State *L, int64_t value);
/* False: not an integer, or too large. */
bool weir__lua_to_integer(lua_State *L, int index, int64_t *out);
/* The integer; raises an error when it is none, or is beyond ±most. */
int64_t weir__lua_check_integer(lua_State *L, int index, const char *what, int64_t most);
bool weir__lua_is_null(lua_State *L, int index); /* weirpool.null */
void weir__lua_push_value(lua_State *L, const weir_value *value);
/* The parameter's value; false: it cannot be one. `number`: for messages. What it borrows from is left on the
 * stack. */
bool weir__lua_to_value(lua_State *L, int index, int number, weir_value *value);
bool weir__lua_has_metatable(lua_State *L, int index, const char *name);
/* Adds the parameter; raises an error for a value that cannot be one. `number`: for the message. */
void weir__lua_add(lua_State *L, int index, weir_statement *statement, int number);
/* Float seconds to milliseconds. nil: WEIR_TIMEOUT_DEFAULT; false, null: -1. Raises an error for anything
 * else. */
int64_t weir__lua_to_timeout(lua_State *L, int index, const char *what, bool zero);
int weir__lua_null(lua_State *L);

/* ---- nested.c: arrays, ranges, records, maps */
void weir__lua_push_nested(lua_State *L, const weir_value *value);
/* weirpool.array, weirpool.range; as weir__lua_to_value. */
bool weir__lua_to_nested(lua_State *L, int index, int number, weir_value *value);

/* ---- codec.c: values that the user's codecs read and write */
void weir__lua_decode(lua_State *L, const weir_value *value); /* pushes what the codec makes of it */
/* As weir__lua_to_value; false: no codec writes it, and a value is left on the stack all the same. */
bool weir__lua_encode(lua_State *L, int index, int number, weir_value *value);

/* ---- statement.c */
/* The statement at that index with its options (`known` beside timeout) and its parameters, into the call.
   False: the call has failed. */
bool weir__lua_build(lua_State *L, weir_lua_call *call, int index, enum weir_lua_shape shape, unsigned known);
/* The statements, each a text or a list of a text and its parameters, into the call's batch. As above. */
bool weir__lua_build_batch(lua_State *L, weir_lua_call *call, int index);
/* A list of lists of values as the statement's sets. `function`: for messages. */
void weir__lua_add_sets(lua_State *L, int index, const char *function, weir_statement *statement);

/* ---- rows.c */
/* Pushes what the result is in that shape, and returns the number of values. column: of FETCHVAL. */
int weir__lua_push_result(lua_State *L, weir_result *result, enum weir_lua_shape shape, int column);
/* A field of the table on top. */
void weir__lua_set_integer(lua_State *L, const char *name, int64_t value);
/* A latency's, seconds. */
void weir__lua_set_figures(lua_State *L, uint64_t count, double sum, double p50, double p90, double p99,
                           double p999);
void weir__lua_set_number(lua_State *L, const char *name, double value);
/* … none when the value is NULL. */
void weir__lua_set_text(lua_State *L, const char *name, const char *value);
/* A table of the pool's numbers; of a row of the tables of errors and options. */
void weir__lua_push_snapshot(lua_State *L, const weir_snapshot *snapshot);
void weir__lua_push_breaker_snapshot(lua_State *L, const weir_breaker_snapshot *snapshot);
void weir__lua_push_error_info(lua_State *L, const weir_error_info *info);
void weir__lua_push_option_info(lua_State *L, const weir_option_info *info);
void weir__lua_push_metric_info(lua_State *L, const weir_metric_info *info);
void weir__lua_push_holder(lua_State *L, const weir_holder *holder);
void weir__lua_push_health(lua_State *L, const weir_health *health);
void weir__lua_push_health_event(lua_State *L, const weir_health_event *event);
void weir__lua_push_session_info(lua_State *L, const weir_session_info *info);

/* ---- handle.c */
#define WEIR_LUA_SESSION "session" /* the kind of a session's handle */
/* The userdata of that kind at the index; NULL: it is another thing. */
void *weir__lua_test(lua_State *L, int index, const char *name);
/* Sets the metatable of the userdata on top, which must be ready for the collector. */
void weir__lua_set_metatable(lua_State *L, const char *name, lua_CFunction gc);
/* The userdata on top keeps what is at the index in memory, until it is given another. */
void weir__lua_keep(lua_State *L, int index);
/* The pool of a handle that is a pool's or a session's, returned or not; raises an error for another thing.
 */
weir_lua_pool *weir__lua_to_home(lua_State *L, int index);
/* The handle at that index; raises an error when it is another thing, or (session) has been returned. */
weir_lua_pool *weir__lua_to_pool(lua_State *L, int index);
weir_lua_session *weir__lua_to_session(lua_State *L, int index);
weir_lua_pool *weir__lua_push_pool(lua_State *L); /* a new one, all zero */
void weir__lua_pool_free(weir_lua_pool *home);
/* A new handle, without a session as yet, for the pool whose handle is at index `pool`, or whose session's
 * is. */
weir_lua_session *weir__lua_push_session(lua_State *L, int pool);
/* (handle, discard, why its init failed or nil): gives the session back. False when it was back already. */
int weir__lua_session_return(lua_State *L);

/* ---- options.c */
bool weir__lua_check_flag(lua_State *L, const char *name); /* the value on top, a boolean */
/* Reads the table at that index, or nil. Strings are borrowed from the table. Raises an error for what it
   does not know. `begin` NULL: no transaction, so no isolation either; `checkout` NULL: nothing else.
   `retries`: pool:run has taken that out. */
void weir__lua_read_checkout(lua_State *L, int index, weir_checkout *checkout, weir_transaction *begin,
                             bool retries);
/* As weir__lua_read_checkout, of pool:transaction. Returns its time-out. */
int64_t weir__lua_read_transaction(lua_State *L, int index, weir_transaction *begin);
/* The texts stay the table's. */
void weir__lua_read_metrics(lua_State *L, int index, const char **format, const char **names);
/* As weir_pool_listen wants it, of a table with max_queued and heartbeat, or nil. */
void weir__lua_read_listen(lua_State *L, int index, weir_listen *how);
/* As weir_pool_open wants it; raises an error for what it does not know. The settings are put in a new
   userdata on the stack, whose strings, as all others, are borrowed from the table. */
void weir__lua_read_options(lua_State *L, int index, weir_options *out);
/* The same for a breaker that stands alone. */
void weir__lua_read_breaker_options(lua_State *L, int index, weir_breaker_options *out);

/* ---- calls.c: the functions that may wait */
enum { WEIR_LUA_HANDLE = 2, WEIR_LUA_HOST, WEIR_LUA_FIRST }; /* the arguments of all but open, in a body */
/* The beginning of a call whose handle is a pool's or a session's; of one whose handle is a session's. */
weir_lua_call *weir__lua_begin(lua_State *L);
weir_lua_session *weir__lua_begin_session(lua_State *L);
/* What a submission has returned; when it is under way, what became of it, as weir__lua_wait. */
int weir__lua_outcome(lua_State *L, weir_lua_call *call, int code);
/* The end of a call that failed, or has nothing to tell but success. Returns the number of values. */
int weir__lua_done(lua_State *L, weir_lua_call *call, int code);
/* The outcome of a statement that was submitted, and the end of its call. Likewise. */
int weir__lua_rows(lua_State *L, weir_lua_call *call, int code, enum weir_lua_shape shape);
/* How the call's statement is to be run. */
weir_run weir__lua_run(const weir_lua_call *call, enum weir_lua_shape shape);
int weir__lua_open(lua_State *L);             /* (options, host, hooked, noticed) */
int weir__lua_pool_close(lua_State *L);       /* (pool, host, grace) */
int weir__lua_pool_drain(lua_State *L);       /* likewise */
int weir__lua_acquire(lua_State *L);          /* (pool, host, transaction, options, setup, call) */
int weir__lua_pool_execute(lua_State *L);     /* (pool, host, shape, statement, …) */
int weir__lua_session_execute(lua_State *L);  /* (session, host, shape, statement, …) */
int weir__lua_session_end(lua_State *L);      /* (session, host, commit, depth) */
int weir__lua_pool_transaction(lua_State *L); /* (pool, host, statements, options) */
int weir__lua_pool_holders(lua_State *L);     /* (pool, host, seconds) -> a list of tables */
int weir__lua_pool_health(lua_State *L);      /* (pool, host, ask, timeout): a table */
int weir__lua_health_history(lua_State *L);   /* (pool, host, after): a list of tables */
int weir__lua_pool_sleep(lua_State *L);       /* (pool, host, seconds) */

/* ---- flow.c: streams, and COPY TO STDOUT */
int weir__lua_flow_new(lua_State *L); /* (pool or session, host, copies, statement, …): nothing is sent yet */
int weir__lua_flow_next(
    lua_State *L); /* (session, host, flow): a list of rows or of one chunk; false, count */
int weir__lua_flow_close(lua_State *L); /* (flow): at once; any number of times */

/* ---- copy.c: COPY FROM STDIN */
int weir__lua_copy_in(lua_State *L);     /* (session, host, statement) */
int weir__lua_copy_put(lua_State *L);    /* (session, host, text) */
int weir__lua_copy_end(lua_State *L);    /* (session, host): how many rows */
int weir__lua_copy_abort(lua_State *L);  /* (session): harmless when there is no COPY */
int weir__lua_copy_rows(lua_State *L);   /* (session, host, statement): an encoder for its columns */
int weir__lua_copy_encode(lua_State *L); /* (session, host, encoder, rows): what to put, and the format */

/* ---- pipeline.c */
int weir__lua_answer_new(lua_State *L); /* (session, host, shape, statement, …) */
int weir__lua_answer_wait(
    lua_State *L); /* (session, host, answer): true; nil, err, sqlstate: nobody took that */
int weir__lua_answer_take(lua_State *L); /* (session, host, answer): as the statement itself, once */
int weir__lua_answer_cut(lua_State *L);  /* (answer): it is waited for no longer */

/* ---- monitor.c */
void weir__lua_push_alert(lua_State *L, const weir_alert *alert);
int weir__lua_pool_alerts(lua_State *L);       /* (pool, host, active) -> a list of tables */
int weir__lua_pool_slow_queries(lua_State *L); /* (pool, host) -> likewise */
int weir__lua_pool_history(lua_State *L);      /* (pool, host, metric, since, step) -> likewise */

/* ---- listen.c */
int weir__lua_listen(lua_State *L);          /* (pool, host, channels, options): a listener that listens */
int weir__lua_listener_change(lua_State *L); /* (listener, host, channel, add) */
int weir__lua_listener_get(lua_State *L);    /* (listener, host, timeout): a table, or nil, "timeout" */
int weir__lua_listener_close(lua_State *L);  /* (listener): any number of times */

/* ---- breaker.c */
weir_breaker *weir__lua_to_breaker(lua_State *L, int index); /* or raises an error */
int weir__lua_breaker_new(lua_State *L);                     /* (options) */
int weir__lua_pool_breaker(lua_State *L);                    /* (pool, queries) */
int weir__lua_breaker_acquire(lua_State *L);                 /* (breaker): a permit, or nil, err, sqlstate */
/* (breaker, permit, error or nil, verdict): true is a failure, false nothing, nil leaves it to the core */
int weir__lua_breaker_record(lua_State *L);
weir_verdict weir__lua_verdict(lua_State *L, int index); /* true: to be recorded, false: to be ignored */
int weir__lua_breaker_cancel(lua_State *L);              /* (breaker, permit) */
int weir__lua_breaker_events(lua_State *L);              /* (breaker, after) */

/* ---- metrics.c */
int weir__lua_metrics_render(lua_State *L); /* (pool or nil: all, options or nil): the text */

/* ---- retry.c: for pool:run */
/* What decisions depend on, out of an error object. */
void weir__lua_read_error(lua_State *L, int index, weir_error *out);
/* Of an attempt of the retry at that index, which may be nil. */
void weir__lua_retry_cut(lua_State *L, int index, int64_t *timeout_ms);
int weir__lua_retry_new(lua_State *L);   /* (retries, timeout), each may be nil */
int weir__lua_retry_left(lua_State *L);  /* (retry): seconds, or nil */
int weir__lua_retry_admit(lua_State *L); /* (retry, session): the session ends with the time */
int weir__lua_retry_next(lua_State *L);  /* (retry, error): the pause in seconds, or nil */
int weir__lua_retry_note(lua_State *L);  /* (retry): a string */

#endif

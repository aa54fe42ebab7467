/* The pool: opening, checking out, running statements, resizing, closing. */
#ifndef WEIRPOOL_POOL_H
#define WEIRPOOL_POOL_H

#include <weirpool/breaker.h>
#include <weirpool/options.h>
#include <weirpool/reactor.h>
#include <weirpool/snapshot.h>
#include <weirpool/statement.h>

WEIR_BEGIN_DECLS

typedef struct weir_pool weir_pool;

/* A time-out that is left to the pool's option; -1 is "none". 0 is refused. */
#define WEIR_TIMEOUT_DEFAULT INT64_MIN

/*
 * Makes a pool on the reactor and starts its connections. Any number of pools may share a reactor.
 *
 * WEIR_PENDING: *out is the pool, usable at once; the operation completes when min_size connections are there
 * or the first attempt has failed. Its code is an error only for what trying again cannot cure (a wrong
 * password, a database that does not exist, a setting that the server refuses), or with the option `require`;
 * then free the pool. WEIR_OK: as the operation's success, at once (min_size 0). Otherwise an error, and no
 * pool. token: given back with the completion, and with each WEIR_EVENT_INIT.
 */
WEIR_API int weir_pool_open(weir_reactor *reactor, const weir_options *options, void *token, weir_pool **out,
                            weir_op *op, weir_error *error);
/*
 * Refuses new callers, answers those who wait with WEIR_ECLOSED, closes idle connections, gives those who
 * hold one `grace_ms` (WEIR_TIMEOUT_DEFAULT: close_timeout; -1: for ever; 0: none), then names them in a log
 * line and cuts them off: their sessions then answer WEIR_ECLOSED. Completes when no connection is left.
 * WEIR_OK when that is at once; closing twice is no error, a second close with a shorter grace hastens the
 * first.
 */
WEIR_API int weir_pool_close(weir_pool *pool, int64_t grace_ms, void *token, weir_op *op, weir_error *error);
/*
 * The same, but those who already wait for a connection are served, too, and the grace is over waiting and
 * use together: for the end of a process, which what it has begun should survive. WEIR_ECLOSED for new
 * callers says that the pool is draining. A weir_pool_close ends a drain, and with it the waiting.
 */
WEIR_API int weir_pool_drain(weir_pool *pool, int64_t grace_ms, void *token, weir_op *op, weir_error *error);
/* Closes without grace and frees. Sessions and operations of the pool end. NULL is accepted. No other call on
   the pool may run at the same time or come later. In a forked child nothing that is shared is closed. */
WEIR_API void weir_pool_free(weir_pool *pool);
/* True once weir_pool_close or weir_pool_drain has been called. */
WEIR_API bool weir_pool_closed(const weir_pool *pool);

/* In the place of a bound: it stays as it is. */
#define WEIR_SIZE_KEEP (-2147483647 - 1)
/* New bounds while running: more are opened, surplus ones close as they come free. WEIR_EOPTION when min >
 * max, or max is above the pool's share of connection_budget. */
WEIR_API int weir_pool_resize(weir_pool *pool, int min_size, int max_size, weir_error *error);
/* Every connection made before this call is replaced as it comes free; lent ones are not touched. */
WEIR_API int weir_pool_expire(weir_pool *pool, weir_error *error);
/* Fills in *out, whose struct_size the caller has set. */
WEIR_API int weir_pool_snapshot(weir_pool *pool, weir_snapshot *out, weir_error *error);
/* The name of the pool (option `name`, or host:port/database). Borrowed. */
WEIR_API const char *weir_pool_name(const weir_pool *pool);
/* The URL without its password. Borrowed. */
WEIR_API const char *weir_pool_url(const weir_pool *pool);
/* "postgresql" or "sqlite". Static. */
WEIR_API const char *weir_pool_database_system(const weir_pool *pool);
/* The value that an option has in this pool, of wherever it has come from, as it was opened: weir_pool_resize
 * changes what the snapshot says. Times are FLOAT seconds, none is NULL, a text is borrowed from the pool. */
WEIR_API int weir_pool_option(const weir_pool *pool, const char *option, weir_value *out, weir_error *error);
WEIR_API weir_reactor *weir_pool_reactor(const weir_pool *pool);

/*
 * A pool has two circuit breakers for each of its endpoints, of which there is one, number 0, today.
 * CONNECTS counts how attempts to connect end. While it is open none is made but the pool's own probe, and
 * calls are refused as long as no connection lives. QUERIES counts how statements end. While it is open calls
 * are refused: checkouts, statements on the pool, and those on a connection outside of a transaction.
 *
 * The probe: a new attempt every circuit_probe_interval, to connect and to run health_check_query, on a place
 * of the pool's that is free, or else on an idle connection; at most WEIR_PROBES of them at a time, each
 * bounded by connect_timeout; when there are so many the third oldest gives way to a new one. The first to
 * succeed wins.
 */
typedef enum weir_breaker_role {
    WEIR_BREAKER_CONNECTS = 0,
    WEIR_BREAKER_QUERIES = 1,
} weir_breaker_role;
#define WEIR_PROBES 4
/*
 * For all functions of <weirpool/breaker.h> but weir_breaker_free; it lives as long as the pool. NULL when
 * there is none of that number or role. Any thread; in a forked child it does nothing. What is acquired and
 * recorded by hand counts beside the pool's own calls.
 */
WEIR_API weir_breaker *weir_pool_breaker(weir_pool *pool, size_t endpoint, weir_breaker_role role);
/* The state of the two that lets less in. */
WEIR_API weir_breaker_state weir_pool_breaker_state(weir_pool *pool, size_t endpoint);

/* How a transaction begins. isolation: "read uncommitted", "read committed", "repeatable read",
   "serializable", with spaces or underscores, or NULL for the database's default. */
typedef struct weir_transaction {
    const char *isolation;
    bool readonly;
    bool deferrable; /* PostgreSQL, with serializable and readonly */
} weir_transaction;

/* How to check out. Made by weir_checkout_init, which makes it a plain connection; one without its size gives
 * WEIR_EINVAL. */
typedef struct weir_checkout {
    size_t size; /* sizeof(weir_checkout) */
    int64_t checkout_timeout_ms;
    int64_t session_timeout_ms; /* over the whole loan; WEIR_TIMEOUT_DEFAULT and -1: none */
    /* "auto", "always" or "never" for this loan; NULL: the pool's option `reset`. Need not outlive the call.
     */
    const char *reset;
    bool transaction;       /* a session: each statement is in a transaction, begun when needed */
    weir_transaction begin; /* for `transaction` */
    /* Who asks, for reports of holders; copied (the ends of longer ones). May be NULL, 0. */
    const char *file, *function;
    int line;
    const char
        *stack; /* … his stack, a frame a line, when weir_pool_wants_stack asks for it; copied. Or NULL */
    uint64_t owner; /* who asks: a number of a task's or thread's own, or 0. While he holds the connection,
                       what he runs on the pool itself does not share connections: it could wait for his own
                       locks. But for what only reads, which never waits for long behind another one */
    uint64_t
        inside; /* the owner of a loan that he holds already, when `owner` is to be another number; or 0 */
    bool setup; /* the connection is prepared before it is used: until weir_session_ready the checkout goes
                   on, and its time-out ends the loan (WEIR_ECHECKOUTTIMEOUT) */
    bool call;  /* the loan is for one call of the pool's own: session_timeout_ms begins now, bounds waiting,
                   setup and use together, and what it ends is a WEIR_ECOMMANDTIMEOUT */
} weir_checkout;
WEIR_API void weir_checkout_init(weir_checkout *checkout);
/* Whether a connection is lent to that owner. NULL is accepted. */
WEIR_API bool weir_pool_holds(weir_pool *pool, uint64_t owner);

/* How to run a statement. Made by weir_run_init; NULL in its place is the same. */
typedef struct weir_run {
    size_t size;        /* sizeof(weir_run) */
    int64_t timeout_ms; /* WEIR_TIMEOUT_DEFAULT: the pool's options; -1 none */
    bool readonly;  /* it only reads, and the database is to refuse it otherwise. PostgreSQL: SELECT, VALUES,
                       TABLE, WITH, SHOW or EXPLAIN. With the option pipeline up to eight such statements
                       share a transaction of the server's, and with it now() and the locks that they take.
                       Only of single statements on the pool itself, WEIR_EINVAL elsewhere */
    bool hold;      /* the caller promises weir_reactor_flush or weir_reactor_dispatch soon, before it waits:
                       until then the statement may be held back, so that it goes out together with others */
    uint64_t owner; /* who asks, as in weir_checkout */
    bool
        script; /* the text holds any number of commands, and takes no parameters: on PostgreSQL the simple
                   protocol, so one transaction unless the text has BEGIN or COMMIT; on SQLite each by itself.
                   Rows are dropped; the result has the tag of the last command. Never shares a connection */
} weir_run;
WEIR_API void weir_run_init(weir_run *run);

/*
 * Asks for a connection. WEIR_OK: *session is there at once. WEIR_PENDING: it comes with the completion.
 * Errors: WEIR_EQUEUEFULL, WEIR_ECLOSED, WEIR_ECONNECT (no live connection, and the next attempt is not yet
 * due: retry_after_ms), WEIR_ECIRCUITOPEN, or WEIR_ECONNECTCIRCUITOPEN where connecting fails
 * (WEIR_IS_CIRCUIT_OPEN: a breaker is open; detail is the last failure); and, with the
 * completion, WEIR_EOVERLOADED (option queue_target). Who is refused and
 * has a reactor that nobody drives calls weir_reactor_dispatch, so that what is due is done.
 */
WEIR_API int weir_pool_acquire(weir_pool *pool, const weir_checkout *checkout, void *token,
                               weir_session *session, weir_op *op, weir_error *error);
/*
 * Runs a statement on a connection of the pool's choice, in autocommit. timeout_ms bounds waiting and running
 * together; WEIR_TIMEOUT_DEFAULT: checkout_timeout for the wait, command_timeout for the run.
 * WEIR_ECOMMANDTIMEOUT when it passes during the run, WEIR_EOUTCOMETIMEOUT for a write, which may be done.
 * The statement is ref'd.
 *
 * With the option `pipeline` it may be sent behind others on the same connection. Its error, time-out or
 * cancellation is none of theirs, nor theirs its own. A statement that changes the state of its connection,
 * by its first keyword (SET, LISTEN …), is refused then: WEIR_EINVAL. One that begins or ends a transaction
 * (BEGIN, COMMIT …) always is.
 */
WEIR_API int weir_pool_execute(weir_pool *pool, weir_statement *statement, const weir_run *run, void *token,
                               weir_op *op, weir_error *error);

WEIR_END_DECLS

#endif

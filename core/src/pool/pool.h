/*
 * The pool's inside. Everything here runs under the reactor's lock, unless it says otherwise.
 *
 * A slot is a place for one connection; it never moves and lives as long as its pool. Drivers tell news of
 * their connections (host.c); the news are noted in the slot and settled before the lock is left (settle.c),
 * so that no driver is called from inside its own call. A slot's state is changed by weir__slot_move alone.
 */
#ifndef WEIR_POOL_POOL_H
#define WEIR_POOL_POOL_H

#include <weirpool/session.h>

#include "base/rng.h"
#include "driver/driver.h"
#include "metrics/histogram.h"
#include "reactor/reactor.h"

typedef enum weir__slot_state {
    WEIR__EMPTY,      /* no connection */
    WEIR__CONNECTING, /* being made */
    WEIR__PREPARING,  /* lent to the host for its init */
    WEIR__IDLE,
    WEIR__LENT,     /* a session holds it */
    WEIR__RUNNING,  /* a statement of the pool's own runs on it */
    WEIR__DRAINING, /* nobody holds it, but a request still runs: cancelled, or its caller is gone */
    WEIR__RESETTING,
    WEIR__CLOSING,
    WEIR__SLOT_STATES,
} weir__slot_state;

enum {
    WEIR__NEWS_CONNECTED = 1,
    WEIR__NEWS_DONE = 2,
    WEIR__NEWS_LOST = 4,
    WEIR__NEWS_DOWN = 8,

    WEIR__DEPTH_MAX = 32, /* a transaction and the savepoints in it */
    WEIR__NONE_DEAD = 127,
    WEIR__SITE_BYTES = 48,
};
#define WEIR__CLEAN_BOUND                                                                                    \
    (5000 * WEIR__MS) /* for a cancelled statement, or a reset, to end; then the connection is closed */
#define WEIR__COMING_FOR                                                                                     \
    (50 * WEIR__MS) /* so long a connection that is drained or reset is expected back soon */
#define WEIR__UNDRIVEN                                                                                       \
    (250 * WEIR__MS)                /* a longer pause in driving: what is late may have been ready for long */
#define WEIR__GRACE (50 * WEIR__MS) /* … and is given so long to show it */
#define WEIR__PROVEN_AFTER                                                                                   \
    (1000 * WEIR__MS) /* a connection lost before, and never used, counts as a failed attempt */
#define WEIR__PING_AFTER                                                                                     \
    (100 * WEIR__MS) /* idle for so long, a connection is looked at before it is lent                        \
                      */

typedef struct weir__slot weir__slot;
typedef struct weir__task weir__task;

struct weir__slot {
    weir_pool *pool;
    uint32_t index;
    weir__conn *conn; /* NULL when EMPTY */
    weir__slot_state state;
    unsigned news;
    weir__link news_link; /* in the pool's news */
    weir__link link;      /* in the idle list */
    weir__watch watch;
    weir__timer tick;  /* the driver's own */
    weir__timer bound; /* connect_timeout while CONNECTING; else of a cancel or a reset */
    weir__grave grave;
    weir_error lost; /* what the driver said with NEWS_LOST */

    weir__request request;
    bool busy;        /* the driver works on `request` */
    bool cancelled;   /* … and has been asked to cancel it */
    weir__task *task; /* whose answer it is; NULL: nobody's any more */
    weir__task *next; /* the session's next, waiting for a request that drains */
    int64_t sent_at;
    const char *before[WEIR__DEPTH_MAX + 2];
    signed char levels[WEIR__DEPTH_MAX + 2]; /* what `sent` is when so many of them have been run */
    unsigned owed;                           /* the first so many of `before` end what is dead */
    int ending;                              /* the depth of the transaction that the request ends; 0: none */

    unsigned generation; /* the pool's, when the connection was begun */
    int64_t begun_at;    /* the attempt to connect */
    int64_t expires_at;  /* max_lifetime, less jitter */
    int64_t idle_since;
    int64_t cleaned_since; /* DRAINING, RESETTING: the begin of the first of them */
    bool established;      /* it was connected once */
    bool discard;          /* close it when it comes back */

    /* ---- the loan ---- */
    uint64_t loan,
        last_loan; /* 0: none. last_loan is the last that has ended not by its holder, but for ended_code */
    int ended_code;
    int64_t lent_at;
    bool in_use;       /* since lent_at, by a session or a statement of the pool's callers */
    bool transaction;  /* a session: begins by itself */
    const char *begin; /* the driver's text for it, or for the outermost transaction of a plain connection */
    int depth;         /* transactions and savepoints that the holder has open */
    int sent;          /* those that the server has open for him, as of its last answer: see request.c */
    int dead;          /* … and from here on they have ended for him; WEIR__NONE_DEAD: none */
    bool broken_off;   /* the transaction was ended by a statement of the holder's own */
    weir__timer session_timer;
    char file[WEIR__SITE_BYTES], function[WEIR__SITE_BYTES];
    int line;
};

/* An operation of the pool. */
struct weir__task {
    weir__op op; /* first */
    weir_pool *pool;
    weir__slot *slot; /* where it runs or waits to run; NULL while it waits for a connection */
    int64_t started_at;
    /* execute */
    weir_statement *statement;
    int64_t run_ms;       /* for the run; -1 none */
    int64_t run_deadline; /* absolute, when the caller bounded waiting and running together; else 0 */
    /* acquire */
    int64_t session_ms;
    bool transaction;
    const char *begin;
    char file[WEIR__SITE_BYTES], function[WEIR__SITE_BYTES];
    int line;
    /* end of a transaction */
    int depth; /* of the one that it ends; 0: it ends none */
    bool commit;
};
_Static_assert(sizeof(weir__task) <= WEIR__OP_BYTES, "an operation has outgrown its place");
_Static_assert(sizeof(weir__task) <= 512, "a waiter takes less than 512 bytes");

struct weir_pool {
    weir_reactor *reactor;
    weir__config *config;
    const weir__driver *driver;
    weir__env base; /* what the driver's env is made from */
    weir__env *env;
    void *token; /* weir_pool_open's */
    weir__rng rng;
    int min_size, max_size; /* resize changes them; the rest of the options stays as in config */

    weir__slot **slots;
    size_t slot_count; /* made so far; they are made when first needed */
    int counts[WEIR__SLOT_STATES];
    weir__link idle; /* the front is lent next */
    weir__link news;
    weir__deferred settle;

    weir__link waiters; /* tasks, first come first served */
    int waiting;

    unsigned generation;
    uint64_t loans;

    /* connecting */
    int failures;      /* attempts that failed in a row */
    int64_t failed_at; /* attempts begun before it are of the same round */
    int64_t retry_at;
    weir__timer retry;
    weir_error last_error;

    weir__timer reaper;
    int64_t reap_at;
    weir__task *opening;

    bool closing, cut;
    weir__timer grace;
    int64_t grace_at;
    weir__link closers; /* tasks that wait for the end */

#define WEIR__COUNTER(name, text) uint64_t name;
    struct {
        WEIR_COUNTERS(WEIR__COUNTER)
    } stats;
#undef WEIR__COUNTER
    weir__histogram wait, use, connect, query;
};

/* ---- slot.c ---- */
/* The one place where a state changes. A move that is not in the table is a fault of the pool's own: it is
   logged, and counted for the tests in weir__slot_faults. */
void weir__slot_move(weir__slot *slot, weir__slot_state to);
extern atomic_long weir__slot_faults;
weir__slot *weir__slot_new(weir_pool *pool, uint32_t index);
void weir__slot_free(weir__slot *slot);
const char *weir__slot_state_name(weir__slot_state state);
/* Stops the connection: -> CLOSING. A loan ends with `code`; a task that runs is answered with *why. */
void weir__slot_close(weir__slot *slot, int code, const weir_error *why);
/* Ends the loan: its later use is answered with `code` (WEIR_ESTALE: returned by the holder). */
void weir__slot_end_loan(weir__slot *slot, int code, int64_t now);
/* The use is over: counts and measures it, once. */
void weir__slot_end_use(weir__slot *slot, int64_t now);
/* Counts in states that have a live connection, or will soon. */
int weir__pool_live(const weir_pool *pool);  /* connected, and not closing */
int weir__pool_total(const weir_pool *pool); /* all but EMPTY */

/* ---- host.c ---- */
extern const weir__host weir__pool_host;

/* ---- settle.c ---- */
void weir__pool_settle(weir__deferred *deferred);
static inline void weir__pool_touch(weir_pool *pool) { weir__defer(pool->reactor, &pool->settle); }

/* ---- connect.c ---- */
/* Opens what the floor and the waiters want, as far as the bounds and the backoff allow. */
void weir__pool_grow(weir_pool *pool);
void weir__slot_connected(weir__slot *slot);
void weir__slot_connect_failed(weir__slot *slot, weir_error *why);
void weir__connect_overdue(weir__slot *slot);
/* A connection is fit for use, its init included: the backoff is over. */
void weir__pool_recovered(weir_pool *pool);
/* The host says so. */
void weir__slot_init_failed(weir__slot *slot, int code, const char *what);
/* Those that a waiter may count on: being made, or expected back soon. */
int weir__pool_coming(const weir_pool *pool, int64_t now);
/* Lends the connection to the host for its init: -> PREPARING. */
void weir__slot_prepare(weir__slot *slot);
/* True, with *error set: no connection lives, none is being made, and the next attempt is not due yet. */
bool weir__pool_down(weir_pool *pool, weir_error *error);
void weir__pool_retry(weir__timer *timer);
void weir__pool_check_open(weir_pool *pool);

/* ---- checkout.c ---- */
int weir__pool_acquire(weir_pool *pool, const weir_checkout *checkout, void *token, weir_session *session,
                       weir_op *op, weir_error *error);
int weir__pool_execute(weir_pool *pool, weir_statement *statement, int64_t timeout_ms, void *token,
                       weir_op *op, weir_error *error);
/* NULL: out of memory. */
weir__task *weir__task_new(weir_pool *pool, weir_completion_kind kind, void *token, int64_t now);
/* Frees the task without a completion, and its statement. */
void weir__task_drop(weir__task *task);
/* Lends idle connections to those who wait. */
void weir__pool_serve(weir_pool *pool);
/* Answers everyone who waits with an error. */
void weir__pool_refuse_waiters(weir_pool *pool, const weir_error *error);

/* ---- request.c ---- */
/* Makes the slot's request from the task, whose statement it takes. False: there is nothing to be ended on
 * the server. */
bool weir__request_build(weir__slot *slot, weir__task *task);
/* How many transactions of the holder's the server has open, as far as the last answer told. */
int weir__levels_alive(const weir__slot *slot);
/* The transaction of that depth, and those in it, have ended for the holder, whatever the server has. */
void weir__levels_die(weir__slot *slot, int from);
/* Learns from the request's outcome what the server has open. */
void weir__request_settle(weir__slot *slot);
/* The answer to an end that needs nothing to be sent: WEIR_ETRANSACTION when a commit has nothing to commit
 * any more. */
int weir__nothing_to_end(weir__slot *slot, bool commit, weir_error *error);

/* ---- run.c ---- */
/* Fails the task with a copy of *why, or, when it was sent and is a COMMIT, with WEIR_EOUTCOME. */
void weir__task_fail(weir__task *task, const weir_error *why, bool was_sent);
static inline bool weir__task_commits(const weir__task *task) { return task->depth == 1 && task->commit; }
/* Gives the slot's request, built from the task, to the driver. */
void weir__slot_run(weir__slot *slot, weir__task *task, int64_t now);
/* The request has ended: answers the task. */
void weir__slot_answer(weir__slot *slot, int64_t now);
/* The task's deadline. */
void weir__task_expired(weir__timer *timer);
/* The caller's cancel. */
void weir__task_cancelled(weir__op *op);
/* Detaches the task that runs on the slot and asks the driver to cancel; the task is the caller's then. */
weir__task *weir__slot_abandon(weir__slot *slot, bool cancel);

/* ---- release.c ---- */
/* The connection is nobody's: reset it if need be, then lend, keep or close it. */
void weir__slot_release(weir__slot *slot, int64_t now);
/* Fit for use: lend, keep or close. */
void weir__slot_ready(weir__slot *slot, int64_t now);
void weir__slot_bound_fired(weir__timer *timer);

/* ---- session.c ---- */
int weir__session_find(weir_session session, weir__slot **out, weir_error *error);
int weir__session_execute(weir__slot *slot, weir_statement *statement, int64_t timeout_ms, void *token,
                          weir_op *op, weir_error *error);
int weir__session_begin(weir__slot *slot, const weir_transaction *begin, int *depth, weir_error *error);
int weir__session_end(weir__slot *slot, bool commit, int depth, void *token, weir_op *op, weir_error *error);
void weir__session_return(weir__slot *slot, bool discard);
void weir__session_expired(weir__timer *timer);
/* The driver's text for a beginning. WEIR_EINVAL names an isolation that there is not. */
int weir__begin_text(weir_pool *pool, const weir_transaction *begin, const char **out, weir_error *error);

/* ---- savepoint.c ---- */
/* SAVEPOINT …, RELEASE SAVEPOINT …, ROLLBACK TO SAVEPOINT … for a depth of 2 to WEIR__DEPTH_MAX. Static. */
const char *weir__savepoint(int depth);
const char *weir__savepoint_release(int depth);
const char *weir__savepoint_rollback(int depth);

/* ---- maintain.c ---- */
void weir__pool_arm_reaper(weir_pool *pool, int64_t at);
void weir__pool_reap(weir__timer *timer);
int weir__pool_resize(weir_pool *pool, int min_size, int max_size, weir_error *error);
void weir__pool_expire(weir_pool *pool);
bool weir__slot_surplus(const weir__slot *slot,
                        int64_t now); /* above what the pool may keep, or too old, or of an old generation */
void weir__pool_snapshot(weir_pool *pool, weir_snapshot *out);

/* ---- close.c ---- */
int weir__pool_close(weir_pool *pool, int64_t grace_ms, void *token, weir_op *op, weir_error *error);
void weir__pool_grace_over(weir__timer *timer);
void weir__pool_check_closed(weir_pool *pool);

/* ---- open.c ---- */
int weir__pool_open(weir_reactor *reactor, const weir__driver *driver, weir__config *config, uint64_t seed,
                    void *token, weir_pool **out, weir_op *op, weir_error *error);
void weir__pool_free(weir_pool *pool); /* not under the lock */

/* ---- check.c ---- */
/* For the tests: NULL, or what does not hold. */
const char *weir__pool_check(const weir_pool *pool);

#endif

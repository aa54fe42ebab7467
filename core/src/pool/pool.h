/*
 * The pool's inside. Everything here runs under the reactor's lock, unless it says otherwise.
 *
 * A slot is a place for one connection; it never moves and lives as long as its pool. Drivers tell news of
 * their connections (host.c); the news are noted in the slot and settled before the lock is left (settle.c),
 * so that no driver is called from inside its own call. A slot's state is changed by weir__slot_move alone.
 */
#ifndef WEIR_POOL_POOL_H
#define WEIR_POOL_POOL_H

#include <weirpool/batch.h>
#include <weirpool/holder.h>
#include <weirpool/session.h>
#include <weirpool/stream.h>

#include "base/lru.h"
#include "base/rng.h"
#include "breaker/breaker.h"
#include "driver/driver.h"
#include "metrics/cells.h"
#include "metrics/exposed.h"
#include "metrics/shared.h"
#include "pool/ceiling.h"
#include "pool/health.h"
#include "pool/overload.h"
#include "pool/share.h"

typedef enum weir__slot_state {
    WEIR__EMPTY,      /* no connection */
    WEIR__CONNECTING, /* being made */
    WEIR__PREPARING,  /* lent to the host for its init */
    WEIR__CHECKING,   /* asked by the pool whether the server answers */
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
    WEIR__NEWS_COPY = 16,

    WEIR__DEPTH_MAX = 32, /* a transaction and the savepoints in it */
    WEIR__NONE_DEAD = 127,
    WEIR__SITE_BYTES = 48,
    WEIR__SITE_TEXT = 2 * WEIR__SITE_BYTES + 32,
    WEIR__TEXT_BYTES = 160, /* of a holder's last statement */
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

typedef struct weir__task weir__task;
typedef struct weir__stream weir__stream;
typedef struct weir__extension weir__extension;

/* A request on its way, and whose it is. It stays in its place until the driver is done with it. */
struct weir__flight {
    weir__request request; /* first */
    weir__link link;       /* in the slot's flights or landed ones; or in the pool's spares */
    weir__slot *slot;
    weir__task *task; /* whose answer it is; NULL: nobody's any more */
    bool alone;       /* it was sent with nothing before it */
    bool together;    /* it went with others of its batch, so that how long it takes is not seen */
    int64_t sent_at;
    weir__profile *profile; /* counted; of a statement that shares its connection, else NULL */
    int64_t expected;       /* ns that the statement is believed to take, as it stands in the slot's load */
    weir_batch *batch;      /* whose statement it is; NULL: none's, or nobody wants it any more */
    size_t number;          /* … and which */
    /* ---- of a session's */
    weir__stream *stream; /* whose answer it is, when it is no task's */
    char close[48];       /* a stream's command */
    const char *before[WEIR__DEPTH_MAX + 2];
    signed char levels[WEIR__DEPTH_MAX + 2]; /* what `sent` is when so many of them have been run */
    unsigned owed;                           /* the first so many of `before` end what is dead … */
    int dying;                               /* … from there on */
    int ending;                              /* the depth of the transaction that it ends; 0: none */
};

/* The steps of a COPY. */
typedef enum weir__copy_step {
    WEIR__COPY_BEGIN,
    WEIR__COPY_PUT,
    WEIR__COPY_END,
    WEIR__COPY_TAKE
} weir__copy_step;

/* The COPY of a slot's holder: copy.c. */
typedef struct weir__copy {
    weir__flight *flight; /* while it runs, between its steps too */
    bool out;             /* TO STDOUT */
    bool over;            /* it has ended, and its holder has not been told yet */
    int code;             /* … how */
    weir_result *result;
    weir_error *error;
    int64_t sent_at;
    weir__timer timer;    /* its deadline, once it has begun, until its holder has had all of it */
    weir_permit permit;   /* … and what is to be recorded at its end */
    weir_failure failure; /* … what the host is to say of `error` */
    weir__task *watcher;  /* weir_session_copy_watch; NULL: nobody */
} weir__copy;

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
    int lingering;   /* CLOSING: the socket that its connection has left behind; -1: none */
    weir_error lost; /* what the driver said with NEWS_LOST */

    weir__link flights; /* in the order of sending */
    weir__link landed;  /* those that the driver is done with, not yet settled */
    int flying;         /* all of these */
    int live;           /* … whose answer somebody waits for */
    weir__flight own;   /* one that takes no memory */
    bool own_used;
    bool cancelled;   /* the driver has been asked to cancel what flies */
    weir__link queue; /* the session's next, waiting for what flies */

    /* ---- RUNNING, and others' statements may join: share.c */
    bool shared;
    bool claimed;           /* it takes no more of them */
    bool slow;              /* what flies may take long: no other is to wait behind it */
    bool readonly;          /* it runs readonly statements alone */
    weir__link shared_link; /* in the pool's shared ones */
    weir__held held;        /* statements wait in the driver to be sent together */
    int64_t load;           /* ns that what flies is believed to take */
    int64_t head_at;        /* since then the oldest one has been the server's only concern */
    int64_t head_sent_at;   /* when the one before it was sent */
    weir__timer overrun;    /* when it has been so for too long */

    /* ---- probe.c */
    bool trying;      /* nothing is proven yet: an attempt to connect, or the check of an idle connection */
    int64_t tried_at; /* since then */
    weir_permit attempt; /* of the breaker for connecting; none for a check */
    bool dying;          /* the connection is lost … */
    bool mourned;        /* … and has been recorded as one failure, however many statements went with it */

    weir__slot_health health;
    unsigned generation; /* the pool's, when the connection was begun */
    int64_t begun_at;    /* the attempt to connect */
    int64_t expires_at;  /* max_lifetime, less jitter */
    int64_t idle_since;
    int64_t cleaned_since; /* DRAINING, RESETTING: the begin of the first of them */
    bool established;      /* it was connected once */
    bool discard;          /* close it when it comes back */
    bool recycled;         /* it is closed because of its age or its generation */

    /* ---- the loan ---- */
    uint64_t loan,
        last_loan; /* 0: none. last_loan is the last that has ended not by its holder, but for ended_code */
    int ended_code;
    int64_t asked_at; /* since then a call, and a setup, has its time */
    int64_t lent_at;
    bool in_use;       /* since lent_at, by a session or a statement of the pool's callers */
    weir_permit entry; /* of the breaker for statements, until the loan's first statement takes it */
    weir__reset reset; /* what its holder has asked for, until it is done */
    bool transaction;  /* a session: begins by itself */
    const char *begin; /* the driver's text for it, or for the outermost transaction of a plain connection */
    bool pipelining;   /* the holder runs statements one behind the other, without awaiting each */
    bool halted; /* … and one of a transaction has failed, on a driver that does not pipeline itself */
    int depth;   /* transactions and savepoints that the holder has open */
    int sent;    /* those that the server has open for him, as of its last answer: see request.c */
    int dead;    /* … and from here on they have ended for him; WEIR__NONE_DEAD: none */
    weir__copy copy;
    bool broken_off;             /* the transaction was ended by a statement of the holder's own */
    bool lasting;                /* what may last has been sent: a COMMIT, or a statement in autocommit */
    bool ended_lasting;          /* … in the loan of ended_code */
    weir__link streams;          /* the holder's */
    const weir__stream *outside; /* the one that runs in a transaction of its own; NULL: none */
    weir__timer session_timer;   /* the nearer of the next two, where there is such a limit */
    int64_t session_until;       /* the loan's end … */
    int64_t setup_until;         /* … and while it is set up, the checkout's */
    bool call;                   /* … is for one call of the pool's own */
    weir__task *watcher;         /* weir_session_watch; NULL: nobody */
    uint64_t owner;              /* who holds it, by a number of his own; 0 unknown */
    char file[WEIR__SITE_BYTES], function[WEIR__SITE_BYTES];
    int line;
    char last_text[WEIR__TEXT_BYTES]; /* the beginning of the holder's last statement */
    char *stack;                      /* his stack, or NULL */
    int64_t quiet_since;              /* when the last of his requests ended */
    bool leaked;                      /* that he holds it for too long has been reported */
};

/* What is done with a leaked connection: the option leak_action. */
typedef enum weir__leak_action {
    WEIR__LEAK_REPORT,
    WEIR__LEAK_CANCEL,
    WEIR__LEAK_CLOSE,
    WEIR__LEAK_REPLACE,
} weir__leak_action;

/* An operation of the pool. */
struct weir__task {
    weir__op op; /* first */
    weir_pool *pool;
    weir__slot *slot;     /* where it runs or waits to run; NULL while it waits for a connection */
    weir__flight *flight; /* … once it runs */
    int64_t started_at;
    weir_batch *batch; /* with a reference; NULL: it is no whole transaction */
    /* execute, COPY */
    weir_statement *statement;
    weir__mode mode;
    weir__copy_step step;
    int64_t run_ms;       /* for the run; -1 none */
    int64_t run_deadline; /* absolute, when the caller bounded waiting and running together; else 0 */
    /* acquire; the wait's end is in run_deadline */
    int64_t session_ms;
    weir__reset reset;
    bool transaction, setup, call;
    const char *begin;
    char *stack;
    uint64_t owner, inside; /* as in weir_checkout */
    char file[WEIR__SITE_BYTES], function[WEIR__SITE_BYTES];
    int line;
    /* end of a transaction */
    int depth; /* of the one that it ends; 0: it ends none */
    bool commit;
    /* share.c */
    bool readonly, hold;
    bool moved;         /* it was taken off a connection where it waited behind another one for too long */
    int64_t sent_at;    /* … to which it was sent first */
    weir_permit permit; /* of the breaker for statements; used up: none */
    weir__profile *profile; /* counted; NULL: it runs on a connection of its own */
};
_Static_assert(sizeof(weir__task) <= WEIR__OP_BYTES, "an operation has outgrown its place");
_Static_assert(sizeof(weir__task) <= 512, "a waiter takes less than 512 bytes");

/* An endpoint's breakers, and what is known of its outage: guard.c, probe.c. */
typedef struct weir__guard {
    weir_breaker connect, query;
    uint64_t told[2];    /* generations of the two that those in line know of */
    uint64_t logged[2];  /* events that are in the log */
    weir__timer timer;   /* a breaker changes by itself while somebody is in line */
    bool asks_host;      /* the option circuit_hook */
    int64_t probe_every; /* ns, the option circuit_probe_interval */
    int64_t probe_at;    /* when the next attempt begins, in an outage */
    /* A connection was lost, or could not be made since the server is not there; until one is fit for use. */
    bool outage;
    bool denied; /* the server is there, and has refused the last attempt: retry_min and retry_max hold */
} weir__guard;

struct weir_pool {
    weir_reactor *reactor;
    weir__config *config;
    const weir__driver *driver;
    weir__env base; /* what the driver's env is made from */
    weir__env *env;
    void *token; /* weir_pool_open's */
    weir__rng rng;
    int min_size, max_size; /* resize changes them; the rest of the options stays as in config */
    weir__ceiling ceiling;

    weir__slot **slots;
    size_t slot_count; /* made so far; they are made when first needed */
    int counts[WEIR__SLOT_STATES];
    weir__link idle; /* the front is lent next */
    weir__link news;
    weir__deferred settle;

    weir__link waiters; /* tasks that want a connection for themselves, first come first served */
    weir__link lane;    /* … and those that may share one */
    int waiting;        /* both */
    weir__link spares;  /* flights for later */
    int spare_count;
    weir__share share;
    weir__codel codel;
    weir__adapt adapt;

    unsigned generation;
    uint64_t loans, streams; /* so many there were */

    /* connecting */
    weir__guard guard;
    int failures;      /* attempts that failed in a row */
    int64_t failed_at; /* attempts begun before it are of the same round */
    int64_t retry_at;
    weir__timer retry;
    weir_error last_error;
    const char *init_failure; /* what its host says of the init that is being given up; else NULL */

    weir__leak_action leak_action;
    int64_t leak_ns;        /* the option leak_threshold; WEIR__NEVER: none */
    atomic_uint stack_turn; /* weir_pool_wants_stack */
    int64_t nested_at;      /* when a nested checkout was logged last; 0 never */
    int replacing;          /* connections that are to be opened although nobody asks for them */

    weir__pool_health health;
    weir__timer reaper;
    int64_t reap_at;
    weir__task *opening;

    weir__link extensions; /* extension.h */
    int alerts_active;     /* as the monitor says */
    int64_t slow_ns;       /* … which hear of statements that take longer; WEIR__NEVER: of none */
    bool echo;             /* the option */
    weir__link listeners;  /* listener.h */
    uint64_t listener_numbers;

    bool draining; /* takes nobody new; it closes when nobody waits any more */
    bool closing, cut;
    bool keeper; /* asks for the reactor's background thread */
    weir__timer grace;
    int64_t grace_at;
    weir__link closers; /* tasks that wait for the end */

    weir__cells *stats; /* own_stats, or what is shared */
    weir__cells own_stats;
    weir__shared *shared;   /* the option metrics_shared; NULL: none */
    weir__deferred publish; /* … its gauges, whenever the lock is left */
    weir__exposed exposed;  /* what rendering the pool's metrics needs to remember */
};

/* ---- adapt.c: see overload.h ---- */
/* The server has not heard yet that nobody wants what is drained. */
static inline int weir__adapt_lent(const weir_pool *pool) {
    return pool->counts[WEIR__LENT] + pool->counts[WEIR__RUNNING] + pool->counts[WEIR__DRAINING];
}
/* As many connections are lent as may be. */
static inline bool weir__adapt_full(const weir_pool *pool) {
    return weir__adapt_lent(pool) >= pool->adapt.lends;
}

/* ---- slot.c ---- */
/* The loan, as its holder names it. */
static inline weir_session weir__slot_session(const weir__slot *slot) {
    return (weir_session){slot->pool, slot->loan, slot->index};
}
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
/* What a driver asks its host to watch for, and what the poller has found. */
static inline unsigned weir__poll_events(unsigned events) {
    return (events & WEIR__READ ? WEIR__POLL_READ : 0u) | (events & WEIR__WRITE ? WEIR__POLL_WRITE : 0u);
}
static inline unsigned weir__poll_ready(unsigned events) {
    return (events & WEIR__POLL_READ ? WEIR__READ : 0u) | (events & WEIR__POLL_WRITE ? WEIR__WRITE : 0u);
}
/* Keeps what the driver tells of the loss of a connection; *why is taken over. */
void weir__take_loss(weir_error *to, weir_error *why);
/* Queues a notice for the host, or logs it. */
void weir__pool_noticed(weir_pool *pool, const weir_notice *notice);

/* ---- settle.c ---- */
void weir__pool_settle(weir__deferred *deferred);
void weir__pool_begin_outage(weir_pool *pool); /* a connection was lost */
static inline void weir__pool_touch(weir_pool *pool) { weir__defer(pool->reactor, &pool->settle); }

/* ---- connect.c ---- */
/* Opens what the floor and the waiters want, as far as the bounds and the backoff allow. */
void weir__pool_grow(weir_pool *pool);
void weir__slot_connected(weir__slot *slot);
void weir__slot_connect_failed(weir__slot *slot, weir_error *why);
void weir__connect_overdue(weir__slot *slot);
/* After so many failures in a row: in ns, doubled each time, with full jitter. */
int64_t weir__pool_pause(weir_pool *pool, int failures);
/* A connection is fit for use, its init included: the backoff is over. */
void weir__pool_recovered(weir_pool *pool);
/* The host says so. */
void weir__slot_init_failed(weir__slot *slot, int code, const char *what);
/* How many connections those who wait could use. */
int weir__pool_demand(const weir_pool *pool);
/* Those that a waiter may count on: being made, or expected back soon. */
int weir__pool_coming(const weir_pool *pool, int64_t now);
/* Lends the connection to the host for its init: -> PREPARING. */
void weir__slot_prepare(weir__slot *slot);
/* True, with *error set: no connection lives, and none is on its way for those who ask. */
bool weir__pool_down(weir_pool *pool, weir_error *error);
void weir__pool_retry(weir__timer *timer);
void weir__pool_check_open(weir_pool *pool);
/* An attempt to connect, in that slot; takes the permit. False: out of memory. */
bool weir__pool_connect(weir_pool *pool, weir_permit *permit, int64_t now);
/* Somebody wants a connection, or the floor does, if none lived. */
bool weir__pool_wants(const weir_pool *pool);
/* When the pool tries again by itself. */
int64_t weir__pool_next_attempt(const weir_pool *pool);

/* ---- guard.c ---- */
static inline weir__breaker *weir__guard_of(const weir_pool *pool, weir_breaker_role role) {
    return role == WEIR_BREAKER_CONNECTS ? pool->guard.connect.machine : pool->guard.query.machine;
}
/* As usual: neither of the two keeps anybody out, or changes by itself. */
static inline bool weir__guard_calm(const weir_pool *pool) {
    return weir__breaker_calm(pool->guard.connect.machine) && weir__breaker_calm(pool->guard.query.machine);
}
/* … and all have heard how it came. */
static inline bool weir__guard_quiet(const weir_pool *pool) {
    const weir__guard *guard = &pool->guard;
    return weir__guard_calm(pool) &&
           guard->told[WEIR_BREAKER_CONNECTS] == guard->connect.machine->generation &&
           guard->told[WEIR_BREAKER_QUERIES] == guard->query.machine->generation;
}
bool weir__guard_open(weir_pool *pool, uint64_t seed); /* false: out of memory */
void weir__guard_close(weir_pool *pool);
/*
 * WEIR_OK: a call may be made now. A code of WEIR_IS_CIRCUIT_OPEN: it is refused, and counted so.
 * WEIR_PENDING: it would be, but since nobody drives the reactor the pool could not look after its server:
 * get in line, for as long as weir__guard_patience says.
 */
int weir__guard_ask(weir_pool *pool, int64_t now, weir_error *error);
int64_t weir__guard_patience(weir_pool *pool, int64_t now, int64_t deadline);
/* Nobody has driven the reactor for so long that a probe is overdue: what is known of the server is old. */
bool weir__guard_stale(const weir_pool *pool, int64_t now);
/* Those in line may be served. */
static inline bool weir__guard_serves(weir_pool *pool, int64_t now) {
    weir__breaker *breaker = weir__guard_of(pool, WEIR_BREAKER_QUERIES);
    return weir__breaker_calm(breaker) || weir__breaker_admits(breaker, now);
}
/* The permit for one that may be made, as it is granted. */
void weir__guard_grant(weir_pool *pool, weir_permit *permit, int64_t now);
/* The permit for what a session runs; `begins`: outside of a transaction. WEIR_IS_CIRCUIT_OPEN. */
int weir__guard_enter(weir__slot *slot, bool begins, weir_permit *permit, int64_t now, weir_error *error);
/* The call has ended, with an error or, NULL, without; uses the permit up. */
void weir__guard_end(weir_pool *pool, weir_permit *permit, const weir_error *why, int64_t now);
/* Likewise, when a caller is told of the error: how it counts may be his host's to say, and goes into
 * *failure. */
void weir__guard_tell(weir_pool *pool, weir_permit *permit, const weir_error *why, weir_failure *failure,
                      int64_t now);
/* It has been said, and the failure is used up; one that is no failure is accepted. */
void weir__guard_judge(weir_failure *failure, const weir_error *why, weir_verdict verdict);
void weir__guard_cancel(weir_pool *pool, weir_permit *permit, int64_t now);
/* Whether a time since then that is over says something of the server: most of it went by in asking it. */
bool weir__guard_blames(int64_t asked, int64_t since, int64_t now);
/* The permit for an attempt to connect; false: not now. */
bool weir__guard_attempt(weir_pool *pool, weir_permit *permit, int64_t now);
/* The slot's attempt has come to its end. */
void weir__guard_attempted(weir__slot *slot, weir_outcome outcome, const weir_error *why, int64_t now);
/* A caller's time has passed while an attempt to connect was under way. */
void weir__guard_waited(weir_pool *pool, const weir_error *why, int64_t now);
/* A code of WEIR_IS_CIRCUIT_OPEN, with *error set, while that breaker lets nobody in. To ask counts nothing.
 */
int weir__guard_shut(weir_pool *pool, weir_breaker_role role, int64_t now, weir_error *error);
/* Somebody is refused with that error: counts it, if a breaker is why. */
void weir__guard_refused(weir_pool *pool, const weir_error *why);
/* A breaker's state has changed: those in line and the log hear of it. */
void weir__guard_heed(weir_pool *pool);
/* Somebody is in line: looks again when a breaker changes by itself, as half-open places that come free. */
void weir__guard_watch(weir_pool *pool);
/* As of now. */
weir_breaker_state weir__guard_state(weir_pool *pool, weir_breaker_role role);
/* ---- probe.c ---- */
/* There is an outage: probes take the place of growing. */
bool weir__pool_has_outage(const weir_pool *pool);
static inline bool weir__pool_probing(const weir_pool *pool) {
    return (pool->guard.outage || !weir__guard_calm(pool)) && weir__pool_has_outage(pool);
}
void weir__pool_probe(weir_pool *pool, int64_t now);
void weir__probe_beat(weir_pool *pool, int64_t now); /* an attempt begins */
/* So many attempts are under way. */
int weir__pool_trying(const weir_pool *pool);
/* A connection that may be fit for use; false: it is asked first. */
bool weir__slot_prove(weir__slot *slot, int64_t now);
/* Whether the answer that has come says that the server is not well; why is in slot->lost then. */
bool weir__slot_check_failed(weir__slot *slot, const weir__request *request);

/* ---- checkout.c ---- */
int weir__pool_acquire(weir_pool *pool, const weir_checkout *checkout, void *token, weir_session *session,
                       weir_op *op, weir_error *error);
int weir__pool_execute(weir_pool *pool, weir_statement *statement, const weir_run *run, void *token,
                       weir_op *op, weir_error *error);
/* own: the pool's. */
int weir__pool_transaction(weir_pool *pool, weir_batch *batch, const char *begin, const weir_run *run,
                           bool own, void *token, weir_op *op, weir_error *error);
/* health_check_query, for weir__health_asked. */
int weir__pool_question(weir_pool *pool, const weir_run *run, void *token, weir_op *op, weir_error *error);
/* NULL: out of memory. */
weir__task *weir__task_new(weir_pool *pool, weir_completion_kind kind, void *token, int64_t now);
/* Frees the task without a completion, and its statement. */
void weir__task_drop(weir__task *task);
/* The first idle connection that is fit to be lent, and may be; unfit ones are closed on the way. NULL: none,
   or one is asked whether it is. */
weir__slot *weir__pool_take_idle(weir_pool *pool, int64_t now);
weir__slot *weir__pool_any_idle(weir_pool *pool, int64_t now); /* … though it may have to be asked first */
/* Out of the queue. */
void weir__task_leave_line(weir__task *task);
/* Into the lane, in front of all: it was on a connection already. */
void weir__task_move_on(weir__task *task);
/* Lends idle connections to those who wait. */
void weir__pool_serve(weir_pool *pool);
/* Answers everyone who waits with an error. */
void weir__pool_refuse_waiters(weir_pool *pool, const weir_error *error);

/* ---- flight.c ---- */
/* In the slot's line of flights. NULL: out of memory; never for the first of a slot. */
weir__flight *weir__flight_new(weir__slot *slot);
/* Out of it, the slot's own, into which nothing has been put. */
void weir__flight_unused(weir__flight *flight);
/* Out of it; what the request holds is freed. */
void weir__flight_free(weir__flight *flight);
/* Those of a slot whose connection is gone. */
void weir__flights_free(weir__slot *slot);
void weir__spares_free(weir_pool *pool);
static inline bool weir__slot_busy(const weir__slot *slot) { return slot->flying > 0; }
/* The first whose answer somebody waits for; NULL: none. */
weir__flight *weir__slot_live(const weir__slot *slot);
/* Nobody waits for its answer any more: the task is the caller's to complete or to drop. */
weir__task *weir__flight_detach(weir__flight *flight, int64_t now);

/* ---- request.c ---- */
/* Makes the flight's request from the task, whose statement it takes. False: there is nothing to be ended on
 * the server. */
bool weir__request_build(weir__flight *flight, weir__task *task);
/* How many transactions of the holder's the server has open, as far as the last answer told. */
int weir__levels_alive(const weir__slot *slot);
/* The transaction of that depth, and those in it, have ended for the holder, whatever the server has. */
void weir__levels_die(weir__slot *slot, int from);
/* Learns from the request's outcome what the server has open. */
void weir__request_settle(weir__flight *flight);
/* The answer to an end that needs nothing to be sent: WEIR_ETRANSACTION when a commit has nothing to commit
 * any more. */
int weir__nothing_to_end(weir__slot *slot, bool commit, weir_error *error);

/* ---- run.c ---- */
/* Fails the task with a copy of *why. */
void weir__task_fail(weir__task *task, const weir_error *why);
/* … of a task that was sent, by that flight, and that the pool itself ends: with WEIR_EOUTCOME, or
 * WEIR_EOUTCOMETIMEOUT since its time is up, when it is a COMMIT, or in doubt whether it takes effect. Counts
 * its statement. */
void weir__task_give_up(weir__task *task, const weir__flight *flight, const weir_error *why, bool doubtful);
/* Whether it may be done all the same, without a COMMIT, though nobody waits for its answer any more. */
bool weir__flight_doubtful(const weir__flight *flight);
bool weir__task_commits(const weir__task *task);
/* In the pool's numbers it is a query. */
static inline bool weir__task_is_query(const weir__task *task) {
    weir_completion_kind kind = task->op.completion.kind;
    return kind == WEIR_DONE_EXECUTE || kind == WEIR_DONE_COPY || kind == WEIR_DONE_BATCH ||
           kind == WEIR_DONE_HEALTH;
}
/* Has the driver send what it was given to hold. */
void weir__slot_flush(weir__held *held);
/* Answers a statement that does not run, since one before it in the transaction has failed. */
void weir__task_skip(weir__task *task);
/* The session's tasks that may run by now. */
void weir__slot_run_queued(weir__slot *slot, int64_t now);
/* Whether a session's statement may be sent behind what flies already. */
bool weir__slot_takes_more(const weir__slot *slot);
/* Gives a request, built from the task, to the driver. */
void weir__slot_run(weir__slot *slot, weir__task *task, int64_t now);
/* The option echo: the text of what is sent is logged. */
void weir__query_log(const weir_pool *pool, const weir_statement *statement);
static inline void weir__query_echo(const weir_pool *pool, const weir_statement *statement) {
    if (pool->echo) weir__query_log(pool, statement);
}
/* A statement has been answered: counts it; one that the server's own guard ended becomes
   what it is, a time-out. */
void weir__query_answered(weir__flight *flight, int64_t run_ms, int64_t now);
/* A statement, if it is one, has ended: answered or not, it is counted. `code` says why, WEIR_ECANCELLED that
 * its caller did not want it any more; `told` is what he is told, NULL: no more than that. */
void weir__query_ended(const weir__flight *flight, int code, const weir_error *told, int64_t now);
/* … one that was moved off its connection, and waits for another one. */
void weir__query_in_line_ended(const weir__task *task, const weir_error *why, int64_t now);
/* The request has ended: answers the task; the flight is gone then. */
void weir__flight_answer(weir__flight *flight, int64_t now);
/* The task's deadline. */
void weir__task_expired(weir__timer *timer);
/* The caller's cancel. */
void weir__task_cancelled(weir__op *op);
/* Detaches the task, which is the caller's then. When nobody waits for anything on the connection any more,
 * the driver is asked to cancel, unless `finish`. */
weir__task *weir__flight_abandon(weir__flight *flight, bool finish);
/* Asks the driver, once, to end what flies. */
void weir__slot_cancel(weir__slot *slot);
/* Nobody waits any more for what flies on a RUNNING slot: -> DRAINING, and cancelled. */
void weir__slot_drain(weir__slot *slot, int64_t now);

/* ---- batch.c ---- */
/* It is running from here on, until the end. WEIR_EBUSY: it is already. WEIR_EINVAL: a statement of its own
   would end its transaction. */
int weir__batch_start(weir_pool *pool, weir_batch *batch, const char *begin, weir_error *error);
/* NULL is accepted. */
void weir__batch_end(weir_batch *batch, bool well);
/* COMMIT may have been sent, and nothing is known to have gone wrong before it. */
bool weir__batch_commits(const weir_batch *batch);
bool weir__batch_readonly(const weir_batch *batch); /* its transaction begins so */
/* Gives requests to the driver: all, or the next. False: out of memory, and nothing was given. */
bool weir__batch_go_on(weir__slot *slot, weir__task *task, int64_t now);
/* Takes the outcome of a statement. The task that is to be answered now, or, with *more, to go on; or NULL.
 */
weir__task *weir__batch_answer(weir__flight *flight, bool *more);
/* Nobody wants any more what flies on the slot. */
void weir__batch_forget(weir__slot *slot);

/* ---- release.c ---- */
/* The connection is nobody's: reset it if need be, then lend, keep or close it. */
void weir__slot_release(weir__slot *slot, int64_t now);
/* Fit for use: lend, keep or close. */
void weir__slot_ready(weir__slot *slot, int64_t now);
void weir__slot_bound_fired(weir__timer *timer);
/* Whether the reset that has ended leaves the connection unfit for use; says why. */
bool weir__slot_reset_failed(const weir__slot *slot, const weir__request *reset);

/* ---- session.c ---- */
/* "main (app.py:12)" of the holder. Gives `text`. */
const char *weir__site(const weir__slot *slot, char *text, size_t size);
/* Ends the loan with *why; the connection goes on. */
void weir__session_break_off(weir__slot *slot, const weir_error *why);
/* May the holder run something now? Takes a permit of the breaker where one is wanted; fails when his loan is
 * overdue. */
int weir__session_admit(weir__slot *slot, weir_permit *permit, int64_t now, weir_error *error);
/* What fell due while nobody drove the reactor comes before what the holder wants now: an error, when it has
 * ended his loan. */
int weir__session_overdue(weir__slot *slot, int64_t now, weir_error *error);
int weir__session_find(weir_session session, weir__slot **out, weir_error *error);
int weir__session_execute(weir__slot *slot, weir_statement *statement, weir__mode mode, const weir_run *run,
                          void *token, weir_op *op, weir_error *error);
int weir__session_begin(weir__slot *slot, const weir_transaction *begin, int *depth, weir_error *error);
int weir__session_end(weir__slot *slot, bool commit, int depth, void *token, weir_op *op, weir_error *error);
int weir__session_pipeline(weir__slot *slot, bool on, weir_error *error);
/* An operation runs, or waits to run. A request that only drains is not in the way. */
bool weir__session_busy(const weir__slot *slot);
/* Answers with *why all who wait for what runs, or is to run, on the slot, and counts its statements. */
void weir__slot_fail_tasks(weir__slot *slot, const weir_error *why);
void weir__session_return(weir__slot *slot, bool discard);
/* weir_session_limit; anything but a positive time takes the limit away. */
void weir__session_limit(weir__slot *slot, int64_t timeout_ms);
/* The limits of a loan that begins: of it, and of its setup; WEIR__NEVER: none. */
void weir__session_limits(weir__slot *slot, int64_t session_until, int64_t setup_until);
int weir__session_ready(weir__slot *slot, weir_error *error);
int weir__session_watch(weir__slot *slot, void *token, weir_op *op, weir_error *error);
/* The loan ends so. */
void weir__session_tell(weir__slot *slot, int code);
void weir__session_expired(weir__timer *timer);
/* The driver's text for a beginning. WEIR_EINVAL names an isolation that there is not. */
int weir__begin_text(weir_pool *pool, const weir_transaction *begin, const char **out, weir_error *error);

/* ---- copy.c ---- */
/* Whether the pool's driver can run such a statement: WEIR_OK, WEIR_ENOTSUP, WEIR_EINVAL. */
int weir__mode_check(const weir_pool *pool, const weir_statement *statement, weir__mode mode,
                     weir_error *error);
static inline bool weir__copy_open(const weir__slot *slot) { return slot->copy.flight || slot->copy.over; }
/* The flight of a COPY has begun. */
void weir__copy_sent(weir__flight *flight);
/* The driver has news of it. */
void weir__copy_look(weir__slot *slot);
/* True: the outcome was kept for the next step. False: it is no COPY's, or the answer to the step that waits.
 */
bool weir__copy_landed(weir__flight *flight, int64_t now);
/* It is no business of the slot's holder any more, whatever becomes of its flight. Who watches is told the
 * code. */
void weir__copy_forget(weir__slot *slot, int code);
void weir__copy_expired(weir__timer *timer);
/* As weir_session_copy_put and its like. */
int weir__copy_put(weir__slot *slot, const void *data, size_t length, void *token, weir_op *op,
                   weir_error *error);
int weir__copy_end(weir__slot *slot, void *token, weir_op *op, weir_error *error);
int weir__copy_take(weir__slot *slot, void *token, weir_op *op, weir_error *error);
int weir__copy_watch(weir__slot *slot, void *token, weir_op *op, weir_error *error);
int weir__copy_abort(weir__slot *slot, weir_error *error);
/* ---- stream.c ---- */
int weir__stream_open(weir__slot *slot, weir_statement *statement, size_t rows, const weir_run *run,
                      uint64_t *number, weir_error *error);
int weir__stream_next(weir__slot *slot, uint64_t number, void *token, weir_result **out, weir_op *op,
                      weir_error *error);
int weir__stream_close(weir__slot *slot, uint64_t number);
/* Nothing flies any more on a lent connection: runs what waits for that, the session's next and its streams'.
 */
void weir__slot_resume(weir__slot *slot, int64_t now);
/* What the holder has given. Borrowed. */
const char *weir__stream_text(const weir__stream *stream, size_t *length);
/* A stream's request ends without an answer that its holder could hear: when he has been told of a failure,
 * or has closed the stream, he knows no other end, and it is counted as that. False: neither. */
bool weir__stream_counts(const weir__flight *flight, int64_t now);
/* A stream's request has ended; its flight is freed next. */
void weir__stream_answer(weir__flight *flight, int64_t now);
/* The holder's transaction of that depth ends: streams go with it, or, when a savepoint is released, stay. */
void weir__streams_leave(weir__slot *slot, int depth, bool commit);
/* A statement of the holder's has ended a transaction, or gone back to a savepoint. */
void weir__streams_broken(weir__slot *slot, const weir__request *request);
/* The loan is over. */
void weir__streams_end(weir__slot *slot, int code);

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
void weir__pool_gauges(weir_pool *pool, weir_snapshot *out); /* … these alone, which takes no time */
void weir__pool_publish(weir__deferred *publish);

/* ---- ceiling.c ---- */
/* max_size, as it counts now; the hot paths' way to it. */
static inline int weir__pool_size(const weir_pool *pool) {
    return pool->ceiling.most == INT_MAX ? pool->max_size : weir__pool_beneath(pool, pool->max_size);
}

/* ---- listener.c ---- */
void weir__listeners_end(weir_pool *pool, int code);
/* Has their connections made anew, at once. */
void weir__listeners_renew(weir_pool *pool);
int weir__listeners_count(const weir_pool *pool);

/* ---- close.c ---- */
/* Nothing of a closing pool is left but its memory. */
static inline bool weir__pool_gone(const weir_pool *pool) {
    return !weir__pool_total(pool) && weir__list_empty(&pool->listeners);
}
/* Why it takes nobody new: a text, or NULL when it does. */
const char *weir__pool_shut(const weir_pool *pool);
/* The same as an error: WEIR_ECLOSED or WEIR_OK. */
int weir__pool_check_shut(const weir_pool *pool, weir_error *error);
/* drain: who waits already is served, within the grace. */
int weir__pool_close(weir_pool *pool, int64_t grace_ms, bool drain, void *token, weir_op *op,
                     weir_error *error);
void weir__pool_check_drained(weir_pool *pool);
void weir__pool_grace_over(weir__timer *timer);
void weir__pool_check_closed(weir_pool *pool);

/* ---- open.c ---- */
/* Does without the background thread from here on. */
void weir__pool_unkeep(weir_pool *pool);
int weir__pool_open(weir_reactor *reactor, const weir__driver *driver, weir__config *config, uint64_t seed,
                    void *token, weir_pool **out, weir_op *op, weir_error *error);
void weir__pool_free(weir_pool *pool); /* not under the lock */

/* ---- check.c ---- */
/* For the tests: NULL, or what does not hold. */
const char *weir__pool_check(const weir_pool *pool);

#endif

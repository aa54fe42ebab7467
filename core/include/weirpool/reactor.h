/*
 * The reactor: every connection's socket, the timers and a wake-up behind one pollable descriptor.
 *
 * Submission and completion: a call that cannot be answered at once returns WEIR_PENDING and an operation;
 * its completion is queued later and taken with weir_reactor_next. No function of the host is ever called
 * from inside.
 *
 *     an event loop:  watch weir_reactor_fd() for reading; when it is, weir_reactor_dispatch(), then
 *                     weir_reactor_next() until it gives false. Do the same draining after each call of your
 * own. blocking:       submit with token NULL, then weir_reactor_wait() for that operation.
 *
 * Every function may be called from any thread, unless it says otherwise.
 */
#ifndef WEIRPOOL_REACTOR_H
#define WEIRPOOL_REACTOR_H

#include <weirpool/breaker.h>
#include <weirpool/error.h>
#include <weirpool/log.h>
#include <weirpool/result.h>

WEIR_BEGIN_DECLS

typedef struct weir_reactor weir_reactor;
struct weir_pool;

/* An operation under way, a number that is never used again; 0 is none. */
typedef uint64_t weir_op;

/*
 * A connection that has been lent. A value, copied at will: it names the loan, not the connection, and once
 * the loan has ended every use of it gives WEIR_ESTALE. Zero-initialised: no session.
 */
typedef struct weir_session {
    struct weir_pool *pool;
    uint64_t loan;
    uint32_t slot;
} weir_session;

typedef enum weir_completion_kind {
    WEIR_DONE_OPEN = 1, /* weir_pool_open */
    WEIR_DONE_ACQUIRE,  /* weir_pool_acquire: `session` */
    WEIR_DONE_EXECUTE,  /* weir_pool_execute, weir_session_execute: `result` */
    WEIR_DONE_END,      /* weir_session_commit, weir_session_rollback */
    WEIR_DONE_CLOSE,    /* weir_pool_close */
    WEIR_DONE_SLEEP,    /* weir_reactor_sleep */
    WEIR_DONE_BATCH,    /* weir_pool_transaction: the results are the batch's */
    WEIR_DONE_COPY,     /* the steps of a COPY: copy.h */
    WEIR_DONE_STREAM,   /* weir_stream_next: `result`, NULL at the end of the rows */
    WEIR_DONE_WATCH,    /* weir_session_watch, weir_session_copy_watch */
    WEIR_DONE_LISTEN,   /* weir_listener_confirm, weir_listener_wait */
    WEIR_DONE_HEALTH,   /* weir_pool_check_health */
    WEIR_EVENT_INIT,    /* option init_hook: a new connection wants its init; `session`, `token` is
                           weir_pool_open's.    Release it when done, discard it when it failed */
} weir_completion_kind;

/*
 * A statement of a pool with the option circuit_hook has failed, and how that counts with the pool's breaker
 * waits for the host's predicates: weir_completion_judge. A half-open breaker's place is taken meanwhile. The
 * fields are the pool's; zeroed, or used up, it is none.
 */
typedef struct weir_failure {
    struct weir_pool *pool;
    weir_permit permit;
    int64_t took_ns;
} weir_failure;

typedef struct weir_completion {
    weir_completion_kind kind;
    int code;    /* WEIR_OK, or the error's code */
    weir_op op;  /* 0 for an event */
    void *token; /* as it was submitted */
    weir_session session;
    weir_result *result;  /* the taker's: weir_result_free; NULL when there is none */
    weir_error *error;    /* the taker's: weir_error_free; NULL on success */
    weir_failure failure; /* the taker's, when its pool is set: to be judged, before its pool is freed */
} weir_completion;
/* What the host's predicates say of `error`, as weir_breaker_classify takes it. Nothing happens when there is
 * no failure, or when it has been judged. */
WEIR_API void weir_completion_judge(weir_completion *completion, weir_verdict verdict);
/* Frees result and error, releases the session, and judges the failure without a verdict, if they are still
 * there: for a completion that nobody wants. */
WEIR_API void weir_completion_discard(weir_completion *completion);

/* WEIR_ENOMEM, or WEIR_EINTERNAL with the system's reason (no descriptors left). *out is the caller's. */
WEIR_API int weir_reactor_new(weir_reactor **out, weir_error *error);
/* All pools must have been freed before. NULL is accepted. In a forked child it frees nothing that is shared.
 */
WEIR_API void weir_reactor_free(weir_reactor *reactor);

/* The descriptor: readable when dispatch has something to do or next something to give. Borrowed. -1 for
 * NULL. */
WEIR_API int weir_reactor_fd(const weir_reactor *reactor);
/*
 * The calling thread takes on the duty to drain weir_reactor_next after every call that it makes: such calls
 * then do not signal the descriptor, which spares a system call each. Calls from other threads still do.
 */
WEIR_API void weir_reactor_attach(weir_reactor *reactor);
/* Does all that is ready, never blocks. WEIR_OK, WEIR_EFORKED. */
WEIR_API int weir_reactor_dispatch(weir_reactor *reactor);
/* Sends what was submitted with `hold`. Dispatch and wait do so, too. WEIR_OK, WEIR_EFORKED. */
WEIR_API int weir_reactor_flush(weir_reactor *reactor);
/* Takes the next completion; false when there is none. What it carries is the caller's. */
WEIR_API bool weir_reactor_next(weir_reactor *reactor, weir_completion *out);
/*
 * Waits until an operation that was submitted with token NULL is complete, driving the reactor if nobody else
 * does, and takes its completion. timeout_ms < 0: without limit (the operation has its own deadline).
 *
 * WEIR_OK: *out is filled (its code may be an error). WEIR_ETIMEOUT: not yet, and the operation goes on: wait
 * again or cancel it. WEIR_EVENT: there is something for weir_reactor_next: take it, then wait again; a
 * statement of an init is not told of others, so that inits do not nest. WEIR_INTERRUPTED: a signal handler
 * has run; wait again or cancel it. WEIR_ESTALE: no such operation. WEIR_EBUSY: another thread waits for it.
 */
WEIR_API int weir_reactor_wait(weir_reactor *reactor, weir_op op, int64_t timeout_ms, weir_completion *out);
/* An operation that does nothing, and is complete in so many milliseconds (at least 1): to wait with all that
   a wait has, signals, cancelling and the work of the pools. WEIR_PENDING, or an error. */
WEIR_API int weir_reactor_sleep(weir_reactor *reactor, int64_t ms, void *token, weir_op *op,
                                weir_error *error);
/*
 * Ends the interest in an operation: once this has returned no completion of it will be given out. A
 * connection that was just granted goes back; a statement that runs is cancelled in the background, and a
 * session it ran on waits for that. WEIR_OK, also when it was complete but not yet taken (its result is
 * freed); WEIR_ESTALE when it was taken before; WEIR_EBUSY while another thread waits for it: cancelling is
 * that thread's, after its wait.
 */
WEIR_API int weir_reactor_cancel(weir_reactor *reactor, weir_op op);
/* Takes the oldest log line; false when there is none. At most 256 are kept, the oldest are dropped first. */
WEIR_API bool weir_reactor_next_log(weir_reactor *reactor, weir_log_record *out);
/* Lines below this level are not made; WEIR_LOG_INFO at first. */
WEIR_API void weir_reactor_log_level(weir_reactor *reactor, weir_log_level level);

WEIR_END_DECLS

#endif

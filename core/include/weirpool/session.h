/*
 * A lent connection. It may be entered, used and left in different threads, but by one at a time: a call
 * while another operation runs on it gives WEIR_EBUSY. After its return every call gives WEIR_ESTALE; after
 * the pool has ended it, the reason: WEIR_ELOST, WEIR_ESESSIONTIMEOUT, WEIR_ECLOSED, which is not retryable
 * once a COMMIT was sent, or a statement outside of a transaction: that stays.
 */
#ifndef WEIRPOOL_SESSION_H
#define WEIRPOOL_SESSION_H

#include <weirpool/pool.h>

WEIR_BEGIN_DECLS

/* Gives the connection back, at once and without waiting: an open transaction is rolled back in the
   background. A second time: WEIR_ESTALE, harmless. */
WEIR_API int weir_session_release(weir_session session);
/* As release, for a session of kind `transaction` that has nothing to commit: nothing was run, or all of it
   has been committed or rolled back. WEIR_EBUSY: there is something; nothing has changed then. */
WEIR_API int weir_session_release_unused(weir_session session);
/* As release, but the connection is closed, and replaced when the pool wants one. */
WEIR_API int weir_session_discard(weir_session session);
/* As discard, of a WEIR_EVENT_INIT's session whose init has failed. Whoever waits for a connection is told
   `why`, as the detail of his WEIR_ECONNECT; copied. NULL: nobody knows. */
WEIR_API int weir_session_init_failed(weir_session session, const char *why);

/* Ends the setup of a loan that was checked out with `setup`. WEIR_ECHECKOUTTIMEOUT (of a `call`
   WEIR_ECOMMANDTIMEOUT): it came too late, and the connection is closed. Of other loans: nothing happens. */
WEIR_API int weir_session_ready(weir_session session, weir_error *error);
/* WEIR_PENDING: the operation completes when the loan ends, with the reason, or WEIR_OK when its holder has
   given it back. WEIR_EBUSY: there is one already. */
WEIR_API int weir_session_watch(weir_session session, void *token, weir_op *op, weir_error *error);

/* The loan ends (WEIR_ESESSIONTIMEOUT) in so many milliseconds from now on, whatever its checkout said; -1:
   at no time. */
WEIR_API int weir_session_limit(weir_session session, int64_t timeout_ms, weir_error *error);

/* Runs a statement; of *run (NULL: as weir_run_init) only timeout_ms and script count, WEIR_TIMEOUT_DEFAULT
   is command_timeout, and hold while the session pipelines. When it passes: WEIR_ECOMMANDTIMEOUT, or
   WEIR_EOUTCOMETIMEOUT for a write in autocommit that may be done. The statement is ref'd. */
WEIR_API int weir_session_execute(weir_session session, weir_statement *statement, const weir_run *run,
                                  void *token, weir_op *op, weir_error *error);
/*
 * From here on, until it is switched off, statements may be given without awaiting those before them: they
 * run in their order. In a transaction a failure has those that are on their way behind it fail, too
 * (SQLSTATE 25P02); outside of one each stands for itself. A transaction or savepoint begins and ends only
 * when all are answered, and so is this switched: WEIR_EBUSY otherwise. Statements with `hold` go out in one
 * go. SQLite runs them one after the other as well.
 */
WEIR_API int weir_session_pipeline(weir_session session, bool on, weir_error *error);
/*
 * Begins a transaction on a plain connection, or a savepoint where one is open (`begin` must be NULL or all
 * zero then). Nothing is sent: it travels with the next statement. *depth: 1 for the outermost transaction, 2
 * for a savepoint in it … In a session of kind `transaction` depth 1 is the session's own.
 */
WEIR_API int weir_session_begin(weir_session session, const weir_transaction *begin, int *depth,
                                weir_error *error);
/*
 * Ends the innermost transaction or savepoint, which must be the one of that depth (WEIR_ETRANSACTION
 * otherwise). WEIR_OK: at once, nothing had been sent. WEIR_PENDING: the completion tells: WEIR_EROLLEDBACK
 * when the database rolled back instead, WEIR_EOUTCOME when there was no answer, WEIR_EOUTCOMETIMEOUT when it
 * did not come in time. The transaction has ended for the session in every case.
 */
WEIR_API int weir_session_commit(weir_session session, int depth, void *token, weir_op *op,
                                 weir_error *error);
WEIR_API int weir_session_rollback(weir_session session, int depth, void *token, weir_op *op,
                                   weir_error *error);

typedef struct weir_session_info {
    int depth;           /* open transactions and savepoints, begun or about to be */
    bool in_transaction; /* the database has a transaction open */
    bool failed;         /* … which can only be rolled back */
    bool busy;           /* an operation runs */
    int backend;         /* the server's process id; 0 for SQLite */
    int64_t age_ms;      /* since it was lent */
} weir_session_info;
/* WEIR_ESTALE, with the reason in the error, when the loan has ended. */
WEIR_API int weir_session_inspect(weir_session session, weir_session_info *out, weir_error *error);

WEIR_END_DECLS

#endif

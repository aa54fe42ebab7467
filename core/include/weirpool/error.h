/* Errors: one append-only table gives code, name, exception class and text to C, Python and Lua alike. */
#ifndef WEIRPOOL_ERROR_H
#define WEIRPOOL_ERROR_H

#include <weirpool/export.h>

WEIR_BEGIN_DECLS

/*
 * X(suffix, value, class, parent, retryable, text)
 *
 * The class and its parent are the exception classes of the bindings; the parents that are not in the table
 * are those of PEP 249. A value is never given to another meaning, and new rows are added at the end.
 * retryable: nothing has been changed, so that the same call may safely be made again.
 */
#define WEIR_ERRORS(X)                                                                                       \
    X(ENOMEM, 1, OutOfMemory, OperationalError, true, "out of memory")                                       \
    X(EINVAL, 2, ArgumentError, InterfaceError, false, "invalid argument")                                   \
    X(EOPTION, 3, OptionError, ArgumentError, false, "invalid option or URL")                                \
    X(ECLOSED, 4, PoolClosed, InterfaceError, false, "the pool is closed")                                   \
    X(ESTALE, 5, SessionClosed, InterfaceError, false, "the session has been returned to its pool")          \
    X(EBUSY, 6, SessionBusy, InterfaceError, false, "another operation is running on this session")          \
    X(EFORKED, 7, ForkedError, InterfaceError, false, "the pool was opened before a fork")                   \
    X(EWRONGLOOP, 8, WrongLoop, InterfaceError, false, "the pool belongs to another event loop")             \
    X(ETRANSACTION, 9, TransactionError, ProgrammingError, false,                                            \
      "not possible in this state of the transaction")                                                       \
    X(ECONNECT, 10, ConnectError, OperationalError, true, "cannot connect to the database")                  \
    X(ELOST, 11, ConnectionLost, OperationalError, true, "the connection was lost")                          \
    X(ETIMEOUT, 12, PoolTimeout, OperationalError, true, "a deadline has passed")                            \
    X(ECONNECTTIMEOUT, 13, ConnectTimeout, PoolTimeout, true, "connecting took longer than connect_timeout") \
    X(ECHECKOUTTIMEOUT, 14, CheckoutTimeout, PoolTimeout, true, "no connection was ready in time")           \
    X(ECOMMANDTIMEOUT, 15, CommandTimeout, PoolTimeout, false, "the statement took longer than its timeout") \
    X(ELOCKTIMEOUT, 16, LockTimeout, PoolTimeout, true, "a lock was not had within lock_timeout")            \
    X(ESESSIONTIMEOUT, 17, SessionTimeout, PoolTimeout, true, "the session lasted longer than its timeout")  \
    X(ECANCELLED, 18, OperationCancelled, OperationalError, true, "the operation was cancelled")             \
    X(EQUEUEFULL, 19, TooManyWaiting, OperationalError, true, "max_waiting callers are waiting already")     \
    X(ESERVER, 20, DatabaseError, Error, false, "the database reported an error")                            \
    X(EROLLEDBACK, 21, TransactionRolledBack, OperationalError, true, "COMMIT was answered by ROLLBACK")     \
    X(EOUTCOME, 22, OutcomeUnknown, OperationalError, false,                                                 \
      "a COMMIT, or a write, was sent and not answered: whether it takes effect is unknown")                 \
    X(EVALUE, 23, DataError, DatabaseError, false, "a value cannot be converted")                            \
    X(ENOTSUP, 24, NotSupportedError, DatabaseError, false, "not supported by this database")                \
    X(EINTERNAL, 25, InternalError, DatabaseError, false, "internal error of weirpool")                      \
    X(ECIRCUITOPEN, 26, CircuitOpen, OperationalError, true, "the circuit breaker is open")                  \
    X(ERECLAIMED, 27, SessionReclaimed, OperationalError, false,                                             \
      "the connection was held for longer than leak_threshold, and was taken back")                          \
    X(EIDLE, 28, IdleInTransactionTimeout, PoolTimeout, true,                                                \
      "the transaction was idle for longer than idle_in_transaction_timeout, and was rolled back")           \
    X(EOUTCOMETIMEOUT, 29, OutcomeTimeout, OutcomeUnknown, false,                                            \
      "a COMMIT, or a write, was not answered in time: whether it takes effect is unknown")                  \
    X(EOVERLOADED, 30, Overloaded, TooManyWaiting, true,                                                     \
      "callers have waited for longer than queue_target for too long")                                       \
    X(ECONNECTCIRCUITOPEN, 31, ConnectCircuitOpen, CircuitOpen, true,                                        \
      "the database cannot be connected to, and the circuit breaker is open")

/* X(class, parent): a class that stands below a second one, too. */
#define WEIR_ERRORS_ALSO(X)                                                                                  \
    X(ConnectTimeout, ConnectError)                                                                          \
    X(OutcomeTimeout, CommandTimeout)                                                                        \
    X(ConnectCircuitOpen, ConnectError)

/* A circuit breaker's refusal, of either code. */
#define WEIR_IS_CIRCUIT_OPEN(code) ((code) == WEIR_ECIRCUITOPEN || (code) == WEIR_ECONNECTCIRCUITOPEN)

/* Results of calls: 0 is success, negative is neither success nor failure, positive is an error of the table.
 */
enum {
    WEIR_INTERRUPTED = -3, /* from weir_reactor_wait: a signal handler has run */
    WEIR_EVENT = -2,   /* from weir_reactor_wait: there is something for weir_reactor_next, then wait again */
    WEIR_PENDING = -1, /* started: a completion will follow */
    WEIR_OK = 0,
#define WEIR__CODE(suffix, value, cls, parent, retryable, text) WEIR_##suffix = value,
    WEIR_ERRORS(WEIR__CODE)
#undef WEIR__CODE
};

/*
 * What went wrong. The caller owns the struct; the strings belong to it until weir_error_clear. Start with
 * WEIR_ERROR_INIT; every function that takes a `weir_error *` accepts NULL, and touches it on failure only.
 * A field that the database did not give is NULL (position: 0). No password is ever in a message.
 */
typedef struct weir_error {
    int code;               /* WEIR_E…; WEIR_OK when nothing has failed */
    bool retryable;         /* nothing has been changed: the same call may safely be made again */
    char sqlstate[6];       /* five characters, or "" */
    int position;           /* in the statement's text, in characters from 1; 0 unknown */
    int64_t retry_after_ms; /* the pool tries again by itself in so many ms; -1 unknown */
    const char *message;
    const char *severity, *detail, *hint, *schema, *table, *column, *constraint;
    const char *context; /* where the server was: functions and their lines, or a COPY's line and column */
    uint64_t xid;        /* of an OutcomeUnknown: the transaction's number, for pg_xact_status(); 0 unknown */
    void *owned;         /* memory behind the strings; not for callers */
} weir_error;

#define WEIR_ERROR_INIT                                                                                      \
    { 0, false, "", 0, -1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL }

/* Frees what the error owns and sets it to WEIR_ERROR_INIT. NULL is accepted; may be called twice. Any
 * thread. */
WEIR_API void weir_error_clear(weir_error *error);
/* Frees an error that was handed over by pointer, as a completion does. NULL is accepted. */
WEIR_API void weir_error_free(weir_error *error);

/* "CheckoutTimeout", the name of the exception class of a code; NULL for a code that is not in the table. */
WEIR_API const char *weir_error_class(int code);
/* "ECHECKOUTTIMEOUT"; NULL for a code that is not in the table. */
WEIR_API const char *weir_error_name(int code);
/* The code's general text, never NULL. */
WEIR_API const char *weir_error_text(int code);

/* One row of a table that bindings build their exception classes from; class and parent are static strings.
 */
typedef struct weir_error_info {
    int code;             /* WEIR_E…; WEIR_ESERVER for the classes of SQLSTATEs */
    const char *sqlstate; /* "23505"; NULL for a row of WEIR_ERRORS */
    const char *name;     /* "UniqueViolation" */
    const char *parent;   /* "IntegrityError" */
    const char *also;     /* a second parent; NULL: none */
} weir_error_info;
/* Rows 0 … n-1: first WEIR_ERRORS, then PostgreSQL's SQLSTATEs. False past the end. Parents of PEP 249 have
 * no row. */
WEIR_API bool weir_error_table(size_t row, weir_error_info *out);
/*
 * The name of the exception class for a SQLSTATE: that of its row, else the class of PEP 249 that its first
 * two characters have, else "DatabaseError" (NULL and texts of another length, too). Static, never NULL.
 */
WEIR_API const char *weir_sqlstate_class(const char *sqlstate);

WEIR_END_DECLS

#endif

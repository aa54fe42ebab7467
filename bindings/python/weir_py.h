/*
 * The hand-written half of weirpool._core: what awaitables, sessions, records and pools share.
 *
 * One interpreter, with its lock: everything here runs with the GIL held unless a comment says otherwise, and
 * keeps its state in static variables. No host code runs inside a call of the core; completions are taken by
 * weir__py_drain, after each call of our own and when the reactor's descriptor is readable.
 */
#ifndef WEIR_PY_H
#define WEIR_PY_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>
#include <structmember.h>
#include <weirpool/weirpool.h>

typedef struct EngineObject EngineObject;
typedef struct PoolObject PoolObject;
typedef struct SessionObject SessionObject;
typedef struct OperationObject OperationObject;
typedef struct CheckoutObject CheckoutObject;

/* ---- module.c: names and helpers ---- */

#define WEIR__PY_NAMES(X)                                                                                    \
    X(timeout)                                                                                               \
    X(prefetch)                                                                                              \
    X(column)                                                                                                \
    X(isolation)                                                                                             \
    X(readonly)                                                                                              \
    X(deferrable)                                                                                            \
    X(checkout_timeout)                                                                                      \
    X(reset)                                                                                                 \
    X(grace)                                                                                                 \
    X(create_future)                                                                                         \
    X(set_result)                                                                                            \
    X(_asyncio_future_blocking)                                                                              \
    X(is_closed)                                                                                             \
    X(add_reader)                                                                                            \
    X(remove_reader)                                                                                         \
    X(call_soon)                                                                                             \
    X(call_soon_threadsafe)

typedef struct weir__py_globals {
#define WEIR__PY_FIELD(name) PyObject *name;
    WEIR__PY_NAMES(WEIR__PY_FIELD) /* interned strings */
#undef WEIR__PY_FIELD
    PyObject *running_loop; /* asyncio.get_running_loop, once it was needed */
    PyObject *decimal;      /* decimal.Decimal, once it was needed */
    PyTypeObject *engine, *pool, *sync_pool, *operation, *checkout, *sync_checkout, *transaction,
        *sync_transaction;
    PyTypeObject *stream, *sync_stream, *stream_iterator, *sync_stream_iterator;
    PyTypeObject *connection, *session, *sync_connection, *sync_session, *record, *columns, *ready;
    PyObject *done; /* the awaitable that gives None at once */
} weir__py_globals;
extern weir__py_globals weir__py;

/* Makes a type and puts it into the module: a new reference, or NULL with an exception. */
PyTypeObject *weir__py_type(PyObject *module, PyType_Spec *spec, PyTypeObject *base);
/* Adds the types to the module; called by the generated wrapper. -1 with an exception. */
int weir__py_add_types(PyObject *module);
/* Forks of this process since the module was loaded. */
unsigned weir__py_forks(void);
/* A module's attribute, imported when first wanted and kept in *slot. Borrowed; NULL with an exception. */
PyObject *weir__py_lazy(PyObject **slot, const char *module, const char *name);
/*
 * The keyword arguments of a fast call: for each of `count` interned names its value (borrowed) or NULL is
 * put into values[]. -1 with a TypeError for another name.
 */
int weir__py_keywords(const char *function, PyObject *const *arguments, PyObject *kwnames,
                      PyObject *const names[], PyObject *values[], int count);

/* ---- errors.c ---- */

/* The exception object of a core's error. NULL with another exception. */
PyObject *weir__py_exception(const weir_error *error);
/* Raises the exception of a core's error and clears the error. */
void weir__py_raise(weir_error *error);
/* Raises the exception of a code, with a text of our own or, format being NULL, the code's. Always NULL. */
PyObject *weir__py_fail(int code, const char *format, ...);

/* What a signal's handler has raised (Ctrl-C, sys.exit()) is the program's, whatever code the signal has come
   into: the exception that is set, when it is KeyboardInterrupt or SystemExit, is raised in the main thread
   once this call has ended. False: it is another one, which stays. */
bool weir__py_hand_on(void);
/* Clears the exception that is set, if any; but what is the program's is handed on. */
void weir__py_forget(void);
/* Where code of the user's has raised what ends an iteration: a stream would end with it, and a coroutine
   take it for its answer. It becomes a RuntimeError, as out of a generator; any other exception stays. */
void weir__py_bar_stop(const char *whose);
/* Whether it is one of the package's own; -1 with another exception. */
int weir__py_is_error(PyObject *exception);
/*
 * The error of one of the package's own exceptions: code, retryable, retry_after, sqlstate, and, when
 * `message` is not NULL, the message, which is borrowed from *message, a new reference. -1 with another
 * exception.
 */
int weir__py_read_error(PyObject *exception, weir_error *out, PyObject **message);

/* ---- values.c ---- */

/* A pool's codecs, by their numbers in the core; all NULL: there are none. */
typedef struct weir__py_codecs {
    PyObject *list;     /* a tuple of weirpool.Codec */
    PyObject *encoders; /* a dict: a class -> the number of the codec that writes its instances */
} weir__py_codecs;

typedef struct weir__py_reader {
    const weir__py_codecs *codecs;
    bool foreign; /* the exception that is set is one of the user's own decoder */
} weir__py_reader;

/* What a parameter is made with. Begin with all zero but what is known; end with weir__py_writer_end. */
typedef struct weir__py_writer {
    Py_ssize_t number; /* of the parameter, from 1 */
    const weir__py_codecs *codecs;
    PyObject *first, *more; /* what the values borrow from: an object, and a list for the others */
    int depth;
} weir__py_writer;

/* A new reference, or NULL with an exception. */
PyObject *weir__py_from_value(weir__py_reader *reader, const weir_value *value);
/* A cell of a result: the same; what Python cannot hold (a year 10000) is a DataError that names the column.
 */
PyObject *weir__py_cell(weir_result *result, size_t row, size_t column, const weir__py_codecs *codecs);
/* The value of any object; its bytes are borrowed from the object and from the writer. -1 with an exception.
 */
int weir__py_to_value(weir__py_writer *writer, PyObject *object, weir_value *out);
/* Makes the value of a parameter live as long as the writer: takes the object over, NULL with an exception
   included. -1 with an exception. */
int weir__py_hold(weir__py_writer *writer, PyObject *object);
void weir__py_writer_end(weir__py_writer *writer);
/* SQL text and parameters; many: each item of arguments[0] is one set. NULL with an exception. */
weir_statement *weir__py_statement(PyObject *sql, PyObject *const *arguments, Py_ssize_t count,
                                   const weir__py_codecs *codecs);
weir_statement *weir__py_statement_many(PyObject *sql, PyObject *sets, const weir__py_codecs *codecs);
/*
 * Seconds as milliseconds, rounded up: NULL or ..., the default that signatures show, gives
 * WEIR_TIMEOUT_DEFAULT, None -1. zero: 0 is allowed. -1 with an exception, 0 otherwise.
 */
int weir__py_milliseconds(const char *name, PyObject *seconds, bool zero, int64_t *out);
/* The value of an option, borrowed from the object, which must stay alive. -1 with an exception. */
int weir__py_option_value(const char *name, PyObject *object, weir_value *out);
/* UTF-8 without a NUL inside, borrowed from the object; NULL with an exception that says what it is. */
const char *weir__py_text(const char *what, PyObject *object);
/* The dict of a snapshot. NULL with an exception. */
PyObject *weir__py_snapshot(const weir_snapshot *snapshot);
/* Likewise of a session's state. */
PyObject *weir__py_session_info(const weir_session_info *info);
/* Likewise of a breaker's. */
PyObject *weir__py_breaker_snapshot(const weir_breaker_snapshot *snapshot);
/* A row of the table of options as a tuple. NULL with an exception. */
PyObject *weir__py_option_row(const weir_option_info *info);

/* ---- kinds.c: dates, times, UUIDs and addresses ---- */

int weir__py_kinds(void); /* once, before the others: -1 with an exception */
/* For those kinds only: a new reference, or NULL with an exception. */
PyObject *weir__py_from_kind(const weir_value *value);
/*
 * 1: the value of the object, which is of one of those kinds; its bytes are borrowed from *keep, a new
 * reference. 0: it is of none of them. -1 with an exception.
 */
int weir__py_to_kind(PyObject *object, weir_value *out, PyObject **keep);

/* ---- arrays.c ---- */

/* Lists within lists: a new reference, or NULL with an exception. */
PyObject *weir__py_from_array(weir__py_reader *reader, const weir_array *array);
/* The list's value: an ARRAY, or JSON when its shape is none of an array's. -1 with an exception. */
int weir__py_list_value(weir__py_writer *writer, PyObject *list, weir_value *out);

/* ---- nested.c: ranges, rows, JSON, maps, and what codecs read and write ---- */

/* For those kinds only: a new reference, or NULL with an exception. */
PyObject *weir__py_from_nested(weir__py_reader *reader, const weir_value *value);
/* 1: the value of a tuple, Record, Range, dict or Json. 0: it is none of them. -1 with an exception. */
int weir__py_to_nested(weir__py_writer *writer, PyObject *object, weir_value *out);
/* The object as JSON text. -1 with an exception. */
int weir__py_to_json(weir__py_writer *writer, PyObject *object, weir_value *out);
/* 1: one of the pool's codecs has written the object. 0: none is for it. -1 with an exception. */
int weir__py_encode(weir__py_writer *writer, PyObject *object, weir_value *out);
/* Takes the pool's codecs, a dict or None, and has the options point to them; *array is to be freed with
   PyMem_Free after the pool. -1 with an exception. */
int weir__py_set_codecs(weir__py_codecs *codecs, PyObject *given, weir_options *options, weir_codec **array);

/* ---- record.c ---- */

int weir__py_record_types(PyObject *module);
/* All rows as a list of Record; a row as a Record. NULL with an exception. */
PyObject *weir__py_records(weir_result *result, const weir__py_codecs *codecs);
PyObject *weir__py_record(weir_result *result, size_t row, const weir__py_codecs *codecs);
/* A row within a cell: a Record when the fields have names, else a tuple. */
PyObject *weir__py_row(weir__py_reader *reader, const weir_list *list);
/* The values of a Record, `Py_SIZE` of them, borrowed; NULL: it is none. */
PyObject *const *weir__py_record_values(PyObject *object);

/* ---- call.c: what asynchronous and blocking calls have in common ---- */

typedef enum weir__py_kind {
    WEIR__PY_EXECUTE,
    WEIR__PY_EXECUTEMANY,
    WEIR__PY_FETCH,
    WEIR__PY_FETCHROW,
    WEIR__PY_FETCHVAL,
    WEIR__PY_EITHER,    /* rows as FETCH gives them, or, without columns, the tag as EXECUTE does */
    WEIR__PY_ROWS_LIKE, /* an encoder of rows for COPY, in a capsule */
    WEIR__PY_TRANSACTION,
    WEIR__PY_ACQUIRE,
    WEIR__PY_COMMIT,
    WEIR__PY_ROLLBACK,
    WEIR__PY_OPEN,
    WEIR__PY_CLOSE,
    WEIR__PY_DRAIN,
    WEIR__PY_SLEEP,
    WEIR__PY_CHECK, /* of its health, which it gives */
    WEIR__PY_SCRIPT,
    WEIR__PY_COPY_IN,
    WEIR__PY_COPY_PUT,
    WEIR__PY_COPY_OUT,
    WEIR__PY_COPY_WATCH,
    WEIR__PY_COPY_END, /* from here on the number of rows, or (TAKE) a chunk */
    WEIR__PY_COPY_TAKE,
    WEIR__PY_NEXT,    /* of a stream: its next batch, a list of Record, or None */
    WEIR__PY_CONFIRM, /* of a listener */
    WEIR__PY_WAIT,
} weir__py_kind;

/* One call of the core that may have to wait. */
typedef struct weir__py_call {
    weir__py_kind kind;
    bool release;     /* COMMIT, ROLLBACK: the session goes back when it has been answered */
    bool quiet;       /* ROLLBACK: it runs for another exception's sake; its own failure is not raised */
    PoolObject *pool; /* owned */
    SessionObject *session;    /* owned; NULL when the pool itself is meant */
    weir_statement *statement; /* owned, or NULL */
    weir_batch *batch;         /* owned; TRANSACTION */
    weir_transaction begin;    /* TRANSACTION */
    PyObject *isolation;       /* owned, or NULL: the text in `begin` */
    Py_buffer data;            /* COPY_PUT: owned; its obj is NULL otherwise */
    weir_stream stream;        /* NEXT: the session's */
    weir_listener listener;    /* CONFIRM, WAIT */
    int64_t timeout_ms;        /* a statement's; CLOSE, DRAIN: the grace; SLEEP: how long; WAIT, CHECK */
    bool readonly, hold;       /* a statement's, as in weir_run */
    uint64_t owner;            /* … and who asks */
    Py_ssize_t column;         /* FETCHVAL */
    int depth;                 /* COMMIT, ROLLBACK */
    CheckoutObject *checkout;  /* ACQUIRE: borrowed; it outlives the call */
} weir__py_call;

/* Whether the call ends its pool. */
static inline bool weir__py_ends(const weir__py_call *call) {
    return call->kind == WEIR__PY_CLOSE || call->kind == WEIR__PY_DRAIN;
}
void weir__py_call_clear(weir__py_call *call);
int weir__py_call_visit(weir__py_call *call, visitproc visit, void *arg);
/*
 * Makes the call to the core: its code; WEIR_OK fills in what a completion would bring. May be run without
 * the GIL.
 */
int weir__py_submit(weir__py_call *call, void *token, weir_op *op, weir_completion *out, weir_error *error);
/* What has to follow the end of an operation before anyone is told: giving a session back. */
void weir__py_settle(weir__py_call *call, weir_completion *completion);
/* The Python object that the caller gets, or NULL with the exception; the completion is used up. */
PyObject *weir__py_take(weir__py_call *call, weir_completion *completion);
/* The exception of a completion with an error, of which the pool's predicates are asked the first time. NULL
   with another one. */
PyObject *weir__py_failure(weir__py_call *call, weir_completion *completion);
/* Nobody wants the completion any more, whose pool may have gone. */
void weir__py_discard(EngineObject *engine, weir_completion *completion);
/* What the core is to know of the caller; before each submission. */
void weir__py_address(weir__py_call *call);
/* The statement's call, from the arguments of execute() and its family. -1 with an exception. */
int weir__py_parse(weir__py_call *call, PoolObject *pool, SessionObject *session, PyObject *const *arguments,
                   Py_ssize_t count, PyObject *kwnames);
/* Likewise, from those of pool.transaction(). */
int weir__py_parse_transaction(weir__py_call *call, PoolObject *pool, PyObject *const *arguments,
                               Py_ssize_t count, PyObject *kwnames);
/* The statements that transaction() is given, a list of tuples of a text and its parameters. NULL with an
 * exception. */
PyObject *weir__py_statements(PyObject *const *arguments, Py_ssize_t count);
/* True or False; NULL (not given) is false. -1 with an exception. */
int weir__py_flag(const char *name, PyObject *object, bool *out);
/* "fetch" */
const char *weir__py_kind_name(weir__py_kind kind);

/* ---- engine.c: a reactor with one pool, and the event loop that watches it ---- */

struct EngineObject {
    PyObject ob_base;
    weir_reactor *reactor; /* NULL before the pool was opened and after it was freed */
    weir_pool *pool;
    PyObject *loop;       /* asyncio's; NULL in a blocking pool */
    PyObject *holder;     /* a context variable: the loans that were begun in it; NULL in a blocking pool */
    unsigned long thread; /* the loop's */
    unsigned forks;       /* weir__py_forks when it was made */
    bool watching;        /* the loop has the descriptor */
    bool draining;        /* completions are being handed out further up the stack */
    PyObject *at_init;    /* a set of the threads that run an init; NULL unless the pool is blocking */
    bool noticing;        /* notices are, perhaps by another thread: the hook gets one at a time */
    bool alerting;        /* likewise, alerts */
    uint64_t alert;       /* the number of the last event that was taken */
    bool doomed;          /* the loop has been asked to shut it */
    OperationObject *pending; /* submitted and not answered; the list owns a reference of each */
    int pending_count;
    int lent;          /* sessions that have not been given back */
    bool flushing;     /* the loop will call flush at the end of this turn, or of the next */
    PoolObject *owner; /* borrowed; NULL once the Python pool has gone */
};
int weir__py_engine_types(PyObject *module);
/* Not open yet. The owner shuts it before it goes. NULL with an exception. */
EngineObject *weir__py_engine(PoolObject *owner);
/* Makes the reactor. loop: the event loop that will watch it, or NULL. -1 with an exception. */
int weir__py_engine_open(EngineObject *engine, PyObject *loop);
/* Whether what is submitted now may be held back, since the loop will call flush; it is asked to when many
   ask, or when `surely` more is to follow. */
bool weir__py_may_hold(EngineObject *engine, bool surely);
/*
 * A number for who runs now, and for who asks for a connection now; 0: nobody who has one. A thread has its
 * own; in an asynchronous pool each loan has one, and while it lasts all that was begun in its context: the
 * tasks that the holder makes, and those that asyncio makes for him (gather, wait_for). *inside: that of the
 * loan around it, which lasts; or 0.
 */
uint64_t weir__py_owner(EngineObject *engine);
uint64_t weir__py_new_owner(EngineObject *engine, uint64_t *inside);
/* Takes completions, unless the thread is not the loop's. Any exception that is set stays set. */
void weir__py_drain(EngineObject *engine);
/* Hands notices to their hook and log lines to logging. May run any Python code; an exception that is set
   stays set. */
void weir__py_drain_logs(EngineObject *engine);
/* Blocking pools: runs the init hook of new connections. -1 with KeyboardInterrupt or its like. */
int weir__py_events(EngineObject *engine);
/* The operation is, or is no longer, among those that wait for an answer. */
void weir__py_pend(EngineObject *engine, OperationObject *operation);
void weir__py_unpend(EngineObject *engine, OperationObject *operation);
/* The loop no longer watches the descriptor. */
void weir__py_unwatch(EngineObject *engine);
/* Frees pool and reactor, at once or in the loop's thread. Pending operations end as WEIR_ECLOSED. */
void weir__py_engine_shut(EngineObject *engine);
/* Is the pool open, not inherited by fork, and the running loop its own? -1 with the exception. */
int weir__py_check(PoolObject *pool);
/* Submits and waits without the GIL; the result as weir__py_take gives it. The call is cleared. */
PyObject *weir__py_run(weir__py_call *call);

/* ---- operation.c: the awaitables ---- */

typedef enum weir__py_state {
    WEIR__PY_NEW,
    WEIR__PY_PENDING,
    WEIR__PY_DONE,
    WEIR__PY_SETUP, /* a checkout that was granted: the pool's setup hook runs */
    WEIR__PY_FINISHED,
} weir__py_state;

struct OperationObject {
    PyObject ob_base;
    weir__py_state state;
    weir_op op;
    weir__py_call call;
    weir_completion outcome; /* in state DONE */
    PyObject *future;        /* in state PENDING, and after: what the task waits for */
    PyObject *watcher;       /* a future for somebody who only wants to know when it is answered; or NULL */
    PyObject *setup;         /* in state SETUP: the task of the hook; `op` tells that the loan has ended */
    SessionObject *prepared; /* in state SETUP: whom it is for */
    OperationObject *previous, *next;
};
int weir__py_operation_types(PyObject *module);
/* A new awaitable that owns what *call owns (which is cleared, on failure too). */
PyObject *weir__py_operation(weir__py_call *call);
/* Likewise, but it runs already, for the connection's pipeline, which has it in its list. */
PyObject *weir__py_operation_started(weir__py_call *call);
/* The core has answered: called by drain, which has taken it off the list. */
void weir__py_answered(OperationObject *operation, weir_completion *completion);
/* Whether somebody waits for it: it has no answer yet, and of a checkout the setup hook has not ended. */
bool weir__py_awaited(OperationObject *operation);
/* Nobody wants the answer any more. */
void weir__py_abandon(OperationObject *operation);
int weir__py_operation_traverse(PyObject *self, visitproc visit, void *arg);
int weir__py_operation_clear(PyObject *self);
/* "Pool.fetch": a new reference, or NULL with an exception. */
PyObject *weir__py_operation_name(OperationObject *operation);
/* A result as an iterator gives it, the value of StopIteration: takes it over, and is always NULL. */
PyObject *weir__py_stop_iteration(PyObject *value);
/* Sets the exception that throw() was given. */
void weir__py_set_thrown(PyObject *type, PyObject *value, PyObject *traceback);
/* What dealloc does before the memory goes. False: a finalizer has brought it back to life. */
bool weir__py_operation_end(OperationObject *operation);

/* ---- checkout.c: pool.session(), pool.connection(), connection.transaction() ---- */

struct CheckoutObject {
    OperationObject operation; /* entering, and later leaving */
    int phase;                 /* 0: not entered yet, 1: inside, 2: left */
    weir_checkout how;
    SessionObject *lent; /* whom it was lent to; of a transaction: whose it is. Owned */
    int depth;           /* of a transaction */
    PyObject *isolation, *reset, *code, *stack; /* own the text that `how` points at */
};
/*
 * Begins the leaving of a checkout or transaction: *call is what has to be waited for, or empty (kind
 * ignored, pool NULL) when nothing has. -1 with an exception.
 */
int weir__py_leave(CheckoutObject *checkout, bool failed, weir__py_call *call);
/* isolation, readonly and deferrable, the values (or NULL) in that order; *owner owns the text. -1 with an
   exception. */
int weir__py_begin(PyObject *const values[3], weir_transaction *begin, PyObject **owner);
/* A checkout or transaction may be entered now, and never again. -1 with an exception. */
int weir__py_enter_once(CheckoutObject *checkout);
/* … and the transaction has begun: nothing has to be waited for. */
int weir__py_enter_transaction(CheckoutObject *checkout);
/* Reports of holders name this function as the one that asks; one that is not written in Python changes
   nothing. -1 with an exception. */
int weir__py_note_function(CheckoutObject *checkout, PyObject *function);
int weir__py_checkout_traverse(PyObject *self, visitproc visit, void *arg);
int weir__py_checkout_clear(PyObject *self);
void weir__py_checkout_dealloc(PyObject *self);
/* As any attribute; what the session or connection has, and it has not, says so. */
PyObject *weir__py_checkout_getattr(PyObject *self, PyObject *name);
int weir__py_checkout_types(PyObject *module);
/* The context managers; whether they are to be awaited is the pool's matter. NULL with an exception. */
PyObject *weir__py_checkout(PoolObject *pool, bool transaction, PyObject *const *arguments, Py_ssize_t count,
                            PyObject *kwnames);
/* A connection for one call of the pool's own, whose time-out that is. */
PyObject *weir__py_borrow(PoolObject *pool, PyObject *timeout);
/* The frame that has called the package, a new reference; NULL: none. */
PyFrameObject *weir__py_caller(void);
PyObject *weir__py_transaction(SessionObject *session, PyObject *const *arguments, Py_ssize_t count,
                               PyObject *kwnames);

/* ---- session.c ---- */

/* The docstrings of the statement methods, which pools and connections have alike. */
#define WEIR__PY_DOC_OWN_TIME                                                                                \
    "timeout: seconds; None is without limit, omitted is the pool's command_timeout."
#define WEIR__PY_DOC_POOL_TIME                                                                               \
    "timeout: seconds over the wait for a connection and the run; None is without limit, omitted is the "    \
    "pool's\ncheckout_timeout for the wait and its command_timeout for the run. CheckoutTimeout when it "    \
    "passes during the wait."
#define WEIR__PY_DOC_TIMEOUT                                                                                 \
    "\nCommandTimeout when it passes during the run, OutcomeTimeout, which is also an OutcomeUnknown, for "  \
    "a write in\nautocommit that may be done all the same.\n"                                                \
    "Parameters ($1, $2 ...): None, bool, int, float, Decimal, str, bytes, bytearray, memoryview, date, "    \
    "time, datetime,\n"                                                                                      \
    "timedelta, UUID, ipaddress' addresses, interfaces and networks, Range; lists for arrays, tuples and "   \
    "Records for\n"                                                                                          \
    "composite types; dicts and lists for json and jsonb, where a str is taken as JSON text and "            \
    "Json(value) writes\n"                                                                                   \
    "any value; lists of Range for multiranges; dicts of str for hstore. A str does for every type but "     \
    "bytea and numbers."
#define WEIR__PY_DOC_EXECUTE(keywords, time, more)                                                           \
    "execute($self, sql, /, *args" keywords ", timeout=...)\n--\n\n"                                         \
    "Runs a statement and gives its command tag: \"INSERT 0 1\".\n\n" time WEIR__PY_DOC_TIMEOUT more
#define WEIR__PY_DOC_EXECUTEMANY(time)                                                                       \
    "executemany($self, sql, sets, /, *, timeout=...)\n--\n\n"                                               \
    "Runs a statement once for each set of parameters, all in one transaction, and gives the number of "     \
    "rows that were\n"                                                                                       \
    "inserted, updated or deleted over all sets. sets: an iterable of sequences.\n\n" time                   \
        WEIR__PY_DOC_TIMEOUT
#define WEIR__PY_DOC_FETCH(keywords, time, more)                                                             \
    "fetch($self, sql, /, *args" keywords ", timeout=...)\n--\n\n"                                           \
    "Runs a statement and gives all its rows, a list of Record.\n\n" time WEIR__PY_DOC_TIMEOUT more
#define WEIR__PY_DOC_FETCHROW(keywords, time, more)                                                          \
    "fetchrow($self, sql, /, *args" keywords ", timeout=...)\n--\n\n"                                        \
    "Runs a statement and gives its first row, or None when there is none.\n\n" time WEIR__PY_DOC_TIMEOUT    \
        more
#define WEIR__PY_DOC_FETCHVAL(keywords, time, more)                                                          \
    "fetchval($self, sql, /, *args, column=0" keywords ", timeout=...)\n--\n\n"                              \
    "Runs a statement and gives one value of its first row, or None when there is no "                       \
    "row.\n\n" time WEIR__PY_DOC_TIMEOUT more

#define WEIR__PY_DOC_SCRIPT(time)                                                                            \
    "execute_script($self, text, /, *, timeout=...)\n--\n\n"                                                 \
    "Runs all commands of a text, which takes no parameters, and gives the last one's command tag, or None " \
    "when there is\n"                                                                                        \
    "none. Rows are dropped. On PostgreSQL it is one transaction, unless the text says BEGIN or COMMIT; on " \
    "SQLite each\n"                                                                                          \
    "command is one by itself. The position of an error counts from the text's beginning.\n\n"               \
    "A script that ends a session's own transaction: the next statement begins another, and the session's "  \
    "commit raises\n"                                                                                        \
    "TransactionError.\n" time
#define WEIR__PY_DOC_COPY_IN                                                                                 \
    "copy_in($self, sql, source, /, *, timeout=...)\n--\n\n"                                                 \
    "Runs COPY ... FROM STDIN with the bytes of the source, in whatever format the command names, and "      \
    "gives the number\n"                                                                                     \
    "of rows.\n\n"                                                                                           \
    "source: bytes, bytearray, memoryview or str; a path (pathlib.Path); an open file; an iterable of "      \
    "bytes, or, in an\n"                                                                                     \
    "asynchronous pool, an asynchronous one. What it raises ends the COPY, of which nothing is kept, and "   \
    "is raised here.\n"                                                                                      \
    "There files and asynchronous sources are read in a task of their own, which is cancelled when the "     \
    "COPY fails\n"                                                                                           \
    "meanwhile.\n"                                                                                           \
    "timeout: seconds over all of it; None is without limit, omitted is the pool's command_timeout. In a "   \
    "blocking pool it\n"                                                                                     \
    "is looked at between two pieces of the source.\n"                                                       \
    "OutcomeUnknown: all had been sent and there was no answer, in autocommit; OutcomeTimeout: none in "     \
    "time."
#define WEIR__PY_DOC_COPY_RECORDS                                                                            \
    "copy_records($self, table, records, /, *, columns=None, schema=None, timeout=...)\n--\n\n"              \
    "Runs COPY ... FROM STDIN with values, and gives the number of rows. The quickest way to insert many."   \
    "\n\n"                                                                                                   \
    "table, schema: names as the database has them; without a schema, by the search_path.\n"                 \
    "records: an iterable of sequences of values, or, in an asynchronous pool, an asynchronous one. What "   \
    "it raises ends\n"                                                                                       \
    "the COPY, of which nothing is kept, and is raised here. Values suit columns as they suit parameters; "  \
    "a column that\n"                                                                                        \
    "has dates as text, say, must have them so from the first rows on.\n"                                    \
    "columns: what the values are for, in their order; None: all of the table's. They must be readable.\n"   \
    "timeout: seconds over all of it; None is without limit, omitted is the pool's command_timeout.\n"       \
    "OutcomeUnknown: all had been sent and there was no answer, in autocommit; OutcomeTimeout: none in "     \
    "time."
#define WEIR__PY_DOC_COPY_OUT                                                                                \
    "copy_out($self, sql, /, to=None, *, timeout=...)\n--\n\n"                                               \
    "Runs COPY ... TO STDOUT. Without `to` it gives an iterator of bytes: whole rows, about 64 KiB at a "    \
    "time; no more is\n"                                                                                     \
    "read ahead. Its rows is the number of rows, at the end; close() ends the COPY early, and so does "      \
    "dropping it.\n\n"                                                                                       \
    "to: a path, or an open file, to write to; then the number of rows is given.\n"                          \
    "timeout: seconds over all of it; None is without limit, omitted is the pool's command_timeout."

struct SessionObject {
    PyObject ob_base;
    PoolObject *pool;
    weir_session handle;
    bool returned;      /* given back by us: no ResourceWarning */
    bool whole;         /* the loan is an attempt of Pool.run(), which alone commits */
    PyObject *pipeline; /* within pipeline(): the list of what was started in it; else NULL */
    PyObject *weak;
};
int weir__py_session_types(PyObject *module);
/* The Python object of a loan; on failure the loan is given back. */
SessionObject *weir__py_session(PoolObject *pool, weir_session handle, bool transaction);
/* Gives the loan back, or closes the connection; nothing happens when that has been done before. */
/* ---- health.c */
/* The pool's health, a dict; NULL with an exception. */
PyObject *weir__py_health_of(weir_pool *pool);
PyObject *weir__py_health(PyObject *self, PyObject *unused);
PyObject *weir__py_health_history(PyObject *self, PyObject *arguments, PyObject *keywords);

/* ---- holders.c */
/* A text of the core's; None when it is empty. */
PyObject *weir__py_text_or_none(const char *text);
/* Who holds connections, a dict each, for at least so many seconds. */
PyObject *weir__py_holders(PyObject *self, PyObject *min_age);

/* ---- monitor.c */

/* As a dict. */
PyObject *weir__py_alert(const weir_alert *alert);
/* Methods of pools; each gives a list of dicts. */
PyObject *weir__py_alerts(PyObject *self, PyObject *active);
PyObject *weir__py_slow_queries(PyObject *self, PyObject *unused);
PyObject *weir__py_history(PyObject *self, PyObject *arguments);
/* The frames of the caller and his callers, a line each, the innermost first; NULL with an exception. */
PyObject *weir__py_stack(void);
void weir__py_release(SessionObject *session, bool discard);
/* Of a transaction that has nothing to commit; false: it has, or it is over. */
bool weir__py_release_unused(SessionObject *session);

/* ---- copy.c: methods of sessions ---- */

PyObject *weir__py_copy_in(PyObject *self, PyObject *const *arguments, Py_ssize_t count, PyObject *kwnames);
PyObject *weir__py_copy_out(PyObject *self, PyObject *const *arguments, Py_ssize_t count, PyObject *kwnames);
/* The core's steps. */
PyObject *weir__py_copy_begin_in(PyObject *self, PyObject *const *arguments, Py_ssize_t count,
                                 PyObject *kwnames);
PyObject *weir__py_copy_begin_out(PyObject *self, PyObject *const *arguments, Py_ssize_t count,
                                  PyObject *kwnames);
PyObject *weir__py_copy_records(PyObject *self, PyObject *const *arguments, Py_ssize_t count,
                                PyObject *kwnames);
PyObject *weir__py_copy_rows_like(PyObject *self, PyObject *const *arguments, Py_ssize_t count,
                                  PyObject *kwnames);
PyObject *weir__py_rows_like(weir_result *result);
PyObject *weir__py_copy_encode(PyObject *self, PyObject *arguments);
PyObject *weir__py_copy_put(PyObject *self, PyObject *data);
PyObject *weir__py_copy_end(PyObject *self, PyObject *unused);
PyObject *weir__py_copy_take(PyObject *self, PyObject *unused);
PyObject *weir__py_copy_watch(PyObject *self, PyObject *unused);
PyObject *weir__py_copy_abort(PyObject *self, PyObject *unused);
/* ---- listen.c: methods of pools ---- */

PyObject *weir__py_listen(PyObject *self, PyObject *arguments);
PyObject *weir__py_listener_change(PyObject *self, PyObject *arguments);
PyObject *weir__py_listener_confirm(PyObject *self, PyObject *number);
PyObject *weir__py_listener_wait(PyObject *self, PyObject *arguments);
PyObject *weir__py_listener_take(PyObject *self, PyObject *number);
PyObject *weir__py_listener_close(PyObject *self, PyObject *number);
/* The fields of weirpool.Notice. NULL with an exception. */
PyObject *weir__py_notice(const weir_notice *notice);

/* ---- stream.c ---- */

#define WEIR__PY_DOC_STREAM(loop, more)                                                                      \
    "stream($self, sql, /, *args, prefetch=1000, timeout=...)\n--\n\n"                                       \
    "The rows of a statement that only reads, Records as of fetch(), by and by and in bounded memory: for\n" \
    "`" loop                                                                                                 \
    " row in …`. At most two batches are in memory: the next is asked for when the present one has\n"      \
    "come. Leaving the loop closes the stream, without waiting.\n\n" more                                    \
    "prefetch: the rows of a batch, 1 to 1,000,000.\n"                                                       \
    "timeout: seconds for each batch; None is without limit, omitted is the pool's command_timeout. "        \
    "CommandTimeout\nwhen it passes. Parameters are as with fetch().\n"                                      \
    "PostgreSQL: SELECT, VALUES, TABLE or WITH ... SELECT, by a cursor. SQLite: a read transaction is open " \
    "until the end."
int weir__py_stream_types(PyObject *module);
/* The iterable that stream() gives; session NULL: each of its loops borrows a connection. NULL with an
 * exception. */
PyObject *weir__py_stream(PoolObject *pool, SessionObject *session, PyObject *const *arguments,
                          Py_ssize_t count, PyObject *kwnames);

/* ---- sync.c: the blocking forms ---- */

int weir__py_sync_types(PyObject *module);

/* ---- retry.c ---- */

int weir__py_retry_types(PyObject *module);

/* ---- breaker.c ---- */

int weir__py_breaker_types(PyObject *module);
/* The core's breaker of a Python Breaker; NULL with an exception. Like the next, for the wrapper's typemaps.
 */
weir_breaker *weir__py_breaker_handle(PyObject *object);
/* After a call of the core: takes what it has set going. */
void weir__py_breaker_after(PyObject *object);
/* Of what _breaker._verdict gives. */
weir_verdict weir__py_verdict(PyObject *said);

/* ---- pool.c ---- */

struct PoolObject {
    PyObject ob_base;
    EngineObject *engine;
    bool sync;                          /* blocking */
    bool begun;                         /* somebody has begun to open it */
    bool closed;                        /* close has ended, or opening has failed */
    PyObject *init, *setup, *on_notice; /* the hooks, or NULL */
    PyObject *judge;                    /* of what statements fail with, weirpool._hooks.judge; or NULL */
    PyObject *on_alert;                 /* a list of hooks, or NULL */
    weir_options options;
    PyObject *kept; /* a list that owns the text that the options point at */
    const char **settings;
    weir__py_codecs codecs;
    weir_codec *codec_array; /* what the options point at */
    PyObject *weak;
};
int weir__py_pool_types(PyObject *module);
/* The core's pool of a Python Pool; NULL with an exception. Like those that follow, for the wrapper's
 * typemaps. */
weir_pool *weir__py_pool_handle(PyObject *object);
/* The text of a statement, borrowed from the str. NULL with an exception. */
const char *weir__py_sql_text(PyObject *sql, Py_ssize_t *length);
/* The core's session of a connection. -1 with an exception. */
int weir__py_session_handle(PyObject *object, weir_session *out);
/* The value of the option min_size or max_size, WEIR_SIZE_KEEP for None. -1 with an exception. */
int weir__py_bound(const char *name, PyObject *object, int *out);
/* After a call of the core: takes what it has set going. */
void weir__py_pool_after(PyObject *object);
/* Those of a sequence of pools, in an array for PyMem_Free; None is NULL, 0. -1 with an exception. */
int weir__py_pools(PyObject *object, weir_pool *const **out, size_t *count);
/* … after the call. */
void weir__py_pools_after(PyObject *object);

#endif

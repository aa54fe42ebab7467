/*
 * The PostgreSQL driver's inside: what its files share. Nothing outside of this folder includes it.
 *
 * All of it runs under the host's lock, but for the threads of resolve.c and cancel.c, which see only their
 * own job, and weir__pg_free. A connection speaks libpq's pipeline mode from the moment it is connected to
 * its end, but for scripts and COPY (copy.c).
 */
#ifndef WEIR_DRIVER_POSTGRES_PG_H
#define WEIR_DRIVER_POSTGRES_PG_H

#include <libpq-fe.h>

#include "base/buffer.h"
#include "driver/driver.h"
#include "driver/postgres/cache.h"
#include "driver/postgres/value.h"

#define WEIR__PG_CANCEL_MS 3000 /* so long an attempt to cancel may take; less than the pool's own bound */
#define WEIR__PG_GUARD_MARGIN_MS 500 /* the server's own time limit is so much later than the client's */

/* Keywords and values as PQconnectStartParams wants them; the texts are owned. */
typedef struct weir__pgparams {
    char **keywords, **values; /* each ended by NULL */
    size_t count, capacity;
} weir__pgparams;

typedef struct weir__pgenv {
    weir__env base;
    weir__pgparams params; /* what the URL says; passwords are wiped when it is freed */
    char *startup;         /* our share of the keyword `options`: "-c name=value …"; never NULL */
    bool startup_chosen;   /* … some of which the user has asked for */
    bool startup_refused;  /* a proxy takes none of it, and it is left out from now on */
    bool undone;           /* somebody's function has made a readonly session one that writes */
    int64_t
        guard_ms; /* statement_timeout of a fresh connection; 0: this pool sets none and never changes it */
    weir__pgtypes *types; /* what is known of the database's own types; NULL: nothing yet */
    weir__link spares;    /* states of requests, for later ones */
    size_t spare_count;
    char *reset; /* the option's own SQL text: commands, each with its NUL; NULL when it is none */
    size_t reset_bytes;
    unsigned reset_sweeps, reset_traits; /* of all of them: weir__pg_sweeps, weir__pg_traits */
    weir__lru shapes;                    /* what is known of statements, by text */
    bool warned;                         /* of a connection over the network whose server is not verified */
} weir__pgenv;

typedef enum weir__pgstep_kind {
    WEIR__STEP_SYNC,
    WEIR__STEP_GUARD,      /* SET statement_timeout: the pool's own, its failure is nobody's error */
    WEIR__STEP_DEALLOCATE, /* likewise */
    WEIR__STEP_MODE,     /* SET or RESET default_transaction_read_only: its failure is the connection's end */
    WEIR__STEP_READONLY, /* SET transaction_read_only */
    WEIR__STEP_XID,      /* the transaction's number: ours, its failure is nobody's error */
    WEIR__STEP_UNDO,     /* ROLLBACK before a second try, or of a reset */
    WEIR__STEP_RESET,    /* DISCARD ALL, or the user's own commands */
    WEIR__STEP_KEEP,     /* a command is prepared by a name */
    WEIR__STEP_BEFORE,
    WEIR__STEP_PARSE,
    WEIR__STEP_DESCRIBE,
    WEIR__STEP_TYPES, /* the question for the database's own types */
    WEIR__STEP_EXECUTE,
    WEIR__STEP_COMMAND,
    WEIR__STEP_SIMPLE, /* a script or a COPY, outside of the pipeline */
    WEIR__STEP_POISON, /* a message that fails for certain, so that the sets before it are undone */
} weir__pgstep_kind;

typedef struct weir__pgop weir__pgop;

/* A message that was sent and whose answer has not come; `left` of the same kind and request in a row. */
typedef struct weir__pgstep {
    weir__pgop *op;
    weir__pgstep_kind kind;
    size_t left;
} weir__pgstep;

#define WEIR__PG_SQL_MAX (((size_t)1 << 30) - 65536) /* the server takes no message of 1 GiB */
#define WEIR__PG_TRIP_STEPS 32                       /* a trip takes no more */
#define WEIR__PG_GROUP 8                             /* readonly requests that share a Sync */
#define WEIR__PG_SPARES 256                          /* requests' states that a pool keeps for later ones */
#define WEIR__PG_FORMS 3                             /* of BEGIN that a connection keeps prepared */

/* The driver's own commands of a transaction, which the server keeps prepared: keep.c. */
enum { WEIR__KEEP_BEGIN, WEIR__KEEP_COMMIT, WEIR__KEEP_XID, WEIR__KEEPS };
typedef struct weir__pgform {
    const char *begin; /* static, or the env's; NULL: none yet */
    struct weir__pgkeep {
        enum { WEIR__KEEP_UNSENT, WEIR__KEEP_SENT, WEIR__KEEP_KNOWN } state;
        char name[28];
    } keeps[WEIR__KEEPS];
} weir__pgform;

/* A request's state, trip by trip: a trip ends when the answer to its last message has come. */
struct weir__pgop {
    weir__link link;        /* in the connection's ops, in the order of sending; or the pool's spare ones */
    weir__request *request; /* NULL: of the driver's own, nobody is told */
    bool begun;             /* its first trip has begun to be sent */
    bool resetting;
    bool own_reset;  /* … by the option's own SQL text */
    bool describing; /* this trip only asks for the types … */
    bool asked;      /* … namely for what the description's are */
    bool shared;     /* what is learnt of the statement is good for the whole pool */
    bool behind;     /* others were on their way when it was begun */
    bool reading;    /* its transaction has been made read only, where that is needed */
    bool tail_sent;  /* this trip's last message is on its way */
    bool grouped;    /* … and is not a Sync: the next request's comes for both */
    bool alone;      /* a group was broken off around it: it gets a Sync of its own now */
    bool aborted;    /* the server has skipped it, since another one of its group had failed */
    bool encoded;    /* the parameters of next_set are encoded already */
    bool cancelled;  /* nothing more is to be sent */
    bool retried;    /* this is the second try */
    bool rebegun;    /* … since the server did not know its BEGIN */
    bool undo;       /* … which begins with a ROLLBACK */
    bool believed;   /* the types were found out by an earlier request; a table may have changed since */
    bool doubtful;   /* … which would explain why a value did not fit: ask again the next time */
    bool stale;      /* it failed because what we knew of the statement no longer holds */
    bool gone;       /* … namely because the server no longer knows the prepared statement */
    bool reshaped;   /* its rows came in a form that nobody can read: the table has changed */
    bool unbegun;    /* likewise, its BEGIN */
    bool unheard;    /* the server was gone before it came to this one */
    bool commit_sent, command_answered, rolled_back;
    bool copied;               /* COPY IN: the end of the data was sent */
    weir__tx start_tx, end_tx; /* of the session, as far as what was sent tells */
    size_t sets, next_set;
    size_t steps;        /* of it that wait for their answer */
    PGresult *described; /* the statement's description, while the types in it are asked for */
    weir__shape *shape;  /* counted */
    weir__prepared
        *prepared;       /* counted; in the connection's cache when it was sent. NULL: not prepared there */
    bool parses, parsed; /* it is this request that prepares it; … and it has */
    bool displaced;      /* … where it has no name, something else has taken its place */
    struct weir__pgkeep *keeps[WEIR__KEEPS]; /* those that it has the server prepare, in order … */
    unsigned char keeps_sent, keeps_answered;
    int64_t guard_sent;  /* what the SET statement_timeout on its way says */
    weir_result *result; /* made before anything is sent, so that a success never lacks memory */
    weir_error error;    /* the first; code 0: none so far */
};

typedef enum weir__pgstate {
    WEIR__PG_NEW,
    WEIR__PG_RESOLVING,
    WEIR__PG_CONNECTING,
    WEIR__PG_READY,
    WEIR__PG_DEAD, /* `lost` has been told */
    WEIR__PG_STOPPED,
} weir__pgstate;

#define WEIR__PG_GUARD_UNKNOWN (-1)

/* How far a script or COPY has come. */
typedef enum weir__pgphase {
    WEIR__PG_RESULTS, /* results are awaited */
    WEIR__PG_TAKES,   /* the server takes data */
    WEIR__PG_GIVES,   /* the server gives data */
} weir__pgphase;
typedef struct weir__pgchunk weir__pgchunk;

typedef struct weir__pgconn {
    weir__conn base;
    PGconn *pg;
    weir__pgstate state;
    bool with_startup; /* the attempt to connect has sent the env's `startup` */
    bool with_users;   /* … and settings that the user has asked for */
    int own_fd;        /* a copy of libpq's descriptor, once connected; -1 before */
    int watched_fd;
    unsigned watched;                /* events; 0: not watched */
    struct weir__pgresolve *resolve; /* the thread's job, while it runs */
    struct weir__pgcancel *cancel;   /* likewise */
    bool cancelling;                 /* all that runs is to end */
    weir__pgop *quarantined;         /* the request has ended, but the cancellation is still on its way */
    weir__link ops;                  /* those that have not ended, in the order of sending */
    weir__pgop *next;                /* the first of them that is not sent whole; NULL: all are */
    weir__pgop own;                  /* the state of one request, which takes no memory then */
    bool own_used;
    weir__pgstep *steps; /* a ring: what was sent and not answered */
    size_t step_first, step_count, step_capacity;
    bool broken;      /* a request of the chain has failed: those behind it are not to be run */
    bool has_written; /* the open transaction, as far as answers have told */
    bool xid_asked;
    bool ahead_writes; /* … and more than reads are among what was sent of its transaction */
    unsigned grouped;  /* requests since the last Sync */
    bool calling;      /* a readonly request that may run any function is among what is on its way */
    weir__tx ahead_tx; /* the session's state when all that was sent will have been run, if it succeeds */
    weir__pgargs args;
    /* ---- outside of the pipeline: copy.c */
    weir__pgop *simple; /* what runs there; NULL: nothing */
    weir__pgphase phase;
    weir__pgchunk *chunk; /* what has come of a COPY TO and was not taken; NULL: nothing */
    weir__buffer rest;    /* what the socket has not taken of a COPY FROM, from rest_at on */
    size_t rest_at;
    bool doubt;       /* the server may have reported an error while it is to take data */
    unsigned notices; /* … so many notices it has sent */
    /* ---- the session */
    weir__lru statements; /* the prepared ones */
    weir__link doomed;    /* those that the server still has, and we do not want any more */
    size_t doomed_count;
    uint64_t next_number; /* of a prepared statement's name; never used twice */
    weir__pgform forms[WEIR__PG_FORMS];
    weir__pgform *form; /* the transaction's, whose BEGIN went by its name; NULL: none, or a function has run
                           since that could have made the server forget it */
    bool used;          /* something was sent for the host since the last reset */
    bool dirty;         /* statements may have left something behind: the reset sends DISCARD ALL */
    bool lasting; /* … namely what DISCARD ALL does not undo: the connection is not fit for anybody else */
    bool founded; /* the host's own init has left something behind, which DISCARD ALL undoes as well */
    bool retyped; /* … or a SET LOCAL may give names another meaning: types are not shared with the pool */
    bool guard_foreign; /* the borrower has set statement_timeout himself */
    bool guard_in_tx;   /* our SET statement_timeout stands inside an open transaction, and falls with it */
    int64_t guard_ms;   /* the statement_timeout that the server has now; 0 none, or WEIR__PG_GUARD_UNKNOWN */
    bool readonly;      /* default_transaction_read_only was set by us */
    bool fatal;         /* the server has said that it closes the connection … */
    weir_error last_words; /* … and why */
} weir__pgconn;

static inline weir__pgenv *weir__pg_env(const weir__pgconn *c) { return (weir__pgenv *)c->base.env; }

/* ---- env.c */
weir__env *weir__pg_env_open(const weir__env *base, weir_error *error);
void weir__pg_env_close(weir__env *env);
/* Appends a pair; a later one of the same keyword wins. False: out of memory. */
bool weir__pg_params_add(weir__pgparams *params, const char *keyword, const char *value);
bool weir__pg_params_copy(weir__pgparams *to, const weir__pgparams *from);
void weir__pg_params_free(weir__pgparams *params);
/* What libpq makes of the parameters, the environment and the service file, before it connects (the password
   is not told); free it with PQconninfoFree. NULL: out of memory. */
PQconninfoOption *weir__pg_effective(const weir__pgparams *params);
/* The value of a keyword there; NULL when it is absent or empty. */
const char *weir__pg_effective_value(const PQconninfoOption *options, const char *keyword);

/* ---- connect.c */
void weir__pg_connect(weir__conn *conn);
/* Goes on when the hosts' names are known: they replace those of *params, which is taken over. */
void weir__pg_connect_start(weir__pgconn *c, weir__pgparams *params);
void weir__pg_connect_ready(weir__pgconn *c);
/* Watches the connection's socket for these events; 0 ends it. False: it has been lost for lack of memory. */
bool weir__pg_watch(weir__pgconn *c, unsigned events);
/* For good. */
void weir__pg_unwatch(weir__pgconn *c);
/* Tells the host that the connection is dead; what runs is answered first. *why is taken over. */
void weir__pg_lose(weir__pgconn *c, weir_error *why);

/* ---- resolve.c */
typedef enum weir__pgresolution {
    WEIR__PG_DIRECT,  /* nothing to look up */
    WEIR__PG_STARTED, /* weir__pg_connect_start or weir__pg_lose follows, from a letter; *params is taken over
                       */
    WEIR__PG_NO_THREAD /* *error tells */
} weir__pgresolution;
weir__pgresolution weir__pg_resolve(weir__pgconn *c, const PQconninfoOption *effective,
                                    weir__pgparams *params, weir_error *error);
void weir__pg_resolve_abandon(weir__pgconn *c);

/* ---- trip.c: sending. Each of these may find the connection lost: look at c->state afterwards */
/* Sends what is to be sent and can be, and watches for what comes next. */
void weir__pg_pump(weir__pgconn *c);
/* The statement that runs is not prepared by a name: its parameters go as text, their types are the server's
 * choice. */
bool weir__pg_unnamed(const weir__pgconn *c, const weir__request *request);
/* What is set in the session stays with this connection, and is told when it changes. */
bool weir__pg_has_own_session(const weir__pgconn *c);
/* Room for the steps of another trip. False: out of memory. */
bool weir__pg_reserve(weir__pgconn *c);
/* Sends a command without parameters, or a Sync. False: libpq refuses, the connection is unusable. */
bool weir__pg_send(weir__pgconn *c, weir__pgop *op, const char *text, weir__pgstep_kind kind);
bool weir__pg_send_sync(weir__pgconn *c, weir__pgop *op);
bool weir__pg_send_guard(weir__pgconn *c, weir__pgop *op, int64_t guard_ms);
/* The error of a request that is not run because one before it in its chain has failed. */
void weir__pg_fail_chain(weir__pgop *op);
/* Asks for the types that the statement's description names and nobody knows. 1: it was sent, in a trip of
   its own; 0: all are known, or op->error tells; -1: the connection is unusable. */
int weir__pg_send_question(weir__pgconn *c, weir__pgop *op);
void weir__pg_push(weir__pgconn *c, weir__pgop *op, weir__pgstep_kind kind);
/* libpq has refused to take a message: gives the connection up. */
void weir__pg_send_failed(weir__pgconn *c);

/* ---- op.c: a request's life */
void weir__pg_execute(weir__conn *conn, weir__request *request);
void weir__pg_flush(weir__conn *conn);
/* The request's state, last in the line. NULL: it was told `done`, for lack of memory. */
weir__pgop *weir__pg_op_begin(weir__pgconn *c, weir__request *request);
/* The one behind it; NULL: it is the last. */
weir__pgop *weir__pg_op_next(const weir__pgconn *c, const weir__pgop *op);
/* The request has ended: settles what is believed of the session, runs it again if that helps, tells `done`,
   or lets the connection wait for its cancellation. */
void weir__pg_op_end(weir__pgconn *c, weir__pgop *op);
/* The server has skipped it, unexecuted: it is sent again, with a Sync of its own. */
void weir__pg_op_again(weir__pgconn *c, weir__pgop *op);
/* Tells `done` with what op holds, which is gone then. */
void weir__pg_op_tell(weir__pgconn *c, weir__pgop *op);
/* Asks for the number of the open transaction, without waiting for it; nothing else is on its way. */
void weir__pg_ask_xid(weir__pgconn *c);
/* Would the statement stay done without the host's COMMIT, and was it sent? */
bool weir__pg_op_writes(const weir__pgop *op);
/* The connection is gone, and what the request was to do may have been done, though no answer has come. */
bool weir__pg_op_is_unknown(const weir__pgop *op);
/* The statement has failed with op->error, after it was sent: not retryable, where a part of it may be done.
 */
void weir__pg_op_judge(weir__pgop *op);
/* The driver's `doubtful`. */
bool weir__pg_doubtful(weir__conn *conn, const weir__request *request);
/* Frees what op holds, without telling anybody. */
void weir__pg_op_drop(weir__pgconn *c, weir__pgop *op);
void weir__pg_spares_free(weir__pgenv *env);
/* The value does not fit the number of parameters: WEIR_EINVAL. */
int weir__pg_refuse_count(const weir__shape *shape, const weir_statement *statement, weir_error *error);

/* ---- query.c: receiving */
void weir__pg_query_ready(weir__pgconn *c, unsigned events);
/* Takes in what has come. False: the server has ended the connection, or it is no longer in state READY. */
bool weir__pg_receive(weir__pgconn *c);
/* The oldest step has been answered. */
void weir__pg_pop(weir__pgconn *c);

/* ---- copy.c: scripts and COPY */
/* Judges the text, before anything is sent: WEIR_OK, or op->error. */
int weir__pg_simple_prepare(weir__pgconn *c, weir__pgop *op);
/* Asks the server, ahead, whether the text of a COPY is one command. False: the connection is unusable. */
bool weir__pg_simple_check(weir__pgconn *c, weir__pgop *op);
/* Leaves the pipeline, in which nothing is on its way, and sends. -1: the connection is unusable. */
int weir__pg_simple_start(weir__pgconn *c, weir__pgop *op);
/* Takes what has come. */
void weir__pg_simple_take(weir__pgconn *c);
/* Nothing is to be read, until what was has been taken. */
bool weir__pg_simple_holds(const weir__pgconn *c);
/* All that was to be sent is. */
void weir__pg_simple_flushed(weir__pgconn *c);
/* Sends what has waited for the socket. False: some of it still waits, or the connection has been lost. */
bool weir__pg_simple_flush(weir__pgconn *c);
void weir__pg_simple_cancel(weir__pgconn *c);
void weir__pg_simple_tick(weir__pgconn *c);
/* Nothing runs there any more. */
void weir__pg_simple_forget(weir__pgconn *c);
/* The driver's steps of a COPY. */
void weir__pg_copy_put(weir__conn *conn, const void *data, size_t length);
void weir__pg_copy_end(weir__conn *conn);
weir_result *weir__pg_copy_take(weir__conn *conn);

/* ---- prepared.c: a connection's statements */
bool weir__pg_statements_init(weir__pgconn *c);
/* The one of that text, which counts as used then; NULL: not prepared. */
weir__prepared *weir__pg_statement_find(weir__pgconn *c, const weir_statement *statement);
/* A statement that is about to be prepared, with a reference of the caller's: in the cache, from where the
   one that was not used for longest may have to go; with no name ("") and in no cache when its text is too
   long to be kept. NULL: out of memory. */
weir__prepared *weir__pg_statement_new(weir__pgconn *c, weir__shape *shape);
/* Its shape is another one now. */
void weir__pg_statement_reshape(weir__prepared *prepared, weir__shape *shape);
/* Out of the cache if it is there, and on the list of those that the server is to forget, if it has a name.
 */
void weir__pg_statement_doom(weir__pgconn *c, weir__prepared *prepared);
/* Out of the cache: the server does not know it, or not any more. */
void weir__pg_statement_drop(weir__pgconn *c, weir__prepared *prepared);
void weir__pg_statement_unref(weir__prepared *prepared); /* NULL is accepted */
void weir__pg_doomed_free(weir__pgconn *c);
/* The server has forgotten all of them, or the connection ends. */
void weir__pg_statements_forget(weir__pgconn *c);

/* ---- keep.c: commands that the server keeps prepared; false as with weir__pg_send */
bool weir__pg_send_before(weir__pgconn *c, weir__pgop *op, const char *text);
bool weir__pg_send_command(weir__pgconn *c, weir__pgop *op, const char *text);
/* Asks for the transaction's number. */
bool weir__pg_send_xid(weir__pgconn *c, weir__pgop *op);
/* The answer to a WEIR__STEP_KEEP. */
void weir__pg_keep_answered(weir__pgop *op, bool prepared);
/* Whether the server's message names one of them. */
bool weir__pg_keeps_name(const weir__pgconn *c, const char *message);
void weir__pg_keeps_forget(weir__pgconn *c);

/* ---- result.c */
weir_result *weir__pg_result_new(void);
/* Keeps what its values need to know of the database's own types, and of the server, for as long as it lives.
   Before the rows are set. */
void weir__pg_result_know(weir_result *result, const weir__pgargs *args);
/* Takes the rows over. */
void weir__pg_result_set(weir_result *result, PGresult *rows);
/* Whether there is a decoder for each column, in the form that it came in. */
bool weir__pg_rows_are_legible(const weir__pgtypes *types, const PGresult *rows);
/* As new. */
void weir__pg_result_reset(weir_result *result);
/* For an executemany: adds its number of rows, takes its tag. */
void weir__pg_result_add(weir_result *result, const PGresult *rows);
/* rows.c: an encoder of rows like these, for a server that is `finite` as in weir__pgargs; NULL: out of
   memory. */
weir_copy_rows *weir__pg_copy_rows(const PGresult *like, const weir__pgtypes *types, bool finite,
                                   weir_error *error);

/* ---- cancel.c */
void weir__pg_cancel(weir__conn *conn);
/* Asks the server to end what runs; nothing when that is being asked already. */
void weir__pg_cancel_send(weir__pgconn *c);
void weir__pg_cancel_abandon(weir__pgconn *c);

/* ---- classify.c: the driver's `classify` */
/* Whether the statement is a query, by its first keyword: what DECLARE CURSOR takes. */
bool weir__pg_is_query(const weir_statement *statement);
unsigned weir__pg_classify(const weir__env *env, const weir_statement *statement);

/* ---- functions.c */
/* Whether the word before a parenthesis is no function, or one of the server's own that writes nothing. */
bool weir__pg_is_harmless(const char *text, size_t length);

/* ---- reset.c */
/* Takes in the option `reset`. False: out of memory. */
bool weir__pg_reset_open(weir__pgenv *env);
bool weir__pg_reset(weir__conn *conn, weir__request *request, weir__reset how);
/* A command of the reset has succeeded: settles what is believed of the session. */
void weir__pg_reset_taken(weir__pgconn *c, const weir__pgop *op);
void weir__pg_baseline(weir__conn *conn);

/* ---- cursor.c */
int weir__pg_cursor(const weir_statement *statement, unsigned number, size_t rows, weir__cursor *out,
                    weir_error *error);

/* ---- error.c */
/* hint: in the place of the server's own; or NULL. */
int weir__pg_report(weir_error *error, const PGresult *result, const char *hint);
/* Whether the server ends the connection with this report. */
bool weir__pg_is_fatal(const PGresult *result);
/* WEIR_ECONNECT from a failed attempt, the server's SQLSTATE included (the verbosity must be
 * PQERRORS_VERBOSE). settings: the user has given some, which may be what it refuses. */
void weir__pg_connect_error(weir_error *error, const PGconn *pg, bool settings);
/* Whether the message of a failed attempt says that a proxy does not take the keyword `options`. */
bool weir__pg_refuses_options(const char *message);
/* WEIR_ELOST with libpq's text. */
void weir__pg_lost_error(weir_error *error, const PGconn *pg);
/* Turns a server's report into one of another code, which is retryable as its code says. */
void weir__pg_recode(weir_error *error, int code);

/* ---- library.c: functions that newer libraries have, found at run time; NULL when absent */
typedef struct pg_cancel_conn weir__pgcancelconn; /* libpq's own name for it: PGcancelConn */
typedef struct weir__pglibrary {
    int (*send_pipeline_sync)(PGconn *); /* libpq 17: PQpipelineSync without its flush */
    int (*ssl_pending)(const void *);    /* OpenSSL's, of the copy that libpq uses */
    /* libpq 17: cancelling without blocking, encrypted as the connection is; all of these or none. */
    weir__pgcancelconn *(*cancel_create)(PGconn *);
    int (*cancel_start)(weir__pgcancelconn *);
    PostgresPollingStatusType (*cancel_poll)(weir__pgcancelconn *);
    ConnStatusType (*cancel_status)(const weir__pgcancelconn *);
    int (*cancel_socket)(const weir__pgcancelconn *);
    char *(*cancel_message)(const weir__pgcancelconn *);
    void (*cancel_finish)(weir__pgcancelconn *);
} weir__pglibrary;
const weir__pglibrary *weir__pg_library(void);

#endif

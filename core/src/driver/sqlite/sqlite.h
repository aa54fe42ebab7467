/*
 * What the files of the SQLite driver share.
 *
 * Threads: a connection has two sides. The host's side (driver.c) runs under the host's lock; the worker's
 * side (open.c, run.c, cache.c …) in the connection's own thread. They meet in `job`: the host fills in the
 * wish and hands it over, the worker fills in the outcome and posts the letter; whoever has it may touch it.
 * A field below belongs to the side that is named. Signals are blocked in the worker.
 *
 * Short reads: going to the worker and back takes longer than a point query. So `execute` itself runs, on the
 * host's thread and under its lock, a statement that is all of the request (no command with it), that is in
 * the cache, that only reads, of which each step is short (short.c), and whose last runs took 20 µs at most:
 * a longer run counts at once, shorter ones by and by. The worker has nothing to do then, and finds at the
 * next hand-over what the host's side has left. It is bounded thus:
 *   - 50 µs for one run, looked at every 1000 steps and every row; a lock that is held is not waited for. In
 * both cases the run is ended and the worker does all of it anew, which nobody can tell: it has only read,
 * and SQLite leaves the borrower's transaction alone when a read in it is interrupted. Deadlines and
 *     cancellations reach it there as ever.
 *   - 0.5 ms for such runs of a pool, together; then their answers come by letter until one has been
 * delivered, so that a caller who never waits gives his loop a turn.
 *   - A single step cannot be interrupted while it reads from a slow disk. After such a stall there are no
 * short reads in the pool for 20 times as long: so at most a twentieth of the host's time is lost.
 *
 * Cancelling: `interrupted` is looked at before every step, by the progress handler and by the busy handler,
 * and cleared by the host when it hands over the next job: so it hits this request and never the next.
 * sqlite3_interrupt comes with it, for operations that run long between two looks; SQLite forgets a late one
 * when its next statement starts, unless a cursor is open: then it is left out.
 */
#ifndef WEIR_DRIVER_SQLITE_SQLITE_H
#define WEIR_DRIVER_SQLITE_SQLITE_H

#include <stdatomic.h>

#include "base/list.h"
#include "driver/driver.h"
#include "driver/sqlite/table.h"

#define WEIR__SQLITE_BEGIN_READ "BEGIN DEFERRED -- read only" /* our own: known again by its text */

typedef struct weir__sqlite_env {
    weir__env base;
    char *uri;         /* what sqlite3_open_v2 is given */
    int flags;         /* likewise */
    bool memory;       /* a database in memory, shared under a name of its own … */
    sqlite3 *anchor;   /* … and kept by this connection, which is never used */
    int64_t spent;     /* ns on short reads since a letter was last delivered; under the host's lock */
    int64_t resume_at; /* no short reads until then; 0: they are allowed. Under the host's lock */
    bool readonly;     /* nothing can be written: mode=ro or immutable */
    bool declared;     /* columns give what they were declared as, where they hold it */
    unsigned forks;    /* when it was made */
} weir__sqlite_env;

/* ---- text.c: what a text begins with ---- */

typedef enum weir__sqlite_verb {
    WEIR__SQLITE_OTHER,
    WEIR__SQLITE_COMMIT,
    WEIR__SQLITE_ROLLBACK,
    WEIR__SQLITE_ROLLBACK_TO,
    WEIR__SQLITE_RELEASE,
} weir__sqlite_verb;

/* What stands behind a command tag, and in `affected`. */
typedef enum weir__sqlite_count {
    WEIR__SQLITE_NO_COUNT,
    WEIR__SQLITE_ROWS,
    WEIR__SQLITE_CHANGES
} weir__sqlite_count;

typedef struct weir__sqlite_shape {
    char tag[24]; /* "SELECT", "INSERT 0", "CREATE TABLE"; "" for a text without a statement */
    weir__sqlite_verb verb;
    weir__sqlite_count count;
} weir__sqlite_shape;

/* What comes behind blanks and comments, and semicolons if wanted. The text ends with a NUL. */
const char *weir__sqlite_skip(const char *text, bool semicolons);
void weir__sqlite_look(const char *sql, weir__sqlite_shape *out);
/* Whether a statement of the script may end the transaction in which it begins. */
bool weir__sqlite_leaves(const char *script);
/* The driver's `classify`. */
unsigned weir__sqlite_classify(const weir__env *env, const weir_statement *statement);

/* ---- cache.c: prepared statements ---- */

typedef struct weir__sqlite_statement {
    weir__link recent;
    struct weir__sqlite_statement *next; /* in its bucket */
    uint64_t hash;
    size_t length; /* of sql */
    int users;     /* got and not yet put */
    bool cached;
    bool dirty; /* running it leaves something behind in the connection: see open.c */
    weir__sqlite_shape shape;
    sqlite3_stmt *handle; /* NULL: the text holds no statement */
    int slots;            /* parameters as SQLite counts them */
    size_t wanted;        /* values that it takes */
    int64_t took;         /* ns, of its last run */
    int64_t takes;        /* ns, by and large: see weir__sqlite_measure */
    int runs;             /* counted until it is judged … */
    bool judged, quick;   /* … whether each of its steps is short, and all it does is to read */
    int *numbers;         /* of each slot, which value it takes, from 1; NULL: the one of its own number */
    unsigned char *kinds; /* of each column, what to look for in it; NULL: in none for anything … */
    bool kinds_known;     /* … if that has been looked up, when SQLite had prepared it anew … */
    int kinds_at;         /* … so many times */
    char sql[];
} weir__sqlite_statement;

typedef struct weir__sqlite_cache {
    weir__sqlite_statement **buckets; /* `mask` + 1 of them; NULL when the cache is off */
    size_t mask, count, limit;
    weir__link recent; /* the latest first */
} weir__sqlite_cache;

typedef struct weir__sqlite_conn weir__sqlite_conn;
typedef struct weir__sqlite_cursor weir__sqlite_cursor;

int weir__sqlite_cache_init(weir__sqlite_cache *cache, size_t limit, weir_error *error);
void weir__sqlite_cache_free(weir__sqlite_cache *cache);
/*
 * Prepares the first statement of a text, or finds it. Give it back with weir__sqlite_put. *tail: what
 * follows it, or
 * "". Marks the connection as dirty when the text will leave something behind.
 */
int weir__sqlite_get(weir__sqlite_conn *conn, const char *sql, size_t length, uint64_t hash,
                     weir__sqlite_statement **out, const char **tail, weir_error *error);
/* Likewise, for the statements of a script: without looking into the cache, or keeping it there. */
int weir__sqlite_next(weir__sqlite_conn *conn, const char *sql, size_t length, weir__sqlite_statement **out,
                      const char **tail, weir_error *error);
/* The same, but prepared anew, and nobody else's. */
int weir__sqlite_get_own(weir__sqlite_conn *conn, const char *sql, size_t length, uint64_t hash,
                         weir__sqlite_statement **out, const char **tail, weir_error *error);
/* The one that is cached; NULL: none is. */
weir__sqlite_statement *weir__sqlite_find(weir__sqlite_cache *cache, uint64_t hash, const char *sql,
                                          size_t length);
void weir__sqlite_put(weir__sqlite_statement *statement);

/* ---- bind.c ---- */

/* Finds out which values the parameters take: $1 and ?1 by number, ? by place; others are refused. */
int weir__sqlite_describe(weir__sqlite_conn *conn, weir__sqlite_statement *statement, weir_error *error);
/* The values are borrowed until weir__sqlite_unbind. */
int weir__sqlite_bind(weir__sqlite_conn *conn, weir__sqlite_statement *statement, const weir_value *values,
                      size_t count, weir_error *error);
/* Ends the run of a statement, too. */
void weir__sqlite_unbind(weir__sqlite_statement *statement);

/* ---- short.c: what may run on the host's thread ---- */

/* After a run by the worker: looks once at what a statement that is run again compiles to. */
void weir__sqlite_judge(weir__sqlite_conn *conn, weir__sqlite_statement *statement);
/* What is prepared for a statement that may run now; NULL: the worker shall. The host's side. */
weir__sqlite_statement *weir__sqlite_short(weir__sqlite_conn *conn, const weir_statement *statement);
/* Before such a run, which begins now: sets its budget. */
void weir__sqlite_allow(weir__sqlite_conn *conn, int64_t now);
/* After any run: notes what it took, and ends the budget. */
void weir__sqlite_measure(weir__sqlite_conn *conn, weir__sqlite_statement *statement, int64_t begun);
/* Shall the answer to the one that has just been run come by way of the host's loop? */
bool weir__sqlite_turn_due(const weir__sqlite_conn *conn);
/* Has the budget run out? Never in the worker. */
bool weir__sqlite_overdue(weir__sqlite_conn *conn);

/* ---- rows.c: the result ---- */

weir_result *weir__sqlite_result_new(void); /* NULL: out of memory */
/* The columns of a statement that has been stepped once. declared: its rows are read as these are declared,
   and the statement must not go before they are. False: out of memory. */
bool weir__sqlite_result_columns(weir_result *result, weir__sqlite_statement *statement, bool declared);
/* Adds the row that the statement stands on. False: out of memory. */
bool weir__sqlite_result_row(weir_result *result, sqlite3_stmt *handle);
/* Tag and affected; affected < 0: no such number. */
void weir__sqlite_result_finish(weir_result *result, const weir__sqlite_shape *shape, int64_t affected);

/* ---- declared.c: columns of declared types ---- */

/* Makes sure that the statement's kinds are those of its columns now. False: out of memory. */
bool weir__sqlite_look_up_kinds(weir__sqlite_statement *statement);
/* Makes a value what its column was declared as, if it is that, else leaves it alone. A text ends with a NUL.
   A number may get a text, which is then in `made`: that has WEIR__SQLITE_NUMBER bytes. */
#define WEIR__SQLITE_NUMBER 40
void weir__sqlite_read_as(weir_type kind, weir_value *value, char *made);

/* ---- errors.c ---- */

/* What the last call on the connection has reported. rc: its code; sql: for the position, or NULL. */
int weir__sqlite_fail(weir__sqlite_conn *conn, int rc, const char *sql, weir_error *error);
/* A report of the driver's own. */
int weir__sqlite_report(weir_error *error, const char *sqlstate, const char *message);

/* A statement in a transaction that an error has ended. */
int weir__sqlite_report_aborted(weir_error *error);

/* ---- the connection ---- */

typedef enum weir__sqlite_task {
    WEIR__SQLITE_OPEN,
    WEIR__SQLITE_EXECUTE,
    WEIR__SQLITE_RESET
} weir__sqlite_task;

typedef struct weir__sqlite_job {
    weir__sqlite_task task;
    weir_statement *statement; /* counted, or NULL */
    bool script;               /* … and its text holds any number of them */
    bool readonly;             /* … or it is refused unless it only reads */
    uint64_t cursor;           /* as in weir__request */
    size_t rows;
    char *texts; /* the commands, each with its NUL: those before, then the last one; or NULL */
    unsigned before_count;
    bool command;
    weir__reset reset;
    /* the outcome */
    int code;
    weir_result *result;
    weir_error error;
    bool rolled_back, dirty;
    unsigned begun; /* how many of those before have run with success */
    weir__tx tx;
    bool reading;        /* a cursor is open */
    const char *warning; /* for the log, static; or NULL */
} weir__sqlite_job;

struct weir__sqlite_conn {
    weir__conn base;

    /* the host's side */
    pthread_t thread;
    bool started, stopped;
    bool soiled;    /* the last outcome was dirty */
    bool reading;   /* … left a cursor open */
    bool used;      /* something has been run since the last reset */
    unsigned forks; /* when the thread was made */

    weir__sqlite_job job;
    weir__letter outcome; /* from the worker: the job is done */
    weir__letter last;    /* from the worker: it is about to end */

    /* Guards ready, quit, and the writing of db. The worker waits for `change` under it; nothing else is
       called, but sqlite3_interrupt, which only sets a flag. Taken under the host's lock, never the other way
       round. */
    pthread_mutex_t lock;
    pthread_cond_t change; /* ready, quit or interrupted; its clock is CLOCK_MONOTONIC */
    bool ready, quit;
    atomic_bool interrupted;

    /* the worker's side; the host's while the worker waits for a job */
    sqlite3 *db; /* NULL: not open */
    weir__sqlite_cache cache;
    bool shielded;   /* a ROLLBACK runs, which no cancellation may stop */
    bool aborted;    /* an error has ended the transaction that the borrower still believes in */
    bool forgiven;   /* … and this request has rolled back to a savepoint in it */
    bool query_only; /* switched on for a transaction that only reads */
    bool dirty;      /* a statement has left something behind that reset cannot undo */
    bool mapped;     /* the file is read by way of memory: what was read from the disk is not counted */
    int64_t until;   /* of a short read: when its budget ends; 0: the worker runs */
    bool ran_out;    /* the last short read has to be done anew by the worker */
    int64_t busy_until;
    weir__sqlite_cursor *cursors; /* those that are open */
    uint64_t last_cursor;         /* the highest number of one */
    size_t set;                   /* of an executemany, from 1; 0: none */
};

/* The thread: opens, does jobs until it is told to quit, closes. */
void *weir__sqlite_work(void *conn);
/* SQLite's busy handler: sleeps a little. 0: the lock time-out has passed, or the request was cancelled. */
int weir__sqlite_busy(void *conn, int count);
/* Has the running request been cancelled? */
bool weir__sqlite_interrupted(weir__sqlite_conn *conn);

/* open.c */
int weir__sqlite_open(weir__sqlite_conn *conn, weir_error *error);
void weir__sqlite_close(weir__sqlite_conn *conn);
/* Runs a text of our own; the first column of its first row goes to `out`, cut to size; out may be NULL.
   Gives SQLite's code. */
int weir__sqlite_ask(sqlite3 *db, const char *sql, char *out, size_t size);

/* cursor.c: a job with a cursor. */
int weir__sqlite_run_cursor(weir__sqlite_conn *conn, const weir__sqlite_job *job, weir_result **out,
                            weir_error *error);
void weir__sqlite_close_cursors(weir__sqlite_conn *conn);

/* run.c: the outcome goes into the job. */
void weir__sqlite_run(weir__sqlite_conn *conn, weir__sqlite_job *job);
/* By the host, when the worker has nothing to do. False: the worker shall do it, from the beginning. */
bool weir__sqlite_run_at_once(weir__sqlite_conn *conn, weir__sqlite_job *job);
void weir__sqlite_run_reset(weir__sqlite_conn *conn, weir__sqlite_job *job);

/* env.c */
weir__env *weir__sqlite_env_open(const weir__env *base, weir_error *error);
void weir__sqlite_env_close(weir__env *env);
const char *weir__sqlite_begin(weir__env *env, const weir__begin *begin, weir_error *error);

#endif

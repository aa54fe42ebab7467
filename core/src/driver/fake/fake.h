/*
 * The third driver: no database, but a script. It takes its time from the host's clock and its chances from a
 * seed, so a run of thousands of faults replays exactly. For tests only.
 *
 * What a statement's text asks for:
 *     sleep N          answers after N ms, whatever the script says
 *     hang             answers only to a cancel
 *     fail SQLSTATE    the database's error
 *     rows N           N rows with their numbers 0 … N-1
 *     lose             the connection is lost while it runs
 *     local fail       WEIR_EVALUE at once: nothing is run, nothing is noted
 *     … shared         it may share its connection, and only reads; … shared write: it does not only read
 *     state            it changes the state of its connection
 * Any other gives one row with one column, the first parameter of the first set, or the text itself: the
 * nonce that tells whose answer it is. A failed statement fails its transaction, as in PostgreSQL.
 *
 * A delay of 0 is answered inside the call, or, for what is held, inside the flush. What the host does
 * against the contract is counted in `violations`. There is one script a process; every function and field is
 * for the thread that holds the host's lock.
 */
#ifndef WEIR_DRIVER_FAKE_FAKE_H
#define WEIR_DRIVER_FAKE_FAKE_H

#include "base/rng.h"
#include "driver/driver.h"

#define WEIR__FAKE_QUEUE 64
#define WEIR__FAKE_LIVE 1024
#define WEIR__FAKE_TRANSCRIPT 4096

typedef enum weir__fake_kind {
    WEIR__FAKE_OK,
    WEIR__FAKE_FAIL,        /* connect: refused. run: an error, with `sqlstate` */
    WEIR__FAKE_LOSE,        /* run: the connection dies in the midst of it */
    WEIR__FAKE_ROLLED_BACK, /* run: COMMIT is answered by ROLLBACK */
    WEIR__FAKE_HANG,        /* only a cancel or a stop ends it */
} weir__fake_kind;

typedef struct weir__fake_outcome {
    weir__fake_kind kind;
    char sqlstate[6];
    int64_t delay_ns;
} weir__fake_outcome;

typedef struct weir__fake_queue {
    weir__fake_outcome items[WEIR__FAKE_QUEUE];
    size_t first, count;
} weir__fake_queue;

typedef struct weir__fake_script {
    weir__rng rng;
    /* How long things take: uniform between the two. */
    int64_t connect_min_ns, connect_max_ns;
    int64_t run_min_ns, run_max_ns;
    int64_t reset_min_ns, reset_max_ns;
    int64_t cancel_min_ns, cancel_max_ns; /* from cancel to the request's end */
    int64_t down_min_ns, down_max_ns;     /* from stop to down */
    int64_t idle_death_max_ns;            /* when an idle connection dies, at the latest */
    /* How often, of a thousand. */
    int connect_fail_permille;
    const char *connect_sqlstate; /* which such a server says; NULL: it is not there */
    int lost_idle_permille;       /* each time it becomes idle */
    int lost_running_permille;
    int error_permille;
    int before_fail_permille;
    int commit_rolled_back_permille;
    int cancel_ignored_permille;
    int reset_permille; /* a reset is needed, though no transaction is open */
    int reset_fail_permille;
    weir__reset reset_how; /* how the last one was to be done */
    weir__role role;       /* of all servers */
    bool env_fails;
    /* What comes first, before any chance. */
    weir__fake_queue connects, runs;

    /* ---- what has happened ---- */
    long created, connected, lost, stopped, down, freed; /* connections */
    long executed, cancelled, resets, begins, commits, rollbacks;
    long sends; /* of statements: what is held goes in one */
    long violations;
    char violation[128]; /* the first */
    char
        transcript[WEIR__FAKE_TRANSCRIPT]; /* texts of requests, "BEGIN; select 1; COMMIT\n"; cut when full */
    weir__conn *live[WEIR__FAKE_LIVE];     /* created and not freed, in order of creation */
    size_t live_count;
} weir__fake_script;

extern weir__fake_script weir__fake;
extern const weir__driver weir__fake_driver; /* its name is "fake" */

/* A fresh script: nothing takes time, nothing fails, all counters 0. No connection may be left. */
void weir__fake_start(uint64_t seed);
/* The next outcome of a connect, or of a request; they queue up. */
void weir__fake_next_connect(weir__fake_kind kind, int64_t delay_ns);
void weir__fake_next_run(weir__fake_kind kind, const char *sqlstate, int64_t delay_ns);
/* The i-th live connection; NULL past the end. */
weir__conn *weir__fake_conn_at(size_t i);
/* Has it answer now what runs there, a "hang" too: a test that is the server itself. False: nothing runs. */
bool weir__fake_answer(weir__conn *conn);
/* The server cuts the connection: the host is told at the next tick. False: it is dead or on its way out
 * already. */
bool weir__fake_kill(weir__conn *conn);
/* The same, but nobody is told: alive() says no, and a request is lost. */
void weir__fake_mute(weir__conn *conn);
/* The server sends a notification. False: the connection is not up. */
bool weir__fake_notify(weir__conn *conn, const char *channel, const char *payload);

#endif

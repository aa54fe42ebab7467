/* The driver's table and the host's side of a connection. Everything here is called with the host's lock
 * held. */
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/fork.h"
#include "driver/sqlite/sqlite.h"

static weir__sqlite_conn *conn_of(weir__conn *conn) { return (weir__sqlite_conn *)conn; }

static void drop_outcome(weir__sqlite_job *job) {
    weir_result_free(job->result);
    weir_error_clear(&job->error);
    job->result = NULL;
}

/* ---- letters from the worker ---- */

static void tell_opened(weir__sqlite_conn *conn) {
    weir__sqlite_job *job = &conn->job;
    const weir__host *host = conn->base.env->host;
    if (job->warning) weir__logf(conn->base.env->log, WEIR_LOG_WARNING, "%s", job->warning);
    job->warning = NULL;
    if (job->code == WEIR_OK) {
        host->connected(&conn->base);
        return;
    }
    weir_error why = job->error;
    job->error = (weir_error)WEIR_ERROR_INIT;
    host->lost(&conn->base, &why);
}

static void tell_done(weir__sqlite_conn *conn) {
    weir__sqlite_job *job = &conn->job;
    weir__request *request = conn->base.request;
    request->code = job->code;
    request->result = job->result;
    request->rolled_back = job->rolled_back;
    request->begun = job->begun;
    request->error = job->code == WEIR_OK ? NULL : weir__error_detach(&job->error);
    if (request->error)
        request->code = request->error->code; /* without memory for the error it is another one */
    job->result = NULL;
    conn->soiled = job->dirty;
    conn->reading = job->reading;
    conn->base.tx = job->tx;
    conn->base.request = NULL;
    conn->base.env->host->done(&conn->base, request); /* the next request may be handed over from inside */
}

static void deliver_outcome(weir__letter *letter) {
    weir__sqlite_conn *conn = weir__container(letter, weir__sqlite_conn, outcome);
    ((weir__sqlite_env *)conn->base.env)->spent = 0; /* the loop has its turn */
    if (conn->stopped) {
        drop_outcome(&conn->job);
    } else if (conn->job.task == WEIR__SQLITE_OPEN) {
        tell_opened(conn);
    } else {
        tell_done(conn);
    }
}

static void discard_outcome(weir__letter *letter) {
    drop_outcome(&weir__container(letter, weir__sqlite_conn, outcome)->job);
}

static void deliver_last(weir__letter *letter) {
    weir__sqlite_conn *conn = weir__container(letter, weir__sqlite_conn, last);
    conn->base.env->host->down(&conn->base);
}

static void discard_last(weir__letter *letter) { (void)letter; }

/* ---- the life of a connection ---- */

static bool init_signals(weir__sqlite_conn *conn) {
    pthread_condattr_t monotonic;
    if (pthread_condattr_init(&monotonic) != 0) return false;
    bool ok = pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0 &&
              pthread_cond_init(&conn->change, &monotonic) == 0;
    pthread_condattr_destroy(&monotonic);
    if (ok && pthread_mutex_init(&conn->lock, NULL) != 0) {
        pthread_cond_destroy(&conn->change);
        ok = false;
    }
    return ok;
}

static weir__conn *create(weir__env *env, void *owner) {
    weir__sqlite_conn *conn = weir__calloc(1, sizeof *conn);
    if (!conn) return NULL;
    if (!init_signals(conn)) {
        weir__free(conn);
        return NULL;
    }
    conn->base.env = env;
    conn->base.owner = owner;
    conn->job.error = (weir_error)WEIR_ERROR_INIT;
    conn->outcome.deliver = deliver_outcome;
    conn->outcome.drop = discard_outcome;
    conn->last.deliver = deliver_last;
    conn->last.drop = discard_last;
    atomic_init(&conn->interrupted, false);
    return &conn->base;
}

/* The wish has been filled in; nothing of the last request may be left. */
static void clear_outcome(weir__sqlite_conn *conn) {
    weir__sqlite_job *job = &conn->job;
    job->code = WEIR_OK;
    job->rolled_back = job->dirty = false;
    job->begun = 0;
    atomic_store_explicit(&conn->interrupted, false, memory_order_release);
}

static void hand_over(weir__sqlite_conn *conn) {
    clear_outcome(conn);
    pthread_mutex_lock(&conn->lock);
    conn->ready = true;
    pthread_cond_signal(&conn->change);
    pthread_mutex_unlock(&conn->lock);
}

/* Gives pthread_create's code. */
static int start_thread(weir__sqlite_conn *conn) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* inherited: no handler of the host's runs in there */
    weir__mailbox_ref(conn->base.env->mailbox);
    int rc = pthread_create(&conn->thread, NULL, weir__sqlite_work, conn);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        weir__mailbox_unref(conn->base.env->mailbox);
        return rc;
    }
    pthread_setname_np(conn->thread, "weir-sqlite");
    conn->forks = weir__fork_count();
    conn->started = true;
    return 0;
}

static void connect_(weir__conn *base) {
    weir__sqlite_conn *conn = conn_of(base);
    int rc = start_thread(conn);
    if (rc != 0) {
        weir_error why = WEIR_ERROR_INIT;
        weir__fail(&why, WEIR_ECONNECT, "cannot start a thread for a SQLite connection: %s", strerror(rc));
        base->env->host->lost(base, &why);
        return;
    }
    conn->job.task = WEIR__SQLITE_OPEN;
    hand_over(conn);
}

/* No descriptor is watched and no timer armed. */
static void ready(weir__conn *conn, unsigned events) {
    (void)conn;
    (void)events;
}

static void tick(weir__conn *conn) { (void)conn; }

/* The commands in one block, since the host's texts may go before the worker has read them. False: out of
 * memory. */
static bool copy_texts(weir__sqlite_job *job, const weir__request *request) {
    size_t size = request->command ? strlen(request->command) + 1 : 0;
    for (unsigned i = 0; i < request->before_count; i++) size += strlen(request->before[i]) + 1;
    if (size == 0) return true;
    char *at = job->texts = weir__malloc(size);
    if (!at) return false;
    for (unsigned i = 0; i < request->before_count; i++) at = stpcpy(at, request->before[i]) + 1;
    if (request->command) strcpy(at, request->command);
    return true;
}

/* The worker waits for a job, and has left everything as the host's lock and the next hand-over order it. */
static bool run_at_once(weir__sqlite_conn *conn) {
    weir__sqlite_job *job = &conn->job;
    if (!job->statement || job->script || job->texts || job->cursor) return false;
    clear_outcome(conn);
    if (!weir__sqlite_run_at_once(conn, job)) return false;
    weir_statement_unref(job->statement);
    job->statement = NULL;
    return true;
}

static void execute(weir__conn *base, weir__request *request) {
    weir__sqlite_conn *conn = conn_of(base);
    weir__sqlite_job *job = &conn->job;
    request->result = NULL;
    request->error = NULL;
    request->rolled_back = false;
    request->begun = 0;
    if (!copy_texts(job, request)) {
        weir_error why = WEIR_ERROR_INIT;
        request->code = weir__fail(&why, WEIR_ENOMEM, "out of memory");
        request->error = weir__error_detach(&why);
        base->env->host->done(base, request);
        return;
    }
    base->request = request;
    conn->used = true;
    job->task = WEIR__SQLITE_EXECUTE;
    job->statement = request->statement ? weir_statement_ref(request->statement) : NULL;
    job->script = request->mode == WEIR__SCRIPT;
    job->readonly = request->readonly;
    job->cursor = request->cursor;
    job->rows = request->rows;
    job->before_count = request->before_count;
    job->command = request->command != NULL;
    if (!run_at_once(conn))
        hand_over(conn);
    else if (weir__sqlite_turn_due(conn))
        weir__mailbox_post(base->env->mailbox, &conn->outcome);
    else
        tell_done(conn);
}

static bool begins_transaction(const weir__request *request) {
    for (unsigned i = 0; i < request->before_count; i++)
        if (strncmp(request->before[i], "BEGIN", 5) == 0) return true;
    return false;
}

/* The worker may be done with it already, its letter unread, or be so before it looks up. */
static bool doubtful(weir__conn *base, const weir__request *request) {
    weir__sqlite_shape shape;
    if (request != base->request || !request->statement || request->readonly || request->cursor) return false;
    if (request->mode == WEIR__SCRIPT && weir__sqlite_leaves(request->statement->sql)) return true;
    if (request->mode == WEIR__SCRIPT) return base->tx == WEIR__TX_NONE && !begins_transaction(request);
    weir__sqlite_look(request->statement->sql, &shape);
    if (shape.verb != WEIR__SQLITE_OTHER)
        return shape.verb == WEIR__SQLITE_COMMIT || shape.verb == WEIR__SQLITE_RELEASE;
    bool reads = shape.count == WEIR__SQLITE_ROWS || strncmp(shape.tag, "EXPLAIN", 7) == 0;
    return !reads && base->tx == WEIR__TX_NONE && !begins_transaction(request);
}

/* A cursor is open, or is being opened: to SQLite it is a statement that runs, and while one does it goes on
 * interrupting whatever is begun. */
static bool has_cursor(const weir__sqlite_conn *conn) { return conn->reading || conn->job.cursor; }

/* Makes the worker look up from what it does. */
static void interrupt(weir__sqlite_conn *conn, bool quit) {
    atomic_store_explicit(&conn->interrupted, true, memory_order_release);
    pthread_mutex_lock(&conn->lock);
    conn->quit = conn->quit || quit;
    if (conn->db && (quit || !has_cursor(conn))) weir__sqlite.interrupt(conn->db);
    pthread_cond_signal(&conn->change);
    pthread_mutex_unlock(&conn->lock);
}

static void cancel(weir__conn *base) {
    if (base->request) interrupt(conn_of(base), false);
}

/* What is run here is all seen, so `always` finds no more than `auto`. */
static bool reset(weir__conn *base, weir__request *request, weir__reset how) {
    weir__sqlite_conn *conn = conn_of(base);
    bool needed = how == WEIR__RESET_SQL ? conn->used : how != WEIR__RESET_NEVER && conn->soiled;
    if (base->tx == WEIR__TX_NONE && !needed && !conn->reading) return false;
    conn->used = false;
    request->result = NULL;
    request->error = NULL;
    request->rolled_back = false;
    request->begun = 0;
    base->request = request;
    conn->job.task = WEIR__SQLITE_RESET;
    conn->job.reset = how;
    hand_over(conn);
    return true;
}

/* The worker has nothing to do, so what is its own can be written here. */
static void baseline(weir__conn *base) {
    weir__sqlite_conn *conn = conn_of(base);
    conn->dirty = conn->soiled = conn->used = false;
}

static bool alive(weir__conn *conn) {
    (void)conn;
    return true;
}

static void stop(weir__conn *base) {
    weir__sqlite_conn *conn = conn_of(base);
    conn->stopped = true;
    base->request = NULL;
    if (conn->started) {
        interrupt(conn, true);
    } else {
        base->env->host->down(base);
    }
}

static void free_(weir__conn *base) {
    weir__sqlite_conn *conn = conn_of(base);
    /* In a forked child there is no such thread: joining it, or taking away what it waits for, would hang. */
    if (!conn->started || conn->forks == weir__fork_count()) {
        if (conn->started) pthread_join(conn->thread, NULL);
        pthread_mutex_destroy(&conn->lock);
        pthread_cond_destroy(&conn->change);
    }
    weir_statement_unref(conn->job.statement); /* of a job that was never begun */
    weir__free(conn->job.texts);
    drop_outcome(&conn->job);
    weir__free(conn);
}

const weir__driver weir__sqlite_driver = {
    .name = "sqlite",
    .scripts = true,
    .classify = weir__sqlite_classify,
    .env_open = weir__sqlite_env_open,
    .env_close = weir__sqlite_env_close,
    .create = create,
    .connect = connect_,
    .ready = ready,
    .tick = tick,
    .execute = execute,
    .doubtful = doubtful,
    .cancel = cancel,
    .reset = reset,
    .baseline = baseline,
    .alive = alive,
    .stop = stop,
    .free = free_,
    .begin = weir__sqlite_begin,
};

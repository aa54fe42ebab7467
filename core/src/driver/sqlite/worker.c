/* The thread of a connection: it alone touches the database. */
#include <pthread.h>

#include "base/alloc.h"
#include "base/error.h"
#include "driver/sqlite/sqlite.h"

#define SLICE_MOST (10 * WEIR__MS) /* longest sleep between two looks at a lock */

bool weir__sqlite_interrupted(weir__sqlite_conn *conn) {
    return atomic_load_explicit(&conn->interrupted, memory_order_acquire) && !conn->shielded;
}

/* Until the time has come, or the request is cancelled. */
static void doze(weir__sqlite_conn *conn, int64_t until) {
    struct timespec at = {(time_t)(until / (1000 * WEIR__MS)), (long)(until % (1000 * WEIR__MS))};
    pthread_mutex_lock(&conn->lock);
    while (!weir__sqlite_interrupted(conn) && pthread_cond_timedwait(&conn->change, &conn->lock, &at) == 0)
        continue;
    pthread_mutex_unlock(&conn->lock);
}

/* The time is the machine's and not the host's clock: other processes hold the lock. */
int weir__sqlite_busy(void *arg, int count) {
    weir__sqlite_conn *conn = arg;
    if (conn->until) return 0; /* only the worker waits */
    int64_t now = weir__now(&weir__monotonic);
    if (count == 0) conn->busy_until = weir__deadline(now, conn->base.env->config->options.lock_timeout_ms);
    if (weir__sqlite_interrupted(conn) || now >= conn->busy_until) return 0;
    int64_t slice = count < 4 ? WEIR__MS << count : SLICE_MOST;
    doze(conn, conn->busy_until - now < slice ? conn->busy_until : now + slice);
    return !weir__sqlite_interrupted(conn);
}

static void run(weir__sqlite_conn *conn, weir__sqlite_job *job) {
    switch (job->task) {
    case WEIR__SQLITE_OPEN:
        job->code = weir__sqlite_open(conn, &job->error);
        break;
    case WEIR__SQLITE_EXECUTE:
        weir__sqlite_run(conn, job);
        break;
    case WEIR__SQLITE_RESET:
        weir__sqlite_run_reset(conn, job);
        break;
    }
    weir_statement_unref(job->statement);
    weir__free(job->texts);
    job->statement = NULL;
    job->texts = NULL;
}

/* False: quit. */
static bool next_job(weir__sqlite_conn *conn) {
    pthread_mutex_lock(&conn->lock);
    while (!conn->ready && !conn->quit) pthread_cond_wait(&conn->change, &conn->lock);
    bool go = !conn->quit;
    conn->ready = false;
    pthread_mutex_unlock(&conn->lock);
    return go;
}

void *weir__sqlite_work(void *arg) {
    weir__sqlite_conn *conn = arg;
    weir__mailbox *box = conn->base.env->mailbox; /* counted for this thread when it was made */
    while (next_job(conn)) {
        run(conn, &conn->job);
        weir__mailbox_post(box, &conn->outcome);
    }
    weir__sqlite_close(conn);
    weir__mailbox_post(
        box, &conn->last); /* from here on the connection may be freed, once this thread has been joined */
    weir__mailbox_unref(box);
    return NULL;
}

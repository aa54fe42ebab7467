/*
 * Cancelling. Only when the server has closed the cancellation's own connection is it known that it has dealt
 * with it, so that it cannot hit a later statement: until then the connection takes no other request.
 *
 * A few threads, which end when there is nothing to do, serve all pools of the process. From libpq 17 on an
 * attempt is encrypted as its connection is, and has an end: WEIR__PG_CANCEL_MS, or connect_timeout where
 * that is less. Before, PQcancel blocks until a stopped server goes on or the network gives up, and nothing
 * ends it from outside: its time has no bound here (the pool closes the connection meanwhile). So no host may
 * hold more threads than it leaves to the others.
 */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/thread.h"
#include "driver/postgres/pg.h"

#define THREADS_MAX 16
#define AGAIN_AFTER (100 * WEIR__MS)

/* A thread's; but for `conn`, which belongs to the host's lock. */
struct weir__pgcancel {
    weir__letter letter; /* first */
    weir__link link;     /* in the queue, or in `running` */
    weir__mailbox *mailbox;
    weir__pgconn *conn; /* NULL when it does not wait any more */
    uint64_t host;      /* the same for all connections to the same server */
    int64_t bound_ms;
    PGcancel *blocking; /* one of the two is NULL */
    weir__pgcancelconn *polled;
    bool adrift;       /* it was sent, and the server may still act upon it at any time */
    char message[256]; /* "" or why it failed */
};

static pthread_mutex_t lock =
    PTHREAD_MUTEX_INITIALIZER; /* guards queue, running and threads; nothing slow under it */
static weir__link queue = {&queue, &queue}, running = {&running, &running};
static int threads;

/* A fork leaves the threads behind, and what they were to do is the parent's business. */
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static void before_fork(void) { pthread_mutex_lock(&lock); }
static void after_fork(void) { pthread_mutex_unlock(&lock); }
static void after_fork_child(void) {
    weir__list_init(&queue);
    weir__list_init(&running);
    threads = 0;
    pthread_mutex_unlock(&lock);
}
static void watch_forks(void) { pthread_atfork(before_fork, after_fork, after_fork_child); }

static void job_free(struct weir__pgcancel *job) {
    PQfreeCancel(job->blocking);
    if (job->polled) weir__pg_library()->cancel_finish(job->polled);
    weir__mailbox_unref(job->mailbox);
    weir__free(job);
}

/* ---- in a thread */

static struct weir__pgcancel *job_of(weir__link *link) {
    return weir__container(link, struct weir__pgcancel, link);
}

/* Whether a thread may take the job, `busy` of them having something to do. Under the lock. */
static bool may_run(const struct weir__pgcancel *job, int busy) {
    int same = 0;
    for (weir__link *link = running.next; link != &running; link = link->next)
        same += job_of(link)->host == job->host;
    return same < THREADS_MAX - busy;
}

/* The first job that may run; NULL: none, and those that wait do so for a thread that will look again. */
static struct weir__pgcancel *take_job(void) {
    int busy = 0;
    for (weir__link *link = running.next; link != &running; link = link->next) busy++;
    for (weir__link *link = queue.next; link != &queue; link = link->next) {
        struct weir__pgcancel *job = job_of(link);
        if (!may_run(job, busy)) continue;
        weir__list_remove(link);
        weir__list_push_back(&running, link);
        return job;
    }
    return NULL;
}

/* Waits for what libpq wants to wait for. False: not within the bound. */
static bool wait_for(int fd, PostgresPollingStatusType wanted, int64_t deadline) {
    struct pollfd watch = {fd, wanted == PGRES_POLLING_WRITING ? POLLOUT : POLLIN, 0};
    int64_t left = deadline - weir__now(&weir__monotonic);
    return left > 0 && poll(&watch, 1, (int)(left / WEIR__MS) + 1) != 0;
}

static void perform_polled(struct weir__pgcancel *job) {
    const weir__pglibrary *library = weir__pg_library();
    weir__pgcancelconn *cancel = job->polled;
    int64_t deadline = weir__now(&weir__monotonic) + job->bound_ms * WEIR__MS;
    PostgresPollingStatusType wanted =
        library->cancel_start(cancel) ? PGRES_POLLING_WRITING : PGRES_POLLING_FAILED;
    while (wanted == PGRES_POLLING_READING || wanted == PGRES_POLLING_WRITING) {
        if (!wait_for(library->cancel_socket(cancel), wanted, deadline)) {
            job->adrift = library->cancel_status(cancel) == CONNECTION_AWAITING_RESPONSE;
            snprintf(job->message, sizeof job->message, "no answer within %lld ms", (long long)job->bound_ms);
            return;
        }
        wanted = library->cancel_poll(cancel);
    }
    if (wanted != PGRES_POLLING_OK)
        snprintf(job->message, sizeof job->message, "%s", library->cancel_message(cancel));
}

static void perform_blocking(struct weir__pgcancel *job) {
    if (!PQcancel(job->blocking, job->message, sizeof job->message) && !*job->message)
        strcpy(job->message, "failed");
}

static void *serve(void *arg) {
    struct weir__pgcancel *job = NULL;
    (void)arg;
    for (;;) {
        pthread_mutex_lock(&lock);
        if (job) weir__list_remove(&job->link);
        struct weir__pgcancel *next = take_job();
        if (!next) threads--;
        pthread_mutex_unlock(&lock);
        if (job) {
            weir__mailbox *mailbox = weir__mailbox_ref(job->mailbox);
            weir__mailbox_post(mailbox, &job->letter); /* the job is not ours any more */
            weir__mailbox_unref(mailbox);
        }
        if (!next) return NULL;
        job = next;
        if (job->polled)
            perform_polled(job);
        else
            perform_blocking(job);
    }
}

/* ---- under the host's lock */

/* Should the server go on, it would end whatever statement then runs. */
static void lose_adrift(weir__pgconn *c) {
    weir_error why = WEIR_ERROR_INIT;
    weir__fail(&why, WEIR_ELOST,
               "the connection was given up, since the server has not dealt with a cancellation in time");
    weir__pg_lose(c, &why);
}

static void deliver(weir__letter *letter) {
    struct weir__pgcancel *job = (struct weir__pgcancel *)letter;
    weir__pgconn *c = job->conn;
    if (c) {
        c->cancel = NULL;
        if (*job->message)
            weir__logf(c->base.env->log, WEIR_LOG_WARNING, "a statement could not be cancelled: %.*s",
                       (int)strcspn(job->message, "\n"), job->message);
        weir__pgop *held = c->quarantined;
        c->quarantined = job->adrift ? held : NULL;
        if (job->adrift)
            lose_adrift(c);
        else if (held)
            weir__pg_op_tell(c, held);
        else if (c->step_count) /* it may have come before the statement, which the server has not heard of */
            c->base.env->host->arm(&c->base, weir__now(c->base.env->clock) + AGAIN_AFTER);
    }
    job_free(job);
}

static void drop(weir__letter *letter) { job_free((struct weir__pgcancel *)letter); }

/* Nobody has taken it yet. Under the lock. */
static bool is_queued(const struct weir__pgcancel *job) {
    for (weir__link *link = queue.next; link != &queue; link = link->next)
        if (link == &job->link) return true;
    return false;
}

/* Queues the job, and sees to it that somebody serves the queue. */
static bool submit(struct weir__pgcancel *job) {
    pthread_once(&fork_once, watch_forks);
    pthread_mutex_lock(&lock);
    weir__list_push_back(&queue, &job->link);
    bool start = threads < THREADS_MAX;
    threads += start;
    pthread_mutex_unlock(&lock);
    if (!start || weir__thread_start(serve, NULL) == 0) return true;
    pthread_mutex_lock(&lock);
    threads--;
    bool served = threads > 0 || !is_queued(job);
    if (!served) weir__list_remove(&job->link);
    pthread_mutex_unlock(&lock);
    return served;
}

static uint64_t host_of(const PGconn *pg) {
    const char *host = PQhost(pg), *address = PQhostaddr(pg), *port = PQport(pg);
    char text[512];
    int length = snprintf(text, sizeof text, "%s %s %s", address ? address : "", port ? port : "",
                          address && *address ? ""
                          : host              ? host
                                              : "");
    return weir__statement_hash(text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
}

/* NULL: out of memory. */
static struct weir__pgcancel *job_new(weir__pgconn *c) {
    const weir__pglibrary *library = weir__pg_library();
    struct weir__pgcancel *job = weir__calloc(1, sizeof *job);
    if (!job) return NULL;
    int64_t connect_ms = c->base.env->config->options.connect_timeout_ms;
    if (library->cancel_create)
        job->polled = library->cancel_create(c->pg);
    else
        job->blocking = PQgetCancel(c->pg);
    if (!job->polled && !job->blocking) {
        weir__free(job);
        return NULL;
    }
    job->letter = (weir__letter){NULL, deliver, drop};
    weir__list_init(&job->link);
    job->mailbox = weir__mailbox_ref(c->base.env->mailbox);
    job->conn = c;
    job->host = host_of(c->pg);
    job->bound_ms = connect_ms > 0 && connect_ms < WEIR__PG_CANCEL_MS ? connect_ms : WEIR__PG_CANCEL_MS;
    return job;
}

void weir__pg_cancel_send(weir__pgconn *c) {
    if (!c->step_count || c->cancel || c->state != WEIR__PG_READY) return;
    struct weir__pgcancel *job = job_new(c);
    if (!job) {
        weir__logf(c->base.env->log, WEIR_LOG_WARNING, "a statement could not be cancelled: out of memory");
        return;
    }
    c->cancel = job;
    if (submit(job)) return;
    c->cancel = NULL;
    job_free(job);
    weir__logf(c->base.env->log, WEIR_LOG_WARNING, "a statement could not be cancelled: no thread");
}

/* Those of which nothing was sent end here. */
static void end_unsent(weir__pgconn *c) {
    weir__pgop *op = c->next && c->next->begun ? weir__pg_op_next(c, c->next) : c->next;
    for (weir__pgop *next; op; op = next) {
        next = weir__pg_op_next(c, op);
        weir__fail(&op->error, WEIR_ECANCELLED, "the statement was cancelled before it ran");
        weir__pg_op_end(c, op);
    }
}

/* What is on its way may be the driver's own, which goes on. */
static bool has_request(const weir__pgconn *c) {
    for (const weir__link *link = c->ops.next; link != &c->ops; link = link->next)
        if (weir__container(link, weir__pgop, link)->request) return true;
    return false;
}

void weir__pg_cancel(weir__conn *conn) {
    weir__pgconn *c = (weir__pgconn *)conn;
    if (weir__list_empty(&c->ops) || c->state != WEIR__PG_READY) return;
    c->cancelling = true;
    for (weir__link *link = c->ops.next; link != &c->ops; link = link->next)
        weir__container(link, weir__pgop, link)->cancelled = true;
    end_unsent(c);
    if (!has_request(c)) {
        c->cancelling = false;
        return;
    }
    if (c->simple)
        weir__pg_simple_cancel(c);
    else
        weir__pg_cancel_send(c);
    if (c->state == WEIR__PG_READY) weir__pg_pump(c); /* an executemany that is still being sent ends here */
}

void weir__pg_cancel_abandon(weir__pgconn *c) {
    if (c->cancel) c->cancel->conn = NULL;
    c->cancel = NULL;
}

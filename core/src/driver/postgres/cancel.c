/*
 * Cancelling. libpq's PQcancel blocks, and only when it has returned is it known that the server has dealt
 * with the cancellation, so that it cannot hit a later statement: until then the connection takes no other
 * request. A few threads, which end when there is nothing to do, serve all pools of the process in order.
 */
#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "driver/postgres/pg.h"

#define THREADS_MAX 8
#define AGAIN_AFTER (100 * WEIR__MS)

/* A thread's; but for `conn`, which belongs to the host's lock. */
struct weir__pgcancel {
    weir__letter letter; /* first */
    weir__link link;
    weir__mailbox *mailbox;
    weir__pgconn *conn; /* NULL when it does not wait any more */
    PGcancel *cancel;
    char message[256]; /* "" or why it failed */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards queue and threads; nothing slow under it */
static weir__link queue = {&queue, &queue};
static int threads;

/* A fork leaves the threads behind, and what they were to do is the parent's business. */
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static void before_fork(void) { pthread_mutex_lock(&lock); }
static void after_fork(void) { pthread_mutex_unlock(&lock); }
static void after_fork_child(void) {
    weir__list_init(&queue);
    threads = 0;
    pthread_mutex_unlock(&lock);
}
static void watch_forks(void) { pthread_atfork(before_fork, after_fork, after_fork_child); }

static void job_free(struct weir__pgcancel *job) {
    PQfreeCancel(job->cancel);
    weir__mailbox_unref(job->mailbox);
    weir__free(job);
}

static void perform(struct weir__pgcancel *job) {
    if (!PQcancel(job->cancel, job->message, sizeof job->message) && !*job->message)
        strcpy(job->message, "failed");
    weir__mailbox *mailbox = weir__mailbox_ref(job->mailbox);
    weir__mailbox_post(mailbox, &job->letter); /* the job is not ours any more */
    weir__mailbox_unref(mailbox);
}

static void *serve(void *arg) {
    (void)arg;
    for (;;) {
        pthread_mutex_lock(&lock);
        weir__link *link = weir__list_pop_front(&queue);
        if (!link) threads--;
        pthread_mutex_unlock(&lock);
        if (!link) return NULL;
        perform(weir__container(link, struct weir__pgcancel, link));
    }
}

/* ---- under the host's lock */

static void deliver(weir__letter *letter) {
    struct weir__pgcancel *job = (struct weir__pgcancel *)letter;
    weir__pgconn *c = job->conn;
    if (c) {
        c->cancel = NULL;
        if (*job->message)
            weir__logf(c->base.env->log, WEIR_LOG_WARNING, "a statement could not be cancelled: %.*s",
                       (int)strcspn(job->message, "\n"), job->message);
        weir__pgop *held = c->quarantined;
        c->quarantined = NULL;
        if (held)
            weir__pg_op_tell(c, held);
        else if (c->step_count) /* it may have come before the statement, which the server has not heard of */
            c->base.env->host->arm(&c->base, weir__now(c->base.env->clock) + AGAIN_AFTER);
    }
    job_free(job);
}

static void drop(weir__letter *letter) { job_free((struct weir__pgcancel *)letter); }

/* Queues the job, and sees to it that somebody serves the queue. */
static bool submit(struct weir__pgcancel *job) {
    pthread_once(&fork_once, watch_forks);
    pthread_mutex_lock(&lock);
    weir__list_push_back(&queue, &job->link);
    bool start = threads < THREADS_MAX;
    threads += start;
    pthread_mutex_unlock(&lock);
    if (!start || weir__pg_thread(serve, NULL) == 0) return true;
    pthread_mutex_lock(&lock);
    threads--;
    bool served = threads > 0 || !weir__list_linked(&job->link);
    if (!served) weir__list_remove(&job->link);
    pthread_mutex_unlock(&lock);
    return served;
}

void weir__pg_cancel_send(weir__pgconn *c) {
    if (!c->step_count || c->cancel || c->state != WEIR__PG_READY) return;
    struct weir__pgcancel *job = weir__calloc(1, sizeof *job);
    PGcancel *cancel = job ? PQgetCancel(c->pg) : NULL;
    if (cancel) {
        job->letter = (weir__letter){NULL, deliver, drop};
        weir__list_init(&job->link);
        job->mailbox = weir__mailbox_ref(c->base.env->mailbox);
        job->conn = c;
        job->cancel = cancel;
        c->cancel = job;
        if (!submit(job)) {
            c->cancel = NULL;
            job_free(job);
            weir__logf(c->base.env->log, WEIR_LOG_WARNING, "a statement could not be cancelled: no thread");
        }
    } else {
        weir__free(job);
        weir__logf(c->base.env->log, WEIR_LOG_WARNING, "a statement could not be cancelled: out of memory");
    }
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

void weir__pg_cancel(weir__conn *conn) {
    weir__pgconn *c = (weir__pgconn *)conn;
    if (weir__list_empty(&c->ops) || c->state != WEIR__PG_READY) return;
    c->cancelling = true;
    for (weir__link *link = c->ops.next; link != &c->ops; link = link->next)
        weir__container(link, weir__pgop, link)->cancelled = true;
    end_unsent(c);
    if (weir__list_empty(&c->ops)) return;
    weir__pg_cancel_send(c);
    weir__pg_pump(c); /* an executemany that is still being sent ends here */
}

void weir__pg_cancel_abandon(weir__pgconn *c) {
    if (c->cancel) c->cancel->conn = NULL;
    c->cancel = NULL;
}

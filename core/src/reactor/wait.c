/*
 * Blocking callers: leader and followers. One thread at a time, the leader, sleeps in the poller and works
 * for all; the others sleep on a semaphore of their own, which their operation's completion posts. A leader
 * whose operation is complete hands over to the first follower. A semaphore, and not a condition variable,
 * since a signal handler ends it.
 *
 * Nobody looks for a while before he sleeps. Measured on two cores that client and server share: one thread
 * that looked for 20 or 50 us, the leader alone, made 0.6 to 2.4 times as many point queries a second, as the
 * cores happened to sleep, at twice the processor time (10 to 21 us a query, 24 to 27); eight threads 0.8 to
 * 1.0 times as many, and where followers looked, too, a third less (31,200 to 20,100) at 70 % more.
 */
#include <errno.h>
#include <time.h>

#include "reactor/wait.h"

/*
 * sem_clockwait is glibc's from 2.30 on. What is built for an older one looks for it when it is loaded; where
 * it is missing, the wall clock measures a follower's wait, and a step of that clock moves its end.
 */
#if defined(__GLIBC__) && !__GLIBC_PREREQ(2, 30)
#pragma weak sem_clockwait
#define HAS_CLOCKWAIT (sem_clockwait != NULL)
#else
#define HAS_CLOCKWAIT true
#endif

static struct timespec to_timespec(int64_t ns) {
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
}

static int wait_until(sem_t *wake, int64_t deadline, int64_t now) {
    struct timespec at = to_timespec(deadline);
    if (HAS_CLOCKWAIT) return sem_clockwait(wake, CLOCK_MONOTONIC, &at);
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    at = to_timespec((int64_t)wall.tv_sec * 1000000000 + wall.tv_nsec + (deadline - now));
    return sem_timedwait(wake, &at);
}

static void promote(weir_reactor *reactor) {
    weir__link *link = weir__list_front(&reactor->followers);
    if (!reactor->leader && link) sem_post(&weir__container(link, weir__parked, link)->wake);
}

/* The lock is held before and after. False: a signal came. */
static bool lead(weir_reactor *reactor, weir__parked *self, int64_t deadline) {
    int timeout_ms = -1;
    if (deadline != WEIR__NEVER) {
        int64_t ms = (deadline - weir__reactor_now(reactor) + WEIR__MS - 1) / WEIR__MS;
        timeout_ms = ms < 0 ? 0 : ms > 3600000 ? 3600000 : (int)ms;
    }
    reactor->leader = self;
    weir__leave(reactor); /* also lets deferred work and graves happen */
    int slept = weir__poller_sleep(&reactor->poller, timeout_ms);
    pthread_mutex_lock(&reactor->lock);
    reactor->leader = NULL;
    weir__reactor_work(reactor);
    return slept == 0;
}

static bool follow(weir_reactor *reactor, weir__parked *self, int64_t deadline) {
    int64_t now = weir__reactor_now(reactor);
    weir__list_push_back(&reactor->followers, &self->link);
    weir__leave(reactor);
    int rc = deadline == WEIR__NEVER ? sem_wait(&self->wake) : wait_until(&self->wake, deadline, now);
    bool interrupted = rc != 0 && errno == EINTR;
    pthread_mutex_lock(&reactor->lock);
    weir__list_remove(&self->link);
    return !interrupted;
}

int weir__reactor_wait(weir_reactor *reactor, weir__op *op, int64_t deadline, weir_completion *out) {
    weir__parked self;
    if (op->parked) return WEIR_EBUSY;
    weir__list_init(&self.link);
    sem_init(&self.wake, 0, 0);
    self.deaf = op->deaf;
    op->parked = &self;
    weir__flush(reactor);
    int code = WEIR_PENDING;
    while (code == WEIR_PENDING) {
        if (op->state == WEIR__OP_DONE)
            code = WEIR_OK;
        else if (!op->deaf && !weir__list_empty(&reactor->done))
            code = WEIR_EVENT;
        else if (deadline != WEIR__NEVER && weir__reactor_now(reactor) >= deadline)
            code = WEIR_ETIMEOUT;
        else if (!(reactor->leader ? follow(reactor, &self, deadline) : lead(reactor, &self, deadline)))
            code = op->state == WEIR__OP_DONE ? WEIR_OK : WEIR_INTERRUPTED;
    }
    op->parked = NULL;
    if (code == WEIR_OK) weir__op_take(op, out);
    promote(reactor);
    sem_destroy(&self.wake);
    return code;
}

/*
 * A thread that works for the reactor while nobody else does: for blocking callers, who are not always there.
 *
 * It sleeps until there is something to do, and does it; but once it sees that somebody else works it stands
 * back for WEIR__KEEPER_PAUSE, and so costs a busy reactor some wake-ups a second instead of one for each
 * event.
 */
#include "reactor/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"

static void stand_back(weir_reactor *reactor) {
    int64_t until = weir__now(&weir__monotonic) + WEIR__KEEPER_PAUSE;
    struct timespec at = {(time_t)(until / 1000000000), (long)(until % 1000000000)};
    while (reactor->keeper.wanted &&
           pthread_cond_timedwait(&reactor->keeper.change, &reactor->lock, &at) == 0)
        continue;
}

/* The lock is held before and after. */
static void work(weir_reactor *reactor) {
    weir__reactor_work(reactor);
    /* What waits for the host is the host's to take: its event loop's wake-up may just have been consumed. */
    if (!weir__list_empty(&reactor->done)) reactor->signal = true;
    weir__leave(reactor);
    pthread_mutex_lock(&reactor->lock);
}

static void *keep(void *arg) {
    weir_reactor *reactor = arg;
    pthread_mutex_lock(&reactor->lock);
    int64_t seen = 0; /* when the reactor was worked for last, as far as known here */
    while (reactor->keeper.wanted) {
        if (reactor->dispatched_at != seen || !weir__list_empty(&reactor->done)) {
            seen = reactor->dispatched_at;
            stand_back(reactor);
        } else {
            pthread_mutex_unlock(&reactor->lock);
            weir__poller_pause(&reactor->poller, reactor->keeper.bell[0], -1);
            pthread_mutex_lock(&reactor->lock);
        }
        if (reactor->keeper.wanted && reactor->dispatched_at == seen) {
            work(reactor);
            seen = reactor->dispatched_at;
        }
    }
    reactor->keeper.running = false;
    pthread_mutex_unlock(&reactor->lock);
    return NULL;
}

/* The condition follows the monotonic clock. */
static int make_condition(pthread_cond_t *condition) {
    pthread_condattr_t monotonic;
    int rc = pthread_condattr_init(&monotonic);
    if (rc) return rc;
    rc = pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    if (!rc) rc = pthread_cond_init(condition, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return rc;
}

static void join(weir__keeper *keeper) {
    if (!keeper->joinable) return;
    keeper->joinable = false;
    pthread_join(keeper->thread, NULL);
    close(keeper->bell[0]);
    close(keeper->bell[1]);
}

/* Gives an errno. */
static int start(weir_reactor *reactor) {
    weir__keeper *keeper = &reactor->keeper;
    int rc = keeper->made ? 0 : make_condition(&keeper->change);
    if (rc) return rc;
    keeper->made = true;
    if (pipe2(keeper->bell, O_CLOEXEC) != 0) return errno;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* inherited: no handler of the host's runs in there */
    rc = pthread_create(&keeper->thread, NULL, keep, reactor);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    keeper->running = keeper->joinable = rc == 0;
    if (!rc) return 0;
    close(keeper->bell[0]);
    close(keeper->bell[1]);
    return rc;
}

int weir__keeper_want(weir_reactor *reactor, weir_error *error) {
    weir__keeper *keeper = &reactor->keeper;
    if (keeper->wanted++) return WEIR_OK;
    if (keeper->running) { /* it has been told to end, and has not seen it yet */
        char rung;
        while (read(keeper->bell[0], &rung, 1) < 0 && errno == EINTR) continue;
        return WEIR_OK;
    }
    join(keeper); /* one that has let go of the lock, and ends */
    int rc = start(reactor);
    if (!rc) return WEIR_OK;
    keeper->wanted--;
    return weir__fail(error, WEIR_EINTERNAL, "cannot start the background thread: %s", strerror(rc));
}

void weir__keeper_unwant(weir_reactor *reactor) {
    weir__keeper *keeper = &reactor->keeper;
    if (--keeper->wanted) return;
    pthread_cond_signal(&keeper->change);
    while (write(keeper->bell[1], "", 1) < 0 && errno == EINTR) continue;
}

void weir__keeper_join(weir_reactor *reactor) {
    join(&reactor->keeper);
    if (reactor->keeper.made) pthread_cond_destroy(&reactor->keeper.change);
}

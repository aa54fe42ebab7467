/* The reactor: the lock, and what happens when it is taken, left, and worked under. */
#include "reactor/reactor.h"

#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/fork.h"
#include "reactor/keeper.h"

/* Batches of events in one go; what is left keeps the descriptor readable, and the timers are not starved
 * meanwhile. */
enum { ROUNDS = 16 };

static void wake(void *reactor) { weir__poller_wake(&((weir_reactor *)reactor)->poller); }

static void keep_line(void *arg, weir_log_level level, const char *line) {
    weir_reactor *reactor = arg;
    if (reactor->ring_count == WEIR__LOG_LINES) {
        reactor->ring_first = (reactor->ring_first + 1) % WEIR__LOG_LINES;
        reactor->ring_count--;
    }
    weir_log_record *record = &reactor->ring[(reactor->ring_first + reactor->ring_count++) % WEIR__LOG_LINES];
    record->level = level;
    strncpy(record->line, line, sizeof record->line - 1);
    record->line[sizeof record->line - 1] = '\0';
}

int weir__reactor_new(const weir__clock *clock, weir_reactor **out, weir_error *error) {
    *out = NULL;
    weir_reactor *reactor = weir__calloc(1, sizeof *reactor);
    if (!reactor) return weir__fail(error, WEIR_ENOMEM, "out of memory for a reactor");
    reactor->ring = weir__calloc(WEIR__LOG_LINES, sizeof *reactor->ring);
    reactor->mailbox = weir__mailbox_new(wake, reactor);
    int code = WEIR_OK;
    if (!reactor->ring || !reactor->mailbox || !weir__fork_watch())
        code = weir__fail(error, WEIR_ENOMEM, "out of memory for a reactor");
    if (!code) code = weir__poller_open(&reactor->poller, error);
    if (code) {
        weir__mailbox_unref(reactor->mailbox);
        weir__free(reactor->ring);
        weir__free(reactor);
        return code;
    }
    reactor->fork_stamp = weir__fork_count();
    reactor->clock = *clock;
    reactor->real_time = clock->now == weir__monotonic.now;
    reactor->armed_at = WEIR__NEVER;
    reactor->dispatched_at = weir__now(clock);
    reactor->log = (weir__log){keep_line, reactor, WEIR_LOG_INFO};
    weir__wheel_init(&reactor->wheel, reactor->dispatched_at);
    weir__list_init(&reactor->free_ops);
    weir__list_init(&reactor->done);
    weir__list_init(&reactor->followers);
    weir__list_init(&reactor->deferred);
    weir__list_init(&reactor->leaving);
    weir__list_init(&reactor->held);
    weir__list_init(&reactor->graves);
    weir__list_init(&reactor->notices);
    pthread_mutex_init(&reactor->lock, NULL);
    *out = reactor;
    return WEIR_OK;
}

void weir_reactor_free(weir_reactor *reactor) {
    if (!reactor || reactor->fork_stamp != weir__fork_count())
        return; /* a child shares the parent's descriptors */
    weir__keeper_join(reactor);
    weir__mailbox_close(reactor->mailbox);
    weir__mailbox_unref(reactor->mailbox);
    weir_completion left;
    while (weir__reactor_take_next(reactor, &left)) {
        weir_result_free(left.result);
        weir_error_free(left.error);
    }
    weir__reactor_forget_notices(reactor, NULL);
    weir__poller_close(&reactor->poller);
    for (size_t i = 0; i < reactor->block_count; i++) weir__free(reactor->blocks[i]);
    weir__free(reactor->blocks);
    weir__free(reactor->ring);
    pthread_mutex_destroy(&reactor->lock);
    weir__free(reactor);
}

bool weir__enter(weir_reactor *reactor) {
    if (reactor->fork_stamp != weir__fork_count()) return false;
    pthread_mutex_lock(&reactor->lock);
    return true;
}

void weir__defer(weir_reactor *reactor, weir__deferred *deferred) {
    if (!weir__list_linked(&deferred->link)) weir__list_push_back(&reactor->deferred, &deferred->link);
}

void weir__hold(weir_reactor *reactor, weir__held *held) {
    if (!weir__list_linked(&held->link)) weir__list_push_back(&reactor->held, &held->link);
}

void weir__flush(weir_reactor *reactor) {
    for (weir__link *link; (link = weir__list_pop_front(&reactor->held));) {
        weir__held *held = weir__container(link, weir__held, link);
        held->flush(held);
    }
}

void weir__bury(weir_reactor *reactor, weir__grave *grave) {
    weir__list_push_back(&reactor->graves, &grave->link);
}

static void run_deferred(weir_reactor *reactor) {
    for (weir__link *link; (link = weir__list_pop_front(&reactor->deferred));) {
        weir__deferred *deferred = weir__container(link, weir__deferred, link);
        deferred->run(deferred);
    }
}

/* The lock is held and is left; true when there is something to bury. */
static bool leave_once(weir_reactor *reactor, weir__link *graves) {
    run_deferred(reactor);
    for (weir__link *link = reactor->leaving.next; link != &reactor->leaving; link = link->next) {
        weir__deferred *leaving = weir__container(link, weir__deferred, link);
        leaving->run(leaving);
    }
    weir__list_init(graves);
    weir__list_splice(graves, &reactor->graves);
    bool signal = reactor->signal && !(reactor->attached && pthread_equal(reactor->owner, pthread_self()));
    reactor->signal = false;
    atomic_store_explicit(&reactor->some_done, !weir__list_empty(&reactor->done), memory_order_relaxed);
    if (signal)
        weir__poller_wake(&reactor->poller); /* under the lock: the reactor cannot be freed meanwhile */
    pthread_mutex_unlock(&reactor->lock);
    return !weir__list_empty(graves);
}

void weir__leave(weir_reactor *reactor) {
    weir__link graves;
    while (leave_once(reactor, &graves)) {
        for (weir__link *link = graves.next; link != &graves; link = link->next) {
            weir__grave *grave = weir__container(link, weir__grave, link);
            grave->bury(grave);
        }
        pthread_mutex_lock(&reactor->lock);
        for (weir__link *link; (link = weir__list_pop_front(&graves));) {
            weir__grave *grave = weir__container(link, weir__grave, link);
            grave->buried(grave);
        }
    }
}

/* Has the poller wake for the next timer; lazily: a timer that was stopped still wakes it once. */
static void arm(weir_reactor *reactor, int64_t at) {
    if (at >= reactor->armed_at || !reactor->real_time) return;
    reactor->armed_at = at;
    weir__poller_arm(&reactor->poller, at);
}

void weir__reactor_start(weir_reactor *reactor, weir__timer *timer, int64_t at) {
    weir__timer_start(&reactor->wheel, timer, at);
    if (at < reactor->armed_at) arm(reactor, weir__wheel_next(&reactor->wheel));
}

void weir__reactor_work(weir_reactor *reactor) {
    bool all = false;
    weir__flush(reactor);
    for (int round = 0; !all && round < ROUNDS; round++) {
        all = weir__poller_collect(&reactor->poller);
        weir__mailbox_empty(reactor->mailbox);
        run_deferred(reactor);
    }
    int64_t now = weir__reactor_now(reactor);
    reactor->undriven = now - reactor->dispatched_at;
    reactor->dispatched_at = now;
    weir__wheel_advance(&reactor->wheel, reactor->dispatched_at);
    run_deferred(reactor);
    if (reactor->armed_at <= reactor->dispatched_at) reactor->armed_at = WEIR__NEVER;
    arm(reactor, weir__wheel_next(&reactor->wheel));
}

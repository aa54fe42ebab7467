/*
 * The seam to the operating system: watching descriptors, one timer, one wake-up, all behind one pollable
 * descriptor. poller_epoll.c is epoll + timerfd + eventfd; a kqueue takes its place behind the same
 * functions. All but weir__poller_wake and weir__poller_sleep are called under the reactor's lock.
 */
#ifndef WEIR_REACTOR_POLLER_H
#define WEIR_REACTOR_POLLER_H

#include <weirpool/error.h>

#include <stdatomic.h>

enum { WEIR__POLL_READ = 1, WEIR__POLL_WRITE = 2, WEIR__POLL_BATCH = 64 };

/* One watched descriptor; embedded where it belongs. Zero-initialised but for `ready`: watching nothing. */
typedef struct weir__watch {
    void (*ready)(struct weir__watch *watch, unsigned events); /* under the reactor's lock */
    int fd;
    unsigned events; /* 0: not watched */
} weir__watch;

typedef struct weir__poller {
    int fd, timer_fd, wake_fd;
    int nudge_fd;      /* for the one that sleeps in weir__poller_sleep, and no other */
    atomic_bool woken; /* the wake-up is signalled and not yet consumed */
    struct weir__poll_event {
        weir__watch *watch;
        unsigned events;
    } batch[WEIR__POLL_BATCH];
    int batch_count;
} weir__poller;

int weir__poller_open(weir__poller *poller, weir_error *error); /* WEIR_EINTERNAL with the system's reason */
void weir__poller_close(weir__poller *poller);
/* events 0: no more. False: the system has no room; nothing has changed then. An event that has been
   collected for a watch which is ended meanwhile is dropped. */
bool weir__poller_watch(weir__poller *poller, weir__watch *watch, int fd, unsigned events);
/* The descriptor becomes readable at that time of CLOCK_MONOTONIC (ns); INT64_MAX: never. */
void weir__poller_arm(weir__poller *poller, int64_t at);
/* Makes the descriptor readable until the next collect. Any thread, no lock. */
void weir__poller_wake(weir__poller *poller);
/* Ends the sleep of whoever sleeps, or is about to, in weir__poller_sleep. Not by weir__poller_wake: another
   thread may collect that one before the sleeper has seen it. */
void weir__poller_nudge(weir__poller *poller);
/* Collects what is ready, without waiting, and calls each watch's `ready`. False when the batch was full:
 * call again. */
bool weir__poller_collect(weir__poller *poller);
/* Sleeps until the descriptor is readable or a nudge comes; for the leader alone. At most timeout_ms (-1: for
 * ever). No lock. -1: a signal came. */
int weir__poller_sleep(const weir__poller *poller, int timeout_ms);

/* weir__poller_sleep for anybody else: takes no nudge away, and ends when `bell` is readable (-1: none). */
void weir__poller_pause(const weir__poller *poller, int bell, int timeout_ms);

#endif

/*
 * Timers: a hierarchical wheel of seven levels of 64 slots, the finest of 2^20 ns (about a millisecond).
 * Starting and stopping a timer take constant time however many there are; a timer is up to one tick late,
 * never early.
 */
#ifndef WEIR_REACTOR_WHEEL_H
#define WEIR_REACTOR_WHEEL_H

#include "base/clock.h"
#include "base/list.h"

enum { WEIR__WHEEL_LEVELS = 7, WEIR__WHEEL_SLOTS = 64 };

typedef struct weir__timer {
    weir__link link;
    void (*fire)(
        struct weir__timer *timer); /* the timer is stopped then; it may be started again from inside */
    int64_t tick;
    short where; /* level * 64 + slot; -1: in no slot */
} weir__timer;

typedef struct weir__wheel {
    int64_t tick; /* up to here everything has fired */
    uint64_t used[WEIR__WHEEL_LEVELS];
    weir__link slots[WEIR__WHEEL_LEVELS][WEIR__WHEEL_SLOTS];
} weir__wheel;

void weir__wheel_init(weir__wheel *wheel, int64_t now);
void weir__timer_init(weir__timer *timer, void (*fire)(weir__timer *timer));
static inline bool weir__timer_running(const weir__timer *timer) { return weir__list_linked(&timer->link); }
/* Starts, or restarts. at == WEIR__NEVER stops it. */
void weir__timer_start(weir__wheel *wheel, weir__timer *timer, int64_t at);
/* Harmless when it does not run. */
void weir__timer_stop(weir__wheel *wheel, weir__timer *timer);
/* When weir__wheel_advance should be called next, at the latest; WEIR__NEVER when no timer runs. */
int64_t weir__wheel_next(const weir__wheel *wheel);
/* Fires what is due at `now`. */
void weir__wheel_advance(weir__wheel *wheel, int64_t now);

#endif

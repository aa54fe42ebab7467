/* Time: monotonic, in nanoseconds, injectable. */
#ifndef WEIR_BASE_CLOCK_H
#define WEIR_BASE_CLOCK_H

#include <stdint.h>

#define WEIR__MS INT64_C(1000000) /* nanoseconds in a millisecond */
#define WEIR__NEVER INT64_MAX     /* a deadline that never comes */

typedef struct weir__clock {
    int64_t (*now)(void *arg); /* ns since an arbitrary point, never backwards; any thread */
    void *arg;
} weir__clock;

extern const weir__clock weir__monotonic; /* CLOCK_MONOTONIC */

static inline int64_t weir__now(const weir__clock *clock) { return clock->now(clock->arg); }

/* now + ms, without overflow; ms < 0 is WEIR__NEVER. */
static inline int64_t weir__deadline(int64_t now, int64_t ms) {
    return ms < 0 || ms > (WEIR__NEVER - now) / WEIR__MS ? WEIR__NEVER : now + ms * WEIR__MS;
}

#endif

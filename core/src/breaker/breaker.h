/*
 * The circuit breaker without lock and clock: the public functions of <weirpool/breaker.h>, whose meaning
 * they share, call these under a lock of the breaker's own. A pool that has a lock anyway calls them under
 * that, two breakers an endpoint: one for its attempts to connect, one for its statements.
 *
 * now_ns is the caller's monotonic clock, and never goes back. All functions take O(1) time and, new and
 * error texts apart, no memory.
 */
#ifndef WEIR_BREAKER_BREAKER_H
#define WEIR_BREAKER_BREAKER_H

#include <pthread.h>
#include <stdatomic.h>

#include <weirpool/pool.h>

#include "base/rng.h"
#include "breaker/window.h"

/* The options as the machine wants them. */
typedef struct weir__breaker_policy {
    int64_t failure_threshold;     /* WEIR__NEVER: none */
    int64_t failure_ppm, slow_ppm; /* of the calls in the window; -1: none */
    int64_t slow_ns;
    int64_t minimum_calls;
    int64_t recovery_ns, recovery_max_ns, jitter_ppm;
    int64_t slow_start;
    int64_t half_open_ns;
    bool call_events;
} weir__breaker_policy;

typedef struct weir__breaker_totals {
#define WEIR__COUNTER(name, text) uint64_t name;
    WEIR_BREAKER_COUNTERS(WEIR__COUNTER)
#undef WEIR__COUNTER
} weir__breaker_totals;

typedef struct weir__breaker {
    weir__breaker_policy policy;
    char *name, *record, *ignore; /* owned, or NULL */
    weir__rng rng;                /* for jitter */
    weir_breaker_state state;
    weir_breaker_reason reason; /* of the state; metrics-only: of what is exceeded now */
    uint64_t generation;        /* of the state; a permit of another one counts nothing */
    int64_t since_ns;           /* that it has the state */

    /* closed, metrics-only; kept when it opens, so that one can see why */
    int64_t failures_in_a_row;
    weir__window window;

    /* open */
    int64_t until_ns; /* users' calls are let in from then on */
    int64_t openings; /* since it was closed */

    /* half-open */
    int64_t limit, inside; /* calls let in at once; that are in */
    uint32_t round;        /* goes up when the places are given anew */
    int64_t passed;        /* calls that succeeded under this limit … */
    int64_t trials, slow;  /* … and since it is half-open; the slow ones of these */
    bool proven;           /* something has succeeded, a probe or a call */
    int64_t progress_ns;   /* the last grant, regrant, or success; of a probe when no call was in */

    weir__breaker_totals totals;
    int64_t failed_ns; /* when the last failure was recorded; -1 */
    char last_failure[WEIR_BREAKER_FAILURE_SIZE];
    weir_breaker_event events[WEIR_BREAKER_EVENTS_KEPT]; /* number n is at n % KEPT */
    _Atomic uint64_t last_event;
} weir__breaker;

/* What users have in their hands. */
struct weir_breaker {
    weir__breaker *machine;
    weir_pool *pool;      /* whose it is, and whose reactor's lock guards it; NULL: it stands alone … */
    pthread_mutex_t lock; /* … and this guards machine and forks; nothing but the machine's steps under it */
    unsigned forks;       /* when it was seeded: processes are to differ in their jitter */
};

/* options NULL: the defaults. seed: of the jitter. NULL with *error set. */
weir__breaker *weir__breaker_new(const weir_breaker_options *options, uint64_t seed, int64_t now_ns,
                                 weir_error *error);
void weir__breaker_free(weir__breaker *breaker); /* NULL is accepted */

/* As usual: everybody is let in, and nothing falls due. A load and a branch. */
static inline bool weir__breaker_calm(const weir__breaker *breaker) {
    return breaker->state < WEIR_BREAKER_OPEN || breaker->state > WEIR_BREAKER_FORCED_OPEN;
}
_Static_assert(WEIR_BREAKER_OPEN + 1 == WEIR_BREAKER_HALF_OPEN &&
                   WEIR_BREAKER_HALF_OPEN + 1 == WEIR_BREAKER_FORCED_OPEN,
               "what is not calm stands together");
/* Nobody is let in; of itself it knows only as of its last tick. */
static inline bool weir__breaker_shut(const weir__breaker *breaker) {
    return breaker->state == WEIR_BREAKER_OPEN || breaker->state == WEIR_BREAKER_FORCED_OPEN;
}
/* Whether a call would be let in. */
bool weir__breaker_admits(weir__breaker *breaker, int64_t now_ns);
int weir__breaker_acquire(weir__breaker *breaker, int64_t now_ns, weir_permit *permit, weir_error *error);
int weir__breaker_probe(weir__breaker *breaker, int64_t now_ns, weir_permit *permit, weir_error *error);
/* The two halves of an acquire that is refused: what its caller is told, which counts nothing; the counting.
 */
int weir__breaker_refusal(const weir__breaker *breaker, int64_t now_ns, weir_error *error);
void weir__breaker_refused(weir__breaker *breaker, int64_t now_ns);
void weir__breaker_record(weir__breaker *breaker, int64_t now_ns, weir_permit *permit, weir_outcome outcome,
                          int64_t duration_ns, const weir_error *error);
void weir__breaker_cancel(weir__breaker *breaker, int64_t now_ns, weir_permit *permit);

/* Does what has fallen due; every function with now_ns begins with it. */
void weir__breaker_tick(weir__breaker *breaker, int64_t now_ns);
/* When weir__breaker_tick will have something to do, for the owner's timer; WEIR__NEVER. */
int64_t weir__breaker_due(const weir__breaker *breaker);
/* FORCED_OPEN, CLOSED, DISABLED or METRICS_ONLY, by hand. */
void weir__breaker_force(weir__breaker *breaker, int64_t now_ns, weir_breaker_state state);
void weir__breaker_reset(weir__breaker *breaker, int64_t now_ns);
void weir__breaker_snapshot(weir__breaker *breaker, int64_t now_ns, weir_breaker_snapshot *out);
bool weir__breaker_next_event(const weir__breaker *breaker, uint64_t *after, weir_breaker_event *out);

/* ---- outcome.c */
weir_outcome weir__breaker_classify(const weir__breaker *breaker, const weir_error *error,
                                    weir_verdict verdict);
/* "ConnectError: …": what an error is called in reports; cut to size at the end of a character. */
void weir__breaker_describe(const weir_error *error, char *out, size_t size);

/* ---- options.c */
int weir__breaker_options_check(const weir_breaker_options *options, weir_error *error);

#endif

/*
 * Seeded histories of a circuit breaker, each step compared with an executable specification: a model that
 * keeps everything that ever happened in lists, and works every number out anew from these
 * (support_breaker.c).
 */
#ifndef SUPPORT_BREAKER_H
#define SUPPORT_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

/* Faults that a history can put into the machine, to see that the comparison finds them. */
typedef enum breaker_fault {
    FAULT_NONE,
    FAULT_LATE_COUNTS,       /* what is recorded for a permit of an earlier state counts */
    FAULT_PLACE_LOST,        /* a cancelled call keeps its half-open place */
    FAULT_THRESHOLD,         /* one failure more than the threshold is needed */
    FAULT_MINIMUM,           /* one call more than minimum_calls is needed */
    FAULT_NO_GROWTH,         /* the recovery timeout does not grow */
    FAULT_WINDOW_KEPT,       /* the window by time forgets nothing */
    FAULT_PROBE_TAKES_PLACE, /* a probe is let in as a call */
    FAULT_HANGS_FOREVER,     /* places are never given anew */
    FAULTS
} breaker_fault;

typedef struct breaker_report {
    char fault[400]; /* what was found, and at which step; "" when nothing was */
    long steps, opened, half_opened, closed, late, refused, exceeded;
} breaker_report;

/* Runs the history of a seed; `trace`: with each step on stdout. */
void breaker_history(uint64_t seed, breaker_fault fault, bool trace, breaker_report *report);

#endif

/*
 * The simulation: a pool on the fake driver, some hundred random steps, and after each a look at all that
 * must hold. All chances come from the seed, so a run replays exactly.
 */
#ifndef WEIR_TESTS_SUPPORT_SIM_H
#define WEIR_TESTS_SUPPORT_SIM_H

#include <stdbool.h>
#include <stdint.h>

typedef struct sim_plan {
    uint64_t seed;
    bool starve;    /* some allocations fail */
    bool lose_wake; /* a planted fault: a connection comes back and those who wait for one are not told */
    bool breakers;  /* they are on, and somebody changes their states by hand */
    bool overload;  /* queue_target and adaptive_size are on */
    bool let_in;    /* a planted fault: somebody is let in although the breaker is open */
    bool print;     /* each step to stdout */
} sim_plan;

typedef struct sim_report {
    char fault[256];                                            /* what did not hold, and at which step; "" */
    uint64_t hash;                                              /* over all that has happened */
    long steps, granted, completions, cancelled, lost, starved; /* what the run has met: a test of the test */
    long refused, probes, recovered, forced, outages, judged;   /* … of the breakers */
    long checks;                                                /* … of health, that passed */
    long overloads, shed, limited;                              /* … of these two */
    bool planted;
} sim_report;

void sim_run(const sim_plan *plan, sim_report *report);

#endif

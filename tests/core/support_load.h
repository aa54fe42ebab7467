/*
 * A database server under load, and its callers: pools on the fake driver and clock, and behind them a model
 * of what many connections do to a server. Statements that run divide its processors among themselves, so all
 * become slower when there are more of them; far above that all of them lose. Some want one and the same
 * lock, one after the other, and hold it to their end.
 *
 * Callers come by chance, so often, whether the pool keeps up or not. Each wants a connection, thinks, runs
 * one statement, thinks, gives the connection back; what is late by then is of no use to him. All chances
 * come from the seed.
 */
#ifndef WEIR_TESTS_SUPPORT_LOAD_H
#define WEIR_TESTS_SUPPORT_LOAD_H

#include <stdbool.h>
#include <stdint.h>

enum { LOAD_PHASES = 3, LOAD_KINDS = 3 };

typedef struct load {
    const char *name;
    int pools;           /* on this server, each with its part of the callers */
    int think_ms;        /* before and after the statement together, with the connection held */
    int64_t patience_ms; /* after which a caller has no use for the answer */
    struct {
        int percent;    /* of the callers; 0: there is no such kind */
        double work_ms; /* of one processor, in the mean; exponential */
        bool locks;     /* it wants the lock */
    } kinds[LOAD_KINDS];
    struct {
        int until_ms; /* since the begin; 0: there is no such phase */
        int rate;     /* callers in a second, over all pools */
        int cores;    /* processors … */
        double speed; /* … and what each does of what it did: 1 */
        int lock_ms;  /* so long, beside its work, one that has the lock waits for something else */
    } phases[LOAD_PHASES];
} load;

typedef struct load_setup {
    int size;      /* max_size of each pool */
    bool adaptive; /* the option adaptive_size: it is an upper bound */
    bool codel;    /* the option queue_target */
    bool deaf;     /* a planted fault: what is learnt is not heeded */
    int seeds;     /* runs with 1, 2, …, together */
    bool print;    /* each tenth of a second to stdout */
} load_setup;

typedef struct load_report {
    long asked, good;   /* callers; those with an answer in time */
    long late, refused; /* answered or given up too late; refused by the pool */
    double p99_ms;      /* of the good ones, from asking to having the answer */
    int64_t limit;      /* of the first pool, at the end of the last run */
    const char *fault;  /* what did not hold; NULL */
} load_report;

void load_run(const load *load, const load_setup *setup, load_report *report);

#endif

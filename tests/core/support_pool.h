/* A pool on the fake driver and the fake clock, one at a time; for the tests and the simulation. */
#ifndef WEIR_TESTS_SUPPORT_POOL_H
#define WEIR_TESTS_SUPPORT_POOL_H

#include "driver/fake/clock.h"
#include "driver/fake/fake.h"
#include "pool/pool.h"

struct rig {
    weir__fake_clock clock;
    weir__clock as;
    weir_reactor *reactor;
    weir_pool *pool;
    weir_op open; /* the operation of opening; 0: it was done at once */
    long live;    /* allocations before */
};
extern struct rig rig;

/* How to run a statement within so many milliseconds. */
#define FOR_MS(ms) (&(weir_run){.size = sizeof(weir_run), .timeout_ms = (ms)})

/* A fresh script, clock and reactor; no pool yet. */
void rig_start(uint64_t seed);
/* Two connections at the least, four at the most, no jitter to speak of, none asked how it is by itself. */
weir_options rig_options(void);
/* weir__pool_open; checks nothing. The pool is rig.pool. */
int rig_open(const weir_options *options, uint64_t seed, void *token, weir_error *error);
/* What does not hold at this moment: of the pool, of its slots' moves, of the driver's contract; or NULL. */
const char *rig_fault(void);
/* Moves the clock to the next timer, but not past `until`, and dispatches. False: it has got there. */
bool rig_hop(int64_t until);
/* Through all timers on the way. */
void rig_advance(int64_t ms);

/* ---- for tests that assert each step ---- */

/* rig_start, rig_open, and until the pool is open. */
void rig_ready(const weir_options *options);
/* rig_end without a complaint; a fixture's end. */
void rig_done(void);
/* A plain checkout that must be granted at once. */
weir_session lend(void);
weir_session lend_as(const weir_checkout *checkout);
/* One that must wait. */
weir_op queue(void);
weir_op queue_as(const weir_checkout *checkout);
/* Is the operation complete? Takes its completion: its code, or WEIR_PENDING. What it carries is freed, but
   for the session, which goes to *session when that is not NULL. */
int outcome(weir_op op, weir_session *session);
/* Submits a statement on a session, without waiting. */
weir_op submit(weir_session session, const char *sql, int64_t timeout_ms);
/* The same on the pool. */
weir_op submit_to_pool(const char *sql, int64_t timeout_ms);
/* Runs one through, as far as the clock must go for it; its code. */
int run_sql(weir_session session, const char *sql);
/* The next log line that holds the text; everything before it is dropped. False: there is none. */
bool logged(const char *text);
/* How many slots are in the state. */
int in_state(weir__slot_state state);
weir_snapshot snapshot(void);
weir__slot *slot_of(weir_session session);
/* What the driver was asked to run since the last time. */
const char *transcript(void);

/* The call fails with the code and says so in the error; with no error to write to it only fails. `error` in
   the call stands for the one or the other. */
#define FAILS(expected, call)                                                                                \
    do {                                                                                                     \
        weir_error error_ = WEIR_ERROR_INIT, *error = &error_;                                               \
        ck_assert_int_eq(call, expected);                                                                    \
        ck_assert_int_eq(error_.code, expected);                                                             \
        ck_assert_ptr_nonnull(error_.message);                                                               \
        weir_error_clear(&error_);                                                                           \
        error = NULL;                                                                                        \
        ck_assert_int_eq(call, expected);                                                                    \
    } while (0)

/* Frees pool and reactor, driving the clock as far as their end takes. NULL, or what is left behind. */
const char *rig_end(void);

#endif

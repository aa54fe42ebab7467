/* What the parts of the simulation share: its state, and what they have of one another. */
#ifndef WEIR_TESTS_SUPPORT_SIM_STATE_H
#define WEIR_TESTS_SUPPORT_SIM_STATE_H

#include "support_pool.h"
#include "support_sim.h"

enum { SIM_ASKS = 64, SIM_HOLDERS = 24, SIM_STALE = 16, SIM_SERVED = 16 };

/* An operation under way. Its address is its token. */
typedef struct sim_ask {
    bool pending, waits; /* waits: taken with weir_reactor_wait */
    weir_op op;
    weir_completion_kind kind;
    int64_t nonce; /* what the answer must echo; 0: nothing */
    bool shares;   /* its statement may share a connection */
    long turn;     /* its place in the order of asking, while it is in line; 0: it is not */
    int holder;    /* whose it is; -1: the pool's */
} sim_ask;

/* A connection that was lent to us. */
typedef struct sim_holder {
    bool used, transaction;
    weir_session session;
    int busy, depth; /* busy: the ask that runs; -1 */
} sim_holder;

extern struct sim {
    const sim_plan *plan;
    sim_report *report;
    weir__rng rng;
    sim_ask asks[SIM_ASKS];
    sim_holder holders[SIM_HOLDERS];
    weir_session stale[SIM_STALE];
    long stale_count, turns;
    struct {
        long turn;
        uint64_t loan;
    } served[SIM_SERVED]; /* the last of them: loans are numbered as they are made */
    long served_count;
    int64_t nonces;
    bool closed, opened;
    weir_op close_op;
    weir_options options;
    long created;        /* the driver's, at the step before */
    int limit;           /* how many connections there may be */
    uint64_t shut;       /* the breaker's generation at the step before, when it let nobody in; else 0 */
    uint64_t granted;    /* … and how many had been let in */
    int64_t outage_ends; /* 0: there is none */
    int usually;         /* fails of a thousand attempts to connect without one */
} sim;

/* ---- support_sim.c: chances, the trace, faults ---- */

int64_t sim_below(int64_t bound);
bool sim_chance(int percent);
/* Goes into the hash of all that has happened. */
void sim_trace(const char *what, int64_t a, int64_t b);
/* The first one ends the run. */
void sim_fault(const char *format, ...) WEIR_PRINTF(1, 2);
bool sim_failed(void);

/* ---- support_sim_asks.c ---- */

/* NULL: too many are under way. */
sim_ask *sim_new_ask(weir_completion_kind kind, int holder_index);
void *sim_token(sim_ask *a);
/* The call has been made, and has given the code. */
void sim_submitted(sim_ask *a, int code, weir_op op, const char *what);
/* The ask is over, in whatever way. */
void sim_settle(sim_ask *a);
/* NULL: there is none. */
sim_ask *sim_random_pending(void);
sim_holder *sim_new_holder(weir_session session, bool transaction);
sim_holder *sim_random_holder(void);
bool sim_is_live(weir_session session);
/* Its operation still runs; one that is complete and not yet taken is in nobody's way. */
bool sim_is_busy(const sim_holder *h);
void sim_forget(sim_holder *h);
/* A refusal that means the end of the loan; anything else is a fault. */
bool sim_has_ended(sim_holder *h, int code, const char *what);
/* What has ended leaves its holder's session as it should be. */
void sim_check_ended(const sim_ask *a);
/* Takes all completions. */
void sim_drain(void);

/* ---- support_sim_check.c ---- */

const weir__breaker *sim_queries(void);
/* All that must hold. */
void sim_check(void);

/* ---- support_sim_steps.c ---- */

/* One by chance. */
void sim_step(void);
void sim_give_back(sim_holder *h, bool discard);
void sim_cancel(sim_ask *a);
void sim_close(int64_t grace_ms);
/* Of a close, by chance. */
int64_t sim_grace(void);

#endif

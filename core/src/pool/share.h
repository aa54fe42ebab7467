/* Letting statements share connections: share.c, and learning how many to keep busy: width.c. Under the lock.
 */
#ifndef WEIR_POOL_SHARE_H
#define WEIR_POOL_SHARE_H

#include <weirpool/pool.h>

#include "base/lru.h"
#include "base/statement.h"
#include "reactor/reactor.h"

typedef struct weir__slot weir__slot;
typedef struct weir__flight weir__flight;
typedef struct weir__profile weir__profile;

/* What is known of a statement's text, run by itself or as an executemany. */
struct weir__profile {
    weir__lru_node node;
    int references;
    unsigned text;    /* WEIR__TEXT_… */
    bool writes;      /* as far as anybody knows */
    int64_t alone;    /* ns a set, a moving mean: from sending to answer with nothing before it; 0 unknown */
    int64_t behind;   /* … what it adds to a connection that is busy; 0 unknown */
    int64_t tried_at; /* when it last ran behind another one only to find that out */
    int64_t stalled_at; /* when it last took longer than pipeline_max_wait; 0 never */
    int stalls;         /* … how often of late: a moving mean, in 65,536ths of its runs */
    char sql[];
};

/* Trying two widths in turns, window by window: width.c. */
typedef struct weir__trial {
    int base, other;    /* the widths; the second is on trial */
    bool up;            /* the direction of the next trial */
    bool pinned;        /* nothing is tried */
    int busy;           /* so many are, when base is to be */
    int failed;         /* so many directions have been tried from here in vain */
    int windows;        /* so many are over */
    int64_t since;      /* the begin of this one, or of the rest before the first */
    int64_t passed_at;  /* what was spent by then is counted */
    int64_t spent[2];   /* ns of statements' time in the pool, in windows of base and other … */
    int64_t alone[2];   /* … what those that were answered there take alone … */
    int64_t counted[2]; /* … and how many these are */
    int64_t counts;     /* … and, in windows of base, the numbers of busy connections at each, added up */
    int in_window;      /* statements of this window */
} weir__trial;

/* Letting statements share connections: what share.c keeps for the pool. */
enum { WEIR__OWNERS = 64 };
typedef struct weir__share {
    bool on;           /* the option, and a driver that can */
    int64_t max_wait;  /* ns, the option pipeline_max_wait */
    weir__link slots;  /* RUNNING and shared */
    int count;         /* of them */
    int slow;          /* … on which one runs that is slow, or not known */
    int claimed;       /* … that take no more statements, since somebody wants a connection for himself */
    int lane_count;    /* who waits in the lane */
    int width;         /* so many of the others are kept busy before they are filled deeper */
    weir__trial trial; /* … which is learnt by trying */
    bool wish;         /* one more connection would have been made busy, had there been one */
    weir__lru profiles;
    int64_t credit, paid_at;                        /* for statements that are moved: see share.c */
    int64_t nearest, nearest_before, nearest_until; /* the quickest answer of late … */
    int64_t way;                   /* … so long takes the way to the server and back, at the most */
    uint16_t owners[WEIR__OWNERS]; /* who holds a connection: how many of them have a number that ends so */
} weir__share;

/* ---- share.c ---- */
bool weir__share_open(weir_pool *pool);
void weir__share_close(weir_pool *pool);
/* What is known of the statement, with a reference of the caller's, when it may share a connection; NULL in
 * *out: it wants one for itself. WEIR_EINVAL: the pool does not run it. */
int weir__share_judge(weir_pool *pool, const weir_statement *statement, const weir_run *run,
                      weir__profile **out, weir_error *error);
/* WEIR_EINVAL: the statement begins or ends a transaction, where that is the pool's part. */
int weir__share_judge_part(weir_pool *pool, const weir_statement *statement, weir_error *error);
/* How many times it is run. */
static inline int64_t weir__share_sets(const weir_statement *statement) {
    return statement->many && statement->sets ? (int64_t)statement->sets : 1;
}
void weir__profile_unref(weir_pool *pool, weir__profile *profile);
/* A connection for such a statement, which may have to become busy for it; NULL: it waits in the lane. */
weir__slot *weir__share_pick(weir_pool *pool, weir__profile *profile, int64_t sets, bool readonly,
                             int64_t now);
/* An idle slot, RUNNING by now, takes statements from here on. */
void weir__share_begin(weir__slot *slot, bool readonly);
/* … and no longer. NULL-safe for slots that never did. */
void weir__share_end(weir__slot *slot);
void weir__share_sent(weir__flight *flight, int64_t now);
/* What the driver has held leaves now: the time before that was the caller's. */
void weir__share_flushed(weir__slot *slot, int64_t now);
/* Answers have come together: learns how long their statements take. */
void weir__share_landed(weir__slot *slot, int64_t now);
/* As many connections are kept from taking more as there are waiters who want one for themselves. */
void weir__share_claim(weir_pool *pool);
void weir__share_overrun(weir__timer *timer);
void weir__owner_add(weir_pool *pool, uint64_t owner, int n);
/* Whether he holds a connection. */
bool weir__owner_holds(const weir_pool *pool, uint64_t owner);

/* ---- width.c ---- */
void weir__width_start(weir_pool *pool);
/* So many from here on, for tests and measurements; 0: learns again. */
void weir__width_pin(weir_pool *pool, int width);
/* Before one more statement asks to share, or some are answered. */
void weir__width_pass(weir_pool *pool, int64_t now);
/* A statement has been answered that takes so long alone. */
void weir__width_count(weir_pool *pool, int64_t alone);
/* After some were counted. */
void weir__width_look(weir_pool *pool, int64_t now);

#endif

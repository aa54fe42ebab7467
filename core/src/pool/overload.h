/* What the pool does when more is wanted of the database than it can do: codel.c, adapt.c. */
#ifndef WEIR_POOL_OVERLOAD_H
#define WEIR_POOL_OVERLOAD_H

#include "reactor/reactor.h"

typedef struct weir__flight weir__flight;
typedef struct weir__task weir__task;

/* The queue's rule. */
typedef struct weir__codel {
    int64_t target,
        interval;        /* ns, the options queue_target and queue_interval; target 0: there is no rule */
    int64_t above_since; /* since then all have waited for longer than the target; WEIR__NEVER: not so */
    bool overloaded;
    int64_t since; /* … since then */
    uint64_t shed; /* … refused by then */
    weir__timer timer;
} weir__codel;

void weir__codel_open(weir_pool *pool);
/* The next three only where there is a rule. Somebody is in line. */
void weir__codel_waits(weir_pool *pool);
/* … gets what he has waited for. */
void weir__codel_serves(weir_pool *pool, const weir__task *task, int64_t now);
/* … and nobody is any more. */
void weir__codel_drained(weir_pool *pool);

/* A statement's usual time. */
typedef struct weir__usual {
    uint64_t hash; /* of its text */
    int64_t ns;    /* the mean of its first runs */
    int64_t seen_at;
    int runs; /* … so many, up to a bound; 0: unknown */
} weir__usual;

enum { WEIR__USUAL = 256, WEIR__TIMES = 64 };
#define WEIR__SURPLUS_FOR (5000 * WEIR__MS) /* idle for so long, a connection above the limit is closed */

/* The limit that is learnt. */
typedef struct weir__adapt {
    int lends;          /* so many connections are lent at a time, at the most; INT_MAX: there is no limit */
    weir__usual *usual; /* by the texts' hashes; NULL: the option is off */
    double limit;       /* so many statements are to be at the server at a time */
    int busy;           /* lent connections that keep it busy … */
    int others;         /* … and those that do not … */
    int64_t weighed_at; /* … then */
    weir__timer timer;  /* … and again, while somebody waits */
    int64_t typical;    /* ns that a statement takes, of late */
    double base;        /* … in terms of what is usual, while the server is well; 0: unknown */
    int64_t since;      /* the begin of the window */
    int times[WEIR__TIMES];    /* … its statements, by what they took in terms of what is usual */
    int count;                 /* … all of them */
    int peak;                  /* … the most that were busy */
    bool dips;                 /* fewer are lent, to see what becomes of the times */
    bool settled;              /* … and there are so few by now */
    int skip;                  /* … and so many statements may have been begun before that */
    int64_t dip_at, dip_every; /* when it begins, or has begun; the time between two */
    int most;                  /* connections that the server lets us have, as far as known … */
    int64_t most_until;        /* … until then */
} weir__adapt;

/* False: out of memory. */
bool weir__adapt_open(weir_pool *pool);
void weir__adapt_close(weir_pool *pool);
/* The bounds may have changed. */
void weir__adapt_bound(weir_pool *pool);
/* The next three only with the option. Somebody is in line. */
void weir__adapt_waits(weir_pool *pool, int64_t now);
/* A statement is answered, or given up. */
void weir__adapt_count(const weir__flight *flight, bool answered, int64_t now);
/* An attempt to connect has failed so. */
void weir__adapt_failed(weir_pool *pool, const weir_error *why, int64_t now);
/* As many connections are lent as may be. */
bool weir__adapt_full(const weir_pool *pool);
/* So many there may be. */
int weir__pool_most(const weir_pool *pool);
/* … and so many are not closed soon when they become idle. */
int weir__adapt_keeps(const weir_pool *pool);

#endif

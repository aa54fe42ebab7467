/*
 * How many connections shared statements keep busy. A few are best where the processor is the limit, many
 * where statements wait for something else; which it is shows in how long they take. So two widths are tried
 * in turns, in short windows, lest a change of the load is taken for a merit of one of them; the better one
 * stays, and its neighbour is tried next.
 */
#include "pool/pool.h"

enum {
    WIDTH = 4,   /* to begin with */
    WINDOWS = 8, /* of a trial, half of them for each width */
    LEAST = 48,  /* statements in a window */
    BETTER = 50, /* by one part in so many */
};
#define SHORTEST (8 * WEIR__MS) /* window */
#define LONGEST (100 * WEIR__MS)

static void begin(weir_pool *pool, int base) {
    weir__trial *trial = &pool->share.trial;
    int step = trial->up ? (base + 1) / 2 : -((base + 2) / 3), other = base + step;
    if (other > pool->max_size) other = pool->max_size;
    if (other < 1) other = 1;
    *trial = (weir__trial){.base = base, .other = other, .up = trial->up, .since = trial->since};
    pool->share.width = base;
}

void weir__width_start(weir_pool *pool) {
    pool->share.trial.up = true;
    begin(pool, pool->max_size < WIDTH ? pool->max_size : WIDTH);
}

void weir__width_pin(weir_pool *pool, int width) {
    pool->share.trial.pinned = width > 0;
    if (width > 0) pool->share.width = width;
}

void weir__width_count(weir_pool *pool, int64_t sent_at, int64_t waited) {
    weir__trial *trial = &pool->share.trial;
    if (sent_at < trial->since) return; /* the last window's */
    trial->waited[trial->windows % 2] += waited;
    trial->counted[trial->windows % 2]++;
    trial->in_window++;
}

static void decide(weir_pool *pool) {
    weir__trial *trial = &pool->share.trial;
    double base = (double)trial->waited[0] / (double)trial->counted[0];
    double other = (double)trial->waited[1] / (double)trial->counted[1];
    bool better = trial->other != trial->base && other * BETTER < base * (BETTER - 1);
    if (!better) trial->up = !trial->up;
    begin(pool, better ? trial->other : trial->base);
}

void weir__width_look(weir_pool *pool, int64_t now) {
    weir__trial *trial = &pool->share.trial;
    int64_t passed = now - trial->since;
    if (trial->pinned) return;
    if (passed < SHORTEST || (trial->in_window < LEAST && passed < LONGEST)) return;
    bool idle = trial->in_window < LEAST; /* too little to do for it to matter */
    trial->since = now;
    trial->in_window = 0;
    if (idle)
        begin(pool, trial->base);
    else if (++trial->windows == WINDOWS)
        decide(pool);
    else
        pool->share.width = trial->windows % 2 ? trial->other : trial->base;
}

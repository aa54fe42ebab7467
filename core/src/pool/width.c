/*
 * How many connections shared statements keep busy. A few are best where the processor is the limit, many
 * where statements wait for something else; which it is shows in how long they take, from asking to answer.
 * So two widths are tried in turns, in short windows, lest a change of the load is taken for a merit of one
 * of them; the better one stays, and its neighbour is tried next. Connections on which a slow statement runs
 * are beside that: others do not share them.
 *
 * How long they take is all the time that they spend in the pool while a width is tried, over those that are
 * answered meanwhile. The times of these alone would be partial: when a connection is added, those that are
 * sent next overtake what stands before the others, and when one is left, they stand behind all of it.
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
#define REST (200 * WEIR__MS) /* when neither less nor more was better: a trial has its price */

static void begin(weir_pool *pool, int base) {
    weir__trial *trial = &pool->share.trial;
    /* A bound on their wait may keep more busy than base, and what others leave of the pool less. */
    int from = trial->busy && (trial->busy > base) == trial->up ? trial->busy : base;
    int step = trial->up ? (from + 1) / 2 : -((from + 2) / 3), other = from + step;
    if (other > pool->max_size) other = pool->max_size;
    if (other < 1) other = 1;
    *trial = (weir__trial){.base = base,
                           .other = other,
                           .up = trial->up,
                           .failed = trial->failed,
                           .busy = trial->busy,
                           .since = trial->since,
                           .passed_at = trial->passed_at};
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

void weir__width_pass(weir_pool *pool, int64_t now) {
    weir__share *share = &pool->share;
    weir__trial *trial = &share->trial;
    int there = share->lane_count;
    for (const weir__link *link = share->slots.next; link != &share->slots; link = link->next)
        there += weir__container(link, weir__slot, shared_link)->flying;
    trial->spent[trial->windows % 2] += there * (now - trial->passed_at);
    trial->passed_at = now;
}

void weir__width_count(weir_pool *pool, int64_t alone) {
    weir__trial *trial = &pool->share.trial;
    trial->alone[trial->windows % 2] += alone;
    trial->counted[trial->windows % 2]++;
    trial->counts += trial->windows % 2 ? 0 : pool->share.count - pool->share.slow;
    trial->in_window++;
}

/* What they wait; what they take anyway depends on which ones came. */
static double waited(const weir__trial *trial, int which) {
    return (double)(trial->spent[which] - trial->alone[which]) / (double)trial->counted[which];
}

static void decide(weir_pool *pool) {
    weir__trial *trial = &pool->share.trial;
    double gain = waited(trial, 0) - waited(trial, 1);
    double least = (double)trial->spent[0] / (double)trial->counted[0] / BETTER;
    bool better = trial->other != trial->base && gain > least;
    trial->busy = (int)(trial->counts / trial->counted[0]);
    trial->failed = better ? 0 : trial->failed + 1;
    if (!better) trial->up = !trial->up;
    if (trial->failed >= 2) trial->since += REST;
    begin(pool, better ? trial->other : trial->base);
}

void weir__width_look(weir_pool *pool, int64_t now) {
    weir__trial *trial = &pool->share.trial;
    int64_t passed = now - trial->since;
    if (trial->pinned) return;
    if (passed < 0) { /* it rests */
        begin(pool, trial->base);
        return;
    }
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

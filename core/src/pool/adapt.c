/*
 * How many connections are lent at a time, with the option adaptive_size. The limit is one of statements that
 * keep the server busy, and the rule is Gradient2's, in windows: they become slower when the server has more
 * of them than it can do at once, so the limit falls when they take more than TOLERANCE times what they take
 * while it is well, and grows while they do not. Only the time from sending to answer counts, of statements
 * with nothing before them on their connection; how long callers wait, or hold a connection, is no matter of
 * the server's. So a connection whose holder thinks is lent beside the limit, and so is one whose statement
 * has run for much longer than others do: it waits for a lock, which needs others to finish.
 *
 * The time is taken in terms of what is usual for a statement's text, lest a change in what is asked be taken
 * for one of the server, and of all these in a window the mean of the quicker ones counts, since what waits
 * for a lock, or is slow by its parameters, says nothing of the load.
 *
 * What statements take while the server is well would become what they take under a load that lasts. So now
 * and then half as many are let at it for a moment, a dip. If they are quicker then, that is how they should
 * be; if not, the server is slower by itself, or others make it so, and that is believed slowly.
 *
 * The numbers are those with which the simulated servers of test_adaptive.c do best.
 */
#include "pool/pool.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"

enum {
    START = 5,    /* the limit, to begin with */
    LEAST = 2,    /* … and at the least */
    SAMPLES = 24, /* statements in a window */
    KNOWN = 8,    /* runs after which it is known what is usual */
    OCTAVE = 8,   /* cells of the distribution by a factor of two … */
    ORIGIN = 24,  /* … and the one of what is usual */
    STUCK = 10,   /* so many times longer than others it waits for something else */
};
#define TOLERANCE 1.5
#define SMOOTHING 0.2
#define LEAST_GRADIENT 0.25
#define HEADROOM 0.35 /* by the root of the limit: it is where pools that share a server become equal */
#define FLAT 1.2      /* so little makes no difference */
#define WINDOW (50 * WEIR__MS)      /* at the least */
#define WEIGH (5 * WEIR__MS)        /* between two looks at what is lent, at the least … */
#define WEIGH_AGAIN (20 * WEIR__MS) /* … and at the most, while somebody waits */
#define DIP_FIRST (1000 * WEIR__MS) /* between two dips */
#define DIP_LAST (16000 * WEIR__MS)
#define FORGET (60000 * WEIR__MS)  /* a text that has not come for so long makes room */
#define REFUSED (10000 * WEIR__MS) /* so long the server's own bound is believed in */

static int upper(const weir_pool *pool) {
    int most = weir__pool_allowed(pool);
    return pool->adapt.most < most ? pool->adapt.most : most;
}

static int lower(const weir_pool *pool) {
    int least = pool->min_size > LEAST ? pool->min_size : LEAST, most = upper(pool);
    return least < most ? least : most;
}

/* Connections, for so many statements at the server. */
static int lends(const weir_pool *pool, double limit) {
    int most = upper(pool), all = (int)limit + pool->adapt.others;
    return all < most ? all : most;
}

int weir__adapt_keeps(const weir_pool *pool) {
    return pool->adapt.usual ? lends(pool, pool->adapt.limit) : weir__pool_allowed(pool);
}

int weir__pool_most(const weir_pool *pool) {
    int most = weir__pool_allowed(pool), lends = pool->adapt.lends; /* fewer than the floor in a dip */
    if (lends < pool->min_size) lends = pool->min_size;
    return lends < most ? lends : most;
}

static double dip_of(const weir__adapt *adapt) { return (adapt->limit + 1) / 2; }

/* Puts what is known into effect. */
static void heed(weir_pool *pool, int64_t now) {
    weir__adapt *adapt = &pool->adapt;
    int before = adapt->lends;
    if (now >= adapt->most_until) adapt->most = INT_MAX;
    adapt->limit = fmax(lower(pool), fmin(upper(pool), adapt->limit));
    adapt->lends = lends(pool, adapt->dips ? dip_of(adapt) : adapt->limit);
    if (adapt->lends > before && pool->waiting) weir__pool_touch(pool);
    if (adapt->lends < before) weir__pool_arm_reaper(pool, now + WEIR__SURPLUS_FOR);
}

static void begin_window(weir__adapt *adapt, int64_t now) {
    memset(adapt->times, 0, sizeof adapt->times);
    adapt->count = adapt->peak = 0;
    adapt->since = now;
}

static void look_again(weir__timer *timer);

bool weir__adapt_open(weir_pool *pool) {
    weir__adapt *adapt = &pool->adapt;
    int64_t now = weir__reactor_now(pool->reactor);
    weir__timer_init(&adapt->timer, look_again);
    adapt->lends = adapt->most = INT_MAX;
    if (!pool->config->options.adaptive_size) return true;
    adapt->usual = weir__calloc(WEIR__USUAL, sizeof *adapt->usual);
    if (!adapt->usual) return false;
    adapt->limit = fmax(lower(pool), fmin(upper(pool), START));
    adapt->lends = lends(pool, adapt->limit);
    adapt->dip_every = DIP_FIRST;
    adapt->dip_at = now + adapt->dip_every;
    begin_window(adapt, now);
    return true;
}

void weir__adapt_close(weir_pool *pool) { weir__free(pool->adapt.usual); }

void weir__adapt_bound(weir_pool *pool) {
    if (pool->adapt.usual) heed(pool, weir__reactor_now(pool->reactor));
}

/* ---- what is lent */

static bool keeps_busy(const weir__slot *slot, int64_t now) {
    int64_t typical = slot->pool->adapt.typical;
    if (slot->state != WEIR__LENT && slot->state != WEIR__RUNNING && slot->state != WEIR__DRAINING)
        return false;
    /* Without one in `flights` they have landed just now. */
    if (!slot->flying || !typical || weir__list_empty(&slot->flights)) return slot->flying;
    int64_t since =
        slot->shared ? slot->head_at : weir__container(slot->flights.next, weir__flight, link)->sent_at;
    return now - since <= STUCK * typical;
}

static void end_dip(weir_pool *pool, bool news, int64_t now);

/* So many statements as a dip is for have had their time: it is others that come, which do not count. */
static bool dip_lasts_too_long(const weir__adapt *adapt, int64_t now) {
    return adapt->dips && now - adapt->dip_at > DIP_FIRST + SAMPLES * adapt->typical;
}

static void weigh(weir_pool *pool, int64_t now) {
    weir__adapt *adapt = &pool->adapt;
    if (now - adapt->weighed_at < WEIGH) return;
    adapt->weighed_at = now;
    adapt->busy = 0;
    for (size_t i = 0; i < pool->slot_count; i++) adapt->busy += keeps_busy(pool->slots[i], now);
    adapt->others = weir__adapt_lent(pool) - adapt->busy;
    if (adapt->busy > adapt->peak) adapt->peak = adapt->busy;
    if (dip_lasts_too_long(adapt, now))
        end_dip(pool, false, now);
    else
        heed(pool, now);
}

void weir__adapt_waits(weir_pool *pool, int64_t now) {
    weigh(pool, now);
    if (!weir__timer_running(&pool->adapt.timer))
        weir__reactor_start(pool->reactor, &pool->adapt.timer, now + WEIGH_AGAIN);
}

/* Where all who hold a connection wait for those in line nothing else would happen. */
static void look_again(weir__timer *timer) {
    weir_pool *pool = weir__container(timer, weir_pool, adapt.timer);
    if (pool->waiting) weir__adapt_waits(pool, weir__reactor_now(pool->reactor));
}

/* ---- what a statement says */

/* NULL: its place is another one's. */
static weir__usual *usual_of(weir__adapt *adapt, uint64_t hash, int64_t now) {
    weir__usual *usual = &adapt->usual[hash % WEIR__USUAL];
    if (usual->runs && usual->hash != hash) {
        if (now - usual->seen_at < FORGET) return NULL;
        usual->runs = 0;
    }
    usual->hash = hash;
    usual->seen_at = now;
    return usual;
}

static void learn(weir__adapt *adapt, weir__usual *usual, int64_t took) {
    int64_t most = 2 * adapt->typical; /* some may wait for a lock */
    if (!usual->runs) usual->ns = 0;
    if (usual->runs < KNOWN) usual->ns += (took - usual->ns) / ++usual->runs;
    if (!adapt->typical) adapt->typical = took;
    adapt->typical += ((took < most ? took : most) - adapt->typical) / 16;
}

static void note(weir__adapt *adapt, double times) {
    double cell = floor(log2(times) * OCTAVE + 0.5) + ORIGIN;
    adapt->times[(int)fmax(0, fmin(WEIR__TIMES - 1, cell))]++;
    adapt->count++;
}

/* The mean of the window's quicker ones: between a tenth and six tenths of them. */
static double mean(const weir__adapt *adapt) {
    double from = adapt->count * 0.1, to = adapt->count * 0.6, seen = 0, sum = 0;
    for (int i = 0; i < WEIR__TIMES; i++) {
        double begin = fmax(seen, from), end = fmin(seen += adapt->times[i], to);
        if (end > begin) sum += (end - begin) * (i - ORIGIN);
    }
    return exp2(sum / (to - from) / OCTAVE);
}

/* ---- what a window says */

static void begin_dip(weir_pool *pool, int64_t now) {
    weir__adapt *adapt = &pool->adapt;
    adapt->dips = true;
    adapt->settled = false;
    adapt->dip_at = now;
    heed(pool, now);
}

/* news: it has told something. */
static void end_dip(weir_pool *pool, bool news, int64_t now) {
    weir__adapt *adapt = &pool->adapt;
    int64_t later = 2 * adapt->dip_every;
    adapt->dips = false;
    adapt->dip_every = news ? DIP_FIRST : later < DIP_LAST ? later : DIP_LAST;
    adapt->dip_at = now + adapt->dip_every;
    begin_window(adapt, now);
    heed(pool, now);
}

static void judge_dip(weir_pool *pool, int64_t now) {
    weir__adapt *adapt = &pool->adapt;
    double took = mean(adapt), base = adapt->base;
    adapt->base = took < base ? (base + took) / 2 : fmin(took, base * 1.05);
    end_dip(pool, took < base / FLAT, now);
}

/* Gradient2's. While somebody waits and the server is well, all the more. */
static void step(weir_pool *pool, double took, int64_t now) {
    weir__adapt *adapt = &pool->adapt;
    double slow = took / adapt->base, limit = adapt->limit, room = HEADROOM * sqrt(limit);
    double gradient = fmax(LEAST_GRADIENT, fmin(1, TOLERANCE / slow));
    if (pool->waiting && slow < TOLERANCE) room += 2 * limit * (TOLERANCE - slow);
    adapt->limit += SMOOTHING * (limit * gradient + room - limit);
    heed(pool, now);
}

static void judge(weir_pool *pool, int64_t now) {
    weir__adapt *adapt = &pool->adapt;
    double took = mean(adapt);
    bool busy = adapt->peak >= adapt->limit / 2; /* else it is not the limit's doing */
    if (adapt->base == 0) adapt->base = took;
    if (!busy || took < adapt->base) adapt->base += (took - adapt->base) / 20;
    if (busy) step(pool, took, now);
    begin_window(adapt, now);
    if (busy && now >= adapt->dip_at) begin_dip(pool, now);
    if (!busy && adapt->dip_at < now + DIP_FIRST) adapt->dip_at = now + DIP_FIRST;
}

/* Whether the statement is one of those that a dip is for: it was begun when there were few. */
static bool counts_in_dip(weir_pool *pool, int64_t now) {
    weir__adapt *adapt = &pool->adapt;
    if (adapt->settled) return adapt->skip-- <= 0;
    adapt->settled = adapt->busy <= dip_of(adapt);
    adapt->skip = (int)dip_of(adapt);
    if (adapt->settled)
        begin_window(adapt, now);
    else if (now - adapt->dip_at > 8 * adapt->typical) /* they do not become fewer */
        end_dip(pool, false, now);
    return false;
}

void weir__adapt_count(const weir__flight *flight, bool answered, int64_t now) {
    weir_pool *pool = flight->slot->pool;
    weir__adapt *adapt = &pool->adapt;
    const weir_statement *statement = flight->request.statement;
    bool plain = statement && !statement->many && flight->request.mode == WEIR__STATEMENT && !flight->batch;
    if (!plain || !flight->alone) return;
    int64_t took = now - flight->sent_at + 1;
    weir__usual *usual = usual_of(adapt, statement->hash, now);
    weigh(pool, now);
    if (usual && answered) learn(adapt, usual, took);
    if (!usual || !usual->runs) return;
    double times = (double)took / (double)usual->ns;
    if (!answered && times < TOLERANCE * adapt->base) return; /* it might have been quick */
    if (adapt->dips && !counts_in_dip(pool, now)) return;
    note(adapt, times);
    if (adapt->count < SAMPLES || now - adapt->since < WINDOW) return;
    if (adapt->dips)
        judge_dip(pool, now);
    else
        judge(pool, now);
}

/* ---- what attempts to connect say */

void weir__adapt_failed(weir_pool *pool, const weir_error *why, int64_t now) {
    weir__adapt *adapt = &pool->adapt;
    bool full = strcmp(why->sqlstate, "53300") == 0;
    int live = weir__pool_live(pool);
    if (!full && why->code != WEIR_ECONNECTTIMEOUT) return;
    if (full) {
        adapt->most = live > LEAST ? live : LEAST;
        adapt->most_until = now + REFUSED;
    }
    adapt->limit = fmin(adapt->limit, live);
    heed(pool, now);
}

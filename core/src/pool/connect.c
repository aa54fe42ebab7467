/* Making connections: the floor, the waiters' demand, the backoff with full jitter, what opening waits for.
 */
#include "pool/pool.h"

#include <string.h>

#include "base/alloc.h"
#include "base/error.h"

static weir__slot *empty_slot(weir_pool *pool) {
    if (pool->counts[WEIR__EMPTY])
        for (size_t i = 0; i < pool->slot_count; i++)
            if (pool->slots[i]->state == WEIR__EMPTY) return pool->slots[i];
    weir__slot **slots = weir__realloc(pool->slots, (pool->slot_count + 1) * sizeof *slots);
    if (!slots) return NULL;
    pool->slots = slots;
    weir__slot *slot = weir__slot_new(pool, (uint32_t)pool->slot_count);
    if (!slot) return NULL;
    slots[pool->slot_count++] = slot;
    pool->counts[WEIR__EMPTY]++;
    return slot;
}

bool weir__pool_connect(weir_pool *pool, weir_permit *permit, int64_t now) {
    const weir_options *options = &pool->config->options;
    weir__slot *slot = empty_slot(pool);
    weir__conn *conn = slot ? pool->driver->create(pool->env, slot) : NULL;
    if (!conn) {
        weir__breaker_cancel(weir__guard_of(pool, WEIR_BREAKER_CONNECTS), now, permit);
        return false;
    }
    pool->replacing -= pool->replacing > 0;
    slot->conn = conn;
    slot->attempt = *permit;
    slot->trying = true;
    slot->tried_at = now;
    weir__probe_beat(pool, now);
    slot->news = 0;
    slot->cancelled = slot->discard = slot->established = slot->dying = slot->mourned = false;
    slot->generation = pool->generation;
    slot->begun_at = now;
    slot->lent_at = 0;
    slot->health = (weir__slot_health){0};
    slot->expires_at = WEIR__NEVER;
    slot->loan = 0;
    slot->reset = WEIR__RESET_DEFAULT;
    weir__slot_move(slot, WEIR__CONNECTING);
    pool->stats->connections_started++;
    weir__reactor_start(pool->reactor, &slot->bound, weir__deadline(now, options->connect_timeout_ms));
    pool->driver->connect(conn);
    return true;
}

/* `require` wants one to be tried although the pool need not keep any. */
static int floor_of(const weir_pool *pool) {
    int floor = pool->opening && !pool->min_size ? 1 : pool->min_size;
    return pool->ceiling.most == INT_MAX ? floor : weir__pool_beneath(pool, floor);
}

/* So many attempts that have no end yet. */
static int under_way(const weir_pool *pool) {
    const int *n = pool->counts;
    return n[WEIR__CONNECTING] + n[WEIR__PREPARING] + n[WEIR__CHECKING] - weir__health_checking(pool);
}

/* How many connections are wanted beyond those that are there or on their way. */
int weir__pool_coming(const weir_pool *pool, int64_t now) {
    const int *n = pool->counts;
    int coming = under_way(pool) + weir__health_coming(pool, now);
    if (!n[WEIR__DRAINING] && !n[WEIR__RESETTING]) return coming;
    for (size_t i = 0; i < pool->slot_count; i++) {
        const weir__slot *slot = pool->slots[i];
        if (slot->state != WEIR__DRAINING && slot->state != WEIR__RESETTING) continue;
        coming += now - slot->cleaned_since < WEIR__COMING_FOR;
    }
    return coming;
}

int weir__pool_demand(const weir_pool *pool) {
    const weir__share *share = &pool->share;
    return pool->waiting - share->lane_count + (share->lane_count || share->wish);
}

static int wanted(const weir_pool *pool, int coming) {
    int there = weir__pool_total(pool) - pool->counts[WEIR__CLOSING];
    int floor = floor_of(pool) - there, demand = weir__pool_demand(pool) - coming;
    int want = floor > demand ? floor : demand, room = weir__pool_room(pool);
    if (want < pool->replacing) want = pool->replacing;
    return want < room ? want : room;
}

bool weir__pool_wants(const weir_pool *pool) { return floor_of(pool) > 0 || weir__pool_demand(pool) > 0; }

int64_t weir__pool_next_attempt(const weir_pool *pool) {
    return weir__pool_probing(pool) ? pool->guard.probe_at : pool->retry_at;
}

static void begin_attempts(weir_pool *pool, int want, int64_t now) {
    weir_permit permit;
    while (want-- > 0) {
        if (!weir__guard_attempt(pool, &permit, now)) return; /* on with it when another one has ended */
        if (weir__pool_connect(pool, &permit, now)) continue;
        weir__reactor_start(pool->reactor, &pool->retry,
                            weir__deadline(now, pool->config->options.retry_min_ms));
        return; /* no memory */
    }
}

void weir__pool_grow(weir_pool *pool) {
    if (pool->closing) return;
    int64_t now = weir__reactor_now(pool->reactor);
    if (weir__pool_probing(pool)) {
        weir__pool_probe(pool, now);
        return;
    }
    int coming = weir__pool_coming(pool, now);
    int want = wanted(pool, coming);
    if (weir__pool_demand(pool) && coming > under_way(pool) &&
        !weir__timer_running(&pool->retry)) /* look again, should they not come */
        weir__reactor_start(pool->reactor, &pool->retry, now + WEIR__COMING_FOR);
    if (want <= 0) return;
    if (pool->failures || pool->guard.outage) { /* one attempt at a time until one succeeds */
        if (under_way(pool)) return;
        if (now < pool->retry_at) {
            weir__reactor_start(pool->reactor, &pool->retry, pool->retry_at);
            return;
        }
        want = 1;
    }
    begin_attempts(pool, want, now);
}

void weir__pool_retry(weir__timer *timer) { weir__pool_touch(weir__container(timer, weir_pool, retry)); }

bool weir__pool_down(weir_pool *pool, weir_error *error) {
    if (weir__pool_live(pool)) return false;
    int64_t now = weir__reactor_now(pool->reactor);
    if (!weir__guard_stale(pool, now) && weir__guard_shut(pool, WEIR_BREAKER_CONNECTS, now, error))
        return true;
    if (!pool->failures || pool->counts[WEIR__CONNECTING]) return false;
    int64_t left = weir__pool_next_attempt(pool) - now;
    if (left <= 0) return false;
    weir__error_copy(error, &pool->last_error);
    if (error) error->retry_after_ms = (left + WEIR__MS - 1) / WEIR__MS;
    return true;
}

/* The database is there, but says no, and will say so again. */
static bool is_permanent(const weir_error *error) { return !error->retryable; }

static void finish_opening(weir_pool *pool, const weir_error *error) {
    weir__task *task = pool->opening;
    if (!task) return;
    pool->opening = NULL;
    if (error)
        weir__op_fail(&task->op, error);
    else
        weir__op_complete(&task->op, WEIR_OK);
}

void weir__pool_check_open(weir_pool *pool) {
    if (pool->opening &&
        weir__pool_live(pool) - pool->counts[WEIR__PREPARING] - pool->counts[WEIR__CHECKING] >=
            floor_of(pool))
        finish_opening(pool, NULL);
}

int64_t weir__pool_pause(weir_pool *pool, int failures) {
    const weir_options *options = &pool->config->options;
    int64_t most = options->retry_min_ms * WEIR__MS, cap = options->retry_max_ms * WEIR__MS;
    for (int i = 1; i < failures && most < cap; i++) most *= 2;
    if (most > cap) most = cap;
    return WEIR__MS + weir__random_below(&pool->rng, most);
}

static int64_t retry_in_ms(const weir_pool *pool, int64_t now) {
    int64_t at = weir__pool_next_attempt(pool);
    return at > now ? (at - now) / WEIR__MS : 0;
}

/* The first ones, then one for each doubling. */
static bool is_worth_a_line(int attempts) { return attempts <= 8 || (attempts & (attempts - 1)) == 0; }

static void log_failure(weir_pool *pool, const weir_error *why, int64_t now) {
    if (is_worth_a_line(pool->failures))
        weir__logf(&pool->reactor->log, WEIR_LOG_WARNING,
                   "pool %s: cannot connect (attempt %d, again in %lld ms): %s", weir_pool_name(pool),
                   pool->failures, (long long)retry_in_ms(pool, now),
                   why->message ? why->message : weir_error_text(why->code));
}

/* Those in line are not to wait when nobody will come for them. */
static void tell_waiters(weir_pool *pool, int64_t now) {
    weir_error why = WEIR_ERROR_INIT;
    if (!pool->waiting) return;
    if (weir__guard_shut(pool, WEIR_BREAKER_QUERIES, now, &why) || weir__pool_down(pool, &why))
        weir__pool_refuse_waiters(pool, &why);
    weir_error_clear(&why);
}

/* outcome: what it says of the server. */
static void attempt_failed(weir__slot *slot, weir_outcome outcome, weir_error *why) {
    weir_pool *pool = slot->pool;
    int64_t now = weir__reactor_now(pool->reactor);
    bool counts = slot->begun_at >= pool->failed_at; /* else it belongs to a round that has been counted */
    pool->stats->connections_failed += !slot->established;
    if (outcome != WEIR_OUTCOME_IGNORED) {
        pool->guard.outage = outcome == WEIR_OUTCOME_FAILURE;
        pool->guard.denied = outcome == WEIR_OUTCOME_SUCCESS;
    }
    weir__guard_attempted(slot, outcome, why, now);
    if (slot->state == WEIR__CHECKING) weir__guard_end(pool, &slot->entry, why, now);
    if (counts) {
        pool->failures++;
        pool->failed_at = now + 1;
        pool->retry_at = now + weir__pool_pause(pool, pool->failures);
    }
    if (pool->guard.denied) pool->guard.probe_at = pool->retry_at;
    if (pool->adapt.usual) weir__adapt_failed(pool, why, now);
    weir__error_copy(&pool->last_error, why);
    weir__health_touch(pool);
    weir__slot_close(slot, why->code, why);
    if (counts) log_failure(pool, why, now);
    if (pool->last_error.retry_after_ms < 0) pool->last_error.retry_after_ms = retry_in_ms(pool, now);
    finish_opening(pool, is_permanent(why) || pool->config->options.require ? why : NULL);
    tell_waiters(pool, now);
}

/* A server that refuses a login is there: what its SQLSTATE says of it counts, unless the user has said that
 * any such error does. One that wants a password that we have not got has no SQLSTATE. */
static weir_outcome judge(const weir__breaker *breaker, const weir_error *why) {
    weir_outcome outcome = weir__breaker_classify(breaker, why, WEIR_VERDICT_NONE);
    if (outcome != WEIR_OUTCOME_FAILURE || why->code != WEIR_ECONNECT) return outcome;
    if (weir__error_is_listed(breaker->record, why)) return outcome;
    if (is_permanent(why)) return WEIR_OUTCOME_SUCCESS;
    weir_error said = *why;
    said.code = WEIR_ESERVER;
    return *why->sqlstate ? weir__breaker_classify(breaker, &said, WEIR_VERDICT_NONE) : outcome;
}

void weir__slot_connect_failed(weir__slot *slot, weir_error *why) {
    attempt_failed(slot, judge(weir__guard_of(slot->pool, WEIR_BREAKER_CONNECTS), why), why);
}

void weir__connect_overdue(weir__slot *slot) {
    weir_error why = WEIR_ERROR_INIT;
    weir__fail(&why, WEIR_ECONNECTTIMEOUT, "no connection within connect_timeout (%lld ms)",
               (long long)slot->pool->config->options.connect_timeout_ms);
    weir__slot_connect_failed(slot, &why);
    weir_error_clear(&why);
}

void weir__slot_prepare(weir__slot *slot) {
    weir_pool *pool = slot->pool;
    weir__slot_move(slot, WEIR__PREPARING);
    slot->loan = ++pool->loans;
    slot->lent_at = weir__reactor_now(pool->reactor);
    slot->file[0] = slot->function[0] = '\0';
    weir_session session = weir__slot_session(slot);
    weir__reactor_start(pool->reactor, &slot->bound,
                        weir__deadline(slot->lent_at, pool->config->options.connect_timeout_ms));
    if (weir__reactor_event(pool->reactor, WEIR_EVENT_INIT, pool->token, session, pool) == WEIR_OK) return;
    weir_error why = WEIR_ERROR_INIT;
    weir__fail(&why, WEIR_ENOMEM, "out of memory for a new connection's init");
    weir__slot_connect_failed(slot, &why);
    weir_error_clear(&why);
}

void weir__slot_init_failed(weir__slot *slot, int code, const char *what) {
    weir_error why = WEIR_ERROR_INIT;
    weir__fail(&why, code, "the init of a new connection %s", what);
    why.detail = slot->pool->init_failure;
    attempt_failed(slot, code == WEIR_ECONNECTTIMEOUT ? WEIR_OUTCOME_FAILURE : WEIR_OUTCOME_SUCCESS, &why);
    weir_error_clear(&why);
}

void weir__pool_recovered(weir_pool *pool) {
    pool->guard.outage = pool->guard.denied = false;
    if (!pool->failures) return;
    weir__logf(&pool->reactor->log, WEIR_LOG_INFO, "pool %s: connected again after %d failed attempts",
               weir_pool_name(pool), pool->failures);
    pool->failures = 0;
    weir_error_clear(&pool->last_error);
    weir__health_touch(pool); /* more than one at a time may be made again */
}

void weir__slot_connected(weir__slot *slot) {
    weir_pool *pool = slot->pool;
    int64_t now = weir__reactor_now(pool->reactor), life = pool->config->options.max_lifetime_ms;
    weir__timer_stop(&pool->reactor->wheel, &slot->bound);
    pool->stats->connections_created++;
    weir__histogram_record(&pool->stats->connect, now - slot->begun_at);
    slot->established = true;
    if (life > 0) {
        slot->expires_at = weir__deadline(now, life) - weir__random_below(&pool->rng, life / 10 * WEIR__MS);
        weir__pool_arm_reaper(pool, slot->expires_at);
    }
    if (pool->config->options.init_hook) {
        weir__slot_prepare(slot);
        return;
    }
    weir__health_baseline(slot);
    weir__slot_ready(slot, now);
}

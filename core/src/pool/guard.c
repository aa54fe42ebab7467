/*
 * The pool's circuit breakers: who is let in, what is recorded, and what callers are told.
 *
 * A call is a statement of the pool's own callers, or a loan; it is let in, or refused, when it asks for a
 * connection, and gets its permit with the connection. A loan has one only where it takes a place, while the
 * breaker is half-open; it is for the first statement in it, and goes to others who ask when that does not
 * come for a while. Each other one has its own, and takes no place: it belongs to a call that is in already.
 * Outside of a transaction it is refused while the breaker is open; inside it goes on, since what the
 * transaction has done so far would be lost.
 *
 * Where the host has predicates (option circuit_hook) what a caller's statement has failed with is not judged
 * here, where no code of the host's may run. The permit goes out with the error, as a weir_failure, and comes
 * back with the host's verdict, or without one, when nobody has asked for the error. All else is judged at
 * once: attempts to connect, probes and checks have no caller, and a session's own time says no more of the
 * server than what the pool works out from it.
 */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "pool/pool.h"

static weir__breaker *connects(const weir_pool *pool) { return weir__guard_of(pool, WEIR_BREAKER_CONNECTS); }
static weir__breaker *queries(const weir_pool *pool) { return weir__guard_of(pool, WEIR_BREAKER_QUERIES); }

/* A state has changed, and those in line and the log do not know of it. */
static bool is_news(const weir_pool *pool) {
    const weir__guard *guard = &pool->guard;
    return guard->told[0] != connects(pool)->generation || guard->told[1] != queries(pool)->generation;
}

/* It is acted upon before the lock is left. */
static void look(weir_pool *pool) {
    if (is_news(pool)) weir__pool_touch(pool);
}

static void tick(weir_pool *pool, weir__breaker *breaker, int64_t now) {
    uint32_t round = breaker->round;
    weir__breaker_tick(breaker, now);
    if (breaker->round != round) weir__pool_touch(pool); /* half-open places have come free by themselves */
    look(pool);
}

static weir__breaker *make(weir_pool *pool, const char *name, uint64_t seed) {
    weir_breaker_options options = pool->config->options.circuit;
    int64_t now = weir__reactor_now(pool->reactor);
    options.name = name;
    weir__breaker *breaker = weir__breaker_new(&options, seed, now, NULL);
    if (breaker && !pool->config->options.circuit_breaker)
        weir__breaker_force(breaker, now, WEIR_BREAKER_DISABLED);
    return breaker;
}

static void due(weir__timer *timer) { weir__pool_touch(weir__container(timer, weir_pool, guard.timer)); }

bool weir__guard_open(weir_pool *pool, uint64_t seed) {
    weir__guard *guard = &pool->guard;
    weir__timer_init(&guard->timer, due);
    guard->connect.pool = guard->query.pool = pool;
    guard->connect.machine = make(pool, "connect", seed + 1);
    guard->query.machine = make(pool, "query", seed + 2);
    guard->probe_every = pool->config->options.circuit_probe_interval_ms * WEIR__MS;
    guard->asks_host = pool->config->options.circuit_hook;
    return guard->connect.machine && guard->query.machine;
}

void weir__guard_close(weir_pool *pool) {
    weir__breaker_free(pool->guard.connect.machine);
    weir__breaker_free(pool->guard.query.machine);
}

weir_breaker_state weir__guard_state(weir_pool *pool, weir_breaker_role role) {
    weir__breaker *breaker = weir__guard_of(pool, role);
    tick(pool, breaker, weir__reactor_now(pool->reactor));
    return breaker->state;
}

/* ---- what callers are told */

static int64_t retry_after_ms(const weir_pool *pool, const weir__breaker *breaker, int64_t now) {
    if (breaker->state == WEIR_BREAKER_FORCED_OPEN) return -1;
    int64_t next =
        breaker->state == WEIR_BREAKER_OPEN ? weir__pool_next_attempt(pool) : now + pool->guard.probe_every;
    if (breaker->state == WEIR_BREAKER_OPEN && breaker->until_ns < next) next = breaker->until_ns;
    int64_t left = (next - now + WEIR__MS - 1) / WEIR__MS;
    return left < 1 ? 1 : left;
}

/* Counts nothing: whether somebody is refused is also asked for many at once, and in vain. */
static int refuse(weir_pool *pool, weir__breaker *breaker, int64_t now, weir_error *error) {
    char message[500], detail[WEIR_BREAKER_FAILURE_SIZE];
    int code = weir__breaker_refusal(breaker, now, error);
    /* Callers' waits in vain open that of connecting, too, before any attempt has ended. */
    bool connecting = pool->failures || breaker == connects(pool);
    if (connecting && !weir__pool_live(pool) && breaker->state != WEIR_BREAKER_FORCED_OPEN)
        code = WEIR_ECONNECTCIRCUITOPEN;
    if (!error) return code;
    weir_error told = *error;
    told.code = code;
    snprintf(message, sizeof message, "pool %s: %s", weir_pool_name(pool), error->message);
    told.message = message;
    told.retry_after_ms = retry_after_ms(pool, breaker, now);
    if (pool->failures) {
        weir__breaker_describe(&pool->last_error, detail, sizeof detail);
        told.detail = detail;
    }
    if (code == WEIR_ECONNECTCIRCUITOPEN && pool->failures) {
        memcpy(told.sqlstate, pool->last_error.sqlstate, sizeof told.sqlstate);
        told.retryable = pool->last_error.retryable;
    }
    return weir__error_copy(error, &told);
}

static void count_refused(weir_pool *pool, weir__breaker *breaker, int64_t now) {
    pool->stats->circuit_refused++;
    weir__breaker_refused(breaker, now);
}

void weir__guard_refused(weir_pool *pool, const weir_error *why) {
    weir__breaker *breaker = weir__breaker_shut(queries(pool)) ? queries(pool) : connects(pool);
    if (WEIR_IS_CIRCUIT_OPEN(why->code)) count_refused(pool, breaker, weir__reactor_now(pool->reactor));
}

int weir__guard_shut(weir_pool *pool, weir_breaker_role role, int64_t now, weir_error *error) {
    weir__breaker *breaker = weir__guard_of(pool, role);
    tick(pool, breaker, now);
    return weir__breaker_shut(breaker) ? refuse(pool, breaker, now, error) : WEIR_OK;
}

bool weir__guard_stale(const weir_pool *pool, int64_t now) {
    const weir__guard *guard = &pool->guard;
    if (pool->reactor->leader || !weir__pool_probing(pool)) return false;
    return now - guard->probe_at > guard->probe_every &&
           now - pool->reactor->dispatched_at > guard->probe_every;
}

/* Half-open: loans in which nothing has been run yet keep nobody out. Their first statements are let in all
 * the same, as those of a loan. */
static void free_unused_places(weir_pool *pool, int64_t now) {
    const weir__breaker *breaker = queries(pool);
    for (size_t i = 0; i < pool->slot_count; i++) {
        weir_permit *entry = &pool->slots[i]->entry;
        bool unused = entry->generation == breaker->generation && !entry->probe;
        if (unused && now - entry->started_ns >= pool->guard.probe_every)
            weir__guard_cancel(pool, entry, now);
    }
}

int weir__guard_ask(weir_pool *pool, int64_t now, weir_error *error) {
    weir__breaker *breaker = queries(pool);
    tick(pool, breaker, now);
    if (breaker->state == WEIR_BREAKER_HALF_OPEN && !weir__breaker_admits(breaker, now))
        free_unused_places(pool, now);
    if (pool->waiting && breaker->state == WEIR_BREAKER_HALF_OPEN)
        weir__pool_touch(pool); /* … while it was */
    if (weir__breaker_admits(breaker, now)) return WEIR_OK;
    if (breaker->state == WEIR_BREAKER_OPEN && weir__guard_stale(pool, now)) return WEIR_PENDING;
    count_refused(pool, breaker, now);
    return refuse(pool, breaker, now, error);
}

int64_t weir__guard_patience(weir_pool *pool, int64_t now, int64_t deadline) {
    int64_t soon = now + pool->guard.probe_every;
    bool shut =
        weir__breaker_shut(queries(pool)) || (weir__breaker_shut(connects(pool)) && !weir__pool_live(pool));
    return shut && soon < deadline ? soon : deadline;
}

void weir__guard_watch(weir_pool *pool) {
    int64_t at = weir__breaker_due(connects(pool)), other = weir__breaker_due(queries(pool));
    if (other < at) at = other;
    if (pool->waiting && at != WEIR__NEVER) weir__reactor_start(pool->reactor, &pool->guard.timer, at);
}

/* ---- permits */

void weir__guard_grant(weir_pool *pool, weir_permit *permit, int64_t now) {
    weir__breaker_acquire(queries(pool), now, permit, NULL);
}

int weir__guard_enter(weir__slot *slot, bool begins, weir_permit *permit, int64_t now, weir_error *error) {
    weir_pool *pool = slot->pool;
    weir__breaker *breaker = queries(pool);
    *permit = (weir_permit){0};
    if (slot->state == WEIR__PREPARING) return WEIR_OK; /* the host's init */
    tick(pool, breaker, now);
    if (slot->entry.generation == breaker->generation) {
        *permit = slot->entry;
        permit->started_ns = now;
        slot->entry = (weir_permit){0};
        return WEIR_OK;
    }
    if (begins && weir__breaker_shut(breaker)) {
        count_refused(pool, breaker, now);
        return refuse(pool, breaker, now, error);
    }
    if (weir__breaker_shut(breaker) || breaker->state == WEIR_BREAKER_HALF_OPEN)
        weir__breaker_probe(breaker, now, permit, NULL); /* forced open it gives none */
    else
        weir__breaker_acquire(breaker, now, permit, NULL);
    return WEIR_OK;
}

/* A permit has been used up. */
static void look_for_places(weir_pool *pool) {
    look(pool);
    if (pool->waiting && queries(pool)->state == WEIR_BREAKER_HALF_OPEN) weir__pool_touch(pool);
}

static void record(weir_pool *pool, weir_permit *permit, weir_verdict verdict, int64_t took,
                   const weir_error *why, int64_t now) {
    weir__breaker *breaker = queries(pool);
    weir__breaker_record(breaker, now, permit, weir__breaker_classify(breaker, why, verdict), took, why);
    look_for_places(pool);
}

void weir__guard_end(weir_pool *pool, weir_permit *permit, const weir_error *why, int64_t now) {
    if (permit->generation) record(pool, permit, WEIR_VERDICT_NONE, -1, why, now);
}

void weir__guard_tell(weir_pool *pool, weir_permit *permit, const weir_error *why, weir_failure *failure,
                      int64_t now) {
    if (!pool->guard.asks_host || !why || !permit->generation) {
        weir__guard_end(pool, permit, why, now);
        return;
    }
    *failure = (weir_failure){pool, *permit, now - permit->started_ns};
    *permit = (weir_permit){0};
}

void weir__guard_judge(weir_failure *failure, const weir_error *why, weir_verdict verdict) {
    weir_pool *pool = failure->pool;
    if (!pool) return;
    failure->pool = NULL;
    record(pool, &failure->permit, verdict, failure->took_ns, why, weir__reactor_now(pool->reactor));
}

void weir__guard_cancel(weir_pool *pool, weir_permit *permit, int64_t now) {
    if (!permit->generation) return;
    weir__breaker_cancel(queries(pool), now, permit);
    look_for_places(pool);
}

bool weir__guard_blames(int64_t asked, int64_t since, int64_t now) { return 2 * (now - asked) > now - since; }

/* A caller's patience has come to its end before any attempt to connect had. */
void weir__guard_waited(weir_pool *pool, const weir_error *why, int64_t now) {
    weir__breaker *breaker = connects(pool);
    weir_permit permit = {0};
    bool pending = false;
    for (size_t i = 0; i < pool->slot_count && !pending; i++)
        pending = pool->slots[i]->trying && now - pool->slots[i]->tried_at >= pool->guard.probe_every;
    if (!pending || weir__pool_live(pool) || !weir__breaker_admits(breaker, now)) return;
    weir__breaker_acquire(breaker, now, &permit, NULL);
    weir_outcome outcome = weir__breaker_classify(breaker, why, WEIR_VERDICT_NONE);
    weir__breaker_record(breaker, now, &permit, outcome, -1, why);
    look(pool);
}

/* ---- attempts to connect */

bool weir__guard_attempt(weir_pool *pool, weir_permit *permit, int64_t now) {
    weir__breaker *breaker = connects(pool);
    tick(pool, breaker, now);
    bool probe = breaker->state == WEIR_BREAKER_OPEN ||
                 (breaker->state == WEIR_BREAKER_HALF_OPEN && weir__pool_probing(pool));
    *permit = (weir_permit){0};
    if (!probe && !weir__breaker_admits(breaker, now)) return false; /* put off, which is no refusal */
    return (probe ? weir__breaker_probe(breaker, now, permit, NULL)
                  : weir__breaker_acquire(breaker, now, permit, NULL)) == WEIR_OK;
}

void weir__guard_attempted(weir__slot *slot, weir_outcome outcome, const weir_error *why, int64_t now) {
    weir_pool *pool = slot->pool;
    weir__breaker *breaker = connects(pool);
    weir_permit *permit = &slot->attempt;
    if (!permit->generation) return;
    weir__breaker_tick(breaker, now);
    bool late = permit->generation != breaker->generation;
    weir__breaker_record(breaker, now, permit, outcome, -1, why);
    if (late && outcome == WEIR_OUTCOME_SUCCESS && breaker->state == WEIR_BREAKER_OPEN) {
        weir__breaker_probe(breaker, now, permit,
                            NULL); /* begun before it opened, and a success all the same */
        weir__breaker_record(breaker, now, permit, outcome, -1, NULL);
    }
    weir__pool_touch(pool); /* another one may be let in */
}

/* ---- changes of state */

static void log_events(weir_pool *pool, const weir__breaker *breaker, uint64_t *after) {
    weir_breaker_event event;
    if (*after == atomic_load_explicit(&breaker->last_event, memory_order_relaxed)) return;
    while (weir__breaker_next_event(breaker, after, &event)) {
        if (event.kind != WEIR_BREAKER_EVENT_STATE) continue;
        bool opened = event.state == WEIR_BREAKER_OPEN || event.state == WEIR_BREAKER_FORCED_OPEN;
        weir__logf(&pool->reactor->log, opened ? WEIR_LOG_WARNING : WEIR_LOG_INFO,
                   "pool %s: the circuit breaker %s is %s (%s)%s%s", weir_pool_name(pool), breaker->name,
                   weir_breaker_state_name(event.state), weir_breaker_reason_name(event.reason),
                   opened && *breaker->last_failure ? ": " : "", opened ? breaker->last_failure : "");
    }
}

void weir__guard_heed(weir_pool *pool) {
    static const weir_breaker_role roles[] = {WEIR_BREAKER_CONNECTS, WEIR_BREAKER_QUERIES};
    weir__guard *guard = &pool->guard;
    int64_t now = weir__reactor_now(pool->reactor);
    bool changed = false;
    for (int i = 0; i < 2; i++) {
        weir__breaker *breaker = weir__guard_of(pool, roles[i]);
        weir__breaker_tick(breaker, now);
        changed |= guard->told[i] != breaker->generation;
        guard->told[i] = breaker->generation;
        log_events(pool, breaker, &guard->logged[i]);
    }
    if (changed) weir__health_touch(pool);
    if (!changed || !pool->waiting) return;
    weir_error why = WEIR_ERROR_INIT;
    if (weir__guard_shut(pool, WEIR_BREAKER_QUERIES, now, &why) || weir__pool_down(pool, &why))
        weir__pool_refuse_waiters(pool, &why);
    weir_error_clear(&why);
}

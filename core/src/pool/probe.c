/*
 * The pool's own probe. In an outage, which begins when a connection is lost, an attempt to connect fails
 * because the server is not there, or the breaker for statements opens, attempts do not follow one another
 * but a beat: a lost packet, or a server that takes connections and says nothing, does not keep the next one
 * back. The first that is fit for use ends it; while a breaker is open that takes a statement, too.
 */
#include "base/error.h"
#include "pool/pool.h"

enum { OLDEST_KEPT = 2 }; /* a slow server needs an attempt that lasts, a lost packet a fresh one */

static weir_breaker_state state_of(const weir_pool *pool, weir_breaker_role role) {
    return weir__guard_of(pool, role)->state;
}

bool weir__pool_has_outage(const weir_pool *pool) {
    weir_breaker_state connects = state_of(pool, WEIR_BREAKER_CONNECTS);
    if (pool->closing || connects == WEIR_BREAKER_FORCED_OPEN) return false;
    if (state_of(pool, WEIR_BREAKER_QUERIES) == WEIR_BREAKER_OPEN) return true;
    if (connects == WEIR_BREAKER_DISABLED || weir__pool_live(pool)) return false;
    return connects == WEIR_BREAKER_OPEN || (pool->guard.outage && weir__pool_wants(pool));
}

int weir__pool_trying(const weir_pool *pool) {
    int count = 0;
    for (size_t i = 0; i < pool->slot_count; i++) count += pool->slots[i]->trying;
    return count;
}

/* Of those under way the one before which `older` were begun. */
static weir__slot *trying_at(const weir_pool *pool, int older) {
    for (size_t i = 0; i < pool->slot_count; i++) {
        weir__slot *slot = pool->slots[i];
        int before = 0;
        for (size_t j = 0; slot->trying && j < pool->slot_count; j++) {
            const weir__slot *other = pool->slots[j];
            if (!other->trying || other == slot) continue;
            before += other->tried_at < slot->tried_at || (other->tried_at == slot->tried_at && j < i);
        }
        if (slot->trying && before == older) return slot;
    }
    return NULL;
}

static void give_up(weir__slot *slot) {
    weir_error why = WEIR_ERROR_INIT;
    slot->pool->stats->connections_failed += !slot->established;
    weir__fail(&why, WEIR_ELOST, "pool %s: another attempt to connect has taken this one's place",
               weir_pool_name(slot->pool));
    weir__slot_close(slot, WEIR_ELOST, &why); /* an init may be running on it */
    weir_error_clear(&why);
}

/* Gives up what is more than so many. */
static void keep(weir_pool *pool, int most) {
    while (weir__pool_trying(pool) > most) give_up(trying_at(pool, OLDEST_KEPT));
}

/* The one that has been drained or reset for longest, and that nobody expects back soon. */
static weir__slot *hanging(const weir_pool *pool, int64_t now) {
    weir__slot *found = NULL;
    for (size_t i = 0; i < pool->slot_count; i++) {
        weir__slot *slot = pool->slots[i];
        if (slot->state != WEIR__DRAINING && slot->state != WEIR__RESETTING) continue;
        if (now - slot->cleaned_since < WEIR__COMING_FOR) continue;
        if (!found || slot->cleaned_since < found->cleaned_since) found = slot;
    }
    return found;
}

/* Asks an established connection whether the server answers. */
static void check(weir__slot *slot, int64_t now) {
    weir_pool *pool = slot->pool;
    weir__flight *flight = weir__flight_new(slot); /* the slot's own */
    int64_t since =
        pool->config->options.init_hook ? now : slot->tried_at; /* the init has a time of its own */
    flight->request.statement = weir_statement_ref(pool->health.query);
    flight->request.timeout_ms = pool->config->options.command_timeout_ms;
    flight->request.readonly = pool->config->options.readonly;
    flight->sent_at = now;
    slot->trying = true;
    weir__breaker_probe(weir__guard_of(pool, WEIR_BREAKER_QUERIES), now, &slot->entry, NULL);
    weir__slot_move(slot, WEIR__CHECKING);
    weir__reactor_start(pool->reactor, &slot->bound,
                        weir__deadline(since, pool->config->options.connect_timeout_ms));
    pool->driver->execute(slot->conn, &flight->request);
}

void weir__probe_beat(weir_pool *pool, int64_t now) {
    weir__guard *guard = &pool->guard;
    int64_t every = guard->denied ? pool->config->options.retry_max_ms * WEIR__MS : guard->probe_every;
    guard->probe_at = now + every - weir__random_below(&pool->rng, every / 5);
}

/* One more attempt, wherever there is a place for it. */
static void launch(weir_pool *pool, int64_t now) {
    weir_permit permit;
    keep(pool, WEIR_PROBES - 1);
    if (weir__pool_room(pool) > 0 && weir__guard_attempt(pool, &permit, now)) {
        pool->stats->probes_started++;
        weir__pool_connect(pool, &permit, now);
        return;
    }
    weir__slot *slot = weir__pool_any_idle(pool, now);
    if (slot) {
        pool->stats->probes_started++;
        slot->tried_at = now;
        check(slot, now);
        return;
    }
    slot = hanging(pool, now);
    if (slot) weir__slot_close(slot, WEIR_ELOST, NULL); /* nobody's; its place is free when it is closed */
    if (slot || pool->counts[WEIR__CLOSING] || pool->counts[WEIR__DRAINING] || pool->counts[WEIR__RESETTING])
        pool->guard.probe_at = now + WEIR__COMING_FOR;
}

void weir__pool_probe(weir_pool *pool, int64_t now) {
    keep(pool, WEIR_PROBES); /* there may be more of them from before the outage */
    if (now >= pool->guard.probe_at) {
        weir__probe_beat(pool, now);
        launch(pool, now);
    }
    weir__reactor_start(pool->reactor, &pool->retry, pool->guard.probe_at);
}

/* ---- how they end */

bool weir__slot_check_failed(weir__slot *slot, const weir__request *request) {
    const weir__breaker *breaker = weir__guard_of(slot->pool, WEIR_BREAKER_QUERIES);
    if (!slot->trying) return weir__health_answered(slot, request, weir__reactor_now(slot->pool->reactor));
    if (request->code == WEIR_OK) return false;
    weir_outcome outcome = weir__breaker_classify(breaker, request->error, WEIR_VERDICT_NONE);
    if (outcome == WEIR_OUTCOME_SUCCESS) return false; /* an answer */
    weir__error_copy(&slot->lost, request->error);
    return true;
}

/* The others were begun when nothing was known; one that hangs would be counted on. */
static void end_others(weir__slot *winner) {
    weir_pool *pool = winner->pool;
    for (size_t i = 0; i < pool->slot_count; i++)
        if (pool->slots[i]->state == WEIR__CONNECTING && pool->slots[i] != winner) give_up(pool->slots[i]);
}

bool weir__slot_prove(weir__slot *slot, int64_t now) {
    weir_pool *pool = slot->pool;
    bool shut = state_of(pool, WEIR_BREAKER_CONNECTS) == WEIR_BREAKER_OPEN ||
                state_of(pool, WEIR_BREAKER_QUERIES) == WEIR_BREAKER_OPEN;
    if (shut && slot->state != WEIR__CHECKING) {
        check(slot, now);
        return false;
    }
    slot->trying = false;
    if (shut || pool->guard.outage) end_others(slot);
    weir__guard_attempted(slot, WEIR_OUTCOME_SUCCESS, NULL, now);
    weir__guard_end(pool, &slot->entry, NULL, now);
    weir__pool_recovered(pool);
    weir__health_proven(slot);
    return true;
}

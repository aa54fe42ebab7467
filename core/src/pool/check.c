/* What must hold whenever the lock is free; for the simulation and the tests. */
#include "pool/pool.h"

static const char *check_counts(const weir_pool *pool) {
    int counts[WEIR__SLOT_STATES] = {0}, idle = 0, waiting = 0;
    for (size_t i = 0; i < pool->slot_count; i++) counts[pool->slots[i]->state]++;
    for (int s = 0; s < WEIR__SLOT_STATES; s++)
        if (counts[s] != pool->counts[s]) return "a state's count is not the number of slots in it";
    for (const weir__link *l = pool->idle.next; l != &pool->idle; l = l->next) idle++;
    if (idle != pool->counts[WEIR__IDLE]) return "the idle list is not the idle slots";
    int shared = 0, slow = 0, claimed = 0, lane = 0;
    for (const weir__link *l = pool->lane.next; l != &pool->lane; l = l->next) lane++;
    if (lane != pool->share.lane_count) return "the number in the lane is not its length";
    for (const weir__link *l = pool->waiters.next; l != &pool->waiters; l = l->next) waiting++;
    waiting += lane;
    for (size_t i = 0; i < pool->slot_count; i++) {
        shared += pool->slots[i]->shared;
        slow += pool->slots[i]->shared && pool->slots[i]->slow;
        claimed += pool->slots[i]->claimed;
    }
    if (shared != pool->share.count || slow != pool->share.slow || claimed != pool->share.claimed)
        return "the number of shared, slow or claimed connections is wrong";
    if (waiting != pool->waiting) return "the number of waiters is not the length of the queue";
    return NULL;
}

static const char *check_slot(const weir__slot *slot) {
    bool lent = slot->state == WEIR__LENT || slot->state == WEIR__PREPARING;
    if ((slot->loan != 0) != lent) return "a loan without a lent slot, or the reverse";
    if (slot->lingering >= 0 && slot->state != WEIR__CLOSING) return "a socket is waited for without need";
    if ((slot->conn != NULL) != (slot->state != WEIR__EMPTY) && slot->lingering < 0)
        return "a connection without a slot, or the reverse";
    int flying = 0, live = 0;
    int64_t load = 0;
    if (!weir__list_empty(&slot->landed)) return "an answer that has come is given to nobody";
    for (const weir__link *l = slot->flights.next; l != &slot->flights; l = l->next) {
        const weir__flight *flight = weir__container(l, weir__flight, link);
        flying++;
        live += flight->task != NULL;
        load += flight->expected;
        if (flight->task && flight->task->flight != flight) return "a task does not know where it runs";
    }
    if (flying != slot->flying || live != slot->live) return "a count of flights is wrong";
    if (slot->shared && load != slot->load) return "a load is not the sum of what flies";
    if (slot->shared && (slot->state != WEIR__RUNNING || !slot->live)) return "a shared slot does nothing";
    if (slot->flying && (slot->state == WEIR__IDLE || slot->state == WEIR__EMPTY))
        return "an idle slot works";
    if (slot->live && slot->state != WEIR__RUNNING && !lent) return "a task on a slot that nobody holds";
    if (slot->state == WEIR__RUNNING && !slot->live) return "a running slot without a task";
    if (slot->live > 1 && !slot->shared && !slot->pipelining) return "two tasks on a slot that is not shared";
    bool queue = !weir__list_empty(&slot->queue);
    if (queue && !(lent && slot->flying && (slot->pipelining || !slot->live)))
        return "a task waits for nothing";
    if (queue && weir__slot_takes_more(slot)) return "a task waits that could run";
    return NULL;
}

/* As weir__guard_serves, without looking at the clock. */
static bool serves(const weir_pool *pool) {
    const weir__breaker *query = pool->guard.query.machine;
    if (query->state == WEIR_BREAKER_HALF_OPEN) return query->inside < query->limit;
    return !weir__breaker_shut(query);
}

/* Whether a further attempt to connect would be let in. */
static bool attempts(const weir_pool *pool) {
    const weir__breaker *connect = pool->guard.connect.machine;
    return connect->state != WEIR_BREAKER_HALF_OPEN || connect->inside < connect->limit;
}

/* No idle connection may be lent before it is asked, and one is. */
static bool is_being_asked(const weir_pool *pool) {
    int64_t now = weir__reactor_now(pool->reactor);
    for (const weir__link *l = pool->idle.next; l != &pool->idle; l = l->next) {
        const weir__slot *slot = weir__container(l, weir__slot, link);
        if (now - slot->idle_since <= pool->health.look_after || weir__health_vouches(slot, now))
            return false;
    }
    return weir__health_checking(pool);
}

static const char *check_guard(const weir_pool *pool) {
    int trying = 0;
    for (size_t i = 0; i < pool->slot_count; i++) {
        const weir__slot *slot = pool->slots[i];
        bool may_try = slot->state == WEIR__CONNECTING || slot->state == WEIR__PREPARING ||
                       slot->state == WEIR__CHECKING || slot->state == WEIR__RESETTING;
        trying += slot->trying;
        if (slot->trying && !may_try) return "an attempt that has ended goes on";
        if (slot->attempt.generation && !slot->trying) return "a permit to connect is left over";
        if (slot->entry.generation && slot->state != WEIR__LENT && slot->state != WEIR__CHECKING)
            return "a loan's permit is left over";
    }
    if (weir__pool_probing(pool) && trying > WEIR_PROBES) return "too many probes are under way";
    return NULL;
}

/* Statements that have been sent, and not counted by their end. */
static uint64_t queries_running(const weir_pool *pool) {
    uint64_t count = 0;
    for (const weir__link *l = pool->lane.next; l != &pool->lane; l = l->next)
        count += weir__container(l, weir__task, op.link)->moved;
    for (size_t i = 0; i < pool->slot_count; i++) {
        const weir__slot *slot = pool->slots[i];
        for (const weir__link *l = slot->flights.next; l != &slot->flights; l = l->next) {
            const weir__flight *flight = weir__container(l, weir__flight, link);
            bool wanted = flight->task || flight->stream || flight == slot->copy.flight;
            count += flight->request.statement && wanted;
        }
    }
    return count;
}

static const char *check_queries(const weir_pool *pool) {
    const weir__cells *stats = pool->stats;
    uint64_t failed = stats->queries_failed + stats->queries_timed_out, of_kinds = 0;
    uint64_t told = stats->queries_succeeded + failed;
    for (unsigned kind = 0; kind < WEIR__FAILURES; kind++)
        for (size_t n = 0; n < WEIR_HISTOGRAM_BUCKETS; n++) of_kinds += stats->failures[kind].buckets[n];
    if (stats->query.count != told) return "a statement that has ended is not in the durations";
    if (stats->query_failed.count != failed || of_kinds != failed)
        return "a statement that has failed is not in the durations of those";
    if (!pool->shared && stats->queries_started != told + stats->queries_cancelled + queries_running(pool))
        return "a statement is not accounted for";
    return NULL;
}

const char *weir__pool_check(const weir_pool *pool) {
    const char *why = check_counts(pool);
    if (!why) why = check_queries(pool);
    for (size_t i = 0; !why && i < pool->slot_count; i++) why = check_slot(pool->slots[i]);
    if (why) return why;
    uint64_t ended = pool->stats->checkouts_granted + pool->stats->checkouts_timed_out +
                     pool->stats->checkouts_cancelled + pool->stats->checkouts_refused;
    if (pool->stats->checkouts_started != ended + (uint64_t)pool->waiting)
        return "a checkout is not accounted for";
    const char *fault = check_guard(pool);
    if (fault) return fault;
    if (pool->waiting && pool->counts[WEIR__IDLE] && serves(pool) && !is_being_asked(pool) &&
        !weir__adapt_full(pool) && !pool->ceiling.guest)
        return "somebody waits while a connection is idle";
    const int *n = pool->counts;
    int coming = weir__pool_coming(pool, weir__reactor_now(pool->reactor)) + n[WEIR__CLOSING];
    int room = weir__pool_room(pool);
    bool tried = weir__pool_trying(pool) || n[WEIR__PREPARING];
    bool kept_back = pool->failures || pool->guard.outage || !attempts(pool);
    bool later = weir__timer_running(&pool->retry) || (tried && kept_back) ||
                 pool->guard.connect.machine->state == WEIR_BREAKER_FORCED_OPEN;
    if (weir__pool_demand(pool) > coming && room > 0 && !later)
        return "somebody waits, and nothing is on its way";
    if (pool->closing && (pool->waiting || pool->counts[WEIR__IDLE]))
        return "a closing pool has waiters or idle connections";
    int there = weir__pool_total(pool) - pool->counts[WEIR__CLOSING];
    if (!pool->closing && !pool->failures && there < pool->min_size && room > 0 && !n[WEIR__CLOSING] &&
        !later)
        return "the floor is not kept";
    return NULL;
}

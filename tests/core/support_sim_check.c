/* The simulation: what must hold after each step. */
#include "support_sim_state.h"

static void check_line(void) {
    long previous = 0, first = 0;
    for (weir__link *l = rig.pool->waiters.next; l != &rig.pool->waiters; l = l->next) {
        weir__op *op = weir__container(l, weir__op, link);
        sim_ask *a = op->completion.token;
        for (int i = 0; !a && i < SIM_ASKS; i++)
            if (sim.asks[i].pending && sim.asks[i].op == op->completion.op) a = &sim.asks[i];
        if (!a) {
            sim_fault("a stranger is in line");
            return;
        }
        if (a->turn <= previous) sim_fault("the line is out of order");
        previous = a->turn;
        if (!first) first = a->turn;
    }
    if (rig.pool->stats->overloads) return;
    for (int i = 0; first && i < SIM_ASKS; i++) { /* nobody who runs has overtaken somebody who waits */
        sim_ask *a = &sim.asks[i];
        if (!a->pending || a->turn <= first || a->holder >= 0 || a->shares) continue;
        weir__op *op = weir__op_find(rig.reactor, a->op);
        if (op && op->state == WEIR__OP_PENDING && ((weir__task *)op)->slot)
            sim_fault("a statement has overtaken a waiter");
    }
}

static void check_numbers(void) {
    const weir_pool *pool = rig.pool;
    uint64_t out = (uint64_t)pool->counts[WEIR__LENT] + (uint64_t)pool->counts[WEIR__RUNNING];
    for (size_t i = 0; i < pool->slot_count; i++)
        if (pool->slots[i]->shared) out += (uint64_t)pool->slots[i]->live - 1;
    if (pool->stats->checkouts_granted != pool->stats->returned + out)
        sim_fault("grants are not returns and loans");
    if (pool->stats->wait.count != pool->stats->checkouts_granted) sim_fault("a wait was not measured");
    if (pool->stats->use.count != pool->stats->returned) sim_fault("a use was not measured");
    if (pool->stats->connections_created < pool->stats->connections_closed)
        sim_fault("more closed than created");
}

/* What the holder has open the server has open: nobody here begins or commits behind the pool's back. */
static void check_transactions(void) {
    for (size_t i = 0; i < rig.pool->slot_count; i++) {
        const weir__slot *slot = rig.pool->slots[i];
        if (!slot->loan || slot->flying || slot->news) continue;
        bool open = slot->conn->tx != WEIR__TX_NONE;
        if (slot->sent && !open) sim_fault("a transaction that was begun is not open");
        bool wild = weir__fake.before_fail_permille > 0; /* the script may make a ROLLBACK fail */
        if (!slot->sent && open && !wild) sim_fault("a transaction has been left open");
        if (weir__levels_alive(slot) > slot->depth) sim_fault("more transactions begun than wanted");
    }
}

const weir__breaker *sim_queries(void) { return weir__guard_of(rig.pool, WEIR_BREAKER_QUERIES); }

static uint64_t running(const weir__breaker *breaker) {
    const weir__breaker_totals *n = &breaker->totals;
    return n->calls_permitted - n->calls_succeeded - n->calls_failed - n->calls_ignored - n->calls_cancelled -
           n->calls_late;
}

static bool holds(const weir_permit *permit) { return permit->generation && !permit->probe; }

/* Failures that are to be judged by who takes their completions. */
static uint64_t unjudged(void) {
    uint64_t count = 0;
    for (int i = 0; i < SIM_ASKS; i++) {
        const weir__op *op = sim.asks[i].pending ? weir__op_find(rig.reactor, sim.asks[i].op) : NULL;
        const weir_failure *failure = op && op->state == WEIR__OP_DONE ? &op->completion.failure : NULL;
        count += failure && failure->pool && holds(&failure->permit);
    }
    return count;
}

/* Each permit is somebody's, and while the breaker is open nobody gets one. */
static void check_breakers(void) {
    const weir__breaker *query = sim_queries();
    uint64_t calls = unjudged(), attempts = 0, granted = rig.pool->stats->checkouts_granted;
    for (size_t i = 0; i < rig.pool->slot_count; i++) {
        const weir__slot *slot = rig.pool->slots[i];
        attempts += holds(&slot->attempt);
        calls += holds(&slot->entry);
        for (const weir__link *l = slot->flights.next; l != &slot->flights; l = l->next) {
            const weir__task *task = weir__container(l, weir__flight, link)->task;
            calls += task && holds(&task->permit);
        }
        for (const weir__link *l = slot->queue.next; l != &slot->queue; l = l->next)
            calls += holds(&weir__container(l, weir__task, op.link)->permit);
    }
    if (running(query) != calls) sim_fault("a permit for a call has been lost, or is in two places");
    if (running(weir__guard_of(rig.pool, WEIR_BREAKER_CONNECTS)) != attempts)
        sim_fault("a permit to connect has been lost, or is in two places");
    if (sim.shut && sim.shut == query->generation && granted != sim.granted)
        sim_fault("a call was let in while the breaker was open");
    sim.shut = weir__breaker_shut(query) ? query->generation : 0;
    sim.granted = granted;
}

/* The pool knows each connection of the driver's, and no other: one that is forgotten is the database's loss.
 */
static void check_connections(void) {
    size_t held = 0;
    for (size_t i = 0; i < rig.pool->slot_count; i++) held += rig.pool->slots[i]->conn != NULL;
    if (held != weir__fake.live_count)
        sim_fault("the driver has %zu connections, and the pool %zu", weir__fake.live_count, held);
}

void sim_check(void) {
    if (sim_failed() || !rig.pool) return;
    const char *why = rig_fault();
    if (why) sim_fault("%s", why);
    check_connections();
    check_line();
    check_numbers();
    check_transactions();
    check_breakers();
    sim.report->limited += rig.pool->waiting && rig.pool->counts[WEIR__IDLE];
    int limit = rig.pool->max_size + rig.pool->config->options.max_overflow;
    int most = limit > sim.limit ? limit : sim.limit;
    if (weir__fake.created != sim.created && weir__pool_total(rig.pool) > most)
        sim_fault("%d connections, and at most %d are allowed", weir__pool_total(rig.pool), most);
    sim.created = weir__fake.created;
    sim.limit = limit;
    for (int i = 0; i < SIM_ASKS; i++)
        if (sim.asks[i].pending && !weir__op_find(rig.reactor, sim.asks[i].op))
            sim_fault("an operation has vanished");
}

/* Slots: the table of legal moves, and the end of connections and loans. */
#include "pool/leak.h"

#include "base/alloc.h"
#include "base/error.h"

atomic_long weir__slot_faults;

#define TO(state) (1u << WEIR__##state)
static const unsigned legal[WEIR__SLOT_STATES] = {
    [WEIR__EMPTY] = TO(CONNECTING),
    [WEIR__CONNECTING] = TO(PREPARING) | TO(CHECKING) | TO(IDLE) | TO(CLOSING),
    [WEIR__PREPARING] = TO(DRAINING) | TO(RESETTING) | TO(CHECKING) | TO(IDLE) | TO(CLOSING),
    [WEIR__CHECKING] = TO(IDLE) | TO(CLOSING),
    [WEIR__IDLE] = TO(LENT) | TO(RUNNING) | TO(CHECKING) | TO(CLOSING),
    [WEIR__LENT] = TO(DRAINING) | TO(RESETTING) | TO(IDLE) | TO(CLOSING),
    [WEIR__RUNNING] = TO(DRAINING) | TO(RESETTING) | TO(IDLE) | TO(CLOSING),
    [WEIR__DRAINING] = TO(RESETTING) | TO(IDLE) | TO(CLOSING),
    [WEIR__RESETTING] = TO(PREPARING) | TO(CHECKING) | TO(IDLE) | TO(CLOSING),
    [WEIR__CLOSING] = TO(EMPTY),
};

const char *weir__slot_state_name(weir__slot_state state) {
    static const char *const names[WEIR__SLOT_STATES] = {"empty",     "connecting", "preparing", "checking",
                                                         "idle",      "lent",       "running",   "draining",
                                                         "resetting", "closing"};
    return names[state];
}

void weir__slot_move(weir__slot *slot, weir__slot_state to) {
    weir_pool *pool = slot->pool;
    if (!(legal[slot->state] & (1u << to))) {
        atomic_fetch_add(&weir__slot_faults, 1);
        weir__logf(&pool->reactor->log, WEIR_LOG_ERROR, "pool %s: a connection went from %s to %s",
                   weir_pool_name(pool), weir__slot_state_name(slot->state), weir__slot_state_name(to));
    }
    if (to == WEIR__DRAINING || to == WEIR__RESETTING) {
        if (slot->state != WEIR__DRAINING) slot->cleaned_since = weir__reactor_now(pool->reactor);
        if (pool->waiting) weir__pool_touch(pool); /* somebody may not want to wait for it */
    }
    pool->counts[slot->state]--;
    pool->counts[to]++;
    if (slot->state == WEIR__IDLE) weir__list_remove(&slot->link);
    slot->state = to;
    if (to != WEIR__IDLE) return;
    if (pool->config->options.lifo)
        weir__list_push_front(&pool->idle, &slot->link);
    else
        weir__list_push_back(&pool->idle, &slot->link);
}

static void slot_ready_fd(weir__watch *watch, unsigned events) {
    weir__slot *slot = weir__container(watch, weir__slot, watch);
    if (slot->lingering >= 0) {
        weir__slot_linger_end(slot);
        return;
    }
    slot->pool->driver->ready(slot->conn, weir__poll_ready(events));
}

static void slot_tick(weir__timer *timer) {
    weir__slot *slot = weir__container(timer, weir__slot, tick);
    slot->pool->driver->tick(slot->conn);
    weir__pool_settle(&slot->pool->settle); /* before another timer acts upon what is over already */
}

static void bury(weir__grave *grave) {
    weir__slot *slot = weir__container(grave, weir__slot, grave);
    weir_pool *pool = slot->pool;
    if (pool->ceiling.lingers && pool->driver->leave)
        slot->lingering = pool->driver->leave(slot->conn);
    else
        pool->driver->free(slot->conn);
}

void weir__slot_emptied(weir__slot *slot) {
    slot->pool->stats->connections_closed += slot->established;
    slot->pool->stats->connections_recycled += slot->established && slot->recycled;
    weir__slot_move(slot, WEIR__EMPTY);
    weir__pool_touch(slot->pool);
}

static void buried(weir__grave *grave) {
    weir__slot *slot = weir__container(grave, weir__slot, grave);
    slot->conn = NULL;
    weir__flights_free(slot);
    if (!weir__slot_linger(slot)) weir__slot_emptied(slot);
}

weir__slot *weir__slot_new(weir_pool *pool, uint32_t index) {
    weir__slot *slot = weir__calloc(1, sizeof *slot);
    if (!slot) return NULL;
    slot->pool = pool;
    slot->dead = WEIR__NONE_DEAD;
    slot->session_until = slot->setup_until = WEIR__NEVER;
    slot->index = index;
    slot->lingering = -1;
    weir__list_init(&slot->news_link);
    weir__list_init(&slot->link);
    weir__list_init(&slot->flights);
    weir__list_init(&slot->landed);
    weir__list_init(&slot->own.link);
    weir__list_init(&slot->streams);
    weir__list_init(&slot->shared_link);
    weir__list_init(&slot->held.link);
    weir__list_init(&slot->queue);
    slot->held.flush = weir__slot_flush;
    weir__timer_init(&slot->overrun, weir__share_overrun);
    slot->watch.ready = slot_ready_fd;
    weir__timer_init(&slot->tick, slot_tick);
    weir__timer_init(&slot->bound, weir__slot_bound_fired);
    weir__timer_init(&slot->copy.timer, weir__copy_expired);
    weir__timer_init(&slot->session_timer, weir__session_expired);
    weir__list_init(&slot->grave.link);
    slot->grave.bury = bury;
    slot->grave.buried = buried;
    slot->lost = (weir_error)WEIR_ERROR_INIT;
    return slot;
}

void weir__slot_free(weir__slot *slot) {
    if (!slot) return;
    weir_error_clear(&slot->lost);
    weir__free(slot->stack);
    weir__free(slot);
}

void weir__slot_end_use(weir__slot *slot, int64_t now) {
    if (!slot->in_use) return;
    slot->in_use = false;
    slot->pool->stats->returned++;
    weir__histogram_record(&slot->pool->stats->use, now - slot->lent_at);
}

void weir__slot_end_loan(weir__slot *slot, int code, int64_t now) {
    weir_pool *pool = slot->pool;
    if (!slot->loan) return;
    weir__streams_end(slot, code);
    weir__timer_stop(&pool->reactor->wheel, &slot->session_timer);
    weir__session_tell(slot, code);
    weir__slot_end_use(slot, now);
    weir__leak_end(slot, now);
    weir__copy_forget(slot, code);
    if (code != WEIR_ESTALE) {
        slot->last_loan = slot->loan;
        slot->ended_code = code;
        slot->ended_lasting = slot->lasting;
    }
    if (slot->entry.generation) weir__guard_cancel(pool, &slot->entry, now); /* no statement has taken it */
    weir__owner_add(pool, slot->owner, -1);
    slot->owner = 0;
    slot->loan = 0;
    slot->transaction = slot->broken_off = slot->pipelining = slot->halted = slot->call = false;
    slot->lasting = false;
    slot->session_until = slot->setup_until = WEIR__NEVER;
    slot->depth = slot->sent = 0;
    slot->dead = WEIR__NONE_DEAD;
}

/* What runs for a stream, or for a COPY between two of its steps, has no task. */
static void count_without_task(const weir__slot *slot, const weir_error *why, int64_t now) {
    const weir__link *const lists[] = {&slot->landed, &slot->flights};
    for (int i = 0; i < 2; i++)
        for (const weir__link *link = lists[i]->next; link != lists[i]; link = link->next) {
            const weir__flight *flight = weir__container(link, weir__flight, link);
            if (flight->task || (!flight->stream && flight != slot->copy.flight)) continue;
            if (!flight->stream || !weir__stream_counts(flight, now))
                weir__query_ended(flight, why->code, why, now);
        }
}

void weir__slot_fail_tasks(weir__slot *slot, const weir_error *why) {
    int64_t now = weir__reactor_now(slot->pool->reactor);
    bool ended =
        why && why->code != WEIR_ELOST; /* by the pool: of a loss the driver tells what is in doubt */
    if (why) count_without_task(slot, why, now);
    for (weir__flight *flight; (flight = weir__slot_live(slot));) {
        bool doubtful = ended && weir__flight_doubtful(flight);
        weir__task_give_up(weir__flight_detach(flight, now), flight, why, doubtful);
    }
    for (weir__link *link; (link = weir__list_pop_front(&slot->queue));)
        weir__task_fail(weir__container(link, weir__task, op.link), why);
}

void weir__slot_close(weir__slot *slot, int code, const weir_error *why) {
    weir_pool *pool = slot->pool;
    if (slot->state == WEIR__CLOSING || slot->state == WEIR__EMPTY) return;
    weir__slot_fail_tasks(slot, why);
    int64_t now = weir__reactor_now(pool->reactor);
    if (slot->state == WEIR__PREPARING) weir__reactor_drop_event(pool->reactor, weir__slot_session(slot));
    weir__slot_end_use(slot, now);
    weir__slot_end_loan(slot, code, now);
    weir__share_end(slot);
    weir__list_remove(&slot->held.link);
    weir__timer_stop(&pool->reactor->wheel, &slot->bound);
    weir__timer_stop(&pool->reactor->wheel, &slot->tick);
    slot->cancelled = slot->trying = false;
    slot->recycled = !slot->dying && (slot->expires_at <= now || slot->generation != pool->generation);
    weir__breaker_cancel(weir__guard_of(pool, WEIR_BREAKER_CONNECTS), now, &slot->attempt);
    weir__guard_cancel(pool, &slot->entry, now);
    weir__slot_move(slot, WEIR__CLOSING);
    pool->driver->stop(slot->conn);
    weir__pool_touch(pool);
}

int weir__pool_total(const weir_pool *pool) { return (int)pool->slot_count - pool->counts[WEIR__EMPTY]; }

int weir__pool_live(const weir_pool *pool) {
    return weir__pool_total(pool) - pool->counts[WEIR__CONNECTING] - pool->counts[WEIR__CLOSING];
}

/* A connection that is nobody's any more: drained, reset, then lent, kept or closed. */
#include "pool/pool.h"

#include "base/error.h"

static bool to_be_closed(const weir__slot *slot, int64_t now) {
    return slot->pool->closing || slot->discard || weir__slot_surplus(slot, now);
}

static void close_quietly(weir__slot *slot) { weir__slot_close(slot, WEIR_ESTALE, NULL); }

/* It is to be kept. */
static void become_idle(weir__slot *slot, int64_t now) {
    weir_pool *pool = slot->pool;
    weir__timer_stop(&pool->reactor->wheel, &slot->bound);
    bool checked = slot->state == WEIR__CHECKING && !slot->trying; /* for nobody: it goes on being unused */
    if (slot->trying && !weir__slot_prove(slot, now)) return;
    if (!checked) slot->idle_since = now;
    weir__slot_move(slot, WEIR__IDLE);
    if (checked) weir__health_replace(slot);
    if (pool->config->options.idle_timeout_ms > 0 && weir__pool_total(pool) > pool->min_size)
        weir__pool_arm_reaper(pool, weir__deadline(slot->idle_since, pool->config->options.idle_timeout_ms));
    if (pool->adapt.usual && weir__pool_total(pool) > weir__adapt_keeps(pool))
        weir__pool_arm_reaper(pool, slot->idle_since + WEIR__SURPLUS_FOR);
    if (pool->waiting || pool->opening) weir__pool_touch(pool);
}

void weir__slot_ready(weir__slot *slot, int64_t now) {
    if (to_be_closed(slot, now))
        close_quietly(slot);
    else
        become_idle(slot, now);
}

void weir__slot_release(weir__slot *slot, int64_t now) {
    weir_pool *pool = slot->pool;
    weir__slot_end_use(slot, now);
    if (slot->state == WEIR__PREPARING) {
        if (slot->discard || slot->flying) {
            weir__slot_init_failed(slot, WEIR_ECONNECT,
                                   slot->discard ? "failed" : "ended while a statement of it ran");
            return;
        }
        pool->driver->baseline(slot->conn);
        weir__health_baseline(slot);
    }
    weir__share_end(slot);
    if (slot->flying) { /* its answer is nobody's: wait for it, and hasten it, unless it is a COMMIT or its
                           kind */
        weir__flight *flight = weir__container(slot->flights.prev, weir__flight, link);
        weir__slot_move(slot, WEIR__DRAINING);
        weir__reactor_start(pool->reactor, &slot->bound, now + WEIR__CLEAN_BOUND);
        if (flight->request.statement) weir__slot_cancel(slot);
        return;
    }
    if (to_be_closed(slot, now)) {
        close_quietly(slot);
        return;
    }
    weir__reset how = slot->reset != WEIR__RESET_DEFAULT ? slot->reset : pool->config->reset;
    slot->reset = WEIR__RESET_DEFAULT;
    weir__flight *flight = weir__flight_new(slot); /* the slot's own */
    if (!pool->driver->reset(slot->conn, &flight->request, how)) {
        weir__flight_unused(flight);
        become_idle(slot, now);
        return;
    }
    weir__slot_move(slot, WEIR__RESETTING);
    weir__reactor_start(pool->reactor, &slot->bound, now + WEIR__CLEAN_BOUND);
}

bool weir__slot_reset_failed(const weir__slot *slot, const weir__request *request) {
    bool open = request->code == WEIR_OK && slot->conn->tx != WEIR__TX_NONE;
    if (request->code == WEIR_OK && !open) return false;
    const char *why = open                                        ? "the reset has left a transaction open"
                      : request->error && request->error->message ? request->error->message
                                                                  : weir_error_text(request->code);
    weir__logf(&slot->pool->reactor->log, request->code == WEIR_ELOST ? WEIR_LOG_INFO : WEIR_LOG_WARNING,
               "pool %s: a connection is replaced after its reset: %s", weir_pool_name(slot->pool), why);
    return true;
}

void weir__slot_bound_fired(weir__timer *timer) {
    weir__slot *slot = weir__container(timer, weir__slot, bound);
    weir_reactor *reactor = slot->pool->reactor;
    /* Nobody has looked for long: what seems late may only not have been noticed. */
    if (reactor->real_time && reactor->undriven > WEIR__UNDRIVEN) {
        weir__reactor_start(reactor, timer, weir__reactor_now(reactor) + WEIR__GRACE);
        return;
    }
    if (slot->lingering >= 0) {
        weir__slot_linger_overdue(slot);
        return;
    }
    if (slot->state == WEIR__CHECKING && !slot->trying) {
        weir__health_overdue(slot);
        return;
    }
    if (slot->state == WEIR__CONNECTING || slot->state == WEIR__CHECKING) {
        weir__connect_overdue(slot);
        return;
    }
    if (slot->state == WEIR__PREPARING && weir__reactor_has_event(reactor, weir__slot_session(slot))) {
        weir__reactor_start(
            reactor, timer, /* the host has not heard of it yet */
            weir__deadline(weir__reactor_now(reactor), slot->pool->config->options.connect_timeout_ms));
        return;
    }
    if (slot->state == WEIR__PREPARING) {
        weir__slot_init_failed(slot, WEIR_ECONNECTTIMEOUT, "took longer than connect_timeout");
        return;
    }
    weir_error why = WEIR_ERROR_INIT;
    weir__fail(&why, WEIR_ELOST, "pool %s: the server did not end a cancelled statement, or a reset, in time",
               weir_pool_name(slot->pool));
    if (slot->transaction && slot->lasting) why.retryable = false; /* for those who stand in line for it */
    weir__logf(&slot->pool->reactor->log, WEIR_LOG_WARNING, "%s",
               why.message ? why.message : "out of memory");
    weir__slot_close(slot, WEIR_ELOST, &why);
    weir_error_clear(&why);
}

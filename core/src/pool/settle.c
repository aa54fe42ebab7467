/* What the drivers have told is acted upon here, before the lock is left. */
#include "pool/pool.h"

static void check_failed(weir__slot *slot, int64_t now) {
    weir_error why = slot->lost;
    slot->lost = (weir_error)WEIR_ERROR_INIT;
    if (slot->trying)
        weir__slot_connect_failed(slot, &why);
    else
        weir__health_failed(slot, &why, now);
    weir_error_clear(&why);
}

/* Nothing flies any more: what the connection was busy with has ended; `failed`: it is unfit for use. */
static void requests_done(weir__slot *slot, weir__slot_state state, bool failed, int64_t now) {
    switch (state) {
    case WEIR__RUNNING:
    case WEIR__DRAINING:
        weir__slot_release(slot, now);
        break;
    case WEIR__RESETTING:
        if (failed) {
            weir_error why = WEIR_ERROR_INIT;
            why.code = WEIR_ELOST;
            weir__slot_close(slot, WEIR_ELOST, &why);
        } else if (slot->conn->wiped && !slot->pool->closing && slot->pool->config->options.init_hook) {
            weir__timer_stop(&slot->pool->reactor->wheel, &slot->bound);
            weir__slot_prepare(slot); /* what init had set up is gone, too */
        } else {
            weir__slot_ready(slot, now);
        }
        break;
    case WEIR__CHECKING:
        if (failed)
            check_failed(slot, now);
        else
            weir__slot_ready(slot, now);
        break;
    case WEIR__LENT:
    case WEIR__PREPARING:
        weir__slot_resume(slot, now);
        break;
    default:
        break; /* it was closed meanwhile */
    }
}

/* lost: the connection has gone with it and takes no more requests; it is closed next. */
static void settle_landed(weir__slot *slot, bool lost) {
    int64_t now = weir__reactor_now(slot->pool->reactor);
    weir__slot_state state = slot->state;
    bool failed = false;
    if (weir__list_empty(&slot->landed)) return;
    if (slot->shared) weir__share_landed(slot, now);
    slot->dying |= lost;
    for (weir__link *link; (link = weir__list_front(&slot->landed));) {
        weir__flight *flight = weir__container(link, weir__flight, link);
        if (state == WEIR__RESETTING && !lost) failed = weir__slot_reset_failed(slot, &flight->request);
        if (state == WEIR__CHECKING && !lost) failed = weir__slot_check_failed(slot, &flight->request);
        weir__flight_answer(flight, now);
    }
    if (lost) return;
    if (!slot->flying)
        requests_done(slot, state, failed, now);
    else if (state == WEIR__RUNNING && !slot->live)
        weir__slot_drain(slot, now); /* nobody waits for the rest */
    else
        weir__slot_run_queued(slot, now);
}

/* Its first attempt is made at once, also shortly after a success; it has been in use, so this ends. */
void weir__pool_begin_outage(weir_pool *pool) {
    weir__guard *guard = &pool->guard;
    if (guard->outage || weir__guard_of(pool, WEIR_BREAKER_CONNECTS)->state == WEIR_BREAKER_DISABLED) return;
    guard->outage = true;
    guard->probe_at = weir__reactor_now(pool->reactor);
}

static void connection_lost(weir__slot *slot) {
    weir_pool *pool = slot->pool;
    weir_error why = slot->lost;
    slot->lost = (weir_error)WEIR_ERROR_INIT;
    slot->dying = true;
    if (slot->state == WEIR__CONNECTING) {
        weir__slot_connect_failed(slot, &why);
    } else if (slot->state != WEIR__CLOSING && slot->state != WEIR__EMPTY) {
        weir__health_lost(pool);
        weir__logf(&pool->reactor->log, WEIR_LOG_WARNING, "pool %s: a connection was lost while %s: %s",
                   weir_pool_name(pool), weir__slot_state_name(slot->state),
                   why.message ? why.message : weir_error_text(why.code));
        /* A server that takes a connection and drops it at once is not to be called again without a pause. */
        bool unused = slot->state == WEIR__IDLE && !slot->lent_at &&
                      weir__reactor_now(pool->reactor) - slot->idle_since < WEIR__PROVEN_AFTER;
        if (slot->state == WEIR__PREPARING || (slot->state == WEIR__CHECKING && slot->trying) || unused) {
            weir__slot_connect_failed(slot, &why);
        } else {
            if (slot->transaction && slot->lasting) why.retryable = false;
            weir__pool_begin_outage(pool);
            if (slot->state == WEIR__CHECKING)
                weir__health_failed(slot, &why, weir__reactor_now(pool->reactor));
            else
                weir__slot_close(slot, WEIR_ELOST, &why);
        }
    }
    weir_error_clear(&why);
}

static void settle_news(weir_pool *pool) {
    for (weir__link *link; (link = weir__list_pop_front(&pool->news));) {
        weir__slot *slot = weir__container(link, weir__slot, news_link);
        unsigned news = slot->news;
        slot->news = 0;
        if (news & WEIR__NEWS_CONNECTED && slot->state == WEIR__CONNECTING) weir__slot_connected(slot);
        if (news & WEIR__NEWS_COPY) weir__copy_look(slot);
        if (news & WEIR__NEWS_DONE) settle_landed(slot, news & WEIR__NEWS_LOST);
        if (news & WEIR__NEWS_LOST) connection_lost(slot);
        if (news & WEIR__NEWS_DOWN) weir__bury(pool->reactor, &slot->grave);
    }
}

void weir__pool_settle(weir__deferred *deferred) {
    weir_pool *pool = weir__container(deferred, weir_pool, settle);
    do { /* a driver may answer at once what serving and growing ask of it */
        settle_news(pool);
        if (!weir__guard_quiet(pool)) weir__guard_heed(pool);
        weir__pool_serve(pool);
        weir__pool_grow(pool);
        weir__pool_check_drained(pool);
    } while (!weir__list_empty(&pool->news));
    pool->share.wish = false;
    if (!weir__guard_calm(pool)) weir__guard_watch(pool);
    weir__pool_check_open(pool);
    if (pool->health.look) weir__health_look(pool);
    weir__pool_check_closed(pool);
}

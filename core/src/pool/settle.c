/* What the drivers have told is acted upon here, before the lock is left. */
#include "pool/pool.h"

static void request_done(weir__slot *slot) {
    weir__slot_state state = slot->state;
    int64_t now = weir__reactor_now(slot->pool->reactor);
    bool failed_reset = state == WEIR__RESETTING && slot->request.code != WEIR_OK;
    weir__slot_answer(slot, now);
    switch (state) {
    case WEIR__RUNNING:
    case WEIR__DRAINING: weir__slot_release(slot, now); break;
    case WEIR__RESETTING:
        if (failed_reset) {
            weir_error why = WEIR_ERROR_INIT;
            why.code = WEIR_ELOST;
            weir__slot_close(slot, WEIR_ELOST, &why);
        } else {
            weir__slot_ready(slot, now);
        }
        break;
    case WEIR__LENT:
    case WEIR__PREPARING:
        weir__session_sync(slot);
        if (slot->next) {
            weir__task *next = slot->next;
            slot->next = NULL;
            weir__slot_run(slot, next, now);
        }
        break;
    default: break; /* it was closed meanwhile */
    }
}

static void connection_lost(weir__slot *slot) {
    weir_pool *pool = slot->pool;
    weir_error why = slot->lost;
    slot->lost = (weir_error)WEIR_ERROR_INIT;
    if (slot->state == WEIR__CONNECTING) {
        weir__slot_connect_failed(slot, &why);
    } else if (slot->state != WEIR__CLOSING && slot->state != WEIR__EMPTY) {
        pool->stats.connections_lost++;
        weir__logf(&pool->reactor->log, WEIR_LOG_WARNING, "pool %s: a connection was lost while %s: %s",
                   weir_pool_name(pool), weir__slot_state_name(slot->state),
                   why.message ? why.message : weir_error_text(why.code));
        weir__slot_close(slot, WEIR_ELOST, &why);
    }
    weir_error_clear(&why);
}

void weir__pool_settle(weir__deferred *deferred) {
    weir_pool *pool = weir__container(deferred, weir_pool, settle);
    for (weir__link *link; (link = weir__list_pop_front(&pool->news));) {
        weir__slot *slot = weir__container(link, weir__slot, news_link);
        unsigned news = slot->news;
        slot->news = 0;
        if (news & WEIR__NEWS_CONNECTED && slot->state == WEIR__CONNECTING) weir__slot_connected(slot);
        if (news & WEIR__NEWS_DONE && slot->busy) request_done(slot);
        if (news & WEIR__NEWS_LOST) connection_lost(slot);
        if (news & WEIR__NEWS_DOWN) weir__bury(pool->reactor, &slot->grave);
    }
    weir__pool_serve(pool);
    weir__pool_grow(pool);
    weir__pool_check_open(pool);
    weir__pool_check_closed(pool);
}

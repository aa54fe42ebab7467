/* Closing: nobody new, a grace for those who hold a connection, then the cut. Draining: those who wait for
 * one have the grace, too. */
#include "pool/extension.h"

#include "base/error.h"

static void closed_error(const weir_pool *pool, weir_error *error) {
    weir__fail(error, WEIR_ECLOSED, "pool %s: it is closed", weir_pool_name(pool));
}

const char *weir__pool_shut(const weir_pool *pool) {
    if (pool->draining && !(pool->closing && weir__pool_gone(pool)))
        return "it is draining: it ends what has begun, and takes nothing new";
    return pool->draining || pool->closing ? "it is closed" : NULL;
}

int weir__pool_check_shut(const weir_pool *pool, weir_error *error) {
    const char *why = weir__pool_shut(pool);
    return why ? weir__fail(error, WEIR_ECLOSED, "pool %s: %s", weir_pool_name(pool), why) : WEIR_OK;
}

static void close_slots(weir_pool *pool, unsigned states) {
    weir_error why = WEIR_ERROR_INIT;
    closed_error(pool, &why);
    for (size_t i = 0; i < pool->slot_count; i++)
        if (states & (1u << pool->slots[i]->state)) weir__slot_close(pool->slots[i], WEIR_ECLOSED, &why);
    weir_error_clear(&why);
}

static void name_holders(weir_pool *pool) {
    int64_t now = weir__reactor_now(pool->reactor);
    for (size_t i = 0; i < pool->slot_count; i++) {
        const weir__slot *slot = pool->slots[i];
        double age = (double)(now - slot->lent_at) / 1e9;
        char who[WEIR__SITE_TEXT];
        if (slot->state == WEIR__LENT)
            weir__logf(&pool->reactor->log, WEIR_LOG_WARNING,
                       "pool %s: closed while %s holds a connection, for %.1f s; it is cut off",
                       weir_pool_name(pool), weir__site(slot, who, sizeof who), age);
        else if (slot->state == WEIR__RUNNING)
            weir__logf(&pool->reactor->log, WEIR_LOG_WARNING,
                       "pool %s: closed while a statement runs, for %.1f s; it is cut off",
                       weir_pool_name(pool), age);
    }
}

static void begin_closing(weir_pool *pool) {
    pool->closing = true;
    weir__health_touch(pool);
    weir__timer_stop(&pool->reactor->wheel, &pool->retry);
    weir_error why = WEIR_ERROR_INIT;
    closed_error(pool, &why);
    weir__pool_refuse_waiters(pool, &why);
    if (pool->opening) weir__op_fail(&pool->opening->op, &why);
    pool->opening = NULL;
    weir_error_clear(&why);
    weir__listeners_end(pool, WEIR_ECLOSED);
    close_slots(pool, 1u << WEIR__IDLE | 1u << WEIR__CONNECTING | 1u << WEIR__PREPARING |
                          1u << WEIR__CHECKING | 1u << WEIR__RESETTING);
}

static void cut(weir_pool *pool) {
    if (pool->cut) return;
    if (!pool->closing) begin_closing(pool);
    pool->cut = true;
    weir__timer_stop(&pool->reactor->wheel, &pool->grace);
    name_holders(pool);
    close_slots(pool, ~0u);
    weir__pool_touch(pool);
}

void weir__pool_grace_over(weir__timer *timer) { cut(weir__container(timer, weir_pool, grace)); }

void weir__pool_check_drained(weir_pool *pool) {
    if (pool->draining && !pool->closing && !pool->waiting) begin_closing(pool);
}

int weir__pool_close(weir_pool *pool, int64_t grace_ms, bool drain, void *token, weir_op *op,
                     weir_error *error) {
    int64_t now = weir__reactor_now(pool->reactor);
    if (grace_ms == WEIR_TIMEOUT_DEFAULT) grace_ms = pool->config->options.close_timeout_ms;
    if (!pool->closing && !pool->draining) weir__extensions_leave(pool);
    if (!pool->closing) pool->draining = drain;
    if (!pool->closing && !(drain && pool->waiting)) begin_closing(pool);
    int64_t at = weir__deadline(now, grace_ms);
    if (!grace_ms)
        cut(pool);
    else if (!pool->cut && (!weir__timer_running(&pool->grace) || at < pool->grace_at)) {
        pool->grace_at = at;
        weir__reactor_start(pool->reactor, &pool->grace, at);
    }
    if (pool->closing && weir__pool_gone(pool)) return WEIR_OK;
    weir__task *task =
        (weir__task *)weir__op_new(pool->reactor, WEIR_DONE_CLOSE, token, pool, weir__op_drop, NULL);
    if (!task)
        return weir__fail(error, WEIR_ENOMEM,
                          "out of memory for an operation; the pool is closing all the same");
    weir__list_push_back(&pool->closers, &task->op.link);
    *op = task->op.completion.op;
    weir__pool_touch(pool);
    return WEIR_PENDING;
}

void weir__pool_check_closed(weir_pool *pool) {
    if (!pool->closing || !weir__pool_gone(pool)) return;
    weir__timer_stop(&pool->reactor->wheel, &pool->grace);
    weir__timer_stop(&pool->reactor->wheel, &pool->reaper);
    weir__health_stop(pool);
    weir__extensions_end(pool);
    weir__pool_unkeep(pool);
    for (weir__link *link; (link = weir__list_front(&pool->closers));)
        weir__op_complete(weir__container(link, weir__op, link), WEIR_OK);
}

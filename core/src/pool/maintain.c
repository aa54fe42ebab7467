/* Keeping the pool in shape: lifetimes, idle connections, bounds, generations; and its numbers. */
#include "pool/leak.h"

#include <string.h>

#include "base/error.h"
#include "config/sizing.h"

void weir__pool_arm_reaper(weir_pool *pool, int64_t at) {
    if (weir__timer_running(&pool->reaper) && pool->reap_at <= at) return;
    pool->reap_at = at;
    weir__reactor_start(pool->reactor, &pool->reaper, at);
}

static int kept(const weir_pool *pool) { return weir__pool_total(pool) - pool->counts[WEIR__CLOSING]; }

bool weir__slot_surplus(const weir__slot *slot, int64_t now) {
    const weir_pool *pool = slot->pool;
    if (slot->generation != pool->generation || slot->expires_at <= now) return true;
    if (kept(pool) <= weir__pool_size(pool)) return false;
    bool more = pool->waiting || (slot->trying && weir__pool_probing(pool)); /* a probe goes where it can */
    return !more || kept(pool) > weir__pool_allowed(pool);
}

/* The idle connections, the one that came back first in front of the others. */
static weir__slot *longest_idle(weir_pool *pool) {
    weir__link *link = pool->config->options.lifo ? pool->idle.prev : pool->idle.next;
    return link == &pool->idle ? NULL : weir__container(link, weir__slot, link);
}

/* When it is closed; what is more than may be lent goes soon. */
static int64_t idle_until(const weir__slot *slot) {
    const weir_pool *pool = slot->pool;
    int64_t until = weir__deadline(slot->idle_since, pool->config->options.idle_timeout_ms);
    int64_t soon = slot->idle_since + WEIR__SURPLUS_FOR;
    return kept(pool) > weir__adapt_keeps(pool) && soon < until ? soon : until;
}

void weir__pool_reap(weir__timer *timer) {
    weir_pool *pool = weir__container(timer, weir_pool, reaper);
    int64_t now = weir__reactor_now(pool->reactor), next = WEIR__NEVER;
    for (size_t i = 0; i < pool->slot_count; i++) {
        weir__slot *slot = pool->slots[i];
        int64_t look = weir__leak_look(slot, now);
        if (look < next) next = look;
        if (slot->state == WEIR__IDLE && slot->expires_at <= now)
            weir__slot_close(slot, WEIR_ESTALE, NULL);
        else if (slot->state != WEIR__EMPTY && slot->expires_at > now && slot->expires_at < next)
            next = slot->expires_at;
    }
    for (weir__slot *slot; kept(pool) > pool->min_size && (slot = longest_idle(pool));) {
        int64_t due = idle_until(slot);
        if (due > now) {
            if (due < next) next = due;
            break;
        }
        weir__slot_close(slot, WEIR_ESTALE, NULL);
    }
    if (next != WEIR__NEVER) weir__pool_arm_reaper(pool, next);
    weir__pool_touch(pool);
}

void weir__pool_trim(weir_pool *pool) {
    int size = weir__pool_size(pool);
    for (weir__slot *slot; kept(pool) > size && (slot = longest_idle(pool));)
        weir__slot_close(slot, WEIR_ESTALE, NULL);
}

int weir__pool_resize(weir_pool *pool, int min_size, int max_size, weir_error *error) {
    if (min_size == WEIR_SIZE_KEEP) min_size = pool->min_size;
    if (max_size == WEIR_SIZE_KEEP) max_size = pool->max_size;
    weir_options wanted = pool->config->options;
    wanted.min_size = min_size;
    wanted.max_size = max_size;
    memset(wanted.looked_up, 0, sizeof wanted.looked_up);
    int code = weir_options_check(&wanted, error);
    if (code) return code;
    if (min_size > max_size)
        return weir__fail(error, WEIR_EOPTION,
                          "min_size=%d is above max_size=%d: lower min_size or raise max_size", min_size,
                          max_size);
    code = weir__sizing_check(&wanted, max_size, error);
    if (code) return code;
    pool->min_size = min_size;
    pool->max_size = max_size;
    weir__adapt_bound(pool);
    weir__pool_trim(pool);
    weir__pool_arm_reaper(pool, weir__reactor_now(pool->reactor));
    weir__pool_touch(pool);
    return WEIR_OK;
}

void weir__pool_expire(weir_pool *pool) {
    pool->generation++;
    for (weir__slot *slot; (slot = longest_idle(pool));) weir__slot_close(slot, WEIR_ESTALE, NULL);
    weir__listeners_renew(pool);
    weir__pool_touch(pool);
}

static void read_gauges(weir_pool *pool, weir_snapshot *out) {
    const int *n = pool->counts;
    out->idle = n[WEIR__IDLE];
    out->active = n[WEIR__LENT] + n[WEIR__RUNNING];
    out->connecting = n[WEIR__CONNECTING];
    out->cleaning =
        n[WEIR__PREPARING] + n[WEIR__CHECKING] + n[WEIR__DRAINING] + n[WEIR__RESETTING] + n[WEIR__CLOSING];
    out->size = out->idle + out->active + out->cleaning;
    int over = kept(pool) - pool->max_size;
    out->overflow = over > 0 ? over : 0;
    out->waiting = pool->waiting;
    out->min_size = pool->min_size;
    out->max_size = pool->max_size;
    out->max_overflow = pool->config->options.max_overflow;
    out->limit = weir__adapt_keeps(pool);
    out->overloaded = pool->codel.overloaded;
    out->listeners = weir__listeners_count(pool);
    out->pods = pool->ceiling.pods;
    out->share = weir__pool_share(pool);
    out->alerts_active = pool->alerts_active;
    out->probing = weir__pool_probing(pool) ? weir__pool_trying(pool) : 0;
}

void weir__pool_publish(weir__deferred *publish) {
    weir_pool *pool = weir__container(publish, weir_pool, publish);
    weir_snapshot gauges = {0};
    if (!pool->closing || !weir__pool_gone(pool)) read_gauges(pool, &gauges);
    gauges.health = pool->health.status;
    gauges.circuit_connect =
        weir__guard_of(pool, WEIR_BREAKER_CONNECTS)->state; /* without a look at the clock */
    gauges.circuit_query = weir__guard_of(pool, WEIR_BREAKER_QUERIES)->state;
    weir__shared_publish(pool->shared, &gauges);
}

void weir__pool_gauges(weir_pool *pool, weir_snapshot *out) {
    weir__health_look(pool); /* some of it is a matter of time alone */
    read_gauges(pool, out);
    out->health = pool->health.status;
    out->circuit_connect = weir__guard_state(pool, WEIR_BREAKER_CONNECTS);
    out->circuit_query = weir__guard_state(pool, WEIR_BREAKER_QUERIES);
}

void weir__pool_snapshot(weir_pool *pool, weir_snapshot *out) {
    weir__pool_gauges(pool, out);
    weir__cells_read(pool->stats, out);
}

/* The bound that a room over the pool sets: what is beneath it, and when a place is free. */
#include "pool/pool.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config/sizing.h"

void weir__pool_ceiling_open(weir_pool *pool) {
    const weir_options *options = &pool->config->options;
    pool->ceiling = (weir__ceiling){
        .most = weir__sizing_first(options),
        .lapses_at = WEIR__NEVER,
        .guest = weir__pod_source_of(options) == WEIR__PODS_DATABASE,
        .lingers = weir__pod_source_of(options) == WEIR__PODS_DATABASE,
        .pods = options->pod_count > 0 ? options->pod_count : 0,
    };
}

int weir__pool_held(const weir_pool *pool) {
    return weir__pool_total(pool) + weir__listeners_connected(pool);
}

int weir__pool_beneath(const weir_pool *pool, int most) {
    int left = pool->ceiling.most - weir__listeners_count(pool);
    if (left < 1) left = pool->ceiling.most > 0; /* listeners that have no connection yet wait for one */
    return most < left ? most : left;
}

int weir__pool_allowed(const weir_pool *pool) {
    int most = pool->max_size + pool->config->options.max_overflow;
    return pool->ceiling.most == INT_MAX ? most : weir__pool_beneath(pool, most);
}

static int left_over(const weir_pool *pool) {
    if (pool->ceiling.most == INT_MAX) return INT_MAX;
    int left = pool->ceiling.most - weir__pool_held(pool);
    if (left <= 0 || weir__reactor_now(pool->reactor) < pool->ceiling.lapses_at) return left;
    return !weir__pool_held(pool) && !pool->draining && !pool->closing;
}

int weir__pool_room(const weir_pool *pool) {
    int total = weir__pool_total(pool), room = weir__pool_most(pool) - total;
    int left = left_over(pool);
    return room < left ? room : left;
}

bool weir__pool_has_place(const weir_pool *pool) { return left_over(pool) > 0; }

void weir__pool_ceiling(weir_pool *pool, int most) {
    pool->ceiling.most = most;
    weir__adapt_bound(pool);
    weir__pool_trim(pool);
    weir__pool_touch(pool);
}

int weir__pool_share(const weir_pool *pool) {
    return pool->ceiling.most < INT_MAX ? pool->ceiling.most : weir__sizing_share(&pool->config->options);
}

/* ---- a socket without a connection */

static void let_go(weir__slot *slot) {
    weir__poller_watch(&slot->pool->reactor->poller, &slot->watch, slot->lingering, 0);
    weir__timer_stop(&slot->pool->reactor->wheel, &slot->bound);
    close(slot->lingering);
    slot->lingering = -1;
}

bool weir__slot_linger(weir__slot *slot) {
    weir_pool *pool = slot->pool;
    if (slot->lingering < 0) return false;
    if (!pool->closing &&
        weir__poller_watch(&pool->reactor->poller, &slot->watch, slot->lingering, WEIR__POLL_READ)) {
        weir__reactor_start(pool->reactor, &slot->bound,
                            weir__reactor_now(pool->reactor) + WEIR__CLEAN_BOUND);
        return true;
    }
    close(slot->lingering);
    slot->lingering = -1;
    return false;
}

void weir__slot_linger_end(weir__slot *slot) {
    char rest[4096];
    ssize_t got = recv(slot->lingering, rest, sizeof rest, MSG_DONTWAIT);
    if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))) return;
    let_go(slot);
    weir__slot_emptied(slot);
}

void weir__slot_linger_overdue(weir__slot *slot) {
    weir_pool *pool = slot->pool;
    let_go(slot);
    if (pool->ceiling.most > 1 && pool->ceiling.most < INT_MAX) pool->ceiling.most--;
    weir__slot_emptied(slot);
}

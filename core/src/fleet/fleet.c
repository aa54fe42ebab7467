/* The room's part in a pool's life: when it looks, and what follows. */
#include "fleet/fleet.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"

enum { JOINING = 3 }; /* looks that come soon, one behind the other */

int64_t weir__fleet_pace(const weir__fleet *fleet, bool soon) {
    soon = soon || fleet->looks < JOINING;
    int64_t every = weir__fleet_options(fleet)->pod_refresh_ms * WEIR__MS;
    if (soon) every /= 5;
    return every - weir__random_below(&fleet->extension.pool->rng, every / 10);
}

void weir__fleet_look_in(weir__fleet *fleet, int64_t ns) {
    weir_reactor *reactor = fleet->extension.pool->reactor;
    weir__reactor_start(reactor, &fleet->timer, weir__reactor_now(reactor) + ns);
}

static void look(weir__timer *timer) {
    weir__fleet *fleet = weir__container(timer, weir__fleet, timer);
    if (fleet->source == WEIR__PODS_DATABASE)
        weir__registry_look(fleet);
    else
        weir__names_look(fleet);
}

void weir__fleet_answer(weir__fleet *fleet, int pods, int share) {
    weir_pool *pool = fleet->extension.pool;
    const weir__log *log = &pool->reactor->log;
    int before = pool->ceiling.most, expected = weir__sizing_share(&pool->config->options);
    if (fleet->failing)
        weir__logf(log, WEIR_LOG_INFO, "pool %s: the pods can be counted again", weir_pool_name(pool));
    fleet->failing = false;
    int most = pool->max_size + pool->config->options.max_overflow + weir__listeners_count(pool);
    int64_t now = weir__reactor_now(pool->reactor);
    int64_t every = pool->config->options.pod_refresh_ms * WEIR__MS;
    bool further = ++fleet->looks <= JOINING || now - fleet->looked_at > every / 4 * 3;
    if (further) fleet->looked_at = now;
    weir__quota_share(&fleet->quota, share < most ? share : most, further, expected);
    if (fleet->source == WEIR__PODS_DNS) fleet->quota.granted = fleet->quota.target;
    pool->ceiling.pods = pods;
    int ceiling = weir__quota_ceiling(&fleet->quota);
    pool->ceiling.why = ceiling ? NULL : "all places of connection_budget are taken by other pods";
    if (ceiling != before)
        weir__logf(log, ceiling ? WEIR_LOG_INFO : WEIR_LOG_WARNING,
                   "pool %s: %d pods share the budget, and this one may have %d connections (before: %d)",
                   weir_pool_name(pool), pods, ceiling, before);
    pool->ceiling.guest = false;
    weir__pool_ceiling(pool, ceiling);
}

void weir__fleet_failed(weir__fleet *fleet, const char *why) {
    weir_pool *pool = fleet->extension.pool;
    if (!fleet->failing)
        weir__logf(&pool->reactor->log, WEIR_LOG_WARNING,
                   "pool %s: the pods cannot be counted, so this one stays with the %d connections that it "
                   "may have: %s",
                   weir_pool_name(pool), pool->ceiling.most, why);
    fleet->failing = true;
    if (pool->ceiling.guest && weir__pool_live(pool)) { /* the table is at fault, and not the way to it */
        if (pool->ceiling.why) weir__pool_ceiling(pool, 0);
        pool->ceiling.guest = false;
        weir__pool_touch(pool);
    }
    weir__fleet_look_in(fleet, weir__fleet_pace(fleet, fleet->source == WEIR__PODS_DATABASE));
}

/* ---- the pool's life */

static weir__fleet *of(weir__extension *extension) { return (weir__fleet *)extension; }

static void leave(weir__extension *extension) {
    if (of(extension)->source == WEIR__PODS_DATABASE) weir__registry_leave(of(extension));
}

static void end(weir__extension *extension) {
    weir__fleet *fleet = of(extension);
    weir__timer_stop(&extension->pool->reactor->wheel, &fleet->timer);
    weir__list_remove(&fleet->told.link);
    weir__registry_end(fleet);
    weir__names_end(fleet);
}

static void release(weir__extension *extension) { weir__fleet_free(of(extension)); }

static const weir__extension_kind kind = {.name = "fleet", .leave = leave, .end = end, .free = release};

void weir__fleet_free(weir__fleet *fleet) {
    if (!fleet) return;
    weir_batch_free(fleet->batch);
    weir__free(fleet);
}

static int check_database(const weir__config *config, weir_error *error) {
    if (strcmp(config->scheme, "postgresql") != 0)
        return weir__fail(error, WEIR_EOPTION,
                          "pod_source=database needs PostgreSQL, and this is %s: use pod_source=dns, or "
                          "pod_count",
                          config->scheme);
    if (config->options.readonly)
        return weir__fail(error, WEIR_EOPTION,
                          "pod_source=database writes into a table, which the option readonly forbids: use "
                          "pod_source=dns, or pod_count");
    return WEIR_OK;
}

int weir__fleet_new(weir__config *config, uint64_t seed, weir__fleet **out, weir_error *error) {
    weir__pod_source source = weir__pod_source_of(&config->options);
    *out = NULL;
    if (source == WEIR__PODS_STATIC) return WEIR_OK;
    int code = source == WEIR__PODS_DATABASE ? check_database(config, error) : WEIR_OK;
    if (code != WEIR_OK) return code;
    weir__fleet *fleet = weir__calloc(1, sizeof *fleet);
    if (!fleet) return weir__fail(error, WEIR_ENOMEM, "out of memory for a pool");
    weir__rng rng = {seed};
    unsigned long long number = weir__random(&rng) & UINT64_C(0xffffffffffff);
    if (source == WEIR__PODS_DATABASE) snprintf(config->pod, sizeof config->pod, "weir/%012llx", number);
    fleet->source = source;
    fleet->extension.kind = &kind;
    weir__list_init(&fleet->extension.link);
    weir__list_init(&fleet->told.link);
    fleet->told.run = weir__registry_told;
    weir__timer_init(&fleet->timer, look);
    *out = fleet;
    return WEIR_OK;
}

void weir__fleet_start(weir__fleet *fleet, weir_pool *pool) {
    weir__pool_attach(pool, &fleet->extension);
    look(&fleet->timer);
}

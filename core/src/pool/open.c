/* Making a pool, and freeing it. */
#include "pool/extension.h"
#include "pool/leak.h"

#include <time.h>

#include "base/alloc.h"
#include "base/error.h"
#include "reactor/keeper.h"

static void opening_cancelled(weir__op *op) {
    ((weir__task *)op)->pool->opening = NULL;
    weir__op_drop(op);
}

static void destroy(weir_pool *pool) {
    weir__extensions_free(pool);
    if (pool->env) pool->driver->env_close(pool->env);
    for (size_t i = 0; i < pool->slot_count; i++) weir__slot_free(pool->slots[i]);
    weir__free(pool->slots);
    weir__spares_free(pool);
    weir__share_close(pool);
    weir__adapt_close(pool);
    weir__guard_close(pool);
    weir__health_close(pool);
    weir_error_clear(&pool->last_error);
    weir__shared_leave(pool->shared); /* nothing counts any more */
    weir__config_free(pool->config);
    weir__free(pool);
}

void weir__pool_unkeep(weir_pool *pool) {
    if (pool->keeper) weir__keeper_unwant(pool->reactor);
    pool->keeper = false;
}

/* Has the pool count where other processes see it, by its option. False: *error says why not. */
static bool share(weir_pool *pool, weir_error *error) {
    const weir_options *options = &pool->config->options;
    weir__list_init(&pool->publish.link);
    pool->publish.run = weir__pool_publish;
    if (!options->metrics_shared) return true;
    if (weir__shared_join(options->metrics_shared, options->name, pool->config->scheme, &pool->shared, error))
        return false;
    pool->stats = weir__shared_cells(pool->shared);
    return true;
}

static int64_t wall_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static weir_pool *create(weir_reactor *reactor, const weir__driver *driver, weir__config *config,
                         uint64_t seed, void *token, weir_error *error) {
    weir_pool *pool = weir__calloc(1, sizeof *pool);
    if (!pool) {
        weir__fail(error, WEIR_ENOMEM, "out of memory for a pool");
        weir__config_free(config);
        return NULL;
    }
    pool->reactor = reactor;
    pool->config = config;
    pool->driver = driver;
    pool->token = token;
    pool->stats = &pool->own_stats;
    pool->rng.state = seed;
    pool->min_size = config->options.min_size;
    pool->max_size = config->options.max_size;
    weir__pool_ceiling_open(pool);
    int64_t leak_ms = config->options.leak_threshold_ms;
    pool->leak_ns = leak_ms < 0 ? WEIR__NEVER : leak_ms * WEIR__MS;
    pool->slow_ns = WEIR__NEVER;
    pool->echo = config->options.echo;
    pool->leak_action = weir__leak_action_of(config->options.leak_action);
    pool->last_error = (weir_error)WEIR_ERROR_INIT;
    pool->settle.run = weir__pool_settle;
    weir__list_init(&pool->settle.link);
    weir__list_init(&pool->idle);
    weir__list_init(&pool->news);
    weir__list_init(&pool->waiters);
    weir__list_init(&pool->lane);
    weir__list_init(&pool->spares);
    weir__list_init(&pool->closers);
    weir__list_init(&pool->extensions);
    weir__list_init(&pool->listeners);
    weir__list_init(&pool->exposed.link);
    pool->exposed.wall_ns = wall_ns() - weir__reactor_now(reactor);
    weir__timer_init(&pool->retry, weir__pool_retry);
    weir__timer_init(&pool->reaper, weir__pool_reap);
    weir__timer_init(&pool->grace, weir__pool_grace_over);
    pool->base =
        (weir__env){driver, config, &weir__pool_host, &reactor->clock, &reactor->log, reactor->mailbox};
    weir__codel_open(pool);
    if (!weir__share_open(pool) || !weir__adapt_open(pool) || !weir__guard_open(pool, seed))
        weir__fail(error, WEIR_ENOMEM, "out of memory for a pool");
    else if (share(pool, error) && (pool->env = driver->env_open(&pool->base, error)) &&
             weir__health_open(pool, error))
        return pool;
    destroy(pool);
    return NULL;
}

int weir__pool_open(weir_reactor *reactor, const weir__driver *driver, weir__config *config, uint64_t seed,
                    void *token, weir_pool **out, weir_op *op, weir_error *error) {
    weir_error own = WEIR_ERROR_INIT;
    if (!error) error = &own;
    weir_pool *pool = create(reactor, driver, config, seed, token, error);
    if (!pool) {
        int code = error->code ? error->code : WEIR_ENOMEM;
        weir_error_clear(&own);
        return code;
    }
    if (!weir__enter(reactor)) {
        destroy(pool);
        int code =
            weir__fail(error, WEIR_EFORKED, "the reactor was made before a fork: make one in the child");
        weir_error_clear(&own);
        return code;
    }
    int code = config->options.background_thread ? weir__keeper_want(reactor, error) : WEIR_OK;
    pool->keeper = config->options.background_thread && !code;
    if (!code && (pool->min_size || config->options.require)) {
        pool->opening =
            (weir__task *)weir__op_new(reactor, WEIR_DONE_OPEN, token, pool, opening_cancelled, NULL);
        code =
            pool->opening ? WEIR_PENDING : weir__fail(error, WEIR_ENOMEM, "out of memory for an operation");
    }
    if (code <= 0) {
        *out = pool;
        weir__health_start(pool);
        if (pool->opening) {
            pool->opening->pool = pool;
            *op = pool->opening->op.completion.op;
        }
        if (pool->shared) weir__list_push_back(&reactor->leaving, &pool->publish.link);
        weir__pool_grow(pool);
        weir__pool_touch(pool);
    }
    if (code > 0) weir__pool_unkeep(pool);
    weir__leave(reactor);
    if (code > 0) destroy(pool);
    weir_error_clear(&own);
    return code;
}

void weir__pool_free(weir_pool *pool) {
    weir_reactor *reactor = pool->reactor;
    weir_op op = 0;
    if (!weir__enter(reactor)) return; /* a forked child: what is shared stays open, in the parent's hands */
    weir__pool_close(pool, 0, false, NULL, &op, NULL);
    int64_t deadline = weir__now(&weir__monotonic) + WEIR__CLEAN_BOUND;
    bool gone;
    for (;;) {
        weir__reactor_work(reactor);
        weir__leave(reactor); /* buries */
        if (!weir__enter(reactor)) return;
        gone = weir__pool_gone(pool);
        if (gone || weir__now(&weir__monotonic) > deadline) break;
        weir__leave(reactor);
        weir__poller_pause(&reactor->poller, -1, 10);
        if (!weir__enter(reactor)) return;
    }
    weir__op *closer = op ? weir__op_find(reactor, op) : NULL;
    if (closer && closer->state == WEIR__OP_PENDING) weir__op_drop(closer);
    weir__reactor_forget(reactor, pool);
    weir__timer_stop(&reactor->wheel, &pool->retry);
    weir__timer_stop(&reactor->wheel, &pool->guard.timer);
    weir__timer_stop(&reactor->wheel, &pool->codel.timer);
    weir__timer_stop(&reactor->wheel, &pool->adapt.timer);
    weir__timer_stop(&reactor->wheel, &pool->reaper);
    weir__health_stop(pool);
    weir__timer_stop(&reactor->wheel, &pool->grace);
    weir__list_remove(&pool->settle.link);
    weir__list_remove(&pool->publish.link);
    weir__extensions_end(pool);
    weir__pool_unkeep(pool);
    /* The work above may have taken away the wake-up for what other pools have for their host. */
    if (!weir__list_empty(&reactor->done)) reactor->signal = true;
    weir__leave(reactor);
    if (gone)
        destroy(pool); /* else a driver's thread still uses it: better leaked than freed under its feet */
}

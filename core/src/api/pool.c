/* The public pool: arguments are checked here, and the lock is taken. */
#include "api/api.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "config/option.h"
#include "fleet/fleet.h"
#include "metrics/render.h"
#include "monitor/monitor.h"
#include "pool/leak.h"

/* 100 years: a longer time-out is a mistake. */
#define TIMEOUT_MAX_MS INT64_C(3153600000000)

int weir__check_timeout(int64_t ms, const char *name, weir_error *error) {
    if (ms == WEIR_TIMEOUT_DEFAULT || ms == -1 || (ms > 0 && ms <= TIMEOUT_MAX_MS)) return WEIR_OK;
    if (!ms)
        return weir__fail(error, WEIR_EINVAL, "%s=0 would always fail: give a positive time, or none", name);
    return weir__fail(error, WEIR_EINVAL, "%s=%lld ms is out of range: give a positive time, or none", name,
                      (long long)ms);
}

int weir__forked(weir_error *error) {
    return weir__fail(error, WEIR_EFORKED,
                      "the pool was opened before this process was forked: open one in the child");
}

int weir__adopt(void *to, size_t full, const void *from, size_t size, const char *what, weir_error *error) {
    if (size < sizeof(size_t) || size > full)
        return weir__fail(error, WEIR_EINVAL,
                          "%s was not made by its _init, or by that of a newer version of this library",
                          what);
    memcpy(to, from, size);
    return WEIR_OK;
}

void weir_run_init(weir_run *run) {
    if (run) *run = (weir_run){.size = sizeof *run, .timeout_ms = WEIR_TIMEOUT_DEFAULT};
}

int weir__take_run(weir_run *run, const weir_run *given, weir_error *error) {
    weir_run_init(run);
    int code = given ? weir__adopt(run, sizeof *run, given, given->size, "weir_run", error) : WEIR_OK;
    return code ? code : weir__check_timeout(run->timeout_ms, "timeout", error);
}

static int no_pool(weir_error *error) { return weir__fail(error, WEIR_EINVAL, "pool is NULL"); }

static uint64_t seed(const void *salt) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_nsec * 1000003u ^ (uint64_t)now.tv_sec ^ (uint64_t)getpid() << 32 ^
           (uint64_t)(uintptr_t)salt;
}

int weir_pool_open(weir_reactor *reactor, const weir_options *options, void *token, weir_pool **out,
                   weir_op *op, weir_error *error) {
    if (!reactor || !options || !out || !op)
        return weir__fail(error, WEIR_EINVAL, "reactor, options, out and op are needed");
    *out = NULL;
    *op = 0;
    weir_error own = WEIR_ERROR_INIT;
    weir__config *config = weir__config_new(options, error ? error : &own);
    if (!config) {
        int code = error ? error->code : own.code;
        weir_error_clear(&own);
        return code;
    }
    const weir__driver *driver = weir__driver_find(config->scheme);
    if (!driver) {
        weir__config_free(config);
        return weir__fail(error, WEIR_EOPTION, "no driver for this URL: use postgresql://… or sqlite://…");
    }
    weir__monitor *monitor;
    weir__fleet *fleet = NULL;
    uint64_t chance = seed(config);
    int code = weir__monitor_new(&config->options, &monitor, error);
    if (code == WEIR_OK) code = weir__fleet_new(config, chance, &fleet, error);
    if (code != WEIR_OK) {
        weir__monitor_free(monitor);
        weir__config_free(config);
        return code;
    }
    code = weir__pool_open(reactor, driver, config, chance, token, out, op, error);
    if (code > WEIR_OK) {
        weir__monitor_free(monitor);
        weir__fleet_free(fleet);
    } else if ((monitor || fleet) && weir__enter(reactor)) {
        if (monitor) weir__monitor_attach(monitor, *out);
        if (fleet) weir__fleet_start(fleet, *out);
        weir__leave(reactor);
    }
    if (code <= WEIR_OK) weir__metrics_register(*out);
    return code;
}

static int end(weir_pool *pool, int64_t grace_ms, bool drain, void *token, weir_op *op, weir_error *error) {
    if (!pool || !op) return weir__fail(error, WEIR_EINVAL, "pool and op are needed");
    int code = grace_ms ? weir__check_timeout(grace_ms, "grace", error) : WEIR_OK;
    if (code) return code;
    if (!weir__enter(pool->reactor)) return weir__forked(error);
    code = weir__pool_close(pool, grace_ms, drain, token, op, error);
    weir__leave(pool->reactor);
    return code;
}

int weir_pool_close(weir_pool *pool, int64_t grace_ms, void *token, weir_op *op, weir_error *error) {
    return end(pool, grace_ms, false, token, op, error);
}

int weir_pool_drain(weir_pool *pool, int64_t grace_ms, void *token, weir_op *op, weir_error *error) {
    return end(pool, grace_ms, true, token, op, error);
}

void weir_pool_free(weir_pool *pool) {
    if (!pool) return;
    weir__metrics_forget(pool);
    weir__pool_free(pool);
}

bool weir_pool_closed(const weir_pool *pool) {
    if (!pool) return true;
    weir_reactor *reactor = pool->reactor;
    if (!weir__enter(reactor)) return true;
    bool closed = weir__pool_shut(pool) != NULL;
    weir__leave(reactor);
    return closed;
}

int weir_pool_resize(weir_pool *pool, int min_size, int max_size, weir_error *error) {
    if (!pool) return no_pool(error);
    if (!weir__enter(pool->reactor)) return weir__forked(error);
    int code = weir__pool_check_shut(pool, error);
    if (!code) code = weir__pool_resize(pool, min_size, max_size, error);
    weir__leave(pool->reactor);
    return code;
}

int weir_pool_expire(weir_pool *pool, weir_error *error) {
    if (!pool) return no_pool(error);
    if (!weir__enter(pool->reactor)) return weir__forked(error);
    int code = weir__pool_check_shut(pool, error);
    if (!code) weir__pool_expire(pool);
    weir__leave(pool->reactor);
    return code;
}

int weir__pool_pin_width(weir_pool *pool, int width, weir_error *error) {
    if (!pool) return no_pool(error);
    if (!weir__enter(pool->reactor)) return weir__forked(error);
    int code = WEIR_OK;
    if (width < 0 || width > pool->max_size)
        code = weir__fail(error, WEIR_EINVAL, "width=%d: give 1 to max_size=%d, or 0 to have it learnt",
                          width, pool->max_size);
    else
        weir__width_pin(pool, width);
    weir__leave(pool->reactor);
    return code;
}

int weir_pool_snapshot(weir_pool *pool, weir_snapshot *out, weir_error *error) {
    if (!pool || !out) return weir__fail(error, WEIR_EINVAL, "pool and out are needed");
    if (out->struct_size != sizeof *out)
        return weir__fail(error, WEIR_EINVAL,
                          "struct_size is not sizeof(weir_snapshot): set it, and build against this version");
    if (!weir__enter(pool->reactor)) return weir__forked(error);
    weir__pool_snapshot(pool, out);
    weir__leave(pool->reactor);
    return WEIR_OK;
}

const char *weir_pool_name(const weir_pool *pool) { return pool ? pool->config->options.name : NULL; }
const char *weir_pool_url(const weir_pool *pool) { return pool ? pool->config->options.url : NULL; }
const char *weir_pool_database_system(const weir_pool *pool) { return pool ? pool->config->scheme : NULL; }

int weir_pool_option(const weir_pool *pool, const char *option, weir_value *out, weir_error *error) {
    if (!pool || !option || !out) return weir__fail(error, WEIR_EINVAL, "pool, option and out are needed");
    const weir__option *row = weir__option_find(option);
    if (!row) return weir__option_unknown(option, error);
    *out = weir__option_value(&pool->config->options, row);
    return WEIR_OK;
}

weir_reactor *weir_pool_reactor(const weir_pool *pool) { return pool ? pool->reactor : NULL; }

weir_breaker *weir_pool_breaker(weir_pool *pool, size_t endpoint, weir_breaker_role role) {
    if (!pool || endpoint) return NULL;
    if (role == WEIR_BREAKER_CONNECTS) return &pool->guard.connect;
    return role == WEIR_BREAKER_QUERIES ? &pool->guard.query : NULL;
}

weir_breaker_state weir_pool_breaker_state(weir_pool *pool, size_t endpoint) {
    weir_breaker_state connects =
        weir_breaker_state_now(weir_pool_breaker(pool, endpoint, WEIR_BREAKER_CONNECTS));
    weir_breaker_state queries =
        weir_breaker_state_now(weir_pool_breaker(pool, endpoint, WEIR_BREAKER_QUERIES));
    return weir__breaker_narrower(connects, queries);
}

int weir_pool_transaction(weir_pool *pool, weir_batch *batch, const weir_transaction *begin,
                          const weir_run *run, void *token, weir_op *op, weir_error *error) {
    static const weir_transaction plain = {0};
    weir_run own;
    const char *text;
    if (!pool || !batch || !op) return weir__fail(error, WEIR_EINVAL, "pool, batch and op are needed");
    int code = weir__take_run(&own, run, error);
    if (code) return code;
    if (!weir__enter(pool->reactor)) return weir__forked(error);
    code = weir__begin_text(pool, begin ? begin : &plain, &text, error);
    if (!code && weir_batch_size(batch))
        code = weir__pool_transaction(pool, batch, text, &own, false, token, op, error);
    weir__leave(pool->reactor);
    return code;
}

void weir_checkout_init(weir_checkout *checkout) {
    if (!checkout) return;
    memset(checkout, 0, sizeof *checkout);
    checkout->size = sizeof *checkout;
    checkout->checkout_timeout_ms = checkout->session_timeout_ms = WEIR_TIMEOUT_DEFAULT;
}

bool weir_pool_holds(weir_pool *pool, uint64_t owner) {
    if (!pool || !owner || !weir__enter(pool->reactor)) return false;
    bool holds = weir__owner_holds(pool, owner);
    weir__leave(pool->reactor);
    return holds;
}

int weir_pool_acquire(weir_pool *pool, const weir_checkout *checkout, void *token, weir_session *session,
                      weir_op *op, weir_error *error) {
    if (!pool || !checkout || !session || !op)
        return weir__fail(error, WEIR_EINVAL, "pool, checkout, session and op are needed");
    weir_checkout own;
    weir_checkout_init(&own);
    int code = weir__adopt(&own, sizeof own, checkout, checkout->size, "weir_checkout", error);
    if (code) return code;
    checkout = &own;
    code = weir__check_timeout(checkout->checkout_timeout_ms, "checkout_timeout", error);
    if (!code) code = weir__check_timeout(checkout->session_timeout_ms, "timeout", error);
    if (code) return code;
    if (!weir__enter(pool->reactor)) return weir__forked(error);
    code = weir__pool_acquire(pool, checkout, token, session, op, error);
    weir__leave(pool->reactor);
    return code;
}

int weir_pool_execute(weir_pool *pool, weir_statement *statement, const weir_run *run, void *token,
                      weir_op *op, weir_error *error) {
    weir_run own;
    if (!pool || !statement || !op)
        return weir__fail(error, WEIR_EINVAL, "pool, statement and op are needed");
    int code = weir__take_run(&own, run, error);
    if (!code) code = weir__statement_check(statement, error);
    if (code) return code;
    own.readonly = own.readonly || (pool->config->options.readonly && !own.script);
    if (!weir__enter(pool->reactor)) return weir__forked(error);
    code = weir__pool_execute(pool, statement, &own, token, op, error);
    weir__leave(pool->reactor);
    return code;
}

int weir_pool_holders(weir_pool *pool, int64_t min_age_ms, weir_holder **out, size_t *count,
                      weir_error *error) {
    if (!pool || !out || !count) return weir__fail(error, WEIR_EINVAL, "pool, out and count are needed");
    if (min_age_ms < 0)
        return weir__fail(error, WEIR_EINVAL, "min_age_ms=%lld: give 0 or more", (long long)min_age_ms);
    if (!weir__enter(pool->reactor)) return weir__forked(error);
    int code = weir__pool_holders(pool, min_age_ms, out, count, error);
    weir__leave(pool->reactor);
    return code;
}

int weir_pool_health(weir_pool *pool, weir_health *out, weir_error *error) {
    if (!pool || !out) return weir__fail(error, WEIR_EINVAL, "pool and out are needed");
    if (out->struct_size != sizeof *out)
        return weir__fail(error, WEIR_EINVAL,
                          "struct_size is not sizeof(weir_health): set it, and build against this version");
    if (!weir__enter(pool->reactor)) return weir__forked(error);
    weir__health_read(pool, out);
    weir__leave(pool->reactor);
    return WEIR_OK;
}

int weir_pool_check_health(weir_pool *pool, int64_t timeout_ms, void *token, weir_op *op, weir_error *error) {
    if (!pool || !op) return weir__fail(error, WEIR_EINVAL, "pool and op are needed");
    int code = weir__check_timeout(timeout_ms, "timeout", error);
    if (code) return code;
    if (!weir__enter(pool->reactor)) return weir__forked(error);
    code = weir__health_ask(pool, timeout_ms, token, op, error);
    weir__leave(pool->reactor);
    return code;
}

bool weir_pool_next_health_event(weir_pool *pool, uint64_t *after, weir_health_event *out) {
    if (!pool || !after || !out || !weir__enter(pool->reactor)) return false;
    bool found = weir__health_next_event(pool, after, out);
    weir__leave(pool->reactor);
    return found;
}

void weir_holders_free(weir_holder *holders) { weir__free(holders); }

bool weir_pool_wants_stack(weir_pool *pool) {
    if (!pool) return false;
    unsigned every = (unsigned)pool->config->options.leak_stacks;
    return every &&
           atomic_fetch_add_explicit(&pool->stack_turn, 1, memory_order_relaxed) % every == every - 1;
}

/* The breaker that users have: with a clock, and a lock; one of its own, or that of a pool's reactor. */
#include <unistd.h>

#include "api/api.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fork.h"

static uint64_t fresh_seed(const void *where) {
    return (uint64_t)weir__now(&weir__monotonic) ^ (uint64_t)(uintptr_t)where << 20 ^
           (uint64_t)getpid() << 40;
}

int weir_breaker_new(const weir_breaker_options *options, weir_breaker **out, weir_error *error) {
    if (!out)
        return weir__fail(error, WEIR_EINVAL, "weir_breaker_new takes where to put the breaker, not NULL");
    weir_error failure = WEIR_ERROR_INIT;
    weir_breaker *breaker = weir__calloc(1, sizeof *breaker);
    if (!breaker || !weir__fork_watch() || pthread_mutex_init(&breaker->lock, NULL) != 0) {
        weir__free(breaker);
        return weir__fail(error, WEIR_ENOMEM, "out of memory for a circuit breaker");
    }
    breaker->forks = weir__fork_count();
    breaker->machine = weir__breaker_new(options, fresh_seed(breaker), weir__now(&weir__monotonic), &failure);
    if (!breaker->machine) {
        int code = weir__error_copy(error, &failure);
        weir_error_clear(&failure);
        weir_breaker_free(breaker);
        return code;
    }
    *out = breaker;
    return WEIR_OK;
}

void weir_breaker_free(weir_breaker *breaker) {
    if (!breaker || breaker->pool) return; /* a pool frees its own */
    weir__breaker_free(breaker->machine);
    pthread_mutex_destroy(&breaker->lock);
    weir__free(breaker);
}

/* The time is read under the lock, so that the machine never sees it go back. False: it belongs to a pool
 * that was opened before a fork. */
static bool lock(weir_breaker *breaker, int64_t *now_ns) {
    if (breaker->pool) {
        if (!weir__enter(breaker->pool->reactor)) return false;
        *now_ns = weir__reactor_now(breaker->pool->reactor);
        return true;
    }
    pthread_mutex_lock(&breaker->lock);
    if (breaker->forks != weir__fork_count()) {
        breaker->forks = weir__fork_count();
        breaker->machine->rng.state = fresh_seed(breaker);
    }
    *now_ns = weir__now(&weir__monotonic);
    return true;
}

static void unlock(weir_breaker *breaker) {
    if (breaker->pool) {
        weir__pool_touch(breaker->pool); /* it acts by the state */
        weir__leave(breaker->pool->reactor);
    } else {
        pthread_mutex_unlock(&breaker->lock);
    }
}

static int missing(const char *function, weir_error *error) {
    return weir__fail(error, WEIR_EINVAL, "%s takes a breaker and a permit: one is NULL", function);
}

int weir_breaker_acquire(weir_breaker *breaker, weir_permit *permit, weir_error *error) {
    if (!breaker || !permit) return missing("weir_breaker_acquire", error);
    int64_t now_ns;
    if (!lock(breaker, &now_ns)) return weir__forked(error);
    int code = weir__breaker_acquire(breaker->machine, now_ns, permit, error);
    unlock(breaker);
    return code;
}

int weir_breaker_probe(weir_breaker *breaker, weir_permit *permit, weir_error *error) {
    if (!breaker || !permit) return missing("weir_breaker_probe", error);
    int64_t now_ns;
    if (!lock(breaker, &now_ns)) return weir__forked(error);
    int code = weir__breaker_probe(breaker->machine, now_ns, permit, error);
    unlock(breaker);
    return code;
}

void weir_breaker_record(weir_breaker *breaker, weir_permit *permit, weir_outcome outcome,
                         int64_t duration_ns, const weir_error *error) {
    int64_t now_ns;
    if (!breaker || !permit || !permit->generation || !lock(breaker, &now_ns)) return;
    weir__breaker_record(breaker->machine, now_ns, permit, outcome, duration_ns, error);
    unlock(breaker);
}

void weir_breaker_cancel(weir_breaker *breaker, weir_permit *permit) {
    int64_t now_ns;
    if (!breaker || !permit || !permit->generation || !lock(breaker, &now_ns)) return;
    weir__breaker_cancel(breaker->machine, now_ns, permit);
    unlock(breaker);
}

weir_outcome weir_breaker_classify(const weir_breaker *breaker, const weir_error *error,
                                   weir_verdict verdict) {
    return breaker ? weir__breaker_classify(breaker->machine, error, verdict) : WEIR_OUTCOME_IGNORED;
}

weir_breaker_state weir_breaker_state_now(weir_breaker *breaker) {
    int64_t now_ns;
    if (!breaker || !lock(breaker, &now_ns)) return WEIR_BREAKER_CLOSED;
    weir__breaker_tick(breaker->machine, now_ns);
    weir_breaker_state state = breaker->machine->state;
    unlock(breaker);
    return state;
}

static void force(weir_breaker *breaker, weir_breaker_state state) {
    int64_t now_ns;
    if (!breaker || !lock(breaker, &now_ns)) return;
    weir__breaker_force(breaker->machine, now_ns, state);
    unlock(breaker);
}

void weir_breaker_force_open(weir_breaker *breaker) { force(breaker, WEIR_BREAKER_FORCED_OPEN); }
void weir_breaker_force_close(weir_breaker *breaker) { force(breaker, WEIR_BREAKER_CLOSED); }
void weir_breaker_disable(weir_breaker *breaker) { force(breaker, WEIR_BREAKER_DISABLED); }
void weir_breaker_metrics_only(weir_breaker *breaker) { force(breaker, WEIR_BREAKER_METRICS_ONLY); }

void weir_breaker_reset(weir_breaker *breaker) {
    int64_t now_ns;
    if (!breaker || !lock(breaker, &now_ns)) return;
    weir__breaker_reset(breaker->machine, now_ns);
    unlock(breaker);
}

const char *weir_breaker_name(const weir_breaker *breaker) { return breaker ? breaker->machine->name : NULL; }

int weir_breaker_take_snapshot(weir_breaker *breaker, weir_breaker_snapshot *out, weir_error *error) {
    if (!breaker || !out)
        return weir__fail(error, WEIR_EINVAL,
                          "weir_breaker_take_snapshot takes a breaker and a snapshot: one is NULL");
    if (out->struct_size != sizeof *out)
        return weir__fail(error, WEIR_EINVAL,
                          "snapshot.struct_size is %zu: set it to sizeof(weir_breaker_snapshot), %zu",
                          out->struct_size, sizeof *out);
    int64_t now_ns;
    if (!lock(breaker, &now_ns)) return weir__forked(error);
    weir__breaker_snapshot(breaker->machine, now_ns, out);
    unlock(breaker);
    return WEIR_OK;
}

bool weir_breaker_next_event(weir_breaker *breaker, uint64_t *after, weir_breaker_event *out) {
    int64_t now_ns;
    if (!breaker || !after || !out || !lock(breaker, &now_ns)) return false;
    weir__breaker_tick(breaker->machine, now_ns);
    bool found = weir__breaker_next_event(breaker->machine, after, out);
    unlock(breaker);
    return found;
}

uint64_t weir_breaker_last_event(const weir_breaker *breaker) {
    return breaker ? atomic_load_explicit(&breaker->machine->last_event, memory_order_relaxed) : 0;
}

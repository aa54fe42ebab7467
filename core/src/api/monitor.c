/* The monitor's public functions. */
#include "monitor/monitor.h"

#include "api/api.h"
#include "base/alloc.h"
#include "base/error.h"

/* Takes the lock; when that fails it is not held. */
static int enter(weir_pool *pool, weir__monitor **out, weir_error *error) {
    if (!weir__enter(pool->reactor)) return weir__forked(error);
    *out = weir__monitor_of(pool);
    if (*out) return WEIR_OK;
    weir__leave(pool->reactor);
    return weir__fail(error, WEIR_ENOTSUP, "pool %s watches nothing: open it with monitoring=true",
                      weir_pool_name(pool));
}

static int read_alerts(const weir__alerts *alerts, bool active, weir_alert **out, size_t *count,
                       weir_error *error) {
    size_t wanted = 0;
    for (size_t i = 0; i < alerts->count; i++) wanted += !active || !weir__alert_at(alerts, i)->resolved;
    if (!wanted) return WEIR_OK;
    *out = weir__malloc(wanted * sizeof **out);
    if (!*out) return weir__fail(error, WEIR_ENOMEM, "out of memory for a list of alerts");
    for (size_t i = 0; i < alerts->count; i++) {
        const weir__alert *alert = weir__alert_at(alerts, i);
        if (!active || !alert->resolved) weir__alert_show(alert, false, &(*out)[(*count)++]);
    }
    return WEIR_OK;
}

int weir_pool_alerts(weir_pool *pool, bool active, weir_alert **out, size_t *count, weir_error *error) {
    weir__monitor *monitor;
    if (!pool || !out || !count) return weir__fail(error, WEIR_EINVAL, "pool, out and count are needed");
    *out = NULL;
    *count = 0;
    int code = enter(pool, &monitor, error);
    if (code != WEIR_OK) return code;
    code = read_alerts(&monitor->alerts, active, out, count, error);
    weir__leave(pool->reactor);
    return code;
}

void weir_alerts_free(weir_alert *alerts) { weir__free(alerts); }

bool weir_pool_next_alert(weir_pool *pool, uint64_t *after, weir_alert *out) {
    weir__monitor *monitor;
    if (!pool || !after || !out || enter(pool, &monitor, NULL) != WEIR_OK) return false;
    bool found = weir__alert_next(&monitor->alerts, after, out);
    weir__leave(pool->reactor);
    return found;
}

uint64_t weir_pool_last_alert(const weir_pool *pool) {
    const weir__monitor *monitor = pool ? weir__monitor_of(pool) : NULL;
    return monitor ? atomic_load_explicit(&monitor->alerts.last_event, memory_order_relaxed) : 0;
}

int weir_pool_slow_statements(weir_pool *pool, weir_slow_statement **out, size_t *count, weir_error *error) {
    weir__monitor *monitor;
    if (!pool || !out || !count) return weir__fail(error, WEIR_EINVAL, "pool, out and count are needed");
    *out = NULL;
    *count = 0;
    int code = enter(pool, &monitor, error);
    if (code != WEIR_OK) return code;
    code = weir__slow_read(monitor, out, count, error);
    weir__leave(pool->reactor);
    return code;
}

void weir_slow_statements_free(weir_slow_statement *statements) { weir__free(statements); }

int weir_pool_history(weir_pool *pool, const char *metric, int64_t since_ms, int64_t step_ms,
                      weir_metric_kind *kind, weir_history_point **out, size_t *count, weir_error *error) {
    weir__monitor *monitor;
    if (!pool || !metric || !kind || !out || !count)
        return weir__fail(error, WEIR_EINVAL, "pool, metric, kind, out and count are needed");
    *out = NULL;
    *count = 0;
    if (since_ms < -1 || since_ms > INT64_C(3153600000000))
        return weir__fail(error, WEIR_EINVAL, "since=%lld ms: give a time, as that to look back",
                          (long long)since_ms);
    int code = enter(pool, &monitor, error);
    if (code != WEIR_OK) return code;
    code = weir__history_read(monitor, metric, since_ms, step_ms, kind, out, count, error);
    weir__leave(pool->reactor);
    return code;
}

void weir_history_free(weir_history_point *points) { weir__free(points); }

/* The alerts that are kept: firing, resolving, and how they are shown. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "monitor/monitor.h"

static const struct {
    const char *name, *text;
    weir_severity severity;
} types[] = {
#define TYPE(suffix, value, name, severity, text) {name, text, WEIR_SEVERITY_##severity},
    WEIR_ALERTS(TYPE)
#undef TYPE
};

const char *weir_alert_name(weir_alert_type type) {
    return (unsigned)type < WEIR__ALERT_TYPES ? types[type].name : NULL;
}

const char *weir_alert_text(weir_alert_type type) {
    return (unsigned)type < WEIR__ALERT_TYPES ? types[type].text : NULL;
}

const char *weir_severity_name(weir_severity severity) {
    static const char *const names[] = {"warning", "critical"};
    return (unsigned)severity < 2 ? names[severity] : NULL;
}

/* ---- keeping them */

weir__alert *weir__alert_at(const weir__alerts *alerts, size_t i) {
    return &alerts->list[(alerts->first + i) % alerts->room];
}

/* Room for one more; without memory the oldest one gives way, as it does when so many are kept. */
static bool make_room(weir__alerts *alerts) {
    if (alerts->count < alerts->room) return true;
    size_t room = alerts->room ? 2 * alerts->room : 16;
    if (room > WEIR_ALERTS_KEPT) room = WEIR_ALERTS_KEPT;
    weir__alert *list =
        room > alerts->room && !alerts->first ? weir__realloc(alerts->list, room * sizeof *list) : NULL;
    if (list) {
        alerts->list = list;
        alerts->room = room;
        return true;
    }
    if (!alerts->room) return false;
    alerts->first = (alerts->first + 1) % alerts->room;
    alerts->count--;
    return true;
}

/* The host's event loop is told, also when a thread of the pool's own has looked. */
static uint64_t next_event(weir__monitor *monitor) {
    weir__alerts *alerts = &monitor->alerts;
    monitor->extension.pool->reactor->signal = true;
    uint64_t number = atomic_load_explicit(&alerts->last_event, memory_order_relaxed) + 1;
    atomic_store_explicit(&alerts->last_event, number, memory_order_relaxed);
    return number;
}

static void say(const weir__monitor *monitor, const weir__alert *alert) {
    const weir_pool *pool = monitor->extension.pool;
    bool critical = types[alert->type].severity == WEIR_SEVERITY_CRITICAL;
    weir_alert shown;
    weir__alert_show(alert, false, &shown);
    weir__logf(&pool->reactor->log,
               alert->resolved ? WEIR_LOG_INFO
               : critical      ? WEIR_LOG_ERROR
                               : WEIR_LOG_WARNING,
               "pool %s: alert %s%s: %s", weir_pool_name(pool), types[alert->type].name,
               alert->resolved ? " is resolved; it was" : "", shown.message);
}

void weir__alert_fire(weir__monitor *monitor, weir_alert_type type, const weir__finding *finding,
                      int64_t now) {
    weir__alerts *alerts = &monitor->alerts;
    weir__rule *rule = &alerts->rules[type];
    weir__alert alert = {.type = type,
                         .number = ++alerts->numbers,
                         .fired_at = now,
                         .value = finding->value,
                         .threshold = finding->threshold,
                         .window = finding->window,
                         .count = finding->count,
                         .total = finding->total};
    if (finding->detail) snprintf(alert.detail, sizeof alert.detail, "%s", finding->detail);
    rule->active = alert.number;
    monitor->extension.pool->stats->alerts[type]++;
    monitor->extension.pool->alerts_active++;
    rule->silent_until = weir__deadline(now, weir__monitor_options(monitor)->alert_cooldown_ms);
    if (weir__monitor_options(monitor)->alert_cooldown_ms < 0) rule->silent_until = 0;
    if (make_room(alerts)) {
        alert.fired = next_event(monitor);
        alerts->count++;
        *weir__alert_at(alerts, alerts->count - 1) = alert;
    }
    say(monitor, &alert);
}

void weir__alert_resolve(weir__monitor *monitor, weir_alert_type type, int64_t now) {
    weir__alerts *alerts = &monitor->alerts;
    uint64_t number = alerts->rules[type].active;
    alerts->rules[type].active = 0;
    monitor->extension.pool->alerts_active--;
    for (size_t i = 0; i < alerts->count; i++) {
        weir__alert *alert = weir__alert_at(alerts, i);
        if (alert->number != number) continue;
        alert->resolved = next_event(monitor);
        alert->resolved_at = now;
        say(monitor, alert);
    }
}

/* ---- showing them */

static void write_message(const weir__alert *alert, char *out, size_t size) {
    unsigned long long count = alert->count, total = alert->total;
    double value = alert->value, threshold = alert->threshold, window = alert->window;
    switch (alert->type) {
    case WEIR_ALERT_DATABASE_UNHEALTHY:
        if (!count)
            snprintf(out, size, "the pool is unhealthy: %s", alert->detail);
        else
            snprintf(out, size, "the pool is unhealthy after %llu failure%s in a row: %s", count,
                     count == 1 ? "" : "s", alert->detail);
        break;
    case WEIR_ALERT_CIRCUIT_BREAKER_OPEN:
        snprintf(out, size, "a circuit breaker %s open: %s", value > 0 ? "is" : "was", alert->detail);
        break;
    case WEIR_ALERT_HIGH_QUERY_FAILURE_RATE:
    case WEIR_ALERT_HIGH_CHECKOUT_FAILURE_RATE:
        snprintf(
            out, size, "%llu of %llu %s failed in %.1f s: %.1f %%, the threshold is %.1f %%", count, total,
            alert->type == WEIR_ALERT_HIGH_QUERY_FAILURE_RATE ? "statements" : "requests for a connection",
            window, 100 * value, 100 * threshold);
        break;
    case WEIR_ALERT_CONNECTION_LEAKS:
        snprintf(out, size,
                 "%llu of %llu connections in use are held for longer than leak_threshold, the threshold is "
                 "%.0f",
                 count, total, threshold);
        break;
    case WEIR_ALERT_HIGH_POOL_USAGE:
        snprintf(
            out, size,
            "%.1f %% of the connections were in use in %.1f s, %llu of %llu now; the threshold is %.1f %%",
            100 * value, window, count, total, 100 * threshold);
        break;
    case WEIR_ALERT_SLOW_QUERIES:
    case WEIR_ALERT_SLOW_CHECKOUTS:
        snprintf(out, size, "99 %% of %llu %s took up to %.3f s in %.1f s, the threshold is %.3f s", total,
                 alert->type == WEIR_ALERT_SLOW_QUERIES ? "statements" : "waits for a connection", value,
                 window, threshold);
        break;
    }
}

void weir__alert_show(const weir__alert *alert, bool fired, weir_alert *out) {
    *out = (weir_alert){.number = alert->number,
                        .type = alert->type,
                        .severity = types[alert->type].severity,
                        .fired_ns = alert->fired_at,
                        .resolved_ns = fired ? 0 : alert->resolved_at,
                        .value = alert->value,
                        .threshold = alert->threshold,
                        .count = alert->count,
                        .total = alert->total,
                        .window = alert->window};
    write_message(alert, out->message, sizeof out->message);
}

bool weir__alert_next(const weir__alerts *alerts, uint64_t *after, weir_alert *out) {
    const weir__alert *found = NULL;
    uint64_t best = UINT64_MAX;
    if (*after >= atomic_load_explicit(&alerts->last_event, memory_order_relaxed)) return false;
    for (size_t i = 0; i < alerts->count; i++) {
        const weir__alert *alert = weir__alert_at(alerts, i);
        uint64_t event = alert->fired > *after ? alert->fired : alert->resolved;
        if (event <= *after || event >= best) continue;
        best = event;
        found = alert;
    }
    if (!found) return false;
    *after = best;
    weir__alert_show(found, best == found->fired, out);
    return true;
}

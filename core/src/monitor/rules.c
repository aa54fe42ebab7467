/* The rules of the alerts: what each looks at, and when it has seen enough. */
#include "monitor/monitor.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

/* What the rules look at. */
typedef struct view {
    weir_pool *pool;
    const weir_options *options;
    weir_snapshot now; /* its gauges */
    const weir__mark *since;
    weir__mark present;         /* without its histograms */
    weir_histogram wait, query; /* of the window */
    uint64_t opened[2];         /* times that the breakers have since the last look */
    double window;              /* seconds */
    char detail[WEIR__DETAIL_SIZE];
} view;

static weir__mark present(const weir__monitor *monitor, int64_t now) {
    const weir_pool *pool = monitor->extension.pool;
    uint64_t refused = pool->stats->checkouts_timed_out + pool->stats->checkouts_refused;
    uint64_t failed = pool->stats->queries_failed + pool->stats->queries_timed_out;
    return (weir__mark){.at = now,
                        .checkouts = pool->stats->checkouts_granted + refused,
                        .checkouts_failed = refused,
                        .queries = pool->stats->queries_succeeded + failed,
                        .queries_failed = failed,
                        .usage = monitor->usage,
                        .looks = monitor->looks};
}

static void set_mark(weir__monitor *monitor, int64_t now) {
    const weir_pool *pool = monitor->extension.pool;
    weir__mark *mark = &monitor->marks[monitor->mark_count++ % WEIR__MARKS];
    *mark = present(monitor, now);
    weir__base_take(&mark->wait, &pool->stats->wait);
    weir__base_take(&mark->query, &pool->stats->query);
}

/* The newest mark that is as old as the window; while there is none, the oldest. */
static const weir__mark *begin_of_window(const weir__monitor *monitor, int64_t now) {
    int64_t from = now - weir__monitor_options(monitor)->alert_window_ms * WEIR__MS;
    size_t kept = monitor->mark_count < WEIR__MARKS ? monitor->mark_count : WEIR__MARKS;
    const weir__mark *found = NULL;
    for (size_t i = 1; i <= kept; i++) {
        found = &monitor->marks[(monitor->mark_count - i) % WEIR__MARKS];
        if (found->at <= from) break;
    }
    return found;
}

/* ---- the rules */

/* Too much from the threshold on; resolved well below it. */
static void judge(const view *view, weir__finding *out, double value, double threshold) {
    out->value = value;
    out->threshold = threshold;
    out->exceeded = value > 0 && value >= threshold;
    out->over = !(value > 0) || value < threshold * (1 - view->options->alert_hysteresis);
}

static void judge_calls(const view *view, weir__finding *out, double value, double threshold, uint64_t count,
                        uint64_t total) {
    judge(view, out, value, threshold);
    out->count = count;
    out->total = total;
    out->window = view->window;
    if (total < (uint64_t)view->options->alert_minimum_calls) out->exceeded = false;
}

static void judge_rate(const view *view, weir__finding *out, double threshold, uint64_t failed,
                       uint64_t total) {
    judge_calls(view, out, total ? (double)failed / (double)total : 0, threshold, failed, total);
}

static void end_at_a_character(char detail[WEIR__DETAIL_SIZE]) {
    detail[weir__whole_characters(detail, strlen(detail))] = '\0';
}

/* "disconnected, ConnectError: …" */
static void describe_health(const weir_health *health, char out[WEIR__DETAIL_SIZE]) {
    const char *failure = *health->connect_failure ? health->connect_failure : health->last_failure;
    unsigned reason = 0; /* the first is one of the worst */
    while (!(health->reasons >> reason & 1)) reason++;
    snprintf(out, WEIR__DETAIL_SIZE, "%.24s%s%.160s", weir_health_reason_name((weir_health_reason)reason),
             *failure ? ", " : "", failure);
    end_at_a_character(out);
}

static bool database_unhealthy(view *view, weir__finding *out) {
    weir_health health = {.struct_size = sizeof health};
    weir__health_read(view->pool, &health);
    out->exceeded = health.status == WEIR_UNHEALTHY;
    out->over = !out->exceeded;
    out->value = health.status;
    out->threshold = WEIR_UNHEALTHY;
    out->count = (uint64_t)(view->pool->failures + health.failures_in_a_row);
    if (out->exceeded) describe_health(&health, view->detail);
    return true;
}

static const weir__breaker *breaker_of(const weir_pool *pool, int i) {
    return weir__guard_of(pool, i ? WEIR_BREAKER_QUERIES : WEIR_BREAKER_CONNECTS);
}

static bool circuit_breaker_open(view *view, weir__finding *out) {
    int calm = 0;
    for (int i = 0; i < 2; i++) {
        const weir__breaker *breaker = breaker_of(view->pool, i);
        bool open = weir__breaker_shut(breaker);
        calm += weir__breaker_calm(breaker);
        out->count += view->opened[i];
        out->value += open;
        if (!open && !view->opened[i]) continue;
        snprintf(view->detail, WEIR__DETAIL_SIZE, "%.16s%s%.160s", breaker->name,
                 *breaker->last_failure ? ", " : "", breaker->last_failure);
        end_at_a_character(view->detail);
    }
    out->exceeded = out->value > 0 || out->count;
    out->over = calm == 2 && !out->count;
    out->threshold = 1;
    return true;
}

static bool high_query_failure_rate(view *view, weir__finding *out) {
    judge_rate(view, out, view->options->alert_query_failure_rate,
               view->present.queries_failed - view->since->queries_failed,
               view->present.queries - view->since->queries);
    return view->options->alert_query_failure_rate >= 0;
}

static bool high_checkout_failure_rate(view *view, weir__finding *out) {
    judge_rate(view, out, view->options->alert_checkout_failure_rate,
               view->present.checkouts_failed - view->since->checkouts_failed,
               view->present.checkouts - view->since->checkouts);
    return view->options->alert_checkout_failure_rate >= 0;
}

static bool connection_leaks(view *view, weir__finding *out) {
    const weir_pool *pool = view->pool;
    for (size_t i = 0; i < pool->slot_count; i++)
        out->count += pool->slots[i]->state == WEIR__LENT && pool->slots[i]->leaked;
    judge(view, out, (double)out->count, view->options->alert_leaks);
    out->total = (uint64_t)view->now.active;
    return view->options->alert_leaks >= 0;
}

/* With a share of connection_budget it is what that leaves. */
static int most_of(const weir_pool *pool) {
    int most = weir__pool_allowed(pool);
    return most > 1 ? most : 1;
}

static bool high_pool_usage(view *view, weir__finding *out) {
    uint64_t looks = view->present.looks - view->since->looks;
    if (!looks) return false;
    judge(view, out, (view->present.usage - view->since->usage) / (double)looks,
          view->options->alert_pool_usage);
    out->count = (uint64_t)view->now.active;
    out->total = (uint64_t)most_of(view->pool);
    out->window = view->window;
    return view->options->alert_pool_usage >= 0;
}

static bool slow_queries(view *view, weir__finding *out) {
    judge_calls(view, out, view->query.p99, (double)view->options->alert_query_time_ms / 1000,
                view->query.count, view->query.count);
    return view->options->alert_query_time_ms >= 0;
}

static bool slow_checkouts(view *view, weir__finding *out) {
    judge_calls(view, out, view->wait.p99, (double)view->options->alert_checkout_time_ms / 1000,
                view->wait.count, view->wait.count);
    return view->options->alert_checkout_time_ms >= 0;
}

/* In the order of the types. False: the rule is switched off, or has nothing to go by. */
static bool (*const rules[WEIR__ALERT_TYPES])(view *view, weir__finding *out) = {
    database_unhealthy,
    circuit_breaker_open,
    high_query_failure_rate,
    high_checkout_failure_rate,
    connection_leaks,
    high_pool_usage,
    slow_queries,
    slow_checkouts,
};

/* ---- looking */

static void apply(weir__monitor *monitor, weir_alert_type type, const weir__finding *finding, int64_t now) {
    weir__rule *rule = &monitor->alerts.rules[type];
    bool otherwise = rule->active ? finding->over : finding->exceeded;
    /* A breaker has made sure of it already. */
    int needed = type == WEIR_ALERT_CIRCUIT_BREAKER_OPEN ? 1 : weir__monitor_options(monitor)->alert_after;
    rule->turn = otherwise ? rule->turn + (rule->turn < needed) : 0;
    if (rule->turn < needed) return;
    if (rule->active) {
        rule->turn = 0;
        weir__alert_resolve(monitor, type, now);
    } else if (now >= rule->silent_until) {
        rule->turn = 0;
        weir__alert_fire(monitor, type, finding, now);
    }
}

/* How often the breakers have opened since the last time. */
static void take_openings(weir__monitor *monitor, uint64_t out[2]) {
    for (int i = 0; i < 2; i++) {
        uint64_t now = breaker_of(monitor->extension.pool, i)->totals.opened;
        out[i] = now - monitor->opened[i];
        monitor->opened[i] = now;
    }
}

/* A look that comes late was made by a call, since nobody else drives the pool, and would always find that
 * call's connection in use. */
static void take_usage(weir__monitor *monitor, const weir_snapshot *snapshot, int64_t now) {
    if (now - monitor->look_at >= WEIR__UNDRIVEN) return;
    monitor->usage += (double)snapshot->active / most_of(monitor->extension.pool);
    monitor->looks++;
}

void weir__rules_look(weir__monitor *monitor, int64_t now) {
    weir_pool *pool = monitor->extension.pool;
    if (pool->closing || pool->draining) return; /* what it finds from now on is never over */
    view view = {.pool = pool, .options = &pool->config->options};
    weir__pool_gauges(pool, &view.now);
    take_usage(monitor, &view.now, now);
    view.since = begin_of_window(monitor, now);
    view.present = present(monitor, now);
    view.window = (double)(now - view.since->at) / 1e9;
    take_openings(monitor, view.opened);
    weir__base_read(&view.since->wait, &pool->stats->wait, &view.wait);
    weir__base_read(&view.since->query, &pool->stats->query, &view.query);
    for (int type = 0; type < WEIR__ALERT_TYPES; type++) {
        weir__finding finding = {0};
        *view.detail = '\0';
        if (!rules[type](&view, &finding)) continue;
        finding.detail = view.detail;
        apply(monitor, (weir_alert_type)type, &finding, now);
    }
    int64_t slice = view.options->alert_window_ms * WEIR__MS / WEIR__SLICES;
    int64_t last = monitor->marks[(monitor->mark_count - 1) % WEIR__MARKS].at;
    if ((now - monitor->begun_at) / slice > (last - monitor->begun_at) / slice) set_mark(monitor, now);
}

void weir__rules_start(weir__monitor *monitor, int64_t now) {
    uint64_t before[2];
    take_openings(monitor, before);
    set_mark(monitor, now);
}

/* Numbers of several pools as those of one. */
#include "metrics/render.h"

#include <string.h>

weir_breaker_state weir__breaker_narrower(weir_breaker_state a, weir_breaker_state b) {
    static const int severity[] = {
        [WEIR_BREAKER_CLOSED] = 0,    [WEIR_BREAKER_DISABLED] = 1, [WEIR_BREAKER_METRICS_ONLY] = 2,
        [WEIR_BREAKER_HALF_OPEN] = 3, [WEIR_BREAKER_OPEN] = 4,     [WEIR_BREAKER_FORCED_OPEN] = 5};
    return severity[a] > severity[b] ? a : b;
}

static int64_t narrower(int64_t a, int64_t b) {
    return weir__breaker_narrower((weir_breaker_state)a, (weir_breaker_state)b);
}

static void add_histogram(weir_histogram *to, const weir_histogram *more) {
    to->count += more->count;
    to->sum += more->sum;
    if (more->max > to->max) to->max = more->max;
    for (size_t n = 0; n < WEIR_HISTOGRAM_BUCKETS; n++) to->buckets[n] += more->buckets[n];
}

void weir__figures_take(weir__figures *figures, const weir__cells *cells) {
    memcpy(figures->alerts, cells->alerts, sizeof figures->alerts);
    memcpy(figures->failures, cells->failures, sizeof figures->failures);
}

void weir__figures_add(weir__figures *to, const weir__figures *more) {
    int64_t connects = narrower(to->now.circuit_connect, more->now.circuit_connect);
    int64_t queries = narrower(to->now.circuit_query, more->now.circuit_query);
    int64_t health = to->now.health > more->now.health ? to->now.health : more->now.health;
    int64_t pods = to->now.pods > more->now.pods ? to->now.pods : more->now.pods;
    int64_t share = to->now.share < 0 || more->now.share < 0 ? -1 : to->now.share + more->now.share;
#define ADD(name, text) to->now.name += more->now.name;
#define ADD_LATENCY(name, text) add_histogram(&to->now.name, &more->now.name);
    WEIR_GAUGES(ADD)
    WEIR_COUNTERS(ADD)
    WEIR_LATENCIES(ADD_LATENCY)
#undef ADD
#undef ADD_LATENCY
    for (int type = 0; type < WEIR__ALERT_TYPES; type++) to->alerts[type] += more->alerts[type];
    weir__failures_add(to->failures, more->failures);
    for (int failed = 0; failed < 2; failed++)
        weir__exemplars_add(&to->exemplars[failed], &more->exemplars[failed]);
    to->now.circuit_connect = connects;
    to->now.circuit_query = queries;
    to->now.health = health;
    to->now.pods = pods;
    to->now.share = share;
}

/* The pool's numbers, all read at one instant. */
#ifndef WEIRPOOL_SNAPSHOT_H
#define WEIRPOOL_SNAPSHOT_H

#include <weirpool/export.h>

WEIR_BEGIN_DECLS

/*
 * A latency distribution: an exponential histogram of OpenTelemetry's scale 3 (eight cells in each power of
 * two, bounds 2^(n/8) nanoseconds), whose cells are split at OpenTelemetry's nine bucket bounds for
 * durations, so that both the percentiles and Prometheus' buckets come from the same cells, the buckets
 * exactly.
 */
#define WEIR_HISTOGRAM_BUCKETS 10 /* the nine bounds' buckets, and the one above the last */
typedef struct weir_histogram {
    uint64_t count;
    double sum; /* seconds */
    double max; /* seconds; 0 when empty */
    /* seconds, within 4.5 % of the exact percentile (nearest rank) from 1 µs to 137 s; 0 when empty. What
       lies below is given as 1 µs, what lies above as max; none is above max. */
    double p50, p90, p99, p999;
    uint64_t buckets[WEIR_HISTOGRAM_BUCKETS]; /* not cumulative; observations <= bound n, > bound n-1 */
} weir_histogram;
/* The upper bound of bucket n in seconds: .001 .005 .01 .05 .1 .5 1 5 10, then infinity. */
WEIR_API double weir_histogram_bound(size_t n);

/*
 * X(name, text): gauges, then counters. checkouts_started = granted + timed_out + cancelled + refused +
 * waiting holds in every snapshot. A statement that runs on the pool itself is a checkout too.
 * queries_started = succeeded + failed + timed_out + cancelled + those that run; the latency query has all
 * that have ended but those cancelled, which say nothing of the server, and query_failed those failed and
 * timed out.
 */
#define WEIR_GAUGES(X)                                                                                       \
    X(size, "connections open, in use and idle")                                                             \
    X(idle, "connections ready to be lent")                                                                  \
    X(active, "connections lent, or running a statement of the pool's own callers")                          \
    X(connecting, "connections being made")                                                                  \
    X(cleaning, "connections being reset, cancelled, set up, checked or closed")                             \
    X(overflow, "connections above max_size")                                                                \
    X(waiting, "callers waiting for a connection")                                                           \
    X(min_size, "connections that the pool keeps open")                                                      \
    X(max_size, "connections that the pool keeps at most")                                                   \
    X(max_overflow, "further connections under load")                                                        \
    X(limit, "connections that are lent at a time at most, with adaptive_size as learnt")                    \
    X(overloaded, "1 while callers are refused early by queue_target, else 0")                               \
    X(listeners, "listeners, each with a connection beside these")                                           \
    X(pods, "processes that share the database, as pod_source tells; 0: unknown")                            \
    X(share, "connections that this one may have of connection_budget by now; -1: there is no budget")       \
    X(alerts_active, "alerts that have fired and are not resolved")                                          \
    X(probing, "attempts to find out whether the server is back")                                            \
    X(circuit_connect,                                                                                       \
      "state of the breaker for connecting: 0 closed, 1 open, 2 half-open, 3 forced open, 4 disabled, 5 "    \
      "metrics only")                                                                                        \
    X(circuit_query, "state of the breaker for statements, likewise")                                        \
    X(health, "status of the pool's health: 0 healthy, 1 degraded, 2 unhealthy")

#define WEIR_COUNTERS(X)                                                                                     \
    X(checkouts_started, "requests for a connection")                                                        \
    X(checkouts_granted, "requests that got one")                                                            \
    X(checkouts_timed_out, "requests that waited longer than checkout_timeout")                              \
    X(checkouts_cancelled, "requests that were cancelled while they waited")                                 \
    X(checkouts_refused, "requests refused: queue full, database down, circuit breaker open, pool closed")   \
    X(checkouts_shed, "requests of these that queue_target refused early")                                   \
    X(overloads, "times that queue_target began to refuse")                                                  \
    X(checkouts_nested, "requests that had to wait, all connections taken, of who held one of them already") \
    X(leaks, "connections held for longer than leak_threshold")                                              \
    X(leaks_reclaimed, "connections of these that were taken back from their holders")                       \
    X(transactions_idle, "transactions that were idle for longer than idle_in_transaction_timeout")          \
    X(returned, "connections given back")                                                                    \
    X(connections_started, "attempts to connect")                                                            \
    X(connections_created, "attempts that succeeded")                                                        \
    X(connections_failed, "attempts that failed")                                                            \
    X(connections_closed, "connections closed, for whatever reason")                                         \
    X(connections_lost, "connections that died by themselves")                                               \
    X(connections_recycled, "connections closed because of their age, or of a call of expire()")             \
    X(queries_started, "statements sent")                                                                    \
    X(queries_succeeded, "statements that succeeded")                                                        \
    X(queries_failed, "statements that failed, or that the pool ended")                                      \
    X(queries_timed_out, "statements that took longer than their timeout, or their session's")               \
    X(queries_cancelled, "statements whose caller went away")                                                \
    X(notifications, "notifications that have come for listeners")                                           \
    X(notifications_dropped, "notifications of these that found the listener's queue full")                  \
    X(listeners_reconnected, "connections of listeners that were lost and made anew")                        \
    X(circuit_refused, "requests and statements that a circuit breaker refused")                             \
    X(probes_started, "attempts to find out whether the server is back")                                     \
    X(health_checks_passed, "health checks that passed")                                                     \
    X(health_checks_failed, "health checks that failed")

#define WEIR_LATENCIES(X)                                                                                    \
    X(wait, "from the request for a connection to its grant")                                                \
    X(use, "from the grant of a connection to its return")                                                   \
    X(connect, "from the start of an attempt to connect to its success")                                     \
    X(query, "from the sending of a statement to its end, but of those whose caller went away")              \
    X(query_failed, "the same, of those statements alone that failed")                                       \
    X(health_check, "from the begin of a health check to its passing")

typedef struct weir_snapshot {
    size_t struct_size; /* sizeof(weir_snapshot), set by the caller */
#define WEIR__GAUGE(name, text) int64_t name;
    WEIR_GAUGES(WEIR__GAUGE)
#undef WEIR__GAUGE
#define WEIR__COUNTER(name, text) uint64_t name;
    WEIR_COUNTERS(WEIR__COUNTER)
#undef WEIR__COUNTER
#define WEIR__LATENCY(name, text) weir_histogram name;
    WEIR_LATENCIES(WEIR__LATENCY)
#undef WEIR__LATENCY
} weir_snapshot;

typedef enum weir_metric_kind {
    WEIR_METRIC_GAUGE = 0,   /* int64_t */
    WEIR_METRIC_COUNTER = 1, /* uint64_t */
    WEIR_METRIC_LATENCY = 2, /* weir_histogram */
    WEIR_METRIC_RATIO = 3,   /* double */
    WEIR_METRIC_TIME = 4,    /* int64_t, milliseconds; -1: none */
} weir_metric_kind;

/* One field of weir_snapshot, so that bindings can show a snapshot without naming its fields. The strings are
 * static. */
typedef struct weir_metric_info {
    const char *name; /* "checkouts_started" */
    weir_metric_kind kind;
    size_t offset; /* bytes from the start of weir_snapshot */
    const char *text;
} weir_metric_info;
/* Rows 0 … n-1: gauges, counters, latencies, in the order of their tables; false past the end. Any thread. */
WEIR_API bool weir_metric_table(size_t row, weir_metric_info *out);

WEIR_END_DECLS

#endif

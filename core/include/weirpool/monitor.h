/*
 * What a pool watches of itself (option monitoring): alerts with the numbers that caused them, the slowest
 * statements, and how its numbers went of late. All in memory of a fixed size: 0.9 MB a pool, which are taken
 * from the system as they fill up in the course of a day, and at most 0.4 MB of alerts and statements.
 *
 * The pool looks at itself by the reactor's timers: where nobody drives the reactor, at the next call. Any
 * thread may call these functions. WEIR_EFORKED in a forked child; WEIR_ENOTSUP where monitoring is off.
 */
#ifndef WEIRPOOL_MONITOR_H
#define WEIRPOOL_MONITOR_H

#include <weirpool/pool.h>

WEIR_BEGIN_DECLS

/* X(suffix, value, name, severity, text) */
#define WEIR_ALERTS(X)                                                                                       \
    X(DATABASE_UNHEALTHY, 0, "database_unhealthy", CRITICAL, "the pool cannot serve")                        \
    X(CIRCUIT_BREAKER_OPEN, 1, "circuit_breaker_open", CRITICAL, "a circuit breaker has opened")             \
    X(HIGH_QUERY_FAILURE_RATE, 2, "high_query_failure_rate", CRITICAL, "too many statements fail")           \
    X(HIGH_CHECKOUT_FAILURE_RATE, 3, "high_checkout_failure_rate", WARNING,                                  \
      "too many requests for a connection fail")                                                             \
    X(CONNECTION_LEAKS, 4, "connection_leaks", WARNING, "too many connections are held for too long")        \
    X(HIGH_POOL_USAGE, 5, "high_pool_usage", WARNING, "almost all connections are in use")                   \
    X(SLOW_QUERIES, 6, "slow_queries", WARNING, "statements take too long")                                  \
    X(SLOW_CHECKOUTS, 7, "slow_checkouts", WARNING, "waits for a connection take too long")

typedef enum weir_alert_type {
#define WEIR__ALERT(suffix, value, name, severity, text) WEIR_ALERT_##suffix = value,
    WEIR_ALERTS(WEIR__ALERT)
#undef WEIR__ALERT
} weir_alert_type;

typedef enum weir_severity {
    WEIR_SEVERITY_WARNING = 0,
    WEIR_SEVERITY_CRITICAL = 1,
} weir_severity;

#define WEIR_ALERTS_KEPT 1000
#define WEIR_ALERT_MESSAGE_SIZE 320
/*
 * value: a share for the rates and the usage, seconds that 99 % stay below (within 4.5 %) for the slow ones,
 * connections for leaks, breakers that are open, the weir_health_status. count of total: statements or
 * requests that failed, of those that ended; those that were measured, twice; connections in use, of those
 * that may be (for leaks: held for too long, of those in use); times a breaker has opened; attempts to
 * connect and checks that failed in a row.
 */
typedef struct weir_alert {
    uint64_t number; /* 1, 2 … */
    weir_alert_type type;
    weir_severity severity;
    int64_t fired_ns, resolved_ns; /* monotonic, as weir_now_ns gives it; 0: it is active */
    double value, threshold;       /* what was found, and from where on that is too much */
    uint64_t count, total;
    double window;                         /* seconds that the numbers are of; 0: of that moment */
    char message[WEIR_ALERT_MESSAGE_SIZE]; /* one sentence with all that, and the last error where there is
                                              one; no secret, no parameter */
} weir_alert;

/* "slow_queries"; "critical"; what a type says, in a few words; NULL for what is none. Static. */
WEIR_API const char *weir_alert_name(weir_alert_type type);
WEIR_API const char *weir_severity_name(weir_severity severity);
WEIR_API const char *weir_alert_text(weir_alert_type type);

/* The active ones, or the last WEIR_ALERTS_KEPT of all; the oldest first. *out is the caller's,
 * weir_alerts_free; NULL where there are none. WEIR_ENOMEM. */
WEIR_API int weir_pool_alerts(weir_pool *pool, bool active, weir_alert **out, size_t *count,
                              weir_error *error);
/* NULL is accepted. */
WEIR_API void weir_alerts_free(weir_alert *alerts);

/*
 * The alerts as events: that it has fired, or (resolved_ns is set then) that it is resolved. Takes the first
 * one after number *after, which becomes its number; begin with 0, or with weir_pool_last_alert for those to
 * come. False when there is none. Any number of readers.
 */
WEIR_API bool weir_pool_next_alert(weir_pool *pool, uint64_t *after, weir_alert *out);
/* The number of the last event; 0: none. No lock is taken: to be asked as often as one likes. */
WEIR_API uint64_t weir_pool_last_alert(const weir_pool *pool);

/* A statement that took longer than slow_query_threshold, answered or not; none of a batch whose statements
 * go together. */
typedef struct weir_slow_statement {
    char text[WEIR_FINGERPRINT_SIZE]; /* see weir_statement_fingerprint */
    uint64_t count;                   /* times that it was too slow; since it has been kept */
    double total, max, last;          /* seconds that it took these times */
    int64_t last_ns;                  /* when it did so last, monotonic */
} weir_slow_statement;

/*
 * Those kept, at most slow_queries_kept, by their total time, the largest first. A new one takes the place of
 * the one with the smallest total. *out is the caller's, weir_slow_statements_free; NULL where there are
 * none. WEIR_ENOMEM.
 */
WEIR_API int weir_pool_slow_statements(weir_pool *pool, weir_slow_statement **out, size_t *count,
                                       weir_error *error);
/* NULL is accepted. */
WEIR_API void weir_slow_statements_free(weir_slow_statement *statements);

/* X(seconds between two samples, samples kept) */
#define WEIR_HISTORIES(X)                                                                                    \
    X(1, 600)                                                                                                \
    X(10, 720)                                                                                               \
    X(60, 1440)

/* What a snapshot at that time has had in that field. */
typedef struct weir_history_point {
    int64_t at_ns;  /* monotonic; where nobody drove the reactor it was read up to a step later */
    double value;   /* of a gauge or a counter */
    uint64_t count; /* of a latency: how many there were since the point before … */
    double sum, p50, p90, p99, p999; /* … and their seconds; within 0.4 % of what a snapshot of them has */
} weir_history_point;

/*
 * metric: a name of weir_metric_table. since_ms: so long ago and later; -1: all that is kept.
 * step_ms: 1000, 10000 or 60000 between two points; 0: the shortest that reaches back so far. There is no
 * point for times at which nobody drove the reactor. The oldest first; *out is the caller's,
 * weir_history_free; NULL where there are none. *kind: what the metric is. WEIR_EINVAL names what is wrong,
 * WEIR_ENOMEM.
 */
WEIR_API int weir_pool_history(weir_pool *pool, const char *metric, int64_t since_ms, int64_t step_ms,
                               weir_metric_kind *kind, weir_history_point **out, size_t *count,
                               weir_error *error);
/* NULL is accepted. */
WEIR_API void weir_history_free(weir_history_point *points);

WEIR_END_DECLS

#endif

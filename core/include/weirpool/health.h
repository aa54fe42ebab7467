/* How a pool is: checks of its connections, what they found, and a status with its reasons. */
#ifndef WEIRPOOL_HEALTH_H
#define WEIRPOOL_HEALTH_H

#include <weirpool/pool.h>

WEIR_BEGIN_DECLS

/* X(suffix, value, name, text) */
#define WEIR_HEALTH_STATUSES(X)                                                                              \
    X(HEALTHY, 0, "healthy", "it serves")                                                                    \
    X(DEGRADED, 1, "degraded", "it serves, but something is wrong")                                          \
    X(UNHEALTHY, 2, "unhealthy", "it cannot serve")

/* X(suffix, value, status, name, text): why it is not healthy. The worst of them makes the status. */
#define WEIR_HEALTH_REASONS(X)                                                                               \
    X(CLOSED, 0, UNHEALTHY, "closed", "the pool is closed, or closes")                                       \
    X(CIRCUIT_OPEN, 1, UNHEALTHY, "circuit_open", "a circuit breaker refuses calls")                         \
    X(DISCONNECTED, 2, UNHEALTHY, "disconnected",                                                            \
      "no connection lives, and the last attempt has failed, or lasts for longer than a second")             \
    X(CHECKS_FAILING, 3, UNHEALTHY, "checks_failing", "three checks or more in a row have failed")           \
    X(CHECK_FAILED, 4, DEGRADED, "check_failed", "the last check has failed")                                \
    X(CIRCUIT_HALF_OPEN, 5, DEGRADED, "circuit_half_open", "the circuit breaker lets calls in by and by")    \
    X(CONNECT_FAILING, 6, DEGRADED, "connect_failing", "connections live, but no new one can be made")       \
    X(CONNECTIONS_LOST, 7, DEGRADED, "connections_lost", "a connection was lost within the last minute")     \
    X(EXHAUSTED, 8, DEGRADED, "exhausted",                                                                   \
      "all connections are taken, and somebody has waited for one for longer than a second")                 \
    X(LEAKS, 9, DEGRADED, "leaks", "a connection has been held for longer than leak_threshold")              \
    X(STANDBY, 10, DEGRADED, "standby",                                                                      \
      "the server takes no writes, as one that was refused within the last minute, or a check, has shown")

/* X(suffix, value, name, text): what the history has. */
#define WEIR_HEALTH_EVENTS(X)                                                                                \
    X(STATUS, 0, "status", "the status has changed")                                                         \
    X(PASSED, 1, "passed", "a check has passed; of several in a row the first")                              \
    X(FAILED, 2, "failed", "a check has failed")                                                             \
    X(EXPIRED, 3, "expired", "the server takes no writes: all connections are made anew")

typedef enum weir_health_status {
#define WEIR__STATUS(suffix, value, name, text) WEIR_##suffix = value,
    WEIR_HEALTH_STATUSES(WEIR__STATUS)
#undef WEIR__STATUS
} weir_health_status;

typedef enum weir_health_reason {
#define WEIR__REASON(suffix, value, status, name, text) WEIR_HEALTH_##suffix = value,
    WEIR_HEALTH_REASONS(WEIR__REASON)
#undef WEIR__REASON
} weir_health_reason;

typedef enum weir_health_event_kind {
#define WEIR__EVENT(suffix, value, name, text) WEIR_HEALTH_EVENT_##suffix = value,
    WEIR_HEALTH_EVENTS(WEIR__EVENT)
#undef WEIR__EVENT
} weir_health_event_kind;

#define WEIR_HEALTH_TEXT_SIZE 160
typedef struct weir_health {
    size_t struct_size; /* sizeof(weir_health), set by the caller */
    weir_health_status status;
    unsigned reasons;        /* bit n: the weir_health_reason of value n holds; none when it is healthy */
    int64_t status_age_ms;   /* since it has this status */
    int64_t last_check_ms;   /* since the last check ended; -1: there was none */
    int64_t latency_ns;      /* of the last check that has passed; -1: none */
    int failures_in_a_row;   /* checks that have failed since one has passed; not those that got no connection
                              */
    uint64_t passed, failed; /* checks since the pool was opened: the snapshot's health_checks_… */
    char last_failure[WEIR_HEALTH_TEXT_SIZE]; /* "ConnectionLost: …" of the last that failed, cut; or "" */
    char connect_failure[WEIR_HEALTH_TEXT_SIZE]; /* … of the last attempt to connect, while they fail */
} weir_health;

/*
 * Fills in *out, whose struct_size the caller has set, as of now; asks nobody. Whether a reason holds is told
 * by the pool's own state: see weir_pool_check_health for a question to the server. WEIR_EINVAL,
 * WEIR_EFORKED. Any thread.
 */
WEIR_API int weir_pool_health(weir_pool *pool, weir_health *out, weir_error *error);
/*
 * Runs the option health_check_query as a caller's statement is run: it waits in line for a connection, which
 * is made if there is none, and may be refused. What it found is in weir_pool_health then, and in the
 * history: the operation completes with WEIR_OK, whether it passed or not (WEIR_DONE_HEALTH). timeout_ms:
 * over waiting and asking, WEIR_TIMEOUT_DEFAULT: health_check_timeout; -1: none. WEIR_OK: it has ended at
 * once. WEIR_ECLOSED, WEIR_ENOMEM, WEIR_EINVAL, WEIR_EFORKED.
 */
WEIR_API int weir_pool_check_health(weir_pool *pool, int64_t timeout_ms, void *token, weir_op *op,
                                    weir_error *error);

typedef struct weir_health_event {
    uint64_t number; /* 1, 2 … */
    int64_t at_ns;   /* monotonic, as weir_now_ns gives it */
    weir_health_event_kind kind;
    weir_health_status before, status; /* the two differ when kind is STATUS */
    unsigned reasons;                  /* … and these are why; else 0 */
    int64_t duration_ns;               /* of a check; -1 */
    char
        text[WEIR_HEALTH_TEXT_SIZE]; /* of a check that failed, or of what was refused: "ConnectionLost: …" */
} weir_health_event;

#define WEIR_HEALTH_EVENTS_KEPT 64
/* The first event after number *after, if there is one; *after becomes its number. Begin with 0. The last
   WEIR_HEALTH_EVENTS_KEPT are there: numbers that are left out say that events are lost. Any thread. */
WEIR_API bool weir_pool_next_health_event(weir_pool *pool, uint64_t *after, weir_health_event *out);

/* "degraded"; "circuit_open"; "passed"; NULL for what is none. Static. */
WEIR_API const char *weir_health_status_name(weir_health_status status);
WEIR_API const char *weir_health_reason_name(weir_health_reason reason);
WEIR_API const char *weir_health_event_name(weir_health_event_kind kind);
/* What the reason says. Static; NULL for what is none. */
WEIR_API const char *weir_health_reason_text(weir_health_reason reason);

WEIR_END_DECLS

#endif

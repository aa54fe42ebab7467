/*
 * A circuit breaker: it counts how calls end, refuses them at once while what they call is down, and lets
 * them in again step by step.
 *
 *     code = weir_breaker_acquire(breaker, &permit, &error);        WEIR_ECIRCUITOPEN: do not call
 *     … the call …
 *     outcome = weir_breaker_classify(breaker, &failure, WEIR_VERDICT_NONE);
 *     weir_breaker_record(breaker, &permit, outcome, -1, &failure);
 *
 * Each permit ends in one record or cancel. A breaker has no thread and no timer: what falls due is done at
 * the next call of any of these functions, as of the time when it fell due. Any thread may call them, but
 * weir_breaker_free. A child of fork may go on using its copy, unless another thread was inside a call of the
 * breaker while the fork was made. A pool's breakers (weir_pool_breaker) look after themselves.
 */
#ifndef WEIRPOOL_BREAKER_H
#define WEIRPOOL_BREAKER_H

#include <weirpool/error.h>
#include <weirpool/option.h>
#include <weirpool/snapshot.h>

WEIR_BEGIN_DECLS

typedef struct weir_breaker weir_breaker;

/* X(suffix, value, name, text) */
#define WEIR_BREAKER_STATES(X)                                                                               \
    X(CLOSED, 0, "closed", "calls are let in, and counted")                                                  \
    X(OPEN, 1, "open", "calls are refused, until a probe succeeds or the recovery timeout passes")           \
    X(HALF_OPEN, 2, "half_open", "a few calls are let in: 1, 2, 4 … at once; a failure opens it again")      \
    X(FORCED_OPEN, 3, "forced_open", "calls are refused until somebody changes the state")                   \
    X(DISABLED, 4, "disabled", "all calls are let in, none decides anything")                                \
    X(METRICS_ONLY, 5, "metrics_only", "all calls are let in; what would have opened it is an event only")

typedef enum weir_breaker_state {
#define WEIR__STATE(suffix, value, name, text) WEIR_BREAKER_##suffix = value,
    WEIR_BREAKER_STATES(WEIR__STATE)
#undef WEIR__STATE
} weir_breaker_state;

/* How a call ended. */
typedef enum weir_outcome {
    WEIR_OUTCOME_SUCCESS = 0,
    WEIR_OUTCOME_FAILURE = 1,
    WEIR_OUTCOME_IGNORED = 2, /* says nothing about what was called */
} weir_outcome;

/* What the host's own predicates say of an error. */
typedef enum weir_verdict {
    WEIR_VERDICT_NONE = 0,
    WEIR_VERDICT_RECORD = 1, /* as if `record` named it */
    WEIR_VERDICT_IGNORE = 2, /* as if `ignore` named it */
} weir_verdict;

/*
 * CODE(suffix, outcome): an error of that code. SQLSTATE(prefix, outcome): a WEIR_ESERVER with such a
 * SQLSTATE, the longest prefix counts. The server has answered when any other SQLSTATE came: SUCCESS. Other
 * codes are IGNORED: wrong use, a cancelled operation, another breaker's refusal.
 */
#define WEIR_BREAKER_OUTCOMES(CODE, SQLSTATE)                                                                \
    CODE(ECONNECT, FAILURE)                                                                                  \
    CODE(ELOST, FAILURE)                                                                                     \
    CODE(EOUTCOME, FAILURE)                                                                                  \
    CODE(EOUTCOMETIMEOUT, FAILURE)                                                                           \
    CODE(ETIMEOUT, FAILURE)                                                                                  \
    CODE(ECONNECTTIMEOUT, FAILURE)                                                                           \
    CODE(ECHECKOUTTIMEOUT, FAILURE)                                                                          \
    CODE(ECOMMANDTIMEOUT, FAILURE)                                                                           \
    CODE(ELOCKTIMEOUT, SUCCESS) /* somebody else's transaction is long, the server is well */                \
    CODE(EROLLEDBACK, SUCCESS)                                                                               \
    SQLSTATE("08", FAILURE)    /* connection exceptions */                                                   \
    SQLSTATE("53", FAILURE)    /* out of memory, of disk space, of connections */                            \
    SQLSTATE("57P", FAILURE)   /* shutdown, crash, cannot connect now */                                     \
    SQLSTATE("57014", IGNORED) /* cancelled */                                                               \
    SQLSTATE("58", FAILURE)    /* I/O errors */                                                              \
    SQLSTATE("F0", FAILURE)    /* its configuration file */                                                  \
    SQLSTATE("XX", FAILURE)    /* internal errors, corrupted data */

/*
 * COUNT, TIME, FLAG, TEXT: as in WEIR_OPTIONS. RATIO(name, default, least, most, nullable, text): a double, 0
 * to 1; null (-1) switches it off. These are a pool's options, too, by names that begin with circuit_.
 */
#define WEIR_BREAKER_RULES(COUNT, TIME, RATIO, FLAG, TEXT)                                                     \
    COUNT(failure_threshold, 5, 1, 1000000, true, "failures in a row that open it")                            \
    RATIO(failure_rate, 0.5, 0.001, 1, true,                                                                   \
          "share of failures in the window that opens it, when there are minimum_calls in it")                 \
    RATIO(slow_call_rate, -1, 0.001, 1, true,                                                                  \
          "share of slow calls in the window that opens it, when there are minimum_calls in it")               \
    TIME(slow_call_duration, 5000, 1, 86400000, false, "a call that takes this long, or longer, is slow")      \
    TEXT(window, "count", "count|time",                                                                        \
         "what the rates look at: the last window_calls calls, or the calls of the last window_time")          \
    COUNT(window_calls, 100, 1, 100000, false, "size of the window by count")                                  \
    TIME(window_time, 60000, 1, 86400000, false,                                                               \
         "size of the window by time, of which it loses 1/32 at once")                                         \
    COUNT(minimum_calls, 20, 1, 1000000, false,                                                                \
          "calls in the window before a rate counts; at most window_calls, when the window is by count")       \
    TIME(recovery_timeout, 60000, 1, 86400000, false,                                                          \
         "calls are refused for this long, less jitter, when no probe succeeds before; doubled with each "     \
         "opening until it has been closed again")                                                             \
    TIME(recovery_timeout_max, 600000, 1, 86400000, false,                                                     \
         "what recovery_timeout grows to, unless it is longer itself")                                         \
    RATIO(recovery_jitter, 0.1, 0, 1, false, "share of the recovery timeout that chance takes away at most")   \
    COUNT(slow_start, 4, 1, 10000, false,                                                                      \
          "half-open, 1 call is let in at a time, then 2, 4 … up to this many: when so many have succeeded " \
          "it closes")                                                                                         \
    TIME(half_open_timeout, 30000, 1, 86400000, false,                                                         \
         "half-open, a place that is taken for this long is given to another call; and after this long "       \
         "without a call it closes, if one has succeeded and none failed")                                     \
    FLAG(call_events, false, "events for each call, too")                                                      \
    TEXT(                                                                                                      \
        record, NULL, NULL,                                                                                    \
        "what counts as failure besides: SQLSTATEs' first characters, names of errors, with commas between "   \
        "them (08,ConnectionLost)")                                                                            \
    TEXT(ignore, NULL, NULL, "what does not count, in the same form; beats record")
#define WEIR_BREAKER_OPTIONS(COUNT, TIME, RATIO, FLAG, TEXT)                                                 \
    TEXT(name, NULL, NULL, "the breaker's name in errors and metrics")                                       \
    WEIR_BREAKER_RULES(COUNT, TIME, RATIO, FLAG, TEXT)

/* Start with weir_breaker_options_init. The caller owns what it points at; a breaker copies what it needs. */
typedef struct weir_breaker_options {
    size_t size; /* sizeof(weir_breaker_options), by weir_breaker_options_init */
#define WEIR__COUNT(name, initial, least, most, nullable, text) int name;
#define WEIR__TIME(name, initial, least, most, nullable, text) int64_t name##_ms;
#define WEIR__RATIO(name, initial, least, most, nullable, text) double name;
#define WEIR__FLAG(name, initial, text) bool name;
#define WEIR__TEXT(name, initial, choices, text) const char *name;
    WEIR_BREAKER_OPTIONS(WEIR__COUNT, WEIR__TIME, WEIR__RATIO, WEIR__FLAG, WEIR__TEXT)
#undef WEIR__COUNT
#undef WEIR__TIME
#undef WEIR__RATIO
#undef WEIR__FLAG
#undef WEIR__TEXT
} weir_breaker_options;

/* Every field to its default. */
WEIR_API void weir_breaker_options_init(weir_breaker_options *options);
/* Sets an option by its name, as weir_options_set does for a pool's. */
WEIR_API int weir_breaker_options_set(weir_breaker_options *options, const char *name,
                                      const weir_value *value, weir_error *error);
/* Row 0 … n-1 of the table of options; false past the end. */
WEIR_API bool weir_breaker_option_table(size_t row, weir_option_info *out);

/* A closed breaker; options NULL: the defaults. WEIR_EOPTION names the option, the value and what is allowed.
 */
WEIR_API int weir_breaker_new(const weir_breaker_options *options, weir_breaker **out, weir_error *error);
/* NULL is accepted. No other call may run at the same time or come later. */
WEIR_API void weir_breaker_free(weir_breaker *breaker);

/* Leave to make one call; zeroed, or used up, it is none. The fields are the breaker's. */
typedef struct weir_permit {
    uint64_t generation; /* of the state in which it was given: in any other it counts nothing */
    int64_t started_ns;
    uint32_t round; /* half-open: since when its place is its own */
    bool probe;
} weir_permit;

/*
 * Asks for leave to make a call. WEIR_OK: *permit is to be ended. WEIR_ECIRCUITOPEN: retry_after_ms says when
 * to ask again (-1 when it is forced open: unknown), and detail is the last failure. Never waits.
 */
WEIR_API int weir_breaker_acquire(weir_breaker *breaker, weir_permit *permit, weir_error *error);
/*
 * The same for a probe by whoever looks after what is called, at times of his own choice: open, its success
 * begins the half-open state at once, and its failure changes nothing; half-open it takes no place, and its
 * failure opens again; otherwise it counts nothing. Refused only when forced open.
 */
WEIR_API int weir_breaker_probe(weir_breaker *breaker, weir_permit *permit, weir_error *error);
/*
 * The call has ended. duration_ns: how long it took; -1: since the permit was given. error: what it failed
 * with, for reports; NULL: unknown. An error of the host's own has code WEIR_OK, and its kind as the message.
 * A permit that is used up already is accepted, and nothing happens.
 */
WEIR_API void weir_breaker_record(weir_breaker *breaker, weir_permit *permit, weir_outcome outcome,
                                  int64_t duration_ns, const weir_error *error);
/* The call was not made, or was cancelled: gives a half-open place back. As record for used permits. */
WEIR_API void weir_breaker_cancel(weir_breaker *breaker, weir_permit *permit);
/*
 * What a call that ended with this error (NULL, or WEIR_ERROR_INIT: without one) is to be recorded as: by
 * what is to be ignored, then by what is to be recorded, of which verdict and list say so alike, then by
 * WEIR_BREAKER_OUTCOMES. An error of the host's own is a failure by itself.
 */
WEIR_API weir_outcome weir_breaker_classify(const weir_breaker *breaker, const weir_error *error,
                                            weir_verdict verdict);

WEIR_API weir_breaker_state weir_breaker_state_now(weir_breaker *breaker);
/* Changes the state by hand. closed: what was counted is forgotten, and so is the growth of the recovery
   timeout. Nothing happens when it has that state already. */
WEIR_API void weir_breaker_force_open(weir_breaker *breaker);
WEIR_API void weir_breaker_force_close(weir_breaker *breaker);
WEIR_API void weir_breaker_disable(weir_breaker *breaker);
WEIR_API void weir_breaker_metrics_only(weir_breaker *breaker);
/* Closed as a new one: permits that are out count nothing, the last failure is forgotten; counters stay. */
WEIR_API void weir_breaker_reset(weir_breaker *breaker);
/* The option `name`, or NULL. Borrowed. */
WEIR_API const char *weir_breaker_name(const weir_breaker *breaker);

/* "half_open"; NULL for what is no state. */
WEIR_API const char *weir_breaker_state_name(weir_breaker_state state);

/*
 * X(name, text). GAUGES are int64_t, RATIOS double, TIMES int64_t in the field name_ms (-1: none), COUNTERS
 * uint64_t. calls_permitted = calls_succeeded + _failed + _ignored + _cancelled + _late + running.
 */
#define WEIR_BREAKER_GAUGES(X)                                                                               \
    X(consecutive_failures, "failures in a row")                                                             \
    X(window_calls, "calls in the window")                                                                   \
    X(window_failures, "failures in the window")                                                             \
    X(window_slow, "slow calls in the window")                                                               \
    X(half_open_limit, "calls that are let in at once, half-open; else 0")                                   \
    X(half_open_calls, "calls that are in, half-open; else 0")                                               \
    X(openings, "openings since it was closed")                                                              \
    X(running, "calls that have not ended")
#define WEIR_BREAKER_RATIOS(X)                                                                               \
    X(failure_rate, "failures in the window over calls in the window")                                       \
    X(slow_call_rate, "slow calls in the window over calls in the window")
#define WEIR_BREAKER_TIMES(X)                                                                                \
    X(state_age, "since it has this state")                                                                  \
    X(retry_after, "until calls are let in, when it is open")                                                \
    X(last_failure_age, "since the last failure")
#define WEIR_BREAKER_COUNTERS(X)                                                                             \
    X(calls_permitted, "calls that were let in")                                                             \
    X(calls_refused, "calls that were refused; a pool's: requests and statements, by the one that refused")  \
    X(calls_succeeded, "calls that succeeded")                                                               \
    X(calls_failed, "calls that failed")                                                                     \
    X(calls_ignored, "calls whose end says nothing")                                                         \
    X(calls_cancelled, "calls that were cancelled")                                                          \
    X(calls_late, "calls that were let in in an earlier state, and counted nothing")                         \
    X(calls_slow, "calls that were slow, of those that succeeded or failed")                                 \
    X(probes_succeeded, "probes that succeeded")                                                             \
    X(probes_failed, "probes that failed")                                                                   \
    X(opened, "times that it opened")

#define WEIR_BREAKER_FAILURE_SIZE 200
typedef struct weir_breaker_snapshot {
    size_t struct_size; /* sizeof(weir_breaker_snapshot), set by the caller */
    weir_breaker_state state;
    char last_failure[WEIR_BREAKER_FAILURE_SIZE]; /* "ConnectError: …", cut; "" when there was none */
#define WEIR__GAUGE(name, text) int64_t name;
#define WEIR__RATIO(name, text) double name;
#define WEIR__TIME(name, text) int64_t name##_ms;
#define WEIR__COUNTER(name, text) uint64_t name;
    WEIR_BREAKER_GAUGES(WEIR__GAUGE)
    WEIR_BREAKER_RATIOS(WEIR__RATIO)
    WEIR_BREAKER_TIMES(WEIR__TIME)
    WEIR_BREAKER_COUNTERS(WEIR__COUNTER)
#undef WEIR__GAUGE
#undef WEIR__RATIO
#undef WEIR__TIME
#undef WEIR__COUNTER
} weir_breaker_snapshot;

/* Fills in *out, whose struct_size the caller has set. */
WEIR_API int weir_breaker_take_snapshot(weir_breaker *breaker, weir_breaker_snapshot *out, weir_error *error);
/* The numbers of a snapshot: offsets are those of weir_breaker_snapshot. Row 0 … n-1, false past the end. */
WEIR_API bool weir_breaker_metric_table(size_t row, weir_metric_info *out);

/* X(suffix, value, name, text): what has happened. The last four come with the option call_events. */
#define WEIR_BREAKER_EVENTS(X)                                                                               \
    X(STATE, 0, "state", "the state has changed")                                                            \
    X(EXCEEDED, 1, "exceeded", "metrics-only: a threshold or rate has been reached")                         \
    X(RESET, 2, "reset", "everything was forgotten")                                                         \
    X(SUCCESS, 3, "success", "a call or probe succeeded")                                                    \
    X(FAILURE, 4, "failure", "a call or probe failed")                                                       \
    X(IGNORED, 5, "ignored", "a call ended and says nothing, or was cancelled")                              \
    X(REFUSED, 6, "refused", "a call was refused")

/* X(suffix, value, name, text): why. */
#define WEIR_BREAKER_REASONS(X)                                                                              \
    X(NONE, 0, "none", "no reason")                                                                          \
    X(FAILURES, 1, "failures", "too many failures in a row")                                                 \
    X(FAILURE_RATE, 2, "failure_rate", "too many failures")                                                  \
    X(SLOW_CALL_RATE, 3, "slow_call_rate", "too many slow calls")                                            \
    X(TRIAL_FAILED, 4, "trial_failed", "a call in the half-open state failed")                               \
    X(PROBE_FAILED, 5, "probe_failed", "a probe failed")                                                     \
    X(PROBE_SUCCEEDED, 6, "probe_succeeded", "a probe succeeded")                                            \
    X(TIMEOUT, 7, "timeout", "the recovery timeout has passed")                                              \
    X(RECOVERED, 8, "recovered", "the slow start was passed")                                                \
    X(QUIET, 9, "quiet", "nothing failed for half_open_timeout")                                             \
    X(FORCED, 10, "forced", "by hand")

typedef enum weir_breaker_event_kind {
#define WEIR__EVENT(suffix, value, name, text) WEIR_BREAKER_EVENT_##suffix = value,
    WEIR_BREAKER_EVENTS(WEIR__EVENT)
#undef WEIR__EVENT
} weir_breaker_event_kind;

typedef enum weir_breaker_reason {
#define WEIR__REASON(suffix, value, name, text) WEIR_BREAKER_REASON_##suffix = value,
    WEIR_BREAKER_REASONS(WEIR__REASON)
#undef WEIR__REASON
} weir_breaker_reason;

typedef struct weir_breaker_event {
    uint64_t number; /* 1, 2 … */
    int64_t at_ns;   /* monotonic, as weir_now_ns gives it */
    weir_breaker_event_kind kind;
    weir_breaker_state before, state;
    weir_breaker_reason reason;
    int64_t duration_ns; /* of a call; -1 */
} weir_breaker_event;

#define WEIR_BREAKER_EVENTS_KEPT 64
/*
 * The first event after number *after, if there is one; *after becomes its number. Begin with 0. The last
 * WEIR_BREAKER_EVENTS_KEPT are there: numbers that are left out say that events are lost. Any number of
 * readers.
 */
WEIR_API bool weir_breaker_next_event(weir_breaker *breaker, uint64_t *after, weir_breaker_event *out);
/* The number of the last event; takes no lock, and does not look at the time. */
WEIR_API uint64_t weir_breaker_last_event(const weir_breaker *breaker);
/* "exceeded"; "failure_rate"; NULL for what is none. */
WEIR_API const char *weir_breaker_event_name(weir_breaker_event_kind kind);
WEIR_API const char *weir_breaker_reason_name(weir_breaker_reason reason);

WEIR_END_DECLS

#endif

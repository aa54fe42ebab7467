/* The options of a pool: one table gives C's fields and Python's and Lua's signatures, checks, stubs and
 * documents. The rows of WEIR_BREAKER_RULES follow those of WEIR_OPTIONS in it, and those of
 * WEIR_MONITOR_RULES these. */
#ifndef WEIRPOOL_OPTIONS_H
#define WEIRPOOL_OPTIONS_H

#include <weirpool/breaker.h>
#include <weirpool/error.h>
#include <weirpool/option.h>
#include <weirpool/value.h>

WEIR_BEGIN_DECLS

/*
 * COUNT(name, default, least, most, nullable, text): an int; null (-1) means "no limit".
 * TIME(name, default, least, most, nullable, text): milliseconds in C, in the field name_ms; float seconds,
 * in `name`, everywhere else. null (-1) switches it off. 0 is below every least value: a time-out of 0 is an
 * error. FLAG(name, default, text) TEXT(name, default, choices, text): choices: "a|b|c", or NULL for any
 * text. The default may be NULL.
 */
#define WEIR_OPTIONS(COUNT, TIME, FLAG, TEXT)                                                                \
    COUNT(min_size, 5, 0, 10000, false,                                                                      \
          "connections that the pool keeps open, without a borrower's asking; at most max_size, when it is " \
          "not given")                                                                                       \
    COUNT(max_size, 20, 1, 10000, false, "connections that the pool keeps at most")                          \
    COUNT(max_overflow, 0, 0, 10000, false, "further connections under load, closed when they come back")    \
    COUNT(pod_count, -1, 1, 100000, true,                                                                    \
          "processes with such a pool that share the database; when it is given, max_size is by default "    \
          "connections_per_pod")                                                                             \
    COUNT(connections_per_pod, 10, 1, 10000, false,                                                          \
          "max_size of each of them; where both are given, the smaller counts")                              \
    COUNT(                                                                                                   \
        connection_budget, -1, 1, 1000000, true,                                                             \
        "connections that all of them may have together: max_size and max_overflow stay within this one's "  \
        "share, over pod_count, rounded down")                                                               \
    COUNT(connection_reserve, 0, 0, 1000000, false,                                                          \
          "connections of connection_budget that are left to others, such as administrators and listeners")  \
    TEXT(pod_source, "static", "static|dns|database",                                                        \
         "who says how many pods there are while the pool is open: nobody (static: pod_count), the "         \
         "addresses of pod_service, or the pods themselves, in a table of the database; with the latter "    \
         "two the share of connection_budget follows, and background_thread is on")                          \
    TEXT(pod_service, NULL, NULL,                                                                            \
         "pod_source=dns: the name that has an address for each pod, as a headless service's")               \
    TEXT(fleet, NULL, NULL,                                                                                  \
         "pod_source=database: pods that give one name there share one budget; by default all that use the " \
         "database")                                                                                         \
    COUNT(pod_surge, -1, 0, 100000, true,                                                                    \
          "connections of connection_budget that are kept for pods which join, one for each; none: one for " \
          "every four pods. Where more are missing to pod_count, so many")                                   \
    TIME(pod_refresh, 10000, 10, 3600000, false,                                                             \
         "time from one look at the pods to the next, less up to 10 % jitter")                               \
    TIME(pod_dead_after, 30000, 30, 86400000, false,                                                         \
         "pod_source=database: a pod that has not been heard of for so long is dead when no connection of "  \
         "its is left either; at least three times pod_refresh")                                             \
    COUNT(max_waiting, -1, 0, 10000000, true,                                                                \
          "callers that may wait for a connection; one more is refused at once")                             \
    FLAG(lifo, true, "lend the connection that came back last, so that surplus ones become idle and close")  \
    FLAG(pre_ping, true, "look at a connection before it is lent, without a round trip")                     \
    FLAG(require, false, "opening the pool fails when the database cannot be reached")                       \
    TIME(max_lifetime, 3600000, 1, 31536000000, true,                                                        \
         "age at which a connection is replaced, less up to 10 % jitter")                                    \
    TIME(idle_timeout, 300000, 1, 31536000000, true,                                                         \
         "time unused after which connections above min_size are closed")                                    \
    TIME(connect_timeout, 10000, 1, 86400000, true, "time to connect, over all hosts; and for the init")     \
    TIME(checkout_timeout, 30000, 1, 86400000, true, "time to wait for a connection")                        \
    TIME(command_timeout, 30000, 1, 86400000, true, "time for a statement; the statement is then cancelled") \
    TIME(lock_timeout, 5000, 1, 86400000, true, "time to wait for a lock in the database")                   \
    TIME(idle_in_transaction_timeout, -1, 1, 31536000000, true,                                              \
         "a transaction in which nothing has run for so long is rolled back, and the connection taken "      \
         "back: the holder's next call raises IdleInTransactionTimeout")                                     \
    TIME(leak_threshold, 300000, 1, 31536000000, true,                                                       \
         "a connection that is held for longer counts as leaked: a warning and pool.holders() tell who "     \
         "holds it, since "                                                                                  \
         "when, and its last statement")                                                                     \
    TEXT(leak_action, "report", "report|cancel|close|replace",                                               \
         "what else is done then: cancel ends the loan, rolls back and keeps the connection, close closes "  \
         "it, replace "                                                                                      \
         "closes it and opens another one at once; the holder's next call raises SessionReclaimed")          \
    COUNT(leak_stacks, 1000, 0, 1000000, false,                                                              \
          "of so many checkouts one is recorded with its caller's whole stack; 0: none")                     \
    TIME(close_timeout, 10000, 1, 86400000, true, "time that close gives to those who hold a connection")    \
    TIME(retry_min, 100, 1, 86400000, false,                                                                 \
         "first pause after a failed connect; doubled each time, full jitter; see circuit_probe_interval")   \
    TIME(retry_max, 5000, 1, 86400000, false, "longest pause between attempts to connect")                   \
    FLAG(                                                                                                    \
        background_thread, false,                                                                            \
        "a thread of the core's does what falls due while no call of the application's waits: keeps "        \
        "min_size, replaces what has aged, notices what was lost; for blocking callers: an event loop does " \
        "that anyway")                                                                                       \
    FLAG(circuit_breaker, true,                                                                              \
         "while the database is down calls fail at once, and the pool itself finds out when it is back; "    \
         "false: the breakers are there, disabled")                                                          \
    TIME(circuit_probe_interval, 250, 10, 86400000, false,                                                   \
         "while the database is down an attempt to connect begins this often, less up to 20 % jitter, "      \
         "however those before it stand, up to 4 at a time; in the place of the pauses of retry_min")        \
    TIME(health_check_interval, 60000, 10, 31536000000, true,                                                \
         "an idle connection that has shown no sign of life for so long, less up to 20 % jitter, is asked "  \
         "for one by health_check_query")                                                                    \
    TEXT(health_check_query, "SELECT 1", NULL, "what a connection is asked; an error fails the check")       \
    TIME(health_check_timeout, 5000, 1, 86400000, true,                                                      \
         "time for the answer; a connection that fails the check is closed")                                 \
    TIME(validate_after, 120000, 1, 31536000000, true,                                                       \
         "a connection that has shown no sign of life for so long is asked before it is lent, at the price " \
         "of a round trip; one that has is preferred")                                                       \
    FLAG(pipeline, true,                                                                                     \
         "statements of the pool's own callers share connections, where the driver can: they are sent "      \
         "without waiting for the answers to those before them")                                             \
    TIME(pipeline_max_wait, 5, 1, 60000, false,                                                              \
         "no statement is sent behind one that has run for longer, the way to the server and back not "      \
         "counted, or behind more work than that")                                                           \
    TIME(queue_target, -1, 1, 60000, true,                                                                   \
         "when all callers of a queue_interval have waited for longer, the newest is served first, and who " \
         "has waited twice as long is refused at once (Overloaded), until nobody waits any more")            \
    TIME(queue_interval, 1000, 1, 60000, false, "how long that must last before anybody is refused")         \
    FLAG(adaptive_size, false,                                                                               \
         "no more connections are lent at a time than the database does well with, as the times of "         \
         "statements show: between min_size and max_size")                                                   \
    FLAG(readonly, false,                                                                                    \
         "what runs on the pool only reads, as with readonly at each call, and transactions are read only; " \
         "SQLite: as mode=ro")                                                                               \
    FLAG(commit_xid, true,                                                                                   \
         "ask for a writing transaction's number, without waiting, so that an OutcomeUnknown can tell it")   \
    COUNT(statement_cache_size, 100, 0, 100000, false, "prepared statements kept by a connection; 0: none")  \
    TEXT(                                                                                                    \
        reset, "auto", NULL,                                                                                 \
        "what a connection that comes back gets, beside the end of its transaction: auto (DISCARD ALL when " \
        "a statement's text shows that something may have been left behind), always (DISCARD ALL whenever "  \
        "anything was run), never, or the SQL text to be run instead whenever anything was run")             \
    TEXT(reset_functions, NULL, NULL,                                                                        \
         "functions, with commas between them, that leave something behind, PostgreSQL: reset=auto acts "    \
         "upon their names in a statement's text")                                                           \
    TEXT(sqlite_begin, "immediate", "immediate|deferred|exclusive",                                          \
         "how a transaction that may write begins, SQLite")                                                  \
    TEXT(sqlite_types, "stored", "stored|declared",                                                          \
         "what SQLite's columns give: what is stored (integer, real, text, blob, null), or what they are "   \
         "declared as (BOOLEAN, DATE, TIME, DATETIME, TIMESTAMP, DECIMAL, NUMERIC, JSON, UUID) where they "  \
         "hold that")                                                                                        \
    TEXT(metrics_shared, NULL, NULL,                                                                         \
         "a file, best in memory (/dev/shm/app.metrics), that the processes of an application share: each "  \
         "of "                                                                                               \
         "them then renders the metrics of all, and what one that ended has counted stays counted")          \
    FLAG(environment, true,                                                                                  \
         "options that are given neither here nor in the URL's query come from their environment variables") \
    TEXT(name, NULL, NULL,                                                                                   \
         "the pool's name in logs and metrics; by default host:port/database without secrets")

/* What a pool watches of itself, and when it gives an alarm: <weirpool/monitor.h>. RATIO: as in
 * WEIR_BREAKER_RULES. */
#define WEIR_MONITOR_RULES(COUNT, TIME, RATIO, FLAG)                                                         \
    FLAG(monitoring, true,                                                                                   \
         "pool.history(), alerts and slow queries: the pool looks at itself once a second")                  \
    TIME(monitoring_interval, 1000, 10, 3600000, false, "the alerts' rules are looked at this often")        \
    TIME(alert_window, 60000, 10, 86400000, false,                                                           \
         "failure rates, slow calls and usage are those of so much time, up to a twelfth or an interval "    \
         "more")                                                                                             \
    COUNT(alert_after, 3, 1, 1000, false,                                                                    \
          "looks in a row at which a rule is exceeded before it gives an alert, and at which it is not "     \
          "before that is resolved; an open circuit breaker is one at once")                                 \
    TIME(alert_cooldown, 900000, 1, 31536000000, true, "so long after an alert there is none of its type")   \
    RATIO(alert_hysteresis, 0.2, 0, 1, false,                                                                \
          "an alert is resolved when its value has fallen by this share below its threshold")                \
    COUNT(alert_minimum_calls, 10, 1, 1000000, false, "calls in the window before a rate or a time counts")  \
    RATIO(alert_query_failure_rate, 0.05, 0, 1, true,                                                        \
          "alert high_query_failure_rate: statements that failed or timed out, of those that ended")         \
    RATIO(alert_checkout_failure_rate, 0.1, 0, 1, true,                                                      \
          "alert high_checkout_failure_rate: requests for a connection that timed out or were refused, of "  \
          "those that ended")                                                                                \
    TIME(alert_query_time, 10000, 1, 86400000, true,                                                         \
         "alert slow_queries: the time that 99 % of the statements stay below")                              \
    TIME(alert_checkout_time, 5000, 1, 86400000, true,                                                       \
         "alert slow_checkouts: the time that 99 % of the waits for a connection stay below")                \
    RATIO(alert_pool_usage, 0.8, 0, 1, true,                                                                 \
          "alert high_pool_usage: connections in use, on the average, of max_size and max_overflow")         \
    COUNT(alert_leaks, 5, 1, 10000, true,                                                                    \
          "alert connection_leaks: connections that are held for longer than leak_threshold")                \
    TIME(slow_query_threshold, 5000, 1, 86400000, true,                                                      \
         "statements that take longer are in pool.slow_queries(), and logged, level info")                   \
    COUNT(slow_queries_kept, 100, 1, 1000, false, "different statements that are kept there")                \
    FLAG(echo, false, "the text of each statement is logged, level info; never its parameters")

/*
 * X(variable, option): environment variables, and the option that each gives when neither the caller nor the
 * URL's query does; "url" is the URL itself. The value is written as in a query, times in seconds. Where an
 * option has several, the first that is set counts; one that is empty is not set. They are read while a pool
 * is opened, without a copy: no other thread may change the environment then.
 */
#define WEIR_VARIABLES(X)                                                                                    \
    X("DATABASE_URL", "url")                                                                                 \
    X("POD_COUNT", "pod_count")                                                                              \
    X("DB_MIN_POOL_SIZE", "min_size")                                                                        \
    X("DB_MAX_POOL_SIZE", "max_size")                                                                        \
    X("DB_POOL_SIZE", "max_size")                                                                            \
    X("DB_MAX_OVERFLOW", "max_overflow")                                                                     \
    X("DB_CONNECT_TIMEOUT", "connect_timeout")                                                               \
    X("DB_COMMAND_TIMEOUT", "command_timeout")                                                               \
    X("DB_CHECKOUT_TIMEOUT", "checkout_timeout")                                                             \
    X("DB_POOL_TIMEOUT", "checkout_timeout")                                                                 \
    X("DB_POOL_RECYCLE", "max_lifetime")                                                                     \
    X("DB_CIRCUIT_FAILURE_THRESHOLD", "circuit_failure_threshold")                                           \
    X("DB_CIRCUIT_RECOVERY_TIMEOUT", "circuit_recovery_timeout")                                             \
    X("DB_HEALTH_CHECK_INTERVAL", "health_check_interval")                                                   \
    X("DB_ENABLE_MONITORING", "monitoring")                                                                  \
    X("DB_METRICS_INTERVAL", "monitoring_interval")                                                          \
    X("DB_MAX_CHECKOUT_TIME", "alert_checkout_time")                                                         \
    X("DB_MAX_QUERY_TIME", "alert_query_time")                                                               \
    X("DB_CONNECTION_FAILURE_THRESHOLD", "alert_checkout_failure_rate")                                      \
    X("DB_ECHO", "echo")

/*
 * The caller owns the struct and all it points at; opening a pool copies what it needs. Start with
 * weir_options_init. An option set here (by weir_options_set, or a field that differs from its default) beats
 * the one in the URL's query, and that beats the environment's.
 */
/* A type whose values the host reads and writes itself: as WEIR_TYPE_RAW, in results and parameters. */
typedef struct weir_codec {
    const char *type; /* "schema.type", "type" as the search path finds it, or an oid's digits */
    bool binary;      /* the type's binary form is wanted, instead of its text */
} weir_codec;

typedef struct weir_options {
    size_t size;     /* sizeof(weir_options), by weir_options_init: any other is refused, nothing else is read
                        then */
    const char *url; /* postgresql://…, sqlite:///…, :memory:; NULL: the variable DATABASE_URL */
    /* {name, value, name, value, …, NULL}: settings of the server that each connection starts with; NULL:
       none. application_name is "weirpool" unless it is given. */
    const char *const *server_settings;
    /* Each new connection is handed to the host first: WEIR_EVENT_INIT. Once a connection, and once more
       whenever what a borrower had left behind could only be undone by a DISCARD ALL, which undoes what the
       init had set as well. */
    bool init_hook;
    bool notice_hook;  /* the host takes the server's notices (notice.h); else they are log lines of level
                          debug */
    bool circuit_hook; /* the host has predicates for its breakers, beside the lists: a failure is judged by
                          who takes its completion (weir_completion_judge) */
    const weir_codec *codecs; /* PostgreSQL only; of no use to SQLite, which has no types */
    size_t codec_count;       /* at most 65535 */
    uint64_t given[2];        /* bit n: option n of the table was set by weir_options_set; not for callers */
    uint64_t looked_up[2];    /* bit n: option n has come from the environment; not for callers */
    weir_breaker_options circuit; /* of the pool's breakers: the options circuit_…; its name is not used */
#define WEIR__COUNT(name, initial, least, most, nullable, text) int name;
#define WEIR__TIME(name, initial, least, most, nullable, text) int64_t name##_ms;
#define WEIR__FLAG(name, initial, text) bool name;
#define WEIR__TEXT(name, initial, choices, text) const char *name;
#define WEIR__RATIO(name, initial, least, most, nullable, text) double name;
    WEIR_OPTIONS(WEIR__COUNT, WEIR__TIME, WEIR__FLAG, WEIR__TEXT)
    WEIR_MONITOR_RULES(WEIR__COUNT, WEIR__TIME, WEIR__RATIO, WEIR__FLAG)
#undef WEIR__COUNT
#undef WEIR__TIME
#undef WEIR__FLAG
#undef WEIR__TEXT
#undef WEIR__RATIO
} weir_options;

/* Every field to its default; url NULL. */
WEIR_API void weir_options_init(weir_options *options);
/*
 * Sets an option by its name, the way the bindings see it: times in seconds (FLOAT or INT), NULL for "none".
 * Text is borrowed, and must be NUL-terminated. A time is rounded to milliseconds, and below one up to one; a
 * FLOAT without a fraction will do for a COUNT. Numbers are not text here, nor 0 and 1 flags. WEIR_EOPTION
 * names the option, the value and what is allowed; nothing has changed then. An unknown name is answered with
 * the nearest one that exists.
 */
WEIR_API int weir_options_set(weir_options *options, const char *name, const weir_value *value,
                              weir_error *error);
/*
 * The same from text, as an URL's query and the environment have it: decimal numbers ("0.5"),
 * true/false/1/0/yes/no/ on/off, and "none" or "null" for none, where the option may be none. `text` is
 * borrowed by a TEXT option.
 */
WEIR_API int weir_options_set_text(weir_options *options, const char *name, const char *text,
                                   weir_error *error);
/* Checks all fields, and the relations (min_size <= max_size …) of those that are set here: what is left may
 * still come from the URL or the environment. */
WEIR_API int weir_options_check(const weir_options *options, weir_error *error);

/* Row 0 … n-1; false past the end. */
WEIR_API bool weir_option_table(size_t row, weir_option_info *out);
/* The n-th environment variable, from 0, of an option, or of "url"; NULL past the last. Static. */
WEIR_API const char *weir_option_variable(const char *option, size_t n);

WEIR_END_DECLS

#endif

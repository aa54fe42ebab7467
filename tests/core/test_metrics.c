/* Metrics as text: the two formats, which numbers are served, means over a window, the list of open pools. */
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weirpool/weirpool.h>

#include "base/alloc.h"
#include "metrics/render.h"
#include "support_suite.h"

static weir__figures figures[2];
static char *text;

static void set_up(void) {
    memset(figures, 0, sizeof figures);
    figures[0].name = "one";
    figures[1].name = "two";
    figures[0].system = figures[1].system = "sqlite";
    text = NULL;
}
static void tear_down(void) { weir__free(text); }

static const char *render(size_t count, bool openmetrics, weir__names names) {
    weir__buffer out = WEIR__BUFFER_INIT;
    weir__metrics_render(&out, figures, count, openmetrics, names);
    weir__free(text);
    text = weir__buffer_steal(&out);
    ck_assert_ptr_nonnull(text);
    return text;
}

static void assert_has(const char *piece) {
    ck_assert_msg(strstr(text, piece), "not there: %s\nin: %.2000s", piece, text);
}

static void assert_lacks(const char *piece) { ck_assert_msg(!strstr(text, piece), "there: %.500s", piece); }

START_TEST(a_share_bounds_what_may_be_open) {
    for (int i = 0; i < 2; i++) {
        figures[i].now.max_size = 18;
        figures[i].now.max_overflow = 2;
        figures[i].now.share = i ? -1 : 5;
    }
    render(2, true, WEIR__NAMES_STANDARD);
    assert_has("\ndb_client_connection_max{db_client_connection_pool_name=\"one\"} 5\n"
               "db_client_connection_max{db_client_connection_pool_name=\"two\"} 20\n#");
}
END_TEST

START_TEST(seed_names_to_the_letter) {
    figures[0].now.active = 3;
    figures[1].now.active = 4;
    figures[0].recent.query_time = 0.25;
    render(2, true, WEIR__NAMES_SEED);
    static const char head[] = "# HELP db_active_connections connections in use\n"
                               "# TYPE db_active_connections gauge\n"
                               "db_active_connections{db_client_connection_pool_name=\"one\"} 3\n"
                               "db_active_connections{db_client_connection_pool_name=\"two\"} 4\n"
                               "# HELP db_idle_connections ";
    ck_assert_int_eq(strncmp(text, head, strlen(head)), 0);
    assert_has("\n# TYPE db_average_query_time gauge\n"
               "db_average_query_time{db_client_connection_pool_name=\"one\"} 0.25\n"
               "db_average_query_time{db_client_connection_pool_name=\"two\"} 0\n");
    ck_assert_str_eq(text + strlen(text) - 7, "\n# EOF\n");
    assert_lacks("weir_");
    assert_lacks("db_client_connection_max");
    render(2, false, WEIR__NAMES_STANDARD);
    assert_lacks("# EOF");
    assert_lacks("db_active_connections");
    ck_assert_str_eq(render(0, true, WEIR__NAMES_BOTH), "# EOF\n");
    ck_assert_str_eq(render(0, false, WEIR__NAMES_BOTH), "");
}
END_TEST

START_TEST(histograms_are_cumulative) {
    weir_histogram *query = &figures[0].now.query, *failed = &figures[0].now.query_failed;
    unsigned violation = weir__failure_of(WEIR_ESERVER, "23505");
    for (unsigned n = 0; n < WEIR_HISTOGRAM_BUCKETS; n++) query->buckets[n] = 1u << n;
    query->sum = 2.5;
    failed->buckets[9] = 512;
    failed->sum = 2;
    figures[0].failures[violation].buckets[9] = 512;
    figures[0].failures[violation].sum = 2000000000;
    render(1, true, WEIR__NAMES_STANDARD);
#define LINE(end, count)                                                                                     \
    "db_client_operation_duration_seconds_bucket{db_client_connection_pool_name=\"one\","                    \
    "db_system_name=\"sqlite\",le=\"" end "\"} " count "\n"
    assert_has("# TYPE db_client_operation_duration_seconds histogram\n"
               "# UNIT db_client_operation_duration_seconds seconds\n" /* one string */
               LINE("0.001", "1") LINE("0.005", "3") LINE("0.01", "7") LINE("0.05", "15") LINE("0.1", "31")
                   LINE("0.5", "63") LINE("1.0", "127") LINE("5.0", "255") LINE("10.0", "511")
                       LINE("+Inf", "511"));
    assert_has("db_client_operation_duration_seconds_count{db_client_connection_pool_name=\"one\","
               "db_system_name=\"sqlite\"} 511\n"
               "db_client_operation_duration_seconds_sum{db_client_connection_pool_name=\"one\","
               "db_system_name=\"sqlite\"} 0.5\n");
    assert_has(",error_type=\"IntegrityError\",le=\"10.0\"} 0\n");
    assert_has(",error_type=\"IntegrityError\",le=\"+Inf\"} 512\n");
    assert_has(",error_type=\"IntegrityError\"} 2\n");
    ck_assert_ptr_null(strstr(strstr(text, "IntegrityError\"} 2\n") + 1, "error_type")); /* no empty ones */
    render(1, false, WEIR__NAMES_STANDARD);
    assert_lacks("# UNIT");
    assert_has(LINE("1.0", "127")); /* the same in both formats, or they would be two series */
}
END_TEST

static const struct {
    int code;
    const char *sqlstate, *name;
} kinds[] = {
    {WEIR_ENOMEM, NULL, "OutOfMemory"},
    {WEIR_EOVERLOADED, "", "Overloaded"},
    {WEIR_ECOMMANDTIMEOUT, "57014", "CommandTimeout"},
    {WEIR_ELOCKTIMEOUT, "55P03", "LockTimeout"},
    {WEIR_ESERVER, "23505", "IntegrityError"},
    {WEIR_ESERVER, "22012", "DataError"},
    {WEIR_ESERVER, "42P01", "ProgrammingError"},
    {WEIR_ESERVER, "53200", "OutOfMemory"},
    {WEIR_ESERVER, "57P01", "OperationalError"},
    {WEIR_ESERVER, "0A000", "NotSupportedError"},
    {WEIR_ESERVER, "28P01", "ConnectError"},
    {WEIR_ESERVER, "40001", "SerializationFailure"},
    {WEIR_ESERVER, "40P01", "DeadlockDetected"},
    {WEIR_ESERVER, "57014", "QueryCanceled"},
    {WEIR_ESERVER, "42ABC", "ProgrammingError"}, /* of no row, of a family */
    {WEIR_ESERVER, "P0001", "DatabaseError"},
    {WEIR_ESERVER, "MY001", "DatabaseError"}, /* a user's own */
    {WEIR_ESERVER, "", "DatabaseError"},
    {WEIR_ESERVER, NULL, "DatabaseError"},
    {-7, NULL, "InternalError"},
    {12345, NULL, "InternalError"},
};

START_TEST(kinds_of_failures) {
    unsigned kind = weir__failure_of(kinds[_i].code, kinds[_i].sqlstate);
    ck_assert_uint_lt(kind, WEIR__FAILURES);
    ck_assert_str_eq(weir__failure_name(kind), kinds[_i].name);
}
END_TEST

/* A name of its own for each kind, and few of them, since each may become ten series. */
START_TEST(few_kinds_of_failures) {
    weir_error_info info;
    for (unsigned a = 0; a < WEIR__FAILURES; a++)
        for (unsigned b = 0; b < a; b++) ck_assert_str_ne(weir__failure_name(a), weir__failure_name(b));
    ck_assert_int_lt(WEIR__FAILURES, 50);
    for (size_t row = 0; weir_error_table(row, &info);
         row++) { /* of each SQLSTATE, its family at the least */
        if (!info.sqlstate || strcmp(info.parent, "DatabaseError") == 0) continue;
        const char *name = weir__failure_name(weir__failure_of(WEIR_ESERVER, info.sqlstate));
        ck_assert_msg(strcmp(name, info.parent) == 0 || strcmp(name, info.name) == 0, "%s: %s", info.sqlstate,
                      name);
    }
}
END_TEST

START_TEST(alerts_by_their_type) {
    figures[0].alerts[WEIR_ALERT_SLOW_CHECKOUTS] = 3;
    figures[1].alerts[WEIR_ALERT_SLOW_CHECKOUTS] = 4;
    figures[1].now.alerts_active = 1;
    weir__figures_add(&figures[0], &figures[1]);
    render(1, true, WEIR__NAMES_STANDARD);
    assert_has("# TYPE weir_alerts counter\n"
               "weir_alerts_total{db_client_connection_pool_name=\"one\",alert=\"database_unhealthy\"} 0\n");
    assert_has("weir_alerts_total{db_client_connection_pool_name=\"one\",alert=\"slow_checkouts\"} 7\n#");
    assert_has("weir_alerts_active{db_client_connection_pool_name=\"one\"} 1\n");
}
END_TEST

START_TEST(counters_and_states_in_both_formats) {
    figures[0].now.checkouts_refused = UINT64_C(9007199254740993); /* no double */
    figures[0].now.circuit_query = WEIR_BREAKER_HALF_OPEN;
    figures[0].now.health = WEIR_DEGRADED;
    render(1, true, WEIR__NAMES_STANDARD);
    assert_has("# TYPE weir_checkouts counter\n");
    assert_has("weir_checkouts_total{db_client_connection_pool_name=\"one\",outcome=\"refused\"} "
               "9007199254740993\n");
    assert_has("# TYPE weir_circuit_breaker_state stateset\n");
#define STATE_LINE(state, value)                                                                             \
    "weir_circuit_breaker_state{db_client_connection_pool_name=\"one\",breaker=\"query\","                   \
    "weir_circuit_breaker_state=\"" state "\"} " value "\n"
    assert_has(STATE_LINE("closed", "0") STATE_LINE("open", "0") STATE_LINE("half_open", "1") STATE_LINE(
        "forced_open", "0") STATE_LINE("disabled", "0") STATE_LINE("metrics_only", "0"));
    assert_has(
        "weir_health_status{db_client_connection_pool_name=\"one\",weir_health_status=\"healthy\"} 0\n"
        "weir_health_status{db_client_connection_pool_name=\"one\",weir_health_status=\"degraded\"} 1\n"
        "weir_health_status{db_client_connection_pool_name=\"one\",weir_health_status=\"unhealthy\"} 0\n#");
    render(1, false, WEIR__NAMES_STANDARD);
    assert_has("# TYPE weir_checkouts_total counter\n");
    assert_has("# TYPE weir_circuit_breaker_state gauge\n");
}
END_TEST

START_TEST(names_are_escaped) {
    figures[0].name = "a\"b\\c\nd\xc3\xa9";
    render(1, false, WEIR__NAMES_SEED);
    assert_has("{db_client_connection_pool_name=\"a\\\"b\\\\c\\nd\xc3\xa9\"} 0\n");
    figures[0].name = "caf\xe9"; /* a scrape with what is no UTF-8 would be refused as a whole */
    render(1, false, WEIR__NAMES_SEED);
    assert_has("{db_client_connection_pool_name=\"caf?\"} 0\n");
}
END_TEST

static bool is_state(const weir_metric_info *info) {
    bool named = strncmp(info->name, "circuit_", 8) == 0 || strcmp(info->name, "health") == 0;
    return named && info->kind == WEIR_METRIC_GAUGE;
}

START_TEST(every_number_of_a_snapshot_is_served) {
    weir_metric_info info;
    char line[64];
    for (size_t row = 0; weir_metric_table(row, &info); row++) {
        char *field = (char *)&figures[0].now + info.offset;
        if (info.kind == WEIR_METRIC_LATENCY)
            ((weir_histogram *)field)->buckets[3] = 1000 + row;
        else if (!is_state(&info))
            *(int64_t *)field = 1000 + (int64_t)row;
    }
    figures[0].failures[WEIR_ELOST - 1].buckets[3] = figures[0].now.query_failed.buckets[3];
    figures[0].now.query.buckets[3] += figures[0].now.query_failed.buckets[3];
    render(1, true, WEIR__NAMES_STANDARD);
    for (size_t row = 0; weir_metric_table(row, &info); row++) {
        if (strcmp(info.name, "size") == 0 || strcmp(info.name, "connections_closed") == 0) continue;
        if (is_state(&info)) continue;
        snprintf(line, sizeof line, "} %zu\n", 1000 + row);
        ck_assert_msg(strstr(text, line), "%s is not served", info.name);
    }
    assert_has("# HELP weir_leaks connections held for longer than leak_threshold\n"
               "# TYPE weir_leaks counter\n"
               "weir_leaks_total{");
}
END_TEST

START_TEST(pools_of_one_name_are_added_up) {
    weir__figures *a = &figures[0], *b = &figures[1];
    a->now.idle = 1;
    b->now.idle = 2;
    a->now.leaks = 10;
    b->now.leaks = 20;
    a->now.wait = (weir_histogram){.count = 1, .sum = 0.5, .max = 0.5, .buckets[5] = 1};
    b->now.wait = (weir_histogram){.count = 1, .sum = 2, .max = 2, .buckets[7] = 1};
    a->now.circuit_connect = WEIR_BREAKER_DISABLED;
    b->now.circuit_connect = WEIR_BREAKER_OPEN;
    a->now.circuit_query = WEIR_BREAKER_FORCED_OPEN;
    b->now.health = WEIR_UNHEALTHY;
    a->now.health = WEIR_DEGRADED;
    a->now.pods = 3;
    b->now.pods = 4; /* it has heard of the last one first */
    a->now.share = 5;
    b->now.share = 6;
    weir__figures_add(a, b);
    ck_assert(a->now.pods == 4 && a->now.share == 11);
    ck_assert_int_eq(a->now.idle, 3);
    ck_assert_uint_eq(a->now.leaks, 30);
    ck_assert_uint_eq(a->now.wait.count, 2);
    ck_assert_double_eq(a->now.wait.sum, 2.5);
    ck_assert_double_eq(a->now.wait.max, 2);
    ck_assert(a->now.wait.buckets[5] == 1 && a->now.wait.buckets[7] == 1);
    ck_assert_int_eq(a->now.circuit_connect, WEIR_BREAKER_OPEN);
    ck_assert_int_eq(a->now.circuit_query, WEIR_BREAKER_FORCED_OPEN);
    ck_assert_int_eq(a->now.health, WEIR_UNHEALTHY);
    weir__figures none = {0}, unlimited = {.now.share = -1};
    weir__figures_add(&none, &unlimited);
    ck_assert_int_eq(none.now.share, -1); /* no budget, and none of nobody */
}
END_TEST

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"
#define PARENT "traceparent='00-" TRACE "-" SPAN

static const struct {
    const char *sql;
    bool traced;
} commented[] = {
    {"select 1 /*" PARENT "-01'*/", true},
    {"select 1 /*" PARENT "-01'*/;", true},
    {"select 1 /* a */ /*action='%2Fx'," PARENT "-0b',tracestate='a%3D1'*/", true},
    {"select 1 /*" PARENT "-00'*/", false}, /* not sampled */
    {"select 1 /*" PARENT "-0'*/", false},
    {"select 1 /*" PARENT "-01*/", false},
    {"select 1 /*" PARENT "-01'*/ /*app='x'*/", false}, /* not the last one */
    {"select '/*" PARENT "-01'*/', 1", false},
    {"select 1 /*traceparent='00-4BF92f3577b34da6a3ce929d0e0e4736-" SPAN "-01'*/", false},
    {"select 1 /*traceparent='00-" SPAN "-" TRACE "-01'*/", false},
    {"select 1 /*traceparent='*/", false},
    {"select 1 -- a/", false},
    {"*/", false},
    {"/", false},
    {";", false},
    {"", false},
};

START_TEST(traces_are_read_from_comments) {
    weir__exemplars exemplars = {0};
    const char *sql = commented[_i].sql;
    char *copy = strdup(sql); /* nothing is read beyond its ends */
    if (weir__ends_with_comment(copy, strlen(sql)))
        weir__exemplar_take(&exemplars, _i % 2 ? WEIR_ELOST - 1 : 0, copy, strlen(sql), 5000000,
                            1700000000123);
    free(copy);
    const weir__exemplar *kept = &exemplars.bucket[1]; /* its end belongs to a bucket */
    ck_assert_int_eq(kept->at_ms, commented[_i].traced ? 1700000000123 : 0);
    if (!commented[_i].traced) return;
    ck_assert_mem_eq(kept->trace, TRACE, WEIR__TRACE_ID);
    ck_assert_mem_eq(kept->span, SPAN, WEIR__SPAN_ID);
    ck_assert_int_eq(kept->ns, 5000000);
    figures[0].exemplars[_i % 2] = exemplars;
    for (int n = WEIR_ELOST; _i % 2 && n > 0; n -= 5) /* beside others */
        figures[0].failures[n - 1].buckets[9] = 1;
    render(1, true, WEIR__NAMES_BOTH);
    char line[400];
    snprintf(line, sizeof line,
             "db_client_operation_duration_seconds_bucket{db_client_connection_pool_name=\"one\","
             "db_system_name=\"sqlite\"%s,le=\"0.005\"} 0"
             " # {trace_id=\"" TRACE "\",span_id=\"" SPAN "\"} 0.005 1700000000.123\n",
             _i % 2 ? ",error_type=\"ConnectionLost\"" : "");
    assert_has(line);
    ck_assert_ptr_null(strstr(strstr(text, "# {") + 1, "# {"));
    render(1, false, WEIR__NAMES_BOTH);
    assert_lacks("# {");
}
END_TEST

START_TEST(the_later_exemplar_is_kept) {
    weir__exemplars a = {0}, b = {0};
    a.bucket[2].at_ms = 5;
    b.bucket[2].at_ms = 6;
    b.bucket[3].at_ms = 1;
    a.bucket[4].at_ms = 2;
    weir__exemplars_add(&a, &b);
    ck_assert(a.bucket[2].at_ms == 6 && a.bucket[3].at_ms == 1 && a.bucket[4].at_ms == 2);
}
END_TEST

#define SECOND INT64_C(1000000000)

static weir__rates at_second(weir__recent *recent, weir_snapshot *now, int64_t second) {
    weir__rates rates;
    weir__recent_take(recent, now, second * SECOND, &rates);
    return rates;
}

START_TEST(means_are_over_a_minute) {
    weir__recent recent = {0};
    weir_snapshot now = {0};
    now.query = (weir_histogram){.count = 10, .sum = 1};
    now.queries_succeeded = 10;
    ck_assert_double_eq(at_second(&recent, &now, 1000).query_time, 0.1); /* over its life */
    now.query = (weir_histogram){.count = 20, .sum = 11};
    now.queries_succeeded = 15;
    now.queries_failed = 3;
    now.queries_timed_out = 2;
    ck_assert_double_eq(at_second(&recent, &now, 1015).query_time, 1); /* since then */
    ck_assert_double_eq(at_second(&recent, &now, 1030).query_failures, 0.5);
    ck_assert_double_eq(at_second(&recent, &now, 1059).query_time, 1);
    ck_assert_double_eq(at_second(&recent, &now, 1074).query_time, 1);
    ck_assert_double_eq(at_second(&recent, &now, 1075).query_time, 0); /* a minute after the last of them */
    now.wait = (weir_histogram){.count = 4, .sum = 2};
    now.checkouts_granted = 4;
    now.checkouts_refused = 1;
    now.checkouts_timed_out = 3;
    now.checkouts_cancelled = 100;                                          /* by the caller's wish */
    ck_assert_double_eq(at_second(&recent, &now, 9000).checkout_time, 0.5); /* a long pause is no minute */
    ck_assert_double_eq(at_second(&recent, &now, 9001).checkout_failures, 0.5);
    for (int64_t second = 9002; second < 9060; second++) /* often asked for, its beginning is not forgotten */
        ck_assert_double_eq(at_second(&recent, &now, second).checkout_failures, 0.5);
    ck_assert_double_eq(at_second(&recent, &now, 9061).checkout_failures, 0);
    now.checkouts_granted = 1; /* another pool of that name is gone */
    now.query = now.wait = (weir_histogram){.count = 1, .sum = 3};
    ck_assert_double_eq(at_second(&recent, &now, 9062).query_time, 3);
}
END_TEST

/* A pool is gone that had all the failures and long waits, while the other one did more than it had done. */
START_TEST(each_number_may_fall_by_itself) {
    weir__recent recent = {0};
    weir_snapshot now = {.queries_succeeded = 1, .queries_failed = 9, .checkouts_granted = 1};
    now.checkouts_refused = 9;
    now.wait = now.query = (weir_histogram){.count = 10, .sum = 100};
    at_second(&recent, &now, 1000);
    now = (weir_snapshot){.queries_succeeded = 30, .queries_failed = 10, .checkouts_granted = 40};
    now.wait = now.query = (weir_histogram){.count = 40, .sum = 200};
    ck_assert_double_eq(at_second(&recent, &now, 1001).checkout_failures, 0);
    now.checkouts_refused = 10;
    now.queries_succeeded = 100;
    now.queries_failed = 0;
    ck_assert_double_eq(at_second(&recent, &now, 1002).query_failures, 0);
    now.wait = (weir_histogram){.count = 50, .sum = 100};
    ck_assert_double_eq(at_second(&recent, &now, 1003).checkout_time, 2);
    now.query = (weir_histogram){.count = 50, .sum = 100};
    ck_assert_double_eq(at_second(&recent, &now, 1004).query_time, 2);
}
END_TEST

/* ---- with pools */

static weir_reactor *reactor;
static const char *file; /* metrics_shared */

static weir_pool *open_pool(const char *name) {
    weir_options options;
    weir_pool *pool;
    weir_op op;
    weir_options_init(&options);
    options.url = "sqlite://";
    options.name = name;
    options.metrics_shared = file;
    options.min_size = 0;
    ck_assert_int_eq(weir_pool_open(reactor, &options, NULL, &pool, &op, NULL), WEIR_OK);
    return pool;
}

static int expose(weir_pool *const *pools, size_t count, const char *format, const char *names) {
    size_t length = 99;
    weir__free(text);
    text = NULL;
    int code = weir_metrics_render(pools, count, format, names, &text, &length, NULL);
    if (text) ck_assert_uint_eq(strlen(text), length);
    return code;
}

START_TEST(all_open_pools_are_known) {
    ck_assert_int_eq(weir_reactor_new(&reactor, NULL), WEIR_OK);
    weir_pool *a = open_pool("a"), *b = open_pool("b"), *again = open_pool("a");
    ck_assert_int_eq(expose(NULL, 0, NULL, NULL), WEIR_OK);
    assert_has("\ndb_client_connection_max{db_client_connection_pool_name=\"a\"} 40\n"
               "db_client_connection_max{db_client_connection_pool_name=\"b\"} 20\n#");
    assert_has("\ndb_idle_connections{");
    assert_lacks("# EOF");
    ck_assert_int_eq(expose(&b, 1, "openmetrics", "standard"), WEIR_OK);
    assert_lacks("\"a\"");
    assert_lacks("db_idle_connections");
    assert_has("# EOF");
    weir_pool *twice[] = {b, a, b};
    ck_assert_int_eq(expose(twice, 3, NULL, "standard"), WEIR_OK);
    assert_has("\ndb_client_connection_max{db_client_connection_pool_name=\"b\"} 20\n");
    weir_pool_free(a);
    weir_pool_free(b);
    ck_assert_int_eq(expose(NULL, 0, "prometheus", "both"), WEIR_OK);
    assert_has("\ndb_client_connection_max{db_client_connection_pool_name=\"a\"} 20\n#");
    weir_op op;
    ck_assert_int_eq(weir_pool_close(again, 0, NULL, &op, NULL), WEIR_OK);
    ck_assert_int_eq(expose(NULL, 0, NULL, "seed"), WEIR_OK);
    ck_assert_str_eq(text, "");
    ck_assert_int_eq(expose(&again, 1, NULL, "seed"), WEIR_OK);
    assert_has("\"a\"");
    weir_pool_free(again);
    ck_assert_int_eq(expose(NULL, 0, NULL, "seed"), WEIR_OK);
    ck_assert_str_eq(text, "");
    weir_reactor_free(reactor);
}
END_TEST

START_TEST(refuses_what_is_wrong) {
    weir_error error = WEIR_ERROR_INIT;
    weir_pool *none = NULL;
    size_t length;
    ck_assert_int_eq(weir_metrics_render(NULL, 0, "xml", NULL, &text, &length, &error), WEIR_EINVAL);
    ck_assert_str_eq(error.message, "format=xml: give prometheus or openmetrics");
    ck_assert_int_eq(weir_metrics_render(NULL, 0, NULL, "all", &text, &length, &error), WEIR_EINVAL);
    ck_assert_str_eq(error.message, "names=all: give seed, standard or both");
    ck_assert_int_eq(weir_metrics_render(&none, 1, NULL, NULL, &text, &length, &error), WEIR_EINVAL);
    ck_assert_ptr_null(text);
    ck_assert_int_eq(weir_metrics_render(NULL, 0, NULL, NULL, NULL, &length, &error), WEIR_EINVAL);
    weir_error_clear(&error);
    weir_metrics_free(NULL);
}
END_TEST

START_TEST(a_child_of_fork_has_its_own) {
    ck_assert_int_eq(weir_reactor_new(&reactor, NULL), WEIR_OK);
    weir_pool *inherited = open_pool("inherited");
    pid_t child = fork();
    if (child == 0) {
        weir_reactor *before = reactor;
        bool good = expose(NULL, 0, NULL, NULL) == WEIR_OK && !*text;
        good = good && expose(&inherited, 1, NULL, NULL) == WEIR_EFORKED;
        good = good && weir_reactor_new(&reactor, NULL) == WEIR_OK;
        weir_pool *own = open_pool("own");
        good = good && expose(NULL, 0, NULL, "seed") == WEIR_OK && strstr(text, "\"own\"");
        good = good && !strstr(text, "inherited");
        weir_pool_free(own);
        weir_pool_free(inherited);
        weir_reactor_free(reactor);
        weir_reactor_free(before);
        _exit(good ? 0 : 1);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(expose(NULL, 0, NULL, "seed"), WEIR_OK);
    assert_has("\"inherited\"");
    weir_pool_free(inherited);
    weir_reactor_free(reactor);
}
END_TEST

static void *open_and_free(void *over) {
    while (!atomic_load((atomic_bool *)over)) {
        weir_reactor *own;
        weir_options options;
        weir_pool *pool;
        weir_op op;
        if (weir_reactor_new(&own, NULL) != WEIR_OK) return NULL;
        weir_options_init(&options);
        options.url = "sqlite://";
        options.name = "fleeting";
        options.min_size = 0;
        if (weir_pool_open(own, &options, NULL, &pool, &op, NULL) == WEIR_OK) weir_pool_free(pool);
        weir_reactor_free(own);
    }
    return NULL;
}

START_TEST(pools_come_and_go_meanwhile) {
    atomic_bool over = false;
    pthread_t threads[2];
    ck_assert_int_eq(weir_reactor_new(&reactor, NULL), WEIR_OK);
    weir_pool *pool = open_pool("lasting");
    for (int i = 0; i < 2; i++) ck_assert_int_eq(pthread_create(&threads[i], NULL, open_and_free, &over), 0);
    int seen = 0;
    for (int i = 0; i < 100 || (!seen && i < 100000); i++) {
        ck_assert_int_eq(expose(NULL, 0, NULL, NULL), WEIR_OK);
        assert_has("\"lasting\"");
        seen += strstr(text, "\"fleeting\"") != NULL;
    }
    ck_assert_int_gt(seen, 0);
    atomic_store(&over, true);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    weir_pool_free(pool);
    weir_reactor_free(reactor);
}
END_TEST

START_TEST(survives_lack_of_memory) {
    char path[] = "/tmp/weir-metrics-XXXXXX";
    close(mkstemp(path));
    file = _i > 1 ? path : NULL;
    ck_assert_int_eq(weir_reactor_new(&reactor, NULL), WEIR_OK);
    weir_pool *pools[] = {open_pool("a"), open_pool("b")};
    weir_error error = WEIR_ERROR_INIT;
    long live = weir__alloc_live(), k = 0, taken;
    do {
        size_t length;
        weir__alloc_fail_at(++k, false);
        int code =
            weir_metrics_render(_i % 2 ? pools : NULL, _i % 2 ? 2 : 0, NULL, NULL, &text, &length, &error);
        taken = weir__alloc_count();
        weir__alloc_fail_at(0, false);
        ck_assert_int_eq(code, k <= taken ? WEIR_ENOMEM : WEIR_OK);
        ck_assert_int_eq(error.code, code);
        weir_error_clear(&error);
        weir_metrics_free(text);
        text = NULL;
        ck_assert_int_eq(weir__alloc_live(), live);
    } while (k <= taken);
    ck_assert_int_gt(k, _i > 1 ? 6 : 5);
    unlink(path);
    weir_pool_free(pools[0]);
    weir_pool_free(pools[1]);
    weir_reactor_free(reactor);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("metrics");
    TCase *tests = tcase_create("metrics");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, seed_names_to_the_letter);
    tcase_add_test(tests, a_share_bounds_what_may_be_open);
    tcase_add_test(tests, histograms_are_cumulative);
    tcase_add_loop_test(tests, kinds_of_failures, 0, sizeof kinds / sizeof kinds[0]);
    tcase_add_test(tests, few_kinds_of_failures);
    tcase_add_test(tests, alerts_by_their_type);
    tcase_add_test(tests, counters_and_states_in_both_formats);
    tcase_add_test(tests, names_are_escaped);
    tcase_add_test(tests, every_number_of_a_snapshot_is_served);
    tcase_add_test(tests, pools_of_one_name_are_added_up);
    tcase_add_loop_test(tests, traces_are_read_from_comments, 0, sizeof commented / sizeof commented[0]);
    tcase_add_test(tests, the_later_exemplar_is_kept);
    tcase_add_test(tests, means_are_over_a_minute);
    tcase_add_test(tests, each_number_may_fall_by_itself);
    tcase_add_test(tests, all_open_pools_are_known);
    tcase_add_test(tests, refuses_what_is_wrong);
    tcase_add_test(tests, a_child_of_fork_has_its_own);
    tcase_add_test(tests, pools_come_and_go_meanwhile);
    tcase_add_loop_test(tests, survives_lack_of_memory, 0, 4);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}

/* The alerts, on the fake driver and the fake clock. */
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <weirpool/weirpool.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"
#include "monitor/monitor.h"
#include "support_circuit.h"
#include "support_monitor.h"
#include "support_pool.h"
#include "support_suite.h"

static weir_options options;
static weir__monitor *monitor;
static uint64_t after;

static void set_up(void) {
    rig_start(7);
    options = rig_options();
    options.alert_window_ms = 12000;
    options.alert_cooldown_ms = 60000;
    options.alert_minimum_calls = 4;
    options.alert_after = 1;
    options.circuit_breaker = false;
    weir__fake.run_min_ns = weir__fake.run_max_ns = WEIR__MS;
    after = 0;
}
static void tear_down(void) { rig_done(); }

static void watch(void) { monitor = rig_watched(&options); }

/* The next event; false: there is none. */
static bool next(weir_alert *out) {
    uint64_t before = after;
    bool found = weir_pool_next_alert(rig.pool, &after, out);
    ck_assert_uint_eq(after, found ? before + 1 : before);
    return found;
}

static void quiet(void) {
    weir_alert alert;
    ck_assert_msg(!next(&alert), "an alert: %s", alert.message);
    ck_assert_uint_eq(weir_pool_last_alert(rig.pool), after);
}

static weir_alert fired(weir_alert_type type) {
    weir_alert alert;
    ck_assert(next(&alert));
    ck_assert_str_eq(weir_alert_name(alert.type), weir_alert_name(type));
    ck_assert_int_eq(alert.resolved_ns, 0);
    ck_assert_int_le(alert.fired_ns, rig.clock.now);
    return alert;
}

static weir_alert resolved(weir_alert_type type) {
    weir_alert alert;
    ck_assert(next(&alert));
    ck_assert_str_eq(weir_alert_name(alert.type), weir_alert_name(type));
    ck_assert_int_gt(alert.resolved_ns, alert.fired_ns);
    return alert;
}

static void run(int good, int bad) {
    for (int i = 0; i < good; i++) ck_assert_int_eq(query("select 1"), WEIR_OK);
    fail_queries("fail 22012", bad);
}

static size_t listed(bool active) {
    weir_alert *list;
    size_t count;
    ck_assert_int_eq(weir_pool_alerts(rig.pool, active, &list, &count, NULL), WEIR_OK);
    weir_alerts_free(list);
    return count;
}

/* ---- one rule through all that can become of it */

START_TEST(fires_once_is_silent_and_resolves) {
    watch();
    run(38, 1);
    rig_advance(1000);
    quiet(); /* 1 of 39 */
    run(0, 1);
    rig_advance(1000);
    weir_alert alert = fired(WEIR_ALERT_HIGH_QUERY_FAILURE_RATE);
    ck_assert_uint_eq(alert.number, 1);
    ck_assert_int_eq(alert.severity, WEIR_SEVERITY_CRITICAL);
    ck_assert_double_eq(alert.value, 0.05);
    ck_assert_double_eq(alert.threshold, 0.05);
    ck_assert_uint_eq(alert.count, 2);
    ck_assert_uint_eq(alert.total, 40);
    ck_assert_double_gt(alert.window, 1.9);
    ck_assert_double_lt(alert.window, 2.2);
    ck_assert_str_eq(alert.message, "2 of 40 statements failed in 2.0 s: 5.0 %, the threshold is 5.0 %");
    ck_assert(logged("alert high_query_failure_rate: 2 of 40 statements failed"));
    ck_assert_uint_eq(listed(true), 1);
    ck_assert_uint_eq(rig.pool->stats->alerts[WEIR_ALERT_HIGH_QUERY_FAILURE_RATE], 1);
    ck_assert_int_eq(snapshot().alerts_active, 1);
    run(0, 5);
    rig_advance(3000);
    quiet();
    rig_advance(13000);
    alert = resolved(WEIR_ALERT_HIGH_QUERY_FAILURE_RATE);
    ck_assert_uint_eq(alert.number, 1);
    ck_assert_uint_eq(alert.count, 2); /* what caused it stays */
    ck_assert(logged("alert high_query_failure_rate is resolved"));
    ck_assert_uint_eq(listed(true), 0);
    ck_assert_uint_eq(listed(false), 1);
    ck_assert_int_eq(snapshot().alerts_active, 0);
    run(0, 5);
    rig_advance(3000);
    quiet(); /* cooldown */
    rig_advance(30000);
    quiet();
    int64_t again = alert.fired_ns + 60000 * WEIR__MS;
    while (rig.clock.now < again - 1500 * WEIR__MS) rig_advance(100);
    run(0, 5);
    rig_advance(1000);
    quiet();
    rig_advance(2000); /* it is too much all through the end of the cooldown */
    alert = fired(WEIR_ALERT_HIGH_QUERY_FAILURE_RATE);
    ck_assert_uint_eq(alert.number, 2);
    ck_assert_uint_eq(rig.pool->stats->alerts[WEIR_ALERT_HIGH_QUERY_FAILURE_RATE], 2);
    ck_assert_int_ge(alert.fired_ns, again);
    ck_assert_int_lt(alert.fired_ns, again + 1100 * WEIR__MS);
    ck_assert_double_eq(alert.value, 1);
}
END_TEST

START_TEST(hysteresis) {
    options.alert_query_failure_rate = 0.5;
    options.alert_hysteresis = 0.5;
    options.alert_window_ms = 600000;
    watch();
    run(5, 5);
    rig_advance(1000);
    ck_assert_double_eq(fired(WEIR_ALERT_HIGH_QUERY_FAILURE_RATE).value, 0.5);
    run(10, 0);
    rig_advance(1000);
    quiet(); /* 5 of 20: not below a quarter */
    run(1, 0);
    rig_advance(1000);
    ck_assert_double_eq(resolved(WEIR_ALERT_HIGH_QUERY_FAILURE_RATE).value, 0.5);
}
END_TEST

/* What is older than the window, and a slice, counts no more; what is younger does. */
START_TEST(window_edges) {
    options.alert_cooldown_ms = -1;
    watch();
    rig_advance(5000);
    run(0, 4);
    int64_t failed_at = rig.clock.now;
    rig_advance(1000);
    fired(WEIR_ALERT_HIGH_QUERY_FAILURE_RATE);
    while (rig.clock.now < failed_at + 12000 * WEIR__MS) rig_advance(100);
    quiet();
    while (rig.clock.now < failed_at + 14100 * WEIR__MS) rig_advance(100);
    resolved(WEIR_ALERT_HIGH_QUERY_FAILURE_RATE);
    run(0, 4); /* no cooldown */
    rig_advance(1000);
    weir_alert alert = fired(WEIR_ALERT_HIGH_QUERY_FAILURE_RATE);
    ck_assert_uint_eq(alert.total, 4);
    ck_assert_double_ge(alert.window, 12);
    ck_assert_double_le(alert.window, 13.1);
}
END_TEST

/* Nobody has driven the reactor: the window says how long it was. */
START_TEST(a_pause_makes_the_window_longer) {
    watch();
    run(0, 4);
    rig.clock.now += 40000 * WEIR__MS;
    weir_reactor_dispatch(rig.reactor);
    weir_alert alert = fired(WEIR_ALERT_HIGH_QUERY_FAILURE_RATE);
    ck_assert_double_gt(alert.window, 39.9);
    ck_assert_double_lt(alert.window, 40.2);
}
END_TEST

START_TEST(needs_calls_and_looks_in_a_row) {
    options.alert_after = 3;
    options.monitoring_interval_ms = 500;
    watch();
    run(0, 3);
    rig_advance(5000);
    quiet(); /* too few calls */
    run(0, 1);
    rig_advance(900);
    quiet();
    rig_advance(700);
    fired(WEIR_ALERT_HIGH_QUERY_FAILURE_RATE);
    run(100, 0);
    rig_advance(600);
    quiet();
    rig_advance(1100);
    resolved(WEIR_ALERT_HIGH_QUERY_FAILURE_RATE);
}
END_TEST

/* ---- the other rules */

START_TEST(checkouts_that_fail) {
    options.min_size = options.max_size = 1;
    options.max_waiting = 2;
    options.checkout_timeout_ms = 500;
    options.alert_pool_usage = -1;
    watch();
    weir_session held = lend();
    queue();
    queue();
    for (int i = 0; i < 2; i++) ck_assert_int_eq(ask_only(), WEIR_EQUEUEFULL);
    rig_advance(1010);
    weir_alert alert = fired(WEIR_ALERT_HIGH_CHECKOUT_FAILURE_RATE);
    ck_assert_int_eq(alert.severity, WEIR_SEVERITY_WARNING);
    ck_assert_uint_eq(alert.count, 4);
    ck_assert_uint_eq(alert.total, 5);
    ck_assert_double_eq(alert.value, 0.8);
    weir_session_release(held);
    rig_advance(14000);
    resolved(WEIR_ALERT_HIGH_CHECKOUT_FAILURE_RATE);
    quiet();
}
END_TEST

START_TEST(leaks) {
    options.min_size = 3;
    options.leak_threshold_ms = 2000;
    options.alert_leaks = 2;
    options.alert_pool_usage = -1;
    watch();
    weir_session first = lend(), second = lend(), third = lend();
    rig_advance(1500);
    weir_session_release(third);
    rig_advance(1600);
    weir_alert alert = fired(WEIR_ALERT_CONNECTION_LEAKS);
    ck_assert_uint_eq(alert.count, 2);
    ck_assert_uint_eq(alert.total, 2);
    ck_assert_double_eq(alert.window, 0);
    ck_assert_str_eq(alert.message,
                     "2 of 2 connections in use are held for longer than leak_threshold, the threshold is 2");
    weir_session_release(first);
    rig_advance(1100);
    resolved(WEIR_ALERT_CONNECTION_LEAKS);
    weir_session_release(second);
    quiet();
}
END_TEST

START_TEST(usage) {
    options.min_size = 4;
    options.max_overflow = 1;
    watch();
    weir_session held[4];
    for (int i = 0; i < 3; i++) held[i] = lend();
    rig_advance(20000);
    quiet(); /* 3 of 5 */
    held[3] = lend();
    rig_advance(11500);
    quiet(); /* not yet, on the average */
    rig_advance(3000);
    weir_alert alert = fired(WEIR_ALERT_HIGH_POOL_USAGE);
    ck_assert_double_eq_tol(alert.value, 0.8, 1e-9);
    ck_assert_uint_eq(alert.count, 4);
    ck_assert_uint_eq(alert.total, 5);
    for (int i = 0; i < 4; i++) weir_session_release(held[i]);
    rig_advance(1100);
    quiet();
    rig_advance(6000);
    resolved(WEIR_ALERT_HIGH_POOL_USAGE);
}
END_TEST

/* Then looks are made by calls, which use a connection each: that says nothing. */
START_TEST(usage_of_a_pool_that_nobody_drives) {
    options.min_size = options.max_size = 1;
    watch();
    for (int i = 0; i < 20; i++) {
        weir_session held = lend();
        rig.clock.now += 1500 * WEIR__MS;
        weir_reactor_dispatch(rig.reactor);
        weir_session_release(held);
    }
    quiet();
    weir_session held = lend();
    rig_advance(20000);
    fired(WEIR_ALERT_HIGH_POOL_USAGE);
    weir_session_release(held);
}
END_TEST

START_TEST(usage_of_a_share) {
    options.min_size = 0;
    options.max_size = 8;
    watch();
    ck_assert(weir__enter(rig.reactor));
    weir__pool_ceiling(rig.pool, 2);
    weir__leave(rig.reactor);
    weir_session held[2];
    weir_op ops[2] = {queue(), queue()};
    rig_advance(15000);
    for (int i = 0; i < 2; i++) ck_assert_int_eq(outcome(ops[i], &held[i]), WEIR_OK);
    weir_alert alert = fired(WEIR_ALERT_HIGH_POOL_USAGE);
    ck_assert_uint_eq(alert.count, 2);
    ck_assert_uint_eq(alert.total, 2);
    for (int i = 0; i < 2; i++) weir_session_release(held[i]);
}
END_TEST

/* _i: the slow statement is one that is not answered in time. */
START_TEST(slow_ones) {
    options.alert_query_failure_rate = -1;
    options.min_size = options.max_size = 1;
    options.alert_query_time_ms = 300;
    options.alert_checkout_time_ms = 300;
    options.alert_pool_usage = -1;
    watch();
    weir_session session = lend();
    for (int i = 0; i < 3; i++) ck_assert_int_eq(run_sql(session, "sleep 100"), WEIR_OK);
    weir_op slow = submit(session, _i ? "hang" : "sleep 400", _i ? 400 : -1);
    rig_advance(1400);
    ck_assert_int_eq(outcome(slow, NULL), _i ? WEIR_ECOMMANDTIMEOUT : WEIR_OK);
    weir_alert alert = fired(WEIR_ALERT_SLOW_QUERIES);
    ck_assert_double_eq_tol(alert.value, 0.4, 0.018);
    ck_assert_double_eq(alert.threshold, 0.3);
    ck_assert_uint_eq(alert.total, 4);
    weir_op ops[4];
    for (int i = 0; i < 4; i++) ops[i] = queue();
    rig_advance(600);
    weir_session_release(session);
    for (int i = 0; i < 4; i++) {
        rig_advance(2);
        ck_assert_int_eq(outcome(ops[i], &session), WEIR_OK);
        weir_session_release(session);
    }
    rig_advance(1000);
    alert = fired(WEIR_ALERT_SLOW_CHECKOUTS);
    ck_assert_double_gt(alert.value, 0.57);
    ck_assert_uint_eq(alert.total, 5);
    rig_advance(16000);
    resolved(WEIR_ALERT_SLOW_QUERIES);
    resolved(WEIR_ALERT_SLOW_CHECKOUTS);
    quiet();
}
END_TEST

/* A breaker is told of at once, also when it was open between two looks alone. */
START_TEST(breakers) {
    options.circuit_breaker = true;
    options.alert_after = 20;
    options.alert_query_failure_rate = options.alert_checkout_failure_rate = -1;
    options.monitoring_interval_ms = 2000;
    watch();
    weir__fake_next_connect(WEIR__FAKE_HANG, 0);
    fail_queries("fail 57P01", 5);
    ck_assert_int_eq(query_state(), WEIR_BREAKER_OPEN);
    rig_advance(100);
    weir_breaker_force_close(queries());
    weir_breaker_force_close(connects());
    rig_advance(2000);
    weir_alert alert = fired(WEIR_ALERT_CIRCUIT_BREAKER_OPEN);
    ck_assert_uint_eq(alert.count, 1);
    ck_assert_int_eq(alert.severity, WEIR_SEVERITY_CRITICAL);
    ck_assert_str_eq(alert.message, "a circuit breaker was open: query, AdminShutdown: as the script says");
    rig_advance(2000);
    resolved(WEIR_ALERT_CIRCUIT_BREAKER_OPEN);
    rig_advance(60000);
    weir_breaker_force_open(connects());
    rig_advance(2000);
    alert = fired(WEIR_ALERT_CIRCUIT_BREAKER_OPEN);
    ck_assert_double_eq(alert.value, 1);
    ck_assert_ptr_eq(strstr(alert.message, "a circuit breaker is open: connect"), alert.message);
    rig_advance(10000);
    quiet();
    weir_breaker_force_close(connects());
    rig_advance(2100);
    resolved(WEIR_ALERT_CIRCUIT_BREAKER_OPEN);
}
END_TEST

/* What the server has said of it may be in any language. */
START_TEST(details_end_at_a_character) {
    options.circuit_breaker = true;
    watch();
    char *failure = weir__guard_of(rig.pool, WEIR_BREAKER_QUERIES)->last_failure;
    weir_breaker_force_open(queries());
    memset(failure, 'x', 3);
    failure[_i] = '\0';
    while (strlen(failure) + 3 < WEIR_BREAKER_FAILURE_SIZE)
        strcat(failure, "\xe2\x82\xac"); /* an euro sign */
    rig_advance(1100);
    weir_alert alert;
    while (next(&alert) && alert.type != WEIR_ALERT_CIRCUIT_BREAKER_OPEN) { /* the pool is unhealthy, too */
    }
    ck_assert(weir__utf8_valid(alert.message, strlen(alert.message)));
    ck_assert_uint_gt(strlen(alert.message), 160);
    weir_breaker_force_close(queries());
}
END_TEST

/* Nothing has failed yet. */
START_TEST(connecting_hangs) {
    options.min_size = 0;
    options.connect_timeout_ms = 60000;
    options.alert_query_failure_rate = options.alert_checkout_failure_rate = -1;
    watch();
    weir__fake_next_connect(WEIR__FAKE_HANG, 0);
    weir_op op = queue();
    rig_advance(900);
    quiet();
    rig_advance(1500);
    weir_alert alert = fired(WEIR_ALERT_DATABASE_UNHEALTHY);
    ck_assert_uint_eq(alert.count, 0);
    ck_assert_str_eq(alert.message, "the pool is unhealthy: disconnected");
    weir_reactor_cancel(rig.reactor, op);
}
END_TEST

START_TEST(an_outage) {
    options.alert_after = 3;
    options.alert_query_failure_rate = options.alert_checkout_failure_rate = -1;
    watch();
    rig_advance(1000);
    server_gone(false);
    rig_advance(2500);
    quiet();
    rig_advance(1500);
    weir_alert alert = fired(WEIR_ALERT_DATABASE_UNHEALTHY);
    ck_assert_double_eq(alert.value, WEIR_UNHEALTHY);
    ck_assert_double_eq(alert.threshold, WEIR_UNHEALTHY);
    ck_assert_uint_ge(alert.count, 1);
    ck_assert_ptr_nonnull(strstr(alert.message, "the pool is unhealthy after "));
    ck_assert_ptr_nonnull(strstr(alert.message, " in a row: disconnected, ConnectError: "));
    ck_assert_ptr_null(strstr(alert.message, "secret"));
    rig_advance(30000);
    quiet();
    server_back();
    rig_advance(10000);
    resolved(WEIR_ALERT_DATABASE_UNHEALTHY);
    quiet();
}
END_TEST

START_TEST(a_drain_is_no_outage) {
    options.min_size = options.max_size = 1;
    options.checkout_timeout_ms = -1;
    watch();
    weir_session held = lend();
    weir_op waiter = queue(), op = 0;
    ck_assert_int_eq(weir_pool_drain(rig.pool, -1, NULL, &op, NULL), WEIR_PENDING);
    rig_advance(3000);
    quiet();
    weir_reactor_cancel(rig.reactor, waiter);
    weir_session_release(held);
}
END_TEST

START_TEST(rules_can_be_switched_off) {
    options.alert_query_failure_rate = options.alert_checkout_failure_rate = options.alert_pool_usage = -1;
    options.alert_query_time_ms = options.alert_checkout_time_ms = -1;
    options.alert_leaks = -1;
    options.leak_threshold_ms = 10;
    options.min_size = 4;
    watch();
    weir_session held[4];
    run(0, 10);
    for (int i = 0; i < 4; i++) held[i] = lend();
    rig_advance(20000);
    quiet();
    for (int i = 0; i < 4; i++) weir_session_release(held[i]);
}
END_TEST

START_TEST(off) {
    options.monitoring = false;
    watch();
    ck_assert_ptr_null(monitor);
    run(0, 10);
    rig_advance(20000);
    weir_alert *alerts, alert;
    weir_slow_statement *statements;
    weir_history_point *points;
    weir_metric_kind kind;
    size_t count;
    FAILS(WEIR_ENOTSUP, weir_pool_alerts(rig.pool, true, &alerts, &count, error));
    FAILS(WEIR_ENOTSUP, weir_pool_slow_statements(rig.pool, &statements, &count, error));
    FAILS(WEIR_ENOTSUP, weir_pool_history(rig.pool, "size", -1, 0, &kind, &points, &count, error));
    ck_assert(!weir_pool_next_alert(rig.pool, &after, &alert));
    ck_assert_uint_eq(weir_pool_last_alert(rig.pool), 0);
    FAILS(WEIR_EINVAL, weir_pool_alerts(NULL, true, &alerts, &count, error));
    FAILS(WEIR_EINVAL, weir_pool_slow_statements(rig.pool, NULL, &count, error));
    FAILS(WEIR_EINVAL, weir_pool_history(rig.pool, NULL, -1, 0, &kind, &points, &count, error));
    ck_assert(!weir_pool_next_alert(NULL, &after, &alert));
    weir_alerts_free(NULL);
    weir_slow_statements_free(NULL);
    weir_history_free(NULL);
}
END_TEST

/* ---- keeping them */

static void fire(int count) {
    weir__finding finding = {.value = 1, .threshold = 1, .detail = "x"};
    for (int i = 0; i < count; i++) {
        weir__alert_fire(monitor, WEIR_ALERT_CIRCUIT_BREAKER_OPEN, &finding, rig.clock.now);
        weir__alert_resolve(monitor, WEIR_ALERT_CIRCUIT_BREAKER_OPEN, rig.clock.now + 1);
    }
}

/* Whichever thread has looked. */
START_TEST(the_host_is_woken) {
    watch();
    ck_assert(weir__enter(rig.reactor));
    bool before = rig.reactor->signal;
    fire(1);
    bool then = rig.reactor->signal;
    weir__leave(rig.reactor);
    ck_assert(!before && then);
}
END_TEST

START_TEST(a_thousand_are_kept) {
    watch();
    fire(2500);
    ck_assert_uint_eq(listed(false), 1000);
    weir_alert alert;
    ck_assert(weir_pool_next_alert(rig.pool, &after, &alert));
    ck_assert_uint_eq(after, 3001); /* two events each: what is gone shows in the numbers */
    ck_assert_uint_eq(alert.number, 1501);
    for (uint64_t n = 3002; n <= 5000; n++) {
        ck_assert(next(&alert));
        ck_assert_uint_eq(after, n);
        ck_assert_int_eq(alert.resolved_ns != 0, n % 2 == 0);
    }
    quiet();
}
END_TEST

START_TEST(without_memory_the_oldest_give_way) {
    watch();
    weir__alloc_fail_at(1, true);
    fire(3);
    weir__alloc_fail_at(0, false);
    weir_alert alert;
    ck_assert(!weir_pool_next_alert(rig.pool, &after, &alert)); /* not even one */
    fire(16);
    weir__alloc_fail_at(1, true);
    fire(5);
    weir_alert *list;
    size_t count;
    FAILS(WEIR_ENOMEM, weir_pool_alerts(rig.pool, false, &list, &count, error));
    weir__alloc_fail_at(0, false);
    ck_assert_uint_eq(listed(false), 16);
    ck_assert(weir_pool_next_alert(rig.pool, &after, &alert));
    ck_assert_uint_eq(alert.number, 3 + 5 + 1);
    fire(2000);
    ck_assert_uint_eq(listed(false), 1000);
}
END_TEST

START_TEST(making_one_without_memory) {
    rig_ready(&options);
    int code = WEIR_ENOMEM;
    for (int k = 1; code == WEIR_ENOMEM; k++) {
        weir_error error = WEIR_ERROR_INIT;
        long live = weir__alloc_live();
        weir__alloc_fail_at(k, false);
        code = weir__monitor_new(&options, &monitor, &error);
        weir__alloc_fail_at(0, false);
        ck_assert(code == WEIR_OK || code == WEIR_ENOMEM);
        weir_error_clear(&error);
        if (code == WEIR_OK) ck_assert_int_gt(k, 2);
        weir__monitor_free(monitor);
        ck_assert_int_eq(weir__alloc_live(), live);
    }
}
END_TEST

START_TEST(names) {
    for (int type = 0; type < WEIR__ALERT_TYPES; type++) {
        ck_assert_ptr_nonnull(weir_alert_name(type));
        ck_assert_ptr_nonnull(weir_alert_text(type));
    }
    ck_assert_ptr_null(weir_alert_name((weir_alert_type)WEIR__ALERT_TYPES));
    ck_assert_ptr_null(weir_alert_text((weir_alert_type)WEIR__ALERT_TYPES));
    ck_assert_str_eq(weir_severity_name(WEIR_SEVERITY_CRITICAL), "critical");
    ck_assert_ptr_null(weir_severity_name(2));
}
END_TEST

/* ---- a pool that was opened as everybody's is, and threads */

static atomic_bool over;

static void *work(void *arg) {
    weir_pool *pool = arg;
    weir_statement *statement = weir_statement_new("select nonsense", 15, NULL);
    while (!atomic_load(&over)) {
        weir_op op = 0;
        weir_completion done;
        int code = weir_pool_execute(pool, statement, NULL, NULL, &op, NULL);
        if (code == WEIR_PENDING && weir_reactor_wait(weir_pool_reactor(pool), op, 10000, &done) == WEIR_OK)
            weir_completion_discard(&done);
    }
    weir_statement_unref(statement);
    return NULL;
}

START_TEST(any_thread_may_look) {
    weir_reactor *reactor;
    weir_pool *pool;
    weir_op op = 0;
    weir_alert alert, *alerts;
    weir_slow_statement *slow;
    weir_history_point *points;
    weir_metric_kind kind;
    pthread_t threads[2];
    size_t count;
    weir_options_init(&options);
    options.url = "sqlite://";
    options.min_size = 0;
    options.monitoring_interval_ms = options.alert_window_ms = 10;
    options.alert_after = options.alert_minimum_calls = 1;
    ck_assert_int_eq(weir_reactor_new(&reactor, NULL), WEIR_OK);
    ck_assert_int_eq(weir_pool_open(reactor, &options, NULL, &pool, &op, NULL), WEIR_OK);
    for (int i = 0; i < 2; i++) ck_assert_int_eq(pthread_create(&threads[i], NULL, work, pool), 0);
    int64_t deadline = weir_now_ns() + 60000 * WEIR__MS;
    count = 0;
    while (!count && weir_now_ns() < deadline) {
        if (weir_pool_last_alert(pool) == after) continue;
        ck_assert_int_eq(weir_pool_alerts(pool, false, &alerts, &count, NULL), WEIR_OK);
        weir_alerts_free(alerts);
    }
    ck_assert(weir_pool_next_alert(pool, &after, &alert));
    ck_assert_int_eq(alert.type, WEIR_ALERT_HIGH_QUERY_FAILURE_RATE);
    ck_assert_int_eq(weir_pool_slow_statements(pool, &slow, &count, NULL), WEIR_OK);
    ck_assert_uint_eq(count, 0);
    ck_assert_int_eq(weir_pool_history(pool, "size", -1, 0, &kind, &points, &count, NULL), WEIR_OK);
    weir_history_free(points);
    atomic_store(&over, true);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    weir_pool_free(pool);
    weir_reactor_free(reactor);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {fires_once_is_silent_and_resolves,
                                  hysteresis,
                                  window_edges,
                                  a_pause_makes_the_window_longer,
                                  needs_calls_and_looks_in_a_row,
                                  checkouts_that_fail,
                                  leaks,
                                  usage,
                                  usage_of_a_pool_that_nobody_drives,
                                  usage_of_a_share,
                                  breakers,
                                  connecting_hangs,
                                  an_outage,
                                  a_drain_is_no_outage,
                                  rules_can_be_switched_off,
                                  off,
                                  the_host_is_woken,
                                  a_thousand_are_kept,
                                  without_memory_the_oldest_give_way,
                                  making_one_without_memory,
                                  any_thread_may_look,
                                  names};
    Suite *suite = suite_create("monitor");
    TCase *tc = tcase_create("monitor");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, set_up, tear_down);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) tcase_add_test(tc, tests[i]);
    tcase_add_loop_test(tc, slow_ones, 0, 2);
    tcase_add_loop_test(tc, details_end_at_a_character, 0, 3);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}

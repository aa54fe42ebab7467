/* Health checks, the pool's status and its history, on the fake driver and the fake clock. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "support_circuit.h"
#include "support_pool.h"
#include "support_suite.h"

static weir_options options;
static uint64_t seen; /* the number of the last event */

static void set_up(void) {
    rig_start(7);
    seen = 0;
    options = rig_options();
    options.health_check_interval_ms = 1000;
    options.health_check_timeout_ms = 200;
    weir__fake.run_min_ns = weir__fake.run_max_ns = WEIR__MS;
}
static void tear_down(void) { rig_done(); }

static void sizes(int min, int max) {
    options.min_size = min;
    options.max_size = max;
}

static weir_health health(void) {
    weir_health out = {.struct_size = sizeof out};
    ck_assert_int_eq(weir_pool_health(rig.pool, &out, NULL), WEIR_OK);
    ck_assert((out.status == WEIR_HEALTHY) == !out.reasons);
    return out;
}

static bool has(weir_health_reason reason) { return health().reasons >> reason & 1; }

/* "status healthy>degraded, failed, …" since the last call. */
static const char *history(void) {
    static char text[1000];
    weir_health_event event;
    text[0] = '\0';
    while (weir_pool_next_health_event(rig.pool, &seen, &event)) {
        size_t length = strlen(text);
        ck_assert_str_ne(weir_health_event_name(event.kind), "");
        snprintf(text + length, sizeof text - length, "%s%s", length ? ", " : "",
                 weir_health_event_name(event.kind));
        length = strlen(text);
        if (event.kind == WEIR_HEALTH_EVENT_STATUS)
            snprintf(text + length, sizeof text - length, " %s", weir_health_status_name(event.status));
    }
    return text;
}

static int count(const char *text, const char *what) {
    int n = 0;
    for (const char *at = text; (at = strstr(at, what)); at += strlen(what)) n++;
    return n;
}

/* Drives until a check is under way, at most so long. */
static void until_checking(int64_t ms) {
    int64_t end = rig.clock.now + ms * WEIR__MS;
    while (!in_state(WEIR__CHECKING) && rig_hop(end)) holds();
    ck_assert_int_eq(in_state(WEIR__CHECKING), 1);
}

START_TEST(idle_connections_are_asked) {
    options.health_check_query = "select health";
    options.health_check_interval_ms = 10000;
    rig_ready(&options);
    transcript();
    lend(); /* the one that is in use is not */
    rig_advance(6900);
    ck_assert_str_eq(transcript(), "");
    rig_advance(2200);
    ck_assert_str_eq(transcript(), "select health\n");
    for (int i = 0; i < 10; i++) {
        rig_advance(10000);
        ck_assert_int_ge(count(transcript(), "select health"), 1);
    }
    weir_snapshot now = snapshot();
    ck_assert_uint_ge(now.health_checks_passed, 10);
    ck_assert_uint_le(now.health_checks_passed, 14);
    ck_assert_uint_eq(now.health_checks_failed, 0);
    ck_assert_uint_eq(now.health_check.count, now.health_checks_passed);
    ck_assert_uint_eq(now.checkouts_granted, 1);
    ck_assert_uint_eq(now.connections_closed, 0);
    weir_health is = health();
    ck_assert_int_eq(is.status, WEIR_HEALTHY);
    ck_assert_int_ge(is.latency_ns, WEIR__MS);
    ck_assert_int_lt(is.latency_ns, 2 * WEIR__MS);
    ck_assert_int_ge(is.last_check_ms, 0);
    ck_assert_int_le(is.last_check_ms, 10000);
    ck_assert_uint_eq(is.passed, now.health_checks_passed);
    ck_assert_str_eq(history(), "passed"); /* those in a row are one */
}
END_TEST

/* At different times, so that many pools do not ask at once. */
START_TEST(with_jitter) {
    sizes(4, 4);
    rig_ready(&options);
    for (int64_t end = rig.clock.now + 5000 * WEIR__MS; rig_hop(end);)
        ck_assert_int_le(in_state(WEIR__CHECKING), 1); /* one at a time */
    int64_t signs[4];
    for (int i = 0; i < 4; i++) signs[i] = rig.pool->slots[i]->health.checked_at;
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < i; j++) ck_assert_int_gt(llabs(signs[i] - signs[j]), 5 * WEIR__MS);
}
END_TEST

/* It goes on being unused: idle_timeout counts, and so does the order of lending. */
START_TEST(a_check_is_no_use) {
    sizes(1, 4);
    options.idle_timeout_ms = 3500;
    options.lifo = _i;
    rig_ready(&options);
    weir_session sessions[4];
    weir_checkout checkout;
    weir_checkout_init(&checkout);
    sessions[0] = lend();
    for (int i = 1; i < 4; i++) {
        weir_op op = queue();
        rig_advance(1);
        ck_assert_int_eq(outcome(op, &sessions[i]), WEIR_OK);
    }
    const weir__slot *order[4];
    for (int i = 0; i < 4; i++) {
        order[i] = slot_of(sessions[i]);
        weir_session_release(sessions[i]);
        rig_advance(100);
    }
    rig_advance(1500); /* all have been asked */
    ck_assert_uint_ge(snapshot().health_checks_passed, 4);
    const weir__link *link = rig.pool->idle.next;
    for (int i = 0; i < 4; i++, link = link->next)
        ck_assert_ptr_eq(weir__container(link, weir__slot, link), order[_i ? 3 - i : i]);
    rig_advance(1900);
    ck_assert_uint_eq(snapshot().connections_closed, 3);
}
END_TEST

/* Who comes while the only one is being asked gets it as soon as it has answered, and no new one is opened …
 */
START_TEST(a_borrower_waits_for_the_answer) {
    sizes(1, _i ? 4 : 1);
    weir__fake.connect_min_ns = weir__fake.connect_max_ns = 500 * WEIR__MS;
    rig_ready(&options);
    weir__fake_next_run(WEIR__FAKE_OK, NULL, 20 * WEIR__MS);
    until_checking(1100);
    weir_op op = queue();
    rig_advance(19);
    ck_assert_int_eq(outcome(op, NULL), WEIR_PENDING);
    rig_advance(2);
    weir_session session;
    ck_assert_int_eq(outcome(op, &session), WEIR_OK);
    ck_assert_int_eq(weir__fake.created, 1);
    weir_session_release(session);
}
END_TEST

/* … unless that takes long, and there is room. */
START_TEST(a_check_that_hangs_keeps_nobody) {
    sizes(1, _i ? 4 : 1);
    rig_ready(&options);
    weir__fake_next_run(WEIR__FAKE_HANG, NULL, 0);
    until_checking(1100);
    weir_op op = queue();
    rig_advance(60);
    ck_assert_int_eq(outcome(op, NULL), _i ? WEIR_OK : WEIR_PENDING);
    rig_advance(205);
    if (!_i) ck_assert_int_eq(outcome(op, NULL), WEIR_OK);
    weir_snapshot now = snapshot();
    ck_assert_uint_eq(now.health_checks_failed, 1);
    ck_assert_uint_eq(now.connections_lost, 1);
    ck_assert(logged("a health check has failed, and its connection is closed: PoolTimeout"));
}
END_TEST

/* Where others are idle the one is asked that would be lent last, and who comes is not held up. */
START_TEST(another_one_is_lent) {
    sizes(3, 3);
    options.checkout_timeout_ms = 1;
    rig_ready(&options);
    weir__fake.run_min_ns = weir__fake.run_max_ns = 50 * WEIR__MS;
    until_checking(1100);
    weir_session one = lend(), two = lend();
    weir_session_release(one);
    weir_session_release(two);
}
END_TEST

START_TEST(nobody_is_asked_while_somebody_waits) {
    sizes(1, 1);
    options.health_check_interval_ms = 20;
    rig_ready(&options);
    weir_session session = lend();
    weir_op ops[8];
    for (int i = 0; i < 8; i++) ops[i] = queue();
    transcript();
    for (int i = 0; i < 8; i++) {
        rig_advance(30);
        weir_session_release(session);
        ck_assert_int_eq(outcome(ops[i], &session), WEIR_OK);
    }
    ck_assert_str_eq(transcript(), "");
    weir_session_release(session);
}
END_TEST

/* Nor one beside that which a waiter is to get. */
START_TEST(a_waiters_check_is_the_only_one) {
    sizes(3, 3);
    options.health_check_interval_ms = 10000;
    options.validate_after_ms = 500;
    rig_ready(&options);
    weir__fake_next_run(WEIR__FAKE_HANG, NULL, 0);
    transcript();
    queue();
    for (size_t i = 0; i < rig.pool->slot_count; i++) rig.pool->slots[i]->health.early = 9500 * WEIR__MS;
    weir__enter(rig.reactor);
    rig.pool->health.doubt_at = rig.clock.now; /* more than one at a time */
    weir__reactor_start(rig.reactor, &rig.pool->health.beat, rig.clock.now);
    weir__leave(rig.reactor);
    rig_advance(10);
    ck_assert_str_eq(transcript(), "SELECT 1\n");
}
END_TEST

START_TEST(the_breakers_probe_is_enough) {
    rig_ready(&options);
    transcript();
    weir_breaker_force_open(queries());
    rig_advance(5000);
    ck_assert_str_eq(transcript(), "");
    weir_breaker_force_close(queries());
    rig_advance(1000);
    ck_assert_str_ne(transcript(), "");
}
END_TEST

START_TEST(switched_off) {
    options.health_check_interval_ms = -1;
    rig_ready(&options);
    transcript();
    rig_advance(200000);
    ck_assert_str_eq(transcript(), "");
    ck_assert_int_eq(health().last_check_ms, -1);
    ck_assert_int_eq(health().latency_ns, -1);
}
END_TEST

/* ---- failures */

static const struct {
    weir__fake_kind kind;
    const char *sqlstate, *said;
    bool counts; /* for the breaker */
} failures[] = {
    {WEIR__FAKE_FAIL, "57P01", "AdminShutdown: ", true},
    {WEIR__FAKE_LOSE, NULL, "ConnectionLost: ", true},
    {WEIR__FAKE_HANG, NULL, "PoolTimeout: no answer within health_check_timeout (200 ms)", true},
    {WEIR__FAKE_FAIL, "42P01", "UndefinedTable: ", false},
};

START_TEST(a_failed_check_closes_its_connection) {
    sizes(2, 2);
    rig_ready(&options);
    weir__fake_next_run(failures[_i].kind, failures[_i].sqlstate, 0);
    until_checking(1100);
    rig_advance(201);
    weir_snapshot now = snapshot();
    ck_assert_uint_eq(now.health_checks_failed, 1);
    ck_assert_uint_eq(now.connections_closed, 1);
    ck_assert_uint_eq(numbers(queries()).calls_failed, failures[_i].counts);
    ck_assert_int_eq(strncmp(health().last_failure, failures[_i].said, strlen(failures[_i].said)), 0);
    rig_advance(1300); /* the floor is kept, and what is there is well */
    ck_assert_int_eq(in_state(WEIR__IDLE), 2);
    ck_assert_int_eq(health().failures_in_a_row, 0);
    ck_assert_ptr_nonnull(strstr(history(), "failed, status degraded"));
}
END_TEST

/* A firewall has forgotten them all: one failure has the others be asked at once, and none of them is lent
 * before. */
START_TEST(one_failure_puts_all_in_doubt) {
    sizes(6, 12);
    options.circuit_breaker = false;
    options.validate_after_ms = 100000;
    rig_ready(&options);
    for (int i = 0; i < 6; i++) weir__fake_next_run(WEIR__FAKE_HANG, NULL, 0);
    until_checking(1100);
    rig_advance(203);
    ck_assert_uint_eq(snapshot().health_checks_failed, 1);
    ck_assert_int_eq(in_state(WEIR__CHECKING), 4);
    weir_session session;
    weir_op op = 0;
    int code = ask(&session, &op, NULL); /* it gets the new one, or its turn */
    if (code == WEIR_PENDING) rig_advance(60);
    if (code == WEIR_PENDING) ck_assert_int_eq(outcome(op, &session), WEIR_OK);
    ck_assert_int_gt(slot_of(session)->begun_at, rig.pool->health.doubt_at);
    weir_session_release(session);
    rig_advance(450);
    ck_assert_uint_eq(snapshot().health_checks_failed, 6);
    ck_assert_int_eq(in_state(WEIR__IDLE), 6);
    rig_advance(1100);
    ck_assert_int_eq(rig.pool->health.look_after, WEIR__PING_AFTER);
}
END_TEST

/* Failures open the breaker before any caller is hurt. */
START_TEST(failures_open_the_breaker) {
    sizes(4, 4);
    options.circuit.failure_threshold = 3;
    rig_ready(&options);
    for (int i = 0; i < 60; i++) weir__fake_next_run(WEIR__FAKE_HANG, NULL, 0);
    rig_advance(1600);
    ck_assert_int_eq(query_state(), WEIR_BREAKER_OPEN);
    ck_assert_int_eq(ask_only(), WEIR_ECIRCUITOPEN);
    ck_assert(has(WEIR_HEALTH_CIRCUIT_OPEN));
    ck_assert_int_eq(health().status, WEIR_UNHEALTHY);
    weir__fake.runs.count = 0;
    rig_advance(2000);
    ck_assert(!has(WEIR_HEALTH_CIRCUIT_OPEN));
}
END_TEST

/* ---- validation */

START_TEST(long_idle_ones_are_asked_before_they_are_lent) {
    sizes(2, 2);
    options.health_check_interval_ms = -1;
    options.validate_after_ms = 2000;
    rig_ready(&options);
    rig_advance(500);
    weir_session_release(lend());
    rig_advance(1500);
    weir_session_release(lend()); /* a fresh one is preferred */
    rig_advance(2100);
    transcript();
    weir_op op = queue();
    ck_assert_str_eq(transcript(), "SELECT 1\n");
    ck_assert_int_eq(in_state(WEIR__CHECKING), 1);
    weir_session session;
    rig_advance(3);
    ck_assert_int_eq(outcome(op, &session), WEIR_OK);
    weir_session_release(session);
    ck_assert_uint_eq(snapshot().health_checks_passed, 1);
    ck_assert_uint_eq(snapshot().connections_started, 2);
    weir_session_release(lend());
    ck_assert_uint_eq(snapshot().health_checks_passed, 1);
}
END_TEST

/* As many as are wanted; one that fails is followed by the next; a queue of no places is no reason to refuse.
 */
START_TEST(validation_goes_on) {
    sizes(3, 3);
    options.health_check_interval_ms = -1;
    options.validate_after_ms = 500;
    options.max_waiting = 0;
    rig_ready(&options);
    rig_advance(600);
    weir__fake_next_run(WEIR__FAKE_FAIL, "57P01", WEIR__MS);
    weir_op one = queue(), two = queue();
    ck_assert_int_eq(in_state(WEIR__CHECKING), 2);
    rig_advance(3);
    weir_session first, second;
    ck_assert_int_eq(outcome(one, &first), WEIR_OK);
    ck_assert_int_eq(outcome(two, &second), WEIR_OK);
    weir_session_release(first);
    weir_session_release(second);
    ck_assert_uint_eq(snapshot().health_checks_failed, 1);
}
END_TEST

/* ---- by callers */

static weir_op check_now(int64_t timeout_ms) {
    weir_op op = 0;
    weir_error error = WEIR_ERROR_INIT;
    int code = weir_pool_check_health(rig.pool, timeout_ms, NULL, &op, &error);
    ck_assert_msg(code == WEIR_PENDING, "%d: %s", code, error.message);
    holds();
    return op;
}

START_TEST(a_caller_asks) {
    sizes(0, 2); /* a connection is made for it */
    options.health_check_interval_ms = -1;
    rig_ready(&options);
    ck_assert_int_eq(health().status, WEIR_HEALTHY);
    weir_op op = check_now(WEIR_TIMEOUT_DEFAULT);
    rig_advance(2);
    ck_assert_int_eq(outcome(op, NULL), WEIR_OK);
    ck_assert_uint_eq(health().passed, 1);
    ck_assert_int_ge(health().latency_ns, WEIR__MS);
    for (int i = 1; i <= 3; i++) {
        weir__fake_next_run(WEIR__FAKE_HANG, NULL, 0);
        op = check_now(i == 1 ? WEIR_TIMEOUT_DEFAULT : 100);
        rig_advance(210);
        ck_assert_int_eq(outcome(op, NULL), WEIR_OK); /* it has ended well, and the pool is not */
        weir_health is = health();
        ck_assert_int_eq(is.failures_in_a_row, i);
        ck_assert_int_eq(is.status, i < 3 ? WEIR_DEGRADED : WEIR_UNHEALTHY);
        ck_assert_int_eq(has(WEIR_HEALTH_CHECKS_FAILING), i == 3);
        ck_assert_ptr_nonnull(strstr(is.last_failure, "CommandTimeout: "));
    }
    op = check_now(-1);
    rig_advance(5);
    ck_assert_int_eq(outcome(op, NULL), WEIR_OK);
    ck_assert_int_eq(health().status, WEIR_HEALTHY);
    ck_assert_str_eq(
        history(),
        "passed, failed, status degraded, failed, failed, status unhealthy, passed, status healthy");
    weir_reactor_cancel(rig.reactor, check_now(-1));
    rig_advance(5);
    ck_assert_uint_eq(health().passed, 2);
}
END_TEST

START_TEST(a_caller_is_refused) {
    sizes(1, 1);
    options.health_check_interval_ms = -1;
    rig_ready(&options);
    weir_breaker_force_open(queries());
    weir_op op = 0;
    ck_assert_int_eq(weir_pool_check_health(rig.pool, -1, NULL, &op, NULL), WEIR_OK);
    ck_assert_uint_eq(health().failed, 1);
    ck_assert_ptr_nonnull(strstr(health().last_failure, "CircuitOpen: "));
    weir_breaker_force_close(queries());
    weir_session session = lend();
    op = check_now(50);
    rig_advance(60);
    ck_assert_int_eq(outcome(op, NULL), WEIR_OK);
    ck_assert_ptr_nonnull(strstr(health().last_failure, "CheckoutTimeout: "));
    ck_assert_uint_eq(health().failed, 2);
    ck_assert_int_eq(health().failures_in_a_row, 0); /* the server was not asked */
    ck_assert_int_eq(health().status, WEIR_HEALTHY);
    op = check_now(50);
    weir_op close = 0;
    weir_session_release(session);
    ck_assert_int_eq(weir_pool_close(rig.pool, 0, NULL, &close, NULL), WEIR_PENDING);
    rig_advance(1);
    ck_assert_int_eq(outcome(close, NULL), WEIR_OK);
    ck_assert_int_eq(outcome(op, NULL), WEIR_OK);
    ck_assert(has(WEIR_HEALTH_CLOSED));
    FAILS(WEIR_ECLOSED, weir_pool_check_health(rig.pool, -1, NULL, &op, error));
    FAILS(WEIR_EINVAL, weir_pool_check_health(rig.pool, 0, NULL, &op, error));
    FAILS(WEIR_EINVAL, weir_pool_check_health(NULL, 1, NULL, &op, error));
    FAILS(WEIR_EINVAL, weir_pool_check_health(rig.pool, 1, NULL, NULL, error));
    weir_health out = {.struct_size = 1};
    FAILS(WEIR_EINVAL, weir_pool_health(rig.pool, &out, error));
    FAILS(WEIR_EINVAL, weir_pool_health(NULL, &out, error));
    FAILS(WEIR_EINVAL, weir_pool_health(rig.pool, NULL, error));
    ck_assert(!weir_pool_next_health_event(NULL, NULL, NULL));
}
END_TEST

/* ---- the reasons */

START_TEST(of_connecting) {
    sizes(1, 2);
    options.health_check_interval_ms = -1;
    rig_ready(&options);
    weir_session session = lend();
    weir__fake.connect_fail_permille = 1000;
    queue();
    rig_advance(3);
    ck_assert_int_eq(health().reasons, 1u << WEIR_HEALTH_CONNECT_FAILING);
    ck_assert_ptr_nonnull(strstr(health().connect_failure, "ConnectError: the script refuses"));
    weir_session_release(session);
    server_gone(false);
    ck_assert(has(WEIR_HEALTH_DISCONNECTED));
    ck_assert_int_eq(health().status, WEIR_UNHEALTHY);
    rig_advance(3000);
    ck_assert(has(WEIR_HEALTH_CIRCUIT_OPEN));
    server_back();
    rig_advance(5000);
    ck_assert_int_eq(health().reasons, 1u << WEIR_HEALTH_CONNECTIONS_LOST);
    ck_assert_str_eq(health().connect_failure, "");
    rig_advance(60000);
    ck_assert_int_eq(health().status, WEIR_HEALTHY);
}
END_TEST

START_TEST(of_use) {
    sizes(1, 1);
    options.health_check_interval_ms = -1;
    options.leak_threshold_ms = 5000;
    rig_ready(&options);
    weir_session session = lend();
    weir_op op = _i ? queue() : submit_to_pool("echo shared", -1);
    rig_advance(900);
    ck_assert_int_eq(health().status, WEIR_HEALTHY);
    rig_advance(200);
    ck_assert_int_eq(health().reasons, 1u << WEIR_HEALTH_EXHAUSTED);
    rig_advance(4000);
    ck_assert_int_eq(health().reasons, 1u << WEIR_HEALTH_EXHAUSTED | 1u << WEIR_HEALTH_LEAKS);
    weir_reactor_cancel(rig.reactor, op);
    weir_session_release(session);
    ck_assert_int_eq(health().status, WEIR_HEALTHY);
}
END_TEST

/* No connection has been made, and none is taken: that is no exhausted pool. */
START_TEST(while_connecting_hangs) {
    sizes(0, 1);
    options.health_check_interval_ms = -1;
    options.circuit_breaker = _i;
    options.connect_timeout_ms = 60000;
    rig_ready(&options);
    for (int i = 0; i < 80; i++) weir__fake_next_connect(WEIR__FAKE_HANG, 0);
    weir_op op = queue();
    rig_advance(900);
    ck_assert_int_eq(health().status, WEIR_HEALTHY);
    rig_advance(200);
    ck_assert_int_eq(health().status, WEIR_UNHEALTHY);
    ck_assert_int_eq(health().reasons, 1u << WEIR_HEALTH_DISCONNECTED);
    weir_reactor_cancel(rig.reactor, op);
    ck_assert_int_eq(health().reasons, 1u << WEIR_HEALTH_DISCONNECTED);
}
END_TEST

/* While one connection lives it serves, however long the next one takes. */
START_TEST(while_another_connection_takes_long) {
    sizes(1, 2);
    options.health_check_interval_ms = -1;
    rig_ready(&options);
    weir_session session = lend();
    weir__fake_next_connect(WEIR__FAKE_HANG, 0);
    queue();
    rig_advance(1200);
    ck_assert(!has(WEIR_HEALTH_DISCONNECTED));
    weir_session_release(session);
    ck_assert_int_eq(health().status, WEIR_HEALTHY);
}
END_TEST

START_TEST(half_open) {
    options.circuit.failure_threshold = 1;
    rig_ready(&options);
    query("fail 08006");
    ck_assert(has(WEIR_HEALTH_CIRCUIT_OPEN));
    rig_advance(260);
    ck_assert_int_eq(health().reasons, 1u << WEIR_HEALTH_CIRCUIT_HALF_OPEN);
}
END_TEST

START_TEST(the_history_is_bounded) {
    sizes(0, 1);
    options.health_check_interval_ms = -1;
    options.circuit_breaker = false;
    rig_ready(&options);
    for (int i = 0; i < 100; i++) {
        weir__fake_next_run(WEIR__FAKE_FAIL, "42P01", 0);
        weir_op op = check_now(-1);
        rig_advance(1);
        ck_assert_int_eq(outcome(op, NULL), WEIR_OK);
    }
    uint64_t after = 0, first = 0, events = 0;
    for (weir_health_event event; weir_pool_next_health_event(rig.pool, &after, &event); events++) {
        if (!first) first = event.number;
        ck_assert_uint_eq(event.number, first + events);
        ck_assert_int_le(event.at_ns, rig.clock.now);
    }
    ck_assert_uint_eq(events, WEIR_HEALTH_EVENTS_KEPT);
    ck_assert_uint_eq(first + events - 1, 102); /* and two changes of the status */
}
END_TEST

START_TEST(names) {
    ck_assert_str_eq(weir_health_status_name(WEIR_UNHEALTHY), "unhealthy");
    ck_assert_ptr_null(weir_health_status_name((weir_health_status)3));
    ck_assert_str_eq(weir_health_reason_name(WEIR_HEALTH_STANDBY), "standby");
    ck_assert_ptr_nonnull(weir_health_reason_text(WEIR_HEALTH_STANDBY));
    ck_assert_ptr_null(weir_health_reason_name((weir_health_reason)11));
    ck_assert_ptr_null(weir_health_reason_text((weir_health_reason)11));
    ck_assert_str_eq(weir_health_event_name(WEIR_HEALTH_EVENT_EXPIRED), "expired");
    ck_assert_ptr_null(weir_health_event_name((weir_health_event_kind)4));
    FAILS(WEIR_EOPTION, (options.health_check_query = "state x", rig_open(&options, 1, NULL, error)));
}
END_TEST

/* ---- the server's role */

START_TEST(a_refused_write_has_all_made_anew) {
    rig_ready(&options);
    weir__fake.role = WEIR__ROLE_STANDBY;
    unsigned generation = rig.pool->generation;
    ck_assert_int_eq(query("fail 25006"), WEIR_ESERVER);
    ck_assert_uint_eq(rig.pool->generation, generation + 1);
    rig_advance(5);
    ck_assert_uint_eq(snapshot().connections_created, 4);
    ck_assert(has(WEIR_HEALTH_STANDBY));
    ck_assert_ptr_nonnull(strstr(history(), "expired"));
    ck_assert_int_eq(query("fail 25006"), WEIR_ESERVER); /* not again at once */
    ck_assert_uint_eq(rig.pool->generation, generation + 1);
    rig_advance(1000);
    ck_assert_int_eq(query("fail 25006"), WEIR_ESERVER);
    ck_assert_uint_eq(rig.pool->generation, generation + 2);
    rig_advance(1900);
    ck_assert_int_eq(query("fail 25006"), WEIR_ESERVER);
    ck_assert_uint_eq(rig.pool->generation, generation + 2);
    rig_advance(200);
    weir__fake.role = WEIR__ROLE_WRITES;
    ck_assert_int_eq(query("fail 25006"), WEIR_ESERVER); /* by what the caller himself has set */
    ck_assert_uint_eq(rig.pool->generation, generation + 2);
    rig_advance(1100); /* a check finds that it was promoted */
    ck_assert_int_eq(health().status, WEIR_HEALTHY);
}
END_TEST

/* What the caller himself calls read only says nothing of the server. */
START_TEST(readonly_calls_are_no_news) {
    rig_ready(&options);
    weir__fake.role = _i % 2 ? WEIR__ROLE_STANDBY : WEIR__ROLE_UNKNOWN;
    unsigned generation = rig.pool->generation;
    if (_i < 2) {
        weir_checkout checkout;
        weir_checkout_init(&checkout);
        checkout.transaction = checkout.begin.readonly = true;
        weir_session session = lend_as(&checkout);
        ck_assert_int_eq(run_sql(session, "fail 25006"), WEIR_ESERVER);
        weir_session_release(session);
    } else {
        weir_run run = *FOR_MS(-1);
        run.readonly = true;
        weir_statement *s = weir_statement_new("fail 25006 shared", 17, NULL);
        weir_op op;
        ck_assert_int_eq(weir_pool_execute(rig.pool, s, &run, NULL, &op, NULL), WEIR_PENDING);
        weir_statement_unref(s);
        rig_advance(2);
        ck_assert_int_eq(outcome(op, NULL), WEIR_ESERVER);
    }
    ck_assert_uint_eq(rig.pool->generation, generation);
    ck_assert_int_eq(query("fail 25006"), WEIR_ESERVER);
    ck_assert_uint_eq(rig.pool->generation, generation + 1);
}
END_TEST

START_TEST(a_check_sees_the_role_change) {
    weir__fake.role = WEIR__ROLE_WRITES;
    rig_ready(&options);
    rig_advance(1100);
    unsigned generation = rig.pool->generation;
    weir__fake.role = _i ? WEIR__ROLE_READS : WEIR__ROLE_STANDBY;
    rig_advance(1100);
    ck_assert_uint_eq(rig.pool->generation, generation + 1);
    ck_assert(has(WEIR_HEALTH_STANDBY));
    ck_assert_int_eq(in_state(WEIR__IDLE), 2);
    rig_advance(61000); /* those that are there now were never anything else */
    ck_assert_uint_eq(rig.pool->generation, generation + 1);
    ck_assert_int_eq(health().status, WEIR_HEALTHY); /* who only reads is served */
}
END_TEST

int main(void) {
    const TTest *const tests[] = {idle_connections_are_asked,
                                  with_jitter,
                                  another_one_is_lent,
                                  nobody_is_asked_while_somebody_waits,
                                  a_waiters_check_is_the_only_one,
                                  the_breakers_probe_is_enough,
                                  switched_off,
                                  one_failure_puts_all_in_doubt,
                                  failures_open_the_breaker,
                                  long_idle_ones_are_asked_before_they_are_lent,
                                  validation_goes_on,
                                  a_caller_asks,
                                  a_caller_is_refused,
                                  of_connecting,
                                  while_another_connection_takes_long,
                                  half_open,
                                  the_history_is_bounded,
                                  names,
                                  a_refused_write_has_all_made_anew};
    const struct {
        const TTest *test;
        int count;
    } loops[] = {{a_check_is_no_use, 2},
                 {a_borrower_waits_for_the_answer, 2},
                 {a_check_that_hangs_keeps_nobody, 2},
                 {a_failed_check_closes_its_connection, sizeof failures / sizeof *failures},
                 {of_use, 2},
                 {while_connecting_hangs, 2},
                 {readonly_calls_are_no_news, 4},
                 {a_check_sees_the_role_change, 2}};
    Suite *suite = suite_create("health");
    TCase *tc = tcase_create("health");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, set_up, tear_down);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) tcase_add_test(tc, tests[i]);
    for (size_t i = 0; i < sizeof loops / sizeof *loops; i++)
        tcase_add_loop_test(tc, loops[i].test, 0, loops[i].count);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}

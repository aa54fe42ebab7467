/* A pool's circuit breaker, and the predicates of its host (option circuit_hook), on the fake driver. */
#include <check.h>
#include <string.h>

#include "base/alloc.h"
#include "support_circuit.h"
#include "support_pool.h"
#include "support_suite.h"

static weir_options options;

static void set_up(void) {
    options = circuit_start();
    options.circuit_hook = true;
}
static void tear_down(void) { rig_done(); }

/* The completion, as far as the clock must go for it. */
static weir_completion taken(weir_op op) {
    weir_completion done;
    int code = WEIR_ETIMEOUT;
    for (int ms = 0; code == WEIR_ETIMEOUT && ms < 5000; ms++) {
        code = weir_reactor_wait(rig.reactor, op, 0, &done);
        if (code == WEIR_ETIMEOUT) rig_advance(1);
    }
    ck_assert_int_eq(code, WEIR_OK);
    holds();
    return done;
}

/* A statement on the pool that fails, and what is said of that. */
static void judged(const char *sql, weir_verdict verdict) {
    weir_completion done = taken(submit_to_pool(sql, 1000));
    ck_assert_int_ne(done.code, WEIR_OK);
    ck_assert_ptr_eq(done.failure.pool, rig.pool);
    ck_assert_int_eq(numbers(queries()).running, 1);
    weir_completion_judge(&done, verdict);
    ck_assert_ptr_null(done.failure.pool);
    weir_completion_judge(&done, WEIR_VERDICT_RECORD); /* it is used up */
    weir_completion_discard(&done);
    ck_assert_int_eq(numbers(queries()).running, 0);
    holds();
}

/* So many calls have failed, succeeded, were ignored, and none runs. */
static void counted(uint64_t failed, uint64_t succeeded, uint64_t ignored) {
    weir_breaker_snapshot now = numbers(queries());
    ck_assert_uint_eq(now.calls_failed, failed);
    ck_assert_uint_eq(now.calls_succeeded, succeeded);
    ck_assert_uint_eq(now.calls_ignored, ignored);
    ck_assert_uint_eq(now.calls_cancelled, 0);
    ck_assert_int_eq(now.running, 0);
}

START_TEST(a_verdict_beats_the_table) {
    rig_ready(&options);
    judged("fail 23505", WEIR_VERDICT_NONE);
    counted(0, 1, 0);
    judged("fail 23505", WEIR_VERDICT_RECORD);
    counted(1, 1, 0);
    ck_assert_str_eq(numbers(queries()).last_failure, "UniqueViolation: as the script says");
    judged("fail 08006", WEIR_VERDICT_IGNORE);
    counted(1, 1, 1);
    judged("fail 08006", WEIR_VERDICT_NONE);
    counted(2, 1, 1);
    ck_assert_int_eq(query("select 1"), WEIR_OK);
    counted(2, 2, 1);
}
END_TEST

/* What is to be ignored beats what is to be recorded, whoever says so. */
START_TEST(verdicts_and_lists) {
    options.circuit.ignore = "08";
    options.circuit.record = "23";
    rig_ready(&options);
    judged("fail 08006", WEIR_VERDICT_RECORD);
    judged("fail 23505", WEIR_VERDICT_IGNORE);
    counted(0, 0, 2);
    judged("fail 23505", WEIR_VERDICT_NONE);
    counted(1, 0, 2);
}
END_TEST

START_TEST(failures_by_verdict_open_it) {
    rig_ready(&options);
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(query_state(), WEIR_BREAKER_CLOSED);
        if (i == 4) weir__fake_next_connect(WEIR__FAKE_HANG, 0); /* so that the probe has no answer at once */
        judged("fail 42601", WEIR_VERDICT_RECORD);
    }
    ck_assert_int_eq(query_state(), WEIR_BREAKER_OPEN);
    ck_assert(logged("the circuit breaker query is open (failures): SyntaxError"));
    ck_assert_int_eq(ask_only(), WEIR_ECIRCUITOPEN);
}
END_TEST

/* Without the option nothing waits for anybody. */
START_TEST(only_when_it_is_wanted) {
    options.circuit_hook = false;
    rig_ready(&options);
    weir_op op = submit_to_pool("fail 08006", 1000);
    rig_advance(5);
    ck_assert_uint_eq(numbers(queries()).calls_failed, 1);
    weir_completion done = taken(op);
    ck_assert_ptr_null(done.failure.pool);
    weir_completion_judge(&done, WEIR_VERDICT_IGNORE);
    weir_completion_discard(&done);
    weir_completion_judge(NULL, WEIR_VERDICT_IGNORE);
    counted(1, 0, 0);
}
END_TEST

/* _i: the caller goes away before he has taken the answer, or throws it away. */
START_TEST(nobody_asks) {
    rig_ready(&options);
    for (int n = 1; n <= 2; n++) {
        weir_op op = submit_to_pool(n == 1 ? "fail 08006" : "fail 23505", 1000);
        if (_i) {
            weir_completion done = taken(op);
            weir_completion_discard(&done);
            ck_assert_ptr_null(done.failure.pool);
        } else {
            rig_advance(5);
            ck_assert_int_eq(numbers(queries()).running, 1);
            ck_assert_int_eq(weir_reactor_cancel(rig.reactor, op), WEIR_OK);
        }
    }
    counted(1, 1, 0);
}
END_TEST

/* What is complete, and untaken or unjudged, when its pool goes is of no account. */
START_TEST(the_pool_goes_first) {
    rig_ready(&options);
    submit_to_pool("fail 08006", 1000);
    rig_advance(5);
    ck_assert_int_eq(numbers(queries()).running, 1);
}
END_TEST

/* How long it took is known when it has failed, whenever that is judged. */
START_TEST(waiting_for_the_verdict_is_not_slow) {
    options.circuit.slow_call_duration_ms = 20;
    options.circuit.call_events = true;
    rig_ready(&options);
    weir_op op = submit_to_pool("fail 23505", 1000);
    rig_advance(500);
    weir_completion done = taken(op);
    weir_completion_discard(&done);
    ck_assert_uint_eq(numbers(queries()).calls_slow, 0);
    weir_breaker_event event = {0};
    for (uint64_t after = 0; weir_breaker_next_event(queries(), &after, &event);) {
    }
    ck_assert_int_eq(event.kind, WEIR_BREAKER_EVENT_SUCCESS);
    ck_assert_int_le(event.duration_ns, 5 * WEIR__MS);
}
END_TEST

static void half_open(void) {
    options.circuit.failure_threshold = 1;
    options.circuit.half_open_timeout_ms = 1000;
    rig_ready(&options);
    weir__fake_next_connect(WEIR__FAKE_HANG, 0);
    judged("fail 08006", WEIR_VERDICT_NONE);
    ck_assert_int_eq(query_state(), WEIR_BREAKER_OPEN);
    while (query_state() == WEIR_BREAKER_OPEN) rig_advance(10);
    ck_assert_int_eq(query_state(), WEIR_BREAKER_HALF_OPEN);
}

/* _i is the verdict. The trial's place is taken until it has been said, and comes back with that; those in
 * line are served then. */
START_TEST(a_trials_place) {
    half_open();
    weir_op op = submit_to_pool("fail 08006", 1000);
    rig_advance(5);
    ck_assert_int_eq(numbers(queries()).half_open_calls, 1);
    ck_assert_int_eq(ask_only(), WEIR_ECIRCUITOPEN);
    weir_completion done = taken(op);
    weir__fake_next_connect(WEIR__FAKE_HANG, 0);
    weir_completion_judge(&done, (weir_verdict)_i);
    weir_completion_discard(&done);
    ck_assert_int_eq(query_state(), _i == WEIR_VERDICT_IGNORE ? WEIR_BREAKER_HALF_OPEN : WEIR_BREAKER_OPEN);
    ck_assert_int_eq(numbers(queries()).half_open_calls, 0);
    if (_i == WEIR_VERDICT_IGNORE) ck_assert_int_eq(query("select 1"), WEIR_OK);
}
END_TEST

/* A verdict that never comes keeps nobody out for longer than a call that hangs; one that comes then changes
 * nothing, but is counted. */
START_TEST(a_place_without_a_verdict) {
    half_open();
    weir_op op = submit_to_pool("fail 08006", 1000);
    rig_advance(1010);
    ck_assert_int_eq(query("select 1"), WEIR_OK);
    ck_assert_int_eq(numbers(queries()).half_open_limit, 2);
    while (query_state() != WEIR_BREAKER_CLOSED) ck_assert_int_eq(query("select 1"), WEIR_OK);
    uint64_t late = numbers(queries()).calls_late;
    weir_completion done = taken(op);
    weir_completion_judge(&done, WEIR_VERDICT_RECORD);
    weir_completion_discard(&done);
    ck_assert_uint_eq(numbers(queries()).calls_late, late + 1);
    ck_assert_int_eq(query_state(), WEIR_BREAKER_CLOSED);
}
END_TEST

/* On a session: its statements, its COMMIT, one that is late. */
START_TEST(in_a_session) {
    rig_ready(&options);
    weir_checkout checkout;
    weir_checkout_init(&checkout);
    checkout.transaction = true;
    weir_session session = lend_as(&checkout);
    weir_completion done = taken(submit(session, "fail 23505", -1));
    weir_completion_judge(&done, WEIR_VERDICT_RECORD);
    weir_completion_discard(&done);
    counted(1, 0, 0);
    weir_op op;
    ck_assert_int_eq(weir_session_commit(session, 1, NULL, &op, NULL), WEIR_PENDING);
    done = taken(op);
    ck_assert_int_eq(done.code, WEIR_EROLLEDBACK);
    weir_completion_judge(&done, WEIR_VERDICT_IGNORE);
    weir_completion_discard(&done);
    counted(1, 0, 1);
    done = taken(submit(session, "hang", 50));
    ck_assert_int_eq(done.code, WEIR_ECOMMANDTIMEOUT);
    weir_completion_judge(&done, WEIR_VERDICT_IGNORE);
    weir_completion_discard(&done);
    counted(1, 0, 2);
    weir_session_release(session);
}
END_TEST

/* A session's own time is judged by the pool, as it always was. */
START_TEST(a_sessions_own_time) {
    rig_ready(&options);
    weir_checkout checkout;
    weir_checkout_init(&checkout);
    checkout.session_timeout_ms = 100;
    checkout.call = _i; /* but that of a call of the pool's is a statement's */
    weir_session session = lend_as(&checkout);
    weir_completion done = taken(submit(session, "hang", -1));
    ck_assert_int_eq(done.code, _i ? WEIR_ECOMMANDTIMEOUT : WEIR_ESESSIONTIMEOUT);
    ck_assert_ptr_eq(done.failure.pool, _i ? rig.pool : NULL);
    weir_completion_discard(&done);
    counted(1, 0, 0);
}
END_TEST

/* Statements that share a connection are lost together: that is one failure, and one verdict. */
START_TEST(lost_together) {
    weir_op ops[LOST_TOGETHER];
    lose_together(&options, ops);
    int failures = 0;
    for (int i = 0; i < LOST_TOGETHER; i++) {
        weir_completion done = taken(ops[i]);
        failures += done.failure.pool != NULL;
        weir_completion_judge(&done, WEIR_VERDICT_IGNORE);
        weir_completion_discard(&done);
    }
    ck_assert_int_eq(failures, 1);
    ck_assert_uint_eq(numbers(queries()).calls_failed, 0);
    ck_assert_uint_eq(numbers(queries()).calls_ignored, 1);
    ck_assert_int_eq(numbers(queries()).running, 0);
}
END_TEST

/* What the pool itself asks, and a check that a caller has asked for, whose failure no error tells him of. */
START_TEST(of_its_own_asking) {
    rig_ready(&options);
    weir_op op;
    weir__fake_next_run(WEIR__FAKE_FAIL, "57P03", 0);
    ck_assert_int_eq(weir_pool_check_health(rig.pool, 1000, NULL, &op, NULL), WEIR_PENDING);
    weir_completion done = taken(op);
    ck_assert_int_eq(done.code, WEIR_OK);
    ck_assert_ptr_null(done.failure.pool);
    counted(1, 0, 0);
    server_gone(false);
    rig_advance(3000);
    ck_assert_int_eq(connect_state(), WEIR_BREAKER_OPEN);
    server_back();
    while (query_state() == WEIR_BREAKER_OPEN || connect_state() == WEIR_BREAKER_OPEN) rig_advance(10);
    ck_assert_int_eq(numbers(queries()).running, 0);
    ck_assert_int_eq(query("select 1"), WEIR_OK);
}
END_TEST

/* Each allocation in turn fails while a statement does: it is judged all the same, once. */
START_TEST(without_memory) {
    for (long k = 1; k < 8; k++) {
        rig_ready(&options);
        weir__alloc_fail_at(k, _i);
        weir_op op = 0;
        weir_statement *statement = weir_statement_new("fail 08006", 10, NULL);
        int code = statement ? weir_pool_execute(rig.pool, statement, NULL, NULL, &op, NULL) : WEIR_ENOMEM;
        weir_statement_unref(statement);
        if (code == WEIR_PENDING) rig_advance(5);
        weir__alloc_fail_at(0, false);
        if (code == WEIR_PENDING) {
            weir_completion done = taken(op);
            weir_completion_judge(&done, WEIR_VERDICT_RECORD);
            weir_completion_discard(&done);
        }
        ck_assert_int_eq(numbers(queries()).running, 0);
        const char *why = rig_end();
        ck_assert_msg(!why, "allocation %ld: %s", k, why);
        rig_start(7);
    }
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        a_verdict_beats_the_table, verdicts_and_lists,  failures_by_verdict_open_it,
        only_when_it_is_wanted,    the_pool_goes_first, waiting_for_the_verdict_is_not_slow,
        a_place_without_a_verdict, in_a_session,        lost_together,
        of_its_own_asking};
    Suite *suite = suite_create("circuit_host");
    TCase *tc = tcase_create("circuit_host");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) tcase_add_test(tc, tests[i]);
    tcase_add_loop_test(tc, nobody_asks, 0, 2);
    tcase_add_loop_test(tc, a_trials_place, WEIR_VERDICT_NONE, WEIR_VERDICT_IGNORE + 1);
    tcase_add_loop_test(tc, a_sessions_own_time, 0, 2);
    tcase_add_loop_test(tc, without_memory, 0, 2);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}

/* The pool's circuit breakers, on the fake driver and the fake clock. */
#include <check.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "support_circuit.h"
#include "support_pool.h"
#include "support_suite.h"

static weir_options options;

static void set_up(void) { options = circuit_start(); }
static void tear_down(void) { rig_done(); }

static void bounds(int min, int max) {
    options.min_size = min;
    options.max_size = max;
}

/* ---- opening, and what is told */

START_TEST(opens_after_failures_in_a_row) {
    rig_ready(&options);
    fail_queries("fail 08006", 4);
    ck_assert_int_eq(query("select 1"), WEIR_OK);
    fail_queries("fail 08006", 4);
    ck_assert_int_eq(query_state(), WEIR_BREAKER_CLOSED);
    weir__fake_next_connect(WEIR__FAKE_HANG, 0); /* so that the probe has no answer at once */
    fail_queries("fail 57P01", 1);
    ck_assert_int_eq(query_state(), WEIR_BREAKER_OPEN);
    ck_assert_int_eq(connect_state(), WEIR_BREAKER_CLOSED);
    ck_assert_int_eq(weir_pool_breaker_state(rig.pool, 0), WEIR_BREAKER_OPEN);
    weir_error error = WEIR_ERROR_INIT;
    weir_session session;
    weir_op op;
    long executed = weir__fake.executed;
    ck_assert_int_eq(ask(&session, &op, &error), WEIR_ECIRCUITOPEN);
    ck_assert_int_eq(error.code, WEIR_ECIRCUITOPEN);
    ck_assert_str_eq(error.message,
                     "pool host:5432/db: the circuit breaker query is open after 5 failures in a row");
    ck_assert_str_eq(error.detail, "AdminShutdown: as the script says");
    ck_assert(error.retryable);
    ck_assert_int_gt(error.retry_after_ms, 0);
    ck_assert_int_le(error.retry_after_ms, 250);
    weir_error_clear(&error);
    weir_statement *statement = weir_statement_new("select 1", 8, NULL);
    ck_assert_int_eq(weir_pool_execute(rig.pool, statement, NULL, NULL, &op, NULL), WEIR_ECIRCUITOPEN);
    weir_statement_unref(statement);
    weir_batch *batch = weir_batch_new();
    statement = weir_statement_new("select 1", 8, NULL);
    weir_batch_add(batch, statement, NULL);
    ck_assert_int_eq(weir_pool_transaction(rig.pool, batch, NULL, NULL, NULL, &op, NULL), WEIR_ECIRCUITOPEN);
    weir_statement_unref(statement);
    weir_batch_free(batch);
    ck_assert_int_eq(weir__fake.executed, executed);
    weir_snapshot now = snapshot();
    ck_assert_uint_eq(now.checkouts_refused, 3);
    ck_assert_uint_eq(now.circuit_refused, 3);
    ck_assert_int_eq(now.circuit_query, WEIR_BREAKER_OPEN);
    ck_assert_int_eq(now.circuit_connect, WEIR_BREAKER_CLOSED);
    ck_assert(logged("the circuit breaker query is open (failures): AdminShutdown"));
}
END_TEST

/* A user's mistakes, and those who went away, say nothing against the server. */
START_TEST(what_opens_nothing) {
    static const char *const mistakes[] = {"fail 23505", "fail 42601", "fail 40001", "fail 55P03",
                                           "fail 57014", "local fail", "fail 22012"};
    rig_ready(&options);
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        fail_queries(mistakes[i], 8);
        ck_assert_int_eq(query_state(), WEIR_BREAKER_CLOSED);
    }
    for (int i = 0; i < 8; i++) {
        weir_op op = submit_to_pool("sleep 50", -1);
        ck_assert_int_eq(weir_reactor_cancel(rig.reactor, op), WEIR_OK);
        rig_advance(20);
    }
    weir_breaker_snapshot now = numbers(queries());
    ck_assert_int_eq(now.state, WEIR_BREAKER_CLOSED);
    ck_assert_int_eq(now.consecutive_failures, 0);
    ck_assert_uint_eq(now.calls_cancelled, 8);
    ck_assert_int_eq(now.running, 0);
}
END_TEST

/* _i: the loan is given back while a write runs in it, or its COMMIT; or it is taken back, or closed, since
 * it has lasted too long. What becomes of the write nobody knows, and of the server it says nothing. */
START_TEST(what_is_broken_off_opens_nothing) {
    static const char *const actions[] = {"report", "report", "cancel", "close"};
    bounds(1, 1);
    options.circuit.failure_threshold = 2;
    options.leak_action = actions[_i];
    options.leak_threshold_ms = 100;
    rig_ready(&options);
    for (int i = 0; i < 4; i++) {
        weir_checkout checkout;
        weir_checkout_init(&checkout);
        checkout.transaction = _i == 1;
        weir_session session = lend_as(&checkout);
        weir_op op = 0;
        if (_i == 1) {
            ck_assert_int_eq(run_sql(session, "insert"), WEIR_OK);
            weir__fake_next_run(WEIR__FAKE_HANG, "", 0);
            ck_assert_int_eq(weir_session_commit(session, 1, NULL, &op, NULL), WEIR_PENDING);
        } else {
            op = submit(session, "hang write", -1);
        }
        if (_i < 2)
            weir_session_release(session);
        else
            rig_advance(120);
        ck_assert_int_eq(outcome(op, NULL), WEIR_EOUTCOME);
        rig_advance(6000); /* a COMMIT on its way is let finish for so long */
    }
    weir_breaker_snapshot now = numbers(queries());
    ck_assert_int_eq(now.state, WEIR_BREAKER_CLOSED);
    ck_assert_uint_eq(now.calls_failed, 0);
    ck_assert_uint_eq(now.calls_cancelled, 4);
}
END_TEST

START_TEST(slow_answers_open_it) {
    options.circuit.slow_call_rate = 0.5;
    options.circuit.slow_call_duration_ms = 20;
    options.circuit.minimum_calls = 4;
    rig_ready(&options);
    for (int i = 0; i < 2; i++) ck_assert_int_eq(query("select 1"), WEIR_OK);
    weir__fake_next_connect(WEIR__FAKE_HANG, 0);
    for (int i = 0; i < 2; i++) ck_assert_int_eq(query("sleep 30"), WEIR_OK);
    ck_assert_int_eq(query_state(), WEIR_BREAKER_OPEN);
}
END_TEST

/* No answer in time counts for a statement on the pool, and in a session, whose own time may be what ends. */
START_TEST(silence_counts) {
    bounds(6, 6);
    rig_ready(&options);
    for (int i = 0; i < 6; i++) {
        weir_checkout checkout;
        weir_checkout_init(&checkout);
        if (i % 2) checkout.session_timeout_ms = 100;
        weir_session session = lend_as(&checkout);
        weir_op op = submit(session, "hang", i % 2 ? -1 : 100);
        weir__fake_next_connect(WEIR__FAKE_HANG, 0);
        weir__fake.cancel_ignored_permille = 1000;
        rig_advance(102);
        ck_assert_int_eq(outcome(op, NULL), i % 2 ? WEIR_ESESSIONTIMEOUT : WEIR_ECOMMANDTIMEOUT);
        weir_session_release(session);
        if (i == 4) break;
        ck_assert_int_eq(numbers(queries()).consecutive_failures, i + 1);
    }
    ck_assert_uint_eq(numbers(queries()).opened, 1);
}
END_TEST

/* A session whose time went by while its holder did other things. */
START_TEST(thinking_does_not_count) {
    rig_ready(&options);
    for (int i = 0; i < 6; i++) {
        weir_checkout checkout;
        weir_checkout_init(&checkout);
        checkout.session_timeout_ms = 100;
        weir_session session = lend_as(&checkout);
        rig_advance(90);
        weir_op op = submit(session, "sleep 50", -1);
        rig_advance(60);
        ck_assert_int_eq(outcome(op, NULL), WEIR_ESESSIONTIMEOUT);
    }
    ck_assert_int_eq(query_state(), WEIR_BREAKER_CLOSED);
    ck_assert_int_eq(numbers(queries()).consecutive_failures, 0);
}
END_TEST

/* A loan of an idle connection, with both breakers asked. */
START_TEST(a_checkout_takes_no_memory) {
    rig_ready(&options);
    weir_session_release(lend());
    long taken = weir__alloc_count();
    for (int i = 0; i < 100; i++) weir_session_release(lend());
    ck_assert_int_eq(weir__alloc_count(), taken);
}
END_TEST

START_TEST(those_in_line_are_refused_when_it_opens) {
    bounds(1, 1);
    options.circuit.failure_threshold = 1;
    rig_ready(&options);
    weir_session held = lend();
    weir_op first = queue(), second = submit_to_pool("select 1", -1);
    weir__fake.cancel_ignored_permille = 1000;
    weir_op op = submit(held, "hang", 50);
    rig_advance(52);
    ck_assert_int_eq(outcome(op, NULL), WEIR_ECOMMANDTIMEOUT);
    ck_assert_int_eq(outcome(first, NULL), WEIR_ECIRCUITOPEN);
    ck_assert_int_eq(outcome(second, NULL), WEIR_ECIRCUITOPEN);
    ck_assert_uint_eq(snapshot().circuit_refused, 2);
    ck_assert_uint_eq(numbers(queries()).calls_refused, 2);
    ck_assert_int_eq(ask_only(), WEIR_ECIRCUITOPEN);
    ck_assert_uint_eq(numbers(queries()).calls_refused, 3);
    ck_assert_uint_eq(numbers(connects()).calls_refused, 0);
}
END_TEST

/* Each who is refused is counted once, by the breaker that refuses him; the pool's own looks are not. */
START_TEST(refusals_are_counted_once) {
    bounds(0, 2);
    options.circuit.failure_threshold = 1;
    options.circuit.call_events = true;
    rig_ready(&options);
    for (int i = 0; i < 3; i++) weir__fake_next_connect(WEIR__FAKE_HANG, 0);
    weir_op ops[3];
    for (int i = 0; i < 3; i++) ops[i] = submit_to_pool("select 1", 5000);
    ck_assert_int_eq(query("select 1"), WEIR_ECHECKOUTTIMEOUT);
    ck_assert_int_eq(connect_state(), WEIR_BREAKER_OPEN);
    for (int i = 0; i < 3; i++) ck_assert_int_eq(outcome(ops[i], NULL), WEIR_ECONNECTCIRCUITOPEN);
    ck_assert_int_eq(ask_only(), WEIR_ECONNECTCIRCUITOPEN);
    rig_advance(2000);
    ck_assert_uint_eq(snapshot().circuit_refused, 4);
    ck_assert_uint_eq(numbers(connects()).calls_refused, 4);
    ck_assert_uint_eq(numbers(queries()).calls_refused, 0);
    int refused = 0;
    weir_breaker_event event;
    for (uint64_t after = 0; weir_breaker_next_event(connects(), &after, &event);)
        refused += event.kind == WEIR_BREAKER_EVENT_REFUSED;
    ck_assert_int_eq(refused, 4);
}
END_TEST

#define WAITED "no connection could be made in time: none is there, and 2 attempts to make one have not ended"

/* Five who waited for a connection in vain, while the attempts to make one hang. */
START_TEST(waiting_in_vain_counts) {
    bounds(0, 2);
    rig_ready(&options);
    for (int i = 0; i < 8; i++) weir__fake_next_connect(WEIR__FAKE_HANG, 0);
    weir_op ops[5];
    for (int i = 0; i < 5; i++) ops[i] = submit_to_pool("select 1", i ? 300 : 100);
    rig_advance(102); /* impatience with an attempt that has hardly begun says nothing */
    weir_completion late;
    ck_assert_int_eq(weir_reactor_wait(rig.reactor, ops[0], 0, &late), WEIR_OK);
    ck_assert_int_eq(late.code, WEIR_ECHECKOUTTIMEOUT);
    ck_assert_ptr_nonnull(strstr(late.error->message, WAITED));
    weir_completion_discard(&late);
    ck_assert_int_eq(numbers(connects()).consecutive_failures, 0);
    ops[0] = submit_to_pool("select 1", 202);
    rig_advance(205);
    for (int i = 0; i < 5; i++) ck_assert_int_eq(outcome(ops[i], NULL), WEIR_ECHECKOUTTIMEOUT);
    ck_assert_int_eq(connect_state(), WEIR_BREAKER_OPEN);
    ck_assert_int_eq(query_state(), WEIR_BREAKER_CLOSED);
    weir_error error = WEIR_ERROR_INIT;
    weir_session session;
    weir_op op;
    ck_assert_int_eq(ask(&session, &op, &error), WEIR_ECONNECTCIRCUITOPEN);
    ck_assert_ptr_nonnull(strstr(error.message, "the circuit breaker connect is open"));
    ck_assert_ptr_nonnull(strstr(error.detail, "CheckoutTimeout"));
    weir_error_clear(&error);
}
END_TEST

/* Statements that share a connection are lost together: that is one failure. */
START_TEST(one_lost_connection_is_one_failure) {
    weir_op ops[LOST_TOGETHER];
    lose_together(&options, ops);
    int lost = 0;
    for (int i = 0; i < LOST_TOGETHER; i++) lost += outcome(ops[i], NULL) == WEIR_ELOST;
    ck_assert_int_gt(lost, 5);
    ck_assert_int_eq(query_state(), WEIR_BREAKER_CLOSED);
    weir_breaker_snapshot now = numbers(queries());
    ck_assert_uint_eq(now.calls_failed, 1);
    ck_assert_uint_eq(now.calls_cancelled, (uint64_t)lost - 1);
}
END_TEST

/* A statement that has failed by itself, and whose answer comes with the loss, does not stand for that. */
START_TEST(a_loss_counts_beside_a_mistake) {
    bounds(1, 1);
    rig_ready(&options);
    weir_session session = lend();
    ck_assert_int_eq(weir_session_pipeline(session, true, NULL), WEIR_OK);
    static const char *const texts[] = {"fail 22012", "lose"};
    weir__fake.run_min_ns = weir__fake.run_max_ns = 0; /* they are answered together */
    weir_run held;
    weir_op ops[2];
    weir_run_init(&held);
    held.hold = true;
    for (int i = 0; i < 2; i++) {
        weir_statement *statement = weir_statement_new(texts[i], strlen(texts[i]), NULL);
        ck_assert_int_eq(weir_session_execute(session, statement, &held, NULL, &ops[i], NULL), WEIR_PENDING);
        weir_statement_unref(statement);
    }
    rig_advance(3);
    ck_assert_int_eq(outcome(ops[0], NULL), WEIR_ESERVER);
    ck_assert_int_eq(outcome(ops[1], NULL), WEIR_ELOST);
    weir_breaker_snapshot now = numbers(queries());
    ck_assert_uint_eq(now.calls_failed, 1);
    ck_assert_uint_eq(now.calls_succeeded, 1);
    ck_assert_uint_eq(now.calls_cancelled, 0);
}
END_TEST

/* ---- what is not an outage */

/* Attempts fail while a connection lives: it goes on serving, and further attempts back off. */
START_TEST(connections_that_live_go_on_serving) {
    bounds(1, 2);
    options.retry_min_ms = options.retry_max_ms = 1000;
    rig_ready(&options);
    weir__fake.connect_fail_permille = 1000;
    weir__fake.connect_sqlstate = "53300";
    long created = weir__fake.created;
    weir_session held = lend(), session;
    weir_op op = queue();
    rig_advance(10000);
    ck_assert_int_eq(connect_state(), WEIR_BREAKER_OPEN);
    ck_assert_int_le(weir__fake.created - created, 40); /* not four in a second */
    ck_assert_int_ge(weir__fake.created - created, 8);
    ck_assert_int_eq(outcome(op, NULL), WEIR_PENDING);
    weir_session_release(held);
    ck_assert_int_eq(outcome(op, &session), WEIR_OK);
    ck_assert_int_eq(run_sql(session, "select 1"), WEIR_OK);
    weir_session_release(session);
    ck_assert_int_eq(query("select 1"), WEIR_OK);
}
END_TEST

/* The server is back, and refuses the password: that is told, and no storm follows. */
START_TEST(a_server_that_says_no) {
    options.retry_min_ms = options.retry_max_ms = 4000;
    bounds(2, 8);
    rig_ready(&options);
    for (int i = 0; i < 8; i++) submit_to_pool("sleep 10000", -1);
    server_gone(false);
    rig_advance(1000);
    ck_assert_int_eq(query_state(), WEIR_BREAKER_OPEN);
    weir__fake.connect_sqlstate = "28P01";
    rig_advance(300);
    long created = weir__fake.created;
    rig_advance(8000);
    ck_assert_int_le(weir__fake.created - created, 8);
    weir_error error = WEIR_ERROR_INIT;
    weir_session session;
    weir_op op;
    int code = ask(&session, &op, &error);
    ck_assert_int_eq(code, WEIR_ECONNECTCIRCUITOPEN);
    ck_assert_int_eq(error.code, code);
    ck_assert_str_eq(error.detail, "ConnectError: no");
    ck_assert_str_eq(error.sqlstate, "28P01");
    weir_breaker_force_open(queries()); /* by whoever does it, and for his reasons */
    ck_assert_int_eq(ask(&session, &op, &error), WEIR_ECIRCUITOPEN);
    ck_assert_str_eq(error.sqlstate, "");
    weir_breaker_force_close(queries());
    weir_error_clear(&error);
    server_back();
    rig_advance(4100);
    ck_assert_int_ne(query_state(), WEIR_BREAKER_OPEN);
}
END_TEST

/* ---- sessions */

START_TEST(a_transaction_goes_on) {
    bounds(4, 4);
    rig_ready(&options);
    weir_checkout checkout;
    weir_checkout_init(&checkout);
    checkout.transaction = true;
    weir_session inside = lend_as(&checkout), outside = lend(), fresh = lend_as(&checkout);
    ck_assert_int_eq(run_sql(inside, "insert"), WEIR_OK);
    weir_breaker_force_open(queries());
    weir_statement *statement = weir_statement_new("select 1", 8, NULL);
    weir_op op;
    weir_error error = WEIR_ERROR_INIT;
    ck_assert_int_eq(weir_session_execute(outside, statement, NULL, NULL, &op, &error), WEIR_ECIRCUITOPEN);
    ck_assert_int_eq(error.retry_after_ms, -1); /* nobody knows */
    ck_assert_ptr_nonnull(strstr(error.message, "was opened by hand"));
    weir_error_clear(&error);
    ck_assert_int_eq(weir_session_execute(fresh, statement, NULL, NULL, &op, NULL), WEIR_ECIRCUITOPEN);
    weir_stream stream;
    ck_assert_int_eq(weir_session_stream(fresh, statement, 1, NULL, &stream, NULL), WEIR_ECIRCUITOPEN);
    weir_statement_unref(statement);
    ck_assert_int_eq(run_sql(inside, "insert"), WEIR_OK);
    transcript();
    ck_assert_int_eq(weir_session_commit(inside, 1, NULL, &op, NULL), WEIR_PENDING);
    rig_advance(5);
    ck_assert_int_eq(outcome(op, NULL), WEIR_OK);
    ck_assert_str_eq(transcript(), "COMMIT\n");
    ck_assert_uint_eq(snapshot().circuit_refused, 3);
    ck_assert_uint_eq(snapshot().checkouts_refused, 0);
    weir_breaker_force_close(queries());
    ck_assert_int_eq(run_sql(outside, "select 1"), WEIR_OK);
    ck_assert_int_eq(run_sql(fresh, "select 1"), WEIR_OK);
}
END_TEST

/* In an outage such a statement is as good as a probe. */
START_TEST(a_holders_success_is_one) {
    bounds(2, 2);
    options.circuit.failure_threshold = 1;
    rig_ready(&options);
    weir_checkout checkout;
    weir_checkout_init(&checkout);
    checkout.transaction = true;
    weir_session first = lend_as(&checkout), second = lend_as(&checkout);
    ck_assert_int_eq(run_sql(first, "insert"), WEIR_OK);
    ck_assert_int_eq(run_sql(second, "insert"), WEIR_OK);
    ck_assert_int_eq(run_sql(second, "fail 08006"), WEIR_ESERVER);
    ck_assert_int_eq(query_state(), WEIR_BREAKER_OPEN);
    ck_assert_int_eq(run_sql(first, "insert"), WEIR_OK);
    ck_assert_int_eq(query_state(), WEIR_BREAKER_HALF_OPEN);
}
END_TEST

/* ---- by hand */

START_TEST(forced_states) {
    bounds(1, 1);
    rig_ready(&options);
    weir_session held = lend();
    weir_op waiting = queue();
    weir_breaker_force_open(queries());
    holds();
    ck_assert_int_eq(outcome(waiting, NULL), WEIR_ECIRCUITOPEN); /* at once */
    ck_assert_int_eq(ask_only(), WEIR_ECIRCUITOPEN);
    weir_session_release(held);
    rig_advance(100000); /* it stays so, and nothing is probed */
    ck_assert_int_eq(ask_only(), WEIR_ECIRCUITOPEN);
    ck_assert_uint_eq(snapshot().probes_started, 0);
    weir_breaker_metrics_only(queries());
    fail_queries("fail 08006", 8);
    ck_assert_int_eq(query("select 1"), WEIR_OK);
    uint64_t after = 0;
    weir_breaker_event event;
    bool exceeded = false;
    while (weir_breaker_next_event(queries(), &after, &event))
        exceeded |= event.kind == WEIR_BREAKER_EVENT_EXCEEDED;
    ck_assert(exceeded);
    weir_breaker_disable(queries());
    fail_queries("fail 08006", 8);
    ck_assert_int_eq(query("select 1"), WEIR_OK);
    weir_breaker_reset(queries());
    ck_assert_int_eq(query_state(), WEIR_BREAKER_CLOSED);
    weir_breaker_free(queries()); /* the pool's own: nothing happens */
    ck_assert_int_eq(query("select 1"), WEIR_OK);
    ck_assert_ptr_null(weir_pool_breaker(rig.pool, 1, WEIR_BREAKER_QUERIES));
    ck_assert_ptr_null(weir_pool_breaker(rig.pool, 0, (weir_breaker_role)2));
    ck_assert_ptr_null(weir_pool_breaker(NULL, 0, WEIR_BREAKER_QUERIES));
    ck_assert_str_eq(weir_breaker_name(queries()), "query");
    ck_assert_str_eq(weir_breaker_name(connects()), "connect");
}
END_TEST

/* Forced open, the breaker for connecting keeps the pool from connecting. */
START_TEST(no_connecting_by_force) {
    bounds(1, 2);
    rig_ready(&options);
    weir_breaker_force_open(connects());
    long created = weir__fake.created;
    weir_session held = lend();
    weir_op op = queue();
    rig_advance(1000);
    ck_assert_int_eq(weir__fake.created, created);
    weir__fake_kill(weir__fake_conn_at(0));
    rig_advance(1000);
    ck_assert_int_eq(outcome(op, NULL), WEIR_PENDING); /* which it was before: until its time is over … */
    ck_assert_int_eq(ask_only(), WEIR_ECIRCUITOPEN);   /* … but nobody else waits for nothing */
    ck_assert_int_eq(weir_session_release(held), WEIR_ELOST);
    weir_breaker_force_close(connects());
    rig_advance(1);
    ck_assert_int_eq(outcome(op, NULL), WEIR_OK);
}
END_TEST

START_TEST(off_by_option) {
    options.circuit_breaker = false;
    options.retry_min_ms = options.retry_max_ms = 1000;
    rig_ready(&options);
    ck_assert_int_eq(snapshot().circuit_query, WEIR_BREAKER_DISABLED);
    fail_queries("fail 08006", 20);
    ck_assert_int_eq(query("select 1"), WEIR_OK);
    server_gone(false);
    rig_advance(20000);
    ck_assert_int_eq(ask_only(), WEIR_ECONNECT);
    ck_assert_uint_eq(snapshot().probes_started, 0);
}
END_TEST

/* ---- edges */

/* Nobody has driven the reactor, so no probe could run: who asks then waits for one, but not for long. */
START_TEST(nobody_drives) {
    bounds(1, 8);
    options.circuit.failure_threshold = 1;
    rig_ready(&options);
    weir__fake_next_connect(WEIR__FAKE_HANG, 0);
    ck_assert_int_eq(query("fail 08006"), WEIR_ESERVER);
    ck_assert_int_eq(ask_only(), WEIR_ECIRCUITOPEN);
    rig.clock.now += 5000 * WEIR__MS;
    if (_i)
        for (int i = 0; i < 8; i++) weir__fake_next_connect(WEIR__FAKE_HANG, 0);
    weir_session session;
    weir_op op = queue();
    rig_advance(_i ? 252 : 5);
    ck_assert_int_eq(outcome(op, &session), _i ? WEIR_ECIRCUITOPEN : WEIR_OK);
    ck_assert_uint_eq(snapshot().checkouts_timed_out, 0);
}
END_TEST

/* A failing init that is the host's own doing opens nothing. */
START_TEST(a_failing_init_opens_nothing) {
    bounds(1, 1);
    options.init_hook = true;
    options.retry_min_ms = options.retry_max_ms = 10;
    ck_assert_int_eq(rig_open(&options, 1, &options, NULL), WEIR_PENDING);
    for (int i = 0; i < 12; i++) {
        weir_completion c;
        while (weir_reactor_next(rig.reactor, &c))
            if (c.kind == WEIR_EVENT_INIT) weir_session_discard(c.session);
        rig_advance(12);
    }
    ck_assert_int_gt(rig.pool->failures, 5);
    ck_assert_int_eq(connect_state(), WEIR_BREAKER_CLOSED);
}
END_TEST

/* Each allocation in turn fails, of who is refused and of a probe: nothing is lost, and it heals all the
 * same. */
START_TEST(without_memory) {
    bounds(1, 3);
    options.circuit.failure_threshold = 1;
    for (long k = 1; k < 12; k++) {
        rig_ready(&options);
        weir__fake_next_connect(WEIR__FAKE_HANG, 0);
        ck_assert_int_eq(query("fail 08006"), WEIR_ESERVER);
        weir_error error = WEIR_ERROR_INIT;
        weir_session session;
        weir_op op;
        weir__alloc_fail_at(k, _i);
        ck_assert_int_eq(ask(&session, &op, &error), WEIR_ECIRCUITOPEN);
        ck_assert_ptr_nonnull(error.message);
        weir_error_clear(&error);
        rig_advance(300); /* probes */
        weir__alloc_fail_at(0, false);
        holds();
        rig_advance(1000);
        ck_assert_msg(query_state() != WEIR_BREAKER_OPEN, "allocation %ld", k);
        ck_assert_int_eq(query("select 1"), WEIR_OK);
        const char *why = rig_end();
        ck_assert_msg(!why, "allocation %ld: %s", k, why);
        rig_start(7);
        weir__fake.run_min_ns = weir__fake.run_max_ns = WEIR__MS;
    }
}
END_TEST

int main(void) {
    const TTest *const tests[] = {opens_after_failures_in_a_row,
                                  one_lost_connection_is_one_failure,
                                  a_loss_counts_beside_a_mistake,
                                  what_opens_nothing,
                                  slow_answers_open_it,
                                  silence_counts,
                                  thinking_does_not_count,
                                  a_checkout_takes_no_memory,
                                  those_in_line_are_refused_when_it_opens,
                                  refusals_are_counted_once,
                                  waiting_in_vain_counts,
                                  connections_that_live_go_on_serving,
                                  a_server_that_says_no,
                                  a_transaction_goes_on,
                                  a_holders_success_is_one,
                                  forced_states,
                                  no_connecting_by_force,
                                  off_by_option,
                                  a_failing_init_opens_nothing};
    Suite *suite = suite_create("circuit");
    TCase *tc = tcase_create("circuit");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) tcase_add_test(tc, tests[i]);
    tcase_add_loop_test(tc, what_is_broken_off_opens_nothing, 0, 4);
    tcase_add_loop_test(tc, nobody_drives, 0, 2);
    tcase_add_loop_test(tc, without_memory, 0, 2);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}

/* What is done with a connection: loans, statements, time-outs, cancellation, loss. */
#include <string.h>

#include "base/alloc.h"
#include "session_rig.h"
#include "support_suite.h"

/* ---- loans ---- */

START_TEST(a_loan_ends_once) {
    weir_session s = ready();
    ck_assert_int_eq(weir_session_release(s), WEIR_OK);
    ck_assert_int_eq(weir_session_release(s), WEIR_ESTALE);
    ck_assert_int_eq(weir_session_discard(s), WEIR_ESTALE);
    ck_assert_int_eq(try_execute(s), WEIR_ESTALE);
    ck_assert_ptr_nonnull(strstr(error.message, "has been returned"));
    ck_assert_int_eq(begin(s), -WEIR_ESTALE);
    ck_assert_int_eq(end(s, true, 1), WEIR_ESTALE);
    ck_assert_int_eq(end(s, false, 1), WEIR_ESTALE);
    weir_session next = lend(); /* the same connection, lent again: the old handle does not reach it */
    ck_assert_uint_eq(next.slot, s.slot);
    ck_assert_int_eq(weir_session_release(s), WEIR_ESTALE);
    ck_assert_int_eq(try_execute(s), WEIR_ESTALE);
    ck_assert_int_eq(run_sql(next, "select 1"), WEIR_OK);
    ck_assert_int_eq(weir_session_release((weir_session){rig.pool, next.loan, 99}), WEIR_ESTALE);
    ck_assert_int_eq(weir_session_release((weir_session){.pool = rig.pool}), WEIR_ESTALE);
    ck_assert_uint_eq(snapshot().returned, 1);
}
END_TEST

START_TEST(discarding) {
    weir_session s = ready();
    ck_assert_int_eq(weir_session_discard(s), WEIR_OK);
    ck_assert_int_eq(weir__fake.stopped, 1);
    ck_assert_int_eq(weir_session_release(s), WEIR_ESTALE);
    ck_assert_int_eq(in_state(WEIR__IDLE), 1); /* replaced: the floor */
    ck_assert_int_eq(weir__fake.created, 2);
    s = lend();
    weir_op op = submit(s, "hang", -1);
    ck_assert_int_eq(weir_session_discard(s), WEIR_OK);
    ck_assert_int_eq(outcome(op, NULL), WEIR_ECANCELLED);
    rig_advance(10);
    ck_assert_int_eq(in_state(WEIR__IDLE), 1);
    ck_assert_int_eq(weir__fake.created, 3);
}
END_TEST

START_TEST(one_operation_at_a_time) {
    weir_session s = ready();
    ck_assert_int_eq(begin(s), 1);
    weir_op op = submit(s, "sleep 10", -1);
    ck_assert(info_of(s).busy);
    ck_assert_int_eq(try_execute(s), WEIR_EBUSY);
    ck_assert_int_eq(begin(s), -WEIR_EBUSY);
    ck_assert_int_eq(end(s, true, 1), WEIR_EBUSY);
    ck_assert_int_eq(end(s, false, 1), WEIR_EBUSY);
    rig_advance(12);
    ck_assert_int_eq(outcome(op, NULL), WEIR_OK);
    ck_assert(!info_of(s).busy);
    ck_assert_int_eq(end(s, true, 1), WEIR_OK);
}
END_TEST

START_TEST(a_session_is_described) {
    weir_session s = ready();
    rig_advance(1500);
    weir_session_info info = info_of(s);
    ck_assert_int_eq(info.age_ms, 1500);
    ck_assert_int_eq(info.backend, 1);
    ck_assert(info.depth == 0 && !info.in_transaction && !info.failed && !info.busy);
    ck_assert_int_eq(begin(s), 1);
    info = info_of(s);
    ck_assert(info.depth == 1 && !info.in_transaction); /* about to be */
    run_sql(s, "select 1");
    ck_assert(info_of(s).in_transaction && !info_of(s).failed);
    run_sql(s, "fail 23505");
    ck_assert(info_of(s).in_transaction && info_of(s).failed);
}
END_TEST

/* ---- statements, time-outs, cancellation ---- */

START_TEST(statements_on_the_pool) {
    rig_ready(&options);
    weir_statement *s = weir_statement_new("select $1", 9, NULL);
    weir_statement_add(s, &(weir_value){.type = WEIR_TYPE_INT, .as.integer = 4711});
    int token;
    weir_op op = 0;
    ck_assert_int_eq(weir_pool_execute(rig.pool, s, FOR_MS(WEIR_TIMEOUT_DEFAULT), &token, &op, NULL),
                     WEIR_PENDING);
    weir_statement_unref(s);
    weir_completion c;
    weir_value value;
    ck_assert(weir_reactor_next(rig.reactor, &c));
    ck_assert(c.kind == WEIR_DONE_EXECUTE && c.code == WEIR_OK && c.op == op && c.token == &token);
    ck_assert_int_eq(weir_result_value(c.result, 0, 0, &value), WEIR_OK);
    ck_assert_int_eq(value.as.integer, 4711);
    weir_completion_discard(&c);
    ck_assert_int_eq(outcome(submit_to_pool("fail 40001", -1), NULL), WEIR_ESERVER);
    ck_assert_int_eq(outcome(submit_to_pool("lose", -1), NULL), WEIR_ELOST);
    rig_advance(5);
    ck_assert_str_eq(transcript(), "select $1\nfail 40001\nlose\n");
    weir_snapshot now = snapshot();
    ck_assert_uint_eq(now.checkouts_granted, 3);
    ck_assert_uint_eq(now.returned, 3);
    ck_assert_uint_eq(now.queries_succeeded, 1);
    ck_assert_uint_eq(now.queries_failed, 2);
}
END_TEST

/* One bound over waiting and running, or each its own. */
START_TEST(time_for_a_statement_on_the_pool) {
    options.max_size = 1;
    options.checkout_timeout_ms = 50;
    options.command_timeout_ms = 40;
    rig_ready(&options);
    weir_session held = lend();
    weir_op bounded = submit_to_pool("hang", 60);
    weir_op by_options = submit_to_pool("hang", WEIR_TIMEOUT_DEFAULT);
    weir_op late = submit_to_pool("select 1", WEIR_TIMEOUT_DEFAULT);
    rig_advance(30);
    weir_session_release(held); /* `bounded` runs for what is left: 30 ms */
    rig_advance(28);
    ck_assert_int_eq(outcome(late, NULL), WEIR_ECHECKOUTTIMEOUT);
    ck_assert_int_eq(outcome(by_options, NULL), WEIR_ECHECKOUTTIMEOUT);
    ck_assert_int_eq(outcome(bounded, NULL), WEIR_PENDING);
    rig_advance(4);
    ck_assert_int_eq(outcome(bounded, NULL), WEIR_ECOMMANDTIMEOUT);
    by_options = submit_to_pool("hang", WEIR_TIMEOUT_DEFAULT);
    rig_advance(39);
    ck_assert_int_eq(outcome(by_options, NULL), WEIR_PENDING);
    rig_advance(3);
    ck_assert_int_eq(outcome(by_options, NULL), WEIR_ECOMMANDTIMEOUT);
    ck_assert_int_eq(weir__fake.cancelled, 2);
}
END_TEST

/* The caller has its answer at the deadline; the connection is in nobody's hands until the cancel is over. */
START_TEST(a_time_out_is_answered_at_once) {
    weir__fake.cancel_min_ns = weir__fake.cancel_max_ns = 500 * WEIR__MS;
    options.max_size = 1;
    weir_session s = ready();
    weir_op op = submit(s, "hang", 20);
    rig_advance(19);
    ck_assert_int_eq(outcome(op, NULL), WEIR_PENDING);
    rig_advance(3);
    ck_assert_int_eq(outcome(op, NULL), WEIR_ECOMMANDTIMEOUT);
    ck_assert_int_eq(weir__fake.cancelled, 1);
    weir_op next = submit(s, "select 1", -1); /* behind what drains */
    ck_assert(info_of(s).busy);
    ck_assert_int_eq(try_execute(s), WEIR_EBUSY);
    rig_advance(450);
    ck_assert_int_eq(outcome(next, NULL), WEIR_PENDING);
    rig_advance(60);
    ck_assert_int_eq(outcome(next, NULL), WEIR_OK);
    ck_assert_str_eq(transcript(), "hang\nselect 1\n");
    op = submit(s, "hang", 20);
    rig_advance(22);
    weir_session_release(s); /* back, but not lent to the next one before the cancel is over */
    ck_assert_int_eq(in_state(WEIR__DRAINING), 1);
    weir_op waiter = queue();
    rig_advance(450);
    ck_assert_int_eq(outcome(waiter, NULL), WEIR_PENDING);
    rig_advance(60);
    ck_assert_int_eq(outcome(waiter, &s), WEIR_OK);
    ck_assert_int_eq(weir__fake.created, 1);
    ck_assert_int_eq(outcome(op, NULL), WEIR_ECOMMANDTIMEOUT);
    ck_assert_uint_eq(snapshot().queries_timed_out, 2);
}
END_TEST

/* Of a write in autocommit nobody knows then whether it is done. */
START_TEST(a_late_write_is_in_doubt) {
    weir__fake.cancel_min_ns = weir__fake.cancel_max_ns = 100 * WEIR__MS;
    options.max_size = 1;
    options.pipeline = false;
    rig_ready(&options);
    weir_session s = lend();
    weir_op read = submit(s, "hang", 20);
    rig_advance(22);
    ck_assert_int_eq(outcome(read, NULL), WEIR_ECOMMANDTIMEOUT);
    rig_advance(500); /* until the cancellation is over */
    weir_op write = submit(s, "hang write", 20);
    rig_advance(22);
    ck_assert_int_eq(outcome(write, NULL), WEIR_EOUTCOMETIMEOUT);
    rig_advance(500);
    write = submit(s, "hang write", -1);
    weir_op queued = submit_to_pool("hang write", 20);
    rig_advance(22);
    ck_assert_int_eq(outcome(queued, NULL), WEIR_ECHECKOUTTIMEOUT);
    ck_assert_int_eq(weir_session_limit(s, 20, NULL), WEIR_OK);
    rig_advance(22);
    ck_assert_int_eq(outcome(write, NULL), WEIR_EOUTCOMETIMEOUT);
    rig_advance(500);
    write = submit_to_pool("hang write", 20);
    rig_advance(22);
    ck_assert_int_eq(outcome(write, NULL), WEIR_EOUTCOMETIMEOUT);
    ck_assert_uint_eq(snapshot().queries_timed_out, 4);
}
END_TEST

START_TEST(the_servers_own_guard_is_a_time_out) {
    weir_session s = ready();
    weir__fake_next_run(WEIR__FAKE_FAIL, "57014", 20 * WEIR__MS);
    weir_op op = submit(s, "select 1", 20);
    rig.clock.now += 20 * WEIR__MS; /* the answer and the deadline meet: either way it is a time-out */
    rig_advance(2);
    ck_assert_int_eq(outcome(op, NULL), WEIR_ECOMMANDTIMEOUT);
    ck_assert_uint_eq(snapshot().queries_timed_out, 1);
    weir__fake_next_run(WEIR__FAKE_FAIL, "57014", 5 * WEIR__MS); /* somebody else's cancel is not */
    ck_assert_int_eq(run_sql(s, "select 2"), WEIR_ESERVER);
}
END_TEST

START_TEST(cancelling_a_statement) {
    weir_session s = ready();
    weir__fake.cancel_min_ns = weir__fake.cancel_max_ns = 10 * WEIR__MS;
    weir_op running = submit(s, "hang", -1);
    ck_assert_int_eq(weir_reactor_cancel(rig.reactor, running), WEIR_OK);
    ck_assert_int_eq(weir__fake.cancelled, 1);
    weir_op queued = submit(s, "select 1", -1);
    ck_assert_int_eq(weir_reactor_cancel(rig.reactor, queued), WEIR_OK); /* never sent */
    weir_op next = submit(s, "select 2", -1);
    rig_advance(12);
    ck_assert_int_eq(outcome(next, NULL), WEIR_OK);
    ck_assert_str_eq(transcript(), "hang\nselect 2\n");
    weir_op alone = submit_to_pool("hang", -1);
    rig_advance(1);
    ck_assert_int_eq(weir_reactor_cancel(rig.reactor, alone), WEIR_OK);
    rig_advance(12);
    ck_assert_int_eq(in_state(WEIR__IDLE), 1);
    ck_assert_uint_eq(snapshot().queries_cancelled, 2);
    weir_completion c;
    ck_assert(!weir_reactor_next(rig.reactor, &c));
}
END_TEST

START_TEST(returned_while_it_runs) {
    weir_session s = ready();
    weir__fake.cancel_min_ns = weir__fake.cancel_max_ns = 10 * WEIR__MS;
    begin(s);
    weir_op running = submit(s, "hang", -1);
    ck_assert_int_eq(weir_session_release(s), WEIR_OK);
    ck_assert_int_eq(outcome(running, NULL), WEIR_ECANCELLED);
    ck_assert_int_eq(in_state(WEIR__DRAINING), 1);
    rig_advance(12);
    ck_assert_int_eq(in_state(WEIR__IDLE), 1);
    ck_assert_int_eq(weir__fake.resets, 1);
    s = lend();
    running = submit(s, "hang", 5);
    rig_advance(7);
    weir_op queued = submit(s, "select 1", -1);
    weir_session_release(s);
    ck_assert_int_eq(outcome(running, NULL), WEIR_ECOMMANDTIMEOUT);
    ck_assert_int_eq(outcome(queued, NULL), WEIR_ECANCELLED);
    ck_assert_int_eq(weir__fake.cancelled, 2); /* one cancel is enough */
}
END_TEST

/* A cancel that the server ignores: at the bound the connection is closed, and replaced. */
START_TEST(the_bound_of_cleaning) {
    weir__fake.cancel_ignored_permille = 1000;
    weir_session s = ready();
    weir_op op = submit(s, "hang", 10);
    rig_advance(12);
    ck_assert_int_eq(outcome(op, NULL), WEIR_ECOMMANDTIMEOUT);
    if (_i == 0) weir_session_release(s);
    rig_advance(4980);
    ck_assert_int_eq(weir__fake.created, 1);
    rig_advance(40);
    ck_assert_int_eq(weir__fake.created, 2);
    ck_assert_int_eq(in_state(WEIR__IDLE), 1);
    ck_assert(logged("did not end a cancelled statement, or a reset, in time"));
    ck_assert_int_eq(weir_session_release(s), _i == 0 ? WEIR_ESTALE : WEIR_ELOST);
}
END_TEST

START_TEST(a_reset_that_fails) {
    weir__fake.reset_permille = 1000;
    weir_session s = ready();
    weir_session_release(s);
    ck_assert_int_eq(in_state(WEIR__IDLE), 1);
    ck_assert_int_eq(weir__fake.created, 1);
    weir__fake.reset_fail_permille = 1000;
    weir_session_release(lend());
    ck_assert_int_eq(weir__fake.created, 2); /* closed, and replaced */
    weir__fake.reset_fail_permille = 0;
    weir__fake.reset_min_ns = weir__fake.reset_max_ns = 6000 * WEIR__MS;
    weir_session_release(lend());
    ck_assert_int_eq(in_state(WEIR__RESETTING), 1);
    rig_advance(5002);
    ck_assert_int_eq(weir__fake.created, 3); /* a reset has its bound, too */
}
END_TEST

START_TEST(a_limit_for_the_rest_of_the_loan) {
    rig_ready(&options);
    weir_session s = lend();
    ck_assert_int_eq(weir_session_limit(s, 100, &error) | weir_session_limit(s, 200, &error), WEIR_OK);
    rig_advance(190);
    ck_assert_int_eq(run_sql(s, "select 1"), WEIR_OK);
    rig_advance(15);
    FAILS(WEIR_ESESSIONTIMEOUT, weir_session_limit(s, 200, error));
    s = lend();
    ck_assert_int_eq(weir_session_limit(s, 20, &error), WEIR_OK);
    ck_assert_int_eq(weir_session_limit(s, -1, &error), WEIR_OK); /* and none again */
    rig_advance(100000);
    ck_assert_int_eq(run_sql(s, "select 1"), WEIR_OK);
    FAILS(WEIR_EINVAL, weir_session_limit((weir_session){0}, 1, error));
}
END_TEST

/* By the loan's wish, whether it was granted at once or later; else as the pool's option says. */
START_TEST(a_loan_says_how_it_is_reset) {
    weir__fake.reset_permille = 1000;
    weir_session_release(ready());
    ck_assert_int_eq(weir__fake.reset_how, WEIR__RESET_AUTO);
    weir_checkout checkout;
    weir_checkout_init(&checkout);
    checkout.reset = "always";
    weir_session s = lend_as(&checkout);
    checkout.reset = "never";
    weir_op queued = queue_as(&checkout);
    weir_session_release(s);
    ck_assert_int_eq(weir__fake.reset_how, WEIR__RESET_ALWAYS);
    rig_advance(1);
    ck_assert_int_eq(outcome(queued, &s), WEIR_OK);
    weir_session_release(s);
    ck_assert_int_eq(weir__fake.reset_how, WEIR__RESET_NEVER);
    weir_session_release(lend());
    ck_assert_int_eq(weir__fake.reset_how, WEIR__RESET_AUTO);
    checkout.reset = "RESET ALL";
    weir_op op;
    FAILS(WEIR_EINVAL, weir_pool_acquire(rig.pool, &checkout, NULL, &s, &op, error));
    weir__fake.reset_fail_permille = 1000;
    weir_session_release(lend());
    ck_assert(logged("a connection is replaced after its reset: the reset failed"));
}
END_TEST

START_TEST(a_session_times_out) {
    rig_ready(&options);
    weir_checkout checkout = in_transaction(NULL, false);
    checkout.session_timeout_ms = 100;
    weir_session s = lend_as(&checkout);
    run_sql(s, "select 1");
    rig_advance(50);
    weir_op op = submit(s, "hang", -1);
    rig_advance(48);
    ck_assert_int_eq(outcome(op, NULL), WEIR_PENDING);
    rig_advance(4);
    ck_assert_int_eq(outcome(op, NULL), WEIR_ESESSIONTIMEOUT);
    ck_assert_int_eq(try_execute(s), WEIR_ESESSIONTIMEOUT);
    ck_assert_int_eq(weir_session_release(s), WEIR_ESESSIONTIMEOUT);
    ck_assert_int_eq(in_state(WEIR__IDLE), 1);
    s = lend(); /* the next loan has no such bound */
    rig_advance(1000);
    ck_assert_int_eq(run_sql(s, "select 1"), WEIR_OK);
}
END_TEST

/* ---- loss ---- */

/* Whoever computes for long drives no reactor: his COMMIT does not come before his time-out. */
START_TEST(a_session_whose_end_nobody_has_looked_at) {
    rig_ready(&options);
    weir_checkout checkout = in_transaction(NULL, false);
    checkout.session_timeout_ms = 100;
    for (int commit = 0; commit <= 1; commit++) {
        weir_session s = lend_as(&checkout);
        run_sql(s, "insert");
        rig.clock.now += 101 * WEIR__MS;
        ck_assert_int_eq(commit ? end(s, true, 1) : try_execute(s), WEIR_ESESSIONTIMEOUT);
        ck_assert_ptr_nonnull(strstr(error.message, "longer"));
        rig_advance(10);
        ck_assert_int_eq(weir__fake.commits, 0);
        ck_assert_int_eq(in_state(WEIR__IDLE), 1);
        ck_assert_int_eq(weir_session_release(s), WEIR_ESESSIONTIMEOUT);
    }
}
END_TEST

/* How it has ended: with the code, and is that retryable? */
static bool may_repeat(weir_op op, int code) {
    weir_completion c;
    ck_assert_int_eq(weir_reactor_wait(rig.reactor, op, 0, &c), WEIR_OK);
    ck_assert_int_eq(c.code, code);
    bool retryable = c.error->retryable;
    weir_completion_discard(&c);
    return retryable;
}

/* What the loan has done stays when it ends so: a commit in its midst, a statement in autocommit. */
START_TEST(what_a_session_has_kept_is_not_to_be_repeated) {
    enum { ROLLED_BACK, COMMITTED, AUTOCOMMIT };
    bool kept = _i != ROLLED_BACK;
    rig_ready(&options);
    weir_checkout checkout = in_transaction(NULL, false);
    checkout.session_timeout_ms = 100;
    checkout.transaction = _i != AUTOCOMMIT;
    weir_op of_pool = submit_to_pool("insert", -1); /* on the same connection, and nobody's loan */
    rig_advance(10);
    ck_assert_int_eq(outcome(of_pool, NULL), WEIR_OK);
    for (int lost = 0; lost <= 1; lost++) {
        int code = lost ? WEIR_ELOST : WEIR_ESESSIONTIMEOUT;
        weir_session s = lend_as(&checkout);
        ck_assert_int_eq(run_sql(s, "insert"), WEIR_OK);
        if (checkout.transaction) ck_assert_int_eq(end(s, kept, 1), WEIR_OK);
        weir_op op = submit(s, "hang", -1), watch;
        ck_assert_int_eq(weir_session_watch(s, NULL, &watch, NULL), WEIR_PENDING);
        if (lost) ck_assert(weir__fake_kill(slot_of(s)->conn));
        rig_advance(101);
        ck_assert_int_eq(may_repeat(watch, code), !kept);
        /* By itself the statement that was lost outside of a transaction has not been done. */
        ck_assert_int_eq(may_repeat(op, code), !kept || (lost && _i == AUTOCOMMIT));
        ck_assert_int_eq(try_execute(s), code);
        ck_assert_int_eq(error.retryable, !kept);
    }
    weir_session s = lend_as(&checkout); /* the next loan has done nothing yet */
    rig_advance(101);
    ck_assert_int_eq(try_execute(s), WEIR_ESESSIONTIMEOUT);
    ck_assert(error.retryable);
}
END_TEST

/* _i: a transaction has been committed before. Who waits for a batch, and who stands in line behind a
 * cancellation that has no end, is told so, too. */
START_TEST(nor_what_waits_when_it_ends) {
    weir__fake.cancel_ignored_permille = 1000;
    rig_ready(&options);
    weir_checkout checkout = in_transaction(NULL, false);
    weir_session s = lend_as(&checkout);
    ck_assert_int_eq(run_sql(s, "insert"), WEIR_OK);
    ck_assert_int_eq(end(s, _i, 1), WEIR_OK);
    weir_op op = submit(s, "hang", 10);
    rig_advance(12);
    ck_assert_int_eq(outcome(op, NULL), WEIR_ECOMMANDTIMEOUT);
    op = submit(s, "select", -1);
    rig_advance(5100);
    ck_assert_int_eq(may_repeat(op, WEIR_ELOST), !_i);

    checkout.session_timeout_ms = 100;
    s = lend_as(&checkout);
    ck_assert_int_eq(run_sql(s, "insert"), WEIR_OK);
    ck_assert_int_eq(end(s, _i, 1), WEIR_OK);
    weir_statement *statement = weir_statement_new("hang", 4, NULL);
    weir_stream stream;
    weir_result *batch;
    ck_assert_int_eq(weir_session_stream(s, statement, 2, NULL, &stream, &error), WEIR_OK);
    weir_statement_unref(statement);
    ck_assert_int_eq(weir_stream_next(stream, NULL, &batch, &op, &error), WEIR_PENDING);
    rig_advance(101);
    ck_assert_int_eq(may_repeat(op, WEIR_ESESSIONTIMEOUT), !_i);
}
END_TEST

START_TEST(a_stream_whose_session_is_over) {
    rig_ready(&options);
    weir_checkout checkout = in_transaction(NULL, false);
    checkout.session_timeout_ms = 100;
    weir_session s = lend_as(&checkout);
    weir_statement *statement = weir_statement_new("rows 5", 6, NULL);
    weir_stream stream;
    weir_result *batch;
    weir_op op;
    ck_assert_int_eq(weir_session_stream(s, statement, 2, NULL, &stream, &error), WEIR_OK);
    weir_statement_unref(statement);
    rig.clock.now += 101 * WEIR__MS;
    ck_assert_int_eq(weir_stream_next(stream, NULL, &batch, &op, &error), WEIR_ESESSIONTIMEOUT);
}
END_TEST

/* _i: its holder leaves it open, closes it, gives the session back, or does both; or closes it before it is
 * late. */
START_TEST(a_late_stream_is_a_late_statement) {
    weir__fake.cancel_min_ns = weir__fake.cancel_max_ns = 100 * WEIR__MS;
    weir_session s = ready();
    weir_statement *statement = weir_statement_new("hang", 4, NULL);
    weir_stream stream;
    weir_result *batch;
    weir_op op;
    weir_run run;
    weir_run_init(&run);
    run.timeout_ms = 50;
    bool late = _i < 4;
    ck_assert_int_eq(weir_session_stream(s, statement, 2, &run, &stream, &error), WEIR_OK);
    weir_statement_unref(statement);
    rig_advance(late ? 51 : 40);
    if (late) ck_assert_int_eq(weir_stream_next(stream, NULL, &batch, &op, &error), WEIR_ECOMMANDTIMEOUT);
    if (_i & 1 || !late) weir_stream_close(stream);
    if (_i & 2) weir_session_release(s);
    rig_advance(1000);
    weir_snapshot now = snapshot();
    ck_assert_uint_eq(now.queries_timed_out, late);
    ck_assert_uint_eq(now.queries_cancelled, !late);
    ck_assert_uint_eq(now.queries_failed, 0);
    ck_assert_uint_eq(now.query_failed.count, late);
    ck_assert(!late || now.query_failed.max > 0.049);
}
END_TEST

START_TEST(lost_in_a_session) {
    weir_session s = ready();
    begin(s);
    weir_op op = submit(s, "sleep 50", -1);
    ck_assert(weir__fake_kill(slot_of(s)->conn));
    rig_advance(3);
    ck_assert_int_eq(outcome(op, NULL), WEIR_ELOST);
    ck_assert_int_eq(weir__fake.created, 2); /* its place is taken already, and still: */
    ck_assert_int_eq(try_execute(s), WEIR_ELOST);
    ck_assert(error.retryable);
    ck_assert_int_eq(begin(s), -WEIR_ELOST);
    ck_assert_int_eq(weir_session_release(s), WEIR_ELOST);
    weir_session_release(lend());
    ck_assert_int_eq(try_execute(s), WEIR_ELOST);
    weir_snapshot now = snapshot();
    ck_assert_uint_eq(now.connections_lost, 1);
    ck_assert_uint_eq(now.queries_failed, 1);
    ck_assert_uint_eq(now.returned, 2);
}
END_TEST

/* So many, as the error, are in the durations of what has failed, and all have taken that long. */
static void measured(int code, uint64_t count, double seconds) {
    const weir__failed *failed = &rig.pool->stats->failures[code - 1];
    uint64_t found = 0;
    for (size_t n = 0; n < WEIR_HISTOGRAM_BUCKETS; n++) found += failed->buckets[n];
    ck_assert_uint_eq(found, count);
    ck_assert_double_eq_tol((double)failed->sum / 1e9, seconds, 0.003);
}

START_TEST(what_is_not_answered_is_measured_too) {
    weir_op close = 0;
    weir__fake.cancel_min_ns = weir__fake.cancel_max_ns = 100 * WEIR__MS;
    weir_session s = ready();
    weir_op op = submit(s, "hang", 20);
    rig_advance(22);
    ck_assert_int_eq(outcome(op, NULL), WEIR_ECOMMANDTIMEOUT);
    measured(WEIR_ECOMMANDTIMEOUT, 1, 0.02);
    rig_advance(500); /* until the cancellation is over */
    op = submit(s, "hang write", 30);
    rig_advance(32);
    ck_assert_int_eq(outcome(op, NULL), WEIR_EOUTCOMETIMEOUT);
    measured(WEIR_EOUTCOMETIMEOUT, 1, 0.03);
    rig_advance(500);
    op = submit(s, "hang", -1);
    weir_session_limit(s, 40, NULL);
    rig_advance(42);
    ck_assert_int_eq(outcome(op, NULL), WEIR_ESESSIONTIMEOUT);
    measured(WEIR_ESESSIONTIMEOUT, 1, 0.04);
    ck_assert_uint_eq(snapshot().queries_timed_out, 3);
    rig_advance(500);
    s = lend();
    op = submit(s, "hang", -1); /* that its caller has gone says nothing of the server */
    rig_advance(50);
    ck_assert_int_eq(weir_reactor_cancel(rig.reactor, op), WEIR_OK);
    rig_advance(500);
    op = submit(s, "hang", -1);
    rig_advance(50);
    weir_session_release(s);
    ck_assert_int_eq(outcome(op, NULL), WEIR_ECANCELLED);
    ck_assert_uint_eq(snapshot().queries_cancelled, 2);
    rig_advance(500);
    s = lend();
    op = submit(s, "hang", -1);
    rig_advance(60);
    ck_assert(weir__fake_kill(slot_of(s)->conn));
    rig_advance(1);
    ck_assert_int_eq(outcome(op, NULL), WEIR_ELOST);
    measured(WEIR_ELOST, 1, 0.06);
    weir_session_release(s);
    rig_advance(500);
    op = submit(lend(), "hang", -1);
    rig_advance(70);
    ck_assert_int_eq(weir_pool_close(rig.pool, 0, NULL, &close, NULL), WEIR_PENDING);
    ck_assert_int_eq(outcome(op, NULL), WEIR_ECLOSED);
    measured(WEIR_ECLOSED, 1, 0.07);
    weir_snapshot now = snapshot();
    ck_assert_uint_eq(now.queries_failed, 2);
    ck_assert_uint_eq(now.query.count, 5);
    ck_assert_uint_eq(now.query_failed.count, 5);
    ck_assert_double_eq_tol(now.query_failed.sum, 0.22, 0.01);
}
END_TEST

START_TEST(lost_between_statements) {
    weir_session s = ready();
    ck_assert(weir__fake_kill(slot_of(s)->conn));
    rig_advance(3);
    ck_assert_int_eq(try_execute(s), WEIR_ELOST);
    ck_assert(logged("lost while lent"));
}
END_TEST

/* ---- memory ---- */

/* The next operation needs memory. */
static void use_up_operations(void) {
    ck_assert(weir__enter(rig.reactor));
    while (!weir__list_empty(&rig.reactor->free_ops))
        ck_assert_ptr_nonnull(weir__op_new(rig.reactor, WEIR_DONE_CLOSE, NULL, NULL, NULL, NULL));
    weir__leave(rig.reactor);
}

/* A failed call changes nothing: the same one, made again, does what the first should have done. */
START_TEST(calls_without_memory) {
    weir_session s = ready();
    weir_statement *statement = weir_statement_new("select 1", 8, NULL);
    weir_op op, filler;
    ck_assert_int_eq(begin(s), 1);
    use_up_operations();
    for (long k = 1; k <= 2; k++) {
        weir__alloc_fail_at(k, false);
        ck_assert_int_eq(weir_session_execute(s, statement, FOR_MS(-1), NULL, &op, NULL), WEIR_ENOMEM);
        weir__alloc_fail_at(0, false);
        ck_assert_ptr_null(rig_fault());
    }
    ck_assert_int_eq(run_sql(s, "select 1"), WEIR_OK);
    ck_assert_str_eq(transcript(), "BEGIN; select 1\n");
    use_up_operations();
    weir__alloc_fail_at(1, true);
    ck_assert_int_eq(weir_session_commit(s, 1, NULL, &filler, NULL), WEIR_ENOMEM);
    weir__alloc_fail_at(0, false);
    ck_assert_int_eq(info_of(s).depth, 1);
    ck_assert_int_eq(end(s, true, 1), WEIR_OK);
    weir__alloc_fail_at(1, false); /* for the answer: the statement fails, the session lives */
    ck_assert_int_eq(weir_session_execute(s, statement, FOR_MS(-1), NULL, &op, NULL), WEIR_PENDING);
    weir__alloc_fail_at(0, false);
    ck_assert_int_eq(outcome(op, NULL), WEIR_ENOMEM);
    ck_assert_int_eq(run_sql(s, "select 2"), WEIR_OK);
    weir_statement_unref(statement);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {a_loan_ends_once,
                                  discarding,
                                  one_operation_at_a_time,
                                  a_session_is_described,
                                  statements_on_the_pool,
                                  time_for_a_statement_on_the_pool,
                                  a_time_out_is_answered_at_once,
                                  a_late_write_is_in_doubt,
                                  the_servers_own_guard_is_a_time_out,
                                  cancelling_a_statement,
                                  returned_while_it_runs,
                                  a_reset_that_fails,
                                  a_limit_for_the_rest_of_the_loan,
                                  a_loan_says_how_it_is_reset,
                                  a_session_times_out,
                                  a_session_whose_end_nobody_has_looked_at,
                                  a_stream_whose_session_is_over,
                                  lost_in_a_session,
                                  what_is_not_answered_is_measured_too,
                                  lost_between_statements,
                                  calls_without_memory};
    Suite *suite = suite_create("session");
    TCase *tc = tcase_create("session");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, set_up, tear_down);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) tcase_add_test(tc, tests[i]);
    tcase_add_loop_test(tc, the_bound_of_cleaning, 0, 2);
    tcase_add_loop_test(tc, a_late_stream_is_a_late_statement, 0, 5);
    tcase_add_loop_test(tc, what_a_session_has_kept_is_not_to_be_repeated, 0, 3);
    tcase_add_loop_test(tc, nor_what_waits_when_it_ends, 0, 2);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}

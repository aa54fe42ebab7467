/* Transactions on the fake driver: what is sent, and when; and how they end. */
#include <string.h>

#include "session_rig.h"
#include "support_suite.h"

/* ---- transactions: what is sent, and when ---- */

START_TEST(a_transaction_begins_with_its_first_statement) {
    weir_session s = ready();
    ck_assert_int_eq(begin(s), 1);
    ck_assert_str_eq(transcript(), "");
    ck_assert_int_eq(run_sql(s, "select 1"), WEIR_OK);
    ck_assert_str_eq(transcript(), "BEGIN; select 1\n");
    ck_assert_int_eq(run_sql(s, "select 2"), WEIR_OK);
    ck_assert_str_eq(transcript(), "select 2\n");
    ck_assert_int_eq(end(s, true, 1), WEIR_OK);
    ck_assert_str_eq(transcript(), "COMMIT\n");
    ck_assert_int_eq(run_sql(s, "select 3"), WEIR_OK); /* and back in autocommit */
    ck_assert_str_eq(transcript(), "select 3\n");
    ck_assert_int_eq(begin(s), 1);
    ck_assert_int_eq(run_sql(s, "select 4"), WEIR_OK);
    ck_assert_int_eq(end(s, false, 1), WEIR_OK);
    ck_assert_str_eq(transcript(), "BEGIN; select 4\nROLLBACK\n");
}
END_TEST

START_TEST(nothing_sent_nothing_to_end) {
    weir_session s = ready();
    for (int commit = 0; commit < 2; commit++) {
        ck_assert_int_eq(begin(s), 1);
        ck_assert_int_eq(begin(s), 2);
        ck_assert_int_eq(end(s, commit, 2), WEIR_OK);
        ck_assert_int_eq(end(s, commit, 1), WEIR_OK);
    }
    ck_assert_str_eq(transcript(), "");
    ck_assert_int_eq(begin(s), 1);
    run_sql(s, "select 1");
    ck_assert_int_eq(begin(s), 2); /* sent: the outer one; not sent: the inner one */
    ck_assert_int_eq(end(s, true, 2), WEIR_OK);
    ck_assert_int_eq(end(s, true, 1), WEIR_OK);
    ck_assert_str_eq(transcript(), "BEGIN; select 1\nCOMMIT\n");
}
END_TEST

START_TEST(savepoints) {
    weir_session s = ready();
    ck_assert_int_eq(begin(s), 1);
    ck_assert_int_eq(begin(s), 2);
    ck_assert_int_eq(begin(s), 3);
    ck_assert_int_eq(run_sql(s, "select 1"), WEIR_OK);
    ck_assert_str_eq(transcript(), "BEGIN; SAVEPOINT weir_11; SAVEPOINT weir_12; select 1\n");
    ck_assert_int_eq(end(s, true, 3), WEIR_OK);
    ck_assert_str_eq(transcript(), "RELEASE SAVEPOINT weir_12\n");
    ck_assert_int_eq(run_sql(s, "fail 23505"), WEIR_ESERVER);
    ck_assert_int_eq(run_sql(s, "select 2"), WEIR_ESERVER); /* 25P02 */
    ck_assert_str_eq(transcript(), "fail 23505\nselect 2\n");
    ck_assert_int_eq(end(s, false, 2), WEIR_OK);
    ck_assert_str_eq(transcript(), "ROLLBACK TO SAVEPOINT weir_11; RELEASE SAVEPOINT weir_11\n");
    ck_assert_int_eq(run_sql(s, "select 3"), WEIR_OK); /* the outer one is as it was */
    ck_assert_int_eq(begin(s), 2);
    ck_assert_int_eq(run_sql(s, "select 4"), WEIR_OK);
    ck_assert_str_eq(transcript(), "select 3\nSAVEPOINT weir_11; select 4\n");
    ck_assert_int_eq(end(s, true, 2), WEIR_OK);
    run_sql(s, "fail 23505");
    ck_assert_int_eq(begin(s),
                     2); /* in a failed transaction there is no savepoint to be had, nor to be ended */
    ck_assert_int_eq(run_sql(s, "select 5"), WEIR_ESERVER);
    transcript();
    ck_assert_int_eq(end(s, false, 2), WEIR_OK);
    ck_assert_str_eq(transcript(), "");
    ck_assert_int_eq(end(s, true, 1), WEIR_EROLLEDBACK);
}
END_TEST

START_TEST(the_innermost_one_ends_first) {
    weir_session s = ready();
    ck_assert_int_eq(end(s, true, 1), WEIR_ETRANSACTION);
    ck_assert_int_eq(end(s, false, 0), WEIR_ETRANSACTION);
    begin(s);
    begin(s);
    ck_assert_int_eq(end(s, true, 1), WEIR_ETRANSACTION);
    ck_assert_int_eq(end(s, false, 3), WEIR_ETRANSACTION);
    ck_assert_int_eq(info_of(s).depth, 2);
    for (int depth = 3; depth <= WEIR__DEPTH_MAX; depth++) ck_assert_int_eq(begin(s), depth);
    ck_assert_int_eq(begin(s), -WEIR_ETRANSACTION);
    ck_assert_int_eq(run_sql(s, "select 1"), WEIR_OK); /* all of them in one go */
    const char *sent = transcript();
    ck_assert_ptr_nonnull(strstr(sent, "BEGIN; SAVEPOINT weir_11; "));
    ck_assert_ptr_nonnull(strstr(sent, "SAVEPOINT weir_47; select 1\n"));
    for (int depth = WEIR__DEPTH_MAX; depth > 0; depth--) ck_assert_int_eq(end(s, depth % 2, depth), WEIR_OK);
    sent = transcript();
    ck_assert_ptr_nonnull(strstr(sent, "ROLLBACK TO SAVEPOINT weir_47; RELEASE SAVEPOINT weir_47\n"));
    ck_assert_int_eq(weir__fake.commits, 1);
}
END_TEST

START_TEST(how_a_transaction_begins) {
    static const struct {
        const char *isolation;
        bool readonly;
        const char *text;
    } cases[] = {{NULL, true, "BEGIN READ ONLY"},
                 {"serializable", false, "BEGIN ISOLATION LEVEL SERIALIZABLE"},
                 {"Repeatable_Read", false, "BEGIN ISOLATION LEVEL REPEATABLE READ"},
                 {"READ COMMITTED", true, "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"},
                 {"read uncommitted", false, "BEGIN ISOLATION LEVEL READ UNCOMMITTED"}};
    weir_session s = ready();
    int depth;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weir_transaction how = {.isolation = cases[i].isolation, .readonly = cases[i].readonly};
        ck_assert_int_eq(weir_session_begin(s, &how, &depth, NULL), WEIR_OK);
        ck_assert_int_eq(weir_session_begin(s, &how, &depth, &error), WEIR_ETRANSACTION); /* a savepoint */
        run_sql(s, "x");
        end(s, true, 1);
        const char *sent = transcript();
        ck_assert_uint_eq(strcspn(sent, ";"), strlen(cases[i].text));
        ck_assert_int_eq(strncmp(sent, cases[i].text, strlen(cases[i].text)), 0);
    }
    const char *const bad[] = {"", "snapshot", "serializable ", "repeatable read and quite a lot more"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        weir_transaction how = {.isolation = bad[i]};
        ck_assert_int_eq(weir_session_begin(s, &how, &depth, &error), WEIR_EINVAL);
        ck_assert_ptr_nonnull(strstr(error.message, "use one of"));
    }
    ck_assert_int_eq(info_of(s).depth, 0);
}
END_TEST

START_TEST(a_pool_that_only_reads) {
    options.readonly = true;
    rig_ready(&options);
    weir_checkout checkout = in_transaction("serializable", false);
    weir_session s = lend_as(&checkout);
    ck_assert_int_eq(run_sql(s, "x"), WEIR_OK);
    ck_assert_int_eq(weir_session_release(s), WEIR_OK);
    ck_assert_str_eq(transcript(), "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY; x\n");
    ck_assert_int_eq(outcome(submit_to_pool("select 1 shared", -1), NULL), WEIR_OK);
    weir_op op;
    weir_run reads = {.size = sizeof reads, .timeout_ms = -1, .readonly = true};
    weir_statement *write = weir_statement_new("insert shared write", 19, NULL);
    ck_assert_int_eq(weir_pool_execute(rig.pool, write, FOR_MS(-1), NULL, &op, &error), WEIR_EINVAL);
    ck_assert_ptr_nonnull(strstr(error.message, "does not only read"));
    ck_assert_int_eq(weir_session_execute(lend(), write, &reads, NULL, &op, &error), WEIR_EINVAL);
    ck_assert_ptr_nonnull(strstr(error.message, "of statements of the pool itself"));
    weir_statement_unref(write);
}
END_TEST

START_TEST(a_session_that_is_a_transaction) {
    rig_ready(&options);
    weir_checkout checkout = in_transaction("serializable", false);
    weir_session s = lend_as(&checkout);
    ck_assert_int_eq(end(s, true, 1), WEIR_OK); /* unused, it costs nothing */
    ck_assert_str_eq(transcript(), "");
    ck_assert_int_eq(run_sql(s, "select 1"), WEIR_OK);
    ck_assert_int_eq(info_of(s).depth, 1);
    ck_assert_int_eq(end(s, true, 1), WEIR_OK);
    ck_assert_int_eq(run_sql(s, "select 2"), WEIR_OK); /* the next statement begins the next one */
    ck_assert_int_eq(end(s, false, 1), WEIR_OK);
    ck_assert_int_eq(begin(s), 2);
    ck_assert_int_eq(run_sql(s, "select 3"), WEIR_OK);
    ck_assert_int_eq(end(s, true, 2), WEIR_OK);
    ck_assert_str_eq(transcript(), "BEGIN ISOLATION LEVEL SERIALIZABLE; select 1\nCOMMIT\n"
                                   "BEGIN ISOLATION LEVEL SERIALIZABLE; select 2\nROLLBACK\n"
                                   "BEGIN ISOLATION LEVEL SERIALIZABLE; SAVEPOINT weir_11; select 3\n"
                                   "RELEASE SAVEPOINT weir_11\n");
    for (int depth = 2; depth < WEIR__DEPTH_MAX; depth++) ck_assert_int_eq(begin(s), depth);
    ck_assert_int_eq(weir_session_release(s), WEIR_OK);
    ck_assert_int_eq(weir__fake.resets, 1);                 /* it was open: the reset ends it */
    ck_assert_int_eq(run_sql(lend(), "select 4"), WEIR_OK); /* the next borrower has none of it */
    ck_assert_str_eq(transcript(), "select 4\n");
}
END_TEST

START_TEST(commit_is_answered_by_rollback) {
    weir_session s = ready();
    begin(s);
    run_sql(s, "fail 23505");
    ck_assert_int_eq(end(s, true, 1), WEIR_EROLLEDBACK);
    ck_assert_int_eq(info_of(s).depth, 0);
    ck_assert(!info_of(s).in_transaction);
    begin(s);
    run_sql(s, "select 1");
    weir__fake_next_run(WEIR__FAKE_ROLLED_BACK, NULL, 0); /* the server has its own reasons */
    ck_assert_int_eq(end(s, true, 1), WEIR_EROLLEDBACK);
    begin(s);
    run_sql(s, "fail 23505");
    ck_assert_int_eq(end(s, false, 1), WEIR_OK);
}
END_TEST

/* A statement of the holder's own ends the transaction: the fake knows none that does, so the test plays the
   server. */
static void break_off(weir_session s) {
    weir_op op = submit(s, "sleep 5", -1);
    ck_assert(weir__enter(rig.reactor));
    weir__conn *conn = slot_of(s)->conn;
    weir__request *request = conn->request;
    conn->tx = WEIR__TX_NONE;
    rig.clock.now += 5 * WEIR__MS;
    weir__fake_driver.tick(conn);
    ck_assert_ptr_null(conn->request);
    ck_assert_int_eq(request->code, WEIR_OK);
    conn->tx = WEIR__TX_NONE;
    weir__leave(rig.reactor);
    ck_assert_int_eq(outcome(op, NULL), WEIR_OK);
}

START_TEST(a_transaction_broken_off) {
    weir_session s = ready();
    begin(s);
    begin(s);
    run_sql(s, "select 1");
    break_off(s);
    ck_assert_int_eq(info_of(s).depth, 2);
    ck_assert_int_eq(end(s, true, 2), WEIR_ETRANSACTION); /* he must hear of it */
    ck_assert_ptr_nonnull(strstr(error.message, "ended by a statement of yours"));
    ck_assert_int_eq(end(s, false, 1), WEIR_OK);
    begin(s); /* the next transaction is a new one */
    ck_assert_int_eq(end(s, true, 1), WEIR_OK);
    begin(s);
    run_sql(s, "select 2");
    break_off(s);
    run_sql(s, "select 3"); /* in a transaction, as he wanted it: begun anew */
    transcript();
    ck_assert_int_eq(end(s, true, 1), WEIR_OK);
    ck_assert_str_eq(transcript(), "COMMIT\n");
    begin(s); /* and nothing of it is left behind */
    ck_assert_int_eq(end(s, true, 1), WEIR_OK);
    weir_session_release(s);
    weir_checkout checkout = in_transaction(NULL, false);
    s = lend_as(&checkout);
    run_sql(s, "select 4");
    break_off(s);
    ck_assert_int_eq(info_of(s).depth, 0);
    transcript();
    run_sql(s, "select 5");
    ck_assert_str_eq(transcript(), "BEGIN; select 5\n");
}
END_TEST

/* ---- ends that go wrong ---- */

START_TEST(the_outcome_of_a_commit_is_unknown) {
    weir_session s = ready();
    weir_op op;
    begin(s);
    run_sql(s, "select 1");
    weir__fake_next_run(WEIR__FAKE_LOSE, NULL, 0);
    ck_assert_int_eq(end(s, true, 1), WEIR_EOUTCOME);
    rig_advance(5);
    s = lend(); /* the same by time */
    begin(s);
    run_sql(s, "select 1");
    weir__fake_next_run(WEIR__FAKE_HANG, NULL, 0); /* until command_timeout */
    ck_assert_int_eq(end(s, true, 1), WEIR_EOUTCOMETIMEOUT);
    ck_assert_int_eq(info_of(s).depth, 0);
    rig_advance(6000); /* a COMMIT is not cancelled: the connection is given up after a while */
    s = lend();
    begin(s); /* by the session's time */
    run_sql(s, "select 1");
    weir__fake_next_run(WEIR__FAKE_HANG, NULL, 0);
    ck_assert_int_eq(weir_session_commit(s, 1, NULL, &op, NULL), WEIR_PENDING);
    ck_assert_int_eq(weir_session_limit(s, 20, NULL), WEIR_OK);
    rig_advance(22);
    ck_assert_int_eq(outcome(op, NULL), WEIR_EOUTCOMETIMEOUT);
    rig_advance(6000);
    s = lend();
    begin(s); /* by the holder's own going away */
    run_sql(s, "select 1");
    weir__fake_next_run(WEIR__FAKE_HANG, NULL, 0);
    ck_assert_int_eq(weir_session_commit(s, 1, NULL, &op, NULL), WEIR_PENDING);
    weir_session_release(s);
    ck_assert_int_eq(outcome(op, NULL), WEIR_EOUTCOME);
}
END_TEST

/* A COMMIT whose caller goes away is on its way: it is let finish, and the session waits for it. */
START_TEST(a_cancelled_commit_finishes) {
    weir_session s = ready();
    weir_op op;
    begin(s);
    run_sql(s, "select 1");
    weir__fake_next_run(WEIR__FAKE_OK, NULL, 50 * WEIR__MS);
    ck_assert_int_eq(weir_session_commit(s, 1, NULL, &op, NULL), WEIR_PENDING);
    ck_assert_int_eq(weir_reactor_cancel(rig.reactor, op), WEIR_OK);
    if (_i)
        weir_session_release(s);
    else
        op = submit(s, "select 2", -1);
    rig_advance(45);
    ck_assert_int_eq(weir__fake.commits, 0);
    rig_advance(8);
    ck_assert_int_eq(weir__fake.commits, 1);
    ck_assert_int_eq(weir__fake.cancelled, 0);
    if (!_i)
        ck_assert_int_eq(outcome(op, NULL), WEIR_OK);
    else
        ck_assert_int_eq(in_state(WEIR__IDLE), 1);
}
END_TEST

/* The end of a transaction that waits for a statement to drain and is given up: the transaction is over for
   its holder, so what he does next must not run in it. */
START_TEST(an_end_that_was_never_sent) {
    weir__fake.cancel_min_ns = weir__fake.cancel_max_ns = 50 * WEIR__MS;
    weir_session s = ready();
    weir_op op, next;
    begin(s);
    run_sql(s, "select 1");
    if (_i == 1) {
        begin(s);
        run_sql(s, "select 2");
    }
    op = submit(s, "hang", 5);
    rig_advance(7);
    ck_assert_int_eq(outcome(op, NULL), WEIR_ECOMMANDTIMEOUT);
    ck_assert_int_eq(weir_session_commit(s, _i == 1 ? 2 : 1, NULL, &op, NULL), WEIR_PENDING);
    ck_assert_int_eq(weir_reactor_cancel(rig.reactor, op), WEIR_OK);
    transcript();
    if (_i == 2) begin(s);
    next = submit(s, "select 3", -1);
    rig_advance(60);
    ck_assert_int_eq(outcome(next, NULL), WEIR_OK);
    static const char *const sent[] = {
        "ROLLBACK; select 3\n",
        "ROLLBACK TO SAVEPOINT weir_11; RELEASE SAVEPOINT weir_11; select 3\n",
        "ROLLBACK; BEGIN; select 3\n",
    };
    ck_assert_str_eq(transcript(), sent[_i]);
    ck_assert_int_eq(info_of(s).in_transaction, _i > 0);
    if (_i) ck_assert_int_eq(end(s, true, 1), WEIR_OK);
    ck_assert_int_eq(weir__fake.commits, _i > 0);
}
END_TEST

/* The end that is owed goes with a statement, whose own transaction's end is not sent, either. */
START_TEST(two_ends_that_were_never_sent) {
    weir__fake.cancel_min_ns = weir__fake.cancel_max_ns = 50 * WEIR__MS;
    rig_ready(&options);
    weir_checkout checkout = in_transaction(NULL, false);
    weir_session s = lend_as(&checkout);
    for (int i = 0; i < 2; i++) {
        weir_op op = submit(s, "hang", -1), end;
        rig_advance(1);
        ck_assert_int_eq(weir_reactor_cancel(rig.reactor, op), WEIR_OK);
        ck_assert_int_eq(weir_session_rollback(s, 1, NULL, &end, NULL), WEIR_PENDING);
        ck_assert_int_eq(weir_reactor_cancel(rig.reactor, end), WEIR_OK);
        rig_advance(60);
    }
    transcript();
    ck_assert_int_eq(run_sql(s, "select 1"), WEIR_OK);
    ck_assert_str_eq(transcript(), "ROLLBACK; BEGIN; select 1\n");
    ck_assert_int_eq(end(s, true, 1), WEIR_OK);
}
END_TEST

START_TEST(an_end_that_waits_too_long) {
    weir__fake.cancel_min_ns = weir__fake.cancel_max_ns = 500 * WEIR__MS;
    options.command_timeout_ms = 20;
    weir_session s = ready();
    weir_op op;
    begin(s);
    op = submit(s, "hang", 5);
    rig_advance(7);
    ck_assert_int_eq(weir_session_rollback(s, 1, NULL, &op, NULL), WEIR_PENDING);
    rig_advance(22);
    ck_assert_int_eq(outcome(op, NULL), WEIR_ECOMMANDTIMEOUT);
    transcript();
    op = submit(s, "select 1", -1);
    rig_advance(600);
    ck_assert_int_eq(outcome(op, NULL), WEIR_OK);
    ck_assert_str_eq(transcript(), "ROLLBACK; select 1\n");
}
END_TEST

int main(void) {
    const TTest *const tests[] = {a_transaction_begins_with_its_first_statement,
                                  nothing_sent_nothing_to_end,
                                  savepoints,
                                  the_innermost_one_ends_first,
                                  how_a_transaction_begins,
                                  a_pool_that_only_reads,
                                  a_session_that_is_a_transaction,
                                  commit_is_answered_by_rollback,
                                  a_transaction_broken_off,
                                  the_outcome_of_a_commit_is_unknown,
                                  two_ends_that_were_never_sent,
                                  an_end_that_waits_too_long};
    Suite *suite = suite_create("transaction");
    TCase *tc = tcase_create("transaction");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, set_up, tear_down);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) tcase_add_test(tc, tests[i]);
    tcase_add_loop_test(tc, a_cancelled_commit_finishes, 0, 2);
    tcase_add_loop_test(tc, an_end_that_was_never_sent, 0, 3);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}

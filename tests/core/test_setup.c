/* How long a loan may last: its setup, the call that it is for; and who is told of its end. */
#include <check.h>

#include "base/alloc.h"
#include "support_pool.h"
#include "support_suite.h"

static weir_options options;
static weir_checkout checkout;
static weir_error error;

static void set_up(void) {
    rig_start(11);
    options = rig_options();
    options.min_size = 1;
    options.max_size = 1;
    error = (weir_error)WEIR_ERROR_INIT;
    weir_checkout_init(&checkout);
    checkout.setup = true;
    checkout.checkout_timeout_ms = 100;
    rig_ready(&options);
}
static void tear_down(void) {
    weir_error_clear(&error);
    rig_done();
}

/* ---- setup ---- */

START_TEST(a_setup_is_part_of_the_checkout) {
    weir_session s = lend_as(&checkout);
    weir_op op = submit(s, "hang", -1);
    rig_advance(99);
    ck_assert_int_eq(outcome(op, NULL), WEIR_PENDING);
    rig_advance(2);
    ck_assert_int_eq(outcome(op, NULL), WEIR_ECHECKOUTTIMEOUT);
    FAILS(WEIR_ECHECKOUTTIMEOUT, weir_session_ready(s, error));
    ck_assert_int_eq(weir_session_release(s), WEIR_ECHECKOUTTIMEOUT);
    rig_advance(10);
    ck_assert_int_eq(weir__fake.stopped, 1); /* half set up, it is nobody's any more */
    ck_assert_int_eq(in_state(WEIR__IDLE), 1);
}
END_TEST

START_TEST(a_setups_commit_that_is_late) {
    weir_session s = lend_as(&checkout);
    int depth;
    weir_op op = 0;
    ck_assert_int_eq(weir_session_begin(s, NULL, &depth, NULL), WEIR_OK);
    ck_assert_int_eq(outcome(submit(s, "insert", -1), NULL), WEIR_OK);
    weir__fake_next_run(WEIR__FAKE_HANG, NULL, 0);
    ck_assert_int_eq(weir_session_commit(s, depth, NULL, &op, NULL), WEIR_PENDING);
    rig_advance(101);
    ck_assert_int_eq(outcome(op, NULL), WEIR_EOUTCOMETIMEOUT);
    ck_assert_int_eq(weir_session_release(s), WEIR_ECHECKOUTTIMEOUT);
}
END_TEST

START_TEST(a_setup_that_has_ended) {
    checkout.session_timeout_ms = 300;
    weir_session s = lend_as(&checkout);
    rig_advance(99);
    ck_assert_int_eq(weir_session_ready(s, &error), WEIR_OK);
    ck_assert_int_eq(weir_session_ready(s, &error), WEIR_OK);
    rig_advance(199);
    ck_assert_int_eq(weir_session_release(s), WEIR_OK);
    s = lend_as(&checkout);
    ck_assert_int_eq(weir_session_ready(s, &error), WEIR_OK);
    rig_advance(301); /* the session's time counts from the grant on */
    FAILS(WEIR_ESESSIONTIMEOUT, weir_session_ready(s, error));
    ck_assert_int_eq(weir__fake.stopped, 0);
    checkout.session_timeout_ms = -1;
    s = lend_as(&checkout);
    ck_assert_int_eq(weir_session_ready(s, &error), WEIR_OK);
    rig_advance(100000);
    ck_assert_int_eq(run_sql(s, "select 1"), WEIR_OK);
}
END_TEST

START_TEST(a_session_that_ends_before_its_setup) {
    checkout.session_timeout_ms = 50;
    weir_session s = lend_as(&checkout);
    rig_advance(51);
    FAILS(WEIR_ESESSIONTIMEOUT, weir_session_ready(s, error));
    ck_assert_int_eq(weir__fake.stopped, 1);
    rig_advance(10);
    checkout.session_timeout_ms = -1;
    s = lend_as(&checkout);
    ck_assert_int_eq(weir_session_limit(s, 60, &error),
                     WEIR_OK); /* a limit of the holder's leaves the setup's */
    ck_assert_int_eq(weir_session_limit(s, -1, &error), WEIR_OK);
    rig_advance(101);
    FAILS(WEIR_ECHECKOUTTIMEOUT, weir_session_ready(s, error));
}
END_TEST

START_TEST(a_setup_has_what_the_wait_has_left) {
    weir_session s = lend();
    weir_op op = queue_as(&checkout);
    rig_advance(60);
    weir_session_release(s);
    rig_advance(1);
    ck_assert_int_eq(outcome(op, &s), WEIR_OK);
    rig_advance(38);
    ck_assert_int_eq(run_sql(s, "select 1"), WEIR_OK);
    rig_advance(2);
    FAILS(WEIR_ECHECKOUTTIMEOUT, weir_session_ready(s, error));
    rig_advance(10);
    s = lend(); /* the next loan has no such limit */
    rig_advance(1000);
    ck_assert_int_eq(weir_session_ready(s, &error), WEIR_OK);
    ck_assert_int_eq(run_sql(s, "select 1"), WEIR_OK);
}
END_TEST

/* A host that waits for nothing while it sets up does not drive the reactor, either. */
START_TEST(a_setup_that_nobody_has_looked_at) {
    weir_session s = lend_as(&checkout);
    rig.clock.now += 101 * WEIR__MS;
    ck_assert_int_eq(weir_session_ready(s, &error), WEIR_ECHECKOUTTIMEOUT);
    rig_advance(10);
    checkout.session_timeout_ms = 50;
    s = lend_as(&checkout);
    rig.clock.now += 51 * WEIR__MS;
    FAILS(WEIR_ESESSIONTIMEOUT, weir_session_ready(s, error));
}
END_TEST

/* ---- calls ---- */

START_TEST(a_call_has_one_time_for_all) {
    checkout.call = true;
    checkout.session_timeout_ms = 100;
    checkout.checkout_timeout_ms = 5;
    weir_session s = lend();
    weir_op op = queue_as(&checkout), late = queue_as(&checkout);
    rig_advance(40);
    weir_session_release(s);
    rig_advance(1);
    ck_assert_int_eq(outcome(op, &s), WEIR_OK);
    rig_advance(20);
    ck_assert_int_eq(weir_session_ready(s, &error), WEIR_OK);
    op = submit(s, "hang", 100);
    rig_advance(38);
    ck_assert_int_eq(outcome(op, NULL), WEIR_PENDING);
    rig_advance(2);
    ck_assert_int_eq(outcome(op, NULL), WEIR_ECOMMANDTIMEOUT);
    ck_assert_int_eq(outcome(late, NULL), WEIR_ECHECKOUTTIMEOUT);
    FAILS(WEIR_ECOMMANDTIMEOUT, weir_session_ready(s, error));
    ck_assert_int_eq(weir__fake.stopped, 0);
    rig_advance(10);
    s = lend_as(&checkout);
    rig_advance(101);
    FAILS(WEIR_ECOMMANDTIMEOUT, weir_session_ready(s, error)); /* its setup has no time of its own */
    ck_assert_int_eq(weir__fake.stopped, 1);
}
END_TEST

START_TEST(a_call_without_a_time) {
    checkout.call = true;
    weir_session s = lend_as(&checkout);
    rig_advance(101);
    FAILS(WEIR_ECHECKOUTTIMEOUT, weir_session_ready(s, error)); /* the usual one bounds its setup */
    rig_advance(10);
    s = lend_as(&checkout);
    ck_assert_int_eq(weir_session_ready(s, &error), WEIR_OK);
    rig_advance(1000);
    weir_session_release(s);
    checkout.session_timeout_ms = -1;
    s = lend_as(&checkout);
    weir_op op = queue_as(&checkout);
    rig_advance(100000);
    ck_assert_int_eq(weir_session_ready(s, &error), WEIR_OK);
    weir_session_release(s);
    rig_advance(1);
    ck_assert_int_eq(outcome(op, &s), WEIR_OK);
}
END_TEST

/* ---- watching ---- */

static weir_op watch(weir_session session) {
    weir_op op = 0;
    ck_assert_int_eq(weir_session_watch(session, NULL, &op, &error), WEIR_PENDING);
    return op;
}

START_TEST(the_end_of_a_loan_is_told) {
    weir_session s = lend();
    weir_op op = watch(s);
    ck_assert_int_eq(run_sql(s, "select 1"), WEIR_OK);
    ck_assert_int_eq(outcome(op, NULL), WEIR_PENDING);
    weir_session_release(s);
    ck_assert_int_eq(outcome(op, NULL), WEIR_OK);
    s = lend_as(&checkout);
    op = watch(s);
    rig_advance(101);
    ck_assert_int_eq(outcome(op, NULL), WEIR_ECHECKOUTTIMEOUT);
    rig_advance(10);
    s = lend();
    op = watch(s);
    ck_assert(weir__fake_kill(slot_of(s)->conn));
    rig_advance(3);
    ck_assert_int_eq(outcome(op, NULL), WEIR_ELOST);
    rig_advance(100);
    s = lend();
    op = watch(s);
    weir_op closing;
    ck_assert_int_eq(weir_pool_close(rig.pool, 0, NULL, &closing, &error), WEIR_PENDING);
    ck_assert_int_eq(outcome(op, NULL), WEIR_ECLOSED);
    rig_advance(10);
    ck_assert_int_eq(outcome(closing, NULL), WEIR_OK);
}
END_TEST

START_TEST(one_watches_at_a_time) {
    weir_session s = lend();
    weir_op op = watch(s), other;
    FAILS(WEIR_EBUSY, weir_session_watch(s, NULL, &other, error));
    ck_assert_int_eq(weir_reactor_cancel(rig.reactor, op), WEIR_OK);
    op = watch(s);
    weir_session_release(s);
    ck_assert_int_eq(outcome(op, NULL), WEIR_OK);
    FAILS(WEIR_ESTALE, weir_session_watch(s, NULL, &other, error));
    FAILS(WEIR_ESTALE, weir_session_ready(s, error));
    FAILS(WEIR_EINVAL, weir_session_ready((weir_session){0}, error));
    FAILS(WEIR_EINVAL, weir_session_watch(s, NULL, NULL, error));
}
END_TEST

START_TEST(watching_without_memory) {
    weir_session s = lend();
    weir_op op = 0;
    int code = WEIR_PENDING;
    while (code == WEIR_PENDING) { /* operations are made by the block */
        weir__alloc_fail_at(1, true);
        code = weir_reactor_sleep(rig.reactor, 1, NULL, &op, NULL);
        weir__alloc_fail_at(0, false);
    }
    weir__alloc_fail_at(1, true);
    code = weir_session_watch(s, NULL, &op, NULL);
    weir__alloc_fail_at(0, false);
    ck_assert_int_eq(code, WEIR_ENOMEM);
    op = watch(s);
    weir_session_release(s);
    ck_assert_int_eq(outcome(op, NULL), WEIR_OK);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {a_setup_is_part_of_the_checkout,
                                  a_setups_commit_that_is_late,
                                  a_setup_that_has_ended,
                                  a_session_that_ends_before_its_setup,
                                  a_setup_has_what_the_wait_has_left,
                                  a_setup_that_nobody_has_looked_at,
                                  a_call_has_one_time_for_all,
                                  a_call_without_a_time,
                                  the_end_of_a_loan_is_told,
                                  one_watches_at_a_time,
                                  watching_without_memory};
    Suite *suite = suite_create("setup");
    TCase *tc = tcase_create("setup");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, set_up, tear_down);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) tcase_add_test(tc, tests[i]);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}

/* Connections that are held for too long, who holds them, and who waits though he holds one. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "support_pool.h"
#include "support_suite.h"

static weir_options options;
static weir_holder *holders;
static size_t count;

static void set_up(void) {
    rig_start(11);
    options = rig_options();
    options.min_size = 0;
    options.max_size = 2;
    options.leak_threshold_ms = 1000;
    options.idle_timeout_ms = options.max_lifetime_ms = -1;
    holders = NULL;
}
static void tear_down(void) {
    weir_holders_free(holders);
    rig_done();
}

static weir_checkout asking(const char *function, int line) {
    weir_checkout checkout;
    weir_checkout_init(&checkout);
    checkout.file = "app.py";
    checkout.function = function;
    checkout.line = line;
    return checkout;
}

static weir_session granted(const weir_checkout *checkout) {
    weir_session session = {0};
    weir_op op = 0;
    int code = weir_pool_acquire(rig.pool, checkout, NULL, &session, &op, NULL);
    if (code == WEIR_PENDING) {
        rig_advance(1);
        code = outcome(op, &session);
    }
    ck_assert_int_eq(code, WEIR_OK);
    return session;
}

static void list(int64_t min_age_ms) {
    weir_holders_free(holders);
    ck_assert_int_eq(weir_pool_holders(rig.pool, min_age_ms, &holders, &count, NULL), WEIR_OK);
}

START_TEST(a_leak_is_reported_once) {
    weir_checkout at = asking("work", 12);
    at.stack = "work (app.py:12)\nmain (app.py:40)\n";
    rig_ready(&options);
    weir_session s = granted(&at);
    run_sql(s, "select secret");
    rig_advance(998);
    ck_assert_uint_eq(snapshot().leaks, 0);
    rig_advance(4);
    ck_assert_uint_eq(snapshot().leaks, 1);
    ck_assert(logged(
        "work (app.py:12) has held a connection for 1.0 s, longer than leak_threshold; its last statement: "
        "select secret; its stack follows"));
    ck_assert(logged("main (app.py:40)"));
    rig_advance(100000);
    ck_assert_uint_eq(snapshot().leaks, 1);
    ck_assert_uint_eq(snapshot().leaks_reclaimed, 0);
    ck_assert_int_eq(run_sql(s, "select 2"), WEIR_OK); /* reported, not taken */
    list(0);
    ck_assert_uint_eq(count, 1);
    ck_assert(holders[0].leaked && !holders[0].busy);
    ck_assert_str_eq(holders[0].statement, "select 2");
    ck_assert_str_eq(holders[0].stack, at.stack);
    weir_session_release(s);
    ck_assert(logged("the connection that work (app.py:12) held is free again, after 101."));
    list(0);
    ck_assert_uint_eq(count, 0);
    s = granted(&at); /* the next loan of that connection begins anew */
    rig_advance(1001);
    ck_assert_uint_eq(snapshot().leaks, 2);
    weir_session_release(s);
}
END_TEST

START_TEST(loans_of_different_ages) {
    weir_checkout first = asking("first", 1), second = asking("second", 2);
    rig_ready(&options);
    weir_session a = granted(&first);
    rig_advance(600);
    weir_session b = granted(&second);
    weir_op op = submit(b, "sleep 5000", -1);
    list(0);
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(holders[0].function, "first");
    ck_assert_str_eq(holders[1].function, "second");
    ck_assert_str_eq(holders[0].statement, "");
    ck_assert_str_eq(holders[0].stack, "");
    ck_assert_int_eq(holders[1].line, 2);
    ck_assert(holders[1].busy && !holders[0].busy);
    list(500);
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(holders[0].file, "app.py");
    ck_assert_int_ge(holders[0].age_ms, 600);
    for (int i = 0; i < 3; i++) {
        list((const int64_t[]){5000, INT64_C(10000000000000), INT64_MAX}[i]); /* nobody has for so long */
        ck_assert_uint_eq(count, 0);
    }
    rig_advance(401);
    ck_assert_uint_eq(snapshot().leaks, 1);
    ck_assert(logged(
        "first (app.py:1) has held a connection for 1.0 s, longer than leak_threshold; it has run nothing"));
    weir_session_release(a);
    rig_advance(600);
    ck_assert_uint_eq(snapshot().leaks, 2);
    ck_assert(logged("it runs: sleep 5000"));
    weir_reactor_cancel(rig.reactor, op);
    weir_session_release(b);
    FAILS(WEIR_EINVAL, weir_pool_holders(rig.pool, -1, &holders, &count, error));
    FAILS(WEIR_EINVAL, weir_pool_holders(NULL, 0, &holders, &count, error));
    FAILS(WEIR_EINVAL, weir_pool_holders(rig.pool, 0, NULL, &count, error));
}
END_TEST

/* _i: the action; it runs a statement meanwhile, or not */
static const char *const actions[] = {"cancel", "close", "replace"};
START_TEST(a_leak_is_taken_back) {
    weir_checkout at = asking("work", 12);
    const char *action = actions[_i / 2];
    bool runs = _i % 2;
    options.leak_action = action;
    rig_ready(&options);
    weir_session s = granted(&at);
    weir_op op = runs ? submit(s, "sleep 100000", -1) : 0;
    rig_advance(1010);
    ck_assert_uint_eq(snapshot().leaks_reclaimed, 1);
    ck_assert_uint_eq(snapshot().queries_failed, runs); /* his own doing it was not */
    ck_assert_double_eq_tol(snapshot().query_failed.sum, runs, 0.02);
    if (runs) ck_assert_int_eq(outcome(op, NULL), WEIR_ERECLAIMED);
    FAILS(WEIR_ERECLAIMED, weir_session_limit(s, 5, error));
    weir_error error = WEIR_ERROR_INIT;
    weir_session_limit(s, 5, &error);
    ck_assert_ptr_nonnull(strstr(error.message, "leak_threshold"));
    weir_error_clear(&error);
    rig_advance(6000);
    list(0);
    ck_assert_uint_eq(count, 0);
    ck_assert_uint_eq(snapshot().connections_closed, strcmp(action, "cancel") != 0);
    ck_assert_uint_eq(snapshot().connections_created, 1u + (strcmp(action, "replace") == 0));
    ck_assert_int_eq(in_state(WEIR__IDLE), strcmp(action, "close") != 0);
}
END_TEST

START_TEST(no_threshold_no_leak) {
    weir_checkout at = asking("work", 12);
    options.leak_threshold_ms = -1;
    rig_ready(&options);
    weir_session s = granted(&at);
    rig_advance(10000000);
    ck_assert_uint_eq(snapshot().leaks, 0);
    weir_session_release(s);
}
END_TEST

START_TEST(one_stack_in_so_many) {
    int wanted = 0;
    options.leak_stacks = 5;
    rig_ready(&options);
    for (int i = 0; i < 50; i++) wanted += weir_pool_wants_stack(rig.pool);
    ck_assert_int_eq(wanted, 10);
    ck_assert(!weir_pool_wants_stack(NULL));
}
END_TEST

START_TEST(a_stack_goes_with_its_waiter) {
    weir_checkout at = asking("waits", 3);
    at.stack = "waits (app.py:3)\n";
    options.max_size = 1;
    rig_ready(&options);
    weir_session first = granted(&at), second;
    weir_op op = queue_as(&at), dropped = queue_as(&at);
    weir_reactor_cancel(rig.reactor, dropped); /* his stack goes with him: rig_done counts the memory */
    weir_session_release(first);
    ck_assert_int_eq(outcome(op, &second), WEIR_OK);
    list(0);
    ck_assert_str_eq(holders[0].stack, at.stack);
    weir_session_release(second);
}
END_TEST

START_TEST(long_texts_end_at_a_character) {
    weir_checkout at = asking("work", 12);
    char text[400] = "echo ";
    for (size_t i = 5; i + 2 < sizeof text; i += 2) memcpy(text + i, "\xc3\xa4", 3);
    rig_ready(&options);
    weir_session s = granted(&at);
    run_sql(s, text);
    list(0);
    size_t length = strlen(holders[0].statement);
    ck_assert_uint_eq(length, 159); /* of 159 bytes: "echo " and 77 letters */
    ck_assert(memcmp(holders[0].statement, text, length) == 0);
    weir_session_release(s);
}
END_TEST

START_TEST(a_nested_checkout_is_named) {
    weir_checkout at = asking("outer", 7);
    weir_error *why = NULL;
    at.owner = 42;
    options.max_size = 1;
    options.checkout_timeout_ms = 500;
    rig_ready(&options);
    weir_session s = granted(&at);
    weir_op op = queue_as(&at);
    ck_assert_uint_eq(snapshot().checkouts_nested, 1);
    ck_assert(logged("outer (app.py:7) holds a connection and waits for another one"));
    rig_advance(501);
    weir_completion out;
    ck_assert_int_eq(weir_reactor_wait(rig.reactor, op, 0, &out), WEIR_OK);
    why = out.error;
    ck_assert_int_eq(why->code, WEIR_ECHECKOUTTIMEOUT);
    ck_assert_ptr_nonnull(
        strstr(why->message, "the caller itself holds one, checked out by outer (app.py:7)"));
    weir_completion_discard(&out);
    weir_checkout stranger = asking("other", 8);
    stranger.owner = 43;
    op = queue_as(&stranger);
    ck_assert_uint_eq(snapshot().checkouts_nested, 1);
    rig_advance(501);
    ck_assert_int_eq(weir_reactor_wait(rig.reactor, op, 0, &out), WEIR_OK);
    ck_assert_ptr_null(strstr(out.error->message, "itself"));
    weir_completion_discard(&out);
    weir_session_release(s);
}
END_TEST

START_TEST(an_idle_transaction_is_rolled_back) {
    weir_checkout at = asking("work", 12);
    options.idle_in_transaction_timeout_ms = 200;
    rig_ready(&options);
    weir_session plain = granted(&at);
    run_sql(plain, "select 1"); /* in autocommit nothing is idle */
    at.transaction = true;
    weir_session s = granted(&at);
    rig_advance(300); /* nothing has been sent as yet */
    run_sql(s, "select 1");
    rig_advance(150);
    run_sql(s, "select 2");
    weir_op op = submit(s, "sleep 500", -1);
    rig_advance(450);
    ck_assert_uint_eq(snapshot().transactions_idle, 0);
    rig_advance(60);
    ck_assert_int_eq(outcome(op, NULL), WEIR_OK);
    rig_advance(210);
    ck_assert_uint_eq(snapshot().transactions_idle, 1);
    ck_assert(logged("the transaction of work (app.py:12) was idle for 20"));
    FAILS(WEIR_EIDLE, weir_session_limit(s, 5, error));
    rig_advance(10);
    ck_assert_int_eq(weir__fake.resets, 1); /* which ends the transaction */
    ck_assert_int_eq(in_state(WEIR__IDLE), 1);
    ck_assert_int_eq(run_sql(plain, "select 3"), WEIR_OK);
    weir_session_release(plain);
}
END_TEST

/* Nobody drives the reactor of a blocking pool between two calls: what fell due meanwhile comes before the
 * second. */
START_TEST(what_is_overdue_comes_first) {
    weir_checkout at = asking("work", 12);
    weir_op op = 0;
    weir_error error = WEIR_ERROR_INIT;
    options.idle_in_transaction_timeout_ms = 200;
    options.leak_threshold_ms = 5000;
    rig_ready(&options);
    at.transaction = true;
    weir_session s = granted(&at);
    run_sql(s, "select 1");
    rig.clock.now += 300 * WEIR__MS;
    weir_statement *late = weir_statement_new("late", 4, NULL);
    ck_assert_int_eq(weir_session_execute(s, late, NULL, NULL, &op, &error), WEIR_EIDLE);
    weir_statement_unref(late);
    ck_assert_uint_eq(snapshot().transactions_idle, 1);
    s = granted(&at);
    run_sql(s, "select 1");
    rig.clock.now += 300 * WEIR__MS;
    weir_error_clear(&error);
    ck_assert_int_eq(weir_session_commit(s, 1, NULL, &op, &error), WEIR_EIDLE);
    weir_error_clear(&error);
    at.transaction = false;
    s = granted(&at);
    rig.clock.now += 6000 * WEIR__MS;
    weir_session_release(s);
    ck_assert_uint_eq(snapshot().leaks, 1); /* though it has come back */
    ck_assert(logged("work (app.py:12) has held a connection for 6.0 s"));
}
END_TEST

START_TEST(a_write_that_is_taken_back_is_in_doubt) {
    weir_checkout at = asking("work", 12);
    options.leak_action = "cancel";
    rig_ready(&options);
    weir_session s = granted(&at);
    weir_op op = submit(s, "sleep 100000 write", -1);
    rig_advance(1010);
    ck_assert_int_eq(outcome(op, NULL), WEIR_EOUTCOME);
    rig_advance(6000);
    s = granted(&at);
    op = submit(s, "sleep 100000 write", -1);
    weir_session_release(s);
    ck_assert_int_eq(outcome(op, NULL), WEIR_EOUTCOME);
    rig_advance(6000);
    s = granted(&at);
    op = submit(s, "sleep 100000 write", -1);
    weir_op close = 0;
    ck_assert_int_eq(weir_pool_close(rig.pool, 0, NULL, &close, NULL), WEIR_PENDING);
    ck_assert_int_eq(outcome(op, NULL), WEIR_EOUTCOME);
    rig_advance(10000);
    ck_assert_int_eq(outcome(close, NULL), WEIR_OK);
}
END_TEST

START_TEST(closing_still_looks) {
    weir_checkout at = asking("work", 12);
    weir_op close = 0;
    options.idle_in_transaction_timeout_ms = 200;
    rig_ready(&options);
    at.transaction = true;
    weir_session s = granted(&at);
    run_sql(s, "select 1");
    ck_assert_int_eq(weir_pool_close(rig.pool, -1, NULL, &close, NULL), WEIR_PENDING);
    rig_advance(100);
    ck_assert_int_eq(outcome(close, NULL), WEIR_PENDING);
    rig_advance(200);
    ck_assert_int_eq(outcome(close, NULL), WEIR_OK);
    FAILS(WEIR_EIDLE, weir_session_limit(s, 5, error));
}
END_TEST

START_TEST(a_setup_that_is_taken_back_closes_its_connection) {
    weir_checkout at = asking("work", 12);
    at.setup = true;
    at.checkout_timeout_ms = 60000;
    options.leak_action = "cancel";
    rig_ready(&options);
    granted(&at);
    rig_advance(1010);
    ck_assert_uint_eq(snapshot().leaks_reclaimed, 1);
    ck_assert_uint_eq(snapshot().connections_closed, 1);
}
END_TEST

/* The host is away: an init that it has not heard of is not late, and one whose connection is gone is not
 * told. */
START_TEST(an_init_waits_for_its_host) {
    weir_completion event;
    options.init_hook = true;
    options.min_size = 1;
    options.connect_timeout_ms = 1000;
    ck_assert_int_eq(rig_open(&options, 1, NULL, NULL), WEIR_PENDING);
    rig_advance(60000);
    ck_assert_uint_eq(snapshot().connections_started, 1);
    ck_assert_uint_eq(snapshot().connections_failed, 0);
    ck_assert(weir__fake_kill(weir__fake_conn_at(0)));
    rig_advance(20000);
    ck_assert_uint_eq(snapshot().connections_started, 2);
    ck_assert(weir_reactor_next(rig.reactor, &event));
    ck_assert_int_eq(event.kind, WEIR_EVENT_INIT);
    weir_session_info info;
    ck_assert_int_eq(weir_session_inspect(event.session, &info, NULL), WEIR_OK); /* the living one's */
    weir_session_release(event.session);
    ck_assert(!weir_reactor_next(rig.reactor, &event));
}
END_TEST

START_TEST(a_list_without_memory) {
    weir_checkout at = asking("work", 12);
    rig_ready(&options);
    weir_session s = granted(&at);
    weir_error error = WEIR_ERROR_INIT;
    weir__alloc_fail_at(1, true);
    int code = weir_pool_holders(rig.pool, 0, &holders, &count, &error);
    weir__alloc_fail_at(0, false);
    ck_assert_int_eq(code, WEIR_ENOMEM);
    ck_assert_ptr_null(holders);
    weir_error_clear(&error);
    weir_session_release(s);
    at.stack = "lost\n";
    weir__alloc_fail_at(1, true); /* a stack that cannot be kept is none; the checkout goes on */
    weir_op op;
    code = weir_pool_acquire(rig.pool, &at, NULL, &s, &op, NULL);
    weir__alloc_fail_at(0, false);
    ck_assert_int_eq(code, WEIR_OK);
    list(0);
    ck_assert_str_eq(holders[0].stack, "");
    weir_session_release(s);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {a_leak_is_reported_once,
                                  loans_of_different_ages,
                                  no_threshold_no_leak,
                                  one_stack_in_so_many,
                                  a_stack_goes_with_its_waiter,
                                  long_texts_end_at_a_character,
                                  a_nested_checkout_is_named,
                                  what_is_overdue_comes_first,
                                  a_write_that_is_taken_back_is_in_doubt,
                                  closing_still_looks,
                                  a_setup_that_is_taken_back_closes_its_connection,
                                  an_init_waits_for_its_host,
                                  an_idle_transaction_is_rolled_back,
                                  a_list_without_memory};
    Suite *suite = suite_create("leak");
    TCase *tc = tcase_create("leak");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, set_up, tear_down);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) tcase_add_test(tc, tests[i]);
    tcase_add_loop_test(tc, a_leak_is_taken_back, 0, 6);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}

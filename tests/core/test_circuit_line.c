/* The pool's circuit breakers and those who stand in line, on the fake driver and the fake clock. */
#include <check.h>

#include "support_circuit.h"
#include "support_pool.h"
#include "support_suite.h"

static weir_options options;

static void set_up(void) {
    options = circuit_start();
    options.min_size = options.max_size = 1;
    options.circuit.failure_threshold = 1;
    options.circuit.recovery_timeout_ms = 5000;
    options.circuit.recovery_jitter = 0;
}
static void tear_down(void) { rig_done(); }

static weir__breaker *machine(void) { return weir__guard_of(rig.pool, WEIR_BREAKER_QUERIES); }

/* One failure is enough. */
static void open_by(weir_session session) {
    ck_assert_int_eq(run_sql(session, "fail 08006"), WEIR_ESERVER);
    ck_assert_int_eq(query_state(), WEIR_BREAKER_OPEN);
}

/* Who is to wait for a probe alone, but is let in before it has an end, waits on as anybody does. */
START_TEST(patience_ends_with_the_refusals) {
    rig_ready(&options);
    weir_session held = lend(), session;
    open_by(held);
    rig.clock.now = machine()->until_ns - 100 * WEIR__MS; /* nobody has driven the reactor since */
    weir_op op = queue();
    rig_advance(300);
    ck_assert_int_eq(query_state(), WEIR_BREAKER_HALF_OPEN);
    ck_assert_int_eq(outcome(op, NULL), WEIR_PENDING);
    weir_session_release(held);
    ck_assert_int_eq(outcome(op, &session), WEIR_OK);
    ck_assert_uint_eq(snapshot().checkouts_timed_out, 0);
}
END_TEST

/* … until his own time is over. */
START_TEST(patience_is_no_longer_than_the_wait) {
    rig_ready(&options);
    weir_checkout checkout;
    weir_checkout_init(&checkout);
    checkout.checkout_timeout_ms = 400;
    weir_session held = lend();
    open_by(held);
    rig.clock.now = machine()->until_ns - 100 * WEIR__MS;
    weir_op op = queue_as(&checkout);
    rig_advance(390);
    ck_assert_int_eq(outcome(op, NULL), WEIR_PENDING);
    rig_advance(20);
    ck_assert_int_eq(outcome(op, NULL), WEIR_ECHECKOUTTIMEOUT);
    ck_assert_uint_eq(snapshot().checkouts_timed_out, 1);
}
END_TEST

/* A deadline that went by in line, in a pool that is busy, is not the server's. */
START_TEST(a_busy_pool_is_no_outage) {
    rig_ready(&options);
    weir_session held = lend();
    weir_op waits = submit_to_pool("select 1", 50), runs = submit_to_pool("sleep 100", 100);
    rig_advance(90);
    ck_assert_int_eq(outcome(waits, NULL), WEIR_ECHECKOUTTIMEOUT);
    weir_session_release(held);
    rig_advance(20);
    ck_assert_int_eq(outcome(runs, NULL), WEIR_ECOMMANDTIMEOUT);
    ck_assert_uint_eq(machine()->totals.opened, 0);
    runs = submit_to_pool("sleep 200", 100); /* it waits for what is drained, but not for long */
    rig_advance(110);
    ck_assert_int_eq(outcome(runs, NULL), WEIR_ECOMMANDTIMEOUT);
    ck_assert_uint_eq(machine()->totals.opened, 1);
}
END_TEST

/* … nor is that of a call which is a loan. */
START_TEST(a_busy_pool_is_no_outage_to_loans) {
    rig_ready(&options);
    weir_checkout checkout;
    weir_checkout_init(&checkout);
    checkout.call = true;
    checkout.session_timeout_ms = 100;
    weir_session held = lend(), session;
    weir_op op = queue_as(&checkout);
    rig_advance(90);
    weir_session_release(held);
    ck_assert_int_eq(outcome(op, &session), WEIR_OK);
    op = submit(session, "sleep 100", -1);
    rig_advance(20);
    ck_assert_int_eq(outcome(op, NULL), WEIR_ECOMMANDTIMEOUT);
    weir_session_release(session);
    ck_assert_uint_eq(machine()->totals.opened, 0);
}
END_TEST

/* Half-open, a call that ends without saying anything gives its place to the next in line, at once. */
START_TEST(a_place_that_comes_free_is_given) {
    options.min_size = options.max_size = 2;
    options.circuit.ignore = "CommandTimeout";
    rig_ready(&options);
    weir_session one = lend(), other = lend(), session;
    open_by(one);
    rig_advance(5100);
    ck_assert_int_eq(query_state(), WEIR_BREAKER_HALF_OPEN);
    weir_op first = queue(), second = queue();
    weir_session_release(one);
    ck_assert_int_eq(outcome(first, &session), WEIR_OK);
    weir_session_release(other);
    ck_assert_int_eq(outcome(second, NULL), WEIR_PENDING);
    weir__fake.cancel_ignored_permille = 1000;
    weir_op op = submit(session, "hang", 50);
    rig_advance(52);
    ck_assert_int_eq(outcome(op, NULL), WEIR_ECOMMANDTIMEOUT);
    ck_assert_int_eq(outcome(second, NULL), WEIR_OK);
}
END_TEST

/* circuit_ignore is heard for those who waited for a connection in vain, too. */
START_TEST(impatience_may_be_ignored) {
    options.min_size = 0;
    options.max_size = 2;
    options.circuit.ignore = _i ? "CheckoutTimeout" : NULL;
    rig_ready(&options);
    for (int i = 0; i < 8; i++) weir__fake_next_connect(WEIR__FAKE_HANG, 0);
    weir_op op = submit_to_pool("select 1", 300);
    rig_advance(302);
    ck_assert_int_eq(outcome(op, NULL), WEIR_ECHECKOUTTIMEOUT);
    ck_assert_int_eq(snapshot().circuit_connect, _i ? WEIR_BREAKER_CLOSED : WEIR_BREAKER_OPEN);
}
END_TEST

/* The places of max_overflow are for probes, too, although nobody is in line; and not for longer. */
START_TEST(a_probe_may_go_over_the_size) {
    options.max_overflow = 1;
    rig_ready(&options);
    weir_session held = lend();
    weir__fake_next_connect(WEIR__FAKE_OK, 20 * WEIR__MS);
    open_by(held);
    rig_advance(260);
    ck_assert_int_eq(query_state(), WEIR_BREAKER_HALF_OPEN);
    ck_assert_int_eq(in_state(WEIR__IDLE), 1);
    weir_session session = lend();
    ck_assert_int_eq(run_sql(session, "select 1"), WEIR_OK);
    weir_session_release(session);
    rig_advance(5);
    ck_assert_int_eq(weir__pool_total(rig.pool), 1);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("circuit_line");
    TCase *tc = tcase_create("circuit_line");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, patience_ends_with_the_refusals);
    tcase_add_test(tc, patience_is_no_longer_than_the_wait);
    tcase_add_test(tc, a_busy_pool_is_no_outage);
    tcase_add_test(tc, a_busy_pool_is_no_outage_to_loans);
    tcase_add_test(tc, a_place_that_comes_free_is_given);
    tcase_add_test(tc, a_probe_may_go_over_the_size);
    tcase_add_loop_test(tc, impatience_may_be_ignored, 0, 2);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}

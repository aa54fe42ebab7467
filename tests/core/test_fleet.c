/*
 * A pool beneath the ceiling that the count of the pods sets: on the fake driver, which answers a statement
 * with its first parameter. The heartbeat's is the fleet's name, so here the name is the table's answer:
 * "pods share granted there backend".
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "fleet/fleet.h"
#include "pool/listener.h"
#include "support_pool.h"
#include "support_suite.h"

enum { REFRESH_MS = 1000, DEAD_MS = 3000 };

static weir_options options;
static char answer[40];

static void set_up(void) {
    rig_start(3);
    options = rig_options();
    options.min_size = options.max_size = 8;
    options.connection_budget = 20;
    options.pod_source = "database";
    options.pod_refresh_ms = REFRESH_MS;
    options.pod_dead_after_ms = DEAD_MS;
    options.fleet = answer;
    snprintf(answer, sizeof answer, "%-30s", "1 8 1 1 0");
}
static void tear_down(void) { rig_done(); }

/* As weir_pool_open, without a background thread. */
static int open_it(weir_error *error) {
    weir__fleet *fleet;
    weir__config *config = weir__config_new(&options, error);
    if (!config) return error->code;
    config->options.background_thread = false;
    int code = weir__fleet_new(config, 1, &fleet, error);
    if (code) {
        weir__config_free(config);
        return code;
    }
    code = weir__pool_open(rig.reactor, &weir__fake_driver, config, 1, NULL, &rig.pool, &rig.open, error);
    if (code > 0) {
        weir__fleet_free(fleet);
        return code;
    }
    ck_assert(weir__enter(rig.reactor));
    weir__fleet_start(fleet, rig.pool);
    weir__leave(rig.reactor);
    return code;
}

static void opened(void) {
    ck_assert_int_le(open_it(NULL), 0);
    rig_advance(1);
    ck_assert_ptr_null(rig_fault());
}

/* What the table answers from now on; the config has a copy of the name, of the same length. */
static void answers(const char *text) {
    snprintf(answer, sizeof answer, "%-30s", text);
    memcpy((char *)rig.pool->config->options.fleet, answer, 30);
}

static void looks(int count) {
    rig_advance(count * REFRESH_MS + 100);
    ck_assert_ptr_null(rig_fault());
}

static int held(void) { return weir__pool_total(rig.pool); }

START_TEST(begins_with_one_and_grows_when_it_may) {
    opened();
    ck_assert_int_eq(held(), 1); /* min_size or not */
    ck_assert_int_eq(outcome(rig.open, NULL), WEIR_OK);
    const char *sent = transcript();
    ck_assert_ptr_nonnull(strstr(sent, "BEGIN"));
    ck_assert_ptr_nonnull(strstr(sent, "pg_advisory_xact_lock"));
    ck_assert_ptr_nonnull(strstr(sent, "COMMIT"));
    looks(1);
    ck_assert_int_eq(held(), 1); /* the share is 8, but no more than 1 is granted */
    ck_assert_int_eq(snapshot().share, 1);
    answers("2 6 6 1 0");
    looks(3);
    ck_assert_int_eq(held(), 6);
    ck_assert_int_eq(snapshot().share, 6);
    ck_assert_int_eq(snapshot().pods, 2);
    ck_assert(logged("2 pods share the budget, and this one may have 6 connections (before: 1)"));
}
END_TEST

START_TEST(shrinks_at_once) {
    opened();
    answers("1 8 8 8 0");
    looks(3);
    weir_session sessions[5];
    for (int i = 0; i < 5; i++) sessions[i] = lend();
    answers("4 3 8 8 0");
    looks(1);
    ck_assert_int_eq(in_state(WEIR__IDLE), 0);
    ck_assert_int_eq(held(), 5); /* those that are lent stay … */
    weir_op waiter = queue();
    for (int i = 0; i < 3; i++) {
        weir_session_release(sessions[i]);
        rig_advance(1);
        ck_assert_ptr_null(rig_fault());
    }
    weir_session last;
    ck_assert_int_eq(outcome(waiter, &last), WEIR_OK);
    ck_assert_int_eq(held(), 3); /* … and close as they come back */
    weir_session_release(last);
    ck_assert_int_eq(held(), 3);
    answers("1 8 8 3 0");
    looks(1);
    ck_assert_int_eq(held(), 3); /* more has to last */
    looks(2);
    ck_assert_int_eq(held(), 8);
    weir_session_release(sessions[3]);
    weir_session_release(sessions[4]);
}
END_TEST

START_TEST(without_an_answer_only_a_first_one_is_opened) {
    opened();
    answers("1 8 8 8 0");
    looks(3);
    ck_assert_int_eq(held(), 8);
    weir__fake.error_permille = 1000;
    looks(2); /* two thirds of pod_dead_after */
    for (size_t i = 0; i < 8; i++) weir__fake_kill(weir__fake_conn_at(i));
    rig_advance(200);
    ck_assert_int_eq(held(), 1);
    weir__fake.error_permille = 0;
    looks(1);
    ck_assert_int_eq(held(), 8); /* what it had is still its own */
    ck_assert(logged("the pods cannot be counted"));
    ck_assert(logged("the pods can be counted again"));
}
END_TEST

START_TEST(makes_the_table_or_says_who_can) {
    weir__fake_next_run(WEIR__FAKE_OK, NULL, 0); /* the lock */
    weir__fake_next_run(WEIR__FAKE_FAIL, "42P01", 0);
    opened();
    ck_assert_ptr_nonnull(strstr(transcript(), "CREATE TABLE IF NOT EXISTS weirpool_pods"));
    looks(1);
    ck_assert_ptr_null(strstr(transcript(), "CREATE TABLE")); /* once */
    weir__fake_next_run(WEIR__FAKE_OK, NULL, 0);
    weir__fake_next_run(WEIR__FAKE_FAIL, "42P01", 0);
    looks(1);
    ck_assert_ptr_null(strstr(transcript(), "CREATE TABLE")); /* that would be another one */
    ck_assert(logged("the pods cannot be counted"));
    looks(1);
    weir__fake_next_run(WEIR__FAKE_FAIL, "42501", 0);
    looks(1);
    ck_assert(logged("grant SELECT, INSERT, UPDATE and DELETE on it: CREATE TABLE"));
}
END_TEST

START_TEST(without_a_place_it_waits_and_says_so) {
    snprintf(answer, sizeof answer, "%-30s", "20 1 0 0 0");
    opened();
    rig_advance(10);
    ck_assert_int_eq(held(), 0);
    ck_assert_int_eq(snapshot().share, 0);
    weir_checkout checkout;
    weir_checkout_init(&checkout);
    checkout.checkout_timeout_ms = 50;
    weir_op waiter = queue_as(&checkout);
    rig_advance(60);
    weir_completion done;
    ck_assert_int_eq(weir_reactor_wait(rig.reactor, waiter, 0, &done), WEIR_OK);
    ck_assert_int_eq(done.code, WEIR_ECHECKOUTTIMEOUT);
    ck_assert_ptr_nonnull(strstr(done.error->message, "all places of connection_budget are taken"));
    weir_error_free(done.error);
    answers("19 2 1 1 0");
    looks(1);
    ck_assert_int_eq(held(), 1);
}
END_TEST

/* max_waiting is for callers: what finds out whether there may be more connections gets in line all the same.
 */
START_TEST(looks_in_an_overload) {
    options.max_waiting = 2;
    opened();
    weir_session session = lend();
    weir_op waiters[2] = {queue(), queue()};
    answers("2 6 6 1 0");
    looks(1);
    ck_assert_uint_eq(snapshot().checkouts_refused, 0);
    for (int i = 0; i < 2; i++) { /* each time that the one comes back it is for a look first */
        weir_session_release(session);
        looks(1);
        ck_assert_int_eq(outcome(waiters[i], &session), WEIR_OK);
    }
    ck_assert_int_eq(held(), 6);
    ck_assert_uint_eq(snapshot().checkouts_refused, 0);
    weir_session_release(session);
}
END_TEST

START_TEST(says_that_it_leaves) {
    opened();
    answers("1 8 8 8 0");
    looks(3);
    transcript();
    weir_op op;
    ck_assert_int_eq(weir_pool_close(rig.pool, 1000, NULL, &op, NULL), WEIR_PENDING);
    rig_advance(10);
    ck_assert_ptr_nonnull(strstr(transcript(), "SET beat = '-infinity'"));
    ck_assert_int_eq(outcome(op, NULL), WEIR_OK);
    ck_assert_int_eq(held(), 0);
}
END_TEST

/* Who waits in a drain is served by what is there: the pod has said that it opens no more. */
START_TEST(opens_nothing_once_it_has_left) {
    opened();
    weir_session session = lend();
    weir_op waiter = queue(), op;
    weir_completion done;
    ck_assert_int_eq(weir_pool_drain(rig.pool, 1000, NULL, &op, NULL), WEIR_PENDING);
    ck_assert(weir__fake_kill(weir__fake_conn_at(0)));
    rig_advance(10);
    weir_session_release(session);
    rig_advance(500);
    ck_assert_ptr_null(rig_fault());
    ck_assert_int_eq(held(), 0);
    rig_advance(600);
    ck_assert_int_eq(weir_reactor_wait(rig.reactor, waiter, 0, &done), WEIR_OK);
    ck_assert_int_eq(done.code, WEIR_ECLOSED);
    weir_error_free(done.error);
    ck_assert_int_eq(outcome(op, NULL), WEIR_OK);
}
END_TEST

START_TEST(a_listener_counts) {
    const char *const channels[] = {"a"};
    weir_listener listener;
    opened();
    looks(1); /* granted: 1 */
    ck_assert_int_eq(weir_pool_listen(rig.pool, channels, 1, NULL, &listener, NULL), WEIR_OK);
    rig_advance(100);
    ck_assert_int_eq((int)weir__fake.live_count, 1); /* it waits */
    answers("1 8 4 1 0");
    looks(3);
    ck_assert_int_eq(held(), 3);
    ck_assert_int_eq((int)weir__fake.live_count, 4);
    ck_assert_int_eq(weir_listener_close(listener), WEIR_OK);
    looks(1);
    ck_assert_int_eq(held(), 4);
}
END_TEST

START_TEST(wants_what_it_needs) {
    weir_error error = WEIR_ERROR_INIT;
    options.readonly = true;
    ck_assert_int_eq(open_it(&error), WEIR_EOPTION);
    ck_assert_ptr_nonnull(strstr(error.message, "which the option readonly forbids"));
    options.readonly = false;
    options.url = "sqlite://";
    ck_assert_int_eq(open_it(&error), WEIR_EOPTION);
    ck_assert_ptr_nonnull(strstr(error.message, "needs PostgreSQL, and this is sqlite"));
    weir_error_clear(&error);
}
END_TEST

/* Each allocation of opening, and of the looks behind it, fails once: it is opened or not, and heals. */
START_TEST(goes_on_without_memory) {
    long k = 1;
    for (bool failed = true; failed; k++) {
        weir_error error = WEIR_ERROR_INIT;
        weir__alloc_fail_at(k, false);
        int code = open_it(&error);
        if (code <= 0) rig_advance(REFRESH_MS / 2);
        failed = weir__alloc_count() >= k;
        weir__alloc_fail_at(0, false);
        if (code > 0) ck_assert_int_eq(code, WEIR_ENOMEM);
        weir_error_clear(&error);
        if (code > 0) continue;
        answers("1 8 8 8 0");
        looks(4);
        ck_assert_msg(held() == 8, "allocation %ld: %d", k, held());
        ck_assert_ptr_null(rig_end());
        set_up();
    }
    ck_assert_int_gt(k, 30);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {begins_with_one_and_grows_when_it_may,
                                  shrinks_at_once,
                                  without_an_answer_only_a_first_one_is_opened,
                                  makes_the_table_or_says_who_can,
                                  without_a_place_it_waits_and_says_so,
                                  looks_in_an_overload,
                                  says_that_it_leaves,
                                  opens_nothing_once_it_has_left,
                                  a_listener_counts,
                                  wants_what_it_needs,
                                  goes_on_without_memory};
    Suite *suite = suite_create("fleet");
    TCase *tc = tcase_create("fleet");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, set_up, tear_down);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) tcase_add_test(tc, tests[i]);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}

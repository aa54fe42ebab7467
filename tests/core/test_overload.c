/* What becomes of a queue that stands (queue_target), and of the limit (adaptive_size), step by step. How
 * well the latter does is test_adaptive.c's matter. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "support_pool.h"
#include "support_suite.h"

enum { TARGET = 50, INTERVAL = 1000 };

static weir_options options;

static void set_up(void) {
    rig_start(3);
    options = rig_options();
    options.min_size = options.max_size = 1;
}

static void open_with_rule(void) {
    options.queue_target_ms = TARGET;
    rig_ready(&options);
}

static void give_back(weir_session session) { ck_assert_int_eq(weir_session_release(session), WEIR_OK); }

/* One caller after the other holds the connection for a time, and so many wait: until the rule holds, or not.
 */
static weir_session stand(weir_op *ops, int waiting, int64_t each_ms, int64_t ms) {
    weir_session session = lend();
    for (int i = 0; i < waiting; i++) ops[i] = queue();
    for (; ms > 0; ms -= each_ms) {
        rig_advance(each_ms);
        weir_op first = ops[0];
        memmove(ops, ops + 1, (size_t)(waiting - 1) * sizeof *ops);
        ops[waiting - 1] = queue();
        give_back(session);
        ck_assert_int_eq(outcome(first, &session), WEIR_OK);
    }
    return session;
}

static void end_all(weir_session session, weir_op *ops, int count) {
    for (int i = 0; i < count; i++) weir_reactor_cancel(rig.reactor, ops[i]);
    give_back(session);
}

/* ---- queue_target */

START_TEST(a_queue_that_moves_is_none_of_its_business) {
    weir_op ops[4];
    open_with_rule();
    weir_session s = stand(ops, 4, 10, 5000); /* each waits 40 ms */
    ck_assert_int_eq(snapshot().overloaded, 0);
    ck_assert_uint_eq(snapshot().checkouts_refused, 0);
    end_all(s, ops, 4);
}
END_TEST

START_TEST(without_the_rule_all_wait) {
    weir_op ops[10];
    rig_ready(&options);
    weir_session s = stand(ops, 10, 20, 5000);
    ck_assert_uint_eq(snapshot().checkouts_refused + snapshot().overloads, 0);
    end_all(s, ops, 10);
}
END_TEST

START_TEST(a_queue_that_stands_is_cut) {
    weir_op ops[10];
    open_with_rule();
    weir_session s = stand(ops, 10, 20, INTERVAL); /* each waits 200 ms; the first ones did not */
    ck_assert_int_eq(snapshot().overloaded, 0);
    rig_advance(100);
    ck_assert_int_eq(snapshot().overloaded, 1);
    ck_assert_uint_eq(snapshot().overloads, 1);
    ck_assert(logged("the newest is served first"));
    for (int i = 0; i < 8; i++) ck_assert_int_eq(outcome(ops[i], NULL), WEIR_EOVERLOADED);
    ck_assert_uint_eq(snapshot().checkouts_shed, snapshot().checkouts_refused);
    rig_advance(125); /* twice the target, and some for doing several at once */
    ck_assert_int_eq(outcome(ops[9], NULL), WEIR_EOVERLOADED);
    ck_assert_int_eq(snapshot().overloaded, 0); /* nobody waits */
    ck_assert(logged("nobody waits any more; 10 callers were refused"));
    give_back(s);
}
END_TEST

START_TEST(the_newest_is_served_first) {
    weir_op ops[10];
    open_with_rule();
    weir_session s = stand(ops, 10, 20, INTERVAL);
    while (!snapshot().overloaded) rig_advance(10);
    weir_op older = queue(), newer = queue();
    give_back(s);
    ck_assert_int_eq(outcome(newer, &s), WEIR_OK);
    ck_assert_int_eq(outcome(older, NULL), WEIR_PENDING);
    give_back(s);
    ck_assert_int_eq(outcome(older, &s), WEIR_OK);
    while (snapshot().waiting) rig_advance(10);
    older = queue();
    newer = queue();
    give_back(s);
    ck_assert_int_eq(outcome(older, &s), WEIR_OK); /* and again as they come */
    weir_reactor_cancel(rig.reactor, newer);
    give_back(s);
}
END_TEST

START_TEST(who_is_refused_is_told_why) {
    weir_completion c;
    weir_op ops[10];
    open_with_rule();
    weir_session s = stand(ops, 10, 20, INTERVAL);
    while (!snapshot().overloaded) rig_advance(10);
    ck_assert_int_eq(weir_reactor_wait(rig.reactor, ops[0], 0, &c), WEIR_OK);
    ck_assert_int_eq(c.error->code, WEIR_EOVERLOADED);
    ck_assert(c.error->retryable);
    ck_assert_int_eq(c.error->retry_after_ms, INTERVAL);
    ck_assert_ptr_nonnull(strstr(c.error->message, "queue_target (50 ms)"));
    ck_assert_ptr_nonnull(strstr(c.error->message, "raise max_size (1) if the database can do more"));
    ck_assert_str_eq(weir_error_class(WEIR_EOVERLOADED), "Overloaded");
    weir_completion_discard(&c);
    end_all(s, ops + 1, 9);
}
END_TEST

START_TEST(statements_that_share_wait_in_the_same_queue) {
    weir_op ops[2];
    open_with_rule();
    weir_session s = lend();
    for (int i = 0; i < 2; i++) ops[i] = submit_to_pool("select shared", -1);
    rig_advance(TARGET + INTERVAL + 20);
    ck_assert_int_eq(outcome(ops[0], NULL), WEIR_EOVERLOADED);
    ck_assert_int_eq(outcome(ops[1], NULL), WEIR_EOVERLOADED);
    give_back(s);
}
END_TEST

START_TEST(a_first_connection_is_waited_for) {
    options.min_size = 0;
    weir__fake.connect_min_ns = weir__fake.connect_max_ns = 5000 * WEIR__MS;
    open_with_rule();
    weir_op op = queue();
    rig_advance(4999);
    ck_assert_int_eq(outcome(op, NULL), WEIR_PENDING);
    rig_advance(2);
    weir_session s;
    ck_assert_int_eq(outcome(op, &s), WEIR_OK);
    give_back(s);
}
END_TEST

/* ---- adaptive_size */

static void open_adaptive(int min_size, int max_size) {
    options.adaptive_size = true;
    options.min_size = min_size;
    options.max_size = max_size;
    rig_ready(&options);
}

START_TEST(it_begins_with_few) {
    open_adaptive(0, 20);
    weir_op ops[8];
    weir_session sessions[8];
    for (int i = 0; i < 8; i++) ops[i] = queue();
    ck_assert_int_eq(in_state(WEIR__LENT), 5);
    ck_assert_int_eq(snapshot().limit, 5);
    rig_advance(30); /* their holders do nothing: that is no reason to let others wait */
    ck_assert_int_eq(in_state(WEIR__LENT), 8);
    for (int i = 0; i < 8; i++) ck_assert_int_eq(outcome(ops[i], &sessions[i]), WEIR_OK);
    for (int i = 0; i < 8; i++) give_back(sessions[i]);
}
END_TEST

START_TEST(it_keeps_its_bounds) {
    open_adaptive(0, 20);
    ck_assert_int_eq(snapshot().limit, 5);
    ck_assert_int_eq(weir_pool_resize(rig.pool, 0, 3, NULL), WEIR_OK);
    ck_assert_int_eq(snapshot().limit, 3);
    ck_assert_int_eq(weir_pool_resize(rig.pool, 7, 20, NULL), WEIR_OK);
    ck_assert_int_eq(snapshot().limit, 7);
}
END_TEST

/* Each holder runs a statement for so long; all the time. */
static void work(weir_session *sessions, int count, int each_ms, int times) {
    weir_op ops[16];
    char sql[32];
    snprintf(sql, sizeof sql, "sleep %d", each_ms);
    for (; times > 0; times--) {
        for (int i = 0; i < count; i++) ops[i] = submit(sessions[i], sql, -1);
        rig_advance(each_ms + 3);
        for (int i = 0; i < count; i++) ck_assert_int_eq(outcome(ops[i], NULL), WEIR_OK);
    }
}

START_TEST(what_waits_for_a_lock_does_not_count) {
    open_adaptive(0, 20);
    weir_session sessions[5], sixth;
    weir_op blocked[5];
    rig_advance(10);
    for (int i = 0; i < 5; i++) {
        weir_op op = queue();
        rig_advance(1);
        ck_assert_int_eq(outcome(op, &sessions[i]), WEIR_OK);
    }
    work(sessions, 5, 2, 5);
    for (int i = 0; i < 5; i++) blocked[i] = submit(sessions[i], "hang", -1);
    weir_op op = queue();
    rig_advance(15); /* all are at the server, as far as anybody can know */
    ck_assert_int_eq(outcome(op, &sixth), WEIR_PENDING);
    rig_advance(60);
    ck_assert_int_eq(outcome(op, &sixth), WEIR_OK);
    give_back(sixth);
    for (int i = 0; i < 5; i++) {
        weir_reactor_cancel(rig.reactor, blocked[i]);
        give_back(sessions[i]);
    }
}
END_TEST

/* However long the machine has been up: what has just been answered is the server's still. */
START_TEST(what_was_answered_just_now_counts) {
    if (_i) rig.clock.now = 864000000 * WEIR__MS;
    open_adaptive(1, 20);
    weir_session s = lend();
    work(&s, 1, 10, 2);
    ck_assert_int_eq(rig.pool->adapt.busy, 1);
    ck_assert_int_eq(rig.pool->adapt.others, 0);
    give_back(s);
}
END_TEST

START_TEST(a_shared_one_that_waits_for_a_lock_does_not_count) {
    open_adaptive(1, 20);
    weir_session s = lend();
    work(&s, 1, 10, 4);
    weir__fake_next_run(WEIR__FAKE_HANG, NULL, 0);
    weir_op blocked = submit_to_pool("sleep 10 shared", WEIR_TIMEOUT_DEFAULT);
    work(&s, 1, 10, 3);
    ck_assert_int_eq(rig.pool->adapt.busy, 2);
    work(&s, 1, 10, 10);
    ck_assert_int_eq(rig.pool->adapt.busy, 1);
    weir_reactor_cancel(rig.reactor, blocked);
    give_back(s);
}
END_TEST

/* The limit is looked at for who waits again, too: else nothing might happen. */
START_TEST(who_was_moved_on_waits_for_the_limit) {
    options.pipeline_max_wait_ms = 1000;
    open_adaptive(2, 2);
    weir__width_pin(rig.pool, 1);
    weir_op ops[2], blocked;
    weir_op first = submit_to_pool("sleep 10 shared", WEIR_TIMEOUT_DEFAULT);
    rig_advance(20);
    ck_assert_int_eq(outcome(first, NULL), WEIR_OK); /* it is known to be short */
    weir_session s = lend();
    weir__fake_next_run(WEIR__FAKE_HANG, NULL, 0);
    for (int i = 0; i < 2; i++) ops[i] = submit_to_pool("sleep 10 shared", WEIR_TIMEOUT_DEFAULT);
    blocked = submit(s, "hang", -1);
    ck_assert_int_eq(rig.pool->waiting, 0);
    for (int i = 0; i < 22; i++) rig_advance(50);
    ck_assert_int_eq(rig.pool->waiting, 1);
    ck_assert(weir__timer_running(&rig.pool->adapt.timer));
    weir_reactor_cancel(rig.reactor, blocked);
    for (int i = 0; i < 2; i++) weir_reactor_cancel(rig.reactor, ops[i]);
    give_back(s);
}
END_TEST

/* He had his turn before any of the others. */
START_TEST(who_was_moved_on_is_not_served_last) {
    options.pipeline_max_wait_ms = 1000;
    options.min_size = options.max_size = 2;
    open_with_rule();
    weir__width_pin(rig.pool, 1);
    weir_op ops[2], first = submit_to_pool("sleep 10 shared", WEIR_TIMEOUT_DEFAULT);
    rig_advance(20);
    ck_assert_int_eq(outcome(first, NULL), WEIR_OK);
    weir_session s = lend();
    weir__fake_next_run(WEIR__FAKE_HANG, NULL, 0);
    for (int i = 0; i < 2; i++) ops[i] = submit_to_pool("sleep 10 shared", WEIR_TIMEOUT_DEFAULT);
    for (int i = 0; i < 22; i++) rig_advance(50);
    ck_assert_int_eq(rig.pool->waiting, 1);
    rig.pool->codel.overloaded = true;
    weir_op newer = queue(), newest = submit_to_pool("sleep 10 shared", WEIR_TIMEOUT_DEFAULT);
    give_back(s);
    rig_advance(11);
    ck_assert_int_eq(outcome(ops[1], NULL), WEIR_OK);
    ck_assert_int_eq(outcome(newer, NULL), WEIR_PENDING);
    weir_reactor_cancel(rig.reactor, newest);
    weir_reactor_cancel(rig.reactor, newer);
    weir_reactor_cancel(rig.reactor, ops[0]);
}
END_TEST

START_TEST(what_comes_back_above_the_limit_closes_soon) {
    options.idle_timeout_ms = -1;
    open_adaptive(0, 20);
    weir_session sessions[3];
    weir_op ops[3];
    for (int i = 0; i < 3; i++) ops[i] = queue();
    rig_advance(10);
    for (int i = 0; i < 3; i++) ck_assert_int_eq(outcome(ops[i], &sessions[i]), WEIR_OK);
    ck_assert(weir__enter(rig.reactor));
    rig.pool->adapt.most = 1;
    rig.pool->adapt.most_until = WEIR__NEVER;
    weir__adapt_bound(rig.pool);
    weir__leave(rig.reactor);
    rig_advance(6000); /* nothing is idle yet */
    for (int i = 0; i < 3; i++) give_back(sessions[i]);
    rig_advance(6000);
    ck_assert_int_eq(snapshot().size, 1);
}
END_TEST

/* Also when only such statements come as say nothing: executemany, COPY and their like. */
START_TEST(a_dip_ends) {
    open_adaptive(1, 20);
    weir_session s = lend();
    work(&s, 1, 10, 4);
    rig_advance(10);
    rig.pool->adapt.dips = true;
    rig.pool->adapt.dip_at = rig.clock.now;
    rig.pool->adapt.most = 1;
    rig.pool->adapt.most_until = WEIR__NEVER;
    weir_op op = queue();
    rig_advance(900);
    ck_assert_int_eq(rig.pool->waiting, 1);
    ck_assert(rig.pool->adapt.dips);
    rig_advance(500);
    ck_assert_int_eq(rig.pool->waiting, 1);
    ck_assert(!rig.pool->adapt.dips);
    weir_reactor_cancel(rig.reactor, op);
    give_back(s);
}
END_TEST

START_TEST(who_waits_for_the_limit_is_told_so) {
    weir_session sessions[5];
    weir_op ops[5];
    weir_checkout checkout;
    weir_completion c;
    weir_checkout_init(&checkout);
    checkout.checkout_timeout_ms = 10;
    open_adaptive(0, 20);
    for (int i = 0; i < 5; i++) ops[i] = queue();
    rig_advance(1);
    for (int i = 0; i < 5; i++) ck_assert_int_eq(outcome(ops[i], &sessions[i]), WEIR_OK);
    work(sessions, 5, 20, 3);
    for (int i = 0; i < 5; i++) ops[i] = submit(sessions[i], "sleep 20", -1);
    rig_advance(10);
    weir_op op = queue_as(&checkout);
    rig_advance(11);
    ck_assert_int_eq(weir_reactor_wait(rig.reactor, op, 0, &c), WEIR_OK);
    ck_assert_int_eq(c.error->code, WEIR_ECHECKOUTTIMEOUT);
    ck_assert_ptr_nonnull(strstr(c.error->message, "adaptive_size lends no more than 5 now"));
    weir_completion_discard(&c);
    for (int i = 0; i < 5; i++) ck_assert_int_eq(outcome(ops[i], NULL), WEIR_OK);
    for (int i = 0; i < 5; i++) give_back(sessions[i]);
}
END_TEST

START_TEST(a_server_that_is_full_is_believed) {
    weir_session sessions[5];
    weir_op ops[5];
    open_adaptive(0, 20);
    for (int i = 0; i < 3; i++) weir__fake_next_connect(WEIR__FAKE_OK, 0);
    weir__fake.connect_fail_permille = 1000;
    weir__fake.connect_sqlstate = "53300";
    for (int i = 0; i < 5; i++) ops[i] = queue();
    rig_advance(1);
    ck_assert_int_eq(snapshot().limit, 3);
    for (int i = 0; i < 3; i++) ck_assert_int_eq(outcome(ops[i], &sessions[i]), WEIR_OK);
    uint64_t attempts = snapshot().connections_started;
    rig_advance(9000); /* it is not asked again and again */
    ck_assert_uint_eq(snapshot().connections_started, attempts);
    give_back(sessions[0]); /* who waits is served by those that there are */
    ck_assert_int_eq(outcome(ops[3], &sessions[0]), WEIR_OK);
    weir__fake.connect_fail_permille = 0;
    rig_advance(2000); /* after a while it is */
    ck_assert_int_eq(outcome(ops[4], &sessions[3]), WEIR_OK);
    for (int i = 0; i < 4; i++) give_back(sessions[i]);
}
END_TEST

START_TEST(connects_that_take_too_long_cut_it) {
    options.connect_timeout_ms = 100;
    open_adaptive(0, 20);
    weir_session s;
    weir__fake_next_connect(WEIR__FAKE_OK, 0);
    weir__fake_next_connect(WEIR__FAKE_HANG, 0);
    weir_op first = queue(), second = queue();
    ck_assert_int_eq(snapshot().limit, 5);
    rig_advance(99);
    ck_assert_int_eq(outcome(first, &s), WEIR_OK);
    rig_advance(2);
    ck_assert_int_lt((int)rig.pool->adapt.limit, 3); /* beside those whose holders do nothing */
    weir_reactor_cancel(rig.reactor, second);
    give_back(s);
}
END_TEST

START_TEST(what_is_more_than_the_limit_closes_soon) {
    open_adaptive(0, 20);
    weir_session sessions[8];
    weir_op ops[8];
    for (int i = 0; i < 8; i++) ops[i] = queue();
    rig_advance(50);
    for (int i = 0; i < 8; i++) ck_assert_int_eq(outcome(ops[i], &sessions[i]), WEIR_OK);
    work(sessions, 8, 1, 10); /* the limit counts them now */
    for (int i = 0; i < 8; i++) give_back(sessions[i]);
    weir_session s = lend();
    work(&s, 1, 10, 10);
    int64_t limit = snapshot().limit;
    ck_assert_int_lt(limit, 8);
    rig_advance(6000);
    ck_assert_int_le(snapshot().size, limit + 1);
    ck_assert_int_ge(snapshot().size, limit - 1);
    give_back(s);
}
END_TEST

START_TEST(memory_may_fail) {
    options.adaptive_size = true;
    options.queue_target_ms = TARGET;
    bool opened = false;
    for (long n = 1; !opened; n++) {
        weir_error error = WEIR_ERROR_INIT;
        weir__alloc_fail_at(n, true);
        int code = rig_open(&options, 1, NULL, &error);
        weir__alloc_fail_at(0, false);
        opened = code <= 0;
        if (!opened) ck_assert_int_eq(code, WEIR_ENOMEM);
        weir_error_clear(&error);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("overload");
    TCase *tc = tcase_create("overload");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, set_up, rig_done);
    tcase_add_test(tc, a_queue_that_moves_is_none_of_its_business);
    tcase_add_test(tc, without_the_rule_all_wait);
    tcase_add_test(tc, a_queue_that_stands_is_cut);
    tcase_add_test(tc, the_newest_is_served_first);
    tcase_add_test(tc, who_is_refused_is_told_why);
    tcase_add_test(tc, statements_that_share_wait_in_the_same_queue);
    tcase_add_test(tc, a_first_connection_is_waited_for);
    tcase_add_test(tc, it_begins_with_few);
    tcase_add_test(tc, it_keeps_its_bounds);
    tcase_add_test(tc, what_waits_for_a_lock_does_not_count);
    tcase_add_loop_test(tc, what_was_answered_just_now_counts, 0, 2);
    tcase_add_test(tc, a_shared_one_that_waits_for_a_lock_does_not_count);
    tcase_add_test(tc, who_was_moved_on_waits_for_the_limit);
    tcase_add_test(tc, who_was_moved_on_is_not_served_last);
    tcase_add_test(tc, what_comes_back_above_the_limit_closes_soon);
    tcase_add_test(tc, a_dip_ends);
    tcase_add_test(tc, who_waits_for_the_limit_is_told_so);
    tcase_add_test(tc, a_server_that_is_full_is_believed);
    tcase_add_test(tc, connects_that_take_too_long_cut_it);
    tcase_add_test(tc, what_is_more_than_the_limit_closes_soon);
    tcase_add_test(tc, memory_may_fail);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}

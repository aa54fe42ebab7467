/* The pool's numbers and its end: closing, freeing, forks; bad arguments and failing allocations. */
#include <check.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "support_pool.h"
#include "support_suite.h"

static weir_options options;

static void set_up(void) {
    rig_start(7);
    options = rig_options();
}
static void tear_down(void) { rig_done(); }

static void bounds(int min, int max, int overflow) {
    options.min_size = min;
    options.max_size = max;
    options.max_overflow = overflow;
}

static int refused(weir_error *error) {
    weir_checkout checkout;
    weir_checkout_init(&checkout);
    weir_session session;
    weir_op op;
    return weir_pool_acquire(rig.pool, &checkout, NULL, &session, &op, error);
}

/* ---- numbers ---- */

START_TEST(numbers) {
    bounds(1, 3, 1);
    weir__fake.connect_min_ns = weir__fake.connect_max_ns = 30 * WEIR__MS;
    rig_ready(&options);
    weir_session a = lend();
    rig_advance(1);
    weir_op b = queue(), c = submit_to_pool("sleep 20", WEIR_TIMEOUT_DEFAULT);
    weir_snapshot now = snapshot();
    ck_assert_int_eq(now.connecting, 2);
    ck_assert_int_eq(now.waiting, 2);
    ck_assert_int_eq(now.active, 1);
    ck_assert_int_eq(now.size, 1);
    rig_advance(40);
    weir_session second;
    ck_assert_int_eq(outcome(b, &second), WEIR_OK);
    now = snapshot();
    ck_assert_int_eq(now.active, 3);
    ck_assert_int_eq(now.waiting, 0);
    rig_advance(60);
    ck_assert_int_eq(outcome(c, NULL), WEIR_OK);
    ck_assert_int_eq(run_sql(a, "fail 23505"), WEIR_ESERVER);
    weir__fake.cancel_min_ns = weir__fake.cancel_max_ns = 5 * WEIR__MS;
    weir_op hanging = submit(a, "hang", 10);
    rig_advance(12);
    ck_assert_int_eq(outcome(hanging, NULL), WEIR_ECOMMANDTIMEOUT);
    weir_session_release(a);
    ck_assert_int_eq(snapshot().cleaning, 1);
    rig_advance(10);
    weir_session_release(second);
    now = snapshot();
    ck_assert_int_eq(now.idle, 3);
    ck_assert_int_eq(now.cleaning, 0);
    ck_assert_uint_eq(now.checkouts_granted, 3);
    ck_assert_uint_eq(now.returned, 3);
    ck_assert_uint_eq(now.queries_started, 3);
    ck_assert_uint_eq(now.queries_succeeded, 1);
    ck_assert_uint_eq(now.queries_failed, 1);
    ck_assert_uint_eq(now.queries_timed_out, 1);
    ck_assert_uint_eq(now.wait.count, 3);
    ck_assert_double_gt(now.wait.max, 0.029);
    ck_assert_uint_eq(now.wait.buckets[0], 1); /* one came at once */
    ck_assert_uint_eq(now.use.count, 3);
    ck_assert_uint_eq(now.connect.count, 3);
    ck_assert_double_gt(now.connect.p50, 0.028);
    ck_assert_uint_eq(now.query.count, 3);
    ck_assert_double_gt(now.query.max, 0.0199);
    ck_assert_double_lt(now.query.max, 0.03);
    ck_assert_uint_eq(now.query_failed.count, 2);
    ck_assert_double_gt(now.query_failed.max, 0.0099);
    ck_assert_double_lt(now.query_failed.max, 0.013);
}
END_TEST

/* ---- closing ---- */

START_TEST(closing_an_idle_pool) {
    weir_op op = 0, second = 0;
    rig_ready(&options);
    weir__fake.down_min_ns = weir__fake.down_max_ns = 5 * WEIR__MS;
    ck_assert(!weir_pool_closed(rig.pool));
    ck_assert_int_eq(weir_pool_close(rig.pool, WEIR_TIMEOUT_DEFAULT, NULL, &op, NULL), WEIR_PENDING);
    ck_assert_int_eq(weir_pool_close(rig.pool, 10, NULL, &second, NULL), WEIR_PENDING);
    ck_assert(weir_pool_closed(rig.pool));
    ck_assert_int_eq(outcome(op, NULL), WEIR_PENDING);
    rig_advance(8);
    ck_assert_int_eq(outcome(op, NULL), WEIR_OK);
    ck_assert_int_eq(outcome(second, NULL), WEIR_OK);
    ck_assert_int_eq(weir_pool_close(rig.pool, 0, NULL, &op, NULL), WEIR_OK);
    weir_error error = WEIR_ERROR_INIT;
    ck_assert_int_eq(refused(&error), WEIR_ECLOSED);
    weir_error_clear(&error);
    ck_assert_int_eq(weir_pool_resize(rig.pool, 1, 2, NULL), WEIR_ECLOSED);
    ck_assert_int_eq(weir_pool_expire(rig.pool, NULL), WEIR_ECLOSED);
    rig_advance(100000);
    ck_assert_int_eq(weir__fake.created, 2);
    ck_assert_uint_eq(snapshot().connections_closed, 2);
}
END_TEST

START_TEST(closing_with_a_grace) {
    bounds(2, 2, 0);
    rig_ready(&options);
    weir_checkout who;
    weir_checkout_init(&who);
    who.file = "/a/very/long/path/that/does/not/fit/into/its/place/app/views.py";
    who.function = "checkout_page";
    who.line = 42;
    weir_session named = lend_as(&who), quick = lend();
    weir_op waiter = queue(), op, running = submit(quick, "sleep 5", -1);
    ck_assert_int_eq(weir_pool_close(rig.pool, 100, NULL, &op, NULL), WEIR_PENDING);
    ck_assert_int_eq(outcome(waiter, NULL), WEIR_ECLOSED);
    rig_advance(10); /* holders go on working */
    ck_assert_int_eq(outcome(running, NULL), WEIR_OK);
    ck_assert_int_eq(run_sql(named, "select 1"), WEIR_OK);
    weir_session_release(quick);
    ck_assert_int_eq(in_state(WEIR__EMPTY), 1);
    rig_advance(88);
    ck_assert_int_eq(outcome(op, NULL), WEIR_PENDING);
    weir_op hanging = submit(named, "hang", -1);
    rig_advance(4);
    ck_assert_int_eq(outcome(op, NULL), WEIR_OK);
    ck_assert_int_eq(outcome(hanging, NULL), WEIR_ECLOSED);
    weir_session_info info;
    ck_assert_int_eq(weir_session_inspect(named, &info, NULL), WEIR_ECLOSED);
    ck_assert_int_eq(weir_session_release(named), WEIR_ECLOSED);
    char expected[128]; /* the path's end is kept */
    snprintf(expected, sizeof expected, "checkout_page (%s:42) holds a connection, for 0.1 s",
             who.file + strlen(who.file) - (WEIR__SITE_BYTES - 1));
    ck_assert(logged(expected));
}
END_TEST

START_TEST(holders_are_named) {
    bounds(3, 3, 0);
    rig_ready(&options);
    weir_checkout who;
    weir_checkout_init(&who);
    who.file = "app/views.py";
    who.function = "checkout_page";
    who.line = 42;
    lend_as(&who);
    lend();
    submit_to_pool("hang", -1);
    rig_advance(1500);
    weir_op op;
    weir_pool_close(rig.pool, 0, NULL, &op, NULL);
    char lines[3][WEIR_LOG_LINE_MAX];
    weir_log_record record;
    int n = 0;
    while (weir_reactor_next_log(rig.reactor, &record))
        if (strstr(record.line, "closed while") && n < 3) strcpy(lines[n++], record.line);
    ck_assert_int_eq(n, 3);
    int found = 0;
    for (int i = 0; i < 3; i++) {
        ck_assert_ptr_nonnull(strstr(lines[i], "for 1.5 s; it is cut off"));
        found += strstr(lines[i], "checkout_page (app/views.py:42) holds a connection") != NULL;
        found += 10 * (strstr(lines[i], "session ") != NULL);
        found += 100 * (strstr(lines[i], "a statement runs") != NULL);
    }
    ck_assert_int_eq(found, 111);
}
END_TEST

START_TEST(a_second_close_hastens) {
    bounds(1, 1, 0);
    rig_ready(&options);
    lend();
    weir_op op, again;
    weir_pool_close(rig.pool, -1, NULL, &op, NULL);
    rig_advance(1000000);
    ck_assert_int_eq(outcome(op, NULL), WEIR_PENDING);
    weir_pool_close(rig.pool, 1000, NULL, &again, NULL);
    weir_reactor_cancel(rig.reactor, again); /* only the interest in it */
    weir_pool_close(rig.pool, 50, NULL, &again, NULL);
    weir_reactor_cancel(rig.reactor, again);
    weir_pool_close(rig.pool, -1, NULL, &again, NULL); /* a longer one changes nothing */
    rig_advance(48);
    ck_assert_int_eq(outcome(op, NULL), WEIR_PENDING);
    rig_advance(4);
    ck_assert_int_eq(outcome(op, NULL), WEIR_OK);
    ck_assert_int_eq(outcome(again, NULL), WEIR_OK);
}
END_TEST

static void refused_as(const char *words) {
    weir_error error = WEIR_ERROR_INIT;
    ck_assert_int_eq(refused(&error), WEIR_ECLOSED);
    ck_assert_msg(strstr(error.message, words) != NULL, "%s", error.message);
    weir_error_clear(&error);
}

START_TEST(draining_serves_who_waits) {
    bounds(1, 1, 0);
    rig_ready(&options);
    weir_session first = lend(), second;
    weir_op waiter = queue(), statement = submit_to_pool("sleep 5", -1), op;
    ck_assert_int_eq(weir_pool_drain(rig.pool, 1000, NULL, &op, NULL), WEIR_PENDING);
    ck_assert(weir_pool_closed(rig.pool));
    refused_as("it is draining");
    weir_op late = 0;
    weir_statement *text = weir_statement_new("select 1", 8, NULL);
    ck_assert_int_eq(weir_pool_execute(rig.pool, text, NULL, NULL, &late, NULL), WEIR_ECLOSED);
    weir_statement_unref(text);
    ck_assert_int_eq(weir_pool_resize(rig.pool, 1, 2, NULL), WEIR_ECLOSED);
    ck_assert_int_eq(weir_pool_expire(rig.pool, NULL), WEIR_ECLOSED);
    ck_assert_int_eq(run_sql(first, "select 1"), WEIR_OK);
    ck_assert_int_eq(outcome(waiter, NULL), WEIR_PENDING);
    weir_session_release(first);
    ck_assert_int_eq(outcome(waiter, &second), WEIR_OK);
    ck_assert_int_eq(run_sql(second, "select 1"), WEIR_OK);
    refused_as("it is draining");
    weir_session_release(second);
    ck_assert_int_eq(outcome(op, NULL), WEIR_PENDING);
    rig_advance(10);
    ck_assert_int_eq(outcome(statement, NULL), WEIR_OK);
    ck_assert_int_eq(outcome(op, NULL), WEIR_OK);
    refused_as("it is closed");
    ck_assert_int_eq(weir_pool_drain(rig.pool, 0, NULL, &op, NULL), WEIR_OK);
    rig_advance(100000);
    ck_assert_int_eq(weir__fake.created, 1);
}
END_TEST

START_TEST(a_drain_ends_with_its_grace) {
    bounds(1, 1, 0);
    rig_ready(&options);
    weir_session holder = lend();
    weir_op waiter = queue(), op, again;
    ck_assert_int_eq(weir_pool_drain(rig.pool, -1, NULL, &op, NULL), WEIR_PENDING);
    rig_advance(20000);
    ck_assert_int_eq(weir_pool_drain(rig.pool, 50, NULL, &again, NULL), WEIR_PENDING);
    rig_advance(48);
    ck_assert_int_eq(outcome(waiter, NULL), WEIR_PENDING);
    ck_assert_int_eq(outcome(op, NULL), WEIR_PENDING);
    rig_advance(4);
    ck_assert_int_eq(outcome(waiter, NULL), WEIR_ECLOSED);
    ck_assert_int_eq(weir_session_release(holder), WEIR_ECLOSED);
    ck_assert_int_eq(outcome(op, NULL), WEIR_OK);
    ck_assert_int_eq(outcome(again, NULL), WEIR_OK);
    ck_assert(logged("holds a connection, for 20.1 s; it is cut off"));
}
END_TEST

START_TEST(closing_ends_a_drain) {
    bounds(1, 1, 0);
    rig_ready(&options);
    weir_session holder = lend();
    weir_op waiter = queue(), op, again;
    ck_assert_int_eq(weir_pool_drain(rig.pool, -1, NULL, &op, NULL), WEIR_PENDING);
    ck_assert_int_eq(weir_pool_close(rig.pool, -1, NULL, &again, NULL), WEIR_PENDING);
    ck_assert_int_eq(outcome(waiter, NULL), WEIR_ECLOSED);
    ck_assert_int_eq(weir_pool_drain(rig.pool, 100, NULL, &op, NULL), WEIR_PENDING); /* it is closing */
    refused_as("it is closed");
    ck_assert_int_eq(run_sql(holder, "select 1"), WEIR_OK);
    weir_session_release(holder);
    rig_advance(10);
    ck_assert_int_eq(outcome(again, NULL), WEIR_OK);
    ck_assert_int_eq(outcome(op, NULL), WEIR_OK);
}
END_TEST

/* The last who waits goes away; the first connection is still being made. */
START_TEST(draining_waits_for_nobody_else) {
    bounds(0, 1, 0);
    weir__fake.connect_min_ns = weir__fake.connect_max_ns = 10 * WEIR__MS;
    rig_ready(&options);
    ck_assert_int_eq(snapshot().size, 0);
    weir_op one = queue(), two = queue(), op;
    ck_assert_int_eq(weir_pool_drain(rig.pool, -1, NULL, &op, NULL), WEIR_PENDING);
    weir_reactor_cancel(rig.reactor, one);
    rig_advance(5);
    ck_assert_int_eq(outcome(op, NULL), WEIR_PENDING);
    weir_reactor_cancel(rig.reactor, two);
    rig_advance(20);
    ck_assert_int_eq(outcome(op, NULL), WEIR_OK);
    ck_assert_int_eq(snapshot().size, 0);
}
END_TEST

/* _i: he is cancelled, or his time is up; the holder has all the time that he wants, and then nobody is left
 * for whom the pool would have to stay open. */
START_TEST(draining_when_the_last_one_gives_up) {
    bounds(1, 1, 0);
    options.checkout_timeout_ms = 50;
    rig_ready(&options);
    weir_session holder = lend();
    weir_op waiter = queue(), op;
    ck_assert_int_eq(weir_pool_drain(rig.pool, -1, NULL, &op, NULL), WEIR_PENDING);
    if (_i) {
        rig_advance(60);
        ck_assert_int_eq(outcome(waiter, NULL), WEIR_ECHECKOUTTIMEOUT);
    } else {
        weir_reactor_cancel(rig.reactor, waiter);
    }
    ck_assert_int_eq(outcome(op, NULL), WEIR_PENDING);
    weir_session_release(holder);
    rig_advance(10);
    ck_assert_int_eq(outcome(op, NULL), WEIR_OK);
}
END_TEST

START_TEST(draining_an_idle_pool) {
    weir_op op;
    rig_ready(&options);
    weir__fake.down_min_ns = weir__fake.down_max_ns = 5 * WEIR__MS;
    ck_assert_int_eq(weir_pool_drain(rig.pool, WEIR_TIMEOUT_DEFAULT, NULL, &op, NULL), WEIR_PENDING);
    ck_assert_int_eq(in_state(WEIR__IDLE), 0);
    rig_advance(8);
    ck_assert_int_eq(outcome(op, NULL), WEIR_OK);
}
END_TEST

START_TEST(closing_while_opening) {
    weir__fake.connect_min_ns = weir__fake.connect_max_ns = 10 * WEIR__MS;
    weir_op op;
    rig_open(&options, 1, NULL, NULL);
    weir_op waiter = queue();
    weir_pool_close(rig.pool, -1, NULL, &op, NULL);
    ck_assert_int_eq(outcome(rig.open, NULL), WEIR_ECLOSED);
    ck_assert_int_eq(outcome(waiter, NULL), WEIR_ECLOSED);
    ck_assert_int_eq(outcome(op, NULL), WEIR_OK);
}
END_TEST

/* Sessions, waiters, statements, connections being made: the fixture looks for what is left of them. */
START_TEST(freeing_in_full_flight) {
    int token;
    bounds(2, 6, 0);
    rig_ready(&options);
    weir__fake.connect_min_ns = weir__fake.connect_max_ns = 10 * WEIR__MS;
    submit(lend(), "hang", -1);
    submit_to_pool("hang", -1);
    queue();
    submit_to_pool("select 1", -1);
    weir_checkout checkout;
    weir_checkout_init(&checkout);
    weir_session s;
    weir_op op;
    ck_assert_int_eq(weir_pool_acquire(rig.pool, &checkout, &token, &s, &op, NULL), WEIR_PENDING);
    ck_assert_int_eq(in_state(WEIR__CONNECTING), 3);
    weir_pool_free(rig.pool);
    rig.pool = NULL;
    weir_completion c;
    ck_assert(!weir_reactor_next(rig.reactor, &c)); /* nothing of it is given out any more */
    ck_assert_uint_eq(weir__fake.live_count, 0);
    weir_pool_free(NULL);
}
END_TEST

static bool is_readable(void) {
    struct pollfd fd = {.fd = weir_reactor_fd(rig.reactor), .events = POLLIN};
    return poll(&fd, 1, 0) == 1;
}

START_TEST(two_pools_share_a_reactor) {
    rig_ready(&options);
    weir_pool *first = rig.pool;
    rig_ready(&options);
    weir_session s = lend();
    /* What the second has for its host it still has, and its host hears of it. */
    weir_statement *statement = weir_statement_new("select 1", 8, NULL);
    weir_completion done;
    weir_op op;
    int token;
    ck_assert_int_eq(weir_session_execute(s, statement, FOR_MS(-1), &token, &op, NULL), WEIR_PENDING);
    ck_assert(is_readable());
    weir_pool_free(first);
    ck_assert(is_readable());
    ck_assert(weir_reactor_next(rig.reactor, &done));
    ck_assert_ptr_eq(done.token, &token);
    weir_completion_discard(&done);
    weir_statement_unref(statement);
    ck_assert_int_eq(run_sql(s, "select 1"), WEIR_OK);
}
END_TEST

/* ---- forks, bad arguments ---- */

static int in_child(weir_session session) {
    weir_op op;
    weir_snapshot out = {.struct_size = sizeof out};
    weir_session_info info;
    weir_statement *s = weir_statement_new("x", 1, NULL);
    if (refused(NULL) != WEIR_EFORKED) return 1;
    if (weir_pool_execute(rig.pool, s, FOR_MS(-1), NULL, &op, NULL) != WEIR_EFORKED) return 2;
    if (weir_pool_close(rig.pool, 0, NULL, &op, NULL) != WEIR_EFORKED) return 3;
    if (weir_pool_resize(rig.pool, 1, 2, NULL) != WEIR_EFORKED) return 4;
    if (weir_pool_expire(rig.pool, NULL) != WEIR_EFORKED) return 5;
    if (weir_pool_snapshot(rig.pool, &out, NULL) != WEIR_EFORKED) return 6;
    if (weir_session_release(session) != WEIR_EFORKED) return 7;
    if (weir_session_execute(session, s, FOR_MS(-1), NULL, &op, NULL) != WEIR_EFORKED) return 8;
    if (weir_session_inspect(session, &info, NULL) != WEIR_EFORKED) return 9;
    if (!weir_pool_closed(rig.pool)) return 10;
    if (rig_open(&options, 1, NULL, NULL) != WEIR_EFORKED) return 11;
    if (!weir_pool_name(rig.pool)) return 12;
    weir_pool_free(rig.pool);
    weir_reactor_free(rig.reactor);
    return weir__fake.stopped || weir__fake.live_count != 2 ? 13 : 0;
}

START_TEST(a_forked_child) {
    int status;
    rig_ready(&options);
    weir_session s = lend();
    pid_t child = fork();
    if (child == 0) _exit(in_child(s));
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child's check %d", WEXITSTATUS(status));
    ck_assert_int_eq(run_sql(s, "select 1"), WEIR_OK);
}
END_TEST

START_TEST(bad_arguments) {
    rig_ready(&options);
    weir_op op = 0;
    weir_session session;
    weir_checkout checkout;
    weir_snapshot out = {.struct_size = sizeof out};
    weir_pool *pool = rig.pool, *other;
    weir_checkout_init(NULL);
    weir_checkout_init(&checkout);
    weir_statement *s = weir_statement_new("x", 1, NULL), *bad = weir_statement_new("x", 1, NULL);
    weir_statement_add(bad, &(weir_value){.type = (weir_type)99});
    FAILS(WEIR_EINVAL, weir_pool_open(NULL, &options, NULL, &other, &op, error));
    FAILS(WEIR_EINVAL, weir_pool_open(rig.reactor, NULL, NULL, &other, &op, error));
    FAILS(WEIR_EINVAL, weir_pool_open(rig.reactor, &options, NULL, NULL, &op, error));
    FAILS(WEIR_EINVAL, weir_pool_open(rig.reactor, &options, NULL, &other, NULL, error));
    options.url = "mysql://host/db";
    FAILS(WEIR_EOPTION, weir_pool_open(rig.reactor, &options, NULL, &other, &op, error));
    ck_assert_ptr_null(other);
    FAILS(WEIR_EINVAL, weir_pool_close(NULL, 0, NULL, &op, error));
    FAILS(WEIR_EINVAL, weir_pool_drain(NULL, 0, NULL, &op, error));
    FAILS(WEIR_EINVAL, weir_pool_close(pool, 0, NULL, NULL, error));
    FAILS(WEIR_EINVAL, weir_pool_close(pool, -2, NULL, &op, error));
    FAILS(WEIR_EINVAL, weir_pool_close(pool, INT64_MAX, NULL, &op, error));
    FAILS(WEIR_EINVAL, weir_pool_resize(NULL, 1, 2, error));
    FAILS(WEIR_EINVAL, weir_pool_expire(NULL, error));
    FAILS(WEIR_EINVAL, weir_pool_snapshot(NULL, &out, error));
    FAILS(WEIR_EINVAL, weir_pool_snapshot(pool, NULL, error));
    out.struct_size--;
    FAILS(WEIR_EINVAL, weir_pool_snapshot(pool, &out, error));
    FAILS(WEIR_EINVAL, weir_pool_acquire(NULL, &checkout, NULL, &session, &op, error));
    FAILS(WEIR_EINVAL, weir_pool_acquire(pool, NULL, NULL, &session, &op, error));
    FAILS(WEIR_EINVAL, weir_pool_acquire(pool, &checkout, NULL, NULL, &op, error));
    FAILS(WEIR_EINVAL, weir_pool_acquire(pool, &checkout, NULL, &session, NULL, error));
    checkout.checkout_timeout_ms = 0;
    FAILS(WEIR_EINVAL, weir_pool_acquire(pool, &checkout, NULL, &session, &op, error));
    checkout.checkout_timeout_ms = 5;
    checkout.session_timeout_ms = -7;
    FAILS(WEIR_EINVAL, weir_pool_acquire(pool, &checkout, NULL, &session, &op, error));
    weir_checkout_init(&checkout);
    for (checkout.size = 0; checkout.size < 2;
         checkout.size++) /* all zero, or of no version that there was */
        FAILS(WEIR_EINVAL, weir_pool_acquire(pool, &checkout, NULL, &session, &op, error));
    weir_checkout_init(&checkout);
    checkout.transaction = true;
    checkout.begin.isolation = "snapshot";
    FAILS(WEIR_EINVAL, weir_pool_acquire(pool, &checkout, NULL, &session, &op, error));
    FAILS(WEIR_EINVAL, weir_pool_execute(NULL, s, FOR_MS(-1), NULL, &op, error));
    FAILS(WEIR_EINVAL, weir_pool_execute(pool, NULL, FOR_MS(-1), NULL, &op, error));
    FAILS(WEIR_EINVAL, weir_pool_execute(pool, s, FOR_MS(-1), NULL, NULL, error));
    FAILS(WEIR_EINVAL, weir_pool_execute(pool, s, FOR_MS(0), NULL, &op, error));
    FAILS(WEIR_EINVAL, weir_pool_execute(pool, s, FOR_MS(-2), NULL, &op, error));
    FAILS(WEIR_EVALUE, weir_pool_execute(pool, bad, FOR_MS(-1), NULL, &op, error));
    ck_assert(weir_pool_closed(NULL));
    ck_assert_ptr_null(weir_pool_name(NULL));
    ck_assert_ptr_null(weir_pool_url(NULL));
    ck_assert_ptr_null(weir_pool_database_system(NULL));
    ck_assert_ptr_null(weir_pool_reactor(NULL));
    ck_assert_uint_eq(snapshot().checkouts_started, 0);
    weir_statement_unref(s);
    weir_statement_unref(bad);
}
END_TEST

START_TEST(bad_arguments_of_sessions) {
    rig_ready(&options);
    weir_session session = lend(), none = {0};
    weir_op op;
    int depth;
    weir_session_info info;
    weir_statement *s = weir_statement_new("x", 1, NULL), *bad = weir_statement_new("x", 1, NULL);
    weir_statement_add(bad, &(weir_value){.type = (weir_type)99});
    FAILS(WEIR_EINVAL, weir_session_execute(none, s, FOR_MS(-1), NULL, &op, error));
    FAILS(WEIR_EINVAL, weir_session_execute(session, NULL, FOR_MS(-1), NULL, &op, error));
    FAILS(WEIR_EINVAL, weir_session_execute(session, s, FOR_MS(-1), NULL, NULL, error));
    FAILS(WEIR_EINVAL, weir_session_execute(session, s, FOR_MS(0), NULL, &op, error));
    FAILS(WEIR_EINVAL, weir_session_execute(session, s, FOR_MS(-2), NULL, &op, error));
    FAILS(WEIR_EVALUE, weir_session_execute(session, bad, FOR_MS(-1), NULL, &op, error));
    FAILS(WEIR_EINVAL, weir_session_begin(none, NULL, &depth, error));
    FAILS(WEIR_EINVAL, weir_session_begin(session, NULL, NULL, error));
    FAILS(WEIR_EINVAL, weir_session_commit(none, 1, NULL, &op, error));
    FAILS(WEIR_EINVAL, weir_session_commit(session, 1, NULL, NULL, error));
    FAILS(WEIR_EINVAL, weir_session_rollback(none, 1, NULL, &op, error));
    FAILS(WEIR_EINVAL, weir_session_rollback(session, 1, NULL, NULL, error));
    FAILS(WEIR_EINVAL, weir_session_inspect(none, &info, error));
    FAILS(WEIR_EINVAL, weir_session_inspect(session, NULL, error));
    ck_assert_int_eq(weir_session_release(none), WEIR_EINVAL);
    ck_assert_int_eq(weir_session_discard(none), WEIR_EINVAL);
    ck_assert_int_eq(run_sql(session, "select 1"), WEIR_OK);
    weir_statement_unref(s);
    weir_statement_unref(bad);
}
END_TEST

/* Each call fails as a whole, and the next one works. */
START_TEST(calls_without_memory) {
    bounds(1, 1, 0);
    rig_ready(&options);
    weir_session held = lend(), s;
    weir_op op;
    int failures = 0;
    weir_checkout checkout;
    weir_checkout_init(&checkout);
    for (int i = 0; i < 3 * WEIR__OP_BLOCK; i++) { /* so many that the operations need another block */
        weir__alloc_fail_at(1, true);
        int code = weir_pool_acquire(rig.pool, &checkout, NULL, &s, &op, NULL);
        weir__alloc_fail_at(0, false);
        ck_assert_ptr_null(rig_fault());
        ck_assert(code == WEIR_PENDING || code == WEIR_ENOMEM);
        failures += code == WEIR_ENOMEM;
        if (code == WEIR_ENOMEM) queue();
    }
    ck_assert_int_ge(failures, 2);
    ck_assert_uint_eq(snapshot().checkouts_refused, (uint64_t)failures);
    weir_session_release(held);
    ck_assert_ptr_null(rig_fault());
}
END_TEST

int main(void) {
    const TTest *const tests[] = {numbers,
                                  closing_an_idle_pool,
                                  closing_with_a_grace,
                                  holders_are_named,
                                  a_second_close_hastens,
                                  draining_serves_who_waits,
                                  a_drain_ends_with_its_grace,
                                  closing_ends_a_drain,
                                  draining_waits_for_nobody_else,
                                  draining_an_idle_pool,
                                  closing_while_opening,
                                  freeing_in_full_flight,
                                  two_pools_share_a_reactor,
                                  a_forked_child,
                                  bad_arguments,
                                  bad_arguments_of_sessions,
                                  calls_without_memory};
    Suite *suite = suite_create("pool_end");
    TCase *tc = tcase_create("pool_end");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, set_up, tear_down);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) tcase_add_test(tc, tests[i]);
    tcase_add_loop_test(tc, draining_when_the_last_one_gives_up, 0, 2);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}

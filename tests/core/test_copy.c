/* COPY's watch, and what the breaker has of it, on a real PostgreSQL server; the steps themselves are tested
 * through Python. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <weirpool/weirpool.h>

#include "pg_server.h"
#include "pool/pool.h"
#include "support_suite.h"

static weir_reactor *reactor;
static weir_pool *pool;
static weir_session session;

/* How it ends. */
static int finish(weir_op op) {
    weir_completion done;
    ck_assert_int_eq(weir_reactor_wait(reactor, op, 20000, &done), WEIR_OK);
    int code = done.code;
    ck_assert(code == WEIR_OK || code == WEIR_ECANCELLED || code == WEIR_ESTALE || done.error);
    weir_result_free(done.result);
    weir_error_free(done.error);
    return code;
}

static int ended(int code, const weir_op *op) { return code == WEIR_PENDING ? finish(*op) : code; }

static int run(int (*how)(weir_session, weir_statement *, const weir_run *, void *, weir_op *, weir_error *),
               const char *sql, int64_t timeout_ms) {
    weir_run options;
    weir_op op;
    weir_run_init(&options);
    options.timeout_ms = timeout_ms;
    weir_statement *statement = weir_statement_new(sql, strlen(sql), NULL);
    int code = how(session, statement, &options, NULL, &op, NULL);
    weir_statement_unref(statement);
    return ended(code, &op);
}

static void begin(int64_t timeout_ms) {
    ck_assert_int_eq(run(weir_session_copy_in, "copy t from stdin", timeout_ms), WEIR_OK);
}

static int put(const char *text) {
    weir_op op;
    weir_reactor_dispatch(reactor); /* putting alone would not hear of an end */
    return ended(weir_session_copy_put(session, text, strlen(text), NULL, &op, NULL), &op);
}

static int end(void) {
    weir_op op;
    return ended(weir_session_copy_end(session, NULL, &op, NULL), &op);
}

/* Until the end, or a failure. */
static int take_all(void) {
    for (;;) {
        weir_op op;
        weir_completion done;
        int code = weir_session_copy_take(session, NULL, &op, NULL);
        if (code != WEIR_PENDING) return code;
        ck_assert_int_eq(weir_reactor_wait(reactor, op, 20000, &done), WEIR_OK);
        bool more = done.code == WEIR_OK && weir_result_rows(done.result);
        code = done.code;
        weir_completion_discard(&done);
        if (!more) return code;
    }
}

static weir_op watch(void) {
    weir_op op;
    ck_assert_int_eq(weir_session_copy_watch(session, NULL, &op, NULL), WEIR_PENDING);
    return op;
}

static void start_pool(bool host_judges) {
    char url[256];
    weir_options options;
    weir_checkout checkout;
    weir_completion done;
    weir_op op;
    weir_options_init(&options);
    options.url = pg_server_url(url, sizeof url, "");
    options.min_size = options.max_size = 1;
    options.circuit_hook = host_judges;
    ck_assert_int_eq(weir_reactor_new(&reactor, NULL), WEIR_OK);
    ck_assert_int_eq(ended(weir_pool_open(reactor, &options, NULL, &pool, &op, NULL), &op), WEIR_OK);
    weir_checkout_init(&checkout);
    int code = weir_pool_acquire(pool, &checkout, NULL, &session, &op, NULL);
    if (code == WEIR_PENDING) {
        ck_assert_int_eq(weir_reactor_wait(reactor, op, 20000, &done), WEIR_OK);
        session = done.session;
    }
    ck_assert_int_eq(run(weir_session_execute, "create temp table t (a int)", -1), WEIR_OK);
}

static void start(void) { start_pool(false); }
static void start_judged(void) { start_pool(true); }

static void stop(void) {
    ck_assert(weir__enter(reactor));
    const char *why = weir__pool_check(pool);
    weir__leave(reactor);
    ck_assert_msg(!why, "%s", why);
    weir_pool_free(pool);
    weir_reactor_free(reactor);
}

START_TEST(it_tells_of_a_good_end) {
    weir_op op, second;
    ck_assert_int_eq(weir_session_copy_watch(session, NULL, &op, NULL), WEIR_EINVAL);
    ck_assert_int_eq(weir_session_copy_watch(session, NULL, NULL, NULL), WEIR_EINVAL);
    begin(-1);
    op = watch();
    ck_assert_int_eq(weir_session_copy_watch(session, NULL, &second, NULL), WEIR_EBUSY);
    ck_assert_int_eq(put("1\n"), WEIR_OK);
    ck_assert_int_eq(end(), WEIR_OK);
    ck_assert_int_eq(finish(op), WEIR_OK);
    ck_assert_int_eq(weir_session_copy_watch(session, NULL, &op, NULL), WEIR_EINVAL);
}
END_TEST

START_TEST(it_tells_of_a_deadline) {
    begin(50);
    ck_assert_int_eq(finish(watch()), WEIR_ECOMMANDTIMEOUT); /* between two steps … */
    ck_assert_int_eq(finish(watch()), WEIR_ECOMMANDTIMEOUT); /* … also when it is over already */
    ck_assert_int_eq(put("1\n"), WEIR_ECOMMANDTIMEOUT);      /* which is told the next step all the same */
    begin(50);
    weir_op op = watch();
    ck_assert_int_eq(run(weir_session_execute, "select 1", -1), WEIR_EBUSY);
    while (put("1\n") == WEIR_OK) { /* within a step */
    }
    ck_assert_int_eq(finish(op), WEIR_ECOMMANDTIMEOUT);
}
END_TEST

START_TEST(it_tells_what_the_server_says) {
    begin(-1);
    weir_op op = watch();
    ck_assert_int_eq(put("one\n"), WEIR_OK);
    ck_assert_int_eq(weir_session_copy_put(session, NULL, 0, NULL, &(weir_op){0}, NULL), WEIR_OK);
    ck_assert_int_eq(end(), WEIR_ESERVER);
    ck_assert_int_eq(finish(op), WEIR_ESERVER);
    ck_assert_int_eq(run(weir_session_copy_out, "copy (select 1 / a from t) to stdout", -1), WEIR_OK);
    op = watch();
    ck_assert_int_eq(take_all(), WEIR_OK);
    ck_assert_int_eq(finish(op), WEIR_OK);
}
END_TEST

/* The server is done with it, before there is a step or between two, and the holder is not. */
START_TEST(it_tells_of_a_deadline_behind_the_servers_end) {
    static const char *const texts[] = {"copy (select 1 where false) to stdout", "copy (select 1) to stdout"};
    ck_assert_int_eq(run(weir_session_copy_out, texts[_i], 50), WEIR_OK);
    ck_assert_int_eq(finish(watch()), WEIR_ECOMMANDTIMEOUT);
    ck_assert_int_eq(finish(watch()), WEIR_ECOMMANDTIMEOUT);
    ck_assert_int_eq(take_all(), WEIR_ECOMMANDTIMEOUT);
    ck_assert_int_eq(run(weir_session_execute, "select 1", -1), WEIR_OK);
    ck_assert_int_eq(run(weir_session_copy_out, texts[_i], 50), WEIR_OK);
    ck_assert_int_eq(take_all(), WEIR_OK);
}
END_TEST

START_TEST(it_tells_that_nobody_wants_the_copy) {
    begin(-1);
    weir_op op = watch();
    ck_assert_int_eq(weir_session_copy_abort(session, NULL), WEIR_OK);
    ck_assert_int_eq(finish(op), WEIR_ECANCELLED);
    begin(-1);
    op = watch();
    ck_assert_int_eq(weir_session_release(session), WEIR_OK);
    ck_assert_int_eq(finish(op), WEIR_ESTALE);
}
END_TEST

START_TEST(it_counts_by_its_end) {
    weir_snapshot before = {.struct_size = sizeof before}, now = before;
    weir_pool_snapshot(pool, &before, NULL);
    begin(-1);
    ck_assert_int_eq(end(), WEIR_OK);
    begin(20); /* late between two steps … */
    ck_assert_int_eq(finish(watch()), WEIR_ECOMMANDTIMEOUT);
    ck_assert_int_eq(put("1\n"), WEIR_ECOMMANDTIMEOUT);
    begin(20); /* … and within one */
    while (put("1\n") == WEIR_OK) {
    }
    begin(-1);
    ck_assert_int_eq(weir_session_copy_abort(session, NULL), WEIR_OK);
    begin(-1);
    ck_assert_int_eq(weir_session_release(session), WEIR_OK);
    weir_pool_snapshot(pool, &now, NULL);
    ck_assert_uint_eq(now.queries_started - before.queries_started, 5);
    ck_assert_uint_eq(now.queries_succeeded - before.queries_succeeded, 1);
    ck_assert_uint_eq(now.queries_timed_out - before.queries_timed_out, 2);
    ck_assert_uint_eq(now.queries_cancelled - before.queries_cancelled, 2);
    ck_assert_uint_eq(now.query.count - before.query.count, 3);
    ck_assert_uint_eq(now.query_failed.count, 2);
    ck_assert_double_ge(now.query_failed.sum, 0.03);
}
END_TEST

/* Nobody has driven the reactor since the session's time was up: it is not too late, all the same. */
START_TEST(it_does_not_outlive_its_session) {
    begin(-1);
    ck_assert_int_eq(put("1\n"), WEIR_OK);
    ck_assert_int_eq(weir_session_limit(session, 1, NULL), WEIR_OK);
    nanosleep(&(struct timespec){0, 2000000}, NULL);
    ck_assert_int_eq(end(), WEIR_ESESSIONTIMEOUT);
}
END_TEST

START_TEST(it_may_be_left) {
    begin(-1);
    ck_assert_int_eq(weir_reactor_cancel(reactor, watch()), WEIR_OK);
    weir_op op = watch();
    ck_assert_int_eq(end(), WEIR_OK);
    ck_assert_int_eq(finish(op), WEIR_OK);
    begin(-1);
    watch(); /* it goes with the pool */
}
END_TEST

/* What the breaker for statements has of it. */
static weir_breaker_snapshot calls(void) {
    weir_breaker_snapshot out = {.struct_size = sizeof out};
    weir_breaker *breaker = weir_pool_breaker(pool, 0, WEIR_BREAKER_QUERIES);
    ck_assert_int_eq(weir_breaker_take_snapshot(breaker, &out, NULL), WEIR_OK);
    return out;
}

/* To the breaker a COPY is one call, from its begin to its end, however many steps wait for the server. */
START_TEST(it_is_one_call) {
    static const char silent[] =
        "copy (select repeat('x', 100000) union all select pg_sleep(600)::text) to stdout";
    weir_breaker_snapshot before = calls(), after;
    begin(-1);
    ck_assert_int_eq(calls().running, 1);
    ck_assert_int_eq(put("1\n"), WEIR_OK);
    ck_assert_int_eq(end(), WEIR_OK);
    ck_assert_int_eq(run(weir_session_copy_out,
                         "copy (select g, pg_sleep(0.01) from generate_series(1, 3) g) to stdout", -1),
                     WEIR_OK);
    ck_assert_int_eq(calls().running, 1);
    ck_assert_int_eq(take_all(), WEIR_OK);
    after = calls();
    ck_assert_int_eq(after.running, 0);
    ck_assert_uint_eq(after.calls_succeeded, before.calls_succeeded + 2);
    ck_assert_int_eq(run(weir_session_copy_out, silent, 100), WEIR_OK); /* its first rows fill a buffer */
    ck_assert_int_eq(take_all(), WEIR_ECOMMANDTIMEOUT);                 /* the server's silence */
    ck_assert_uint_eq(calls().calls_failed, before.calls_failed + 1);
    ck_assert_int_eq(run(weir_session_execute, "select 1", -1), WEIR_OK); /* it has been cancelled by now */
    begin(50);
    ck_assert_int_eq(finish(watch()), WEIR_ECOMMANDTIMEOUT); /* our own */
    ck_assert_int_eq(weir_session_copy_abort(session, NULL), WEIR_OK);
    after = calls();
    ck_assert_int_eq(after.running, 0);
    ck_assert_uint_eq(after.calls_failed, before.calls_failed + 1);
    ck_assert_uint_eq(after.calls_cancelled, before.calls_cancelled + 1);
}
END_TEST

/* ---- where the host has predicates */

static void judge(weir_op op, int code, weir_verdict verdict) {
    weir_completion done;
    ck_assert_int_eq(weir_reactor_wait(reactor, op, 20000, &done), WEIR_OK);
    ck_assert_int_eq(done.code, code);
    ck_assert_ptr_eq(done.failure.pool, pool);
    weir_completion_judge(&done, verdict);
    weir_completion_discard(&done);
}

static void check(uint64_t failed, uint64_t ignored) {
    weir_breaker_snapshot now = calls();
    ck_assert_int_eq(now.running, 0);
    ck_assert_uint_eq(now.calls_failed, failed);
    ck_assert_uint_eq(now.calls_ignored, ignored);
}

/* The server has said, between two steps, what it has against the COPY. */
static void fail_early(void) {
    begin(-1);
    ck_assert_int_eq(put("one\n"), WEIR_OK);
    int64_t deadline = weir_now_ns() + 20 * INT64_C(1000000000);
    while (pool->slots[session.slot]->flying) {
        ck_assert_int_eq(weir_reactor_dispatch(reactor), WEIR_OK);
        ck_assert_int_lt(weir_now_ns(), deadline);
    }
}

/* By the step that is told of it, be it a begin, the end, the next one, or who watches; else by the table. */
START_TEST(the_host_judges_failures) {
    weir_op op;
    weir_run plain;
    weir_run_init(&plain);
    weir_statement *wrong = weir_statement_new("copy none from stdin", 20, NULL);
    ck_assert_int_eq(weir_session_copy_in(session, wrong, &plain, NULL, &op, NULL), WEIR_PENDING);
    weir_statement_unref(wrong);
    judge(op, WEIR_ESERVER, WEIR_VERDICT_RECORD);
    check(1, 0);
    begin(-1);
    ck_assert_int_eq(put("one\n"), WEIR_OK);
    ck_assert_int_eq(weir_session_copy_end(session, NULL, &op, NULL), WEIR_PENDING);
    judge(op, WEIR_ESERVER, WEIR_VERDICT_RECORD);
    check(2, 0);
    fail_early();
    ck_assert_int_eq(weir_session_copy_end(session, NULL, &op, NULL), WEIR_PENDING);
    judge(op, WEIR_ESERVER, WEIR_VERDICT_IGNORE);
    check(2, 1);
    fail_early();
    judge(watch(), WEIR_ESERVER, WEIR_VERDICT_RECORD);
    ck_assert_int_eq(end(), WEIR_ESERVER);
    check(3, 1);
    fail_early();
    ck_assert_int_eq(calls().running, 1);
    ck_assert_int_eq(weir_session_copy_abort(session, NULL), WEIR_OK); /* nobody has asked for it */
    check(3, 1);
    begin(50);
    ck_assert_int_eq(finish(watch()), WEIR_ECOMMANDTIMEOUT); /* the holder's silence says nothing */
    ck_assert_int_eq(weir_session_copy_abort(session, NULL), WEIR_OK);
    check(3, 1);
}
END_TEST

/* While the holder waits for its rows; _i: for too long. */
START_TEST(the_host_judges_what_comes) {
    static const char *const texts[] = {
        "copy (select 1 / (100000 - g) from generate_series(1, 100000) g) to stdout",
        "copy (select repeat('x', 100000) union all select pg_sleep(600)::text) to stdout"};
    weir_completion done;
    ck_assert_int_eq(run(weir_session_copy_out, texts[_i], _i ? 100 : -1), WEIR_OK);
    do {
        weir_op op;
        ck_assert_int_eq(weir_session_copy_take(session, NULL, &op, NULL), WEIR_PENDING);
        ck_assert_int_eq(weir_reactor_wait(reactor, op, 20000, &done), WEIR_OK);
        if (done.code == WEIR_OK) weir_completion_discard(&done);
    } while (done.code == WEIR_OK);
    ck_assert_int_eq(done.code, _i ? WEIR_ECOMMANDTIMEOUT : WEIR_ESERVER);
    weir_completion_judge(&done, _i ? WEIR_VERDICT_IGNORE : WEIR_VERDICT_RECORD);
    weir_completion_discard(&done);
    check(!_i, _i);
}
END_TEST

static Suite *make_suite(void) {
    Suite *suite = suite_create("copy");
    TCase *tcase = tcase_create("watch");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, start, stop);
    tcase_add_test(tcase, it_tells_of_a_good_end);
    tcase_add_test(tcase, it_tells_of_a_deadline);
    tcase_add_test(tcase, it_tells_what_the_server_says);
    tcase_add_loop_test(tcase, it_tells_of_a_deadline_behind_the_servers_end, 0, 2);
    tcase_add_test(tcase, it_tells_that_nobody_wants_the_copy);
    tcase_add_test(tcase, it_counts_by_its_end);
    tcase_add_test(tcase, it_does_not_outlive_its_session);
    tcase_add_test(tcase, it_may_be_left);
    tcase_add_test(tcase, it_is_one_call);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("judged");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, start_judged, stop);
    tcase_add_test(tcase, the_host_judges_failures);
    tcase_add_loop_test(tcase, the_host_judges_what_comes, 0, 2);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void) {
    pg_server_start();
    return run_suite(make_suite());
}

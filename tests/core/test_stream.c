/* Streams, on a real PostgreSQL server and on SQLite: each test runs on both, unless it says otherwise. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <weirpool/weirpool.h>

#include "base/alloc.h"
#include "base/error.h"
#include "pg_server.h"
#include "pool/pool.h"
#include "support_suite.h"

enum { POSTGRES, SQLITE, DATABASES };

static weir_reactor *reactor;
static weir_pool *pool;
static int database;
static bool host_judges;
static weir_error error = WEIR_ERROR_INIT;

static void wait_for(weir_op op, weir_completion *out) {
    ck_assert_int_eq(weir_reactor_wait(reactor, op, 20000, out), WEIR_OK);
}

/* How it ends; the result goes to *result, or is freed. */
static int finish(weir_op op, weir_result **result) {
    weir_completion done;
    wait_for(op, &done);
    weir_error_clear(&error);
    if (done.error) weir__error_copy(&error, done.error);
    if (result)
        *result = done.result;
    else
        weir_result_free(done.result);
    weir_error_free(done.error);
    return done.code;
}

static void start(int which) {
    char url[256];
    weir_options options;
    weir_op op;
    database = which;
    weir_options_init(&options);
    options.url = which == POSTGRES ? pg_server_url(url, sizeof url, "") : "sqlite://";
    options.min_size = 1;
    options.max_size = 2;
    options.circuit_hook = host_judges;
    ck_assert_int_eq(weir_reactor_new(&reactor, NULL), WEIR_OK);
    int code = weir_pool_open(reactor, &options, NULL, &pool, &op, &error);
    if (code == WEIR_PENDING) code = finish(op, NULL);
    ck_assert_msg(code == WEIR_OK, "%s", error.message);
}

static void check_pool(void) {
    ck_assert(weir__enter(reactor));
    const char *why = weir__pool_check(pool);
    weir__leave(reactor);
    ck_assert_msg(!why && !weir__slot_faults, "%s", why ? why : "an illegal move");
}

static void stop(void) {
    check_pool();
    weir_pool_free(pool);
    weir_reactor_free(reactor);
    weir_error_clear(&error);
}

static weir_session lend(bool transaction) {
    weir_checkout checkout;
    weir_session session;
    weir_op op;
    weir_completion done;
    weir_checkout_init(&checkout);
    checkout.transaction = transaction;
    int code = weir_pool_acquire(pool, &checkout, NULL, &session, &op, &error);
    if (code == WEIR_OK) return session;
    ck_assert_int_eq(code, WEIR_PENDING);
    wait_for(op, &done);
    ck_assert_int_eq(done.code, WEIR_OK);
    return done.session;
}

static int execute(weir_session session, const char *sql, weir_result **result) {
    weir_op op;
    weir_statement *statement = weir_statement_new(sql, strlen(sql), NULL);
    weir_error_clear(&error);
    if (!statement) return WEIR_ENOMEM;
    int code = weir_session_execute(session, statement, NULL, NULL, &op, &error);
    weir_statement_unref(statement);
    return code == WEIR_PENDING ? finish(op, result) : code;
}

static long number_in(weir_result *result, size_t row) {
    weir_value value;
    ck_assert_int_eq(weir_result_value(result, row, 0, &value), WEIR_OK);
    ck_assert_int_eq(value.type, WEIR_TYPE_INT);
    return (long)value.as.integer;
}

static long number(weir_session session, const char *sql) {
    weir_result *result;
    int code = execute(session, sql, &result);
    ck_assert_msg(code == WEIR_OK, "%s", error.message);
    long out = number_in(result, 0);
    weir_result_free(result);
    return out;
}

static int try_stream(weir_session session, const char *sql, size_t rows, weir_stream *out) {
    weir_statement *statement = weir_statement_new(sql, strlen(sql), NULL);
    weir_error_clear(&error);
    int code = statement ? weir_session_stream(session, statement, rows, NULL, out, &error) : WEIR_ENOMEM;
    weir_statement_unref(statement);
    return code;
}

static weir_stream stream(weir_session session, const char *sql, size_t rows) {
    weir_stream out;
    int code = try_stream(session, sql, rows, &out);
    ck_assert_msg(code == WEIR_OK, "%s", error.message);
    return out;
}

static int next(weir_stream s, weir_result **result) {
    weir_op op;
    weir_error_clear(&error);
    int code = weir_stream_next(s, NULL, result, &op, &error);
    return code == WEIR_PENDING ? finish(op, result) : code;
}

/* The rows of the next batch, which go on counting from *last; 0 at the end. */
static size_t batch(weir_stream s, long *last) {
    weir_result *result;
    int code = next(s, &result);
    ck_assert_msg(code == WEIR_OK, "%s", error.message);
    size_t rows = weir_result_rows(result);
    for (size_t i = 0; i < rows; i++) ck_assert_int_eq(number_in(result, i), ++*last);
    weir_result_free(result);
    return rows;
}

#define COUNT(n)                                                                                             \
    "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < " #n ") SELECT n FROM c"
#define SLOW "SELECT 1 FROM pg_sleep(30)"
#define TEST_ON_BOTH(name)                                                                                   \
    static void name##_body(void);                                                                           \
    START_TEST(name) {                                                                                       \
        start(_i);                                                                                           \
        name##_body();                                                                                       \
        stop();                                                                                              \
    }                                                                                                        \
    END_TEST                                                                                                 \
    static void name##_body(void)

TEST_ON_BOTH(rows_come_in_batches) {
    static const struct {
        const char *sql;
        size_t rows, batches[4];
    } cases[] = {{COUNT(10), 4, {4, 4, 2, 0}}, {COUNT(8), 4, {4, 4, 0, 0}},
                 {COUNT(3), 4, {3, 0, 0, 0}},  {COUNT(2), 1, {1, 1, 0, 0}},
                 {COUNT(9), 0, {9, 0, 0, 0}},  {"SELECT 1 WHERE 1 = 0", 4, {0, 0, 0, 0}}};
    for (int transaction = 0; transaction < 2; transaction++) {
        weir_session session = lend(transaction);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            weir_stream s = stream(session, cases[i].sql, cases[i].rows);
            long last = 0;
            for (int n = 0; n < 4; n++) ck_assert_uint_eq(batch(s, &last), cases[i].batches[n]);
            ck_assert_int_eq(weir_stream_close(s), WEIR_OK);
            ck_assert_int_eq(weir_stream_close(s), WEIR_ESTALE);
        }
        ck_assert_int_eq(number(session, "SELECT 7"), 7);
        ck_assert_int_eq(weir_session_release(session), WEIR_OK);
    }
}

TEST_ON_BOTH(one_batch_is_fetched_ahead) {
    weir_session session = lend(true);
    weir_stream s = stream(session, COUNT(100), 10);
    long last = 0;
    ck_assert_uint_eq(batch(s, &last), 10);
    ck_assert_int_eq(number(session, "SELECT 1"), 1); /* behind the second batch */
    weir_result *result;
    weir_op op = 0;
    ck_assert_int_eq(weir_stream_next(s, NULL, &result, &op, &error), WEIR_OK); /* which is here */
    ck_assert_int_eq(number_in(result, 0), 11);
    weir_result_free(result);
}

TEST_ON_BOTH(several_at_once_with_statements_between) {
    weir_session session = lend(true);
    weir_stream a = stream(session, COUNT(50), 7), b = stream(session, COUNT(50), 7),
                c = stream(session, COUNT(30), 9);
    long last_a = 0, last_b = 0, last_c = 0;
    while (batch(a, &last_a) && batch(b, &last_b)) {
        batch(c, &last_c);
        ck_assert_int_eq(number(session, COUNT(50)), 1); /* the same text, which the cursors have prepared */
    }
    ck_assert_int_eq(last_a, 50);
    ck_assert_int_eq(last_b, 50);
    ck_assert_int_eq(last_c, 30);
}

TEST_ON_BOTH(left_early) {
    weir_session session = lend(true);
    for (int i = 0; i < 20; i++) {
        weir_stream s = stream(session, COUNT(100000), 10);
        long last = 0;
        for (int n = 0; n < i % 3; n++) batch(s, &last);
        ck_assert_int_eq(weir_stream_close(s), WEIR_OK);
        ck_assert_int_eq(number(session, "SELECT 7"), 7);
        if (database == POSTGRES)
            ck_assert_int_eq(number(session, "SELECT count(*)::int FROM pg_cursors WHERE name LIKE 'weir%'"),
                             0);
    }
    weir_stream s = stream(session, COUNT(10), 10);
    weir_result *result;
    weir_op op;
    weir_stream_close(s);
    ck_assert_int_eq(weir_stream_next(s, NULL, &result, &op, &error), WEIR_ESTALE);
}

TEST_ON_BOTH(a_plain_connection_has_one_stream) {
    weir_session session = lend(false);
    weir_stream s = stream(session, COUNT(100), 10), other;
    long last = 0;
    batch(s, &last);
    ck_assert_int_eq(execute(session, "SELECT 1", NULL), WEIR_EBUSY);
    ck_assert_ptr_nonnull(strstr(error.message, "begin a transaction"));
    int depth;
    ck_assert_int_eq(weir_session_begin(session, NULL, &depth, &error), WEIR_EBUSY);
    ck_assert_int_eq(try_stream(session, COUNT(10), 10, &other), WEIR_EBUSY);
    weir_stream_close(s);
    ck_assert_int_eq(weir_session_begin(session, NULL, &depth, &error), WEIR_OK); /* while it is wound up */
    ck_assert_int_eq(depth, 1);
    ck_assert_int_eq(number(session, "SELECT 7"), 7);
    s = stream(session, COUNT(20), 10);
    other = stream(session, COUNT(20), 10);
    long second = last = 0;
    while (batch(s, &last)) batch(other, &second);
    ck_assert_int_eq(last + second, 40);
    weir_op op;
    ck_assert_int_eq(weir_session_commit(session, 1, NULL, &op, &error), WEIR_PENDING);
    ck_assert_int_eq(finish(op, NULL), WEIR_OK);
    last = 0;
    s = stream(session, COUNT(20), 0);
    while (batch(s, &last)) {
    }
    weir_session_info info;
    ck_assert_int_eq(weir_session_inspect(session, &info, NULL), WEIR_OK);
    ck_assert(!info.depth && !info.in_transaction);
}

TEST_ON_BOTH(it_ends_with_its_transaction) {
    weir_session session = lend(true);
    weir_result *result;
    weir_op op;
    for (int commit = 0; commit < 2; commit++) {
        weir_stream s = stream(session, COUNT(100), 10), done = stream(session, COUNT(5), 10);
        long last = 0;
        batch(s, &last);
        last = 0;
        batch(done, &last);
        int code = commit ? weir_session_commit(session, 1, NULL, &op, &error)
                          : weir_session_rollback(session, 1, NULL, &op, &error);
        if (code == WEIR_PENDING) code = finish(op, NULL);
        ck_assert_int_eq(code, WEIR_OK);
        ck_assert_int_eq(next(s, &result), WEIR_ETRANSACTION);
        ck_assert_int_eq(next(s, &result), WEIR_ETRANSACTION);
        ck_assert_uint_eq(batch(done, &last), 0);
        weir_stream_close(s);
        weir_stream_close(done);
        ck_assert_int_eq(number(session, "SELECT 7"), 7);
    }
    weir_stream s = stream(session, COUNT(100), 10);
    ck_assert_int_eq(execute(session, "COMMIT", NULL), WEIR_OK);
    ck_assert_int_eq(next(s, &result), WEIR_ETRANSACTION);
    weir_session_release(session);
    ck_assert_int_eq(next(s, &result), WEIR_ESTALE);
}

TEST_ON_BOTH(savepoints) {
    weir_session session = lend(true);
    weir_result *result;
    weir_op op;
    int depth;
    weir_stream outer = stream(session, COUNT(100), 10);
    long last = 0, inner_last = 0;
    batch(outer, &last);
    ck_assert_int_eq(weir_session_begin(session, NULL, &depth, &error), WEIR_OK);
    weir_stream inner = stream(session, COUNT(100), 10);
    batch(inner, &inner_last);
    ck_assert_int_eq(weir_session_commit(session, 2, NULL, &op, &error), WEIR_PENDING);
    ck_assert_int_eq(finish(op, NULL), WEIR_OK);
    batch(inner, &inner_last); /* released with its savepoint, into the transaction */
    ck_assert_int_eq(weir_session_begin(session, NULL, &depth, &error), WEIR_OK);
    weir_stream undone = stream(session, COUNT(100), 10);
    long none = 0;
    batch(undone, &none);
    ck_assert_int_ne(execute(session, "SELECT no_such_column", NULL), WEIR_OK);
    weir_stream_close(undone);
    ck_assert_int_eq(weir_session_rollback(session, 2, NULL, &op, &error), WEIR_PENDING);
    ck_assert_int_eq(finish(op, NULL), WEIR_OK);
    undone = stream(session, COUNT(100), 10);
    ck_assert_int_eq(weir_session_begin(session, NULL, &depth, &error), WEIR_OK);
    weir_stream again = stream(session, COUNT(100), 10);
    none = 0;
    batch(again, &none);
    ck_assert_int_eq(weir_session_rollback(session, 2, NULL, &op, &error), WEIR_PENDING);
    ck_assert_int_eq(finish(op, NULL), WEIR_OK);
    ck_assert_int_eq(next(again, &result), WEIR_ETRANSACTION);
    none = 0;
    while (batch(undone, &none)) {
    }
    while (batch(outer, &last)) {
    }
    while (batch(inner, &inner_last)) {
    }
    ck_assert_int_eq(last + inner_last + none, 300);
}

TEST_ON_BOTH(errors_come_behind_the_rows_before_them) {
    weir_session session = lend(false);
    weir_result *result;
    const char *sql = database == POSTGRES
                          ? "SELECT 100 / (6 - n) + n - 100 / (6 - n) FROM generate_series(1, 9) n"
                          : "SELECT CASE WHEN n < 6 THEN n ELSE abs(-9223372036854775807 - 1) END "
                            "FROM (" COUNT(9) ")";
    weir_stream s = stream(session, sql, 3);
    long last = 0;
    ck_assert_uint_eq(batch(s, &last), 3);
    ck_assert_int_eq(next(s, &result), WEIR_ESERVER);
    if (database == POSTGRES) ck_assert_str_eq(error.sqlstate, "22012");
    ck_assert_int_eq(next(s, &result), WEIR_ESERVER);
    ck_assert_int_eq(number(session, "SELECT 7"), 7); /* its own transaction was rolled back */
    weir_stream_close(s);
    s = stream(session, "SELECT  nothing", 3);
    ck_assert_int_eq(next(s, &result), WEIR_ESERVER);
    if (database == POSTGRES) ck_assert_int_eq(error.position, 9); /* in the caller's text */
    ck_assert_int_eq(number(session, "SELECT 7"), 7);
}

/* ---- what the breaker has of it, where the host has predicates */

static weir_breaker_snapshot calls(void) {
    weir_breaker_snapshot out = {.struct_size = sizeof out};
    weir_breaker *breaker = weir_pool_breaker(pool, 0, WEIR_BREAKER_QUERIES);
    ck_assert_int_eq(weir_breaker_take_snapshot(breaker, &out, NULL), WEIR_OK);
    return out;
}

/* The second batch of a stream fails. early: it has done so before anybody asks for it. */
static weir_stream failing(weir_session session, bool early) {
    const char *sql =
        database == POSTGRES
            ? "SELECT 100 / (4 - n) + n - 100 / (4 - n) FROM generate_series(1, 9) n"
            : "SELECT CASE WHEN n < 4 THEN n ELSE abs(-9223372036854775807 - 1) END FROM (" COUNT(9) ")";
    weir_stream s = stream(session, sql, 3);
    long last = 0;
    ck_assert_uint_eq(batch(s, &last), 3);
    int64_t deadline = weir_now_ns() + 20 * INT64_C(1000000000);
    while (early && pool->slots[session.slot]->flying) {
        ck_assert_int_eq(weir_reactor_dispatch(reactor), WEIR_OK);
        ck_assert_int_lt(weir_now_ns(), deadline);
    }
    return s;
}

static void judge(weir_session session, weir_stream s, int code, weir_verdict verdict) {
    weir_result *result;
    weir_op op;
    weir_completion done;
    ck_assert_int_eq(weir_stream_next(s, NULL, &result, &op, &error), WEIR_PENDING);
    wait_for(op, &done);
    ck_assert_int_eq(done.code, code);
    ck_assert_ptr_eq(done.failure.pool, pool);
    weir_completion_judge(&done, verdict);
    weir_completion_discard(&done);
    ck_assert_int_eq(next(s, &result), code); /* it is told again, and counted once */
    weir_stream_close(s);
    ck_assert_int_eq(number(session, "SELECT 7"), 7); /* what was left to be rolled back is so */
    ck_assert_int_eq(calls().running, 0);
}

START_TEST(the_host_judges_failures) {
    host_judges = true;
    start(_i);
    weir_session session = lend(false);
    judge(session, failing(session, false), WEIR_ESERVER, WEIR_VERDICT_RECORD);
    judge(session, failing(session, true), WEIR_ESERVER, WEIR_VERDICT_RECORD);
    ck_assert_uint_eq(calls().calls_failed, 2);
    judge(session, failing(session, true), WEIR_ESERVER, WEIR_VERDICT_IGNORE);
    ck_assert_uint_eq(calls().calls_ignored, 1);
    weir_stream s = failing(session, true);
    ck_assert_int_eq(calls().running, 1);
    weir_stream_close(s); /* nobody has asked for it: the table's matter, by which it is no failure */
    ck_assert_int_eq(calls().running, 0);
    failing(session, true);
    weir_session_release(session);
    weir_breaker_snapshot after = calls();
    ck_assert_int_eq(after.running, 0);
    ck_assert_uint_eq(after.calls_failed, 2);
    ck_assert_uint_eq(after.calls_ignored, 1);
    stop();
}
END_TEST

START_TEST(the_host_judges_time_outs) {
    host_judges = true;
    start(POSTGRES);
    weir_session session = lend(false);
    weir_statement *slow = weir_statement_new(SLOW, strlen(SLOW), NULL);
    weir_run run;
    weir_run_init(&run);
    run.timeout_ms = 50;
    for (int i = 0; i < 2; i++) {
        weir_stream s;
        ck_assert_int_eq(weir_session_stream(session, slow, 10, &run, &s, &error), WEIR_OK);
        judge(session, s, WEIR_ECOMMANDTIMEOUT, i ? WEIR_VERDICT_IGNORE : WEIR_VERDICT_NONE);
        ck_assert_uint_eq(calls().calls_failed, 1);
    }
    weir_statement_unref(slow);
    stop();
}
END_TEST

TEST_ON_BOTH(what_is_refused) {
    weir_session session = lend(false);
    weir_stream s;
    weir_result *result;
    weir_op op;
    ck_assert_int_eq(execute(session, "CREATE TEMP TABLE refused (n int)", NULL), WEIR_OK);
    static const char *const texts[] = {"INSERT INTO refused VALUES (1)",
                                        "INSERT INTO refused VALUES (1) RETURNING n", "BEGIN", "COMMIT",
                                        "DELETE FROM refused RETURNING n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int code = try_stream(session, texts[i], 10, &s);
        if (code == WEIR_OK) code = next(s, &result);
        ck_assert_int_eq(code, WEIR_EINVAL);
        ck_assert_ptr_nonnull(strstr(error.message, "streamed"));
        if (s.number) weir_stream_close(s);
    }
    ck_assert_int_eq(number(session, "SELECT count(*) FROM refused"), 0);
    weir_statement *many = weir_statement_new("SELECT 1", 8, NULL);
    ck_assert_int_eq(weir_session_stream(session, NULL, 10, NULL, &s, &error), WEIR_EINVAL);
    ck_assert_int_eq(weir_session_stream(session, many, 10, NULL, NULL, &error), WEIR_EINVAL);
    ck_assert_int_eq(weir_session_stream(session, many, WEIR_STREAM_ROWS_MAX + 1, NULL, &s, &error),
                     WEIR_EINVAL);
    ck_assert_int_eq(weir_session_stream((weir_session){0}, many, 1, NULL, &s, &error), WEIR_EINVAL);
    weir_run run;
    weir_run_init(&run);
    run.timeout_ms = 0;
    ck_assert_int_eq(weir_session_stream(session, many, 1, &run, &s, &error), WEIR_EINVAL);
    weir_statement_no_sets(many);
    ck_assert_int_eq(weir_session_stream(session, many, 10, NULL, &s, &error), WEIR_EINVAL);
    weir_statement_unref(many);
    ck_assert_int_eq(weir_stream_next((weir_stream){0}, NULL, &result, &op, &error), WEIR_EINVAL);
    ck_assert_int_eq(weir_stream_next(s, NULL, NULL, &op, &error), WEIR_EINVAL);
    ck_assert_int_eq(weir_stream_close((weir_stream){0}), WEIR_EINVAL);
    ck_assert_int_eq(weir_stream_close((weir_stream){.session = session}), WEIR_ESTALE);
}

TEST_ON_BOTH(given_back_with_streams_open) {
    for (int i = 0; i < 12; i++) {
        weir_session session = lend(i & 1);
        weir_stream s = stream(session, COUNT(100000), 10);
        long last = 0;
        for (int n = 0; n < i % 3; n++) batch(s, &last);
        if (i & 1) stream(session, COUNT(100000), 10);
        ck_assert_int_eq(weir_session_release(session), WEIR_OK);
        ck_assert_int_eq(weir_stream_close(s), WEIR_ESTALE);
    }
    weir_session session = lend(true);
    ck_assert_int_eq(number(session, "SELECT 7"), 7);
    weir_snapshot snapshot = {.struct_size = sizeof snapshot};
    weir_pool_snapshot(pool, &snapshot, NULL);
    ck_assert_uint_eq(snapshot.connections_lost, 0);
    ck_assert_uint_eq(snapshot.queries_started, snapshot.queries_succeeded + snapshot.queries_failed +
                                                    snapshot.queries_cancelled + snapshot.queries_timed_out);
}

/* A pool that is freed has no trouble with streams and those who wait for them. */
TEST_ON_BOTH(the_pool_goes_first) {
    weir_session session = lend(true);
    weir_stream s = stream(session, COUNT(1000), 10);
    stream(session, COUNT(1000), 10);
    weir_result *result;
    weir_op op;
    int code = weir_stream_next(s, NULL, &result, &op, &error);
    ck_assert(code == WEIR_PENDING || code == WEIR_OK);
    if (code == WEIR_OK) weir_result_free(result);
}

TEST_ON_BOTH(memory_may_fail_anywhere) {
    weir_session session = lend(true);
    ck_assert_int_eq(number(session, "SELECT 7"), 7);
    bool through = false;
    for (long k = 1; !through; k++) {
        ck_assert_int_lt(k, 400);
        long last = 0;
        weir_stream s = {0};
        weir_result *result = NULL;
        weir__alloc_fail_at(k, false);
        int code = try_stream(session, COUNT(25), 10, &s);
        if (code == WEIR_OK)
            while ((code = next(s, &result)) == WEIR_OK && result) {
                last += (long)weir_result_rows(result);
                weir_result_free(result);
            }
        through = weir__alloc_count() < k;
        weir__alloc_fail_at(0, false);
        if (s.number) weir_stream_close(s);
        ck_assert_msg(code == WEIR_ENOMEM || code == WEIR_OK || code == WEIR_ELOST, "%ld: %d", k, code);
        ck_assert(code != WEIR_OK || last == 25);
        weir_op op;
        int rolled_back = weir_session_rollback(session, 1, NULL, &op, NULL);
        if (rolled_back == WEIR_PENDING) rolled_back = finish(op, NULL);
        if (rolled_back != WEIR_OK) session = lend(true); /* it was lost */
        ck_assert_int_eq(number(session, "SELECT 7"), 7);
        check_pool();
    }
}

/* ---- what can be timed well on PostgreSQL alone */

START_TEST(deadlines) {
    start(POSTGRES);
    weir_session session = lend(false);
    weir_statement *slow = weir_statement_new(SLOW, strlen(SLOW), NULL);
    weir_run run;
    weir_run_init(&run);
    run.timeout_ms = 50;
    for (int i = 0; i < 2; i++) {
        weir_stream s;
        weir_result *result;
        ck_assert_int_eq(weir_session_stream(session, slow, 10, &run, &s, &error), WEIR_OK);
        ck_assert_int_eq(next(s, &result), WEIR_ECOMMANDTIMEOUT);
        ck_assert_int_eq(next(s, &result), WEIR_ECOMMANDTIMEOUT);
        if (i) weir_stream_close(s);
        ck_assert_int_eq(number(session, "SELECT 7"), 7); /* its transaction was rolled back */
    }
    ck_assert_uint_ge(pool->stats->queries_timed_out, 1);
    ck_assert_uint_eq(pool->stats->queries_failed, 0); /* whenever the server has heard of it */
    weir_session_release(session);
    session = lend(true);
    weir_stream s;
    weir_result *result;
    ck_assert_int_eq(weir_session_stream(session, slow, 10, &run, &s, &error), WEIR_OK);
    ck_assert_int_eq(next(s, &result), WEIR_ECOMMANDTIMEOUT);
    ck_assert_int_eq(execute(session, "SELECT 1", NULL), WEIR_ESERVER);
    ck_assert_str_eq(error.sqlstate, "25P02");
    weir_statement_unref(slow);
    stop();
}
END_TEST

START_TEST(cancelled_waits) {
    start(POSTGRES);
    weir_session session = lend(false);
    long backend = number(session, "SELECT pg_backend_pid()");
    weir_stream s = stream(session, SLOW, 10);
    weir_result *result;
    weir_op op, second;
    ck_assert_int_eq(weir_stream_next(s, NULL, &result, &op, &error), WEIR_PENDING);
    ck_assert_int_eq(weir_stream_next(s, NULL, &result, &second, &error), WEIR_EBUSY);
    ck_assert_int_eq(weir_reactor_cancel(reactor, op), WEIR_OK);
    ck_assert_int_eq(next(s, &result), WEIR_ECANCELLED);
    weir_stream_close(s);
    ck_assert_int_eq(number(session, "SELECT pg_backend_pid()"), backend);
    s = stream(session, SLOW, 10);
    ck_assert_int_eq(weir_stream_next(s, NULL, &result, &op, &error), WEIR_PENDING);
    weir_stream_close(s);
    ck_assert_int_eq(finish(op, NULL), WEIR_ECANCELLED);
    ck_assert_int_eq(number(session, "SELECT pg_backend_pid()"), backend);
    s = stream(session, SLOW, 10);
    ck_assert_int_eq(weir_stream_next(s, NULL, &result, &op, &error), WEIR_PENDING);
    weir_session_release(session);
    ck_assert_int_eq(finish(op, NULL), WEIR_ESTALE);
    session = lend(false); /* the same connection, or another when that takes long to be drained */
    ck_assert_int_eq(number(session, "SELECT 7"), 7);
    ck_assert_uint_ge(pool->stats->queries_cancelled, 1);
    ck_assert_uint_eq(pool->stats->queries_failed, 0);
    stop();
}
END_TEST

START_TEST(lost_between_batches) {
    start(POSTGRES);
    weir_session session = lend(true);
    weir_stream s = stream(session, COUNT(1000), 10);
    long last = 0;
    char sql[64];
    weir_result *result;
    batch(s, &last);
    snprintf(sql, sizeof sql, "SELECT pg_terminate_backend(%ld)", number(session, "SELECT pg_backend_pid()"));
    free(pg_server_query(sql));
    batch(s, &last);
    ck_assert_int_eq(next(s, &result), WEIR_ELOST);
    ck_assert_int_eq(next(s, &result), WEIR_ELOST);
    stop();
}
END_TEST

/* What a statement does beside giving rows is kept when all of them have come, and else undone. */
START_TEST(a_transaction_of_its_own) {
    start(POSTGRES);
    free(pg_server_query(
        "DROP TABLE IF EXISTS effects; CREATE TABLE effects (n int); GRANT ALL ON effects TO weir;"
        "CREATE OR REPLACE FUNCTION effect(n int) RETURNS int LANGUAGE sql AS "
        "'INSERT INTO effects VALUES ($1) RETURNING n'"));
    weir_session session = lend(false);
    weir_stream s = stream(session, "SELECT effect(n) FROM generate_series(1, 10) n", 4);
    long last = 0;
    batch(s, &last);
    weir_stream_close(s);
    ck_assert_int_eq(number(session, "SELECT count(*) FROM effects"), 0);
    last = 0;
    s = stream(session, "SELECT effect(n) FROM generate_series(1, 10) n", 4);
    while (batch(s, &last)) {
    }
    ck_assert_int_eq(pg_server_number("SELECT count(*) FROM effects"), 10); /* there when the end is told */
    free(pg_server_query("ALTER TABLE effects ADD UNIQUE (n) DEFERRABLE INITIALLY DEFERRED"));
    last = 0;
    s = stream(session, "SELECT effect(n) FROM generate_series(1, 3) n", 10);
    ck_assert_uint_eq(batch(s, &last), 3);
    weir_result *result;
    ck_assert_int_eq(next(s, &result), WEIR_ESERVER); /* COMMIT has failed */
    ck_assert_str_eq(error.sqlstate, "23505");
    ck_assert_int_eq(number(session, "SELECT count(*) FROM effects"), 10);
    stop();
}
END_TEST

static Suite *make_suite(void) {
    Suite *suite = suite_create("stream");
    TCase *tcase = tcase_create("both");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, rows_come_in_batches, 0, DATABASES);
    tcase_add_loop_test(tcase, one_batch_is_fetched_ahead, 0, DATABASES);
    tcase_add_loop_test(tcase, several_at_once_with_statements_between, 0, DATABASES);
    tcase_add_loop_test(tcase, left_early, 0, DATABASES);
    tcase_add_loop_test(tcase, a_plain_connection_has_one_stream, 0, DATABASES);
    tcase_add_loop_test(tcase, it_ends_with_its_transaction, 0, DATABASES);
    tcase_add_loop_test(tcase, savepoints, 0, DATABASES);
    tcase_add_loop_test(tcase, errors_come_behind_the_rows_before_them, 0, DATABASES);
    tcase_add_loop_test(tcase, the_host_judges_failures, 0, DATABASES);
    tcase_add_loop_test(tcase, what_is_refused, 0, DATABASES);
    tcase_add_loop_test(tcase, given_back_with_streams_open, 0, DATABASES);
    tcase_add_loop_test(tcase, the_pool_goes_first, 0, DATABASES);
    tcase_add_loop_test(tcase, memory_may_fail_anywhere, 0, DATABASES);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("postgres");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, deadlines);
    tcase_add_test(tcase, the_host_judges_time_outs);
    tcase_add_test(tcase, cancelled_waits);
    tcase_add_test(tcase, lost_between_batches);
    tcase_add_test(tcase, a_transaction_of_its_own);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void) {
    pg_server_start();
    return run_suite(make_suite());
}

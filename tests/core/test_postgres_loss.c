/* The PostgreSQL driver against a real server: cancelling, and losing the connection. */
#include <signal.h>

#include "driver/postgres/pg.h"
#include "pg_lone.h"

/* Runs SQL on another connection, as superuser, with this one's process id in place of the %d. */
static void from_outside(const char *format) {
    char sql[256];
    snprintf(sql, sizeof sql, format, p->conn->backend);
    free(pg_server_query(sql));
}

/* The number that another connection's query gives, with this one's process id in place of the %d. */
static long number_outside(const char *format) {
    char sql[256];
    snprintf(sql, sizeof sql, format, p->conn->backend);
    return pg_server_number(sql);
}

#define IS_ACTIVE                                                                                            \
    "SELECT count(*) FROM pg_stat_activity WHERE pid = %d AND state = 'active' AND query LIKE "              \
    "'%%pg_sleep%%'"

/* ---- cancelling */

static void start_sleep(peer *q) {
    q->held = statement_of("SELECT pg_sleep(600)");
    weir__request wish = {.statement = q->held, .timeout_ms = -1};
    start_request(q, &wish);
}

START_TEST(cancels_hit_nobody_else) {
    weir_statement *statement = statement_of("SELECT pg_sleep(600)");
    weir__request wish = {.statement = statement, .timeout_ms = -1};
    for (int round = 0; round < 20; round++) {
        start_request(p, &wish);
        /* At once, and also when it is known to run. */
        if (round % 2) WAIT_FOR(number_outside(IS_ACTIVE) == 1);
        driver->cancel(p->conn);
        if (round % 2 == 0 && round) {
            /* It may have come before the statement did; then somebody has to come again. */
            int64_t soon = weir__now(&weir__monotonic) + 2000 * WEIR__MS;
            while (p->busy && weir__now(&weir__monotonic) < soon) turn_once();
            if (p->busy) from_outside("SELECT pg_cancel_backend(%d)");
        }
        WAIT_FOR(!p->busy);
        ck_assert_msg(p->request.code == WEIR_ESERVER || p->request.code == WEIR_ECANCELLED, "%s",
                      failure(p));
        if (p->request.code == WEIR_ESERVER) ck_assert_str_eq(p->request.error->sqlstate, "57014");
        for (int i = 0; i < 200; i++) EXPECT(p, "SELECT 'unharmed'", "unharmed");
    }
    weir_statement_unref(statement);
    /* One that ends by itself before the cancellation comes: that must not find the next. */
    weir_statement *quick = statement_of("SELECT 1");
    wish = (weir__request){.statement = quick, .timeout_ms = -1};
    for (int i = 0; i < 50; i++) {
        start_request(p, &wish);
        driver->cancel(p->conn);
        WAIT_FOR(!p->busy);
        EXPECT(p, "SELECT 'unharmed' FROM pg_sleep(0.01)", "unharmed");
    }
    weir_statement_unref(quick);
}
END_TEST

START_TEST(many_cancels_at_once) {
    peer sleepers[12];
    for (int i = 0; i < 12; i++) connect_peer(&l.pool, &sleepers[i]);
    for (int i = 0; i < 12; i++) start_sleep(&sleepers[i]);
    int64_t deadline = weir__now(&weir__monotonic) + PATIENCE;
    while (pg_server_number("SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)' AND "
                            "state = 'active'") < 12) {
        ck_assert(weir__now(&weir__monotonic) < deadline);
        turn_once(); /* the types, and then the statement */
    }
    for (int i = 0; i < 12; i++) driver->cancel(sleepers[i].conn);
    for (int i = 0; i < 12; i++) {
        WAIT_FOR(!sleepers[i].busy);
        ck_assert_str_eq(sleepers[i].request.error->sqlstate, "57014");
    }
    /* Stopped while the cancellation is on its way. */
    weir_statement_unref(sleepers[0].held);
    start_sleep(&sleepers[0]);
    driver->cancel(sleepers[0].conn);
    for (int i = 0; i < 12; i++) stop_peer(&sleepers[i]);
}
END_TEST

START_TEST(cancelled_while_it_is_sent) {
    RUN(p, "CREATE TABLE many (n int, t text)");
    EXPECT(p, "SELECT count(*) FROM many", "0");
    weir_statement *statement = statement_of("INSERT INTO many SELECT $1, $2 FROM pg_sleep(0.05)");
    char text[2000];
    memset(text, 'x', sizeof text);
    for (int i = 0; i < 20000; i++) {
        weir_value n = int_value(i), t = bytes_value(WEIR_TYPE_TEXT, text, sizeof text);
        if (i) weir_statement_add_set(statement);
        weir_statement_add(statement, &n);
        weir_statement_add(statement, &t);
    }
    weir__request wish = {.statement = statement, .timeout_ms = -1};
    start_request(p, &wish);
    for (int i = 0; i < 5 && p->busy; i++) turn_once();
    ck_assert(p->busy);
    ck_assert_uint_lt(op_of(p)->next_set, 20000); /* no more than the socket takes */
    ck_assert_int_eq(kill(p->conn->backend, SIGSTOP), 0);
    driver->ready(p->conn, WEIR__WRITE); /* now the socket is full */
    ck_assert(driver->doubtful(p->conn, &p->request));
    driver->cancel(p->conn);
    ck_assert(!driver->doubtful(p->conn, &p->request));
    ck_assert_int_eq(kill(p->conn->backend, SIGCONT), 0);
    WAIT_FOR(!p->busy);
    ck_assert_msg(p->request.code == WEIR_ECANCELLED || p->request.code == WEIR_ESERVER, "%s", failure(p));
    weir_statement_unref(statement);
    EXPECT(p, "SELECT count(*) FROM many", "0");
    RUN(p, "DROP TABLE many");
}
END_TEST

/* What the driver asks by itself, the number of a transaction, is nothing to be cancelled. */
START_TEST(cancelled_before_it_is_sent) {
    weir_statement *script = statement_of("SELECT 1; SELECT 2"),
                   *insert = statement_of("INSERT INTO unsent VALUES (1)");
    weir__request wish = {.statement = insert, .timeout_ms = -1};
    RUN(p, "CREATE TABLE unsent (n int)");
    RUN(p, "BEGIN");
    ck_assert_int_eq(run_request(p, &wish), WEIR_OK);
    ck_assert(!weir__list_empty(&((weir__pgconn *)p->conn)->ops)); /* the question */
    wish = (weir__request){.statement = script, .mode = WEIR__SCRIPT, .timeout_ms = -1};
    start_request(p, &wish); /* waits for its answer */
    ck_assert(p->busy);
    driver->cancel(p->conn);
    ck_assert(!p->busy);
    ck_assert_int_eq(p->request.code, WEIR_ECANCELLED);
    for (int i = 0; i < 10; i++) EXPECT(p, "SELECT 'unharmed' FROM pg_sleep(0.01)", "unharmed");
    RUN(p, "ROLLBACK");
    RUN(p, "DROP TABLE unsent");
    weir_statement_unref(script);
    weir_statement_unref(insert);
}
END_TEST

/* _i: by the tag it might write, and does not. */
START_TEST(a_number_is_asked_for_behind_the_first_write) {
    static const char *const before[] = {"SET LOCAL lock_timeout = 1000", "LOCK TABLE t IN SHARE MODE"};
    const weir__pgconn *c = (const weir__pgconn *)p->conn;
    RUN(p, "CREATE TABLE t (n int)");
    RUN(p, "BEGIN");
    RUN(p, before[_i]);
    ck_assert_int_eq(c->xid_asked, _i);
    WAIT_FOR(!c->xid_asked);
    RUN(p, "INSERT INTO t VALUES (1)");
    WAIT_FOR(c->base.xid);
    char xid[32];
    snprintf(xid, sizeof xid, "%llu", (unsigned long long)c->base.xid);
    EXPECT(p, "SELECT pg_current_xact_id_if_assigned()::text", xid);
    RUN(p, "ROLLBACK");
    RUN(p, "DROP TABLE t");
}
END_TEST

/* ---- losing the connection */

START_TEST(terminated_in_a_query) {
    start_sleep(p);
    WAIT_FOR(!p->busy ||
             pg_server_number("SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)' "
                              "AND state = 'active'") == 1);
    from_outside("SELECT pg_terminate_backend(%d)");
    WAIT_FOR(p->lost);
    ck_assert(!p->busy);
    ck_assert_int_eq(p->request.code, WEIR_ELOST);
    ck_assert_str_eq(p->request.error->sqlstate, "57P01");
    ck_assert(p->request.error->retryable);
    ck_assert_str_eq(p->why.sqlstate, "57P01");
    ck_assert_int_eq(p->conn->tx, WEIR__TX_NONE);
}
END_TEST

/* A COPY that was not seen coming: neither the connection nor the caller may hang. */
static void copy_unseen(const char *sql) {
    peer q;
    connect_peer(&l.pool, &q);
    FAILS(&q, run(&q, sql), WEIR_ENOTSUP, "run them with copy_in or copy_out");
    weir__lru *shapes = &((weir__pgenv *)l.pool.env)->shapes;
    weir__lru_node *node = weir__lru_find(shapes, weir__statement_hash(sql, strlen(sql)), sql, strlen(sql));
    ck_assert_ptr_nonnull(node);
    weir__container(node, weir__shape, node)->traits = 0;
    FAILS(&q, run(&q, sql), WEIR_ENOTSUP, "began a COPY");
    ck_assert(q.lost);
    ck_assert_int_eq(q.why.code, WEIR_ELOST);
    stop_peer(&q);
}

START_TEST(a_copy_ends_the_connection) {
    RUN(p, "CREATE TABLE t (n int)");
    copy_unseen("COPY t FROM STDIN");
    copy_unseen("COPY (SELECT generate_series(1, 100000)) TO STDOUT");
    EXPECT(p, "SELECT count(*) FROM t", "0");
    RUN(p, "DROP TABLE t");
}
END_TEST

/* While libpq cannot send it reads by itself: an error that it met there would be told when all is sent. */
START_TEST(an_error_comes_while_the_socket_is_full) {
    const size_t size = 32 << 20; /* more than the socket takes */
    char *rows = malloc(size);
    for (size_t i = 0; i < size; i += 2) memcpy(rows + i, "1\n", 2);
    RUN(p, "CREATE TEMP TABLE t (n int)");
    p->held = statement_of("COPY t FROM STDIN");
    weir__request wish = {.statement = p->held, .mode = WEIR__COPY_IN, .timeout_ms = -1};
    start_request(p, &wish);
    WAIT_FOR(p->conn->copy == WEIR__COPY_READY);
    ck_assert_int_eq(kill(p->conn->backend, SIGSTOP), 0);
    driver->copy_put(p->conn, "x\n", 2);
    driver->copy_put(p->conn, rows, size);
    ck_assert_int_eq(p->conn->copy, WEIR__COPY_BUSY);
    ck_assert_int_eq(kill(p->conn->backend, SIGCONT), 0);
    struct pollfd error = {p->fd, POLLIN, 0};
    ck_assert_int_eq(poll(&error, 1, PATIENCE / WEIR__MS), 1);
    ck_assert_int_eq(kill(p->conn->backend, SIGSTOP), 0);
    driver->ready(p->conn, WEIR__WRITE); /* an event from before the error */
    ck_assert_int_eq(kill(p->conn->backend, SIGCONT), 0);
    int64_t until = weir__now(&weir__monotonic) + PATIENCE;
    while (p->busy) {
        turn(until);
        if (p->conn->copy == WEIR__COPY_READY) driver->copy_put(p->conn, rows, 1 << 16);
    }
    FAILS(p, p->request.code, WEIR_ESERVER, "invalid input syntax");
    free(rows);
}
END_TEST

/* A trigger that sleeps when the transaction commits. */
static void make_slow_commit(void) {
    RUN(p, "CREATE TABLE slow (n int)");
    RUN(p, "CREATE FUNCTION sleep_trigger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM "
           "pg_sleep(600); RETURN NULL; END $$");
    RUN(p, "CREATE CONSTRAINT TRIGGER slowly AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED FOR EACH ROW "
           "EXECUTE FUNCTION sleep_trigger()");
}

START_TEST(lost_around_commit) {
    make_slow_commit();
    static const char *const begin[] = {"BEGIN"};
    weir_statement *statement = statement_of("INSERT INTO slow VALUES (1)");
    weir__request wish = {
        .statement = statement, .before = begin, .before_count = 1, .command = "COMMIT", .timeout_ms = -1};
    start_request(p, &wish);
    int64_t deadline = weir__now(&weir__monotonic) + PATIENCE;
    char sql[160];
    snprintf(sql, sizeof sql,
             "SELECT count(*) FROM pg_stat_activity WHERE pid = %d AND wait_event = 'PgSleep'",
             p->conn->backend);
    while (pg_server_number(sql) != 1) {
        ck_assert(weir__now(&weir__monotonic) < deadline);
        turn_once();
    }
    from_outside("SELECT pg_terminate_backend(%d)");
    WAIT_FOR(p->lost);
    ck_assert_msg(p->request.code == WEIR_EOUTCOME, "%s", failure(p));
    ck_assert(!p->request.error->retryable);
    weir_statement_unref(statement);
    free(pg_server_query("DROP TABLE slow; DROP FUNCTION sleep_trigger"));
}
END_TEST

/* Starts a statement, and has the server end the connection while it sleeps. */
static void terminate_in(peer *q, weir_statement *statement, const char *const *before, unsigned count) {
    weir__request wish = {.statement = statement, .before = before, .before_count = count, .timeout_ms = -1};
    char sql[160];
    int64_t deadline = weir__now(&weir__monotonic) + PATIENCE;
    start_request(q, &wish);
    ck_assert(q->busy);
    snprintf(sql, sizeof sql,
             "SELECT count(*) FROM pg_stat_activity WHERE pid = %d AND wait_event = 'PgSleep'",
             q->conn->backend);
    while (pg_server_number(sql) != 1) {
        ck_assert(weir__now(&weir__monotonic) < deadline);
        turn_once();
    }
    snprintf(sql, sizeof sql, "SELECT pg_terminate_backend(%d)", q->conn->backend);
    free(pg_server_query(sql));
    WAIT_FOR(q->lost);
    ck_assert_int_eq(q->why.code, WEIR_ELOST);
    weir_statement_unref(statement);
}

START_TEST(lost_while_writing) {
    static const char *const begin[] = {"BEGIN"};
    static const struct {
        const char *sql;
        bool begun, many;
        int code;
    } cases[] = {
        {"INSERT INTO t SELECT 1 FROM pg_sleep(600)", false, false, WEIR_EOUTCOME},
        {"INSERT INTO t SELECT $1::int FROM pg_sleep(600)", false, true, WEIR_EOUTCOME},
        {"WITH x AS (INSERT INTO t SELECT 1 FROM pg_sleep(600)) SELECT 1", false, false, WEIR_EOUTCOME},
        {"INSERT INTO t SELECT 1 FROM pg_sleep(600)", true, false, WEIR_ELOST},
        {"SELECT n FROM t, pg_sleep(600)", false, false, WEIR_ELOST},
    };
    RUN(p, "CREATE TABLE t (n int)");
    RUN(p, "INSERT INTO t VALUES (0)");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        peer q;
        weir_value n = int_value(1);
        weir_statement *statement = statement_of(cases[i].sql);
        if (cases[i].many) weir_statement_no_sets(statement);
        for (int set = 0; cases[i].many && set < 2; set++) {
            weir_statement_add_set(statement);
            weir_statement_add(statement, &n);
        }
        connect_peer(&l.pool, &q);
        terminate_in(&q, statement, begin, cases[i].begun);
        ck_assert_msg(q.request.code == cases[i].code, "%s: %s", cases[i].sql, failure(&q));
        ck_assert_int_eq(q.request.error->retryable, cases[i].code == WEIR_ELOST);
        ck_assert_str_eq(q.request.error->sqlstate, "57P01");
        ck_assert_ptr_nonnull(strstr(failure(&q), "terminating connection"));
        ck_assert_uint_eq(q.request.begun, cases[i].begun);
        stop_peer(&q);
    }
    EXPECT(p, "SELECT count(*) FROM t", "1");
    RUN(p, "DROP TABLE t");
}
END_TEST

/* The row is there, and the answer does not come: no standby confirms it. _i: a whole transaction, whose
 * number is told. */
START_TEST(lost_while_replicating) {
    static const char *const begin[] = {"BEGIN"};
    RUN(p, "CREATE TABLE t (n int)");
    RUN(p, "SET synchronous_commit = on"); /* the tests' server has it off */
    free(pg_server_query("ALTER SYSTEM SET synchronous_standby_names = 'nobody'"));
    free(pg_server_query("SELECT pg_reload_conf()"));
    int64_t deadline = weir__now(&weir__monotonic) + PATIENCE;
    weir_statement *statement = statement_of("INSERT INTO t VALUES (1)");
    weir__request wish = {.statement = statement,
                          .before = begin,
                          .before_count = (unsigned)_i,
                          .command = _i ? "COMMIT" : NULL,
                          .timeout_ms = -1};
    char sql[160];
    snprintf(sql, sizeof sql,
             "SELECT count(*) FROM pg_stat_activity WHERE pid = %d AND wait_event = 'SyncRep'",
             p->conn->backend);
    do { /* until the server has taken notice of the setting */
        ck_assert(weir__now(&weir__monotonic) < deadline);
        if (!p->busy) start_request(p, &wish);
        turn_once();
    } while (pg_server_number(sql) != 1);
    long rows = pg_server_number("SELECT count(*) FROM t");
    from_outside("SELECT pg_terminate_backend(%d)");
    WAIT_FOR(p->lost);
    FAILS(p, p->request.code, WEIR_EOUTCOME, "whether it took effect is unknown");
    ck_assert(!p->request.error->retryable);
    ck_assert_str_eq(p->request.error->sqlstate, "57P01");
    ck_assert_int_eq(pg_server_number("SELECT count(*) FROM t"), rows + 1);
    snprintf(sql, sizeof sql, "SELECT count(*) FROM t WHERE xmin::text = '%llu'",
             (unsigned long long)p->request.error->xid);
    ck_assert_int_eq(pg_server_number(sql), _i);
    weir_statement_unref(statement);
    free(pg_server_query("ALTER SYSTEM RESET synchronous_standby_names"));
    free(pg_server_query("SELECT pg_reload_conf()"));
    free(pg_server_query("SET synchronous_commit = off; DROP TABLE t"));
}
END_TEST

static Suite *make_suite(void) {
    Suite *suite = suite_create("postgres_loss");
    TCase *tcase = tcase_create("loss");
    tcase_set_timeout(tcase, 240);
    tcase_add_checked_fixture(tcase, setup_lone, teardown_lone);
    tcase_add_test(tcase, cancels_hit_nobody_else);
    tcase_add_test(tcase, many_cancels_at_once);
    tcase_add_test(tcase, cancelled_while_it_is_sent);
    tcase_add_test(tcase, cancelled_before_it_is_sent);
    tcase_add_loop_test(tcase, a_number_is_asked_for_behind_the_first_write, 0, 2);
    tcase_add_test(tcase, terminated_in_a_query);
    tcase_add_test(tcase, a_copy_ends_the_connection);
    tcase_add_test(tcase, an_error_comes_while_the_socket_is_full);
    tcase_add_test(tcase, lost_around_commit);
    tcase_add_test(tcase, lost_while_writing);
    tcase_add_loop_test(tcase, lost_while_replicating, 0, 2);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void) {
    pg_server_start();
    return run_suite(make_suite());
}

/*
 * Short reads, which the SQLite driver runs on the host's thread. The host's clock goes on by `step` at each
 * look at it, so that what is short does not depend on the machine: with a step of 1 µs a budget is 50 looks.
 */
#include "sqlite_host.h"
#include "support_suite.h"

#include <weirpool/pool.h>

#define ROW "select v from t where id = $1"
#define ROWS "with recursive n(i) as (select 1 union all select i + 1 from n where i < $1) select i from n"
#define SUM                                                                                                  \
    "with recursive n(i) as (select 1 union all select i + 1 from n where i < $1) select sum(i) from n"
#define ENDLESS ((int64_t)1 << 60)

static atomic_llong now_ns, step;
static peer a, b;
static pool db;

static int64_t tick(void *arg) {
    (void)arg;
    return atomic_fetch_add(&now_ns, atomic_load(&step));
}

static const weir__clock ticking = {tick, NULL};

static void open_db(void) {
    setup();
    atomic_store(&now_ns, WEIR__MS);
    atomic_store(&step, 1000);
    host_clock = &ticking;
    db = open_file(&a);
    must(&a, "create table t (id integer primary key, v)");
    must(&a, "insert into t values (1, 'one'), (2, 'two')");
}

static void close_db(void) {
    close_peer(&a);
    close_pool(&db);
    teardown();
}

/* Was it answered before the call returned? */
static bool at_once(peer *p, const char *sql, int64_t parameter) {
    start(p, sql, "i", parameter);
    bool answered = !p->busy;
    ck_assert_int_eq(end_request(p), WEIR_OK);
    return answered;
}

/* Runs a read with a small parameter until it is one that runs at once. */
static void make_short(peer *p, const char *sql) {
    int tries = 0;
    while (!at_once(p, sql, 2)) ck_assert_int_lt(tries++, 100);
}

static weir_value cell(peer *p, size_t row) {
    weir_value value;
    ck_assert_int_eq(weir_result_value(p->request.result, row, 0, &value), WEIR_OK);
    return value;
}

static void assert_row(peer *p, const char *text) {
    ck_assert_uint_eq(weir_result_rows(p->request.result), 1);
    ck_assert_int_eq(weir_result_affected(p->request.result), 1);
    ck_assert_str_eq(weir_result_tag(p->request.result), "SELECT 1");
    ck_assert_str_eq(cell(p, 0).as.bytes.data, text);
}

START_TEST(a_read_that_comes_again_is_answered_at_once) {
    ck_assert(!at_once(&a, ROW, 1));
    ck_assert(!at_once(&a, ROW, 1)); /* now its steps are known */
    for (int i = 0; i < 100; i++) {
        ck_assert(at_once(&a, ROW, 1 + i % 2));
        assert_row(&a, i % 2 ? "two" : "one");
        ck_assert_int_eq(a.conn->tx, WEIR__TX_NONE);
    }
    ck_assert(at_once(&a, ROW, 3));
    ck_assert_str_eq(weir_result_tag(a.request.result), "SELECT 0");
    must(
        &a,
        "update t set v = 'changed'"); /* by the worker, which sees what the host has left, and the reverse */
    ck_assert(at_once(&a, ROW, 2));
    assert_row(&a, "changed");
    must(&a, "alter table t add column w default 7"); /* prepared anew on the host's thread */
    ck_assert(at_once(&a, ROW, 1));
    assert_row(&a, "changed");
    start(&a, ROW, "");
    ck_assert_int_eq(end_request(&a), WEIR_EINVAL);
    ck_assert(at_once(&a, ROW, 2));
}
END_TEST

START_TEST(what_may_work_for_long_is_the_workers) {
    static const char *const sqls[] = {
        "select length(randomblob($1))",
        "select v from t where v like $1",
        "select value from json_each('[1]') where $1 > 0",
        "insert into t (v) values ($1) returning id",
        "update t set v = $1",
        "explain select v from t where id = $1",
    };
    for (size_t i = 0; i < sizeof sqls / sizeof sqls[0]; i++)
        for (int run = 0; run < 4; run++) ck_assert_msg(!at_once(&a, sqls[i], 1), "%s", sqls[i]);
    for (int run = 0; run < 4; run++) { /* one step goes through all of the table */
        start(&a, "select count(*) from t", "");
        ck_assert(a.busy);
        ck_assert_int_eq(end_request(&a), WEIR_OK);
    }
    make_short(&a, ROW);
    start(&a, ROW, "0|i", (int64_t)1);
    ck_assert(a.busy);
    ck_assert_int_eq(end_request(&a), WEIR_OK);
    ck_assert_int_eq(run_parts(&a, "BEGIN", "select v from t where id = 1", "COMMIT"), WEIR_OK);
}
END_TEST

START_TEST(a_read_out_of_budget_is_done_by_the_worker) {
    make_short(&a, ROWS);
    for (int64_t most = 200000; most <= 200001; most++) {
        int dones = a.dones;
        ck_assert(!at_once(&a, ROWS, most));
        ck_assert_int_eq(a.dones, dones + 1);
        ck_assert_uint_eq(weir_result_rows(a.request.result), (size_t)most);
        for (int64_t i = 0; i < most; i += 999) ck_assert_int_eq(cell(&a, (size_t)i).as.integer, i + 1);
        ck_assert(!at_once(&a, ROWS, 2)); /* it is not tried again soon … */
        make_short(&a, ROWS);             /* … but in the end */
    }
    make_short(&a, SUM); /* which has no row before its end: the steps are looked at */
    ck_assert(!at_once(&a, SUM, 1000000));
    ck_assert_int_eq(cell(&a, 0).as.integer, INT64_C(500000500000));
}
END_TEST

START_TEST(a_transaction_outlives_it) {
    make_short(&a, SUM);
    must(&a, "begin immediate");
    must(&a, "update t set v = 'kept' where id = 1");
    make_short(&a, ROW);
    ck_assert_int_eq(a.conn->tx, WEIR__TX_OPEN);
    make_short(&a, SUM);
    ck_assert(!at_once(&a, SUM, 1000000));
    ck_assert_int_eq(a.conn->tx, WEIR__TX_OPEN);
    must(&a, "commit");
    ck_assert(at_once(&a, ROW, 1));
    assert_row(&a, "kept");
}
END_TEST

START_TEST(a_lock_is_waited_for_by_the_worker) {
    static const char *const settings[] = {"journal_mode", "delete", NULL};
    with_url("sqlite:///@/locked.db");
    options.server_settings = settings;
    pool locked = open_pool();
    peer reader;
    connect_peer(&locked, &b);
    must(&b, "create table t (id integer primary key, v)");
    must(&b, "insert into t values (1, 'old')");
    connect_peer(&locked, &reader);
    make_short(&reader, ROW);
    must(&b, "begin exclusive");
    must(&b, "update t set v = 'new'");
    start(&reader, ROW, "i", (int64_t)1); /* waiting here would last until lock_timeout, and fail */
    ck_assert(reader.busy);
    must(&b, "commit");
    ck_assert_int_eq(end_request(&reader), WEIR_OK);
    assert_row(&reader, "new");
    close_peer(&reader);
    close_peer(&b);
    close_pool(&locked);
}
END_TEST

START_TEST(a_cancel_reaches_the_worker) {
    for (int i = 0; i < 5; i++) {
        make_short(&a, i % 2 ? ROWS : SUM);
        start(&a, SUM, "i", ENDLESS);
        ck_assert(a.busy);
        driver->cancel(a.conn);
        ck_assert_int_eq(end_request(&a), WEIR_ESERVER);
        ck_assert_str_eq(state(&a), "57014");
    }
    make_short(&a, ROW); /* and does not reach the next */
    driver->cancel(a.conn);
    ck_assert(at_once(&a, ROW, 1));
}
END_TEST

START_TEST(a_stop_while_the_worker_does_it) {
    connect_peer(&db, &b);
    make_short(&b, SUM);
    int dones = b.dones;
    start(&b, SUM, "i", ENDLESS);
    ck_assert(b.busy);
    close_peer(&b);
    ck_assert_int_eq(b.dones, dones);
}
END_TEST

/* Until an answer comes by letter; gives how many did not. */
static int until_letter(peer *p) {
    for (int count = 0; count < 1000; count++) {
        start(p, ROW, "i", (int64_t)1);
        if (p->busy) return count;
    }
    ck_abort_msg("no answer came by letter");
    return 0;
}

START_TEST(now_and_then_the_loop_has_a_turn) {
    make_short(&a, ROW);
    for (int i = 0; i < 3; i++) {
        int count = until_letter(&a);
        ck_assert_int_eq(end_request(&a), WEIR_OK);
        assert_row(&a, "one");
        if (i) ck_assert_int_gt(count, 100);
        ck_assert(at_once(&a, ROW, 2));
    }
    connect_peer(&db, &b);
    make_short(&b, ROW);
    int dones = b.dones + until_letter(&b);
    driver->cancel(b.conn); /* too late */
    ck_assert_int_eq(end_request(&b), WEIR_OK);
    ck_assert_int_eq(b.dones, dones + 1);
    dones += 1 + until_letter(&b);
    close_peer(&b); /* the letter is on its way */
    ck_assert_int_eq(b.dones, dones);
}
END_TEST

START_TEST(a_stall_on_the_disk_ends_them_for_a_while) {
    make_short(&a, ROW);
    connect_peer(&db, &b);
    must(&b, "update t set v = 'elsewhere'"); /* so that the page is read again */
    atomic_store(&step, 10 * WEIR__MS);
    ck_assert(!at_once(&a, ROW, 1)); /* its time is up: the loop has a turn, too */
    assert_row(&a, "elsewhere");
    atomic_store(&step, 1000);
    for (int i = 0; i < 100; i++) ck_assert(!at_once(&a, ROW, 1));
    atomic_fetch_add(&now_ns, 1000 * WEIR__MS);
    make_short(&a, ROW);
    atomic_store(&step, 10 * WEIR__MS); /* nothing is read: other threads have had the processor */
    start(&a, ROW, "i", (int64_t)1);
    ck_assert_int_eq(end_request(&a), WEIR_OK);
    atomic_store(&step, 1000);
    ck_assert(at_once(&a, ROW, 1));
    close_peer(&b);
}
END_TEST

/* ---- on the real clock, in a pool ---- */

enum { THREADS = 4, ROUNDS = 100, READS = 5 };

static weir_reactor *reactor;
static weir_pool *shared;

/* Gives the first cell of the answer; -1 for none, -2 for a failure. */
static int64_t ask(const char *sql, int64_t first, int64_t second) {
    weir_value value = {.type = WEIR_TYPE_INT, .as.integer = first};
    weir_completion out = {0};
    weir_op op = 0;
    weir_statement *statement = weir_statement_new(sql, strlen(sql), NULL);
    weir_statement_add(statement, &value);
    value.as.integer = second;
    if (second >= 0) weir_statement_add(statement, &value);
    int code = weir_pool_execute(shared, statement, NULL, NULL, &op, NULL);
    weir_statement_unref(statement);
    if (code != WEIR_PENDING || weir_reactor_wait(reactor, op, 60000, &out) != WEIR_OK) return -2;
    int64_t answer = out.code == WEIR_OK ? -1 : -2;
    if (answer == -1 && weir_result_rows(out.result) && !weir_result_value(out.result, 0, 0, &value))
        answer = value.as.integer;
    weir_completion_discard(&out);
    return answer;
}

/* Writes by the worker, reads on this thread or by the worker: each sees what came before it. */
static void *write_and_read(void *arg) {
    int64_t id = (intptr_t)arg;
    for (int64_t n = 1; n <= ROUNDS; n++) {
        if (ask("insert or replace into t values ($1, $2)", id, n) != -1) return "a write fails";
        for (int i = 0; i < READS; i++)
            if (ask("select v from t where id = $1", id, -1) != n) return "a read misses a write";
    }
    return NULL;
}

START_TEST(threads_share_the_connections) {
    weir_error error = WEIR_ERROR_INIT;
    weir_completion out = {0};
    weir_op op;
    pthread_t threads[THREADS];
    void *fault;
    with_url("sqlite:///@/threads.db");
    options.max_size = 2;
    ck_assert_int_eq(weir_reactor_new(&reactor, &error), WEIR_OK);
    ck_assert_int_eq(weir_pool_open(reactor, &options, NULL, &shared, &op, &error), WEIR_PENDING);
    ck_assert_int_eq(weir_reactor_wait(reactor, op, 60000, &out), WEIR_OK);
    ck_assert_int_eq(out.code, WEIR_OK);
    weir_statement *create = weir_statement_new("create table t (id integer primary key, v)", 42, NULL);
    ck_assert_int_eq(weir_pool_execute(shared, create, NULL, NULL, &op, NULL), WEIR_PENDING);
    weir_statement_unref(create);
    ck_assert_int_eq(weir_reactor_wait(reactor, op, 60000, &out), WEIR_OK);
    weir_completion_discard(&out);
    for (intptr_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_and_read, (void *)i), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], &fault);
        ck_assert_msg(!fault, "%s", fault ? (char *)fault : "");
    }
    weir_pool_free(shared);
    weir_reactor_free(reactor);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sqlite_short");
    TCase *reads = tcase_create("reads");
    tcase_set_timeout(reads, 120);
    tcase_add_checked_fixture(reads, open_db, close_db);
    tcase_add_test(reads, a_read_that_comes_again_is_answered_at_once);
    tcase_add_test(reads, what_may_work_for_long_is_the_workers);
    tcase_add_test(reads, a_read_out_of_budget_is_done_by_the_worker);
    tcase_add_test(reads, a_transaction_outlives_it);
    tcase_add_test(reads, a_lock_is_waited_for_by_the_worker);
    tcase_add_test(reads, a_cancel_reaches_the_worker);
    tcase_add_test(reads, a_stop_while_the_worker_does_it);
    tcase_add_test(reads, now_and_then_the_loop_has_a_turn);
    tcase_add_test(reads, a_stall_on_the_disk_ends_them_for_a_while);
    suite_add_tcase(suite, reads);
    TCase *threads = tcase_create("threads");
    tcase_set_timeout(threads, 120);
    tcase_add_checked_fixture(threads, setup, teardown);
    tcase_add_test(threads, threads_share_the_connections);
    suite_add_tcase(suite, threads);
    return run_suite(suite);
}

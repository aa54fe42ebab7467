/* The fake driver keeps the contract, does as it is told, and notices who does not keep it. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/statement.h"
#include "driver/fake/clock.h"
#include "driver/fake/fake.h"
#include "support_suite.h"

/* A connection as its host sees it. */
typedef struct peer {
    weir__conn *conn;
    weir__request request;
    int64_t due;
    bool connected, lost, down;
    int dones;
    weir_error why;
} peer;

static const weir__driver *const driver = &weir__fake_driver;
static weir__fake_clock time_;
static weir__clock fake_clock;
static weir__env *env;
static peer p;

static bool watch(weir__conn *conn, int fd, unsigned events) {
    (void)conn, (void)fd, (void)events;
    return false;
}

static void arm(weir__conn *conn, int64_t at) { ((peer *)conn->owner)->due = at; }

static void connected(weir__conn *conn) { ((peer *)conn->owner)->connected = true; }

static void lost(weir__conn *conn, weir_error *why) {
    peer *one = conn->owner;
    one->lost = true;
    one->why = *why;
    *why = (weir_error)WEIR_ERROR_INIT;
}

static void done(weir__conn *conn, weir__request *request) {
    ck_assert_ptr_eq(request, &((peer *)conn->owner)->request);
    ((peer *)conn->owner)->dones++;
}

static void down(weir__conn *conn) { ((peer *)conn->owner)->down = true; }

static void copied(weir__conn *conn) { (void)conn; }

static void noticed(weir__conn *conn, const weir_notice *notice) { (void)conn, (void)notice; }

static const weir__host host = {watch, arm, connected, lost, done, down, copied, noticed, NULL};

/* Moves the clock, and ticks when the time has come. */
static void pass(peer *one, int64_t ms) {
    int64_t end = time_.now + ms * WEIR__MS;
    while (one->due <= end) {
        time_.now = one->due > time_.now ? one->due : time_.now;
        one->due = WEIR__NEVER;
        driver->tick(one->conn);
    }
    time_.now = end;
}

static void setup(void) {
    weir_error error = WEIR_ERROR_INIT;
    weir__fake_start(7);
    time_.now = 1;
    fake_clock = weir__fake_clock_as(&time_);
    weir__env base = {.driver = driver, .host = &host, .clock = &fake_clock};
    env = driver->env_open(&base, &error);
    ck_assert_ptr_nonnull(env);
}

static void create(peer *one) {
    *one = (peer){.due = WEIR__NEVER, .why = WEIR_ERROR_INIT};
    one->conn = driver->create(env, one);
    ck_assert_ptr_nonnull(one->conn);
}

static void forget(peer *one) {
    weir_result_free(one->request.result);
    weir_error_free(one->request.error);
    weir_statement_unref(one->request.statement);
    one->request = (weir__request){.timeout_ms = -1};
}

static void destroy(peer *one) {
    forget(one);
    driver->stop(one->conn);
    pass(one, 10000);
    ck_assert(one->down);
    driver->free(one->conn);
    weir_error_clear(&one->why);
}

static void open_one(void) {
    setup();
    create(&p);
    driver->connect(p.conn);
    ck_assert(p.connected);
}

static void close_one(void) {
    destroy(&p);
    driver->env_close(env);
    ck_assert_msg(weir__fake.violations == 0, "%s", weir__fake.violation);
    ck_assert_int_eq(weir__fake.created, weir__fake.freed);
    ck_assert_uint_eq(weir__fake.live_count, 0);
}

static void start(peer *one, const char *before, const char *sql, const char *command) {
    static const char *list[1];
    weir_error error = WEIR_ERROR_INIT;
    forget(one);
    list[0] = before;
    one->request.before = list;
    one->request.before_count = before != NULL;
    one->request.command = command;
    if (sql) one->request.statement = weir_statement_new(sql, strlen(sql), &error);
    driver->execute(one->conn, &one->request);
}

static const char *state(const peer *one) {
    return one->request.error ? one->request.error->sqlstate : "none";
}

START_TEST(answers_echo_their_question) {
    weir_value value = {.type = WEIR_TYPE_INT, .as.integer = 42};
    start(&p, NULL, "select 1", NULL);
    ck_assert_int_eq(p.dones, 1); /* without a delay, inside the call */
    ck_assert_int_eq(weir_result_value(p.request.result, 0, 0, &value), WEIR_OK);
    ck_assert_int_eq(value.as.bytes.length, 8);
    ck_assert_mem_eq(value.as.bytes.data, "select 1", 8);
    ck_assert_str_eq(weir_result_name(p.request.result, 0), "echo");

    forget(&p);
    value = (weir_value){.type = WEIR_TYPE_INT, .as.integer = 42};
    p.request.statement = weir_statement_new("any", 3, NULL);
    weir_statement_add(p.request.statement, &value);
    driver->execute(p.conn, &p.request);
    value.type = WEIR_TYPE_NULL;
    ck_assert_int_eq(weir_result_value(p.request.result, 0, 0, &value), WEIR_OK);
    ck_assert_int_eq(value.as.integer, 42);

    start(&p, NULL, "rows 3", NULL);
    ck_assert_uint_eq(weir_result_rows(p.request.result), 3);
    ck_assert_int_eq(weir_result_value(p.request.result, 2, 0, &value), WEIR_OK);
    ck_assert_int_eq(value.as.integer, 2);
    ck_assert_str_eq(weir_result_tag(p.request.result), "SELECT 3");
}
END_TEST

START_TEST(time_is_the_clocks) {
    start(&p, NULL, "sleep 20", NULL);
    pass(&p, 19);
    ck_assert_int_eq(p.dones, 0);
    ck_assert_ptr_eq(p.conn->request, &p.request);
    pass(&p, 1);
    ck_assert_int_eq(p.dones, 1);
    ck_assert_ptr_null(p.conn->request);
    weir__fake.run_min_ns = weir__fake.run_max_ns = 5 * WEIR__MS;
    start(&p, NULL, "select 1", NULL);
    pass(&p, 4);
    ck_assert_int_eq(p.dones, 1);
    pass(&p, 1);
    ck_assert_int_eq(p.dones, 2);
}
END_TEST

static void hold(peer *one) {
    forget(one);
    one->request.hold = true;
    one->request.statement = weir_statement_new("select 1", 8, NULL);
    driver->execute(one->conn, &one->request);
    pass(one, 1000);
}

START_TEST(what_is_held_waits_for_the_flush) {
    hold(&p);
    ck_assert_int_eq(weir__fake.executed, 0);
    driver->flush(p.conn);
    ck_assert_int_eq(p.dones, 1);
    ck_assert_int_eq(p.request.code, WEIR_OK);
    driver->flush(p.conn);
    ck_assert_int_eq(weir__fake.sends, 1);
    hold(&p);
    driver->cancel(p.conn);
    ck_assert_int_eq(p.request.code, WEIR_ECANCELLED);
    ck_assert_int_eq(weir__fake.executed, 1);
}
END_TEST

START_TEST(texts_are_obeyed) {
    start(&p, NULL, "fail 40001", NULL);
    ck_assert_str_eq(state(&p), "40001");
    start(&p, NULL, "hang", NULL);
    pass(&p, 1000000);
    ck_assert_int_eq(p.dones, 1);
    driver->cancel(p.conn);
    ck_assert_int_eq(p.dones, 2);
    ck_assert_str_eq(state(&p), "57014");
    start(&p, NULL, "lose", "COMMIT");
    ck_assert_int_eq(p.request.code, WEIR_EOUTCOME);
    ck_assert(p.lost);
    ck_assert_int_eq(p.why.code, WEIR_ELOST);
}
END_TEST

START_TEST(what_was_begun_is_told) {
    start(&p, "BEGIN", "local fail", NULL);
    ck_assert_int_eq(p.request.code, WEIR_EVALUE);
    ck_assert_uint_eq(p.request.begun, 0);
    ck_assert_int_eq(p.conn->tx, WEIR__TX_NONE);
    ck_assert_str_eq(weir__fake.transcript, "");
    start(&p, "BEGIN", "fail 23505", NULL);
    ck_assert_uint_eq(p.request.begun, 1);
    start(&p, "SAVEPOINT s", "select 1", NULL);
    ck_assert_str_eq(state(&p), "25P02");
    ck_assert_uint_eq(p.request.begun, 0);
}
END_TEST

START_TEST(transactions_are_as_in_postgresql) {
    start(&p, "BEGIN", "select 1", NULL);
    ck_assert_int_eq(p.conn->tx, WEIR__TX_OPEN);
    start(&p, NULL, "fail 23505", "COMMIT");
    ck_assert_int_eq(p.conn->tx, WEIR__TX_FAILED); /* the command was not reached */
    start(&p, NULL, "select 2", NULL);
    ck_assert_str_eq(state(&p), "25P02");
    start(&p, NULL, NULL, "COMMIT");
    ck_assert_int_eq(p.request.code, WEIR_EROLLEDBACK);
    ck_assert(p.request.rolled_back);
    ck_assert_int_eq(p.conn->tx, WEIR__TX_NONE);
    weir__fake_next_run(WEIR__FAKE_ROLLED_BACK, NULL, 0);
    start(&p, "BEGIN", "select 3", "COMMIT");
    ck_assert_int_eq(p.request.code, WEIR_EROLLEDBACK);
    start(&p, "BEGIN", "select 4", NULL);
    forget(&p);
    ck_assert(driver->reset(p.conn, &p.request, WEIR__RESET_AUTO));
    ck_assert_int_eq(p.conn->tx, WEIR__TX_NONE);
    forget(&p);
    ck_assert(!driver->reset(p.conn, &p.request, WEIR__RESET_AUTO));
    ck_assert_int_eq(weir__fake.begins, 3);
    ck_assert_int_eq(weir__fake.commits, 0);
    ck_assert_ptr_eq(strstr(weir__fake.transcript, "BEGIN; select 1\nfail 23505; COMMIT\nselect 2\nCOMMIT\n"),
                     weir__fake.transcript);
    weir__begin begin = {WEIR__SERIALIZABLE, true, false};
    ck_assert_str_eq(driver->begin(env, &begin, NULL), "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY");
}
END_TEST

START_TEST(connections_die_on_demand) {
    peer other;
    weir__fake_next_connect(WEIR__FAKE_FAIL, 3 * WEIR__MS);
    create(&other);
    driver->connect(other.conn);
    pass(&other, 3);
    ck_assert(other.lost && !other.connected);
    ck_assert_int_eq(other.why.code, WEIR_ECONNECT);
    weir__fake.down_min_ns = weir__fake.down_max_ns = WEIR__MS;
    driver->stop(other.conn);
    ck_assert(!other.down);
    pass(&other, 1);
    ck_assert(other.down);
    driver->free(other.conn);
    weir_error_clear(&other.why);

    create(&other);
    driver->connect(other.conn);
    ck_assert_ptr_eq(weir__fake_conn_at(1), other.conn);
    ck_assert_ptr_null(weir__fake_conn_at(2));
    weir__fake_mute(other.conn);
    ck_assert(!driver->alive(other.conn));
    start(&other, NULL, "select 1", NULL);
    ck_assert_int_eq(other.request.code, WEIR_ELOST);
    ck_assert(other.lost);
    ck_assert(!weir__fake_kill(other.conn));
    destroy(&other);

    ck_assert(driver->alive(p.conn));
    start(&p, NULL, "hang", NULL);
    ck_assert(weir__fake_kill(p.conn));
    pass(&p, 0);
    ck_assert_int_eq(p.request.code, WEIR_ELOST);
    ck_assert(p.lost);
}
END_TEST

START_TEST(chances_follow_the_seed) {
    long counts[2][4];
    for (int round = 0; round < 2; round++) {
        destroy(&p);
        driver->env_close(env);
        open_one();
        weir__fake.error_permille = 300;
        weir__fake.lost_running_permille = 5;
        weir__fake.commit_rolled_back_permille = 200;
        weir__fake.run_max_ns = 10 * WEIR__MS;
        for (int i = 0; i < 1000; i++) {
            if (p.lost) {
                destroy(&p);
                create(&p);
                driver->connect(p.conn);
            }
            start(&p, "BEGIN", "select 1", "COMMIT");
            pass(&p, 10);
            if (p.conn->tx != WEIR__TX_NONE && !p.lost) {
                forget(&p);
                ck_assert(driver->reset(p.conn, &p.request, WEIR__RESET_AUTO));
            }
        }
        long *now = counts[round];
        now[0] = weir__fake.lost, now[1] = weir__fake.commits, now[2] = weir__fake.resets;
        now[3] = (long)(time_.now / WEIR__MS);
        ck_assert_int_gt(now[0], 0);
        ck_assert_int_gt(now[1], 400);
        ck_assert_int_gt(now[2], 200);
    }
    ck_assert_mem_eq(counts[0], counts[1], sizeof counts[0]);
}
END_TEST

START_TEST(breaches_are_counted) {
    peer one;
    weir__request second = {.command = "COMMIT"};
    setup();
    create(&one);
    driver->execute(one.conn, &second);
    ck_assert_int_eq(weir__fake.violations, 1);
    ck_assert_str_eq(weir__fake.violation, "execute on a connection that is new");
    driver->connect(one.conn);
    driver->connect(one.conn);
    ck_assert_int_eq(weir__fake.violations, 2);
    driver->cancel(one.conn);
    ck_assert_int_eq(weir__fake.violations, 3);
    start(&one, NULL, "hang", NULL);
    driver->reset(one.conn, &second, WEIR__RESET_AUTO);
    ck_assert_int_eq(weir__fake.violations, 4);
    driver->tick(one.conn);
    ck_assert_int_eq(weir__fake.violations, 5);
    weir__fake.cancel_ignored_permille = 1000;
    driver->cancel(one.conn);
    driver->cancel(one.conn);
    ck_assert_int_eq(weir__fake.violations, 6);
    weir__fake.down_min_ns = 1;
    driver->stop(one.conn);
    driver->stop(one.conn);
    ck_assert_int_eq(weir__fake.violations, 7);
    driver->execute(one.conn, &second);
    ck_assert_int_eq(weir__fake.violations, 8);
    forget(&one);
    driver->free(one.conn);
    ck_assert_int_eq(weir__fake.violations, 9);
    ck_assert_str_eq(weir__fake.violation, "execute on a connection that is new");
    driver->env_close(env);
}
END_TEST

START_TEST(each_allocation_may_fail) {
    weir_statement *statement = weir_statement_new("select 1", 8, NULL);
    long live = weir__alloc_live();
    for (long k = 1; k < 8; k++) {
        weir_error error = WEIR_ERROR_INIT;
        peer one = {.due = WEIR__NEVER, .why = WEIR_ERROR_INIT};
        weir__env base = {.driver = driver, .host = &host, .clock = &fake_clock};
        weir__fake_start(1);
        fake_clock = weir__fake_clock_as(&time_);
        weir__alloc_fail_at(k, true);
        env = driver->env_open(&base, &error);
        ck_assert(env || error.code == WEIR_ENOMEM);
        weir_error_clear(&error);
        if (env && (one.conn = driver->create(env, &one))) {
            driver->connect(one.conn);
            one.request.statement = weir_statement_ref(statement);
            driver->execute(one.conn, &one.request);
            ck_assert_int_eq(one.dones, 1);
            ck_assert_int_eq(one.request.code, k < 4 ? WEIR_ENOMEM : WEIR_OK);
            destroy(&one);
        }
        if (env) driver->env_close(env);
        weir__alloc_fail_at(0, false);
        ck_assert_int_eq(weir__alloc_live(), live);
    }
    weir_statement_unref(statement);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("fake");
    TCase *opened = tcase_create("opened"), *bare = tcase_create("bare");
    tcase_add_checked_fixture(opened, open_one, close_one);
    tcase_add_test(opened, answers_echo_their_question);
    tcase_add_test(opened, time_is_the_clocks);
    tcase_add_test(opened, what_is_held_waits_for_the_flush);
    tcase_add_test(opened, texts_are_obeyed);
    tcase_add_test(opened, what_was_begun_is_told);
    tcase_add_test(opened, transactions_are_as_in_postgresql);
    tcase_add_test(opened, connections_die_on_demand);
    tcase_add_test(opened, chances_follow_the_seed);
    suite_add_tcase(suite, opened);
    tcase_add_test(bare, breaches_are_counted);
    tcase_add_test(bare, each_allocation_may_fail);
    suite_add_tcase(suite, bare);
    return run_suite(suite);
}

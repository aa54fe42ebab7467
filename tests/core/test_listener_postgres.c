/* Listeners and notices on a real PostgreSQL server. */
#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weirpool/weirpool.h>

#include "base/alloc.h"
#include "base/error.h"
#include "pg_server.h"
#include "pool/pool.h"
#include "support_suite.h"

static weir_reactor *reactor;
static weir_pool *pool;
static weir_options options;
static weir_listen how;
static weir_error error = WEIR_ERROR_INIT;
static char url[256];
static int token;

static void set_up(void) {
    weir_options_init(&options);
    weir_listen_init(&how);
    options.url = pg_server_url(url, sizeof url, "");
    options.min_size = 0;
    options.retry_min_ms = 10;
}

static int finish(weir_op op) {
    weir_completion done;
    ck_assert_int_eq(weir_reactor_wait(reactor, op, 20000, &done), WEIR_OK);
    weir_error_clear(&error);
    if (done.error) weir__error_copy(&error, done.error);
    weir_completion_discard(&done);
    return done.code;
}

static void start(void) {
    weir_op op;
    ck_assert_int_eq(weir_reactor_new(&reactor, NULL), WEIR_OK);
    int code = weir_pool_open(reactor, &options, &token, &pool, &op, &error);
    ck_assert_msg(code == WEIR_OK, "%s", error.message);
}

static void stop(void) {
    weir_pool_free(pool);
    weir_reactor_free(reactor);
    weir_error_clear(&error);
}

static int confirm(weir_listener listener) {
    weir_op op;
    weir_error_clear(&error);
    int code = weir_listener_confirm(listener, NULL, &op, &error);
    return code == WEIR_PENDING ? finish(op) : code;
}

static weir_listener listen_on(const char *channel) {
    weir_listener out;
    ck_assert_int_eq(weir_pool_listen(pool, &channel, 1, &how, &out, &error), WEIR_OK);
    ck_assert_msg(confirm(out) == WEIR_OK, "%s", error.message);
    return out;
}

/* Waits for it; the caller's. */
static weir_notification *next(weir_listener listener) {
    weir_notification *n;
    weir_op op;
    ck_assert_int_eq(weir_listener_take(listener, &n, NULL), WEIR_OK);
    while (!n) {
        int code = weir_listener_wait(listener, 20000, NULL, &op, NULL);
        if (code == WEIR_PENDING) code = finish(op);
        ck_assert_int_eq(code, WEIR_OK);
        ck_assert_int_eq(weir_listener_take(listener, &n, NULL), WEIR_OK);
    }
    return n;
}

static void expect(weir_listener listener, const char *channel, const char *payload) {
    weir_notification *n = next(listener);
    ck_assert_msg(n->channel, "a gap, and not \"%s\"", payload);
    ck_assert_str_eq(n->channel, channel);
    ck_assert_str_eq(n->payload, payload);
    ck_assert_int_gt(n->backend, 0);
    weir_notification_free(n);
}

static void expect_gap(weir_listener listener) {
    weir_notification *n = next(listener);
    ck_assert_msg(!n->channel, "a notification: %s", n->payload);
    ck_assert_uint_ge(n->reconnected, 1);
    ck_assert_uint_eq(n->dropped, 0);
    weir_notification_free(n);
}

static void query(const char *sql) { free(pg_server_query(sql)); }

static void notify(const char *channel, const char *payload) {
    char *sql = NULL;
    ck_assert_int_gt(asprintf(&sql, "SELECT pg_notify('%s', '%s')", channel, payload), 0);
    query(sql);
    free(sql);
}

#define LISTENERS "FROM pg_stat_activity WHERE usename = 'weir'"

START_TEST(notifications_arrive) {
    start();
    weir_listener listener = listen_on("Sort of \"é\"");
    char big[7901] = {0};
    memset(big, 'x', sizeof big - 1);
    query("NOTIFY \"Sort of \"\"é\"\"\"");
    notify("sort of \"é\"", "of another channel");
    notify("Sort of \"é\"", "Ж ☂ 🌂");
    notify("Sort of \"é\"", big);
    query("BEGIN; NOTIFY \"Sort of \"\"é\"\"\", '1'; NOTIFY \"Sort of \"\"é\"\"\", '2'; COMMIT");
    expect(listener, "Sort of \"é\"", "");
    expect(listener, "Sort of \"é\"", "Ж ☂ 🌂");
    expect(listener, "Sort of \"é\"", big);
    expect(listener, "Sort of \"é\"", "1");
    expect(listener, "Sort of \"é\"", "2");
    stop();
}
END_TEST

START_TEST(many_channels) {
    enum { CHANNELS = 1000 };
    static char names[CHANNELS][64];
    const char *channels[CHANNELS];
    weir_listener listener;
    start();
    for (int i = 0; i < CHANNELS; i++) {
        snprintf(names[i], sizeof names[i], "%0*d", 63, i);
        channels[i] = names[i];
    }
    ck_assert_int_eq(weir_pool_listen(pool, channels, CHANNELS, NULL, &listener, NULL), WEIR_OK);
    ck_assert_msg(confirm(listener) == WEIR_OK, "%s", error.message);
    for (int i = 0; i < CHANNELS; i += 99) notify(names[i], "x");
    for (int i = 0; i < CHANNELS; i += 99) expect(listener, names[i], "x");
    for (int i = 0; i < CHANNELS; i += 2)
        ck_assert_int_eq(weir_listener_remove(listener, names[i], NULL), WEIR_OK);
    ck_assert_int_eq(weir_listener_add(listener, "late", NULL), WEIR_OK);
    ck_assert_int_eq(confirm(listener), WEIR_OK);
    notify(names[0], "no");
    notify(names[1], "yes");
    notify("late", "yes");
    expect(listener, names[1], "yes");
    expect(listener, "late", "yes");
    stop();
}
END_TEST

START_TEST(a_killed_backend) {
    start();
    weir_listener listener = listen_on("a");
    weir_listener_add(listener, "b", NULL);
    ck_assert_int_eq(confirm(listener), WEIR_OK);
    notify("a", "before");
    expect(listener, "a", "before");
    for (int i = 0; i < 3; i++) {
        query("SELECT pg_terminate_backend(pid) " LISTENERS);
        expect_gap(listener);
        notify("b", "after");
        expect(listener, "b", "after");
    }
    stop();
}
END_TEST

/* A server that is there and says nothing: its process is stopped. */
START_TEST(a_silent_server) {
    how.heartbeat_ms = 50;
    options.command_timeout_ms = 300;
    start();
    weir_listener listener = listen_on("a");
    pid_t backend = (pid_t)pg_server_number("SELECT pid " LISTENERS);
    ck_assert_int_eq(weir_listener_add(listener, "b", NULL), WEIR_OK);
    ck_assert_int_eq(confirm(listener), WEIR_OK);
    weir_op op;
    ck_assert_int_eq(weir_reactor_sleep(reactor, 1100, NULL, &op, NULL), WEIR_PENDING);
    ck_assert_int_eq(finish(op), WEIR_OK); /* it answers, time and again */
    ck_assert_int_eq(pg_server_number("SELECT pid " LISTENERS), backend);
    ck_assert_int_eq(kill(backend, SIGSTOP), 0);
    expect_gap(listener);
    notify("b", "after");
    expect(listener, "b", "after");
    ck_assert_int_eq(kill(backend, SIGCONT), 0);
    stop();
}
END_TEST

START_TEST(what_the_server_refuses) {
    char other[300];
    query("CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
    const char *name = strstr(url, "/weir?");
    ck_assert_ptr_nonnull(name);
    snprintf(other, sizeof other, "%.*s/latin%s", (int)(name - url), url, name + 5);
    options.url = other;
    start();
    weir_listener listener = listen_on("é");
    ck_assert_int_eq(weir_listener_add(listener, "Ж", NULL), WEIR_OK);
    ck_assert_int_eq(confirm(listener), WEIR_ESERVER);
    ck_assert_str_eq(error.sqlstate, "22P05");
    ck_assert_int_eq(weir_listener_add(listener, "ü", NULL), WEIR_OK);
    ck_assert_int_eq(confirm(listener), WEIR_OK);
    stop();
    start();
    const char *channel = "Ж";
    ck_assert_int_eq(weir_pool_listen(pool, &channel, 1, NULL, &listener, NULL), WEIR_OK);
    ck_assert_int_eq(confirm(listener), WEIR_ESERVER);
    stop();
    options.url = "postgresql://weir@127.0.0.1:1/weir";
    start();
    ck_assert_int_eq(weir_pool_listen(pool, &channel, 1, NULL, &listener, NULL), WEIR_OK);
    ck_assert_int_eq(confirm(listener), WEIR_ECONNECT);
    ck_assert_int_eq(weir_listener_close(listener), WEIR_OK);
    stop();
}
END_TEST

/* ---- threads */

static atomic_int heard, sent;
static atomic_bool over;

static void *take_all(void *arg) {
    weir_listener listener = *(weir_listener *)arg;
    for (;;) {
        weir_notification *n;
        weir_op op;
        weir_completion done;
        int code = weir_listener_take(listener, &n, NULL);
        if (code == WEIR_OK && n) {
            ck_assert_str_eq(n->channel, "a");
            ck_assert_int_eq(atoi(n->payload), atomic_fetch_add(&heard, 1));
            weir_notification_free(n);
            continue;
        }
        if (code == WEIR_OK) code = weir_listener_wait(listener, 20000, NULL, &op, NULL);
        if (code == WEIR_PENDING) {
            ck_assert_int_eq(weir_reactor_wait(reactor, op, -1, &done), WEIR_OK);
            code = done.code;
            weir_completion_discard(&done);
        }
        if (code == WEIR_OK) continue;
        ck_assert_int_eq(code, WEIR_ECLOSED);
        return NULL;
    }
}

static void *change_all(void *arg) {
    weir_listener listener = *(weir_listener *)arg;
    for (int i = 0; !atomic_load(&over); i++) {
        weir_op op;
        weir_completion done;
        char name[12];
        snprintf(name, sizeof name, "%d", i % 3);
        int code =
            i & 1 ? weir_listener_remove(listener, name, NULL) : weir_listener_add(listener, name, NULL);
        if (code == WEIR_OK) code = weir_listener_confirm(listener, NULL, &op, NULL);
        if (code != WEIR_PENDING) continue;
        ck_assert_int_eq(weir_reactor_wait(reactor, op, -1, &done), WEIR_OK);
        weir_completion_discard(&done);
    }
    return NULL;
}

static void *notify_all(void *unused) {
    static const char sql[] = "SELECT pg_notify('a', $1)";
    (void)unused;
    for (int i = 0; i < 500; i++) {
        weir_op op;
        weir_completion done;
        char text[12];
        weir_statement *statement = weir_statement_new(sql, sizeof sql - 1, NULL);
        snprintf(text, sizeof text, "%d", i);
        weir_value value = {.type = WEIR_TYPE_TEXT, .as.bytes = {text, strlen(text)}};
        weir_statement_add(statement, &value);
        ck_assert_int_eq(weir_pool_execute(pool, statement, NULL, NULL, &op, NULL), WEIR_PENDING);
        weir_statement_unref(statement);
        ck_assert_int_eq(weir_reactor_wait(reactor, op, -1, &done), WEIR_OK);
        ck_assert_int_eq(done.code, WEIR_OK);
        weir_completion_discard(&done);
        atomic_fetch_add(&sent, 1);
    }
    return NULL;
}

START_TEST(threads) {
    start();
    weir_listener listener = listen_on("a");
    pthread_t taker, changer, notifier;
    pthread_create(&taker, NULL, take_all, &listener);
    pthread_create(&changer, NULL, change_all, &listener);
    pthread_create(&notifier, NULL, notify_all, NULL);
    pthread_join(notifier, NULL);
    weir_op op;
    for (int i = 0; i < 1000 && atomic_load(&heard) < atomic_load(&sent); i++) {
        ck_assert_int_eq(weir_reactor_sleep(reactor, 20, NULL, &op, NULL), WEIR_PENDING);
        ck_assert_int_eq(finish(op), WEIR_OK);
    }
    ck_assert_int_eq(atomic_load(&heard), 500);
    int code = weir_pool_close(pool, 1000, NULL, &op, NULL);
    if (code == WEIR_PENDING) code = finish(op);
    ck_assert_int_eq(code, WEIR_OK);
    atomic_store(&over, true);
    pthread_join(taker, NULL);
    pthread_join(changer, NULL);
    stop();
}
END_TEST

START_TEST(memory_may_fail_anywhere) {
    start();
    long live = 0;
    bool through = false;
    for (long k = 1; !through; k++) {
        const char *const channels[] = {"a", "b"};
        weir_listener listener = {0};
        weir_notification *n = NULL;
        ck_assert_int_lt(k, 600);
        weir__alloc_fail_at(k, false);
        int code = weir_pool_listen(pool, channels, 2, NULL, &listener, NULL);
        if (code == WEIR_OK) code = confirm(listener);
        through = weir__alloc_count() < k;
        weir__alloc_fail_at(0, false);
        ck_assert_msg(code == WEIR_OK || code == WEIR_ENOMEM || code == WEIR_ELOST, "%ld: %d", k, code);
        if (code == WEIR_OK) {
            notify("b", "x");
            while (!n || !n->channel) {
                weir_notification_free(n);
                n = next(listener);
            }
            weir_notification_free(n);
        }
        if (listener.number) ck_assert_int_eq(weir_listener_close(listener), WEIR_OK);
        weir_op op;
        ck_assert_int_eq(weir_reactor_sleep(reactor, 1, NULL, &op, NULL), WEIR_PENDING);
        ck_assert_int_eq(finish(op), WEIR_OK);
        weir_error_clear(&error);
        if (k > 1) ck_assert_msg(weir__alloc_live() <= live, "%ld: memory is left", k);
        live = weir__alloc_live();
    }
    stop();
}
END_TEST

/* ---- notices */

static int execute(const char *sql) {
    weir_op op;
    weir_statement *statement = weir_statement_new(sql, strlen(sql), NULL);
    int code = weir_pool_execute(pool, statement, NULL, NULL, &op, &error);
    weir_statement_unref(statement);
    return code == WEIR_PENDING ? finish(op) : code;
}

static weir_notice *notice(void) {
    weir_notice *out;
    return weir_reactor_next_notice(reactor, &out) ? out : NULL;
}

START_TEST(notices_reach_the_host) {
    options.notice_hook = true;
    start();
    ck_assert_int_eq(execute("DO $$ BEGIN RAISE NOTICE 'low' USING DETAIL = 'd', HINT = 'h', "
                             "ERRCODE = '01234'; RAISE WARNING 'high ☂'; RAISE INFO 'more'; END $$"),
                     WEIR_OK);
    weir_notice *n = notice();
    ck_assert_ptr_nonnull(n);
    ck_assert_ptr_eq(n->token, &token);
    ck_assert_str_eq(n->severity, "NOTICE");
    ck_assert_str_eq(n->sqlstate, "01234");
    ck_assert_str_eq(n->message, "low");
    ck_assert_str_eq(n->detail, "d");
    ck_assert_str_eq(n->hint, "h");
    ck_assert_ptr_nonnull(strstr(n->where, "line 1 at RAISE"));
    ck_assert_uint_eq(n->dropped, 0);
    weir_notice_free(n);
    n = notice();
    ck_assert_str_eq(n->severity, "WARNING");
    ck_assert_str_eq(n->message, "high ☂");
    ck_assert_ptr_null(n->detail);
    ck_assert_ptr_null(n->hint);
    weir_notice_free(n);
    n = notice();
    ck_assert_str_eq(n->severity, "INFO");
    weir_notice_free(n);
    ck_assert_ptr_null(notice());
    ck_assert(!weir_reactor_next_notice(NULL, &n));
    ck_assert_int_eq(execute("DO $$ BEGIN RAISE NOTICE 'left behind'; END $$"), WEIR_OK);
    stop();
}
END_TEST

static bool logged(const char *text) {
    weir_log_record record;
    while (weir_reactor_next_log(reactor, &record))
        if (strstr(record.line, text)) return true;
    return false;
}

START_TEST(notices_that_nobody_takes) {
    options.notice_hook = true;
    start();
    ck_assert_int_eq(execute("DO $$ BEGIN FOR i IN 1..5000 LOOP RAISE NOTICE '%', i; END LOOP; END $$"),
                     WEIR_OK);
    ck_assert(logged("notices of the server are dropped"));
    ck_assert(!logged("notices of the server are dropped"));
    weir_notice *n = notice();
    ck_assert_uint_eq(n->dropped, 5000 - 4096);
    for (int i = 5000 - 4096 + 1; n; n = notice(), i++) {
        ck_assert_int_eq(atoi(n->message), i);
        if (i > 5000 - 4096 + 1) ck_assert_uint_eq(n->dropped, 0);
        weir_notice_free(n);
    }
    ck_assert_int_eq(execute("DO $$ BEGIN FOR i IN 1..5 LOOP RAISE NOTICE '%', i || repeat('x', 2000000); "
                             "END LOOP; END $$"),
                     WEIR_OK);
    n = notice();
    ck_assert_uint_eq(n->dropped, 3);
    ck_assert_int_eq(atoi(n->message), 4);
    weir_notice_free(n);
    stop();
}
END_TEST

START_TEST(notices_without_a_hook_are_logged) {
    start();
    ck_assert_int_eq(execute("DO $$ BEGIN RAISE WARNING 'unseen'; END $$"), WEIR_OK);
    ck_assert(!logged("unseen"));
    weir_reactor_log_level(reactor, WEIR_LOG_DEBUG);
    ck_assert_int_eq(execute("DO $$ BEGIN RAISE WARNING E'seen\\nbelow'; END $$"), WEIR_OK);
    ck_assert(logged("WARNING: seen"));
    ck_assert_ptr_null(notice());
    stop();
}
END_TEST

int main(void) {
    pg_server_start();
    Suite *suite = suite_create("listener_postgres");
    TCase *tc = tcase_create("listener_postgres");
    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_test(tc, notifications_arrive);
    tcase_add_test(tc, many_channels);
    tcase_add_test(tc, a_killed_backend);
    tcase_add_test(tc, a_silent_server);
    tcase_add_test(tc, what_the_server_refuses);
    tcase_add_test(tc, threads);
    tcase_add_test(tc, memory_may_fail_anywhere);
    tcase_add_test(tc, notices_reach_the_host);
    tcase_add_test(tc, notices_that_nobody_takes);
    tcase_add_test(tc, notices_without_a_hook_are_logged);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}

/* Listeners on the fake driver and the fake clock: channels, the queue, lost connections, the end. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "pool/listener.h"
#include "support_pool.h"
#include "support_suite.h"

#define LISTEN(out, ...)                                                                                     \
    do {                                                                                                     \
        const char *const channels_[] = {__VA_ARGS__};                                                       \
        ck_assert_int_eq(listen_on(channels_, sizeof channels_ / sizeof *channels_, &(out)), WEIR_OK);       \
    } while (0)

static weir_options options;
static weir_listen how;

static void set_up(void) {
    rig_start(7);
    options = rig_options();
    options.min_size = 0;
    weir_listen_init(&how);
}
static void tear_down(void) { rig_done(); }

static int listen_on(const char *const *channels, size_t count, weir_listener *out) {
    return weir_pool_listen(rig.pool, channels, count, &how, out, NULL);
}

/* Has all been confirmed? WEIR_PENDING: not yet; the wait for it is over then. */
static int confirmed(weir_listener listener) {
    weir_op op;
    int code = weir_listener_confirm(listener, NULL, &op, NULL);
    if (code == WEIR_PENDING) ck_assert_int_eq(weir_reactor_cancel(rig.reactor, op), WEIR_OK);
    return code;
}

static weir_op confirm(weir_listener listener) {
    weir_op op;
    ck_assert_int_eq(weir_listener_confirm(listener, NULL, &op, NULL), WEIR_PENDING);
    return op;
}

static weir_op await(weir_listener listener, int64_t timeout_ms) {
    weir_op op;
    ck_assert_int_eq(weir_listener_wait(listener, timeout_ms, NULL, &op, NULL), WEIR_PENDING);
    return op;
}

static weir_listener ready_on(const char *channel) {
    weir_listener listener;
    rig_ready(&options);
    LISTEN(listener, channel);
    rig_advance(1);
    ck_assert_int_eq(confirmed(listener), WEIR_OK);
    transcript();
    return listener;
}

/* The listener's connection, when the pool has no other. */
static weir__conn *conn(void) {
    ck_assert_uint_eq(weir__fake.live_count, 1);
    return weir__fake_conn_at(0);
}

static void notify(const char *payload) {
    ck_assert(weir__enter(rig.reactor));
    ck_assert(weir__fake_notify(conn(), "a", payload));
    weir__leave(rig.reactor);
}

/* What is taken next, as "channel payload", "gap reconnected dropped", or "". */
static const char *taken(weir_listener listener) {
    static char text[64];
    weir_notification *n;
    ck_assert_int_eq(weir_listener_take(listener, &n, NULL), WEIR_OK);
    if (!n) return "";
    if (n->channel)
        snprintf(text, sizeof text, "%s %s", n->channel, n->payload);
    else
        snprintf(text, sizeof text, "gap %d %d", (int)n->reconnected, (int)n->dropped);
    weir_notification_free(n);
    return text;
}

#define TAKES(listener, expected) ck_assert_str_eq(taken(listener), expected)

static void cut(void) {
    ck_assert(weir__fake_kill(conn()));
    rig_advance(1);
}

/* ---- channels ---- */

START_TEST(channels_are_listened_on_in_one_round_trip) {
    weir_listener listener;
    rig_ready(&options);
    weir__fake.run_min_ns = weir__fake.run_max_ns = 5 * WEIR__MS;
    LISTEN(listener, "b", "Ä b", "a\"b", "b");
    weir_op op = confirm(listener), again = confirm(listener);
    rig_advance(4);
    ck_assert_int_eq(outcome(op, NULL), WEIR_PENDING);
    rig_advance(3);
    ck_assert_int_eq(outcome(op, NULL), WEIR_OK);
    ck_assert_int_eq(outcome(again, NULL), WEIR_OK);
    ck_assert_str_eq(transcript(), "LISTEN \"b\"; LISTEN \"Ä b\"; LISTEN \"a\"\"b\"\n");
    ck_assert_int_eq(confirmed(listener), WEIR_OK);
    TAKES(listener, "");
    ck_assert_int_eq(snapshot().listeners, 1);
    ck_assert_int_eq(snapshot().size, 0);
    ck_assert_uint_eq(snapshot().connections_created, 0);
}
END_TEST

START_TEST(channels_come_and_go) {
    weir_listener listener = ready_on("a");
    weir__fake.run_min_ns = weir__fake.run_max_ns = 5 * WEIR__MS;
    ck_assert_int_eq(weir_listener_add(listener, "a", NULL), WEIR_OK);
    ck_assert_int_eq(weir_listener_remove(listener, "unknown", NULL), WEIR_OK);
    ck_assert_int_eq(confirmed(listener), WEIR_OK);
    ck_assert_int_eq(weir_listener_add(listener, "b", NULL), WEIR_OK);
    /* While that is on its way: one that comes, one that goes, and b itself goes. */
    ck_assert_int_eq(weir_listener_add(listener, "c", NULL), WEIR_OK);
    ck_assert_int_eq(weir_listener_remove(listener, "a", NULL), WEIR_OK);
    weir_op before = confirm(listener);
    ck_assert_int_eq(weir_listener_remove(listener, "b", NULL), WEIR_OK);
    ck_assert_int_eq(weir_listener_add(listener, "d", NULL), WEIR_OK);
    ck_assert_int_eq(weir_listener_remove(listener, "d", NULL), WEIR_OK);
    weir_op after = confirm(listener);
    rig_advance(7);
    ck_assert_str_eq(transcript(), "LISTEN \"b\"\nUNLISTEN \"a\"; UNLISTEN \"b\"; LISTEN \"c\"\n");
    ck_assert_int_eq(outcome(before, NULL), WEIR_PENDING);
    rig_advance(7);
    ck_assert_int_eq(outcome(before, NULL), WEIR_OK);
    ck_assert_int_eq(outcome(after, NULL), WEIR_OK);
    cut();
    rig_advance(7);
    transcript();
    ck_assert_int_eq(confirmed(listener), WEIR_OK);
    ck_assert_int_eq(weir_listener_remove(listener, "c", NULL), WEIR_OK);
    rig_advance(7);
    ck_assert_str_eq(transcript(), "UNLISTEN \"c\"\n");
}
END_TEST

START_TEST(a_listener_without_channels) {
    weir_listener listener;
    rig_ready(&options);
    ck_assert_int_eq(weir_pool_listen(rig.pool, NULL, 0, NULL, &listener, NULL), WEIR_OK);
    rig_advance(1);
    ck_assert_int_eq(confirmed(listener), WEIR_OK);
    ck_assert_str_eq(transcript(), "");
    ck_assert_int_eq(weir__fake.connected, 1);
    ck_assert_int_eq(weir_listener_add(listener, "late", NULL), WEIR_OK);
    rig_advance(1);
    ck_assert_str_eq(transcript(), "LISTEN \"late\"\n");
}
END_TEST

START_TEST(the_server_refuses_a_channel) {
    weir_listener listener = ready_on("a");
    weir__fake.run_min_ns = weir__fake.run_max_ns = 2 * WEIR__MS;
    weir__fake_next_run(WEIR__FAKE_FAIL, "22P05", 2 * WEIR__MS);
    ck_assert_int_eq(weir_listener_add(listener, "b", NULL), WEIR_OK);
    weir_op op = confirm(listener);
    ck_assert_int_eq(weir_listener_add(listener, "c", NULL), WEIR_OK);
    weir_op other = confirm(listener);
    rig_advance(8);
    ck_assert_int_eq(outcome(op, NULL), WEIR_ESERVER);
    ck_assert_int_eq(outcome(other, NULL), WEIR_OK);
    ck_assert_int_eq(weir__fake.created, 1);
    rig_advance(2000);
    transcript();
    cut();
    rig_advance(8);
    ck_assert_str_eq(transcript(), "LISTEN \"a\"; LISTEN \"c\"\n");
    TAKES(listener, "gap 1 0");
}
END_TEST

START_TEST(the_server_refuses_what_it_took_before) {
    weir_listener listener = ready_on("a");
    rig_advance(2000);
    weir__fake_next_run(WEIR__FAKE_FAIL, "25006", 0); /* a standby takes no LISTEN */
    weir__fake_next_run(WEIR__FAKE_FAIL, "25006", 0);
    cut();
    ck_assert_int_eq(weir_listener_add(listener, "b", NULL), WEIR_OK);
    weir_op op;
    weir_error error = WEIR_ERROR_INIT;
    ck_assert_int_eq(weir_listener_confirm(listener, NULL, &op, &error), WEIR_ESERVER);
    ck_assert_str_eq(error.sqlstate, "25006");
    ck_assert_int_ge(error.retry_after_ms, 0);
    weir_error_clear(&error);
    ck_assert(logged("a listener cannot connect (attempt 1"));
    rig_advance(1000);
    ck_assert_int_eq(confirmed(listener), WEIR_OK);
    TAKES(listener, "gap 1 0");
    ck_assert_int_eq(weir__fake.created, 4);
}
END_TEST

/* ---- notifications ---- */

START_TEST(notifications_come_in_order) {
    weir_listener listener = ready_on("a");
    weir_op op = await(listener, -1);
    ck_assert_int_eq(outcome(op, NULL), WEIR_PENDING);
    notify("1");
    notify("2");
    ck_assert_int_eq(weir_listener_wait(listener, 5, NULL, &op, NULL), WEIR_OK); /* another one */
    TAKES(listener, "a 1");
    TAKES(listener, "a 2");
    TAKES(listener, "");
    notify("");
    TAKES(listener, "a ");
    ck_assert_uint_eq(snapshot().notifications, 3);
}
END_TEST

START_TEST(waiting) {
    weir_listener listener = ready_on("a");
    weir_op op = await(listener, 50), other;
    FAILS(WEIR_EBUSY, weir_listener_wait(listener, 50, NULL, &other, error));
    rig_advance(49);
    ck_assert_int_eq(outcome(op, NULL), WEIR_PENDING);
    rig_advance(3);
    ck_assert_int_eq(outcome(op, NULL), WEIR_ETIMEOUT);
    op = await(listener, WEIR_TIMEOUT_DEFAULT);
    ck_assert_int_eq(weir_reactor_cancel(rig.reactor, op), WEIR_OK);
    op = await(listener, 50);
    notify("1");
    ck_assert_int_eq(weir_reactor_cancel(rig.reactor, op), WEIR_OK); /* takes nothing with it */
    TAKES(listener, "a 1");
    int token;
    weir_completion c;
    ck_assert_int_eq(weir_listener_wait(listener, 50, &token, &op, NULL), WEIR_PENDING);
    notify("2");
    ck_assert(weir_reactor_next(rig.reactor, &c));
    ck_assert_int_eq(c.kind, WEIR_DONE_LISTEN);
    ck_assert_int_eq(c.code, WEIR_OK);
    ck_assert_ptr_eq(c.token, &token);
    TAKES(listener, "a 2");
}
END_TEST

START_TEST(a_full_queue_tells_what_it_has_dropped) {
    how.max_queued = 2;
    weir_listener listener = ready_on("a");
    const char *const payloads[] = {"1", "2", "3", "4", "5"};
    for (int i = 0; i < 5; i++) notify(payloads[i]);
    TAKES(listener, "a 1");
    notify("6"); /* behind the gap, which then moves behind it */
    notify("7");
    TAKES(listener, "a 2");
    TAKES(listener, "a 6");
    TAKES(listener, "gap 0 4");
    TAKES(listener, "");
    notify("8");
    notify("9");
    notify("10");
    TAKES(listener, "a 8");
    notify("11");
    TAKES(listener, "a 9");
    TAKES(listener, "gap 0 1");
    TAKES(listener, "a 11");
    TAKES(listener, "");
    ck_assert_uint_eq(snapshot().notifications, 11);
    ck_assert_uint_eq(snapshot().notifications_dropped, 5);
}
END_TEST

/* ---- lost connections ---- */

START_TEST(who_waits_hears_of_the_gap) {
    weir_listener listener = ready_on("a");
    rig_advance(2000);
    weir_op op = await(listener, -1);
    cut();
    ck_assert(logged("a listener's connection was lost, and is made anew"));
    ck_assert(logged("a listener is connected again"));
    ck_assert_str_eq(transcript(), "LISTEN \"a\"\n");
    ck_assert_int_eq(outcome(op, NULL), WEIR_OK);
    notify("1");
    TAKES(listener, "gap 1 0");
    TAKES(listener, "a 1");
    rig_advance(2000);
    cut();
    rig_advance(2000);
    notify("2");
    cut();
    TAKES(listener, "a 2");
    TAKES(listener, "gap 2 0"); /* of both */
    TAKES(listener, "");
    ck_assert_uint_eq(snapshot().listeners_reconnected, 3);
}
END_TEST

START_TEST(the_database_is_down) {
    options.retry_min_ms = 100;
    options.retry_max_ms = 1000;
    weir_listener listener = ready_on("a");
    rig_advance(2000);
    weir_op waits = await(listener, -1), op;
    weir__fake.connect_fail_permille = 1000;
    cut();
    ck_assert_int_eq(weir_listener_add(listener, "b", NULL), WEIR_OK);
    FAILS(WEIR_ECONNECT, weir_listener_confirm(listener, NULL, &op, error));
    long before = weir__fake.created;
    rig_advance(60000);
    long attempts = weir__fake.created - before;
    ck_assert_int_ge(attempts, 60); /* full jitter: half a second on average */
    ck_assert_int_le(attempts, 300);
    ck_assert_int_eq(outcome(waits, NULL), WEIR_PENDING);
    weir__fake.connect_fail_permille = 0;
    transcript();
    rig_advance(1001);
    ck_assert_int_eq(outcome(waits, NULL), WEIR_OK);
    ck_assert_str_eq(transcript(), "LISTEN \"a\"; LISTEN \"b\"\n");
    TAKES(listener, "gap 1 0");
    ck_assert_int_eq(confirmed(listener), WEIR_OK);
}
END_TEST

START_TEST(the_first_attempt_fails) {
    weir_listener listener;
    rig_ready(&options);
    weir__fake_next_connect(WEIR__FAKE_FAIL, 3 * WEIR__MS);
    LISTEN(listener, "a");
    weir_op op = confirm(listener);
    rig_advance(5);
    ck_assert_int_eq(outcome(op, NULL), WEIR_ECONNECT);
    rig_advance(1000);
    ck_assert_int_eq(confirmed(listener), WEIR_OK); /* it goes on trying */
    TAKES(listener, "");                            /* and had nothing to lose */
    weir__fake_next_connect(WEIR__FAKE_HANG, 0);
    LISTEN(listener, "b");
    op = confirm(listener);
    rig_advance(options.connect_timeout_ms + 5);
    ck_assert_int_eq(outcome(op, NULL), WEIR_ECONNECTTIMEOUT);
}
END_TEST

/* A server that takes a connection and drops it at once is not to be called again without a pause. */
/* Beneath the pool's ceiling there is none: nothing is confirmed, and nothing has failed. */
START_TEST(who_waits_for_a_place_is_not_confirmed) {
    weir_listener listener;
    weir_session held[2];
    rig_ready(&options);
    ck_assert(weir__enter(rig.reactor));
    weir__pool_ceiling(rig.pool, 2);
    weir__leave(rig.reactor);
    weir_op ops[2] = {queue(), queue()};
    rig_advance(1);
    for (int i = 0; i < 2; i++) ck_assert_int_eq(outcome(ops[i], &held[i]), WEIR_OK);
    LISTEN(listener, "a");
    weir_op op = confirm(listener);
    rig_advance(200);
    ck_assert_int_eq(outcome(op, NULL), WEIR_PENDING);
    ck_assert_int_eq(confirmed(listener), WEIR_PENDING);
    weir_session_release(held[0]);
    rig_advance(200);
    ck_assert_int_eq(outcome(op, NULL), WEIR_OK);
    ck_assert_str_eq(transcript(), "LISTEN \"a\"\n");
    weir_session_release(held[1]);
}
END_TEST

START_TEST(connections_that_do_not_last) {
    options.retry_min_ms = 100;
    options.retry_max_ms = 1000;
    weir_listener listener = ready_on("a");
    long before = weir__fake.created;
    for (int ms = 0; ms < 30000; ms++) {
        if (weir__fake.live_count) weir__fake_kill(weir__fake_conn_at(0));
        rig_advance(1);
    }
    ck_assert_int_le(weir__fake.created - before, 150);
    rig_advance(3000);
    ck_assert_int_eq(strncmp(taken(listener), "gap ", 4), 0);
    before = weir__fake.created;
    cut(); /* this one has lasted */
    ck_assert_int_eq(weir__fake.created, before + 1);
    TAKES(listener, "gap 1 0");
}
END_TEST

START_TEST(a_silent_server_is_asked) {
    weir_listener listener = ready_on("a");
    rig_advance(29000);
    notify("1"); /* a sign of life */
    rig_advance(29000);
    ck_assert_str_eq(transcript(), "");
    rig_advance(2000);
    ck_assert_str_eq(transcript(), "\n");
    rig_advance(29000);
    ck_assert_str_eq(transcript(), "");
    weir__fake_next_run(WEIR__FAKE_HANG, NULL, 0);
    rig_advance(2000);
    ck_assert_str_eq(transcript(), "\n");
    TAKES(listener, "a 1");
    rig_advance(options.command_timeout_ms - 2000);
    TAKES(listener, "");
    rig_advance(2000);
    ck_assert(logged("the server has not answered within 30000 ms"));
    ck_assert_str_eq(transcript(), "LISTEN \"a\"\n");
    TAKES(listener, "gap 1 0");
    weir__fake_next_run(WEIR__FAKE_FAIL, "XX000", 0);
    rig_advance(31000);
    TAKES(listener, "gap 1 0");
}
END_TEST

START_TEST(without_limits) {
    how.heartbeat_ms = -1;
    options.command_timeout_ms = -1;
    weir_listener listener = ready_on("a");
    rig_advance(600000);
    ck_assert_str_eq(transcript(), "");
    weir__fake_next_run(WEIR__FAKE_HANG, NULL, 0);
    ck_assert_int_eq(weir_listener_add(listener, "b", NULL), WEIR_OK);
    weir_op op = confirm(listener);
    rig_advance(29000);
    ck_assert_int_eq(outcome(op, NULL), WEIR_PENDING);
    rig_advance(2000);
    ck_assert_int_eq(outcome(op, NULL), WEIR_OK); /* on the next connection */
    TAKES(listener, "gap 1 0");
}
END_TEST

START_TEST(expiring_the_pool_renews_the_connection) {
    options.retry_min_ms = options.retry_max_ms = 60000;
    weir_listener listener = ready_on("a");
    weir__fake.connect_min_ns = weir__fake.connect_max_ns = 10 * WEIR__MS;
    weir__fake.down_min_ns = weir__fake.down_max_ns = 5 * WEIR__MS;
    ck_assert_int_eq(weir_pool_expire(rig.pool, NULL), WEIR_OK);
    rig_advance(8);
    ck_assert_int_eq(weir__fake.created, 2);
    ck_assert_int_eq(weir_pool_expire(rig.pool, NULL), WEIR_OK); /* in the midst of connecting */
    rig_advance(30);
    ck_assert_int_eq(weir__fake.created, 3);
    TAKES(listener, "gap 1 0");
    ck_assert_int_eq(confirmed(listener), WEIR_OK);
    rig_advance(2000);
    weir__fake_next_connect(WEIR__FAKE_FAIL, 0);
    weir__fake.connect_min_ns = weir__fake.connect_max_ns = 0;
    cut();
    rig_advance(20); /* down, and in a pause */
    ck_assert_int_eq(weir__fake.created, 4);
    ck_assert_int_eq(weir_pool_expire(rig.pool, NULL), WEIR_OK);
    rig_advance(3);
    ck_assert_int_eq(weir__fake.created, 5);
    TAKES(listener, "gap 1 0");
}
END_TEST

/* ---- the end ---- */

enum { CONNECTING, UP, REQUESTING, DOWN, CLOSING, MOMENTS };

static weir_listener at_moment(int moment, weir_op *waits, weir_op *confirms) {
    weir_listener listener;
    rig_ready(&options);
    weir__fake.down_min_ns = weir__fake.down_max_ns = 5 * WEIR__MS;
    weir__fake.connect_min_ns = weir__fake.connect_max_ns = 10 * WEIR__MS;
    LISTEN(listener, "a");
    if (moment != CONNECTING) rig_advance(12);
    if (moment == REQUESTING) weir__fake.run_min_ns = weir__fake.run_max_ns = 10 * WEIR__MS;
    if (moment > UP) rig_advance(2000);
    if (moment == DOWN) weir__fake.connect_fail_permille = 1000;
    *waits = await(listener, -1);
    if (moment >= DOWN) cut();
    if (moment == DOWN) rig_advance(20);
    ck_assert_int_eq(weir_listener_add(listener, "b", NULL), WEIR_OK);
    *confirms = 0;
    weir_listener_confirm(listener, NULL, confirms, NULL);
    return listener;
}

START_TEST(closed_at_any_moment) {
    weir_op waits, confirms;
    weir_notification *n;
    weir_listener listener = at_moment(_i, &waits, &confirms);
    ck_assert_int_eq(weir_listener_close(listener), WEIR_OK);
    ck_assert_int_eq(outcome(waits, NULL), WEIR_ESTALE);
    if (_i != UP && _i != DOWN) ck_assert_int_eq(outcome(confirms, NULL), WEIR_ESTALE);
    ck_assert_int_eq(weir_listener_close(listener), WEIR_ESTALE);
    FAILS(WEIR_ESTALE, weir_listener_take(listener, &n, error));
    FAILS(WEIR_ESTALE, weir_listener_wait(listener, 5, NULL, &waits, error));
    FAILS(WEIR_ESTALE, weir_listener_confirm(listener, NULL, &waits, error));
    FAILS(WEIR_ESTALE, weir_listener_add(listener, "c", error));
    ck_assert_int_eq(snapshot().listeners, 0);
    rig_advance(10);
    ck_assert_uint_eq(weir__fake.live_count, 0);
    rig_advance(100000);
    ck_assert_uint_eq(weir__fake.live_count, 0);
}
END_TEST

START_TEST(the_pool_closes_at_any_moment) {
    weir_op waits, confirms, closes;
    weir_listener listener = at_moment(_i, &waits, &confirms);
    int code = weir_pool_close(rig.pool, -1, NULL, &closes, NULL);
    ck_assert_int_eq(outcome(waits, NULL), WEIR_ECLOSED);
    if (_i != UP && _i != DOWN) ck_assert_int_eq(outcome(confirms, NULL), WEIR_ECLOSED);
    FAILS(WEIR_ECLOSED, weir_listener_wait(listener, 5, NULL, &waits, error));
    ck_assert_int_eq(weir_listener_close(listener), WEIR_ECLOSED);
    const char *const channels[] = {"a"};
    FAILS(WEIR_ECLOSED, weir_pool_listen(rig.pool, channels, 1, NULL, &listener, error));
    if (code == WEIR_PENDING) {
        rig_advance(10);
        ck_assert_int_eq(outcome(closes, NULL), WEIR_OK);
    }
    ck_assert_uint_eq(weir__fake.live_count, 0);
}
END_TEST

START_TEST(the_pool_is_freed_at_any_moment) {
    weir_op waits, confirms;
    at_moment(_i, &waits, &confirms); /* tear_down frees it */
}
END_TEST

START_TEST(not_taken) {
    weir_listener listener = ready_on("a");
    notify("1");
    rig_advance(2000);
    cut();
    notify("2");
    (void)listener; /* tear_down sees what is left behind */
}
END_TEST

/* ---- what is refused ---- */

START_TEST(arguments) {
    weir_listener listener, none = {0};
    weir_notification *n;
    weir_op op;
    rig_ready(&options);
    char longest[64] = {0}, too_long[65] = {0};
    memset(longest, 'x', 63);
    memset(too_long, 'x', 64);
    const char *const bad[] = {"", too_long, "\xff", NULL};
    const char *const good[] = {"a"};
    for (int i = 0; i < 4; i++)
        FAILS(WEIR_EINVAL, weir_pool_listen(rig.pool, &bad[i], 1, NULL, &listener, error));
    FAILS(WEIR_EINVAL, weir_pool_listen(NULL, good, 1, NULL, &listener, error));
    FAILS(WEIR_EINVAL, weir_pool_listen(rig.pool, NULL, 1, NULL, &listener, error));
    FAILS(WEIR_EINVAL, weir_pool_listen(rig.pool, good, 1, NULL, NULL, error));
    how.max_queued = 0;
    FAILS(WEIR_EINVAL, weir_pool_listen(rig.pool, good, 1, &how, &listener, error));
    how.max_queued = 1000001;
    FAILS(WEIR_EINVAL, weir_pool_listen(rig.pool, good, 1, &how, &listener, error));
    weir_listen_init(&how);
    how.heartbeat_ms = 0;
    FAILS(WEIR_EINVAL, weir_pool_listen(rig.pool, good, 1, &how, &listener, error));
    how.size = 3;
    FAILS(WEIR_EINVAL, weir_pool_listen(rig.pool, good, 1, &how, &listener, error));
    weir_listen_init(&how);
    LISTEN(listener, longest);
    for (int i = 0; i < 4; i++) {
        FAILS(WEIR_EINVAL, weir_listener_add(listener, bad[i], error));
        FAILS(WEIR_EINVAL, weir_listener_remove(listener, bad[i], error));
    }
    FAILS(WEIR_EINVAL, weir_listener_add(none, "a", error));
    FAILS(WEIR_EINVAL, weir_listener_take(listener, NULL, error));
    FAILS(WEIR_EINVAL, weir_listener_take(none, &n, error));
    FAILS(WEIR_EINVAL, weir_listener_wait(listener, 0, NULL, &op, error));
    FAILS(WEIR_EINVAL, weir_listener_wait(listener, 1, NULL, NULL, error));
    FAILS(WEIR_EINVAL, weir_listener_confirm(listener, NULL, NULL, error));
    ck_assert_int_eq(weir_listener_close(none), WEIR_EINVAL);
    weir__fake.env_fails = true;
    FAILS(WEIR_EOPTION, weir_pool_listen(rig.pool, good, 1, NULL, &listener, error));
}
END_TEST

START_TEST(sqlite_has_none) {
    weir_reactor *reactor;
    weir_pool *pool;
    weir_listener listener;
    weir_op op;
    const char *const channels[] = {"a"};
    options.url = "sqlite://";
    ck_assert_int_eq(weir_reactor_new(&reactor, NULL), WEIR_OK);
    ck_assert_int_eq(weir_pool_open(reactor, &options, NULL, &pool, &op, NULL), WEIR_OK);
    FAILS(WEIR_ENOTSUP, weir_pool_listen(pool, channels, 1, NULL, &listener, error));
    weir_pool_free(pool);
    weir_reactor_free(reactor);
}
END_TEST

/* ---- trouble ---- */

START_TEST(memory_may_fail_anywhere) {
    const char *const channels[] = {"a", "b", "c"};
    rig_ready(&options);
    bool through = false;
    for (long k = 1; !through; k++) {
        weir_listener listener;
        ck_assert_int_lt(k, 200);
        weir__alloc_fail_at(k, false);
        int code = listen_on(channels, 3, &listener);
        ck_assert_msg(code == WEIR_OK || code == WEIR_ENOMEM, "%d", code);
        if (code == WEIR_OK) {
            weir_op op = 0;
            code = weir_listener_confirm(listener, NULL, &op, NULL);
            rig_advance(1500);
            if (code == WEIR_PENDING) code = outcome(op, NULL);
            ck_assert_msg(code == WEIR_OK || code == WEIR_ENOMEM, "%d", code);
            weir_listener_add(listener, "d", NULL);
            rig_advance(1000);
            notify("1");
            cut();
            rig_advance(1500);
            through = weir__alloc_count() < k;
            weir__alloc_fail_at(0, false);
            weir_notification *n;
            int taken = 0, gaps = 0;
            while (weir_listener_take(listener, &n, NULL) == WEIR_OK && n) {
                taken += n->channel != NULL;
                gaps += !n->channel;
                weir_notification_free(n);
            }
            ck_assert_int_ge(taken + gaps, 2 - (taken == 0));
            ck_assert_int_ge(gaps, 1);
            ck_assert_int_eq(confirmed(listener), WEIR_OK);
            ck_assert_int_eq(weir_listener_close(listener), WEIR_OK);
        }
        weir__alloc_fail_at(0, false);
        rig_advance(10);
        ck_assert_uint_eq(weir__fake.live_count, 0);
        ck_assert_ptr_null(rig_fault());
    }
}
END_TEST

static int64_t below(weir__rng *rng, int64_t n) { return weir__random_below(rng, n); }

/* Whatever happens, each notification is given out in its place, or counted in a gap behind that. */
START_TEST(histories) {
    weir__rng rng = {(uint64_t)_i + 1};
    how.max_queued = 1 + below(&rng, 4);
    options.retry_max_ms = 200;
    options.retry_min_ms = 10;
    options.connect_timeout_ms = 50;
    options.command_timeout_ms = 40;
    how.heartbeat_ms = 30;
    weir_listener listener = ready_on("a");
    weir__fake.connect_max_ns = weir__fake.run_max_ns = weir__fake.down_max_ns = 20 * WEIR__MS;
    weir__fake.connect_fail_permille = 300;
    weir__fake.lost_running_permille = 100;
    weir__fake.error_permille = 100;
    int sent = 0, last = 0, taken = 0;
    uint64_t dropped = 0, reconnected = 0;
    weir_op op = 0;
    for (int i = 0; i < 400; i++) {
        char text[12];
        const char *const names[] = {"a", "b", "c"};
        weir__conn *up = weir__fake_conn_at(0);
        weir_notification *n;
        switch (below(&rng, 8)) {
        case 0:
        case 1:
            snprintf(text, sizeof text, "%d", sent + 1);
            ck_assert(weir__enter(rig.reactor));
            sent += up && weir__fake_notify(up, "a", text);
            weir__leave(rig.reactor);
            break;
        case 2:
            if (up && below(&rng, 4) == 0) weir__fake_kill(up);
            if (below(&rng, 8) == 0) weir__fake_next_run(WEIR__FAKE_HANG, NULL, 0);
            break;
        case 3:
            weir_listener_add(listener, names[below(&rng, 3)], NULL);
            break;
        case 4:
            weir_listener_remove(listener, names[below(&rng, 3)], NULL);
            if (below(&rng, 20) == 0) weir_pool_expire(rig.pool, NULL);
            break;
        case 5:
            if (op) weir_reactor_cancel(rig.reactor, op);
            if (weir_listener_wait(listener, 1 + below(&rng, 50), NULL, &op, NULL) != WEIR_PENDING) op = 0;
            break;
        case 6:
            weir__alloc_fail_at(below(&rng, 3), false);
            if (weir_listener_take(listener, &n, NULL) == WEIR_OK && n) {
                dropped += n->dropped;
                reconnected += n->reconnected;
                if (n->channel) {
                    ck_assert_int_gt(atoi(n->payload), last);
                    last = atoi(n->payload);
                    taken++;
                }
                weir_notification_free(n);
            }
            break;
        default:
            rig_advance(1 + below(&rng, 30));
        }
        weir__alloc_fail_at(0, false);
        ck_assert_ptr_null(rig_fault());
    }
    weir_notification *n;
    while (weir_listener_take(listener, &n, NULL) == WEIR_OK && n) {
        dropped += n->dropped;
        reconnected += n->reconnected;
        taken += n->channel != NULL;
        weir_notification_free(n);
    }
    ck_assert_int_eq(sent, taken + (int)dropped);
    ck_assert_uint_eq(reconnected, snapshot().listeners_reconnected);
    weir__fake.connect_fail_permille = weir__fake.lost_running_permille = weir__fake.error_permille = 0;
    weir__fake.runs.count = 0;
    rig_advance(3000);
    ck_assert_int_eq(confirmed(listener), WEIR_OK);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("listener");
    TCase *tc = tcase_create("listener");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, channels_are_listened_on_in_one_round_trip);
    tcase_add_test(tc, channels_come_and_go);
    tcase_add_test(tc, a_listener_without_channels);
    tcase_add_test(tc, the_server_refuses_a_channel);
    tcase_add_test(tc, the_server_refuses_what_it_took_before);
    tcase_add_test(tc, notifications_come_in_order);
    tcase_add_test(tc, waiting);
    tcase_add_test(tc, a_full_queue_tells_what_it_has_dropped);
    tcase_add_test(tc, who_waits_hears_of_the_gap);
    tcase_add_test(tc, the_database_is_down);
    tcase_add_test(tc, the_first_attempt_fails);
    tcase_add_test(tc, who_waits_for_a_place_is_not_confirmed);
    tcase_add_test(tc, connections_that_do_not_last);
    tcase_add_test(tc, a_silent_server_is_asked);
    tcase_add_test(tc, without_limits);
    tcase_add_test(tc, expiring_the_pool_renews_the_connection);
    tcase_add_loop_test(tc, closed_at_any_moment, 0, MOMENTS);
    tcase_add_loop_test(tc, the_pool_closes_at_any_moment, 0, MOMENTS);
    tcase_add_loop_test(tc, the_pool_is_freed_at_any_moment, 0, MOMENTS);
    tcase_add_test(tc, not_taken);
    tcase_add_test(tc, arguments);
    tcase_add_test(tc, sqlite_has_none);
    tcase_add_test(tc, memory_may_fail_anywhere);
    tcase_add_loop_test(tc, histories, 0, 200);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}

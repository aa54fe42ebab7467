/* The pool on the fake driver and the fake clock: opening, bounds, the line, upkeep, trouble, init. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
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

static void holds(void) { ck_assert_ptr_null(rig_fault()); }

/* ---- opening ---- */

START_TEST(open_waits_for_the_floor) {
    int token;
    weir_completion c;
    weir__fake.connect_min_ns = weir__fake.connect_max_ns = 10 * WEIR__MS;
    ck_assert_int_eq(rig_open(&options, 1, &token, NULL), WEIR_PENDING);
    ck_assert_int_eq(in_state(WEIR__CONNECTING), 2);
    rig_advance(9);
    ck_assert(!weir_reactor_next(rig.reactor, &c));
    rig_advance(2);
    ck_assert(weir_reactor_next(rig.reactor, &c));
    ck_assert_int_eq(c.kind, WEIR_DONE_OPEN);
    ck_assert_int_eq(c.code, WEIR_OK);
    ck_assert_uint_eq(c.op, rig.open);
    ck_assert_ptr_eq(c.token, &token);
    ck_assert_int_eq(in_state(WEIR__IDLE), 2);
    ck_assert_str_eq(weir_pool_name(rig.pool), "host:5432/db");
    ck_assert_ptr_null(strstr(weir_pool_url(rig.pool), "secret"));
    ck_assert_str_eq(weir_pool_database_system(rig.pool), "postgresql");
    ck_assert_ptr_eq(weir_pool_reactor(rig.pool), rig.reactor);
}
END_TEST

START_TEST(open_without_a_floor) {
    bounds(0, 2, 0);
    ck_assert_int_eq(rig_open(&options, 1, NULL, NULL), WEIR_OK);
    ck_assert_uint_eq(rig.open, 0);
    rig_advance(1000);
    ck_assert_int_eq(weir__fake.created, 0);
    weir_op op = queue(); /* the connection is made for the one who asks */
    ck_assert_int_eq(outcome(op, NULL), WEIR_OK);
    ck_assert_int_eq(weir__fake.created, 1);
}
END_TEST

START_TEST(open_ends_with_the_first_failure) {
    weir__fake_next_connect(WEIR__FAKE_FAIL, 5 * WEIR__MS);
    weir__fake_next_connect(WEIR__FAKE_OK, 50 * WEIR__MS);
    ck_assert_int_eq(rig_open(&options, 1, NULL, NULL), WEIR_PENDING);
    rig_advance(8);
    ck_assert_int_eq(outcome(rig.open, NULL), WEIR_OK);
    ck_assert_int_eq(in_state(WEIR__IDLE), 0);
    ck_assert(logged("cannot connect (attempt 1"));
    rig_advance(10000); /* and the pool goes on by itself */
    ck_assert_int_eq(in_state(WEIR__IDLE), 2);
    ck_assert(logged("connected again after 1 failed attempt"));
}
END_TEST

START_TEST(open_may_require_a_connection) {
    options.require = true;
    weir__fake_next_connect(WEIR__FAKE_FAIL, 5 * WEIR__MS);
    ck_assert_int_eq(rig_open(&options, 1, NULL, NULL), WEIR_PENDING);
    rig_advance(8);
    ck_assert_int_eq(outcome(rig.open, NULL), WEIR_ECONNECT);
}
END_TEST

/* What trying again cannot cure is told, whether the pool requires a connection or not. */
START_TEST(open_fails_for_good) {
    static const struct {
        const char *sqlstate;
        int code;
    } cases[] = {{"28P01", WEIR_ESERVER},
                 {"28000", WEIR_ESERVER},
                 {"3D000", WEIR_ESERVER},
                 {"53300", WEIR_OK},
                 {"57P03", WEIR_OK}};
    weir__fake_next_connect(WEIR__FAKE_HANG, 0);
    weir__fake_next_connect(WEIR__FAKE_HANG, 0);
    ck_assert_int_eq(rig_open(&options, 1, NULL, NULL), WEIR_PENDING);
    weir_error why = WEIR_ERROR_INIT;
    weir__fail_report(&why, &(weir__report){.sqlstate = cases[_i].sqlstate, .message = "no"});
    ck_assert(weir__enter(rig.reactor));
    weir__pool_host.lost(weir__fake_conn_at(0), &why);
    weir__leave(rig.reactor);
    ck_assert_int_eq(outcome(rig.open, NULL), cases[_i].code);
}
END_TEST

START_TEST(open_can_be_cancelled) {
    weir__fake.connect_min_ns = weir__fake.connect_max_ns = 10 * WEIR__MS;
    ck_assert_int_eq(rig_open(&options, 1, NULL, NULL), WEIR_PENDING);
    ck_assert_int_eq(weir_reactor_cancel(rig.reactor, rig.open), WEIR_OK);
    rig_advance(20);
    ck_assert_int_eq(in_state(WEIR__IDLE), 2); /* the interest has ended, not the pool */
    lend();
}
END_TEST

START_TEST(open_merges_the_urls_options) {
    weir_options_init(&options);
    options.url = "postgresql://user@host/db?min_size=1&max_size=9&max_overflow=2&application_name=x";
    options.max_size = 3;
    rig_ready(&options);
    weir_snapshot now = snapshot();
    ck_assert_int_eq(now.min_size, 1);
    ck_assert_int_eq(now.max_size, 3);
    ck_assert_int_eq(now.max_overflow, 2);
    ck_assert_int_eq(now.size, 1);
}
END_TEST

START_TEST(open_is_refused) {
    weir_error error = WEIR_ERROR_INIT;
    weir__fake.env_fails = true;
    ck_assert_int_eq(rig_open(&options, 1, NULL, &error), WEIR_EOPTION);
    ck_assert_str_eq(error.message, "the script refuses the URL");
    weir_error_clear(&error);
    ck_assert_int_eq(rig_open(&options, 1, NULL, NULL), WEIR_EOPTION);
    ck_assert_ptr_null(rig.pool);
}
END_TEST

START_TEST(open_without_memory) {
    options.min_size = 1;
    long before = weir__alloc_live();
    int code = WEIR_ENOMEM, refused = 0;
    for (long k = 1; code > 0; k++) {
        weir_error error = WEIR_ERROR_INIT;
        weir__alloc_fail_at(k, _i);
        code = rig_open(&options, 1, NULL, &error);
        weir__alloc_fail_at(0, false);
        ck_assert(code <= 0 || (code == WEIR_ENOMEM && error.code == WEIR_ENOMEM));
        weir_error_clear(&error);
        refused += code > 0;
        if (code > 0) ck_assert_int_le(weir__alloc_live(), before + 2); /* a block of operations may stay */
    }
    ck_assert_int_gt(refused, 5);
    rig_advance(10000); /* what failed afterwards, in making the connection, is made up for */
    ck_assert_int_eq(outcome(rig.open, NULL), WEIR_OK);
    ck_assert_int_eq(in_state(WEIR__IDLE), 1);
}
END_TEST

/* ---- bounds and the line ---- */

START_TEST(grows_to_its_bounds) {
    bounds(1, 3, 2);
    rig_ready(&options);
    weir_session s[5];
    s[0] = lend();
    for (int i = 1; i < 5; i++) ck_assert_int_eq(outcome(queue(), &s[i]), WEIR_OK);
    weir_op last = queue();
    rig_advance(100);
    ck_assert_int_eq(outcome(last, NULL), WEIR_PENDING);
    ck_assert_int_eq(weir__fake.live_count, 5);
    ck_assert_int_eq(snapshot().overflow, 2);
    weir_session_release(s[0]); /* an overflowing connection serves whoever waits … */
    ck_assert_int_eq(outcome(last, &s[0]), WEIR_OK);
    ck_assert_int_eq(weir__fake.live_count, 5);
    for (int i = 0; i < 5; i++) weir_session_release(s[i]);
    ck_assert_int_eq(weir__fake.live_count, 3); /* … and is closed when nobody does */
    ck_assert_int_eq(in_state(WEIR__IDLE), 3);
    ck_assert_int_eq(snapshot().overflow, 0);
    holds();
}
END_TEST

START_TEST(first_come_first_served) {
    bounds(1, 1, 0);
    rig_ready(&options);
    weir_session held = lend(), next;
    weir_op line[5];
    for (int i = 0; i < 5; i++) line[i] = i == 2 ? submit_to_pool("select 1", -1) : queue();
    weir_reactor_cancel(rig.reactor, line[1]);
    weir_session_release(held);
    ck_assert_int_eq(outcome(line[0], &held), WEIR_OK); /* in the same step: nobody comes between */
    ck_assert_int_eq(in_state(WEIR__IDLE), 0);
    weir_op newcomer = queue();
    ck_assert_int_eq(outcome(line[2], NULL), WEIR_PENDING);
    weir_session_release(held);
    ck_assert_int_eq(outcome(line[2], NULL), WEIR_OK);
    for (int i = 3; i < 5; i++) {
        ck_assert_int_eq(outcome(line[i], &next), WEIR_OK);
        ck_assert_int_eq(outcome(newcomer, NULL), WEIR_PENDING);
        weir_session_release(next);
    }
    ck_assert_int_eq(outcome(newcomer, NULL), WEIR_OK);
    weir_snapshot now = snapshot();
    ck_assert_uint_eq(now.checkouts_started, 7);
    ck_assert_uint_eq(now.checkouts_granted, 6);
    ck_assert_uint_eq(now.checkouts_cancelled, 1);
}
END_TEST

START_TEST(which_idle_connection_is_lent) {
    bounds(3, 3, 0);
    options.lifo = _i;
    rig_ready(&options);
    weir_session a = lend(), b = lend(), c = lend();
    weir_session_release(b);
    weir_session_release(c);
    weir_session_release(a);
    ck_assert_uint_eq(lend().slot, _i ? a.slot : b.slot);
    ck_assert_uint_eq(lend().slot, c.slot);
    ck_assert_uint_eq(lend().slot, _i ? b.slot : a.slot);
}
END_TEST

static int refused(weir_error *error) {
    weir_checkout checkout;
    weir_checkout_init(&checkout);
    weir_session session;
    weir_op op;
    return weir_pool_acquire(rig.pool, &checkout, NULL, &session, &op, error);
}

START_TEST(the_line_has_an_end) {
    bounds(1, 1, 0);
    options.max_waiting = 2;
    rig_ready(&options);
    weir_error error = WEIR_ERROR_INIT;
    weir_session held = lend();
    weir_op first = queue();
    queue();
    ck_assert_int_eq(refused(&error), WEIR_EQUEUEFULL);
    ck_assert(error.retryable);
    weir_error_clear(&error);
    ck_assert_int_eq(refused(NULL), WEIR_EQUEUEFULL);
    weir_session_release(held);
    ck_assert_int_eq(outcome(first, NULL), WEIR_OK);
    ck_assert_uint_eq(snapshot().checkouts_refused, 2);
}
END_TEST

START_TEST(no_line_at_all) {
    bounds(0, 2, 0);
    options.max_waiting = 0;
    weir__fake.connect_min_ns = weir__fake.connect_max_ns = 10 * WEIR__MS;
    rig_ready(&options);
    weir_op a = queue(), b = queue(); /* they wait for no others, but for connections made for them */
    ck_assert_int_eq(refused(NULL), WEIR_EQUEUEFULL);
    rig_advance(20);
    weir_session s;
    ck_assert_int_eq(outcome(a, &s), WEIR_OK);
    ck_assert_int_eq(refused(NULL), WEIR_EQUEUEFULL);
    ck_assert_int_eq(outcome(b, &s), WEIR_OK);
}
END_TEST

START_TEST(a_checkout_times_out) {
    bounds(1, 1, 0);
    options.checkout_timeout_ms = 50;
    rig_ready(&options);
    lend();
    weir_checkout own;
    weir_checkout_init(&own);
    own.checkout_timeout_ms = 20;
    weir_op by_option = queue(), by_caller = queue_as(&own);
    own.checkout_timeout_ms = -1;
    weir_op never = queue_as(&own);
    rig_advance(19);
    ck_assert_int_eq(outcome(by_caller, NULL), WEIR_PENDING);
    rig_advance(3);
    ck_assert_int_eq(outcome(by_caller, NULL), WEIR_ECHECKOUTTIMEOUT);
    rig_advance(27);
    ck_assert_int_eq(outcome(by_option, NULL), WEIR_PENDING);
    rig_advance(3);
    ck_assert_int_eq(outcome(by_option, NULL), WEIR_ECHECKOUTTIMEOUT);
    rig_advance(1000000);
    ck_assert_int_eq(outcome(never, NULL), WEIR_PENDING);
    ck_assert_uint_eq(snapshot().checkouts_timed_out, 2);
}
END_TEST

START_TEST(a_grant_that_nobody_takes) {
    bounds(1, 1, 0);
    rig_ready(&options);
    weir_session held = lend(), s;
    weir_op first = queue(), second = queue();
    weir_session_release(held);
    ck_assert_int_eq(weir_reactor_cancel(rig.reactor, first), WEIR_OK); /* granted, not taken */
    ck_assert_int_eq(outcome(second, &s), WEIR_OK);
    ck_assert_uint_eq(snapshot().checkouts_granted, 3);
    ck_assert_uint_eq(snapshot().checkouts_cancelled, 0);
}
END_TEST

/* ---- upkeep ---- */

START_TEST(idle_connections_are_closed) {
    bounds(2, 6, 0);
    options.idle_timeout_ms = 1000;
    options.lifo = _i;
    rig_ready(&options);
    weir_session s[6];
    s[0] = lend();
    s[1] = lend();
    for (int i = 2; i < 6; i++) ck_assert_int_eq(outcome(queue(), &s[i]), WEIR_OK);
    for (int i = 0; i < 3; i++) weir_session_release(s[i]);
    rig_advance(500);
    for (int i = 3; i < 6; i++) weir_session_release(s[i]);
    rig_advance(498);
    ck_assert_int_eq(in_state(WEIR__IDLE), 6);
    rig_advance(4);
    ck_assert_int_eq(in_state(WEIR__IDLE), 3);
    rig_advance(500);
    ck_assert_int_eq(in_state(WEIR__IDLE), 2); /* and not below the floor */
    rig_advance(100000);
    ck_assert_int_eq(in_state(WEIR__IDLE), 2);
    ck_assert_int_eq(weir__fake.created, 6);
    ck_assert_uint_eq(snapshot().connections_closed, 4);
}
END_TEST

START_TEST(connections_have_a_lifetime) {
    bounds(4, 4, 0);
    options.max_lifetime_ms = 10000;
    rig_ready(&options);
    int64_t begun = rig.clock.now - 1000 * WEIR__MS; /* of opening */
    weir_session held = lend();
    long before = 0, at = 0;
    while (rig.clock.now < begun + 8990 * WEIR__MS) rig_hop(begun + 8990 * WEIR__MS);
    ck_assert_int_eq(weir__fake.created, 4);
    int dates = 0;
    while (rig.clock.now < begun + 10002 * WEIR__MS) { /* one after the other, not all at once */
        rig_hop(begun + 10002 * WEIR__MS);
        holds();
        at = weir__fake.created;
        dates += at != before && at > 4;
        before = at;
    }
    ck_assert_int_eq(weir__fake.created, 7);
    ck_assert_int_ge(dates, 2);
    ck_assert_int_eq(run_sql(held, "select 1"), WEIR_OK); /* the lent one lives until it comes back */
    ck_assert_int_eq(weir__fake.created, 7);
    weir_session_release(held);
    ck_assert_int_eq(weir__fake.created, 8);
    ck_assert_int_eq(in_state(WEIR__IDLE), 4);
}
END_TEST

START_TEST(the_floor_is_kept) {
    rig_ready(&options);
    ck_assert(weir__fake_kill(weir__fake_conn_at(0)));
    rig_advance(10); /* nobody asks for a connection */
    ck_assert_int_eq(weir__fake.created, 3);
    ck_assert_int_eq(in_state(WEIR__IDLE), 2);
    ck_assert_uint_eq(snapshot().connections_lost, 1);
    ck_assert(logged("a connection was lost while idle"));
}
END_TEST

/* One that nobody has looked at for 100 ms is looked at first. */
START_TEST(a_dead_idle_connection_is_not_lent) {
    static const struct {
        bool pre_ping;
        int64_t silent_ns;
        bool looked;
    } rows[] = {{false, 200 * WEIR__MS, false},
                {true, 99 * WEIR__MS, false},
                {true, 100 * WEIR__MS, false},
                {true, 100 * WEIR__MS + 1, true},
                {true, 200 * WEIR__MS, true}};
    bounds(1, 2, 0);
    options.pre_ping = rows[_i].pre_ping;
    rig_ready(&options);
    weir__fake_mute(weir__fake_conn_at(0));
    rig.clock.now += rows[_i].silent_ns; /* nobody has dispatched: the news have not been read */
    if (rows[_i].looked) {
        weir_session s;
        ck_assert_int_eq(outcome(queue(), &s), WEIR_OK);
        ck_assert_int_eq(run_sql(s, "select 1"), WEIR_OK);
        ck_assert_uint_eq(snapshot().connections_lost, 1);
    } else {
        ck_assert_int_eq(run_sql(lend(), "select 1"), WEIR_ELOST);
    }
}
END_TEST

START_TEST(a_look_only_when_it_is_needed) {
    bounds(1, 2, 0);
    rig_ready(&options);
    rig_advance(1000); /* somebody dispatches, so a closed socket would be known */
    weir__fake_mute(weir__fake_conn_at(0));
    ck_assert_int_eq(run_sql(lend(), "select 1"), WEIR_ELOST);
}
END_TEST

START_TEST(resizing) {
    bounds(1, 2, 0);
    rig_ready(&options);
    weir_error error = WEIR_ERROR_INIT;
    ck_assert_int_eq(weir_pool_resize(rig.pool, 5, 4, &error), WEIR_EOPTION);
    ck_assert_int_eq(error.code, WEIR_EOPTION);
    weir_error_clear(&error);
    ck_assert_int_eq(weir_pool_resize(rig.pool, -1, 4, NULL), WEIR_EOPTION);
    ck_assert_int_eq(weir_pool_resize(rig.pool, 0, 0, NULL), WEIR_EOPTION);
    ck_assert_int_eq(snapshot().max_size, 2);
    weir_session a = lend(), b, c, d;
    ck_assert_int_eq(outcome(queue(), &b), WEIR_OK);
    weir_op third = queue(), fourth = queue();
    ck_assert_int_eq(weir_pool_resize(rig.pool, 2, 4, NULL), WEIR_OK); /* up, while two wait */
    ck_assert_int_eq(outcome(third, &c), WEIR_OK);
    ck_assert_int_eq(outcome(fourth, &d), WEIR_OK);
    weir_session_release(d);
    ck_assert_int_eq(weir_pool_resize(rig.pool, 1, 2, NULL), WEIR_OK); /* down: the idle one at once … */
    ck_assert_int_eq(weir__fake.live_count, 3);
    weir_op fifth = queue();
    weir_session_release(a); /* … and one that comes back, though somebody waits */
    ck_assert_int_eq(weir__fake.live_count, 2);
    ck_assert_int_eq(outcome(fifth, NULL), WEIR_PENDING);
    weir_session_release(b);
    ck_assert_int_eq(outcome(fifth, NULL), WEIR_OK);
    weir_session_release(c);
    ck_assert_int_eq(weir__fake.live_count, 2);
    ck_assert_int_eq(weir_pool_resize(rig.pool, 4, 4, NULL), WEIR_OK); /* a higher floor is filled at once */
    ck_assert_int_eq(in_state(WEIR__IDLE), 4);
    ck_assert_int_eq(weir_pool_resize(rig.pool, WEIR_SIZE_KEEP, 6, NULL), WEIR_OK);
    ck_assert_int_eq(weir_pool_resize(rig.pool, 3, WEIR_SIZE_KEEP, NULL), WEIR_OK);
    ck_assert_int_eq(snapshot().min_size, 3);
    ck_assert_int_eq(snapshot().max_size, 6);
    ck_assert_int_eq(weir_pool_resize(rig.pool, WEIR_SIZE_KEEP, 2, NULL), WEIR_EOPTION); /* below the floor */
    holds();
}
END_TEST

START_TEST(expiring) {
    bounds(3, 3, 0);
    rig_ready(&options);
    weir_session held = lend();
    ck_assert_int_eq(weir_pool_expire(rig.pool, NULL), WEIR_OK);
    ck_assert_int_eq(weir__fake.created, 5); /* the idle ones are replaced */
    ck_assert_int_eq(run_sql(held, "select 1"), WEIR_OK);
    weir_session_release(held);
    ck_assert_int_eq(weir__fake.created, 6);
    ck_assert_int_eq(in_state(WEIR__IDLE), 3);
    weir__fake.connect_min_ns = weir__fake.connect_max_ns = 10 * WEIR__MS;
    weir_pool_expire(rig.pool, NULL);
    ck_assert_int_eq(in_state(WEIR__CONNECTING), 3);
    weir_pool_expire(rig.pool, NULL); /* those were begun before, too */
    rig_advance(12);
    ck_assert_int_eq(in_state(WEIR__IDLE), 0);
    rig_advance(12);
    ck_assert_int_eq(in_state(WEIR__IDLE), 3);
    ck_assert_int_eq(weir__fake.created, 12);
}
END_TEST

/* ---- trouble ---- */

static int64_t until_next_attempt(void) {
    long before = weir__fake.created;
    int64_t begun = rig.clock.now;
    while (weir__fake.created == before) rig_hop(begun + 1000000 * WEIR__MS);
    ck_assert_int_eq(weir__fake.created, before + 1);
    return rig.clock.now - begun;
}

/* One attempt at a time, at intervals that grow up to the bound and differ: without a breaker, and where the
   server is there and says no. */
START_TEST(backing_off) {
    enum { ATTEMPTS = 40 };
    static const char *const says[] = {NULL, "28P01", "55000"};
    options.circuit_breaker = _i;
    weir__fake.connect_sqlstate = says[_i];
    options.retry_min_ms = 100;
    options.retry_max_ms = 1000;
    weir__fake.connect_fail_permille = 1000;
    ck_assert_int_eq(rig_open(&options, 1, NULL, NULL), WEIR_PENDING);
    ck_assert_int_eq(weir__fake.created, 2); /* the floor at once; their failures are one */
    ck_assert_int_eq(outcome(rig.open, NULL), _i == 1 ? WEIR_ECONNECT : WEIR_OK);
    int64_t most = 100 * WEIR__MS, sum = 0;
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        int64_t pause = until_next_attempt();
        ck_assert_int_ge(pause, WEIR__MS);
        ck_assert_int_le(pause, most + 3 * WEIR__MS);
        if (most == 1000 * WEIR__MS) sum += pause;
        most = most * 2 < 1000 * WEIR__MS ? most * 2 : 1000 * WEIR__MS;
    }
    ck_assert_int_gt(sum / (ATTEMPTS - 4), 350 * WEIR__MS); /* full jitter: half the bound on average */
    ck_assert_int_lt(sum / (ATTEMPTS - 4), 650 * WEIR__MS);
    weir__fake.connect_fail_permille = 0;
    rig_advance(1100);
    ck_assert_int_eq(in_state(WEIR__IDLE), 2);
    ck_assert_uint_eq(snapshot().connections_created, 2);
    ck_assert_uint_eq(snapshot().connections_failed, 2 + ATTEMPTS);
}
END_TEST

START_TEST(down_is_told_at_once) {
    options.retry_min_ms = options.retry_max_ms = 1000;
    weir__fake.connect_fail_permille = 1000;
    rig_open(&options, 1, NULL, NULL);
    weir_error error = WEIR_ERROR_INIT;
    ck_assert_int_eq(refused(&error), WEIR_ECONNECT);
    ck_assert_str_eq(error.message, "the script refuses the connection");
    ck_assert(error.retryable);
    ck_assert_int_gt(error.retry_after_ms, 0);
    ck_assert_int_le(error.retry_after_ms, 1001);
    int64_t due = rig.clock.now + error.retry_after_ms * WEIR__MS;
    weir_error_clear(&error);
    ck_assert_int_eq(refused(NULL), WEIR_ECONNECT);
    ck_assert_uint_eq(snapshot().checkouts_refused, 2);
    weir__fake.connect_fail_permille = 0;
    rig.clock.now = due;
    weir_session s;
    weir_op op = queue(); /* at that time there is an attempt to wait for */
    rig_advance(2);
    ck_assert_int_eq(outcome(op, &s), WEIR_OK);
    ck_assert_int_eq(refused(NULL), WEIR_OK);
}
END_TEST

/* While a connection lives, one may wait for it, however the attempts at further ones go. */
START_TEST(down_is_not_told_while_one_lives) {
    bounds(1, 2, 0);
    rig_ready(&options);
    weir__fake.connect_fail_permille = 1000;
    weir_session held = lend(), s;
    weir_op op = queue();
    rig_advance(2000);
    ck_assert_int_eq(outcome(op, NULL), WEIR_PENDING);
    ck_assert_uint_gt(snapshot().connections_failed, 1);
    weir_session_release(held);
    ck_assert_int_eq(outcome(op, &s), WEIR_OK);
}
END_TEST

START_TEST(those_who_wait_are_told) {
    bounds(0, 2, 0);
    rig_ready(&options);
    weir__fake.connect_fail_permille = 1000;
    weir__fake.connect_min_ns = weir__fake.connect_max_ns = 10 * WEIR__MS;
    weir_op first = queue(), second = submit_to_pool("select 1", -1), third = queue();
    rig_advance(12);
    ck_assert_int_eq(outcome(first, NULL), WEIR_ECONNECT);
    ck_assert_int_eq(outcome(second, NULL), WEIR_ECONNECT);
    ck_assert_int_eq(outcome(third, NULL), WEIR_ECONNECT);
    ck_assert_uint_eq(snapshot().checkouts_refused, 3);
}
END_TEST

START_TEST(connecting_times_out) {
    bounds(1, 1, 0);
    options.connect_timeout_ms = 100;
    options.require = true;
    weir__fake_next_connect(WEIR__FAKE_HANG, 0);
    rig_open(&options, 1, NULL, NULL);
    rig_advance(99);
    ck_assert_int_eq(outcome(rig.open, NULL), WEIR_PENDING);
    rig_advance(3);
    ck_assert_int_eq(outcome(rig.open, NULL), WEIR_ECONNECTTIMEOUT);
    rig_advance(200);
    ck_assert_int_eq(in_state(WEIR__IDLE), 1);
}
END_TEST

/* Without memory for a connection the pool tries again: whoever waits gets his. */
START_TEST(no_memory_for_a_connection) {
    bounds(0, 2, 0);
    rig_ready(&options);
    weir_op op = 0;
    for (long k = 1; k < 8; k++) {
        weir_checkout checkout;
        weir_session s;
        weir_checkout_init(&checkout);
        weir__alloc_fail_at(k, true);
        int code = weir_pool_acquire(rig.pool, &checkout, NULL, &s, &op, NULL);
        weir__alloc_fail_at(0, false);
        holds();
        if (code == WEIR_OK) weir_session_release(s); /* an earlier round has left a connection */
        if (code != WEIR_PENDING) continue;
        rig_advance(200);
        ck_assert_int_eq(outcome(op, NULL), WEIR_OK);
        weir_pool_expire(rig.pool, NULL);
    }
    ck_assert_uint_gt(snapshot().checkouts_granted, 0);
}
END_TEST

/* ---- the host's init of new connections ---- */

static weir_session next_init(void) {
    weir_completion c;
    if (!weir_reactor_next(rig.reactor, &c)) ck_abort_msg("there is no event");
    ck_assert_int_eq(c.kind, WEIR_EVENT_INIT);
    ck_assert_int_eq(c.code, WEIR_OK);
    ck_assert_uint_eq(c.op, 0);
    ck_assert_ptr_eq(c.token, &options);
    return c.session;
}

START_TEST(each_new_connection_is_initialised) {
    bounds(2, 3, 0);
    options.init_hook = true;
    ck_assert_int_eq(rig_open(&options, 1, &options, NULL), WEIR_PENDING);
    weir_session first = next_init(), second = next_init();
    ck_assert_int_eq(in_state(WEIR__PREPARING), 2);
    weir_op waiter = queue(); /* not lent before their init is done */
    ck_assert_int_eq(outcome(waiter, NULL), WEIR_PENDING);
    ck_assert_int_eq(run_sql(first, "set x"), WEIR_OK);
    weir_session_release(first);
    weir_session s;
    ck_assert_int_eq(outcome(waiter, &s), WEIR_OK);
    weir_completion c;
    ck_assert(!weir_reactor_next(rig.reactor, &c));
    weir_session_release(second);
    ck_assert(weir_reactor_next(rig.reactor, &c)); /* two are there */
    ck_assert_int_eq(c.kind, WEIR_DONE_OPEN);
    ck_assert_int_eq(in_state(WEIR__IDLE), 1);
    ck_assert_int_eq(weir_session_release(second), WEIR_ESTALE);
    weir_snapshot now = snapshot(); /* an init is no checkout */
    ck_assert_uint_eq(now.checkouts_granted, 1);
    ck_assert_uint_eq(now.returned, 0);
    ck_assert_uint_eq(now.connections_created, 2);
}
END_TEST

/* An init that fails is a failed attempt: the next one waits, and opening does not wait for ever. */
START_TEST(a_failing_init_backs_off) {
    bounds(1, 1, 0);
    options.init_hook = true;
    options.retry_min_ms = options.retry_max_ms = 1000;
    ck_assert_int_eq(rig_open(&options, 1, &options, NULL), WEIR_PENDING);
    weir_completion c;
    weir_session_discard(next_init());
    ck_assert(weir_reactor_next(rig.reactor, &c));
    ck_assert_int_eq(c.kind, WEIR_DONE_OPEN);
    ck_assert_int_eq(c.code, WEIR_OK);
    int64_t failed_at = rig.clock.now, pauses[] = {0, 0}; /* after an init that gave up, or died */
    bool died = false;
    for (int i = 1; i <= 5; i++) {
        while (weir__fake.created == i) rig_hop(failed_at + 1000000 * WEIR__MS);
        ck_assert_int_eq(weir__fake.created, i + 1);
        pauses[died] += rig.clock.now - failed_at;
        failed_at = rig.clock.now;
        died = i % 2 == 0;
        if (died)
            weir__fake_kill(weir__fake_conn_at(0)); /* which is no better */
        else
            ck_assert_int_eq(weir_session_init_failed(next_init(), "said so"), WEIR_OK);
        rig_advance(0);
        weir_reactor_dispatch(rig.reactor);
        rig.clock.now += 2 * WEIR__MS;
        weir_reactor_dispatch(rig.reactor);
        while (weir_reactor_next(rig.reactor, &c)) ck_assert_int_eq(c.kind, WEIR_EVENT_INIT);
    }
    ck_assert_int_gt(pauses[false], 500 * WEIR__MS); /* full jitter: each is half a second on average */
    ck_assert_int_gt(pauses[true], 500 * WEIR__MS);
    weir_error error = WEIR_ERROR_INIT;
    if (!rig.pool->counts[WEIR__PREPARING]) ck_assert_int_eq(refused(&error), WEIR_ECONNECT);
    weir_error_clear(&error);
    ck_assert_int_gt(rig.pool->failures, 1);
}
END_TEST

START_TEST(a_failed_init_says_why) {
    char why[] = "no such role";
    weir_error error = WEIR_ERROR_INIT;
    bounds(1, 1, 0);
    options.init_hook = true;
    options.retry_min_ms = options.retry_max_ms = 1000;
    rig_open(&options, 1, &options, NULL);
    weir_session s = next_init();
    ck_assert_int_eq(weir_session_init_failed(s, why), WEIR_OK);
    why[0] = '\0'; /* it was copied */
    ck_assert_int_eq(refused(&error), WEIR_ECONNECT);
    ck_assert_ptr_nonnull(strstr(error.message, "the init of a new connection failed"));
    ck_assert_str_eq(error.detail, "no such role");
    weir_error_clear(&error);
    ck_assert_int_eq(weir_session_init_failed(s, "again"), WEIR_ESTALE);
    ck_assert_int_eq(weir_session_init_failed((weir_session){0}, NULL), WEIR_EINVAL);
    weir_completion c;
    while (weir_reactor_next(rig.reactor, &c)) ck_assert_int_eq(c.kind, WEIR_DONE_OPEN);
}
END_TEST

START_TEST(closing_amid_an_init) {
    bounds(1, 1, 0);
    options.init_hook = true;
    rig_open(&options, 1, &options, NULL);
    weir_session s = next_init();
    weir_op op;
    ck_assert_int_eq(weir_pool_close(rig.pool, -1, NULL, &op, NULL), WEIR_PENDING);
    ck_assert_int_eq(outcome(op, NULL), WEIR_OK);
    ck_assert_int_eq(weir_session_release(s), WEIR_ECLOSED);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {open_waits_for_the_floor,
                                  open_without_a_floor,
                                  open_ends_with_the_first_failure,
                                  open_may_require_a_connection,
                                  open_can_be_cancelled,
                                  open_merges_the_urls_options,
                                  open_is_refused,
                                  grows_to_its_bounds,
                                  first_come_first_served,
                                  the_line_has_an_end,
                                  no_line_at_all,
                                  a_checkout_times_out,
                                  a_grant_that_nobody_takes,
                                  connections_have_a_lifetime,
                                  the_floor_is_kept,
                                  a_look_only_when_it_is_needed,
                                  resizing,
                                  expiring,
                                  down_is_told_at_once,
                                  down_is_not_told_while_one_lives,
                                  those_who_wait_are_told,
                                  connecting_times_out,
                                  no_memory_for_a_connection,
                                  each_new_connection_is_initialised,
                                  a_failing_init_backs_off,
                                  a_failed_init_says_why,
                                  closing_amid_an_init};
    Suite *suite = suite_create("pool");
    TCase *tc = tcase_create("pool");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, set_up, tear_down);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) tcase_add_test(tc, tests[i]);
    tcase_add_loop_test(tc, open_fails_for_good, 0, 5);
    tcase_add_loop_test(tc, open_without_memory, 0, 2);
    tcase_add_loop_test(tc, backing_off, 0, 3);
    tcase_add_loop_test(tc, which_idle_connection_is_lent, 0, 2);
    tcase_add_loop_test(tc, idle_connections_are_closed, 0, 2);
    tcase_add_loop_test(tc, a_dead_idle_connection_is_not_lent, 0, 5);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}

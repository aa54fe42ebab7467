/* The pool's own probe, and how it lets calls in again, on the fake driver and the fake clock. */
#include <check.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "support_circuit.h"
#include "support_pool.h"
#include "support_suite.h"

static weir_options options;

static void set_up(void) { options = circuit_start(); }
static void tear_down(void) { rig_done(); }

static void bounds(int min, int max) {
    options.min_size = min;
    options.max_size = max;
}

typedef struct beats {
    long attempts;
    int64_t least, most; /* between two of them */
    int in_flight;       /* at most */
} beats;

/* What is tried in so many milliseconds, with sixteen callers who keep asking; nobody gets in. */
static beats watch(int64_t ms, int code) {
    beats seen = {0, INT64_MAX, 0, 0};
    long created = weir__fake.created;
    int64_t last = 0, end = rig.clock.now + ms * WEIR__MS;
    while (rig.clock.now < end) {
        for (int i = 0; i < 16; i++) ck_assert_int_eq(ask_only(), code);
        rig_advance(1);
        if (in_state(WEIR__CONNECTING) > seen.in_flight) seen.in_flight = in_state(WEIR__CONNECTING);
        if (weir__fake.created == created) continue;
        ck_assert_int_eq(weir__fake.created, created + 1); /* one at a time */
        created++;
        if (seen.attempts++) {
            int64_t pause = rig.clock.now - last;
            if (pause < seen.least) seen.least = pause;
            if (pause > seen.most) seen.most = pause;
        }
        last = rig.clock.now;
    }
    return seen;
}

/* Whether attempts are refused at once or hang, a new one begins every 200 to 250 ms, and four are under way.
 */
START_TEST(probes_keep_their_beat) {
    bounds(6, 10);
    rig_ready(&options);
    for (int i = 0; i < 8; i++) submit_to_pool("sleep 10000", -1);
    server_gone(_i);
    ck_assert_int_eq(query_state(), WEIR_BREAKER_OPEN);
    long lost = (long)snapshot().connections_started;
    beats seen = watch(5000, _i ? WEIR_ECIRCUITOPEN : WEIR_ECONNECTCIRCUITOPEN);
    ck_assert_int_ge(seen.attempts, 19);
    ck_assert_int_le(seen.attempts, 26);
    ck_assert_int_ge(seen.least, 198 * WEIR__MS);
    ck_assert_int_le(seen.most, 253 * WEIR__MS);
    ck_assert_int_eq(seen.in_flight, _i ? WEIR_PROBES : 0);
    weir_snapshot now = snapshot();
    ck_assert_uint_le(now.connections_started - (uint64_t)lost, 40);
    ck_assert_uint_ge(now.probes_started, (uint64_t)seen.attempts);
    ck_assert_int_eq(now.probing, _i ? WEIR_PROBES : 0);
    ck_assert_int_eq(connect_state(), _i ? WEIR_BREAKER_CLOSED : WEIR_BREAKER_OPEN);
}
END_TEST

/* The first two go on until connect_timeout, for a server that is slow; the others give way, in turn. */
START_TEST(old_probes_last_and_young_ones_give_way) {
    bounds(1, 8);
    options.connect_timeout_ms = 3000;
    options.circuit.failure_threshold = 1;
    rig_ready(&options);
    submit_to_pool("sleep 10000", -1);
    server_gone(true);
    rig_advance(900);
    ck_assert_int_eq(in_state(WEIR__CONNECTING), 4);
    int64_t ages[4];
    int old[2], count = 0;
    for (size_t i = 0; i < rig.pool->slot_count; i++)
        if (rig.pool->slots[i]->state == WEIR__CONNECTING) ages[count++] = rig.pool->slots[i]->tried_at;
    ck_assert_int_eq(count, 4);
    for (int rank = 0; rank < 2; rank++)
        for (int i = 0; i < 4; i++) {
            int before = 0;
            for (int j = 0; j < 4; j++) before += ages[j] < ages[i];
            if (before == rank) old[rank] = (int)(ages[i] / WEIR__MS);
        }
    rig_advance(1500);
    int still = 0, young = 0;
    for (size_t i = 0; i < rig.pool->slot_count; i++) {
        const weir__slot *slot = rig.pool->slots[i];
        if (slot->state != WEIR__CONNECTING) continue;
        int at = (int)(slot->tried_at / WEIR__MS);
        still += at == old[0] || at == old[1];
        young += rig.clock.now - slot->tried_at < 520 * WEIR__MS;
    }
    ck_assert_int_eq(still, 2);
    ck_assert_int_eq(young, 2);
    rig_advance(700); /* connect_timeout ends them, and others grow old in their places */
    ck_assert_uint_gt(snapshot().connections_failed, 6);
    ck_assert_int_ge(in_state(WEIR__CONNECTING), 3);
}
END_TEST

/* The server is back: the first attempt that gets an answer, to a statement, ends the outage. */
START_TEST(the_first_success_wins) {
    bounds(2, 8);
    rig_ready(&options);
    for (int i = 0; i < 8; i++) submit_to_pool("sleep 10000", -1);
    server_gone(true);
    rig_advance(3000);
    ck_assert_int_eq(in_state(WEIR__CONNECTING), 4);
    transcript();
    server_back();
    int64_t back = rig.clock.now;
    while (query_state() == WEIR_BREAKER_OPEN) rig_hop(back + 1000 * WEIR__MS);
    ck_assert_int_le(rig.clock.now - back, 255 * WEIR__MS);
    ck_assert_int_eq(query_state(), WEIR_BREAKER_HALF_OPEN);
    ck_assert_str_eq(transcript(), "SELECT 1\n"); /* and nobody's call was before it */
    ck_assert_int_eq(in_state(WEIR__IDLE) >= 1, 1);
    for (size_t i = 0; i < rig.pool->slot_count; i++) /* those that hang are gone */
        ck_assert(!rig.pool->slots[i]->trying || rig.pool->slots[i]->tried_at >= back);
    ck_assert(logged("the circuit breaker query is half_open (probe_succeeded)"));
    holds();
}
END_TEST

/* Half-open one call is let in at a time, then two, then four; then all. */
START_TEST(slow_start) {
    bounds(8, 8);
    options.circuit.failure_threshold = 1;
    rig_ready(&options);
    weir__fake_next_connect(WEIR__FAKE_HANG, 0);
    query("fail 08006");
    while (query_state() == WEIR_BREAKER_OPEN) rig_advance(10);
    weir_session sessions[8];
    weir_op op;
    for (int limit = 1; limit <= 4; limit *= 2) {
        ck_assert_int_eq(numbers(queries()).half_open_limit, limit);
        for (int i = 0; i < limit; i++) ck_assert_int_eq(ask(&sessions[i], &op, NULL), WEIR_OK);
        weir_error error = WEIR_ERROR_INIT;
        ck_assert_int_eq(ask(&sessions[limit], &op, &error), WEIR_ECIRCUITOPEN);
        ck_assert_ptr_nonnull(strstr(error.message, "is half-open"));
        ck_assert_int_gt(error.retry_after_ms, 0);
        ck_assert_int_le(error.retry_after_ms, 250);
        weir_error_clear(&error);
        for (int i = 0; i < limit; i++) {
            ck_assert_int_eq(run_sql(sessions[i], "select 1"), WEIR_OK);
            ck_assert_int_eq(run_sql(sessions[i], "select 2"), WEIR_OK); /* takes no place of its own */
            weir_session_release(sessions[i]);
        }
    }
    ck_assert_int_eq(query_state(), WEIR_BREAKER_CLOSED);
    for (int i = 0; i < 8; i++) ck_assert_int_eq(ask(&sessions[i], &op, NULL), WEIR_OK);
}
END_TEST

/* A loan that runs nothing gives its place back, and so does a caller who goes away. */
START_TEST(unused_places_come_back) {
    options.circuit.failure_threshold = 1;
    rig_ready(&options);
    weir__fake_next_connect(WEIR__FAKE_HANG, 0);
    query("fail 08006");
    while (query_state() == WEIR_BREAKER_OPEN) rig_advance(10);
    weir_session session = lend();
    ck_assert_int_eq(ask_only(), WEIR_ECIRCUITOPEN);
    weir_session_release(session);
    weir_op op = submit_to_pool("sleep 100", -1);
    ck_assert_int_eq(ask_only(), WEIR_ECIRCUITOPEN);
    weir_reactor_cancel(rig.reactor, op);
    rig_advance(5);
    ck_assert_int_eq(query("select 1"), WEIR_OK);
    ck_assert_int_eq(numbers(queries()).half_open_limit, 2);
}
END_TEST

START_TEST(a_failed_trial_opens_again) {
    options.circuit.failure_threshold = 1;
    rig_ready(&options);
    weir__fake_next_connect(WEIR__FAKE_HANG, 0);
    query("fail 08006");
    while (query_state() == WEIR_BREAKER_OPEN) rig_advance(10);
    weir__fake_next_connect(WEIR__FAKE_HANG, 0);
    ck_assert_int_eq(query("fail 08006"), WEIR_ESERVER);
    ck_assert_int_eq(query_state(), WEIR_BREAKER_OPEN);
    ck_assert_int_eq(numbers(queries()).openings, 2);
    while (query_state() == WEIR_BREAKER_OPEN) rig_advance(10);
    for (int i = 0; i < 7; i++) ck_assert_int_eq(query("select 1"), WEIR_OK);
    ck_assert_int_eq(query_state(), WEIR_BREAKER_CLOSED);
}
END_TEST

/* To connect is not enough: a proxy may do that for a server that is not there. */
START_TEST(the_probe_runs_a_statement) {
    bounds(1, 2);
    options.circuit.failure_threshold = 1;
    rig_ready(&options);
    weir__fake_next_run(WEIR__FAKE_FAIL, "08006", 0); /* the caller's */
    weir__fake_next_run(_i ? WEIR__FAKE_LOSE : WEIR__FAKE_FAIL, "08006", 0);
    weir__fake_next_run(WEIR__FAKE_HANG, NULL, 0);
    options.connect_timeout_ms = 10000;
    ck_assert_int_eq(query("select 1"), WEIR_ESERVER);
    rig_advance(190);
    ck_assert_int_eq(query_state(), WEIR_BREAKER_OPEN);
    weir_breaker_snapshot now = numbers(queries());
    ck_assert_uint_eq(now.probes_failed, 1);
    ck_assert_ptr_nonnull(strstr(now.last_failure, _i ? "ConnectionLost" : "as the script says"));
    rig_advance(260); /* the next one hangs, and the one after it does not wait for it */
    ck_assert_int_eq(in_state(WEIR__CHECKING), 1);
    rig_advance(260);
    ck_assert_int_ne(query_state(), WEIR_BREAKER_OPEN);
    ck_assert_uint_eq(numbers(queries()).probes_succeeded, 1);
}
END_TEST

/* An answer that hangs is bounded by connect_timeout, as the attempt itself. */
START_TEST(a_hanging_check_has_an_end) {
    bounds(1, 1);
    options.circuit.failure_threshold = 1;
    options.connect_timeout_ms = 400;
    rig_ready(&options);
    weir__fake_next_run(WEIR__FAKE_FAIL, "08006", 0);
    weir__fake_next_run(WEIR__FAKE_HANG, NULL, 0);
    ck_assert_int_eq(query("select 1"), WEIR_ESERVER);
    rig_advance(390);
    ck_assert_int_eq(in_state(WEIR__CHECKING), 1);
    rig_advance(20);
    ck_assert_ptr_nonnull(strstr(numbers(queries()).last_failure, "ConnectTimeout"));
    rig_advance(300);
    ck_assert_int_ne(query_state(), WEIR_BREAKER_OPEN);
}
END_TEST

/* A pool that has no place for a new connection asks one that is idle, or takes the place of one that hangs.
 */
START_TEST(a_full_pool_finds_a_place) {
    bounds(2, 2);
    options.circuit.failure_threshold = 1;
    rig_ready(&options);
    long created = weir__fake.created;
    if (_i) {
        weir__fake.cancel_ignored_permille = 1000;
        weir_op ops[2] = {submit_to_pool("hang", 20), submit_to_pool("hang", 20)};
        rig_advance(22);
        for (int i = 0; i < 2; i++) ck_assert_int_eq(outcome(ops[i], NULL), WEIR_ECOMMANDTIMEOUT);
        ck_assert_int_eq(in_state(WEIR__DRAINING), 2);
        ck_assert_int_eq(query_state(), WEIR_BREAKER_OPEN);
        rig_advance(40); /* they may come back by themselves */
        ck_assert_int_eq(weir__fake.created, created);
        rig_advance(70);
        ck_assert_int_eq(weir__fake.created, created + 1);
    } else {
        ck_assert_int_eq(query("fail 08006"), WEIR_ESERVER);
        ck_assert_int_eq(weir__fake.created, created);
    }
    rig_advance(10);
    ck_assert_int_eq(query_state(), WEIR_BREAKER_HALF_OPEN);
    ck_assert_int_le(weir__pool_total(rig.pool), 2);
}
END_TEST

/* Where every connection is lent, their holders go on, and the time-out lets others in. */
START_TEST(the_recovery_timeout) {
    bounds(2, 2);
    options.circuit.failure_threshold = 1;
    options.circuit.recovery_timeout_ms = 2000;
    rig_ready(&options);
    weir_session held = lend();
    weir_session other = lend();
    ck_assert_int_eq(run_sql(other, "fail 08006"), WEIR_ESERVER);
    rig_advance(1700);
    ck_assert_int_eq(ask_only(), WEIR_ECIRCUITOPEN);
    rig_advance(400);
    ck_assert_int_eq(query_state(), WEIR_BREAKER_HALF_OPEN);
    weir_session session;
    weir_op op = queue();
    weir_session_release(held);
    ck_assert_int_eq(outcome(op, &session), WEIR_OK);
    ck_assert_int_eq(ask_only(), WEIR_ECIRCUITOPEN);
    ck_assert_int_eq(run_sql(session, "select 1"), WEIR_OK);
    ck_assert_int_eq(numbers(queries()).half_open_limit, 2);
}
END_TEST

/* A lost connection alone, in a pool that nobody uses, is replaced, and with a beat if it cannot be. */
START_TEST(the_floor_comes_back_by_itself) {
    rig_ready(&options);
    server_gone(false);
    rig_advance(1500);
    ck_assert_int_eq(connect_state(), WEIR_BREAKER_OPEN);
    ck_assert_int_eq(query_state(), WEIR_BREAKER_CLOSED);
    ck_assert_int_eq(ask_only(), WEIR_ECONNECTCIRCUITOPEN);
    server_back();
    rig_advance(260);
    ck_assert_int_eq(in_state(WEIR__IDLE), 2);
    ck_assert_int_eq(query("select 1"), WEIR_OK);
}
END_TEST

/* With an init the probe runs it, too, though the breaker is open. */
START_TEST(a_probe_has_its_init) {
    bounds(1, 2);
    options.init_hook = true;
    options.circuit.failure_threshold = 1;
    ck_assert_int_eq(rig_open(&options, 1, &options, NULL), WEIR_PENDING);
    weir_completion c;
    ck_assert(weir_reactor_next(rig.reactor, &c));
    weir_session_release(c.session);
    while (weir_reactor_next(rig.reactor, &c)) weir_completion_discard(&c);
    weir_session held = lend();
    ck_assert_int_eq(run_sql(held, "fail 08006"), WEIR_ESERVER);
    rig_advance(252);
    ck_assert(weir_reactor_next(rig.reactor, &c));
    ck_assert_int_eq(c.kind, WEIR_EVENT_INIT);
    transcript();
    ck_assert_int_eq(run_sql(c.session, "set x"), WEIR_OK);
    weir_session_release(c.session);
    rig_advance(5);
    ck_assert_str_eq(transcript(), "set x\nSELECT 1\n");
    ck_assert_int_eq(query_state(), WEIR_BREAKER_HALF_OPEN);
}
END_TEST

/* A probe whose init runs a statement gives way like any other, and the statement is told. */
START_TEST(a_probe_gives_way_in_its_init) {
    bounds(1, 8);
    options.init_hook = true;
    options.circuit.failure_threshold = 1;
    ck_assert_int_eq(rig_open(&options, 1, &options, NULL), WEIR_PENDING);
    weir_completion c;
    ck_assert(weir_reactor_next(rig.reactor, &c));
    weir_session_release(c.session);
    while (weir_reactor_next(rig.reactor, &c)) weir_completion_discard(&c);
    weir_session held = lend();
    ck_assert_int_eq(run_sql(held, "fail 08006"), WEIR_ESERVER);
    weir_op ops[8];
    int begun = 0, ended = 0;
    for (int ms = 0; ms < 1500 && begun < 6; ms += 10) {
        rig_advance(10);
        while (weir_reactor_next(rig.reactor, &c))
            if (c.kind == WEIR_EVENT_INIT) ops[begun++] = submit(c.session, "hang", -1);
    }
    ck_assert_int_eq(begun, 6);
    for (int i = 0; i < begun; i++) ended += outcome(ops[i], NULL) == WEIR_ELOST;
    ck_assert_int_eq(ended, 2);
    ck_assert_int_eq(weir__pool_trying(rig.pool), WEIR_PROBES);
}
END_TEST

/* Half-open, a loan takes the one place, and nothing is run in it; another one, of before, works on.
   _i: in the first one a statement runs, or hangs. */
START_TEST(an_idle_loan_keeps_nobody_out) {
    options.min_size = options.max_size = 4;
    options.circuit.failure_threshold = 1;
    options.circuit.half_open_timeout_ms = 1000;
    rig_ready(&options);
    weir_session other = lend(), idle;
    ck_assert_int_eq(query("fail 08006"), WEIR_ESERVER);
    rig_advance(300);
    ck_assert_int_eq(query_state(), WEIR_BREAKER_HALF_OPEN);
    idle = lend();
    ck_assert_int_eq(numbers(queries()).half_open_calls, 1);
    weir_op hanging = _i ? submit(idle, "hang", -1) : 0;
    int64_t begun = rig.clock.now;
    while (ask_only() == WEIR_ECIRCUITOPEN) {
        ck_assert_int_lt(rig.clock.now - begun, 2000 * WEIR__MS);
        rig_advance(50);
        ck_assert_int_eq(run_sql(other, "select 1"), WEIR_OK);
    }
    int64_t waited = (rig.clock.now - begun) / WEIR__MS;
    ck_assert_int_ge(waited, _i ? 1000 : 250);
    ck_assert_int_le(waited, _i ? 1100 : 350);
    ck_assert_int_eq(numbers(queries()).half_open_calls, 1);
    if (_i)
        weir_reactor_cancel(rig.reactor, hanging);
    else
        ck_assert_int_eq(run_sql(idle, "select 1"), WEIR_OK); /* it is let in without a place */
    holds();
}
END_TEST

int main(void) {
    const TTest *const tests[] = {old_probes_last_and_young_ones_give_way,
                                  the_first_success_wins,
                                  slow_start,
                                  unused_places_come_back,
                                  a_failed_trial_opens_again,
                                  a_hanging_check_has_an_end,
                                  the_recovery_timeout,
                                  the_floor_comes_back_by_itself,
                                  a_probe_has_its_init,
                                  a_probe_gives_way_in_its_init};
    Suite *suite = suite_create("circuit_probe");
    TCase *tc = tcase_create("circuit_probe");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) tcase_add_test(tc, tests[i]);
    tcase_add_loop_test(tc, probes_keep_their_beat, 0, 2);
    tcase_add_loop_test(tc, the_probe_runs_a_statement, 0, 2);
    tcase_add_loop_test(tc, a_full_pool_finds_a_place, 0, 2);
    tcase_add_loop_test(tc, an_idle_loan_keeps_nobody_out, 0, 2);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}

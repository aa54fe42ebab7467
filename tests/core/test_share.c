/* Statements that share connections, on the fake driver and clock: who joins whom, and who goes elsewhere. */
#include <check.h>
#include <string.h>

#include <weirpool/monitor.h>

#include "support_monitor.h"
#include "support_pool.h"
#include "support_suite.h"

/* Their answers come within a quarter of pipeline_max_wait: they are short. */
#define READ "sleep 10 shared"
#define WRITE "sleep 10 shared write"
/* The fake driver answers a whole line of these at once. */
#define QUICK "echo shared"
#define QUICK_WRITE "echo shared write"
enum { MAX_WAIT = 1000, DEPTH = 64, DEPTH_WRITES = 8 };

static weir_options options;

static void start(void) {
    rig_start(7);
    options = rig_options();
    options.pipeline_max_wait_ms = MAX_WAIT;
    options.command_timeout_ms = options.checkout_timeout_ms = options.idle_timeout_ms = -1;
}
static void stop(void) { rig_done(); }

/* One that fills a connection before it takes the next. */
static void open_pool(int size) {
    options.min_size = options.max_size = size;
    rig_ready(&options);
    weir__width_pin(rig.pool, 1);
}

/* In steps, so that the client is not taken for one that did not look. */
static void pass(int64_t ms) {
    for (; ms > 0; ms -= 50) rig_advance(ms < 50 ? ms : 50);
    ck_assert_ptr_null(rig_fault());
}

static weir_op ask(const char *sql) { return submit_to_pool(sql, WEIR_TIMEOUT_DEFAULT); }

static weir_op ask_as(const char *sql, bool readonly, bool hold) {
    weir_run run;
    weir_run_init(&run);
    run.readonly = readonly;
    run.hold = hold;
    weir_statement *statement = weir_statement_new(sql, strlen(sql), NULL);
    weir_op op = 0;
    ck_assert_int_eq(weir_pool_execute(rig.pool, statement, &run, NULL, &op, NULL), WEIR_PENDING);
    weir_statement_unref(statement);
    return op;
}

static void ask_many(const char *sql, weir_op *ops, int count) {
    for (int i = 0; i < count; i++) ops[i] = ask(sql);
}

/* An executemany. */
static weir_op ask_sets(const char *sql, int sets) {
    weir_statement *statement = weir_statement_new(sql, strlen(sql), NULL);
    weir_op op = 0;
    weir_statement_no_sets(statement);
    for (int i = 0; i < sets; i++) {
        weir_value value = {.type = WEIR_TYPE_INT, .as.integer = i};
        weir_statement_add_set(statement);
        weir_statement_add(statement, &value);
    }
    ck_assert_int_eq(weir_pool_execute(rig.pool, statement, NULL, NULL, &op, NULL), WEIR_PENDING);
    weir_statement_unref(statement);
    return op;
}

static void next_hangs(void) { weir__fake_next_run(WEIR__FAKE_HANG, NULL, 0); }
static void next_takes(int64_t ms) { weir__fake_next_run(WEIR__FAKE_OK, NULL, ms * WEIR__MS); }

static void succeeds(weir_op op) { ck_assert_int_eq(outcome(op, NULL), WEIR_OK); }
static void all_succeed(const weir_op *ops, int count) {
    for (int i = 0; i < count; i++) succeeds(ops[i]);
}
static void waits(weir_op op) { ck_assert_int_eq(outcome(op, NULL), WEIR_PENDING); }
static void cancel(weir_op op) { ck_assert_int_eq(weir_reactor_cancel(rig.reactor, op), WEIR_OK); }

/* Runs it alone: how long it takes is known from then on. */
static void learn(const char *sql) {
    weir_op op = ask(sql);
    pass(400);
    succeeds(op);
}

/* Where the statement runs; NULL: it waits. */
static weir__slot *place_of(weir_op op) {
    weir__op *found = weir__op_find(rig.reactor, op);
    ck_assert_ptr_nonnull(found);
    return ((weir__task *)found)->slot;
}
static int in_lane(void) { return rig.pool->share.lane_count; }

/* ---- who joins whom ---- */

START_TEST(an_unknown_one_runs_alone) {
    open_pool(2);
    weir_op ops[4] = {ask(READ), ask(READ), ask(READ)};
    ck_assert_ptr_ne(place_of(ops[0]), place_of(ops[1]));
    ck_assert_ptr_null(place_of(ops[2]));
    pass(100);
    all_succeed(ops, 3);
    ask_many(READ, ops, 2); /* and now it is known */
    ck_assert_ptr_eq(place_of(ops[0]), place_of(ops[1]));
    ops[2] = ask("sleep 11 shared");
    ck_assert_int_eq(place_of(ops[2])->flying, 1);
    pass(100);
    all_succeed(ops, 3);
}
END_TEST

START_TEST(the_depth_is_bounded) {
    weir_op ops[DEPTH + 6];
    open_pool(1);
    learn("sleep 1 shared");
    ask_many("sleep 1 shared", ops, DEPTH + 6);
    ck_assert_int_eq(place_of(ops[0])->flying, DEPTH);
    ck_assert_int_eq(in_lane(), 6);
    ck_assert_ptr_null(place_of(ops[DEPTH]));
    pass(400);
    all_succeed(ops, DEPTH + 6);
}
END_TEST

START_TEST(the_wait_is_bounded) {
    weir_op ops[20];
    open_pool(1);
    learn("sleep 200 shared");
    ask_many("sleep 200 shared", ops, 20);
    ck_assert_int_eq(place_of(ops[0])->flying, MAX_WAIT / 200); /* no more work than that stands before one */
    pass(20 * 250);
    all_succeed(ops, 20);
}
END_TEST

START_TEST(writes_stand_in_short_lines) {
    weir_op ops[DEPTH_WRITES + 2], read;
    open_pool(1);
    learn(READ);
    learn(WRITE);
    ask_many(WRITE, ops, DEPTH_WRITES);
    read = ask(READ); /* it may stand behind more */
    ck_assert_int_eq(place_of(read)->flying, DEPTH_WRITES + 1);
    pass(400);
    all_succeed(ops, DEPTH_WRITES);
    succeeds(read);
    ask_many(WRITE, ops, DEPTH_WRITES + 2);
    ck_assert_int_eq(place_of(ops[0])->flying, DEPTH_WRITES);
    ck_assert_int_eq(in_lane(), 2);
    read = ask(READ); /* … but does not overtake */
    ck_assert_ptr_null(place_of(read));
    pass(400);
    all_succeed(ops, DEPTH_WRITES + 2);
    succeeds(read);
}
END_TEST

START_TEST(as_many_as_the_width_are_kept_busy) {
    weir_op ops[7];
    open_pool(4);
    learn(READ);
    weir__width_pin(rig.pool, 3);
    ask_many(READ, ops, 7);
    ck_assert_int_eq(rig.pool->share.count, 3);
    ck_assert_int_eq(place_of(ops[0])->flying, 3);
    ck_assert_int_eq(place_of(ops[1])->flying, 2);
    ck_assert_int_eq(place_of(ops[2])->flying, 2);
    pass(100);
    all_succeed(ops, 7);
}
END_TEST

START_TEST(slow_ones_are_beside_the_width) {
    open_pool(4);
    learn(READ);
    learn("sleep 300 shared");
    weir__width_pin(rig.pool, 2);
    weir_op ops[6] = {ask("sleep 300 shared"), ask("sleep 300 shared")};
    ask_many(READ, ops + 2, 4);
    ck_assert_int_eq(rig.pool->share.slow, 2);
    ck_assert_int_eq(place_of(ops[2])->flying, 2);
    ck_assert_int_eq(place_of(ops[3])->flying, 2);
    ck_assert_ptr_ne(place_of(ops[2]), place_of(ops[3]));
    pass(400);
    all_succeed(ops, 6);
    ck_assert_int_eq(rig.pool->share.slow, 0);
}
END_TEST

START_TEST(more_than_the_width_take_no_more) {
    weir_op ops[9];
    open_pool(4);
    learn(READ);
    weir__width_pin(rig.pool, 3);
    ask_many(READ, ops, 6);
    weir__width_pin(rig.pool, 1);
    ask_many(READ, ops + 6, 3);
    for (int i = 6; i < 9; i++) ck_assert_ptr_eq(place_of(ops[i]), place_of(ops[0]));
    pass(100);
    all_succeed(ops, 9);
    ck_assert_int_eq(in_state(WEIR__IDLE), 4);
}
END_TEST

START_TEST(a_slow_one_wants_a_connection_of_its_own) {
    static const char *const texts[] = {"sleep 300 shared", "sleep 300 shared write"};
    open_pool(2);
    learn(READ);
    learn(texts[_i]);
    weir_op ops[3] = {ask(READ), ask(READ), ask(texts[_i])};
    ck_assert_ptr_ne(place_of(ops[2]), place_of(ops[0]));
    pass(400);
    all_succeed(ops, 3);
    weir_session session = lend();
    ops[0] = ask(texts[_i]);
    ops[1] = ask(READ); /* nor does anybody stand behind it */
    ck_assert_ptr_null(place_of(ops[1]));
    pass(400);
    all_succeed(ops, 2);
    weir_session_release(session);
}
END_TEST

/* What the way there and back takes of its time shows behind another one: one is tried there now and then. */
START_TEST(a_slow_one_is_tried_behind_another) {
    const char *text = "sleep 300 shared";
    open_pool(1);
    learn(READ);
    learn(text);
    for (int i = 0; i < 2; i++) {
        weir_op ops[3] = {ask(READ), ask(text)};
        ck_assert_ptr_eq(place_of(ops[1]), place_of(ops[0]));
        pass(20);
        succeeds(ops[0]);
        ops[2] = ask(text);
        ck_assert_ptr_null(place_of(ops[2]));
        pass(700);
        all_succeed(ops + 1, 2);
    }
    weir_op ops[3] = {ask(READ), ask(READ), ask(text)};
    ck_assert_ptr_null(place_of(ops[2])); /* behind one, not two */
    pass(400);
    all_succeed(ops, 3);
}
END_TEST

/* A writer that took so long may have waited for a lock: it could stand before the one that would free it. */
START_TEST(a_writer_that_was_late_does_not_share_for_a_second) {
    bool writes = _i;
    const char *text = writes ? WRITE : READ;
    weir_op ops[3];
    open_pool(2);
    learn(text);
    next_takes(MAX_WAIT + 100);
    ops[0] = ask(text);
    pass(MAX_WAIT + 200);
    succeeds(ops[0]);
    ask_many(text, ops, 2); /* on the average it is short */
    ck_assert_int_eq(place_of(ops[0]) == place_of(ops[1]), !writes);
    ops[2] = ask(text);
    ck_assert_int_eq(in_lane(), writes);
    pass(100);
    all_succeed(ops, 3);
    pass(1000);
    ask_many(text, ops, 2);
    ck_assert_ptr_eq(place_of(ops[0]), place_of(ops[1]));
    pass(100);
    all_succeed(ops, 2);
}
END_TEST

/* The first of each line is answered when the way there and back is done, which takes longer than any may
 * run. */
START_TEST(the_way_there_is_no_running) {
    const char *text = "sleep 1 shared";
    weir_op ops[10];
    options.pipeline_max_wait_ms = 20;
    open_pool(1);
    next_takes(60);
    learn(text);
    next_takes(60);
    ops[0] = ask(text);
    pass(50);
    ops[1] = ask(text); /* it is tried behind another one */
    pass(60);
    all_succeed(ops, 2);
    next_takes(60);
    ask_many(text, ops, 10);
    pass(55);
    ck_assert_int_eq(in_lane(), 0);
    ck_assert_int_eq(place_of(ops[0])->flying, 10);
    pass(60);
    all_succeed(ops, 10);
    next_takes(100); /* … but one that takes longer than the first ones has run */
    ask_many(text, ops, 10);
    pass(90);
    ck_assert_int_eq(in_lane(), 9);
    pass(60);
    all_succeed(ops, 10);
}
END_TEST

START_TEST(what_the_client_did_not_look_at_was_not_late) {
    weir_op ops[2];
    open_pool(2);
    learn(WRITE);
    ops[0] = ask(WRITE);
    rig.clock.now += (MAX_WAIT + 100) * WEIR__MS;
    pass(50);
    succeeds(ops[0]);
    ask_many(WRITE, ops, 2);
    ck_assert_ptr_eq(place_of(ops[0]), place_of(ops[1]));
    pass(100);
    all_succeed(ops, 2);
}
END_TEST

START_TEST(one_that_is_often_late_does_not_share) {
    weir_op ops[2];
    open_pool(2);
    learn(READ);
    for (int late = 0; late < 3; late++) {
        next_takes(MAX_WAIT + 100);
        ops[0] = ask(READ);
        pass(MAX_WAIT + 200);
        succeeds(ops[0]);
        for (int i = 0; i < 5; i++) learn(READ); /* three in eighteen */
    }
    ask_many(READ, ops, 2);
    ck_assert_ptr_ne(place_of(ops[0]), place_of(ops[1]));
    pass(100);
    all_succeed(ops, 2);
    for (int i = 0; i < 64; i++) learn(READ);
    ask_many(READ, ops, 2);
    ck_assert_ptr_eq(place_of(ops[0]), place_of(ops[1]));
    pass(100);
    all_succeed(ops, 2);
}
END_TEST

START_TEST(readonly_ones_keep_to_themselves) {
    open_pool(2);
    learn(READ);
    weir_op ops[4] = {ask(READ), ask_as(READ, true, false), ask(READ), ask_as(READ, true, false)};
    ck_assert_ptr_ne(place_of(ops[0]), place_of(ops[1]));
    ck_assert_ptr_eq(place_of(ops[0]), place_of(ops[2]));
    ck_assert_ptr_eq(place_of(ops[1]), place_of(ops[3]));
    pass(100);
    all_succeed(ops, 4);
}
END_TEST

START_TEST(nobody_stands_behind_a_session_or_an_exclusive_one) {
    open_pool(2);
    learn(READ);
    weir_session session = lend();
    weir_op slow = ask("sleep 500"), read = ask(READ);
    ck_assert_ptr_null(place_of(read));
    pass(400);
    waits(read);
    weir_session_release(session);
    ck_assert_ptr_eq(place_of(read), rig.pool->slots[session.slot]);
    pass(200);
    succeeds(read);
    succeeds(slow);
}
END_TEST

START_TEST(an_executemany_counts_by_its_sets) {
    open_pool(2);
    learn(READ);
    weir_op ops[4] = {ask_sets("sleep 100 shared", 10), ask(READ), ask_sets("sleep 100 shared", 20)};
    ck_assert_ptr_ne(place_of(ops[0]), place_of(ops[1])); /* it is not known yet */
    ck_assert_ptr_null(place_of(ops[2]));
    pass(400);
    all_succeed(ops, 3);
    ops[0] = ask(READ);
    ops[1] = ask_sets("sleep 100 shared", 10); /* 10 ms a set, or somewhat less */
    ck_assert_ptr_eq(place_of(ops[1]), place_of(ops[0]));
    ck_assert_int_gt(place_of(ops[0])->load, 70 * WEIR__MS);
    ck_assert_int_lt(place_of(ops[0])->load, 130 * WEIR__MS);
    ops[2] = ask_sets("sleep 100 shared", 40); /* too long to stand in line with */
    ck_assert_ptr_ne(place_of(ops[2]), place_of(ops[0]));
    pass(400);
    all_succeed(ops, 3);
    ops[0] = ask("sleep 100 shared"); /* by itself it is another one */
    ops[1] = ask("sleep 100 shared");
    ck_assert_ptr_ne(place_of(ops[0]), place_of(ops[1]));
    pass(400);
    all_succeed(ops, 2);
}
END_TEST

START_TEST(an_executemany_is_taken_for_a_writer) {
    weir_op ops[DEPTH_WRITES + 1];
    open_pool(1);
    ops[0] = ask_sets(READ, 3);
    pass(50);
    succeeds(ops[0]);
    for (int i = 0; i <= DEPTH_WRITES; i++) ops[i] = ask_sets(READ, 3);
    ck_assert_int_eq(place_of(ops[0])->flying, DEPTH_WRITES);
    ck_assert_int_eq(in_lane(), 1);
    pass(400);
    all_succeed(ops, DEPTH_WRITES + 1);
}
END_TEST

START_TEST(a_volume_runs_alone_while_it_is_not_known_to_be_short) {
    open_pool(2);
    weir_op ops[3] = {ask_sets("sleep 100 shared", 300)};
    ck_assert_int_eq(rig.pool->share.count, 0);
    pass(400);
    ops[1] = ask_sets("sleep 100 shared", 250);
    ck_assert_int_eq(rig.pool->share.count, 1);
    pass(400);
    ops[2] = ask_sets("sleep 100 shared", 300);
    ck_assert_int_eq(rig.pool->share.count, 1);
    pass(400);
    all_succeed(ops, 3);
    ops[0] = ask_sets("sleep 100 shared", 1000); /* 400 ms, by what is known */
    ck_assert_int_eq(rig.pool->share.count, 0);
    pass(400);
    succeeds(ops[0]);
}
END_TEST

START_TEST(an_expired_connection_takes_no_more) {
    open_pool(2);
    learn(READ);
    weir_op old = ask(READ), young;
    weir__slot *place = place_of(old);
    ck_assert_int_eq(weir_pool_expire(rig.pool, NULL), WEIR_OK);
    young = ask(READ);
    ck_assert(place_of(young) != place);
    pass(100);
    succeeds(old);
    succeeds(young);
}
END_TEST

/* ---- room for those who want one for themselves ---- */

START_TEST(a_session_claims_a_connection) {
    weir_op ops[4], session_op, other;
    weir_session session;
    open_pool(1);
    learn(READ);
    ask_many(READ, ops, 2);
    weir__slot *place = place_of(ops[0]);
    session_op = queue();
    ck_assert(place->claimed);
    ops[2] = ask(READ); /* it is as short as those before it, and has come later */
    ck_assert_ptr_null(place_of(ops[2]));
    pass(30);
    ck_assert_int_eq(outcome(session_op, &session), WEIR_OK);
    all_succeed(ops, 2);
    weir_session_release(session);
    ops[3] = ask(READ);
    other = queue();
    ck_assert(place->claimed);
    cancel(other);
    ck_assert(!place->claimed);
    ops[0] = ask(READ);
    ck_assert_ptr_eq(place_of(ops[0]), place);
    pass(100);
    all_succeed((weir_op[]){ops[0], ops[2], ops[3]}, 3);
}
END_TEST

START_TEST(the_least_busy_one_is_claimed) {
    weir_op ops[6], session_op;
    weir_session session;
    open_pool(2);
    learn(READ);
    ask_many(READ, ops, 4);
    ops[4] = ask_as(READ, true, false);
    session_op = queue();
    ck_assert(place_of(ops[4])->claimed);
    ck_assert(!place_of(ops[0])->claimed);
    ops[5] = ask(READ);
    ck_assert_ptr_eq(place_of(ops[5]), place_of(ops[0]));
    pass(20);
    ck_assert_int_eq(outcome(session_op, &session), WEIR_OK);
    weir_session_release(session);
    pass(100);
    all_succeed(ops, 6);
}
END_TEST

/* ---- behind one that takes too long ---- */

START_TEST(readers_move_on_and_writers_stay) {
    weir_op late, write, reads[2], another;
    open_pool(2);
    learn(READ);
    learn(WRITE);
    next_hangs();
    late = ask(READ);
    reads[0] = ask(READ);
    write = ask(WRITE);
    reads[1] = ask_as(READ, false, false);
    weir__slot *place = place_of(late);
    ck_assert_int_eq(place->flying, 4);
    pass(MAX_WAIT - 50);
    ck_assert_ptr_eq(place_of(reads[0]), place);
    pass(100);
    all_succeed(reads, 2);
    ck_assert_double_gt(snapshot().query.max, (MAX_WAIT - 50) / 1e3); /* since they were sent first */
    ck_assert_int_eq(weir__fake.cancelled, 0);
    ck_assert_ptr_eq(place_of(write), place);
    another = ask(WRITE); /* where one is late nobody gets in line */
    ck_assert_ptr_ne(place_of(another), place);
    pass(100);
    succeeds(another);
    long before = weir__fake.executed;
    cancel(late); /* the writer could be hit: it is let run */
    pass(100);
    ck_assert_int_eq(weir__fake.cancelled, 0);
    cancel(write);
    pass(100);
    ck_assert_int_eq(weir__fake.cancelled, 1);
    ck_assert_int_eq(weir__fake.executed, before);
}
END_TEST

START_TEST(one_that_has_moved_on_and_finds_no_place_is_measured) {
    weir__fake.cancel_min_ns = weir__fake.cancel_max_ns = 10 * MAX_WAIT * WEIR__MS;
    options.command_timeout_ms = MAX_WAIT + 500;
    options.slow_query_threshold_ms = MAX_WAIT + 400;
    options.min_size = options.max_size = 1;
    rig_watched(&options);
    weir__width_pin(rig.pool, 1);
    learn(READ);
    next_hangs();
    weir_op late = ask(READ), read = ask(READ);
    pass(MAX_WAIT + 100);
    ck_assert_int_eq(rig.pool->waiting, 1);
    pass(500);
    ck_assert_int_eq(outcome(late, NULL), WEIR_ECOMMANDTIMEOUT);
    ck_assert_int_eq(outcome(read, NULL), WEIR_ECOMMANDTIMEOUT);
    weir_snapshot now = snapshot();
    ck_assert_uint_eq(now.queries_timed_out, 2);
    ck_assert_uint_eq(now.query_failed.count, 2);
    ck_assert_double_eq_tol(now.query_failed.sum, 2 * 1.5, 0.01);
    weir_slow_statement *slow;
    size_t count;
    ck_assert_int_eq(weir_pool_slow_statements(rig.pool, &slow, &count, NULL), WEIR_OK);
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(slow->count, 2);
    weir_slow_statements_free(slow);
}
END_TEST

START_TEST(one_that_nobody_wants_is_cancelled_when_only_readers_stand_behind) {
    open_pool(2);
    learn(READ);
    next_hangs();
    weir_op late = ask(READ), read = ask(READ);
    pass(50);
    cancel(late);
    pass(100);
    ck_assert_int_eq(weir__fake.cancelled, 0); /* the reader could be hit */
    waits(read);
    pass(MAX_WAIT);
    succeeds(read);
    ck_assert_int_eq(weir__fake.cancelled, 1);
    ck_assert_int_eq(in_state(WEIR__IDLE), 2);
}
END_TEST

START_TEST(readers_behind_a_second_late_one_move_on_too) {
    open_pool(2);
    learn(READ);
    learn(WRITE);
    next_takes(MAX_WAIT + 500);
    next_hangs();
    weir_op late = ask(READ), later = ask(WRITE), write = ask(WRITE), read;
    weir__slot *place = place_of(late);
    pass(MAX_WAIT + 600); /* the timer has found nobody to move */
    succeeds(late);
    read = ask(READ);
    ck_assert_ptr_eq(place_of(read), place);
    pass(2 * MAX_WAIT + 100);
    succeeds(read);
    waits(later);
    waits(write);
}
END_TEST

/* Sharing what they have, all would be sent twice: a server that is late everywhere gets not all of it once
 * more. */
START_TEST(moving_has_a_bound) {
    weir_op ops[DEPTH];
    open_pool(2);
    learn(QUICK);
    next_hangs();
    next_hangs();
    ask_many(QUICK, ops, DEPTH);
    weir__slot *first = place_of(ops[0]);
    pass(MAX_WAIT + 50); /* … and there it hangs, too */
    weir__slot *second = place_of(ops[1]);
    ck_assert_ptr_ne(second, first);
    ck_assert_int_eq(second->live, DEPTH - 1);
    cancel(ops[0]);
    pass(200);
    ck_assert_int_eq(first->state, WEIR__IDLE);
    pass(20 * MAX_WAIT); /* each pays for one of the 62 */
    ck_assert_ptr_eq(place_of(ops[2]), second);
    for (int i = 0; i < 8 * 40; i++) succeeds(ask(QUICK));
    pass(2 * MAX_WAIT);
    all_succeed(ops + 2, DEPTH - 2);
    waits(ops[1]);
}
END_TEST

/* ---- what goes together ---- */

START_TEST(who_waited_is_sent_in_one_go) {
    weir_op ops[2 * DEPTH + 30];
    open_pool(1);
    learn(QUICK);
    next_takes(10);
    ask_many(QUICK, ops, 2 * DEPTH + 30);
    ck_assert_int_eq(in_lane(), DEPTH + 30);
    long before = weir__fake.sends;
    pass(50);
    all_succeed(ops, 2 * DEPTH + 30);
    ck_assert_int_eq(weir__fake.sends - before, 2);
}
END_TEST

START_TEST(what_is_held_is_not_late) {
    open_pool(2);
    learn(QUICK);
    next_hangs();
    weir_op late = ask_as(QUICK, false, true), read = ask_as(QUICK, false, true);
    weir__slot *place = place_of(late);
    long before = weir__fake.sends;
    rig.clock.now += (MAX_WAIT - 100) * WEIR__MS; /* the caller is busy */
    ck_assert_int_eq(weir__fake.sends, before);
    ck_assert_int_eq(weir_reactor_flush(rig.reactor), WEIR_OK);
    ck_assert_int_eq(weir__fake.sends, before + 1);
    pass(MAX_WAIT - 100);
    ck_assert_ptr_eq(place_of(read), place);
    pass(200);
    succeeds(read);
    waits(late);
}
END_TEST

static Suite *make_suite(void) {
    Suite *suite = suite_create("share");
    TCase *tcase = tcase_create("share");
    tcase_add_checked_fixture(tcase, start, stop);
    tcase_add_test(tcase, an_unknown_one_runs_alone);
    tcase_add_test(tcase, the_depth_is_bounded);
    tcase_add_test(tcase, the_wait_is_bounded);
    tcase_add_test(tcase, writes_stand_in_short_lines);
    tcase_add_test(tcase, as_many_as_the_width_are_kept_busy);
    tcase_add_test(tcase, slow_ones_are_beside_the_width);
    tcase_add_test(tcase, more_than_the_width_take_no_more);
    tcase_add_test(tcase, a_slow_one_is_tried_behind_another);
    tcase_add_loop_test(tcase, a_slow_one_wants_a_connection_of_its_own, 0, 2);
    tcase_add_loop_test(tcase, a_writer_that_was_late_does_not_share_for_a_second, 0, 2);
    tcase_add_test(tcase, the_way_there_is_no_running);
    tcase_add_test(tcase, what_the_client_did_not_look_at_was_not_late);
    tcase_add_test(tcase, one_that_is_often_late_does_not_share);
    tcase_add_test(tcase, readonly_ones_keep_to_themselves);
    tcase_add_test(tcase, nobody_stands_behind_a_session_or_an_exclusive_one);
    tcase_add_test(tcase, an_executemany_counts_by_its_sets);
    tcase_add_test(tcase, an_executemany_is_taken_for_a_writer);
    tcase_add_test(tcase, a_volume_runs_alone_while_it_is_not_known_to_be_short);
    tcase_add_test(tcase, an_expired_connection_takes_no_more);
    tcase_add_test(tcase, a_session_claims_a_connection);
    tcase_add_test(tcase, the_least_busy_one_is_claimed);
    tcase_add_test(tcase, readers_move_on_and_writers_stay);
    tcase_add_test(tcase, one_that_has_moved_on_and_finds_no_place_is_measured);
    tcase_add_test(tcase, one_that_nobody_wants_is_cancelled_when_only_readers_stand_behind);
    tcase_add_test(tcase, readers_behind_a_second_late_one_move_on_too);
    tcase_add_test(tcase, moving_has_a_bound);
    tcase_add_test(tcase, who_waited_is_sent_in_one_go);
    tcase_add_test(tcase, what_is_held_is_not_late);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void) { return run_suite(make_suite()); }

/* The history of a pool's numbers, and its slow statements, on the fake driver and the fake clock. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "support_circuit.h"
#include "support_monitor.h"
#include "support_pool.h"
#include "support_suite.h"

static weir_options options;
static weir__monitor *monitor;
static weir_history_point *points;
static weir_slow_statement *statements;
static size_t count;
static weir_metric_kind kind;

static void set_up(void) {
    rig_start(7);
    options = rig_options();
    options.circuit_breaker = false;
    weir__fake.run_min_ns = weir__fake.run_max_ns = WEIR__MS;
    points = NULL;
    statements = NULL;
}
static void tear_down(void) {
    weir_history_free(points);
    weir_slow_statements_free(statements);
    rig_done();
}

static void watch(void) { monitor = rig_watched(&options); }

static void history(const char *metric, int64_t since_ms, int64_t step_ms) {
    weir_history_free(points);
    ck_assert_int_eq(weir_pool_history(rig.pool, metric, since_ms, step_ms, &kind, &points, &count, NULL),
                     WEIR_OK);
}

/* ---- beside snapshots */

enum { SECONDS = 1500 };
static weir_snapshot beside[SECONDS + 1]; /* one taken at each second; [0] before the first */

/* A second of more or less work, up to the monitor's own tick, and a snapshot. */
static void live_through(int second, weir__rng *rng) {
    int64_t tick = monitor->sample_at;
    weir_session held[3];
    int64_t holds = weir__random_below(rng, 4), runs = weir__random_below(rng, 5);
    for (int i = 0; i < holds; i++) {
        weir_op op;
        if (ask(&held[i], &op, NULL) == WEIR_OK) continue;
        rig_advance(1);
        ck_assert_int_eq(outcome(op, &held[i]), WEIR_OK);
    }
    for (int i = 0; i < runs; i++) {
        char sql[32];
        snprintf(sql, sizeof sql, "sleep %d", (int)weir__random_below(rng, 40) + 1);
        query(weir__random_below(rng, 8) ? sql : "fail 22012");
    }
    while (monitor->sample_at == tick) rig_hop(tick + 2 * WEIR__MS);
    beside[second] = snapshot();
    for (int i = 0; i < holds; i++) weir_session_release(held[i]);
}

static double number_of(const weir_metric_info *info, const weir_snapshot *from) {
    const char *field = (const char *)from + info->offset;
    return info->kind == WEIR_METRIC_GAUGE ? (double)*(const int64_t *)field
                                           : (double)*(const uint64_t *)field;
}

static void compare(const weir_metric_info *info, size_t step, size_t kept) {
    size_t steps = SECONDS / step, first = steps > kept ? steps - kept : 0;
    history(info->name, -1, (int64_t)step * 1000);
    ck_assert_int_eq(kind, info->kind);
    ck_assert_uint_eq(count, steps - first);
    for (size_t i = 0; i < count; i++) {
        size_t second = (first + i + 1) * step;
        ck_assert_int_eq(points[i].at_ns, monitor->begun_at + (int64_t)second * 1000 * WEIR__MS);
        if (info->kind != WEIR_METRIC_LATENCY) {
            ck_assert_double_eq(points[i].value, number_of(info, &beside[second]));
            continue;
        }
        const weir_histogram *now = (const void *)((const char *)&beside[second] + info->offset);
        const weir_histogram *before = (const void *)((const char *)&beside[second - step] + info->offset);
        ck_assert_uint_eq(points[i].count, now->count - before->count);
        ck_assert_double_eq_tol(points[i].sum, now->sum - before->sum, 1e-6 * (1 + points[i].sum));
        ck_assert(points[i].p50 <= points[i].p90 && points[i].p90 <= points[i].p99);
        ck_assert(points[i].p99 <= points[i].p999);
        ck_assert(points[i].p50 == 0 || points[i].count > 0);
    }
}

START_TEST(equals_the_snapshots_beside_it) {
    static const size_t steps[][2] = {{1, 600}, {10, 720}, {60, 1440}};
    weir__rng rng = {11};
    weir_metric_info info;
    options.idle_timeout_ms = 1500;
    watch();
    beside[0] = snapshot();
    for (int second = 1; second <= SECONDS; second++) live_through(second, &rng);
    ck_assert_uint_gt(beside[SECONDS].queries_failed, 100);
    for (size_t row = 0; weir_metric_table(row, &info); row++)
        for (size_t i = 0; i < 3; i++) compare(&info, steps[i][0], steps[i][1]);
}
END_TEST

/* Percentiles of a step are those of what came in it. */
START_TEST(percentiles_are_the_steps_own) {
    weir_snapshot first;
    watch();
    for (int i = 0; i < 7; i++) query("sleep 30");
    rig_advance(1000);
    first = snapshot();
    for (int i = 0; i < 50; i++) query("sleep 2");
    query("sleep 500");
    rig_advance(1000);
    history("query", -1, 1000);
    ck_assert_double_eq_tol(points[0].p50, first.query.p50, 0.004 * first.query.p50);
    ck_assert_double_eq_tol(points[0].p999, first.query.p999, 0.004 * first.query.p999);
    ck_assert_double_eq_tol(points[1].p90, 0.002, 0.001);
    ck_assert_double_eq_tol(points[1].p999, 0.5, 0.024);
}
END_TEST

/* A counter that goes beyond the bits that are kept of it. */
START_TEST(large_counters) {
    watch();
    for (int i = 0; i < 5; i++) {
        rig.pool->stats->notifications += UINT64_C(4000000000);
        rig_advance(1001);
    }
    history("notifications", -1, 0);
    ck_assert_uint_eq(count, 5);
    for (size_t i = 0; i < count; i++) ck_assert_double_eq(points[i].value, 4e9 * (double)(i + 1));
}
END_TEST

/* Where nobody drove the reactor there is nothing, and what comes after is right. */
START_TEST(gaps) {
    watch();
    query("select 1");
    rig_advance(3000);
    rig.clock.now += 700000 * WEIR__MS + 400 * WEIR__MS;
    weir_reactor_dispatch(rig.reactor);
    query("select 1");
    rig_advance(1000);
    history("queries_started", -1, 1000);
    ck_assert_uint_eq(count, 2); /* those before the gap are older than the ring */
    ck_assert_double_eq(points[0].value, 1);
    ck_assert_double_eq(points[1].value, 2);
    ck_assert_int_eq(points[1].at_ns - points[0].at_ns, 1000 * WEIR__MS);
    history("queries_started", -1, 10000);
    ck_assert_uint_eq(count, 1);
    rig.clock.now += 25000 * WEIR__MS;
    weir_reactor_dispatch(rig.reactor);
    history("queries_started", -1, 1000);
    ck_assert_uint_eq(count, 3);
    ck_assert_int_eq(points[2].at_ns - points[1].at_ns, 25000 * WEIR__MS);
    history("query", -1, 1000);
    ck_assert_uint_eq(points[0].count + points[1].count + points[2].count, 1); /* and one before the gap */
}
END_TEST

/* A step that finds no memory is missing, and the next one is not. */
START_TEST(steps_without_memory) {
    watch();
    rig_advance(59500);
    history("size", -1, 1000);
    ck_assert_uint_eq(count, 59); /* all but one of the first block */
    weir__alloc_fail_at(1, true);
    rig_advance(3000);
    weir__alloc_fail_at(0, false);
    history("size", -1, 1000);
    ck_assert_uint_eq(count, 59);
    rig_advance(2000);
    history("size", -1, 1000);
    ck_assert_uint_eq(count, 61);
    ck_assert_int_eq(points[59].at_ns - points[58].at_ns, 4000 * WEIR__MS);
}
END_TEST

/* So many seconds, with a look at the clock as often as that. */
static void live(int64_t seconds, int64_t step) {
    for (; seconds > 0; seconds -= step) {
        rig.clock.now += step * 1000 * WEIR__MS;
        weir_reactor_dispatch(rig.reactor);
    }
}

/* Until all there can be of a history is there. */
static void live_for_a_day(void) {
    live(86400, 60);
    live(7200, 10);
    live(600, 1);
}

/* As much as was promised is kept of each step, and no memory is taken once that is there. */
START_TEST(more_than_a_day) {
    static const size_t steps[][2] = {{1, 600}, {10, 720}, {60, 1440}};
    watch();
    live_for_a_day();
    query("select 1");
    long taken = weir__alloc_live();
    live(3600, 60);
    live(7200, 10);
    live(601, 1);
    ck_assert_int_eq(weir__alloc_live(), taken);
    for (size_t i = 0; i < 3; i++) {
        int64_t step = (int64_t)steps[i][0] * 1000;
        history("queries_succeeded", -1, step);
        ck_assert_uint_eq(count, steps[i][1]);
        ck_assert_int_eq(points[count - 1].at_ns - points[0].at_ns, (int64_t)(count - 1) * step * WEIR__MS);
        ck_assert_int_gt(points[count - 1].at_ns, rig.clock.now - step * WEIR__MS);
        ck_assert_double_eq(points[0].value, i < 2); /* only the longest goes back before the statement */
    }
}
END_TEST

START_TEST(since_and_step) {
    watch();
    history("size", -1, 0);
    ck_assert_uint_eq(count, 0);
    ck_assert_ptr_null(points);
    rig_advance(7200 * 1000 + 10);
    history("size", 5000, 0);
    ck_assert_uint_ge(count, 5);
    ck_assert_uint_le(count, 6);
    history("size", 600 * 1000, 0);
    ck_assert_int_eq(points[1].at_ns - points[0].at_ns, 1000 * WEIR__MS);
    history("size", 601 * 1000, 0);
    ck_assert_int_eq(points[1].at_ns - points[0].at_ns, 10000 * WEIR__MS);
    history("size", INT64_C(365) * 86400000, 0);
    ck_assert_int_eq(points[1].at_ns - points[0].at_ns, 60000 * WEIR__MS);
    ck_assert_uint_eq(count, 120);
    history("size", -1, 0);
    ck_assert_int_eq(points[1].at_ns - points[0].at_ns, 60000 * WEIR__MS);
    ck_assert_uint_eq(count, 120);
    history("size", 0, 60000);
    ck_assert_uint_le(count, 1);
    weir_error error = WEIR_ERROR_INIT;
    ck_assert_int_eq(weir_pool_history(rig.pool, "sise", -1, 0, &kind, &points, &count, &error), WEIR_EINVAL);
    ck_assert_str_eq(error.message, "there is no metric sise: did you mean size?");
    ck_assert_int_eq(weir_pool_history(rig.pool, "size", -1, 5000, &kind, &points, &count, &error),
                     WEIR_EINVAL);
    ck_assert_str_eq(error.message, "step=5000 ms: 1, 10 or 60 s are kept");
    ck_assert_int_eq(weir_pool_history(rig.pool, "size", -2, 0, &kind, &points, &count, &error), WEIR_EINVAL);
    weir__alloc_fail_at(1, false);
    ck_assert_int_eq(weir_pool_history(rig.pool, "size", -1, 0, &kind, &points, &count, &error), WEIR_ENOMEM);
    weir__alloc_fail_at(0, false);
    weir_error_clear(&error);
}
END_TEST

/* ---- slow statements */

static const struct {
    const char *sql, *print;
} prints[] = {
    {"select * from t where id = 12 and name = 'O''Hara'", "select * from t where id = ? and name = ?"},
    {"  select\n\t1 ;  ", "select ? ;"},
    {"select a1, t2.b3 from t2 where x = $1", "select a1, t2.b3 from t2 where x = ?"},
    {"select 1.5e-3 + .5 - 0xFF", "select ? + ? - ?"},
    {"where id in (1, 2,3 , 4)", "where id in (?)"},
    {"values ('a', 1), ('b', 2),('c', 3)", "values (?)"},
    {"insert into t values($1, now(), $2),($3, now(), $4) returning id",
     "insert into t values (?, now(), ?) returning id"},
    {"VALUES ($1::varchar, $2::\"int\"), ($3::varchar, $4::\"int\")", "VALUES (?::varchar, ?::\"int\")"},
    {"where a in ($1::int, $2::int ,$3::int) and b = any(array[$4,$5]) and c < $16",
     "where a in (?::int) and b = any(array[?]) and c < ?"},
    {"where id in (-1, - 2, +3, 4) or x = -5 or y - 6 > z -7",
     "where id in (?, - ?, ?) or x = ? or y - ? > z -?"},
    {"where (a, b) in ((1, 2), (3, -4)) limit $1, 5", "where (a, b) in ((?)) limit ?"},
    {"select a + 1, 1 + b, f(1, 2), f(3), c, c", "select a + ?, ? + b, f(?), c, c"},
    {"select f(1),(2), lower('a'), lower('b')", "select f(?),(?), lower(?)"},
    {"select 1), 2), (3], (4], [[[[[[[[[[[[[[[[[1, 2", "select ?), (?], [[[[[[[[[[[[[[[[[?, ?"},
    {"select E'it\\'s' , e'\\\\', 'back\\'", "select ?"},
    {"select E'a'\n 'b\\'c' -- d\n 'e\\'f', g", "select ?, g"},
    {"select E'a\\'b' from t", "select ? from t"},
    {"select $$a 'b'$$, $x$ $$ $x$, $12, b", "select ?, b"},
    {"select /* 42 /* 'x' */ */ 1 -- 5\n from t", "select ? from t"},
    {"select \"Mixed 1 'q'\", t.\"a\"\"b\"", "select \"Mixed 1 'q'\", t.\"a\"\"b\""},
    {"select b'01', X'ff', n'x', ab'x'", "select ?, ab?"},
    {"select 'never ends", "select ?"},
    {"select $$never ends", "select ?"},
    {"select a/b - c -", "select a/b - c -"},
    {"select 'gr\xc3\xbc\xc3\x9f' as gr\xc3\xbc\xc3\x9f", "select ? as gr\xc3\xbc\xc3\x9f"},
    {"", ""},
    {"$", "$"},
};

START_TEST(fingerprints) {
    char out[WEIR_FINGERPRINT_SIZE];
    size_t length = weir_statement_fingerprint(prints[_i].sql, strlen(prints[_i].sql), out, sizeof out);
    ck_assert_str_eq(out, prints[_i].print);
    ck_assert_uint_eq(length, strlen(prints[_i].print));
}
END_TEST

/* Any bytes, any length: nothing is read or written beyond its end (the sanitizer looks). */
START_TEST(fingerprints_of_anything) {
    static const char letters[] = "'\"$/*-.,,,()()[]? \n11eExX_a\\\xc3\xbc";
    weir__rng rng = {3};
    for (int round = 0; round < 20000; round++) {
        size_t length = (size_t)weir__random_below(&rng, 40), size = (size_t)weir__random_below(&rng, 30) + 1;
        char *sql = malloc(length + 1), *out = malloc(size);
        for (size_t i = 0; i < length; i++)
            sql[i] = letters[weir__random_below(&rng, (int64_t)sizeof letters - 1)];
        sql[length] = '\0';
        ck_assert_uint_lt(weir_statement_fingerprint(sql, length, out, size), size);
        free(out);
        free(sql);
    }
    char out[8] = "kept";
    ck_assert_uint_eq(weir_statement_fingerprint("select 1", 8, out, 0), 0);
    ck_assert_uint_eq(weir_statement_fingerprint("select 1", 8, NULL, sizeof out), 0);
    ck_assert_str_eq(out, "kept");
    ck_assert_uint_eq(weir_statement_fingerprint(NULL, 8, out, sizeof out), 0);
    ck_assert_str_eq(out, "");
    ck_assert_uint_eq(weir_statement_fingerprint("a\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc", 9, out, sizeof out), 7);
    ck_assert_uint_eq(weir_statement_fingerprint("aa\xc3\xbc\xc3\xbc\xc3\xbc", 8, out, sizeof out), 6);
}
END_TEST

static void slow(void) {
    weir_slow_statements_free(statements);
    ck_assert_int_eq(weir_pool_slow_statements(rig.pool, &statements, &count, NULL), WEIR_OK);
}

/* Which of them it was nobody knows. */
START_TEST(a_slow_batch_blames_none_of_its_statements) {
    options.slow_query_threshold_ms = 100;
    watch();
    weir_batch *batch = weir_batch_new();
    const char *const texts[] = {"sleep 150", "select 1"};
    for (int i = 0; i < 2; i++) {
        weir_statement *each = weir_statement_new(texts[i], strlen(texts[i]), NULL);
        ck_assert_int_eq(weir_batch_add(batch, each, NULL), WEIR_OK);
        weir_statement_unref(each);
    }
    weir_op op = 0;
    ck_assert_int_eq(weir_pool_transaction(rig.pool, batch, NULL, NULL, NULL, &op, NULL), WEIR_PENDING);
    rig_advance(500);
    ck_assert_int_eq(outcome(op, NULL), WEIR_OK);
    weir_batch_free(batch);
    slow();
    ck_assert_uint_eq(count, 0);
}
END_TEST

START_TEST(slow_statements_are_kept) {
    options.slow_query_threshold_ms = 100;
    options.monitoring_interval_ms = 3600000;
    watch();
    query("sleep 90");
    slow();
    ck_assert_uint_eq(count, 0);
    query("sleep 100");
    query("sleep  120 ");
    weir_op late = submit_to_pool("hang", 300), gone = submit_to_pool("hang", -1);
    rig_advance(310);
    ck_assert_int_eq(outcome(late, NULL), WEIR_ECOMMANDTIMEOUT);
    ck_assert_int_eq(weir_reactor_cancel(rig.reactor, gone), WEIR_OK);
    weir_session session = lend();
    run_sql(session, "sleep 101");
    weir_session_release(session);
    rig_advance(5000);
    slow();
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(statements[0].text, "hang");
    ck_assert_uint_eq(statements[0].count, 2);
    ck_assert_double_eq_tol(statements[0].total, 0.62, 0.01);
    ck_assert_str_eq(statements[1].text, "sleep ?");
    ck_assert_uint_eq(statements[1].count, 3);
    ck_assert_double_eq_tol(statements[1].total, 0.321, 0.005);
    ck_assert_double_eq_tol(statements[1].max, 0.12, 0.002);
    ck_assert_double_eq_tol(statements[1].last, 0.101, 0.002);
    ck_assert_int_lt(statements[1].last_ns, rig.clock.now);
    weir__alloc_fail_at(1, false);
    weir_slow_statement *list;
    size_t size;
    ck_assert_int_eq(weir_pool_slow_statements(rig.pool, &list, &size, NULL), WEIR_ENOMEM);
    weir__alloc_fail_at(0, false);
}
END_TEST

/* No memory is taken for them, and the few that matter stay. */
START_TEST(a_million_different_ones) {
    watch();
    long live = weir__alloc_live(), taken = weir__alloc_count();
    char sql[64];
    for (int i = 0; i < 1000000; i++) {
        bool heavy = i % 100000 == 0;
        int length = snprintf(sql, sizeof sql, heavy ? "select heavy" : "select a%d from t", i);
        weir__slow_note(monitor, sql, (size_t)length, (heavy ? 9000 : 5000) * WEIR__MS);
    }
    ck_assert_int_eq(weir__alloc_count(), taken);
    ck_assert_int_eq(weir__alloc_live(), live);
    slow();
    ck_assert_uint_eq(count, 100);
    ck_assert_str_eq(statements[0].text, "select heavy");
    ck_assert_uint_eq(statements[0].count, 10);
}
END_TEST

/* Bytes of its own that the process has in memory, page by page: statm's are estimated, by some tens of
 * pages, and of files the kernel maps 64 KB around what is used for the first time. */
static long resident(void) {
    char line[256];
    long kilobytes = -1;
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    ck_assert_ptr_nonnull(file);
    while (kilobytes < 0 && fgets(line, sizeof line, file)) sscanf(line, "Anonymous: %ld kB", &kilobytes);
    fclose(file);
    ck_assert_int_gt(kilobytes, 0);
    return kilobytes * 1024;
}

/* Runs so many statements on the pool, none like one before, all of them slow, and some of them wrong. */
static void run_different(int number) {
    static long made;
    char sql[64];
    for (int i = 0; i < number; i++, made++) {
        int length = snprintf(sql, sizeof sql, made % 10 ? "select a%ld from t" : "fail 42P01 t%ld", made);
        weir_statement *each = weir_statement_new(sql, (size_t)length, NULL);
        weir_completion done;
        weir_op op = 0;
        ck_assert_int_eq(weir_pool_execute(rig.pool, each, NULL, NULL, &op, NULL), WEIR_PENDING);
        weir_statement_unref(each);
        while (weir_reactor_wait(rig.reactor, op, 0, &done) != WEIR_OK)
            rig_hop(rig.clock.now + 10 * WEIR__MS);
        weir_completion_discard(&done);
    }
}

/* As an application runs that writes its values into its statements' texts, with everything on. Sanitizers
 * keep what is freed for a while, and take their time. */
START_TEST(a_million_run_in_flat_memory) {
#ifdef NDEBUG
    enum { WARM = 20000, MANY = 1000000, MOST = 64 * 1024 };
#else
    enum { WARM = 2000, MANY = 10000, MOST = 64 * 1024 * 1024 };
#endif
    options.slow_query_threshold_ms = 1;
    options.circuit_breaker = true;
    weir__fake.run_min_ns = weir__fake.run_max_ns = 2 * WEIR__MS;
    watch();
    live_for_a_day();
    run_different(WARM);
    long before = resident(), taken = weir__alloc_live();
    run_different(MANY);
    ck_assert_int_le(weir__alloc_live(), taken + 10); /* whatever the last one has left in use */
    ck_assert_int_lt(resident() - before, MOST);
    ck_assert_uint_eq(snapshot().queries_started, WARM + MANY);
    slow();
    ck_assert_uint_eq(count, 100);
}
END_TEST

START_TEST(echo) {
    options.echo = true;
    watch();
    query("select 41");
    weir_session session = lend();
    run_sql(session, "select 42");
    weir_session_release(session);
    ck_assert(logged("pool host:5432/db: select 41"));
    ck_assert(logged("pool host:5432/db: select 42"));
}
END_TEST

int main(void) {
    const TTest *const tests[] = {equals_the_snapshots_beside_it,
                                  percentiles_are_the_steps_own,
                                  large_counters,
                                  gaps,
                                  steps_without_memory,
                                  more_than_a_day,
                                  since_and_step,
                                  fingerprints_of_anything,
                                  slow_statements_are_kept,
                                  a_slow_batch_blames_none_of_its_statements,
                                  a_million_different_ones,
                                  a_million_run_in_flat_memory,
                                  echo};
    Suite *suite = suite_create("history");
    TCase *tc = tcase_create("history");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, set_up, tear_down);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) tcase_add_test(tc, tests[i]);
    tcase_add_loop_test(tc, fingerprints, 0, (int)(sizeof prints / sizeof *prints));
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}

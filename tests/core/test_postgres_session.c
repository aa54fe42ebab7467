/*
 * The PostgreSQL driver against a real server: what a session keeps: prepared statements, settings, time
 * limits; and resetting it.
 */
#include "driver/postgres/pg.h"
#include "pg_lone.h"

static int transact(peer *q, const char *before, const char *sql, const char *command, int64_t timeout_ms) {
    const char *const list[] = {before};
    weir_statement *statement = sql ? statement_of(sql) : NULL;
    weir__request wish = {.statement = statement,
                          .command = command,
                          .before = list,
                          .before_count = before ? 1 : 0,
                          .timeout_ms = timeout_ms};
    int code = run_request(q, &wish);
    weir_statement_unref(statement);
    return code;
}

/* ---- prepared statements */

#define COUNT_PREPARED "SELECT count(*)::int FROM pg_prepared_statements WHERE name LIKE 'weir\\_%'"

START_TEST(a_second_connection_takes_one_trip) {
    RUN(p, "CREATE TABLE t (n bigint, s text)");
    weir_value n = int_value(1), s = text_value("x");
    const char *sql = "INSERT INTO t VALUES ($1, $2) RETURNING n";
    weir_statement *statement = statement_of(sql);
    weir_statement_add(statement, &n);
    weir_statement_add(statement, &s);
    peer other;
    connect_peer(&l.pool, &other);
    peer *both[] = {p, &other};
    for (int i = 0; i < 2; i++) {
        weir__request wish = {.statement = statement, .timeout_ms = 30000};
        start_request(both[i], &wish);
        /* The first connection asks for the types, the second knows them. */
        ck_assert_int_eq(op_of(both[i])->describing, i == 0);
        WAIT_FOR(!both[i]->busy);
        ck_assert_int_eq(both[i]->request.code, WEIR_OK);
    }
    weir_statement_unref(statement);
    /* Types that were known are part of what is prepared. */
    EXPECT(&other, "SELECT parameter_types::text FROM pg_prepared_statements WHERE statement LIKE 'INSERT%'",
           "{bigint,text}");
    stop_peer(&other);
    RUN(p, "DROP TABLE t");
}
END_TEST

START_TEST(the_cache_forgets_what_is_old) {
    with_socket("");
    options.statement_cache_size = 2;
    lone small;
    open_lone(&small);
    peer *q = &small.peer;
    for (int round = 0; round < 3; round++) {
        EXPECT(q, "SELECT 1", "1");
        EXPECT(q, "SELECT 2", "2");
        EXPECT(q, "SELECT 3", "3");
        EXPECT(q, "SELECT 3", "3");
        EXPECT(q, COUNT_PREPARED, "2"); /* this one, and the one before */
    }
    EXPECT(q,
           "SELECT string_agg(statement, ',' ORDER BY name) FROM pg_prepared_statements WHERE statement LIKE "
           "'SELECT _'",
           "NULL"); /* but for the count, and this */
    /* In a transaction nothing is thrown away, so that it cannot fail for that. */
    ck_assert_int_eq(transact(q, "BEGIN", "SELECT 11", NULL, 1000), WEIR_OK);
    for (int i = 12; i < 30; i++) {
        char sql[32];
        snprintf(sql, sizeof sql, "SELECT %d", i);
        RUN(q, sql);
    }
    ck_assert_int_eq(transact(q, NULL, NULL, "COMMIT", 1000), WEIR_OK);
    EXPECT(q, COUNT_PREPARED, "3"); /* and BEGIN */
    ck_assert(!reset(q));
    close_lone(&small);
}
END_TEST

START_TEST(a_table_that_changes) {
    RUN(p, "CREATE TABLE t (n int)");
    RUN(p, "INSERT INTO t VALUES (7)");
    EXPECT(p, "SELECT * FROM t", "7");
    peer other;
    connect_peer(&l.pool, &other);
    EXPECT(&other, "SELECT * FROM t", "7");
    RUN(p, "ALTER TABLE t ALTER n TYPE text USING 'seven'");
    EXPECT(p, "SELECT * FROM t", "seven"); /* run again, unseen */
    EXPECT(p, "SELECT * FROM t", "seven");
    EXPECT(&other, "SELECT * FROM t", "seven");
    /* Also when it is the first of a transaction … */
    RUN(p, "ALTER TABLE t ADD m date DEFAULT '2024-02-29'");
    ck_assert_int_eq(transact(p, "BEGIN", "SELECT * FROM t", NULL, 1000), WEIR_OK);
    ck_assert_uint_eq(weir_result_columns(p->request.result), 2);
    ck_assert_int_eq(p->conn->tx, WEIR__TX_OPEN);
    ck_assert_int_eq(transact(p, NULL, NULL, "COMMIT", 1000), WEIR_OK);
    /* … but not in the midst of one: that has failed. */
    RUN(&other, "ALTER TABLE t DROP m");
    ck_assert_int_eq(transact(p, "BEGIN", "SELECT 1", NULL, 1000), WEIR_OK);
    FAILS(p, run(p, "SELECT * FROM t"), WEIR_ESERVER, "cached plan");
    ck_assert_int_eq(p->conn->tx, WEIR__TX_FAILED);
    ck_assert(reset(p));
    EXPECT(p, "SELECT * FROM t", "seven");
    stop_peer(&other);
    RUN(p, "DROP TABLE t");
}
END_TEST

START_TEST(parameters_that_change_their_type) {
    RUN(p, "CREATE TABLE t (n int)");
    const char *sql = "INSERT INTO t VALUES ($1)";
    weir_value n = int_value(1), s = text_value("\"one\"");
    peer second, third, fourth;
    connect_peer(&l.pool, &second);
    connect_peer(&l.pool, &third);
    ck_assert_int_eq(run_values(p, sql, &n, NULL), WEIR_OK);
    ck_assert_int_eq(run_values(&second, sql, &n, NULL), WEIR_OK);
    RUN(p, "ALTER TABLE t ALTER n TYPE jsonb USING '1'");
    /* The pool believes in an int. What the server refuses for that is run again, unseen; what the driver
       refuses is refused once. */
    FAILS(&third, run_values(&third, sql, &n, NULL), WEIR_EVALUE, "jsonb takes json");
    ck_assert_msg(run_values(&third, sql, &s, NULL) == WEIR_OK, "%s", failure(&third));
    FAILS(p, run_values(p, sql, &n, NULL), WEIR_EVALUE, "jsonb takes json");
    ck_assert_msg(run_values(p, sql, &s, NULL) == WEIR_OK, "%s", failure(p));
    FAILS(&second, run_values(&second, sql, &s, NULL), WEIR_EVALUE, "integer takes int");
    ck_assert_msg(run_values(&second, sql, &s, NULL) == WEIR_OK, "%s", failure(&second));
    connect_peer(&l.pool, &fourth);
    ck_assert_msg(run_values(&fourth, sql, &s, NULL) == WEIR_OK, "%s", failure(&fourth));
    EXPECT(p, "SELECT count(*) FROM t", "6");
    stop_peer(&second);
    stop_peer(&third);
    stop_peer(&fourth);
    RUN(p, "DROP TABLE t");
}
END_TEST

/* Rows that can be read are given, and what was believed is forgotten. */
START_TEST(columns_that_change_to_a_known_type) {
    peer q;
    const char *sql = "SELECT c FROM t";
    RUN(p, "CREATE TABLE t (c int)");
    RUN(p, "INSERT INTO t VALUES (42)");
    EXPECT(p, sql, "42");
    RUN(p, "ALTER TABLE t ALTER c TYPE text");
    connect_peer(&l.pool, &q);
    weir__lru *shapes = &((weir__pgenv *)l.pool.env)->shapes;
    EXPECT(&q, sql, "42");
    ck_assert_int_eq(cell(&q, 0, 0).type, WEIR_TYPE_TEXT);
    ck_assert_ptr_null(weir__lru_find(shapes, weir__statement_hash(sql, strlen(sql)), sql, strlen(sql)));
    EXPECT(&q, sql, "42");
    stop_peer(&q);
    RUN(p, "DROP TABLE t");
}
END_TEST

START_TEST(statements_that_were_taken_away) {
    EXPECT(p, "SELECT 1", "1");
    RUN(p, "DEALLOCATE ALL");
    EXPECT(p, "SELECT 1", "1");
    EXPECT(p, COUNT_PREPARED, "2"); /* these two */
    /* By a function, unseen. */
    RUN(p, "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$");
    EXPECT(p, "SELECT 1", "1");
    RUN(p, "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$");
    ck_assert_int_eq(transact(p, "BEGIN", "SELECT 1", "COMMIT", 1000), WEIR_OK);
    ck_assert_str_eq(first_text(p), "1");
    RUN(p, "DISCARD ALL");
    EXPECT(p, "SELECT 1", "1");
}
END_TEST

/* How many of its commands the server has prepared. */
#define COUNT_COMMANDS                                                                                       \
    "SELECT count(*) FROM pg_prepared_statements WHERE statement ~ '^(BEGIN|COMMIT|SELECT "                  \
    "pg_catalog.pg_curr)'"

static void expect_transaction(const char *begin, const char *sql) {
    ck_assert_msg(transact(p, begin, sql, NULL, 1000) == WEIR_OK, "%s: %s", sql, failure(p));
    ck_assert_msg(transact(p, NULL, NULL, "COMMIT", 1000) == WEIR_OK, "%s: %s", sql, failure(p));
    ck_assert_int_eq(p->conn->tx, WEIR__TX_NONE);
}

/* In a transaction. */
static void expect_script(const char *sql) {
    static const char *const begin[] = {"BEGIN"};
    weir_statement *statement = statement_of(sql);
    weir__request wish = {
        .statement = statement, .mode = WEIR__SCRIPT, .before = begin, .before_count = 1, .timeout_ms = 1000};
    ck_assert_msg(run_request(p, &wish) == WEIR_OK, "%s", failure(p));
    weir_statement_unref(statement);
    ck_assert_msg(transact(p, NULL, NULL, "COMMIT", 1000) == WEIR_OK, "%s", failure(p));
}

START_TEST(commands_that_are_kept) {
    RUN(p, "CREATE TABLE t (n int)");
    RUN(p, "CREATE FUNCTION forget() RETURNS int LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'DEALLOCATE ALL'; "
           "RETURN 1; "
           "END $$");
    EXPECT(p, COUNT_COMMANDS, "0");
    for (int i = 0; i < 3; i++) expect_transaction("BEGIN", "INSERT INTO t VALUES (1)");
    EXPECT(p, COUNT_COMMANDS, "3");
    /* Another form has its own. */
    for (int i = 0; i < 3; i++) expect_transaction("BEGIN READ ONLY", "SELECT 1");
    EXPECT(p, COUNT_COMMANDS, "5");
    /* They are taken away unseen: by a function in the transaction, or before it, with a form of BEGIN that
       is known or one that is not. */
    expect_transaction("BEGIN", "SELECT forget()");
    expect_transaction("BEGIN", "INSERT INTO t VALUES (1)");
    for (int i = 0; i < 3; i++) expect_transaction("BEGIN", "INSERT INTO t VALUES (1)");
    EXPECT(p, COUNT_COMMANDS, "3");
    EXPECT(p, "SELECT forget()", "1");
    expect_transaction("BEGIN ISOLATION LEVEL SERIALIZABLE", "INSERT INTO t VALUES (1)");
    expect_transaction("BEGIN", "INSERT INTO t VALUES (1)");
    EXPECT(p, "SELECT count(*) FROM t", "9");
    /* Where a transaction has failed they are as good as before; what was skipped is not believed in. */
    FAILS(p, transact(p, "BEGIN ISOLATION LEVEL SERIALIZABLE", "SELECT 1 / (n - 1) FROM t", NULL, 1000),
          WEIR_ESERVER, "division by zero");
    ck_assert_int_eq(transact(p, NULL, NULL, "COMMIT", 1000), WEIR_EROLLEDBACK);
    expect_transaction("BEGIN ISOLATION LEVEL SERIALIZABLE", "INSERT INTO t VALUES (1)");
    FAILS(p, transact(p, "BEGIN", "SELECT 1 / (n - 1) FROM t", "COMMIT", 1000), WEIR_ESERVER,
          "division by zero");
    ck_assert(reset(p));
    expect_transaction("BEGIN", "INSERT INTO t VALUES (1)");
    RUN(p, "DISCARD ALL");
    expect_transaction("BEGIN", "INSERT INTO t VALUES (1)");
    EXPECT(p, "SELECT count(*) FROM t", "12");
    for (int i = 0; i < 2; i++) expect_transaction("BEGIN", "SELECT 1");
    expect_script("INSERT INTO t VALUES (1); SELECT forget()");
    EXPECT(p, "SELECT count(*) FROM t", "13");
    /* What a trigger does no text tells: nothing is done then, and the next time it goes well. */
    RUN(p, "CREATE FUNCTION forgets() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM forget(); RETURN "
           "NEW; "
           "END $$");
    RUN(p, "CREATE TRIGGER forgets BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION forgets()");
    for (int i = 0; i < 3; i++) expect_transaction("BEGIN", "SELECT 1");
    ck_assert_int_eq(transact(p, "BEGIN", "INSERT INTO t VALUES (1)", NULL, 1000), WEIR_OK);
    FAILS(p, transact(p, NULL, NULL, "COMMIT", 1000), WEIR_ESERVER, "does not exist");
    ck_assert(p->request.error->retryable);
    ck_assert(reset(p)); /* by ROLLBACK */
    EXPECT(p, "SELECT count(*) FROM t", "13");
    expect_transaction("BEGIN", "INSERT INTO t VALUES (1)");
    EXPECT(p, "SELECT count(*) FROM t", "14");
    RUN(p, "DROP TABLE t");
    RUN(p, "DROP FUNCTION forget, forgets");
}
END_TEST

START_TEST(other_names_mean_other_tables) {
    RUN(p, "CREATE SCHEMA other");
    RUN(p, "CREATE TABLE t (n int)");
    RUN(p, "CREATE TABLE other.t (n text)");
    weir_value n = int_value(1), s = text_value("one");
    ck_assert_int_eq(run_values(p, "INSERT INTO t VALUES ($1)", &n, NULL), WEIR_OK);
    peer tenant;
    connect_peer(&l.pool, &tenant);
    RUN(&tenant, "SET search_path = other");
    ck_assert_msg(run_values(&tenant, "INSERT INTO t VALUES ($1)", &s, NULL) == WEIR_OK, "%s",
                  failure(&tenant));
    /* … which is nobody else's business. */
    ck_assert_int_eq(run_values(p, "INSERT INTO t VALUES ($1)", &n, NULL), WEIR_OK);
    ck_assert(reset(&tenant));
    ck_assert_int_eq(run_values(&tenant, "INSERT INTO t VALUES ($1)", &n, NULL), WEIR_OK);
    ck_assert_int_eq(transact(&tenant, "BEGIN", "SET LOCAL search_path = other", NULL, 1000), WEIR_OK);
    ck_assert_int_eq(run_values(&tenant, "INSERT INTO t VALUES ($1) RETURNING n", &s, NULL), WEIR_OK);
    ck_assert_int_eq(transact(&tenant, NULL, NULL, "COMMIT", 1000), WEIR_OK);
    ck_assert(!reset(&tenant));
    stop_peer(&tenant);
    RUN(p, "DROP TABLE t, other.t");
    RUN(p, "DROP SCHEMA other");
}
END_TEST

/* ---- resetting */

START_TEST(reset_undoes_what_was_left) {
    static const struct {
        const char *sql, *look, *clean;
    } cases[] = {
        {"SET work_mem = '9MB'", "SHOW work_mem", "4MB"},
        {"SELECT set_config('work_mem', '9MB', false)", "SHOW work_mem", "4MB"},
        {"SET lock_timeout = 0", "SHOW lock_timeout", "5s"}, /* back to what the pool asks for */
        {"SET statement_timeout = 0", "SHOW statement_timeout", "30500ms"},
        {"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SHOW default_transaction_read_only", "off"},
        {"CREATE TEMP TABLE left_behind (n int)", "SELECT to_regclass('left_behind') IS NULL", "true"},
        {"SELECT 1 AS n INTO TEMPORARY left_behind", "SELECT to_regclass('left_behind') IS NULL", "true"},
        {"CREATE TABLE pg_temp.left_behind (n int)", "SELECT to_regclass('left_behind') IS NULL", "true"},
        {"SELECT pg_advisory_lock(1)", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'", "0"},
        {"SELECT pg_try_advisory_lock_shared(1)", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'",
         "0"},
        {"LISTEN here", "SELECT count(*) FROM pg_listening_channels()", "0"},
        {"PREPARE mine AS SELECT 1", "SELECT count(*) FROM pg_prepared_statements WHERE name = 'mine'", "0"},
        {"DECLARE c CURSOR WITH HOLD FOR SELECT 1", "SELECT count(*) FROM pg_cursors WHERE name = 'c'", "0"},
        {"DO $$ BEGIN PERFORM set_config('work_mem', '9MB', false); END $$", "SHOW work_mem", "4MB"},
        {"/* a */ -- b\n set work_mem to '9MB'", "SHOW work_mem", "4MB"},
        {"-- a\rset work_mem to '9MB'", "SHOW work_mem", "4MB"}, /* a CR ends a comment, too */
        {"UPDATE pg_settings SET setting = '9MB' WHERE name = 'work_mem'", "SHOW work_mem", "4MB"},
        {"WITH x AS (SELECT 1) UPDATE pg_catalog.\"pg_settings\" SET setting = '9MB' WHERE name = 'work_mem'",
         "SHOW work_mem", "4MB"},
        {"EXPLAIN ANALYZE UPDATE pg_settings SET setting = '9MB' WHERE name = 'work_mem'", "SHOW work_mem",
         "4MB"},
        {"SET local.foo = 'leak'", "SELECT coalesce(current_setting('local.foo', true), '')", ""},
        {"SET /* a */ transaction /* b */ . /* c */ tenant = 'leak'",
         "SELECT coalesce(current_setting('transaction.tenant', true), '')", ""},
        {"SET session.x = 'leak'", "SELECT coalesce(current_setting('session.x', true), '')", ""},
        {"SET constraints.x = 'leak'", "SELECT coalesce(current_setting('constraints.x', true), '')", ""},
        {"SET \"local\".bar = 'leak'", "SELECT coalesce(current_setting('local.bar', true), '')", ""},
        {"PREPARE /* transaction */ foo AS SELECT 1",
         "SELECT count(*) FROM pg_prepared_statements WHERE name = 'foo'", "0"},
        {"PREPARE transaction AS SELECT 1",
         "SELECT count(*) FROM pg_prepared_statements WHERE name = 'transaction'", "0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        RUN(p, cases[i].sql);
        ck_assert_msg(reset(p), "%s", cases[i].sql);
        RUN(p, cases[i].look);
        ck_assert_msg(strcmp(first_text(p), cases[i].clean) == 0, "%s: %s", cases[i].sql, first_text(p));
        ck_assert(!reset(p));
    }
}
END_TEST

START_TEST(reset_ends_transactions) {
    RUN(p, "CREATE TABLE t (n int)");
    ck_assert_int_eq(transact(p, "BEGIN", "INSERT INTO t VALUES (1)", NULL, 1000), WEIR_OK);
    ck_assert(reset(p));
    EXPECT(p, "SELECT count(*) FROM t", "0");
    ck_assert_int_eq(transact(p, "BEGIN", "SELECT 1/0", NULL, 1000), WEIR_ESERVER);
    ck_assert(reset(p));
    /* … and both at once: a lock of the session's survives the ROLLBACK. */
    ck_assert_int_eq(transact(p, "BEGIN", "SELECT pg_advisory_lock(1)", NULL, 1000), WEIR_OK);
    ck_assert(reset(p));
    EXPECT(p, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'", "0");
    RUN(p, "DROP TABLE t");
    ck_assert(!reset(p));
}
END_TEST

START_TEST(reset_has_nothing_to_do) {
    static const char *const clean[] = {
        "SELECT 1",
        "CREATE TABLE clean (n int, temp float)",
        "INSERT INTO clean VALUES (1, 20.5)",
        "SELECT temp FROM clean",
        "UPDATE clean SET temp = 21",
        "WITH x AS (SELECT 1) SELECT * FROM x",
        "(SELECT 1) UNION (SELECT 2)",
        "VALUES (1)",
        "EXPLAIN SELECT 1",
        "SELECT pg_advisory_xact_lock(1)",
        "SHOW statement_timeout",
        "SELECT set_config('work_mem', '9MB', true)",
        "NOTIFY somebody",
        "ALTER TABLE clean ADD k int",
        "TRUNCATE clean",
        "ANALYZE clean",
        "DROP TABLE clean",
        "-- nothing",
    };
    for (size_t i = 0; i < sizeof clean / sizeof clean[0]; i++) {
        RUN(p, clean[i]);
        ck_assert_msg(!reset(p), "%s", clean[i]);
    }
    ck_assert_int_eq(transact(p, "BEGIN", "SET LOCAL work_mem = '9MB'", "COMMIT", 1000), WEIR_OK);
    ck_assert(!reset(p));
}
END_TEST

#define READING ((unsigned)(WEIR__TRAIT_READS | WEIR__TRAIT_SIMPLE))

START_TEST(texts_are_classified) {
    static const struct {
        const char *sql;
        unsigned traits;
    } cases[] = {
        {"", 0},
        {";;", 0},
        {"SELECT '--', set_config('a.b', '', false)", WEIR__TRAIT_DIRTY | WEIR__TRAIT_RETYPES},
        {"SELECT set_config('a.b', ', true)', false)", WEIR__TRAIT_DIRTY | WEIR__TRAIT_RETYPES},
        {"SELECT set_config ('a.b', $1, true )", WEIR__TRAIT_RETYPES},
        {"SELECT set_config('a.b', f(1, (2)), /* x */ TRUE), 1", WEIR__TRAIT_RETYPES},
        {"SELECT set_config('a', E'\\', true)', false)", WEIR__TRAIT_DIRTY | WEIR__TRAIT_RETYPES},
        {"SELECT set_config('a', $$, true)$$, $1)", WEIR__TRAIT_DIRTY | WEIR__TRAIT_RETYPES},
        {"SELECT set_config('a', 'b', true AND false)", WEIR__TRAIT_DIRTY | WEIR__TRAIT_RETYPES},
        {"SELECT set_config('a', 'b', 'true')", WEIR__TRAIT_DIRTY | WEIR__TRAIT_RETYPES},
        {"SELECT \"set_config\"('a', 'b', true)", WEIR__TRAIT_DIRTY | WEIR__TRAIT_RETYPES},
        {"SELECT set_config('a', 'b', true), set_config('c', 'd', false)",
         WEIR__TRAIT_DIRTY | WEIR__TRAIT_RETYPES},
        {"SELECT set_config(true)", WEIR__TRAIT_DIRTY | WEIR__TRAIT_RETYPES},
        {"SELECT set_config('a', 'b', true", WEIR__TRAIT_DIRTY | WEIR__TRAIT_RETYPES},
        {"SELECT set_config", WEIR__TRAIT_DIRTY | WEIR__TRAIT_RETYPES},
        {"Set Local x = 1", WEIR__TRAIT_RETYPES},
        {"SET TRANSACTION READ ONLY", 0},
        {"SET /* LOCAL */ x = 1", WEIR__TRAIT_DIRTY | WEIR__TRAIT_RETYPES},
        {"/* /* nested */ */ ROLLBACK", WEIR__TRAIT_UNGUARDS},
        {"SELECT \"dblink_connect\"('x')", WEIR__TRAIT_DIRTY | WEIR__TRAIT_LASTING},
        {"SELECT dblink('x', 'y')", WEIR__TRAIT_DIRTY},
        {"EXPLAIN ANALYZE CREATE TEMP TABLE x AS SELECT 1", WEIR__TRAIT_DIRTY},
        {"COPY t TO STDOUT", WEIR__TRAIT_COPY},
        {"COPY t TO PROGRAM 'x'", 0},
        {"PREPARE TRANSACTION 'x'", WEIR__TRAIT_COMMITS},
        {"PREPARE /* x */ TRANSACTION -- y\r 'x'", WEIR__TRAIT_COMMITS},
        {"COMMIT", WEIR__TRAIT_COMMITS},
        {"SET LOCAL \"x\" = 1", WEIR__TRAIT_RETYPES},
        {"SET LOCAL", WEIR__TRAIT_DIRTY | WEIR__TRAIT_RETYPES},
        {"SET seed = 0.5", WEIR__TRAIT_DIRTY | WEIR__TRAIT_LASTING},
        {"LOAD 'x'", WEIR__TRAIT_DIRTY | WEIR__TRAIT_LASTING},
        {"SELECT pg_create_logical_replication_slot('s', 'p', true)",
         WEIR__TRAIT_DIRTY | WEIR__TRAIT_LASTING},
        {"SELECT pg_create_physical_replication_slot('s', true, true)",
         WEIR__TRAIT_DIRTY | WEIR__TRAIT_LASTING},
        {"SELECT pg_replication_origin_session_setup('o')", WEIR__TRAIT_DIRTY | WEIR__TRAIT_LASTING},
        {"SELECT setting FROM pg_settings", 0},
        {"EXECUTE x", WEIR__TRAIT_DIRTY},
        {"CREATE /* x */ or replace LOCAL temp VIEW v AS SELECT 1", WEIR__TRAIT_DIRTY | WEIR__TRAIT_RETYPES},
        {"CREATE TABLE temp (temp int)", 0},
        {"CREATE", 0},
        {"FROBNICATE", WEIR__TRAIT_DIRTY},
        {"DECLARE c CURSOR FOR SELECT 1", 0},
        {"DEALLOCATE x", WEIR__TRAIT_DIRTY | WEIR__TRAIT_FORGETS},
        {"/* unended", 0},
        {"--", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_msg((weir__pg_traits(cases[i].sql, strlen(cases[i].sql), NULL) & ~READING) ==
                          cases[i].traits,
                      "%s", cases[i].sql);
}
END_TEST

START_TEST(texts_that_only_read) {
    static const struct {
        const char *sql;
        unsigned traits;
    } cases[] = {
        {"SELECT c FROM t WHERE n IN (1, 2) AND (a OR b)", READING},
        {"select count(*) from t", READING},
        {"select n from \"t\"", READING},
        {"/* x */ VALUES (1)", READING},
        {"TABLE t", READING},
        {"SHOW work_mem", READING},
        {"EXPLAIN DELETE FROM t", READING},
        {"SELECT abs(1)", WEIR__TRAIT_READS},
        {"SELECT abs\r\n(1)", WEIR__TRAIT_READS},
        {"SELECT f(1)", 0},
        {"SELECT \"f!\" (1)", 0},
        {"SELECT f$ (1)", 0},
        {"SELECT f /* x */ (1)", 0},
        {"SELECT f\r\n(1)", 0},
        {"EXPLAIN ANALYZE DELETE FROM t", 0},
        {"EXPLAIN (ANALYZE) DELETE FROM t", 0},
        {"SELECT 1 AS n INTO t", 0},
        {"WITH x AS (DELETE FROM t RETURNING n) SELECT n FROM x", 0},
        {"INSERT INTO t VALUES (1)", 0},
        {"CALL p()", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_msg((weir__pg_traits(cases[i].sql, strlen(cases[i].sql), NULL) & READING) ==
                          cases[i].traits,
                      "%s", cases[i].sql);
}
END_TEST

START_TEST(functions_that_are_listed) {
    static const struct {
        const char *functions, *sql;
        bool listed;
    } cases[] = {
        {"f", "SELECT f(1)", true},
        {"f", "SELECT F (1)", true},
        {"f", "SELECT ff(1)", false},
        {"a.f, g", "SELECT a.f(1)", true},
        {"a.f, g", "SELECT \"a\" . \"f\"(1)", true},
        {"a.f , g", "SELECT b.f(1)", false},
        {"a.f,g", "SELECT f(1)", true},
        {"a.f,\tg", "SELECT b.g(1)", true},
        {NULL, "SELECT f(1)", false},
    };
    const unsigned marks = WEIR__TRAIT_RETYPES | WEIR__TRAIT_UNGUARDS;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        unsigned traits = weir__pg_traits(cases[i].sql, strlen(cases[i].sql), cases[i].functions);
        bool listed = (traits & marks) == marks;
        ck_assert_msg(listed == cases[i].listed, "%s: %s", cases[i].functions, cases[i].sql);
        ck_assert(!listed || traits & WEIR__TRAIT_DIRTY);
    }
}
END_TEST

START_TEST(texts_are_split) {
    static const char *const cases[][2] = {
        {"a", "a|"},
        {"a;b;", "a|b||"},
        {"'a;''b';c", "'a;''b'|c|"},
        {"E'a\\';b';c", "E'a\\';b'|c|"},
        {"te'a\\';c", "te'a\\'|c|"},
        {"\"a;b\";c", "\"a;b\"|c|"},
        {"$$a;b$$;c", "$$a;b$$|c|"},
        {"$x$a;$$;$x$;c", "$x$a;$$;$x$|c|"},
        {"a$$;b$$", "a$$|b$$|"},
        {"$1;b", "$1|b|"},
        {"/* ; /* ; */ ; */a;--;\nb", "/* ; /* ; */ ; */a|--;\nb|"},
        {"'a;", "'a;|"},
        {"$$a;", "$$a;|"},
        {"/*;", "/*;|"},
        {"E'\\", "E'\\|"},
        {"$", "$|"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[64];
        size_t bytes = strlen(cases[i][0]) + 1;
        memcpy(text, cases[i][0], bytes);
        weir__pg_split(text);
        for (size_t at = 0; at < bytes; at++)
            if (!text[at]) text[at] = '|';
        text[bytes] = '\0';
        ck_assert_str_eq(text, cases[i][1]);
    }
    ck_assert(weir__pg_is_blank(" -- x\n /* y */ "));
    ck_assert(!weir__pg_is_blank("-- x\n y"));
}
END_TEST

START_TEST(texts_that_sweep) {
    static const struct {
        const char *sql;
        unsigned sweeps;
    } cases[] = {
        {"discard /* x */ all", WEIR__TRAIT_FORGETS | WEIR__TRAIT_UNGUARDS},
        {"DISCARD PLANS", 0},
        {"RESET ALL", WEIR__TRAIT_UNGUARDS},
        {"RESET \"all\"", 0},
        {"DEALLOCATE ALL", WEIR__TRAIT_FORGETS},
        {"deallocate prepare all", WEIR__TRAIT_FORGETS},
        {"DEALLOCATE PREPARE", 0},
        {"CLOSE ALL", 0},
        {"DISCARD", 0},
        {"", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_msg(weir__pg_sweeps(cases[i].sql) == cases[i].sweeps, "%s", cases[i].sql);
}
END_TEST

/* The connection must not be lent again: the reset fails, and its host closes it. */
START_TEST(what_discard_all_leaves_behind) {
    static const char *const texts[] = {"SELECT setseed(0.5)", "SET seed TO 0.5",
                                        "LOAD '$libdir/plugins/none'", "SELECT dblink_connect('mine', 'x')"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        peer q;
        connect_peer(&l.pool, &q);
        run(&q, texts[i]); /* some fail here, and might not elsewhere */
        take_outcome(&q.request);
        q.request = (weir__request){.timeout_ms = -1};
        q.busy = true;
        ck_assert_msg(driver->reset(q.conn, &q.request, WEIR__RESET_AUTO), "%s", texts[i]);
        WAIT_FOR(!q.busy);
        FAILS(&q, q.request.code, WEIR_ELOST, "the connection is replaced");
        stop_peer(&q);
    }
    /* What the host itself has set up so is no reason. */
    RUN(p, "SELECT setseed(0.5)");
    driver->baseline(p->conn);
    ck_assert(!reset(p));
}
END_TEST

/* ---- the server's own time limit */

START_TEST(the_guard_follows_the_request) {
    /* 30,500 ms at first: enough for all that is not longer. */
    ck_assert_int_eq(transact(p, NULL, "SHOW statement_timeout", NULL, 1000), WEIR_OK);
    ck_assert_str_eq(first_text(p), "30500ms");
    ck_assert(!reset(p));
    ck_assert_int_eq(transact(p, NULL, "SHOW statement_timeout", NULL, 60000), WEIR_OK);
    ck_assert_str_eq(first_text(p), "60500ms");
    ck_assert_int_eq(transact(p, NULL, "SHOW statement_timeout", NULL, -1), WEIR_OK);
    ck_assert_str_eq(first_text(p), "0");
    ck_assert_int_eq(transact(p, NULL, "SHOW statement_timeout", NULL, 60000), WEIR_OK);
    ck_assert_str_eq(first_text(p), "0"); /* allows it */
    ck_assert(reset(p));
    EXPECT(p, "SHOW statement_timeout", "30500ms");
    ck_assert(!reset(p));
}
END_TEST

START_TEST(the_guard_survives_rollbacks) {
    ck_assert_int_eq(transact(p, "BEGIN", "SELECT 1", NULL, 1000), WEIR_OK);
    ck_assert_int_eq(transact(p, "SAVEPOINT s", "SHOW statement_timeout", NULL, 60000), WEIR_OK);
    ck_assert_str_eq(first_text(p), "60500ms");
    ck_assert_int_eq(transact(p, NULL, NULL, "ROLLBACK TO s", 1000), WEIR_OK);
    ck_assert_int_eq(transact(p, NULL, "SHOW statement_timeout", NULL, 60000), WEIR_OK);
    ck_assert_str_eq(first_text(p), "60500ms"); /* set again */
    ck_assert_int_eq(transact(p, NULL, NULL, "ROLLBACK", 1000), WEIR_OK);
    ck_assert_int_eq(transact(p, NULL, "SHOW statement_timeout", NULL, 60000), WEIR_OK);
    ck_assert_str_eq(first_text(p), "60500ms");
    ck_assert_int_eq(transact(p, "BEGIN", "SELECT 1/0", NULL, 90000), WEIR_ESERVER);
    ck_assert(reset(p));
    EXPECT(p, "SHOW statement_timeout", "30500ms");
    /* The borrower's own is left alone, until the reset. */
    RUN(p, "SET statement_timeout = '5min'");
    ck_assert_int_eq(transact(p, NULL, "SHOW statement_timeout", NULL, -1), WEIR_OK);
    ck_assert_str_eq(first_text(p), "5min");
    ck_assert(reset(p));
    EXPECT(p, "SHOW statement_timeout", "30500ms");
}
END_TEST

START_TEST(the_guard_fires) {
    with_socket("");
    options.command_timeout_ms = 1;
    lone hasty;
    open_lone(&hasty);
    FAILS(&hasty.peer, transact(&hasty.peer, NULL, "SELECT pg_sleep(60)", NULL, 1), WEIR_ESERVER,
          "statement timeout");
    ck_assert_str_eq(hasty.peer.request.error->sqlstate, "57014");
    close_lone(&hasty);
}
END_TEST

static Suite *make_suite(void) {
    Suite *suite = suite_create("postgres_session");
    TCase *tcase = tcase_create("session");
    tcase_set_timeout(tcase, 240);
    tcase_add_checked_fixture(tcase, setup_lone, teardown_lone);
    tcase_add_test(tcase, a_second_connection_takes_one_trip);
    tcase_add_test(tcase, the_cache_forgets_what_is_old);
    tcase_add_test(tcase, a_table_that_changes);
    tcase_add_test(tcase, parameters_that_change_their_type);
    tcase_add_test(tcase, columns_that_change_to_a_known_type);
    tcase_add_test(tcase, statements_that_were_taken_away);
    tcase_add_test(tcase, commands_that_are_kept);
    tcase_add_test(tcase, other_names_mean_other_tables);
    tcase_add_test(tcase, reset_undoes_what_was_left);
    tcase_add_test(tcase, reset_ends_transactions);
    tcase_add_test(tcase, reset_has_nothing_to_do);
    tcase_add_test(tcase, functions_that_are_listed);
    tcase_add_test(tcase, texts_are_split);
    tcase_add_test(tcase, texts_that_sweep);
    tcase_add_test(tcase, texts_are_classified);
    tcase_add_test(tcase, texts_that_only_read);
    tcase_add_test(tcase, what_discard_all_leaves_behind);
    tcase_add_test(tcase, the_guard_follows_the_request);
    tcase_add_test(tcase, the_guard_survives_rollbacks);
    tcase_add_test(tcase, the_guard_fires);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void) {
    pg_server_start();
    return run_suite(make_suite());
}

/* What a statement's text says of where it may run: the driver's `classify`. No server is needed. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/statement.h"
#include "config/config.h"
#include "driver/postgres/pg.h"

#define STATE WEIR__TEXT_STATE
#define SHARES WEIR__TEXT_SHARES
#define READS WEIR__TEXT_READS
#define AGAIN WEIR__TEXT_AGAIN
#define ENDS (WEIR__TEXT_STATE | WEIR__TEXT_TRANSACTION)
#define LISTENS (WEIR__TEXT_STATE | WEIR__TEXT_LISTEN)

typedef struct row {
    const char *sql;
    unsigned text;
} row;

static unsigned classify(const char *sql, weir__reset reset, const char *functions) {
    weir__config config = {.reset = reset};
    config.options.reset_functions = functions;
    const weir__env env = {.config = &config};
    weir_statement *statement = weir_statement_new(sql, strlen(sql), NULL);
    ck_assert_ptr_nonnull(statement);
    unsigned text = weir__pg_classify(&env, statement);
    weir_statement_unref(statement);
    return text;
}

static void check(const row *rows, size_t count, weir__reset reset, const char *functions) {
    for (size_t i = 0; i < count; i++) {
        unsigned text = classify(rows[i].sql, reset, functions);
        ck_assert_msg(text == rows[i].text, "%s: %u, and not %u", rows[i].sql, text, rows[i].text);
    }
}
#define CHECK(rows, reset, functions) check(rows, sizeof(rows) / sizeof *(rows), reset, functions)

START_TEST(those_that_share) {
    static const row rows[] = {
        {"SELECT 1", SHARES | READS | AGAIN},
        {" ((select 1))", SHARES | READS | AGAIN},
        {"  -- x\n /* y /* z */ */ ((select 1))",
         SHARES | READS}, /* a comment behind a word might hide a call */
        {"VALUES (1)", SHARES | READS | AGAIN},
        {"TABLE t", SHARES | READS | AGAIN},
        {"SELECT u&'a\\0062c', u & b FROM u", SHARES | READS | AGAIN},
        {"SHOW work_mem", SHARES | READS | AGAIN},
        {"EXPLAIN DELETE FROM t", SHARES | READS | AGAIN},
        {"EXPLAIN ANALYZE DELETE FROM t", SHARES | READS},
        {"SELECT f(1)", SHARES | READS}, /* may do anything: not twice, unseen */
        {"SELECT count(*), lower(a) FROM t", SHARES | READS | AGAIN},
        {"SELECT n FROM t FOR UPDATE", SHARES | READS | AGAIN},
        {"SELECT 1 AS n INTO t", SHARES | READS},
        {"WITH x AS (SELECT 1) SELECT * FROM x", SHARES | READS},
        {"WITH x AS (DELETE FROM t RETURNING n) SELECT n FROM x", SHARES | READS},
        {"INSERT INTO t VALUES (1)", SHARES},
        {"update t set a = 1", SHARES},
        {"DELETE FROM t", SHARES},
        {"MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE", SHARES},
    };
    CHECK(rows, WEIR__RESET_AUTO, NULL);
}
END_TEST

START_TEST(those_that_run_alone) {
    static const row rows[] = {
        {" -- nothing\n/* */", 0},
        {"CREATE TABLE t (n int)", 0},
        {"DROP TABLE t", 0},
        {"VACUUM t", 0},
        {"NOTIFY c", 0},
        {"LOCK TABLE t", 0},
        {"COPY t FROM '/tmp/t'", 0},
        {"COPY t FROM STDIN", 0},
        {"DO $$ BEGIN END $$", 0},
        {"CALL p()", 0},
        {"COMMIT PREPARED 'x'", 0}, /* no connection's any more */
        {"rollback -- it\n prepared 'x'", 0},
        /* They leave something behind, or may. */
        {"SELECT set_config('a.b', 'c', false)", READS},
        {"SELECT u&\"set\\005fconfig\"('a.b', 'c', false)", READS},
        {"SELECT pg_advisory_lock(1)", READS},
        {"SELECT setseed(0.5)", READS},
        {"SELECT nextval('s') INTO TEMP t", READS},
    };
    CHECK(rows, WEIR__RESET_AUTO, NULL);
}
END_TEST

START_TEST(those_that_change_their_connection) {
    static const row rows[] = {
        {"SET search_path = x", STATE},
        {"SET LOCAL work_mem = '1MB'", STATE},
        {"SET TRANSACTION READ ONLY", STATE},
        {"RESET ALL", STATE},
        {"DISCARD ALL", STATE},
        {"LISTEN c", LISTENS},
        {"UNLISTEN *", STATE},
        {"LOAD 'x'", STATE},
        {"DECLARE c CURSOR FOR SELECT 1", STATE},
        {"PREPARE p AS SELECT 1", STATE},
        {"DEALLOCATE ALL", STATE},
        {"CREATE TEMP TABLE t (n int)", STATE},
        {"create or replace temporary view v as select 1", STATE},
        {"CREATE LOCAL TEMP TABLE t (n int)", STATE},
        {"/* a */ set x.y = 1", STATE},
    };
    CHECK(rows, WEIR__RESET_AUTO, NULL);
    CHECK(rows, WEIR__RESET_NEVER, NULL);
}
END_TEST

START_TEST(those_that_begin_or_end_transactions) {
    static const row rows[] = {
        {"BEGIN", ENDS},
        {"start transaction", ENDS},
        {"COMMIT", ENDS},
        {"commit and chain", ENDS},
        {"END", ENDS},
        {"ROLLBACK", ENDS},
        {"ROLLBACK TO SAVEPOINT a", ENDS},
        {"ABORT", ENDS},
        {"SAVEPOINT prepared", ENDS},
        {"rollback to prepared", ENDS},
        {"RELEASE a", ENDS},
        {"PREPARE TRANSACTION 'x'", ENDS},
        {";; -- x\n ;commit", ENDS},
    };
    CHECK(rows, WEIR__RESET_AUTO, NULL);
}
END_TEST

/* Of what is listed, or when nobody relies on what is seen of a call, those with calls do not share. */
START_TEST(the_option_reset_counts) {
    static const row listed[] = {{"SELECT app.tenant(1)", READS}, {"SELECT f(1)", SHARES | READS}};
    static const row always[] = {
        {"SELECT f(1)", READS},
        {"SELECT 1", SHARES | READS | AGAIN},
        {"INSERT INTO t VALUES (1)", 0},
    };
    CHECK(listed, WEIR__RESET_AUTO, "app.tenant");
    CHECK(always, WEIR__RESET_ALWAYS, NULL);
    CHECK(always, WEIR__RESET_SQL, NULL);
}
END_TEST

/* Whether an answer that is lost leaves open what has happened. */
START_TEST(those_that_may_write) {
    static const char *const reads[] = {
        "select now(), count(*), pg_sleep(1), PG_CATALOG.Lower ('x')",
        "select abs(-1), xpath_exists('/a', b), to_char(a, 'YYYY'), zone from t",
        "select 'pay(1)', $$pay(1)$$, \"pay\" from t -- pay(1)",
        "select /* pay(1) */ a from t where a in (1, 2) and (b or not (c))",
        "select n from generate_series(1, 3) as g (n)",
        "select n from unnest($1::int[]) as \"G\"(n)",
        "select cast(a as numeric(10, 2)), a::varchar (3), interval '1' day from t",
        "select row_number() over (partition by a), sum(a) filter (where (a > 1)) from t",
        "select a from t except (select b from u) for update",
        "values (1), (lower('A'))",
        "table t",
        "explain select pay(1)",
        "select pg_terminate_backend(1)",
    };
    static const char *const writes[] = {
        "select pay(1)",
        "select Pay /* it */ (1)",
        "select \"pay\"(1)",
        "select app.lower('x')",
        "select \"app\" . lower('x')",
        "select a from t where a in (select pay(a) from u)",
        "select distinct on (a) pay(a) as pay from t",
        "select * from pay(1) as p(n)",
        "select count$x$count(1)",
        "values (pay(1))",
        "select nextval('s')",
        "select lo_unlink(1)",
        "select pg_notify('a', 'b')",
        "explain analyze select pay(1)",
        "select count(*) into u from t",
        "with x as (select 1) select 1 from x",
    };
    for (size_t i = 0; i < sizeof reads / sizeof *reads; i++)
        ck_assert_msg(weir__pg_traits(reads[i], strlen(reads[i]), NULL) & WEIR__TRAIT_READS, "%s", reads[i]);
    for (size_t i = 0; i < sizeof writes / sizeof *writes; i++)
        ck_assert_msg(
            !(weir__pg_traits(writes[i], strlen(writes[i]), NULL) & (WEIR__TRAIT_READS | WEIR__TRAIT_SIMPLE)),
            "%s", writes[i]);
}
END_TEST

/* Whether a function of a user's may run in a statement that changes rows. */
START_TEST(those_that_change) {
    static const char *const changes[] = {
        "insert into t values (1), (now())",
        "insert into t (a, b) values ($1, lower($2))",
        "Insert Into app . t(a) select a from u where a in (1, 2)",
        "insert into \"my (\".\"t\" (a) values ('pay(1)')",
        "update t set a = a + 1 where b = $1 returning *",
        "delete from t -- pay(1)",
        "merge into t using u on (t.a = u.a) when matched then delete",
    };
    static const char *const others[] = {
        "insert into t select pay(1)",
        "insert into t values (pay(1))",
        "insert into t (a) values (\"pay\"(1))",
        "update t set a = pay(1)",
        "delete from t where app.pay(a)",
        "select 1",
        "with x as (delete from t) select 1",
        "copy t from stdin",
        "create table t as select 1",
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        ck_assert_msg(weir__pg_traits(changes[i], strlen(changes[i]), NULL) & WEIR__TRAIT_CHANGES, "%s",
                      changes[i]);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        ck_assert_msg(!(weir__pg_traits(others[i], strlen(others[i]), NULL) & WEIR__TRAIT_CHANGES), "%s",
                      others[i]);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("classify");
    TCase *tcase = tcase_create("texts");
    tcase_add_test(tcase, those_that_share);
    tcase_add_test(tcase, those_that_run_alone);
    tcase_add_test(tcase, those_that_change_their_connection);
    tcase_add_test(tcase, those_that_begin_or_end_transactions);
    tcase_add_test(tcase, the_option_reset_counts);
    tcase_add_test(tcase, those_that_may_write);
    tcase_add_test(tcase, those_that_change);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

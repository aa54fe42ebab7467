/* The SQLite driver: statements, results, transactions, errors. Its connections' life is in
 * test_sqlite_life.c. */
#include "sqlite_host.h"
#include "support_suite.h"

static peer a, b;
static pool db;

static void open_one(void) {
    setup();
    db = open_file(&a);
}

static void close_one(void) {
    close_peer(&a);
    close_pool(&db);
    teardown();
}

static weir_value cell(peer *p, size_t row, size_t column) {
    weir_value value = {.type = WEIR_TYPE_NULL};
    ck_assert_int_eq(weir_result_value(p->request.result, row, column, &value), WEIR_OK);
    return value;
}

static void assert_bytes(weir_value value, weir_type type, const char *data, size_t length) {
    ck_assert_int_eq(value.type, type);
    ck_assert_uint_eq(value.as.bytes.length, length);
    ck_assert_mem_eq(value.as.bytes.data, data, length);
}

static void assert_tag(peer *p, const char *tag, int64_t affected) {
    ck_assert_str_eq(weir_result_tag(p->request.result), tag);
    ck_assert_int_eq(weir_result_affected(p->request.result), affected);
}

/* ---- values and results ---- */

START_TEST(values_come_back_as_they_went) {
    ck_assert_int_eq(run(&a, "select $1, $2, $3, $4, $5, $6, $7, $8", "nbifttdx", 1, (int64_t)INT64_MIN, -1.5,
                         "grün", "", "-12.50", "\0\xff", (size_t)2),
                     WEIR_OK);
    ck_assert_uint_eq(weir_result_rows(a.request.result), 1);
    ck_assert_uint_eq(weir_result_columns(a.request.result), 8);
    ck_assert_int_eq(cell(&a, 0, 0).type, WEIR_TYPE_NULL);
    ck_assert_int_eq(cell(&a, 0, 1).as.integer, 1); /* SQLite has no bool */
    ck_assert_int_eq(cell(&a, 0, 2).as.integer, INT64_MIN);
    ck_assert_double_eq(cell(&a, 0, 3).as.real, -1.5);
    assert_bytes(cell(&a, 0, 4), WEIR_TYPE_TEXT, "grün", 5);
    assert_bytes(cell(&a, 0, 5), WEIR_TYPE_TEXT, "", 0);
    ck_assert_double_eq(cell(&a, 0, 6).as.real, -12.5);
    assert_bytes(cell(&a, 0, 7), WEIR_TYPE_BYTES, "\0\xff", 2);
    ck_assert_int_eq(run(&a, "select $1, typeof($1)", "x", "", (size_t)0), WEIR_OK);
    ck_assert_int_eq(cell(&a, 0, 0).type, WEIR_TYPE_BYTES); /* not NULL */
    assert_bytes(cell(&a, 0, 1), WEIR_TYPE_TEXT, "blob", 4);
}
END_TEST

/* What SQLite makes of a decimal, and what it cannot make one of. */
START_TEST(decimals) {
    static const struct {
        const char *number, *type;
    } rows[] = {
        {"7", "integer"},
        {"-9223372036854775808", "integer"},
        {"0.1", "real"},
        {"1E+2", "real"},
        {"-0.00", "real"},
        {"123456789012345.6", "text"},
        {"0.12345678901234567", "text"},
        {"1E-400", "text"},
        {"1.5E-320", "text"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ck_assert_int_eq(run(&a, "select typeof($1)", "d", rows[i].number), WEIR_OK);
        assert_bytes(cell(&a, 0, 0), WEIR_TYPE_TEXT, rows[i].type, strlen(rows[i].type));
    }
    static const char *const refused[] = {"9223372036854775808", "NaN", "-Infinity", "1E+400", "x"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        ck_assert_int_eq(run(&a, "select $1", "d", refused[i]), WEIR_EVALUE);
        ck_assert_ptr_nonnull(strstr(a.request.error->message, "parameter 1"));
    }
}
END_TEST

START_TEST(many_rows_and_long_texts) {
    must(&a, "with recursive n(i) as (select 0 union all select i + 1 from n where i < 9999) "
             "select i, printf('%d-%.*c', i, i, 'x') as long from n");
    ck_assert_uint_eq(weir_result_rows(a.request.result), 10000);
    ck_assert_str_eq(weir_result_name(a.request.result, 0), "i");
    ck_assert_str_eq(weir_result_name(a.request.result, 1), "long");
    for (size_t row = 0; row < 10000; row += 37) {
        char start[16];
        int length = snprintf(start, sizeof start, "%zu-", row);
        weir_value value = cell(&a, row, 1);
        ck_assert_int_eq(cell(&a, row, 0).as.integer, (int64_t)row);
        /* printf('%.*c') writes one letter for 0 and for 1 */
        ck_assert_uint_eq(value.as.bytes.length, (size_t)length + (row ? row : 1));
        ck_assert_mem_eq(value.as.bytes.data, start, (size_t)length);
    }
}
END_TEST

START_TEST(results_are_read_within_their_bounds) {
    weir_value value;
    must(&a, "select 1 as one, cast(x'ff41' as text)");
    ck_assert_int_eq(weir_result_value(a.request.result, 1, 0, &value), WEIR_EINVAL);
    ck_assert_int_eq(weir_result_value(a.request.result, 0, 2, &value), WEIR_EINVAL);
    ck_assert_int_eq(weir_result_value(a.request.result, 0, 0, NULL), WEIR_EINVAL);
    ck_assert_int_eq(weir_result_value(a.request.result, 0, 1, &value), WEIR_EVALUE); /* no UTF-8 */
    ck_assert_ptr_null(weir_result_name(a.request.result, 2));
    ck_assert_int_eq(weir_result_value(NULL, 0, 0, &value), WEIR_EINVAL);
    ck_assert_uint_eq(weir_result_rows(NULL), 0);
    ck_assert_uint_eq(weir_result_columns(NULL), 0);
    ck_assert_ptr_null(weir_result_name(NULL, 0));
    ck_assert_str_eq(weir_result_tag(NULL), "");
    ck_assert_int_eq(weir_result_affected(NULL), -1);
    weir_result_free(NULL);
}
END_TEST

START_TEST(a_result_outlives_its_connection) {
    peer other;
    connect_peer(&db, &other);
    must(&other, "select 'still here' as it");
    weir_result *kept = other.request.result;
    other.request.result = NULL;
    close_peer(&other);
    weir_value value;
    ck_assert_int_eq(weir_result_value(kept, 0, 0, &value), WEIR_OK);
    assert_bytes(value, WEIR_TYPE_TEXT, "still here", 10);
    weir_result_free(kept);
}
END_TEST

/* ---- parameters ---- */

START_TEST(parameters_go_by_their_number) {
    ck_assert_int_eq(run(&a, "select $2, $1, $2", "ii", (int64_t)1, (int64_t)2), WEIR_OK);
    ck_assert_int_eq(cell(&a, 0, 0).as.integer, 2);
    ck_assert_int_eq(cell(&a, 0, 1).as.integer, 1);
    ck_assert_int_eq(cell(&a, 0, 2).as.integer, 2);
    ck_assert_int_eq(run(&a, "select ?2, ?1", "ii", (int64_t)1, (int64_t)2), WEIR_OK);
    ck_assert_int_eq(cell(&a, 0, 0).as.integer, 2);
    ck_assert_int_eq(run(&a, "select ?, ?", "ii", (int64_t)1, (int64_t)2), WEIR_OK);
    ck_assert_int_eq(cell(&a, 0, 1).as.integer, 2);
    /* nothing of the last run is left in a cached statement */
    ck_assert_int_eq(run(&a, "select $2, $1, $2", "ni", (int64_t)7), WEIR_OK);
    ck_assert_int_eq(cell(&a, 0, 1).type, WEIR_TYPE_NULL);
}
END_TEST

START_TEST(parameters_that_do_not_fit_are_refused) {
    ck_assert_int_eq(run(&a, "select $1, $2", "i", (int64_t)1), WEIR_EINVAL);
    ck_assert_str_eq(a.request.error->message, "the statement takes 2 parameters, but 1 was given");
    ck_assert_int_eq(run(&a, "select 1", "i", (int64_t)1), WEIR_EINVAL);
    ck_assert_str_eq(a.request.error->message, "the statement takes 0 parameters, but 1 was given");
    ck_assert_int_eq(run(&a, "select $2", "i", (int64_t)1), WEIR_EINVAL);
    ck_assert_int_eq(run(&a, "select :name", "i", (int64_t)1), WEIR_ENOTSUP);
    ck_assert_ptr_nonnull(strstr(a.request.error->message, ":name"));
    ck_assert_int_eq(run(&a, "select @name", "i", (int64_t)1), WEIR_ENOTSUP);
    ck_assert_int_eq(run(&a, "select $name", "i", (int64_t)1), WEIR_ENOTSUP);
    ck_assert_int_eq(run(&a, "select $1, ?", "ii", (int64_t)1, (int64_t)2), WEIR_ENOTSUP);
    ck_assert_int_eq(number(&a, "select 5"), 5);
}
END_TEST

/* ---- texts ---- */

START_TEST(one_text_holds_one_statement) {
    must(&a, "create table t (i)");
    ck_assert_int_eq(run(&a, "insert into t values (1); insert into t values (2)", ""), WEIR_ENOTSUP);
    ck_assert_int_eq(number(&a, "select count(*) from t"), 0);
    ck_assert_int_eq(number(&a, "select 3; -- that is all\n /* really */ ;"), 3);
    must(&a, " -- nothing\n");
    assert_tag(&a, "", -1);
    ck_assert_int_eq(run(&a, "-- nothing", "i", (int64_t)1), WEIR_EINVAL);
}
END_TEST

START_TEST(tags_are_those_of_postgresql) {
    must(&a, "CREATE TABLE t (i integer primary key, s text)");
    assert_tag(&a, "CREATE TABLE", -1);
    must(&a, "create unique index t_s on t (s)");
    assert_tag(&a, "CREATE INDEX", -1);
    must(&a, "create temp view v as select 1");
    assert_tag(&a, "CREATE VIEW", -1);
    must(&a, "/* two */ insert into t (s) values ('a'), ('b')");
    assert_tag(&a, "INSERT 0 2", 2);
    must(&a, "replace into t values (1, 'c')");
    assert_tag(&a, "INSERT 0 1", 1);
    must(&a, "insert into t (s) values ('d') on conflict do nothing returning i, s");
    assert_tag(&a, "INSERT 0 1", 1);
    ck_assert_uint_eq(weir_result_rows(a.request.result), 1);
    ck_assert_int_eq(cell(&a, 0, 0).as.integer, 3);
    must(&a, "update t set s = s || '!' where i < 3");
    assert_tag(&a, "UPDATE 2", 2);
    must(&a, "update t set s = 'x' where i = 99");
    assert_tag(&a, "UPDATE 0", 0);
    must(&a, "with \"DELETE\"(x) as (select '(delete') select i from t, \"DELETE\"");
    assert_tag(&a, "SELECT 3", 3);
    must(&a, "with d(i) as (values (1)) delete from t where i in (select i from d)");
    assert_tag(&a, "DELETE 1", 1);
    must(&a, "values (1), (2)");
    assert_tag(&a, "SELECT 2", 2);
    must(&a, "pragma user_version = 3");
    assert_tag(&a, "PRAGMA", -1);
    must(&a, "pragma user_version");
    assert_tag(&a, "PRAGMA", 1);
    must(&a, "alter table t add column n default 4");
    assert_tag(&a, "ALTER TABLE", -1);
    must(&a, "drop table t");
    assert_tag(&a, "DROP TABLE", -1);
    must(&a, "begin");
    assert_tag(&a, "BEGIN", -1);
    must(&a, "end");
    assert_tag(&a, "COMMIT", -1);
}
END_TEST

START_TEST(a_cached_statement_sees_a_new_schema) {
    connect_peer(&db, &b);
    must(&a, "create table t (i)");
    must(&a, "insert into t values (1)");
    must(&a, "select * from t");
    ck_assert_uint_eq(weir_result_columns(a.request.result), 1);
    must(&b, "alter table t add column j default 7");
    must(&a, "select * from t");
    ck_assert_uint_eq(weir_result_columns(a.request.result), 2);
    ck_assert_int_eq(cell(&a, 0, 1).as.integer, 7);
    must(&b, "drop table t");
    ASSERT_FAILS(&a, "select * from t", "42P01");
    close_peer(&b);
}
END_TEST

START_TEST(caches_of_any_size) {
    int sizes[] = {0, 1, 2, 5, 100};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        with_url("sqlite:///@/cache.db");
        options.statement_cache_size = sizes[i];
        pool opened = open_pool();
        peer p;
        connect_peer(&opened, &p);
        must(&p, "create table if not exists t (i unique)");
        must(&p, "delete from t");
        for (int n = 0; n < 300; n++) {
            char sql[64];
            snprintf(sql, sizeof sql, "select %d", n * n % 7);
            ck_assert_int_eq(number(&p, sql), n * n % 7);
        }
        /* the transaction's own statements must not push the running one out of a cache of one */
        ck_assert_int_eq(run(&p, "insert into t values ($1)", "0|i|i", (int64_t)1, (int64_t)2), WEIR_OK);
        ck_assert_int_ne(run(&p, "insert into t values ($1)", "0|i|i", (int64_t)3, (int64_t)2), WEIR_OK);
        ck_assert_int_eq(number(&p, "select count(*) from t"), 2);
        close_peer(&p);
        close_pool(&opened);
    }
}
END_TEST

/* ---- transactions ---- */

static const char *begin_text(bool readonly, weir__isolation isolation) {
    weir__begin how = {isolation, readonly, true};
    weir_error error = WEIR_ERROR_INIT;
    const char *begun = driver->begin(db.env, &how, &error);
    ck_assert_ptr_nonnull(begun);
    return begun;
}

START_TEST(a_request_has_parts) {
    const char *begin = begin_text(false, WEIR__SERIALIZABLE);
    ck_assert_str_eq(begin, "BEGIN IMMEDIATE");
    ck_assert_int_eq(run_parts(&a, begin, "create table t (i)", NULL), WEIR_OK);
    ck_assert_int_eq(a.conn->tx, WEIR__TX_OPEN);
    ck_assert_uint_eq(a.request.begun, 1);
    ck_assert_int_eq(run_parts(&a, "SAVEPOINT s1", "insert into t values (1)", NULL), WEIR_OK);
    ck_assert_int_eq(run_parts(&a, NULL, NULL, "ROLLBACK TO SAVEPOINT s1; RELEASE SAVEPOINT s1"), WEIR_OK);
    ck_assert_int_eq(run_parts(&a, NULL, "insert into t values (2)", "COMMIT"), WEIR_OK);
    ck_assert_uint_eq(a.request.begun, 0);
    assert_tag(&a, "INSERT 0 1", 1);
    ck_assert_int_eq(a.conn->tx, WEIR__TX_NONE);
    ck_assert_int_eq(number(&a, "select sum(i) from t"), 2);
    ck_assert_int_eq(run_parts(&a, begin, "delete from t", "ROLLBACK"), WEIR_OK);
    ck_assert_int_eq(number(&a, "select sum(i) from t"), 2);
    ck_assert_int_eq(run_parts(&a, NULL, NULL, "ROLLBACK"), WEIR_OK); /* none is open: no harm */
    /* when what comes before fails the rest is not run */
    ck_assert_int_ne(run_parts(&a, "BEGIN NONSENSE", "delete from t", "COMMIT"), WEIR_OK);
    ck_assert_uint_eq(a.request.begun, 0);
    ck_assert_str_eq(state(&a), "42601");
    ck_assert_int_eq(run_parts(&a, begin, "insert into nowhere values (1)", "COMMIT"), WEIR_ESERVER);
    ck_assert_uint_eq(a.request.begun, 1);
    ck_assert_int_eq(a.conn->tx, WEIR__TX_OPEN); /* nothing was committed behind an error */
    ck_assert(reset(&a));
    ck_assert_int_eq(a.conn->tx, WEIR__TX_NONE);
}
END_TEST

START_TEST(a_transaction_that_only_reads) {
    must(&a, "create table t (i)");
    for (weir__isolation i = WEIR__ISOLATION_DEFAULT; i <= WEIR__SERIALIZABLE; i++) {
        const char *begin = begin_text(true, i);
        ck_assert_int_eq(run_parts(&a, begin, "select count(*) from t", NULL), WEIR_OK);
        ASSERT_FAILS(&a, "insert into t values (1)", "25006");
        ck_assert_int_eq(run_parts(&a, NULL, NULL, i % 2 ? "COMMIT" : "ROLLBACK"), WEIR_OK);
        must(&a, "insert into t values (1)");
        ck_assert(!reset(&a));
    }
    ck_assert_int_eq(run_parts(&a, begin_text(true, WEIR__SERIALIZABLE), "select 1", NULL), WEIR_OK);
    ck_assert(reset(&a));
    ck_assert_int_eq(a.request.code, WEIR_OK);
    must(&a, "insert into t values (1)");
}
END_TEST

START_TEST(how_a_transaction_begins_is_an_option) {
    static const char *const kinds[][2] = {{"deferred", "BEGIN DEFERRED"}, {"exclusive", "BEGIN EXCLUSIVE"}};
    for (int i = 0; i < 2; i++) {
        with_url("sqlite:///@/begin.db");
        options.sqlite_begin = kinds[i][0];
        pool opened = open_pool();
        weir__begin how = {WEIR__ISOLATION_DEFAULT, false, false};
        ck_assert_str_eq(driver->begin(opened.env, &how, NULL), kinds[i][1]);
        close_pool(&opened);
    }
}
END_TEST

START_TEST(a_failed_commit_ends_the_transaction) {
    must(&a, "create table p (i integer primary key)");
    must(&a, "create table c (i references p deferrable initially deferred)");
    ck_assert_int_eq(run_parts(&a, "BEGIN IMMEDIATE", "insert into c values (1)", NULL), WEIR_OK);
    ck_assert_int_eq(run_parts(&a, NULL, NULL, "COMMIT"), WEIR_ESERVER);
    ck_assert_str_eq(state(&a), "23503");
    ck_assert_int_eq(a.conn->tx, WEIR__TX_NONE);
    ck_assert_int_eq(number(&a, "select count(*) from c"), 0);
    /* also by the borrower's own text, and in an executemany */
    must(&a, "begin");
    must(&a, "insert into c values (1)");
    ASSERT_FAILS(&a, "commit", "23503");
    ck_assert_int_eq(a.conn->tx, WEIR__TX_NONE);
    ck_assert_int_ne(run(&a, "insert into c values ($1)", "0|i|i", (int64_t)1, (int64_t)2), WEIR_OK);
    ck_assert_str_eq(state(&a), "23503");
    ck_assert_int_eq(a.conn->tx, WEIR__TX_NONE);
    ck_assert_int_eq(number(&a, "select count(*) from c"), 0);
}
END_TEST

START_TEST(an_error_that_ends_the_transaction_is_not_overlooked) {
    must(&a, "create table t (i unique)");
    must(&a, "insert into t values (1)");
    for (int way = 0; way < 4; way++) {
        ck_assert_int_eq(run_parts(&a, "BEGIN IMMEDIATE", "insert into t values (2)", NULL), WEIR_OK);
        ck_assert_int_eq(run_parts(&a, "SAVEPOINT s1", "insert into t values (3)", NULL), WEIR_OK);
        ASSERT_FAILS(&a, "insert or rollback into t values (1)", "23505");
        ck_assert_int_eq(a.conn->tx, WEIR__TX_FAILED);
        ASSERT_FAILS(&a, "insert into t values (4)", "25P02"); /* it would be committed at once */
        ck_assert_int_ne(run_parts(&a, NULL, NULL, "RELEASE SAVEPOINT s1"), WEIR_OK);
        const char *const undo[] = {"ROLLBACK TO SAVEPOINT s1"};
        forget(&a);
        a.request.before = undo;
        a.request.before_count = 1;
        a.request.command = "RELEASE SAVEPOINT s1";
        begin_request(&a);
        ck_assert_int_eq(end_request(&a), WEIR_OK); /* the end of the inner one is no second error … */
        ck_assert_int_eq(a.conn->tx, WEIR__TX_FAILED);
        ASSERT_FAILS(&a, "select 1", "25P02"); /* … but the outer one is gone */
        if (way == 0) {
            ck_assert_int_eq(run_parts(&a, NULL, NULL, "COMMIT"), WEIR_EROLLEDBACK);
            ck_assert(a.request.rolled_back);
        } else if (way == 1) {
            ck_assert_int_eq(run_parts(&a, NULL, NULL, "ROLLBACK"), WEIR_OK);
        } else if (way == 2) {
            must(&a, "rollback");
        } else {
            ck_assert(reset(&a));
            ck_assert_int_eq(a.request.code, WEIR_OK);
        }
        ck_assert_int_eq(a.conn->tx, WEIR__TX_NONE);
        ck_assert_int_eq(number(&a, "select count(*) from t"), 1);
    }
}
END_TEST

START_TEST(executemany_is_all_or_nothing) {
    must(&a, "create table t (i unique)");
    ck_assert_int_eq(run(&a, "insert into t values ($1)", "0|i|i|i", (int64_t)1, (int64_t)2, (int64_t)3),
                     WEIR_OK);
    assert_tag(&a, "INSERT 0 3", 3);
    ck_assert_int_eq(run(&a, "insert into t values ($1)", "0|i|i|i", (int64_t)4, (int64_t)1, (int64_t)5),
                     WEIR_ESERVER);
    ck_assert_str_eq(state(&a), "23505");
    ck_assert_str_eq(a.request.error->detail, "in the set of parameters number 2");
    ck_assert_int_eq(a.conn->tx, WEIR__TX_NONE);
    ck_assert_int_eq(number(&a, "select count(*) from t"), 3);
    ck_assert_int_eq(run(&a, "update t set i = i + $1 where i = $2", "0|ii|ii", (int64_t)10, (int64_t)1,
                         (int64_t)10, (int64_t)77),
                     WEIR_OK);
    assert_tag(&a, "UPDATE 1", 1);
    ck_assert_int_eq(run(&a, "insert into t values ($1)", "0"), WEIR_OK);
    assert_tag(&a, "INSERT 0 0", 0);
    ck_assert_int_eq(run(&a, "select $1 union select 2", "0|i|i", (int64_t)1, (int64_t)2), WEIR_OK);
    assert_tag(&a, "SELECT 3", 3); /* counted, and not kept */
    ck_assert_uint_eq(weir_result_rows(a.request.result), 0);
    /* in a transaction it is a part of that, still as a whole, and the error leaves the choice to the
     * borrower */
    must(&a, "begin immediate");
    ck_assert_int_ne(run(&a, "insert into t values ($1)", "0|i|i", (int64_t)20, (int64_t)2), WEIR_OK);
    ck_assert_int_eq(a.conn->tx, WEIR__TX_OPEN);
    ck_assert_int_eq(number(&a, "select count(*) from t"), 3); /* none of its sets is left in it */
    ck_assert_int_eq(run(&a, "insert into t values ($1)", "0|i|i", (int64_t)20, (int64_t)21), WEIR_OK);
    must(&a, "commit");
    ck_assert_int_eq(number(&a, "select count(*) from t"), 5);
}
END_TEST

/* ---- errors ---- */

START_TEST(errors_have_a_sqlstate) {
    static const char *const cases[][2] = {
        {"selec 1", "42601"},
        {"select (1", "42601"},
        {"select 'open", "42601"},
        {"select * from nowhere", "42P01"},
        {"select missing from t", "42703"},
        {"insert into t (missing) values (1)", "42703"},
        {"select i from t, t as u", "42702"},
        {"select nofunction(1)", "42883"},
        {"select abs(1, 2, 3)", "42883"},
        {"create table t (i)", "42P07"},
        {"drop index nowhere", "42704"},
        {"commit", "25P01"},
        {"release s1", "3B001"},
        {"insert into t (i) values (1)", "23505"},
        {"insert into t (u) values (5)", "23505"},
        {"insert into t (n) values (null)", "23502"},
        {"insert into t (c) values (-1)", "23514"},
        {"insert into t (f) values (99)", "23503"},
        {"insert into t (i) values ('text')", "42804"},
        {"select zeroblob(3000000000)", "54000"},
        {"select raise(abort, 'no')", "42000"},
    };
    must(&a, "create table t (i integer primary key, u unique, n not null default 0, c constraint positive "
             "check (c > 0),"
             " f references t (i))");
    must(&a, "insert into t (i, u) values (1, 5)");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int code = run(&a, cases[i][0], "");
        ck_assert_msg(code == WEIR_ESERVER, "%s: code %d", cases[i][0], code);
        ck_assert_msg(strcmp(state(&a), cases[i][1]) == 0, "%s: %s (%s)", cases[i][0], state(&a),
                      a.request.error->message);
        ck_assert_str_eq(a.request.error->severity, "ERROR");
    }
}
END_TEST

START_TEST(constraint_errors_name_what_failed) {
    must(&a, "create table t (i unique, j, k not null default 0, c constraint positive check (c > 0))");
    must(&a, "create unique index two on t (j, k)");
    must(&a, "create unique index odd on t (abs(j))");
    must(&a, "insert into t (i, j) values (1, 1)");
    ASSERT_FAILS(&a, "insert into t (i, j) values (1, 2)", "23505");
    ck_assert_str_eq(a.request.error->table, "t");
    ck_assert_str_eq(a.request.error->column, "i");
    ASSERT_FAILS(&a, "insert into t (i, j) values (2, 1)", "23505");
    ck_assert(a.request.error->constraint || a.request.error->table);
    ck_assert_ptr_null(a.request.error->column);
    ASSERT_FAILS(&a, "insert into t (i, j) values (2, -1)", "23505");
    ck_assert_str_eq(a.request.error->constraint, "odd");
    ASSERT_FAILS(&a, "insert into t (k) values (null)", "23502");
    ck_assert_str_eq(a.request.error->column, "k");
    ASSERT_FAILS(&a, "insert into t (c) values (0)", "23514");
    ck_assert_str_eq(a.request.error->constraint, "positive");
}
END_TEST

START_TEST(errors_tell_where_in_characters) {
    ASSERT_FAILS(&a, "select 'äöü', missing", "42703");
    ck_assert_int_eq(a.request.error->position, 15);
    ASSERT_FAILS(&a, "selec 1", "42601");
    ck_assert_int_eq(a.request.error->position, 1);
}
END_TEST

/* ---- two at a time ---- */

static int64_t elapsed_ms(int64_t since) { return (weir__now(&weir__monotonic) - since) / WEIR__MS; }

START_TEST(a_lock_is_waited_for) {
    connect_peer(&db, &b);
    must(&a, "create table t (i)");
    must(&a, "begin immediate");
    start(&b, "insert into t values (1)", "");
    must(&a, "insert into t values (2)");
    ck_assert(b.busy);
    must(&a, "commit");
    ck_assert_int_eq(end_request(&b), WEIR_OK);
    ck_assert_int_eq(number(&a, "select count(*) from t"), 2);
    close_peer(&b);
}
END_TEST

/* The first writes, the second has not seen anything yet, and may wait for 150 ms. */
static pool lock_out(const char *url, peer *first, peer *second) {
    with_url("%s", url);
    options.lock_timeout_ms = 150;
    pool opened = open_pool();
    connect_peer(&opened, first);
    connect_peer(&opened, second);
    must(first, "create table t (i)");
    must(first, "begin immediate");
    must(first, "insert into t values (1)");
    return opened;
}

static void assert_lock_timeout(const char *url) {
    peer first, second;
    pool opened = lock_out(url, &first, &second);
    for (int i = 0; i < 3; i++) {
        int64_t begun = weir__now(&weir__monotonic);
        ck_assert_int_eq(run_parts(&second, "BEGIN IMMEDIATE", "insert into t values (2)", "COMMIT"),
                         WEIR_ELOCKTIMEOUT);
        ck_assert_int_ge(elapsed_ms(begun), 145);
        ck_assert_int_lt(elapsed_ms(begun), 5000);
        ck_assert_str_eq(state(&second), "55P03");
        ck_assert(second.request.error->retryable);
        ck_assert_int_eq(second.conn->tx, WEIR__TX_NONE);
    }
    must(&first, "commit");
    ck_assert_int_eq(number(&second, "select count(*) from t"), 1);
    close_peer(&first);
    close_peer(&second);
    close_pool(&opened);
}

START_TEST(a_lock_is_not_waited_for_longer_than_asked) {
    assert_lock_timeout("sqlite:///@/lock.db");
    assert_lock_timeout(":memory:");
}
END_TEST

/* Its statement waits while it is prepared, too: in memory a writer keeps readers out of the schema. */
START_TEST(the_next_lock_is_waited_for_like_the_first) {
    peer first, second;
    pool opened = lock_out(":memory:", &first, &second);
    static const char *const texts[] = {"begin immediate", "insert into t values (2)", "select i from t"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int64_t begun = weir__now(&weir__monotonic);
        ck_assert_int_eq(run(&second, texts[i], ""), WEIR_ELOCKTIMEOUT);
        ck_assert_msg(elapsed_ms(begun) >= 145, "\"%s\" has waited for %d ms", texts[i],
                      (int)elapsed_ms(begun));
    }
    must(&first, "commit");
    close_peer(&first);
    close_peer(&second);
    close_pool(&opened);
}
END_TEST

START_TEST(a_snapshot_that_is_too_old_is_told_at_once) {
    connect_peer(&db, &b);
    must(&a, "create table t (i)");
    must(&a, "begin deferred");
    ck_assert_int_eq(number(&a, "select count(*) from t"), 0);
    must(&b, "insert into t values (1)");
    int64_t begun = weir__now(&weir__monotonic);
    ASSERT_FAILS(&a, "insert into t values (2)", "40001");
    ck_assert(a.request.error->retryable);
    ck_assert_int_lt(elapsed_ms(begun), 4000); /* less than the lock time-out */
    must(&a, "rollback");
    close_peer(&b);
}
END_TEST

/* Four connections, each adding 1 fifty times, all at the same time. */
static void assert_no_lost_update(const char *url) {
    enum { PEERS = 4, ROUNDS = 50 };
    peer peers[PEERS];
    int left[PEERS];
    with_url("%s", url);
    options.lock_timeout_ms = 60000;
    pool opened = open_pool();
    for (int i = 0; i < PEERS; i++) {
        connect_peer(&opened, &peers[i]);
        left[i] = ROUNDS;
    }
    must(&peers[0], "create table t (i)");
    must(&peers[0], "insert into t values (0)");
    for (bool any = true; any;) {
        any = false;
        for (int i = 0; i < PEERS; i++) {
            if (!peers[i].busy && left[i] > 0) {
                if (peers[i].request.statement && left[i] < ROUNDS)
                    ck_assert_int_eq(end_request(&peers[i]), WEIR_OK);
                left[i]--;
                start(&peers[i], "update t set i = i + 1", "");
            }
            any = any || peers[i].busy || left[i] > 0;
        }
        if (any) turn(weir__now(&weir__monotonic) + PATIENCE);
    }
    for (int i = 0; i < PEERS; i++) ck_assert_int_eq(end_request(&peers[i]), WEIR_OK);
    ck_assert_int_eq(number(&peers[0], "select i from t"), PEERS * ROUNDS);
    for (int i = 0; i < PEERS; i++) close_peer(&peers[i]);
    close_pool(&opened);
}

START_TEST(writers_take_turns) {
    assert_no_lost_update("sqlite:///@/turns.db");
    assert_no_lost_update("sqlite://");
}
END_TEST

START_TEST(memory_belongs_to_its_pool) {
    with_url(":memory:");
    pool first = open_pool(), second = open_pool();
    peer one, two;
    connect_peer(&first, &one);
    must(&one, "create table t (i)");
    must(&one, "insert into t values (1)");
    close_peer(&one); /* the pool keeps it, though no connection is left */
    connect_peer(&first, &one);
    connect_peer(&first, &two);
    ck_assert_int_eq(number(&one, "select count(*) from t"), 1);
    /* a reader in a transaction holds a writer's commit up, and no longer than that */
    must(&two, "begin deferred");
    ck_assert_int_eq(number(&two, "select count(*) from t"), 1);
    start(&one, "insert into t values (2)", "");
    ck_assert_int_eq(number(&two, "select count(*) from t"), 1);
    must(&two, "commit");
    ck_assert_int_eq(end_request(&one), WEIR_OK);
    ck_assert_int_eq(number(&two, "select count(*) from t"), 2);
    close_peer(&two);
    connect_peer(&second, &two);
    ASSERT_FAILS(&two, "select * from t", "42P01");
    close_peer(&one);
    close_peer(&two);
    close_pool(&first);
    close_pool(&second);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sqlite");
    TCase *tests = tcase_create("statements");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, open_one, close_one);
    tcase_add_test(tests, values_come_back_as_they_went);
    tcase_add_test(tests, decimals);
    tcase_add_test(tests, many_rows_and_long_texts);
    tcase_add_test(tests, results_are_read_within_their_bounds);
    tcase_add_test(tests, a_result_outlives_its_connection);
    tcase_add_test(tests, parameters_go_by_their_number);
    tcase_add_test(tests, parameters_that_do_not_fit_are_refused);
    tcase_add_test(tests, one_text_holds_one_statement);
    tcase_add_test(tests, tags_are_those_of_postgresql);
    tcase_add_test(tests, a_cached_statement_sees_a_new_schema);
    tcase_add_test(tests, caches_of_any_size);
    tcase_add_test(tests, a_request_has_parts);
    tcase_add_test(tests, a_transaction_that_only_reads);
    tcase_add_test(tests, how_a_transaction_begins_is_an_option);
    tcase_add_test(tests, a_failed_commit_ends_the_transaction);
    tcase_add_test(tests, an_error_that_ends_the_transaction_is_not_overlooked);
    tcase_add_test(tests, executemany_is_all_or_nothing);
    tcase_add_test(tests, errors_have_a_sqlstate);
    tcase_add_test(tests, constraint_errors_name_what_failed);
    tcase_add_test(tests, errors_tell_where_in_characters);
    tcase_add_test(tests, a_lock_is_waited_for);
    tcase_add_test(tests, a_lock_is_not_waited_for_longer_than_asked);
    tcase_add_test(tests, the_next_lock_is_waited_for_like_the_first);
    tcase_add_test(tests, a_snapshot_that_is_too_old_is_told_at_once);
    tcase_add_test(tests, writers_take_turns);
    tcase_add_test(tests, memory_belongs_to_its_pool);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}

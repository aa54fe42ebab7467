/* SQLite's columns as what they are declared as (sqlite_types=declared): what is read from what. */
#include "sqlite_host.h"
#include "support_suite.h"

static peer a;
static pool db;

static void open_declared(void) {
    setup();
    with_url("sqlite:///@/test.db?sqlite_types=declared");
    db = open_pool();
    connect_peer(&db, &a);
}

static void close_declared(void) {
    close_peer(&a);
    close_pool(&db);
    teardown();
}

/* "kind text" of a cell of the answer. */
static const char *shown(size_t row, size_t column) {
    static char out[200];
    char text[WEIR_VALUE_TEXT];
    weir_value value;
    ck_assert_int_eq(weir_result_value(a.request.result, row, column, &value), WEIR_OK);
    const char *kind = weir_type_name(value.type);
    switch (value.type) {
    case WEIR_TYPE_NULL:
        return "null";
    case WEIR_TYPE_BOOL:
        return value.as.boolean ? "bool true" : "bool false";
    case WEIR_TYPE_INT:
        snprintf(out, sizeof out, "int %lld", (long long)value.as.integer);
        break;
    case WEIR_TYPE_FLOAT:
        snprintf(out, sizeof out, "float %g", value.as.real);
        break;
    case WEIR_TYPE_TEXT:
    case WEIR_TYPE_BYTES:
    case WEIR_TYPE_NUMERIC:
    case WEIR_TYPE_JSON:
        ck_assert_int_eq(value.as.bytes.data[value.as.bytes.length], '\0');
        snprintf(out, sizeof out, "%s %.*s", kind, (int)value.as.bytes.length, value.as.bytes.data);
        break;
    default:
        weir_value_text(&value, text);
        snprintf(out, sizeof out, "%s %s", kind, text);
        break;
    }
    return out;
}

/* What a column of that type gives of an SQL literal. */
static void assert_reads(const char *type, const char *literal, const char *wanted) {
    char sql[300];
    snprintf(sql, sizeof sql, "create table one (c %s)", type);
    must(&a, sql);
    snprintf(sql, sizeof sql, "insert into one values (%s)", literal);
    must(&a, sql);
    must(&a, "select c from one");
    ck_assert_msg(strcmp(shown(0, 0), wanted) == 0, "%s %s gives %s", type, literal, shown(0, 0));
    must(&a, "drop table one");
}

START_TEST(words_are_found) {
    static const char *const dates[] = {"date",    "DATE",   "Date",          "date not null",
                                        "date(3)", "date x", "\"DATE TEXT\"", "\"date\t\""};
    static const char *const others[] = {"", "text", "dates", "dat", "xdate", "updated", "\" date\""};
    for (size_t i = 0; i < sizeof dates / sizeof dates[0]; i++)
        assert_reads(dates[i], "'2024-02-29'", "date 2024-02-29");
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_reads(others[i], "'2024-02-29'", "text 2024-02-29");
    assert_reads("datetime", "'2024-02-29 01:02:03'", "timestamp 2024-02-29 01:02:03");
    assert_reads("timestamp with time zone", "'2024-02-29 01:02:03'", "timestamp 2024-02-29 01:02:03");
    assert_reads("timestamptz", "'2024-02-29 01:02:03Z'", "timestamptz 2024-02-29 01:02:03+00");
    assert_reads("timetz", "'01:02:03+05:30'", "timetz 01:02:03+05:30");
    assert_reads("bool", "1", "bool true");
    assert_reads("jsonb", "'[1]'", "json [1]");
    assert_reads("numeric(10, 2)", "'1.50'", "numeric 1.5");
}
END_TEST

START_TEST(values_are_read) {
    static const struct {
        const char *type, *literal, *wanted;
    } rows[] = {
        {"boolean", "0", "bool false"},
        {"boolean", "true", "bool true"},
        {"boolean", "'1'", "bool true"}, /* SQLite itself makes an integer of it */
        {"boolean", "null", "null"},
        {"boolean", "2", "int 2"},
        {"boolean", "1.5", "float 1.5"},
        {"boolean", "'true'", "text true"},
        {"date", "'0001-01-01'", "date 0001-01-01"},
        {"date", "'9999-12-31'", "date 9999-12-31"},
        {"date", "'10000-01-01'", "text 10000-01-01"},
        {"date", "'0044-03-15 BC'", "text 0044-03-15 BC"},
        {"date", "'infinity'", "text infinity"},
        {"date", "'2023-02-29'", "text 2023-02-29"},
        {"date", "'2024-02-29 00:00:00'", "text 2024-02-29 00:00:00"},
        {"date", "20240229", "int 20240229"},
        {"date", "2460369.5", "float 2.46037e+06"},
        {"date", "x'3230'", "bytes 20"},
        {"date", "cast(x'323032342d30322d3239003031' as text)", "text 2024-02-29"}, /* a NUL is in it */
        {"time", "'12:30'", "time 12:30:00"},
        {"time", "'23:59:59.999999'", "time 23:59:59.999999"},
        {"time", "'24:00:00'", "text 24:00:00"},
        {"time", "'24:00+01:00'", "text 24:00+01:00"},
        {"time", "'12:30:00-05:30'", "timetz 12:30:00-05:30"},
        {"timestamp", "'2024-02-29'", "timestamp 2024-02-29 00:00:00"},
        {"timestamp", "'2024-02-29T12:30'", "timestamp 2024-02-29 12:30:00"},
        {"timestamp", "'2024-02-29T12:30:00.25Z'", "timestamptz 2024-02-29 12:30:00.25+00"},
        {"timestamp", "'9999-12-31 23:59:59.999999'", "timestamp 9999-12-31 23:59:59.999999"},
        {"timestamp", "'0001-01-01 00:00:00+01:00'", "text 0001-01-01 00:00:00+01:00"},
        {"timestamp", "'9999-12-31 23:59:59-01:00'", "text 9999-12-31 23:59:59-01:00"},
        {"timestamp", "'infinity'", "text infinity"},
        {"timestamp", "'now'", "text now"},
        {"timestamp", "1709164800", "int 1709164800"},
        {"decimal", "7", "numeric 7"},
        {"decimal", "-9223372036854775807 - 1", "numeric -9223372036854775808"},
        {"decimal", "0.1", "numeric 0.1"},
        {"decimal", "1e300", "numeric 1e+300"},
        {"decimal", "9e999", "float inf"},
        {"decimal", "'many'", "text many"},
        {"decimal", "''", "text "},
        {"decimal", "x'31'", "bytes 1"},
        {"decimal text", "'1.50'", "numeric 1.50"},
        {"decimal text", "'-123456789012345678901.50'", "numeric -123456789012345678901.50"},
        {"decimal text", "'.5'", "numeric .5"},
        {"decimal text", "'1E+5'", "numeric 1E+5"},
        {"decimal text", "'.'", "text ."},
        {"decimal text", "'1e'", "text 1e"},
        {"decimal text", "'1e123456789'", "text 1e123456789"},
        {"decimal text", "'1.5 '", "text 1.5 "},
        {"decimal text", "'0x10'", "text 0x10"},
        {"decimal text", "'NaN'", "text NaN"},
        {"json", "'{\"a\": [1.50]}'", "json {\"a\": [1.50]}"},
        {"json", "'1.50'", "json 1.5"},
        {"json", "7", "json 7"},
        {"json", "9e999", "float inf"},
        {"json", "'{a: 1}'", "text {a: 1}"},
        {"json", "x'7b7d'", "bytes {}"},
        {"json text", "'1.50'", "json 1.50"},
        {"uuid", "'A0EEBC99-9c0b-4ef8-bb6d-6bb9bd380a11'", "uuid a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
        {"uuid", "x'a0eebc999c0b4ef8bb6d6bb9bd380a11'", "uuid a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
        {"uuid", "x'a0'", "bytes \xa0"},
        {"uuid", "'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'", "text {a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}"},
        {"uuid", "7", "int 7"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_reads(rows[i].type, rows[i].literal, rows[i].wanted);
    must(&a, "create table one (c json)");
    must(&a, "insert into one values (cast(x'22ff22' as text))"); /* no UTF-8 */
    must(&a, "select c from one");
    weir_value value;
    ck_assert_int_eq(weir_result_value(a.request.result, 0, 0, &value), WEIR_EVALUE);
}
END_TEST

static void make_table(void) {
    must(&a, "create table t (id integer primary key, d date, n decimal, s text)");
    must(&a, "insert into t values (1, '2024-02-29', 1.5, 'x'), (2, 'soon', 'much', 'y')");
}

START_TEST(only_columns_have_declared_types) {
    static const char *const columns[] = {"select d, n from t where id = 1",
                                          "select x.d, n from t x where id = 1",
                                          "select * from (select d, n from t) limit 1", "select d, n from v",
                                          "update t set s = 'z' where id = 1 returning d, n"};
    make_table();
    must(&a, "create view v as select n, d from t where id = 1");
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++) {
        must(&a, columns[i]);
        ck_assert_str_eq(shown(0, 0), "date 2024-02-29");
        ck_assert_str_eq(shown(0, 1), "numeric 1.5");
    }
    must(&a, "select min(d), d || '', n + 0, cast(d as date), '2024-02-29', s from t where id = 1");
    static const char *const stored[] = {"text 2024-02-29", "text 2024-02-29", "float 1.5",
                                         "int 2024",        "text 2024-02-29", "text z"};
    for (size_t i = 0; i < 6; i++) ck_assert_str_eq(shown(0, i), stored[i]);
    must(&a, "select n, d from t order by id");
    ck_assert_str_eq(shown(1, 0), "text much");
    ck_assert_str_eq(shown(1, 1), "text soon");
    must(&a, "insert into t (id) values (3) returning id, d");
    ck_assert_str_eq(shown(0, 1), "null");
}
END_TEST

/* A cached statement is prepared anew by SQLite when the schema has changed. */
START_TEST(a_changed_schema_is_seen) {
    make_table();
    for (int i = 0; i < 3; i++) {
        must(&a, "select * from t where id = 1");
        ck_assert_str_eq(shown(0, 1), "date 2024-02-29");
        must(&a, "select s from t where id = 1");
        ck_assert_str_eq(shown(0, 0), "text x");
    }
    must(&a, "alter table t add column j json default '[1]'");
    must(&a, "select * from t where id = 1");
    ck_assert_uint_eq(weir_result_columns(a.request.result), 5);
    ck_assert_str_eq(shown(0, 4), "json [1]");
    must(&a, "drop table t");
    must(&a, "create table t (id uuid, d text, n text, s date)");
    must(&a, "insert into t values (1, '2024-02-29', '1.5', '2024-02-29')");
    must(&a, "select * from t where id = 1");
    ck_assert_str_eq(shown(0, 1), "text 2024-02-29");
    ck_assert_str_eq(shown(0, 3), "date 2024-02-29");
    must(&a, "select s from t where id = 1");
    ck_assert_str_eq(shown(0, 0), "date 2024-02-29");
}
END_TEST

/* Batches of a cursor are results of their own. */
START_TEST(streams_are_read_too) {
    must(&a, "create table t (d date)");
    must(&a, "insert into t values ('2024-01-01'), ('2024-01-02'), ('2024-01-03'), ('?')");
    must(&a, "begin");
    for (int batch = 0; batch < 2; batch++) {
        weir_error error = WEIR_ERROR_INIT;
        forget(&a);
        a.request.statement = weir_statement_new("select d from t order by rowid", 30, &error);
        a.request.cursor = 1;
        a.request.rows = 2;
        begin_request(&a);
        ck_assert_int_eq(end_request(&a), WEIR_OK);
        ck_assert_uint_eq(weir_result_rows(a.request.result), 2);
        ck_assert_str_eq(shown(0, 0), batch ? "date 2024-01-03" : "date 2024-01-01");
        ck_assert_str_eq(shown(1, 0), batch ? "text ?" : "date 2024-01-02");
    }
    must(&a, "rollback");
}
END_TEST

START_TEST(columns_are_stored_ones_by_default) {
    peer b;
    make_table();
    with_url("sqlite:///@/test.db");
    pool plain = open_pool();
    connect_peer(&plain, &b);
    ck_assert_str_eq(text(&b, "select d from t where id = 1"), "2024-02-29");
    close_peer(&b);
    close_pool(&plain);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sqlite_declared");
    TCase *tests = tcase_create("declared");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, open_declared, close_declared);
    tcase_add_test(tests, words_are_found);
    tcase_add_test(tests, values_are_read);
    tcase_add_test(tests, only_columns_have_declared_types);
    tcase_add_test(tests, a_changed_schema_is_seen);
    tcase_add_test(tests, streams_are_read_too);
    tcase_add_test(tests, columns_are_stored_ones_by_default);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}

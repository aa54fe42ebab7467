/* The PostgreSQL driver against a real server: values, results, statements, executemany, and their errors. */
#include <inttypes.h>
#include <locale.h>

#include "base/number.h"
#include "driver/postgres/value.h"
#include "pg_lone.h"

/* ---- values */

START_TEST(integers_round_trip) {
    static const struct {
        const char *sql;
        int64_t least, most;
    } types[] = {
        {"SELECT $1::smallint", INT16_MIN, INT16_MAX},
        {"SELECT $1::integer", INT32_MIN, INT32_MAX},
        {"SELECT $1::bigint", INT64_MIN, INT64_MAX},
        {"SELECT $1::oid", 0, UINT32_MAX},
    };
    for (size_t i = 0; i < 4; i++) {
        const int64_t numbers[] = {types[i].least, 0, 1, types[i].most};
        for (size_t j = 0; j < 4; j++) {
            weir_value n = int_value(numbers[j]);
            ck_assert_msg(run_values(p, types[i].sql, &n, NULL) == WEIR_OK, "%s", failure(p));
            ck_assert_int_eq(cell(p, 0, 0).type, WEIR_TYPE_INT);
            ck_assert_int_eq(cell(p, 0, 0).as.integer, numbers[j]);
        }
        weir_value none = null_value();
        ck_assert_int_eq(run_values(p, types[i].sql, &none, NULL), WEIR_OK);
        ck_assert_int_eq(cell(p, 0, 0).type, WEIR_TYPE_NULL);
        if (types[i].most == INT64_MAX) continue;
        weir_value high = int_value(types[i].most + 1), low = int_value(types[i].least - 1);
        FAILS(p, run_values(p, types[i].sql, &high, NULL), WEIR_EVALUE, "is out of range for");
        FAILS(p, run_values(p, types[i].sql, &low, NULL), WEIR_EVALUE, "parameter $1: -");
    }
}
END_TEST

START_TEST(floats_round_trip) {
    static const double numbers[] = {0.0, -0.0, 1.5, 0.1, 1e300, 5e-324, -1e-7, INFINITY, -INFINITY, NAN};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        weir_value n = real_value(numbers[i]);
        /* In binary form, and in text form, which the column of an unknown type brings about. */
        static const char *const queries[] = {"SELECT $1::float8", "SELECT $1::float8, point '(1,2)'"};
        for (size_t j = 0; j < 2; j++) {
            ck_assert_msg(run_values(p, queries[j], &n, NULL) == WEIR_OK, "%s", failure(p));
            weir_value back = cell(p, 0, 0);
            ck_assert_int_eq(back.type, WEIR_TYPE_FLOAT);
            ck_assert(isnan(numbers[i]) ? isnan(back.as.real) : back.as.real == numbers[i]);
        }
    }
    weir_value n = real_value(0.1), seven = int_value(7), big = real_value(1e39),
               price = numeric_value("12.50");
    ck_assert_int_eq(run_values(p, "SELECT $1::float4, $2::float4", &n, &seven), WEIR_OK);
    ck_assert_double_eq(cell(p, 0, 0).as.real, (double)0.1f);
    ck_assert_double_eq(cell(p, 0, 1).as.real, 7);
    FAILS(p, run_values(p, "SELECT $1::float4", &big, NULL), WEIR_EVALUE, "1e+39 is out of range for real");
    ck_assert_int_eq(run_values(p, "SELECT $1::float8", &price, NULL), WEIR_OK);
    ck_assert_double_eq(cell(p, 0, 0).as.real, 12.5);
}
END_TEST

START_TEST(numeric_round_trips) {
    static const char *const texts[] = {"0", "-12.50", "123456789012345678901234567890.000000001", "NaN",
                                        "Infinity"};
    for (size_t i = 0; i < 5; i++) {
        weir_value n = numeric_value(texts[i]);
        ck_assert_msg(run_values(p, "SELECT $1::numeric", &n, NULL) == WEIR_OK, "%s", failure(p));
        ck_assert_int_eq(cell(p, 0, 0).type, WEIR_TYPE_NUMERIC);
        ck_assert_str_eq(first_text(p), texts[i]);
    }
    weir_value n = int_value(-5), r = real_value(0.1), text = text_value("1.5");
    ck_assert_int_eq(run_values(p, "SELECT $1::numeric + $2::numeric", &n, &r), WEIR_OK);
    ck_assert_str_eq(first_text(p), "-4.9");
    FAILS(p, run_values(p, "SELECT $1::numeric", &text, NULL), WEIR_EVALUE,
          "numeric takes numeric, int or float, not text");
}
END_TEST

START_TEST(texts_round_trip) {
    static const char *const queries[] = {
        "SELECT $1::text",
        "SELECT $1::varchar",
        "SELECT $1::name::text",
        "SELECT $1",
        "SELECT $1::text, point '(1,2)'",
    };
    static const char *const texts[] = {"", "plain", "grüße \xf0\x9f\x90\x98", "it's \\ \"quoted\""};
    for (size_t i = 0; i < 5; i++)
        for (size_t j = 0; j < 4; j++) {
            weir_value value = text_value(texts[j]);
            ck_assert_msg(run_values(p, queries[i], &value, NULL) == WEIR_OK, "%s", failure(p));
            ck_assert_int_eq(cell(p, 0, 0).type, WEIR_TYPE_TEXT);
            ck_assert_str_eq(first_text(p), texts[j]);
        }
    weir_value nul = bytes_value(WEIR_TYPE_TEXT, "a\0b", 3), invalid = text_value("\xff"), n = int_value(1);
    FAILS(p, run_values(p, "SELECT $1::text", &nul, NULL), WEIR_EVALUE, "NUL");
    FAILS(p, run_values(p, "SELECT $1::text", &invalid, NULL), WEIR_ESERVER, "invalid byte sequence");
    ck_assert_str_eq(p->request.error->sqlstate, "22021");
    FAILS(p, run_values(p, "SELECT $1::text", &n, NULL), WEIR_EVALUE,
          "parameter $1: text takes text, not int");
    weir_value c = text_value("c");
    ck_assert_int_eq(run_values(p, "SELECT $1::\"char\", $2::char(3)", &c, &c), WEIR_OK);
    ck_assert_str_eq(first_text(p), "c");
    ck_assert_uint_eq(cell(p, 0, 1).as.bytes.length, 3);
}
END_TEST

/* A "char" is any byte, and in binary form the server does not look at it. */
START_TEST(texts_are_utf8) {
    weir_value value;
    RUN(p, "SELECT 65::int::\"char\", (-1)::int::\"char\", repeat('a', 15) || 'ü', ''");
    static const int codes[] = {WEIR_OK, WEIR_EVALUE, WEIR_OK, WEIR_OK};
    for (size_t column = 0; column < 4; column++)
        ck_assert_int_eq(weir_result_value(p->request.result, 0, column, &value), codes[column]);
}
END_TEST

/* Such a database holds whatever was put in. */
START_TEST(texts_of_an_ascii_database) {
    free(pg_server_query("CREATE DATABASE bytes OWNER weir ENCODING 'SQL_ASCII' TEMPLATE template0 "
                         "LC_COLLATE 'C' LC_CTYPE 'C'"));
    with_url("postgresql://weir@/bytes?host=%s&port=%d", pg_server_start()->directory,
             pg_server_start()->port);
    lone other;
    open_lone(&other);
    EXPECT(&other.peer, "SELECT convert_from('\\x6162c3bc', 'SQL_ASCII')", "abü");
    FAILS(&other.peer, run(&other.peer, "SELECT convert_from('\\xff', 'SQL_ASCII')"), WEIR_ESERVER,
          "invalid byte sequence");
    close_lone(&other);
    free(pg_server_query("DROP DATABASE bytes WITH (FORCE)"));
}
END_TEST

START_TEST(json_round_trips) {
    weir_value json = text_value("{\"a\": [1, null]}");
    static const char *const queries[] = {"SELECT $1::json", "SELECT $1::jsonb",
                                          "SELECT $1::jsonb, point '(1,2)'"};
    for (size_t i = 0; i < 3; i++) {
        ck_assert_msg(run_values(p, queries[i], &json, NULL) == WEIR_OK, "%s", failure(p));
        ck_assert_int_eq(cell(p, 0, 0).type, WEIR_TYPE_JSON);
        ck_assert_str_eq(first_text(p), "{\"a\": [1, null]}");
    }
}
END_TEST

START_TEST(bytes_round_trip) {
    char all[256];
    for (int i = 0; i < 256; i++) all[i] = (char)i;
    weir_value value = bytes_value(WEIR_TYPE_BYTES, all, 256), empty = bytes_value(WEIR_TYPE_BYTES, "", 0);
    static const char *const queries[] = {"SELECT $1::bytea, $2::bytea",
                                          "SELECT $1::bytea, $2::bytea, point '(1,2)'"};
    for (int escape = 0; escape < 2; escape++) {
        for (size_t i = 0; i < 2; i++) {
            ck_assert_msg(run_values(p, queries[i], &value, &empty) == WEIR_OK, "%s", failure(p));
            for (int again = 0; again < 2; again++) {
                weir_value back = cell(p, 0, 0);
                ck_assert_int_eq(back.type, WEIR_TYPE_BYTES);
                ck_assert_uint_eq(back.as.bytes.length, 256);
                ck_assert_mem_eq(back.as.bytes.data, all, 256);
                ck_assert_uint_eq(cell(p, 0, 1).as.bytes.length, 0);
            }
        }
        RUN(p, "SET bytea_output = escape");
    }
    weir_value text = text_value("x");
    FAILS(p, run_values(p, "SELECT $1::bytea", &text, NULL), WEIR_EVALUE, "bytea takes bytes, not text");
    /* A domain is no type that the driver knows: as text. */
    RUN(p, "CREATE DOMAIN blob AS bytea");
    ck_assert_msg(run_values(p, "SELECT $1::blob", &value, NULL) == WEIR_OK, "%s", failure(p));
    ck_assert_mem_eq(cell(p, 0, 0).as.bytes.data, all, 256);
    RUN(p, "DROP DOMAIN blob");
}
END_TEST

START_TEST(booleans_round_trip) {
    for (int b = 0; b < 2; b++) {
        weir_value value = bool_value(b);
        ck_assert_int_eq(run_values(p, "SELECT $1::bool", &value, NULL), WEIR_OK);
        ck_assert_int_eq(cell(p, 0, 0).type, WEIR_TYPE_BOOL);
        ck_assert_int_eq(cell(p, 0, 0).as.boolean, b);
        ck_assert_int_eq(run_values(p, "SELECT $1::bool, point '(1,2)'", &value, NULL), WEIR_OK);
        ck_assert_int_eq(cell(p, 0, 0).as.boolean, b);
        FAILS(p, run_values(p, "SELECT $1::int", &value, NULL), WEIR_EVALUE, "integer takes int, not bool");
    }
    weir_value n = int_value(1), whole = real_value(3);
    FAILS(p, run_values(p, "SELECT $1::bool", &n, NULL), WEIR_EVALUE, "boolean takes bool, not int");
    FAILS(p, run_values(p, "SELECT $1::int", &whole, NULL), WEIR_EVALUE, "even when it is a whole number");
}
END_TEST

START_TEST(other_types_are_text) {
    weir_value point = text_value("(1,2)"), line = text_value("{1,2,3}");
    ck_assert_int_eq(run_values(p, "SELECT $1::point, $2::line", &point, &line), WEIR_OK);
    ck_assert_str_eq(first_text(p), "(1,2)");
    ck_assert_mem_eq(cell(p, 0, 1).as.bytes.data, "{1,2,3}", 7);
    weir_value array = text_value("{1,2,3}"), n = int_value(3);
    ck_assert_int_eq(run_values(p, "SELECT $1::int[] @> ARRAY[$2::int]", &array, &n), WEIR_OK);
    ck_assert_str_eq(first_text(p), "true");
    ck_assert_int_eq(run_values(p, "SELECT $1::money, $2::xid", &n, &n), WEIR_OK);
    EXPECT(p, "SELECT NULL::date", "NULL");
    EXPECT(p, "SELECT pg_sleep(0)", "NULL");
    RUN(p,
        "SELECT -7::int2, -8::int4, -9::int8, 4294967295::oid, 1.5::float4, 'x'::name, true, point '(1,2)'");
    ck_assert_int_eq(cell(p, 0, 0).as.integer, -7);
    ck_assert_int_eq(cell(p, 0, 1).as.integer, -8);
    ck_assert_int_eq(cell(p, 0, 2).as.integer, -9);
    ck_assert_int_eq(cell(p, 0, 3).as.integer, 4294967295);
    ck_assert_double_eq(cell(p, 0, 4).as.real, 1.5);
    ck_assert_int_eq(cell(p, 0, 6).type, WEIR_TYPE_BOOL);
    ck_assert_int_eq(cell(p, 0, 7).type, WEIR_TYPE_TEXT);
}
END_TEST

START_TEST(malformed_values_are_refused) {
    static const struct {
        Oid type;
        int format;
        const char *data;
        size_t length;
    } cells[] = {
        {WEIR__OID_BOOL, 1, "", 0},      {WEIR__OID_INT2, 1, "abc", 3},
        {WEIR__OID_INT4, 1, "abc", 3},   {WEIR__OID_INT8, 1, "abcd", 4},
        {WEIR__OID_OID, 1, "", 0},       {WEIR__OID_FLOAT4, 1, "abcde", 5},
        {WEIR__OID_FLOAT8, 1, "", 0},    {WEIR__OID_JSONB, 1, "", 0},
        {WEIR__OID_JSONB, 1, "\2{}", 3}, {WEIR__OID_NUMERIC, 1, "ab", 2},
        {WEIR__OID_BOOL, 0, "yes", 3},   {WEIR__OID_INT2, 0, "32768", 5},
        {WEIR__OID_INT4, 0, "", 0},      {WEIR__OID_INT8, 0, "9223372036854775808", 19},
        {WEIR__OID_OID, 0, "-1", 2},     {WEIR__OID_FLOAT8, 0, "", 0},
        {WEIR__OID_FLOAT8, 0, "1x", 2},  {WEIR__OID_FLOAT8, 0, "0x1", 3},
        {WEIR__OID_INT4, 0, "1-2", 3},
    };
    weir_value out;
    weir__arena arena = {0};
    for (size_t i = 0; i < sizeof cells / sizeof cells[0]; i++)
        ck_assert_int_eq(weir__pg_decode(&(weir__pgin){.arena = &arena}, cells[i].type, cells[i].format,
                                         cells[i].data, cells[i].length, &out),
                         WEIR_EVALUE);
    weir__arena_free(&arena);
    char room[16];
    static const char *const bad[] = {"\\x1", "\\xgg", "\\", "\\9", "a\\12", "\\400"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_int_eq(weir__pg_unescape(bad[i], strlen(bad[i]), room), -1);
    ck_assert_int_eq(weir__pg_unescape("a\\\\\\001", 7, room), 3);
    ck_assert_mem_eq(room, "a\\\1", 3);
}
END_TEST

START_TEST(locale_does_not_matter) {
    char text[40];
    double back;
    const char *const commas[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "C"};
    for (size_t i = 0; i < 4 && !setlocale(LC_ALL, commas[i]); i++) {
    }
    weir__print_double(1.5, text);
    ck_assert_str_eq(text, "1.5");
    ck_assert(weir__scan_double("1.5", &back) && back == 1.5);
    setlocale(LC_ALL, "C");
}
END_TEST

/* ---- results */

START_TEST(results_tell_their_columns) {
    RUN(p, "SELECT 1 AS one, 'two' AS \"Zwei\" UNION ALL SELECT 2, 'x'");
    weir_result *result = p->request.result;
    ck_assert_uint_eq(weir_result_rows(result), 2);
    ck_assert_uint_eq(weir_result_columns(result), 2);
    ck_assert_str_eq(weir_result_name(result, 1), "Zwei");
    ck_assert_str_eq(weir_result_tag(result), "SELECT 2");
    ck_assert_int_eq(weir_result_affected(result), 2);
    RUN(p, "CREATE TABLE t (n int PRIMARY KEY)");
    ck_assert_str_eq(weir_result_tag(p->request.result), "CREATE TABLE");
    ck_assert_int_eq(weir_result_affected(p->request.result), -1);
    RUN(p, "INSERT INTO t SELECT generate_series(1, 5)");
    ck_assert_str_eq(weir_result_tag(p->request.result), "INSERT 0 5");
    ck_assert_int_eq(weir_result_affected(p->request.result), 5);
    RUN(p, "DELETE FROM t WHERE n > 3 RETURNING n");
    ck_assert_uint_eq(weir_result_rows(p->request.result), 2);
    ck_assert_int_eq(weir_result_affected(p->request.result), 2);
    RUN(p, "-- nothing but a comment");
    ck_assert_uint_eq(weir_result_rows(p->request.result), 0);
    ck_assert_str_eq(weir_result_tag(p->request.result), "");
    RUN(p, "SELECT");
    ck_assert_uint_eq(weir_result_columns(p->request.result), 0);
    ck_assert_uint_eq(weir_result_rows(p->request.result), 1);
    RUN(p, "DROP TABLE t");
}
END_TEST

START_TEST(large_results) {
    RUN(p, "SELECT n, repeat('x', 1000) FROM generate_series(1, 20000) n");
    ck_assert_uint_eq(weir_result_rows(p->request.result), 20000);
    ck_assert_int_eq(cell(p, 19999, 0).as.integer, 20000);
    ck_assert_uint_eq(cell(p, 19999, 1).as.bytes.length, 1000);
}
END_TEST

START_TEST(large_parameters) {
    size_t size = 8 << 20;
    char *data = malloc(size);
    ck_assert_ptr_nonnull(data);
    memset(data, 'y', size);
    weir_value text = bytes_value(WEIR_TYPE_TEXT, data, size),
               bytes = bytes_value(WEIR_TYPE_BYTES, data, size);
    ck_assert_int_eq(run_values(p, "SELECT $1::text, $2::bytea", &text, &bytes), WEIR_OK);
    ck_assert_uint_eq(cell(p, 0, 0).as.bytes.length, size);
    ck_assert_mem_eq(cell(p, 0, 1).as.bytes.data, data, size);
    free(data);
    /* A statement too long to be kept prepared. */
    char *sql = malloc(100000);
    ck_assert_ptr_nonnull(sql);
    snprintf(sql, 100000, "SELECT $1::int + 1 /*%*s*/", 50000, "");
    weir_value n = int_value(41);
    for (int i = 0; i < 2; i++) {
        ck_assert_msg(run_values(p, sql, &n, NULL) == WEIR_OK, "%s", failure(p));
        ck_assert_str_eq(first_text(p), "42");
    }
    free(sql);
    EXPECT(p, "SELECT count(*)::int FROM pg_prepared_statements WHERE length(statement) > 20000", "0");
}
END_TEST

/* A statement that is too long for a name, and of which something must be asked before it is run. */
START_TEST(long_texts_of_own_types) {
    char *sql = malloc(30000);
    ck_assert_ptr_nonnull(sql);
    RUN(p, "CREATE TYPE mood AS ENUM ('{1}', 'well')");
    RUN(p, "CREATE TABLE felt (who text, how mood)");
    snprintf(sql, 30000, "INSERT INTO felt VALUES ($1, $2) /*%*s*/", 20000, "");
    weir_value who = text_value("{7}"), how = text_value("{1}");
    ck_assert_msg(run_values(p, sql, &who, &how) == WEIR_OK, "%s", failure(p));
    ck_assert_str_eq(weir_result_tag(p->request.result), "INSERT 0 1");
    EXPECT(p, "SELECT count(*)::int FROM felt WHERE who = '{7}' AND how = '{1}'", "1");
    /* Likewise where its transaction is made read only first. */
    snprintf(sql, 30000, "SELECT $1::text /*%*s*/", 20000, "");
    RUN(p, "BEGIN");
    weir_statement *statement = statement_of(sql);
    weir_statement_add(statement, &who);
    weir__request wish = {.statement = statement, .timeout_ms = -1, .readonly = true};
    ck_assert_msg(run_request(p, &wish) == WEIR_OK, "%s", failure(p));
    ck_assert_str_eq(first_text(p), "{7}");
    weir_statement_unref(statement);
    RUN(p, "ROLLBACK");
    RUN(p, "DROP TABLE felt");
    RUN(p, "DROP TYPE mood");
    free(sql);
}
END_TEST

/* ---- errors */

START_TEST(errors_carry_all_fields) {
    RUN(p, "CREATE TABLE t (n int CONSTRAINT positive CHECK (n > 0) PRIMARY KEY)");
    FAILS(p, run(p, "INSERT INTO t VALUES (-1)"), WEIR_ESERVER, "violates check constraint");
    const weir_error *error = p->request.error;
    ck_assert_str_eq(error->sqlstate, "23514");
    ck_assert_str_eq(error->severity, "ERROR");
    ck_assert_str_eq(error->table, "t");
    ck_assert_str_eq(error->schema, "public");
    ck_assert_str_eq(error->constraint, "positive");
    ck_assert_ptr_nonnull(error->detail);
    FAILS(p, run(p, "SELECT nonsense FROM t"), WEIR_ESERVER, "\"nonsense\" does not exist");
    ck_assert_str_eq(p->request.error->sqlstate, "42703");
    ck_assert_int_eq(p->request.error->position, 8);
    FAILS(p, run(p, "SELEC"), WEIR_ESERVER, "syntax error");
    FAILS(p, run(p, "SELECT 1; SELECT 2"), WEIR_ESERVER, "multiple commands");
    FAILS(p, run(p, "SELECT 1/0"), WEIR_ESERVER, "division by zero");
    ck_assert_int_eq(p->conn->tx, WEIR__TX_NONE);
    weir_value n = int_value(1);
    FAILS(p, run_values(p, "SELECT $1::int", NULL, NULL), WEIR_EINVAL, "takes 1 parameter, and was given 0");
    FAILS(p, run_values(p, "SELECT $1::int", &n, &n), WEIR_EINVAL, "takes 1 parameter, and was given 2");
    RUN(p, "SET lock_timeout = 50");
    RUN(p, "DROP TABLE t");
    EXPECT(p, "SELECT 1", "1");
}
END_TEST

START_TEST(lock_timeout_has_its_own_code) {
    free(pg_server_query("CREATE TABLE locked (n int); GRANT ALL ON locked TO weir"));
    pool other = open_pool();
    peer holder;
    connect_peer(&other, &holder);
    static const char *const begin[] = {"BEGIN"};
    weir_statement *lock = statement_of("LOCK TABLE locked");
    weir__request wish = {.statement = lock, .before = begin, .before_count = 1, .timeout_ms = -1};
    ck_assert_int_eq(run_request(&holder, &wish), WEIR_OK);
    weir_statement_unref(lock);
    RUN(p, "SET lock_timeout = 30");
    FAILS(p, run(p, "SELECT * FROM locked"), WEIR_ELOCKTIMEOUT, "lock timeout");
    ck_assert_str_eq(p->request.error->sqlstate, "55P03");
    stop_peer(&holder);
    close_pool(&other);
    int64_t deadline = weir__now(&weir__monotonic) + PATIENCE;
    while (pg_server_number("SELECT count(*) FROM pg_locks WHERE relation = 'locked'::regclass"))
        ck_assert(weir__now(&weir__monotonic) < deadline);
    free(pg_server_query("DROP TABLE locked"));
}
END_TEST

START_TEST(copy_is_refused) {
    RUN(p, "CREATE TABLE t (n int)");
    FAILS(p, run(p, "COPY t FROM STDIN"), WEIR_ENOTSUP, "copy_in or copy_out");
    FAILS(p, run(p, " /* c */ copy (SELECT 1) to stdout"), WEIR_ENOTSUP, "COPY");
    FAILS(p, run(p, "COPY t FROM '/nonexistent/file'"), WEIR_ESERVER, "COPY from a file");
    RUN(p, "DROP TABLE t");
}
END_TEST

/* ---- executemany */

static int run_many(peer *q, const char *sql, int sets, int bad_set, size_t size) {
    weir_statement *statement = statement_of(sql);
    char *text = malloc(size + 1);
    memset(text, 'z', size + 1);
    for (int i = 0; i < sets; i++) {
        weir_value n = int_value(i), t = bytes_value(WEIR_TYPE_TEXT, text, size), wrong = text_value("wrong");
        if (i) weir_statement_add_set(statement);
        weir_statement_add(statement, i == bad_set ? &wrong : &n);
        weir_statement_add(statement, &t);
    }
    free(text);
    if (sets == 0) weir_statement_no_sets(statement);
    return run_statement(q, statement);
}

START_TEST(executemany) {
    RUN(p, "CREATE TABLE many (n int PRIMARY KEY, t text)");
    for (int i = 0; i < 2; i++) {
        ck_assert_msg(run_many(p, "INSERT INTO many VALUES ($1, $2)", 20000, -1, 100) == WEIR_OK, "%s",
                      failure(p));
        ck_assert_int_eq(weir_result_affected(p->request.result), 20000);
        ck_assert_str_eq(weir_result_tag(p->request.result), "INSERT 0 1");
        EXPECT(p, "SELECT count(*) FROM many", "20000");
        RUN(p, "TRUNCATE many");
    }
    /* Results as large as what is sent: neither side may wait for the other. */
    ck_assert_int_eq(run_many(p, "INSERT INTO many VALUES ($1, $2) RETURNING t || t || t", 20000, -1, 300),
                     WEIR_OK);
    ck_assert_uint_eq(weir_result_rows(p->request.result), 0);
    ck_assert_int_eq(weir_result_affected(p->request.result), 20000);
    ck_assert_int_eq(run_many(p, "INSERT INTO many VALUES ($1, $2)", 0, -1, 1), WEIR_OK);
    ck_assert_int_eq(weir_result_affected(p->request.result), 0);
    ck_assert_int_eq(run_many(p, "UPDATE many SET t = $2 WHERE n = $1", 1, -1, 1), WEIR_OK);
    RUN(p, "DROP TABLE many");
}
END_TEST

START_TEST(executemany_is_all_or_nothing) {
    RUN(p, "CREATE TABLE many (n int PRIMARY KEY CHECK (n <> 15000), t text)");
    /* The server refuses a set … */
    FAILS(p, run_many(p, "INSERT INTO many VALUES ($1, $2)", 20000, -1, 100), WEIR_ESERVER,
          "check constraint");
    EXPECT(p, "SELECT count(*) FROM many", "0");
    /* … or the driver does, when thousands of others have been sent. */
    FAILS(p, run_many(p, "INSERT INTO many VALUES ($1, $2)", 14000, 13000, 100), WEIR_EVALUE,
          "$1 of set 13001");
    ck_assert_int_eq(p->conn->tx, WEIR__TX_NONE);
    EXPECT(p, "SELECT count(*) FROM many", "0");
    FAILS(p, run_many(p, "INSERT INTO many VALUES ($1, $2)", 3, 0, 1), WEIR_EVALUE, "$1 of set 1:");
    ck_assert_int_eq(run_many(p, "INSERT INTO many VALUES ($1, $2)", 3, -1, 1), WEIR_OK);
    RUN(p, "DROP TABLE many");
}
END_TEST

/* ---- transactions */

static int transact(peer *q, const char *before, const char *sql, const char *command) {
    const char *const list[] = {before};
    weir_statement *statement = sql ? statement_of(sql) : NULL;
    weir__request wish = {.statement = statement,
                          .command = command,
                          .before = list,
                          .before_count = before ? 1 : 0,
                          .timeout_ms = 30000};
    int code = run_request(q, &wish);
    weir_statement_unref(statement);
    return code;
}

START_TEST(transactions) {
    RUN(p, "CREATE TABLE t (n int)");
    ck_assert_int_eq(transact(p, "BEGIN", "INSERT INTO t VALUES (1)", NULL), WEIR_OK);
    ck_assert_int_eq(p->conn->tx, WEIR__TX_OPEN);
    ck_assert_int_eq(transact(p, "SAVEPOINT s", "SELECT 1/0", NULL), WEIR_ESERVER);
    ck_assert_int_eq(p->conn->tx, WEIR__TX_FAILED);
    ck_assert_int_eq(transact(p, NULL, NULL, "ROLLBACK TO s"), WEIR_OK);
    ck_assert_ptr_null(p->request.result);
    ck_assert_int_eq(p->conn->tx, WEIR__TX_OPEN);
    ck_assert_int_eq(transact(p, NULL, "INSERT INTO t VALUES (2)", "COMMIT"), WEIR_OK);
    ck_assert_int_eq(weir_result_affected(p->request.result), 1);
    ck_assert_int_eq(p->conn->tx, WEIR__TX_NONE);
    EXPECT(p, "SELECT sum(n) FROM t", "3");
    /* BEGIN, a statement and COMMIT in one trip. */
    ck_assert_int_eq(transact(p, "BEGIN", "INSERT INTO t VALUES (4)", "COMMIT"), WEIR_OK);
    ck_assert_int_eq(transact(p, "BEGIN", "INSERT INTO t VALUES (1/0)", "COMMIT"), WEIR_ESERVER);
    ck_assert_int_eq(p->conn->tx, WEIR__TX_FAILED);
    ck_assert(!p->request.rolled_back);
    ck_assert(reset(p));
    EXPECT(p, "SELECT sum(n) FROM t", "7");
    RUN(p, "DROP TABLE t");
}
END_TEST

START_TEST(commit_of_a_failed_transaction) {
    ck_assert_int_eq(transact(p, "BEGIN", "SELECT 1/0", NULL), WEIR_ESERVER);
    ck_assert_int_eq(transact(p, NULL, NULL, "COMMIT"), WEIR_EROLLEDBACK);
    ck_assert(p->request.rolled_back);
    ck_assert(p->request.error->retryable);
    ck_assert_int_eq(p->conn->tx, WEIR__TX_NONE);
    EXPECT(p, "SELECT 1", "1");
    ck_assert(!p->request.rolled_back);
}
END_TEST

START_TEST(a_failed_before_is_the_requests_error) {
    FAILS(p, transact(p, "SAVEPOINT nowhere", "SELECT 1", NULL), WEIR_ESERVER, "SAVEPOINT");
    ck_assert_str_eq(p->request.error->sqlstate, "25P01");
    FAILS(p, transact(p, "SAVEPOINT nowhere", "SELECT 2", "COMMIT"), WEIR_ESERVER, "SAVEPOINT");
    ck_assert_int_eq(p->conn->tx, WEIR__TX_NONE);
    /* The statement was not prepared on the way, and is now. */
    EXPECT(p, "SELECT 1", "1");
    EXPECT(p, "SELECT 1", "1");
}
END_TEST

START_TEST(a_bad_value_begins_nothing) {
    weir_value n = int_value(1), wrong = text_value("x");
    ck_assert_int_eq(run_values(p, "SELECT $1::int", &n, NULL), WEIR_OK);
    static const char *const begin[] = {"BEGIN"};
    weir_statement *statement = statement_of("SELECT $1::int");
    weir_statement_add(statement, &wrong);
    weir__request wish = {.statement = statement, .before = begin, .before_count = 1, .timeout_ms = 1000};
    FAILS(p, run_request(p, &wish), WEIR_EVALUE, "integer takes int");
    ck_assert_int_eq(p->conn->tx, WEIR__TX_NONE);
    weir_statement_unref(statement);
}
END_TEST

START_TEST(what_was_begun_is_told) {
    static const char *const list[] = {"BEGIN", "SAVEPOINT one", "SAVEPOINT one two", "SAVEPOINT three"};
    weir_value n = int_value(1), wrong = int_value((int64_t)1 << 40), text = text_value("x");
    weir_statement *good = statement_of("SELECT $1::int"), *bad = statement_of("SELECT $1::int"),
                   *fails = statement_of("SELECT 1/0"), *unknown = statement_of("SELECT $1::int + 0");
    weir_statement_add(good, &n);
    weir_statement_add(bad, &wrong);
    weir_statement_add(unknown, &text);
    weir__request wish = {.statement = good, .before = list, .before_count = 2, .timeout_ms = 1000};
    wish.begun = 99; /* the driver sets it */
    ck_assert_int_eq(run_request(p, &wish), WEIR_OK);
    ck_assert_uint_eq(p->request.begun, 2);
    ck_assert(reset(p));
    wish.before_count = 4; /* the third is a syntax error */
    FAILS(p, run_request(p, &wish), WEIR_ESERVER, "syntax error");
    ck_assert_uint_eq(p->request.begun, 2);
    ck_assert_int_eq(p->conn->tx, WEIR__TX_FAILED);
    ck_assert(reset(p));
    /* Nothing was sent … */
    wish = (weir__request){.statement = bad, .before = list, .before_count = 2, .timeout_ms = 1000};
    FAILS(p, run_request(p, &wish), WEIR_EVALUE, "");
    ck_assert_uint_eq(p->request.begun, 0);
    ck_assert_int_eq(p->conn->tx, WEIR__TX_NONE);
    /* … and here the types had to be asked for first. */
    wish.statement = unknown;
    FAILS(p, run_request(p, &wish), WEIR_EVALUE, "");
    ck_assert_uint_eq(p->request.begun, p->conn->tx == WEIR__TX_NONE ? 0 : 2);
    reset(p);
    wish.statement = fails;
    FAILS(p, run_request(p, &wish), WEIR_ESERVER, "division");
    ck_assert_uint_eq(p->request.begun, 2);
    ck_assert(reset(p));
    /* A second try counts anew. */
    wish.statement = good;
    RUN(p, "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$");
    ck_assert_int_eq(run_request(p, &wish), WEIR_OK);
    ck_assert_uint_eq(p->request.begun, 2);
    ck_assert(reset(p));
    weir_statement_unref(good);
    weir_statement_unref(bad);
    weir_statement_unref(fails);
    weir_statement_unref(unknown);
}
END_TEST

/* A connection that has never prepared the statement believes the pool, which asked for binary rows. */
START_TEST(columns_that_change_their_type) {
    peer q;
    RUN(p, "CREATE TABLE t (c int, s varchar)");
    RUN(p, "CREATE FUNCTION same(anyelement) RETURNS anyelement LANGUAGE sql AS 'SELECT $1'");
    RUN(p, "INSERT INTO t VALUES (42, '2020-01-01')");
    EXPECT(p, "SELECT c FROM t", "42");
    EXPECT(p, "SELECT s FROM t", "2020-01-01");
    EXPECT(p, "SELECT same(c) FROM t", "42");
    EXPECT(p, "SELECT same(c) AS a FROM t", "42");
    EXPECT(p, "SELECT same(c) AS b FROM t", "42");
    EXPECT(p, "SELECT length(s) FROM t", "10");
    RUN(p, "ALTER TABLE t ALTER c TYPE point USING point(c, c)"); /* which has only a text form */
    RUN(p, "ALTER TABLE t ALTER s TYPE timestamptz USING s::timestamptz");
    connect_peer(&l.pool, &q);
    RUN(&q, "SET timezone = 'UTC'");
    ck_assert(reset(&q));
    /* It has only read: it is run again, unseen. */
    EXPECT(&q, "SELECT c FROM t", "(42,42)");
    EXPECT(&q, "SELECT c FROM t", "(42,42)");
    RUN(&q, "SELECT s FROM t");
    ck_assert_ptr_eq(strstr(first_text(&q), "2020-01-01 00:00:00"), first_text(&q));
    /* A function may have done anything: told once. */
    FAILS(&q, run(&q, "SELECT same(c) FROM t"), WEIR_EVALUE, "a table has changed");
    ck_assert_int_eq(q.conn->tx, WEIR__TX_NONE);
    EXPECT(&q, "SELECT same(c) FROM t", "(42,42)");
    EXPECT(p, "SELECT same(c) FROM t", "(42,42)");
    /* Unless it can be undone: it is the first of a transaction … */
    ck_assert_int_eq(transact(&q, "BEGIN", "SELECT same(c) AS a FROM t", NULL), WEIR_OK);
    ck_assert_str_eq(first_text(&q), "(42,42)");
    ck_assert_uint_eq(q.request.begun, 1);
    ck_assert_int_eq(q.conn->tx, WEIR__TX_OPEN);
    /* … and in the midst of one it is told once. */
    FAILS(&q, run(&q, "SELECT same(c) AS b FROM t"), WEIR_EVALUE, "the next call will work");
    ck_assert_int_eq(q.conn->tx, WEIR__TX_OPEN);
    EXPECT(&q, "SELECT same(c) AS b FROM t", "(42,42)");
    ck_assert(reset(&q));
    stop_peer(&q);
    RUN(p, "DROP FUNCTION same");
    RUN(p, "DROP TABLE t");
}
END_TEST

START_TEST(deferred_constraints_fail_at_the_sync) {
    RUN(p, "CREATE TABLE a (n int PRIMARY KEY)");
    RUN(p, "CREATE TABLE b (n int REFERENCES a DEFERRABLE INITIALLY DEFERRED)");
    for (int i = 0; i < 3; i++) {
        FAILS(p, run(p, "INSERT INTO b VALUES (1)"), WEIR_ESERVER, "foreign key");
        ck_assert_int_eq(p->conn->tx, WEIR__TX_NONE);
        FAILS(p, transact(p, "BEGIN", "INSERT INTO b VALUES (1)", "COMMIT"), WEIR_ESERVER, "foreign key");
        ck_assert_int_eq(p->conn->tx, WEIR__TX_NONE);
        EXPECT(p, "SELECT count(*) FROM b", "0");
    }
    RUN(p, "DROP TABLE b, a");
}
END_TEST

START_TEST(commands_that_stand_no_others) {
    RUN(p, "CREATE TABLE t (n int)");
    /* Makes a change of statement_timeout travel with each of them. */
    static const char *const list[] = {"VACUUM t", "CREATE INDEX CONCURRENTLY i ON t (n)",
                                       "REINDEX TABLE CONCURRENTLY t"};
    for (size_t i = 0; i < 3; i++)
        for (int again = 0; again < (i == 1 ? 1 : 2); again++) {
            weir_statement *statement = statement_of(list[i]);
            weir__request wish = {.statement = statement, .timeout_ms = 60000 + 1000 * ((int)i * 2 + again)};
            ck_assert_msg(run_request(p, &wish) == WEIR_OK, "%s: %s", list[i], failure(p));
            weir_statement_unref(statement);
        }
    FAILS(p, transact(p, "BEGIN", "VACUUM t", NULL), WEIR_ESERVER,
          "VACUUM cannot run inside a transaction block");
    ck_assert(reset(p));
    RUN(p, "DROP TABLE t");
}
END_TEST

/* ---- memory */

/* One round of all that a connection does; false: an allocation failed, and was reported as such. */
static bool live_a_life(peer *q) {
    static const char *const queries[] = {"SELECT $1::int, $2::text", "SELECT $1::numeric, $2::bytea"};
    weir_value n = int_value(5), bytes = bytes_value(WEIR_TYPE_BYTES, "abc", 3), text = text_value("abc"),
               out;
    for (int i = 0; i < 4; i++) {
        weir_statement *statement = weir_statement_new(queries[i % 2], strlen(queries[i % 2]), NULL);
        if (!statement) return false;
        weir_statement_add(statement, &n);
        weir_statement_add(statement, i % 2 ? &bytes : &text);
        weir__request wish = {.statement = statement, .timeout_ms = 30000};
        int code = run_request(q, &wish);
        weir_statement_unref(statement);
        ck_assert(code == WEIR_OK || code == WEIR_ENOMEM);
        if (code != WEIR_OK || weir_result_value(q->request.result, 0, 1, &out) != WEIR_OK) return false;
    }
    weir_statement *wrong = weir_statement_new("SELECT 1/0", 10, NULL);
    if (!wrong) return false;
    weir__request wish = {.statement = wrong, .timeout_ms = 30000};
    int code = run_request(q, &wish);
    weir_statement_unref(wrong);
    ck_assert(code == WEIR_ESERVER || code == WEIR_ENOMEM);
    return code == WEIR_ESERVER && !reset(q);
}

START_TEST(memory_runs_out) {
    bool succeeded = false;
    for (long k = 1; !succeeded; k++) {
        long before = weir__alloc_live();
        lone other;
        open_lone(&other);
        weir__alloc_fail_at(k, false);
        bool lived = live_a_life(&other.peer);
        succeeded = lived && weir__alloc_count() < k;
        weir__alloc_fail_at(0, false);
        ck_assert(!other.peer.lost);
        EXPECT(&other.peer, "SELECT 'fine'", "fine");
        close_lone(&other);
        ck_assert_msg(weir__alloc_live() == before, "allocation %ld: %ld blocks are left", k,
                      weir__alloc_live() - before);
    }
}
END_TEST

START_TEST(unnamed_statements) {
    with_socket("");
    options.statement_cache_size = 0;
    lone plain;
    open_lone(&plain);
    peer *q = &plain.peer;
    weir_value n = int_value(41), bytes = bytes_value(WEIR_TYPE_BYTES, "\0\1", 2), text = text_value("x");
    weir_value real = real_value(0.1), yes = bool_value(true), price = numeric_value("1.50"),
               none = null_value();
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(run_values(q, "SELECT $1::int + 1, $2::bytea", &n, &bytes), WEIR_OK);
        ck_assert_str_eq(first_text(q), "42");
        ck_assert_int_eq(cell(q, 0, 0).type, WEIR_TYPE_INT);
        ck_assert_mem_eq(cell(q, 0, 1).as.bytes.data, "\0\1", 2);
    }
    ck_assert_int_eq(run_values(q, "SELECT $1::float8, $2::bool", &real, &yes), WEIR_OK);
    ck_assert_double_eq(cell(q, 0, 0).as.real, 0.1);
    ck_assert(cell(q, 0, 1).as.boolean);
    ck_assert_int_eq(run_values(q, "SELECT $1::numeric, $2::int", &price, &none), WEIR_OK);
    ck_assert_str_eq(first_text(q), "1.50");
    FAILS(q, run_values(q, "SELECT $1::int", &text, NULL), WEIR_ESERVER, "invalid input syntax");
    FAILS(q, run_values(q, "SELECT $1::int", &n, &n), WEIR_ESERVER, "parameters");
    RUN(q, "CREATE TABLE many (n int PRIMARY KEY, t text)");
    ck_assert_int_eq(run_many(q, "INSERT INTO many VALUES ($1, $2)", 5000, -1, 100), WEIR_OK);
    FAILS(q, run_many(q, "INSERT INTO many VALUES ($1, $2)", 2, 1, 1), WEIR_ESERVER, "duplicate");
    EXPECT(q, "SELECT count(*) FROM many", "5000");
    RUN(q, "DROP TABLE many");
    ck_assert_int_eq(transact(q, "BEGIN", "SELECT 1", "COMMIT"), WEIR_OK);
    EXPECT(q, "SELECT count(*) FROM pg_prepared_statements", "0");
    EXPECT(q, "SHOW statement_timeout", "0"); /* a proxy's other clients must not get it */
    weir_statement *statement = statement_of("SHOW lock_timeout");
    weir__request wish = {.statement = statement, .timeout_ms = 90000};
    ck_assert_int_eq(run_request(q, &wish), WEIR_OK);
    ck_assert_str_eq(first_text(q), "5s");
    weir_statement_unref(statement);
    EXPECT(q, "SHOW statement_timeout", "0");
    ck_assert(!reset(q));
    close_lone(&plain);
}
END_TEST

static Suite *make_suite(void) {
    Suite *suite = suite_create("postgres_query");
    TCase *values = tcase_create("values"), *queries = tcase_create("queries");
    tcase_set_timeout(values, 120);
    tcase_set_timeout(queries, 240);
    tcase_add_checked_fixture(values, setup_lone, teardown_lone);
    tcase_add_checked_fixture(queries, setup_lone, teardown_lone);
    tcase_add_test(values, integers_round_trip);
    tcase_add_test(values, floats_round_trip);
    tcase_add_test(values, numeric_round_trips);
    tcase_add_test(values, texts_round_trip);
    tcase_add_test(values, texts_are_utf8);
    tcase_add_test(values, texts_of_an_ascii_database);
    tcase_add_test(values, json_round_trips);
    tcase_add_test(values, bytes_round_trip);
    tcase_add_test(values, booleans_round_trip);
    tcase_add_test(values, other_types_are_text);
    tcase_add_test(values, malformed_values_are_refused);
    tcase_add_test(values, locale_does_not_matter);
    tcase_add_test(queries, results_tell_their_columns);
    tcase_add_test(queries, large_results);
    tcase_add_test(queries, large_parameters);
    tcase_add_test(queries, long_texts_of_own_types);
    tcase_add_test(queries, errors_carry_all_fields);
    tcase_add_test(queries, lock_timeout_has_its_own_code);
    tcase_add_test(queries, copy_is_refused);
    tcase_add_test(queries, executemany);
    tcase_add_test(queries, executemany_is_all_or_nothing);
    tcase_add_test(queries, transactions);
    tcase_add_test(queries, commit_of_a_failed_transaction);
    tcase_add_test(queries, a_failed_before_is_the_requests_error);
    tcase_add_test(queries, a_bad_value_begins_nothing);
    tcase_add_test(queries, what_was_begun_is_told);
    tcase_add_test(queries, columns_that_change_their_type);
    tcase_add_test(queries, deferred_constraints_fail_at_the_sync);
    tcase_add_test(queries, commands_that_stand_no_others);
    tcase_add_test(queries, memory_runs_out);
    tcase_add_test(queries, unnamed_statements);
    suite_add_tcase(suite, values);
    suite_add_tcase(suite, queries);
    return suite;
}

int main(void) {
    pg_server_start();
    return run_suite(make_suite());
}

/* The PostgreSQL driver's richer values against a real server, and against one that sends nonsense. */
#include <inttypes.h>

#include "driver/postgres/value.h"
#include "pg_lone.h"

static weir_value time_value(weir_type type, int64_t time) {
    return (weir_value){.type = type, .as.time = time};
}

/* As the server writes it, in binary form and, next to a type that has none, in text form; and there and
 * back. */
static void assert_same(const char *expression, weir_type type, const char *text) {
    static const char *const formats[] = {"SELECT %s", "SELECT %s, point '(1,2)'", "SELECT $1::%s",
                                          "SELECT $1::%s, point '(1,2)'"};
    char sql[300], name[40];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(expression, " "), expression);
    weir_value given = null_value();
    for (int i = 0; i < 4; i++) {
        snprintf(sql, sizeof sql, formats[i], i < 2 ? expression : name);
        char bytes[64];
        if (type == WEIR_TYPE_NUMERIC && i >= 2) { /* borrowed from the result that goes */
            snprintf(bytes, sizeof bytes, "%.63s", first_text(p));
            given = numeric_value(bytes);
        }
        int code = run_values(p, sql, i < 2 ? NULL : &given, NULL);
        ck_assert_msg(code == WEIR_OK, "%s: %s", sql, failure(p));
        given = cell(p, 0, 0);
        ck_assert_msg(given.type == type, "%s: %s", sql, weir_type_name(given.type));
        ck_assert_msg(strcmp(first_text(p), text) == 0, "%s: %s", sql, first_text(p));
    }
}

START_TEST(times_round_trip) {
    assert_same("date '2024-02-29'", WEIR_TYPE_DATE, "2024-02-29");
    assert_same("date 'infinity'", WEIR_TYPE_DATE, "infinity");
    assert_same("date '-infinity'", WEIR_TYPE_DATE, "-infinity");
    assert_same("date '5874897-12-31'", WEIR_TYPE_DATE, "5874897-12-31");
    assert_same("date '4714-11-24 BC'", WEIR_TYPE_DATE, "4714-11-24 BC");
    assert_same("time '24:00'", WEIR_TYPE_TIME, "24:00:00");
    assert_same("time '12:30:00.000001'", WEIR_TYPE_TIME, "12:30:00.000001");
    assert_same("timetz '12:30+15:59:59'", WEIR_TYPE_TIMETZ, "12:30:00+15:59:59");
    assert_same("timetz '12:30-05:30'", WEIR_TYPE_TIMETZ, "12:30:00-05:30");
    assert_same("timestamp '294276-12-31 23:59:59.999999'", WEIR_TYPE_TIMESTAMP,
                "294276-12-31 23:59:59.999999");
    assert_same("timestamp '4714-11-24 00:00:00 BC'", WEIR_TYPE_TIMESTAMP, "4714-11-24 00:00:00 BC");
    assert_same("timestamp 'infinity'", WEIR_TYPE_TIMESTAMP, "infinity");
    assert_same("timestamptz '-infinity'", WEIR_TYPE_TIMESTAMPTZ, "-infinity");
    assert_same("interval '1 year 2 mons -3 days +04:05:06.7'", WEIR_TYPE_INTERVAL, "P1Y2M-3DT4H5M6.7S");
    assert_same("interval '-00:00:00.000001'", WEIR_TYPE_INTERVAL, "PT-0.000001S");
    assert_same("interval '0'", WEIR_TYPE_INTERVAL, "PT0S");
    assert_same("interval '-178956970 years'", WEIR_TYPE_INTERVAL, "P-178956970Y");
}
END_TEST

START_TEST(instants_do_not_depend_on_the_time_zone) {
    static const char *const zones[] = {"SET timezone = 'UTC'", "SET timezone = 'Asia/Kolkata'",
                                        "SET timezone = 'America/New_York'", "SET timezone = '-00:30'"};
    for (size_t i = 0; i < 4; i++) {
        RUN(p, zones[i]);
        assert_same("timestamptz '2024-02-29 12:30:00.25+00'", WEIR_TYPE_TIMESTAMPTZ,
                    "2024-02-29 12:30:00.25+00");
        assert_same("timestamptz '1700-01-01 00:00:00+00'", WEIR_TYPE_TIMESTAMPTZ, "1700-01-01 00:00:00+00");
        assert_same("timestamptz '0044-03-15 00:00:00+00 BC'", WEIR_TYPE_TIMESTAMPTZ,
                    "0044-03-15 00:00:00+00 BC");
    }
    RUN(p, "SET datestyle = 'German'");
    RUN(p, "SELECT now(), point '(1,2)'");
    weir_value out;
    ck_assert_int_eq(weir_result_value(p->request.result, 0, 0, &out), WEIR_EVALUE);
    RUN(p, "SELECT now()");
    ck_assert_int_eq(cell(p, 0, 0).type, WEIR_TYPE_TIMESTAMPTZ);
}
END_TEST

START_TEST(others_round_trip) {
    assert_same("uuid 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", WEIR_TYPE_UUID,
                "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
    assert_same("numeric '-0.000010'", WEIR_TYPE_NUMERIC, "-0.000010");
    assert_same("numeric '100000000.0001'", WEIR_TYPE_NUMERIC, "100000000.0001");
    assert_same("numeric '9999.99990000'", WEIR_TYPE_NUMERIC, "9999.99990000");
    assert_same("numeric 'NaN'", WEIR_TYPE_NUMERIC, "NaN");
    assert_same("numeric '-Infinity'", WEIR_TYPE_NUMERIC, "-Infinity");
    static const char *const inets[] = {"10.0.0.1", "10.0.0.1/8", "::1", "fe80::1/64"};
    for (size_t i = 0; i < 4; i++) {
        weir_value inet = bytes_value(WEIR_TYPE_INET, inets[i], strlen(inets[i]));
        ck_assert_int_eq(run_values(p, "SELECT $1::inet", &inet, NULL), WEIR_OK);
        ck_assert_int_eq(cell(p, 0, 0).type, WEIR_TYPE_INET);
        ck_assert_str_eq(first_text(p), inets[i]);
        ck_assert_str_eq(first_text(p), inets[i]); /* made once */
    }
    RUN(p, "SELECT cidr '10.0.0.0/32', cidr '::/0', macaddr '08002b:010203', macaddr8 '08002b:0102030405'");
    static const char *const texts[] = {"10.0.0.0/32", "::/0", "08:00:2b:01:02:03",
                                        "08:00:2b:01:02:03:04:05"};
    for (size_t i = 0; i < 4; i++) {
        weir_value value = cell(p, 0, i);
        ck_assert_int_eq(value.type, i < 2 ? WEIR_TYPE_CIDR : WEIR_TYPE_TEXT);
        ck_assert_uint_eq(value.as.bytes.length, strlen(texts[i]));
        ck_assert_mem_eq(value.as.bytes.data, texts[i], strlen(texts[i]));
    }
}
END_TEST

START_TEST(decimals_of_every_shape) {
    /* Each is compared by the server with what it reads from the same text. */
    static const char *const texts[] = {
        "0",           "0.",       ".5",       "5.",       "+1",    "-1",        "1e5",        "1E-5",
        "12.50e1",     "12.50e-1", "1e131071", "1e-16383", "00010", "10000",     "1000000.1",  "0.00010",
        "0.000100001", "99999999", "-0.000",   "0e100000", "1.e2",  "123456789", "1234567.891"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        weir_value n = numeric_value(texts[i]), text = text_value(texts[i]);
        ck_assert_msg(run_values(p, "SELECT $1::numeric::text = $2::text::numeric::text", &n, &text) ==
                          WEIR_OK,
                      "%s: %s", texts[i], failure(p));
        ck_assert_msg(cell(p, 0, 0).as.boolean, "%s", texts[i]);
    }
    static const char *const bad[] = {"",    "-",  ".",  "1e",           "1e+", "1.2.3",
                                      "abc", "1x", "e5", "1e1000000000", "--1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        weir_value n = numeric_value(bad[i]);
        FAILS(p, run_values(p, "SELECT $1::numeric", &n, NULL), WEIR_ESERVER, "");
    }
    weir_value nul = bytes_value(WEIR_TYPE_NUMERIC, "1\0002", 3);
    FAILS(p, run_values(p, "SELECT $1::numeric", &nul, NULL), WEIR_EVALUE, "NUL");
}
END_TEST

START_TEST(kinds_are_not_confused) {
    weir_value plain = time_value(WEIR_TYPE_TIMESTAMP, 0), zoned = time_value(WEIR_TYPE_TIMESTAMPTZ, 0),
               day = {.type = WEIR_TYPE_DATE, .as.date = 3},
               far = {.type = WEIR_TYPE_DATE, .as.date = 1 << 30}, n = int_value(1);
    FAILS(p, run_values(p, "SELECT $1::timestamptz", &plain, NULL), WEIR_EVALUE,
          "parameter $1: timestamptz takes timestamptz or text, not timestamp");
    FAILS(p, run_values(p, "SELECT $1::timestamp", &zoned, NULL), WEIR_EVALUE, "not timestamptz");
    FAILS(p, run_values(p, "SELECT $1::date", &plain, NULL), WEIR_EVALUE,
          "date takes date or text, not timestamp");
    FAILS(p, run_values(p, "SELECT $1::uuid", &n, NULL), WEIR_EVALUE, "uuid takes uuid or text, not int");
    FAILS(p, run_values(p, "SELECT $1::inet", &n, NULL), WEIR_EVALUE,
          "inet takes inet, cidr or text, not int");
    FAILS(p, run_values(p, "SELECT $1::timestamp", &far, NULL), WEIR_EVALUE, "is out of range for timestamp");
    ck_assert_int_eq(run_values(p, "SELECT $1::timestamp", &day, NULL), WEIR_OK);
    ck_assert_str_eq(first_text(p), "2000-01-04 00:00:00");
    /* A type that the driver does not know takes their texts. */
    RUN(p, "CREATE TYPE day AS ENUM ('2000-01-04')");
    ck_assert_msg(run_values(p, "SELECT $1::day", &day, NULL) == WEIR_OK, "%s", failure(p));
    RUN(p, "DROP TYPE day");
}
END_TEST

/* ---- arrays */

/* The array as the driver has made it, in the server's writing. */
static void assert_array(const char *sql, const char *text) {
    static const char *const formats[] = {"%s", "%s, point '(1,2)'"};
    for (int i = 0; i < 2; i++) {
        char full[200], again[200];
        snprintf(full, sizeof full, formats[i], sql);
        RUN(p, full);
        weir_value array = cell(p, 0, 0);
        ck_assert_int_eq(array.type, WEIR_TYPE_ARRAY);
        ck_assert(array.as.array == cell(p, 0, 0).as.array); /* made once */
        snprintf(again, sizeof again, "SELECT $1::%s::text", strrchr(sql, ':') + 1);
        weir_statement *statement = statement_of(again);
        weir_statement_add(statement, &array);
        ck_assert_msg(run_statement(p, statement) == WEIR_OK, "%s", failure(p));
        ck_assert_str_eq(first_text(p), text);
    }
}

START_TEST(arrays_round_trip) {
    assert_array("SELECT '{}'::int[]", "{}");
    assert_array("SELECT '{1,NULL,-3}'::int[]", "{1,NULL,-3}");
    assert_array("SELECT '[0:1][-2:0]={{1,2,3},{4,5,6}}'::int8[]", "[0:1][-2:0]={{1,2,3},{4,5,6}}");
    assert_array("SELECT '{{{{{{1}},{{2}}}}}}'::smallint[]", "{{{{{{1}},{{2}}}}}}");
    assert_array("SELECT '{\"\",NULL,\"NULL\",\"a,b\",\"{\\\\\\\"}\"}'::text[]",
                 "{\"\",NULL,\"NULL\",\"a,b\",\"{\\\\\\\"}\"}");
    assert_array("SELECT '{0.10,NaN,NULL}'::numeric[]", "{0.10,NaN,NULL}");
    assert_array("SELECT '{\"\\\\x00ff\",\"\\\\x\"}'::bytea[]", "{\"\\\\x00ff\",\"\\\\x\"}");
    assert_array("SELECT '{t,f,NULL}'::bool[]", "{t,f,NULL}");
    assert_array("SELECT '{10.0.0.1/8,::1}'::inet[]", "{10.0.0.1/8,::1}");
    assert_array("SELECT '{2024-02-29,infinity}'::date[]", "{2024-02-29,infinity}");
    assert_array("SELECT '{\"{\\\"a\\\": 1}\"}'::jsonb[]", "{\"{\\\"a\\\": 1}\"}");
    weir_value items[] = {int_value(1), bytes_value(WEIR_TYPE_BYTES, "ab", 2)};
    weir_array mixed = {.count = 2, .dimensions = 1, .lengths = {2}, .lower = {1}, .items = items};
    weir_value array = {.type = WEIR_TYPE_ARRAY, .as.array = &mixed};
    FAILS(p, run_values(p, "SELECT $1::int[]", &array, NULL), WEIR_EVALUE,
          "parameter $1: integer takes int, not bytes");
    FAILS(p, run_values(p, "SELECT $1::int", &array, NULL), WEIR_EVALUE, "integer takes int, not array");
    FAILS(p, run_values(p, "SELECT 1, $1::int[]", &items[0], NULL), WEIR_EVALUE,
          "integer[] takes array (its inner lists of one length, none beside values) or text, not int");
    RUN(p, "CREATE TYPE word AS ENUM ('1', '\\x6162')");
    ck_assert_msg(run_values(p, "SELECT $1::word[]::text", &array, NULL) == WEIR_OK, "%s", failure(p));
    ck_assert_str_eq(first_text(p), "{1,\"\\\\x6162\"}");
    RUN(p, "DROP TYPE word");
}
END_TEST

/* Both forms there, both forms back, and a value that has to be made. False: an allocation failed, and was
 * reported. */
static bool live_with_arrays(peer *q) {
    static const char *const queries[] = {
        "SELECT $1::text[], $2::numeric[], '{1.5,2}'::numeric[]",
        "SELECT $1::xml[]::text[], $2::numeric[], '{a,b}'::text[], point '(1,2)'"};
    weir_value texts[] = {text_value("a"), null_value()},
               numbers[] = {numeric_value("1.5"), numeric_value("x")};
    for (int i = 0; i < 2; i++) {
        weir_array one = {.count = 2, .dimensions = 1, .lengths = {2}, .lower = {1}, .items = texts};
        weir_array two = {.count = 1, .dimensions = 1, .lengths = {1}, .lower = {0}, .items = numbers};
        weir_value a = {.type = WEIR_TYPE_ARRAY, .as.array = &one},
                   b = {.type = WEIR_TYPE_ARRAY, .as.array = &two};
        weir_statement *statement = weir_statement_new(queries[i], strlen(queries[i]), NULL);
        if (!statement) return false;
        weir_statement_add(statement, &a);
        weir_statement_add(statement, &b);
        weir__request wish = {.statement = statement, .timeout_ms = 30000};
        int code = run_request(q, &wish);
        weir_statement_unref(statement);
        ck_assert_msg(code == WEIR_OK || code == WEIR_ENOMEM, "%s", failure(q));
        for (size_t column = 0; code == WEIR_OK && column < 3; column++) {
            weir_value out;
            code = weir_result_value(q->request.result, 0, column, &out);
            ck_assert(code == WEIR_OK || code == WEIR_ENOMEM);
            if (code == WEIR_OK) ck_assert_int_eq(out.type, WEIR_TYPE_ARRAY);
        }
        if (code != WEIR_OK) return false;
    }
    return true;
}

START_TEST(memory_runs_out) {
    bool succeeded = false;
    for (long k = 1; !succeeded; k++) {
        long before = weir__alloc_live();
        lone other;
        open_lone(&other);
        weir__alloc_fail_at(k, false);
        bool lived = live_with_arrays(&other.peer);
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

/* The first statement that has them asks for them. False: an allocation failed, and was reported. */
static bool live_with_own_types(peer *q) {
    static const char *const queries[] = {"SELECT row(1, 'x')::pair",
                                          "SELECT row(1, 'x')::pair, point '(1,2)'"};
    for (int i = 0; i < 2; i++) {
        weir_value out;
        weir_statement *statement = weir_statement_new(queries[i], strlen(queries[i]), NULL);
        if (!statement) return false;
        weir__request wish = {.statement = statement, .timeout_ms = 30000};
        int code = run_request(q, &wish);
        weir_statement_unref(statement);
        if (code == WEIR_OK) code = weir_result_value(q->request.result, 0, 0, &out);
        ck_assert_msg(code == WEIR_OK || code == WEIR_ENOMEM, "%s", failure(q));
        if (code != WEIR_OK) return false;
        ck_assert_int_eq(out.type, WEIR_TYPE_RECORD);
        ck_assert_str_eq(out.as.list->names[1], "b");
        ck_assert_int_eq(out.as.list->items[0].as.integer, 1);
    }
    return true;
}

START_TEST(own_types_are_asked_for) {
    RUN(p, "CREATE TYPE pair AS (a int, b text)");
    bool succeeded = false;
    for (long k = 1; !succeeded; k++) {
        long before = weir__alloc_live();
        lone other;
        open_lone(&other);
        weir__alloc_fail_at(k, false);
        bool lived = live_with_own_types(&other.peer);
        succeeded = lived && weir__alloc_count() < k;
        weir__alloc_fail_at(0, false);
        ck_assert(!other.peer.lost);
        ck_assert(live_with_own_types(&other.peer));
        close_lone(&other);
        ck_assert_msg(weir__alloc_live() == before, "allocation %ld: %ld blocks are left", k,
                      weir__alloc_live() - before);
    }
    RUN(p, "DROP TYPE pair");
}
END_TEST

/* ---- infinite intervals, which servers have from 17 on: by their bytes */

static void assert_interval(const weir_value *given, bool finite, Oid type, const char *bytes,
                            size_t length) {
    weir__pgargs args = {.finite = finite};
    weir_statement *statement = weir_statement_new("x", 1, NULL);
    weir_statement_add(statement, given);
    ck_assert_int_eq(weir__pg_encode(&args, statement, 0, type ? &type : NULL, NULL), WEIR_OK);
    ck_assert_int_eq(args.formats[0], type != 0);
    ck_assert_int_eq(args.lengths[0], (int)length);
    ck_assert_mem_eq(args.values[0], bytes, length);
    weir__pg_args_free(&args);
    ck_assert(args.finite == finite);
    weir_statement_unref(statement);
}

START_TEST(intervals_may_be_infinite) {
    static const struct {
        const char *infinite, *text, *finite, *iso;
    } ends[] = {
        {"\x7f\xff\xff\xff\xff\xff\xff\xff\x7f\xff\xff\xff\x7f\xff\xff\xff", "infinity",
         "\0\0\0\x14\x1d\xd7\x5f\xff\x3b\x9a\xc9\xff\0\0\0\0", "P999999999DT23H59M59.999999S"},
        {"\x80\0\0\0\0\0\0\0\x80\0\0\0\x80\0\0\0", "-infinity", "\0\0\0\0\0\0\0\0\xc4\x65\x36\x01\0\0\0\0",
         "P-999999999D"},
    };
    for (size_t i = 0; i < 2; i++) {
        weir__pgin in = {.arena = NULL};
        weir_value value, read;
        ck_assert_int_eq(weir__pg_decode(&in, WEIR__OID_INTERVAL, 1, ends[i].infinite, 16, &value), WEIR_OK);
        ck_assert_int_eq(weir_value_infinity(&value), i ? -1 : 1);
        ck_assert_int_eq(
            weir__pg_decode(&in, WEIR__OID_INTERVAL, 0, ends[i].text, strlen(ends[i].text), &read), WEIR_OK);
        ck_assert_int_eq(weir_value_infinity(&read), i ? -1 : 1);
        assert_interval(&value, false, WEIR__OID_INTERVAL, ends[i].infinite, 16);
        assert_interval(&value, false, 0, ends[i].text, strlen(ends[i].text));
        assert_interval(&value, true, WEIR__OID_INTERVAL, ends[i].finite, 16);
        assert_interval(&value, true, 0, ends[i].iso, strlen(ends[i].iso));
    }
}
END_TEST

/* ---- a hostile server */

static const Oid oids[] = {
    WEIR__OID_BOOL,
    WEIR__OID_BYTEA,
    WEIR__OID_INT8,
    WEIR__OID_FLOAT8,
    WEIR__OID_JSONB,
    WEIR__OID_CIDR,
    WEIR__OID_INET,
    WEIR__OID_MACADDR,
    WEIR__OID_MACADDR8,
    WEIR__OID_DATE,
    WEIR__OID_TIME,
    WEIR__OID_TIMETZ,
    WEIR__OID_UUID,
    WEIR__OID_NUMERIC,
    WEIR__OID_TIMESTAMP,
    WEIR__OID_TIMESTAMPTZ,
    WEIR__OID_INTERVAL,
    1007,
    1009,
    1231,
    1001,
    1182, /* arrays */
};

/* What is decoded can also be written. */
static void decode_one(Oid type, int format, const char *data, size_t length) {
    char *exact = malloc(length + (format == 0)), text[WEIR_VALUE_TEXT];
    ck_assert_ptr_nonnull(exact);
    memcpy(exact, data, length);
    if (format == 0) exact[length] = '\0';
    weir__arena arena = {0};
    weir_value out;
    int code = weir__pg_decode(&(weir__pgin){.arena = &arena}, type, format, exact, length, &out);
    ck_assert(code == WEIR_OK || code == WEIR_EVALUE);
    if (code == WEIR_OK) ck_assert_uint_lt(weir_value_text(&out, text), sizeof text);
    weir__arena_free(&arena);
    free(exact);
}

START_TEST(nonsense_is_refused) {
    static const struct {
        Oid type;
        int format;
        const char *data;
        size_t length;
    } cells[] = {
        {WEIR__OID_DATE, 1, "abc", 3},
        {WEIR__OID_TIME, 1, "\0\0\0\x14\x1d\xd7\x60\x01", 8},
        {WEIR__OID_TIME, 1, "\xff\xff\xff\xff\xff\xff\xff\xff", 8},
        {WEIR__OID_TIMETZ, 1, "\0\0\0\0\0\0\0\0\0\1\x51\x80", 12},
        {WEIR__OID_TIMESTAMP, 1, "", 0},
        {WEIR__OID_INTERVAL, 1, "123456789012345", 15},
        {WEIR__OID_UUID, 1, "0123456789abcde", 15},
        {WEIR__OID_NUMERIC, 1, "\0\2\0\0\0\0\0\0\0\1", 10},
        {WEIR__OID_NUMERIC, 1, "\0\1\0\0\0\0\0\0\x27\x10", 10},
        {WEIR__OID_NUMERIC, 1, "\0\0\0\0\0\1\0\0", 8},
        {WEIR__OID_NUMERIC, 1, "\0\0\0\0\0\0\x40\0", 8},
        {WEIR__OID_INET, 1, "\2\x21\0\4\1\2\3\4", 8},
        {WEIR__OID_INET, 1, "\2\x20\0\4\1\2\3", 7},
        {WEIR__OID_INET, 1, "\4\x20\0\4\1\2\3\4", 8},
        {WEIR__OID_MACADDR, 1, "12345", 5},
        {WEIR__OID_DATE, 0, "29.02.2024", 10},
        {WEIR__OID_DATE, 0, "2024-13-01", 10},
        {WEIR__OID_DATE, 0, "2024-01-01 AD", 13},
        {WEIR__OID_TIME, 0, "24:00:01", 8},
        {WEIR__OID_TIME, 0, "12:60:00", 8},
        {WEIR__OID_TIMETZ, 0, "12:00:00", 8},
        {WEIR__OID_TIMETZ, 0, "12:00:00+24", 11},
        {WEIR__OID_TIMESTAMP, 0, "9999999-01-01 00:00:00", 22},
        {WEIR__OID_TIMESTAMPTZ, 0, "2024-01-01 00:00:00", 19},
        {WEIR__OID_INTERVAL, 0, "", 0},
        {WEIR__OID_INTERVAL, 0, "1 fortnight", 11},
        {WEIR__OID_INTERVAL, 0, "9999999999 days", 15},
        {WEIR__OID_INTERVAL, 0, "9999999999:00:00", 16},
        {WEIR__OID_INTERVAL, 0, "1 day ", 6},
        {WEIR__OID_UUID, 0, "a0eebc99", 8},
        {1007, 1, "\0\0\0\1\0\0\0\0\0\0\0", 11},
        {1007, 1, "\0\0\0\1\0\0\0\0\0\0\0\x17", 12},
        {1007, 1, "\0\0\0\0\0\0\0\0\0\0\0\x19", 12},
        {1007, 1, "\0\0\0\7\0\0\0\0\0\0\0\x17", 12},
        {1007, 1, "\xff\xff\xff\xff\0\0\0\0\0\0\0\x17", 12},
        {1007, 1, "\0\0\0\0\0\0\0\0\0\0\0\x17x", 13},
        {1007, 1, "\0\0\0\1\0\0\0\0\0\0\0\x17\0\0\0\0\0\0\0\1", 20},
        {1007, 1, "\0\0\0\1\0\0\0\0\0\0\0\x17\x7f\xff\xff\xff\0\0\0\1", 20},
        {1007, 1, "\0\0\0\1\0\0\0\0\0\0\0\x17\0\0\0\1\0\0\0\1\0\0\0\4\0\0\0", 27},
        {1007, 1, "\0\0\0\1\0\0\0\0\0\0\0\x17\0\0\0\1\0\0\0\1\0\0\0\3\0\0\0", 27},
        {1007, 1, "\0\0\0\1\0\0\0\0\0\0\0\x17\0\0\0\1\0\0\0\1\xff\xff\xff\xfe", 24},
        {1007, 0, "", 0},
        {1007, 0, "{1", 2},
        {1007, 0, "{1,}", 4},
        {1007, 0, "{1}}", 4},
        {1007, 0, "{a}", 3},
        {1007, 0, "{{1},2}", 7},
        {1007, 0, "{1,{2}}", 7},
        {1007, 0, "{{1,2},{3}}", 11},
        {1007, 0, "{{{{{{{1}}}}}}}", 15},
        {1007, 0, "[1:2{1,2}", 9},
        {1007, 0, "[1:2]{1,2}", 10},
        {1007, 0, "[1:99999999999]={1}", 19},
        {1009, 0, "{\"a}", 4},
        {1009, 0, "{\"a\\", 4},
        {1009, 0, "{a\"b\"}", 6},
        {WEIR__OID_UUID, 0, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1g", 36},
    };
    weir_value out;
    weir__arena arena = {0};
    for (size_t i = 0; i < sizeof cells / sizeof cells[0]; i++)
        ck_assert_msg(weir__pg_decode(&(weir__pgin){.arena = &arena}, cells[i].type, cells[i].format,
                                      cells[i].data, cells[i].length, &out) == WEIR_EVALUE,
                      "cell %zu was accepted", i);
    weir__arena_free(&arena);
}
END_TEST

START_TEST(random_bytes_do_no_harm) {
    static const char letters[] = "0123456789-:+. BCinfTy{},\"\\NULx[]=";
    uint64_t seed = 20240229;
    for (int round = 0; round < 300000; round++) {
        char data[40];
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        uint64_t bits = seed >> 16;
        Oid type = oids[bits % (sizeof oids / sizeof oids[0])];
        int format = (int)(bits >> 8 & 1);
        size_t length = (bits >> 9) % sizeof data;
        for (size_t i = 0; i < length; i++) {
            seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            unsigned byte = (unsigned)(seed >> 33);
            /* binary: many zeros, so that headers are believed */
            data[i] = format == 0    ? letters[byte % (sizeof letters - 1)]
                      : byte & 0x300 ? (char)(byte & 0x800 ? 0 : byte & 3)
                                     : (char)(byte & 0xff);
        }
        if (format == 1 && weir__pg_element(type) && length >= 12) { /* an array that begins well */
            memset(data, 0, 12);
            data[3] = (char)(bits & 3);
            data[10] = (char)(weir__pg_element(type) >> 8);
            data[11] = (char)(weir__pg_element(type) & 0xff);
        }
        decode_one(type, format, data, length);
    }
}
END_TEST

static Suite *make_suite(void) {
    Suite *suite = suite_create("postgres_values");
    TCase *served = tcase_create("served"), *alone = tcase_create("alone");
    tcase_set_timeout(served, 120);
    tcase_set_timeout(alone, 120);
    tcase_add_checked_fixture(served, setup_lone, teardown_lone);
    tcase_add_test(served, times_round_trip);
    tcase_add_test(served, instants_do_not_depend_on_the_time_zone);
    tcase_add_test(served, others_round_trip);
    tcase_add_test(served, decimals_of_every_shape);
    tcase_add_test(served, kinds_are_not_confused);
    tcase_add_test(served, arrays_round_trip);
    tcase_add_test(served, memory_runs_out);
    tcase_add_test(served, own_types_are_asked_for);
    tcase_add_test(alone, intervals_may_be_infinite);
    tcase_add_test(alone, nonsense_is_refused);
    tcase_add_test(alone, random_bytes_do_no_harm);
    suite_add_tcase(suite, served);
    suite_add_tcase(suite, alone);
    return suite;
}

int main(void) {
    pg_server_start();
    return run_suite(make_suite());
}

/* Values: the calendar, the texts of times and UUIDs, infinity, what a statement keeps of them, and the
 * memory for made ones; which texts are JSON. */
#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/json.h"
#include "base/statement.h"
#include "base/value.h"
#include "support_suite.h"

#define SECOND INT64_C(1000000)

static void assert_text(weir_value value, const char *wanted) {
    char text[WEIR_VALUE_TEXT];
    ck_assert_uint_eq(weir_value_text(&value, text), strlen(wanted));
    ck_assert_str_eq(text, wanted);
}

static weir_value date(int32_t days) { return (weir_value){.type = WEIR_TYPE_DATE, .as.date = days}; }

static weir_value moment(weir_type type, int64_t time) { return (weir_value){.type = type, .as.time = time}; }

static weir_value timetz(int64_t time, int32_t east) {
    return (weir_value){.type = WEIR_TYPE_TIMETZ, .as.timetz = {time, east}};
}

static weir_value interval(int32_t months, int32_t days, int64_t microseconds) {
    return (weir_value){.type = WEIR_TYPE_INTERVAL, .as.interval = {months, days, microseconds}};
}

START_TEST(calendar_goes_both_ways) {
    static const int days_of_month[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int32_t days = -730119 - 366; /* year 0, which is a leap year */
    for (int year = 0; year <= 2801; year++)
        for (int month = 1; month <= 12; month++) {
            bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            int last = days_of_month[month - 1] + (month == 2 && leap);
            for (int day = 1; day <= last; day++, days++) {
                int y, m, d;
                weir_date_from_days(days, &y, &m, &d);
                if (y != year || m != month || d != day || weir_days_from_date(year, month, day) != days)
                    ck_abort_msg("%d-%d-%d is not day %d, which is %d-%d-%d", year, month, day, days, y, m,
                                 d);
            }
        }
    const int32_t far[] = {INT32_MIN, INT32_MIN + 1, INT32_MAX - 1, INT32_MAX, -2451545};
    for (size_t i = 0; i < sizeof far / sizeof far[0]; i++) {
        int y, m, d;
        weir_date_from_days(far[i], &y, &m, &d);
        ck_assert_int_eq(weir_days_from_date(y, m, d), far[i]);
    }
}
END_TEST

START_TEST(times_have_texts) {
    assert_text(date(0), "2000-01-01");
    assert_text(date(-1), "1999-12-31");
    assert_text(date(WEIR_DATE_INFINITY), "infinity");
    assert_text(date(INT32_MIN), "-infinity");
    assert_text(date(-730120), "0001-12-31 BC");
    assert_text(date(2921940), "10000-01-01");
    assert_text(moment(WEIR_TYPE_TIME, 0), "00:00:00");
    assert_text(moment(WEIR_TYPE_TIME, WEIR_DAY_US), "24:00:00");
    assert_text(moment(WEIR_TYPE_TIME, WEIR_DAY_US - 1), "23:59:59.999999");
    assert_text(moment(WEIR_TYPE_TIME, 45000 * SECOND + 250000), "12:30:00.25");
    assert_text(timetz(45000 * SECOND, 0), "12:30:00+00");
    assert_text(timetz(45000 * SECOND, 19800), "12:30:00+05:30");
    assert_text(timetz(45000 * SECOND, -1), "12:30:00-00:00:01");
    assert_text(timetz(0, -86399), "00:00:00-23:59:59");
    assert_text(moment(WEIR_TYPE_TIMESTAMP, -1), "1999-12-31 23:59:59.999999");
    assert_text(moment(WEIR_TYPE_TIMESTAMP, INT64_MAX), "infinity");
    assert_text(moment(WEIR_TYPE_TIMESTAMPTZ, INT64_MIN), "-infinity");
    assert_text(moment(WEIR_TYPE_TIMESTAMPTZ, 0), "2000-01-01 00:00:00+00");
    assert_text(moment(WEIR_TYPE_TIMESTAMPTZ, -730120 * WEIR_DAY_US), "0001-12-31 00:00:00+00 BC");
    assert_text(moment(WEIR_TYPE_TIMESTAMP, INT64_MIN + 1), "290279-12-22 19:59:05.224193 BC");
    assert_text(moment(WEIR_TYPE_TIMESTAMP, INT64_MAX - 1), "294277-01-09 04:00:54.775806");
}
END_TEST

START_TEST(intervals_have_texts) {
    assert_text(interval(0, 0, 0), "PT0S");
    assert_text(interval(14, 3, 14706700000), "P1Y2M3DT4H5M6.7S");
    assert_text(interval(-14, -3, -14706700000), "P-1Y-2M-3DT-4H-5M-6.7S");
    assert_text(interval(0, 0, -500000), "PT-0.5S");
    assert_text(interval(0, 1, 3600 * SECOND), "P1DT1H");
    assert_text(interval(1, 0, 0), "P1M");
    assert_text(interval(INT32_MIN, INT32_MIN + 1, INT64_MIN),
                "P-178956970Y-8M-2147483647DT-2562047788H-54.775808S");
    assert_text(interval(INT32_MAX, INT32_MAX, INT64_MAX - 1),
                "P178956970Y7M2147483647DT2562047788H54.775806S");
    assert_text(interval(INT32_MIN, INT32_MIN, INT64_MIN), "-infinity");
    assert_text(interval(INT32_MAX, INT32_MAX, INT64_MAX), "infinity");
}
END_TEST

/* The signs of infinite values, and the texts of what stands for them. */
START_TEST(infinity_has_a_finite_form) {
    static const struct {
        weir_value value;
        int sign;
        const char *text;
    } rows[] = {
        {{.type = WEIR_TYPE_DATE, .as.date = INT32_MAX}, 1, "9999-12-31"},
        {{.type = WEIR_TYPE_DATE, .as.date = INT32_MIN}, -1, "0001-01-01"},
        {{.type = WEIR_TYPE_DATE, .as.date = INT32_MIN + 1}, 0, "5877612-06-23 BC"},
        {{.type = WEIR_TYPE_TIMESTAMP, .as.time = INT64_MAX}, 1, "9999-12-31 23:59:59.999999"},
        {{.type = WEIR_TYPE_TIMESTAMPTZ, .as.time = INT64_MIN}, -1, "0001-01-01 00:00:00+00"},
        {{.type = WEIR_TYPE_TIMESTAMPTZ, .as.time = 0}, 0, "2000-01-01 00:00:00+00"},
        {{.type = WEIR_TYPE_INTERVAL, .as.interval = {INT32_MAX, INT32_MAX, INT64_MAX}},
         1,
         "P999999999DT23H59M59.999999S"},
        {{.type = WEIR_TYPE_INTERVAL, .as.interval = {INT32_MIN, INT32_MIN, INT64_MIN}}, -1, "P-999999999D"},
        {{.type = WEIR_TYPE_INTERVAL, .as.interval = {INT32_MAX, INT32_MAX, INT64_MIN}},
         0,
         "P178956970Y7M2147483647DT-2562047788H-54.775808S"},
        {{.type = WEIR_TYPE_INTERVAL, .as.interval = {0, 0, INT64_MAX}}, 0, "PT2562047788H54.775807S"},
        {{.type = WEIR_TYPE_TIME, .as.time = WEIR_DAY_US}, 0, "24:00:00"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        weir_value value = rows[i].value;
        ck_assert_msg(weir_value_infinity(&value) == rows[i].sign, "row %zu", i);
        weir__make_finite(&value);
        assert_text(value, rows[i].text);
    }
    ck_assert_int_eq(weir_value_infinity(&(weir_value){.type = WEIR_TYPE_INT, .as.integer = INT64_MAX}), 0);
}
END_TEST

/* text NULL: it is none. */
static void assert_scanned(weir_type type, const char *given, const char *text) {
    weir_value value;
    int code = type == WEIR_TYPE_UUID ? weir__scan_uuid(given, &value) : weir__scan_time(type, given, &value);
    ck_assert_msg((code == WEIR_OK) == (text != NULL), "\"%s\" gives %d", given, code);
    if (text) assert_text(value, text);
}

START_TEST(texts_are_read) {
    assert_scanned(WEIR_TYPE_DATE, "2024-02-29", "2024-02-29");
    assert_scanned(WEIR_TYPE_DATE, "5874897-12-31", "5874897-12-31");
    assert_scanned(WEIR_TYPE_DATE, "0044-03-15 BC", "0044-03-15 BC");
    assert_scanned(WEIR_TYPE_DATE, "-infinity", "-infinity");
    assert_scanned(WEIR_TYPE_DATE, "2023-02-29", NULL);
    assert_scanned(WEIR_TYPE_DATE, "2024-12-32", NULL);
    assert_scanned(WEIR_TYPE_DATE, "2024-12-31", "2024-12-31");
    assert_scanned(WEIR_TYPE_DATE, "2024-1-1", NULL);
    assert_scanned(WEIR_TYPE_DATE, "2024-01-01 ", NULL);
    assert_scanned(WEIR_TYPE_DATE, "", NULL);
    assert_scanned(WEIR_TYPE_TIME, "12:30", "12:30:00");
    assert_scanned(WEIR_TYPE_TIME, "12:30:59.5", "12:30:59.5");
    assert_scanned(WEIR_TYPE_TIME, "24:00", "24:00:00");
    assert_scanned(WEIR_TYPE_TIME, "12:30:60", NULL);
    assert_scanned(WEIR_TYPE_TIME, "12:30.5", NULL);
    assert_scanned(WEIR_TYPE_TIME, "12:30:00.1234567", NULL);
    assert_scanned(WEIR_TYPE_TIME, "12", NULL);
    assert_scanned(WEIR_TYPE_TIMETZ, "12:30Z", "12:30:00+00");
    assert_scanned(WEIR_TYPE_TIMETZ, "12:30:00-05:30", "12:30:00-05:30");
    assert_scanned(WEIR_TYPE_TIMETZ, "12:30", NULL);
    assert_scanned(WEIR_TYPE_TIMESTAMP, "2024-02-29T12:30", "2024-02-29 12:30:00");
    assert_scanned(WEIR_TYPE_TIMESTAMP, "2024-02-29 12:30:00.25", "2024-02-29 12:30:00.25");
    assert_scanned(WEIR_TYPE_TIMESTAMP, "2024-02-29", NULL);
    assert_scanned(WEIR_TYPE_TIMESTAMP, "2024-02-29 12:30Z", NULL);
    assert_scanned(WEIR_TYPE_TIMESTAMP, "2024-02-29  12:30", NULL);
    assert_scanned(WEIR_TYPE_TIMESTAMPTZ, "2024-02-29T12:30Z", "2024-02-29 12:30:00+00");
    assert_scanned(WEIR_TYPE_TIMESTAMPTZ, "2024-02-29 12:30:00+05:30", "2024-02-29 07:00:00+00");
    assert_scanned(WEIR_TYPE_TIMESTAMPTZ, "2024-02-29 12:30", NULL);
    assert_scanned(WEIR_TYPE_INTERVAL, "infinity", "infinity");
    assert_scanned(WEIR_TYPE_INTERVAL, "-infinity", "-infinity");
    assert_scanned(WEIR_TYPE_INTERVAL, "-infinity 1 day", NULL);
    assert_scanned(WEIR_TYPE_UUID, "A0EEBC999c0b4ef8bb6d6bb9bd380a11",
                   "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
    assert_scanned(WEIR_TYPE_UUID, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1", NULL);
    assert_scanned(WEIR_TYPE_UUID, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a111", NULL);
}
END_TEST

START_TEST(json_is_known_by_its_grammar) {
    static const char *const good[] = {"null",
                                       " true\n",
                                       "-0",
                                       "0.5e-7",
                                       "1E+2",
                                       "NaN",
                                       "-Infinity",
                                       "\"\"",
                                       "\"\\u00e4\\n\\\"\xc3\xa4\"",
                                       "[]",
                                       "[1, [2, {}], \"3\"]",
                                       "{\"a\" : [null], \"\": {\"b\":1}}"};
    static const char *const bad[] = {"",        " ",         "nul",       "nulls", "01",          "1.",
                                      ".5",      "+1",        "1e",        "--1",   "\"",          "\"\n\"",
                                      "\"\\x\"", "\"\\u12\"", "[",         "[1,]",  "[1}",         "]",
                                      "{\"a\"}", "{a: 1}",    "{\"a\": }", "{,}",   "{\"a\": 1,}", "1 2"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        ck_assert_msg(weir__is_json(good[i]), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(!weir__is_json(bad[i]), "%s", bad[i]);
    char deep[2 * 1001 + 1] = "";
    for (size_t depth = 1000; depth <= 1001; depth++) {
        memset(deep, '[', depth);
        memset(deep + depth, ']', depth);
        deep[2 * depth] = '\0';
        ck_assert_int_eq(weir__is_json(deep), depth == 1000);
    }
}
END_TEST

START_TEST(uuids_have_texts) {
    weir_value uuid = {.type = WEIR_TYPE_UUID};
    for (int i = 0; i < 16; i++) uuid.as.uuid[i] = (unsigned char)(i * 17);
    assert_text(uuid, "00112233-4455-6677-8899-aabbccddeeff");
    assert_text((weir_value){.type = WEIR_TYPE_NULL}, "");
    assert_text((weir_value){.type = WEIR_TYPE_INT, .as.integer = 5}, "");
    assert_text((weir_value){.type = WEIR_TYPE_TEXT, .as.bytes = {"x", 1}}, "");
}
END_TEST

START_TEST(statements_keep_them) {
    weir_statement *statement = weir_statement_new("x", 1, NULL);
    char address[] = "::1";
    weir_value given[] = {
        date(5), timetz(1, 2), interval(1, 2, 3), {.type = WEIR_TYPE_INET, .as.bytes = {address, 3}}};
    for (int i = 0; i < 4; i++) weir_statement_add(statement, &given[i]);
    memset(address, 'x', 3);
    ck_assert_int_eq(weir__statement_check(statement, NULL), WEIR_OK);
    const weir_value *kept = weir__statement_set(statement, 0);
    ck_assert_int_eq(kept[0].as.date, 5);
    ck_assert_int_eq(kept[1].as.timetz.east, 2);
    ck_assert_int_eq(kept[2].as.interval.microseconds, 3);
    ck_assert_str_eq(kept[3].as.bytes.data, "::1");
    weir_statement_unref(statement);
}
END_TEST

START_TEST(statements_refuse_times_beyond_the_day) {
    const weir_value bad[] = {moment(WEIR_TYPE_TIME, -1),
                              moment(WEIR_TYPE_TIME, WEIR_DAY_US + 1),
                              timetz(-1, 0),
                              timetz(WEIR_DAY_US + 1, 0),
                              timetz(0, 86400),
                              timetz(0, -86400)};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        weir_error error = WEIR_ERROR_INIT;
        weir_statement *statement = weir_statement_new("x", 1, NULL);
        weir_statement_add(statement, &bad[i]);
        ck_assert_int_eq(weir__statement_check(statement, &error), WEIR_EVALUE);
        ck_assert_str_eq(error.message, "set 1, parameter 1: no time of day");
        weir_error_clear(&error);
        weir_statement_unref(statement);
    }
}
END_TEST

static weir_value array_of(const weir_array *array) {
    return (weir_value){.type = WEIR_TYPE_ARRAY, .as.array = array};
}

START_TEST(statements_keep_arrays) {
    char text[] = "two";
    weir_value items[] = {{.type = WEIR_TYPE_NULL}, {.type = WEIR_TYPE_TEXT, .as.bytes = {text, 3}}};
    weir_array box = {.count = 2, .dimensions = 2, .lengths = {1, 2}, .lower = {1, -5}, .items = items},
               none = {0};
    weir_value given = array_of(&box), empty = array_of(&none);
    for (long k = 0; k < 20; k++) {
        long before = weir__alloc_live();
        weir_statement *statement = weir_statement_new("x", 1, NULL);
        weir__alloc_fail_at(k, false);
        for (int i = 0; i < 30; i++) weir_statement_add(statement, i % 2 ? &empty : &given);
        bool failed = k > 0 && weir__alloc_count() >= k;
        weir__alloc_fail_at(0, false);
        ck_assert_int_eq(weir__statement_check(statement, NULL), failed ? WEIR_ENOMEM : WEIR_OK);
        const weir_value *kept = weir__statement_set(statement, 0);
        for (int i = 0; !failed && i < 30; i += 2) {
            ck_assert_uint_eq(kept[i].as.array->count, 2);
            ck_assert_int_eq(kept[i].as.array->lower[1], -5);
            ck_assert(kept[i].as.array->items != items);
            ck_assert_str_eq(kept[i].as.array->items[1].as.bytes.data, "two");
            ck_assert_uint_eq(kept[i + 1].as.array->count, 0);
        }
        weir_statement_unref(statement);
        ck_assert_int_eq(weir__alloc_live(), before);
    }
}
END_TEST

START_TEST(statements_refuse_strange_arrays) {
    weir_value nulls[4] = {{.type = WEIR_TYPE_NULL}};
    const weir_array inner = {0};
    const weir_value nested = array_of(&inner), late = {.type = WEIR_TYPE_TIME, .as.time = -1};
    const weir_array bad[] = {
        {.count = 1, .items = nulls},
        {.count = 3, .dimensions = 2, .lengths = {2, 2}, .items = nulls},
        {.count = 0, .dimensions = 1, .lengths = {0}, .items = nulls},
        {.count = 1, .dimensions = 7, .lengths = {1, 1, 1, 1, 1, 1}, .items = nulls},
        {.count = 4, .dimensions = -1, .items = nulls},
        {.count = 1, .dimensions = 2, .lengths = {-1, -1}, .items = nulls},
        {.count = 2, .dimensions = 1, .lengths = {2}, .lower = {INT32_MAX}, .items = nulls},
        {.count = 1, .dimensions = 1, .lengths = {1}},
        {.count = (size_t)1 << 60, .dimensions = 2, .lengths = {1 << 30, 1 << 30}, .items = nulls},
        {.count = 1, .dimensions = 1, .lengths = {1}, .items = &nested},
        {.count = 1, .dimensions = 1, .lengths = {1}, .items = &late},
    };
    for (size_t i = 0; i <= sizeof bad / sizeof bad[0]; i++) {
        weir_statement *statement = weir_statement_new("x", 1, NULL);
        weir_value value = array_of(i < sizeof bad / sizeof bad[0] ? &bad[i] : NULL);
        weir_statement_add(statement, &value);
        ck_assert_int_eq(weir__statement_check(statement, NULL), WEIR_EVALUE);
        weir_statement_unref(statement);
    }
}
END_TEST

START_TEST(arena_gives_pieces) {
    long before = weir__alloc_live();
    weir__arena arena = {0};
    char *pieces[300];
    for (int i = 0; i < 300; i++) {
        size_t size = i % 10 == 9 ? 5000 : (size_t)i;
        pieces[i] = weir__arena_take(&arena, size);
        ck_assert_ptr_nonnull(pieces[i]);
        ck_assert_uint_eq((uintptr_t)pieces[i] % _Alignof(max_align_t), 0);
        memset(pieces[i], i, size);
    }
    for (int i = 0; i < 300; i++) {
        size_t size = i % 10 == 9 ? 5000 : (size_t)i;
        for (size_t j = 0; j < size; j++) ck_assert_int_eq((unsigned char)pieces[i][j], (unsigned char)i);
    }
    ck_assert_ptr_null(weir__arena_take(&arena, SIZE_MAX - 4));
    weir__alloc_fail_at(1, true);
    ck_assert_ptr_null(weir__arena_take(&arena, 1 << 20));
    weir__alloc_fail_at(0, false);
    ck_assert_ptr_nonnull(weir__arena_take(&arena, 1 << 20));
    weir__arena_free(&arena);
    weir__arena_free(&arena);
    ck_assert_int_eq(weir__alloc_live(), before);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("value");
    TCase *tests = tcase_create("value");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, calendar_goes_both_ways);
    tcase_add_test(tests, times_have_texts);
    tcase_add_test(tests, intervals_have_texts);
    tcase_add_test(tests, uuids_have_texts);
    tcase_add_test(tests, infinity_has_a_finite_form);
    tcase_add_test(tests, texts_are_read);
    tcase_add_test(tests, json_is_known_by_its_grammar);
    tcase_add_test(tests, statements_keep_them);
    tcase_add_test(tests, statements_refuse_times_beyond_the_day);
    tcase_add_test(tests, statements_keep_arrays);
    tcase_add_test(tests, statements_refuse_strange_arrays);
    tcase_add_test(tests, arena_gives_pieces);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}

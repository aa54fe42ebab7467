/* The options of a pool: each value and each error a row of a table. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/option.h"
#include "config_assert.h"
#include "support_suite.h"

/* ---- weir_options_set */

#define INT(n)                                                                                               \
    { .type = WEIR_TYPE_INT, .as.integer = (n) }
#define REAL(x)                                                                                              \
    { .type = WEIR_TYPE_FLOAT, .as.real = (x) }
#define BOOL(b)                                                                                              \
    { .type = WEIR_TYPE_BOOL, .as.boolean = (b) }
#define STRING(s)                                                                                            \
    {                                                                                                        \
        .type = WEIR_TYPE_TEXT, .as.bytes = { s, sizeof(s) - 1 }                                             \
    }
#define BYTES(s)                                                                                             \
    {                                                                                                        \
        .type = WEIR_TYPE_BYTES, .as.bytes = { s, sizeof(s) - 1 }                                            \
    }
#define NONE                                                                                                 \
    { .type = WEIR_TYPE_NULL }

static int64_t field(const weir_options *options, const char *name) {
    return weir__option_number(options, weir__option_find(name));
}

static const struct {
    const char *name;
    weir_value value;
    int64_t expected; /* milliseconds for a time, millionths for a ratio */
} good_options[] = {
    {"min_size", INT(0), 0},
    {"min_size", INT(10000), 10000},
    {"max_size", REAL(8.0), 8},
    {"max_waiting", INT(7), 7},
    {"max_waiting", NONE, -1},
    {"lifo", BOOL(false), 0},
    {"require", BOOL(true), 1},
    {"connect_timeout", INT(3), 3000},
    {"connect_timeout", REAL(0.25), 250},
    {"connect_timeout", REAL(1.001), 1001},
    {"connect_timeout", REAL(0.29), 290},
    {"connect_timeout", REAL(0.0001), 1},
    {"connect_timeout", REAL(5e-324), 1},
    {"connect_timeout", REAL(0.0014), 1},
    {"connect_timeout", REAL(86400), 86400000},
    {"command_timeout", NONE, -1},
    {"max_lifetime", INT(31536000), 31536000000},
    {"retry_min", REAL(0.5), 500},
    {"circuit_breaker", BOOL(false), 0},
    {"circuit_failure_threshold", INT(3), 3},
    {"circuit_failure_threshold", NONE, -1},
    {"circuit_failure_rate", REAL(0.25), 250000},
    {"circuit_slow_call_rate", NONE, -1},
    {"circuit_recovery_timeout", REAL(2.5), 2500},
    {"circuit_call_events", BOOL(true), 1},
};

START_TEST(sets) {
    weir_options options;
    weir_error error = WEIR_ERROR_INIT;
    const char *name = good_options[_i].name;
    weir_options_init(&options);
    ck_assert_int_eq(weir_options_set(&options, name, &good_options[_i].value, &error), WEIR_OK);
    ck_assert_int_eq(field(&options, name), good_options[_i].expected);
    ck_assert(weir__option_chosen(&options, weir__option_find(name)));
    ck_assert_int_eq(weir_options_set(&options, "name", &(weir_value)STRING("a name"), &error), WEIR_OK);
    ck_assert_str_eq(options.name, "a name");
    ck_assert_int_eq(weir_options_set(&options, "name", &(weir_value)NONE, &error), WEIR_OK);
    ck_assert_ptr_null(options.name);
    ck_assert_int_eq(error.code, WEIR_OK);
}
END_TEST

static const struct {
    const char *name;
    weir_value value;
    const char *words;
} bad_options[] = {
    {"min_size", INT(-1), "min_size=-1|from 0 to 10000"},
    {"max_size", INT(0), "max_size=0|from 1 to 10000"},
    {"max_size", INT(INT64_MAX), "max_size=9223372036854775807|from 1 to 10000"},
    {"max_size", INT(INT64_C(1) << 32 | 5), "max_size=4294967301|from 1 to 10000"},
    {"max_size", REAL(2.5), "max_size=2.5|no whole number|2 or 3"},
    {"max_size", REAL(NAN), "max_size=|nan|from 1 to 10000"},
    {"max_size", REAL(INFINITY), "max_size=inf|from 1 to 10000"},
    {"max_size", REAL(1e300), "max_size=1e+300|from 1 to 10000"},
    {"max_size", REAL(-0.5), "max_size=-0.5|from 1 to 10000"},
    {"max_size", NONE, "max_size cannot be none (null)|a whole number"},
    {"max_size", BOOL(true), "max_size takes a whole number|bool"},
    {"max_size", STRING("8"), "max_size takes a whole number|text"},
    {"max_size", {.type = (weir_type)99}, "max_size takes a whole number|unknown"},
    {"max_waiting", INT(-1), "max_waiting=-1|none (null) for no limit"},
    {"max_waiting", STRING("x"), "max_waiting takes a whole number or none (null)|text"},
    {"lifo", INT(1), "lifo takes true or false|int"},
    {"lifo", NONE, "lifo cannot be none|true or false"},
    {"lifo", STRING("yes"), "lifo takes true or false|text"},
    {"connect_timeout", INT(0), "connect_timeout=0|switch it off with none (null)"},
    {"connect_timeout", REAL(-0.0), "connect_timeout=0|switch it off with none (null)"},
    {"connect_timeout", REAL(-2), "connect_timeout=-2|from 0.001 to 86400 seconds"},
    {"connect_timeout", REAL(NAN), "connect_timeout=|nan|from 0.001 to 86400 seconds"},
    {"connect_timeout", REAL(INFINITY), "connect_timeout=inf|none (null) to switch it off"},
    {"connect_timeout", REAL(-INFINITY), "connect_timeout=-inf|from 0.001"},
    {"connect_timeout", REAL(1e308), "connect_timeout=1e+308|from 0.001"},
    {"connect_timeout", INT(86401), "connect_timeout=86401|86400 seconds"},
    {"connect_timeout", BOOL(true), "connect_timeout takes a number of seconds or none (null)|bool"},
    {"connect_timeout", STRING("3"), "connect_timeout takes a number of seconds|text"},
    {"retry_min", INT(0), "retry_min=0|from 0.001 to 86400 seconds"},
    {"retry_min", NONE, "retry_min cannot be none"},
    {"reset", STRING("alway"), "reset=alway|none of its choices|auto, always, never|DISCARD ALL"},
    {"reset", STRING(""), "reset is 0 bytes long"},
    {"reset", STRING("reset \xff"), "reset=reset ?|not UTF-8"},
    {"reset", NONE, "reset cannot be none"},
    {"reset_functions", STRING("a b"), "reset_functions: \"a b\"|no function's name|commas"},
    {"reset_functions", STRING("a,,b"), "reset_functions: \"\"|no function's name"},
    {"reset_functions", STRING("a."), "reset_functions: \"a.\""},
    {"reset_functions", STRING(".a"), "reset_functions: \".a\""},
    {"sqlite_begin", STRING("fast"), "sqlite_begin=fast|immediate|deferred|exclusive"},
    {"sqlite_begin", STRING("immed"), "sqlite_begin=immed|deferred"},
    {"sqlite_begin", STRING(""), "sqlite_begin=|deferred"},
    {"sqlite_begin", NONE, "sqlite_begin cannot be none|immediate"},
    {"circuit_failure_rate", REAL(1.5), "circuit_failure_rate=1.5|from 0.001 to 1"},
    {"circuit_recovery_timeout", NONE, "circuit_recovery_timeout cannot be none"},
    {"circuit_window", STRING("calls"), "circuit_window=calls|count|time"},
    {"circuit_ignore", STRING("08,UniqeViolation"), "circuit_ignore=UniqeViolation|UniqueViolation"},
    {"circuit_ignore", STRING("UniqeViolation"), "begins: did you mean UniqueViolation?"},
    {"circuit_ignore", STRING("NoSuchError"),
     "give such as ConnectionLost, UniqueViolation, 08, with commas"},
    {"circuit_failure_treshold", INT(3), "did you mean circuit_failure_threshold?"},
    {"circuit_name", STRING("x"), "unknown option circuit_name"},
    {"name", STRING(""), "name is 0 bytes long"},
    {"name", STRING("a\nb"), "name=a?b|control character"},
    {"name", STRING("a\xff"), "name=a?|UTF-8"},
    {"name", STRING("\xe0\x80\x80"), "UTF-8"},
    {"name", STRING("\xed\xa0\x80"), "UTF-8"},
    {"name", STRING("\xf4\x90\x80\x80"), "UTF-8"},
    {"name", STRING("ab\xc3"), "UTF-8"},
    {"name", STRING("a\0b"), "name holds a NUL"},
    {"name", BYTES("ab"), "name takes text or none (null)|bytes"},
    {"name", INT(3), "name takes text|int"},
    {"max_sise", INT(3), "unknown option max_sise|did you mean max_size?"},
    {"mxa_size", INT(3), "did you mean max_size?"},
    {"conect_timeout", INT(3), "did you mean connect_timeout?"},
    {"statement_cache", INT(3), "did you mean statement_cache_size?"},
    {"qqqqqqqqqqqqqq", INT(3), "unknown option qqqq|there are min_size, max_size|, name"},
    {"", INT(3), "unknown option |there are min_size"},
    {"an_option_whose_name_is_longer_than_any_that_there_is_or_ever_will_be", INT(3),
     "is_or_eve...|there are"},
};

START_TEST(refuses_to_set) {
    weir_options options, before;
    weir_error error = WEIR_ERROR_INIT;
    weir_options_init(&options);
    before = options;
    int code = weir_options_set(&options, bad_options[_i].name, &bad_options[_i].value, &error);
    assert_fails(code, &error, bad_options[_i].words);
    ck_assert_mem_eq(&options, &before, sizeof options);
    ck_assert_int_eq(weir_options_set(&options, bad_options[_i].name, &bad_options[_i].value, NULL), code);
}
END_TEST

static const struct {
    const char *name, *text;
    int64_t expected;
    const char *words; /* of the error, or NULL */
} texts[] = {
    {"lifo", "true", 1, NULL},
    {"lifo", "No", 0, NULL},
    {"lifo", "0", 0, NULL},
    {"require", "1", 1, NULL},
    {"require", "YES", 1, NULL},
    {"require", "on", 1, NULL},
    {"lifo", "off", 0, NULL},
    {"lifo", "false", 0, NULL},
    {"max_size", "8", 8, NULL},
    {"max_size", "+08", 8, NULL},
    {"max_waiting", "none", -1, NULL},
    {"max_waiting", "NULL", -1, NULL},
    {"connect_timeout", "0.5", 500, NULL},
    {"connect_timeout", ".0001", 1, NULL},
    {"connect_timeout", "30.", 30000, NULL},
    {"connect_timeout", "none", -1, NULL},
    {"circuit_failure_rate", "0.25", 250000, NULL},
    {"circuit_failure_rate", "none", -1, NULL},
    {"circuit_failure_rate", "half", 0, "circuit_failure_rate=half|no ratio|0.5, or none"},
    {"lifo", "maybe", 0, "lifo=maybe|true, false, 1, 0, yes, no, on or off"},
    {"lifo", "", 0, "lifo=|neither"},
    {"max_size", "", 0, "max_size=|no whole number|8"},
    {"max_size", "eight", 0, "max_size=eight|no whole number"},
    {"max_size", "8x", 0, "max_size=8x|no whole number"},
    {"max_size", "0x8", 0, "max_size=0x8|no whole number"},
    {"max_size", " 8", 0, "no whole number"},
    {"max_size", "1e2", 0, "no whole number"},
    {"max_size", "2.5", 0, "max_size=2.5|2 or 3"},
    {"max_size", "-3", 0, "max_size=-3|from 1 to 10000"},
    {"max_size", "99999999999999999999", 0, "max_size=1e+20|from 1 to 10000"},
    {"max_size", "11111111111111111111111111111111111111111", 0, "no whole number"},
    {"max_size", "none", 0, "max_size cannot be none"},
    {"connect_timeout", "inf", 0, "connect_timeout=inf|30 or 0.5, or none"},
    {"connect_timeout", "nan", 0, "connect_timeout=nan|number of seconds"},
    {"connect_timeout", "30s", 0, "connect_timeout=30s|number of seconds"},
    {"connect_timeout", "0,5", 0, "connect_timeout=0,5|number of seconds"},
    {"connect_timeout", ".", 0, "number of seconds"},
    {"connect_timeout", "0", 0, "switch it off with none (null)"},
    {"min_siez", "0", 0, "did you mean min_size?"},
};

START_TEST(sets_from_text) {
    weir_options options;
    weir_error error = WEIR_ERROR_INIT;
    weir_options_init(&options);
    int code = weir_options_set_text(&options, texts[_i].name, texts[_i].text, &error);
    if (texts[_i].words) {
        assert_fails(code, &error, texts[_i].words);
        ck_assert(!options.given[0] && !options.given[1]);
    } else {
        ck_assert_int_eq(code, WEIR_OK);
        ck_assert_int_eq(field(&options, texts[_i].name), texts[_i].expected);
    }
}
END_TEST

START_TEST(refuses_null_arguments) {
    weir_options options;
    weir_error error = WEIR_ERROR_INIT;
    weir_value one = INT(1);
    weir_options_init(NULL);
    weir_options_init(&options);
    ck_assert_int_eq(weir_options_set(NULL, "lifo", &one, &error), WEIR_EINVAL);
    ck_assert_int_eq(weir_options_set(&options, NULL, &one, &error), WEIR_EINVAL);
    ck_assert_int_eq(weir_options_set(&options, "lifo", NULL, &error), WEIR_EINVAL);
    ck_assert_int_eq(weir_options_set_text(NULL, "lifo", "1", &error), WEIR_EINVAL);
    ck_assert_int_eq(weir_options_set_text(&options, "lifo", NULL, &error), WEIR_EINVAL);
    ck_assert_int_eq(weir_options_check(NULL, &error), WEIR_EINVAL);
    ck_assert_ptr_null(weir__config_new(NULL, &error));
    ck_assert_int_eq(error.code, WEIR_EINVAL);
    weir__config_free(NULL);
    weir_error_clear(&error);
}
END_TEST

/* ---- weir_options_check, the table */

#define BAD_FIELD(n, member, wrong, words)                                                                   \
    case n:                                                                                                  \
        options.member = wrong;                                                                              \
        assert_fails(weir_options_check(&options, &error), &error, words);                                   \
        break;

START_TEST(checks_fields) {
    weir_options options;
    weir_error error = WEIR_ERROR_INIT;
    weir_options_init(&options);
    ck_assert_int_eq(weir_options_check(&options, &error), WEIR_OK);
    switch (_i) {
        BAD_FIELD(0, min_size, -1, "min_size=-1|from 0 to 10000")
        BAD_FIELD(1, max_size, 10001, "max_size=10001")
        BAD_FIELD(2, max_waiting, -2, "max_waiting=-2|none (null)")
        BAD_FIELD(3, connect_timeout_ms, 0, "connect_timeout=0|switch it off with none (null)")
        BAD_FIELD(4, connect_timeout_ms, -1500, "connect_timeout=-1.5|0.001")
        BAD_FIELD(5, connect_timeout_ms, INT64_MIN, "connect_timeout=-9223372036854775.808|0.001")
        BAD_FIELD(6, retry_min_ms, -1, "retry_min=-0.001|from 0.001")
        BAD_FIELD(7, sqlite_begin, "never", "sqlite_begin=never|deferred")
        BAD_FIELD(8, sqlite_begin, NULL, "sqlite_begin cannot be none")
        BAD_FIELD(9, name, "\t", "name=?|control")
        BAD_FIELD(10, size, sizeof options - 8, "options.size|weir_options_init")
    }
    options.size = 3;
    weir_value one = INT(1);
    assert_fails(weir_options_set(&options, "lifo", &one, &error), &error, "options.size is 3");
    assert_fails(weir_options_set_text(&options, "lifo", "1", &error), &error, "options.size is 3");
    ck_assert_ptr_null(weir__config_new(&options, &error));
    assert_fails(error.code, &error, "options.size is 3");
}
END_TEST

START_TEST(checks_given_pairs) {
    weir_options options;
    weir_error error = WEIR_ERROR_INIT;
    weir_options_init(&options);
    options.max_waiting = -1;
    options.idle_timeout_ms = -1;
    options.min_size = 4;
    options.max_size = 4;
    options.retry_min_ms = options.retry_max_ms;
    ck_assert_int_eq(weir_options_check(&options, &error), WEIR_OK);
    options.min_size = 9;
    assert_fails(weir_options_check(&options, &error), &error,
                 "min_size=9 is above max_size=4: lower min_size or raise max_size");
}
END_TEST

/* What users rely upon without naming it, by the number that they read: a table that is made of the options'
 * own would agree with any. */
static const struct {
    const char *name;
    int64_t expected; /* as above */
} defaults[] = {
    {"min_size", 5},
    {"max_size", 20},
    {"max_overflow", 0},
    {"max_waiting", -1},
    {"lifo", 1},
    {"pre_ping", 1},
    {"require", 0},
    {"max_lifetime", 3600000},
    {"idle_timeout", 300000},
    {"connect_timeout", 10000},
    {"checkout_timeout", 30000},
    {"command_timeout", 30000},
    {"lock_timeout", 5000},
    {"idle_in_transaction_timeout", -1},
    {"leak_threshold", 300000},
    {"close_timeout", 10000},
    {"retry_min", 100},
    {"retry_max", 5000},
    {"circuit_breaker", 1},
    {"circuit_failure_threshold", 5},
    {"circuit_probe_interval", 250},
    {"health_check_interval", 60000},
    {"health_check_timeout", 5000},
    {"validate_after", 120000},
    {"pipeline", 1},
    {"pipeline_max_wait", 5},
    {"readonly", 0},
    {"statement_cache_size", 100},
};

START_TEST(initial_values) {
    weir_options options;
    weir_options_init(&options);
    ck_assert_int_eq(field(&options, defaults[_i].name), defaults[_i].expected);
    ck_assert_str_eq(options.reset, "auto");
    ck_assert_str_eq(options.sqlite_begin, "immediate");
}
END_TEST

START_TEST(shows_the_table) {
    weir_options options;
    weir_error error = WEIR_ERROR_INIT;
    weir_option_info info;
    size_t rows = 0;
    weir_options_init(&options);
    for (; weir_option_table(rows, &info); rows++) {
        ck_assert_ptr_nonnull(info.name);
        ck_assert_uint_gt(strlen(info.text), 10);
        ck_assert(!weir__option_chosen(&options, weir__option_at(rows)));
        ck_assert_msg(weir_options_set(&options, info.name, &info.initial, &error) == WEIR_OK, "%s",
                      info.name);
        bool none = info.initial.type == WEIR_TYPE_NULL;
        ck_assert(!none || info.nullable);
        if (info.kind == WEIR_OPTION_COUNT || info.kind == WEIR_OPTION_TIME)
            ck_assert_double_lt(info.least, info.most);
    }
    ck_assert(rows > 64 && rows < 128); /* `given` has a bit for each */
    ck_assert_uint_eq(options.given[0], UINT64_MAX);
    ck_assert_uint_eq(options.given[1], (UINT64_C(1) << (rows - 64)) - 1);
    ck_assert(weir_option_table(0, &info));
    ck_assert_str_eq(info.name, "min_size");
    ck_assert_int_eq(info.initial.as.integer, 5);
    ck_assert(weir_option_table(19, &info));
    ck_assert_str_eq(info.name, "connect_timeout");
    ck_assert_double_eq(info.initial.as.real, 10.0);
    ck_assert_double_eq(info.least, 0.001);
    ck_assert_double_eq(info.most, 86400.0);
    ck_assert_int_eq(options.max_waiting, -1);
#define ONE(...) +1
    size_t end = rows - (WEIR_MONITOR_RULES(ONE, ONE, ONE, ONE)), own = end;
    for (weir_option_info rule; weir_breaker_option_table(end - own + 1, &rule);
         own--) { /* without its name */
    }
    ck_assert(weir_option_table(own - 1, &info));
    ck_assert_str_eq(info.name, "name");
    ck_assert(info.nullable);
    for (size_t row = own; row < end; row++) { /* the breaker's own table, by other names */
        weir_option_info rule;
        ck_assert(weir_option_table(row, &info) && weir_breaker_option_table(row - own + 1, &rule));
        ck_assert(strncmp(info.name, "circuit_", 8) == 0 && strcmp(info.name + 8, rule.name) == 0);
        ck_assert_str_eq(info.text, rule.text);
        ck_assert(info.kind == rule.kind && info.least == rule.least && info.most == rule.most);
    }
    ck_assert_int_eq(options.max_waiting, -1);
    ck_assert_int_eq((int)options.connect_timeout_ms, 10000);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("options");
    TCase *tests = tcase_create("options");
    tcase_add_loop_test(tests, sets, 0, COUNT_OF(good_options));
    tcase_add_loop_test(tests, refuses_to_set, 0, COUNT_OF(bad_options));
    tcase_add_loop_test(tests, sets_from_text, 0, COUNT_OF(texts));
    tcase_add_test(tests, refuses_null_arguments);
    tcase_add_loop_test(tests, checks_fields, 0, 11);
    tcase_add_test(tests, checks_given_pairs);
    tcase_add_loop_test(tests, initial_values, 0, COUNT_OF(defaults));
    tcase_add_test(tests, shows_the_table);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}

/* Options out of the environment. Check gives each test a process of its own, and with it an environment. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "config/config.h"
#include "config/option.h"
#include "config_assert.h"

static const struct {
    const char *variable, *text, *option;
    double number; /* of the option then; times in seconds */
} variables[] = {
    {"POD_COUNT", "3", "pod_count", 3},
    {"DB_MIN_POOL_SIZE", "3", "min_size", 3},
    {"DB_MAX_POOL_SIZE", "30", "max_size", 30},
    {"DB_POOL_SIZE", "31", "max_size", 31},
    {"DB_MAX_OVERFLOW", "7", "max_overflow", 7},
    {"DB_CONNECT_TIMEOUT", "2.5", "connect_timeout", 2.5},
    {"DB_COMMAND_TIMEOUT", "12", "command_timeout", 12},
    {"DB_CHECKOUT_TIMEOUT", "0.25", "checkout_timeout", 0.25},
    {"DB_POOL_TIMEOUT", "none", "checkout_timeout", -1},
    {"DB_POOL_RECYCLE", "1800", "max_lifetime", 1800},
    {"DB_CIRCUIT_FAILURE_THRESHOLD", "3", "circuit_failure_threshold", 3},
    {"DB_CIRCUIT_RECOVERY_TIMEOUT", "120", "circuit_recovery_timeout", 120},
    {"DB_HEALTH_CHECK_INTERVAL", "none", "health_check_interval", -1},
    {"DB_ENABLE_MONITORING", "false", "monitoring", 0},
    {"DB_METRICS_INTERVAL", "30", "monitoring_interval", 30},
    {"DB_MAX_CHECKOUT_TIME", "2.0", "alert_checkout_time", 2},
    {"DB_MAX_QUERY_TIME", "2.5", "alert_query_time", 2.5},
    {"DB_CONNECTION_FAILURE_THRESHOLD", "0.05", "alert_checkout_failure_rate", 0.05},
    {"DB_ECHO", "true", "echo", 1},
};

static weir__config *make(const char *url, weir_error *error) {
    weir_options options;
    weir_options_init(&options);
    options.url = url;
    return weir__config_new(&options, error);
}

static double number_of(const weir_options *options, const char *name) {
    weir_value value = weir__option_value(options, weir__option_find(name));
    if (value.type == WEIR_TYPE_NULL) return -1;
    if (value.type == WEIR_TYPE_FLOAT) return value.as.real;
    return value.type == WEIR_TYPE_BOOL ? value.as.boolean : (double)value.as.integer;
}

static void assert_option(const char *url, const char *option, double number) {
    weir_error error = WEIR_ERROR_INIT;
    weir__config *config = make(url, &error);
    ck_assert_msg(config, "%s", error.message);
    ck_assert_double_eq(number_of(&config->options, option), number);
    weir__config_free(config);
}

START_TEST(sets_option) {
    const char *option = variables[_i].option;
    weir_options defaults;
    weir_options_init(&defaults);
    setenv(variables[_i].variable, "", 1);
    assert_option("sqlite://", option, number_of(&defaults, option));
    setenv(variables[_i].variable, variables[_i].text, 1);
    ck_assert_double_ne(number_of(&defaults, option), variables[_i].number);
    assert_option("sqlite://", option, variables[_i].number);
}
END_TEST

/* Each row of the table is a row of the test, in the same order. */
START_TEST(all_are_tested) {
    size_t row = 0;
#define ROW(name, of)                                                                                        \
    if (strcmp(of, "url") != 0) {                                                                            \
        ck_assert_str_eq(variables[row].variable, name);                                                     \
        ck_assert_str_eq(variables[row].option, of);                                                         \
        ck_assert_ptr_nonnull(weir__option_find(of));                                                        \
        row++;                                                                                               \
    }
    WEIR_VARIABLES(ROW)
#undef ROW
    ck_assert_int_eq((int)row, COUNT_OF(variables));
    ck_assert_str_eq(weir_option_variable("url", 0), "DATABASE_URL");
    ck_assert_str_eq(weir_option_variable("max_size", 0), "DB_MAX_POOL_SIZE");
    ck_assert_str_eq(weir_option_variable("max_size", 1), "DB_POOL_SIZE");
    ck_assert_ptr_null(weir_option_variable("max_size", 2));
    ck_assert_ptr_null(weir_option_variable("lifo", 0));
    ck_assert_ptr_null(weir_option_variable(NULL, 0));
}
END_TEST

START_TEST(argument_beats_query_beats_variable_beats_default) {
    weir_options options;
    weir_error error = WEIR_ERROR_INIT;
    assert_option("sqlite://", "max_size", 20);
    setenv("DB_POOL_SIZE", "31", 1);
    assert_option("sqlite://", "max_size", 31);
    setenv("DB_MAX_POOL_SIZE", "30", 1);
    assert_option("sqlite://", "max_size", 30);
    assert_option("sqlite://?max_size=20", "max_size", 20); /* the default, but chosen */
    weir_options_init(&options);
    options.url = "sqlite://?max_size=12";
    weir_value size = {.type = WEIR_TYPE_INT, .as.integer = 11};
    ck_assert_int_eq(weir_options_set(&options, "max_size", &size, &error), WEIR_OK);
    weir__config *config = weir__config_new(&options, &error);
    ck_assert_int_eq(config->options.max_size, 11);
    weir__config_free(config);
}
END_TEST

START_TEST(reads_the_url) {
    weir_error error = WEIR_ERROR_INIT;
    setenv("DATABASE_URL", "postgresql+asyncpg://user:pw@host/db?max_size=9", 1);
    weir__config *config = make(NULL, &error);
    ck_assert_msg(config, "%s", error.message);
    ck_assert_str_eq(config->options.url, "postgresql+asyncpg://user@host/db?max_size=9");
    ck_assert_str_eq(config->password, "pw");
    ck_assert_int_eq(config->options.max_size, 9);
    weir__config_free(config);
    config = make("sqlite://", &error);
    ck_assert_str_eq(config->options.url, "sqlite://");
    weir__config_free(config);
}
END_TEST

START_TEST(can_be_switched_off) {
    weir_options options;
    weir_error error = WEIR_ERROR_INIT;
    setenv("DATABASE_URL", "sqlite://", 1);
    setenv("DB_MAX_POOL_SIZE", "many", 1);
    assert_option("sqlite://?environment=off", "max_size", 20);
    weir_options_init(&options);
    options.url = "sqlite://";
    options.environment = false;
    weir__config *config = weir__config_new(&options, &error);
    ck_assert_int_eq(config->options.max_size, 20);
    weir__config_free(config);
    options.url = NULL;
    ck_assert_ptr_null(weir__config_new(&options, &error));
    ck_assert_ptr_null(strstr(error.message, "DATABASE_URL"));
    assert_fails(error.code, &error, "there is no URL: give one");
}
END_TEST

static const struct {
    const char *variable, *text, *url, *words;
} wrong[] = {
    {"DB_MAX_POOL_SIZE", "abc", "sqlite://",
     "DB_MAX_POOL_SIZE in the environment: max_size=abc is no whole number|8"},
    {"POD_COUNT", "abc", "sqlite://", "POD_COUNT in the environment: pod_count=abc is no whole number"},
    {"DB_POOL_SIZE", "2.5", "sqlite://", "DB_POOL_SIZE in the environment: max_size=2.5|give 2 or 3"},
    {"DB_MAX_OVERFLOW", "-1", "sqlite://", "DB_MAX_OVERFLOW in the environment: max_overflow=-1|from 0"},
    {"DB_CONNECT_TIMEOUT", "0", "sqlite://", "DB_CONNECT_TIMEOUT in the environment: connect_timeout=0|none"},
    {"DB_POOL_RECYCLE", "-1", "sqlite://", "DB_POOL_RECYCLE in the environment: max_lifetime=-1|or none"},
    {"DB_MIN_POOL_SIZE", "21", "sqlite://",
     "min_size=21 (DB_MIN_POOL_SIZE) is above max_size=20 (the default)"},
    {"DB_POOL_SIZE", "2", "sqlite://?min_size=3", "min_size=3 is above max_size=2 (DB_POOL_SIZE): lower"},
    {"DATABASE_URL", "", NULL, "there is no URL, and DATABASE_URL is not set in the environment: give one"},
    {"DATABASE_URL", "sesame", NULL, "DATABASE_URL in the environment: the URL does not begin with a scheme"},
    {"DATABASE_URL", "postgresql://u:sesame@h:p/d", NULL,
     "DATABASE_URL in the environment: the port of host 1"},
    {"DATABASE_URL", "postgresql://u:sesame@h/d?lifo=x", NULL, "DATABASE_URL in the environment: lifo=x"},
};

START_TEST(names_what_is_wrong) {
    weir_error error = WEIR_ERROR_INIT;
    long live = weir__alloc_live();
    setenv(wrong[_i].variable, wrong[_i].text, 1);
    ck_assert_ptr_null(make(wrong[_i].url, &error));
    ck_assert_ptr_null(strstr(error.message, "sesame"));
    assert_fails(error.code, &error, wrong[_i].words);
    ck_assert_ptr_null(make(wrong[_i].url, NULL));
    ck_assert_int_eq(weir__alloc_live(), live);
}
END_TEST

START_TEST(survives_lack_of_memory) {
    weir_error error = WEIR_ERROR_INIT;
    long live = weir__alloc_live(), k = 0, taken = 0;
    setenv("DATABASE_URL", "postgresql://u:pw@h/d", 1);
    setenv("DB_MAX_POOL_SIZE", _i ? "9" : "many", 1);
    do {
        weir__alloc_fail_at(++k, false);
        weir__config *config = make(NULL, &error);
        taken = weir__alloc_count();
        weir__alloc_fail_at(0, false);
        ck_assert(!config == (error.code != WEIR_OK));
        ck_assert(config || k <= taken || !_i);
        if (config) ck_assert_int_eq(config->options.max_size, 9);
        weir__config_free(config);
        weir_error_clear(&error);
        ck_assert_int_eq(weir__alloc_live(), live);
    } while (k <= taken);
    ck_assert_int_gt(k, 4);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("environment");
    TCase *tests = tcase_create("environment");
    tcase_add_loop_test(tests, sets_option, 0, COUNT_OF(variables));
    tcase_add_test(tests, all_are_tested);
    tcase_add_test(tests, argument_beats_query_beats_variable_beats_default);
    tcase_add_test(tests, reads_the_url);
    tcase_add_test(tests, can_be_switched_off);
    tcase_add_loop_test(tests, names_what_is_wrong, 0, COUNT_OF(wrong));
    tcase_add_loop_test(tests, survives_lack_of_memory, 0, 2);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* What sizing by pods makes of max_size: each combination a row, written as an URL's query. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "config/config.h"
#include "config/sizing.h"
#include "config_assert.h"

static const struct {
    const char *query;
    int min_size, max_size; /* 0: refused */
    const char *words;
} cases[] = {
    {"", 5, 20, NULL},
    {"pod_count=3", 5, 10, NULL},
    {"pod_count=none", 5, 20, NULL},
    {"pod_count=100000", 5, 10, NULL},
    {"connections_per_pod=15", 5, 15, NULL},
    {"pod_count=3&connections_per_pod=15", 5, 15, NULL},
    {"pod_count=3&connections_per_pod=40&min_size=30", 30, 40, NULL},
    {"pod_count=3&connections_per_pod=3", 3, 3, NULL},
    {"pod_count=3&max_size=20", 5, 20, NULL},
    {"pod_count=3&max_size=20&connections_per_pod=15", 5, 15, NULL},
    {"pod_count=3&max_size=12&connections_per_pod=15", 5, 12, NULL},
    {"pod_count=3&max_size=20&max_overflow=10&min_size=5", 5, 20, NULL},
    {"pod_count=3&connection_budget=90", 5, 10, NULL},
    {"pod_count=10&connection_budget=90", 5, 9, NULL},
    {"pod_count=10&connection_budget=99", 5, 9, NULL},
    {"pod_count=10&connection_budget=100&connection_reserve=10", 5, 9, NULL},
    {"pod_count=10&connection_budget=100&connection_reserve=1", 5, 9, NULL},
    {"pod_count=3&connection_budget=90&max_size=50", 5, 30, NULL},
    {"pod_count=3&connection_budget=90&max_size=50&max_overflow=10", 5, 20, NULL},
    {"pod_count=3&connection_budget=90&connections_per_pod=50&max_overflow=29", 1, 1, NULL},
    {"pod_count=30&connection_budget=90", 3, 3, NULL},
    {"pod_count=30&connection_budget=90&min_size=3", 3, 3, NULL},
    {"pod_count=90&connection_budget=90", 1, 1, NULL},
    {"pod_count=1&connection_budget=90&max_size=90", 5, 90, NULL},
    {"pod_count=0", 0, 0, "pod_count=0 is out of range: give from 1 to 100000"},
    {"connections_per_pod=none", 0, 0, "connections_per_pod cannot be none"},
    {"connection_budget=90", 0, 0, "connection_budget=90|pod_count, which is not given|POD_COUNT"},
    {"connection_reserve=9", 0, 0, "connection_reserve=9 is a part of connection_budget, which is not given"},
    {"pod_count=3&connection_reserve=9", 0, 0, "connection_reserve=9 is a part of connection_budget"},
    {"pod_count=91&connection_budget=90", 0, 0,
     "connection_budget=90 over pod_count=91 leaves no connection to a pool: raise"},
    {"pod_count=1&connection_budget=9&connection_reserve=10", 0, 0,
     "connection_budget=9 less connection_reserve=10 over pod_count=1 leaves no connection"},
    {"pod_count=10&connection_budget=90&max_overflow=9", 0, 0,
     "max_overflow=9 leaves nothing of the 9 connections|connection_budget=90 over pod_count=10|lower"},
    {"pod_count=30&connection_budget=90&min_size=4", 0, 0,
     "min_size=4 is above the 3 that max_size has by connection_budget=90 over pod_count=30: lower"},
    {"pod_count=3&min_size=11", 0, 0,
     "min_size=11 is above the 10 that max_size has by connections_per_pod=10"},
    {"pod_source=dns&pod_service=web&connection_budget=90", 5, 20, NULL},
    {"pod_source=dns&pod_service=web&connection_budget=9&pod_count=3", 5, 10, NULL},
    {"pod_source=database&connection_budget=90&connections_per_pod=30", 5, 30, NULL},
    {"pod_source=database&connection_budget=9&pod_count=30", 5, 10, NULL},
    {"pod_source=database&connection_budget=9&pod_refresh=1&pod_dead_after=3&fleet=a", 5, 20, NULL},
    {"pod_source=kubernetes", 0, 0, "pod_source=kubernetes|give static|dns|database"},
    {"pod_source=dns&connection_budget=90", 0, 0, "pod_source=dns looks up pod_service, which is not given"},
    {"pod_service=web", 0, 0, "pod_service=web is looked up with pod_source=dns alone"},
    {"fleet=a&pod_source=dns&pod_service=web", 0, 0, "fleet=a is a name for pod_source=database alone"},
    {"pod_source=dns&pod_service=web", 0, 0,
     "pod_source=dns divides connection_budget less|nothing to divide"},
    {"pod_source=database&connection_budget=9&connection_reserve=9", 0, 0,
     "connection_budget less connection_reserve=9|nothing to divide"},
    {"pod_source=database&connection_budget=9&pod_dead_after=20", 0, 0,
     "pod_dead_after=20 is less than three times pod_refresh=10"},
    {"pod_count=3&min_size=21&max_size=20", 0, 0, "min_size=21 is above max_size=20: lower"},
};

START_TEST(sizes) {
    weir_options options;
    weir_error error = WEIR_ERROR_INIT;
    char url[200];
    long live = weir__alloc_live();
    weir_options_init(&options);
    options.environment = false;
    snprintf(url, sizeof url, "sqlite://%s%s", *cases[_i].query ? "?" : "", cases[_i].query);
    options.url = url;
    weir__config *config = weir__config_new(&options, &error);
    if (cases[_i].words) {
        ck_assert_ptr_null(config);
        assert_fails(error.code, &error, cases[_i].words);
        ck_assert_ptr_null(weir__config_new(&options, NULL));
    } else {
        ck_assert_msg(config, "%s", error.message);
        ck_assert_int_eq(config->options.min_size, cases[_i].min_size);
        ck_assert_int_eq(config->options.max_size, cases[_i].max_size);
    }
    weir__config_free(config);
    ck_assert_int_eq(weir__alloc_live(), live);
}
END_TEST

START_TEST(bounds_resizing) {
    weir_options options;
    weir_error error = WEIR_ERROR_INIT;
    weir_options_init(&options);
    ck_assert_int_eq(weir__sizing_check(&options, 10000, &error), WEIR_OK);
    options.pod_count = 3;
    ck_assert_int_eq(weir__sizing_check(&options, 10000, &error), WEIR_OK);
    options.connection_budget = 90;
    options.max_overflow = 4;
    ck_assert_int_eq(weir__sizing_check(&options, 26, &error), WEIR_OK);
    assert_fails(weir__sizing_check(&options, 27, &error), &error,
                 "max_size=27 is above the 26|connection_budget=90 over pod_count=3|max_overflow=4: lower");
    ck_assert_int_eq(weir__sizing_check(&options, 27, NULL), WEIR_EOPTION);
}
END_TEST

/* So many pods, with what is set of the options, and what each may have. */
static const struct {
    int budget, reserve, surge, expected, pods, places, share;
} parts[] = {
    {50, 0, -1, -1, 20, 5, 2}, {50, 0, -1, 20, 20, 5, 2},  {50, 0, -1, 20, 8, 12, 4},
    {50, 0, -1, -1, 1, 1, 49}, {50, 0, 10, -1, 4, 10, 10}, {50, 0, 0, -1, 4, 0, 12},
    {60, 10, 0, -1, 4, 0, 12}, {10, 0, -1, -1, 9, 1, 1},   {10, 0, -1, -1, 10, 0, 1},
    {10, 0, -1, -1, 30, 0, 1}, {10, 0, 100, 100, 4, 6, 1},
};

START_TEST(divides) {
    weir_options options;
    weir_options_init(&options);
    options.connection_budget = parts[_i].budget;
    options.connection_reserve = parts[_i].reserve;
    options.pod_surge = parts[_i].surge;
    options.pod_count = parts[_i].expected;
    ck_assert_int_eq(weir__sizing_places(&options, parts[_i].pods), parts[_i].places);
    ck_assert_int_eq(weir__sizing_share_of(&options, parts[_i].pods), parts[_i].share);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sizing");
    TCase *tests = tcase_create("sizing");
    tcase_add_loop_test(tests, sizes, 0, COUNT_OF(cases));
    tcase_add_test(tests, bounds_resizing);
    tcase_add_loop_test(tests, divides, 0, COUNT_OF(parts));
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

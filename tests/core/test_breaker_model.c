/*
 * A million seeded histories of the circuit breaker, compared with its specification after each step; see
 * support_breaker.h.
 *     WEIR_BREAKER_SEEDS=100000000 test_breaker_model     that many
 *     WEIR_BREAKER_SEED=4711 test_breaker_model           this one, step by step on stdout
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "support_breaker.h"
#include "support_suite.h"

/* Sanitizers make a step many times slower. */
#ifdef NDEBUG
#define SEEDS 1000000
#else
#define SEEDS 60000
#endif

START_TEST(histories) {
    const char *text = getenv("WEIR_BREAKER_SEEDS");
    long count = text ? strtol(text, NULL, 10) : SEEDS;
    breaker_report report, sum = {.fault = ""};
    for (long seed = 1; seed <= count; seed++) {
        breaker_history((uint64_t)seed, FAULT_NONE, false, &report);
        if (report.fault[0])
            ck_abort_msg("seed %ld, %s (again, with its trace: WEIR_BREAKER_SEED=%ld)", seed, report.fault,
                         seed);
        sum.steps += report.steps;
        sum.opened += report.opened;
        sum.half_opened += report.half_opened;
        sum.closed += report.closed;
        sum.late += report.late;
        sum.refused += report.refused;
        sum.exceeded += report.exceeded;
    }
    /* histories in which nothing happens would find nothing */
    ck_assert_int_gt(sum.steps, count * 20);
    ck_assert_int_gt(sum.opened, count);
    ck_assert_int_gt(sum.half_opened, count / 2);
    ck_assert_int_gt(sum.closed, count / 5);
    ck_assert_int_gt(sum.late, count / 5);
    ck_assert_int_gt(sum.refused, count);
    ck_assert_int_gt(sum.exceeded, count / 50);
}
END_TEST

/* Each fault is found soon, and the seed that found it finds it again, at the same step. */
START_TEST(a_planted_fault_is_found) {
    breaker_report first, second;
    uint64_t seed = 0;
    do {
        breaker_history(++seed, (breaker_fault)_i, false, &first);
    } while (!first.fault[0] && seed < 3000);
    ck_assert_msg(first.fault[0], "fault %d was not found", _i);
    breaker_history(seed, (breaker_fault)_i, false, &second);
    ck_assert_str_eq(first.fault, second.fault);
    ck_assert_int_eq(first.steps, second.steps);
    breaker_history(seed, FAULT_NONE, false, &second);
    ck_assert_str_eq(second.fault, "");
}
END_TEST

int main(void) {
    const char *seed = getenv("WEIR_BREAKER_SEED");
    if (seed) {
        breaker_report report;
        breaker_history(strtoull(seed, NULL, 10), FAULT_NONE, true, &report);
        printf("%s\n", report.fault[0] ? report.fault : "as specified");
        return report.fault[0] != '\0';
    }
    Suite *suite = suite_create("breaker_model");
    TCase *tests = tcase_create("model");
    tcase_set_timeout(tests, 0);
    suite_add_tcase(suite, tests);
    tcase_add_test(tests, histories);
    tcase_add_loop_test(tests, a_planted_fault_is_found, FAULT_NONE + 1, FAULTS);
    return run_suite(suite);
}

/*
 * Thousands of seeded schedules of everything that can happen to a pool; see support_sim.h.
 *     WEIR_SIM_SEEDS=100000 test_sim     that many
 *     WEIR_SIM_SEED=4711 test_sim        this one, step by step on stdout
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support_sim.h"
#include "support_suite.h"

#ifdef __SANITIZE_THREAD__ /* there is one thread: nothing to be found, at eight times the cost */
enum { SEEDS = 1000, STARVED_SEEDS = 100, PLANTED_SEEDS = 40 };
#elif defined __SANITIZE_ADDRESS__ /* every kind of schedule is among so many */
enum { SEEDS = 2500, STARVED_SEEDS = 250, PLANTED_SEEDS = 40 };
#else
enum { SEEDS = 10000, STARVED_SEEDS = 1000, PLANTED_SEEDS = 40 };
#endif

static long seeds(long otherwise) {
    const char *text = getenv("WEIR_SIM_SEEDS");
    return text ? strtol(text, NULL, 10) : otherwise;
}

static sim_report run_many(long count, const sim_plan *plan) {
    bool starve = plan->starve, breakers = plan->breakers;
    sim_report report, sum = {0};
    for (long seed = 1; seed <= count; seed++) {
        sim_plan one = *plan;
        one.seed = (uint64_t)seed;
        sim_run(&one, &report);
        if (report.fault[0])
            ck_abort_msg("seed %ld: %s (again, with its trace: WEIR_SIM_SEED=%s%s%s%ld)", seed, report.fault,
                         breakers ? "breakers:" : "", plan->overload ? "overload:" : "",
                         starve ? "starve:" : "", seed);
        sum.granted += report.granted;
        sum.completions += report.completions;
        sum.judged += report.judged;
        sum.cancelled += report.cancelled;
        sum.lost += report.lost;
        sum.starved += report.starved;
        sum.refused += report.refused;
        sum.checks += report.checks;
        sum.probes += report.probes;
        sum.recovered += report.recovered;
        sum.forced += report.forced;
        sum.outages += report.outages;
        sum.overloads += report.overloads;
        sum.shed += report.shed;
        sum.limited += report.limited;
    }
    /* a simulation in which nothing happens would find nothing */
    ck_assert_int_gt(sum.granted, count * (breakers ? 2 : 5)); /* who is refused gets nothing */
    ck_assert_int_gt(sum.completions, count * (breakers ? 10 : 20));
    ck_assert_int_gt(sum.cancelled, count * 2);
    ck_assert_int_gt(sum.lost, count / 2);
    ck_assert_int_gt(sum.checks, count);
    ck_assert(!starve || sum.starved > count * 10);
    return sum;
}

START_TEST(schedules) { run_many(seeds(SEEDS), &(sim_plan){0}); }
END_TEST

START_TEST(schedules_without_memory) { run_many(seeds(STARVED_SEEDS), &(sim_plan){.starve = true}); }
END_TEST

START_TEST(schedules_with_breakers) {
    long count = seeds(SEEDS);
    sim_report sum = run_many(count, &(sim_plan){.breakers = true});
    ck_assert_int_gt(sum.refused, count * 5);
    ck_assert_int_gt(sum.probes, count);
    ck_assert_int_gt(sum.recovered, count / 200);
    ck_assert_int_gt(sum.forced, count);
    ck_assert_int_gt(sum.judged, count / 2);
    ck_assert_int_gt(sum.outages, count / 2);
}
END_TEST

START_TEST(schedules_with_breakers_without_memory) {
    run_many(seeds(STARVED_SEEDS), &(sim_plan){.starve = true, .breakers = true});
}
END_TEST

START_TEST(schedules_in_overload) {
    long count = seeds(SEEDS) / 4;
    sim_report sum = run_many(count, &(sim_plan){.overload = true});
    ck_assert_int_gt(sum.overloads, count);
    ck_assert_int_gt(sum.shed, count);
    ck_assert_int_gt(sum.limited, count / 20);
}
END_TEST

START_TEST(schedules_in_overload_without_memory) {
    run_many(seeds(STARVED_SEEDS), &(sim_plan){.starve = true, .overload = true, .breakers = true});
}
END_TEST

START_TEST(a_seed_replays) {
    for (uint64_t seed = 1; seed <= 50; seed++) {
        sim_report first, second;
        bool breakers = seed % 2;
        sim_run(&(sim_plan){.seed = seed, .breakers = breakers}, &first);
        sim_run(&(sim_plan){.seed = seed, .breakers = breakers}, &second);
        ck_assert_uint_eq(first.hash, second.hash);
        sim_run(&(sim_plan){.seed = seed + 1000000, .breakers = breakers}, &second);
        ck_assert_uint_ne(first.hash, second.hash);
    }
}
END_TEST

/* The invariants are worth something only if they find a fault that is there: every lost wake-up is found, at
   its very step, and the seed that found it finds it again. */
START_TEST(a_planted_fault_is_found) {
    int planted = 0;
    for (uint64_t seed = 1; seed <= PLANTED_SEEDS; seed++) {
        sim_report first, second;
        sim_run(&(sim_plan){.seed = seed, .lose_wake = true}, &first);
        ck_assert_msg(first.planted == (first.fault[0] != 0), "seed %d: %s", (int)seed, first.fault);
        if (!first.planted) continue;
        planted++;
        ck_assert_ptr_nonnull(strstr(first.fault, "somebody waits while a connection is idle"));
        sim_run(&(sim_plan){.seed = seed, .lose_wake = true}, &second);
        ck_assert_str_eq(first.fault, second.fault);
        ck_assert_uint_eq(first.hash, second.hash);
    }
    ck_assert_int_gt(planted, PLANTED_SEEDS / 4);
}
END_TEST

START_TEST(a_call_that_is_let_in_is_found) {
    int planted = 0;
    for (uint64_t seed = 1; seed <= 2 * PLANTED_SEEDS; seed++) { /* an idle connection behind it is rare */
        sim_report report;
        sim_run(&(sim_plan){.seed = seed, .breakers = true, .let_in = true}, &report);
        ck_assert_msg(report.planted == (report.fault[0] != 0), "seed %d: %s", (int)seed, report.fault);
        if (!report.planted) continue;
        planted++;
        ck_assert_ptr_nonnull(strstr(report.fault, "a call was let in while the breaker was open"));
    }
    ck_assert_int_gt(planted, PLANTED_SEEDS / 4);
}
END_TEST

static int replay(const char *text) {
    sim_report report;
    const char *number = strrchr(text, ':');
    sim_plan plan = {.seed = strtoull(number ? number + 1 : text, NULL, 10),
                     .starve = strstr(text, "starve:"),
                     .lose_wake = strstr(text, "plant:"),
                     .breakers = strstr(text, "breakers:"),
                     .overload = strstr(text, "overload:"),
                     .print = true};
    sim_run(&plan, &report);
    printf("hash %016llx: %s\n", (unsigned long long)report.hash,
           report.fault[0] ? report.fault : "nothing found");
    return report.fault[0] ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(void) {
    if (getenv("WEIR_SIM_SEED")) return replay(getenv("WEIR_SIM_SEED"));
    Suite *suite = suite_create("sim");
    TCase *tc = tcase_create("sim");
    tcase_set_timeout(tc, 3600);
    tcase_add_test(tc, a_seed_replays);
    tcase_add_test(tc, a_planted_fault_is_found);
    tcase_add_test(tc, schedules);
    tcase_add_test(tc, schedules_without_memory);
    tcase_add_test(tc, schedules_in_overload);
    tcase_add_test(tc, schedules_in_overload_without_memory);
    tcase_add_test(tc, a_call_that_is_let_in_is_found);
    tcase_add_test(tc, schedules_with_breakers);
    tcase_add_test(tc, schedules_with_breakers_without_memory);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}

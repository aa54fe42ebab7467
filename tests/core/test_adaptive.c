/*
 * The adaptive size, beside each fixed one, on a simulated server: support_load.h.
 *     WEIR_LOAD=lock test_adaptive                  the scenarios whose names have that, size by size on
 * stdout WEIR_LOAD=lock WEIR_STEPS=1 test_adaptive     … and what the adaptive one does
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support_load.h"
#include "support_suite.h"

#if defined __SANITIZE_THREAD__ || defined __SANITIZE_ADDRESS__ /* the release has the rest */
enum { SEEDS = 1, JUDGED = 0 };
#else
enum { SEEDS = 2, JUDGED = 1 };
#endif

static const load LOADS[] = {
    {"load step", .pools = 1, .patience_ms = 500, .kinds = {{100, 5, false}},
     .phases = {{4000, 300, 4, 1, 0}, {9000, 1200, 4, 1, 0}, {12000, 300, 4, 1, 0}}},
    {"processors halved", .pools = 1, .patience_ms = 500, .kinds = {{100, 5, false}},
     .phases = {{4000, 1000, 8, 1, 0}, {12000, 1000, 4, 1, 0}}},
    {"lock storm", .pools = 1, .patience_ms = 300, .kinds = {{85, 3, false}, {15, 3, true}},
     .phases = {{4000, 800, 4, 1, 0}, {8000, 800, 4, 1, 25}, {12000, 800, 4, 1, 0}}},
    {"bimodal", .pools = 1, .patience_ms = 500, .kinds = {{90, 2, false}, {10, 60, false}},
     .phases = {{4000, 350, 4, 1, 0}, {12000, 600, 4, 1, 0}}},
    {"four pools", .pools = 4, .patience_ms = 500, .kinds = {{100, 5, false}},
     .phases = {{4000, 500, 4, 1, 0}, {12000, 1000, 4, 1, 0}}},
    {"holders that think", .pools = 1, .think_ms = 50, .patience_ms = 500, .kinds = {{100, 1, false}},
     .phases = {{4000, 300, 4, 1, 0}, {12000, 900, 4, 1, 0}}},
    {"overloaded from the begin", .pools = 1, .patience_ms = 500, .kinds = {{100, 5, false}},
     .phases = {{10000, 1000, 4, 1, 0}}},
    {"processors slowed", .pools = 1, .patience_ms = 500, .kinds = {{100, 5, false}},
     .phases = {{4000, 500, 4, 1, 0}, {12000, 500, 4, 0.5, 0}}},
};
enum { LOAD_COUNT = sizeof LOADS / sizeof *LOADS, LOAD_STEP = 0, BIMODAL = 3 };

static const int SIZES[] = {2, 3, 4, 6, 8, 16, 32, 64};
enum { SIZE_COUNT = sizeof SIZES / sizeof *SIZES, MOST = 96 };

typedef struct verdict {
    load_report best, own; /* of the best fixed size, and adaptive */
    int size;              /* the best */
    const char *fault;     /* what did not hold in any of the runs; NULL */
} verdict;

static void print(const char *what, int size, const load_report *r) {
    printf("  %-8s %3d: in time %6ld of %6ld (%5.1f %%), late %6ld, refused %6ld, p99 %6.1f ms\n", what, size,
           r->good, r->asked, 100.0 * (double)r->good / (double)r->asked, r->late, r->refused, r->p99_ms);
}

/* All as in `setup`, at each fixed size, too. */
static void measure(const load *load, const load_setup *setup, bool prints, verdict *out) {
    load_report r;
    load_setup fixed = *setup;
    *out = (verdict){0};
    fixed.adaptive = fixed.deaf = fixed.print = false;
    for (int i = 0; i < (JUDGED ? SIZE_COUNT : 1); i++) {
        fixed.size = SIZES[i];
        load_run(load, &fixed, &r);
        if (r.fault) out->fault = r.fault;
        if (prints) print("fixed", fixed.size, &r);
        bool better = r.good > out->best.good || (r.good == out->best.good && r.p99_ms < out->best.p99_ms);
        if (!better) continue;
        out->best = r;
        out->size = fixed.size;
    }
    load_run(load, setup, &out->own);
    if (out->own.fault) out->fault = out->own.fault;
    if (prints) print("adaptive", setup->size, &out->own);
}

static double gain(const verdict *v) { return (double)v->own.good / (double)v->best.good; }
static double delay(const verdict *v) { return v->own.p99_ms / v->best.p99_ms; }

static const load_setup ADAPTIVE = {.size = MOST, .adaptive = true, .seeds = SEEDS};

static void judge(int i, bool codel, int seeds, verdict *v) {
    load_setup setup = ADAPTIVE;
    setup.codel = codel;
    setup.seeds = seeds;
    measure(&LOADS[i], &setup, false, v);
    ck_assert_msg(!v->fault, "%s: %s", LOADS[i].name, v->fault);
    if (!JUDGED) return;
    ck_assert_msg(gain(v) >= 0.95, "%s: %.3f of what %d connections do in time", LOADS[i].name, gain(v),
                  v->size);
}

/* As good as if somebody had known the size that is best there. */
START_TEST(in_each_scenario) {
    verdict v;
    judge(_i, false, SEEDS, &v);
    if (JUDGED)
        ck_assert_msg(delay(&v) <= 1.2, "%s: a p99 of %.2f times that of %d connections", LOADS[_i].name,
                      delay(&v), v.size);
}
END_TEST

/*
 * Likewise where the queue has its rule. But for the bimodal load (0.93): the rule picks blindly whom it
 * refuses, while a large pool starves those who ask for most, which leaves more of the others in time.
 */
START_TEST(with_the_queues_rule) {
    verdict v;
    if (_i != BIMODAL) judge(_i, true, 1, &v);
}
END_TEST

/* Where there is nothing to be learnt nothing could be found wrong. */
START_TEST(a_limit_that_is_not_heeded_is_found) {
    verdict v;
    load_setup setup = ADAPTIVE;
    setup.deaf = true;
    setup.seeds = 1;
    measure(&LOADS[LOAD_STEP], &setup, false, &v);
    if (JUDGED) ck_assert_msg(gain(&v) < 0.8, "%.3f", gain(&v));
}
END_TEST

START_TEST(a_seed_replays) {
    load_report one, two;
    load_setup setup = ADAPTIVE;
    setup.codel = true;
    setup.seeds = 1;
    load_run(&LOADS[LOAD_STEP], &setup, &one);
    load_run(&LOADS[LOAD_STEP], &setup, &two);
    ck_assert(one.good == two.good && one.late == two.late && one.refused == two.refused);
    ck_assert(one.p99_ms == two.p99_ms && one.limit == two.limit);
}
END_TEST

static int show(const char *name) {
    verdict v;
    for (int i = 0; i < LOAD_COUNT; i++) {
        for (int codel = 0; codel < 2 && strstr(LOADS[i].name, name); codel++) {
            load_setup setup = ADAPTIVE;
            setup.codel = codel;
            setup.print = getenv("WEIR_STEPS");
            if (getenv("WEIR_SEEDS")) setup.seeds = (int)strtol(getenv("WEIR_SEEDS"), NULL, 10);
            printf("%s%s\n", LOADS[i].name, codel ? ", queue_target" : "");
            measure(&LOADS[i], &setup, true, &v);
            printf("  %.3f of the best, p99 %.2f times\n", gain(&v), delay(&v));
        }
    }
    return EXIT_SUCCESS;
}

int main(void) {
    if (getenv("WEIR_LOAD")) return show(getenv("WEIR_LOAD"));
    Suite *suite = suite_create("adaptive");
    TCase *tc = tcase_create("adaptive");
    tcase_set_timeout(tc, 600);
    tcase_add_loop_test(tc, in_each_scenario, 0, LOAD_COUNT);
    tcase_add_loop_test(tc, with_the_queues_rule, 0, LOAD_COUNT);
    tcase_add_test(tc, a_limit_that_is_not_heeded_is_found);
    tcase_add_test(tc, a_seed_replays);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}

/*
 * The adaptive size, beside each fixed one, on a simulated server: support_load.h.
 *     WEIR_LOAD=lock test_adaptive     the scenarios whose names have that, step by step on stdout
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support_load.h"
#include "support_suite.h"

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
};
enum { LOAD_COUNT = sizeof LOADS / sizeof *LOADS };

static const int SIZES[] = {1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96};
enum { SIZE_COUNT = sizeof SIZES / sizeof *SIZES, MOST = 96 };

static void print(const char *what, int size, const load_report *r) {
    printf("  %-9s %3d: good %6ld of %6ld (%5.1f %%), late %5ld, refused %5ld, p99 %6.1f ms\n", what, size,
           r->good, r->asked, 100.0 * (double)r->good / (double)r->asked, r->late, r->refused, r->p99_ms);
}

static int show(const char *name) {
    load_report r;
    for (int i = 0; i < LOAD_COUNT; i++) {
        if (!strstr(LOADS[i].name, name)) continue;
        printf("%s\n", LOADS[i].name);
        for (int s = 0; s < SIZE_COUNT; s++) {
            load_run(&LOADS[i], &(load_setup){.size = SIZES[s], .seed = 1}, &r);
            print("static", SIZES[s], &r);
            if (r.fault) printf("%s\n", r.fault);
        }
    }
    return EXIT_SUCCESS;
}

int main(void) {
    if (getenv("WEIR_LOAD")) return show(getenv("WEIR_LOAD"));
    return 0;
}

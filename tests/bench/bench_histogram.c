/* What recording a latency costs, printed as bench_core.c does: bench_histogram [million records] */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/rng.h"
#include "metrics/histogram.h"

enum { VALUES = 4096 };

int main(int argc, char **argv) {
    static int64_t values[VALUES];
    static weir__histogram histogram;
    long records = (argc > 1 ? atol(argv[1]) : 100) * 1000000;
    weir__rng rng = {1};
    weir_histogram out;
    if (records <= 0) {
        fprintf(stderr, "usage: bench_histogram [million records]\n");
        return EXIT_FAILURE;
    }
    /* From 1 µs to 1 s: an octave at random, and a place in it, so that no branch can be foreseen. */
    for (int i = 0; i < VALUES; i++) {
        int64_t octave = INT64_C(1) << (10 + weir__random_below(&rng, 20));
        values[i] = octave + weir__random_below(&rng, octave);
    }
    int64_t start = weir__now(&weir__monotonic);
    for (long i = 0; i < records; i++) weir__histogram_record(&histogram, values[i % VALUES]);
    int64_t end = weir__now(&weir__monotonic);
    printf("record a latency\t%.2f\tns\t10\n", (double)(end - start) / (double)records);
    printf("memory of a histogram\t%zu\tbytes\t\n", sizeof histogram);
    weir__histogram_read(&histogram, &out); /* so that no record is for nothing */
    if (out.count != (uint64_t)records) return EXIT_FAILURE;
    return EXIT_SUCCESS;
}

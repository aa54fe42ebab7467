/* Prints the nanoseconds that recording a latency takes: bench_histogram [million records] */
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
    weir__histogram_read(&histogram, &out);
    printf("%.2f ns a record; %zu bytes a histogram; p50 %.6f s, p99 %.6f s\n",
           (double)(end - start) / (double)records, sizeof histogram, out.p50, out.p99);
    return EXIT_SUCCESS;
}

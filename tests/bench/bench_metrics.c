/* What rendering the metrics of 100 pools takes, in both formats; printed as bench_core.c does. */
#include <stdio.h>
#include <stdlib.h>

#include <weirpool/weirpool.h>

enum { POOLS = 100, TURNS = 51 };

static int compare(const void *a, const void *b) {
    double first = *(const double *)a, second = *(const double *)b;
    return (first > second) - (first < second);
}

/* The median of the turns. */
static int measure(const char *format) {
    static double times[TURNS];
    size_t length = 0;
    for (int turn = 0; turn < TURNS; turn++) {
        char *text;
        int64_t began = weir_now_ns();
        if (weir_metrics_render(NULL, 0, format, "both", &text, &length, NULL) != WEIR_OK) return 1;
        times[turn] = (double)(weir_now_ns() - began) / 1e6;
        weir_metrics_free(text);
    }
    qsort(times, TURNS, sizeof *times, compare);
    printf("scrape of %d pools, %s\t%.2f\tms\t5\n", POOLS, format, times[TURNS / 2]);
    return 0;
}

int main(void) {
    static weir_pool *pools[POOLS];
    weir_reactor *reactor;
    weir_options options;
    if (weir_reactor_new(&reactor, NULL) != WEIR_OK) return 1;
    weir_options_init(&options);
    options.url = "sqlite://";
    options.min_size = 0;
    for (int n = 0; n < POOLS; n++) {
        char name[32];
        weir_op op;
        snprintf(name, sizeof name, "db-%d.example.com:5432/orders", n);
        options.name = name;
        if (weir_pool_open(reactor, &options, NULL, &pools[n], &op, NULL) != WEIR_OK) return 1;
    }
    int failed = measure("prometheus") || measure("openmetrics");
    for (int n = 0; n < POOLS; n++) weir_pool_free(pools[n]);
    weir_reactor_free(reactor);
    return failed;
}

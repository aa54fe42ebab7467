/* What rendering the metrics of 100 pools takes, in both formats. */
#include <stdio.h>

#include <weirpool/weirpool.h>

enum { POOLS = 100, TURNS = 50 };

static void measure(const char *format) {
    double least = 1e9;
    size_t length = 0;
    for (int turn = 0; turn < TURNS; turn++) {
        char *text;
        int64_t began = weir_now_ns();
        if (weir_metrics_render(NULL, 0, format, "both", &text, &length, NULL) != WEIR_OK) return;
        double took = (double)(weir_now_ns() - began) / 1e6;
        weir_metrics_free(text);
        if (took < least) least = took;
    }
    printf("%-11s  %d pools, %zu bytes: %.2f ms at the least\n", format, POOLS, length, least);
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
    measure("prometheus");
    measure("openmetrics");
    for (int n = 0; n < POOLS; n++) weir_pool_free(pools[n]);
    weir_reactor_free(reactor);
    return 0;
}

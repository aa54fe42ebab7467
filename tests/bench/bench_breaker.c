/* What a breaker costs a call, closed, on one thread; printed as bench_core.c does. */
#include <stdio.h>

#include <weirpool/weirpool.h>

#include "base/clock.h"
#include "breaker/breaker.h"

enum { CALLS = 20000000 };

static void print(const char *what, const char *window, int64_t began_ns, const char *limit) {
    printf("%s, window by %s\t%.1f\tns\t%s\n", what, window, (double)(weir_now_ns() - began_ns) / CALLS,
           limit);
}

/* What a pool's breakers are asked when a connection is wanted, and what they are told then. */
static int measure_machine(const weir_breaker_options *options) {
    weir_permit permit;
    int64_t began = weir_now_ns(), now = began;
    weir__breaker *machine = weir__breaker_new(options, 1, began, NULL);
    if (!machine) return 1;
    for (int i = 0; i < CALLS; i++, now += 1000) weir__breaker_acquire(machine, now, &permit, NULL);
    print("breaker's check", options->window, began, "20");
    began = weir_now_ns();
    for (int i = 0; i < CALLS; i++, now += 1000) {
        weir__breaker_acquire(machine, now, &permit, NULL);
        weir__breaker_record(machine, now, &permit, WEIR_OUTCOME_SUCCESS, 500, NULL);
    }
    print("breaker's check and outcome", options->window, began, "");
    weir__breaker_free(machine);
    return 0;
}

/* One that is used alone has a lock and a clock of its own. */
static int measure_alone(const weir_breaker_options *options) {
    weir_permit permit;
    weir_breaker *breaker;
    if (weir_breaker_new(options, &breaker, NULL) != WEIR_OK) return 1;
    int64_t began = weir_now_ns();
    for (int i = 0; i < CALLS; i++) {
        weir_breaker_acquire(breaker, &permit, NULL);
        weir_breaker_record(breaker, &permit, WEIR_OUTCOME_SUCCESS, -1, NULL);
    }
    print("breaker of one's own", options->window, began, "");
    weir_breaker_free(breaker);
    return 0;
}

int main(void) {
    static const char *const windows[] = {"count", "time"};
    for (int i = 0; i < 2; i++) {
        weir_breaker_options options;
        weir_breaker_options_init(&options);
        options.window = windows[i];
        if (measure_machine(&options) || measure_alone(&options)) return 1;
    }
    return 0;
}

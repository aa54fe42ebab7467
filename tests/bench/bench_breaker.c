/* What a breaker costs a call: acquire and record, closed, on one thread. */
#include <stdio.h>

#include <weirpool/weirpool.h>

#include "base/clock.h"
#include "breaker/breaker.h"

enum { CALLS = 20000000 };

static double each(int64_t began_ns) { return (double)(weir_now_ns() - began_ns) / CALLS; }

static void measure(const char *window) {
    weir_breaker_options options;
    weir_breaker *breaker;
    weir_permit permit;
    weir_breaker_options_init(&options);
    options.window = window;
    if (weir_breaker_new(&options, &breaker, NULL) != WEIR_OK) return;
    int64_t began = weir_now_ns();
    for (int i = 0; i < CALLS; i++) {
        weir_breaker_acquire(breaker, &permit, NULL);
        weir_breaker_record(breaker, &permit, WEIR_OUTCOME_SUCCESS, -1, NULL);
    }
    printf("window by %-5s  with lock and clock %5.1f ns", window, each(began));
    weir_breaker_free(breaker);
    weir__breaker *machine = weir__breaker_new(&options, 1, began, NULL);
    if (!machine) return;
    int64_t now = began = weir_now_ns();
    for (int i = 0; i < CALLS; i++, now += 1000) {
        weir__breaker_acquire(machine, now, &permit, NULL);
        weir__breaker_record(machine, now, &permit, WEIR_OUTCOME_SUCCESS, 500, NULL);
    }
    printf(", the machine alone %5.1f ns\n", each(began));
    weir__breaker_free(machine);
}

int main(void) {
    measure("count");
    measure("time");
    return 0;
}

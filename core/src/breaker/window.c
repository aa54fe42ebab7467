#include "breaker/window.h"

#include <string.h>

#include "base/alloc.h"

enum { FAILED = 1, SLOW = 2 };

bool weir__window_init(weir__window *window, int64_t calls, int64_t time_ns) {
    memset(window, 0, sizeof *window);
    window->bucket_ns = time_ns / WEIR__WINDOW_BUCKETS;
    if (!calls) return true;
    window->size = calls;
    window->calls = weir__calloc((size_t)calls, 1);
    return window->calls;
}

void weir__window_free(weir__window *window) { weir__free(window->calls); }

/* What lies in the ring need not be wiped: it is read only where a call of the sum is. */
void weir__window_clear(weir__window *window) {
    window->sum = (weir__tally){0, 0, 0};
    window->next = 0;
    memset(window->buckets, 0, sizeof window->buckets);
}

void weir__window_advance(weir__window *window, int64_t now_ns) {
    if (window->calls) return;
    int64_t newest = now_ns / window->bucket_ns;
    int64_t steps = newest - window->newest;
    if (steps > WEIR__WINDOW_BUCKETS) steps = WEIR__WINDOW_BUCKETS;
    for (int64_t n = newest - steps + 1; n <= newest; n++) {
        weir__tally *bucket = &window->buckets[n % WEIR__WINDOW_BUCKETS];
        window->sum.calls -= bucket->calls;
        window->sum.failures -= bucket->failures;
        window->sum.slow -= bucket->slow;
        *bucket = (weir__tally){0, 0, 0};
    }
    window->newest = newest;
}

static void count(weir__tally *tally, bool failed, bool slow) {
    tally->calls++;
    tally->failures += failed;
    tally->slow += slow;
}

void weir__window_add(weir__window *window, int64_t now_ns, bool failed, bool slow) {
    if (!window->calls) {
        weir__window_advance(window, now_ns);
        count(&window->buckets[window->newest % WEIR__WINDOW_BUCKETS], failed, slow);
        count(&window->sum, failed, slow);
        return;
    }
    uint8_t *call = &window->calls[window->next];
    window->next = window->next + 1 == window->size ? 0 : window->next + 1;
    if (window->sum.calls == window->size) { /* this one takes the oldest one's place */
        window->sum.calls--;
        window->sum.failures -= *call & FAILED ? 1 : 0;
        window->sum.slow -= *call & SLOW ? 1 : 0;
    }
    *call = (uint8_t)((failed ? FAILED : 0) | (slow ? SLOW : 0));
    count(&window->sum, failed, slow);
}

#include "base/clock.h"

#include <stddef.h>
#include <time.h>

static int64_t monotonic_now(void *arg) {
    (void)arg;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 * WEIR__MS + t.tv_nsec;
}

const weir__clock weir__monotonic = {monotonic_now, NULL};

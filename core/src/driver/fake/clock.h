/* A clock that stands still until a test moves it. One thread at a time. */
#ifndef WEIR_DRIVER_FAKE_CLOCK_H
#define WEIR_DRIVER_FAKE_CLOCK_H

#include "base/clock.h"

typedef struct weir__fake_clock {
    int64_t now; /* ns */
} weir__fake_clock;

/* The clock as the core wants it; *fake must outlive its use. */
weir__clock weir__fake_clock_as(weir__fake_clock *fake);

#endif

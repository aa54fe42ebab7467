#include "driver/fake/clock.h"

static int64_t now(void *arg) { return ((weir__fake_clock *)arg)->now; }

weir__clock weir__fake_clock_as(weir__fake_clock *fake) { return (weir__clock){now, fake}; }

#include "metrics/cells.h"

void weir__cells_read(const weir__cells *cells, weir_snapshot *out) {
#define COUNTER(name, text) out->name = cells->name;
#define LATENCY(name, text) weir__histogram_read(&cells->name, &out->name);
    WEIR_COUNTERS(COUNTER)
    WEIR_LATENCIES(LATENCY)
#undef COUNTER
#undef LATENCY
}

void weir__cells_add(weir__cells *to, const weir__cells *from) {
#define COUNTER(name, text) to->name += from->name;
#define LATENCY(name, text) weir__histogram_merge(&to->name, &from->name);
    WEIR_COUNTERS(COUNTER)
    WEIR_LATENCIES(LATENCY)
#undef COUNTER
#undef LATENCY
    for (int type = 0; type < WEIR__ALERT_TYPES; type++) to->alerts[type] += from->alerts[type];
    weir__failures_add(to->failures, from->failures);
}

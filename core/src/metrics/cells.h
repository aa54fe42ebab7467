/* What of a pool's numbers only grows: its counters and latencies, and what is told by kind in the metrics
 * alone. They may lie in a mapping that processes share: shared.h. */
#ifndef WEIR_METRICS_CELLS_H
#define WEIR_METRICS_CELLS_H

#include <weirpool/monitor.h>

#include "metrics/failures.h"
#include "metrics/histogram.h"

#define WEIR__ONE(...) +1
enum { WEIR__ALERT_TYPES = WEIR_ALERTS(WEIR__ONE) };
#undef WEIR__ONE

/* All zero is empty. */
typedef struct weir__cells {
#define WEIR__CELL(name, text) uint64_t name;
    WEIR_COUNTERS(WEIR__CELL)
#undef WEIR__CELL
#define WEIR__CELL(name, text) weir__histogram name;
    WEIR_LATENCIES(WEIR__CELL)
#undef WEIR__CELL
    uint64_t alerts[WEIR__ALERT_TYPES];    /* that have fired */
    weir__failed failures[WEIR__FAILURES]; /* of query_failed */
} weir__cells;

/* Fills in the counters and latencies of a snapshot. */
void weir__cells_read(const weir__cells *cells, weir_snapshot *out);
/* Adds `from` to `to`, as if all had been counted there. */
void weir__cells_add(weir__cells *to, const weir__cells *from);

#endif

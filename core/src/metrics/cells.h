/* What of a pool's numbers only grows: its counters and latencies. They may lie in a mapping that processes
 * share: shared.h. */
#ifndef WEIR_METRICS_CELLS_H
#define WEIR_METRICS_CELLS_H

#include "metrics/histogram.h"

/* All zero is empty. */
typedef struct weir__cells {
#define WEIR__CELL(name, text) uint64_t name;
    WEIR_COUNTERS(WEIR__CELL)
#undef WEIR__CELL
#define WEIR__CELL(name, text) weir__histogram name;
    WEIR_LATENCIES(WEIR__CELL)
#undef WEIR__CELL
} weir__cells;

/* Fills in the counters and latencies of a snapshot. */
void weir__cells_read(const weir__cells *cells, weir_snapshot *out);
/* Adds `from` to `to`, as if all had been counted there. */
void weir__cells_add(weir__cells *to, const weir__cells *from);

#endif
